from dataclasses import replace
from typing import Any

import pytest

from service.domain import keys
from service.domain.catalog import Catalog, CatalogColumn, CatalogTable
from service.domain.facts import Known
from service.domain.model import Source, release_key
from service.store.catalogs import CatalogStore
from service.store.readiness import ReadinessStore
from service.workflow.own_facts import OwnFacts
from service.workflow.readiness import Readiness
from service.workflow.snapshots import Snapshots
from tests.unit.service.domain import made
from tests.unit.service.workflow.stage import TARGET, Stage
from tests.unit.service.workflow.test_readiness import HOUR

SCHEMA = Catalog(tables={"public.orders": CatalogTable(columns={"id": CatalogColumn(type="bigint")})})
ALONE: dict[str, Any] = {"health": "Healthy", "desired": made.SUSPECT.sources}
LIVE = replace(made.SUSPECT, key=release_key(made.SUSPECT.sources))


@pytest.fixture
def catalogs(stage: Stage) -> CatalogStore:
    stage.facts.tell(keys.catalog("orders"), SCHEMA)
    stage.use(stage.policies.of(TARGET))  # the gatherer looks once for what kinds there are
    return CatalogStore(stage.database)


@pytest.fixture
def snapshots(stage: Stage, catalogs: CatalogStore) -> Snapshots:
    return Snapshots(catalogs=catalogs, gatherer=stage.gatherer, clock=stage.clock)


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


async def test_readiness_takes_it_for_the_databases_that_are_declared(stage: Stage, snapshots: Snapshots, catalogs: CatalogStore) -> None:
    stage.change(declares=replace(made.POLICY.declares, databases=("orders",)))
    live = replace(made.SUSPECT, key=release_key(made.SUSPECT.sources))
    stage.app.history[0], stage.app.health = live, "Healthy"
    stage.app.images[live.key] = made.NEW_IMAGE
    kept = ReadinessStore(stage.database)
    snapshots = Snapshots(catalogs=catalogs, gatherer=stage.gatherer, clock=stage.clock)
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
