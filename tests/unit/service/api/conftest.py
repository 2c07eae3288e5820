import asyncio
import io
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from multidict import CIMultiDictProxy
from yarl import URL

from service.api.app import make_app
from service.store.database import Database
from service.store.migrating import migrate
from tests.unit.service.api import described
from tests.unit.service.api.world import CHECKOUT, World


@dataclass(frozen=True)
class Got:
    status: int
    body: Any
    headers: CIMultiDictProxy[str]
    text: str

    @property
    def code(self) -> str:
        return str(self.body["code"])


class Api:
    """A client with a token for everything; every answer is held against openapi.yaml."""

    def __init__(self, client: TestClient[Any, Any], token: str) -> None:
        self.client = client
        self.token = token

    async def __call__(
        self, method: str, path: str, json_body: Any = None, *, token: str | None = None, headers: dict[str, str] | None = None, data: bytes | None = None
    ) -> Got:
        sent = dict(headers or {})
        bearer = self.token if token is None else token
        if bearer:
            sent["Authorization"] = f"Bearer {bearer}"
        if json_body is not None:
            data = json.dumps(json_body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        sending = io.BytesIO(data) if data is not None else None
        async with self.client.request(method, URL(path, encoded=True), data=sending, headers=sent, skip_auto_headers=("Content-Type",)) as response:
            text = await response.text()
            kind = response.content_type if text else ""
            body = json.loads(text) if kind.endswith("json") else text
            if described.describes(method, path.partition("?")[0]):
                described.judge(method, path.partition("?")[0], response.status, kind, body)
            return Got(response.status, body, response.headers, text)

    async def get(self, path: str, **more: Any) -> Got:
        return await self("GET", path, **more)

    async def post(self, path: str, json_body: Any = None, **more: Any) -> Got:
        return await self("POST", path, json_body, **more)


MakeApi = Callable[[], Awaitable[Api]]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated store, made once and copied for each test."""
    file = tmp_path_factory.mktemp("store") / "backout.db"

    async def make() -> None:
        database = Database(f"sqlite:///{file}")
        await migrate(database)
        await database.close()

    asyncio.run(make())
    return file


@pytest.fixture
async def world(tmp_path: Path, empty_store: Path) -> AsyncIterator[World]:
    shutil.copy(empty_store, tmp_path / "backout.db")
    database = Database(f"sqlite:///{tmp_path / 'backout.db'}")
    made = World(database, tmp_path)
    await made.list_targets(CHECKOUT)
    yield made
    await database.close()


@pytest.fixture
def make_api(world: World, aiohttp_client: Any) -> MakeApi:
    async def make() -> Api:
        return Api(await aiohttp_client(make_app(world.parts)), world.token())

    return make


@pytest.fixture
async def api(make_api: MakeApi) -> Api:
    return await make_api()
