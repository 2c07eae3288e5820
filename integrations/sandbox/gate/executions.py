"""Orca's executions as they are stored: the map of each run, and which unfinished run a correlation id belongs to (contract 6.1, 9).

What makes them move is the engine.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from integrations.sandbox.gate.settings import Json
from integrations.sandbox.gate.statuses import COMPLETE

PIPELINE: Final = "PIPELINE"
ORCHESTRATION: Final = "ORCHESTRATION"
_NOT_CONTEXT: Final = frozenset({"type", "name", "refId", "requisiteStageRefIds", "id"})
_OWN_TRIGGER_KEYS: Final[Json] = {
    "artifacts": [],
    "dryRun": False,
    "notifications": [],
    "parameters": {},
    "rebake": False,
    "resolvedExpectedArtifacts": [],
    "strategy": False,
    "type": "manual",
}


@dataclass(slots=True, kw_only=True)
class Run:
    """One execution. `execution` is the stored map; the rest is Orca's queue. `epoch` counts its starts: what an earlier start had queued is void."""

    execution: Json
    epoch: int = 0
    queued: bool = False
    wrecked: bool = False
    asked: dict[tuple[str, str], int] = field(default_factory=dict)  # (stage, task) -> when first asked, in ms
    answered: set[tuple[str, str]] = field(default_factory=set)  # (stage, task) whose answer was final and is about to be written
    turns: dict[str, int] = field(default_factory=dict)  # stage -> counts its queued looks; only the newest counts
    after_planned: set[str] = field(default_factory=set)
    failing: dict[str, str] = field(default_factory=dict)  # stage -> how it ends once what it does on its failure is done

    @property
    def id(self) -> str:
        """The execution's id."""
        return str(self.execution["id"])

    @property
    def kind(self) -> str:
        """PIPELINE or ORCHESTRATION."""
        return str(self.execution["type"])

    @property
    def status(self) -> str:
        """The execution's status."""
        return str(self.execution["status"])

    @property
    def complete(self) -> bool:
        """Whether the status is final, as far as one is."""
        return self.status in COMPLETE

    @property
    def stages(self) -> list[Json]:
        """Its stages, in the order in which they are stored."""
        stages: list[Json] = self.execution["stages"]
        return stages

    def stage(self, stage_id: str) -> Json | None:
        """The stage of that id."""
        return next((stage for stage in self.stages if stage["id"] == stage_id), None)

    def children(self, stage: Json, owner: str) -> list[Json]:
        """The synthetic stages of `stage` before or after it, in order of their refId."""
        found = [one for one in self.stages if one.get("parentStageId") == stage["id"] and one["syntheticStageOwner"] == owner]
        return sorted(found, key=lambda one: int(one["refId"].rpartition("<" if owner == "STAGE_BEFORE" else ">")[2]))


class Executions:
    """All runs of one Spinnaker."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._correlated: dict[tuple[str, str], str] = {}

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._runs.values()))

    def get(self, kind: str, execution_id: str) -> Run | None:
        """The run of that kind and id."""
        run = self._runs.get(execution_id)
        return run if run is not None and run.kind == kind else None

    def put(self, run: Run) -> None:
        """Store a run under its id, in place of one that had it, and remember its correlation id."""
        self._runs[run.id] = run
        key = run.execution["trigger"].get("correlationId")
        if key:
            self._correlated[run.kind, str(key)] = run.id

    def delete(self, run: Run) -> None:
        """Forget a run."""
        self._runs.pop(run.id, None)
        self.uncorrelate(run)

    def correlated(self, kind: str, key: Any) -> Run | None:
        """The unfinished run of that correlation id, whatever pipeline it is of."""
        run = self._runs.get(self._correlated.get((kind, str(key)), "")) if key else None
        return run if run is not None and not run.complete else None

    def uncorrelate(self, run: Run) -> None:
        """The run is over: its correlation id is free again."""
        key = (run.kind, str(run.execution["trigger"].get("correlationId")))
        if self._correlated.get(key) == run.id:
            del self._correlated[key]


def trigger_of(given: Json, user: str) -> Json:
    """A trigger with the keys that Orca always has; unknown ones are kept."""
    return {**copy.deepcopy(_OWN_TRIGGER_KEYS), "user": user, **{name: value for name, value in given.items() if value is not None}}


def stage_of(given: Json, stage_id: str, ref_id: str, requisites: list[str]) -> Json:
    """A stage as stored from its configuration: what is not its own is its context."""
    return {
        "context": {name: copy.deepcopy(value) for name, value in given.items() if name not in _NOT_CONTEXT},
        "id": stage_id,
        "name": given.get("name") or given["type"],
        "outputs": {},
        "refId": ref_id,
        "requisiteStageRefIds": requisites,
        "status": "NOT_STARTED",
        "tasks": [],
        "type": given["type"],
    }


def task_view(run: Run) -> Json:
    """A run as `/tasks` shows it: variables are the contexts of all stages, flattened."""
    execution = run.execution
    variables: Json = {}
    for stage in run.stages:
        for name, value in stage["context"].items():
            if name not in variables or value not in (None, "", [], {}):
                variables[name] = value
    view: Json = {name: execution[name] for name in ("application", "buildTime", "startTime", "endTime", "id", "status") if name in execution}
    steps = [task for stage in run.stages for task in stage["tasks"]]
    name = execution.get("description") or execution.get("name", "")
    return {**view, "name": name, "execution": execution, "steps": steps, "variables": [{"key": key, "value": value} for key, value in variables.items()]}


def collapsed(execution: Json) -> Json:
    """An execution as lists show it without `expand`: no contexts, outputs and tasks of its stages."""
    stages = [{**stage, "context": {}, "outputs": {}, "tasks": []} for stage in execution["stages"]]
    return {**execution, "stages": stages}
