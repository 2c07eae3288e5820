from datetime import timedelta

import pytest

from service.domain.chain import verify
from service.domain.ports import AuditEvent
from service.store.database import Database
from service.store.events import TOGETHER, EventStore, append
from tests.fakes.clock import START


def said(kind: str, minutes: int = 0) -> AuditEvent:
    return AuditEvent(kind=kind, says=f"{kind} happened", at=START + timedelta(minutes=minutes), body={"n": minutes})


async def write(database: Database, subject: str, *kinds: str) -> None:
    async with database.write() as connection:
        await append(connection, subject, [said(kind, number) for number, kind in enumerate(kinds)])


@pytest.fixture
def events(database: Database) -> EventStore:
    return EventStore(database)


async def test_rows_of_a_subject_come_in_the_order_of_their_commits_and_are_chained(events: EventStore, database: Database) -> None:
    await write(database, "op_1", "accepted", "verdict")
    await write(database, "op_2", "accepted")
    await write(database, "op_1", "ended")
    assert [one.kind for one in await events.of("op_1")] == ["accepted", "verdict", "ended"]
    assert (await events.of("op_1"))[1] == said("verdict", 1)
    assert verify(await events.chain("op_1")) is None
    assert await events.of("op_3") == ()


async def test_appending_nothing_writes_nothing(events: EventStore, database: Database) -> None:
    await write(database, "op_1")
    assert await events.of("op_1") == ()


async def test_what_is_not_committed_is_not_there(events: EventStore, database: Database) -> None:
    async def breaks() -> None:
        async with database.write() as connection:
            await append(connection, "op_1", [said("accepted")])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await breaks()
    assert await events.of("op_1") == ()


async def test_newer_rows_of_many_subjects_are_asked_for_together(events: EventStore, database: Database) -> None:
    await write(database, "op_1", "accepted", "verdict", "ended")
    await write(database, "op_2", "accepted")
    await write(database, "op_3", "accepted")
    found = await events.newer({"op_1": 1, "op_2": 1, "op_4": 0})
    assert {subject: [one.kind for one in rows] for subject, rows in found.items()} == {"op_1": ["verdict", "ended"]}
    assert await events.newer({}) == {}


async def test_more_subjects_than_one_query_takes_are_all_asked_for(events: EventStore, database: Database) -> None:
    known = {f"op_{number:04}": 0 for number in range(TOGETHER + 5)}
    await write(database, "op_0000", "first")
    await write(database, f"op_{TOGETHER + 4:04}", "last")
    assert set(await events.newer(known)) == {"op_0000", f"op_{TOGETHER + 4:04}"}


async def test_promise_12_a_row_holds_no_secret_of_what_it_quotes(events: EventStore, database: Database) -> None:
    told = AuditEvent(kind="verdict", says="the registry said token=hunter22", at=START, body={"findings": [{"says": "see https://bot:hunter22@git.example"}]})
    async with database.write() as connection:
        await append(connection, "op_1", [told])
    (row,) = await events.of("op_1")
    assert (row.says, row.body) == ("the registry said [removed]", {"findings": [{"says": "see [removed]"}]})
    assert verify(await events.chain("op_1")) is None
