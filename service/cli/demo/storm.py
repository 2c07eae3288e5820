"""Scene 3: a storm of the same alert from two senders, and the service killed in the middle of the rollback.

The senders go on as an Alertmanager does: what was not answered with a 2xx is sent again. So nothing is left to chance but the moment of the crash.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp

from service.cli.demo.telling import Story, follow, seconds_of
from service.wiring.playground import Playground

POSTS, CONNECTIONS = 500, 20
AGAIN = 0.1
"""Seconds until a post that was not taken is sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the storm left: rollbacks as the delivery system saw them, calls for one that it got, operations, posts that were acknowledged, and kept."""

    rollbacks: int
    calls: int
    operations: int
    acknowledged: int
    kept: int


async def play(story: Story, ground: Playground) -> Mapping[str, Any]:
    """Play it; the operation as it ended."""
    story.scene("Scene 3  A storm, and a crash in the middle")
    good = await ground.world.live("payments")
    shipped = await ground.world.release("payments", "v5.3.0", errors=0.31)
    await ground.world.until_live("payments", shipped)
    story.tell("payments", f"release {ground.world.called(shipped)} goes live")
    body, side, target = await _alert(ground), ground.world.side_of("payments"), ground.world.target("payments")
    began = story.clock.now()
    async with asyncio.TaskGroup() as together:
        storm = [together.create_task(send(story, ground, body, number)) for number in range(CONNECTIONS)]
        told = together.create_task(follow(story, ground, "payments"))
        await ground.until(lambda: _accepted(ground), 60, f"{side.title} to be asked for the rollback")
        await ground.kill()
        crashed = story.clock.now()
        story.tell("crash", f"kill -9: {side.title} was asked for the rollback, Backout never heard the answer", "yellow", crashed)
        await ground.serve()
    operation, acknowledged = told.result(), sum(one.result() for one in storm)
    resumed = await _first_event(ground, operation, crashed)
    episodes = await _episodes(ground)
    seen = Seen(
        rollbacks=await side.times_taken_back("payments"),
        calls=side.asks("payments"),
        operations=len((await ground.get(f"/v1/operations?target={target}"))["operations"]),
        acknowledged=acknowledged,
        kept=sum(one["times_seen"] for one in episodes),
    )
    story.tell("kept", f"{seen.acknowledged} posts acknowledged, {seen.kept} kept; the storm and all took {(story.clock.now() - began).total_seconds():.0f} s")
    story.check("scene 3 ended recovered", operation["outcome"] == "recovered")
    story.check("payments runs v5.2.1 again, by digest", await ground.world.live("payments") == good)
    check(story, seen, side.title)
    again = f"resumed {(resumed - crashed).total_seconds():.1f} s after the crash" if resumed else "never resumed"
    says = (
        f"{POSTS} repeats from {len(ground.world.senders)} senders · {seen.rollbacks} rollback · {max(0, seen.acknowledged - seen.kept)} alerts lost"
        f" · {again} · {max(0, seen.calls - 1)} calls made twice"
    )
    story.more(says, "bold green" if story.ok else "bold red")
    story.more(f"{operation['outcome']} in {seconds_of(operation):.1f} s from the alert")
    return operation


def check(story: Story, seen: Seen, title: str) -> None:
    """What has to be so of a storm and a crash; `title` is the delivery system's name."""
    story.check("the storm made one rollback", seen.rollbacks == 1)
    story.check(f"{title} was asked for it once, in spite of the crash", seen.calls == 1)
    story.check("the storm made one operation", seen.operations == 1)
    story.check("every acknowledged post was kept", seen.acknowledged >= POSTS and seen.kept >= seen.acknowledged)


async def _episodes(ground: Playground) -> Sequence[Mapping[str, Any]]:
    incidents = (await ground.get(f"/v1/incidents?target={ground.world.target('payments')}"))["incidents"]
    return [one for incident in incidents for one in (await ground.get(f"/v1/incidents/{incident['id']}"))["episodes"]]


async def _alert(ground: Playground) -> bytes:
    """The webhook that an Alertmanager sends about the shop, once Prometheus fires."""

    async def firing() -> bytes | None:
        return ground.world.webhook_about("payments")

    found: bytes = await ground.until(firing, 60, "the alert to fire")
    return found


async def send(story: Story, ground: Playground, body: bytes, number: int) -> int:
    """One connection's share of the storm; how many were acknowledged. Each is sent until it is."""
    sender = ground.world.senders[number % len(ground.world.senders)]
    token = (ground.folder / sender.token_file).read_text(encoding="utf-8").strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    taken = 0
    async with aiohttp.ClientSession() as session:
        while taken < POSTS // CONNECTIONS:
            try:
                async with session.post(f"{ground.url}/v1/alerts/alertmanager", data=body, headers=headers) as answer:
                    taken += answer.ok
                    if answer.ok:
                        continue
            except aiohttp.ClientError:
                pass
            await story.clock.sleep(AGAIN)
    return taken


async def _accepted(ground: Playground) -> bool:
    return bool(ground.world.side_of("payments").asks("payments"))


async def _first_event(ground: Playground, operation: Mapping[str, Any], after: datetime) -> datetime | None:
    events = (await ground.get(f"/v1/operations/{operation['id']}/events"))["events"]
    return next((at for one in events if (at := datetime.fromisoformat(one["at"])) > after), None)
