from service.api.app import Drain, make_app, routes
from service.api.resources.alerts import LIMIT
from tests.unit.service.api.world import World


async def test_only_the_intake_and_the_service_itself_are_asked_without_a_token(world: World) -> None:
    open_ones = {route.path for route in routes(world.parts) if route.scope is None}
    assert open_ones == {
        "/v1/alerts/alertmanager",
        "/v1/events/spinnaker",
        "/v1/events/cdevents",
        "/livez",
        "/readyz",
        "/metrics",
        "/openapi.yaml",
        "/openapi.json",
    }


async def test_everything_that_changes_something_asks_for_a_scope_of_its_own(world: World) -> None:
    for route in routes(world.parts):
        if route.method != "GET" and route.scope is not None:
            assert route.scope
            assert not route.scope.endswith(":read")


async def test_every_post_of_a_person_may_be_repeated_safely(world: World) -> None:
    assert all(route.once for route in routes(world.parts) if route.method == "POST" and route.scope is not None)


async def test_an_app_takes_deliveries_up_to_the_limit(world: World) -> None:
    assert make_app(world.parts)._client_max_size == LIMIT  # noqa: SLF001  aiohttp keeps it nowhere else


def test_a_drain_has_no_way_back() -> None:
    drain = Drain()
    assert not drain.begun
    drain.begin()
    drain.begin()
    assert drain.begun
