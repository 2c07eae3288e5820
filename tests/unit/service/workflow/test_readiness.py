import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain import keys
from service.domain.errors import TemporaryError, UnavailableError
from service.domain.facts import Absent, Fact, Key
from service.domain.model import TargetId
from service.domain.readiness import Standing
from service.domain.rules import RULES
from service.domain.verdict import Answer
from service.store.readiness import ReadinessStore
from service.workflow.readiness import AGAIN, LEARN, ROUND, SETTLE, Doors, Readiness
from tests.fakes.delivery import FakeDelivery
from tests.unit.service.domain import made
from tests.unit.service.workflow.stage import TARGET, Stage

HOUR = timedelta(hours=1)


@pytest.fixture
def kept(stage: Stage) -> ReadinessStore:
    return ReadinessStore(stage.database)


@pytest.fixture
def readiness(stage: Stage, kept: ReadinessStore) -> Readiness:
    return made_for(stage, kept)


def made_for(stage: Stage, kept: ReadinessStore) -> Readiness:
    return Readiness(examiner=stage.examiner, targets=stage.targets, kept=kept, clock=stage.clock, max_age=HOUR)


async def stood(kept: ReadinessStore) -> Standing:
    return (await kept.of([TARGET]))[TARGET]


async def test_a_target_gets_its_verdict_before_any_alert(readiness: Readiness, kept: ReadinessStore) -> None:
    await readiness.round()
    one = await stood(kept)
    assert (one.answer, one.says, one.since, one.good_for) == (Answer.PASS, "Every question has a yes.", made.NOW, HOUR)
    assert (one.suspect, one.goal) == (made.SUSPECT, made.GOAL)
    assert [turn.was for turn in await kept.turns(TARGET, limit=5)] == [None]


async def test_no_rule_about_an_incident_is_asked_for_there_is_none(readiness: Readiness, kept: ReadinessStore) -> None:
    await readiness.round()
    assert "alert_is_firing" not in {finding.rule for finding in (await stood(kept)).findings}


async def test_it_is_read_again_after_three_quarters_of_its_time_and_not_before(stage: Stage, readiness: Readiness, kept: ReadinessStore) -> None:
    await readiness.round()
    stage.clock.pass_(minutes=44)
    await readiness.round()
    assert (await stood(kept)).as_of == made.NOW
    stage.clock.pass_(minutes=1)
    await readiness.round()
    assert (await stood(kept)).as_of == made.NOW + timedelta(minutes=45)


async def test_each_look_begins_by_itself_in_the_task_that_asks(stage: Stage, kept: ReadinessStore) -> None:
    looks, asked = list[asyncio.Task[Any] | None](), list[asyncio.Task[Any] | None]()

    async def alive(_: TargetId) -> None:
        asked.append(asyncio.current_task())

    readiness = Readiness(
        examiner=stage.examiner,
        targets=stage.targets,
        kept=kept,
        clock=stage.clock,
        max_age=HOUR,
        looking=lambda: looks.append(asyncio.current_task()),
        alive=alive,
    )
    await readiness.round()
    assert looks == asked[:1]
    assert looks[0] is not asyncio.current_task()


async def test_a_look_stands_back_while_somebody_is_waited_for(stage: Stage, kept: ReadinessStore) -> None:
    stood_back, free = asyncio.Event(), asyncio.Event()

    async def stand_back() -> None:
        stood_back.set()
        await free.wait()

    readiness = Readiness(examiner=stage.examiner, targets=stage.targets, kept=kept, clock=stage.clock, max_age=HOUR, stand_back=stand_back)
    looking = asyncio.ensure_future(readiness.round())
    await asyncio.wait_for(stood_back.wait(), 60)
    assert await kept.ages() == ()
    free.set()
    await looking
    assert [one.target for one in await kept.ages()] == [TARGET]


async def test_what_the_watcher_saw_change_is_read_again_soon(stage: Stage, readiness: Readiness, kept: ReadinessStore) -> None:
    await readiness.round()
    stage.clock.pass_(minutes=2)
    stage.facts.tell(made.MANIFEST, keys.Manifest(digest=None))  # somebody cleans the registry up
    readiness.changed(TARGET)
    await readiness.round()
    assert (await stood(kept)).answer is Answer.PASS
    stage.clock.pass_(seconds=SETTLE.total_seconds())
    await readiness.round()
    one = await stood(kept)
    assert (one.answer, one.since) == (Answer.BLOCK, made.NOW + timedelta(minutes=2) + SETTLE)
    assert one.says.endswith("is no longer in the registry: its pods could not start.")
    turns = await kept.turns(TARGET, limit=5)
    assert [(turn.was, turn.answer) for turn in turns] == [(Answer.PASS, Answer.BLOCK), (None, Answer.PASS)]


async def test_what_changes_about_a_target_that_is_gone_is_looked_at_by_nobody(stage: Stage, readiness: Readiness, kept: ReadinessStore) -> None:
    await readiness.round()
    readiness.changed(TargetId("prod", "gone"))
    stage.clock.pass_(seconds=LEARN.total_seconds())
    await readiness.round()
    assert [one.target for one in await kept.ages()] == [TARGET]


async def test_promise_1_where_the_delivery_system_is_away_the_verdict_says_so(stage: Stage, readiness: Readiness, kept: ReadinessStore) -> None:
    stage.delivery.trouble["read"] = TemporaryError("the connection was refused")
    await readiness.round()
    one = await stood(kept)
    assert (one.answer, one.suspect) == (Answer.UNKNOWN, None)
    assert one.says == "Which release is live is unknown: the connection was refused."


async def test_a_store_that_is_away_leaves_the_old_verdict_and_it_is_tried_again(stage: Stage, kept: ReadinessStore) -> None:
    class Away(ReadinessStore):
        away = True

        async def keep(self, standing: Standing, turn: object, messages: object = ()) -> bool:
            if self.away:
                raise UnavailableError("the store is away")
            return await super().keep(standing, turn, messages)  # type: ignore[arg-type]

    away = Away(stage.database)
    readiness = made_for(stage, away)
    await readiness.round()
    assert await kept.ages() == ()
    away.away = False
    await readiness.round()
    assert await kept.ages() == ()  # not at once, or a store in trouble would be asked without end
    stage.clock.pass_(seconds=AGAIN.total_seconds())
    await readiness.round()
    assert len(await kept.ages()) == 1


async def test_after_a_start_what_stands_is_believed_until_it_is_due(stage: Stage, readiness: Readiness, kept: ReadinessStore) -> None:
    await readiness.round()
    stage.clock.pass_(minutes=10)
    again = made_for(stage, kept)
    await again.round()
    assert (await stood(kept)).as_of == made.NOW
    assert again.ages[TARGET].answer is Answer.PASS


async def test_a_verdict_by_another_policy_is_made_anew_at_once(stage: Stage, readiness: Readiness, kept: ReadinessStore) -> None:
    await readiness.round()
    stage.clock.pass_(seconds=10)
    stage.use(replace(stage.policies.of(TARGET), version="2"))
    await made_for(stage, kept).round()
    one = await stood(kept)
    assert (one.policy, one.as_of) == ("2", made.NOW + timedelta(seconds=10))


async def test_it_enters_its_own_pace_before_it_reads_anything(stage: Stage, kept: ReadinessStore) -> None:
    entered: list[int] = []

    class Looked(FakeDelivery):
        async def read(self, key: Key[Any]) -> Fact[Any]:
            assert entered
            return await super().read(key)

    stage.deliveries["prod"] = Looked(stage.clock, TARGET, stage.app)
    one = Readiness(examiner=stage.examiner, targets=stage.targets, kept=kept, clock=stage.clock, max_age=HOUR, entering=lambda: entered.append(1))
    await one.round()
    assert (len(entered), (await stood(kept)).answer) == (1, Answer.PASS)


async def test_a_process_that_does_not_lead_only_learns(stage: Stage, readiness: Readiness, kept: ReadinessStore) -> None:
    await readiness.learn()
    assert await kept.ages() == ()
    await made_for(stage, kept).round()
    stage.clock.pass_(seconds=LEARN.total_seconds())
    await readiness.learn()
    assert readiness.ages[TARGET].answer is Answer.PASS


# --- while an operation of ours is alive ------------------------------------------------------------------------------------


async def test_no_verdict_is_taken_while_an_operation_of_ours_is_alive_and_one_right_after_its_end(stage: Stage, kept: ReadinessStore) -> None:
    readiness = Readiness(examiner=stage.examiner, targets=stage.targets, kept=kept, clock=stage.clock, max_age=HOUR, alive=stage.operations.alive_for)
    await readiness.round()
    before = await stood(kept)
    await stage.begin()
    await stage.drive(until="act_send")
    readiness.changed(TARGET)
    for _ in range(3):
        stage.clock.pass_(seconds=SETTLE.total_seconds())
        await readiness.round()
    assert await stood(kept) == before
    row = await stage.drive()
    assert row.done_at is not None
    stage.clock.pass_(seconds=SETTLE.total_seconds())
    await readiness.round()
    assert (await stood(kept)).as_of > before.as_of


async def test_a_look_during_which_an_operation_began_is_not_written_down(stage: Stage, kept: ReadinessStore) -> None:
    answers = iter([None, "op_1"])

    async def alive(_: TargetId) -> object | None:
        return next(answers)

    await Readiness(examiner=stage.examiner, targets=stage.targets, kept=kept, clock=stage.clock, max_age=HOUR, alive=alive).round()
    assert await kept.ages() == ()


# --- a target that can no longer go back -------------------------------------------------------------------------------------

MOMENTARY = tuple(rule.name for rule in RULES if rule.momentary)


def telling(stage: Stage, kept: ReadinessStore, most: int = 10) -> Readiness:
    doors = Doors(stage.told, momentary=MOMENTARY, most=most)
    return Readiness(examiner=stage.examiner, targets=stage.targets, kept=kept, clock=stage.clock, max_age=HOUR, doors=doors)


async def again(stage: Stage, readiness: Readiness) -> None:
    """It is looked at again, after what was read before has become too old to be believed."""
    stage.clock.pass_(minutes=2)
    readiness.changed(TARGET)
    stage.clock.pass_(seconds=SETTLE.total_seconds())
    await readiness.round()


def gone(stage: Stage) -> None:
    stage.facts.tell(made.MANIFEST, keys.Manifest(digest=None))


def back(stage: Stage) -> None:
    stage.facts.tell(made.MANIFEST, keys.Manifest(digest=made.OLD_DIGEST))


def away(stage: Stage) -> None:
    stage.facts.tell(made.MANIFEST, Absent("the registry is away"))


async def test_promise_13_a_target_that_can_no_longer_go_back_is_told_once_with_why_and_what_to_do(stage: Stage, kept: ReadinessStore) -> None:
    readiness = telling(stage, kept)
    await readiness.round()
    assert await stage.messages() == []
    gone(stage)
    await again(stage, readiness)
    await again(stage, readiness)
    (told,) = await stage.messages()
    assert (told["event"], told["title"], told["target"]) == ("no_way_back", "prod:checkout can no longer go back", "prod:checkout")
    assert told["rules"] == ["goal_images_exist"]
    assert "is no longer in the registry: its pods could not start." in told["text"]
    assert f"Live is {made.SUSPECT.title}; it can no longer go back to {made.GOAL.title}. Nothing burns, and nothing was touched." in told["text"]


async def test_a_door_that_was_open_again_is_told_again(stage: Stage, kept: ReadinessStore) -> None:
    readiness = telling(stage, kept)
    await readiness.round()
    for change in (gone, back, gone):
        change(stage)
        await again(stage, readiness)
    assert len(await stage.messages()) == 2


async def test_an_unknown_neither_closes_a_door_nor_opens_one(stage: Stage, kept: ReadinessStore) -> None:
    readiness = telling(stage, kept)
    await readiness.round()
    away(stage)
    await again(stage, readiness)
    assert ((await stood(kept)).answer, await stage.messages()) == (Answer.UNKNOWN, [])
    for change in (gone, away, gone):
        change(stage)
        await again(stage, readiness)
    assert len(await stage.messages()) == 1


async def test_the_first_verdict_of_a_target_tells_nobody(stage: Stage, kept: ReadinessStore) -> None:
    readiness = telling(stage, kept)
    gone(stage)
    await readiness.round()
    await again(stage, readiness)
    assert ((await stood(kept)).answer, await stage.messages()) == (Answer.BLOCK, [])


async def test_what_passes_is_told_to_nobody(stage: Stage, kept: ReadinessStore) -> None:
    readiness = telling(stage, kept)
    await readiness.round()
    await stage.begin()  # nothing but Backout's own limits stands in the way
    await again(stage, readiness)
    assert [(one.rule, one.answer) for one in (await stood(kept)).against] == [("limits_allow_acting", Answer.BLOCK)]
    stage.delivery.trouble["read"] = TemporaryError("the connection was refused")
    await again(stage, readiness)
    assert (await stood(kept)).suspect is None
    assert await stage.messages() == []


async def test_no_more_than_so_many_are_told_within_an_hour_and_the_last_says_so(stage: Stage, kept: ReadinessStore) -> None:
    readiness = telling(stage, kept, most=2)
    await readiness.round()
    for change in (gone, back, gone, back, gone, back):
        change(stage)
        await again(stage, readiness)
    first, last = await stage.messages()
    assert "not told one by one" not in first["text"]
    assert "Should more targets turn within the hour, they are not told one by one: backout check lists them." in last["text"]
    stage.clock.pass_(minutes=61)
    gone(stage)
    await again(stage, readiness)
    assert len(await stage.messages()) == 3


async def test_none_is_told_where_none_is_wanted(stage: Stage, kept: ReadinessStore) -> None:
    readiness = telling(stage, kept, most=0)
    await readiness.round()
    gone(stage)
    await again(stage, readiness)
    assert ((await stood(kept)).answer, await stage.messages()) == (Answer.BLOCK, [])


async def test_a_round_says_whether_more_are_due_than_it_took(stage: Stage, readiness: Readiness) -> None:
    await readiness.learn()
    for number in range(ROUND):
        readiness.changed(TargetId("prod", f"more-{number}"))
    stage.clock.pass_(seconds=10)
    assert await readiness.round()
    assert not await readiness.round()
