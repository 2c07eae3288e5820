"""Shapes: what operations make of tables and columns, how two differ, and whether one type holds the values of another."""

import pytest

from service.domain.schema import Dialect, Shape, read_dump
from service.domain.schema.operations import ColumnType, Kind
from service.domain.schema.shapes import Fit, differences, fit

P, M, L = Dialect.POSTGRES, Dialect.MYSQL, Dialect.SQLITE


def shape(sql: str, dialect: Dialect = P) -> Shape:
    found = read_dump("db/structure.sql", sql, dialect)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ("ALTER TABLE o ADD c int", {"a", "b", "c"}),
        ("ALTER TABLE o ADD COLUMN IF NOT EXISTS b bigint", {"a", "b"}),
        ("ALTER TABLE o DROP COLUMN b", {"a"}),
        ("ALTER TABLE o RENAME COLUMN b TO d", {"a", "d"}),
        ("CREATE TABLE IF NOT EXISTS o (x int)", {"a", "b"}),
        ("DROP TABLE o; CREATE TABLE o (x int)", {"x"}),
        ("ALTER TABLE o RENAME TO p; ALTER TABLE p RENAME TO o", {"a", "b"}),
        ("CREATE TABLE p (LIKE o INCLUDING ALL); DROP TABLE o; ALTER TABLE p RENAME TO o", {"a", "b"}),
    ],
)
def test_a_shape_follows_what_is_done_to_it(changes: str, left: set[str]) -> None:
    found = shape(f"CREATE TABLE o (a int NOT NULL, b text); {changes}")
    assert set(found.tables) == {"o"}
    assert set(found.tables["o"]) == left


def test_facts_of_a_column_follow_too() -> None:
    found = shape(
        "CREATE TABLE o (a int, b text, c int, d bigint NOT NULL, e text, PRIMARY KEY (c));"
        "ALTER TABLE ONLY public.o ALTER COLUMN a SET NOT NULL; ALTER TABLE o ALTER b SET DEFAULT 'x'; ALTER TABLE o ALTER e TYPE varchar(9);"
        "ALTER TABLE o ALTER COLUMN d ADD GENERATED ALWAYS AS IDENTITY"
    )
    columns = found.tables["o"]
    assert (columns["a"].not_null, columns["b"].default, columns["c"].not_null, columns["d"].generated) == (True, True, True, True)
    assert (columns["e"].type.name, columns["e"].type.length) == ("varchar", 9)


def test_sqlite_lets_a_key_be_null_and_mysql_writes_a_column_anew() -> None:
    assert not shape("CREATE TABLE o (a text, PRIMARY KEY (a))", L).tables["o"]["a"].not_null
    modified = shape("CREATE TABLE o (a int NOT NULL DEFAULT 1, PRIMARY KEY (a)); ALTER TABLE o MODIFY a bigint", M).tables["o"]["a"]
    assert (modified.type.name, modified.not_null, modified.default) == ("bigint", False, False)


def test_what_is_not_understood_is_known_to_be_there_and_no_more() -> None:
    found = shape("CREATE TABLE o (a int); CREATE TABLE w (a int, EXCLUDE STRANGE ¤); CREATE TABLE c AS SELECT 1 AS x; FROB THE NOB")
    assert (found.knows("c"), found.has("c", "x"), found.whole) == (True, None, False)
    assert (found.knows("o"), found.has("o", "a"), found.has("o", "z"), found.knows("nowhere")) == (True, True, False, None)


def test_indexes_are_known_as_unique_or_not() -> None:
    made = "CREATE TABLE o (a int); CREATE INDEX i ON o (a); CREATE UNIQUE INDEX u ON o (a); CREATE INDEX x ON o (a); DROP INDEX x; ALTER INDEX i RENAME TO j"
    assert shape(made).indexes == {"j": False, "u": True}


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        ("CREATE TABLE o (a int)", "CREATE TABLE o (a int)", []),
        ("CREATE TABLE o (a int)", "CREATE TABLE o (a bigint)", []),  # tools differ in what they call a number
        ("CREATE TABLE o (a int)", "CREATE TABLE o (a text)", [Kind.CHANGE_TYPE]),
        ("CREATE TABLE o (a int)", "CREATE TABLE o (a int NOT NULL DEFAULT 1)", [Kind.SET_NOT_NULL, Kind.SET_DEFAULT]),
        ("CREATE TABLE o (a int NOT NULL DEFAULT 1)", "CREATE TABLE o (a int)", [Kind.DROP_NOT_NULL, Kind.DROP_DEFAULT]),
        ("CREATE TABLE o (a int, b int)", "CREATE TABLE o (a int, c int)", [Kind.DROP_COLUMN, Kind.ADD_COLUMN]),
        ("CREATE TABLE o (a int)", "CREATE TABLE o (a int); CREATE TABLE p (a int)", [Kind.CREATE_TABLE]),
        ("CREATE TABLE o (a int); CREATE TABLE p (a int)", "CREATE TABLE o (a int)", [Kind.DROP_TABLE]),
        ("CREATE TABLE o (a int); CREATE TABLE schema_migrations (v text)", "CREATE TABLE o (a int)", []),
        ("CREATE TABLE o (a int); CREATE TABLE p (a int)", "CREATE TABLE o (a int); FROB THE NOB", []),  # p may stand in what was not understood
        ("CREATE TABLE o AS SELECT 1 AS a", "CREATE TABLE o (a int)", []),
    ],
)
def test_two_shapes_differ_in_what_both_know(before: str, after: str, kinds: list[Kind]) -> None:
    assert [one.kind for one in differences(shape(before), shape(after))] == kinds


def of(sql: str, dialect: Dialect) -> ColumnType:
    return shape(f"CREATE TABLE o (a {sql})", dialect).tables["o"]["a"].type


@pytest.mark.parametrize(
    ("old", "new", "dialect", "expected"),
    [
        ("varchar(20)", "varchar(20)", P, Fit.SAME),
        ("varchar(20)", "varchar(30)", P, Fit.WIDER),
        ("varchar(20)", "text", P, Fit.WIDER),
        ("text", "varchar(20)", P, Fit.NARROWER),
        ("varchar(20)", "varchar(10)", M, Fit.NARROWER),
        ("varchar(70000)", "text", M, Fit.NARROWER),
        ("text", "tinytext", M, Fit.NARROWER),
        ("text", "longtext", M, Fit.WIDER),
        ("int", "bigint", P, Fit.WIDER),
        ("bigint", "int", P, Fit.NARROWER),
        ("int", "int unsigned", M, Fit.UNSURE),
        ("int", "smallint unsigned", M, Fit.NARROWER),
        ("int", "text", P, Fit.OTHER),
        ("text", "timestamp", P, Fit.OTHER),
        ("numeric(10, 2)", "numeric(12, 2)", P, Fit.UNSURE),
        ("ENUM('a', 'b')", "ENUM('a', 'b', 'c')", M, Fit.WIDER),
        ("ENUM('a', 'b')", "ENUM('a')", M, Fit.NARROWER),
        ("ENUM('a', 'b')", "ENUM('b', 'a', 'c')", M, Fit.UNSURE),
        ("char(5)", "varchar(5)", P, Fit.UNSURE),
        ("state", "mood", P, Fit.UNSURE),
    ],
)
def test_whether_a_type_holds_the_values_of_another(old: str, new: str, dialect: Dialect, expected: Fit) -> None:
    assert fit(of(old, dialect), of(new, dialect), mysql=dialect is M) is expected
