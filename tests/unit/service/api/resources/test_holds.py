from datetime import timedelta

from service.domain.model import Watch
from service.domain.ports import Mark
from service.workflow.keeper import Orphan
from tests.unit.service.api.conftest import Api
from tests.unit.service.api.world import CHECKOUT, NOW, World

REASON = {"reason": "v2.5.1 is out"}


async def test_an_open_hold_says_what_it_keeps_away_and_when_to_look_at_it(world: World, api: Api) -> None:
    hold = await world.held()
    got = await api.get("/v1/holds")
    (seen,) = got.body["holds"]
    assert (seen["id"], seen["state"], seen["held"], seen["review_at"], seen["review_due"]) == (hold.id, "open", ["key-42"], "2026-05-11T12:01:07Z", False)
    assert seen["allowed_actions"] == ["end"]
    assert seen["links"]["operation"] == f"/v1/operations/{hold.operation_id}"
    single = await api.get(f"/v1/holds/{hold.id}")
    (release,) = single.body["releases"]
    assert (release["key"], release["bad"]) == ("key-42", None)
    assert {name: value for name, value in single.body.items() if name not in {"releases", "etag"}} == {k: v for k, v in seen.items() if k != "etag"}
    assert (await api.get(f"/v1/holds/{hold.id}", headers={"If-None-Match": single.body["etag"]})).status == 304


async def test_a_hold_says_what_it_waits_for(world: World, api: Api) -> None:
    hold = await world.held()
    assert (await api.get(f"/v1/holds/{hold.id}")).body["watch"] is None
    watch = Watch(at=NOW, standing="still_bad", says="it still has all that was bad", desired="f1f1", troubles={"mark_gone": "the hold mark was taken off"})
    assert await world.holds.see(hold, watch, (), (), NOW)
    seen = (await api.get(f"/v1/holds/{hold.id}")).body["watch"]
    assert (seen["standing"], seen["says"], seen["desired"], seen["operation"]) == ("still_bad", "it still has all that was bad", "f1f1", None)
    assert seen["troubles"] == ["the hold mark was taken off"]


async def test_orphaned_marks_are_listed_to_who_may_see_their_targets(world: World, api: Api) -> None:
    mark = Mark(target=CHECKOUT, marker="operation=op_gone", unmark="take it off", since=NOW)
    world.orphans.append(Orphan(mark=mark, says="nobody knows it"))
    (orphan,) = (await api.get("/v1/holds")).body["orphans"]
    assert (orphan["target"], orphan["marker"], orphan["says"], orphan["clears"]) == ("prod:checkout", "operation=op_gone", "nobody knows it", "take it off")
    hidden = await api.get("/v1/holds", token=world.token("operations:read", targets=("prod:other*",)))
    assert hidden.body["orphans"] == []


async def test_a_hold_whose_review_is_due_says_so(world: World, api: Api) -> None:
    hold = await world.held(review_at=NOW - timedelta(seconds=1))
    assert (await api.get(f"/v1/holds/{hold.id}")).body["review_due"] is True


async def test_a_hold_is_not_ended_while_the_bad_revision_is_still_desired(world: World, api: Api) -> None:
    hold = await world.held()
    got = await api.post(f"/v1/holds/{hold.id}/end", REASON)
    assert (got.status, got.code) == (409, "refused")
    assert "desired revision" in got.body["detail"]
    assert len(got.body["trace_id"]) == 32
    assert (await api.get(f"/v1/holds/{hold.id}")).body["state"] == "open"
    assert world.delivery.acted == []


async def test_a_hold_is_ended_and_auto_sync_given_back_once_a_fix_is_desired(world: World, api: Api) -> None:
    hold = await world.held()
    world.delivery.desired = "fixed-revision"
    got = await api.post(f"/v1/holds/{hold.id}/end", REASON)
    assert (got.status, got.body["state"], got.body["ended_by"], got.body["ended_because"]) == (200, "ended", "user:alice", "v2.5.1 is out")
    assert got.body["allowed_actions"] == []
    assert world.delivery.acted == ["give_back"]
    assert (await api.post(f"/v1/holds/{hold.id}/end", REASON)).code == "conflict"


async def test_the_words_of_the_person_decide_what_becomes_of_auto_sync(world: World, api: Api) -> None:
    hold = await world.held()
    got = await api.post(f"/v1/holds/{hold.id}/end", REASON | {"leave_auto_sync_off": True})
    assert (got.status, world.delivery.acted) == (200, [])
    second = await world.held()
    assert (await api.post(f"/v1/holds/{second.id}/end", REASON | {"accept_bad": True})).status == 200
    assert world.delivery.acted == ["give_back"]


async def test_ending_needs_a_reason_and_the_scope(world: World, api: Api) -> None:
    hold = await world.held()
    for body in ({}, {"reason": "  "}, {"reason": "x", "leave_auto_sync_off": "yes"}):
        assert (await api.post(f"/v1/holds/{hold.id}/end", body)).code == "invalid_request"
    got = await api.post(f"/v1/holds/{hold.id}/end", REASON, token=world.token("operations:read"))
    assert (got.status, got.code) == (403, "missing_scope")


async def test_ended_holds_are_shown_on_request(world: World, api: Api) -> None:
    hold = await world.held()
    await api.post(f"/v1/holds/{hold.id}/end", REASON | {"leave_auto_sync_off": True})

    async def ids(query: str) -> list[str]:
        return [one["id"] for one in (await api.get(f"/v1/holds{query}")).body["holds"]]

    assert await ids("") == []
    assert await ids("?state=ended") == [hold.id]
    assert await ids("?state=all&target=prod:checkout") == [hold.id]
    assert (await api.get("/v1/holds?state=closed")).code == "invalid_request"


async def test_a_hold_of_a_hidden_target_is_not_there(world: World, api: Api) -> None:
    hold = await world.held()
    token = world.token(targets=["staging:*"])
    assert (await api.get("/v1/holds", token=token)).body == {"holds": [], "orphans": [], "next_cursor": None}
    assert (await api.get(f"/v1/holds/{hold.id}", token=token)).code == "not_found"
    assert (await api.post(f"/v1/holds/{hold.id}/end", REASON, token=token)).code == "not_found"
    assert (await api.get("/v1/holds/hld_none")).code == "not_found"
    kept = await world.holds.load(hold.id)
    assert kept is not None
    assert kept.closed_at is None
