"""Measures whether the target recovered (promise 8): one look after another, until it is good for long enough, not recovered, or inconclusive."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from service.domain import keys, spans
from service.domain.errors import PermanentError
from service.domain.facts import Absent, Fact, Facts, Key, Known
from service.domain.model import Operation, Outcome
from service.domain.planning.plan import Plan
from service.domain.ports import (
    AuditEvent,
    Seen,
    SpanDraft,
    Transition,
)
from service.domain.recovery import Bound, Progress, advance, check_alerts, check_live, check_sli, give_up_at, longest_range
from service.workflow import messages
from service.workflow.record import Rollback, dump
from service.workflow.rollback.chapter import VERIFY, Chapter, plan_of
from service.workflow.rollback.telling import check_span


class Verifying(Chapter):
    """After the last step: looks, and the end that they lead to."""

    def start(self, op: Operation, data: Rollback, now: datetime) -> Transition:
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

    async def verify(self, op: Operation, data: Rollback) -> Transition:
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
        reverted = self._reverted(op, data, plan, facts)
        now = self._p.clock.now()
        if reverted:
            return self._verified(op, replace(data, progress=replace(progress, ended="not_recovered", says=reverted)), plan)
        values: Fact[keys.Series] = facts.read(sli) if bound.rung else Absent("no SLI")
        checks = (
            check_live(facts.read(keys.pods(op.target)), data.wanted),
            check_sli(bound, values, traffic=facts.read(traffic) if when.traffic else None, traffic_before=data.traffic_before),
            check_alerts({name: facts.read(key) for name, key in alerts.items()}),
        )
        sampled = values.value.at if isinstance(values, Known) else None
        progress = advance(progress, checks, now=now, sampled_at=sampled, policy=when)
        data = replace(data, progress=progress)
        if progress.ended:
            return self._verified(op, data, plan)
        pause = max(1.0, min(5.0, when.scrape_interval.total_seconds() / 2))
        return Transition(phase=VERIFY, data=dump(data), says=progress.says, wait=timedelta(seconds=pause))

    async def _alerts(self, op: Operation, data: Rollback) -> Mapping[str, Key[keys.AlertNow]]:
        """Every alert that has to be quiet: the one that started this, and each that fires on the target by its sender's word. Name -> the question."""
        found: dict[str, Key[keys.AlertNow]] = {}
        if data.trigger is not None:
            found[data.trigger.alert] = keys.alert_now(data.trigger.alert, data.trigger.series_labels)
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

    @staticmethod
    def _reverted(op: Operation, data: Rollback, plan: Plan, facts: Facts) -> str:
        """Whether somebody took our change back: one observed revert means stop, not retry (promise 7)."""
        state = facts.read(keys.state(op.target))
        if isinstance(state, Absent):
            return ""
        stopped = any(plan.steps[one.step].undo is not None for one in data.tried if not one.undo and one.ended == Seen.DONE)
        if stopped and state.value.auto_sync:
            return "somebody turned auto-sync on again; Backout does not fight: look who writes the spec"
        if state.value.history and state.value.history[0].key != plan.goal.key:
            return f"release {state.value.history[0].title} was deployed over the rollback; Backout does not fight"
        return ""

    def _verified(self, op: Operation, data: Rollback, plan: Plan) -> Transition:
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
        policy = self._p.examiner.policy(op.target)
        review = now + policy.hold_review
        if data.hold_id:
            held = f"{plan.suspect.title} stays away until a person ends the hold; review by {review:%Y-%m-%d}"
            attributes: dict[str, str | int | float | bool] = {
                spans.HOLD_ID: data.hold_id,
                spans.HOLD_HELD: plan.suspect.key,
                spans.HOLD_OWNER: str(op.requested_by),
                spans.HOLD_REVIEW_AT: review.isoformat(),
            }
            drafts.append(SpanDraft(path=(spans.HOLD,), name=spans.HOLD, started_at=now, ended_at=now, says=held, attributes=attributes))
        text = (
            f"Why: {data.trigger.alert if data.trigger else str(op.requested_by)}; {plan.suspect.title} was to blame.",
            f"Safe: {messages.score(plan.verdict)}.",
            progress.says[:1].upper() + progress.says[1:] + ".",
            f"{plan.suspect.title} is held away. Next: fix and release; then backout holds end {data.hold_id}" if data.hold_id else "",
            "" if good else "The rollback stays in place. A person is needed now.",
        )
        return self.end(op, data, outcome, progress.says, rows=(row,), drafts=tuple(drafts), text=text)
