"""What every `Hands` keeps, asked of Argo CD (over the sandbox) and of an asynchronous, lossy fake of another kind.

A delivery system added later joins by a world of its own in `WORLDS`.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import pytest

from integrations.delivery.spinnaker.asking import FOLLOWED_EVERY
from service.domain.errors import PermanentError, RefusedError, StoppedError, TemporaryError
from service.domain.facts import Absent, Facts, Key, Known
from service.domain.model import Actor, TargetId, Way
from service.domain.planning.plan import Step
from service.domain.policy import TargetPolicy
from service.domain.ports import Clock, Delivery, Intention, Seen
from service.domain.rule import Case
from tests.fakes.clock import LoopClock
from tests.fakes.git_revert_delivery import ME, Forge, GitRevertDelivery
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage, StageClock, opened
from tests.unit.integrations.delivery.argocd.steps.carrying_out import CLOSED
from tests.unit.integrations.delivery.spinnaker.stage import Stage as SpinnakerStage
from tests.unit.integrations.delivery.spinnaker.stage import opened as spinnaker_stage


class World(Protocol):
    """A delivery system with one target: release 1 is live and suspect, release 0 is the goal."""

    @property
    def delivery(self) -> Delivery: ...
    @property
    def clock(self) -> Clock: ...
    def again(self) -> Delivery:
        """The same system seen by a process that remembers nothing."""
        ...

    async def effect(self) -> tuple[Step, Intention]: ...
    async def effects(self) -> int:
        """How many times the outside was really set going by us."""
        ...

    async def hold_up(self) -> None:
        """From now on an effect is accepted and does not come to its end."""
        ...

    async def go_on(self) -> None:
        """Let what was accepted come to its end."""
        ...

    async def make_wait(self) -> None:
        """From now on an effect is accepted, and happens only when something outside lets it."""
        ...

    async def make_fail(self) -> None:
        """Let the next effect be accepted and end in failure."""
        ...

    async def person_deploys(self) -> None: ...
    def lose_answer(self) -> None: ...
    def drop_request(self) -> None: ...


class ArgoWorld:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    @property
    def delivery(self) -> Delivery:
        return self.stage.argo

    @property
    def clock(self) -> Clock:
        return self.stage.clock

    def again(self) -> Delivery:
        self.stage.argo = self.stage.adapter()
        return self.stage.argo

    async def effect(self) -> tuple[Step, Intention]:
        return await self.stage.ready("web", "roll_back")

    async def effects(self) -> int:
        events = (await self.stage.person("GET", "/applications/web/events"))["items"] or []
        return sum("backout initiated rollback" in event["message"] for event in events)

    async def hold_up(self) -> None:
        self.stage.sandbox.faults.controller_down = True

    async def go_on(self) -> None:
        self.stage.sandbox.faults.controller_down = False
        self.stage.sandbox.projects.set_windows("default", [])
        await self.stage.until("web", lambda app: "operation" not in app, "an end")
        await self.stage.settle(0.1)

    async def make_wait(self) -> None:
        self.stage.sandbox.projects.set_windows("default", [CLOSED])

    async def make_fail(self) -> None:
        self.stage.sandbox.repositories.flush_manifests()
        self.stage.sandbox.repositories.drop_clones()
        self.stage.sandbox.faults.git_down = True

    async def person_deploys(self) -> None:
        self.stage.tick()
        await self.stage.deploy("web", "registry.example/web:3.0")

    def lose_answer(self) -> None:
        self.stage.sandbox.faults.lose_answers = 1

    def drop_request(self) -> None:
        self.stage.sandbox.faults.drop_requests = 1


class RevertWorld:
    def __init__(self, forge: Forge, clock: Clock) -> None:
        self.forge = forge
        self.clock = clock
        self.delivery: Delivery = GitRevertDelivery(forge)
        self.failing = False

    def again(self) -> Delivery:
        self.delivery = GitRevertDelivery(self.forge)
        return self.delivery

    async def effect(self) -> tuple[Step, Intention]:
        state = await self.delivery.look(GitRevertDelivery(self.forge).target)
        suspect, goal = state.history[:2]
        facts = Facts(known={}, now=self.clock.now())
        (offer,) = self.delivery.offers(Case(target=state.target, policy=TargetPolicy(), suspect=suspect, goal=goal, way=Way.GIT_REVERT, facts=facts))
        now = self.clock.now()
        intention = Intention(target=state.target, uid=state.uid, operation_id="op-1", suspect=suspect, goal=goal, not_before=now, marker="op-1", at=now)
        return offer.steps[0], intention

    async def effects(self) -> int:
        return sum(c.by == ME for c in (*self.forge.commits, *self.forge.waiting, *self.forge.rejected))

    async def hold_up(self) -> None:
        """Nothing moves in this forge unless `go_on` says so."""

    async def make_wait(self) -> None:
        self.forge.frozen = True

    async def go_on(self) -> None:
        self.forge.frozen = False
        if self.failing:
            self.forge.reject()
        self.forge.merge()
        self.forge.deploy()

    async def make_fail(self) -> None:
        self.failing = True

    async def person_deploys(self) -> None:
        self.forge.push("tree-3", Actor(kind="user", name="alice"))

    def lose_answer(self) -> None:
        self.forge.lose_answers = 1

    def drop_request(self) -> None:
        self.forge.drop_requests = 1


class SpinnakerWorld:
    def __init__(self, stage: SpinnakerStage) -> None:
        self.stage = stage

    @property
    def delivery(self) -> Delivery:
        return self.stage.spinnaker

    @property
    def clock(self) -> Clock:
        return self.stage.clock

    def again(self) -> Delivery:
        self.stage.spinnaker = self.stage.adapter()
        return self.stage.spinnaker

    async def effect(self) -> tuple[Step, Intention]:
        return await self.stage.ready()

    async def effects(self) -> int:
        return self.stage.started()

    async def hold_up(self) -> None:
        self.stage.gates_clock.hold()

    async def go_on(self) -> None:
        self.stage.gates_clock.go_on(minutes=1)
        self.stage.gate.timeline.catch_up()
        await self.stage.clock.sleep(FOLLOWED_EVERY.total_seconds() + 0.1)  # time passes here too: what is said of a task that runs may be so old

    async def make_wait(self) -> None:
        self.stage.gates_clock.hold()

    async def make_fail(self) -> None:
        self.stage.gate.faults.refuse_operations["undoRolloutManifest"] = "kubectl says no"

    async def person_deploys(self) -> None:
        self.stage.runs("registry.example/web:3.0")
        self.stage.pass_(minutes=1)

    def lose_answer(self) -> None:
        self.stage.gate.faults.lose_answers = 1

    def drop_request(self) -> None:
        self.stage.gate.faults.drop_requests = 1


@asynccontextmanager
async def argo_world(root: Path) -> AsyncIterator[World]:
    async with opened(root) as stage:
        await stage.two_releases("web")
        yield ArgoWorld(stage)


@asynccontextmanager
async def revert_world(_root: Path) -> AsyncIterator[World]:
    clock = StageClock()
    forge = Forge(clock)
    forge.push("tree-1", Actor(kind="user", name="alice"))
    forge.push("tree-2", Actor(kind="user", name="alice"))
    yield RevertWorld(forge, clock)


@asynccontextmanager
async def spinnaker_world(_root: Path) -> AsyncIterator[World]:
    async with spinnaker_stage(LoopClock()) as stage:
        yield SpinnakerWorld(stage)


WORLDS = {"argocd": argo_world, "git_revert": revert_world, "spinnaker": spinnaker_world}


@pytest.fixture(params=sorted(WORLDS))
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    made: AbstractAsyncContextManager[World] = WORLDS[request.param](tmp_path)
    async with made as opened_world:
        yield opened_world


class Dropping(CountingGuard):
    """A guard that passes, and lets the request behind it get lost on its way."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    async def __call__(self) -> None:
        await super().__call__()
        self._world.drop_request()


def hints_of(world: World) -> AsyncIterator[TargetId | None]:
    changes = world.delivery.changes()
    if changes is None:
        pytest.skip(f"{world.delivery.instance} tells nothing by itself, as its port says: it is polled")
    return changes


async def test_an_effect_is_done_once_it_is_done(world: World) -> None:
    step, intention = await world.effect()
    intent = await world.delivery.intend(step, intention)
    await world.delivery.act(step, intent, CountingGuard())
    await world.go_on()
    assert (await world.delivery.observe(step, intent)).seen is Seen.DONE
    state = await world.delivery.look(intention.target)
    assert state.current is not None
    assert state.current.key == intention.goal.key


async def test_acting_twice_does_it_once(world: World) -> None:
    step, intention = await world.effect()
    intent = await world.delivery.intend(step, intention)
    await world.hold_up()
    await world.delivery.act(step, intent, CountingGuard())
    second = CountingGuard()
    await world.delivery.act(step, intent, second)
    await world.go_on()
    await world.delivery.act(step, intent, second)
    assert second.asked == 0
    assert await world.effects() == 1


async def test_before_the_act_nothing_is_seen_until_a_told_time(world: World) -> None:
    step, intention = await world.effect()
    intent = await world.delivery.intend(step, intention)
    seen = await world.delivery.observe(step, intent)
    assert seen.seen is Seen.NOT_SEEN
    assert seen.not_seen_until is not None
    assert timedelta(0) < seen.not_seen_until - intention.at <= timedelta(minutes=5)


async def test_a_lost_answer_is_found_by_observe(world: World) -> None:
    step, intention = await world.effect()
    intent = await world.delivery.intend(step, intention)
    await world.hold_up()
    world.lose_answer()
    with pytest.raises(TemporaryError):
        await world.delivery.act(step, intent, CountingGuard())
    assert (await world.delivery.observe(step, intent)).seen is Seen.RUNNING
    await world.delivery.act(step, intent, CountingGuard())
    await world.go_on()
    assert (await world.delivery.observe(step, intent)).seen is Seen.DONE
    assert await world.effects() == 1


async def test_a_lost_request_is_sent_again_after_a_look(world: World) -> None:
    step, intention = await world.effect()
    intent = await world.delivery.intend(step, intention)
    with pytest.raises(TemporaryError):
        await world.delivery.act(step, intent, Dropping(world))
    assert (await world.delivery.observe(step, intent)).seen is Seen.NOT_SEEN
    assert await world.effects() == 0
    await world.delivery.act(step, intent, CountingGuard())
    assert await world.effects() == 1


async def test_an_intent_alone_is_enough_after_a_crash(world: World) -> None:
    step, intention = await world.effect()
    kept = json.dumps(dict(await world.delivery.intend(step, intention)))
    await world.delivery.act(step, json.loads(kept), CountingGuard())
    await world.go_on()
    fresh = world.again()
    assert (await fresh.observe(step, json.loads(kept))).seen is Seen.DONE
    guard = CountingGuard()
    await fresh.act(step, json.loads(kept), guard)
    assert guard.asked == 0


async def test_a_guard_that_refuses_keeps_everything_unsent(world: World) -> None:
    step, intention = await world.effect()
    intent = await world.delivery.intend(step, intention)
    guard = CountingGuard(StoppedError("stopped by test"))
    with pytest.raises(StoppedError, match="stopped by test"):
        await world.delivery.act(step, intent, guard)
    assert guard.asked == 1
    assert await world.effects() == 0
    assert (await world.delivery.observe(step, intent)).seen is Seen.NOT_SEEN


async def test_the_guard_is_asked_for_each_send(world: World) -> None:
    step, intention = await world.effect()
    intent = await world.delivery.intend(step, intention)
    guard = CountingGuard()
    await world.delivery.act(step, intent, guard)
    assert guard.asked == await world.effects() == 1


async def test_an_effect_under_way_is_running(world: World) -> None:
    step, intention = await world.effect()
    intent = await world.delivery.intend(step, intention)
    await world.hold_up()
    await world.delivery.act(step, intent, CountingGuard())
    assert (await world.delivery.observe(step, intent)).seen is Seen.RUNNING


async def test_an_effect_that_went_wrong_is_failed_and_not_tried_again(world: World) -> None:
    step, intention = await world.effect()
    intent = await world.delivery.intend(step, intention)
    await world.make_fail()
    await world.delivery.act(step, intent, CountingGuard())
    await world.go_on()
    seen = await world.delivery.observe(step, intent)
    assert seen.seen is Seen.FAILED
    assert seen.says
    with pytest.raises(RefusedError):
        await world.delivery.act(step, intent, CountingGuard())
    assert await world.effects() == 1


async def test_promise_4_what_waits_is_withdrawn_and_never_happens(world: World) -> None:
    step, intention = await world.effect()
    intent = await world.delivery.intend(step, intention)
    await world.make_wait()
    await world.delivery.act(step, intent, CountingGuard())
    async with asyncio.timeout(90):
        while not (seen := await world.delivery.observe(step, intent)).withdrawable:
            assert seen.seen is Seen.RUNNING
            await asyncio.sleep(0.1)
    assert seen.seen is Seen.STUCK
    refusing = CountingGuard(StoppedError("sent away"))
    with pytest.raises(StoppedError):
        await world.delivery.withdraw(step, intent, refusing)
    guard = CountingGuard()
    await world.delivery.withdraw(step, intent, guard)
    await world.delivery.withdraw(step, intent, guard)
    assert guard.asked == 1
    assert not (await world.delivery.observe(step, intent)).withdrawable
    await world.go_on()
    assert (await world.delivery.observe(step, intent)).seen is Seen.FAILED
    state = await world.delivery.look(intention.target)
    assert state.current is not None
    assert state.current.key == intention.suspect.key


async def test_where_nothing_waits_nothing_is_withdrawn(world: World) -> None:
    step, intention = await world.effect()
    intent = await world.delivery.intend(step, intention)
    guard = CountingGuard()
    await world.delivery.withdraw(step, intent, guard)
    await world.delivery.act(step, intent, CountingGuard())
    await world.go_on()
    await world.delivery.withdraw(step, intent, guard)
    assert guard.asked == 0
    assert (await world.delivery.observe(step, intent)).seen is Seen.DONE


async def test_what_somebody_else_did_in_between_is_foreign_and_stops_the_act(world: World) -> None:
    step, intention = await world.effect()
    intent = await world.delivery.intend(step, intention)
    await world.person_deploys()
    assert (await world.delivery.observe(step, intent)).seen is Seen.FOREIGN
    with pytest.raises(RefusedError):
        await world.delivery.act(step, intent, CountingGuard())
    assert await world.effects() == 0


async def test_a_changed_world_is_refused_before_the_act(world: World) -> None:
    step, intention = await world.effect()
    await world.person_deploys()
    with pytest.raises(RefusedError):
        await world.delivery.intend(step, intention)


async def test_another_target_of_the_same_name_is_refused(world: World) -> None:
    step, intention = await world.effect()
    with pytest.raises(RefusedError):
        await world.delivery.intend(step, replace(intention, uid="somebody-else"))


async def test_a_step_of_another_system_is_a_mistake(world: World) -> None:
    step, intention = await world.effect()
    with pytest.raises(PermanentError):
        await world.delivery.intend(replace(step, name="press_the_button"), intention)


async def test_without_a_goal_the_offer_says_why_and_has_no_steps(world: World) -> None:
    _, intention = await world.effect()
    facts = Facts(known={}, now=world.clock.now())
    case = Case(target=intention.target, policy=TargetPolicy(), suspect=None, goal=None, way=Way.NONE, facts=facts, why_none="nothing was deployed")
    for offer in world.delivery.offers(case):
        assert offer.impossible == "nothing was deployed"
        assert not offer.steps


async def test_steps_are_orders_that_a_person_could_follow(world: World) -> None:
    step, _ = await world.effect()
    assert all((step.says, step.done_when, step.fallback, step.command))
    assert json.loads(json.dumps(dict(step.parameters))) == step.parameters


async def test_changes_begin_with_list_again_and_then_name_what_somebody_changed(world: World) -> None:
    _, intention = await world.effect()
    changes = hints_of(world)
    async with aclosing(changes) as hints, asyncio.timeout(20):  # type: ignore[type-var]  # an iterator that the port promises to be closable
        assert await anext(hints) is None
        await world.person_deploys()
        while await anext(hints) != intention.target:
            pass


async def test_changes_can_be_asked_for_again_after_they_ended(world: World) -> None:
    await world.effect()
    for _ in range(2):
        changes = hints_of(world)
        async with aclosing(changes) as hints, asyncio.timeout(20):  # type: ignore[type-var]  # an iterator that the port promises to be closable
            assert await anext(hints) is None


async def test_facts_it_does_not_answer_are_absent(world: World) -> None:
    assert isinstance(await world.delivery.read(Key("price of fish", "today")), Absent)


async def test_every_kind_it_claims_is_answered_for_its_target(world: World) -> None:
    _, intention = await world.effect()
    state = await world.delivery.read(Key("state", intention.target))
    assert isinstance(state, Known)
    assert state.evidence.read_at <= world.clock.now()
    assert state.good_for > timedelta(0)


async def test_the_list_names_the_target_of_its_instance(world: World) -> None:
    _, intention = await world.effect()
    listing = await world.delivery.targets()
    assert intention.target in {listed.target for listed in listing.targets}
    assert intention.target.instance == world.delivery.instance
