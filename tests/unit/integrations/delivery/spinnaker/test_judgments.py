from typing import Any

import pytest

from integrations.delivery.spinnaker.executions import Execution, execution_of
from integrations.delivery.spinnaker.judgments import rejectable, rejected
from tests.unit.integrations.delivery.spinnaker.recordings import steps


def run(*stages: dict[str, Any]) -> Execution:
    found = execution_of({"id": "e1", "status": "RUNNING", "stages": [{"id": f"s{number}", **one} for number, one in enumerate(stages)]})
    assert found is not None
    return found


def judgment(status: str = "RUNNING", **context: Any) -> dict[str, Any]:
    return {"type": "manualJudgment", "status": status, "context": context}


@pytest.mark.parametrize(
    ("stages", "ends"),
    [
        ([judgment()], True),
        ([judgment(failPipeline=True)], True),
        ([judgment(failPipeline=False)], False),
        ([judgment(continuePipeline=True)], False),
        ([judgment(completeOtherBranchesThenFail=True)], False),
        ([judgment("SUCCEEDED")], False),
        ([judgment("NOT_STARTED")], False),
        ([judgment(), judgment()], False),
        ([{"type": "wait", "status": "RUNNING"}], False),
    ],
)
def test_only_one_that_waits_alone_and_fails_the_run_is_answered(stages: list[dict[str, Any]], ends: bool) -> None:
    assert (rejectable(run(*stages)) is not None) is ends


def test_our_answer_is_known_by_its_reason_until_it_is_taken_back() -> None:
    assert rejected(run(judgment("TERMINAL", judgmentStatus="Stop", judgmentInput="Backout op_1")), "Backout op_1")
    assert not rejected(run(judgment(judgmentStatus="", judgmentInput="Backout op_1")), "Backout op_1")
    assert not rejected(run(judgment("TERMINAL", judgmentStatus="stop", judgmentInput="no")), "Backout op_1")


@pytest.mark.parametrize(("recording", "ends"), [("04b-judgment-stop", True), ("04c-judgment-stop-soft", False)])
def test_the_recorded_runs_are_told_apart(recording: str, ends: bool) -> None:
    waiting = [found for step in steps(recording) if (found := execution_of(step["response"]["body"])) is not None and found.judgments]
    assert waiting
    assert {rejectable(one) is not None for one in waiting} == {ends}
