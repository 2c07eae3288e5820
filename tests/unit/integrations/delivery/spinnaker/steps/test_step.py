from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from integrations.delivery.spinnaker.executions import Execution, execution_of
from integrations.delivery.spinnaker.steps.step import (
    OtherObjectError,
    marker_of,
    nobody_acted,
    nobody_else,
    own_task,
    refuse_when,
    same_object,
    suspect_is_live,
    unedited,
)
from service.domain.errors import RefusedError
from tests.unit.integrations.delivery.spinnaker.stage import Stage

SECOND = timedelta(seconds=1)


def scaled(at: datetime, *, marker: str = "", by: str = "manual", kind: str = "ORCHESTRATION", identity: str = "01A") -> Execution:
    """A run that scaled `web` at that moment, and ended."""
    ms = round(at.timestamp() * 1000)
    about = {"account": "k8s", "location": "shop", "manifestName": "deployment web"}
    stage: dict[str, Any] = {"id": "S", "refId": "1", "type": "scaleManifest", "status": "SUCCEEDED", "startTime": ms, "endTime": ms + 900, "context": about}
    trigger = {"type": by, "user": "alice", "correlationId": marker}
    made = execution_of(
        {"id": identity, "type": kind, "status": "SUCCEEDED", "buildTime": ms, "startTime": ms, "endTime": ms + 900, "trigger": trigger, "stages": [stage]}
    )
    assert made is not None
    return made


def test_it_is_refused_only_when_it_is_so() -> None:
    refuse_when(False, "never")
    with pytest.raises(RefusedError, match="now"):
        refuse_when(True, "now")


async def test_the_object_is_the_one_that_was_meant_and_not_on_its_way_out(stage: Stage) -> None:
    looked = await stage.looked()
    same_object(looked, looked.uid)
    with pytest.raises(OtherObjectError, match="another object"):
        same_object(looked, "another")
    metadata = {**looked.manifest["metadata"], "deletionTimestamp": "2026-05-04T14:00:00Z"}
    leaving = replace(looked, body={**looked.body, "manifest": {**looked.manifest, "metadata": metadata}})
    with pytest.raises(OtherObjectError, match="being deleted"):
        same_object(leaving, looked.uid)


async def test_an_edit_and_another_release_since_the_plan_are_refused(stage: Stage) -> None:
    step, intention = await stage.ready()
    looked = await stage.looked()
    unedited(step, looked)
    suspect_is_live(looked, intention)
    with pytest.raises(RefusedError, match="edited the spec"):
        unedited(replace(step, parameters={"spec_digest": "sha256:other"}), looked)
    stage.runs("registry.example/web:3.0")
    with pytest.raises(RefusedError, match="revision 3 was deployed since"):
        suspect_is_live(await stage.looked(), intention)


async def test_the_suspects_own_deploy_is_nobodys_hand_on_it(stage: Stage) -> None:
    _, intention = await stage.ready()
    looked = await stage.looked()
    nobody_else(looked, replace(intention, not_before=None))
    nobody_else(looked, replace(intention, not_before=intention.at - timedelta(days=1)))


async def test_a_live_template_that_no_revision_has_is_not_taken_for_the_suspect(stage: Stage) -> None:
    _, intention = await stage.ready()
    looked = await stage.looked()
    with pytest.raises(RefusedError, match="revision nobody knows which"):
        suspect_is_live(replace(looked, history=replace(looked.history, live="sha256:another")), intention)


async def test_promise_5_an_act_counts_from_the_second_in_which_the_trouble_began_and_only_a_persons(stage: Stage) -> None:
    _, intention = await stage.ready()
    looked, began = await stage.looked(), intention.not_before
    assert began is not None
    for run in (
        scaled(began),
        scaled(began - SECOND / 2),
        scaled(began + SECOND / 2),
        scaled(began, kind="PIPELINE"),
        scaled(began, marker="a-pipeline-of-alice"),
    ):
        with pytest.raises(RefusedError, match="alice is acting on it: scaleManifest"):
            nobody_acted(replace(looked, runs=(run,)), intention)
    for run in (scaled(began - SECOND), scaled(began, marker="backout-op-0-undo-0"), scaled(began, by="docker")):
        nobody_acted(replace(looked, runs=(run,)), intention)


async def test_promise_5_only_the_act_that_made_the_suspect_is_excused(stage: Stage) -> None:
    _, intention = await stage.ready()
    looked = await stage.looked()
    made = intention.suspect.started_at
    early = replace(intention, not_before=made - timedelta(minutes=5))
    nobody_acted(replace(looked, runs=(scaled(made + SECOND),)), early)
    for at in (made - 2 * SECOND, made + 2 * SECOND):
        with pytest.raises(RefusedError, match="alice is acting on it"):
            nobody_acted(replace(looked, runs=(scaled(at),)), early)


async def test_promise_3_only_a_task_with_this_very_marker_is_ours_and_the_newest_of_two(stage: Stage) -> None:
    _, intention = await stage.ready()
    looked, mine = await stage.looked(), marker_of(intention, "undo")
    intent = {"marker": mine, "at": intention.at.isoformat()}
    others = (
        scaled(intention.at, marker=mine, kind="PIPELINE", identity="09"),
        scaled(intention.at, marker=marker_of(replace(intention, operation_id="op_2"), "undo"), identity="08"),
        scaled(intention.at, marker=f"{mine}-more", identity="07"),
        scaled(intention.at, marker="", identity="06"),
    )
    assert own_task(replace(looked, runs=others), intent) is None
    two = (scaled(intention.at, marker=mine, identity="02"), scaled(intention.at, marker=mine, identity="03"), scaled(intention.at, marker=mine, identity="01"))
    found = own_task(replace(looked, runs=(*others, *two)), intent)
    assert found is not None
    assert found.id == "03"


async def test_a_marker_is_short_and_plain_whatever_the_operation_is_called(stage: Stage) -> None:
    _, intention = await stage.ready()
    marker = marker_of(replace(intention, operation_id="op " * 100 + "${1+1}"), "undo")
    assert len(marker) < 100
    assert marker.replace("-", "").isalnum()
