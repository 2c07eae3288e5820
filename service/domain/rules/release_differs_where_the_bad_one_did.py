"""The release differs wherever a held one differed from the release that was good: bad is what differs, not a commit id (promise 7).

Problem: A README commit on top of the bad release has a new commit id and is exactly as bad.

Read: What each held release had of its own (images by digest, rendered manifests), and what the release to go to is made of.

Decides: It has no trait of a held release: pass. It still has one, or is held itself: no. What cannot be compared, such as an image named by a tag alone:
unknown.

Fix: Push a release that changes what was bad, name its images by digest, or end the hold by hand (`backout holds end`).

Declare: Nothing: what was bad was seen.

Elsewhere: Decided where manifests or images can be read; else unknown.
"""

from collections.abc import Iterable
from typing import Any

from service.domain import keys
from service.domain.derived import content_keys, content_of, desired_content, desired_content_keys, doubt
from service.domain.facts import Absent, Evidence, Key, Known
from service.domain.holding import Standing, judge
from service.domain.rule import Case, Direction, Rule
from service.domain.verdict import Finding, blocks, passes, unknown


def needs(case: Case) -> Iterable[Key[Any]]:
    """What is held away with what was bad in it, and what the release is made of."""
    yield keys.held(case.target)
    yield from _contents(case)


def ask(case: Case) -> Finding:
    """No trait of a held release passes; one is a no; what cannot be compared is unknown."""
    goal = case.goal
    if goal is None:
        return unknown("Which release to go to is not known, so nothing can be compared.", clears="Push a fix.")
    held = case.facts.read(keys.held(case.target))
    if isinstance(held, Absent):
        return doubt("What is held away is unknown", held, clears="Make Backout's store reachable.")
    proof = (held.evidence, *_evidence(case))
    if any(one.key == goal.key for one in held.value):
        return blocks(f"Release {goal.title} itself is held away.", *proof, clears="Push a fix, or end the hold.")
    content = content_of(case.facts, case.target, goal) if goal.handle else desired_content(case.facts, case.target)
    judged = judge(content, held.value)
    says = f"Release {goal.name}: {judged.says}."
    match judged.standing:
        case Standing.CANDIDATE:
            return passes(says, *proof)
        case Standing.STILL_BAD:
            return blocks(says, *proof, clears="Push a release without that, or end the hold by hand.")
        case _:
            return unknown(says, *proof, clears="Name images by digest and make the manifests readable, or deploy it by hand.")


def _contents(case: Case) -> Iterable[Key[Any]]:
    if case.goal is None:
        return ()
    return content_keys(case.target, case.goal, case.facts) if case.goal.handle else desired_content_keys(case.target)


def _evidence(case: Case) -> tuple[Evidence, ...]:
    facts = (case.facts.read(key) for key in _contents(case))
    return tuple(fact.evidence for fact in facts if isinstance(fact, Known))


RULE = Rule(
    name="release_differs_where_the_bad_one_did",
    question="Does the release differ wherever a held one differed from the good one?",
    ask=ask,
    needs=needs,
    directions=frozenset({Direction.FORWARD}),
)
