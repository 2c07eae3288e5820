"""Cuts SQL text into statements and tokens, per dialect: strings, quoted names, dollar quotes, comments, routine bodies, client commands.

Pure text work in time linear in its length. It knows no statement's meaning (`statements` does). Whatever it cannot cut with certainty it keeps and marks
with `trouble`, so that no text is ever lost: an unclosed string swallows the rest of the file, and that rest is then unknown.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

from service.domain.schema.reading import Dialect


class Token(NamedTuple):
    """A piece of code; comments and white space leave none. `kind` is word, quoted, string, number or mark."""

    kind: str
    text: str
    start: int
    end: int
    word: str = ""
    """The upper-cased word, empty for anything that is not a bare word, so that a quoted "DROP" is never a keyword."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its source text, its first line counted from 1, its tokens, and why it cannot be read (empty when it can)."""

    text: str
    line: int
    tokens: tuple[Token, ...]
    trouble: str = ""

    @property
    def shown(self) -> str:
        """The text as people may see it in a log: without the values of rows, settings, roles and bodies, among which secrets are."""
        words = (self.tokens[0].word, self.tokens[1].word if len(self.tokens) > 1 else "")
        if words in _SHOW_VALUES and not self.trouble:
            return self.text
        base = self.tokens[0].start
        pieces, at = [], base
        for token in self.tokens:
            if token.start - base > _SHOWN:
                break
            if token.kind == "string" or (token.kind == "mark" and len(token.text) > _LONGEST_MARK):
                pieces += [self.text[at - base : token.start - base], "'…'"]
                at = token.end
        return "".join([*pieces, self.text[at - base :]]) if at - base <= _SHOWN else "".join(pieces)


_SHOW_VALUES = {(verb, kind) for verb in ("CREATE", "ALTER", "DROP") for kind in ("TABLE", "TYPE", "INDEX", "UNIQUE", "VIEW", "SEQUENCE", "DOMAIN")}
_SHOWN = 1_000
_LONGEST_MARK = 2

_COMMON = r"(?P<space>[\s\ufeff]++)|(?P<block>/\*)"
_TAIL = r"|(?P<word>[^\W\d][\w$]*+)|(?P<number>\d[\w.]*+)|(?P<mark>::|:=|.)"
_PLAIN_STRING = r"'(?:[^']++|'')*+'"
_ESCAPED_STRING = r"'(?:[^'\\]++|\\.|'')*+'"
_PATTERNS = {
    Dialect.POSTGRES: re.compile(
        _COMMON
        + r"|(?P<line>--[^\r\n]*+)|(?P<string>[eE]"
        + _ESCAPED_STRING
        + r"|(?:[bBxXnN]|[uU]&)?"
        + _PLAIN_STRING
        + r')|(?P<escaped>[uU]&")|(?P<quoted>"(?:[^"]++|"")*+")|(?P<dollar>\$(?:[^\W\d]\w*+)?\$)'
        + _TAIL,
        re.DOTALL,
    ),
    Dialect.MYSQL: re.compile(
        _COMMON
        + r"|(?P<line>--(?=\s|\Z)[^\n]*+|\#[^\n]*+)|(?P<string>[bBxXnN]?"
        + _ESCAPED_STRING
        + r'|"(?:[^"\\]++|\\.|"")*+")|(?P<quoted>`(?:[^`]++|``)*+`)'
        + _TAIL,
        re.DOTALL,
    ),
    Dialect.SQLITE: re.compile(
        _COMMON + r"|(?P<line>--[^\n]*+)|(?P<string>[xX]?" + _PLAIN_STRING + r')|(?P<quoted>"(?:[^"]++|"")*+"|`(?:[^`]++|``)*+`|\[[^\]]*+\])' + _TAIL,
        re.DOTALL,
    ),
}
_OPENERS = {Dialect.POSTGRES: "'\"", Dialect.MYSQL: "'\"`", Dialect.SQLITE: "'\"`["}
_BLOCK_EDGE = re.compile(r"/\*|\*/")
_PLACEHOLDER_IN_STRING = re.compile(r"\$\{|\{\{[\s\w.|]+\}\}")
_ALWAYS_EXECUTED = re.compile(r"/\*!(?:[0-4]\d{4}|50[0-6]\d\d)?(?!\d)")
"""A MySQL comment that every server since 5.7 executes, and every MariaDB: no version, or one before that."""
_DELIMITER = re.compile(r"[ \t]*(\S*)[^\n]*")
_FORMAT_PLACEHOLDER = re.compile(r"%s\b|%\(\w+\)s")
_ROUTINES = frozenset({"TRIGGER", "PROCEDURE", "FUNCTION", "EVENT"})
_ROUTINE_HEAD = 16
_END_OF_OTHERS = frozenset({"IF", "LOOP", "WHILE", "REPEAT", "FOR"})


def split(text: str, dialect: Dialect) -> list[Statement]:
    """Cut text into statements in order. `dialect` is one of the three real ones. Never raises and never drops code."""
    pattern = _PATTERNS[dialect]
    newlines = [found.start() for found in re.finditer(r"\n", text)]
    statements: list[Statement] = []
    tokens: list[Token] = []
    trouble = ""
    depth = brackets = body = 0
    executing, delimiter = False, ";"
    at, size = 0, len(text)

    def close() -> None:
        nonlocal tokens, trouble, depth, brackets, body
        if tokens:
            start, end = tokens[0].start, tokens[-1].end
            open_body = body and delimiter == ";"
            why = trouble or ("its parentheses do not balance" if depth else "") or ("its routine body is not closed" if open_body else "")
            statements.append(Statement(text[start:end], bisect_right(newlines, start) + 1, tuple(tokens), why))
        tokens, trouble, depth, brackets, body = [], "", 0, 0, 0

    while at < size:
        if delimiter != ";" and text.startswith(delimiter, at):
            close()
            at += len(delimiter)
            continue
        found = pattern.match(text, at)
        if found is None or found.lastgroup is None:
            # The pattern ends in "any character": only a broken pattern gets here, and the rest must not get lost.
            tokens.append(Token("mark", text[at:], at, size))
            trouble = trouble or "it could not be cut into words"
            break
        kind, start, at = found.lastgroup, at, found.end()
        if kind in {"space", "line"}:
            continue
        if kind == "block" and dialect is Dialect.MYSQL and not executing and (always := _ALWAYS_EXECUTED.match(text, start)):
            executing, at = True, always.end()
            continue
        if executing and found[0] == "*" and text.startswith("/", at):
            executing, at = False, at + 1
            continue
        if kind == "block":
            end, executed = _end_of_block(text, start, dialect)
            if end < 0 or executed:
                trouble = trouble or ("a comment is not closed" if end < 0 else "a comment that the server executes (/*! */)")
                end = size if end < 0 else end
                tokens.append(Token("mark", text[start:end], start, end))
            at = end
            continue
        if kind == "dollar":
            end = text.find(found[0], at)
            trouble = trouble or ("a dollar quote is not closed" if end < 0 else "")
            at = size if end < 0 else end + len(found[0])
            tokens.append(Token("string", text[start:at], start, at))
            continue
        if kind == "escaped":
            trouble = trouble or "a name is written in Unicode escapes"
            kind = "mark"
        value = found[0]
        if kind == "mark" and value == ";" and not body:
            close()
            continue
        if kind == "mark" and value in _OPENERS[dialect]:
            # Unclosed: where the code behind it begins again is not known, so none of it may be taken for code.
            trouble, at = trouble or "a quote is not closed", size
            tokens.append(Token("mark", text[start:], start, size))
            break
        if kind == "mark":
            depth += (value == "(") - (value == ")")
            brackets += (value == "[") - (value == "]")
            trouble = trouble or _trouble_of_mark(text, start, value, brackets, dialect)
        elif kind == "string":
            trouble = trouble or ("a placeholder stands in a string" if _PLACEHOLDER_IN_STRING.search(value) else "")
        elif kind == "word":
            word = value.upper()
            if word == "DELIMITER" and not tokens and dialect is Dialect.MYSQL:
                line = _DELIMITER.match(text, at)
                delimiter, at = ((line[1] or ";"), line.end()) if line else (";", at)
                continue
            if delimiter != ";" and delimiter in value:
                value = value[: value.index(delimiter)]
                at, word = start + len(value), value.upper()
                if not value:
                    continue
            body = _depth_of_body(tokens, word, body, dialect)
        tokens.append(Token(kind, value, start, at, value.upper() if kind == "word" else ""))
    trouble = trouble or ("a comment is not closed" if executing else "")
    close()
    return statements


def _end_of_block(text: str, start: int, dialect: Dialect) -> tuple[int, bool]:
    """Return where a block comment ends (-1: it does not) and whether the server executes its content."""
    if dialect is not Dialect.POSTGRES:
        end = text.find("*/", start + 2)
        return (end + 2 if end >= 0 else -1), dialect is Dialect.MYSQL and text.startswith(("/*!", "/*M!"), start)
    nested, at = 0, start
    while edge := _BLOCK_EDGE.search(text, at):
        at = edge.end()
        nested += 1 if edge[0] == "/*" else -1
        if not nested:
            return at, False
    return -1, False


def _trouble_of_mark(text: str, start: int, mark: str, brackets: int, dialect: Dialect) -> str:
    after = text[start + 1 : start + 2]
    if mark == "`":
        return "a quote of another database stands in it"
    if mark == "\\":
        return "a client command (backslash) stands in it"
    if mark in "{}$":
        return "a placeholder stands in it"
    if mark == ":" and brackets == 0 and (after.isalpha() or after in {"_", "'", '"'}):
        return "a placeholder stands in it"
    if (mark == "%" and _FORMAT_PLACEHOLDER.match(text, start)) or (mark == "<" and after == "%"):
        return "a placeholder stands in it"
    if mark == "?" and dialect is not Dialect.POSTGRES:
        return "a placeholder stands in it"
    return "a NUL character stands in it" if mark == "\0" else ""


def _depth_of_body(tokens: list[Token], word: str, body: int, dialect: Dialect) -> int:
    """Return how deep in BEGIN ... END of a routine the text is after `word`: semicolons in there end no statement."""
    if not tokens or tokens[0].word != "CREATE":
        return 0
    before = tokens[-1].word
    if before == "END" and word in _END_OF_OTHERS:
        return body + 1  # END IF, END LOOP: that END closed no BEGIN
    if not body:
        if word == "BEGIN" and dialect is not Dialect.POSTGRES and any(token.word in _ROUTINES for token in tokens[:_ROUTINE_HEAD]):
            return 1
        return 1 if word == "ATOMIC" and before == "BEGIN" else 0
    if word in {"BEGIN", "CASE"}:
        return body if before == "END" else body + 1
    return body - 1 if word == "END" else body
