"""An empty store for each test, and one shared template."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.store.database import Database
from service.store.operations import OperationStore
from tests.fakes import store
from tests.fakes.hand_over import FakeEngine


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store.migrated(tmp_path_factory.mktemp("store"))


@pytest.fixture
async def database(template: Path, tmp_path: Path) -> AsyncIterator[Database]:
    opened = store.copied(template, tmp_path)
    yield opened
    await store.closed(opened)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def operations(database: Database, engine: FakeEngine) -> OperationStore:
    return store.operations(database, engine)
