import asyncio
from datetime import timedelta

from service.domain.errors import PermanentError, RefusedError, TemporaryError
from service.domain.ports import TRIED_OFTEN
from service.engine.sender import LONG_ENOUGH, LONGEST, PARK_AFTER, OutboxSender
from tests.fakes.clock import START, FakeClock
from tests.fakes.outbox import FakeBox, FakeReceiver

CHANNEL = "notify:on-call"


class Bench:
    def __init__(self, together: int = 1) -> None:
        self.clock = FakeClock()
        self.box = FakeBox()
        self.receiver = FakeReceiver()
        self.other = FakeReceiver("trace")
        self.counted: list[tuple[str, str]] = []
        senders = {CHANNEL: (self.receiver, together), "trace": (self.other, 128)}
        self.sender = OutboxSender(box=self.box, senders=senders, clock=self.clock, count=lambda channel, what: self.counted.append((channel, what)))

    def put(self, *bodies: bytes, channel: str = CHANNEL) -> None:
        self.box.put(channel, *bodies, at=self.clock.now())

    async def round(self) -> int:
        """One of each channel."""
        return sum([await self.sender.round(channel) for channel in self.sender.channels])


async def test_everything_that_is_due_goes_out_in_order() -> None:
    bench = Bench()
    bench.put(b"1", b"2", b"3")
    assert await bench.round() == 3
    assert bench.receiver.got == [b"1", b"2", b"3"]
    assert await bench.round() == 0


async def test_what_goes_together_goes_in_one_call() -> None:
    bench = Bench(together=2)
    bench.put(b"1", b"2", b"3")
    await bench.round()
    assert bench.receiver.calls == [(b"1", b"2"), (b"3",)]


async def test_promise_13_nothing_is_lost_while_the_receiver_is_away_and_the_order_stays() -> None:
    bench = Bench()
    bench.put(b"1", b"2")
    bench.receiver.moods = [TemporaryError("away"), TemporaryError("away")]
    assert await bench.round() == 0
    bench.put(b"3")
    assert await bench.round() == 0  # the younger one waits as well
    assert len(bench.receiver.calls) == 1
    bench.clock.pass_(seconds=1)
    await bench.round()
    bench.clock.pass_(seconds=2)
    assert await bench.round() == 3
    assert bench.receiver.got == [b"1", b"2", b"3"]


async def test_a_receiver_that_hangs_holds_up_no_other_channel() -> None:
    bench = Bench()
    bench.put(b"1")
    bench.put(b"span", channel="trace")
    bench.receiver.hangs = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        hanging = group.create_task(bench.sender.round(CHANNEL))
        await bench.receiver.asked.wait()
        assert await bench.sender.round("trace") == 1
        assert not hanging.done()
        bench.receiver.hangs.set()
    assert hanging.result() == 1
    assert (bench.receiver.got, bench.other.got) == ([b"1"], [b"span"])


async def test_pauses_grow_up_to_a_limit() -> None:
    bench = Bench()
    bench.put(b"1")
    pauses = []
    for _ in range(12):
        bench.receiver.moods = [TemporaryError("away")]
        await bench.round()
        pauses.append(bench.box.rows[0].due_at - bench.clock.now())
        bench.clock.at = bench.box.rows[0].due_at
    assert pauses[:4] == [timedelta(seconds=1), timedelta(seconds=2), timedelta(seconds=4), timedelta(seconds=8)]
    assert pauses[-1] == LONGEST
    assert not bench.box.rows[0].parked


async def test_the_trouble_of_one_channel_does_not_hold_up_another() -> None:
    bench = Bench()
    bench.put(b"1")
    bench.put(b"span", channel="trace")
    bench.receiver.moods = [TemporaryError("away")]
    assert await bench.round() == 1
    assert bench.other.got == [b"span"]


async def test_promise_13_a_refused_message_is_set_aside_with_its_reason_and_the_next_one_goes() -> None:
    bench = Bench()
    bench.put(b"bad", b"good")
    bench.receiver.refused = {b"bad": RefusedError("400: no such field")}
    assert await bench.round() == 1
    assert (bench.box.rows[0].parked, bench.receiver.got) == ("400: no such field", [b"good"])
    assert (CHANNEL, "parked") in bench.counted


async def test_one_bad_message_among_many_is_found_and_the_others_go_out() -> None:
    bench = Bench(together=10)
    bench.put(b"1", b"bad", b"3")
    bench.receiver.refused = {b"bad": RefusedError("400")}
    assert await bench.round() == 2
    assert bench.receiver.got == [b"1", b"3"]
    assert [bool(row.parked) for row in bench.box.rows] == [False, True, False]


async def test_a_receiver_that_goes_away_while_the_bad_one_is_looked_for_gets_the_rest_later() -> None:
    bench = Bench(together=10)
    bench.put(b"1", b"2", b"3")
    bench.receiver.moods = [RefusedError("400"), TemporaryError("away")]
    assert await bench.round() == 0
    assert len(bench.receiver.calls) == 2  # the batch, then the first alone; the others are not tried into the void
    bench.clock.pass_(seconds=2)
    assert await bench.round() == 3
    assert bench.receiver.got == [b"1", b"2", b"3"]


async def test_promise_9_a_credential_that_cannot_be_read_for_a_while_loses_nothing() -> None:
    """A permanent error of the channel is no fault of the message: minutes pass before anything is set aside."""
    bench = Bench(together=10)
    bench.put(b"1", b"2")
    for _ in range(PARK_AFTER):
        bench.receiver.moods = [PermanentError("the credential file token is empty")]
        assert await bench.round() == 0
        assert not any(row.parked for row in bench.box.rows)
        bench.clock.at = bench.box.rows[0].due_at
    assert bench.clock.now() - START > timedelta(minutes=10)
    assert await bench.round() == 2


async def test_a_permanent_error_that_stays_is_set_aside_in_the_end() -> None:
    bench = Bench()
    bench.put(b"1", b"2")
    bench.receiver.refused = {b"1": PermanentError("no OTLP request")}
    for _ in range(PARK_AFTER + 1):
        await bench.round()
        bench.clock.pass_(minutes=6)
    assert (bench.box.rows[0].parked, bench.receiver.got) == ("no OTLP request", [b"2"])


async def test_promise_13_a_message_that_the_receiver_always_fails_on_holds_up_no_younger_one() -> None:
    bench = Bench()
    bench.put(b"poison", b"1", b"2")
    bench.receiver.refused = {b"poison": TemporaryError("500")}
    for _ in range(TRIED_OFTEN):
        assert bench.receiver.got == []
        await bench.round()
        bench.clock.pass_(seconds=4)
    assert bench.receiver.got == [b"1", b"2"]
    for number in range(20):
        bench.put(b"later %d" % number)
        await bench.round()
        bench.clock.pass_(minutes=1)
    assert len(bench.receiver.got) == 22
    assert not bench.box.rows[0].parked


async def test_promise_13_many_messages_that_always_fail_hold_up_no_younger_one() -> None:
    bench = Bench()
    bad = [b"bad %d" % number for number in range(30)]
    bench.put(*bad)
    bench.receiver.refused = dict.fromkeys(bad, TemporaryError("500"))
    for _ in range(200):
        await bench.round()
        bench.clock.pass_(seconds=5)
    bench.put(b"good")
    for _ in range(3):
        await bench.round()
        bench.clock.pass_(seconds=5)
    assert bench.receiver.got == [b"good"]


async def test_promise_9_a_span_that_the_collector_always_fails_on_holds_up_no_other_one() -> None:
    bench = Bench()
    bench.put(b"1", b"poison", b"3", channel="trace")
    bench.other.refused = {b"poison": TemporaryError("500")}
    for _ in range(10):
        await bench.round()
        bench.clock.pass_(seconds=10)
    assert bench.other.got == [b"1", b"3"]


async def test_a_receiver_that_is_away_is_not_asked_for_every_message_again_and_again() -> None:
    bench = Bench()
    bench.put(*(b"%d" % number for number in range(100)))
    bench.receiver.moods = [TemporaryError("away")] * 100_000
    for _ in range(2 * 60):
        await bench.round()
        bench.clock.pass_(milliseconds=500)
    first_minute = len(bench.receiver.calls)
    assert first_minute <= 60 + 1  # about one a second, each message getting its first tries
    for _ in range(2 * 60 * 60):
        await bench.round()
        bench.clock.pass_(milliseconds=500)
    before = len(bench.receiver.calls)
    for _ in range(2 * 60):
        await bench.round()
        bench.clock.pass_(milliseconds=500)
    assert len(bench.receiver.calls) - before <= 60 / 5 + 1
    bench.receiver.moods = []
    for _ in range(12):
        await bench.round()
        bench.clock.pass_(minutes=1)
    assert sorted(bench.receiver.got) == sorted(b"%d" % number for number in range(100))


async def tried_for_a_day(bench: Bench) -> None:
    for _ in range(26 * 12):
        await bench.round()
        bench.clock.pass_(minutes=5)


async def test_promise_13_a_message_that_was_tried_for_a_day_is_set_aside_with_its_reason() -> None:
    bench = Bench()
    bench.put(b"poison")
    bench.receiver.refused = {b"poison": TemporaryError("500: cannot render")}
    for _ in range(int(LONG_ENOUGH / timedelta(minutes=5))):
        await bench.round()
        bench.clock.pass_(minutes=5)
    assert (CHANNEL, "parked") not in bench.counted
    await tried_for_a_day(bench)
    assert [row.parked for row in bench.box.rows] == ["500: cannot render"]
    assert (CHANNEL, "parked") in bench.counted


async def test_promise_9_a_span_is_never_set_aside_because_the_collector_is_away() -> None:
    bench = Bench()
    bench.put(b"span", channel="trace")
    bench.other.refused = {b"span": TemporaryError("away")}
    await tried_for_a_day(bench)
    await tried_for_a_day(bench)
    bench.other.refused = {}
    assert await bench.round() == 1
