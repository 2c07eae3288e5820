"""The stage that the workflow's tests play on: a real store, everything outside of it fake."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.fakes import store
from tests.unit.service.workflow.stage import Stage


@pytest.fixture
async def stage(store_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    database = store.opened(store_url, inline=True)
    made = Stage(database, tmp_path)
    await made.prepare()
    yield made
    await store.closed(database)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Logs are not what is looked at here, and rendering them takes longer than the story."""
    with capture_logs():
        yield
