"""Fields whose differences a rule ignores: an application's `ignoreDifferences`, an ApplicationSet's `ignoreApplicationDifferences`."""

import copy
from collections.abc import Sequence
from typing import Any, Final

from integrations.sandbox.argocd.objects import Key
from integrations.sandbox.argocd.status import Json

RESPECT: Final = "RespectIgnoreDifferences=true"

Path = Sequence[str]


def paths_of(rule: Json) -> list[Path]:
    """The fields that a rule names, as steps from the object's root. Of jq only plain paths are read."""
    found: list[Path] = [pointer.split("/")[1:] for pointer in rule.get("jsonPointers") or []]
    return found + [expression.strip(".").split(".") for expression in rule.get("jqPathExpressions") or []]


def paths_for(app: Json, key: Key) -> list[Path]:
    """The fields of that object that the application's rules are about."""
    rules = app["spec"].get("ignoreDifferences") or []
    return [path for rule in rules if _is_about(rule, key) for path in paths_of(rule)]


def _is_about(rule: Json, key: Key) -> bool:
    """Group and kind are always named; without name or namespace a rule is about every one."""
    named = [(rule.get("group", ""), key.group), (rule.get("kind", ""), key.kind)]
    named += [(rule[field], value) for field, value in (("name", key.name), ("namespace", key.namespace)) if rule.get(field)]
    return all(said in {value, "*"} for said, value in named)


def take_over(wanted: Json, live: Json, path: Path) -> None:
    """Make the field of `wanted` what it is in `live`, absent included."""
    *above, last = path
    found: Any = live
    for part in above:
        found = found.get(part) if isinstance(found, dict) else None
    there = isinstance(found, dict) and last in found
    into: Json = wanted
    for part in above:
        if part not in into and not there:
            return
        into = into.setdefault(part, {})
    if there:
        into[last] = copy.deepcopy(found[last])
    else:
        into.pop(last, None)


def with_live(wanted: Json, live: Json, paths: Sequence[Path]) -> Json:
    """A copy of `wanted` in which those fields are as they live."""
    changed: Json = copy.deepcopy(wanted)
    for path in paths:
        take_over(changed, live, path)
    return changed
