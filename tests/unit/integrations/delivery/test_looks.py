import asyncio

import pytest

from integrations import pacing
from integrations.delivery.looks import Looks
from service.domain.errors import PermanentError, TemporaryError
from tests.fakes.clock import FakeClock


class Server:
    """Answers how often it was asked, when it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.free = asyncio.Event()
        self.free.set()
        self.begun = asyncio.Event()

    async def get(self, about: str) -> int:
        self.asked.append(about)
        self.begun.set()
        now = len(self.asked)
        await self.free.wait()
        if self.error is not None:
            raise self.error
        return now


async def test_all_who_ask_in_one_turn_share_one_read_and_another_thing_is_another_read() -> None:
    server = Server()
    looks = Looks(server.get)
    assert list(await asyncio.gather(looks.look("web"), looks.look("web"), looks.look("api"))) == [1, 1, 2]
    assert server.asked == ["web", "api"]


async def test_promise_4_who_asks_once_a_read_has_begun_gets_one_of_its_own() -> None:
    server = Server()
    server.free.clear()
    looks = Looks(server.get)
    first = asyncio.ensure_future(looks.look("web"))
    await server.begun.wait()
    server.begun.clear()
    second = asyncio.ensure_future(looks.look("web"))
    await server.begun.wait()
    server.free.set()
    assert (await first, await second) == (1, 2)


async def test_who_is_in_a_hurry_does_not_wait_for_one_that_waits_for_its_turn() -> None:
    server = Server()
    looks = Looks(server.get)

    async def unhurried() -> int:
        pacing.PACE.set(pacing.Pace(1, FakeClock()))
        return await looks.look("web")

    assert sorted(await asyncio.gather(asyncio.ensure_future(unhurried()), looks.look("web"))) == [1, 2]


async def test_promise_1_a_read_that_fails_fails_for_all_who_share_it_and_the_next_one_is_asked_anew() -> None:
    server = Server()
    server.error = PermanentError("no")
    looks = Looks(server.get)
    found = await asyncio.gather(looks.look("web"), looks.look("web"), return_exceptions=True)
    assert [str(one) for one in found] == ["no", "no"]
    server.error = None
    assert await looks.look("web") == 2


async def test_who_shares_a_read_that_its_owner_gave_up_is_told_to_ask_again() -> None:
    server = Server()
    server.free.clear()
    looks = Looks(server.get)
    owner, other = asyncio.ensure_future(looks.look("web")), asyncio.ensure_future(looks.look("web"))
    await server.begun.wait()
    owner.cancel()
    with pytest.raises(TemporaryError, match="the read of web was ended"):
        await other
    with pytest.raises(asyncio.CancelledError):
        await owner


async def test_one_who_only_shared_it_may_give_up_without_ending_it() -> None:
    server = Server()
    server.free.clear()
    looks = Looks(server.get)
    owner, other = asyncio.ensure_future(looks.look("web")), asyncio.ensure_future(looks.look("web"))
    await server.begun.wait()
    other.cancel()
    server.free.set()
    assert await owner == 1


async def test_while_a_read_waits_for_room_others_join_it_and_none_that_has_begun() -> None:
    server = Server()
    room = asyncio.Event()

    async def waits() -> None:
        await room.wait()

    looks = Looks(server.get, room=waits)
    asking = [asyncio.ensure_future(looks.look("web"))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.append(asyncio.ensure_future(looks.look("web")))
    await asyncio.sleep(0)
    assert server.asked == []
    room.set()
    assert list(await asyncio.gather(*asking)) == [1, 1]
