"""Stopping auto-sync, rolling back under it, turning it on again; failing automated syncs (recordings 13, 15, 18, 34)."""

import json
from typing import Any

from tests.contract.argocd.server import ArgoCDServer, Json, Release, config_map, deployment

MARK = "backout.example/hold"


async def patch(server: ArgoCDServer, name: str, kind: str, change: Any) -> Any:
    return await server.call("PATCH", f"/api/v1/applications/{name}", {"patchType": kind, "patch": json.dumps(change)})


async def automated_release(server: ArgoCDServer, name: str, **auto: bool) -> Release:
    release = await server.release(name)
    await server.set_auto(release.name, auto or {"prune": True, "selfHeal": True})
    return release


async def test_stopping_auto_sync_and_marking_it_is_one_change_with_a_precondition(server: ArgoCDServer) -> None:  # recording 34
    release = await automated_release(server, "stop")
    steps = [
        {"op": "test", "path": "/spec/syncPolicy/automated", "value": {"prune": True, "selfHeal": True}},
        {"op": "add", "path": "/spec/syncPolicy/automated/enabled", "value": False},
        {"op": "add", "path": "/metadata/annotations", "value": {MARK: "op-7"}},
    ]

    answer = await patch(server, release.name, "json", steps)
    app = await server.app(release.name)

    assert answer.status == 200
    assert answer.body["spec"]["syncPolicy"]["automated"] == app["spec"]["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True, "enabled": False}
    assert app["metadata"]["annotations"][MARK] == "op-7"


async def test_a_failing_test_writes_nothing(server: ArgoCDServer) -> None:  # recording 34
    release = await automated_release(server, "guarded")
    before = await server.app(release.name)
    path = "/spec/syncPolicy/automated/prune"
    steps = [{"op": "test", "path": path, "value": False}, {"op": "add", "path": "/spec/syncPolicy/automated/enabled", "value": False}]

    failed = await patch(server, release.name, "json", steps)
    missing = await patch(server, release.name, "json", [{"op": "remove", "path": "/spec/syncPolicy/nosuch"}])

    assert failed.error == (500, 2, f"error applying patch: testing value {path} failed: test failed")
    words = "error in remove for path: '/spec/syncPolicy/nosuch': Unable to remove nonexistent key: nosuch: missing value"
    assert missing.error == (500, 2, f"error applying patch: {words}")
    assert (await server.app(release.name))["spec"] == before["spec"]


async def test_a_merge_patch_stops_and_marks_in_one_write_whatever_version_it_names(server: ArgoCDServer) -> None:  # recording 34
    release = await automated_release(server, "merge")
    change = {"metadata": {"resourceVersion": "1", "annotations": {MARK: "op-7"}}, "spec": {"syncPolicy": {"automated": {"enabled": False}}}}

    answer = await patch(server, release.name, "merge", change)

    assert answer.body["spec"]["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True, "enabled": False}
    assert answer.body["metadata"]["annotations"] == {MARK: "op-7"}


async def test_removing_automated_stops_it_too(server: ArgoCDServer) -> None:  # recording 34
    release = await automated_release(server, "remove")

    answer = await patch(server, release.name, "merge", {"spec": {"syncPolicy": {"automated": None}}})

    assert answer.body["spec"]["syncPolicy"] == {"syncOptions": ["CreateNamespace=true"]}


async def test_operation_and_status_cannot_be_patched(server: ArgoCDServer) -> None:  # recording 34
    release = await server.release("fake")

    answer = await patch(server, release.name, "merge", {"operation": {"sync": {}}, "status": {"health": {"status": "Suspended"}}})
    app = await server.app(release.name)

    assert answer.status == 200
    assert "operation" not in app
    assert app["status"]["health"]["status"] == "Degraded"


async def test_an_unknown_patch_type_is_refused(server: ArgoCDServer) -> None:  # recording 01
    release = await server.release("kind")

    assert (await patch(server, release.name, "strategic", {})).error == (400, 3, "Patch type 'strategic' is not supported")
    assert (await patch(server, release.name, "", [])).status == 200


async def test_a_rollback_is_accepted_right_after_auto_sync_was_stopped_and_stays(server: ArgoCDServer) -> None:  # recordings 21, 34
    release = await automated_release(server, "stays")
    assert (await server.rollback(release.name, id=0)).status == 400

    await patch(server, release.name, "merge", {"spec": {"syncPolicy": {"automated": {"enabled": False}}}})
    answer = await server.rollback(release.name, id=0)
    app = await server.settled(release.name)

    assert answer.status == 200
    assert [entry["revision"] for entry in app["status"]["history"]] == [release.good, release.bad, release.good]
    assert app["spec"]["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True, "enabled": False}
    again = await server.app(release.name, "?refresh=hard")
    assert len(again["status"]["history"]) == 3
    assert (again["status"]["sync"]["status"], again["status"]["health"]["status"]) == ("OutOfSync", "Healthy")


async def test_turning_auto_sync_on_again_deploys_bad_at_once(server: ArgoCDServer) -> None:  # recording 15
    release = await automated_release(server, "again")
    await server.set_auto(release.name, {"enabled": False})
    await server.rollback(release.name, id=0)
    await server.settled(release.name)

    await server.set_auto(release.name, {"enabled": True})

    async def bad_again() -> list[Json]:
        history = (await server.app(release.name))["status"]["history"]
        return history if len(history) > 3 else []

    entry = (await server.until(bad_again, "bad deployed again"))[-1]
    assert (entry["id"], entry["revision"], entry["initiatedBy"]) == (3, release.bad, {"automated": True})


async def test_after_git_was_reverted_turning_it_on_again_syncs_nothing(server: ArgoCDServer) -> None:  # recording 15
    release = await automated_release(server, "reverted")
    await server.set_auto(release.name, {"enabled": False})
    await server.rollback(release.name, id=0)
    await server.settled(release.name)
    release.repository.commit({"deploy/cm.json": config_map(release.name, "1")}, "revert")
    assert (await server.app(release.name, "?refresh=normal"))["status"]["sync"]["status"] == "Synced"

    await server.set_auto(release.name, {"enabled": True})
    app = await server.app(release.name, "?refresh=hard")

    assert "operation" not in app
    assert len(app["status"]["history"]) == 3


async def test_an_automated_sync_says_so(server: ArgoCDServer) -> None:  # recordings 15, 21
    release = await automated_release(server, "says", prune=True)
    newest = release.repository.commit({"deploy/cm.json": config_map(release.name, "3")}, "newest")
    await server.app(release.name, "?refresh=normal")

    async def deployed() -> bool:
        return bool((await server.app(release.name))["status"]["history"][-1]["revision"] == newest)

    await server.until(deployed, "the automated sync")
    state = (await server.settled(release.name))["status"]["operationState"]
    source = {"repoURL": release.repository.url, "path": "deploy", "targetRevision": "main"}
    sync = {"revision": newest, "prune": True, "source": source, "syncOptions": ["CreateNamespace=true"]}
    assert state["operation"] == {"sync": sync, "initiatedBy": {"automated": True}, "retry": {"limit": 5}}


async def test_self_heal_takes_drift_back_without_a_history_entry(server: ArgoCDServer) -> None:  # contract 4.4, recording 10
    parent = server.unique("parent")
    child = server.unique("child")
    repository = server.create_repository(parent)
    inner = server.create_repository(child)
    inner.commit({"deploy/cm.json": config_map(child, "1")}, "good")
    source = {"repoURL": inner.url, "path": "deploy", "targetRevision": "main"}
    policy = {"automated": {"prune": True, "selfHeal": True}, "syncOptions": ["CreateNamespace=true"]}
    spec = {"project": "default", "source": source, "destination": {"server": "https://kubernetes.default.svc", "namespace": child}, "syncPolicy": policy}
    manifest = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": child, "namespace": "argocd"}, "spec": spec}
    repository.commit({"deploy/child.json": manifest}, "child")
    server.apps.append(child)
    await server.create_app(parent, repository, auto={"selfHeal": True}, destination={"server": "https://kubernetes.default.svc", "namespace": "argocd"})

    async def there() -> bool:
        answer = await server.call("GET", f"/api/v1/applications/{child}", by="admin")
        return answer.status == 200 and bool(answer.body["status"].get("history"))

    await server.until(there, "the child's first sync")
    tracked = (await server.app(child))["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"]
    assert tracked == f"{parent}:argoproj.io/Application:argocd/{child}"

    # enabled: false is an extra field and stays, also through a hard refresh of the parent; a removed block comes back
    await server.set_auto(child, {"enabled": False})
    await server.app(parent, "?refresh=hard")
    assert (await server.app(child))["spec"]["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True, "enabled": False}
    await server.set_auto(child, None)

    async def healed() -> bool:
        return "automated" in (await server.app(child))["spec"]["syncPolicy"]

    await server.until(healed, "the parent's self-heal")
    status = (await server.settled(parent))["status"]
    assert len(status["history"]) == 1
    assert status["operationState"]["operation"]["sync"]["resources"] == [{"group": "argoproj.io", "kind": "Application", "name": child}]


async def failing(server: ArgoCDServer, auto: Json | None) -> Release:
    name = server.unique("failing")
    repository = server.create_repository(name)
    good = repository.commit({"deploy/app.json": deployment(name, "registry.example/web:1.0"), "deploy/cm.json": config_map(name, "1")}, "good")
    await server.create_app(name, repository, auto=auto)
    if auto is None:
        await server.sync(name)
    else:

        async def deployed() -> bool:
            return bool((await server.app(name))["status"].get("history"))

        await server.until(deployed, "good")
        await server.settled(name)
    broken = deployment(name, "registry.example/web:1.1", selector="changed")
    bad = repository.commit({"deploy/app.json": broken, "deploy/cm.json": config_map(name, "2")}, "bad")
    await server.app(name, "?refresh=normal")
    return Release(name=name, repository=repository, good=good, bad=bad)


async def test_a_failing_automated_sync_holds_the_slot_until_it_is_terminated(server: ArgoCDServer) -> None:  # recording 18
    release = await failing(server, {"prune": True})
    path = f"/api/v1/applications/{release.name}"

    async def retrying() -> Json | None:
        app = await server.app(release.name)
        return app if app["status"].get("operationState", {}).get("finishedAt") and "operation" in app else None

    app = await server.until(retrying, "the first retry")
    assert app is not None
    state = app["status"]["operationState"]
    assert (state["phase"], state["retryCount"]) == ("Running", 1)
    assert state["message"].startswith("one or more objects failed to apply, reason: error when patching ")
    assert "field is immutable]. Retrying attempt #1 at " in state["message"]
    assert {row["kind"]: (row["status"], row["hookPhase"]) for row in state["syncResult"]["resources"]} == {
        "ConfigMap": ("Synced", "Running"),
        "Deployment": ("SyncFailed", "Failed"),
    }
    await server.set_auto(release.name, {"enabled": False})
    assert "operation" in await server.app(release.name)
    assert (await server.rollback(release.name, id=0)).error == (400, 9, "another operation is already in progress")

    assert (await server.call("DELETE", f"{path}/operation")).status == 200
    app = await server.settled(release.name)
    assert app["status"]["operationState"]["phase"] == "Failed"
    assert app["status"]["operationState"]["message"].startswith("Operation terminated (retried ")
    assert [entry["revision"] for entry in app["status"]["history"]] == [release.good]
    assert (await server.rollback(release.name, id=0)).status == 200
    assert (await server.settled(release.name))["status"]["operationState"]["phase"] == "Succeeded"


async def test_an_automated_sync_whose_hook_never_ends_holds_the_slot_until_it_is_terminated_and_is_in_no_history(server: ArgoCDServer) -> None:
    release = await automated_release(server, "endless")
    hook = config_map(f"{release.name}-hook", "1", health="Progressing", annotations={"argocd.argoproj.io/hook": "PostSync"})
    worse = release.repository.commit({"deploy/cm.json": config_map(release.name, "3"), "deploy/hook.json": hook}, "worse")
    await server.app(release.name, "?refresh=normal")

    async def waits() -> Json | None:
        app = await server.app(release.name)
        message = app["status"].get("operationState", {}).get("message", "")
        return app if message.startswith("waiting for completion of hook") else None

    app = await server.until(waits, "the hook")
    assert app is not None
    state = app["status"]["operationState"]
    assert (state["operation"]["initiatedBy"], state["operation"]["sync"]["revision"], state["phase"]) == ({"automated": True}, worse, "Running")

    async def phases() -> bool:
        rows = (await server.app(release.name))["status"]["operationState"]["syncResult"]["resources"]
        return {row["name"]: row["hookPhase"] for row in rows} == {release.name: "Succeeded", f"{release.name}-hook": "Running"}

    await server.until(phases, "the hook to be told beside what came before it")
    await server.set_auto(release.name, {"enabled": False})
    assert (await server.rollback(release.name, id=0)).error == (400, 9, "another operation is already in progress")

    assert (await server.call("DELETE", f"/api/v1/applications/{release.name}/operation")).status == 200
    ended = await server.settled(release.name)
    assert (ended["status"]["operationState"]["phase"], ended["status"]["operationState"]["message"]) == ("Failed", "Operation terminated")
    assert [entry["revision"] for entry in ended["status"]["history"]] == [release.good, release.bad]
    assert (await server.rollback(release.name, id=0)).status == 200
    assert (await server.settled(release.name))["status"]["operationState"]["phase"] == "Succeeded"


async def test_a_failed_sync_is_not_in_history_though_part_of_it_is_live(server: ArgoCDServer) -> None:  # recording 18
    release = await failing(server, None)

    app = await server.sync(release.name)

    state = app["status"]["operationState"]
    assert state["phase"] == "Failed"
    assert state["message"].startswith("one or more objects failed to apply, reason: error when patching ")
    assert state["syncResult"]["revision"] == release.bad
    assert [entry["revision"] for entry in app["status"]["history"]] == [release.good]
    assert {row["kind"]: row["status"] for row in app["status"]["resources"]} == {"ConfigMap": "Synced", "Deployment": "OutOfSync"}


async def test_a_pin_deploys_by_itself_under_auto_sync(server: ArgoCDServer) -> None:  # recording 13
    release = await automated_release(server, "pin")
    spec = (await server.app(release.name))["spec"]

    pinned = spec | {"source": spec["source"] | {"targetRevision": release.good}}
    answer = await server.call("PUT", f"/api/v1/applications/{release.name}/spec", pinned)

    async def deployed() -> bool:
        status = (await server.app(release.name))["status"]
        return len(status["history"]) == 3 and status["sync"]["status"] == "Synced"

    await server.until(deployed, "the pinned revision")
    entry = (await server.app(release.name))["status"]["history"][-1]
    assert answer.status == 200
    assert (entry["revision"], entry["initiatedBy"]) == (release.good, {"automated": True})
