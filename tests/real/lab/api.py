"""Calls the lab's HTTP interfaces: JSON in, status and JSON out, an error that names the call."""

import json
from dataclasses import dataclass
from typing import Any

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=120)


class ApiError(Exception):
    """An answer that is not 2xx; the text holds method, path, status and the server's words."""

    def __init__(self, method: str, path: str, status: int, body: object) -> None:
        super().__init__(f"{method} {path}: {status} {str(body)[:500]}")
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and the body: parsed when it was JSON, else the text."""

    status: int
    body: Any

    @property
    def good(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300


class HttpApi:
    """One server's interface. `https` servers of the lab are self-signed, so certificates are not checked."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str = "") -> None:
        self._session, self.url = session, url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def call(self, method: str, path: str, body: object = None, *, content_type: str = "application/json") -> Answer:
        """Send `body` (text and bytes as they are, all else as JSON) and return whatever the server answers."""
        data = None if body is None else body if isinstance(body, str | bytes) else json.dumps(body)
        headers = self._headers | ({"Content-Type": content_type} if data is not None or method != "GET" else {})
        async with self._session.request(method, self.url + path, data=data, headers=headers, ssl=False, timeout=_TIMEOUT) as response:
            raw = await response.text(errors="replace")
        try:
            return Answer(response.status, json.loads(raw))
        except ValueError:
            return Answer(response.status, raw)

    async def must(self, method: str, path: str, body: object = None, *, content_type: str = "application/json") -> Any:
        """Like `call`, but only the body of a 2xx answer; ApiError for any other."""
        answer = await self.call(method, path, body, content_type=content_type)
        if not answer.good:
            raise ApiError(method, path, answer.status, answer.body)
        return answer.body
