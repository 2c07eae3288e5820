"""Recovered means measured (promise 8): one look is judged here, and looks add up to recovered, not recovered or inconclusive."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from service.domain.facts import Absent, Fact
from service.domain.keys import AlertNow, Pod, Rollout, Series, machines
from service.domain.model import Image, ObjectRef
from service.domain.policy import RecoveredWhen

TRAFFIC_SHARE = 0.2
"""Traffic must be at least this share of before, or good numbers prove nothing."""


class Look(StrEnum):
    """What one look found."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One part of a look: `live`, `sli` or `alert`, with its sentence. `final`: waiting will not change it (there is nothing to measure by)."""

    name: str
    look: Look
    says: str
    value: float | None = None
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The SLI to measure and where its bound comes from: `declared`, `rule`, or "" when there is none (then the end is inconclusive)."""

    rung: str
    promql: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    comparison: str = ""
    threshold: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the verification is. `passes` counts good looks with fresh samples since `good_since`; `ended` is recovered, not_recovered, inconclusive.

    `bad_since` counts looks that see harm (the SLI outside its bound, an alert that fires), in a row.
    """

    started_at: datetime
    give_up_at: datetime
    passes: int = 0
    good_since: datetime | None = None
    last_sample_at: datetime | None = None
    ended: str = ""
    says: str = ""
    checks: tuple[Check, ...] = ()
    bad_since: datetime | None = None


def give_up_at(started_at: datetime, *, at_least: timedelta, range_of_sli: timedelta, keep_firing: timedelta, interval: timedelta, bake: timedelta) -> datetime:
    """Decision 14: max(`at_least`, range of the SLI + keep_firing_for + 2 intervals), and never before the bake time could end twice."""
    return started_at + max(at_least, range_of_sli + keep_firing + 2 * interval, 2 * bake)


_RANGE = re.compile(r"\[\s*((?:\d+(?:ms|[smhdwy]))+)")
_SECONDS: Mapping[str, float] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_PART = re.compile(r"(\d+)(ms|[smhdwy])")


def longest_range(promql: str) -> timedelta:
    """The longest range that the expression looks back over, e.g. 5 min for `rate(errors[5m])`: until then the SLI remembers; 5 min when it names none."""
    named = (sum(float(n) * _SECONDS[unit] for n, unit in _PART.findall(one)) for one in _RANGE.findall(promql))
    return timedelta(seconds=max(named, default=300.0))


def check_live(pods: Fact[tuple[Pod, ...]], wanted: Sequence[Image], *, left: Collection[ObjectRef] = ()) -> Check:
    """Whether every running pod or instance is ready and runs exactly the goal release's digests. Sidecars do not count.

    Pods that are only kept for a while and serve nobody do not count, nor do those of objects that are `left` behind: the goal release does not have them,
    nothing of ours deletes them, and what they do on is for a person.
    """
    if isinstance(pods, Absent):
        return Check(name="live", look=Look.UNKNOWN, says=f"what runs is unknown: {pods.why}")
    exact: dict[str, set[str | None]] = {}
    for image in wanted:
        exact.setdefault(image.repository, set()).add(image.digest)
    if not exact or any(None in digests for digests in exact.values()):
        return Check(name="live", look=Look.UNKNOWN, says="the goal release's image digests are not known")
    beside = [p for p in pods.value if not p.retiring and p.object is not None and p.object in left]
    serving = [p for p in pods.value if not p.retiring and p not in beside]
    one, many = ("instance", "instances") if any(p.object is not None and machines((p.object,)) for p in pods.value) else ("pod", "pods")
    if not serving:
        return Check(name="live", look=Look.BAD, says=f"no {one} runs")
    wrong = [p for p in serving for i in p.images if i.repository in exact and i.digest is not None and i.digest not in exact[i.repository]]
    missing = [p for p in serving if not any(i.repository in exact for i in p.images)]
    unready = [p for p in serving if not p.ready]
    count = len(serving)
    if wrong or missing:
        return Check(name="live", look=Look.BAD, says=f"{len({p.name for p in (*wrong, *missing)})} of {count} {many} do not run the goal release's images")
    if unready:
        return Check(name="live", look=Look.BAD, says=f"{len(unready)} of {count} {many} are not ready")
    running = {i.repository for p in serving for i in p.images}
    gone = sorted(exact.keys() - running)
    if gone:
        return Check(name="live", look=Look.BAD, says=f"no {one} runs {', '.join(gone[:3])}, which the goal release has")
    dark = {p.name for p in serving for i in p.images if i.repository in exact and i.digest is None}
    if dark:
        return Check(name="live", look=Look.UNKNOWN, says=f"what {len(dark)} of {count} {many} run is not known by digest")
    says = f"{count} of {count} {many} run the goal release's images and are ready"
    return Check(name="live", look=Look.GOOD, says=f"{says}, beside {len(beside)} of what stays behind" if beside else says)


def check_rolled_out(live: Check, rollouts: Fact[tuple[Rollout, ...]]) -> Check:
    """The look at what runs, and every Rollout has ended: one that waits or runs steps is not back, whatever its pods run at the moment."""
    if isinstance(rollouts, Absent):
        unknown = f"how far the roll-out is, is unknown: {rollouts.why}"
        return live if live.look is Look.BAD else Check(name="live", look=Look.UNKNOWN, says=unknown)
    standing = [one for one in rollouts.value if not one.promoted]
    if not standing:
        return live
    first = standing[0]
    at = f" at step {first.step} of {first.steps}" if first.steps else ""
    says = f"Rollout {first.object.name} {'was aborted' if first.aborted else 'waits' if first.waiting else 'is on its way'}{at}"
    return Check(name="live", look=Look.BAD, says=says if live.look is Look.GOOD else f"{live.says}; {says}")


def check_sli(bound: Bound, values: Fact[Series], *, traffic: Fact[Series] | None, traffic_before: float | None) -> Check:
    """Whether every series of the SLI is inside its bound, with enough traffic. No series is not healthy; NaN is not a number below anything."""
    if not bound.rung:
        return Check(name="sli", look=Look.UNKNOWN, says="no SLI is declared and the alert's rule is no plain comparison", final=True)
    if isinstance(values, Absent):
        return Check(name="sli", look=Look.UNKNOWN, says=f"the SLI is unknown: {values.why}")
    numbers = list(values.value.values.values())
    if not numbers:
        return Check(name="sli", look=Look.UNKNOWN, says="the SLI has no series: no data is not health")
    if any(math.isnan(n) for n in numbers):
        return Check(name="sli", look=Look.UNKNOWN, says="the SLI is not a number (no traffic?)")
    outside = [n for n in numbers if breached(n, bound)]
    shown = max(outside or numbers, key=abs)
    if outside:
        return Check(name="sli", look=Look.BAD, says=f"the SLI is {shown:.4g}, outside its bound ({_bound_says(bound)})", value=shown)
    if traffic is not None:
        if isinstance(traffic, Absent):
            return Check(name="sli", look=Look.UNKNOWN, says=f"traffic is unknown: {traffic.why}")
        flow = sum(n for n in traffic.value.values.values() if not math.isnan(n))
        if traffic_before is None:
            return Check(name="sli", look=Look.UNKNOWN, says="traffic before the act was not known, so nothing can be compared with it")
        if flow <= 0 or flow < TRAFFIC_SHARE * traffic_before:
            return Check(
                name="sli", look=Look.UNKNOWN, says=f"traffic is {flow:.3g}, less than a fifth of {traffic_before:.3g} before: good numbers prove nothing"
            )
    return Check(name="sli", look=Look.GOOD, says=f"the SLI is {shown:.4g}, inside its bound ({_bound_says(bound)})", value=shown)


def breached(number: float, bound: Bound) -> bool:
    """Whether the number is in the firing region. `comparison` and `threshold` are those of the alert (or of the declared bound turned round)."""
    match bound.comparison:
        case ">":
            return number > bound.threshold
        case ">=":
            return number >= bound.threshold
        case "<":
            return number < bound.threshold
        case "<=":
            return number <= bound.threshold
        case "==":
            return number == bound.threshold
        case "!=":
            return number != bound.threshold
        case _:
            return True


def _bound_says(bound: Bound) -> str:
    return f"bad is {bound.comparison} {bound.threshold:g}, {bound.rung}"


def check_alert(now: Fact[AlertNow] | None) -> Check:
    """Whether the alert is quiet by our own query; the absence of a webhook says nothing."""
    if now is None:
        return Check(name="alert", look=Look.GOOD, says="no alert started this")
    if isinstance(now, Absent):
        return Check(name="alert", look=Look.UNKNOWN, says=f"whether the alert fires is unknown: {now.why}")
    if now.value.state == "inactive":
        return Check(name="alert", look=Look.GOOD, says="the alert no longer fires")
    return Check(name="alert", look=Look.BAD, says=f"the alert is still {now.value.state}")


def check_alerts(now: Mapping[str, Fact[AlertNow]]) -> Check:
    """Whether every alert of the target is quiet: the worst of them decides. None at all = nobody was alerted."""
    checks = {name: check_alert(fact) for name, fact in now.items()}
    if not checks:
        return check_alert(None)
    worst = _worst(tuple(checks.values()))
    if worst is Look.GOOD:
        says = "the alert no longer fires" if len(checks) == 1 else f"none of {len(checks)} alerts fires any more"
        return Check(name="alert", look=worst, says=says)
    speaking = [(name, check) for name, check in checks.items() if check.look is worst]
    says = speaking[0][1].says if len(checks) == 1 else "; ".join(f"{name}: {check.says}" for name, check in speaking[:3])
    return Check(name="alert", look=worst, says=says)


HARM = frozenset({"sli", "alert"})
"""Checks that see harm done; pods that are not ready yet do none by themselves."""


def advance(
    progress: Progress, checks: Sequence[Check], *, now: datetime, sampled_at: datetime | None, policy: RecoveredWhen, patient: bool = True
) -> Progress:
    """Add one look. Recovered = good for the whole bake time (at least two scrape intervals) in k looks, each with a sample newer than the last.

    A bad or unknown look starts the count again. At the give-up time the last look decides: bad = not recovered, anything else = inconclusive. Where
    there is nothing to measure by and all else was good for the bake time, waiting longer would not tell more: inconclusive.

    Not `patient`: all was well before, so harm seen for the whole bake time is the new release's, and is not watched any longer.
    """
    bake = max(policy.bake, 2 * policy.scrape_interval)
    worst = _worst(checks)
    says = "; ".join(c.says for c in checks)
    step = replace(progress, checks=tuple(checks), says=says)
    if worst is Look.GOOD:
        last = progress.last_sample_at
        fresh = sampled_at is not None and (sampled_at > last if last else sampled_at >= progress.started_at)
        step = replace(
            step,
            passes=progress.passes + (1 if fresh else 0),
            good_since=progress.good_since or now,
            last_sample_at=sampled_at if fresh else progress.last_sample_at,
        )
        if step.good_since is not None and now - step.good_since >= bake and step.passes >= policy.passes:
            return replace(step, ended="recovered", says=f"recovered: {says}, for {int((now - step.good_since).total_seconds())} s in {step.passes} looks")
    elif any(c.final for c in checks) and all(c.final or c.look is Look.GOOD for c in checks):
        step = replace(step, passes=0, good_since=progress.good_since or now)
        if step.good_since is not None and now - step.good_since >= bake:
            return replace(step, ended="inconclusive", says=f"inconclusive: {says}")
    else:
        step = replace(step, passes=0, good_since=None)
    harm = any(c.name in HARM and c.look is Look.BAD for c in checks)
    step = replace(step, bad_since=(progress.bad_since or now) if harm else None)
    if not patient and step.bad_since is not None and now - step.bad_since >= bake:
        return replace(step, ended="not_recovered", says=f"not recovered: {says}, for {int((now - step.bad_since).total_seconds())} s")
    if now >= progress.give_up_at:
        ended = "not_recovered" if worst is Look.BAD else "inconclusive"
        return replace(step, ended=ended, says=f"{ended.replace('_', ' ')}: {says}")
    return step


def _worst(checks: Sequence[Check]) -> Look:
    looks = {c.look for c in checks}
    if not looks or Look.UNKNOWN in looks:
        return Look.BAD if Look.BAD in looks else Look.UNKNOWN
    return Look.BAD if Look.BAD in looks else Look.GOOD
