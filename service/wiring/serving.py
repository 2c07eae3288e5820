"""`backout serve`: the service with its HTTP edge, from start to a graceful end."""

import asyncio
import collections
import gc
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge

import service as package
from integrations import catalogue
from service.api.app import make_app
from service.api.auth import KeysFileVerifier
from service.api.live import Live
from service.api.metrics import ApiMetrics
from service.api.parts import Drain, Parts
from service.api.reads import ReadinessCheck
from service.api.senders import SenderFiles
from service.domain.errors import BackoutError
from service.domain.model import Json, TargetId
from service.domain.verdict import Answer
from service.settings import Settings, load
from service.wiring.parts import VERSION, SystemClock, kinds
from service.wiring.service import Service
from service.workflow.readiness import LEARN
from service.workflow.watch import Stream

log = structlog.get_logger()

TOGETHER = 0.05
"""Seconds between two looks for the live view: what is committed meanwhile is read together."""

TELLS_OF_ITSELF = ("spinnaker",)
"""Kinds of delivery systems that can post events of their own; the others are watched or polled."""

SELDOM = (20_000, 10, 20)
"""When Python looks for cycles of objects: after so many new ones, and the older ones so many times more seldom (its own default: 700, 10, 10).

A list of ten thousand targets is hundreds of thousands of objects for a moment, and what is known of them as many for ever: by the default all of the latter
were walked every six seconds, 0.1 to 0.2 s each, in the middle of whatever was under way. Next to nothing of ours is a cycle.
"""

DRAIN_SECONDS = 0.5
"""Between /readyz saying 503 and closing the listener; a load balancer in front needs its own probe interval on top."""


def serve(config: Path) -> int:
    """Run until SIGTERM or SIGINT. SettingsError when the settings are wrong: nothing was started."""
    settings = load(config, kinds())
    _log()
    return asyncio.run(_serve(settings))


async def _serve(settings: Settings, *, drain_seconds: float = DRAIN_SECONDS) -> int:
    clock = SystemClock()
    registry = CollectorRegistry()
    work = Counter("backout_background_total", "What the background loops did.", ("what", "result"), registry=registry)
    service = Service(settings, clock, count=lambda what, result: work.labels(what, result).inc())
    drain = Drain()
    ended = asyncio.Event()
    loop, as_it_was = asyncio.get_running_loop(), gc.get_threshold()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    edge = parts(service, registry, drain)
    runner = web.AppRunner(make_app(edge), access_log=None, shutdown_timeout=5.0)  # a wrong keys file ends it before the store opens
    await service.start()
    try:
        await runner.setup()
        await _listen(runner, settings)
        gauges = _Gauges(service, registry, edge.live)
        service.tasks.every(5, "gauges", gauges.round)
        service.tasks.every(TOGETHER, "live", edge.live.beat)
        gc.freeze()  # what was made until here lives as long as the process
        gc.set_threshold(*SELDOM)
        warming = loop.run_in_executor(None, _warm, service)
        log.info("ready", listen=settings.listen, version=VERSION, targets=len(settings.targets))
        await warming
        await ended.wait()
        log.info("stopping")
        drain.begin()
        await asyncio.sleep(drain_seconds)
    finally:
        gc.set_threshold(*as_it_was)
        await runner.cleanup()
        await service.stop()
    log.info("stopped")
    return 0


def _trees(bodies: Sequence[bytes]) -> Sequence[Mapping[str, Json]]:
    from service.audit import tree  # noqa: PLC0415  not needed to start, see `_warm`

    return [tree.to_json(one) for one in tree.grow_each(bodies)]


def _tree_text(bodies: Sequence[bytes]) -> str:
    from service.audit import tree  # noqa: PLC0415  not needed to start, see `_warm`

    return "\n\n".join(tree.render_text(one) for one in tree.grow_each(bodies))


def _warm(service: Service) -> None:
    """Import what a start can do without and an alert should not wait for (0.5 s together), in a thread, once the service is ready."""
    service.encoder.warm()
    for module in ("service.audit.tree", "service.domain.schema.alterations"):
        importlib.import_module(module)


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    host, port = settings.address
    try:
        await web.TCPSite(runner, host, port).start()
    except (OSError, OverflowError) as error:  # the latter for a port above 65535
        number = error.errno if isinstance(error, OSError) else None
        why = os.strerror(number).lower() if number and number > 0 else getattr(error, "strerror", None) or str(error).rstrip(".")
        raise BackoutError(f"cannot listen on {settings.listen}: {why}; end what listens there, or choose another address with listen:") from error


def parts(service: Service, registry: CollectorRegistry, drain: Drain) -> Parts:
    """The edge's view of the service."""
    settings = service.settings
    live = Live(events=service.events, operations=service.operations, alerts=service.alerts)
    service.database.tell(live.nudge)
    sources = {name: entry.build(entry.settings(), service.clock) for name, entry in catalogue.ALERTS.items()}
    return Parts(
        desk=service.desk,
        targets=service.targets,
        standings=service.standings,
        operations=service.operations,
        events=service.events,
        captures=service.captures,
        live=live,
        alerts=service.alerts,
        holds=service.holds,
        orphans=service.keeper.orphans,
        plans=service.plans,
        answers=service.answers,
        stop=service.stop_switch,
        starter=service.engine,
        clock=service.clock,
        verifier=KeysFileVerifier(settings.auth.keys_file, service.clock),
        senders=SenderFiles({one.name: one.token_file for one in settings.alerts.alertmanager}),
        alert_sources=sources,
        policies=service.policies,
        freshness=service.watcher.freshness,
        trees=_trees,
        tree_text=_tree_text,
        readiness=_readiness(service),
        metrics=ApiMetrics(registry, sources),
        openapi=Path(package.__file__ or "").parent / "openapi.yaml",
        version=VERSION,
        trace_link=settings.audit.trace_link,
        public_url=settings.public_url,
        hints=_hints(service),
        drain=drain,
    )


def _hints(service: Service) -> Mapping[str, Callable[[], Sequence[str]]]:
    """Who sends events, and the instances that these may be about: a delivery system's own are about its kind, CDEvents about any."""
    kinds = {kind: [one.name for one in service.settings.delivery if one.kind == kind] for kind in TELLS_OF_ITSELF}
    return {source: partial(_list_again, service, names) for source, names in (kinds | {"cdevents": [one.name for one in service.settings.delivery]}).items()}


def _list_again(service: Service, names: Sequence[str]) -> Sequence[str]:
    for name in names:
        service.watcher.list_again(name)
    return names


def _readiness(service: Service) -> Sequence[ReadinessCheck]:
    """What must be well for alerts to be taken. Trouble with a delivery system is not among it: doctor, /v1/targets and metrics tell that."""

    async def store() -> str:
        await service.operations.alive()
        return ""

    async def loops() -> str:
        dead = [name for name, alive in service.alive().items() if not alive]
        return f"background loops ended: {', '.join(dead)}" if dead else ""

    return (ReadinessCheck(name="store", ask=store), ReadinessCheck(name="loops", ask=loops))


class _Gauges:
    """Figures that are read from the store now and then."""

    def __init__(self, service: Service, registry: CollectorRegistry, live: Live) -> None:
        self._service, self._live = service, live
        self._channels = ("trace", *service.told.channels)
        self._waiting = Gauge("backout_outbox_waiting", "Messages that wait to be sent.", ("channel",), registry=registry)
        self._oldest = Gauge("backout_outbox_oldest_age_seconds", "Age of the oldest message that waits.", ("channel",), registry=registry)
        self._parked = Gauge("backout_outbox_parked", "Messages that were set aside for a person.", ("channel",), registry=registry)
        self._alive = Gauge("backout_operations_in_progress", "Operations that have not ended.", registry=registry)
        self._holds = Gauge("backout_holds_open", "Holds that have not ended.", registry=registry)
        self._past_review = Gauge("backout_holds_past_review", "Open holds whose review came and went.", registry=registry)
        self._orphaned = Gauge("backout_orphaned_holds", "Hold marks on targets that no open hold here explains.", registry=registry)
        self._streams = Gauge("backout_event_streams", "Streams of events that are open.", registry=registry)
        self._failed = Gauge("backout_background_failed_rounds", "Rounds of background loops that failed since the start.", ("loop",), registry=registry)
        self._listed = Gauge(
            "backout_instance_listed_age_seconds", "Since the last list of an instance; -1 before the first.", ("instance",), registry=registry
        )
        self._stream = Gauge(
            "backout_instance_stream_up", "1 while the instance streams its changes, 0 while it should and does not.", ("instance",), registry=registry
        )
        self._could = Gauge("backout_targets", "Targets by standing verdict: could they go back now?", ("readiness",), registry=registry)
        self._readiness = Gauge(
            "backout_target_readiness",
            "The standing verdict of a target: 0 pass, 1 warn, 2 unknown (also when nobody looked, or too long ago), 3 block.",
            ("target",),
            registry=registry,
        )
        self._shown: Mapping[TargetId, Answer] = {}
        self._stood: datetime | None = None
        self._oldest_verdict = Gauge("backout_readiness_oldest_age_seconds", "Age of the oldest standing verdict that is still believed.", registry=registry)
        Gauge("backout_build_info", "The version.", ("version",), registry=registry).labels(VERSION).set(1)

    async def round(self) -> None:
        """Read them all."""
        now = self._service.clock.now()
        for channel in self._channels:
            waiting = await self._service.outbox.waiting(channel)
            self._waiting.labels(channel).set(waiting.rows)
            self._oldest.labels(channel).set((now - waiting.oldest).total_seconds() if waiting.oldest else 0)
            self._parked.labels(channel).set(waiting.parked)
        self._streams.set(self._live.streams)
        self._alive.set(len(await self._service.operations.alive()))
        keeper = self._service.keeper
        self._holds.set(keeper.open)
        self._past_review.set(keeper.past_review)
        self._orphaned.set(keeper.orphaned)
        if self._stood is None or not timedelta(0) <= now - self._stood < LEARN:  # the ages are learnt no more often either
            self._stood = now
            self._standing(await self._service.targets.known(), now)
        for name, fresh in self._service.watcher.freshness.items():
            self._listed.labels(name).set((now - fresh.listed_at).total_seconds() if fresh.listed_at else -1)
            if fresh.stream is not Stream.OFF:
                self._stream.labels(name).set(fresh.stream is Stream.UP)
        for name, count in self._service.tasks.failed.items():
            self._failed.labels(name).set(count)

    def _standing(self, known: Sequence[TargetId], now: datetime) -> None:
        """By the ages alone, which every process reads: findings of ten thousand targets are not needed to count them."""
        ages = self._service.readiness.ages
        answers = {target: Answer.UNKNOWN if (age := ages.get(target)) is None else age.at(now) for target in known}
        for gone in self._shown.keys() - answers.keys():
            self._readiness.remove(str(gone))
        for target, answer in answers.items():
            if self._shown.get(target) is not answer:  # to set all of ten thousand each time was the half of what an idle service did
                self._readiness.labels(str(target)).set(int(answer))
        self._shown = answers
        counts = collections.Counter(answers.values())
        for answer in Answer:
            self._could.labels(answer.word).set(counts[answer])
        self._oldest_verdict.set(max(((now - age.as_of).total_seconds() for age in ages.values() if not age.stale(now)), default=0))


def _log() -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
