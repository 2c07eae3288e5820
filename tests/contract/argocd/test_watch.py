"""The watch of applications (recordings 03, 21, 37)."""

import asyncio
import json

import pytest

from tests.contract.argocd.server import ArgoCDServer, config_map


async def test_a_watch_begins_with_what_is_there_and_goes_on_with_what_changes(server: ArgoCDServer) -> None:  # recordings 21, 37
    release = await server.release("watched")

    async with server.watching(f"name={release.name}") as seen:
        assert [message["type"] for message in seen[:1]] == ["ADDED"]  # a late write of the sync before may follow at once
        assert seen[0]["application"]["status"]["resources"][0]["health"] == {"status": "Degraded"}
        await server.must("PATCH", f"/api/v1/applications/{release.name}", {"patch": '{"metadata":{"labels":{"a":"1"}}}', "patchType": "merge"})

        async def changed() -> bool:
            return bool(seen[-1]["type"] == "MODIFIED" and seen[-1]["application"]["metadata"].get("labels") == {"a": "1"})

        await server.until(changed, "the change")


async def test_fields_reduce_every_message(server: ArgoCDServer) -> None:  # recording 21
    release = await server.release("reduced")

    async with server.watching(f"name={release.name}&fields=result.type,result.application.metadata.name,result.application.spec.project") as seen:
        what = {"metadata": {"name": release.name}, "spec": {"project": "default"}}
        assert seen[0] == {"type": "ADDED", "application": what}
        assert all(message["application"] == what for message in seen)


async def test_with_a_version_and_no_name_nothing_is_told_at_first(server: ArgoCDServer) -> None:  # recording 37
    release = await server.release("later")
    version = (await server.must("GET", "/api/v1/applications"))["metadata"]["resourceVersion"]

    async def change() -> None:
        await asyncio.sleep(0.5)
        await server.must("PATCH", f"/api/v1/applications/{release.name}", {"patch": '{"metadata":{"labels":{"a":"1"}}}', "patchType": "merge"})

    async with asyncio.TaskGroup() as group:
        changing = group.create_task(change())
        async with server.watching(f"resourceVersion={version}") as seen:
            assert changing.done() or all(message["type"] != "ADDED" for message in seen)
            assert "ADDED" not in {message["type"] for message in seen}


async def test_a_watch_of_nothing_sends_not_even_headers(server: ArgoCDServer) -> None:  # recording 03
    headers = {"Authorization": f"Bearer {server.tokens['backout']}"}

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await server.session.get(f"{server.url}/api/v1/stream/applications?name=there-is-none", headers=headers)


async def test_server_sent_events_carry_the_same_messages(server: ArgoCDServer) -> None:  # recording 03
    release = await server.release("sse")
    headers = {"Authorization": f"Bearer {server.tokens['backout']}", "Accept": "text/event-stream"}

    async with server.session.get(f"{server.url}/api/v1/stream/applications?name={release.name}", headers=headers) as stream:
        line = await stream.content.readline()

    assert stream.headers["Content-Type"] == "text/event-stream"
    assert line.startswith(b"data: ")
    message = json.loads(line.removeprefix(b"data: "))["result"]
    assert (message["type"], message["application"]["metadata"]["name"]) == ("ADDED", release.name)


async def test_a_stranger_is_refused_before_the_stream(server: ArgoCDServer) -> None:  # contract 2.4
    answer = await server.call("GET", "/api/v1/stream/applications", token="")

    assert answer.status == 401
    error = answer.body["error"]
    assert (error if isinstance(error, str) else error["message"]) == "no session information"


async def test_a_deleted_application_ends_with_a_word(server: ArgoCDServer) -> None:  # recording 37
    name = server.unique("gone")
    repository = server.create_repository(name)
    repository.commit({"deploy/cm.json": config_map(name, "1")}, "good")
    await server.create_app(name, repository)

    async with server.watching(f"name={name}") as seen:
        await server.must("DELETE", f"/api/v1/applications/{name}?cascade=false")

        async def told() -> bool:
            return bool(seen[-1]["type"] == "DELETED")

        await server.until(told, "the deletion")
    assert (await server.call("GET", f"/api/v1/applications/{name}?project=default")).error == (404, 5, f'applications.argoproj.io "{name}" not found')
