"""Which judgment of a run can be answered with stop so that the run ends; pure.

A judgment that was told to go on after a stop deploys on, and one whose stop is no failure may end the run as SUCCEEDED, which starts what waits for that
(recordings 04b and 04c). Such a run is cancelled instead.
"""

from integrations.delivery.spinnaker.executions import Execution, Stage

STOP = "stop"


def rejectable(run: Execution) -> Stage | None:
    """The judgment that waits now, if it is the only one and its stop fails the run; None otherwise."""
    waiting = run.judgments
    if len(waiting) != 1:
        return None
    context = waiting[0].context
    ends_the_run = context.get("failPipeline", True) is True and not context.get("continuePipeline") and not context.get("completeOtherBranchesThenFail")
    return waiting[0] if ends_the_run else None


def rejected(run: Execution, reason: str) -> bool:
    """Whether we answered a judgment of it: the reason stands in the answer. It may have been taken back, where the answer needed a role that we lack."""
    return any(
        stage.kind == "manualJudgment" and stage.context.get("judgmentInput") == reason and str(stage.context.get("judgmentStatus")).lower() == STOP
        for stage in run.stages
    )
