import asyncio
from dataclasses import replace
from datetime import timedelta

from service.domain.facts import Absent
from service.domain.model import Outcome
from service.domain.ports import AuditEvent, SpanDraft, Work
from service.domain.verdict import blocks, warns
from service.workflow import record
from tests.unit.service.api.conftest import Api
from tests.unit.service.api.world import CHECKOUT, NOW, ORDERS, RULE, World, trigger

ASK = {"target": "prod:checkout", "reason": "errors"}


async def test_asking_for_a_rollback_is_taken_and_goes_on_by_itself(world: World, api: Api) -> None:
    got = await api.post("/v1/operations", ASK)
    assert (got.status, got.headers["Location"]) == (202, f"/v1/operations/{got.body['id']}")
    assert (got.body["state"], got.body["phase"], got.body["automatic"], got.body["plan"]) == ("alive", "begin", False, None)
    assert got.body["requested_by"] == {"kind": "user", "name": "alice"}
    assert got.body["links"]["trace_view"] == f"https://jaeger.example/trace/{got.body['trace_id']}"
    assert world.engine.started == [Work(kind="operation", id=got.body["id"])]


async def test_a_confirmed_digest_and_the_named_rules_reach_the_operation(world: World, api: Api) -> None:
    digest = (await api.get("/v1/targets/prod:checkout/rollback-check")).body["plan_digest"]
    got = await api.post("/v1/operations", ASK | {"plan_digest": digest, "accept": [RULE]})
    operation = await world.operations.load(got.body["id"])
    assert operation is not None
    assert record.load(operation).confirmed == record.Confirmed(digest=digest, names=(RULE,), reason="errors")


async def test_a_second_rollback_of_a_target_leads_to_the_first(world: World, api: Api) -> None:
    first = await api.post("/v1/operations", ASK)
    second = await api.post("/v1/operations", ASK)
    assert (second.status, second.code) == (409, "target_busy")
    assert second.body["operation_url"] == first.body["links"]["self"]
    assert second.body["trace_id"] == first.body["trace_id"]
    assert (second.body["retry_after_s"], second.headers["Retry-After"]) == (30, "30")
    assert len(await world.operations.alive()) == 1


async def test_repeating_a_request_with_its_key_starts_no_second_rollback(world: World, api: Api) -> None:
    first = await api.post("/v1/operations", ASK, headers={"Idempotency-Key": '"k-1"'})
    again = await api.post("/v1/operations", ASK | {"idempotency_key": "k-1"})
    assert (again.status, again.body, again.headers["Location"]) == (202, first.body, first.headers["Location"])
    assert (first.headers.get("Idempotency-Replayed"), again.headers["Idempotency-Replayed"]) == (None, "true")
    assert len(world.engine.started) == 1


async def test_a_body_is_read_strictly_and_every_mistake_is_named(api: Api) -> None:
    got = await api.post("/v1/operations", {"target": "checkout", "plan_digest": "42", "accept": "all", "force": True})
    assert (got.status, got.code) == (400, "invalid_request")
    assert {one["pointer"] for one in got.body["errors"]} == {"/target", "/plan_digest", "/accept", "/force"}


async def test_a_rollback_of_a_target_that_is_not_there_or_hidden_is_not_found(world: World, api: Api) -> None:
    for token in (world.token(), world.token(targets=["staging:*"])):
        got = await api.post("/v1/operations", {"target": "prod:ghost"}, token=token)
        assert (got.status, got.code) == (404, "not_found")
    assert (await api.post("/v1/operations", ASK, token=world.token(targets=["staging:*"]))).code == "not_found"
    assert world.engine.started == []


async def test_the_single_resource_holds_plan_trigger_decision_and_tries(world: World, api: Api) -> None:
    world.finding = warns("Release 42 writes a new field.", clears="Tick it.")
    operation = await world.waiting()
    tried = (
        record.Tried(step=0, at=NOW, ended="done", says="auto-sync stopped", intent={"secret": "marker"}),
        record.Tried(step=0, undo=True, at=NOW),
        record.Tried(step=9, at=NOW),
    )
    data = replace(record.load(operation), trigger=trigger(), onset=NOW - timedelta(seconds=30), tried=tried)
    await world.move(operation, data=record.dump(data))
    got = await api.get(f"/v1/operations/{operation.id}")
    assert (got.body["suspect"], got.body["must_name"]) == ("42 (v2.5.0 · 73475cb)", [RULE])
    assert got.body["plan"]["digest"] == got.body["plan_digest"]
    assert (got.body["trigger"]["alert"], got.body["trigger"]["onset"]) == ("HighErrorRate", "2026-05-04T12:00:37Z")
    assert [(one["name"], one["undo"], one["ended"]) for one in got.body["tried"]] == [
        ("stop_auto_sync", False, "done"),
        ("give_back", True, ""),
        ("", False, ""),
    ]
    assert "marker" not in got.text
    assert got.body["approval"] is None
    assert got.body["allowed_actions"] == ["approve", "reject", "cancel"]


async def test_an_approval_names_digest_and_doubts_and_is_recorded_with_its_giver(world: World, api: Api) -> None:
    world.finding = warns("Release 42 writes a new field.", clears="Tick it.")
    operation = await world.waiting()
    plan = record.load(operation).plan
    assert plan is not None
    where = f"/v1/operations/{operation.id}/approve"
    wrong = await api.post(where, {"plan_digest": "sha256:" + "0" * 64, "accept": [RULE]})
    assert (wrong.status, wrong.code, wrong.body["trace_id"]) == (409, "conflict", operation.trace_id)
    unnamed = await api.post(where, {"plan_digest": plan.digest})
    assert (unnamed.status, unnamed.code) == (409, "refused")
    assert RULE in unnamed.body["detail"]
    good = await api.post(where, {"plan_digest": plan.digest, "accept": [RULE], "reason": "seen"}, token=world.token(subject="bob"))
    assert (good.status, good.body["phase"]) == (202, "decided")
    assert good.body["approval"] == {
        "by": {"kind": "user", "name": "bob"},
        "approve": True,
        "at": "2026-05-04T12:01:07Z",
        "reason": "seen",
        "accepted": [RULE],
        "overridden": [],
    }
    late = await api.post(where, {"plan_digest": plan.digest, "accept": [RULE]})
    assert (late.status, late.code) == (409, "conflict")


async def test_a_rejection_and_a_cancel_are_taken(world: World, api: Api) -> None:
    operation = await world.waiting()
    got = await api.post(f"/v1/operations/{operation.id}/reject", {"reason": "not now"})
    assert (got.status, got.body["approval"]["approve"], got.body["approval"]["reason"]) == (202, False, "not now")
    gone = await api.post(f"/v1/operations/{operation.id}/cancel")
    assert (gone.status, gone.body["cancel_requested"]) == (202, "cancelled by user:alice: no reason given")
    assert gone.body["allowed_actions"] == []
    assert (await api.post(f"/v1/operations/{operation.id}/cancel")).code == "conflict"


async def test_each_action_needs_its_own_scope(world: World, api: Api) -> None:
    operation = await world.waiting()
    reader = world.token("operations:read")
    for action, scope, body in (
        ("approve", "operations:approve", {"plan_digest": "sha256:" + "0" * 64}),
        ("reject", "operations:approve", None),
        ("cancel", "operations:cancel", None),
    ):
        got = await api.post(f"/v1/operations/{operation.id}/{action}", body, token=reader)
        assert (got.status, got.code) == (403, "missing_scope")
        assert scope in got.body["detail"]
        assert f'error="insufficient_scope", scope="{scope}"' in got.headers["WWW-Authenticate"]
    assert (await api.get(f"/v1/operations/{operation.id}", token=reader)).body["allowed_actions"] == []


async def test_an_operation_on_a_hidden_target_is_not_there_for_any_question(world: World, api: Api) -> None:
    operation = await world.waiting()
    token = world.token(targets=["prod:team-a/*"])
    where = f"/v1/operations/{operation.id}"
    for method, path, body in (
        ("GET", where, None),
        ("GET", f"{where}?wait=9s", None),
        ("GET", f"{where}/events", None),
        ("GET", f"{where}/trace", None),
        ("POST", f"{where}/approve", {"plan_digest": "sha256:" + "0" * 64}),
        ("POST", f"{where}/reject", None),
        ("POST", f"{where}/cancel", None),
    ):
        got = await api(method, path, body, token=token)
        assert (got.status, got.code) == (404, "not_found")
        assert "trace_id" not in got.body
    assert (await api.get("/v1/operations", token=token)).body == {"operations": [], "next_cursor": None}
    untouched = await world.operations.load(operation.id)
    assert untouched is not None
    assert (untouched.rev, untouched.cancel_requested) == (operation.rev, "")


async def test_the_list_is_filtered_by_target_state_and_prefix_newest_first(world: World, api: Api) -> None:
    await world.list_targets(CHECKOUT, ORDERS)
    over = await world.ended()
    world.clock.at += timedelta(seconds=1)
    alive, other = await world.begun(), await world.begun(ORDERS)

    async def ids(query: str) -> list[str]:
        return [one["id"] for one in (await api.get(f"/v1/operations{query}")).body["operations"]]

    assert set(await ids("")) == {over.id, alive.id, other.id}
    assert await ids("?target=prod:checkout") == [alive.id, over.id]
    assert await ids("?target=prod:checkout&state=alive") == [alive.id]
    assert await ids("?state=ended") == [over.id]
    assert await ids("?target=prod%3Acheckout&limit=1") == [alive.id]
    assert await ids(f"?prefix={over.trace_id[:12]}") == [over.id]
    assert await ids(f"?prefix={over.id}&state=alive") == []
    assert await ids(f"?prefix={over.id}&target=prod:team-a/orders") == []


async def test_a_narrow_token_finds_its_operations_behind_many_others(world: World, api: Api) -> None:
    await world.list_targets(CHECKOUT, ORDERS)
    mine = await world.ended(ORDERS)
    for _ in range(3):
        world.clock.at += timedelta(seconds=1)
        await world.ended()
    got = await api.get("/v1/operations?limit=1", token=world.token("operations:read", targets=["prod:team-a/*"]))
    assert [one["id"] for one in got.body["operations"]] == [mine.id]


async def test_questions_that_make_no_sense_are_refused(world: World, api: Api) -> None:
    operation = await world.begun()
    where = f"/v1/operations/{operation.id}"
    for path in (
        "/v1/operations?state=running",
        "/v1/operations?limit=0",
        "/v1/operations?limit=many",
        "/v1/operations?limit=501",
        "/v1/operations?prefix=abc",
        "/v1/operations?target=checkout",
        "/v1/operations?since=2026",
        "/v1/operations?limit=1&limit=2",
        f"{where}?wait=61s",
        f"{where}?wait=-1",
        f"{where}?wait=1m",
        f"{where}?since_rev=x",
        f"{where}/events?after=-1",
        f"{where}/trace?format=json",
    ):
        got = await api.get(path)
        assert (got.status, got.code) == (400, "invalid_request"), path


async def test_a_long_poll_answers_as_soon_as_the_operation_changed(world: World, api: Api) -> None:
    operation = await world.begun()

    async def nothing() -> None:
        return

    async def moves() -> None:
        await world.move(operation, phase="act")

    world.clock.at_sleep = [nothing, moves]
    got = await api.get(f"/v1/operations/{operation.id}?wait=20s")
    assert (got.body["phase"], got.body["rev"]) == ("act", operation.rev + 1)
    assert world.clock.slept == 0.5


async def test_a_long_poll_for_a_change_that_happened_already_does_not_wait(world: World, api: Api) -> None:
    operation = await world.move(await world.begun(), phase="act")
    got = await api.get(f"/v1/operations/{operation.id}?wait=20s&since_rev={operation.rev - 1}")
    assert (got.body["rev"], world.clock.slept) == (operation.rev, 0.0)


async def test_a_long_poll_ends_after_its_time_with_the_operation_as_it_is(world: World, api: Api) -> None:
    operation = await world.begun()
    got = await api.get(f"/v1/operations/{operation.id}?wait=2&since_rev={operation.rev}")
    assert (got.status, got.body["rev"], world.clock.slept) == (200, operation.rev, 2.0)


async def test_a_long_poll_on_an_ended_operation_answers_at_once(world: World, api: Api) -> None:
    operation = await world.ended()
    got = await api.get(f"/v1/operations/{operation.id}?wait=60s")
    assert (got.body["state"], got.body["outcome"], world.clock.slept) == ("ended", Outcome.RECOVERED.value, 0.0)
    assert got.body["allowed_actions"] == []


async def test_a_long_poll_ends_when_the_service_goes_down(world: World, api: Api) -> None:
    operation = await world.begun()

    async def goes_down() -> None:
        world.parts.drain.begin()

    world.clock.at_sleep = [goes_down]
    got = await api.get(f"/v1/operations/{operation.id}?wait=60s")
    assert (got.status, world.clock.slept) == (200, 0.25)


async def test_events_come_numbered_and_only_the_newer_ones_on_request(world: World, api: Api) -> None:
    operation = await world.begun()
    await world.move(operation, events=(AuditEvent(kind="verdict", says="pass", at=NOW, body={"findings": []}),))
    every = await api.get(f"/v1/operations/{operation.id}/events")
    assert [(one["number"], one["kind"]) for one in every.body["events"]] == [(1, "accepted"), (2, "verdict")]
    assert every.body["rev"] == operation.rev + 1
    newer = await api.get(f"/v1/operations/{operation.id}/events?after=1")
    assert [one["says"] for one in newer.body["events"]] == ["pass"]


async def test_the_trace_comes_as_a_tree_and_as_text(world: World, api: Api) -> None:
    operation = await world.begun()
    await world.move(operation, spans=(SpanDraft(path=("verdict",), name="verdict", started_at=NOW, ended_at=NOW, says="pass, 1 finding"),))
    got = await api.get(f"/v1/operations/{operation.id}/trace")
    (tree,) = got.body["traces"]
    assert (tree["trace_id"], tree["running"]) == (operation.trace_id, True)
    assert "verdict" in [one["name"] for one in tree["spans"]]
    text = await api.get(f"/v1/operations/{operation.id}/trace", headers={"Accept": "text/plain"})
    assert "pass, 1 finding" in text.text
    assert text.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_two_requests_with_one_key_at_once_run_once(world: World, api: Api) -> None:
    both = await asyncio.gather(*(api.post("/v1/operations", ASK, headers={"Idempotency-Key": "k-2"}) for _ in range(2)))
    codes = sorted(one.status for one in both)
    assert codes in ([202, 202], [202, 409])
    assert all(one.code == "request_in_flight" for one in both if one.status == 409)
    assert len(world.engine.started) == 1


async def test_a_delivery_system_that_is_away_does_not_keep_a_rollback_from_being_asked_for(world: World, api: Api) -> None:
    world.delivery.absent = Absent("no answer")
    assert (await api.post("/v1/operations", ASK)).status == 202


# --- overriding a block --------------------------------------------------------------------------------------------------


async def waiting_for_another(world: World, api: Api) -> str:
    """Alice's request to override, waiting for a second person."""
    world.finding = blocks("Release 42 dropped a column.", clears="Add it back.", overridable=True)
    check = (await api.get("/v1/targets/prod:checkout/rollback-check")).body
    assert (check["verdict"], check["must_override"], check["findings"][0]["overridable"]) == ("block", [RULE], True)
    assert "override" in check["allowed_actions"]
    assert "rollback" not in check["allowed_actions"]
    got = await api.post("/v1/operations", ASK | {"plan_digest": check["plan_digest"], "override": [RULE], "reason": "the column is not read"})
    operation = await world.operations.load(got.body["id"])
    assert operation is not None
    confirmed = record.load(operation).confirmed
    assert confirmed == record.Confirmed(digest=check["plan_digest"], override=(RULE,), reason="the column is not read")
    plan = (await world.desk.check(CHECKOUT)).plan
    assert plan is not None
    data = replace(record.load(operation), plan=replace(plan, overrides=(RULE,)))
    await world.move(operation, phase="awaiting_approval", data=record.dump(data), until_person=NOW + timedelta(minutes=30))
    return operation.id


async def test_a_second_person_confirms_an_override_with_the_scope_for_it(world: World, api: Api) -> None:
    identity = await waiting_for_another(world, api)
    shown = (await api.get(f"/v1/operations/{identity}")).body
    assert shown["override"] == {
        "rules": [RULE],
        "asked_by": {"kind": "user", "name": "alice"},
        "reason": "the column is not read",
        "confirmed_by": None,
        "confirmed_because": "",
    }
    assert shown["allowed_actions"] == ["reject", "cancel"]
    where, body = f"/v1/operations/{identity}/override", {"plan_digest": shown["plan_digest"], "override": [RULE], "reason": "I looked"}
    bob = world.token(subject="bob")
    assert "override" in (await api.get(f"/v1/operations/{identity}", token=bob)).body["allowed_actions"]
    narrow = await api.post(where, body, token=world.token("operations:approve", subject="bob"))
    assert (narrow.status, narrow.code) == (403, "missing_scope")
    same = await api.post(where, body)
    assert (same.status, same.code) == (409, "refused")
    assert "somebody else has to confirm it" in same.body["detail"]
    portal = await api.post(where, body, token=world.token(subject="service:portal"))
    assert (portal.status, portal.code) == (409, "refused")
    good = await api.post(where, body, token=bob)
    assert (good.status, good.body["phase"]) == (202, "decided")
    assert (good.body["approval"]["by"]["name"], good.body["approval"]["overridden"], good.body["approval"]["reason"]) == ("bob", [RULE], "I looked")
    kinds = [one["kind"] for one in (await api.get(f"/v1/operations/{identity}/events")).body["events"]]
    assert kinds[-1] == "override_given"


async def test_an_override_is_not_given_by_approving_nor_for_another_plan_nor_without_a_reason(world: World, api: Api) -> None:
    identity = await waiting_for_another(world, api)
    bob = world.token(subject="bob")
    digest = (await api.get(f"/v1/operations/{identity}")).body["plan_digest"]
    approved = await api.post(f"/v1/operations/{identity}/approve", {"plan_digest": digest, "accept": [RULE]}, token=bob)
    assert (approved.status, approved.code) == (409, "refused")
    where = f"/v1/operations/{identity}/override"
    assert (await api.post(where, {"plan_digest": digest, "override": [RULE], "reason": "  "}, token=bob)).code == "invalid_request"
    assert (await api.post(where, {"plan_digest": digest, "reason": "x"}, token=bob)).code == "invalid_request"
    assert (await api.post(where, {"plan_digest": digest, "override": [], "reason": "x"}, token=bob)).code == "refused"
    assert (await api.post(where, {"plan_digest": "sha256:" + "0" * 64, "override": [RULE], "reason": "x"}, token=bob)).code == "conflict"
    hidden = world.token(subject="bob", targets=["staging:*"])
    assert (await api.post(where, {"plan_digest": digest, "override": [RULE], "reason": "x"}, token=hidden)).code == "not_found"
    after = await world.operations.load(identity)
    assert after is not None
    assert after.phase == "awaiting_approval"


async def test_asking_for_an_override_needs_digest_and_reason_and_a_person(world: World, api: Api) -> None:
    for body, token in (
        (ASK | {"override": [RULE]}, None),
        (ASK | {"override": [RULE], "plan_digest": "sha256:" + "0" * 64, "reason": ""}, None),
        (ASK | {"override": [RULE], "plan_digest": "sha256:" + "0" * 64}, world.token(subject="service:portal")),
    ):
        got = await api.post("/v1/operations", body, token=token)
        assert (got.status, got.code) == (409, "refused")
    assert await world.operations.alive() == ()


async def test_a_block_that_can_never_be_overridden_offers_no_override(world: World, api: Api) -> None:
    world.finding = blocks("Somebody else is acting.", clears="Agree with them.")
    check = (await api.get("/v1/targets/prod:checkout/rollback-check")).body
    assert (check["must_override"], check["findings"][0]["overridable"]) == ([], False)
    assert "override" not in check["allowed_actions"]
