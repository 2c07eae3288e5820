"""Facts of one delivery system: which kinds it answers and how, and what its answers rest on. An outside failure is an Absent with the server's words."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from service.domain.errors import BackoutError
from service.domain.facts import Absent, Evidence, Fact, Key, Known
from service.domain.ports import Clock

VOLATILE = timedelta(seconds=30)
PODS_HOLD = timedelta(seconds=15)
SLOW = timedelta(minutes=5)
"""How long what was read is taken for what is: what changes with a deploy, pods, and what people set up."""

Answer = Callable[[Any], Awaitable[Fact[Any]]]
"""What is asked about -> the fact; raises what reading raises."""


class Read(Protocol):
    """One good answer of a server: what was asked, and the digest of what came."""

    @property
    def what(self) -> str: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102


class Answering:
    """`system` is what people call it, `source` its name in evidence, `fix` what to look at when it does not answer."""

    def __init__(self, answers: Mapping[str, Answer], *, system: str, source: str, fix: str, clock: Clock) -> None:
        self._answers = answers
        self._system = system
        self._source = source
        self._fix = fix
        self._clock = clock

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of facts answered."""
        return frozenset(self._answers)

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """The fact, or Absent with what the server said; never raises for anything outside."""
        answer = self._answers.get(key.kind)
        if answer is None:
            return Absent(f"{self._system} knows nothing of the {key.kind}")
        try:
            return await answer(key.subject)
        except BackoutError as error:
            return Absent(str(error), self._fix)

    def known(self, value: Any, reply: Read, good_for: timedelta, *, what: str = "", read_at: datetime | None = None) -> Known[Any]:
        """What that reply tells; `what` says it better than the request's own address, where several made it. `read_at`: now, unless it came before."""
        evidence = Evidence(source=self._source, what=what or reply.what, read_at=read_at or self._clock.now(), digest=reply.digest)
        return Known(value=value, evidence=evidence, good_for=good_for)
