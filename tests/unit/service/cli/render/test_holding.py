from service.cli import render
from tests.unit.service.cli import documents
from tests.unit.service.cli.documents import NOW
from tests.unit.service.cli.render.printing import Golden, printed


def test_a_hold_says_what_it_keeps_away_what_it_waits_for_and_what_changed() -> None:
    shown = printed(render.hold(documents.full_hold(), NOW))
    for part in (
        "57 (v3.1.0): only it has registry.example/shop/web@sha256:4",
        "desired a1b2c3d4e5f6: release a1b2c3d is desired now",
        "2 reviews came and went",
    ):
        assert part in shown
    assert "changed the hold mark was taken off the target" in shown
    ended = printed(render.hold(documents.ended_hold(), NOW))
    assert "ended by user:alice: v3.1.1 is live" in ended
    assert "backout holds end" not in ended
    assert "it was not looked at yet" in printed(render.hold(documents.hold(), NOW))


def test_a_hold_says_what_a_person_can_do_next() -> None:
    full = documents.full_hold()
    shown = printed(render.hold({**full, "reviews": 1, "watch": {**full["watch"], "operation": documents.OPERATION}}, NOW))
    assert f"last tried: backout audit {render.short(documents.OPERATION)}" in shown
    assert f"To end it by hand: backout holds end {render.short(full['id'])} --reason …" in shown
    assert "1 review came and went" in shown


def test_orphaned_marks_stand_below_the_holds_with_what_takes_them_off() -> None:
    for holds in ([], [documents.hold()]):
        shown = printed(render.holds({"holds": holds, "orphans": [documents.orphan()]}, NOW))
        assert f"orphaned: {documents.TARGET} carries a hold mark" in shown
        assert "argocd app patch orders" in shown


def test_holds_say_when_they_are_looked_at_and_how_they_ended(golden: Golden) -> None:
    golden("holds", render.holds({"holds": [documents.hold(), documents.ended_hold()]}, NOW), render.hold_ended(documents.ended_hold()))
