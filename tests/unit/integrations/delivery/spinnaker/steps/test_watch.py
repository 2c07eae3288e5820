from service.domain.model import Way
from service.domain.ports import Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard
from tests.unit.integrations.delivery.spinnaker.stage import Stage


async def test_it_looks_and_changes_nothing(stage: Stage) -> None:
    live = (await stage.state()).history[0]
    (offer,) = stage.spinnaker.offers(await stage.case(way=Way.FORWARD, goal=live, context={"live_already": True}))
    (step,) = offer.steps
    assert (step.effect, step.optional, step.once_verified) == (False, True, True)
    _, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    guard = CountingGuard()
    await stage.spinnaker.act(step, intent, guard)
    await stage.spinnaker.withdraw(step, intent, guard)
    assert (await stage.spinnaker.observe(step, intent)).seen is Seen.DONE
    stage.runs("registry.example/web:3.0")
    assert (await stage.spinnaker.observe(step, intent)).seen is Seen.FOREIGN
    assert (guard.asked, stage.started()) == (0, 0)
