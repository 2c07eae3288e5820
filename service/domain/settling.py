"""Applies the operator's policy to the rules' answers: what a waiver lets pass, what a condition makes stricter, and which mode is left. Pure.

Waivers let a warning or an unknown pass, and a condition on one only narrows it; conditions of their own only make things stricter. So a condition that
cannot be evaluated never opens anything: its waiver does not count, and it is told in `faults`, which stop automation.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from service.domain import keys
from service.domain.conditions import Condition, ConditionError, Given
from service.domain.facts import Known
from service.domain.model import Release
from service.domain.policy import Settled, TargetPolicy, Tightening, waive
from service.domain.rule import Case
from service.domain.verdict import Answer, Finding


def given(case: Case, findings: Sequence[Finding], *, automatic: bool) -> Given:
    """What conditions may look at in a case, by the names of `conditions.FIELDS`; what nobody knows is not there."""
    now = case.facts.now
    found: dict[str, object] = {
        "target.id": str(case.target),
        "target.instance": case.target.instance,
        "target.name": case.target.name,
        "way": case.way.value,
        "direction": case.direction.value,
        "automatic": automatic,
        "now": now,
        **_release("suspect", case.suspect, now),
        **_release("goal", case.goal, now),
        "alert.known": case.trigger is not None,
        "state.known": False,
    }
    if case.trigger is not None:
        found |= {"alert.name": case.trigger.alert, "alert.labels": dict(case.trigger.labels), "alert.age": now - case.trigger.began_at}
    state = case.facts.read(keys.state(case.target))
    if isinstance(state, Known):
        of = state.value
        found |= {
            "state.known": True,
            "state.project": of.project,
            "state.health": of.health,
            "state.auto_sync": of.auto_sync,
            "state.owner": of.owner.kind,
            "state.objects": len(of.objects),
        }
    return {**found, **answers(findings)}


def answers(findings: Sequence[Finding]) -> Given:
    """The part of what conditions see that the rules' answers make."""
    worst = max((one.answer for one in findings), default=Answer.UNKNOWN)
    return {"worst": worst.word, **{f"answers.{one.rule}": one.answer.word for one in findings}}


def _release(name: str, of: Release | None, now: datetime) -> dict[str, object]:
    if of is None:
        return {f"{name}.known": False}
    found: dict[str, object] = {f"{name}.known": True, f"{name}.age": now - of.started_at, f"{name}.version": of.version}
    return found | ({f"{name}.by": of.by.name} if name == "suspect" else {})


def settle(policy: TargetPolicy, findings: Sequence[Finding], seen: Given, now: datetime, *, automatic: bool) -> Settled:
    """The findings with what waivers and conditions make of them."""
    asker = _Asker(seen)
    by_rule = {one.rule: one for one in findings}
    fulfilled = [
        waiver
        for number, waiver in enumerate(policy.waivers)
        if waiver.when is not None
        and waiver.expires > now
        and waiver.rule in by_rule
        and by_rule[waiver.rule].answer in {Answer.WARN, Answer.UNKNOWN}
        and asker.holds(waiver.when, f"waivers[{number}].when", f"the waiver of {waiver.rule} counts", by_rule[waiver.rule])
    ]
    stricter: dict[str, Tightening] = {}
    lowest: Tightening | None = None
    for number, one in enumerate(policy.conditions):
        place = f"conditions[{number}].when"
        if one.at_most is not None:
            if automatic and asker.holds(one.when, place, f"at most mode {one.at_most.word} ({one.reason})", None):
                lowest = _lower(lowest, one)
        elif one.answer is not None and (about := by_rule.get(one.rule)) is not None:
            says = f"{one.rule} counts as {one.answer.word} ({one.reason})"
            stricter |= {one.rule: _worse(stricter.get(one.rule), one)} if asker.holds(one.when, place, says, about) else {}
    return Settled(
        findings=tuple(_applied(one, stricter.get(one.rule), waive(one, policy, now, fulfilled=fulfilled)) for one in findings),
        at_most=lowest.at_most if lowest else None,
        at_most_says=f"at most mode {lowest.at_most.word} now: {lowest.reason}" if lowest and lowest.at_most is not None else "",
        held=tuple(asker.held),
        faults=tuple(asker.faults),
        asked=asker.asked,
    )


def _lower(before: Tightening | None, one: Tightening) -> Tightening:
    return one if before is None or before.at_most is None or (one.at_most is not None and one.at_most < before.at_most) else before


def _worse(before: Tightening | None, one: Tightening) -> Tightening:
    return one if before is None or before.answer is None or (one.answer is not None and one.answer > before.answer) else before


class _Asker:
    """Evaluates conditions over one case and keeps what came of each."""

    def __init__(self, seen: Given) -> None:
        self._seen = seen
        self.held: list[str] = []
        self.faults: list[str] = []
        self.asked = 0

    def holds(self, condition: Condition, place: str, says: str, finding: Finding | None) -> bool:
        self.asked += 1
        seen = {**self._seen, "finding.answer": finding.answer.word} if finding is not None else self._seen
        try:
            fulfilled = condition.holds(seen)
        except ConditionError as error:
            self.faults.append(f"{place} {error}")
            return False
        if fulfilled:
            self.held.append(says)
        return fulfilled


def _applied(finding: Finding, stricter: Tightening | None, waived: str) -> Finding:
    if stricter is None or stricter.answer is None or stricter.answer <= finding.answer:
        return replace(finding, waived=waived)
    says = f"{finding.says} The policy counts this as {stricter.answer.word}: {stricter.reason}."
    clears = f"The condition no longer holds: {stricter.when.text}"
    return replace(
        finding, answer=stricter.answer, says=says, clears=f"{finding.clears} {clears}".strip(), overridable=stricter.answer is Answer.BLOCK, waived=""
    )
