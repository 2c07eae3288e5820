"""Finds the statements inside of what the server runs under conditions of its own: DO blocks, procedures that are called, EXECUTE and PREPARE of a text.

What is found here may or may not have run (`Operation.perhaps`), so it can show a break and never proves that something is new. Where a text is put together
from parts, the parts that are not in it are names that nobody knows, and the whole stays unknown.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from service.domain.schema.operations import Operation
from service.domain.schema.reading import Dialect
from service.domain.schema.scanning import Statement, Token, split

Read = Callable[[Statement], list[Operation]]
"""Reads one statement, with the session of the file around it."""

MAX_PIECES = 400
MAX_TEXT = 100_000
_COMPUTED = {Dialect.POSTGRES: '"(computed)"', Dialect.SQLITE: '"(computed)"', Dialect.MYSQL: "`(computed)`"}
_OPENS = frozenset({"BEGIN", "THEN", "ELSE", "LOOP", "DO", "REPEAT"})
_VERBS = frozenset(
    {
        "ALTER",
        "DROP",
        "CREATE",
        "RENAME",
        "INSERT",
        "UPDATE",
        "DELETE",
        "TRUNCATE",
        "MERGE",
        "REPLACE",
        "EXECUTE",
        "PERFORM",
        "CALL",
        "COMMENT",
        "GRANT",
        "REVOKE",
    }
    | {"PREPARE", "LOCK", "COPY", "WITH", "SELECT", "ANALYZE", "REFRESH", "SET", "LOAD"}
)
_ACTS = _VERBS - {"SELECT", "WITH", "SET", "COMMENT", "REPLACE", "LOCK"}
_FORMAT_PLACE = re.compile(r"%(?:\d+\$)?-?\d*[IsL]")
_STATEMENT_BEGINS = re.compile(r"\s*(?:ALTER|DROP|CREATE|RENAME|DELETE|UPDATE|INSERT|TRUNCATE|REPLACE)\b", re.IGNORECASE)


def of_block(statement: Statement, read: Read) -> tuple[list[Operation], bool]:
    """What a DO block of PostgreSQL does, and whether all of it was understood and literal."""
    texts = [token for token in statement.tokens if token.kind == "string"]
    words = [token.word for token in statement.tokens[1:] if token.kind == "word"]
    if len(texts) != 1 or (words and (words[0] != "LANGUAGE" or words[1:] != ["PLPGSQL"])):
        return [], False
    body = content(texts[0], Dialect.POSTGRES)
    pieces = split(body, Dialect.POSTGRES) if len(body) <= MAX_TEXT else []
    whole = bool(pieces) and pieces[0].tokens[0].text.upper() in {"BEGIN", "DECLARE", "<"} and pieces[-1].tokens[0].word == "END"
    found, understood = of_pieces(pieces, Dialect.POSTGRES, read)
    return found, understood and whole


def of_routine(statement: Statement, read: Read) -> list[Operation]:
    """What the body of a MySQL procedure does when it is called."""
    begin = next((at for at, token in enumerate(statement.tokens) if token.word == "BEGIN"), None)
    if begin is None:
        return []
    pieces, start = [], begin + 1
    for at in range(begin + 1, len(statement.tokens) + 1):
        if at == len(statement.tokens) or statement.tokens[at].text == ";":
            if at > start:
                pieces.append(part(statement, start, at))
            start = at + 1
    return of_pieces(pieces, Dialect.MYSQL, read)[0]


def of_pieces(pieces: Sequence[Statement], dialect: Dialect, read: Read) -> tuple[list[Operation], bool]:
    """What the statements of a body do, without the control flow around them."""
    found: list[Operation] = []
    understood = 0 < len(pieces) <= MAX_PIECES and not any(one.trouble for one in pieces)
    for piece in pieces[:MAX_PIECES]:
        inner = _without_control_flow(piece)
        if inner is None:
            # Declarations, assignments, conditions, END: nothing that acts stands in them.
            understood &= _ACTS.isdisjoint(token.word for token in piece.tokens)
        elif inner.tokens[0].word == "EXECUTE" and dialect is Dialect.POSTGRES:
            operations, literal = of_text(inner.tokens[1:], dialect, read)
            found += operations
            understood &= literal
        elif inner.tokens[0].word in {"PERFORM", "EXECUTE", "CALL", "PREPARE"}:
            found += of_strings(inner, dialect, read)
            understood = False
        else:
            found += read(inner)
    return [replace(one, perhaps=True) for one in found], understood


def of_text(tokens: Sequence[Token], dialect: Dialect, read: Read) -> tuple[list[Operation], bool]:
    """What a text that is executed does, and whether it stands there as one literal. Parts that are computed count as names that nobody knows."""
    text, literal = "".join(_parts(tokens, dialect)), len(tokens) == 1 and tokens[0].kind == "string"
    if len(text) > MAX_TEXT or not _STATEMENT_BEGINS.match(text):
        return [], False
    found = [one for statement in split(text, dialect)[:MAX_PIECES] for one in read(statement) if _named(one)]
    return [replace(one, perhaps=True) for one in found], literal


def of_strings(statement: Statement, dialect: Dialect, read: Read) -> list[Operation]:
    """What the texts do that a statement keeps for a later PREPARE: each one that begins like a statement, or all together where CONCAT joins them."""
    tokens = statement.tokens
    joined = next((at for at, token in enumerate(tokens) if token.word == "CONCAT"), None)
    if joined is not None:
        return of_text(tokens[joined:], dialect, read)[0]
    texts = [content(token, dialect) for token in tokens if token.kind == "string"]
    begun = [text for text in texts if len(text) <= MAX_TEXT and _STATEMENT_BEGINS.match(text)][:MAX_PIECES]
    return [replace(one, perhaps=True) for text in begun for inner in split(text, dialect)[:MAX_PIECES] for one in read(inner)]


def content(token: Token, dialect: Dialect) -> str:
    """The text inside of a string token: quotes taken away, doubled quotes and (where the dialect has them) backslashes read."""
    text = token.text
    if text.startswith("$"):
        mark = text[: text.index("$", 1) + 1]
        return text[len(mark) : -len(mark)] if text.endswith(mark) and len(text) >= 2 * len(mark) else ""
    quote = text.find("'") if "'" in text[:3] else text.find('"')
    inner = text[quote + 1 : -1].replace(text[quote] * 2, text[quote])
    return re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL) if dialect is Dialect.MYSQL or text[:1] in "eE" else inner


def part(statement: Statement, start: int, end: int) -> Statement:
    """A run of a statement's tokens as a statement of its own."""
    base = statement.tokens[0].start
    first, last = statement.tokens[start], statement.tokens[end - 1]
    return Statement(statement.text[first.start - base : last.end - base], statement.line, tuple(statement.tokens[start:end]), statement.trouble)


def _without_control_flow(piece: Statement) -> Statement | None:
    depth = 0
    starts = [0]
    for at, token in enumerate(piece.tokens):
        depth += (token.text == "(") - (token.text == ")")
        if not depth and token.word in _OPENS:
            starts.append(at + 1)
    begun = next((at for at in starts if at < len(piece.tokens) and (piece.tokens[at].word in _VERBS or _is_block(piece.tokens[at : at + 2]))), None)
    return None if begun is None else part(piece, begun, len(piece.tokens))


def _is_block(tokens: Sequence[Token]) -> bool:
    """Whether a DO block of PostgreSQL begins here, and not the body of a WHILE of MySQL."""
    return len(tokens) > 1 and tokens[0].word == "DO" and (tokens[1].kind == "string" or tokens[1].word == "LANGUAGE")


def _parts(tokens: Sequence[Token], dialect: Dialect) -> Iterator[str]:
    computed = _COMPUTED[dialect]
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token.word in {"USING", "INTO"}:
            return
        if token.kind == "string":
            yield content(token, dialect)
        elif token.word == "FORMAT" and at + 2 < len(tokens) and tokens[at + 2].kind == "string":
            yield _FORMAT_PLACE.sub(computed, content(tokens[at + 2], dialect))
            at = _behind_call(tokens, at + 1)
            continue
        elif token.kind in {"word", "quoted", "number"} and token.word != "CONCAT":
            yield computed
            at = _behind_call(tokens, at + 1)
            continue
        at += 1


def _behind_call(tokens: Sequence[Token], at: int) -> int:
    """Go past a call's parentheses and a chain of `.name`, if they come next."""
    while at + 1 < len(tokens) and tokens[at].text == ".":
        at += 2
    depth = 0
    while at < len(tokens) and (depth or tokens[at].text == "("):
        depth += (tokens[at].text == "(") - (tokens[at].text == ")")
        at += 1
        if not depth:
            break
    return at


def _named(operation: Operation) -> bool:
    """Whether the thing that an operation is about stands in the text; a table may be computed where its column does not."""
    return "(computed)" not in (operation.name or operation.table) and "(computed)" not in operation.to
