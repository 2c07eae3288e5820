"""A sandbox Argo CD with Git repositories, people and an adapter, for the tests of this folder and for the port's contract suite.

Time is shared by both sides and passes only while both wait (`tests/unhurried.py`). `sleep` moves it at once, all but a blink in which the sandbox works.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from integrations.delivery.argocd.adapter import build
from integrations.delivery.argocd.settings import Settings
from integrations.http import Http
from integrations.sandbox.argocd.server import SandboxArgoCD
from integrations.sandbox.argocd.settings import V3_2_11, Profile, Timings
from integrations.sandbox.git import GitServer
from service.domain import keys
from service.domain.facts import Evidence, Facts, Known
from service.domain.keys import TargetState
from service.domain.model import Release, TargetId, Way
from service.domain.planning.plan import Offer, Step
from service.domain.policy import TargetPolicy
from service.domain.ports import Delivery, Intention
from service.domain.rule import Case

START = datetime(2026, 5, 4, 14, 0, tzinfo=UTC)
ALL = ("get", "sync", "update")


class StageClock:
    """Goes with the event loop, and jumps when somebody sleeps."""

    def __init__(self) -> None:
        self._jumped = 0.0
        self.slept: list[float] = []
        self.after_sleep: Callable[[float], object] = lambda _seconds: None

    def now(self) -> datetime:
        return START + timedelta(seconds=asyncio.get_running_loop().time() + self._jumped)

    def jump(self, seconds: float) -> None:
        self._jumped += seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._jumped += seconds
        await asyncio.sleep(min(seconds, 0.03))
        self.after_sleep(seconds)


class CountingGuard:
    """Lets every send pass and counts them; `stop` makes it refuse."""

    def __init__(self, stop: Exception | None = None) -> None:
        self.asked = 0
        self._stop = stop

    async def __call__(self) -> None:
        self.asked += 1
        if self._stop is not None:
            raise self._stop


def manifests(name: str, image: str, extra: Mapping[str, str] | None = None) -> dict[str, str | None]:
    """Files of a small service."""
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": image}]}},
        },
    }
    return {"deploy/app.json": json.dumps(deployment), **(extra or {})}


class Stage:
    """One Argo CD with an administrator (`person`), a Backout account, and applications made from Git."""

    def __init__(self, root: Path, clock: StageClock, profile: Profile) -> None:
        self.root = root
        self.clock = clock
        self.sandbox = SandboxArgoCD(clock=clock.now, timings=Timings.fast(), profile=profile)
        self.git = GitServer(root=root / "git")
        self._admin: Http | None = None
        self._adapters: list[Delivery] = []
        self.argo: Delivery

    async def open(self, verbs: Sequence[str]) -> None:
        await self.sandbox.start()
        self._admin = Http(base_url=self.sandbox.url, token_file=self._token("admin", self.sandbox.admin_token()), timeout=10.0)
        self.argo = self.adapter(verbs)

    def adapter(
        self,
        verbs: Sequence[str] = ALL,
        *,
        name: str = "backout",
        project: str = "*",
        extra: Sequence[str] = ("projects, get, *", "applicationsets, get, */*"),
        **more: Any,
    ) -> Delivery:
        """Another adapter, with an account that has just these verbs on that project's applications, and what else is named."""
        policies = [f"p, {name}, applications, {verb}, {project}/*, allow" for verb in verbs]
        policies += [f"p, {name}, {right}, allow" for right in extra]
        token = self.sandbox.add_account(name, policies)
        self._adapters.append(build(self.settings(self._token(name, token), **more), self.clock))
        return self._adapters[-1]

    def settings(self, token_file: Path, **more: Any) -> Settings:
        return Settings.model_validate({"name": "prod", "url": self.sandbox.url, "token_file": token_file, **more})

    def _token(self, name: str, token: str) -> Path:
        path = self.root / f"{name}.token"
        path.write_text(token + "\n", encoding="utf-8")
        return path

    async def close(self) -> None:
        for adapter in self._adapters:
            await adapter.close()
        if self._admin is not None:
            await self._admin.close()
        await self.sandbox.stop()

    # --- what people and Git do ---

    async def person(self, method: str, path: str, body: Any = None) -> Any:
        assert self._admin is not None
        raw = json.dumps(body).encode() if body is not None else None
        answer = await self._admin.request(method, f"/api/v1{path}", data=raw, headers={"Content-Type": "application/json"})
        assert answer.status == 200, answer.body
        return answer.json()

    def commit(self, name: str, image: str, extra: Mapping[str, str] | None = None) -> str:
        return self.git.commit(name, manifests(name, image, extra), f"{name} runs {image}", self.clock.now())

    async def application(
        self, name: str, *, automated: Mapping[str, Any] | None = None, project: str = "default", annotations: Mapping[str, str] | None = None
    ) -> None:
        """An application with no release yet; its repository is made if there is none."""
        if not (self.root / "git" / f"{name}.git").exists():
            self.git.create(name)
            self.commit(name, f"registry.example/{name}:1.0")
        await self.create(name, self.spec(name, automated=automated, project=project), annotations)

    def spec(self, name: str, *, automated: Mapping[str, Any] | None = None, project: str = "default") -> dict[str, Any]:
        policy: dict[str, Any] = {"syncOptions": ["CreateNamespace=true"]} | ({"automated": dict(automated)} if automated is not None else {})
        return {
            "project": project,
            "source": {"repoURL": self.git.file_url(name), "path": "deploy", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": name},
            "syncPolicy": policy,
        }

    async def create(self, name: str, spec: Mapping[str, Any], annotations: Mapping[str, str] | None = None) -> None:
        await self.person("POST", "/applications", {"metadata": {"name": name, "annotations": dict(annotations or {})}, "spec": dict(spec)})

    async def raw(self, name: str) -> Any:
        return await self.person("GET", f"/applications/{name}")

    async def until(self, name: str, holds: Callable[[Any], bool], what: str) -> Any:
        app: Any = None
        for _ in range(400):
            app = await self.raw(name)
            if holds(app):
                return app
            await asyncio.sleep(0.01)
        raise AssertionError(f"{name} never came to {what}: {json.dumps(app.get('operation'))} {json.dumps(app['status'])[:3000]}")

    async def deployed(self, name: str, count: int) -> Any:
        """Wait until the history holds `count` entries, nothing runs, and the result was looked at."""

        def calm(app: Any) -> bool:
            state = app["status"].get("operationState") or {}
            history = app["status"].get("history") or []
            return len(history) >= count and "operation" not in app and app["status"].get("reconciledAt", "") >= state.get("finishedAt", "~")

        return await self.until(name, calm, f"{count} releases")

    async def deploy(self, name: str, image: str) -> str:
        """Commit and deploy a release as the administrator (or let auto-sync do it)."""
        sha = self.commit(name, image)
        before = await self.raw(name)
        count = len(before["status"].get("history") or []) + 1
        automated = (before["spec"].get("syncPolicy") or {}).get("automated")
        if automated is not None and automated.get("enabled") is not False:
            await self.person("GET", f"/applications/{name}?refresh=normal")
        else:
            await self.person("POST", f"/applications/{name}/sync", {})
        await self.deployed(name, count)
        self.tick()
        return sha

    async def two_releases(self, name: str, *, automated: Mapping[str, Any] | None = None, annotations: Mapping[str, str] | None = None) -> None:
        """Release 0 runs 1.0, release 1 (live, under suspicion) runs 2.0."""
        await self.application(name, automated=automated, annotations=annotations)
        if automated is None:
            await self.person("POST", f"/applications/{name}/sync", {})
        await self.deployed(name, 1)
        self.tick()
        await self.deploy(name, f"registry.example/{name}:2.0")

    def tick(self, seconds: float = 2.0) -> None:
        """Let time pass, so that stamps of a second differ."""
        self.clock.jump(seconds)

    # --- what Backout does ---

    def target(self, name: str) -> TargetId:
        return TargetId("prod", name)

    async def offer(self, name: str, *, goal: int = 1, way: Way = Way.ROLLBACK) -> tuple[Offer, TargetState]:
        state = await self.argo.look(self.target(name))
        return offer_of(way, self.argo, state, state.history[0], state.history[goal], self.clock.now()), state

    async def ready(self, name: str, step: str, *, way: Way = Way.ROLLBACK, **changes: Any) -> tuple[Step, Intention]:
        """A step of the offer for the application, with an intention to carry it out now."""
        offer, state = await self.offer(name, way=way)
        assert not offer.impossible, offer.impossible
        found = next(s for s in offer.steps if s.name == step)
        return found, self.intention(state, **changes)

    def intention(self, state: TargetState, **changes: Any) -> Intention:
        made = Intention(
            target=state.target,
            uid=state.uid,
            operation_id="op-1",
            suspect=state.history[0],
            goal=state.history[1],
            not_before=self.clock.now(),
            marker="backout op-1: stay rolled back from release 1",
            at=self.clock.now(),
        )
        return replace(made, **changes)

    async def settle(self, seconds: float = 0.4) -> None:
        """Let the sandbox work for a while."""
        await asyncio.sleep(seconds)


def offer_of(way: Way, argo: Delivery, state: TargetState, suspect: Release | None, goal: Release | None, now: datetime) -> Offer:
    known = {keys.state(state.target): Known(value=state, evidence=Evidence(source="test", what="state", read_at=now), good_for=timedelta(hours=1))}
    case = Case(target=state.target, policy=TargetPolicy(), suspect=suspect, goal=goal, way=way, facts=Facts(known=known, now=now))
    return next(offer for offer in argo.offers(case) if offer.way is way)


@asynccontextmanager
async def opened(root: Path, *, verbs: Sequence[str] = ALL, profile: Profile = V3_2_11) -> AsyncIterator[Stage]:
    stage = Stage(root, StageClock(), profile)
    await stage.open(verbs)
    try:
        yield stage
    finally:
        await stage.close()
