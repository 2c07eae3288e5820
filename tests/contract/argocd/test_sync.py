"""The explicit sync to a revision, as it deploys a release under a hold: what it carries, what it refuses, what a lost answer leaves (contract 3.4)."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from tests.contract.argocd.server import ArgoCDServer, Json, Release, config_map
from tests.contract.argocd.test_windows import DENY, release_with

MARK = {"name": "backout.dev/operation", "value": "op_1"}
BUSY = (400, 9, "another operation is already in progress")


def asked(revision: str) -> Json:
    """What Backout sends."""
    return {"revision": revision, "dryRun": False, "prune": False, "retryStrategy": {"limit": 0}, "infos": [MARK], "project": "default"}


async def sync(server: ArgoCDServer, release: Release, revision: str) -> Any:
    return await server.call("POST", f"/api/v1/applications/{release.name}/sync", asked(revision))


async def test_the_text_it_carries_stays_in_the_operation_and_in_its_last_state_and_not_in_the_history(server: ArgoCDServer) -> None:
    release = await server.release("carried")
    answer = await sync(server, release, release.good)
    assert answer.status == 200
    assert answer.body["operation"]["info"] == [MARK]
    assert answer.body["operation"]["initiatedBy"] == {"username": "backout"}
    assert "operationState" not in answer.body["status"]
    app = await server.settled(release.name)
    state = app["status"]["operationState"]
    assert (state["phase"], state["operation"]["info"]) == ("Succeeded", [MARK])
    last = app["status"]["history"][-1]
    assert (last["revision"], last["initiatedBy"], "info" in last) == (release.good, {"username": "backout"}, False)


async def test_a_limit_of_no_retries_is_none_also_where_the_spec_asks_for_some(server: ArgoCDServer) -> None:
    release = await server.release("retries")
    await server.must("PATCH", f"/api/v1/applications/{release.name}", merge({"spec": {"syncPolicy": {"retry": {"limit": 3}}}}))
    answer = await sync(server, release, release.good)
    assert not (answer.body["operation"].get("retry") or {}).get("limit")
    await server.settled(release.name)


def merge(patch: Json) -> Json:
    return {"patch": json.dumps(patch), "patchType": "merge"}


async def test_another_revision_is_refused_while_auto_sync_is_on_and_taken_while_it_is_stopped(server: ArgoCDServer) -> None:  # recording 07
    release = await server.release("automated")
    await server.set_auto(release.name, {"prune": True})
    refused = await sync(server, release, release.good)
    assert refused.error == (400, 9, f"Cannot sync to {release.good}: auto-sync currently set to main")
    await server.set_auto(release.name, {"prune": True, "enabled": False})
    assert (await sync(server, release, release.good)).status == 200
    await server.settled(release.name)


async def test_a_closed_window_refuses_it_and_nothing_waits_to_fire(server: ArgoCDServer) -> None:  # recording 08
    release = await release_with(server, DENY)
    project = (await server.app(release.name))["spec"]["project"]
    answer = await server.call("POST", f"/api/v1/applications/{release.name}/sync", asked(release.good) | {"project": project})
    assert answer.error == (403, 7, "cannot sync: blocked by sync window")
    assert "operation" not in await server.app(release.name)


async def test_a_busy_slot_refuses_it(server: ArgoCDServer) -> None:  # recording 26
    release = await server.release("busy")
    hook = config_map(f"{release.name}-hook", "1", health="Progressing", annotations={"argocd.argoproj.io/hook": "PreSync"})
    endless = release.repository.commit({"deploy/cm.json": config_map(release.name, "3"), "deploy/hook.json": hook}, "waits for a hook")
    both = await asyncio.gather(sync(server, release, endless), sync(server, release, endless))
    assert sorted(one.status for one in both) == [200, 400]
    assert next(one.error for one in both if one.status == 400) == BUSY

    async def ended() -> bool:  # while nothing has begun there is nothing to end
        return (await server.call("DELETE", f"/api/v1/applications/{release.name}/operation")).status == 200

    await server.until(ended, "the operation to take its end")
    await server.settled(release.name)


async def test_a_request_whose_answer_is_lost_is_found_by_its_text_or_never_happened(server: ArgoCDServer) -> None:  # recording 35
    release = await server.release("lost")
    before = len((await server.app(release.name))["status"]["history"])
    await send_and_leave(server, release)
    await asyncio.sleep(2)
    app = await server.settled(release.name)
    happened = len(app["status"]["history"]) > before
    carries = MARK in (app["status"]["operationState"]["operation"].get("info") or [])
    assert happened is carries

    async def again() -> bool:  # a request that was slow to arrive takes the slot once more
        return bool((await sync(server, release, release.good)).status == 200)

    await server.until(again, "the second request to be taken")
    assert MARK in (await server.settled(release.name))["status"]["operationState"]["operation"]["info"]


async def send_and_leave(server: ArgoCDServer, release: Release) -> None:
    """Send the request and close the connection without reading."""
    address = urlsplit(server.url)
    body = json.dumps(asked(release.good)).encode()
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"POST /api/v1/applications/{release.name}/sync HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {server.tokens['backout']}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    writer.close()
