from service.cli import render
from tests.unit.service.cli import documents
from tests.unit.service.cli.documents import NOW
from tests.unit.service.cli.render.printing import Golden, printed

LONG = "spinnaker:prod-k8s/checkout/deployment/checkout-api"


def test_operations_are_one_line_each(golden: Golden) -> None:
    listed = {"operations": [documents.waiting(), documents.ended(), documents.ended("not_recovered", mode="auto")]}
    golden("operations", render.operations(listed, NOW))


def test_a_long_target_leaves_room_for_what_is_said_of_it() -> None:
    rows = {"operations": [documents.operation(target=LONG, says="mode approve: every question has a yes; a person decides")]}
    fires = {"incidents": [documents.incident(target=LONG, same_cause=[{"id": "inc_2", "target": "prod:checkout", "state": "open"}])]}
    for shown, said in ((render.operations(rows, NOW), "question"), (render.incidents(fires, NOW), "prod:checkout")):
        text = printed(shown)
        assert said in text
        assert len(text.splitlines()) <= 6


def test_events_are_one_live_line_each(golden: Golden) -> None:
    golden("events", render.operation_head(documents.operation()), *(render.event(one) for one in documents.EVENTS[:5]))


def test_the_end_says_outcome_time_hold_and_where_the_story_is(golden: Golden) -> None:
    golden("ended", render.ended(documents.ended()), "", render.ended(documents.ended("refused", first_effect_at=None, hold=None, says="a column was dropped")))


def test_waiting_gives_the_commands_with_the_rules_to_name(golden: Golden) -> None:
    golden("waiting", render.waiting(documents.waiting(), NOW))


def test_an_override_is_shown_with_who_asks_and_how_to_confirm_it(golden: Golden) -> None:
    given = {**documents.waiting_for_another()["override"], "confirmed_by": "user:carol", "confirmed_because": "I looked"}
    golden(
        "override",
        render.plan(documents.overridable_plan(), NOW),
        "",
        render.waiting(documents.waiting_for_another(), NOW),
        "",
        render.ended(documents.ended(override=given)),
    )


def test_an_operation_in_its_own_mode_says_the_mode_once() -> None:
    assert printed(render.operation_head(documents.operation(mode="auto", why_mode="mode auto"))).count("mode auto") == 1
