import threading
from collections.abc import Iterator
from http.client import HTTPResponse, IncompleteRead
from itertools import islice

import pytest

from service.cli.streaming import NOTHING, Lost, Told, listen


class Response(HTTPResponse):
    """Gives lines; an exception among them is raised, and an event is waited for first."""

    def __init__(self, *parts: bytes | Exception | threading.Event) -> None:
        self._parts: Iterator[bytes | Exception | threading.Event] = iter(parts)
        self.shut = False

    def readline(self, limit: int | None = -1) -> bytes:
        del limit
        part = next(self._parts, b"")
        if isinstance(part, threading.Event):
            part.wait(10)
            return self.readline()
        if isinstance(part, Exception):
            raise part
        return part

    def close(self) -> None:
        self.shut = True


def test_events_come_with_their_kind_and_comments_do_not_come() -> None:
    response = Response(
        b"retry: 2000\n", b"\n", b": still here\n", b"\n", b"id: 1\n", b'data: {"number":1}\n', b"\n", b"event: end\r\n", b'data:{"state":"ended"}\r\n', b"\r\n"
    )
    assert list(listen(response)) == [Told(kind="message", data={"number": 1}), Told(kind="end", data={"state": "ended"})]
    assert response.shut


def test_data_over_several_lines_is_one() -> None:
    assert list(listen(Response(b"data: {\n", b'data: "a": 1}\n', b"\n"))) == [Told(kind="message", data={"a": 1})]


def test_an_event_that_is_not_whole_at_the_end_is_none() -> None:
    assert list(listen(Response(b'data: {"a": 1}\n'))) == []


def test_data_that_is_no_object_is_passed_over() -> None:
    assert list(listen(Response(b"data: 7\n", b"\n"))) == []


@pytest.mark.parametrize("broken", [OSError("reset"), IncompleteRead(b""), TimeoutError("timed out"), b"data: {\n"])
def test_a_stream_that_breaks_off_is_lost(broken: bytes | Exception) -> None:
    heard = listen(Response(b'data: {"a": 1}\n', b"\n", broken, b"\n"))
    assert next(heard) == Told(kind="message", data={"a": 1})
    with pytest.raises(Lost):
        next(heard)


def test_time_passes_while_nothing_comes() -> None:
    go_on = threading.Event()
    heard = listen(Response(go_on, b'data: {"a": 1}\n', b"\n"), moment=0.01)
    assert list(islice(heard, 2)) == [NOTHING, NOTHING]
    go_on.set()
    assert Told(kind="message", data={"a": 1}) in list(heard)
