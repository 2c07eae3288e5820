from typing import Any

import pytest

from service.domain.rules.limits_allow_acting import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, world


def ask(of: World) -> Finding:
    return RULE.ask(of.gathered_case(RULE))


def test_no_act_of_our_own_in_the_way_passes() -> None:
    finding = ask(world())
    assert finding.answer is Answer.PASS
    assert finding.evidence[0].what == str(made.LIMITS)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"made_by_backout": ("42",)}, "Release 42 (v2.5.0 · c0ffee0) was put there by Backout: going back from a rollback is for a person."),
        ({"held": ("key-41",)}, "Release 41 (v2.4.6 · beef000) is held away from prod:checkout."),
        ({"alive": ("op_7",)}, "Another operation is alive on prod:checkout: op_7."),
    ],
    ids=["made by Backout", "held", "alive"],
)
def test_our_own_doing_that_speaks_against_it_is_a_no(limits: dict[str, Any], says: str) -> None:
    finding = ask(world().tell(made.LIMITS, made.limits(**limits)))
    assert (finding.answer, finding.says) == (Answer.BLOCK, says)
    assert finding.clears


def test_every_limit_that_stands_against_it_is_named() -> None:
    finding = ask(world().tell(made.LIMITS, made.limits(held=("key-41",), alive=("op_7",))))
    assert "held away" in finding.says
    assert "op_7" in finding.says


@pytest.mark.parametrize("limits", [{"made_by_backout": ("41",)}, {"held": ("key-42", "key-40")}, {"automatic_rollbacks": 3, "disarmed": "twice"}])
def test_what_concerns_other_releases_or_only_automation_does_not_stop_a_person(limits: dict[str, Any]) -> None:
    assert ask(world().tell(made.LIMITS, made.limits(**limits))).answer is Answer.PASS


@pytest.mark.parametrize(
    "broken", [world().hide(made.LIMITS), world().age(made.LIMITS), world(suspect=None), world(goal=None)], ids=["absent", "old", "no suspect", "no goal"]
)
def test_every_doubt_is_unknown(broken: World) -> None:
    assert ask(broken).answer is Answer.UNKNOWN


def test_it_holds_for_people_too() -> None:
    assert (RULE.for_automatic, RULE.needs_incident) == (False, False)


EXAMPLES: made.Examples = {
    "nothing of our own is in the way": world(),
    "the goal release is held away": world().tell(made.LIMITS, made.limits(held=("key-41",))),
    "the suspect is a rollback of ours": world().tell(made.LIMITS, made.limits(made_by_backout=("42",))),
    "the store is away": world().hide(made.LIMITS),
}
