"""A running sandbox with a turnable clock, and the contract suite's driver to speak with it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from integrations.sandbox.argocd.server import SandboxArgoCD
from integrations.sandbox.argocd.settings import Timings
from tests.contract.argocd.hands import SandboxHands
from tests.contract.argocd.outages import SandboxOutages
from tests.contract.argocd.server import ArgoCDServer


@dataclass
class TurnableClock:
    now: datetime = field(default_factory=lambda: datetime(2026, 3, 4, 12, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def clock() -> TurnableClock:
    return TurnableClock()


@pytest.fixture
async def sandbox(clock: TurnableClock) -> AsyncIterator[SandboxArgoCD]:
    sandbox = SandboxArgoCD(clock=clock, timings=Timings.fast(), admin_password="sesame")
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


@pytest.fixture
async def server(sandbox: SandboxArgoCD, tmp_path: Path) -> AsyncIterator[ArgoCDServer]:
    tokens = {"admin": sandbox.admin_token()} | {name: sandbox.add_account(name, [f"g, {name}, role:admin"]) for name in ("human", "backout")}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield ArgoCDServer(
            kind="sandbox", url=sandbox.url, tokens=tokens, git_root=tmp_path, session=session, outages=SandboxOutages(sandbox), hands=SandboxHands(sandbox)
        )
