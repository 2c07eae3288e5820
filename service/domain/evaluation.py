"""Asks every rule about a case and makes the verdict. An evaluation cannot pass by accident: no rules, no facts, a defect = unknown."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from service.domain.facts import Key
from service.domain.model import Way
from service.domain.rule import Case, Rule
from service.domain.settling import given, settle
from service.domain.verdict import Answer, Finding, Verdict, unknown


def asked(case: Case, rules: Sequence[Rule], *, automatic: bool) -> tuple[Rule, ...]:
    """The rules that apply: to the case's direction, and to who asks: incident rules only with an incident, rules for automation only without a person.

    The rule about the policy only where that has conditions. Rules about certain ways are among them: which way it will be is found by asking.
    """
    here = (r for r in rules if case.direction in r.directions and (case.policy.conditional or not r.of_policy))
    return tuple(r for r in here if (case.trigger or not r.needs_incident) and (automatic or not r.for_automatic))


def needed(case: Case, rules: Iterable[Rule]) -> frozenset[Key[Any]]:
    """The keys that the rules need and that are not in the facts yet; a rule whose `needs` has a defect needs nothing and will say so itself."""
    keys: set[Key[Any]] = set()
    for rule in rules:
        try:
            keys.update(rule.needs(case))
        except Exception:  # noqa: BLE001, S112  the same defect shows when the rule is asked: there it becomes an unknown with its sentence
            continue
    return frozenset(keys - case.facts.known.keys())


def evaluate(case: Case, rules: Sequence[Rule], *, automatic: bool) -> Verdict:
    """Ask every rule that applies, also after the first no: the person on call needs the whole list. Then apply the policy, and ask whether it could be.

    A condition that failed is told even where the rules that were handed in have none that would ask.
    """
    here = tuple(rule for rule in asked(case, rules, automatic=automatic) if rule.ways is None or case.way in rule.ways)
    answers = {rule.name: _ask(rule, case) for rule in here if not rule.of_policy}
    settled = settle(case.policy, tuple(answers.values()), given(case, tuple(answers.values()), automatic=automatic), case.facts.now, automatic=automatic)
    answers = {one.rule: one for one in settled.findings} | {rule.name: _ask(rule, replace(case, settled=settled)) for rule in here if rule.of_policy}
    findings = tuple(answers[rule.name] for rule in here)
    if settled.faults and not any(rule.of_policy for rule in here):
        findings += (replace(unknown(f"The policy cannot be applied: {settled.faults[0]}.", clears="Mend the condition in the settings."), gate=True),)
    way, because = _recommend(case, findings)
    return Verdict(
        way=case.way, findings=findings, recommended=way, because=because, as_of=case.facts.now, at_most=settled.at_most, at_most_says=settled.at_most_says
    )


def _ask(rule: Rule, case: Case) -> Finding:
    try:
        finding = replace(rule.ask(case), rule=rule.name, gate=rule.gate, waived="")
    except Exception as defect:  # noqa: BLE001  a rule with a defect must not open the gate: its answer is unknown, and the sentence says why
        finding = unknown(f"The rule {rule.name} failed: {type(defect).__name__}.", clears="Report this; it is a defect of Backout.")
        finding = replace(finding, rule=rule.name, gate=rule.gate)
    return finding


def _recommend(case: Case, findings: Sequence[Finding]) -> tuple[Way, str]:
    if not findings:
        return Way.NONE, "Nobody was asked."
    worst = Verdict(way=case.way, findings=tuple(findings), recommended=case.way, because="", as_of=case.facts.now)
    blocks = worst.of(Answer.BLOCK)
    if not blocks:
        doubt = next(iter((*worst.of(Answer.UNKNOWN), *worst.of(Answer.WARN))), None)
        return case.way, doubt.says if doubt else "Every question has a yes."
    first = next((f for f in blocks if f.instead), blocks[0])
    return first.instead or Way.NONE, first.says
