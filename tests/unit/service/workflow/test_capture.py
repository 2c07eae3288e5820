import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime

from service.domain.errors import TemporaryError, UnavailableError
from service.domain.model import TargetId
from service.domain.ports import Basket, Capture, Captured, Wanted
from service.workflow.capture import AT_ONCE, Capturer
from tests.fakes.clock import FakeClock

TARGET = TargetId("prod", "checkout")
BEFORE = Wanted(operation_id="op_1", target=TARGET, moment="before")


class Shelf:
    """Wants what a test says, and keeps what it gets."""

    def __init__(self, *wanted: Wanted) -> None:
        self.waiting = list(wanted)
        self.away = False
        self.came = asyncio.Event()
        self.kept: list[tuple[Wanted, Capture, str]] = []

    async def wanted(self, at: datetime) -> Sequence[Wanted]:
        del at
        return tuple(self.waiting)

    async def keep(self, wanted: Wanted, capture: Capture, says: str, at: datetime) -> None:
        del at
        if self.away:
            raise UnavailableError("the store is away")
        self.waiting.remove(wanted)
        self.came.set()
        self.kept.append((wanted, capture, says))


class World:
    """A delivery that gives a manifest at once, and then hangs or fails if it is told to."""

    def __init__(self, *, hangs: bool = False, fails: str = "") -> None:
        self.hangs, self.fails = hangs, fails
        self.asked = 0

    async def capture(self, target: TargetId, into: Basket) -> None:
        self.asked += 1
        into.items.append(Captured(kind="manifest", name=f"Deployment {target.name}", text="{}"))
        if self.fails:
            raise TemporaryError(self.fails)
        if self.hangs:
            await asyncio.Event().wait()


class Background:
    """Runs what is begun, and can wait for it."""

    def __init__(self) -> None:
        self.running: list[asyncio.Task[None]] = []

    def begin(self, name: str, one: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await one()

        self.running.append(asyncio.get_running_loop().create_task(run(), name=name))

    async def done(self) -> None:
        await asyncio.wait_for(asyncio.gather(*self.running), 60)

    async def stop(self) -> None:
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)


async def first(shelf: Shelf) -> str:
    """The name of the target whose capture was kept first."""
    await asyncio.wait_for(shelf.came.wait(), 60)
    return shelf.kept[0][0].target.name


async def taken(shelf: Shelf, world: World, *, seconds: float = 5.0) -> tuple[Capture, str]:
    background = Background()
    await Capturer(deliveries={"prod": world}, captures=shelf, clock=FakeClock(), begin=background.begin, seconds=seconds).round()
    await background.done()
    ((_, capture, says),) = shelf.kept
    return capture, says


async def test_what_is_wanted_is_captured_and_counted_in_a_sentence() -> None:
    capture, says = await taken(Shelf(BEFORE), World())
    assert [one.name for one in capture.items] == ["Deployment checkout"]
    assert says == "captured before the act: 1 manifest, in 0.0 s"


async def test_what_was_read_in_time_is_written_down_when_others_are_done_and_keeps_no_place_until_then() -> None:
    shelf, background, free = Shelf(*(wants(f"one{number}") for number in range(AT_ONCE))), Background(), asyncio.Event()
    stood_back = asyncio.Semaphore(0)

    async def stand_back() -> None:
        stood_back.release()
        await free.wait()

    world = World()
    capturer = Capturer(deliveries={"prod": world}, captures=shelf, clock=FakeClock(), begin=background.begin, stand_back=stand_back)
    await capturer.round()
    for _ in range(AT_ONCE):
        await asyncio.wait_for(stood_back.acquire(), 60)
    shelf.waiting.append(wants("another"))
    await capturer.round()
    await asyncio.wait_for(stood_back.acquire(), 60)
    assert (world.asked, shelf.kept) == (AT_ONCE + 1, [])
    free.set()
    await background.done()
    assert len(shelf.kept) == AT_ONCE + 1


async def test_the_sentence_counts_what_is_missing_and_the_capture_names_it() -> None:
    class Poor(World):
        async def capture(self, target: TargetId, into: Basket) -> None:
            assert target == TARGET
            into.items += [Captured(kind="events", name=name, text="") for name in ("a", "b")]
            into.missing += ["log of pod a: away", "log of pod b: away"]

    capture, says = await taken(Shelf(BEFORE), Poor())
    assert says == "captured before the act: 2 lists of events, in 0.0 s; 2 things are missing"
    assert capture.missing == ("log of pod a: away", "log of pod b: away")


async def test_a_capture_of_nothing_says_so() -> None:
    class Empty(World):
        async def capture(self, target: TargetId, into: Basket) -> None:
            assert (target, into.items) == (TARGET, [])

    assert (await taken(Shelf(BEFORE), Empty()))[1] == "captured before the act: nothing, in 0.0 s"


async def test_who_hangs_is_not_waited_for_and_what_came_is_kept() -> None:
    capture, says = await taken(Shelf(BEFORE), World(hangs=True), seconds=0.01)
    assert len(capture.items) == 1
    assert "missing: whatever did not come within 0.01 s" in says


async def test_what_fails_is_missing_with_its_reason() -> None:
    capture, _ = await taken(Shelf(BEFORE), World(fails="Argo CD is away"))
    assert (len(capture.items), capture.missing) == (1, ("everything else: Argo CD is away",))


async def test_promise_13_when_the_act_has_begun_nothing_is_passed_off_as_before() -> None:
    world = World()
    late = Wanted(operation_id="op_1", target=TARGET, moment="before", late=True)
    capture, says = await taken(Shelf(late), world)
    assert (world.asked, capture.items) == (0, ())
    assert "Backout had begun to act when it came to look" in says


async def test_an_instance_that_is_gone_from_the_settings_is_said() -> None:
    elsewhere = Wanted(operation_id="op_1", target=TargetId("gone", "x"), moment="after")
    capture, _ = await taken(Shelf(elsewhere), World())
    assert "gone is not configured any more" in capture.missing[0]


async def test_targets_are_captured_side_by_side() -> None:
    both = asyncio.Event()
    waiting = 0

    class Meeting(World):
        async def capture(self, target: TargetId, into: Basket) -> None:
            nonlocal waiting
            await super().capture(target, into)
            waiting += 1
            if waiting == 2:
                both.set()
            await both.wait()

    shelf = Shelf(BEFORE, Wanted(operation_id="op_2", target=TargetId("prod", "cart"), moment="before"))
    background = Background()
    await Capturer(deliveries={"prod": Meeting()}, captures=shelf, clock=FakeClock(), begin=background.begin).round()
    await background.done()
    assert len(shelf.kept) == 2


def wants(name: str, instance: str = "prod") -> Wanted:
    return Wanted(operation_id=f"op_{name}", target=TargetId(instance, name), moment="before")


async def test_a_target_that_hangs_delays_neither_the_round_nor_the_next_ones() -> None:
    """A round that waited for it would end only when it is given up, five seconds later, and the other operation may have acted by then."""
    shelf, background = Shelf(wants("slow")), Background()
    capturer = Capturer(deliveries={"prod": World(hangs=True), "eu": World()}, captures=shelf, clock=FakeClock(), begin=background.begin, seconds=600)
    await asyncio.wait_for(capturer.round(), 60)
    shelf.waiting.append(wants("cart", "eu"))
    await asyncio.wait_for(capturer.round(), 60)
    assert await first(shelf) == "cart"
    await background.stop()


async def test_an_instance_that_hangs_takes_no_places_of_another() -> None:
    shelf, background = Shelf(*(wants(f"slow{number}") for number in range(2 * AT_ONCE)), wants("cart", "eu")), Background()
    hanging = World(hangs=True)
    capturer = Capturer(deliveries={"prod": hanging, "eu": World()}, captures=shelf, clock=FakeClock(), begin=background.begin, seconds=600)
    await capturer.round()
    assert (await first(shelf), hanging.asked) == ("cart", AT_ONCE)
    await background.stop()


async def test_what_is_being_captured_is_not_begun_again_though_the_act_has_begun_meanwhile() -> None:
    shelf, background, world = Shelf(BEFORE), Background(), World(hangs=True)
    capturer = Capturer(deliveries={"prod": world}, captures=shelf, clock=FakeClock(), begin=background.begin, seconds=600)
    await capturer.round()
    await asyncio.sleep(0)
    shelf.waiting = [replace(BEFORE, late=True)]
    await capturer.round()
    await asyncio.sleep(0)
    assert (world.asked, len(background.running), shelf.kept) == (1, 1, [])
    await background.stop()


async def test_a_place_is_free_again_once_a_capture_ended_or_failed() -> None:
    shelf, background = Shelf(*(wants(f"one{number}") for number in range(AT_ONCE))), Background()
    shelf.away = True
    capturer = Capturer(deliveries={"prod": World()}, captures=shelf, clock=FakeClock(), begin=background.begin)
    await capturer.round()
    await asyncio.gather(*background.running, return_exceptions=True)
    shelf.away = False
    background.running.clear()
    await capturer.round()
    await background.done()
    assert len(shelf.kept) == AT_ONCE
