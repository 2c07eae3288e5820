"""What tests do to the real servers: push images, commit to Git, deploy, watch, and wait with a deadline.

`load_lab` finds the lab that `python -m tests.real.lab run` has started around the tests; `LabClient` acts on it as
people and pipelines would. It judges nothing: assertions are the tests' own.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
import yaml

from tests.real.lab.addresses import LOOPBACK, Port
from tests.real.lab.api import Answer, ApiError, HttpApi
from tests.real.lab.images import ERRORS, READY, VERSION, Registry, build_image
from tests.real.lab.outages import process_id, wanted_back
from tests.real.lab.rollouts import answered, asked_for

T = TypeVar("T")

IN_CLUSTER = "https://kubernetes.default.svc"
ARGOCD_NAMESPACE = "argocd"
WAIT_S = 300.0
"""Long enough for any machine: it ends a wait for what never comes, and a test that passes takes no longer by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """`lab.json`: where everything is. `tokens`: of the Argo CD accounts admin, backout, reader, human. `pids`: by server."""

    argocd_url: str
    argocd_version: str
    tokens: Mapping[str, str]
    kube_url: str
    kube_token: str
    registry_url: str
    registry_host: str
    prometheus_url: str
    rules_dir: Path
    alertmanager_url: str
    webhook_port: int
    webhook_token_file: Path
    otlp_url: str
    jaeger_url: str
    git_root: Path
    work: Path
    pids: Mapping[str, int]
    ready_s: float

    @property
    def webhook_token(self) -> str:
        """What Alertmanager sends as bearer token."""
        return self.webhook_token_file.read_text()


def load_lab(environ: Mapping[str, str] | None = None) -> Lab | None:
    """The lab named by `BACKOUT_LAB`, or None when there is none; KeyError when the file is not a lab's."""
    named = (os.environ if environ is None else environ).get("BACKOUT_LAB")
    if not named:
        return None
    about = json.loads(Path(named).read_text())
    return Lab(
        argocd_url=about["argocd"]["url"],
        argocd_version=about["argocd"]["version"],
        tokens=about["argocd"]["tokens"],
        kube_url=about["kube"]["url"],
        kube_token=about["kube"]["token"],
        registry_url=about["registry"]["url"],
        registry_host=about["registry"]["host"],
        prometheus_url=about["prometheus"]["url"],
        rules_dir=Path(about["prometheus"]["rules_dir"]),
        alertmanager_url=about["alertmanager"]["url"],
        webhook_port=about["alertmanager"]["webhook_port"],
        webhook_token_file=Path(about["alertmanager"]["token_file"]),
        otlp_url=about["jaeger"]["otlp"],
        jaeger_url=about["jaeger"]["query"],
        git_root=Path(about["git"]["root"]),
        work=Path(about["work"]),
        pids=about["pids"],
        ready_s=about["ready_s"],
    )


async def until(check: Callable[[], Awaitable[T]], seconds: float = WAIT_S, *, what: str, every: float = 0.2) -> T:
    """Ask until the answer is true in Python's sense, and return it; TimeoutError with the last answer after `seconds`.

    Prints what it waits for and how long that took, so that a test that hangs says where. Connection errors count as
    "not yet"; ApiError does not, for a refusal is an answer.
    """
    began = time.monotonic()
    sys.stdout.write(f"waiting for {what} ...\n")
    last: object = None
    while True:
        try:
            answer = await check()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            last = repr(error)
        else:
            if answer:
                sys.stdout.write(f"{what}: after {time.monotonic() - began:.1f} s\n")
                return answer
            last = answer
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s; the last answer was {str(last)[:500]}")
        await asyncio.sleep(every)


def deployment(
    name: str,
    image: str,
    *,
    replicas: int = 1,
    progress_deadline_s: int = 6,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> str:
    """A Deployment's manifest as YAML. `progress_deadline_s`: a release that is not ready by then makes the app Degraded.

    Traffic and alerts know the pods by their label `app`, which is `name`; `labels` are further ones of the pods.
    """
    pod_labels = {**(labels or {}), "app": name}
    return yaml.safe_dump(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "labels": {"app": name}, **({"annotations": dict(annotations)} if annotations else {})},
            "spec": {
                "replicas": replicas,
                "progressDeadlineSeconds": progress_deadline_s,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": pod_labels},
                    "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": image}]},
                },
            },
        }
    )


class GitRepository:
    """A Git repository below the lab's git root; Argo CD reads it by its `url`. Its branch is `main`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def url(self) -> str:
        """`file://…`."""
        return f"file://{self.path}"

    async def git(self, *arguments: str) -> str:
        """Run git in it as the lab's developer; answers its output, RuntimeError with its words when it fails."""
        process = await asyncio.create_subprocess_exec(
            "git",
            "-C",
            str(self.path),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **_GIT_ENVIRONMENT},
        )
        output, errors = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"git {' '.join(arguments)}: {errors.decode(errors='replace').strip()}")
        return output.decode().strip()

    async def commit(self, files: Mapping[str, str | None], message: str = "change") -> str:
        """Write the files (path -> text, None removes one) and commit; answers the commit's id. Nothing changed is an error."""
        for name, text in files.items():
            _write(self.path / name, text)
        await self.git("add", "--all")
        await self.git("commit", "--quiet", "--message", message)
        return await self.head()

    async def revert(self, revision: str) -> str:
        """Commit the opposite of a commit, as a developer would; answers the new commit's id."""
        await self.git("revert", "--no-edit", revision)
        return await self.head()

    async def head(self) -> str:
        """The newest commit's id."""
        return await self.git("rev-parse", "HEAD")


# The machine's own git settings (signing, hooks, names) are none of the lab's.
_GIT_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "Dev",
    "GIT_AUTHOR_EMAIL": "dev@example.org",
    "GIT_COMMITTER_NAME": "Dev",
    "GIT_COMMITTER_EMAIL": "dev@example.org",
}


def _write(file: Path, text: str | None) -> None:
    if text is None:
        file.unlink()
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


class LabClient:
    """The lab's servers through their interfaces; use as an async context manager.

    `kube`: everything, as cluster admin. `prometheus`, `alertmanager`, `otlp`, `jaeger`: plain. Argo CD by account.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        session = self._session = aiohttp.ClientSession()
        self.kube = HttpApi(session, self.lab.kube_url, self.lab.kube_token)
        self.prometheus = HttpApi(session, self.lab.prometheus_url)
        self.alertmanager = HttpApi(session, self.lab.alertmanager_url)
        self.otlp = HttpApi(session, self.lab.otlp_url)
        self.jaeger = HttpApi(session, self.lab.jaeger_url)
        self.registry = Registry(session, url=self.lab.registry_url, host=self.lab.registry_host)
        self._argocd = {account: HttpApi(session, self.lab.argocd_url, token) for account, token in self.lab.tokens.items()}
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._session is not None:
            await self._session.close()

    def argocd(self, account: str = "human") -> HttpApi:
        """Argo CD's API as one of the accounts admin, backout, reader, human."""
        return self._argocd[account]

    # --- images and Git ---------------------------------------------------------------------------------------------

    async def push_image(
        self,
        repository: str,
        *,
        version: str,
        errors: float = 0.0,
        ready: str = "",
        tag: str = "",
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> str:
        """Push a release to the registry; answers its digest.

        `errors`: the share of its answers that are 500. `ready`: "never" or "slowN"; empty means at once. `labels` are
        further labels of its configuration, `annotations` those of its manifest. The same arguments give the same digest.
        """
        behaviour = {VERSION: version} | ({ERRORS: str(errors)} if errors else {}) | ({READY: ready} if ready else {})
        image = build_image(f"{repository} {version}", behaviour | dict(labels or {}), annotations)
        return await self.registry.push(repository, image, tag=tag)

    def image(self, repository: str, digest: str) -> str:
        """The reference a manifest names a pushed image by: `host/repository@digest`."""
        return f"{self.lab.registry_host}/{repository}@{digest}"

    async def create_repository(self, name: str) -> GitRepository:
        """A new, empty Git repository."""
        repository = GitRepository(self.lab.git_root / name)
        _make(repository.path)
        await repository.git("init", "--quiet", "--initial-branch=main")
        return repository

    # --- Kubernetes -------------------------------------------------------------------------------------------------

    async def kube_get(self, path: str) -> Any:
        """GET an API path, such as `/api/v1/namespaces/shop/pods`; None for 404, ApiError for any other refusal."""
        answer = await self.kube.call("GET", path)
        for _ in range(60):  # a Kubernetes API that has just come back answers 503 until it knows all its paths
            if answer.status != 503:
                break
            await asyncio.sleep(0.5)
            answer = await self.kube.call("GET", path)
        if answer.status == 404:
            return None
        if not answer.good:
            raise ApiError("GET", path, answer.status, answer.body)
        return answer.body

    async def create_namespace(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """A new namespace; one per test, because what an Application deployed stays when it is deleted."""
        await self.kube.must("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": dict(labels or {})}})

    async def pods(self, namespace: str) -> list[Any]:
        """The pods that are not being deleted."""
        pods = (await self.kube.must("GET", f"/api/v1/namespaces/{namespace}/pods"))["items"]
        return [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]

    async def running_images(self, namespace: str) -> set[str]:
        """The image ids (`repository@digest`) of the ready containers."""
        statuses = [status for pod in await self.pods(namespace) for status in pod["status"].get("containerStatuses", [])]
        return {status["imageID"] for status in statuses if status["ready"]}

    # --- Argo CD ----------------------------------------------------------------------------------------------------

    async def create_application(
        self,
        name: str,
        repository: GitRepository,
        *,
        namespace: str,
        auto_sync: bool,
        path: str = "deploy",
        revision: str = "main",
        project: str = "default",
        self_heal: bool = True,
        prune: bool = True,
        metadata: Mapping[str, Any] | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> Any:
        """An Application that deploys `path` of `repository` into `namespace`; `metadata` and `spec` are added as they are."""
        policy = {"syncPolicy": {"automated": {"selfHeal": self_heal, "prune": prune}}} if auto_sync else {}
        return await self.argocd().must("POST", "/api/v1/applications", {
            "metadata": {"name": name, "namespace": ARGOCD_NAMESPACE, **(metadata or {})},
            "spec": {
                "project": project,
                "source": {"repoURL": repository.url, "path": path, "targetRevision": revision, "directory": {"recurse": True}},
                "destination": {"server": IN_CLUSTER, "namespace": namespace},
                **policy,
                **(spec or {}),
            },
        })  # fmt: skip

    async def application(self, name: str, *, refresh: bool = False) -> Any:
        """The Application as Argo CD's API gives it; `refresh` makes it compare with Git first, as a webhook would."""
        return await self.argocd().must("GET", f"/api/v1/applications/{name}{'?refresh=normal' if refresh else ''}")

    async def sync(self, name: str, *, revision: str = "", prune: bool = False, account: str = "human") -> Answer:
        """Ask for a sync; the answer may be a refusal."""
        return await self.argocd(account).call("POST", f"/api/v1/applications/{name}/sync", {"revision": revision, "prune": prune})

    async def until_application(self, name: str, *, health: str = "Healthy", sync: str = "Synced", revision: str = "") -> Any:
        """Wait until the Application has this health and this sync status (empty: any), and was synced to `revision`."""

        async def there() -> Any:
            app = await self.application(name)
            status = app.get("status") or {}
            seen = (status.get("health", {}).get("status", ""), status.get("sync", {}).get("status", ""), status.get("sync", {}).get("revision", ""))
            wanted = (health, sync, revision)
            done = all(want in {"", is_} for want, is_ in zip(wanted, seen, strict=True)) and "operation" not in app
            return app if done else None

        return await until(there, what=f"application {name} {health} {sync} {revision[:8]}".rstrip())

    async def until_up(self) -> None:
        """Wait until Argo CD answers by name: after what a test did to it, or to the Kubernetes API, it refuses that for a while."""

        async def up() -> bool:
            return (await self.argocd().call("GET", "/api/v1/projects/default")).good

        await until(up, what="Argo CD to answer")

    async def delete_application(self, name: str, *, cascade: bool = True) -> None:
        """Delete an Application, with what it deployed unless told otherwise, and wait until it is gone."""
        await self.argocd().must("DELETE", f"/api/v1/applications/{name}?cascade={str(cascade).lower()}")
        path = f"/apis/argoproj.io/v1alpha1/namespaces/{ARGOCD_NAMESPACE}/applications/{name}"

        async def gone() -> bool:
            return await self.kube_get(path) is None

        await until(gone, what=f"the end of application {name}")

    # --- Prometheus, Alertmanager, Jaeger -----------------------------------------------------------------------------

    async def query(self, expression: str) -> list[Any]:
        """An instant query's result: `[{"metric": {...}, "value": [time, "number"]}, ...]`."""
        answer = await self.prometheus.must("POST", "/api/v1/query", f"query={_form(expression)}", content_type="application/x-www-form-urlencoded")
        result: list[Any] = answer["data"]["result"]
        return result

    async def alerts(self) -> list[Any]:
        """Prometheus' pending and firing alerts."""
        found: list[Any] = (await self.prometheus.must("GET", "/api/v1/alerts"))["data"]["alerts"]
        return found

    @asynccontextmanager
    async def silenced(self, app: str) -> AsyncIterator[None]:
        """While the block runs Alertmanager tells nobody that the application burns; at its next look (5 s) after the block it does."""
        starts, ends = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + after)) for after in (0, 3600))
        matcher = {"name": "app", "value": app, "isRegex": False, "isEqual": True}
        about = {"startsAt": starts, "endsAt": ends, "createdBy": "a test", "comment": "not yet"}
        silence = (await self.alertmanager.must("POST", "/api/v2/silences", {"matchers": [matcher], **about}))["silenceID"]
        try:
            yield
        finally:
            await self.alertmanager.must("DELETE", f"/api/v2/silence/{silence}")

    async def set_rules(self, name: str, groups: list[Mapping[str, Any]]) -> None:
        """Put a rules file beside the lab's own (an empty list removes it) and wait until Prometheus evaluates it."""
        _write_rules(self.lab.rules_dir / f"{name}.yml", groups)
        await self.prometheus.must("POST", "/-/reload")
        wanted = {str(group["name"]) for group in groups}

        async def loaded() -> bool:
            known = (await self.prometheus.must("GET", "/api/v1/rules"))["data"]["groups"]
            return {group["name"] for group in known if group["file"].endswith(f"/{name}.yml")} == wanted

        await until(loaded, what=f"the rules of {name}.yml")

    async def trace(self, trace_id: str) -> list[Any]:
        """The spans of a trace in Jaeger as OTLP JSON; empty when Jaeger has none. `trace_id`: 32 hex digits."""
        answer = await self.jaeger.call("GET", f"/api/v3/traces/{trace_id}")
        if answer.status == 404:
            return []
        if not answer.good:
            raise ApiError("GET", f"/api/v3/traces/{trace_id}", answer.status, answer.body)
        return [span for group in answer.body["result"]["resourceSpans"] for scope in group["scopeSpans"] for span in scope["spans"]]

    # --- Argo Rollouts ----------------------------------------------------------------------------------------------

    async def argo_rollouts(self) -> int:
        """Have the lab start Argo Rollouts, if no test has asked for it yet; answers its process id once it is ready."""
        asked_for(self.lab.work).touch()

        async def ready() -> int:
            return int(_read(answered(self.lab.work)) or 0)

        return await until(ready, what="Argo Rollouts")

    # --- faults -----------------------------------------------------------------------------------------------------

    def pause(self, server: str) -> None:
        """Stop a server of the lab where it stands (`resume` lets it go on): it is up, and answers nothing."""
        os.kill(self._pid(server), signal.SIGSTOP)

    def resume(self, server: str) -> None:
        """Let a paused server go on."""
        os.kill(self._pid(server), signal.SIGCONT)

    def kill(self, server: str) -> None:
        """SIGKILL a server of the lab; `start_again` brings it back, and must, for others use the lab too."""
        os.kill(self._pid(server), signal.SIGKILL)

    async def start_again(self, server: str) -> None:
        """Have the lab start a killed server as it was started before, and wait until it has; whether it answers yet is another matter."""
        before = self._pid(server)
        wanted_back(self.lab.work, server).touch()

        async def started() -> bool:
            return self._pid(server) != before

        await until(started, what=f"{server} to be started again")

    async def forget(self) -> None:
        """Empty Redis, and give the repo-server another disk: what Argo CD rendered and cloned is gone. Both answer again after it."""
        reader, writer = await asyncio.open_connection(LOOPBACK, Port.REDIS.value)
        writer.write(b"FLUSHALL\r\n")
        assert (await reader.readline()).startswith(b"+OK")
        writer.close()
        self.kill("argocd-repo-server")
        _empty(self.lab.work / "argocd/tmp/_argocd-repo")
        await self.start_again("argocd-repo-server")

        async def answers() -> bool:
            async with aiohttp.ClientSession() as session, session.get(f"{Port.REPO_SERVER_METRICS.url}/healthz") as response:
                return response.status == 200

        await until(answers, what="argocd-repo-server to answer")

    def _pid(self, server: str) -> int:
        return int(_read(process_id(self.lab.work, server)) or self.lab.pids[server])


def _read(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def _make(folder: Path) -> None:
    folder.mkdir(parents=True)


def _write_rules(file: Path, groups: list[Mapping[str, Any]]) -> None:
    if groups:
        file.write_text(yaml.safe_dump({"groups": [dict(group) for group in groups]}, sort_keys=False))
    else:
        file.unlink(missing_ok=True)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _form(text: str) -> str:
    return quote(text, safe="")
