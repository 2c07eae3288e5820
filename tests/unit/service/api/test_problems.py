import re

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from aiohttp.typedefs import Handler

from service.api.problems import CODES, TYPE, as_problems, of_error
from service.domain.errors import (
    BackoutError,
    BusyError,
    ConflictError,
    NotFoundError,
    PermanentError,
    RefusedError,
    SettingsError,
    StoppedError,
    TemporaryError,
    TooLateError,
    UnavailableError,
)
from tests.unit.service.api import described
from tests.unit.service.api.world import ROOT


def failing(error: BaseException) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        raise error

    return handler


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFoundError("there is no hold hld_1"), 404, "not_found"),
        (ConflictError("it has ended"), 409, "conflict"),
        (BusyError("operation op_2 works on prod:checkout now"), 409, "target_busy"),
        (RefusedError("no right"), 409, "refused"),
        (StoppedError("everything is stopped"), 409, "refused"),
        (TooLateError("too late"), 409, "refused"),
        (UnavailableError("the store cannot be used"), 503, "store_unavailable"),
        (TemporaryError("argocd prod did not answer"), 503, "source_unavailable"),
        (PermanentError("argocd prod refused the credentials"), 502, "source_failed"),
    ],
)
async def test_errors_of_the_inside_keep_their_sentence(error: BackoutError, status: int, code: str) -> None:
    response = await as_problems(make_mocked_request("GET", "/v1/holds"), failing(error))
    assert isinstance(response, web.Response)
    assert (response.status, response.content_type) == (status, "application/problem+json")
    assert response.text is not None
    assert str(error) in response.text
    assert f'"type": "{TYPE}{code}"' in response.text
    assert ("Retry-After" in response.headers) == (status == 503)


@pytest.mark.parametrize("error", [KeyError("secret"), SettingsError("secret"), BackoutError("secret"), RuntimeError("secret")])
async def test_what_nobody_expected_tells_nothing_of_the_inside(error: Exception) -> None:
    response = await as_problems(make_mocked_request("GET", "/v1/holds"), failing(error))
    assert isinstance(response, web.Response)
    assert response.text is not None
    assert (response.status, "secret" in response.text, "internal_error" in response.text) == (500, False, True)


async def test_a_caller_who_went_away_is_not_answered() -> None:
    with pytest.raises(ConnectionResetError):
        await as_problems(make_mocked_request("GET", "/v1/holds"), failing(ConnectionResetError()))


async def test_what_aiohttp_refuses_is_a_problem_too() -> None:
    for error, code in ((web.HTTPNotFound(), "not_found"), (web.HTTPRequestEntityTooLarge(1), "too_large"), (web.HTTPExpectationFailed(), "invalid_request")):
        response = await as_problems(make_mocked_request("POST", "/v1/plans"), failing(error))
        assert isinstance(response, web.Response)
        assert response.text is not None
        assert f'"code": "{code}"' in response.text


def test_every_code_is_described_and_documented() -> None:
    described_codes = described.document()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert set(described_codes) == set(CODES)
    sections = re.findall(r"^## `(\w+)` · (\d+)$", (ROOT / "docs" / "problems.md").read_text(), re.MULTILINE)
    assert {code: int(status) for code, status in sections} == {code: status for code, (status, _) in CODES.items()}
    assert len(sections) == len(CODES)


def test_every_code_that_is_raised_is_one_of_them() -> None:
    raised = set()
    for file in (ROOT / "service" / "api").rglob("*.py"):
        raised |= set(re.findall(r"ProblemError\(\s*\"(\w+)\"", file.read_text()))
    assert raised <= set(CODES)
    assert set(CODES) - raised == set()
    assert of_error(RefusedError("x")).code in CODES
