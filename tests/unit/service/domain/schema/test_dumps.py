"""Dumps: which belong to a migration root, and what is read of them."""

import subprocess

import psycopg
import pytest

from service.domain.schema import Dialect, Tool, read_dump
from service.domain.schema.dumps import MAX_DUMP_CHARACTERS, MAX_DUMP_STATEMENTS, dumps_of
from tests.postgres import Postgres, binaries
from tests.unit.service.domain.schema.test_replayed import first_schema

OF_POSTGRES = r"""
\restrict abc123

SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
SET default_table_access_method = heap;
CREATE TABLE public.orders (
    id bigint NOT NULL,
    state public.state DEFAULT 'open'::public.state NOT NULL,
    note character varying(20)
);
CREATE SEQUENCE public.orders_id_seq START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1;
ALTER SEQUENCE public.orders_id_seq OWNED BY public.orders.id;
ALTER TABLE ONLY public.orders ALTER COLUMN id SET DEFAULT nextval('public.orders_id_seq'::regclass);
ALTER TABLE ONLY public.orders ADD CONSTRAINT orders_pkey PRIMARY KEY (id);
CREATE UNIQUE INDEX by_note ON public.orders USING btree (note);
INSERT INTO "schema_migrations" (version) VALUES ('20260101000000');
\unrestrict abc123
"""
OF_MYSQL = r"""/*M!999999\- enable the sandbox mode */
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
DROP TABLE IF EXISTS `orders`;
CREATE TABLE `orders` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `note` varchar(20) COLLATE utf8mb4_bin DEFAULT NULL,
  `at` timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp(),
  PRIMARY KEY (`id`),
  KEY `by_note` (`note`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;
"""
OF_SQLITE = "CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, note varchar(20)); CREATE TABLE sqlite_sequence(name,seq);"


@pytest.mark.parametrize(
    ("tool", "root", "paths"),
    [
        (Tool.RAILS, "db/migrate", ("db/schema.rb", "db/structure.sql")),
        (Tool.RAILS, "shop/db/animals_migrate", ("shop/db/animals_schema.rb", "shop/db/animals_structure.sql")),
        (Tool.RAILS, "db/others", ()),
        (Tool.DBMATE, "db/migrations", ("db/schema.sql",)),
        (Tool.DBMATE, "migrations", ("schema.sql",)),
        (Tool.GOOSE, "db/migrations", ()),
    ],
)
def test_a_dump_belongs_to_a_root_by_the_tools_own_convention(tool: Tool, root: str, paths: tuple[str, ...]) -> None:
    assert dumps_of(tool, root) == paths


@pytest.mark.parametrize(("text", "dialect"), [(OF_POSTGRES, Dialect.POSTGRES), (OF_MYSQL, Dialect.MYSQL), (OF_SQLITE, Dialect.SQLITE)])
def test_what_the_databases_own_tools_write_is_read_whole(text: str, dialect: Dialect) -> None:
    shape = read_dump("db/structure.sql", text, dialect)
    assert shape is not None
    assert (shape.whole, shape.unread) == (True, set())
    columns = shape.tables["orders"]
    assert (columns["id"].not_null, columns["id"].default or columns["id"].generated) == (True, True)
    assert (columns["note"].type.name, columns["note"].type.length, columns["note"].not_null) == ("varchar", 20, False)


def test_another_command_of_the_client_says_that_the_dump_is_not_whole() -> None:
    shape = read_dump("db/structure.sql", "CREATE TABLE o (a int);\n\\i other.sql\n", Dialect.POSTGRES)
    assert shape is not None
    assert not shape.whole


def test_collations_that_a_dump_names_are_known_as_such() -> None:
    shape = read_dump("db/structure.sql", OF_MYSQL, Dialect.MYSQL)
    assert shape is not None
    assert (shape.tables["orders"]["note"].collated, shape.tables["orders"]["id"].collated) == (True, False)


@pytest.mark.parametrize(
    ("path", "text", "dialect"),
    [
        ("db/structure.sql", "", Dialect.POSTGRES),
        ("db/structure.sql", "SELECT 1", Dialect.POSTGRES),
        ("db/structure.sql", "CREATE TABLE o (a int)", Dialect.UNKNOWN),
        ("db/structure.sql", "CREATE TABLE o (a int)\0", Dialect.POSTGRES),
        ("db/structure.txt", "CREATE TABLE o (a int)", Dialect.POSTGRES),
        ("db/structure.sql", "CREATE TABLE o (a int);" + " " * MAX_DUMP_CHARACTERS, Dialect.POSTGRES),
        ("db/structure.sql", "CREATE TABLE o (a int);" * (MAX_DUMP_STATEMENTS + 1), Dialect.POSTGRES),
        ("db/schema.rb", "CREATE TABLE o (a int)", Dialect.POSTGRES),
    ],
)
def test_what_is_no_dump_or_too_much_has_no_shape(path: str, text: str, dialect: Dialect) -> None:
    assert read_dump(path, text, dialect) is None


COLUMNS = """
SELECT c.relname, a.attname, a.attnotnull, a.atthasdef OR a.attidentity <> '' FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
"""


def test_what_pg_dump_writes_of_a_real_schema_is_read_as_the_catalogue_has_it(postgres: Postgres) -> None:
    url, tool = postgres.create(), binaries()
    assert tool is not None
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (
            *first_schema(Dialect.POSTGRES),
            "CREATE TABLE more (id bigserial PRIMARY KEY, i int GENERATED ALWAYS AS IDENTITY, d date DEFAULT now())",
        ):
            connection.execute(statement)
        wanted = {(table, column): (required, given) for table, column, required, given in connection.execute(COLUMNS)}
    written = subprocess.run([tool / "pg_dump", "--schema-only", url], capture_output=True, text=True, check=True, timeout=120).stdout
    postgres.drop(url)
    shape = read_dump("db/structure.sql", written, Dialect.POSTGRES)
    assert shape is not None
    found = {(t, name): (one.not_null, one.default or one.generated) for t, columns in shape.tables.items() for name, one in columns.items()}
    assert (found, shape.whole, shape.unread) == (wanted, True, set())
