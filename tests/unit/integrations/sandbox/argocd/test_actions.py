from pathlib import Path

import aiohttp
import pytest

from integrations.sandbox.argocd.server import SandboxArgoCD
from integrations.sandbox.argocd.settings import V2_14, Timings
from tests.contract.argocd.hands import SandboxHands
from tests.contract.argocd.outages import SandboxOutages
from tests.contract.argocd.server import ArgoCDServer, config_map
from tests.unit.integrations.sandbox.argocd.conftest import TurnableClock
from tests.unit.integrations.sandbox.argocd.test_rollouts import opened

ABOUT = {"resourceName": "web", "kind": "ConfigMap", "version": "v1", "namespace": "web"}


async def test_kinds_without_a_script_offer_nothing_and_run_nothing(server: ArgoCDServer) -> None:
    repository = server.create_repository("web")
    repository.commit({"deploy/cm.json": config_map("web", "1")}, "one")
    await server.create_app("web", repository)
    await server.sync("web")
    query = "&".join(f"{name}={value}" for name, value in ABOUT.items())
    assert await server.must("GET", f"/api/v1/applications/web/resource/actions?{query}") == {}
    answer = await server.call("POST", "/api/v1/applications/web/resource/actions/v2", {**ABOUT, "action": "abort"})
    assert answer.error == (500, 2, "error getting Lua resource action: built-in script does not exist")


async def test_a_rollout_that_nobody_filled_yet_makes_the_scripts_fail(server: ArgoCDServer, sandbox: SandboxArgoCD) -> None:  # contract 3.9
    canary = await opened(server)
    key = next(key for key in sandbox.cluster.everything() if key.kind == "Rollout")
    live = await canary.live()
    sandbox.cluster.put(key, {**live, "status": None}, quiet=True)
    assert (await canary.act("abort")).status == 500


@pytest.mark.parametrize("path", ["resource/actions/v2", "resource/actions/v3"])
async def test_a_server_before_3_1_does_not_know_the_second_form(clock: TurnableClock, tmp_path: Path, path: str) -> None:
    sandbox = SandboxArgoCD(clock=clock, timings=Timings.fast(), profile=V2_14)
    url = await sandbox.start()
    async with aiohttp.ClientSession() as session:
        tokens = {"admin": sandbox.admin_token()}
        server = ArgoCDServer(
            kind="sandbox", url=url, tokens=tokens, git_root=tmp_path, session=session, outages=SandboxOutages(sandbox), hands=SandboxHands(sandbox)
        )
        answer = await server.call("POST", f"/api/v1/applications/web/{path}", {"action": "abort"}, by="admin")
    await sandbox.stop()
    assert (answer.status, answer.body) == (404, "Not Found\n")
