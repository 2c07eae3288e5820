"""Cuts Ruby into statements, as far as migrations need it: words, literals, heredocs, blocks. Nothing is executed, and what does not nest makes it give up.

It is no parser of Ruby: what it cannot cut with certainty raises, and what it cuts but does not know is left to its caller as "not literal".
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from service.domain.schema.readers.reader import MAX_CODE_CHARACTERS

MAX_NESTING = 40


class UnreadableError(Exception):
    """The text does not nest, or is too large; the text is a clause."""


class Computed:
    """A value that does not stand in the text."""


COMPUTED: Final = Computed()


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is word, label (`null:`), symbol, string, number, mark or newline; `value` of a string is None where it is interpolated."""

    kind: str
    text: str
    line: int
    value: str | None = None


@dataclass(slots=True)
class Statement:
    """One statement: its tokens without the block, the block's parameter and statements (None without one). `opens` is the keyword of class, def, if ..."""

    line: int
    tokens: list[Token] = field(default_factory=list)
    block: list["Statement"] | None = None
    parameter: str = ""
    opens: str = ""


_TOKEN = re.compile(
    r"(?P<space>[ \t\r\f]+|\\\r?\n)|(?P<comment>\#[^\n]*)|(?P<newline>\n|;)"
    r"|(?P<heredoc><<[~-]?(?P<quote>['\"`]?)(?P<tag>[A-Z_][A-Za-z0-9_]*)(?P=quote))"
    r"|(?P<list>%[wi][\[(<{])|(?P<label>[A-Za-z_]\w*[?!]?:(?!:))|(?P<symbol>:(?:[A-Za-z_]\w*[?!=]?|\"[^\"#\n]*\"))"
    r"|(?P<word>(?:::)?[A-Za-z_@$]\w*(?:::\w+)*[?!]?)|(?P<number>\d[\d_.]*)|(?P<mark>->|=>|\*\*|&&|\|\||<<|[-+*/%=<>!&|^~?:.,(){}\[\]])"
)
_CLOSING = {"[": "]", "(": ")", "<": ">", "{": "}"}
_OPENERS = frozenset({"class", "module", "def", "if", "unless", "case", "while", "until", "for", "begin"})
_SPLITTERS = frozenset({"else", "elsif", "when", "in", "rescue", "ensure", "then"})
_GOES_ON = frozenset({",", "(", "[", "{", ".", "=>", "=", "&&", "||", "+", "|", "->", "*", "?"})


def tokens_of(text: str) -> list[Token]:
    """The tokens of a text; UnreadableError where it cannot be cut."""
    if len(text) > MAX_CODE_CHARACTERS:
        raise UnreadableError(f"is too large to be read ({len(text)} characters)")
    found: list[Token] = []
    at, line, waiting = 0, 1, list[tuple[int, str, bool]]()
    while at < len(text):
        if text[at] in "'\"`":
            end, value = _string(text, at)
            found.append(Token("string", text[at:end], line, value))
            line += text.count("\n", at, end)
            at = end
            continue
        cut = _TOKEN.match(text, at)
        if cut is None:
            raise UnreadableError(f"is no Ruby that can be read (line {line})")
        kind, start, at = cut.lastgroup or "", at, cut.end()
        if kind == "tag" or cut["heredoc"]:
            if found and found[-1].kind in {"word", "number", "symbol"} and text[start - 1 : start] not in {" ", "("}:
                raise UnreadableError(f"is no Ruby that can be read (line {line})")
            waiting.append((len(found), cut["tag"], cut["quote"] == "'"))
            found.append(Token("string", cut[0], line, None))
        elif kind == "newline":
            found.append(Token("newline", "", line))
            if cut[0] == "\n":
                line += 1
                for index, tag, plain in waiting:
                    at, line = _heredoc(text, at, line, found, index, tag, plain=plain)
                waiting = []
        elif kind == "list":
            close = text.find(_CLOSING[cut[0][-1]], at)
            if close < 0:
                raise UnreadableError(f"is no Ruby that can be read (line {line})")
            found.append(Token("mark", "[", line))
            for part in text[at:close].split():
                found += [Token("symbol", part, line, part), Token("mark", ",", line)]
            found.append(Token("mark", "]", line))
            line += text.count("\n", at, close)
            at = close + 1
        elif kind == "symbol":
            found.append(Token("symbol", cut[0], line, cut[0][1:].strip('"')))
        elif kind not in {"space", "comment"}:
            found.append(Token(kind, cut[0], line))
            if kind == "word" and cut[0] == "__END__":
                raise UnreadableError("holds data behind __END__")
        else:
            line += cut[0].count("\n")
    if waiting:
        raise UnreadableError("has a heredoc without an end")
    return found


def _string(text: str, start: int) -> tuple[int, str | None]:
    quote, at, computed, parts = text[start], start + 1, text[start] == "`", list[str]()
    while at < len(text):
        sign = text[at]
        if sign == "\\":
            parts.append({"n": "\n", "t": "\t"}.get(text[at + 1 : at + 2], text[at + 1 : at + 2]) if quote == '"' else text[at : at + 2].replace("\\'", "'"))
            at += 2
        elif sign == quote:
            return at + 1, None if computed else "".join(parts)
        else:
            computed |= quote == '"' and text.startswith("#{", at)
            parts.append(sign)
            at += 1
    raise UnreadableError("has a text without an end")


def _heredoc(text: str, at: int, line: int, found: list[Token], index: int, tag: str, *, plain: bool) -> tuple[int, int]:
    begin, first = at, line
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        if text[at:end].strip() == tag:
            body = text[begin:at]
            found[index] = Token("string", found[index].text, first, body if plain or "#{" not in body else None)
            return min(end + 1, len(text)), line + 1
        at, line = end + 1, line + 1
    raise UnreadableError("has a heredoc without an end")


def statements_of(text: str) -> list[Statement]:
    """The statements of a file, blocks inside them."""
    tokens = tokens_of(text)
    found, at = _statements(tokens, 0, 0, "")
    if at < len(tokens):
        raise UnreadableError("does not nest as Ruby does")
    return found


def _statements(tokens: Sequence[Token], at: int, depth: int, close: str) -> tuple[list[Statement], int]:
    if depth > MAX_NESTING:
        raise UnreadableError("is nested too deeply")
    found: list[Statement] = []
    while at < len(tokens):
        token = tokens[at]
        if token.kind == "newline":
            at += 1
        elif close and token.text == close and token.kind in {"word", "mark"}:
            return found, at + 1
        elif token.text in _SPLITTERS and token.kind == "word":
            at += 1
            found.append(Statement(token.line, [token], opens="else"))
        else:
            before = at
            one, at = _statement(tokens, at, depth)
            if at == before:  # an `end` or a bracket that closes nothing here
                raise UnreadableError("does not nest as Ruby does")
            found.append(one)
    if close:
        raise UnreadableError("does not nest as Ruby does")
    return found, at


def _statement(tokens: Sequence[Token], at: int, depth: int) -> tuple[Statement, int]:
    statement, brackets = Statement(tokens[at].line), 0
    if tokens[at].kind == "word" and tokens[at].text in _OPENERS:
        statement.opens = tokens[at].text
        while at < len(tokens) and tokens[at].kind != "newline":
            statement.tokens.append(tokens[at])
            at += 1
        statement.block, at = _statements(tokens, at, depth + 1, "end")
        return statement, at
    while at < len(tokens):
        token = tokens[at]
        if token.kind == "newline":
            last, following = statement.tokens[-1] if statement.tokens else None, next((one for one in tokens[at + 1 :] if one.kind != "newline"), None)
            if brackets or (last is not None and last.text in _GOES_ON and last.kind == "mark") or (following is not None and following.text == "."):
                at += 1
                continue
            return statement, at
        if token.kind == "word" and token.text == "do":
            statement.parameter, at = _parameter(tokens, at + 1)
            statement.block, at = _statements(tokens, at, depth + 1, "end")
            continue
        if token.text == "{" and token.kind == "mark" and statement.tokens and _opens_block(statement.tokens[-1]):
            parameter, at = _parameter(tokens, at + 1)
            inner, at = _statements(tokens, at, depth + 1, "}")
            if statement.tokens[-1].text == "->":
                statement.tokens.append(Token("lambda", "", token.line))
            else:
                statement.block, statement.parameter = inner, parameter
            continue
        if token.kind == "mark":
            brackets += (token.text in "([{") - (token.text in ")]}")
            if brackets < 0:
                return statement, at
        if token.kind == "word" and token.text == "end":
            return statement, at
        statement.tokens.append(token)
        at += 1
    return statement, at


def _opens_block(before: Token) -> bool:
    return (before.kind == "word" and before.text not in {"return", "and", "or", "not"}) or before.text in {")", "->"} or before.kind in {"symbol", "string"}


def _parameter(tokens: Sequence[Token], at: int) -> tuple[str, int]:
    if at + 2 < len(tokens) and tokens[at].text == "|":
        name = tokens[at + 1].text
        while at + 1 < len(tokens) and tokens[at + 1].text != "|":
            at += 1
        return name, at + 2
    return "", at


def arguments(tokens: Sequence[Token]) -> tuple[list[Any], dict[str, Any]] | None:
    """Positional and named values of a call's tokens, COMPUTED where one does not stand in the text; None when they cannot be told apart."""
    if len(tokens) > 1 and tokens[0].text == "(" and tokens[-1].text == ")":
        tokens = tokens[1:-1]
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for part in _parts(tokens):
        if part[0].kind == "label":
            named[part[0].text[:-1]] = value(part[1:])
        elif len(part) > 2 and part[1].text == "=>" and part[0].kind in {"symbol", "string"}:  # noqa: PLR2004  key => value
            named[str(part[0].value)] = value(part[2:])
        elif part[0].text == "*" and isinstance(spread := value(part[1:]), list):
            positional += spread
        elif part[0].text in {"*", "**", "&"}:
            return None
        else:
            positional.append(value(part))
    return positional, named


def _parts(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    depth = start = 0
    for index, token in enumerate(tokens):
        if token.kind == "mark":
            depth += (token.text in "([{") - (token.text in ")]}")
            if token.text == "," and not depth:
                if index > start:
                    yield tokens[start:index]
                start = index + 1
    if tokens[start:]:
        yield tokens[start:]


def value(tokens: Sequence[Token]) -> Any:
    """The literal that the tokens are: text, number, True, False, None, list, mapping; COMPUTED for everything else."""
    while len(tokens) > 2 and tokens[-2].text == "." and tokens[-1].text in {"squish", "strip", "strip_heredoc", "chomp", "freeze"}:  # noqa: PLR2004
        tokens = tokens[:-2]
    if len(tokens) == 1:
        token = tokens[0]
        if token.kind in {"symbol", "string"}:
            return token.value if token.value is not None else COMPUTED
        if token.kind == "number":
            return token.text
        return {"true": True, "false": False, "nil": None}.get(token.text, COMPUTED)
    if len(tokens) > 1 and tokens[0].text == "[" and tokens[-1].text == "]":
        values = [value(part) for part in _parts(tokens[1:-1])]
        return COMPUTED if any(one is COMPUTED for one in values) else values
    if len(tokens) > 1 and tokens[0].text == "{" and tokens[-1].text == "}":
        inner = arguments(tokens[1:-1])
        return inner[1] if inner is not None and not inner[0] else COMPUTED
    if len(tokens) == 2 and tokens[0].text == "-" and tokens[1].kind == "number":  # noqa: PLR2004
        return f"-{tokens[1].text}"
    return COMPUTED
