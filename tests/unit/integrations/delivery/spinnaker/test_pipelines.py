"""Saved pipelines: what a start would lack, and a text that is saved whole or not at all."""

from typing import Any

import pytest

from integrations.delivery.spinnaker.pipelines import pipeline_of
from tests.unit.integrations.delivery.spinnaker.recordings import answers
from tests.unit.integrations.delivery.spinnaker.saved import deploy_manifest, pipeline, trigger


def test_the_recorded_pipeline_can_be_read() -> None:
    found = pipeline_of(answers("08a-search-redis", "/applications/lab/pipelineConfigs/wait-pipeline")[0])
    assert found is not None
    assert (found.name, found.application, found.disabled, found.limit_concurrent) == ("wait-pipeline", "lab", False, False)
    assert [(stage.ref, stage.kind) for stage in found.stages] == [("1", "wait")]


@pytest.mark.parametrize("body", [None, [], "", {}, {"id": 3}, {"error": "Not Found", "status": 404}])
def test_what_has_no_id_is_no_pipeline(body: Any) -> None:
    assert pipeline_of(body) is None


@pytest.mark.parametrize(("config", "lacks"), [({}, True), ({"default": None}, True), ({"default": ""}, True), ({"default": "3"}, False)])
def test_a_required_parameter_without_a_value_is_missing_also_where_spinnaker_would_start(config: dict[str, Any], lacks: bool) -> None:
    found = pipeline(parameterConfig=[{"name": "revision", "required": True, **config}])
    assert found.missing({}) == (("revision",) if lacks else ())
    assert found.missing({"revision": "2"}) == ()
    assert found.missing({"revision": ""}) == ("revision",)


def test_a_parameter_that_is_not_declared_or_not_one_of_the_choices_is_wrong() -> None:
    found = pipeline(
        parameterConfig=[{"name": "region", "hasOptions": True, "options": [{"value": "eu"}, {"value": "us"}]}, {"name": "any", "options": [{"value": ""}]}]
    )
    assert found.wrong({"region": "eu", "any": "x"}) == ()
    assert found.wrong({"region": "mars", "typo": "x"}) == ("region", "typo")


def test_a_trigger_is_told_by_what_it_is_and_not_by_whether_it_is_on() -> None:
    on, off, other = (
        pipeline(triggers=[one]).triggers[0] for one in (trigger("git"), trigger("git", enabled=False, backoutHold={"t": "m", "u": 1}), trigger("cron"))
    )
    assert on.digest == off.digest != other.digest
    assert (on.marks, off.marks) == ({}, {"t": "m"})
    assert (on.kept_off, off.kept_off, other.kept_off) == (False, True, False)


def test_what_saving_changes_by_itself_is_not_part_of_the_text() -> None:
    found = pipeline(deploy_manifest(), updateTs="1", lastModifiedBy="ann")
    assert found.digest == pipeline(deploy_manifest(), updateTs="2", lastModifiedBy="bob").digest
    assert found.digest != pipeline(deploy_manifest("other"), updateTs="1", lastModifiedBy="ann").digest


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"type": "templatedPipeline"}, "template"),
        ({"schema": "v2"}, "template"),
        ({"template": {"reference": "x"}}, "template"),
        ({"locked": {"ui": True}}, "locked"),
    ],
)
def test_a_text_that_a_tool_writes_is_not_ours_to_change(config: dict[str, Any], says: str) -> None:
    assert says in pipeline(**config).written_elsewhere
    assert pipeline(schema="1").written_elsewhere == ""


def test_a_trigger_is_told_without_its_secret() -> None:
    found = pipeline(triggers=[trigger("webhook", source="deploys", payloadConstraints={"secret": "hunter2"}), trigger("docker", repository="shop/web")])
    assert [one.says for one in found.triggers] == ["webhook deploys", "docker shop/web"]
    assert not any("hunter2" in one.says for one in found.triggers)
