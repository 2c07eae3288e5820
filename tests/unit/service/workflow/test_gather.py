from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain import keys
from service.domain.errors import PermanentError, TemporaryError
from service.domain.facts import Absent, Evidence, Fact, Facts, Key, Known
from service.domain.model import TargetId
from service.domain.rule import Rule
from service.domain.verdict import passes
from service.workflow import gather
from service.workflow.gather import ROUNDS, Gatherer
from tests.fakes.clock import FakeClock
from tests.fakes.delivery import Application, FakeDelivery
from tests.fakes.facts import HANGING, FakeFacts
from tests.unit.service.domain import made

TARGET = made.TARGET
ONE: Key[str] = Key("one")
TWO: Key[str] = Key("two")
QUICK: Key[int] = Key("quick")
SLOW: Key[int] = Key("slow")


class Slow:
    """A source whose every answer takes its time, and holds for ten seconds."""

    kinds = frozenset({"slow", "quick"})

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.reads: list[str] = []

    async def read(self, key: Key[Any]) -> Fact[Any]:
        self.reads.append(key.kind)
        if key.kind == "slow":
            self.clock.pass_(seconds=30)
        evidence = Evidence(source="slow", what=str(key), read_at=self.clock.now())
        return Known(value=len(self.reads), evidence=evidence, good_for=timedelta(seconds=10))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(made.NOW)


@pytest.fixture
def facts(clock: FakeClock) -> FakeFacts:
    return FakeFacts(clock)


def gatherer(clock: FakeClock, *sources: Any, read_seconds: float = 5, **deliveries: FakeDelivery) -> Gatherer:
    return Gatherer(deliveries=deliveries, sources=sources, clock=clock, read_seconds=read_seconds)


def rule(name: str, *wanted: Key[Any]) -> Rule:
    return Rule(name=name, question="?", ask=lambda _: passes("yes"), needs=lambda _: wanted)


async def test_what_a_source_knows_is_known(clock: FakeClock, facts: FakeFacts) -> None:
    facts.tell(ONE, "1")
    found = (await gatherer(clock, facts).facts(TARGET, [ONE])).read(ONE)
    assert isinstance(found, Known)
    assert found.value == "1"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (TemporaryError("timeout"), "timeout"),
        (PermanentError("401"), "401"),
        (KeyError("field"), "reading the one failed: KeyError"),
        (Absent("not there"), "not there"),
    ],
)
async def test_promise_1_a_source_that_fails_makes_the_fact_absent(clock: FakeClock, facts: FakeFacts, answer: Any, why: str) -> None:
    facts.tell(ONE, answer)
    facts.tell(TWO, "2")
    found = await gatherer(clock, facts).facts(TARGET, [ONE, TWO])
    absent = found.read(ONE)
    assert isinstance(absent, Absent)
    assert absent.why == why
    assert isinstance(found.read(TWO), Known)


async def test_promise_1_a_source_that_hangs_makes_only_its_own_fact_absent(clock: FakeClock, facts: FakeFacts) -> None:
    facts.tell(ONE, HANGING)
    facts.tell(TWO, "2")
    found = await gatherer(clock, facts, read_seconds=0.05).facts(TARGET, [ONE, TWO])
    absent = found.read(ONE)
    assert isinstance(absent, Absent)
    assert absent.why == "the one could not be read within 0.05 s"
    assert isinstance(found.read(TWO), Known)


async def test_promise_1_a_kind_that_nobody_reads_is_absent_and_says_what_to_configure(clock: FakeClock) -> None:
    absent = (await gatherer(clock).facts(TARGET, [ONE])).read(ONE)
    assert absent == Absent("no source is configured that could read the one", clears="Configure one in the settings (evidence: or delivery:).")


async def test_each_key_is_asked_once(clock: FakeClock, facts: FakeFacts) -> None:
    facts.tell(ONE, "1")
    known = await gatherer(clock, facts).facts(TARGET, [ONE, ONE])
    await gatherer(clock, facts).facts(TARGET, [ONE], known)
    assert facts.asked == [ONE]


async def test_the_delivery_instance_of_the_target_is_asked_before_all_others(clock: FakeClock, facts: FakeFacts) -> None:
    app = Application(history=[made.SUSPECT], images={})
    facts.tell(keys.state(TARGET), "of nobody")
    delivery = FakeDelivery(clock, TARGET, app)
    found = (await gatherer(clock, facts, prod=delivery).facts(TARGET, [keys.state(TARGET)])).read(keys.state(TARGET))
    assert isinstance(found, Known)
    assert found.value.title == "checkout"
    other = TargetId("test", "checkout")
    facts.tell(keys.state(other), "of nobody")
    found = (await gatherer(clock, facts, prod=delivery).facts(other, [keys.state(other)])).read(keys.state(other))
    assert isinstance(found, Known)
    assert str(found.value) == "of nobody"


async def test_rules_may_name_further_facts_after_seeing_the_first(clock: FakeClock, facts: FakeFacts) -> None:
    facts.tell(ONE, "1")
    facts.tell(TWO, "2")
    chained = Rule(name="x", question="?", ask=lambda _: passes("yes"), needs=lambda case: (ONE, TWO) if ONE in case.facts.known else (ONE,))
    case = await gatherer(clock, facts).complete(made.world().case({}), [chained])
    assert {ONE, TWO} <= case.facts.known.keys()


async def test_rules_that_never_have_enough_come_to_an_end(clock: FakeClock, facts: FakeFacts) -> None:
    greedy = Rule(name="x", question="?", ask=lambda _: passes("yes"), needs=lambda case: (Key("more", len(case.facts.known)),))
    case = await gatherer(clock, facts).complete(made.world().case({}), [greedy])
    assert len(case.facts.known) == ROUNDS


async def test_a_rule_whose_needs_have_a_defect_does_not_stop_the_others(clock: FakeClock, facts: FakeFacts) -> None:
    facts.tell(ONE, "1")
    broken = Rule(name="x", question="?", ask=lambda _: passes("yes"), needs=lambda case: case.nothing)  # type: ignore[attr-defined]  # the defect
    case = await gatherer(clock, facts).complete(made.world().case({}), [broken, rule("y", ONE)])
    assert isinstance(case.facts.read(ONE), Known)


async def test_what_grew_old_while_a_slow_source_was_read_is_read_again(clock: FakeClock) -> None:
    source = Slow(clock)
    chained = Rule(name="x", question="?", ask=lambda _: passes("yes"), needs=lambda case: (QUICK, SLOW) if QUICK in case.facts.known else (QUICK,))
    case = await gatherer(clock, source).complete(made.world().case({}), [chained])
    assert isinstance(case.facts.read(QUICK), Known)
    assert isinstance(case.facts.read(SLOW), Known)
    assert source.reads == ["quick", "slow", "quick"]


async def test_promise_4_a_fact_of_an_earlier_moment_is_not_believed_for_ever(clock: FakeClock) -> None:
    source = Slow(clock)
    known = await gatherer(clock, source).facts(TARGET, [QUICK])
    clock.pass_(seconds=11)
    assert isinstance(Facts(known.known, clock.now()).read(QUICK), Absent)


async def test_what_cannot_change_is_kept_while_it_holds_and_everything_else_is_read_again(clock: FakeClock, facts: FakeFacts) -> None:
    facts.tell(made.MANIFEST, keys.Manifest(digest=made.OLD_DIGEST))
    facts.tell(made.ALERT_NOW, keys.AlertNow(state="firing"))
    one = gatherer(clock, facts)
    for _ in range(3):
        await one.facts(TARGET, [made.MANIFEST, made.ALERT_NOW])
    assert (facts.asked.count(made.MANIFEST), facts.asked.count(made.ALERT_NOW)) == (1, 3)
    clock.pass_(minutes=2)
    await one.facts(TARGET, [made.MANIFEST])
    assert facts.asked.count(made.MANIFEST) == 2


async def test_promise_1_what_could_not_be_read_is_never_kept(clock: FakeClock, facts: FakeFacts) -> None:
    facts.tell(made.MANIFEST, TemporaryError("timeout"))
    one = gatherer(clock, facts)
    await one.facts(TARGET, [made.MANIFEST])
    facts.tell(made.MANIFEST, keys.Manifest(digest=made.OLD_DIGEST))
    assert isinstance((await one.facts(TARGET, [made.MANIFEST])).read(made.MANIFEST), Known)


async def test_a_case_keeps_what_it_was_given(clock: FakeClock, facts: FakeFacts) -> None:
    given = replace(made.world().case(), facts=Facts({ONE: made.known("given")}, made.NOW))
    case = await gatherer(clock, facts).complete(given, [rule("x", ONE)])
    assert case.facts.read(ONE) == made.known("given")
    assert facts.asked == []


@pytest.mark.parametrize("answer", [TemporaryError("git said password=hunter22"), Absent("git said password=hunter22")])
async def test_promise_12_why_a_fact_is_absent_holds_no_secret(clock: FakeClock, facts: FakeFacts, answer: object) -> None:
    facts.tell(ONE, answer)
    read = (await gatherer(clock, facts).facts(TARGET, [ONE])).read(ONE)
    assert isinstance(read, Absent)
    assert read.why == "git said [removed]"


async def test_where_much_is_kept_what_holds_no_more_is_dropped_and_what_holds_stays_also_for_who_is_patient(
    clock: FakeClock, facts: FakeFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "ROOM", 2)
    images = [keys.manifest(f"r/x{number}@sha256:{'a' * 64}") for number in range(4)]
    for key in images:
        facts.tell(key, keys.Manifest(digest=made.OLD_DIGEST))
    one = gatherer(clock, facts)
    patient = one.patient(60)
    for number, key in enumerate(images):
        clock.pass_(seconds=40 if number == 2 else 0)  # the first two hold no more when the fourth is read
        await one.facts(TARGET, [key])
    clock.pass_(seconds=30)
    await patient.facts(TARGET, images[2:])
    assert [facts.asked.count(key) for key in images] == [1, 1, 1, 1]
    await one.facts(TARGET, images[:2])
    assert [facts.asked.count(key) for key in images] == [2, 2, 1, 1]
    assert len(one._kept) == 4  # noqa: SLF001  there is no other way to see what takes room
