from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.domain.model import AlertNotice, Image, ObjectRef, ReleaseRecord, TargetId
from service.domain.ports import ListedTarget, Listing, Placement
from service.domain.suspicion import Trouble
from service.store.alerts import AlertStore
from service.store.database import Database
from service.store.targets import TargetStore
from tests.fakes.clock import START
from tests.fakes.store import TARGET
from tests.fakes.store import delivery as told
from tests.unit.service.domain import made

CART = TargetId("prod", "cart")
ELSEWHERE = TargetId("test", "checkout")
MINUTE = timedelta(minutes=1)
WEB = ObjectRef(group="apps", kind="Deployment", namespace="shop", name="web")
FLAGS = ObjectRef(group="", kind="ConfigMap", namespace="shop", name="flags")


@pytest.fixture
def targets(database: Database) -> TargetStore:
    return TargetStore(database)


def listed(target: TargetId = TARGET, stamp: str = "1", *objects: ObjectRef, **changes: Any) -> ListedTarget:
    values: dict[str, Any] = {"project": "shop", "namespace": "shop", "health": "Healthy", "desired_revision": "abc"}
    return ListedTarget(target=target, stamp=stamp, objects=objects, **(values | changes))


async def remember(targets: TargetStore, *many: ListedTarget, complete: bool = True, instance: str = "prod") -> list[str]:
    return [one.stamp for one in await targets.remember(Listing(targets=many, complete=complete), instance, START)]


async def test_a_target_is_new_until_somebody_looked_at_that_stamp(targets: TargetStore) -> None:
    assert await remember(targets, listed(stamp="1")) == ["1"]
    assert await remember(targets, listed(stamp="1")) == ["1"]
    await targets.looked(TARGET, "1")
    assert await remember(targets, listed(stamp="1")) == []
    assert await remember(targets, listed(stamp="2")) == ["2"]


async def test_a_look_at_an_older_stamp_does_not_hide_a_newer_one(targets: TargetStore) -> None:
    await remember(targets, listed(stamp="1"))
    await remember(targets, listed(stamp="2"))
    await targets.looked(TARGET, "1")
    assert await remember(targets, listed(stamp="2")) == ["2"]


async def test_what_is_live_is_the_newest_record_that_has_not_ended(targets: TargetStore) -> None:
    old, new = record(key="old", watched_from=START), record(key="new", watched_from=START + timedelta(hours=1))
    for one in (replace(old, live_until=START + timedelta(hours=1)), new, replace(new, key="stale", watched_from=START)):
        await targets.remember_state_record(one)
    found = await targets.live([TARGET, CART])
    assert {target: one.key for target, one in found.items()} == {TARGET: "new"}
    assert await targets.live([]) == {}


async def test_what_was_listed_comes_back_as_it_was(targets: TargetStore) -> None:
    one = listed(TARGET, "1", WEB, FLAGS, images=("registry.example/shop/web:1",))
    await remember(targets, one)
    assert await targets.listed(TARGET) == one
    assert await targets.listing() == ((one, START),)
    assert (await targets.seen(TARGET), await targets.seen(CART)) == ((one, START), None)
    assert await targets.listed(CART) is None
    await remember(targets, listed(TARGET, "2", health="Degraded"))
    changed = await targets.listed(TARGET)
    assert changed is not None
    assert changed.health == "Degraded"


async def test_a_complete_list_forgets_what_it_no_longer_holds(targets: TargetStore) -> None:
    await remember(targets, listed(TARGET, "1", WEB), listed(CART))
    await remember(targets, listed(CART))
    assert await targets.known() == (CART,)
    assert await targets.index([WEB]) == {}


async def test_promise_1_an_incomplete_list_forgets_nothing(targets: TargetStore) -> None:
    await remember(targets, listed(TARGET, "1", WEB), listed(CART))
    await remember(targets, complete=False)
    assert await targets.known() == (CART, TARGET)
    assert await targets.index([WEB]) == {WEB: (TARGET,)}


async def test_the_list_of_one_instance_says_nothing_of_another(targets: TargetStore) -> None:
    await remember(targets, listed(TARGET))
    await remember(targets, listed(ELSEWHERE), instance="test")
    assert await targets.known() == (TARGET, ELSEWHERE)


async def test_of_many_ids_those_that_are_known_are_told_and_all_are_counted(targets: TargetStore) -> None:
    await remember(targets, listed(TARGET), listed(CART))
    await remember(targets, listed(ELSEWHERE), instance="test")
    many = [f"prod:no-{number}" for number in range(250)]
    assert await targets.among({*many, str(CART), str(ELSEWHERE), "no id at all"}) == (CART, ELSEWHERE)
    assert await targets.among(many) == await targets.among(()) == ()
    assert await targets.count() == 3


async def test_a_list_of_new_changed_and_unchanged_targets_is_stored_whole(targets: TargetStore) -> None:
    await remember(targets, listed(TARGET, "1", WEB), listed(CART, "1", FLAGS))
    await targets.looked(TARGET, "1")
    await targets.looked(CART, "1")
    third = TargetId("prod", "third")
    found = await remember(targets, listed(TARGET, "1", WEB), listed(CART, "2", WEB), listed(third, "1", FLAGS), listed(third, "1", FLAGS))
    assert found == ["2", "1"]
    assert await targets.index([WEB, FLAGS]) == {WEB: (CART, TARGET), FLAGS: (third,)}
    times = {one.target: at for one, at in await targets.listing()}
    assert len(set(times.values())) == 1
    assert set(times) == {TARGET, CART, third}


async def test_the_index_leads_from_objects_to_all_their_targets(targets: TargetStore) -> None:
    await remember(targets, listed(TARGET, "1", WEB, FLAGS, FLAGS), listed(CART, "1", FLAGS))
    same_name = replace(FLAGS, kind="Secret")
    assert await targets.index([WEB, FLAGS, same_name]) == {WEB: (TARGET,), FLAGS: (CART, TARGET)}
    await remember(targets, listed(TARGET, "2", WEB), listed(CART, "1", FLAGS))
    assert await targets.index([FLAGS]) == {FLAGS: (CART,)}


async def test_shared_objects_are_those_that_others_hold_too(targets: TargetStore) -> None:
    await remember(targets, listed(TARGET, "1", WEB, FLAGS), listed(CART, "1", FLAGS))
    await remember(targets, listed(ELSEWHERE, "1", FLAGS), instance="test")
    assert await targets.shared(TARGET) == ({FLAGS: (CART, ELSEWHERE)}, 3)
    assert await targets.shared(TargetId("prod", "unknown")) == ({}, 3)


# --- what was seen while it lived -------------------------------------------------------------------------------------------


def notice_of(fingerprint: str, starts_at: datetime, ends_at: datetime | None) -> AlertNotice:
    return AlertNotice(fingerprint=fingerprint, firing=ends_at is None, starts_at=starts_at, ends_at=ends_at, labels={"alertname": "High"}, annotations={})


def record(**changes: Any) -> ReleaseRecord:
    return replace(made.record(made.GOAL, made.OLD_IMAGE), **changes)


async def test_a_release_record_is_kept_under_its_key_and_renewed(targets: TargetStore) -> None:
    first = record(healthy_for=timedelta(seconds=12.5))
    await targets.remember_state_record(first)
    assert await targets.records(TARGET) == {made.GOAL.key: first}
    later = record(healthy_for=timedelta(hours=2), live_until=START, images=None, made_by_backout=True)
    await targets.remember_state(made.state(), [later, made.record(made.SUSPECT, Image(reference="r/x:1"))], START)
    assert (await targets.records(TARGET))[made.GOAL.key] == later
    assert (await targets.records(TARGET))[made.SUSPECT.key].images == (Image(reference="r/x:1"),)
    assert await targets.records(CART) == {}


async def test_what_a_release_was_made_of_and_that_it_moved_is_kept(targets: TargetStore) -> None:
    kept = record(sources=made.GOAL.sources, objects=((WEB, "a"), (FLAGS, "b")), moved="web ran twice", fingerprint="sha256:f")
    await targets.remember_state_record(kept)
    assert (await targets.records(TARGET))[made.GOAL.key] == kept


async def test_troubles_are_when_alerts_fired_on_the_target_newest_first(targets: TargetStore, database: Database) -> None:
    alerts = AlertStore(database)
    for minute, over, target in ((1, True, TARGET), (5, False, TARGET), (3, True, CART)):
        fires = notice_of(f"f{minute}", START + minute * MINUTE, None)
        at = START + 10 * MINUTE
        (episode,) = await alerts.undecided(await alerts.accept(told(fires, at=at)))
        await alerts.place((Placement(episode=episode, disposition="placed", says="", target=target, rung="label"),), at)
        if over:
            await alerts.accept(told(replace(fires, firing=False, ends_at=START + (minute + 1) * MINUTE), at=at))
    found = await targets.troubles(TARGET)
    assert found == (Trouble(since=START + 5 * MINUTE, until=None), Trouble(since=START + MINUTE, until=START + 2 * MINUTE))
    assert await targets.troubles(TargetId("prod", "unknown")) == ()


async def seen(targets: TargetStore, digest: str, minute: int) -> None:
    await targets.remember_state(made.state(spec_digest=digest), [], START + minute * MINUTE)


async def test_promise_5_the_spec_before_a_time_is_the_last_one_read_before_it(targets: TargetStore) -> None:
    for digest, minute in (("a", 0), ("a", 10), ("b", 20), ("a", 30)):
        await seen(targets, digest, minute)
    assert await targets.spec_before(TARGET, START - MINUTE) is None
    assert await targets.spec_before(TARGET, START + 5 * MINUTE) == ("a", START + 5 * MINUTE)
    assert await targets.spec_before(TARGET, START + 15 * MINUTE) == ("a", START + 10 * MINUTE)
    assert await targets.spec_before(TARGET, START + 25 * MINUTE) == ("b", START + 20 * MINUTE)
    assert await targets.spec_before(TARGET, START + 60 * MINUTE) == ("a", START + 30 * MINUTE)
    assert await targets.spec_before(CART, START) is None


async def test_releases_that_backout_made_are_noted_once(targets: TargetStore) -> None:
    for handle in ("43", "43", "44"):
        await targets.note_made(TARGET, "op_1", handle, START)
    assert await targets.handles_made_by_backout(TARGET) == ("43", "44")
    assert await targets.handles_made_by_backout(CART) == ()


# --- two processes watch the same targets ----------------------------------------------------------------------------------------------


async def test_promise_1_a_look_that_another_process_overtook_stores_nothing(targets: TargetStore) -> None:
    before = await targets.records(TARGET)
    newer = record(last_health="Degraded")
    assert await targets.remember_state(made.state(), [newer], START, seen=before)
    assert not await targets.remember_state(made.state(), [record(live_until=START)], START, seen=before)
    assert await targets.records(TARGET) == {made.GOAL.key: newer}
    assert await targets.remember_state(made.state(), [record()], START, seen=await targets.records(TARGET))


async def test_promise_1_a_beat_of_a_record_that_changed_meanwhile_stores_nothing(targets: TargetStore) -> None:
    first = record()
    await targets.remember_state_record(first)
    over = record(live_until=START)
    await targets.remember_state_record(over)
    assert not await targets.remember_state_record(record(watched_until=START + MINUTE), seen=first)
    assert await targets.records(TARGET) == {made.GOAL.key: over}


async def stamp(targets: TargetStore, target: TargetId) -> str | None:
    found = await targets.listed(target)
    return None if found is None else found.stamp


async def test_promise_2_an_older_list_neither_forgets_nor_overwrites_what_a_later_one_told(targets: TargetStore) -> None:
    await targets.remember(Listing(targets=(listed(TARGET, stamp="2"), listed(CART, stamp="1")), complete=True), "prod", START)
    await targets.remember(Listing(targets=(listed(TARGET, stamp="1"),), complete=True), "prod", START - timedelta(seconds=1))
    assert [await stamp(targets, one) for one in (TARGET, CART)] == ["2", "1"]


async def test_a_clock_that_was_set_back_far_does_not_make_every_list_an_older_one(targets: TargetStore) -> None:
    await targets.remember(Listing(targets=(listed(TARGET, stamp="2"), listed(CART, stamp="1")), complete=True), "prod", START)
    await targets.remember(Listing(targets=(listed(TARGET, stamp="3"),), complete=True), "prod", START - timedelta(hours=1))
    assert [await stamp(targets, one) for one in (TARGET, CART)] == ["3", None]


async def test_releases_that_lived_on_are_written_down_together(targets: TargetStore) -> None:
    first, other = record(), replace(record(), target=CART)
    for one in (first, other):
        await targets.remember_state_record(one)
    assert {one.target for one in await targets.live_records((TARGET, CART, TargetId("prod", "unknown")))} == {TARGET, CART}
    later = [replace(one, watched_until=START + MINUTE, healthy_for=MINUTE, last_health="Healthy") for one in (first, other)]
    await targets.lived_on(list(zip((first, other), later, strict=True)))
    assert sorted(await targets.live_records((TARGET, CART)), key=str) == sorted(later, key=str)


async def test_a_release_that_another_process_looked_at_meanwhile_did_not_live_on_by_ours(targets: TargetStore) -> None:
    seen = record()
    await targets.remember_state_record(seen)
    theirs = replace(seen, watched_until=START + 2 * MINUTE, last_health="Degraded")
    await targets.remember_state_record(theirs)
    await targets.lived_on([(seen, replace(seen, watched_until=START + MINUTE, last_health="Healthy"))])
    assert await targets.live_records((TARGET,)) == [theirs]


async def test_a_release_that_is_over_does_not_live_on(targets: TargetStore) -> None:
    over = replace(record(), live_until=START)
    await targets.remember_state_record(over)
    await targets.lived_on([(over, replace(over, last_health="Healthy", live_until=None))])
    assert await targets.live_records((TARGET,)) == []


async def test_what_lives_is_told_without_what_it_is_made_of(targets: TargetStore) -> None:
    one = record(images=(), sources=(), moved="a tag", watched_until=START)
    over = replace(one, key="over", live_until=START)
    for each in (one, over):
        await targets.remember_state_record(each)
    assert await targets.lives((TARGET, CART)) == [replace(one, images=None, moved="")]
