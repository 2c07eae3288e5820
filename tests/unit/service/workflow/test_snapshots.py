from dataclasses import replace
from typing import Any

import pytest

from service.domain import keys
from service.domain.catalog import Catalog, CatalogColumn, CatalogTable
from service.domain.facts import Known
from service.domain.model import Source, release_key
from service.domain.own_statements import Counted, OwnStatement, OwnStatements, Texts
from service.store.catalogs import CatalogStore
from service.store.readiness import ReadinessStore
from service.store.statements import StatementStore
from service.workflow.own_facts import OwnFacts
from service.workflow.readiness import Readiness
from service.workflow.snapshots import COUNTED_EVERY, Snapshots
from tests.unit.service.domain import made
from tests.unit.service.workflow.stage import TARGET, Stage
from tests.unit.service.workflow.test_readiness import HOUR

SCHEMA = Catalog(tables={"public.orders": CatalogTable(columns={"id": CatalogColumn(type="bigint")})})
ALONE: dict[str, Any] = {"health": "Healthy", "desired": made.SUSPECT.sources}
LIVE = replace(made.SUSPECT, key=release_key(made.SUSPECT.sources))


@pytest.fixture
def catalogs(stage: Stage) -> CatalogStore:
    stage.facts.tell(keys.catalog("orders"), SCHEMA)
    stage.facts.tell(keys.statements("orders"), made.ABSENT)
    stage.facts.tell(keys.prepared("orders", SCHEMA.digest, Texts(())), ())
    stage.use(stage.policies.of(TARGET))  # the gatherer looks once for what kinds there are
    return CatalogStore(stage.database)


@pytest.fixture
def statements(stage: Stage) -> StatementStore:
    return StatementStore(stage.database)


@pytest.fixture
def snapshots(stage: Stage, catalogs: CatalogStore, statements: StatementStore) -> Snapshots:
    return Snapshots(catalogs=catalogs, statements=statements, gatherer=stage.gatherer, clock=stage.clock)


async def taken(snapshots: Snapshots, catalogs: CatalogStore, **changes: Any) -> bool:
    await snapshots.take(made.state(**({"current": LIVE} | ALONE | changes)), ("orders",))
    return await catalogs.of(TARGET, LIVE.key, "orders") is not None


async def test_the_schema_is_kept_while_a_release_lives_alone(snapshots: Snapshots, catalogs: CatalogStore) -> None:
    assert await taken(snapshots, catalogs)
    kept = await catalogs.of(TARGET, LIVE.key, "orders")
    assert kept is not None
    assert (kept.catalog, kept.at) == (SCHEMA, made.NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"current": None},
        {"health": "Degraded"},
        {"settled": False},
        {"failed_newer": "a deploy failed"},
        {"attempted": made.GOAL},
        {"desired": (Source(repository="r", path="", revision="newer"),)},
        {"desired": ()},
        {"running": keys.Running(by=made.ROBOT, ours=False, automated=True, phase="Running", says="", since=None, revision="x")},
    ],
    ids=["nothing live", "not well", "on its way", "a newer deploy failed", "a newer deploy was tried", "something newer is wanted", "nobody says", "running"],
)
async def test_where_something_newer_may_have_migrated_already_nothing_is_kept(snapshots: Snapshots, catalogs: CatalogStore, changes: dict[str, Any]) -> None:
    assert not await taken(snapshots, catalogs, **changes)


async def test_a_schema_that_is_being_changed_or_cannot_be_read_is_not_kept(stage: Stage, snapshots: Snapshots, catalogs: CatalogStore) -> None:
    stage.facts.tell(keys.catalog("orders"), Catalog(tables={}, busy="public.orders"))
    assert not await taken(snapshots, catalogs)
    stage.facts.tell(keys.catalog("orders"), made.ABSENT)
    assert not await taken(snapshots, catalogs)


async def test_it_is_read_once_for_a_release(stage: Stage, snapshots: Snapshots, catalogs: CatalogStore) -> None:
    await taken(snapshots, catalogs)
    stage.facts.tell(keys.catalog("orders"), made.ABSENT)
    assert await taken(snapshots, catalogs)


async def test_readiness_takes_it_for_the_databases_that_are_declared(
    stage: Stage, snapshots: Snapshots, catalogs: CatalogStore, statements: StatementStore
) -> None:
    stage.change(declares=replace(made.POLICY.declares, databases=("orders",)))
    live = replace(made.SUSPECT, key=release_key(made.SUSPECT.sources))
    stage.app.history[0], stage.app.health = live, "Healthy"
    stage.app.images[live.key] = made.NEW_IMAGE
    kept = ReadinessStore(stage.database)
    snapshots = Snapshots(catalogs=catalogs, statements=statements, gatherer=stage.gatherer, clock=stage.clock)
    await Readiness(examiner=stage.examiner, targets=stage.targets, kept=kept, clock=stage.clock, max_age=HOUR, snapshots=snapshots).round()
    assert await catalogs.has(TARGET, live.key, ("orders",)) == {"orders"}


async def test_the_store_answers_what_was_kept_and_says_when_nothing_was(stage: Stage, snapshots: Snapshots, catalogs: CatalogStore) -> None:
    own = OwnFacts(targets=stage.targets, holds=stage.holds, policies=stage.policies, freshness={}, clock=stage.clock, catalogs=catalogs)
    await taken(snapshots, catalogs)
    fact = await own.read(keys.catalog_then(TARGET, LIVE.key, "orders"))
    assert isinstance(fact, Known)
    assert (fact.value, fact.evidence.source) == (SCHEMA, "backout store")
    assert fact.evidence.what == "catalogue of orders, read 2026-05-04T14:03:00Z while the release lived"
    absent = await own.read(keys.catalog_then(TARGET, "key-1", "orders"))
    assert not isinstance(absent, Known)
    assert absent.why == "the schema of database orders was not read while that release lived"


# --- what it runs ---

BUSY = Catalog(tables={}, busy="public.orders is locked")
USES = "SELECT id FROM orders WHERE id = $1"


def runs(stage: Stage, calls: int, code: str | None = "") -> None:
    """The database counted so many, and preparing the statement says this; None where it cannot be prepared now."""
    stage.facts.tell(keys.statements("orders"), (Counted(id="7", calls=calls, text=USES),))
    key = keys.prepared("orders", SCHEMA.digest, Texts((USES,)))
    stage.facts.tell(key, made.ABSENT if code is None else (code,))


async def looked(stage: Stage, snapshots: Snapshots, statements: StatementStore, **changes: Any) -> OwnStatements | None:
    """One look at the target, a reading's time after the last one."""
    stage.clock.pass_(seconds=COUNTED_EVERY.total_seconds())
    await snapshots.take(made.state(**({"current": LIVE} | ALONE | changes)), ("orders",))
    return await statements.of(TARGET, LIVE.key, "orders")


async def test_what_a_release_runs_is_kept_as_it_is_seen(stage: Stage, snapshots: Snapshots, statements: StatementStore) -> None:
    runs(stage, 5)
    begun = await looked(stage, snapshots, statements)
    assert begun is not None
    assert begun.statements == ()
    runs(stage, 8)
    kept = await looked(stage, snapshots, statements)
    assert kept is not None
    assert kept.statements == (OwnStatement(text=USES, first=stage.clock.now(), last=stage.clock.now(), calls=3),)
    assert (kept.watched, kept.handle) == (COUNTED_EVERY, LIVE.handle)
    runs(stage, 9, code=None)  # what is kept is not prepared again
    later = await looked(stage, snapshots, statements)
    assert later is not None
    assert [one.calls for one in later.statements] == [4]


async def test_what_something_newer_may_have_run_is_not_kept(stage: Stage, snapshots: Snapshots, statements: StatementStore) -> None:
    runs(stage, 5)
    assert await looked(stage, snapshots, statements, attempted=made.GOAL) is None
    assert await looked(stage, snapshots, statements) is not None
    runs(stage, 8)
    back = await looked(stage, snapshots, statements, current=replace(LIVE, handle="another deploy"))
    assert back is not None
    assert (back.statements, back.handle) == ((), "another deploy")


async def test_a_statement_that_cannot_be_prepared_now_is_kept_later(stage: Stage, snapshots: Snapshots, statements: StatementStore) -> None:
    runs(stage, 5)
    begun = await looked(stage, snapshots, statements)
    for hidden in ("prepared", "catalogue", "busy"):
        runs(stage, 8, code=None if hidden == "prepared" else "")
        told: Any = {"catalogue": made.ABSENT, "busy": BUSY}.get(hidden, SCHEMA)
        stage.facts.tell(keys.catalog("orders"), told)
        stage.facts.tell(keys.prepared("orders", BUSY.digest, Texts((USES,))), ("42703",))  # half a migration says nothing
        assert await looked(stage, snapshots, statements) == begun
    stage.facts.tell(keys.catalog("orders"), SCHEMA)
    kept = await looked(stage, snapshots, statements)
    assert kept is not None
    assert [one.calls for one in kept.statements] == [3]


async def test_counts_are_read_at_their_own_pace_and_at_once_for_another_deploy(stage: Stage, snapshots: Snapshots, statements: StatementStore) -> None:
    runs(stage, 5)
    await looked(stage, snapshots, statements)
    runs(stage, 8)
    stage.clock.pass_(seconds=COUNTED_EVERY.total_seconds() / 2)
    await snapshots.take(made.state(**({"current": LIVE} | ALONE)), ("orders",))
    kept = await statements.of(TARGET, LIVE.key, "orders")
    assert kept is not None
    assert kept.statements == ()
    await snapshots.take(made.state(**({"current": replace(LIVE, handle="43")} | ALONE)), ("orders",))
    again = await statements.of(TARGET, LIVE.key, "orders")
    assert again is not None
    assert again.handle == "43"


async def test_the_store_answers_what_was_seen_to_run_and_says_when_nothing_was(stage: Stage, snapshots: Snapshots, statements: StatementStore) -> None:
    own = OwnFacts(targets=stage.targets, holds=stage.holds, policies=stage.policies, freshness={}, clock=stage.clock, statements=statements)
    key = keys.statements_then(TARGET, LIVE.key, "orders")
    for calls in (5, 8):
        absent = await own.read(key)
        assert not isinstance(absent, Known)
        assert (absent.why, "statements_of" in absent.clears) == ("no statement of database orders was counted while that release lived", True)
        runs(stage, calls)
        await looked(stage, snapshots, statements)
    fact = await own.read(key)
    assert isinstance(fact, Known)
    assert (fact.value, fact.evidence.digest) == (await statements.of(TARGET, LIVE.key, "orders"), fact.value.digest)
    assert fact.evidence.what == "1 statement of database orders, seen 2026-05-04T14:13:00Z to 2026-05-04T14:23:00Z while the release lived"
