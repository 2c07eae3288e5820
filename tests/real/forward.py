"""What several stories wait for: the operation that goes forward under a hold."""

from collections.abc import Mapping
from typing import Any

from tests.real.backout import Backout
from tests.real.lab.client import until
from tests.real.shop import Shop


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
