"""PUT and PATCH while the target does not render or Git is away; what rollback can still do then (recordings 18, 23, 34)."""

import json

from tests.contract.argocd.server import ArgoCDServer, Json, Release

BROKEN = '{"apiVersion": "v1", nonsense'
WORDS = "rpc error: code = FailedPrecondition desc = Failed to unmarshal \"cm.json\": invalid character 'n' looking for beginning of object key string"


async def broken_target(server: ArgoCDServer) -> Release:
    release = await server.release("broken")
    release.repository.commit({"deploy/cm.json": BROKEN}, "does not render")
    return release


def stop_auto_sync() -> Json:
    return {"patchType": "merge", "patch": json.dumps({"spec": {"syncPolicy": {"automated": {"enabled": False}}}})}


async def test_a_target_that_does_not_render_is_unknown_with_a_condition(server: ArgoCDServer) -> None:  # recording 18
    release = await broken_target(server)

    status = (await server.app(release.name, "?refresh=normal"))["status"]

    assert (status["sync"]["status"], status["sync"]["revision"]) == ("Unknown", "main")
    assert [(condition["type"], condition["message"]) for condition in status["conditions"]] == [
        ("ComparisonError", f"Failed to load target state: failed to generate manifest for source 1 of 1: {WORDS}")
    ]
    assert [(row["status"], row["requiresPruning"]) for row in status["resources"]] == [("Unknown", True)]


async def test_patch_is_refused_then_and_put_without_validation_works(server: ArgoCDServer) -> None:  # recording 18
    release = await broken_target(server)
    path = f"/api/v1/applications/{release.name}"
    await server.app(release.name, "?refresh=normal")
    spec = (await server.app(release.name))["spec"]
    wanted = spec | {"syncPolicy": {"syncOptions": ["CreateNamespace=true"], "automated": {"prune": True, "enabled": False}}}
    refusal = (400, 3, f"application spec for {release.name} is invalid: InvalidSpecError: Unable to generate manifests in deploy: {WORDS}")

    assert (await server.call("PATCH", path, stop_auto_sync())).error == refusal
    assert (await server.call("PUT", f"{path}/spec?validate=true", wanted)).error == refusal
    answer = await server.call("PUT", f"{path}/spec?validate=false", wanted)

    assert (answer.status, answer.body["syncPolicy"]["automated"]) == (200, {"prune": True, "enabled": False})
    assert (await server.rollback(release.name, id=0)).status == 200
    assert (await server.settled(release.name))["status"]["operationState"]["phase"] == "Succeeded"


async def test_with_git_away_put_and_rollback_work_and_patch_and_branch_syncs_do_not(server: ArgoCDServer) -> None:  # recording 23
    release = await server.release("away")
    path = f"/api/v1/applications/{release.name}"
    spec = (await server.app(release.name))["spec"]
    release.repository.take_away()
    gone = "rpc error: code = Unknown desc = failed to list refs: repository not found"

    status = (await server.app(release.name, "?refresh=normal"))["status"]
    patch = await server.call("PATCH", path, stop_auto_sync())
    sync = await server.call("POST", f"{path}/sync", {"revision": "main"})
    put = await server.call("PUT", f"{path}/spec?validate=false", spec)
    manifests = await server.call("GET", f"{path}/manifests?revision={release.good}")
    rollback = await server.rollback(release.name, id=0)
    ended = await server.settled(release.name)
    release.repository.bring_back()

    assert status["sync"]["status"] == "Unknown"
    assert status["conditions"][0]["message"] == f"Failed to load target state: failed to generate manifest for source 1 of 1: {gone}"
    assert (patch.status, patch.body["code"]) == (400, 3)
    assert patch.body["message"].startswith(f"application spec for {release.name} is invalid: InvalidSpecError: repository not accessible: ")
    assert sync.error == (400, 9, f"error resolving repo revision: {gone}")
    assert (put.status, manifests.status, rollback.status) == (200, 200, 200)
    assert ended["status"]["operationState"]["phase"] == "Succeeded"


async def test_a_put_of_a_stale_spec_wipes_the_change_of_another(server: ArgoCDServer) -> None:  # recording 34
    release = await server.release("stale")
    path = f"/api/v1/applications/{release.name}"
    stale = (await server.app(release.name))["spec"]
    note = {"patchType": "merge", "patch": json.dumps({"spec": {"info": [{"name": "note", "value": "mine"}]}})}
    assert (await server.must("PATCH", path, note))["spec"]["info"] == [{"name": "note", "value": "mine"}]

    await server.must("PUT", f"{path}/spec?validate=false", stale)

    assert "info" not in (await server.app(release.name))["spec"]


async def test_put_of_the_application_replaces_its_annotations(server: ArgoCDServer) -> None:  # contract 3.7
    release = await server.release("whole")
    path = f"/api/v1/applications/{release.name}"
    app = await server.app(release.name)
    app["metadata"]["annotations"] = {"backout.example/one": "1"}
    await server.must("PUT", f"{path}?validate=false", app)
    app["metadata"]["annotations"] = {"backout.example/two": "2"}

    answer = await server.must("PUT", f"{path}?validate=false", app)

    assert answer["metadata"]["annotations"] == {"backout.example/two": "2"}


async def test_fields_the_server_does_not_know_are_dropped(server: ArgoCDServer) -> None:  # contract 3.7
    release = await server.release("drop")
    path = f"/api/v1/applications/{release.name}"
    spec = (await server.app(release.name))["spec"]

    answer = await server.must("PUT", f"{path}/spec?validate=false", spec | {"nonsense": 1, "syncPolicy": {**spec["syncPolicy"], "nonsense": {"a": 1}}})

    assert answer == spec
