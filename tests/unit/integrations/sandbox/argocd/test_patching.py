import json
from typing import Any

import pytest

from integrations.sandbox.argocd.patching import merge, patch
from integrations.sandbox.argocd.status import RefusedError

APP: dict[str, Any] = {"spec": {"syncPolicy": {"automated": {"prune": True}, "syncOptions": ["a", "b"]}, "project": "default"}, "metadata": {"name": "web"}}


def json_patch(*steps: dict[str, Any]) -> dict[str, Any]:
    return patch(APP, json.dumps(steps), "json")


def test_a_merge_patch_merges_removes_and_replaces() -> None:
    merged = merge(APP, {"spec": {"syncPolicy": {"automated": None, "syncOptions": ["c"]}}, "metadata": {"labels": {"a": "1", "b": None}}})

    assert merged["spec"] == {"syncPolicy": {"syncOptions": ["c"]}, "project": "default"}
    assert merged["metadata"] == {"name": "web", "labels": {"a": "1"}}
    assert APP["spec"]["syncPolicy"]["automated"] == {"prune": True}


def test_every_json_patch_operation_does_its_work() -> None:
    patched = json_patch(
        {"op": "test", "path": "/spec/project", "value": "default"},
        {"op": "add", "path": "/spec/syncPolicy/automated/enabled", "value": False},
        {"op": "replace", "path": "/spec/project", "value": "team"},
        {"op": "remove", "path": "/spec/syncPolicy/syncOptions/0"},
        {"op": "add", "path": "/spec/syncPolicy/syncOptions/-", "value": "z"},
        {"op": "add", "path": "/spec/syncPolicy/syncOptions/0", "value": "y"},
        {"op": "copy", "from": "/metadata/name", "path": "/spec/copied"},
        {"op": "move", "from": "/spec/copied", "path": "/spec/moved"},
        {"op": "add", "path": "/metadata/example.org~1hold~0x", "value": "1"},
    )

    assert patched["spec"] == {
        "syncPolicy": {"automated": {"prune": True, "enabled": False}, "syncOptions": ["y", "b", "z"]},
        "project": "team",
        "moved": "web",
    }
    assert patched["metadata"] == {"name": "web", "example.org/hold~x": "1"}


FAILURES = [
    ({"op": "test", "path": "/spec/project", "value": "x"}, "testing value /spec/project failed: test failed"),
    ({"op": "test", "path": "/spec/syncPolicy/syncOptions/7", "value": "x"}, "testing value /spec/syncPolicy/syncOptions/7 failed: test failed"),
    ({"op": "test", "path": "/spec/absent", "value": True}, "testing value /spec/absent failed: test failed"),
    ({"op": "remove", "path": "/spec/nosuch"}, "error in remove for path: '/spec/nosuch': Unable to remove nonexistent key: nosuch: missing value"),
    ({"op": "replace", "path": "/spec/nosuch", "value": 1}, "replace operation does not apply: doc is missing key: /spec/nosuch: missing value"),
    ({"op": "add", "path": "/nosuch/below", "value": 1}, 'add operation does not apply: doc is missing path: "/nosuch/below": missing value'),
    ({"op": "replace", "path": "/spec/syncPolicy/syncOptions/9", "value": 1}, "invalid index referenced"),
    ({"op": "copy", "from": "/spec/nosuch", "path": "/spec/x"}, "missing value"),
    ({"op": "fly", "path": "/spec"}, "Unexpected kind: fly"),
]


@pytest.mark.parametrize(("step", "words"), FAILURES)
def test_a_step_that_does_not_apply_is_refused_as_unknown_error(step: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusedError) as caught:
        json_patch(step)

    assert caught.value.code == 2
    assert caught.value.message.startswith("error applying patch: ")
    assert caught.value.message.endswith(words)


@pytest.mark.parametrize(("text", "kind", "code"), [("{}", "strategic", 3), ("{", "merge", 2), ("[]", "merge", 2), ("{}", "json", 2)])
def test_a_patch_that_is_none_is_refused(text: str, kind: str, code: int) -> None:
    with pytest.raises(RefusedError) as caught:
        patch(APP, text, kind)

    assert caught.value.code == code


def test_an_empty_type_means_json_patch() -> None:
    assert patch(APP, "[]", "") == APP
