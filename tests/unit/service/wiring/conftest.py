"""Settings of a service on its own, a small production for it to look at, and the service as a process."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from integrations.sandbox.ports import spare_port
from integrations.sandbox.world import World
from service.api.tokens import new_key
from service.settings import Settings, load
from service.wiring.parts import SystemClock, kinds

PATIENCE = 60
"""Seconds after which something that should have happened is given up; nothing is measured by it."""


def private(file: Path, text: str) -> Path:
    """A file that only its owner reads."""
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture
def alone(tmp_path: Path) -> Callable[..., Path]:
    """Writes settings of a service that speaks to nobody; changes win."""
    private(tmp_path / "keys.json", json.dumps({"keys": [new_key()]}))

    def write(**changes: Any) -> Path:
        document = {
            "listen": f"127.0.0.1:{spare_port()}",
            "store": f"sqlite:///{tmp_path / 'backout.db'}",
            "auth": {"keys_file": str(tmp_path / "keys.json")},
            **changes,
        }
        file = tmp_path / "backout.yaml"
        file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return file

    return write


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A small production with one shop; its folder holds everything that its settings name."""
    made = World(folder=tmp_path / "world", clock=SystemClock(), webhook="http://127.0.0.1:1/v1/alerts/alertmanager", fast=True)
    await made.start()
    private(made.folder / "keys.json", json.dumps({"keys": [new_key()]}))
    try:
        await made.add_shop("checkout", "v1")
        yield made
    finally:
        await made.stop()


def settings_of(world: World, **extra: Any) -> Settings:
    return load(world.settings(listen=f"127.0.0.1:{spare_port()}", extra=extra), kinds())


class Process:
    """`backout serve` as a process of its own; what it prints is in `log`."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.url = "http://" + yaml.safe_load(config.read_text(encoding="utf-8"))["listen"]
        self.log = config.with_suffix(f".{os.urandom(4).hex()}.log")
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "service", "serve", "--config", str(self.config), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )

    async def code(self) -> int:
        """The exit code, when it has ended."""
        assert self._process is not None
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def end(self) -> None:
        """However the test went, nothing stays behind."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def events(self) -> list[Mapping[str, Any]]:
        """The log's lines as JSON."""
        return [json.loads(line) for line in self.text().splitlines()]

    async def get(self, session: aiohttp.ClientSession, path: str) -> tuple[int, str]:
        """Status 0 = nobody answers."""
        try:
            async with session.get(self.url + path) as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientError:
            return 0, ""

    async def answers(self, session: aiohttp.ClientSession, path: str, status: int) -> str:
        """Wait until the path is answered with that status; the text of it."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found, text = await self.get(session, path)
                if found == status:
                    return text
                assert self._process is not None
                assert self._process.returncode is None, self.text()
                await asyncio.sleep(0.02)


@asynccontextmanager
async def process(config: Path) -> AsyncIterator[Process]:
    one = Process(config)
    await one.start()
    try:
        yield one
    finally:
        await one.end()
