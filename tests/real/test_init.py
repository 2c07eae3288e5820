"""What `backout init` writes, used as it says: the role on the real Argo CD, the route on the real Alertmanager."""

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from integrations.sandbox.ports import spare_port
from service.cli.app import run
from service.cli.terminal import Terminal
from tests.real.backout import INSTANCE, Backout, OpenShop, policy, sink
from tests.real.lab.api import Answer, HttpApi
from tests.real.lab.cache import Cache, cache_folder
from tests.real.lab.client import ARGOCD_NAMESPACE, Lab, LabClient, until
from tests.real.shop import Shop

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

MERGE = "application/merge-patch+json"
CONFIG_MAPS = f"/api/v1/namespaces/{ARGOCD_NAMESPACE}/configmaps"
PATCHES = {"argocd-account.yaml": "argocd-cm", "argocd-rbac.yaml": "argocd-rbac-cm"}


def written(lab: Lab, folder: Path, account: str, *more: str) -> Path:
    """Run `backout init` for the lab's names; answers its folder."""
    options = ("--argocd-url", lab.argocd_url, "--project", "default", "--instance", INSTANCE, "--account", account, "--prometheus-url", lab.prometheus_url)
    assert run(["init", "--dir", str(folder), *options, *more], Terminal(environment={})) == 0
    return folder


class Newcomer:
    """An account made by the files of `init`, with its own token; `folder` is where they are."""

    def __init__(self, lab: Lab, client: LabClient, session: aiohttp.ClientSession, name: str) -> None:
        self.lab, self.client, self._session, self.name = lab, client, session, name

    async def join(self, folder: Path) -> None:
        """Patch the config maps as the next steps say, and make a token."""
        self.folder = folder
        for file, config_map in PATCHES.items():
            patch = yaml.safe_load((folder / file).read_text(encoding="utf-8"))
            await self.client.kube.must("PATCH", f"{CONFIG_MAPS}/{config_map}", patch, content_type=MERGE)

        async def token() -> str:
            try:
                answer = await self.client.argocd("admin").call("POST", f"/api/v1/account/{self.name}/token", {})
            except aiohttp.ClientError:  # the server starts itself anew when its accounts change
                return ""
            return str(answer.body["token"]) if answer.good else ""

        self.token = await until(token, what=f"a token of {self.name}")
        self.argocd = HttpApi(self._session, self.lab.argocd_url, self.token)

        async def allowed() -> bool:
            try:
                return bool((await self.argocd.call("GET", "/api/v1/account/can-i/applications/get/default/any")).body == {"value": "yes"})
            except aiohttp.ClientError:
                return False

        await until(allowed, what="the role to be known")

    async def leave(self) -> None:
        """Take out of the config maps what was put in."""
        for file, config_map in PATCHES.items():
            keys = yaml.safe_load((self.folder / file).read_text(encoding="utf-8"))["data"]
            await self.client.kube.must("PATCH", f"{CONFIG_MAPS}/{config_map}", {"data": dict.fromkeys(keys)}, content_type=MERGE)

        async def forgotten() -> bool:
            try:
                return (await self.argocd.call("GET", "/api/v1/applications")).status == 401
            except aiohttp.ClientError:  # it starts itself anew
                return False

        await until(forgotten, what="Argo CD to know the account no more")
        await self.client.until_up()


@pytest.fixture
async def newcomer(lab: Lab, client: LabClient) -> AsyncIterator[Newcomer]:
    async with aiohttp.ClientSession() as session:
        made = Newcomer(lab, client, session, f"newcomer-{secrets.token_hex(2)}")
        yield made
        if hasattr(made, "folder"):
            await made.leave()


@pytest.fixture
async def foreign(client: LabClient, open_shop: OpenShop) -> AsyncIterator[str]:
    """An application of another project."""
    shop: Shop = await open_shop(auto_sync=False)
    everything = {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}], "clusterResourceWhitelist": [{"group": "*", "kind": "*"}]}
    project = f"{shop.name}-other"
    await client.argocd().must("POST", "/api/v1/projects", {"project": {"metadata": {"name": project}, "spec": everything}})
    await shop.edit({"op": "replace", "path": "/spec/project", "value": project})
    yield shop.name
    await shop.edit({"op": "replace", "path": "/spec/project", "value": "default"})
    await client.argocd().must("DELETE", f"/api/v1/projects/{project}")


async def test_the_role_of_init_can_do_what_is_needed_and_nothing_more(lab: Lab, newcomer: Newcomer, open_shop: OpenShop, foreign: str, tmp_path: Path) -> None:
    await newcomer.join(written(lab, tmp_path / "init", newcomer.name))
    shop = await open_shop()
    app, call = f"/api/v1/applications/{shop.name}", newcomer.argocd.call

    async def statuses(*asked: tuple[str, str, Any]) -> dict[str, int]:
        return {f"{method} {path.partition('?')[0].replace(shop.name, 'APP').replace(foreign, 'FOREIGN')}": (await call(method, path, body)).status
                for method, path, body in asked}  # fmt: skip

    looking = await statuses(
        ("GET", app, None),
        ("GET", f"{app}/resource-tree", None),
        ("GET", f"{app}/managed-resources", None),
        ("GET", f"{app}/events", None),
        ("GET", f"{app}/manifests", None),
        ("GET", f"{app}/syncwindows", None),
        ("GET", "/api/v1/projects/default", None),
    )
    assert set(looking.values()) == {200}, looking

    def patched(*operations: dict[str, Any]) -> dict[str, Any]:
        return {"name": shop.name, "patchType": "json", "patch": json.dumps(operations)}

    stop = patched({"op": "add", "path": "/spec/syncPolicy/automated/enabled", "value": False})
    assert (await call("PATCH", app, stop)).status == 200
    history = await shop.history()
    assert (await call("POST", f"{app}/rollback", {"name": shop.name, "id": history[0][0], "dryRun": True})).status == 200

    async def idle() -> bool:
        return not (await shop.application()).get("operation")

    await until(idle, what="the dry run to end")
    ending: Answer = await call("DELETE", f"{app}/operation")
    assert (ending.status, "No operation is in progress" in str(ending.body)) == (400, True)

    spec = (await shop.application())["spec"]
    deployment = f"resourceName={shop.name}&namespace={shop.name}&group=apps&kind=Deployment&version=v1"
    restart = {"resourceName": shop.name, "namespace": shop.name, "group": "apps", "kind": "Deployment", "version": "v1", "action": "restart"}
    refused = await statuses(
        ("DELETE", app, None),
        ("POST", "/api/v1/applications", {"metadata": {"name": "more"}, "spec": spec}),
        ("POST", f"{app}/resource/actions/v2", restart),
        ("DELETE", f"{app}/resource?{deployment}", None),
        ("GET", f"{app}/logs?podName=any", None),
        ("GET", f"/api/v1/applications/{foreign}", None),
        ("POST", f"/api/v1/applications/{foreign}/sync", {}),
        ("PUT", "/api/v1/projects/default", {"project": {"metadata": {"name": "default"}, "spec": {}}}),
        ("POST", "/api/v1/account/human/token", {}),
        ("POST", "/api/v1/repositories", {"repo": "https://git.example.com/x.git"}),
    )
    assert set(refused.values()) == {403}, json.dumps(refused)
    assert (await call("POST", f"/api/v1/account/{newcomer.name}/token", {})).status == 200  # for itself an account may always, whatever its role
    assert (await call("GET", "/api/v1/clusters")).body.get("items") in (None, [])
    mine = (await call("GET", "/api/v1/applications?fields=items.metadata.name")).body["items"]
    assert foreign not in {one["metadata"]["name"] for one in mine}
    can = {verb: (await call("GET", f"/api/v1/account/can-i/applications/{verb}/default/x")).body["value"] for verb in ("create", "delete", "override")}
    assert set(can.values()) == {"no"}, can


async def test_backout_takes_a_release_back_with_the_account_that_init_made(lab: Lab, newcomer: Newcomer, open_shop: OpenShop, tmp_path: Path) -> None:
    folder = written(lab, tmp_path / "init", newcomer.name)
    await newcomer.join(folder)
    shop = await open_shop()
    (folder / "argocd-token").touch(mode=0o600)
    (folder / "argocd-token").write_text(newcomer.token, encoding="utf-8")
    known = replace(lab, tokens={**lab.tokens, newcomer.name: newcomer.token})
    serving = tmp_path / "serving"
    serving.mkdir()
    async with sink() as told, aiohttp.ClientSession() as session:
        backout = Backout(known, serving, session, told).configure([shop], [policy(shop, "auto")], account=newcomer.name, delivery={"projects": ["default"]})
        backout.config, own = folder / "backout.yaml", backout.config
        _, lines = await backout.doctor()
        argocd = [one for one in lines if "argocd" in one["what"]]
        assert [one for one in argocd if one["well"] == "no"] == []
        assert {one["says"] for one in argocd if one["what"].endswith("rights")} == {
            "may read on default/*",
            "may roll back on default/*",
            "may stop auto-sync on default/*",
        }
        backout.config = own
        try:
            await backout.start()
            await backout.until_watched(shop, "1.0")
            bad = await shop.ship("1.1", errors=0.5)
            await shop.until_live(bad)
            operation = await backout.until_ended(shop)
        finally:
            await backout.stop()
    assert operation["outcome"] == "recovered"
    assert (await shop.history())[-1][2] == newcomer.name


async def test_the_route_of_init_is_a_configuration_that_the_real_alertmanager_runs(lab: Lab, tmp_path: Path) -> None:
    config = written(lab, tmp_path / "init", "backout") / "alertmanager.yaml"
    program = Cache(cache_folder(os.environ)).binary("alertmanager")
    address = f"127.0.0.1:{spare_port()}"
    process = await asyncio.create_subprocess_exec(
        str(program),
        f"--config.file={config}",
        f"--storage.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with aiohttp.ClientSession() as session:
            alertmanager = HttpApi(session, f"http://{address}")

            async def ready() -> bool:
                assert process.returncode is None, (await process.stdout.read()).decode() if process.stdout else ""
                try:
                    return (await alertmanager.call("GET", "/-/ready")).good
                except aiohttp.ClientError:
                    return False

            await until(ready, what="Alertmanager to take the configuration")
            loaded = yaml.safe_load((await alertmanager.must("GET", "/api/v2/status"))["config"]["original"])
            receivers = {one["name"] for one in await alertmanager.must("GET", "/api/v2/receivers")}
        assert receivers == {"people", "backout"}
        assert loaded["route"]["routes"][0]["receiver"] == "backout"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
