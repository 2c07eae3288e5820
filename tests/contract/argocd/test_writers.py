"""Who wrote which field of an Application, as Argo CD's API tells it: `metadata.managedFields`, all of it, in every read."""

import json

from tests.contract.argocd.server import ArgoCDServer, Json, config_map

API, CONTROLLER = "argocd-server", "argocd-application-controller"


def fields(app: Json, manager: str, operation: str = "Update") -> Json:
    """What the manager holds; {} for nothing."""
    found = [entry["fieldsV1"] for entry in app["metadata"]["managedFields"] if (entry["manager"], entry["operation"]) == (manager, operation)]
    return dict(found[0]) if found else {}


async def deployed(server: ArgoCDServer, name: str, auto: Json | None = None) -> str:
    name = server.unique(name)
    repository = server.create_repository(name)
    repository.commit({"deploy/cm.json": config_map(name, "1")}, "good")
    await server.create_app(name, repository, auto={"prune": True} if auto is None else auto)

    async def synced() -> bool:
        return bool((await server.app(name))["status"].get("history"))

    await server.until(synced, "the first sync")
    await server.settled(name)
    return name


async def test_every_read_tells_who_wrote_which_field(server: ArgoCDServer) -> None:
    name = await deployed(server, "fields")
    await server.must("PATCH", f"/api/v1/applications/{name}", {"patch": '{"metadata":{"annotations":{"a/b":"1"}}}', "patchType": "merge"}, by="backout")
    await server.set_auto(name, {"enabled": False})

    app = await server.app(name)

    async def known() -> Json | None:  # the list comes from argocd-server's own memory, which follows
        found: Json = (await server.must("GET", f"/api/v1/applications?name={name}"))["items"][0]
        return found if found["spec"] == app["spec"] else None

    listed = await server.until(known, "the list to know it")
    assert listed is not None
    async with server.watching(f"name={name}") as seen:
        watched = seen[0]["application"]

    assert {entry["manager"] for entry in app["metadata"]["managedFields"]} == {API, CONTROLLER}
    for entry in app["metadata"]["managedFields"]:
        assert entry.keys() == {"manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1"}  # no subresource: the CRD has none
        assert (entry["operation"], entry["apiVersion"], entry["fieldsType"]) == ("Update", "argoproj.io/v1alpha1", "FieldsV1")
    assert fields(app, CONTROLLER).keys() == {"f:status"}
    by_api = fields(app, API)
    assert by_api["f:metadata"] == {"f:annotations": {".": {}, "f:a/b": {}}}
    spec = by_api["f:spec"]
    assert spec["f:source"] == {".": {}, "f:path": {}, "f:repoURL": {}, "f:targetRevision": {}}
    assert spec["f:syncPolicy"] == {".": {}, "f:automated": {".": {}, "f:enabled": {}, "f:prune": {}}, "f:syncOptions": {}}
    for other in (listed, watched):
        assert fields(other, API)["f:spec"] == spec


async def test_a_field_belongs_to_who_changed_it_last(server: ArgoCDServer) -> None:
    name = await deployed(server, "taken")
    await server.hands.patch(name, {"spec": {"source": {"targetRevision": "HEAD"}, "info": [{"name": "a", "value": "b"}]}}, by="shop-operator")

    first = await server.app(name)
    spec = first["spec"]
    spec["source"]["targetRevision"] = "main"
    await server.must("PUT", f"/api/v1/applications/{name}/spec?validate=false", spec, by="backout")
    second = await server.app(name)
    await server.hands.patch(name, {"spec": {"info": None}}, by="kubectl-patch")
    third = await server.app(name)

    assert fields(first, "shop-operator") == {"f:spec": {"f:info": {}, "f:source": {"f:targetRevision": {}}}}
    assert fields(first, API)["f:spec"]["f:source"] == {".": {}, "f:path": {}, "f:repoURL": {}}
    assert fields(second, "shop-operator") == {"f:spec": {"f:info": {}}}
    assert fields(second, API)["f:spec"]["f:source"] == {".": {}, "f:path": {}, "f:repoURL": {}, "f:targetRevision": {}}
    assert fields(third, "shop-operator") == fields(third, "kubectl-patch") == {}


async def test_who_applies_on_the_servers_side_holds_what_it_named_until_somebody_else_changes_it(server: ArgoCDServer) -> None:
    name = await deployed(server, "applied")
    body: Json = {"metadata": {"labels": {"team": "shop"}}, "spec": {"source": {"targetRevision": "main"}, "syncPolicy": {"automated": {"enabled": True}}}}

    await server.hands.apply(name, body, by="kustomize-controller")
    first = await server.app(name)
    await server.set_auto(name, {"enabled": False})
    second = await server.app(name)
    await server.hands.apply(name, body, by="kustomize-controller")
    third = await server.app(name)
    await server.hands.apply(name, {"spec": {"source": {"targetRevision": "main"}}}, by="kustomize-controller")
    fourth = await server.app(name)

    entry = first["metadata"]["managedFields"][0]  # who applies comes first
    assert (entry["manager"], entry["operation"]) == ("kustomize-controller", "Apply")
    held = {"f:metadata": {"f:labels": {"f:team": {}}}, "f:spec": {"f:source": {"f:targetRevision": {}}, "f:syncPolicy": {"f:automated": {"f:enabled": {}}}}}
    assert entry["fieldsV1"] == held
    assert "f:targetRevision" in fields(first, API)["f:spec"]["f:source"]  # it says the same, so both hold it
    assert fields(second, "kustomize-controller", "Apply") == {key: below for key, below in held.items() if key != "f:spec"} | {
        "f:spec": {"f:source": {"f:targetRevision": {}}}
    }
    assert (third["spec"]["syncPolicy"]["automated"]["enabled"], fields(third, "kustomize-controller", "Apply")) == (True, held)
    assert "f:enabled" not in fields(third, API)["f:spec"]["f:syncPolicy"]["f:automated"]
    assert fourth["spec"]["syncPolicy"]["automated"] == {"prune": True}  # what it names no more is gone
    assert "labels" not in fourth["metadata"]


async def test_an_empty_auto_sync_that_was_applied_is_held_without_what_others_add_to_it(server: ArgoCDServer) -> None:
    name = await deployed(server, "empty", {})
    body: Json = {"spec": {"syncPolicy": {"automated": {}}}}

    await server.hands.apply(name, body, by="kustomize-controller")
    await server.set_auto(name, {"enabled": False})
    stopped = await server.app(name)
    await server.hands.apply(name, body, by="kustomize-controller")
    app = await server.app(name)

    held: Json = {"f:spec": {"f:syncPolicy": {"f:automated": {}}}}
    assert (fields(stopped, "kustomize-controller", "Apply"), fields(app, "kustomize-controller", "Apply")) == (held, held)
    assert app["spec"]["syncPolicy"]["automated"] == {"enabled": False}  # the next apply leaves it alone


async def test_the_record_may_be_emptied_and_then_nobody_is_known_to_have_written_the_spec(server: ArgoCDServer) -> None:
    name = await deployed(server, "emptied")

    await server.hands.patch(name, {"metadata": {"managedFields": [{}]}}, by="kubectl-patch")
    app = await server.app(name, "?refresh=normal")

    assert [entry for entry in app["metadata"].get("managedFields", []) if "f:spec" in entry["fieldsV1"]] == []
    assert app["spec"]["source"]["targetRevision"] == "main"


async def test_what_a_parent_deploys_is_its_syncs(server: ArgoCDServer) -> None:
    parent, child = server.unique("parent"), server.unique("child")
    repository = server.create_repository(parent)
    declared = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": child, "namespace": "argocd"},
        "spec": {
            "project": "default",
            "source": {"repoURL": repository.url, "path": "none", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": child},
        },
    }
    repository.commit({"deploy/child.json": json.dumps(declared)}, "declare")
    await server.create_app(parent, repository, destination={"server": "https://kubernetes.default.svc", "namespace": "argocd"})
    server.apps.append(child)
    await server.sync(parent)

    app = await server.app(child)

    assert fields(app, "argocd-controller")["f:spec"].keys() == {".", "f:destination", "f:project", "f:source"}
    assert "f:argocd.argoproj.io/tracking-id" in fields(app, "argocd-controller")["f:metadata"]["f:annotations"]
