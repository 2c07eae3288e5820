"""Follows an operation live until it ended. Looking only: what happens goes on in the service, whether somebody watches or not.

The service streams what happens; an older one, or one without a free place for a stream, is asked by long poll and tells the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from rich.text import Text

from service.cli import render
from service.cli.asking import Doc, get
from service.cli.client import PATIENCE, Problem, Unreachable, segment
from service.cli.exit_codes import AWAITING_APPROVAL, ExitCode, of_operation
from service.cli.failure import CommandFailed
from service.cli.session import Session
from service.cli.streaming import Lost, Told

_WAIT: Final = 20
_PAUSES: Final = (0.5, 1.0, 2.0, *(5.0 for _ in range(60)))
"""Seconds between tries while the service does not answer: it may be restarting in the middle, which is no reason to look away (five minutes)."""
_QUIET: Final = frozenset({"ended", "intent", "sent"})
"""Not told live: how it ended is told as a whole, and a step when it is done; `backout audit` has them all."""
_SERVICE_IS_AWAY: Final = frozenset({502, 503, 504})

_Found = TypeVar("_Found")


@dataclass(slots=True, kw_only=True)
class Follower:
    """What was seen of one operation so far. `last` is its newest document, None before the first answer. `lines`: tell everything as JSON, one a line."""

    session: Session
    identity: str
    lines: bool = False
    last: Doc | None = None
    _shown: int = 0
    _said_waiting: int = field(default=-1)
    _doing: tuple[Any, Any] = ("", "")
    _since: datetime | None = None
    _failures: int = 0

    def follow(self, *, until_waiting: bool) -> ExitCode:
        """Show what happens until the operation ended (or, if asked, waits for a person). Ctrl-C stops the watching only."""
        terminal = self.session.terminal
        try:
            self.last = get(self.session.service, self._path)
            terminal.show(render.operation_head(self.last))
            for told in self._told():
                self._failures = 0
                if told.kind == "message":
                    self._show_event(told.data)
                elif told.kind in {"state", "end"}:
                    self.last = told.data
                    self._line(told)
                    if told.kind == "end":
                        return self._ended()
                    if told.data.get("phase") == AWAITING_APPROVAL and self._waits(until_waiting=until_waiting):
                        return ExitCode.WAITING
                self._show_now()
        except KeyboardInterrupt:
            return self._left()
        raise AssertionError("the story ends with an end")  # pragma: no cover  `_told` goes on until then, or raises

    @property
    def _path(self) -> str:
        return f"/v1/operations/{segment(self.identity)}"

    # --- where it comes from --------------------------------------------------------------------------------------------------

    def _told(self) -> Iterator[Told]:
        """Everything that is told, over as many streams as it takes. Without a stream it is polled for."""
        while True:
            try:
                with self.session.service.stream(f"{self._path}/events", last=self._shown) as told:
                    if told is None:
                        break
                    yield from told
                self._again(CommandFailed("the service closed the stream"))
            except Lost as error:
                self._again(CommandFailed(f"the stream was lost ({error})"))
            except (Unreachable, Problem) as error:
                self._again(error)
        yield from self._polled()

    def _polled(self) -> Iterator[Told]:
        while True:
            page = self._patient(lambda: get(self.session.service, f"{self._path}/events", {"after": str(self._shown)}))
            yield from (Told(kind="message", data=one) for one in page.get("events") or () if isinstance(one, dict))
            last: Doc = self.last or {}
            yield Told(kind="end" if last.get("state") == "ended" else "state", data=last)
            query = {"wait": f"{_WAIT}s", "since_rev": str(last.get("rev", 0))}
            self.last = self._patient(lambda: get_slowly(self.session, self._path, query))  # noqa: B023  called before the loop goes on

    def _patient(self, ask: Callable[[], _Found]) -> _Found:
        """The answer, asking again while the service is away; the operation is in its store and goes on after a restart."""
        while True:
            try:
                found = ask()
            except (Unreachable, Problem) as error:
                self._again(error)
            else:
                self._failures = 0
                return found

    def _again(self, failed: CommandFailed) -> None:
        """Say once that the service is away, and wait a little; raises what will not get better by waiting."""
        if isinstance(failed, Problem) and failed.status not in _SERVICE_IS_AWAY:
            raise failed
        if self._failures >= len(_PAUSES):
            identity = render.short(self.identity)
            raise CommandFailed("the service does not answer; how the operation goes on is unknown", f"later: backout watch {identity}", ExitCode.UNKNOWN)
        if not self._failures:
            self.session.terminal.note(Text(f"{failed.cause}; trying again"))
        self.session.terminal.sleep(_PAUSES[self._failures])
        self._failures += 1

    # --- what is shown --------------------------------------------------------------------------------------------------------

    def _line(self, told: Told) -> None:
        if self.lines and self.session.terminal.as_json:
            self.session.terminal.line({"kind": "event" if told.kind == "message" else told.kind, "data": told.data})

    def _show_event(self, one: Doc) -> None:
        number = one.get("number")
        if isinstance(number, int) and number > self._shown:
            self._shown = number
            self._line(Told(kind="message", data=one))
            if one.get("kind") not in _QUIET:
                self.session.terminal.show(render.event(one))

    def _show_now(self) -> None:
        """The line at the bottom: what is being done, and for how long already."""
        last: Doc = self.last or {}
        doing = (last.get("phase"), last.get("says"))
        if doing != self._doing:
            self._doing, self._since = doing, render.moment(last.get("updated_at"))
        self.session.terminal.status(render.under_way(last, self._since, self.session.terminal.now()))

    def _waits(self, *, until_waiting: bool) -> bool:
        """Say that it waits for a person, once; whether that is where to stop."""
        terminal, last = self.session.terminal, self.last or {}
        if until_waiting:
            self._answer(render.waiting(last, terminal.now()))
        elif last.get("rev") != self._said_waiting:
            terminal.show(render.waiting(last, terminal.now()))
        self._said_waiting = last.get("rev", 0)
        return until_waiting

    def _ended(self) -> ExitCode:
        last: Doc = self.last or {}
        self._answer(render.ended(last))
        return of_operation(last.get("outcome"), "")

    def _answer(self, shown: Any) -> None:
        """The result: for a person the closing lines, as JSON the whole document, which a stream does not tell (unless its lines were told already)."""
        terminal = self.session.terminal
        if not terminal.as_json:
            terminal.show("", shown)
        elif not self.lines:
            terminal.answer(self._patient(lambda: get(self.session.service, self._path)))

    def _left(self) -> ExitCode:
        terminal, identity = self.session.terminal, render.short(self.identity)
        terminal.note(Text(f"\nstopped watching; the operation goes on: backout watch {identity}, or end it: backout cancel {identity}"))
        last: Any = self.last or {"id": self.identity, "state": "unknown"}
        if terminal.as_json and not self.lines:
            terminal.answer(last)
        return of_operation(last.get("outcome"), str(last.get("phase", "")))


def get_slowly(session: Session, path: str, query: dict[str, str]) -> Doc:
    """A long poll: the answer may take as long as the service was asked to wait."""
    reply = session.service.get(path, query, patience=_WAIT + PATIENCE)
    if not isinstance(reply.document, dict):
        raise CommandFailed(f"the answer of {session.service.address} is no JSON object", f"is {session.service.address} Backout? set --server")
    return reply.document
