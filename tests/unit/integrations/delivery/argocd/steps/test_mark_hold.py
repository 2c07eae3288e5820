import pytest

from service.domain.errors import RefusedError
from service.domain.ports import Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage
from tests.unit.integrations.delivery.argocd.steps.carrying_out import HOLD


async def test_another_holds_mark_is_never_overwritten(plain: Stage) -> None:
    step, intention = await plain.ready("web", "mark_hold")
    intent = await plain.argo.intend(step, intention)
    plain.sandbox.write_by_kubernetes("web", lambda app: app["metadata"].update(annotations={HOLD: "another"}))
    with pytest.raises(RefusedError, match="another hold mark"):
        await plain.argo.act(step, intent, CountingGuard())
    assert (await plain.argo.observe(step, intent)).seen is Seen.FOREIGN


async def test_a_mark_refused_because_nothing_renders_is_an_answer(plain: Stage) -> None:
    step, intention = await plain.ready("web", "mark_hold")
    intent = await plain.argo.intend(step, intention)
    plain.sandbox.repositories.flush_manifests()
    plain.sandbox.repositories.drop_clones()
    plain.sandbox.faults.git_down = True
    with pytest.raises(RefusedError, match="is invalid"):
        await plain.argo.act(step, intent, CountingGuard())
    assert (await plain.argo.observe(step, intent)).seen is Seen.NOT_SEEN
