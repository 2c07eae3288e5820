"""What the manifests of two revisions say about the way back, without a delivery system: rules that need nothing else are asked as for a live release.

The facts that a delivery system would tell are made of the manifests: the older revision is the release to go back to, the newer one what runs. What
nobody can know from Git, such as whether a deploy prunes, is asked both ways, and where the answers differ it is said.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from service.domain import keys
from service.domain.derived import listed
from service.domain.facts import Evidence, Facts, Key, Known
from service.domain.keys import Owner, TargetState
from service.domain.manifest_change import Manifests, Placed, images_of, objections
from service.domain.model import ObjectRef, Release, Source, TargetId, Way
from service.domain.policy import TargetPolicy
from service.domain.pull_request import Found
from service.domain.rule import Case
from service.domain.rules import prune_deletes_no_data
from service.domain.verdict import Answer, Finding

TARGET = TargetId("git", "manifests")
ASKED = (prune_deletes_no_data.RULE,)
"""The rules of the live verdict that manifests alone can answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """What was found in the manifests, and remarks. `same_images`: all was read, and both revisions run the same images."""

    found: tuple[Found, ...] = ()
    remarks: tuple[str, ...] = ()
    same_images: bool = False


def review(manifests: Manifests, *, old: str, new: str, revisions: tuple[str, str], prunes: bool | None, today: date) -> Reviewed:
    """Judge the manifests. `old` and `new` are how a person named the revisions, `revisions` their commits."""
    found = [
        *(Found(rule="manifests_not_read", answer=Answer.UNKNOWN, path=one.path, line=0, says=f"Not read: {one.why}.", do=one.do) for one in manifests.unread),
        *(
            Found(rule=one.rule, answer=one.answer, path=one.at.path, line=one.at.line, says=one.says, why=one.why, do=one.do, objects=_name(one.at))
            for one in objections(manifests, old, new, prunes=prunes)
        ),
        *_left_over(manifests, old, new, revisions, prunes=prunes, today=today),
        *_twice(manifests.old, old),
        *_twice(manifests.new, new),
    ]
    before, after = images_of(manifests.old), images_of(manifests.new)
    left, came = sorted(set(before) - set(after)), sorted(set(after) - set(before))
    images = f"images changed: {listed(left) or 'none'} → {listed(came) or 'none'}" if left or came else "the images are the same"
    counts = f"{manifests.folder}: {len(manifests.old)} object{'' if len(manifests.old) == 1 else 's'} in {old}, {len(manifests.new)} in {new}; {images}."
    if left or came:
        counts += " What they bring, migrations for example, stands in the repositories that they are built from."
    alike = [f"{listed(manifests.alike)}: rendered by a tool, not read, and the same in both."] if manifests.alike else []
    return Reviewed(found=tuple(found), remarks=(counts, *alike), same_images=before == after and bool(before) and not manifests.unread)


def _name(one: Placed) -> tuple[str, ...]:
    return (str(one.rendered.object),)


def _twice(side: Sequence[Placed], revision: str) -> Iterator[Found]:
    seen: dict[ObjectRef, Placed] = {}
    for one in side:
        ref = one.rendered.object
        first = seen.setdefault(ref, one)
        if ref.name and first is not one and first.rendered.digest != one.rendered.digest:
            says = f"{ref} stands here and in {first.path}:{first.line}, differently."
            yield Found(
                rule="manifests_not_read", answer=Answer.UNKNOWN, path=one.path, line=one.line, says=says, why="Which of the two is deployed is not known.",
                do=f"Name the folder that is deployed as one: --manifests DIR. This is how it stands in {revision}.",
            )  # fmt: skip


def _left_over(manifests: Manifests, old: str, new: str, revisions: tuple[str, str], *, prunes: bool | None, today: date) -> Iterator[Found]:
    """The rules, asked for what only the newer side has: with pruning, without, or both where nobody said."""
    had = {one.rendered.object for one in manifests.old}
    left = {one.rendered.object: one for one in manifests.new if one.rendered.object not in had and one.rendered.object.name and not one.facets.hook}
    if not left:
        return
    now = datetime.combine(today, time(), UTC)
    answers = {
        pruning: {rule.name: rule.ask(_case(manifests, left, old, new, revisions, now, prunes=pruning)) for rule in ASKED}
        for pruning in ((True, False) if prunes is None else (prunes,))
    }
    for rule in ASKED:
        given = [(pruning, one[rule.name]) for pruning, one in answers.items()]
        yield from _told(rule.name, given, left)


def _told(rule: str, given: Sequence[tuple[bool, Finding]], left: dict[ObjectRef, Placed]) -> Iterator[Found]:
    worst = max((finding for _, finding in given), key=lambda one: one.answer)
    if worst.answer is Answer.PASS:
        return
    at = next(one for ref, one in left.items() if str(ref) in worst.says)
    place = Found(rule=rule, answer=worst.answer, path=at.path, line=at.line, says=_of(worst.says), do=worst.clears, objects=tuple(map(str, left)))
    if len(given) > 1 and worst.answer is Answer.BLOCK:
        other = next(finding for pruning, finding in given if not pruning)
        says = f"If deploys prune: {_lower(_of(worst.says))}"
        why = f"Without pruning: {_lower(_of(other.says))} Which of the two it is does not stand in the manifests."
        do = f"{worst.clears} Or say in .backout.yaml whether deploys prune: `manifests: {{prune: false}}` or true."
        place = replace(place, answer=Answer.UNKNOWN, says=says, why=why, do=do)
    yield place


def _of(says: str) -> str:
    """A rule speaks of releases; here they are revisions."""
    return says.replace("to release ", "to ").replace("beside release ", "beside ")


def _lower(says: str) -> str:
    return says[:1].lower() + says[1:]


def _case(manifests: Manifests, left: dict[ObjectRef, Placed], old: str, new: str, revisions: tuple[str, str], now: datetime, *, prunes: bool) -> Case:
    suspect, goal = _release(manifests, new, revisions[1], now), _release(manifests, old, revisions[0], now)
    evidence = Evidence(source="git", what=f"{manifests.folder} at {revisions[0][:7]} and {revisions[1][:7]}", read_at=now)

    def known(value: Any) -> Known[Any]:
        return Known(value=value, evidence=evidence, good_for=timedelta(days=1))

    deleted = tuple(ref for ref, one in left.items() if not (prunes and one.facets.kept))
    state = TargetState(
        target=TARGET,
        uid="",
        title=manifests.folder,
        project="",
        current=suspect,
        history=(suspect, goal),
        desired_revision=revisions[1],
        auto_sync=False,
        remembered={},
        owner=Owner(kind="nobody"),
        running=None,
        health="",
        spec_digest="",
        objects=tuple(one.rendered.object for one in manifests.new),
        prune=prunes,
    )
    facts: dict[Key[Any], Known[Any]] = {
        keys.state(TARGET): known(state),
        keys.leftovers(TARGET, goal.handle): known(deleted),
        keys.confirmations(TARGET, deleted): known(tuple(ref for ref in deleted if left[ref].facets.confirms)),
    }
    return Case(target=TARGET, policy=TargetPolicy(), suspect=suspect, goal=goal, way=Way.ROLLBACK, facts=Facts(known=facts, now=now))


def _release(manifests: Manifests, name: str, revision: str, now: datetime) -> Release:
    source = Source(repository="", path=manifests.folder, revision=revision)
    return Release(target=TARGET, key=revision, handle=name, sources=(source,), started_at=now, deployed_at=now)
