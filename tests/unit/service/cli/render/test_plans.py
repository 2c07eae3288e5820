from service.cli import render
from tests.unit.service.cli import documents
from tests.unit.service.cli.documents import NOW
from tests.unit.service.cli.render.printing import Golden, printed


def test_a_plan_shows_steps_findings_and_digest(golden: Golden) -> None:
    golden("plan", render.plan(documents.plan(), NOW))


def test_a_blocked_plan_says_that_it_is_not_carried_out_and_what_instead(golden: Golden) -> None:
    golden("plan-block", render.plan(documents.blocked_plan(), NOW))


def test_a_command_of_a_step_can_be_pasted_from_a_narrow_window() -> None:
    by_hand = 'argocd app patch catalog --type json --patch \'[{"op": "test", "path": "/spec/syncPolicy/automated", "value": {}}]\''
    shown = printed(render.plan(documents.plan(steps=[documents.step("stop_auto_sync", "Stop it", command=by_hand)]), NOW), columns=60)
    assert f"    by hand: {by_hand}" in shown.splitlines()


def test_a_plan_that_was_only_made_says_how_to_carry_it_out() -> None:
    assert printed(*render.next_of(documents.plan(must_name=["caches_stay_coherent"]))) == (
        f"To carry it out, naming caches_stay_coherent: backout rollback {documents.TARGET}\n"
    )
    assert "To carry it out: backout rollback" in printed(*render.next_of(documents.plan(must_name=[])))


def test_a_plan_that_cannot_be_carried_out_says_no_command() -> None:
    assert not list(render.next_of(documents.blocked_plan()))
    assert not list(render.next_of(documents.plan(steps=[])))
