from dataclasses import replace
from typing import Any

import pytest

from service.domain import keys
from service.domain.facts import Absent, Facts, Known
from service.domain.keys import Running
from service.domain.model import Actor, Release, Way
from service.domain.planning.plan import Offer
from service.domain.rule import Direction
from tests.unit.integrations.delivery.spinnaker.stage import WEB, Stage


async def test_the_way_back_is_an_undo_to_an_absolute_revision(stage: Stage) -> None:
    offer = await stage.offer()
    assert (offer.way, offer.impossible, offer.permissions) == (Way.UNDO, "", ("get", "sync"))
    (step,) = offer.steps
    assert step.parameters["revision"] == 1
    assert "revision 1 (1.0)" in step.says
    assert '"revision": 1' in step.command
    assert "numRevisionsBack" not in step.command


async def test_without_a_goal_or_a_state_there_is_no_way_and_it_says_why(stage: Stage) -> None:
    case = await stage.case(goal=None, why_none="nothing was good")
    assert [one.impossible for one in stage.spinnaker.offers(case)] == ["nothing was good"]
    unread = await stage.case(facts=Facts(known={keys.state(WEB): Absent("Gate is away")}, now=stage.clock.now()))
    assert "Gate is away" in stage.spinnaker.offers(unread)[0].impossible


async def test_what_is_not_live_and_what_is_gone_is_no_way(stage: Stage) -> None:
    case = await stage.case()
    assert case.goal is not None
    assert case.suspect is not None
    others: tuple[dict[str, Any], ...] = (
        {"key": "another"},
        {"handle": "9"},
    )  # a number alone is no identity, and a release under another number is not where it was
    for other in others:
        (offer,) = stage.spinnaker.offers(replace(case, suspect=replace(case.suspect, **other)))
        assert ("not what is rolled out now" in offer.impossible, offer.steps) == (True, ())
        (offer,) = stage.spinnaker.offers(replace(case, goal=replace(case.goal, **other)))
        assert ("does not have release" in offer.impossible, offer.steps) == (True, ())


async def on_state(stage: Stage, **more: Any) -> Offer:
    """What is offered where the state of the target is that."""
    fact = await stage.spinnaker.read(keys.state(WEB))
    assert isinstance(fact, Known)
    case = await stage.case()
    facts = Facts(known={**case.facts.known, keys.state(WEB): replace(fact, value=replace(fact.value, **more))}, now=stage.clock.now())
    (offer,) = stage.spinnaker.offers(replace(case, facts=facts))
    return offer


async def test_what_nobody_knows_to_be_live_and_a_paused_roll_out_are_no_way(stage: Stage) -> None:
    unknown = await on_state(stage, current=None)
    assert ("not what is rolled out now (nothing)" in unknown.impossible, unknown.steps) == (True, ())
    paused = await on_state(stage, warnings=("its roll-out is paused: an undo is refused",))
    assert ("is paused" in paused.impossible, paused.steps) == (True, ())


async def test_promise_5_only_an_automated_run_is_ended_and_before_the_undo(stage: Stage) -> None:
    by = Actor(kind="automation", name="docker trigger")
    running = Running(by=by, ours=False, automated=True, phase="RUNNING", says="pipeline deploy", since=None, revision="")
    stop, undo = (await on_state(stage, running=running)).steps
    assert (stop.name, undo.name) == ("stop_deploy", "undo")
    assert "/cancel?" in stop.command  # a list of runs alone would leave the run to deploy over the undo
    assert [step.name for step in (await on_state(stage, running=replace(running, automated=False))).steps] == ["undo"]


async def forward(stage: Stage, goal: Release, *, live_already: bool) -> str:
    case = await stage.case(way=Way.FORWARD, goal=goal, context={"live_already": live_already})
    assert case.direction is Direction.FORWARD
    (offer,) = stage.spinnaker.offers(case)
    assert offer.way is Way.FORWARD
    return offer.impossible or ", ".join(step.name for step in offer.steps)


async def test_forward_nothing_is_deployed_and_what_is_live_is_watched(stage: Stage) -> None:
    live, old = (await stage.state()).history
    assert await forward(stage, live, live_already=True) == "watch"
    assert "deployed by whoever starts its pipeline" in await forward(stage, old, live_already=False)


@pytest.mark.parametrize("fact", ["state"])
async def test_forward_needs_a_state_too(stage: Stage, fact: str) -> None:
    case = await stage.case(way=Way.FORWARD, facts=Facts(known={}, now=stage.clock.now()), context={"live_already": True})
    assert f"the {fact}" in stage.spinnaker.offers(case)[0].impossible
    assert stage.spinnaker.offers(replace(case, goal=None, why_none="nothing new"))[0].impossible == "nothing new"
