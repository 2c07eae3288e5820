import re

from service.cli import render
from tests.unit.service.cli import documents
from tests.unit.service.cli.documents import NOW
from tests.unit.service.cli.render.printing import Golden, printed


def test_targets_are_listed_worst_first(golden: Golden) -> None:
    golden("targets", render.targets(documents.targets(), NOW))


def test_an_incomplete_list_of_targets_says_so_before_anything_else() -> None:
    trouble = {**documents.targets()["instances"][0], "complete": False, "trouble": "the token may not list applications"}
    shown = printed(render.targets(documents.targets(complete=False, instances=[trouble], targets=[]), NOW))
    assert shown.startswith("! prod: the token may not list applications; a target that is missing below may exist all the same")
    assert "no targets that this token may see" in shown


def test_an_instance_that_does_not_tell_its_changes_is_named_with_the_reason() -> None:
    down = {**documents.targets()["instances"][0], "stream": "down", "stream_trouble": "the proxy cut it off"}
    shown = printed(render.targets(documents.targets(instances=[down]), NOW))
    assert shown.startswith("! prod does not tell its changes, so they are noticed by the next list only: the proxy cut it off")


def test_a_list_that_is_incomplete_for_no_named_reason_says_so_too() -> None:
    assert printed(render.targets(documents.targets(complete=False), NOW)).startswith("! not every instance could be listed")


def test_what_runs_is_the_version_that_was_seen_live_else_tags_or_the_beginning_of_a_digest() -> None:
    many = [f"r.example.com:5000/a:{tag}" for tag in ("v1", "v2", "v1", "v3")]
    seen = documents.target("seen", images=["b:v9"])
    others = [documents.target(name, images=images, live=None) for name, images in (("a", many), ("b", ["b"]), ("c", []))]
    shown = printed(render.targets(documents.targets(targets=[seen, *others]), NOW))
    assert "v2.4.6  3 d" in re.sub(" +", "  ", shown).replace("3  d", "3 d")
    assert "v1, v2 +1" in shown
    assert "v9" not in shown


def test_promise_13_a_target_that_is_disarmed_says_until_when() -> None:
    until = "2026-05-04T17:03:00Z"
    calm = printed(render.targets({"targets": [documents.target("cart", disarmed_until=until)], "complete": True}, NOW))
    assert "disarmed until 17:03 UTC" in calm
    assert "no incident" not in calm
    burning = printed(render.targets({"targets": [documents.target("cart", disarmed_until=until, incident="inc_" + "1" * 32)], "complete": True}, NOW))
    assert "incident inc_11111111" in burning
    assert "disarmed until" in burning
    check = printed(render.check(documents.check(disarmed_until=until), NOW))
    assert "disarmed until 17:03 UTC: Backout rolled it back by itself; until then a person decides" in check
