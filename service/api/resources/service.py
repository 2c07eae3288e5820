"""The service about itself: alive, ready, metrics, and its own description. No token is asked for, so nothing here tells of any target."""

import asyncio
import json
from typing import Any

import structlog
import yaml
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.api.edge import Answer, Call, Route
from service.api.parts import Parts
from service.api.reads import ReadinessCheck
from service.domain.errors import BackoutError

PATIENCE = 3.0
"""Seconds that one readiness check may take."""

_log = structlog.get_logger(__name__)


async def livez(_: Call) -> Answer:
    """The event loop answers; nothing else is looked at, or a slow store would have the process killed."""
    return Answer(body={"alive": True}, headers={"Cache-Control": "no-store"})


async def readyz(call: Call) -> Answer:
    """Every check, all at once; 503 first thing when going down."""
    verbose = "verbose" in call.query
    call.word("verbose", "", "1", "true")
    if call.parts.drain.begun:
        says = [("shutdown", "the service is going down")]
    else:
        answers = await asyncio.gather(*(_ask(one) for one in call.parts.readiness))
        says = [(one.name, answer) for one, answer in zip(call.parts.readiness, answers, strict=True)]
    ready = not any(trouble for _, trouble in says)
    body: dict[str, Any] = {"ready": ready}
    if verbose:
        body |= {"version": call.parts.version, "checks": [{"name": name, "ok": not trouble, "says": trouble or "ok"} for name, trouble in says]}
    return Answer(body=body, status=200 if ready else 503, headers={"Cache-Control": "no-store"})


async def _ask(check: ReadinessCheck) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            return await check.ask()
    except TimeoutError:
        return f"no answer within {PATIENCE:g} s"
    except BackoutError as error:
        return str(error)
    except Exception:  # noqa: BLE001  a check that fails is an answer: not ready; the log tells why
        _log.exception("a readiness check failed", check=check.name)
        return "the check itself failed; see the log"


async def metrics(call: Call) -> web.Response:
    """Everything on the registry."""
    return web.Response(body=generate_latest(call.parts.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


class Description:
    """openapi.yaml, read and translated at the first question, for parsing YAML would slow every start down."""

    def __init__(self, parts: Parts) -> None:
        self._path = parts.openapi
        self._read: tuple[str, str] | None = None

    async def yaml(self, _: Call) -> web.Response:
        """As it was written."""
        return web.Response(text=(await self._both())[0], content_type="application/yaml", charset="utf-8")

    async def json(self, _: Call) -> web.Response:
        """As JSON."""
        return web.Response(text=(await self._both())[1], content_type="application/json", charset="utf-8")

    async def _both(self) -> tuple[str, str]:
        if self._read is None:
            self._read = await asyncio.to_thread(self._load)
        return self._read

    def _load(self) -> tuple[str, str]:
        written = self._path.read_text(encoding="utf-8")
        return written, json.dumps(yaml.safe_load(written), ensure_ascii=False)


def routes(parts: Parts) -> tuple[Route, ...]:
    """All without a token."""
    description = Description(parts)
    return (
        Route(method="GET", path="/livez", handler=livez, scope=None),
        Route(method="GET", path="/readyz", handler=readyz, scope=None, query=("verbose",)),
        Route(method="GET", path="/metrics", handler=metrics, scope=None),
        Route(method="GET", path="/openapi.yaml", handler=description.yaml, scope=None),
        Route(method="GET", path="/openapi.json", handler=description.json, scope=None),
    )
