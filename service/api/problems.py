"""Everything that can be wrong with a request, as problem documents (RFC 9457), and the one place where errors become them.

docs/problems.md explains each code.
Never tells internals: what nobody expected is `internal_error`, and its details are in the log only.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

from service.domain.errors import BackoutError, BusyError, ConflictError, NotFoundError, PermanentError, RefusedError, TemporaryError, UnavailableError
from service.domain.model import Json

TYPE = "https://backout.dev/problems/"
TRACE_ID = web.RequestKey("trace_id", str)
"""Set on the request as soon as an operation is known, so that a problem can name its trace."""

RETRY_AFTER = 2
"""Seconds after which asking again may help when the store, the keys or an outside system could not be reached."""

CODES: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "invalid_request": (400, "The request is not understood"),
        "invalid_cursor": (400, "The cursor is not one of this list"),
        "invalid_alert": (400, "The body is no webhook of this sender"),
        "invalid_token": (401, "No valid credential"),
        "missing_scope": (403, "The token lacks a scope"),
        "targets_not_covered": (403, "The token does not speak for all targets"),
        "not_found": (404, "There is no such thing"),
        "method_not_allowed": (405, "This method is not for this address"),
        "target_busy": (409, "Another operation is alive for this target"),
        "conflict": (409, "Its state does not allow this"),
        "refused": (409, "Refused"),
        "no_way_back": (409, "There is no way back to plan"),
        "request_in_flight": (409, "The first request with this key is still running"),
        "too_large": (413, "The body is too large"),
        "unsupported_media_type": (415, "The body is not JSON"),
        "idempotency_key_reused": (422, "The key was used with another request"),
        "internal_error": (500, "A defect of Backout"),
        "source_failed": (502, "An outside system cannot be used"),
        "source_unavailable": (503, "An outside system does not answer"),
        "overloaded": (503, "Too many deliveries at once"),
        "too_many_streams": (503, "Too many streams are open"),
        "store_unavailable": (503, "The store cannot be used"),
        "keys_unreadable": (503, "The keys that tokens are checked with cannot be read"),
        "stop_file": (503, "The stop file cannot be changed"),
    }
)
"""code -> HTTP status, title."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """One thing that is wrong in the body: a JSON pointer and a sentence."""

    pointer: str
    detail: str


class ProblemError(Exception):
    """Ends a request with a problem document. `code` is one of CODES; `retry_after` seconds; `operation_url` leads to what is in the way."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[Wrong] = (),
        headers: Mapping[str, str] | None = None,
        retry_after: int | None = None,
        operation_url: str = "",
        trace_id: str = "",
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.retry_after = retry_after
        self.operation_url = operation_url
        self.trace_id = trace_id


def response(request: web.Request, problem: ProblemError) -> web.Response:
    """The problem as an answer. A body that may still be coming in is not waited for: the connection is closed when it is too large."""
    status, title = CODES[problem.code]
    body: dict[str, Json] = {
        "type": TYPE + problem.code,
        "title": title,
        "status": status,
        "code": problem.code,
        "detail": problem.detail,
        "instance": request.path,
    }
    if problem.errors:
        body["errors"] = [{"pointer": one.pointer, "detail": one.detail} for one in problem.errors]
    trace_id = problem.trace_id or request.get(TRACE_ID, "")
    if trace_id:
        body["trace_id"] = trace_id
    if problem.operation_url:
        body["operation_url"] = problem.operation_url
    headers = CIMultiDict({"Cache-Control": "no-store", **problem.headers})
    if problem.retry_after is not None:
        body["retry_after_s"] = problem.retry_after
        headers["Retry-After"] = str(problem.retry_after)
    raw = json.dumps(body, ensure_ascii=False).encode() + b"\n"
    return web.Response(status=status, body=raw, headers=headers, content_type="application/problem+json")


def of_error(error: BackoutError) -> ProblemError:
    """What an error of the inner layers means to a caller; its sentence is written for people and carries no secrets."""
    match error:
        case NotFoundError():
            return ProblemError("not_found", str(error))
        case BusyError():
            return ProblemError("target_busy", str(error))
        case ConflictError():
            return ProblemError("conflict", str(error))
        case RefusedError():
            return ProblemError("refused", str(error))
        case UnavailableError():
            return ProblemError("store_unavailable", str(error), retry_after=RETRY_AFTER)
        case TemporaryError():
            return ProblemError("source_unavailable", str(error), retry_after=RETRY_AFTER)
        case PermanentError():
            return ProblemError("source_failed", str(error))
        case _:
            return ProblemError("internal_error", "Something unexpected happened; the log of the service tells what.")


def of_http(error: web.HTTPException) -> ProblemError:
    """What aiohttp itself has to say: no such route, a method that is not there, a body that is too large."""
    match error:
        case web.HTTPNotFound():
            return ProblemError("not_found", "there is nothing at this address; /openapi.yaml lists what there is")
        case web.HTTPMethodNotAllowed():
            return ProblemError("method_not_allowed", f"allowed here: {', '.join(sorted(error.allowed_methods))}", headers={"Allow": error.headers["Allow"]})
        case web.HTTPRequestEntityTooLarge():
            return ProblemError("too_large", "the body is larger than is taken here", headers={"Connection": "close"})
        case _:
            return ProblemError("invalid_request", error.reason or "the request cannot be read")


@web.middleware
async def as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong below becomes a problem document."""
    try:
        return await handler(request)
    except ProblemError as problem:
        return response(request, problem)
    except BackoutError as error:
        mapped = of_error(error)
        if mapped.code == "internal_error":
            _log.exception("request failed", method=request.method, path=request.path)
        return response(request, mapped)
    except web.HTTPException as error:
        return response(request, of_http(error))
    except ConnectionError:  # the caller went away while its body was read: there is nobody to answer
        raise
    except Exception:  # noqa: BLE001  a request's top: the log gets everything, the caller learns nothing of the inside
        _log.exception("request failed", method=request.method, path=request.path)
        return response(request, ProblemError("internal_error", "Something unexpected happened; the log of the service tells what."))
