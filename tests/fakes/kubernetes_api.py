"""A Kubernetes API server that shows recorded objects (v1.34.2, tests/fixtures/kubernetes): lists by label, pages, an access review, and refusals."""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from integrations.sandbox.http import LoopbackServer

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "kubernetes"
NAMESPACE = "recorded"
TOKEN = "reader-token"
READER = frozenset({"pods", "deployments", "replicasets", "statefulsets", "daemonsets", "controllerrevisions"})


def recorded(name: str) -> Any:
    """A recorded answer."""
    return json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))


class KubernetesApi(LoopbackServer):
    """`objects` by resource, as recorded; tests change them. `may` are the resources that the token may get and list, `forbidden` answers 403."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, list[dict[str, Any]]] = {
            "deployments": [recorded("deployment")],
            "statefulsets": [recorded("statefulset")],
            "daemonsets": [],
            "rollouts": [],
            **{name: recorded(name)["items"] for name in ("replicasets", "controllerrevisions", "pods")},
        }
        self.may: set[tuple[str, str]] = {(verb, resource) for verb in ("get", "list") for resource in READER}
        self.forbidden: set[str] = set()
        self.page = 500
        self.tokens: list[str] = []
        self.before_list: dict[str, Any] = {}

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """What is read, and the review; anything else is aiohttp's 404."""
        return (
            web.get("/version/", self._version),
            web.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", self._review),
            web.get("/api/v1/namespaces/{namespace}/{resource}", self._list),
            web.get("/apis/{group}/{version}/namespaces/{namespace}/{resource}", self._list),
            web.get("/apis/{group}/{version}/namespaces/{namespace}/{resource}/{name}", self._get),
        )

    async def _version(self, request: web.Request) -> web.Response:
        return self._unauthorized(request) or web.json_response(recorded("version"))

    async def _review(self, request: web.Request) -> web.Response:
        asked = (await request.json())["spec"]["resourceAttributes"]
        review = copy.deepcopy(recorded("access-review"))
        review["status"]["allowed"] = (asked["verb"], asked["resource"]) in self.may
        return self._unauthorized(request) or web.json_response(review, status=201)

    async def _get(self, request: web.Request) -> web.Response:
        resource, name = request.match_info["resource"], request.match_info["name"]
        refusal = self._unauthorized(request) or self._refused(resource)
        found = [one for one in self.objects[resource] if one["metadata"]["name"] == name]
        return refusal or (web.json_response(found[0]) if found else web.json_response(recorded("not-found"), status=404))

    async def _list(self, request: web.Request) -> web.Response:
        resource = request.match_info["resource"]
        refusal = self._unauthorized(request) or self._refused(resource)
        if refusal is not None:
            return refusal
        self.before_list.pop(resource, lambda: None)()
        wanted = dict(part.split("=") for part in request.query["labelSelector"].split(","))
        fitting = [one for one in self.objects[resource] if wanted.items() <= (one["metadata"].get("labels") or {}).items()]
        begin, size = int(request.query.get("continue") or 0), min(self.page, int(request.query["limit"]))
        following = {"continue": str(begin + size)} if len(fitting) > begin + size else {}
        return web.json_response({"kind": "List", "metadata": {"resourceVersion": "1", **following}, "items": fitting[begin : begin + size]})

    def _unauthorized(self, request: web.Request) -> web.Response | None:
        token = request.headers.get("Authorization", "")
        self.tokens.append(token)
        return None if token == f"Bearer {TOKEN}" else _status(401, "Unauthorized")

    def _refused(self, resource: str) -> web.Response | None:
        if resource not in self.forbidden:
            return None
        return _status(403, f'{resource} is forbidden: User "reader" cannot list resource "{resource}" in API group "" in the namespace "{NAMESPACE}"')


def _status(code: int, message: str) -> web.Response:
    body: Mapping[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code}
    return web.json_response(body, status=code)
