from typing import Any

import pytest

from service.domain import keys
from service.domain.facts import Key
from service.domain.model import Way
from service.domain.rules.rollback_will_stay import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, world


def ask(of: World) -> Finding:
    return RULE.ask(of.gathered_case(RULE))


def with_state(**changes: Any) -> World:
    return world().tell(made.STATE, made.state(**changes))


def test_auto_sync_is_stopped_first_by_the_plan_and_the_sentence_says_what_it_was() -> None:
    finding = ask(world())
    assert finding.answer is Answer.PASS
    assert finding.says == "Nobody else writes the spec. Auto-sync is on with prune and self-heal; the plan stops it first and remembers the setting."
    assert finding.adds == ("Stop auto-sync of prod:checkout; it was automated with prune and self-heal.",)


@pytest.mark.parametrize(
    ("remembered", "says"),
    [
        ({}, "Auto-sync is on;"),
        ({"prune": True}, "Auto-sync is on with prune;"),
        ({"automated": {"selfHeal": True, "prune": False}}, "Auto-sync is on with self-heal;"),
        ({"spec": {"syncPolicy": {"automated": {"prune": True}}}}, "Auto-sync is on with prune;"),
        ({"prune": "true"}, "Auto-sync is on;"),
    ],
)
def test_prune_and_self_heal_are_named_only_when_they_are_on(remembered: dict[str, Any], says: str) -> None:
    assert says in ask(with_state(remembered=remembered)).says


def test_a_target_without_auto_sync_needs_no_step() -> None:
    finding = ask(with_state(auto_sync=False))
    assert (finding.answer, finding.says, finding.adds) == (Answer.PASS, "Nobody else writes the spec. Auto-sync is off.", ())


@pytest.mark.parametrize(("kind", "named"), [("applicationset", "The ApplicationSet shop"), ("parent", "The parent application shop"), ("kargo", "kargo shop")])
def test_an_owner_that_reverts_is_a_no_with_git_instead(kind: str, named: str) -> None:
    finding = ask(with_state(owner=keys.Owner(kind=kind, name="shop", reverts=True, says="it writes the whole spec")))
    assert (finding.answer, finding.instead) == (Answer.BLOCK, Way.GIT_REVERT)
    assert finding.says == f"{named} owns the spec of prod:checkout and would undo a rollback. It writes the whole spec."


def test_the_owners_fix_is_what_clears_it() -> None:
    finding = ask(with_state(owner=keys.Owner(kind="Flux", name="apps", reverts=True, fix="Suspend it.")))
    assert finding.clears == "Suspend it."


def test_an_owner_beside_the_first_counts_as_well() -> None:
    owner = keys.Owner(kind="Helm", says="Helm wrote it", others=(keys.Owner(kind="Flux", name="apps", reverts=True),))
    assert ask(with_state(owner=owner)).says.startswith("Flux apps owns the spec")
    owner = keys.Owner(kind="Helm", says="Helm wrote it", others=(keys.Owner(kind="image updater", says="an image updater writes it"),))
    assert ask(with_state(owner=owner)).says.startswith("Helm wrote it; an image updater writes it: they do not undo us.")


def test_an_owner_that_may_undo_it_at_an_act_of_its_own_is_a_warning_with_what_to_pause() -> None:
    finding = ask(with_state(owner=keys.Owner(kind="kargo", name="shop:prod", later=True, says="a promotion deploys", fix="Pause it.")))
    assert (finding.answer, finding.clears) == (Answer.WARN, "Pause it.")
    assert finding.says == "kargo shop:prod writes the spec of prod:checkout and may undo a change later. A promotion deploys."
    changed = with_state(owner=keys.Owner(kind="kargo", later=True))
    changed.way = Way.GIT_REVERT
    assert ask(changed).answer is Answer.PASS


@pytest.mark.parametrize(("way", "answer"), [(Way.PIN, Answer.BLOCK), (Way.ROLLBACK, Answer.PASS)])
def test_who_undoes_a_pin_alone_lets_a_rollback_be(way: Way, answer: Answer) -> None:
    changed = with_state(owner=keys.Owner(kind="parent", name="shop", reverts_pin=True))
    changed.way = way
    assert ask(changed).answer is answer


def test_a_pin_leaves_auto_sync_on_and_needs_it() -> None:
    pinned = with_state()
    pinned.way = Way.PIN
    finding = ask(pinned)
    assert (finding.answer, finding.adds) == (Answer.PASS, ())
    assert finding.says.endswith("Auto-sync stays on and deploys the pinned release.")
    pinned = with_state(auto_sync=False)
    pinned.way = Way.PIN
    assert (ask(pinned).answer, ask(pinned).instead) == (Answer.BLOCK, Way.ROLLBACK)


def test_an_undo_says_nothing_of_auto_sync_for_its_delivery_system_has_none() -> None:
    undo = with_state(auto_sync=False)
    undo.way = Way.UNDO
    assert (ask(undo).answer, ask(undo).says) == (Answer.PASS, "Nobody else writes the spec.")


def test_an_owner_that_lets_us_be_passes_and_is_named() -> None:
    finding = ask(with_state(owner=keys.Owner(kind="applicationset", name="shop", says="ApplicationSet shop ignores differences of this application")))
    assert finding.answer is Answer.PASS
    assert finding.says.startswith("ApplicationSet shop ignores differences of this application: it does not undo us.")


@pytest.mark.parametrize("way", [Way.GIT_REVERT, Way.HOTFIX])
def test_a_way_through_git_is_carried_out_by_the_owner(way: Way) -> None:
    changed = with_state(owner=keys.Owner(kind="applicationset", name="shop", reverts=True))
    changed.way = way
    finding = ask(changed)
    assert finding.answer is Answer.PASS
    assert finding.adds == ()


def test_a_hold_that_this_backout_does_not_know_is_a_no() -> None:
    finding = ask(with_state(marker="held by backout-blue"))
    assert (finding.answer, finding.says) == (Answer.BLOCK, "A hold that this Backout does not know is on the target: held by backout-blue.")


def test_the_marker_of_our_own_hold_is_no_hindrance() -> None:
    assert ask(with_state(marker="held").tell(made.LIMITS, made.limits(held=("key-40",)))).answer is Answer.PASS


def test_an_owner_of_no_known_kind_is_unknown() -> None:
    nobody_knows = keys.Owner(kind="", says="the record is missing")
    found = ask(with_state(owner=nobody_knows))
    assert (found.answer, found.says) == (Answer.UNKNOWN, "Who else writes the target's spec is unknown. The record is missing.")
    beside = keys.Owner(kind="applicationset", name="shop", reverts=True, others=(nobody_knows,))
    assert ask(with_state(owner=beside)).answer is Answer.BLOCK  # one that is known to undo it is worse than one that is not known


@pytest.mark.parametrize("key", [made.STATE, made.LIMITS], ids=["state", "limits"])
def test_what_nobody_could_read_is_unknown(key: Key[object]) -> None:
    assert ask(world().hide(key)).answer is Answer.UNKNOWN


@pytest.mark.parametrize("text", ["the application is being deleted", "the controller is told to skip this application: an operation would wait"])
def test_a_target_that_may_not_do_as_told_is_a_warning(text: str) -> None:
    finding = ask(with_state(warnings=(text,)))
    assert (finding.answer, finding.says) == (Answer.WARN, f"The delivery system may not do as told: {text}.")


@pytest.mark.parametrize("text", ["SyncError: one or more objects failed to apply", "OrphanedResourceWarning: 3 orphans"])
def test_conditions_of_the_resources_are_others_to_judge(text: str) -> None:
    assert ask(with_state(warnings=(text,))).answer is Answer.PASS


EXAMPLES: made.Examples = {
    "auto-sync is on and nobody else writes": world(),
    "an ApplicationSet writes the spec": with_state(owner=keys.Owner(kind="applicationset", name="shop", reverts=True, says="it writes the whole spec")),
    "a tool that may promote later": with_state(owner=keys.Owner(kind="kargo", name="shop", later=True, says="it writes when it promotes")),
    "a hold of somebody else": with_state(marker="operation=op_9"),
    "the delivery system is away": world().hide(made.STATE),
}
