"""The look right before an act, and the fence around it: between the fence's word and the request nothing may be awaited that takes time."""

from collections.abc import Awaitable, Callable

from service.domain.ports import Fence


async def fenced(fence: Fence, look: Callable[[], Awaitable[None]]) -> None:
    """Look (it raises what forbids the act), and return with the fence's word newer than the look and the look newer than any waiting at the fence.

    A look that reads the store may take long, or the process may be frozen in it and wake when another one has taken its work over: so the fence comes
    last. What was looked at before the fence had to wait may not be so any more: then it is looked at again.
    """
    await fence()
    await look()
    while await fence():
        await look()
