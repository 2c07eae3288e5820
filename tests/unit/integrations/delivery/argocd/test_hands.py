from service.domain.ports import Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage


async def test_a_rollback_deploys_the_goal_release_again(stage: Stage) -> None:
    await stage.two_releases("web")
    step, intention = await stage.ready("web", "roll_back")
    intent = await stage.argo.intend(step, intention)
    assert (await stage.argo.observe(step, intent)).seen is Seen.NOT_SEEN
    guard = CountingGuard()
    await stage.argo.act(step, intent, guard)
    assert guard.asked == 1
    await stage.deployed("web", 3)
    seen = await stage.argo.observe(step, intent)
    assert seen.seen is Seen.DONE
    assert seen.details["history_id"] == "2"
    state = await stage.argo.look(stage.target("web"))
    assert state.current is not None
    assert state.current.key == intention.goal.key
    assert str(state.current.by) == "service:backout"
