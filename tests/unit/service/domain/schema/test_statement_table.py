"""The statement table of the safety notes, row by row: what a change left applied means for the old release, by its text alone.

C = safe, C? and B-soft = warn, B = breaks, U = unknown. Each row: the change in words of the table, its verdict, and how each dialect writes it.
"""

import pytest

from service.domain.schema import Dialect, SchemaVerdict, read_sql

P, M, L = Dialect.POSTGRES, Dialect.MYSQL, Dialect.SQLITE
ALL = (P, M, L)
SAFE, WARN, BREAKS, UNKNOWN = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN

TABLE: list[tuple[str, SchemaVerdict, tuple[Dialect, ...], tuple[str, ...]]] = [
    ("create table", SAFE, ALL, ("CREATE TABLE n (a int NOT NULL)", "CREATE TABLE IF NOT EXISTS n (a int)")),
    (
        "create schema, sequence, extension, type",
        SAFE,
        (P,),
        ("CREATE SCHEMA s", "CREATE SEQUENCE q", "CREATE EXTENSION pgcrypto", "CREATE TYPE t AS ENUM ('a')"),
    ),
    ("create index, not unique", SAFE, ALL, ("CREATE INDEX i ON o (a)",)),
    ("create index, not unique", SAFE, (M,), ("ALTER TABLE o ADD INDEX i (a)", "ALTER TABLE o ADD FULLTEXT KEY i (a)", "CREATE FULLTEXT INDEX i ON o (a)")),
    ("create unique index", WARN, ALL, ("CREATE UNIQUE INDEX i ON o (a)",)),
    ("add unique, exclusion", WARN, (P,), ("ALTER TABLE o ADD UNIQUE (a)", "ALTER TABLE o ADD CONSTRAINT e EXCLUDE USING gist (a WITH =)")),
    ("add unique", WARN, (M,), ("ALTER TABLE o ADD UNIQUE INDEX i (a)", "ALTER TABLE o ADD CONSTRAINT u UNIQUE KEY (a)", "ALTER TABLE o ADD PRIMARY KEY (a)")),
    ("drop index", SAFE, (P, L), ("DROP INDEX by_state", "DROP INDEX IF EXISTS by_state")),
    ("drop index", SAFE, (M,), ("DROP INDEX by_state ON o", "ALTER TABLE o DROP INDEX by_state", "ALTER TABLE o DROP KEY by_state")),
    ("drop index that seems unique", WARN, (P,), ("DROP INDEX o_state_key", "DROP INDEX CONCURRENTLY uq_state")),
    ("drop unique, primary key", WARN, (P, M), ("ALTER TABLE o DROP CONSTRAINT o_pkey",)),
    ("drop primary key", WARN, (M,), ("ALTER TABLE o DROP PRIMARY KEY",)),
    ("rename index or constraint", SAFE, (P,), ("ALTER INDEX i RENAME TO j", "ALTER TABLE o RENAME CONSTRAINT c TO d")),
    ("rename index", SAFE, (M,), ("ALTER TABLE o RENAME INDEX i TO j", "ALTER TABLE o RENAME KEY i TO j")),
    ("add column that may be NULL or has a default", SAFE, ALL, ("ALTER TABLE o ADD COLUMN a int", "ALTER TABLE o ADD a text NOT NULL DEFAULT 'x'")),
    ("add generated or identity column", SAFE, (P,), ("ALTER TABLE o ADD a bigserial", "ALTER TABLE o ADD a int NOT NULL GENERATED ALWAYS AS IDENTITY")),
    ("add generated column", SAFE, (M, L), ("ALTER TABLE o ADD a int GENERATED ALWAYS AS (b + 1) VIRTUAL",)),
    ("add column NOT NULL, no default", BREAKS, ALL, ("ALTER TABLE o ADD a int NOT NULL",)),
    (
        "add column NOT NULL, no default",
        BREAKS,
        (M,),
        ("ALTER TABLE o ADD COLUMN (a int NOT NULL, b int)", "ALTER TABLE o ADD a int UNSIGNED NOT NULL COMMENT 'x' AFTER b"),
    ),
    ("add NOT NULL DEFAULT, then DROP DEFAULT", BREAKS, (P, M), ("ALTER TABLE o ADD a int DEFAULT 1 NOT NULL; ALTER TABLE o ALTER COLUMN a DROP DEFAULT",)),
    ("set default", SAFE, (P, M), ("ALTER TABLE o ALTER COLUMN a SET DEFAULT 1",)),
    ("drop default", WARN, (P, M), ("ALTER TABLE o ALTER COLUMN a DROP DEFAULT",)),
    ("set not null", WARN, (P,), ("ALTER TABLE o ALTER COLUMN a SET NOT NULL", "ALTER TABLE o ADD CONSTRAINT n CHECK (a IS NOT NULL) NOT VALID")),
    ("drop not null", WARN, (P,), ("ALTER TABLE o ALTER COLUMN a DROP NOT NULL",)),
    ("widen", WARN, (P,), ("ALTER TABLE o ALTER a TYPE text", "ALTER TABLE o ALTER a TYPE bigint", "ALTER TABLE o ALTER a TYPE numeric")),
    ("length that the text does not compare", WARN, (P,), ("ALTER TABLE o ALTER a TYPE varchar(50)", "ALTER TABLE o ALTER a TYPE numeric(10, 2)")),
    ("narrow or another family", BREAKS, (P,), ("ALTER TABLE o ALTER a TYPE int USING a::int * 2", "ALTER TABLE o ALTER a TYPE jsonb USING a::jsonb")),
    (
        "another family",
        BREAKS,
        (P,),
        ("ALTER TABLE o ALTER a TYPE timestamptz", "ALTER TABLE o ALTER a TYPE state USING a::state", "ALTER TABLE o ALTER a TYPE smallint"),
    ),
    ("narrow, shown by fitted rows", BREAKS, (P,), ("UPDATE o SET a = left(a, 9); ALTER TABLE o ALTER a TYPE varchar(9)",)),
    ("text that compares in another way", WARN, (P,), ("ALTER TABLE o ALTER a TYPE citext",)),
    ("drop column", BREAKS, ALL, ("ALTER TABLE o DROP COLUMN a",)),
    ("drop table, view", BREAKS, ALL, ("DROP TABLE o", "DROP VIEW v")),
    (
        "drop function, type, sequence",
        BREAKS,
        (P,),
        ("DROP FUNCTION f(int)", "DROP TYPE t", "DROP SEQUENCE q", "DROP SCHEMA s CASCADE", "DROP MATERIALIZED VIEW v"),
    ),
    ("drop procedure, function", BREAKS, (M,), ("DROP PROCEDURE p", "DROP FUNCTION f", "DROP DATABASE d")),
    ("rename column", BREAKS, ALL, ("ALTER TABLE o RENAME COLUMN a TO b",)),
    ("rename column", BREAKS, (M,), ("ALTER TABLE o CHANGE a b int", "ALTER TABLE `o` CHANGE COLUMN `a` `b` varchar(9) NOT NULL")),
    ("rename table", BREAKS, ALL, ("ALTER TABLE o RENAME TO p",)),
    ("rename table, type, schema", BREAKS, (P,), ("ALTER TYPE t RENAME TO u", "ALTER SCHEMA s RENAME TO t", "ALTER TABLE o SET SCHEMA s")),
    ("rename table", BREAKS, (M,), ("RENAME TABLE o TO p", "ALTER TABLE o RENAME p")),
    ("rename away and add the name again", BREAKS, (P, M), ("ALTER TABLE o RENAME COLUMN a TO b; ALTER TABLE o ADD COLUMN a int",)),
    (
        "drop and recreate table",
        BREAKS,
        ALL,
        ("DROP TABLE o; CREATE TABLE o (a int)", "INSERT INTO x SELECT a FROM o; DROP TABLE IF EXISTS o; CREATE TABLE o (a int)"),
    ),
    ("drop and recreate table, if there was one", WARN, ALL, ("DROP TABLE IF EXISTS o; CREATE INDEX i ON x (a); CREATE TABLE o (a int)",)),
    ("add check", WARN, (P, M), ("ALTER TABLE o ADD CONSTRAINT c CHECK (a > 0)", "ALTER TABLE o ADD CHECK (a IN (1, 2))")),
    ("add foreign key", WARN, (P, M), ("ALTER TABLE o ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES b (c) ON DELETE CASCADE",)),
    ("drop constraint", WARN, (P,), ("ALTER TABLE o DROP CONSTRAINT c",)),
    ("drop constraint", WARN, (M,), ("ALTER TABLE o DROP FOREIGN KEY f", "ALTER TABLE o DROP CHECK c")),
    ("enum add value", WARN, (P,), ("ALTER TYPE t ADD VALUE 'x'", "ALTER TYPE t ADD VALUE IF NOT EXISTS 'x' BEFORE 'y'")),
    ("enum rename value", BREAKS, (P,), ("ALTER TYPE t RENAME VALUE 'x' TO 'y'",)),
    ("enum written anew", WARN, (M,), ("ALTER TABLE o MODIFY a ENUM('x', 'y')",)),
    ("comment, storage, statistics, owner", SAFE, (P,), ("COMMENT ON TABLE o IS 'x'", "ALTER TABLE o SET (fillfactor = 70)", "ALTER TABLE o OWNER TO x")),
    (
        "storage",
        SAFE,
        (M,),
        ("ALTER TABLE o ALGORITHM=INPLACE, LOCK=NONE", "ALTER TABLE o AUTO_INCREMENT = 5", "ALTER TABLE o COMMENT = 'x'", "ALTER TABLE o ROW_FORMAT=DYNAMIC"),
    ),
    ("revoke, row security, role", BREAKS, (P,), ("REVOKE ALL ON o FROM x", "ALTER TABLE o ENABLE ROW LEVEL SECURITY", "ALTER ROLE x NOLOGIN")),
    ("force row security", BREAKS, (P,), ("ALTER TABLE o FORCE ROW LEVEL SECURITY", "DROP POLICY p ON o", "DROP ROLE x")),
    ("grant", SAFE, (P, M), ("GRANT SELECT ON o TO x",)),
    ("policy", WARN, (P,), ("CREATE POLICY p ON o USING (true)",)),
    ("create view", SAFE, ALL, ("CREATE VIEW v AS SELECT 1",)),
    ("replace view, which can only append in PostgreSQL", WARN, (P,), ("CREATE OR REPLACE VIEW v AS SELECT 1", "DROP VIEW v; CREATE VIEW v AS SELECT 1")),
    ("replace view, whose columns are not compared", UNKNOWN, (M,), ("CREATE OR REPLACE VIEW v AS SELECT 1",)),
    (
        "function, trigger",
        WARN,
        (P,),
        ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'", "CREATE TRIGGER r AFTER INSERT ON o EXECUTE FUNCTION f()"),
    ),
    ("procedure, trigger", WARN, (M,), ("CREATE PROCEDURE p() SELECT 1", "CREATE TRIGGER r BEFORE INSERT ON o FOR EACH ROW SET NEW.a = 1")),
    ("trigger", WARN, (L,), ("CREATE TRIGGER r AFTER INSERT ON o BEGIN UPDATE o SET a = 1; END",)),
    ("drop trigger", WARN, (P,), ("DROP TRIGGER r ON o", "DROP TRIGGER r ON o; DROP FUNCTION f()")),
    ("attach partition", SAFE, (P,), ("ALTER TABLE o ATTACH PARTITION q DEFAULT", "CREATE TABLE q PARTITION OF o FOR VALUES IN (1)")),
    ("detach or drop partition", BREAKS, (P,), ("ALTER TABLE o DETACH PARTITION q",)),
    ("drop partition", BREAKS, (M,), ("ALTER TABLE o DROP PARTITION q",)),
    ("MODIFY writes the whole definition", WARN, (M,), ("ALTER TABLE o MODIFY a int NOT NULL", "ALTER TABLE o MODIFY COLUMN a varchar(9) COLLATE utf8mb4_bin")),
    ("CHANGE to the same name", WARN, (M,), ("ALTER TABLE o CHANGE a a datetime NULL", "ALTER TABLE o CHANGE COLUMN `a` `A` text")),
    (
        "charset, collation",
        WARN,
        (M,),
        ("ALTER TABLE o CONVERT TO CHARACTER SET utf8mb4", "ALTER TABLE o DEFAULT CHARSET=utf8mb4", "ALTER DATABASE d CHARACTER SET utf8mb4"),
    ),
    ("insert", WARN, ALL, ("INSERT INTO o (a) VALUES (1)",)),
    ("insert into a new table", SAFE, ALL, ("CREATE TABLE n (a int); INSERT INTO n VALUES (1)",)),
    ("update, delete, upsert", UNKNOWN, ALL, ("UPDATE o SET a = 1", "DELETE FROM o WHERE a = 1")),
    ("truncate, delete of all", BREAKS, (P, M), ("TRUNCATE TABLE o", "DELETE FROM o")),
    (
        "do, execute, copy, call, psql",
        UNKNOWN,
        (P,),
        ("DO $$ BEGIN EXECUTE x; END $$", "EXECUTE x", "COPY o FROM STDIN", "CALL p()", "\\i x.sql", "SELECT f()"),
    ),
    ("prepare, load, call", UNKNOWN, (M,), ("PREPARE p FROM @x", "LOAD DATA INFILE 'x' INTO TABLE o", "CALL p()", "HANDLER o OPEN", "source x.sql")),
    ("placeholder", UNKNOWN, ALL, ("ALTER TABLE ${t} ADD a int", "CREATE TABLE {{ t }} (a int)", "DROP TABLE {t}")),
    ("set, begin, commit, analyze", SAFE, (P,), ("SET lock_timeout = 1", "BEGIN; COMMIT", "ANALYZE o", "VACUUM o", "REINDEX TABLE o")),
    ("pragma", SAFE, (L,), ("PRAGMA foreign_keys = OFF", "PRAGMA user_version = 3", "VACUUM")),
    ("pragma that rewrites the schema", UNKNOWN, (L,), ("PRAGMA writable_schema = 1",)),
    (
        "created and dropped in the range",
        SAFE,
        ALL,
        ("CREATE TABLE n (a int); ALTER TABLE n DROP COLUMN a; DROP TABLE n", "ALTER TABLE o ADD a int; ALTER TABLE o DROP COLUMN a"),
    ),
    ("IF NOT EXISTS is no proof of new", BREAKS, ALL, ("CREATE TABLE IF NOT EXISTS n (a int); DROP TABLE n",)),
    (
        "rebuild of a SQLite table with all its columns",
        WARN,
        (L,),
        ("CREATE TABLE n (a int); INSERT INTO n SELECT * FROM o; DROP TABLE o; ALTER TABLE n RENAME TO o",),
    ),
    ("rebuild that renames", BREAKS, (L,), ("CREATE TABLE n (b int); INSERT INTO n (b) SELECT a FROM o; DROP TABLE o; ALTER TABLE n RENAME TO o",)),
    (
        "rebuild with a new NOT NULL",
        BREAKS,
        (L,),
        ("CREATE TABLE n (a int, b int NOT NULL); INSERT INTO n (a) SELECT a FROM o; DROP TABLE o; ALTER TABLE n RENAME TO o",),
    ),
    ("rebuild of other columns", UNKNOWN, (L,), ("CREATE TABLE n (a int); INSERT INTO n (a) SELECT a FROM o; DROP TABLE o; ALTER TABLE n RENAME TO o",)),
]


@pytest.mark.parametrize(
    ("sql", "dialect", "verdict"), [(sql, dialect, verdict) for _, verdict, dialects, texts in TABLE for sql in texts for dialect in dialects]
)
def test_each_row_of_the_statement_table(sql: str, dialect: Dialect, verdict: SchemaVerdict) -> None:
    reading = read_sql(sql, dialect)
    assert reading.statements
    assert reading.verdict is verdict, [(one.verdict.value, one.rule, one.says) for one in reading.statements]


def test_what_is_not_safe_says_why_and_what_would_clear_it() -> None:
    for _, verdict, dialects, texts in TABLE:
        for one in (found for sql in texts for found in read_sql(sql, dialects[0]).statements):
            assert one.rule
            assert one.says
            assert bool(one.clears) or one.verdict is SAFE, (verdict, one)
