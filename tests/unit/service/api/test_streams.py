from datetime import timedelta

from service.api.streams import event
from service.domain.model import Operation, Outcome
from service.domain.ports import AuditEvent
from tests.unit.service.api.conftest import Api, MakeApi
from tests.unit.service.api.listening import Listener, listening
from tests.unit.service.api.world import NOW, World


def said(kind: str) -> AuditEvent:
    return AuditEvent(kind=kind, says=f"{kind}: é\nand more", at=NOW, body={"n": 1})


async def moved(world: World, operation: Operation, kind: str, **changes: object) -> Operation:
    """One commit, and the look that follows it."""
    after = await world.move(operation, events=(said(kind),), **changes)
    await world.live.look()
    return after


def events(operation: Operation) -> str:
    return f"/v1/operations/{operation.id}/events"


async def told(listener: Listener, number: int) -> list[tuple[str, str]]:
    """The next events as (id, kind of the row or of the event)."""
    found = [await listener.next() for _ in range(number)]
    return [(one.identity, one.data["kind"] if one.kind == "message" else one.kind) for one in found if one is not None]


async def test_a_stream_tells_what_was_what_comes_and_the_end(world: World, api: Api) -> None:
    operation = await world.begun()
    async with listening(api, events(operation), "Operation") as listener:
        assert listener.answer.status == 200
        assert listener.answer.headers["Content-Type"] == "text/event-stream"
        assert (listener.answer.headers["Cache-Control"], listener.answer.headers["X-Accel-Buffering"]) == ("no-store", "no")
        assert await told(listener, 2) == [("1", "accepted"), ("", "state")]
        operation = await moved(world, operation, "verdict", phase="act")
        assert await told(listener, 2) == [("2", "verdict"), ("", "state")]
        await moved(world, operation, "ended", phase="ended", done=Outcome.RECOVERED, says="live is v2.4.6")
        (row, end) = await listener.rest()
        assert (row.identity, row.data["says"]) == ("3", "ended: é\nand more")
        assert (end.kind, end.data["outcome"], end.data["says"], end.identity) == ("end", "recovered", "live is v2.4.6", "")


async def test_a_change_without_a_row_is_told_as_the_state_alone(world: World, api: Api) -> None:
    operation = await world.begun()
    async with listening(api, events(operation), "Operation") as listener:
        await told(listener, 2)
        await world.move(operation, events=(), says="roll_back: no answer; trying again")
        await world.live.look()
        state = await listener.next()
        assert state is not None
        assert (state.kind, state.data["says"]) == ("state", "roll_back: no answer; trying again")


async def test_a_lost_stream_resumes_behind_the_last_event(world: World, api: Api) -> None:
    operation = await world.begun()
    for kind in ("verdict", "decision"):
        operation = await moved(world, operation, kind)
    for path, last in ((events(operation), "2"), (f"{events(operation)}?after=2", ""), (f"{events(operation)}?after=1", "2")):
        async with listening(api, path, "Operation", last=last) as listener:
            assert await told(listener, 2) == [("3", "decision"), ("", "state")]


async def test_the_stream_of_an_ended_operation_ends_at_once(world: World, api: Api) -> None:
    operation = await world.ended()
    async with listening(api, events(operation), "Operation", last="1") as listener:
        assert [one.kind for one in await listener.rest()] == ["message", "end"]
    assert world.live.streams == 0


async def test_an_incident_is_streamed_until_it_is_closed(world: World, api: Api) -> None:
    incident = await world.incident()
    async with listening(api, f"/v1/incidents/{incident}/events", "Incident") as listener:
        assert await told(listener, 3) == [("1", "opened"), ("2", "episode_joined"), ("", "state")]
        await world.alerts.close_incident(incident, outcome="resolved", at=NOW)
        await world.live.look()
        (row, end) = await listener.rest()
        assert (row.data["says"], end.kind, end.data["state"], end.data["outcome"]) == ("closed: resolved", "end", "closed", "resolved")


async def test_without_asking_for_a_stream_the_events_come_as_json(world: World, api: Api) -> None:
    operation = await world.begun()
    got = await api.get(events(operation), headers={"Accept": "application/json, text/event-stream;q=0.5"})
    assert [one["number"] for one in got.body["events"]] == [1]


async def test_a_stream_needs_the_same_rights_as_the_list(world: World, api: Api) -> None:
    operation, incident = await world.begun(), await world.incident()
    for path in (events(operation), f"/v1/incidents/{incident}/events"):
        for token, code in ((world.token("targets:read"), 403), (world.token("operations:read", targets=["staging:*"]), 404), ("nonsense", 401)):
            async with listening(api, path, "Operation", token=token) as listener:
                assert listener.answer.status == code
                assert listener.answer.content_type == "application/problem+json"
    assert world.live.streams == 0


async def test_a_last_event_that_is_no_number_is_refused(world: World, api: Api) -> None:
    operation = await world.begun()
    got = await api.get(events(operation), headers={"Accept": "text/event-stream", "Last-Event-ID": "x"})
    assert (got.status, got.code) == (400, "invalid_request")
    assert "Last-Event-ID" in got.body["detail"]


async def test_there_are_only_so_many_streams_and_one_caller_has_at_most_half(world: World, api: Api) -> None:
    operation = await world.begun()
    path = events(operation)
    bob, eve = world.token(subject="bob"), world.token(subject="eve")
    async with listening(api, path, "Operation"), listening(api, path, "Operation") as second:
        await told(second, 2)
        greedy = await api.get(path, headers={"Accept": "text/event-stream"})
        assert (greedy.status, greedy.code, greedy.headers["Retry-After"]) == (503, "too_many_streams", "10")
        assert "this token's subject" in greedy.body["detail"]
        async with listening(api, path, "Operation", token=bob), listening(api, path, "Operation", token=bob) as fourth:
            await told(fourth, 2)
            full = await api.get(path, headers={"Accept": "text/event-stream"}, token=eve)
            assert (full.status, full.code) == (503, "too_many_streams")
            assert (await api.get(path, token=eve)).status == 200
        await moved(world, operation, "ended", phase="ended", done=Outcome.REFUSED)
        assert (await second.rest())[-1].kind == "end"


async def test_a_silent_stream_says_that_it_lives(world: World, make_api: MakeApi) -> None:
    operation = await world.begun()
    world.live.keep_alive = 0.02
    async with listening(await make_api(), events(operation), "Operation") as listener:
        await told(listener, 2)
        comment = await listener.next()
        assert comment is not None
        assert (comment.kind, comment.data) == ("comment", "still here")


async def test_a_token_that_expires_ends_its_stream(world: World, make_api: MakeApi) -> None:
    operation = await world.begun()
    world.live.keep_alive = 0.02
    api = await make_api()
    async with listening(api, events(operation), "Operation", token=world.token(expires=timedelta(minutes=1))) as listener:
        await told(listener, 2)
        world.clock.at += timedelta(hours=1)
        assert [one.kind for one in await listener.rest() if one.kind != "comment"] == []


async def test_streams_end_without_an_end_event_when_the_service_goes_down(world: World, api: Api) -> None:
    operation = await world.begun()
    async with listening(api, events(operation), "Operation") as listener:
        await told(listener, 2)
        world.parts.drain.begin()
        assert await listener.rest() == []


async def test_a_caller_who_leaves_gives_the_place_back(world: World, make_api: MakeApi) -> None:
    operation = await world.begun()
    world.live.keep_alive = 0.01
    api = await make_api()
    async with listening(api, events(operation), "Operation") as listener:
        await told(listener, 2)
        assert world.live.streams == 1
        listener.answer.close()
    for _ in range(6000):
        if not world.live.streams:
            break
        await world.really_sleep(0.01)
    assert world.live.streams == 0


def test_text_that_holds_line_ends_cannot_make_fields_of_its_own() -> None:
    raw = event("state", {"says": "one\n\nevent: end\ndata: {}\r\rid: 9"}, identity=3)
    assert raw.splitlines()[:2] == ["id: 3", "event: state"]
    assert raw.count("\n") == 4
    assert "\r" not in raw
