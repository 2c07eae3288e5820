"""JSON of other people's servers: whatever is missing, null or of another type is ordinary."""

from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.json_shapes import entries, epoch, items, number, part, text, texts

ODD: tuple[Any, ...] = (None, True, 3, 2.5, "text", [], [None], {}, {"a": None})


@pytest.mark.parametrize("value", ODD)
def test_nothing_that_a_server_sends_is_an_error(value: Any) -> None:
    assert part(value, "a", "b") == {}
    assert list(entries(value)) == []
    assert isinstance(text(value), str)
    assert isinstance(texts(value), tuple)
    assert number(value) in {None, 3}
    assert epoch(value) is None or value == 3


def test_a_part_is_found_below_a_path_and_only_objects_are_entries() -> None:
    assert part({"a": {"b": {"c": 1}}}, "a", "b") == {"c": 1}
    assert list(entries([{"a": 1}, None, "b", {"c": 2}])) == [{"a": 1}, {"c": 2}]
    assert texts(["a", "", None, "b"]) == ("a", "b")


@pytest.mark.parametrize(("value", "found"), [(7, 7), ("7", 7), ("-7", None), ("\uff17", None), (True, None), ("9" * 19, None), (2.0, None)])
def test_a_number_may_come_as_digits_and_true_is_none(value: Any, found: int | None) -> None:
    assert number(value) == found


def test_a_time_is_utc_and_one_outside_the_calendar_is_none() -> None:
    assert epoch(1800000000000) == datetime(2027, 1, 15, 8, tzinfo=UTC)
    assert epoch("1800000000000") == epoch(1800000000000)
    assert epoch(0) is epoch(-1) is epoch(253_402_300_800_000) is None


@pytest.mark.parametrize(("value", "found"), [([1, None], [1, None]), (None, []), (True, []), ({"a": 1}, []), ("ab", [])])
def test_items_are_those_of_a_list_and_of_nothing_else(value: Any, found: list[Any]) -> None:
    assert list(items(value)) == found
