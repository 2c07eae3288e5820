"""The source over database systems in memory; the real ones have their own tests beside this file."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from integrations.evidence.databases import Database, Databases, Settings
from service.domain import keys
from service.domain.catalog import TRIGGERS, Catalog, CatalogColumn, CatalogTable
from service.domain.errors import BackoutError, PermanentError, TemporaryError
from service.domain.facts import Absent, Key, Known
from service.domain.own_statements import Counted, Texts
from service.domain.relaxed import Kind, Looked, Relaxed
from tests.fakes.clock import START, FakeClock
from tests.fakes.database import FakeEngine

TABLE = CatalogTable(columns={"id": CatalogColumn(type="bigint")})
SCHEMA = Catalog(tables={"public.orders": TABLE, "shop.orders": TABLE})
SETTINGS = Settings(
    databases=(
        Database(name="orders", url="postgresql://role@host/db", statements_of=("app",)),
        Database(name="events", url="mysql://role@host/shop"),
        Database(name="both", url="mariadb://role@host/shop", schemas=("shop", "other")),
    ),
    good_for_s=7,
)


def source(told: Catalog | BackoutError = SCHEMA, powers: tuple[str, ...] = ()) -> tuple[Databases, FakeEngine, FakeEngine]:
    postgresql, mysql = FakeEngine(told, powers=powers), FakeEngine(told, powers=powers)
    return Databases(SETTINGS, FakeClock(), postgresql=postgresql, mysql=mysql), postgresql, mysql


async def test_each_database_is_asked_by_its_own_system() -> None:
    databases, postgresql, mysql = source()
    for name in ("orders", "events"):
        fact = await databases.read(keys.catalog(name))
        assert isinstance(fact, Known)
        assert (fact.value, fact.evidence.source, fact.evidence.read_at, fact.good_for.total_seconds()) == (SCHEMA, f"database {name}", START, 7)
        assert fact.evidence.digest == SCHEMA.digest
    assert (postgresql.asked, mysql.asked) == (["orders"], ["events"])


@pytest.mark.parametrize("error", [PermanentError("database orders is a replica"), TemporaryError("database orders did not answer in time")])
async def test_promise_1_what_cannot_be_read_is_absent_with_the_reason(error: BackoutError) -> None:
    databases, _, _ = source(error)
    fact = await databases.read(keys.catalog("orders"))
    assert isinstance(fact, Absent)
    assert (fact.why, "primary" in fact.clears) == (str(error), True)


@pytest.mark.parametrize("name", ["orders", "both"])
async def test_a_schema_without_tables_is_unknown_and_not_empty(name: str) -> None:
    databases, _, _ = source(Catalog(tables={"shop.orders": TABLE}))
    fact = await databases.read(keys.catalog(name))
    assert isinstance(fact, Absent)
    assert fact.why == f"database {name} has no table in schema {'public' if name == 'orders' else 'other'}"


async def test_what_is_being_changed_is_known_to_be_so_though_no_table_is_told() -> None:
    databases, _, _ = source(Catalog(tables={}, busy="public.orders is locked"))
    assert isinstance(await databases.read(keys.catalog("orders")), Known)


LONG, NULL, LABEL = (
    Relaxed(table="public.orders", column="code", kind=Kind.LONGER, limit=("20",)),
    Relaxed(table="public.orders", column="note", kind=Kind.NULL),
    Relaxed(table="public.orders", column="state", kind=Kind.LABEL, limit=("void",)),
)


async def test_rows_are_asked_after_limit_by_limit_and_one_that_is_closed_hides_no_other() -> None:
    databases, postgresql, _ = source()
    postgresql.rows = {LONG: True, NULL: PermanentError("database orders refused to be read (42501)"), LABEL: False}
    fact = await databases.read(keys.left_rows("orders", (LONG, NULL, LABEL)))
    assert isinstance(fact, Known)
    assert fact.value == (
        Looked(relaxed=LONG, found=True),
        Looked(relaxed=NULL, found=None, why="database orders refused to be read (42501)"),
        Looked(relaxed=LABEL, found=False),
    )
    assert fact.evidence.what.startswith("whether public.orders.code holds a text longer than 20; public.orders.note holds NULL")


@pytest.mark.parametrize("key", [keys.catalog("payments"), keys.left_rows("payments", ()), Key("database guess", "orders")])
async def test_what_nobody_configured_or_asks_for_is_unknown(key: Key[object]) -> None:
    databases, postgresql, _ = source()
    assert isinstance(await databases.read(key), Absent)
    assert postgresql.asked == []


@pytest.mark.parametrize(
    ("told", "powers", "well", "says"),
    [
        (SCHEMA, (), "warn", "the schema of 2 tables can be read, but no statement of app was counted"),
        (SCHEMA, ("may INSERT",), "warn", "2 tables can be read, but the role may INSERT"),
        (Catalog(tables=SCHEMA.tables, unseen=(TRIGGERS,)), (), "warn", "2 tables can be read, but not triggers, so an answer is a warning at best"),
        (Catalog(tables={}), (), "no", "no table in public"),
        (Catalog(tables={}, busy="public.orders is locked"), (), "warn", "its schema is being changed right now: public.orders is locked"),
        (PermanentError("database orders is a replica"), (), "no", "database orders is a replica"),
    ],
)
async def test_doctor_says_how_well_each_can_be_read(told: Catalog | BackoutError, powers: tuple[str, ...], well: str, says: str) -> None:
    databases, _, _ = source(told, powers)
    first, *others = await databases.check()
    assert (first.what, first.well, first.says) == ("database orders", well, says)
    assert (len(others), bool(first.fix)) == (2, well != "ok")


RAN = (Counted(id="1", calls=3, text="SELECT a FROM b"), Counted(id="2", calls=1))


async def test_what_the_program_ran_is_a_fact_that_tells_how_much_and_no_text() -> None:
    databases, postgresql, _ = source()
    postgresql.ran = RAN
    fact = await databases.read(keys.statements("orders"))
    assert isinstance(fact, Known)
    assert (fact.value, fact.evidence.what, fact.good_for.total_seconds()) == (RAN, "2 statements of app", 7)
    unnamed = await databases.read(keys.statements("both"))
    assert isinstance(unnamed, Absent)
    assert "statements_of" in unnamed.clears
    postgresql.ran = PermanentError("there is no role app in database orders")
    refused = await databases.read(keys.statements("orders"))
    assert isinstance(refused, Absent)
    assert (refused.why, "pg_read_all_stats" in refused.clears) == ("there is no role app in database orders", True)


async def test_what_preparing_says_holds_as_long_as_the_schema_but_what_is_of_the_moment_does_not() -> None:
    databases, postgresql, _ = source()
    key = keys.prepared("orders", SCHEMA.digest, Texts(("SELECT a FROM b", "SELECT c FROM b")))
    postgresql.codes = {"SELECT c FROM b": "42703"}
    broken = await databases.read(key)
    assert isinstance(broken, Known)
    assert (broken.value, broken.evidence.what, broken.good_for) == (("", "42703"), "preparing 2 statements", timedelta(hours=1))
    postgresql.codes = {"SELECT c FROM b": "55P03"}
    locked = await databases.read(key)
    assert isinstance(locked, Known)
    assert (locked.value, locked.good_for) == (("", "55P03"), timedelta(seconds=7))
    assert locked.evidence.digest != broken.evidence.digest
    postgresql.codes = TemporaryError("database orders did not answer in time")
    late = await databases.read(key)
    assert isinstance(late, Absent)
    assert late.why == "database orders did not answer in time"


@pytest.mark.parametrize(
    ("ran", "well", "says", "fix"),
    [
        (RAN, "ok", "and 2 statements of app (1 of them not kept: a value may stand in the text)", ""),
        (RAN[:1], "ok", "can be read, and 1 statement of app", ""),
        ((), "warn", "but no statement of app was counted", "Name the roles"),
        (PermanentError("the extension is missing"), "warn", "but not what app runs: the extension is missing", "GRANT pg_read_all_stats"),
    ],
)
async def test_doctor_says_whether_statements_can_be_read_and_what_to_grant(ran: Sequence[Counted] | BackoutError, well: str, says: str, fix: str) -> None:
    databases, postgresql, _ = source()
    postgresql.ran = ran
    first, *_ = await databases.check()
    assert (first.well, says in first.says, fix in first.fix) == (well, True, True), first


async def test_both_systems_are_let_go_of() -> None:
    databases, postgresql, mysql = source()
    await databases.close()
    assert (postgresql.closed, mysql.closed) == (True, True)
