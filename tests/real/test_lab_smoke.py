"""The lab is what it says: real servers that deploy, fail, alert and keep traces."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tests.real.lab.client import GitRepository, Lab, LabClient, deployment, until

pytestmark = pytest.mark.real


def unique(name: str) -> str:
    return f"{name}-{secrets.token_hex(3)}"


async def deploy(client: LabClient, name: str, image: str, *, auto_sync: bool = True) -> GitRepository:
    repository = await client.create_repository(name)
    await repository.commit({"deploy/app.yaml": deployment(name, image, replicas=2)}, "first release")
    await client.create_namespace(name)
    await client.create_application(name, repository, namespace=name, auto_sync=auto_sync)
    return repository


async def release(client: LabClient, repository: GitRepository, name: str, image: str) -> str:
    revision = await repository.commit({"deploy/app.yaml": deployment(name, image, replicas=2)}, "next release")
    await client.application(name, refresh=True)
    return revision


@asynccontextmanager
async def webhooks(lab: Lab) -> AsyncIterator[list[tuple[str, Any]]]:
    """What Alertmanager posts while the block runs: (Authorization header, body)."""
    posts: list[tuple[str, Any]] = []

    async def receive(request: web.Request) -> web.Response:
        posts.append((request.headers.get("Authorization", ""), await request.json()))
        return web.Response(status=202)

    application = web.Application()
    application.router.add_post("/v1/alerts/alertmanager", receive)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", lab.webhook_port).start()
    try:
        yield posts
    finally:
        await runner.cleanup()


async def test_an_application_with_auto_sync_runs_the_digest_that_git_names(client: LabClient) -> None:
    name = unique("shop")
    digest = await client.push_image(f"team/{name}", version="1.0")
    image = client.image(f"team/{name}", digest)

    await deploy(client, name, image)

    await client.until_application(name)
    assert await client.running_images(name) == {image}
    assert len(await client.pods(name)) == 2


async def test_a_release_that_never_gets_ready_degrades_the_application_and_an_older_one_heals_it(client: LabClient) -> None:
    name = unique("shop")
    good = client.image(f"team/{name}", await client.push_image(f"team/{name}", version="1.0"))
    stuck = client.image(f"team/{name}", await client.push_image(f"team/{name}", version="1.1", ready="never"))
    repository = await deploy(client, name, good)
    await client.until_application(name)

    revision = await release(client, repository, name, stuck)
    await client.until_application(name, health="Degraded")
    assert await client.running_images(name) == {good}

    await repository.revert(revision)
    await client.application(name, refresh=True)
    await client.until_application(name, revision=await repository.head())
    assert await client.running_images(name) == {good}


async def test_a_burning_release_is_told_by_webhook_and_so_is_its_end(client: LabClient, lab: Lab) -> None:
    name = unique("shop")
    good = client.image(f"team/{name}", await client.push_image(f"team/{name}", version="1.0"))
    burning = client.image(f"team/{name}", await client.push_image(f"team/{name}", version="1.1", errors=0.31))
    repository = await deploy(client, name, good)
    await client.until_application(name)

    async with webhooks(lab) as posts:

        async def told(status: str) -> list[Any]:
            bodies = [body for _, body in posts if body["groupLabels"].get("argocd_app") == name]
            return [alert for body in bodies for alert in body["alerts"] if alert["status"] == status]

        revision = await release(client, repository, name, burning)
        await client.until_application(name, revision=revision)
        firing = await until(lambda: told("firing"), what="the firing webhook")
        assert firing[0]["labels"] == {"alertname": "HighErrorRate", "app": name, "argocd_app": name, "namespace": name, "severity": "critical"}
        assert {authorization for authorization, _ in posts} == {f"Bearer {lab.webhook_token}"}
        rates = await client.query(f'sum by (version, code) (rate(http_requests_total{{app="{name}"}}[10s])) > 1')
        assert ("1.1", "500") in {(series["metric"]["version"], series["metric"]["code"]) for series in rates}

        await repository.revert(revision)
        await client.application(name, refresh=True)
        await until(lambda: told("resolved"), what="the resolved webhook")
        assert await client.running_images(name) == {good}


async def test_the_service_account_may_roll_back_and_the_reader_may_only_look(client: LabClient) -> None:
    name = unique("shop")
    images = [client.image(f"team/{name}", await client.push_image(f"team/{name}", version=version)) for version in ("1.0", "1.1")]
    repository = await deploy(client, name, images[0], auto_sync=False)
    assert (await client.sync(name, account="reader")).status == 403
    assert (await client.sync(name, account="backout")).good
    await client.until_application(name)
    await release(client, repository, name, images[1])
    assert (await client.sync(name)).good
    app = await client.until_application(name, revision=await repository.head())

    first = app["status"]["history"][0]["id"]
    refused = await client.argocd("reader").call("POST", f"/api/v1/applications/{name}/rollback", {"id": first})
    taken = await client.argocd("backout").call("POST", f"/api/v1/applications/{name}/rollback", {"id": first})

    assert refused.status == 403
    assert taken.good

    async def rolled_back() -> bool:
        return await client.running_images(name) == {images[0]}

    await until(rolled_back, what="the first release's pods")


async def test_a_span_posted_to_jaeger_is_read_back(client: LabClient) -> None:
    trace_id, start_ns = secrets.token_hex(16), time.time_ns()
    span = {
        "traceId": trace_id,
        "spanId": secrets.token_hex(8),
        "name": "rollback shop",
        "kind": 1,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + 10**9),
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "lab-smoke"}}]}
    await client.otlp.must("POST", "/v1/traces", {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]})

    spans = await until(lambda: client.trace(trace_id), what="the trace")

    assert [(found["name"], found["spanId"]) for found in spans] == [("rollback shop", span["spanId"])]


async def test_argo_cd_reports_its_own_calls_to_jaeger(client: LabClient) -> None:
    await client.argocd().must("GET", "/api/v1/applications")

    async def services() -> bool:
        answer = await client.jaeger.must("GET", "/api/v3/services")
        return any("argocd" in service for service in answer["services"])

    await until(services, what="Argo CD's spans")


async def test_rules_of_a_test_are_evaluated_until_it_removes_them(client: LabClient) -> None:
    name = unique("always").replace("-", "_")
    group = {"name": name, "rules": [{"alert": "Always", "expr": "vector(1) > 0", "labels": {"case": name}}]}

    await client.set_rules(name, [group])

    async def fires() -> bool:
        return any(alert["labels"].get("case") == name and alert["state"] == "firing" for alert in await client.alerts())

    await until(fires, what="the test's own alert")
    await client.set_rules(name, [])
    assert not await fires()


async def test_a_paused_server_answers_nothing_and_goes_on_afterwards(client: LabClient) -> None:
    client.pause("alertmanager")
    try:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.alertmanager.call("GET", "/-/ready"), 0.5)
    finally:
        client.resume("alertmanager")

    assert (await client.alertmanager.call("GET", "/-/ready")).good


async def test_a_job_runs_to_its_end(client: LabClient) -> None:
    name = unique("jobs")
    await client.create_namespace(name)
    for job, image in (("fine", "registry.example/migrate:1"), ("broken", "registry.example/migrate:bad")):
        template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}}
        body = {"metadata": {"name": job}, "spec": {"backoffLimit": 0, "template": template}}
        await client.kube.must("POST", f"/apis/batch/v1/namespaces/{name}/jobs", body)

    async def ended() -> dict[str, str] | None:
        jobs = (await client.kube_get(f"/apis/batch/v1/namespaces/{name}/jobs"))["items"]
        ends = {job["metadata"]["name"]: kind["type"] for job in jobs for kind in job["status"].get("conditions", []) if kind["type"] in {"Complete", "Failed"}}
        return ends if len(ends) == 2 else None

    assert await until(ended, what="both jobs") == {"fine": "Complete", "broken": "Failed"}


async def test_an_image_the_registry_does_not_have_is_not_pulled(client: LabClient) -> None:
    name = unique("ghost")
    await client.create_namespace(name)
    image = client.image(f"team/{name}", f"sha256:{'0' * 64}")
    await client.kube.must("POST", f"/api/v1/namespaces/{name}/pods", {"metadata": {"name": name}, "spec": {"containers": [{"name": "main", "image": image}]}})

    async def waits() -> str | None:
        statuses = (await client.pods(name))[0]["status"].get("containerStatuses")
        return json.dumps(statuses[0]["state"]) if statuses else None

    assert "ImagePullBackOff" in str(await until(waits, what="the kubelet's report"))


async def test_argo_rollouts_starts_when_a_test_asks_for_it_and_only_once(client: LabClient) -> None:
    first = await client.argo_rollouts()
    second = await client.argo_rollouts()

    assert first == second
    assert (await client.kube.must("GET", "/apis/argoproj.io/v1alpha1/rollouts"))["kind"] == "RolloutList"
    assert "version=v1.10.1" in (client.lab.work / "log" / "argo-rollouts.log").read_text()
