"""All that acts here lives on one loop."""

import asyncio
from collections.abc import Callable, Mapping

from tests.unhurried import unhurried


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return unhurried()
