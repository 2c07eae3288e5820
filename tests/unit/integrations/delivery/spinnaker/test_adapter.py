from datetime import timedelta

from service.domain import keys
from service.domain.facts import Known
from tests.unit.integrations.delivery.spinnaker.stage import WEB, Stage


async def test_it_tells_its_instance_and_is_polled(stage: Stage) -> None:
    assert stage.spinnaker.instance == "spin"
    assert stage.spinnaker.changes() is None
    assert "state" in stage.spinnaker.kinds


async def test_a_fact_carries_where_it_comes_from_and_how_long_it_holds(stage: Stage) -> None:
    fact = await stage.spinnaker.read(keys.state(WEB))
    assert isinstance(fact, Known)
    assert fact.evidence.source == "spinnaker:spin"
    assert fact.evidence.what == "GET /manifests/k8s/shop/deployment%20web"
    assert fact.evidence.read_at == stage.clock.now()
    assert fact.good_for == timedelta(seconds=30)
