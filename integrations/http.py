"""One way to speak HTTP to an outside system: TLS verified, credentials re-read per request, a deadline on everything, redirects never followed.

What an answer means is the adapter's; here only "nobody answered" becomes TemporaryError. No URL with a query and no credential reaches an error text.
"""

import json as json_module
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from service.domain.errors import PermanentError, TemporaryError

MAX_BODY = 64 * 1024 * 1024
"""Bytes of an answer that are read at most; a longer one is an error, never a truncated value."""


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


class Http:
    """A client for one server. `token_file` is read again for each request, so that rotation needs no restart; "" = no credential."""

    def __init__(
        self,
        *,
        base_url: str,
        token_file: Path | None = None,
        scheme: str = "Bearer",
        ca_file: Path | None = None,
        timeout: float = 10.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise PermanentError("the address must be http://host or https://host")
        if parts.username or parts.password:
            raise PermanentError("the address must not hold a user name or password; use token_file")
        self.base_url = base_url.rstrip("/")
        self._token_file = token_file
        self._scheme = scheme
        self._ca_file = ca_file
        self._timeout = timeout
        self._headers = dict(headers or {})
        self._session: aiohttp.ClientSession | None = None

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
        shown = url.partition("?")[0]
        sent = {**self._headers, **self._credential(), **(headers or {})}
        body: bytes | Mapping[str, str] | None = data
        if json is not None:
            body, sent["Content-Type"] = json_module.dumps(json).encode(), "application/json"
        try:
            async with self._open().request(
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

    async def close(self) -> None:
        """Close the connections; the client can be used again afterwards."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            context = ssl.create_default_context(cafile=str(self._ca_file)) if self._ca_file else True
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=32), trust_env=False, auto_decompress=True)
        return self._session

    def _credential(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        try:
            token = self._token_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise PermanentError(f"the credential file {self._token_file.name} cannot be read ({error.strerror})") from error
        return {"Authorization": f"{self._scheme} {token}"} if token else {}
