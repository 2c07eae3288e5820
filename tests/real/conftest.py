"""Tests marked `real` run beside the lab's servers, or are skipped with the reason; never half."""

import os
from collections.abc import AsyncIterator

import pytest

from tests.real.lab.client import Lab, LabClient, load_lab


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("BACKOUT_LAB"):
        return
    skip = pytest.mark.skip(reason="needs the real servers: make test-real")
    for item in items:
        if item.get_closest_marker("real"):
            item.add_marker(skip)


@pytest.fixture
def lab() -> Lab:
    found = load_lab()
    assert found is not None, "mark the test with `real`"
    return found


@pytest.fixture
async def client(lab: Lab) -> AsyncIterator[LabClient]:
    async with LabClient(lab) as client:
        yield client
