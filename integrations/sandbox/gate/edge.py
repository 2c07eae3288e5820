"""Gate's HTTP edge: routes, bodies, who calls, the limiter, error shapes, and the faults that live on the wire (contract 2).

A handler gets a `Call` and answers a `Reply`, or raises what it refuses with; it never sees aiohttp.
"""

import json
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from urllib.parse import unquote

import yaml
from aiohttp import web

from integrations.sandbox.gate.access import PUBLIC, Access, TurnedAwayError, http_date
from integrations.sandbox.gate.ids import Ids
from integrations.sandbox.gate.refusals import BackendError, ProblemError, RefusedError, passed_on
from integrations.sandbox.gate.settings import Faults, Json, Profile
from integrations.sandbox.gate.timeline import Timeline

JSON: Final = "application/json;charset=UTF-8"
YAML: Final = "application/x-yaml"
PLAIN_JSON: Final = "application/json"
"""Of the health endpoint alone, whose answers bear no request id either."""
_EPOCH: Final = "Thu, 01 Jan 1970 00:00:10 GMT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: parts of the path, query, the body that was read ({} for none), the caller ("" for nobody), and where its run comes from."""

    parts: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    has_body: bool
    user: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer. `body` None is an empty one."""

    status: int = 200
    body: Any = None
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


SERVED_KEPT: Final = 100_000

Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method and path that Gate serves. `{name}` in the path is one segment. `needs_body`: an absent body is refused by the framework."""

    method: str
    path: str
    handle: Handler
    needs_body: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One request that was answered: `user` is who Gate took the caller for, `status` 0 that the connection was closed."""

    method: str
    path: str
    query: str
    user: str
    status: int


class Edge:
    """Serves routes."""

    def __init__(self, *, access: Access, faults: Faults, profile: Profile, timeline: Timeline, ids: Ids, routes: Sequence[Route]) -> None:
        self._access = access
        self._faults = faults
        self._profile = profile
        self._timeline = timeline
        self._ids = ids
        self._routes = [(route, re.compile("".join(_pattern(part) for part in route.path.split("/")[1:]))) for route in routes]
        self.served: deque[Served] = deque(maxlen=SERVED_KEPT)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        self._timeline.catch_up()
        if self._faults.drop_requests > 0:
            self._faults.drop_requests -= 1
            return self._hang_up(request)
        raw = request.rel_url.raw_path
        if "%2F" in raw or "%2f" in raw:
            body = {"error": "Invalid URI: [The encoded slash character is not allowed]", "timestamp": self._timeline.millis, "status": 400}
            return web.Response(status=400, body=_encoded(body), headers={"Content-Type": JSON})
        user, reply, known = await self._answer(request, raw)
        self._timeline.catch_up()
        if request.method not in {"GET", "HEAD"} and self._faults.lose_answers > 0:
            self._faults.lose_answers -= 1
            return self._hang_up(request)
        self.served.append(Served(method=request.method, path=raw, query=request.rel_url.raw_query_string, user=user, status=reply.status))
        headers = dict(reply.headers)
        if known and reply.content_type != PLAIN_JSON:
            headers["X-SPINNAKER-REQUEST-ID"] = request.headers.get("X-SPINNAKER-REQUEST-ID") or self._ids.uuid()
        if reply.body is None:
            headers["Content-Length"] = "0"
            return _Untyped(status=reply.status, headers=headers)
        if reply.content_type:
            headers["Content-Type"] = reply.content_type
        if reply.content_type == JSON and request.headers.get("Accept", "") == YAML:
            headers["Content-Type"] = f"{YAML};charset=UTF-8"
            return _Untyped(status=reply.status, body=as_yaml(reply.body), headers=headers)
        return _Untyped(status=reply.status, body=_encoded(reply.body), headers=headers)

    async def _answer(self, request: web.Request, raw: str) -> tuple[str, Reply, bool]:
        """Who called, the answer, and whether it bears a request id."""
        path, headers = unquote(raw), request.headers
        limits: dict[str, str] = {}
        user = ""
        try:
            user = self._access.authenticate(path, headers)
            limits, too_many = self._access.count(user)
            if too_many:
                return user, Reply(status=429, body={"message": "Rate capacity exceeded"}, content_type="", headers=limits), False
            if self._faults.low_priority_refused and headers.get("X-Spinnaker-Priority", "low").lower() == "low" and path not in PUBLIC:
                retry = {**limits, "Retry-After": http_date(self._timeline.now + timedelta(seconds=60))}
                return (
                    user,
                    Reply(status=503, body={"message": "Low priority requests are not currently being accepted"}, content_type="", headers=retry),
                    False,
                )
            reply = await self._route(request, raw, user)
        except TurnedAwayError as away:
            return user, Reply(status=away.status, headers=away.headers), False
        except RefusedError as refused:
            more = {}
            if refused.status == 429 and self._profile.capacity is not None:
                more = {"X-RateLimit-Capacity": "-1", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": _EPOCH}
            reply = Reply(status=refused.status, body=refused.body(self._stamp()), headers=more)
        except BackendError as error:  # a handler that passes it on as it came
            told = passed_on(error, request.method, raw)
            reply = Reply(status=told.status, body=told.body(self._stamp()))
        except ProblemError as problem:
            allow = {"Allow": problem.allow} if problem.allow else {}
            reply = Reply(status=problem.status, body=problem.body(raw), content_type="application/problem+json", headers={**limits, **allow})
            return user, reply, not problem.allow
        return user, Reply(status=reply.status, body=reply.body, content_type=reply.content_type, headers={**limits, **reply.headers}), True

    async def _route(self, request: web.Request, raw: str, user: str) -> Reply:
        found = [(route, pattern.fullmatch(raw)) for route, pattern in self._routes]
        matching = [(route, match) for route, match in found if match is not None]
        if not matching:
            raise ProblemError(404, f"No static resource {unquote(raw).lstrip('/')}.")
        chosen = next(((route, match) for route, match in matching if route.method == request.method), None)
        if chosen is None:
            allowed = ",".join(dict.fromkeys(route.method for route, _ in matching))
            raise ProblemError(405, f"Method '{request.method}' is not supported.", allow=allowed)
        route, match = chosen
        content = await request.read()
        body = _read(content, request.headers.get("Content-Type", ""), needed=route.needs_body) if request.method in {"POST", "PUT", "PATCH"} else {}
        origin = "deck" if request.headers.get("X-RateLimit-App") == "deck" else "api"
        parts = {name: unquote(value) for name, value in match.groupdict().items()}
        call = Call(parts=parts, query=dict(request.query), body=body, has_body=bool(content.strip()), user=user or "anonymous", origin=origin)
        return await route.handle(call)

    def _hang_up(self, request: web.Request) -> web.Response:
        self.served.append(Served(method=request.method, path=request.rel_url.raw_path, query=request.rel_url.raw_query_string, user="", status=0))
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    def _stamp(self) -> str:
        now = self._timeline.now
        return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}+00:00"


def _pattern(part: str) -> str:
    return f"/(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else f"/{re.escape(part)}"


def _read(content: bytes, kind: str, *, needed: bool) -> Any:
    if not content.strip():
        if needed:
            raise ProblemError(400, "Failed to read request")
        return {}
    media = kind.partition(";")[0].strip().lower()
    if media and media != "application/json":
        raise ProblemError(415, f"Content-Type '{media};charset=UTF-8' is not supported.")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ProblemError(400, "Failed to read request") from error
    if not isinstance(body, dict):
        raise ProblemError(400, "Failed to read request")
    return body


def _encoded(body: Json | list[Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), default=_private).encode()


def _private(value: object) -> str:
    raise TypeError(f"{type(value).__name__} is not JSON")


class _Text(str):
    """A value that is written in quotation marks."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(_Text, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"'))


def as_yaml(body: Any) -> bytes:
    """What Gate answers to those who ask for YAML."""

    def marked(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: marked(value[key]) for key in sorted(value)}
        if isinstance(value, list):
            return [marked(one) for one in value]
        return _Text(value) if isinstance(value, str) else value

    return yaml.dump(marked(body), Dumper=_Dumper, explicit_start=True, sort_keys=False).encode()


class _Untyped(web.Response):
    """A response whose headers are its own: aiohttp would name a content type where Gate names none."""

    async def _prepare_headers(self) -> None:
        typed = "Content-Type" in self.headers
        await super()._prepare_headers()
        if not typed:
            self.headers.popall("Content-Type", None)
