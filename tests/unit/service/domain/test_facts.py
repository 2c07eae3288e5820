from datetime import timedelta

import pytest

from service.domain import keys
from service.domain.facts import Absent, Facts, Key, Known
from service.domain.model import TargetId
from tests.unit.service.domain import made

KEY: Key[str] = Key("answer", "everything")


def facts(read_ago: float, good_for: float = 60) -> Facts:
    return Facts({KEY: made.known("42", read_at=made.NOW - timedelta(seconds=read_ago), good_for=timedelta(seconds=good_for))}, made.NOW)


@pytest.mark.parametrize("ago", [0, 59, 60, -5, -60])
def test_a_fact_is_believed_as_long_as_it_holds(ago: int) -> None:
    fact = facts(ago).read(KEY)
    assert isinstance(fact, Known)
    assert fact.value == "42"


def test_an_old_fact_is_absent_and_says_how_old() -> None:
    assert facts(61).read(KEY) == Absent("the answer of everything was read 61 s ago and holds for 60 s")


def test_a_fact_from_the_future_means_a_clock_was_set_back() -> None:
    assert facts(-61).read(KEY) == Absent("the answer of everything was read 61 s in the future: the clock was set back")


def test_what_nobody_was_asked_for_is_absent_and_says_so() -> None:
    assert Facts({}, made.NOW).read(KEY) == Absent("nobody was asked for the answer of everything")


def test_an_absent_fact_keeps_its_reason_and_way_out() -> None:
    assert Facts({KEY: made.ABSENT}, made.NOW).read(KEY) is made.ABSENT


def test_a_known_nothing_is_a_value_and_not_an_absence() -> None:
    key: Key[tuple[str, ...]] = Key("acts")
    fact = Facts({key: made.known(())}, made.NOW).read(key)
    assert isinstance(fact, Known)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (Key("state"), "state"),
        (keys.state(TargetId("prod", "checkout")), "state of prod:checkout"),
        (keys.record(made.TARGET, "key-41"), "record of prod:checkout, key-41"),
        (keys.alert_now("HighErrorRate", (("job", "web"), ("zone", "a"))), "alert state of HighErrorRate, {job=web, zone=a}"),
        (keys.series("up"), "series of up"),
        (keys.baseline(made.TARGET), "spec baseline of prod:checkout"),
    ],
)
def test_a_key_reads_as_words(key: Key[object], says: str) -> None:
    assert str(key) == says


def test_keys_of_the_same_kind_about_different_things_differ() -> None:
    assert keys.record(made.TARGET, "a") != keys.record(made.TARGET, "b")
    assert keys.record(made.TARGET, "a") == keys.record(made.TARGET, "a")
    assert len({keys.manifest("x"), keys.image_config("x")}) == 2
