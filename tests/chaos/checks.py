"""Compares what Backout says with what the world saw, promise by promise (docs/architecture.md section 4). Knows nothing of how Backout works inside.

Promise 0 stands for what all of them rest on: everything comes to its end, and no code raises what it should not.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from pydantic import TypeAdapter

from service.domain import spans
from service.domain.chain import verify
from service.domain.model import Mode, TargetId
from service.domain.policy import TargetPolicy
from service.domain.ports import AuditEvent
from service.workflow.record import Rollback
from tests.chaos.fate import Trouble
from tests.chaos.play import Story
from tests.chaos.spinnaker_world import ME, SpinnakerWorld
from tests.chaos.virtual import BEGINS
from tests.chaos.wire import Sent
from tests.chaos.world import ALERT, APPLIED_EVERY, APPLIER, HOLDS_FOR, NOBODY, READ_ME, REVISION_FREE, SECRET, SET, at, since

ANY_MOMENT = 5.0
"""Seconds between Backout's last look and its request that nobody can close: what somebody does in them may cross it."""

CROSSES_A_SWITCH = 120.0
"""Seconds that Orca takes for a switch that was asked for: what a person does to the groups in them may cross it."""

LISTED_WITHIN = 130.0
"""Seconds within which a list must have been read, however hints come: three polls and some patience."""

KEPT_FOR_EVER = (("span", "body"), ("outbox", "body"), ("event", "says"), ("event", "body"), ("operation", "says"), ("operation", "data"), ("hold", "reason"))
"""Where a secret of somebody's error or annotation must not come. Deliveries and episodes are kept as they came, for who may read them."""

DEPLOYS = frozenset({"rollback", "sync", "undo", "switch", "own pipeline"})
"""Kinds of writes that put another release live."""

COMMIT = re.compile(r"[0-9a-f]{40}")

_RECORD = TypeAdapter(Rollback)


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept, in a sentence."""

    promise: int
    says: str

    def __str__(self) -> str:
        return f"promise {self.promise}: {self.says}" if self.promise else self.says


@dataclass(frozen=True)
class Op:
    """One operation's row with what belongs to it."""

    row: Mapping[str, Any]
    events: Sequence[AuditEvent]
    sent: Sequence[Sent]
    approval: Mapping[str, Any] | None
    app_of: Callable[[TargetId], str]

    @cached_property
    def data(self) -> Rollback:
        """Its record."""
        return _RECORD.validate_python(self.row["data"])

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.row["id"])

    @property
    def app(self) -> str:
        """Its target's name."""
        return self.app_of(TargetId.parse(self.row["target"]))

    @property
    def by_itself(self) -> bool:
        """Whether it acted without any person's word."""
        return bool(self.row["automatic"]) and self.approval is None and self.row["first_effect_at"] is not None

    @property
    def goes_back(self) -> bool:
        """Whether it rolls back; else it goes forward under a hold, to what people have released since."""
        return bool(self.row["kind"] == "rollback")

    @property
    def deploys(self) -> list[Sent]:
        """The requests that put another release live: its rollbacks and pins, or the explicit syncs of going forward."""
        return [one for one in self.sent if one.what in DEPLOYS or pins(one)]

    def last(self, kind: str) -> AuditEvent | None:
        """Its newest audit row of a kind."""
        return next((one for one in reversed(self.events) if one.kind == kind), None)


class Case:
    """A story, joined."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.world, self.diary, self.rows = story.world, story.world.diary, story.rows
        self.steady = not story.clock_steps
        events: dict[str, list[Mapping[str, Any]]] = {}
        for row in self.rows["event"]:
            events.setdefault(row["subject"], []).append(row)
        self.event_rows = {name: sorted(rows, key=lambda r: r["number"]) for name, rows in events.items()}
        approvals = {row["operation_id"]: row for row in self.rows["approval"] if row["approve"]}
        self.ops = [
            Op(
                row,
                [AuditEvent(kind=e["kind"], says=e["says"], at=e["at"], body=e["body"]) for e in self.event_rows.get(row["id"], ())],
                [one for one in self.diary.sent if one.operation == row["trace_id"]],
                approvals.get(row["id"]),
                self.world.app_of,
            )
            for row in sorted(self.rows["operation"], key=lambda r: r["created_at"])
        ]

    def policy(self, op: Op) -> TargetPolicy:
        """What the operator settled for its target."""
        return self.story.settings.policies.of(TargetId.parse(op.row["target"]))

    def second(self, moment: datetime) -> float:
        """A time of Backout's clock in the world's seconds; only where that clock was never set."""
        return (moment - BEGINS).total_seconds()

    def live(self, app: str, when: float) -> tuple[int | str, str, str] | None:
        """(history id, version, who) of the newest entry then."""
        found = [one for one in self.diary.entries if one.app == app and one.at <= when]
        return (found[-1].number, found[-1].version, found[-1].by) if found else None

    def lags(self, app: str) -> float:
        """So many seconds old may be what anybody reads of the shop: of machines nobody reads more than Clouddriver's cache."""
        world = self.world
        return world.gate.timings.cache if isinstance(world, SpinnakerWorld) and app in world.machines.apps else 0.0


def pins(one: Sent) -> bool:
    """Whether it has Argo CD follow one commit, which auto-sync deploys."""
    return one.what == "patch" and bool(COMMIT.fullmatch(one.pins))


def takes_back(one: Sent) -> bool:
    """Whether the request undoes something of ours: exempt from the deadline and the stop switch."""
    if one.what in {"cancel task", "cancel own pipeline", "open triggers"}:
        return True  # ours, before it asked for anything; and what we shut
    if one.what == "patch" and one.pins:
        return not pins(one)
    if one.what == "patch":
        return any(op["op"] in {"replace", "remove"} and not str(op["path"]).endswith("/enabled") for op in one.patch)
    if one.what == "spec":
        return bool(one.body.get("syncPolicy", {}).get("automated", {}).get("enabled") is not False)
    return False


def compensates(op: Op, one: Sent) -> bool:
    """Whether the request takes back what the operation did: exempt. What went forward and did not recover goes back to what was live before."""
    return takes_back(one) or (not op.goes_back and one.what == "rollback")


def gives_back(one: Sent) -> bool:
    """Whether it turns auto-sync on."""
    if one.what == "patch":
        return any(op["op"] == "replace" and op["path"] == "/spec/syncPolicy/automated" for op in one.patch)
    return one.what == "spec" and takes_back(one)


def stops(one: Sent) -> bool:
    """Whether it turns auto-sync off."""
    return one.what in {"patch", "spec"} and not takes_back(one) and "enabled" in json.dumps(one.body)


# --- the promises ------------------------------------------------------------------------------------------------------------


def everything_ends(case: Case) -> Iterator[Violation]:
    for why in case.story.unfinished:
        stuck = next((op for op in case.ops if op.id in why and op.row["phase"] == "stuck"), None)
        if stuck is None or not _told(case, f"{stuck.id}/stuck"):
            yield Violation(0, f"long after the last trouble: {why}")
    for defect in case.story.defects:
        yield Violation(0, defect)
    for op in case.ops:
        for event in op.events:
            if event.kind == "stumbled":
                yield Violation(0, f"{op.id} stumbled: {event.says}")


def unknown_is_never_safe(case: Case) -> Iterator[Violation]:
    for op in case.ops:
        verdict = op.last("verdict")
        if not op.by_itself or all(compensates(op, one) for one in op.sent):  # to take its mark off what is well asks nobody
            continue
        if verdict is None:
            yield Violation(1, f"{op.id} acted without a verdict")
            continue
        lets_pass = case.policy(op).lets_pass
        for finding in verdict.body["findings"]:
            if finding["answer"] == "pass" or finding["waived"] or (finding["answer"] == "warn" and finding["rule"] in lets_pass):
                continue
            yield Violation(1, f"{op.id} acted by itself although {finding['rule']} said {finding['answer']}: {finding['says']}")
        if case.steady and since(case.diary.flags.get("metrics away", ()), case.second(verdict.at), value=True) > 20.0:
            yield Violation(1, f"{op.id} acted by itself on a verdict from a time when the metrics system had been away for long")


def accepted_is_kept(case: Case) -> Iterator[Violation]:
    deliveries = {row["id"] for row in case.rows["delivery"]}
    episodes = {(row["fingerprint"], row["starts_at"]): row for row in case.rows["episode"]}
    prints = {fingerprint for fingerprint, _ in episodes}
    for one in case.story.accepted:
        if one.delivery not in deliveries:
            yield Violation(2, f"the delivery {one.delivery}, answered with 2xx at {one.at:.1f}, is not in the store")
        for fingerprint, starts, firing in one.notices:
            if (firing and (fingerprint, starts) not in episodes) or fingerprint not in prints:
                yield Violation(2, f"the alert {fingerprint} of {starts:%H:%M:%S}, answered with 2xx at {one.at:.1f}, is no episode")
    answered = {op.row["incident_id"] for op in case.ops}
    known = {op.id for op in case.ops}
    for row in case.rows["episode"]:
        if not row["disposition"]:
            yield Violation(2, f"episode {row['id']} has no disposition")
        if row["incident_id"] and row["ends_at"] is None and row["covered_by"] not in known:
            yield Violation(2, f"episode {row['id']} fires, belongs to an incident, and no operation answers it")
    for row in case.rows["incident"]:
        if row["id"] not in answered:
            yield Violation(2, f"incident {row['id']} of {row['target']} never had an operation")


def nothing_happens_twice(case: Case) -> Iterator[Violation]:
    by_suspect: dict[tuple[str, str], str] = {}
    for op in case.ops:
        taken = [one for one in op.deploys if one.taken and not compensates(op, one)]
        if len(taken) > 1:
            yield Violation(3, f"{op.id} deployed {op.app} {len(taken)} times, at {', '.join(f'{one.at:.1f}' for one in taken)}")
        for what, found in (("stopped", [o for o in op.sent if stops(o) and o.taken]), ("gave back", [o for o in op.sent if gives_back(o) and o.taken])):
            if len(found) > 1:
                yield Violation(3, f"{op.id} {what} auto-sync of {op.app} {len(found)} times")
        if op.row["automatic"] and op.goes_back and taken:
            key = (op.app, str(op.row["suspect_key"]))
            if key in by_suspect:
                yield Violation(3, f"{by_suspect[key]} and {op.id} both acted on the same release of {op.app}")
            by_suspect[key] = op.id
    if case.steady:
        for app in case.world.apps:
            mine = [op for op in case.ops if op.app == app]
            for one, other in pairwise(mine):
                # A process that stood still stamps a row with the time from before; the index in the store is what keeps them apart.
                if one.row["done_at"] is None or one.row["done_at"] > other.row["created_at"] + timedelta(seconds=case.story.frozen_for):
                    yield Violation(3, f"{one.id} and {other.id} were alive on {app} at the same time")
    for sent in case.diary.sent:
        retired = case.story.retired.get(sent.process)
        if retired is not None and sent.at > retired:
            yield Violation(3, f"{sent.process} sent {sent} at {sent.at:.1f}, and was declared dead at {retired:.1f}")
        if not sent.operation and sent.what in DEPLOYS:
            yield Violation(3, f"a {sent.what} of {sent.application} belongs to no operation")


def spinnaker_hears_it_once(case: Case) -> Iterator[Violation]:
    """As Spinnaker itself saw it: one cloud operation at most, and one change of what is rolled out."""
    world = case.world
    if not isinstance(world, SpinnakerWorld):
        return
    doubled = Trouble.DOUBLED in world.fate.dealt
    for op in case.ops:
        posted = world.undone_by(op.id)
        if posted > 1 and not doubled:
            yield Violation(3, f"Clouddriver took {posted} undos of {op.id}")
        undone = [one for one in op.deploys if one.arrived is not None]
        if not undone:
            if posted:
                yield Violation(3, f"Clouddriver took an undo of {op.id}, which none of its requests had asked for")
            continue
        changes = [one for one in case.diary.entries if one.app == op.app and one.by == "backout" and one.at > undone[0].at]
        if len(changes) > 1 and not any(other.app == op.app and other.deploys for other in case.ops if other.id != op.id):
            yield Violation(3, f"{op.id} changed what {op.app} rolls out {len(changes)} times: {', '.join(one.version for one in changes)}")
        if op.row["done_at"] is not None and not op.row["says"]:
            yield Violation(13, f"{op.id} ended as {op.row['outcome']} and does not say why")
    for app in sorted(world.triggered - world.gone):
        held = any(hold["target"] == str(world.target(app)) and hold["closed_at"] is None for hold in case.rows["hold"])
        shut = any(one.what == "shut triggers" and one.application == app and one.taken for one in case.diary.sent)
        if shut and not held and not world.triggers_on(app) and not any(name == app and how == "leave off" for _, name, how in case.story.ended_holds):
            yield Violation(7, f"the trigger of {app} was shut, no hold is open, and it stays shut")
    for app in sorted(world.pipelines.managed):
        if wrote := [one for one in case.diary.sent if one.application == app]:
            yield Violation(7, f"{wrote[0]} was sent at {wrote[0].at:.1f}, which keel takes back")


def runs_of_others_are_left_alone(case: Case) -> Iterator[Violation]:
    """Only an automated run of the bad version is ended; no run of that version brings it back; and our own one is started once."""
    world = case.world
    if not isinstance(world, SpinnakerWorld):
        return
    doubled = Trouble.DOUBLED in world.fate.dealt
    for op in case.ops:
        if len(runs := world.pipelines.started_for(op.id)) > 1 and not doubled:
            yield Violation(3, f"{op.id} has {len(runs)} runs of the team's rollback pipeline")
        if op.by_itself and any(one.what == "own pipeline" for one in op.sent) and world.pipelines.asks_a_person(op.app):
            yield Violation(1, f"{op.id} started by itself a rollback pipeline that asks a person first")
        if op.data.plan is None:
            continue
        bad = world.version_of(op.app, op.data.plan.suspect.revision).removesuffix(READ_ME)
        for one in op.sent:
            if one.what not in {"cancel pipeline", "judge"} or not one.taken:
                continue
            run = one.path.split("/")[2]
            version = world.pipelines.versions.get(run, "?").removesuffix(READ_ME)
            if world.gate.run_of(run)["trigger"].get("type") == "manual":
                yield Violation(5, f"{one} ended a run that a person had started")
            elif version != bad:
                yield Violation(5, f"{one} ended a run that deploys {version}, and not the bad {bad}")
        if op.goes_back and (first := next((one for one in op.deploys if one.taken and one.arrived is not None), None)) is not None:
            yield from _comes_back(case, op, bad, first.arrived or first.at)


def _comes_back(case: Case, op: Op, bad: str, since_: float) -> Iterator[Violation]:
    """By a run that had begun, or waited, before: what anybody does after that, or says to Backout, is theirs."""
    back = next((one for one in case.diary.entries if one.app == op.app and one.at > since_ and one.version.removesuffix(READ_ME) == bad), None)
    if back is None:
        return
    people = [(one.at, one.app) for one in case.diary.deeds] + [(when, app) for when, app, _ in case.story.ended_holds]
    again = (when for when, version in case.diary.desired.get(op.app, ()) if version.removesuffix(READ_ME) == bad)
    theirs = any(app == op.app and since_ - 60.0 < when <= back.at for when, app in people) or any(since_ - ANY_MOMENT < when <= back.at for when in again)
    if not theirs and back.by not in {"backout", "kubectl"}:
        yield Violation(7, f"{op.id} went back from {bad} of {op.app} at {since_:.1f}, and a run that had been there before deployed it again at {back.at:.1f}")


def on_machines_traffic_is_never_taken_away(case: Case) -> Iterator[Violation]:
    """One switch at most, of the two server groups that the plan names, and never a moment in which nobody serves because of it."""
    world = case.world
    if not isinstance(world, SpinnakerWorld):
        return
    doubled = Trouble.DOUBLED in world.fate.dealt
    for op in case.ops:
        if op.app not in world.machines.apps:
            continue
        posted = world.machines.operations(op.id)
        suspect, goal = (op.data.plan.suspect.handle, op.data.plan.goal.handle) if op.data.plan is not None else ("", "")
        for name, group in posted:
            if group != (suspect if name == "disableServerGroup" else goal) or name == "destroyServerGroup":
                yield Violation(5, f"{op.id} had Clouddriver {name} {group}; its plan is from {suspect} back to {goal}")
        for name in ("enableServerGroup", "disableServerGroup"):
            times = sum(one == name for one, _ in posted)
            if times > 1 and not doubled:
                yield Violation(3, f"Clouddriver took {name} {times} times for {op.id}")
        if op.row["done_at"] is not None and not op.row["says"]:
            yield Violation(13, f"{op.id} ended as {op.row['outcome']} and does not say why")
    for dark in world.machines.dark:
        people = [*((deed.at, deed.app) for deed in case.diary.deeds), *world.machines.touched]
        crossed = any(app == dark.app and dark.at - CROSSES_A_SWITCH < when <= dark.at for when, app in people)
        if dark.by == ME and not crossed:
            yield Violation(7, f"from {dark.at:.1f} on no server group of {dark.app} took traffic: we had {dark.group} disabled before another one served")


def never_late(case: Case) -> Iterator[Violation]:
    flags = case.diary.flags
    for op in case.ops:
        before = op.row["act_before"]
        for one in op.sent:
            if compensates(op, one):
                continue
            if before is None or one.clock >= before:
                yield Violation(4, f"{op.id} sent {one} at {one.clock:%H:%M:%S}, its act_before was {before and f'{before:%H:%M:%S}'}")
            if (lasted := since(flags.get("stopped", ()), one.at, value=True)) > ANY_MOMENT:
                yield Violation(4, f"{op.id} sent {one} at {one.at:.1f}, {lasted:.0f} s after everything was stopped")
        for one in op.deploys:
            if compensates(op, one):
                continue
            for flag, longest in (("sync window closed", 20.0), *([] if pins(one) else [("controller down", 30.0)])):  # a pin is taken back then
                if (lasted := since(flags.get(flag, ()), one.at, value=True)) > longest:
                    yield Violation(4, f"{op.id} sent {one} at {one.at:.1f}, and for {lasted:.0f} s there was: {flag}")


def never_against_a_person(case: Case) -> Iterator[Violation]:
    for op in case.ops:
        began = op.data.onset or op.row["created_at"]
        for one in op.sent:
            if compensates(op, one):
                yield from _undone_over_a_person(case, op, one)
                continue
            if case.steady:
                for deed in case.diary.deeds:
                    if deed.app == op.app and case.second(began) < deed.at < one.at - ANY_MOMENT:
                        yield Violation(5, f"{op.id} sent {one} at {one.at:.1f} although {deed.by} {deed.what} at {deed.at:.1f}")
                        break
            live, now = case.live(op.app, one.at - max(ANY_MOMENT, case.lags(op.app))), case.live(op.app, one.at)
            suspect = op.data.plan.suspect.handle if op.data.plan else ""
            done_before = any(o.taken and o.arrived is not None and o.arrived < one.at for o in op.deploys)
            fresh = now is not None and str(now[0]) == suspect  # it went live within that moment
            if live is not None and str(live[0]) != suspect and not fresh and not done_before:
                what = f"release {live[0]} ({live[1]}, by {live[2] or 'auto-sync'})"
                yield Violation(5, f"{op.id} sent {one} at {one.at:.1f} although {what} was live, not {suspect}")
            if one.what == "terminate" and not _may_end(case, one):
                yield Violation(5, f"{op.id} ended an operation of a person at {one.at:.1f}")


def _undone_over_a_person(case: Case, op: Op, one: Sent) -> Iterator[Violation]:
    stopped = next((o for o in op.sent if stops(o) and o.taken), None)
    for deed in case.diary.deeds:
        touched = deed.app == op.app and "auto-sync" in deed.what
        if stopped is not None and touched and gives_back(one) and one.taken and stopped.at < deed.at < one.at - ANY_MOMENT:
            yield Violation(5, f"{op.id} gave auto-sync back at {one.at:.1f} although {deed.by} {deed.what} at {deed.at:.1f}")


def _may_end(case: Case, one: Sent) -> bool:
    """Only what is automated may be ended: nobody of ours may end a sync that a person began."""
    syncs = [d for d in case.diary.deeds if d.app == one.application and d.what in {"syncs", "rolls back"}]
    return not any(one.at - 30.0 < d.at < one.at - ANY_MOMENT for d in syncs)


def findings_explain_themselves(case: Case) -> Iterator[Violation]:
    for op in case.ops:
        trace = {(_attribute(s, spans.RULE), _attribute(s, spans.SAYS)) for s in _trace(case, op)}
        for event in op.events:
            if event.kind != "verdict":
                continue
            if not event.body["findings"]:
                yield Violation(6, f"the verdict of {op.id} has no findings")
            for finding in event.body["findings"]:
                if not finding["says"] or not finding["rule"] or (finding["answer"] != "pass" and not finding["clears"]):
                    yield Violation(6, f"a finding of {op.id} does not explain itself: {finding}")
                elif (finding["rule"], finding["says"]) not in trace and len(finding["says"]) < 1000:  # a longer one is cut in the span
                    yield Violation(6, f"the sentence of {finding['rule']} in {op.id} is not in its trace: {finding['says']}")


def it_stays_rolled_back(case: Case) -> Iterator[Violation]:
    held = {(row["hold_id"], row["key"]) for row in case.rows["held_release"]}
    for op in case.ops:
        for one in op.deploys:
            if not one.taken:
                continue
            open_then = [h for h in case.rows["hold"] if h["target"] == op.row["target"] and (h["opened_at"] <= one.clock or not case.steady)]
            if op.goes_back and not any((h["id"], op.row["suspect_key"]) in held for h in open_then):
                yield Violation(7, f"{op.id} rolled {op.app} back at {one.at:.1f} and no hold kept the release away")
            if not op.goes_back and not open_then:
                yield Violation(7, f"{op.id} went forward on {op.app} at {one.at:.1f} under no hold")
            back = next((o for o in op.sent if gives_back(o) and o.taken and (o.arrived or 0.0) > one.at), None)
            if back is not None and op.goes_back:
                yield Violation(7, f"{op.id} rolled {op.app} back at {one.at:.1f} and gave auto-sync back at {back.arrived:.1f}")
            if back is not None and not op.goes_back:
                yield from _given_back_rightly(case, op, back)
            if not op.goes_back:
                yield from _goes_forward_to_something_else(case, op)
    for app in case.world.apps:
        yield from _ended_so(case, app)
        yield from _stays_pinned(case, app)
    yield from _leaves_owners_alone(case)


def _given_back_rightly(case: Case, op: Op, back: Sent) -> Iterator[Violation]:
    """Auto-sync goes back only once the fix was measured, and what is desired then is that fix."""
    when = back.arrived or back.at
    desired, live = at(case.diary.desired.get(op.app, ()), when - ANY_MOMENT, ""), case.live(op.app, when)
    if live is not None and desired != live[1] and at(case.diary.desired.get(op.app, ()), when, "") != live[1]:
        yield Violation(7, f"{op.id} gave auto-sync of {op.app} back at {when:.1f}: {live[1]} is live, and {desired} is what it will deploy")
    if op.last("verified") is None:
        yield Violation(7, f"{op.id} gave auto-sync of {op.app} back at {when:.1f} before it had measured anything")


def _goes_forward_to_something_else(case: Case, op: Op) -> Iterator[Violation]:
    """Never to what is held, by whatever commit."""
    plan = op.data.plan
    goal = case.world.version_of(op.app, plan.goal.revision).removesuffix(READ_ME) if plan else "?"
    for hold in case.rows["hold"]:
        if hold["target"] != op.row["target"] or hold["opened_at"] >= op.row["created_at"]:
            continue
        for other in case.ops:
            if other.id == hold["operation_id"] and other.data.plan is not None:
                bad = case.world.version_of(op.app, other.data.plan.suspect.revision).removesuffix(READ_ME)
                if bad == goal:
                    yield Violation(7, f"{op.id} went forward to {goal} of {op.app}, which {other.id} had gone back from")


def _ended_so(case: Case, app: str) -> Iterator[Violation]:
    """At the end: what we put live and nobody touched since stands without auto-sync, held and marked."""
    live = case.live(app, case.story.lasted)
    if live is None or live[2] != "backout":
        return
    rolled = next(one.at for one in reversed(case.diary.entries) if one.app == app and one.number == live[0])
    last = next((one for one in reversed(case.diary.sent) if one.application == app and one.what in DEPLOYS and one.at < rolled), None)
    if last is not None and last.what == "sync":
        return  # it went forward: whether auto-sync was given back rightly is looked at where it was
    deeds = any(d.app == app and d.at > rolled - 60.0 for d in case.diary.deeds)
    if deeds or any(name == app and when > rolled - 60.0 for when, name, _ in case.story.ended_holds):
        return
    target = str(case.world.target(app))
    if case.world.automated(app):
        yield Violation(7, f"{app} stands on a release that Backout went back to, and auto-sync is on")
    if not any(h["target"] == target and h["closed_at"] is None for h in case.rows["hold"]):
        yield Violation(7, f"{app} stands on a release that Backout went back to, and no hold is open")
    stopped = any(stops(one) and one.taken and one.application == app for one in case.diary.sent)
    if stopped and not case.world.held(app):
        yield Violation(7, f"{app} stands on a release that Backout went back to, and carries no mark")


def _stays_pinned(case: Case, app: str) -> Iterator[Violation]:
    """At the end: what we pinned and nobody touched since is pinned still, and held."""
    written = [one for one in case.diary.sent if one.application == app and one.taken and one.pins]
    if not written or not pins(written[-1]):
        return
    when = written[-1].at
    if any(d.app == app and d.at > when - 60.0 for d in case.diary.deeds) or any(name == app and at_ > when - 60.0 for at_, name, _ in case.story.ended_holds):
        return
    if case.world.follows(app) != written[-1].pins:
        yield Violation(7, f"{app} was pinned at {when:.1f}, nobody touched it, and it follows {case.world.follows(app)}")
    if not any(h["target"] == str(case.world.target(app)) and h["closed_at"] is None for h in case.rows["hold"]):
        yield Violation(7, f"{app} is pinned, and no hold is open")


def _leaves_owners_alone(case: Case) -> Iterator[Violation]:
    """What somebody else's controller would take back at once is not written in the first place."""
    owned = {shop.app: shop.owner for shop in case.story.schedule.shops}
    for one in case.diary.sent:
        owner = owned.get(one.application, NOBODY)
        if owner == SET or (owner == REVISION_FREE and not one.pins) or (owner == APPLIER and _would_be_put_back(case, one)):
            yield Violation(7, f"{one} was sent at {one.at:.1f}, which {owner} takes back")


def _would_be_put_back(case: Case, one: Sent) -> bool:
    """By who applies `enabled`: where auto-sync was on. Not right after a person's edit, which takes the field out of what is recorded as applied."""
    on = at(case.diary.auto_sync.get(one.application, ()), one.at, default=False)
    return bool(on) and not any(d.app == one.application and 0.0 <= one.at - d.at <= 2 * APPLIED_EVERY for d in case.diary.deeds)


def recovered_means_measured(case: Case) -> Iterator[Violation]:
    for op in case.ops:
        verified = op.last("verified")
        if op.row["outcome"] != "recovered" or not case.steady:
            continue
        if verified is None or op.data.plan is None:
            yield Violation(8, f"{op.id} says recovered and measured nothing")
            continue
        when, bake = case.second(verified.at), case.policy(op).recovered_when.bake.total_seconds()
        well = since(case.diary.burning.get(op.app, ((0.0, False),)), when - 1.0, value=False)
        if well < bake - 7.0:
            yield Violation(8, f"{op.id} says recovered at {when:.1f}, and {op.app} was well for {well:.0f} of {bake:.0f} s")
        version = case.world.version_of(op.app, op.data.plan.goal.revision).removesuffix(READ_ME)
        runs = at(case.diary.running.get(op.app, ()), when - 1.0, frozenset())
        if runs != {version} and not any(one == {version} for one in _shown(case, op.app, when)):
            yield Violation(8, f"{op.id} says recovered at {when:.1f}, and {op.app} runs {', '.join(sorted(runs))}, not {version}")


def _shown(case: Case, app: str, when: float) -> list[frozenset[str]]:
    """What may have been read of the versions that run, then: of machines nobody reads more than Clouddriver's cache, and that lags."""
    line, began = case.diary.running.get(app, ()), when - case.lags(app)
    return [at(line, began, frozenset()), *(value for second, value in line if began < second <= when)]


def what_lives_is_known(case: Case) -> Iterator[Violation]:
    """Whatever hints were lost: at the end Backout's record says of each target which release is live."""
    for app in sorted(set(case.world.apps) - case.world.gone):
        live = case.live(app, case.story.lasted)
        rows = [r for r in case.rows["release"] if r["target"] == str(case.world.target(app)) and r["live_until"] is None]
        if live is None or any(one.app == app and one.at > case.story.lasted - LISTED_WITHIN for one in case.diary.entries):
            continue
        if str(live[0]) not in ({str(row["handle"]) for row in rows} or {""}):
            yield Violation(1, f"release {live[0]} ({live[1]}) of {app} is live, and Backout's record says {[row['handle'] for row in rows]}")


def the_trace_is_complete(case: Case) -> Iterator[Violation]:
    got: dict[bytes, set[bytes]] = {}
    for body in case.story.receivers["trace"].got:
        for span in _spans(body):
            got.setdefault(span.span_id, set()).add(body)
    for op in case.ops:
        rows = case.event_rows.get(op.id, [])
        if [r["number"] for r in rows] != list(range(1, len(rows) + 1)):
            yield Violation(9, f"the audit rows of {op.id} have holes: {[r['number'] for r in rows]}")
        if (broken := verify([(e, r["digest"]) for e, r in zip(op.events, rows, strict=True)])) is not None:
            yield Violation(9, f"the audit chain of {op.id} is broken: {broken.says}")
        if op.row["done_at"] is None:
            continue
        bodies = [r["body"] for r in case.rows["span"] if r["operation_id"] == op.id]
        trace = [span for body in bodies for span in _spans(body)]
        own = [span for span in trace if span.trace_id.hex() == op.row["trace_id"]]
        roots = [span for span in own if not span.parent_span_id]
        names, ids = {span.name for span in own}, {span.span_id for span in own}
        if len(roots) != 1 or not {spans.ACCEPTED, spans.COMPLETED} <= names:
            yield Violation(9, f"the trace of {op.id} has {len(roots)} roots and {', '.join(sorted(names))}")
        if orphans := [span.name for span in own if span.parent_span_id and span.parent_span_id not in ids]:
            yield Violation(9, f"spans of {op.id} have no parent in its trace: {', '.join(orphans)}")
        if len(ids) != len(own):
            yield Violation(9, f"the trace of {op.id} has a span twice")
        for body in bodies:
            for span in _spans(body):
                if got.get(span.span_id) != {body}:
                    times = len(got.get(span.span_id, ()))
                    yield Violation(9, f"the span {span.name} of {op.id} {'has left in different bytes' if times else 'never reached the collector'}")


def it_keeps_its_limits(case: Case) -> Iterator[Violation]:
    acted: dict[str, Op] = {}
    made = {(row["target"], row["handle"]): row for row in case.rows["effect"]}
    for op in case.ops:
        first = next((one for one in op.sent if not takes_back(one)), None)
        plan = op.data.plan
        if not op.goes_back:
            continue
        if op.by_itself and op.app in acted:
            yield Violation(10, f"{op.id} acted by itself on {op.app}, and {acted[op.app].id} had done so before")
        if op.row["automatic"] and op.row["first_effect_at"] is not None:
            acted[op.app] = op
        if first is None or plan is None:
            continue
        trigger = op.data.trigger
        if op.by_itself and trigger is not None and trigger.received_at - trigger.began_at > case.policy(op).late_alert:
            yield Violation(10, f"{op.id} acted by itself on an alert that was told {trigger.received_at - trigger.began_at} late")
        if op.by_itself and op.data.onset is not None and op.data.onset - plan.suspect.started_at > case.policy(op).deploy_window:
            yield Violation(10, f"{op.id} acted by itself on an old deploy")
        if op.row["automatic"]:
            burning = {i["target"] for i in case.rows["incident"] if first.clock - timedelta(minutes=10) < i["opened_at"] < first.clock - timedelta(seconds=20)}
            if len(burning) > 3 and case.steady:
                yield Violation(10, f"{op.id} acted while {len(burning)} of {len(case.world.apps)} targets had trouble")
        known = made.get((op.row["target"], plan.suspect.handle))
        if known is not None and known["operation_id"] != op.id:
            yield Violation(10, f"{op.id} went back from release {plan.suspect.handle}, which {known['operation_id']} had put there")
        for hold in case.rows["hold"]:
            mine = hold["target"] == op.row["target"] and hold["opened_at"] < first.clock and (hold["closed_at"] is None or hold["closed_at"] > first.clock)
            keys = {row["key"] for row in case.rows["held_release"] if row["hold_id"] == hold["id"] and row["since"] < first.clock}
            if mine and plan.goal.key in keys:
                yield Violation(10, f"{op.id} went back to a release that is held away")


def an_alert_raises_nothing(case: Case) -> Iterator[Violation]:
    episodes = {row["id"]: row for row in case.rows["episode"]}
    for op in case.ops:
        policy = case.policy(op)
        if op.row["automatic"] and Mode.of(op.row["mode"]) > policy.mode:
            yield Violation(11, f"{op.id} has mode {op.row['mode']}, the operator settled {policy.mode.word}")
        if not op.by_itself or not op.goes_back:
            continue
        if policy.mode is not Mode.AUTO:
            yield Violation(11, f"{op.id} acted by itself in mode {policy.mode.word}")
        for name in op.data.episodes:
            episode = episodes[name]
            labels = episode["labels"]
            if labels.get("alertname") != ALERT or labels.get("namespace") != op.app or episode["sender"] != "main":
                yield Violation(11, f"{op.id} acted by itself on {labels.get('alertname')} of {episode['sender']} with {labels}")
        verdict = op.last("verdict")
        if case.steady and verdict is not None:
            burnt = since(case.diary.burning.get(op.app, ()), case.second(verdict.at), value=True)
            if burnt < HOLDS_FOR.total_seconds() - 2.0:
                yield Violation(11, f"{op.id} acted by itself on an alert that did not fire by its own query")


def approvals_bind_and_secrets_stay(case: Case) -> Iterator[Violation]:
    for op in case.ops:
        plan, verdict = op.data.plan, op.last("verdict")
        if op.row["first_effect_at"] is None or plan is None:
            continue
        if op.approval is not None:
            body, before = op.approval["body"], op.approval["at"]
            if body.get("digest") != plan.digest:
                yield Violation(12, f"{op.id} acted on an approval of another plan")
            if any(one.clock < before for one in op.sent) and case.steady:
                yield Violation(12, f"{op.id} acted before it was approved")
            names = set(body.get("names", ()))
        elif not op.row["automatic"]:
            confirmed = op.data.confirmed
            if confirmed is None or confirmed.digest != plan.digest:
                yield Violation(12, f"{op.id} acted for a person who confirmed another plan, or none")
            names = set(confirmed.names if confirmed else ())
        else:
            continue
        doubts = [f["rule"] for f in (verdict.body["findings"] if verdict else ()) if f["answer"] != "pass" and not f["waived"]]
        if missing := [rule for rule in doubts if rule not in names]:
            yield Violation(12, f"{op.id} acted on an approval that does not name {', '.join(missing)}")
    for table, column in KEPT_FOR_EVER:
        for row in case.rows[table]:
            value = row[column]
            if SECRET.encode() in (value if isinstance(value, bytes) else json.dumps(value).encode()):
                name = row.get("key") or row.get("subject") or row.get("id") or row.get("operation_id")
                yield Violation(12, f"a secret stands in {table}.{column} of {name}")


def nothing_is_silent(case: Case) -> Iterator[Violation]:
    for op in case.ops:
        if op.row["done_at"] is not None and op.row["outcome"] != "observed" and not _told(case, f"{op.id}/end") and not _told(case, f"{op.id}/stumbled"):
            yield Violation(13, f"{op.id} ended as {op.row['outcome']} and nobody was told")
        waited = next((e for e in op.events if e.kind == "decision" and e.body["do"] == "wait"), None)
        if waited is not None and op.row["automatic"] and op.data.waiting_since is not None and not _told(case, f"{op.id}/approval/", prefix=True):
            yield Violation(13, f"{op.id} waited for a person and nobody was told")
    for row in case.rows["episode"]:
        if row["disposition"] in {"no_target", "ambiguous", "out_of_scope"} and not _told(case, f"unplaced/{row['delivery_id']}"):
            yield Violation(13, f"nobody was told that the alert of {row['id']} has no target")
    for row in case.rows["outbox"]:
        if row["parked"]:
            yield Violation(13, f"the message {row['key']} was set aside: {row['parked']}")


CHECKS = (
    everything_ends,
    unknown_is_never_safe,
    accepted_is_kept,
    nothing_happens_twice,
    spinnaker_hears_it_once,
    runs_of_others_are_left_alone,
    on_machines_traffic_is_never_taken_away,
    never_late,
    never_against_a_person,
    findings_explain_themselves,
    it_stays_rolled_back,
    recovered_means_measured,
    what_lives_is_known,
    the_trace_is_complete,
    it_keeps_its_limits,
    an_alert_raises_nothing,
    approvals_bind_and_secrets_stay,
    nothing_is_silent,
)


def check(story: Story) -> list[Violation]:
    """Everything that was not kept."""
    case = Case(story)
    return [violation for one in CHECKS for violation in one(case)]


# --- reading -----------------------------------------------------------------------------------------------------------------


def _told(case: Case, key: str, *, prefix: bool = False) -> bool:
    """Whether a message with that key reached a person."""
    got = set(case.story.receivers["on-call"].got)
    rows = [r for r in case.rows["outbox"] if r["channel"] == "notify:on-call" and (r["key"].startswith(key) if prefix else r["key"] == key)]
    return any(bytes(row["body"]) in got for row in rows)


def _spans(body: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(bytes(body))
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


def _trace(case: Case, op: Op) -> list[Span]:
    return [span for row in case.rows["span"] if row["operation_id"] == op.id for span in _spans(row["body"])]


def _attribute(span: Span, name: str) -> Any:
    for pair in span.attributes:
        if pair.key == name:
            return getattr(pair.value, str(pair.value.WhichOneof("value")))
    return None
