from dataclasses import replace
from typing import Any

from service.domain import keys
from service.domain.evaluation import evaluate
from service.domain.facts import Absent
from service.domain.keys import ConfigLeft
from service.domain.model import Way
from service.domain.rules.configuration_is_as_it_was import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, world

KEY = keys.configs_left(made.TARGET, made.GOAL.key, made.GOAL.handle)


def config(**more: Any) -> ConfigLeft:
    same: dict[str, Any] = {
        "kind": "ConfigMap",
        "name": "checkout",
        "there": True,
        "changed": False,
        "says": "it is what pipeline deploy (01H7) put there with that release",
    }
    return ConfigLeft(**(same | more))


CHANGED = config(changed=True, says="it is not what pipeline deploy (01H7) put there with that release; pipeline deploy (01H9) put it there since")
UNCLEAR = config(kind="Secret", name="keys", changed=None, says="what it held then is not looked at, and nothing else tells")
GONE = config(there=False, changed=True, says="it is not there any more")


def leaves(*configs: ConfigLeft) -> World:
    return world(way=Way.UNDO).tell(KEY, configs)


def ask(of: World) -> Finding:
    return RULE.ask(of.gathered_case(RULE))


EXAMPLES: made.Examples = {
    "nothing is named, or all of it has a version of its own": leaves(),
    "it is what the old release was deployed with": leaves(config()),
    "the bad release changed it": leaves(CHANGED),
    "a Secret of which nothing tells whether it changed": leaves(UNCLEAR),
    "it could not be read": leaves(config(there=None, changed=None, says="it could not be read: Gate answered 500")),
    "it is gone": leaves(GONE),
    "a key that the old release names is gone": leaves(config(changed=True, lacks=("TIMEOUT",))),
    "one that the old release starts without is gone": leaves(replace(GONE, optional=True)),
    "the releases cannot be read": world(way=Way.UNDO).hide(KEY),
    "nothing to go back to": replace(leaves(), goal=None),
}


def test_each_example_has_its_answer() -> None:
    assert [ask(of).answer for of in EXAMPLES.values()] == [
        Answer.PASS,
        Answer.PASS,
        Answer.WARN,
        Answer.UNKNOWN,
        Answer.UNKNOWN,
        Answer.BLOCK,
        Answer.BLOCK,
        Answer.WARN,
        Answer.UNKNOWN,
        Answer.UNKNOWN,
    ]


def test_the_worst_of_several_decides_and_only_those_are_told() -> None:
    assert ask(leaves(config(), UNCLEAR, CHANGED, GONE)).answer is Answer.BLOCK
    found = ask(leaves(config(name="same"), UNCLEAR, CHANGED))
    assert found.answer is Answer.WARN
    assert "ConfigMap checkout: it is not what" in found.says
    assert "same" not in found.says
    assert "keys" not in found.says, "what is not known is told once the change is dealt with"
    assert ask(leaves(config(), UNCLEAR)).answer is Answer.UNKNOWN


def test_the_sentences_name_the_release_and_what_stays() -> None:
    assert ask(leaves()).says == "Release 41 names no ConfigMap or Secret that going back would leave as it is."
    assert ask(leaves(config())).says == "Going back leaves ConfigMap checkout as it is, which is what release 41 was deployed with."
    assert ask(leaves(GONE)).says == "Release 41 would not start: ConfigMap checkout: it is not there any more."
    assert ask(leaves(config(lacks=("TIMEOUT",)))).says == "Release 41 would not start: ConfigMap checkout: it lacks TIMEOUT."


def test_a_source_that_cannot_say_makes_it_unknown_in_its_own_words() -> None:
    told = world(way=Way.UNDO)
    told.answers[KEY] = Absent("Gate answered 500")
    assert (ask(told).answer, "Gate answered 500" in ask(told).says) == (Answer.UNKNOWN, True)


def test_it_is_asked_of_an_undo_alone() -> None:
    for way, there in ((Way.UNDO, True), (Way.ROLLBACK, False), (Way.OWN_PIPELINE, False), (Way.ENABLE_PREVIOUS, False)):
        case = replace(leaves(CHANGED), way=way).gathered_case(RULE)
        assert bool(evaluate(case, [RULE], automatic=True).findings) is there
