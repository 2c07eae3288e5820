from datetime import UTC, datetime, timedelta, timezone

from service.api import views
from service.api.views import Addresses
from service.domain.model import TargetId
from service.workflow.watch import Freshness
from tests.unit.service.api.world import NOW, ORDERS


def test_times_are_utc_with_z_wherever_they_come_from() -> None:
    assert views.utc(datetime(2026, 5, 4, 14, 1, 7, 250_000, tzinfo=timezone(timedelta(hours=2)))) == "2026-05-04T12:01:07.250000Z"
    assert views.utc(datetime(2026, 5, 4, tzinfo=UTC)) == "2026-05-04T00:00:00Z"
    assert views.maybe(None) is None


def test_an_address_is_made_of_encoded_segments() -> None:
    relative, absolute = Addresses(), Addresses(public_url="https://backout.example/")
    assert relative.target(ORDERS) == "/v1/targets/prod:team-a%2Forders"
    assert absolute.operation("op_1") == "https://backout.example/v1/operations/op_1"
    assert relative.target(TargetId("prod", "a?b#c d")) == "/v1/targets/prod:a%3Fb%23c%20d"


def test_a_trace_is_linked_only_where_somebody_shows_it() -> None:
    assert Addresses().trace("ab") == ""
    assert Addresses(trace_link="https://jaeger.example/trace/{trace_id}").trace("ab") == "https://jaeger.example/trace/ab"
    assert views.links(trace="", self="/v1/stop") == {"self": "/v1/stop"}


def test_an_etag_depends_on_the_content_and_not_on_its_order() -> None:
    assert views.etag({"a": 1, "b": 2}) == views.etag({"b": 2, "a": 1})
    assert views.etag({"a": 1}) != views.etag({"a": 2})
    assert views.etag({}).startswith('W/"')


def test_trouble_makes_an_instance_incomplete_even_when_its_list_was_whole_once() -> None:
    stale = Freshness(listed_at=NOW - timedelta(minutes=4), complete=True, trouble="connection refused")
    seen = views.instance("prod", stale, NOW)
    assert (seen["complete"], seen["age_s"], seen["trouble"]) == (False, 240.0, "connection refused")
