"""Stores for plays."""

import pytest

from tests.chaos.stores import SqliteStores
from tests.fakes import store


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> SqliteStores:
    return SqliteStores(store.migrated(tmp_path_factory.mktemp("store")))
