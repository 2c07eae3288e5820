"""A store of its own for each test; the engine's tables come with its launch."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.store.database import Database
from tests.fakes import store


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store.migrated(tmp_path_factory.mktemp("store"))


@pytest.fixture
async def database(template: Path, tmp_path: Path) -> AsyncIterator[Database]:
    opened = store.copied(template, tmp_path)
    yield opened
    await store.closed(opened)
