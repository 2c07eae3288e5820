from typing import Any

from service.domain import keys
from service.domain.keys import RegionBeside
from service.domain.model import ObjectRef, TargetId
from service.domain.rules.regions_go_one_by_one import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, world

GROUP, KIND = keys.MACHINES
CLUSTER = ObjectRef(group=GROUP, kind=KIND, namespace="prod/us-east-1", name="web-main")
BESIDE = keys.regions_beside(made.TARGET)
EUROPE = TargetId("spin", "prod/eu-west-1/web-main")


def machines(*beside: RegionBeside) -> World:
    return world().tell(made.STATE, made.state(objects=(CLUSTER,))).tell(BESIDE, beside)


def first(operation: str = "op_7", *, acts: bool) -> RegionBeside:
    return RegionBeside(target=EUROPE, operation=operation, acts=acts)


def ask(of: World) -> Finding:
    return RULE.ask(of.gathered_case(RULE))


def test_alone_it_passes() -> None:
    finding = ask(machines())
    assert (finding.answer, finding.says) == (Answer.PASS, "No other region of this cluster is being taken back.")
    assert {one.what for one in finding.evidence} == {str(made.STATE), str(BESIDE)}


def test_what_is_no_cluster_of_machines_has_no_regions_and_nobody_is_asked() -> None:
    assert ask(world()).answer is Answer.PASS
    assert set(world().gathered(RULE)) == {made.STATE}


def test_a_region_that_acts_comes_first_and_mode_auto_waits_for_a_person() -> None:
    finding = ask(machines(first(acts=True), first("op_8", acts=False)))
    assert finding.answer is Answer.WARN
    assert finding.says == "spin:prod/eu-west-1/web-main goes back first, and whether that helps is not measured yet."
    assert finding.clears == "Wait until op_7 has ended and look whether it recovered, or tick it."


def test_of_two_that_begin_at_once_the_older_comes_first() -> None:
    finding = ask(machines(first(acts=False)))
    assert (finding.answer, finding.clears) == (Answer.WARN, "Wait until op_7 has ended and look whether it recovered, or tick it.")


def test_promise_1_what_cannot_be_read_is_unknown() -> None:
    hidden: Any
    for hidden in (machines().hide(BESIDE), machines().hide(made.STATE)):
        assert ask(hidden).answer is Answer.UNKNOWN


EXAMPLES: made.Examples = {
    "no other region is being taken back": machines(),
    "another region is being taken back": machines(first(acts=True)),
    "the store is away": machines().hide(BESIDE),
    "a workload of Kubernetes": world(),
}
