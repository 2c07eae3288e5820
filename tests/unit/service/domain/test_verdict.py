from dataclasses import replace

import pytest

from service.domain.model import Way
from service.domain.verdict import Answer, Finding, Verdict, blocks, passes, unknown, warns
from tests.unit.service.domain import made

EVIDENCE = made.known("x").evidence
PASS, WARN, UNKNOWN, BLOCK = (
    replace(finding, gate=True) for finding in (passes("Yes."), warns("Perhaps.", clears="a"), unknown("Who knows.", clears="b"), blocks("No.", clears="c"))
)


def verdict(*findings: Finding) -> Verdict:
    return Verdict(way=Way.ROLLBACK, findings=findings, recommended=Way.ROLLBACK, because="", as_of=made.NOW)


def test_answers_are_ordered_from_best_to_worst() -> None:
    assert sorted(Answer) == [Answer.PASS, Answer.WARN, Answer.UNKNOWN, Answer.BLOCK]
    assert [answer.word for answer in Answer] == ["pass", "warn", "unknown", "block"]


@pytest.mark.parametrize(
    ("findings", "worst"),
    [
        ((PASS,), Answer.PASS),
        ((PASS, WARN), Answer.WARN),
        ((WARN, UNKNOWN, PASS), Answer.UNKNOWN),
        ((BLOCK, UNKNOWN, WARN, PASS), Answer.BLOCK),
    ],
)
def test_the_worst_finding_decides(findings: tuple[Finding, ...], worst: Answer) -> None:
    assert verdict(*findings).worst is worst


def test_no_finding_at_all_is_not_a_pass() -> None:
    assert verdict().worst is Answer.UNKNOWN


def test_an_unknown_outside_a_gate_counts_as_a_warning() -> None:
    assert verdict(replace(UNKNOWN, gate=False), PASS).worst is Answer.WARN


@pytest.mark.parametrize("finding", [WARN, UNKNOWN])
def test_a_waived_doubt_counts_as_a_pass_and_is_not_listed(finding: Finding) -> None:
    waived = verdict(replace(finding, waived="until tomorrow"), PASS)
    assert waived.worst is Answer.PASS
    assert waived.of(finding.answer) == ()


def test_a_block_counts_whatever_waiver_it_carries() -> None:
    assert verdict(replace(BLOCK, waived="until tomorrow"), PASS).worst is Answer.BLOCK


def test_findings_are_listed_by_answer_in_reading_order() -> None:
    first, second = replace(WARN, rule="a"), replace(WARN, rule="b")
    assert verdict(first, PASS, second).of(Answer.WARN) == (first, second)


def test_each_answer_has_a_maker_that_keeps_the_evidence() -> None:
    assert passes("Yes.", EVIDENCE) == Finding(answer=Answer.PASS, says="Yes.", evidence=(EVIDENCE,))
    assert warns("Perhaps.", EVIDENCE, clears="a", adds=("Do.",)) == Finding(
        answer=Answer.WARN, says="Perhaps.", clears="a", adds=("Do.",), evidence=(EVIDENCE,)
    )
    assert unknown("Who knows.", EVIDENCE, clears="b") == Finding(answer=Answer.UNKNOWN, says="Who knows.", clears="b", evidence=(EVIDENCE,))
    block = blocks("No.", EVIDENCE, clears="c", instead=Way.HOTFIX)
    assert block == Finding(answer=Answer.BLOCK, says="No.", clears="c", instead=Way.HOTFIX, evidence=(EVIDENCE,))
