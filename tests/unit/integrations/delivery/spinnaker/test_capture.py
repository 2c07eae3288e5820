import json

import pytest

from integrations.sandbox.gate.settings import Outage
from service.domain.errors import TemporaryError
from service.domain.ports import Basket
from tests.unit.integrations.delivery.spinnaker.machines import MAIN, machines
from tests.unit.integrations.delivery.spinnaker.stage import NEW, WEB, Stage


async def test_the_manifests_of_deployment_replica_set_and_pods_are_captured_without_secrets(stage: Stage) -> None:
    env = [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "MODE", "value": "fast"}]
    stage.runs(NEW, template={"spec": {"containers": [{"name": "web", "image": NEW, "env": env}]}})
    stage.pass_(minutes=1)
    basket = Basket()
    await stage.spinnaker.capture(WEB, basket)
    names = [one.name.partition(" ")[0] for one in basket.items]
    assert sorted(names) == ["deployment", "pod", "pod", "replicaSet"]
    assert all(json.loads(one.text)["kind"] for one in basket.items)
    assert "hunter2" not in str(basket.items)
    assert "fast" in str(basket.items)
    assert any("logs" in one for one in basket.missing)


async def test_a_pod_that_goes_while_it_is_looked_at_is_named_as_missing_and_keeps_nothing_back(stage: Stage) -> None:
    stage.runs("registry.example/web:3.0")  # the cache still names the pods of the revision before
    basket = Basket()
    await stage.spinnaker.capture(WEB, basket)
    assert {one.name.partition(" ")[0] for one in basket.items} == {"deployment", "replicaSet"}
    gone = [one for one in basket.missing if one.startswith("pod ")]
    assert len(gone) == 2
    assert all("404" in one for one in gone)


async def test_while_nothing_can_be_read_the_capture_fails_as_a_whole(stage: Stage) -> None:
    stage.gate.faults.clouddriver = Outage(status=500)
    with pytest.raises(TemporaryError):
        await stage.spinnaker.capture(WEB, Basket())


async def test_of_a_cluster_every_server_group_is_captured() -> None:
    async with machines() as stage:
        basket = Basket()
        await stage.spinnaker.capture(MAIN, basket)
    assert sorted(one.name for one in basket.items) == ["server group web-main-v000", "server group web-main-v001"]
    assert all('"imageId"' in one.text for one in basket.items)
