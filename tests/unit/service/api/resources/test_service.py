import asyncio

import yaml

from service.api.reads import ReadinessCheck
from service.api.resources import service
from service.domain.errors import UnavailableError
from tests.unit.service.api.conftest import Api, MakeApi
from tests.unit.service.api.world import ROOT, World


async def test_alive_needs_no_token_and_looks_at_nothing(world: World, api: Api) -> None:
    world.trouble = "the store is gone"
    got = await api.get("/livez", token="")
    assert (got.status, got.body) == (200, {"alive": True})


async def test_ready_is_what_every_check_says(world: World, api: Api) -> None:
    assert (await api.get("/readyz", token="")).body == {"ready": True}
    world.trouble = "prod was last listed 4 min ago"
    got = await api.get("/readyz", token="")
    assert (got.status, got.body) == (503, {"ready": False})
    verbose = await api.get("/readyz?verbose", token="")
    assert verbose.body["checks"] == [{"name": "store", "ok": False, "says": "prod was last listed 4 min ago"}]
    assert verbose.body["version"] == "0.1.0"


async def test_not_ready_is_the_first_thing_that_a_shutdown_says(world: World, api: Api) -> None:
    world.parts.drain.begin()
    got = await api.get("/readyz?verbose=1", token="")
    assert (got.status, got.body["checks"]) == (503, [{"name": "shutdown", "ok": False, "says": "the service is going down"}])
    assert (await api.get("/livez", token="")).status == 200
    assert (await api.get("/v1/targets")).status == 200


async def test_a_check_that_fails_is_an_answer(world: World, make_api: MakeApi) -> None:
    async def unavailable() -> str:
        raise UnavailableError("the store cannot be used")

    async def defect() -> str:
        raise KeyError("internal detail")

    async def well() -> str:
        await asyncio.sleep(0)
        return ""

    world.with_parts(readiness=tuple(ReadinessCheck(name=ask.__name__, ask=ask) for ask in (unavailable, defect, well)))
    got = await (await make_api()).get("/readyz?verbose", token="")
    assert [(one["ok"], one["says"]) for one in got.body["checks"]] == [
        (False, "the store cannot be used"),
        (False, "the check itself failed; see the log"),
        (True, "ok"),
    ]
    assert "internal detail" not in got.text


async def test_a_check_that_hangs_is_not_waited_for(world: World, make_api: MakeApi) -> None:
    async def hangs() -> str:
        raise TimeoutError

    world.with_parts(readiness=(ReadinessCheck(name="engine", ask=hangs),))
    got = await (await make_api()).get("/readyz?verbose", token="")
    assert got.body["checks"][0]["says"] == f"no answer within {service.PATIENCE:g} s"


async def test_verbose_is_a_switch(api: Api) -> None:
    assert (await api.get("/readyz?verbose=loud", token="")).code == "invalid_request"


async def test_metrics_count_by_template_and_never_by_address(world: World, api: Api) -> None:
    await api.get("/v1/targets/prod:checkout")
    await api.client.get("/nothing-here")
    got = await api.get("/metrics", token="")
    assert 'backout_http_request_seconds_count{method="GET",route="/v1/targets/{target}",status="200"} 1.0' in got.text
    assert 'backout_http_request_seconds_count{method="any",route="unmatched",status="404"} 1.0' in got.text
    assert 'backout_deliveries_total{answer="overloaded"} 0.0' in got.text
    assert "prod:checkout" not in got.text
    assert world.parts.version not in got.text


async def test_the_description_is_served_as_it_was_written_and_as_json(api: Api) -> None:
    written = (ROOT / "openapi.yaml").read_text()
    assert (await api.get("/openapi.yaml", token="")).text == written
    assert (await api.get("/openapi.json", token="")).body == yaml.safe_load(written)
