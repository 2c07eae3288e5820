import asyncio
import gc
import json
import warnings
from collections import Counter
from functools import partial

import pytest

from integrations.delivery.spinnaker.asking import AT_ONCE, FOLLOWED_EVERY, Applications, gathered
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.settings import Settings
from service.domain.errors import PermanentError
from tests.unit.integrations.delivery.spinnaker.stage import NEW, Stage, deployed_by_a_pipeline

TASKS, RUNS = "/applications/shop/tasks", "/applications/shop/pipelines"


def made(stage: Stage) -> Client:
    """A client of its own."""
    one = Client(Settings(name="spin", url=stage.gate.url, auth="none", applications=("shop",)), stage.clock, traceparent=str)
    stage.opened.append(one)
    return one


@pytest.fixture
def client(stage: Stage) -> Client:
    return made(stage)


@pytest.fixture
def applications(stage: Stage, client: Client) -> Applications:
    return Applications(client, stage.clock)


def asked(stage: Stage) -> Counter[str]:
    return Counter(one.path for one in stage.gate.served if one.method == "GET")


async def test_answers_come_in_order_and_only_some_are_asked_for_at_a_time() -> None:
    asking, most = 0, 0

    async def one(value: int) -> int:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        await asyncio.sleep(0)
        asking -= 1
        return value

    assert await gathered(partial(one, value) for value in range(3 * AT_ONCE)) == list(range(3 * AT_ONCE))
    assert most == AT_ONCE


async def test_who_gives_up_leaves_no_question_behind_that_was_never_asked() -> None:
    begun = asyncio.Event()

    async def never() -> None:
        begun.set()
        await asyncio.Event().wait()

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        (asking,) = [asyncio.ensure_future(gathered(never for _ in range(2 * AT_ONCE)))]
        await begun.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        gc.collect()
    assert [str(one.message) for one in heard if one.category is RuntimeWarning] == []


async def test_what_ran_is_runs_and_tasks_and_the_saved_pipelines_stand_beside_it(stage: Stage, applications: Applications) -> None:
    run = await deployed_by_a_pipeline(stage, NEW)
    async with stage.gate_session() as session:
        await session.post("/tasks", json={"application": "shop", "description": "by hand", "job": [{"type": "wait", "waitTime": 1}]})
    stage.pass_(seconds=5)
    found, pipelines = await applications.ran_in("shop")
    assert ([one.id for one in found if not one.is_task], [one.name for one in found if one.is_task]) == ([run], ["by hand"])
    assert [one.name for one in pipelines] == ["deploy"]


async def test_the_targets_of_an_application_share_its_lists_and_who_asks_later_gets_his_own(stage: Stage, applications: Applications) -> None:
    await asyncio.gather(*(applications.ran_in("shop") for _ in range(10)))
    assert asked(stage)[TASKS] == 1
    await applications.ran_in("shop")
    assert asked(stage)[TASKS] == 2


async def test_all_who_follow_a_task_share_the_list_for_a_moment(stage: Stage, applications: Applications) -> None:
    for _ in range(10):
        await applications.running_tasks("shop")
    assert asked(stage)[TASKS] == 1
    stage.pass_(seconds=FOLLOWED_EVERY.total_seconds() + 0.1)
    await applications.running_tasks("shop")
    assert asked(stage)[TASKS] == 2


async def test_promise_4_who_acts_reads_anew_and_nothing_from_before_a_write_serves_after_it(stage: Stage, client: Client, applications: Applications) -> None:
    async def guard() -> None: ...

    await applications.running_tasks("shop")
    await applications.running_tasks("shop", anew=True)
    assert asked(stage)[TASKS] == 2
    await client.post_task("shop", "by us", [{"type": "wait", "waitTime": 60}], "backout-1", guard)
    (task,) = await applications.running_tasks("shop")
    assert task.marker == "backout-1"
    assert asked(stage)[TASKS] == 3


async def test_promise_1_a_list_that_could_not_be_read_is_nobodys_answer(stage: Stage, applications: Applications) -> None:
    stage.gate.fail_with(500, times=None)
    failed = await asyncio.gather(*(applications.running_tasks("shop") for _ in range(3)), return_exceptions=True)
    assert all(isinstance(one, Exception) for one in failed)
    stage.gate.heal()
    assert await applications.running_tasks("shop") == ()


async def test_a_list_of_runs_that_is_too_long_is_read_run_by_run_and_tells_the_same(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [await deployed_by_a_pipeline(stage, NEW), *[await stage.starts("deploy") for _ in range(2)]]
    whole = Applications(made(stage), stage.clock)
    expected, _ = await whole.ran_in("shop")
    one = len(json.dumps(stage.gate.run_of(runs[0])))
    monkeypatch.setattr("integrations.delivery.spinnaker.client.MOST", 2 * one)
    applications = Applications(made(stage), stage.clock)
    before = asked(stage)
    found, _ = await applications.ran_in("shop")
    assert [run.id for run in found] == [run.id for run in expected] == runs
    assert found == expected
    await applications.ran_in("shop")
    after = asked(stage)
    assert {run: after[f"/pipelines/{run}"] - before[f"/pipelines/{run}"] for run in runs} == dict.fromkeys(runs, 2)
    assert after[RUNS] - before[RUNS] == 3, "in one list, and then only to learn which there are"


async def test_promise_1_a_run_that_cannot_be_read_by_its_id_makes_what_ran_unknown(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await deployed_by_a_pipeline(stage, NEW)
    monkeypatch.setattr("integrations.delivery.spinnaker.client.MOST", len(json.dumps(stage.gate.run_of(run))) - 1000)
    with pytest.raises(PermanentError, match=f"/pipelines/{run} answered more than"):
        await Applications(made(stage), stage.clock).ran_in("shop")
