"""One step of work: load the row, let the story say what changes, commit. Knows no DBOS, so that tests drive it with a fake clock."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from typing import Protocol

import structlog

from service.domain.errors import BackoutError, ConflictError, TemporaryError, UnavailableError
from service.domain.model import Operation, OperationKind, Outcome
from service.domain.ports import AuditEvent, Clock, Journal, Message, Transition, Work
from service.workflow.record import SCHEMA

log = structlog.get_logger()

COMMIT_PAUSE = 0.5
STUMBLE_PAUSE = timedelta(seconds=4)
STUMBLES = 5
STUMBLED = "stumbled"

Tell = Callable[[Operation, str, datetime], tuple[Message, ...]]
"""The messages that say of an operation, in this sentence and at this time, that Backout itself cannot go on with it."""


class Story(Protocol):
    """The story of one kind of operation."""

    @property
    def phases(self) -> frozenset[str]: ...  # noqa: D102

    async def advance(self, operation: Operation) -> Transition: ...  # noqa: D102

    async def barred(self, operation: Operation, why: str) -> Transition: ...  # noqa: D102
    async def failed(self, operation: Operation, why: str) -> Transition: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """What a segment does next: stop, or sleep so many seconds and go on. `rev` moves with the row."""

    stop: bool
    sleep: float = 0.0
    why: str = ""


class Runner:
    """Runs operations and deliveries one step at a time."""

    def __init__(
        self,
        *,
        journal: Journal,
        stories: Mapping[OperationKind, Story],
        place: Callable[..., Awaitable[None]],
        clock: Clock,
        entering: Callable[[Operation], None] = lambda _: None,
        tell: Tell = lambda _o, _s, _a: (),
    ) -> None:
        self._journal = journal
        self._stories = stories
        self._place = place
        self._clock = clock
        self._entering = entering
        self._tell = tell
        self._stumbles: dict[str, int] = {}

    async def place(self, *delivery_ids: str) -> None:
        """Place deliveries; doing it twice does it once."""
        await self._place(*delivery_ids)

    async def step(self, work: Work) -> Directive:
        """One step. Raises UnavailableError while the store is away: the engine tries the step again, and effects are looked for before they are tried."""
        if work.kind == "delivery":
            await self._place(work.id)
            return Directive(stop=True, why="placed")
        operation = await self._journal.load(work.id)
        if operation is None or operation.done_at is not None:
            return Directive(stop=True, why="ended")
        if operation.seq != work.seq:
            return Directive(stop=True, why="fenced")
        story = self._stories.get(operation.kind)
        if story is None or operation.phase not in story.phases or int(operation.data.get("schema", SCHEMA)) > SCHEMA:
            return Directive(stop=True, why="left to a newer version")  # never guess at a phase or a record this version does not know
        transition = await self._advance(story, operation)
        if transition is None:
            return Directive(stop=False, sleep=STUMBLE_PAUSE.total_seconds(), why="stumbled")
        return await self._commit(story, operation, await self._with_what_follows(story, operation, transition))

    async def _with_what_follows(self, story: Story, operation: Operation, first: Transition) -> Sequence[Transition]:
        """What may share a commit: from the look after one effect to the intent of the next. An error is left for the step that begins with it."""
        found = [first]
        while found[-1].goes_on:
            operation = found[-1].of(operation, self._clock.now())
            try:
                found.append(await story.advance(operation))
            except Exception as error:  # noqa: BLE001  whatever it is: what was found before it is committed, and the next step meets it and tells it
                log.debug("what follows is left for a step of its own", operation=operation.id, phase=operation.phase, error=type(error).__name__)
                break
        return found

    async def _advance(self, story: Story, operation: Operation) -> Transition | None:
        self._entering(operation)
        try:
            transition = await story.advance(operation)
        except UnavailableError:
            raise
        except TemporaryError as error:
            return replace(_same(operation), says=f"{error}; trying again", wait=STUMBLE_PAUSE)
        except Exception as error:  # noqa: BLE001  a defect must not end the operation silently: it is recorded, tried again, then a person is told
            return await self._stumbled(story, operation, error)
        return transition

    async def _stumbled(self, story: Story, operation: Operation, error: Exception) -> Transition | None:
        """None to try again soon. At the fifth time a person is told; an operation that has written nothing ends, for it would bar every other one."""
        count = self._stumbles[operation.id] = self._stumbles.get(operation.id, 0) + 1
        log.error("operation stumbled", operation=operation.id, phase=operation.phase, error=type(error).__name__, count=count, exc_info=error)
        if count % STUMBLES:
            return None
        # Our own errors carry a sentence for people; others may hold anything, secrets too.
        why = str(error) if isinstance(error, BackoutError) else type(error).__name__
        says, now = f"Backout stumbled {count} times in phase {operation.phase} ({why}); a person is needed", self._clock.now()
        if operation.first_effect_at is None:
            return await self._fail(story, operation, says, now)
        says += ", the target is kept"
        row = AuditEvent(kind=STUMBLED, says=says, at=now)
        return replace(_same(operation), says=says, events=(row,), messages=self._tell(operation, says, now), wait=timedelta(minutes=1))

    async def _fail(self, story: Story, operation: Operation, says: str, now: datetime) -> Transition:
        """The story tells the end with its trace and its message; where even that stumbles, the row ends all the same and a person is told."""
        row = AuditEvent(kind=STUMBLED, says=says, at=now)
        try:
            end = await story.failed(operation, says)
        except Exception as error:  # a defect in the end itself: the row must not stay alive for it, or the target is taken for nothing
            log.error("the end of an operation stumbled", operation=operation.id, error=type(error).__name__, exc_info=error)  # noqa: TRY400  with the operation
            told = self._tell(replace(operation, done_at=now), says, now)
            return replace(_same(operation), phase="ended", says=says, events=(row,), messages=told, done=Outcome.FAILED)
        return replace(end, events=(row, *end.events))

    async def _commit(self, story: Story, operation: Operation, transitions: Sequence[Transition]) -> Directive:
        """The commit has a retry loop of its own around the finished result, so that a moment without the store repeats no effect."""
        transition = reduce(Transition.then, transitions)
        while True:
            at = self._clock.now()
            try:
                done = await self._journal.commit(operation, transition, at)
            except ConflictError as error:
                if len(transitions) > 1:  # the last one may not be written; what came before it is true all the same
                    transitions = transitions[:-1]
                    transition = reduce(Transition.then, transitions)
                    continue
                transition = await story.barred(operation, str(error))
                continue
            except UnavailableError as error:
                log.warning("commit is waiting for the store", operation=operation.id, error=str(error))
                await self._clock.sleep(COMMIT_PAUSE)
                continue
            except Exception as error:  # noqa: BLE001  what cannot be written is a defect as well, and no less silent for it
                stumbled = await self._stumbled(story, operation, error)
                if stumbled is None:
                    return Directive(stop=False, sleep=STUMBLE_PAUSE.total_seconds(), why="stumbled")
                transition, transitions = stumbled, (stumbled,)
                continue
            break
        if not any(event.kind == STUMBLED for event in transition.events):
            self._stumbles.pop(operation.id, None)
        if not done:
            return Directive(stop=True, why="fenced")
        log.info("operation", operation=operation.id, target=str(operation.target), phase=transition.phase, says=transition.says)
        later = transition.until_person is not None or transition.wait > timedelta(seconds=5)
        if transition.done is not None or later:
            return Directive(stop=True, why=transition.phase)
        return Directive(stop=False, sleep=transition.wait.total_seconds())


def _same(operation: Operation) -> Transition:
    return Transition(phase=operation.phase, data=operation.data)
