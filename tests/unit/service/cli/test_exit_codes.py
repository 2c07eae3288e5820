import pytest

from service.cli.exit_codes import ANSWERS, OUTCOMES, ExitCode, of_operation, of_verdict
from service.domain.model import Outcome
from service.domain.verdict import Answer
from service.workflow.rollback import WAITING


def test_the_numbers_are_the_promised_ones() -> None:
    assert [(code.name, code.value) for code in ExitCode] == [
        ("DONE", 0),
        ("ERROR", 1),
        ("USAGE", 2),
        ("BLOCKED", 3),
        ("NOT_RECOVERED", 4),
        ("UNKNOWN", 5),
        ("WAITING", 6),
        ("ENDED", 7),
    ]


def test_every_outcome_and_every_answer_of_the_domain_has_a_code() -> None:
    assert set(OUTCOMES) == {outcome.value for outcome in Outcome}
    assert set(ANSWERS) == {answer.word for answer in Answer}


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("recovered", 0),
        ("suggested", 0),
        ("observed", 0),
        ("failed", 1),
        ("refused", 3),
        ("not_recovered", 4),
        ("inconclusive", 5),
        ("cancelled", 7),
        ("rejected", 7),
        ("expired", 7),
        ("a word of the future", 5),
    ],
)
def test_an_outcome_leads_to_its_code(outcome: str, code: int) -> None:
    assert of_operation(outcome, "end") == code


def test_an_operation_that_is_alive_is_waiting_or_unknown() -> None:
    assert of_operation(None, WAITING) is ExitCode.WAITING
    assert of_operation(None, "act") is ExitCode.UNKNOWN


@pytest.mark.parametrize(
    ("answer", "strict", "code"), [("pass", True, 0), ("warn", False, 0), ("warn", True, 3), ("unknown", False, 5), ("block", False, 3), ("", False, 5)]
)
def test_a_verdict_leads_to_its_code(answer: str, strict: bool, code: int) -> None:
    assert of_verdict(answer, strict=strict) == code
