"""What callers see while something behind Argo CD's API is dead, and while the API itself is (recordings 02, 19, 39)."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import aiohttp
import pytest

from tests.contract.argocd.outages import API, CONTROLLER, KUBERNETES, REDIS, REPO_SERVER
from tests.contract.argocd.server import ArgoCDServer, Release

DENIED = (403, 7, "permission denied")


async def fresh(server: ArgoCDServer) -> int | None:
    """The status of a call on a connection of its own; None when none could be made, or it was cut while the server ended."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{server.url}/healthz") as answer:
            return answer.status
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
        return None


async def until_away(server: ArgoCDServer) -> None:
    async def refused() -> bool:
        return await fresh(server) is None

    await server.until(refused, "connections to be refused")


async def silent(call: Awaitable[object]) -> bool:
    """Whether there is no answer within two seconds; the caller then hangs up."""
    try:
        await asyncio.wait_for(call, 2)
    except TimeoutError:
        return True
    return False


async def phase(server: ArgoCDServer, release: Release) -> tuple[str, str]:
    state = (await server.settled(release.name))["status"]["operationState"]
    return state["phase"], state["message"]


async def test_a_dead_kubernetes_api_looks_like_a_missing_right_to_calls_by_name_and_like_nothing_to_the_list(server: ArgoCDServer) -> None:  # recording 39
    release = await server.release("no-kube")
    path = f"/api/v1/applications/{release.name}"
    spec = (await server.app(release.name))["spec"]
    calls: list[tuple[str, str, Any]] = [
        ("GET", path, None),
        ("GET", f"{path}?project=default", None),
        ("GET", f"{path}/syncwindows", None),
        ("PATCH", path, {"patch": '{"metadata":{"labels":{"a":"1"}}}', "patchType": "merge"}),
        ("PUT", f"{path}/spec?validate=false", spec),
        ("POST", f"{path}/rollback", {"id": 0}),
    ]

    async with server.outages.without(KUBERNETES):

        async def noticed() -> bool:
            return (await server.call("GET", path)).status == 403

        await server.until(noticed, "Kubernetes to be missed")
        errors = [(await server.call(method, where, body)).error for method, where, body in calls]
        listed = await server.call("GET", "/api/v1/applications")
        health = await server.call("GET", "/healthz?full=true")
        account = await server.call("GET", "/api/v1/session/userinfo")

    assert errors == [DENIED] * len(calls)
    assert release.name in {one["metadata"]["name"] for one in listed.body["items"]}
    assert (health.status, health.body, account.status) == (200, "ok\n", 200)
    app = await server.app(release.name)
    assert ("operation" in app, len(app["status"]["history"]), app["metadata"].get("labels")) == (False, 2, None)


async def test_a_kubernetes_api_that_hangs_lets_calls_by_name_hang_and_the_list_answer(server: ArgoCDServer) -> None:
    release = await server.release("hanging-kube")
    path = f"/api/v1/applications/{release.name}"

    async with server.outages.hanging():
        get = await silent(server.call("GET", path))
        rollback = await silent(server.rollback(release.name, id=0))
        listed = await server.call("GET", "/api/v1/applications")
        told = await server.call("GET", path, headers={"Grpc-Timeout": "500m"})

    assert (get, rollback, listed.status) == (True, True, 200)
    assert told.status != 200
    history = (await server.settled(release.name))["status"]["history"]
    assert len(history) in {2, 3}  # whether a rollback whose caller hung up was taken all the same is anybody's guess


async def test_an_api_that_hangs_answers_no_call_and_tells_no_watch_until_it_goes_on(server: ArgoCDServer) -> None:
    """It takes connections, which is how it differs from one that is away. What is behind it goes on meanwhile."""
    release = await server.release("hanging")
    path = f"/api/v1/applications/{release.name}"
    calls: list[tuple[str, str, Any]] = [
        ("GET", path, None),
        ("GET", "/api/v1/applications", None),
        ("GET", "/healthz", None),
        ("GET", "/api/version", None),
        ("POST", f"{path}/rollback", {"id": 0}),
        ("DELETE", f"{path}/operation", None),
    ]

    async with server.watching(f"name={release.name}") as seen:
        before = len(seen)
        async with server.outages.hanging(API):
            await server.hands.patch(release.name, {"metadata": {"labels": {"told": "later"}}}, by="kubectl-patch")
            late = await asyncio.gather(*(silent(server.call(method, where, body)) for method, where, body in calls))
            told_meanwhile = [one for one in seen[before:] if one["application"]["metadata"].get("labels")]

        async def told() -> bool:
            return any(one["application"]["metadata"].get("labels") == {"told": "later"} for one in seen)

        await server.until(told, "the watch to go on")

    assert (late, told_meanwhile) == ([True] * len(calls), [])
    history = (await server.settled(release.name))["status"]["history"]
    assert len(history) in {2, 3}  # whether a rollback whose caller hung up was taken all the same is anybody's guess


async def test_without_the_repo_server_a_rollback_is_accepted_and_ends_in_error(server: ArgoCDServer) -> None:  # recording 39
    release = await server.release("no-repo-server")
    path = f"/api/v1/applications/{release.name}"

    async with server.outages.without(REPO_SERVER):
        got = await server.call("GET", path)
        manifests = await server.call("GET", f"{path}/manifests?revision={release.good}")
        patch = await server.call("PATCH", path, {"patch": '{"metadata":{"labels":{"a":"1"}}}', "patchType": "merge"})
        put = await server.call("PUT", f"{path}/spec?validate=false", got.body["spec"])
        rollback = await server.rollback(release.name, id=0)

        async def ended() -> str:
            return str((await server.app(release.name))["status"].get("operationState", {}).get("finishedAt", ""))

        await server.until(ended, "the end of the rollback")
        state = (await server.app(release.name))["status"]["operationState"]

    assert (got.status, put.status, rollback.status) == (200, 200, 200)
    assert (manifests.status, manifests.body["code"]) == (503, 14)
    assert (patch.status, patch.body["code"], "repository not accessible" in patch.body["message"]) == (400, 3, True)
    assert state["phase"] == "Error"
    assert state["message"].startswith("ComparisonError: Failed to load target state: failed to generate manifest for source 1 of 1")
    assert len((await server.app(release.name))["status"]["history"]) == 2


async def test_with_git_and_every_cache_gone_a_rollback_is_accepted_and_ends_in_error_and_the_manifests_tell_it_before(server: ArgoCDServer) -> None:
    """Recording 23: Git away, Redis emptied, the repo-server's clones lost. PATCH says no to everything then, PUT without validation works."""
    release = await server.release("forgotten-all")
    path = f"/api/v1/applications/{release.name}"
    spec = (await server.app(release.name))["spec"]
    release.repository.take_away()
    try:
        await server.outages.forget()
        manifests = await server.call("GET", f"{path}/manifests?revision={release.good}")
        patch = await server.call("PATCH", path, {"patch": '{"metadata":{"labels":{"a":"1"}}}', "patchType": "merge"})
        put = await server.call("PUT", f"{path}/spec?validate=false", spec)
        rollback = await server.rollback(release.name, id=0)

        async def ended() -> bool:
            state = (await server.app(release.name))["status"].get("operationState", {})
            return bool(state.get("finishedAt"))

        await server.until(ended, "the end of the rollback")
        app = await server.app(release.name)
    finally:
        release.repository.bring_back()

    state = app["status"]["operationState"]
    assert (manifests.status, manifests.body["code"]) == (500, 2)
    assert "failed to initialize repository resources" in manifests.body["message"]
    assert (patch.status, put.status, rollback.status) == (400, 200, 200)
    assert (state["phase"], "operation" in app, len(app["status"]["history"])) == ("Error", False, 2)
    assert state["message"].startswith("ComparisonError: Failed to load target state: failed to generate manifest for source 1 of 1")

    async def renders() -> bool:
        return (await server.call("GET", f"{path}/manifests?revision={release.good}")).status == 200

    await server.until(renders, "the good release to render again")
    assert (await server.rollback(release.name, id=0)).status == 200
    assert (await phase(server, release))[0] == "Succeeded"


async def test_without_redis_nobody_tells_the_tree_and_the_application_is_there_all_the_same(server: ArgoCDServer) -> None:  # recording 39
    release = await server.release("no-redis")
    path = f"/api/v1/applications/{release.name}"

    async with server.outages.without(REDIS):
        tree = await server.call("GET", f"{path}/resource-tree")
        managed = await server.call("GET", f"{path}/managed-resources")
        one = await server.call("GET", f"{path}/resource?resourceName={release.name}&namespace={release.name}&kind=ConfigMap&version=v1")
        got = await server.call("GET", path)
        listed = await server.call("GET", "/api/v1/applications")
        health = await server.call("GET", "/healthz?full=true")

    assert (tree.status, tree.body["code"], tree.body["message"].startswith("error getting cached app resource tree")) == (500, 2, True)
    assert (managed.status, managed.body["code"]) == (500, 2)
    assert (one.status, one.body["code"]) == (500, 2)
    assert (got.status, listed.status, health.status) == (200, 200, 200)
    assert got.body["status"]["history"][-1]["revision"] == release.bad


async def test_redis_that_was_restarted_has_forgotten_the_tree_of_an_application_that_does_not_change(server: ArgoCDServer) -> None:
    """A refresh does not bring it back: what runs cannot be told through Argo CD until the tree changes."""
    release = await server.release("forgotten")
    tree = f"/api/v1/applications/{release.name}/resource-tree"
    before = await server.call("GET", tree)

    async with server.outages.without(REDIS):
        pass
    refreshed = await server.call("GET", f"/api/v1/applications/{release.name}?refresh=normal")

    async def forgotten() -> bool:  # for a moment argocd-server's connections to the Redis of before are what fails
        answer = await server.call("GET", tree)
        return answer.status != 200 and answer.error == (500, 2, "error getting cached app resource tree: cache: key is missing")

    await server.until(forgotten, "the tree to be missing")
    assert (await server.rollback(release.name, id=0)).status == 200
    await server.settled(release.name)

    async def told_again() -> bool:
        return (await server.call("GET", tree)).status == 200

    await server.until(told_again, "the tree of what has changed")
    assert (before.status, refreshed.status) == (200, 200)


async def test_without_the_controller_a_rollback_waits_for_it_and_a_refresh_hangs(server: ArgoCDServer) -> None:  # recording 19
    release = await server.release("no-controller")

    async with server.outages.without(CONTROLLER):
        refresh = await server.call("GET", f"/api/v1/applications/{release.name}?refresh=normal", headers={"Grpc-Timeout": "500m"})
        accepted = await server.rollback(release.name, id=0)
        await asyncio.sleep(0.3)
        waiting = await server.app(release.name)
        terminate = await server.call("DELETE", f"/api/v1/applications/{release.name}/operation")

    assert refresh.error[:2] == (504, 4)  # the words are "context deadline exceeded" or those of whoever noticed first
    assert accepted.status == 200
    assert terminate.error == (400, 3, "Unable to terminate operation. No operation is in progress")  # nobody can keep it from firing but Kubernetes
    assert ("operation" in waiting, "operationState" in waiting["status"]) == (True, False)
    ended, says = await phase(server, release)
    if ended != "Succeeded":  # a young controller that has not read the projects yet
        assert (ended, "referencing project default which does not exist" in says) == ("Error", True)
        return
    assert (await server.app(release.name))["status"]["history"][-1]["revision"] == release.good


async def test_a_killed_api_breaks_watches_refuses_connections_and_takes_no_operation_with_it(server: ArgoCDServer) -> None:
    release = await server.release("killed")
    headers = {"Authorization": f"Bearer {server.tokens['backout']}"}
    accepted = await server.rollback(release.name, id=0)
    async with server.session.get(f"{server.url}/api/v1/stream/applications?name={release.name}", headers=headers) as stream:
        await stream.content.readline()
        async with server.outages.without(API):
            with pytest.raises(aiohttp.ClientError):
                await stream.content.read()
            away = await fresh(server)

    assert (accepted.status, away) == (200, None)

    async def back() -> bool:
        return await fresh(server) == 200

    await server.until(back, "the API to be back")
    assert (await phase(server, release))[0] == "Succeeded"
    history = (await server.app(release.name))["status"]["history"]
    assert [entry["revision"] for entry in history] == [release.good, release.bad, release.good]


async def test_a_change_of_settings_refuses_connections_until_the_last_watch_ends(server: ArgoCDServer) -> None:  # recording 02
    release = await server.release("watched-restart")

    async with server.watching(f"name={release.name}"):
        await server.outages.change_settings()
        await until_away(server)
        await asyncio.sleep(0.3)
        still_away = await fresh(server)

    async def back() -> bool:
        return await fresh(server) == 200

    await server.until(back, "the API to be back")  # at once; while a watch is open it takes 20 s on the real one
    assert still_away is None


async def test_a_change_of_settings_without_a_watch_keeps_the_api_there(server: ArgoCDServer) -> None:  # recording 02
    await server.release("quiet-restart")
    await server.outages.change_settings()
    answers = []
    for _ in range(20):
        answers.append(await fresh(server))
        await asyncio.sleep(0.05)

    async def there() -> bool:
        return await fresh(server) == 200

    await server.until(there, "the API to be there")  # nobody ends a watch for it; a real one may be away for the moment in which it begins to listen anew
    assert set(answers) <= ({200} if server.kind == "sandbox" else {200, None})
