from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.domain.correlation import Match, Suspicion, find_suspect, find_target, ignored, onset
from service.domain.model import ObjectRef, Release, TargetId
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


# --- suspect and goal --------------------------------------------------------------------------------------------------

THIRD = made.release("40", version="v2.4.5", revision="e" * 40, started_at=made.STARTED - timedelta(days=2))
HISTORY = (made.SUSPECT, made.GOAL, THIRD)
GOOD = {made.GOAL.key: made.record(made.GOAL, made.OLD_IMAGE), THIRD.key: made.record(THIRD, made.OLD_IMAGE)}


def suspicion(history: Sequence[Release] = HISTORY, **changes: Any) -> Suspicion:
    values: dict[str, Any] = {"began": made.ONSET, "window": WINDOW, "records": GOOD}
    return find_suspect(history, **(values | changes))


def test_the_live_release_of_the_window_is_blamed_and_the_last_good_one_is_the_goal() -> None:
    found = suspicion()
    assert (found.suspect, found.goal, found.suspects) == (made.SUSPECT, made.GOAL, (made.SUSPECT,))
    assert found.says == "release 42 (v2.5.0 · c0ffee0) is under suspicion; back to release 41 (v2.4.6 · beef000)"


def test_every_deploy_in_the_window_is_listed_newest_first() -> None:
    close = replace(made.GOAL, started_at=made.STARTED - timedelta(minutes=30))
    assert suspicion((made.SUSPECT, close, THIRD)).suspects == (made.SUSPECT, close)


@pytest.mark.parametrize(("before", "blamed"), [(WINDOW, True), (WINDOW + timedelta(seconds=1), False)])
def test_a_deploy_long_before_the_trouble_is_hardly_the_cause(before: timedelta, blamed: bool) -> None:
    found = suspicion((replace(made.SUSPECT, started_at=made.ONSET - before), THIRD))
    assert (found.suspect is not None) is blamed
    assert blamed or found.says == "no deploy within 2 h before the trouble began: a deploy is hardly the cause"


def test_a_deploy_after_the_trouble_began_is_not_the_cause() -> None:
    found = suspicion(began=made.STARTED - timedelta(seconds=1))
    assert (found.suspect, found.goal) == (None, None)
    assert found.says.endswith("went live after the trouble began: it is not the cause")


def test_a_deploy_in_the_very_moment_of_the_trouble_may_be_the_cause() -> None:
    assert suspicion(began=made.STARTED).suspect == made.SUSPECT


def test_a_release_that_was_never_seen_healthy_is_skipped() -> None:
    records = GOOD | {made.GOAL.key: made.record(made.GOAL, None, healthy_for=timedelta(0))}
    assert suspicion(records=records).goal == THIRD


def test_a_release_that_backout_made_is_never_suspect() -> None:
    found = suspicion(made_by_backout=["42"])
    assert (found.suspect, found.goal) == (None, None)
    assert "was put there by Backout" in found.says


def test_a_held_release_is_never_a_goal() -> None:
    assert suspicion(held=[made.GOAL.key]).goal == THIRD
    assert suspicion(held=[made.GOAL.key, THIRD.key]).goal is None


def test_the_same_release_deployed_twice_is_no_goal_for_itself() -> None:
    again = replace(made.SUSPECT, handle="41")
    assert suspicion((made.SUSPECT, again, THIRD)).goal == THIRD


@pytest.mark.parametrize("health", ["Degraded", "Missing"])
def test_a_release_that_was_seen_unhealthy_is_skipped(health: str) -> None:
    records = GOOD | {made.GOAL.key: made.record(made.GOAL, None, last_health=health)}
    assert suspicion(records=records).goal == THIRD


def test_a_release_seen_good_comes_before_a_newer_one_never_seen() -> None:
    assert suspicion(records={THIRD.key: GOOD[THIRD.key]}).goal == THIRD


def test_without_any_record_the_release_before_is_the_goal() -> None:
    assert suspicion(records={}).goal == made.GOAL


def test_without_an_earlier_release_the_suspect_stands_alone() -> None:
    found = suspicion((made.SUSPECT,))
    assert (found.suspect, found.goal) == (made.SUSPECT, None)
    assert "no earlier release is known to go back to" in found.says


def test_a_person_who_asks_without_an_incident_leaves_what_is_live() -> None:
    found = suspicion((replace(made.SUSPECT, started_at=made.NOW - timedelta(days=90)), made.GOAL), began=None)
    assert found.suspect is not None
    assert found.goal == made.GOAL


def test_an_empty_history_blames_nobody() -> None:
    assert suspicion(()).says == "the delivery system remembers no release of this target"
