import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.domain import keys
from service.domain.difference import Rendered, fingerprint
from service.domain.errors import TemporaryError
from service.domain.facts import Absent, Fact, Key, Known
from service.domain.model import Image, Release, ReleaseRecord, Source, TargetId, release_key
from service.store.targets import TargetStore
from service.workflow.watch import Watcher, _lived_on
from tests.fakes.delivery import Application, FakeDelivery
from tests.unit.service.domain import made
from tests.unit.service.workflow.stage import PROMISED_BY_THE_STORE, TARGET, Stage

ON_BOTH = PROMISED_BY_THE_STORE

FRESH = made.release("44", version="", revision="d00d" + "0" * 36, started_at=made.NOW)
STAGING = TargetId("staging", "checkout")


@pytest.fixture
async def watched(stage: Stage) -> Stage:
    """A release that nobody saw before goes live, healthy."""
    stage.app.history.insert(0, FRESH)
    stage.app.images[FRESH.key] = Image(reference="registry.example/shop/web:3", digest="sha256:" + "5" * 64, proof="pods")
    stage.app.health = "Healthy"
    stage.delivery.looks = stage.delivery.lists = 0
    return stage


async def record(stage: Stage, key: str = FRESH.key, target: TargetId = TARGET) -> ReleaseRecord:
    return (await stage.targets.records(target))[key]


async def rounds(stage: Stage, *seconds: float) -> None:
    """A round, and one more after each pause."""
    await stage.watcher.round()
    for pause in seconds:
        stage.clock.pass_(seconds=pause)
        await stage.watcher.round()


async def test_a_release_is_recorded_while_it_lives(watched: Stage) -> None:
    await rounds(watched)
    kept = await record(watched)
    assert (kept.handle, kept.watched_from, kept.healthy_for, kept.last_health) == ("44", made.NOW, timedelta(0), "Healthy")
    assert kept.images == (watched.app.images[FRESH.key],)
    assert kept.live_until is None


async def test_time_counts_as_healthy_between_two_healthy_looks(watched: Stage) -> None:
    await rounds(watched, 20, 20, 20)
    assert (await record(watched)).healthy_for == timedelta(seconds=60)


async def test_promise_1_time_before_and_after_an_unhealthy_look_does_not_count(watched: Stage) -> None:
    await rounds(watched, 20)
    watched.app.health = "Degraded"
    await rounds(watched)
    watched.clock.pass_(seconds=20)
    watched.app.health = "Healthy"
    await rounds(watched)
    kept = await record(watched)
    assert (kept.healthy_for, kept.last_health) == (timedelta(seconds=20), "Healthy")
    await rounds(watched, 20)
    assert (await record(watched)).healthy_for == timedelta(seconds=40)


async def test_promise_1_a_gap_in_the_watch_is_not_health(watched: Stage) -> None:
    await rounds(watched, 121)
    assert (await record(watched)).healthy_for == timedelta(0)
    await rounds(watched, 120)
    assert (await record(watched)).healthy_for == timedelta(minutes=2)


async def test_a_clock_that_was_set_back_does_not_take_health_away(watched: Stage) -> None:
    await rounds(watched, 20)
    watched.clock.pass_(seconds=-10)
    watched.app.spec_digest = "sha256:other"
    await rounds(watched)
    assert (await record(watched)).healthy_for == timedelta(seconds=20)


async def test_between_two_beats_nothing_is_written(watched: Stage) -> None:
    await rounds(watched, 5, 5)
    assert (await record(watched)).watched_until == made.NOW
    await rounds(watched, 5)
    assert (await record(watched)).watched_until == made.NOW + timedelta(seconds=15)


async def test_the_next_release_ends_the_record_of_the_one_before(watched: Stage) -> None:
    await rounds(watched, 20)
    newer = made.release("45", version="", revision="cafe" + "0" * 36, started_at=watched.clock.now())
    watched.app.history.insert(0, newer)
    watched.app.images[newer.key] = made.NEW_IMAGE
    await rounds(watched)
    assert (await record(watched)).live_until == watched.clock.now()
    assert (await record(watched, newer.key)).live_until is None


async def test_a_release_that_is_deployed_again_keeps_what_was_seen_of_it(watched: Stage) -> None:
    await rounds(watched, 20)
    goal = replace(made.GOAL, handle="46", started_at=watched.clock.now())
    watched.app.history.insert(0, goal)
    await rounds(watched, 20)
    kept = await record(watched, made.GOAL.key)
    assert (kept.handle, kept.healthy_for, kept.live_until) == ("46", timedelta(hours=23, seconds=20), None)
    assert kept.images == (made.OLD_IMAGE,)


# --- images --------------------------------------------------------------------------------------------------------------------------


async def test_promise_1_images_of_a_roll_out_that_is_not_settled_are_not_recorded(watched: Stage) -> None:
    watched.app.health = "Progressing"
    await rounds(watched)
    assert (await record(watched)).images is None
    watched.app.health = "Healthy"
    watched.app.pods_ready = False
    await rounds(watched)
    assert (await record(watched)).images is None


async def test_promise_1_images_that_ready_pods_do_not_agree_on_are_not_recorded(watched: Stage) -> None:
    class Mixed(FakeDelivery):
        def pods(self) -> tuple[keys.Pod, ...]:
            first, second = super().pods()
            other = replace(first.images[0], digest="sha256:" + "6" * 64)
            return first, replace(second, images=(other,))

    watched.deliveries["prod"] = Mixed(watched.clock, TARGET, watched.app)
    await rounds(watched)
    assert (await record(watched)).images is None


async def test_pods_that_serve_nobody_any_more_have_no_say_in_what_is_recorded(watched: Stage) -> None:
    class Switched(FakeDelivery):
        def pods(self) -> tuple[keys.Pod, ...]:
            first, second = super().pods()
            return first, replace(second, images=(replace(first.images[0], digest="sha256:" + "6" * 64),), ready=False, retiring=True)

    watched.deliveries["prod"] = Switched(watched.clock, TARGET, watched.app)
    await rounds(watched)
    assert (await record(watched)).images == (watched.app.images[watched.app.live.key],)


async def test_promise_1_images_without_a_digest_are_not_recorded(watched: Stage) -> None:
    watched.app.images[FRESH.key] = Image(reference="registry.example/shop/web:3")
    await rounds(watched)
    assert (await record(watched)).images is None


async def test_images_that_were_recorded_stay_when_they_cannot_be_seen_any_more(watched: Stage) -> None:
    await rounds(watched)
    watched.app.health = "Degraded"
    await rounds(watched)
    assert (await record(watched)).images == (watched.app.images[FRESH.key],)


async def test_while_an_operation_runs_no_images_are_recorded(watched: Stage) -> None:
    watched.app.running = keys.Running(by=made.ROBOT, ours=False, automated=True, phase="Running", says="", since=None, revision="x")
    await rounds(watched)
    assert (await record(watched)).images is None


async def test_a_release_gets_the_version_that_its_image_says(watched: Stage) -> None:
    exact = watched.app.images[FRESH.key].exact
    assert exact is not None
    watched.facts.tell(keys.image_config(exact), keys.ImageConfig(labels={}, revision="", repository="", version="v3.0.0"))
    await rounds(watched)
    assert (await record(watched)).version == "v3.0.0"


# --- trouble ----------------------------------------------------------------------------------------------------------------------------


async def test_an_instance_that_does_not_answer_is_told_and_does_not_stop_the_others(watched: Stage) -> None:
    other = FakeDelivery(watched.clock, STAGING, Application(history=[replace(FRESH, target=STAGING)], images=watched.app.images, health="Healthy"))
    watched.deliveries["staging"] = other
    watched.use(watched.policies.of(TARGET))
    watched.delivery.trouble["targets"] = TemporaryError("503")
    await rounds(watched, 20)
    assert watched.watcher.freshness["prod"].trouble == "503"
    assert watched.watcher.freshness["prod"].listed_at is None
    assert watched.watcher.freshness["staging"].trouble == ""
    assert (await record(watched, target=STAGING)).healthy_for == timedelta(seconds=20)


async def test_each_instance_has_a_beat_of_its_own(watched: Stage) -> None:
    """Else the first to answer would write down its health, and the second never."""
    other = FakeDelivery(watched.clock, STAGING, Application(history=[replace(FRESH, target=STAGING)], images=watched.app.images, health="Healthy"))
    watched.deliveries["staging"] = other
    watched.use(watched.policies.of(TARGET))
    await rounds(watched, 20, 20)
    for target in (TARGET, STAGING):
        assert (await record(watched, target=target)).healthy_for == timedelta(seconds=40)


async def test_a_target_that_cannot_be_looked_at_is_looked_at_again(watched: Stage) -> None:
    watched.delivery.trouble["look"] = TemporaryError("503")
    await rounds(watched)
    assert watched.watcher.freshness["prod"].trouble == "prod:checkout: 503"
    del watched.delivery.trouble["look"]
    await rounds(watched)
    assert watched.watcher.freshness["prod"].trouble == ""
    assert (await record(watched)).handle == "44"


async def test_an_incomplete_list_says_so(watched: Stage) -> None:
    watched.delivery.complete = False
    await rounds(watched)
    fresh = watched.watcher.freshness["prod"]
    assert (fresh.complete, fresh.trouble, fresh.listed_at) == (False, "the answer may be short", made.NOW)


async def test_the_spec_is_remembered_as_it_was_seen(watched: Stage) -> None:
    await rounds(watched)
    watched.clock.pass_(seconds=30)
    watched.app.spec_digest = "sha256:edited"
    await rounds(watched)
    assert await watched.targets.spec_before(TARGET, made.NOW + timedelta(seconds=10)) == ("sha256:spec", made.NOW)
    assert (await watched.targets.spec_before(TARGET, watched.clock.now()) or ("", None))[0] == "sha256:edited"


async def test_a_target_is_looked_at_closely_only_when_something_changed(watched: Stage) -> None:
    await rounds(watched, 20, 20)
    assert watched.delivery.looks == 1


def test_a_watcher_begins_with_nothing_known(stage: Stage) -> None:
    fresh = Watcher(deliveries=stage.deliveries, targets=stage.targets, gatherer=stage.gatherer, clock=stage.clock).freshness["prod"]
    assert (fresh.listed_at, fresh.complete, fresh.trouble) == (None, False, "")


# --- looks that do not belong to the release they name ---------------------------------------------------------------------------------


class Unsure(FakeDelivery):
    """What runs may not belong to the release that it names as current."""

    settled = True
    failed_newer = ""

    async def look(self, target: TargetId) -> keys.TargetState:
        return replace(await super().look(target), settled=self.settled, failed_newer=self.failed_newer)


def unsure(stage: Stage, *, settled: bool = True, failed_newer: str = "") -> Unsure:
    found = Unsure(stage.clock, TARGET, stage.app)
    found.settled, found.failed_newer = settled, failed_newer
    stage.deliveries["prod"] = found
    return found


NOT_ITS_OWN = pytest.mark.parametrize("how", [{"settled": False}, {"failed_newer": "a deploy of d00d ended Failed"}], ids=["not settled", "failed newer"])


@NOT_ITS_OWN
async def test_promise_1_a_look_at_what_may_not_be_the_release_records_no_images_and_the_first_sure_look_does(watched: Stage, how: dict[str, Any]) -> None:
    delivery = unsure(watched, **how)
    for _ in range(3):
        await watched.watcher.look(TARGET)
        watched.clock.pass_(seconds=20)
        assert (await record(watched)).images is None
    delivery.settled, delivery.failed_newer = True, ""
    await watched.watcher.look(TARGET)
    assert (await record(watched)).images == (watched.app.images[FRESH.key],)


@NOT_ITS_OWN
async def test_promise_1_an_unsure_look_does_not_touch_the_images_that_were_recorded(watched: Stage, how: dict[str, Any]) -> None:
    await watched.watcher.look(TARGET)
    its_own = watched.app.images[FRESH.key]
    unsure(watched, **how)
    watched.app.images[FRESH.key] = replace(its_own, digest="sha256:" + "6" * 64)  # the next release's pods, under this one's name
    await watched.watcher.look(TARGET)
    assert (await record(watched)).images == (its_own,)


async def test_promise_1_while_part_of_a_failed_deploy_may_be_live_nothing_counts_as_the_older_releases_health(watched: Stage) -> None:
    await watched.watcher.look(TARGET)
    unsure(watched, failed_newer="a deploy of d00d ended Failed")
    for _ in range(3):
        watched.clock.pass_(seconds=20)
        await watched.watcher.look(TARGET)
    kept = await record(watched)
    assert (kept.healthy_for, kept.watched_until) == (timedelta(0), watched.clock.now())


async def test_promise_1_what_went_back_to_the_stamp_of_an_earlier_look_is_looked_at_again(watched: Stage) -> None:
    await rounds(watched, 20)
    newer = made.release("45", version="", revision="cafe" + "0" * 36, started_at=watched.clock.now())
    watched.app.history.insert(0, newer)
    watched.app.images[newer.key] = made.NEW_IMAGE
    await watched.watcher.look(TARGET)  # for a hint, or while it was not settled: the list never showed a stamp with it that counted
    assert (await record(watched)).live_until is not None
    watched.app.history.remove(newer)
    await rounds(watched)
    assert ((await record(watched)).live_until, (await record(watched, newer.key)).live_until) == (None, watched.clock.now())


async def test_a_look_that_was_not_final_is_taken_again_although_the_stamp_is_the_one_before(watched: Stage) -> None:
    await rounds(watched, 20)
    delivery = unsure(watched, settled=False)
    await watched.watcher.look(TARGET)
    delivery.settled = True
    looks = delivery.looks
    await rounds(watched, 20)
    assert ((await record(watched)).vouched, delivery.looks) == (True, looks + 1)


def wanted() -> Release:
    sources = (Source(repository="https://git.example/web", path="deploy", revision="d" * 40),)
    return replace(FRESH, key=release_key(sources), sources=sources)


async def test_an_object_that_only_the_wanted_release_has_is_not_missed_of_the_one_that_is_live(watched: Stage) -> None:
    """Git adds an object and a person syncs hours later: Argo CD calls the application Missing meanwhile, and the release was good to its end."""
    await rounds(watched, 0, 20, 20)
    watched.app.health, watched.app.desired = "Missing", wanted()
    await rounds(watched, 20, 20, 20)
    kept = await record(watched)
    assert (kept.healthy_for, kept.last_health, kept.vouched) == (timedelta(seconds=40), "Healthy", False)
    watched.app.health, watched.app.desired = "Healthy", None
    await rounds(watched, 20, 20)
    kept = await record(watched)
    assert (kept.healthy_for, kept.last_health, kept.vouched) == (timedelta(seconds=80), "Healthy", True)  # not the minute in between


async def test_promise_1_a_release_that_was_never_seen_but_while_another_is_missed_was_not_healthy(watched: Stage) -> None:
    watched.app.health, watched.app.desired = "Missing", wanted()
    await rounds(watched, 0, 20, 20)
    kept = await record(watched)
    assert (kept.healthy_for, kept.last_health) == (timedelta(0), "")


async def test_what_is_missing_of_the_release_that_is_live_counts_against_it(watched: Stage) -> None:
    await rounds(watched, 0, 20)
    watched.app.health = "Missing"
    await rounds(watched, 20, 20)
    assert (await record(watched)).last_health == "Missing"


@pytest.mark.parametrize("back", [True, False], ids=["and back again", "and stays so"])
async def test_promise_1_a_release_that_ran_with_another_digest_than_recorded_is_known_by_none_from_then_on(watched: Stage, *, back: bool) -> None:
    first = watched.app.images[FRESH.key]
    moved = replace(first, digest="sha256:" + "6" * 64)
    await watched.watcher.look(TARGET)
    watched.app.images[FRESH.key] = moved
    await watched.watcher.look(TARGET)
    (known,) = (await record(watched)).images or ()
    assert (known.reference, known.digest, known.proof) == (first.reference, None, "")
    watched.app.images[FRESH.key] = first if back else moved
    for _ in range(2):
        await watched.watcher.look(TARGET)
    (known,) = (await record(watched)).images or ()
    assert (known.digest, known.exact) == (None, None)


async def test_promise_1_an_image_that_another_look_adds_leaves_the_others_as_they_were(watched: Stage) -> None:
    sidecar = Image(reference="registry.example/mesh/proxy:1", digest="sha256:" + "9" * 64, proof="pods")

    class WithSidecar(FakeDelivery):
        def pods(self) -> tuple[keys.Pod, ...]:
            return tuple(replace(pod, images=(*pod.images, sidecar)) for pod in super().pods())

    await watched.watcher.look(TARGET)
    watched.deliveries["prod"] = WithSidecar(watched.clock, TARGET, watched.app)
    await watched.watcher.look(TARGET)
    assert (await record(watched)).images == (sidecar, watched.app.images[FRESH.key])


def test_promise_1_time_next_to_an_unsure_look_is_not_time_in_which_the_release_was_seen_healthy() -> None:
    unsure = ReleaseRecord(
        target=TARGET,
        key="k",
        handle="1",
        version="",
        images=None,
        watched_from=made.NOW,
        watched_until=made.NOW,
        healthy_for=timedelta(seconds=7),
        last_health="Healthy",
        vouched=False,
    )
    sure = _lived_on(unsure, "Healthy", made.NOW + timedelta(seconds=20))
    assert (sure.healthy_for, sure.vouched) == (timedelta(seconds=7), True)
    later = _lived_on(sure, "Healthy", made.NOW + timedelta(seconds=50))
    assert later.healthy_for == timedelta(seconds=37)


# --- hints --------------------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def hearing(stage: Stage, *hints: TargetId | Exception | None) -> AsyncIterator[None]:
    """The instance streams, and somebody takes its hints down."""
    stage.delivery.tell(*hints)
    task = asyncio.ensure_future(stage.watcher.hear("prod"))
    await turns()
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_word_from_outside_has_the_instance_listed_once_however_often_it_comes(watched: Stage) -> None:
    await watched.watcher.round()
    before = watched.delivery.lists
    for _ in range(100):
        watched.watcher.list_again("prod")
    await heeded(watched)
    assert watched.delivery.lists == before, "it waits whether more comes"
    await heeded(watched, 30)
    await heeded(watched, 30)
    assert watched.delivery.lists == before + 1


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def heeded(stage: Stage, seconds: float = 0) -> None:
    stage.clock.pass_(seconds=seconds)
    await stage.watcher.heed("prod")


async def tell(stage: Stage, *hints: TargetId | Exception | None) -> None:
    stage.delivery.tell(*hints)
    await turns()


def stream(stage: Stage) -> tuple[str, str]:
    fresh = stage.watcher.freshness["prod"]
    return fresh.stream.value, fresh.stream_trouble


async def test_after_each_connect_everything_is_listed_again(watched: Stage) -> None:
    async with hearing(watched):
        await heeded(watched)
        assert watched.delivery.lists == 0
        await heeded(watched, 1)
        assert (watched.delivery.lists, stream(watched)) == (1, ("up", ""))
        await tell(watched, TemporaryError("cut off"))
        await heeded(watched, 1)
    assert (watched.delivery.streams, watched.delivery.lists) == (2, 2)


async def test_a_hint_makes_one_target_be_looked_at_and_lists_nothing(watched: Stage) -> None:
    await rounds(watched)
    async with hearing(watched):
        await heeded(watched, 1)
        watched.app.health = "Degraded"
        looks, lists = watched.delivery.looks, watched.delivery.lists
        await tell(watched, TARGET, TARGET, TARGET)
        await heeded(watched)
    assert (watched.delivery.looks - looks, watched.delivery.lists - lists) == (1, 0)
    assert (await record(watched)).last_health == "Degraded"


async def test_many_hints_for_one_target_are_one_look_a_second(watched: Stage) -> None:
    await rounds(watched)
    async with hearing(watched):
        await heeded(watched, 1)
        looks = watched.delivery.looks
        for _ in range(8):
            await tell(watched, TARGET)
            await heeded(watched, 0.25)
    assert watched.delivery.looks - looks == 2


async def test_promise_1_a_hint_is_no_fact(watched: Stage) -> None:
    """What the stream says of a target is not recorded; only what is read then."""
    await rounds(watched)
    before = await record(watched)
    async with hearing(watched):
        await tell(watched, TARGET)
    assert await record(watched) == before


async def test_a_hint_for_a_target_that_was_never_listed_makes_everything_be_listed(watched: Stage) -> None:
    await rounds(watched)
    async with hearing(watched):
        await heeded(watched, 1)
        lists, looks = watched.delivery.lists, watched.delivery.looks
        await tell(watched, TargetId("prod", "new"))
        await heeded(watched)
        await heeded(watched, 1)
    assert (watched.delivery.lists - lists, watched.delivery.looks - looks) == (1, 0)


async def test_a_burst_of_hints_for_a_list_puts_it_off_five_seconds_at_most(watched: Stage) -> None:
    async with hearing(watched):
        for _ in range(9):
            await tell(watched, None)
            await heeded(watched, 0.5)
        assert watched.delivery.lists == 0
        await tell(watched, None)
        await heeded(watched, 0.5)
    assert watched.delivery.lists == 1


async def test_a_target_that_has_not_settled_is_looked_at_again_without_a_hint(watched: Stage) -> None:
    delivery = watched.delivery = unsure(watched, settled=False)
    await rounds(watched)
    async with hearing(watched, TARGET):
        await heeded(watched)
        await heeded(watched, 1)
        looks = delivery.looks
        for _ in range(60):
            await heeded(watched, 1)
        assert delivery.looks == looks + 7  # after 2, 4 and 8 s, then every 10 s
        delivery.settled = True
        await heeded(watched, 10)
        looks = delivery.looks
        await heeded(watched, 60)
    assert delivery.looks == looks


async def test_a_target_that_does_not_settle_for_very_long_is_looked_at_on_and_on(watched: Stage) -> None:
    delivery = watched.delivery = unsure(watched, settled=False)
    await rounds(watched)
    async with hearing(watched, TARGET):
        await heeded(watched)
        for _ in range(70):
            await heeded(watched, 10)
        looks = delivery.looks
        await heeded(watched, 10)
    assert delivery.looks == looks + 1


async def test_images_that_are_not_agreed_on_yet_are_looked_for_again_for_half_a_minute(watched: Stage) -> None:
    """When the last old pod is gone, nothing changes that a stream would tell."""
    watched.app.pods_ready = False
    await rounds(watched)
    async with hearing(watched, TARGET):
        await heeded(watched, 1)
        watched.app.pods_ready = True
        await heeded(watched, 1)
        assert (await record(watched)).images == (watched.app.images[FRESH.key],)
        looks = watched.delivery.looks
        watched.app.pods_ready = False
        watched.app.images[FRESH.key] = Image(reference="registry.example/shop/web:3")
        for _ in range(60):
            await heeded(watched, 1)
        assert watched.delivery.looks == looks


async def test_images_that_nobody_can_tell_are_given_up(watched: Stage) -> None:
    watched.app.pods_ready = False
    await rounds(watched)
    async with hearing(watched, TARGET):
        looks = watched.delivery.looks
        for _ in range(120):
            await heeded(watched, 1)
    assert watched.delivery.looks - looks == 6  # for the hint, and five times by itself


async def test_while_hints_come_the_list_is_read_a_third_as_often_and_health_goes_on_counting(watched: Stage) -> None:
    await rounds(watched)
    async with hearing(watched):
        await heeded(watched, 1)
        lists = watched.delivery.lists
        await rounds(watched, *[10] * 6)
    assert watched.delivery.lists - lists == 2
    assert (await record(watched)).healthy_for == timedelta(seconds=61)


async def test_while_the_stream_is_down_the_list_is_read_as_often_as_without(watched: Stage) -> None:
    watched.delivery.trouble["changes"] = TemporaryError("no way")
    async with hearing(watched):
        assert stream(watched) == ("down", "no way")
        await rounds(watched, 10, 10)
    assert watched.delivery.lists == 3


async def test_a_target_that_cannot_be_looked_at_is_the_instances_trouble_and_the_list_is_read_again(watched: Stage) -> None:
    await rounds(watched)
    async with hearing(watched):
        await heeded(watched, 1)
        watched.delivery.trouble["look"] = TemporaryError("permission denied")
        await tell(watched, TARGET)
        await heeded(watched, 1)
        assert watched.watcher.freshness["prod"].trouble == "prod:checkout: permission denied"
        lists = watched.delivery.lists
        await rounds(watched)
    assert watched.delivery.lists == lists + 1


async def test_a_stream_that_fails_is_asked_for_again_later_and_later(watched: Stage) -> None:
    watched.delivery.tell()
    watched.delivery.trouble["changes"] = TemporaryError("no way")
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        watched.clock.pass_(seconds=seconds)
        if len(pauses) == 9:
            watched.delivery.hints = None

    watched.clock.sleep = sleep  # type: ignore[method-assign]  # the fake's own, so that the pauses can be seen
    await Watcher(deliveries=watched.deliveries, targets=watched.targets, gatherer=watched.gatherer, clock=watched.clock, jitter=lambda: 0.5).hear("prod")
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_a_connection_that_lived_long_is_asked_for_again_soon(watched: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def one_life(seconds: float) -> AsyncIterator[None]:
        yield None
        watched.clock.pass_(seconds=seconds)

    lives = iter([one_life(seconds) for seconds in (0, 0, 61, 0)])
    monkeypatch.setattr(watched.delivery, "changes", lambda: next(lives, None))
    watched.clock.sleep = sleep  # type: ignore[method-assign]  # the fake's own, so that the pauses can be seen
    await Watcher(deliveries=watched.deliveries, targets=watched.targets, gatherer=watched.gatherer, clock=watched.clock, jitter=lambda: 0.5).hear("prod")
    assert pauses == [1, 2, 1, 2]


async def test_an_instance_that_tells_nothing_is_only_polled(watched: Stage) -> None:
    await watched.watcher.hear("prod")
    assert stream(watched) == ("off", "")


async def test_a_clock_that_was_set_back_puts_no_look_off(watched: Stage) -> None:
    await rounds(watched)
    async with hearing(watched):
        await heeded(watched, 1)
        await tell(watched, TARGET, None)
        lists, looks = watched.delivery.lists, watched.delivery.looks
        await heeded(watched, -3600)
        assert (watched.delivery.lists - lists, watched.delivery.looks - looks) == (1, 1)
        watched.clock.pass_(seconds=-3600)
        await watched.watcher.round()
    assert watched.delivery.lists - lists == 2


# --- what a release is made of -----------------------------------------------------------------------------------------


def rendered(digest: str) -> tuple[Rendered, ...]:
    return (Rendered(object=made.CONFIG_MAP, digest=digest),)


async def test_what_a_release_is_made_of_is_recorded_while_it_lives_with_one_fingerprint(watched: Stage) -> None:
    watched.app.manifests[FRESH.key] = rendered("a")
    await watched.watcher.look(TARGET)
    kept = await record(watched)
    assert (kept.sources, kept.objects, kept.moved) == (FRESH.sources, ((made.CONFIG_MAP, "a"),), "")
    assert kept.fingerprint == fingerprint(kept.images, kept.objects) != ""


async def test_manifests_that_could_not_be_read_are_read_at_the_next_look(watched: Stage) -> None:
    await watched.watcher.look(TARGET)
    assert ((await record(watched)).objects, (await record(watched)).fingerprint) == (None, "")
    watched.app.manifests[FRESH.key] = rendered("a")
    await watched.watcher.look(TARGET)
    assert (await record(watched)).objects == ((made.CONFIG_MAP, "a"),)


@NOT_ITS_OWN
async def test_promise_1_manifests_are_not_recorded_from_an_unsure_look(watched: Stage, how: dict[str, Any]) -> None:
    watched.app.manifests[FRESH.key] = rendered("a")
    unsure(watched, **how)
    await watched.watcher.look(TARGET)
    assert (await record(watched)).objects is None


async def test_promise_1_a_release_whose_image_moved_is_told_to_have_moved_for_ever(watched: Stage) -> None:
    first = watched.app.images[FRESH.key]
    await watched.watcher.look(TARGET)
    watched.app.images[FRESH.key] = replace(first, digest="sha256:" + "6" * 64)
    await watched.watcher.look(TARGET)
    told = f"registry.example/shop/web ran as sha256:{'5' * 12} and later as sha256:{'6' * 12}"
    assert (await record(watched)).moved == told
    watched.app.images[FRESH.key] = first
    await watched.watcher.look(TARGET)
    assert ((await record(watched)).moved, (await record(watched)).fingerprint) == (told, "")


async def test_promise_1_a_release_that_renders_otherwise_when_it_is_deployed_again_has_moved(watched: Stage) -> None:
    watched.app.manifests[FRESH.key] = rendered("a")
    await watched.watcher.look(TARGET)
    watched.app.manifests[FRESH.key] = rendered("b")
    await watched.watcher.look(TARGET)
    assert (await record(watched)).moved == ""  # rendered once for each time it is deployed
    watched.app.history.insert(0, replace(FRESH, handle="45"))
    await watched.watcher.look(TARGET)
    assert (await record(watched)).moved == "ConfigMap shop/flags was rendered in two ways"


async def test_a_release_that_renders_the_same_when_it_is_deployed_again_has_not_moved(watched: Stage) -> None:
    watched.app.manifests[FRESH.key] = rendered("a")
    await watched.watcher.look(TARGET)
    watched.app.history.insert(0, replace(FRESH, handle="45"))
    await watched.watcher.look(TARGET)
    kept = await record(watched)
    assert (kept.handle, kept.moved, kept.objects) == ("45", "", ((made.CONFIG_MAP, "a"),))


async def test_a_slow_look_does_not_write_over_what_a_later_one_saw(watched: Stage) -> None:
    """The list's look at the old release hangs in the pods; meanwhile the next one goes live and a hint comes."""
    await rounds(watched)
    hanging, go_on = asyncio.Event(), asyncio.Event()

    class Slow(FakeDelivery):
        async def read(self, key: Key[Any]) -> Fact[Any]:
            if key.kind == "pods" and not hanging.is_set():
                hanging.set()
                await go_on.wait()
            return await super().read(key)

    watched.deliveries["prod"] = Slow(watched.clock, TARGET, watched.app)
    first = asyncio.ensure_future(watched.watcher.look(TARGET))
    await hanging.wait()
    newer = made.release("45", version="", revision="cafe" + "0" * 36, started_at=watched.clock.now())
    watched.app.history.insert(0, newer)
    watched.app.images[newer.key] = made.NEW_IMAGE
    second = asyncio.ensure_future(watched.watcher.look(TARGET))
    await turns()
    go_on.set()
    await asyncio.gather(first, second)
    assert ((await record(watched)).live_until is None, (await record(watched, newer.key)).live_until is None) == (False, True)


class Overtaken(TargetStore):
    """Another process writes the same target between each look and its record, so many times."""

    times = 1

    async def remember_state(
        self, state: keys.TargetState, records: Sequence[ReleaseRecord], at: datetime, *, seen: Mapping[str, ReleaseRecord] | None = None
    ) -> bool:
        if self.times:
            self.times -= 1
            await super().remember_state_record(replace(records[0], last_health=f"told by another {self.times}"))
        return await super().remember_state(state, records, at, seen=seen)


async def test_promise_1_a_look_that_another_process_overtook_is_taken_again(watched: Stage) -> None:
    targets = Overtaken(watched.database)
    watcher = Watcher(deliveries=watched.deliveries, targets=targets, gatherer=watched.gatherer, clock=watched.clock)
    await watcher.look(TARGET)
    assert (await record(watched)).last_health == "Healthy"


async def test_a_look_that_is_overtaken_all_the_time_is_put_off(watched: Stage) -> None:
    targets = Overtaken(watched.database)
    targets.times = 100
    watcher = Watcher(deliveries=watched.deliveries, targets=targets, gatherer=watched.gatherer, clock=watched.clock)
    with pytest.raises(TemporaryError, match="another process"):
        await watcher.look(TARGET)


def with_parameters(handle: str, parameters: str) -> Release:
    """A release of one commit for ever, told from the others by its parameters."""
    found = made.release(handle, version="", revision="d00d" + "0" * 36, started_at=made.NOW)
    return replace(found, sources=tuple(replace(source, parameters=parameters) for source in found.sources))


async def live(stage: Stage, release: Release, digest: str) -> None:
    """It goes live, and Backout sees what it renders to."""
    stage.app.history.insert(0, release)
    stage.app.images[release.key] = Image(reference=f"registry.example/shop/web@sha256:{digest * 64}", digest=f"sha256:{digest * 64}", proof="reference")
    stage.app.manifests[release.key] = rendered(digest)
    await stage.watcher.look(TARGET)


async def test_what_the_live_release_renders_to_is_kept_and_that_of_one_with_other_parameters_before_it(watched: Stage) -> None:
    first, second, third = with_parameters("45", "sha256:1"), with_parameters("46", "sha256:2"), with_parameters("47", "sha256:2")
    await live(watched, first, "a")
    await live(watched, second, "b")
    await live(watched, third, "c")
    kept = [await watched.targets.content(TARGET, one.key) for one in (first, second, third)]
    assert [one and one.rendered for one in kept] == [rendered("a"), None, rendered("c")]  # whoever renders the third renders the second
    assert kept[0] is not None
    assert kept[0].images == (watched.app.images[first.key],)


async def test_what_was_kept_is_a_fact_and_what_was_not_is_absent_with_its_reason(watched: Stage) -> None:
    first = with_parameters("45", "sha256:1")
    await live(watched, first, "a")
    kept, none = await watched.own.read(keys.kept_content(TARGET, first.key)), await watched.own.read(keys.kept_content(TARGET, "another"))
    assert isinstance(kept, Known)
    assert kept.value == await watched.targets.content(TARGET, first.key)
    assert none == Absent("Backout did not keep what that release rendered to", clears="It is kept from the next deploy on.")
