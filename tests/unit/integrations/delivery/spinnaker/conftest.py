from collections.abc import AsyncIterator

import pytest

from tests.unit.integrations.delivery.spinnaker.stage import Stage, opened


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with opened() as made:
        yield made
