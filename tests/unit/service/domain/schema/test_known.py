"""With the schema known from which a range begins, what the text leaves open is decided, and nothing else is."""

import pytest

from service.domain.schema import Change, Dialect, MigrationFile, SchemaReading, SchemaVerdict, read_dump, read_range, read_sql

P, M, L = Dialect.POSTGRES, Dialect.MYSQL, Dialect.SQLITE
S, W, B, U = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN
BEFORE = {
    P: "CREATE TABLE o (id bigserial PRIMARY KEY, a int, n int NOT NULL, d int DEFAULT 7, s varchar(20)); CREATE INDEX looks_uniq ON o (a);"
    "CREATE UNIQUE INDEX plain ON o (n); ALTER TABLE o ADD CONSTRAINT o_n_key UNIQUE (n)",
    M: "CREATE TABLE o (id int NOT NULL AUTO_INCREMENT, a int, n int NOT NULL, d int NOT NULL DEFAULT 7, s varchar(20), c varchar(20) COLLATE utf8mb4_bin,"
    " e ENUM('open', 'done'), PRIMARY KEY (id))",
    L: "CREATE TABLE o (id integer PRIMARY KEY, a int)",
}


def read(sql: str, dialect: Dialect) -> SchemaReading:
    shape = read_dump("schema.sql", BEFORE[dialect], dialect)
    return read_range([MigrationFile(path="migrations/1_x.up.sql", change=Change.ADDED, text=sql)], dialect, shape=shape)


@pytest.mark.parametrize(
    ("sql", "dialect", "verdict", "without"),
    [
        ("ALTER TABLE o ALTER s TYPE varchar(10)", P, B, W),
        ("ALTER TABLE o ALTER s TYPE varchar(20)", P, S, W),
        ("ALTER TABLE o ALTER s TYPE varchar(30)", P, W, W),
        ("ALTER TABLE o ALTER s TYPE jsonb USING s::jsonb", P, B, B),
        ("ALTER TABLE o ALTER n TYPE bigint", P, W, W),
        ("ALTER TABLE o ALTER n SET NOT NULL", P, S, W),
        ("ALTER TABLE o ALTER a SET NOT NULL", P, W, W),
        ("ALTER TABLE o ALTER a DROP NOT NULL", P, S, W),
        ("ALTER TABLE o ALTER n DROP NOT NULL", P, W, W),
        ("ALTER TABLE o ALTER a DROP DEFAULT", P, S, W),
        ("ALTER TABLE o ALTER d DROP DEFAULT", P, W, W),
        ("DROP INDEX looks_uniq", P, S, W),
        ("DROP INDEX plain", P, W, S),
        ("DROP TABLE IF EXISTS nowhere", P, S, B),
        ("DROP TABLE IF EXISTS o", P, B, B),
        ("DROP TABLE IF EXISTS nowhere; CREATE TABLE nowhere (a int)", P, S, W),
        ("DROP TABLE IF EXISTS o; CREATE TABLE o (a int)", P, B, W),
        ("ALTER TABLE o DROP COLUMN IF EXISTS nothing", P, S, B),
        ("ALTER TABLE o DROP COLUMN a", P, B, B),
        ("CREATE TABLE IF NOT EXISTS fresh (a int); DROP TABLE fresh", P, S, B),
        ("CREATE TABLE IF NOT EXISTS o (a int); DROP TABLE o", P, B, B),
        ("ALTER TABLE o ADD COLUMN IF NOT EXISTS y int NOT NULL", P, B, B),
        ("ALTER TABLE o ADD COLUMN IF NOT EXISTS a int NOT NULL", P, S, B),
        ("ALTER TABLE o ADD y int; ALTER TABLE o ALTER y SET NOT NULL", P, B, B),
        ("ALTER TABLE o MODIFY s varchar(10)", M, B, W),
        ("ALTER TABLE o MODIFY s varchar(20)", M, S, W),
        ("ALTER TABLE o MODIFY s varchar(20) NOT NULL", M, W, W),
        ("ALTER TABLE o MODIFY s int", M, B, W),
        ("ALTER TABLE o MODIFY n int", M, W, W),
        ("ALTER TABLE o MODIFY d int NOT NULL", M, W, W),
        ("ALTER TABLE o MODIFY d int NOT NULL DEFAULT 9", M, S, W),
        ("ALTER TABLE o MODIFY c varchar(20)", M, W, W),
        ("ALTER TABLE o MODIFY s varchar(20) COLLATE utf8mb4_bin", M, W, W),
        ("ALTER TABLE o MODIFY e ENUM('open')", M, B, W),
        ("ALTER TABLE o MODIFY e ENUM('open', 'done', 'late')", M, W, W),
        ("ALTER TABLE o CHANGE s t varchar(20)", M, B, B),
    ],
)
def test_the_schema_before_decides_what_the_text_leaves_open(sql: str, dialect: Dialect, verdict: SchemaVerdict, without: SchemaVerdict) -> None:
    found = read(sql, dialect)
    assert found.verdict is verdict, [(one.rule, one.says) for one in found.statements]
    assert read_sql(sql, dialect).verdict is without


@pytest.mark.parametrize(
    "sql", ["ALTER TABLE o ALTER nothing SET DEFAULT 1", "ALTER TABLE nowhere RENAME TO somewhere", "ALTER TABLE o RENAME COLUMN nothing TO a2"]
)
def test_a_change_of_what_is_not_there_makes_nobody_safe(sql: str) -> None:
    found = read(sql, P)
    assert found.verdict in {U, B}
    assert found.statements[0].clears


def test_a_later_statement_meets_what_an_earlier_one_left() -> None:
    found = read("ALTER TABLE o ALTER s TYPE varchar(30); ALTER TABLE o ALTER s TYPE varchar(20); ALTER TABLE o ALTER s TYPE text", P)
    assert [one.rule for one in found.statements] == ["type_widened", "type_narrowed", "type_widened"]
    assert "from varchar(30) to varchar(20)" in found.statements[1].says


def test_nothing_is_claimed_of_what_the_shape_does_not_know() -> None:
    shape = read_dump("schema.sql", "CREATE TABLE w AS SELECT 1 AS a; FROB THE NOB", P)
    for sql in ("DROP TABLE IF EXISTS elsewhere", "ALTER TABLE w DROP COLUMN IF EXISTS a", "ALTER TABLE w ALTER a SET NOT NULL"):
        files = [MigrationFile(path="migrations/1_x.up.sql", change=Change.ADDED, text=sql)]
        assert read_range(files, P, shape=shape).verdict is read_sql(sql, P).verdict


KEYS = (
    "CREATE TABLE `o` (id int NOT NULL AUTO_INCREMENT, n int, m int UNIQUE, s varchar(20), PRIMARY KEY (id), UNIQUE KEY `By_N` (n), UNIQUE (s),"
    " KEY looks_uniq (n, s(10)), CONSTRAINT c1 UNIQUE KEY (n, m), FULLTEXT KEY ft (s), KEY both (n), UNIQUE KEY both (m), FOREIGN KEY fk (n) REFERENCES q (id))"
)


@pytest.mark.parametrize(
    ("drop", "verdict", "alone"),
    [
        ("ALTER TABLE o DROP INDEX by_n", W, S),
        ("DROP INDEX `BY_N` ON o", W, S),
        ("ALTER TABLE o DROP KEY s", W, S),
        ("ALTER TABLE o DROP INDEX m", W, S),
        ("ALTER TABLE o DROP INDEX c1", W, S),
        ("ALTER TABLE o DROP INDEX both", W, S),
        ("ALTER TABLE o DROP INDEX looks_uniq", S, W),
        ("ALTER TABLE o DROP INDEX ft", S, S),
        ("ALTER TABLE o DROP INDEX nobody", S, S),
    ],
)
def test_a_key_inside_of_a_tables_definition_is_known_to_be_unique_or_not(drop: str, verdict: SchemaVerdict, alone: SchemaVerdict) -> None:
    shape = read_dump("schema.sql", KEYS, M)
    assert read_range([MigrationFile(path="migrations/1_x.up.sql", change=Change.ADDED, text=drop)], M, shape=shape).verdict is verdict
    assert read_sql(drop, M).verdict is alone
