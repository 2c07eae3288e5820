"""Kayenta, as far as Orca asks it: an analysis that is started, takes its time, ends with a score, and can be cancelled (source only: Orca 2026.2.3)."""

from dataclasses import dataclass, field
from datetime import datetime

from integrations.sandbox.gate.ids import Ids
from integrations.sandbox.gate.timeline import Timeline


@dataclass(slots=True, kw_only=True)
class Analysis:
    """One analysis of a canary."""

    id: str
    since: datetime
    cancelled: bool = False


@dataclass(slots=True, kw_only=True)
class Kayenta:
    """`score` is what every analysis will say (0 to 100), `seconds` how long it takes; both may be changed while one is under way."""

    timeline: Timeline
    ids: Ids
    score: float = 95.0
    seconds: float = 30.0
    analyses: list[Analysis] = field(default_factory=list)

    def start(self) -> str:
        """Begin one; its id."""
        self.analyses.append(Analysis(id=self.ids.ulid(self.timeline.millis), since=self.timeline.now))
        return self.analyses[-1].id

    def status(self, identity: str) -> str:
        """RUNNING, SUCCEEDED or CANCELED: a low score is no failure of Kayenta's."""
        found = next(one for one in self.analyses if one.id == identity)
        if found.cancelled:
            return "CANCELED"
        return "SUCCEEDED" if (self.timeline.now - found.since).total_seconds() >= self.seconds else "RUNNING"

    def cancel(self, identity: str) -> None:
        """End it."""
        for one in self.analyses:
            one.cancelled = one.cancelled or one.id == identity
