"""What runs under conditions of its own is read for what it breaks, and proves nothing new."""

import pytest

from service.domain.schema import Dialect, SchemaReading, SchemaVerdict, judgement, read_sql
from service.domain.schema.bodies import content
from service.domain.schema.scanning import split

P, M, L = Dialect.POSTGRES, Dialect.MYSQL, Dialect.SQLITE
SAFE, WARN, BREAKS, UNKNOWN = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN


def rules(reading: SchemaReading) -> set[str]:
    return {one.rule for one in reading.statements}


@pytest.mark.parametrize(
    ("sql", "verdict"),
    [
        ("DO $$ BEGIN ALTER TABLE o DROP COLUMN a; END $$", BREAKS),
        ("DO $x$ BEGIN IF EXISTS (SELECT 1 FROM t) THEN IF true THEN DROP TABLE o; END IF; ELSE NULL; END IF; END $x$ LANGUAGE plpgsql", BREAKS),
        ("DO 'BEGIN ALTER TABLE o ADD a int NOT NULL; END'", BREAKS),
        ("DO $$ BEGIN CREATE TYPE t AS ENUM ('a'); EXCEPTION WHEN duplicate_object THEN NULL; END $$", WARN),
        ("DO $$ DECLARE n int := 1; BEGIN n := n + 1; IF n > 1 THEN ALTER TABLE o ADD COLUMN a int; END IF; RETURN; END $$", WARN),
        ("DO $$ DECLARE n int; BEGIN SELECT count(*) INTO n FROM o; IF n = 0 THEN ALTER TABLE o ADD a int; END IF; END $$", WARN),
        ("DO $$ DECLARE n int; BEGIN SELECT clean(a) INTO n FROM o; END $$", UNKNOWN),
        ("DO $$ BEGIN UPDATE o SET a = 1; END $$", UNKNOWN),
        ("DO $$ BEGIN EXECUTE 'ALTER TABLE o DROP COLUMN a'; END $$", BREAKS),
        ("DO $$ BEGIN EXECUTE 'CREATE TABLE n (a int)'; END $$", WARN),
        ("DO $$ BEGIN EXECUTE format('ALTER TABLE %I DROP COLUMN a', t); END $$", BREAKS),
        ("DO $$ BEGIN FOR r IN SELECT 1 LOOP EXECUTE 'ALTER TABLE o ADD COLUMN ' || quote_ident(r.a) || ' int'; END LOOP; END $$", UNKNOWN),
        ("DO $$ BEGIN EXECUTE 'ALTER TABLE o DROP CONSTRAINT ' || name; END $$", UNKNOWN),
        ("DO $$ BEGIN EXECUTE command; END $$", UNKNOWN),
        ("DO $$ BEGIN PERFORM clean(); END $$", UNKNOWN),
        ("DO $$ BEGIN DO $y$ BEGIN DROP TABLE o; END $y$; END $$", BREAKS),
        ("DO $$ DECLARE t text; BEGIN WHILE true LOOP DROP TABLE o; END LOOP; END $$", BREAKS),
        ("DO $$ BEGIN ${x} END $$", UNKNOWN),
        ("DO $$ $$", UNKNOWN),
        ("DO $$ x $$", UNKNOWN),
        ("DO $$ BEGIN NULL; $$", UNKNOWN),
        ("DO LANGUAGE plperl $$ BEGIN NULL; END $$", UNKNOWN),
    ],
)
def test_a_do_block_is_at_least_a_warning_and_shows_what_it_breaks(sql: str, verdict: SchemaVerdict) -> None:
    assert read_sql(sql, P).verdict is verdict, read_sql(sql, P).statements


@pytest.mark.parametrize(
    ("sql", "verdict"),
    [
        ("CREATE TABLE n (a int); DO $$ BEGIN ALTER TABLE n DROP COLUMN a; END $$", WARN),
        ("DO $$ BEGIN CREATE TABLE n (a int); END $$; DROP TABLE n", BREAKS),
        ("DO $$ BEGIN ALTER TABLE o ADD COLUMN a int; END $$; ALTER TABLE o DROP COLUMN a", BREAKS),
        ("ALTER TABLE o ADD COLUMN a int NOT NULL; DO $$ BEGIN ALTER TABLE o DROP COLUMN a; END $$", BREAKS),
        ("ALTER TABLE o ADD COLUMN a int NOT NULL; DO $$ BEGIN ALTER TABLE o ALTER a SET DEFAULT 1; END $$", BREAKS),
        ("ALTER TABLE o RENAME a TO b; DO $$ BEGIN ALTER TABLE o RENAME b TO a; END $$", BREAKS),
        ("DO $$ BEGIN SET search_path = s; END $$; CREATE TABLE n (a int); DROP TABLE public.n", WARN),
    ],
)
def test_what_may_not_have_run_takes_nothing_back_and_proves_nothing_new(sql: str, verdict: SchemaVerdict) -> None:
    assert read_sql(sql, P).verdict is verdict, read_sql(sql, P).statements


@pytest.mark.parametrize(
    ("sql", "verdict", "rule"),
    [
        ("SET @s = (SELECT IF(COUNT(*) > 0, 'ALTER TABLE o DROP COLUMN a', 'SELECT 1') FROM t); PREPARE p FROM @s; EXECUTE p", BREAKS, "column_dropped"),
        ("SET @s = IF(1, 'CREATE INDEX i ON o (a)', 'SELECT 1'); PREPARE p FROM @s; EXECUTE p; DEALLOCATE PREPARE p", UNKNOWN, "index_created"),
        ("SET @s = CONCAT('ALTER TABLE ', @t, ' DROP COLUMN a'); PREPARE p FROM @s", BREAKS, "column_dropped"),
        ("PREPARE p FROM 'DROP TABLE o'", BREAKS, "table_dropped"),
        ("EXECUTE IMMEDIATE 'DROP TABLE o'", BREAKS, "table_dropped"),
        ('SET @s = "it\\"s"; SELECT 1', SAFE, "no_schema_change"),
        ("CALL p()", UNKNOWN, "dynamic_sql"),
    ],
)
def test_a_text_that_mysql_keeps_and_executes_shows_what_it_breaks(sql: str, verdict: SchemaVerdict, rule: str) -> None:
    reading = read_sql(sql, M)
    assert (reading.verdict, rule in rules(reading)) == (verdict, True), reading.statements


PROCEDURE = (
    "{drop}DELIMITER $$\nCREATE PROCEDURE p()\nBEGIN\n IF NOT EXISTS (SELECT 1 FROM t) THEN\n  {body};\n END IF;\nEND$$\nDELIMITER ;\nCALL p();\n{after}"
)


@pytest.mark.parametrize(
    ("drop", "body", "after", "verdict"),
    [
        ("DROP PROCEDURE IF EXISTS p;\n", "ALTER TABLE o DROP COLUMN a", "DROP PROCEDURE p;", BREAKS),
        ("DROP PROCEDURE IF EXISTS p;\n", "ALTER TABLE o ADD COLUMN a int", "DROP PROCEDURE p;", UNKNOWN),
        ("DROP PROCEDURE p;\n", "ALTER TABLE o ADD COLUMN a int", "", UNKNOWN),
        ("DROP PROCEDURE p;\n", "ALTER TABLE o ADD COLUMN a int", "DROP PROCEDURE p;", BREAKS),
        ("", "ALTER TABLE o ADD COLUMN a int", "DROP TABLE o;", BREAKS),
    ],
)
def test_a_procedure_of_the_migration_is_read_where_it_is_called(drop: str, body: str, after: str, verdict: SchemaVerdict) -> None:
    reading = read_sql(PROCEDURE.format(drop=drop, body=body, after=after), M)
    assert reading.verdict is verdict, reading.statements


def test_what_nobody_calls_is_not_judged() -> None:
    reading = read_sql("CREATE PROCEDURE p() BEGIN DROP TABLE o; END; SELECT 1", M)
    assert (reading.verdict, rules(reading)) == (WARN, {"routine_changed", "no_schema_change"})


def test_nesting_ends() -> None:
    sql = "DROP TABLE o"
    for number in range(6):
        sql = f"DO $d{number}$ BEGIN {sql}; END $d{number}$"
    assert read_sql(sql, P).verdict is UNKNOWN


@pytest.mark.parametrize(
    ("token", "dialect", "text"),
    [
        ("'it''s'", P, "it's"),
        (r"'it\'s'", M, "it's"),
        (r"E'it\'s'", P, "it's"),
        (r"'a\b'", P, r"a\b"),
        ("$q$it's$q$", P, "it's"),
        ("$$$$", P, ""),
        ('"a""b"', M, 'a"b'),
        ("N'a'", M, "a"),
    ],
)
def test_the_content_of_a_string_is_what_the_server_would_see(token: str, dialect: Dialect, text: str) -> None:
    (statement,) = split(token, dialect)
    assert content(statement.tokens[0], dialect) == text


def test_the_work_for_what_may_not_have_run_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judgement, "_MOST_REMEMBERED", 10)
    sql = "".join(f"CREATE TABLE t{number} (a int); DO $$ BEGIN CREATE INDEX i{number} ON o (a); END $$;" for number in range(9))
    assert read_sql(sql, P).verdict is UNKNOWN
    assert "too_large" in rules(read_sql(sql, P))
