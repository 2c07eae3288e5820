"""The plan: ordered steps for one way, with their fallbacks, bound by a digest. Executed as it is shown to people; rendered by `checklist.py`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from service.domain.model import Actor, Json, Mode, OperationKind, Release, TargetId, Way
from service.domain.verdict import Verdict

OURS = "backout"
"""Who owns a step that Backout carries out; a step of anybody else is shown and left to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step. `name` is understood by the delivery system that offered it; `says` is an order a person could follow; `parameters` are its own.

    `effect`: it writes on the outside. `optional`: its failure does not stop the plan. `undo` is the compensating step, if there is one.
    `needed_for` names the rule that passes only because the plan has this step: what nobody asked for or approved does not go on without it.
    `owner` is backout or person. `done_when` says how to see that it worked. `once_verified`: it waits until what came before was measured as good.
    """

    name: str
    says: str
    effect: bool = True
    optional: bool = False
    needed_for: str = ""
    once_verified: bool = False
    owner: str = OURS
    parameters: Mapping[str, Json] = field(default_factory=dict)
    done_when: str = ""
    fallback: str = ""
    command: str = ""
    undo: "Step | None" = None
    stands: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One way a delivery system could go for a case, with its steps; `impossible` says why not, else ""."""

    way: Way
    steps: tuple[Step, ...]
    because: str
    impossible: str = ""
    permissions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be done to one target. `method` is code, config or infra; `scope` full or selective; `tags` are time-stamped names.

    `passed_over` are releases between suspect and goal that were never good: held away with the suspect.
    `uid` is the delivery system's identity of the target: compared before each act. The digest covers what an approver approves, and no times.
    `overrides` are the rules whose block it is carried out against, if a second person confirms that.
    """

    id: str
    kind: OperationKind
    target: TargetId
    uid: str
    title: str
    method: str
    scope: str
    way: Way
    because: str
    suspect: Release
    goal: Release
    steps: tuple[Step, ...]
    verdict: Verdict
    mode: Mode
    policy_version: str
    made_at: datetime
    act_before: datetime
    tags: tuple[str, ...] = ()
    passed_over: tuple[Release, ...] = ()
    requested_by: Actor = field(default_factory=lambda: Actor(kind="automation", name="backout"))
    overrides: tuple[str, ...] = ()

    @property
    def by_person(self) -> bool:
        """Whether every step is a person's: there is nothing in it for Backout to do."""
        return bool(self.steps) and all(step.owner != OURS for step in self.steps)

    @property
    def digest(self) -> str:
        """sha256 over uid, releases, way, steps, (rule, answer), policy version, and each overridden block with its sentence."""
        body: dict[str, Json] = {
            "uid": self.uid,
            "kind": self.kind,
            "way": self.way,
            "suspect": [self.suspect.key, self.suspect.handle],
            "goal": [self.goal.key, self.goal.handle],
            "steps": [_bound(s) for s in self.steps],
            "findings": sorted([f.rule, f.answer.word, bool(f.waived)] for f in self.verdict.findings),
            "policy": self.policy_version,
        }
        if self.passed_over:
            body["passed_over"] = sorted(one.key for one in self.passed_over)
        if self.overrides:
            body["overrides"] = sorted([f.rule, f.told] for f in self.verdict.findings if f.rule in self.overrides)
        return "sha256:" + hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _bound(step: Step) -> list[Json]:
    """What of a step an approval covers: everything that decides what is written, also when it is taken back."""
    late = ["once_verified"] if step.once_verified else []  # a plan that was made before this existed keeps its digest; so with what follows
    needed = [step.needed_for] if step.needed_for else []
    return [step.name, step.owner, step.effect, step.optional, dict(step.parameters), _bound(step.undo) if step.undo else None, *late, *needed]
