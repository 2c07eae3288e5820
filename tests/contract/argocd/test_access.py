"""Tokens, RBAC, and the difference between missing and forbidden (recordings 06, 25, 31)."""

import base64
import json

import pytest

from tests.contract.argocd.server import ArgoCDServer, config_map

DENIED = (403, 7, "permission denied")


async def project_with_token(server: ArgoCDServer, *actions: str) -> tuple[str, str]:
    name = server.unique("team")
    policies = [f"p, proj:{name}:role, applications, {action}, {name}/*, allow" for action in actions]
    await server.create_project(name, roles=[{"name": "role", "policies": policies}])
    token = (await server.must("POST", f"/api/v1/projects/{name}/roles/role/token", {"expiresIn": 3600, "id": "suite"}))["token"]

    async def taken_over() -> bool:
        return (await server.call("GET", f"/api/v1/projects/{name}", token=token)).status == 200

    await server.until(taken_over, "the project's token")
    return name, str(token)


async def test_without_a_token_nothing_is_told(server: ArgoCDServer) -> None:  # recording 06
    path = "/api/v1/applications"

    assert (await server.call("GET", path, token="")).error == (401, 16, "no session information")
    assert (await server.call("GET", path, token="garbage")).error == (401, 16, "no session information")
    lower = await server.call("GET", path, token="", headers={"Authorization": f"bearer {server.tokens['backout']}"})
    assert lower.error == (401, 16, "no session information")
    assert (await server.call("GET", "/api/v1/session/userinfo", token="")).body == {}


async def test_a_forged_token_is_named_as_such(server: ArgoCDServer) -> None:  # recording 06
    header, claims, signature = server.tokens["backout"].split(".")
    forged = f"{header}.{claims}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"

    answer = await server.call("GET", "/api/v1/applications", token=forged)
    malformed = await server.call("GET", "/api/v1/applications", token="!.!.!")

    assert answer.error == (401, 16, "invalid session: token signature is invalid: signature is invalid")
    assert malformed.error == (401, 16, "invalid session: token is malformed: could not base64 decode header: illegal base64 data at input byte 0")


async def test_a_token_may_come_as_cookie_or_metadata(server: ArgoCDServer) -> None:  # recording 37
    path, token = "/api/v1/session/userinfo", server.tokens["backout"]

    told = [
        (await server.call("GET", path)).body,
        (await server.call("GET", path, token="", headers={"Cookie": f"argocd.token={token}"})).body,
        (await server.call("GET", path, token="", headers={"Grpc-Metadata-Token": token})).body,
    ]

    assert told == [{"loggedIn": True, "username": "backout", "iss": "argocd"}] * 3


async def test_missing_and_forbidden_look_alike_until_a_project_is_named(server: ArgoCDServer) -> None:  # recording 06
    release = await server.release("theirs")
    team, token = await project_with_token(server, "get", "sync")

    for name in (release.name, "there-is-none"):
        missing = (404, 5, f'applications.argoproj.io "{name}" not found')
        path = f"/api/v1/applications/{name}"
        for project, expected in (("", DENIED), (team, missing), ("default", DENIED)):
            query = f"?project={project}" if project else ""
            assert (await server.call("GET", f"{path}{query}", token=token)).error == expected
            assert (await server.call("POST", f"{path}/rollback", {"id": 9, "project": project}, token=token)).error == expected
            patch = {"patch": "[]", "patchType": "json", "project": project}
            assert (await server.call("PATCH", path, patch, token=token)).error == expected
            assert (await server.call("DELETE", f"{path}/operation{query}", token=token)).error == expected
            assert (await server.call("PUT", f"{path}/spec{query}", {"project": team}, token=token)).error == DENIED


async def test_only_direct_enforcement_says_what_is_missing(server: ArgoCDServer) -> None:  # recordings 06, 25, 31
    team, token = await project_with_token(server, "get", "sync")
    name = server.unique("ours")
    repository = server.create_repository(name)
    repository.commit({"deploy/cm.json": config_map(name, "1")}, "good")
    await server.create_app(name, repository, project=team)
    path = f"/api/v1/applications/{name}"
    claims = token.split(".")[1]
    issued = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["iat"]

    patch = await server.call("PATCH", path, {"patch": "[]", "patchType": "json"}, token=token)
    put = await server.call("PUT", f"{path}/spec", {"project": team}, token=token)
    other_project = await server.call("GET", "/api/v1/projects/default", token=token)

    assert patch.status == other_project.status == 403
    assert patch.body["message"].startswith(f"permission denied: applications, update, {team}/{name}, sub: proj:{team}:role, iat: 20")
    assert other_project.body["message"].startswith(f"permission denied: projects, get, default, sub: proj:{team}:role, iat: 20")
    assert put.error == DENIED
    assert issued > 0


async def test_a_reader_may_look_and_not_roll_back(server: ArgoCDServer) -> None:  # recording 25
    release = await server.release("look")
    path = f"/api/v1/applications/{release.name}"

    assert (await server.call("GET", path, by="reader")).status == 200
    assert (await server.call("POST", f"{path}/rollback", {"id": 0}, by="reader")).error == DENIED
    assert (await server.call("DELETE", f"{path}/operation", by="reader")).error == DENIED
    sync = await server.call("POST", f"{path}/sync", {}, by="reader")
    assert sync.status == 403
    assert sync.body["message"].startswith(f"permission denied: applications, sync, default/{release.name}, sub: reader, iat: 20")
    can = [
        (await server.call("GET", f"/api/v1/account/can-i/applications/{verb}/default/{release.name}", by="reader")).body for verb in ("get", "sync", "update")
    ]
    assert can == [{"value": "yes"}, {"value": "no"}, {"value": "no"}]


async def test_can_i_knows_bare_verbs_only(server: ArgoCDServer) -> None:  # recording 06
    path = "/api/v1/account/can-i/applications"

    assert (await server.call("GET", f"{path}/sync/default/web")).body == {"value": "yes"}
    assert (await server.call("GET", f"{path}/delete/default/web")).body == {"value": "no"}
    assert (await server.call("GET", f"{path}/action/default/web")).body == {"value": "no"}
    frobnicate = await server.call("GET", f"{path}/frobnicate/a/b")
    assert frobnicate.error == (400, 3, "[get create update delete sync override action invoke] does not contain frobnicate")


async def test_a_token_without_rights_sees_empty_lists_and_no_refusal(server: ArgoCDServer) -> None:  # recording 25
    await server.release("hidden")
    team, token = await project_with_token(server)

    answers = [await server.call("GET", path, token=token) for path in ("/api/v1/applications", "/api/v1/clusters", "/api/v1/applicationsets")]

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert [answer.body["items"] for answer in answers] == [None, None, None]
    assert (await server.call("GET", f"/api/v1/applications?projects={team}", token=token)).body["items"] is None


async def test_a_list_is_filtered_silently(server: ArgoCDServer) -> None:  # recording 06
    release = await server.release("mixed")
    team, token = await project_with_token(server, "get")
    name = server.unique("mine")
    await server.create_app(name, release.repository, project=team)

    async def listed() -> list[str]:
        body = (await server.call("GET", "/api/v1/applications", token=token)).body
        return [item["metadata"]["name"] for item in body["items"] or []]

    assert await server.until(listed, "the own application") == [name]
    by_project = (await server.must("GET", f"/api/v1/applications?projects={team}", by="backout"))["items"]
    assert [item["metadata"]["name"] for item in by_project] == [name]


async def test_get_takes_one_project(server: ArgoCDServer) -> None:  # recording 06
    answer = await server.call("GET", "/api/v1/applications/any?project=a&project=b")

    assert answer.error == (400, 3, "multiple projects specified - the get endpoint accepts either zero or one project")


async def test_a_project_token_rolls_back_under_its_own_name_until_it_is_revoked(server: ArgoCDServer) -> None:  # recording 31
    team, token = await project_with_token(server, "get", "sync", "update")
    release = await server.release("owned", spec={"project": team})
    path = f"/api/v1/applications/{release.name}"

    answer = await server.call("POST", f"{path}/rollback", {"id": 0}, token=token)
    app = await server.settled(release.name)
    again = await server.call("POST", f"/api/v1/projects/{team}/roles/role/token", {"id": "suite"}, by="admin")
    await server.must("DELETE", f"/api/v1/projects/{team}/roles/role/token/1?id=suite")

    async def revoked() -> str:
        answer = await server.call("GET", path, token=token)
        return str(answer.body["message"]) if answer.status == 401 else ""

    assert answer.body["operation"]["initiatedBy"] == {"username": f"proj:{team}:role"}
    assert app["status"]["history"][-1]["initiatedBy"] == {"username": f"proj:{team}:role"}
    assert (again.status, "Token id 'suite' has been used" in again.body["message"]) == (400, True)
    assert (await server.until(revoked, "the revocation")).startswith("invalid session: JWT token for role 'role' issued at")


@pytest.mark.parametrize("rights", [("sync",), ("update",)])
async def test_rollback_needs_sync_alone_and_put_spec_update_alone(server: ArgoCDServer, rights: tuple[str, ...]) -> None:  # recording 25
    team, token = await project_with_token(server, *rights)
    release = await server.release("least", spec={"project": team})
    path = f"/api/v1/applications/{release.name}"
    spec = (await server.app(release.name))["spec"]

    rollback = await server.call("POST", f"{path}/rollback", {"id": 0, "dryRun": True}, token=token)
    put = await server.call("PUT", f"{path}/spec?validate=false", spec, token=token)
    get = await server.call("GET", path, token=token)

    assert (rollback.status, put.status, get.status) == ((200, 403, 403) if rights == ("sync",) else (403, 200, 403))
