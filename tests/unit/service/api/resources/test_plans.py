from datetime import timedelta

from service.domain.verdict import blocks, warns
from tests.unit.service.api.conftest import Api
from tests.unit.service.api.world import CHECKOUT, ORDERS, RULE, World

PLAN = {"target": "prod:checkout"}


async def test_a_plan_is_kept_and_shown_again_as_it_was(world: World, api: Api) -> None:
    world.finding = warns("Release 42 writes a new field.", clears="Tick it.")
    made = await api.post("/v1/plans", PLAN)
    assert (made.status, made.headers["Location"], made.headers["ETag"]) == (201, made.body["links"]["self"], made.body["etag"])
    assert [one["name"] for one in made.body["steps"]] == ["stop_auto_sync", "roll_back"]
    assert made.body["steps"][0]["undo"]["name"] == "give_back"
    assert (made.body["must_name"], made.body["verdict"]["verdict"]) == ([RULE], "warn")
    assert made.body["requested_by"] == {"kind": "user", "name": "alice"}
    assert made.body["allowed_actions"] == ["rollback"]
    again = await api.get(made.headers["Location"])
    assert again.body == made.body
    assert (await api.get(made.headers["Location"], headers={"If-None-Match": "*"})).status == 304


async def test_the_plans_digest_is_the_one_that_the_check_showed(api: Api) -> None:
    shown = await api.get("/v1/targets/prod:checkout/rollback-check")
    made = await api.post("/v1/plans", PLAN)
    assert made.body["digest"] == shown.body["plan_digest"]


async def test_a_plan_can_be_had_as_a_checklist(api: Api) -> None:
    made = await api.post("/v1/plans", PLAN)
    got = await api.get(made.headers["Location"], headers={"Accept": "text/markdown, application/json;q=0.5"})
    assert got.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert got.text.startswith("# rollback")
    assert "Roll back to history id 41" in got.text


async def test_json_is_what_comes_when_a_caller_likes_both_alike(api: Api) -> None:
    made = await api.post("/v1/plans", PLAN)
    for accept in ("application/json, text/markdown", "*/*", "text/markdown;q=0.1, application/json", "text/markdown;q=none"):
        assert (await api.get(made.headers["Location"], headers={"Accept": accept})).headers["Content-Type"].startswith("application/json")


async def test_a_blocked_plan_is_kept_and_cannot_be_carried_out(world: World, api: Api) -> None:
    world.finding = blocks("Release 42 dropped a column.", clears="Add it back.")
    made = await api.post("/v1/plans", PLAN)
    assert (made.status, made.body["verdict"]["verdict"], made.body["allowed_actions"]) == (201, "block", [])


async def test_a_plan_whose_time_is_over_offers_nothing_any_more(world: World, api: Api) -> None:
    made = await api.post("/v1/plans", PLAN)
    world.clock.at += timedelta(minutes=31)
    assert (await api.get(made.headers["Location"], token=world.token())).body["allowed_actions"] == []


async def test_where_there_is_no_way_the_problem_says_why(world: World, api: Api) -> None:
    world.delivery.offer = None
    got = await api.post("/v1/plans", PLAN)
    assert (got.status, got.code) == (409, "no_way_back")
    assert got.body["detail"].startswith("there is no way back to plan for prod:checkout: ")


async def test_a_plan_of_a_hidden_target_is_not_there(world: World, api: Api) -> None:
    await world.list_targets(CHECKOUT, ORDERS)
    made = await api.post("/v1/plans", PLAN)
    narrow = world.token("targets:read", "plans:write", targets=["prod:team-a/*"])
    assert (await api.get(made.headers["Location"], token=narrow)).code == "not_found"
    assert (await api.post("/v1/plans", PLAN, token=narrow)).code == "not_found"
    assert (await api.get("/v1/plans/pln_none")).code == "not_found"


async def test_making_a_plan_needs_its_scope_and_reading_one_does_not(world: World, api: Api) -> None:
    got = await api.post("/v1/plans", PLAN, token=world.token("targets:read"))
    assert (got.status, got.code) == (403, "missing_scope")
    assert "plans:write" in got.body["detail"]
    made = await api.post("/v1/plans", PLAN)
    seen = await api.get(made.headers["Location"], token=world.token("targets:read"))
    assert (seen.status, seen.body["allowed_actions"]) == (200, [])
