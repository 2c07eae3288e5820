"""What a step of a plan is to Spinnaker, and what all steps share: reading the target again, and finding what we started among what runs.

A step stands in a file of its own with everything about it: its order in words (`plan`), what must hold before (`may`), the one request (`act`), and
how its effect is recognised afterwards (`see`). A new one costs its file, its test, and its line in `table.py`.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from integrations.delivery.spinnaker.client import TASKS_SHOWN, Client
from integrations.delivery.spinnaker.executions import Execution
from integrations.delivery.spinnaker.facts import Reader
from integrations.delivery.spinnaker.looked import Looked, acts_of, running_of
from integrations.delivery.spinnaker.manifest_facts import LookedManifest, a_manifest
from integrations.delivery.spinnaker.runs import OURS
from integrations.delivery.spinnaker.settings import Settings
from service.domain.errors import RefusedError, TemporaryError
from service.domain.model import Json, TargetId
from service.domain.planning.plan import Step
from service.domain.ports import Clock, Guard, Intention, Observation, Seen

SETTLED_AFTER = timedelta(seconds=30)
"""One that was accepted and has not begun so long after its intent waits for something outside."""
POSTED_GOES_ON = timedelta(seconds=60)
"""A cancelled or failed run does not call back what it has asked the cloud for: so long after its end that may still show."""
ONE_SECOND = timedelta(seconds=1)

Intent = Mapping[str, Json]
"""What `intend` remembered: plain JSON, all that `see` needs, also after a crash."""


class OtherObjectError(RefusedError):
    """The object that was meant is gone, or replaced by one of the same name."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What every step works with."""

    settings: Settings
    client: Client
    reader: Reader
    clock: Clock
    acting: bool = False

    async def get(self, intent: Intent) -> Looked:
        """The target now, read anew by whoever acts; OtherObjectError when it is not the one that was meant."""
        looked = await self.reader.get(TargetId.parse(str(intent["target"])), anew=self.acting)
        same_object(looked, str(intent["uid"]))
        return looked

    async def get_manifest(self, intent: Intent) -> LookedManifest:
        """The same of a manifest."""
        return a_manifest(await self.get(intent))

    async def alive(self, intent: Intent) -> Observation | None:
        """Our task while it runs: it alone is asked for, once for all whom its application has running (care D17). None once it ended, or is not seen."""
        application = str(intent["application"])
        task = own_among(await self.reader.applications.running_tasks(application, anew=self.acting), application, intent)
        return None if task is None or task.status.ended else alive(task, intent, self.clock.now())

    async def withdraw_task(self, intent: Intent, guard: Guard) -> None:
        """Cancel our task as long as it has not asked for anything: then nothing of it happens (care D8)."""
        task = own_task(await self.get(intent), intent)
        if task is not None and not task.status.ended and not task.has_posted:
            await self.client.cancel_task(task.id, guard)

    def not_seen(self, intent: Intent, says: str) -> Observation:
        """Nothing of ours is seen; from `certain_at` on that means that it never happened."""
        return Observation(seen=Seen.NOT_SEEN, says=says, not_seen_until=certain_at(intent))


class SpinnakerStep(ABC):
    """One kind of step. `name` is what plans and intents call it, for ever."""

    name: ClassVar[str]

    def __init__(self, tools: Tools) -> None:
        self.t = tools

    @abstractmethod
    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        """What must hold before; RefusedError in one sentence when it does not. The answer is added to the intent."""

    @abstractmethod
    async def act(self, intent: Intent, guard: Guard) -> None:
        """Look whether it happened already, then send once. TemporaryError: nobody knows. RefusedError: it did not and will not happen."""

    @abstractmethod
    async def see(self, intent: Intent) -> Observation:
        """What became of it, as seen from the target."""

    async def withdraw(self, intent: Intent, guard: Guard) -> None:
        """See to it that what waits does not happen any more."""
        del intent, guard


def certain_at(intent: Intent) -> datetime:
    """From when on no request of this intent can be under way. The latest end, too, of something of ours that does not tell when it ended."""
    return datetime.fromisoformat(str(intent["certain_at"]))


# --- what several steps ask of one look ---


def refuse_when(when: bool, says: str) -> None:
    """RefusedError with that sentence, when it is so."""
    if when:
        raise RefusedError(says)


def same_object(looked: Looked, uid: str) -> None:
    """OtherObjectError unless it is the object of that uid, and not on its way out."""
    if looked.uid != uid:
        raise OtherObjectError(f"{looked.target} is another object of the same name now")
    if looked.leaving:
        raise OtherObjectError(f"{looked.target} is being deleted")


def unedited(step: Step, looked: Looked) -> None:
    """The spec is as when the plan was made."""
    refuse_when(step.parameters.get("spec_digest") != looked.spec_digest, "somebody edited the spec since the plan was made")


def suspect_is_live(looked: Looked, intention: Intention) -> None:
    """RefusedError when something else was deployed since the plan was made."""
    live, suspect = looked.live_release, intention.suspect
    if live is None or live.key != suspect.key:
        raise RefusedError(f"{looked.live_says} was deployed since: it is no longer release {suspect.title} that is live")


def nobody_else(looked: Looked, intention: Intention) -> None:
    """Promise 5: a run that is alive, and an act of a person since the trouble began, mean hands off; so does who would take it back (or may)."""
    keel = looked.managed.owner_in(looked.address.account)
    if keel is not None:
        raise RefusedError(keel.says)
    if running := running_of(looked):
        raise RefusedError(f"{running.by.name} is acting on it: {running.says}")
    nobody_acted(looked, intention)


def nobody_acted(looked: Looked, intention: Intention) -> None:
    """The second half of that: what a person did since the trouble began."""
    if intention.not_before is None:
        return
    for act in acts_of(looked):
        own_deploy = abs(act.at - intention.suspect.started_at) <= ONE_SECOND
        if act.by.kind == "user" and not act.ours and act.at + ONE_SECOND > intention.not_before and not own_deploy:
            raise RefusedError(f"{act.by.name} is acting on it: {act.says}, at {act.at.isoformat()}")


def marker_of(intention: Intention, step: str) -> str:
    """What our request carries and is found by: it names operation, step, target and attempt, for Spinnaker compares it over all applications (07)."""
    about = hashlib.sha256(f"{intention.target}|{intention.at.isoformat()}".encode()).hexdigest()[:12]
    operation = re.sub(r"[^A-Za-z0-9]", "-", intention.operation_id)[:60]
    return f"{OURS}{operation}-{step.replace('_', '-')}-{about}"


def own_task(looked: Looked, intent: Intent) -> Execution | None:
    """The task of ours among what was run in the looked-at target's application."""
    return own_among([run for run in looked.runs if run.is_task], looked.application, intent)


def own_among(tasks: Sequence[Execution], application: str, intent: Intent) -> Execution | None:
    """The task that carries our marker; the newest, if the impossible happened and there are two.

    TemporaryError where the list is as long as it gets and ends after our intent: ours may be behind its end.
    """
    own = [run for run in tasks if run.marker == intent["marker"]]
    if own:
        return max(own, key=lambda run: run.id)
    oldest = min((run.built_at for run in tasks if run.built_at), default=None)
    if len(tasks) >= TASKS_SHOWN and oldest is not None and oldest > datetime.fromisoformat(str(intent["at"])):
        raise TemporaryError(f"application {application} ran so many tasks since that ours may be behind the end of the list")
    return None


def alive(task: Execution, intent: Intent, now: datetime) -> Observation:
    """Our task has not ended. One that was accepted long ago and has asked for nothing is kept by something outside."""
    waits = not task.has_posted and now > datetime.fromisoformat(str(intent["at"])) + SETTLED_AFTER
    says = f"task {task.id} is {task.status}" + ("" if task.has_posted else ", and has asked for nothing yet")
    details = {"task": task.id, "status": str(task.status), "message": task.failure, "before": intent["before"]}
    return Observation(seen=Seen.STUCK if waits else Seen.RUNNING, says=says, withdrawable=waits, nothing_yet=not task.has_posted, details=details)


def may_go_on(task: Execution, intent: Intent, now: datetime) -> bool:
    """Whether what our task had asked for may still happen, although it has ended."""
    return task.has_posted and now < (task.ended_at or certain_at(intent)) + POSTED_GOES_ON
