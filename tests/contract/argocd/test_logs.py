"""The logs of a pod: a right of their own, and how Argo CD tells that there are none (seen on 3.2.11; a node has a kubelet only while a test serves it)."""

import json
from typing import Any

from tests.contract.argocd.server import ArgoCDServer, Json, deployment


async def pod_of(server: ArgoCDServer) -> tuple[str, str]:
    """The names of an application with a Deployment, and of its one pod."""
    name = server.unique("logs")
    repository = server.create_repository(name)
    repository.commit({"deploy/app.json": deployment(name, "registry.example/web:1.0")}, "good")
    await server.create_app(name, repository)
    await server.sync(name)

    async def pods() -> list[str]:
        tree = await server.must("GET", f"/api/v1/applications/{name}/resource-tree")
        return [node["name"] for node in tree["nodes"] if node["kind"] == "Pod"]

    (pod,) = await server.until(pods, "the pod")
    return name, pod


async def asked(server: ArgoCDServer, name: str, pod: str, *, by: str) -> tuple[int, str, str]:
    """Status, kind and text of the answer."""
    path = f"{server.url}/api/v1/applications/{name}/pods/{pod}/logs?namespace={name}&tailLines=200&follow=false"
    async with server.session.get(path, headers={"Authorization": f"Bearer {server.tokens[by]}"}) as answer:
        return answer.status, answer.headers.get("Content-Type", ""), await answer.text()


async def test_logs_are_a_right_of_their_own(server: ArgoCDServer) -> None:
    name, pod = await pod_of(server)

    status, kind, text = await asked(server, name, pod, by="backout")

    error: Json = json.loads(text)["error"]
    assert (status, kind, error["grpc_code"], error["http_code"]) == (403, "application/json", 7, 403)
    assert error["message"].startswith(f"permission denied: logs, get, default/{name}, sub: backout, iat: ")


async def test_a_log_that_cannot_be_read_is_a_good_answer_with_the_error_where_a_line_would_stand(server: ArgoCDServer) -> None:
    name, pod = await pod_of(server)

    status, kind, text = await asked(server, name, pod, by="human")

    messages: list[Any] = [json.loads(line)["result"] for line in text.splitlines()]
    assert (status, kind) == (200, "application/json")
    assert [(one["content"], one["timeStamp"] is None, one["last"]) for one in messages] == [
        ("no preferred addresses found; known addresses: []", True, False),
        ("", False, True),
    ]
    assert messages[0]["timeStampStr"] == "0001-01-01T00:00:00Z"


async def test_of_a_pod_that_is_not_there_comes_nothing_not_even_the_last_message(server: ArgoCDServer) -> None:
    name, pod = await pod_of(server)

    assert await asked(server, name, f"{pod}-gone", by="human") == (200, "application/json", "")


LINES = ["2026-05-04T14:00:00.123456789Z starting", "2026-05-04T14:00:01.5Z listening on :8080", "2026-05-04T14:00:02Z ERROR  two  spaces"]


async def test_each_line_of_a_log_is_a_message_with_its_time_and_its_pod_and_the_last_one_is_empty(server: ArgoCDServer) -> None:
    name, pod = await pod_of(server)
    assert server.logs is not None

    async with server.logs.written(LINES):
        status, kind, text = await asked(server, name, pod, by="human")

    messages: list[Any] = [json.loads(line)["result"] for line in text.splitlines()]
    assert (status, kind) == (200, "application/json")
    assert [(one["timeStampStr"], one["content"], one["podName"], one["last"]) for one in messages[:-1]] == [
        (*line.split(" ", 1), pod, False) for line in LINES
    ]
    assert [one["timeStamp"] for one in messages[:-1]] == ["2026-05-04T14:00:00Z", "2026-05-04T14:00:01Z", "2026-05-04T14:00:02Z"]
    assert (messages[-1]["content"], messages[-1]["last"]) == ("", True)
