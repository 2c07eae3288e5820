from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations.delivery.argocd import windows
from integrations.sandbox.argocd import windows as sandbox
from service.domain.errors import PermanentError
from tests.unit.integrations.delivery.argocd.recordings import body

NOW = datetime(2026, 5, 4, 14, 0, 30, tzinfo=UTC)
"""A Monday."""
WINTER = datetime(2026, 12, 7, 14, 0, 30, tzinfo=UTC)


def window(kind: str, schedule: str, duration: str, *, manual: bool = False, zone: str = "") -> dict[str, Any]:
    return {"kind": kind, "schedule": schedule, "duration": duration, "manualSync": manual, "timeZone": zone, "applications": ["*"]}


def until(*found: dict[str, Any], now: datetime = NOW) -> datetime | None:
    """When the answer changes; what it is now is asked of the sandbox, which has an arithmetic of its own."""
    free = sandbox.may_sync(list(found), manual=True, now=now)
    return windows.changes_at(windows.sync_windows([shown(one) for one in found], found), now, free=free)


def shown(one: dict[str, Any]) -> dict[str, Any]:
    """A window as an application's list gives it, without its zone."""
    return {name: one[name] for name in ("kind", "schedule", "duration", "manualSync")}


def at(hour: int, minute: int = 0, *, day: int = 4) -> datetime:
    return datetime(2026, 5, day, hour, minute, tzinfo=UTC)


def test_an_open_window_closes_when_its_duration_is_over() -> None:
    assert until(window("allow", "0 9 * * *", "8h")) == at(17)


def test_a_deny_window_that_is_to_come_closes_what_is_open_now() -> None:
    assert until(window("deny", "30 14 * * *", "2h")) == at(14, 30)


def test_a_closed_window_opens_when_the_deny_is_over() -> None:
    assert until(window("deny", "30 13 * * *", "1h30m")) == at(15)


def test_outside_of_an_allow_window_it_opens_when_the_next_one_begins() -> None:
    assert until(window("allow", "0 9 * * tue", "1h")) == at(9, day=5)


def test_windows_that_follow_each_other_without_a_gap_do_not_close_in_between() -> None:
    assert until(window("allow", "0 9 * * *", "6h"), window("allow", "30 14 * * *", "3h")) == at(17, 30)
    assert until(window("allow", "0 * * * *", "1h"), window("deny", "0 22 * * *", "1h")) == at(22)


def test_a_window_that_lets_manual_syncs_through_is_not_in_our_way() -> None:
    assert until(window("deny", "30 14 * * *", "2h", manual=True)) is None
    assert until(window("allow", "0 9 * * *", "8h", manual=True)) is None
    assert until(window("deny", "30 14 * * *", "2h", manual=True), window("deny", "0 15 * * *", "2h")) == at(15)


def test_the_time_zone_counts_with_the_offset_of_now() -> None:
    berlin = window("allow", "0 9 * * *", "8h", zone="Europe/Berlin")
    assert until(berlin) == at(15)  # two hours ahead in summer
    assert until(berlin, now=WINTER) == datetime(2026, 12, 7, 16, 0, tzinfo=UTC)
    assert until(window("deny", "0 20 * * *", "1h", zone="Asia/Kolkata")) == at(14, 30)


def test_days_of_the_month_and_of_the_week_mean_either() -> None:
    assert until(window("deny", "0 16 13 * wed", "1h")) == at(16, day=6)
    assert until(window("deny", "0 16 5 * wed", "1h")) == at(16, day=5)
    assert until(window("deny", "0 16 ? may 1-5/2", "1h")) == at(16)


@pytest.mark.parametrize("schedule", ["0 0 30 2 *", "0 0 29 2 1"])
def test_what_never_comes_or_not_within_sight_changes_nothing(schedule: str) -> None:
    assert until(window("deny", schedule, "1m")) is None


def test_a_window_that_fires_each_minute_never_ends() -> None:
    assert until(window("deny", "* * * * *", "1h")) is None
    assert until(window("deny", "* * * * *", "1h"), window("deny", "0 15 * * *", "1h")) is None


def test_a_closing_beyond_what_was_looked_at_is_not_told() -> None:
    """Each minute for a minute: after so many firings nobody knows, and what lies behind them is not told as if it were known."""
    assert until(window("allow", "* * * * *", "61s")) is None


def test_one_second_before_and_after_the_server_and_we_agree() -> None:
    told = [window("allow", "0 9 * * *", "5h1m"), window("deny", "0 18 * * *", "1h", zone="America/New_York")]
    moment = until(*told)
    assert moment == at(14, 1)
    assert sandbox.may_sync(told, manual=True, now=moment - timedelta(seconds=1))
    assert not sandbox.may_sync(told, manual=True, now=moment + timedelta(seconds=1))


def test_where_the_server_says_otherwise_nobody_knows() -> None:
    told = window("deny", "0 16 * * *", "1h")
    with pytest.raises(PermanentError, match="Argo CD says that an operation may not run now"):
        windows.changes_at(windows.sync_windows([shown(told)], [told]), NOW, free=False)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (window("freeze", "0 9 * * *", "1h"), "of kind 'freeze'"),
        (window("deny", "@daily", "1h"), "schedule '@daily'"),
        (window("deny", "0 9 * *", "1h"), "schedule"),
        (window("deny", "0 9 * * 1#2", "1h"), "schedule"),
        (window("deny", "0 9 l * *", "1h"), "schedule"),
        (window("deny", "0 25 * * *", "1h"), "schedule"),
        (window("deny", "h h * * *", "1h"), "schedule"),
        (window("deny", "0 9 * * *", "1 hour"), "duration '1 hour'"),
        (window("deny", "0 9 * * *", ""), "duration ''"),
    ],
)
def test_a_window_that_is_not_understood_is_an_error_and_never_no_window(told: dict[str, Any], words: str) -> None:
    with pytest.raises(PermanentError, match=words):
        windows.sync_windows([shown(told)], [told])


def test_a_time_zone_that_is_not_known_here_is_an_error() -> None:
    told = window("deny", "0 16 * * *", "1h", zone="Mars/Olympus")
    with pytest.raises(PermanentError, match="time zone 'Mars/Olympus'"):
        windows.changes_at(windows.sync_windows([shown(told)], [told]), NOW, free=True)


def test_a_window_that_the_project_does_not_have_is_an_error() -> None:
    with pytest.raises(PermanentError, match="the project has no window deny at '0 9"):
        windows.sync_windows([shown(window("deny", "0 9 * * *", "1h"))], [window("deny", "0 9 * * *", "2h")])


def test_every_time_zone_that_a_window_could_be_meant_in_counts() -> None:
    twice = [window("deny", "0 16 * * *", "1h", zone="Europe/Berlin"), window("deny", "0 16 * * *", "1h", zone="Asia/Tokyo")]
    found = windows.sync_windows([shown(twice[0])], twice)
    assert [str(one) for one in found] == ["deny at '0 16 * * *' for 1h (Asia/Tokyo)", "deny at '0 16 * * *' for 1h (Europe/Berlin)"]


def test_a_recorded_deny_window_is_closed_and_named() -> None:
    found = windows.window_of(body("08-deny-window", 0))
    assert found is not None
    assert (found.open, found.says) == (False, "a sync window is in the way: deny at '* * * * *' for 1h")


def test_windows_that_do_not_say_are_not_open() -> None:
    assert windows.window_of({}) is None
    opened = windows.window_of({"canSync": True})
    assert opened is not None
    assert (opened.open, opened.says) == (True, "no sync window applies")
    outside = windows.window_of({"canSync": False, "assignedWindows": [{"kind": "allow", "schedule": "0 9 * * *", "duration": "1h"}]})
    assert outside is not None
    assert outside.says.endswith("outside of allow at '0 9 * * *' for 1h")
