import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from integrations.alerts.alertmanager import AlertmanagerWebhook, Settings
from service.domain.errors import UnavailableError
from service.domain.model import AlertNotice, Episode, Outcome, RawDelivery
from service.domain.ports import Placement, Transition
from service.store import tables as t
from service.store.alerts import CHUNK, NOWHERE, AlertStore
from service.store.database import Database
from service.store.operations import OperationStore
from tests.fakes.clock import START
from tests.fakes.store import TARGET, delivery, notice, operation

FIXTURES = Path(__file__).parents[3] / "fixtures" / "alertmanager"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def alerts(database: Database) -> AlertStore:
    return AlertStore(database)


async def rows(database: Database) -> list[Any]:
    async with database.read() as connection:
        return list((await connection.execute(sa.select(t.episode).order_by(t.episode.c.fingerprint, t.episode.c.starts_at))).all())


async def number(database: Database, table: sa.Table) -> int:
    async with database.read() as connection:
        return int((await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one())


def recorded(name: str) -> list[RawDelivery]:
    """The POSTs of one recording, as the edge hands them to the store."""
    document = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))
    source = AlertmanagerWebhook(Settings())
    found = []
    for request in document["requests"]:
        body = request["body_raw"].encode()
        notices, group, cut = source.parse(body)
        wall = datetime.fromisoformat(request["wall"]).astimezone(UTC)
        found.append(RawDelivery(source="alertmanager", sender="main", received_at=wall, body=body, group_key=group, truncated=cut, notices=tuple(notices)))
    return found


async def accepted(alerts: AlertStore, deliveries: Sequence[RawDelivery]) -> list[str]:
    return [await alerts.accept(one) for one in deliveries]


# --- kept whole or not at all -----------------------------------------------------------------------------------------


async def test_promise_2_the_body_and_every_episode_are_kept_together(alerts: AlertStore, database: Database) -> None:
    body = b'{"as": "it came"}\n'
    identity = await alerts.accept(delivery(notice("a"), notice("b"), body=body, group_key="{}:{}", truncated=3))
    async with database.read() as connection:
        kept = (await connection.execute(sa.select(t.delivery, t.blob.c.body).join(t.blob, t.blob.c.digest == t.delivery.c.body_digest))).one()
    assert (kept.id, kept.body, kept.alerts, kept.truncated, kept.group_key) == (identity, body, 2, 3, "{}:{}")
    assert [row.delivery_id for row in await rows(database)] == [identity, identity]


async def test_promise_2_nothing_is_half_kept_when_one_episode_cannot_be(alerts: AlertStore, database: Database) -> None:
    """The last of many alerts cannot be stored: neither the body nor the first ones stay."""
    many = [notice(f"{n:04}") for n in range(CHUNK + 1)]
    broken = replace(notice("zz"), labels={"alertname": "A", "number": 1 + 2j})  # type: ignore[dict-item]  # what no JSON can hold
    with pytest.raises((sa.exc.StatementError, TypeError)):
        await alerts.accept(delivery(*many, broken))
    assert (await number(database, t.delivery), await number(database, t.blob), await number(database, t.episode)) == (0, 0, 0)


async def test_promise_2_a_full_disk_is_unavailable_and_nothing_is_half_kept(real: Database) -> None:
    def full(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # SQLite takes the pages that are in use: not one more

    for engine in real.engines:
        sa.event.listen(engine, "connect", full)

    with pytest.raises(UnavailableError, match="full"):
        await AlertStore(real).accept(delivery(notice(), body=b"x" * 1_000_000))
    assert (await number(real, t.delivery), await number(real, t.blob), await number(real, t.episode)) == (0, 0, 0)


async def test_the_same_body_twice_is_kept_once_with_two_deliveries(alerts: AlertStore, database: Database) -> None:
    await accepted(alerts, [delivery(notice(), body=b"x"), delivery(notice(), body=b"x")])
    assert (await number(database, t.blob), await number(database, t.delivery)) == (1, 2)


async def test_a_delivery_of_several_thousand_alerts_is_kept_whole(alerts: AlertStore, database: Database) -> None:
    identity = await alerts.accept(delivery(*(notice(f"{n:05}") for n in range(2 * CHUNK + 7))))
    assert len(await alerts.undecided(identity)) == 2 * CHUNK + 7
    assert await number(database, t.episode) == 2 * CHUNK + 7


# --- episodes (conventions 1.3) ------------------------------------------------------------------------------------------


async def test_promise_2_repeats_and_duplicates_of_a_peer_are_one_episode(alerts: AlertStore, database: Database) -> None:
    await accepted(alerts, [delivery(notice(), at=START + n * MINUTE) for n in range(3)])
    (row,) = await rows(database)
    assert (row.times_seen, row.received_at, row.last_seen_at) == (3, START, START + 2 * MINUTE)


async def test_the_same_alert_in_two_groups_is_one_episode(alerts: AlertStore, database: Database) -> None:
    await accepted(alerts, recorded("nested-routes-continue"))
    starts = [(row.fingerprint, row.starts_at) for row in await rows(database)]
    assert len(starts) == len(set(starts))
    assert max(row.times_seen for row in await rows(database)) > 1


async def test_the_same_alert_of_two_sources_is_two_episodes(alerts: AlertStore, database: Database) -> None:
    await accepted(alerts, [delivery(notice()), replace(delivery(notice()), source="other")])
    assert await number(database, t.episode) == 2


async def test_a_newer_firing_ends_the_older_episode_and_begins_one(alerts: AlertStore, database: Database) -> None:
    await accepted(alerts, [delivery(notice()), delivery(notice(starts_at=START + 5 * MINUTE), at=START + 6 * MINUTE)])
    older, newer = await rows(database)
    assert (older.ends_at, newer.ends_at, newer.disposition) == (START + 5 * MINUTE, None, "")


async def test_an_older_firing_told_late_is_kept_as_over(alerts: AlertStore, database: Database) -> None:
    """A peer's delayed first notification arrives after the second firing was told: it must not stay open for ever."""
    late = delivery(notice(starts_at=START), at=START + 9 * MINUTE)
    await accepted(alerts, [delivery(notice(starts_at=START + 5 * MINUTE), at=START + 6 * MINUTE), late])
    older, newer = await rows(database)
    assert (older.ends_at, older.disposition, older.disposition_says) == (START + 5 * MINUTE, "resolved", "a newer firing of it was known already")
    assert newer.ends_at is None


async def test_a_repeat_that_was_received_before_the_told_end_does_not_open_the_episode_again(alerts: AlertStore, database: Database) -> None:
    over = notice(ends_at=START + 5 * MINUTE)
    await accepted(alerts, [delivery(notice()), delivery(over, at=START + 6 * MINUTE), delivery(notice(), at=START + 4 * MINUTE)])
    (row,) = await rows(database)
    assert (row.ends_at, row.times_seen) == (START + 5 * MINUTE, 2)


async def test_promise_2_an_alert_that_is_told_firing_after_its_end_is_open_again_and_is_decided_anew(alerts: AlertStore, database: Database) -> None:
    """Alertmanager ends alerts by itself while Prometheus is away; afterwards the same firing goes on with the same start."""
    first = await alerts.accept(delivery(notice()))
    (episode,) = await alerts.undecided(first)
    await alerts.place((Placement(episode=episode, disposition="placed", says="", target=TARGET, rung="label"),), START)
    await alerts.accept(delivery(notice(ends_at=START + MINUTE), at=START + 2 * MINUTE))
    again = await alerts.accept(delivery(notice(), at=START + 3 * MINUTE))
    (row,) = await rows(database)
    assert (row.ends_at, row.disposition, row.times_seen) == (None, "", 2)
    assert [one.id for one in await alerts.undecided(again)] == [episode.id]


async def test_a_start_in_the_future_ends_no_older_episode(alerts: AlertStore, database: Database) -> None:
    ahead = notice(starts_at=START + 60 * MINUTE)
    await accepted(alerts, [delivery(notice()), delivery(ahead, at=START + MINUTE)])
    assert [row.ends_at for row in await rows(database)] == [None, None]


async def fires_again(alerts: AlertStore, operations: OperationStore, database: Database, *, alive: bool) -> Any:
    """The row of a placed alert that ended and fires again, while the operation that began with it lives or not."""
    (one,) = await episodes(alerts, notice())
    await placed(alerts, one)
    row = await operations.begin(operation(), (), (), (one,))
    if not alive:
        await operations.commit(row, Transition(phase="ended", data={}, done=Outcome.REFUSED), START)
    await accepted(alerts, [delivery(notice(ends_at=START + MINUTE)), delivery(notice(), at=START + 3 * MINUTE)])
    (again,) = await rows(database)
    return again


async def test_promise_2_firing_again_under_an_alive_operation_it_only_goes_on(alerts: AlertStore, operations: OperationStore, database: Database) -> None:
    again = await fires_again(alerts, operations, database, alive=True)
    assert (again.ends_at, again.disposition, again.covered_by, again.received_at) == (None, "placed", "op_1", START)


async def test_promise_2_firing_again_after_its_operation_ended_it_is_decided_again(alerts: AlertStore, operations: OperationStore, database: Database) -> None:
    again = await fires_again(alerts, operations, database, alive=False)
    assert (again.ends_at, again.disposition, again.covered_by) == (None, "", None)
    assert await alerts.deliveries_undecided(START + 1440 * MINUTE) == (again.delivery_id,)


async def test_promise_2_a_start_in_the_future_closes_nothing_and_silences_nothing(alerts: AlertStore, database: Database) -> None:
    """A step of the sender's clock: one firing is dated five hours ahead; what fires before that time comes is heard."""
    ahead, later = notice(starts_at=START + 300 * MINUTE), notice(starts_at=START + 60 * MINUTE)
    *_, heard = await accepted(alerts, [delivery(notice()), delivery(ahead), delivery(later, at=START + 61 * MINUTE)])
    assert [(row.starts_at, row.ends_at) for row in await rows(database)] == [
        (START, START + 60 * MINUTE),  # ended by the one that really is newer
        (START + 60 * MINUTE, None),
        (START + 300 * MINUTE, None),
    ]
    assert [one.starts_at for one in await alerts.undecided(heard)] == [START + 60 * MINUTE]


async def test_a_start_in_the_future_is_over_when_the_alert_is(alerts: AlertStore, database: Database) -> None:
    ahead, over = notice(starts_at=START + 300 * MINUTE), notice(ends_at=START + 2 * MINUTE)
    await accepted(alerts, [delivery(notice()), delivery(ahead), delivery(over, at=START + 3 * MINUTE)])
    assert [row.ends_at for row in await rows(database)] == [START + 2 * MINUTE] * 2


async def test_a_clock_that_is_a_little_ahead_is_no_matter(alerts: AlertStore, database: Database) -> None:
    await accepted(alerts, [delivery(notice()), delivery(notice(starts_at=START + MINUTE))])
    assert [row.ends_at for row in await rows(database)] == [START + MINUTE, None]


@pytest.mark.parametrize("disposition", sorted(NOWHERE))
async def test_promise_2_what_led_nowhere_is_heard_anew_from_another_sender(alerts: AlertStore, disposition: str) -> None:
    (one,) = await episodes(alerts, replace(notice(), annotations={"summary": "theirs"}))
    await alerts.place((Placement(episode=one, disposition=disposition, says="", target=None, rung=""),), START)
    repeat = delivery(notice(), at=START + MINUTE)
    assert await alerts.undecided(await alerts.accept(repeat)) == ()  # the same sender said so already
    (again,) = await alerts.undecided(await alerts.accept(replace(repeat, sender="team")))
    assert (again.id, again.sender, again.times_seen, again.received_at) == (one.id, "team", 3, START + MINUTE)


async def test_promise_11_who_is_heard_anew_is_heard_with_its_own_labels(alerts: AlertStore) -> None:
    """Else a narrow credential would have its labels judged with the rights of the wider one."""
    forged = replace(notice(app="cart"), annotations={"summary": "theirs"}, generator_url="http://theirs")
    (one,) = await alerts.undecided(await alerts.accept(replace(delivery(forged, link="theirs"), sender="team")))
    await alerts.place((Placement(episode=one, disposition="out_of_scope", says="", target=None, rung=""),), START)
    (again,) = await episodes(alerts, notice())
    assert (again.sender, again.labels, again.annotations) == ("main", notice().labels, notice().annotations)
    assert (again.generator_url, again.link) == ("", "")


async def test_promise_11_what_was_placed_stays_with_its_sender(alerts: AlertStore, database: Database) -> None:
    (one,) = await episodes(alerts, notice())
    await placed(alerts, one)
    await alerts.accept(replace(delivery(notice(app="cart")), sender="team"))
    (row,) = await rows(database)
    assert (row.sender, row.disposition, row.labels, row.times_seen) == ("main", "placed", notice().labels, 2)


async def test_resolved_ends_exactly_its_episode(alerts: AlertStore, database: Database) -> None:
    await accepted(alerts, [delivery(notice("a"), notice("b")), delivery(notice("a", ends_at=START + MINUTE))])
    assert [(row.fingerprint, row.ends_at) for row in await rows(database)] == [("a", START + MINUTE), ("b", None)]


async def test_resolved_with_an_unknown_start_ends_an_open_episode_that_began_before(alerts: AlertStore, database: Database) -> None:
    flap = notice(starts_at=START + 3 * MINUTE, ends_at=START + 4 * MINUTE)
    await accepted(alerts, [delivery(notice()), delivery(flap)])
    (row,) = await rows(database)
    assert (row.starts_at, row.ends_at) == (START, START + 4 * MINUTE)


async def test_resolved_for_an_older_start_than_the_open_one_leaves_it_open(alerts: AlertStore, database: Database) -> None:
    old = notice(starts_at=START - 5 * MINUTE, ends_at=START - MINUTE)
    await accepted(alerts, [delivery(notice()), delivery(old)])
    assert [(row.starts_at, row.ends_at) for row in await rows(database)] == [(START - 5 * MINUTE, START - MINUTE), (START, None)]


async def test_resolved_of_which_no_firing_was_ever_told_is_kept_and_needs_nobody(alerts: AlertStore, database: Database) -> None:
    identity = await alerts.accept(delivery(notice(ends_at=START + MINUTE)))
    (row,) = await rows(database)
    assert (row.disposition, row.disposition_says) == ("resolved", "it was over before Backout heard of it")
    assert await alerts.undecided(identity) == ()
    assert await alerts.deliveries_undecided(START + 1440 * MINUTE) == ()


async def test_resolved_without_an_end_ends_when_it_was_received(alerts: AlertStore, database: Database) -> None:
    over = replace(notice(), firing=False)
    await accepted(alerts, [delivery(notice()), delivery(over, at=START + 7 * MINUTE)])
    assert (await rows(database))[0].ends_at == START + 7 * MINUTE


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_body_that_tells_both_ends_of_one_episode_is_kept_as_firing(alerts: AlertStore, database: Database, order: tuple[int, int]) -> None:
    both = (notice(), notice(ends_at=START + MINUTE))
    await alerts.accept(delivery(*(both[n] for n in order)))
    (row,) = await rows(database)
    assert row.ends_at is None


async def test_a_body_that_tells_two_firings_of_one_alert_ends_the_older(alerts: AlertStore, database: Database) -> None:
    await alerts.accept(delivery(notice(starts_at=START + MINUTE), notice()))
    older, newer = await rows(database)
    assert (older.ends_at, newer.ends_at) == (START + MINUTE, None)


async def test_the_same_alert_twice_in_one_body_is_one(alerts: AlertStore, database: Database) -> None:
    await alerts.accept(delivery(notice(), notice()))
    assert [row.times_seen for row in await rows(database)] == [1]


async def test_an_alert_of_a_year_that_few_expect_can_be_read_again(alerts: AlertStore) -> None:
    """A template may print the first second of time; what was accepted must not be what nobody can read."""
    start = datetime(1, 1, 2, tzinfo=UTC)
    identity = await alerts.accept(delivery(notice(starts_at=start)))
    assert [one.starts_at for one in await alerts.undecided(identity)] == [start]


# --- recordings of a real Alertmanager ------------------------------------------------------------------------------------


async def test_the_recorded_life_of_a_group_ends_with_every_episode_over(alerts: AlertStore, database: Database) -> None:
    posts = recorded("grouped-lifecycle")
    await accepted(alerts, posts)
    kept = await rows(database)
    told: set[tuple[str, datetime]] = {(n.fingerprint, n.starts_at) for post in posts for n in post.notices}
    assert {(row.fingerprint, row.starts_at) for row in kept} == told
    assert all(row.ends_at is not None for row in kept)


async def test_the_recorded_refire_has_an_episode_for_each_firing_told_and_none_stays_open(alerts: AlertStore, database: Database) -> None:
    posts = recorded("refire")
    await accepted(alerts, posts)
    kept = await rows(database)
    firings = {n.starts_at for post in posts for n in post.notices if n.firing}
    assert {row.starts_at for row in kept if row.disposition == ""} == firings
    assert len(firings) > 1
    assert all(row.ends_at is not None for row in kept)


async def test_the_recorded_refire_in_any_order_of_two_peers_leaves_none_open(alerts: AlertStore, database: Database) -> None:
    posts = recorded("refire")
    await accepted(alerts, [*posts, *posts])
    assert all(row.ends_at is not None for row in await rows(database))


async def test_a_recorded_alert_that_was_silenced_stays_open_for_its_end_is_never_told(alerts: AlertStore, database: Database) -> None:
    """That is why recovery is measured and never taken from a webhook."""
    await accepted(alerts, recorded("silenced"))
    assert any(row.ends_at is None for row in await rows(database))


async def test_a_recorded_truncated_group_is_kept_with_how_many_are_missing(alerts: AlertStore, database: Database) -> None:
    await accepted(alerts, recorded("truncated-max-alerts"))
    async with database.read() as connection:
        cut = list((await connection.execute(sa.select(t.delivery.c.truncated).order_by(t.delivery.c.received_at))).scalars())
    assert cut[0] == 3
    assert await number(database, t.episode) >= 2


async def test_recorded_labels_with_quotes_and_foreign_letters_come_back_as_they_were(alerts: AlertStore) -> None:
    post = recorded("unicode-and-quoting")[0]
    identity = await alerts.accept(post)
    told = sorted(json.dumps(dict(n.labels), sort_keys=True) for n in post.notices if n.firing)
    assert sorted(json.dumps(dict(one.labels), sort_keys=True) for one in await alerts.undecided(identity)) == told


# --- dispositions and incidents -------------------------------------------------------------------------------------------


async def episodes(alerts: AlertStore, *notices: AlertNotice) -> Sequence[Episode]:
    return await alerts.undecided(await alerts.accept(delivery(*notices)))


async def placed(alerts: AlertStore, one: Episode, at: datetime = START) -> str:
    (incident,) = await alerts.place((Placement(episode=one, disposition="placed", says="by label", target=TARGET, rung="label"),), at)
    return incident.id


async def test_the_first_episode_opens_the_targets_incident_and_the_second_joins_it(alerts: AlertStore) -> None:
    first, second = await episodes(alerts, notice("a", starts_at=START), notice("b", starts_at=START - MINUTE))
    assert first.fingerprint == "b"  # oldest first
    opened, joined = await placed(alerts, second), await placed(alerts, first)
    assert opened == joined
    incident = await alerts.incident(opened)
    assert incident is not None
    assert [one.fingerprint for one in incident.episodes] == ["b", "a"]
    assert incident.began_at == START - MINUTE  # the earlier start counts, though it was told second


async def test_an_episode_is_placed_once(alerts: AlertStore) -> None:
    (one,) = await episodes(alerts, notice())
    await placed(alerts, one)
    assert await alerts.place((Placement(episode=one, disposition="ignored", says="", rung=""),), START) == ()
    (incident,) = await alerts.open_incidents()
    assert [each.disposition for each in incident.episodes] == ["placed"]


async def test_placing_twice_opens_no_second_incident_even_when_the_first_was_closed(alerts: AlertStore) -> None:
    (one,) = await episodes(alerts, notice())
    await alerts.close_incident(await placed(alerts, one), outcome="resolved", at=START)
    assert await alerts.place((Placement(episode=one, disposition="placed", says="", target=TARGET, rung="label"),), START) == ()
    assert await alerts.open_incidents() == ()


async def test_a_closed_incident_is_followed_by_another_one(alerts: AlertStore) -> None:
    first, second = await episodes(alerts, notice("a"), notice("b"))
    before = await placed(alerts, first)
    await alerts.close_incident(before, outcome="recovered", at=START + MINUTE)
    await alerts.close_incident(before, outcome="resolved", at=START + 2 * MINUTE)
    after = await placed(alerts, second)
    assert after != before
    closed = await alerts.incident(before)
    assert closed is not None
    assert (closed.outcome, closed.closed_at) == ("recovered", START + MINUTE)
    assert [one.id for one in await alerts.incidents(target=str(TARGET))] == sorted([before, after], key=lambda i: i)


async def test_an_episode_without_a_target_has_a_disposition_and_no_incident(alerts: AlertStore) -> None:
    (one,) = await episodes(alerts, notice())
    assert await alerts.place((Placement(episode=one, disposition="ambiguous", says="fits two", target=None, rung="resources"),), START) == ()
    assert await alerts.deliveries_undecided(START + 1440 * MINUTE) == ()
    assert await alerts.open_incidents() == ()


async def test_deliveries_with_undecided_episodes_are_found_oldest_first(alerts: AlertStore) -> None:
    second = await alerts.accept(delivery(notice("b"), at=START + MINUTE))
    first = await alerts.accept(delivery(notice("a"), at=START))
    assert await alerts.deliveries_undecided(START + 1440 * MINUTE) == (first, second)


async def test_what_is_not_there_is_none(alerts: AlertStore) -> None:
    assert await alerts.incident("inc_0") is None
    assert await alerts.last_delivery() is None
    await alerts.accept(delivery(notice(), notice("b"), at=START + MINUTE))
    assert await alerts.last_delivery() == (START + MINUTE, 2)


async def test_two_incidents_cannot_be_open_for_one_target(alerts: AlertStore, database: Database) -> None:
    (one,) = await episodes(alerts, notice())
    await placed(alerts, one)
    with pytest.raises(sa.exc.IntegrityError):
        async with database.write() as connection:
            await connection.execute(t.incident.insert().values(id="inc_2", target=str(TARGET), opened_at=START, began_at=START, outcome="", group_id="g"))


async def test_deliveries_that_come_together_are_all_kept_each_under_its_own_id(alerts: AlertStore) -> None:
    kept = await asyncio.gather(*(alerts.accept(delivery(notice(str(number)))) for number in range(30)))
    assert len(set(kept)) == 30
    for identity in kept:
        assert len(await alerts.undecided(identity)) == 1


async def test_one_alert_told_by_many_deliveries_at_once_is_one_episode_seen_so_often(alerts: AlertStore) -> None:
    kept = await asyncio.gather(*(alerts.accept(delivery(notice(), at=START + number * MINUTE)) for number in range(30)))
    (one,) = await alerts.undecided(kept[0])
    assert one.times_seen == 30


async def test_two_that_place_one_delivery_at_once_open_one_incident(alerts: AlertStore) -> None:
    (one,) = await episodes(alerts, notice())
    placement = (Placement(episode=one, disposition="placed", says="", target=TARGET, rung="label"),)
    touched = await asyncio.gather(*(alerts.place(placement, START) for _ in range(4)))
    assert sorted(len(each) for each in touched) == [0, 0, 0, 1]
    assert len(await alerts.open_incidents()) == 1
