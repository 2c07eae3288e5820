"""What a step of a plan is to Argo CD, and what all steps share: reading the application again, patching it, and looking at who else acts.

A step stands in a file of its own with everything about it: its order in words (`plan`), what must hold before (`may`), the one request (`act`), and
how its effect is recognised afterwards (`see`). A new one costs its file, its test, and its line in `table.py`.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.client import Client, ServerRefusedError
from integrations.delivery.argocd.facts import ACTIONS_V2_SINCE, Looked, Reader, rollout_node
from integrations.delivery.argocd.settings import Settings
from integrations.delivery.argocd.steps import judging, patches
from service.domain.errors import BackoutError, PermanentError, RefusedError
from service.domain.model import Json, ObjectRef, TargetId
from service.domain.planning.plan import Step
from service.domain.ports import Clock, Guard, Intention, Observation, Seen

SETTLED_AFTER = timedelta(seconds=30)
"""An effect not seen this long after the last request ended never happened; one accepted and not picked up this long after its intent is stuck."""
POLL = 0.25
NO_OPERATION = "No operation is in progress"
ONE_SECOND = timedelta(seconds=1)
PATCH_TRIES = 5
RENDER_PAUSES = (0.0, 1.0, 2.0)
"""Seconds before each try to render the goal release: a repo-server that is just being restarted is not a Git that is gone."""
WINDOW_LEFT = timedelta(seconds=60)
"""A window that closes sooner than this counts as closed right before a write; the rule asks for more when the plan is made."""

Intent = Mapping[str, Json]
"""What `intend` remembered: plain JSON, all that `see` needs, also after a crash."""

Operations = Callable[[reading.Body], Sequence[Mapping[str, Json]]]
"""The JSON patch for an application as it was just read; raises RefusedError where it must not be written any more."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What every step works with."""

    settings: Settings
    client: Client
    reader: Reader
    clock: Clock
    acting: bool = False

    async def get(self, intent: Intent, *, anew: bool = False) -> Looked:
        """The application now, read `anew` by whoever acts; OtherApplicationError when it is not the one that was meant."""
        looked = await self.reader.get(TargetId.parse(str(intent["target"])), project=str(intent["project"]), anew=anew or self.acting)
        judging.same_application(looked.app, str(intent["uid"]), str(intent["target"]))
        return looked

    async def patch(self, intent: Intent, operations: Operations, guard: Guard, *, just_read: Looked | None = None) -> None:
        """Read, judge, patch. Where the patch had to test the resource version, any status write in between fails it: then all of it again.

        `just_read`: the caller's own look, for the first try; nothing was waited for since.
        """
        for last in (*[False] * (PATCH_TRIES - 1), True):
            looked, just_read = just_read or await self.get(intent), None
            try:
                await self.client.patch(looked.ref, operations(looked.app), guard)
            except ServerRefusedError as error:
                if last or patches.RESOURCE_VERSION not in error.words:
                    raise
            else:
                return

    async def patch_or_refuse(self, intent: Intent, operations: Operations, guard: Guard) -> None:
        """The same; what the server refuses becomes RefusedError with its words."""
        try:
            await self.patch(intent, operations, guard)
        except ServerRefusedError as error:
            raise RefusedError(patches.refusal_of(error)) from error

    async def run_action(self, looked: Looked, ref: ObjectRef, action: str, guard: Guard) -> None:
        """Run a resource action on a Rollout of the application, in the form that the server knows."""
        old_form = await self.reader.version() < ACTIONS_V2_SINCE
        await self.client.run_action(looked.ref, rollout_node(ref), action, guard, old_form=old_form)

    async def terminate(self, looked: Looked, guard: Guard) -> bool:
        """Whether the server took the request to end the operation; it refuses while the controller has not picked that up, or when it just ended."""
        try:
            await self.client.terminate(looked.ref, guard)
        except ServerRefusedError as error:
            if NO_OPERATION in error.words:
                return False
            raise
        return True

    def not_seen(self, intent: Intent, says: str) -> Observation:
        """Nothing of ours is seen; from `certain_at` on that means that it never happened."""
        return Observation(seen=Seen.NOT_SEEN, says=says, not_seen_until=datetime.fromisoformat(str(intent["certain_at"])))

    async def all_hold(self, *checks: Awaitable[None]) -> None:
        """Look side by side; of several that do not hold, the first one's error is raised."""
        for error in await asyncio.gather(*checks, return_exceptions=True):
            if error is not None:
                raise error

    async def nobody_else(self, looked: Looked, intention: Intention, *, edits: bool = True) -> None:
        """Promise 5: an act of a person since the trouble began means hands off. Stamps have no fractions, so the same second counts.

        Without `edits` a change of the spec does not: the caller goes to what the spec says, and holds it to the digest that the plan saw.
        """
        if intention.not_before is None:
            return
        for act in await self.reader.acts(looked):
            own_deploy = act.what in {"operation", "history"} and abs(act.at - intention.suspect.started_at) <= ONE_SECOND
            if not edits and act.what == "spec_edit":
                continue
            if act.by.kind == "user" and act.at + ONE_SECOND > intention.not_before and not own_deploy:
                raise RefusedError(f"{act.by.name} is acting on it: {act.says}, at {act.at.isoformat()}")

    async def window_is_open(self, looked: Looked, *, automated: bool = False) -> None:
        """RefusedError while a sync window is in the way, or closes in a moment: the server would accept, hang, and fire later.

        `automated`: what is waited for is a sync that Argo CD begins by itself, which windows may treat otherwise.
        """
        try:
            window, _ = await self.reader.window(looked.ref)
        except PermanentError as error:
            raise RefusedError(f"whether a sync window is in the way is not known ({error})") from error
        is_open, until = (window.automated, window.automated_until) if automated else (window.open, window.until)
        opens = f" (it opens at {until:%Y-%m-%d %H:%M:%S} UTC)" if until else ""
        judging.refuse_when(
            not is_open, f"{window.says}{opens}: {'nothing would be deployed' if automated else 'an operation of ours would hang and fire when it opens'}"
        )
        if until is not None and until - self.clock.now() < WINDOW_LEFT:
            raise RefusedError(f"{window.says}, and closes at {until:%H:%M:%S} UTC: what is not done by then would hang and fire later")

    async def renders_now(self, looked: Looked, intention: Intention) -> None:
        """RefusedError when the goal release cannot be rendered now: a rollback would be accepted and end in Error (Git and caches away, recording 23).

        The server renders today's sources at that revision, which proves nothing where the release had others; then nobody is asked.
        """
        app, goal = looked.app, intention.goal
        entry = next((one for one in reading.history_of(app) if str(judging.entry_id(one)) == goal.handle), None)
        if entry is None or not reading.same_but_revision(entry, reading.part(app, "spec")):
            return
        why = ""
        for pause in RENDER_PAUSES:
            await self.clock.sleep(pause)
            try:
                await self.client.manifests(looked.ref, reading.revisions_of(entry), multi=bool(reading.entries(entry.get("sources"))))
            except BackoutError as error:
                why = str(error)
            else:
                return
        raise RefusedError(f"release {goal.title} cannot be rendered now, so a rollback would end in Error ({why})")


class ArgoStep(ABC):
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
        """What became of it, as seen from the application."""

    async def withdraw(self, intent: Intent, guard: Guard) -> None:
        """See to it that what waits does not happen any more; only a step that starts an operation leaves something that waits."""
        del intent, guard
