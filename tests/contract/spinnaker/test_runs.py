"""How Gate starts, shows and controls runs (contract 2.6, 3, 5): the same assertions on the sandbox with either store and on a real Gate."""

import asyncio
import base64
import json
from typing import Any

from integrations.sandbox.gate.ids import Ids
from tests.contract.spinnaker.driver import Answer, Spinnaker, judge, unique, wait


def own_id() -> str:
    """An execution id of our own choice."""
    return Ids().ulid(1_900_000_000_000)


async def start(spinnaker: Spinnaker, execution: str, *, seconds: int = 1, **more: Any) -> Answer:
    """`POST /pipelines/start` of a map of our own."""
    trigger = {"type": "manual", **more.pop("trigger", {})}
    body = {"application": spinnaker.app, "name": "adhoc", "executionId": execution, "id": "00000000-0000-4000-8000-000000000099"}
    answer = await spinnaker.call("POST", "/pipelines/start", {**body, "stages": [wait(seconds)], "trigger": trigger, **more})
    if answer.status == 200 and "ref" in answer.body:
        spinnaker.noted(answer)
    return answer


async def test_a_run_can_be_read_as_soon_as_its_start_was_answered_and_keeps_what_it_was_given(spinnaker: Spinnaker) -> None:
    name = unique("plain")
    await spinnaker.save(name, [wait(1)])
    execution = await spinnaker.run(name, correlationId=unique("rb"), rollbackId="kept", parameters={"undeclared": "kept"})

    first = await spinnaker.get(execution)
    ended = await spinnaker.until_ended(execution)

    assert first["status"] in {"NOT_STARTED", "RUNNING"}
    assert (first["trigger"]["rollbackId"], first["trigger"]["parameters"]) == ("kept", {"undeclared": "kept"})
    assert (ended["status"], ended["stages"][0]["status"]) == ("SUCCEEDED", "SUCCEEDED")


async def test_a_correlation_id_belongs_to_every_pipeline_until_its_run_is_over_and_then_to_nobody(spinnaker: Spinnaker) -> None:
    one, other, key = unique("one"), unique("other"), unique("rb")
    await spinnaker.save(one, [wait(2)], fresh=True)
    await spinnaker.save(other, [wait(2)], fresh=True)
    first = await spinnaker.run(one, correlationId=key)
    again = await spinnaker.run(one, correlationId=key)
    elsewhere = await spinnaker.run(other, correlationId=key)
    task = await spinnaker.task(wait(1), trigger={"type": "manual", "correlationId": key})
    await spinnaker.until_ended(first)
    after = await spinnaker.run(one, correlationId=key)

    assert again == elsewhere == first
    assert task != first
    assert after != first


async def test_a_cancelled_run_is_running_for_a_moment_and_force_makes_no_difference(spinnaker: Spinnaker) -> None:
    name = unique("long")
    await spinnaker.save(name, [wait(600)], fresh=True)
    execution = await spinnaker.run(name)
    await spinnaker.until_stage(execution, "1", "RUNNING")
    answer = await spinnaker.call("PUT", f"/pipelines/{execution}/cancel", reason="because", force="true")
    now = await spinnaker.get(execution)
    ended = await spinnaker.until_ended(execution)

    assert (answer.status, answer.body) == (200, None)
    assert (now["status"], now["canceled"]) == ("RUNNING", True)
    assert (ended["status"], ended["cancellationReason"]) == ("CANCELED", "because")


async def test_cancelling_what_is_over_rewrites_it_and_the_status_alone_says_the_truth(spinnaker: Spinnaker) -> None:
    name = unique("short")
    await spinnaker.save(name, [wait(1)], fresh=True)
    execution = await spinnaker.run(name)
    await spinnaker.until_ended(execution)
    for reason in ("late", "later"):
        answer = await spinnaker.call("PUT", f"/pipelines/{execution}/cancel", reason=reason)
        assert (answer.status, answer.body) == (200, None)
    ended = await spinnaker.get(execution)

    assert (ended["status"], ended["canceled"], ended.get("cancellationReason")) == ("SUCCEEDED", True, "later")


async def test_pausing_and_resuming_answer_200_whether_or_not_anything_happened(spinnaker: Spinnaker) -> None:
    name = unique("long")
    await spinnaker.save(name, [wait(600)], fresh=True)
    execution = await spinnaker.run(name)
    await spinnaker.until_stage(execution, "1", "RUNNING")
    illegal = await spinnaker.call("PUT", f"/pipelines/{execution}/resume")
    await spinnaker.call("PUT", f"/pipelines/{execution}/pause")
    paused = await spinnaker.until_status(execution, "PAUSED")
    await spinnaker.until_stage(execution, "1", "PAUSED")
    await spinnaker.call("PUT", f"/pipelines/{execution}/resume")
    await spinnaker.until_stage(execution, "1", "RUNNING")
    await spinnaker.call("PUT", f"/pipelines/{execution}/cancel")
    ended = await spinnaker.until_ended(execution)
    late = await spinnaker.call("PUT", f"/pipelines/{execution}/pause")

    assert (illegal.status, late.status) == (200, 200)
    assert paused["paused"]["paused"] is True
    assert ended["paused"]["paused"] is False
    assert (await spinnaker.get(execution))["status"] == "CANCELED"


async def test_a_paused_run_can_be_cancelled(spinnaker: Spinnaker) -> None:
    name = unique("long")
    await spinnaker.save(name, [wait(600)], fresh=True)
    execution = await spinnaker.run(name)
    await spinnaker.until_stage(execution, "1", "RUNNING")
    await spinnaker.call("PUT", f"/pipelines/{execution}/pause")
    await spinnaker.until_status(execution, "PAUSED")
    await spinnaker.call("PUT", f"/pipelines/{execution}/cancel")

    assert (await spinnaker.until_ended(execution))["status"] == "CANCELED"


async def test_a_judgment_is_any_word_and_only_two_of_them_end_the_stage(spinnaker: Spinnaker) -> None:
    name = unique("judge")
    await spinnaker.save(name, [judge(failPipeline=True), wait(1, "2", "1")], fresh=True)
    execution = await spinnaker.run(name)
    stage = (await spinnaker.until_stage(execution, "1", "RUNNING"))["id"]
    path = f"/pipelines/{execution}/stages"
    by_ref = await spinnaker.call("PATCH", f"{path}/1", {"judgmentStatus": "stop"})
    unknown = await spinnaker.call("PATCH", f"/pipelines/nope/stages/{stage}", {"judgmentStatus": "stop"})
    nothing = await spinnaker.call("PATCH", f"{path}/{stage}")
    word = await spinnaker.call("PATCH", f"{path}/{stage}", {"judgmentStatus": "banana"})
    await asyncio.sleep(3)
    waiting = await spinnaker.get(execution)
    await spinnaker.call("PATCH", f"{path}/{stage}", {"judgmentStatus": "STOP"})
    ended = await spinnaker.until_ended(execution)

    assert (by_ref.status, by_ref.message.startswith("Failed to process response body: No content to map")) == (500, True)
    assert (unknown.status, nothing.status, nothing.body["title"]) == (404, 400, "Bad Request")
    assert word.body["stages"][0]["context"]["judgmentStatus"] == "banana"
    assert waiting["status"] == "RUNNING"
    assert (ended["status"], [one["status"] for one in ended["stages"]]) == ("TERMINAL", ["TERMINAL", "NOT_STARTED"])
    assert "exception" not in ended["stages"][0]["context"]


async def test_a_rejected_judgment_can_leave_a_run_that_succeeded(spinnaker: Spinnaker) -> None:
    name = unique("soft")
    await spinnaker.save(name, [judge(failPipeline=False), wait(1, "2", "1")], fresh=True)
    execution = await spinnaker.run(name)
    stage = (await spinnaker.until_stage(execution, "1", "RUNNING"))["id"]
    await spinnaker.call("PATCH", f"/pipelines/{execution}/stages/{stage}", {"judgmentStatus": "stop"})
    ended = await spinnaker.until_ended(execution)

    assert (ended["status"], {one["refId"]: one["status"] for one in ended["stages"]}) == ("SUCCEEDED", {"1": "STOPPED", "2": "NOT_STARTED"})


async def test_an_id_of_our_own_that_is_posted_again_runs_again_and_with_a_correlation_id_does_not(spinnaker: Spinnaker) -> None:
    plain, marked, key = own_id(), own_id(), unique("rb")
    await start(spinnaker, plain)
    first = await spinnaker.until_ended(plain)
    await start(spinnaker, plain)
    second = await spinnaker.until_ended(plain)
    await start(spinnaker, marked, seconds=2, trigger={"correlationId": key})
    again = await start(spinnaker, marked, seconds=2, trigger={"correlationId": key})

    assert second["buildTime"] > first["buildTime"]
    assert again.body == {"ref": f"/pipelines/{marked}"}
    assert (await spinnaker.until_ended(marked))["status"] == "SUCCEEDED"


async def test_an_id_that_is_posted_again_while_its_run_goes_on_wrecks_it(spinnaker: Spinnaker) -> None:
    execution = own_id()
    await start(spinnaker, execution, seconds=30)
    await spinnaker.until_stage(execution, "1", "RUNNING")
    await start(spinnaker, execution, seconds=30)

    assert (await spinnaker.until_ended(execution, seconds=20))["status"] == "TERMINAL"


async def test_a_plan_starts_nothing_and_an_expired_start_is_cancelled_without_a_time(spinnaker: Spinnaker) -> None:
    planned, late = own_id(), own_id()
    plan = await start(spinnaker, planned, plan=True)
    await start(spinnaker, late, startTimeExpiry=1_600_000_000_000)
    ended = await spinnaker.until_ended(late)

    assert (plan.status, "ref" in plan.body, plan.body["stages"][0]["type"]) == (200, False, "wait")
    assert (await spinnaker.call("GET", f"/pipelines/{planned}")).status == 404
    assert (ended["status"], ended["canceledBy"], "startTime" in ended, "endTime" in ended) == ("CANCELED", "spinnaker", False, False)
    assert ended["cancellationReason"] == "Could not begin execution before start time expiry"


async def test_ad_hoc_runs_are_in_no_list(spinnaker: Spinnaker) -> None:
    execution = own_id()
    await start(spinnaker, execution)
    await spinnaker.until_ended(execution)
    listed = await spinnaker.call("GET", f"/applications/{spinnaker.app}/pipelines", limit="50")
    found = await spinnaker.call("GET", f"/applications/{spinnaker.app}/executions/search", size="200", triggerTimeStartBoundary="1")

    assert execution not in {one["id"] for one in [*listed.body, *found.body]}


async def test_a_task_with_a_bad_job_is_accepted_and_fails_in_the_open_or_in_silence(spinnaker: Spinnaker) -> None:
    unknown = await spinnaker.until_ended(await spinnaker.task({"type": "noSuchStage"}), "tasks")
    empty = await spinnaker.until_ended(await spinnaker.task(), "tasks")
    whole = {"application": spinnaker.app, "description": "d", "job": [wait(1)]}
    refused = [
        await spinnaker.call("POST", "/tasks", {name: value for name, value in whole.items() if name != left_out})
        for left_out in ("application", "description")
    ]
    no_type = await spinnaker.call("POST", "/tasks", {**whole, "job": [{"foo": 1}]})
    no_list = await spinnaker.call("POST", "/tasks", {**whole, "job": wait(1)})
    exception = unknown["execution"]["stages"][0]["context"]["exception"]

    assert (unknown["status"], exception["exceptionType"]) == ("TERMINAL", "NoSuchStageDefinitionBuilderException")
    assert (empty["status"], empty["execution"]["stages"], "startTime" in empty, "endTime" in empty) == ("TERMINAL", [], False, False)
    assert [one.status for one in [*refused, no_type, no_list]] == [500, 500, 500, 500]


async def test_one_unknown_id_spoils_a_question_for_several(spinnaker: Spinnaker) -> None:
    name = unique("short")
    await spinnaker.save(name, [wait(1)], fresh=True)
    execution = await spinnaker.run(name)
    both = await spinnaker.call("GET", "/executions", executionIds=f"{execution},nope")
    one = await spinnaker.call("GET", "/executions", executionIds=execution)
    none = await spinnaker.call("GET", "/executions")

    assert (both.status, both.message.endswith("The iterator returned a null value")) == (500, True)
    assert [run["id"] for run in one.body] == [execution]
    assert none.body == []


async def test_the_list_of_failed_stages_is_broken_as_shipped(spinnaker: Spinnaker) -> None:
    name = unique("short")
    await spinnaker.save(name, [wait(1)], fresh=True)
    execution = await spinnaker.run(name)
    answer = await spinnaker.call("GET", "/executions/failedStages", executionId=execution)

    assert (answer.status, "onlyIncludeStagesThatFailPipelines" in answer.message) == (500, True)


async def test_a_search_finds_a_run_by_its_marker_and_its_bounds_are_exclusive(spinnaker: Spinnaker) -> None:
    name, key = unique("short"), unique("rb")
    await spinnaker.save(name, [wait(1)], fresh=True)
    execution = await spinnaker.run(name, correlationId=key)
    built = int((await spinnaker.until_ended(execution))["buildTime"])

    async def search(start_at: int, **trigger: str) -> list[str]:
        encoded = base64.b64encode(json.dumps(trigger).encode()).decode()
        path = f"/applications/{spinnaker.app}/executions/search"
        answer = await spinnaker.call("GET", path, trigger=encoded, size="200", triggerTimeStartBoundary=str(start_at))
        assert answer.status == 200, answer
        return [one["id"] for one in answer.body]

    assert await search(built - 1, correlationId=key) == [execution]
    assert await search(built - 1, correlationId=key.upper()) == [execution]
    assert await search(built - 1, correlationId="none") == []
    assert await search(built, correlationId=key) == []


async def test_waiting_runs_are_superseded_only_when_the_one_before_them_ends(spinnaker: Spinnaker) -> None:
    name = unique("limited")
    await spinnaker.save(name, [wait(600)], limitConcurrent=True, keepWaitingPipelines=False, fresh=True)
    first, second, third = [await spinnaker.run(name, correlationId=unique("rb")) for _ in range(3)]
    await spinnaker.until_stage(first, "1", "RUNNING")
    waiting = [(await spinnaker.get(one))["status"] for one in (second, third)]
    await spinnaker.call("PUT", f"/pipelines/{first}/cancel")
    superseded = await spinnaker.until_ended(second)
    await spinnaker.until_status(third, "RUNNING")

    assert waiting == ["NOT_STARTED", "NOT_STARTED"]
    assert (superseded["status"], superseded["canceledBy"]) == ("CANCELED", "spinnaker")
    assert superseded["cancellationReason"].startswith("This execution was queued but then canceled because a newer queued execution superceded it.")


async def test_waiting_runs_that_are_kept_go_one_after_the_other(spinnaker: Spinnaker) -> None:
    name = unique("kept")
    await spinnaker.save(name, [wait(2)], limitConcurrent=True, keepWaitingPipelines=True, fresh=True)
    runs = [await spinnaker.run(name, correlationId=unique("rb")) for _ in range(3)]
    ended = [await spinnaker.until_ended(one) for one in runs]

    assert [one["status"] for one in ended] == ["SUCCEEDED"] * 3
    assert ended[0]["endTime"] <= ended[1]["startTime"]
    assert ended[1]["endTime"] <= ended[2]["startTime"]


async def test_a_restart_makes_a_finished_run_go_on_with_the_end_it_had(spinnaker: Spinnaker) -> None:
    name = unique("judge")
    await spinnaker.save(name, [judge(failPipeline=True), wait(1, "2", "1")], fresh=True)
    execution = await spinnaker.run(name)
    stage = (await spinnaker.until_stage(execution, "1", "RUNNING"))["id"]
    await spinnaker.call("PATCH", f"/pipelines/{execution}/stages/{stage}", {"judgmentStatus": "stop"})
    before = await spinnaker.until_ended(execution)
    no_body = await spinnaker.call("PUT", f"/pipelines/{execution}/stages/{stage}/restart")
    answer = await spinnaker.call("PUT", f"/pipelines/{execution}/stages/{stage}/restart", {})
    again = await spinnaker.until_status(execution, "RUNNING")

    assert (no_body.status, answer.status, answer.body["status"]) == (400, 200, "TERMINAL")
    assert again["endTime"] == before["endTime"]
    assert "restartDetails" in next(one for one in again["stages"] if one["id"] == stage)["context"]


async def test_a_run_is_deleted_only_when_it_is_over(spinnaker: Spinnaker) -> None:
    name = unique("long")
    await spinnaker.save(name, [wait(600)], fresh=True)
    execution = await spinnaker.run(name)
    await spinnaker.until_status(execution, "RUNNING")
    early = await spinnaker.call("DELETE", f"/pipelines/{execution}")
    await spinnaker.call("PUT", f"/pipelines/{execution}/cancel")
    await spinnaker.until_ended(execution)
    late = await spinnaker.call("DELETE", f"/pipelines/{execution}")

    assert (early.status, early.message.endswith("Cannot delete a running pipeline, please cancel it first.")) == (409, True)
    assert late.status == 200
    assert (await spinnaker.call("GET", f"/pipelines/{execution}")).status == 404


async def test_a_start_through_echo_of_what_it_has_not_seen_is_lost_for_good(spinnaker: Spinnaker) -> None:
    name = unique("fresh")
    path = f"/pipelines/v2/{spinnaker.app}/{name}"
    await spinnaker.save(name, [wait(1)], fresh=True)
    lost = await spinnaker.call("POST", path, {"type": "manual"})
    missing = await spinnaker.call("POST", f"/pipelines/v2/{spinnaker.app}/no-such-pipeline", {"type": "manual"})
    await asyncio.sleep(45)
    found = await spinnaker.call("POST", path, {"type": "manual", "correlationId": unique("rb")})

    async def there() -> bool:
        return (await spinnaker.call("GET", found.body["ref"])).status == 200

    await spinnaker.until(there, "the second start to appear")
    assert (lost.status, missing.status) == (202, 202)
    for answer in (lost, missing):
        assert (await spinnaker.call("GET", answer.body["ref"])).status == 404
