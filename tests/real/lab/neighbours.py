"""Starts what stands beside Kubernetes and Argo CD: Redis, the registry, Prometheus, Alertmanager, Jaeger.

Their settings are those we ask users for, with shorter times, so that an alert of the lab takes seconds.
"""

import secrets
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.real.lab.addresses import Port
from tests.real.lab.cache import Cache
from tests.real.lab.processes import Processes
from tests.real.lab.traffic import METRIC

WEBHOOK_PATH = "/v1/alerts/alertmanager"


def rules_folder(work: Path) -> Path:
    """Every `*.yml` in it is loaded by Prometheus at its next reload."""
    return work / "rules"


def token_file(work: Path) -> Path:
    """The bearer token Alertmanager sends with each webhook."""
    return work / "alertmanager.token"


def prometheus_settings(work: Path) -> dict[str, Any]:
    """prometheus.yml: a scrape and an evaluation every second."""
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [f"{rules_folder(work)}/*.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [Port.ALERTMANAGER.at]}]}]},
        "scrape_configs": [{"job_name": "traffic", "static_configs": [{"targets": [Port.TRAFFIC.at]}]}],
    }


def alert_rules() -> dict[str, Any]:
    """The rule every lab has: more than one percent of an application's answers are errors, for three seconds."""
    burning, all_answers = (f"sum by (namespace, app) (rate({METRIC}{matcher}[10s]))" for matcher in ('{code=~"5.."}', ""))
    rule = {
        "alert": "HighErrorRate",
        "expr": f"{burning} / {all_answers} > 0.01",
        "for": "3s",
        "labels": {"severity": "critical", "argocd_app": "{{ $labels.app }}"},
        "annotations": {"summary": "{{ $labels.app }} answers {{ $value | humanizePercentage }} of its requests with errors"},
    }
    return {"groups": [{"name": "lab", "rules": [rule]}]}


def alertmanager_settings(work: Path) -> dict[str, Any]:
    """alertmanager.yml: alerts that name an application go to the webhook, and people would be paged as well."""
    webhook = {
        "url": f"{Port.WEBHOOK.url}{WEBHOOK_PATH}",
        "send_resolved": True,
        "max_alerts": 0,
        "http_config": {"follow_redirects": False, "authorization": {"credentials_file": str(token_file(work))}},
    }
    return {
        "route": {
            "receiver": "people",
            "routes": [
                {
                    "receiver": "backout",
                    "matchers": ['argocd_app!=""'],
                    "group_by": ["alertname", "namespace", "argocd_app", "cluster"],
                    "group_wait": "1s",
                    "group_interval": "5s",
                    "repeat_interval": "30s",
                    "continue": True,
                }
            ],
        },
        "receivers": [{"name": "people"}, {"name": "backout", "webhook_configs": [webhook]}],
    }


def registry_settings(work: Path) -> dict[str, Any]:
    """config.yml of the registry: files in the work folder, deletion allowed."""
    return {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": f"{work}/registry"}, "delete": {"enabled": True}, "cache": {"blobdescriptor": "inmemory"}},
        "http": {"addr": Port.REGISTRY.at},
    }


def _write_settings(work: Path) -> None:
    rules_folder(work).mkdir()
    token_file(work).touch(mode=0o600)
    token_file(work).write_text(secrets.token_urlsafe(32))
    for name, settings in (
        ("prometheus.yml", prometheus_settings(work)),
        ("rules/lab.yml", alert_rules()),
        ("alertmanager.yml", alertmanager_settings(work)),
        ("registry.yml", registry_settings(work)),
    ):
        (work / name).write_text(yaml.safe_dump(settings, sort_keys=False))


async def start(processes: Processes, cache: Cache, work: Path) -> None:
    """Start all five; `until_ready` waits for them, so that they come up while Kubernetes does."""
    _write_settings(work)
    await processes.start("redis", ["redis-server", "--bind", "127.0.0.1", "--port", str(Port.REDIS.value), "--save", "", "--appendonly", "no"])
    await processes.start("registry", ["docker-registry", "serve", f"{work}/registry.yml"])
    await processes.start(
        "jaeger",
        [
            cache.binary("jaeger"),
            f"--set=extensions.jaeger_query.http.endpoint={Port.JAEGER_QUERY.at}",
            f"--set=extensions.jaeger_query.grpc.endpoint={Port.JAEGER_QUERY_GRPC.at}",
        ],
    )
    await processes.start(
        "prometheus",
        [
            "prometheus",
            f"--config.file={work}/prometheus.yml",
            f"--storage.tsdb.path={work}/prometheus",
            f"--web.listen-address={Port.PROMETHEUS.at}",
            "--web.enable-lifecycle",
        ],
    )
    await processes.start(
        "alertmanager",
        [
            cache.binary("alertmanager"),
            f"--config.file={work}/alertmanager.yml",
            f"--storage.path={work}/alertmanager",
            f"--web.listen-address={Port.ALERTMANAGER.at}",
            "--cluster.listen-address=",
        ],
    )


async def until_ready(processes: Processes, session: aiohttp.ClientSession) -> None:
    """Wait for those of the five that answer HTTP; Redis is up long before anybody asks it."""
    for name, address in (
        ("registry", f"{Port.REGISTRY.url}/v2/"),
        ("jaeger", f"{Port.JAEGER_QUERY.url}/api/v3/services"),
        ("prometheus", f"{Port.PROMETHEUS.url}/-/ready"),
        ("alertmanager", f"{Port.ALERTMANAGER.url}/-/ready"),
    ):

        async def answers(address: str = address) -> bool:
            async with session.get(address) as response:
                return response.status == 200

        await processes.until_ready(name, answers)
