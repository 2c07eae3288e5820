from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain.model import TargetId
from service.domain.ports import Listing, Message
from service.domain.readiness import Standing, Turn, renewed
from service.domain.verdict import Answer, warns
from service.store.database import Database
from service.store.outbox import OutboxStore
from service.store.readiness import TURNS, ReadinessStore
from service.store.targets import TargetStore
from tests.unit.service.domain import made
from tests.unit.service.domain.test_readiness import HOUR, found, standing
from tests.unit.service.store.test_targets import listed

OTHER = TargetId("prod", "cart")


@pytest.fixture
async def kept(database: Database) -> ReadinessStore:
    targets = (listed(made.TARGET), listed(OTHER))
    await TargetStore(database).remember(Listing(targets=targets, complete=True), "prod", made.NOW)
    return ReadinessStore(database)


def later(hours: int, **changes: object) -> Standing:
    at = made.NOW + hours * HOUR
    return standing(**({"as_of": at, "since": at} | changes))  # type: ignore[arg-type]


async def test_a_verdict_comes_back_as_it_was_with_every_finding(kept: ReadinessStore) -> None:
    one = standing(Answer.WARN, found("schema_is_compatible", warns("Told.", clears="Tick it.")))
    assert await kept.keep(*renewed(None, one))
    assert await kept.of([made.TARGET, OTHER]) == {made.TARGET: one}


async def test_the_ages_of_all_are_read_without_findings(kept: ReadinessStore) -> None:
    await kept.keep(standing(Answer.BLOCK), None)
    await kept.keep(standing(target=OTHER), None)
    ages = await kept.ages()
    assert [(one.target, one.answer, one.as_of, one.good_for, one.policy) for one in ages] == [
        (OTHER, Answer.PASS, made.NOW, HOUR, "1"),
        (made.TARGET, Answer.BLOCK, made.NOW, HOUR, "1"),
    ]


async def test_a_verdict_from_older_facts_never_replaces_a_newer_one(kept: ReadinessStore) -> None:
    await kept.keep(later(1), None)
    assert not await kept.keep(standing(Answer.BLOCK), Turn(target=made.TARGET, at=made.NOW, was=None, answer=Answer.BLOCK, says="Late.", release=""))
    assert (await kept.of([made.TARGET]))[made.TARGET].as_of == made.NOW + HOUR
    assert await kept.turns(made.TARGET, limit=5) == ()


async def test_promise_2_a_message_is_kept_with_the_verdict_it_is_about_or_not_at_all(kept: ReadinessStore, database: Database) -> None:
    outbox = OutboxStore(database)
    message = Message(channel="notify:on-call", key="readiness/1", body={"event": "no_way_back"})
    assert await kept.keep(later(1), None, (message,))
    assert not await kept.keep(later(0), None, (replace(message, key="readiness/0"),))
    assert [body for _, body, _ in await outbox.due("notify:on-call", later(2).as_of, 9)] == [b'{"event": "no_way_back"}']


async def test_a_target_that_is_gone_gets_no_verdict(kept: ReadinessStore) -> None:
    assert not await kept.keep(standing(target=TargetId("prod", "gone")), None)
    assert await kept.ages() == ()


async def test_turns_are_told_newest_first_and_the_oldest_fall_off(kept: ReadinessStore) -> None:
    for number in range(TURNS + 3):
        turn = Turn(target=made.TARGET, at=made.NOW, was=Answer.PASS, answer=Answer.WARN, says=f"turn {number}", release="42", rules=("b",))
        await kept.keep(later(number), turn)
    turns = await kept.turns(made.TARGET, limit=1000)
    assert (len(turns), turns[0].says, turns[-1].says) == (TURNS, f"turn {TURNS + 2}", "turn 3")
    assert turns[0] == Turn(target=made.TARGET, at=made.NOW, was=Answer.PASS, answer=Answer.WARN, says=f"turn {TURNS + 2}", release="42", rules=("b",))


async def test_a_turn_carries_no_secret(kept: ReadinessStore) -> None:
    says = "the registry said: Authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789"
    await kept.keep(standing(), Turn(target=made.TARGET, at=made.NOW, was=None, answer=Answer.PASS, says=says, release=""))
    assert "abcdefghijklmnopqrstuvwxyz" not in (await kept.turns(made.TARGET, limit=1))[0].says


async def test_what_belongs_to_targets_that_are_gone_is_forgotten_after_a_while(kept: ReadinessStore, database: Database) -> None:
    await kept.keep(*renewed(None, standing()))
    await kept.keep(*renewed(None, standing(target=OTHER)))
    await TargetStore(database).remember(Listing(targets=(listed(made.TARGET),), complete=True), "prod", made.NOW + timedelta(seconds=1))
    await kept.forget(made.NOW - HOUR)
    assert len(await kept.ages()) == 2
    await kept.forget(made.NOW + HOUR)
    assert [one.target for one in await kept.ages()] == [made.TARGET]
    assert await kept.turns(OTHER, limit=5) == ()
    assert len(await kept.turns(made.TARGET, limit=5)) == 1
