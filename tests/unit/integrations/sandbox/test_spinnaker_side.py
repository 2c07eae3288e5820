import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from integrations.sandbox.world import SPINNAKER, World
from service.domain.errors import TemporaryError
from service.wiring.parts import SystemClock


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(folder=tmp_path / "world", clock=SystemClock(), webhook="http://127.0.0.1:1/", fast=True, sides=(SPINNAKER,))
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def test_a_release_is_deployed_by_a_persons_pipeline_and_its_series_name_the_application(world: World) -> None:
    first = await world.add_shop("web", "v1.0.0")
    assert await world.live("web") == {first.digest}
    second = await world.release("web", "v2.0.0", errors=0.5)
    await world.until_live("web", second)
    (run,) = [one.execution for one in world.gate.executions]
    assert (run["name"], run["trigger"]["user"], run["authentication"]["user"]) == ("deploy web v2.0.0", "alice", "alice")
    settings = yaml.safe_load(world.settings(listen="127.0.0.1:1").read_text(encoding="utf-8"))
    (delivery,) = settings["delivery"]
    assert (delivery["kind"], delivery["url"], delivery["auth"], delivery["applications"]) == ("spinnaker", world.gate.url, "api_token", ["web"])
    assert settings["targets"][0]["match"] == str(world.target("web")) == "spin:prod-k8s/web/deployment/web"
    assert "spinnaker_app" in settings["targets"][0]["version_split"]["promql"]
    assert "argocd" not in world.error_share
    assert world.called(second) == "v2.0.0"


async def test_backouts_token_stands_in_a_file_of_its_own_and_is_not_a_persons(world: World) -> None:
    file = world.folder / "gate-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text(encoding="utf-8").startswith("spk_")
    assert (await world.spinnaker.call("GET", "/auth/user"))["username"] == "alice"


async def test_what_backout_did_is_told_from_what_people_did(world: World) -> None:
    await world.add_shop("web", "v1.0.0")
    await world.until_live("web", await world.release("web", "v2.0.0"))
    side = world.spinnaker
    assert (side.writes(), side.asks("web"), await side.times_taken_back("web")) == (0, 0, 0)
    job = {"type": "undoRolloutManifest", "cloudProvider": "kubernetes", "account": "prod-k8s", "location": "web", "manifestName": "deployment web"}
    await side.call("POST", "/tasks", {"application": "web", "description": "by hand", "job": [{**job, "revision": 1}]})
    assert (side.writes(), side.asks("web"), await side.times_taken_back("web")) == (0, 0, 0)


async def test_a_run_that_goes_on_after_its_deploy_may_deploy_it_again(world: World) -> None:
    world.spinnaker.pushed.add("web")
    await world.add_shop("web", "v1.0.0")
    assert await world.spinnaker.kept_away("web") == {"no run that would deploy it again is under way": True}
    await world.until_live("web", await world.release("web", "v2.0.0"))
    assert await world.spinnaker.kept_away("web") == {"no run that would deploy it again is under way": False}


async def test_an_answer_that_is_an_error_is_told_with_its_status(world: World) -> None:
    with pytest.raises(TemporaryError, match="Gate answered 404"):
        await world.spinnaker.call("GET", "/tasks/none")
