"""The server under test: the sandbox in this process, or the real Argo CD of the lab that BACKOUT_LAB names."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from integrations.sandbox.argocd.server import SandboxArgoCD
from integrations.sandbox.argocd.settings import Timings
from tests.contract.argocd.hands import RealHands, SandboxHands
from tests.contract.argocd.images import RealImages, SandboxImages
from tests.contract.argocd.logs import RealLogs, SandboxLogs
from tests.contract.argocd.outages import RealOutages, SandboxOutages
from tests.contract.argocd.server import ArgoCDServer
from tests.real.lab.client import LabClient, load_lab
from tests.unhurried import follow_the_wall, unhurried

_REAL = pytest.param("real", marks=pytest.mark.real)


_BEGINS = datetime(2026, 5, 4, 14, 0, tzinfo=UTC)


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return unhurried()


def _loop_time() -> datetime:
    return _BEGINS + timedelta(seconds=asyncio.get_running_loop().time())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "contract/argocd" in item.nodeid and item.get_closest_marker("real") and not os.environ.get("BACKOUT_LAB"):
            item.add_marker(pytest.mark.skip(reason="needs the real servers: make test-real"))


@pytest.fixture(params=["sandbox", _REAL])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ArgoCDServer]:
    if request.param == "real":
        follow_the_wall()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        if request.param == "real":
            lab = load_lab()
            assert lab is not None, "the mark `real` skips this without a lab"
            async with LabClient(lab) as client:
                real = ArgoCDServer(
                    kind="real",
                    url=lab.argocd_url,
                    tokens=lab.tokens,
                    git_root=lab.git_root,
                    session=session,
                    outages=RealOutages(client),
                    hands=RealHands(client),
                    images=RealImages(client),
                    logs=RealLogs(client, tmp_path),
                    lab_work=lab.work,
                )
                yield real
                for name in real.apps:
                    await real.call("DELETE", f"/api/v1/applications/{name}", by="admin")
            return
        images = SandboxImages()
        sandbox = SandboxArgoCD(clock=_loop_time, timings=Timings.fast(), images=images.digest_of)
        url = await sandbox.start()
        every = "*/*, allow"
        reader = [f"p, {{}}, applications, get, {every}", "p, {}, projects, get, *, allow", f"p, {{}}, applicationsets, get, {every}"]
        backout = [*reader, f"p, {{}}, applications, sync, {every}", f"p, {{}}, applications, update, {every}"]
        backout += [f"p, {{}}, applications, action/argoproj.io/Rollout/{action}, {every}" for action in ("abort", "promote-full")]
        tokens = {"admin": sandbox.admin_token()}
        for name, lines in (("backout", backout), ("reader", reader), ("human", ["g, {}, role:admin"])):
            tokens[name] = sandbox.add_account(name, [line.format(name) for line in lines])
        outages, hands = SandboxOutages(sandbox), SandboxHands(sandbox)
        yield ArgoCDServer(
            kind="sandbox",
            url=url,
            tokens=tokens,
            git_root=tmp_path,
            session=session,
            outages=outages,
            hands=hands,
            images=images,
            logs=SandboxLogs(sandbox),
            now=_loop_time,
        )
        await session.close()
        await sandbox.stop()
