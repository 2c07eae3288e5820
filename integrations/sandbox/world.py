"""A small production on loopback: delivery systems, Prometheus, Alertmanager, registry, Git, notification sink and trace collector, joined as they would be.

Shops with pods that serve traffic: their share of failing requests is what the images that really run say. For `backout demo` and the e2e tests, which
release into it and watch; nothing here knows Backout but for the settings file that points at it.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from integrations.sandbox.alertmanager import AlertSender, Route, webhook_body
from integrations.sandbox.argocd.server import SandboxArgoCD
from integrations.sandbox.argocd_side import ArgoCDSide
from integrations.sandbox.collector import TraceCollector
from integrations.sandbox.gate.server import SandboxGate
from integrations.sandbox.git import GitServer
from integrations.sandbox.notifications import NotificationSink
from integrations.sandbox.prometheus import SandboxPrometheus
from integrations.sandbox.registry import SandboxRegistry
from integrations.sandbox.side import Shipped, Side, deployment, write_private
from integrations.sandbox.spinnaker_side import SpinnakerSide
from service.domain.errors import TemporaryError
from service.domain.model import TargetId
from service.domain.ports import Clock

REQUESTS = 140.0
"""Requests per second that a shop with ready pods gets."""

SIDES = ARGOCD, SPINNAKER = ArgoCDSide.kind, SpinnakerSide.kind
"""The sides that a world can have, by name."""

REQUEST_RATE = "sum by (namespace, {labels}) (rate(http_requests_total[10s]))"
ERROR_SHARE = 'sum by (namespace, {labels}) (rate(http_requests_total{{code=~"5.."}}[10s])) / sum by (namespace, {labels}) (rate(http_requests_total[10s]))'
BY_VERSION = (
    'sum by ({label}, version) (rate(http_requests_total{{{label}="{app}",code=~"5.."}}[10s]))'
    ' / sum by ({label}, version) (rate(http_requests_total{{{label}="{app}"}}[10s]))'
)
SUMMARY = "{{ $value | humanizePercentage }} of {{ $labels.namespace }}'s requests fail, limit 1 %"
LIMIT = 0.01


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
    side: Side
    namespace: str
    shipped: list[Shipped] = field(default_factory=list)


class World:
    """Start it, add shops, ship releases. `webhook` is Backout's intake; `folder` holds repositories and credential files.

    `sides` names the delivery systems in it; a shop is deployed by the first, unless it says otherwise.
    """

    def __init__(self, *, folder: Path, clock: Clock, webhook: str, fast: bool = False, sides: Sequence[str] = (ARGOCD,)) -> None:
        self.folder = folder
        self._clock = clock
        self._images: dict[str, _Image] = {}
        self._shops: dict[str, _Shop] = {}
        self.git = GitServer(root=folder / "git")
        self.registry = SandboxRegistry(clock=clock)
        if unknown := set(sides) - set(SIDES):
            raise ValueError(f"there is no sandbox {', '.join(sorted(unknown))}")
        self._argocd = ArgoCDSide(folder=folder, clock=clock, git=self.git, fast=fast) if ARGOCD in sides else None
        self._spinnaker = SpinnakerSide(folder=folder, clock=clock) if SPINNAKER in sides else None
        made = {one.kind: one for one in (self._argocd, self._spinnaker) if one is not None}
        self._sides: Mapping[str, Side] = {name: made[name] for name in sides}
        labels = ", ".join(one.label for one in self._sides.values())
        self.request_rate, self.error_share = REQUEST_RATE.format(labels=labels), ERROR_SHARE.format(labels=labels)
        self.prometheus = SandboxPrometheus(clock=clock, interval=timedelta(milliseconds=200))
        self.sink = NotificationSink(clock=clock)
        self.collector = TraceCollector()
        route = Route(
            group_by=("alertname", "namespace", *(one.label for one in self._sides.values())),
            group_wait=timedelta(milliseconds=200),
            group_interval=timedelta(seconds=1),
            repeat_interval=timedelta(seconds=30),
        )
        self.senders = SENDERS
        self._route = route
        self.alertmanager = AlertSender(webhook, folder / SENDERS[0].token_file, clock=clock, route=route)

    async def start(self) -> None:
        """Start every part; the shared expressions and the alerting rule are known from the first sample on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "git").mkdir(exist_ok=True)
        for sender in SENDERS:
            write_private(self.folder / sender.token_file, secrets.token_urlsafe(24))
        write_private(self.folder / "notify-token", secrets.token_urlsafe(24))
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
            annotations={"summary": SUMMARY},
        )
        for one in (self.git, self.registry, self.prometheus, self.sink, self.collector):
            await one.start()
        for side in self._sides.values():
            await side.open()
        await self.alertmanager.start()
        self.alertmanager.follow(self.prometheus, every=timedelta(milliseconds=200))
        self.git.create("config")

    async def stop(self) -> None:
        """Stop every part."""
        await self.alertmanager.stop()
        for side in self._sides.values():
            await side.close()
        for one in (self.collector, self.sink, self.prometheus, self.registry, self.git):
            await one.stop()

    # --- shops and releases ------------------------------------------------------------------------------------------------

    async def add_shop(
        self, app: str, version: str, *, replicas: int = 2, auto_sync: bool = True, files: Mapping[str, str] | None = None, on: str = ""
    ) -> Shipped:
        """A new shop with its first release, deployed by the side named by `on`; answers once it is healthy."""
        side = self._sides[on] if on else next(iter(self._sides.values()))
        self.git.create(f"shop/{app}")
        self._shops[app] = _Shop(side=side, namespace=side.namespace(app))
        self._selector(f'http_requests_total{{{side.label}="{app}"}}', lambda at: self._counters(at, app))
        self._selector(f'http_requests_total{{{side.label}="{app}",code=~"5.."}}', lambda at: self._counters(at, app))
        query = BY_VERSION.format(label=side.label, app=app)
        self.prometheus.register(query, lambda _at: [({side.label: app, "version": v}, share) for v, share in self._by_version(app).items()])
        shipped = self._ship(app, version, 0.0, self._commit(app, version, files or {}), replicas, {})
        await side.deploy_first(shipped, replicas, auto_sync=auto_sync)
        await self.until_live(app, shipped)
        return shipped

    async def release(
        self,
        app: str,
        version: str,
        *,
        errors: float = 0.0,
        files: Mapping[str, str | None] | None = None,
        labels: Mapping[str, str] | None = None,
        built_with: Shipped | None = None,
    ) -> Shipped:
        """Ship the next release: source commit, image, configuration commit, and its deploy; answers before it is live.

        `labels` are further labels of the image. `built_with`: its image is built from the commit of that release, of another shop.
        """
        shop = self._shops[app]
        source = (built_with.repository, built_with.source) if built_with is not None else self._commit(app, version, files or {})
        shipped = self._ship(app, version, errors, source, shop.side.replicas(app), labels or {})
        shop.shipped.append(shipped)
        await shop.side.deploy_next(shipped)
        return shipped

    def starts_to_fail(self, shipped: Shipped, errors: float) -> None:
        """From now on that share of the requests that this release serves fails."""
        self._images[shipped.digest].errors = errors

    def _commit(self, app: str, version: str, files: Mapping[str, str | None]) -> tuple[str, str]:
        """A commit to the shop's own repository: its address, and the commit."""
        commit = self.git.commit(f"shop/{app}", {"src/app.py": f"VERSION = {version!r}\n", **files}, f"{app} {version}", self._clock.now())
        return self.git.http_url(f"shop/{app}"), commit

    def _ship(self, app: str, version: str, errors: float, source: tuple[str, str], replicas: int, declared: Mapping[str, str]) -> Shipped:
        repository, commit = source
        labels = {
            "org.opencontainers.image.revision": commit,
            "org.opencontainers.image.source": repository,
            "org.opencontainers.image.version": version,
            **declared,
        }
        digest = self.registry.push(f"shop/{app}", version, labels)
        self._images[digest] = _Image(version=version, errors=errors)
        image = f"{self.registry_host}/shop/{app}@{digest}"
        manifest = yaml.safe_dump(deployment(app, image, replicas), sort_keys=False)
        config = self.git.commit("config", {f"{app}/deployment.yaml": manifest}, f"{app}: {version}", self._clock.now())
        shipped = Shipped(app=app, version=version, repository=repository, source=commit, image=image, digest=digest, config=config)
        if not self._shops[app].shipped:
            self._shops[app].shipped.append(shipped)
        return shipped

    async def until_live(self, app: str, shipped: Shipped, seconds: float = 60.0) -> None:
        """Wait until every pod of the shop is ready and runs that release."""
        end = self._clock.now() + timedelta(seconds=seconds)
        while self._clock.now() < end:
            pods = self.side_of(app).pods(app)
            if pods and all(ready and digest == shipped.digest for digest, ready in pods):
                return
            await self._clock.sleep(0.05)
        raise TemporaryError(f"{app} {shipped.version} did not go live within {seconds:g} s")

    def webhook_about(self, app: str) -> bytes | None:
        """The webhook that Alertmanager would send about the shop's firing alert now; None while nothing fires."""
        alert = next((one for one in self.prometheus.outgoing_alerts() if one.labels.get(self.side_of(app).label) == app), None)
        if alert is None:
            return None
        group = {name: alert.labels[name] for name in self._route.group_by or () if name in alert.labels}
        return webhook_body(self._route, group, [alert], self._clock.now())

    async def live(self, app: str) -> frozenset[str]:
        """The digests that the shop's ready pods run."""
        return frozenset(digest for digest, ready in self.side_of(app).pods(app) if ready)

    # --- the delivery systems ----------------------------------------------------------------------------------------------

    def side(self, name: str) -> Side:
        """A side by its name."""
        return self._sides[name]

    def side_of(self, app: str) -> Side:
        """The side that deploys the shop."""
        return self._shops[app].side

    def called(self, shipped: Shipped) -> str:
        """A release as the users of its delivery system call it."""
        return self.side_of(shipped.app).called(shipped)

    def target(self, app: str) -> TargetId:
        """The shop as Backout calls it."""
        return self.side_of(app).target(app)

    @property
    def argocd(self) -> SandboxArgoCD:
        """The Argo CD in it."""
        return self._argocd_side.server

    @property
    def spinnaker(self) -> SpinnakerSide:
        """The Spinnaker in it."""
        if self._spinnaker is None:
            raise LookupError("there is no Spinnaker in this world")
        return self._spinnaker

    @property
    def gate(self) -> SandboxGate:
        """Its Gate."""
        return self.spinnaker.server

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, human: bool = True) -> Any:
        """One call of Argo CD's API, as a person would do it."""
        return await self._argocd_side.call(method, path, body, human=human)

    @property
    def _argocd_side(self) -> ArgoCDSide:
        if self._argocd is None:
            raise LookupError("there is no Argo CD in this world")
        return self._argocd

    # --- what runs ---------------------------------------------------------------------------------------------------------

    @property
    def registry_host(self) -> str:
        """Host and port as image references spell it."""
        return self.registry.url.removeprefix("http://")

    def _serving(self, app: str) -> Sequence[_Image]:
        return [self._images[digest] for digest, ready in self.side_of(app).pods(app) if ready and digest in self._images]

    def _selector(self, selector: str, source: Callable[[datetime], Sequence[tuple[Mapping[str, str], float]]]) -> None:
        """The raw series that an expression reads, and their age: who judges an expression asks how old its samples are."""
        self.prometheus.register(selector, source)
        self.prometheus.register(f"time() - timestamp({selector})", self.prometheus.age_of(selector), recording="asked")

    def _counters(self, at: datetime, only: str = "") -> Sequence[tuple[Mapping[str, str], float]]:
        """One counter a shop that serves; its value only grows with the clock, for nobody asks for it as such."""
        apps = [app for app in self._shops if (not only or app == only) and self._rate(app)]
        return [({"__name__": "http_requests_total", **self._labels(app), "code": "500"}, at.timestamp()) for app in apps]

    def _labels(self, app: str) -> dict[str, str]:
        return {"namespace": self._shops[app].namespace, self.side_of(app).label: app}

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
                "version_split": {"promql": BY_VERSION.format(label=self.side_of(app).label, app=app), "label": "version", "above": LIMIT},
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
            "alerts": {"alertmanager": [{"name": one.name, "token_file": str(self.folder / one.token_file), "targets": "*"} for one in SENDERS]},
            "notify": [{"kind": "webhook", "name": "on-call", "url": f"{self.sink.url}/hook", "token_file": str(self.folder / "notify-token")}],
            "delivery": [side.settings() for side in self._sides.values()],
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
