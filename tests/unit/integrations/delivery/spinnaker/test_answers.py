from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations.delivery.spinnaker.answers import (
    LARGE,
    RATE_WINDOW,
    EmptyError,
    GoneError,
    ServerRefusedError,
    TurnedAwayError,
    judge,
    pause_of,
    words_of,
)
from integrations.http import Answer
from service.domain.errors import BackoutError, PermanentError, RefusedError, TemporaryError
from tests.unit.integrations.delivery.spinnaker.recordings import answer, steps

NOW = datetime(2026, 11, 27, 14, 0, tzinfo=UTC)


def made(status: int, body: bytes = b"", **headers: str) -> Answer:
    return Answer(status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}, body=body, url="https://gate.example")


def recorded(name: str, number: int) -> Answer:
    return answer(steps(name)[number])


@pytest.mark.parametrize(
    ("name", "number", "kind", "words"),
    [
        ("02-start-errors", 0, GoneError, "Pipeline configuration not found"),
        ("02-start-errors", 5, ServerRefusedError, "Required parameter revision is missing"),
        ("02-start-errors", 10, ServerRefusedError, "The encoded slash character is not allowed"),
        ("02-start-errors", 11, ServerRefusedError, "Failed to read request"),
        ("02-start-errors", 15, ServerRefusedError, "is not supported"),
        ("03a-cancel", 13, GoneError, "404"),
        ("09f-gate-swallows-orca-errors", 0, EmptyError, "without a body"),
        ("09f-gate-swallows-orca-errors", 10, ServerRefusedError, "403"),
        ("09f-gate-swallows-orca-errors", 16, TemporaryError, "503"),
        ("09f-gate-swallows-orca-errors", 22, TemporaryError, "429"),
        ("09f-gate-swallows-orca-errors", 34, TemporaryError, "Failed to process response body"),
        ("10a-auth-basic", 0, PermanentError, "login page"),
        ("10a-auth-basic", 7, PermanentError, "login page"),
        ("10a-auth-basic", 14, GoneError, "No orchestration found for nope"),
        ("10a-auth-basic", 17, GoneError, "No static resource"),
        ("10a-auth-basic", 18, PermanentError, "the API token is unknown, expired or revoked"),
        ("10a-auth-basic", 34, ServerRefusedError, "Access is denied"),
        ("10b-rate-limit", 8, TurnedAwayError, "Rate capacity exceeded"),
        ("10b-rate-limit", 10, TurnedAwayError, "Rate capacity exceeded"),
        ("10c-auth-header", 0, PermanentError, "header mode"),
        ("11h-task-bad-input", 3, TemporaryError, "500"),
        ("21-fiat-permissions", 9, ServerRefusedError, "required authorization: EXECUTE"),
        ("21-fiat-permissions", 12, ServerRefusedError, "Cannot delete a running pipeline"),
        ("21-fiat-permissions", 23, EmptyError, "a right that we do not have"),
    ],
)
async def test_recorded_errors_mean_what_they_mean(name: str, number: int, kind: type[BackoutError], words: str) -> None:
    with pytest.raises(kind) as raised:
        await judge(recorded(name, number), "GET /x", now=NOW)
    assert type(raised.value) is kind
    assert words in str(raised.value)
    assert "GET /x" in str(raised.value)


RECORDINGS = (
    "02-start-errors",
    "03a-cancel",
    "07-correlation",
    "10a-auth-basic",
    "10b-rate-limit",
    "10c-auth-header",
    "11a-undo-success",
    "21-fiat-permissions",
)


@pytest.mark.parametrize("name", RECORDINGS)
async def test_every_recorded_success_is_one_and_no_recorded_error_is(name: str) -> None:
    for step in steps(name):
        try:
            reply = await judge(answer(step), "x", now=NOW, may_be_empty=True)
        except BackoutError:
            assert step["response"]["status"] >= 300
        else:
            assert step["response"]["status"] < 300
            assert reply.body == step["response"]["body"]


async def test_an_empty_200_is_only_believed_where_nothing_is_what_is_answered() -> None:
    cancelled = recorded("03a-cancel", 1)
    assert (await judge(cancelled, "PUT", now=NOW, may_be_empty=True)).body is None
    with pytest.raises(EmptyError):
        await judge(cancelled, "PUT", now=NOW)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (made(200, b"<html>log in</html>", content_type="text/html;charset=UTF-8"), PermanentError),
        (made(503, b"<html>down</html>", content_type="text/html"), TemporaryError),
        (made(404, b"<html>none</html>", content_type="text/html"), PermanentError),
        (made(200, b"a: 1", content_type="application/x-yaml"), PermanentError),
        (made(200, b"{", content_type="application/json"), PermanentError),
        (made(303, location="https://elsewhere.example/login"), PermanentError),
        (made(403, b'{"message":"Access Denied"}', content_type="application/json"), PermanentError),
        (made(502, b"bad gateway", content_type="text/plain"), TemporaryError),
        (made(504), TemporaryError),
        (made(418, b"teapot"), TemporaryError),
        (made(422, b'{"error":"no"}', content_type="application/json"), RefusedError),
    ],
    ids=lambda given: str(getattr(given, "status", "")),
)
async def test_what_no_recording_shows_is_never_taken_for_good(given: Answer, kind: type[BackoutError]) -> None:
    with pytest.raises(kind):
        await judge(given, "GET /x", now=NOW, may_be_empty=True)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"message":"m","detail":"d","error":"e"}', "m"),
        (b'{"message":null,"detail":"d","error":"e"}', "d"),
        (b'{"message":"","error":"e"}', "e"),
        (b'{"message":{"nested":1},"title":"t"}', "t"),
        (b'{"failureCause":"x","error":"Forbidden","status":403}', "Forbidden"),
        (b'["a"]', '["a"]'),
        (b"plain words\nand more", "plain words"),
        (b"", ""),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_words_are_found_in_every_shape(body: bytes, words: str) -> None:
    assert words_of(made(500, body)) == words


def test_long_words_are_cut() -> None:
    assert len(words_of(made(500, b'{"message":"' + b"x" * 5000 + b'"}'))) == 1000


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({}, RATE_WINDOW),
        ({"x-ratelimit-reset": "Thu, 01 Jan 1970 00:00:07 GMT"}, RATE_WINDOW),
        ({"x-ratelimit-reset": "Fri, 27 Nov 2026 14:00:04 GMT"}, timedelta(seconds=4)),
        ({"x-ratelimit-reset": "Fri, 27 Nov 2026 18:00:00 GMT"}, timedelta(seconds=60)),
        ({"retry-after": "Fri, 27 Nov 2026 14:00:03 GMT"}, timedelta(seconds=3)),
        ({"retry-after": "soon"}, RATE_WINDOW),
        ({"retry-after": "Fri, 27 Nov 2026 14:00:03 -0000"}, timedelta(seconds=3)),
        ({"x-ratelimit-reset": "Fri, 27 Nov 2026 15:00:05 GMT", "date": "Fri, 27 Nov 2026 15:00:00 GMT"}, timedelta(seconds=5)),
    ],
    ids=str,
)
def test_a_pause_is_as_long_as_gate_says_and_its_1970_is_not_believed(headers: dict[str, str], pause: timedelta) -> None:
    assert pause_of(Answer(status=429, headers=headers, body=b"", url=""), NOW) == pause


async def test_only_gates_own_filter_proves_that_nothing_happened() -> None:
    with pytest.raises(TurnedAwayError):
        await judge(made(503, b'{"message": "Low priority requests are not currently being accepted"}'), "POST", now=NOW)
    with pytest.raises(TemporaryError) as backend:
        await judge(made(503, b'{"message": "Low priority requests are not currently being accepted"}', content_type="application/json"), "POST", now=NOW)
    assert not isinstance(backend.value, TurnedAwayError)
    for other in (  # a limiter behind Gate, and proxies before it: whether Gate heard of it is not known
        made(429, b'{"message": "clouddriver: Rate capacity exceeded"}', content_type="application/json"),
        made(429, b"Too Many Requests", content_type="text/plain"),
        made(503, b"upstream reset", content_type="text/plain"),
        made(503),
        made(408, b'{"message": "timeout"}', content_type="application/json"),
    ):
        with pytest.raises(TemporaryError) as unknown:
            await judge(other, "POST", now=NOW)
        assert not isinstance(unknown.value, TurnedAwayError)


async def test_what_does_not_say_that_it_is_json_is_not_read_as_json() -> None:
    for media in ("text/plain", "application/octet-stream", ""):
        with pytest.raises(PermanentError, match="is this Gate"):
            await judge(made(200, b'{"ref": "/tasks/1"}', **({"content_type": media} if media else {})), "GET /x", now=NOW)
    assert (await judge(made(200, b'{"a": 1}', content_type="application/hal+json;charset=UTF-8"), "GET /x", now=NOW)).body == {"a": 1}


async def test_an_answer_tells_gates_clock_and_a_large_one_is_read_too() -> None:
    body = b'{"a":"' + b"x" * LARGE + b'"}'
    reply = await judge(made(200, body, date="Fri, 27 Nov 2026 14:00:05 GMT", content_type="application/json"), "GET", now=NOW)
    assert reply.server_time == NOW + timedelta(seconds=5)
    assert len(reply.body["a"]) == LARGE
    assert reply.digest.startswith("sha256:")
    nobody: Any = await judge(made(200, b"null", content_type="application/json"), "GET", now=NOW)
    assert (nobody.body, nobody.server_time) == (None, None)
