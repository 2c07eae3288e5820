from typing import Any

import pytest

from integrations.delivery.spinnaker.door_marks import ShutTrigger, kept_off_for, opened, shut, shut_trigger, shut_triggers_of, unmarked, with_mark
from integrations.delivery.spinnaker.pipelines import MARK, Pipeline, pipeline_of
from integrations.json_shapes import Body
from tests.unit.integrations.delivery.spinnaker.saved import deploy_manifest, pipeline, trigger

A, B = "spin:k8s/shop/deployment/a", "spin:k8s/shop/deployment/b"
MINE, OTHER = "operation=op_1 suspect=x goal=y", "operation=op_2 suspect=x goal=y"


def saved(*triggers: Any, **more: Any) -> Pipeline:
    return pipeline(deploy_manifest(), triggers=triggers, updateTs="7", stray={"kept": "${ as it was }"}, **more)


def again(body: Body) -> Pipeline:
    found = pipeline_of(dict(body))
    assert found is not None
    return found


def marked(one: Pipeline, place: int = 0, mark: str = MINE) -> tuple[ShutTrigger, ...]:
    return (shut_trigger(one, one.triggers[place], mark),)


def test_a_trigger_goes_off_with_the_mark_and_comes_back_exactly_as_it_was() -> None:
    before = saved(trigger("git", branch="main", secret="s"), "nonsense", trigger("cron", cronExpression="0 0 * * * *"))
    off = again(shut(before, [before.triggers[0].digest], A, MINE))
    assert [one.enabled for one in off.triggers] == [False, True]
    assert off.raw["triggers"][0][MARK] == {A: MINE}
    assert {**off.raw, "triggers": None} == {**before.raw, "triggers": None}
    (kept,) = kept_off_for(A, [off])
    assert (kept.mark, kept.digest, kept.pipeline) == (MINE, before.triggers[0].digest, before.id)
    assert kept_off_for(B, [off]) == ()
    assert opened(off, [kept], A) == before.raw
    assert shut_triggers_of([kept.remembered]) == (kept,)
    assert with_mark([kept], OTHER)[0].mark == OTHER


def test_one_that_somebody_else_switched_off_is_never_touched() -> None:
    before = saved(trigger(enabled=False))
    assert shut(before, [before.triggers[0].digest], A, MINE) == before.raw
    assert opened(before, marked(before), A) == before.raw


def test_what_two_targets_keep_off_comes_on_when_the_last_of_them_lets_go() -> None:
    before = saved(trigger())
    for_a = again(shut(before, [before.triggers[0].digest], A, MINE))
    for_both = again(shut(for_a, [before.triggers[0].digest], B, OTHER))
    assert for_both.triggers[0].marks == {A: MINE, B: OTHER}
    without_a = again(opened(for_both, marked(before), A))
    assert (without_a.triggers[0].enabled, without_a.triggers[0].marks) == (False, {B: OTHER})
    assert opened(without_a, marked(before, mark=OTHER), B) == before.raw


def test_one_that_somebody_changed_loses_the_mark_and_stays_as_they_left_it() -> None:
    before = saved(trigger("cron", cronExpression="0 0 * * * *"))
    off = again(shut(before, [before.triggers[0].digest], A, MINE))
    changed = again({**off.raw, "triggers": [{**off.raw["triggers"][0], "cronExpression": "0 5 * * * *"}]})
    assert opened(changed, marked(before), A)["triggers"] == [{"type": "cron", "enabled": False, "cronExpression": "0 5 * * * *"}]


def test_what_somebody_changed_beside_the_trigger_stays() -> None:
    before = saved(trigger())
    off = again({**shut(before, [before.triggers[0].digest], A, MINE), "limitConcurrent": True, "updateTs": "8"})
    assert opened(off, marked(before), A) == {**before.raw, "limitConcurrent": True, "updateTs": "8"}


def test_one_that_somebody_switched_on_again_only_loses_the_mark() -> None:
    before = saved(trigger())
    off = again(shut(before, [before.triggers[0].digest], A, MINE))
    on = again({**off.raw, "triggers": [{**off.raw["triggers"][0], "enabled": True}]})
    assert kept_off_for(A, [on]) == ()
    assert opened(on, marked(before), A) == before.raw


@pytest.mark.parametrize("mark", [OTHER, ""])
def test_another_holds_mark_is_no_business_of_ours(mark: str) -> None:
    before = saved(trigger(), trigger("cron"))
    off = again(shut(before, [before.triggers[0].digest], A, MINE))
    assert opened(off, marked(before, mark=mark), A) == off.raw
    assert unmarked(off, A, mark) == off.raw


def test_a_mark_can_go_while_the_trigger_stays_off() -> None:
    before = saved(trigger())
    off = again(shut(before, [before.triggers[0].digest], A, MINE))
    assert unmarked(off, A, MINE)["triggers"] == [{"type": "git", "enabled": False}]
    both = again(shut(off, [before.triggers[0].digest], B, OTHER))
    assert unmarked(both, A, MINE)["triggers"] == [{"type": "git", "enabled": False, MARK: {B: OTHER}}]
