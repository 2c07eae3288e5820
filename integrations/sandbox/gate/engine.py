"""Orca's state machine: starts runs, queues them, plans stages, asks tasks, ends, cancels, pauses and restarts (contract 5, 6.3).

Everything it does later is an act on the timeline; what Orca had in its queue when it was killed is delivered again after ten minutes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from integrations.sandbox.gate.executions import Run
from integrations.sandbox.gate.expressions import evaluate
from integrations.sandbox.gate.plain_stages import window_of
from integrations.sandbox.gate.settings import Json
from integrations.sandbox.gate.stage import DONE, Definition, Outcome, StageError, Synthetic, Task, Work
from integrations.sandbox.gate.statuses import COMPLETE, GOES_ON
from integrations.sandbox.gate.tools import Tools

SUPERSEDED: Final = (
    "This execution was queued but then canceled because a newer queued execution superceded it."
    " This pipeline is configured to automatically cancel waiting executions."
)
EXPIRED: Final = "Could not begin execution before start time expiry"
_WRECKED: Final = 1.0
_WRECKED_SQL: Final = 0.3
Listener = Callable[[Run], None]


class Engine:
    """Moves the runs of one Spinnaker. `ended` is told of each run that ends."""

    def __init__(self, tools: Tools, catalogue: Mapping[str, Definition]) -> None:
        self._tools = tools
        self._catalogue = catalogue
        self._tasks: dict[tuple[str, str], list[Task]] = {}  # (run, stage) -> what its tasks do
        self._held: list[Callable[[], None]] = []
        self.dead = False
        self._died = 0
        self.ended: list[Listener] = []

    # --- Orca's own life ---------------------------------------------------------------------------------------------------

    def die(self) -> None:
        """SIGKILL: nothing moves until `live_again`."""
        self.dead = True
        self._died = self._tools.timeline.millis

    def live_again(self) -> None:
        """Started again: what was in flight is delivered anew when its acknowledgement is ten minutes late (recording 09e)."""
        self.dead = False
        held, self._held = self._held, []
        passed = (self._tools.timeline.millis - self._died) / 1000
        for act in held:
            self._tools.timeline.after(max(0.0, self._tools.timings.queue - passed), act)

    def _later(self, run: Run, seconds: float, act: Callable[[], None]) -> None:
        epoch = run.epoch

        def happen() -> None:
            if self.dead:
                self._held.append(happen)
            elif run.epoch == epoch and self._tools.executions.get(run.kind, run.id) is run:
                act()

        self._tools.timeline.after(seconds, happen)

    # --- starting ----------------------------------------------------------------------------------------------------------

    def start(self, run: Run) -> None:
        """Take a stored run into the queue."""
        run.epoch += 1
        self._later(run, self._tools.timings.start, lambda: self._begin(run))

    def wreck(self, run: Run) -> None:
        """The id of a run that goes on was posted again: the new one ends TERMINAL within two seconds, its stage CANCELED later (recordings 01d, 20c)."""
        run.wrecked = True
        self.start(run)
        self._later(run, _WRECKED_SQL if self._tools.profile.sql else _WRECKED, lambda: self._fail_under_way(run, at_once=False))

    def disturb(self, run: Run) -> None:
        """On SQL the run after a wreck is disturbed by what was left in the queue: TERMINAL, its stage CANCELED (recording 20c)."""
        self.start(run)
        self._later(run, _WRECKED_SQL, lambda: self._fail_under_way(run, at_once=True))

    def _fail_under_way(self, run: Run, *, at_once: bool) -> None:
        if run.complete:
            return
        now = self._tools.timeline.millis
        run.execution.setdefault("startTime", now)
        run.execution |= {"status": "TERMINAL", "endTime": now}
        run.epoch += 1
        if at_once:
            self._stop_stages(run)
        elif self._tools.profile.sql:
            self._stop_tasks(run)
        self._over(run)
        self._later(run, 2.0, lambda: self._stop_stages(run))

    def _begin(self, run: Run) -> None:
        execution, now = run.execution, self._tools.timeline.millis
        if execution["status"] != "NOT_STARTED":
            return
        if "startTimeExpiry" in execution and execution["startTimeExpiry"] < now:
            self._cancel_unstarted(run, EXPIRED)
            return
        if self._must_wait(run):
            run.queued = True
            return
        run.queued = False
        if not run.stages:
            execution["status"] = "TERMINAL"
            self._over(run)
            return
        execution |= {"status": "RUNNING", "startTime": now}
        self._start_ready(run)

    def _start_ready(self, run: Run) -> None:
        top = {one["refId"]: one for one in run.stages if "parentStageId" not in one}
        ready = [
            one
            for one in top.values()
            if one["status"] == "NOT_STARTED" and all(ref in top and top[ref]["status"] in GOES_ON for ref in one["requisiteStageRefIds"])
        ]
        for number, one in enumerate(ready):
            self._start_stage(run, one, number)

    def _must_wait(self, run: Run) -> bool:
        execution = run.execution
        if not execution.get("limitConcurrent") or not self._tools.front50.pipeline(str(execution.get("pipelineConfigId"))):
            return False
        limit = execution.get("maxConcurrentExecutions") or 1
        return len([one for one in self._siblings(run) if one.status in {"RUNNING", "PAUSED"}]) >= limit

    def _siblings(self, run: Run) -> list[Run]:
        config = run.execution.get("pipelineConfigId")
        return [one for one in self._tools.executions if one is not run and config and one.execution.get("pipelineConfigId") == config]

    def _cancel_unstarted(self, run: Run, reason: str) -> None:
        run.execution |= {"status": "CANCELED", "canceled": True, "canceledBy": "spinnaker", "cancellationReason": reason}
        run.queued = False
        self._over(run)

    def _over(self, run: Run) -> None:
        self._tools.executions.uncorrelate(run)
        waiting = sorted((one for one in self._siblings(run) if one.queued and one.status == "NOT_STARTED"), key=lambda one: int(one.execution["buildTime"]))
        if waiting and not self._must_wait(waiting[0]):
            keep = waiting[0].execution.get("keepWaitingPipelines")
            chosen = waiting[0] if keep else waiting[-1]
            chosen.queued = False
            for one in waiting:
                if one is not chosen and not keep:
                    self._cancel_unstarted(one, SUPERSEDED)
            self._later(chosen, self._tools.timings.start, lambda: self._begin(chosen))
        for listener in self.ended:
            listener(run)

    # --- stages ------------------------------------------------------------------------------------------------------------

    def _start_stage(self, run: Run, stage: Json, number: int = 0) -> None:
        """Soon; of several at once one comes after the other, as the queue works."""
        self._later(run, self._tools.timings.plan * (1 + 3 * number), lambda: self._plan(run, stage))

    def _work(self, run: Run, stage: Json, elapsed: float = 0.0) -> Work:
        return Work(tools=self._tools, execution=run.execution, stage=stage, elapsed=elapsed)

    def _plan(self, run: Run, stage: Json) -> None:
        if stage["status"] != "NOT_STARTED" or run.status != "RUNNING":
            if run.status == "PAUSED" and stage["status"] == "NOT_STARTED":
                self._later(run, 1.0, lambda: self._plan(run, stage))
            return
        stage |= {"status": "RUNNING", "startTime": self._tools.timeline.millis}
        trigger = run.execution["trigger"]
        roots = {"trigger": trigger, "parameters": trigger.get("parameters", {}), "execution": run.execution}
        stage["context"] = evaluate(stage["context"], roots)
        enabled = stage["context"].get("stageEnabled")
        if isinstance(enabled, dict) and str(enabled.get("expression")).lower() in {"false", "${false}"}:
            self._end_stage(run, stage, "SKIPPED")
            return
        work = self._work(run, stage)
        try:
            definition = self._definition(stage["type"])
            before, tasks = [*window_of(stage), *definition.before(work)], list(definition.tasks(work))
        except StageError as error:
            stage["context"]["exception"] = error.exception(f"{stage['name']}:ConstructAfterStages", self._tools.timeline.millis)
            stage["context"]["beforeStagePlanningFailed"] = True
            del stage["startTime"]
            self._end_stage(run, stage, _failed(stage["context"]))
            return
        self._tasks[run.id, stage["id"]] = tasks
        stage["tasks"] = [_task(number, task, len(tasks)) for number, task in enumerate(tasks, 1)]
        self._add(run, stage, before, "STAGE_BEFORE")
        self._advance(run, stage)

    def _definition(self, kind: str) -> Definition:
        if kind in self._catalogue:
            return self._catalogue[kind]
        known = ",".join(self._catalogue)
        words = f"No StageDefinitionBuilder implementation for {kind}(alias: null) found (knownTypes: {known})"
        raise StageError("NoSuchStageDefinitionBuilderException", words)

    def _add(self, run: Run, parent: Json, stages: Sequence[Synthetic], owner: str) -> None:
        sign = "<" if owner == "STAGE_BEFORE" else ">"
        added: list[Json] = []
        for number, synthetic in enumerate(stages, 1):
            ref = f"{parent['refId']}{sign}{number}"
            added.append(
                {
                    "context": synthetic.context,
                    "id": self._tools.ids.ulid(self._tools.timeline.millis),
                    "name": synthetic.name,
                    "outputs": {},
                    "parentStageId": parent["id"],
                    "refId": ref,
                    "requisiteStageRefIds": [f"{parent['refId']}{sign}{number - 1}"] if number > 1 else [],
                    "status": "NOT_STARTED",
                    "syntheticStageOwner": owner,
                    "tasks": [],
                    "type": synthetic.type,
                }
            )
        place = run.stages.index(parent)
        if owner == "STAGE_AFTER" or self._tools.profile.sql:
            run.stages[place + 1 : place + 1] = added if self._tools.profile.sql else added[::-1]
        else:
            run.stages[place:place] = added

    def _advance(self, run: Run, stage: Json) -> None:
        """Whatever comes next in a stage: those before it, its tasks, those after it, its end."""
        if stage["status"] in COMPLETE or run.complete:
            return
        if stage["id"] in run.failing:
            if self._children_done(run, stage, "STAGE_AFTER"):
                self._end_stage(run, stage, run.failing[stage["id"]])
            return
        if not self._children_done(run, stage, "STAGE_BEFORE"):
            return
        task = next((one for one in stage["tasks"] if one["status"] not in COMPLETE), None)
        if task is not None:
            if task["status"] == "NOT_STARTED":
                self._look(run, stage, task, self._tools.timings.task)
            return
        if stage["id"] not in run.after_planned:
            run.after_planned.add(stage["id"])
            self._later(run, self._tools.timings.plan, lambda: self._plan_after(run, stage))
            return
        if self._children_done(run, stage, "STAGE_AFTER"):
            self._end_stage(run, stage, "SUCCEEDED")

    def _plan_after(self, run: Run, stage: Json) -> None:
        if stage["status"] in COMPLETE:
            return
        try:
            after = self._catalogue[stage["type"]].after(self._work(run, stage))
        except StageError as error:
            stage["context"]["exception"] = error.exception(f"{stage['name']}:ConstructAfterStages", self._tools.timeline.millis)
            self._end_stage(run, stage, _failed(stage["context"]))
            return
        self._add(run, stage, after, "STAGE_AFTER")
        self._advance(run, stage)

    def _children_done(self, run: Run, stage: Json, owner: str) -> bool:
        children = run.children(stage, owner)
        failed = next((one for one in children if one["status"] in COMPLETE - GOES_ON), None)
        if failed is not None:
            self._end_stage(run, stage, _failed(stage["context"]))
            return False
        following = next((one for one in children if one["status"] not in COMPLETE), None)
        if following is None:
            return True
        if following["status"] == "NOT_STARTED":
            self._start_stage(run, following)
        return False

    def _fails_with_stages(self, run: Run, stage: Json, status: str) -> bool:
        """Whether a stage that failed does something first, and has begun to (`planOnFailureStages`: TERMINAL, STOPPED and FAILED_CONTINUE, never CANCELED)."""
        failed = status in {"TERMINAL", "STOPPED", "FAILED_CONTINUE"} and "beforeStagePlanningFailed" not in stage["context"]
        if not failed or stage["id"] in run.after_planned:
            return False
        stages = self._catalogue[stage["type"]].on_failure(self._work(run, stage))
        run.after_planned.add(stage["id"])
        if stages:
            run.failing[stage["id"]] = status
            self._add(run, stage, stages, "STAGE_AFTER")
            self._advance(run, stage)
        return bool(stages)

    def _end_stage(self, run: Run, stage: Json, status: str) -> None:
        if self._fails_with_stages(run, stage, status):
            return

        def end() -> None:
            if stage["status"] in COMPLETE or run.complete:
                return
            stage.update(status=status, endTime=self._tools.timeline.millis)
            parent = run.stage(stage.get("parentStageId", ""))
            if parent is not None:
                self._advance(run, parent)
                return
            if status in GOES_ON:
                self._start_ready(run)
            self._later(run, self._tools.timings.finish, lambda: self._settle(run))

        self._later(run, self._tools.timings.task, end)

    def _settle(self, run: Run) -> None:
        """End the run where its stages say so."""
        if run.status not in {"RUNNING", "PAUSED"}:
            return
        top = [one for one in run.stages if "parentStageId" not in one]
        statuses = {one["status"] for one in top}
        under_way = any(one["status"] not in COMPLETE | {"NOT_STARTED"} for one in top)
        ready = any(
            one["status"] == "NOT_STARTED" and all(other["status"] in GOES_ON for other in top if other["refId"] in one["requisiteStageRefIds"]) for one in top
        )
        if statuses <= GOES_ON:
            status = "SUCCEEDED"
        elif "TERMINAL" in statuses:
            status = "TERMINAL"
        elif "CANCELED" in statuses:
            status = "CANCELED"
        elif "STOPPED" in statuses and not under_way and not ready:
            doomed = any(one["status"] == "STOPPED" and one["context"].get("completeOtherBranchesThenFail") for one in top)
            status = "TERMINAL" if doomed else "SUCCEEDED"
        else:
            return
        run.execution |= {"status": status, "endTime": self._tools.timeline.millis}
        self._stop_stages(run)
        run.epoch += 1
        self._over(run)

    def _stop_stages(self, run: Run) -> None:
        self._stop_tasks(run)
        for stage in run.stages:
            if stage["status"] in {"RUNNING", "PAUSED"}:
                stage |= {"status": "CANCELED", "endTime": self._tools.timeline.millis}

    def _stop_tasks(self, run: Run) -> None:
        for stage in run.stages:
            for task in stage["tasks"]:
                if task["status"] in {"RUNNING", "PAUSED"}:
                    task |= {"status": "CANCELED", "endTime": self._tools.timeline.millis}

    # --- tasks -------------------------------------------------------------------------------------------------------------

    def _look(self, run: Run, stage: Json, task: Json, seconds: float) -> None:
        turn = run.turns[stage["id"]] = run.turns.get(stage["id"], 0) + 1
        self._later(run, seconds, lambda: self._ask(run, stage, task) if run.turns[stage["id"]] == turn else None)

    def hurry(self, run: Run, stage: Json) -> None:
        """Ask the stage's task at once: somebody changed its context."""
        task = next((one for one in stage["tasks"] if one["status"] == "RUNNING"), None)
        if task is not None:
            self._look(run, stage, task, self._tools.timings.cancel)

    def _ask(self, run: Run, stage: Json, task: Json) -> None:
        now = self._tools.timeline.millis
        if run.status == "PAUSED":
            task["status"] = stage["status"] = "PAUSED"
            return
        if run.status != "RUNNING" or stage["status"] in COMPLETE or (stage["id"], task["id"]) in run.answered:
            return
        first = run.asked.setdefault((stage["id"], task["id"]), now)
        if task["status"] == "NOT_STARTED":
            task |= {"status": "RUNNING", "startTime": now}
            self._look(run, stage, task, self._tools.timings.first)
            return
        task["status"] = stage["status"] = "RUNNING"
        spec = self._tasks[run.id, stage["id"]][int(task["id"]) - 1]
        try:
            self._check_time(stage, spec, now, first)
            outcome = DONE if self._is_dry(run) else spec.work(self._work(run, stage, (now - first) / 1000))
        except StageError as error:
            exception = error.exception(spec.name, now)
            stage["context"]["exception"] = exception
            task["taskExceptionDetails"] = {"exception": exception}
            outcome = Outcome(status="TERMINAL")
        stage["context"] |= outcome.context
        stage["outputs"] |= outcome.outputs
        if outcome.status == "RUNNING":
            self._look(run, stage, task, spec.poll if outcome.again is None else outcome.again)
            return
        status = _failed(stage["context"]) if outcome.status == "TERMINAL" else outcome.status
        run.answered.add((stage["id"], task["id"]))
        self._later(run, self._tools.timings.first, lambda: self._end_task(run, stage, task, status))

    def _end_task(self, run: Run, stage: Json, task: Json, status: str) -> None:
        if task["status"] in COMPLETE or stage["status"] in COMPLETE:
            return
        task |= {"status": status, "endTime": self._tools.timeline.millis}
        if status in GOES_ON - {"FAILED_CONTINUE"}:
            self._advance(run, stage)
        else:
            self._end_stage(run, stage, status)

    def _is_dry(self, run: Run) -> bool:
        """Whether nothing is really done: only where Orca has `dryrun.enabled` (trap 8)."""
        return self._tools.profile.dry_run and run.execution["trigger"].get("dryRun") is True

    def _check_time(self, stage: Json, spec: Task, now: int, first: int) -> None:
        limit = stage["context"].get("stageTimeoutMs")
        if isinstance(limit, int) and now - stage["startTime"] > limit:
            raise StageError("TimeoutException", f"Stage {stage['name']} timed out after {limit // 1000} seconds")
        if now - first > spec.timeout * 1000:
            raise StageError("TimeoutException", f"Task of type {spec.cls} timed out after {spec.timeout:g} seconds")

    # --- control -----------------------------------------------------------------------------------------------------------

    def cancel(self, run: Run, user: str, reason: str | None) -> None:
        """Cancel, whatever the status: a finished run is only rewritten (recording 03a)."""
        run.execution |= {"canceled": True, "canceledBy": user}
        if reason:
            run.execution["cancellationReason"] = reason
        if run.status == "NOT_STARTED":
            run.execution["status"] = "CANCELED"
            run.queued = False
            self._over(run)
        elif not run.complete:
            self._later(run, self._tools.timings.cancel, lambda: self._cancel_now(run))

    def _cancel_now(self, run: Run) -> None:
        if run.complete:
            return
        for stage in run.stages:
            if stage["status"] == "RUNNING":
                self._catalogue[stage["type"]].cancel(self._work(run, stage))
        self._stop_stages(run)
        run.execution |= {"status": "CANCELED", "endTime": self._tools.timeline.millis}
        run.epoch += 1
        self._over(run)

    def pause(self, run: Run, user: str) -> None:
        """Pause a RUNNING run; nothing happens to any other (trap 2). The stage in flight follows when its task is asked next."""
        if run.status != "RUNNING":
            return
        run.execution["status"] = "PAUSED"
        run.execution["paused"] = {"paused": True, "pausedBy": user, "pauseTime": self._tools.timeline.millis, "pausedMs": 0}
        for stage in run.stages:
            self.hurry(run, stage)

    def resume(self, run: Run, user: str) -> None:
        """Resume a PAUSED run; nothing happens to any other."""
        if run.status != "PAUSED":
            return
        now = self._tools.timeline.millis
        paused = run.execution["paused"]
        run.execution["status"] = "RUNNING"
        run.execution["paused"] = {**paused, "paused": False, "resumedBy": user, "resumeTime": now, "pausedMs": now - paused["pauseTime"]}
        for stage in run.stages:
            task = next((one for one in stage["tasks"] if one["status"] in {"PAUSED", "RUNNING"}), None)
            if task is not None:
                self._look(run, stage, task, self._tools.timings.cancel)

    def restart(self, run: Run, stage_id: str, user: str) -> None:
        """Start a top-level stage again, and what follows it; a stage that goes on, or that nobody knows, is left alone."""
        stage = run.stage(stage_id)
        while stage is not None and "parentStageId" in stage:
            stage = run.stage(stage["parentStageId"])
        if stage is None or (stage["status"] not in COMPLETE and stage["status"] != "NOT_STARTED"):
            return
        chosen = stage
        self._later(run, self._tools.timings.cancel, lambda: self._restart_now(run, chosen, user))

    def _restart_now(self, run: Run, stage: Json, user: str) -> None:
        details: Json = {"restartTime": self._tools.timeline.millis, "restartedBy": user}
        if "exception" in stage["context"]:
            details["previousException"] = stage["context"].pop("exception")
        again = {stage["refId"]}
        for one in run.stages * len(run.stages):
            if again & set(one["requisiteStageRefIds"]):
                again.add(one["refId"])
        top = [one for one in run.stages if "parentStageId" not in one and one["refId"] in again]
        gone = {one["id"] for one in top}
        for one in run.stages:
            if one.get("parentStageId") in gone:
                gone.add(one["id"])
        run.execution["stages"] = [one for one in run.stages if one in top or one["id"] not in gone]
        for one in top:
            for name in ("startTime", "endTime"):
                one.pop(name, None)
            one["context"].pop("beforeStagePlanningFailed", None)
            one |= {"status": "NOT_STARTED", "tasks": [], "outputs": {}}
            run.after_planned.discard(one["id"])
            run.failing.pop(one["id"], None)
        run.asked = {key: when for key, when in run.asked.items() if key[0] not in gone}
        run.answered = {key for key in run.answered if key[0] not in gone}
        stage["context"]["restartDetails"] = details
        run.epoch += 1
        run.execution |= {"canceled": False}
        for name in ("canceledBy", "cancellationReason"):
            run.execution.pop(name, None)
        if self._must_wait(run):
            run.execution["status"] = "NOT_STARTED"
            run.queued = True
            return
        run.execution["status"] = "RUNNING"
        self._start_stage(run, stage)


def _failed(context: Json) -> str:
    """What a failure becomes by the stage's own wish."""
    if context.get("continuePipeline"):
        return "FAILED_CONTINUE"
    return "STOPPED" if context.get("failPipeline", True) is False else "TERMINAL"


def _task(number: int, task: Task, count: int) -> Json:
    return {
        "id": str(number),
        "implementingClass": task.cls,
        "loopEnd": False,
        "loopStart": False,
        "name": task.name,
        "stageEnd": number == count,
        "stageStart": number == 1,
        "status": "NOT_STARTED",
        "taskExceptionDetails": {},
    }
