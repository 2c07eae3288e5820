"""A small production on loopback: sandbox Argo CD, Prometheus, Alertmanager, registry, Git, notification sink and trace collector, joined as they would be.

Shops with pods that serve traffic: their share of failing requests is what the images that really run say. For `backout demo` and the e2e tests, which
release into it and watch; nothing here knows Backout but for the settings file that points at it.
"""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from integrations.sandbox.alertmanager import AlertSender, Route, webhook_body
from integrations.sandbox.argocd.server import SandboxArgoCD
from integrations.sandbox.argocd.settings import Timings
from integrations.sandbox.collector import TraceCollector
from integrations.sandbox.git import GitServer
from integrations.sandbox.notifications import NotificationSink
from integrations.sandbox.prometheus import SandboxPrometheus
from integrations.sandbox.registry import SandboxRegistry
from service.domain.errors import TemporaryError
from service.domain.model import TargetId
from service.domain.ports import Clock

REQUESTS = 140.0
"""Requests per second that a shop with ready pods gets."""

REQUEST_RATE = "sum by (namespace, argocd_app) (rate(http_requests_total[10s]))"
ERROR_SHARE = 'sum by (namespace, argocd_app) (rate(http_requests_total{code=~"5.."}[10s])) / sum by (namespace, argocd_app) (rate(http_requests_total[10s]))'
BY_VERSION = (
    'sum by (argocd_app, version) (rate(http_requests_total{{argocd_app="{app}",code=~"5.."}}[10s]))'
    ' / sum by (argocd_app, version) (rate(http_requests_total{{argocd_app="{app}"}}[10s]))'
)
SUMMARY = "{{ $value | humanizePercentage }} of {{ $labels.argocd_app }}'s requests fail, limit 1 %"
LIMIT = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """One release as it was shipped: source commit, image digest, configuration commit."""

    app: str
    version: str
    source: str
    digest: str
    config: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """A credential with which alerts come: its name in the settings, and its file in the world's folder."""

    name: str
    token_file: str


SENDERS = (Sender(name="main", token_file="alert-token"), Sender(name="second", token_file="alert-token-2"))  # noqa: S106  names of files
"""The world's own Alertmanager is the first; a second one, as in a pair for high availability, may send the same."""


@dataclass(slots=True, kw_only=True)
class _Image:
    version: str
    errors: float


@dataclass(slots=True, kw_only=True)
class _Shop:
    namespace: str
    shipped: list[Shipped] = field(default_factory=list)


class World:
    """Start it, add shops, ship releases. `webhook` is Backout's intake; `folder` holds repositories and credential files.

    `label` names the shop in series and alerts. Another delivery system is played by a world that overrides what stands under "the delivery system".
    """

    label = "argocd_app"

    def __init__(self, *, folder: Path, clock: Clock, webhook: str, fast: bool = False) -> None:
        self.folder = folder
        self._clock = clock
        self._images: dict[str, _Image] = {}
        self._shops: dict[str, _Shop] = {}
        self.git = GitServer(root=folder / "git")
        self.registry = SandboxRegistry(clock=clock)
        self.argocd = SandboxArgoCD(clock=clock.now, timings=Timings.fast() if fast else Timings(resync=3.0))
        self.request_rate, self.error_share, self.by_version = (text.replace("argocd_app", self.label) for text in (REQUEST_RATE, ERROR_SHARE, BY_VERSION))
        self.prometheus = SandboxPrometheus(clock=clock, interval=timedelta(milliseconds=200))
        self.sink = NotificationSink(clock=clock)
        self.collector = TraceCollector()
        route = Route(
            group_by=("alertname", "namespace", self.label),
            group_wait=timedelta(milliseconds=200),
            group_interval=timedelta(seconds=1),
            repeat_interval=timedelta(seconds=30),
        )
        self.senders = SENDERS
        self._route = route
        self.alertmanager = AlertSender(webhook, folder / SENDERS[0].token_file, clock=clock, route=route)
        self._session: aiohttp.ClientSession | None = None
        self._token = ""
        self._human = ""

    async def start(self) -> None:
        """Start every part; the shared expressions and the alerting rule are known from the first sample on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "git").mkdir(exist_ok=True)
        for sender in SENDERS:
            self._write(sender.token_file, secrets.token_urlsafe(24))
        self._write("notify-token", secrets.token_urlsafe(24))
        self._selector("up", lambda _at: [({"__name__": "up", "job": "shops"}, 1.0)])
        self._selector("http_requests_total", self._counters)
        self._selector('http_requests_total{code=~"5.."}', self._counters)
        self.prometheus.register(self.request_rate, lambda _at: [(self._labels(app), self._rate(app)) for app in self._shops])
        self.prometheus.register(self.error_share, lambda _at: [(self._labels(app), self._share(app)) for app in self._shops if self._rate(app)])
        self.prometheus.add_rule(
            "HighErrorRate",
            self.error_share,
            ">",
            LIMIT,
            for_=timedelta(seconds=2),
            labels={"severity": "critical"},
            annotations={"summary": SUMMARY.replace("argocd_app", self.label)},
        )
        for one in (self.git, self.registry, self.prometheus, self.sink, self.collector):
            await one.start()
        await self._open_delivery()
        await self.alertmanager.start()
        self.alertmanager.follow(self.prometheus, every=timedelta(milliseconds=200))
        self._session = aiohttp.ClientSession()
        self.git.create("config")

    async def stop(self) -> None:
        """Stop every part."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        await self.alertmanager.stop()
        await self._close_delivery()
        for one in (self.collector, self.sink, self.prometheus, self.registry, self.git):
            await one.stop()

    # --- shops and releases ------------------------------------------------------------------------------------------------

    async def add_shop(self, app: str, version: str, *, replicas: int = 2, auto_sync: bool = True, files: Mapping[str, str] | None = None) -> Shipped:
        """A new application with its first release; answers once it is healthy."""
        self.git.create(f"shop/{app}")
        self._shops[app] = _Shop(namespace=app)
        self._selector(f'http_requests_total{{{self.label}="{app}"}}', lambda at: self._counters(at, app))
        self._selector(f'http_requests_total{{{self.label}="{app}",code=~"5.."}}', lambda at: self._counters(at, app))
        query = self.by_version.format(app=app)
        self.prometheus.register(query, lambda _at: [({self.label: app, "version": v}, share) for v, share in self._by_version(app).items()])
        source = {"src/app.py": f"VERSION = {version!r}\n", **(files or {})}
        shipped = self._ship(app, version, 0.0, source, replicas, {})
        await self._deploy_first(app, shipped, replicas, auto_sync=auto_sync)
        await self.until_live(app, shipped)
        return shipped

    async def release(
        self, app: str, version: str, *, errors: float = 0.0, files: Mapping[str, str | None] | None = None, labels: Mapping[str, str] | None = None
    ) -> Shipped:
        """Ship the next release: source commit, image, configuration commit, and a refresh as a Git webhook would cause; answers before it is live.

        `labels` are further labels of the image.
        """
        shop = self._shops[app]
        replicas = self._replicas(app)
        shipped = self._ship(app, version, errors, {"src/app.py": f"VERSION = {version!r}\n", **(files or {})}, replicas, labels or {})
        shop.shipped.append(shipped)
        await self._deploy_next(app, shipped)
        return shipped

    def _ship(self, app: str, version: str, errors: float, files: Mapping[str, str | None], replicas: int, declared: Mapping[str, str]) -> Shipped:
        now = self._clock.now()
        source = self.git.commit(f"shop/{app}", files, f"{app} {version}", now)
        labels = {
            "org.opencontainers.image.revision": source,
            "org.opencontainers.image.source": self.git.http_url(f"shop/{app}"),
            "org.opencontainers.image.version": version,
            **declared,
        }
        digest = self.registry.push(f"shop/{app}", version, labels)
        self._images[digest] = _Image(version=version, errors=errors)
        manifest = self._deployment(app, f"{self.registry_host}/shop/{app}@{digest}", replicas)
        config = self.git.commit("config", {f"{app}/deployment.yaml": yaml.safe_dump(manifest, sort_keys=False)}, f"{app}: {version}", now)
        shipped = Shipped(app=app, version=version, source=source, digest=digest, config=config)
        if not self._shops[app].shipped:
            self._shops[app].shipped.append(shipped)
        return shipped

    async def until_live(self, app: str, shipped: Shipped, seconds: float = 60.0) -> None:
        """Wait until every pod of the shop is ready and runs that release."""
        end = self._clock.now() + timedelta(seconds=seconds)
        while self._clock.now() < end:
            pods = self._pods(app)
            if pods and all(ready and digest == shipped.digest for digest, ready in pods):
                return
            await self._clock.sleep(0.05)
        raise TemporaryError(f"{app} {shipped.version} did not go live within {seconds:g} s")

    def webhook_about(self, app: str) -> bytes | None:
        """The webhook that Alertmanager would send about the shop's firing alert now; None while nothing fires."""
        alert = next((one for one in self.prometheus.outgoing_alerts() if one.labels.get(self.label) == app), None)
        if alert is None:
            return None
        group = {name: alert.labels[name] for name in self._route.group_by or () if name in alert.labels}
        return webhook_body(self._route, group, [alert], self._clock.now())

    async def live(self, app: str) -> frozenset[str]:
        """The digests that the shop's ready pods run."""
        return frozenset(digest for digest, ready in self._pods(app) if ready)

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, human: bool = True) -> Any:
        """One call of Argo CD's API, as a person would do it."""
        if self._session is None:
            raise TemporaryError("the world is not started")
        headers = {"Authorization": f"Bearer {self._human if human else self._token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, f"{self.argocd.url}{path}", data=data, headers=headers) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise TemporaryError(f"Argo CD answered {answer.status}: {text[:200]}")
            return json.loads(text) if text else None

    # --- the delivery system -----------------------------------------------------------------------------------------------

    def target(self, app: str) -> TargetId:
        """The shop as Backout calls it."""
        return TargetId("sandbox", app)

    def _delivery(self) -> Mapping[str, Any]:
        """Backout's settings for it."""
        return {"kind": "argocd", "name": "sandbox", "url": self.argocd.url, "token_file": str(self.folder / "argocd-token")}

    async def _open_delivery(self) -> None:
        await self.argocd.start()
        everything = "*/*, allow"
        self._token = self.argocd.add_account(
            "backout",
            [
                *(f"p, backout, applications, {verb}, {everything}" for verb in ("get", "sync", "update")),
                "p, backout, projects, get, *, allow",
                f"p, backout, applicationsets, get, {everything}",
                f"p, backout, logs, get, {everything}",
            ],
        )
        self._human = self.argocd.add_account("alice", [f"p, alice, *, *, {everything}", "p, alice, projects, *, *, allow"])
        self._write("argocd-token", self._token)

    async def _close_delivery(self) -> None:
        await self.argocd.stop()

    async def _deploy_first(self, app: str, shipped: Shipped, replicas: int, *, auto_sync: bool) -> None:
        """The first release of a shop that is not there yet."""
        del shipped, replicas  # it is in Git
        policy: dict[str, Any] = {"automated": {"prune": False, "selfHeal": True}} if auto_sync else {}
        body = {
            "metadata": {"name": app, "namespace": "argocd"},
            "spec": {
                "project": "default",
                "source": {"repoURL": self.git.file_url("config"), "path": app, "targetRevision": "main"},
                "destination": {"server": "https://kubernetes.default.svc", "namespace": app},
                "syncPolicy": {**policy, "syncOptions": ["CreateNamespace=true"]},
            },
        }
        await self.call("POST", "/api/v1/applications", body)
        if not auto_sync:
            await self.call("POST", f"/api/v1/applications/{app}/sync", {"name": app})

    async def _deploy_next(self, app: str, shipped: Shipped) -> None:
        """A release that was just shipped begins to go live."""
        del shipped  # it is in Git
        await self.call("GET", f"/api/v1/applications/{app}?refresh=normal")

    def _replicas(self, app: str) -> int:
        return int(self._manifest(app)["spec"]["replicas"])

    # --- what runs ---------------------------------------------------------------------------------------------------------

    @property
    def registry_host(self) -> str:
        """Host and port as image references spell it."""
        return self.registry.url.removeprefix("http://")

    def _manifest(self, app: str) -> Any:
        return next(o for o in self.argocd.cluster.tracked_by(app).values() if o["kind"] == "Deployment")

    def _pods(self, app: str) -> Sequence[tuple[str, bool]]:
        """(digest, ready) of each pod of the shop."""
        found: list[tuple[str, bool]] = []
        for deployment in self.argocd.cluster.tracked_by(app).values():
            if deployment["kind"] != "Deployment":
                continue
            for replica_set in self.argocd.cluster.owned_by(deployment["metadata"]["uid"]).values():
                for pod in self.argocd.cluster.owned_by(replica_set["metadata"]["uid"]).values():
                    status = (pod.get("status", {}).get("containerStatuses") or [{}])[0]
                    found.append((str(status.get("imageID", "")).rpartition("@")[2], bool(status.get("ready"))))
        return found

    def _serving(self, app: str) -> Sequence[_Image]:
        return [self._images[digest] for digest, ready in self._pods(app) if ready and digest in self._images]

    def _selector(self, selector: str, source: Callable[[datetime], Sequence[tuple[Mapping[str, str], float]]]) -> None:
        """The raw series that an expression reads, and their age: who judges an expression asks how old its samples are."""
        self.prometheus.register(selector, source)
        self.prometheus.register(f"time() - timestamp({selector})", self.prometheus.age_of(selector), recording="asked")

    def _counters(self, at: datetime, only: str = "") -> Sequence[tuple[Mapping[str, str], float]]:
        """One counter a shop that serves; its value only grows with the clock, for nobody asks for it as such."""
        apps = [app for app in self._shops if (not only or app == only) and self._rate(app)]
        return [({"__name__": "http_requests_total", **self._labels(app), "code": "500"}, at.timestamp()) for app in apps]

    def _labels(self, app: str) -> dict[str, str]:
        return {"namespace": self._shops[app].namespace, self.label: app}

    def _rate(self, app: str) -> float:
        return REQUESTS if self._serving(app) else 0.0

    def _share(self, app: str) -> float:
        serving = self._serving(app)
        return sum(i.errors or 0.002 for i in serving) / len(serving) if serving else 0.0

    def _by_version(self, app: str) -> Mapping[str, float]:
        shares: dict[str, list[float]] = {}
        for image in self._serving(app):
            shares.setdefault(image.version, []).append(image.errors or 0.002)
        return {version: sum(all_of) / len(all_of) for version, all_of in shares.items()}

    # --- Backout's settings ------------------------------------------------------------------------------------------------

    def settings(self, *, listen: str, modes: Mapping[str, str] | None = None, bake: str = "3s", extra: Mapping[str, Any] | None = None) -> Path:
        """Write `backout.yaml` that points at this world; the policy names every alert, query and declaration, as an operator would.

        `modes` is shop -> mode, auto where it does not say.
        """
        targets = [
            {
                "match": str(self.target(app)),
                "mode": (modes or {}).get(app, "auto"),
                "alerts": ["HighErrorRate"],
                "recovered_when": {  # no SLI of its own: the firing rule's expression is the SLI
                    "for": bake,
                    "scrape_interval": "400ms",
                    "passes": 3,
                },
                "version_split": {"promql": self.by_version.format(app=app), "label": "version", "above": LIMIT},
                "declares": {"shared_services": [], "cache": "versioned"},
                "minimum_healthy": "1s",
            }
            for app in self._shops
        ]
        document: dict[str, Any] = {
            "listen": listen,
            "store": f"sqlite:///{self.folder / 'backout.db'}",
            "stop_file": str(self.folder / "STOP"),
            "public_url": f"http://{listen}",
            "auth": {"keys_file": str(self.folder / "keys.json")},
            "alerts": {"alertmanager": [{"name": one.name, "token_file": str(self.folder / one.token_file), "targets": "sandbox:*"} for one in SENDERS]},
            "notify": [{"kind": "webhook", "name": "on-call", "url": f"{self.sink.url}/hook", "token_file": str(self.folder / "notify-token")}],
            "delivery": [self._delivery()],
            "evidence": {
                "prometheus": {"url": self.prometheus.url},
                "registry": {"registries": [{"host": self.registry_host, "url": self.registry.url}]},
                "git": {
                    "cache_dir": str(self.folder / "mirrors"),
                    "repositories": [{"repository": self.git.http_url(f"shop/{app}"), "dialect": "postgres"} for app in self._shops],
                },
            },
            "audit": {"otlp": self.collector.url, "environment": "sandbox"},
            "watch": {"every": "500ms", "beat": "500ms"},
            "targets": targets,
            **(extra or {}),
        }
        path = self.folder / "backout.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return path

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text + "\n", encoding="utf-8")

    @staticmethod
    def _deployment(app: str, image: str, replicas: int) -> Mapping[str, Any]:
        labels = {"app": app}
        container = {"name": "main", "image": image}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": app},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        }
