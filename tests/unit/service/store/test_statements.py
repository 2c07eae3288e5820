from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain.own_statements import OwnStatement, OwnStatements
from service.store.database import Database
from service.store.statements import RELEASES, StatementStore
from tests.unit.service.domain import made

ONE = OwnStatements(
    since=made.NOW,
    at=made.NOW + timedelta(hours=1),
    handle="41",
    watched=timedelta(minutes=59),
    statements=(OwnStatement(text="SELECT id FROM orders", first=made.NOW, last=made.NOW, calls=3, then="42P18"),),
    left_out=frozenset({"7", "-8"}),
    counts={"7": 2**62, "-8": 1},
)


@pytest.fixture
def statements(database: Database) -> StatementStore:
    return StatementStore(database)


async def test_what_is_kept_comes_back_as_it_was_and_the_newest_stays(statements: StatementStore) -> None:
    assert await statements.of(made.TARGET, "key-41", "orders") is None
    await statements.keep(made.TARGET, "key-41", "orders", ONE)
    assert await statements.of(made.TARGET, "key-41", "orders") == ONE
    later = replace(ONE, at=made.NOW + timedelta(hours=2), counts={})
    await statements.keep(made.TARGET, "key-41", "orders", later)
    assert await statements.of(made.TARGET, "key-41", "orders") == later


async def test_each_release_and_each_database_has_its_own_and_the_oldest_releases_go(statements: StatementStore) -> None:
    await statements.keep(made.TARGET, "key-0", "events", ONE)
    for number in range(RELEASES + 2):
        await statements.keep(made.TARGET, f"key-{number}", "orders", replace(ONE, at=made.NOW + timedelta(days=number)))
    left = [number for number in range(RELEASES + 2) if await statements.of(made.TARGET, f"key-{number}", "orders") is not None]
    assert left == list(range(2, RELEASES + 2))
    assert await statements.of(made.TARGET, "key-0", "events") == ONE
    assert await statements.of(made.TARGET, "key-1", "events") is None
