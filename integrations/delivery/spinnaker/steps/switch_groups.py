"""Gives the old server group its traffic back, and then takes the bad one's: `rollbackServerGroup` EXPLICIT, both named (care D4).

Never without names: `rollbackCluster` and PREVIOUS_IMAGE choose by themselves, and done twice they go forward to the bad version (recording 12j). With both
names a second run enables what is enabled and disables what is disabled. Orca's order is enable, wait until it is healthy, resize, disable: what dies in
between leaves both serving, which is harmless and is cured by doing the same again, never by reversing it (care D15).
"""

from collections.abc import Mapping

from integrations.delivery.spinnaker.executions import Execution, Status, ref_of
from integrations.delivery.spinnaker.group_facts import CACHE_LAGS, LookedCluster, a_cluster
from integrations.delivery.spinnaker.looked import Looked, running_of
from integrations.delivery.spinnaker.server_groups import ClusterAddress, ServerGroup, healthy_percentage, identity_of
from integrations.delivery.spinnaker.steps.names import SWITCH
from integrations.delivery.spinnaker.steps.step import (
    Intent,
    SpinnakerStep,
    alive,
    may_go_on,
    nobody_else,
    own_task,
    refuse_when,
    suspect_is_live,
    unedited,
)
from service.domain.errors import RefusedError, TemporaryError
from service.domain.model import Json
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen

LOOKED_UP_IN_VAIN = "Failed Clouddriver look up"
"""Orca's words where it could not read the sizes within five seconds: nothing was posted then, so it may be asked for again (recording 12d, care D4)."""


def job_of(where: ClusterAddress, *, bad: str, good: str, desired: int | None) -> dict[str, Json]:
    """The one job. Orca itself reads both sizes as it plans, and scales the old group only where it is smaller (recordings 12b, 12c)."""
    return {
        "type": "rollbackServerGroup",
        "rollbackType": "EXPLICIT",
        "cloudProvider": where.provider,
        "credentials": where.account,
        "region": where.region,
        "moniker": {"app": where.application, "cluster": where.cluster},
        "rollbackContext": {
            "rollbackServerGroupName": bad,
            "restoreServerGroupName": good,
            "targetHealthyRollbackPercentage": healthy_percentage(desired),
            "delayBeforeDisableSeconds": 0,
            "enableAndDisableOnly": False,
            "disableOnly": False,
        },
    }


def plan(about: Mapping[str, Json], *, spec_digest: str, command: str) -> Step:
    """The order. `about` names both groups, tells which ones they are, and whether the old one has to grow."""
    bad, good = about["bad"], about["good"]
    grows = f"scale server group {good} up to what {bad} has, then " if about["grows"] else ""
    return Step(
        name=SWITCH,
        says=f"Give server group {good} its traffic back and wait until it is healthy, {grows}disable {bad}; nothing is destroyed",
        parameters={**about, "spec_digest": spec_digest},
        done_when=f"{good} takes traffic, {bad} is disabled, and the task {Status.SUCCEEDED}",
        fallback=f"{good} does not come up, or a traffic guard refuses: {bad} is left as it is; where both serve afterwards, the same is done again",
        command=command,
        stands=f"server group {bad} stays, disabled: no machine of it is ended",
    )


class SwitchGroups(SpinnakerStep):
    """One ad-hoc task, recognised by our marker and by which groups take traffic."""

    name = SWITCH

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        looked = a_cluster(looked)
        unedited(step, looked)
        suspect_is_live(looked, intention)
        nobody_else(looked, intention)
        bad = _group(looked, str(step.parameters["bad"]), str(step.parameters["bad_is"]))
        good = _group(looked, str(step.parameters["good"]), str(step.parameters["good_is"]))
        _nothing_beside(looked, bad, good)
        grows = looked.fact_of(good).has_to_grow(looked.fact_of(bad))
        refuse_when(grows is not False and step.parameters["grows"] is not True, f"{good.name} is smaller than {bad.name} now: {_size(good)}")
        refuse_when(grows is not False and good.launchable is not True, f"{good.name} has to grow, and its image or launch configuration is not there")
        return {
            "bad": bad.name,
            "good": good.name,
            "bad_is": identity_of(bad),
            "good_is": identity_of(good),
            "desired": bad.desired,
            "before": _told(looked),
        }

    async def act(self, intent: Intent, guard: Guard) -> None:
        looked = a_cluster(await self.t.get(intent))
        before = self._seen(looked, intent)
        if before.seen in {Seen.DONE, Seen.RUNNING, Seen.STUCK}:
            return
        refuse_when(before.seen is not Seen.NOT_SEEN, before.says)
        refuse_when(looked.spec_digest != intent["spec_digest"], "somebody changed its load balancers meanwhile")
        refuse_when(_told(looked) != intent["before"], f"somebody changed the size or the traffic of its server groups meanwhile: {_changed(looked, intent)}")
        job = job_of(looked.address, bad=str(intent["bad"]), good=str(intent["good"]), desired=intent["desired"])
        job["reason"] = f"Backout {intent['operation_id']}"
        description = f"Backout {intent['operation_id']}: from {intent['bad']} back to {intent['good']}"
        reply = await self.t.client.post_task(looked.application, description, [job], str(intent["marker"]), guard)
        if not ref_of(reply.body):
            raise TemporaryError(f"{reply.what} named no task; what was started is looked for")

    async def see(self, intent: Intent) -> Observation:
        return await self.t.alive(intent) or self._seen(a_cluster(await self.t.get(intent)), intent)

    async def withdraw(self, intent: Intent, guard: Guard) -> None:
        await self.t.withdraw_task(intent, guard)

    def _seen(self, looked: LookedCluster, intent: Intent) -> Observation:
        task = own_task(looked, intent)
        newer = _newer(looked, intent)
        if task is None:
            return self._without_task(looked, intent, newer)
        details = _details(looked, intent, task)
        now = self.t.clock.now()
        if not task.status.ended:
            return alive(task, intent, now)
        if newer:
            return Observation(seen=Seen.FOREIGN, says=f"server group {newer} was deployed meanwhile, by somebody else", details=details)
        if _switched(looked, intent):
            says = f"server group {intent['good']} takes the traffic again, {intent['bad']} is disabled"
            if task.status is not Status.SUCCEEDED:
                says += f"; Spinnaker's own wait for it ended {task.status}: {task.failure or 'it does not say why'}"
            return Observation(seen=Seen.DONE, says=says, details=details)
        there = not any(_is_gone(looked, intent, which) for which in ("good", "bad"))
        if there and task.status is Status.TERMINAL and not task.has_posted and LOOKED_UP_IN_VAIN in task.failure:
            return self.t.not_seen(intent, f"task {task.id} asked for nothing: {task.failure}")
        ended = task.ended_at
        why = task.failure or ("it was cancelled" if task.status is Status.CANCELED else "it does not say why")
        told = "" if task.status is Status.SUCCEEDED else f": {why}"
        lags = task.status is Status.SUCCEEDED and ended is not None and now < ended + CACHE_LAGS
        if lags or (_is_open(looked, intent, task) and may_go_on(task, intent, now)):
            says = f"task {task.id} ended {task.status}{told}; what it asked for may still show: {_stands(looked, intent)}"
            return Observation(seen=Seen.RUNNING, says=says, details=details)
        return Observation(seen=Seen.FAILED, says=f"task {task.id} ended {task.status}{told}; {_stands(looked, intent)}", details=details)

    def _without_task(self, looked: LookedCluster, intent: Intent, newer: str) -> Observation:
        if newer:
            return Observation(seen=Seen.FOREIGN, says=f"server group {newer} was deployed meanwhile")
        for which in ("good", "bad"):
            if _is_gone(looked, intent, which):
                return Observation(seen=Seen.FOREIGN, says=f"somebody destroyed server group {intent[which]} meanwhile")
        if _switched(looked, intent):
            return Observation(seen=Seen.FOREIGN, says=f"somebody else gave server group {intent['good']} its traffic back meanwhile")
        if running := running_of(looked):
            return Observation(seen=Seen.FOREIGN, says=f"{running.by.name} is acting on it: {running.says}")
        return self.t.not_seen(intent, "no task of ours is seen")


def _group(looked: LookedCluster, name: str, identity: str) -> ServerGroup:
    """The group that the plan named; RefusedError when it is gone, or when another one took its number."""
    found = looked.cluster.named(name)
    if found is None:
        raise RefusedError(f"server group {name} is not there any more")
    refuse_when(identity_of(found) != identity, f"server group {name} is another one now than when the plan was made")
    return found


def _nothing_beside(looked: LookedCluster, bad: ServerGroup, good: ServerGroup) -> None:
    beside = [one.name for one in looked.cluster.enabled if one.name not in {bad.name, good.name}]
    refuse_when(bool(beside), f"server group {', '.join(beside)} takes traffic too: which one is to serve is for a person to say")


def _is_gone(looked: LookedCluster, intent: Intent, which: str) -> bool:
    found = looked.cluster.named(str(intent[which]))
    return found is None or identity_of(found) != intent[f"{which}_is"]


def _switched(looked: LookedCluster, intent: Intent) -> bool:
    """Whether the old group takes traffic with healthy machines, and the bad one none (a destroyed one takes none either)."""
    good, bad = looked.cluster.named(str(intent["good"])), looked.cluster.named(str(intent["bad"]))
    if good is None or _is_gone(looked, intent, "good"):
        return False
    return good.serves and (bad is None or bad.disabled is True)


def _is_open(looked: LookedCluster, intent: Intent, task: Execution) -> bool:
    """Whether something that the ended task asked for is not known to be done, or does not show yet."""
    good, bad = (looked.cluster.named(str(intent[which])) for which in ("good", "bad"))
    shows = {"enableServerGroup": good is not None and good.disabled is False, "disableServerGroup": bad is None or bad.disabled is True}
    return any(stage.posted and not (stage.status.well and shows.get(stage.kind, True)) for stage in task.stages)


def _newer(looked: LookedCluster, intent: Intent) -> str:
    """A group that takes traffic and is none of both: somebody deployed."""
    return next((one.name for one in looked.cluster.enabled if one.name not in {intent["good"], intent["bad"]}), "")


def _stands(looked: LookedCluster, intent: Intent) -> str:
    """Where both groups stand, in words; what to do where both or none serves."""
    words = [_where(looked.cluster.named(str(intent[which])), str(intent[which])) for which in ("good", "bad")]
    good, bad = (looked.cluster.named(str(intent[which])) for which in ("good", "bad"))
    both = good is not None and bad is not None and good.disabled is False and bad.disabled is False
    return "; ".join(words) + ("; both serve, the bad one too: mend what failed, then ask for the same again, never for the reverse" if both else "")


def _where(group: ServerGroup | None, name: str) -> str:
    if group is None:
        return f"{name} is gone"
    traffic = {True: "takes no traffic", False: "takes traffic", None: "may take traffic"}[group.disabled]
    return f"{name} {traffic} ({_size(group)})"


def _size(group: ServerGroup) -> str:
    running = "nobody knows how many" if group.running is None else str(group.running)
    return f"{running} of {group.desired if group.desired is not None else '?'} instances run"


def _told(looked: LookedCluster) -> dict[str, Json]:
    """Size and traffic of every group, for the record and to see what somebody else changes. Without desired, which scaling moves by itself."""
    return {
        one.name: {"disabled": one.disabled, "minimum": one.minimum, "maximum": one.maximum, "images": [image.reference for image in one.images]}
        for one in looked.cluster.groups
    }


def _changed(looked: LookedCluster, intent: Intent) -> str:
    now, before = _told(looked), intent["before"]
    return ", ".join(sorted(name for name in {*now, *before} if now.get(name) != before.get(name)))


def _details(looked: LookedCluster, intent: Intent, task: Execution) -> Mapping[str, Json]:
    """For the record: which task, its words, and every group before and after."""
    return {
        "handle": str(intent["good"]),
        "task": task.id,
        "status": str(task.status),
        "message": task.failure,
        "before": intent["before"],
        "after": _told(looked),
    }
