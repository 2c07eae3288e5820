"""The pin, its deploy and its undo, on an application whose owner would start a stopped auto-sync again and leaves the revision alone."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.domain.errors import RefusedError
from service.domain.model import Way
from service.domain.planning.plan import Step
from service.domain.ports import Intention, Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage, opened
from tests.unit.integrations.delivery.argocd.steps.carrying_out import AUTO, CLOSED, HOLD, carry_out

APPLIES = {"manager": "Terraform", "operation": "Apply", "fieldsV1": {"f:spec": {"f:syncPolicy": {"f:automated": {"f:enabled": {}}}}}}
"""Whoever applies `enabled` takes a stopped auto-sync back, and no revision."""


@pytest.fixture
async def bound(tmp_path: Path) -> AsyncIterator[Stage]:
    async with opened(tmp_path) as stage:
        await stage.two_releases("web", automated=AUTO)
        stage.sandbox.write_by_kubernetes("web", lambda app: app["metadata"].update(managedFields=[APPLIES]))
        yield stage


async def steps_of(stage: Stage) -> tuple[dict[str, Step], Intention]:
    offer, state = await stage.offer("web", way=Way.PIN)
    assert not offer.impossible, offer.impossible
    steps = {step.name: step for step in offer.steps}
    undo = steps["pin_source"].undo
    assert undo is not None
    return {**steps, undo.name: undo}, stage.intention(state)


async def pinned(stage: Stage) -> tuple[dict[str, Step], Intention]:
    steps, intention = await steps_of(stage)
    intent, seen = await carry_out(stage, steps["pin_source"], intention)
    assert seen.seen is Seen.DONE
    return steps, replace(intention, ours=(intent,), at=stage.clock.now())


def revision(app: Any) -> Any:
    return app["spec"]["source"].get("targetRevision")


async def test_a_pin_is_one_change_with_the_mark_and_argo_cd_deploys_it_by_itself(bound: Stage) -> None:
    steps, intention = await steps_of(bound)
    good = intention.goal.revision
    intent, seen = await carry_out(bound, steps["pin_source"], intention)
    assert (seen.seen, intent["remembered"]) == (Seen.DONE, {"follows": ["main"]})
    app = await bound.raw("web")
    assert (revision(app), app["spec"]["syncPolicy"]["automated"]) == (good, AUTO)
    assert app["metadata"]["annotations"][HOLD] == intention.marker

    deploy, seen = await carry_out(bound, steps["deploy_pinned"], replace(intention, ours=(intent,), at=bound.clock.now()))
    await bound.deployed("web", 3)
    seen = await bound.argo.observe(steps["deploy_pinned"], deploy)

    assert (seen.seen, seen.details["handle"]) == (Seen.DONE, "2")
    entry = (await bound.raw("web"))["status"]["history"][-1]
    assert (entry["revision"], entry["initiatedBy"]) == (good, {"automated": True})


async def test_pinning_twice_does_it_once(bound: Stage) -> None:
    steps, intention = await steps_of(bound)
    intent, _ = await carry_out(bound, steps["pin_source"], intention)
    guard = CountingGuard()
    await bound.argo.act(steps["pin_source"], intent, guard)
    assert guard.asked == 0


async def test_a_pin_that_the_owner_takes_back_is_given_up_and_never_tried_again(bound: Stage) -> None:
    steps, intention = await steps_of(bound)
    intent = await bound.argo.intend(steps["pin_source"], intention)

    def take_back(seconds: float) -> None:
        if seconds == 2.0:
            bound.sandbox.write_by_kubernetes("web", lambda app: app["spec"]["source"].update(targetRevision="main"))

    bound.clock.after_sleep = take_back
    with pytest.raises(RefusedError, match="the pin was taken back within 2 s: it is managed elsewhere"):
        await bound.argo.act(steps["pin_source"], intent, CountingGuard())
    seen = await bound.argo.observe(steps["pin_source"], intent)
    assert (seen.seen, seen.says) == (Seen.FAILED, "the pin was taken back: it is managed elsewhere")
    with pytest.raises(RefusedError, match="taken back"):
        await bound.argo.intend(steps["deploy_pinned"], replace(intention, ours=(intent,)))


async def test_somebody_who_follows_another_branch_meanwhile_is_foreign(bound: Stage) -> None:
    steps, intention = await pinned(bound)
    bound.sandbox.write_by_kubernetes("web", lambda app: app["spec"]["source"].update(targetRevision="stable"))
    assert (await bound.argo.observe(steps["pin_source"], intention.ours[0])).seen is Seen.FOREIGN
    with pytest.raises(RefusedError, match="not pinned as Backout left them"):
        await bound.argo.intend(steps["unpin_source"], intention)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda app: app["spec"]["syncPolicy"]["automated"].update(enabled=False), "auto-sync is off"),
        (lambda app: app["spec"]["source"].update(targetRevision="stable"), "follows another revision"),
        (lambda app: app["spec"].update(revisionHistoryLimit=7), "somebody edited the spec"),
        (lambda app: app["status"]["history"].pop(0), "trimmed from the history"),
        (lambda app: app.update(operation={"sync": {}, "initiatedBy": {"username": "ann"}}), "an operation of ann"),
        (lambda app: app["metadata"].update(annotations={HOLD: "operation=other suspect=x goal=y"}), "it is held already"),
        (
            lambda app: app["metadata"].update(managedFields=[{**APPLIES, "fieldsV1": {"f:spec": {"f:source": {"f:targetRevision": {}}}}}]),
            "takes a pinned revision back",
        ),
    ],
)
async def test_what_is_not_as_the_plan_assumed_refuses_the_pin_before_it_is_sent(bound: Stage, change: Any, words: str) -> None:
    steps, intention = await steps_of(bound)
    bound.sandbox.faults.controller_down = True
    bound.sandbox.write_by_kubernetes("web", change)
    with pytest.raises(RefusedError, match=words):
        await bound.argo.intend(steps["pin_source"], intention)


@pytest.mark.parametrize("manual", [False, True])
async def test_a_window_that_keeps_automated_syncs_away_refuses_the_pin_whatever_it_lets_people_do(bound: Stage, *, manual: bool) -> None:
    steps, intention = await steps_of(bound)
    bound.sandbox.projects.set_windows("default", [{**CLOSED, "manualSync": manual}])
    with pytest.raises(RefusedError, match="nothing would be deployed"):
        await bound.argo.intend(steps["pin_source"], intention)


async def test_a_release_that_does_not_render_is_not_pinned(bound: Stage) -> None:
    steps, intention = await steps_of(bound)
    intent = await bound.argo.intend(steps["pin_source"], intention)
    bound.sandbox.faults.git_down = True
    bound.sandbox.repositories.flush_manifests()
    bound.sandbox.repositories.drop_clones()
    with pytest.raises(RefusedError, match="the release to pin does not render now"):
        await bound.argo.act(steps["pin_source"], intent, CountingGuard())
    assert revision(await bound.raw("web")) == "main"


async def test_a_controller_that_is_down_is_found_out_and_the_pin_taken_back_before_it_can_fire(bound: Stage) -> None:
    bound.argo = bound.adapter(refresh_timeout_seconds=1)
    bound.sandbox.faults.controller_down = True
    steps, intention = await pinned(bound)
    intent = await bound.argo.intend(steps["deploy_pinned"], intention)
    with pytest.raises(RefusedError, match="did not answer a refresh within 1 s: the pinned release would be deployed later"):
        await bound.argo.act(steps["deploy_pinned"], intent, CountingGuard())
    assert (await bound.argo.observe(steps["deploy_pinned"], intent)).seen is Seen.NOT_SEEN

    _, seen = await carry_out(bound, steps["unpin_source"], replace(intention, ours=(*intention.ours, intent)))

    assert seen.seen is Seen.DONE
    app = await bound.raw("web")
    assert (revision(app), app["metadata"].get("annotations", {}).get(HOLD)) == ("main", None)
    bound.sandbox.faults.controller_down = False
    await bound.settle()
    assert len((await bound.raw("web"))["status"]["history"]) == 2


async def test_a_pin_that_argo_cd_has_taken_up_is_never_taken_back(bound: Stage) -> None:
    steps, intention = await pinned(bound)
    await bound.deployed("web", 3)
    with pytest.raises(RefusedError, match="has taken the pin up already"):
        await bound.argo.intend(steps["unpin_source"], intention)


async def test_a_foreign_deploy_over_the_pin_is_foreign(bound: Stage) -> None:
    steps, intention = await pinned(bound)
    intent, _ = await carry_out(bound, steps["deploy_pinned"], intention)
    await bound.deployed("web", 3)
    bound.sandbox.write_by_kubernetes(
        "web", lambda app: app["status"]["history"].append({**app["status"]["history"][1], "id": 9, "initiatedBy": {"username": "ann"}})
    )
    seen = await bound.argo.observe(steps["deploy_pinned"], intent)
    assert (seen.seen, seen.says) == (Seen.FOREIGN, "ann deployed release 9 meanwhile")


async def test_an_automated_deploy_of_the_pin_that_failed_is_failed(bound: Stage) -> None:
    bound.sandbox.faults.controller_down = True
    steps, intention = await pinned(bound)
    intent = await bound.argo.intend(steps["deploy_pinned"], intention)
    failed = {"phase": "Failed", "message": "no", "startedAt": "2026-05-04T14:10:00Z", "finishedAt": "2026-05-04T14:10:01Z", "operation": {"sync": {}}}
    bound.sandbox.write_by_kubernetes("web", lambda app: app["status"].update(operationState=failed))
    seen = await bound.argo.observe(steps["deploy_pinned"], intent)
    assert (seen.seen, seen.says) == (Seen.FAILED, "Argo CD ended the deploy of the pinned release as Failed: no")


async def test_promise_7_the_end_of_a_hold_does_not_follow_a_branch_that_still_has_the_bad_images(bound: Stage) -> None:
    steps, intention = await pinned(bound)
    await bound.deployed("web", 3)
    ending = replace(steps["unpin_source"], parameters={**steps["unpin_source"].parameters, "after_rollback": True})
    later = replace(intention, marker="", not_before=None, at=bound.clock.now() + timedelta(seconds=1))
    with pytest.raises(RefusedError, match=r"what would be followed still has registry.example/web:2.0: release a fix first"):
        await bound.argo.intend(ending, later)

    bound.commit("web", "registry.example/web:2.1")
    _, seen = await carry_out(bound, ending, later)

    assert seen.seen is Seen.DONE
    await bound.deployed("web", 4)
    app = await bound.raw("web")
    assert (revision(app), app["metadata"].get("annotations", {}).get(HOLD)) == ("main", None)


async def test_where_nobody_can_render_what_would_be_followed_the_pin_stays(bound: Stage) -> None:
    steps, intention = await pinned(bound)
    await bound.deployed("web", 3)
    ending = replace(steps["unpin_source"], parameters={**steps["unpin_source"].parameters, "after_rollback": True})
    bound.sandbox.faults.repo_server_down = True
    with pytest.raises(RefusedError, match="renders to is not known"):
        await bound.argo.intend(ending, replace(intention, marker=""))


async def test_without_a_pin_of_ours_there_is_nothing_to_deploy_or_to_take_back(bound: Stage) -> None:
    steps, intention = await steps_of(bound)
    with pytest.raises(RefusedError, match="nothing was pinned"):
        await bound.argo.intend(steps["deploy_pinned"], intention)
    with pytest.raises(RefusedError, match="what was followed before is not known"):
        await bound.argo.intend(steps["unpin_source"], intention)
