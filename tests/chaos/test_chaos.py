"""No promise is broken, whatever goes wrong: some schedules here, a thousand with `make chaos`. The number of a test is the seed that plays it again."""

import os

import pytest

from tests.chaos.schedule import Schedule, draw, draw_spinnaker
from tests.chaos.stores import PostgresStores, SqliteStores, judged, told
from tests.chaos.virtual import VirtualLoop
from tests.fakes import store

FIRST = int(os.environ.get("CHAOS_SEED", "1"))
SCHEDULES = int(os.environ.get("CHAOS_SCHEDULES", "25"))
ON_SPINNAKER = max(1, SCHEDULES // 2)
ON_POSTGRESQL = max(1, SCHEDULES // 5)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SCHEDULES))
def test_every_promise_is_kept_on_sqlite(seed: int, sqlite: SqliteStores) -> None:
    story, violations = judged(draw(seed), sqlite)
    assert not violations, told(story, violations, sqlite.name)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + ON_POSTGRESQL))
def test_every_promise_is_kept_on_postgresql(seed: int, postgres_stores: store.Recycled) -> None:
    stores = PostgresStores(postgres_stores)
    story, violations = judged(draw(seed), stores)
    assert not violations, told(story, violations, stores.name)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + ON_SPINNAKER))
def test_every_promise_is_kept_on_spinnaker(seed: int, sqlite: SqliteStores) -> None:
    story, violations = judged(draw_spinnaker(seed), sqlite)
    assert not violations, told(story, violations, sqlite.name)


@pytest.mark.parametrize("schedule", [draw(7), draw_spinnaker(5)], ids=["argocd", "spinnaker"])
def test_a_seed_is_the_whole_story(schedule: Schedule, sqlite: SqliteStores) -> None:
    one, other = (judged(schedule, sqlite)[0] for _ in range(2))
    assert one.world.diary.lines == other.world.diary.lines
    assert [str(sent) for sent in one.world.diary.sent] == [str(sent) for sent in other.world.diary.sent]
    assert [row["says"] for row in one.rows["event"]] == [row["says"] for row in other.rows["event"]]


def test_an_hour_of_the_world_takes_no_time_and_timers_keep_their_order() -> None:
    loop = VirtualLoop()
    fired: list[str] = []
    loop.call_later(3600.0, fired.append, "late")
    loop.call_later(1.0, fired.append, "early")
    loop.call_later(3601.0, loop.stop)
    loop.run_forever()
    assert (fired, loop.time()) == (["early", "late"], 3601.0)
    loop.close()
