"""Transport rules: content type, bodies, error shapes, text answers (recordings 01, 05, 37)."""

import pytest

from tests.contract.argocd.server import ArgoCDServer, config_map

EXACT = [
    ("POST", "/rollback", '{"id": 99}'),
    ("PUT", "/spec", "{}"),
    ("DELETE", "/operation", None),
]


@pytest.mark.parametrize(("method", "path", "body"), EXACT)
@pytest.mark.parametrize("kind", ["", "application/json; charset=utf-8", "text/plain", "application/merge-patch+json"])
async def test_a_writing_call_needs_exactly_application_json(server: ArgoCDServer, method: str, path: str, body: str | None, kind: str) -> None:  # recording 05
    answer = await server.call(method, f"/api/v1/applications/any{path}", body, headers={"Content-Type": kind})

    assert (answer.status, answer.body) == (415, "Invalid content type\n")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_unknown_paths_and_wrong_methods_are_plain_text(server: ArgoCDServer) -> None:  # recording 05
    unknown = await server.call("GET", "/api/v1/applications/any/nonsense")
    wrong = await server.call("DELETE", "/api/v1/applications/any/rollback")

    assert (unknown.status, unknown.body) == (404, "Not Found\n")
    assert (wrong.status, wrong.body) == (405, "Method Not Allowed\n")
    assert unknown.headers["Content-Type"] == wrong.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_the_version_is_all_that_a_stranger_is_told(server: ArgoCDServer) -> None:  # recording 05
    strange = await server.call("GET", "/api/version", token="")
    known = await server.call("GET", "/api/version")

    assert strange.body.keys() == {"Version"}
    assert known.body.keys() > {"Version"}
    assert known.body["Version"].startswith("v3.2.11")


BODIES = [
    ("POST", "/rollback", {}, 500, 13, 'grpc: error while marshaling: proto: required field "id" not set'),
    ("POST", "/rollback", "", 500, 13, 'grpc: error while marshaling: proto: required field "id" not set'),
    ("POST", "/rollback", {"id": "0"}, 400, 3, "json: cannot unmarshal string into Go struct field ApplicationRollbackRequest.id of type int64"),
    ("POST", "/rollback", "{id:0}", 400, 3, "invalid character 'i' looking for beginning of object key string"),
    ("POST", "/rollback", "[]", 400, 3, "json: cannot unmarshal array into Go value of type application.ApplicationRollbackRequest"),
    ("PATCH", "", {"patch": "{}"}, 500, 13, 'grpc: error while marshaling: proto: required field "patchType" not set'),
    ("PATCH", "", {"patchType": "merge"}, 500, 13, 'grpc: error while marshaling: proto: required field "patch" not set'),
    ("PATCH", "", {"patch": {}, "patchType": ""}, 400, 3, "json: cannot unmarshal object into Go struct field ApplicationPatchRequest.patch of type string"),
    (
        "POST",
        "/sync",
        {"sourcePositions": ["1"]},
        400,
        3,
        "json: cannot unmarshal string into Go struct field ApplicationSyncRequest.sourcePositions of type int64",
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "code", "message"), BODIES)
async def test_a_wrong_body_is_refused_before_anything_is_looked_up(  # recording 01
    server: ArgoCDServer, method: str, path: str, body: object, status: int, code: int, message: str
) -> None:
    answer = await server.call(method, f"/api/v1/applications/any{path}", body)

    assert answer.error == (status, code, message)
    assert answer.body == {"error": message, "code": code, "message": message}


async def test_a_new_application_shows_its_zero_structs_and_neither_kind_nor_api_version(server: ArgoCDServer) -> None:  # contract 2.1, recording 03
    name = server.unique("zero")
    repository = server.create_repository(name)
    repository.commit({"deploy/cm.json": config_map(name, "1")}, "good")

    app = await server.create_app(name, repository)

    assert app["status"]["sync"] == {"status": "", "comparedTo": {"source": {"repoURL": ""}, "destination": {}}}
    assert (app["status"]["health"], app["status"]["summary"], app["status"]["sourceHydrator"]) == ({}, {}, {})
    assert app.keys() == {"metadata", "spec", "status"}
    assert app["metadata"].keys() >= {"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"}


async def test_an_empty_list_is_null(server: ArgoCDServer) -> None:  # recording 06
    answer = await server.call("GET", "/api/v1/applications?name=there-is-none")

    assert answer.body["items"] is None
    assert answer.body["metadata"].keys() == {"resourceVersion"}
    assert answer.headers["Grpc-Metadata-Content-Type"] == "application/grpc"


async def test_a_list_gives_only_catalogued_fields(server: ArgoCDServer) -> None:  # recording 30
    release = await server.release("fields")
    fields = "items.metadata.name,items.status.health,items.status.sync.status,items.status.operationState.phase,items.spec.project,items.status.history"

    item = (await server.must("GET", f"/api/v1/applications?name={release.name}&fields={fields}"))["items"][0]
    nothing = await server.must("GET", f"/api/v1/applications?name={release.name}&fields=items.status.history")

    assert item["metadata"] == {"name": release.name}
    assert "spec" not in item
    assert item["status"].keys() == {"health", "sync", "operationState"}
    assert (item["status"]["sync"], item["status"]["operationState"]) == ({"status": "Synced"}, {"phase": "Succeeded"})
    assert nothing["items"] == [{}]


async def test_the_project_counts_in_the_body_of_post_and_in_the_query_elsewhere(server: ArgoCDServer) -> None:  # recording 37
    release = await server.release("where")
    path = f"/api/v1/applications/{release.name}"
    missing = (404, 5, f'applications.argoproj.io "{release.name}" not found')
    unknown_id = (400, 3, f"application argocd/{release.name} does not have deployment with id 77")

    assert (await server.call("POST", f"{path}/rollback?project=nosuch", {"id": 77})).error == unknown_id
    assert (await server.call("POST", f"{path}/rollback", {"id": 77, "project": "nosuch"})).error == missing
    assert (await server.call("POST", f"{path}/rollback", {"ID": 77, "name": "other", "reason": "why"})).error == unknown_id
    assert (await server.call("DELETE", f"{path}/operation?project=nosuch")).error == missing
    assert (await server.call("GET", f"{path}?appNamespace=web")).error == (403, 7, "permission denied")


async def test_a_refresh_waits_for_the_controller_and_finds_what_is_new_in_git(server: ArgoCDServer) -> None:  # recordings 19, 28
    release = await server.release("fresh")
    newest = release.repository.commit({"deploy/cm.json": config_map(release.name, "3")}, "newest")

    app = await server.app(release.name, "?refresh=normal")

    assert (app["status"]["sync"]["status"], app["status"]["sync"]["revision"]) == ("OutOfSync", newest)
    assert "argocd.argoproj.io/refresh" not in app["metadata"].get("annotations", {})


async def test_a_refresh_nobody_makes_ends_with_the_callers_deadline(server: ArgoCDServer) -> None:  # contract 2.2, recording 19
    name = server.unique("skipped")
    repository = server.create_repository(name)
    repository.commit({"deploy/cm.json": config_map(name, "1")}, "good")
    await server.create_app(name, repository)
    patch = '{"metadata":{"annotations":{"argocd.argoproj.io/skip-reconcile":"true"}}}'
    await server.must("PATCH", f"/api/v1/applications/{name}", {"patch": patch, "patchType": "merge"})

    answer = await server.call("GET", f"/api/v1/applications/{name}?refresh=normal", headers={"Grpc-Timeout": "1S"})
    plain = await server.app(name)

    assert answer.error[:2] == (504, 4)
    assert answer.error[2] in {"context deadline exceeded", "stream terminated by RST_STREAM with error code: CANCEL"}  # the real one says either
    assert plain["metadata"]["annotations"]["argocd.argoproj.io/refresh"] == "normal"
    away = '{"metadata":{"annotations":{"argocd.argoproj.io/skip-reconcile":null}}}'
    await server.must("PATCH", f"/api/v1/applications/{name}", {"patch": away, "patchType": "merge"})
