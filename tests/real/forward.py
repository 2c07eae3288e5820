"""What several stories wait for: the operation that goes forward under a hold."""

from collections.abc import Mapping
from typing import Any

from tests.real.backout import Backout
from tests.real.shop import Shop


async def forward(backout: Backout, shop: Shop, *, ended: bool = True) -> Mapping[str, Any]:
    """The shop's first operation that goes forward, once it has ended (or waits for a person)."""
    found: Mapping[str, Any] = await (backout.until_ended if ended else backout.until_waiting)(shop, "forward")
    return found
