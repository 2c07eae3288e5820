import pytest

from service.domain.schema.reading import Dialect
from service.domain.schema.scanning import split

ALL = (Dialect.POSTGRES, Dialect.MYSQL, Dialect.SQLITE)


def texts(sql: str, dialect: Dialect = Dialect.POSTGRES) -> list[str]:
    return [one.text for one in split(sql, dialect)]


@pytest.mark.parametrize("dialect", ALL)
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("", []),
        ("  \r\n ; ;; -- nothing\n", []),
        ("select 1; select 2", ["select 1", "select 2"]),
        ("select ';'; select 2;", ["select ';'", "select 2"]),
        ("select 'it''s; so'; select 2;", ["select 'it''s; so'", "select 2"]),
        ("-- drop table a;\nselect 1;", ["select 1"]),
        ("select /* ; */ 1; /* select 3; */", ["select /* ; */ 1"]),
        ("select 'unclosed; select 2; select 3", ["select 'unclosed; select 2; select 3"]),
        ("select 1 /* unclosed ; select 2", ["select 1 /* unclosed ; select 2"]),
        ("a(b;c)", ["a(b", "c)"]),
    ],
)
def test_semicolons_cut_only_where_every_database_sees_them(dialect: Dialect, sql: str, expected: list[str]) -> None:
    assert texts(sql, dialect) == expected


def test_what_opens_a_string_or_comment_depends_on_the_dialect() -> None:
    assert texts("select $$;$$; select $a$ $$;$$ $a$") == ["select $$;$$", "select $a$ $$;$$ $a$"]
    assert texts("select E'\\';'; x") == ["select E'\\';'", "x"]
    assert texts("select '\\'; x") == ["select '\\'", "x"]
    assert texts("select '\\';'; x", Dialect.MYSQL) == ["select '\\';'", "x"]
    assert texts('select ";"; x', Dialect.MYSQL) == ['select ";"', "x"]
    assert texts("select `;`; x # y; z\n; w", Dialect.MYSQL) == ["select `;`", "x", "w"]
    assert texts("select 1--2; x", Dialect.MYSQL) == ["select 1--2", "x"]
    assert texts("select [;]; x", Dialect.SQLITE) == ["select [;]", "x"]
    assert texts("a /* b /* c */ ; d */ e; f") == ["a /* b /* c */ ; d */ e", "f"]
    assert texts("a /* b /* c */ ; d", Dialect.MYSQL) == ["a", "d"]


def test_lines_count_from_one_and_survive_comments_and_windows_newlines() -> None:
    found = split("-- one\r\n\r\nselect 1;\r\n/* three\r\nfour */ select 2;", Dialect.POSTGRES)
    assert [(one.line, one.text) for one in found] == [(3, "select 1"), (5, "select 2")]


def test_a_routine_body_stays_one_statement() -> None:
    body = "CREATE TRIGGER r BEFORE INSERT ON o FOR EACH ROW BEGIN IF NEW.a THEN SET NEW.b = CASE WHEN 1 THEN 2 END; END IF; BEGIN SET @x = 1; END; END"
    assert texts(f"{body}; DROP TABLE o;", Dialect.MYSQL) == [body, "DROP TABLE o"]
    atomic = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END"
    assert texts(f"{atomic}; DROP TABLE o;") == [atomic, "DROP TABLE o"]
    assert texts("BEGIN; DROP TABLE o; END;", Dialect.SQLITE) == ["BEGIN", "DROP TABLE o", "END"]


@pytest.mark.parametrize(
    ("sql", "dialect", "part"),
    [
        ("select 'a", Dialect.POSTGRES, "quote"),
        ("select $$a", Dialect.POSTGRES, "dollar"),
        ("select /* a", Dialect.SQLITE, "comment"),
        ("select (1", Dialect.POSTGRES, "parentheses"),
        ("\\i other.sql", Dialect.POSTGRES, "backslash"),
        ("alter table ${schema}.t add a int", Dialect.POSTGRES, "placeholder"),
        ("alter table {{ table }} add a int", Dialect.MYSQL, "placeholder"),
        ("alter table :name add a int", Dialect.POSTGRES, "placeholder"),
        ("alter table %s add a int", Dialect.MYSQL, "placeholder"),
        ("alter table %(name)s add a int", Dialect.POSTGRES, "placeholder"),
        ("alter table <%= t %> add a int", Dialect.POSTGRES, "placeholder"),
        ("insert into t values (?)", Dialect.SQLITE, "placeholder"),
        ("insert into t values ($1)", Dialect.POSTGRES, "placeholder"),
        ("insert into t values ('${secret}')", Dialect.POSTGRES, "placeholder"),
        ("insert into t values ('{{ secret }}')", Dialect.POSTGRES, "placeholder"),
        ("/*!80000 SET NAMES utf8 */", Dialect.MYSQL, "executes"),
        ("CREATE TRIGGER r AFTER DELETE ON o BEGIN DELETE FROM p;", Dialect.SQLITE, "body"),
        ('drop table U&"d\\0061t\\+000061"', Dialect.POSTGRES, "Unicode"),
        ("select `a`", Dialect.POSTGRES, "another database"),
        ("select \0", Dialect.POSTGRES, "NUL"),
    ],
)
def test_what_cannot_be_cut_with_certainty_is_marked_and_kept(sql: str, dialect: Dialect, part: str) -> None:
    found = split(sql, dialect)
    assert len(found) == 1
    assert part in found[0].trouble


@pytest.mark.parametrize(
    "sql", ["select a::text", "select b[1:2]", "select '12:30:00'", "select a ? 'b'", "select '{{1,2},{3,4}}'", "select 10 % 3", "select a := 1"]
)
def test_operators_that_look_like_placeholders_are_no_trouble(sql: str) -> None:
    assert [one.trouble for one in split(sql, Dialect.POSTGRES)] == [""]


def test_a_changed_delimiter_cuts_where_the_client_would() -> None:
    found = split("DELIMITER $$\nCREATE PROCEDURE p() BEGIN SELECT 1; END$$\nselect 1; drop table u $$\nDELIMITER ;\nDROP TABLE t;", Dialect.MYSQL)
    assert [one.trouble for one in found] == [""] * 4
    assert [one.text[:12] for one in found] == ["CREATE PROCE", "select 1", "drop table u", "DROP TABLE t"]
    assert (found[0].tokens[-1].text, found[3].line) == ("END", 5)
    slashes = split("DELIMITER //\nCREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW BEGIN SET NEW.a = 1; END //\nDELIMITER ;\nSELECT 1", Dialect.MYSQL)
    assert [one.text.split()[0] for one in slashes] == ["CREATE", "SELECT"]
    assert [one.text for one in split("delimiter\nDROP TABLE t", Dialect.MYSQL)] == ["DROP TABLE t"]


def test_quoted_words_are_never_keywords() -> None:
    tokens = split('"DROP" drop', Dialect.POSTGRES)[0].tokens
    assert [token.word for token in tokens] == ["", "DROP"]


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("INSERT INTO users VALUES ('root', 'hunter2')", "INSERT INTO users VALUES ('…', '…')"),
        ("CREATE ROLE a PASSWORD 'hunter2' LOGIN", "CREATE ROLE a PASSWORD '…' LOGIN"),
        ("DO $$ BEGIN PERFORM 'hunter2'; END $$", "DO '…'"),
        ("UPDATE a SET b = 'hunter2", "UPDATE a SET b = '…'"),
        ("ALTER TABLE a ADD b text DEFAULT 'x'", "ALTER TABLE a ADD b text DEFAULT 'x'"),
        ("SELECT " + "a, " * 400 + "'hunter2'", None),
    ],
)
def test_a_statement_is_shown_without_the_values_that_may_be_secret(sql: str, shown: str | None) -> None:
    (statement,) = split(sql, Dialect.POSTGRES)
    assert shown is None or statement.shown == shown
    assert "hunter2" not in statement.shown[:1_000]
