from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from integrations.sandbox.argocd import windows

NOON = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)  # a Wednesday


def window(kind: str = "deny", schedule: str = "* * * * *", duration: str = "1h", **more: Any) -> dict[str, Any]:
    return {"kind": kind, "schedule": schedule, "duration": duration, "applications": ["*"], **more}


def app(name: str = "web", namespace: str = "shop", server: str = "https://kubernetes.default.svc") -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"destination": {"namespace": namespace, "server": server}}}


@pytest.mark.parametrize(
    ("text", "span"), [("1h", timedelta(hours=1)), ("1h30m", timedelta(minutes=90)), ("90s", timedelta(seconds=90)), ("1.5h", timedelta(minutes=90))]
)
def test_a_go_duration_is_understood(text: str, span: timedelta) -> None:
    assert windows.duration(text) == span


@pytest.mark.parametrize("text", ["", "1", "1d", "h", "1h x"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        windows.duration(text)


TICKS = [
    ("*/15 * * * *", ["12:15", "12:30"]),
    ("0 9-17/4 * * *", ["13:00", "17:00"]),
    ("30 8 * * mon", ["08:30", "08:30"]),
    ("5,10 13 * * *", ["13:05", "13:10"]),
    ("0 * * * *", ["13:00", "14:00"]),
]


@pytest.mark.parametrize(("schedule", "times"), TICKS)
def test_a_schedule_ticks_as_cron_does(schedule: str, times: list[str]) -> None:
    assert [f"{tick:%H:%M}" for tick in islice(windows.ticks_after(schedule, NOON), 2)] == times


def test_weekday_zero_is_sunday_and_names_count() -> None:
    for day in ("0", "sun", "SUN"):
        assert next(windows.ticks_after(f"0 0 * * {day}", NOON)).date().isoformat() == "2026-03-08"
    assert next(windows.ticks_after("0 0 1 jan *", NOON)).date().isoformat() == "2027-01-01"


def test_two_restricted_days_mean_either() -> None:
    assert [tick.day for tick in islice(windows.ticks_after("0 0 20 * fri", NOON), 3)] == [6, 13, 20]


@pytest.mark.parametrize("schedule", ["* * * *", "61 * * * *", "x * * * *", "5-1 * * * *", "@daily", "0 0 * * 7"])
def test_a_broken_schedule_is_an_error(schedule: str) -> None:
    with pytest.raises(ValueError, match=r"expected exactly 5 fields|above maximum|failed to parse|does not accept descriptors"):
        next(windows.ticks_after(schedule, NOON))


def test_a_schedule_that_never_fires_ends() -> None:
    assert list(windows.ticks_after("0 0 31 2 *", NOON)) == []


@pytest.mark.parametrize(("now", "open_"), [("11:59", False), ("12:00", True), ("13:59", True), ("14:01", False)])
def test_a_window_is_open_from_its_tick_for_its_duration(now: str, open_: bool) -> None:
    at = datetime.fromisoformat(f"2026-03-04T{now}:30+00:00")

    assert windows.is_active(window(schedule="0 12 * * *", duration="2h"), at) is open_


def test_a_time_zone_moves_the_window() -> None:
    tokyo = window(schedule="0 21 * * *", duration="1h", timeZone="Asia/Tokyo")

    assert windows.is_active(tokyo, NOON)
    assert not windows.is_active(tokyo | {"timeZone": "UTC"}, NOON)


def test_a_window_matches_by_any_of_name_namespace_and_cluster() -> None:
    only = {"kind": "deny", "schedule": "* * * * *", "duration": "1h"}
    by_name, by_namespace, by_cluster = only | {"applications": ["we*"]}, only | {"namespaces": ["shop"]}, only | {"clusters": ["https://*"]}

    assert windows.assigned([by_name, by_namespace, by_cluster, only], app()) == [by_name, by_namespace, by_cluster]
    assert windows.assigned([by_name, by_namespace], app(name="api", namespace="else")) == []


def test_and_operator_wants_all_of_them() -> None:
    both = window(applications=["web"], namespaces=["else"], andOperator=True)

    assert windows.assigned([both], app()) == []
    assert windows.assigned([both], app(namespace="else")) == [both]


SHUT = window("allow", "0 0 1 1 *", "1m")
RULES = [
    ([], True, True),
    ([window()], False, False),
    ([window(manualSync=True)], True, False),
    ([window(manualSync=True), window()], False, False),
    ([window("allow")], True, True),
    ([window("allow"), window()], False, False),
    ([SHUT], False, False),
    ([SHUT | {"manualSync": True}], True, False),
    ([SHUT | {"manualSync": True}, SHUT], False, False),
    ([SHUT, window("allow")], True, True),
    ([window(schedule="0 0 1 1 *", duration="1m")], True, True),
]


@pytest.mark.parametrize(("assigned", "manual", "automated"), RULES)
def test_the_rule_for_manual_and_automated_syncs(assigned: list[dict[str, Any]], manual: bool, automated: bool) -> None:
    assert windows.may_sync(assigned, manual=True, now=NOON) is manual
    assert windows.may_sync(assigned, manual=False, now=NOON) is automated


def test_an_application_is_shown_four_fields_of_a_window() -> None:
    assert windows.shown(window(timeZone="UTC")) == {"kind": "deny", "schedule": "* * * * *", "duration": "1h", "manualSync": False}
