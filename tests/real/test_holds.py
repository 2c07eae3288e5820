"""The hold on real servers: what keeps the bad release away, what ends it, and what does not."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tests.real.backout import Backout, OpenShop, Serve
from tests.real.lab.client import until
from tests.real.shop import Shipped, Shop
from tests.real.test_stories import AUTOMATED, QUICK, automated, marker, told

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]


async def rolled_back(backout: Backout, shop: Shop, version: str = "1.1") -> tuple[Shipped, Mapping[str, Any]]:
    """A bad release went live and was rolled back by its alert; with the hold that stands since."""
    bad = await shop.release(version, errors=0.31)
    operation = await backout.until_ended(shop)
    assert operation["outcome"] == "recovered", operation["says"]
    (hold,) = await backout.holds(shop)
    return bad, hold


async def forward(backout: Backout, shop: Shop, *, ended: bool = True, seconds: float = 75) -> Mapping[str, Any]:
    """The shop's newest operation that goes forward, once it has ended (or waits for a person)."""

    async def there() -> Mapping[str, Any] | None:
        found = await backout.operation(shop)
        if found is None or found["kind"] != "forward":
            return None
        return found if (found["done_at"] if ended else found["phase"] == "awaiting_approval") else None

    try:
        operation = await until(there, seconds, what=f"{shop.name} to go forward", every=0.1)
    except TimeoutError as error:
        found = await backout.operation(shop)
        raise TimeoutError(f"{error}\n{await backout.holds(shop)}\n{await backout.events(found)}\n{backout.tail()}") from error
    assert operation is not None
    return operation


async def test_a_fix_is_deployed_under_the_hold_and_ends_it_with_auto_sync_as_it_was(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop()
    backout = await serve(shop, "auto", delivery=QUICK)
    good = await shop.running()
    _, hold = await rolled_back(backout, shop)

    await shop.config.commit({"README.md": "How we deploy.\n"}, "describe")
    await shop.application(refresh="normal")
    await asyncio.sleep(4)
    assert await shop.running() == good
    assert [one["kind"] for one in await backout.operations(shop)] == ["rollback"]
    assert (await told(backout, shop, "hold_still_bad"))["hold"] == hold["id"]

    fix = await shop.ship("1.2")
    operation = await forward(backout, shop)

    assert operation["outcome"] == "recovered", operation["says"]
    assert await shop.running() == {fix.image}
    app = await shop.application()
    assert (automated(app), marker(app)) == (AUTOMATED, "")
    assert (await shop.history())[-1][1:] == (fix.config, "backout")
    assert await backout.holds(shop) == []
    (ended,) = await backout.holds(shop, "ended")
    assert (ended["id"], ended["ended_by"]) == (hold["id"], "forward")
