from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain.errors import ConflictError, PermanentError, TemporaryError, UnavailableError
from service.domain.model import Operation, OperationKind, Outcome
from service.domain.ports import AuditEvent, Message, Transition, Work
from service.engine.runner import STUMBLE_PAUSE, STUMBLES, Directive, Runner
from tests.fakes.clock import START, FakeClock
from tests.fakes.journal import FakeJournal
from tests.fakes.store import operation

WORK = Work(kind="operation", id="op_1", seq=0)


class FakeStory:
    """A story of two phases that counts its effects. `answers` are taken one each: a transition to give, or an error to raise."""

    phases = frozenset({"begin", "act"})

    def __init__(self) -> None:
        self.answers: list[Transition | Exception] = []
        self.advanced = 0
        self.barred_because: list[str] = []
        self.failed_because: list[str] = []
        self.end_breaks = False

    async def advance(self, operation: Operation) -> Transition:
        self.advanced += 1
        answer = self.answers.pop(0) if self.answers else Transition(phase="act", data={**operation.data, "n": self.advanced})
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def barred(self, operation: Operation, why: str) -> Transition:
        self.barred_because.append(why)
        return Transition(phase="ended", data=operation.data, done=Outcome.REFUSED)

    async def failed(self, operation: Operation, why: str) -> Transition:
        if self.end_breaks:
            raise KeyError(why)
        self.failed_because.append(why)
        return Transition(phase="ended", data=operation.data, done=Outcome.FAILED)


class Bench:
    def __init__(self, row: Operation | None = None) -> None:
        self.clock = FakeClock()
        self.journal = FakeJournal(row or operation())
        self.story = FakeStory()
        self.placed: list[str] = []
        self.entered: list[str] = []
        self.runner = Runner(
            journal=self.journal,
            stories={OperationKind.ROLLBACK: self.story},
            place=self._place,
            clock=self.clock,
            entering=lambda one: self.entered.append(one.phase),
            tell=lambda _operation, says, _at: (Message(channel="notify:x", key="stumbled", body={"says": says}),),
        )

    async def _place(self, delivery: str) -> None:
        self.placed.append(delivery)

    @property
    def row(self) -> Operation:
        return self.journal.rows["op_1"]


async def test_one_step_advances_the_story_and_commits_it() -> None:
    bench = Bench()
    assert await bench.runner.step(WORK) == Directive(stop=False, sleep=0.0)
    assert (bench.row.phase, bench.row.rev, bench.story.advanced, bench.entered) == ("act", 1, 1, ["begin"])


async def test_a_delivery_is_placed_and_that_was_all() -> None:
    bench = Bench()
    assert (await bench.runner.step(Work(kind="delivery", id="dlv_1"))).stop
    assert (bench.placed, bench.story.advanced) == (["dlv_1"], 0)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (operation(seq=1), "fenced"),
        (operation(done_at=START, outcome=Outcome.FAILED), "ended"),
        (operation("op_other"), "ended"),
        (operation(phase="of_next_year"), "left to a newer version"),
    ],
)
async def test_promise_3_a_segment_that_is_fenced_ended_or_too_old_touches_nothing(row: Operation, why: str) -> None:
    bench = Bench(row)
    assert await bench.runner.step(WORK) == Directive(stop=True, why=why)
    assert (bench.story.advanced, bench.journal.commits) == (0, [])


async def test_a_kind_of_operation_that_nobody_tells_the_story_of_is_left_alone() -> None:
    bench = Bench()
    runner = Runner(journal=bench.journal, stories={}, place=bench._place, clock=bench.clock)  # noqa: SLF001  the bench's own
    assert await runner.step(WORK) == Directive(stop=True, why="left to a newer version")


async def test_promise_3_a_commit_that_lost_the_race_stops_the_segment() -> None:
    bench = Bench()

    class Faster(FakeStory):
        async def advance(self, operation: Operation) -> Transition:
            bench.journal.rows["op_1"] = replace(bench.row, rev=7)
            return await super().advance(operation)

    bench.story = Faster()
    runner = Runner(journal=bench.journal, stories={OperationKind.ROLLBACK: bench.story}, place=bench._place, clock=bench.clock)  # noqa: SLF001  the bench's own
    assert await runner.step(WORK) == Directive(stop=True, why="fenced")
    assert bench.row.phase == "begin"


async def test_promise_3_a_moment_without_the_store_repeats_the_commit_and_not_the_effect() -> None:
    bench = Bench()
    bench.journal.trouble = [UnavailableError("away"), UnavailableError("away")]
    assert not (await bench.runner.step(WORK)).stop
    assert (bench.story.advanced, len(bench.journal.commits), bench.row.phase) == (1, 3, "act")
    assert len({id(one) for one in bench.journal.commits}) == 1
    assert bench.clock.now() > START


async def test_a_store_that_is_away_while_the_story_reads_is_the_engines_to_try_again() -> None:
    bench = Bench()
    bench.story.answers = [UnavailableError("away")]
    with pytest.raises(UnavailableError):
        await bench.runner.step(WORK)
    assert (bench.journal.commits, bench.row.rev) == ([], 0)
    assert not (await bench.runner.step(WORK)).stop
    assert bench.row.phase == "act"


async def test_promise_3_an_operation_that_may_not_act_is_barred_and_ends() -> None:
    bench = Bench()
    bench.journal.trouble = [ConflictError("another one acted already")]
    assert (await bench.runner.step(WORK)).stop
    assert bench.story.barred_because == ["another one acted already"]
    assert (bench.row.outcome, bench.story.advanced) == (Outcome.REFUSED, 1)


async def test_an_outside_that_does_not_answer_is_tried_again_in_the_same_phase() -> None:
    bench = Bench()
    bench.story.answers = [TemporaryError("no answer")]
    assert await bench.runner.step(WORK) == Directive(stop=False, sleep=STUMBLE_PAUSE.total_seconds())
    assert (bench.row.phase, bench.row.says) == ("begin", "no answer; trying again")


@pytest.mark.parametrize(
    ("defect", "why"),
    [(KeyError("s3cr3t"), "KeyError"), (PermanentError("the record cannot be read"), "the record cannot be read"), (ZeroDivisionError(), "ZeroDivisionError")],
)
async def test_promise_13_a_defect_after_something_was_written_is_told_and_the_target_is_kept(defect: Exception, why: str) -> None:
    bench = Bench(operation(first_effect_at=START))
    bench.story.answers = [defect] * STUMBLES
    for _ in range(STUMBLES - 1):
        assert await bench.runner.step(WORK) == Directive(stop=False, sleep=STUMBLE_PAUSE.total_seconds(), why="stumbled")
        assert bench.journal.log == []
    assert (await bench.runner.step(WORK)).stop  # a longer wait is a delayed segment
    (event,) = bench.journal.log
    assert event.kind == "stumbled"
    assert event.says == f"Backout stumbled 5 times in phase begin ({why}); a person is needed, the target is kept"
    assert (bench.row.phase, bench.row.done_at, bench.row.seq) == ("begin", None, 1)
    assert [one.body for one in bench.journal.commits[-1].messages] == [{"says": event.says}]


async def test_promise_13_a_defect_before_anything_was_written_ends_the_operation_and_is_told() -> None:
    bench = Bench()
    bench.story.answers = [KeyError("x")] * STUMBLES
    for _ in range(STUMBLES):
        await bench.runner.step(WORK)
    assert (bench.row.outcome, bench.story.failed_because) == (
        Outcome.FAILED,
        ["Backout stumbled 5 times in phase begin (KeyError); a person is needed"],
    )
    assert [event.kind for event in bench.journal.log] == ["stumbled"]


async def test_promise_13_an_end_that_stumbles_itself_is_an_end_and_is_told() -> None:
    bench = Bench()
    bench.story.answers, bench.story.end_breaks = [KeyError("x")] * STUMBLES, True
    for _ in range(STUMBLES):
        await bench.runner.step(WORK)
    assert (bench.row.outcome, bench.row.phase) == (Outcome.FAILED, "ended")
    assert len(bench.journal.commits[-1].messages) == 1


async def test_a_record_of_a_newer_schema_is_left_to_a_newer_version() -> None:
    bench = Bench(operation(data={"schema": 99}))
    assert await bench.runner.step(WORK) == Directive(stop=True, why="left to a newer version")
    assert bench.story.advanced == 0


async def test_promise_13_a_transition_that_cannot_be_written_is_recorded_as_a_stumble() -> None:
    bench = Bench(operation(first_effect_at=START))
    for _ in range(STUMBLES):
        bench.journal.trouble = [TypeError("no JSON")]
        await bench.runner.step(WORK)
    assert [event.kind for event in bench.journal.log] == ["stumbled"]
    assert (bench.row.phase, bench.row.done_at) == ("begin", None)


async def test_a_step_that_works_forgets_earlier_stumbles() -> None:
    bench = Bench()
    bad: list[Transition | Exception] = [KeyError("x")] * (STUMBLES - 1)
    bench.story.answers = [*bad, Transition(phase="begin", data={}), *bad]
    for _ in range(2 * STUMBLES - 1):
        await bench.runner.step(WORK)
    assert bench.journal.log == []


def _wait(**changes: object) -> Callable[[], Transition]:
    return lambda: Transition(phase="act", data={}, **changes)  # type: ignore[arg-type]  # whatever a transition has


@pytest.mark.parametrize(
    ("transition", "directive"),
    [
        (_wait(), Directive(stop=False, sleep=0.0)),
        (_wait(wait=timedelta(seconds=5)), Directive(stop=False, sleep=5.0)),
        (_wait(wait=timedelta(seconds=5.1)), Directive(stop=True, why="act")),
        (_wait(until_person=START), Directive(stop=True, why="act")),
        (_wait(done=Outcome.RECOVERED), Directive(stop=True, why="act")),
    ],
)
async def test_a_segment_sleeps_short_waits_itself_and_stops_for_long_ones(transition: Callable[[], Transition], directive: Directive) -> None:
    bench = Bench()
    bench.story.answers = [transition()]
    assert await bench.runner.step(WORK) == directive


async def test_a_segment_and_the_store_agree_on_what_a_long_wait_is() -> None:
    """Were they not to agree, a segment would stop and nobody would go on, or two would."""
    for seconds in (0, 4.999, 5, 5.001, 15):
        bench = Bench()
        bench.story.answers = [Transition(phase="act", data={}, wait=timedelta(seconds=seconds))]
        stopped = (await bench.runner.step(WORK)).stop
        assert stopped == (bench.row.seq == 1), seconds


# --- transitions that share a commit ---


def going_on(phase: str, kind: str, **more: Any) -> Transition:
    return Transition(phase=phase, data={"at": kind}, says=kind, events=(AuditEvent(kind=kind, says=kind, at=START),), goes_on=True, **more)


async def test_what_lies_between_two_effects_is_committed_once_with_every_row_of_it() -> None:
    bench = Bench()
    bench.story.answers = [going_on("act", "sent"), going_on("act", "done", suspect_key="bad"), replace(going_on("act", "intent"), goes_on=False)]
    assert await bench.runner.step(WORK) == Directive(stop=False, sleep=0.0)
    assert [event.kind for event in bench.journal.log] == ["sent", "done", "intent"]
    assert (bench.row.rev, bench.row.data, bench.row.says, bench.story.advanced) == (1, {"at": "intent"}, "intent", 3)
    assert bench.journal.commits[0].suspect_key == "bad"


async def test_each_that_follows_is_told_the_row_as_the_one_before_leaves_it() -> None:
    bench = Bench()
    seen: list[Operation] = []

    class Watching(FakeStory):
        async def advance(self, operation: Operation) -> Transition:
            seen.append(operation)
            bench.clock.pass_(seconds=1)
            return await super().advance(operation)

    story = Watching()
    first = going_on("act", "verdict", suspect_key="bad", goal_key="good", act_before=START + timedelta(minutes=5), first_effect=True)
    story.answers = [first, replace(going_on("act", "intent"), goes_on=False)]
    await Runner(journal=bench.journal, stories={OperationKind.ROLLBACK: story}, place=bench._place, clock=bench.clock).step(WORK)  # noqa: SLF001  the bench's own
    after = START + timedelta(seconds=1)
    expected = replace(
        operation(),
        phase="act",
        data={"at": "verdict"},
        says="verdict",
        suspect_key="bad",
        goal_key="good",
        act_before=START + timedelta(minutes=5),
        first_effect_at=after,
        updated_at=after,
    )
    assert seen == [operation(), expected]


@pytest.mark.parametrize("error", [UnavailableError("away"), TemporaryError("not now"), PermanentError("no"), KeyError("defect")], ids=repr)
async def test_promise_2_what_was_found_is_committed_though_what_follows_fails(error: Exception) -> None:
    bench = Bench()
    bench.story.answers = [going_on("act", "done"), error]
    assert await bench.runner.step(WORK) == Directive(stop=False, sleep=0.0)
    assert ([event.kind for event in bench.journal.log], bench.row.phase, bench.row.rev) == (["done"], "act", 1)


async def test_promise_3_where_the_last_of_them_may_not_be_written_the_ones_before_it_are() -> None:
    bench = Bench()
    bench.story.answers = [going_on("act", "verdict"), replace(going_on("act", "intent", first_effect=True), goes_on=False)]
    bench.journal.trouble = [ConflictError("another one acted")]
    assert await bench.runner.step(WORK) == Directive(stop=False, sleep=0.0)
    assert ([event.kind for event in bench.journal.log], bench.story.barred_because) == (["verdict"], [])
    bench.story.answers = [replace(going_on("act", "intent", first_effect=True), goes_on=False)]
    bench.journal.trouble = [ConflictError("another one acted")]
    assert (await bench.runner.step(WORK)).stop
    assert (bench.story.barred_because, bench.row.outcome) == (["another one acted"], Outcome.REFUSED)
