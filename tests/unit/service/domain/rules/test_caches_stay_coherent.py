from dataclasses import replace

import pytest

from service.domain.model import Way
from service.domain.policy import Declarations
from service.domain.rules.caches_stay_coherent import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import world


def ask(cache: str | None) -> Finding:
    return RULE.ask(world(policy=replace(made.POLICY, declares=Declarations(cache=cache, says="backout.yaml:12"))).case())


@pytest.mark.parametrize(
    ("cache", "says"),
    [
        ("none", "Declared: it uses no cache (cache: none)."),
        ("versioned", "Declared: each release has its own cache keys (cache: versioned)."),
        ("compatible", "Declared: releases read each other's cached values (cache: compatible)."),
    ],
)
def test_a_declaration_that_caches_are_coherent_passes_and_is_quoted(cache: str, says: str) -> None:
    finding = ask(cache)
    assert (finding.answer, finding.says) == (Answer.PASS, says)
    assert (finding.evidence[0].source, finding.evidence[0].what) == ("backout.yaml:12", f"cache: {cache}")


def test_declared_incompatible_is_a_no_with_a_hotfix_instead() -> None:
    finding = ask("incompatible")
    assert (finding.answer, finding.instead) == (Answer.BLOCK, Way.HOTFIX)


def test_nothing_declared_is_unknown_and_says_what_to_declare() -> None:
    finding = ask(None)
    assert finding.answer is Answer.UNKNOWN
    assert finding.clears == "Declare cache for this target: none, versioned, compatible, incompatible."


@pytest.mark.parametrize("cache", ["", "yes", "None", "VERSIONED", "safe"])
def test_a_word_that_is_not_understood_is_unknown(cache: str) -> None:
    finding = ask(cache)
    assert (finding.answer, finding.says) == (Answer.UNKNOWN, f"The declaration cache: {cache} is not understood.")


def test_it_needs_no_fact_but_the_declaration() -> None:
    assert list(RULE.needs(world().case())) == []


EXAMPLES: made.Examples = {
    "each release has keys of its own": world(),
    "the old release would choke on the new one's entries": world(policy=replace(made.POLICY, declares=Declarations(cache="incompatible"))),
    "nobody declared anything": world(policy=replace(made.POLICY, declares=Declarations())),
}
