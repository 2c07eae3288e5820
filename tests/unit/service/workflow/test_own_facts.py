from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from service.domain import keys
from service.domain.correlation import names_of
from service.domain.facts import Absent, Fact, Key, Known
from service.domain.model import ObjectRef, Operation, Outcome, TargetId
from service.domain.ports import ListedTarget, Listing, Placement, Transition
from service.workflow.own_facts import OwnFacts
from service.workflow.watch import Freshness
from tests.fakes.store import delivery, notice, operation
from tests.unit.service.domain import made
from tests.unit.service.workflow.stage import PROMISED_BY_THE_STORE, TARGET, Stage

ON_BOTH = PROMISED_BY_THE_STORE

FLAGS = ObjectRef(group="", kind="ConfigMap", namespace="shop", name="flags")


async def read(stage: Stage, key: Key[Any]) -> Fact[Any]:
    return await stage.own.read(key)


async def known(stage: Stage, key: Key[Any]) -> Any:
    fact = await read(stage, key)
    assert isinstance(fact, Known), fact
    return fact.value


async def limits(stage: Stage) -> keys.Limits:
    value: keys.Limits = await known(stage, keys.limits(TARGET))
    return value


async def targets(stage: Stage, count: int, *objects: ObjectRef) -> list[TargetId]:
    many = tuple(
        ListedTarget(target=TargetId("prod", f"t{n}"), project="p", namespace="n", health="Healthy", desired_revision="a", stamp="1", objects=objects)
        for n in range(count)
    )
    await stage.targets.remember(Listing(targets=many, complete=True), "prod", stage.clock.now())
    return [one.target for one in many]


async def burn(stage: Stage, target: TargetId) -> None:
    (episode,) = await stage.alerts.undecided(await stage.alerts.accept(delivery(notice(str(target)), at=stage.clock.now())))
    await stage.alerts.place((Placement(episode=episode, disposition="placed", says="", target=target, rung="label"),), stage.clock.now())


async def test_a_record_is_what_was_seen_while_the_release_lived(stage: Stage) -> None:
    assert (await known(stage, keys.record(TARGET, made.GOAL.key))).images == (made.OLD_IMAGE,)


async def test_promise_1_a_release_that_nobody_saw_is_absent(stage: Stage) -> None:
    fact = await read(stage, keys.record(TARGET, "key-1"))
    assert isinstance(fact, Absent)
    assert fact.why == "Backout never saw that release live"


async def test_the_baseline_is_the_spec_before_that_time(stage: Stage) -> None:
    assert await known(stage, keys.baseline(TARGET, made.ONSET)) == "sha256:spec"


async def test_promise_1_without_an_earlier_look_or_a_time_there_is_no_baseline(stage: Stage) -> None:
    assert isinstance(await read(stage, keys.baseline(TARGET, made.ONSET - timedelta(days=1))), Absent)
    assert isinstance(await read(stage, keys.baseline(TARGET)), Absent)


async def test_limits_begin_with_nothing_against_acting(stage: Stage) -> None:
    found = await limits(stage)
    assert (found.automatic_rollbacks, found.held, found.made_by_backout, found.alive) == (0, (), (), ())
    assert (found.wide_outage, found.disarmed, found.within) == ("", "", timedelta(hours=6))


async def test_promise_10_an_automatic_rollback_disarms_for_the_window(stage: Stage) -> None:
    row = await stage.begin()
    effect = Transition(phase="ended", data=row.data, first_effect=True, suspect_key="k", done=Outcome.FAILED)
    await stage.operations.commit(row, effect, stage.clock.now())
    found = await limits(stage)
    assert (found.automatic_rollbacks, found.disarmed) == (1, "1 automatic rollback within 6 h")
    acted = (await stage.holds.rollbacks_at(stage.clock.now() - timedelta(hours=6)))[TARGET]
    assert stage.policies.of(TARGET).armed_again(acted, stage.clock.now()) == stage.clock.now() + timedelta(hours=6)
    stage.clock.pass_(hours=6, seconds=1)
    assert (await limits(stage)).disarmed == ""


async def test_holds_our_own_releases_and_what_is_alive_are_told(stage: Stage) -> None:
    await stage.recovered()
    await stage.begin(identity="op_2")
    found = await limits(stage)
    assert (found.held, found.made_by_backout, found.alive) == ((made.SUSPECT.key,), ("43",), ("op_2",))


@pytest.mark.parametrize(("count", "limit"), [(5, 3), (30, 3), (50, 5)])
async def test_promise_10_more_burning_targets_than_the_limit_are_a_wide_outage(stage: Stage, count: int, limit: int) -> None:
    known_targets = await targets(stage, count)
    for target in known_targets[:limit]:
        await burn(stage, target)
    assert (await limits(stage)).wide_outage == ""
    await burn(stage, known_targets[limit])
    told = (await limits(stage)).wide_outage
    assert told == f"{limit + 1} of {count} targets had incidents within 10 minutes (limit {limit}): this is wider than one release"
    stage.clock.pass_(minutes=11)
    assert (await limits(stage)).wide_outage == ""


async def test_sharing_names_the_others_and_how_many_were_compared(stage: Stage) -> None:
    await targets(stage, 2, FLAGS)
    shared = await known(stage, keys.sharing(TargetId("prod", "t0")))
    assert shared == keys.Sharing(shared={FLAGS: (TargetId("prod", "t1"),)}, compared=2)


async def test_nobody_shares_anything_by_having_a_name_of_spinnakers_in_common(stage: Stage) -> None:
    await targets(stage, 2, FLAGS, *names_of("shop", account="prod"))
    shared = await known(stage, keys.sharing(TargetId("prod", "t0")))
    assert set(shared.shared) == {FLAGS}


async def test_of_the_other_regions_of_a_cluster_the_one_that_acts_or_began_before_comes_first(stage: Stage) -> None:
    """The target itself is one region; `t0` and `t1` are others of its cluster, `t2` is another cluster of the application."""
    here = names_of("shop", account="prod", cluster="web")
    others = await targets(stage, 2, *here)
    elsewhere = TargetId("prod", "t2")
    listed = [
        ListedTarget(target=one, project="p", namespace="n", health="Healthy", desired_revision="a", stamp="1", objects=objects)
        for one, objects in (*((one, here) for one in (TARGET, *others)), (elsewhere, names_of("shop", account="prod", cluster="api")))
    ]
    await stage.targets.remember(Listing(targets=tuple(listed), complete=True), "prod", stage.clock.now())

    async def beside() -> list[tuple[str, bool]]:
        found = await known(stage, keys.regions_beside(TARGET))
        return [(one.operation, one.acts) for one in found]

    async def begin_on(target: TargetId, identity: str) -> Operation:
        row = operation(identity, target=target, created_at=stage.clock.now(), updated_at=stage.clock.now())
        return await stage.operations.begin(row, (), ())

    assert await beside() == []
    older = await begin_on(others[0], "op_1")
    await begin_on(elsewhere, "op_2")
    assert await beside() == []  # nobody here asks yet, and it does not act
    stage.clock.pass_(seconds=1)
    await stage.begin(identity="op_3")
    stage.clock.pass_(seconds=1)
    younger = await begin_on(others[1], "op_4")
    assert await beside() == [("op_1", False)]
    await stage.operations.commit(older, Transition(phase="awaiting_approval", data=older.data), stage.clock.now())
    assert await beside() == []  # it waits for a person, and holds nobody up
    await stage.operations.commit(younger, Transition(phase="act_watch", data=younger.data, first_effect=True), stage.clock.now())
    assert await beside() == [("op_4", True)]


async def test_promise_1_a_target_that_is_not_in_the_index_shares_nobody_knows_what(stage: Stage) -> None:
    assert isinstance(await read(stage, keys.sharing(TargetId("prod", "new"))), Absent)


async def test_promise_1_a_store_that_cannot_be_read_makes_facts_absent(stage: Stage) -> None:
    async with stage.database.write() as connection:
        for table in ("operation", "release"):
            await connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO gone_{table}")
    for key in (keys.limits(TARGET), keys.record(TARGET, made.GOAL.key)):
        fact = await read(stage, key)
        assert isinstance(fact, Absent)
        assert fact.clears == "Bring the store back."


async def test_a_kind_that_is_not_ours_is_absent(stage: Stage) -> None:
    assert isinstance(await read(stage, keys.state(TARGET)), Absent)
    kept = {"kept content", "regions beside", "database catalog then", "database statements then"}
    assert stage.own.kinds == {"record", "spec baseline", "limits", "sharing", "held releases"} | kept


# --- sharing needs every instance ------------------------------------------------------------------------------------------------------


def watched_by(stage: Stage, **freshness: Freshness) -> OwnFacts:
    return OwnFacts(targets=stage.targets, holds=stage.holds, policies=stage.policies, freshness=freshness, clock=stage.clock)


def seen(stage: Stage, *, ago: timedelta = timedelta(0), complete: bool = True, trouble: str = "") -> Freshness:
    return Freshness(listed_at=stage.clock.now() - ago, complete=complete, trouble=trouble)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (lambda _: Freshness(), "it was not listed in full lately"),
        (lambda _: Freshness(trouble="503"), "503"),
        (lambda stage: seen(stage, complete=False, trouble="the answer may be short"), "the answer may be short"),
        (lambda stage: seen(stage, ago=timedelta(minutes=5, seconds=1)), "it was not listed in full lately"),
        (lambda stage: seen(stage, ago=timedelta(minutes=5, seconds=1), trouble="401"), "401"),
    ],
    ids=["never listed", "never listed, with its reason", "listed in part", "listed too long ago", "away since"],
)
async def test_promise_1_while_any_instance_is_not_known_in_full_sharing_is_unknown(stage: Stage, other: Callable[[Stage], Freshness], why: str) -> None:
    await targets(stage, 2, FLAGS)
    fact = await watched_by(stage, prod=seen(stage), staging=other(stage)).read(keys.sharing(TargetId("prod", "t0")))
    assert fact == Absent(f"other targets may share objects: staging is not known in full ({why})", clears="Make every instance list all its targets.")


async def test_promise_1_sharing_is_as_old_as_the_oldest_list_that_it_was_compared_with(stage: Stage) -> None:
    await targets(stage, 2, FLAGS)
    own = watched_by(stage, prod=seen(stage), staging=seen(stage, ago=timedelta(minutes=5)))
    fact = await own.read(keys.sharing(TargetId("prod", "t0")))
    assert isinstance(fact, Known)
    assert (fact.value.shared, stage.clock.now() - fact.evidence.read_at) == ({FLAGS: (TargetId("prod", "t1"),)}, timedelta(minutes=5))
