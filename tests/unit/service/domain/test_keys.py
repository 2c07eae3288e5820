import inspect
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from service.domain import keys
from service.domain.facts import Evidence, Facts, Key, Known
from service.domain.model import ObjectRef, TargetId
from service.domain.own_statements import Texts
from tests.unit.service.domain import made

CHECKOUT, ORDERS = TargetId("prod", "checkout"), TargetId("prod", "orders")
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
LABELS = (("app", "checkout"), ("severity", "critical"))

MADE: dict[str, tuple[Key[Any], Key[Any]]] = {
    "state": (keys.state(CHECKOUT), keys.state(ORDERS)),
    "window": (keys.window(CHECKOUT), keys.window(ORDERS)),
    "acts": (keys.acts(CHECKOUT), keys.acts(ORDERS)),
    "pods": (keys.pods(CHECKOUT), keys.pods(ORDERS)),
    "workloads": (keys.workloads(CHECKOUT), keys.workloads(ORDERS)),
    "workloads_in": (keys.workloads_in("prod", "home", ()), keys.workloads_in("staging", "home", ())),
    "own_pipeline": (keys.own_pipeline(CHECKOUT, "k", "41"), keys.own_pipeline(CHECKOUT, "k", "42")),
    "configs_left": (keys.configs_left(CHECKOUT, "k", "41"), keys.configs_left(CHECKOUT, "k", "42")),
    "server_groups": (keys.server_groups(CHECKOUT), keys.server_groups(ORDERS)),
    "permissions": (keys.permissions(CHECKOUT), keys.permissions(ORDERS)),
    "images": (keys.images(CHECKOUT, "key-41", "41"), keys.images(CHECKOUT, "key-42", "42")),
    "desired_images": (keys.desired_images(CHECKOUT), keys.desired_images(ORDERS)),
    "manifests": (keys.manifests(CHECKOUT, "key-41", "41"), keys.manifests(CHECKOUT, "key-42", "42")),
    "desired_manifests": (keys.desired_manifests(CHECKOUT), keys.desired_manifests(ORDERS)),
    "confirmations": (keys.confirmations(CHECKOUT, (made.CONFIG_MAP,)), keys.confirmations(CHECKOUT, ())),
    "leftovers": (keys.leftovers(CHECKOUT, "41"), keys.leftovers(CHECKOUT, "42")),
    "rollouts": (keys.rollouts(CHECKOUT), keys.rollouts(ORDERS)),
    "rollouts_back": (keys.rollouts_back(CHECKOUT, "key-41", "41"), keys.rollouts_back(CHECKOUT, "key-42", "42")),
    "record": (keys.record(CHECKOUT, "key-41"), keys.record(CHECKOUT, "key-42")),
    "kept_content": (keys.kept_content(CHECKOUT, "key-41"), keys.kept_content(CHECKOUT, "key-42")),
    "baseline": (keys.baseline(CHECKOUT, NOON), keys.baseline(CHECKOUT)),
    "limits": (keys.limits(CHECKOUT), keys.limits(ORDERS)),
    "held": (keys.held(CHECKOUT), keys.held(ORDERS)),
    "regions_beside": (keys.regions_beside(CHECKOUT), keys.regions_beside(ORDERS)),
    "sharing": (keys.sharing(CHECKOUT), keys.sharing(ORDERS)),
    "manifest": (keys.manifest("r/a@sha256:1"), keys.manifest("r/a@sha256:2")),
    "image_config": (keys.image_config("r/a@sha256:1"), keys.image_config("r/a@sha256:2")),
    "machine_image": (keys.machine_image(CHECKOUT, "key-41", "41"), keys.machine_image(CHECKOUT, "key-42", "42")),
    "catalog": (keys.catalog("orders"), keys.catalog("payments")),
    "catalog_then": (keys.catalog_then(CHECKOUT, "key-41", "orders"), keys.catalog_then(CHECKOUT, "key-42", "orders")),
    "statements": (keys.statements("orders"), keys.statements("payments")),
    "statements_then": (keys.statements_then(CHECKOUT, "key-41", "orders"), keys.statements_then(CHECKOUT, "key-42", "orders")),
    "prepared": (keys.prepared("orders", "sha256:1", Texts(("SELECT a FROM b",))), keys.prepared("orders", "sha256:2", Texts(("SELECT a FROM b",)))),
    "left_rows": (keys.left_rows("orders", ()), keys.left_rows("payments", ())),
    "source_change": (keys.source_change("r", "old", "new"), keys.source_change("r", "new", "old")),
    "alert_rule": (keys.alert_rule("HighErrorRate", LABELS), keys.alert_rule("HighErrorRate", ())),
    "alert_now": (keys.alert_now("HighErrorRate", LABELS), keys.alert_now("HighErrorRate", ())),
    "series": (keys.series("up", LABELS), keys.series("up")),
}
"""Each constructor with two subjects that must not be taken for each other."""

SIFTING = {keys.step_wise, keys.machines}
CONSTRUCTORS = {name: one for name, one in vars(keys).items() if inspect.isfunction(one) and one.__module__ == keys.__name__ and one not in SIFTING}
VALUES = {name: one for name, one in vars(keys).items() if is_dataclass(one) and one.__module__ == keys.__name__}


def test_every_constructor_is_looked_at() -> None:
    assert MADE.keys() == CONSTRUCTORS.keys()


def test_no_two_constructors_make_the_same_kind() -> None:
    assert len({one.kind for one, _ in MADE.values()}) == len(MADE)


@pytest.mark.parametrize("name", MADE)
def test_the_same_question_is_the_same_key_and_another_subject_is_another(name: str) -> None:
    one, other = MADE[name]
    again = CONSTRUCTORS[name](*(one.subject if isinstance(one.subject, tuple) else (one.subject,)))
    assert (again, hash(again)) == (one, hash(one))
    assert one != other
    assert one.kind == other.kind


@pytest.mark.parametrize("name", MADE)
def test_a_fact_about_one_subject_is_none_about_another(name: str) -> None:
    one, other = MADE[name]
    facts = Facts({one: Known(value=1, evidence=Evidence(source="test", what=str(one), read_at=made.NOW), good_for=made.FOR)}, made.NOW)
    assert isinstance(facts.read(one), Known)
    assert not isinstance(facts.read(other), Known)


@pytest.mark.parametrize("name", MADE)
def test_a_key_names_its_subject_for_a_person(name: str) -> None:
    one, other = MADE[name]
    assert str(one).startswith(f"{one.kind} of ")
    assert str(one) != str(other)


def test_a_key_reads_as_a_sentence() -> None:
    assert str(keys.state(CHECKOUT)) == "state of prod:checkout"
    assert str(keys.alert_now("HighErrorRate", LABELS)) == "alert state of HighErrorRate, {app=checkout, severity=critical}"
    assert str(keys.series("up")) == "series of up"


@pytest.mark.parametrize("value", VALUES.values(), ids=list(VALUES))
def test_values_are_plain_and_nobody_changes_them_later(value: Any) -> None:
    one = object.__new__(value)
    assert not hasattr(one, "__dict__")
    for field in fields(value):
        with pytest.raises(FrozenInstanceError):
            setattr(one, field.name, None)


@pytest.mark.parametrize("value", VALUES.values(), ids=list(VALUES))
def test_values_are_made_by_name_so_that_nothing_is_confused(value: Callable[..., object]) -> None:
    assert {one.kind for one in inspect.signature(value).parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}


def test_what_an_image_or_a_rule_does_not_say_is_empty_and_no_guess() -> None:
    config = keys.ImageConfig(labels={}, revision="", repository="")
    rule = keys.AlertRule(name="a", query="up == 0", hold=made.FOR, keep_firing=made.FOR)
    change = keys.SourceChange(repository="r", old="a", new="b", files=(), has_code=False)
    assert (config.version, rule.comparison, rule.expression, change.dialect, change.backwards) == ("", "", "", "", False)
    assert keys.Owner(kind="nobody").reverts is False
    assert keys.FileChange(path="a.sql", change="added").text is None


def test_only_rollouts_of_argo_roll_out_in_steps() -> None:
    rollout, other = made.step_wise(), ObjectRef(group="apps", kind="Rollout", namespace="shop", name="checkout")
    assert keys.step_wise((made.CONFIG_MAP, rollout, other)) == (rollout,)


@pytest.mark.parametrize(
    ("current", "aborted", "promoted", "under_way"),
    [("good", False, True, False), ("bad", False, False, True), ("bad", True, False, False)],
)
def test_what_is_neither_promoted_nor_aborted_is_under_way(current: str, aborted: bool, promoted: bool, under_way: bool) -> None:
    rollout = made.rollout(stable="good", current=current, aborted=aborted)
    assert (rollout.promoted, rollout.under_way) == (promoted, under_way)
