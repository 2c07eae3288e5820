"""What the contract suite needs of an Argo CD, sandbox or real: its API, its tokens, a folder for Git repositories. Nothing more.

Sits beside the tests, not in them: `ArgoCDServer` is the only thing through which a test may speak.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import aiohttp
from dulwich.index import commit_tree
from dulwich.objects import Blob, Commit
from dulwich.refs import Ref
from dulwich.repo import Repo

from tests.contract.argocd.hands import Hands
from tests.contract.argocd.images import Images, SandboxImages
from tests.contract.argocd.logs import Logs
from tests.contract.argocd.outages import Outages
from tests.real.lab.rollouts import answered, asked_for

T = TypeVar("T")
Json = dict[str, Any]

CLUSTER = "https://kubernetes.default.svc"
WAIT_S = 200.0
"""Ends a wait for what never comes; on a slow machine real servers may take long."""
FINAL = {"Succeeded", "Failed", "Error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status, headers, and the body: JSON where the server says so, else text."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def error(self) -> tuple[int, int, str]:
        """(HTTP status, gRPC code, message) of an error answer."""
        return self.status, self.body["code"], self.body["message"]


class GitRepository:
    """A bare repository with one branch, `main`."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True)
        self.path = path
        self.url = f"file://{path}"
        with Repo.init_bare(str(path)) as repository:
            repository.refs.set_symbolic_ref(Ref(b"HEAD"), Ref(b"refs/heads/main"))

    def commit(self, files: Mapping[str, Json | str], message: str) -> str:
        """Commit exactly these files (JSON for mappings); the new SHA."""
        with Repo(str(self.path)) as repository:
            entries = []
            for name, content in files.items():
                blob = Blob.from_string((content if isinstance(content, str) else json.dumps(content)).encode())
                repository.object_store.add_object(blob)
                entries.append((name.encode(), blob.id, 0o100644))
            commit = Commit()
            commit.tree = commit_tree(repository.object_store, entries)
            main = Ref(b"refs/heads/main")
            commit.parents = [repository.refs[main]] if main in repository.refs else []
            commit.author = commit.committer = b"Ann Author <ann@example.org>"
            commit.author_time = commit.commit_time = int(time.time())
            commit.author_timezone = commit.commit_timezone = 0
            commit.message = message.encode()
            repository.object_store.add_object(commit)
            repository.refs[main] = commit.id
            return commit.id.decode()

    @property
    def gone_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.gone")

    def take_away(self) -> None:
        self.path.rename(self.gone_path)

    def bring_back(self) -> None:
        self.gone_path.rename(self.path)


@dataclass(slots=True, kw_only=True)
class Release:
    """An application that runs `bad`, its newest revision, after `good`: history ids 0 and 1."""

    name: str
    repository: GitRepository
    good: str
    bad: str


def wall_time() -> datetime:
    """What a clock of this machine shows."""
    return datetime.fromtimestamp(time.time(), tz=UTC)


@dataclass(slots=True, kw_only=True)
class ArgoCDServer:
    """The server under test. `tokens`: admin, backout, reader, human. `now` is the time that it goes by."""

    kind: str
    url: str
    tokens: Mapping[str, str]
    git_root: Path
    session: aiohttp.ClientSession
    outages: Outages
    hands: Hands
    images: Images = field(default_factory=SandboxImages)
    logs: Logs | None = None
    apps: list[str] = field(default_factory=list)
    lab_work: Path | None = None
    now: Callable[[], datetime] = wall_time

    async def argo_rollouts(self) -> None:
        """See that a controller of Argo Rollouts runs: the sandbox has one, the lab starts it when somebody asks."""
        if self.lab_work is None:
            return
        asked_for(self.lab_work).touch()

        async def ready() -> bool:
            return self.lab_work is not None and answered(self.lab_work).exists()

        await self.until(ready, "Argo Rollouts")

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        by: str = "backout",
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One call. `by` names an account; `token` replaces its token, empty for none. Bodies that are no text go out as JSON."""
        sent = {"Content-Type": "application/json"} if method != "GET" else {}
        token = self.tokens[by] if token is None else token
        sent |= {"Authorization": f"Bearer {token}"} if token else {}
        for name, value in (headers or {}).items():
            if value:
                sent[name] = value
            else:
                sent.pop(name, None)
        data = body if body is None or isinstance(body, str) else json.dumps(body)
        skip = [] if "Content-Type" in sent else ["Content-Type"]
        async with self.session.request(method, f"{self.url}{path}", data=data, headers=sent, skip_auto_headers=skip) as response:
            raw = await response.text()
            decoded = json.loads(raw) if response.headers.get("Content-Type") == "application/json" else raw
            return Answer(status=response.status, headers=dict(response.headers), body=decoded)

    async def must(self, method: str, path: str, body: Any = None, *, by: str = "admin") -> Any:
        """The body of a call that has to be answered with 200."""
        answer = await self.call(method, path, body, by=by)
        assert answer.status == 200, (method, path, answer.status, answer.body)
        return answer.body

    async def until(self, check: Callable[[], Awaitable[T]], what: str, seconds: float = WAIT_S) -> T:
        """The first true answer of `check`."""
        time = asyncio.get_running_loop().time
        end = time() + seconds
        while True:
            found = await check()
            if found:
                return found
            assert time() < end, f"{what}: not within {seconds} s, the last answer was {found!r}"
            await asyncio.sleep(0.02 if self.kind == "sandbox" else 0.1)

    def unique(self, name: str) -> str:
        return f"{name}-{secrets.token_hex(3)}"

    def create_repository(self, name: str) -> GitRepository:
        return GitRepository(self.git_root / f"contract-{name}-{secrets.token_hex(3)}.git")

    async def create_project(self, name: str, **spec: Any) -> None:
        everything = {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}], "clusterResourceWhitelist": [{"group": "*", "kind": "*"}]}
        await self.must("POST", "/api/v1/projects", {"upsert": True, "project": {"metadata": {"name": name}, "spec": {**everything, **spec}}})

    async def create_app(
        self, name: str, repository: GitRepository | None = None, *, metadata: Json | None = None, auto: Json | None = None, **spec: Any
    ) -> Json:
        """Create an application of `deploy/` on `main` in a namespace of its own, and wait until it was compared once."""
        policy: Json = {"syncOptions": ["CreateNamespace=true"]} | ({"automated": auto} if auto is not None else {})
        source = {"source": {"repoURL": repository.url, "path": "deploy", "targetRevision": "main"}} if repository else {}
        body = {
            "metadata": {"name": name, **(metadata or {})},
            "spec": {"project": "default", "destination": {"server": CLUSTER, "namespace": name}, "syncPolicy": policy, **source, **spec},
        }
        self.apps.append(name)

        async def taken() -> Answer | None:
            answer = await self.call("POST", "/api/v1/applications", body, by="admin")
            follows = answer.status == 400 and "or the project does not exist" in answer.body["message"]
            return None if follows else answer  # argocd-server's memory of projects follows what is written

        async def compared() -> bool:
            status = (await self.app(name))["status"]
            if any("referencing project" in condition["message"] for condition in status.get("conditions") or ()):  # so does the controller's
                await self.app(name, "?refresh=normal")
                return False
            return bool(status.get("reconciledAt"))

        answer = await self.until(taken, "the project to be known")
        assert answer is not None
        assert answer.status == 200, answer
        await self.until(compared, "the first comparison")
        created: Json = answer.body
        return created

    async def app(self, name: str, query: str = "") -> Json:
        found: Json = await self.must("GET", f"/api/v1/applications/{name}{query}")
        return found

    async def settled(self, name: str) -> Json:
        """The application once no operation is left and a refresh after it has been made, from a view of the cluster that is not older than that."""

        def idle(app: Json) -> bool:
            return "operation" not in app and app["status"].get("operationState", {}).get("phase") in FINAL

        async def compared() -> Json | None:
            if not idle(await self.app(name)):
                return None
            if self.kind == "real" and not await self._sees_what_is_live(await self.app(name, "?refresh=normal")):
                return None
            app = await self.app(name, "?refresh=normal")
            return app if idle(app) else None

        return await self.until(compared, f"the end of {name}'s operation, and a comparison after it") or {}

    async def _sees_what_is_live(self, app: Json) -> bool:
        """Whether the last comparison saw each object as Kubernetes has it now: a real controller's view of the cluster lags (contract 11, surprise 2)."""
        path = f"/api/v1/applications/{app['metadata']['name']}"
        managed = await self.call("GET", f"{path}/managed-resources", by="admin")
        if managed.status != 200:  # Redis has forgotten it: nobody can tell
            await asyncio.sleep(0.3)
            return True
        rows = app["status"]["operationState"].get("syncResult", {}).get("resources") or []
        made = {(row["kind"], row["name"]) for row in rows if row.get("status") == "Synced" and not row.get("hookType")}
        for item in managed.body.get("items") or ():
            seen = json.loads(item.get("liveState") or "null")
            if seen is None:
                if (item["kind"], item["name"]) in made:
                    return False
                continue
            about = {"resourceName": item["name"], "namespace": item.get("namespace", ""), "group": item.get("group", ""), "kind": item["kind"]}
            query = urlencode(about | {"version": seen["apiVersion"].rpartition("/")[2]})
            live = await self.call("GET", f"{path}/resource?{query}", by="admin")
            if live.status != 200 or json.loads(live.body["manifest"])["metadata"]["resourceVersion"] != seen["metadata"]["resourceVersion"]:
                return False
        return True

    async def sync(self, name: str, **body: Any) -> Json:
        """Sync as a person and wait for the end."""
        await self.must("POST", f"/api/v1/applications/{name}/sync", body, by="human")
        return await self.settled(name)

    async def rollback(self, name: str, **body: Any) -> Answer:
        return await self.call("POST", f"/api/v1/applications/{name}/rollback", body)

    async def release(self, name: str, *, spec: Json | None = None, extra: Mapping[str, Json] | None = None, bad_health: str = "Degraded") -> Release:
        """An application without auto-sync: good synced first, then bad (with `extra` files)."""
        name = self.unique(name)
        repository = self.create_repository(name)
        good = repository.commit({"deploy/cm.json": config_map(name, "1")}, "good")
        await self.create_app(name, repository, **(spec or {}))
        await self.sync(name)
        bad = repository.commit({"deploy/cm.json": config_map(name, "2", health=bad_health), **(extra or {})}, "bad")
        await self.app(name, "?refresh=normal")
        app = await self.sync(name)
        assert [entry["revision"] for entry in app["status"]["history"]] == [good, bad]
        return Release(name=name, repository=repository, good=good, bad=bad)

    async def set_auto(self, name: str, automated: Json | None) -> Json:
        """Change auto-sync by a merge patch."""
        patch = json.dumps({"spec": {"syncPolicy": {"automated": automated}}})
        done: Json = await self.must("PATCH", f"/api/v1/applications/{name}", {"patch": patch, "patchType": "merge"}, by="human")
        return done

    async def edit_live(self, name: str, kind: str, patch: Json, *, group: str = "", version: str = "v1", object_name: str = "") -> Answer:
        """Change a live object by a merge patch past Git, as `kubectl edit` would; by Argo CD's API, for that is all that both servers have."""
        asked = {"namespace": name, "resourceName": object_name or name, "version": version, "group": group, "kind": kind}
        query = urlencode(asked | {"patchType": "application/merge-patch+json"})
        return await self.call("POST", f"/api/v1/applications/{name}/resource?{query}", json.dumps(json.dumps(patch)), by="human")

    @asynccontextmanager
    async def watching(self, query: str) -> AsyncIterator[list[Json]]:
        """Messages of a watch, collected while the block runs. The block starts when the first one came."""
        seen: list[Json] = []
        started = asyncio.Event()

        async def collect() -> None:
            headers = {"Authorization": f"Bearer {self.tokens['backout']}"}
            async with self.session.get(f"{self.url}/api/v1/stream/applications?{query}", headers=headers, timeout=aiohttp.ClientTimeout(total=None)) as stream:
                async for line in stream.content:
                    seen.append(json.loads(line)["result"])
                    started.set()

        async with asyncio.TaskGroup() as group:
            task = group.create_task(collect())
            await asyncio.wait_for(started.wait(), WAIT_S)
            yield seen
            task.cancel()


def config_map(name: str, version: str, *, health: str = "Healthy", annotations: Json | None = None) -> Json:
    about: Json = {"name": name} | ({"annotations": annotations} if annotations else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": {"v": version} | ({} if health == "Healthy" else {"health": health})}


def deployment(name: str, image: str, *, replicas: int = 1, selector: str | None = None) -> Json:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": 6,
            "selector": {"matchLabels": {"app": selector or name}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}], "terminationGracePeriodSeconds": 0}},
        },
    }
