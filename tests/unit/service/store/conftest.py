"""An empty store for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.store.database import Database
from service.store.operations import OperationStore
from tests.fakes import store
from tests.fakes.hand_over import FakeEngine


@pytest.fixture
async def database(store_url: str) -> AsyncIterator[Database]:
    """On both databases. SQLite without the driver's thread; what is about its locks and outages asks for the `real` one."""
    opened = store.opened(store_url, inline=True)
    yield opened
    await store.closed(opened)


@pytest.fixture
async def real(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """SQLite on the driver that production uses."""
    folder = tmp_path / "real"
    folder.mkdir()
    opened = store.copied(sqlite_template, folder)
    yield opened
    await store.closed(opened)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def operations(database: Database, engine: FakeEngine) -> OperationStore:
    return store.operations(database, engine)
