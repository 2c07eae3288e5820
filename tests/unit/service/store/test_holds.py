from dataclasses import replace
from datetime import datetime, timedelta

from service.domain.model import OperationKind, Outcome, TargetId
from service.domain.ports import Around, ListedTarget, Listing, Placement, Transition
from service.store import tables as t
from service.store.alerts import AlertStore
from service.store.database import Database
from service.store.holds import HoldStore
from service.store.operations import OperationStore
from service.store.targets import TargetStore
from tests.fakes.clock import START
from tests.fakes.store import TARGET, delivery, notice, operation

HOUR = timedelta(hours=1)
CART = TargetId("prod", "cart")


async def put(database: Database, identity: str, target: TargetId, opened: int, *held: str) -> None:
    async with database.write() as connection:
        await connection.execute(
            t.hold.insert().values(
                id=identity,
                target=str(target),
                operation_id="op_1",
                opened_at=START + opened * HOUR,
                reason="rolled back",
                review_at=START,
                owner="alert:A",
                remembered={"stopped": True},
                ended_by="",
                ended_because="",
            )
        )
        for number, key in enumerate(held):
            await connection.execute(t.held_release.insert().values(hold_id=identity, key=key, since=START + number * HOUR))


async def test_the_open_hold_of_a_target_has_its_releases_in_the_order_they_were_held(database: Database) -> None:
    holds = HoldStore(database)
    await put(database, "hld_1", TARGET, 0, "z-first", "a-second")
    found = await holds.open_for(TARGET)
    assert found is not None
    assert (found.id, found.held, found.remembered) == ("hld_1", ("z-first", "a-second"), {"stopped": True})
    assert await holds.open_for(CART) is None
    assert await holds.load("hld_0") is None


async def test_a_hold_ends_once_and_is_kept(database: Database) -> None:
    holds = HoldStore(database)
    await put(database, "hld_1", TARGET, 0)
    assert await holds.end("hld_1", by="user:jane", because="fixed", at=START)
    assert not await holds.end("hld_1", by="user:joe", because="too", at=START + HOUR)
    assert await holds.open_for(TARGET) is None
    ended = await holds.load("hld_1")
    assert ended is not None
    assert (ended.ended_by, ended.ended_because, ended.closed_at) == ("user:jane", "fixed", START)


async def test_holds_are_listed_newest_first_open_or_all_or_of_one_target(database: Database) -> None:
    holds = HoldStore(database)
    await put(database, "hld_1", TARGET, 0)
    await put(database, "hld_2", CART, 1)
    await holds.end("hld_1", by="user:jane", because="", at=START)
    assert [one.id for one in await holds.find()] == ["hld_2"]
    assert [one.id for one in await holds.find(is_open=None)] == ["hld_2", "hld_1"]
    assert [one.id for one in await holds.find(is_open=None, target=str(TARGET))] == ["hld_1"]
    assert [one.id for one in await holds.find(is_open=False)] == ["hld_1"]
    assert await holds.open_ids() == {CART: "hld_2"}
    assert [one.id for one in await holds.find(is_open=None, limit=1)] == ["hld_2"]
    assert [one.id for one in await holds.find(is_open=None, behind=(START + HOUR, "hld_2"))] == ["hld_1"]


async def test_promise_10_only_automatic_operations_with_an_effect_count_against_the_limit(database: Database, operations: OperationStore) -> None:
    holds = HoldStore(database)
    for number, (automatic, effect) in enumerate([(True, True), (True, False), (False, True)]):
        row = await operations.begin(operation(f"op_{number}", automatic=automatic), (), ())
        ended = Transition(phase="ended", data={}, first_effect=effect, suspect_key=f"k{number}", done=Outcome.FAILED)
        await operations.commit(row, ended, START + number * HOUR)

    async def rollbacks(target: TargetId, since: datetime) -> int:
        return (await holds.around(target, since=since, burning_since=START)).rollbacks

    assert await rollbacks(TARGET, START) == 1
    assert await rollbacks(TARGET, START + timedelta(seconds=1)) == 0
    assert await rollbacks(CART, START) == 0


async def test_promise_10_targets_with_incidents_are_counted_once_each(database: Database) -> None:
    alerts, holds = AlertStore(database), HoldStore(database)
    for number, target in enumerate([TARGET, TARGET, CART]):
        (one,) = await alerts.undecided(await alerts.accept(delivery(notice(str(number)))))
        (incident,) = await alerts.place((Placement(episode=one, disposition="placed", says="", target=target, rung="label"),), START + number * HOUR)
        await alerts.close_incident(incident.id, outcome="resolved", at=START)
    assert (await holds.around(TARGET, since=START, burning_since=START)).burning == 2
    assert (await holds.around(TARGET, since=START, burning_since=START + 2 * HOUR)).burning == 1


async def test_what_is_around_a_target_is_told_in_one_read(database: Database, operations: OperationStore) -> None:
    holds, targets = HoldStore(database), TargetStore(database)
    nothing = Around(rollbacks=0, failed_forwards=0, held=(), made=(), alive="", burning=0, targets=0)
    assert await holds.around(TARGET, since=START, burning_since=START) == nothing
    await targets.remember(
        Listing(
            targets=(ListedTarget(target=TARGET, project="p", namespace="n", health="Healthy", desired_revision="", stamp="1", objects=()),), complete=True
        ),
        "prod",
        START,
    )
    await put(database, "hld_0", TARGET, -2, "ended")
    await holds.end("hld_0", by="user:jane", because="fixed", at=START)
    await put(database, "hld_1", TARGET, -1, "z-first", "a-second")
    await put(database, "hld_2", CART, 0, "another")
    for number, outcome in enumerate([Outcome.FAILED, Outcome.RECOVERED]):
        row = await operations.begin(replace(operation(f"op_{number}", automatic=True), kind=OperationKind.FORWARD), (), ())
        ended = Transition(phase="ended", data={}, first_effect=True, goal_key=f"g{number}", done=outcome)
        await operations.commit(row, ended, START + number * HOUR)
    for handle, hours in (("44", 2), ("43", 1)):
        await targets.note_made(TARGET, "op_0", handle, START + hours * HOUR)
    await targets.note_made(CART, "op_0", "7", START)
    await operations.begin(operation("op_2"), (), ())
    expected = replace(nothing, failed_forwards=1, held=("z-first", "a-second"), made=("43", "44"), alive="op_2", targets=1)
    assert await holds.around(TARGET, since=START, burning_since=START) == expected
    assert (await holds.around(TARGET, since=START + HOUR, burning_since=START)).failed_forwards == 0
