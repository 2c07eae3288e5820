"""A condition of the operator's policy: one CEL expression over a few named fields, true or false. The only place that knows the CEL library.

What it may cost is bounded before it runs: its length, its depth, the steps of its loops; nothing in it can build a longer text or list than it was
given, and there are no regular expressions (docs/decisions/0031-conditions.md). What cannot be read, has the wrong type, lacks a value or costs too much
raises ConditionError; it is never simply false.
"""

import contextlib
import difflib
import functools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from cel_expr_python import cel

from service.domain.errors import BackoutError

MOST_SIGNS: Final = 1000
"""How long an expression may be. Depth (32) and steps of all its loops together (10,000) are bounded by the library."""
MOST_LABELS: Final = 64
MOST_VALUE: Final = 1024
"""So many of an alert's labels, and so many signs of a text, does a condition see; more is an error of the condition, not a shorter text."""
NOT_ASKED: Final = "not_asked"
"""The answer of a rule that was not asked of this case."""

Given = Mapping[str, Any]
"""Field name -> value: str, bool, int, datetime (UTC), timedelta, or a mapping of texts. What is not known is left out."""


class ConditionError(BackoutError):
    """A condition that cannot be read or evaluated; its text completes "the condition …"."""


class MissingKeyError(ConditionError):
    """It asks for a label, say, that is not among those that are there."""


class Sort(StrEnum):
    """What a condition decides about. One that lets something pass sees nothing that an alert or an application's team could write (promise 11)."""

    TIGHTENS = "tightens"
    LETS_PASS = "lets_pass"  # noqa: S105  no password


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A name that conditions may use: its type in words, what it means, and a value to try conditions with. `foreign`: others than the operator write it."""

    type: str
    says: str
    sample: Any
    foreign: bool = False


_EPOCH = datetime(2026, 5, 8, 12, 0, tzinfo=UTC)
FIELDS: Final[Mapping[str, Field]] = {
    "target.id": Field(type="text", says="the target, e.g. `prod:checkout`", sample="prod:checkout"),
    "target.instance": Field(type="text", says="its delivery system, e.g. `prod`", sample="prod"),
    "target.name": Field(type="text", says="its name there, e.g. `checkout`", sample="checkout"),
    "way": Field(type="text", says="the way that is judged: `rollback`, `abort`, `pin`, `forward`, …", sample="rollback"),
    "direction": Field(type="text", says="`back`, or `forward` under a hold", sample="back"),
    "automatic": Field(type="yes or no", says="nobody asked: an alert or a hold began it", sample=True),
    "now": Field(type="time", says="the moment of the verdict", sample=_EPOCH),
    "suspect.known": Field(type="yes or no", says="whether it is known which release to leave", sample=True),
    "suspect.age": Field(type="duration", says="how long ago that release was deployed", sample=timedelta(minutes=10)),
    "suspect.version": Field(type="text", says="its version, as its image says it", sample="v2.5.0", foreign=True),
    "suspect.by": Field(type="text", says="who deployed it, as the delivery system tells it", sample="argocd", foreign=True),
    "goal.known": Field(type="yes or no", says="whether it is known which release to go to", sample=True),
    "goal.age": Field(type="duration", says="how long ago that release was deployed", sample=timedelta(days=1)),
    "goal.version": Field(type="text", says="its version, as its image says it", sample="v2.4.6", foreign=True),
    "state.known": Field(type="yes or no", says="whether the delivery system could be asked for the target", sample=True),
    "state.project": Field(type="text", says="the target's project there", sample="shop"),
    "state.health": Field(type="text", says="the target's health there, in its words", sample="Degraded", foreign=True),
    "state.auto_sync": Field(type="yes or no", says="whether the delivery system deploys by itself", sample=True),
    "state.owner": Field(type="text", says="who else writes it: `nobody`, `applicationset`, `parent` or a tool", sample="nobody"),
    "state.objects": Field(type="number", says="how many objects it consists of", sample=12),
    "alert.known": Field(type="yes or no", says="whether there is an alert; else the next three have no value", sample=True, foreign=True),
    "alert.name": Field(type="text", says="the alert's name", sample="HighErrorRate", foreign=True),
    "alert.age": Field(type="duration", says="how long ago it began", sample=timedelta(minutes=1), foreign=True),
    "alert.labels": Field(type="texts by name", says="its labels", sample={"severity": "page"}, foreign=True),
    "worst": Field(type="text", says="the worst of the answers before the policy is applied", sample="warn"),
    "finding.answer": Field(type="text", says="the answer of the rule that the waiver or condition names, before the policy", sample="warn"),
}
"""Every field but `answers.<rule>`, which there is for each rule."""
_TYPES: Final = {
    "text": cel.Type.STRING,
    "yes or no": cel.Type.BOOL,
    "number": cel.Type.INT,
    "time": cel.Type.TIMESTAMP,
    "duration": cel.Type.DURATION,
    "texts by name": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
}
_LEFT_OUT: Final = {"map": "map", "has": "has", "matches": "matches", "_+_": "+ (or filter)"}
"""What CEL has and conditions have not: it makes things grow, or costs more than its length tells."""
_BOUNDED: Final = """
name: backout
stdlib:
  exclude_macros: [map, has]
  exclude_functions:
    - name: "_+_"
    - name: matches
"""


@dataclass(frozen=True, slots=True)
class Condition:
    """One expression. `about_rule`: it stands at something that names a rule, so `finding.answer` has a value. Equal texts of one sort are equal."""

    text: str
    sort: Sort = Sort.TIGHTENS
    about_rule: bool = True

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules whose answers it asks for."""
        return tuple(sorted(set(re.findall(r"\banswers\.(\w+)", self.text))))

    def check(self, rules: Collection[str]) -> None:
        """Raises ConditionError when it can never be evaluated: read, typed, and tried on made-up values. `rules` are the names of all rules."""
        program = _compiled(self)
        for name in self.rules:
            if name not in rules:
                near = difflib.get_close_matches(name, rules, n=1)
                raise ConditionError(f"asks for answers.{name}, and there is no such rule{f'; did you mean {near[0]}?' if near else ''}")
        sample = {name: one.sample for name, one in FIELDS.items()} | {f"answers.{rule}": "pass" for rule in self.rules}
        with contextlib.suppress(MissingKeyError):  # which labels an alert has is not known before there is one
            _evaluate(program, sample)

    def holds(self, given: Given) -> bool:
        """Whether it is true; ConditionError when that cannot be said."""
        for name, value in given.items():
            texts = [value] if isinstance(value, str) else [part for pair in value.items() for part in pair] if isinstance(value, Mapping) else []
            if len(texts) > 2 * MOST_LABELS or any(len(one) > MOST_VALUE for one in texts):
                raise ConditionError(f"would see more of {name} than it may")
        seen = {name: value for name, value in given.items() if name in FIELDS} | {
            f"answers.{rule}": given.get(f"answers.{rule}", NOT_ASKED) for rule in self.rules
        }
        return _evaluate(_compiled(self), seen)


@functools.lru_cache(maxsize=4096)
def _compiled(condition: Condition) -> Any:
    if len(condition.text) > MOST_SIGNS:
        raise ConditionError(f"is longer than {MOST_SIGNS} signs")
    variables = {name: _TYPES[one.type] for name, one in FIELDS.items() if _visible(name, condition.sort, about_rule=condition.about_rule)}
    variables |= {f"answers.{rule}": cel.Type.STRING for rule in condition.rules}
    try:
        program = cel.NewEnv(config=cel.NewEnvConfigFromYaml(_BOUNDED), variables=variables).compile(condition.text)
    except RuntimeError as error:
        raise ConditionError(_unreadable(str(error), condition)) from error
    if program.return_type() != cel.Type.BOOL:
        raise ConditionError(f"must be true or false, and is {program.return_type().name().lower()}")
    return program


def _visible(name: str, sort: Sort, *, about_rule: bool) -> bool:
    return (about_rule or name != "finding.answer") and (sort is Sort.TIGHTENS or not FIELDS[name].foreign)


def _evaluate(program: Any, given: Given) -> bool:
    try:
        value = program.eval(data=dict(given))
        if value.type() == cel.Type.BOOL:
            return bool(value.value())
        why = str(value.value())
    except (RuntimeError, TypeError, ValueError) as error:
        why = str(error)
    if "budget" in why:
        raise ConditionError("costs too much: its loops take more than 10,000 steps")
    if missing := re.search(r'No value with name "([\w.]+)"', why):
        raise ConditionError(f"needs {missing[1]}, which is not known here")
    if key := re.search(r'Key not found in map : "(.*)"', why):
        raise MissingKeyError(f'asks for "{key[1][:100]}", which is not there')
    raise ConditionError(f"failed: {_line(why)}")


def _unreadable(why: str, condition: Condition) -> str:
    """Why it is not understood, in the words of the policy rather than of the library."""
    strange = re.findall(r"undeclared reference to '([^']+)'", why)
    for one in strange:
        if one in _LEFT_OUT:
            return f"uses {_LEFT_OUT[one]}, which conditions do not have"
    name = strange[0] if strange else ""
    field = next((one for one in FIELDS if name == one or name.startswith(f"{one}.")), "")
    if field == "finding.answer":
        return "asks for finding.answer, and it names no rule whose finding that could be"
    if field and condition.sort is Sort.LETS_PASS and FIELDS[field].foreign:
        return f"asks for {field}, which others can write; what lets something pass must not depend on it"
    if name:
        near = difflib.get_close_matches(name, FIELDS, n=1)
        return f"asks for {name}, and there is no such field{f'; did you mean {near[0]}?' if near else ''}"
    if "recursion" in why:
        return "is nested too deeply"
    place = re.search(r"ERROR: <input>:\d+:(\d+): (.*)", why)
    return f"cannot be read, at sign {place[1]}: {_line(place[2].partition(' expecting {')[0])}" if place else f"cannot be read: {_line(why)}"


def _line(text: str) -> str:
    """The first sentence of the library's message, without its own codes."""
    first = next(iter(text.splitlines()), "").replace(" (in container '')", "")
    return re.sub(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$", "", first)[:200]
