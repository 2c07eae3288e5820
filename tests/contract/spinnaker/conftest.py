"""All that acts lives on this loop, the sandbox included: its time passes only while everybody waits."""

import asyncio
from collections.abc import Callable, Mapping

from tests.unhurried import unhurried


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return unhurried()
