"""What the earlier migrations of a folder made: the tables and columns that a later one changes, as far as their text shows them.

A MODIFY or ALTER TYPE says what a column becomes, and seldom what it was: that stands in the migration that made it. This is no dump, for a database may differ
from what its migrations say (one was applied by hand, one is not read): what is learned here makes an answer stricter and never milder (`Shape.supposed`).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from service.domain.schema.cursor import Session
from service.domain.schema.forward import forward_part
from service.domain.schema.layouts import Recognised, Role, recognise
from service.domain.schema.operations import Kind
from service.domain.schema.reading import Dialect
from service.domain.schema.scanning import split
from service.domain.schema.shapes import Shape, nothing_but
from service.domain.schema.statements import read

MAX_FILES = 2_000
MAX_CHARACTERS = 2_000_000
"""So many characters of earlier migrations are read for one range; with more, nothing is learned."""
_WORD = re.compile(r"[^\W\d][\w$]*+")
_ASKS = re.compile(
    r"\b(?:ALTER|DROP)\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(?P<table>[\w$.`\"]+)|\bDROP\s+INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+EXISTS\s+)?(?P<index>[\w$.`\"]+)",
    re.IGNORECASE,
)
_LEAVES_OPEN = re.compile(r"\bMODIFY\b|\bCHANGE\b|\bTYPE\b|\bDROP\s+(?:INDEX|TABLE\s+IF\s+EXISTS)\b|\bRENAME\s+TO\b", re.IGNORECASE)
_DIALECTS = {
    # What stands between two dots of a file's name where one folder serves several databases.
    **dict.fromkeys(("postgres", "postgresql", "pg", "cockroach"), Dialect.POSTGRES),
    **dict.fromkeys(("mysql", "mariadb"), Dialect.MYSQL),
    **dict.fromkeys(("sqlite", "sqlite3"), Dialect.SQLITE),
}


class Needed(NamedTuple):
    """An earlier migration to read, and the names of which at least one stands in it where its text matters."""

    path: str
    names: frozenset[str]


def needed(changed: Mapping[str, str], names_in: Callable[[str], Sequence[str]]) -> tuple[Needed, ...]:
    """The earlier migrations, in plain SQL, of the folders of these new ones; none for a range that leaves nothing open. `names_in` as in `beside`."""
    asked: dict[str, tuple[Recognised, set[str], str]] = {}
    for path, text in changed.items():
        found = recognise(path)
        if found is None or found.role is not Role.FORWARD or not path.lower().endswith(".sql"):
            continue
        _, names, first = asked.get(found.root, (found, set[str](), path))
        first = path if order(found.root, path) < order(found.root, first) else first
        asked[found.root] = (found, names | _asked(text), first)
    several = []
    for root, (found, names, first) in asked.items():
        if names:
            earlier = [path for path in _sql_of(root, found, names_in) if order(root, path) < order(root, first)]
            several += [Needed(path, frozenset(names)) for path in earlier if path not in changed]
    return tuple(several) if len(several) <= MAX_FILES else ()


def _asked(text: str) -> set[str]:
    """The tables and indexes that a text changes in a way that depends on what they were, by the last part of their name."""
    if not _LEAVES_OPEN.search(text):
        return set()
    return {_last((one["table"] or one["index"]).replace("`", "").replace('"', "")) for one in _ASKS.finditer(text)}


def matters(text: str, names: Iterable[str]) -> bool:
    """Whether a text names one of them."""
    return not {one.lower() for one in _WORD.findall(text)}.isdisjoint(names)


def _sql_of(root: str, found: Recognised, names_in: Callable[[str], Sequence[str]]) -> list[str]:
    paths = []
    for name in names_in(root):
        here = f"{root}/{name}".lstrip("/")
        paths += [f"{here}{inner}" for inner in names_in(here.rstrip("/"))[:10]] if name.endswith("/") else [here]
    own = [(path, recognise(path)) for path in paths if path.lower().endswith(".sql")]
    return [path for path, of in own if of is not None and of.role is Role.FORWARD and of.root == root and of.tool is found.tool]


def order(root: str, path: str) -> list[tuple[int, int, str]]:
    """Where a path of a root stands when its tool applies them: by its names, with numbers compared as numbers."""
    inside = path[len(root) :].lstrip("/")
    return [(0, int(part), "") if part.isdecimal() and len(part) < 64 else (1, 0, part) for part in re.split(r"(\d+)", inside) if part]  # noqa: PLR2004  int() refuses thousands of digits


def _last(name: str) -> str:
    """The last part of a name, by which texts are searched: nobody knows which schema or quotes an earlier file wrote."""
    return name.rpartition(".")[2].lower()


class Earlier:
    """Learns from one migration after the other what they leave."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect, self._left = dialect, MAX_CHARACTERS
        self._shape = Shape(whole=False, supposed=True)
        self._grammar = Session.of(dialect).grammar_characters
        self._full: dict[str, set[str]] = {}

    def learn(self, path: str, text: str) -> None:
        """Take a migration as applied; paths of other tools and ways, and of other databases, say nothing."""
        found = recognise(path)
        if (found is not None and found.role is not Role.FORWARD) or not path.lower().endswith(".sql") or self._is_of_another(path):
            return
        self._left -= len(text)
        if self._left < 0:
            return
        session = Session.of(self._dialect, grammar_characters=self._grammar)
        session.definitions = True
        for statement in split(forward_part(text.removeprefix("\ufeff").replace("\r\n", "\n"), found), self._dialect):
            for operation in read(statement, session):
                if nothing_but(operation):
                    self._forget(statement.text)
                elif operation.kind is not Kind.WRITE:
                    self._shape.apply(operation)
                    for name in (operation.table, operation.name, operation.to, *(name for name, _ in operation.keys)):
                        self._full.setdefault(_last(name), set()).add(name)

    def before(self, text: str) -> Shape | None:
        """What is known of the tables and indexes that a text names, None where that is nothing."""
        if self._left < 0:
            return None
        named = self._named(text)
        tables = {name: dict(self._shape.tables[name]) for name in named if name in self._shape.tables}
        indexes = {name: self._shape.indexes[name] for name in named if name in self._shape.indexes}
        return Shape(tables=tables, indexes=indexes, whole=False, supposed=True) if tables or indexes else None

    def _forget(self, text: str) -> None:
        """A statement that is not understood may have done anything to what it names."""
        for name in self._named(text):
            self._shape.tables.pop(name, None)

    def _named(self, text: str) -> list[str]:
        words = {one.lower() for one in _WORD.findall(text)}
        return sorted(name for word in words if word in self._full for name in self._full[word])

    def _is_of_another(self, path: str) -> bool:
        parts = path.rpartition("/")[2].lower().split(".")
        return any(_DIALECTS[part] is not self._dialect for part in parts if part in _DIALECTS)
