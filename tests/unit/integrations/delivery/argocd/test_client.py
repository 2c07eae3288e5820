import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from integrations.delivery.argocd.client import ROLLOUT, AppRef, Client, DeadlineError, DeniedError, GoneError, ServerRefusedError, judge
from integrations.delivery.argocd.settings import Settings
from integrations.http import Answer, UnreachedError
from service.domain.errors import BackoutError, PermanentError, RefusedError, TemporaryError, TooLateError
from tests.unit.integrations.delivery.argocd.recordings import answer
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, StageClock

WEB = AppRef(name="web", project="shop")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Listening:
    """A server that keeps what it was sent and answers what it was told to."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: list[web.Response] = []
        self.delay = 0.0
        self._runner: web.AppRunner | None = None
        self.url = ""
        self.port = 0
        self.lines: list[bytes] = []
        self.watches = 0
        self.asked = asyncio.Event()
        self.watched = asyncio.Event()
        self.returning: asyncio.Future[None] | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/api/v1/stream/applications", self._watch)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        """The lines that a test put there, then silence, unless the last one is empty: that ends it. An answer of a test goes first."""
        self.requests.append((request.method, str(request.rel_url), dict(request.headers), b""))
        if self.answers:
            return self.answers.pop(0)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self.watches += 1
        self.watched.set()
        try:
            for line in self.lines:
                await response.write(line)
            if not self.lines or self.lines[-1]:
                await asyncio.sleep(60)
        finally:
            self.watches -= 1
        return response

    async def _serve(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, str(request.rel_url), dict(request.headers), await request.read()))
        self.asked.set()
        await asyncio.sleep(self.delay)
        return self.answers.pop(0) if self.answers else web.json_response({})

    def deny(self, times: int) -> None:
        for _ in range(times):
            self.answers.append(web.json_response({"error": "permission denied", "code": 7, "message": "permission denied"}, status=403))


@pytest.fixture
async def server() -> AsyncIterator[Listening]:
    made = Listening()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def clock() -> StageClock:
    return StageClock()


@pytest.fixture
async def client(server: Listening, clock: StageClock, tmp_path: Path) -> AsyncIterator[Client]:
    (tmp_path / "token").write_text("secret-token\n")
    settings = Settings.model_validate({"name": "prod", "url": server.url, "token_file": tmp_path / "token", "timeout_seconds": 1})
    made = Client(settings, clock, traceparent=lambda: TRACE)
    yield made
    await made.close()


# --- what goes out ---


async def test_every_write_carries_exactly_application_json(server: Listening, client: Client) -> None:
    guard = CountingGuard()
    await client.terminate(WEB, guard)
    await client.patch(WEB, [], guard)
    await client.put_spec(WEB, {}, guard)
    await client.roll_back(WEB, 0, guard)
    assert [(method, headers["Content-Type"]) for method, _, headers, _ in server.requests] == [
        ("DELETE", "application/json"),
        ("PATCH", "application/json"),
        ("PUT", "application/json"),
        ("POST", "application/json"),
    ]
    assert guard.asked == 4


async def test_the_project_goes_into_the_body_of_post_and_patch_and_into_the_query_of_the_rest(server: Listening, client: Client) -> None:
    app = AppRef(name="web", namespace="team-a", project="shop")
    guard = CountingGuard()
    await client.roll_back(app, 3, guard)
    await client.patch(app, [{"op": "test"}], guard)
    await client.put_spec(app, {"a": 1}, guard)
    await client.terminate(app, guard)
    await client.application(app)
    shown = [(path, json.loads(body) if body else None) for _, path, _, body in server.requests]
    assert shown == [
        ("/api/v1/applications/web/rollback", {"id": 3, "dryRun": False, "prune": False, "appNamespace": "team-a", "project": "shop"}),
        ("/api/v1/applications/web", {"patch": '[{"op": "test"}]', "patchType": "json", "appNamespace": "team-a", "project": "shop"}),
        ("/api/v1/applications/web/spec?validate=false&appNamespace=team-a&project=shop", {"a": 1}),
        ("/api/v1/applications/web/operation?appNamespace=team-a&project=shop", None),
        ("/api/v1/applications/web?appNamespace=team-a&project=shop", None),
    ]


async def test_the_token_is_read_again_and_the_trace_goes_with_every_call(server: Listening, client: Client, tmp_path: Path) -> None:
    await client.application(WEB)
    (tmp_path / "token").write_text("rotated")
    await client.roll_back(WEB, 1, CountingGuard())
    assert [headers["Authorization"] for _, _, headers, _ in server.requests] == ["Bearer secret-token", "Bearer rotated"]
    assert {headers["traceparent"] for _, _, headers, _ in server.requests} == {TRACE}


async def test_names_are_percent_encoded(server: Listening, client: Client) -> None:
    await client.application(AppRef(name="a/b?c"))
    assert server.requests[0][1] == "/api/v1/applications/a%2Fb%3Fc"


async def test_a_refresh_tells_the_server_its_deadline(server: Listening, client: Client) -> None:
    guard = CountingGuard()
    await client.refresh(WEB, guard, seconds=7)
    _, path, headers, _ = server.requests[0]
    assert path == "/api/v1/applications/web?refresh=normal&project=shop"
    assert headers["Grpc-Timeout"] == "7S"
    assert guard.asked == 1


async def test_multi_source_manifests_are_asked_by_position(server: Listening, client: Client) -> None:
    await client.manifests(WEB, ["aaa", "1.2"], multi=True)
    await client.manifests(WEB, ["aaa"], multi=False)
    assert [path for _, path, _, _ in server.requests] == [
        "/api/v1/applications/web/manifests?sourcePositions=1&sourcePositions=2&revisions=aaa&revisions=1.2&project=shop",
        "/api/v1/applications/web/manifests?revision=aaa&project=shop",
    ]


async def test_rights_are_asked_for_bare_verbs_on_patterns(server: Listening, client: Client) -> None:
    server.answers = [web.json_response({"value": "yes"}), web.json_response({"value": "no"}), web.json_response({"value": "perhaps"})]
    assert await client.can_i("sync", "shop/*") is True
    assert await client.can_i("update", "shop/ns/web") is False
    with pytest.raises(PermanentError, match="neither yes nor no"):
        await client.can_i("get", "x")
    assert server.requests[0][1] == "/api/v1/account/can-i/applications/sync/shop/*"


# --- the guard, and the 403 that may mean anything ---


async def test_the_guard_is_asked_before_each_try_and_stops_the_next(server: Listening, client: Client) -> None:
    server.deny(10)

    class UntilLate(CountingGuard):
        async def __call__(self) -> None:
            await super().__call__()
            if self.asked == 3:
                raise TooLateError("past act_before")

    with pytest.raises(TooLateError):
        await client.roll_back(WEB, 0, UntilLate())
    assert len(server.requests) == 2


async def test_a_bare_403_to_a_read_is_temporary_and_says_all_three_reasons(server: Listening, client: Client) -> None:
    server.deny(1)
    with pytest.raises(TemporaryError, match="lacks the right, or there is no such application, or Argo CD cannot reach Kubernetes"):
        await client.application(WEB)


async def test_nobody_answering_is_temporary_and_no_secret_is_in_the_text(server: Listening, client: Client) -> None:
    await server.stop()
    with pytest.raises(TemporaryError) as raised:
        await client.roll_back(WEB, 0, CountingGuard())
    assert "secret-token" not in str(raised.value)


# --- a server that is away for a while ---


def back_after(server: Listening, clock: StageClock, seconds: float) -> None:
    """Let the server come back when so much was slept."""

    def slept(_seconds: float) -> None:
        if sum(clock.slept) >= seconds and not server.returning:
            server.returning = asyncio.ensure_future(server.start())

    clock.after_sleep = slept


async def test_promise_3_a_write_that_no_connection_was_made_for_is_sent_once_the_server_is_back(server: Listening, client: Client, clock: StageClock) -> None:
    await server.stop()
    back_after(server, clock, 25)
    guard = CountingGuard()
    await client.roll_back(WEB, 0, guard)
    assert [method for method, *_ in server.requests] == ["POST"]
    assert guard.asked >= 25


async def test_promise_4_the_guard_ends_the_waiting_for_a_server_that_is_away(server: Listening, client: Client) -> None:
    await server.stop()

    class UntilLate(CountingGuard):
        async def __call__(self) -> None:
            await super().__call__()
            if self.asked == 3:
                raise TooLateError("past act_before")

    with pytest.raises(TooLateError):
        await client.roll_back(WEB, 0, UntilLate())


async def test_a_server_that_stays_away_is_given_up_after_half_a_minute(server: Listening, client: Client, clock: StageClock) -> None:
    await server.stop()
    with pytest.raises(UnreachedError):
        await client.roll_back(WEB, 0, CountingGuard())
    assert 30 <= sum(clock.slept) < 33


async def test_a_write_whose_connection_breaks_is_not_sent_again(server: Listening, client: Client, clock: StageClock) -> None:
    server.delay = 60
    sending = asyncio.ensure_future(client.roll_back(WEB, 0, CountingGuard()))
    await asyncio.wait_for(server.asked.wait(), 5)
    await server.stop()
    with pytest.raises(TemporaryError):
        await sending
    assert (len(server.requests), clock.slept) == (1, [])


async def test_reads_of_an_act_wait_for_the_server_and_other_reads_do_not(server: Listening, client: Client, clock: StageClock) -> None:
    await server.stop()
    with pytest.raises(UnreachedError):
        await client.application(WEB)
    assert clock.slept == []
    back_after(server, clock, 25)
    await client.patiently().application(WEB)
    assert sum(clock.slept) >= 25


async def test_promise_1_reads_of_an_act_conclude_nothing_from_one_bare_403(server: Listening, client: Client) -> None:
    server.deny(5)
    await client.patiently().application(WEB)
    assert len(server.requests) == 6


async def test_reads_of_an_act_end_with_what_was_said_last(server: Listening, client: Client, clock: StageClock) -> None:
    server.deny(100)
    with pytest.raises(TemporaryError, match="cannot reach Kubernetes"):
        await client.patiently().application(WEB)
    assert 30 <= sum(clock.slept) < 33


async def test_a_read_that_is_refused_for_good_is_not_asked_again(server: Listening, client: Client) -> None:
    server.answers.append(web.json_response({"error": "gone", "code": 5, "message": "gone"}, status=404))
    with pytest.raises(GoneError):
        await client.patiently().application(WEB)
    assert len(server.requests) == 1


# --- the watch ---


def told(kind: str, name: str, **more: Any) -> bytes:
    return b"data: " + json.dumps({"result": {"type": kind, "application": {"metadata": {"name": name}, **more}}}).encode() + b" \n\n\n"


async def heard(client: Client, *projects: str) -> list[Any]:
    """What a watch tells until it ends, and how it ends."""
    found: list[Any] = []
    try:
        async with contextlib.aclosing(client.watch(projects)) as messages:  # type: ignore[type-var]  # it is a generator
            async for kind, app in messages:
                found.append((kind, app["metadata"]["name"]))
    except BackoutError as error:
        found.append(error)
    return found


async def test_a_watch_asks_for_events_of_its_projects_and_for_no_field_that_changes_by_itself(server: Listening, client: Client) -> None:
    server.lines = [told("ADDED", "web"), b":\n", told("MODIFIED", "web"), b""]
    assert await heard(client, "shop", "search") == [("ADDED", "web"), ("MODIFIED", "web")]
    (_, url, headers, _) = server.requests[0]
    query = URL(url).query
    assert (headers["Accept"], query.getall("projects"), headers["Authorization"]) == ("text/event-stream", ["shop", "search"], "Bearer secret-token")
    fields = query["fields"].split(",")
    assert {"result.type", "result.application.metadata.name", "result.application.status.health.status"} <= set(fields)
    whole = {"result.application", "result.application.metadata", "result.application.status", "result.application.status.operationState"}
    assert not {field for field in fields if field in whole or field.endswith(("reconciledAt", "resourceVersion", "managedFields"))}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b'data: {"error":{"grpc_code":14,"message":"lost https://me:pw@git.example"}} \n', "Argo CD ended the watch: lost https://git.example"),
        (b"data: {} \n", "Argo CD ended the watch with an error"),
        (b"data: <html> \n", "a message of the watch that is no JSON"),
        (b"data: [1] \n", "Argo CD ended the watch with an error"),
    ],
)
async def test_an_error_at_the_end_of_a_watch_is_temporary_also_where_the_field_filter_ate_it(
    server: Listening, client: Client, message: bytes, words: str
) -> None:
    server.lines = [told("ADDED", "web"), message]
    first, error = await heard(client)
    assert first == ("ADDED", "web")
    assert isinstance(error, TemporaryError)
    assert words in str(error)


async def test_a_watch_that_is_refused_says_why(server: Listening, client: Client) -> None:
    server.answers.append(web.json_response({"error": {"grpc_code": 16, "http_code": 401, "message": "no session information"}}, status=401))
    (error,) = await heard(client)
    assert isinstance(error, PermanentError)
    assert "no session information" in str(error)


async def test_an_answer_that_is_no_stream_is_an_error(server: Listening, client: Client) -> None:
    server.answers.append(web.json_response({"items": None}))
    (error,) = await heard(client)
    assert isinstance(error, PermanentError)
    assert "answered no stream of events" in str(error)


async def test_there_is_never_more_than_one_watch(server: Listening, client: Client) -> None:
    server.lines = [told("ADDED", "web")]
    async with contextlib.aclosing(client.watch(())) as messages:  # type: ignore[type-var]  # it is a generator
        await anext(messages)
        (error,) = await heard(client.patiently())
        assert isinstance(error, PermanentError)
        assert server.watches == 1
    server.lines = [b""]
    assert await heard(client) == []


async def test_a_refused_connection_ends_our_own_watch_for_the_server_may_be_waiting_for_that(server: Listening, client: Client, clock: StageClock) -> None:
    """Recording 02: argocd-server that restarts itself refuses connections as long as a watch is open, 20 s at most."""
    server.lines = [told("ADDED", "web")]
    listening = asyncio.ensure_future(heard(client))
    await asyncio.wait_for(server.watched.wait(), 5)
    client._http.base_url = "http://127.0.0.1:1"  # noqa: SLF001  the listener closes and the watch goes on, which no server of aiohttp's does
    with pytest.raises(UnreachedError):
        await client.patiently().roll_back(WEB, 0, CountingGuard())
    first, error = await asyncio.wait_for(listening, 5)
    assert first == ("ADDED", "web")
    assert "argocd-server refuses connections" in str(error)
    assert clock.slept


async def test_another_failure_does_not_end_the_watch(server: Listening, client: Client) -> None:
    server.lines = [told("ADDED", "web")]
    listening = asyncio.ensure_future(heard(client))
    await asyncio.wait_for(server.watched.wait(), 5)
    server.deny(1)
    with pytest.raises(TemporaryError):
        await client.application(WEB)
    await asyncio.sleep(0.05)
    assert not listening.done()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_a_write_is_sent_once_when_its_answer_is_slow(server: Listening, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    settings = Settings.model_validate({"name": "prod", "url": server.url, "token_file": tmp_path / "token", "timeout_seconds": 0.2})
    client = Client(settings, StageClock(), traceparent=str)
    server.delay = 0.4
    with pytest.raises(TemporaryError, match=r"did not answer within 0\.2 s"):
        await client.roll_back(WEB, 0, CountingGuard())
    await client.close()
    assert len(server.requests) == 1


# --- what comes back, from recordings ---


@pytest.mark.parametrize(
    ("recorded", "error", "words"),
    [
        (("06-missing-forbidden", 0), DeniedError, "permission denied"),
        (("06-missing-forbidden", 5), GoneError, 'applications.argoproj.io "nosuch" not found'),
        (("06-missing-forbidden", 31), ServerRefusedError, "does not have deployment with id 9"),
        (("06-missing-forbidden", 32), ServerRefusedError, "permission denied: applications, update, team-a/e06a"),
        (("06-missing-forbidden", 34), ServerRefusedError, "No operation is in progress"),
        (("06-missing-forbidden", 49), PermanentError, "no session information"),
        (("06-missing-forbidden", 52), PermanentError, "token signature is invalid"),
        (("08-deny-window", 1), ServerRefusedError, "blocked by sync window"),
        (("08-deny-window", 4), ServerRefusedError, "another operation is already in progress"),
        (("18-failed-sync", 12), ServerRefusedError, "application spec for e18 is invalid"),
        (("19-controller-down", 0), DeadlineError, "context deadline exceeded"),
        (("23-git-down", 9), TemporaryError, "unable to resolve 'nosuchbranch'"),
        (("34-stop-auto-sync", 3), ServerRefusedError, "test failed"),
        (("39-backends-down", 2), TemporaryError, "connection refused"),
        (("39-backends-down", 22), TemporaryError, "error getting cached app resource tree"),
        (("05-content-type", 0), PermanentError, "answered 415"),
        (("05-content-type", 18), PermanentError, "not that of Argo CD's API"),
        (("05-content-type", 19), PermanentError, "answered 405"),
    ],
    ids=lambda value: f"{value[0]}-{value[1]}" if isinstance(value, tuple) else "",
)
def test_recorded_errors_are_mapped_once_and_keep_the_servers_words(recorded: tuple[str, int], error: type[BackoutError], words: str) -> None:
    with pytest.raises(BackoutError) as raised:
        judge(answer(*recorded), "GET x")
    assert type(raised.value) is error
    assert words in str(raised.value)


def test_a_refusal_keeps_status_and_code() -> None:
    with pytest.raises(ServerRefusedError) as raised:
        judge(answer("18-failed-sync", 12), "PATCH x")
    assert (raised.value.status, raised.value.code) == (400, 3)
    assert isinstance(raised.value, RefusedError)


def made(status: int, body: Any, content_type: str = "application/json", **headers: str) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, headers={"content-type": content_type, **headers}, body=data, url="https://argocd.example")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (made(200, b"<html>", "text/html"), PermanentError, "the address or its root path is not that of Argo CD's API"),
        (made(307, b"", "text/html"), PermanentError, "was redirected"),
        (made(502, b"bad gateway", "text/plain"), TemporaryError, "a proxy before Argo CD answered 502"),
        (made(503, b"", "text/html"), TemporaryError, "a proxy"),
        (made(409, {"code": 10, "message": "conflict"}), TemporaryError, "conflict"),
        (made(429, {"code": 8, "message": "too many"}), TemporaryError, "too many"),
        (made(500, {"code": 13, "message": 'grpc: error while marshaling: proto: required field "id" not set'}), PermanentError, "required field"),
        (made(200, [1]), PermanentError, "no object"),
        (made(200, b"{"), PermanentError, "instead of JSON"),
        (made(401, {"error": {"grpc_code": 16, "http_code": 401, "message": "invalid session"}}), PermanentError, "invalid session"),
    ],
)
def test_other_answers_are_mapped_too(given: Answer, error: type[BackoutError], words: str) -> None:
    with pytest.raises(error, match=words):
        judge(given, "GET x")


def test_a_good_answer_carries_its_digest_and_the_servers_clock() -> None:
    reply = judge(made(200, {"a": 1}, date="Mon, 04 May 2026 14:00:05 GMT"), "GET x")
    assert reply.body == {"a": 1}
    assert reply.server_time == datetime(2026, 5, 4, 14, 0, 5, tzinfo=UTC)
    assert reply.digest.startswith("sha256:")
    assert judge(made(200, {"a": 2}), "GET x").digest != reply.digest
    assert judge(made(200, None), "DELETE x").body == {}
    assert judge(made(200, {}), "GET x").server_time is None


async def test_promise_12_the_servers_words_are_shown_without_passwords_in_addresses() -> None:
    says = 'application spec for web is invalid: InvalidSpecError: failed to list refs of "https://bot:hunter2@git.example/x": authentication required'
    body = json.dumps({"error": says, "code": 3, "message": says}).encode()
    refused = Answer(status=400, headers={"content-type": "application/json"}, body=body, url="https://argocd.example")
    with pytest.raises(ServerRefusedError, match=r'failed to list refs of "https://git\.example/x": authentication') as caught:
        judge(refused, "PATCH /x")
    assert "hunter2" not in str(caught.value) + caught.value.words


# --- resource actions ---

NODE = {"group": "argoproj.io", "version": "v1alpha1", "kind": "Rollout", "namespace": "web", "name": "web"}


async def test_an_action_goes_out_in_the_form_that_the_server_knows(server: Listening, client: Client) -> None:
    guard = CountingGuard()
    await client.run_action(WEB, NODE, "abort", guard, old_form=False)
    await client.run_action(WEB, NODE, "abort", guard, old_form=True)
    (_, new, _, body), (_, old, headers, text) = server.requests
    assert new == "/api/v1/applications/web/resource/actions/v2"
    about = {"resourceName": "web", "namespace": "web", "version": "v1alpha1", "group": "argoproj.io", "kind": "Rollout"}
    assert json.loads(body) == {**about, "action": "abort", "project": "shop"}
    assert (URL(old).path, dict(URL(old).query)) == ("/api/v1/applications/web/resource/actions", {**about, "project": "shop"})
    assert (json.loads(text), headers["Content-Type"], guard.asked) == ("abort", "application/json", 2)


@pytest.mark.parametrize(
    ("status", "code", "words", "may"),
    [(400, 3, "Rollout argoproj.io Nobody_Has_This_Name not found as part of application web", True), (403, 7, "permission denied", False)],
)
async def test_the_right_to_an_action_shows_in_the_kind_of_the_refusal(
    server: Listening, client: Client, status: int, code: int, words: str, may: bool
) -> None:
    server.answers.append(web.json_response({"error": words, "code": code, "message": words}, status=status))
    assert await client.may_run(WEB, ROLLOUT, "abort", old_form=True) is may
    (method, path, _, body) = server.requests[0]
    assert (method, URL(path).query["resourceName"], json.loads(body)) == ("POST", "Nobody_Has_This_Name", "abort")
    server.answers = [web.json_response({"error": words, "code": code, "message": words}, status=status)]
    assert await client.may_run(WEB, ROLLOUT, "abort", old_form=False) is may
    (_, path, _, body) = server.requests[1]
    assert (URL(path).path, json.loads(body)["resourceName"]) == ("/api/v1/applications/web/resource/actions/v2", "Nobody_Has_This_Name")


@pytest.mark.parametrize(
    ("status", "code", "words", "error"),
    [(400, 3, "app is not allowed in project", ServerRefusedError), (503, 14, "unavailable", TemporaryError), (200, 0, "", PermanentError)],
)
async def test_promise_1_any_other_answer_says_nothing_about_the_right(
    server: Listening, client: Client, status: int, code: int, words: str, error: type[BackoutError]
) -> None:
    server.answers.append(web.json_response({"error": words, "code": code, "message": words} if words else {}, status=status))
    with pytest.raises(error):
        await client.may_run(WEB, ROLLOUT, "abort", old_form=False)
