import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from integrations.sandbox.ports import spare_port
from service.cli.client import AnswerLost, Problem, Service, Unreachable, problem, read_token, segment
from service.cli.exit_codes import ExitCode
from service.cli.failure import CommandFailed
from tests.unit.service.cli import contract, documents
from tests.unit.service.cli.fake_service import FakeService, Said, refusal

SECRET = "eyJhbGciOi.SECRET.x"


def client(service: FakeService, token: str = "") -> Service:
    return Service(service.url, token, sleep=lambda _: None)


def test_the_token_goes_along_and_the_answer_comes_back(service: FakeService) -> None:
    service.token = SECRET
    reply = client(service, SECRET).get("/v1/targets")
    assert reply.document["targets"][0]["id"] == "prod:basket"
    assert service.heard[0].headers["Authorization"] == f"Bearer {SECRET}"


def test_a_target_is_one_percent_encoded_segment(service: FakeService) -> None:
    client(service).get(f"/v1/targets/{segment(documents.TARGET)}/rollback-check")
    assert service.heard[0].path == "/v1/targets/prod%3Ateam-a%2Forders/rollback-check"


def test_each_request_that_creates_has_a_fresh_idempotency_key(service: FakeService) -> None:
    for _ in range(2):
        client(service).post("/v1/plans", {"target": documents.TARGET})
    keys = {one.headers["Idempotency-Key"] for one in service.heard}
    assert len(keys) == 2


def test_a_lost_answer_is_asked_for_once_more_with_the_same_key(service: FakeService) -> None:
    answers = iter([Said(drop=True), Said(status=202, document=documents.operation())])
    service.on("POST", "/v1/operations", lambda _: next(answers))
    assert client(service).post("/v1/operations", {"target": documents.TARGET}).document["id"] == documents.OPERATION
    first, second = service.asked("POST", "/v1/operations")
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]


def test_an_answer_that_is_lost_twice_is_a_failure_that_does_not_claim_to_know(service: FakeService) -> None:
    service.on("POST", "/v1/operations", lambda _: Said(drop=True))
    with pytest.raises(AnswerLost, match="gave no answer"):
        client(service).post("/v1/operations", {"target": documents.TARGET})
    assert len(service.heard) == 2


def test_no_service_says_how_to_start_one() -> None:
    address = f"http://127.0.0.1:{spare_port()}"
    with pytest.raises(Unreachable) as failed:
        Service(address, "").get("/v1/targets")
    assert failed.value.cause == f"no service at {address} (connection refused)"
    assert failed.value.next_step == "start it with `backout serve --config backout.yaml`, or set --server"
    assert failed.value.code is ExitCode.ERROR


def test_a_service_that_is_too_slow_gave_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(AnswerLost, match="it took too long"):
        Service(f"http://127.0.0.1:{silent.getsockname()[1]}", "").get("/v1/targets", patience=0.05)


def test_a_redirect_is_not_followed_for_the_token_would_go_along(service: FakeService) -> None:
    service.on("GET", "/v1/targets", lambda _: Said(status=307, text="", headers={"Location": "http://elsewhere.example.com/"}))
    with pytest.raises(CommandFailed, match=r"sends the request on to http://elsewhere\.example\.com/"):
        client(service, SECRET).get("/v1/targets")
    assert len(service.heard) == 1


@pytest.mark.parametrize("address", ["127.0.0.1:8080", "ftp://a", "http://", "http://a:b", "http://a/?x=1", ""])
def test_what_is_no_address_is_a_usage_error(address: str) -> None:
    with pytest.raises(CommandFailed, match="is no address") as failed:
        Service(address, "")
    assert failed.value.code is ExitCode.USAGE


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(CommandFailed) as failed:
        Service(f"http://user:{SECRET}@127.0.0.1", "")
    assert SECRET not in f"{failed.value} {failed.value.next_step}"


def test_something_else_than_backout_is_said_to_be_that(service: FakeService) -> None:
    service.on("GET", "/v1/targets", lambda _: Said(status=404, text="404 page not found"))
    with pytest.raises(CommandFailed, match="does not know this request") as failed:
        client(service).get("/v1/targets")
    assert "is it Backout" in failed.value.next_step


def test_json_that_is_none_is_a_failure(service: FakeService) -> None:
    service.on("GET", "/v1/targets", lambda _: Said(text="{", headers={"Content-Type": "application/json"}))
    with pytest.raises(CommandFailed, match="not the JSON it claims to be"):
        client(service).get("/v1/targets")


@pytest.mark.parametrize(
    ("status", "code", "exit_code", "advice"),
    [
        (400, "invalid_request", 1, "--help"),
        (401, "invalid_token", 1, "backout token create"),
        (403, "missing_scope", 1, "token with that scope"),
        (403, "targets_not_covered", 1, "speaks for these targets"),
        (404, "not_found", 1, "backout targets"),
        (409, "conflict", 1, "decide anew"),
        (409, "refused", 3, "nothing was changed"),
        (409, "no_way_back", 3, "--all"),
        (409, "request_in_flight", 1, "backout operations"),
        (503, "store_unavailable", 1, "backout doctor"),
        (502, "source_unavailable", 5, "backout doctor"),
        (500, "internal_error", 1, "log says more"),
    ],
)
def test_a_problem_is_the_services_sentence_and_a_next_step(service: FakeService, status: int, code: str, exit_code: int, advice: str) -> None:
    service.on("GET", "/v1/targets", lambda _: refusal(status, code, "the sentence"))
    with pytest.raises(Problem) as failed:
        client(service, SECRET).get("/v1/targets")
    assert (failed.value.cause, failed.value.status, failed.value.problem_code) == ("the sentence", status, code)
    assert advice in failed.value.next_step
    assert failed.value.code == exit_code
    assert SECRET not in f"{failed.value.cause} {failed.value.next_step}"


@pytest.mark.parametrize(
    ("status", "code", "detail", "cause", "advice"),
    [
        (404, "not_found", "there is no target prod:x; backout targets lists them", "there is no target prod:x", "`backout targets` lists those that"),
        (401, "invalid_token", "this needs a bearer token; make one with: backout token create", "this needs a bearer token", "make one with `backout token"),
        (404, "not_found", "there is no operation op_1", "there is no operation op_1", "`backout targets`, `operations` and `holds` list"),
    ],
)
def test_the_next_step_is_said_once(status: int, code: str, detail: str, cause: str, advice: str) -> None:
    failed = problem(status, {"code": code, "detail": detail}, "http://127.0.0.1:1")
    assert failed.cause == cause
    assert failed.next_step.startswith(advice)


def test_a_busy_target_names_the_operation_to_follow() -> None:
    told = documents.problem(409, "target_busy", "an operation is alive", operation_url=f"/v1/operations/{documents.OPERATION}")
    contract.check_component(told, "Problem")
    failed = problem(409, told, "http://x")
    assert f"backout watch {documents.OPERATION}" in failed.next_step


def test_a_bad_request_names_what_is_wrong_in_it() -> None:
    told = documents.problem(400, "invalid_request", "the body is wrong.", errors=[{"pointer": "/target", "detail": "too long"}])
    contract.check_component(told, "Problem")
    assert problem(400, told, "http://x").cause == "the body is wrong (/target: too long)"
    assert problem(400, {**told, "detail": "/target: too long"}, "http://x").cause == "/target: too long"


def test_overload_says_when_to_try_again_and_a_defect_where_the_log_is() -> None:
    assert "in 7 s" in problem(503, documents.problem(503, "overloaded", "too much", retry_after_s=7), "http://x").next_step
    assert "trace abc" in problem(500, documents.problem(500, "internal_error", "a defect", trace_id="abc"), "http://x").next_step


@pytest.mark.parametrize(("status", "said"), [(401, "does not accept the token"), (403, "does not allow this"), (500, "HTTP 500")])
def test_a_refusal_without_words_gets_some(status: int, said: str) -> None:
    assert said in problem(status, None, "http://x").cause


def test_every_problem_code_of_the_contract_that_a_person_can_meet_has_advice() -> None:
    codes = set(contract.openapi()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"])
    of_other_callers = {"invalid_alert", "method_not_allowed", "too_large", "unsupported_media_type", "idempotency_key_reused", "internal_error"}
    silent = {code for code in codes if "log says more" in problem(500, documents.problem(500, code, "x"), "http://x").next_step}
    assert silent == of_other_callers


def test_the_token_is_read_from_the_environment_first_then_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{SECRET}\n", encoding="ascii")
    assert read_token({}) == ""
    assert read_token({"BACKOUT_TOKEN_FILE": str(file)}) == SECRET
    assert read_token({"BACKOUT_TOKEN": " other ", "BACKOUT_TOKEN_FILE": str(file)}) == "other"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda _: None, "no such file"),
        (lambda file: file.write_bytes(b""), "is empty"),
        (lambda file: file.write_bytes(f"{SECRET} and more".encode()), "holds no token"),
        (lambda file: file.write_bytes(f"{SECRET}\nX-Evil: 1".encode()), "holds no token"),
        (lambda file: file.write_bytes(SECRET.encode() + b"\xff"), "is not text"),
        (lambda file: file.mkdir(), "directory"),
    ],
)
def test_a_token_file_that_holds_none_is_named_and_its_text_never_repeated(tmp_path: Path, make: Callable[[Path], Any], said: str) -> None:
    file = tmp_path / "token"
    make(file)
    with pytest.raises(CommandFailed, match=said) as failed:
        read_token({"BACKOUT_TOKEN_FILE": str(file)})
    assert str(file) in failed.value.cause
    assert "SECRET" not in f"{failed.value.cause} {failed.value.next_step}"
    assert not file.exists() or not stat.S_ISREG(file.stat().st_mode) or failed.value.__cause__ is None


def test_the_fake_would_notice_a_request_that_openapi_does_not_know() -> None:
    for method, path, query, body in (
        ("post", "/v1/plans", {}, {"target": documents.TARGET, "more": 1}),
        ("get", "/v1/operations", {"colour": "red"}, None),
        ("get", "/v1/operations", {"limit": "501"}, None),
        ("get", "/v1/nothing", {}, None),
        ("delete", "/v1/targets", {}, None),
    ):
        with pytest.raises(AssertionError):
            contract.check_request(method, path, query, body)


def test_the_fake_would_notice_an_answer_that_openapi_does_not_know() -> None:
    with pytest.raises(AssertionError, match="targets"):
        contract.check_answer("get", "/v1/targets", 200, {"as_of": "2026-05-04T12:01:07Z", "complete": True, "instances": []})


def test_the_base_path_of_the_address_is_kept(service: FakeService) -> None:
    with pytest.raises(CommandFailed):
        Service(f"{service.url}/behind/", "").get("/v1/stop")
    assert service.faults == ["openapi.yaml has no path for /behind/v1/stop"]
    service.faults.clear()
