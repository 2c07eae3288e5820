"""`backout demo`: plays the story on this machine with the real service against the sandbox, tells it live, and checks that all of it really happened.

Every line that is told is read from the service's API, the sandbox's own state or what the sandbox received; nothing is told that was not seen.
A scene is a file.
"""

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from service.cli import render
from service.cli.demo import no_way_back, storm, taken_back
from service.cli.demo.telling import Story, seconds_of, shop_of
from service.cli.terminal import Terminal, as_json_text
from service.domain.errors import BackoutError
from service.wiring.parts import SystemClock
from service.wiring.playground import Playground

SHOPS: Mapping[str, str] = {"checkout": "v2.4.6", "orders": "v3.0.4", "catalog": "v1.8.0", "payments": "v5.2.1"}
SCENES = (taken_back.play, no_way_back.play, storm.play)
OUTCOMES = ("recovered", "refused", "recovered")


async def play(terminal: Terminal, *, keep: bool, delivery: str) -> int:
    """Play all scenes on that delivery system; 0 only if all of it really happened. With `keep` it stays up until Ctrl-C, and says how to use it."""
    clock = SystemClock()
    story = Story(terminal=terminal, clock=clock)
    began = clock.now()
    with tempfile.TemporaryDirectory(prefix="backout-demo-") as folder:
        ground = Playground(Path(folder), clock, sides=(delivery,))
        side = ground.world.side(delivery)
        try:
            parts = "Prometheus, Alertmanager, registry, Git, notification sink and trace collector, all on loopback"
            terminal.show(Text(f"Backout · sandbox {side.title}, {parts}"))
            shortened = f"Shortened: 3 s of measuring instead of 3 min{f'; {side.shortened}' if side.shortened else ''}."
            terminal.show(Text(f"The service is the real one, a process of its own, store: SQLite. {shortened}", style="dim"))
            story.waits(f"{len(SHOPS)} shops and the service start")
            await ground.start(SHOPS)
            story.tell("ready", f"{len(SHOPS)} shops are live and healthy, and Backout watches them ({(clock.now() - began).total_seconds():.0f} s)")
            operations = [await scene(story, ground) for scene in SCENES]
            await _told_and_traced(story, ground, operations)
            took = (clock.now() - began).total_seconds()
            _summary(story, operations, took)
            if terminal.as_json:
                terminal.write(as_json_text(_document(story, operations, took)))
            if keep:
                await _stay(terminal, ground)
        except BackoutError as error:
            terminal.answer({"ok": False, "error": str(error), "checks": story.checks}, "", Text(f"The demo failed: {error}", style="bold red"))
            return 1
        finally:
            await ground.stop()
    return story.exit_code


# --- what left the service -------------------------------------------------------------------------------------------------


async def _told_and_traced(story: Story, ground: Playground, operations: Sequence[Mapping[str, Any]]) -> None:
    collector, sink = ground.world.collector, ground.world.sink

    def ends() -> list[str]:
        """The outcomes that were told; a hold tells of newer commits as well."""
        return sorted(str(one.body["outcome"]) for one in sink.received if isinstance(one.body, dict) and "outcome" in one.body)

    async def all_there() -> bool:
        ended = {o["trace_id"] for o in operations}
        complete = all(any(not s.parent_span_id for s in collector.spans(one)) for one in ended if one in collector.traces())
        return ended <= set(collector.traces()) and complete and len(ends()) >= len(operations)

    story.waits("the last traces and messages arrive")
    with contextlib.suppress(BackoutError):
        await ground.until(all_there, 60, "traces and notifications")
    story.check("a person was told, once for each", ends() == sorted(OUTCOMES))
    story.check("every trace arrived whole", all(o["trace_id"] in collector.traces() for o in operations))
    story.check("the traces break no rule of Jaeger's", not collector.violations() and not collector.violations_at_end())
    found = await ground.get(f"/v1/operations/{operations[0]['id']}/trace")
    story.scene("The audit record of scene 1, as `backout audit` and Jaeger show it")
    story.terminal.show(render.trace(found, story.terminal.width))


# --- the end ---------------------------------------------------------------------------------------------------------------


def _summary(story: Story, operations: Sequence[Mapping[str, Any]], took: float) -> None:
    story.scene("Seen to be so")
    for name, held in story.checks.items():
        story.terminal.show(Text(f"  {'yes' if held else 'NO '}  {name}", style="" if held else "bold red"))
    words = "All of it happened" if story.ok else "Something did not happen"
    ended = ", ".join(f"{shop_of(one['target'])} {one['outcome']}" for one in operations)
    story.terminal.show("", Text(f"{words}: {ended}; {took:.0f} s in all.", style="bold green" if story.ok else "bold red"))


def _document(story: Story, operations: Sequence[Mapping[str, Any]], took: float) -> Mapping[str, Any]:
    scenes = [
        {"target": one["target"], "outcome": one["outcome"], "says": one["says"], "operation": one["id"], "trace_id": one["trace_id"]}
        | {"seconds": seconds_of(one)}
        for one in operations
    ]
    return {"ok": story.ok, "seconds": round(took, 1), "scenes": scenes, "checks": story.checks}


async def _stay(terminal: Terminal, ground: Playground) -> None:
    side = ground.world.side_of("orders")
    lines = (
        f"export BACKOUT_SERVER={ground.url}",
        f"export BACKOUT_TOKEN_FILE={ground.token_file}",
        "backout targets",
        f"backout check {ground.world.target('orders')}",
        "backout operations              # then: backout audit ID, backout watch ID",
        "backout holds",
    )
    terminal.show("", "It stays up until Ctrl-C. In another terminal:", *(render.command(f"  {line}") for line in lines))
    around = (("Settings", ground.config), (side.title, side.url), ("Prometheus", ground.world.prometheus.url))
    terminal.show(*(render.command(f"{name}: {where}") for name, where in around))
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()


def run(terminal: Terminal, *, keep: bool, delivery: str) -> int:
    """Play it."""
    return asyncio.run(play(terminal, keep=keep, delivery=delivery))
