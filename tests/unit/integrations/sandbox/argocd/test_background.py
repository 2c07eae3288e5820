import asyncio

import pytest

from integrations.sandbox.argocd.background import Background


async def test_stop_ends_what_runs_and_waits_for_it() -> None:
    background, ended = Background(), []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("forever")

    background.start(forever()).get_name()
    await asyncio.sleep(0)
    await background.stop()

    assert ended == ["forever"]


async def test_the_first_failure_is_raised_at_the_end() -> None:
    background = Background()

    async def broken() -> None:
        raise ZeroDivisionError

    await asyncio.wait([background.start(broken())])

    with pytest.raises(ZeroDivisionError):
        await background.stop()
    await background.stop()


async def test_a_timer_fires_unless_stopped_before() -> None:
    background, fired = Background(), asyncio.Event()
    background.later(0, fired.set)
    await asyncio.wait_for(fired.wait(), 1)

    late = asyncio.Event()
    background.later(0.01, late.set)
    await background.stop()
    await asyncio.sleep(0.03)

    assert not late.is_set()
