from typing import Any

from integrations.delivery.argocd.client import ServerRefusedError
from integrations.delivery.argocd.steps import patches

MARK = "operation=op_1 suspect=a goal=b"
ANNOTATION = "backout.dev/hold"


def app(annotations: dict[str, str] | None = None, info: list[dict[str, str]] | None = None) -> dict[str, Any]:
    return {"metadata": {"uid": "u-1", "resourceVersion": "7", "annotations": annotations or {}}, "spec": {"info": info or []}}


def test_a_mark_beside_other_annotations_is_one_addition() -> None:
    assert patches.add_mark(app({"team": "shop"}), MARK) == [{"op": "add", "path": patches.POINTER, "value": MARK}]


def test_the_first_annotation_is_only_written_while_the_object_is_the_one_that_was_read() -> None:
    test, add = patches.add_mark(app(), MARK)
    assert test == {"op": "test", "path": patches.RESOURCE_VERSION, "value": "7"}
    assert add["value"] == {ANNOTATION: MARK}


def test_only_our_own_mark_is_removed_wherever_it_stands() -> None:
    marked = app({ANNOTATION: MARK}, [{"name": "owner", "value": "shop"}, {"name": ANNOTATION, "value": MARK}])
    removed = [one["path"] for one in patches.remove_mark(marked, MARK) if one["op"] == "remove"]
    assert removed == [patches.POINTER, "/spec/info/1"]
    assert patches.remove_mark(app({ANNOTATION: "another"}), MARK) == []


def refused(words: str, code: int = 3) -> ServerRefusedError:
    return ServerRefusedError(words, status=400, code=code, words=words)


def test_a_spec_that_renders_to_nothing_valid_is_told_from_other_refusals() -> None:
    assert patches.renders_not(refused("application spec for web is invalid: InvalidSpecError"))
    assert not patches.renders_not(refused("Patch type 'x' is not supported"))


def test_a_failed_test_says_that_nothing_was_written() -> None:
    assert "nothing was written" in patches.refusal_of(refused("testing value /metadata/uid failed: test failed", 2))
