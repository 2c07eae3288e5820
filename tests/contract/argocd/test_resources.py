"""What lives in the cluster, through Argo CD's API: tree, pods, manifests, commits (recordings 21, 23)."""

import json
from typing import Any

from tests.contract.argocd.server import ArgoCDServer, GitRepository, Json, config_map, deployment

IMAGE = "registry.example/web:1.0"


async def running(server: ArgoCDServer) -> tuple[str, GitRepository, str]:
    name = server.unique("tree")
    repository = server.create_repository(name)
    sha = repository.commit({"deploy/app.json": deployment(name, IMAGE), "deploy/cm.json": config_map(name, "1")}, "good")
    await server.create_app(name, repository)
    await server.sync(name)

    async def healthy() -> bool:
        return bool((await server.app(name))["status"]["health"]["status"] == "Healthy")

    await server.until(healthy, "health")
    return name, repository, sha


async def pods(server: ArgoCDServer, name: str) -> list[Json]:
    tree = await server.must("GET", f"/api/v1/applications/{name}/resource-tree", by="backout")
    return [node for node in tree["nodes"] if node["kind"] == "Pod"]


async def test_the_tree_leads_from_the_deployment_to_its_pods(server: ArgoCDServer) -> None:  # recording 23
    name, _, _ = await running(server)

    async def one_ready_pod() -> list[Json]:
        found = await pods(server, name)
        return found if [node["health"]["status"] for node in found] == ["Healthy"] else []

    pod = (await server.until(one_ready_pod, "the ready pod"))[0]
    nodes = (await server.must("GET", f"/api/v1/applications/{name}/resource-tree"))["nodes"]
    by_kind = {node["kind"]: node for node in nodes}
    root, replicas = by_kind["Deployment"], by_kind["ReplicaSet"]
    assert set(by_kind) == {"ConfigMap", "Deployment", "ReplicaSet", "Pod"}
    assert replicas["parentRefs"] == [{"group": "apps", "version": "v1", "kind": "Deployment", "namespace": name, "name": name, "uid": root["uid"]}]
    assert pod["parentRefs"] == [{part: replicas[part] for part in ("group", "version", "kind", "namespace", "name", "uid")}]
    assert pod["images"] == [IMAGE]
    assert {"name": "Containers", "value": "1/1"} in pod["info"]
    assert {"name": "Status Reason", "value": "Running"} in pod["info"]
    assert pod["networkingInfo"]["labels"].keys() == {"app", "pod-template-hash"}
    assert root["info"] == replicas["info"] == [{"name": "Revision", "value": "Rev:1"}]
    assert root.keys() == {"group", "version", "kind", "namespace", "name", "uid", "info", "resourceVersion", "health", "createdAt"}
    assert by_kind["ConfigMap"].keys() == {"version", "kind", "namespace", "name", "uid", "resourceVersion", "health", "createdAt"}


async def test_a_pods_manifest_tells_readiness_image_and_digest(server: ArgoCDServer) -> None:  # recording 23
    name, _, _ = await running(server)

    async def manifest() -> Any:
        for node in await pods(server, name):
            query = f"resourceName={node['name']}&kind=Pod&version=v1&group=&namespace={name}"
            found = json.loads((await server.must("GET", f"/api/v1/applications/{name}/resource?{query}"))["manifest"])
            if found.get("status", {}).get("containerStatuses", [{}])[0].get("ready"):
                return found
        return None

    pod = await server.until(manifest, "the ready pod's manifest")
    status = pod["status"]["containerStatuses"][0]
    assert (pod["kind"], pod["metadata"]["namespace"], pod["status"]["phase"]) == ("Pod", name, "Running")
    assert (status["name"], status["image"], status["ready"], status["restartCount"]) == ("main", IMAGE, True, 0)
    assert status["imageID"].startswith("registry.example/web@sha256:")
    assert {(item["type"], item["status"]) for item in pod["status"]["conditions"]} >= {("Ready", "True")}
    assert [owner["kind"] for owner in pod["metadata"]["ownerReferences"]] == ["ReplicaSet"]


async def test_a_resource_outside_the_tree_is_refused(server: ArgoCDServer) -> None:  # recording 23
    name, _, _ = await running(server)

    answer = await server.call("GET", f"/api/v1/applications/{name}/resource?resourceName=nosuch&kind=Deployment&version=v1&group=apps&namespace={name}")

    assert answer.error == (400, 3, f"Deployment apps nosuch not found as part of application {name}")


async def test_manifests_of_a_past_revision_can_be_asked_for(server: ArgoCDServer) -> None:  # recording 23
    name, repository, sha = await running(server)
    newest = repository.commit({"deploy/cm.json": config_map(name, "2")}, "newest")
    path = f"/api/v1/applications/{name}/manifests"

    old = [json.loads(text) for text in (await server.must("GET", f"{path}?revision={sha}"))["manifests"]]
    new = [json.loads(text) for text in (await server.must("GET", f"{path}?revision={newest}"))["manifests"]]
    unknown = await server.call("GET", f"{path}?revision=nosuchbranch")

    assert sorted(item["kind"] for item in old) == ["ConfigMap", "Deployment"]
    tracked = {"argocd.argoproj.io/tracking-id": f"{name}:/ConfigMap:{name}/{name}"}
    assert new == [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "annotations": tracked}, "data": {"v": "2"}}]
    assert unknown.error == (500, 2, "unable to resolve 'nosuchbranch' to a commit SHA")


async def test_a_commit_tells_author_date_and_message(server: ArgoCDServer) -> None:  # recording 23
    name, _, sha = await running(server)

    told = await server.must("GET", f"/api/v1/applications/{name}/revisions/{sha}/metadata", by="backout")
    unknown = await server.call("GET", f"/api/v1/applications/{name}/revisions/{'0' * 40}/metadata")

    assert (told["author"], told["message"]) == ("Ann Author <ann@example.org>", "good")
    assert told["date"].endswith("Z")
    assert (unknown.status, unknown.body["code"]) == (500, 2)
    assert unknown.body["message"].startswith("error acquiring repo lock: failed to initialize repository resources: rpc error: code = Internal")


async def test_managed_resources_hold_target_and_live_state(server: ArgoCDServer) -> None:  # recording 23
    name, _, _ = await running(server)

    items = (await server.must("GET", f"/api/v1/applications/{name}/managed-resources?kind=ConfigMap", by="backout"))["items"]

    assert [(item["kind"], item["namespace"], item["name"]) for item in items] == [("ConfigMap", name, name)]
    target, live = json.loads(items[0]["targetState"]), json.loads(items[0]["liveState"])
    assert target["data"] == live["data"] == {"v": "1"}
    assert items[0].keys() >= {"normalizedLiveState", "predictedLiveState", "resourceVersion"}
    assert live["metadata"]["uid"]


async def test_lists_tell_no_health_of_single_resources_and_get_does(server: ArgoCDServer) -> None:  # contract 3.1, recording 21
    name, _, _ = await running(server)

    async def known() -> Json | None:  # the list comes from argocd-server's own memory, which follows
        found: Json = (await server.must("GET", f"/api/v1/applications?name={name}"))["items"][0]
        return found if found["status"]["health"]["status"] == "Healthy" else None

    listed = await server.until(known, "the list to know it")
    got = await server.app(name)

    assert listed is not None
    assert all("health" not in row for row in listed["status"]["resources"])
    assert [row["health"] for row in got["status"]["resources"]] == [{"status": "Healthy"}, {"status": "Healthy"}]
    rows = [
        {"version": "v1", "kind": "ConfigMap", "namespace": name, "name": name, "status": "Synced"},
        {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": name, "name": name, "status": "Synced"},
    ]
    assert listed["status"]["resources"] == rows


async def test_a_kind_the_cluster_does_not_have_makes_the_tasks_invalid(server: ArgoCDServer) -> None:  # contract 4.3
    name = server.unique("kind")
    repository = server.create_repository(name)
    repository.commit({"deploy/x.json": {"apiVersion": "backout.example/v1", "kind": "Nonsense", "metadata": {"name": name}}}, "unknown kind")
    await server.create_app(name, repository)

    state = (await server.sync(name))["status"]["operationState"]

    assert state["phase"] == "Failed"
    assert state["message"].startswith("one or more synchronization tasks are not valid")
