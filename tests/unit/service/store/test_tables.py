from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from service.store import tables as t
from service.store.alerts import AlertStore
from service.store.database import Database
from tests.fakes.store import delivery, notice

FAR = timezone(timedelta(hours=9, minutes=30))


async def stored(database: Database, at: datetime) -> datetime:
    async with database.write() as connection:
        await connection.execute(t.stop.insert().values(id=1, reason="", by="", at=at))
    async with database.read() as connection:
        read = (await connection.execute(sa.select(t.stop.c.at))).scalar_one()
    assert isinstance(read, datetime)
    return read


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 5, 4, 14, 2, 13, 123456, tzinfo=UTC),
        datetime(2026, 5, 4, 14, 2, 13, 1, tzinfo=UTC),
        datetime(2026, 5, 4, 14, 2, 13, tzinfo=UTC),
        datetime(2026, 5, 4, 14, 2, 13, 999999, tzinfo=FAR),
        datetime(1, 1, 1, tzinfo=UTC),
    ],
)
async def test_times_come_back_as_they_were_to_the_microsecond(database: Database, at: datetime) -> None:
    read = await stored(database, at)
    assert read == at
    assert read.utcoffset() == timedelta(0)


async def test_a_time_without_a_zone_is_a_defect(database: Database) -> None:
    with pytest.raises(sa.exc.StatementError, match="without a zone"):
        await stored(database, datetime(2026, 5, 4))  # noqa: DTZ001  the very mistake


async def test_times_sort_as_times_whatever_their_fraction_and_zone(database: Database) -> None:
    times = [datetime(2026, 5, 4, 14, 0, tzinfo=UTC) + timedelta(microseconds=n) for n in (0, 1, 10, 999_999, 1_000_000)]
    async with database.write() as connection:
        for number, at in enumerate(reversed(times)):
            await connection.execute(t.stop.insert().values(id=number, reason="", by="", at=at.astimezone(FAR)))
    async with database.read() as connection:
        assert list((await connection.execute(sa.select(t.stop.c.at).order_by(t.stop.c.at))).scalars()) == times
        assert list((await connection.execute(sa.select(t.stop.c.at).where(t.stop.c.at > times[2]).order_by(t.stop.c.at))).scalars()) == times[3:]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("x" * 5000, "x" * 5000),
        ("ungerade 奇数 🙂", "ungerade 奇数 🙂"),
        ("a\0b", "a\N{REPLACEMENT CHARACTER}b"),
        ("ä\0b", "ä\N{REPLACEMENT CHARACTER}b"),
        ("half \ud83d", "half \N{REPLACEMENT CHARACTER}"),
        ("", ""),
    ],
)
async def test_promise_2_text_of_any_length_and_content_is_kept_on_both(database: Database, written: str, kept: str) -> None:
    async with database.write() as connection:
        await connection.execute(t.stop.insert().values(id=1, reason=written, by=written, at=datetime(2026, 5, 4, tzinfo=UTC)))
        await connection.execute(t.target_object.insert().values(target="a", kind="k", namespace="n", name=written))
    async with database.read() as connection:
        row = (await connection.execute(sa.select(t.stop.c.reason, t.stop.c.by))).one()
        assert tuple(row) == (kept, kept)
        assert (await connection.execute(sa.select(t.target_object.c.target).where(t.target_object.c.name == written))).scalar_one() == "a"


async def test_promise_2_an_alert_with_a_nul_and_a_label_of_any_length_is_kept_on_both(database: Database) -> None:
    odd = notice("\0fingerprint" * 20, summary="a\0b", long="x" * 100_000, half="\ud83d")
    identity = await AlertStore(database).accept(delivery(odd))
    (episode,) = await AlertStore(database).undecided(identity)
    assert episode.labels["long"] == "x" * 100_000
    assert episode.labels["summary"] == "a\0b"


def test_every_column_of_text_takes_any_text() -> None:
    plain = [f"{table}.{column.name}" for table in t.metadata.tables.values() for column in table.columns if type(column.type) in {sa.String, sa.Text}]
    assert plain == []
