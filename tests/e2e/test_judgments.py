"""A team's own rollback pipeline, and judgments that wait, with the real service as a process of its own, real HTTP and a sandbox Gate."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from integrations.sandbox.world import SPINNAKER
from service.wiring.parts import SystemClock
from service.wiring.playground import Playground

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

SHOPS = {"unfilled": "v1.0.0", "asking": "v4.0.0", "waiting": "v2.0.0"}
OWN = "go back"
"""The name of the teams' own rollback pipelines."""
PATIENCE = 120.0
"""Seconds after which something that should have happened is given up; nothing is measured by it."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Playground]:
    playground = Playground(Path(tmp_path_factory.mktemp("judgments")), SystemClock(), sides=(SPINNAKER,))
    playground.world.spinnaker.rollback_pipelines = [
        {"pipeline": OWN, "targets": ["prod-k8s/unfilled/*"]},
        {"pipeline": OWN, "targets": ["prod-k8s/asking/*"], "parameters": {"revision": "{revision}"}},
    ]
    try:
        await playground.start(SHOPS)
        yield playground
    finally:
        await playground.stop()


async def ended(ground: Playground, app: str) -> Mapping[str, Any]:
    async def look() -> Mapping[str, Any] | None:
        found = await ground.operation_of(app)
        return found if found and found["done_at"] else None

    found: Mapping[str, Any] = await ground.until(look, PATIENCE, f"the operation of {app} to end")
    return found


def save_own(ground: Playground, app: str, *before: Mapping[str, Any]) -> str:
    """The shop's own rollback pipeline, which undoes to the revision that it is given, after these stages; its id."""
    undo = {
        "type": "undoRolloutManifest",
        "name": "undo",
        "refId": "undo",
        "requisiteStageRefIds": [one["refId"] for one in before],
        "cloudProvider": "kubernetes",
        "account": "prod-k8s",
        "location": app,
        "manifestName": f"deployment {app}",
        "revision": "${ parameters.revision }",
    }
    required = {"name": "revision", "required": True, "default": ""}
    saved = ground.world.gate.save_pipeline({"application": app, "name": OWN, "stages": [*before, undo], "parameterConfig": [required]})
    return str(saved["id"])


async def until_told(ground: Playground, app: str, words: str) -> None:
    """Wait for a message about the shop that holds the words."""
    target = str(ground.world.target(app))

    async def told() -> bool:
        texts = [str(one.body["text"]) for one in ground.world.sink.received if isinstance(one.body, dict) and one.body.get("target") == target]
        return any(words in text for text in texts)

    await ground.until(told, PATIENCE, f"people to be told: {words}")


async def test_the_teams_own_pipeline_with_a_parameter_that_has_no_value_is_not_started_and_the_refusal_names_it(ground: Playground) -> None:
    world = ground.world
    save_own(ground, "unfilled")
    bad = await world.release("unfilled", "v1.1.0", errors=0.4)
    await world.until_live("unfilled", bad)
    operation = await ended(ground, "unfilled")
    assert (operation["outcome"], operation["automatic"]) == ("refused", True)
    why = f"ipeline {OWN} cannot be started: parameter revision is required and has no value"
    assert why in operation["says"]
    await until_told(ground, "unfilled", why)
    assert [one["name"] for one in world.spinnaker.runs("unfilled")] == ["deploy unfilled v1.1.0"]
    assert (world.spinnaker.asks("unfilled"), world.spinnaker.undos("unfilled"), await world.live("unfilled")) == (0, [], frozenset({bad.digest}))
    _, plan = await ground.post("/v1/plans", {"target": str(world.target("unfilled"))})
    finding = next(one for one in plan["verdict"]["findings"] if one["rule"] == "own_pipeline_is_safe_to_start")
    assert (finding["answer"], why in finding["says"]) == ("block", True)


async def test_the_judgment_in_the_teams_own_pipeline_is_shown_to_a_person_and_the_pipeline_goes_on_when_it_is_answered(ground: Playground) -> None:
    world, side = ground.world, ground.world.spinnaker
    config = save_own(ground, "asking", {"type": "manualJudgment", "name": "Really go back?", "refId": "asks", "requisiteStageRefIds": []})
    good = await world.live("asking")
    bad = await world.release("asking", "v4.1.0", errors=0.4)
    await world.until_live("asking", bad)

    async def in_phase(phase: str) -> Mapping[str, Any] | None:
        found = await ground.operation_of("asking")
        return found if found and found["phase"] == phase else None

    offer = await ground.until(lambda: in_phase("awaiting_approval"), PATIENCE, "the offer")
    await until_told(ground, "asking", "stage Really go back? waits for a judgment")
    assert [one["pipelineConfigId"] for one in side.runs("asking") if one["pipelineConfigId"] == config] == []
    word = {"plan_digest": offer["plan_digest"], "accept": offer["must_name"], "reason": "go"}
    status, answer = await ground.post(f"/v1/operations/{offer['id']}/approve", word)
    assert status == 202, answer

    waits = "waits for a person's judgment in Spinnaker: Really go back?"
    stuck = await ground.until(lambda: in_phase("stuck"), PATIENCE, "the operation to wait for the judgment")
    assert waits in stuck["says"]
    await until_told(ground, "asking", waits)
    watching = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "watch", offer["id"], "--server", ground.url, "--no-color"),
        env={**os.environ, "BACKOUT_TOKEN_FILE": str(ground.token_file)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert watching.stdout is not None
    shown = ""
    async with asyncio.timeout(PATIENCE):
        while waits not in " ".join(shown.split()):
            line = await watching.stdout.readline()
            assert line, shown
            shown += line.decode()

    (run,) = [one for one in side.runs("asking") if one["pipelineConfigId"] == config]
    assert (run["status"], side.undos("asking"), await world.live("asking")) == ("RUNNING", [], frozenset({bad.digest}))
    judgment = next(one["id"] for one in run["stages"] if one["type"] == "manualJudgment")
    await side.call("PATCH", f"/pipelines/{run['id']}/stages/{judgment}", {"judgmentStatus": "continue"})
    operation = await ended(ground, "asking")
    assert operation["outcome"] == "recovered", operation["says"]
    async with asyncio.timeout(PATIENCE):
        rest, _ = await watching.communicate()
    assert watching.returncode == 0, shown + rest.decode()
    assert await world.live("asking") == good
    (run,) = [one for one in side.runs("asking") if one["pipelineConfigId"] == config]
    assert (run["status"], run["trigger"]["parameters"]["revision"]) == ("SUCCEEDED", "1")
    assert [one["revision"] for one in side.undos("asking")] == ["1"]


async def test_a_bad_deploy_that_waits_for_a_judgment_is_answered_with_stop_and_then_undone(ground: Playground) -> None:
    world, side = ground.world, ground.world.spinnaker
    side.judged.add("waiting")
    good = await world.live("waiting")
    bad = await world.release("waiting", "v2.1.0", errors=0.4)
    await world.until_live("waiting", bad)
    operation = await ended(ground, "waiting")
    assert operation["outcome"] == "recovered", operation["says"]
    (run,) = side.runs("waiting")
    answers = [(one["context"]["judgmentStatus"], one["context"]["judgmentInput"]) for one in run["stages"] if one["type"] == "manualJudgment"]
    assert (run["status"], answers) == ("TERMINAL", [("stop", f"Backout {operation['id']}")])
    done = [one for one in (await ground.get(f"/v1/operations/{operation['id']}/events"))["events"] if one["kind"] == "step_done"]
    assert [one["body"]["step"] for one in done] == ["stop_deploy", "undo"]
    deploys = [one for one in world.gate.clouddriver.posted if one["name"] == "deployManifest" and one["body"]["moniker"]["app"] == "waiting"]
    assert (len(deploys), [one["revision"] for one in side.undos("waiting")], await world.live("waiting")) == (1, [1], good)
