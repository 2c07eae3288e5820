"""Tells a demo: lines with their times, an operation followed from its audit events, and what has to be so for the demo to count."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from service.cli.terminal import Terminal
from service.domain.errors import TemporaryError
from service.wiring.parts import SystemClock
from service.wiring.playground import Playground

PAUSE = 0.15
PATIENCE = timedelta(seconds=60)
"""How long a service that does not answer is waited for."""
_TIME, _WHAT, _ABOUT = 12, 11, 10
"""Columns of a line, with the gap behind them: when, what, and which of several."""


@dataclass(slots=True)
class Story:
    """What is told, and what was checked: name -> whether it was seen to hold."""

    terminal: Terminal
    clock: SystemClock
    checks: dict[str, bool] = field(default_factory=dict)

    def scene(self, title: str) -> None:
        """A scene begins."""
        self.terminal.show("", Text(title, style="bold"))

    def tell(self, what: str, says: str, style: str = "", at: datetime | None = None) -> None:
        """One line: time, what, and the sentence; a long one goes on in its own column."""
        moment = at or self.clock.now()
        self.terminal.show(_columns((f"  {moment:%H:%M:%S}", "dim", _TIME), (what, "cyan", _WHAT), says=Text(says, style=style)))

    def more(self, says: str, style: str = "", about: str = "") -> None:
        """A line that belongs to the one above; `about` names it, where there are several."""
        label = ((about, "", _ABOUT),) if about else ()
        self.terminal.show(_columns(("", "", _TIME + _WHAT), *label, says=Text(says, style=style)))

    def show(self, part: RenderableType) -> None:
        """What a command would print, set in as what belongs to the line above."""
        self.terminal.show(Padding(part, (0, 0, 0, _TIME)))

    def waits(self, until: str) -> None:
        """Say at the bottom of a window what is waited for, until the next line is told."""
        self.terminal.status(f"  … {until}")

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


async def follow(story: Story, ground: Playground, app: str) -> Mapping[str, Any]:
    """Tell the operation of a shop from its audit events, as they are committed, until it ends; a service that is away for a while is waited for."""

    async def begun() -> Mapping[str, Any] | None:
        found = await ground.operation_of(app)
        return found if found and found["target"] == str(ground.world.target(app)) else None

    operation: Mapping[str, Any] = await ground.until(begun, 60, f"an operation of {app}")
    seen, give_up = 0, story.clock.now() + PATIENCE
    while True:
        try:
            page = await ground.get(f"/v1/operations/{operation['id']}/events?after={seen}")
        except TemporaryError:
            if story.clock.now() >= give_up:
                raise
            await story.clock.sleep(PAUSE)
            continue
        for event in page["events"]:
            seen = event["number"]
            tell_event(story, event)
        if page["state"] == "ended" and not page["events"]:
            break
        await story.clock.sleep(PAUSE)
    found = await ground.operation_of(app)
    return found or operation


def _columns(*cells: tuple[str, str, int], says: Text) -> Table:
    """Cells (text, style, columns), and the sentence in what the window leaves."""
    table = Table.grid()
    for _, _, width in cells:
        table.add_column(width=width, overflow="fold")
    table.add_column(overflow="fold")
    table.add_row(*(Text(text, style=style) for text, style, _ in cells), says)
    return table


def tell_event(story: Story, event: Mapping[str, Any]) -> None:
    """One audit event, if it says something to a person."""
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
        case "taking_back" | "taken_back" | "not_taken_back" | "stuck" | "withdrawn" | "taken_away" | "answer_lost" | "late":
            story.tell(event["kind"].replace("_", " ")[:10], event["says"], "yellow", at)
        case _:
            pass


def shop_of(target: str) -> str:
    """The shop of a target's id: of an Application its name, of a Deployment the last part."""
    return target.partition(":")[2].rpartition("/")[2]


def seconds_of(operation: Mapping[str, Any]) -> float:
    """From its beginning to its end."""
    return (datetime.fromisoformat(operation["done_at"]) - datetime.fromisoformat(operation["created_at"])).total_seconds()
