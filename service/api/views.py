"""Domain values as JSON: one function a shape of openapi.yaml. Pure; what a caller may do and what is read are handed in."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from service.api.reads import CapturedMoment
from service.domain.facts import Evidence
from service.domain.holding import HeldRelease
from service.domain.model import Actor, Episode, Hold, Image, Incident, Json, Mode, Operation, Release, ReleaseRecord, TargetId, Watch
from service.domain.planning.plan import Plan, Step
from service.domain.policy import TargetPolicy, can_override, decide
from service.domain.ports import AuditEvent, ListedTarget
from service.domain.readiness import Standing, Turn
from service.domain.verdict import Answer, Finding, Verdict
from service.workflow import record
from service.workflow.examine import Examination
from service.workflow.keeper import Orphan
from service.workflow.sources import LiveSources
from service.workflow.watch import Freshness

View = dict[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where things are found. `public_url` "" makes relative links; `trace_link` "" means that nobody shows traces."""

    public_url: str = ""
    trace_link: str = ""

    def at(self, *segments: str) -> str:
        """`/v1/…` of these segments, each percent-encoded."""
        return "/".join((self.public_url.rstrip("/"), "v1", *(quote(one, safe=":") for one in segments)))

    def target(self, target: TargetId) -> str:
        """A target's own address."""
        return self.at("targets", str(target))

    def operation(self, operation_id: str) -> str:
        """An operation's own address."""
        return self.at("operations", operation_id)

    def trace(self, trace_id: str) -> str:
        """Where the trace is shown, "" when nowhere."""
        return self.trace_link.replace("{trace_id}", trace_id)


def utc(at: datetime) -> str:
    """RFC 3339 with Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def maybe(at: datetime | None) -> str | None:
    """The time, or null."""
    return None if at is None else utc(at)


def etag(basis: Json) -> str:
    """A weak entity tag over what matters of a body."""
    text = json.dumps(basis, sort_keys=True, separators=(",", ":"), default=str)
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'


def tagged(body: View) -> View:
    """The body with its `etag`."""
    return body | {"etag": etag(body)}


def links(**named: str) -> dict[str, str]:
    """The links that lead somewhere."""
    return {name: address for name, address in named.items() if address}


def actor(who: Actor) -> View:
    """Who did something."""
    return {"kind": who.kind, "name": who.name}


# --- targets and releases ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What is open around a target: ids of hold, incident and operation, None when there is none; and the release that was last seen live.

    `disarmed_until` is when automation may act on it again after its own rollbacks; None when it may, or never does. `standing` is its standing verdict.
    """

    hold: str | None = None
    incident: str | None = None
    operation: str | None = None
    live: ReleaseRecord | None = None
    disarmed_until: datetime | None = None
    standing: Standing | None = None


def target(listed: ListedTarget, *, seen_at: datetime, now: datetime, mode: Mode, around: Around, allowed: Sequence[str], addresses: Addresses) -> View:
    """A target as it was last listed."""
    return {
        "id": str(listed.target),
        "instance": listed.target.instance,
        "name": listed.target.name,
        "project": listed.project,
        "namespace": listed.namespace,
        "mode": mode.word,
        "disarmed_until": maybe(around.disarmed_until),
        "health": listed.health,
        "images": list(listed.images),
        "desired_revision": listed.desired_revision,
        "live": None if around.live is None else {"release": around.live.handle, "version": around.live.version, "since": utc(around.live.watched_from)},
        "readiness": readiness(around.standing, now),
        "hold": around.hold,
        "incident": around.incident,
        "operation": around.operation,
        "listed_at": utc(seen_at),
        "age_s": round((now - seen_at).total_seconds(), 3),
        "allowed_actions": list(allowed),
        "links": links(self=addresses.target(listed.target), check=f"{addresses.target(listed.target)}/rollback-check") | around_links(around, addresses),
    }


def around_links(around: Around, addresses: Addresses) -> dict[str, str]:
    """The links to what is open around a target."""
    return links(
        hold=addresses.at("holds", around.hold) if around.hold else "",
        incident=addresses.at("incidents", around.incident) if around.incident else "",
        operation=addresses.operation(around.operation) if around.operation else "",
    )


def target_detail(summary: View, records: Mapping[str, ReleaseRecord]) -> View:
    """The target with the releases that were seen live, newest first. Being listed once more does not change it."""
    seen = sorted(records.values(), key=lambda one: one.watched_from, reverse=True)
    stable = {key: value for key, value in summary.items() if key not in {"age_s", "listed_at", "readiness"}}
    stable["readiness"] = _lasting(summary["readiness"])
    lived = [[one.key, one.last_health, maybe(one.live_until)] for one in seen]
    return summary | {"releases": [release_seen(one) for one in seen], "etag": etag([stable, lived])}


def readiness(one: Standing | None, now: datetime) -> View | None:
    """The standing verdict in short, with its age; null before the first one. One that is too old to be believed is unknown."""
    if one is None:
        return None
    old = one.stale(now)
    return {
        "verdict": one.at(now).word,
        "says": f"the standing verdict is too old to be believed; it was {one.answer.word}" if old else one.says,
        "rules": [] if old else [each.rule for each in one.against],
        "as_of": utc(one.as_of),
        "age_s": round((now - one.as_of).total_seconds(), 3),
        "good_for_s": one.good_for.total_seconds(),
        "stale": old,
        "since": utc(one.since),
    }


def _lasting(short: View | None) -> View | None:
    """What of a standing verdict is more than its age."""
    return None if short is None else {key: value for key, value in short.items() if key not in {"age_s", "as_of"}}


def standing(one: Standing, turns: Sequence[Turn], *, now: datetime, addresses: Addresses) -> View:
    """The standing verdict in full, and how it turned."""
    where = addresses.target(one.target)
    body: View = {
        "target": str(one.target),
        **(readiness(one, now) or {}),
        "way": one.way.value,
        "from": None if one.suspect is None else release(one.suspect),
        "to": None if one.goal is None else release(one.goal),
        "recommended": {"way": one.recommended.value, "because": one.because},
        "findings": [finding(each) for each in one.findings],
        "turns": [turn(each) for each in turns],
        "links": links(self=f"{where}/readiness", target=where, check=f"{where}/rollback-check"),
    }
    said = [[each["rule"], each["answer"], each["says"], each["lines"]] for each in body["findings"]]
    return body | {"etag": etag([{k: v for k, v in body.items() if k not in {"age_s", "as_of", "findings"}}, said])}


def turn(one: Turn) -> View:
    """A change of the standing verdict."""
    return {
        "at": utc(one.at),
        "was": None if one.was is None else one.was.word,
        "verdict": one.answer.word,
        "says": one.says,
        "release": one.release,
        "rules": list(one.rules),
    }


def release_seen(one: ReleaseRecord) -> View:
    """What Backout saw of a release while it lived."""
    return {
        "key": one.key,
        "release": one.handle,
        "version": one.version,
        "images": None if one.images is None else [image(each) for each in one.images],
        "watched_from": utc(one.watched_from),
        "watched_until": utc(one.watched_until),
        "healthy_for_s": one.healthy_for.total_seconds(),
        "last_health": one.last_health,
        "live_until": maybe(one.live_until),
        "made_by_backout": one.made_by_backout,
        "moved": one.moved,
        "fingerprint": one.fingerprint,
    }


def image(one: Image) -> View:
    """An image with how its digest is known."""
    return {"reference": one.reference, "digest": one.digest, "proof": one.proof}


def instance(name: str, freshness: Freshness, now: datetime) -> View:
    """How old the list of an instance is, and whether it is whole."""
    return {
        "instance": name,
        "listed_at": maybe(freshness.listed_at),
        "age_s": None if freshness.listed_at is None else round((now - freshness.listed_at).total_seconds(), 3),
        "complete": freshness.complete and freshness.listed_at is not None and not freshness.trouble,
        "trouble": freshness.trouble or ("" if freshness.listed_at else "not listed yet"),
        "stream": freshness.stream.value,
        "stream_since": maybe(freshness.stream_since),
        "stream_trouble": freshness.stream_trouble,
    }


def freshness(known: Mapping[str, Freshness], now: datetime) -> View:
    """What a list of targets is worth: without a single instance, or with one that could not be listed in full, absence proves nothing."""
    instances = [instance(name, known[name], now) for name in sorted(known)]
    return {"as_of": utc(now), "complete": bool(instances) and all(one["complete"] for one in instances), "instances": instances}


def release(one: Release) -> View:
    """One release of a target."""
    return {
        "release": one.handle,
        "key": one.key,
        "version": one.version,
        "revision": one.revision,
        "title": one.title,
        "sources": [{"repository": s.repository, "path": s.path, "revision": s.revision, "parameters": s.parameters} for s in one.sources],
        "started_at": utc(one.started_at),
        "deployed_at": maybe(one.deployed_at),
        "by": actor(one.by),
    }


def live_sources(one: LiveSources, *, addresses: Addresses) -> View:
    """The live release's images with the source of each."""
    where = addresses.target(one.target)
    body: View = {
        "target": str(one.target),
        "as_of": utc(one.as_of),
        "release": None if one.release is None else release(one.release),
        "complete": bool(one.images) and not any(each.why for each in one.images),
        "why": one.why,
        "images": [
            {"image": each.image.repository, "digest": each.image.digest, "repository": each.repository, "revision": each.revision, "why": each.why}
            for each in one.images
        ],
        "links": links(self=f"{where}/sources", target=where),
    }
    return body | {"etag": etag({key: value for key, value in body.items() if key != "as_of"})}


# --- verdict, plan -------------------------------------------------------------------------------------------------------


def evidence(one: Evidence) -> View:
    """Where a fact comes from."""
    return {"source": one.source, "what": one.what, "read_at": utc(one.read_at), "digest": one.digest}


def finding(one: Finding) -> View:
    """One rule's answer."""
    return {
        "rule": one.rule,
        "answer": one.answer.word,
        "gate": one.gate,
        "says": one.says,
        "lines": [{"source": line.source, "answer": line.answer.word, "says": line.says} for line in one.lines],
        "clears": one.clears,
        "waived": one.waived,
        "evidence": [evidence(each) for each in one.evidence],
        "adds": list(one.adds),
        "instead": None if one.instead is None else one.instead.value,
        "overridable": one.overridable,
    }


def verdict(one: Verdict) -> View:
    """All findings together."""
    return {
        "verdict": one.worst.word,
        "way": one.way.value,
        "recommended": {"way": one.recommended.value, "because": one.because},
        "as_of": utc(one.as_of),
        "findings": [finding(each) for each in one.findings],
    }


def must_name(one: Verdict) -> list[str]:
    """The rules that an approval has to name, or the confirmation of an override, by the one table that says so."""
    return list(decide(Mode.APPROVE, one, TargetPolicy(), override=can_override(one)).must_name)


def must_override(one: Plan | None) -> list[str]:
    """The rules that an override has to name; none where it can never be overridden, or nothing blocks."""
    return list(can_override(one.verdict)) if one is not None and one.steps else []


def rollback_check(found: Examination, *, now: datetime, mode: Mode, around: Around, allowed: Sequence[str], addresses: Addresses) -> View:
    """The answer to "can this target go back now?". Without a plan it is never a pass, for nobody could act on it."""
    case, judged = found.case, found.verdict
    answer = judged.worst if found.plan is not None else max(judged.worst, Answer.UNKNOWN)
    self_link = f"{addresses.target(case.target)}/rollback-check"
    body: View = {
        "target": str(case.target),
        "as_of": utc(judged.as_of),
        "verdict": answer.word,
        "way": judged.way.value,
        "from": None if case.suspect is None else release(case.suspect),
        "to": None if case.goal is None else release(case.goal),
        "recommended": {"way": judged.recommended.value, "because": judged.because},
        "says": found.says,
        "findings": [finding(one) for one in judged.findings],
        "plan_digest": None if found.plan is None else found.plan.digest,
        "must_name": must_name(judged),
        "must_override": must_override(found.plan),
        "mode": mode.word,
        "disarmed_until": maybe(around.disarmed_until),
        "readiness": readiness(around.standing, now),
        "operation": around.operation,
        "hold": around.hold,
        "allowed_actions": list(allowed),
        "links": links(
            self=self_link,
            target=addresses.target(case.target),
            plans=addresses.at("plans"),
            operations=addresses.at("operations"),
            delivery=found.state.link if found.state else "",
        )
        | around_links(around, addresses),
    }
    stable = {k: v for k, v in body.items() if k not in {"as_of", "findings", "readiness"}}
    said = [[one["rule"], one["answer"], one["says"], one["lines"], one["clears"], one["waived"]] for one in body["findings"]]
    return body | {"etag": etag([stable, said])}


def step(one: Step) -> View:
    """One step of a plan, with what takes it back."""
    return {
        "name": one.name,
        "says": one.says,
        "effect": one.effect,
        "optional": one.optional,
        "needed_for": one.needed_for,
        "owner": one.owner,
        "parameters": dict(one.parameters),
        "done_when": one.done_when,
        "fallback": one.fallback,
        "command": one.command,
        "undo": None if one.undo is None else step(one.undo),
        "stands": one.stands,
    }


def plan_body(one: Plan) -> View:
    """A plan as it is approved."""
    return {
        "id": one.id,
        "kind": one.kind.value,
        "target": str(one.target),
        "uid": one.uid,
        "title": one.title,
        "method": one.method,
        "scope": one.scope,
        "way": one.way.value,
        "because": one.because,
        "suspect": release(one.suspect),
        "goal": release(one.goal),
        "passed_over": [release(each) for each in one.passed_over],
        "steps": [step(each) for each in one.steps],
        "verdict": verdict(one.verdict),
        "must_name": must_name(one.verdict),
        "must_override": must_override(one),
        "overrides": list(one.overrides),
        "mode": one.mode.word,
        "policy_version": one.policy_version,
        "made_at": utc(one.made_at),
        "act_before": utc(one.act_before),
        "tags": list(one.tags),
        "requested_by": actor(one.requested_by),
        "digest": one.digest,
    }


def plan(one: Plan, *, allowed: Sequence[str], addresses: Addresses) -> View:
    """A kept plan."""
    where = links(self=addresses.at("plans", one.id), target=addresses.target(one.target), operations=addresses.at("operations"))
    return tagged(plan_body(one) | {"allowed_actions": list(allowed), "links": where})


# --- operations ----------------------------------------------------------------------------------------------------------


def operation(one: Operation, *, allowed: Sequence[str], addresses: Addresses) -> View:
    """An operation as lists show it."""
    data = record.load(one)
    return {
        "id": one.id,
        "kind": one.kind.value,
        "target": str(one.target),
        "incident": one.incident_id,
        "requested_by": actor(one.requested_by),
        "automatic": one.automatic,
        "mode": one.mode.word,
        "why_mode": data.why_mode,
        "phase": one.phase,
        "state": "alive" if one.done_at is None else "ended",
        "rev": one.rev,
        "outcome": None if one.outcome is None else one.outcome.value,
        "says": one.says,
        "suspect": data.plan.suspect.title if data.plan else None,
        "goal": data.plan.goal.title if data.plan else None,
        "plan_digest": data.plan.digest if data.plan else None,
        "must_name": must_name(data.plan.verdict) if data.plan else [],
        "override": _override(one, data),
        "hold": data.hold_id or None,
        "cancel_requested": one.cancel_requested,
        "trace_id": one.trace_id,
        "created_at": utc(one.created_at),
        "updated_at": utc(one.updated_at),
        "first_effect_at": maybe(one.first_effect_at),
        "act_before": maybe(one.act_before),
        "done_at": maybe(one.done_at),
        "allowed_actions": list(allowed),
        "links": links(
            self=addresses.operation(one.id),
            events=f"{addresses.operation(one.id)}/events",
            trace=f"{addresses.operation(one.id)}/trace",
            target=addresses.target(one.target),
            incident=addresses.at("incidents", one.incident_id) if one.incident_id else "",
            hold=addresses.at("holds", data.hold_id) if data.hold_id else "",
            trace_view=addresses.trace(one.trace_id),
        ),
    }


def operation_detail(one: Operation, approval: Mapping[str, Json] | None, *, allowed: Sequence[str], addresses: Addresses) -> View:
    """An operation with its plan, what set it off, the newest decision, and what was tried."""
    data = record.load(one)
    body = operation(one, allowed=allowed, addresses=addresses) | {
        "plan": None if data.plan is None else plan_body(data.plan),
        "trigger": _trigger(data),
        "approval": None if approval is None else _approval(approval),
        "tried": [_tried(each, data) for each in data.tried],
    }
    return tagged(body)


def _override(one: Operation, data: record.Attempt) -> View | None:
    """The blocks that the plan is carried out against, who asked for that and who confirmed it."""
    if data.plan is None or not data.plan.overrides:
        return None
    return {
        "rules": list(data.plan.overrides),
        "asked_by": actor(one.requested_by),
        "reason": data.confirmed.reason if data.confirmed else "",
        "confirmed_by": data.second or None,
        "confirmed_because": data.second_reason,
    }


def _trigger(data: record.Attempt) -> View | None:
    if data.trigger is None:
        return None
    return {
        "incident": data.trigger.incident_id,
        "alert": data.trigger.alert,
        "labels": dict(data.trigger.labels),
        "began_at": utc(data.trigger.began_at),
        "received_at": utc(data.trigger.received_at),
        "onset": maybe(data.onset),
    }


def _approval(row: Mapping[str, Json]) -> View:
    body = row["body"]
    return {
        "by": {"kind": row["actor_kind"], "name": row["actor_name"]},
        "approve": bool(row["approve"]),
        "at": utc(datetime.fromisoformat(row["at"])),
        "reason": body.get("reason", ""),
        "accepted": list(body.get("names", ())),
        "overridden": list(body.get("override", ())),
    }


def _tried(one: record.Tried, data: record.Attempt) -> View:
    """An effect that was intended; the marker by which it is recognised stays inside."""
    steps = data.plan.steps if data.plan else ()
    of = steps[one.step] if 0 <= one.step < len(steps) else None
    meant = of.undo if of is not None and one.undo else of
    return {
        "step": one.step,
        "name": meant.name if meant else "",
        "undo": one.undo,
        "attempt": one.attempt,
        "at": utc(one.at),
        "ended": one.ended,
        "says": one.says,
    }


def event(number: int, row: AuditEvent) -> View:
    """One audit row."""
    return {"number": number, "kind": row.kind, "says": row.says, "at": utc(row.at), "body": dict(row.body)}


def newer(rows: Sequence[AuditEvent], after: int) -> list[View]:
    """The audit rows with a number above `after`."""
    return [event(number, row) for number, row in enumerate(rows, start=1) if number > after]


def events(one: Operation, rows: Sequence[AuditEvent], after: int) -> View:
    """The operation's audit rows with a number above `after`."""
    return {"operation": one.id, "state": "alive" if one.done_at is None else "ended", "rev": one.rev, "events": newer(rows, after)}


def traces(one: Operation, trees: Sequence[Mapping[str, Json]], addresses: Addresses) -> View:
    """The operation's traces as trees."""
    where = links(self=f"{addresses.operation(one.id)}/trace", operation=addresses.operation(one.id), trace_view=addresses.trace(one.trace_id))
    return {"operation": one.id, "trace_id": one.trace_id, "traces": [dict(tree) for tree in trees], "links": where}


def captures(one: Operation, found: Sequence[CapturedMoment], texts: Mapping[str, str], differences: Sequence[tuple[str, str]], addresses: Addresses) -> View:
    """What was captured around the operation's effect; `texts` by digest are shown where there are any."""
    moments = [
        {
            "moment": each.moment,
            "at": utc(each.at),
            "says": each.says,
            "missing": list(each.missing),
            "items": [
                {"kind": item.kind, "name": item.name, "digest": item.digest, "size": item.size}
                | ({"text": texts[item.digest]} if item.digest in texts else {})
                for item in each.items
            ],
        }
        for each in found
    ]
    where = links(self=f"{addresses.operation(one.id)}/captures", operation=addresses.operation(one.id))
    return {"operation": one.id, "captures": moments, "differences": [{"name": name, "diff": diff} for name, diff in differences], "links": where}


# --- incidents, holds, stop ----------------------------------------------------------------------------------------------


def episode(one: Episode) -> View:
    """One firing of one alert."""
    return {
        "id": one.id,
        "alert": one.name,
        "source": one.source,
        "sender": one.sender,
        "fingerprint": one.fingerprint,
        "firing": one.firing,
        "starts_at": utc(one.starts_at),
        "ends_at": maybe(one.ends_at),
        "labels": dict(one.labels),
        "annotations": dict(one.annotations),
        "generator_url": one.generator_url,
        "received_at": utc(one.received_at),
        "last_seen_at": utc(one.last_seen_at),
        "times_seen": one.times_seen,
        "disposition": one.disposition,
        "says": one.disposition_says,
        "rung": one.rung,
        "target": None if one.target is None else str(one.target),
        "incident": one.incident_id,
        "operation": one.covered_by,
    }


def incident(one: Incident, *, addresses: Addresses, sees: Callable[[TargetId], bool]) -> View:
    """An incident as lists show it; of the others of its group those that the caller may see."""
    return {
        "id": one.id,
        "target": str(one.target),
        "state": "open" if one.closed_at is None else "closed",
        "opened_at": utc(one.opened_at),
        "began_at": utc(one.began_at),
        "closed_at": maybe(one.closed_at),
        "outcome": one.outcome,
        "group": one.group_id,
        "same_cause": [
            {"id": other.id, "target": str(other.target), "state": "open" if other.is_open else "closed"} for other in one.same_cause if sees(other.target)
        ],
        "suspect": None if one.suspect is None else {"key": one.suspect.key, "title": one.suspect.title, "started_at": utc(one.suspect.started_at)},
        "episodes": [episode(each) for each in one.episodes],
        "links": links(self=addresses.at("incidents", one.id), events=f"{addresses.at('incidents', one.id)}/events", target=addresses.target(one.target)),
    }


def incident_detail(one: Incident, operations: Sequence[View], *, addresses: Addresses, sees: Callable[[TargetId], bool]) -> View:
    """An incident with its operations, newest first."""
    return tagged(incident(one, addresses=addresses, sees=sees) | {"operations": list(operations)})


def incident_events(one: Incident, rows: Sequence[AuditEvent], after: int) -> View:
    """The incident's audit rows with a number above `after`."""
    return {"incident": one.id, "state": "open" if one.closed_at is None else "closed", "events": newer(rows, after)}


def _watch(seen: Watch) -> View:
    return {
        "at": utc(seen.at),
        "standing": str(seen.standing),
        "says": seen.says,
        "desired": seen.desired,
        "candidate": seen.candidate,
        "title": seen.title,
        "operation": seen.operation_id or None,
        "again_at": maybe(seen.again_at),
        "troubles": list(seen.troubles.values()),
    }


def _held(one: HeldRelease) -> View:
    return {
        "key": one.key,
        "title": one.title,
        "since": utc(one.since),
        "operation": one.operation_id or None,
        "bad": None if one.bad is None else one.bad.says,
    }


def orphan(one: Orphan) -> View:
    """A hold mark that no open hold explains."""
    return {"target": str(one.mark.target), "marker": one.mark.marker, "says": one.says, "since": utc(one.mark.since), "clears": one.mark.unmark}


def hold(one: Hold, *, now: datetime, allowed: Sequence[str], addresses: Addresses, releases: Sequence[HeldRelease] | None = None) -> View:
    """What keeps a release away; with `releases` in full."""
    return tagged(
        {
            "id": one.id,
            "target": str(one.target),
            "operation": one.operation_id,
            "state": "open" if one.closed_at is None else "ended",
            "opened_at": utc(one.opened_at),
            "reason": one.reason,
            "review_at": utc(one.review_at),
            "review_due": one.closed_at is None and now >= one.review_at,
            "reviews": one.reviews,
            "owner": one.owner,
            "watch": None if one.watch is None else _watch(one.watch),
            **({} if releases is None else {"releases": [_held(release) for release in releases]}),
            "held": list(one.held),
            "remembered": dict(one.remembered),
            "closed_at": maybe(one.closed_at),
            "ended_by": one.ended_by,
            "ended_because": one.ended_because,
            "allowed_actions": list(allowed),
            "links": links(self=addresses.at("holds", one.id), target=addresses.target(one.target), operation=addresses.operation(one.operation_id)),
        }
    )


def stop(reason: str, *, allowed: Sequence[str], addresses: Addresses) -> View:
    """The stop switch."""
    return {
        "stopped": bool(reason),
        "reason": reason,
        "allowed_actions": list(allowed),
        "links": links(self=addresses.at("stop"), events=f"{addresses.at('stop')}/events"),
    }


def stop_events(rows: Sequence[AuditEvent], after: int) -> View:
    """Who turned the stop switch, when and why."""
    return {"events": newer(rows, after)}
