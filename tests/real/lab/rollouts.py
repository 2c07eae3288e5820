"""Argo Rollouts, started when a test asks for it: most tests do without, and the lab is up sooner.

Asked for by an empty file in the lab's work folder, answered by another one that holds the process id.
"""

import asyncio
from pathlib import Path

import aiohttp

from tests.real.lab.addresses import Port
from tests.real.lab.api import HttpApi
from tests.real.lab.cache import Cache
from tests.real.lab.kubernetes import APPLY, kubeconfig
from tests.real.lab.output import say
from tests.real.lab.processes import Processes, StartError
from tests.real.lab.programs import ROLLOUTS

_CRDS = {
    "rollout": "rollouts",
    "analysis-run": "analysisruns",
    "analysis-template": "analysistemplates",
    "cluster-analysis-template": "clusteranalysistemplates",
    "experiment": "experiments",
}


def asked_for(work: Path) -> Path:
    """Whoever makes this file gets Argo Rollouts."""
    return work / f"{ROLLOUTS.name}.asked"


def answered(work: Path) -> Path:
    """There once it is ready; holds the process id."""
    return work / f"{ROLLOUTS.name}.ready"


async def start_when_asked(processes: Processes, cache: Cache, work: Path, kube: HttpApi, session: aiohttp.ClientSession) -> None:
    """Wait for a test that asks, start it then; says so when it does not come up (the test gives up waiting)."""
    while not await asyncio.to_thread(asked_for(work).exists):  # noqa: ASYNC110  whoever asks is another process
        await asyncio.sleep(0.2)
    try:
        await _start(processes, cache, work, kube, session)
    except StartError as error:
        say(str(error))
        return
    draft = answered(work).with_suffix(".new")
    await asyncio.to_thread(draft.write_text, str(processes.pids[ROLLOUTS.name]))
    await asyncio.to_thread(draft.replace, answered(work))


async def _start(processes: Processes, cache: Cache, work: Path, kube: HttpApi, session: aiohttp.ClientSession) -> None:
    for short, plural in _CRDS.items():
        text = await asyncio.to_thread((cache.manifests(ROLLOUTS) / "crds" / f"{short}-crd.yaml").read_text)
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.argoproj.io?fieldManager=lab&force=true"
        await kube.must("PATCH", path, text, content_type=APPLY)

    async def known() -> bool:
        answer = await kube.call("GET", "/apis/argoproj.io/v1alpha1")
        return answer.good and {resource["name"] for resource in answer.body["resources"]} >= set(_CRDS.values())

    await processes.until_ready("kube-apiserver", known)
    await processes.start(
        ROLLOUTS.name,
        [
            cache.binary(ROLLOUTS.name),
            "--kubeconfig",
            str(kubeconfig(work)),
            "--leader-elect=false",
            "--metricsPort",
            str(Port.ROLLOUTS_METRICS.value),
            "--healthzPort",
            str(Port.ROLLOUTS_HEALTH.value),
        ],
    )

    async def healthy() -> bool:
        async with session.get(f"{Port.ROLLOUTS_HEALTH.url}/healthz") as response:
            return response.status == 200

    await processes.until_ready(ROLLOUTS.name, healthy)
