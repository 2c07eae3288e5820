"""What the contract suite speaks with: a sandbox in this process, or the Gate that BACKOUT_GATE_URL names.

Of a real one the suite needs an application of its own (BACKOUT_GATE_APP, `backoutscratch` where that is not set) in which it may save, start and delete
pipelines of waits and judgments; nothing is deployed. BACKOUT_GATE_TOKEN is sent as X-Spinnaker-Token. What was made is cancelled and deleted.
"""

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import aiohttp
from yarl import URL

from integrations.sandbox.gate.server import SandboxGate
from integrations.sandbox.gate.settings import Profile, Timings
from integrations.sandbox.gate.statuses import COMPLETE
from tests.fakes.clock import LoopClock

T = TypeVar("T")
Json = dict[str, Any]
APP: Final = "backoutscratch"
ECHO_POLL: Final = 40.0
"""Seconds after which Echo has polled again, with the shipped interval of thirty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status, headers by their lower-case names, and the body: what JSON said, None for an empty one."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def message(self) -> str:
        """What an error says, in any of its shapes."""
        return str(self.body.get("message") or self.body.get("detail") or self.body.get("error")) if isinstance(self.body, dict) else ""


@dataclass(slots=True, kw_only=True)
class Spinnaker:
    """The one under test. `sandbox` is None where it is real."""

    url: str
    app: str
    session: aiohttp.ClientSession
    sandbox: SandboxGate | None = None
    headers: Json = field(default_factory=dict)
    saved: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)

    @property
    def inside(self) -> SandboxGate:
        """The sandbox itself, for faults that nobody can play on a real one."""
        assert self.sandbox is not None, "only the sandbox has an inside"
        return self.sandbox

    async def call(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, **query: str) -> Answer:
        """One call. Redirects are not followed."""
        url = URL(f"{self.url}{path}", encoded=True)
        url = url.update_query(query) if query else url
        told = {**self.headers, **(headers or {})}
        async with self.session.request(method, url, json=body, headers=told, allow_redirects=False) as answer:
            raw = await answer.read()
            decoded = json.loads(raw) if raw and "json" in answer.headers.get("Content-Type", "") else (raw.decode() or None)
            return Answer(status=answer.status, headers={name.lower(): value for name, value in answer.headers.items()}, body=decoded)

    async def save(self, name: str, stages: list[Json], **more: Any) -> Json:
        """Save a pipeline; a real Echo has polled it when this returns, unless `fresh=True`."""
        fresh = bool(more.pop("fresh", False))
        config = {"application": self.app, "name": name, "stages": stages, **more}
        answer = await self.call("POST", "/pipelines", config)
        assert answer.status == 200, answer
        self.saved.append(name)
        if not fresh:
            await asyncio.sleep(ECHO_POLL)
        found = await self.call("GET", f"/applications/{self.app}/pipelineConfigs/{name}")
        assert found.status == 200, found
        body: Json = found.body
        return body

    async def run(self, name: str, **trigger: Any) -> str:
        """Start a pipeline through v1; the id of its run."""
        answer = await self.call("POST", f"/pipelines/{self.app}/{name}", {"type": "manual", **trigger})
        assert answer.status == 202, answer
        return self.noted(answer)

    def noted(self, answer: Answer) -> str:
        """The id in a ref, remembered so that it is cancelled at the end."""
        execution = str(answer.body["ref"]).rpartition("/")[2]
        self.started.append(str(answer.body["ref"]))
        return execution

    async def task(self, *jobs: Json, **more: Any) -> str:
        """Post an ad-hoc task; its id."""
        answer = await self.call("POST", "/tasks", {"application": self.app, "description": "contract", "job": list(jobs), **more})
        assert answer.status == 200, answer
        return self.noted(answer)

    async def get(self, execution: str, kind: str = "pipelines") -> Json:
        """A run as Gate shows it."""
        answer = await self.call("GET", f"/{kind}/{execution}")
        assert answer.status == 200, answer
        assert answer.body is not None, f"{execution}: 200 with nothing"
        body: Json = answer.body
        return body

    async def until(self, ask: Callable[[], Awaitable[T]], what: str, seconds: float = 120.0) -> T:
        """The first true answer."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            found = await ask()
            if found:
                return found
            assert loop.time() < end, f"{what}: not within {seconds:g} s"
            await asyncio.sleep(0.2)

    async def until_status(self, execution: str, *statuses: str, kind: str = "pipelines", seconds: float = 120.0) -> Json:
        """The run, once it has one of these statuses."""

        async def there() -> Json | None:
            run = await self.get(execution, kind)
            return run if run["status"] in statuses else None

        found = await self.until(there, f"{execution} to be {' or '.join(statuses)}", seconds)
        assert found is not None
        return found

    async def until_ended(self, execution: str, kind: str = "pipelines", seconds: float = 120.0) -> Json:
        """The run, once it is over."""
        return await self.until_status(execution, *COMPLETE, kind=kind, seconds=seconds)

    async def until_stage(self, execution: str, ref: str, status: str) -> Json:
        """The stage of that refId, once it has that status and a task under way."""

        async def there() -> Json | None:
            run = await self.get(execution)
            return next((one for one in run["stages"] if one["refId"] == ref and one["status"] == status and (status != "RUNNING" or one["tasks"])), None)

        found = await self.until(there, f"stage {ref} to be {status}")
        assert found is not None
        return found

    async def clean_up(self) -> None:
        """Cancel what was started, delete what was saved."""
        for ref in self.started:
            await self.call("PUT", f"{ref}/cancel", reason="contract suite")
        for name in self.saved:
            await self.call("DELETE", f"/pipelines/{self.app}/{name}")


@asynccontextmanager
async def sandboxed(profile: Profile | None = None, timings: Timings | None = None) -> AsyncIterator[Spinnaker]:
    """A sandbox with one application, as `inside`."""
    gate = SandboxGate(clock=LoopClock(), profile=profile, timings=timings)
    gate.add_application(APP)
    gate.add_account("k8s")
    gate.add_account("prod", "aws")
    await gate.start()
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            yield Spinnaker(url=gate.url, app=APP, session=session, sandbox=gate)
    finally:
        await gate.stop()


def wait(seconds: int, ref: str = "1", *after: str) -> Json:
    """A stage that waits."""
    return {"type": "wait", "name": "wait", "refId": ref, "requisiteStageRefIds": list(after), "waitTime": seconds}


def judge(**more: Any) -> Json:
    """A stage that waits for a person's judgment."""
    return {"type": "manualJudgment", "name": "Judge", "refId": "1", "requisiteStageRefIds": [], "judgmentInputs": [], "notifications": [], **more}


def unique(name: str) -> str:
    """A name that nobody used before."""
    return f"{name}-{secrets.token_hex(4)}"


def real_gate() -> str:
    """The url of a real Gate, "" where there is none."""
    return os.environ.get("BACKOUT_GATE_URL", "").rstrip("/")
