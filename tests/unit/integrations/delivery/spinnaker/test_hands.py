from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from service.domain.errors import RefusedError, StoppedError
from service.domain.ports import Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard
from tests.unit.integrations.delivery.spinnaker.stage import Stage


async def test_an_intent_is_plain_and_holds_what_observing_needs(stage: Stage) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    assert {"target", "application", "uid", "at", "send_until", "certain_at", "operation_id", "marker", "template", "suspect_template"} <= intent.keys()
    until, certain = (datetime.fromisoformat(str(intent[name])) for name in ("send_until", "certain_at"))
    assert until - intention.at == timedelta(seconds=40)
    assert certain - until == timedelta(seconds=125)


async def test_a_longer_time_out_of_ours_moves_what_is_certain(stage: Stage) -> None:
    step, intention = await stage.ready()
    intent = await stage.adapter(write_timeout_seconds=130, retry_seconds=0).intend(step, intention)
    assert datetime.fromisoformat(str(intent["certain_at"])) - intention.at == timedelta(seconds=140)


async def test_a_target_that_is_gone_or_another_is_refused_and_seen_as_failed(stage: Stage) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    with pytest.raises(RefusedError, match="another object"):
        await stage.spinnaker.intend(step, replace(intention, uid="somebody-else"))
    kubernetes = stage.gate.kubernetes
    kubernetes.is_deleted(kubernetes.workloads[0])
    with pytest.raises(RefusedError, match="is gone"):
        await stage.spinnaker.intend(step, intention)
    assert (await stage.spinnaker.observe(step, intent)).seen is Seen.FAILED


async def test_a_guard_that_says_no_keeps_everything_unsent(stage: Stage) -> None:
    step, intention = await stage.ready()
    intent = await stage.spinnaker.intend(step, intention)
    with pytest.raises(StoppedError):
        await stage.spinnaker.act(step, intent, CountingGuard(StoppedError("stopped")))
    assert stage.started() == 0
