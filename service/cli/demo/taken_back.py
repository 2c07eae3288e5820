"""Scene 1: a bad release is taken back."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.cli.demo.telling import Story, follow, seconds_of
from service.wiring.playground import Playground


async def play(story: Story, ground: Playground) -> Mapping[str, Any]:
    """Play it; the operation as it ended."""
    story.scene("Scene 1  A bad release is taken back")
    good = await ground.world.live("checkout")
    shipped = await ground.world.release("checkout", "v2.5.0", errors=0.31)
    await ground.world.until_live("checkout", shipped)
    story.tell("checkout", f"release {ground.world.called(shipped)} goes live")
    operation = await follow(story, ground, "checkout")
    side = ground.world.side_of("checkout")
    mine = [one for one in (await ground.get("/v1/holds"))["holds"] if one["target"] == str(ground.world.target("checkout"))]
    times, kept = await side.times_taken_back("checkout"), await side.kept_away("checkout")
    check(story, operation, times, kept, mine, same_pods=await ground.world.live("checkout") == good)
    if mine:
        story.tell("hold", "v2.5.0 stays away until a fix is live and verified, or a person ends it")
    seconds = seconds_of(operation)
    story.more(f"{operation['outcome']} in {seconds:.1f} s from the alert", "bold green" if operation["outcome"] == "recovered" else "bold red")
    return operation


def check(story: Story, operation: Mapping[str, Any], times: int, kept: Mapping[str, bool], holds: Sequence[Mapping[str, Any]], *, same_pods: bool) -> None:
    """What has to be so of a release that was taken back.

    The operation, how often the delivery system saw it, what keeps the release away there, its open holds, and what the pods run.
    """
    story.check("scene 1 ended recovered", operation["outcome"] == "recovered")
    story.check("the pods run v2.4.6 again, by digest", same_pods)
    for name, held in kept.items():
        story.check(name, held)
    story.check("it was taken back exactly once", times == 1)
    story.check("the hold is open", len(holds) == 1)
