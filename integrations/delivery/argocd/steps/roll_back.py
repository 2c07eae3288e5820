"""Rolls back to an entry of the history, and recognises that rollback among the operations of others."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.client import PRECONDITION, ServerRefusedError
from integrations.delivery.argocd.facts import Looked
from integrations.delivery.argocd.steps import commands, judging
from integrations.delivery.argocd.steps.names import BACK
from integrations.delivery.argocd.steps.step import SETTLED_AFTER, ArgoStep, Intent
from service.domain.errors import BackoutError, RefusedError
from service.domain.keys import TargetState
from service.domain.model import Json, Release, Way, release_key
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen

SECOND_LOOK = 1.1
"""Seconds until a stamp of the same second means something else: Argo CD's times have no fractions."""
BLOCKED_LOOK = 2.2
"""Seconds until `blocked by sync window` is meant: an operation in a window that lets it through shows it for 0.2 s."""


def plan(state: TargetState, goal: Release) -> Step:
    """The order."""
    return Step(
        name=BACK,
        says=f"Roll {state.title} back to history id {goal.handle} ({goal.revision[:7]}), without pruning",
        parameters={"history_id": int(goal.handle), "goal": goal.key, "spec_digest": state.spec_digest},
        done_when="the operation Succeeded, a new history entry shows it, and Argo CD reconciled after it ended",
        fallback="the release cannot be rendered now (Git and caches down): nothing is sent; where that shows only later the operation ends in Error",
        command=commands.argocd(reading.app_ref(state.target), "rollback", then=(goal.handle,)),
    )


class RollBack(ArgoStep):
    """One request, recognised afterwards by account, sources and what is new since."""

    name = BACK
    noun = "rollback"
    """What the operation is called in sentences."""

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        app = looked.app
        if reading.auto_sync_on(app):
            owner = await self.t.reader.owner(app)
            raise RefusedError(f"auto-sync is on again: {owner.says}" if owner.says else "auto-sync is on (again): somebody wants it so")
        undoing = (await self.t.reader.owner(app, midway=True)).undoing(Way.ROLLBACK)  # it may have come since, and where auto-sync is off no other step asked
        judging.refuse_when(undoing is not None, undoing.says if undoing is not None else "")
        judging.unedited(step, intention, app)
        judging.suspect_is_live(app, intention)
        judging.goal_is_there(app, intention.goal)
        if running := reading.running_of(app, looked.me, self.t.clock.now()):
            raise RefusedError(f"an operation of {running.by.name} holds the application ({running.phase} {running.says})".rstrip())
        judging.not_marked_by_another(app, intention)
        await self.t.all_hold(self.t.nobody_else(looked, intention), self.t.window_is_open(looked), self.t.renders_now(looked, intention))
        return {}

    async def act(self, intent: Intent, guard: Guard) -> None:
        before, looked = await self.look(intent)
        if _happened(before):
            return  # it happened, whatever was done on top of it since: `observe` tells; a refusal would read as if it had not
        judging.refuse_when(before.seen is not Seen.NOT_SEEN, before.says)
        judging.refuse_when(reading.auto_sync_on(looked.app), "auto-sync is on again")
        judging.still_unedited(looked.app, intent)  # what was deployed since, `see` told above
        try:
            await self.send(looked, intent, guard)
        except ServerRefusedError as error:
            busy = error.code == PRECONDITION and "another operation is already in progress" in error.words
            if busy and _happened(await self.see(intent)):
                return
            raise

    async def send(self, looked: Looked, intent: Intent, guard: Guard) -> None:
        """The one request."""
        await self.t.client.roll_back(looked.ref, int(intent["goal_id"]), guard)

    def is_own(self, operation: reading.Body, intent: Intent) -> bool:
        """Whether it is the operation that we asked for: our account, applied without hooks, to the goal's sources and revisions."""
        sync = reading.part(operation, "sync")
        strategy = sync.get("syncStrategy")
        by_us = judging.is_by(reading.part(operation, "initiatedBy"), intent)
        return by_us and isinstance(strategy, Mapping) and "apply" in strategy and release_key(reading.sources_of(sync)) == intent["goal_key"]

    def passes_over(self, operation: reading.Body, intent: Intent) -> bool:  # noqa: ARG002  for a step that follows another effect of ours
        """Whether the operation is an earlier effect of ours, which says nothing about this one."""
        return False

    def passes_over_entry(self, entry: reading.Body, intent: Intent) -> bool:  # noqa: ARG002  see above
        """The same of a history entry."""
        return False

    async def see(self, intent: Intent) -> Observation:
        return (await self.look(intent))[0]

    async def look(self, intent: Intent) -> tuple[Observation, Looked]:
        """What became of it, and the application that shows it."""
        looked = await self.t.get(intent)
        observation, again_in = self._rollback_seen(looked, intent, certain=False)
        if again_in:
            await self.t.clock.sleep(again_in)
            looked = await self.t.get(intent, anew=True)
            observation, _ = self._rollback_seen(looked, intent, certain=True)
            if observation.seen is Seen.STUCK and reading.BLOCKED in observation.says:
                return replace(observation, says=f"{observation.says}{await self._opens(looked)}"), looked
        if observation.seen is Seen.STUCK and not observation.details["phase"]:
            about = reading.part(looked.app, "metadata")
            command = commands.take_operation_away(reading.text(about.get("namespace")), reading.text(about.get("name")))
            return replace(observation, says=f"{observation.says}; {command} takes it away"), looked
        return observation, looked

    async def withdraw(self, intent: Intent, guard: Guard) -> None:
        """Argo CD ends it only when the window opens, but then it ends it, instead of running it (recording 08)."""
        looked = await self.t.get(intent, anew=True)
        operation, state = reading.part(looked.app, "operation"), reading.part(looked.app, "status", "operationState")
        waits = bool(operation) and self.is_own(operation, intent) and reading.BLOCKED in reading.said(state.get("message"))
        if waits and reading.text(state.get("phase")) == "Running":
            await self.t.terminate(looked, guard)

    async def _opens(self, looked: Looked) -> str:
        """When it will fire, for whoever is told; "" when nobody knows."""
        try:
            window, _ = await self.t.reader.window(looked.ref)
        except BackoutError:
            return ""
        return f", at {window.until:%Y-%m-%d %H:%M:%S} UTC" if window.until is not None and not window.open else ""

    def _rollback_seen(self, looked: Looked, intent: Intent, *, certain: bool) -> tuple[Observation, float]:
        """What is seen (contract 4.6), and after how many seconds to look again because one look cannot tell. `certain`: this is that second look."""
        app = looked.app
        state = reading.part(app, "status", "operationState")
        new_entries = _new_entries(app, intent)
        own = _own_entry(app, intent)
        details = _details(state, own)
        ours = f"release {judging.entry_id(own)} is our {self.noun}; then " if own is not None else ""
        operation = reading.part(app, "operation")
        if operation and not self.passes_over(operation, intent):
            if not self.is_own(operation, intent):
                return Observation(seen=Seen.FOREIGN, says=ours + judging.slot_says(app, looked.me), details=details), 0.0
            return self._running_seen(state, intent, details, certain=certain)
        foreign = next((entry for entry in new_entries if not _is_own_entry(entry, intent) and not self.passes_over_entry(entry, intent)), None)
        if foreign is not None:
            by = reading.actor(reading.part(foreign, "initiatedBy"), looked.me).name
            return Observation(seen=Seen.FOREIGN, says=f"{ours}{by} deployed release {judging.entry_id(foreign)} meanwhile", details=details), 0.0
        is_new = bool(state) and judging.operation_print(app) != intent["before"] and not self.passes_over(reading.part(state, "operation"), intent)
        if is_new and self.is_own(reading.part(state, "operation"), intent):
            return self._ended_seen(app, state, details, certain=certain)
        if is_new:
            by = reading.actor(reading.part(state, "operation", "initiatedBy"), looked.me).name
            told = f"{ours}{by} ran another operation meanwhile ({reading.text(state.get('phase'))})"
            return Observation(seen=Seen.FOREIGN, says=told, details=details), 0.0
        if own is not None:
            return Observation(seen=Seen.DONE, says=f"release {judging.entry_id(own)} is deployed", details=details), 0.0
        return self.t.not_seen(intent, f"no {self.noun} of ours is seen"), 0.0

    def _running_seen(self, state: reading.Body, intent: Intent, details: Mapping[str, Json], *, certain: bool) -> tuple[Observation, float]:
        phase, says = reading.text(state.get("phase")), reading.said(state.get("message"))
        if not phase:
            late = self.t.clock.now() > judging.intended_at(intent) + SETTLED_AFTER
            told = f"the {self.noun} is accepted"
            told += " and nobody picks it up: it would fire when the application controller is back, and Argo CD cannot end it before" if late else ""
            return Observation(seen=Seen.STUCK if late else Seen.RUNNING, says=told, details=details), 0.0
        if reading.BLOCKED in says and phase == "Terminating":
            told = f"{says}: it was told to end, does not fire, and is gone when the window opens"
            return Observation(seen=Seen.STUCK, says=told, details=details), 0.0
        if reading.BLOCKED in says:
            seen = Seen.STUCK if certain else Seen.RUNNING
            told = f"{says}: left alone it would fire when the window opens"
            return Observation(seen=seen, says=told, details=details, withdrawable=certain), 0.0 if certain else BLOCKED_LOOK
        return Observation(seen=Seen.RUNNING, says=f"the {self.noun} is {phase}: {says}" if says else f"the {self.noun} is {phase}", details=details), 0.0

    def _ended_seen(self, app: reading.Body, state: reading.Body, details: Mapping[str, Json], *, certain: bool) -> tuple[Observation, float]:
        phase, says = reading.text(state.get("phase")), reading.said(state.get("message"))
        if phase in {"Failed", "Error"}:
            return Observation(seen=Seen.FAILED, says=f"Argo CD ended the {self.noun} as {phase}: {says}", details=details), 0.0
        if phase != "Succeeded":
            told = f"the {self.noun} was taken away from outside; Argo CD still shows it as {phase} ({says})"
            return Observation(seen=Seen.FAILED, says=told, details=details), 0.0
        finished, reconciled = reading.moment(state.get("finishedAt")), reading.moment(reading.part(app, "status").get("reconciledAt"))
        if finished is None or reconciled is None or reconciled < finished:
            return Observation(seen=Seen.RUNNING, says=f"the {self.noun} succeeded; Argo CD has not looked at the result yet", details=details), 0.0
        if reconciled == finished and not certain:  # may be a reconcile from just before the end, with the old health standing (contract 4.3)
            return Observation(seen=Seen.RUNNING, says=f"the {self.noun} succeeded in this very second", details=details), SECOND_LOOK
        return Observation(seen=Seen.DONE, says=f"Argo CD ended the {self.noun}: {says}", details=details), 0.0


def _new_entries(app: reading.Body, intent: Intent) -> Sequence[reading.Body]:
    """What was deployed since the intent. By ids alone: a stamp would hide our own effect where Argo CD's clock is behind ours."""
    return [entry for entry in reading.history_of(app) if judging.entry_id(entry) > int(intent["history_id"])]


def _own_entry(app: reading.Body, intent: Intent) -> reading.Body | None:
    return next((entry for entry in _new_entries(app, intent) if _is_own_entry(entry, intent)), None)


def _happened(seen: Observation) -> bool:
    """Whether our rollback was taken: as it shows itself, or by its history entry, whatever somebody did on top of it since."""
    return seen.seen in {Seen.DONE, Seen.RUNNING, Seen.STUCK} or bool(seen.details.get("handle"))


def _is_own_entry(entry: reading.Body, intent: Intent) -> bool:
    return judging.is_by(reading.part(entry, "initiatedBy"), intent) and release_key(reading.sources_of(entry)) == intent["goal_key"]


def _details(state: reading.Body, own: reading.Body | None) -> Mapping[str, Json]:
    resources = reading.entries(reading.part(state, "syncResult").get("resources"))
    shown = [" ".join(x for x in (reading.text(r.get("kind")), reading.text(r.get("name")), reading.text(r.get("status"))) if x) for r in resources]
    return {
        "handle": str(judging.entry_id(own)) if own is not None else "",
        "phase": reading.text(state.get("phase")),
        "message": reading.said(state.get("message")),
        "resources": shown,
    }
