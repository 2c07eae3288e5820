"""Compares an answer with a recorded one: same keys and types at each path, equal statuses, equal messages once ids, hosts and times are put aside."""

import re
from collections.abc import Callable
from typing import Any, Final

ULID: Final = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b|\bULID-\d+\b")
UUID: Final = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\bUUID-\d+\b")
DIGEST: Final = re.compile(r"\b[0-9a-f]{64}\b")
HOSTS: Final = {"orca:8083": "ORCA", "front50:8080": "F50", "clouddriver:7002": "CD", "echo:8089": "ECHO", "gate:8084": "GATE"}
ISO: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)")
MILLIS: Final = re.compile(r"\b1[78]\d{11}\b")
REPLICA_SET: Final = re.compile(r"\breplicaSet web-\w+")
KNOWN_TYPES: Final = re.compile(r"knownTypes: .*\)", re.DOTALL)
SIMILAR: Final = frozenset({"stackTrace", "token", "app"})
"""Keys whose text differs by nature, and the application of a moniker, of which the stub knew one: only the type counts."""
FREE_NUMBERS: Final = 10_000
"""Numbers above are times or the like; those below are equal."""


class Differs(AssertionError):  # noqa: N818  what a test fails with
    """An answer is not like the recorded one."""


def plain(text: str) -> str:
    """A text without what is different each time."""
    for host, name in HOSTS.items():
        text = text.replace(f"http://{host}", name).replace(host, name)
    text = text.replace("http://ORCA", "ORCA")
    for pattern, name in (
        (ULID, "ULID"),
        (UUID, "UUID"),
        (DIGEST, "DIGEST"),
        (ISO, "MOMENT"),
        (MILLIS, "MILLIS"),
        (REPLICA_SET, "replicaSet NAME"),
        (KNOWN_TYPES, "knownTypes)"),
    ):
        text = pattern.sub(name, text)
    return text


def compare(recorded: Any, actual: Any, *, more: bool, bind: Callable[[str, str], None], path: str = "$", shortened: bool = False) -> None:
    """Raise `Differs` at the first path that is unlike. `more`: maps may have keys that the recorded ones lack, where a stub spoke in the recording."""
    if isinstance(recorded, dict):
        if not isinstance(actual, dict):
            raise Differs(f"{path}: {_kind(actual)} instead of a map")
        missing, extra = recorded.keys() - actual.keys(), actual.keys() - recorded.keys()
        if missing or (extra and not more):
            raise Differs(f"{path}: lacks {sorted(missing)}, has {[] if more else sorted(extra)} besides")
        for key, value in recorded.items():
            compare(value, actual[key], more=more, bind=bind, path=f"{path}.{key}")
    elif isinstance(recorded, list):
        if not isinstance(actual, list):
            raise Differs(f"{path}: {_kind(actual)} instead of a list")
        one, other = _paired(recorded, actual)
        if len(one) > len(other) or (len(one) < len(other) and not shortened):
            raise Differs(f"{path}: {len(actual)} items instead of {len(recorded)}")
        for at, (left, right) in enumerate(zip(one, other, strict=False)):
            compare(left, right, more=more, bind=bind, path=f"{path}[{at}]")
    elif isinstance(recorded, str):
        _compare_text(recorded, actual, bind, path)
    elif isinstance(recorded, bool) or recorded is None:
        if recorded is not actual:
            raise Differs(f"{path}: {actual!r} instead of {recorded!r}")
    elif not isinstance(actual, int | float) or isinstance(actual, bool):
        raise Differs(f"{path}: {_kind(actual)} instead of a number")
    elif not more and abs(recorded) < FREE_NUMBERS and recorded != actual:
        raise Differs(f"{path}: {actual} instead of {recorded}")


def _compare_text(recorded: str, actual: Any, bind: Callable[[str, str], None], path: str) -> None:
    if not isinstance(actual, str):
        raise Differs(f"{path}: {_kind(actual)} instead of a text")
    for pattern in (ULID, UUID):
        if pattern.fullmatch(recorded):
            if not pattern.fullmatch(actual):
                raise Differs(f"{path}: {actual!r} is no id")
            bind(recorded, actual)
            return
    found = re.fullmatch(r"(/(?:pipelines|tasks)/)((?:ULID)-\d+)", recorded)
    if found and actual.startswith(found[1]):
        bind(found[2], actual.removeprefix(found[1]))
    if path.rpartition(".")[2] in SIMILAR:
        return
    if plain(recorded) != plain(actual):
        raise Differs(f"{path}: {actual!r} instead of {recorded!r}")


def _paired(recorded: list[Any], actual: list[Any]) -> tuple[list[Any], list[Any]]:
    """Stages by refId and variables by key: their order is the store's own affair."""
    for name in ("refId", "key"):
        if recorded and actual and all(isinstance(one, dict) and name in one for one in [*recorded, *actual]):
            return sorted(recorded, key=lambda one: str(one[name])), sorted(actual, key=lambda one: str(one[name]))
    return recorded, actual


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
