"""A canary analysis as Orca carries it out: what it deploys, how it is judged, what cleans it up, and what a cancellation leaves (source only)."""

from typing import Any

import pytest

from tests.contract.spinnaker.driver import Json, Spinnaker

FIRST = {"refId": "1", "requisiteStageRefIds": []}


def spec(app: str, detail: str, image: str) -> Json:
    where = {"account": "prod", "application": app, "stack": "main", "freeFormDetails": detail, "provider": "aws", "cloudProvider": "aws"}
    return {**where, "availabilityZones": {"us-east-1": ["a"]}, "imageId": image, "capacity": {"min": 1, "max": 1, "desired": 1}}


def canary(app: str, **more: Any) -> Json:
    """A canary analysis that deploys its own baseline and canary, as Deck writes it."""
    pair = {"control": spec(app, "baseline", "ami-1"), "experiment": spec(app, "canary", "ami-2")}
    deployments = {
        "baseline": {"application": app, "account": "prod", "cluster": f"{app}-main", "cloudProvider": "aws"},
        "serverGroupPairs": [pair],
        "delayBeforeCleanup": "PT0M",
    }
    scope = {"scopeName": "default", "step": 60, "extendedScopeParams": {}}
    config = {"canaryConfigId": "c-1", "lifetimeDuration": "PT10M", "scopes": [scope], "scoreThresholds": {"pass": "95", "marginal": "75"}}
    return {"type": "kayentaCanary", "name": "Canary", **FIRST, "analysisType": "realTimeAutomatic", "canaryConfig": config, "deployments": deployments, **more}


def groups(sandbox: Spinnaker) -> dict[str, bool]:
    return {one.cluster.removeprefix(f"{sandbox.app}-"): one.disabled for one in sandbox.inside.groups.all}


async def test_one_that_is_judged_good_deploys_both_measures_and_destroys_both(sandbox: Spinnaker) -> None:
    await sandbox.save("canary", [canary(sandbox.app)], fresh=True)
    run = await sandbox.until_ended(await sandbox.run("canary"), seconds=3600)
    (top,) = [one for one in run["stages"] if "parentStageId" not in one]
    judged = next(one for one in run["stages"] if one["type"] == "runCanary")
    made = next(one for one in run["stages"] if one["type"] == "deployCanaryServerGroups")["outputs"]["deployedServerGroups"]
    names = [one["name"] for one in run["stages"] if one.get("parentStageId") == top["id"]]

    assert (run["status"], top["context"]["canaryScores"]) == ("SUCCEEDED", [95.0])
    assert top["context"]["canaryScoreMessage"] == "Final canary score 95.0 met or exceeded the pass score threshold."
    assert sorted(names) == ["Cleanup Canary Clusters", "Deploy Canary Server Groups", "Run Canary Intervals"]
    assert (judged["context"]["canaryPipelineStatus"], judged["context"]["canaryScore"]) == ("SUCCEEDED", 95.0)
    assert [one["experimentScope"] for one in made] == [f"{sandbox.app}-main-canary-v000"]
    assert groups(sandbox) == {}


async def test_one_that_is_judged_bad_fails_and_cleans_up_all_the_same(sandbox: Spinnaker) -> None:
    sandbox.inside.kayenta.score = 60.0
    await sandbox.save("canary", [canary(sandbox.app)], fresh=True)
    run = await sandbox.until_ended(await sandbox.run("canary"), seconds=3600)
    judged = next(one for one in run["stages"] if one["type"] == "runCanary")

    assert (run["status"], judged["context"]["canaryScoreMessage"]) == ("TERMINAL", "Canary score is not above the marginal score threshold.")
    assert groups(sandbox) == {}


async def test_one_that_is_cancelled_ends_kayentas_analysis_and_leaves_both_with_traffic(sandbox: Spinnaker) -> None:
    sandbox.inside.kayenta.seconds = 7200
    await sandbox.save("canary", [canary(sandbox.app)], fresh=True)
    ref = await sandbox.run("canary")
    await sandbox.until(lambda: _has(sandbox, ref, "runCanary"), "the analysis", seconds=3600)
    await sandbox.call("PUT", f"/pipelines/{ref}/cancel")
    run = await sandbox.until_ended(ref)

    assert (run["status"], [one.cancelled for one in sandbox.inside.kayenta.analyses]) == ("CANCELED", [True])
    assert not any(one["type"] == "cleanupCanaryClusters" for one in run["stages"])
    assert groups(sandbox) == {"main-baseline": False, "main-canary": False}


async def test_an_analysis_that_kayenta_cancelled_fails_the_run_and_cleans_up(sandbox: Spinnaker) -> None:
    sandbox.inside.kayenta.seconds = 7200
    await sandbox.save("canary", [canary(sandbox.app)], fresh=True)
    ref = await sandbox.run("canary")
    await sandbox.until(lambda: _has(sandbox, ref, "runCanary"), "the analysis", seconds=3600)
    sandbox.inside.kayenta.cancel(sandbox.inside.kayenta.analyses[-1].id)
    run = await sandbox.until_ended(ref, seconds=3600)

    assert (run["status"], groups(sandbox)) == ("TERMINAL", {})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"lifetimeDuration": "PT10M"}, "must contain at least one scope"),
        ({"scopes": [{"scopeName": "default"}]}, "must include either"),
    ],
)
async def test_one_that_is_not_complete_fails_before_it_deploys(sandbox: Spinnaker, config: Json, words: str) -> None:
    await sandbox.save("canary", [canary(sandbox.app, canaryConfig=config)], fresh=True)
    run = await sandbox.until_ended(await sandbox.run("canary"))

    assert (run["status"], words in run["stages"][0]["context"]["exception"]["details"]["errors"][0]) == ("TERMINAL", True)
    assert groups(sandbox) == {}


async def _has(sandbox: Spinnaker, ref: str, kind: str) -> bool:
    found = await sandbox.get(ref)
    return any(one["type"] == kind and one["context"].get("canaryPipelineExecutionId") for one in found["stages"])
