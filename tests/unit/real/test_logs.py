"""The endpoint of a kubelet that the stories of logs stand up: who reads it, and that the node has none afterwards."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest

from tests.real.lab.client import LabClient
from tests.real.lab.logs import served

LINES = ["2026-05-04T14:00:00Z one", "2026-05-04T14:00:01Z two"]


class Node:
    """The Kubernetes API, as far as the status of a node goes."""

    def __init__(self) -> None:
        self.status: dict[str, Any] = {}

    async def must(self, method: str, path: str, body: dict[str, Any], *, content_type: str) -> None:
        assert (method, path, content_type) == ("PATCH", "/api/v1/nodes/lab-node/status", "application/merge-patch+json")
        merged = {**self.status, **body["status"]}
        self.status = {name: value for name, value in merged.items() if value is not None}


@pytest.mark.parametrize(("query", "told"), [("", LINES), ("?tailLines=1", LINES[-1:]), ("?tailLines=0", []), ("?tailLines=9", LINES)])
async def test_the_node_has_an_endpoint_for_logs_inside_of_the_block_and_none_after_it(query: str, told: list[str], tmp_path: Path) -> None:
    node = Node()
    client = cast("LabClient", SimpleNamespace(kube=node))

    async with served(client, LINES, tmp_path) as read, aiohttp.ClientSession() as session:
        (address,), port = node.status["addresses"], node.status["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        path = "/containerLogs/shop/pod-1/main"
        async with session.get(f"https://{address['address']}:{port}{path}{query}", ssl=False) as answer:
            text = await answer.text()

    assert (address["type"], read, text.splitlines()) == ("InternalIP", [path], told)
    assert node.status == {}
    assert (tmp_path / "kubelet.pem").stat().st_mode & 0o077 == 0
