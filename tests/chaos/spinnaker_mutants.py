"""Deliberately broken builds of what Backout does on Spinnaker; see `mutants.py`."""

import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from integrations.delivery.spinnaker import asking, executions, own_rollback
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.executions import Execution
from integrations.delivery.spinnaker.hands import SpinnakerHands
from integrations.delivery.spinnaker.managed import Managed
from integrations.delivery.spinnaker.steps import stop_deploy
from integrations.delivery.spinnaker.steps.undo import Undo
from service.domain.errors import TemporaryError
from service.domain.ports import Guard, Observation, Seen
from tests.chaos.fate import Trouble
from tests.chaos.mutants import CALM, T0, Mutant, Patch
from tests.chaos.schedule import EXACT, JUDGED, QUEUES, SOON, SPINNAKER, Event

Json = Any
UNDOES = "undoRolloutManifest"


def _takes_a_lost_answer_for_a_lost_request() -> Sequence[Patch]:
    async def see(self: Undo, _intent: Any) -> Observation:
        surely = self.t.clock.now() - timedelta(seconds=5)
        return Observation(seen=Seen.NOT_SEEN, says="nothing is seen", not_seen_until=surely)

    return [(Undo, "see", see), *_acts_without_looking()]


def _acts_without_looking() -> Sequence[Patch]:
    async def act(self: Undo, intent: Any, guard: Guard) -> None:
        looked = await self.t.get_manifest(intent)
        where = {"account": intent["account"], "location": intent["location"], "manifestName": intent["manifest"]}
        job = {"type": UNDOES, "cloudProvider": "kubernetes", **where, "revision": intent["revision"], "reason": f"Backout {intent['operation_id']}"}
        await self.t.client.post_task(looked.application, "undo", [job], str(intent["marker"]), guard)

    return [(Undo, "act", act)]


def _counts_on_gate_to_hear_at_once() -> Sequence[Patch]:
    limits = SpinnakerHands._limits  # noqa: SLF001  it is what is broken

    def short(self: SpinnakerHands, at: Any) -> Mapping[str, Json]:
        return {**limits(self, at), "certain_at": at.isoformat()}

    return [(SpinnakerHands, "_limits", short), *_acts_without_looking()]


def _goes_one_back_and_leaves_no_marker() -> Sequence[Patch]:
    post = Client.post_task

    async def relative(self: Client, application: str, description: str, jobs: Sequence[Mapping[str, Json]], marker: str, guard: Guard) -> Any:
        back = [{**{key: value for key, value in job.items() if key != "revision"}, "numRevisionsBack": 1} for job in jobs]
        return await post(self, application, description, back, f"{marker}-{self._clock.now().timestamp()}", guard)

    async def anew(self: Client, application: str, description: str, jobs: Sequence[Mapping[str, Json]], marker: str, guard: Guard) -> Any:
        await relative(self, application, description, jobs, marker, guard)
        return await relative(self, application, description, jobs, f"{marker}-again", guard)

    return [(Client, "post_task", anew)]


def _takes_every_run_for_an_automated_one() -> Sequence[Patch]:
    return [(Execution, "automated", property(lambda _self: True))]


def _switches_again_after_a_lost_answer() -> Sequence[Patch]:
    post = Client.post_task

    async def again(self: Client, application: str, description: str, jobs: Sequence[Mapping[str, Json]], marker: str, guard: Guard) -> Any:
        try:
            return await post(self, application, description, jobs, marker, guard)
        except TemporaryError:
            return await post(self, application, description, jobs, f"{marker}-again", guard)

    return [(Client, "post_task", again)]


def _disables_before_it_enables() -> Sequence[Patch]:
    post = Client.post_task

    async def reversed_(self: Client, application: str, description: str, jobs: Sequence[Mapping[str, Json]], marker: str, guard: Guard) -> Any:
        (job,) = jobs
        given: Any = job["rollbackContext"]
        where = {key: job[key] for key in ("cloudProvider", "credentials", "region", "moniker", "reason")}
        disable = {**where, "type": "disableServerGroup", "serverGroupName": given["rollbackServerGroupName"]}
        enable = {**where, "type": "enableServerGroup", "serverGroupName": given["restoreServerGroupName"]}
        return await post(self, application, description, [disable, enable], marker, guard)

    return [(Client, "post_task", reversed_)]


def _names_any_old_group() -> Sequence[Patch]:
    post = Client.post_task

    async def oldest(self: Client, application: str, description: str, jobs: Sequence[Mapping[str, Json]], marker: str, guard: Guard) -> Any:
        (job,) = jobs
        given: Any = job["rollbackContext"]
        cluster = str(given["restoreServerGroupName"]).rpartition("-")[0]
        named = {**job, "rollbackContext": {**given, "restoreServerGroupName": f"{cluster}-v000"}}
        return await post(self, application, description, [named], marker, guard)

    return [(Client, "post_task", oldest)]


def _does_not_see_keel() -> Sequence[Patch]:
    return [(asking, "managed_of", lambda application, _body: Managed(application=application))]


def _starts_the_own_pipeline_twice() -> Sequence[Patch]:
    start = Client.start

    async def again(self: Client, application: str, pipeline: str, parameters: Mapping[str, Json], marker: str, guard: Guard) -> Any:
        await start(self, application, pipeline, parameters, marker, guard)
        return await start(self, application, pipeline, parameters, f"{marker}-again", guard)

    return [(Client, "start", again)]


def _takes_every_stage_of_an_own_pipeline_for_harmless() -> Sequence[Patch]:
    return [(own_rollback, "_reasons", lambda _stage: ())]


def _takes_whatever_waits_for_the_same_version() -> Sequence[Patch]:
    return [(stop_deploy, "_same_version", lambda _one, _other: True)]


def _takes_a_paused_run_for_one_that_has_ended() -> Sequence[Patch]:
    return [(executions, "_ENDED", executions._ENDED | {executions.Status.PAUSED})]  # noqa: SLF001  it is what is broken


def _the_fix_waits(app: str, chance: random.Random) -> Sequence[Event]:
    return [Event(T0 + chance.uniform(10.0, 30.0), "release", (app, "3.0.0", f"trigger and {QUEUES}"))]


def _paused_for_a_while(app: str, chance: random.Random) -> Sequence[Event]:
    paused = T0 + chance.uniform(10.0, 30.0)
    return [Event(paused, "with_pipelines", (app, "pauses the run")), Event(paused + 150.0, "with_pipelines", (app, "resumes the run"))]


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="does not see keel",
        promise=7,
        says="rolls back what keel takes forward again",
        patches=_does_not_see_keel,
        rates=CALM,
        delivery=SPINNAKER,
        keel=True,
    ),
    Mutant(
        name="starts the own pipeline twice",
        promise=3,
        says="has the team's rollback pipeline run twice",
        patches=_starts_the_own_pipeline_twice,
        rates=CALM,
        delivery=SPINNAKER,
        own=EXACT,
    ),
    Mutant(
        name="takes every stage of an own pipeline for harmless",
        promise=1,
        says="starts by itself a rollback pipeline that asks a person",
        patches=_takes_every_stage_of_an_own_pipeline_for_harmless,
        rates=CALM,
        delivery=SPINNAKER,
        own=JUDGED,
    ),
    Mutant(
        name="takes whatever waits for the same version",
        promise=5,
        says="cancels the fix, which waits behind the bad deploy",
        patches=_takes_whatever_waits_for_the_same_version,
        rates=CALM,
        events=_the_fix_waits,
        delivery=SPINNAKER,
        how=f"trigger and {QUEUES}",
    ),
    Mutant(
        name="takes a paused run for one that has ended",
        promise=7,
        says="goes back while a paused deploy will bring the bad version again",
        patches=_takes_a_paused_run_for_one_that_has_ended,
        rates=CALM,
        events=_paused_for_a_while,
        delivery=SPINNAKER,
        how=f"trigger and {SOON}",
    ),
    Mutant(
        name="answers the judgment of a person's deploy",
        promise=5,
        says="stops the deploy that a person has started and is asked about",
        patches=_takes_every_run_for_an_automated_one,
        rates=CALM,
        delivery=SPINNAKER,
        how=f"by hand and {JUDGED}",
    ),
    Mutant(
        name="switches again after a lost answer",
        promise=3,
        says="has both server groups switched twice",
        patches=_switches_again_after_a_lost_answer,
        rates={Trouble.ANSWER_LOST: 0.5},
        mode="approve",
        delivery=SPINNAKER,
        machines=True,
    ),
    Mutant(
        name="disables before it enables",
        promise=7,
        says="takes the bad server group's traffic while the good one has none yet",
        patches=_disables_before_it_enables,
        rates=CALM,
        mode="approve",
        delivery=SPINNAKER,
        machines=True,
    ),
    Mutant(
        name="names any old server group",
        promise=5,
        says="enables a server group that is not the plan's",
        patches=_names_any_old_group,
        rates=CALM,
        mode="approve",
        delivery=SPINNAKER,
        machines=True,
    ),
    Mutant(
        name="takes a lost answer for a lost request",
        promise=7,
        says="says that nothing was changed, and ends the hold over its own undo",
        patches=_takes_a_lost_answer_for_a_lost_request,
        rates={Trouble.ANSWER_LOST: 0.9},
        delivery=SPINNAKER,
    ),
    Mutant(
        name="counts on Gate to hear at once",
        promise=3,
        says="sends again while the first request is still on its way",
        patches=_counts_on_gate_to_hear_at_once,
        rates={Trouble.REQUEST_LATE: 0.8},
        delivery=SPINNAKER,
        within=40,
    ),
    Mutant(
        name="goes one back and leaves no marker",
        promise=3,
        says="asks for the revision before, whichever that is when it is heard",
        patches=_goes_one_back_and_leaves_no_marker,
        rates=CALM,
        delivery=SPINNAKER,
    ),
    Mutant(
        name="takes every run for an automated one",
        promise=5,
        says="cancels the deploy that a person has started",
        patches=_takes_every_run_for_an_automated_one,
        rates=CALM,
        delivery=SPINNAKER,
        how="by hand and more",
    ),
)
