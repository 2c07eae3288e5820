"""A rule: one question about a case, one answer, one sentence. The rules themselves stand in `rules/`, one file each."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from service.domain.facts import Facts, Key
from service.domain.model import Json, Release, TargetId, Way
from service.domain.policy import TargetPolicy
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything a rule may look at: a target, the release to leave, the release to go back to, the way, and the facts.

    `suspect` and `goal` are None when nobody could say which; `why_none` then says why. `trigger` is None when a person asks without an incident.
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


def nothing(_: Case) -> Iterable[Key[Any]]:
    """For a rule that needs no facts."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One question. `name` says what must hold and is the file's name; `question` is it in words.

    `needs` names the facts, given those already read (it is asked again until it names nothing new). `gate`: its unknown stops automation.
    `needs_incident`: it is not asked when a person checks without an incident. `for_automatic`: it guards acting without a person and is not asked of one.
    """

    name: str
    question: str
    ask: Callable[[Case], Finding]
    needs: Callable[[Case], Iterable[Key[Any]]] = nothing
    gate: bool = True
    needs_incident: bool = False
    for_automatic: bool = False
