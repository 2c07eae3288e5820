"""What a policy would make of a case that was written down: the answers of the rules are given, nothing is asked. For `backout policy test`. Pure.

A case is a mapping: `name`, `target`, `now`, the `answers` of rules (those that it does not name pass), `fields` that conditions may ask for, `automatic`
(true unless said otherwise), and what to `expect`. With `recorded` target, time, releases and answers are those of a document of
`backout check TARGET --json`; rules that it does not name were not asked.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from service.domain.conditions import FIELDS
from service.domain.documents import DocumentError, read_json, read_yaml
from service.domain.model import Mode, TargetId, Way
from service.domain.policy import Policies, decide
from service.domain.rule import Rule
from service.domain.settling import answers, settle
from service.domain.verdict import Answer, Finding, Verdict

_KEYS: Final = frozenset({"name", "recorded", "target", "now", "automatic", "answers", "fields", "expect"})
_EXPECTED: Final = ("verdict", "does", "mode", "names", "waived")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LISTS: Final = frozenset({"names", "waived"})
_SET_BY_THE_CASE: Final = frozenset({"target.id", "target.instance", "target.name", "automatic", "now", "worst", "finding.answer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCase:
    """One case. `answers` are by rule; `expect` has some of verdict, does, mode, names and waived (the last two are sorted rules)."""

    name: str
    target: TargetId
    now: datetime
    automatic: bool
    answers: Mapping[str, Answer]
    fields: Mapping[str, Any]
    expect: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What came of a case: `got` has the five things that can be expected, `differs` what was expected otherwise, by name."""

    case: RecordedCase
    match: str
    got: Mapping[str, Any]
    says: str
    held: tuple[str, ...]
    faults: tuple[str, ...]

    @property
    def differs(self) -> Mapping[str, Any]:
        """What was expected and did not come, by name."""
        return {name: wanted for name, wanted in self.case.expect.items() if self.got[name] != wanted}


def rehearse(case: RecordedCase, policies: Policies) -> Rehearsed:
    """Apply the target's policy to the case's answers, and decide."""
    policy = policies.of(case.target)
    findings = tuple(Finding(answer=answer, says=f"{rule} said {answer.word}.", rule=rule, gate=True) for rule, answer in case.answers.items())
    seen = {**case.fields, **answers(findings), "target.id": str(case.target), "target.instance": case.target.instance, "target.name": case.target.name}
    settled = settle(policy, findings, {**seen, "automatic": case.automatic, "now": case.now}, case.now, automatic=case.automatic)
    faulty = tuple(Finding(answer=Answer.UNKNOWN, says=f"{one}.", rule="policy_can_be_applied", gate=True) for one in settled.faults[:1])
    verdict = Verdict(
        way=Way(case.fields["way"]),
        findings=(*settled.findings, *faulty),
        recommended=Way.NONE,
        because="",
        as_of=case.now,
        at_most=settled.at_most,
        at_most_says=settled.at_most_says,
    )
    mode = policy.mode if case.automatic else Mode.APPROVE
    decision = decide(mode, verdict, policy)
    effective = mode if verdict.at_most is None else min(mode, verdict.at_most)
    got = {
        "verdict": verdict.worst.word,
        "does": decision.do.value,
        "mode": effective.word,
        "names": sorted(decision.must_name),
        "waived": sorted(one.rule for one in settled.findings if one.waived),
    }
    return Rehearsed(case=case, match=policy.match, got=got, says=decision.says, held=settled.held, faults=settled.faults)


def read_cases(text: str, rules: Sequence[Rule], recorded: Callable[[str], str]) -> list[RecordedCase]:
    """The cases of a YAML or JSON text (JSON is YAML); DocumentError, with a clause, when one is not as it should be. `recorded` reads a file that is named."""
    found: list[RecordedCase] = []
    for document in read_yaml(text):
        if not isinstance(document, list):
            raise DocumentError("is no list of cases")
        for number, one in enumerate(document, start=len(found) + 1):
            name = one.get("name") if isinstance(one, Mapping) else None
            try:
                found.append(_case(one, f"case {number}", rules, recorded))
            except DocumentError as error:
                raise DocumentError(f"{error}, in case {number}{f' ({name})' if name else ''}") from None
    if not found:
        raise DocumentError("has no case")
    return found


def _case(given: Any, usual: str, rules: Sequence[Rule], recorded: Callable[[str], str]) -> RecordedCase:
    if not isinstance(given, Mapping):
        raise DocumentError("has a case that is no mapping")
    if strange := sorted(str(key)[:40] for key in given.keys() - _KEYS):
        raise DocumentError(f"says {', '.join(strange)}, which a case does not know ({', '.join(sorted(_KEYS))})")
    base = _recorded(given["recorded"], recorded, rules) if "recorded" in given else {}
    automatic = given.get("automatic", base.get("automatic", True))
    if not isinstance(automatic, bool):
        raise DocumentError("has an `automatic` that is neither true nor false")
    target, now = given.get("target", base.get("target")), given.get("now", base.get("now"))
    if target is None or now is None:
        raise DocumentError("has no `target` and no `now`, or no `recorded` that has them")
    if not isinstance(target, str) or not isinstance(now, str):
        raise DocumentError("has a `target` or a `now` that is no text")
    moment = _time(now)
    kept = _given_fields(given.get("fields") or {})
    fields = {"way": "rollback", "direction": "back", **_ages(base.get("releases", {}), moment), **kept}
    try:
        Way(fields["way"])
        of = TargetId.parse(target)
    except ValueError as error:
        raise DocumentError(f"has a target or way that is none: {error}") from None
    usual_answers = base.get("answers") or {
        rule.name: Answer.PASS for rule in rules if not rule.of_policy and fields["direction"] in rule.directions and (automatic or not rule.for_automatic)
    }
    return RecordedCase(
        name=str(given.get("name", usual)),
        target=of,
        now=moment,
        automatic=automatic,
        answers={**usual_answers, **_answers(given.get("answers") or {}, rules)},
        fields=fields,
        expect=_expected(given.get("expect")),
    )


def _answers(given: Any, rules: Sequence[Rule]) -> Mapping[str, Answer]:
    if not isinstance(given, Mapping):
        raise DocumentError("has `answers` that are no mapping of rules to answers")
    words = {one.word: one for one in Answer}
    known = {rule.name for rule in rules if not rule.of_policy}
    for rule, answer in given.items():
        if rule not in known:
            raise DocumentError(f"has an answer of {str(rule)[:60]}, and there is no such rule")
        if answer not in words:
            raise DocumentError(f"has an answer {str(answer)[:20]} of {rule}, which is none of {', '.join(words)}")
    return {rule: words[answer] for rule, answer in given.items()}


def _given_fields(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise DocumentError("has `fields` that are no mapping")
    return {name: _value(name, value) for name, value in given.items()}


def _value(name: str, value: Any) -> Any:
    """A field's value as the domain has it, from a document in which numbers and times are texts."""
    if name not in FIELDS or name in _SET_BY_THE_CASE:
        raise DocumentError(f"has a field {str(name)[:40]}, which {'the case itself gives' if name in _SET_BY_THE_CASE else 'there is not'}")
    kind = FIELDS[name].type
    match kind, value:
        case ("text", str()) | ("yes or no", bool()):
            return value
        case "texts by name", dict() if all(isinstance(one, str) for pair in value.items() for one in pair):
            return value
        case "number", str() if re.fullmatch(r"\d{1,9}", value):
            return int(value)
        case "duration", str() if found := re.fullmatch(r"(\d{1,9})([smhd])", value):
            return timedelta(seconds=int(found[1]) * _UNITS[found[2]])
        case _:
            raise DocumentError(f"has a field {name} that is no {kind}{' such as 26h' if kind == 'duration' else ''}")


def _expected(given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping) or not given or (strange := [key for key in given if key not in _EXPECTED]):
        named = f", which is none of {', '.join(_EXPECTED)}"
        raise DocumentError(f"expects {', '.join(str(one)[:40] for one in strange)}{named}" if isinstance(given, Mapping) and given else "expects nothing")
    for name, wanted in given.items():
        if isinstance(wanted, list) != (name in _LISTS) or not (isinstance(wanted, str) or name in _LISTS):
            raise DocumentError(f"expects {name} to be {'one word' if name not in _LISTS else 'something else than a list of rules'}")
    return {name: sorted(map(str, wanted)) if name in _LISTS else wanted for name, wanted in given.items()}


def _recorded(file: Any, read: Callable[[str], str], rules: Sequence[Rule]) -> Mapping[str, Any]:
    if not isinstance(file, str):
        raise DocumentError("has a `recorded` that names no file")
    document = read_json(read(file))
    findings = document.get("findings") if isinstance(document, Mapping) else None
    if not isinstance(findings, list) or not all(isinstance(one, Mapping) for one in findings):
        raise DocumentError(f"names {file}, which is no document of `backout check TARGET --json`")
    told = {one.get("rule"): one.get("answer") for one in findings if one.get("rule") not in {rule.name for rule in rules if rule.of_policy}}
    releases = {name: document.get(key) for name, key in (("suspect", "from"), ("goal", "to"))}
    way = document.get("way")
    return {
        "target": document.get("target"),
        "now": document.get("as_of"),
        "automatic": False,
        "answers": _answers(told, rules),
        "releases": releases | ({"way": way} if isinstance(way, str) else {}),
    }


def _ages(releases: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """What the recorded document tells of the releases."""
    found: dict[str, Any] = {"way": releases["way"], "direction": "forward" if releases["way"] == "forward" else "back"} if "way" in releases else {}
    for name in ("suspect", "goal"):
        one = releases.get(name)
        if name in releases:
            found[f"{name}.known"] = isinstance(one, Mapping)
        if isinstance(one, Mapping) and isinstance(one.get("started_at"), str):
            found |= {f"{name}.age": now - _time(one["started_at"]), f"{name}.version": str(one.get("version") or "")}
    return found


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise DocumentError(f"has a time {text[:40]} that is none such as 2026-05-08T17:30:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
