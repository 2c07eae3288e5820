import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.chain import Broken, canonical, link, verify
from service.domain.model import Mode
from service.domain.ports import AuditEvent

AT = datetime(2026, 5, 4, 14, 2, 45, 123456, tzinfo=UTC)
EVENTS = tuple(
    AuditEvent(kind=kind, says=says, at=AT + timedelta(seconds=number), body={"n": number})
    for number, (kind, says) in enumerate(
        [("accepted", "HighErrorRate fires"), ("verdict", "17 of 17: pass"), ("act", "rolled back"), ("completed", "recovered")]
    )
)


def record(events: Sequence[AuditEvent]) -> list[tuple[AuditEvent, str]]:
    rows: list[tuple[AuditEvent, str]] = []
    for event in events:
        rows.append((event, link(rows[-1][1] if rows else "", event)))
    return rows


def broken_at(found: Broken | None) -> int | None:
    return found.number if found else None


def test_a_chain_as_recorded_holds() -> None:
    rows = record(EVENTS)
    assert verify(rows) is None
    assert verify(rows, head=rows[-1][1]) is None
    assert verify([]) is None


def test_each_digest_is_the_hash_of_the_one_before_and_the_event() -> None:
    rows = record(EVENTS)
    expected = hashlib.sha256(canonical(EVENTS[0])).digest()
    assert rows[0][1] == expected.hex()
    assert rows[1][1] == hashlib.sha256(expected + canonical(EVENTS[1])).hexdigest()


def test_a_digest_written_down_once_stays_as_it_is() -> None:
    """Stored chains must verify for ever: whoever changes the canonical form breaks them all."""
    assert canonical(EVENTS[0]) == b'{"at":1777903365123456,"body":{"n":0},"kind":"accepted","says":"HighErrorRate fires"}'
    assert link("", EVENTS[0])[:16] == "b0db92f43e7ef95f"


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "change",
    [{"says": "something else"}, {"kind": "other"}, {"at": AT - timedelta(microseconds=1)}, {"body": {"n": -1}}, {"body": {}}],
    ids=["says", "kind", "at", "body", "emptied"],
)
def test_a_changed_event_breaks_the_chain_at_itself(number: int, change: dict[str, Any]) -> None:
    rows = record(EVENTS)
    event, digest = rows[number - 1]
    rows[number - 1] = (replace(event, **change), digest)
    found = verify(rows)
    assert broken_at(found) == number
    assert found is not None
    assert f"event {number} " in found.says


def test_an_event_changed_together_with_its_digest_breaks_the_chain_at_the_next() -> None:
    rows = record(EVENTS)
    changed = replace(EVENTS[1], says="2 of 17: block")
    rows[1] = (changed, link(rows[0][1], changed))
    assert broken_at(verify(rows)) == 3


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_event_taken_out_is_missed_at_its_place(number: int) -> None:
    rows = record(EVENTS)
    del rows[number - 1]
    found = verify(rows)
    assert broken_at(found) == number
    assert found is not None
    assert "one before it is gone" in found.says


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_event_put_in_breaks_the_chain_at_its_place_or_at_the_next(number: int) -> None:
    rows = record(EVENTS)
    before = rows[number - 2][1] if number > 1 else ""
    made_up = replace(EVENTS[0], says="made up")
    assert broken_at(verify([*rows[: number - 1], (made_up, "00" * 32), *rows[number - 1 :]])) == number
    assert broken_at(verify([*rows[: number - 1], (made_up, link(before, made_up)), *rows[number - 1 :]])) == number + 1


def test_events_in_another_order_break_the_chain() -> None:
    rows = record(EVENTS)
    assert broken_at(verify([rows[0], rows[2], rows[1], rows[3]])) == 2


def test_events_cut_off_at_the_end_show_only_against_a_head_kept_elsewhere() -> None:
    rows = record(EVENTS)
    assert verify(rows[:-1]) is None
    assert broken_at(verify(rows[:-1], head=rows[-1][1])) == 4
    assert broken_at(verify([], head=rows[-1][1])) == 1


def test_a_chain_rewritten_as_a_whole_shows_against_a_head_kept_elsewhere() -> None:
    head = record(EVENTS)[-1][1]
    rewritten = record([replace(EVENTS[0], says="never mind"), *EVENTS[1:]])
    assert verify(rewritten) is None
    assert broken_at(verify(rewritten, head=head)) == 5


def test_the_rows_of_another_operation_do_not_go_on_from_these() -> None:
    rows, other = record(EVENTS), record([replace(event, says=f"{event.says} too") for event in EVENTS])
    assert broken_at(verify([*rows[:2], *other[2:]])) == 3


def test_a_round_trip_through_json_and_another_time_zone_changes_nothing() -> None:
    body = {"mode": Mode.AUTO, "steps": ("a", "b"), "nested": {1: [True, None, 0.5, "é"]}}
    event = AuditEvent(kind="act", says="é \ud800", at=AT, body=body)
    stored = json.loads(json.dumps(body))
    assert canonical(event) == canonical(replace(event, body=stored, at=AT.astimezone(timezone(timedelta(hours=-7)))))


def test_the_order_of_keys_changes_nothing() -> None:
    one, other = ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1})
    assert canonical(replace(EVENTS[0], body=one)) == canonical(replace(EVENTS[0], body=other))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_has_no_word_for_is_text(number: float) -> None:
    assert json.loads(canonical(replace(EVENTS[0], body={"value": number})))["body"] == {"value": str(number)}


def test_a_time_without_a_zone_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        canonical(replace(EVENTS[0], at=AT.replace(tzinfo=None)))


def test_a_body_that_is_no_json_is_a_mistake_and_a_broken_row() -> None:
    wrong = replace(EVENTS[1], body={"at": AT})
    with pytest.raises(TypeError):
        canonical(wrong)
    rows = record(EVENTS)
    rows[1] = (wrong, rows[1][1])
    found = verify(rows)
    assert broken_at(found) == 2
    assert found is not None
    assert "cannot be read" in found.says


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


@given(bodies=st.lists(st.dictionaries(st.text(), JSON), min_size=1, max_size=4), says=st.text())
def test_any_json_can_be_chained(bodies: list[dict[str, Any]], says: str) -> None:
    rows = record([AuditEvent(kind="any", says=says, at=AT, body=body) for body in bodies])
    assert verify(rows, head=rows[-1][1]) is None
