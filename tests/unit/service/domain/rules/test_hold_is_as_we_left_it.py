from typing import Any

import pytest

from service.domain import keys
from service.domain.model import ObjectRef
from service.domain.rules.hold_is_as_we_left_it import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, forward_world, live_world


def ask(world: World) -> Finding:
    return RULE.ask(world.gathered_case(RULE))


def with_state(**changes: Any) -> Finding:
    return ask(forward_world().tell(made.STATE, made.held_state(**changes)))


def test_nothing_changed_passes() -> None:
    assert (ask(forward_world()).answer, ask(live_world()).answer) == (Answer.PASS, Answer.PASS)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"auto_sync": True}, "Somebody turned auto-sync on again"),
        ({"current": made.SUSPECT}, "Release 42 (v2.5.0 · c0ffee0) is live now."),
        (
            {"desired": made.SUSPECT.sources, "desired_revision": made.SUSPECT.revision},
            "no longer release v2.5.1 · f1f1f1f, but c0ffee011111.",
        ),
        ({"desired": (), "desired_revision": ""}, "but not known."),
        ({"owner": keys.Owner(kind="applicationset", name="shops", reverts=True, says="the ApplicationSet shops")}, "the ApplicationSet shops would undo it."),
    ],
)
def test_promise_5_what_somebody_changed_since_is_theirs(changes: dict[str, Any], says: str) -> None:
    finding = with_state(**changes)
    assert finding.answer is Answer.BLOCK
    assert says in finding.says


def test_a_person_may_have_turned_auto_sync_on_for_a_fix_that_is_live() -> None:
    state = made.held_state(current=made.FIX_LIVE, history=(made.FIX_LIVE, made.LIVE), auto_sync=True)
    assert ask(live_world().tell(made.STATE, state)).answer is Answer.PASS


def test_promise_1_a_deploy_that_failed_half_way_leaves_open_what_runs() -> None:
    finding = with_state(failed_newer="a deploy of f1f1f1f by jane ended Failed.")
    assert (finding.answer, "a deploy of f1f1f1f by jane ended Failed." in finding.says) == (Answer.UNKNOWN, True)
    assert with_state(current=None).answer is Answer.UNKNOWN


def test_a_hold_that_has_ended_is_nothing_to_go_forward_under() -> None:
    assert ask(forward_world().tell(made.HELD, ())).answer is Answer.BLOCK


def test_what_the_delivery_system_warns_of_is_a_warning() -> None:
    assert with_state(warnings=("the application is being deleted",)).answer is Answer.WARN
    assert with_state(warnings=("SyncError: Failed last sync attempt",)).answer is Answer.PASS


def test_promise_1_a_workload_that_rolls_out_in_steps_needs_a_person() -> None:
    rollout = ObjectRef(group="argoproj.io", kind="Rollout", namespace="shop", name="web")
    finding = with_state(objects=(rollout,))
    assert (finding.answer, "argoproj.io/Rollout shop/web would roll the new release out in steps" in finding.says) == (Answer.UNKNOWN, True)
    live = made.held_state(current=made.FIX_LIVE, history=(made.FIX_LIVE, made.LIVE), objects=(rollout,))
    assert ask(live_world().tell(made.STATE, live)).answer is Answer.PASS


EXAMPLES: made.Examples = {
    "nobody touched it": forward_world(),
    "somebody turned auto-sync on": forward_world().tell(made.STATE, made.held_state(auto_sync=True)),
    "somebody deployed by hand": forward_world().tell(made.STATE, made.held_state(current=made.SUSPECT)),
    "the delivery system is away": forward_world().hide(made.STATE),
}
