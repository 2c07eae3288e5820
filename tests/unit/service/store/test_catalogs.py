from datetime import timedelta

import pytest

from service.domain.catalog import Catalog, CatalogColumn, CatalogTable
from service.store.catalogs import CatalogStore
from service.store.database import Database
from tests.unit.service.domain import made

ONE = Catalog(
    tables={"public.orders": CatalogTable(columns={"id": CatalogColumn(type="bigint", required=True, given=True)}, unique=frozenset({"PRIMARY KEY (id)"}))},
    enums={"public.state": ("new", "paid")},
    functions=frozenset({"public.tax(integer)"}),
)
OTHER = Catalog(tables={})


@pytest.fixture
def catalogs(database: Database) -> CatalogStore:
    return CatalogStore(database)


async def test_a_catalogue_comes_back_as_it_was(catalogs: CatalogStore) -> None:
    await catalogs.keep(made.TARGET, "key-41", "orders", ONE, made.NOW)
    kept = await catalogs.of(made.TARGET, "key-41", "orders")
    assert kept is not None
    assert (kept.catalog, kept.at) == (ONE, made.NOW)
    assert kept.digest.startswith("sha256:")


async def test_what_was_kept_first_stays_for_it_is_nearest_to_the_beginning(catalogs: CatalogStore) -> None:
    await catalogs.keep(made.TARGET, "key-41", "orders", ONE, made.NOW)
    await catalogs.keep(made.TARGET, "key-41", "orders", OTHER, made.NOW + timedelta(hours=1))
    kept = await catalogs.of(made.TARGET, "key-41", "orders")
    assert kept is not None
    assert kept.catalog == ONE


async def test_each_release_and_each_database_has_its_own(catalogs: CatalogStore) -> None:
    await catalogs.keep(made.TARGET, "key-41", "orders", ONE, made.NOW)
    await catalogs.keep(made.TARGET, "key-42", "orders", ONE, made.NOW)
    assert await catalogs.has(made.TARGET, "key-41", ("orders", "events")) == {"orders"}
    assert await catalogs.of(made.TARGET, "key-41", "events") is None
    assert await catalogs.of(made.TARGET, "key-43", "orders") is None
