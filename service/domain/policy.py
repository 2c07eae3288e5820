"""What the operator allows for a target, and the one table that says what findings lead to by mode (docs/architecture.md section 1)."""

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from service.domain.conditions import Condition
from service.domain.model import Actor, Mode, TargetId
from service.domain.verdict import Answer, Finding, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """Lets one rule's warn or unknown pass until `expires`, for a reason, and where there is a condition only while that holds. A block cannot be waived."""

    rule: str
    reason: str
    expires: datetime
    when: Condition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tightening:
    """While `when` holds: the mode is at most `at_most`, or the answer of `rule` counts as `answer` where it would be better. Never the other way round.

    `at_most` is about what begins by itself; people are not held by it.
    """

    when: Condition
    reason: str
    at_most: Mode | None = None
    rule: str = ""
    answer: Answer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What the policy made of the rules' answers. `held` tells each condition that holds and `faults` each that could not be evaluated; `asked` of so many."""

    findings: tuple[Finding, ...] = ()
    at_most: Mode | None = None
    at_most_says: str = ""
    held: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    asked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredWhen:
    """The declared SLI: `promql` must be inside its bound for `bake`, with `traffic` (a query of its own, "" when not declared) at least a fifth of before.

    What is not seen to be so within `give_up_after` has not recovered; longer where the SLI or the bake time need longer.
    """

    promql: str = ""
    below: float | None = None
    above: float | None = None
    traffic: str = ""
    bake: timedelta = timedelta(minutes=3)
    scrape_interval: timedelta = timedelta(seconds=30)
    passes: int = 3
    give_up_after: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSplit:
    """A query that gives the failing share by version: PromQL whose series carry `label` with the release's version, revision or image digest."""

    promql: str
    label: str
    above: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Declarations:
    """What the operator states about a target. None = nothing stated, which is not the same as "nothing is shared".

    `shared_services` names services, databases or queues that other targets use too. `cache` is one of none, versioned (each release has its own
    keys), compatible (releases read each other's values) or incompatible. `databases` are those of the settings whose schema the target uses; all of them.
    `migrates_at_start`: its pods migrate when they start (an init container, an entry point).
    """

    shared_services: tuple[str, ...] | None = None
    cache: str | None = None
    databases: tuple[str, ...] = ()
    migrates_at_start: bool | None = None
    says: str = "settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPolicy:
    """Everything the operator settled for a target; the first match in the settings wins, nothing matching means these defaults (mode suggest).

    `alerts` are the only ones that may act without a person. `lets_pass` names rules whose *warning* does not stop auto. `deploy_window` is how long
    before the onset a deploy may lie to be suspect. `late_alert` is how old an alert may be when first received and still act. `version` is a digest
    of the policy's text: an approval is bound to it. `promote_full`: a step-wise rollout that goes back need not run its steps, pauses and analyses.
    """

    match: str = "*"
    version: str = "default"
    mode: Mode = Mode.SUGGEST
    alerts: tuple[str, ...] = ()
    lets_pass: tuple[str, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    conditions: tuple[Tightening, ...] = ()
    recovered_when: RecoveredWhen = field(default_factory=RecoveredWhen)
    version_split: VersionSplit | None = None
    declares: Declarations = field(default_factory=Declarations)
    immutable_tags: bool = False
    namespaces: tuple[str, ...] = ()
    deploy_window: timedelta = timedelta(hours=2)
    late_alert: timedelta = timedelta(minutes=10)
    minimum_healthy: timedelta = timedelta(minutes=5)
    act_within: timedelta = timedelta(seconds=60)
    approve_within: timedelta = timedelta(minutes=30)
    rollbacks: int = 1
    rollback_window: timedelta = timedelta(hours=6)
    hold_review: timedelta = timedelta(days=7)
    promote_full: bool = False

    def armed_again(self, acted: Sequence[datetime], now: datetime) -> datetime | None:
        """When automation may act on the target again, after its own automatic rollbacks began to act at these times; None while it may (promise 10)."""
        within = sorted((at for at in acted if at >= now - self.rollback_window), reverse=True)
        if not self.rollbacks or len(within) < self.rollbacks:
            return None
        return within[self.rollbacks - 1] + self.rollback_window

    @property
    def conditional(self) -> bool:
        """Whether anything in it depends on a condition."""
        return bool(self.conditions) or any(one.when is not None for one in self.waivers)


@dataclass(frozen=True, slots=True)
class Policies:
    """All policies in the operator's order, and the mapping from alert labels to targets."""

    ordered: tuple[TargetPolicy, ...] = ()
    default: TargetPolicy = field(default_factory=TargetPolicy)

    def of(self, target: TargetId) -> TargetPolicy:
        """The first policy whose pattern matches; else the default, which is mode suggest."""
        return next((p for p in self.ordered if target.matches(p.match)), self.default)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertMapping:
    """The operator's rule `these labels mean this target`; `target` may hold `{label}` placeholders, filled with the alert's label values."""

    labels: Mapping[str, str]
    target: str


class Do(StrEnum):
    """What happens next with a verdict."""

    RECORD = "record"
    NOTIFY = "notify"
    WAIT = "wait"
    ACT = "act"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What happens next, why, and the rules that an approval has to name. With `must_override` it is a second person who decides, and names those too."""

    do: Do
    says: str
    must_name: tuple[str, ...] = ()
    must_override: tuple[str, ...] = ()


def decide(mode: Mode, verdict: Verdict, policy: TargetPolicy, *, override: Collection[str] = ()) -> Decision:
    """The table of docs/architecture.md section 1, and no other. `override` names the rules whose block a person asked to override.

    Where a condition of the policy lowers the mode, the table is read for the lower one.
    """
    if verdict.at_most is not None and verdict.at_most < mode:
        lowered = decide(verdict.at_most, replace(verdict, at_most=None), policy, override=override)
        return replace(lowered, says=f"{verdict.at_most_says}; {lowered.says}")
    worst = verdict.worst
    if mode is Mode.OBSERVE:
        return Decision(do=Do.RECORD, says=f"mode observe: recorded, nothing done ({worst.word})")
    if override and mode is Mode.APPROVE:
        return _overriding(verdict, override)
    if worst is Answer.BLOCK:
        return Decision(do=Do.REFUSE, says=_first(verdict, Answer.BLOCK))
    if mode is Mode.SUGGEST:
        return Decision(do=Do.NOTIFY, says=f"mode suggest: the plan is sent, a person acts ({worst.word})")
    doubts = (*verdict.of(Answer.UNKNOWN), *verdict.of(Answer.WARN))
    if worst is Answer.PASS:
        if mode is Mode.AUTO:
            return Decision(do=Do.ACT, says="mode auto: every question has a yes")
        return Decision(do=Do.WAIT, says="mode approve: every question has a yes; a person decides")
    stopping = tuple(f for f in doubts if f.answer is Answer.UNKNOWN or f.rule not in policy.lets_pass)
    if mode is Mode.AUTO and verdict.findings and not stopping:
        passed = ", ".join(f.rule for f in doubts)
        return Decision(do=Do.ACT, says=f"mode auto: the policy lets the warning of {passed} pass")
    named = tuple(f.rule for f in doubts)
    return Decision(do=Do.WAIT, says=f"a person decides, naming {', '.join(named) or 'the missing answers'}", must_name=named)


def can_override(verdict: Verdict) -> tuple[str, ...]:
    """The blocking rules, if two persons may override every one of them together; () when one of them can never be overridden, or nothing blocks."""
    blocking = verdict.of(Answer.BLOCK)
    return tuple(f.rule for f in blocking) if all(f.overridable for f in blocking) else ()


def _overriding(verdict: Verdict, override: Collection[str]) -> Decision:
    """Exactly the blocks there are, each of a kind that can be overridden, wait for a second person; anything else is refused."""
    blocking = verdict.of(Answer.BLOCK)
    for finding in blocking:
        if not finding.overridable:
            return Decision(do=Do.REFUSE, says=f"{finding.rule} can never be overridden: {finding.says}")
    names = tuple(f.rule for f in blocking)
    unnamed = [f for f in blocking if f.rule not in override]
    if unnamed:
        return Decision(do=Do.REFUSE, says=f"the override does not name {unnamed[0].rule}: {unnamed[0].says}")
    idle = [rule for rule in override if rule not in names]
    if idle:
        return Decision(do=Do.REFUSE, says=f"{', '.join(idle)} does not block (any more): look at the plan again")
    doubts = tuple(f.rule for f in (*verdict.of(Answer.UNKNOWN), *verdict.of(Answer.WARN)))
    says = f"a second person decides on overriding {', '.join(names)}" + (f", naming {', '.join(doubts)}" if doubts else "")
    return Decision(do=Do.WAIT, says=says, must_name=doubts, must_override=names)


def another_person(first: Actor, second: Actor) -> bool:
    """Whether an override may be confirmed by `second` after `first` asked for it: two people, under two names that no eye could take for one."""
    return first.kind == second.kind == "user" and _folded(first.name) != _folded(second.name)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip()


def waive(finding: Finding, policy: TargetPolicy, now: datetime, *, fulfilled: Collection[Waiver] = ()) -> str:
    """The sentence of the waiver that lets this finding pass, or "". Blocks are never waived. A waiver with a condition counts if it is `fulfilled`."""
    if finding.answer in {Answer.PASS, Answer.BLOCK}:
        return ""
    waiver = next((w for w in policy.waivers if w.rule == finding.rule and w.expires > now and (w.when is None or w in fulfilled)), None)
    return f"waived until {waiver.expires:%Y-%m-%d}: {waiver.reason}" if waiver else ""


def _first(verdict: Verdict, answer: Answer) -> str:
    return next((f.says for f in verdict.of(answer)), "nobody was asked")
