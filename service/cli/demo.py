"""`backout demo`: plays the story on this machine with the real service against the sandbox, tells it live, and checks that all of it really happened.

Every line that is told is read from the service's API, the sandbox's own state or what the sandbox received; nothing is told that was not seen.
"""

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from service.domain.errors import BackoutError
from service.wiring.parts import SystemClock
from service.wiring.playground import Playground

SHOPS: Mapping[str, str] = {"checkout": "v2.4.6", "orders": "v3.0.4", "catalog": "v1.8.0", "payments": "v5.2.1"}
MIGRATION = "db/migrations/0042_drop_legacy.sql"


@dataclass(slots=True)
class Story:
    """What is told, and what was checked: name -> whether it was seen to hold."""

    console: Console
    clock: SystemClock
    checks: dict[str, bool] = field(default_factory=dict)

    def scene(self, title: str) -> None:
        """A scene begins."""
        self.console.print(Text(f"\n{title}", style="bold"))

    def tell(self, what: str, says: str, style: str = "", at: datetime | None = None) -> None:
        """One line: time, what, and the sentence."""
        moment = at or self.clock.now()
        line = Text(f"  {moment:%H:%M:%S}  ", style="dim")
        line.append(f"{what:<10} ", style="cyan")
        line.append(says, style=style)
        self.console.print(line)

    def more(self, says: str, style: str = "") -> None:
        """A line that belongs to the one above."""
        self.console.print(Text(f"            {'':<10} {says}", style=style))

    def check(self, name: str, held: object) -> None:
        """Something that has to be so for the demo to count."""
        self.checks[name] = bool(held)

    @property
    def ok(self) -> bool:
        """Whether everything was seen to hold; nothing looked at is nothing seen."""
        return bool(self.checks) and all(self.checks.values())

    @property
    def exit_code(self) -> int:
        """The process's: 0 only if all of it really happened."""
        return 0 if self.ok else 1


async def play(*, keep: bool, as_json: bool) -> int:
    """Play both scenes; 0 only if all of it really happened. With `keep` it stays up until Ctrl-C, and says how to use it."""
    clock = SystemClock()
    console = Console(highlight=False, quiet=as_json, soft_wrap=True)
    story = Story(console=console, clock=clock)
    began = clock.now()
    with tempfile.TemporaryDirectory(prefix="backout-demo-") as folder:
        ground = Playground(Path(folder), clock)
        try:
            console.print(Text("Backout · sandbox Argo CD, Prometheus, Alertmanager, registry, Git, notification sink and trace collector, all on loopback"))
            console.print(
                Text("          the service is the real one, a process of its own, store: SQLite. Bake times are shortened: 3 s instead of 3 min.", style="dim")
            )
            await ground.start(SHOPS)
            story.tell("ready", f"{len(SHOPS)} shops are live and healthy, and Backout watches them ({(clock.now() - began).total_seconds():.0f} s)")
            first = await _taken_back(story, ground)
            second = await _no_way_back(story, ground)
            await _told_and_traced(story, ground, (first, second))
            took = (clock.now() - began).total_seconds()
            _summary(story, first, second, took)
            if as_json:
                sys.stdout.write(json.dumps(_document(story, first, second, took), indent=2) + "\n")
            if keep:
                await _stay(console, ground)
        except BackoutError as error:
            if as_json:
                sys.stdout.write(json.dumps({"ok": False, "error": str(error), "checks": story.checks}, indent=2) + "\n")
            console.print(Text(f"\nThe demo failed: {error}", style="bold red"))
            return 1
        finally:
            await ground.stop()
    return story.exit_code


# --- scene 1 ---------------------------------------------------------------------------------------------------------------


async def _taken_back(story: Story, ground: Playground) -> Mapping[str, Any]:
    story.scene("Scene 1  A bad release is taken back")
    good = await ground.world.live("checkout")
    shipped = await ground.world.release("checkout", "v2.5.0", errors=0.31)
    await ground.world.until_live("checkout", shipped)
    story.tell("checkout", f"release v2.5.0 · {shipped.config[:7]} goes live")
    operation = await _follow(story, ground, "checkout")
    story.check("scene 1 ended recovered", operation["outcome"] == "recovered")
    story.check("the pods run v2.4.6 again, by digest", await ground.world.live("checkout") == good)
    app = await ground.world.call("GET", "/api/v1/applications/checkout")
    automated = app["spec"]["syncPolicy"]["automated"]
    story.check("auto-sync is off, its settings kept", automated == {"selfHeal": True, "enabled": False} or automated.get("enabled") is False)
    story.check("the hold is marked on the Application", "backout.dev/hold" in app["metadata"].get("annotations", {}))
    rollbacks = [one for one in app["status"]["history"] if one.get("initiatedBy", {}).get("username") == "backout"]
    story.check("exactly one rollback was made", len(rollbacks) == 1)
    holds = (await ground.get("/v1/holds"))["holds"]
    mine = [one for one in holds if one["target"] == "sandbox:checkout"]
    story.check("the hold is open", len(mine) == 1)
    if mine:
        story.tell("hold", f"v2.5.0 stays away; review by {mine[0]['review_at'][:10]}; only a person ends it: backout holds end {mine[0]['id']}")
    seconds = _seconds(operation)
    story.more(f"{operation['outcome']} in {seconds:.1f} s from the alert", "bold green" if operation["outcome"] == "recovered" else "bold red")
    return operation


# --- scene 2 ---------------------------------------------------------------------------------------------------------------


async def _no_way_back(story: Story, ground: Playground) -> Mapping[str, Any]:
    story.scene("Scene 2  The same alert, but there is no way back")
    before = await ground.world.call("GET", "/api/v1/applications/orders")
    files = {MIGRATION: "-- v3.1 reads status from order_state\nALTER TABLE orders\n  DROP COLUMN legacy_status;\n"}
    shipped = await ground.world.release("orders", "v3.1.0", errors=0.31, files=files)
    await ground.world.until_live("orders", shipped)
    story.tell("orders", f"release v3.1.0 · {shipped.config[:7]} goes live, with a migration")
    operation = await _follow(story, ground, "orders")
    detail = await ground.get(f"/v1/operations/{operation['id']}")
    schema = next(one for one in detail["plan"]["verdict"]["findings"] if one["rule"] == "schema_is_compatible")
    for evidence in schema["evidence"]:
        if MIGRATION in evidence["what"]:
            story.more(f"seen in   {evidence['what']}")
    story.more(f"clears    {schema['clears']}")
    story.more(f"instead   {detail['plan']['verdict']['recommended']['way'].replace('_', ' ')}")
    story.check("scene 2 ended refused", operation["outcome"] == "refused")
    story.check("the schema rule blocked, naming the column", schema["answer"] == "block" and "legacy_status" in schema["says"])
    story.check("the evidence names file and line", any(f"{MIGRATION}:" in one["what"] for one in schema["evidence"]))
    after = await ground.world.call("GET", "/api/v1/applications/orders")
    story.check("nothing was touched", after["spec"] == before["spec"] and len(after["status"]["history"]) == len(before["status"]["history"]) + 1)
    story.more("nothing was touched; the person on call was told why", "bold yellow")
    return operation


# --- following an operation ------------------------------------------------------------------------------------------------


async def _follow(story: Story, ground: Playground, app: str) -> Mapping[str, Any]:
    """Tell the operation of a shop from its audit events, as they are committed, until it ends."""

    async def begun() -> Mapping[str, Any] | None:
        found = await ground.operation_of(app)
        return found if found and found["target"] == f"sandbox:{app}" else None

    operation: Mapping[str, Any] = await ground.until(begun, 20, f"an operation of {app}")
    seen = 0
    while True:
        page = await ground.get(f"/v1/operations/{operation['id']}/events?after={seen}")
        for event in page["events"]:
            seen = event["number"]
            _tell_event(story, event)
        if page["state"] == "ended" and not page["events"]:
            break
        await story.clock.sleep(0.15)
    found = await ground.operation_of(app)
    return found or operation


def _tell_event(story: Story, event: Mapping[str, Any]) -> None:
    at = datetime.fromisoformat(event["at"])
    body = event["body"]
    match event["kind"]:
        case "accepted":
            story.tell("alert", event["says"].partition(" — ")[0], at=at)
        case "suspect":
            story.tell("blame", event["says"], at=at)
        case "verdict":
            findings = body["findings"]
            good = sum(1 for one in findings if one["answer"] == "pass")
            bad = next((one for one in findings if one["answer"] == "block"), None)
            cause = next((one for one in findings if one["rule"] == "deploy_caused_the_alert"), None)
            if cause:
                story.more(cause["says"], "dim")
            says = f"no — {bad['says']}" if bad else f"{good} of {len(findings)} questions: yes"
            story.tell("safe?", says, "bold red" if bad else "green", at)
        case "decision" if body.get("do") != "refuse":
            story.tell("decide", event["says"], at=at)
        case "step_done":
            step, seen = str(body.get("step", "")).replace("_", " "), event["says"].rpartition(" — ")[2]
            story.tell("act", f"{step}: {seen}", at=at)
        case "verified":
            story.tell("verified", event["says"], "green", at)
        case "taking_back" | "taken_back" | "not_taken_back" | "stuck" | "answer_lost" | "late":
            story.tell(event["kind"].replace("_", " ")[:10], event["says"], "yellow", at)
        case _:
            pass


# --- what left the service -------------------------------------------------------------------------------------------------


async def _told_and_traced(story: Story, ground: Playground, operations: Sequence[Mapping[str, Any]]) -> None:
    collector, sink = ground.world.collector, ground.world.sink

    async def all_there() -> bool:
        ended = {o["trace_id"] for o in operations}
        complete = all(any(not s.parent_span_id for s in collector.spans(one)) for one in ended if one in collector.traces())
        return ended <= set(collector.traces()) and complete and len(sink.received) >= len(operations)

    with contextlib.suppress(BackoutError):
        await ground.until(all_there, 10, "traces and notifications")
    told = sorted(str(one.body["outcome"]) for one in sink.received if isinstance(one.body, dict))
    story.check("a person was told, once for each", told == ["recovered", "refused"])
    story.check("both traces arrived whole", all(o["trace_id"] in collector.traces() for o in operations))
    story.check("the traces break no rule of Jaeger's", not collector.violations() and not collector.violations_at_end())
    text = await ground.get(f"/v1/operations/{operations[0]['id']}/trace", accept="text/plain")
    story.scene("The audit record of scene 1, as `backout audit` and Jaeger show it")
    for line in text.rstrip().splitlines():
        story.console.print(Text(line))


# --- the end ---------------------------------------------------------------------------------------------------------------


def _seconds(operation: Mapping[str, Any]) -> float:
    return (datetime.fromisoformat(operation["done_at"]) - datetime.fromisoformat(operation["created_at"])).total_seconds()


def _summary(story: Story, first: Mapping[str, Any], second: Mapping[str, Any], took: float) -> None:
    story.scene("Seen to be so")
    for name, held in story.checks.items():
        story.console.print(Text(f"  {'yes' if held else 'NO '}  {name}", style="" if held else "bold red"))
    words = "All of it happened" if story.ok else "Something did not happen"
    story.console.print(
        Text(f"\n{words}: checkout {first['outcome']}, orders {second['outcome']}; {took:.0f} s in all.", style="bold green" if story.ok else "bold red")
    )


def _document(story: Story, first: Mapping[str, Any], second: Mapping[str, Any], took: float) -> Mapping[str, Any]:
    scenes = [
        {"target": one["target"], "outcome": one["outcome"], "says": one["says"], "operation": one["id"], "trace_id": one["trace_id"], "seconds": _seconds(one)}
        for one in (first, second)
    ]
    return {"ok": story.ok, "seconds": round(took, 1), "scenes": scenes, "checks": story.checks}


async def _stay(console: Console, ground: Playground) -> None:
    lines = (
        "",
        "It stays up until Ctrl-C. In another terminal:",
        f"  export BACKOUT_SERVER={ground.url} BACKOUT_TOKEN_FILE={ground.token_file}",
        "  backout targets",
        "  backout check sandbox:orders",
        "  backout operations              # then: backout audit ID, backout watch ID",
        "  backout holds",
        f"Settings: {ground.config}   Argo CD: {ground.world.argocd.url}   Prometheus: {ground.world.prometheus.url}",
    )
    for line in lines:
        console.print(Text(line))
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()


def run(*, keep: bool, as_json: bool) -> int:
    """Play it."""
    return asyncio.run(play(keep=keep, as_json=as_json))
