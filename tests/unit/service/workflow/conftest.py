"""The stage that the workflow's tests play on: a real store, everything outside of it fake."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes import store
from tests.unit.service.workflow.stage import Stage


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store.migrated(tmp_path_factory.mktemp("store"))


@pytest.fixture
async def stage(template: Path, tmp_path: Path) -> AsyncIterator[Stage]:
    database = store.copied(template, tmp_path)
    made = Stage(database, tmp_path)
    await made.prepare()
    yield made
    await store.closed(database)
