"""An alert that comes and goes: no operation for each firing, and yet a real one is answered."""

from dataclasses import replace
from datetime import timedelta

from service.domain.flapping import FIRINGS, SETTLED, WINDOW
from service.domain.model import Episode, Incident, Mode, Operation, Outcome
from service.domain.policy import AlertMapping
from service.domain.ports import Transition
from service.workflow.correlate import AGAIN_AFTER, BEGIN_AFTER
from tests.fakes.store import delivery, notice
from tests.unit.service.workflow.stage import TARGET, Stage

MINUTE = timedelta(minutes=1)


async def fires(stage: Stage, fingerprint: str = "f00d") -> Episode:
    """It begins to fire now."""
    stage.mapping = (AlertMapping(labels={"namespace": "shop"}, target=str(TARGET)),)
    stage.use(stage.policies.of(TARGET))
    now = stage.clock.now()
    post = delivery(replace(notice(fingerprint, starts_at=now), labels=stage.trigger().labels), at=now)
    await stage.correlator.place(await stage.alerts.accept(post))
    return next(one for one in await stage.alerts.episodes() if (one.fingerprint, one.starts_at) == (fingerprint, now))


async def passes(stage: Stage, time: timedelta) -> None:
    await stage.clock.sleep(time.total_seconds())


async def is_over(stage: Stage, episode: Episode) -> None:
    """It resolves, and the sweep looks."""
    post = delivery(replace(notice(episode.fingerprint, starts_at=episode.starts_at, ends_at=stage.clock.now()), labels=episode.labels), at=stage.clock.now())
    await stage.correlator.place(await stage.alerts.accept(post))
    await stage.correlator.sweep()


async def operations(stage: Stage) -> list[Operation]:
    return list(await stage.operations.find(target=str(TARGET)))


async def ended(stage: Stage) -> None:
    """The operation that is alive ends, without having done anything."""
    alive = await stage.operations.alive_for(TARGET)
    assert alive is not None
    assert await stage.operations.commit(alive, Transition(phase="ended", data=alive.data, done=Outcome.REFUSED), stage.clock.now())


async def answered(stage: Stage, times: int) -> None:
    """So many firings, each with an operation that ended, a minute apart."""
    for _ in range(times):
        episode = await fires(stage)
        await ended(stage)
        await is_over(stage, episode)
        await passes(stage, MINUTE)


async def flaps(stage: Stage) -> Episode:
    """It fires once more than it may without flapping."""
    await answered(stage, FIRINGS - 1)
    return await fires(stage)


async def incident(stage: Stage, episode: Episode) -> Incident:
    found = await stage.alerts.incident(str(episode.incident_id))
    assert found is not None
    return found


async def said(stage: Stage) -> list[str]:
    return [str(one["title"]) for one in await stage.messages() if one["event"] == "flapping"]


async def test_a_flapping_alert_begins_no_operation_each_time(stage: Stage) -> None:
    episode = await flaps(stage)
    for _ in range(4):
        await is_over(stage, episode)
        assert (await incident(stage, episode)).outcome == "flapped"
        await passes(stage, MINUTE)
        episode = await fires(stage)
        await passes(stage, BEGIN_AFTER)
        await stage.correlator.sweep()
    assert len(await operations(stage)) == FIRINGS - 1


async def test_promise_13_that_it_flaps_is_said_once(stage: Stage) -> None:
    episode = await flaps(stage)
    for _ in range(3):
        await is_over(stage, episode)
        await passes(stage, MINUTE)
        episode = await fires(stage)
        await stage.correlator.sweep()
    assert await said(stage) == ["prod:checkout: HighErrorRate flaps"]
    (message,) = [one for one in await stage.messages() if one["event"] == "flapping"]
    assert "HighErrorRate fired 3 times within 30 minutes: it flaps." in message["text"]
    assert "unless it fires for 5 minutes on end" in message["text"]


async def test_promise_11_one_that_flapped_and_then_goes_on_firing_is_answered_with_a_persons_leave(stage: Stage) -> None:
    await flaps(stage)
    await passes(stage, SETTLED - timedelta(seconds=1))
    await stage.correlator.sweep()
    assert len(await operations(stage)) == FIRINGS - 1
    await passes(stage, timedelta(seconds=1))
    await stage.correlator.sweep()
    newest = (await operations(stage))[0]
    assert (len(await operations(stage)), newest.mode) == (FIRINGS, Mode.APPROVE)
    accepted = (await stage.operations.events(newest.id))[0]
    assert accepted.says.endswith("mode approve instead of auto: HighErrorRate fired 3 times within 30 minutes: it flaps")


async def test_another_alert_that_does_not_flap_is_answered_at_once_and_keeps_its_mode(stage: Stage) -> None:
    await flaps(stage)
    await fires(stage, "beef")
    newest = (await operations(stage))[0]
    assert (len(await operations(stage)), newest.mode) == (FIRINGS, Mode.AUTO)
    assert len(newest.data["episodes"]) == 2  # the one that flaps is answered with it


async def test_an_alert_that_came_back_once_is_answered_as_ever(stage: Stage) -> None:
    await answered(stage, FIRINGS - 2)
    await fires(stage)
    assert (await operations(stage))[0].mode is Mode.AUTO
    assert await said(stage) == []


async def test_firings_that_lie_far_apart_are_no_flapping(stage: Stage) -> None:
    for _ in range(FIRINGS + 1):
        await answered(stage, 1)
        await passes(stage, WINDOW / 2)
    assert len(await operations(stage)) == FIRINGS + 1
    assert await said(stage) == []


async def test_one_that_flaps_where_nothing_answered_it_lately_is_answered_at_once(stage: Stage) -> None:
    """Its firings were of no use to anybody so far: they led nowhere, for nothing named a target."""
    for _ in range(FIRINGS):
        now = stage.clock.now()
        await stage.correlator.place(await stage.alerts.accept(delivery(replace(notice(starts_at=now), labels={"alertname": "HighErrorRate"}), at=now)))
        await passes(stage, MINUTE)
    await fires(stage)
    (operation,) = await operations(stage)
    assert operation.mode is Mode.APPROVE


async def test_promise_2_an_alert_in_an_open_incident_waits_for_the_operation_before_it_and_then_until_it_is_settled(stage: Stage) -> None:
    steady = await fires(stage, "beef")
    await ended(stage)
    await is_over(stage, await fires(stage))
    await passes(stage, MINUTE)
    await is_over(stage, await fires(stage))
    await passes(stage, AGAIN_AFTER)
    await fires(stage)
    assert len(await operations(stage)) == 1
    assert (await incident(stage, steady)).closed_at is None
    await passes(stage, SETTLED)
    await stage.correlator.sweep()
    assert len(await operations(stage)) == 2
