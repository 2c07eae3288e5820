from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.integrations.delivery.argocd.stage import Stage, opened


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with opened(tmp_path) as made:
        yield made
