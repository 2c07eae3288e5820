"""A store of its own for each test, on both databases; the engine's tables come with its launch."""

from collections.abc import AsyncIterator

import pytest

from service.store.database import Database
from tests.fakes import store


@pytest.fixture
async def database(store_url: str) -> AsyncIterator[Database]:
    opened = store.opened(store_url)
    yield opened
    await store.closed(opened)
