import asyncio
from collections.abc import Sequence
from datetime import datetime

from service.domain.errors import TemporaryError
from service.domain.model import TargetId
from service.domain.ports import Basket, Capture, Captured, Wanted
from service.workflow.capture import Capturer
from tests.fakes.clock import FakeClock

TARGET = TargetId("prod", "checkout")
BEFORE = Wanted(operation_id="op_1", target=TARGET, moment="before")


class Shelf:
    """Wants what a test says, and keeps what it gets."""

    def __init__(self, *wanted: Wanted) -> None:
        self.waiting = list(wanted)
        self.kept: list[tuple[Wanted, Capture, str]] = []

    async def wanted(self, at: datetime) -> Sequence[Wanted]:
        del at
        return tuple(self.waiting)

    async def keep(self, wanted: Wanted, capture: Capture, says: str, at: datetime) -> None:
        del at
        self.waiting.remove(wanted)
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


async def taken(shelf: Shelf, world: World, *, seconds: float = 5.0) -> tuple[Capture, str]:
    await Capturer(deliveries={"prod": world}, captures=shelf, clock=FakeClock(), seconds=seconds).round()
    ((_, capture, says),) = shelf.kept
    return capture, says


async def test_what_is_wanted_is_captured_and_counted_in_a_sentence() -> None:
    capture, says = await taken(Shelf(BEFORE), World())
    assert [one.name for one in capture.items] == ["Deployment checkout"]
    assert says == "captured before the act: 1 manifest, in 0.0 s"


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
    await Capturer(deliveries={"prod": Meeting()}, captures=shelf, clock=FakeClock()).round()
    assert len(shelf.kept) == 2
