"""What only a sandbox can do: faults, turned clocks, profiles, writes past the API."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from integrations.sandbox.argocd.server import SandboxArgoCD
from integrations.sandbox.argocd.settings import V2_14, Timings
from tests.contract.argocd.hands import SandboxHands
from tests.contract.argocd.outages import SandboxOutages
from tests.contract.argocd.server import ArgoCDServer, Release, config_map
from tests.unit.integrations.sandbox.argocd.conftest import TurnableClock

BUSY = (400, 9, "another operation is already in progress")


async def released(server: ArgoCDServer) -> Release:
    return await server.release("web")


async def test_stamps_follow_the_injected_clock_to_the_second(server: ArgoCDServer, clock: TurnableClock) -> None:
    release = await released(server)
    clock.forward(hours=2, microseconds=700)

    await server.rollback(release.name, id=0)
    status = (await server.settled(release.name))["status"]

    assert status["history"][2]["deployedAt"] == status["operationState"]["finishedAt"] == status["reconciledAt"] == "2026-03-04T14:00:00Z"
    assert status["history"][0]["deployedAt"] == "2026-03-04T12:00:00Z"


async def test_with_the_controller_down_a_rollback_is_accepted_and_waits(sandbox: SandboxArgoCD, server: ArgoCDServer) -> None:  # recording 19
    release = await released(server)
    sandbox.faults.controller_down = True

    refresh = await server.call("GET", f"/api/v1/applications/{release.name}?refresh=normal", headers={"Grpc-Timeout": "100m"})
    accepted = await server.rollback(release.name, id=0)
    await asyncio.sleep(0.1)
    waiting = await server.app(release.name)
    second = await server.rollback(release.name, id=0)
    terminate = await server.call("DELETE", f"/api/v1/applications/{release.name}/operation")
    sandbox.faults.controller_down = False
    done = await server.settled(release.name)

    assert refresh.error == (504, 4, "context deadline exceeded")
    assert accepted.status == 200
    assert ("operation" in waiting, "operationState" in waiting["status"]) == (True, False)
    assert waiting["metadata"]["annotations"] == {"argocd.argoproj.io/hydrate": "normal", "argocd.argoproj.io/refresh": "normal"}
    assert second.error == BUSY
    assert terminate.error == (400, 3, "Unable to terminate operation. No operation is in progress")
    assert done["status"]["operationState"]["phase"] == "Succeeded"


async def test_with_the_repo_server_down_a_rollback_ends_in_error(sandbox: SandboxArgoCD, server: ArgoCDServer) -> None:  # recording 39
    release = await released(server)
    sandbox.faults.repo_server_down = True
    path = f"/api/v1/applications/{release.name}"

    manifests = await server.call("GET", f"{path}/manifests?revision={release.good}")
    patch = await server.call("PATCH", path, {"patch": "{}", "patchType": "merge"})
    put = await server.call("PUT", f"{path}/spec?validate=false", (await server.app(release.name))["spec"])
    rollback = await server.rollback(release.name, id=0)
    state = (await server.settled(release.name))["status"]["operationState"]

    assert (manifests.status, manifests.body["code"]) == (503, 14)
    assert (patch.status, "repository not accessible" in patch.body["message"]) == (400, True)
    assert (put.status, rollback.status) == (200, 200)
    assert state["phase"] == "Error"
    assert state["message"].startswith(
        "ComparisonError: Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unavailable"
    )


async def test_with_git_and_both_caches_gone_a_rollback_ends_in_error_without_history(sandbox: SandboxArgoCD, server: ArgoCDServer) -> None:  # recording 23
    release = await released(server)
    sandbox.faults.git_down = True
    sandbox.repositories.flush_manifests()
    sandbox.repositories.drop_clones()

    accepted = await server.rollback(release.name, id=0)
    status = (await server.settled(release.name))["status"]

    assert accepted.status == 200
    assert status["operationState"]["phase"] == "Error"
    assert "Failed to fetch default" in status["operationState"]["message"]
    assert len(status["history"]) == 2


async def test_with_kubernetes_down_by_name_calls_are_forbidden_and_lists_still_answer(sandbox: SandboxArgoCD, server: ArgoCDServer) -> None:  # recording 39
    release = await released(server)
    path = f"/api/v1/applications/{release.name}"
    sandbox.faults.kube_down = True

    calls: list[tuple[str, str, Any]] = [
        ("GET", path, None),
        ("GET", f"{path}?project=default", None),
        ("GET", f"{path}/syncwindows", None),
        ("PATCH", path, {"patch": "{}", "patchType": "merge"}),
        ("PUT", f"{path}/spec?validate=false", {}),
        ("POST", f"{path}/rollback", {"id": 0}),
    ]
    for method, where, body in calls:
        assert (await server.call(method, where, body)).error == (403, 7, "permission denied")
    assert len((await server.must("GET", "/api/v1/applications"))["items"]) == 1
    assert (await server.call("GET", "/healthz?full=true")).body == "ok\n"
    assert (await server.call("GET", f"{path}/manifests")).body["message"].startswith("error getting server version")
    sandbox.faults.kube_down = False
    assert (await server.call("GET", path)).status == 200


async def test_a_lost_answer_has_acted(sandbox: SandboxArgoCD, server: ArgoCDServer) -> None:  # recording 35
    release = await released(server)
    sandbox.faults.lose_answers = 1

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await server.rollback(release.name, id=0)

    assert len((await server.settled(release.name))["status"]["history"]) == 3
    assert sandbox.faults.lose_answers == 0


async def test_a_dropped_request_has_not(sandbox: SandboxArgoCD, server: ArgoCDServer) -> None:
    release = await released(server)
    sandbox.faults.drop_requests = 1

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await server.rollback(release.name, id=0)

    assert len((await server.app(release.name))["status"]["history"]) == 2


async def test_refused_connections_come_back_on_the_same_address(sandbox: SandboxArgoCD, server: ArgoCDServer) -> None:  # recording 02
    release = await released(server)
    async with server.watching(f"name={release.name}") as seen:
        await sandbox.refuse()
        async with aiohttp.ClientSession() as fresh:
            with pytest.raises(aiohttp.ClientConnectorError):
                await fresh.get(f"{server.url}/healthz")
        sandbox.write_by_kubernetes(release.name, lambda app: app["metadata"].update(labels={"a": "1"}))

        async def told() -> bool:
            return len(seen) > 1

        await server.until(told, "an event on the old stream")
        await sandbox.listen()
    assert (await server.call("GET", "/healthz")).status == 200


async def test_a_change_of_settings_takes_the_api_away_as_long_as_a_watch_is_open(sandbox: SandboxArgoCD, server: ArgoCDServer) -> None:  # recording 02
    release = await released(server)
    async with server.watching(f"name={release.name}") as seen:
        restarting = sandbox.change_settings()
        await asyncio.sleep(0.1)
        async with aiohttp.ClientSession() as fresh:
            with pytest.raises(aiohttp.ClientConnectorError):
                await fresh.get(f"{server.url}/healthz")
        sandbox.write_by_kubernetes(release.name, lambda app: app["metadata"].update(labels={"a": "1"}))

        async def told() -> bool:
            return len(seen) > 1

        await server.until(told, "an event on the old stream")
        assert not restarting.done()
    await asyncio.wait_for(restarting, 0.8)  # it would have been a second by itself: 20 s at a twentieth
    assert (await server.call("GET", "/healthz")).status == 200


async def test_a_watch_that_stays_open_does_not_keep_the_api_away_for_ever_and_goes_on(sandbox: SandboxArgoCD, server: ArgoCDServer) -> None:  # recording 02
    release = await released(server)
    async with server.watching(f"name={release.name}") as seen:
        await asyncio.wait_for(sandbox.change_settings(), 10)
        assert (await server.call("GET", "/healthz")).status == 200
        sandbox.write_by_kubernetes(release.name, lambda app: app["metadata"].update(labels={"a": "1"}))

        async def told() -> bool:
            return len(seen) > 1

        await server.until(told, "an event on the old stream")


async def test_without_a_watch_a_change_of_settings_shows_no_gap(sandbox: SandboxArgoCD, server: ArgoCDServer) -> None:  # recording 02
    await asyncio.wait_for(sandbox.change_settings(), 0.5)
    assert (await server.call("GET", "/healthz")).status == 200


async def test_a_killed_server_breaks_every_connection_and_keeps_what_it_was_told(sandbox: SandboxArgoCD, server: ArgoCDServer) -> None:
    release = await released(server)
    headers = {"Authorization": f"Bearer {server.tokens['backout']}"}
    async with server.session.get(f"{server.url}/api/v1/stream/applications?name={release.name}", headers=headers) as stream:
        await stream.content.readline()
        await sandbox.kill()
        with pytest.raises(aiohttp.ClientError):
            await stream.content.read()
    with pytest.raises(aiohttp.ClientConnectorError):
        await server.call("GET", "/healthz")
    await sandbox.listen()
    assert len((await server.app(release.name))["status"]["history"]) == 2


async def test_slow_answers_are_slow(sandbox: SandboxArgoCD, server: ArgoCDServer) -> None:
    sandbox.faults.slow_by = 0.2
    time = asyncio.get_running_loop().time
    before = time()

    await server.call("GET", "/healthz")

    assert time() - before >= 0.2


async def test_a_running_phase_without_operation_is_a_leftover(sandbox: SandboxArgoCD, server: ArgoCDServer) -> None:  # recording 08
    release = await released(server)
    sandbox.projects.set_windows("default", [{"kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["*"]}])
    await server.rollback(release.name, id=0)

    async def blocked() -> bool:
        return bool((await server.app(release.name))["status"].get("operationState", {}).get("message") == "Sync operation blocked by sync window")

    await server.until(blocked, "the blocked operation")
    sandbox.write_by_kubernetes(release.name, lambda app: app.pop("operation"))
    sandbox.projects.set_windows("default", [])
    app = await server.app(release.name, "?refresh=normal")

    assert "operation" not in app
    assert app["status"]["operationState"]["phase"] == "Running"
    assert (await server.rollback(release.name, id=0)).status == 200
    assert (await server.settled(release.name))["status"]["operationState"]["phase"] == "Succeeded"


async def test_a_window_ends_with_the_clock(sandbox: SandboxArgoCD, server: ArgoCDServer, clock: TurnableClock) -> None:
    release = await released(server)
    sandbox.projects.set_windows("default", [{"kind": "deny", "schedule": "0 12 * * *", "duration": "1h", "applications": ["*"]}])
    path = f"/api/v1/applications/{release.name}/syncwindows"
    clock.forward(minutes=30)
    assert (await server.must("GET", path))["canSync"] is False
    await server.rollback(release.name, id=0)

    clock.forward(hours=1)

    assert (await server.must("GET", path))["canSync"] is True
    assert (await server.settled(release.name))["status"]["operationState"]["phase"] == "Succeeded"


async def test_a_failing_automated_sync_gives_up_after_its_retries_and_says_so(sandbox: SandboxArgoCD, server: ArgoCDServer) -> None:  # contract 4.3, 4.4
    release = await released(server)
    sandbox.faults.reject = lambda _manifest: "quota exceeded"
    sha = release.repository.commit({"deploy/cm.json": config_map(release.name, "3")}, "rejected")
    spec = (await server.app(release.name))["spec"]
    spec["syncPolicy"] |= {"automated": {}, "retry": {"limit": 2}}

    await server.must("PUT", f"/api/v1/applications/{release.name}/spec", spec)

    async def condition() -> list[Any]:
        return [item for item in (await server.app(release.name))["status"].get("conditions", []) if item["type"] == "SyncError"]

    told = await server.until(condition, "the SyncError")
    app = await server.app(release.name)
    assert told[0]["message"].startswith(f"Failed last sync attempt to [{sha}]: one or more objects failed to apply, reason: ")
    assert app["status"]["operationState"]["message"].endswith("quota exceeded (retried 2 times).")
    assert "operation" not in app
    assert len(app["status"]["history"]) == 2


async def test_an_empty_target_wipes_nothing_by_itself(server: ArgoCDServer) -> None:  # contract 4.1
    release = await released(server)
    release.repository.commit({"deploy/readme.md": "empty"}, "empty")
    await server.set_auto(release.name, {"prune": True})

    async def condition() -> list[Any]:
        await server.app(release.name, "?refresh=normal")
        return [item["message"] for item in (await server.app(release.name))["status"].get("conditions", [])]

    told = await server.until(condition, "the SyncError")
    assert told[0].endswith("auto-sync will wipe out all resources")
    assert [row["name"] for row in (await server.app(release.name))["status"]["resources"]] == [release.name]


async def test_only_prunes_are_no_reason_to_sync_without_prune(server: ArgoCDServer) -> None:  # contract 4.4
    release = await server.release("web", extra={"deploy/extra.json": config_map("extra", "1")})
    release.repository.commit({"deploy/cm.json": config_map(release.name, "2", health="Degraded")}, "extra gone")
    await server.set_auto(release.name, {})

    app = await server.app(release.name, "?refresh=normal")

    assert app["status"]["sync"]["status"] == "OutOfSync"
    assert "operation" not in app
    assert len(app["status"]["history"]) == 2


async def test_the_branch_is_polled(server: ArgoCDServer) -> None:
    release = await released(server)
    newest = release.repository.commit({"deploy/cm.json": config_map(release.name, "3")}, "newest")

    async def seen() -> bool:
        return bool((await server.app(release.name))["status"]["sync"]["revision"] == newest)

    await server.until(seen, "the new head")


async def test_the_2_14_profile_keeps_auto_sync_on_however_it_is_switched_off(clock: TurnableClock, tmp_path: Path) -> None:  # fact 4
    sandbox = SandboxArgoCD(clock=clock, timings=Timings.fast(), profile=V2_14)
    url = await sandbox.start()
    async with aiohttp.ClientSession() as session:
        tokens = dict.fromkeys(("admin", "human", "backout"), sandbox.admin_token())
        server = ArgoCDServer(
            kind="sandbox", url=url, tokens=tokens, git_root=tmp_path, session=session, outages=SandboxOutages(sandbox), hands=SandboxHands(sandbox)
        )
        release = await released(server)
        await server.set_auto(release.name, {"prune": True})

        answer = await server.set_auto(release.name, {"enabled": False})

        assert answer["spec"]["syncPolicy"]["automated"] == {"prune": True}
        assert (await server.rollback(release.name, id=0)).error[2] == "rollback cannot be initiated when auto-sync is enabled"
        assert (await server.call("GET", "/api/version")).body["Version"].startswith("v2.14")
    await sandbox.stop()


async def test_a_login_gives_a_token_and_a_cookie(server: ArgoCDServer) -> None:
    answer = await server.call("POST", "/api/v1/session", {"username": "admin", "password": "sesame"}, token="")
    wrong = await server.call("POST", "/api/v1/session", {"username": "admin", "password": "x"}, token="")

    assert answer.headers["Set-Cookie"] == f"argocd.token={answer.body['token']}; path=/; SameSite=lax; httpOnly"
    assert (await server.call("GET", "/api/v1/session/userinfo", token=answer.body["token"])).body["username"] == "admin"
    assert wrong.error == (401, 16, "Invalid username or password")


async def test_a_tokens_end_does_not_end_its_watch(server: ArgoCDServer, clock: TurnableClock, sandbox: SandboxArgoCD) -> None:  # recording 04
    release = await released(server)
    token = (await server.must("POST", "/api/v1/account/backout/token", {"expiresIn": 60}))["token"]
    headers = {"Authorization": f"Bearer {token}"}
    async with server.session.get(f"{server.url}/api/v1/stream/applications?name={release.name}", headers=headers) as stream:
        await stream.content.readline()
        clock.forward(minutes=5)
        sandbox.write_by_kubernetes(release.name, lambda app: app["metadata"].update(labels={"a": "1"}))
        line = json.loads(await stream.content.readline())
        unary = await server.call("GET", "/api/v1/applications", token=token)

    assert line["result"]["application"]["metadata"]["labels"] == {"a": "1"}
    assert unary.error[2] == "invalid session: token has invalid claims: token is expired"


async def test_sse_keeps_alive_after_the_first_event(clock: TurnableClock, tmp_path: Path) -> None:  # recording 03
    sandbox = SandboxArgoCD(clock=clock, timings=Timings(pace=0.05, keep_alive=0.05))
    url = await sandbox.start()
    async with aiohttp.ClientSession() as session:
        tokens = dict.fromkeys(("admin", "human", "backout"), sandbox.admin_token())
        server = ArgoCDServer(
            kind="sandbox", url=url, tokens=tokens, git_root=tmp_path, session=session, outages=SandboxOutages(sandbox), hands=SandboxHands(sandbox)
        )
        release = await released(server)
        headers = {"Authorization": f"Bearer {tokens['admin']}", "Accept": "text/event-stream"}
        async with session.get(f"{url}/api/v1/stream/applications?name={release.name}", headers=headers) as stream:
            lines = [await stream.content.readline() for _ in range(4)]
    await sandbox.stop()

    assert lines[0].startswith(b"data: {")
    assert lines[0].endswith(b"} \n")
    assert lines[1:4] == [b"\n", b"\n", b":\n"]


async def test_an_operation_written_past_the_api_is_carried_out_and_may_carry_info(sandbox: SandboxArgoCD, server: ArgoCDServer) -> None:  # recording 16
    release = await released(server)
    source = (await server.app(release.name))["spec"]["source"]
    sync = {"revision": release.good, "source": source, "syncStrategy": {"apply": {}}}
    operation = {"sync": sync, "initiatedBy": {"username": "somebody"}, "info": [{"name": "why", "value": "inc-7"}], "retry": {}}

    sandbox.write_by_kubernetes(release.name, lambda app: app.update(operation=operation))
    state = (await server.settled(release.name))["status"]["operationState"]

    assert (state["phase"], state["operation"]["info"]) == ("Succeeded", [{"name": "why", "value": "inc-7"}])
    with pytest.raises(LookupError):
        sandbox.write_by_kubernetes("nosuch", lambda _app: None)


SELECTORS = [("a=1", True), ("a==1,b!=2", True), ("a!=1", False), ("a in (1, 2)", True), ("a notin (1)", False), ("a", True), ("!a", False), ("b", False)]


@pytest.mark.parametrize(("selector", "found"), SELECTORS)
async def test_lists_know_label_selectors(server: ArgoCDServer, selector: str, found: bool) -> None:
    name = server.unique("labelled")
    repository = server.create_repository(name)
    repository.commit({"deploy/cm.json": config_map(name, "1")}, "good")
    await server.create_app(name, repository, metadata={"labels": {"a": "1"}})

    items = await server.session.get(
        f"{server.url}/api/v1/applications", params={"selector": selector}, headers={"Authorization": f"Bearer {server.tokens['admin']}"}
    )
    assert bool((await items.json())["items"]) is found


async def test_a_broken_selector_is_an_unknown_error(server: ArgoCDServer) -> None:
    answer = await server.call("GET", "/api/v1/applications?selector=a=b=c")

    assert (answer.status, answer.body["code"]) == (500, 2)
    assert answer.body["message"].startswith("error parsing the selector: ")


async def test_deleting_with_cascade_takes_the_resources_along(sandbox: SandboxArgoCD, server: ArgoCDServer) -> None:
    release = await released(server)

    await server.must("DELETE", f"/api/v1/applications/{release.name}")

    async def gone() -> bool:
        return (await server.call("GET", f"/api/v1/applications/{release.name}?project=default")).status == 404

    await server.until(gone, "the deletion")
    assert sandbox.cluster.tracked_by(release.name) == {}


async def test_creating_twice_needs_upsert_when_the_spec_differs(server: ArgoCDServer) -> None:
    release = await released(server)
    app = await server.app(release.name)
    body = {"metadata": {"name": release.name}, "spec": app["spec"]}

    same = await server.call("POST", "/api/v1/applications", body, by="admin")
    body["spec"] |= {"revisionHistoryLimit": 3}
    other = await server.call("POST", "/api/v1/applications", body, by="admin")
    upsert = await server.call("POST", "/api/v1/applications?upsert=true", body, by="admin")

    assert same.status == 200
    assert other.error == (400, 3, "existing application spec is different, use upsert flag to force update")
    assert upsert.body["spec"]["revisionHistoryLimit"] == 3


async def test_a_project_says_what_it_lets_in(sandbox: SandboxArgoCD, server: ArgoCDServer) -> None:
    release = await released(server)
    spec = (await server.app(release.name))["spec"]
    path = f"/api/v1/applications/{release.name}/spec?validate=false"
    sandbox.projects.put("narrow", {"sourceRepos": ["file:///nowhere*"], "destinations": [{"server": "*", "namespace": "only"}]})
    sandbox.projects.put("place", {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "only"}]})

    repo = await server.call("PUT", path, spec | {"project": "narrow"}, by="admin")
    place = await server.call("PUT", path, spec | {"project": "place"}, by="admin")
    missing = await server.call("PUT", path, spec | {"project": "nosuch"}, by="admin")
    cluster = await server.call("PUT", path, spec | {"destination": {"server": "https://else"}}, by="admin")
    empty = await server.call("PUT", path, {name: value for name, value in spec.items() if name != "source"}, by="admin")

    assert "is not permitted in project 'narrow'" in repo.body["message"]
    assert "do not match any of the allowed destinations in project 'place'" in place.body["message"]
    assert missing.error == (400, 3, 'app is not allowed in project "nosuch", or the project does not exist')
    assert cluster.body["message"].startswith(f"application destination spec for {release.name} is invalid")
    assert "are required" in empty.body["message"]


async def test_waves_wait_for_health_and_a_broken_wave_ends_the_sync(server: ArgoCDServer) -> None:  # recording 26
    name = server.unique("waves")
    repository = server.create_repository(name)

    def wave(number: int, health: str = "Healthy") -> dict[str, Any]:
        return config_map(f"{name}-{number}", "1", health=health, annotations={"argocd.argoproj.io/sync-wave": str(number)})

    repository.commit({"deploy/1.json": wave(1, "Progressing"), "deploy/2.json": wave(2)}, "waits")
    await server.create_app(name, repository)
    await server.must("POST", f"/api/v1/applications/{name}/sync", {}, by="human")

    async def waits() -> bool:
        return bool((await server.app(name))["status"].get("operationState", {}).get("message") == f"waiting for healthy state of /ConfigMap/{name}-1")

    await server.until(waits, "the first wave")
    await server.must("DELETE", f"/api/v1/applications/{name}/operation")
    await server.settled(name)
    repository.commit({"deploy/1.json": wave(1, "Degraded"), "deploy/2.json": wave(2)}, "breaks")
    broken = (await server.sync(name))["status"]["operationState"]
    repository.commit({"deploy/1.json": wave(1), "deploy/2.json": wave(2)}, "works")
    good = (await server.sync(name))["status"]["operationState"]

    assert (broken["phase"], broken["message"]) == ("Failed", "one or more synchronization tasks completed unsuccessfully")
    assert (good["phase"], len(good["syncResult"]["resources"])) == ("Succeeded", 2)


async def test_hooks_run_around_the_sync_and_go_when_told_to(sandbox: SandboxArgoCD, server: ArgoCDServer) -> None:  # recording 14
    name = server.unique("hooks")
    repository = server.create_repository(name)

    def hook(phase: str, policy: str) -> dict[str, Any]:
        return config_map(f"{name}-{phase.lower()}", "1", annotations={"argocd.argoproj.io/hook": phase, "argocd.argoproj.io/hook-delete-policy": policy})

    files = {"deploy/a.json": hook("PreSync", "HookSucceeded"), "deploy/b.json": hook("PostSync", "BeforeHookCreation"), "deploy/c.json": config_map(name, "1")}
    repository.commit(files, "hooks")
    await server.create_app(name, repository)

    app = await server.sync(name)

    rows = app["status"]["operationState"]["syncResult"]["resources"]
    assert [(row["syncPhase"], row.get("hookType"), row["hookPhase"]) for row in rows if row["kind"] == "ConfigMap"] == [
        ("PreSync", "PreSync", "Succeeded"),
        ("Sync", None, "Succeeded"),
        ("PostSync", "PostSync", "Succeeded"),
    ]
    assert sorted(key.name for key in sandbox.cluster.tracked_by(name)) == [name, f"{name}-postsync"]
    assert app["status"]["sync"]["status"] == "Synced"
    hooks = [row for row in app["status"]["resources"] if row.get("hook")]
    assert [("status" in row, row["name"]) for row in hooks] == [(False, f"{name}-postsync")]


async def test_a_confirmed_prune_goes_on(server: ArgoCDServer, clock: TurnableClock) -> None:  # recording 24
    asking = config_map("asking", "1", annotations={"argocd.argoproj.io/sync-options": "Prune=confirm"})
    release = await server.release("web", extra={"deploy/asking.json": asking})
    await server.rollback(release.name, id=0, prune=True)

    async def waits() -> bool:
        message = (await server.app(release.name))["status"].get("operationState", {}).get("message")
        return bool(message == "Waiting for pruning confirmation of v1/ConfigMap/asking")

    await server.until(waits, "the question")
    clock.forward(seconds=5)
    approve = {"metadata": {"annotations": {"argocd.argoproj.io/deletion-approved": "2026-03-04T12:00:05Z"}}}
    await server.must("PATCH", f"/api/v1/applications/{release.name}", {"patch": json.dumps(approve), "patchType": "merge"})

    state = (await server.settled(release.name))["status"]["operationState"]
    assert state["phase"] == "Succeeded"
    assert {row["name"]: row["status"] for row in state["syncResult"]["resources"]}["asking"] == "Pruned"


async def test_children_of_a_replacing_parent_lose_the_switch_at_its_next_sync(server: ArgoCDServer) -> None:  # recording 10
    parent, child = server.unique("parent"), server.unique("child")
    outer, inner = server.create_repository(parent), server.create_repository(child)
    inner.commit({"deploy/cm.json": config_map(child, "1")}, "good")
    spec: dict[str, Any] = {
        "project": "default",
        "source": {"repoURL": inner.url, "path": "deploy", "targetRevision": "main"},
        "destination": {"server": "https://kubernetes.default.svc", "namespace": child},
        "syncPolicy": {"automated": {"prune": True}, "syncOptions": ["CreateNamespace=true"]},
    }
    about = {"name": child, "namespace": "argocd", "annotations": {"argocd.argoproj.io/sync-options": "Replace=true"}}
    manifest = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": about, "spec": spec}
    outer.commit({"deploy/child.json": manifest}, "child")
    await server.create_app(parent, outer, destination={"server": "https://kubernetes.default.svc", "namespace": "argocd"})
    await server.sync(parent)
    await server.set_auto(child, {"enabled": False})
    assert (await server.app(parent, "?refresh=hard"))["status"]["sync"]["status"] == "Synced"

    outer.commit({"deploy/child.json": manifest | {"spec": spec | {"info": [{"name": "a", "value": "b"}]}}}, "another change")
    await server.sync(parent)

    assert (await server.app(child))["spec"]["syncPolicy"]["automated"] == {"prune": True}
