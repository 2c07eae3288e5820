"""What starts pipelines by itself (contract 3.5; D1, D2)."""

import asyncio
from typing import Any

import pytest

from integrations.sandbox.gate.access import User
from integrations.sandbox.gate.settings import Profile
from tests.contract.spinnaker.driver import Spinnaker, sandboxed, wait

DOCKER = {"type": "docker", "enabled": True, "repository": "registry/web", "tag": r"1\..*", "account": "registry"}
GIT = {"type": "git", "enabled": True, "source": "github", "project": "shop", "slug": "web", "branch": "main"}
CRON = {"type": "cron", "enabled": True, "cronExpression": "0 0 3 * * ?"}
PUBSUB = {"type": "pubsub", "enabled": True, "subscriptionName": "deploys"}


def saved(one: Spinnaker, name: str, *triggers: Any, **more: Any) -> str:
    config = one.inside.save_pipeline({"application": one.app, "name": name, "stages": [wait(1)], "triggers": list(triggers), **more})
    return str(config["id"])


async def started(one: Spinnaker) -> list[str]:
    """The types of the triggers that started something, after a moment."""
    await asyncio.sleep(1)
    one.inside.timeline.catch_up()
    return [kind for kind, _ in one.inside.echo.started]


async def polled(_one: Spinnaker) -> None:
    """Echo has read the pipelines again."""
    await asyncio.sleep(31)


async def test_a_new_tag_starts_the_triggers_whose_pattern_fits_and_brings_the_image(sandbox: Spinnaker) -> None:
    saved(sandbox, "deploy", DOCKER)
    await polled(sandbox)
    sandbox.inside.an_image_is_pushed("registry/web", "2.0")
    sandbox.inside.an_image_is_pushed("registry/other", "1.0")
    none = await started(sandbox)
    sandbox.inside.an_image_is_pushed("registry/web", "1.5")

    assert (none, await started(sandbox)) == ([], ["docker"])
    run = sandbox.inside.run_of(sandbox.inside.echo.started[0][1])
    assert run["trigger"]["artifacts"][0]["reference"] == "registry/web:1.5"


async def test_pushes_messages_and_the_hour_start_theirs(sandbox: Spinnaker) -> None:
    saved(sandbox, "on-push", GIT)
    nightly = saved(sandbox, "nightly", CRON)
    saved(sandbox, "on-message", PUBSUB)
    await polled(sandbox)
    sandbox.inside.a_commit_is_pushed("shop", "web", "feature", "abc")
    sandbox.inside.a_commit_is_pushed("shop", "web", "main", "abc")
    sandbox.inside.a_message_is_published("deploys", {"x": 1})
    sandbox.inside.the_hour_of_cron_comes(nightly)

    assert sorted(await started(sandbox)) == ["cron", "git", "pubsub"]


async def test_a_pipeline_starts_those_that_wait_for_its_end(sandbox: Spinnaker) -> None:
    first = saved(sandbox, "first")
    saved(sandbox, "then", {"type": "pipeline", "enabled": True, "pipeline": first, "status": ["successful"]})
    saved(sandbox, "else", {"type": "pipeline", "enabled": True, "pipeline": first, "status": ["failed"]})
    await polled(sandbox)
    execution = await sandbox.run("first")
    await sandbox.until_ended(execution)

    assert await started(sandbox) == ["pipeline"]
    run = sandbox.inside.run_of(sandbox.inside.echo.started[0][1])
    assert (run["name"], run["trigger"]["parentExecution"]["id"]) == ("then", execution)


async def test_a_shut_trigger_is_shut_only_when_echo_has_polled(sandbox: Spinnaker) -> None:
    config = sandbox.inside.front50.pipeline(saved(sandbox, "deploy", DOCKER))
    assert config is not None
    await polled(sandbox)
    answer = await sandbox.call("PUT", f"/pipelines/{config['id']}", {**config, "triggers": [{**DOCKER, "enabled": False}]})
    sandbox.inside.an_image_is_pushed("registry/web", "1.5")
    early = await started(sandbox)
    await polled(sandbox)
    sandbox.inside.an_image_is_pushed("registry/web", "1.6")

    assert (answer.status, answer.body["triggers"][0]["enabled"]) == (200, False)
    assert (early, await started(sandbox)) == (["docker"], ["docker"])


async def test_a_disabled_pipeline_and_an_echo_that_is_down_start_nothing(sandbox: Spinnaker) -> None:
    saved(sandbox, "deploy", DOCKER, disabled=True)
    saved(sandbox, "other", DOCKER)
    await polled(sandbox)
    sandbox.inside.faults.echo_down = True
    sandbox.inside.an_image_is_pushed("registry/web", "1.5")

    assert await started(sandbox) == []


async def test_an_automated_start_needs_the_right_to_execute_of_its_service_account() -> None:
    async with sandboxed(Profile(auth="header", fiat=True)) as one:
        one.inside.add_user(User(name="deployer", rights={"EXECUTE": {one.app}}))
        saved(one, "may", {**DOCKER, "runAsUser": "deployer"})
        saved(one, "may-not", DOCKER)
        await polled(one)
        one.inside.an_image_is_pushed("registry/web", "1.5")
        await started(one)

        assert [one.inside.run_of(execution)["name"] for _, execution in one.inside.echo.started] == ["may"]


@pytest.mark.parametrize(("stale", "status"), [(True, 400), (False, 200)])
async def test_saving_with_a_stale_check_refuses_what_was_read_before_somebody_saved(sandbox: Spinnaker, *, stale: bool, status: int) -> None:
    config = sandbox.inside.front50.pipeline(saved(sandbox, "deploy", DOCKER))
    assert config is not None
    if stale:
        await asyncio.sleep(1)
        sandbox.inside.save_pipeline({**config, "stages": [wait(2)]}, by="bob")
    answer = await sandbox.call("POST", "/pipelines", config, staleCheck="true")

    assert answer.status == status
    history = await sandbox.call("GET", f"/pipelineConfigs/{config['id']}/history")
    assert len(history.body) == 2
