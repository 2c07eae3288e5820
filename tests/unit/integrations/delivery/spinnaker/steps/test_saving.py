from typing import Any

import pytest

from integrations.delivery.spinnaker.pipelines import Pipeline
from integrations.delivery.spinnaker.steps.saving import TRIES, save_each
from integrations.json_shapes import Body
from service.domain.errors import RefusedError
from tests.unit.integrations.delivery.argocd.stage import CountingGuard
from tests.unit.integrations.delivery.spinnaker.stage import WEB, Stage
from tests.unit.integrations.delivery.spinnaker.steps.test_undo import tools_of


def limited(pipeline: Pipeline) -> Body:
    return {**pipeline.raw, "limitConcurrent": True}


async def intent(stage: Stage) -> dict[str, Any]:
    return {"target": str(WEB), "uid": (await stage.state()).uid}


async def test_what_is_so_already_is_not_saved(stage: Stage) -> None:
    stage.gate.save_pipeline({"application": "shop", "name": "one", "limitConcurrent": True})
    stage.gate.save_pipeline({"application": "shop", "name": "two", "stages": [{"type": "wait", "waitTime": "${ parameters.wait }"}]})
    guard = CountingGuard()
    await save_each(tools_of(stage), await intent(stage), guard, limited)
    assert guard.asked == 1
    saved = {one["name"]: one for one in stage.gate.front50.pipelines("shop")}
    assert (saved["two"]["limitConcurrent"], saved["two"]["stages"][0]["waitTime"]) == (True, "${ parameters.wait }")


async def test_whoever_saves_all_the_time_is_given_way_to(stage: Stage) -> None:
    stage.gate.save_pipeline({"application": "shop", "name": "one"})
    tries: list[str] = []

    async def busy() -> None:
        stage.pass_(seconds=1)
        (found,) = stage.gate.front50.pipelines("shop")
        tries.append(stage.gate.save_pipeline({**found, "description": f"{len(tries)}"})["updateTs"])

    with pytest.raises(RefusedError, match="pipeline one could not be saved"):
        await save_each(tools_of(stage), await intent(stage), busy, limited)
    (found,) = stage.gate.front50.pipelines("shop")
    assert (len(tries), found["updateTs"], found["limitConcurrent"]) == (TRIES, tries[-1], False)


async def test_one_that_is_refused_keeps_no_other_back(stage: Stage) -> None:
    stage.gate.save_pipeline({"application": "shop", "name": "one"})
    stage.gate.save_pipeline({"application": "shop", "name": "two"})

    def renamed(pipeline: Pipeline) -> Body:
        return {**limited(pipeline), **({"name": "two"} if pipeline.name == "one" else {})}

    with pytest.raises(RefusedError, match=r"pipeline one could not be saved: .*already exists"):
        await save_each(tools_of(stage), await intent(stage), CountingGuard(), renamed)
    assert {one["name"]: one["limitConcurrent"] for one in stage.gate.front50.pipelines("shop")} == {"one": False, "two": True}
