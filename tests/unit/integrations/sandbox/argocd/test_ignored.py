"""Which fields a rule covers, and what becomes of them."""

from typing import Any

import pytest

from integrations.sandbox.argocd.ignored import paths_for, with_live
from integrations.sandbox.argocd.objects import Key

CHILD = Key("argoproj.io", "Application", "argocd", "child")
ENABLED = ["spec", "syncPolicy", "automated", "enabled"]


def app(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"ignoreDifferences": list(rules)}}


@pytest.mark.parametrize(
    ("about", "covered"),
    [
        ({"group": "argoproj.io", "kind": "Application"}, True),
        ({"group": "*", "kind": "*"}, True),
        ({"group": "argoproj.io", "kind": "Application", "name": "child", "namespace": "argocd"}, True),
        ({"group": "argoproj.io", "kind": "Application", "name": "other"}, False),
        ({"group": "argoproj.io", "kind": "Application", "namespace": "team"}, False),
        ({"kind": "Application"}, False),
        ({"group": "argoproj.io", "kind": "AppProject"}, False),
    ],
)
def test_a_rule_is_about_what_it_names(about: dict[str, Any], covered: bool) -> None:
    rule = {**about, "jsonPointers": ["/spec/syncPolicy/automated/enabled"]}

    assert paths_for(app(rule), CHILD) == ([ENABLED] if covered else [])


def test_fields_are_named_by_pointer_or_by_a_plain_jq_path() -> None:
    rule = {"group": "*", "kind": "*", "jsonPointers": ["/a/b"], "jqPathExpressions": [".spec.syncPolicy.automated.enabled"]}

    assert paths_for(app(rule), CHILD) == [["a", "b"], ENABLED]


@pytest.mark.parametrize(
    ("wanted", "live", "left"),
    [
        ({"spec": {"on": True, "x": 1}}, {"spec": {"on": False}}, {"spec": {"on": False, "x": 1}}),
        ({"spec": {"on": True}}, {"spec": {}}, {"spec": {}}),
        ({"spec": {}}, {"spec": {"on": False}}, {"spec": {"on": False}}),
        ({}, {"spec": {"on": False}}, {"spec": {"on": False}}),
        ({}, {}, {}),
        ({}, {"spec": "odd"}, {}),
    ],
)
def test_an_ignored_field_is_as_it_lives_absent_included(wanted: dict[str, Any], live: dict[str, Any], left: dict[str, Any]) -> None:
    before = str(wanted)

    assert with_live(wanted, live, [["spec", "on"]]) == left
    assert str(wanted) == before
