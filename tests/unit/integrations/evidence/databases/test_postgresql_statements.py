"""The statements of a program, counted by a real PostgreSQL and prepared again on it, as a role that may read no table."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import pq, sql

from integrations.evidence.databases import Database, Databases, Settings, build
from integrations.evidence.databases.postgresql import PostgreSQL
from service.domain import keys
from service.domain.facts import Absent, Fact, Key, Known
from service.domain.keys import FileChange
from service.domain.model import release_key
from service.domain.own_statements import Counted, Texts
from service.domain.policy import Policies
from service.domain.rules.schema_is_compatible import RULE
from service.domain.verdict import Answer, Finding
from service.store.catalogs import CatalogStore
from service.store.holds import HoldStore
from service.store.statements import StatementStore
from service.store.targets import TargetStore
from service.workflow.gather import Gatherer
from service.workflow.own_facts import OwnFacts
from service.workflow.snapshots import Snapshots
from tests.fakes.clock import FakeClock
from tests.fakes.store import copied
from tests.postgres import MISSING, Postgres, binaries, name_of
from tests.unhurried import follow_the_wall
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, world

SCHEMA = """
CREATE TABLE customer (id bigint PRIMARY KEY, email text NOT NULL);
CREATE TABLE orders (id bigint PRIMARY KEY, customer bigint REFERENCES customer, code varchar(20), cents integer NOT NULL DEFAULT 0, note text);
CREATE TYPE mood AS ENUM ('glad');
CREATE FUNCTION tax(integer) RETURNS integer LANGUAGE sql AS 'SELECT $1 / 5';
CREATE EXTENSION pg_stat_statements;
"""
BY_CODE = "SELECT id, code FROM orders WHERE code = $1"
PAY = "UPDATE orders SET cents = $1 WHERE id = $2"
ADD = "INSERT INTO orders (id, code, note) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET code = EXCLUDED.code RETURNING id"
DROP = "DELETE FROM orders WHERE id = $1"
TAXED = "SELECT tax(cents) FROM orders WHERE id = $1"
LOCKING = "SELECT id FROM customer WHERE id = $1 FOR UPDATE"
EVERY = (BY_CODE, PAY, ADD, DROP, TAXED, LOCKING)
SECRET = "a-word-nobody-may-keep"


@pytest.fixture(scope="module")
def counting() -> Iterator[Postgres]:
    """A server that counts statements, as its operator has to set it up."""
    if binaries() is None:
        pytest.skip(MISSING)
    with Postgres(settings={"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.max": "100"}) as one:
        yield one


class Shop:
    """A database with a schema, a program that uses it as the role of its own, and a source that reads it as another."""

    def __init__(self, postgres: Postgres, folder: Path, schema: str = SCHEMA) -> None:
        self.admin = postgres.create()
        self.run(schema)
        self.app, self.reader = f"app_{name_of(self.admin)}", f"reader_{name_of(self.admin)}"
        self._file = folder / "passfile"
        self._file.touch(mode=0o600)
        self._file.write_text(f"127.0.0.1:{postgres.port}:*:{self.app}:of-app\n127.0.0.1:{postgres.port}:*:{self.reader}:of-reader\n", encoding="utf-8")
        for role in (self.app, self.reader):
            self.run(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(f"of-{role.partition('_')[0]}")))
        self.run(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}").format(sql.Identifier(self.app)))
        self._port = postgres.port
        self.clock = FakeClock()
        self.source = self.reading()

    def url(self, role: str, database: str = "") -> str:
        return f"postgresql://{role}@127.0.0.1:{self._port}/{database or name_of(self.admin)}?passfile={self._file}"

    def reading(self, *, timeout: float = 20, **changes: object) -> Databases:
        one = Database(**({"name": "orders", "url": self.url(self.reader), "statements_of": (self.app,)} | changes))  # type: ignore[arg-type]
        return build(Settings(databases=(one,), timeout_s=timeout), self.clock)

    def run(self, statement: str | sql.Composed) -> None:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(statement)

    def let_read(self) -> None:
        self.run(sql.SQL("GRANT pg_read_all_stats TO {}").format(sql.Identifier(self.reader)))

    def uses(self, *statements: str) -> None:
        """The program runs these, values and all."""
        with psycopg.connect(self.url(self.app), autocommit=True) as connection:
            for one in statements:
                connection.execute(one)

    async def counted(self) -> Sequence[Counted]:
        fact = await self.source.read(keys.statements("orders"))
        assert isinstance(fact, Known), fact
        found: Sequence[Counted] = fact.value
        return found

    async def prepares(self, *texts: str, source: Databases | None = None) -> Fact[tuple[str, ...]]:
        return await (source or self.source).read(keys.prepared("orders", "sha256:1", Texts(texts)))

    async def codes(self, *texts: str) -> tuple[str, ...]:
        fact = await self.prepares(*texts)
        assert isinstance(fact, Known), fact
        return fact.value


@pytest.fixture
async def shop(counting: Postgres, tmp_path: Path) -> AsyncIterator[Shop]:
    follow_the_wall()  # the server is a process of its own
    made = Shop(counting, tmp_path)
    yield made
    counting.drop(made.admin)


async def test_what_the_programs_role_ran_in_that_database_is_counted(shop: Shop) -> None:
    shop.let_read()
    shop.uses("INSERT INTO customer VALUES (1, 'anna@example.com')", "SELECT id FROM orders WHERE code = 'x'", "SELECT id FROM orders WHERE code = 'y'")
    shop.run("SELECT email FROM customer")  # by somebody else
    with psycopg.connect(shop.url(shop.app, "postgres"), autocommit=True) as another:
        another.execute("SELECT current_database()")  # of another database
    found = {one.text: one.calls for one in await shop.counted()}
    assert found == {"INSERT INTO customer VALUES ($1, $2)": 1, "SELECT id FROM orders WHERE code = $1": 2}


async def test_promise_12_no_value_of_what_was_run_leaves_the_reader(shop: Shop) -> None:
    shop.let_read()
    shop.uses(
        f"INSERT INTO customer VALUES (1, '{SECRET}')",  # noqa: S608  ours
        f"SELECT id FROM customer WHERE email = '{SECRET}' /* user={SECRET} */",  # noqa: S608  ours
        f"SET application_name = '{SECRET}'",
        f"PREPARE one AS SELECT id FROM customer WHERE email = '{SECRET}'",  # noqa: S608  ours
        f"DO $$ BEGIN PERFORM '{SECRET}'; END $$",
        f"CREATE TEMP TABLE mine AS SELECT '{SECRET}' AS word",
    )
    with psycopg.connect(shop.admin) as looking:  # it does stand in what the database tells whoever may ask
        row = looking.execute("SELECT string_agg(query, ' ') FROM pg_stat_statements").fetchone()
        assert row is not None
        assert SECRET in row[0]
    fact = await shop.source.read(keys.statements("orders"))
    assert isinstance(fact, Known)
    assert SECRET not in repr(fact)
    assert {one.text for one in fact.value} == {"", "INSERT INTO customer VALUES ($1, $2)", "SELECT id FROM customer WHERE email = $1"}


async def test_without_the_right_to_see_texts_of_others_nothing_is_taken_for_nothing(shop: Shop) -> None:
    shop.uses("SELECT id FROM orders")
    fact = await shop.source.read(keys.statements("orders"))
    assert isinstance(fact, Absent)
    assert fact.why == f"Backout's role may not see what {shop.app} runs in database orders"
    (told,) = await shop.source.check()
    assert (told.well, "GRANT pg_read_all_stats" in told.fix) == ("warn", True)
    shop.let_read()
    (told,) = await shop.source.check()
    assert (told.well, told.says) == ("ok", f"the schema of 2 tables can be read, and 1 statement of {shop.app}")


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("DROP EXTENSION pg_stat_statements", "the extension pg_stat_statements is not installed in database orders"),
        ("DROP OWNED BY {app}; DROP ROLE {app}", "there is no role {app} in database orders"),
    ],
)
async def test_what_has_to_be_set_up_is_named(shop: Shop, does: str, why: str) -> None:
    shop.let_read()
    shop.run(does.format(app=shop.app))
    fact = await shop.source.read(keys.statements("orders"))
    assert isinstance(fact, Absent)
    assert fact.why == why.format(app=shop.app)


async def test_a_server_that_does_not_load_the_library_says_so(postgres: Postgres, tmp_path: Path) -> None:
    follow_the_wall()
    shop = Shop(postgres, tmp_path)
    fact = await shop.source.read(keys.statements("orders"))
    assert isinstance(fact, Absent)
    assert fact.why == "the server of database orders does not load pg_stat_statements (shared_preload_libraries)"
    postgres.drop(shop.admin)


async def test_every_kind_of_statement_is_prepared_by_a_role_that_may_read_no_table_and_none_is_run(shop: Shop) -> None:
    assert await shop.codes(*EVERY) == ("",) * len(EVERY)
    shop.run("INSERT INTO orders (id, code) VALUES (1, 'x')")
    assert await shop.codes("DELETE FROM orders", "INSERT INTO orders (id) VALUES ($1)") == ("", "")
    with psycopg.connect(shop.admin) as looking:
        assert looking.execute("SELECT count(*) FROM orders").fetchone() == (1,)


@pytest.mark.parametrize(
    ("migration", "codes"),
    [
        ("ALTER TABLE orders DROP COLUMN code", ("42703", "", "42703", "", "", "")),
        ("ALTER TABLE orders RENAME COLUMN cents TO cent", ("", "42703", "", "", "42703", "")),
        ("ALTER TABLE customer RENAME TO client", ("", "", "", "", "", "42P01")),
        ("DROP FUNCTION tax", ("", "", "", "", "42883", "")),
        ("ALTER TABLE orders ALTER COLUMN id TYPE text", ("", "", "", "", "", "")),
        ("ALTER TABLE orders ADD COLUMN region text NOT NULL", ("", "", "", "", "", "")),
        ("ALTER TABLE orders DROP CONSTRAINT orders_pkey", ("", "", "", "", "", "")),
    ],
)
async def test_a_migration_breaks_the_statements_that_name_what_it_took_and_no_others(shop: Shop, migration: str, codes: tuple[str, ...]) -> None:
    """The last three are what preparing does not show: the catalogue does."""
    shop.run(migration)
    assert await shop.codes(*EVERY) == codes


async def test_promise_1_what_is_wrong_with_a_statement_itself_is_no_break(shop: Shop) -> None:
    wrong = ("SELECT now() - interval $1", "SELECT $1 = $2", "SELECT id FROM orders; DROP TABLE orders", "INSERT INTO orders (id) VALUES ($1, $2)")
    codes = await shop.codes(*wrong)
    assert (codes[0], codes[2], codes[3]) == ("42601", "42601", "42601")
    assert await shop.codes(BY_CODE) == ("",)


async def test_a_schema_that_the_role_may_not_use_is_unknown_and_its_tables_not_gone(shop: Shop) -> None:
    shop.run("CREATE SCHEMA sales; CREATE TABLE sales.bill (id int)")
    source = shop.reading(schemas=("sales", "public"))
    fact = await shop.prepares("SELECT id FROM bill", source=source)
    assert isinstance(fact, Absent)
    assert fact.why == "Backout's role has no USAGE on schema sales of database orders"
    shop.run(sql.SQL("GRANT USAGE ON SCHEMA sales TO {}").format(sql.Identifier(shop.reader)))
    found = await shop.prepares("SELECT id FROM bill", BY_CODE, source=source)
    assert isinstance(found, Known)
    assert found.value == ("", "")


async def test_a_lock_is_not_waited_for_and_the_rest_is_not_tried(shop: Shop) -> None:
    with psycopg.connect(shop.admin) as migrating:
        migrating.execute("ALTER TABLE orders ADD COLUMN fresh text")
        fact = await shop.prepares(LOCKING, BY_CODE, LOCKING)
        assert isinstance(fact, Known)
        assert fact.value == ("", "55P03", "55P03")
        assert fact.good_for.total_seconds() == 30
    again = await shop.prepares(LOCKING, BY_CODE, LOCKING)
    assert isinstance(again, Known)
    assert (again.value, again.good_for.total_seconds()) == (("", "", ""), 3600)


class Troubled(PostgreSQL):
    """Something happens to a session as soon as it is there; `left` is what each left behind."""

    def __init__(self, happens: Callable[[Any], None] = lambda _: None) -> None:
        super().__init__(20)
        self._happens = happens
        self.left: list[pq.TransactionStatus] = []

    @contextlib.asynccontextmanager
    async def _session(self, database: Database) -> AsyncIterator[Any]:
        async with super()._session(database) as connection:
            await asyncio.to_thread(self._happens, connection)
            yield connection
            self.left.append(connection.info.transaction_status)


async def test_preparing_leaves_no_transaction_behind_and_so_no_lock(shop: Shop) -> None:
    engine = Troubled()
    one = Database(name="orders", url=shop.url(shop.reader))
    source = Databases(Settings(databases=(one,)), FakeClock(), postgresql=engine, mysql=engine)
    assert isinstance(await shop.prepares(*EVERY, "SELECT wrong FROM orders", source=source), Known)
    assert engine.left == [pq.TransactionStatus.IDLE]


async def test_promise_1_a_server_that_stands_still_is_unknown(counting: Postgres, shop: Shop) -> None:
    quick = shop.reading(timeout=1)
    counting.freeze()
    try:
        fact = await shop.prepares(BY_CODE, source=quick)
    finally:
        counting.thaw()
    assert isinstance(fact, Absent)
    assert fact.why.startswith(("database orders did not answer in time", "database orders cannot be read ("))
    assert await shop.codes(BY_CODE) == ("",)


async def test_promise_1_a_session_that_is_cut_in_the_middle_is_unknown(shop: Shop) -> None:
    engine = Troubled(lambda session: shop.run(sql.SQL("SELECT pg_terminate_backend({})").format(sql.Literal(session.info.backend_pid))))
    one = Database(name="orders", url=shop.url(shop.reader))
    fact = await shop.prepares(BY_CODE, source=Databases(Settings(databases=(one,)), FakeClock(), postgresql=engine, mysql=engine))
    assert isinstance(fact, Absent)
    assert fact.why.startswith("database orders cannot be read (")


async def test_promise_1_a_replica_prepares_nothing() -> None:
    follow_the_wall()
    if binaries() is None:
        pytest.skip(MISSING)
    with Postgres() as server:
        url = server.create()
        server.stop()
        (server.folder / "data" / "standby.signal").touch()
        server.start()
        one = Database(name="orders", url=url, statements_of=("postgres",))
        source = build(Settings(databases=(one,), timeout_s=60), FakeClock())
        for key in (keys.statements("orders"), keys.prepared("orders", "sha256:1", Texts((BY_CODE,)))):
            fact = await source.read(key)
            assert isinstance(fact, Absent)
            assert fact.why.startswith("database orders is a replica: ")


# --- from what a release runs to the answer whether one can go back to it ---


class Elsewhere:
    """A `FactSource`: what all other sources say, always just now."""

    def __init__(self, of: World, clock: FakeClock) -> None:
        self._of = of
        self._clock = clock
        self.kinds = frozenset(key.kind for key in of.answers)

    async def read(self, key: Key[Any]) -> Fact[Any]:
        fact = self._of.answers.get(key, made.ABSENT)
        return replace(fact, evidence=replace(fact.evidence, read_at=self._clock.now())) if isinstance(fact, Known) else fact


async def test_a_release_is_watched_and_its_statements_answer_whether_one_can_go_back_to_it(shop: Shop, sqlite_template: Path, tmp_path: Path) -> None:
    shop.let_read()
    old, of = replace(made.GOAL, key=release_key(made.GOAL.sources)), world()
    of.goal, of.policy = old, replace(of.policy, declares=replace(of.policy.declares, databases=("orders",)))
    of.tell(keys.record(made.TARGET, old.key), made.record(old, made.OLD_IMAGE))
    store = copied(sqlite_template, tmp_path)
    catalogs, statements = CatalogStore(store), StatementStore(store)
    policies = Policies(default=of.policy)
    own = OwnFacts(
        targets=TargetStore(store), holds=HoldStore(store), policies=policies, freshness={}, clock=shop.clock, catalogs=catalogs, statements=statements
    )

    def gatherer(*others: Any) -> Gatherer:
        return Gatherer(deliveries={}, sources=[own, shop.source, *others], clock=shop.clock)

    async def asked(sql_of_42: str) -> Finding:
        """Release 42 lives, came with this migration, and somebody asks for 41."""
        shop.run(sql_of_42)
        file = FileChange(path="db/migrations/0042_note.sql", change="added", text=sql_of_42)
        of.tell(made.DIFFERENCE, replace(made.difference(file), dialect="postgres"))
        return RULE.ask(await gatherer(Elsewhere(of, shop.clock)).complete(of.case({}), [RULE]))

    snapshots = Snapshots(catalogs=catalogs, statements=statements, gatherer=gatherer(), clock=shop.clock)
    alone = made.state(current=old, health="Healthy", desired=old.sources)
    shop.uses("SELECT note FROM orders")  # by the release before, which nobody watched to its end
    await snapshots.take(alone, ("orders",))
    shop.uses("INSERT INTO orders (id, code) VALUES (1, 'x')", f"SELECT id FROM orders WHERE code = '{SECRET}'", "SELECT id FROM orders ORDER BY 1")  # noqa: S608  ours
    shop.clock.pass_(hours=25)
    await snapshots.take(alone, ("orders",))

    unused = await asked("ALTER TABLE orders DROP COLUMN note;")
    assert (unused.answer, unused.says) == (Answer.UNKNOWN, "Release 41 was not seen to use what release 42 took away.")
    (line,) = [one for one in unused.lines if one.source == "database"]
    assert line.says == (
        "In database orders column public.orders.note is gone, but no use of that is among the 3 statements that release 41 was seen to run "
        "(watched for 1 d 1 h since 2026-05-04 14:03 UTC)."
    )
    shop.clock.pass_(minutes=5)
    used = await asked("ALTER TABLE orders DROP COLUMN code;")
    assert used.answer is Answer.BLOCK
    assert "2 of 3 statements that release 41 ran cannot be prepared any more" in " ".join(one.says for one in used.lines)
    assert any(one.what == "preparing 3 statements" and one.digest for one in used.evidence)
    assert SECRET not in repr((unused, used, await statements.of(made.TARGET, old.key, "orders")))
    await store.close()
