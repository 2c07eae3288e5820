"""Correlates episodes with targets, opens or joins incidents, and begins operations. A step of its own: intake never decides, and nothing here acts."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from service.domain import spans
from service.domain.correlation import WORKLOADS, Match, find_target, ignored
from service.domain.errors import ConflictError
from service.domain.model import Actor, Episode, Incident, Mode, ObjectRef, Operation, OperationKind, TargetId
from service.domain.policy import AlertMapping, Policies, TargetPolicy
from service.domain.ports import Alerts, AuditEvent, Clock, Journal, NewId, Outbox, SpanDraft, Starter, Starting, Targets, Work
from service.domain.rule import Trigger
from service.workflow import messages, record
from service.workflow.messages import Told

AGAIN_AFTER = timedelta(minutes=5)
"""A further alert of an incident whose operation ended this long ago begins a new one; before that it joins the record of the ended one."""

BEGIN_AFTER = timedelta(seconds=10)
"""An incident that has no operation this long after it was opened gets one from the sweep: whoever opened it did not get that far."""


class Correlator:
    """Places the episodes of a delivery. `scopes` is sender name -> pattern of targets that this credential speaks for."""

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
        self._scopes = scopes
        self._told = told
        self._clock = clock
        self._new_id = new_id

    async def place(self, delivery_id: str) -> None:
        """Give every undecided episode of the delivery a disposition. Doing it twice does it once."""
        for episode in await self._alerts.undecided(delivery_id):
            try:
                await self._one(episode)
            except ConflictError:  # another worker placed this episode between our look and our write
                continue

    async def _one(self, episode: Episode) -> None:
        now = self._clock.now()
        why = ignored(episode)
        if why:
            await self._alerts.place(episode, disposition="ignored", says=why, target=None, rung="", at=now)
            return
        known = await self._targets.known()
        index = await self._targets.index(_objects(episode))
        match = find_target(episode, known=known, mapping=self._mapping, index=index)
        if match.target is not None and not match.target.matches(self._scopes.get(episode.sender, "")):
            says = f"the sender {episode.sender} does not speak for {match.target}"
            match = Match(target=None, rung=match.rung, says=says, candidates=match.candidates)
            await self._leave(episode, "out_of_scope", match, now)
        elif match.target is None:
            await self._leave(episode, "ambiguous" if match.candidates else "no_target", match, now)
        else:
            await self._incident(episode, match.target, match, now)

    async def _leave(self, episode: Episode, disposition: str, match: Match, now: datetime) -> None:
        """Tell first, then decide: after a crash between both it is told again under the same key, which is once."""
        for one in messages.message(
            self._told,
            key=f"unplaced/{episode.id}",
            title=f"{episode.name}: no target",
            text=(
                f"Backout does nothing about this alert: {match.says}.",
                "Name the target with the label backout_target, or add a mapping (alerts: mapping).",
            ),
            at=now,
            event="unplaced",
            extra={"alert": episode.name, "labels": dict(episode.labels), "candidates": [str(c) for c in match.candidates]},
        ):
            await self._outbox.send(one, now)
        await self._alerts.place(episode, disposition=disposition, says=match.says, target=None, rung=match.rung, at=now)

    async def _incident(self, episode: Episode, target: TargetId, match: Match, now: datetime) -> None:
        incident = await self._alerts.place(episode, disposition="placed", says=match.says, target=target, rung=match.rung, at=now)
        if incident is None:  # pragma: no cover  with a target there is always an incident
            return
        latest = await self._journal.latest(incident.id)
        if latest is not None and (latest.done_at is None or now - latest.done_at < AGAIN_AFTER):
            joined = AuditEvent(kind="joined", says=f"{messages.episode_line(episode)} — joined", at=now, body={"episode": episode.id})
            await self._starting.append(latest.id, (joined,), (alert_span(episode, now),) if latest.done_at is None else (), (), now)
            return
        await self.begin(incident, now)

    async def sweep(self) -> None:
        """Close open incidents whose alerts all ended and that nothing works on any more.

        One without any operation gets it here: its beginning was lost in a crash, or another operation was alive on the target then.
        """
        now = self._clock.now()
        for incident in await self._alerts.open_incidents():
            latest = await self._journal.latest(incident.id)
            if latest is None:
                if now - incident.opened_at >= BEGIN_AFTER:
                    await self.begin(incident, now)
            elif latest.done_at is not None and not any(e.firing for e in incident.episodes):
                await self._alerts.close_incident(incident.id, outcome="resolved", at=now)

    async def begin(self, incident: Incident, now: datetime) -> Operation | None:
        """Begin the automatic operation of an incident; None when one is alive already."""
        policy = self._policies.of(incident.target)
        listed = await self._targets.listed(incident.target)
        namespaces = policy.namespaces or ((listed.namespace,) if listed else ())
        mode, why = permitted(policy, incident.episodes, self._scopes, target=incident.target, namespaces=namespaces, told=self._told)
        first = next((e for e in incident.episodes if e.firing), incident.episodes[0])
        trigger = Trigger(incident_id=incident.id, alert=first.name, labels=first.labels, began_at=first.starts_at, received_at=first.received_at)
        operation_id = self._new_id("op")
        data = record.Rollback(
            trigger=trigger, episodes=tuple(e.id for e in incident.episodes), fingerprints=tuple(e.fingerprint for e in incident.episodes), why_mode=why
        )
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
        drafts = (accepted_span(operation, now, first), *(alert_span(e, now) for e in incident.episodes), _correlated(first, now))
        try:
            await self._starting.begin(operation, (accepted,), drafts)
        except ConflictError:
            return None
        await self._starter.start(Work(kind="operation", id=operation.id, seq=operation.seq))
        return operation


def permitted(
    policy: TargetPolicy, episodes: Sequence[Episode], scopes: Mapping[str, str], *, target: TargetId, namespaces: Sequence[str], told: Told
) -> tuple[Mode, str]:
    """The mode that an alert may have (promise 11): the policy's, lowered where the alert does not qualify, never raised; with the reason."""
    mode, why = policy.mode, f"mode {policy.mode.word}"
    for episode in episodes:
        wanted = episode.labels.get("backout", "")
        if wanted in {m.word for m in Mode} and Mode.of(wanted) < mode:
            mode, why = Mode.of(wanted), f"mode {wanted}: the alert's label lowers it"
    if not told.anybody and mode > Mode.OBSERVE:
        return Mode.OBSERVE, "mode observe: nobody is configured to be told (notify:), so nothing leaves observe"
    if mode is Mode.AUTO:
        for because in (_not_listed(policy, episodes), _not_scoped(episodes, scopes, target), _foreign_namespace(namespaces, episodes)):
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
    outside = [e.labels.get("namespace", "") for e in episodes if e.labels.get("namespace", "") not in known]
    return f"the alert's namespace {outside[0] or '(none)'} does not belong to the target" if outside else ""


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


def _objects(episode: Episode) -> tuple[ObjectRef, ...]:
    namespace = episode.labels.get("namespace", "")
    if not namespace:
        return ()
    return tuple(
        ObjectRef(group=group, kind=kind, namespace=namespace, name=episode.labels[label])
        for label, (group, kind) in WORKLOADS.items()
        if episode.labels.get(label)
    )
