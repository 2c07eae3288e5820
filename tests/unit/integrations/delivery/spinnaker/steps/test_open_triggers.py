from dataclasses import replace

import pytest

from service.domain.errors import RefusedError
from service.domain.model import Way
from service.domain.planning.plan import Step
from service.domain.ports import Intention, Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard
from tests.unit.integrations.delivery.spinnaker.saved import trigger
from tests.unit.integrations.delivery.spinnaker.stage import WEB, Stage
from tests.unit.integrations.delivery.spinnaker.steps.test_shut_triggers import CRON, MARK, saved, shut, with_doors

GIT = trigger("git", branch="main")


async def forward(stage: Stage) -> tuple[Step, Intention]:
    """What ends the hold, once what is live now was seen to be well."""
    _, intention, intent = await shut(stage)
    live = (await stage.state()).history[0]
    (offer,) = stage.spinnaker.offers(await stage.case(way=Way.FORWARD, goal=live, context={"live_already": True, "remembered": intent["remembered"]}))
    look, step = offer.steps
    assert (look.name, step.name, step.optional, step.once_verified, step.effect) == ("watch", "open_triggers", True, True, True)
    return step, replace(intention, suspect=live, goal=live, ours=(), own_marker=MARK)


async def test_the_hold_that_ends_by_itself_gives_them_back(stage: Stage) -> None:
    await with_doors(stage, CRON, GIT)
    step, intention = await forward(stage)
    intent = await stage.spinnaker.intend(step, intention)
    guard = CountingGuard()
    assert (await stage.spinnaker.observe(step, intent)).seen is Seen.NOT_SEEN
    await stage.spinnaker.act(step, intent, guard)
    await stage.spinnaker.act(step, intent, guard)
    assert guard.asked == 1
    told = await stage.spinnaker.observe(step, intent)
    assert (told.seen, told.says) == (Seen.DONE, "what starts its pipelines is as it was")
    assert saved(stage)["triggers"] == [CRON, GIT]


async def test_only_while_the_release_that_was_verified_is_live(stage: Stage) -> None:
    await with_doors(stage)
    step, intention = await forward(stage)
    stage.runs("registry.example/web:4.0")
    with pytest.raises(RefusedError, match="its triggers stay off"):
        await stage.spinnaker.intend(step, intention)


async def test_what_people_did_meanwhile_stays_and_is_said(stage: Stage) -> None:
    await with_doors(stage, CRON, GIT, trigger("docker", repository="a"), trigger("docker", repository="b"))
    step, intention = await forward(stage)
    cron, git, gone, theirs = saved(stage)["triggers"]
    assert gone["backoutHold"]
    changed = {**cron, "cronExpression": "0 5 * * * *"}
    bare = {key: value for key, value in theirs.items() if key != "backoutHold"}
    stage.gate.save_pipeline({**saved(stage), "limitConcurrent": True, "triggers": [changed, git, bare]})
    intent = await stage.spinnaker.intend(step, intention)
    await stage.spinnaker.act(step, intent, CountingGuard())
    told = await stage.spinnaker.observe(step, intent)
    assert told.seen is Seen.DONE
    assert told.says == (
        "cron 0 0 * * * * of pipeline deploy was changed or removed by somebody meanwhile: it is left as they saved it; "
        "docker a of pipeline deploy was changed or removed by somebody meanwhile: it is left as they saved it; "
        "docker b of pipeline deploy was switched off by somebody else: it stays off"
    )
    now = saved(stage)
    assert now["triggers"] == [{**CRON, "enabled": False, "cronExpression": "0 5 * * * *"}, GIT, bare]
    assert now["limitConcurrent"] is True


async def test_a_pipeline_that_is_gone_is_said(stage: Stage) -> None:
    await with_doors(stage)
    step, intention = await forward(stage)
    intent = await stage.spinnaker.intend(step, intention)
    stage.gate.front50.delete(saved(stage)["id"])
    await stage.spinnaker.act(step, intent, CountingGuard())
    told = await stage.spinnaker.observe(step, intent)
    assert (told.seen, told.says) == (Seen.DONE, "pipeline deploy is gone, and its triggers with it")


async def test_what_another_hold_keeps_off_stays_off(stage: Stage) -> None:
    await with_doors(stage)
    step, intention = await forward(stage)
    (cron,) = saved(stage)["triggers"]
    stage.gate.save_pipeline(
        {**saved(stage), "triggers": [{**cron, "backoutHold": {**cron["backoutHold"], "spin:k8s/shop/deployment/api": "operation=op_9 x"}}]}
    )
    intent = await stage.spinnaker.intend(step, intention)
    await stage.spinnaker.act(step, intent, CountingGuard())
    told = await stage.spinnaker.observe(step, intent)
    assert (told.seen, told.says) == (Seen.DONE, "cron 0 0 * * * * of pipeline deploy stays off for another hold")
    assert saved(stage)["triggers"][0]["enabled"] is False


async def test_what_was_never_switched_off_is_not_switched_on(stage: Stage) -> None:
    await with_doors(stage)
    step = (await stage.offer()).steps[0]
    _, intention = await stage.ready(marker=MARK)
    assert step.undo is not None
    with pytest.raises(RefusedError, match="is not known"):
        await stage.spinnaker.intend(step.undo, intention)
    assert str(WEB) not in str(saved(stage))
