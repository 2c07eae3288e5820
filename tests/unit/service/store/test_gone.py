from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain.catalog import Catalog
from service.domain.model import TargetId
from service.domain.own_statements import OwnStatements
from service.domain.ports import ListedTarget, Listing
from service.store.catalogs import CatalogStore
from service.store.database import Database
from service.store.statements import StatementStore
from service.store.targets import TargetStore
from tests.unit.service.domain import made

HERE, GONE, LATELY = (TargetId("prod", name) for name in ("here", "gone", "lately"))
DAY = timedelta(days=1)

Keep = Callable[[TargetId], Awaitable[None]]


def catalogs(database: Database) -> tuple[CatalogStore, Keep]:
    store = CatalogStore(database)
    return store, lambda target: store.keep(target, "key-41", "orders", Catalog(tables={}), made.NOW)


def statements(database: Database) -> tuple[StatementStore, Keep]:
    store = StatementStore(database)
    seen = OwnStatements(since=made.NOW, at=made.NOW, handle="41", watched=DAY, statements=(), left_out=frozenset(), counts={})
    return store, lambda target: store.keep(target, "key-41", "orders", seen)


@pytest.mark.parametrize("kind", [catalogs, statements])
async def test_what_was_kept_for_targets_goes_a_while_after_them(
    database: Database, kind: Callable[[Database], tuple[CatalogStore | StatementStore, Keep]]
) -> None:
    store, keep = kind(database)
    targets = TargetStore(database)
    for one in (HERE, GONE, LATELY):
        await keep(one)
    shown = ListedTarget(target=HERE, stamp="1", project="shop", namespace="shop", health="Healthy", desired_revision="abc", objects=())
    await targets.remember(Listing(targets=(shown,), complete=True), "prod", made.NOW)
    await targets.remember_state_record(replace(made.record(made.GOAL, made.OLD_IMAGE), target=LATELY, watched_until=made.NOW + 30 * DAY))

    async def left() -> list[str]:
        return [one.name for one in (HERE, GONE, LATELY) if await store.of(one, "key-41", "orders") is not None]

    await store.forget(made.NOW - DAY)
    assert await left() == ["here", "gone", "lately"]
    await store.forget(made.NOW + 29 * DAY)
    assert await left() == ["here", "lately"]
    await store.forget(made.NOW + 31 * DAY)
    assert await left() == ["here"]
