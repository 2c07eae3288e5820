from typing import Any

import pytest

from integrations.delivery.argocd.owners import fields

HELD = {
    "f:metadata": {"f:labels": {}},
    "f:spec": {"f:source": {"f:repoURL": {}, "f:targetRevision": {}}, "f:syncPolicy": {"f:automated": {"f:prune": {}}, "f:syncOptions": {}}},
}


@pytest.mark.parametrize(
    ("path", "held"),
    [
        (("spec", "source", "targetRevision"), True),
        (("spec", "source", "path"), False),
        (("spec", "syncPolicy", "automated", "prune"), True),
        (("spec", "syncPolicy", "automated", "enabled"), False),
        (("spec", "syncPolicy", "syncOptions", "0"), True),
        (("status",), False),
    ],
)
def test_a_manager_holds_exactly_its_fields(path: tuple[str, ...], *, held: bool) -> None:
    assert fields.owned(HELD, path) is held


@pytest.mark.parametrize("automated", [{}, {".": {}}])
def test_an_empty_object_is_held_without_what_others_add_to_it(automated: dict[str, Any]) -> None:
    assert not fields.owned({"f:spec": {"f:syncPolicy": {"f:automated": automated}}}, fields.ENABLED)


def test_a_list_is_held_as_a_whole() -> None:
    assert fields.owned({"f:spec": {"f:sources": {}}}, ("spec", "sources", "1", "targetRevision"))


def test_whoever_holds_nothing_of_the_spec_does_not_write_it() -> None:
    assert fields.owns_spec(HELD)
    assert not fields.owns_spec({"f:status": {}})
    assert not fields.owned({}, fields.ENABLED)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "sources", "1", "ref"), "values"),
        (("spec", "sources", "2", "ref"), None),
        (("spec", "sources", "x"), None),
        (("spec", "sources", "0", "a", "b"), None),
    ],
)
def test_what_stands_at_a_field_is_found_in_lists_too(path: tuple[str, ...], value: str | None) -> None:
    assert fields.found_at({"spec": {"sources": [{"ref": "", "a": "c"}, {"ref": "values"}]}}, path) == value


def test_pointers_are_unescaped_and_a_jq_filter_names_no_field() -> None:
    assert fields.covered(("a/b", "c"), {"jsonPointers": ["/a~1b"]})
    assert not fields.covered(("spec",), {"jqPathExpressions": [".spec | .x", "", "spec", ".spec.source."]})


def test_no_fields_would_be_covered_by_anything_so_nobody_asks_for_none() -> None:
    assert fields.revisions_of({}) == (("spec", "source", "targetRevision"),)
