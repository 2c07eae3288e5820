from typing import Any

import pytest

from integrations.delivery.spinnaker.own_pipeline import chosen, own_pipeline_of
from integrations.delivery.spinnaker.settings import RollbackPipeline, Settings
from service.domain.keys import OwnPipeline
from service.domain.model import TargetId
from tests.unit.integrations.delivery.spinnaker.stage import OLD, WEB, Stage

UNDO = {
    "refId": "1",
    "requisiteStageRefIds": [],
    "type": "undoRolloutManifest",
    "name": "undo",
    "cloudProvider": "kubernetes",
    "account": "k8s",
    "location": "shop",
    "manifestName": "deployment web",
    "revision": "${ parameters.revision }",
}
REVISION = {"name": "revision", "required": True, "default": ""}
BY_REVISION = {"revision": "{revision}"}


def settings(**more: Any) -> Settings:
    made: dict[str, Any] = {"pipeline": "Rollback web", "targets": ["k8s/shop/deployment/*"], "parameters": BY_REVISION, **more}
    return Settings(name="spin", url="http://gate", auth="none", applications=("shop",), rollback_pipelines=(RollbackPipeline(**made),))


def save(stage: Stage, **more: Any) -> None:
    stage.gate.save_pipeline({"application": "shop", "name": "Rollback web", "stages": [UNDO], "parameterConfig": [REVISION], **more})


async def read(stage: Stage, of: Settings | None = None) -> OwnPipeline:
    looked = await stage.reader().get(WEB)
    found = own_pipeline_of(of or settings(), looked, looked.state().history[1].key)
    assert found is not None
    return found


async def test_one_that_names_the_revision_by_its_parameter_may_be_started_by_itself(stage: Stage) -> None:
    save(stage)
    found = await read(stage)
    assert (found.values, found.blocked, found.missing, found.to_person) == ({"revision": "1"}, (), (), ())


async def test_every_place_is_filled_in(stage: Stage) -> None:
    save(stage, parameterConfig=[{"name": "all"}])
    found = await read(stage, settings(parameters={"all": "{account}/{namespace}/{name}@{revision}={image}"}))
    assert found.values == {"all": f"k8s/shop/web@1={OLD}"}


@pytest.mark.parametrize(
    ("saved", "of", "says"),
    [
        ({}, {"parameters": {}}, "parameter revision is required and has no value"),
        ({}, {"parameters": {**BY_REVISION, "typo": "1"}}, "typo is no parameter of it, or not one of its choices"),
        ({"disabled": True}, {}, "it is disabled: Spinnaker refuses to start it"),
        ({"expectedArtifacts": [{"id": "a", "displayName": "image"}]}, {}, "expected artifact image has nothing to fall back on"),
        ({"stages": [{**UNDO, "manifestName": "deployment other"}]}, {}, "no stage of it that goes back means this target"),
        ({}, {"pipeline": "Other"}, "application shop has no pipeline of that name"),
    ],
)
async def test_what_is_missing_or_wrong_is_said(stage: Stage, saved: dict[str, Any], of: dict[str, Any], says: str) -> None:
    save(stage, **saved)
    found = await read(stage, settings(**of))
    assert says in (*found.blocked, *found.missing)


async def test_what_chooses_by_itself_is_a_persons(stage: Stage) -> None:
    save(stage, stages=[{**UNDO, "revision": None, "numRevisionsBack": 1}])
    assert (await read(stage)).to_person == ("stage undo counts revisions back from whatever is live then",)


async def test_a_release_that_is_gone_leaves_its_places_unknown(stage: Stage) -> None:
    save(stage)
    looked = await stage.reader().get(WEB)
    found = own_pipeline_of(settings(), looked, "gone")
    assert found is not None
    assert found.missing[0] == "parameter revision is to name the revision, which is not known of that release"


async def test_where_none_names_the_target_there_is_none(stage: Stage) -> None:
    looked = await stage.reader().get(WEB)
    assert own_pipeline_of(settings(targets=["k8s/other/*"]), looked, "any") is None
    assert chosen(settings(), TargetId("spin", "k8s/shop/statefulset/web")) is None
