"""Tests marked `real` run beside the lab's servers, or are skipped with the reason; never half."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.real.backout import Backout, OpenShop, Serve, policy, sink
from tests.real.between import Between, between
from tests.real.lab.client import Lab, LabClient, load_lab
from tests.real.shop import Shop


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


@pytest.fixture
async def open_shop(client: LabClient) -> AsyncIterator[OpenShop]:
    """Opens shops (of a `kind`, arguments as of its `open`) and closes them after the test."""
    shops: list[Shop] = []

    async def open_one(*, kind: type[Shop] = Shop, **wishes: Any) -> Shop:
        await client.until_up()
        shops.append(await kind.open(client, **wishes))
        return shops[-1]

    yield open_one
    for shop in shops:
        await shop.close()


@pytest.fixture
async def in_between(lab: Lab) -> AsyncIterator[Between]:
    """Stands between Backout and Argo CD; give Backout its `url`. Name it before `serve`, so that it ends after it."""
    async with between(lab.argocd_url) as stands:
        yield stands


@pytest.fixture
async def serve(lab: Lab, open_shop: OpenShop, tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts Backout for one shop, once it is open, and waits until it has watched it; stops it before the shop closes."""
    del open_shop  # only so that this one ends first
    started: list[Backout] = []

    async def serve_one(shop: Shop, mode: str = "suggest", *, account: str = "backout", delivery: dict[str, Any] | None = None, **wishes: Any) -> Backout:
        backout = Backout(lab, tmp_path, session, told).configure([shop], [policy(shop, mode, **wishes)], account=account, delivery=delivery)
        started.append(backout)
        await backout.start()
        await backout.until_watched(shop, shop.first_version)
        return backout

    async with sink() as told, aiohttp.ClientSession() as session:
        yield serve_one
        for backout in started:
            await backout.stop()
