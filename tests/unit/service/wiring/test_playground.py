"""The playground by itself; the stories that are played on it are tests/e2e's and the demo's. One world for all: each test has a shop to itself."""

import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from service.domain.errors import TemporaryError
from service.settings import load
from service.wiring.parts import SystemClock, kinds
from service.wiring.playground import PATIENCE, Playground

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

SHOPS = {"checkout": "v1", "quiet": "v1"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Playground]:
    playground = Playground(Path(tmp_path_factory.mktemp("playground")), SystemClock())
    try:
        await playground.start(SHOPS, modes={"quiet": "observe"})
        yield playground
    finally:
        await playground.stop()


async def test_it_is_ready_when_every_shop_is_watched_and_was_seen_healthy(ground: Playground) -> None:
    targets = (await ground.get("/v1/targets"))["targets"]
    assert {one["id"]: one["mode"] for one in targets} == {"sandbox:checkout": "auto", "sandbox:quiet": "observe"}
    for one in targets:
        assert any(release["healthy_for_s"] >= 1 for release in (await ground.get(f"/v1/targets/{one['id']}"))["releases"])


async def test_the_service_is_pointed_at_the_world_by_ordinary_settings_on_loopback(ground: Playground) -> None:
    settings = load(ground.config, kinds())
    assert f"http://{settings.listen}" == ground.url
    assert settings.address[0] == "127.0.0.1"
    assert settings.delivery[0].settings.url == ground.world.argocd.url


async def test_token_and_keys_can_be_read_by_their_owner_alone(ground: Playground) -> None:
    assert {stat.S_IMODE((ground.folder / name).stat().st_mode) for name in ("token", "keys.json")} == {0o600}
    assert ground.token_file.read_text(encoding="utf-8").strip() not in (ground.folder / "service.log").read_text(encoding="utf-8")


async def test_an_answer_that_is_an_error_is_told_with_path_and_status(ground: Playground) -> None:
    with pytest.raises(TemporaryError, match=r"GET /v1/operations/op_1: 404 "):
        await ground.get("/v1/operations/op_1")
    status, problem = await ground.post("/v1/operations", {})
    assert (status, problem["status"]) == (400, 400)


async def test_what_does_not_happen_is_told_by_name_with_the_end_of_the_log(ground: Playground) -> None:
    async def never() -> bool:
        return False

    with pytest.raises(TemporaryError, match=r"waited 0\.2 s for a miracle: .*ready"):
        await ground.until(never, 0.2, "a miracle")


async def test_a_shop_to_which_nothing_happened_has_no_operation(ground: Playground) -> None:
    assert await ground.operation_of("quiet") is None


async def test_a_service_that_was_killed_in_the_middle_of_a_rollback_goes_on_with_it_when_it_is_served_again(ground: Playground) -> None:
    good = await ground.world.live("checkout")
    shipped = await ground.world.release("checkout", "v2", errors=0.31)
    await ground.world.until_live("checkout", shipped)

    async def begun() -> Mapping[str, Any] | None:
        found = await ground.operation_of("checkout")
        return found if found and found["phase"] not in {"begin", "accepted"} else None

    operation: Mapping[str, Any] = await ground.until(begun, PATIENCE, "the operation to be under way")
    assert operation["done_at"] is None
    await ground.kill()
    with pytest.raises(TemporaryError, match=r"GET /v1/targets: no answer \(Client"):
        await ground.get("/v1/targets")
    with pytest.raises(TemporaryError, match="the service ended with -9"):
        await ground.until(begun, 5, "anything")
    await ground.serve()

    async def over() -> Mapping[str, Any] | None:
        found = await ground.operation_of("checkout")
        return found if found and found["done_at"] else None

    ended: Mapping[str, Any] = await ground.until(over, PATIENCE, "the operation to end")
    assert (ended["id"], ended["outcome"]) == (operation["id"], "recovered")
    assert await ground.world.live("checkout") == good
    history = (await ground.world.call("GET", "/api/v1/applications/checkout"))["status"]["history"]
    assert len([entry for entry in history if entry.get("initiatedBy", {}).get("username") == "backout"]) == 1


async def test_a_playground_that_was_not_started_says_so_and_can_be_stopped(tmp_path: Path) -> None:
    ground = Playground(tmp_path / "none", SystemClock())
    with pytest.raises(TemporaryError, match="the playground is not started"):
        await ground.get("/v1/targets")
    with pytest.raises(TemporaryError, match="the playground is not started"):
        await ground.post("/v1/operations", {})
    await ground.kill()
    await ground.stop()
    assert not (tmp_path / "none").exists()
