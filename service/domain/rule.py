"""A rule: one question about a case, one answer, one sentence. The rules themselves stand in `rules/`, one file each."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from service.domain.facts import Facts, Key
from service.domain.model import Json, Release, TargetId, Way
from service.domain.policy import Settled, TargetPolicy
from service.domain.verdict import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Why somebody asks: the alert as far as rules need it. `began_at` is told by the sender, the rule's `for` not yet taken off.

    `labels` are the labels of the first episode; `alert` its name; `received_at` when Backout first heard of it.
    """

    incident_id: str
    alert: str
    labels: Mapping[str, str]
    began_at: datetime
    received_at: datetime

    @property
    def series_labels(self) -> tuple[tuple[str, str], ...]:
        """The labels that pick the alert's series, in a stable order, without the alert's own name."""
        return tuple(sorted((k, v) for k, v in self.labels.items() if k != "alertname"))


class Direction(StrEnum):
    """Whether a case asks for going back to a release that was good, or forward to one that was never judged."""

    BACK = "back"
    FORWARD = "forward"


EITHER = frozenset(Direction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything a rule may look at: a target, the release to leave (suspect), the release to go to (goal), the way, and the facts.

    Forward the release to leave is the one that is live under the hold, and the one to go to is the candidate.

    `suspect` and `goal` are None when nobody could say which; `why_none` then says why. `trigger` is None when a person asks without an incident.
    `settled` is there for the rule that is asked about the policy itself, after all others.
    """

    target: TargetId
    policy: TargetPolicy
    suspect: Release | None
    goal: Release | None
    way: Way
    facts: Facts
    trigger: Trigger | None = None
    why_none: str = ""
    context: Mapping[str, Json] = field(default_factory=dict)
    settled: Settled | None = None

    @property
    def direction(self) -> Direction:
        """Back, unless the way leads forward."""
        return Direction.FORWARD if self.way is Way.FORWARD else Direction.BACK

    @property
    def deploys(self) -> bool:
        """Whether the goal release has to be deployed: forward it may be live already, and only the hold is to be ended."""
        return not (self.direction is Direction.FORWARD and self.context.get("live_already"))


def nothing(_: Case) -> Iterable[Key[Any]]:
    """For a rule that needs no facts."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One question. `name` says what must hold and is the file's name; `question` is it in words.

    `needs` names the facts, given those already read (it is asked again until it names nothing new). `gate`: its unknown stops automation.
    `needs_incident`: it is not asked when a person checks without an incident. `for_automatic`: it guards acting without a person and is not asked of one.
    `directions`: it is asked only where the question makes sense; a rule that says nothing is asked in both.
    `momentary`: its block is about this moment (a window, somebody else's hand), not about the releases: nobody is told that there is no way back any more.
    `of_policy`: it is asked where the policy has conditions, after all others, once those were applied to the others' answers.
    `ways`: it is asked of these ways alone; None for any.
    """

    name: str
    question: str
    ask: Callable[[Case], Finding]
    needs: Callable[[Case], Iterable[Key[Any]]] = nothing
    gate: bool = True
    needs_incident: bool = False
    for_automatic: bool = False
    directions: frozenset[Direction] = EITHER
    of_policy: bool = False
    momentary: bool = False
    ways: frozenset[Way] | None = None
