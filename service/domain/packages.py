"""Names the packages that a change of a lock file or manifest adds or moves to another version, so that a person knows where to look for migrations. Pure.

It only names. Whether a package brings migrations is not decided here: what is not told apart stays the whole file.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from service.domain.documents import MAX_CHARACTERS, DocumentError, read_json

_PIN = re.compile(r"^\s*([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*((?:===?|>=|~=|<=|!=|>|<)[^;#\\\s]*)", re.MULTILINE)
_GEM = re.compile(r"^ {4}([\w.-]+) \(([^)]+)\)$", re.MULTILINE)
_GO = re.compile(r"^\s*(?:require\s+)?([\w.-]+\.[\w./-]+)\s+(v[\w.+-]+)", re.MULTILINE)


def changed_packages(path: str, before: str | None, after: str | None) -> tuple[str, ...]:
    """Names in order of which the version is another one, or that are new; none when the file is of a kind that is not read, or cannot be."""
    name = path.rpartition("/")[2]
    reader = next((reader for pattern, reader in _READERS if pattern.fullmatch(name)), None)
    if reader is None or after is None or len(after) > MAX_CHARACTERS or len(before or "") > MAX_CHARACTERS:
        return ()
    try:
        old, new = dict(reader(before)) if before else {}, dict(reader(after))
    except (tomllib.TOMLDecodeError, DocumentError, RecursionError, ValueError):
        return ()
    return tuple(sorted(package for package, version in new.items() if old.get(package) != version))


def _pins(pattern: re.Pattern[str]) -> Callable[[str], Iterator[tuple[str, str]]]:
    def read(text: str) -> Iterator[tuple[str, str]]:
        yield from ((found[1], found[2]) for found in pattern.finditer(text))

    return read


def _toml(text: str) -> Iterator[tuple[str, str]]:
    packages = tomllib.loads(text).get("package")
    for one in packages if isinstance(packages, list) else ():
        if isinstance(one, Mapping):
            yield str(one.get("name", "")), str(one.get("version", ""))


def _npm(text: str) -> Iterator[tuple[str, str]]:
    document: Any = read_json(text)
    packages = document.get("packages") if isinstance(document, Mapping) else None
    for where, one in packages.items() if isinstance(packages, Mapping) else ():
        if where and isinstance(one, Mapping):
            yield str(where).rpartition("node_modules/")[2], str(one.get("version", ""))


_READERS: tuple[tuple[re.Pattern[str], Callable[[str], Iterator[tuple[str, str]]]], ...] = (
    (re.compile(r"(?:requirements|constraints)[\w.-]*\.(?:txt|in)"), _pins(_PIN)),
    (re.compile(r"Gemfile\.lock"), _pins(_GEM)),
    (re.compile(r"go\.mod"), _pins(_GO)),
    (re.compile(r"(?:poetry|uv|pdm|Cargo)\.lock"), _toml),
    (re.compile(r"package-lock\.json"), _npm),
)
