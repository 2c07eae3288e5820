from pathlib import Path

import yaml

from integrations.sandbox.spinnaker_world import SpinnakerWorld
from service.wiring.parts import SystemClock


async def test_a_release_is_deployed_by_a_persons_pipeline_and_its_series_name_the_application(tmp_path: Path) -> None:
    world = SpinnakerWorld(folder=tmp_path / "world", clock=SystemClock(), webhook="http://127.0.0.1:1/", fast=True)
    await world.start()
    try:
        first = await world.add_shop("web", "v1.0.0")
        assert await world.live("web") == {first.digest}
        second = await world.release("web", "v2.0.0", errors=0.5)
        await world.until_live("web", second)
        (run,) = [one.execution for one in world.gate.executions]
        assert (run["name"], run["trigger"]["user"]) == ("deploy web v2.0.0", "alice")
        settings = yaml.safe_load(world.settings(listen="127.0.0.1:1").read_text(encoding="utf-8"))
        assert settings["delivery"] == [{"kind": "spinnaker", "name": "sandbox", "url": world.gate.url, "auth": "none", "applications": ["web"]}]
        assert settings["targets"][0]["match"] == str(world.target("web")) == "sandbox:prod-k8s/web/deployment/web"
        assert "spinnaker_app" in settings["targets"][0]["version_split"]["promql"]
        assert "argocd" not in world.error_share
    finally:
        await world.stop()
