import pytest

from service.domain.schema.cursor import Cursor, Session, parts_of
from service.domain.schema.reading import Dialect
from service.domain.schema.scanning import split


def cursor(sql: str, dialect: Dialect = Dialect.POSTGRES) -> Cursor:
    (statement,) = split(sql, dialect)
    return Cursor(statement.tokens, Session.of(dialect))


@pytest.mark.parametrize(
    ("name", "dialect", "table", "column"),
    [
        ("Orders", Dialect.POSTGRES, "orders", "orders"),
        ('"Orders"', Dialect.POSTGRES, "Orders", "Orders"),
        ("public.Orders", Dialect.POSTGRES, "orders", "public"),
        ("billing.orders", Dialect.POSTGRES, "billing.orders", "billing"),
        ("Orders", Dialect.MYSQL, "Orders", "orders"),
        ("`Or``ders`", Dialect.MYSQL, "Or`ders", "or`ders"),
        ("[Orders]", Dialect.SQLITE, "orders", "orders"),
        ("main.Orders", Dialect.SQLITE, "orders", "main"),
    ],
)
def test_names_are_read_as_the_database_compares_them(name: str, dialect: Dialect, table: str, column: str) -> None:
    assert (cursor(name, dialect).qualified(), cursor(name, dialect).identifier()) == (table, column)


def test_words_are_taken_whole_or_not_at_all() -> None:
    here = cursor("ALTER TABLE IF EXISTS a (b, (c)) d")
    assert not here.take("ALTER", "COLUMN")
    assert here.take("ALTER", "TABLE")
    assert here.guard()
    assert (here.identifier(), here.mark()) == ("a", "(")
    assert here.skip_parentheses()
    assert (here.rest(), here.take_one("X", "D"), here.done, here.word(), here.identifier()) == (["D"], "D", True, "", None)
    assert not cursor("(a").skip_parentheses()


def test_a_quoted_name_is_never_a_keyword() -> None:
    assert not cursor('"DROP" TABLE').take("DROP")


def test_commas_inside_of_brackets_part_nothing() -> None:
    assert [[token.text for token in part] for part in parts_of(cursor("a (b, c), d[1, 2], , e").tokens)] == [
        ["a", "(", "b", ",", "c", ")"],
        ["d", "[", "1", ",", "2", "]"],
        [],
        ["e"],
    ]


def test_a_session_points_elsewhere_until_its_transaction_ends() -> None:
    session = Session.of(Dialect.POSTGRES)
    session.point("s", local=True)
    here = cursor("a")
    here.session = session
    assert (here.qualified(), session.moved) == ("s.a", True)
    session.end_transaction()
    assert (session.schema, session.moved) == ("public", False)
    session.temporary.add("a")
    assert here.session_name(["a"]) == "(temporary) a"
    assert Session.of(Dialect.POSTGRES, moved=True).moved
