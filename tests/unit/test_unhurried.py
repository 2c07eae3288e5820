import asyncio
import threading
import time
from collections.abc import Callable, Mapping

import pytest

from tests.unhurried import UnhurriedLoop, follow_the_wall, unhurried


def run(work: Callable[[], object]) -> None:
    """Run an async function on such a loop."""
    with asyncio.Runner(loop_factory=UnhurriedLoop) as runner:
        runner.run(work())  # type: ignore[arg-type]  # an async function


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_wait_takes_exactly_as_long_as_it_says() -> None:
    async def work() -> None:
        await asyncio.sleep(3600)
        assert now() == 3600.0

    run(work)


def test_work_takes_no_time_however_slow_the_machine_is() -> None:
    async def work() -> None:
        before = now()
        time.sleep(0.05)  # noqa: ASYNC251  the slow machine
        await asyncio.sleep(0)
        assert now() == before

    run(work)


def test_what_is_due_later_happens_after_all_that_was_due_before_and_what_that_led_to() -> None:
    async def work() -> None:
        happened: list[str] = []

        async def chain() -> None:
            await asyncio.sleep(0.01)
            for step in range(50):
                time.sleep(0.001)  # noqa: ASYNC251  together longer than the other one's wait
                await asyncio.sleep(0)
                happened.append(f"step {step}")

        async def other() -> None:
            await asyncio.sleep(0.02)
            happened.append("other")

        await asyncio.gather(other(), chain())
        assert happened[-1] == "other"

    run(work)


def test_an_exchange_over_loopback_takes_no_time_and_a_server_that_waits_takes_as_long_as_it_waits() -> None:
    async def work() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while asked := await reader.readline():
                await asyncio.sleep(float(asked))
                writer.write(b"done\n")
                await writer.drain()
            writer.close()
            await writer.wait_closed()
            ended.set()

        ended = asyncio.Event()
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for seconds in (0.0, 0.0, 1.5, 0.0):
            before = now()
            writer.write(f"{seconds}\n".encode())
            async with asyncio.timeout(seconds + 0.001):
                assert await reader.readline() == b"done\n"
            assert now() - before == pytest.approx(seconds)
        writer.close()
        await writer.wait_closed()
        await ended.wait()
        server.close()
        await server.wait_closed()

    run(work)


def test_time_stands_still_while_a_thread_of_the_loop_works() -> None:
    async def work() -> None:
        go_on = threading.Event()
        threading.Timer(0.05, go_on.set).start()
        before = now()
        async with asyncio.timeout(0.01):
            await asyncio.to_thread(go_on.wait)
        assert now() == before
        await asyncio.sleep(1)
        assert now() == before + 1

    run(work)


def test_a_timer_that_was_cancelled_moves_nothing() -> None:
    async def work() -> None:
        asyncio.get_running_loop().call_later(5, lambda: None).cancel()
        await asyncio.sleep(10)
        assert now() == 10.0

    run(work)


def test_it_can_be_told_to_follow_the_wall() -> None:
    async def work() -> None:
        await asyncio.sleep(1000)
        follow_the_wall()
        before, wall = now(), time.monotonic()
        assert before >= 1000
        await asyncio.sleep(0.02)
        assert time.monotonic() - wall >= 0.02
        assert now() - before >= 0.02

    run(work)


def test_an_ordinary_loop_is_not_silently_taken_for_one() -> None:
    async def work() -> None:
        with pytest.raises(AssertionError):
            follow_the_wall()

    asyncio.run(work())


def test_a_folder_takes_it_by_a_hook() -> None:
    found: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = unhurried()
    assert found == {"unhurried": UnhurriedLoop}
