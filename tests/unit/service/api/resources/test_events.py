"""Events are hints: whoever may tell us something may, what they say is not read, and a lost one costs nothing."""

import json

import pytest

from tests.unit.service.api.conftest import Api, MakeApi
from tests.unit.service.api.world import SENDER_TOKEN, World

BODIES = [b"", b"{}", b"not json", json.dumps({"details": {"type": "orca:stage:complete"}}).encode(), b"\xff" * 300_000]


@pytest.mark.parametrize("source", ["spinnaker", "cdevents"])
@pytest.mark.parametrize("body", BODIES, ids=["nothing", "empty", "no json", "an event", "large"])
async def test_whatever_an_event_says_it_is_heard_as_a_hint(api: Api, world: World, source: str, body: bytes) -> None:
    got = await api.post(f"/v1/events/{source}", data=body, token=SENDER_TOKEN)
    assert got.status == 202
    assert got.body == {"instances": ["prod"]}
    assert world.heard == [source]


async def test_promise_11_who_is_no_sender_tells_us_nothing(api: Api, world: World) -> None:
    for token in ("", "nobody's", world.token()):
        got = await api.post("/v1/events/spinnaker", data=b"{}", token=token)
        assert got.status == 401
    assert world.heard == []


async def test_events_about_an_instance_that_is_not_configured_are_told_so(make_api: MakeApi, world: World) -> None:
    world.with_parts(hints={"spinnaker": list})
    api = await make_api()
    got = await api.post("/v1/events/spinnaker", data=b"{}", token=SENDER_TOKEN)
    assert got.status == 404
    assert "no delivery instance of the kind spinnaker" in got.body["detail"]
