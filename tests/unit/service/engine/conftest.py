"""The engine's tests live on one event loop. They read no logs, and rendering tracebacks takes longer than the tests."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
from structlog.testing import capture_logs

from tests.unhurried import unhurried


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return unhurried()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield
