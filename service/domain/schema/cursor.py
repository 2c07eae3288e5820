"""A place in a statement's tokens, and what earlier statements of the same file set: the ground under `statements` and `definitions`.

Names are given as the database compares them, so that two spellings of one thing meet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from service.domain.schema.reading import Dialect
from service.domain.schema.scanning import Statement, Token

DEFAULT_SCHEMA = {Dialect.POSTGRES: "public", Dialect.SQLITE: "main", Dialect.MYSQL: ""}
MAX_GRAMMAR_CHARACTERS = 400_000


@dataclass(slots=True)
class Session:
    """What earlier statements of the same file set.

    `schema` is what unqualified names mean, `after_transaction` the one to return to when the transaction ends; `temporary` are names of temporary tables,
    `procedures` the statements that made a procedure, `depth` how deep in bodies the statement stands. `definitions` says that the columns of every
    new table are wanted. `saved_modes` are variables that hold MySQL's sql_mode as the file found it. `grammar_characters` is what sqlglot may still be given,
    shared by all files of a range: it reads some hundred kilobytes a second.
    """

    dialect: Dialect
    schema: str
    after_transaction: str | None = None
    temporary: set[str] = field(default_factory=set)
    procedures: dict[str, Statement] = field(default_factory=dict)
    depth: int = 0
    definitions: bool = False
    saved_modes: set[str] = field(default_factory=set)
    grammar_characters: list[int] = field(default_factory=lambda: [MAX_GRAMMAR_CHARACTERS])

    @classmethod
    def of(cls, dialect: Dialect, *, moved: bool = False, grammar_characters: list[int] | None = None) -> "Session":
        """Return the session that a file starts with. `moved`: an earlier file left another schema set, so unqualified names meet no qualified one."""
        schema = "?" if moved else DEFAULT_SCHEMA[dialect]
        return cls(dialect, schema) if grammar_characters is None else cls(dialect, schema, grammar_characters=grammar_characters)

    @property
    def moved(self) -> bool:
        """Whether unqualified names no longer mean the default schema."""
        return self.schema != DEFAULT_SCHEMA[self.dialect]

    def point(self, schema: str, *, local: bool = False) -> None:
        """Let unqualified names mean another schema; `local` until the transaction ends."""
        if local and self.after_transaction is None:
            self.after_transaction = self.schema
        self.schema = DEFAULT_SCHEMA[self.dialect] if schema in {"$user", "default"} else schema

    def end_transaction(self) -> None:
        """Forget what held for the transaction only."""
        if self.after_transaction is not None:
            self.schema, self.after_transaction = self.after_transaction, None


class Cursor:
    """A place in a statement's tokens."""

    def __init__(self, tokens: Sequence[Token], session: Session, at: int = 0) -> None:
        self.tokens = tokens
        self.session = session
        self.at = at

    def word(self, ahead: int = 0) -> str:
        """Return the bare word that many tokens ahead, empty where none is."""
        index = self.at + ahead
        return self.tokens[index].word if index < len(self.tokens) else ""

    def mark(self, ahead: int = 0) -> str:
        """Return the mark that many tokens ahead, empty where none is."""
        index = self.at + ahead
        return self.tokens[index].text if index < len(self.tokens) and self.tokens[index].kind == "mark" else ""

    @property
    def done(self) -> bool:
        """Whether every token was taken."""
        return self.at >= len(self.tokens)

    def take(self, *words: str) -> bool:
        """Go past the words if exactly these come next."""
        if any(self.word(ahead) != word for ahead, word in enumerate(words)):
            return False
        self.at += len(words)
        return True

    def take_one(self, *words: str) -> str:
        """Go past one of the words and return it, empty if none comes next."""
        if self.word() in words and self.word():
            self.at += 1
            return self.tokens[self.at - 1].word
        return ""

    def take_mark(self, mark: str) -> bool:
        """Go past the mark if it comes next."""
        if self.mark() != mark:
            return False
        self.at += 1
        return True

    def identifier(self) -> str | None:
        """Return the next name as the database compares columns, None if no name comes next."""
        if self.done or self.tokens[self.at].kind not in {"word", "quoted"}:
            return None
        self.at += 1
        return identifier(self.tokens[self.at - 1], self.session.dialect)

    def qualified(self) -> str | None:
        """Return the next, possibly qualified name of a table or object; the default schema is left off so that both spellings meet."""
        parts: list[str] = []
        while True:
            if self.done or self.tokens[self.at].kind not in {"word", "quoted"}:
                return None
            parts.append(identifier(self.tokens[self.at], self.session.dialect, of_table=True))
            self.at += 1
            if not self.take_mark("."):
                break
        return self.session_name(parts)

    def account(self) -> str | None:
        """Return the next name of a role or user; MySQL's may be texts, with a host behind them."""
        names: list[str] = []
        while not self.done and self.tokens[self.at].kind in {"word", "quoted", "string"}:
            token = self.tokens[self.at]
            names.append(token.text[1:-1] if token.kind == "string" else identifier(token, self.session.dialect))
            self.at += 1
            if self.session.dialect is not Dialect.MYSQL or len(names) > 1 or not self.take_mark("@"):
                return "@".join(names)
        return None

    def session_name(self, parts: list[str]) -> str:
        """Return the name of a table or object from its parts; one without a schema is in the one that the session points to."""
        if len(parts) == 1 and parts[0] in self.session.temporary:
            return f"(temporary) {parts[0]}"
        schema = parts[-2] if len(parts) > 1 else self.session.schema
        return parts[-1] if schema == DEFAULT_SCHEMA[self.session.dialect] else f"{schema}.{parts[-1]}"

    def skip_parentheses(self) -> bool:
        """Go past a balanced group if one comes next."""
        if self.mark() != "(":
            return False
        depth = 0
        while not self.done:
            depth += (self.mark() == "(") - (self.mark() == ")")
            self.at += 1
            if not depth:
                return True
        return False

    def guard(self) -> bool:
        """Go past IF EXISTS or IF NOT EXISTS."""
        return self.take("IF", "EXISTS") or self.take("IF", "NOT", "EXISTS")

    def rest(self) -> list[str]:
        """Return the words that are left, empty texts for what is no word."""
        return [token.word for token in self.tokens[self.at :]]


def identifier(token: Token, dialect: Dialect, *, of_table: bool = False) -> str:
    """Return a name as the database compares it. MySQL compares table names by case on most servers, so case there is kept: two spellings never meet."""
    if token.kind == "quoted":
        mark = token.text[0]
        text = token.text[1:-1] if mark == "[" else token.text[1:-1].replace(mark * 2, mark)
    else:
        text = token.text
    if dialect is Dialect.POSTGRES:
        return text if token.kind == "quoted" else text.lower()
    return text if of_table and dialect is Dialect.MYSQL else text.lower()


def parts_of(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    """Cut at the commas outside of parentheses and brackets."""
    parts: list[Sequence[Token]] = []
    depth = start = 0
    for index, token in enumerate(tokens):
        if token.kind != "mark":
            continue
        depth += (token.text in "([") - (token.text in ")]")
        if token.text == "," and not depth:
            parts.append(tokens[start:index])
            start = index + 1
    return [*parts, tokens[start:]] if tokens[start:] else parts
