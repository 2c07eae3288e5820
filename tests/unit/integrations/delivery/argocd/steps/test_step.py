from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from integrations.delivery.argocd.client import Client, ServerRefusedError
from integrations.delivery.argocd.facts import Reader
from integrations.delivery.argocd.steps import patches
from integrations.delivery.argocd.steps.step import PATCH_TRIES, Tools
from service.domain.errors import RefusedError
from service.domain.model import Json
from service.domain.ports import Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage


def tools(stage: Stage) -> Tools:
    settings = stage.settings(stage.root / "backout.token")
    client = Client(settings, stage.clock, traceparent=lambda: "")
    return Tools(settings, client, Reader(settings, client, stage.clock), stage.clock)


async def intent_of(stage: Stage) -> Mapping[str, Json]:
    step, intention = await stage.ready("web", "roll_back")
    return await stage.argo.intend(step, intention)


async def test_what_is_not_seen_never_happened_from_the_time_that_the_intent_says(plain: Stage) -> None:
    intent = await intent_of(plain)
    t = tools(plain)
    try:
        seen = t.not_seen(intent, "nothing")
    finally:
        await t.client.close()
    assert seen.seen is Seen.NOT_SEEN
    assert seen.not_seen_until is not None
    assert seen.not_seen_until.isoformat() == intent["certain_at"]


async def test_an_application_that_changes_each_time_it_is_patched_is_given_up_with_the_servers_words(plain: Stage) -> None:
    intent = await intent_of(plain)
    t, asked = tools(plain), 0

    def outdated(app: Any) -> Sequence[Mapping[str, Json]]:
        nonlocal asked
        asked += 1
        return [patches.uid_test(app), {"op": "test", "path": patches.RESOURCE_VERSION, "value": "0"}]

    try:
        with pytest.raises(ServerRefusedError, match="test failed"):
            await t.patch(intent, outdated, CountingGuard())
        assert asked == PATCH_TRIES
        with pytest.raises(RefusedError, match="nothing was written"):
            await t.patch_or_refuse(intent, outdated, CountingGuard())
    finally:
        await t.client.close()


async def test_promise_5_a_persons_act_since_the_trouble_began_means_hands_off(plain: Stage) -> None:
    _, intention = await plain.ready("web", "roll_back")
    t = tools(plain)
    began = plain.clock.now() - timedelta(minutes=1)
    plain.tick()
    await plain.person("PATCH", "/applications/web", {"patch": '{"metadata":{"labels":{"a":"b"}}}', "patchType": "merge"})
    try:
        looked = await t.reader.get(intention.target)
        with pytest.raises(RefusedError, match="admin is acting on it"):
            await t.nobody_else(looked, replace(intention, not_before=began))
    finally:
        await t.client.close()
