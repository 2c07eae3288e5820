from datetime import datetime

from tests.unit.service.api.conftest import Api, MakeApi
from tests.unit.service.api.world import World


async def test_stopping_and_resuming_show_the_switch_as_it_is(world: World, api: Api) -> None:
    assert (await api.get("/v1/stop")).body == {
        "stopped": False,
        "reason": "",
        "allowed_actions": ["stop"],
        "links": {"self": "/v1/stop", "events": "/v1/stop/events"},
    }
    stopped = await api("PUT", "/v1/stop", {"reason": "maintenance"})
    assert (stopped.status, stopped.body["stopped"], stopped.body["reason"]) == (200, True, "stopped by user:alice: maintenance")
    assert stopped.body["allowed_actions"] == ["stop", "resume"]
    assert await world.stop.reason() == "stopped by user:alice: maintenance"
    resumed = await api("DELETE", "/v1/stop")
    assert (resumed.body["stopped"], await world.stop.reason()) == (False, "")


async def test_a_stop_file_stops_too_and_is_taken_away_by_resuming(world: World, api: Api) -> None:
    world.stop_file.write_text("hands off")
    assert (await api.get("/v1/stop")).body["reason"] == "the stop file is there: hands off"
    assert (await api("DELETE", "/v1/stop")).body["stopped"] is False
    assert not world.stop_file.exists()


async def test_who_turned_the_switch_is_told_in_order(world: World, api: Api) -> None:
    await api("PUT", "/v1/stop", {"reason": "maintenance"})
    await api("DELETE", "/v1/stop", token=world.token(subject="bob"))
    got = await api.get("/v1/stop/events")
    assert [(one["number"], one["kind"], one["says"]) for one in got.body["events"]] == [
        (1, "stopped", "stopped by user:alice: maintenance"),
        (2, "resumed", "resumed by user:bob; it was stopped by user:alice: maintenance"),
    ]
    assert [one["number"] for one in (await api.get("/v1/stop/events?after=1")).body["events"]] == [2]
    assert (await api.get("/v1/stop/events", token=world.token("stop:write"))).code == "missing_scope"


async def test_stopping_needs_a_reason_and_the_scope(world: World, api: Api) -> None:
    assert (await api("PUT", "/v1/stop", {"reason": ""})).code == "invalid_request"
    assert (await api("PUT", "/v1/stop")).code == "invalid_request"
    assert (await api("PUT", "/v1/stop", {"reason": "x"}, token=world.token("operations:read"))).code == "missing_scope"
    assert await world.stop.reason() == ""


async def test_a_token_for_some_targets_may_stop_everything_and_not_resume_it(world: World, api: Api) -> None:
    token = world.token("stop:write", "operations:read", targets=["prod:shop-*"])
    stopped = await api("PUT", "/v1/stop", {"reason": "look out"}, token=token)
    assert (stopped.body["stopped"], stopped.body["allowed_actions"]) == (True, ["stop"])
    got = await api("DELETE", "/v1/stop", token=token)
    assert (got.status, got.code) == (403, "targets_not_covered")
    assert "prod:shop-*" in got.body["detail"]
    assert await world.stop.reason() != ""


class StuckSwitch:
    """A stop file on a file system that lets nobody write."""

    async def reason(self) -> str:
        return "the stop file is there"

    async def stop(self, *, by: str, reason: str, at: datetime) -> None:
        del by, reason, at

    async def resume(self, *, by: str, at: datetime) -> None:
        del by, at
        raise PermissionError(13, "Permission denied", "/somewhere/STOP")


async def test_a_stop_file_that_cannot_be_removed_keeps_everything_stopped_and_says_so(world: World, make_api: MakeApi) -> None:
    world.with_parts(stop=StuckSwitch())
    got = await (await make_api())("DELETE", "/v1/stop")
    assert (got.status, got.code, got.headers["Retry-After"]) == (503, "stop_file", "2")
    assert "Permission denied" in got.body["detail"]
    assert "somewhere" not in got.text
