"""What several rules derive from a case in the same way, for a rule does not know another rule: onset, exact images, findings joined, times in words.

Pure functions over a case. Which keys a derivation needs stands beside it, so that `needs` and `ask` of a rule cannot drift apart.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from service.domain import correlation, keys
from service.domain.difference import Content
from service.domain.facts import Absent, Evidence, Facts, Key, Known
from service.domain.keys import ImageConfig
from service.domain.model import Image, Json, ObjectRef, Release, Source, TargetId
from service.domain.rule import Case, Direction
from service.domain.verdict import Answer, Finding, passes, unknown

T = TypeVar("T")

PROOFS = frozenset({"reference", "pods", "immutable"})
"""What makes a digest count; a digest without one of these was looked up later and proves nothing."""


@dataclass(frozen=True, slots=True)
class Derived(Generic[T]):
    """A value that follows from facts, with the evidence of every fact that was used."""

    value: T
    evidence: tuple[Evidence, ...]


def onset_keys(case: Case) -> Iterator[Key[Any]]:
    """The facts that `onset` reads; the alert's rule only where the metrics system does not tell when the condition began."""
    if case.trigger is None:
        return
    now = keys.alert_now(case.trigger.alert, case.trigger.series_labels)
    yield now
    seen = case.facts.read(now)
    if isinstance(seen, Known) and not _tells_onset(seen.value.active_at, case.trigger.began_at):
        yield keys.alert_rule(case.trigger.alert, case.trigger.series_labels)


def onset(case: Case) -> Derived[datetime] | Absent:
    """When the trouble began: the condition's own start as the metrics system tells it, else the told start less the rule's `for`."""
    if case.trigger is None:
        return Absent("nobody told of an alert", clears="Ask with an incident.")
    now = case.facts.read(keys.alert_now(case.trigger.alert, case.trigger.series_labels))
    if isinstance(now, Absent):
        return now
    began = case.trigger.began_at
    if _tells_onset(now.value.active_at, began):
        return Derived(correlation.onset(began, timedelta(0), now.value.active_at), (now.evidence,))
    rule = case.facts.read(keys.alert_rule(case.trigger.alert, case.trigger.series_labels))
    if isinstance(rule, Absent):
        return rule
    return Derived(correlation.onset(began, rule.value.hold, None), (now.evidence, rule.evidence))


def _tells_onset(active_at: datetime | None, began_at: datetime) -> bool:
    return active_at is not None and active_at <= began_at


def image_keys(case: Case, release: Release) -> Iterator[Key[Any]]:
    """The facts that `exact_images` reads: our own record first, the rendered manifests only where the record does not have every digest."""
    record = keys.record(case.target, release.key)
    yield record
    if record not in case.facts.known:
        return
    seen = case.facts.read(record)
    if isinstance(seen, Absent) or not (seen.value.images and all(map(proven, seen.value.images))):
        yield goal_images_key(case, release)


def exact_images(case: Case, release: Release) -> Derived[tuple[Image, ...]] | Absent:
    """Every image of the release with a proven digest, or why that is not known. No image at all is not an answer."""
    record = case.facts.read(keys.record(case.target, release.key))
    recorded = record.value.images or () if isinstance(record, Known) else ()
    if isinstance(record, Known) and recorded and all(map(proven, recorded)):
        return Derived(recorded, (record.evidence,))
    rendered = case.facts.read(goal_images_key(case, release))
    if isinstance(rendered, Absent):
        own = f"Backout's own record does not have every digest of release {release.name}" if isinstance(record, Known) else record.why
        return Absent(f"{own}; {rendered.why}", clears=rendered.clears)
    by_reference = {image.reference: image for image in rendered.value if proven(image)}
    images = tuple(image if proven(image) else by_reference.get(image.reference, image) for image in recorded or rendered.value)
    doubtful = [image.reference for image in images if not proven(image)]
    if doubtful or not images:
        what = f"the digest of {listed(doubtful)} is not known" if doubtful else f"no image of release {release.name} is known"
        return Absent(what, clears="Name images by digest in the manifests, or let Backout watch the next release while it is live.")
    evidence = (record.evidence, rendered.evidence) if isinstance(record, Known) else (rendered.evidence,)
    return Derived(images, evidence)


def labels_key(release: Release, image: Image) -> Key[ImageConfig]:
    """The fact that tells what an image of the release, whose digest is known, says of itself."""
    if image.of_machines:
        return keys.machine_image(release.target, release.key, release.handle)
    return keys.image_config(str(image.exact))


def built_from(case: Case) -> tuple[Source, ...]:
    """What the suspect's own images come from: source repository and revision as each says, and the image itself by its digest; () where that is not known.

    An image that the goal runs too tells nothing about what was changed: half the applications of a cluster share a sidecar.
    """
    if case.suspect is None or case.goal is None:
        return ()
    new, old = exact_images(case, case.suspect), exact_images(case, case.goal)
    if isinstance(new, Absent) or isinstance(old, Absent):
        return ()
    shared = {image.digest for image in old.value}
    found: list[Source] = []
    for image in new.value:
        if image.digest is None or image.digest in shared:
            continue
        config = case.facts.read(labels_key(case.suspect, image))
        if isinstance(config, Known) and config.value.repository and config.value.revision:
            found.append(Source(repository=config.value.repository, path="", revision=config.value.revision))
        found.append(Source(repository=image.repository, path="", revision=image.digest))
    return tuple(dict.fromkeys(found))


def content_keys(target: TargetId, release: Release, facts: Facts | None = None) -> Iterator[Key[Any]]:
    """The facts that `content_of` reads; what was kept only where the facts that are there do not say how it renders today."""
    yield keys.record(target, release.key)
    images, manifests = keys.images(target, release.key, release.handle), keys.manifests(target, release.key, release.handle)
    yield images
    yield manifests
    if facts is None or _renders_not(facts, images) or _renders_not(facts, manifests):
        yield keys.kept_content(target, release.key)


def _renders_not(facts: Facts, key: Key[Any]) -> bool:
    """Whether it was asked for and could not be had."""
    return key in facts.known and isinstance(facts.read(key), Absent)


def content_of(facts: Facts, target: TargetId, release: Release) -> Content:
    """What a release that was live is made of: as it renders today, else as it rendered while it lived; with the digests that ran."""
    rendered, manifests = facts.read(keys.images(target, release.key, release.handle)), facts.read(keys.manifests(target, release.key, release.handle))
    record = facts.read(keys.record(target, release.key))
    found = Content(images=rendered.value if isinstance(rendered, Known) else None, rendered=manifests.value if isinstance(manifests, Known) else None)
    moved = isinstance(record, Known) and bool(record.value.moved)  # then it is not known which of two things was kept
    if (found.images is None or found.rendered is None) and not moved:
        kept = facts.read(keys.kept_content(target, release.key))
        found = kept.value if isinstance(kept, Known) else found
    ran = record.value.images or () if isinstance(record, Known) else ()
    if found.images is None:  # a hook's image runs in no pod that is seen, so what ran alone is not all
        return found
    by_reference = {image.reference: image for image in ran if proven(image)}
    return replace(found, images=tuple(image if image.digest else by_reference.get(image.reference, image) for image in found.images))


def desired_content_keys(target: TargetId) -> Iterator[Key[Any]]:
    """The facts that `desired_content` reads."""
    yield keys.desired_images(target)
    yield keys.desired_manifests(target)


def desired_content(facts: Facts, target: TargetId) -> Content:
    """What would be deployed if the delivery system were let."""
    images, manifests = facts.read(keys.desired_images(target)), facts.read(keys.desired_manifests(target))
    return Content(images=images.value if isinstance(images, Known) else None, rendered=manifests.value if isinstance(manifests, Known) else None)


def live_keys(case: Case) -> Iterator[Key[Any]]:
    """The fact that `live_already` reads, where nothing has to be deployed."""
    if not case.deploys:
        yield keys.state(case.target)


def live_already(case: Case, goal: Release) -> Finding:
    """What a question about deploying is answered with when the release is live already; unknown where that cannot be seen."""
    state = case.facts.read(keys.state(case.target))
    if isinstance(state, Absent):
        return doubt("Whether the release is live already is unknown", state, clears="Make the delivery system reachable.")
    if state.value.current is None or state.value.current.key != goal.key:
        return unknown(f"Release {goal.name} is not what is live now.", state.evidence, clears="Ask again; what runs has changed.")
    return passes(f"Release {goal.name} is live already: nothing is deployed.", state.evidence)


def goal_images_key(case: Case, goal: Release) -> Key[tuple[Image, ...]]:
    """How the goal release renders: one that was never live is in no history, so it is what is desired now."""
    forward = case.direction is Direction.FORWARD and not goal.handle
    return keys.desired_images(case.target) if forward else keys.images(case.target, goal.key, goal.handle)


def leftover_keys(case: Case, release: Release) -> Iterator[Key[Any]]:
    """The facts that `left_over` reads; our own record only where the delivery system cannot render that release any more."""
    rendered = keys.leftovers(case.target, release.handle)
    if not release.handle:  # nothing but our own record names it
        yield keys.record(case.target, release.key)
        yield keys.state(case.target)
        return
    yield rendered
    if rendered in case.facts.known and isinstance(case.facts.read(rendered), Absent):
        yield keys.record(case.target, release.key)
        yield keys.state(case.target)


def left_over(facts: Facts, target: TargetId, release: Release) -> Derived[tuple[ObjectRef, ...]] | Absent:
    """Objects that run now and that the release does not have: as rendered today, else by what was recorded while the release lived."""
    rendered = facts.read(keys.leftovers(target, release.handle)) if release.handle else Absent(f"release {release.name} is in no history")
    if isinstance(rendered, Known):
        return Derived(rendered.value, (rendered.evidence,))
    record, state = facts.read(keys.record(target, release.key)), facts.read(keys.state(target))
    if isinstance(record, Absent) or isinstance(state, Absent) or record.value.objects is None or record.value.moved:
        return rendered
    had = {one for one, _ in record.value.objects}
    return Derived(tuple(one for one in state.value.objects if one not in had), (state.evidence, record.evidence))


def proven(image: Image) -> bool:
    """Whether the image's digest is known in a way that counts."""
    return image.digest is not None and image.proof in PROOFS


def together(parts: Sequence[Finding]) -> Finding:
    """One finding out of several: the worst answer, the sentences of those that gave it, and the evidence of all. No part at all is unknown."""
    if not parts:
        return unknown("Nothing was looked at.", clears="Report this; it is a defect of Backout.")
    worst = max(part.answer for part in parts)
    speaking = [part for part in parts if part.answer is worst]
    return Finding(
        answer=worst,
        says=" ".join(dict.fromkeys(part.says for part in speaking if part.says)),
        clears=" ".join(dict.fromkeys(part.clears for part in speaking if part.clears)),
        evidence=tuple(dict.fromkeys(one for part in parts for one in part.evidence)),
        adds=tuple(dict.fromkeys(step for part in parts if part.answer is not Answer.BLOCK for step in part.adds)),
        instead=next((part.instead for part in speaking if part.instead), None),
        overridable=all(part.overridable for part in speaking),
        lines=tuple(dict.fromkeys(line for part in parts for line in part.lines)),
    )


def doubt(says: str, absent: Absent, *evidence: Evidence, clears: str) -> Finding:
    """The unknown that follows from an absent fact: `says` without its full stop, then the fact's own reason; its own way out comes first."""
    return unknown(f"{says}: {absent.why}.", *evidence, clears=absent.clears or clears)


def listed(names: Iterable[object], *, limit: int = 5) -> str:
    """`a, b, c and 4 more`: enough to act on, short enough to read."""
    every = [str(name) for name in names]
    rest = len(every) - limit
    return ", ".join(every[:limit]) + (f" and {rest} more" if rest > 0 else "")


def moment(at: datetime, now: datetime) -> str:
    """A time of day (UTC) on the same day, with its date otherwise."""
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S}"


def span(length: timedelta) -> str:
    """A length of time in its two largest units: `6 s`, `5 min 30 s`, `3 h 12 min`, `2 d 4 h`."""
    seconds = int(abs(length).total_seconds())
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def told_anywhere(setting: Mapping[str, Json], flag: str) -> bool:
    """Whether the flag is true anywhere in a remembered setting, whatever the system wraps it in."""
    return any((name == flag and value is True) or (isinstance(value, Mapping) and told_anywhere(value, flag)) for name, value in setting.items())
