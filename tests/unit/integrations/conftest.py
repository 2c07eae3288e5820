"""Everything that acts in these tests lives on one event loop: its time passes only while all wait."""

import asyncio
from collections.abc import Callable, Mapping

from tests.unhurried import unhurried


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return unhurried()
