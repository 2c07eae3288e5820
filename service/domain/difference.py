"""What one release has that another has not (promise 7): bad is what differs in images and rendered manifests, not a commit id. Pure.

A release's content is told by digests alone: manifests may hold secrets, and nothing of their text is kept. A field is named by its path, which is a
name that somebody chose and no secret; its value is not shown.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from service.domain.model import Image, ObjectRef

NOT_THERE = ""
"""The digest of a field, or of a whole object, that a release does not have."""

SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Facets:
    """What a manifest says in words that a comparison needs, beside its digests: names, versions and sizes, and no value.

    `images` are those of its containers. `refers` are the ConfigMaps, Secrets and claims (kind, name) without which its pods do not start. `hook`: it is
    applied at a moment of a deploy and is no part of what stands. `kept`: pruning leaves it; `confirms`: a person has to confirm that it is pruned.
    `replaced`: it is deleted and made anew where Kubernetes refuses a change. `frozen`: its data may never change. `asks` is the size in bytes of a claim.
    `serves` and `stores` are the versions of a CustomResourceDefinition. `points`: what it deploys stands elsewhere (an Application, a HelmRelease).
    """

    images: tuple[str, ...] = ()
    refers: tuple[tuple[str, str], ...] = ()
    hook: bool = False
    kept: bool = False
    confirms: bool = False
    replaced: bool = False
    frozen: bool = False
    asks: int | None = None
    serves: tuple[str, ...] = ()
    stores: str = ""
    points: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """One object as a release renders it. `digest` covers all of it; `fields` is path -> digest of the value, images of containers left out.

    `hidden`: the system masks values of it (a Secret), so that equal digests do not prove equal values. `facets` is None where only digests were kept.
    """

    object: ObjectRef
    digest: str
    fields: Mapping[str, str] = field(default_factory=dict)
    hidden: bool = False
    facets: Facets | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a release is made of. None = nobody could find out; an empty tuple = there is none."""

    images: tuple[Image, ...] | None
    rendered: tuple[Rendered, ...] | None

    @property
    def objects(self) -> frozenset[ObjectRef] | None:
        """Every object that it renders."""
        return None if self.rendered is None else frozenset(one.object for one in self.rendered)


@dataclass(frozen=True, slots=True, order=True)
class Trait:
    """One thing that a release has and another has not: an image, or a field of an object with its value's digest.

    `path` is "" for an image (then `value` is `repository@digest`, or the reference where no digest is known) and for an object that is there or not.
    """

    subject: str
    path: str
    value: str

    def __str__(self) -> str:
        if self.subject == _IMAGE:
            return self.value
        what = f"{self.subject} {self.path}" if self.path else self.subject
        return f"{what} (left out)" if self.value == NOT_THERE else what


_IMAGE = "image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What one release has that the other has not. `doubts` are sentences on what could not be compared: with any, an empty answer proves nothing.

    `masked` are objects whose values nobody may see: whether they differ as well is not known.
    """

    images: frozenset[Trait]
    fields: frozenset[Trait]
    doubts: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()

    @property
    def traits(self) -> frozenset[Trait]:
        """Images and fields together."""
        return self.images | self.fields

    @property
    def says(self) -> str:
        """What differs, in a few words: images first."""
        return _listed(sorted(self.traits)) if self.traits else "; ".join(self.unseen) or "nothing differs"

    @property
    def unseen(self) -> tuple[str, ...]:
        """What could not be compared, masked values among it."""
        return (*self.doubts, *((f"values of {', '.join(self.masked[:SHOWN])} are masked",) if self.masked else ()))


class Likeness(StrEnum):
    """How much of what only the bad release has a candidate still has."""

    SAME = "same"
    PARTLY = "partly"
    NONE = "none"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A candidate held against what only the bad release has. `kept` are those traits that it still has, `shed` those that it has not."""

    likeness: Likeness
    says: str
    kept: tuple[Trait, ...] = ()
    shed: tuple[Trait, ...] = ()


def own(release: Content, other: Content) -> Own:
    """What the release has that the other has not; what it lacks counts too, as a trait with the value `NOT_THERE`."""
    doubts: list[str] = []
    images: frozenset[Trait] = frozenset()
    if release.images is None or other.images is None:
        doubts.append("the images are not known")
    else:
        images = _images(release.images) - _images(other.images)
    fields: frozenset[Trait] = frozenset()
    masked: tuple[str, ...] = ()
    if release.rendered is None or other.rendered is None:
        doubts.append("the manifests are not known")
    else:
        mine, theirs = _fields(release.rendered), _fields(other.rendered)
        gone = dict.fromkeys(theirs.keys() - mine.keys(), NOT_THERE)
        fields = frozenset(Trait(subject, path, value) for (subject, path), value in {**mine, **gone}.items() if theirs.get((subject, path)) != value)
        masked = tuple(sorted({str(one.object) for one in (*release.rendered, *other.rendered) if one.hidden}))
    return Own(images=images, fields=fields, doubts=tuple(doubts), masked=masked)


def recognise(candidate: Content, bad: Own) -> Recognised:
    """Whether the candidate still has what only the bad release has (`own(bad, goal)`).

    Unknown wherever a part cannot be compared and the rest does not settle it: what was found kept is kept, whatever else could not be seen.
    """
    kept, shed, doubts = _sorted_out(candidate, bad)
    if not bad.traits:
        why = "; ".join(bad.unseen) or "the bad release differs in nothing from the release that was good"
        return Recognised(likeness=Likeness.UNKNOWN, says=f"what was bad cannot be told: {why}")
    if kept and not shed:
        return Recognised(likeness=Likeness.SAME, says=f"it still has all that was bad: {_listed(kept)}", kept=kept)
    if kept:
        return Recognised(likeness=Likeness.PARTLY, says=f"it still has {_listed(kept)}, and differs in {_listed(shed)}", kept=kept, shed=shed)
    if doubts:
        return Recognised(likeness=Likeness.UNKNOWN, says=f"whether it still has what was bad is not known: {'; '.join(doubts)}", shed=shed)
    return Recognised(likeness=Likeness.NONE, says=f"it differs where the bad release differed: {_listed(shed)}", shed=shed)


def _sorted_out(candidate: Content, bad: Own) -> tuple[tuple[Trait, ...], tuple[Trait, ...], tuple[str, ...]]:
    """Traits kept, traits shed, and why some are neither."""
    kept: set[Trait] = set()
    shed: set[Trait] = set()
    doubts = list(bad.doubts)
    if bad.images and candidate.images is None:
        doubts.append("its images are not known")
    elif candidate.images is not None:
        has = _images(candidate.images)
        dark = {image.repository for image in candidate.images if image.digest is None}
        for trait in bad.images:
            repository = _repository(trait)
            if trait in has:
                kept.add(trait)
            elif repository in dark or ("@" not in trait.value and any(image.repository == repository for image in candidate.images)):
                doubts.append(f"the digest of its image {repository} is not known")
            else:
                shed.add(trait)
    if bad.fields and candidate.rendered is None:
        doubts.append("its manifests are not known")
    elif candidate.rendered is not None:
        found = _fields(candidate.rendered)
        for trait in bad.fields:
            (kept if found.get((trait.subject, trait.path), NOT_THERE) == trait.value else shed).add(trait)
    return tuple(sorted(kept)), tuple(sorted(shed)), tuple(dict.fromkeys(doubts))


def leftovers(suspect: Content, goal: Content) -> tuple[ObjectRef, ...] | None:
    """Objects that the suspect renders and the goal does not; None when either is not known."""
    if suspect.objects is None or goal.objects is None:
        return None
    return tuple(sorted(suspect.objects - goal.objects, key=str))


Digests = tuple[tuple[ObjectRef, str], ...]
"""Each object of a release with the digest of its whole manifest: what is kept of it in its record."""


def digests(rendered: Iterable[Rendered]) -> Digests:
    """The objects with their digests, in a stable order."""
    return tuple(sorted(((one.object, one.digest) for one in rendered), key=str))


def fingerprint(images: Sequence[Image] | None, objects: Digests | None) -> str:
    """One digest over image digests and rendered manifests: equal content, equal fingerprint, whatever the commit. "" while either is not known."""
    if images is None or objects is None or any(image.digest is None for image in images):
        return ""
    body = [sorted({str(image.exact) for image in images}), sorted([str(one), digest] for one, digest in objects)]
    return "sha256:" + hashlib.sha256(json.dumps(body, separators=(",", ":")).encode()).hexdigest()


def changed(before: Digests, now: Digests) -> tuple[ObjectRef, ...]:
    """Objects that differ as a whole between two times at which the same release was rendered: a mutable chart version, a moved branch."""
    old, new = dict(before), dict(now)
    return tuple(sorted((one for one in old.keys() | new.keys() if old.get(one) != new.get(one)), key=str))


def _images(images: Iterable[Image]) -> frozenset[Trait]:
    return frozenset(Trait(_IMAGE, "", image.exact or image.reference) for image in images)


def _repository(trait: Trait) -> str:
    return Image(reference=trait.value).repository


def _fields(rendered: Iterable[Rendered]) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for one in rendered:
        subject = str(one.object)
        found[subject, ""] = "there"
        found.update({(subject, path): digest for path, digest in one.fields.items()})
    return found


def _listed(traits: Sequence[Trait]) -> str:
    ordered = [*(one for one in traits if one.subject == _IMAGE), *(one for one in traits if one.subject != _IMAGE)]
    shown = ", ".join(str(one) for one in ordered[:SHOWN])
    return shown + (f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else "")
