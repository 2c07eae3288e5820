"""The lab's own logic, without its servers: what is built, how images and pods behave, how processes are ended."""

import asyncio
import gzip
import io
import json
import os
import re
import signal
import socket
import sys
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import promql_parser
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.real.lab import __main__ as command_line
from tests.real.lab import neighbours, outages
from tests.real.lab.addresses import LOOPBACK, Port, taken
from tests.real.lab.api import ApiError, HttpApi
from tests.real.lab.build import compile_programs
from tests.real.lab.cache import Cache, cache_folder
from tests.real.lab.client import GitRepository, deployment, load_lab, until
from tests.real.lab.images import ERRORS, READY, VERSION, FoundImage, Registry, build_image, digest_of, parse_reference
from tests.real.lab.kubelet import ContainerImage, FakeKubelet, report, serving
from tests.real.lab.output import tail
from tests.real.lab.processes import Processes, StartError, run_command
from tests.real.lab.programs import ARGOCD, COMPILED, GO_MODULES, ROLLOUTS
from tests.real.lab.traffic import RATE_PER_S, ServingPod, Traffic

NOW = "2026-01-02T03:04:05Z"
DIGEST = f"sha256:{'ab' * 32}"


# --- what is built ----------------------------------------------------------------------------------------------------


def test_versions_stand_in_the_go_modules_and_nowhere_else() -> None:
    assert {program.name: program.version for program in COMPILED} == {
        "argocd": "v3.2.11",
        "kube-apiserver": "v1.34.2",
        "kube-controller-manager": "v1.34.2",
        "argo-rollouts": "v1.10.1",
        "helm": "v3.18.4",
        "kustomize": "v5.7.0",
        "alertmanager": "v0.31.1",
        "jaeger": "v1.76.0",
    }


def test_the_linker_stamps_the_version_that_clients_read() -> None:
    assert "-X github.com/argoproj/argo-cd/v3/common.version=3.2.11" in ARGOCD.linker_flags
    kubernetes = next(program for program in COMPILED if program.name == "kube-apiserver").linker_flags
    assert "version.gitVersion=v1.34.2" in kubernetes
    assert "gitMajor=1 " in kubernetes
    assert "gitMinor=34 " in kubernetes


@pytest.mark.parametrize("file", sorted(GO_MODULES.glob("*/go.*")), ids=lambda file: f"{file.parent.name}/{file.name}")
def test_module_files_name_modules_and_no_hosts_to_fetch_them_from(file: Path) -> None:
    text = file.read_text()
    assert re.search(r"https?://|GOPROXY", text) is None


def test_every_compiled_program_is_a_tool_of_its_module() -> None:
    for program in COMPILED:
        assert program.package in (program.module / "go.mod").read_text()
        assert (program.module / "go.sum").stat().st_size > 0


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"BACKOUT_LAB_CACHE": "/a/lab", "XDG_CACHE_HOME": "/b"}, Path("/a/lab")),
        ({"XDG_CACHE_HOME": "/b"}, Path("/b/backout-lab")),
        ({}, Path.home() / ".cache" / "backout-lab"),
    ],
)
def test_the_cache_is_where_the_environment_says(environ: dict[str, str], expected: Path) -> None:
    assert cache_folder(environ) == expected


def built(cache: Cache, *names: str) -> None:
    cache.binary("").mkdir(parents=True, exist_ok=True)
    for program in COMPILED:
        if program.name in names:
            cache.binary(program.name).touch()
            cache.remember(program.name, version=program.version, recipe=program.recipe)


def test_only_missing_and_changed_programs_are_built_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    everything = [program.name for program in COMPILED]
    assert [program.name for program in cache.outdated()] == everything

    built(cache, *everything)
    assert cache.outdated() == []

    cache.remember("jaeger", version="v1.75.0", recipe="another")
    cache.binary("argocd").unlink()
    assert [program.name for program in cache.outdated()] == ["argocd", "jaeger"]


def test_a_broken_record_means_build_again_not_fail(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    built(cache, "argocd")
    (tmp_path / "manifest.json").write_text("{half")
    assert "argocd" in [program.name for program in cache.outdated()]


def test_manifests_of_another_version_are_copied_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for program in (ARGOCD, ROLLOUTS):
        cache.manifests(program).mkdir()
    assert cache.manifests_outdated() == [ARGOCD, ROLLOUTS]
    cache.remember("argocd-manifests", version=ARGOCD.version, recipe="any")
    cache.remember("argo-rollouts-manifests", version=ROLLOUTS.version, recipe="any")
    assert cache.manifests_outdated() == []
    cache.remember("argocd-manifests", version="v3.2.10", recipe="any")
    assert cache.manifests_outdated() == [ARGOCD]


FAKE_GO = """\
#!/bin/sh
if [ "$1" = mod ]; then echo '{"Dir": "MODULE"}'; exit 0; fi
for last; do :; done
case "$last" in *jaeger*) echo 'pattern app/dist: no matching files found' >&2; [ -e "MODULE/broken" ] && exit 1;; esac
while [ "$1" != -o ]; do shift; done
echo binary > "$2"
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `go` on PATH that makes a file of everything; answers the folder it takes for Argo CD's module."""
    module = tmp_path / "module"
    for part in ("crds/application-crd.yaml", "base/config/argocd-cm.yaml"):
        file = module / "manifests" / part
        file.parent.mkdir(parents=True)
        file.write_text(part)
        file.chmod(0o444)
    program = tmp_path / "path" / "go"
    program.parent.mkdir()
    program.write_text(FAKE_GO.replace("MODULE", str(module)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return module


@pytest.mark.usefixtures("go")
def test_a_build_leaves_nothing_outdated_and_a_second_one_has_nothing_to_do(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cache = Cache(tmp_path / "cache")
    for _ in range(2):
        assert compile_programs(cache) == []
    assert cache.outdated() == []
    assert cache.manifests_outdated() == []
    assert (cache.manifests(ARGOCD) / "base/config/argocd-cm.yaml").read_text() == "base/config/argocd-cm.yaml"
    assert len(re.findall(r"^lab: \S+ v\S+: \d+ s$", capfd.readouterr().err, re.MULTILINE)) == len(COMPILED)


def test_a_program_that_does_not_compile_is_named_with_the_reason_and_tried_again(go: Path, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    (go / "broken").touch()
    assert [problem for problem in compile_programs(cache) if "jaeger v1.76.0" in problem and "no matching files found" in problem] != []
    assert [program.name for program in cache.outdated()] == ["jaeger"]

    (go / "broken").unlink()
    assert compile_programs(cache) == []


def test_without_go_the_build_says_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (problem,) = compile_programs(Cache(tmp_path / "cache"))
    assert problem.endswith("go is not on PATH; Go 1.26 or newer is needed")


# --- images -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "path", "tag", "digest"),
    [
        ("web", "", "web", "", ""),
        ("team/web:1.2", "", "team/web", "1.2", ""),
        ("registry.example/web:bad", "registry.example", "web", "bad", ""),
        ("127.0.0.1:19020/team/web", "127.0.0.1:19020", "team/web", "", ""),
        (f"127.0.0.1:19020/team/web:1@{DIGEST}", "127.0.0.1:19020", "team/web", "1", DIGEST),
        (f"localhost/web@{DIGEST}", "localhost", "web", "", DIGEST),
    ],
)
def test_a_reference_is_taken_apart(text: str, host: str, path: str, tag: str, digest: str) -> None:
    found = parse_reference(text)
    assert (found.host, found.path, found.tag, found.digest) == (host, path, tag, digest)


def test_an_image_is_valid_and_its_descriptors_fit_its_blobs() -> None:
    image = build_image("hello", {VERSION: "1.0"}, {"note": "x"})
    manifest, config = json.loads(image.manifest), json.loads(image.config)

    assert manifest["config"] == {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(image.config), "size": len(image.config)}
    assert [layer["digest"] for layer in manifest["layers"]] == [digest_of(image.layer)]
    assert manifest["annotations"] == {"note": "x"}
    assert config["config"]["Labels"] == {VERSION: "1.0"}
    tarred = gzip.decompress(image.layer)
    assert config["rootfs"]["diff_ids"] == [digest_of(tarred)]
    with tarfile.open(fileobj=io.BytesIO(tarred)) as tar:
        app = tar.extractfile("app")
        assert app is not None
        assert app.read() == b"hello"


def test_a_digest_depends_on_the_arguments_alone() -> None:
    same = build_image("hello", {"a": "1", "b": "2"})
    assert build_image("hello", {"b": "2", "a": "1"}).digest == same.digest
    assert build_image("hello", {"a": "1", "b": "3"}).digest != same.digest
    assert build_image("bye", {"a": "1", "b": "2"}).digest != same.digest


class FakeRegistry:
    """The part of the distribution API that the lab uses; refuses blobs and manifests whose digest does not fit."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v2/team/web/blobs/uploads/", self.begin)
        app.router.add_put("/v2/team/web/blobs/uploads/one", self.finish)
        app.router.add_get("/v2/team/web/blobs/{digest}", self.blob)
        app.router.add_put("/v2/team/web/manifests/{name}", self.put)
        app.router.add_get("/v2/team/web/manifests/{name}", self.get)
        return app

    async def begin(self, _: web.Request) -> web.Response:
        return web.Response(status=202, headers={"Location": "/v2/team/web/blobs/uploads/one?_state=abc"})

    async def finish(self, request: web.Request) -> web.Response:
        content = await request.read()
        if request.query.get("_state") != "abc" or request.query["digest"] != digest_of(content):
            return web.Response(status=400)
        self.blobs[digest_of(content)] = content
        return web.Response(status=201)

    async def blob(self, request: web.Request) -> web.Response:
        content = self.blobs.get(request.match_info["digest"])
        return web.Response(status=404) if content is None else web.Response(body=content)

    async def put(self, request: web.Request) -> web.Response:
        content = await request.read()
        named = json.loads(content)
        if any(blob["digest"] not in self.blobs for blob in (named["config"], *named["layers"])):
            return web.Response(status=400)
        self.manifests[request.match_info["name"]] = self.manifests[digest_of(content)] = content
        return web.Response(status=201)

    async def get(self, request: web.Request) -> web.Response:
        content = self.manifests.get(request.match_info["name"])
        return web.Response(status=404) if content is None else web.Response(body=content)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def registry(session: aiohttp.ClientSession) -> AsyncIterator[Registry]:
    async with TestServer(FakeRegistry().app(), host=LOOPBACK) as server:
        yield Registry(session, url=str(server.make_url("")).rstrip("/"), host=Port.REGISTRY.at)


async def test_a_pushed_image_is_found_by_tag_and_by_digest_with_its_labels(registry: Registry) -> None:
    digest = await registry.push("team/web", build_image("hello", {VERSION: "1.0"}), tag="stable")

    for reference in (f"{registry.host}/team/web:stable", f"{registry.host}/team/web@{digest}"):
        assert await registry.look_up(parse_reference(reference)) == FoundImage(digest=digest, labels={VERSION: "1.0"})


async def test_an_image_nobody_pushed_is_not_found(registry: Registry) -> None:
    assert await registry.look_up(parse_reference(f"{registry.host}/team/web:none")) is None


# --- pods -------------------------------------------------------------------------------------------------------------


def pod(image: str = "registry.example/web:1", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"uid": "u1", "name": "web-1", "namespace": "shop", "labels": {"app": "web"}, "creationTimestamp": NOW},
        "spec": {"nodeName": "lab-node", "containers": [{"name": "main", "image": image}], **spec},
    }


def runs(reference: str, labels: dict[str, str] | None = None, *, there: bool = True) -> ContainerImage:
    return ContainerImage(reference=parse_reference(reference), found=FoundImage(digest=DIGEST, labels=labels or {}) if there else None)


@pytest.mark.parametrize(
    ("image", "age_s", "ready"),
    [
        (runs("r.example/web:1"), 0.0, True),
        (runs("r.example/web:slow3"), 2.9, False),
        (runs("r.example/web:slow3"), 3.0, True),
        (runs("r.example/web:bad"), 99.0, False),
        (runs(f"r.example/web@{DIGEST}", {READY: "never"}), 99.0, False),
        (runs(f"r.example/web@{DIGEST}", {READY: "slow2"}), 1.0, False),
        (runs(f"r.example/web@{DIGEST}", {READY: "slow2"}), 2.0, True),
        (runs("r.example/web:bad", {READY: "always"}), 0.0, True),
    ],
)
def test_label_or_tag_decides_when_a_pod_is_ready(image: ContainerImage, age_s: float, ready: bool) -> None:
    found = report(pod(), [image], age_s=age_s, now=NOW)
    assert found.ready is ready
    assert found.status["phase"] == "Running"
    assert {condition["type"]: condition["status"] for condition in found.status["conditions"]} == {"Ready": str(ready), "ContainersReady": str(ready)}


def test_the_image_id_is_repository_and_digest_and_never_a_tag() -> None:
    found = report(pod(), [runs("127.0.0.1:19020/team/web:1.0")], age_s=0, now=NOW)
    assert found.status["containerStatuses"][0]["imageID"] == f"127.0.0.1:19020/team/web@{DIGEST}"


def test_a_pod_that_never_gets_ready_restarts_more_and_more_often() -> None:
    ages = (0, 2, 4, 60)
    found = [report(pod(), [runs("r.example/web:bad")], age_s=age, now=NOW) for age in ages]
    assert [one.status["containerStatuses"][0]["restartCount"] for one in found] == [1, 2, 3, 5]
    assert found[0].status["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert found[0].gist != found[1].gist


def test_an_image_that_is_not_there_keeps_the_pod_pending() -> None:
    found = report(pod(), [runs("127.0.0.1:19020/team/web:1", there=False)], age_s=9, now=NOW)
    assert (found.status["phase"], found.ready) == ("Pending", False)
    assert found.status["containerStatuses"][0]["imageID"] == ""
    assert found.status["containerStatuses"][0]["state"]["waiting"]["reason"] == "ImagePullBackOff"


def test_one_container_that_is_not_ready_keeps_the_pod_from_being_ready() -> None:
    two = pod(containers=[{"name": "main", "image": "a"}, {"name": "side", "image": "b"}])
    assert report(two, [runs("a"), runs("b:slow5")], age_s=1, now=NOW).ready is False
    assert report(two, [runs("a"), runs("b:slow5")], age_s=5, now=NOW).ready is True


@pytest.mark.parametrize(
    ("image", "age_s", "phase"),
    [("r.example/job:1", 0.1, "Running"), ("r.example/job:1", 0.5, "Succeeded"), ("r.example/job:slow2", 2.0, "Running"), ("r.example/job:bad", 0.0, "Failed")],
)
def test_a_job_s_pod_runs_to_its_end(image: str, age_s: float, phase: str) -> None:
    found = report(pod(restartPolicy="Never"), [runs(image)], age_s=age_s, now=NOW)
    assert found.status["phase"] == phase
    assert found.ready is False, "a job takes no requests"


def test_a_ready_pod_answers_as_its_labels_say() -> None:
    assert serving(pod(), [runs("r.example/web:1", {VERSION: "1.1", ERRORS: "0.31"})]) == ServingPod(namespace="shop", app="web", version="1.1", errors=0.31)
    assert serving(pod(), [runs("r.example/web:1")]) == ServingPod(namespace="shop", app="web", version="1", errors=0.0)


class FakeKube:
    """Pods of a Kubernetes API, and the calls that change them."""

    def __init__(self, pods: list[dict[str, Any]]) -> None:
        self.pods = pods
        self.calls: list[tuple[str, str, Any]] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/api/v1/pods", self.list)
        app.router.add_route("*", "/api/v1/namespaces/{path:.*}", self.note)
        return app

    async def list(self, _: web.Request) -> web.Response:
        return web.json_response({"items": self.pods})

    async def note(self, request: web.Request) -> web.Response:
        self.calls.append((request.method, request.match_info["path"], await request.json()))
        return web.json_response({})


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_the_kubelet_binds_reports_once_and_removes(registry: Registry, session: aiohttp.ClientSession) -> None:
    clock = Clock()
    digest = await registry.push("team/web", build_image("hello", {VERSION: "1.0", READY: "slow5"}))
    one = pod(f"{registry.host}/team/web@{digest}")
    del one["spec"]["nodeName"]
    kube, traffic = FakeKube([one]), Traffic(clock)
    async with TestServer(kube.app(), host=LOOPBACK) as server:
        kubelet = FakeKubelet(HttpApi(session, str(server.make_url("")).rstrip("/")), registry, traffic, clock)

        await kubelet.look()
        assert [(method, path) for method, path, _ in kube.calls] == [("POST", "shop/pods/web-1/binding")]

        one["spec"]["nodeName"] = "lab-node"
        for _ in range(3):
            await kubelet.look()
        clock.now += 5
        for _ in range(3):
            await kubelet.look()
        reports = [body["status"]["containerStatuses"][0] for method, _, body in kube.calls if method == "PATCH"]
        assert [found["ready"] for found in reports] == [False, True]
        assert {found["imageID"] for found in reports} == {f"{registry.host}/team/web@{digest}"}
        assert 'version="1.0",code="200"' in traffic.exposition()

        one["metadata"]["deletionTimestamp"] = NOW
        await kubelet.look()
        assert kube.calls[-1] == ("DELETE", "shop/pods/web-1", {"gracePeriodSeconds": 0, "preconditions": {"uid": "u1"}})


# --- traffic ----------------------------------------------------------------------------------------------------------


def requests(traffic: Traffic) -> dict[tuple[str, str], int]:
    found = {}
    for line in traffic.exposition().splitlines():
        if not line.startswith("#"):
            version, code = (line.split(f'{label}="')[1].split('"')[0] for label in ("version", "code"))
            found[version, code] = int(line.rsplit(" ", 1)[1])
    return found


def web_pod(version: str, errors: float = 0.0, app: str = "web") -> ServingPod:
    return ServingPod(namespace="shop", app=app, version=version, errors=errors)


def test_traffic_splits_by_pods_and_errs_as_the_release_does() -> None:
    clock = Clock()
    traffic = Traffic(clock)
    traffic.serve([web_pod("1"), web_pod("1"), web_pod("1"), web_pod("2", errors=0.4)])
    assert set(requests(traffic).values()) == {0}

    clock.now += 10

    whole = RATE_PER_S * 10
    assert requests(traffic) == pytest.approx(
        {("1", "200"): whole * 0.75, ("1", "500"): 0, ("2", "200"): whole * 0.25 * 0.6, ("2", "500"): whole * 0.25 * 0.4}, abs=1
    )


def test_what_a_release_has_answered_stays_counted_after_it_is_gone() -> None:
    clock = Clock()
    traffic = Traffic(clock)
    traffic.serve([web_pod("2", errors=1.0)])
    clock.now += 5
    traffic.serve([web_pod("1")])
    burnt = requests(traffic)["2", "500"]
    clock.now += 5

    assert burnt == pytest.approx(RATE_PER_S * 5, abs=1)
    assert requests(traffic)["2", "500"] == burnt
    assert requests(traffic)["1", "200"] == pytest.approx(RATE_PER_S * 5, abs=1)


def test_without_a_ready_pod_nothing_is_answered() -> None:
    clock = Clock()
    traffic = Traffic(clock)
    traffic.serve([web_pod("1")])
    traffic.serve([])
    clock.now += 60
    assert requests(traffic) == {("1", "200"): 0, ("1", "500"): 0}


def test_each_application_has_the_full_rate() -> None:
    clock = Clock()
    traffic = Traffic(clock)
    traffic.serve([web_pod("1"), web_pod("9", app="cart")])
    clock.now += 10
    assert requests(traffic)["1", "200"] == requests(traffic)["9", "200"] == RATE_PER_S * 10


async def test_the_exporter_answers_in_prometheus_format(session: aiohttp.ClientSession) -> None:
    traffic = Traffic(Clock())
    traffic.serve([web_pod('1"2')])
    runner = await traffic.start(host=LOOPBACK, port=0)
    try:
        address = f"http://{LOOPBACK}:{runner.addresses[0][1]}/metrics"
        async with session.get(address) as response:
            assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert r'http_requests_total{namespace="shop",app="web",version="1\"2",code="200"} 0' in await response.text()
    finally:
        await runner.cleanup()


# --- settings of the neighbours ---------------------------------------------------------------------------------------


def test_the_alert_rule_is_promql_and_keeps_the_labels_that_name_the_application() -> None:
    rule = neighbours.alert_rules()["groups"][0]["rules"][0]
    assert isinstance(promql_parser.parse(rule["expr"]), promql_parser.BinaryExpr)
    assert rule["expr"].count("by (namespace, app)") == 2
    assert rule["labels"]["argocd_app"] == "{{ $labels.app }}"
    assert rule["for"] == "3s"


def test_alertmanager_posts_with_a_token_from_a_file_and_never_follows_a_redirect(tmp_path: Path) -> None:
    settings = neighbours.alertmanager_settings(tmp_path)
    webhook = settings["receivers"][1]["webhook_configs"][0]
    assert webhook["url"] == f"http://127.0.0.1:{Port.WEBHOOK.value}/v1/alerts/alertmanager"
    assert webhook["http_config"] == {"follow_redirects": False, "authorization": {"credentials_file": str(tmp_path / "alertmanager.token")}}
    assert webhook["send_resolved"] is True
    route = settings["route"]["routes"][0]
    assert (route["group_wait"], route["group_interval"], route["repeat_interval"]) == ("1s", "5s", "30s")


def test_every_listener_has_a_port_of_its_own_below_the_ephemeral_ones() -> None:
    assert len({port.value for port in Port}) == len(Port.__members__)
    assert all(1024 < port < 32768 for port in Port)


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as somebody:
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if Port.WEBHOOK not in taken():
            somebody.bind((LOOPBACK, Port.WEBHOOK))
            somebody.listen()
        assert Port.WEBHOOK in taken()


# --- processes --------------------------------------------------------------------------------------------------------

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
FAMILY = ["sh", "-c", "sleep 60 & echo $!; wait"]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def eventually(check: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not check():  # noqa: ASYNC110  files and processes of others set no event
            await asyncio.sleep(0.02)


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    found = Processes(logs=tmp_path, work=tmp_path)
    yield found
    await found.stop()


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


async def test_a_started_server_runs_and_ends_with_stop(processes: Processes) -> None:
    await processes.start("server", SLEEP)
    pid = processes.pids["server"]
    await processes.until_ready("server", yes)
    assert alive(pid)
    await processes.stop()
    assert not alive(pid)


async def test_a_server_stopped_by_a_test_ends_all_the_same(processes: Processes) -> None:
    await processes.start("server", SLEEP)
    pid = processes.pids["server"]
    os.kill(pid, signal.SIGSTOP)
    await processes.stop()
    assert not alive(pid)


async def test_children_of_a_server_that_is_gone_are_ended_too(processes: Processes) -> None:
    await processes.start("server", FAMILY)
    await eventually(lambda: processes.log("server").read_text())
    child = int(processes.log("server").read_text())
    os.kill(processes.pids["server"], signal.SIGKILL)
    await eventually(processes.ended)
    assert alive(child)
    await processes.stop()
    await eventually(lambda: not alive(child))


async def test_a_server_that_a_test_killed_is_started_again_as_before_when_it_asks(processes: Processes, tmp_path: Path) -> None:
    await processes.start("server", ["sh", "-c", "echo $WORD; exec sleep 60"], {"WORD": "again"})
    first = processes.pids["server"]
    caring = asyncio.ensure_future(outages.start_again_when_asked(processes, tmp_path))
    outages.wanted_back(tmp_path, "server").touch()
    await eventually(lambda: processes.log("server").read_text() == "again\n")
    await asyncio.sleep(0.3)
    assert processes.pids["server"] == first  # it lives
    os.kill(first, signal.SIGKILL)
    await eventually(outages.process_id(tmp_path, "server").exists)
    second = int(outages.process_id(tmp_path, "server").read_text())
    await eventually(lambda: processes.log("server").read_text() == "again\nagain\n")
    assert (second, alive(second), alive(first)) == (processes.pids["server"], True, False)
    os.kill(second, signal.SIGKILL)
    await eventually(processes.ended)
    await asyncio.sleep(0.3)
    assert processes.pids["server"] == second  # nobody asked
    caring.cancel()


async def test_a_server_that_ends_at_once_is_named_with_its_last_words(processes: Processes) -> None:
    await processes.start("server", ["sh", "-c", "echo no such flag >&2; exit 3"])
    with pytest.raises(StartError, match=r"server ended with 3[\s\S]*no such flag"):
        await processes.until_ready("another", no, 60)


async def test_a_server_that_never_answers_is_named_with_the_reason(processes: Processes) -> None:
    async def refused() -> bool:
        raise ApiError("GET", "/healthz", 503, "starting")

    await processes.start("server", SLEEP)
    await eventually(lambda: processes.log("server").read_text())
    with pytest.raises(StartError, match=r"server is not ready after 0 s[\s\S]*503[\s\S]*up"):
        await processes.until_ready("server", refused, 0.2)


def nothing() -> asyncio.Future[signal.Signals]:
    return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)])
async def test_the_command_s_exit_code_is_the_lab_s(script: str, code: int) -> None:
    assert await run_command(["sh", "-c", script], env={}, interrupted=nothing()) == code


async def test_the_command_sees_where_the_lab_is() -> None:
    assert await run_command(["sh", "-c", 'test "$BACKOUT_LAB" = /x/lab.json'], env={"BACKOUT_LAB": "/x/lab.json"}, interrupted=nothing()) == 0


async def test_a_command_that_cannot_be_started_is_127() -> None:
    assert await run_command(["/no/such/command"], env={}, interrupted=nothing()) == 127


async def test_a_signal_is_passed_on_and_nothing_of_the_command_stays(tmp_path: Path) -> None:
    interrupted = nothing()
    pid_file = tmp_path / "pid"
    script = f"trap 'exit 42' TERM; sleep 60 & echo $! > {pid_file}.new; mv {pid_file}.new {pid_file}; wait"
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run_command(["sh", "-c", script], env={}, interrupted=interrupted))
        await eventually(pid_file.exists)
        interrupted.set_result(signal.SIGTERM)
    assert running.result() == 42
    await eventually(lambda: not alive(int(pid_file.read_text())))


def test_a_log_s_end_is_shown_and_its_absence_said(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert tail(log) == "    (no log)"
    log.touch()
    assert tail(log) == "    (empty log)"
    log.write_text("\n".join(f"line {number}" for number in range(100)))
    assert tail(log, 2) == "    line 98\n    line 99"


# --- the command line -------------------------------------------------------------------------------------------------


def test_stopping_when_nothing_runs_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BACKOUT_LAB_CACHE", str(tmp_path))
    assert command_line.main(["stop"]) == 0
    assert "no lab that `start` keeps is running" in capfd.readouterr().err


def test_a_process_id_that_belongs_to_another_program_by_now_is_not_signalled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKOUT_LAB_CACHE", str(tmp_path))
    (tmp_path / "started").mkdir()
    (tmp_path / "started" / "pid").write_text(str(os.getppid()))
    assert command_line.main(["stop"]) == 0
    assert alive(os.getppid())


def test_run_without_a_command_is_a_usage_error() -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.main(["run", "--"])
    assert ended.value.code == 2


# --- what tests use ---------------------------------------------------------------------------------------------------


def test_without_the_variable_there_is_no_lab() -> None:
    assert load_lab({}) is None


def test_a_lab_is_read_from_the_file_the_variable_names(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken")
    about = {
        "argocd": {"url": "http://a", "version": "v3.2.11", "tokens": {"admin": "x", "backout": "y"}},
        "kube": {"url": "https://k", "token": "k"},
        "registry": {"url": "http://r", "host": "r"},
        "prometheus": {"url": "http://p", "rules_dir": str(tmp_path)},
        "alertmanager": {"url": "http://am", "webhook_port": 19030, "token_file": str(tmp_path / "token")},
        "jaeger": {"otlp": "http://o", "query": "http://q"},
        "git": {"root": str(tmp_path / "git")},
        "work": str(tmp_path),
        "pids": {"etcd": 1},
        "ready_s": 6.7,
    }
    (tmp_path / "lab.json").write_text(json.dumps(about))

    lab = load_lab({"BACKOUT_LAB": str(tmp_path / "lab.json")})

    assert lab is not None
    assert (lab.argocd_url, lab.tokens["backout"], lab.webhook_port, lab.webhook_token) == ("http://a", "y", 19030, "t0ken")
    assert lab.git_root == tmp_path / "git"


async def test_until_returns_the_first_true_answer_and_says_what_it_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    answers = iter(["refused", "", "there"])

    async def check() -> str:
        answer = next(answers)
        if answer == "refused":
            raise ConnectionRefusedError
        return answer

    assert await until(check, 5, what="the answer", every=0.01) == "there"
    assert capsys.readouterr().out.startswith("waiting for the answer ...\nthe answer: after ")


async def test_until_gives_up_with_the_last_answer() -> None:
    with pytest.raises(TimeoutError, match=r"the answer: not within 0 s; the last answer was False"):
        await until(no, 0.05, what="the answer", every=0.01)


async def test_until_does_not_take_a_refusal_for_not_yet() -> None:
    async def refused() -> bool:
        raise ApiError("GET", "/x", 403, "permission denied")

    with pytest.raises(ApiError, match="GET /x: 403 permission denied"):
        await until(refused, 5, what="the answer", every=0.01)


def test_a_deployment_names_its_image_and_turns_degraded_soon() -> None:
    made = yaml.safe_load(deployment("web", f"r.example/web@{DIGEST}", replicas=3, progress_deadline_s=4, labels={"app": "other", "tier": "front"}))
    assert made["spec"]["replicas"] == 3
    assert made["spec"]["progressDeadlineSeconds"] == 4
    assert made["spec"]["selector"]["matchLabels"] == {"app": "web"}
    template = made["spec"]["template"]
    assert template["metadata"]["labels"] == {"app": "web", "tier": "front"}
    assert template["spec"]["containers"] == [{"name": "main", "image": f"r.example/web@{DIGEST}"}]


async def test_commits_hold_the_files_and_a_revert_brings_the_old_ones_back(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path)
    await repository.git("init", "--quiet", "--initial-branch=main")
    first = await repository.commit({"deploy/a.yaml": "one", "b.txt": "stays"}, "first")
    second = await repository.commit({"deploy/a.yaml": None, "deploy/c.yaml": "two"}, "second")

    assert repository.url == f"file://{tmp_path}"
    assert (await repository.git("ls-tree", "-r", "--name-only", second)).split() == ["b.txt", "deploy/c.yaml"]
    third = await repository.revert(second)
    assert await repository.git("show", f"{third}:deploy/a.yaml") == "one"
    assert await repository.git("rev-parse", f"{second}^") == first


async def test_a_commit_of_nothing_is_an_error(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path)
    await repository.git("init", "--quiet", "--initial-branch=main")
    await repository.commit({"a": "1"})
    with pytest.raises(RuntimeError, match="git commit"):
        await repository.commit({"a": "1"})


async def test_an_answer_that_is_not_json_is_text_and_a_refusal_names_the_call(session: aiohttp.ClientSession) -> None:
    async def sorry(_: web.Request) -> web.Response:
        return web.Response(status=503, text="<html>sorry</html>")

    app = web.Application()
    app.router.add_get("/x", sorry)
    async with TestServer(app, host=LOOPBACK) as server:
        api = HttpApi(session, str(server.make_url("")).rstrip("/"))
        answer = await api.call("GET", "/x")
        assert (answer.status, answer.body, answer.good) == (503, "<html>sorry</html>", False)
        with pytest.raises(ApiError, match="GET /x: 503 <html>sorry"):
            await api.must("GET", "/x")
