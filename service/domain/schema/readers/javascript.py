"""Reads migrations in JavaScript and TypeScript (TypeORM, knex, Sequelize) whose `up` runs SQL that stands in it as a text, or calls the schema builder.

One statement that is anything else (a loop, a condition, a template with `${…}`) is unknown, and so is what cannot be cut. Nothing is executed.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from service.domain.schema.operations import Operation
from service.domain.schema.readers.builders import (
    SEQUELIZE,
    TYPEORM,
    Call,
    Token,
    UnreadError,
    Writer,
    chain_of,
    function_of,
    knex_schema,
    statements,
)
from service.domain.schema.readers.reader import MAX_CODE_CHARACTERS, Root, Sql, Step, not_literal, not_understood
from service.domain.schema.reading import Dialect

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<text>'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"|`(?:\\.|[^`\\])*`)|(?P<word>[A-Za-z_$][\w$]*)|(?P<number>\d[\w.]*)|(?P<mark>=>|.)",
    re.DOTALL,
)
_RUNS = ("query", "raw")
_MAX_UPS = 20


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
        yield from _Statements(text, sql, self._root.dialect).read(body)


def _body_of_up(tokens: Sequence[Token]) -> Sequence[Token] | None:
    """What stands between the braces of the one function named up."""
    found: list[Sequence[Token]] = []
    looked = 0
    for index, (kind, word, _) in enumerate(tokens):
        before = tokens[index - 1][1] if index else ""
        if kind != "word" or word != "up" or (before == "." and tokens[index - 2][1] not in {"exports", "module.exports"}):
            continue
        if index + 1 >= len(tokens) or tokens[index + 1][1] not in {"(", "=", ":"}:
            continue
        looked += 1
        if looked > _MAX_UPS:  # each is looked at up to its end
            return None
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


_OPTIONS_OF_QUERY = frozenset({"transaction", "type", "raw", "logging"})
_INSIDE_TRANSACTION = frozenset({"transaction"})
_MAX_NESTED = 3


class _Statements:
    """Reads the statements of `up`, and of the functions that it hands to a transaction."""

    def __init__(self, text: str, sql: Sql, dialect: Dialect) -> None:
        self._text, self._sql, self._write = text, sql, Writer(dialect)

    def read(self, body: Sequence[Token], depth: int = 0) -> Iterator[Step]:
        for statement in statements(body):
            yield from self._one(statement, depth)

    def _one(self, statement: Sequence[Token], depth: int) -> Iterator[Step]:
        line = self._text.count("\n", 0, statement[0][2]) + 1
        shown = self._text[statement[0][2] : statement[-1][2] + len(statement[-1][1])]
        rest = list(statement)
        while rest and rest[0][1] in {"await", "return"}:
            rest.pop(0)
        if not rest:
            return
        chain = chain_of(rest)
        try:
            if chain is None or chain[-1].inside is None:
                raise UnreadError("it does something else than call what is known here")  # noqa: TRY301  one place says so
            names = [one.name for one in chain]
            if names == ["Promise", "resolve"] and not chain[-1].inside:
                return
            if names[-1] in _INSIDE_TRANSACTION and all(one.inside is None for one in chain[:-1]) and depth < _MAX_NESTED:
                function = function_of(chain[-1].inside)
                if function is not None:
                    yield from self.read(function[1], depth + 1)
                    return
            if len(chain) > 1 and names[-1] in _RUNS and all(one.inside is None for one in chain[:-1]):
                text = self._literal(chain[-1])
                at = next(token for token in chain[-1].inside if token[0] == "text")
                yield from self._sql(text, self._text.count("\n", 0, at[2]) + 1)
                return
            for made in self._built(chain):
                steps = [Step(line, shown, made)] if isinstance(made, Operation) else self._sql(made, line)
                yield from (Step(line, shown, one.operation) for one in steps)
        except UnreadError as error:
            yield not_literal(line, shown, str(error))

    def _literal(self, call: Call) -> str:
        """The SQL of a call whose further arguments are options that do not change it."""
        values = call.values()
        options = values[1] if len(values) > 1 else {}
        harmless = isinstance(options, dict) and set(options) <= _OPTIONS_OF_QUERY
        if len(values) not in {1, 2} or not isinstance(values[0], str) or not harmless:
            raise UnreadError("its SQL is put together when it runs")
        return values[0]

    def _built(self, chain: Sequence[Call]) -> Iterable[str | Operation]:
        first, second = chain[0], chain[1] if len(chain) > 1 else None
        if second is not None and second.name == "schema" and second.inside is None and first.inside is None:
            return knex_schema(self._write, chain[2:])
        if len(chain) == 2 and first.inside is None and second is not None:  # noqa: PLR2004  queryInterface . method
            builder = TYPEORM if "runner" in first.name.lower() else SEQUELIZE if "interface" in first.name.lower() or first.name in {"q", "qi"} else {}
            if second.name in builder:
                return builder[second.name](self._write, second.values())
        raise UnreadError(f"what {'.'.join(one.name for one in chain)[:60]} does is not known here")
