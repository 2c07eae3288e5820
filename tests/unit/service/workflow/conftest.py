"""The stage that the workflow's tests play on: a real store, everything outside of it fake."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.fakes import store
from tests.unit.service.workflow.stage import Stage


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store.migrated(tmp_path_factory.mktemp("store"))


@pytest.fixture
async def stage(template: Path, tmp_path: Path) -> AsyncIterator[Stage]:
    database = store.copied(template, tmp_path, inline=True)
    made = Stage(database, tmp_path)
    await made.prepare()
    yield made
    await store.closed(database)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Logs are not what is looked at here, and rendering them takes longer than the story."""
    with capture_logs():
        yield
