import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from integrations.delivery.spinnaker.answers import EmptyError, GoneError, ServerRefusedError, TurnedAwayError
from integrations.delivery.spinnaker.client import Client, execution_id, segment
from integrations.delivery.spinnaker.settings import Settings
from integrations.http import UnreachedError
from service.domain.errors import PermanentError, RefusedError, StoppedError, TemporaryError
from tests.fakes.clock import FakeClock
from tests.unit.integrations.delivery.argocd.stage import CountingGuard
from tests.unit.integrations.delivery.spinnaker.recordings import steps

RUN = "01KPQ0000000000000000000A1"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Gate:
    """Keeps what it was sent and answers what it was told to, in order; with nothing left `{}`."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: list[web.Response] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        answer = self.answers.pop(0) if self.answers else web.json_response({})
        if answer.status == 599:  # a test's sign: hang up
            assert request.transport is not None
            request.transport.abort()
        return answer

    def will(self, status: int, body: Any = None, **headers: str) -> None:
        """The next answer; a body that is no text is sent as JSON."""
        if body is None or isinstance(body, str):
            self.answers.append(web.Response(status=status, text=body or "", headers=headers))
        else:
            self.answers.append(web.Response(status=status, body=json.dumps(body).encode(), headers={"Content-Type": "application/json"} | headers))


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    made = Gate()
    await made.start()
    yield made
    await made.stop()


@asynccontextmanager
async def speaking(gate: Gate, clock: FakeClock, *, trace: str = "", **login: Any) -> AsyncIterator[Client]:
    settings = Settings(name="spin", url=gate.url, applications=("shop",), **(login or {"auth": "none"}))
    client = Client(settings, clock, traceparent=lambda: trace)
    yield client
    await client.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def client(gate: Gate, clock: FakeClock) -> AsyncIterator[Client]:
    async with speaking(gate, clock) as made:
        yield made


def written(folder: Path, text: str) -> Path:
    file = folder / "credential"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("auth", "content", "header", "value"),
    [
        ("api_token", "spk_secret\n", "X-Spinnaker-Token", "spk_secret"),
        ("bearer", "abc", "Authorization", "Bearer abc"),
        ("basic", "u:p", "Authorization", "Basic " + base64.b64encode(b"u:p").decode()),
    ],
)
async def test_every_credential_is_sent_as_its_mode_wants_it(
    gate: Gate, clock: FakeClock, tmp_path: Path, auth: str, content: str, header: str, value: str
) -> None:
    file = written(tmp_path, content)
    async with speaking(gate, clock, auth=auth, token_file=file) as client:
        await client.version()
        assert gate.requests[-1][2][header] == value
        written(tmp_path, content.strip() + "2")
        await client.version()
    assert gate.requests[-1][2][header] != value
    assert "Cookie" not in gate.requests[-1][2]


async def test_header_mode_names_the_user_and_no_mode_names_nobody(gate: Gate, clock: FakeClock) -> None:
    async with speaking(gate, clock, auth="header", user="bot@example.org") as client:
        await client.version()
    assert gate.requests[-1][2]["X-SPINNAKER-USER"] == "bot@example.org"
    async with speaking(gate, clock) as client:
        await client.version()
    assert not {"Authorization", "X-SPINNAKER-USER", "X-Spinnaker-Token"} & set(gate.requests[-1][2])


async def test_basic_without_a_colon_is_no_credential_and_is_not_shown(gate: Gate, clock: FakeClock, tmp_path: Path) -> None:
    async with speaking(gate, clock, auth="basic", token_file=written(tmp_path, "secretword")) as client:
        with pytest.raises(PermanentError, match="user:password") as refused:
            await client.version()
    assert "secretword" not in str(refused.value)
    assert not gate.requests


async def test_a_certificate_that_is_not_there_is_told(gate: Gate, clock: FakeClock, tmp_path: Path) -> None:
    async with speaking(gate, clock, auth="x509", certificate_file=tmp_path / "a.pem", key_file=tmp_path / "a.key") as client:
        with pytest.raises(PermanentError, match=r"a\.pem"):
            await client.version()


async def test_our_trace_and_name_go_with_every_request(gate: Gate, clock: FakeClock) -> None:
    async with speaking(gate, clock, trace=TRACE) as client:
        await client.version()
    sent = gate.requests[-1][2]
    assert sent["X-SPINNAKER-REQUEST-ID"] == "0af7651916cd43dd8448eb211c80319c"
    assert (sent["X-RateLimit-App"], sent["X-Spinnaker-Priority"], sent["Accept"]) == ("backout", "critical", "application/json")
    async with speaking(gate, clock) as client:
        await client.version()
    assert "X-SPINNAKER-REQUEST-ID" not in gate.requests[-1][2]
    async with speaking(gate, clock, trace="no-trace") as client:
        await client.version()
    assert "X-SPINNAKER-REQUEST-ID" not in gate.requests[-1][2]


async def test_a_redirect_is_a_failed_login_and_is_not_followed(gate: Gate, client: Client) -> None:
    gate.will(302, Location=f"{gate.url}/login")
    with pytest.raises(PermanentError, match="login page"):
        await client.version()
    assert len(gate.requests) == 1


async def test_reads_are_asked_for_as_gate_wants_them(gate: Gate, client: Client) -> None:
    await client.manifest("k8s", "ns", "deployment web")
    await client.pipeline_runs("shop", statuses=("RUNNING", "PAUSED"), limit=5, expand=False)
    await client.server_group("shop", "aws", "us-east-1", "web-v007")
    await client.tasks("shop")
    assert [path for _, path, _, _ in gate.requests] == [
        "/manifests/k8s/ns/deployment%20web",
        "/applications/shop/pipelines?limit=5&expand=false&statuses=RUNNING%2CPAUSED",
        "/applications/shop/serverGroups/aws/us-east-1/web-v007",
        "/applications/shop/tasks?limit=200",
    ]


@pytest.mark.parametrize("text", ["a/b", "", "..", "a\\b", "a\nb"])
async def test_what_cannot_be_a_part_of_a_path_is_not_sent(gate: Gate, client: Client, text: str) -> None:
    with pytest.raises(PermanentError):
        await client.manifest("k8s", text, "deployment web")
    assert not gate.requests


def test_names_with_quotes_and_other_letters_can_be_named() -> None:
    assert segment('Größe "x" + 1') == "Gr%C3%B6%C3%9Fe%20%22x%22%20%2B%201"


@pytest.mark.parametrize("text", ["../tasks", "01KPQ", RUN + "/cancel", RUN.lower(), ""])
def test_only_an_id_is_an_id(text: str) -> None:
    with pytest.raises(PermanentError):
        execution_id(text)


def test_ids_of_old_are_ids() -> None:
    for text in (RUN, "0b7bd0e5-6a9c-4e2c-9f49-8d0f4b1a7a11"):
        assert execution_id(text) == text


async def test_an_empty_run_is_asked_for_again_and_is_never_gone(gate: Gate, client: Client) -> None:
    gate.will(200)
    gate.will(200, {"id": RUN})
    assert (await client.pipeline_run(RUN)).body == {"id": RUN}
    for _ in range(3):
        gate.will(200)
    with pytest.raises(EmptyError):
        await client.pipeline_run(RUN)
    assert len(gate.requests) == 5
    gate.will(404, steps("09f-gate-swallows-orca-errors")[24]["response"]["body"])
    with pytest.raises(GoneError, match="Pipeline not found"):
        await client.pipeline_run(RUN)


async def test_a_read_that_failed_is_asked_again_a_little_and_then_nobody_knows(gate: Gate, client: Client) -> None:
    gate.will(500, {"message": "timeout"})
    gate.will(599)
    gate.will(200, {"id": RUN})
    assert (await client.task(RUN)).body == {"id": RUN}
    for _ in range(3):
        gate.will(503, {"message": "Status: 503, Method: GET, URL: ORCA/tasks"})
    with pytest.raises(TemporaryError):
        await client.task(RUN)
    assert len(gate.requests) == 6


async def test_nobody_is_an_answer_to_who_we_are(gate: Gate, client: Client) -> None:
    gate.will(200)
    assert (await client.user()).body is None


async def test_a_pause_that_gate_asks_for_is_kept_by_all(gate: Gate, client: Client, clock: FakeClock) -> None:
    began = clock.now()
    gate.will(429, '{"message": "Rate capacity exceeded"}')
    await client.version()
    assert (clock.now() - began).total_seconds() == 10
    for _ in range(3):
        gate.will(429, '{"message": "Rate capacity exceeded"}')
    with pytest.raises(TurnedAwayError):
        await client.version()
    await client.accounts()
    assert (clock.now() - began).total_seconds() == 40


async def post(client: Client, guard: CountingGuard, **more: Any) -> Any:
    jobs = [{"type": "undoRolloutManifest", "revision": 2, **more}]
    return (await client.post_task("shop", "Backout", jobs, "backout-op_1", guard)).body


async def test_a_task_is_posted_with_all_that_orca_needs(gate: Gate, client: Client) -> None:
    gate.will(200, {"ref": f"/tasks/{RUN}"})
    guard = CountingGuard()
    assert await post(client, guard) == {"ref": f"/tasks/{RUN}"}
    method, path, headers, body = gate.requests[-1]
    assert (method, path, headers["Content-Type"], guard.asked) == ("POST", "/tasks", "application/json", 1)
    assert json.loads(body) == {
        "application": "shop",
        "description": "Backout",
        "job": [{"type": "undoRolloutManifest", "revision": 2}],
        "trigger": {"type": "manual", "correlationId": "backout-op_1"},
    }


async def test_a_write_turned_away_at_the_door_is_sent_again_and_asks_the_guard_each_time(gate: Gate, client: Client) -> None:
    gate.will(429, '{"message": "Rate capacity exceeded"}')
    gate.will(503, '{"message": "Low priority requests are not currently being accepted"}')
    gate.will(200, {"ref": f"/tasks/{RUN}"})
    guard = CountingGuard()
    await post(client, guard)
    assert (guard.asked, len(gate.requests)) == (3, 3)
    for _ in range(9):
        gate.will(429, '{"message": "Rate capacity exceeded"}')
    with pytest.raises(TurnedAwayError):
        await post(client, guard)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_promise_3_a_write_that_somebody_may_have_heard_is_sent_once(gate: Gate, client: Client, status: int) -> None:
    gate.will(status, {"message": "Status: 500, Method: POST, URL: ORCA/ops, Message: timeout"})
    guard = CountingGuard()
    with pytest.raises(TemporaryError):
        await post(client, guard)
    assert (guard.asked, len(gate.requests)) == (1, 1)


async def test_promise_3_a_write_whose_answer_is_cut_off_or_empty_is_sent_once(gate: Gate, client: Client) -> None:
    gate.will(599)
    with pytest.raises(TemporaryError):
        await post(client, CountingGuard())
    gate.will(200)
    with pytest.raises(EmptyError):
        await post(client, CountingGuard())
    assert len(gate.requests) == 2


async def test_a_refused_write_is_a_refusal(gate: Gate, client: Client) -> None:
    gate.will(403, steps("21-fiat-permissions")[9]["response"]["body"])
    with pytest.raises(ServerRefusedError, match="required authorization: EXECUTE") as refused:
        await client.cancel_run(RUN, "going back", CountingGuard())
    assert refused.value.status == 403
    assert gate.requests[-1][1] == f"/pipelines/{RUN}/cancel?reason=going%20back&force=false"


async def test_while_nobody_listens_a_write_waits_and_then_gives_up(gate: Gate, client: Client, clock: FakeClock) -> None:
    await gate.stop()
    began, guard = clock.now(), CountingGuard()
    with pytest.raises(UnreachedError):
        await post(client, guard)
    assert guard.asked > 1
    assert (clock.now() - began).total_seconds() == 30


async def test_what_the_guard_refuses_is_not_sent(gate: Gate, client: Client) -> None:
    with pytest.raises(StoppedError):
        await post(client, CountingGuard(StoppedError("stopped")))
    assert not gate.requests


async def test_an_expression_is_never_sent(gate: Gate, client: Client) -> None:
    guard = CountingGuard()
    with pytest.raises(RefusedError, match="POST /tasks"):
        await post(client, guard, reason="alert ${#root.shutdown()}")
    with pytest.raises(RefusedError):
        await client.cancel_run(RUN, "${1/0}", guard)
    assert (guard.asked, gate.requests) == (0, [])


async def test_controls_of_a_run_go_where_they_belong_and_are_believed_to_be_heard(gate: Gate, client: Client) -> None:
    for _ in range(2):
        gate.will(200)
    await client.pause_run(RUN, CountingGuard())
    await client.resume_run(RUN, CountingGuard())
    await client.reject(RUN, RUN, "Backout op_1", CountingGuard())
    await client.restart_stage(RUN, RUN, CountingGuard())
    assert [(method, path, body) for method, path, _, body in gate.requests] == [
        ("PUT", f"/pipelines/{RUN}/pause", b""),
        ("PUT", f"/pipelines/{RUN}/resume", b""),
        ("PATCH", f"/pipelines/{RUN}/stages/{RUN}", b'{"judgmentStatus": "stop", "judgmentInput": "Backout op_1"}'),
        ("PUT", f"/pipelines/{RUN}/stages/{RUN}/restart", b"{}"),
    ]


async def test_a_pipeline_is_started_by_its_id_with_the_marker_and_parsed_without_being_started(gate: Gate, client: Client) -> None:
    gate.will(202, {"ref": f"/pipelines/{RUN}"})
    await client.start("shop", "p1", {"revision": "41"}, "backout-1", CountingGuard())
    method, path, _, body = gate.requests[-1]
    assert (method, path) == ("POST", "/pipelines/shop/p1")
    assert json.loads(body) == {"type": "manual", "parameters": {"revision": "41"}, "correlationId": "backout-1"}
    await client.plan(SAVED, {"revision": "41"}, "backout-1", CountingGuard())
    method, path, _, body = gate.requests[-1]
    assert (method, path) == ("POST", "/pipelines/start")
    assert json.loads(body) == {**SAVED, "plan": True, "trigger": {"type": "manual", "parameters": {"revision": "41"}, "correlationId": "backout-1"}}


async def test_a_value_that_is_an_expression_is_neither_parsed_nor_started(gate: Gate, client: Client) -> None:
    guard = CountingGuard()
    with pytest.raises(RefusedError, match="would evaluate"):
        await client.start("shop", "p1", {"revision": "${1/0}"}, "backout-1", guard)
    with pytest.raises(RefusedError, match="would evaluate"):
        await client.plan(SAVED, {"revision": "${1/0}"}, "backout-1", guard)
    assert (guard.asked, gate.requests) == (0, [])


SAVED = {"id": "p1", "updateTs": "7", "name": "deploy", "stages": [{"wait": "${ parameters.wait }"}]}


async def test_a_pipeline_is_saved_only_if_nobody_saved_it_since_it_was_read(gate: Gate, client: Client) -> None:
    gate.will(200)
    await client.save_pipeline({**SAVED, "triggers": []}, CountingGuard(), was=SAVED)
    method, path, _, body = gate.requests[-1]
    assert (method, path, json.loads(body)) == ("POST", "/pipelines?staleCheck=true", {**SAVED, "triggers": []})
    gate.will(400, {"message": "The submitted pipeline is stale.  submitted updateTs 7 does not match stored updateTs 8", "status": 400})
    with pytest.raises(ServerRefusedError, match="pipeline is stale"):
        await client.save_pipeline(SAVED, CountingGuard(), was=SAVED)


@pytest.mark.parametrize("missing", ["id", "updateTs"])
async def test_a_pipeline_that_cannot_be_compared_is_not_saved(gate: Gate, client: Client, missing: str) -> None:
    guard = CountingGuard()
    with pytest.raises(PermanentError, match="not saved"):
        await client.save_pipeline({**SAVED, missing: None}, guard, was=SAVED)
    assert (guard.asked, gate.requests) == (0, [])


async def test_an_expression_that_was_not_there_is_not_saved(gate: Gate, client: Client) -> None:
    with pytest.raises(RefusedError, match="would evaluate"):
        await client.save_pipeline({**SAVED, "description": "${1/0}"}, CountingGuard(), was=SAVED)
    assert gate.requests == []


async def test_a_cancel_is_believed_to_be_heard_and_no_more(gate: Gate, client: Client) -> None:
    gate.will(200)
    await client.cancel_task(RUN, CountingGuard())
    assert gate.requests[-1][:2] == ("PUT", f"/tasks/{RUN}/cancel")
    gate.will(200)
    await client.cancel_run(RUN, "going back", CountingGuard())
    assert len(gate.requests) == 2
