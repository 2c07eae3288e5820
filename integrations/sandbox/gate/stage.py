"""What a stage of Orca is made of: tasks that are asked again and again, stages before and after, and how they fail (contract 4, 6.2).

The engine runs them; what each type does is in the modules `*_stages`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from integrations.sandbox.gate.settings import Json
from integrations.sandbox.gate.tools import Tools

ORCA_TASKS: Final = "com.netflix.spinnaker.orca."


class StageError(Exception):
    """A task or the planning of a stage threw: what stands in `context.exception`."""

    def __init__(self, kind: str, message: str, *, error: str = "Unexpected Task Failure", http: Json | None = None, errors: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.kind = kind
        self.error = error
        self.errors = list(errors) or [message]
        self.http = http or {}

    def exception(self, operation: str, millis: int) -> Json:
        """The map that Orca keeps of it."""
        details = {"error": self.error, "errors": self.errors, "stackTrace": f"{self.kind}: {self}\n\tat orca(Orca.kt)", **self.http}
        return {"details": details, "exceptionType": self.kind, "operation": operation, "shouldRetry": False, "timestamp": millis}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a task answered: RUNNING asks it again after its poll, TERMINAL fails the stage. `context` and `outputs` are merged into the stage."""

    status: str = "SUCCEEDED"
    context: Json = field(default_factory=dict)
    outputs: Json = field(default_factory=dict)
    again: float | None = None  # seconds until it is asked again, where that is not the poll of its kind


DONE: Final = Outcome()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A task at work: its run and stage as they are stored, and the seconds since the task was first asked."""

    tools: Tools
    execution: Json
    stage: Json
    elapsed: float = 0.0

    @property
    def context(self) -> Json:
        """The stage's own context; what stages before it wrote is in their outputs."""
        context: Json = self.stage["context"]
        return context

    @property
    def user(self) -> str:
        """As whom the run acts."""
        return str(self.execution["authentication"]["user"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task: its name and class as Orca shows them, what it does, and how often it is asked."""

    name: str
    cls: str
    work: Callable[[Work], Outcome]
    poll: float = 1.0
    timeout: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthetic:
    """A stage that another one adds while it is planned."""

    type: str
    name: str
    context: Json


def _no_tasks(_work: Work) -> Sequence[Task]:
    return ()


def _no_stages(_work: Work) -> Sequence[Synthetic]:
    return ()


def _nothing(_work: Work) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A type of stage. Stages before it are planned with its tasks, those after it when the tasks are done, or those `on_failure` when it failed.

    `cancel` is what it does besides when it is cancelled while it runs: nothing is planned then.
    """

    tasks: Callable[[Work], Sequence[Task]] = _no_tasks
    before: Callable[[Work], Sequence[Synthetic]] = _no_stages
    after: Callable[[Work], Sequence[Synthetic]] = _no_stages
    on_failure: Callable[[Work], Sequence[Synthetic]] = _no_stages
    cancel: Callable[[Work], None] = _nothing


def always(_work: Work) -> Outcome:
    """A task whose effects nobody sees."""
    return DONE
