"""Cuts C# into tokens, and reads calls and literal values from them: as much of it as migrations of Entity Framework are made of. Nothing is executed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<ignored>^[ \t]*\#(?:nullable|pragma|region|endregion)\b[^\n]*)"
    r"|(?P<raw>\"{3}.*?\"{3})|(?P<verbatim>@\"(?:[^\"]|\"\")*\")|(?P<computed>(?:\$@|@\$|\$+)\"(?:[^\"\\]|\\.)*\")|(?P<text>\"(?:\\.|[^\"\\\n])*\")"
    r"|(?P<char>'(?:\\.|[^'\\\n])+')|(?P<word>@?[^\W\d]\w*)|(?P<number>\d[\w.]*)|(?P<mark>=>|\?\?|.)",
    re.DOTALL | re.MULTILINE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
_OPENS, _CLOSES = frozenset("([{"), frozenset(")]}")


class Code(NamedTuple):
    """One token: its kind (`text`, `word`, `number`, `computed`, `mark`), how it is written, and where it begins."""

    kind: str
    text: str
    start: int


class Computed:
    """A value that is not literal; `what` shows how it begins."""

    def __init__(self, what: str) -> None:
        self.what = what


@dataclass(frozen=True, slots=True)
class Call:
    """`receiver.name<type_argument>(positional, name: value)`. A literal is None, bool, str, int or a tuple of such; anything else is `Computed`."""

    name: str
    type_argument: str
    positional: tuple[Any, ...]
    named: dict[str, Any]


def tokens_of(text: str) -> list[Code]:
    """The tokens of a text, without space, comments and directives that change no code."""
    kinds = {"verbatim": "text", "raw": "text"}
    found = ((one.lastgroup or "", one[0], one.start()) for one in _TOKEN.finditer(text))
    return [Code(kinds.get(kind, kind), text, start) for kind, text, start in found if kind not in {"space", "comment", "ignored"}]


def body_of(tokens: Sequence[Code], method: str, parameter: str) -> tuple[str, Sequence[Code]] | None:
    """The name of the parameter and what stands between the braces of the one method `void method(parameter name)`."""
    found = [
        at
        for at in range(len(tokens) - 6)
        if [one.text for one in tokens[at : at + 4]] == ["void", method, "(", parameter] and tokens[at + 5].text == ")" and tokens[at + 6].text == "{"
    ]
    inside = _inside(tokens, found[0] + 6) if len(found) == 1 else None
    return None if inside is None else (tokens[found[0] + 4].text, inside)


def _inside(tokens: Sequence[Code], at: int) -> Sequence[Code] | None:
    depth = 0
    for end in range(at, len(tokens)):
        depth += _step(tokens[end])
        if not depth:
            return tokens[at + 1 : end]
    return None


def _step(token: Code) -> int:
    return 0 if token.kind != "mark" else (token.text in _OPENS) - (token.text in _CLOSES)


def cut(tokens: Sequence[Code], mark: str) -> list[Sequence[Code]]:
    """Cut at a mark outside of all brackets; what is left empty is left out."""
    parts, depth, start = [], 0, 0
    for at, token in enumerate(tokens):
        depth += _step(token)
        if token.kind == "mark" and token.text == mark and not depth:
            parts.append(tokens[start:at])
            start = at + 1
    return [part for part in (*parts, tokens[start:]) if part]


def calls_of(statement: Sequence[Code], receiver: str) -> list[Call] | None:
    """The chain of calls that a statement is, `receiver.first(...).second(...)`; None if it is anything else."""
    if not statement or statement[0].text != receiver:
        return None
    calls: list[Call] = []
    at = 1
    while at < len(statement):
        if statement[at].text != "." or at + 1 >= len(statement) or statement[at + 1].kind != "word":
            return None
        name = statement[at + 1].text
        at += 2
        type_argument = ""
        if at < len(statement) and statement[at].text == "<":
            end = next((there for there in range(at, len(statement)) if statement[there].text == "("), len(statement))
            type_argument = "".join(one.text for one in statement[at + 1 : end - 1])
            at = end
        if at >= len(statement) or statement[at].text != "(" or (inner := _inside(statement, at)) is None:
            return None
        at += len(inner) + 2
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for part in cut(inner, ","):
            if len(part) > 2 and part[0].kind == "word" and part[1].text == ":":  # noqa: PLR2004  name: value
                named[part[0].text] = value_of(part[2:])
            else:
                positional.append(value_of(part))
        calls.append(Call(name, type_argument, tuple(positional), named))
    return calls or None


def value_of(tokens: Sequence[Code]) -> Any:
    """A literal's value; texts that are joined by + are one text, and arrays of literals tuples."""
    first = tokens[0]
    if len(tokens) == 1:
        if first.kind == "text":
            return _text(first.text)
        if first.kind == "number":
            return int(first.text) if first.text.isdecimal() and len(first.text) < 20 else Computed(first.text)  # noqa: PLR2004  int() refuses thousands of digits
        if first.text in {"true", "false", "null"}:
            return {"true": True, "false": False, "null": None}[first.text]
    if first.text == "new" and tokens[-1].text == "}":  # new[] { ... }, new string[] { ... }
        at = next((there for there, one in enumerate(tokens) if one.text == "{"), len(tokens))
        head = {one.text for one in tokens[1:at]}
        inner = _inside(tokens, at) if at < len(tokens) and "[" in head and "(" not in head else None
        if inner is not None and len(inner) + at + 2 == len(tokens):
            return tuple(value_of(part) for part in cut(inner, ","))
    if first.text == "[" and (inner := _inside(tokens, 0)) is not None and len(inner) + 2 == len(tokens):
        return tuple(value_of(part) for part in cut(inner, ","))
    parts = cut(tokens, "+")
    if len(parts) > 1 and all(len(part) == 1 and part[0].kind == "text" for part in parts):
        return "".join(_text(part[0].text) for part in parts)
    return Computed(" ".join(one.text for one in tokens[:4])[:60])


def _text(written: str) -> str:
    if written.startswith('"""'):
        return written[3:-3]
    if written.startswith("@"):
        return written[2:-1].replace('""', '"')
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), written[1:-1], flags=re.DOTALL)
