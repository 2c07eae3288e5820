from dataclasses import replace

import pytest

from service.domain.errors import RefusedError
from service.domain.ports import Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage
from tests.unit.integrations.delivery.argocd.steps.bound import pinned, revision
from tests.unit.integrations.delivery.argocd.steps.carrying_out import HOLD, carry_out


async def test_a_controller_that_is_down_is_found_out_and_the_pin_taken_back_before_it_can_fire(bound: Stage) -> None:
    bound.argo = bound.adapter(refresh_timeout_seconds=1)
    bound.sandbox.faults.controller_down = True
    steps, intention = await pinned(bound)
    intent = await bound.argo.intend(steps["deploy_pinned"], intention)
    with pytest.raises(RefusedError, match="did not answer a refresh within 1 s: the pinned release would be deployed later"):
        await bound.argo.act(steps["deploy_pinned"], intent, CountingGuard())
    assert (await bound.argo.observe(steps["deploy_pinned"], intent)).seen is Seen.NOT_SEEN

    _, seen = await carry_out(bound, steps["unpin_source"], replace(intention, ours=(*intention.ours, intent)))

    assert seen.seen is Seen.DONE
    app = await bound.raw("web")
    assert (revision(app), app["metadata"].get("annotations", {}).get(HOLD)) == ("main", None)
    bound.sandbox.faults.controller_down = False
    await bound.settle()
    assert len((await bound.raw("web"))["status"]["history"]) == 2


async def test_a_foreign_deploy_over_the_pin_is_foreign(bound: Stage) -> None:
    steps, intention = await pinned(bound)
    intent, _ = await carry_out(bound, steps["deploy_pinned"], intention)
    await bound.deployed("web", 3)
    bound.sandbox.write_by_kubernetes(
        "web", lambda app: app["status"]["history"].append({**app["status"]["history"][1], "id": 9, "initiatedBy": {"username": "ann"}})
    )
    seen = await bound.argo.observe(steps["deploy_pinned"], intent)
    assert (seen.seen, seen.says) == (Seen.FOREIGN, "ann deployed release 9 meanwhile")


async def test_an_automated_deploy_of_the_pin_that_failed_is_failed(bound: Stage) -> None:
    bound.sandbox.faults.controller_down = True
    steps, intention = await pinned(bound)
    intent = await bound.argo.intend(steps["deploy_pinned"], intention)
    failed = {"phase": "Failed", "message": "no", "startedAt": "2026-05-04T14:10:00Z", "finishedAt": "2026-05-04T14:10:01Z", "operation": {"sync": {}}}
    bound.sandbox.write_by_kubernetes("web", lambda app: app["status"].update(operationState=failed))
    seen = await bound.argo.observe(steps["deploy_pinned"], intent)
    assert (seen.seen, seen.says) == (Seen.FAILED, "Argo CD ended the deploy of the pinned release as Failed: no")
