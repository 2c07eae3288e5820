from dataclasses import replace

import pytest

from service.domain import keys
from service.domain.facts import Key
from service.domain.model import TargetId
from service.domain.policy import Declarations
from service.domain.rules.shared_services_are_untouched import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, world

CART = TargetId("prod", "cart")


def ask(of: World) -> Finding:
    return RULE.ask(of.gathered_case(RULE))


def declared(*names: str) -> World:
    return world(policy=replace(made.POLICY, declares=Declarations(shared_services=names, says="backout.yaml")))


def test_nothing_shared_and_declared_so_passes() -> None:
    finding = ask(world())
    assert (finding.answer, finding.says) == (Answer.PASS, "No object is shared (12 targets compared). Declared: nothing is shared.")
    assert "settings" in {one.source for one in finding.evidence}


def test_nobody_having_declared_anything_is_unknown_not_safe() -> None:
    finding = ask(world(policy=replace(made.POLICY, declares=Declarations(cache="none"))))
    assert finding.answer is Answer.UNKNOWN
    assert finding.says == "Nobody declared whether services, databases or queues are shared with other targets."
    assert "shared_services" in finding.clears


def test_an_object_in_another_targets_tree_is_a_warning_that_names_both() -> None:
    finding = ask(world().tell(made.SHARING, keys.Sharing(shared={made.CONFIG_MAP: (CART,)}, compared=12)))
    assert finding.answer is Answer.WARN
    assert finding.says == "Other targets have objects of prod:checkout: ConfigMap shop/flags (also prod:cart)."


def test_an_object_that_only_this_target_has_is_not_shared() -> None:
    assert ask(world().tell(made.SHARING, keys.Sharing(shared={made.CONFIG_MAP: ()}, compared=12))).answer is Answer.PASS


@pytest.mark.parametrize("text", ["SharedResourceWarning: ConfigMap/flags", "ConfigMap/flags is part of applications argocd/checkout and argocd/cart"])
def test_the_delivery_systems_own_warning_is_a_warning(text: str) -> None:
    finding = ask(world().tell(made.STATE, made.state(warnings=(text,))))
    assert (finding.answer, finding.says) == (Answer.WARN, f"The delivery system warns: {text}.")


def test_other_warnings_of_the_delivery_system_are_not_about_sharing() -> None:
    assert ask(world().tell(made.STATE, made.state(warnings=("OrphanedResourceWarning: 3 orphans",)))).answer is Answer.PASS


def test_declared_services_are_a_warning_with_a_step_each() -> None:
    finding = ask(declared("orders-db", "events"))
    assert finding.answer is Answer.WARN
    assert finding.says == "Declared as shared: orders-db, events; their other consumers were not asked."
    assert finding.adds == ("Tell the other consumers of orders-db before going back.", "Tell the other consumers of events before going back.")
    assert "backout.yaml" in {one.source for one in finding.evidence}


def test_a_warning_does_not_hide_what_is_not_known() -> None:
    assert ask(declared("orders-db").hide(made.SHARING)).answer is Answer.UNKNOWN


@pytest.mark.parametrize("key", [made.SHARING, made.STATE], ids=["sharing", "state"])
def test_what_nobody_could_read_is_unknown(key: Key[object]) -> None:
    assert ask(world().hide(key)).answer is Answer.UNKNOWN


def test_a_comparison_with_nobody_shows_nothing() -> None:
    assert ask(world().tell(made.SHARING, keys.Sharing(shared={}, compared=0))).answer is Answer.UNKNOWN


def test_a_comparison_with_one_target_is_a_comparison() -> None:
    assert ask(world().tell(made.SHARING, keys.Sharing(shared={}, compared=1))).answer is Answer.PASS


EXAMPLES: made.Examples = {
    "nothing is shared, seen and declared": world(),
    "a ConfigMap stands in two trees": world().tell(made.SHARING, keys.Sharing(shared={made.CONFIG_MAP: (CART,)}, compared=12)),
    "a database is declared as shared": declared("orders-db"),
    "nobody declared anything": world(policy=replace(made.POLICY, declares=Declarations(cache="none"))),
}
