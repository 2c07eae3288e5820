"""Follows an operation by long poll, a line an event, until it ended. Looking only: what happens goes on in the service, whether somebody watches or not."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from rich.text import Text

from service.cli import render
from service.cli.asking import Doc, get
from service.cli.client import PATIENCE, Problem, Unreachable, segment
from service.cli.exit_codes import AWAITING_APPROVAL, ExitCode, of_operation
from service.cli.failure import CommandFailed
from service.cli.session import Session

_WAIT: Final = 20
_PAUSES: Final = (0.5, 1.0, 2.0, *(5.0 for _ in range(60)))
"""Seconds between tries while the service does not answer: it may be restarting in the middle, which is no reason to look away (five minutes)."""
_QUIET: Final = frozenset({"ended", "intent", "sent"})
"""Not told live: how it ended is told as a whole, and a step when it is done; `backout audit` has them all."""
"""The last event says what the closing lines say, so it is left to them."""
_SERVICE_IS_AWAY: Final = frozenset({502, 503, 504})


@dataclass(slots=True, kw_only=True)
class Follower:
    """What was seen of one operation so far. `last` is its newest document, None before the first answer."""

    session: Session
    identity: str
    last: Doc | None = None
    _shown: int = 0
    _said_waiting: int = field(default=-1)

    def follow(self, *, until_waiting: bool) -> ExitCode:
        """Show what happens until the operation ended (or, if asked, waits for a person). Ctrl-C stops the watching only."""
        path = f"/v1/operations/{segment(self.identity)}"
        terminal = self.session.terminal
        try:
            self.last = self._patient(lambda: get(self.session.service, path))
            terminal.show(render.operation_head(self.last))
            while True:
                self._show_events(path)
                last = self.last
                if last.get("state") == "ended":
                    terminal.answer(last, "", render.ended(last))
                    return of_operation(last.get("outcome"), "")
                if last.get("phase") == AWAITING_APPROVAL:
                    if until_waiting:
                        terminal.answer(last, "", render.waiting(last, terminal.now()))
                        return ExitCode.WAITING
                    self._say_waiting(last)
                query = {"wait": f"{_WAIT}s", "since_rev": str(last.get("rev", 0))}
                self.last = self._patient(lambda: get_slowly(self.session, path, query))  # noqa: B023  called before the loop goes on
        except KeyboardInterrupt:
            return self._left()

    def _say_waiting(self, last: Doc) -> None:
        rev = last.get("rev", 0)
        if rev != self._said_waiting:
            self._said_waiting = rev
            self.session.terminal.show(render.waiting(last, self.session.terminal.now()))

    def _show_events(self, path: str) -> None:
        page = self._patient(lambda: get(self.session.service, f"{path}/events", {"after": str(self._shown)}))
        for one in page.get("events") or ():
            number = one.get("number")
            if isinstance(number, int) and number > self._shown:
                self._shown = number
                if one.get("kind") not in _QUIET:
                    self.session.terminal.show(render.event(one))

    def _patient(self, ask: Callable[[], Doc]) -> Doc:
        """The answer, asking again while the service is away; the operation is in its store and goes on after a restart."""
        for number, pause in enumerate(_PAUSES):
            try:
                return ask()
            except Unreachable as error:
                if self.last is None:
                    raise
                failed: CommandFailed = error
            except Problem as error:
                if self.last is None or error.status not in _SERVICE_IS_AWAY:
                    raise
                failed = error
            if not number:
                self.session.terminal.note(Text(f"{failed.cause}; trying again"))
            self.session.terminal.sleep(pause)
        identity = render.short(self.identity)
        raise CommandFailed("the service does not answer; how the operation goes on is unknown", f"later: backout watch {identity}", ExitCode.UNKNOWN)

    def _left(self) -> ExitCode:
        terminal, identity = self.session.terminal, render.short(self.identity)
        terminal.note(Text(f"\nstopped watching; the operation goes on: backout watch {identity}, or end it: backout cancel {identity}"))
        last: Any = self.last or {"id": self.identity, "state": "unknown"}
        if terminal.as_json:
            terminal.answer(last)
        return of_operation(last.get("outcome"), str(last.get("phase", "")))


def get_slowly(session: Session, path: str, query: dict[str, str]) -> Doc:
    """A long poll: the answer may take as long as the service was asked to wait."""
    reply = session.service.get(path, query, patience=_WAIT + PATIENCE)
    if not isinstance(reply.document, dict):
        raise CommandFailed(f"the answer of {session.service.address} is no JSON object", f"is {session.service.address} Backout? set --server")
    return reply.document
