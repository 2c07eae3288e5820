"""What every request goes through, in reading order: who calls, may they, is the question understood, run it (once), write the answer down.

A route says in one line which scope, query parameters and body it takes; its handler holds what is its own.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ValidationError

from service.api.auth import NOBODY, Principal, authenticate
from service.api.bodies import Keyed
from service.api.parts import Parts
from service.api.problems import RETRY_AFTER, TRACE_ID, ProblemError, Wrong
from service.api.views import Addresses
from service.domain.errors import ConflictError
from service.domain.model import Json, Operation, TargetId

BODY_LIMIT = 64 << 10
"""Bytes of a JSON body; only the alert intake takes more."""

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a handler answers: a JSON body with its status and headers."""

    body: Json
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that was let in. `query` holds only names that the route knows."""

    request: web.Request
    parts: Parts
    caller: Principal
    query: Mapping[str, str]

    @property
    def addresses(self) -> Addresses:
        """Where links lead."""
        return Addresses(public_url=self.parts.public_url, trace_link=self.parts.trace_link)

    @property
    def id(self) -> str:
        """The `{id}` of the address."""
        return self.request.match_info["id"]

    def target(self) -> TargetId:
        """The `{target}` of the address, if the caller may see it; one that it may not see is not there."""
        return self.seen(parse_target(self.request.match_info["target"], "the address"))

    def seen(self, target: TargetId) -> TargetId:
        """The same target; 404 when the caller may not see it."""
        if not self.caller.sees(target):
            raise no_target(target, self.caller)
        return target

    def target_filter(self) -> TargetId | None:
        """The target of `?target=`."""
        text = self.query.get("target")
        return None if text is None else self.seen(parse_target(text, "target"))

    def limit(self, *, default: int = 50) -> int:
        """`?limit=`, 1 to 500."""
        return number(self.query, "limit", default=default, low=1, high=500)

    def after(self) -> int:
        """`?after=`: the number of the last event that the caller knows."""
        return number(self.query, "after", default=0, low=0, high=2**53)

    def word(self, name: str, *words: str) -> str:
        """A query parameter out of a closed list, "" when it was not given."""
        value = self.query.get(name, "")
        if name in self.query and value not in words:
            raise ProblemError("invalid_request", f"{name} must be one of {', '.join(words)}")
        return value

    def about(self, operation: Operation) -> Operation:
        """Note the operation, so that a problem names its trace; 404 when the caller may not see its target."""
        if not self.caller.sees(operation.target):
            raise ProblemError("not_found", f"there is no operation {operation.id} that this token may see")
        self.request[TRACE_ID] = operation.trace_id
        return operation

    def prefers(self, media_type: str) -> bool:
        """Whether the Accept header ranks this type above JSON."""
        ranks = {"application/json": 0.0, media_type: 0.0}
        for part in self.request.headers.get("Accept", "").split(","):
            name, *parameters = (piece.strip() for piece in part.split(";"))
            if name.lower() in ranks:
                ranks[name.lower()] = next((_quality(one) for one in parameters if one.startswith("q=")), 1.0)
        return ranks[media_type] > ranks["application/json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One address. `scope` None = no token is asked for; "" would be any token. `body` is the model of what is sent; `once` honours an Idempotency-Key."""

    method: str
    path: str
    handler: Callable[..., Awaitable[Answer | web.StreamResponse]]
    scope: str | None
    query: tuple[str, ...] = ()
    body: type[BaseModel] | None = None
    once: bool = False


def serve(route: Route, parts: Parts) -> Handler:
    """The aiohttp handler of a route."""

    async def handle(request: web.Request) -> web.StreamResponse:
        caller = NOBODY
        if route.scope is not None:
            caller = await authenticate(request.headers.get("Authorization", ""), parts.verifier)
            caller.need(route.scope)
        call = Call(request=request, parts=parts, caller=caller, query=_query(request, route.query))
        if route.body is None:
            return _write(request, await route.handler(call))
        asked = parse(await read_body(request), route.body)
        key = _key(request, asked) if route.once else ""
        if not key:
            return _write(request, await route.handler(call, asked))
        return _write(request, await _once(call, key, asked, route))

    return handle


async def _once(call: Call, key: str, asked: BaseModel, route: Route) -> Answer:
    """Run the handler once a key; repeats get the answer of the first time. What failed may be tried again with the same key."""
    answers, caller = call.parts.answers, call.caller.subject
    said = json.dumps([route.method, call.request.path, asked.model_dump(exclude={"idempotency_key"})], sort_keys=True)
    try:
        kept = await answers.claim(key, caller, "sha256:" + sha256(said.encode()).hexdigest(), call.parts.clock.now())
    except ConflictError as error:
        raise ProblemError("idempotency_key_reused", str(error)) from error
    if kept is not None:
        status, headers, body = kept
        if status == 0:
            raise ProblemError("request_in_flight", "the first request with this key has not been answered yet", retry_after=RETRY_AFTER)
        return Answer(body=body, status=status, headers={**headers, "Idempotency-Replayed": "true"})
    try:
        answer = await route.handler(call, asked)
    except BaseException:  # also when cancelled: a claim that nobody will answer bars the key for two days
        await answers.give_up(key, caller)
        raise
    if not isinstance(answer, Answer):  # pragma: no cover  no route with `once` streams
        raise TypeError("only JSON answers can be kept")
    await answers.answer(key, caller, answer.status, answer.headers, answer.body)
    return answer


def _write(request: web.Request, answer: Answer | web.StreamResponse) -> web.StreamResponse:
    if not isinstance(answer, Answer):
        return answer
    headers = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Accept", **answer.headers}
    tag = answer.body.get("etag", "") if isinstance(answer.body, dict) else ""
    if tag:
        headers["ETag"] = tag
        if request.method == "GET" and _matches(request.headers.get("If-None-Match", ""), tag):
            return web.Response(status=304, headers=headers)
    raw = json.dumps(answer.body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
    return web.Response(status=answer.status, body=raw, headers=headers, content_type="application/json")


def text(body: str, media_type: str) -> web.Response:
    """A text answer of the given type."""
    return web.Response(text=body, content_type=media_type, charset="utf-8", headers={"Vary": "Authorization, Accept", "Cache-Control": "private, no-cache"})


# --- reading -------------------------------------------------------------------------------------------------------------


def _query(request: web.Request, known: tuple[str, ...]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, value in request.query.items():
        if name not in known:
            raise ProblemError("invalid_request", f"unknown query parameter {name!r}; known here: {', '.join(known) or 'none'}")
        if name in found:
            raise ProblemError("invalid_request", f"the query parameter {name!r} stands there twice")
        found[name] = value
    return found


def number(query: Mapping[str, str], name: str, *, default: int, low: int, high: int) -> int:
    """A whole number of the query within its bounds."""
    value = query.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) <= 18 and low <= int(value) <= high):  # noqa: PLR2004  fits into 64 bits
        raise ProblemError("invalid_request", f"{name} must be a whole number from {low} to {high}")
    return int(value)


async def read_body(request: web.Request) -> Json:
    """The JSON of the body; an empty body counts as {}."""
    if (request.content_length or 0) > BODY_LIMIT:
        raise ProblemError("too_large", f"a body here holds at most {BODY_LIMIT} bytes", headers={"Connection": "close"})
    raw = await request.content.read(BODY_LIMIT + 1)
    while raw and not request.content.at_eof() and len(raw) <= BODY_LIMIT:
        raw += await request.content.read(BODY_LIMIT + 1 - len(raw))
    if len(raw) > BODY_LIMIT:
        raise ProblemError("too_large", f"a body here holds at most {BODY_LIMIT} bytes", headers={"Connection": "close"})
    if not raw.strip():
        return {}
    if request.content_type != "application/json":
        raise ProblemError("unsupported_media_type", "send Content-Type: application/json")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ProblemError("invalid_request", "the body is not JSON") from error


def parse(body: Json, model: type[Model]) -> Model:
    """The body as its model; every mistake is named at once."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        wrong = [Wrong(pointer="".join(f"/{part}" for part in one["loc"]), detail=one["msg"]) for one in error.errors(include_url=False, include_input=False)]
        raise ProblemError("invalid_request", "; ".join(f"{one.pointer or 'the body'}: {one.detail}" for one in wrong), errors=wrong) from error


def _key(request: web.Request, asked: BaseModel) -> str:
    """The Idempotency-Key of header or body, "" without one. The header may be quoted, as the draft of the standard has it."""
    header = request.headers.get("Idempotency-Key", "").strip()
    if len(header) > 1 and header[0] == header[-1] == '"':
        header = header[1:-1]
    if header:
        parse({"idempotency_key": header}, Keyed)
    inside = asked.idempotency_key or "" if isinstance(asked, Keyed) else ""
    if header and inside and header != inside:
        raise ProblemError("invalid_request", "the Idempotency-Key of the header and idempotency_key of the body differ")
    return header or inside


def parse_target(given: str, where: str) -> TargetId:
    """A target id out of an address or a query; 400 when it is none."""
    try:
        return TargetId.parse(given)
    except ValueError as error:
        raise ProblemError("invalid_request", f"{where}: {error}") from error


def no_target(target: TargetId, caller: Principal) -> ProblemError:
    """The 404 that does not tell whether the target is there; it names what the token speaks for."""
    return ProblemError("not_found", f"there is no target {target} that this token may see; it speaks for {', '.join(caller.targets) or 'no target'}")


def _quality(parameter: str) -> float:
    try:
        return float(parameter.removeprefix("q="))
    except ValueError:
        return 0.0


def _matches(header: str, tag: str) -> bool:
    """Weak comparison, as If-None-Match asks for."""
    bare = tag.removeprefix("W/")
    return header.strip() == "*" or any(one.strip().removeprefix("W/") == bare for one in header.split(","))
