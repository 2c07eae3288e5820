"""Argo Rollouts under Argo CD: what its controller does, and the resource actions that move it (recording 36, contract 3.9)."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.contract.argocd.server import Answer, ArgoCDServer, GitRepository, Json

HALF_THEN_STOP = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}
BY_HAND = {"blueGreen": {"activeService": "active", "previewService": "preview", "autoPromotionEnabled": False}}


def rollout(name: str, tag: str, strategy: Json, **spec: Any) -> Json:
    pods = {"containers": [{"name": "main", "image": image(name, tag)}], "terminationGracePeriodSeconds": 0}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name},
        "spec": {
            "replicas": 4,
            "progressDeadlineSeconds": 6,
            "selector": {"matchLabels": {"app": name}},
            "strategy": strategy,
            "template": {"metadata": {"labels": {"app": name}}, "spec": pods},
            **spec,
        },
    }


def service(name: str, app: str) -> Json:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"selector": {"app": app}, "ports": [{"port": 80, "targetPort": 8080}]}}


def image(name: str, tag: str) -> str:
    return f"registry.example/{name}:{tag}"


class Canary:
    """An application that is one Rollout; release 1.0 is live."""

    def __init__(self, server: ArgoCDServer, name: str, repository: GitRepository, strategy: Json, spec: Json) -> None:
        self.server, self.name, self.repository = server, name, repository
        self._strategy, self._spec = strategy, spec

    def commit(self, tag: str) -> str:
        files = {"deploy/rollout.json": rollout(self.name, tag, self._strategy, **self._spec)}
        services = ("active", "preview") if "blueGreen" in self._strategy else ()
        return self.repository.commit({**files, **{f"deploy/{one}.json": service(one, self.name) for one in services}}, tag)

    async def release(self, tag: str, phase: str) -> None:
        """Ship it and wait for the phase in which it comes to rest."""
        self.commit(tag)
        await self.server.app(self.name, "?refresh=normal")
        await self.server.sync(self.name)
        await self.until(phase)

    @property
    def query(self) -> str:
        return f"resourceName={self.name}&kind=Rollout&version=v1alpha1&group=argoproj.io&namespace={self.name}"

    async def live(self) -> Json:
        answer = await self.server.must("GET", f"/api/v1/applications/{self.name}/resource?{self.query}", by="backout")
        found: Json = json.loads(answer["manifest"])
        return found

    async def until(self, phase: str, check: Callable[[Json], bool] = lambda _status: True) -> Json:
        """The Rollout's status once it and the application have that health."""

        async def there() -> Json | None:
            status = (await self.live()).get("status", {})
            app = await self.server.app(self.name)
            health = "Suspended" if phase == "Paused" else phase
            fits = status.get("phase") == phase and app["status"]["health"]["status"] == health and "operation" not in app and check(status)
            return status if fits else None

        return await self.server.until(there, f"{self.name} to be {phase}") or {}

    async def act(self, action: str, *, by: str = "backout", name: str = "") -> Answer:
        body = {"resourceName": name or self.name, "kind": "Rollout", "version": "v1alpha1", "group": "argoproj.io", "namespace": self.name, "action": action}
        return await self.server.call("POST", f"/api/v1/applications/{self.name}/resource/actions/v2", body, by=by)

    async def offered(self) -> Mapping[str, bool]:
        """Action -> whether it is offered as possible now."""
        answer = await self.server.must("GET", f"/api/v1/applications/{self.name}/resource/actions?{self.query}", by="backout")
        return {one["name"]: not one.get("disabled", False) for one in answer["actions"]}

    async def running(self) -> list[str]:
        """The tags of the application's pods, sorted."""
        tree = await self.server.must("GET", f"/api/v1/applications/{self.name}/resource-tree", by="backout")
        return sorted(node["images"][0].rpartition(":")[2] for node in tree["nodes"] if node["kind"] == "Pod")

    async def until_running(self, *tags: str) -> None:
        async def there() -> bool:
            return await self.running() == sorted(tags)

        await self.server.until(there, f"{tags} to run")

    async def roll_back(self, history_id: int = 0) -> None:
        assert (await self.server.rollback(self.name, id=history_id)).status == 200


async def open_canary(server: ArgoCDServer, strategy: Json = HALF_THEN_STOP, **spec: Any) -> Canary:
    await server.argo_rollouts()
    name = server.unique("canary")
    canary = Canary(server, name, server.create_repository(name), strategy, spec)
    canary.commit("1.0")
    await server.create_app(name, canary.repository)
    await server.sync(name)
    await canary.until("Healthy")
    return canary


async def second_over(server: ArgoCDServer) -> None:
    """Kubernetes tells ages in whole seconds, and what is a rollback (to an older ReplicaSet) goes by them: so does a rollback window."""
    del server
    await asyncio.sleep(1.1)


async def test_a_paused_canary_is_suspended_and_the_new_release_is_in_the_history_already(server: ArgoCDServer) -> None:
    canary = await open_canary(server)
    before = await canary.live()
    await canary.release("2.0", "Paused")

    status, app = (await canary.live())["status"], await server.app(canary.name)
    assert (status["message"], status["currentStepIndex"]) == ("CanaryPauseStep", 1)
    assert status["stableRS"] == before["status"]["currentPodHash"] != status["currentPodHash"]
    assert status["pauseConditions"][0]["reason"] == "CanaryPauseStep"
    assert [entry["id"] for entry in app["status"]["history"]] == [0, 1]
    assert app["status"]["sync"]["status"] == "Synced"
    await canary.until_running("1.0", "1.0", "2.0", "2.0")
    assert await canary.offered() == {
        "resume": True,
        "retry": False,
        "skip-current-step": True,
        "abort": True,
        "pause": True,
        "promote-full": True,
        "restart": True,
    }


async def test_the_tree_leads_from_a_rollout_to_sets_that_carry_the_pod_hash(server: ArgoCDServer) -> None:
    canary = await open_canary(server)
    await canary.release("2.0", "Paused")

    def of(nodes: list[Json], kind: str) -> list[Json]:
        return [node for node in nodes if node["kind"] == kind]

    async def whole() -> list[Json]:
        nodes: list[Json] = (await server.must("GET", f"/api/v1/applications/{canary.name}/resource-tree", by="backout"))["nodes"]
        renewed = {"name": "Revision", "value": "Rev:2"} in of(nodes, "Rollout")[0]["info"]
        return nodes if len(of(nodes, "ReplicaSet")) == 2 and renewed else []

    nodes = await server.until(whole, "the tree with both sets")
    status = (await canary.live())["status"]
    sets = of(nodes, "ReplicaSet")
    assert {node["parentRefs"][0]["kind"] for node in sets} == {"Rollout"}
    hashes = {}
    for node in sets:
        query = f"resourceName={node['name']}&kind=ReplicaSet&version=v1&group=apps&namespace={canary.name}"
        live = json.loads((await server.must("GET", f"/api/v1/applications/{canary.name}/resource?{query}", by="backout"))["manifest"])
        hashed = live["metadata"]["labels"]["rollouts-pod-template-hash"]
        assert live["spec"]["template"]["metadata"]["labels"]["rollouts-pod-template-hash"] == hashed
        hashes[hashed] = live["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2]
    assert hashes == {status["stableRS"]: "1.0", status["currentPodHash"]: "2.0"}


async def test_an_abort_leaves_the_stable_release_serving_and_the_application_synced_to_the_bad_one(server: ArgoCDServer) -> None:
    canary = await open_canary(server)
    await canary.release("2.0", "Paused")

    answer = await canary.act("abort")

    assert (answer.status, answer.body) == (200, {})
    status = await canary.until("Degraded")
    assert status["abort"] is True
    assert status["message"] == "RolloutAborted: Rollout aborted update to revision 2"
    assert status["stableRS"] != status["currentPodHash"]
    await canary.until_running("1.0", "1.0", "1.0", "1.0")
    assert (await server.app(canary.name))["status"]["sync"]["status"] == "Synced"
    offered = await canary.offered()
    assert (offered["abort"], offered["retry"], offered["promote-full"]) == (False, True, True)
    events = (await server.must("GET", f"/api/v1/applications/{canary.name}/events"))["items"]
    ran = [(event["reason"], event["message"], event["metadata"]["annotations"]["user"]) for event in events if " ran action " in event["message"]]
    assert ran == [("ResourceActionRan", f"backout ran action abort on resource argoproj.io/Rollout/{canary.name}", "backout")]


async def test_an_abort_twice_is_an_abort_once(server: ArgoCDServer) -> None:
    canary = await open_canary(server)
    await canary.release("2.0", "Paused")
    await canary.act("abort")
    await canary.until("Degraded")

    assert (await canary.act("abort")).status == 200

    assert (await canary.until("Degraded"))["abort"] is True


@pytest.mark.parametrize("aborted", [True, False], ids=["aborted", "not aborted"])
async def test_a_rollback_from_the_middle_of_a_canary_skips_the_steps_for_the_goal_is_still_stable(server: ArgoCDServer, aborted: bool) -> None:
    canary = await open_canary(server)
    await canary.release("2.0", "Paused")
    if aborted:
        await canary.act("abort")
        await canary.until("Degraded")

    await canary.roll_back()

    status = await canary.until("Healthy")
    assert status["stableRS"] == status["currentPodHash"]
    assert (status["currentStepIndex"], status.get("abort"), status.get("pauseConditions")) == (2, None, None)
    await canary.until_running("1.0", "1.0", "1.0", "1.0")


async def test_a_sync_to_the_same_release_does_not_undo_an_abort_and_a_retry_does(server: ArgoCDServer) -> None:
    canary = await open_canary(server)
    await canary.release("2.0", "Paused")
    await canary.act("abort")
    await canary.until("Degraded")

    await server.sync(canary.name)
    assert (await canary.until("Degraded"))["abort"] is True
    await canary.act("retry", by="human")

    await canary.until("Paused")
    await canary.until_running("1.0", "1.0", "2.0", "2.0")


async def test_a_promoted_canary_that_is_rolled_back_runs_its_steps_again_until_it_is_promoted_in_full(server: ArgoCDServer) -> None:
    canary = await open_canary(server)
    await canary.release("2.0", "Paused")
    assert (await canary.act("promote-full")).status == 200
    promoted = await canary.until("Healthy", lambda status: bool(status["stableRS"] == status["currentPodHash"]))
    assert promoted.get("promoteFull") is None
    assert (await canary.offered())["abort"] is (await canary.offered())["promote-full"] is False

    await canary.roll_back()

    paused = await canary.until("Paused")
    assert (paused["currentStepIndex"], paused["stableRS"]) == (1, promoted["currentPodHash"])
    await canary.until_running("1.0", "1.0", "2.0", "2.0")
    await canary.act("promote-full")
    healthy = await canary.until("Healthy")
    assert healthy["stableRS"] == healthy["currentPodHash"] == paused["currentPodHash"]
    await canary.until_running("1.0", "1.0", "1.0", "1.0")


@pytest.mark.parametrize("action", ["abort", "promote-full"])
async def test_what_is_promoted_already_takes_an_action_and_nothing_comes_of_it(server: ArgoCDServer, action: str) -> None:
    canary = await open_canary(server)
    before = (await canary.live())["status"]

    assert (await canary.act(action)).status == 200

    after = await canary.until("Healthy", lambda status: status.get("abort") is status.get("promoteFull") is None)
    assert (after["stableRS"], after["currentPodHash"]) == (before["stableRS"], before["currentPodHash"])


async def test_within_its_rollback_window_a_promoted_canary_goes_back_without_its_steps(server: ArgoCDServer) -> None:
    canary = await open_canary(server, rollbackWindow={"revisions": 1})
    await second_over(server)
    await canary.release("2.0", "Paused")
    await canary.act("promote-full")
    await canary.until("Healthy", lambda status: bool(status["stableRS"] == status["currentPodHash"]))

    await canary.roll_back()

    status = await canary.until("Healthy", lambda status: bool(status["stableRS"] == status["currentPodHash"]))
    assert status["currentStepIndex"] == 2
    await canary.until_running("1.0", "1.0", "1.0", "1.0")


async def test_further_back_than_its_window_the_steps_run(server: ArgoCDServer) -> None:
    canary = await open_canary(server, rollbackWindow={"revisions": 1})
    for tag in ("2.0", "3.0"):
        await second_over(server)
        await canary.release(tag, "Paused")
        await canary.act("promote-full")
        await canary.until("Healthy", lambda status: bool(status["stableRS"] == status["currentPodHash"]))

    await canary.roll_back()

    assert (await canary.until("Paused"))["currentStepIndex"] == 1


async def test_a_pause_with_a_length_ends_by_itself(server: ArgoCDServer) -> None:
    canary = await open_canary(server, {"canary": {"steps": [{"setWeight": 50}, {"pause": {"duration": "1s"}}]}})

    await canary.release("2.0", "Healthy")

    status = await canary.until("Healthy", lambda status: bool(status["stableRS"] == status["currentPodHash"]))
    assert status["currentStepIndex"] == 2
    await canary.until_running("2.0", "2.0", "2.0", "2.0")


async def test_a_canary_that_never_gets_ready_is_degraded_and_can_be_aborted(server: ArgoCDServer) -> None:
    canary = await open_canary(server)
    await canary.release("bad", "Degraded")
    status = (await canary.live())["status"]
    assert status["message"].startswith("ProgressDeadlineExceeded: ReplicaSet ")
    assert "abort" not in status

    await canary.act("abort")

    assert (await canary.live())["status"]["abort"] is True  # at once; what follows is the controller's
    aborted = await canary.until("Degraded", lambda status: "abortedAt" in status)
    assert aborted["message"].startswith("RolloutAborted")
    await canary.until_running("1.0", "1.0", "1.0", "1.0")


async def test_a_blue_green_that_waits_is_aborted_and_rolled_back_with_its_active_set_untouched(server: ArgoCDServer) -> None:
    canary = await open_canary(server, BY_HAND)
    await canary.release("2.0", "Paused")
    waiting = (await canary.live())["status"]
    assert waiting["message"] == "BlueGreenPause"
    assert waiting["blueGreen"] == {"activeSelector": waiting["stableRS"], "previewSelector": waiting["currentPodHash"]}

    await canary.act("abort")
    aborted = await canary.until("Degraded")
    assert (aborted["abort"], aborted["blueGreen"]["activeSelector"]) == (True, waiting["stableRS"])
    await canary.roll_back()

    status = await canary.until("Healthy")
    assert status["currentPodHash"] == status["stableRS"] == status["blueGreen"]["activeSelector"] == waiting["stableRS"]


async def test_a_promoted_blue_green_goes_back_at_once_while_the_old_set_still_runs(server: ArgoCDServer) -> None:
    canary = await open_canary(server, BY_HAND)
    first = (await canary.live())["status"]["currentPodHash"]
    await second_over(server)
    await canary.release("2.0", "Paused")
    await canary.act("promote-full")
    await canary.until("Healthy", lambda status: bool(status["stableRS"] == status["currentPodHash"] != first))

    await canary.roll_back()

    status = await canary.until("Healthy", lambda status: bool(status["stableRS"] == first))
    assert status["blueGreen"]["activeSelector"] == first


async def test_a_blue_green_set_that_serves_nobody_any_more_says_until_when_it_stays(server: ArgoCDServer) -> None:
    canary = await open_canary(server, BY_HAND)
    first = (await canary.live())["status"]["currentPodHash"]
    await canary.release("2.0", "Paused")
    await canary.act("promote-full")
    await canary.until("Healthy", lambda status: bool(status["stableRS"] == status["currentPodHash"] != first))

    query = f"resourceName={canary.name}-{first}&kind=ReplicaSet&version=v1&group=apps&namespace={canary.name}"

    async def marked() -> Any:
        live = json.loads((await server.must("GET", f"/api/v1/applications/{canary.name}/resource?{query}", by="backout"))["manifest"])
        return live["metadata"]["annotations"].get("scale-down-deadline")

    assert await server.until(marked, "the deadline")


async def test_the_right_to_an_action_shows_on_a_name_that_no_object_can_have(server: ArgoCDServer) -> None:
    canary = await open_canary(server)
    nobody = "Nobody_Has_This_Name"

    may, may_not = await canary.act("abort", name=nobody), await canary.act("abort", name=nobody, by="reader")

    assert may.error == (400, 3, f"Rollout argoproj.io {nobody} not found as part of application {canary.name}")
    assert may_not.error == (403, 7, "permission denied")
    assert (await canary.act("pause", name=nobody)).error == (403, 7, "permission denied")
    events = (await server.must("GET", f"/api/v1/applications/{canary.name}/events"))["items"]
    assert [event["message"] for event in events if "action" in event["message"]] == []


async def test_the_old_form_of_the_call_does_the_same(server: ArgoCDServer) -> None:
    canary = await open_canary(server)
    await canary.release("2.0", "Paused")
    path = f"/api/v1/applications/{canary.name}/resource/actions?{canary.query}"

    answer = await server.call("POST", path, json.dumps("abort"))

    assert (answer.status, answer.body) == (200, {})
    assert (await canary.until("Degraded"))["abort"] is True


async def test_an_action_that_does_not_exist_is_an_unknown_script(server: ArgoCDServer) -> None:
    canary = await open_canary(server)

    answer = await canary.act("nonsense", by="human")
    incomplete = await server.call("POST", f"/api/v1/applications/{canary.name}/resource/actions/v2", {"action": "abort"})

    assert answer.error == (500, 2, "error getting Lua resource action: built-in script does not exist")
    assert incomplete.error == (500, 13, 'grpc: error while marshaling: proto: required field "kind" not set')
