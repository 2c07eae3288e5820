"""The watch stream between Backout and Argo CD, inside one process: cut, silent, or with messages that are lost on the way.

Takes the place of `integrations.http.Stream`; at the other end is the sandbox's own handler, which writes as to a socket.
"""

import asyncio
from collections.abc import AsyncIterator
from contextvars import Context
from typing import Any, Self

from aiohttp import web

from integrations.http import Answer, UnreachedError
from service.domain.errors import TemporaryError
from tests.chaos.fate import Fate, Trouble
from tests.chaos.process import Process

END = b""


class Pipe:
    """As much of aiohttp's writer as a streaming response uses: what it writes is put into a queue."""

    length: int | None = None
    buffer_size = 0
    output_size = 0

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.media_type = ""
        self.chunks: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def write_headers(self, status_line: str, headers: Any) -> None:
        """It begins."""
        del status_line
        self.media_type = headers.get("Content-Type", "").partition(";")[0]
        self.began.set()

    async def write(self, chunk: bytes, **_: Any) -> None:
        """One piece."""
        self.chunks.put_nowait(bytes(chunk))

    async def write_eof(self, chunk: bytes = END) -> None:
        """The end."""
        if chunk:
            self.chunks.put_nowait(chunk)
        self.chunks.put_nowait(END)

    async def drain(self) -> None:
        """Nothing waits."""

    def send_headers(self) -> None:
        """They are sent already."""

    def enable_chunking(self) -> None:
        """Pieces are pieces."""

    def set_eof(self) -> None:
        """It is told by `write_eof`."""


class ChaosStream:
    """As much of `Stream` as the client uses, for one process."""

    def __init__(self, server: Any, process: Process, fate: Fate, path: str, query: str, headers: dict[str, str]) -> None:
        self._server, self._process, self._fate = server, process, fate
        self._path, self._query, self._headers = path, query, headers
        self._pipe = Pipe()
        self._serving: asyncio.Task[web.StreamResponse] | None = None
        self._answer: web.StreamResponse | None = None
        self._why = ""

    async def __aenter__(self) -> Self:
        """Ask, and wait for the headers, however long they take."""
        await self._process.point("the watch is about to begin")
        if self._server.down or self._fate.strikes(Trouble.REQUEST_LOST):
            raise UnreachedError(f"{self._path} refuses connections")
        self._server.streams.append(self)
        self._serving = asyncio.get_running_loop().create_task(self._server.serve(self._path, self._query, self._headers, self._pipe), context=Context())
        began = asyncio.get_running_loop().create_task(self._pipe.began.wait())
        try:
            await asyncio.wait({self._serving, began}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.__aexit__()
            raise
        finally:
            began.cancel()
        if self._serving.done():
            self._answer = self._serving.result()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self in self._server.streams:
            self._server.streams.remove(self)
        if self._serving is not None and not self._serving.done():
            self._serving.cancel()

    def close(self, why: str) -> None:
        """From outside: whoever reads gets TemporaryError."""
        self._why = self._why or why
        self._pipe.chunks.put_nowait(None)

    @property
    def ok(self) -> bool:
        """Whether it streams."""
        return self._pipe.began.is_set()

    @property
    def media_type(self) -> str:
        """What it sends."""
        return self._pipe.media_type

    async def answer(self, *, within: float) -> Answer:
        """What was said instead."""
        del within
        assert isinstance(self._answer, web.Response)
        body = self._answer.body
        assert isinstance(body, bytes)
        return Answer(status=self._answer.status, headers={k.lower(): v for k, v in self._answer.headers.items()}, body=body, url=self._path)

    async def lines(self, *, silence: float) -> AsyncIterator[bytes]:
        """Line by line; a stream that says nothing any more is a connection that broke without a word."""
        rest, mute = b"", False
        while True:
            try:
                async with asyncio.timeout(silence):
                    chunk = await self._pipe.chunks.get()
                    while mute and chunk is not None:
                        chunk = await self._pipe.chunks.get()
            except TimeoutError as error:
                raise TemporaryError(f"{self._path} was silent for {silence:g} s") from error
            await self._process.alive()
            if chunk is None:
                raise TemporaryError(f"the stream was closed: {self._why}")
            if chunk == END:
                return
            if self._fate.strikes(Trouble.STREAM_CUT):
                raise TemporaryError(f"{self._path} was cut off (ClientPayloadError)")
            mute = self._fate.strikes(Trouble.STREAM_SILENT)
            if mute or self._fate.strikes(Trouble.HINT_LOST):
                continue
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield line
