"""The release to go back to is one exact thing that the delivery system still has, and Backout saw it healthy.

Whether its images still exist is another rule; whether it is held is a limit.

Problem: `main` or `latest` of yesterday is another thing today, the release before may have been the other half of the same mistake, and a history forgets.

Read: The delivery system's history, and what Backout recorded of the goal release while it was live: how long, how healthy, whether its name ever meant two
things. Of a chart's version also how it renders today, for it can be published again.

Decides: One exact entry of the history, healthy for at least `minimum_healthy`: pass. Healthy for a shorter time, or last seen in a state that says little:
warn. Seen unhealthy, no longer in the history, or what runs already: no. A name that can mean something else today, a chart that
renders to something else than what ran, or a release nobody watched: unknown.

Fix: Go back to an earlier release that was good, let the delivery system remember more of them (`revisionHistoryLimit`), and name images by digest.

Declare: `minimum_healthy`; a person who knows the release ticks the warning.

Elsewhere: Decided for every delivery system that keeps a history; without one it is unknown.
"""

import re
from collections.abc import Iterable
from typing import Any

from service.domain import keys
from service.domain.derived import doubt, listed, moment, span, together
from service.domain.difference import changed, digests
from service.domain.facts import Absent, Fact, Key, Known
from service.domain.keys import TargetState
from service.domain.model import Release, ReleaseRecord, Way
from service.domain.rule import Case, Direction, Rule
from service.domain.verdict import Finding, blocks, passes, unknown, warns

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
CHART_VERSION = re.compile(r"v?\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?")
"""A resolved revision in this shape is a chart's version: Git revisions are resolved to commits."""

THROUGH_GIT = frozenset({Way.GIT_REVERT, Way.PIN})
"""Ways that do not need the delivery system's history."""

UNHEALTHY = frozenset({"Degraded", "Missing"})
WELL = frozenset({"Healthy", "Progressing", "Suspended"})
"""How a good release may look in its last moment: the next deploy makes it progress, a paused rollout suspends it."""


def needs(case: Case) -> Iterable[Key[Any]]:
    """The delivery system's history, and what Backout saw of the goal release."""
    yield keys.state(case.target)
    if case.goal:
        yield keys.record(case.target, case.goal.key)
        if _can_be_published_again(case.goal):
            yield keys.manifests(case.target, case.goal.key, case.goal.handle)


def ask(case: Case) -> Finding:
    """Exact, still in the history, not what runs already, and healthy for long enough."""
    goal = case.goal
    if goal is None:
        state = case.facts.read(keys.state(case.target))
        if isinstance(state, Absent):  # an outage takes no way back away: a block would say so, and people would be told of it
            return doubt("Which release is live is unknown", state, clears="Make the delivery system reachable.")
        why = case.why_none or "no release is known to go back to"
        return blocks(why[:1].upper() + why[1:].rstrip(".") + ".", clears="Ship a fix, or go back by hand in the delivery system.")
    return together((_in_history(case, goal), _exact(goal), _unmoved(case, goal), _was_healthy(case, goal)))


def _in_history(case: Case, goal: Release) -> Finding:
    state = case.facts.read(keys.state(case.target))
    if isinstance(state, Absent):
        return doubt(f"Whether release {goal.name} can still be reached is unknown", state, clears="Make the delivery system reachable.")
    half = state.value.attempted is not None  # a deploy that is in no history lies over the newest entry, which then is no longer all that runs
    if state.value.current and state.value.current.key == goal.key and not half:
        return blocks(f"Release {goal.title} is what runs already.", state.evidence, clears="Ask again; what runs has changed.")
    if any(entry.handle == goal.handle and entry.key == goal.key for entry in state.value.history):
        return passes(f"Release {goal.title} is one exact entry of the history.", state.evidence)
    moved = next((entry for entry in state.value.history if entry.key == goal.key), None)
    if moved:
        return blocks(f"Release {goal.title} now has the history id {moved.handle}.", state.evidence, clears="Ask again; the history has changed.")
    if case.way in THROUGH_GIT:
        return warns(
            f"Release {goal.title} is no longer in the history{_kept(state.value)}; Backout's own record names it, and only Git can bring it back.",
            state.evidence,
            clears="Let the delivery system remember more releases (revisionHistoryLimit).",
        )
    return blocks(
        f"Release {goal.title} is no longer in the history{_kept(state.value)}.",
        state.evidence,
        instead=Way.GIT_REVERT,
        clears="Choose a release that is in the history, or go back through Git.",
    )


def _kept(state: TargetState) -> str:
    limit = state.history_limit
    return "" if limit is None else f", for {limit or 'no'} release{'' if limit == 1 else 's'} of it {'is' if limit == 1 else 'are'} kept"


def _exact(goal: Release) -> Finding:
    loose = [source for source in goal.sources if not _pinned(source.revision)]
    if not goal.sources:
        return unknown(f"Which sources release {goal.name} was made of is unknown.", clears="Deploy once more from a revision that the history records.")
    if loose:
        name = loose[0].revision or "an empty revision"
        return unknown(
            f"Release {goal.name} names {name} of {loose[0].repository}, which can mean something else today.",
            clears="Go back to a release that names a commit, a chart version or a digest.",
        )
    return passes(f"Release {goal.name} names exact revisions.")


def _unmoved(case: Case, goal: Release) -> Finding:
    """The same name may have meant two things: then nobody knows which of them comes back."""
    record = case.facts.read(keys.record(case.target, goal.key))
    if isinstance(record, Known) and record.value.moved:
        return unknown(
            f"Release {goal.name} is no exact thing: while it was the same release, {record.value.moved}.",
            record.evidence,
            clears="Go back to a release whose images are named by digest and whose chart version was never published twice.",
        )
    proof = (record.evidence,) if isinstance(record, Known) else ()
    return _same_chart(case, goal, record) if _can_be_published_again(goal) else passes("", *proof)


def _can_be_published_again(goal: Release) -> bool:
    """A chart's version names what its repository serves today; one that only our own record has is brought back through Git anyway."""
    return bool(goal.handle) and any(CHART_VERSION.fullmatch(source.revision) for source in goal.sources)


def _same_chart(case: Case, goal: Release, record: Fact[ReleaseRecord]) -> Finding:
    """Whether the chart still renders to what ran: the same version may have been published a second time, with other content."""
    version = next(source.revision for source in goal.sources if CHART_VERSION.fullmatch(source.revision))
    today = case.facts.read(keys.manifests(case.target, goal.key, goal.handle))
    doubted = f"Whether chart version {version} of release {goal.name} still is what ran is unknown"
    clears = "Go back to a release whose chart lies in Git, or look at the chart yourself."
    if isinstance(record, Absent):
        return doubt(doubted, record, clears=clears)
    if record.value.objects is None:
        return unknown(f"{doubted}: Backout did not see what it rendered to.", record.evidence, clears=clears)
    if isinstance(today, Absent):
        return doubt(doubted, today, record.evidence, clears=clears)
    other = changed(record.value.objects, digests(today.value))
    if other:
        return unknown(
            f"Chart version {version} of release {goal.name} was published again: {listed(other)} renders to something else today than what ran.",
            record.evidence,
            today.evidence,
            clears=clears,
        )
    return passes(f"Chart version {version} still renders to what ran.", record.evidence, today.evidence)


def _pinned(revision: str) -> bool:
    return any(shape.fullmatch(revision) for shape in (COMMIT, DIGEST, CHART_VERSION))


def _was_healthy(case: Case, goal: Release) -> Finding:
    record = case.facts.read(keys.record(case.target, goal.key))
    if isinstance(record, Absent):
        return doubt(f"Whether release {goal.name} was ever healthy is unknown", record, clears="Backout records health from now on; a person may know better.")
    return _health(case, goal, record)


def _health(case: Case, goal: Release, record: Known[ReleaseRecord]) -> Finding:
    seen = record.value
    least = case.policy.minimum_healthy
    if seen.last_health in UNHEALTHY:
        when = moment(seen.watched_until, case.facts.now)
        return blocks(
            f"Release {goal.name} was {seen.last_health} when Backout last saw it live, at {when}.",
            record.evidence,
            clears="Go back to an earlier good release.",
            overridable=True,
        )
    if seen.healthy_for < least:
        return warns(
            f"Release {goal.name} was seen healthy for {span(seen.healthy_for)} only; the policy asks for {span(least)}.",
            record.evidence,
            clears="Go back to a release that was healthy for longer, or tick it.",
        )
    if seen.last_health not in WELL:
        return warns(
            f"Release {goal.name} was healthy for {span(seen.healthy_for)}, but its last health is {seen.last_health or 'not known'}.",
            record.evidence,
            clears="A person who knows the release ticks it.",
        )
    return passes(f"It was healthy for {span(seen.healthy_for)} while Backout watched it.", record.evidence)


RULE = Rule(
    name="goal_release_is_exact_and_was_healthy",
    question="Is the release to go back to one exact thing, and was it healthy?",
    ask=ask,
    needs=needs,
    directions=frozenset({Direction.BACK}),
)
