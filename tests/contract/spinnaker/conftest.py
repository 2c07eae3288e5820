"""The Spinnaker under test: the sandbox in this process, and the real Gate that BACKOUT_GATE_URL names."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping

import aiohttp
import pytest

from integrations.sandbox.gate.settings import Profile
from tests.contract.spinnaker.driver import APP, Spinnaker, real_gate, sandboxed
from tests.unhurried import follow_the_wall, unhurried


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return unhurried()


@pytest.fixture(params=["redis", "sql", "real"])
async def spinnaker(request: pytest.FixtureRequest) -> AsyncIterator[Spinnaker]:
    """A sandbox with either store, and the real one where there is one."""
    if request.param != "real":
        async with sandboxed(Profile(sql=request.param == "sql")) as one:
            yield one
        return
    url = real_gate()
    if not url:
        pytest.skip("needs a real Gate: BACKOUT_GATE_URL=https://gate.example make test-contract (tests/contract/spinnaker/driver.py says what it may do)")
    follow_the_wall()
    token = os.environ.get("BACKOUT_GATE_TOKEN", "")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=150)) as session:
        headers = {"Accept": "application/json", **({"X-Spinnaker-Token": token} if token else {})}
        real = Spinnaker(url=url, app=os.environ.get("BACKOUT_GATE_APP", APP), session=session, headers=headers)
        yield real
        await real.clean_up()


@pytest.fixture
async def sandbox() -> AsyncIterator[Spinnaker]:
    """The sandbox alone, for what cannot be done to a real one."""
    async with sandboxed() as one:
        yield one
