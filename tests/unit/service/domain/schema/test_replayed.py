"""The statement table of the safety notes, executed: each row on a real server, with the old release's statements before it and after it.

The old release reads, writes and calls what a first schema has. What it meets after the migration is measured, not claimed: one of `MEETS`. The verdict that
the text alone gives has to fit what was met; where it does not, the row says why the text cannot know, or what harm no statement shows.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
import pymysql
import pytest

from service.domain.schema import Dialect, SchemaVerdict, read_sql
from tests.mariadb import MariaDB
from tests.postgres import Postgres

P, M, L = Dialect.POSTGRES, Dialect.MYSQL, Dialect.SQLITE
SAFE, WARN, BREAKS, UNKNOWN = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN

HARD, SOFT, ROWS, LOOSER, NOTHING = "hard", "soft", "rows", "looser", "nothing"
MEETS = {
    HARD: BREAKS,  # a statement that names all it knows fails: something is gone, or is wanted that it does not know
    SOFT: WARN,  # a statement fails that the old release may or may not contain: NULL, a duplicate, a column left to its default, an upsert
    ROWS: WARN,  # every statement runs, and one finds other rows or values than before
    LOOSER: WARN,  # the new release can write what the old schema refused
    NOTHING: SAFE,
}

# Columns of o: `a` may be NULL, `n` may not, `d` has a default, `s` a length, `w` repeats itself, `k` is unique, `e` is an enum, `bc` refers to b.
INSERT = "INSERT INTO o (id, a, n, d, s, w, k, e, moment, bc) VALUES {}"
SELECT = "SELECT id, a, n, d, s, w, k, e, moment, bc FROM o ORDER BY id"
FIRST = "(1, 1, 1, 1, 'one', '1', 'k1', 'open', '2026-01-01 10:00:00', 1)"
SECOND = "(9, 1, 1, 1, 'one', '2', 'k9', 'done', '2026-01-01 10:00:00', 1)"
TABLES = {
    P: "CREATE TABLE o (id int PRIMARY KEY, a int, n int NOT NULL CONSTRAINT positive CHECK (n > 0), d int NOT NULL DEFAULT 7, s varchar(20), w text,"
    " k text CONSTRAINT uq_k UNIQUE, e state, moment timestamp, bc int CONSTRAINT of_b REFERENCES b (c))",
    M: "CREATE TABLE o (id int PRIMARY KEY, a int, n int NOT NULL, d int NOT NULL DEFAULT 7, s varchar(20), w varchar(50), k varchar(50),"
    " e ENUM('open', 'done'), moment datetime, bc int, UNIQUE KEY uq_k (k), CONSTRAINT positive CHECK (n > 0),"
    " CONSTRAINT of_b FOREIGN KEY (bc) REFERENCES b (c))",
    L: "CREATE TABLE o (id integer PRIMARY KEY, a int, n int NOT NULL CHECK (n > 0), d int NOT NULL DEFAULT 7, s varchar(20), w text, k text UNIQUE,"
    " e text, moment text, bc int REFERENCES b (c))",
}
AROUND = {
    P: (
        "CREATE SEQUENCE q",
        "CREATE FUNCTION f(x int) RETURNS int LANGUAGE sql AS 'SELECT x + 1'",
        "CREATE TABLE pt (a int) PARTITION BY LIST (a)",
        "CREATE TABLE pt1 PARTITION OF pt FOR VALUES IN (1)",
        "CREATE TABLE pt2 PARTITION OF pt FOR VALUES IN (2)",
    ),
    M: (
        "CREATE FUNCTION f(x int) RETURNS int DETERMINISTIC RETURN x + 1",
        "CREATE TABLE pt (a int) PARTITION BY LIST (a) (PARTITION pt1 VALUES IN (1), PARTITION pt2 VALUES IN (2))",
    ),
    L: ("CREATE TABLE pt (a int)",),
}


def first_schema(dialect: Dialect) -> list[str]:
    return [
        "CREATE TABLE b (c int PRIMARY KEY)",
        *(["CREATE TYPE state AS ENUM ('open', 'done')"] if dialect is P else []),
        TABLES[dialect],
        "CREATE TABLE em (a int)",
        "CREATE INDEX by_a ON o (a)",
        "CREATE VIEW v AS SELECT id, a FROM o",
        *AROUND[dialect],
        "INSERT INTO b VALUES (1), (2)",
        INSERT.format(FIRST),
        "INSERT INTO pt VALUES (1), (2)",
    ]


def old_statements(dialect: Dialect) -> dict[str, tuple[str, ...]]:
    """What the old release does, by name; one that begins with `may` it may or may not contain. Each is undone, and what its last part reads is compared."""
    upsert = "INSERT INTO o (id, n, k) VALUES (19, 1, 'k1') " + ("ON DUPLICATE KEY UPDATE a = 5" if dialect is M else "ON CONFLICT (k) DO UPDATE SET a = 5")  # noqa: S608  made of this file alone
    own = {
        P: {"calls": ("SELECT f(1)",), "counts": ("SELECT nextval('q') IS NOT NULL",)},
        M: {"calls": ("SELECT f(1)",)},
        L: {},
    }
    return {
        "reads": (SELECT,),
        "reads a view": ("SELECT id, a FROM v",),
        "reads partitions": ("SELECT a FROM pt ORDER BY a",),
        "inserts": (INSERT.format(SECOND), SELECT),
        "updates": (
            "UPDATE o SET a = 2, n = 2, d = 2, s = 'x', w = 'y', k = 'z', e = 'done'{}, bc = 2 WHERE id = 1".format("::state" if dialect is P else ""),  # noqa: S608  made of this file alone
            "SELECT a, e FROM o WHERE id = 1",
        ),
        "deletes": ("DELETE FROM o WHERE id = 1",),
        "fills a column": ("UPDATE o SET s = 'xxxxxxxxxxxxxxxxxxxx' WHERE id = 1",),
        "writes a large number": ("UPDATE o SET n = 100000 WHERE id = 1",),
        "inserts into what is empty": ("INSERT INTO em (a) VALUES (1)", "SELECT a FROM em"),
        **own[dialect],
        "may leave columns to their defaults": ("INSERT INTO o (id, n) VALUES (11, 1)", "SELECT a, k FROM o WHERE id = 11"),
        "may write NULL": ("INSERT INTO o (id, n, a, w) VALUES (12, 1, NULL, NULL)",),
        "may repeat itself": ("INSERT INTO o (id, n, w) VALUES (15, 1, 'same'), (16, 1, 'same')",),
        "may write a negative number": ("INSERT INTO o (id, n, a) VALUES (17, 1, -5)",),
        "may write any number": ("INSERT INTO o (id, n, a) VALUES (18, 1, 999)",),
        "may delete a parent": ("DELETE FROM b WHERE c = 2",),
        "may upsert": (upsert, "SELECT count(*) FROM o"),
    }


@dataclass(frozen=True)
class Row:
    """A change as the statement table words it, its statements, what the old release meets, and the verdict by text alone.

    `new` is what only the new schema accepts (for `LOOSER`). `because` says why the verdict is not what `MEETS` would make it.
    """

    change: str
    sql: tuple[str, ...]
    meets: str
    verdict: SchemaVerdict
    new: str = ""
    because: str = ""


def both(change: str, *sql: str, meets: str, verdict: SchemaVerdict, new: str = "", because: str = "") -> Row:
    return Row(change, sql, meets, verdict, new, because)


LONG = "INSERT INTO o (id, n, s) VALUES (30, 1, 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')"
NOT_IN_TEXT = "what it was before is not in the text"
GONE = "the rows or values that the old release knows are gone, which no person can clear away"
SHARED = [
    both("create table", "CREATE TABLE fresh (a int NOT NULL)", meets=NOTHING, verdict=SAFE),
    both("create index", "CREATE INDEX by_n ON o (n)", meets=NOTHING, verdict=SAFE),
    both("create unique index", "CREATE UNIQUE INDEX u ON o (w)", meets=SOFT, verdict=WARN),
    both("unique index on a new column", "ALTER TABLE o ADD COLUMN y int", "CREATE UNIQUE INDEX u ON o (y)", meets=NOTHING, verdict=SAFE),
    both("add column, NULL", "ALTER TABLE o ADD COLUMN y int", meets=NOTHING, verdict=SAFE),
    both("add column, NOT NULL with default", "ALTER TABLE o ADD COLUMN y int NOT NULL DEFAULT 3", meets=NOTHING, verdict=SAFE),
    both("drop column", "ALTER TABLE o DROP COLUMN w", meets=HARD, verdict=BREAKS),
    both("rename column", "ALTER TABLE o RENAME COLUMN w TO y", meets=HARD, verdict=BREAKS),
    both("rename column away and back", "ALTER TABLE o RENAME COLUMN w TO y", "ALTER TABLE o RENAME COLUMN y TO w", meets=NOTHING, verdict=SAFE),
    both("rename table", "ALTER TABLE o RENAME TO p", meets=HARD, verdict=BREAKS),
    both("drop view", "DROP VIEW v", meets=HARD, verdict=BREAKS),
    both("drop table", "DROP TABLE pt", meets=HARD, verdict=BREAKS),
    both("drop table if there is one", "DROP TABLE IF EXISTS pt", meets=HARD, verdict=BREAKS),
    both("drop and recreate table", "DROP TABLE pt", "CREATE TABLE pt (a int)", meets=ROWS, verdict=BREAKS, because=GONE),
    both(
        "drop and recreate table, if there was one",
        "DROP TABLE IF EXISTS pt",
        "CREATE TABLE pt (a int)",
        meets=ROWS,
        verdict=WARN,
    ),
    both("rename away and add again", "ALTER TABLE o RENAME COLUMN w TO y", "ALTER TABLE o ADD COLUMN w varchar(50)", meets=ROWS, verdict=BREAKS, because=GONE),
    both("created and dropped", "CREATE TABLE fresh (a int)", "DROP TABLE fresh", meets=NOTHING, verdict=SAFE),
    both("column added and dropped", "ALTER TABLE o ADD COLUMN y int", "ALTER TABLE o DROP COLUMN y", meets=NOTHING, verdict=SAFE),
    both("create view", "CREATE VIEW fresh AS SELECT id FROM o", meets=NOTHING, verdict=SAFE),
    both("insert", "INSERT INTO pt VALUES (2)", meets=ROWS, verdict=WARN),
    both("insert into a new table", "CREATE TABLE fresh (a int)", "INSERT INTO fresh VALUES (1)", meets=NOTHING, verdict=SAFE),
    both("update", "UPDATE o SET a = 8", meets=ROWS, verdict=UNKNOWN, because="what the rows mean now"),
    both("delete some", "DELETE FROM pt WHERE a = 1", meets=ROWS, verdict=UNKNOWN, because="what the rows mean now"),
    both("delete all", "DELETE FROM pt", meets=ROWS, verdict=BREAKS, because=GONE),
]
ON_SERVERS = [
    both("add column, NOT NULL without default", "ALTER TABLE em ADD COLUMN y int NOT NULL", meets=HARD, verdict=BREAKS),
    both("default dropped again", "ALTER TABLE o ADD COLUMN y int NOT NULL DEFAULT 1", "ALTER TABLE o ALTER COLUMN y DROP DEFAULT", meets=HARD, verdict=BREAKS),
    both("set default", "ALTER TABLE o ALTER COLUMN n SET DEFAULT 3", meets=NOTHING, verdict=SAFE),
    both("drop default", "ALTER TABLE o ALTER COLUMN d DROP DEFAULT", meets=SOFT, verdict=WARN),
    both("default replaced", "ALTER TABLE o ALTER COLUMN d DROP DEFAULT", "ALTER TABLE o ALTER COLUMN d SET DEFAULT 8", meets=NOTHING, verdict=SAFE),
    both("add unique", "ALTER TABLE o ADD CONSTRAINT u UNIQUE (w)", meets=SOFT, verdict=WARN),
    both("drop unique", "ALTER TABLE o DROP CONSTRAINT uq_k", meets=SOFT, verdict=WARN),
    both("add check", "ALTER TABLE o ADD CONSTRAINT c CHECK (a > 0)", meets=SOFT, verdict=WARN),
    both("add check against NULL", "ALTER TABLE o ADD CONSTRAINT c CHECK (a IS NOT NULL)", meets=SOFT, verdict=WARN),
    both(
        "check that a new column has a value",
        "ALTER TABLE o ADD COLUMN y int",
        "UPDATE o SET y = 1",
        "ALTER TABLE o ADD CHECK (y IS NOT NULL)",
        meets=HARD,
        verdict=BREAKS,
    ),
    both("add foreign key", "ALTER TABLE o ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES b (c)", meets=SOFT, verdict=WARN),
    both(
        "foreign key on a new column",
        "ALTER TABLE o ADD COLUMN y int",
        "ALTER TABLE o ADD CONSTRAINT fk FOREIGN KEY (y) REFERENCES b (c)",
        meets=NOTHING,
        verdict=WARN,
        because="the old release may delete a parent that a row of the new one points to",
    ),
    both("drop check", "ALTER TABLE o DROP CONSTRAINT positive", meets=LOOSER, verdict=WARN, new="INSERT INTO o (id, n) VALUES (30, -1)"),
    both("truncate", "TRUNCATE TABLE pt", meets=ROWS, verdict=BREAKS, because=GONE),
    both("drop function", "DROP FUNCTION f", meets=HARD, verdict=BREAKS),
    both("create unique index on what old never writes", "CREATE TABLE fresh (a int)", "CREATE UNIQUE INDEX u ON fresh (a)", meets=NOTHING, verdict=SAFE),
]
ON_POSTGRES = [
    both("create schema, sequence, type", "CREATE SCHEMA {own}_x", "CREATE SEQUENCE fresh", "CREATE TYPE other AS ENUM ('x')", meets=NOTHING, verdict=SAFE),
    both("exclusion", "ALTER TABLE o ADD CONSTRAINT x EXCLUDE USING btree (w WITH =)", meets=SOFT, verdict=WARN),
    both("drop index", "DROP INDEX by_a", meets=NOTHING, verdict=SAFE),
    both("rename index", "ALTER INDEX by_a RENAME TO by_b", meets=NOTHING, verdict=SAFE),
    both("rename constraint", "ALTER TABLE o RENAME CONSTRAINT positive TO above_zero", meets=NOTHING, verdict=SAFE),
    both("index concurrently", "CREATE INDEX CONCURRENTLY by_n ON o (n)", "DROP INDEX CONCURRENTLY by_a", meets=NOTHING, verdict=SAFE),
    both("add column, serial", "ALTER TABLE o ADD COLUMN y bigserial", meets=NOTHING, verdict=SAFE),
    both("add column, identity", "ALTER TABLE o ADD COLUMN y int GENERATED ALWAYS AS IDENTITY", meets=NOTHING, verdict=SAFE),
    both("add column, generated", "ALTER TABLE o ADD COLUMN y int GENERATED ALWAYS AS (n * 2) STORED", meets=NOTHING, verdict=SAFE),
    both("new column made NOT NULL", "ALTER TABLE o ADD COLUMN y int", "UPDATE o SET y = 1", "ALTER TABLE o ALTER y SET NOT NULL", meets=HARD, verdict=BREAKS),
    both(
        "new column made NOT NULL in a block",
        "ALTER TABLE o ADD COLUMN IF NOT EXISTS y int",
        "UPDATE o SET y = 1",
        "DO $$ BEGIN IF true THEN ALTER TABLE o ALTER y SET NOT NULL; END IF; END $$",
        meets=HARD,
        verdict=BREAKS,
    ),
    both("set not null", "ALTER TABLE o ALTER COLUMN a SET NOT NULL", meets=SOFT, verdict=WARN),
    both("check against NULL, not valid", "ALTER TABLE o ADD CONSTRAINT c CHECK (a IS NOT NULL) NOT VALID", meets=SOFT, verdict=WARN),
    both("drop not null", "ALTER TABLE o ALTER COLUMN n DROP NOT NULL", meets=LOOSER, verdict=WARN, new="INSERT INTO o (id, n) VALUES (30, NULL)"),
    both("drop foreign key", "ALTER TABLE o DROP CONSTRAINT of_b", meets=LOOSER, verdict=WARN, new="INSERT INTO o (id, n, bc) VALUES (30, 1, 999)"),
    both("widen text", "ALTER TABLE o ALTER COLUMN s TYPE text", meets=LOOSER, verdict=WARN, new=LONG),
    both(
        "widen a length",
        "ALTER TABLE o ALTER COLUMN s TYPE varchar(99)",
        meets=LOOSER,
        verdict=WARN,
        new=LONG,
    ),
    both("widen a number", "ALTER TABLE o ALTER COLUMN n TYPE bigint", meets=LOOSER, verdict=WARN, new="INSERT INTO o (id, n) VALUES (30, 3000000000)"),
    both("narrow a length", "ALTER TABLE o ALTER COLUMN s TYPE varchar(5)", meets=HARD, verdict=WARN, because=NOT_IN_TEXT),
    both("narrow a length, after fitting", "UPDATE o SET s = left(s, 5)", "ALTER TABLE o ALTER COLUMN s TYPE varchar(5)", meets=HARD, verdict=BREAKS),
    both("narrow a number", "ALTER TABLE o ALTER COLUMN n TYPE smallint", meets=HARD, verdict=BREAKS),
    both("text to number", "ALTER TABLE o ALTER COLUMN w TYPE int USING w::int", meets=HARD, verdict=WARN, because=NOT_IN_TEXT),
    both("text to json", "ALTER TABLE o ALTER COLUMN w TYPE jsonb USING w::jsonb", meets=HARD, verdict=BREAKS),
    both("enum to another", "ALTER TABLE o ALTER COLUMN e TYPE boolean USING e = 'open'", meets=HARD, verdict=BREAKS),
    both("timestamp to timestamptz", "ALTER TABLE o ALTER COLUMN moment TYPE timestamptz", meets=ROWS, verdict=BREAKS, because="the meaning shifts"),
    both(
        "without case",
        "CREATE EXTENSION IF NOT EXISTS citext SCHEMA public",
        "ALTER TABLE o ALTER COLUMN w TYPE public.citext",
        meets=NOTHING,
        verdict=WARN,
        because="equality and order change",
    ),
    both("drop sequence", "DROP SEQUENCE q", meets=HARD, verdict=BREAKS),
    both("drop type", "DROP TYPE state CASCADE", meets=HARD, verdict=BREAKS),
    both("rename type", "ALTER TYPE state RENAME TO states", meets=HARD, verdict=BREAKS),
    both("rename schema", "ALTER SCHEMA {own} RENAME TO {own}_y", meets=HARD, verdict=BREAKS),
    both("set schema", "CREATE SCHEMA {own}_z", "ALTER TABLE o SET SCHEMA {own}_z", meets=HARD, verdict=BREAKS),
    both(
        "rename table behind a view",
        "ALTER TABLE o RENAME TO p",
        "CREATE VIEW o AS SELECT * FROM p",
        meets=NOTHING,
        verdict=WARN,
        because="whether every write of the old release passes a view is not in the text",
    ),
    both("enum add value", "ALTER TYPE state ADD VALUE 'late'", meets=LOOSER, verdict=WARN, new="INSERT INTO o (id, n, e) VALUES (30, 1, 'late')"),
    both("enum rename value", "ALTER TYPE state RENAME VALUE 'done' TO 'finished'", meets=HARD, verdict=BREAKS),
    both(
        "comment, storage, statistics",
        "COMMENT ON TABLE o IS 'x' 'y'".replace("' '", "'\n'"),
        "ALTER TABLE o SET (fillfactor = 70)",
        "ALTER TABLE o ALTER a SET STATISTICS 9",
        meets=NOTHING,
        verdict=SAFE,
    ),
    both("revoke", "REVOKE ALL ON o FROM {old}", meets=HARD, verdict=BREAKS),
    both("grant", "GRANT SELECT ON o TO {old}", meets=NOTHING, verdict=SAFE),
    both("row security", "ALTER TABLE o ENABLE ROW LEVEL SECURITY", meets=HARD, verdict=BREAKS),
    both("row policy alone", "CREATE POLICY everybody ON o USING (true)", meets=NOTHING, verdict=WARN, because="row security may be on"),
    both("replace view", "CREATE OR REPLACE VIEW v AS SELECT id, a + 1 AS a FROM o", meets=ROWS, verdict=WARN),
    both(
        "replace view, more columns",
        "CREATE OR REPLACE VIEW v AS SELECT id, a, n FROM o",
        meets=NOTHING,
        verdict=WARN,
        because="the rows that it shows may be others",
    ),
    both("drop and make a view", "DROP VIEW v", "CREATE VIEW v AS SELECT id FROM o", meets=HARD, verdict=WARN, because=NOT_IN_TEXT),
    both("replace function", "CREATE OR REPLACE FUNCTION f(x int) RETURNS int LANGUAGE sql AS 'SELECT x + 2'", meets=ROWS, verdict=WARN),
    both(
        "trigger",
        "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.a := 0; RETURN NEW; END'",
        "CREATE TRIGGER t BEFORE INSERT ON o FOR EACH ROW EXECUTE FUNCTION t()",
        meets=ROWS,
        verdict=WARN,
    ),
    both("attach partition", "CREATE TABLE pt3 (a int)", "ALTER TABLE pt ATTACH PARTITION pt3 FOR VALUES IN (3)", meets=NOTHING, verdict=SAFE),
    both("detach partition", "ALTER TABLE pt DETACH PARTITION pt2", meets=ROWS, verdict=BREAKS, because=GONE),
    both("drop in a block", "DO $$ BEGIN ALTER TABLE o DROP COLUMN w; END $$", meets=HARD, verdict=BREAKS),
    both(
        "add in a block",
        "DO $$ BEGIN ALTER TABLE o ADD COLUMN y int; END $$",
        meets=NOTHING,
        verdict=WARN,
        because="which of its statements ran is not in the text",
    ),
    both(
        "put together in a block",
        "DO $$ DECLARE c text := 'w'; BEGIN EXECUTE 'ALTER TABLE ' || 'o DROP COLUMN ' || c; END $$",
        meets=HARD,
        verdict=UNKNOWN,
        because=NOT_IN_TEXT,
    ),
    both(
        "rebuild with LIKE",
        "CREATE TABLE fresh (LIKE em INCLUDING ALL)",
        "INSERT INTO fresh SELECT * FROM em",
        "DROP TABLE em",
        "ALTER TABLE fresh RENAME TO em",
        meets=NOTHING,
        verdict=WARN,
        because="LIKE takes no foreign keys, no triggers and no rights along, and what was there is not in the text",
    ),
    both("set, analyze", "SET lock_timeout = 1000", "ANALYZE o", "RESET lock_timeout", meets=NOTHING, verdict=SAFE),
]
ON_MARIADB = [
    both("add index", "ALTER TABLE o ADD INDEX by_n (n)", "ALTER TABLE o ADD FULLTEXT KEY words (w)", meets=NOTHING, verdict=SAFE),
    both("add unique key", "ALTER TABLE o ADD UNIQUE KEY u (w)", meets=SOFT, verdict=WARN),
    both("drop index", "DROP INDEX by_a ON o", meets=NOTHING, verdict=SAFE),
    both("drop unique index", "ALTER TABLE o DROP INDEX uq_k", meets=SOFT, verdict=WARN),
    both("drop primary key", "ALTER TABLE o DROP PRIMARY KEY", meets=LOOSER, verdict=WARN, new="INSERT INTO o (id, n) VALUES (1, 1)"),
    both("rename index", "ALTER TABLE o RENAME INDEX by_a TO by_b", meets=NOTHING, verdict=SAFE),
    both("add column, generated", "ALTER TABLE o ADD COLUMN y int GENERATED ALWAYS AS (n * 2) VIRTUAL", meets=NOTHING, verdict=SAFE),
    both("add columns", "ALTER TABLE o ADD COLUMN (y int, z int NOT NULL)", meets=HARD, verdict=BREAKS),
    both("add column, NOT NULL, first", "ALTER TABLE o ADD y int UNSIGNED NOT NULL COMMENT 'x' FIRST", meets=HARD, verdict=BREAKS),
    both("new column made NOT NULL", "ALTER TABLE o ADD y int", "UPDATE o SET y = 1", "ALTER TABLE o MODIFY y int NOT NULL", meets=HARD, verdict=BREAKS),
    both("CHANGE to another name", "ALTER TABLE o CHANGE COLUMN w y varchar(50)", meets=HARD, verdict=BREAKS),
    both("CHANGE to another case", "ALTER TABLE o CHANGE COLUMN w W varchar(50)", meets=NOTHING, verdict=WARN, because=NOT_IN_TEXT),
    both("MODIFY loses NOT NULL", "ALTER TABLE o MODIFY n int", meets=LOOSER, verdict=WARN, new="INSERT INTO o (id, n) VALUES (30, NULL)"),
    both("MODIFY brings NOT NULL", "ALTER TABLE o MODIFY a int NOT NULL", meets=SOFT, verdict=WARN),
    both("MODIFY loses a default", "ALTER TABLE o MODIFY d int NOT NULL", meets=SOFT, verdict=WARN),
    both("MODIFY widens", "ALTER TABLE o MODIFY s longtext", meets=LOOSER, verdict=WARN, new=LONG),
    both("MODIFY narrows", "ALTER TABLE o MODIFY s varchar(5)", meets=HARD, verdict=WARN, because=NOT_IN_TEXT),
    both("MODIFY to another family", "ALTER TABLE o MODIFY w int", meets=HARD, verdict=WARN, because=NOT_IN_TEXT),
    both(
        "MODIFY appends to an enum",
        "ALTER TABLE o MODIFY e ENUM('open', 'done', 'late')",
        meets=LOOSER,
        verdict=WARN,
        new="INSERT INTO o (id, n, e) VALUES (30, 1, 'late')",
    ),
    both("MODIFY takes from an enum", "ALTER TABLE o MODIFY e ENUM('open')", meets=HARD, verdict=WARN, because=NOT_IN_TEXT),
    both("rename table", "RENAME TABLE o TO p", meets=HARD, verdict=BREAKS),
    both("rename table, short", "ALTER TABLE o RENAME p", meets=HARD, verdict=BREAKS),
    both(
        "rebuild with LIKE",
        "CREATE TABLE fresh LIKE pt",
        "INSERT INTO fresh SELECT * FROM pt",
        "DROP TABLE pt",
        "RENAME TABLE fresh TO pt",
        meets=NOTHING,
        verdict=WARN,
        because="LIKE takes no foreign keys and no triggers along, and what was there is not in the text",
    ),
    both("drop foreign key", "ALTER TABLE o DROP FOREIGN KEY of_b", meets=LOOSER, verdict=WARN, new="INSERT INTO o (id, n, bc) VALUES (30, 1, 999)"),
    both("collation", "ALTER TABLE o CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", meets=NOTHING, verdict=WARN, because="equality and order change"),
    both("storage", "ALTER TABLE o COMMENT = 'x'", "ALTER TABLE o ROW_FORMAT=DYNAMIC", "ALTER TABLE o AUTO_INCREMENT = 50", meets=NOTHING, verdict=SAFE),
    both("drop partition", "ALTER TABLE pt DROP PARTITION pt2", meets=ROWS, verdict=BREAKS, because=GONE),
    both("replace view", "CREATE OR REPLACE VIEW v AS SELECT id FROM o", meets=HARD, verdict=UNKNOWN, because=NOT_IN_TEXT),
    both("trigger", "CREATE TRIGGER t BEFORE INSERT ON o FOR EACH ROW SET NEW.a = 0", meets=ROWS, verdict=WARN),
    both("statement put together", "SET @s = CONCAT('ALTER TABLE o ', 'DROP COLUMN w')", "PREPARE p FROM @s", "EXECUTE p", meets=HARD, verdict=BREAKS),
    both("set", "SET FOREIGN_KEY_CHECKS = 0", "SET NAMES utf8mb4", meets=NOTHING, verdict=SAFE),
]
ON_SQLITE = [
    both("drop index", "DROP INDEX by_a", meets=NOTHING, verdict=SAFE),
    both(
        "rebuild with another column, NOT NULL",
        "CREATE TABLE fresh (a int, y int NOT NULL)",
        "INSERT INTO fresh (a) SELECT a FROM em",
        "DROP TABLE em",
        "ALTER TABLE fresh RENAME TO em",
        meets=HARD,
        verdict=BREAKS,
    ),
    both(
        "rebuild that fills another column, NOT NULL",
        "CREATE TABLE fresh (a int, y int NOT NULL)",
        "INSERT INTO fresh (a, y) SELECT a, 1 FROM em",
        "DROP TABLE em",
        "ALTER TABLE fresh RENAME TO em",
        meets=HARD,
        verdict=BREAKS,
    ),
    both("trigger", "CREATE TRIGGER t AFTER INSERT ON o BEGIN UPDATE o SET a = 0 WHERE id = NEW.id; END", meets=ROWS, verdict=WARN),
]
ROWS_OF = {P: [*SHARED, *ON_SERVERS, *ON_POSTGRES], M: [*SHARED, *ON_SERVERS, *ON_MARIADB], L: [*SHARED, *ON_SQLITE]}

OLD_ROLE = "replayed_old"
Run = Callable[[Sequence[str]], list[Any]]


class Refused(Exception):  # noqa: N818  an answer of the database
    """The database refused a statement."""


@dataclass
class World:
    """One database with the first schema. `migrate` keeps what it does; `old` undoes it, and returns what the last statement reads."""

    migrate: Callable[[str], None]
    old: Run
    words: dict[str, str]


@contextmanager
def on_postgres(url: str) -> Iterator[World]:
    with closing(psycopg.connect(url, autocommit=True)) as owner, closing(psycopg.connect(url, autocommit=True)) as old:
        with suppress(psycopg.errors.DuplicateObject):
            owner.execute(f"CREATE ROLE {OLD_ROLE}")
        owner.execute("DROP SCHEMA IF EXISTS own, own_x, own_y, own_z CASCADE")  # what the row before left
        owner.execute("CREATE SCHEMA own")
        owner.execute("SET search_path TO own, public")
        owner.execute(f"GRANT USAGE ON SCHEMA own TO {OLD_ROLE}")
        for kind in ("TABLES", "SEQUENCES"):
            owner.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA own GRANT ALL ON {kind} TO {OLD_ROLE}")
        for statement in first_schema(P):
            owner.execute(statement)

        def run(statements: Sequence[str]) -> list[Any]:
            try:
                with old.transaction(force_rollback=True):
                    old.execute(f"SET LOCAL ROLE {OLD_ROLE}")
                    old.execute("SET LOCAL search_path TO own, public")
                    *first, last = statements
                    for statement in first:
                        old.execute(statement)
                    cursor = old.execute(last)
                    return cursor.fetchall() if cursor.description else []
            except psycopg.Error as error:
                raise Refused(str(error)) from error

        yield World(lambda statement: void(owner.execute(statement)), run, {"own": "own", "old": OLD_ROLE})


@contextmanager
def on_mariadb(server: MariaDB) -> Iterator[World]:
    name = server.create()
    with server.connected(name) as owner, server.connected(name) as old:
        with owner.cursor() as cursor:
            for statement in first_schema(M):
                cursor.execute(statement)

        def run(statements: Sequence[str]) -> list[Any]:
            with old.cursor() as cursor:
                try:
                    cursor.execute("START TRANSACTION")
                    for statement in statements:
                        cursor.execute(statement)
                    return list(cursor.fetchall())
                except pymysql.MySQLError as error:
                    raise Refused(str(error)) from error
                finally:
                    cursor.execute("ROLLBACK")

        def migrate(statement: str) -> None:
            with owner.cursor() as cursor:
                cursor.execute(statement)

        yield World(migrate, run, {})
    server.drop(name)


@contextmanager
def on_sqlite() -> Iterator[World]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        for statement in first_schema(L):
            database.execute(statement)

        def run(statements: Sequence[str]) -> list[Any]:
            database.execute("BEGIN")
            try:
                *first, last = statements
                for statement in first:
                    database.execute(statement)
                return database.execute(last).fetchall()
            except sqlite3.Error as error:
                raise Refused(str(error)) from error
            finally:
                database.execute("ROLLBACK")

        yield World(lambda statement: void(database.execute(statement)), run, {})


def void(_: object) -> None:
    return None


def met(world: World, dialect: Dialect, row: Row) -> tuple[str, list[str]]:
    """Which of `MEETS` the old release meets, and the names of the statements that show it."""
    statements = old_statements(dialect)
    before = {name: world.old(parts) for name, parts in statements.items()}  # in the first schema each of them runs
    if row.new:
        with pytest.raises(Refused):
            world.old((row.new,))
    for one in row.sql:
        world.migrate(one.format(**world.words) if world.words and "$$" not in one else one)
    failed, changed = [], []
    for name, parts in statements.items():
        try:
            changed += [name] if world.old(parts) != before[name] else []
        except Refused:
            failed.append(name)
    hard = [name for name in failed if not name.startswith("may ")]
    if hard:
        return HARD, hard
    if failed:
        return SOFT, failed
    if changed:  # one that it may not contain counts only where nothing else changed
        return SOFT if all(name.startswith("may ") for name in changed) else ROWS, changed
    if row.new:
        world.old((row.new,))
        return LOOSER, [row.new]
    return NOTHING, []


def checked(world: World, dialect: Dialect, row: Row) -> None:
    found, shown_by = met(world, dialect, row)
    assert found == row.meets, shown_by
    reading = read_sql("; ".join(one.format(**world.words) if world.words and "$$" not in one else one for one in row.sql), dialect)
    assert reading.verdict is row.verdict, reading.statements


def named(rows: Sequence[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=[f"{at}-{row.change}" for at, row in enumerate(rows)])


@pytest.fixture(scope="module")
def ground(postgres: Postgres) -> Iterator[str]:
    url = postgres.create()
    yield url
    postgres.drop(url)


@named(ROWS_OF[P])
def test_each_row_of_the_table_on_postgresql(ground: str, row: Row) -> None:
    with on_postgres(ground) as world:
        checked(world, P, row)


@named(ROWS_OF[M])
def test_each_row_of_the_table_on_mariadb(mariadb: MariaDB, row: Row) -> None:
    with on_mariadb(mariadb) as world:
        checked(world, M, row)


@named(ROWS_OF[L])
def test_each_row_of_the_table_on_sqlite(row: Row) -> None:
    with on_sqlite() as world:
        checked(world, L, row)


def test_a_verdict_is_what_was_met_or_the_row_says_why_it_is_not() -> None:
    for dialect, rows in ROWS_OF.items():
        for row in rows:
            assert row.because or row.verdict is MEETS[row.meets], (dialect, row.change)
            assert row.meets == NOTHING or row.verdict is not SAFE, (dialect, row.change)
            assert bool(row.new) is (row.meets == LOOSER), (dialect, row.change)


def test_a_row_whose_old_statements_would_not_run_before_cannot_pass() -> None:
    with on_sqlite() as world:
        world.migrate("DROP TABLE pt")
        with pytest.raises(Refused):
            met(world, L, both("nothing", meets=NOTHING, verdict=SAFE))
