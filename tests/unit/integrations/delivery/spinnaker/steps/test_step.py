from dataclasses import replace
from datetime import timedelta

import pytest

from integrations.delivery.spinnaker.steps.step import OtherObjectError, nobody_else, refuse_when, same_object, suspect_is_live, unedited
from service.domain.errors import RefusedError
from tests.unit.integrations.delivery.spinnaker.stage import WEB, Stage


def test_it_is_refused_only_when_it_is_so() -> None:
    refuse_when(False, "never")
    with pytest.raises(RefusedError, match="now"):
        refuse_when(True, "now")


async def test_the_object_is_the_one_that_was_meant_and_not_on_its_way_out(stage: Stage) -> None:
    looked = await stage.reader().get(WEB)
    same_object(looked, looked.uid)
    with pytest.raises(OtherObjectError, match="another object"):
        same_object(looked, "another")
    metadata = {**looked.manifest["metadata"], "deletionTimestamp": "2026-05-04T14:00:00Z"}
    leaving = replace(looked, body={**looked.body, "manifest": {**looked.manifest, "metadata": metadata}})
    with pytest.raises(OtherObjectError, match="being deleted"):
        same_object(leaving, looked.uid)


async def test_an_edit_and_another_release_since_the_plan_are_refused(stage: Stage) -> None:
    step, intention = await stage.ready()
    looked = await stage.reader().get(WEB)
    unedited(step, looked)
    suspect_is_live(looked, intention)
    with pytest.raises(RefusedError, match="edited the spec"):
        unedited(replace(step, parameters={"spec_digest": "sha256:other"}), looked)
    stage.runs("registry.example/web:3.0")
    with pytest.raises(RefusedError, match="revision 3 was deployed since"):
        suspect_is_live(await stage.reader().get(WEB), intention)


async def test_the_suspects_own_deploy_is_nobodys_hand_on_it(stage: Stage) -> None:
    _, intention = await stage.ready()
    looked = await stage.reader().get(WEB)
    nobody_else(looked, replace(intention, not_before=None))
    nobody_else(looked, replace(intention, not_before=intention.at - timedelta(days=1)))
