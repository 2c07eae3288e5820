from dataclasses import replace

import pytest

from service.domain import keys
from service.domain.facts import Absent, Facts
from service.domain.model import Release, Way
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
    other = replace(case.goal, key="another", handle="9")
    assert "not what is rolled out now" in stage.spinnaker.offers(replace(case, suspect=other))[0].impossible
    assert "does not have release" in stage.spinnaker.offers(replace(case, goal=other))[0].impossible


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
