"""What a repository declares at its top, in `.backout.yaml`: dialect, further migrations, whether deploys prune, and waivers. Pure.

What counts is how it stands in the *older* revision: it was merged, so reviewed as that repository reviews, before the change that it is about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import Any

from service.domain.documents import DocumentError, read_yaml
from service.domain.schema import Dialect

FILE = ".backout.yaml"
"""Where a repository declares its dialect, further migrations and waivers, at its top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """A person's decision that one kind of finding in some files does not count: `path` and `object` are shell patterns, `until` its last day."""

    rule: str
    path: str
    reason: str
    object: str = "*"
    until: date | None = None

    def covers(self, rule: str, path: str, objects: Sequence[str]) -> bool:
        """Whether it is about a finding of that rule in that file about those objects."""
        return rule == self.rule and fnmatchcase(path, self.path) and any(fnmatchcase(one, self.object) for one in objects or ("",))

    def over(self, today: date) -> bool:
        """Whether its last day has passed."""
        return self.until is not None and self.until < today


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What `.backout.yaml` of the older revision says; nothing when there is none. `prunes` is None where it does not say whether deploys prune."""

    dialect: Dialect = Dialect.UNKNOWN
    migrations: tuple[str, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    prunes: bool | None = None


def declared(text: str | None) -> Declared:
    """Read `.backout.yaml`; DocumentError, with a clause, when it is not as it should be. A word that is not known is an error, never passed over."""
    if text is None:
        return Declared()
    documents = read_yaml(text)
    content = documents[0] if documents else {}
    if len(documents) > 1 or not isinstance(content, Mapping):
        raise DocumentError("is no mapping")
    _only(content, {"manifests", "schema", "waivers"}, "it")
    manifests = content.get("manifests") or {}
    if not isinstance(manifests, Mapping):
        raise DocumentError("has `manifests` that are no mapping")
    _only(manifests, {"prune"}, "`manifests`")
    prunes = manifests.get("prune")
    if not isinstance(prunes, bool | None):
        raise DocumentError("has a `manifests.prune` that is neither true nor false")
    schema = content.get("schema") or {}
    if not isinstance(schema, Mapping):
        raise DocumentError("has a `schema` that is no mapping")
    _only(schema, {"dialect", "migrations"}, "`schema`")
    dialect = schema.get("dialect", "unknown")
    if dialect not in set(Dialect):
        raise DocumentError("has a `schema.dialect` that is none of postgres, mysql, sqlite")
    patterns = schema.get("migrations") or []
    if not isinstance(patterns, list) or not all(isinstance(one, str) for one in patterns):
        raise DocumentError("has `schema.migrations` that are no list of patterns")
    waivers = content.get("waivers") or []
    if not isinstance(waivers, list):
        raise DocumentError("has `waivers` that are no list")
    return Declared(dialect=Dialect(dialect), migrations=tuple(patterns), waivers=tuple(_waiver(one) for one in waivers), prunes=prunes)


def _only(given: Mapping[Any, Any], known: set[str], where: str) -> None:
    strange = sorted(str(key)[:40] for key in given if key not in known)
    if strange:
        raise DocumentError(f"says {', '.join(strange)}, which {where} does not know ({', '.join(sorted(known))})")


def _waiver(given: Any) -> Waiver:
    if not isinstance(given, Mapping) or not all(isinstance(value, str) for value in given.values()):
        raise DocumentError("has a waiver that is no mapping of texts")
    _only(given, {"rule", "path", "object", "reason", "until"}, "a waiver")
    if missing := [name for name in ("rule", "path", "reason") if not str(given.get(name, "")).strip()]:
        raise DocumentError(f"has a waiver without {' and '.join(missing)}")
    until = given.get("until", "")
    try:
        day = date.fromisoformat(until) if until else None
    except ValueError:
        raise DocumentError("has a waiver whose `until` is no day like 2026-12-31") from None
    return Waiver(rule=given["rule"], path=given["path"], reason=" ".join(given["reason"].split()), object=given.get("object", "*"), until=day)
