"""Acts on an Argo CD that is away for a while: whatever step is at work, it is carried out once when Argo CD is back in time, and never later."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.domain.errors import TemporaryError, TooLateError
from service.domain.planning.plan import Step
from service.domain.ports import Intention, Seen
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage

AUTO = {"prune": True, "selfHeal": True}
AWAY = 25.0
"""Seconds: longer than argocd-server refuses connections for a watch (20 s, recording 02)."""


def slept(stage: Stage, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
    """Do this once so many seconds were slept."""
    began = len(stage.clock.slept)
    pending: list[asyncio.Future[None]] = []

    def look(_seconds: float) -> None:
        if not pending and sum(stage.clock.slept[began:]) >= seconds:
            pending.append(asyncio.ensure_future(act()))

    stage.clock.after_sleep = look


async def refusing(stage: Stage, seconds: float) -> None:
    """It closes its listener, as argocd-server does while it restarts itself."""
    await stage.sandbox.refuse()
    slept(stage, seconds, stage.sandbox.listen)


async def killed(stage: Stage, seconds: float) -> None:
    await stage.sandbox.kill()
    slept(stage, seconds, stage.sandbox.listen)


async def without_kubernetes(stage: Stage, seconds: float) -> None:
    """Every call by name is answered with a bare 403 (recording 39)."""
    stage.sandbox.faults.kube_down = True

    async def back() -> None:
        stage.sandbox.faults.kube_down = False

    slept(stage, seconds, back)


OUTAGES = [refusing, killed, without_kubernetes]


async def ready(stage: Stage, name: str) -> tuple[Step, Intention]:
    """A step that may be carried out now, with those before it done."""
    automated = name == "stop_auto_sync"
    await stage.two_releases("web", automated=AUTO if automated else None)
    return await stage.ready("web", name)


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("name", ["stop_auto_sync", "prove_controller", "roll_back", "mark_hold"])
async def test_promise_3_a_step_survives_an_outage_and_is_done_once(stage: Stage, name: str, outage: Callable[[Stage, float], Awaitable[None]]) -> None:
    step, intention = await ready(stage, name)
    intent = await stage.argo.intend(step, intention)
    await outage(stage, AWAY)
    await stage.argo.act(step, intent, CountingGuard())
    if name == "roll_back":
        await stage.deployed("web", 3)
    stage.tick(10)
    assert (await stage.argo.observe(step, intent)).seen is Seen.DONE
    events = [event["message"] for event in (await stage.person("GET", "/applications/web/events"))["items"]]
    assert sum("backout" in message for message in events) == {"prove_controller": 0}.get(name, 1)


@pytest.mark.parametrize("outage", [refusing, without_kubernetes], ids=lambda one: one.__name__)
async def test_promise_4_a_step_waits_for_no_longer_than_its_deadline(stage: Stage, outage: Callable[[Stage, float], Awaitable[None]]) -> None:
    step, intention = await ready(stage, "roll_back")
    intent = await stage.argo.intend(step, intention)

    class Deadline(CountingGuard):
        """The server goes away between the look and the request, and the deadline passes while it is away."""

        async def __call__(self) -> None:
            await super().__call__()
            if self.asked == 1:
                await outage(stage, AWAY)
            if self.asked == 5:
                raise TooLateError("act_before passed")

    with pytest.raises(TooLateError):
        await stage.argo.act(step, intent, Deadline())
    if outage is refusing:
        await stage.sandbox.listen()
    stage.sandbox.faults.kube_down = False
    await stage.settle(0.1)
    assert len((await stage.raw("web"))["status"]["history"]) == 2
    assert "operation" not in await stage.raw("web")


async def test_promise_4_what_stays_away_is_not_sent_when_it_is_back_later(stage: Stage) -> None:
    step, intention = await ready(stage, "roll_back")
    intent = await stage.argo.intend(step, intention)
    await stage.sandbox.refuse()
    with pytest.raises(TemporaryError):
        await stage.argo.act(step, intent, CountingGuard())
    await stage.sandbox.listen()
    seen = await stage.argo.observe(step, intent)
    assert (seen.seen, seen.not_seen_until is not None) == (Seen.NOT_SEEN, True)
    stage.tick(60)
    with pytest.raises(TemporaryError, match="too old to be sent"):
        await stage.argo.act(step, intent, CountingGuard())
    assert len((await stage.raw("web"))["status"]["history"]) == 2


async def test_our_own_watch_does_not_keep_the_api_away_from_an_act(stage: Stage) -> None:
    """A change of settings: the API refuses connections until the last watch has ended, which is ours, and it does."""
    step, intention = await ready(stage, "roll_back")
    intent = await stage.argo.intend(step, intention)
    changes = stage.argo.changes()
    assert changes is not None
    assert await anext(changes) is None

    async def listen() -> str:
        try:
            async for _ in changes:
                pass
        except TemporaryError as error:
            return str(error)
        return "ended"

    listening = asyncio.ensure_future(listen())
    restarting = stage.sandbox.change_settings()
    await stage.settle(0.05)
    assert not restarting.done()
    await stage.argo.act(step, intent, CountingGuard())
    assert "argocd-server refuses connections" in await asyncio.wait_for(listening, 5)
    await asyncio.wait_for(restarting, 5)
    assert sum(stage.clock.slept) < AWAY


async def test_looking_before_and_after_an_act_waits_for_nobody(stage: Stage) -> None:
    """The story asks again by itself, and must see meanwhile what else became true: a deadline, a stop, a cancellation."""
    step, intention = await ready(stage, "roll_back")
    intent = await stage.argo.intend(step, intention)
    await stage.sandbox.refuse()
    before = list(stage.clock.slept)
    for look in (stage.argo.intend(step, intention), stage.argo.observe(step, intent)):
        with pytest.raises(TemporaryError):
            await look
    assert stage.clock.slept == before
    await stage.sandbox.listen()
