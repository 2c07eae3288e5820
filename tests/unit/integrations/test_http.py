import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.client_reqrep import ConnectionKey

from integrations import http as http_module
from integrations.http import Answer, Certificate, Http, UnreachedError, address, credential, reason
from integrations.sandbox.http import LoopbackServer
from service.domain.errors import PermanentError, TemporaryError


class Echo(LoopbackServer):
    """Tells back what it was sent."""

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return (
            web.get("/stream", self._stream),
            web.get("/mute", self._mute),
            web.get("/moved", self._moved),
            web.get("/long", self._long),
            web.get("/cut", self._cut),
            web.route("*", "/{path:.*}", self._echo),
        )

    async def _echo(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        kind = request.headers.get("Content-Type", "")
        says = {
            "method": request.method,
            "path": request.raw_path,
            "body": body,
            "kind": kind,
            "auth": request.headers.get("Authorization"),
            "extra": request.headers.get("X-Extra"),
        }
        return web.json_response(says, headers={"X-Mixed-Case": "kept"})

    async def _moved(self, _request: web.Request) -> web.Response:
        raise web.HTTPFound("/elsewhere")

    async def _long(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(65):
            await answer.write(b"\0" * (1 << 20))
        return answer

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Two lines, the second in two pieces; then as `?then=` says: end, cut, wait, or a line without end."""
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for piece in (b"data: 1\n\n:", b" alive\nhalf"):
            await answer.write(piece)
            await asyncio.sleep(0.01)
        match request.query.get("then"):
            case "cut":
                assert request.transport is not None
                request.transport.abort()
            case "wait":
                await asyncio.sleep(60)
            case "long":
                await answer.write(b"x" * 2000)
                await asyncio.sleep(60)
            case _:
                pass
        return answer

    async def _mute(self, _request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits this long")

    async def _cut(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "100"})
        await answer.prepare(request)
        await answer.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return answer


class Lab:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = Echo()
        self._clients: list[Http] = []

    def client(self, **settings: object) -> Http:
        client = Http(**{"base_url": self.server.url, "timeout": 2.0, **settings})  # type: ignore[arg-type]  # the tests below give the right types
        self._clients.append(client)
        return client

    async def stop(self) -> None:
        for client in self._clients:
            await client.close()
        await self.server.stop()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path)
    await lab.server.start()
    yield lab
    await lab.stop()


async def test_an_exchange_gives_status_headers_in_lower_case_and_body(lab: Lab) -> None:
    answer = await lab.client(headers={"X-Extra": "yes"}).request("PUT", "/a%2Fb", json={"a": 1})
    assert (answer.status, answer.headers["x-mixed-case"], answer.url) == (200, "kept", f"{lab.server.url}/a%2Fb")
    assert answer.json() == {"method": "PUT", "path": "/a%2Fb", "body": '{"a": 1}', "kind": "application/json", "auth": None, "extra": "yes"}


async def test_parameters_and_forms_are_encoded_and_the_query_is_not_shown(lab: Lab) -> None:
    answer = await lab.client().request("POST", "/x", params=[("rule_name[]", "a b")], data={"query": "a > 1"})
    assert answer.json()["path"] == "/x?rule_name%5B%5D=a+b"
    assert answer.json()["body"] == "query=a+%3E+1"
    assert answer.url == f"{lab.server.url}/x"


async def test_a_path_prefix_of_the_address_is_kept(lab: Lab) -> None:
    assert (await lab.client(base_url=f"{lab.server.url}/prefix/").request("GET", "/x")).json()["path"] == "/prefix/x"


async def test_the_credential_is_read_again_for_each_request(lab: Lab) -> None:
    file = lab.folder / "token"
    client = lab.client(token_file=file, scheme="Token")
    seen = []
    for token in ("one\n", "second"):
        file.write_text(token)
        seen.append((await client.request("GET", "/x")).json()["auth"])
    for name in ("third", "forth"):  # Kubernetes turns a link to a file that is as long
        (lab.folder / name).write_text(name)
        (lab.folder / "link").symlink_to(name)
        (lab.folder / "link").replace(file)
        seen += [(await client.request("GET", "/x")).json()["auth"] for _ in range(2)]
    assert seen == ["Token one", "Token second", "Token third", "Token third", "Token forth", "Token forth"]


@pytest.mark.parametrize("content", [b"", b" \n", b"two\nlines", b"\xff\xfe", b"nul\0", None])
async def test_a_credential_that_cannot_be_sent_is_an_error_that_does_not_show_it(lab: Lab, content: bytes | None) -> None:
    file = lab.folder / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PermanentError, match="credential file token") as raised:
        await lab.client(token_file=file).request("GET", "/x")
    assert "lines" not in str(raised.value).removesuffix("holds more than one line")
    assert not lab.server.seen
    with pytest.raises(PermanentError):
        credential(file)


async def test_a_redirect_is_an_answer_and_is_not_followed(lab: Lab) -> None:
    answer = await lab.client().request("GET", "/moved")
    assert (answer.status, answer.headers["location"]) == (302, "/elsewhere")
    assert [seen.path for seen in lab.server.seen] == ["/moved"]


async def test_any_status_is_an_answer(lab: Lab) -> None:
    lab.server.fail_with(503, body=b"busy")
    answer = await lab.client().request("GET", "/x")
    assert (answer.status, answer.body) == (503, b"busy")


async def test_what_is_not_json_says_what_it_is(lab: Lab) -> None:
    lab.server.fail_with(200, body=b"<html>", content_type="text/html")
    answer = await lab.client().request("GET", "/x")
    with pytest.raises(PermanentError, match="answered 200 with text/html"):
        answer.json()


async def test_an_answer_that_is_too_long_is_an_error_not_a_part(lab: Lab) -> None:
    with pytest.raises(PermanentError, match="more than"):
        await lab.client(timeout=30.0).request("GET", "/long")


async def test_an_answer_that_breaks_off_is_an_error_not_a_part(lab: Lab) -> None:
    with pytest.raises(TemporaryError, match="/cut could not be reached"):
        await lab.client().request("GET", "/cut")


async def test_nobody_answering_in_time_is_temporary(lab: Lab) -> None:
    lab.server.slow_down(30)
    with pytest.raises(TemporaryError, match=r"did not answer within 0\.05 s"):
        await lab.client().request("GET", "/x?token=s3cr3t", timeout=0.05)
    lab.server.heal()


async def test_nobody_there_is_temporary_and_the_query_is_not_shown(lab: Lab) -> None:
    client = lab.client()
    await lab.server.go_down()
    with pytest.raises(TemporaryError, match=r"/x could not be reached \(connection refused\)") as raised:
        await client.request("GET", "/x?token=s3cr3t")
    assert "s3cr3t" not in str(raised.value)
    with pytest.raises(TemporaryError, match=r"could not be reached \(connection refused\)"):
        await client.connect()


async def test_a_secret_path_is_not_shown(lab: Lab) -> None:
    client = lab.client(secret_path=True)
    assert (await client.request("GET", "/s3cr3t")).url == lab.server.url
    await lab.server.go_down()
    with pytest.raises(TemporaryError) as raised:
        await client.request("GET", "/s3cr3t")
    assert "s3cr3t" not in str(raised.value)


async def test_connecting_sends_nothing(lab: Lab) -> None:
    await lab.client().connect()
    assert not lab.server.seen


async def test_a_server_that_does_not_speak_tls_is_an_error(lab: Lab) -> None:
    client = lab.client(base_url=lab.server.url.replace("http:", "https:"))
    with pytest.raises((PermanentError, TemporaryError)):
        await client.request("GET", "/x")
    with pytest.raises((PermanentError, TemporaryError)):
        await client.connect()


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_an_authority_file_that_cannot_be_used_is_named(lab: Lab, content: str | None) -> None:
    file = lab.folder / "ca.pem"
    if content is not None:
        file.write_text(content)
    client = lab.client(base_url=lab.server.url.replace("http:", "https:"), ca_file=file)
    for exchange in (client.request("GET", "/x"), client.connect()):
        with pytest.raises(PermanentError, match=r"ca_file ca\.pem"):
            await exchange


async def certified(certificate: Path, key: Path, name: str, *, protected: bool = False) -> None:
    """A certificate that signs itself; a protected key wants a passphrase."""
    made = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-days", "1", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"),
        *(("-passout", "pass:hunter2") if protected else ("-nodes",)),
        *("-keyout", str(key), "-out", str(certificate)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await made.wait() == 0


async def test_a_client_certificate_is_shown_and_a_replaced_one_is_taken_up(tmp_path: Path) -> None:
    key, certificate, own_key, own, next_key, following = (tmp_path / f"{name}.pem" for name in ("k", "c", "ok", "oc", "nk", "nc"))
    for file, its_key, name in ((certificate, key, "127.0.0.1"), (own, own_key, "bot"), (following, next_key, "next")):
        await certified(file, its_key, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    for one in (own, following):
        context.load_verify_locations(one)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            peer = writer.get_extra_info("peercert")["subject"][0][0][1]
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(peer)}\r\nConnection: close\r\n\r\n{peer}".encode())
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    known = Http(base_url=url, ca_file=certificate, certificate=Certificate(own, own_key))
    nobody = Http(base_url=url, ca_file=certificate)
    try:
        assert (await known.request("GET", "/")).body == b"bot"
        own.write_bytes(following.read_bytes())
        own_key.write_bytes(next_key.read_bytes())
        for _ in range(2):
            assert (await known.request("POST", "/")).body == b"next"
        with pytest.raises(TemporaryError):
            await nobody.request("GET", "/")
        own.unlink()
        with pytest.raises(PermanentError, match=r"client certificate oc\.pem"):
            await known.request("GET", "/")
    finally:
        await known.close()
        await nobody.close()
        server.close()
        await server.wait_closed()


async def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(lab: Lab) -> None:
    own, key = lab.folder / "own.pem", lab.folder / "own-key.pem"
    await certified(own, key, "bot", protected=True)
    client = lab.client(base_url=lab.server.url.replace("http:", "https:"), certificate=Certificate(own, key))
    with pytest.raises(PermanentError, match=r"client certificate own\.pem cannot be used"):
        await client.request("GET", "/x")


async def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    await certified(certificate, key, "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    trusting, strange = Http(base_url=url, ca_file=certificate, timeout=2.0), Http(base_url=url, timeout=2.0)
    try:
        assert (await trusting.request("GET", "/")).status == 204
        for exchange in (strange.request("GET", "/"), strange.connect()):
            with pytest.raises(PermanentError, match="TLS failed"):
                await exchange
    finally:
        await trusting.close()
        await strange.close()
        server.close()
        await server.wait_closed()


async def test_a_closed_client_can_be_used_again(lab: Lab) -> None:
    client = lab.client()
    await client.request("GET", "/x")
    await client.close()
    assert (await client.request("GET", "/x")).status == 200


@pytest.mark.parametrize("text", ["", "host", "ftp://host", "http://", "http://user:hunter2@host", "http://user@host", "http://host:port", "http://["])
def test_what_is_no_address_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="address") as raised:
        address(text)
    assert "hunter2" not in str(raised.value)
    with pytest.raises(PermanentError, match="address"):
        Http(base_url=text)


def test_a_closing_slash_does_not_matter() -> None:
    assert address("https://host:8443/prefix//") == "https://host:8443/prefix"


@pytest.mark.parametrize(("body", "line"), [(b"", ""), (b"\n one \ntwo", "one"), (b"\xff\x00bad", "\ufffd bad"), (b"x" * 500, "x" * 200)])
def test_the_first_line_is_fit_for_an_error_text(body: bytes, line: str) -> None:
    assert Answer(status=500, headers={}, body=body, url="http://host/x").first_line() == line


async def test_a_write_is_sent_on_a_connection_of_its_own_so_that_nothing_repeats_it() -> None:
    """Promise 3: aiohttp repeats a PUT or DELETE on a kept connection that turns out dead; a fresh connection has nothing to repeat on."""
    seen: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            seen.append(head.split(b" ", 1)[0].decode())
            if len(seen) > 1:  # the second request finds the connection dead
                writer.close()
                return
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            await writer.drain()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    http = Http(base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        await http.request("DELETE", "/first")
        with pytest.raises(TemporaryError):
            await http.request("DELETE", "/second")
    finally:
        await http.close()
        server.close()
        await server.wait_closed()
    assert seen == ["DELETE", "DELETE"]


# --- streams ---------------------------------------------------------------------------------------------------------------------------


async def read(client: Http, then: str, *, silence: float = 5.0) -> list[bytes]:
    """The lines until the stream ends, or with what it ended."""
    found: list[bytes] = []
    async with client.stream("/stream", params={"then": then}) as stream:
        assert (stream.ok, stream.media_type) == (True, "text/event-stream")
        try:
            async for line in stream.lines(silence=silence):
                found.append(line)  # noqa: PERF401  what came before an error is kept too
        except (TemporaryError, PermanentError) as error:
            found.append(str(error).encode())
    return found


async def test_a_stream_gives_whole_lines_whatever_pieces_they_came_in(lab: Lab) -> None:
    assert await read(lab.client(), "end") == [b"data: 1", b"", b": alive"]


async def test_a_stream_that_is_cut_off_is_temporary(lab: Lab) -> None:
    *_, last = await read(lab.client(), "cut")
    assert b"/stream was cut off (its answer broke off)" in last


async def test_a_stream_that_falls_silent_is_temporary(lab: Lab) -> None:
    *lines, last = await read(lab.client(), "wait", silence=0.1)
    assert lines == [b"data: 1", b"", b": alive"]
    assert last.endswith(b"/stream was silent for 0.1 s")


async def test_a_line_without_an_end_is_an_error(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_module, "MAX_LINE", 1000)
    *_, last = await read(lab.client(), "long")
    assert last.endswith(b"/stream sent a line of more than 1000 bytes")


@pytest.mark.parametrize("path", ["/stream?then=wait", "/mute"], ids=["while it reads", "before the headers"])
async def test_a_stream_can_be_closed_from_elsewhere(lab: Lab, path: str) -> None:
    stream = lab.client().stream(path)

    async def use() -> None:
        async with stream:
            async for _ in stream.lines(silence=60):
                pass

    reading = asyncio.ensure_future(use())
    await asyncio.sleep(0.1)
    stream.close("it is in the way")
    with pytest.raises(TemporaryError, match="the stream was closed: it is in the way"):
        await asyncio.wait_for(reading, 5)


async def test_a_close_does_not_hit_who_is_busy_with_a_line_and_ends_the_next_wait(lab: Lab) -> None:
    stream, seen = lab.client().stream("/stream?then=wait"), 0

    async def use() -> None:
        nonlocal seen
        async with stream:
            async for _ in stream.lines(silence=60):
                stream.close("enough")
                await asyncio.sleep(0.01)
                seen += 1

    with pytest.raises(TemporaryError, match="the stream was closed: enough"):
        await use()
    assert seen > 0


async def test_what_a_server_says_instead_of_a_stream_can_be_read(lab: Lab) -> None:
    lab.server.fail_with(401, body=b"who are you?")
    async with lab.client().stream("/stream") as stream:
        answer = await stream.answer(within=5)
    assert (stream.ok, answer.status, answer.body) == (False, 401, b"who are you?")


async def test_a_stream_carries_the_credential_and_waits_for_headers_longer_than_the_deadline_of_an_exchange(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    lab.server.slow_down(0.4)
    async with lab.client(timeout=0.1, token_file=tmp_path / "token").stream("/stream") as stream:
        assert stream.ok
    assert lab.server.seen[-1].authorized


async def test_where_nobody_listens_it_is_known_that_nothing_was_sent(lab: Lab) -> None:
    client = lab.client()
    await lab.server.go_down()
    with pytest.raises(UnreachedError):
        await client.request("POST", "/a", json={})
    with pytest.raises(UnreachedError):
        async with client.stream("/stream"):
            pass


async def test_a_connection_that_breaks_after_it_was_made_is_not_unreached(lab: Lab) -> None:
    with pytest.raises(TemporaryError, match=r"/cut could not be reached \(its answer broke off\)") as raised:
        await lab.client().request("GET", "/cut")
    assert not isinstance(raised.value, UnreachedError)


def test_why_nobody_was_reached_is_said_in_words_and_never_with_an_address() -> None:
    key = ConnectionKey(host="argocd.example", port=443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)
    assert reason(aiohttp.ClientConnectorDNSError(key, OSError(None, "argocd.example: no address"))) == "no such host"
    assert reason(socket.gaierror(socket.EAI_NONAME, "Name or service not known")) == "no such host"
    assert reason(aiohttp.ClientConnectorError(key, OSError(errno.EHOSTUNREACH, "Connect call failed ('192.0.2.1', 443)"))) == "no route to host"
    assert reason(aiohttp.ClientOSError(errno.ECONNRESET, "argocd.example")) == "connection reset by peer"
    assert reason(aiohttp.ServerDisconnectedError("https://argocd.example/x")) == "the connection was closed without an answer"
    assert reason(aiohttp.ClientError("https://argocd.example/x")) == "ClientError"
