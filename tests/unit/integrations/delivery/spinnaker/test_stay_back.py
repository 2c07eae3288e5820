from integrations.delivery.spinnaker import stay_back
from tests.unit.integrations.delivery.spinnaker.saved import trigger
from tests.unit.integrations.delivery.spinnaker.stage import Stage
from tests.unit.integrations.delivery.spinnaker.steps.test_shut_triggers import CRON, with_doors

URL = "https://gate.example"


async def test_without_a_trigger_there_is_nothing_to_keep_away(stage: Stage) -> None:
    state = await stage.state()
    assert (stay_back.before(state, state.history[0], URL), stay_back.after(state, state.history[0], URL)) == ((), ())


async def test_one_step_switches_all_off_that_backout_may_and_each_other_is_a_step_of_its_own(stage: Stage) -> None:
    await with_doors(stage, CRON, trigger("git", branch="main"))
    state = await stage.state()
    (step,) = stay_back.before(state, state.history[0], URL)
    assert stay_back.after(state, state.history[0], URL) == ()
    assert len(step.parameters["remembered"]["triggers"]) == 2
    assert f"{URL}/applications/shop/pipelineConfigs" in step.command
    stage.spinnaker = stage.adapter()
    state = await stage.state()
    assert stay_back.before(state, state.history[0], URL) == ()
    by_hand = stay_back.after(state, state.history[0], URL)
    assert [(one.owner, one.effect, one.optional) for one in by_hand] == [("person", False, True)] * 2
