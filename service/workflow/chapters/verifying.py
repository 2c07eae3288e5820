"""Measures whether the target recovered (promise 8): one look after another, until it is good for long enough, not recovered, or inconclusive."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from service.domain import keys, spans
from service.domain.derived import left_over
from service.domain.errors import PermanentError
from service.domain.facts import Absent, Fact, Facts, Key, Known
from service.domain.model import ObjectRef, Operation, Outcome
from service.domain.planning.plan import Plan
from service.domain.ports import (
    AuditEvent,
    SpanDraft,
    Transition,
)
from service.domain.recovery import Bound, Check, Look, Progress, advance, check_alerts, check_live, check_rolled_out, check_sli, give_up_at, longest_range
from service.workflow.chapters.chapter import ACT, VERIFY, Chapter, plan_of
from service.workflow.chapters.telling import check_span
from service.workflow.record import Attempt, dump


class Verifying(Chapter):
    """After the last step: looks, and the end that they lead to."""

    def start(self, op: Operation, data: Attempt, now: datetime) -> Transition:
        """Begin to measure."""
        when = self._p.examiner.policy(op.target).recovered_when
        end = give_up_at(
            now,
            at_least=when.give_up_after,
            range_of_sli=longest_range(data.bound.promql if data.bound else ""),
            keep_firing=data.keep_firing,
            interval=when.scrape_interval,
            bake=max(when.bake, 2 * when.scrape_interval),
        )
        data = replace(data, progress=Progress(started_at=now, give_up_at=end))
        row = AuditEvent(kind="verifying", says=f"measuring whether it recovered, until {end:%H:%M:%S} UTC at most", at=now)
        return Transition(phase=VERIFY, data=dump(data), says="measuring whether it recovered", events=(row,))

    async def verify(self, op: Operation, data: Attempt) -> Transition:
        """One look: what runs, the SLI, the alert by our own query, and whether anybody took our change back."""
        plan, progress = plan_of(op, data), data.progress
        if progress is None:
            return self.start(op, data, self._p.clock.now())
        when = self._p.examiner.policy(op.target).recovered_when
        bound = data.bound or Bound(rung="")
        wanted: list[Key[object]] = [keys.pods(op.target), keys.state(op.target)]  # type: ignore[list-item]  # keys of different values in one list
        sli = keys.series(bound.promql, bound.labels)
        traffic = keys.series(when.traffic)
        alerts = await self._alerts(op, data)
        wanted += [key for key, use in ((sli, bool(bound.rung)), (traffic, bool(when.traffic))) if use]  # type: ignore[misc]
        wanted += alerts.values()  # type: ignore[arg-type]
        facts = await self._p.gatherer.facts(op.target, wanted)
        reverted = self._tale.reverted(data, plan, facts)
        now = self._p.clock.now()
        if reverted:
            return self._verified(op, replace(data, progress=replace(progress, ended="not_recovered", says=reverted)), plan)
        values: Fact[keys.Series] = facts.read(sli) if bound.rung else Absent("no SLI")
        checks = (
            await self._live(op, data, facts, plan),
            check_sli(bound, values, traffic=facts.read(traffic) if when.traffic else None, traffic_before=data.traffic_before),
            check_alerts({name: facts.read(key) for name, key in alerts.items()}),
        )
        sampled = values.value.at if isinstance(values, Known) else None
        progress = advance(progress, checks, now=now, sampled_at=sampled, policy=when, patient=self._tale.patient)
        data = replace(data, progress=progress)
        if progress.ended:
            return self._verified(op, await self._tale.look_round(op, data, plan), plan)
        pause = max(1.0, min(5.0, when.scrape_interval.total_seconds() / 2))
        return Transition(phase=VERIFY, data=dump(data), says=progress.says, wait=timedelta(seconds=pause))

    async def _live(self, op: Operation, data: Attempt, facts: Facts, plan: Plan) -> Check:
        """What runs; where something rolls out in steps, also that it has ended."""
        pods = facts.read(keys.pods(op.target))
        live = check_live(pods, data.wanted)
        if live.look is Look.BAD and (left := await self._left_behind(op, facts, plan)):
            live = check_live(pods, data.wanted, left=left)
        state = facts.read(keys.state(op.target))
        if isinstance(state, Absent) or not keys.step_wise(state.value.objects):
            return live
        rollouts = keys.rollouts(op.target)
        return check_rolled_out(live, (await self._p.gatherer.facts(op.target, [rollouts])).read(rollouts))

    async def _left_behind(self, op: Operation, facts: Facts, plan: Plan) -> tuple[ObjectRef, ...]:
        """Objects that run now and that the goal release does not have: nothing of ours prunes them. None of them where that is not known."""
        state = facts.read(keys.state(op.target))
        live = state.value.current if isinstance(state, Known) else None
        goal = live if live is not None and live.key == plan.goal.key else plan.goal  # its old handle may be gone, a new one may have come
        wanted: list[Key[object]] = [keys.leftovers(op.target, goal.handle), keys.record(op.target, goal.key), keys.state(op.target)]  # type: ignore[list-item]
        found = left_over(await self._p.gatherer.facts(op.target, wanted), op.target, goal)
        return () if isinstance(found, Absent) else found.value

    async def _alerts(self, op: Operation, data: Attempt) -> Mapping[str, Key[keys.AlertNow]]:
        """Every alert that has to be quiet: the one that started this, and each that fires on the target by its sender's word. Name -> the question."""
        found: dict[str, Key[keys.AlertNow]] = {}
        trigger = self._tale.trigger(data)
        if trigger is not None:
            found[trigger.alert] = keys.alert_now(trigger.alert, trigger.series_labels)
        for incident in await self._p.alerts.open_incidents():
            if incident.target != op.target:
                continue
            for episode in incident.episodes:
                if episode.firing:
                    labels = tuple(sorted((k, v) for k, v in episode.labels.items() if k != "alertname"))
                    key = keys.alert_now(episode.name, labels)
                    if key not in found.values():
                        found[episode.name if episode.name not in found else f"{episode.name} ({episode.fingerprint})"] = key
        return found

    def _verified(self, op: Operation, data: Attempt, plan: Plan) -> Transition:
        progress, now = data.progress, self._p.clock.now()
        if progress is None:  # pragma: no cover  the caller has it
            raise PermanentError("verified without progress")
        outcome = {"recovered": Outcome.RECOVERED, "not_recovered": Outcome.NOT_RECOVERED}.get(progress.ended, Outcome.INCONCLUSIVE)
        good = outcome is Outcome.RECOVERED
        base: dict[str, str | int | float | bool] = {spans.VERIFY_ENDED: progress.ended, spans.VERIFY_PASSES: progress.passes}
        if data.bound:
            base[spans.VERIFY_RUNG] = data.bound.rung
        drafts = [
            SpanDraft(
                path=(spans.VERIFY,), name=spans.VERIFY, started_at=progress.started_at, ended_at=now, says=progress.says, failed=not good, attributes=base
            )
        ]
        drafts += [check_span(check, now, data.bound) for check in progress.checks]
        row = AuditEvent(
            kind="verified", says=progress.says, at=now, body={"checks": [{"check": c.name, "look": c.look, "says": c.says} for c in progress.checks]}
        )
        if not self._tale.stays(data, outcome):
            return self.give_up(op, data, progress.says, outcome, tuple(drafts), rows=(row,))
        data = replace(data, verified=good)
        if good and data.cursor < len(plan.steps):
            before = now + self._p.examiner.policy(op.target).act_within  # what was just measured is the newest verdict there is
            return Transition(phase=ACT, data=dump(data), says=progress.says, events=(row,), spans=tuple(drafts), act_before=before)
        return self._close(op, data, outcome, progress.says, (row,), tuple(drafts))

    def finish(self, op: Operation, data: Attempt) -> Transition:
        """Verified before, and every step that was left for then is done or left out."""
        return self._close(op, data, Outcome.RECOVERED, data.progress.says if data.progress else "", (), ())

    def _close(self, op: Operation, data: Attempt, outcome: Outcome, says: str, rows: tuple[AuditEvent, ...], drafts: tuple[SpanDraft, ...]) -> Transition:
        closing = self._tale.verified(op, data, plan_of(op, data), outcome, says, self._p.clock.now())
        said = closing.says or says
        return self.end(op, data, outcome, said, rows=(*rows, *closing.rows), drafts=(*drafts, *closing.drafts), text=closing.text, hold=closing.hold)
