"""Fields of an Application's spec, and rules that name them: JSON pointers, jq paths, the field sets of Kubernetes' managers. Pure.

What is not understood names no field: a rule that might cover one does not.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from integrations.delivery.argocd.reading import Body, entries, part, text
from service.domain.model import Json

Field = tuple[str, ...]
"""A path from the top of the object; `*` stands for every element of a list."""

ENABLED: Field = ("spec", "syncPolicy", "automated", "enabled")


def revisions_of(app: Body) -> tuple[Field, ...]:
    """Where the spec says which revision each source follows: what a pin writes."""
    several = entries(part(app, "spec").get("sources"))
    if several:
        return tuple(("spec", "sources", str(i), "targetRevision") for i in range(len(several)))
    return (("spec", "source", "targetRevision"),)


def found_at(app: Body, field: Field) -> Json:
    """The value of a field, None where there is none."""
    here: Json = dict(app)
    for step in field:
        if isinstance(here, Mapping):
            here = here.get(step)
        elif isinstance(here, list) and step.isdecimal() and int(step) < len(here):
            here = here[int(step)]
        else:
            return None
    return here


def covered(field: Field, rule: Body) -> bool:
    """Whether one of the rule's `jsonPointers` or `jqPathExpressions` is the field or something that it is inside of."""
    named = [*_pointers(rule.get("jsonPointers")), *_jq_paths(rule.get("jqPathExpressions"))]
    return any(_within(field, path) for path in named)


def all_covered(fields: Sequence[Field], rules: Sequence[Body]) -> bool:
    """Whether every field is covered by some rule."""
    return all(any(covered(field, rule) for rule in rules) for field in fields)


def _within(field: Field, path: Field) -> bool:
    return bool(path) and len(path) <= len(field) and all(named in {"*", own} for named, own in zip(path, field, strict=False))


def _pointers(value: Json) -> Iterator[Field]:
    for pointer in value if isinstance(value, list) else ():
        if isinstance(pointer, str) and pointer.startswith("/") and pointer.strip("/"):
            yield tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.strip("/").split("/"))


_JQ_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)\??|\[(\d*)\]\??")


def _jq_paths(value: Json) -> Iterator[Field]:
    """Plain paths only, such as `.spec.source.targetRevision?` or `.spec.sources[].targetRevision`; a filter in them is not understood."""
    for expression in value if isinstance(value, list) else ():
        plain = expression.strip() if isinstance(expression, str) else ""
        if plain and re.fullmatch(f"({_JQ_STEP.pattern})+", plain):
            yield tuple(name or index or "*" for name, index in _JQ_STEP.findall(plain))


def owned(field_set: Body, path: Field) -> bool:
    """Whether a manager's `fieldsV1` holds the field: `{"f:spec": {"f:source": {"f:targetRevision": {}}}}`.

    A list is held as a whole (`"f:sources": {}`); an empty object (`automated: {}`) is held without what others add to it.
    """
    here: Body = field_set
    for step in path:
        below = here.get(f"f:{step}")
        if not isinstance(below, Mapping):
            return step.isdecimal() and not here
        here = below
    return True


def owns_spec(field_set: Body) -> bool:
    """Whether a manager's `fieldsV1` holds anything of the spec."""
    return isinstance(field_set.get("f:spec"), Mapping)


def manager_name(entry: Body) -> str:
    """Who a managedFields entry is about."""
    return text(entry.get("manager")) or "somebody without a name"
