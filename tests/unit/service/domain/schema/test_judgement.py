"""What only the whole range can tell. Several statements stand in one text; the verdicts are listed one for each operation."""

import pytest

from service.domain.schema import Dialect, read_sql
from service.domain.schema.judgement import Judge
from service.domain.schema.operations import Kind, Operation
from service.domain.schema.reading import SchemaVerdict

P, M, L = Dialect.POSTGRES, Dialect.MYSQL, Dialect.SQLITE
SAFE, WARN, BREAKS, UNKNOWN = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN
S, W, B, U = SAFE, WARN, BREAKS, UNKNOWN


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE a (b int); DROP TABLE a",
        "CREATE TABLE a (b int); ALTER TABLE a DROP COLUMN b, ADD COLUMN c int NOT NULL",
        "CREATE TABLE a (b int); CREATE UNIQUE INDEX u ON a (b); ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0)",
        "CREATE TABLE a (b int); INSERT INTO a VALUES (1); UPDATE a SET b = 2; DELETE FROM a; TRUNCATE a",
        "CREATE TABLE a (b int); ALTER TABLE a RENAME TO c; ALTER TABLE c ENABLE ROW LEVEL SECURITY; DROP TABLE c",
        "CREATE TABLE a (b int); CREATE TRIGGER r BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f(); DROP TRIGGER r ON a",
        'CREATE TABLE "A" (b int); DROP TABLE "A"',
        "CREATE TABLE A (b int); DROP TABLE a",
        "CREATE TABLE public.a (b int); DROP TABLE a",
        "CREATE TEMP TABLE a AS SELECT 1; DROP TABLE a",
        "ALTER TABLE o ADD COLUMN a int; ALTER TABLE o DROP COLUMN a",
        "ALTER TABLE o ADD COLUMN a int NOT NULL; ALTER TABLE o DROP COLUMN a",
        "ALTER TABLE o ADD COLUMN a int; ALTER TABLE o RENAME COLUMN a TO b; ALTER TABLE o ALTER b TYPE text USING 'x'; ALTER TABLE o DROP b",
        "ALTER TABLE o ADD COLUMN a int NOT NULL; ALTER TABLE o ALTER a SET DEFAULT 1",
        "ALTER TABLE o ADD COLUMN a int NOT NULL; ALTER TABLE o ALTER a DROP NOT NULL",
        "ALTER TABLE o ADD COLUMN a int NOT NULL DEFAULT 1; ALTER TABLE o ALTER a DROP DEFAULT; ALTER TABLE o ALTER a SET DEFAULT 2",
        "ALTER TABLE o ADD COLUMN a int; ALTER TABLE o ALTER a ADD GENERATED ALWAYS AS IDENTITY; ALTER TABLE o ALTER a SET NOT NULL",
        "ALTER TABLE o ADD COLUMN a int; CREATE UNIQUE INDEX u ON o (a)",
        "ALTER TABLE o ADD COLUMN a int; ALTER TABLE o ADD CONSTRAINT u UNIQUE (b, a)",
        "ALTER TABLE o RENAME COLUMN a TO b; ALTER TABLE o RENAME COLUMN b TO a",
        "ALTER TABLE o RENAME TO p; ALTER TABLE p RENAME TO o",
        "ALTER TABLE o ALTER a DROP DEFAULT; ALTER TABLE o ALTER a SET DEFAULT 2",
        "ALTER TABLE o ADD CONSTRAINT c CHECK (a > 1); ALTER TABLE o DROP CONSTRAINT c",
        "CREATE UNIQUE INDEX u ON o (a); DROP INDEX u",
        "CREATE VIEW v AS SELECT 1; DROP VIEW v",
        "CREATE TYPE t AS ENUM ('a'); ALTER TYPE t ADD VALUE 'b'; ALTER TYPE t RENAME TO u; DROP TYPE u",
        "CREATE FUNCTION f(a int) RETURNS int AS 'select 1' LANGUAGE sql; DROP FUNCTION f(int)",
        "SET search_path TO s; CREATE TABLE a (b int); DROP TABLE s.a",
    ],
)
def test_what_the_range_makes_and_changes_itself_is_nothing_to_old(sql: str) -> None:
    reading = read_sql(sql, P)
    assert reading.verdict is SAFE, reading.statements


@pytest.mark.parametrize(
    ("sql", "dialect", "verdicts"),
    [
        # A default that is dropped within the range
        ("ALTER TABLE o ADD a int NOT NULL DEFAULT 1; ALTER TABLE o ALTER a DROP DEFAULT", P, [S, B]),
        ("ALTER TABLE o ADD a int NOT NULL DEFAULT 1; ALTER TABLE o ALTER a SET DEFAULT NULL", P, [S, B]),
        ("ALTER TABLE o ADD a int DEFAULT 1; ALTER TABLE o ALTER a SET NOT NULL; ALTER TABLE o ALTER a DROP DEFAULT", P, [S, S, B]),
        ("ALTER TABLE o ADD a int; UPDATE o SET a = 1; ALTER TABLE o ALTER a SET NOT NULL", P, [S, W, B]),
        ("ALTER TABLE o ADD a int; ALTER TABLE o ADD CONSTRAINT n CHECK (a IS NOT NULL) NOT VALID", P, [S, B]),
        ("ALTER TABLE o ADD a int; ALTER TABLE o ADD PRIMARY KEY (a)", P, [S, B]),
        ("CREATE DOMAIN d AS text NOT NULL; ALTER TABLE o ADD a d", P, [S, B]),
        ("ALTER TABLE o ADD a int NOT NULL DEFAULT 1; ALTER TABLE o MODIFY a int NOT NULL", M, [S, B]),
        ("ALTER TABLE o ADD a int NULL; ALTER TABLE o CHANGE a b int NOT NULL", M, [S, S, B]),
        # IF NOT EXISTS proves nothing new (A8)
        ("CREATE TABLE IF NOT EXISTS a (b int); DROP TABLE a", P, [S, B]),
        ("CREATE TABLE IF NOT EXISTS a (b int); ALTER TABLE a DROP COLUMN b", P, [S, B]),
        ("CREATE TABLE IF NOT EXISTS a (b int); INSERT INTO a VALUES (1)", P, [S, W]),
        ("ALTER TABLE o ADD COLUMN IF NOT EXISTS a int; ALTER TABLE o DROP COLUMN a", P, [S, B]),
        ("ALTER TABLE o ADD COLUMN IF NOT EXISTS a int DEFAULT 1; ALTER TABLE o ALTER a SET NOT NULL", P, [S, W]),
        ("ALTER TABLE o ADD COLUMN IF NOT EXISTS a int; ALTER TABLE o ALTER a SET NOT NULL", P, [S, B]),
        ("CREATE INDEX IF NOT EXISTS i ON o (a); DROP INDEX i", P, [S, S]),
        ("CREATE UNIQUE INDEX IF NOT EXISTS i ON o (a); DROP INDEX i", P, [W, W]),
        ("CREATE OR REPLACE VIEW v AS SELECT 1; DROP VIEW v", P, [W, B]),
        ("CREATE SCHEMA IF NOT EXISTS s; DROP SCHEMA s", P, [S, B]),
        # One thing in place of another
        ("DROP TABLE o; CREATE TABLE o (a int)", P, [B, B]),
        ("DROP TABLE IF EXISTS o; CREATE TABLE IF NOT EXISTS o (a int)", P, [W, W]),
        ("DROP TABLE IF EXISTS o; SET NAMES utf8; CREATE TABLE o (a int)", M, [W, S, W]),
        ("DROP TABLE IF EXISTS o; DROP TABLE IF EXISTS p; CREATE TABLE p (a int); CREATE TABLE o (a int)", M, [W, W, W, W]),
        ("INSERT INTO x SELECT a FROM o; DROP TABLE IF EXISTS o; CREATE TABLE o (a int)", M, [W, B, B]),
        ("DROP TABLE IF EXISTS o; ALTER TABLE x RENAME TO o; CREATE TABLE o (a int)", P, [B, B, U]),
        ("ALTER SEQUENCE q RENAME TO r; ALTER SEQUENCE r RENAME TO q", P, [S, S]),
        ("ALTER SEQUENCE q RENAME TO r; ALTER SEQUENCE s RENAME TO q", P, [B, B]),
        ("DROP TABLE o; CREATE TABLE o (a int); DROP TABLE o", P, [B, B, B]),
        ("ALTER TABLE o RENAME TO p; CREATE TABLE o (a int); INSERT INTO o SELECT * FROM p; DROP TABLE p", P, [B, B, W, B]),
        ("CREATE TABLE n (a int); DROP TABLE o; ALTER TABLE n RENAME TO o", P, [S, B, B]),
        ("CREATE TABLE n (a int); INSERT INTO n SELECT a FROM o; DROP TABLE o; ALTER TABLE n RENAME TO o", P, [S, S, B, B]),
        ("CREATE TABLE n LIKE o; RENAME TABLE o TO p, n TO o", M, [S, B, B]),
        # A table of the very same shape, with all rows: a rebuild
        ("CREATE TABLE n LIKE o; INSERT INTO n SELECT * FROM o; DROP TABLE o; RENAME TABLE n TO o", M, [S, S, W, W]),
        ("CREATE TABLE n (LIKE o); INSERT INTO n SELECT * FROM o ORDER BY a; RENAME TABLE o TO p, n TO o; DROP TABLE p", M, [S, S, W, W, W]),
        ("CREATE TABLE n (LIKE o INCLUDING ALL); INSERT INTO n SELECT * FROM o; DROP TABLE o; ALTER TABLE n RENAME TO o", P, [S, S, W, W]),
        ("CREATE TABLE n (LIKE o); INSERT INTO n SELECT * FROM o; DROP TABLE o; ALTER TABLE n RENAME TO o", P, [S, S, B, B]),
        ("CREATE TABLE n LIKE p; INSERT INTO n SELECT * FROM o; DROP TABLE o; RENAME TABLE n TO o", M, [S, S, B, B]),
        ("CREATE TABLE n LIKE o; INSERT INTO n SELECT * FROM o WHERE a > 1; DROP TABLE o; RENAME TABLE n TO o", M, [S, S, U, U]),
        ("CREATE TABLE n LIKE o; ALTER TABLE n DROP a; INSERT INTO n SELECT * FROM o; DROP TABLE o; RENAME TABLE n TO o", M, [S, S, S, U, U]),
        ("ALTER TABLE o DROP a; CREATE TABLE n LIKE o; INSERT INTO n SELECT * FROM o; DROP TABLE o; RENAME TABLE n TO o", M, [B, S, S, B, B]),
        ("ALTER TABLE o DROP a; ALTER TABLE o ADD a text", P, [B, B]),
        ("ALTER TABLE o RENAME a TO b; ALTER TABLE o ADD a text", P, [B, B]),
        ("ALTER TABLE o RENAME a TO b; ALTER TABLE o ADD a text; ALTER TABLE o DROP a", P, [B, B, B]),
        ("ALTER TABLE o ADD n text; ALTER TABLE o DROP a; ALTER TABLE o RENAME n TO a", P, [S, B, B]),
        ("ALTER TABLE o RENAME a TO b; ALTER TABLE o DROP b", P, [B, B]),
        ("ALTER TABLE o RENAME TO p; DROP TABLE p", P, [B, B]),
        ("ALTER TYPE t RENAME TO t_old; CREATE TYPE t AS ENUM ('a'); DROP TYPE t_old", P, [B, B, B]),
        ("DROP SEQUENCE q; CREATE SEQUENCE q", P, [B, B]),
        ("DROP VIEW v; CREATE VIEW v AS SELECT 1", P, [W, W]),
        ("DROP TRIGGER r ON o; CREATE TRIGGER r AFTER INSERT ON o FOR EACH ROW EXECUTE FUNCTION f()", P, [W, W]),
        ("DROP FUNCTION f(int); CREATE FUNCTION f(n integer) RETURNS int AS 'select 1' LANGUAGE sql", P, [W, W]),
        ("DROP FUNCTION f(int); CREATE FUNCTION f(n text) RETURNS int AS 'select 1' LANGUAGE sql", P, [B, B]),
        ("DROP FUNCTION f; CREATE FUNCTION f(n text) RETURNS int AS 'select 1' LANGUAGE sql", P, [W, W]),
        # Looks like the range's own, but is OLD's
        ("CREATE FUNCTION f(a int) RETURNS int AS 'select 1' LANGUAGE sql; DROP FUNCTION f(text)", P, [W, B]),
        ("CREATE TABLE n (a int); CREATE TRIGGER r AFTER INSERT ON n FOR EACH ROW EXECUTE FUNCTION f(); DROP TRIGGER r ON o", P, [S, S, W]),
        ("CREATE TEMP TABLE o AS SELECT 1; DROP TABLE public.o", P, [S, B]),
        ("CREATE TABLE s.o (a int); DROP TABLE o", P, [S, B]),
        ("BEGIN; SET LOCAL search_path = s; CREATE TABLE o (a int); COMMIT; DROP TABLE o", P, [S, S, S, S, B]),
        ("SET search_path = s; CREATE TABLE o (a int); RESET search_path; DROP TABLE o", P, [S, S, S, B]),
        ('CREATE TABLE "O" (a int); DROP TABLE o', P, [S, B]),
        ("CREATE TABLE O (a int); DROP TABLE o", M, [S, B]),
        ("CREATE TABLE n (a int); USE other; DROP TABLE n", M, [S, S, B]),
        ("ALTER TABLE o ALTER a SET DEFAULT 1; CREATE TABLE o (a int)", P, [S, U]),
        ("ALTER TABLE o ALTER a SET DEFAULT 1; ALTER TABLE o ADD a int; ALTER TABLE o DROP a", P, [S, U, B]),
        # SQLite changes a table by building it anew: the rows are kept, the shape is not compared
        ("CREATE TABLE n (a int); INSERT INTO n SELECT a FROM o; DROP TABLE o; ALTER TABLE n RENAME TO o", L, [S, S, U, U]),
        ("CREATE TABLE n (a int); INSERT INTO n SELECT * FROM o WHERE a > 1; DROP TABLE o; ALTER TABLE n RENAME TO o", L, [S, S, U, U]),
        ("CREATE TABLE n (a int, b int NOT NULL); INSERT INTO n (a, b) SELECT a, 'x' FROM o; DROP TABLE o; ALTER TABLE n RENAME TO o", L, [S, S, B, B]),
        (
            "CREATE TABLE n (a int, b int NOT NULL); INSERT INTO n (a, b) SELECT a, coalesce(b, 0) AS b FROM o; DROP TABLE o; ALTER TABLE n RENAME TO o",
            L,
            [S, S, U, U],
        ),
        ("CREATE TABLE n (a int, b int); INSERT INTO n (a, b) SELECT a, NULL FROM o; DROP TABLE o; ALTER TABLE n RENAME TO o", L, [S, S, U, U]),
        ("CREATE TABLE n (a int, b int NOT NULL); INSERT INTO n (a, b) SELECT a, true FROM o; DROP TABLE o; ALTER TABLE n RENAME TO o", L, [S, S, B, B]),
        ("CREATE TABLE n (a int, b int); INSERT INTO n (a, b) SELECT a, a AS b FROM o; DROP TABLE o; ALTER TABLE n RENAME TO o", L, [S, S, U, U]),
        ("ALTER TABLE o RENAME TO p; CREATE TABLE o (a int); INSERT INTO o SELECT a FROM p; DROP TABLE p", L, [U, U, W, U]),
        ("CREATE TABLE n (a int); DROP TABLE o; ALTER TABLE n RENAME TO o", L, [S, B, B]),
        # Rows fitted to a shorter column give the narrowing away
        ("UPDATE o SET a = left(a, 40) WHERE length(a) > 40; ALTER TABLE o ALTER a TYPE varchar(40)", P, [U, B]),
        ("DELETE FROM o WHERE char_length(o.a) > 40; ALTER TABLE o MODIFY a varchar(40)", M, [U, B]),
        ("UPDATE o SET a = left(a, 40); ALTER TABLE o ALTER b TYPE varchar(40)", P, [U, W]),
        # A function that only a dropped trigger can have called; OLD may call one that takes something
        ("DROP TRIGGER r ON o; DROP FUNCTION f()", P, [W, W]),
        ("DROP FUNCTION f()", P, [B]),
        ("DROP TRIGGER r ON o; DROP FUNCTION f(int)", P, [W, B]),
        ("DROP FUNCTION f; DROP FUNCTION g(int); DROP TRIGGER f_of_o ON o", P, [W, B, W]),
        ("DROP TRIGGER f ON o; DROP FUNCTION s.f; DROP FUNCTION other", P, [W, W, B]),
        ("DROP FUNCTION f(); DROP TRIGGER r ON o", P, [W, W]),
        ("DROP FUNCTION f; DROP TRIGGER r", M, [B, W]),
        # Whether OLD has a table that is dropped if there is one, and made: only in one file that says nothing else of it before
        ("DROP TABLE IF EXISTS a; CREATE TABLE a (b int)", M, [W, W]),
        ("DROP TABLE IF EXISTS a; CREATE TABLE IF NOT EXISTS a (b int)", M, [W, W]),
        ("DROP TABLE IF EXISTS a, c; CREATE TABLE a (b int)", M, [W, B, W]),
        ("DROP SEQUENCE IF EXISTS q; CREATE SEQUENCE q", P, [W, W]),
        ("ALTER TABLE a ADD x int; DROP TABLE IF EXISTS a; CREATE TABLE a (b int)", P, [S, B, B]),
        ("DROP TABLE IF EXISTS a; CREATE TABLE a (b int); DROP TABLE a", P, [W, W, B]),
        # What a DO block may have run starts from the columns as the range left them
        ("ALTER TABLE o ADD a int; DO $$ BEGIN ALTER TABLE o ALTER a SET NOT NULL; END $$", P, [S, W, B]),
        ("ALTER TABLE o ADD IF NOT EXISTS a int; DO $$ BEGIN ALTER TABLE o ALTER a SET NOT NULL; END $$", P, [S, W, B]),
        ("ALTER TABLE o ADD a int DEFAULT 1; DO $$ BEGIN ALTER TABLE o ALTER a SET NOT NULL; END $$", P, [S, W, S]),
        # A check that OLD's rows pass, for it never fills the new column, and one that they do not
        ("ALTER TABLE o ADD a int; ALTER TABLE o ADD CHECK ((a IS NULL AND b IS NOT NULL) OR (a IS NOT NULL AND b IS NULL))", P, [S, W]),
        ("ALTER TABLE o ADD a int; ALTER TABLE o ADD CHECK (b > 0 AND (a IS NOT NULL))", P, [S, B]),
        ("ALTER TABLE o ADD a int; ALTER TABLE o ADD CHECK (NOT (a IS NULL))", P, [S, B]),
        # A view under the old name of a renamed table, as long as it stands and shows all of it
        ("ALTER TABLE o RENAME TO p; CREATE VIEW o AS SELECT * FROM p", P, [W, S]),
        ("RENAME TABLE o TO p; CREATE OR REPLACE VIEW o AS SELECT * FROM p", M, [W, S]),
        ("ALTER TABLE o RENAME TO p; CREATE VIEW o AS SELECT * FROM p; DROP VIEW o", P, [B, S, S]),
        ("ALTER TABLE o RENAME TO p; CREATE VIEW o AS SELECT * FROM p; ALTER TABLE p DROP COLUMN a", P, [W, S, B]),
        ("ALTER TABLE o RENAME TO p; CREATE VIEW o AS SELECT a FROM p", P, [B, S]),
        ("ALTER TABLE o RENAME TO p; CREATE VIEW o AS SELECT * FROM p WHERE a > 1", P, [B, S]),
        ("ALTER TABLE o RENAME TO p; CREATE VIEW o AS SELECT * FROM q", P, [B, S]),
        ("ALTER TABLE o RENAME TO p; CREATE VIEW x AS SELECT * FROM p", P, [B, S]),
        ("ALTER TABLE o RENAME TO p; DO $$ BEGIN CREATE VIEW o AS SELECT * FROM p; END $$", P, [B, W, S]),
        ("ALTER TABLE o RENAME TO p; CREATE VIEW o AS SELECT * FROM p; ALTER TABLE p RENAME TO q", P, [W, S, B]),
        # Only new columns are filled
        ("ALTER TABLE o ADD a int; UPDATE o SET a = b, c = 1", P, [S, U]),
        ("ALTER TABLE o ADD a int; ALTER TABLE o ADD c int; UPDATE o SET (a, c) = (1, 2) WHERE true", P, [S, S, W]),
        ("ALTER TABLE o ADD a int; CREATE UNIQUE INDEX u ON o (a) NULLS NOT DISTINCT", P, [S, W]),
        ("ALTER TABLE o ADD a int DEFAULT 1; CREATE UNIQUE INDEX u ON o (a)", P, [S, W]),
    ],
)
def test_the_range_as_a_whole_decides(sql: str, dialect: Dialect, verdicts: list[SchemaVerdict]) -> None:
    reading = read_sql(sql, dialect)
    assert [one.verdict for one in reading.statements] == verdicts, [(one.verdict.value, one.says) for one in reading.statements]


def test_the_sentence_names_what_was_put_in_its_place() -> None:
    statements = read_sql("ALTER TABLE o RENAME COLUMN note TO remark; ALTER TABLE o ADD COLUMN note text", P).statements
    assert statements[0].says == "renames column o.note to remark and puts another column in its place"
    assert [one.rule for one in statements] == ["column_replaced", "column_replaced"]


def test_the_statement_that_drops_the_default_is_the_one_to_blame() -> None:
    statements = read_sql("ALTER TABLE o ADD a int NOT NULL DEFAULT 1;\nALTER TABLE o ALTER a DROP DEFAULT", P).statements
    (blamed,) = [one for one in statements if one.verdict is BREAKS]
    assert (blamed.line, blamed.rule) == (2, "default_dropped_on_new_not_null_column")
    assert "default" in blamed.clears


def test_a_key_that_broke_for_a_while_warns_again_once_the_column_has_a_default() -> None:
    statements = read_sql("ALTER TABLE o ADD a int; ALTER TABLE o ADD PRIMARY KEY (a); ALTER TABLE o ALTER a SET DEFAULT 1", P).statements
    assert [one.verdict for one in statements] == [SAFE, WARN, SAFE]


def test_operations_from_any_reader_are_judged_the_same() -> None:
    judge = Judge(P)
    assert judge.judge(Operation(kind=Kind.CREATE_TABLE, table="n")).verdict is SAFE
    assert judge.judge(Operation(kind=Kind.DROP_COLUMN, table="n", name="a")).verdict is SAFE
    assert judge.judge(Operation(kind=Kind.DROP_COLUMN, table="o", name="a")).verdict is BREAKS
    incomplete = judge.judge(Operation(kind=Kind.ADD_COLUMN, table="o", name="b"))
    assert incomplete.verdict is UNKNOWN
    assert incomplete.says
