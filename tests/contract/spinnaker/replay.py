"""Plays a recording of a real Gate against the sandbox: the same requests at the same moments, each answer compared with the recorded one.

A run that was read shows one moment; the sandbox is asked as soon as its run shows the same statuses of run, stages and tasks.
"""

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import aiohttp
from yarl import URL

from integrations.sandbox.gate.ids import Ids
from integrations.sandbox.gate.server import SandboxGate
from tests.contract.spinnaker.likeness import ULID, UUID, Differs, compare
from tests.fakes.clock import START
from tests.unit.integrations.delivery.spinnaker.recordings import steps

RECORDED_START: Final = 1_800_000_000_000
PATIENCE: Final = 900.0
"""Seconds of the loop's own time within which a run has to come to what was recorded."""
CLOSELY: Final = 10.0
"""The same, for what else it shows while its statuses stay."""
LOOK: Final = 0.01
LONG: Final = 60.0
"""After so long a wait it is looked less often."""
HEADERS: Final = ("content-type", "location", "allow", "x-ratelimit-capacity", "x-ratelimit-remaining", "x-ratelimit-learning")
"""The headers that matter; a request id is looked for where one was recorded."""
BY_STUBS: Final = ("/manifests/", "/serverGroups", "/serverGroupManagers", "/pipelineConfigs", "/clusters")
"""Paths whose content Clouddriver or Front50 says: they were stubs, a real one may say more."""

Json = dict[str, Any]
Between = Callable[["Player", int, Json], Awaitable[None]]


async def nothing(_player: "Player", _at: int, _step: Json) -> None:
    """Nobody does anything between two steps."""


@dataclass(slots=True, kw_only=True)
class Player:
    """One recording on one sandbox. `skip`: numbers of steps that are not played, each with the reason."""

    gate: SandboxGate
    session: aiohttp.ClientSession
    name: str
    between: Between = nothing
    skip: Mapping[int, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    own: Ids = field(default_factory=lambda: Ids(7))
    token: str = ""

    async def play(self) -> None:
        """All of it; `Differs` names the step and the path."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        late = 0.0
        for at, step in enumerate(steps(self.name)):
            if at in self.skip or not isinstance(step["response"]["status"], int) or "in parallel" in step.get("note", ""):  # a summary of several calls
                continue
            await self.between(self, at, step)
            when = began + step["at_ms"] / 1000 + late
            if loop.time() < when and not _shows_a_run(step):
                await asyncio.sleep(when - loop.time())
            try:
                await self._step(step)
            except Differs as error:
                request = step["request"]
                raise Differs(f"{self.name}, step {at}, {request['method']} {request['path']} {step.get('note', '')}: {error}") from error
            late = max(late, loop.time() - began - (step["at_ms"] + (step.get("took_ms") or 0)) / 1000)

    async def _step(self, step: Json) -> None:
        request, response = step["request"], step["response"]
        body = response["body"]
        if _shows_a_run(step):
            await self._until_like(request["path"], body)
            await self._look_closer(step)
            return
        await self._once(step)

    async def _look_closer(self, step: Json) -> None:
        """A run may say more while its statuses stay the same: look until it is like the recorded one, or has gone on."""
        loop, path, body = asyncio.get_running_loop(), step["request"]["path"], step["response"]["body"]
        end = loop.time() + CLOSELY
        unlike: list[str] = []
        while True:
            try:
                await self._once(step)
            except Differs as error:
                if str(error) not in unlike:
                    unlike.append(str(error))
                await asyncio.sleep(LOOK)
                now = signature(self.gate.run_of(self._named(path.rpartition("/")[2])), short=_is_short(body))
                if now != signature(body) or loop.time() > end:
                    raise Differs("\n    then ".join(unlike)) from error
            else:
                return

    async def _once(self, step: Json) -> None:
        request, response = step["request"], step["response"]
        body = response["body"]
        status, headers, actual = await self._call(request)
        if status != response["status"]:
            raise Differs(f"{status} instead of {response['status']}: {actual}")
        self._compare_headers(response.get("headers") or {}, headers)
        if body is None:
            if actual is not None:
                raise Differs(f"{actual!r} instead of an empty body")
            return
        if request["path"] == "/auth/apiTokens" and isinstance(actual, dict):
            self.token = actual.get("token") or self.token
        if isinstance(body, dict) and _is_short(body):
            return  # its statuses were waited for, and nothing else of it was kept
        by_stub = any(part in request["path"] for part in BY_STUBS)
        if isinstance(body, list) and body and isinstance(body[0], dict) and ("trigger" in body[0] or "execution" in body[0]):
            self._compare_lists(body, actual)
            return
        compare(body, actual, more=by_stub, bind=self.bind, shortened="body_list_length" in step)

    def _compare_lists(self, recorded: list[Json], actual: Any) -> None:
        """The lab had a past of which the sandbox knows nothing: each run in the sandbox's list is like a run as the recorded list shows runs."""
        if not isinstance(actual, list) or not actual:
            raise Differs(f"{actual!r} instead of a list of runs")
        for one in actual:
            about = one.get("execution", one)
            unlike = []
            for other in recorded:
                theirs = other.get("execution", other)
                if about.get("name") == theirs.get("name") and about["status"] == theirs["status"]:
                    try:
                        compare(other, one, more=False, bind=lambda _recorded, _actual: None)
                    except Differs as error:
                        unlike.append(str(error))
                    else:
                        for key in ("id",):
                            self.bind(theirs[key], about[key])
                        break
            else:
                if unlike:
                    raise Differs("; ".join(unlike))
                base = {
                    "additionalHeaders",
                    "application",
                    "authentication",
                    "buildTime",
                    "canceled",
                    "id",
                    "initialConfig",
                    "origin",
                    "stages",
                    "status",
                    "trigger",
                }
                if not base <= about.keys():
                    raise Differs(f"a run lacks {sorted(base - about.keys())}")

    def bind(self, recorded: str, actual: str) -> None:
        """Remember which of the sandbox's ids a recorded one is."""
        if recorded.startswith(("ULID-", "UUID-")):
            self.ids.setdefault(recorded, actual)

    async def _until_like(self, path: str, body: Json) -> None:
        loop = asyncio.get_running_loop()
        wanted, began = signature(body), loop.time()
        seen: list[Any] = []
        execution_id = self._named(path.rpartition("/")[2])
        while loop.time() < began + PATIENCE:
            try:
                state = signature(self.gate.run_of(execution_id), short=_is_short(body))
            except KeyError:
                state = None
            if state == wanted:
                return
            if not seen or seen[-1] != state:
                seen.append(copy.deepcopy(state))
            await asyncio.sleep(LOOK if loop.time() < began + LONG else 20 * LOOK)
        raise Differs(f"the run never was {wanted}; it was {seen}")

    def _named(self, text: str) -> str:
        """A text with the recorded ids replaced by the sandbox's; an id that nobody saw before is one of our own choice."""

        def actual(name: str) -> str:
            if name not in self.ids:
                self._foresee(name)
            if name not in self.ids:
                self.ids[name] = self.own.ulid(self.gate.timeline.millis) if name.startswith("ULID") else self.own.uuid()
            return self.ids[name]

        for pattern in (ULID, UUID):
            text = pattern.sub(lambda found: actual(found[0]) if found[0].startswith(("ULID-", "UUID-")) else found[0], text)
        return text

    def _foresee(self, name: str) -> None:
        """An id of a stage that the recording names before it shows it: found by its refId."""
        for step in steps(self.name):
            body = step["response"]["body"]
            execution = body.get("execution", body) if isinstance(body, dict) else {}
            for stage in execution.get("stages", []) if isinstance(execution, dict) else []:
                if isinstance(stage, dict) and stage.get("id") == name and execution.get("id") in self.ids:
                    run = self.gate.run_of(self.ids[execution["id"]])
                    self.ids[name] = next(one["id"] for one in run["stages"] if one["refId"] == stage["refId"])
                    return

    async def _call(self, request: Json) -> tuple[int, Mapping[str, str], Any]:
        shift = round(START.timestamp() * 1000) - RECORDED_START
        query = {}
        for name, value in (request.get("query") or {}).items():
            number = int(value) if value.isdigit() else 0
            moved = str(number + shift) if 1_700_000_000_000 < number < 2_000_000_000_000 else value
            query[name] = self._named(moved)
        headers = {name: value.replace("spk_<token>", self.token) for name, value in (request.get("headers") or {}).items()}
        sent = request["body"]
        data: bytes | None = None
        if isinstance(sent, str):
            data = sent.encode()
        elif sent is not None:
            data = self._named(json.dumps(sent)).encode()
        if data is not None:
            headers = {"Content-Type": "application/json", **headers}
        url = URL(f"{self.gate.url}{self._named(request['path'])}", encoded=True)
        if query:
            url = url.update_query(query)
        async with self.session.request(request["method"], url, data=data, headers=headers, allow_redirects=False) as answer:
            raw = await answer.read()
            told = {name.lower(): value for name, value in answer.headers.items()}
            decoded = raw.decode() if "yaml" in told.get("content-type", "") else json.loads(raw) if raw else None
            return answer.status, told, decoded

    def _compare_headers(self, recorded: Mapping[str, str], actual: Mapping[str, str]) -> None:
        for name in HEADERS:
            one, other = recorded.get(name), actual.get(name)
            if one is not None:
                one = one.replace("GATE", "http://gate:8084")
            if (one or "").lower() != (other or "").lower():
                raise Differs(f"header {name}: {other!r} instead of {one!r}")
        if len(recorded) > 1 and ("x-spinnaker-request-id" in recorded) != ("x-spinnaker-request-id" in actual):
            raise Differs("a request id only on one side")


def _shows_a_run(step: Json) -> bool:
    body = step["response"]["body"]
    if step["request"]["method"] != "GET" or not isinstance(body, dict):
        return False
    execution = body.get("execution", body)
    return "stages" in execution and ("trigger" in execution or _is_short(body))


def _is_short(body: Json) -> bool:
    execution = body.get("execution", body)
    return bool(body.get("__shortened__") or execution.get("__shortened__"))


def signature(body: Json, *, short: bool = False) -> Any:
    """The statuses of a run, its stages and their tasks; for a shortened recording without refIds."""
    execution = body.get("execution", body)
    if execution.get("__shortened__"):
        listed = [[kind, name, status, owner, [list(task) for task in tasks]] for kind, name, status, owner, tasks in execution["stages"]]
        return [execution["status"], sorted(listed, key=str)]
    tasks = {one["id"]: [[task["name"], task["status"]] for task in one["tasks"]] for one in execution["stages"]}
    if short:
        found = [[one["type"], one["name"], one["status"], one.get("syntheticStageOwner"), tasks[one["id"]]] for one in execution["stages"]]
    else:
        found = [[one["refId"], one["type"], one["status"], tasks[one["id"]]] for one in execution["stages"]]
    return [execution["status"], sorted(found, key=str)]


def seconds(step: Json) -> timedelta:
    """When a step was sent, from the start of its recording."""
    return timedelta(milliseconds=step["at_ms"])
