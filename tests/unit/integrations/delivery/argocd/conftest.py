from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.integrations.delivery.argocd.stage import Stage, opened
from tests.unit.integrations.delivery.argocd.steps.bound import APPLIES
from tests.unit.integrations.delivery.argocd.steps.carrying_out import AUTO


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with opened(tmp_path) as made:
        yield made


@pytest.fixture
async def plain(stage: Stage) -> Stage:
    """`web` is not auto-synced; release 1 is live."""
    await stage.two_releases("web")
    return stage


@pytest.fixture
async def auto(stage: Stage) -> Stage:
    """`web` is auto-synced; release 1 is live."""
    await stage.two_releases("web", automated=AUTO)
    return stage


@pytest.fixture
async def bound(stage: Stage) -> Stage:
    """`web` is auto-synced, and its owner would start a stopped auto-sync again but leaves the revision alone; release 1 is live."""
    await stage.two_releases("web", automated=AUTO)
    stage.sandbox.apply_by_kubernetes("web", APPLIES, by="Terraform")
    return stage
