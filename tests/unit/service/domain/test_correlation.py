from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.domain.correlation import MONIKER, Match, find_target, ignored, named, names_of, objects_named, onset, same_cluster
from service.domain.model import ObjectRef, TargetId
from service.domain.policy import AlertMapping
from tests.unit.service.domain import made

CHECKOUT, TEAM, CART, STAGE = (TargetId.parse(text) for text in ("prod:checkout", "prod:team-a/checkout", "prod:cart", "stage:checkout"))
WINDOW = timedelta(hours=2)


def match(labels: Mapping[str, str], known: Sequence[TargetId] = (CHECKOUT, CART), mapping: Sequence[AlertMapping] = (), index: Any = None) -> Match:
    return find_target(made.episode(labels), known=known, mapping=mapping, index=index or {})


# --- alerts that are no incident --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [{"alertname": "Watchdog"}, {"alertname": "InfoInhibitor"}, {"severity": "none"}, {"severity": "info"}, {"backout": "never", "severity": "page"}],
    ids=["watchdog", "inhibitor", "none", "info", "never"],
)
def test_signs_of_life_and_notes_are_ignored_with_a_reason(labels: Mapping[str, str]) -> None:
    assert ignored(made.episode(labels))


@pytest.mark.parametrize("labels", [{}, {"severity": "page"}, {"severity": "critical"}, {"backout": "auto"}, {"alertname": "HighErrorRate"}])
def test_everything_else_is_looked_at(labels: Mapping[str, str]) -> None:
    assert ignored(made.episode(labels)) == ""


# --- alert to target ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        {"backout_target": "prod:checkout"},
        {"backout_target": "nonsense"},
        {"argocd_app": "checkout"},
        {"argocd_app": "checkout", "argocd_app_namespace": "team-a"},
        {"argocd_app": "checkout", "argocd_app_namespace": "argocd"},
        {"argocd_app": "checkout", "argocd_instance": "stage"},
        {"team": "shop", "app": "cart"},
        {"team": "shop", "app": "cart", "argocd_app": ""},
        {"team": "other"},
        {},
    ],
    ids=str,
)
def test_the_few_ids_that_an_alert_may_mean_lead_to_the_same_answer_as_all_targets(labels: Mapping[str, str]) -> None:
    everything = (CHECKOUT, TEAM, CART, STAGE)
    mapping = [AlertMapping(labels={"team": "shop", "app": "*"}, target="prod:{app}"), AlertMapping(labels={"team": "shop"}, target="prod:checkout")]
    few = named(made.episode(labels), mapping=mapping, instances={"prod", "stage"})
    assert len(few) <= 4
    assert match(labels, [one for one in everything if str(one) in few], mapping) == match(labels, everything, mapping)


def test_an_explicit_label_names_the_target() -> None:
    found = match({"backout_target": "prod:checkout"})
    assert (found.target, found.rung, found.says) == (CHECKOUT, "label", "the alert's labels name prod:checkout")


def test_the_delivery_systems_label_names_the_target() -> None:
    assert match({"argocd_app": "cart"}).target == CART


def test_an_application_outside_the_usual_namespace_is_told_apart() -> None:
    both = (CHECKOUT, TEAM)
    assert match({"argocd_app": "checkout", "argocd_app_namespace": "team-a"}, both).target == TEAM
    assert match({"argocd_app": "checkout", "argocd_app_namespace": "argocd"}, both).target == CHECKOUT
    assert match({"argocd_app": "checkout"}, both).target == CHECKOUT


def test_the_same_name_in_two_instances_is_not_guessed() -> None:
    found = match({"argocd_app": "checkout"}, (CHECKOUT, STAGE))
    assert (found.target, found.candidates) == (None, (CHECKOUT, STAGE))
    assert found.says == "the alert's labels fit 2 targets: prod:checkout, stage:checkout"


def test_the_instance_label_tells_two_instances_apart() -> None:
    assert match({"argocd_app": "checkout", "argocd_instance": "stage"}, (CHECKOUT, STAGE)).target == STAGE


def test_the_operators_mapping_fills_placeholders_from_labels() -> None:
    mapping = [AlertMapping(labels={"team": "shop", "app": "*"}, target="prod:{app}")]
    found = match({"team": "shop", "app": "cart"}, mapping=mapping)
    assert (found.target, found.rung) == (CART, "mapping")


@pytest.mark.parametrize(
    "labels", [{"team": "other", "app": "cart"}, {"team": "shop"}, {"team": "shop", "app": "nothing"}], ids=["value", "missing", "no such target"]
)
def test_a_mapping_that_does_not_fit_names_nothing(labels: Mapping[str, str]) -> None:
    mapping = [AlertMapping(labels={"team": "shop", "app": "*"}, target="prod:{app}")]
    assert match(labels, mapping=mapping).target is None


def test_a_mappings_star_asks_for_the_label_and_a_value_for_that_value() -> None:
    mapping = [AlertMapping(labels={"app": "*"}, target="prod:cart")]
    assert match({"app": "anything"}, mapping=mapping).target == CART
    assert match({"other": "x"}, mapping=mapping).target is None


def test_the_first_mapping_that_fits_wins() -> None:
    mapping = [AlertMapping(labels={"app": "*"}, target="prod:cart"), AlertMapping(labels={"app": "*"}, target="prod:checkout")]
    assert match({"app": "x"}, mapping=mapping).target == CART


def deployment(name: str = "web") -> ObjectRef:
    return ObjectRef(group="apps", kind="Deployment", namespace="shop", name=name)


def test_an_object_that_one_target_has_names_it() -> None:
    found = match({"namespace": "shop", "deployment": "web"}, index={deployment(): (CHECKOUT,)})
    assert (found.target, found.rung) == (CHECKOUT, "resources")


def test_an_object_of_two_targets_is_not_guessed() -> None:
    found = match({"namespace": "shop", "deployment": "web"}, index={deployment(): (CHECKOUT, CART)})
    assert (found.target, found.candidates) == (None, (CART, CHECKOUT))


def test_two_objects_of_the_same_target_agree() -> None:
    service = ObjectRef(group="", kind="Service", namespace="shop", name="front")
    index = {deployment(): (CHECKOUT,), service: (CHECKOUT,)}
    assert match({"namespace": "shop", "deployment": "web", "service": "front"}, index=index).target == CHECKOUT


def test_an_object_without_its_namespace_names_nothing() -> None:
    assert match({"deployment": "web"}, index={deployment(): (CHECKOUT,)}).target is None


def test_a_higher_rung_with_a_hit_ends_the_climb() -> None:
    found = match({"argocd_app": "cart", "namespace": "shop", "deployment": "web"}, index={deployment(): (CHECKOUT,)})
    assert (found.target, found.rung) == (CART, "label")


def test_an_ambiguous_rung_ends_the_climb_too() -> None:
    found = match({"argocd_app": "checkout", "namespace": "shop", "deployment": "web"}, (CHECKOUT, STAGE), index={deployment(): (CART,)})
    assert found.target is None


def test_an_alert_that_leads_nowhere_says_so() -> None:
    found = match({"alertname": "HighErrorRate"})
    assert (found.target, found.rung, found.candidates) == (None, "", ())
    assert found.says == "no label, no mapping and no known object leads from this alert to a target"


# --- onset -------------------------------------------------------------------------------------------------------------


def test_the_onset_is_the_conditions_own_start_where_it_is_told() -> None:
    assert onset(made.BEGAN, timedelta(minutes=5), made.ONSET) == made.ONSET


def test_a_condition_that_began_when_the_alert_fired_needs_no_subtraction() -> None:
    assert onset(made.BEGAN, timedelta(seconds=30), made.BEGAN) == made.BEGAN


@pytest.mark.parametrize("active_at", [None, made.BEGAN + timedelta(seconds=1)], ids=["not told", "of a later firing"])
def test_the_onset_is_else_the_told_start_less_the_rules_for(active_at: datetime | None) -> None:
    assert onset(made.BEGAN, timedelta(seconds=30), active_at) == made.BEGAN - timedelta(seconds=30)


# --- Spinnaker's own names -----------------------------------------------------------------------------------------------

WEB, EAST, WEST = (TargetId.parse(text) for text in ("spin:k8s/shop/deployment/web", "spin:prod/us-east-1/web-main", "spin:prod/us-west-2/web-main"))
DEPLOYMENT = ObjectRef(group="apps", kind="Deployment", namespace="shop", name="web")
LISTED = {
    WEB: (*names_of("web", account="k8s"), DEPLOYMENT),
    EAST: names_of("web", account="prod", cluster="web-main", region="us-east-1"),
    WEST: names_of("web", account="prod", cluster="web-main", region="us-west-2"),
    CART: names_of("cart", account="prod"),
}


def by_names(labels: Mapping[str, str]) -> Match:
    wanted = objects_named(made.episode(labels))
    index = {one: tuple(target for target, objects in LISTED.items() if one in objects) for one in wanted}
    return match(labels, known=tuple(LISTED), index={one: targets for one, targets in index.items() if targets})


@pytest.mark.parametrize(
    ("labels", "target"),
    [
        ({"spinnaker_app": "cart"}, CART),
        ({"spinnaker_app": "web", "spinnaker_region": "us-west-2"}, WEST),
        ({"spinnaker_app": "web", "spinnaker_cluster": "web-main", "spinnaker_region": "us-east-1"}, EAST),
        ({"spinnaker_app": "web", "spinnaker_account": "k8s"}, WEB),
        ({"spinnaker_app": "web", "namespace": "shop", "deployment": "web"}, WEB),
        ({"namespace": "shop", "deployment": "web"}, WEB),
    ],
    ids=str,
)
def test_names_of_spinnakers_lead_to_the_one_target_that_has_them_all(labels: Mapping[str, str], target: TargetId) -> None:
    assert by_names(labels).target == target


def test_names_that_fit_several_targets_are_no_target_and_all_are_told() -> None:
    found = by_names({"spinnaker_app": "web", "spinnaker_cluster": "web-main"})
    assert found.target is None
    assert found.candidates == (EAST, WEST)


@pytest.mark.parametrize(
    "labels",
    [
        {"spinnaker_app": "gone", "namespace": "shop", "deployment": "web"},
        {"spinnaker_app": "web", "spinnaker_region": "mars", "namespace": "shop", "deployment": "web"},
        {"spinnaker_app": "cart", "spinnaker_account": "k8s"},
    ],
    ids=str,
)
def test_who_names_an_application_of_spinnakers_means_it_and_no_lower_rung_is_tried(labels: Mapping[str, str]) -> None:
    found = by_names(labels)
    assert found.target is None
    assert found.rung == "label"
    assert labels["spinnaker_app"] in found.says


def test_an_application_of_argo_cds_that_is_named_is_meant_and_not_spinnakers() -> None:
    assert by_names({"argocd_app": "cart", "spinnaker_app": "web", "spinnaker_account": "k8s"}).target == CART


def test_names_without_an_application_are_none() -> None:
    assert objects_named(made.episode({"spinnaker_cluster": "web-main", "spinnaker_account": "prod"})) == frozenset()
    assert names_of("") == names_of("", account="prod") == ()
    assert {one.group for one in names_of("web", account="prod")} == {MONIKER}


def test_the_same_cluster_in_another_region_shares_application_account_and_cluster() -> None:
    shared = {one: tuple(other for other in (WEB, WEST, CART) if one in LISTED[other]) for one in LISTED[EAST]}
    assert same_cluster(shared) == {WEST}
    assert same_cluster({one: others for one, others in shared.items() if one.kind != "account"}) == frozenset()
