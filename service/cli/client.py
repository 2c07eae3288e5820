"""Speaks to the service: one request, one answer; what fails becomes a cause and a next step. Standard library only, so that a command starts fast.

Redirects are not followed and proxies not used: the token goes to the server that was named and nowhere else. Shapes are in openapi.yaml.
"""

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from service.cli.exit_codes import ExitCode
from service.cli.failure import CommandFailed
from service.cli.streaming import SILENCE, Told, listen

DEFAULT_SERVER: Final = "http://127.0.0.1:8080"
PATIENCE: Final = 30.0
"""Seconds that one answer may take; a check reads its facts from other systems."""

_MOST = 64 * 1024 * 1024
_START = "start it with `backout serve --config backout.yaml`, or set --server"


class Unreachable(CommandFailed):
    """No service answered; whether a request arrived is unknown only when it was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A good answer. `document` is the JSON value, or None when the body is text."""

    status: int
    document: Any
    text: str


class Service:
    """The service at one address, asked with one token ("" = none)."""

    def __init__(self, address: str, token: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        parts = urlsplit(address)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1 or parts.query or parts.fragment:
            raise CommandFailed(f"{address!r} is no address of a service", f"--server wants a URL such as {DEFAULT_SERVER}", ExitCode.USAGE)
        if parts.username or parts.password:
            raise CommandFailed("the server's URL holds a user or password", "give the token in BACKOUT_TOKEN or BACKOUT_TOKEN_FILE", ExitCode.USAGE)
        self.address = address.rstrip("/")
        self._secure, self._host, self._port, self._base = parts.scheme == "https", parts.hostname, port, parts.path.rstrip("/")
        self._token = token
        self._sleep = sleep

    def get(self, path: str, query: Mapping[str, str] | None = None, *, accept: str = "application/json", patience: float = PATIENCE) -> Reply:
        """Read. `path` begins with `/v1` and is encoded already."""
        return self._asked("GET", path + (f"?{urlencode(query)}" if query else ""), None, {"Accept": accept}, patience)

    @contextmanager
    def stream(self, path: str, *, last: int) -> Iterator[Iterator[Told] | None]:
        """Listen to the events behind number `last`. None when the service gives no stream: it is an older one, or has no place left."""
        headers = {"Accept": "text/event-stream, application/json;q=0.5", "Last-Event-ID": str(last)}
        with self._sent("GET", path, None, headers, SILENCE) as response:
            if response.status == 200 and _kind(response) == "text/event-stream":  # noqa: PLR2004  a good answer
                yield listen(response)
            else:
                try:
                    self._reply(response, response.read(_MOST))
                except Problem as problem:
                    if problem.problem_code != "too_many_streams":
                        raise
                yield None

    def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Ask for something to happen. A lost answer is asked for once more with the same Idempotency-Key: it happens once."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        try:
            return self._asked("POST", path, body, headers, PATIENCE)
        except AnswerLost:
            self._sleep(0.5)
            return self._asked("POST", path, body, headers, PATIENCE)

    def put(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Make something so; doing it twice does it once."""
        return self._asked("PUT", path, body, {}, PATIENCE)

    def delete(self, path: str) -> Reply:
        """Take something away; doing it twice does it once."""
        return self._asked("DELETE", path, None, {}, PATIENCE)

    def _asked(self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str], patience: float) -> Reply:
        with self._sent(method, path, body, headers, patience) as response:
            try:
                raw = response.read(_MOST)
            except (OSError, HTTPException) as error:
                raise self._lost(error) from error
            return self._reply(response, raw)

    def _lost(self, error: Exception) -> "AnswerLost":
        return AnswerLost(f"the service at {self.address} gave no answer ({_reason(error)})", f"see whether it lives: {self.address}/readyz")

    @contextmanager
    def _sent(self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str], patience: float) -> Iterator[HTTPResponse]:
        """The beginning of the answer; the connection is closed at the end of the block."""
        sent = {"Accept": "application/json", "User-Agent": "backout-cli", **headers}
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        connection = self._connection(patience)
        try:
            try:
                connection.connect()
            except (OSError, HTTPException) as error:
                raise Unreachable(f"no service at {self.address} ({_reason(error)})", _START) from error
            try:
                connection.request(method, self._base + path, body=None if body is None else json.dumps(body).encode(), headers=sent)
                response = connection.getresponse()
            except (OSError, HTTPException) as error:
                raise self._lost(error) from error
            yield response
        finally:
            connection.close()

    def _connection(self, patience: float) -> HTTPConnection:
        kind = HTTPSConnection if self._secure else HTTPConnection
        return kind(self._host, self._port, timeout=patience)

    def _reply(self, response: HTTPResponse, raw: bytes) -> Reply:
        text = raw.decode("utf-8", "replace")
        kind = _kind(response)
        document: Any = None
        if kind == "application/json" or kind.endswith("+json"):
            try:
                document = json.loads(text)
            except ValueError as error:
                raise CommandFailed(f"the answer of {self.address} is not the JSON it claims to be", f"is {self.address} Backout? set --server") from error
        if 200 <= response.status < 300:  # noqa: PLR2004  the class of good answers
            return Reply(status=response.status, document=document, text=text)
        if 300 <= response.status < 400:  # noqa: PLR2004  the class of redirects
            where = response.getheader("Location") or "nowhere"
            raise CommandFailed(f"{self.address} sends the request on to {where}; the token was not sent there", "set --server to the service itself")
        raise problem(response.status, document, self.address)


class AnswerLost(Unreachable):
    """The request was sent and its answer never came."""


class Problem(CommandFailed):
    """The service said no, as problem+json. `status` is HTTP's, `problem_code` the word of openapi.yaml's Problem."""

    def __init__(self, cause: str, next_step: str, code: ExitCode, status: int, problem_code: str) -> None:
        super().__init__(cause, next_step, code)
        self.status = status
        self.problem_code = problem_code


_TOKEN = "make one with `backout token create`, and set BACKOUT_TOKEN or BACKOUT_TOKEN_FILE"  # noqa: S105  advice, no token
_LATER = "wait a little and try again; `backout doctor` says what is not well"
_HELP = "see `--help` of this command"
_NEXT: Final[Mapping[str, str]] = {
    "invalid_request": _HELP,
    "invalid_cursor": "begin again without the cursor",
    "invalid_token": _TOKEN,
    "missing_scope": "ask whoever runs Backout for a token with that scope",
    "targets_not_covered": "ask whoever runs Backout for a token that speaks for these targets",
    "not_found": "`backout targets`, `operations` and `holds` list what there is; a target that the token may not see is not there",
    "target_busy": "`backout operations --state alive` shows it",
    "conflict": "look again and decide anew: things changed meanwhile",
    "no_way_back": "`backout check TARGET --all` gives every answer",
    "refused": "nothing was changed; put that right and try again",
    "request_in_flight": "the same request is being answered; look with `backout operations`",
    "overloaded": _LATER,
    "store_unavailable": _LATER,
    "too_many_streams": _LATER,
    "source_unavailable": _LATER,
    "source_failed": "`backout doctor` says which connection is not well",
    "keys_unreadable": "whoever runs Backout has to look at auth.keys_file",
    "stop_file": "whoever runs Backout has to look at the stop file; what cannot be read counts as stopped",
}
"""The next step by the problem's code."""

_BY_STATUS: Final[Mapping[int, str]] = {
    400: "invalid_request",
    401: "invalid_token",
    403: "missing_scope",
    404: "not_found",
    409: "conflict",
    503: "overloaded",
}
_CODES: Final[Mapping[str, ExitCode]] = {
    "refused": ExitCode.BLOCKED,
    "no_way_back": ExitCode.BLOCKED,
    "source_unavailable": ExitCode.UNKNOWN,
    "source_failed": ExitCode.UNKNOWN,
}


def problem(status: int, document: Any, address: str) -> CommandFailed:
    """What a refusal means to a person: the service's own sentence, and what to do next."""
    told = document if isinstance(document, Mapping) else {}
    detail = str(told.get("detail") or told.get("title") or "")
    if not detail and status in {404, 405}:
        return CommandFailed(f"{address} does not know this request (HTTP {status})", "is it Backout, and of this version? set --server")
    if not detail:
        detail = {401: "the service does not accept the token", 403: "the token does not allow this"}.get(status, f"the service answered HTTP {status}")
    wrong = [
        f"{one.get('pointer', '')}: {one.get('detail', '')}"
        for one in told.get("errors") or ()
        if isinstance(one, Mapping) and str(one.get("detail", "")) not in detail
    ]
    if wrong:
        detail = f"{detail.rstrip('.')} ({'; '.join(wrong)})"
    code = str(told.get("code") or _BY_STATUS.get(status, ""))
    next_step = _NEXT.get(code, "the service's log says more")
    if code in {"not_found", "invalid_token"}:  # the service's advice for those who speak HTTP; ours follows
        detail = detail.partition("; ")[0]
    if code == "not_found" and detail.startswith("there is no target "):
        next_step = "`backout targets` lists those that your token may see"
    if code == "target_busy" and (busy := re.search(r"[A-Za-z0-9_-]+$", str(told.get("operation_url") or ""))):
        next_step = f"follow it with `backout watch {busy[0]}`, or end it with `backout cancel {busy[0]} --reason …`"
    if status == 503 and isinstance(seconds := told.get("retry_after_s"), int):  # noqa: PLR2004  service unavailable
        next_step = f"try again in {seconds} s; `backout doctor` says what is not well"
    if code == "internal_error" and told.get("trace_id"):
        next_step = f"the service's log says more, under trace {told['trace_id']}"
    return Problem(detail, next_step, _CODES.get(code, ExitCode.ERROR), status, code)


def _kind(response: HTTPResponse) -> str:
    return (response.getheader("Content-Type") or "").partition(";")[0].strip()


def segment(text: str) -> str:
    """One percent-encoded path segment: `prod:team-a/checkout` is one."""
    return quote(text, safe="")


def read_token(environment: Mapping[str, str]) -> str:
    """The token from BACKOUT_TOKEN, else from the file that BACKOUT_TOKEN_FILE names, else "". It is never printed, not even when it is wrong."""
    where, token = "BACKOUT_TOKEN", environment.get("BACKOUT_TOKEN", "").strip()
    if not token and (file := environment.get("BACKOUT_TOKEN_FILE", "")):
        where = f"the file {file} (BACKOUT_TOKEN_FILE)"
        try:
            token = Path(file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandFailed(f"{where} cannot be read: {_reason(error)}", _TOKEN) from None
        if not token:
            raise CommandFailed(f"{where} is empty", _TOKEN)
    if not all("!" <= sign <= "~" for sign in token):
        raise CommandFailed(f"{where} holds no token: there are spaces or other signs in it", _TOKEN)
    return token


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not text"
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
