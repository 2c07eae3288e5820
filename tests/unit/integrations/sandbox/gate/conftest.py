"""A sandbox Spinnaker on the unhurried loop, and the contract suite's driver to speak with it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from tests.contract.spinnaker.driver import Spinnaker, sandboxed
from tests.unhurried import unhurried


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return unhurried()


@pytest.fixture
async def sandbox() -> AsyncIterator[Spinnaker]:
    async with sandboxed() as one:
        yield one
