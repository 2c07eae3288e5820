import asyncio

from integrations.delivery.spinnaker.asking import AT_ONCE, gathered, ran_in
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.settings import Settings
from tests.unit.integrations.delivery.spinnaker.stage import NEW, Stage, deployed_by_a_pipeline


async def test_answers_come_in_order_and_only_some_are_asked_for_at_a_time() -> None:
    asking, most = 0, 0

    async def one(value: int) -> int:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        await asyncio.sleep(0)
        asking -= 1
        return value

    assert await gathered(one(value) for value in range(3 * AT_ONCE)) == list(range(3 * AT_ONCE))
    assert most == AT_ONCE


async def test_what_ran_is_runs_and_tasks_and_the_saved_pipelines_stand_beside_it(stage: Stage) -> None:
    run = await deployed_by_a_pipeline(stage, NEW)
    async with stage.gate_session() as session:
        await session.post("/tasks", json={"application": "shop", "description": "by hand", "job": [{"type": "wait", "waitTime": 1}]})
    stage.pass_(seconds=5)
    client = Client(Settings(name="spin", url=stage.gate.url, auth="none", applications=("shop",)), stage.clock, traceparent=str)
    stage.opened.append(client)
    found, pipelines = await ran_in(client, "shop")
    assert ([one.id for one in found if not one.is_task], [one.name for one in found if one.is_task]) == ([run], ["by hand"])
    assert [one.name for one in pipelines] == ["deploy"]
