"""The text of a statement that ran, without anybody's values: who keeps what a program runs must not keep what people wrote into it. Pure."""

import re
from collections.abc import Sequence
from itertools import pairwise

from service.domain.schema.reading import Dialect
from service.domain.schema.scanning import Token, split

LONGEST = 8_192
"""Characters of one statement; a longer one is not kept."""

_PLAIN = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH"})
_TOUCHES_NOTHING = frozenset(
    {"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "SET", "SHOW", "RESET", "DISCARD", "DEALLOCATE"}
    | {"LISTEN", "UNLISTEN", "NOTIFY", "CLOSE", "FETCH", "MOVE"}
)
_ORDER_WORDS = frozenset({"ASC", "DESC", "NULLS", "FIRST", "LAST"})
_PARAMETER = re.compile(r"\$(\d+)")
_MARKER = "\u01c1"
"""A letter that stands for `$` while a text is cut into words; a text that holds it is not kept."""


def plain(text: str | None) -> str | None:
    """The statement without comments, on one line, if it holds no value of anybody's: a SELECT, INSERT, UPDATE, DELETE or MERGE whose values are parameters.

    "" where it may not be kept, None where it touches no table. The database replaces values by parameters itself; where it could not (a utility statement,
    a statement whose entry was lost meanwhile) the values still stand in the text, which is why every word of it is looked at.
    """
    if text is None or len(text) > LONGEST or _MARKER in text:
        return ""
    statements = split(_PARAMETER.sub(_MARKER + r"\1", text), Dialect.POSTGRES)
    if not statements:
        return None
    one, first = statements[0], next((token.word for token in statements[0].tokens if token.text != "("), "")
    if first in _TOUCHES_NOTHING:
        return None
    tokens = one.tokens
    if len(statements) > 1 or one.trouble or first not in _PLAIN or not all(_harmless(tokens, at) for at in range(len(tokens))):
        return ""
    pieces = [tokens[0].text]
    for before, token in pairwise(tokens):
        pieces += [" " if token.start > before.end else "", token.text]
    return "".join(pieces).replace(_MARKER, "$")


def _harmless(tokens: Sequence[Token], at: int) -> bool:
    """Whether that word is no value; the number of a column behind ORDER BY or GROUP BY is none."""
    token = tokens[at]
    if token.kind == "string":
        return False
    if token.kind != "number":
        return True
    if len(token.text) > 2:  # noqa: PLR2004  nobody sorts by the hundredth column
        return False
    for before in reversed(tokens[:at]):
        if before.word == "BY":
            return True
        if not (before.text == "," or before.word in _ORDER_WORDS or (before.kind == "number" and len(before.text) <= 2)):  # noqa: PLR2004
            return False
    return False
