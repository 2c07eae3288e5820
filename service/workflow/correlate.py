"""Correlates episodes with targets, opens or joins incidents, and begins operations. A step of its own: intake never decides, and nothing here acts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.domain import correlation, flapping, spans
from service.domain.correlation import find_target, ignored
from service.domain.errors import ConflictError
from service.domain.model import Actor, Episode, Incident, Mode, ObjectRef, Operation, OperationKind, Outcome, TargetId
from service.domain.policy import AlertMapping, Policies, TargetPolicy
from service.domain.ports import Alerts, AuditEvent, Clock, Journal, NewId, Outbox, Placement, SpanDraft, Starter, Starting, Targets, Work
from service.domain.rule import Trigger
from service.workflow import messages, record
from service.workflow.messages import Told

AGAIN_AFTER = timedelta(minutes=5)
"""So long after an incident's operation ended a new one may begin. An alert that comes sooner, and that no operation answers, waits for it and is not lost."""

BEGIN_AFTER = timedelta(seconds=10)
"""An alert that no operation took up this long after it was received gets one from the sweep: whoever placed it did not get that far."""

DECIDED_BY_A_PERSON = frozenset({Outcome.CANCELLED, Outcome.REJECTED})
"""Who ended an operation so has seen what had joined it: nothing of that begins another one against them (promise 5)."""

FLAPPED = "flapped"
"""How an incident ends whose alerts flapped, and went away again before an operation began."""

UNPLACED = frozenset({"no_target", "ambiguous", "out_of_scope"})
"""Dispositions of which a person is told: an alert was meant for somebody, and Backout does nothing about it."""

TOLD_AT_MOST = 5
"""So many alerts are named in one message; the others are counted."""

CLOCKS_DIFFER = timedelta(minutes=1)
"""A start that lies further ahead of its reception is the word of a wrong clock."""


class Correlator:
    """Places the episodes of a delivery.

    `instances` are the names of the delivery instances; `scopes` is sender name -> pattern of targets that this credential speaks for.
    """

    def __init__(
        self,
        *,
        alerts: Alerts,
        journal: Journal,
        starting: Starting,
        starter: Starter,
        targets: Targets,
        outbox: Outbox,
        policies: Policies,
        mapping: Sequence[AlertMapping],
        instances: Collection[str],
        scopes: Mapping[str, str],
        told: Told,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._alerts = alerts
        self._journal = journal
        self._starting = starting
        self._starter = starter
        self._targets = targets
        self._outbox = outbox
        self._policies = policies
        self._mapping = mapping
        self._instances = instances
        self._scopes = scopes
        self._told = told
        self._clock = clock
        self._new_id = new_id

    async def place(self, *delivery_ids: str) -> None:
        """Give every undecided episode of these deliveries a disposition, then answer each incident once. Doing it twice does it once.

        All are placed first, in one transaction: what one alert of a delivery forbids must not depend on which of them is looked at first.
        """
        undecided = {one: await self._alerts.undecided(one) for one in delivery_ids}
        episodes = [episode for some in undecided.values() for episode in some]
        if not episodes:
            return
        now = self._clock.now()
        named = {one for episode in episodes for one in correlation.named(episode, mapping=self._mapping, instances=self._instances)}
        known = await self._targets.among(named)
        index = await self._targets.index(tuple({one for episode in episodes for one in correlation.objects_named(episode)}))
        placements = {one: [self._placement(episode, known, index) for episode in some] for one, some in undecided.items()}
        for delivery_id, some in placements.items():
            await self._tell(delivery_id, [one for one in some if one.disposition in UNPLACED], now)
        for touched in await self._alerts.place([one for some in placements.values() for one in some], now):
            incident = await self._alerts.incident(touched.id)
            if incident is not None and incident.closed_at is None:
                await self._answer(incident, self._clock.now())

    def _placement(self, episode: Episode, known: Sequence[TargetId], index: Mapping[ObjectRef, tuple[TargetId, ...]]) -> Placement:
        why = ignored(episode)
        if why:
            return Placement(episode=episode, disposition="ignored", says=why)
        match = find_target(episode, known=known, mapping=self._mapping, index=index)
        if match.target is None:
            disposition = "ambiguous" if match.candidates else "no_target"
            says = match.says + _ahead(episode)
            return Placement(episode=episode, disposition=disposition, says=says, rung=match.rung, candidates=match.candidates)
        if not match.target.matches(self._scopes.get(episode.sender, "")):
            says = f"the sender {episode.sender} does not speak for {match.target}"
            return Placement(episode=episode, disposition="out_of_scope", says=says + _ahead(episode), rung=match.rung, candidates=match.candidates)
        return Placement(episode=episode, disposition="placed", says=match.says + _ahead(episode), target=match.target, rung=match.rung)

    async def _tell(self, delivery_id: str, left: Sequence[Placement], now: datetime) -> None:
        """Tell of what Backout does nothing about, once a delivery: a storm of alerts is no storm of messages.

        Told first, then decided: after a crash between both it is told again under the same key, which is once.
        """
        if not left:
            return
        first = left[0].episode
        names = sorted({one.episode.name for one in left})
        lines = [f"{one.episode.name}: {one.says}." for one in left[:TOLD_AT_MOST]]
        more = len(left) - len(lines)
        shown = f"{', '.join(names[:3])}{' …' if names[3:] else ''}"
        title = f"{first.name}: no target" if len(left) == 1 else f"{len(left)} alerts without a target ({shown})"
        for one in messages.message(
            self._told,
            key=f"unplaced/{delivery_id}",
            title=title,
            text=(
                f"Backout does nothing about {'this alert' if len(left) == 1 else 'these alerts'}.",
                *lines,
                *((f"And {more} more.",) if more else ()),
                "Name the target with the label backout_target, or add a mapping (alerts: mapping).",
            ),
            at=now,
            event="unplaced",
            extra={"alert": first.name, "labels": dict(first.labels), "alerts": len(left), "candidates": [str(one) for one in left[0].candidates]},
        ):
            await self._outbox.send(one, now)

    async def sweep(self) -> None:
        """Close open incidents whose alerts all ended and that nothing works on any more; answer alerts that no operation covers.

        Such an alert came too soon after the last operation, its beginning was lost in a crash, or another operation was alive on the target then.
        """
        now = self._clock.now()
        for incident in await self._alerts.open_incidents():
            latest = await self._journal.latest(incident.id)
            idle = not incident.episodes if latest is None else latest.done_at is not None
            if idle and not any(e.firing for e in incident.episodes):
                await self._alerts.close_incident(incident.id, outcome="resolved", at=now, quiet_only=True)
            elif latest is None and not any(e.firing for e in incident.episodes) and (await self._flapping(incident, incident.episodes, now)).waits:
                await self._alerts.close_incident(incident.id, outcome=FLAPPED, at=now, quiet_only=True)
            elif any(now - max(incident.opened_at, e.received_at) >= BEGIN_AFTER for e in await self._uncovered(incident, latest)):
                await self._answer(incident, now)

    async def _uncovered(self, incident: Incident, latest: Operation | None) -> tuple[Episode, ...]:
        """The firing episodes that no operation answers; those that ended as well as long as the incident never had any operation.

        An alive operation covers what joined it. One that has ended covers what it began with and nothing else: it may have been refused for a reason
        that a later alert does not share.
        """
        found = []
        for episode in incident.episodes:
            if not episode.disposition or (latest is not None and not episode.firing):
                continue
            by = None if episode.covered_by is None else await self._journal.load(episode.covered_by)
            if by is not None and (by.done_at is None or by.outcome in DECIDED_BY_A_PERSON or episode.id in (by.data.get("episodes") or ())):
                continue
            found.append(episode)
        return tuple(found)

    async def _answer(self, incident: Incident, now: datetime) -> None:
        """Join the incident's alive operation, or begin one for everything that none covers, if it is time for that."""
        latest = await self._journal.latest(incident.id)
        uncovered = await self._uncovered(incident, latest)
        try:
            if not uncovered:
                return
            if latest is None or (latest.done_at is not None and now - latest.done_at >= AGAIN_AFTER):
                seen = await self._flapping(incident, uncovered, now)
                if seen.says:
                    await self._tell_flapping(incident, uncovered, seen, now)
                if not seen.waits:
                    await self._begin(incident, uncovered, now, seen.says)
            elif latest.done_at is None:
                rows = [AuditEvent(kind="joined", says=f"{messages.episode_line(e)} — joined", at=now, body={"episode": e.id}) for e in uncovered]
                await self._starting.append(latest.id, rows, [alert_span(e, now) for e in uncovered], (), now, uncovered)
        except ConflictError:  # the operation has just ended, another one is alive, or another worker took the alerts up: the sweep looks again
            return

    async def _flapping(self, incident: Incident, episodes: Sequence[Episode], now: datetime) -> "_Flapping":
        """Whether all of them flap. Then another operation waits, while the last one of the target is recent, until one of them fires on end."""
        counted = await self._alerts.firings({(e.source, e.fingerprint) for e in episodes}, now - flapping.WINDOW)
        says = flapping.flaps({(e.name, counted.get((e.source, e.fingerprint), 0)) for e in episodes})
        last = await self._journal.latest_of(incident.target) if says else None
        if last is None or last.done_at is None or now - last.done_at > flapping.WINDOW:
            return _Flapping(says=says)
        settled = any(e.firing and now - e.received_at >= flapping.SETTLED for e in episodes)
        return _Flapping(says=says, waits=not settled, after=last.id)

    async def _tell_flapping(self, incident: Incident, episodes: Sequence[Episode], seen: "_Flapping", now: datetime) -> None:
        """Told once for each operation that such an alert follows, however often it fires then."""
        name = episodes[0].name
        minutes = f"{flapping.SETTLED.total_seconds() / 60:.0f} minutes"
        text = (
            f"{seen.says[:1].upper()}{seen.says[1:]}.",
            f"No further operation begins for it unless it fires for {minutes} on end; nothing is done without a person then."
            if seen.after
            else "Nothing is done without a person for it.",
            "Mend the rule (for:, keep_firing_for:), or look for what comes and goes.",
        )
        for one in messages.message(
            self._told,
            key=f"flapping/{seen.after or incident.id}/{episodes[0].fingerprint}",
            title=f"{incident.target}: {name} flaps",
            text=text,
            at=now,
            event="flapping",
            extra={"alert": name, "target": str(incident.target), "incident": incident.id},
        ):
            await self._outbox.send(one, now)

    async def _begin(self, incident: Incident, episodes: Sequence[Episode], now: datetime, flaps: str = "") -> None:
        """Begin the automatic operation for these episodes; ConflictError when one is alive on the target."""
        policy = self._policies.of(incident.target)
        listed = await self._targets.listed(incident.target)
        namespaces = policy.namespaces or ((listed.namespace,) if listed else ())
        mode, why = permitted(policy, episodes, self._scopes, target=incident.target, namespaces=namespaces, told=self._told, flaps=flaps)
        first = max(episodes, key=lambda e: (e.firing, not _ahead(e), e.starts_at, e.id))
        episodes = (first, *(e for e in episodes if e.id != first.id))
        trigger = Trigger(incident_id=incident.id, alert=first.name, labels=first.labels, began_at=first.starts_at, received_at=first.received_at)
        operation_id = self._new_id("op")
        data = record.Rollback(trigger=trigger, episodes=tuple(e.id for e in episodes), fingerprints=tuple(e.fingerprint for e in episodes), why_mode=why)
        operation = Operation(
            id=operation_id,
            kind=OperationKind.ROLLBACK,
            target=incident.target,
            incident_id=incident.id,
            requested_by=Actor(kind="alert", name=first.name),
            automatic=True,
            mode=mode,
            phase="begin",
            seq=0,
            rev=0,
            data=record.dump(data),
            trace_id=spans.trace_id(operation_id),
            created_at=now,
            updated_at=now,
        )
        accepted = AuditEvent(kind="accepted", says=f"{messages.episode_line(first)} — {why}", at=now, body={"incident": incident.id, "alert": first.name})
        drafts = (accepted_span(operation, now, first), *(alert_span(e, now) for e in episodes), _correlated(first, now))
        await self._starting.begin(operation, (accepted,), drafts, episodes)
        await self._starter.start(Work(kind="operation", id=operation.id, seq=operation.seq))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flapping:
    """That alerts flap, in words; whether they wait; and after which operation of the target ("" when none is recent)."""

    says: str = ""
    waits: bool = False
    after: str = ""


def _ahead(episode: Episode) -> str:
    """What to say of a start that had not come yet when it was told; "" for any other."""
    early = episode.starts_at - episode.received_at
    if early <= CLOCKS_DIFFER:
        return ""
    return f"; by its own word it begins {early.total_seconds() / 60:.0f} minutes after it was received: the sender's clock is ahead"


def permitted(
    policy: TargetPolicy,
    episodes: Sequence[Episode],
    scopes: Mapping[str, str],
    *,
    target: TargetId,
    namespaces: Sequence[str],
    told: Told,
    flaps: str = "",
) -> tuple[Mode, str]:
    """The mode that an alert may have (promise 11): the policy's, lowered where the alert does not qualify or flaps, never raised; with the reason."""
    mode, why = policy.mode, f"mode {policy.mode.word}"
    for episode in episodes:
        wanted = episode.labels.get("backout", "")
        if wanted in {m.word for m in Mode} and Mode.of(wanted) < mode:
            mode, why = Mode.of(wanted), f"mode {wanted}: the alert's label lowers it"
    if not told.anybody and mode > Mode.OBSERVE:
        return Mode.OBSERVE, "mode observe: nobody is configured to be told (notify:), so nothing leaves observe"
    if mode is Mode.AUTO:
        for because in (_not_listed(policy, episodes), _not_scoped(episodes, scopes, target), _foreign_namespace(namespaces, episodes), flaps):
            if because:
                return Mode.APPROVE, f"mode approve instead of auto: {because}"
    return mode, why


def _not_listed(policy: TargetPolicy, episodes: Sequence[Episode]) -> str:
    outside = [e.name for e in episodes if e.firing and e.name not in policy.alerts]
    return f"{', '.join(sorted(set(outside)))} is not in the operator's list of alerts for this target" if outside or not policy.alerts else ""


def _not_scoped(episodes: Sequence[Episode], scopes: Mapping[str, str], target: TargetId) -> str:
    outside = [e.sender for e in episodes if not target.matches(scopes.get(e.sender, ""))]
    return f"the sender {outside[0]} does not speak for this target" if outside else ""


def _foreign_namespace(namespaces: Sequence[str], episodes: Sequence[Episode]) -> str:
    known = {namespace for namespace in namespaces if namespace}
    outside = [place for place in map(_place, episodes) if place not in known]
    return f"the alert's namespace {outside[0] or '(none)'} does not belong to the target" if outside else ""


def _place(episode: Episode) -> str:
    """Where the alert says that it is from. One about machines has no namespace: their region stands for it, in an alert that names a Spinnaker application."""
    region = episode.labels.get("spinnaker_region", "") if episode.labels.get("spinnaker_app") else ""
    return episode.labels.get("namespace", "") or region


def accepted_span(operation: Operation, at: datetime, episode: Episode | None) -> SpanDraft:
    """The short span that is exported at once, so that a running operation can be found."""
    attributes: dict[str, str | int | float | bool] = {}
    links: tuple[str, ...] = ()
    if episode is not None:
        attributes = {spans.ALERT_NAME: episode.name, spans.ALERT_FINGERPRINT: episode.fingerprint}
        links = (episode.link,) if episode.link else ()
    says = f"accepted, mode {operation.mode.word}"
    return SpanDraft(path=(spans.ACCEPTED,), name=spans.ACCEPTED, started_at=operation.created_at, ended_at=at, says=says, attributes=attributes, links=links)


def alert_span(episode: Episode, at: datetime) -> SpanDraft:
    """One span for an episode that belongs to the operation."""
    return SpanDraft(
        path=(spans.nth(spans.ALERT, episode.id),),
        name=spans.ALERT,
        started_at=at,
        ended_at=at,
        says=messages.episode_line(episode),
        attributes={
            spans.ALERT_NAME: episode.name,
            spans.ALERT_FINGERPRINT: episode.fingerprint,
            spans.ALERT_SOURCE: episode.source,
            spans.ALERT_SENDER: episode.sender,
            spans.ALERT_STARTS_AT: episode.starts_at.isoformat(),
            spans.ALERT_TIMES_SEEN: episode.times_seen,
        },
        links=(episode.link,) if episode.link else (),
    )


def _correlated(episode: Episode, at: datetime) -> SpanDraft:
    return SpanDraft(
        path=(spans.CORRELATE,),
        name=spans.CORRELATE,
        started_at=at,
        ended_at=at,
        says=episode.disposition_says or f"by {episode.rung}",
        attributes={spans.CORRELATION_RUNG: episode.rung},
    )
