from dataclasses import replace

import pytest

from service.domain.errors import RefusedError
from service.domain.model import Way
from service.domain.ports import Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard
from tests.unit.integrations.delivery.spinnaker.stage import Stage
from tests.unit.integrations.delivery.spinnaker.steps.test_shut_triggers import CRON, MARK, saved, shut, with_doors


async def test_the_mark_goes_and_the_trigger_stays_off(stage: Stage) -> None:
    await with_doors(stage)
    _, intention, _ = await shut(stage)
    live = (await stage.state()).history[0]
    (offer,) = stage.spinnaker.offers(await stage.case(way=Way.FORWARD, goal=live, context={"live_already": True}))
    _, step = offer.steps
    assert (step.name, step.optional, step.once_verified) == ("unmark_triggers", True, True)
    with pytest.raises(RefusedError, match="no mark"):
        await stage.spinnaker.intend(step, replace(intention, own_marker=""))
    intent = await stage.spinnaker.intend(step, replace(intention, own_marker=MARK))
    assert (await stage.spinnaker.observe(step, intent)).seen is Seen.NOT_SEEN
    guard = CountingGuard()
    await stage.spinnaker.act(step, intent, guard)
    await stage.spinnaker.act(step, intent, guard)
    assert (guard.asked, (await stage.spinnaker.observe(step, intent)).seen) == (1, Seen.DONE)
    assert saved(stage)["triggers"] == [{**CRON, "enabled": False}]
