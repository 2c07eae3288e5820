"""One way to speak HTTP to an outside system: TLS verified, credentials re-read per request, a deadline on everything, redirects never followed.

What an answer means is the adapter's; here only "nobody answered" becomes TemporaryError. No URL with a query and no credential reaches an error text.
"""

import asyncio
import json as json_module
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import aiohttp
from pydantic import AfterValidator
from yarl import URL

from service.domain.errors import PermanentError, TemporaryError

MAX_BODY = 64 * 1024 * 1024
"""Bytes of an answer that are read at most; a longer one is an error, never a truncated value."""


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


def credential(file: Path) -> str:
    """The credential in a file, read now; PermanentError when it cannot be read, is empty or holds what no header may hold."""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        says = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        raise PermanentError(f"the credential file {file.name} cannot be read ({says})") from error
    if not text or not text.isprintable():
        raise PermanentError(f"the credential file {file.name} is empty or holds more than one line")
    return text


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
    ) -> None:
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
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

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
        url = self.base_url + path
        shown = self._shown or url.partition("?")[0]
        sent = {**self._headers, **self._credential(), **(headers or {})}
        body: bytes | Mapping[str, str] | None = data
        if json is not None:
            body, sent["Content-Type"] = json_module.dumps(json).encode(), "application/json"
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
                    if len(read) > MAX_BODY:
                        raise PermanentError(f"{shown} answered more than {MAX_BODY} bytes")
                return Answer(status=answer.status, headers={k.lower(): v for k, v in answer.headers.items()}, body=bytes(read), url=shown)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            raise PermanentError(f"{shown}: TLS failed ({type(error).__name__}); check the certificate or set ca_file") from error
        except TimeoutError as error:
            raise TemporaryError(f"{shown} did not answer within {timeout or self._timeout:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TemporaryError(f"{shown} could not be reached ({type(error).__name__})") from error

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
            raise TemporaryError(f"{shown} could not be reached ({type(error).__name__})") from error

    async def close(self) -> None:
        """Close the connections; the client can be used again afterwards."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
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
            return ssl.create_default_context(cafile=str(self._ca_file) if self._ca_file else None)
        except (OSError, ssl.SSLError) as error:
            named = self._ca_file.name if self._ca_file else "the system's certificates"
            raise PermanentError(f"ca_file {named} cannot be used ({type(error).__name__})") from error

    def _credential(self) -> dict[str, str]:
        return {"Authorization": f"{self._scheme} {credential(self._token_file)}"} if self._token_file is not None else {}
