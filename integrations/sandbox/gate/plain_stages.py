"""Stages without a cloud: wait, manual judgment, preconditions, variables, a pipeline in a pipeline, an execution window (contract 4.3, 7.1)."""

from collections.abc import Sequence
from typing import Any, Final

from integrations.sandbox.gate.expressions import evaluate
from integrations.sandbox.gate.settings import Json
from integrations.sandbox.gate.stage import DONE, ORCA_TASKS, Definition, Outcome, StageError, Synthetic, Task, Work, always
from integrations.sandbox.gate.statuses import COMPLETE, GOES_ON

_TASKS: Final = f"{ORCA_TASKS}pipeline.tasks."
JUDGMENT_POLL: Final = 15.0


def _wait(work: Work) -> Outcome:
    given = work.context.get("waitTime", 0)
    try:
        seconds = float(given)
    except (TypeError, ValueError) as error:
        raise StageError("IllegalArgumentException", f"Unable to map context to class {ORCA_TASKS}pipeline.WaitStage$WaitStageContext") from error
    if work.context.get("skipRemainingWait") is True or work.elapsed >= seconds:
        return DONE
    return Outcome(status="RUNNING", again=max(0.001, seconds - work.elapsed))


def wait_tasks(_work: Work) -> Sequence[Task]:
    """The one task of a wait."""
    return [Task(name="wait", cls=f"{_TASKS}WaitTask", work=_wait, timeout=float("inf"))]


def _judge(work: Work) -> Outcome:
    status = str(work.context.get("judgmentStatus") or "").lower()
    needed = work.context.get("requiredJudgmentRoles") or work.context.get("selectedStageRoles") or []
    by = str(work.context.get("lastModifiedBy", ""))
    if status in {"continue", "stop"} and needed and not set(needed) & set(work.tools.roles(by)):
        return Outcome(status="RUNNING", context={"judgmentStatus": ""})
    if status == "continue":
        return DONE
    return Outcome(status="TERMINAL" if status == "stop" else "RUNNING")


def _judgment_tasks(_work: Work) -> Sequence[Task]:
    cls = f"{ORCA_TASKS}echo.pipeline.ManualJudgmentStage.WaitForManualJudgmentTask"
    return [Task(name="waitForJudgment", cls=cls, work=_judge, poll=JUDGMENT_POLL, timeout=3 * 86400)]


def _preconditions(work: Work) -> Sequence[Synthetic]:
    if "parentStageId" in work.stage:
        return ()
    again = {"restartDetails": work.context["restartDetails"]} if "restartDetails" in work.context else {}
    found = []
    for one in work.context.get("preconditions", []):
        context = {
            "context": dict(one.get("context", {})),
            "failPipeline": one.get("failPipeline", True),
            "preconditionType": one.get("type"),
            "type": "checkPreconditions",
            **again,
        }
        found.append(Synthetic(type="checkPreconditions", name=f"Check precondition ({one.get('type')})", context=context))
    return found


def _check(work: Work) -> Outcome:
    inner = work.context.get("context", {})
    result = evaluate(inner.get("expression"), {"trigger": work.execution["trigger"], "parameters": work.execution["trigger"].get("parameters", {})})
    holds = str(result).lower() == "true"
    return Outcome(status="SUCCEEDED" if holds else "TERMINAL", context={"context": {**inner, "expressionResult": str(result).lower()}})


def _check_tasks(work: Work) -> Sequence[Task]:
    if "parentStageId" not in work.stage:
        return ()
    return [Task(name="checkPrecondition", cls=f"{ORCA_TASKS}pipeline.tasks.ExpressionPreconditionTask", work=_check)]


def _variables(work: Work) -> Outcome:
    pairs = [one for one in work.context.get("variables", []) if isinstance(one, dict)]
    return Outcome(outputs={str(one.get("key")): one.get("value") for one in pairs})


def _start_child(work: Work) -> Outcome:
    config = work.tools.front50.pipeline(str(work.context.get("pipeline")))
    if config is None:
        raise StageError("IllegalArgumentException", f"The referenced pipeline {work.context.get('pipeline')} cannot be located")
    parent = {"id": work.execution["id"], "application": work.execution["application"], "name": work.execution.get("name", "")}
    trigger = {
        "type": "pipeline",
        "parentExecution": parent,
        "parentPipelineStageId": work.stage["id"],
        "parameters": dict(work.context.get("pipelineParameters", {})),
    }
    run = work.tools.start_pipeline(config, trigger, work.user)
    return Outcome(context={"executionId": run.id, "executionName": config["name"]})


def _follow_child(work: Work) -> Outcome:
    if work.context.get("waitForCompletion", True) is False or work.context.get("manualSkip") is True:
        return DONE
    run = work.tools.executions.get("PIPELINE", str(work.context.get("executionId")))
    if run is None or run.status not in COMPLETE:
        return Outcome(status="RUNNING")
    if run.status in GOES_ON:
        return Outcome(context={"status": run.status})
    return Outcome(status="TERMINAL", context={"status": run.status, "exception": {"details": {"errors": [f"Exception in child pipeline stage ({run.id})"]}}})


def _child_tasks(_work: Work) -> Sequence[Task]:
    return [
        Task(name="startPipeline", cls=f"{ORCA_TASKS}front50.tasks.StartPipelineTask", work=_start_child),
        Task(name="monitorPipeline", cls=f"{ORCA_TASKS}front50.tasks.MonitorPipelineTask", work=_follow_child, poll=15.0, timeout=12 * 3600),
    ]


WINDOW: Final = "restrictExecutionDuringTimeWindow"


def window_of(stage: Json) -> list[Synthetic]:
    """The stage that goes before one which may only run in its execution window (read from the source; Orca's zone is a setting, here UTC)."""
    context = stage["context"]
    if context.get(WINDOW) is not True or "parentStageId" in stage:
        return []
    return [Synthetic(type=WINDOW, name=WINDOW, context={"restrictedExecutionWindow": context.get("restrictedExecutionWindow") or {}})]


def _window(work: Work) -> Outcome:
    window = work.context.get("restrictedExecutionWindow") or {}
    now = work.tools.timeline.now
    minute, day = now.hour * 60 + now.minute, now.isoweekday() % 7 + 1  # Sunday is 1, as in Java
    spans = [(one.get("startHour", 0) * 60 + one.get("startMin", 0), one.get("endHour", 0) * 60 + one.get("endMin", 0)) for one in window.get("whitelist", [])]
    open_now = any(start <= minute < end if start <= end else minute >= start or minute < end for start, end in spans)
    if work.context.get("skipRemainingWait") is True or (open_now and day in (window.get("days") or range(1, 8))):
        return DONE
    return Outcome(status="RUNNING")


def _one(name: str, cls: str, work: Any) -> Definition:
    return Definition(tasks=lambda _work: [Task(name=name, cls=f"{ORCA_TASKS}{cls}", work=work)])


PLAIN: Final[dict[str, Definition]] = {
    "wait": Definition(tasks=wait_tasks),
    "noop": _one("noOp", "pipeline.tasks.NoOpTask", always),
    "manualJudgment": Definition(tasks=_judgment_tasks),
    "checkPreconditions": Definition(before=_preconditions, tasks=_check_tasks),
    "evaluateVariables": _one("evaluateVariables", "pipeline.tasks.EvaluateVariablesTask", _variables),
    "pipeline": Definition(tasks=_child_tasks),
    "webhook": _one("createWebhook", "webhook.tasks.CreateWebhookTask", always),
    "jenkins": _one("startJenkinsJob", "igor.tasks.StartJenkinsJobTask", always),
    "runJob": _one("runJob", "clouddriver.tasks.job.RunJobTask", always),
    WINDOW: Definition(
        tasks=lambda _work: [
            Task(
                name="suspendExecutionDuringTimeWindow",
                cls=f"{ORCA_TASKS}pipeline.SuspendExecutionDuringTimeWindowTask",
                work=_window,
                poll=30.0,
                timeout=float("inf"),
            )
        ]
    ),
}
"""The types by name."""
