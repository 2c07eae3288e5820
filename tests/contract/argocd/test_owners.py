"""Applications that an ApplicationSet owns: which edits stay (recording 12)."""

import json

import pytest

from tests.contract.argocd.server import CLUSTER, ArgoCDServer, GitRepository, Json, config_map


async def owned(server: ArgoCDServer, **spec: object) -> tuple[str, GitRepository]:
    name = server.unique("owned")
    repository = server.create_repository(name)
    repository.commit({"deploy/cm.json": config_map(name, "1")}, "good")
    policy = {"automated": {"prune": True, "selfHeal": True}, "syncOptions": ["CreateNamespace=true"]}
    template = {
        "metadata": {"name": "{{name}}"},
        "spec": {
            "project": "default",
            "source": {"repoURL": repository.url, "path": "deploy", "targetRevision": "main"},
            "destination": {"server": CLUSTER, "namespace": "{{name}}"},
            "syncPolicy": policy,
        },
    }
    body = {"metadata": {"name": f"{name}-set"}, "spec": {"generators": [{"list": {"elements": [{"name": name}]}}], "template": template, **spec}}
    await server.must("POST", "/api/v1/applicationsets", body)

    async def deployed() -> bool:
        answer = await server.call("GET", f"/api/v1/applications/{name}", by="admin")
        return answer.status == 200 and bool(answer.body["status"].get("history")) and "operation" not in answer.body

    await server.until(deployed, "the generated application")
    return name, repository


async def drop(server: ArgoCDServer, name: str) -> None:
    await server.must("DELETE", f"/api/v1/applicationsets/{name}-set")


async def stop_auto_sync(server: ArgoCDServer, name: str) -> Json:
    spec = (await server.app(name))["spec"]
    spec["syncPolicy"]["automated"] = {"prune": True, "selfHeal": True, "enabled": False}
    answer: Json = await server.must("PUT", f"/api/v1/applications/{name}/spec?validate=false", spec, by="backout")
    return answer


async def test_a_generated_application_names_its_owner_and_takes_every_edit_back(server: ArgoCDServer) -> None:  # recording 12
    name, _ = await owned(server)
    owner = (await server.app(name))["metadata"]["ownerReferences"][0]
    annotate = {
        "patch": json.dumps({"metadata": {"annotations": {"backout.example/hold": "op-7", "notified.notifications.argoproj.io": "{}"}}}),
        "patchType": "merge",
    }

    answer = await stop_auto_sync(server, name)
    await server.must("PATCH", f"/api/v1/applications/{name}", annotate)

    async def reverted() -> bool:
        app = await server.app(name)
        return "enabled" not in app["spec"]["syncPolicy"]["automated"] and "backout.example/hold" not in app["metadata"].get("annotations", {})

    await server.until(reverted, "the owner's revert")
    assert answer["syncPolicy"]["automated"]["enabled"] is False
    assert (owner["kind"], owner["name"], owner["controller"], owner["blockOwnerDeletion"]) == ("ApplicationSet", f"{name}-set", True, True)
    assert "notified.notifications.argoproj.io" in (await server.app(name))["metadata"]["annotations"]
    await drop(server, name)


KEPT = [
    pytest.param({"ignoreApplicationDifferences": [{"jsonPointers": ["/spec/syncPolicy"]}]}, id="whole-policy"),
    pytest.param({"ignoreApplicationDifferences": [{"jsonPointers": ["/spec/syncPolicy/automated/enabled"]}]}, id="enabled"),
    pytest.param({"ignoreApplicationDifferences": [{"jqPathExpressions": [".spec.syncPolicy.automated.enabled"]}]}, id="jq"),
    pytest.param({"syncPolicy": {"applicationsSync": "create-only"}}, id="create-only"),
]


@pytest.mark.parametrize("rule", KEPT)
async def test_a_rule_lets_stopped_auto_sync_stay(server: ArgoCDServer, rule: Json) -> None:  # recording 12
    name, _ = await owned(server, **rule)

    await stop_auto_sync(server, name)
    await server.app(name, "?refresh=normal")
    poke = {"patch": '{"metadata":{"labels":{"a":"1"}}}', "patchType": "merge"}
    await server.must("PATCH", f"/api/v1/applications/{name}", poke)
    if "syncPolicy" not in rule:  # the owner took the label back, so it has looked at everything by now

        async def looked() -> bool:
            return "labels" not in (await server.app(name))["metadata"]

        await server.until(looked, "the owner's look")

    assert (await server.app(name))["spec"]["syncPolicy"]["automated"]["enabled"] is False
    await drop(server, name)


async def test_the_set_itself_can_be_read(server: ArgoCDServer) -> None:  # contract 3.8
    name, _ = await owned(server, ignoreApplicationDifferences=[{"jsonPointers": ["/spec/syncPolicy"]}])

    found = await server.must("GET", f"/api/v1/applicationsets/{name}-set", by="backout")

    assert found["spec"]["ignoreApplicationDifferences"] == [{"jsonPointers": ["/spec/syncPolicy"]}]
    assert found["spec"]["template"]["spec"]["project"] == "default"
    await drop(server, name)


ROLLING = {"type": "RollingSync", "rollingSync": {"steps": [{"matchExpressions": [{"key": "env", "operator": "In", "values": ["prod"]}]}]}}
BY_THE_SET = {"username": "applicationset-controller", "automated": True}


async def rolled(server: ArgoCDServer, name: str, env: str) -> tuple[str, GitRepository, str]:
    """An application of a set in rolling order, its repository, and its first revision."""
    name = server.unique(name)
    repository = server.create_repository(name)
    good = repository.commit({"deploy/cm.json": config_map(name, "1")}, "good")
    template = {
        "metadata": {"name": "{{name}}", "labels": {"env": env}},
        "spec": {
            "project": "default",
            "source": {"repoURL": repository.url, "path": "deploy", "targetRevision": "main"},
            "destination": {"server": CLUSTER, "namespace": "{{name}}"},
            "syncPolicy": {"automated": {"prune": True, "selfHeal": True}, "syncOptions": ["CreateNamespace=true"]},
        },
    }
    body = {"generators": [{"list": {"elements": [{"name": name}]}}], "template": template, "strategy": ROLLING}
    await server.must("POST", "/api/v1/applicationsets", {"metadata": {"name": f"{name}-set"}, "spec": body})

    async def compared() -> bool:
        answer = await server.call("GET", f"/api/v1/applications/{name}", by="admin")
        return answer.status == 200 and bool(answer.body["status"].get("reconciledAt"))

    await server.until(compared, "the generated application")
    return name, repository, good


async def live(server: ArgoCDServer, name: str, revision: str) -> Json:
    """The application once that revision is its newest release, and the set has seen it well."""

    async def there() -> Json | None:
        app, row = await server.app(name), await row_of(server, name)
        newest = (app["status"].get("history") or [{}])[-1].get("revision")
        well = (row.get("status"), row.get("targetRevisions")) == ("Healthy", [revision])
        return app if newest == revision and "operation" not in app and well else None

    found = await server.until(there, f"{revision} to be live")
    assert found is not None
    return found


async def row_of(server: ArgoCDServer, name: str) -> Json:
    """What the set's status says of the application; {} for nothing yet."""
    found = await server.must("GET", f"/api/v1/applicationsets/{name}-set", by="backout")
    return dict(next((row for row in found["status"].get("applicationStatus", []) if row["application"] == name), {}))


async def test_a_set_in_rolling_order_deploys_by_itself_and_undoes_a_rollback(server: ArgoCDServer) -> None:
    name, repository, good = await rolled(server, "rolling", "prod")

    first = await live(server, name, good)
    await stop(server, name)

    async def taken_back() -> bool:
        return "automated" not in (await server.app(name))["spec"]["syncPolicy"]

    await server.until(taken_back, "the set to take what was written back")
    bad = repository.commit({"deploy/cm.json": config_map(name, "2")}, "bad")
    await server.app(name, "?refresh=normal")
    before = await live(server, name, bad)
    goal = next(entry["id"] for entry in before["status"]["history"] if entry["revision"] == good)
    accepted = await server.rollback(name, id=goal)

    async def undone() -> Json | None:
        app = await server.app(name)
        newest = app["status"]["history"][-1]
        ours = any(entry["initiatedBy"] == {"username": "backout"} for entry in app["status"]["history"])
        return app if ours and newest["revision"] == bad and newest["initiatedBy"] == BY_THE_SET else None

    after = await server.until(undone, "the set to sync what was rolled back")
    assert after is not None
    operation = first["status"]["operationState"]["operation"]
    assert "automated" not in first["spec"]["syncPolicy"]  # its template says so; the set takes it out
    assert (first["status"]["history"][0]["initiatedBy"], first["status"]["history"][0]["revision"]) == (BY_THE_SET, good)
    assert operation["initiatedBy"] == BY_THE_SET
    assert operation["info"] == [{"name": "Reason", "value": "ApplicationSet RollingSync triggered a sync of this Application resource"}]
    assert (operation["sync"], operation["retry"]) == ({"prune": True, "syncOptions": ["CreateNamespace=true"]}, {"limit": 5})
    assert (await row_of(server, name))["step"] == "1"
    assert accepted.status == 200
    own = next(entry for entry in after["status"]["history"] if entry["initiatedBy"] == {"username": "backout"})
    assert own["revision"] == good
    assert [entry["manager"] for entry in after["metadata"]["managedFields"] if "f:spec" in entry["fieldsV1"]] == ["argocd-applicationset-controller"]
    await drop(server, name)


async def test_what_no_step_of_a_set_in_rolling_order_selects_is_synced_by_nobody(server: ArgoCDServer) -> None:
    name, repository, good = await rolled(server, "unrolled", "test")
    await server.sync(name)
    bad = repository.commit({"deploy/cm.json": config_map(name, "2")}, "bad")
    await server.app(name, "?refresh=normal")
    await server.sync(name)

    accepted = await server.rollback(name, id=0)
    app = await server.settled(name)

    async def seen() -> bool:
        return (await row_of(server, name)).get("status") == "Waiting"

    await server.until(seen, "the set's look at what was rolled back")
    assert accepted.status == 200
    assert "automated" not in app["spec"]["syncPolicy"]
    assert [(entry["revision"], entry["initiatedBy"]["username"]) for entry in app["status"]["history"]] == [(good, "human"), (bad, "human"), (good, "backout")]
    assert ((await row_of(server, name))["step"], (await server.app(name)).get("operation")) == ("-1", None)
    await drop(server, name)


async def stop(server: ArgoCDServer, name: str) -> None:
    """Auto-sync switched off in so many words."""
    await server.must("PATCH", f"/api/v1/applications/{name}", {"patch": '{"spec":{"syncPolicy":{"automated":{"enabled":false}}}}', "patchType": "merge"})
