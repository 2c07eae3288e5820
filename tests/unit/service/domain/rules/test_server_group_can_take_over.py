from dataclasses import replace

import pytest

from service.domain import keys
from service.domain.evaluation import evaluate
from service.domain.model import Way
from service.domain.rules.server_group_can_take_over import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, on_machines, world

THIRD = keys.ServerGroup(name="web-main-v040", release="x", takes_traffic=True, running=1, desired=1, minimum=1, maximum=1, launchable=True)
BOTH = (made.server_group(made.SUSPECT), made.server_group(made.GOAL))


def ask(of: World) -> Finding:
    return RULE.ask(of.gathered_case(RULE))


EXAMPLES: made.Examples = {
    "the old server group still runs": on_machines(),
    "it still runs, and the cluster has a traffic guard": on_machines(guarded=True),
    "it was scaled down": on_machines(good={"running": 0, "desired": 0, "minimum": 0}),
    "it was scaled down, and its image is gone": on_machines(good={"running": 0, "desired": 0, "launchable": False}),
    "it still runs, and somebody switched its scaling off": on_machines(good={"suspended": ("Launch", "Terminate")}),
    "it was destroyed": on_machines(groups=BOTH[:1]),
    "a third one takes traffic": on_machines(groups=(*BOTH, THIRD)),
    "its instances are not counted": on_machines(good={"running": None}),
    "the application's attributes are not told": on_machines(guarded=None),
    "no server group at all": world(way=Way.ENABLE_PREVIOUS),
}


def test_each_example_has_its_answer() -> None:
    assert [ask(of).answer for of in EXAMPLES.values()] == [
        Answer.PASS,
        Answer.PASS,
        Answer.WARN,
        Answer.BLOCK,
        Answer.WARN,
        Answer.BLOCK,
        Answer.BLOCK,
        Answer.UNKNOWN,
        Answer.UNKNOWN,
        Answer.PASS,
    ]


def test_the_sentences_say_how_large_and_what_serves_meanwhile() -> None:
    assert ask(on_machines()).says == "Server group web-main-v041 still runs 3 of 3 instances: it can take the traffic at once."
    assert ask(on_machines(guarded=True)).says.endswith("a traffic guard is set, and it takes the traffic before the bad one loses it.")
    grows = ask(on_machines(good={"running": 1, "desired": 1}))
    assert grows.says == (
        "Server group web-main-v041 runs 1 of 1 instances, web-main-v042 should have 3: it has to grow first, and until then web-main-v042 serves."
    )


@pytest.mark.parametrize("good", [{"running": 2, "desired": 3}, {"running": 3, "desired": 2}, {"running": 0, "desired": 3}])
def test_one_that_is_smaller_or_does_not_run_at_its_size_has_to_grow(good: dict[str, int]) -> None:
    assert ask(on_machines(good=good)).answer is Answer.WARN


def test_whether_it_can_grow_matters_only_where_it_has_to() -> None:
    assert ask(on_machines(good={"launchable": None})).answer is Answer.PASS
    assert ask(on_machines(good={"launchable": None, "running": 0})).answer is Answer.UNKNOWN


def test_where_neither_has_an_instance_nothing_would_serve() -> None:
    finding = ask(on_machines(bad={"desired": 0, "running": 0}, good={"desired": 0, "running": 0}))
    assert (finding.answer, finding.says) == (Answer.BLOCK, "Neither web-main-v042 nor web-main-v041 has an instance.")


def test_a_group_of_which_nobody_knows_whether_it_takes_traffic_counts_as_one_that_does() -> None:
    assert ask(on_machines(groups=(*BOTH, replace(THIRD, takes_traffic=None)))).answer is Answer.BLOCK
    assert ask(on_machines(groups=(*BOTH, replace(THIRD, takes_traffic=False)))).answer is Answer.PASS


def test_what_could_not_be_read_is_unknown() -> None:
    assert ask(on_machines().hide(made.STATE)).answer is Answer.UNKNOWN
    assert ask(on_machines().hide(made.GROUPS)).answer is Answer.UNKNOWN


def test_it_speaks_of_that_way_alone() -> None:
    for way, there in ((Way.ENABLE_PREVIOUS, True), (Way.UNDO, False), (Way.ROLLBACK, False)):
        case = replace(on_machines(), way=way).gathered_case(RULE)
        assert bool(evaluate(case, [RULE], automatic=True).findings) is there
