"""Sync windows of a project: what the endpoint says, whom they stop, until when (recordings 08, 09)."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from integrations.delivery.argocd import windows as reading
from tests.contract.argocd.server import ArgoCDServer, Json, Release, config_map

ALWAYS = {"schedule": "* * * * *", "duration": "1h", "applications": ["*"]}
NEVER = {"schedule": "0 0 29 2 1", "duration": "1m", "applications": ["*"]}
DENY = {"kind": "deny", **ALWAYS}
ALLOW = {"kind": "allow", **ALWAYS}
SHUT = {"kind": "allow", **NEVER}


async def release_with(server: ArgoCDServer, *windows: Json) -> Release:
    project = server.unique("windows")
    await server.create_project(project)
    release = await server.release("window", spec={"project": project})
    await put(server, release, *windows)
    return release


async def put(server: ArgoCDServer, release: Release, *windows: Json) -> None:
    """These windows and no others are from now on those of the release's project."""
    project = (await server.app(release.name))["spec"]["project"]
    await server.create_project(project, syncWindows=list(windows))

    async def known() -> bool:
        answer = await server.must("GET", f"/api/v1/projects/{project}")
        told = await server.must("GET", f"/api/v1/applications/{release.name}/syncwindows")
        return len(answer["spec"].get("syncWindows") or []) == len(told.get("assignedWindows") or []) == len(windows)

    await server.until(known, "the windows")


async def test_a_deny_window_is_told_stops_syncs_and_blocks_a_rollback_that_was_accepted(server: ArgoCDServer) -> None:  # recording 08
    release = await release_with(server, DENY)
    path = f"/api/v1/applications/{release.name}"
    shown = {"kind": "deny", "schedule": "* * * * *", "duration": "1h", "manualSync": False}

    windows = await server.call("GET", f"{path}/syncwindows")
    sync = await server.call("POST", f"{path}/sync", {})
    rollback = await server.rollback(release.name, id=0)

    async def blocked() -> bool:
        return bool((await server.app(release.name))["status"].get("operationState", {}).get("message") == "Sync operation blocked by sync window")

    await server.until(blocked, "the blocked operation")
    second = await server.rollback(release.name, id=0)
    terminate = await server.call("DELETE", f"{path}/operation")
    app = await server.app(release.name)

    assert windows.body == {"activeWindows": [shown], "assignedWindows": [shown], "canSync": False}
    assert sync.error == (403, 7, "cannot sync: blocked by sync window")
    assert (rollback.status, terminate.status, terminate.body) == (200, 200, {})
    assert second.error == (400, 9, "another operation is already in progress")
    assert (app["status"]["operationState"]["phase"], "operation" in app) == ("Terminating", True)

    await server.create_project(app["spec"]["project"])
    ended = await server.settled(release.name)
    assert (ended["status"]["operationState"]["phase"], ended["status"]["operationState"]["message"]) == ("Failed", "Operation terminated")
    assert len(ended["status"]["history"]) == 2


async def test_a_blocked_rollback_fires_when_the_window_goes(server: ArgoCDServer) -> None:  # recording 08
    release = await release_with(server, DENY)
    await server.rollback(release.name, id=0)

    async def blocked() -> bool:
        return bool((await server.app(release.name))["status"].get("operationState", {}).get("message") == "Sync operation blocked by sync window")

    await server.until(blocked, "the blocked operation")
    await server.create_project((await server.app(release.name))["spec"]["project"])
    app = await server.settled(release.name)

    assert app["status"]["operationState"]["phase"] == "Succeeded"
    assert [entry["revision"] for entry in app["status"]["history"]] == [release.good, release.bad, release.good]


async def test_a_window_that_closes_while_an_operation_runs_holds_it_up_until_it_opens(server: ArgoCDServer) -> None:
    release = await release_with(server)
    project = (await server.app(release.name))["spec"]["project"]
    hook = config_map(f"{release.name}-hook", "1", health="Progressing", annotations={"argocd.argoproj.io/hook": "PreSync"})
    release.repository.commit({"deploy/cm.json": config_map(release.name, "3"), "deploy/hook.json": hook}, "waits for a hook")
    await server.app(release.name, "?refresh=normal")
    await server.must("POST", f"/api/v1/applications/{release.name}/sync", {}, by="human")

    async def says(words: str) -> bool:
        return str((await server.app(release.name))["status"].get("operationState", {}).get("message", "")).startswith(words)

    await server.until(lambda: says("waiting for completion of hook"), "the hook")
    await server.create_project(project, syncWindows=[DENY])
    await server.until(lambda: says("Sync operation blocked by sync window"), "the block")
    await server.create_project(project)
    await server.until(lambda: says("waiting for completion of hook"), "the hook again")

    assert (await server.call("DELETE", f"/api/v1/applications/{release.name}/operation")).status == 200
    assert (await server.settled(release.name))["status"]["operationState"]["phase"] == "Failed"


async def test_a_rollback_that_a_window_catches_half_done_and_that_is_told_to_end_leaves_what_it_applied(server: ArgoCDServer) -> None:
    project, name = server.unique("windows"), server.unique("half")
    await server.create_project(project)
    repository = server.create_repository(name)

    def files(version: str) -> dict[str, Json | str]:
        second = config_map("second", version, annotations={"argocd.argoproj.io/sync-wave": "1"})
        return {"deploy/first.json": config_map("first", version), "deploy/second.json": second}

    good = repository.commit(files("1"), "good")
    await server.create_app(name, repository, project=project)
    await server.sync(name)
    bad = repository.commit(files("2"), "bad")
    await server.app(name, "?refresh=normal")
    await server.sync(name)

    async def says(words: str) -> bool:
        return str((await server.app(name))["status"].get("operationState", {}).get("message", "")).startswith(words)

    async def is_live(version: str) -> bool:
        items = (await server.must("GET", f"/api/v1/applications/{name}/managed-resources"))["items"]
        return {item["name"]: json.loads(item["liveState"])["data"]["v"] for item in items} == {"first": version, "second": "2"}

    assert (await server.edit_live(name, "ConfigMap", {"data": {"health": "Progressing"}}, object_name="first")).status == 200
    assert (await server.rollback(name, id=0)).status == 200
    await server.until(lambda: says("waiting for healthy state of /ConfigMap/first"), "the first wave")
    await server.create_project(project, syncWindows=[DENY])
    await server.until(lambda: says("Sync operation blocked by sync window"), "the block")
    assert (await server.call("DELETE", f"/api/v1/applications/{name}/operation")).status == 200
    assert (await server.edit_live(name, "ConfigMap", {"data": {"health": "Healthy"}}, object_name="first")).status == 200
    await server.until(lambda: is_live("1"), "the first wave to show")
    held_up = await server.app(name)
    await server.create_project(project)
    app = await server.settled(name)

    assert (held_up["status"]["operationState"]["phase"], "operation" in held_up) == ("Terminating", True)
    assert (app["status"]["operationState"]["phase"], app["status"]["operationState"]["message"]) == ("Failed", "Operation terminated")
    assert [entry["revision"] for entry in app["status"]["history"]] == [good, bad]
    assert await is_live("1")


RULES = [
    pytest.param([{**DENY, "manualSync": True}], True, id="deny-manual"),
    pytest.param([{**DENY, "manualSync": True, "duration": "2h"}, DENY], False, id="deny-manual-and-deny"),
    pytest.param([SHUT], False, id="allow-inactive"),
    pytest.param([{**SHUT, "manualSync": True}], True, id="allow-inactive-manual"),
    pytest.param([ALLOW], True, id="allow-active"),
    pytest.param([ALLOW, DENY], False, id="allow-active-and-deny"),
    pytest.param([{**DENY, "applications": ["someone-else"], "namespaces": ["window-*"]}], False, id="deny-by-namespace"),
]


@pytest.mark.parametrize(("windows", "free"), RULES)
async def test_the_endpoint_and_the_sync_call_agree(server: ArgoCDServer, windows: list[Json], free: bool) -> None:  # recording 09
    release = await release_with(server, *windows)
    path = f"/api/v1/applications/{release.name}"

    told = (await server.call("GET", f"{path}/syncwindows")).body
    sync = await server.call("POST", f"{path}/sync", {"dryRun": True})

    assert told["canSync"] is free
    assert len(told["assignedWindows"]) == len(windows)
    assert sync.status == (200 if free else 403)


async def test_where_manual_syncs_are_allowed_a_rollback_goes_through(server: ArgoCDServer) -> None:  # recording 09
    release = await release_with(server, {**DENY, "manualSync": True})

    async with server.watching(f"name={release.name}") as seen:
        await server.rollback(release.name, id=0)
        app = await server.settled(release.name)

        async def blocked() -> bool:
            messages = [message["application"]["status"].get("operationState", {}).get("message") for message in seen]
            return "Sync operation blocked by sync window" in messages

        await server.until(blocked, "a sight of the block")  # one is no reason to give up

    assert app["status"]["operationState"]["phase"] == "Succeeded"


async def test_two_windows_of_one_schedule_are_refused(server: ArgoCDServer) -> None:
    name = server.unique("double")
    spec = {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}], "syncWindows": [DENY, {**DENY, "manualSync": True}]}

    answer = await server.call("POST", "/api/v1/projects", {"project": {"metadata": {"name": name}, "spec": spec}}, by="admin")

    assert (answer.status, answer.body["code"]) == (409, 6)
    assert answer.body["message"].startswith("sync window with kind 'deny', schedule '* * * * *', and duration '1h' already exists (hash=")


async def test_a_project_without_windows_leaves_the_lists_out(server: ArgoCDServer) -> None:  # recording 09
    release = await server.release("free")

    assert (await server.call("GET", f"/api/v1/applications/{release.name}/syncwindows")).body == {"canSync": True}
    assert (await server.call("GET", "/api/v1/projects/default/syncwindows")).body == {}


async def read(server: ArgoCDServer, release: Release) -> tuple[bool, datetime | None]:
    """Whether a sync may run, by the server; and when that changes, as Backout works it out from what the server and the project say."""
    told = await server.must("GET", f"/api/v1/applications/{release.name}/syncwindows")
    project = (await server.app(release.name))["spec"]["project"]
    whole = (await server.must("GET", f"/api/v1/projects/{project}"))["spec"]["syncWindows"]
    found = reading.sync_windows(told["assignedWindows"], whole)
    return told["canSync"], reading.changes_at(found, server.now(), free=told["canSync"])


@pytest.mark.parametrize(("kind", "open_at_first"), [("allow", True), ("deny", False)])
async def test_a_window_ends_at_the_moment_that_was_worked_out(server: ArgoCDServer, kind: str, open_at_first: bool) -> None:
    release = await release_with(server)
    began = server.now()
    for_so_long = began.second + 12
    schedule = f"{began.minute} {began.hour} * * *"
    await put(server, release, {"kind": kind, "schedule": schedule, "duration": f"{for_so_long}s", "applications": ["*"]})

    first, until = await read(server, release)
    assert (first, until) == (open_at_first, began.replace(second=0, microsecond=0) + timedelta(seconds=for_so_long))
    assert until is not None
    await asyncio.sleep((until - server.now()).total_seconds() - 0.5)
    found = (await read(server, release))[0]
    before = found if server.now() < until else open_at_first  # what a slow machine reads too late tells nothing
    await asyncio.sleep(max(0.0, (until - server.now()).total_seconds()) + 0.5)

    assert (before, (await read(server, release))[0]) == (open_at_first, not open_at_first)


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York", "Europe/Berlin", ""])
async def test_a_schedule_is_read_in_the_time_zone_that_the_project_names_and_the_application_does_not(server: ArgoCDServer, zone: str) -> None:
    here = server.now().astimezone(ZoneInfo(zone or "UTC"))
    begins = here - timedelta(minutes=5)
    window = {"kind": "deny", "schedule": f"{begins.minute} {begins.hour} * * *", "duration": "30m", "applications": ["*"]}
    release = await release_with(server, window | ({"timeZone": zone} if zone else {}))

    told = await server.must("GET", f"/api/v1/applications/{release.name}/syncwindows")

    assert set(told["assignedWindows"][0]) == {"kind", "schedule", "duration", "manualSync"}
    assert await read(server, release) == (False, begins.replace(second=0, microsecond=0).astimezone(UTC) + timedelta(minutes=30))


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("@daily", "parser does not accept descriptors: @daily"),
        ("0 9 * *", "expected exactly 5 fields, found 4: [0 9 * *]"),
        ("0 9 * * 7", "end of range (7) above maximum (6): 7"),
        ("0 9 L * *", 'failed to parse int from L: strconv.Atoi: parsing "L": invalid syntax'),
    ],
)
async def test_a_schedule_has_five_fields_and_no_nickname(server: ArgoCDServer, schedule: str, words: str) -> None:
    everything = {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}]}
    spec = {**everything, "syncWindows": [{"kind": "deny", "schedule": schedule, "duration": "1h", "applications": ["*"]}]}

    answer = await server.call("POST", "/api/v1/projects", {"project": {"metadata": {"name": server.unique("odd")}, "spec": spec}}, by="admin")

    assert answer.error == (500, 2, f"error validating project: cannot parse schedule '{schedule}': {words}")
