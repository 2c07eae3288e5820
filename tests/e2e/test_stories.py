"""The story with the real service as a process of its own, real HTTP and the sandbox world, on both delivery systems with the same assertions.

One world for each: every test has a shop to itself. docs/spinnaker.md says which story is which there.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from integrations.sandbox.world import SIDES
from service.api.tokens import create_token
from service.wiring.checking import doctor
from service.wiring.parts import SystemClock
from service.wiring.playground import Playground

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

SHOPS = {"checkout": "v2.4.6", "payments": "v5.2.1", "catalog": "v1.8.0", "orders": "v3.0.4", "quiet": "v1.0.0"}
SENDERS = 20
POSTS = 500
PATIENCE = 120.0
"""Seconds after which something that should have happened is given up; nothing is measured by it."""


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=SIDES)
async def ground(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Playground]:
    playground = Playground(Path(tmp_path_factory.mktemp("world")), SystemClock(), sides=(request.param,))
    try:
        await playground.start(SHOPS, modes={"catalog": "approve"})
        yield playground
    finally:
        await playground.stop()


async def ended(ground: Playground, app: str) -> Mapping[str, Any]:
    async def look() -> Mapping[str, Any] | None:
        found = await ground.operation_of(app)
        return found if found and found["done_at"] else None

    found: Mapping[str, Any] = await ground.until(look, PATIENCE, f"the operation of {app} to end")
    return found


async def rollbacks(ground: Playground, app: str) -> int:
    """How many rollbacks of ours the shop's delivery system saw."""
    return await ground.world.side_of(app).times_taken_back(app)


async def test_doctor_finds_everything_well(ground: Playground) -> None:
    lines = await doctor(ground.config)
    assert [line for line in lines if line.well == "no"] == []
    assert {line.what.split(" ")[0] for line in lines} >= {"settings", "store", "alerts", ground.world.side_of("quiet").kind}


async def test_promise_9_the_trace_is_whole_although_the_collector_was_away_during_the_story(ground: Playground) -> None:
    await ground.world.collector.go_down()
    good = await ground.world.live("checkout")
    shipped = await ground.world.release("checkout", "v2.5.0", errors=0.31)
    await ground.world.until_live("checkout", shipped)
    operation = await ended(ground, "checkout")
    assert (operation["outcome"], await rollbacks(ground, "checkout")) == ("recovered", 1), operation["says"]
    assert await ground.world.live("checkout") == good
    assert operation["trace_id"] not in ground.world.collector.traces()
    await ground.world.collector.come_back()

    async def whole() -> bool:
        spans = ground.world.collector.spans(operation["trace_id"])
        return any(not span.parent_span_id for span in spans)

    await ground.until(whole, PATIENCE, "the trace to arrive")
    assert ground.world.collector.violations() == ground.world.collector.violations_at_end() == ()


async def test_promise_3_500_posts_of_one_alert_from_20_connections_make_one_rollback(ground: Playground) -> None:
    shipped = await ground.world.release("payments", "v5.3.0", errors=0.4)
    await ground.world.until_live("payments", shipped)

    async def firing() -> bytes | None:
        return ground.world.webhook_about("payments")

    body: bytes = await ground.until(firing, PATIENCE, "the alert to fire")
    token = (ground.folder / "alert-token").read_text(encoding="utf-8").strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answers: list[int] = []
    async with aiohttp.ClientSession() as session:

        async def send(count: int) -> None:
            for _ in range(count):
                async with session.post(f"{ground.url}/v1/alerts/alertmanager", data=body, headers=headers) as answer:
                    answers.append(answer.status)

        await asyncio.gather(*(send(POSTS // SENDERS) for _ in range(SENDERS)))
    assert len(answers) == POSTS
    assert set(answers) <= {202, 503}
    assert 202 in answers
    operation = await ended(ground, "payments")
    found = (await ground.get(f"/v1/operations?target={ground.world.target('payments')}"))["operations"]
    assert (operation["outcome"], len(found), await rollbacks(ground, "payments")) == ("recovered", 1, 1), operation["says"]


async def streamed(ground: Playground, path: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Everything that a stream of events tells until it is closed, as (type, data)."""
    headers = {"Authorization": f"Bearer {ground.token_file.read_text(encoding='utf-8').strip()}", "Accept": "text/event-stream"}
    async with aiohttp.ClientSession() as session, session.get(f"{ground.url}{path}", headers=headers) as answer:
        blocks = (await answer.text()).split("\n\n")
    fields = [dict(line.partition(": ")[::2] for line in block.splitlines()) for block in blocks]
    return [(one.get("event", "message"), json.loads(one["data"])) for one in fields if "data" in one]


async def test_an_offer_waits_for_a_person_and_acts_when_its_plan_is_approved(ground: Playground) -> None:
    shipped = await ground.world.release("catalog", "v1.9.0", errors=0.2)
    await ground.world.until_live("catalog", shipped)

    async def waiting() -> Mapping[str, Any] | None:
        found = await ground.operation_of("catalog")
        return found if found and found["phase"] == "awaiting_approval" else None

    offer: Mapping[str, Any] = await ground.until(waiting, PATIENCE, "the offer")
    assert await rollbacks(ground, "catalog") == 0
    async with asyncio.TaskGroup() as beside:
        watching = beside.create_task(streamed(ground, f"/v1/operations/{offer['id']}/events"))
        path = f"/v1/operations/{offer['id']}/approve"
        status, problem = await ground.post(path, {"plan_digest": "sha256:" + "0" * 64, "accept": []})
        assert (status, problem["status"]) == (409, 409)
        status, _ = await ground.post(path, {"plan_digest": offer["plan_digest"], "accept": offer["must_name"], "reason": "go"})
        assert status == 202
        operation = await ended(ground, "catalog")
    assert (operation["outcome"], await rollbacks(ground, "catalog")) == ("recovered", 1), operation["says"]

    async def both_captured() -> Mapping[str, Any] | None:
        found = await ground.get(f"/v1/operations/{offer['id']}/captures?texts=true")
        return found if len(found["captures"]) == 2 else None

    captured: Mapping[str, Any] = await ground.until(both_captured, PATIENCE, "the captures before and after")
    assert [one["moment"] for one in captured["captures"]] == ["before", "after"]
    assert any("deployment" in one["name"].lower() and "image" in one["diff"] for one in captured["differences"])
    events = {e["kind"] for e in (await ground.get(f"/v1/operations/{offer['id']}/events"))["events"]}
    assert "approved" in events
    told = watching.result()
    assert [kind for kind, _ in told][-1] == "end"
    assert told[-1][1]["outcome"] == "recovered"
    numbers = [data["number"] for kind, data in told if kind == "message"]
    assert numbers == list(range(1, len(numbers) + 1))
    assert "ended" in {data["kind"] for kind, data in told if kind == "message"}


def second_person(ground: Playground) -> str:
    """A token of somebody else, for confirming overrides alone."""
    keys = json.loads((ground.folder / "keys.json").read_text(encoding="utf-8"))
    scopes = ("operations:read", "operations:override")
    return create_token(keys, subject="bob", scopes=scopes, targets=("*",), expires=timedelta(minutes=9), now=SystemClock().now())


async def test_a_block_is_overridden_by_two_persons_and_by_no_one_alone(ground: Playground) -> None:
    dropping = {"db/migrations/0042_drop_legacy.sql": "ALTER TABLE orders DROP COLUMN legacy_status;\n"}
    good = await ground.world.live("orders")
    shipped = await ground.world.release("orders", "v3.1.0", errors=0.3, files=dropping)
    await ground.world.until_live("orders", shipped)
    refused = await ended(ground, "orders")
    assert (refused["outcome"], refused["automatic"]) == ("refused", True)
    plan = (await ground.post("/v1/plans", {"target": str(ground.world.target("orders"))}))[1]
    assert plan["must_override"] == ["schema_is_compatible"]
    body = {"target": str(ground.world.target("orders")), "plan_digest": plan["digest"], "accept": plan["must_name"], "reason": "nobody reads that column"}
    status, asked = await ground.post("/v1/operations", body | {"override": plan["must_override"]})
    assert status == 202

    async def waiting() -> Mapping[str, Any] | None:
        found: Mapping[str, Any] = await ground.get(f"/v1/operations/{asked['id']}")
        return found if found["phase"] == "awaiting_approval" else None

    offer: Mapping[str, Any] = await ground.until(waiting, PATIENCE, "the request to wait for a second person")
    word = {"plan_digest": offer["plan_digest"], "override": ["schema_is_compatible"], "accept": offer["must_name"], "reason": "looked at the code"}
    where = f"{ground.url}/v1/operations/{offer['id']}/override"
    async with aiohttp.ClientSession() as session:
        answers = []
        for token in (ground.token_file.read_text(encoding="utf-8").strip(), second_person(ground)):
            async with session.post(where, json=word, headers={"Authorization": f"Bearer {token}"}) as answer:
                answers.append(answer.status)
    assert answers == [403, 202]
    operation = await ended(ground, "orders")
    # A person asked, so there is no alert whose rule could be the SLI, and none is declared: whether it helped is not claimed.
    assert (operation["id"], operation["outcome"], await rollbacks(ground, "orders")) == (offer["id"], "inconclusive", 1)
    assert await ground.world.live("orders") == good
    assert operation["override"]["confirmed_by"] == "user:bob"
    kinds = [one["kind"] for one in (await ground.get(f"/v1/operations/{offer['id']}/events"))["events"]]
    assert kinds.index("override_asked") < kinds.index("override_given") < kinds.index("intent")


async def test_a_shop_that_nobody_complained_about_was_left_alone(ground: Playground) -> None:
    assert await ground.operation_of("quiet") is None
    assert await rollbacks(ground, "quiet") == 0
