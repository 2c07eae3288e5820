"""Acting without a person is within its limits: a fresh alert, a recent deploy, no second automatic rollback, no wide outage (promise 10).

Asked only where nobody is asked; what limits people as well stands in `limits_allow_acting`. Without an alert it cannot be answered with yes.

Problem: An automation that is wrong is wrong everywhere at once, and again and again.

Read: Automatic rollbacks of this target in the window, how many targets burn at once, the age of alert and deploy.

Decides: A fresh alert, a recent deploy, no rollback in the window and no wide outage: pass. Any limit reached: no, and a person decides. When the trouble
began cannot be found out: unknown.

Fix: A person decides. Look for a cause that many targets share before going back anywhere.

Declare: `rollbacks`, `rollback_window`, `late_alert`, `deploy_window` for the target.

Elsewhere: Decided everywhere.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from service.domain import keys
from service.domain.derived import doubt, moment, onset, onset_keys, span, together
from service.domain.facts import Absent, Key
from service.domain.rule import Case, Direction, Rule, Trigger
from service.domain.verdict import Finding, blocks, passes, unknown

CLOCKS = timedelta(minutes=1)
"""How far the sender's clock may run ahead of ours before its times mean nothing."""

PERSON = "A person decides."


def needs(case: Case) -> Iterable[Key[Any]]:
    """Backout's own acts, and when the trouble began."""
    yield keys.limits(case.target)
    if case.direction is Direction.BACK:
        yield from onset_keys(case)


def ask(case: Case) -> Finding:
    """All of it must hold; every limit that does not is named."""
    if case.direction is Direction.FORWARD:
        return _forward(case)
    if case.trigger is None:
        return unknown("No alert started this, so nothing may be done without a person.", clears=PERSON)
    return together([_own_acts(case), _freshness(case, case.trigger), *_deploy(case)])


def _forward(case: Case) -> Finding:
    """Under a hold: no wide outage, and nothing that went forward in vain lately; a fix that is pushed is what begins it, no alert."""
    limits = case.facts.read(keys.limits(case.target))
    if isinstance(limits, Absent):
        return doubt("What Backout itself did to the target is unknown", limits, clears="Make Backout's store reachable.")
    seen = limits.value
    parts: list[Finding] = []
    if seen.failed_forwards:
        times = "once" if seen.failed_forwards == 1 else f"{seen.failed_forwards} times"
        says = f"Backout already went forward {times} within {span(seen.within)} and it did not end well: disarmed."
        parts.append(blocks(says, limits.evidence, clears="A person deploys the next release, or waits."))
    if seen.wide_outage:
        parts.append(blocks(f"Hands off: {seen.wide_outage.rstrip('.')}.", limits.evidence, clears="Look for a cause that these targets share. " + PERSON))
    return together(parts) if parts else passes(f"Nothing went forward in vain within {span(seen.within)}, and there is no wide outage.", limits.evidence)


def _own_acts(case: Case) -> Finding:
    limits = case.facts.read(keys.limits(case.target))
    if isinstance(limits, Absent):
        return doubt("What Backout itself did to the target is unknown", limits, clears="Make Backout's store reachable.")
    seen, policy = limits.value, case.policy
    parts: list[Finding] = []
    if seen.disarmed:
        parts.append(blocks(f"Backout is disarmed for {case.target}: {seen.disarmed.rstrip('.')}.", limits.evidence, clears=PERSON))
    elif seen.automatic_rollbacks >= policy.rollbacks:
        times = "once" if seen.automatic_rollbacks == 1 else f"{seen.automatic_rollbacks} times"
        says = f"Backout already rolled {case.target} back {times} within {span(seen.within)}; the policy allows {policy.rollbacks}: disarmed."
        if not seen.automatic_rollbacks:
            says = f"The policy allows no automatic rollback of {case.target}."
        parts.append(blocks(says, limits.evidence, clears=PERSON))
    elif seen.within < policy.rollback_window:
        parts.append(
            unknown(
                f"Automatic rollbacks were counted over {span(seen.within)}; the policy asks for {span(policy.rollback_window)}.",
                limits.evidence,
                clears=PERSON,
            )
        )
    if seen.wide_outage:
        parts.append(blocks(f"Hands off: {seen.wide_outage.rstrip('.')}.", limits.evidence, clears="Look for a cause that these targets share. " + PERSON))
    return together(parts) if parts else passes(f"No automatic rollback within {span(seen.within)} and no wide outage.", limits.evidence)


def _freshness(case: Case, trigger: Trigger) -> Finding:
    late = trigger.received_at - trigger.began_at
    told = moment(trigger.began_at, case.facts.now)
    if late > case.policy.late_alert:
        return blocks(
            f"{trigger.alert} is told to have begun at {told}, {span(late)} before Backout first heard of it: too late to act without a person.", clears=PERSON
        )
    if late < -CLOCKS:
        return unknown(f"{trigger.alert} is told to begin at {told}, which is later than Backout heard of it: the clocks differ.", clears="Set the clocks.")
    return passes(f"Backout heard of {trigger.alert} {span(late)} after it began.")


def _deploy(case: Case) -> Iterator[Finding]:
    if case.suspect is None:
        yield unknown("No release is under suspicion, so whether its deploy is recent is unknown.", clears=PERSON)
        return
    began = onset(case)
    if isinstance(began, Absent):
        yield doubt("When the trouble began is unknown", began, clears="Make the metrics system reachable.")
        return
    window, after = case.policy.deploy_window, began.value - case.suspect.started_at
    if after > window:
        yield blocks(
            f"Release {case.suspect.name} started to go live {span(after)} before the trouble began; the window is {span(window)}.",
            *began.evidence,
            clears=PERSON,
        )
    elif after < timedelta(0):
        yield blocks(f"Release {case.suspect.name} started to go live {span(after)} after the trouble began.", *began.evidence, clears=PERSON)
    else:
        yield passes(f"The deploy is {span(after)} older than the trouble.", *began.evidence)


RULE = Rule(name="automation_has_room", question="Is acting without a person within its limits?", ask=ask, needs=needs, for_automatic=True)
