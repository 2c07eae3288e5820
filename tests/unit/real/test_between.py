"""What stands between Backout and Argo CD in the real stories passes everything on, and lets a test act in the moment that matters."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from tests.real.between import between


class Server:
    """Answers what it was asked, streams without an end, and remembers the order of things."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.heard.append(f"{request.method} {request.raw_path} {request.headers.get('Content-Type', '-')} {await request.text()}".rstrip())
        return web.json_response({"said": request.headers.get("Authorization", "")}, status=201)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: one\n\n")
        await asyncio.Event().wait()
        return response


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_get("/stream/things", server.stream)
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def test_a_request_arrives_as_it_was_sent_and_its_answer_comes_back() -> None:
    server = Server()
    async with serving(server) as address, between(address) as stands, aiohttp.ClientSession() as session:
        headers = {"Authorization": "Bearer t", "Content-Type": "application/json"}
        async with session.post(f"{stands.url}/a%2Fb?x=1&x=2", data="{}", headers=headers) as answer:
            got = answer.status, await answer.json()
    assert got == (201, {"said": "Bearer t"})
    assert server.heard == ["POST /a%2Fb?x=1&x=2 application/json {}"]


async def test_what_is_to_be_done_before_a_request_is_done_once_and_before_the_server_hears_of_it() -> None:
    server = Server()

    async def do() -> None:
        server.heard.append("done")

    async with serving(server) as address, between(address) as stands, aiohttp.ClientSession() as session:
        stands.before("POST", "/rollback", do)
        for method, path in (("GET", "/apps/web/rollback"), ("POST", "/apps/web/rollback"), ("POST", "/apps/web/rollback")):
            async with session.request(method, f"{stands.url}{path}", skip_auto_headers=["Content-Type"]):
                pass
    assert server.heard == ["GET /apps/web/rollback -", "done", "POST /apps/web/rollback -", "POST /apps/web/rollback -"]


async def test_an_open_watch_is_cut_without_a_word_and_nothing_else_is() -> None:
    async with serving(Server()) as address, between(address) as stands, aiohttp.ClientSession() as session:
        async with session.get(f"{stands.url}/stream/things") as stream:
            assert await stream.content.readline() == b"data: one\n"
            assert stands.cut() == 1
            with pytest.raises(aiohttp.ClientError):
                await stream.content.read()
        async with session.get(f"{stands.url}/ordinary") as answer:
            assert answer.status == 201


async def test_a_server_that_is_away_looks_away() -> None:
    async with serving(Server()) as address:
        pass
    async with between(address) as stands, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"{stands.url}/anything")
