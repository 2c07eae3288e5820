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
    """Without the driver's thread; what is about locks and outages asks for the `real` one."""
    opened = store.copied(template, tmp_path, inline=True)
    yield opened
    await store.closed(opened)


@pytest.fixture
async def real(template: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """On the driver that production uses."""
    folder = tmp_path / "real"
    folder.mkdir()
    opened = store.copied(template, folder)
    yield opened
    await store.closed(opened)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def operations(database: Database, engine: FakeEngine) -> OperationStore:
    return store.operations(database, engine)
