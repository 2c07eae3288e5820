"""The server group to go back to is still there, is large enough or can grow, and no traffic guard will refuse the switch.

Whether the image that its machines are launched from still exists is another rule.

Problem: The old server group was scaled down to save money, pinned by hand, or destroyed by the next deploy. Traffic that is given to one machine out of ten is
an outage of its own.

Read: Every server group of the cluster: its traffic, how many of its instances run and should run, its suspended scaling, and the application's traffic guards.

Decides: It runs at the size of the bad one: pass. It has to grow first, or its scaling is switched off: warn. It is gone, has no way to grow, or a third group
takes traffic too: no. Sizes or guards that are not told: unknown.

Fix: Keep the old server group at its size for as long as a deploy may have to be taken back (`maxRemainingAsgs`, no scale-down), or scale it up by hand now.

Declare: Nothing; `lets_pass` names this rule where growing first is all right without a person.

Elsewhere: Spinnaker's server groups only; workloads of Kubernetes grow by themselves.
"""

from collections.abc import Iterable
from typing import Any

from service.domain import keys
from service.domain.derived import doubt, listed
from service.domain.facts import Absent, Evidence, Key, Known
from service.domain.keys import ServerGroup, ServerGroups
from service.domain.model import Way
from service.domain.rule import Case, Direction, Rule
from service.domain.verdict import Finding, blocks, passes, unknown, warns

GROW = "Scale it up by hand first, or tick it and wait until it has grown."


def needs(case: Case) -> Iterable[Key[Any]]:
    """The state, and the server groups of a target that is made of such."""
    yield keys.state(case.target)
    state = case.facts.read(keys.state(case.target))
    if isinstance(state, Known) and keys.machines(state.value.objects):
        yield keys.server_groups(case.target)


def ask(case: Case) -> Finding:
    """There, large enough, and let."""
    state = case.facts.read(keys.state(case.target))
    if isinstance(state, Absent):
        return doubt("Whether this is made of server groups is unknown", state, clears="Let the delivery system be read.")
    if not keys.machines(state.value.objects):
        return passes("Nothing here is a server group.", state.evidence)
    found = case.facts.read(keys.server_groups(case.target))
    if isinstance(found, Absent):
        return doubt("Which server groups there are is unknown", found, state.evidence, clears="Let Spinnaker show them.")
    proof = (state.evidence, found.evidence)
    if case.suspect is None or case.goal is None:
        return unknown("No release to leave and to go back to is known.", *proof, clears="Known once both releases are.")
    bad, good = found.value.of_release(case.suspect.key), found.value.of_release(case.goal.key)
    if good is None or bad is None:
        says = f"server group {case.suspect.name} is not there any more" if bad is None else bad.what_became_of(case.goal.name)
        return blocks(f"{says[:1].upper()}{says[1:]}.", *proof, clears="Deploy the old version again with your own pipeline.")
    return _judged(found.value, bad, good, proof)


def _judged(groups: ServerGroups, bad: ServerGroup, good: ServerGroup, proof: tuple[Evidence, ...]) -> Finding:
    beside = [one.name for one in groups.groups if one.takes_traffic is not False and one.name not in {bad.name, good.name}]
    if beside:
        return blocks(
            f"{listed(beside)} {'take' if len(beside) > 1 else 'takes'} traffic too.", *proof, clears="Say which is to serve, and disable the others."
        )
    grows = good.has_to_grow(bad)
    if grows is None:
        return unknown(f"How many instances {bad.name} and {good.name} have is not told.", *proof, clears="Let Spinnaker count them.")
    if not bad.desired and not good.running:
        return blocks(f"Neither {bad.name} nor {good.name} has an instance.", *proof, clears="Scale one of them up by hand.")
    if grows:
        return _grows(bad, good, proof)
    runs = f"Server group {good.name} still runs {good.running} of {good.desired} instances"
    if good.suspended:
        return warns(f"{runs}, and its scaling is switched off ({listed(good.suspended)}).", *proof, clears="Switch it on again, or tick it.")
    if groups.guarded is None:
        return unknown(f"{runs}; whether a traffic guard is set is unknown.", *proof, clears="Let Spinnaker show the application's attributes.")
    guard = "; a traffic guard is set, and it takes the traffic before the bad one loses it" if groups.guarded else ""
    return passes(f"{runs}: it can take the traffic at once{guard}.", *proof)


def _grows(bad: ServerGroup, good: ServerGroup, proof: tuple[Evidence, ...]) -> Finding:
    now = f"Server group {good.name} runs {good.running} of {good.desired} instances, {bad.name} should have {bad.desired}"
    if good.launchable is False:
        return blocks(f"{now}: it has to grow, and what launches its machines is gone.", *proof, clears="Deploy the old version again with your own pipeline.")
    if good.launchable is None:
        return unknown(f"{now}: it has to grow, and whether its machines can be launched is unknown.", *proof, clears="Look at its launch configuration.")
    return warns(f"{now}: it has to grow first, and until then {bad.name} serves.", *proof, clears=GROW)


RULE = Rule(
    name="server_group_can_take_over",
    question="Is the old server group there, and large enough to take the traffic?",
    ask=ask,
    needs=needs,
    directions=frozenset({Direction.BACK}),
    ways=frozenset({Way.ENABLE_PREVIOUS}),
)
