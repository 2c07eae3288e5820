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
