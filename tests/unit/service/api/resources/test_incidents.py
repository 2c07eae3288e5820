from service.domain.model import Incident, TargetId
from service.store import incidents
from tests.unit.service.api.conftest import Api
from tests.unit.service.api.world import CHECKOUT, NOW, World
from tests.unit.service.domain import made


async def test_an_incident_shows_its_alert_episodes_and_why_they_are_its(world: World, api: Api) -> None:
    incident = await world.incident()
    got = await api.get(f"/v1/incidents/{incident}")
    (episode,) = got.body["episodes"]
    assert (got.body["state"], got.body["target"], episode["alert"], episode["sender"]) == ("open", "prod:checkout", "HighErrorRate", "main")
    assert (episode["firing"], episode["ends_at"], episode["rung"], episode["says"]) == (True, None, "label", "its labels name the target")
    assert got.body["operations"] == []
    assert got.headers["ETag"] == got.body["etag"]
    assert (await api.get(f"/v1/incidents/{incident}", headers={"If-None-Match": got.body["etag"]})).status == 304


async def test_the_list_is_filtered_by_state(world: World, api: Api) -> None:
    old = await world.incident()
    await world.alerts.close_incident(old, outcome="recovered", at=NOW)

    async def ids(query: str = "") -> list[str]:
        return [one["id"] for one in (await api.get(f"/v1/incidents{query}")).body["incidents"]]

    assert await ids() == [old]
    assert await ids("?state=open") == []
    assert await ids("?state=closed&target=prod:checkout") == [old]
    assert (await api.get("/v1/incidents?state=closed")).body["incidents"][0]["outcome"] == "recovered"
    assert (await api.get("/v1/incidents?state=resolved")).code == "invalid_request"


async def test_an_incident_of_a_hidden_target_is_not_there(world: World, api: Api) -> None:
    incident = await world.incident()
    token = world.token("operations:read", targets=["staging:*"])
    assert (await api.get(f"/v1/incidents/{incident}", token=token)).code == "not_found"
    assert (await api.get("/v1/incidents", token=token)).body == {"incidents": [], "next_cursor": None}
    assert (await api.get("/v1/incidents?state=open", token=token)).body == {"incidents": [], "next_cursor": None}
    assert (await api.get("/v1/incidents?target=prod:checkout", token=token)).code == "not_found"
    assert (await api.get("/v1/incidents/inc_none")).code == "not_found"


async def test_open_incidents_come_newest_first_and_of_one_target_on_request(world: World, api: Api) -> None:
    incident = await world.incident()
    got = await api.get("/v1/incidents?state=open&target=prod:checkout")
    assert [one["id"] for one in got.body["incidents"]] == [incident]
    kept = await world.alerts.incident(incident)
    assert isinstance(kept, Incident)
    assert kept.target == CHECKOUT


async def test_an_incident_tells_its_story_in_numbered_events(world: World, api: Api) -> None:
    incident = await world.incident()
    await world.alerts.close_incident(incident, outcome="resolved", at=NOW)
    got = await api.get(f"/v1/incidents/{incident}/events")
    assert (got.body["incident"], got.body["state"]) == (incident, "closed")
    assert [(one["number"], one["kind"]) for one in got.body["events"]] == [(1, "opened"), (2, "episode_joined"), (3, "closed")]
    newer = await api.get(f"/v1/incidents/{incident}/events?after=2")
    assert [one["says"] for one in newer.body["events"]] == ["closed: resolved"]
    assert (await api.get(f"/v1/incidents/{incident}")).body["links"]["events"] == f"/v1/incidents/{incident}/events"


async def test_the_events_of_a_hidden_incident_are_not_there(world: World, api: Api) -> None:
    incident = await world.incident()
    token = world.token("operations:read", targets=["staging:*"])
    assert (await api.get(f"/v1/incidents/{incident}/events", token=token)).code == "not_found"
    assert (await api.get(f"/v1/incidents/{incident}/events", token=world.token("targets:read"))).code == "missing_scope"


async def test_incidents_of_one_cause_name_each_other_and_their_suspect_but_no_hidden_target(world: World, api: Api) -> None:
    hidden = TargetId("staging", "cart")
    mine, other = await world.incident(), await world.incident(hidden)
    async with world.database.write() as connection:
        for one in (mine, other):
            await incidents.suspected(connection, one, made.SUSPECT, NOW)
    got = (await api.get(f"/v1/incidents/{mine}")).body
    assert got["group"] in {mine, other}
    assert got["same_cause"] == [{"id": other, "target": "staging:cart", "state": "open"}]
    assert (got["suspect"]["key"], got["suspect"]["title"]) == (made.SUSPECT.key, made.SUSPECT.title)
    token = world.token("operations:read", targets=["prod:*"])
    (listed,) = (await api.get("/v1/incidents", token=token)).body["incidents"]
    assert (listed["id"], listed["same_cause"]) == (mine, [])
