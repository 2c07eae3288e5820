import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from integrations import catalogue
from integrations.sandbox.world import World
from service.domain.facts import Fact, Key
from service.domain.rules import RULES
from service.settings import Settings, load
from service.wiring.parts import TRACE, VERSION, Outside, SystemClock, kinds, outside
from tests.fakes.clock import FakeClock
from tests.unit.service.wiring.conftest import settings_of


class Closing:
    """A connection that notes that it was closed, and may fail at it."""

    channel = "notify"
    kinds = frozenset[str]()

    def __init__(self, trouble: Exception | None = None) -> None:
        self.closed = 0
        self._trouble = trouble

    async def send(self, bodies: Sequence[bytes]) -> None:
        raise AssertionError(bodies)

    async def read(self, key: Key[Any]) -> Fact[Any]:
        raise AssertionError(key)

    async def close(self) -> None:
        self.closed += 1
        if self._trouble is not None:
            raise self._trouble


class Unclosable:
    """A source with nothing to close."""

    kinds = frozenset[str]()

    async def read(self, key: Key[Any]) -> Fact[Any]:
        raise AssertionError(key)


def bare(alone: Callable[..., Path], **changes: Any) -> Settings:
    return load(alone(**changes), kinds())


# --- the clock and the version -------------------------------------------------------------------------------------------


async def test_the_clock_is_aware_utc_and_goes_on_while_somebody_sleeps() -> None:
    clock = SystemClock()
    before = clock.now()
    await clock.sleep(0.01)
    after = clock.now()
    assert (before.tzinfo, before.utcoffset()) == (UTC, timedelta(0))
    assert after > before


def test_the_version_is_that_of_the_distribution() -> None:
    assert version("backout") == VERSION


# --- kinds ---------------------------------------------------------------------------------------------------------------


def test_the_settings_know_every_integration_and_every_rule() -> None:
    known = kinds()
    assert (known.delivery.keys(), known.notify.keys(), known.evidence.keys()) == (
        catalogue.DELIVERY.keys(),
        catalogue.NOTIFY.keys(),
        catalogue.EVIDENCE.keys(),
    )
    assert known.delivery["argocd"] is catalogue.DELIVERY["argocd"].settings
    assert list(known.rules) == [rule.name for rule in RULES]


# --- outside -------------------------------------------------------------------------------------------------------------


async def test_what_the_settings_do_not_name_is_not_built(alone: Callable[..., Path]) -> None:
    out = outside(bare(alone), FakeClock())
    assert (dict(out.deliveries), dict(out.sources), dict(out.notifiers), out.trace) == ({}, {}, {}, None)
    await out.close()


async def test_what_the_settings_name_is_built_under_its_name(alone: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t", encoding="utf-8")
    settings = bare(
        alone,
        delivery=[{"kind": "argocd", "name": name, "url": "http://127.0.0.1:1", "token_file": "token"} for name in ("prod", "staging")],
        evidence={"prometheus": {"url": "http://127.0.0.1:1"}},
        notify=[{"kind": "webhook", "name": "on-call", "url": "http://127.0.0.1:1"}],
        audit={"otlp": "http://127.0.0.1:1", "query": "http://127.0.0.1:2"},
    )
    out = outside(settings, FakeClock())
    assert {name: one.instance for name, one in out.deliveries.items()} == {"prod": "prod", "staging": "staging"}
    assert {name: one.kinds for name, one in out.sources.items()} == {"prometheus": {"alert rule", "alert state", "series"}}
    assert {name: one.channel for name, one in out.notifiers.items()} == {"on-call": "notify"}
    assert out.trace is not None
    assert out.trace.channel == "trace"
    await out.close()


async def test_building_speaks_to_nobody(world: World) -> None:
    """A start must not hang on somebody who is away: each connection is made when it is first needed."""
    settings = settings_of(world)
    out = outside(settings, SystemClock())
    await asyncio.sleep(0.05)
    assert (world.collector.traces(), world.sink.received) == ((), ())
    await out.close()


async def test_the_trace_of_the_operation_at_work_goes_with_its_requests(alone: Callable[..., Path], tmp_path: Path) -> None:
    heads: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    (tmp_path / "token").write_text("t", encoding="utf-8")
    settings = bare(alone, delivery=[{"kind": "argocd", "name": "prod", "url": f"http://127.0.0.1:{port}", "token_file": "token"}])
    out = outside(settings, FakeClock())
    before = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"

    async def ask(trace: str) -> None:
        TRACE.set(trace)
        await out.deliveries["prod"].check()

    await asyncio.create_task(ask(before))  # noqa: TID251  a context of its own, as each operation has one
    with_trace, heads[:] = list(heads), []
    await out.deliveries["prod"].check()
    await out.close()
    server.close()
    assert with_trace
    assert all(f"traceparent: {before}".encode() in head for head in with_trace)
    assert heads
    assert not any(b"traceparent" in head for head in heads)


# --- closing -------------------------------------------------------------------------------------------------------------


def joined(*senders: Closing) -> Outside:
    return Outside(deliveries={}, sources={"a": Unclosable(), "b": Closing()}, notifiers={str(n): one for n, one in enumerate(senders)}, trace=None)


async def test_everything_is_closed_once_and_what_cannot_be_closed_is_left() -> None:
    senders, trace = (Closing(), Closing()), Closing()
    await Outside(deliveries={}, sources={"a": Unclosable()}, notifiers={"1": senders[0], "2": senders[1]}, trace=trace).close()
    assert [one.closed for one in (*senders, trace)] == [1, 1, 1]


async def test_one_that_fails_to_close_keeps_no_other_open() -> None:
    senders = (Closing(), Closing(OSError("broken")), Closing())
    out = joined(*senders)
    with pytest.raises(OSError, match="broken"):
        await out.close()
    assert [one.closed for one in senders] == [1, 1, 1]
    source = out.sources["b"]
    assert isinstance(source, Closing)
    assert source.closed == 1
