import json
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

from service.api.edge import BODY_LIMIT
from tests.unit.service.api.conftest import Api, MakeApi
from tests.unit.service.api.world import World

PLAN = {"target": "prod:checkout"}


async def test_without_a_valid_token_nothing_under_v1_is_told(world: World, api: Api) -> None:
    expired = world.token(expires=timedelta(seconds=1))
    world.clock.at += timedelta(minutes=2)
    for token in ("", "nonsense", expired):
        got = await api.get("/v1/targets/prod:checkout", token=token)
        assert (got.status, got.code) == (401, "invalid_token")
        assert got.headers["WWW-Authenticate"].startswith("Bearer")
        assert token not in got.text or not token


async def test_a_missing_scope_is_named(world: World, api: Api) -> None:
    got = await api.get("/v1/operations", token=world.token("targets:read"))
    assert (got.status, got.code, got.body["detail"]) == (403, "missing_scope", "this needs a token with the scope operations:read")


async def test_the_scope_is_looked_at_before_the_body(world: World, api: Api) -> None:
    assert (await api.post("/v1/plans", data=b"not json", token=world.token("targets:read"))).code == "missing_scope"


async def test_keys_that_cannot_be_read_are_503_and_let_nobody_in(world: World, api: Api) -> None:
    world.keys_file.unlink()
    got = await api.get("/v1/targets")
    assert (got.status, got.code, got.headers["Retry-After"]) == (503, "keys_unreadable", "2")


@pytest.mark.parametrize("path", ["/v1/targets?mode=auto", "/v1/targets/prod:checkout?verbose", "/v1/stop?x=1", "/livez?x=1", "/metrics?name=x"])
async def test_a_query_parameter_that_nobody_knows_is_refused(api: Api, path: str) -> None:
    got = await api.get(path)
    assert (got.status, got.code) == (400, "invalid_request")
    assert "unknown query parameter" in got.body["detail"]


async def test_posts_take_no_query_parameters_either(api: Api) -> None:
    assert (await api.post("/v1/plans?dry_run=1", PLAN)).code == "invalid_request"


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (b"{", "application/json", "invalid_request"),
        (b"[" * 40_000, "application/json", "invalid_request"),
        (b"[]", "application/json", "invalid_request"),
        (b"\xff\xfe", "application/json", "invalid_request"),
        (b'{"target": "prod:\\ud800"}', "application/json", "invalid_request"),
        (b'{"target": 7}', "application/json", "invalid_request"),
        (b"", "application/json", "invalid_request"),
        (b'{"target": "prod:checkout"}', "text/plain", "unsupported_media_type"),
        (b" " * (BODY_LIMIT + 1), "application/json", "too_large"),
    ],
)
async def test_a_body_that_is_not_as_described_is_a_problem(api: Api, data: bytes, kind: str, code: str) -> None:
    got = await api.post("/v1/plans", data=data, headers={"Content-Type": kind})
    assert got.code == code


async def test_a_body_without_a_length_is_cut_at_the_limit_too(world: World, api: Api) -> None:
    async def chunks() -> Any:
        for _ in range(3):
            yield b" " * (BODY_LIMIT // 2)

    headers = {"Authorization": f"Bearer {world.token()}", "Content-Type": "application/json"}
    response = await api.client.post("/v1/plans", data=chunks(), headers=headers)
    assert (response.status, (await response.json())["code"]) == (413, "too_large")


async def test_a_key_used_with_another_request_is_refused(api: Api) -> None:
    key = {"Idempotency-Key": "k"}
    assert (await api.post("/v1/plans", PLAN, headers=key)).status == 201
    other = await api.post("/v1/operations", PLAN, headers=key)
    assert (other.status, other.code) == (422, "idempotency_key_reused")


async def test_a_key_belongs_to_its_caller(world: World, api: Api) -> None:
    key = {"Idempotency-Key": "k"}
    first = await api.post("/v1/plans", PLAN, headers=key)
    second = await api.post("/v1/plans", PLAN, headers=key, token=world.token(subject="bob"))
    assert first.body["id"] != second.body["id"]


async def test_a_request_that_failed_may_be_tried_again_with_its_key(world: World, api: Api) -> None:
    offer, world.delivery.offer = world.delivery.offer, None
    key = {"Idempotency-Key": "k"}
    assert (await api.post("/v1/plans", PLAN, headers=key)).code == "no_way_back"
    world.delivery.offer = offer
    got = await api.post("/v1/plans", PLAN, headers=key)
    assert (got.status, got.headers.get("Idempotency-Replayed")) == (201, None)


async def test_a_replay_keeps_status_location_and_etag(api: Api) -> None:
    key = {"Idempotency-Key": "k"}
    first, again = [await api.post("/v1/plans", PLAN, headers=key) for _ in range(2)]
    assert (again.status, again.body, again.headers["Idempotency-Replayed"]) == (201, first.body, "true")
    assert {name: again.headers[name] for name in ("Location", "ETag")} == {name: first.headers[name] for name in ("Location", "ETag")}


async def test_a_request_whose_first_try_is_still_running_is_told_so(world: World, api: Api) -> None:
    operation = await world.waiting()
    where = f"/v1/operations/{operation.id}/reject"
    digest_of_first = await _claimed_digest(world, where)
    assert digest_of_first.startswith("sha256:")
    got = await api.post(where, {}, headers={"Idempotency-Key": "k"})
    assert (got.status, got.code, got.headers["Retry-After"]) == (409, "request_in_flight", "2")


async def _claimed_digest(world: World, where: str) -> str:
    """Claims the key as the first request would, and never answers; what the edge hashes is spelt out here on purpose."""
    digest = "sha256:" + sha256(json.dumps(["POST", where, {"reason": ""}], sort_keys=True).encode()).hexdigest()
    assert await world.answers.claim("k", "alice", digest, world.clock.now()) is None
    return digest


@pytest.mark.parametrize("key", ["with space", "ä", "x" * 256])
async def test_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    got = await api.post("/v1/plans", PLAN | {"idempotency_key": key})
    assert got.code == "invalid_request"


async def test_two_different_keys_in_one_request_are_refused(api: Api) -> None:
    got = await api.post("/v1/plans", PLAN | {"idempotency_key": "a"}, headers={"Idempotency-Key": "b"})
    assert got.code == "invalid_request"


async def test_nothing_at_an_address_is_a_problem_and_so_is_a_wrong_method(api: Api) -> None:
    nothing = await api.get("/v1/nothing")
    assert (nothing.status, nothing.code, nothing.headers["Content-Type"]) == (404, "not_found", "application/problem+json")
    wrong = await api("DELETE", "/v1/plans")
    assert (wrong.status, wrong.code, wrong.headers["Allow"]) == (405, "method_not_allowed", "POST")


async def test_a_defect_is_a_500_that_tells_nothing(world: World, make_api: MakeApi) -> None:
    def broken(_: object) -> Any:
        raise ZeroDivisionError("internal detail")

    world.with_parts(trees=broken)
    operation = await world.begun()
    got = await (await make_api()).get(f"/v1/operations/{operation.id}/trace")
    assert (got.status, got.code, got.body["trace_id"]) == (500, "internal_error", operation.trace_id)
    assert "internal detail" not in got.text


async def test_answers_do_not_tell_what_software_serves_them(api: Api) -> None:
    for path in ("/v1/targets", "/v1/targets/prod:ghost", "/livez"):
        assert (await api.get(path)).headers["Server"] == "backout"


async def test_answers_are_not_kept_by_caches_between_callers(api: Api) -> None:
    got = await api.get("/v1/targets")
    assert (got.headers["Cache-Control"], got.headers["Vary"]) == ("private, no-cache", "Authorization, Accept")
