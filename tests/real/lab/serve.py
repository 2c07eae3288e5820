"""Brings the lab up in the right order, writes `lab.json`, lets one use of it happen, takes everything down again."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from tests.real.lab import argocd, kubernetes, neighbours, outages, rollouts
from tests.real.lab.addresses import LOOPBACK, Port
from tests.real.lab.api import HttpApi
from tests.real.lab.cache import Cache
from tests.real.lab.images import Registry
from tests.real.lab.kubelet import FakeKubelet
from tests.real.lab.output import say
from tests.real.lab.processes import Processes
from tests.real.lab.traffic import Traffic


async def serve(cache: Cache, work: Path, use: Callable[[Path], Awaitable[int]]) -> int:
    """Start everything in the empty folder `work`, call `use` with the path of lab.json, stop everything.

    Answers what `use` answers. StartError when a server does not come up; whatever happens, no server stays.
    """
    processes = Processes(logs=_folder(work / "log"), work=work)
    _folder(work / "git")
    traffic = Traffic(time.monotonic)
    exporter = await traffic.start(host=LOOPBACK, port=Port.TRAFFIC)
    try:
        async with aiohttp.ClientSession() as session:
            began = time.monotonic()
            kube = HttpApi(session, kubernetes.URL, kubernetes.TOKEN)
            await neighbours.start(processes, cache, work)
            await kubernetes.start(processes, cache, work, kube)
            await argocd.create_objects(processes, cache, kube)
            await argocd.start(processes, cache, work, session)
            await neighbours.until_ready(processes, session)
            tokens = await argocd.tokens(processes, kube, session)
            version = await argocd.version(session)
            ready_s = round(time.monotonic() - began, 1)
            say(f"ready in {ready_s} s: Argo CD {version}, logs in {work / 'log'}")
            lab_json = _write(work / "lab.json", _about(work, tokens=tokens, version=version, pids=processes.pids, ready_s=ready_s))
            registry = Registry(session, url=Port.REGISTRY.url, host=Port.REGISTRY.at)
            async with asyncio.TaskGroup() as loops:
                background = [
                    loops.create_task(FakeKubelet(kube, registry, traffic).run()),
                    loops.create_task(processes.watch()),
                    loops.create_task(outages.start_again_when_asked(processes, work)),
                    loops.create_task(rollouts.start_when_asked(processes, cache, work, kube, session)),
                ]
                try:
                    return await use(lab_json)
                finally:
                    for loop in background:
                        loop.cancel()
    finally:
        await processes.stop()
        await exporter.cleanup()


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _about(work: Path, *, tokens: dict[str, str], version: str, pids: dict[str, int], ready_s: float) -> dict[str, Any]:
    """What tests need to know; `client.load_lab` reads it."""
    return {
        "argocd": {"url": Port.ARGOCD.url, "version": version, "tokens": tokens},
        "kube": {"url": kubernetes.URL, "token": kubernetes.TOKEN},
        "registry": {"url": Port.REGISTRY.url, "host": Port.REGISTRY.at},
        "prometheus": {"url": Port.PROMETHEUS.url, "rules_dir": str(neighbours.rules_folder(work))},
        "alertmanager": {
            "url": Port.ALERTMANAGER.url,
            "webhook_port": Port.WEBHOOK.value,
            "token_file": str(neighbours.token_file(work)),
        },
        "jaeger": {"otlp": Port.JAEGER_OTLP_HTTP.url, "query": Port.JAEGER_QUERY.url},
        "git": {"root": str(work / "git")},
        "work": str(work),
        "pids": {"lab": os.getpid(), **pids},
        "ready_s": ready_s,
    }


def _write(file: Path, about: dict[str, Any]) -> Path:
    """Tokens are in it: nobody else may read it."""
    draft = file.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(about, indent=1))
    return draft.replace(file)
