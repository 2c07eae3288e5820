"""What holds for every rule: it is in the list, says its name, and says yes only with every fact it asked for."""

import ast
import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.domain import keys, rules
from service.domain.evaluation import evaluate
from service.domain.facts import Facts, Key, Known
from service.domain.model import Way
from service.domain.policy import TargetPolicy
from service.domain.rule import Direction, Rule
from service.domain.rules import RULES
from service.domain.verdict import Answer
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, forward_world, live_world, world

FOLDER = Path(inspect.getfile(rules)).parent
FILES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def _digest_labels() -> World:
    return world().tell(made.SERIES, made.shares({made.NEW_DIGEST: 0.3, made.OLD_DIGEST: 0.0}))


def _onset_by_rule() -> World:
    return world().tell(made.ALERT_NOW, keys.AlertNow(state="firing"))


def _rendered_images() -> World:
    by_digest = tuple(replace(image, proof="reference") for image in (made.OLD_IMAGE,))
    return world().tell(made.RECORD_OLD, made.record(made.GOAL, None)).tell(made.RENDERED_OLD, by_digest)


def _without_incident() -> World:
    return world(trigger=None)


def _pruning() -> World:
    return world().tell(made.STATE, made.state(prune=True, auto_sync=False)).tell(made.LEFTOVERS, (made.CONFIG_MAP,))


WORLDS: tuple[Callable[[], World], ...] = (world, _digest_labels, _onset_by_rule, _rendered_images, _without_incident, _pruning, forward_world, live_world)


def good(rule: Rule) -> World:
    """The good world of the direction that the rule is asked in first; with conditions for the rule about them."""
    if rule.of_policy:
        return world(policy=made.CONDITIONAL)
    return world() if Direction.BACK in rule.directions else forward_world()


ALTERNATIVES = {
    (_rendered_images, made.RECORD_OLD),
    (forward_world, keys.record(made.TARGET, made.FIX.key)),
    (live_world, keys.record(made.TARGET, made.FIX.key)),
}
"""Manifests that name every digest are as good as our own record; the record itself is then missed by the rule about health."""


def _matrix() -> Iterator[Any]:
    for make in WORLDS:
        for rule in RULES:
            case = make().gathered_case(rule)
            if case.direction not in rule.directions or rule.ask(case).answer is not Answer.PASS:
                continue
            for number, key in enumerate(sorted(make().gathered(rule), key=str)):
                if (make, key) not in ALTERNATIVES:
                    yield pytest.param(make, rule, key, id=f"{make.__name__.strip('_')}-{rule.name}-{number}-{key.kind}")


def test_every_rule_file_is_in_the_list_and_every_rule_in_the_list_has_a_file() -> None:
    assert sorted(rule.name for rule in RULES) == FILES


def test_the_fault_matrix_covers_every_rule_that_needs_facts() -> None:
    covered = {cell.values[1].name for cell in _matrix()}
    assert {rule.name for rule in RULES} - covered == {"caches_stay_coherent", "policy_can_be_applied"}


def test_no_rule_is_listed_twice() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("name", FILES)
def test_a_rule_file_ends_in_its_rule_and_the_rule_bears_the_name_of_the_file(name: str) -> None:
    module = importlib.import_module(f"service.domain.rules.{name}")
    last = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")).body[-1]
    assert isinstance(last, ast.Assign)
    assert ast.unparse(last.targets[0]) == "RULE"
    assert module.RULE.name == name
    assert module.RULE in RULES


@pytest.mark.parametrize("name", FILES)
def test_a_rule_file_has_a_test_file_of_its_name(name: str) -> None:
    assert (Path(__file__).parent / f"test_{name}.py").is_file()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_explains_itself(rule: Rule) -> None:
    module = importlib.import_module(f"service.domain.rules.{rule.name}")
    assert inspect.getdoc(module)
    assert inspect.getdoc(rule.ask)
    assert inspect.getdoc(rule.needs)
    assert rule.question.endswith("?")


def test_every_rule_of_the_beginning_is_a_gate() -> None:
    assert all(rule.gate for rule in RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_says_yes_in_the_good_world_in_one_tidy_sentence(rule: Rule) -> None:
    finding = rule.ask(good(rule).gathered_case(rule))
    assert (finding.answer, finding.says) == (Answer.PASS, finding.says.strip())
    assert finding.says.endswith(".")
    assert finding.says[0].isupper()
    assert finding.evidence


def test_the_good_world_has_a_verdict_of_pass_for_the_rollback() -> None:
    verdict = evaluate(world(policy=made.CONDITIONAL).case(), RULES, automatic=True)
    asked = sum(Direction.BACK in rule.directions and rule.ways is None for rule in RULES)
    assert (verdict.worst, verdict.recommended, len(verdict.findings)) == (Answer.PASS, Way.ROLLBACK, asked)


@pytest.mark.parametrize("make", [forward_world, live_world])
def test_the_good_world_has_a_verdict_of_pass_for_going_forward(make: Callable[[], World]) -> None:
    verdict = evaluate(replace(make(), policy=made.CONDITIONAL).case(), RULES, automatic=True)
    asked = sum(Direction.FORWARD in rule.directions for rule in RULES)
    assert [(f.rule, f.says) for f in verdict.findings if f.answer is not Answer.PASS] == []
    assert (verdict.recommended, len(verdict.findings)) == (Way.FORWARD, asked)


def test_a_rule_is_asked_in_every_direction_unless_it_says_otherwise() -> None:
    silent = Rule(name="a", question="?", ask=RULES[0].ask)
    assert silent.directions == frozenset(Direction)
    only = {rule.name: set(rule.directions) for rule in RULES if len(rule.directions) == 1}
    assert {name for name, where in only.items() if where == {Direction.FORWARD}} == {
        "hold_is_as_we_left_it",
        "recovery_can_be_measured",
        "release_differs_where_the_bad_one_did",
    }


@pytest.mark.parametrize(("make", "rule", "key"), list(_matrix()))
@pytest.mark.parametrize("fault", ["absent", "stale", "never asked"])
def test_no_rule_says_yes_without_a_fact_that_it_needs(make: Callable[[], World], rule: Rule, key: Key[Any], fault: str) -> None:
    broken = make()
    answers = broken.gathered(rule)
    {"absent": broken.hide, "stale": broken.age, "never asked": broken.forget}[fault](key)
    answers = {one: broken.answers[one] for one in answers if one in broken.answers}
    finding = rule.ask(broken.case(answers))
    assert finding.answer is not Answer.PASS, finding.says
    assert finding.clears


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_no_rule_says_yes_when_nobody_was_asked_and_nothing_was_declared(rule: Rule) -> None:
    case = replace(world(policy=TargetPolicy()).case(), facts=Facts({}, made.NOW))
    assert rule.ask(case).answer is not Answer.PASS


@pytest.mark.parametrize("make", WORLDS, ids=lambda make: make.__name__.strip("_"))
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_names_every_fact_that_it_reads(make: Callable[[], World], rule: Rule) -> None:
    case = make().gathered_case(rule)
    recorded = made.Recorded(case.facts.known)
    rule.ask(replace(case, facts=Facts(recorded, made.NOW)))
    # A record may be looked at for free where it happens to be there; everything that can turn the answer to yes is named (the matrix above holds that).
    assert {key for key in recorded.asked if key.kind != "record"} <= case.facts.known.keys()


@pytest.mark.parametrize("make", WORLDS, ids=lambda make: make.__name__.strip("_"))
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_evidence_of_every_fact_that_was_read_is_attached(make: Callable[[], World], rule: Rule) -> None:
    case = make().gathered_case(rule)
    recorded = made.Recorded(case.facts.known)
    finding = rule.ask(replace(case, facts=Facts(recorded, made.NOW)))
    if finding.answer is Answer.PASS:
        assert {str(key) for key in recorded.asked if isinstance(case.facts.known.get(key), Known)} <= {one.what for one in finding.evidence}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize("nobody", ["suspect", "goal", "both"])
def test_no_rule_fails_when_a_release_is_not_known(rule: Rule, nobody: str) -> None:
    unsure = good(rule)
    unsure.why_none = "nobody could say which release"
    unsure.suspect = None if nobody in {"suspect", "both"} else unsure.suspect
    unsure.goal = None if nobody in {"goal", "both"} else unsure.goal
    assert rule.ask(unsure.gathered_case(rule)).says


def test_without_a_known_release_the_verdict_is_never_a_pass() -> None:
    for suspect, goal in ((None, None), (None, made.GOAL), (made.SUSPECT, None)):
        assert evaluate(world(suspect=suspect, goal=goal).case(), RULES, automatic=True).worst is Answer.BLOCK


def test_what_guards_automation_is_asked_without_a_person_only() -> None:
    asked = {finding.rule for finding in evaluate(world(policy=made.CONDITIONAL).case(), RULES, automatic=False).findings}
    assert {rule.name for rule in RULES if Direction.BACK in rule.directions and rule.ways is None} - asked == {"alert_is_firing", "automation_has_room"}


def test_without_an_alert_automation_never_gets_a_yes() -> None:
    verdict = evaluate(world(trigger=None).case(), RULES, automatic=True)
    assert "automation_has_room" in {finding.rule for finding in verdict.of(Answer.UNKNOWN)}


def test_an_old_world_answers_nothing() -> None:
    case = world().case()
    late = replace(case, facts=Facts(case.facts.known, made.NOW + timedelta(hours=2)))
    answers = {finding.rule: finding.answer for finding in evaluate(late, RULES, automatic=True).findings}
    assert {rule for rule, answer in answers.items() if answer is Answer.PASS} == {"caches_stay_coherent"}


OVERRIDABLE = frozenset({"caches_stay_coherent", "goal_release_is_exact_and_was_healthy", "schema_is_compatible"})
"""Rules with a block that two persons may override (docs/decisions/0022-override.md). A rule that joins them needs its reason there."""


def test_no_rule_lets_its_block_be_overridden_but_those_of_the_decision() -> None:
    folder = Path(__file__).parents[5] / "service" / "domain" / "rules"
    assert {file.stem for file in folder.glob("*.py") if "overridable=True" in file.read_text(encoding="utf-8")} == OVERRIDABLE
