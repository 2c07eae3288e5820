"""The pin, its deploy and its undo, on an application whose owner would start a stopped auto-sync again and leaves the revision alone."""

from dataclasses import replace
from typing import Any

import pytest

from service.domain.errors import RefusedError
from service.domain.ports import Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage
from tests.unit.integrations.delivery.argocd.steps.bound import pinned, revision, steps_of
from tests.unit.integrations.delivery.argocd.steps.carrying_out import AUTO, CLOSED, HOLD, carry_out


async def test_a_pin_is_one_change_with_the_mark_and_argo_cd_deploys_it_by_itself(bound: Stage) -> None:
    steps, intention = await steps_of(bound)
    good = intention.goal.revision
    intent, seen = await carry_out(bound, steps["pin_source"], intention)
    assert (seen.seen, intent["remembered"]) == (Seen.DONE, {"follows": ["main"]})
    app = await bound.raw("web")
    assert (revision(app), app["spec"]["syncPolicy"]["automated"]) == (good, {**AUTO, "enabled": True})
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
    ],
)
async def test_what_is_not_as_the_plan_assumed_refuses_the_pin_before_it_is_sent(bound: Stage, change: Any, words: str) -> None:
    steps, intention = await steps_of(bound)
    bound.sandbox.faults.controller_down = True
    bound.sandbox.write_by_kubernetes("web", change)
    with pytest.raises(RefusedError, match=words):
        await bound.argo.intend(steps["pin_source"], intention)


async def test_somebody_who_applies_the_revision_since_refuses_the_pin_before_it_is_sent(bound: Stage) -> None:
    steps, intention = await steps_of(bound)
    bound.sandbox.apply_by_kubernetes("web", {"spec": {"source": {"targetRevision": "main"}}}, by="Pulumi")
    with pytest.raises(RefusedError, match="takes a pinned revision back"):
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


@pytest.mark.parametrize("by", ["an edit", "a deploy"])
async def test_promise_5_what_a_person_did_between_the_last_look_and_the_request_keeps_the_source_unpinned(bound: Stage, by: str) -> None:
    steps, intention = await steps_of(bound)
    intent = await bound.argo.intend(steps["pin_source"], intention)
    if by == "an edit":
        bound.sandbox.write_by_kubernetes("web", lambda app: app["spec"].update(revisionHistoryLimit=5))
    else:
        bound.commit("web", "registry.example/web:3.0")
        await bound.person("GET", "/applications/web?refresh=normal")
        await bound.deployed("web", 3)
    with pytest.raises(RefusedError, match=r"somebody edited the spec meanwhile|was deployed meanwhile"):
        await bound.argo.act(steps["pin_source"], intent, CountingGuard())
    assert revision(await bound.raw("web")) == "main"
