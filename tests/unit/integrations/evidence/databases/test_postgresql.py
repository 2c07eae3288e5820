"""On a real PostgreSQL, as a role that may connect and nothing else."""

import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from integrations.evidence.databases import Database, Databases, Settings, build
from integrations.evidence.databases.postgresql import PostgreSQL
from service.domain import keys
from service.domain.catalog import Catalog, Harm, missed
from service.domain.errors import PermanentError
from service.domain.facts import Absent, Known
from service.domain.relaxed import Kind, relaxed
from tests.fakes.clock import START, FakeClock
from tests.postgres import MISSING, Postgres, binaries, name_of
from tests.unhurried import follow_the_wall

SCHEMA = """
CREATE TYPE state AS ENUM ('new', 'paid');
CREATE TABLE customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL UNIQUE);
CREATE TABLE orders (
  id bigserial PRIMARY KEY, customer bigint NOT NULL REFERENCES customer, status state NOT NULL DEFAULT 'new', code varchar(20),
  cents integer NOT NULL CHECK (cents >= 0), euros numeric GENERATED ALWAYS AS (cents / 100.0) STORED
);
CREATE UNIQUE INDEX orders_code ON orders (lower(code)) WHERE code IS NOT NULL;
CREATE VIEW open_orders AS SELECT id, code FROM orders WHERE status = 'new';
CREATE FUNCTION tax(integer) RETURNS integer LANGUAGE sql AS 'SELECT $1 / 5';
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER "touch it" BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TABLE log (at date) PARTITION BY RANGE (at);
CREATE TABLE log_2026 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
"""


class Shop:
    """A database with a schema, and a source that reads it as a role without any right on its tables."""

    def __init__(self, postgres: Postgres, folder: Path) -> None:
        self.admin = postgres.create()
        self.run(SCHEMA)
        role, password = f"reader_{name_of(self.admin)}", "only-for-this-test"
        self.run(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password)))
        file = folder / "passfile"
        file.touch(mode=0o600)
        file.write_text(f"127.0.0.1:{postgres.port}:*:{role}:{password}\n", encoding="utf-8")
        self.url = f"postgresql://{role}@127.0.0.1:{postgres.port}/{name_of(self.admin)}?passfile={file}"
        self.source = self.reading()

    def reading(self, **changes: object) -> Databases:
        one = Database(**({"name": "orders", "url": self.url} | changes))  # type: ignore[arg-type]
        return build(Settings(databases=(one,), timeout_s=20), FakeClock())

    def run(self, statement: str | sql.Composed) -> None:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(statement)

    async def catalog(self) -> Catalog:
        fact = await self.source.read(keys.catalog("orders"))
        assert isinstance(fact, Known), fact
        found: Catalog = fact.value
        return found


@pytest.fixture
async def shop(postgres: Postgres, tmp_path: Path) -> AsyncIterator[Shop]:
    follow_the_wall()  # the server is a process of its own
    made = Shop(postgres, tmp_path)
    yield made
    postgres.drop(made.admin)


async def test_a_role_that_may_only_connect_reads_the_whole_schema(shop: Shop) -> None:
    found = await shop.catalog()
    assert set(found.tables) == {"public.customer", "public.orders", "public.open_orders", "public.log"}
    orders = found.tables["public.orders"]
    told = {name: (one.type, one.required, one.given, one.generated) for name, one in orders.columns.items()}
    assert told == {
        "id": ("bigint", True, True, False),
        "customer": ("bigint", True, False, False),
        "status": ("public.state", True, True, False),
        "code": ("character varying(20)", False, False, False),
        "cents": ("integer", True, False, False),
        "euros": ("numeric", False, True, True),
    }
    assert orders.unique == {"PRIMARY KEY (id)", "UNIQUE btree (lower((code)::text)) WHERE (code IS NOT NULL)"}
    assert orders.rules == {"CHECK ((cents >= 0))", "FOREIGN KEY (customer) REFERENCES public.customer(id)"}
    assert orders.triggers == {"BEFORE INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION public.touch()"}
    assert found.tables["public.customer"].columns["id"].given
    assert found.tables["public.open_orders"].view
    assert found.enums == {"public.state": ("new", "paid")}
    assert (set(found.functions), found.busy) == ({"public.tax(integer)"}, "")


async def test_the_fact_has_its_evidence_and_the_same_schema_the_same_digest(shop: Shop) -> None:
    one, two = await shop.source.read(keys.catalog("orders")), await shop.source.read(keys.catalog("orders"))
    assert isinstance(one, Known)
    assert isinstance(two, Known)
    assert (one.evidence.source, one.evidence.what, one.evidence.read_at) == ("database orders", "catalogue of public", START)
    assert one.evidence.digest == two.evidence.digest
    shop.run("ALTER TABLE orders ADD COLUMN note text")
    three = await shop.source.read(keys.catalog("orders"))
    assert isinstance(three, Known)
    assert three.evidence.digest != one.evidence.digest


@pytest.mark.parametrize(
    ("statement", "harm", "what"),
    [
        ("ALTER TABLE orders DROP COLUMN code", Harm.DOES, "column public.orders.code is gone"),
        ("DO $$ BEGIN EXECUTE 'ALTER TABLE orders RENAME COLUMN cents TO cent'; END $$", Harm.DOES, "column public.orders.cents is gone"),
        ("ALTER TABLE orders ALTER COLUMN code TYPE text", Harm.MAY, "column public.orders.code was character varying(20) and is text"),
        ("ALTER TABLE orders ADD COLUMN region text NOT NULL", Harm.DOES, "column public.orders.region is new and must have a value"),
        ("ALTER TABLE orders ALTER COLUMN code SET NOT NULL", Harm.DOES, "column public.orders.code must have a value now"),
        ("ALTER TABLE orders ALTER COLUMN status DROP DEFAULT", Harm.DOES, "column public.orders.status has no default any more"),
        ("ALTER TABLE customer DROP CONSTRAINT customer_email_key", Harm.MAY, "table public.customer is no longer UNIQUE (email)"),
        ("ALTER TABLE orders ADD CHECK (cents < 1000)", Harm.MAY, "has a new rule: CHECK ((cents < 1000))"),
        ("ALTER TYPE state ADD VALUE 'void'", Harm.MAY, "type public.state has the new label void"),
        ("ALTER TABLE orders ENABLE ROW LEVEL SECURITY", Harm.DOES, "table public.orders has row-level security now"),
        ("DROP FUNCTION tax(integer)", Harm.DOES, "function public.tax(integer) is gone"),
    ],
)
async def test_what_a_migration_took_away_shows_however_it_was_written(shop: Shop, statement: str, harm: Harm, what: str) -> None:
    if "open_orders" not in statement and ("code" in statement or "RENAME" in statement):
        shop.run("DROP VIEW open_orders")
    before = await shop.catalog()
    shop.run(statement)
    found = missed(before, await shop.catalog())
    assert [(one.harm, what in one.what) for one in found][:1] == [(harm, True)], found


async def test_what_a_migration_added_is_nothing_that_is_missed(shop: Shop) -> None:
    before = await shop.catalog()
    shop.run("ALTER TABLE orders ADD COLUMN note text; CREATE TABLE fresh (id int NOT NULL); ALTER TABLE orders ADD COLUMN n int NOT NULL DEFAULT 0")
    shop.run("CREATE TABLE log_2027 PARTITION OF log FOR VALUES FROM ('2027-01-01') TO ('2028-01-01'); DROP TABLE log_2026; CREATE INDEX ON orders (cents)")
    assert missed(before, await shop.catalog()) == ()


async def test_a_unique_index_that_failed_to_build_promises_nothing(shop: Shop) -> None:
    before = await shop.catalog()
    shop.run("INSERT INTO customer (email) VALUES ('a'), ('b'); INSERT INTO orders (customer, cents) VALUES (1, 1), (2, 1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        shop.run("CREATE UNIQUE INDEX CONCURRENTLY broken ON orders (cents)")
    assert missed(before, await shop.catalog()) == ()


async def test_a_migration_that_runs_right_now_is_seen(shop: Shop) -> None:
    with psycopg.connect(shop.admin) as migrating:
        migrating.execute("ALTER TABLE orders ADD COLUMN note text")
        assert await shop.catalog() == Catalog(tables={}, busy="public.orders is locked")
    assert (await shop.catalog()).busy == ""


async def test_nothing_can_be_written_over_its_connection(shop: Shop) -> None:
    with pytest.raises(Exception, match="25006"):
        await PostgreSQL(20)._ask(Database(name="orders", url=shop.admin), [("CREATE TABLE public.mine (id int)", ())])  # noqa: SLF001  what no reader asks


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"schemas": ("shop",)}, "database orders has no table in schema shop"),
        ({"schemas": ("public", "shop")}, "database orders has no table in schema shop"),
    ],
)
async def test_promise_1_a_schema_without_tables_is_unknown_and_not_empty(shop: Shop, changes: dict[str, object], why: str) -> None:
    fact = await shop.reading(**changes).read(keys.catalog("orders"))
    assert isinstance(fact, Absent)
    assert fact.why == why


async def test_promise_12_a_database_that_refuses_says_so_without_address_role_or_password(shop: Shop, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text("*:*:*:*:secret-word\n", encoding="utf-8")
    for url in (shop.url.replace(str(tmp_path / "passfile"), str(wrong)), "postgresql://somebody@127.0.0.1:1/shop"):
        fact = await shop.reading(url=url).read(keys.catalog("orders"))
        assert isinstance(fact, Absent)
        assert fact.why.startswith("database orders cannot be read (")
        assert not any(word in fact.why + fact.clears for word in ("secret-word", "127.0.0.1", "somebody", "reader_"))


async def test_a_database_that_nobody_configured_is_unknown(shop: Shop) -> None:
    fact = await shop.source.read(keys.catalog("payments"))
    assert isinstance(fact, Absent)
    assert "evidence.databases" in fact.clears


async def test_doctor_warns_of_a_role_that_may_do_more_than_look(shop: Shop) -> None:
    (well,) = await shop.source.check()
    assert (well.well, well.says) == ("ok", "the schema of 3 tables can be read")
    (powerful,) = await shop.reading(url=shop.admin).check()
    assert (powerful.well, "is a superuser" in powerful.says) == ("warn", True)
    shop.run(sql.SQL("GRANT INSERT ON orders TO {}").format(sql.Identifier(f"reader_{name_of(shop.admin)}")))
    (writing,) = await shop.source.check()
    assert (writing.well, "may write public.orders" in writing.says) == ("warn", True)
    (gone,) = await shop.reading(url="postgresql://somebody@127.0.0.1:1/shop").check()
    assert gone.well == "no"


async def test_promise_1_a_replica_is_no_evidence() -> None:
    follow_the_wall()
    if binaries() is None:
        pytest.skip(MISSING)
    with Postgres() as server:
        url = server.create()
        server.stop()
        (server.folder / "data" / "standby.signal").touch()
        server.start()
        with pytest.raises(PermanentError, match="database orders is a replica: what it shows may be of yesterday"):
            await PostgreSQL(60).catalog(Database(name="orders", url=url))


async def test_version_tables_are_read_where_the_role_may_and_told_as_unread_where_not(shop: Shop) -> None:
    shop.run("CREATE TABLE alembic_version (version_num text PRIMARY KEY); INSERT INTO alembic_version VALUES ('ae10')")
    shop.run(
        'CREATE SCHEMA "we""ird%"; CREATE TABLE "we""ird%"."__EFMigrationsHistory" ("MigrationId" text); CREATE TABLE "we""ird%".django_migrations (id int)'
    )
    shop.run('INSERT INTO "we""ird%"."__EFMigrationsHistory" VALUES (\'20260101_A\')')
    shop.source = shop.reading(schemas=("public", 'we"ird%'))
    assert [(one.table, one.unread) for one in (await shop.catalog()).applied] == [
        ("public.alembic_version", "Backout's role may not read it"),
        ('we"ird%.__EFMigrationsHistory', "Backout's role may not read it"),
        ('we"ird%.django_migrations', "its columns are not those of Django"),
    ]
    (closed,) = await shop.source.check()
    assert (closed.well, "of the version table public.alembic_version no row" in closed.says) == ("warn", True)
    role = sql.Identifier(f"reader_{name_of(shop.admin)}")
    shop.run(sql.SQL('GRANT SELECT ON alembic_version TO {0}; GRANT SELECT ON "we""ird%"."__EFMigrationsHistory" TO {0}').format(role))
    assert {one.table: one.names for one in (await shop.catalog()).applied if not one.unread} == {"public.alembic_version": {"ae10"}}
    shop.run(sql.SQL('GRANT USAGE ON SCHEMA "we""ird%" TO {}').format(role))
    assert {one.table: one.names for one in (await shop.catalog()).applied if not one.unread} == {
        "public.alembic_version": {"ae10"},
        'we"ird%.__EFMigrationsHistory': {"20260101_A"},
    }


async def test_rows_beyond_a_limit_are_found_where_that_one_column_may_be_read(shop: Shop) -> None:
    before = await shop.catalog()
    shop.run("INSERT INTO customer (email) VALUES ('a'); INSERT INTO orders (customer, code, cents, status) VALUES (1, 'short', 2147483647, 'paid')")
    shop.run("DROP VIEW open_orders; ALTER TABLE orders DROP COLUMN euros, ALTER COLUMN cents TYPE bigint, ALTER COLUMN customer DROP NOT NULL")
    shop.run("ALTER TABLE orders ALTER COLUMN code TYPE text; ALTER TYPE state ADD VALUE 'void'")
    loose = relaxed(before, await shop.catalog())
    assert [one.kind for one in loose] == [Kind.BEYOND, Kind.LONGER, Kind.NULL, Kind.LABEL]
    closed = await shop.source.read(keys.left_rows("orders", loose))
    assert isinstance(closed, Known)
    assert [(one.found, one.why) for one in closed.value] == [(None, "database orders refused to be read (42501)")] * 4
    role = sql.Identifier(f"reader_{name_of(shop.admin)}")
    shop.run(sql.SQL("GRANT SELECT (cents, code, customer, status) ON orders TO {}").format(role))
    nothing = await shop.source.read(keys.left_rows("orders", loose))
    assert isinstance(nothing, Known)
    assert [one.found for one in nothing.value] == [False] * 4
    shop.run("INSERT INTO orders (customer, code, cents, status) VALUES (NULL, repeat('x', 21), 2147483648, 'void')")
    broken = await shop.source.read(keys.left_rows("orders", loose))
    assert isinstance(broken, Known)
    assert [one.found for one in broken.value] == [True] * 4


@pytest.mark.parametrize(
    "says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"N", b"R\xff\xff\xff\xff"], ids=["nothing", "another protocol", "no TLS", "a bad length"]
)
async def test_a_server_that_lies_or_hangs_is_unknown_within_the_time_that_it_has(says: bytes) -> None:
    follow_the_wall()
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as liar:

        def answer() -> None:
            caller, _ = liar.accept()
            with caller, contextlib.suppress(OSError):  # who gave up is gone
                caller.sendall(says)
                ended.wait(120)

        server = threading.Thread(target=answer, daemon=True)
        server.start()
        one = Database(name="orders", url=f"postgresql://role@127.0.0.1:{liar.getsockname()[1]}/shop")
        fact = await build(Settings(databases=(one,), timeout_s=1), FakeClock()).read(keys.catalog("orders"))
        ended.set()
        server.join()
    assert isinstance(fact, Absent)
    assert fact.why.startswith(("database orders cannot be read (", "database orders did not answer in time", "database orders refused to be read ("))
