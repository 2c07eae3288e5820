"""What a release declares of itself, in the labels of its images, about going back over its changes of the schema. Pure.

A declaration can be stale or wrong: it may say no by itself, and it never makes a yes of what text and databases say. Nothing declared says nothing.

- `backout.dev/schema-version` is the schema that an image was made for, `backout.dev/min-compatible-schema` the oldest one whose code may run on what it
  leaves behind: numbers, with dots where they have several parts.
- `backout.dev/phase` is none, expand, migrate or contract; `backout.dev/data-change` is none, append or rewrite.
- `backout.dev/never-rollback` holds the reason.
"""

import re
from collections.abc import Iterator, Sequence

from service.domain.facts import Known
from service.domain.keys import ImageConfig, TargetState
from service.domain.model import Release, Way
from service.domain.secrets import clear
from service.domain.verdict import Answer, Finding, blocks, passes, unknown, warns

VERSION, FLOOR, PHASE, DATA, NEVER = (f"backout.dev/{name}" for name in ("schema-version", "min-compatible-schema", "phase", "data-change", "never-rollback"))
HOTFIX = "ship a hotfix"
NAMES = frozenset({FLOOR, PHASE, DATA, NEVER})
"""What may stand on a target itself too, as annotations."""
LONGEST = 200
"""Characters of a label that are repeated."""

Labels = Sequence[Known[ImageConfig]]


def declared(new: Labels, old: Labels, newer: Release, older: Release) -> tuple[Finding, ...]:
    """What the images of the newer release that the older one does not have declare; a pass where that is nothing but harmless. () when nothing is declared."""
    return tuple(finding for image in new for finding in _of(image, old, newer, older))


def declared_on_target(state: Known[TargetState], old: Labels, newer: Release, older: Release) -> tuple[Finding, ...]:
    """What annotations of the target itself declare. They outlive the version that they were written for, so nothing in them counts for going back."""
    config = ImageConfig(labels=state.value.declares, revision="", repository="")
    said = Known(value=config, evidence=state.evidence, good_for=state.good_for)
    found = _of(said, old, newer, older, who=f"The target {state.value.target}", what="annotation")
    return tuple(one for one in found if one.answer is not Answer.PASS)


def _of(image: Known[ImageConfig], old: Labels, newer: Release, older: Release, *, who: str = "", what: str = "label") -> Iterator[Finding]:
    who = who or f"Release {newer.name}"
    said = {name: value.strip() for name, value in image.value.labels.items() if name in NAMES}
    proof = image.evidence
    hotfix = f"Correct the {what} where it is wrong. Else {HOTFIX} on {newer.name}."
    if NEVER in said:
        says = f"{who} declares that nobody goes back over it: {shown(said[NEVER])}."
        yield blocks(says, proof, clears=hotfix, instead=Way.HOTFIX, overridable=True)
    if FLOOR in said:
        yield from _floor(said[FLOOR], image, old, newer, older, who=who, what=what)
    match said.get(PHASE):
        case None:
            pass
        case "contract":
            says = f"{who} declares the phase contract: it takes away what older releases use."
            yield blocks(says, proof, clears=hotfix, instead=Way.HOTFIX, overridable=True)
        case "migrate":
            says = f"{who} declares the phase migrate: data is on its way from the old shape to the new one."
            yield warns(says, proof, clears=f"A person says that release {older.name} finds its data where it looks.")
        case "none" | "expand":
            yield passes(f"{who} declares the phase {said[PHASE]}.", proof)
        case other:
            yield _strange(PHASE, other, image, who)
    match said.get(DATA):
        case None:
            pass
        case "rewrite":
            says = f"{who} declares that it rewrites data, which going back does not undo."
            yield blocks(says, proof, clears=hotfix, instead=Way.HOTFIX, overridable=True)
        case "none" | "append":
            yield passes(f"{who} declares {'no change of data' if said[DATA] == 'none' else 'that it only adds data'}.", proof)
        case other:
            yield _strange(DATA, other, image, who)


def _floor(text: str, image: Known[ImageConfig], old: Labels, newer: Release, older: Release, *, who: str, what: str) -> Iterator[Finding]:
    floor = _number(text)
    if floor is None:
        yield _strange(FLOOR, text, image, who)
        return
    versions = [(one, one.value.labels[VERSION].strip()) for one in old if VERSION in one.value.labels and _same_source(one, image)]
    if not versions:
        says = f"{who} declares that code for schema {text} or newer may run on what it leaves; release {older.name} does not say its schema."
        yield unknown(says, image.evidence, clears=f"Build images with the label {VERSION}.")
    for one, told in versions:
        version = _number(told)
        if version is None:
            yield _strange(VERSION, told, one, f"Release {older.name}")
        elif version < floor:
            says = f"{who} declares that code older than schema {text} may not run any more, and release {older.name} was made for {told}."
            clears = f"Correct the {what} where it is wrong. Else {HOTFIX} on {newer.name}."
            yield blocks(says, image.evidence, one.evidence, clears=clears, instead=Way.HOTFIX, overridable=True)
        else:
            yield passes(f"{who} declares that schema {told} of release {older.name} is new enough.", image.evidence, one.evidence)


def _same_source(one: Known[ImageConfig], other: Known[ImageConfig]) -> bool:
    """A target's own declaration is about each of its images."""
    return not other.value.repository or one.value.repository == other.value.repository


def _strange(label: str, text: str, image: Known[ImageConfig], who: str) -> Finding:
    says = f"{who} declares {label} as {shown(text) or 'nothing'}, which is not understood."
    return unknown(says, image.evidence, clears="Correct that label; docs/databases.md lists what it may say.")


def shown(text: str) -> str:
    """A label is written by others: bounded, without secrets, and nothing in it that a terminal obeys."""
    return "".join(letter for letter in clear(text[:LONGEST])[0] if letter.isprintable()).rstrip(".")


def _number(text: str) -> tuple[int, ...] | None:
    """`84`, `1.12`; parts that end in zeros are alike."""
    if not re.fullmatch(r"\d{1,18}(\.\d{1,18}){0,3}", text, re.ASCII):
        return None
    parts = [int(one) for one in text.split(".")]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return tuple(parts)
