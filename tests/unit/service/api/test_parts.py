from dataclasses import FrozenInstanceError, fields, replace

import pytest

from service.api.parts import Drain, Parts
from tests.unit.service.api.conftest import Api, MakeApi
from tests.unit.service.api.world import World


def test_going_down_has_no_way_back() -> None:
    drain = Drain()
    assert drain.begun is False
    drain.begin()
    drain.begin()
    assert drain.begun is True


def test_two_edges_go_down_each_for_itself(world: World) -> None:
    values = {one.name: getattr(world.parts, one.name) for one in fields(Parts) if one.name != "drain"}
    one, other = Parts(**values), Parts(**values)
    one.drain.begin()
    assert (one.drain.begun, other.drain.begun) == (True, False)


def test_an_edge_does_not_change_its_parts(world: World) -> None:
    with pytest.raises(FrozenInstanceError):
        world.parts.intake_limit = 1_000_000  # type: ignore[misc]


async def test_a_long_poll_ends_when_the_service_goes_down(world: World, api: Api) -> None:
    operation = await world.begun()

    async def goes_down() -> None:
        world.parts.drain.begin()

    world.clock.at_sleep = [goes_down]
    got = await api.get(f"/v1/operations/{operation.id}?wait=60s")
    assert (got.status, got.body["state"]) == (200, "alive")
    assert world.clock.slept < 1


async def test_links_are_whole_where_the_public_address_is_known_and_relative_where_not(world: World, make_api: MakeApi) -> None:
    operation = await world.begun()
    path = f"/v1/operations/{operation.id}"
    assert (await (await make_api()).get(path)).body["links"]["self"] == path
    world.parts = replace(world.parts, public_url="https://backout.example")
    assert (await (await make_api()).get(path)).body["links"]["self"] == f"https://backout.example{path}"
