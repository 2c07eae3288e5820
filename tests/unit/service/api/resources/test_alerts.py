import asyncio
import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientResponse
from multidict import CIMultiDictProxy
from prometheus_client import generate_latest

from service.api.reads import Position
from service.api.resources import alerts
from service.domain.errors import UnavailableError
from service.domain.model import Episode, Incident, RawDelivery, TargetId
from service.domain.ports import Work
from tests.unit.service.api.conftest import Api, Got, MakeApi
from tests.unit.service.api.world import NOW, SENDER_TOKEN, World, recorded

WHERE = "/v1/alerts/alertmanager"


async def send(api: Api, body: bytes, **more: Any) -> Got:
    return await api.post(WHERE, data=body, **({"token": SENDER_TOKEN} | more))


def answers(world: World, answer: str) -> float:
    line = next(
        one for one in generate_latest(world.parts.metrics.registry).decode().splitlines() if one.startswith(f'backout_deliveries_total{{answer="{answer}"}}')
    )
    return float(line.rpartition(" ")[2])


class Records:
    """Intake that keeps what it is given, or fails; `gate` holds it up, `arrived` counts who got so far."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.taken: list[RawDelivery] = []
        self.arrived = asyncio.Semaphore(0)
        self.gate = asyncio.Event()
        self.gate.set()

    async def accept(self, delivery: RawDelivery) -> str:
        self.taken.append(delivery)
        self.arrived.release()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return "dlv_1"

    async def incident(self, incident_id: str) -> Incident | None:
        del incident_id
        return None

    async def incidents(self, *, target: str = "", is_open: bool | None = None, behind: Position | None = None, limit: int = 50) -> Sequence[Incident]:
        del target, is_open, behind, limit
        return ()

    async def episodes(
        self, *, target: str = "", firing: bool | None = None, disposition: str = "", behind: Position | None = None, limit: int = 50
    ) -> Sequence[Episode]:
        del target, firing, disposition, behind, limit
        return ()

    async def open_ids(self) -> Mapping[TargetId, str]:
        return {}


@pytest.mark.parametrize(
    "name",
    [
        "from-prometheus-kube-rules.json",
        "grouped-lifecycle.json",
        "nested-routes-continue.json",
        "refire.json",
        "silenced.json",
        "synthetic-0.34-shape.json",
        "truncated-max-alerts.json",
        "unicode-and-quoting.json",
    ],
)
async def test_what_alertmanager_sends_is_kept_and_accepted(world: World, api: Api, name: str) -> None:
    body = recorded(name)
    got = await send(api, body)
    assert (got.status, got.body["alerts"]) == (202, len(json.loads(body)["alerts"]))
    undecided = await world.alerts.undecided(got.body["delivery"])
    assert {one.sender for one in undecided} <= {"main"}
    assert await world.alerts.last_delivery() == (world.clock.now(), got.body["alerts"])
    assert world.engine.started == [Work(kind="delivery", id=got.body["delivery"])]
    assert answers(world, "accepted") == 1


async def test_202_comes_only_after_the_commit(world: World, make_api: MakeApi) -> None:
    records = Records()
    records.gate.clear()
    world.with_parts(alerts=records)
    api = await make_api()
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(send(api, recorded("refire.json")))
        await records.arrived.acquire()
        assert not answer.done()
        assert world.engine.started == []
        records.gate.set()
    assert (await answer).status == 202


async def test_a_delivery_that_could_not_be_kept_is_503_and_starts_nothing(world: World, make_api: MakeApi) -> None:
    world.with_parts(alerts=Records(UnavailableError("the store did not answer in time")))
    got = await send(await make_api(), recorded("refire.json"))
    assert (got.status, got.code, got.headers["Retry-After"]) == (503, "store_unavailable", "2")
    assert got.body["detail"] == "nothing was kept: the store did not answer in time; send it again"
    assert world.engine.started == []
    assert answers(world, "unavailable") == 1


async def test_a_defect_while_keeping_is_500_so_that_the_sender_tries_again(world: World, make_api: MakeApi) -> None:
    world.with_parts(alerts=Records(KeyError("internal detail")))
    got = await send(await make_api(), recorded("refire.json"))
    assert (got.status, got.code) == (500, "internal_error")
    assert "internal detail" not in got.text
    assert answers(world, "failed") == 1


async def test_a_start_that_fails_after_the_commit_changes_nothing_for_the_sender(world: World, api: Api) -> None:
    world.engine.broken = True
    got = await send(api, recorded("refire.json"))
    assert got.status == 202
    assert await world.alerts.deliveries_undecided(NOW + timedelta(days=1)) == (got.body["delivery"],)


async def test_more_deliveries_than_places_are_503_and_never_429(world: World, make_api: MakeApi) -> None:
    records = Records()
    records.gate.clear()
    world.with_parts(alerts=records, intake_limit=2)
    api = await make_api()
    async with asyncio.TaskGroup() as group:
        first = [group.create_task(send(api, recorded("refire.json"))) for _ in range(2)]
        for _ in first:
            await records.arrived.acquire()
        third = await send(api, recorded("refire.json"))
        assert (third.status, third.code, third.headers["Retry-After"]) == (503, "overloaded", "2")
        records.gate.set()
    assert [(await one).status for one in first] == [202, 202]
    assert (await send(api, recorded("refire.json"))).status == 202
    assert answers(world, "overloaded") == 1


async def test_a_bad_body_is_400_with_one_line_that_helps(world: World, api: Api) -> None:
    for body, word in ((b"<html>", "not JSON"), (b"[]", "no JSON object"), (b'{"version":"3","alerts":[]}', "version"), (b"", "not JSON")):
        got = await send(api, body)
        assert (got.status, got.code) == (400, "invalid_alert")
        assert word in got.body["detail"]
        assert "\n" not in got.body["detail"]
    assert await world.alerts.last_delivery() is None
    assert answers(world, "invalid") == 4


async def test_only_a_senders_own_credential_opens_the_intake(world: World, api: Api) -> None:
    for token, word in (("", "credentials_file"), ("wrong", "token_file"), (world.token(), "token_file")):
        got = await send(api, recorded("refire.json"), token=token)
        assert (got.status, got.code) == (401, "invalid_token")
        assert word in got.body["detail"]
        assert got.headers["WWW-Authenticate"].startswith('Bearer realm="backout"')
    basic = await send(api, recorded("refire.json"), token="", headers={"Authorization": "Basic c2VuZGVyOnNlY3JldA=="})
    assert basic.status == 401
    assert answers(world, "unauthorized") == 4
    assert await world.alerts.last_delivery() is None


async def test_a_senders_credential_opens_nothing_else(api: Api) -> None:
    for path in ("/v1/targets", "/v1/operations", "/v1/stop", "/v1/holds"):
        got = await api.get(path, token=SENDER_TOKEN)
        assert (got.status, got.code) == (401, "invalid_token")


async def test_a_rotated_credential_works_without_a_restart_and_the_old_one_until_it_is_taken_out(world: World, api: Api) -> None:
    world.sender_file.write_text(f"{SENDER_TOKEN}\nsender-secret-two\n")
    for token in (SENDER_TOKEN, "sender-secret-two"):
        assert (await send(api, recorded("refire.json"), token=token)).status == 202
    world.sender_file.write_text("sender-secret-two\n")
    assert (await send(api, recorded("refire.json"))).status == 401


async def test_a_large_group_is_parsed_beside_the_loop_and_kept_whole(world: World, api: Api) -> None:
    document = json.loads(recorded("refire.json"))
    one = document["alerts"][0]
    document["alerts"] = [one | {"labels": one["labels"] | {"pod": f"web-{n}"}, "fingerprint": f"{n:016x}"} for n in range(700)]
    body = json.dumps(document).encode()
    assert len(body) > alerts.INLINE
    got = await send(api, body)
    assert (got.status, got.body["alerts"]) == (202, 700)
    assert len(await world.alerts.undecided(got.body["delivery"])) == 700


async def test_a_body_beyond_the_limit_is_413_however_it_comes(world: World, api: Api) -> None:
    announced = await send(api, b"x" * (alerts.LIMIT + 1))
    assert (announced.status, announced.code) == (413, "too_large")
    assert "16 MiB" in announced.body["detail"]
    packed = await send(api, gzip.compress(b"x" * (alerts.LIMIT + 1)), headers={"Content-Encoding": "gzip"})
    assert (packed.status, packed.code) == (413, "too_large")
    assert answers(world, "too_large") == 2


async def test_alerts_that_the_sender_cut_off_are_noted(world: World, make_api: MakeApi) -> None:
    records = Records()
    world.with_parts(alerts=records)
    got = await send(await make_api(), recorded("truncated-max-alerts.json"))
    assert got.body == {"delivery": "dlv_1", "alerts": 2, "truncated": 3}
    assert (records.taken[0].truncated, records.taken[0].body) == (3, recorded("truncated-max-alerts.json"))


async def test_the_senders_trace_is_kept_as_a_link_only_when_it_is_one(world: World, make_api: MakeApi) -> None:
    records = Records()
    world.with_parts(alerts=records)
    api = await make_api()
    good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for header in (good, "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "drop table"):
        assert (await send(api, recorded("refire.json"), headers={"traceparent": header})).status == 202
    assert [one.link for one in records.taken] == [good, "", ""]
    assert records.taken[0].received_at == world.clock.now()


async def test_alerts_are_counted_by_source(world: World, api: Api) -> None:
    await send(api, recorded("refire.json"))
    assert 'backout_alerts_received_total{source="alertmanager"} 1.0' in generate_latest(world.parts.metrics.registry).decode()


async def test_the_intake_is_asked_by_post_and_never_redirects(api: Api) -> None:
    got = await api.get(WHERE, token=SENDER_TOKEN)
    assert (got.status, got.code, got.headers["Allow"]) == (405, "method_not_allowed", "POST")
    slash: ClientResponse = await api.client.post(WHERE + "/", data=b"{}", allow_redirects=False)
    assert slash.status == 404
    assert (await slash.json())["code"] == "not_found"
    assert isinstance(slash.headers, CIMultiDictProxy)


async def test_a_kind_of_sender_that_is_not_configured_has_no_intake(world: World, make_api: MakeApi) -> None:
    world.with_parts(alert_sources={})
    api = await make_api()
    assert (await api.post(WHERE, data=b"{}", token=SENDER_TOKEN)).status == 404


async def test_a_body_that_breaks_off_is_never_kept_and_gives_its_place_back(world: World, make_api: MakeApi) -> None:
    world.with_parts(intake_limit=1)
    api = await make_api()
    body = recorded("refire.json")
    _, writer = await asyncio.open_connection("127.0.0.1", api.client.server.port)
    head = f"POST {WHERE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SENDER_TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body[:-1])
    await writer.drain()
    while (await send(api, body)).status != 503:  # until the half delivery holds the only place
        continue
    before = answers(world, "accepted")
    writer.close()
    await writer.wait_closed()
    while (await send(api, body)).status != 202:  # until the place was given back
        continue
    assert answers(world, "accepted") == before + 1 == len(world.engine.started)


# --- the list ------------------------------------------------------------------------------------------------------------


async def test_every_alert_is_listed_with_what_became_of_it(world: World, api: Api) -> None:
    incident = await world.incident()
    await send(api, recorded("grouped-lifecycle.json"))
    every = (await api.get("/v1/alerts")).body["alerts"]
    (mine,) = (await api.get("/v1/alerts?target=prod:checkout")).body["alerts"]
    assert (mine["incident"], mine["target"], mine["disposition"], mine["operation"]) == (incident, "prod:checkout", "incident", None)
    assert len(every) > 1
    assert {one["target"] for one in every if one["id"] != mine["id"]} == {None}
    assert [one["starts_at"] for one in every] == sorted((one["starts_at"] for one in every), reverse=True)
    assert {one["firing"] for one in (await api.get("/v1/alerts?state=firing")).body["alerts"]} == {True}
    assert (await api.get("/v1/alerts?state=ended&target=prod:checkout")).body["alerts"] == []
    assert (await api.get("/v1/alerts?disposition=no_target")).body["alerts"] == []
    assert (await api.get("/v1/alerts?disposition=lost")).code == "invalid_request"


async def test_an_alert_without_a_target_is_seen_by_those_alone_who_see_all(world: World, api: Api) -> None:
    await world.incident()
    await send(api, recorded("grouped-lifecycle.json"))
    got = await api.get("/v1/alerts", token=world.token("operations:read", targets=["prod:*"]))
    assert [one["target"] for one in got.body["alerts"]] == ["prod:checkout"]
    assert (await api.get("/v1/alerts", token=world.token("targets:read"))).code == "missing_scope"
