"""Reads migrations in JavaScript and TypeScript (TypeORM, knex, Sequelize) whose `up` does nothing but run SQL that stands in it as a text.

One statement that is anything else (a schema builder, a loop, a template with `${…}`) is unknown, and so is what cannot be cut. Nothing is executed.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from service.domain.schema.readers.reader import MAX_CODE_CHARACTERS, Root, Sql, Step, not_literal, not_understood

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<text>'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"|`(?:\\.|[^`\\])*`)|(?P<word>[A-Za-z_$][\w$]*)|(?P<number>\d[\w.]*)|(?P<mark>=>|.)",
    re.DOTALL,
)
_RUNS = ("query", "raw")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\n": ""}


class JavaScriptReader:
    """See `reader.Reader`."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def order(self, paths: Sequence[str]) -> Sequence[str]:
        """By the time that the names begin with."""
        return sorted(paths)

    def read(self, path: str, sql: Sql) -> Iterable[Step]:
        """Every statement of `up`."""
        text = self._root.files[path]
        if len(text) > MAX_CODE_CHARACTERS:
            yield not_understood(0, "", f"it is too large to be read ({len(text)} characters)")
            return
        tokens = [(found.lastgroup or "", found[0], found.start()) for found in _TOKEN.finditer(text) if found.lastgroup not in {"space", "comment"}]
        body = _body_of_up(tokens)
        if body is None:
            yield not_understood(0, "", "it has no function up that is told apart")
            return
        for statement in _statements(body):
            yield from _statement(statement, text, sql)


_Token = tuple[str, str, int]


def _body_of_up(tokens: Sequence[_Token]) -> Sequence[_Token] | None:
    """What stands between the braces of the one function named up."""
    found: list[Sequence[_Token]] = []
    for index, (kind, word, _) in enumerate(tokens):
        before = tokens[index - 1][1] if index else ""
        if kind != "word" or word != "up" or (before == "." and tokens[index - 2][1] not in {"exports", "module.exports"}):
            continue
        if index + 1 >= len(tokens) or tokens[index + 1][1] not in {"(", "=", ":"}:
            continue
        at, round_brackets = index + 1, 0
        while at < len(tokens) and not (tokens[at][1] == "{" and not round_brackets):
            round_brackets += (tokens[at][1] == "(") - (tokens[at][1] == ")")
            if tokens[at][1] in {";", "}"} and not round_brackets:
                break
            at += 1
        if at >= len(tokens) or tokens[at][1] != "{":
            continue
        end, depth = at, 0
        while end < len(tokens):
            depth += (tokens[end][1] == "{") - (tokens[end][1] == "}")
            end += 1
            if not depth:
                break
        if not depth:
            found.append(tokens[at + 1 : end - 1])
    return found[0] if len(found) == 1 else None


def _statements(body: Sequence[_Token]) -> Iterator[Sequence[_Token]]:
    """Cut at semicolons, and where `await` or `return` begins another; brackets that stay open end up in one that is not understood."""
    depth = start = 0
    for index, (kind, text, _) in enumerate(body):
        if kind == "mark":
            depth += (text in "([{") - (text in ")]}")
        begins = kind == "word" and text in {"await", "return"} and index > start and not depth
        if (text == ";" and kind == "mark" and not depth) or begins:
            if body[start:index]:
                yield body[start:index]
            start = index if begins else index + 1
    if body[start:]:
        yield body[start:]


def _statement(statement: Sequence[_Token], text: str, sql: Sql) -> Iterator[Step]:
    line = text.count("\n", 0, statement[0][2]) + 1
    shown = text[statement[0][2] : statement[-1][2] + len(statement[-1][1])]
    rest = list(statement)
    while rest and rest[0][1] in {"await", "return"}:
        rest.pop(0)
    names = []
    while rest and (rest[0][0] == "word" or rest[0][1] == "."):
        names.append(rest.pop(0)[1])
    runs = len(names) > 2 and names[-1] in _RUNS and names[-2] == "."  # noqa: PLR2004  something . query
    last = rest[-1][1] if rest else ""
    inner = rest[1:-1] if len(rest) > 2 and rest[0][1] == "(" and last == ")" else []  # noqa: PLR2004  ( text )
    if inner and inner[-1][1] == ",":
        inner = inner[:-1]
    if not rest and (not names or names == ["Promise", ".", "resolve"]):
        return
    if not runs or len(inner) != 1 or inner[0][0] != "text":
        yield not_literal(line, shown, "it does something else than run SQL that stands there as a text")
        return
    quoted = inner[0][1]
    if quoted[0] == "`" and "${" in quoted:
        yield not_literal(line, shown, "its SQL is put together when it runs")
        return
    body = re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), quoted[1:-1], flags=re.DOTALL)
    yield from sql(body, text.count("\n", 0, inner[0][2]) + 1)
