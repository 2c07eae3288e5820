"""The traps of Gate and Orca that take an outage, a cloud or a right to be seen (contract 1, 2.6, 7, 9): on the sandbox alone, each from a recording."""

import asyncio
import base64
import json

import aiohttp

from integrations.sandbox.gate.access import User
from integrations.sandbox.gate.settings import Outage, Profile
from tests.contract.spinnaker.driver import Json, Spinnaker, judge, sandboxed, unique, wait

PLACE = {"cloudProvider": "kubernetes", "account": "k8s", "location": "ns", "manifestName": "deployment web"}


def web(one: Spinnaker, *tags: int) -> None:
    """A Deployment that ran these images one after the other."""
    for tag in tags:
        one.inside.kubernetes.runs(one.app, account="k8s", namespace="ns", name="web", image=f"registry/app:{tag}")


def cluster(one: Spinnaker, region: str = "us-east-1") -> None:
    """v000 disabled behind v001, of which nothing is good."""
    groups = one.inside.groups
    groups.runs(one.app, cluster="web-main", image="ami-6", region=region, disabled=True)
    groups.runs(one.app, cluster="web-main", image="ami-7", region=region, capacity=(3, 5, 3))


def enabled(one: Spinnaker) -> list[str]:
    """The names of the groups that have traffic."""
    return [group.name for group in one.inside.groups.all if not group.disabled]


async def test_what_orca_refuses_is_200_with_nothing_for_a_pipeline_and_an_error_for_a_task(sandbox: Spinnaker) -> None:  # recording 09f
    task = await sandbox.task(wait(1))
    for status in (403, 429, 500, 503):
        sandbox.inside.faults.orca = Outage(status=status)
        pipeline = await sandbox.call("GET", "/pipelines/01X")
        assert (pipeline.status, pipeline.body, pipeline.headers["content-length"]) == (200, None, "0")
        assert (await sandbox.call("GET", f"/tasks/{task}")).status == status


async def test_nothing_may_be_answered_although_all_is_well(sandbox: Spinnaker) -> None:
    name = unique("short")
    await sandbox.save(name, [wait(1)], fresh=True)
    execution = await sandbox.run(name)
    sandbox.inside.faults.answer_with_nothing = 2
    answers = [await sandbox.call("GET", f"/pipelines/{execution}") for _ in range(3)]

    assert [(one.status, one.body is None) for one in answers] == [(200, True), (200, True), (200, False)]


async def test_a_lost_answer_is_not_a_lost_request(sandbox: Spinnaker) -> None:
    sandbox.inside.faults.lose_answers = 1
    key, body = unique("rb"), {"application": sandbox.app, "description": "d", "job": [wait(1)]}
    try:
        await sandbox.call("POST", "/tasks", {**body, "trigger": {"correlationId": key}})
        lost = False
    except aiohttp.ClientError:
        lost = True
    listed = await sandbox.call("GET", f"/applications/{sandbox.app}/tasks", limit="10")

    assert lost
    assert [one["execution"]["trigger"]["correlationId"] for one in listed.body] == [key]


async def test_a_start_through_echo_with_an_id_that_is_in_use_answers_a_ref_that_never_exists(sandbox: Spinnaker) -> None:  # contract 9
    name, key = unique("long"), unique("rb")
    await sandbox.save(name, [wait(600)])
    path = f"/pipelines/v2/{sandbox.app}/{name}"
    first = await sandbox.call("POST", path, {"type": "manual", "correlationId": key})
    await asyncio.sleep(2)
    again = await sandbox.call("POST", path, {"type": "manual", "correlationId": key})
    await asyncio.sleep(60)

    assert (await sandbox.call("GET", first.body["ref"])).status == 200
    assert (again.status, (await sandbox.call("GET", again.body["ref"])).status) == (202, 404)


async def test_echo_drops_what_it_does_not_know_and_adds_its_own(sandbox: Spinnaker) -> None:  # recording 15a
    name = unique("short")
    await sandbox.save(name, [wait(1)])
    answer = await sandbox.call("POST", f"/pipelines/v2/{sandbox.app}/{name}", {"type": "manual", "rollbackId": "dropped", "payload": {"kept": 1}})
    await asyncio.sleep(2)
    trigger = (await sandbox.get(answer.body["ref"].rpartition("/")[2]))["trigger"]

    assert ("rollbackId" in trigger, trigger["payload"], trigger["enabled"], trigger["eventId"]) == (False, {"kept": 1}, False, answer.body["eventId"])


async def test_an_event_may_be_lost_or_end_in_a_run_of_another_id(sandbox: Spinnaker) -> None:
    name = unique("short")
    await sandbox.save(name, [wait(1)])
    path = f"/pipelines/v2/{sandbox.app}/{name}"
    sandbox.inside.faults.lose_triggers = 1
    lost = await sandbox.call("POST", path, {"type": "manual"})
    sandbox.inside.faults.start_elsewhere = 1
    other = await sandbox.call("POST", path, {"type": "manual"})
    await asyncio.sleep(90)
    query = {"eventId": other.body["eventId"], "size": "200", "triggerTimeStartBoundary": "1"}
    found = await sandbox.call("GET", f"/applications/{sandbox.app}/executions/search", headers=None, **query)

    assert [(await sandbox.call("GET", one.body["ref"])).status for one in (lost, other)] == [404, 404]
    assert [one["status"] for one in found.body] == ["TERMINAL"]


async def test_a_dry_run_is_real_unless_orca_was_set_up_for_it(sandbox: Spinnaker) -> None:
    web(sandbox, 1, 2)
    undo = {**PLACE, "type": "undoRolloutManifest", "name": "Undo", "refId": "1", "requisiteStageRefIds": [], "revision": 1}
    await sandbox.save("undo", [undo], fresh=True)
    await sandbox.until_ended(await sandbox.run("undo", dryRun=True))

    assert sandbox.inside.kubernetes.workloads[0].live.images == ["registry/app:1"]


async def test_without_gates_own_jobs_nobody_sees_an_application_or_account() -> None:  # contract 2.6 (11)
    async with sandboxed(Profile(caches=False)) as one:
        assert (await one.call("GET", "/applications")).body == []
        assert (await one.call("GET", "/credentials")).body == []
        assert (await one.call("GET", "/health", downstreamServices="true", checkDownstreamServices="true")).body == {"status": "UP"}


async def test_parallel_starts_with_one_correlation_id_run_more_than_once(sandbox: Spinnaker) -> None:  # recording 20b
    key, body = unique("rb"), {"application": sandbox.app, "description": "d", "job": [wait(60)]}
    answers = await asyncio.gather(*(sandbox.call("POST", "/tasks", {**body, "trigger": {"correlationId": key}}) for _ in range(6)))
    later = await sandbox.call("POST", "/tasks", {**body, "trigger": {"correlationId": key}})

    assert len({one.body["ref"] for one in answers}) > 1
    assert later.body["ref"] in {one.body["ref"] for one in answers}


async def test_on_redis_a_small_page_repeats_a_lonely_match_and_never_answers_without_one(sandbox: Spinnaker) -> None:  # recording 08b
    name = unique("short")
    await sandbox.save(name, [wait(1)], fresh=True)
    for number in range(6):
        await sandbox.until_ended(await sandbox.run(name, correlationId=f"rb-{number}"))

    async def search(key: str, size: int) -> list[str]:
        trigger = base64.b64encode(json.dumps({"correlationId": key}).encode()).decode()
        query = {"trigger": trigger, "size": str(size), "triggerTimeStartBoundary": "1"}
        answer = await sandbox.call("GET", f"/applications/{sandbox.app}/executions/search", headers=None, **query)
        return [one["trigger"]["correlationId"] for one in answer.body]

    try:
        async with asyncio.timeout(60):
            await search("none", 2)
        answered = True
    except TimeoutError:
        answered = False

    assert await search("rb-5", 2) == ["rb-5", "rb-5"]
    assert await search("none", 200) == []
    assert not answered


async def test_a_refused_undo_says_why_only_in_the_cloud_operation(sandbox: Spinnaker) -> None:  # recording 11c
    web(sandbox, 1, 2)
    ended = await sandbox.until_ended(await sandbox.task({**PLACE, "type": "undoRolloutManifest", "revision": 41}), "tasks")
    context = ended["execution"]["stages"][0]["context"]

    assert (ended["status"], "exception" in context) == ("TERMINAL", False)
    assert context["kato.tasks"][-1]["exception"]["message"].endswith("unable to find specified revision 41 in history")


async def test_an_undo_without_a_name_is_posted_all_the_same(sandbox: Spinnaker) -> None:  # recording 11h
    job = {name: value for name, value in PLACE.items() if name != "manifestName"}
    ended = await sandbox.until_ended(await sandbox.task({**job, "type": "undoRolloutManifest", "revision": 1}), "tasks")

    assert [one["name"] for one in sandbox.inside.clouddriver.posted] == ["undoRolloutManifest"]
    assert ended["execution"]["stages"][0]["context"]["exception"]["details"]["errors"] == ["null value in entry: manifest.name=null"]


async def test_an_undo_gives_the_revision_a_new_number_so_that_a_repeat_fails(sandbox: Spinnaker) -> None:
    web(sandbox, 1, 2, 3)
    first = await sandbox.until_ended(await sandbox.task({**PLACE, "type": "undoRolloutManifest", "revision": 1}), "tasks")
    second = await sandbox.until_ended(await sandbox.task({**PLACE, "type": "undoRolloutManifest", "revision": 1}), "tasks")
    manifest = await sandbox.call("GET", "/manifests/k8s/ns/deployment%20web")

    assert (first["status"], second["status"]) == ("SUCCEEDED", "TERMINAL")
    assert manifest.body["manifest"]["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "4"


async def test_caches_tell_of_the_past_while_a_manifest_is_live(sandbox: Spinnaker) -> None:
    web(sandbox, 1, 2)
    await asyncio.sleep(60)
    await sandbox.until_ended(await sandbox.task({**PLACE, "type": "undoRolloutManifest", "revision": 1}), "tasks")

    async def cached() -> list[int]:
        answer = await sandbox.call("GET", f"/applications/{sandbox.app}/serverGroupManagers")
        return [one["moniker"]["sequence"] for one in answer.body[0]["serverGroups"]]

    manifest = await sandbox.call("GET", "/manifests/k8s/ns/deployment%20web")
    early = await cached()
    await asyncio.sleep(60)

    assert manifest.body["artifacts"][0]["version"] == "1"
    assert (early, await cached()) == ([1, 2], [2, 3])


async def test_a_rolled_back_cluster_is_rolled_forward_by_the_same_job(sandbox: Spinnaker) -> None:  # recordings 12i and 12j
    cluster(sandbox)
    job = {"type": "rollbackCluster", "cloudProvider": "aws", "credentials": "prod", "regions": ["us-east-1"], "moniker": {"cluster": "web-main"}}
    job["additionalRollbackContext"] = {"enableAndDisableOnly": True}
    await sandbox.until_ended(await sandbox.task(job), "tasks")
    back = enabled(sandbox)
    await sandbox.until_ended(await sandbox.task(job), "tasks")

    assert (back, enabled(sandbox)) == (["web-main-v000"], ["web-main-v001"])


async def test_a_region_with_nothing_to_go_back_to_is_skipped_in_silence(sandbox: Spinnaker) -> None:  # recording 12i
    sandbox.inside.groups.runs(sandbox.app, cluster="web-main", image="ami-7", region="us-west-2")
    job = {"type": "rollbackCluster", "cloudProvider": "aws", "credentials": "prod", "regions": ["us-west-2"], "moniker": {"cluster": "web-main"}}
    ended = await sandbox.until_ended(await sandbox.task(job), "tasks")

    assert (ended["status"], ended["execution"]["stages"][0]["outputs"]) == ("SUCCEEDED", {"rollbackContexts": {}, "rollbackTypes": {}})


def explicit(**more: object) -> Json:
    """The job that goes back to v000 by name."""
    names = {"rollbackServerGroupName": "web-main-v001", "restoreServerGroupName": "web-main-v000", "targetHealthyRollbackPercentage": 100}
    place = {"cloudProvider": "aws", "credentials": "prod", "region": "us-east-1"}
    return {"type": "rollbackServerGroup", "rollbackType": "EXPLICIT", **place, "rollbackContext": {**names, **more}}


async def test_going_back_by_name_enables_before_it_disables_and_a_repeat_changes_nothing(sandbox: Spinnaker) -> None:  # recording 12c
    cluster(sandbox)
    first = await sandbox.until_ended(await sandbox.task(explicit()), "tasks")
    done = [one["name"] for one in sandbox.inside.clouddriver.posted]
    second = await sandbox.until_ended(await sandbox.task(explicit()), "tasks")

    assert (first["status"], second["status"], enabled(sandbox)) == ("SUCCEEDED", "SUCCEEDED", ["web-main-v000"])
    assert done == ["enableServerGroup", "resizeServerGroup", "disableServerGroup", "resizeServerGroup"]
    assert sandbox.inside.groups.find("web-main-v000", "prod", "us-east-1").capacity == {"min": 3, "max": 5, "desired": 3}  # type: ignore[union-attr]


async def test_a_slow_look_up_fails_before_anything_was_posted(sandbox: Spinnaker) -> None:  # recording 12d
    cluster(sandbox)
    sandbox.inside.faults.lookups_are_slow = True
    ended = await sandbox.until_ended(await sandbox.task(explicit()), "tasks")
    message = ended["execution"]["stages"][0]["context"]["exception"]["details"]["errors"][0]

    assert (ended["status"], message.startswith("Failed Clouddriver look up for web-main-v001 in 5 sec.")) == ("TERMINAL", True)
    assert list(sandbox.inside.clouddriver.posted) == []


async def test_a_guarded_cluster_keeps_its_last_group_with_traffic(sandbox: Spinnaker) -> None:
    cluster(sandbox)
    sandbox.inside.groups.has_a_traffic_guard(cluster="web-main", account="prod", region="us-east-1")
    ended = await sandbox.until_ended(await sandbox.task(explicit(disableOnly=True)), "tasks")

    assert (ended["status"], enabled(sandbox)) == ("TERMINAL", ["web-main-v001"])
    refused = ended["execution"]["stages"][-1]["context"]["exception"]
    words = "This cluster ('web-main' in prod/us-east-1) has traffic guards enabled. Disabling [web-main-v001] would leave the cluster with no instances up."
    assert (refused["exceptionType"], refused["details"]["errors"]) == ("TrafficGuardException", [words])


async def test_a_killed_orca_leaves_a_run_standing_for_ten_minutes(sandbox: Spinnaker) -> None:  # recording 09e
    task = await sandbox.task(wait(5))
    await sandbox.until_status(task, "RUNNING", kind="tasks")
    sandbox.inside.orca_is_killed()
    await asyncio.sleep(20)
    down = await sandbox.call("GET", f"/tasks/{task}")
    sandbox.inside.orca_is_started_again()
    await asyncio.sleep(500)
    standing = await sandbox.get(task, "tasks")

    assert (down.status, down.message.startswith("java.net.ConnectException: Failed to connect to")) == (500, True)
    assert standing["status"] == "RUNNING"
    assert (await sandbox.until_ended(task, "tasks", 200))["status"] == "SUCCEEDED"


async def test_a_judgment_of_somebody_without_the_role_is_forgotten(sandbox: Spinnaker) -> None:
    sandbox.inside.add_user(User(name="anonymous", roles=["guests"]))
    await sandbox.save("judge", [judge(requiredJudgmentRoles=["chiefs"])], fresh=True)
    execution = await sandbox.run("judge")
    stage = (await sandbox.until_stage(execution, "1", "RUNNING"))["id"]
    await sandbox.call("PATCH", f"/pipelines/{execution}/stages/{stage}", {"judgmentStatus": "continue"})
    await asyncio.sleep(5)
    run = await sandbox.get(execution)

    assert (run["status"], run["stages"][0]["context"]["judgmentStatus"]) == ("RUNNING", "")


async def test_a_backends_limit_comes_with_a_reset_in_1970() -> None:  # contract 2.4
    async with sandboxed(Profile(capacity=60)) as one:
        one.inside.faults.orca = Outage(status=429, message="slow down")
        answer = await one.call("GET", "/tasks/nope")

        assert (answer.status, answer.headers["x-ratelimit-capacity"], answer.headers["x-ratelimit-remaining"]) == (429, "-1", "0")
        assert "1970" in answer.headers["x-ratelimit-reset"]
        assert "retry-after" not in answer.headers


async def test_a_right_that_is_lost_makes_runs_vanish_instead_of_saying_so() -> None:  # recording 21
    async with sandboxed(Profile(auth="header", fiat=True)) as one:
        rights = {right: {one.app} for right in ("READ", "WRITE", "EXECUTE")}
        one.inside.add_user(User(name="bot", rights=rights, accounts={"k8s"}))
        one.headers = {"X-SPINNAKER-USER": "bot"}
        await one.save("long", [wait(600)], fresh=True)
        execution = await one.run("long")
        one.inside.access.takes_away("bot", "READ", one.app)
        answer = await one.call("GET", f"/pipelines/{execution}")
        listed = await one.call("GET", "/executions", executionIds=execution)

        assert (answer.status, answer.body) == (200, None)
        assert (listed.status, listed.body) == (200, [])


async def test_a_task_is_accepted_from_somebody_who_may_not_touch_the_account() -> None:  # contract 1.5
    async with sandboxed(Profile(auth="header", fiat=True)) as one:
        one.inside.add_user(User(name="bot", rights={"READ": {one.app}}))
        one.headers = {"X-SPINNAKER-USER": "bot"}
        web(one, 1, 2)
        ended = await one.until_ended(await one.task({**PLACE, "type": "undoRolloutManifest", "revision": 1}), "tasks")

        assert (ended["status"], ended["execution"]["stages"][0]["context"]["exception"]["details"]["status"]) == ("TERMINAL", 403)


async def test_lists_forget_what_is_older_than_fourteen_days_if_there_is_newer(sandbox: Spinnaker) -> None:
    await sandbox.save("short", [wait(1)], fresh=True)
    old = [await sandbox.until_ended(await sandbox.run("short", correlationId=f"rb-{number}")) for number in range(3)]
    path = f"/applications/{sandbox.app}/pipelines"
    for run in sandbox.inside.executions:
        run.execution |= {name: run.execution[name] - 15 * 86_400_000 for name in ("buildTime", "startTime", "endTime")}
    alone = await sandbox.call("GET", path, limit="10")
    new = await sandbox.until_ended(await sandbox.run("short"))
    beside = await sandbox.call("GET", path, limit="10")

    assert {one["id"] for one in alone.body} == {one["id"] for one in old[1:]}
    assert [one["id"] for one in beside.body] == [new["id"]]
