import base64
import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from service.api import pages
from tests.unit.service.api.conftest import Api
from tests.unit.service.api.world import CHECKOUT, NOW, ORDERS, STAGING, World

LISTS = {"operations": "/v1/operations", "incidents": "/v1/incidents", "holds": "/v1/holds?state=all", "alerts": "/v1/alerts", "targets": "/v1/targets"}


async def walk(api: Api, path: str, name: str, *, limit: int, token: str | None = None) -> list[list[str]]:
    """The ids of each page until there is none."""
    found: list[list[str]] = []
    cursor = ""
    while True:
        got = await api.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{'&cursor=' + cursor if cursor else ''}", token=token)
        assert got.status == 200
        found.append([one["id"] for one in got.body[name]])
        cursor = got.body["next_cursor"]
        assert ("Link" in got.headers) == bool(cursor)
        if not cursor:
            return found


async def filled(world: World, count: int = 5) -> list[str]:
    """Ended operations, newest first; two of them began at the same moment."""
    found = []
    for number in range(count):
        world.clock.at = NOW + timedelta(seconds=number // 2)
        found.append((await world.ended()).id)
    at = {one: NOW + timedelta(seconds=number // 2) for number, one in enumerate(found)}
    return sorted(found, key=lambda one: (-at[one].timestamp(), one))


async def test_pages_hold_every_row_once_and_in_order(world: World, api: Api) -> None:
    every = await filled(world)
    for limit in (1, 2, 3, 5, 6):
        found = await walk(api, "/v1/operations", "operations", limit=limit)
        assert [one for page in found for one in page] == every
        assert all(len(page) == limit for page in found[:-1])
        assert found[-1]


async def test_what_is_added_meanwhile_moves_nothing(world: World, api: Api) -> None:
    every = await filled(world)
    first = await api.get("/v1/operations?limit=2")
    world.clock.at += timedelta(seconds=9)
    newer = await world.ended()
    rest = await api.get(f"/v1/operations?limit=9&cursor={first.body['next_cursor']}")
    assert [one["id"] for one in rest.body["operations"]] == every[2:]
    assert newer.id not in [one["id"] for one in rest.body["operations"]]


async def test_the_link_leads_to_the_next_page_with_the_same_filters(world: World, api: Api) -> None:
    every = await filled(world)
    got = await api.get("/v1/operations?state=ended&limit=2")
    link = got.headers["Link"]
    assert link.endswith('; rel="next"')
    where = urlsplit(link.partition(";")[0].strip("<>"))
    assert {key: value[0] for key, value in parse_qs(where.query).items()} == {"state": "ended", "limit": "2", "cursor": got.body["next_cursor"]}
    following = await api.get(f"{where.path}?{where.query}")
    assert [one["id"] for one in following.body["operations"]] == every[2:4]


async def test_a_caller_who_sees_few_targets_walks_past_the_others(world: World, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MORE", 2)
    await world.list_targets(CHECKOUT, ORDERS)
    mine = [(await world.ended(ORDERS)).id]
    await filled(world)
    world.clock.at += timedelta(seconds=9)
    mine.insert(0, (await world.ended(ORDERS)).id)
    token = world.token("operations:read", targets=["prod:team-a/*"])
    found = await walk(api, "/v1/operations", "operations", limit=1, token=token)
    assert [one for page in found for one in page] == mine


async def test_a_page_looks_only_so_far_and_the_next_one_goes_on(world: World, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MORE", 2)
    monkeypatch.setattr(pages, "MOST", 3)
    await world.list_targets(CHECKOUT, ORDERS)
    mine = await world.ended(ORDERS)
    world.clock.at += timedelta(seconds=1)
    await filled(world, 6)
    found = await walk(api, "/v1/operations", "operations", limit=1, token=world.token("operations:read", targets=["prod:team-a/*"]))
    assert [one for page in found for one in page] == [mine.id]
    assert [] in found


@pytest.mark.parametrize("name", LISTS)
async def test_every_list_has_pages(world: World, api: Api, name: str) -> None:
    await world.list_targets(CHECKOUT, ORDERS)
    for target in (CHECKOUT, ORDERS):
        await world.held(target)
        await world.incident(target)
        world.clock.at += timedelta(seconds=1)
    found = await walk(api, LISTS[name], name, limit=1)
    assert len(found) == 2
    assert len({one for page in found for one in page}) == 2
    assert found == [[one] for one in (await walk(api, LISTS[name], name, limit=5))[0]]


async def test_targets_are_passed_over_that_the_caller_may_not_see(world: World, api: Api) -> None:
    await world.list_targets(CHECKOUT, ORDERS, STAGING)
    for limit in (1, 2, 5):
        orders = await walk(api, "/v1/targets", "targets", limit=limit, token=world.token(targets=["prod:team-a/*"]))
        assert [one for page in orders for one in page] == [str(ORDERS)]
        both = await walk(api, "/v1/targets", "targets", limit=limit, token=world.token(targets=["prod:*"]))
        assert [one for page in both for one in page] == [str(CHECKOUT), str(ORDERS)]


def made(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


async def test_a_cursor_that_is_none_of_this_list_is_refused_with_a_sentence(world: World, api: Api) -> None:
    await filled(world)
    good = (await api.get("/v1/operations?limit=1")).body["next_cursor"]
    _, asked, *place = json.loads(base64.urlsafe_b64decode(good + "=="))
    for path, why in (
        ("/v1/operations?cursor=nonsense", "no cursor of this service"),
        ("/v1/operations?cursor=", "no cursor of this service"),
        ("/v1/operations?cursor=%C3%A9", "no cursor of this service"),
        (f"/v1/operations?cursor={made(1)}", "no cursor of this service"),
        (f"/v1/operations?cursor={made(7)}", "no cursor of this service"),
        (f"/v1/operations?cursor={made(2, asked, *place)}", "no cursor of this version"),
        (f"/v1/operations?cursor={made(1, asked, 7)}", "no cursor of this version"),
        (f"/v1/operations?cursor={made(1, asked, 'noon', 'op_1')}", "no cursor of this list"),
        (f"/v1/operations?cursor={made(1, asked, '2026-05-04T12:00:00', 'op_1')}", "no cursor of this list"),
        (f"/v1/operations?state=alive&cursor={good}", "other filters"),
        (f"/v1/incidents?cursor={good}", "another list"),
    ):
        got = await api.get(path)
        assert (got.status, got.code) == (400, "invalid_cursor"), path
        assert why in got.body["detail"], path
    assert (await api.get(f"/v1/operations?prefix=op_123&cursor={good}")).code == "invalid_request"


async def test_a_cursor_opens_nothing_that_the_token_does_not(world: World, api: Api) -> None:
    await filled(world)
    cursor = (await api.get("/v1/operations?limit=1")).body["next_cursor"]
    got = await api.get(f"/v1/operations?cursor={cursor}", token=world.token("operations:read", targets=["staging:*"]))
    assert (got.body["operations"], got.body["next_cursor"]) == ([], None)
