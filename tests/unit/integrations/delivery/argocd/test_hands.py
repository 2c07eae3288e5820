from collections.abc import Mapping
from dataclasses import replace

import pytest

from integrations.moment import MOMENT, Moment
from service.domain.errors import RefusedError, StoppedError
from service.domain.model import Json
from service.domain.planning.plan import Step
from service.domain.ports import Seen
from tests.fakes.clock import FakeClock
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage
from tests.unit.integrations.delivery.argocd.steps.carrying_out import AUTO, HOLD, automated, carry_out

FIRST = "operation=op_first suspect=aaaaaaaaaaaa goal=bbbbbbbbbbbb"
SECOND = "operation=op_second suspect=cccccccccccc goal=bbbbbbbbbbbb"


def held(stage: Stage, text: str = FIRST) -> None:
    stage.sandbox.write_by_kubernetes("web", lambda app: app["metadata"].update(annotations={HOLD: text}))


async def mark_of(stage: Stage) -> str:
    return str(((await stage.raw("web"))["metadata"].get("annotations") or {}).get(HOLD, ""))


async def test_promise_7_a_second_rollback_under_our_own_hold_is_not_foreign(plain: Stage) -> None:
    held(plain)
    offer, state = await plain.offer("web")
    intention = plain.intention(state, marker=SECOND, own_marker=FIRST)
    ours: list[Mapping[str, Json]] = []
    for step in offer.steps:
        plain.tick(1)
        intent = await plain.argo.intend(step, replace(intention, ours=tuple(ours), at=plain.clock.now()))
        await plain.argo.act(step, intent, CountingGuard())
        if step.name == "roll_back":
            await plain.deployed("web", 3)
        assert (await plain.argo.observe(step, intent)).seen is Seen.DONE, step.name
        ours.append(intent)
    assert await mark_of(plain) == FIRST
    undo = offer.steps[-1].undo
    assert undo is not None
    _, seen = await carry_out(plain, undo, replace(intention, ours=tuple(ours), at=plain.clock.now()))
    assert (seen.seen, seen.says) == (Seen.DONE, "the mark of the earlier hold stays")
    assert await mark_of(plain) == FIRST


@pytest.mark.parametrize(
    ("on_target", "told"),
    [(FIRST, ""), (FIRST, SECOND), ("stay away", "stay away"), (f"{FIRST} and more", f"{FIRST} and more")],
    ids=["nobody says that it is ours", "another one is ours", "not as Backout writes", "nearly as Backout writes"],
)
async def test_promise_7_any_other_mark_is_foreign_still(plain: Stage, on_target: str, told: str) -> None:
    held(plain, on_target)
    for name in ("roll_back", "mark_hold"):
        step, intention = await plain.ready("web", name, marker="operation=op_third suspect=c goal=b", own_marker=told)
        with pytest.raises(RefusedError, match="it is held already"):
            await plain.argo.intend(step, intention)


async def test_promise_7_auto_sync_is_stopped_again_and_given_back_under_the_mark_of_our_earlier_hold(auto: Stage) -> None:
    held(auto)
    step, intention = await auto.ready("web", "stop_auto_sync", marker=SECOND, own_marker=FIRST)
    with pytest.raises(RefusedError, match="it is held already"):
        await auto.argo.intend(step, replace(intention, own_marker=""))
    intent, seen = await carry_out(auto, step, intention)
    assert seen.seen is Seen.DONE
    assert (automated(await auto.raw("web")), await mark_of(auto)) == ({**AUTO, "enabled": False}, FIRST)
    assert step.undo is not None
    undo = replace(intention, ours=(intent,), at=auto.clock.now())
    with pytest.raises(RefusedError, match="held by another"):
        await auto.argo.intend(step.undo, replace(undo, own_marker=""))
    _, back = await carry_out(auto, step.undo, undo)
    assert back.seen is Seen.DONE
    assert (automated(await auto.raw("web")), await mark_of(auto)) == (AUTO, FIRST)


async def test_promise_7_where_nothing_renders_the_earlier_mark_stays_too(auto: Stage) -> None:
    spec_info = [{"name": HOLD, "value": FIRST}]
    auto.sandbox.write_by_kubernetes("web", lambda app: app["spec"].update(info=spec_info))
    step, intention = await auto.ready("web", "stop_auto_sync", marker=SECOND, own_marker=FIRST)
    auto.sandbox.faults.git_down = True
    intent, _ = await carry_out(auto, step, intention)
    assert step.undo is not None
    await carry_out(auto, step.undo, replace(intention, ours=(intent,), at=auto.clock.now()))
    app = await auto.raw("web")
    assert (automated(app), app["spec"]["info"]) == (AUTO, spec_info)


@pytest.fixture
async def about_to_stop(auto: Stage) -> tuple[Stage, Step, dict[str, Json]]:
    step, intention = await auto.ready("web", "stop_auto_sync")
    return auto, step, dict(await auto.argo.intend(step, intention))


async def test_a_raising_guard_leaves_auto_sync_alone(about_to_stop: tuple[Stage, Step, dict[str, Json]]) -> None:
    stage, step, intent = about_to_stop
    with pytest.raises(StoppedError):
        await stage.argo.act(step, intent, CountingGuard(StoppedError("stopped")))
    assert automated(await stage.raw("web")) == AUTO


def looks(stage: Stage) -> int:
    """How often the application itself was read so far, by us or by the stage."""
    return sum((one.method, one.path) == ("GET", "/api/v1/applications/web") for one in stage.sandbox.served)


async def test_what_an_act_left_is_looked_at_once_for_what_became_of_it_and_for_the_next_intent(auto: Stage) -> None:
    offer, state = await auto.offer("web")
    intention = auto.intention(state)
    stop, prove = offer.steps[0], offer.steps[1]
    intent = await auto.argo.intend(stop, intention)
    token = MOMENT.set(Moment(FakeClock()))
    try:
        await auto.argo.act(stop, intent, CountingGuard())
        after = looks(auto)
        assert (await auto.argo.observe(stop, intent)).seen is Seen.DONE
        more = await auto.argo.intend(prove, replace(intention, ours=(intent,), at=auto.clock.now()))
        assert looks(auto) == after  # the act's own last look showed it all
        with pytest.raises(StoppedError):
            await auto.argo.act(prove, more, CountingGuard(StoppedError("stopped")))
        assert looks(auto) == after + 1  # but whoever is about to send looks for himself
    finally:
        MOMENT.reset(token)


async def test_promise_4_an_act_rests_on_a_look_of_its_own_whatever_was_seen_in_the_same_moment(auto: Stage) -> None:
    offer, state = await auto.offer("web")
    token = MOMENT.set(Moment(FakeClock()))
    try:
        intent = await auto.argo.intend(offer.steps[0], auto.intention(state))
        before = looks(auto)
        with pytest.raises(StoppedError):
            await auto.argo.act(offer.steps[0], intent, CountingGuard(StoppedError("stopped")))
        assert looks(auto) == before + 1
    finally:
        MOMENT.reset(token)
