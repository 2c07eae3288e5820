"""Two real processes on one PostgreSQL: one is killed, frozen, sent away, or both lose the store. The other goes on; everything happens once."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from service.domain.ports import Message
from service.store.database import Database
from service.store.outbox import OutboxStore
from service.wiring.parts import SystemClock
from service.wiring.playground import Playground
from tests.postgres import Postgres

pytestmark = pytest.mark.timeout(900)

APP = "checkout"
DECLARED_DEAD = 70
GRACE = "6s"
"""Longer than a slow machine keeps a process from its beat, and waited for in each test."""
PATIENCE = 120.0
"""Seconds after which something that should have happened is given up; nothing is measured by it."""
LONG_GRACE = "5m"
MESSAGES = 40


class Ground:
    """The sandbox, the first replica, to which alerts go, and a second one beside it. What is asked of the service is asked of the second."""

    def __init__(self, folder: Path) -> None:
        self.playground = Playground(folder, SystemClock())
        self.folder = folder
        self.second = Playground(folder, SystemClock())  # for its address alone
        self._process: asyncio.subprocess.Process | None = None

    @property
    def world(self) -> Any:
        return self.playground.world

    @property
    def first_process(self) -> asyncio.subprocess.Process:
        process = self.playground._process  # noqa: SLF001  its own process is what the test kills
        assert process is not None
        return process

    async def start(self) -> None:
        await self.playground.start({APP: "v2.4.6"})
        environment = os.environ | {"BACKOUT_LISTEN": self.second._listen}  # noqa: SLF001  see above
        with (self.folder / "second.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "service", "serve", "--config", str(self.playground.config)), stdout=log, stderr=log, env=environment
            )
        await self.until(self.ready, "the second replica to be ready")

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            assert await asyncio.wait_for(self._process.wait(), PATIENCE) == 0
        await self.playground.stop()

    async def ready(self, url: str = "") -> bool:
        async with aiohttp.ClientSession() as session, session.get(f"{url or self.second.url}/readyz") as answer:
            return answer.status == 200

    async def burn(self) -> None:
        """A bad release, and the alert of it to the first replica."""
        shipped = await self.world.release(APP, "v2.5.0", errors=0.31)
        await self.world.until_live(APP, shipped)

    async def operation(self) -> Any:
        token = {"Authorization": f"Bearer {self.playground.token_file.read_text(encoding='utf-8').strip()}"}
        async with aiohttp.ClientSession(headers=token) as session, session.get(f"{self.second.url}/v1/operations") as answer:
            if answer.status != 200:
                return None
            found = (await answer.json())["operations"]
            assert len(found) <= 1
            return found[0] if found else None

    async def ended(self) -> Any:
        async def look() -> Any:
            found = await self.operation()
            return found if found and found["done_at"] else None

        return await self.until(look, "the end of the operation")

    async def until(self, check: Callable[[], Awaitable[Any]], what: str) -> Any:
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        found = await check()
                    except (aiohttp.ClientError, OSError):
                        found = None
                    if found:
                        return found
                    await asyncio.sleep(0.1)
        except TimeoutError:
            logs = [(self.folder / name).read_text(encoding="utf-8", errors="replace").splitlines()[-8:] for name in ("service.log", "second.log")]
            raise AssertionError(f"waited {PATIENCE:g} s for {what}: {logs}") from None

    async def application(self) -> Any:
        return await self.world.call("GET", f"/api/v1/applications/{APP}")

    async def auto_sync_stopped(self) -> bool:
        return (await self.application())["spec"]["syncPolicy"]["automated"].get("enabled") is False

    async def rollbacks(self) -> int:
        history = (await self.application())["status"]["history"]
        return sum(1 for entry in history if entry.get("initiatedBy", {}).get("username") == "backout")

    def logged(self, words: str) -> int:
        return sum((self.folder / name).read_text(encoding="utf-8", errors="replace").count(words) for name in ("service.log", "second.log"))

    def notified(self) -> Counter[str]:
        """Notifications by what is written in them."""
        return Counter(one.body["key"] for one in self.world.sink.received)


@pytest.fixture
async def ground(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AsyncIterator[Ground]:
    monkeypatch.setenv("BACKOUT_STORE", postgres_url)
    monkeypatch.setenv("BACKOUT_TAKEOVER_AFTER", getattr(request, "param", GRACE))
    one = Ground(tmp_path)
    try:
        await one.start()
        yield one
    finally:
        await one.stop()


async def test_promise_3_one_of_two_is_killed_in_the_middle_and_the_other_ends_the_story_with_one_effect(ground: Ground) -> None:
    good = await ground.world.live(APP)
    await ground.burn()
    await ground.until(ground.auto_sync_stopped, "auto-sync to be stopped")
    await ground.playground.kill()
    operation = await ground.ended()
    assert operation["outcome"] == "recovered"
    assert await ground.rollbacks() == 1
    assert await ground.world.live(APP) == good
    assert ground.logged("taking over the work of a process that is gone") == 1


async def test_promise_3_a_process_that_was_frozen_in_the_middle_does_nothing_more_when_it_wakes_and_ends_itself(ground: Ground) -> None:
    await ground.burn()
    await ground.until(ground.auto_sync_stopped, "auto-sync to be stopped")
    ground.first_process.send_signal(signal.SIGSTOP)
    operation = await ground.ended()
    ground.first_process.send_signal(signal.SIGCONT)
    assert await asyncio.wait_for(ground.first_process.wait(), PATIENCE) == DECLARED_DEAD
    assert operation["outcome"] == "recovered"
    assert await ground.rollbacks() == 1


@pytest.mark.parametrize("ground", [LONG_GRACE], indirect=True)
async def test_a_process_that_is_sent_away_in_the_middle_hands_over_at_once(ground: Ground) -> None:
    """Nobody could declare it dead within this test: what goes on was given away."""
    await ground.burn()
    await ground.until(ground.auto_sync_stopped, "auto-sync to be stopped")
    ground.first_process.terminate()
    assert await asyncio.wait_for(ground.first_process.wait(), PATIENCE) == 0
    operation = await ground.ended()
    assert operation["outcome"] == "recovered"
    assert await ground.rollbacks() == 1


async def test_promise_13_with_two_replicas_each_message_is_sent_once_and_in_order(ground: Ground, postgres_url: str) -> None:
    database = Database(postgres_url)
    outbox, now = OutboxStore(database), SystemClock().now()
    for number in range(MESSAGES):
        await outbox.send(Message(channel="notify:on-call", key=f"message/{number}", body={"key": f"message/{number}"}), now)

    async def all_sent() -> bool:
        return len(ground.notified()) >= MESSAGES

    await ground.until(all_sent, "the messages")
    await database.close()
    assert list(ground.notified()) == [f"message/{number}" for number in range(MESSAGES)]
    assert set(ground.notified().values()) == {1}


async def test_promise_3_both_lose_the_store_in_the_middle_and_go_on_when_it_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Postgres(durable=True) as server:
        monkeypatch.setenv("BACKOUT_STORE", server.create())
        monkeypatch.setenv("BACKOUT_TAKEOVER_AFTER", GRACE)
        ground = Ground(tmp_path)
        try:
            await ground.start()
            await ground.burn()
            await ground.until(ground.auto_sync_stopped, "auto-sync to be stopped")
            server.kill()

            async def neither_is_ready() -> bool:
                return not await ground.ready() and not await ground.ready(ground.playground.url)

            await ground.until(neither_is_ready, "both to say that they are not ready")
            await asyncio.sleep(13)  # an outage longer than the grace, twice over
            server.start()
            operation = await ground.ended()
            assert operation["outcome"] == "recovered"
            assert await ground.rollbacks() == 1
            assert ground.first_process.returncode is None
            assert ground.logged("it is retired") == 0
        finally:
            await ground.stop()
