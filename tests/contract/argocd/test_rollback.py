"""Rollback: what it writes in which order, what it refuses, what it leaves (recordings 07, 20, 21, 24, 26, 32, 35, 38)."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

from tests.contract.argocd.server import ArgoCDServer, Json, config_map, deployment
from tests.contract.argocd.test_windows import DENY, release_with

BUSY = (400, 9, "another operation is already in progress")
AUTO = (400, 9, "rollback cannot be initiated when auto-sync is enabled")


async def says(server: ArgoCDServer, name: str, words: str) -> str:
    """The operation's message, once it begins with these words."""

    async def said() -> str:
        message = str((await server.app(name))["status"].get("operationState", {}).get("message", ""))
        return message if message.lower().startswith(words) else ""

    return await server.until(said, words)


def source_of(app: Json) -> Any:
    return app["spec"]["source"]


async def test_a_sync_leaves_a_history_entry_that_says_who_what_and_from_where(server: ArgoCDServer) -> None:  # recording 32
    release = await server.release("entry")

    status = (await server.app(release.name))["status"]

    first, second = status["history"]
    assert (first["id"], second["id"]) == (0, 1)
    assert second.keys() == {"revision", "deployedAt", "id", "source", "deployStartedAt", "initiatedBy"}
    assert (second["revision"], second["initiatedBy"]) == (release.bad, {"username": "human"})
    assert second["source"] == {"repoURL": release.repository.url, "path": "deploy", "targetRevision": "main"}
    state = status["operationState"]
    assert (state["phase"], state["message"]) == ("Succeeded", "successfully synced (all tasks run)")
    assert state["syncResult"]["revision"] == release.bad
    applied = state["syncResult"]["resources"][-1]
    assert applied == {
        "group": "",
        "version": "v1",
        "kind": "ConfigMap",
        "namespace": release.name,
        "name": release.name,
        "status": "Synced",
        "message": f"configmap/{release.name} configured",
        "hookPhase": "Running",
        "syncPhase": "Sync",
    }
    assert (status["sourceType"], status["resourceHealthSource"], status["controllerNamespace"]) == ("Directory", "appTree", "argocd")


async def test_the_answer_is_the_application_with_the_operation_and_without_the_last_result(server: ArgoCDServer) -> None:  # recordings 20, 32
    release = await server.release("answer")

    answer = await server.rollback(release.name, id=0)

    source = {"repoURL": release.repository.url, "path": "deploy", "targetRevision": "main"}
    sync = {"revision": release.good, "syncStrategy": {"apply": {}}, "source": source, "syncOptions": ["CreateNamespace=true"]}
    assert answer.status == 200
    assert answer.body["operation"] == {"sync": sync, "initiatedBy": {"username": "backout"}, "retry": {}}
    assert "operationState" not in answer.body["status"]
    assert all("health" not in row for row in answer.body["status"]["resources"])


async def test_the_writes_of_a_rollback_come_in_argo_cds_order(server: ArgoCDServer) -> None:  # recordings 20, 21
    release = await server.release("order")

    async with server.watching(f"name={release.name}") as seen:
        before = len(seen)
        await server.rollback(release.name, id=0)

        async def fresh() -> bool:
            app = seen[-1]["application"]
            return "operation" not in app and app["status"]["sync"]["status"] == "OutOfSync" and app["status"]["health"]["status"] == "Healthy"

        await server.until(fresh, "fresh sync and health")

    steps: list[tuple[bool, str | None, int]] = []
    looks: list[tuple[str, str]] = []
    for message in seen[before:]:
        status = message["application"]["status"]
        state = status.get("operationState") or {}
        step = ("operation" in message["application"], state.get("phase"), len(status["history"]))
        look = (status["sync"]["status"], status["health"]["status"])
        if not steps or steps[-1] != step:
            steps.append(step)
        if not looks or looks[-1] != look:
            looks.append(look)
    if steps[0][:2] == (False, "Succeeded"):
        steps.pop(0)  # a late write of the sync before
    assert steps == [(True, None, 2), (True, "Running", 2), (True, "Running", 3), (False, "Succeeded", 3)]
    assert looks == [("Synced", "Degraded"), ("OutOfSync", "Healthy")]  # as a rule after the end; what changes while it runs may be compared before
    versions = [int(message["application"]["metadata"]["resourceVersion"]) for message in seen]
    assert versions == sorted(versions)


async def test_after_a_rollback_the_application_is_out_of_sync_and_remembers_who_did_it(server: ArgoCDServer) -> None:  # recordings 20, 21
    release = await server.release("after")
    spec = (await server.app(release.name))["spec"]

    await server.rollback(release.name, id=0)
    app = await server.settled(release.name)

    status = app["status"]
    assert app["spec"] == spec
    assert (status["sync"]["status"], status["sync"]["revision"]) == ("OutOfSync", release.bad)
    assert status["health"]["status"] == "Healthy"
    assert [(entry["id"], entry["revision"]) for entry in status["history"]] == [(0, release.good), (1, release.bad), (2, release.good)]
    assert status["history"][2]["initiatedBy"] == {"username": "backout"}
    assert status["operationState"]["syncResult"]["revision"] == release.good
    assert status["operationState"]["operation"]["initiatedBy"] == {"username": "backout"}
    assert [row["status"] for row in status["resources"]] == ["OutOfSync"]
    assert status["reconciledAt"] >= status["operationState"]["finishedAt"]


async def test_auto_sync_refuses_every_rollback(server: ArgoCDServer) -> None:  # recording 07
    release = await server.release("auto")
    await server.set_auto(release.name, {"prune": True, "selfHeal": True})

    assert (await server.rollback(release.name, id=0)).error == AUTO
    assert (await server.rollback(release.name, id=0, dryRun=True)).error == AUTO
    assert (await server.rollback(release.name, id=77)).error == AUTO
    path = f"/api/v1/applications/{release.name}/sync"
    other = await server.call("POST", path, {"revision": release.good})
    assert other.error == (400, 9, f"Cannot sync to {release.good}: auto-sync currently set to main")
    assert (await server.call("POST", path, {"revision": release.good, "dryRun": True})).status == 200


async def test_an_unknown_id_is_refused(server: ArgoCDServer) -> None:  # recording 07
    release = await server.release("unknown")

    for number in (77, -1):
        assert (await server.rollback(release.name, id=number)).error == (
            400,
            3,
            f"application argocd/{release.name} does not have deployment with id {number}",
        )


async def test_a_taken_slot_refuses_rollback_and_sync(server: ArgoCDServer) -> None:  # recordings 07, 26
    release = await server.release("busy")
    hook = config_map(f"{release.name}-hook", "1", health="Progressing", annotations={"argocd.argoproj.io/hook": "PreSync"})
    release.repository.commit({"deploy/cm.json": config_map(release.name, "3"), "deploy/hook.json": hook}, "waits for a hook")
    await server.app(release.name, "?refresh=normal")
    path = f"/api/v1/applications/{release.name}"
    await server.must("POST", f"{path}/sync", {}, by="human")

    message = await says(server, release.name, "waiting for completion of hook")
    assert message.removesuffix(" and 1 more hooks") == f"waiting for completion of hook /ConfigMap/{release.name}-hook"  # some builds count the hook itself
    assert (await server.rollback(release.name, id=0)).error == BUSY
    assert (await server.call("POST", f"{path}/sync", {})).error == BUSY

    assert (await server.call("DELETE", f"{path}/operation")).body == {}
    app = await server.settled(release.name)
    assert (app["status"]["operationState"]["phase"], app["status"]["operationState"]["message"]) == ("Failed", "Operation terminated")
    assert len(app["status"]["history"]) == 2
    assert (await server.rollback(release.name, id=0)).status == 200
    assert (await server.settled(release.name))["status"]["operationState"]["phase"] == "Succeeded"


async def test_there_is_nothing_to_terminate_when_idle(server: ArgoCDServer) -> None:  # recording 07
    release = await server.release("idle")

    answer = await server.call("DELETE", f"/api/v1/applications/{release.name}/operation")

    assert answer.error == (400, 3, "Unable to terminate operation. No operation is in progress")


async def test_an_application_that_is_being_deleted_is_not_rolled_back(server: ArgoCDServer) -> None:  # recording 07
    release = await server.release("dying")
    path = f"/api/v1/applications/{release.name}"
    hold = '{"metadata":{"finalizers":["backout.example/hold"]}}'
    await server.must("PATCH", path, {"patch": hold, "patchType": "merge"})
    await server.must("DELETE", f"{path}?cascade=false")

    refused = await server.rollback(release.name, id=0)
    held = await server.app(release.name)
    await server.must("PATCH", path, {"patch": '{"metadata":{"finalizers":null}}', "patchType": "merge"})

    assert refused.error == (400, 9, "application is deleting")
    assert "deletionTimestamp" in held["metadata"]


async def test_a_dry_run_takes_the_slot_and_leaves_no_history(server: ArgoCDServer) -> None:  # recording 07
    release = await server.release("dry")

    await server.rollback(release.name, id=0, dryRun=True)
    status = (await server.settled(release.name))["status"]

    assert (status["operationState"]["phase"], status["operationState"]["message"]) == ("Succeeded", "successfully synced (no more tasks)")
    assert [row["message"] for row in status["operationState"]["syncResult"]["resources"]] == [f"configmap/{release.name} configured (dry run)"]
    assert (len(status["history"]), status["sync"]["status"]) == (2, "Synced")


async def test_a_dry_run_with_prune_is_the_prune_preview(server: ArgoCDServer) -> None:  # recording 24
    name = server.unique("x")
    extra = {
        "deploy/extra.json": config_map(f"{name}-extra", "1"),
        "deploy/keep.json": config_map(f"{name}-keep", "1", annotations={"argocd.argoproj.io/sync-options": "Prune=false"}),
    }
    release = await server.release("prune", extra=extra)

    def outcomes(app: Json) -> dict[str, tuple[str, str]]:
        rows = app["status"]["operationState"]["syncResult"]["resources"]
        return {row["name"]: (row["status"], row["message"]) for row in rows}

    await server.rollback(release.name, id=0, dryRun=True, prune=True)
    preview = outcomes(await server.settled(release.name))
    await server.rollback(release.name, id=0)
    without = await server.settled(release.name)
    await server.rollback(release.name, id=0, prune=True)
    pruned = await server.settled(release.name)

    kept, gone, own = f"{name}-keep", f"{name}-extra", release.name
    assert preview == {
        gone: ("Pruned", "pruned (dry run)"),
        kept: ("PruneSkipped", "ignored (no prune)"),
        own: ("Synced", f"configmap/{own} configured (dry run)"),
    }
    assert outcomes(without) == {
        gone: ("PruneSkipped", "ignored (requires pruning)"),
        kept: ("PruneSkipped", "ignored (requires pruning)"),
        own: ("Synced", f"configmap/{own} configured"),
    }
    assert {row["name"]: row["status"] for row in without["status"]["resources"]} == {gone: "Synced", kept: "Synced", own: "OutOfSync"}
    assert outcomes(pruned) == {gone: ("Pruned", "pruned"), kept: ("PruneSkipped", "ignored (no prune)"), own: ("Synced", f"configmap/{own} unchanged")}
    assert {row["name"]: row["status"] for row in pruned["status"]["resources"]} == {gone: "OutOfSync", kept: "Synced", own: "OutOfSync"}
    assert pruned["status"]["health"]["status"] == "Missing"


async def test_a_resource_that_asks_for_confirmation_is_not_pruned_without(server: ArgoCDServer) -> None:  # recording 24
    name = server.unique("asks")
    asking = config_map(name, "1", annotations={"argocd.argoproj.io/sync-options": "Prune=confirm"})
    release = await server.release("confirm", extra={"deploy/asking.json": asking})
    path = f"/api/v1/applications/{release.name}"
    await server.rollback(release.name, id=0, prune=True)

    message = await says(server, release.name, "waiting for pruning confirmation of ")
    await server.must("DELETE", f"{path}/operation", by="backout")
    app = await server.settled(release.name)

    assert message.endswith(f"/ConfigMap/{name}")
    assert (app["status"]["operationState"]["phase"], app["status"]["operationState"]["message"]) == ("Failed", "Operation terminated")
    assert {row["name"]: row["status"] for row in app["status"]["resources"]}[name] == "Synced"


async def test_a_resource_that_asks_for_confirmation_holds_a_rollback_up_that_prunes_nothing(server: ArgoCDServer) -> None:
    name = server.unique("asks")
    asking = config_map(name, "1", annotations={"argocd.argoproj.io/sync-options": "Prune=confirm"})
    release = await server.release("held", extra={"deploy/asking.json": asking})
    path = f"/api/v1/applications/{release.name}"
    await server.rollback(release.name, id=0)

    message = await says(server, release.name, "waiting for pruning confirmation of ")
    await server.must("DELETE", f"{path}/operation", by="backout")
    app = await server.settled(release.name)

    assert message
    assert (app["status"]["operationState"]["phase"], len(app["status"]["history"])) == ("Failed", 2)


async def test_of_two_rollbacks_at_once_exactly_one_is_accepted(server: ArgoCDServer) -> None:  # recording 26
    release = await release_with(server, DENY)  # under which what is accepted stays until the window goes

    answers = await asyncio.gather(server.rollback(release.name, id=0), server.rollback(release.name, id=1))
    await server.create_project((await server.app(release.name))["spec"]["project"])
    app = await server.settled(release.name)

    assert sorted(answer.status for answer in answers) == [200, 400]
    assert next(answer.error for answer in answers if answer.status == 400) == BUSY
    assert len(app["status"]["history"]) == 3


async def test_a_lost_answer_may_be_asked_again_without_harm(server: ArgoCDServer) -> None:  # recording 35
    release = await server.release("lost")
    address = urlsplit(server.url)
    body = b'{"id":0}'
    head = f"POST /api/v1/applications/{release.name}/rollback HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {server.tokens['backout']}\r\n"
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    writer.close()

    again = await server.rollback(release.name, id=0)
    app = await server.settled(release.name)

    assert again.status == 200 or again.error == BUSY
    assert {entry["revision"] for entry in app["status"]["history"][2:]} == {release.good}
    assert app["status"]["operationState"]["phase"] == "Succeeded"


async def test_rolling_back_to_what_is_live_runs_and_appends(server: ArgoCDServer) -> None:  # recording 35
    release = await server.release("live")

    await server.rollback(release.name, id=1)
    status = (await server.settled(release.name))["status"]

    assert [entry["revision"] for entry in status["history"]] == [release.good, release.bad, release.bad]
    assert [row["message"] for row in status["operationState"]["syncResult"]["resources"]] == [f"configmap/{release.name} unchanged"]


async def test_the_audit_lines_say_who_and_when_and_never_why(server: ArgoCDServer) -> None:  # recording 32
    release = await server.release("audit")
    await server.rollback(release.name, id=0)
    await server.settled(release.name)

    last = {f"human initiated sync to main ({release.good})", "Updated sync status: Synced -> OutOfSync", "Updated health status: Degraded -> Healthy"}

    async def told() -> list[Json]:
        items = (await server.must("GET", f"/api/v1/applications/{release.name}/events", by="backout"))["items"] or []
        return items if last <= {item["message"] for item in items} else []

    items = await server.until(told, "the events")
    rollback = next(item for item in items if item["message"] == "backout initiated rollback to 0")
    assert (rollback["reason"], rollback["source"], rollback["type"]) == ("OperationStarted", {"component": "argocd-server"}, "Normal")
    assert rollback["metadata"]["annotations"] == {"dest-namespace": release.name, "dest-server": "https://kubernetes.default.svc", "user": "backout"}
    assert rollback["involvedObject"]["name"] == release.name
    done = [item for item in items if item["message"] == f"Sync operation to {release.good} succeeded"]
    assert {item["reason"] for item in done} == {"OperationCompleted"}


async def test_history_ids_only_grow_and_the_oldest_entries_go(server: ArgoCDServer) -> None:  # recording 17
    release = await server.release("limit", spec={"revisionHistoryLimit": 2})

    await server.rollback(release.name, id=0)
    status = (await server.settled(release.name))["status"]

    assert [(entry["id"], entry["revision"]) for entry in status["history"]] == [(1, release.bad), (2, release.good)]
    trimmed = await server.rollback(release.name, id=0)
    assert trimmed.error == (400, 3, f"application argocd/{release.name} does not have deployment with id 0")


async def test_a_rollback_uses_the_source_of_its_time(server: ArgoCDServer) -> None:  # recording 38
    release = await server.release("moved")
    release.repository.commit({"other/cm.json": config_map(release.name, "3")}, "moved")
    app = await server.app(release.name)
    spec = app["spec"] | {"source": source_of(app) | {"path": "other"}}
    await server.must("PUT", f"/api/v1/applications/{release.name}/spec", spec)
    await server.app(release.name, "?refresh=normal")
    await server.sync(release.name)

    # revision and path of the entry together; the spec keeps the new path
    await server.rollback(release.name, id=0)
    app = await server.settled(release.name)

    assert (source_of(app)["path"], app["status"]["history"][-1]["source"]["path"]) == ("other", "deploy")
    assert (app["status"]["history"][-1]["revision"], app["status"]["sync"]["status"]) == (release.good, "OutOfSync")


async def test_an_application_of_two_sources_is_rolled_back_as_a_whole(server: ArgoCDServer) -> None:  # recordings 07, 38
    name = server.unique("twin")
    one, two = server.create_repository("one"), server.create_repository("two")
    first = one.commit({"deploy/a.json": config_map("a", "1")}, "one")
    good = two.commit({"deploy/b.json": config_map("b", "1")}, "good")
    parts = [{"repoURL": repository.url, "path": "deploy", "targetRevision": "main"} for repository in (one, two)]
    await server.create_app(name, sources=parts)
    await server.sync(name)
    bad = two.commit({"deploy/b.json": config_map("b", "2", health="Degraded")}, "bad")
    await server.app(name, "?refresh=normal")
    await server.sync(name)

    answer = await server.rollback(name, id=0)
    app = await server.settled(name)

    sync = {"syncStrategy": {"apply": {}}, "source": {"repoURL": ""}, "syncOptions": ["CreateNamespace=true"], "sources": parts, "revisions": [first, good]}
    assert answer.body["operation"]["sync"] == sync
    entry = app["status"]["history"][-1]
    assert entry.keys() == {"deployedAt", "id", "source", "deployStartedAt", "sources", "revisions", "initiatedBy"}
    assert (entry["id"], entry["source"], entry["revisions"]) == (2, {"repoURL": ""}, [first, good])
    assert app["status"]["sync"]["revisions"] == [first, bad]
    assert app["status"]["sync"]["comparedTo"]["sources"] == parts
    result = app["status"]["operationState"]["syncResult"]
    assert (result["revision"], result["revisions"], result["source"]) == ("", [first, good], {"repoURL": ""})
    assert sorted(row["message"] for row in result["resources"]) == ["configmap/a unchanged", "configmap/b configured"]
    assert app["status"]["sourceTypes"] == ["Directory", "Directory"]


async def test_a_rollback_runs_no_hooks_and_a_sync_does(server: ArgoCDServer) -> None:  # recording 14
    name = server.unique("hooked")
    repository = server.create_repository(name)
    hook = config_map(f"{name}-hook", "1", annotations={"argocd.argoproj.io/hook": "PreSync"})
    repository.commit({"deploy/cm.json": config_map(name, "1"), "deploy/hook.json": hook}, "good")
    await server.create_app(name, repository)

    synced = await server.sync(name)
    await server.rollback(name, id=0)
    rolled = await server.settled(name)

    def ran(app: Json) -> list[tuple[str, str | None]]:
        rows = app["status"]["operationState"]["syncResult"]["resources"]
        return [(row["name"], row.get("hookType")) for row in rows if row["kind"] == "ConfigMap"]

    assert ran(synced) == [(f"{name}-hook", "PreSync"), (name, None)]
    assert ran(rolled) == [(name, None)]


async def test_a_deployment_comes_back_with_the_pods_of_the_good_release(server: ArgoCDServer) -> None:  # recording 21
    name = server.unique("pods")
    repository = server.create_repository(name)
    repository.commit({"deploy/app.json": deployment(name, "registry.example/web:1.0")}, "good")
    await server.create_app(name, repository)
    await server.sync(name)

    async def shows(health: str) -> Json | None:
        app = await server.app(name)
        return app if app["status"]["health"]["status"] == health else None

    await server.until(lambda: shows("Healthy"), "the good release's health")
    repository.commit({"deploy/app.json": deployment(name, "registry.example/web:bad")}, "bad")
    await server.app(name, "?refresh=normal")
    await server.sync(name)
    degraded = await server.until(lambda: shows("Degraded"), "the bad release's health")
    await server.rollback(name, id=0)
    await server.settled(name)
    healthy = await server.until(lambda: shows("Healthy"), "the good release's health again")

    assert degraded is not None
    assert healthy is not None
    assert degraded["status"]["resources"][0]["health"] == {"status": "Degraded", "message": f'Deployment "{name}" exceeded its progress deadline'}
    assert degraded["status"]["summary"] == {"images": ["registry.example/web:1.0", "registry.example/web:bad"]}
    assert healthy["status"]["operationState"]["syncResult"]["resources"][0]["images"] == ["registry.example/web:1.0"]

    async def images() -> bool:
        return bool((await server.app(name))["status"]["summary"] == {"images": ["registry.example/web:1.0"]})

    await server.until(images, "only the good release's images")
