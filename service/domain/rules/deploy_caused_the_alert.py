"""The alert correlates with the release under suspicion: the trouble began after its deploy did, and only its version fails.

Who is suspect was decided by correlation; whether the alert is still firing is another rule.

Problem: Three of four incidents are not mended by going back. A rollback of a deploy that has nothing to do with the alert costs an outage of its own, and
hides the cause.

Read: When the trouble began (the alert's own expression over time, its `for` taken off), when the suspect release started to go live, and either the failing
share by version (`version_split`) or the target's pods by revision.

Decides: Trouble that began before the deploy is a no. Only the suspect's version or pods fail: pass. Only the time fits, or other versions fail too: warn.
The goal release fails as well, or another one does and the suspect does not: no. A query without series, or one whose label names nobody, is unknown.

Fix: Look for another cause where it says no: a flag, a dependency, traffic. Where only the time fits, declare a query by version, or let Backout read the
pods.

Declare: `version_split`: `promql`, `label`, `above` for the target; `deploy_window` for how far back a deploy may lie.

Elsewhere: Decided wherever a metrics system knows the alert and the version; the pods are Kubernetes' only.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from service.domain import keys
from service.domain.derived import Derived, doubt, listed, moment, onset, onset_keys, span
from service.domain.facts import Absent, Evidence, Key, Known
from service.domain.model import Image, Release, Way
from service.domain.policy import VersionSplit
from service.domain.rule import Case, Direction, Rule
from service.domain.verdict import Finding, blocks, passes, unknown, warns

SHORT_REVISION = 7
SHORT_DIGEST = 12
HEX = re.compile(r"[0-9a-f]+")
STAMP = timedelta(seconds=1)
"""Times of Kubernetes and of delivery systems have no fractions."""
DECLARE = "Declare version_split: a query of the failing share by version, with the label that names the version."


def needs(case: Case) -> Iterable[Key[Any]]:
    """The onset; the split by version, or the pods where none is declared; the images only of a release that no label names by version or revision."""
    yield from onset_keys(case)
    split = case.policy.version_split
    if case.suspect is None:
        return
    if split is None:
        yield keys.workloads(case.target)
        return
    query = keys.series(split.promql)
    yield query
    seen = case.facts.read(query)
    if isinstance(seen, Absent):
        return
    values = {dict(labels).get(split.label, ""): number for labels, number in seen.value.values.items()}
    if not any(names(value, case.suspect) for value in values):
        yield keys.record(case.target, case.suspect.key)
    elif case.goal and any(_fails(number, split) and not names(value, case.suspect) and not names(value, case.goal) for value, number in values.items()):
        yield keys.record(case.target, case.goal.key)


def ask(case: Case) -> Finding:
    """Time first (a cause cannot come after its effect), then place: which versions fail."""
    suspect = case.suspect
    if suspect is None:
        return blocks(
            _sentence(case.why_none or "no release is under suspicion"), clears="Look for another cause; a person may name a release.", instead=Way.NONE
        )
    began = onset(case)
    if isinstance(began, Absent):
        return doubt("When the trouble began is unknown", began, clears="Make the metrics system reachable.")
    after = began.value - suspect.started_at
    at = moment(began.value, case.facts.now)
    live = moment(suspect.started_at, case.facts.now)
    if began.value < suspect.started_at:
        return blocks(
            f"The trouble began at {at}, {span(after)} before release {suspect.name} started to go live at {live}: not caused by this deploy.",
            *began.evidence,
            clears="Look for another cause; going back will not help.",
            instead=Way.NONE,
        )
    time = f"The trouble began at {at}, {span(after)} after release {suspect.name} started to go live"
    split = case.policy.version_split
    if split is None:
        return _by_pods(case, suspect, time, began)
    seen = case.facts.read(keys.series(split.promql))
    if isinstance(seen, Absent):
        return doubt(f"{time}; which versions fail is unknown", seen, *began.evidence, clears="Make the query of version_split answer.")
    return _place(case, suspect, split, seen, time, began.evidence)


@dataclass(frozen=True, slots=True)
class _Pods:
    """Pods of the revisions that came with the suspect release, and all others of the target; `first` is when the first of its own started."""

    revision: str
    first: datetime
    own: tuple[keys.Pod, ...]
    others: tuple[keys.Pod, ...]
    evidence: Evidence


def _pods(seen: Known[tuple[keys.Workload, ...]], suspect: Release) -> _Pods | None:
    """What the cluster shows, or None when no revision that runs came with the release (it brought an earlier template back)."""
    revisions = [revision for workload in seen.value for revision in workload.revisions if revision.pods]
    own = [one for one in revisions if one.created_at >= suspect.started_at - STAMP]
    if not own:
        return None
    pods = tuple(pod for one in own for pod in one.pods)
    others = tuple(pod for one in revisions if one not in own for pod in one.pods if not pod.ending)
    first = min(min((pod.started_at for pod in one.pods if pod.started_at), default=one.created_at) for one in own)
    return _Pods(listed(one.name for one in own), first, tuple(pod for pod in pods if not pod.ending), others, seen.evidence)


def _by_pods(case: Case, suspect: Release, time: str, began: Derived[datetime]) -> Finding:
    """Without a split by version: pods that cannot get ready, or are started again, fail visibly; those that are ready may still answer with errors."""
    seen = case.facts.read(keys.workloads(case.target))
    if isinstance(seen, Absent):
        return warns(f"{time}; whether only its pods fail is not known ({seen.why}), so only the time fits.", *began.evidence, clears=DECLARE)
    pods = _pods(seen, suspect)
    if pods is None:
        return warns(f"{time}; no pod runs a revision that came with it, so only the time fits.", *began.evidence, seen.evidence, clears=DECLARE)
    since, evidence = began.value - pods.first, (*began.evidence, pods.evidence)
    time = f"{time} and {span(since)} {'after' if since >= timedelta(0) else 'before'} its first pod ({pods.revision}) did"
    failing = [pod for pod in pods.own if not pod.ready or pod.restarts]
    elsewhere = [pod for pod in pods.others if not pod.ready]
    if not failing:
        return warns(f"{time}; its pods are ready, and whether they fail all the same was not asked, so only the time fits.", *evidence, clears=DECLARE)
    why = listed(sorted({pod.waits for pod in failing if pod.waits}))
    fails = f"{len(failing)} of {len(pods.own)} of its pods are not ready or were started again{f' ({why})' if why else ''}"
    if elsewhere:
        also = f"{len(elsewhere)} of {len(pods.others)} other pods of the target are not ready either"
        return warns(f"{time}; {fails}, but {also}.", *evidence, clears="Look for a cause that these pods share.")
    if not pods.others:
        return warns(f"{time}; {fails}, and no other pod of the target runs to compare with, so only the time fits.", *evidence, clears=DECLARE)
    return passes(f"{time}, and only its pods fail: {fails}; the {len(pods.others)} other pods of the target are ready.", *evidence)


def _place(case: Case, suspect: Release, split: VersionSplit, seen: Known[keys.Series], time: str, evidence: tuple[Evidence, ...]) -> Finding:
    proof: tuple[Evidence, ...] = (*evidence, seen.evidence)
    shares = [(dict(labels).get(split.label, ""), number) for labels, number in seen.value.values.items()]
    if not shares:
        return unknown(f"{time}; the query by version has no series, which is not health.", *proof, clears="Correct the query of version_split.")
    if any(not value for value, _ in shares):
        return unknown(f"{time}; a series of the query by version carries no label {split.label}.", *proof, clears="Correct the label of version_split.")
    suspect_images, suspect_proof = _images(case, suspect)
    goal_images, goal_proof = _images(case, case.goal) if case.goal else ((), ())
    proof = (*proof, *suspect_proof, *goal_proof)
    ours = {value for value, _ in shares if names(value, suspect, suspect_images)}
    theirs = {value for value, _ in shares if case.goal and names(value, case.goal, goal_images)}
    if ours & theirs:
        return unknown(
            f"{time}; the label value {listed(sorted(ours & theirs))} names both releases, so nobody can tell which one fails.",
            *proof,
            clears="Use a label in version_split that differs between releases: revision or digest.",
        )
    if not ours:
        return unknown(
            f"{time}; no series names release {suspect.name}, only {listed(sorted({value for value, _ in shares}))}.",
            *proof,
            clears="Use a label in version_split that carries the release's version, revision or image digest.",
        )
    if all(math.isnan(number) for value, number in shares if value in ours):
        return unknown(f"{time}; its failing share is not a number (no traffic?).", *proof, clears="Wait for traffic, or correct the query of version_split.")
    failing = {value: number for value, number in shares if _fails(number, split)}
    own = {value: number for value, number in failing.items() if value in ours}
    if not failing:
        return warns(f"{time}, but no version fails above {split.above:g} now, so only the time fits.", *proof, clears="Compare the alert with version_split.")
    if not own:
        return blocks(
            f"{time}, but it does not fail: {_shares(failing)} does (bound {split.above:g}). Not caused by this deploy.",
            *proof,
            clears="Look for another cause; going back will not help.",
            instead=Way.NONE,
        )
    back = {value: number for value, number in failing.items() if value in theirs}
    if back and case.goal:
        return blocks(
            f"{time}, but release {case.goal.name} fails as well: {_shares(failing)} (bound {split.above:g}). Going back will not help.",
            *proof,
            clears="Look for a cause that both releases share.",
            instead=Way.NONE,
        )
    if len(own) < len(failing):
        return warns(
            f"{time}, but other versions fail as well: {_shares(failing)} (bound {split.above:g}).",
            *proof,
            clears="Look for a cause that these versions share.",
        )
    only = "and only its version fails" if len(shares) > len(ours) else "and it fails; no other version has traffic"
    return passes(f"{time}, {only}: {_shares(own)} (bound {split.above:g}).", *proof)


def names(value: str, release: Release, images: Iterable[Image] = ()) -> bool:
    """Whether a label value means the release: its version, a revision (full, or 7 and more digits of it), or an image's tag, digest or reference."""
    if not value:
        return False
    short = bool(HEX.fullmatch(value))
    if release.version and value.removeprefix("v") == release.version.removeprefix("v"):
        return True
    if any(source.revision == value or (short and len(value) >= SHORT_REVISION and source.revision.startswith(value)) for source in release.sources):
        return True
    for image in images:
        name = image.reference.partition("@")[0]
        tag = name.rpartition("/")[2].partition(":")[2]
        digest = image.digest or ""
        if value in {tag, digest, digest.partition(":")[2], image.exact, image.reference}:
            return True
        if short and len(value) >= SHORT_DIGEST and digest.partition(":")[2].startswith(value):
            return True
    return False


def _images(case: Case, release: Release) -> tuple[tuple[Image, ...], tuple[Evidence, ...]]:
    record = case.facts.read(keys.record(case.target, release.key))
    return (record.value.images or (), (record.evidence,)) if isinstance(record, Known) else ((), ())


def _fails(number: float, split: VersionSplit) -> bool:
    return number > split.above


def _shares(failing: dict[str, float]) -> str:
    return listed(f"{value} {number:.3g}" for value, number in sorted(failing.items(), key=lambda item: -item[1]))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


RULE = Rule(
    name="deploy_caused_the_alert",
    question="Did this deploy cause the alert?",
    ask=ask,
    needs=needs,
    needs_incident=True,
    directions=frozenset({Direction.BACK}),
)
