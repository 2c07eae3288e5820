from service.cli import render
from tests.unit.service.cli import documents
from tests.unit.service.cli.documents import NOW
from tests.unit.service.cli.render.printing import Golden, printed


def test_incidents_name_each_alert_once(golden: Golden) -> None:
    golden("incidents", render.incidents({"incidents": [documents.incident(), documents.incident(state="closed", outcome="recovered")]}, NOW))


def test_an_incident_tells_its_story(golden: Golden) -> None:
    golden("incident", render.incident(documents.incident(outcome="recovered", operations=[documents.ended()]), documents.incident_events(), NOW))


def test_alerts_say_where_they_went(golden: Golden) -> None:
    lost = documents.episode(alert="Watchdog", target=None, disposition="no_target", says="no label names a target", firing=False, times_seen=7)
    golden("alerts", render.alerts({"alerts": [documents.episode(), lost, documents.episode(target=None, disposition="")], "next_cursor": "x"}, NOW))


def test_incidents_of_one_cause_are_named_in_the_list_and_in_the_incident() -> None:
    others = [{"id": "inc_2", "target": "prod:cart", "state": "open"}, {"id": "inc_3", "target": "prod:mail", "state": "closed"}]
    one = documents.incident(same_cause=others, suspect={"key": "k", "title": "42 (v2.5.0 · c0ffee0)", "started_at": "2026-05-04T11:58:00Z"})
    listed = printed(render.incidents({"incidents": [one, documents.incident()]}, NOW))
    assert "same cause" in listed
    assert "prod:cart" in listed
    assert "(prod:mail)" in listed
    story = printed(render.incident(one, documents.incident_events(), NOW))
    assert "suspect: 42 (v2.5.0 · c0ffee0)" in story
    assert "for the same cause: prod:cart, (prod:mail)" in story


def test_an_operation_that_ended_is_read_and_one_that_lives_is_watched() -> None:
    both = documents.incident(operations=[documents.ended(), documents.operation()])
    shown = printed(render.incident(both, documents.incident_events(), NOW))
    assert "recovered: backout audit op_" in shown
    assert ": backout watch op_" in shown
