from datetime import datetime, timedelta

import sqlalchemy as sa

from service.store import tables as t
from service.store.database import Database
from service.store.paging import Position, newest_first
from tests.fakes.clock import START

AT = {"inc_a": START, "inc_c": START + timedelta(seconds=1), "inc_b": START + timedelta(seconds=1), "inc_d": START + timedelta(microseconds=1)}


async def read(database: Database, behind: Position | None, limit: int) -> list[tuple[datetime, str]]:
    query = newest_first(sa.select(t.incident.c.opened_at, t.incident.c.id), t.incident.c.opened_at, t.incident.c.id, behind, limit)
    async with database.read() as connection:
        return [(row.opened_at, row.id) for row in await connection.execute(query)]


async def test_the_newest_come_first_and_ids_decide_between_equal_times_from_any_position(database: Database) -> None:
    async with database.write() as connection:
        for identity, at in AT.items():
            await connection.execute(t.incident.insert().values(id=identity, target=identity, opened_at=at, began_at=at, outcome="", group_id=identity))
    every = await read(database, None, 9)
    assert [identity for _, identity in every] == ["inc_b", "inc_c", "inc_d", "inc_a"]
    for number, position in enumerate(every, start=1):
        assert await read(database, position, 9) == every[number:]
        assert await read(database, position, 1) == every[number : number + 1]
