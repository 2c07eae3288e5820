"""The source over database systems in memory; the real ones have their own tests beside this file."""

import pytest

from integrations.evidence.databases import Database, Databases, Settings
from service.domain import keys
from service.domain.catalog import TRIGGERS, Catalog, CatalogColumn, CatalogTable
from service.domain.errors import BackoutError, PermanentError, TemporaryError
from service.domain.facts import Absent, Key, Known
from service.domain.relaxed import Kind, Looked, Relaxed
from tests.fakes.clock import START, FakeClock
from tests.fakes.database import FakeEngine

TABLE = CatalogTable(columns={"id": CatalogColumn(type="bigint")})
SCHEMA = Catalog(tables={"public.orders": TABLE, "shop.orders": TABLE})
SETTINGS = Settings(
    databases=(
        Database(name="orders", url="postgresql://role@host/db"),
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
        (SCHEMA, (), "ok", "the schema of 2 tables can be read"),
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


async def test_both_systems_are_let_go_of() -> None:
    databases, postgresql, mysql = source()
    await databases.close()
    assert (postgresql.closed, mysql.closed) == (True, True)
