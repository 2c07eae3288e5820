import json
from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain.errors import RefusedError
from service.domain.ports import Seen
from tests.unit.integrations.delivery.argocd.stage import Stage
from tests.unit.integrations.delivery.argocd.steps.bound import pinned, revision, steps_of
from tests.unit.integrations.delivery.argocd.steps.carrying_out import HOLD, carry_out


async def test_a_pin_that_argo_cd_has_taken_up_is_never_taken_back(bound: Stage) -> None:
    steps, intention = await pinned(bound)
    await bound.deployed("web", 3)
    with pytest.raises(RefusedError, match="has taken the pin up already"):
        await bound.argo.intend(steps["unpin_source"], intention)


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


async def test_the_end_of_a_hold_lets_the_bad_release_come_back_where_a_person_says_so(bound: Stage) -> None:
    steps, intention = await pinned(bound)
    await bound.deployed("web", 3)
    accepted = replace(steps["unpin_source"], parameters={**steps["unpin_source"].parameters, "after_rollback": True, "accept_bad": True})
    later = replace(intention, marker="", not_before=None, at=bound.clock.now() + timedelta(seconds=1))

    _, seen = await carry_out(bound, accepted, later)

    assert seen.seen is Seen.DONE
    assert revision(await bound.raw("web")) == "main"


def worker(image: str) -> dict[str, str]:
    return {"deploy/worker.json": json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "worker"}, "spec": {"containers": [{"image": image}]}})}


async def test_promise_7_one_bad_image_of_two_is_enough_for_the_pin_to_stay(bound: Stage) -> None:
    steps, intention = await pinned(bound)
    await bound.deployed("web", 3)
    bad = bound.commit("web", "registry.example/web:2.0", worker("registry.example/worker:2.0"))
    bound.commit("web", "registry.example/web:2.0", worker("registry.example/worker:2.1"))
    suspect = replace(intention.suspect, sources=tuple(replace(one, revision=bad) for one in intention.suspect.sources))
    ending = replace(steps["unpin_source"], parameters={**steps["unpin_source"].parameters, "after_rollback": True})
    with pytest.raises(RefusedError, match=r"what would be followed still has registry\.example/web:2\.0: release a fix first"):
        await bound.argo.intend(ending, replace(intention, suspect=suspect, marker="", not_before=None))


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
