"""What the history does not tell of a release, and what tells it instead: failed and partial syncs, moved tags, other
parameters, no history, masked secrets."""

import json
from typing import Any

from tests.contract.argocd.server import ArgoCDServer, Json, config_map, deployment

FROZEN = {"argocd.argoproj.io/sync-wave": "1"}
ODD = {"apiVersion": "odd.example/v1", "kind": "Odd", "metadata": {"name": "odd"}}


def touched(app: Json) -> list[Json]:
    """Lines of the last operation's result that tell of a change or of a hook that ran."""
    rows = app["status"]["operationState"]["syncResult"].get("resources") or []
    return [row for row in rows if row.get("hookType") or row.get("status") not in {"SyncFailed", "PruneSkipped"}]


async def tree(server: ArgoCDServer, name: str) -> dict[str, Json]:
    """What the application's live objects hold, by name."""
    items = (await server.must("GET", f"/api/v1/applications/{name}/managed-resources"))["items"]
    return {item["name"]: json.loads(item["liveState"]) for item in items}


async def test_a_sync_of_something_that_no_server_knows_changes_nothing_and_names_nothing_that_it_changed(server: ArgoCDServer) -> None:
    release = await server.release("odd", bad_health="Healthy")
    worst = release.repository.commit({"deploy/cm.json": config_map(release.name, "3"), "deploy/odd.json": ODD}, "worst")
    await server.app(release.name, "?refresh=normal")

    app = await server.sync(release.name)

    state = app["status"]["operationState"]
    assert (state["phase"], state["syncResult"]["revision"], state.get("retryCount")) == ("Failed", worst, None)
    assert touched(app) == []
    assert [entry["revision"] for entry in app["status"]["history"]] == [release.good, release.bad]
    assert (await tree(server, release.name))[release.name]["data"]["v"] == "2"


async def test_a_sync_that_fails_half_way_leaves_part_of_it_live_and_is_in_no_history(server: ArgoCDServer) -> None:
    frozen = config_map("frozen", "1", annotations=FROZEN) | {"immutable": True}
    release = await server.release("half", extra={"deploy/frozen.json": frozen}, bad_health="Healthy")
    changed = {"deploy/cm.json": config_map(release.name, "3"), "deploy/frozen.json": frozen | {"data": {"v": "2"}}}
    worst = release.repository.commit(changed, "worst")
    await server.app(release.name, "?refresh=normal")

    app = await server.sync(release.name)

    state = app["status"]["operationState"]
    assert (state["phase"], state["syncResult"]["revision"]) == ("Failed", worst)
    assert [(row["name"], row["status"]) for row in state["syncResult"]["resources"]] == [(release.name, "Synced"), ("frozen", "SyncFailed")]
    assert [row["name"] for row in touched(app)] == [release.name]
    assert [entry["revision"] for entry in app["status"]["history"]] == [release.good, release.bad]
    assert {name: one["data"]["v"] for name, one in (await tree(server, release.name)).items()} == {release.name: "3", "frozen": "1"}


async def test_a_change_by_hand_shows_as_out_of_sync_with_the_live_revision_and_in_no_history(server: ArgoCDServer) -> None:
    release = await server.release("hand", bad_health="Healthy")
    before = await server.app(release.name)

    answer = await server.edit_live(release.name, "ConfigMap", {"data": {"v": "by hand"}})

    async def noticed() -> bool:
        return bool((await server.app(release.name))["status"]["sync"]["status"] == "OutOfSync")

    await server.until(noticed, "the comparison to see it")
    app = await server.app(release.name, "?refresh=normal")
    assert answer.status == 200
    assert (app["status"]["sync"]["status"], app["status"]["sync"]["revision"]) == ("OutOfSync", release.bad)
    assert [(row["name"], row["status"], row.get("requiresPruning")) for row in app["status"]["resources"]] == [(release.name, "OutOfSync", None)]
    assert app["status"]["history"] == before["status"]["history"]
    assert app["status"]["operationState"] == before["status"]["operationState"]

    await server.rollback(release.name, id=1)  # to what is live by the history, which is not what is live
    app = await server.settled(release.name)
    assert [row["message"] for row in app["status"]["operationState"]["syncResult"]["resources"]] == [f"configmap/{release.name} configured"]
    assert (await tree(server, release.name))[release.name]["data"]["v"] == "2"
    assert app["status"]["sync"]["status"] == "Synced"


async def test_who_may_not_update_an_object_cannot_change_it_by_hand(server: ArgoCDServer) -> None:
    release = await server.release("hand", bad_health="Healthy")
    query = f"namespace={release.name}&resourceName={release.name}&version=v1&group=&kind=ConfigMap&patchType=application/merge-patch%2Bjson"

    answer = await server.call("POST", f"/api/v1/applications/{release.name}/resource?{query}", json.dumps("{}"), by="backout")

    assert answer.error == (403, 7, "permission denied")


async def test_what_only_the_bad_release_has_stays_after_a_rollback_until_auto_sync_prunes_it(server: ArgoCDServer) -> None:
    name = f"{server.unique('more')}"
    extra = {"deploy/more.json": config_map(f"{name}-more", "2")}
    release = await server.release("stay", extra=extra, bad_health="Healthy")

    await server.rollback(release.name, id=0)
    after = await server.settled(release.name)
    fix = release.repository.commit({"deploy/cm.json": config_map(release.name, "3")}, "the fix has none of it")
    await server.app(release.name, "?refresh=normal")
    await server.sync(release.name, revision="main", prune=False)
    fixed = await server.app(release.name)
    left = set(await tree(server, release.name))
    await server.set_auto(release.name, {"prune": True, "selfHeal": True})

    async def pruned() -> bool:
        return f"{name}-more" not in await tree(server, release.name)

    await server.until(pruned, "auto-sync to prune it")

    def rows(app: Json) -> dict[str, tuple[str, bool]]:
        return {row["name"]: (row["status"], bool(row.get("requiresPruning"))) for row in app["status"]["resources"]}

    # the target is still the bad release, which has it: nothing marks what stays (contract 4.4)
    assert rows(after) == {release.name: ("OutOfSync", False), f"{name}-more": ("Synced", False)}
    assert rows(fixed) == {release.name: ("Synced", False), f"{name}-more": ("OutOfSync", True)}
    assert (fixed["status"]["history"][-1]["revision"], left) == (fix, {release.name, f"{name}-more"})


async def test_a_sync_of_what_does_not_render_ends_in_error_and_changes_nothing(server: ArgoCDServer) -> None:  # recordings 18, 23
    release = await server.release("torn", bad_health="Healthy")
    torn = release.repository.commit({"deploy/cm.json": "{not json"}, "torn")

    await server.must("POST", f"/api/v1/applications/{release.name}/sync", {"revision": torn}, by="human")
    app = await server.settled(release.name)

    state = app["status"]["operationState"]
    assert (state["phase"], state["syncResult"]["revision"], state.get("retryCount")) == ("Error", torn, None)
    assert state["message"].startswith("ComparisonError: Failed to load target state: ")
    assert touched(app) == []
    assert [entry["revision"] for entry in app["status"]["history"]] == [release.good, release.bad]


async def test_a_sync_of_some_objects_succeeds_and_is_in_no_history(server: ArgoCDServer) -> None:
    release = await server.release("part", bad_health="Healthy")
    newer = release.repository.commit({"deploy/cm.json": config_map(release.name, "3"), "deploy/more.json": config_map(f"{release.name}-more", "3")}, "newer")
    await server.app(release.name, "?refresh=normal")

    app = await server.sync(release.name, resources=[{"group": "", "kind": "ConfigMap", "name": release.name, "namespace": release.name}])

    state = app["status"]["operationState"]
    assert (state["phase"], state["syncResult"]["revision"]) == ("Succeeded", newer)
    assert [row["name"] for row in state["operation"]["sync"]["resources"]] == [release.name]
    assert [row["name"] for row in touched(app)] == [release.name]
    assert [entry["revision"] for entry in app["status"]["history"]] == [release.good, release.bad]


async def test_the_same_commit_with_other_parameters_is_another_entry_and_a_rollback_brings_its_parameters_back(server: ArgoCDServer) -> None:
    name = server.unique("same")
    repository = server.create_repository(name)
    both = {"deploy/cm.json": config_map(name, "1"), "deploy/extra.json": config_map(f"{name}-extra", "1")}
    only = repository.commit(both, "the only commit")
    source = {"repoURL": repository.url, "path": "deploy", "targetRevision": "main"}
    await server.create_app(name, source=source | {"directory": {"exclude": "extra.json"}})
    await server.sync(name)
    spec = (await server.app(name))["spec"]
    await server.must("PUT", f"/api/v1/applications/{name}/spec", spec | {"source": source})
    await server.app(name, "?refresh=normal")
    await server.sync(name)
    before = await server.app(name)

    await server.rollback(name, id=0, prune=True)
    app = await server.settled(name)

    assert [entry["revision"] for entry in before["status"]["history"]] == [only, only]
    excluded = [entry["source"].get("directory", {}).get("exclude") for entry in app["status"]["history"]]
    assert excluded == ["extra.json", None, "extra.json"]
    assert [row["name"] for row in before["status"]["resources"]] == [name, f"{name}-extra"]
    assert {row["name"]: row["status"] for row in app["status"]["operationState"]["syncResult"]["resources"]} == {name: "Synced", f"{name}-extra": "Pruned"}
    assert app["spec"]["source"] == source


async def test_without_a_history_the_last_operation_tells_what_is_live_and_nothing_can_be_rolled_back(server: ArgoCDServer) -> None:  # recording 17
    name = server.unique("none")
    repository = server.create_repository(name)
    good = repository.commit({"deploy/cm.json": config_map(name, "1")}, "good")
    await server.create_app(name, repository, revisionHistoryLimit=0)

    app = await server.sync(name)

    assert app["status"].get("history") is None
    state = app["status"]["operationState"]
    assert (state["phase"], state["syncResult"]["revision"], state["syncResult"]["source"]["path"]) == ("Succeeded", good, "deploy")
    assert (await server.rollback(name, id=0)).error == (400, 3, f"application argocd/{name} does not have deployment with id 0")


async def test_without_a_history_what_was_healed_since_is_an_operation_on_some_objects_of_the_same_release(server: ArgoCDServer) -> None:
    name = server.unique("healed")
    repository = server.create_repository(name)
    good = repository.commit({"deploy/cm.json": config_map(name, "1"), "deploy/other.json": config_map(f"{name}-other", "1")}, "good")
    await server.create_app(name, repository, auto={"prune": True, "selfHeal": True}, revisionHistoryLimit=0)

    async def synced() -> bool:
        return bool((await server.app(name))["status"].get("operationState", {}).get("phase") == "Succeeded")

    await server.until(synced, "the automated sync")
    await server.settled(name)
    assert (await server.edit_live(name, "ConfigMap", {"data": {"v": "2"}})).status == 200

    async def healed() -> bool:  # a view of the cluster that lags heals once more what is well: then nothing is "configured"
        state = (await server.app(name))["status"].get("operationState", {})
        named = [one["name"] for one in state.get("operation", {}).get("sync", {}).get("resources") or ()]
        rows = [row["message"] for row in state.get("syncResult", {}).get("resources") or ()]
        return bool(named == [name] and state["phase"] == "Succeeded" and rows == [f"configmap/{name} configured"])

    await server.until(healed, "what was edited to be put back")
    app = await server.settled(name)
    state = app["status"]["operationState"]
    assert (state["operation"]["initiatedBy"], state["operation"]["sync"]["autoHealAttemptsCount"] >= 1) == ({"automated": True}, True)
    assert (state["syncResult"]["revision"], state["syncResult"]["source"]["path"]) == (good, "deploy")
    assert (app["status"]["sync"]["status"], app["status"].get("history")) == ("Synced", None)


async def test_an_application_whose_git_has_a_new_object_is_missing_until_it_is_synced(server: ArgoCDServer) -> None:
    """Though nothing is missing of what is live: its health is that of what is wanted."""
    name = server.unique("adds")
    repository = server.create_repository(name)
    good = repository.commit({"deploy/cm.json": config_map(name, "1")}, "good")
    await server.create_app(name, repository)
    await server.sync(name)
    before = await server.settled(name)
    wanted = repository.commit({"deploy/extra.json": config_map(f"{name}-extra", "1")}, "adds")

    after = await server.app(name, "?refresh=normal")

    states = [(app["status"]["health"]["status"], app["status"]["sync"]["revision"], app["status"]["history"][-1]["revision"]) for app in (before, after)]
    assert states == [("Healthy", good, good), ("Missing", wanted, good)]


async def test_a_secret_is_rendered_without_its_values(server: ArgoCDServer) -> None:
    name = server.unique("secret")
    repository = server.create_repository(name)
    secret: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"token": "hunter2"}}
    revision = repository.commit({"deploy/cm.json": config_map(name, "1"), "deploy/secret.json": secret}, "good")
    await server.create_app(name, repository)

    answer = await server.must("GET", f"/api/v1/applications/{name}/manifests?revision={revision}", by="backout")

    kinds = [json.loads(one)["kind"] for one in answer["manifests"]]
    assert sorted(kinds) == ["ConfigMap", "Secret"]
    assert "hunter2" not in json.dumps(answer)
    assert "aHVudGVyMg" not in json.dumps(answer)  # the same in base64


async def test_an_application_of_two_sources_renders_at_one_revision_each(server: ArgoCDServer) -> None:  # recording 38
    name = server.unique("pair")
    one, two = server.create_repository("one"), server.create_repository("two")
    first = one.commit({"deploy/a.json": config_map("a", "1")}, "one")
    good = two.commit({"deploy/b.json": config_map("b", "1")}, "good")
    parts = [{"repoURL": repository.url, "path": "deploy", "targetRevision": "main"} for repository in (one, two)]
    await server.create_app(name, sources=parts)
    two.commit({"deploy/b.json": config_map("b", "2")}, "bad")

    query = f"revisions={first}&revisions={good}&sourcePositions=1&sourcePositions=2"
    answer = await server.must("GET", f"/api/v1/applications/{name}/manifests?{query}", by="backout")

    found = {body["metadata"]["name"]: body["data"]["v"] for body in map(json.loads, answer["manifests"])}
    assert found == {"a": "1", "b": "1"}


async def running(server: ArgoCDServer, name: str) -> set[str]:
    """Digests of what the ready pods run, as Argo CD tells them."""
    tree = await server.must("GET", f"/api/v1/applications/{name}/resource-tree")
    found = set()
    for node in [one for one in tree["nodes"] if one["kind"] == "Pod"]:
        query = f"resourceName={node['name']}&namespace={name}&kind=Pod&version=v1"
        answer = await server.call("GET", f"/api/v1/applications/{name}/resource?{query}")
        if answer.status == 200:  # else it has gone since the tree was read
            statuses = json.loads(answer.body["manifest"])["status"].get("containerStatuses", [])
            found |= {status["imageID"].partition("@")[2] for status in statuses if status["ready"]}
    return found


async def test_a_tag_that_was_moved_is_the_same_release_with_other_pods_and_a_rollback_brings_what_the_tag_means_now(server: ArgoCDServer) -> None:
    name = server.unique("moved")
    repository = server.create_repository(name)
    stable, first = await server.images.push(name, "stable", "1")
    good = repository.commit({"deploy/app.json": deployment(name, stable)}, "by tag")
    await server.create_app(name, repository)
    await server.sync(name)

    async def runs(digest: str) -> None:
        async def only() -> bool:
            return await running(server, name) == {digest}

        await server.until(only, f"the pods to run {digest}")

    await runs(first)
    before = await server.app(name)
    _, moved = await server.images.push(name, "stable", "2")
    restart: Json = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-05-04T14:00:00Z"}}}}}
    assert (await server.edit_live(name, "Deployment", restart, group="apps")).status == 200
    await runs(moved)
    after = await server.app(name, "?refresh=hard")

    assert moved != first
    assert (after["status"]["history"], after["status"]["sync"]["status"]) == (before["status"]["history"], "Synced")
    assert after["status"]["summary"]["images"] == [stable]

    other, digest = await server.images.push(name, "2.0", "3")
    repository.commit({"deploy/app.json": deployment(name, other)}, "the next")
    await server.app(name, "?refresh=normal")
    await server.sync(name)
    await runs(digest)
    assert (await server.rollback(name, id=0)).status == 200
    app = await server.settled(name)
    await runs(moved)
    assert [entry["revision"] for entry in app["status"]["history"]][::2] == [good, good]
