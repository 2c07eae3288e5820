import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from service.api.app import make_app
from service.domain import spans
from service.domain.errors import BackoutError, NotFoundError, UnavailableError
from service.domain.model import Operation, Outcome
from service.domain.ports import SpanDraft, Work
from service.store.database import Database
from service.wiring.reading import _NoHandOver, _NoSpans, audit_from_store
from tests.fakes import store
from tests.unit.service.api.world import CHECKOUT, NOW, ORDERS, World


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store.migrated(tmp_path_factory.mktemp("store"))


@pytest.fixture
async def world(template: Path, tmp_path: Path) -> AsyncIterator[World]:
    database = store.copied(template, tmp_path)
    made = World(database, tmp_path)
    await made.list_targets(CHECKOUT, ORDERS)
    yield made
    await store.closed(database)


def draft(path: tuple[str, ...], name: str, **more: Any) -> SpanDraft:
    return SpanDraft(path=path, name=name, started_at=NOW, ended_at=NOW + timedelta(seconds=8), **more)


async def told(world: World, **more: Any) -> Operation:
    """An operation that ended, with a root span and a child."""
    root = draft(spans.ROOT, spans.root_name("rollback", "prod:checkout", "42", "41"), says="recovered")
    child = draft(("verdict",), "verdict", says="pass: 14 of 14", attributes={"backout.findings": 14})
    return await world.move(await world.begun(CHECKOUT), phase="done", says="recovered", done=Outcome.RECOVERED, spans=(root, child), **more)


async def test_the_store_alone_tells_the_same_trace_as_the_api(world: World, aiohttp_client: Any) -> None:
    operation = await told(world)
    client: TestClient[web.Request, web.Application] = await aiohttp_client(make_app(world.parts))
    path, headers = f"/v1/operations/{operation.id}/trace", {"Authorization": f"Bearer {world.token()}"}
    from_api = await (await client.get(path, headers=headers)).json()
    text = await (await client.get(path, headers={**headers, "Accept": "text/plain"})).text()
    from_store = await audit_from_store(world.database.url, operation.id)
    assert {name: from_store[name] for name in ("operation", "trace_id", "traces")} == {name: from_api[name] for name in ("operation", "trace_id", "traces")}
    assert from_store.keys() - {"text"} == from_api.keys()
    assert from_store["text"] == text.rstrip("\n")
    assert "rollback prod:checkout 42→41" in from_store["text"]
    assert from_store["traces"]


@pytest.mark.parametrize("length", [12, 20, 35])
async def test_an_operation_is_found_by_the_beginning_of_its_id(world: World, length: int) -> None:
    operation = await told(world)
    assert (await audit_from_store(world.database.url, operation.id[:length]))["operation"] == operation.id


async def test_an_operation_is_found_by_its_trace(world: World) -> None:
    operation = await told(world)
    assert (await audit_from_store(world.database.url, operation.trace_id[:10]))["operation"] == operation.id


async def test_reading_changes_nothing_and_a_running_service_is_not_in_the_way(world: World) -> None:
    operation = await told(world)
    world.database.lock()
    before = await world.operations.events(operation.id), await world.operations.span_bodies(operation.id)
    await audit_from_store(world.database.url, operation.id)
    await audit_from_store(world.database.url, operation.id)
    assert (await world.operations.events(operation.id), await world.operations.span_bodies(operation.id)) == before


async def test_an_id_that_nobody_has_is_not_found(world: World) -> None:
    await told(world)
    with pytest.raises(NotFoundError, match="0 operations begin with op_ffffffffffff"):
        await audit_from_store(world.database.url, "op_ffffffffffff")


async def test_a_beginning_that_several_have_names_them(world: World) -> None:
    ids = {(await world.begun(target)).id for target in (CHECKOUT, ORDERS)}
    with pytest.raises(NotFoundError, match="2 operations begin with op_") as caught:
        await audit_from_store(world.database.url, "op_")
    assert set(re.findall(r"op_[0-9a-f]{32}", str(caught.value))) == ids


@pytest.mark.parametrize("identity", ["%", "op\\_%", "' OR 1=1 --"])
async def test_what_means_something_to_the_database_is_a_text_like_any(world: World, identity: str) -> None:
    await told(world)
    await world.begun(ORDERS)
    with pytest.raises(NotFoundError):
        await audit_from_store(world.database.url, identity)


async def test_a_store_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no store none\.db"):
        await audit_from_store(f"sqlite:///{tmp_path / 'none.db'}", "op_123456")
    assert not (tmp_path / "none.db").exists()


async def test_a_file_that_is_no_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("shopping list " * 200, encoding="utf-8")
    with pytest.raises(UnavailableError, match="the store cannot be used"):
        await audit_from_store(f"sqlite:///{tmp_path / 'notes.db'}", "op_123456")


async def test_an_empty_database_is_told(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    async with database.write():
        pass
    with pytest.raises(UnavailableError, match="no such table"):
        await audit_from_store(database.url, "op_123456")
    await store.closed(database)


async def test_a_store_that_is_open_for_reading_writes_no_span_and_hands_nothing_over() -> None:
    with pytest.raises(BackoutError, match="verdict of op_1 cannot be written"):
        _NoSpans().encode(store.operation(), draft(("verdict",), "verdict"))
    with pytest.raises(BackoutError, match="op_1 cannot be handed over"):
        await _NoHandOver().later(None, Work(kind="operation", id="op_1"), timedelta(0))
