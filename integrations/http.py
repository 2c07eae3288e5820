"""One way to speak HTTP to an outside system: TLS verified, credentials re-read per request, a deadline on everything, redirects never followed.

What an answer means is the adapter's; here only "nobody answered" becomes TemporaryError. No URL with a query and no credential reaches an error text.
"""

import asyncio
import contextlib
import hashlib
import json as json_module
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

import aiohttp
from pydantic import AfterValidator
from yarl import URL

from integrations import pacing
from service.domain.errors import PermanentError, TemporaryError

MAX_BODY = 64 * 1024 * 1024
"""Bytes of an answer that are read at most; a longer one is an error, never a truncated value."""
MAX_LINE = 4 * 1024 * 1024
"""Bytes of one line of a stream."""
PROBE_AFTER, PROBE_EVERY, PROBES = 15, 15, 3
"""TCP keep-alive of a stream's connection, in seconds: a peer that is gone is noticed after a minute, also before it sent anything."""


class TooLongError(PermanentError):
    """The answer has more bytes than are read: it was not read to its end."""


class UnreachedError(TemporaryError):
    """No connection was made (refused, no route, no such host): nothing was sent, so whatever was asked for did not happen."""


def reason(error: Exception) -> str:
    """Why nobody was reached or a connection ended, in the operating system's words (`connection refused`); never an address, which the caller names."""
    if isinstance(error, aiohttp.ClientConnectorDNSError | socket.gaierror):
        return "no such host"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed without an answer"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "its answer broke off"
    cause = getattr(error, "os_error", error)
    number = getattr(cause, "errno", None)
    return os.strerror(number).lower() if isinstance(number, int) and number > 0 else type(error).__name__


def address(text: str) -> str:
    """The address without a trailing slash; ValueError unless it is http(s)://host without user name and password. The text itself is never repeated."""
    try:
        parts = urlsplit(text)
        named, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("the address cannot be read; expected http://host or https://host") from error
    if parts.scheme not in {"http", "https"} or not named:
        raise ValueError("the address must be http://host or https://host")
    if parts.username or parts.password:
        raise ValueError("the address must not hold a user name or password; use a credential file")
    return text.rstrip("/")


Address = Annotated[str, AfterValidator(address)]
"""A setting that holds such an address; use it in models with `hide_input_in_errors`."""


def without_credential(text: str) -> str:
    """A text of somebody else's that may be an address: user name and password are taken out, for it is shown and stored."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


def credential(file: Path) -> str:
    """The credential in a file as it is now; PermanentError when it cannot be read, is empty or holds what no header may hold.

    It is read again when it is another file (Kubernetes turns a link) or was written since: one look tells, at a tenth of the price of reading it.
    """
    try:
        about = file.stat()
    except OSError as error:
        raise _unreadable(file, error) from error
    stamp = (about.st_dev, about.st_ino, about.st_mtime_ns, about.st_ctime_ns, about.st_size)
    known = _CREDENTIALS.get(file)
    if known is None or known[0] != stamp:
        known = _CREDENTIALS[file] = (stamp, _read(file))
    return known[1]


_CREDENTIALS: dict[Path, tuple[tuple[int, ...], str]] = {}


def _read(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(file, error) from error
    if not text or not text.isprintable():
        raise PermanentError(f"the credential file {file.name} is empty or holds more than one line")
    return text


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client certificate and its key, two PEM files; the key has no passphrase. Files that were replaced are taken up with the next request."""

    file: Path
    key_file: Path

    def mark(self) -> str:
        """What changes when either file does; PermanentError when one is not there."""
        try:
            return " ".join(f"{one.stat().st_mtime_ns}:{one.stat().st_ino}" for one in (self.file, self.key_file))
        except OSError as error:
            raise PermanentError(f"the client certificate {self.file.name} or its key cannot be read ({error.strerror})") from error


def _unreadable(file: Path, error: OSError | UnicodeDecodeError) -> PermanentError:
    says = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
    return PermanentError(f"the credential file {file.name} cannot be read ({says})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status, headers (keys lower case) and body of one exchange; `url` has no query and no credentials."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def json(self) -> Any:
        """The body as JSON; PermanentError if it is something else (a login page, a proxy's error)."""
        try:
            return json_module.loads(self.body)
        except ValueError as error:
            kind = self.headers.get("content-type", "no content type")
            raise PermanentError(f"{self.url} answered {self.status} with {kind} instead of JSON") from error

    def first_line(self) -> str:
        """The first line of the body for an error text, at most 200 characters; "" when there is none."""
        lines = self.body[:4096].decode("utf-8", "replace").strip().splitlines()
        return "".join(c if c.isprintable() else " " for c in lines[0][:200]).strip() if lines else ""


class Http:
    """A client for one server. `token_file` is read again for each request, so that rotation needs no restart; None = no credential.

    `secret_path`: the path of the address is itself a credential (incoming webhooks of chat systems), so errors show only the host.
    `most`: bytes of an answer; a longer one is not read to its end.
    """

    def __init__(
        self,
        *,
        base_url: str,
        token_file: Path | None = None,
        scheme: str = "Bearer",
        ca_file: Path | None = None,
        timeout: float = 10.0,
        headers: Mapping[str, str] | None = None,
        secret_path: bool = False,
        certificate: Certificate | None = None,
        most: int = MAX_BODY,
    ) -> None:
        self._most = most
        try:
            self.base_url = address(base_url)
        except ValueError as error:
            raise PermanentError(str(error)) from error
        parts = urlsplit(self.base_url)
        self._host, self._port, self._tls = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), parts.scheme == "https"
        self._shown = f"{parts.scheme}://{parts.netloc}" if secret_path else ""
        self._token_file = token_file
        self._scheme = scheme
        self._ca_file = ca_file
        self._timeout = timeout
        self._headers = dict(headers or {})
        self._certificate, self._certified = certificate, ""
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._retired: list[aiohttp.ClientSession] = []

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | list[tuple[str, str]] | None = None,
        json: Any = None,
        data: bytes | Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  the caller's deadline for this one exchange, in seconds
    ) -> Answer:
        """One exchange; `path` is appended to the base address as it is (already percent-encoded). Any status is an answer.

        Raises TemporaryError when nobody answered in time, PermanentError when the credential file cannot be read or TLS is refused.
        """
        await pacing.turn(self.base_url)
        url = self.base_url + path
        shown = self._shown or url.partition("?")[0]
        sent = {**self._headers, **self._credential(), **(headers or {})}
        body: bytes | Mapping[str, str] | None = data
        if json is not None:
            body, sent["Content-Type"] = json_module.dumps(json).encode(), "application/json"
        if self._certificate is not None and self._certified != (mark := self._certificate.mark()):
            await self._retire()
            self._certified = mark
        session = self._open(method)
        try:
            async with session.request(
                method,
                URL(url, encoded=True),
                params=params,
                data=body,
                headers=sent,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout or self._timeout),
            ) as answer:
                read = bytearray()
                async for chunk in answer.content.iter_chunked(1 << 16):
                    read += chunk
                    if len(read) > self._most:
                        raise TooLongError(f"{shown} answered more than {self._most} bytes")
                return Answer(status=answer.status, headers={k.lower(): v for k, v in answer.headers.items()}, body=bytes(read), url=shown)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            raise PermanentError(f"{shown}: TLS failed ({type(error).__name__}); check the certificate or set ca_file") from error
        except TimeoutError as error:
            raise TemporaryError(f"{shown} did not answer within {timeout or self._timeout:g} s") from error
        except aiohttp.ClientConnectorError as error:
            raise UnreachedError(f"{shown} could not be reached ({reason(error)})") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TemporaryError(f"{shown} could not be reached ({reason(error)})") from error

    def stream(self, path: str, *, params: Mapping[str, str] | list[tuple[str, str]] | None = None, headers: Mapping[str, str] | None = None) -> "Stream":
        """A GET whose answer does not end; nothing is sent before it is entered. It has a connection of its own and no deadline but `lines`' own."""

        def session() -> aiohttp.ClientSession:
            return aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._context() if self._tls else True, limit=1, force_close=True, socket_factory=_probed_socket),
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeout),
                headers={**self._headers, **self._credential(), **(headers or {})},
            )

        url = self.base_url + path
        return Stream(session, URL(url, encoded=True), params, shown=self._shown or url.partition("?")[0])

    def mark_of_credential(self) -> str:
        """What changes when the credential does, and tells nothing of it; "" without one. PermanentError as `request`."""
        return hashlib.sha256(credential(self._token_file).encode()).hexdigest() if self._token_file is not None else ""

    async def connect(self) -> None:
        """Resolve and connect, TLS included, and send nothing. Raises as `request` does."""
        shown = self._shown or self.base_url
        try:
            async with asyncio.timeout(self._timeout):
                _, writer = await asyncio.open_connection(self._host, self._port, ssl=self._context() if self._tls else None)
                writer.close()
                await writer.wait_closed()
        except ssl.SSLCertVerificationError as error:
            raise PermanentError(f"{shown}: TLS failed ({type(error).__name__}); check the certificate or set ca_file") from error
        except TimeoutError as error:
            raise TemporaryError(f"{shown} did not answer within {self._timeout:g} s") from error
        except OSError as error:
            raise TemporaryError(f"{shown} could not be reached ({reason(error)})") from error

    async def close(self) -> None:
        """Close the connections; the client can be used again afterwards."""
        for _ in range(2):
            await self._retire()

    async def _retire(self) -> None:
        """Open no more requests on the sessions there are; they are closed at the next time, so that what is under way on them comes to its end."""
        retired, self._retired, self._sessions = self._retired, list(self._sessions.values()), {}
        for session in retired:
            await session.close()

    def _open(self, method: str) -> aiohttp.ClientSession:
        """Two sessions: aiohttp sends a PUT or DELETE once more by itself when the connection breaks, and what writes must be sent once."""
        once = method not in {"GET", "HEAD"}
        session = self._sessions.get(once)
        if session is None or session.closed:
            connector = aiohttp.TCPConnector(ssl=self._context() if self._tls else True, limit=32, force_close=once)
            session = self._sessions[once] = aiohttp.ClientSession(connector=connector, trust_env=False, auto_decompress=True)
            session._retry_connection = not once  # noqa: SLF001  the only switch there is; aiohttp's own test client uses it; held by a test
        return session

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=str(self._ca_file) if self._ca_file else None)
        except (OSError, ssl.SSLError) as error:
            named = self._ca_file.name if self._ca_file else "the system's certificates"
            raise PermanentError(f"ca_file {named} cannot be used ({reason(error)})") from error
        if self._certificate is not None:
            try:
                context.load_cert_chain(self._certificate.file, self._certificate.key_file, password=_no_passphrase)
            except (OSError, ssl.SSLError) as error:
                raise PermanentError(f"the client certificate {self._certificate.file.name} cannot be used ({reason(error)})") from error
        return context

    def _credential(self) -> dict[str, str]:
        return {"Authorization": f"{self._scheme} {credential(self._token_file)}"} if self._token_file is not None else {}


def _no_passphrase() -> str:
    """Instead of OpenSSL's question on the terminal, which would stop the service."""
    raise ssl.SSLError("the key has a passphrase")


class Stream:
    """An answer without an end, read line by line inside `async with`. `close`, from anywhere, ends it: whoever reads then gets TemporaryError."""

    def __init__(
        self, make_session: Callable[[], aiohttp.ClientSession], url: URL, params: Mapping[str, str] | list[tuple[str, str]] | None, *, shown: str
    ) -> None:
        self._make_session, self._url, self._params, self._shown = make_session, url, params, shown
        self._session: aiohttp.ClientSession | None = None
        self._answer: aiohttp.ClientResponse | None = None
        self._waiting: asyncio.Timeout | None = None
        self._why_closed = ""

    async def __aenter__(self) -> Self:
        """Send the request and wait for the headers, however long they take. Raises as `Http.request` does, but for the deadline."""
        session = self._session = self._make_session()
        try:
            async with self._interruptible(None):
                self._answer = await session.get(self._url, params=self._params, allow_redirects=False)
        except BaseException:
            await session.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._answer is not None:
            self._answer.close()
        if self._session is not None:
            await self._session.close()

    def close(self, why: str) -> None:
        """End it from outside; `why` completes "the stream was closed: …"."""
        self._why_closed = self._why_closed or why
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    @property
    def ok(self) -> bool:
        """Whether the server began to stream; if not, `answer` is what it said instead."""
        return self._response.status == 200  # noqa: PLR2004  HTTP's OK

    @property
    def media_type(self) -> str:
        """What the server sends, such as text/event-stream."""
        return self._response.headers.get("Content-Type", "").partition(";")[0].strip()

    async def answer(self, *, within: float) -> Answer:
        """The whole answer of a server that did not begin to stream."""
        async with self._interruptible(within):
            body = await self._response.content.read(MAX_LINE)
        response = self._response
        return Answer(status=response.status, headers={k.lower(): v for k, v in response.headers.items()}, body=body, url=self._shown)

    async def lines(self, *, silence: float) -> AsyncIterator[bytes]:
        """Lines without their ends, empty ones and comments too, until the server ends the stream. TemporaryError after `silence` seconds without a byte."""
        rest = bytearray()
        while True:
            async with self._interruptible(silence):
                chunk = await self._response.content.readany()
            if not chunk:
                return
            rest += chunk
            if b"\n" in chunk:
                *lines, tail = rest.split(b"\n")
                rest = bytearray(tail)
                for line in lines:
                    yield bytes(line)
            if len(rest) > MAX_LINE:
                raise PermanentError(f"{self._shown} sent a line of more than {MAX_LINE} bytes")

    @property
    def _response(self) -> aiohttp.ClientResponse:
        if self._answer is None:
            raise RuntimeError("enter the stream first")
        return self._answer

    @contextlib.asynccontextmanager
    async def _interruptible(self, seconds: float | None) -> AsyncIterator[None]:
        """One wait, which ends by itself, after `seconds`, or by `close`; no wait spans a `yield`, so a close never hits whoever uses the lines."""
        try:
            async with asyncio.timeout(0 if self._why_closed else seconds) as self._waiting:
                yield
        except TimeoutError as error:
            raise TemporaryError(self._ended_because(f"{self._shown} was silent for {seconds} s")) from error
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            raise PermanentError(f"{self._shown}: TLS failed ({type(error).__name__}); check the certificate or set ca_file") from error
        except aiohttp.ClientConnectorError as error:
            raise UnreachedError(f"{self._shown} could not be reached ({reason(error)})") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TemporaryError(f"{self._shown} was cut off ({reason(error)})") from error
        finally:
            self._waiting = None

    def _ended_because(self, otherwise: str) -> str:
        return f"the stream was closed: {self._why_closed}" if self._why_closed else otherwise


def _probed_socket(address: Any) -> socket.socket:
    """A socket whose peer the kernel asks now and then whether it is still there."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", PROBE_AFTER), ("TCP_KEEPINTVL", PROBE_EVERY), ("TCP_KEEPCNT", PROBES)):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return made
