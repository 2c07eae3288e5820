from dataclasses import replace
from typing import Any

from service.domain import keys
from service.domain.evaluation import asked, evaluate
from service.domain.facts import Absent, Fact
from service.domain.model import Way
from service.domain.rules.own_pipeline_is_safe_to_start import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, known, world

KEY = keys.own_pipeline(made.TARGET, made.GOAL.key, made.GOAL.handle)


def told(fact: Fact[keys.OwnPipeline | None]) -> World:
    found = world(way=Way.OWN_PIPELINE)
    found.answers[KEY] = fact
    return found


def pipeline(**more: Any) -> World:
    own = keys.OwnPipeline(id="p1", name="Rollback web", values={"revision": "41"}, **more)
    return told(known(own))


def ask(of: World) -> Finding:
    return RULE.ask(of.gathered_case(RULE))


EXAMPLES: made.Examples = {
    "every stage names what it goes back to": pipeline(),
    "a stage chooses by itself": pipeline(to_person=("stage undo counts revisions back from whatever is live then",)),
    "a parameter has no value": pipeline(missing=("parameter region is required and has no value",)),
    "it is switched off": pipeline(blocked=("it is disabled: Spinnaker refuses to start it",)),
    "its text cannot be read": told(Absent("Gate answered 500")),
    "none is set up": told(known(None)),
    "nothing to go back to": replace(world(way=Way.OWN_PIPELINE), goal=None),
}


def test_the_worst_that_is_known_of_it_decides() -> None:
    assert [ask(of).answer for of in EXAMPLES.values()] == [
        Answer.PASS,
        Answer.WARN,
        Answer.BLOCK,
        Answer.BLOCK,
        Answer.UNKNOWN,
        Answer.UNKNOWN,
        Answer.UNKNOWN,
    ]
    assert ask(pipeline(blocked=("off",), missing=("empty",), to_person=("a judgment",))).says == "Pipeline Rollback web cannot be started: off, empty."


def test_it_is_asked_of_that_way_alone() -> None:
    for way, there in ((Way.OWN_PIPELINE, True), (Way.UNDO, False)):
        case = replace(pipeline(), way=way).gathered_case(RULE)
        assert asked(case, [RULE], automatic=True) == (RULE,)
        assert bool(evaluate(case, [RULE], automatic=True).findings) is there
