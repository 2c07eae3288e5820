"""The real Backout beside the lab: `serve` as a process of its own, pointed at the lab by ordinary settings, with a sink for what it tells people.

Used through its HTTP API and its command line, as people and portals would. Short bake times and the like stand in the settings written here.
"""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import yaml
from aiohttp import web

from service.api.tokens import create_token, new_key
from service.wiring.parts import SystemClock
from tests.real.lab.api import Answer, ApiError, HttpApi
from tests.real.lab.client import WAIT_S, Lab, until
from tests.real.shop import Shop

INSTANCE = "lab"
SCOPES = ("targets:read", "operations:read", "plans:write", "operations:create", "operations:approve", "operations:cancel", "holds:end", "stop:write")

Settings = dict[str, Any]
PATIENCE: Settings = {"timeout_seconds": 30, "refresh_timeout_seconds": 60}
"""With Argo CD, so that a slow machine is not taken for a dead controller."""
Fits = Callable[[Mapping[str, Any]], bool]


def error_share(app: str, *, by: str = "namespace, app") -> str:
    """PromQL: the share of the app's requests that fail, over five seconds."""
    failing, every = (f"sum by ({by}) (rate(http_requests_total{{{matchers}}}[5s]))" for matchers in (f'app="{app}",code=~"5.."', f'app="{app}"'))
    return f"{failing} / {every}"


def policy(shop: Shop, mode: str = "suggest", *, declared_sli: bool = False, give_up_after: str = "15m", hold_review: str = "7d", **more: Any) -> Settings:
    """What an operator would write for the shop, with times as short as the lab's (a scrape each second) instead of minutes; no limit is short.

    `declared_sli`: the SLI is declared; otherwise it is the firing rule's own expression. `more`: further settings of the target.
    """
    sli = {"promql": error_share(shop.name), "below": 0.01} if declared_sli else {}
    traffic = f'sum(rate(http_requests_total{{app="{shop.name}"}}[5s]))'
    return {
        "match": f"{INSTANCE}:{shop.name}",
        "mode": mode,
        "alerts": ["HighErrorRate"],
        "recovered_when": {**sli, "traffic": traffic, "for": "3s", "scrape_interval": "1s", "passes": 3, "give_up_after": give_up_after},
        "version_split": {"promql": error_share(shop.name, by="version"), "label": "version", "above": 0.01},
        "declares": {"shared_services": [], "cache": "versioned"},
        "minimum_healthy": "1s",
        "act_within": "10m",
        "hold_review": hold_review,
        **more,
    }


@dataclass(slots=True)
class Sink:
    """Where notifications arrive: `url` takes them, `received` keeps their bodies."""

    url: str
    received: list[Mapping[str, Any]]

    def about(self, shop: Shop) -> list[Mapping[str, Any]]:
        """The messages about the shop's target, in the order of their arrival."""
        return [body for body in self.received if body.get("target") == f"{INSTANCE}:{shop.name}"]


@asynccontextmanager
async def sink() -> AsyncIterator[Sink]:
    """A chat system's webhook on a free loopback port."""
    received: list[Mapping[str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        received.append(await request.json())
        return web.Response(status=204)

    application = web.Application()
    application.router.add_post("/hook", take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield Sink(url=f"http://{host}:{port}/hook", received=received)
    finally:
        await runner.cleanup()


class Backout:
    """The service for some shops. `folder` holds its store, settings, credentials and log; use `serving` to have it started and stopped."""

    def __init__(self, lab: Lab, folder: Path, session: aiohttp.ClientSession, told: Sink) -> None:
        self._lab, self._folder, self._session = lab, folder, session
        self.told = told
        self.config = folder / "backout.yaml"
        self._listen = f"127.0.0.1:{lab.webhook_port}"
        self._process: asyncio.subprocess.Process | None = None

    def configure(self, shops: Sequence[Shop], policies: Sequence[Settings], *, account: str = "backout", delivery: Settings | None = None) -> Self:
        """Write the settings and every credential they name. `account`: whose Argo CD token it gets. `delivery`: further settings of that section."""
        keys = {"keys": [new_key()]}
        self._secret("keys.json", json.dumps(keys))
        self._secret("argocd.token", self._lab.tokens[account])
        token = create_token(keys, subject="alice", scopes=SCOPES, targets=("*",), expires=timedelta(hours=1), now=SystemClock().now())
        self.api = HttpApi(self._session, f"http://{self._listen}", token)
        settings = {
            "listen": self._listen,
            "store": "sqlite:///backout.db",
            "stop_file": "STOP",
            "public_url": f"http://{self._listen}",
            "auth": {"keys_file": "keys.json"},
            "alerts": {"alertmanager": [{"name": "main", "token_file": str(self._lab.webhook_token_file), "targets": f"{INSTANCE}:*"}]},
            "notify": [{"kind": "webhook", "name": "on-call", "url": self.told.url}],
            "delivery": [{"kind": "argocd", "name": INSTANCE, "url": self._lab.argocd_url, "token_file": "argocd.token", **PATIENCE, **(delivery or {})}],
            "evidence": {
                "prometheus": {"url": self._lab.prometheus_url},
                "registry": {"registries": [{"host": self._lab.registry_host, "url": self._lab.registry_url}]},
                "git": {"cache_dir": "mirrors", "repositories": [{"repository": shop.source.url, "dialect": "postgres"} for shop in shops]},
            },
            "audit": {"otlp": self._lab.otlp_url, "query": self._lab.jaeger_url, "environment": "lab"},
            "watch": {"every": "1s", "beat": "1s"},
            "targets": list(policies),
        }
        self.config.write_text(yaml.safe_dump(settings, sort_keys=False))
        return self

    async def start(self) -> None:
        """Start `serve` and wait until it is ready."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *_program("serve", "--config", str(self.config)), stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL
            )

        async def ready() -> bool:
            self._assert_alive()
            return (await self.api.call("GET", "/readyz")).good

        await until(ready, what="Backout to be ready", every=0.1)

    async def kill(self) -> None:
        """SIGKILL, as an out-of-memory killer would."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM; killed only if it does not end by that."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), WAIT_S)
        except TimeoutError:
            await self.kill()
            raise

    async def doctor(self) -> tuple[int, Sequence[Mapping[str, str]]]:
        """`backout doctor`: exit code and lines."""
        process = await asyncio.create_subprocess_exec(
            *_program("doctor", "--config", str(self.config), "--json"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, errors = await asyncio.wait_for(process.communicate(), WAIT_S)
        assert output, errors.decode()
        return process.returncode or 0, json.loads(output)["checks"]

    # --- the API -----------------------------------------------------------------------------------------------------

    async def until_watched(self, shop: Shop, version: str) -> None:
        """Wait until the release that is live was seen healthy for a second, pods and all: what it takes to be a goal."""

        async def seen() -> bool:
            self._assert_alive()
            answer = await self.api.call("GET", f"/v1/targets/{_segment(shop)}")
            live = [one for one in answer.body["releases"] if one["live_until"] is None] if answer.good else []
            return any(one["version"] == version and one["images"] and one["healthy_for_s"] >= 1 for one in live)

        await until(seen, what=f"Backout to have seen {shop.name} {version} healthy")

    async def target(self, shop: Shop) -> Any:
        """What Backout knows of the shop's target, with every release that it saw."""
        return await self.api.must("GET", f"/v1/targets/{_segment(shop)}")

    async def check(self, shop: Shop) -> Any:
        """The rollback check."""
        return await self.api.must("GET", f"/v1/targets/{_segment(shop)}/rollback-check")

    async def plan(self, shop: Shop, fits: Fits = lambda _: True) -> Any:
        """A plan that fits, kept by the service; not while the alert's own operation is alive: nobody confirms a plan that says so."""

        async def made() -> Any:
            self._assert_alive()
            plan = await self.api.must("POST", "/v1/plans", {"target": f"{INSTANCE}:{shop.name}"})
            busy = any("Another operation is alive" in finding["says"] for finding in plan["verdict"]["findings"])
            return plan if fits(plan) and not busy else None

        return await until(made, what=f"a plan for {shop.name}")

    async def ask(self, shop: Shop, reason: str = "", *, plan: Mapping[str, Any] | None = None, fits: Fits = lambda _: True) -> tuple[Any, Any]:
        """A person asks for exactly the plan that they are shown, each of its doubts named; answers that plan and the operation, which has begun.

        An alert's own operation may be alive at any moment. Then they follow it to its end, and ask for what they are shown after it; also where the plan
        changed between the look and the request. `plan`: what they saw earlier, which they ask for whatever is so by now; else one that `fits`.
        """

        async def begun() -> Any:
            shown = plan or await self.plan(shop, fits)
            accepted = await self._accepted(shop, reason, plan_digest=shown["digest"], accept=shown["must_name"])
            if accepted is None:
                return None
            operation = await self._until(accepted["id"], lambda one: bool(one["done_at"]) or one["phase"] != "begin", "to begin")
            outdated = plan is None and operation["outcome"] == "refused" and "the plan changed since it was shown" in operation["says"]
            return None if outdated else (shown, operation)

        found: tuple[Any, Any] = await until(begun, what=f"a person's request for {shop.name} to be taken")
        return found

    async def ask_for_offer(self, shop: Shop, reason: str) -> Any:
        """A person asks for a rollback and confirms no plan; answers the operation, once it waits for an approval."""
        accepted = await until(lambda: self._accepted(shop, reason), what=f"a person's request for {shop.name} to be taken")
        return await self._until(accepted["id"], _waits, "to wait for a person")

    async def _accepted(self, shop: Shop, reason: str, **confirmed: Any) -> Any:
        """The operation of a request; None where another one was alive, once that has ended."""
        self._assert_alive()
        answer = await self.api.call("POST", "/v1/operations", {"target": f"{INSTANCE}:{shop.name}", "reason": reason, **confirmed})
        if answer.good:
            return answer.body
        if answer.status != 409 or answer.body.get("code") != "target_busy":
            raise ApiError("POST", "/v1/operations", answer.status, answer.body)
        if url := answer.body.get("operation_url"):
            await self._until(str(url).rpartition("/")[2], _ended, "to end, for it is in the way")
        return None

    async def approve(self, operation: Mapping[str, Any], reason: str = "") -> Answer:
        """Approve what waits, naming its plan and its doubts."""
        body = {"plan_digest": operation["plan_digest"], "accept": operation["must_name"], "reason": reason}
        return await self.api.call("POST", f"/v1/operations/{operation['id']}/approve", body)

    async def operations(self, shop: Shop) -> list[Any]:
        """The shop's operations, newest first."""
        found: list[Any] = (await self.api.must("GET", f"/v1/operations?target={_segment(shop)}"))["operations"]
        return found

    async def operation(self, shop: Shop, kind: str = "rollback") -> Any:
        """The shop's first operation of that kind in full (the first alert's, where nobody asked before it); None when there is none."""
        found = [one["id"] for one in await self.operations(shop) if one["kind"] == kind]
        return await self.api.must("GET", f"/v1/operations/{found[-1]}") if found else None

    async def until_waiting(self, shop: Shop, kind: str = "rollback") -> Any:
        """Wait until the shop's first operation of that kind waits for a person."""
        return await self._until(await self._first(shop, kind), _waits, "to wait for a person")

    async def until_ended(self, shop: Shop, kind: str = "rollback") -> Any:
        """Wait until the shop's first operation of that kind has ended."""
        return await self._until(await self._first(shop, kind), _ended, "to end")

    async def until_done(self, asked: Mapping[str, Any]) -> Any:
        """Wait until exactly that operation has ended, whatever alerts begin beside it."""
        return await self._until(asked["id"], _ended, "to end")

    async def _first(self, shop: Shop, kind: str) -> str:
        async def begun() -> Any:
            self._assert_alive()
            return await self.operation(shop, kind)

        try:
            return str((await until(begun, what=f"a {kind} of {shop.name}", every=0.1))["id"])
        except TimeoutError as error:
            raise TimeoutError(f"{error}\nholds: {await self.holds(shop)}\noperations: {await self.operations(shop)}\nlog: {self.tail()}") from error

    async def _until(self, operation_id: str, fits: Fits, what: str) -> Any:
        async def there() -> Any:
            self._assert_alive()
            found = await self.api.must("GET", f"/v1/operations/{operation_id}")
            return found if fits(found) else None

        try:
            return await until(there, what=f"operation {operation_id} {what}", every=0.1)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\nevents: {await self.events({'id': operation_id})}\nlog: {self.tail()}") from error

    async def events(self, operation: Mapping[str, Any]) -> list[Any]:
        """The operation's audit events, in the order of their commits."""
        found: list[Any] = (await self.api.must("GET", f"/v1/operations/{operation['id']}/events"))["events"]
        return found

    async def holds(self, shop: Shop, state: str = "open") -> list[Any]:
        """The shop's holds."""
        found: list[Any] = (await self.api.must("GET", f"/v1/holds?target={_segment(shop)}&state={state}"))["holds"]
        return found

    async def end_hold(self, hold: Mapping[str, Any], reason: str, **more: bool) -> Answer:
        """End a hold by hand; the answer may be a refusal. While an operation is alive (one that only tells of a fix, for one) a person asks again."""

        async def answered() -> Any:
            self._assert_alive()
            answer = await self.api.call("POST", f"/v1/holds/{hold['id']}/end", {"reason": reason, **more})
            return None if answer.body.get("code") == "target_busy" else answer

        found: Answer = await until(answered, what=f"an answer to the end of hold {hold['id']}")
        return found

    # --- small things ------------------------------------------------------------------------------------------------

    @property
    def _log(self) -> Path:
        return self._folder / "service.log"

    def tail(self) -> str:
        """The end of the log."""
        return self._log.read_text()[-3000:]

    def _assert_alive(self) -> None:
        code = self._process.returncode if self._process is not None else None
        assert code is None, f"the service ended with {code}: {self.tail()}"

    def _secret(self, name: str, text: str) -> None:
        path = self._folder / name
        path.touch(mode=0o600)
        path.write_text(text)


def _waits(operation: Mapping[str, Any]) -> bool:
    return bool(operation["phase"] == "awaiting_approval")


def _ended(operation: Mapping[str, Any]) -> bool:
    return bool(operation["done_at"])


OpenShop = Callable[..., Awaitable[Shop]]
"""The fixture `open_shop`: arguments as of `Shop.open`."""
Serve = Callable[..., Awaitable[Backout]]
"""The fixture `serve`: a shop, a mode, and further wishes as of `policy` and `Backout.configure`."""


def _program(*arguments: str) -> Sequence[str]:
    return (sys.executable, "-m", "service", *arguments)


def _segment(shop: Shop) -> str:
    return quote(f"{INSTANCE}:{shop.name}", safe="")


def finding(plan_or_check: Mapping[str, Any], rule: str) -> Mapping[str, Any]:
    """The finding of that rule in a plan's verdict or in a rollback check."""
    findings = plan_or_check.get("findings") or plan_or_check["verdict"]["findings"]
    return next(one for one in findings if one["rule"] == rule)
