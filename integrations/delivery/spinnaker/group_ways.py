"""Which way back there is for a cluster of server groups; pure over the facts.

One form, two speeds: where the old group still runs at its size its traffic is switched (the fastest way that there is); where it was scaled down it
grows first. What the strategy of the last deploy left behind is not guessed from its name: the groups that are there are what counts.
"""

from collections.abc import Mapping
from dataclasses import replace

from integrations.delivery.spinnaker import commands, stay_back
from integrations.delivery.spinnaker.server_groups import ClusterAddress
from integrations.delivery.spinnaker.steps import switch_groups
from service.domain import keys
from service.domain.facts import Absent
from service.domain.keys import ServerGroup, ServerGroups, TargetState
from service.domain.model import Json, Release, Way
from service.domain.planning.plan import Offer
from service.domain.rule import Case

FAST = "the old server group still runs: it gets its traffic back within seconds, nothing is deployed and no machine is started"
GROWS = "the old server group is still there and was scaled down: it grows first, which takes as long as its machines need to start"


def offers(case: Case, url: str, address: ClusterAddress, state: TargetState, suspect: Release, goal: Release) -> tuple[Offer, ...]:
    """The switch from the suspect's server group to the goal's."""
    fact = case.facts.read(keys.server_groups(case.target))
    if isinstance(fact, Absent):
        return (_impossible(f"the server groups are unknown: {fact.why}"),)
    bad, good = fact.value.of_release(suspect.key), fact.value.of_release(goal.key)
    if bad is None:
        return (_impossible(f"server group {suspect.name} is not there any more"),)
    if good is None:
        return (_impossible(why_gone(case, suspect, goal)),)
    if why := _why_not(fact.value, bad, good):
        return (_impossible(why),)
    grows = good.has_to_grow(bad) is True
    about: Mapping[str, Json] = {"bad": bad.name, "bad_is": suspect.revision, "good": good.name, "good_is": goal.revision, "grows": grows}
    where = replace(address, application=state.project, provider=fact.value.cloud)
    job = switch_groups.job_of(where, bad=bad.name, good=good.name, desired=bad.desired)
    body = {"application": state.project, "description": f"From {bad.name} back to {good.name}", "job": [job]}
    switch = switch_groups.plan(about, spec_digest=state.spec_digest, command=commands.post(url, "/tasks", body))
    steps = stay_back.around(state, suspect, switch, url)
    return (Offer(way=Way.ENABLE_PREVIOUS, steps=steps, because=GROWS if grows else FAST, permissions=("get", "sync")),)


def why_gone(case: Case, suspect: Release, goal: Release) -> str:
    """Why the goal's server group is not there any more; "" when it is there, or when nothing here is a server group."""
    fact = case.facts.read(keys.server_groups(case.target))
    if isinstance(fact, Absent) or fact.value.of_release(goal.key) is not None:
        return ""
    bad = fact.value.of_release(suspect.key)
    return "" if bad is None else f"{bad.what_became_of(goal.name)}: only a deploy of the old version brings it back"


def _impossible(why: str) -> Offer:
    return Offer(way=Way.ENABLE_PREVIOUS, steps=(), because=FAST, impossible=why)


def _why_not(groups: ServerGroups, bad: ServerGroup, good: ServerGroup) -> str:
    beside = [one.name for one in groups.groups if one.takes_traffic is not False and one.name not in {bad.name, good.name}]
    if beside:
        return f"server group {', '.join(beside)} takes traffic too: which one is to serve is for a person to say"
    if not groups.cloud:
        return "which cloud runs them is not told"
    if good.has_to_grow(bad) is None:
        return f"how large {bad.name} and {good.name} are is not told"
    if not bad.desired and not good.running:
        return f"neither {bad.name} nor {good.name} has a machine: nothing would serve"
    return ""
