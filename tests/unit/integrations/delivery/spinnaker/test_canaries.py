"""What a canary analysis in a run means for its end. Shapes by the sandbox's Orca, which is source only here."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from integrations.delivery.spinnaker.canaries import left_by, open_canaries, why_left_alone
from integrations.delivery.spinnaker.executions import Execution, Status, execution_of
from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress
from integrations.delivery.spinnaker.names import address_of
from service.domain.keys import CanaryPart
from service.domain.model import TargetId
from tests.unit.integrations.delivery.spinnaker.machines import MAIN, Machines, machines
from tests.unit.integrations.sandbox.gate.test_canary_stages import canary

WEB = ManifestAddress("k8s", "shop", "deployment", "web")


@pytest.fixture
async def stage() -> AsyncIterator[Machines]:
    async with machines() as one:
        yield one


async def measured(stage: Machines, *, seconds: float = 900, **more: Any) -> Execution:
    """A trigger's run has deployed a canary and its baseline, and measures them."""
    stage.gate.kayenta.seconds = 7200
    stage.gate.save_pipeline({"application": "web", "name": "deploy", "stages": [canary("web", **more)], "triggers": []})
    async with stage.gate_session() as session, session.post("/pipelines/web/deploy", json={"type": "docker"}) as answer:
        ref = (await answer.json())["ref"]
    for _ in range(int(seconds) // 10):
        stage.pass_(seconds=10)
    found = execution_of(stage.gate.run_of(ref.rpartition("/")[2]))
    assert found is not None
    return found


async def test_baseline_and_canary_that_it_deployed_are_named_by_their_roles(stage: Machines) -> None:
    run = await measured(stage)
    about = {"account": "prod", "location": "us-east-1", "provider": "aws"}
    assert left_by(run, address_of(MAIN)) == (
        CanaryPart(role="baseline", name="web-main-baseline-v000", **about),
        CanaryPart(role="canary", name="web-main-canary-v000", **about),
    )
    assert [one.says for one in left_by(run, address_of(MAIN))][1] == "server group web-main-canary-v000 (canary, us-east-1)"
    assert why_left_alone(run) == ""


async def test_the_target_itself_is_nothing_that_is_left(stage: Machines) -> None:
    run = await measured(stage)
    itself = address_of(TargetId("spin", "prod/us-east-1/web-main-canary"))
    assert [one.name for one in left_by(run, itself)] == ["web-main-baseline-v000"]


async def test_while_it_makes_them_or_cleans_them_up_it_is_not_ours_to_end(stage: Machines) -> None:
    run = await measured(stage)
    (top,) = open_canaries(run)
    making = tuple(replace(one, status=Status.RUNNING) if one.kind == "deployCanaryServerGroups" else one for one in run.stages)
    assert "what it would leave is not known yet" in why_left_alone(replace(run, stages=making))
    cleans = replace(top, id="cleans", kind="cleanupCanaryClusters", parent=top.id)
    assert "being cleaned up" in why_left_alone(replace(run, stages=(*run.stages, cleans)))
    other = replace(top, id="other", kind="acaTask")
    assert "of type acaTask" in why_left_alone(replace(run, stages=(*run.stages, other)))


async def test_one_that_has_ended_leaves_nothing_to_tell(stage: Machines) -> None:
    run = await measured(stage)
    ended = replace(run, stages=tuple(replace(one, status=Status.SUCCEEDED) for one in run.stages))
    assert (open_canaries(ended), left_by(ended, address_of(MAIN)), why_left_alone(ended)) == ((), (), "")


def deployed(name: str, **more: Any) -> dict[str, Any]:
    manifest = {"kind": "Deployment", "metadata": {"name": name, "namespace": "shop"}, "spec": {}}
    made = {"account": "k8s", "outputs.manifests": [manifest], **more}
    return {"id": name, "refId": name, "type": "deployManifest", "name": name, "status": "SUCCEEDED", "context": made}


def with_scopes(**scope: str) -> Execution:
    config = {"canaryConfig": {"scopes": [scope]}}
    measures = {"id": "c", "refId": "c", "type": "kayentaCanary", "name": "c", "status": "RUNNING", "context": config}
    found = execution_of({"id": "run", "stages": [deployed("web"), deployed("web-canary"), deployed("web-base"), deployed("other"), measures]})
    assert found is not None
    return found


def test_without_machines_of_its_own_its_scopes_name_what_the_run_deployed_to_measure_by() -> None:
    left = left_by(with_scopes(controlScope="web-base", experimentScope="web-canary"), WEB)
    assert [one.says for one in left] == ["deployment web-base (baseline, shop)", "deployment web-canary (canary, shop)"]


def test_what_it_measures_where_it_is_live_is_not_left_behind() -> None:
    assert left_by(with_scopes(controlScope="somewhere", experimentScope="web"), WEB) == ()
