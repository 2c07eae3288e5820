"""Examines a target: which release is under suspicion, where it could go back to, by which way, and whether that is safe. Reads only, never acts."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from service.domain import correlation, keys, suspicion
from service.domain.course import Course, course_of
from service.domain.derived import listed
from service.domain.evaluation import asked, evaluate
from service.domain.facts import Absent, Facts, Key, Known
from service.domain.model import Actor, Hold, Mode, OperationKind, Release, TargetId, Way
from service.domain.planning.plan import Offer, Plan
from service.domain.policy import Policies, TargetPolicy
from service.domain.ports import Clock, Delivery, Targets
from service.domain.rule import Case, Direction, Rule, Trigger
from service.domain.verdict import Answer, Verdict
from service.workflow.gather import Gatherer
from service.workflow.sources import LiveSources, live_sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What one look at a target found. `plan` is None when there is nothing to go back to or no way to go; `says` then says why."""

    case: Case
    verdict: Verdict
    plan: Plan | None
    offer: Offer | None
    says: str
    onset: datetime | None = None

    @property
    def state(self) -> keys.TargetState | None:
        """The target as its delivery system described it, if it did."""
        fact = self.case.facts.read(keys.state(self.case.target))
        return fact.value if isinstance(fact, Known) else None


class Examiner:
    """Makes examinations. Shared by people's checks and by operations, so that both see the same answer."""

    def __init__(
        self,
        *,
        gatherer: Gatherer,
        deliveries: Mapping[str, Delivery],
        targets: Targets,
        rules: Sequence[Rule],
        policies: Policies,
        clock: Clock,
    ) -> None:
        self._gatherer = gatherer
        self._deliveries = deliveries
        self._targets = targets
        self._rules = tuple(rules)
        self._policies = policies
        self._clock = clock

    def policy(self, target: TargetId) -> TargetPolicy:
        """What the operator settled for the target."""
        return self._policies.of(target)

    async def sources(self, target: TargetId) -> LiveSources:
        """From which source the live release was built, read now."""
        return await live_sources(self._gatherer, target)

    async def examine(
        self,
        target: TargetId,
        *,
        trigger: Trigger | None,
        automatic: bool,
        mode: Mode,
        requested_by: Actor,
        plan_id: str,
        deadline: timedelta,
        ignore_operation: str = "",
    ) -> Examination:
        """One examination with facts read now. `deadline` from now is the plan's `act_before`; `ignore_operation` is the caller's own."""
        policy = self._policies.of(target)
        first: list[Key[Any]] = [keys.state(target), keys.limits(target)]
        if trigger is not None:
            first += [keys.alert_rule(trigger.alert, trigger.series_labels), keys.alert_now(trigger.alert, trigger.series_labels)]
        facts = _but_for(await self._gatherer.facts(target, first), keys.limits(target), ignore_operation)
        began = self._onset(trigger, facts)
        suspected = await self._suspect(target, facts, began, policy)
        case = Case(
            target=target,
            policy=policy,
            suspect=suspected.suspect,
            goal=suspected.goal,
            way=Way.ROLLBACK,
            facts=facts,
            trigger=trigger,
            why_none=suspected.says,
            context={"operation": ignore_operation, "onset": began.isoformat() if began else ""},
        )
        rules = asked(case, self._rules, automatic=automatic)
        case, offer, verdict = await self._best(case, rules, automatic=automatic)
        plan = self._plan(case, offer, verdict, suspected.passed_over, mode=mode, requested_by=requested_by, plan_id=plan_id, deadline=deadline)
        says = suspected.says if plan is None or verdict.worst is not Answer.PASS else verdict.because
        return Examination(case=case, verdict=verdict, plan=plan, offer=offer, says=says, onset=began)

    async def examine_forward(
        self,
        target: TargetId,
        hold: Hold | None,
        *,
        watched: Trigger | None,
        automatic: bool,
        mode: Mode,
        requested_by: Actor,
        plan_id: str,
        deadline: timedelta,
        ignore_operation: str = "",
    ) -> Examination:
        """Whether what is desired (or is live already) may end the hold: as `examine`, with the rules for going forward. `watched` began the hold."""
        facts = await self._gatherer.facts(target, [keys.state(target), keys.limits(target), keys.held(target)])
        facts = _but_for(facts, keys.limits(target), ignore_operation)
        course = await self._course(target, facts, hold)
        case = Case(
            target=target,
            policy=self._policies.of(target),
            suspect=course.suspect,
            goal=course.goal,
            way=Way.FORWARD,
            facts=facts,
            why_none=course.says,
            context={
                "operation": ignore_operation,
                "live_already": course.live_already,
                "remembered": hold.remembered.get("auto_sync") if hold is not None and hold.stopped_auto_sync else None,
                "alert": watched.alert if watched else "",
                "labels": watched.series_labels if watched else (),
            },
        )
        case, offer, verdict = await self._best(case, asked(case, self._rules, automatic=automatic), automatic=automatic)
        plan = self._plan(case, offer, verdict, (), mode=mode, requested_by=requested_by, plan_id=plan_id, deadline=deadline)
        says = course.says if plan is None or verdict.worst is not Answer.PASS else verdict.because
        return Examination(case=case, verdict=verdict, plan=plan, offer=offer, says=says)

    async def _course(self, target: TargetId, facts: Facts, hold: Hold | None) -> Course:
        state, limits, held = facts.read(keys.state(target)), facts.read(keys.limits(target)), facts.read(keys.held(target))
        if hold is None:
            return Course(says="the hold has ended")
        if isinstance(state, Absent) or isinstance(limits, Absent) or isinstance(held, Absent):
            why = next(fact.why for fact in (state, limits, held) if isinstance(fact, Absent))
            return Course(says=f"what is live and what is desired is unknown: {why}")
        verified = hold.watch.verified if hold.watch else ""
        course = course_of(state.value, held.value, made_by_backout=limits.value.made_by_backout, verified=verified, now=self._clock.now())
        return replace(course, goal=await self._versioned(course.goal))

    def _onset(self, trigger: Trigger | None, facts: Facts) -> datetime | None:
        if trigger is None:
            return None
        rule = facts.read(keys.alert_rule(trigger.alert, trigger.series_labels))
        now = facts.read(keys.alert_now(trigger.alert, trigger.series_labels))
        hold = rule.value.hold if isinstance(rule, Known) else timedelta(0)
        return correlation.onset(trigger.began_at, hold, now.value.active_at if isinstance(now, Known) else None)

    async def _suspect(self, target: TargetId, facts: Facts, began: datetime | None, policy: TargetPolicy) -> suspicion.Suspicion:
        state, limits = facts.read(keys.state(target)), facts.read(keys.limits(target))
        if isinstance(state, Absent):
            return suspicion.Suspicion(suspect=None, goal=None, says=f"which release is live is unknown: {state.why}")
        tried = state.value.attempted
        if state.value.failed_newer and tried is None:
            says = f"{state.value.failed_newer}; part of it may be live, which the history does not tell: a person has to say what runs"
            return suspicion.Suspicion(suspect=None, goal=None, says=says)
        records = await self._targets.records(target)

        def named(release: Release) -> Release:
            return replace(release, version=release.version or records[release.key].version) if release.key in records else release

        deployed = suspicion.Deployed(
            history=[named(release) for release in state.value.history],
            attempted=named(tried) if tried else None,
            attempted_says=state.value.failed_newer or (f"a deploy of {tried.title} by {tried.by.name} is not complete" if tried else ""),
            live=suspicion.seen_since(named(state.value.current), records) if state.value.current else None,
        )
        memory = suspicion.Memory(
            records=records,
            troubles=await self._targets.troubles(target),
            least=policy.minimum_healthy,
            held=limits.value.held if isinstance(limits, Known) else (),
            made_by_backout=limits.value.made_by_backout if isinstance(limits, Known) else (),
        )
        found = suspicion.find_suspect(deployed, memory, began=began, window=policy.deploy_window)
        if found.suspect is None and state.value.drifted:
            says = f"{found.says}; {listed(state.value.drifted)} was changed by hand, which no release tells: look at that first"
            found = replace(found, says=says)
        return replace(found, suspect=await self._versioned(found.suspect), goal=await self._versioned(found.goal))

    async def _versioned(self, release: Release | None) -> Release | None:
        """With the version that its image says it is, where no record has it yet: a release that burns at once is judged before it was ever seen settled."""
        if release is None or release.version:
            return release
        rendered = keys.images(release.target, release.key, release.handle) if release.handle else keys.desired_images(release.target)
        facts = await self._gatherer.facts(release.target, [rendered])
        images = facts.read(rendered)
        exact = next((one.exact for one in images.value if one.exact and not one.of_machines), None) if isinstance(images, Known) else None
        if exact is None:
            return release
        config = (await self._gatherer.facts(release.target, [keys.image_config(exact)])).read(keys.image_config(exact))
        return replace(release, version=config.value.version) if isinstance(config, Known) else release

    async def _best(self, case: Case, rules: Sequence[Rule], *, automatic: bool) -> tuple[Case, Offer | None, Verdict]:
        """Evaluate each way that is offered, best first; without any, the plain rollback, so that the person sees why not."""
        delivery = self._deliveries.get(case.target.instance)
        case = await self._complete(case, rules)
        offers = delivery.offers(case) if delivery is not None and case.suspect and case.goal else ()
        best: tuple[Case, Offer | None, Verdict] | None = None
        for offer in offers or (None,):
            one = replace(case, way=offer.way) if offer else case
            one = await self._complete(one, rules)
            verdict = await asyncio.to_thread(evaluate, one, rules, automatic=automatic)  # reading long migrations takes seconds
            if best is None or _rank(offer, verdict) < _rank(best[1], best[2]):
                best = (one, offer, verdict)
        if best is None:  # pragma: no cover  the loop above runs at least once
            raise AssertionError("no way was evaluated")
        return best

    async def _complete(self, case: Case, rules: Sequence[Rule]) -> Case:
        """With every fact that the rules need; the operation that asks is not in its own way, so it is left out of those that are alive."""
        case = await self._gatherer.complete(case, rules)
        return replace(case, facts=_but_for(case.facts, keys.limits(case.target), str(case.context.get("operation", ""))))

    def _plan(
        self,
        case: Case,
        offer: Offer | None,
        verdict: Verdict,
        passed_over: tuple[Release, ...],
        *,
        mode: Mode,
        requested_by: Actor,
        plan_id: str,
        deadline: timedelta,
    ) -> Plan | None:
        state = case.facts.read(keys.state(case.target))
        if offer is None or case.suspect is None or case.goal is None or isinstance(state, Absent):
            return None
        now = self._clock.now()
        kind = OperationKind.FORWARD if case.direction is Direction.FORWARD else OperationKind.ROLLBACK
        return Plan(
            id=plan_id,
            kind=kind,
            target=case.target,
            uid=state.value.uid,
            title=f"{kind}-{now:%Y-%m-%d} · {case.target} · {case.suspect.title} → {case.goal.title}",
            method="code",
            scope="full",
            way=offer.way,
            because=offer.impossible or offer.because,
            suspect=case.suspect,
            goal=case.goal,
            steps=() if offer.impossible else offer.steps,
            verdict=verdict,
            mode=mode,
            policy_version=case.policy.version,
            made_at=now,
            act_before=now + deadline,
            tags=(f"{kind}-{now:%Y-%m-%d}",),
            passed_over=passed_over,
            requested_by=requested_by,
        )


def _rank(offer: Offer | None, verdict: Verdict) -> tuple[bool, bool, Answer]:
    """Which of two ways is better: one that may be gone, then one that is possible at all, then the better verdict; the first offered among equals."""
    impossible = bool(offer and offer.impossible)
    return impossible or verdict.worst is Answer.BLOCK, impossible, verdict.worst


def _but_for(facts: Facts, key: Key[keys.Limits], operation_id: str) -> Facts:
    """The facts without the asking operation among those that are alive: it does not stand in its own way."""
    limits = facts.known.get(key)
    if not isinstance(limits, Known):
        return facts
    others = tuple(one for one in limits.value.alive if one != operation_id)
    return Facts({**facts.known, key: replace(limits, value=replace(limits.value, alive=others))}, facts.now)
