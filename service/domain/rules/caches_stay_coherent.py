"""Releases do not trip over each other's cache entries, as declared.

Proof by the difference between the releases and by samples of the cache comes with the rest of the verdict.

Problem: The new release wrote cache entries that the old one cannot read, or reads wrongly; no test shows it, for a test begins with an empty cache.

Read: Your declaration; nothing is derived yet.

Decides: No cache, keys of their own for each release, or values both can read: pass. Declared incompatible: no, with a hotfix instead. Nobody declared it:
unknown.

Fix: Give each release its own keys (a version in the prefix) and declare it.

Declare: `declares.cache`: `none`, `versioned`, `compatible` or `incompatible`.

Elsewhere: Declared everywhere.
"""

from service.domain.facts import Evidence
from service.domain.model import Way
from service.domain.rule import Case, Direction, Rule
from service.domain.verdict import Finding, blocks, passes, unknown, warns

COHERENT = {
    "none": "it uses no cache",
    "versioned": "each release has its own cache keys",
    "compatible": "releases read each other's cached values",
}


def ask(case: Case) -> Finding:
    """Read the declaration; what nobody declared, or in words that are not known, is unknown."""
    declares = case.policy.declares
    words = ", ".join((*COHERENT, "incompatible"))
    if declares.cache is None:
        return unknown("Nobody declared how releases of this target share a cache.", clears=f"Declare cache for this target: {words}.")
    evidence = Evidence(source=declares.says, what=f"cache: {declares.cache}", read_at=case.facts.now)
    if declares.cache in COHERENT:
        return passes(f"Declared: {COHERENT[declares.cache]} (cache: {declares.cache}).", evidence)
    if declares.cache == "incompatible" and case.direction is Direction.FORWARD:
        return warns(
            "Declared: releases cannot read each other's cached values; the new one would meet old entries.",
            evidence,
            clears="Give each release its own keys and declare it, or a person ticks it.",
        )
    if declares.cache == "incompatible":
        return blocks(
            "Declared: releases cannot read each other's cached values; the old one would meet new entries.",
            evidence,
            clears="Give each release its own keys and declare it, or ship a hotfix.",
            instead=Way.HOTFIX,
            overridable=True,
        )
    return unknown(f"The declaration cache: {declares.cache} is not understood.", evidence, clears=f"Declare one of {words}.")


RULE = Rule(name="caches_stay_coherent", question="Can both releases live with the same cache?", ask=ask)
