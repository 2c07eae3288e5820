"""A playground for `backout demo`: the sandbox world, and the real service as a process of its own that is pointed at it by ordinary settings."""

import asyncio
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp

from integrations.sandbox.ports import spare_port
from integrations.sandbox.world import ARGOCD, World
from service.api.tokens import create_token, new_key
from service.domain.errors import TemporaryError
from service.domain.ports import Clock

SCOPES = ("targets:read", "operations:read", "plans:write", "operations:create", "operations:approve", "operations:cancel", "holds:end", "stop:write")

PATIENCE = 120.0
"""Seconds after which something that should have happened is given up: generous, for a service that ended is noticed at once."""


class Playground:
    """Start it, play, stop it. `folder` holds everything: store, settings, token (0600), log; `sides` are the delivery systems, as `World` has them."""

    def __init__(self, folder: Path, clock: Clock, *, sides: Sequence[str] = (ARGOCD,)) -> None:
        self.folder = folder
        self._clock = clock
        port = spare_port()
        self.url = f"http://127.0.0.1:{port}"
        self.world = World(folder=folder, clock=clock, webhook=f"{self.url}/v1/alerts/alertmanager", sides=sides)
        self.config = folder / "backout.yaml"
        self.token_file = folder / "token"
        self._token = ""
        self._listen = f"127.0.0.1:{port}"
        self._shops = 0
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None

    async def start(self, shops: Mapping[str, str], modes: Mapping[str, str] | None = None, on: Mapping[str, str] | None = None) -> None:
        """Start the world with these shops (name -> version), then the service; answers when it is ready and watches every shop.

        `modes` is shop -> mode, auto where it does not say; `on` is shop -> side, the first where it does not say.
        """
        self._shops = len(shops)
        await self.world.start()
        for app, version in shops.items():
            await self.world.add_shop(app, version, on=(on or {}).get(app, ""))
        keys = self.folder / "keys.json"
        document = {"keys": [new_key()]}
        keys.touch(mode=0o600)
        keys.write_text(json.dumps(document), encoding="utf-8")
        lives, now = timedelta(hours=12), self._clock.now()
        self._token = create_token(document, subject="demo", scopes=SCOPES, targets=("*",), expires=lives, now=now)
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(self._token + "\n", encoding="utf-8")
        self.config = self.world.settings(listen=self._listen, modes=modes)
        self._session = aiohttp.ClientSession()
        await self.serve()

    async def serve(self) -> None:
        """Start the service process and wait until it is ready."""
        with (self.folder / "service.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "service", "serve", "--config", str(self.config), stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL
            )
        await self.until(self._ready, PATIENCE, "the service to be ready")
        await self.until(self._watched, PATIENCE, "the targets to be watched")

    async def kill(self) -> None:
        """Kill -9, as an out-of-memory killer would."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    async def stop(self) -> None:
        """Stop the service by SIGTERM, then the world."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), 15)
            except TimeoutError:
                await self.kill()
        if self._session is not None:
            await self._session.close()
        await self.world.stop()

    async def get(self, path: str, *, accept: str = "application/json") -> Any:
        """One GET of the service's API, with the demo's token."""
        if self._session is None:
            raise TemporaryError("the playground is not started")
        headers = {"Authorization": f"Bearer {self._token}", "Accept": accept}
        try:
            async with self._session.get(f"{self.url}{path}", headers=headers, allow_redirects=False) as answer:
                if answer.status >= 400:  # noqa: PLR2004  an error status
                    raise TemporaryError(f"GET {path}: {answer.status} {(await answer.text())[:300]}")
                return await (answer.json() if accept.endswith("json") else answer.text())
        except aiohttp.ClientError as error:
            raise TemporaryError(f"GET {path}: no answer ({type(error).__name__}): {self._log_tail()}") from error

    async def post(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        """One POST with the demo's token: status and JSON."""
        if self._session is None:
            raise TemporaryError("the playground is not started")
        async with self._session.post(f"{self.url}{path}", json=body, headers={"Authorization": f"Bearer {self._token}"}) as answer:
            return answer.status, await answer.json()

    async def until(self, check: Any, seconds: float, what: str) -> Any:
        """Wait for a check to give something true; TemporaryError that names it otherwise, with the end of the service's log."""
        end = self._clock.now() + timedelta(seconds=seconds)
        while self._clock.now() < end:
            if self._process is not None and self._process.returncode is not None:
                raise TemporaryError(f"the service ended with {self._process.returncode}: {self._log_tail()}")
            try:
                found = await check()
            except (aiohttp.ClientError, TemporaryError, OSError):
                found = None
            if found:
                return found
            await self._clock.sleep(0.1)
        raise TemporaryError(f"waited {seconds:g} s for {what}: {self._log_tail()}")

    async def operation_of(self, app: str) -> Mapping[str, Any] | None:
        """The newest operation of a shop."""
        found = (await self.get(f"/v1/operations?target={self.world.target(app)}&limit=1"))["operations"]
        return found[0] if found else None

    async def _ready(self) -> bool:
        if self._session is None:
            return False
        async with self._session.get(f"{self.url}/readyz") as answer:
            return answer.status == 200  # noqa: PLR2004  ready

    async def _watched(self) -> bool:
        targets = (await self.get("/v1/targets"))["targets"]
        if len(targets) < self._shops:
            return False
        for target in targets:
            seen = (await self.get(f"/v1/targets/{target['id'].replace('/', '%2F')}"))["releases"]
            if not any(one["healthy_for_s"] >= 1 for one in seen):
                return False
        return True

    def _log_tail(self) -> str:
        log = self.folder / "service.log"
        return " / ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]) if log.exists() else "no log"
