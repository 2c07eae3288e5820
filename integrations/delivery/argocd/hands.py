"""Acts on an application, one step at a time: `intend` reads the world again, `act` looks and then sends once, `observe` says what became of it.

An effect is recognised by values, not by a mark that it carries (decision 6): a rollback takes no text of ours. So an intent remembers what the
application looked like before, and ours is what is new since, by our account, to the goal's sources and revisions.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from integrations.delivery.argocd import reading, ways
from integrations.delivery.argocd.client import INVALID, PRECONDITION, Client, DeadlineError, GoneError, ServerRefusedError
from integrations.delivery.argocd.facts import Looked, Reader
from integrations.delivery.argocd.settings import Settings
from service.domain.errors import PermanentError, RefusedError, TemporaryError
from service.domain.model import Json, Release, TargetId, release_key
from service.domain.planning.plan import Offer, Step
from service.domain.ports import Clock, Guard, Intention, Observation, Seen
from service.domain.rule import Case

SETTLED_AFTER = timedelta(seconds=30)
"""An effect not seen this long after the last request ended never happened; one accepted and not picked up this long after its intent is stuck."""
LATE_START = timedelta(seconds=10)
"""So much later than its intent an act may begin (a commit and a look lie between); past that, and past the time for repeated tries, nothing is sent."""
SECOND_LOOK = 1.1
"""Seconds until a stamp of the same second means something else: Argo CD's times have no fractions."""
BLOCKED_LOOK = 2.2
"""Seconds until `blocked by sync window` is meant: an operation in a window that lets it through shows it for 0.2 s."""
POLL = 0.25
ONE_SECOND = timedelta(seconds=1)
PATCH_TRIES = 5
RESOURCE_VERSION = "/metadata/resourceVersion"
NO_OPERATION = "No operation is in progress"

Intent = Mapping[str, Json]
T = TypeVar("T")


class OtherApplicationError(RefusedError):
    """The application that was meant is gone, going, or replaced by one of the same name."""


class ArgoHands:
    """The `Hands` of one Argo CD."""

    def __init__(self, settings: Settings, client: Client, reader: Reader, clock: Clock) -> None:
        self._settings = settings
        self._client = client
        self._reader = reader
        self._clock = clock
        self._checks: Mapping[str, Callable[[Step, Intention, Looked], Awaitable[Mapping[str, Json]]]] = {
            ways.STOP: self._may_stop,
            ways.PROVE: self._may_prove,
            ways.CLEAR: self._may_clear,
            ways.BACK: self._may_roll_back,
            ways.MARK: self._may_mark,
            ways.UNMARK: self._may_unmark,
            ways.RESTORE: self._may_restore,
        }
        self._acts: Mapping[str, Callable[[Intent, Guard], Awaitable[None]]] = {
            ways.STOP: self._stop,
            ways.PROVE: self._prove,
            ways.CLEAR: self._clear,
            ways.BACK: self._roll_back,
            ways.MARK: self._mark,
            ways.UNMARK: self._unmark,
            ways.RESTORE: self._restore,
        }
        self._looks: Mapping[str, Callable[[Intent], Awaitable[Observation]]] = {
            ways.STOP: self._see_stop,
            ways.PROVE: self._see_prove,
            ways.CLEAR: self._see_clear,
            ways.BACK: self._see_roll_back,
            ways.MARK: self._see_mark,
            ways.UNMARK: self._see_unmark,
            ways.RESTORE: self._see_restore,
        }

    def offers(self, case: Case) -> tuple[Offer, ...]:
        """The ways back, pure over the facts."""
        return ways.offers(case)

    async def intend(self, step: Step, intention: Intention) -> Mapping[str, Json]:
        """Read the world again; RefusedError in one sentence when it is not as the plan assumed. The answer is all that `observe` needs."""
        check = _of(self._checks, step.name)
        try:
            looked = await self._reader.get(intention.target)
        except GoneError as error:
            raise RefusedError(f"{intention.target} is gone") from error
        _same_application(looked.app, intention.uid, str(intention.target))
        more = await check(step, intention, looked)
        history = reading.history_of(looked.app)
        intent = {
            "step": step.name,
            "target": str(intention.target),
            "project": looked.ref.project,
            "uid": intention.uid,
            "username": looked.me,
            "at": intention.at.isoformat(),
            **self._limits(intention.at),
            "operation_id": intention.operation_id,
            "marker": intention.marker,
            "own_marker": _earlier_mark(intention),
            "history_id": _id(history[-1]) if history else -1,
            "suspect_key": intention.suspect.key,
            "suspect_revisions": [source.revision for source in intention.suspect.sources],
            "goal_id": int(intention.goal.handle),
            "goal_key": intention.goal.key,
            "goal_revisions": [source.revision for source in intention.goal.sources],
            "spec_digest": reading.spec_digest(looked.app),
            "reconciled_at": reading.text(reading.part(looked.app, "status").get("reconciledAt")),
            "before": _operation_print(looked.app),
            **more,
        }
        plain: Mapping[str, Json] = json.loads(json.dumps(intent))
        return plain

    async def act(self, step: Step, intent: Mapping[str, Json], guard: Guard) -> None:
        """Carry the step out unless it already was. TemporaryError: nobody knows, observe. RefusedError: it did not and will not happen.

        Nothing is sent later than `send_until`, however late the act begins (a restart) and whatever is tried again: `observe` counts on it.
        """
        until = datetime.fromisoformat(str(intent["send_until"]))

        async def in_time() -> None:
            await guard()
            if self._clock.now() >= until:
                raise TemporaryError(f"the intent of {intent['at']} is too old to be sent; what became of it is looked at")

        await _of(self._acts, step.name)(intent, in_time)

    async def observe(self, step: Step, intent: Mapping[str, Json]) -> Observation:
        """What became of the step, as seen from the application."""
        try:
            return await _of(self._looks, step.name)(intent)
        except (GoneError, OtherApplicationError) as error:
            return Observation(seen=Seen.FAILED, says=str(error))

    def _limits(self, at: datetime) -> Mapping[str, Json]:
        """Until when a request of this intent may be sent, and from when on it is certain that none is under way (promise 3).

        Kept in the intent, for a restart may bring other settings.
        """
        send_until = at + timedelta(seconds=self._settings.denied_for_seconds) + LATE_START
        certain_at = send_until + timedelta(seconds=self._settings.timeout_seconds) + SETTLED_AFTER
        return {"send_until": send_until.isoformat(), "certain_at": certain_at.isoformat()}

    # --- what must hold before ---

    async def _may_stop(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        app = looked.app
        remembered = reading.part(step.parameters, "remembered").get("automated")
        _refuse(not reading.auto_sync_on(app), "auto-sync is off already: somebody stopped it since the plan was made")
        _refuse(not _same_automated(reading.automated_of(app), remembered), "the settings of auto-sync changed since the plan was made")
        _refuse(await self._reader.version() < reading.ENABLED_SINCE, reading.TOO_OLD)
        _refuse((owner := await self._reader.owner(app)).reverts, owner.says)
        _unedited(step, intention, app)
        _suspect_is_live(app, intention)
        _slot_is_clearable(app, intention, looked.me, self._clock.now())
        _not_marked_by_another(app, intention)
        await self._nobody_else(looked, intention)
        await self._window_is_open(looked)
        mark = bool(step.parameters.get("mark", True)) and not reading.marker_of(app)  # the mark of a hold of ours that is open already stays
        return {"remembered": {"automated": reading.automated_of(app)}, "mark": mark}

    async def _may_prove(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        _refuse(reading.auto_sync_on(looked.app), "auto-sync is on: a refresh now could deploy a newer commit")
        _unedited(step, intention, looked.app)
        _suspect_is_live(looked.app, intention)
        return {}

    async def _may_clear(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        _refuse(reading.auto_sync_on(looked.app), "auto-sync is on again: an ended operation would start anew")
        _unedited(step, intention, looked.app)
        _suspect_is_live(looked.app, intention)
        _slot_is_clearable(looked.app, intention, looked.me, self._clock.now())
        await self._nobody_else(looked, intention)
        return {}

    async def _may_roll_back(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        app = looked.app
        if reading.auto_sync_on(app):
            owner = await self._reader.owner(app)
            raise RefusedError(f"auto-sync is on again: {owner.says}" if owner.says else "auto-sync is on (again): somebody wants it so")
        _unedited(step, intention, app)
        _suspect_is_live(app, intention)
        _goal_is_there(app, intention.goal)
        if running := reading.running_of(app, looked.me, self._clock.now()):
            raise RefusedError(f"an operation of {running.by.name} holds the application ({running.phase} {running.says})".rstrip())
        _not_marked_by_another(app, intention)
        await self._nobody_else(looked, intention)
        await self._window_is_open(looked)
        return {}

    async def _may_mark(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:  # noqa: ARG002  one shape for all steps
        _not_marked_by_another(looked.app, intention)
        await self._nobody_else(looked, intention)
        return {"mark": True}

    async def _may_unmark(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:  # noqa: ARG002  one shape for all steps
        marker = _own_marker(intention, ways.MARK)
        _held_by_nobody_else(looked.app, marker, _earlier_mark(intention))
        return {"mark": True, "marker": marker}

    async def _may_restore(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        """As compensation only while everything is as we left it and no rollback was accepted (decision 11).

        When a person ends a hold the rollback is long live and the spec may have been edited: told by `after_rollback`, or by an intention without
        a marker, which is no operation's. Then only auto-sync itself must be as we left it.
        """
        stopped = next((marker for marker in reversed(intention.ours) if marker.get("step") == ways.STOP), None)
        remembered = reading.part(stopped or step.parameters, "remembered").get("automated")
        if not isinstance(remembered, Mapping):
            raise RefusedError("what auto-sync was before is not known")
        marker = _own_marker(intention, ways.STOP)
        _refuse(not _as_written(looked.app, remembered), "auto-sync is not as Backout left it: somebody decided otherwise, so it stays")
        _held_by_nobody_else(looked.app, marker, _earlier_mark(intention))
        if not (step.parameters.get("after_rollback", False) or not intention.marker):
            if stopped is not None:
                _refuse(reading.spec_digest(looked.app) != stopped.get("spec_digest"), "somebody edited the spec since auto-sync was stopped")
            for earlier in intention.ours:
                if earlier.get("step") == ways.BACK:
                    await self._never_accepted(earlier)
        return {"remembered": {"automated": remembered}, "mark": bool((stopped or {}).get("mark", True)), "marker": marker}

    async def _never_accepted(self, intent: Intent) -> None:
        observation = await self._see_roll_back(intent)
        _refuse(observation.seen is not Seen.NOT_SEEN, f"a rollback was accepted ({observation.says}): auto-sync would undo it")
        until = observation.not_seen_until
        if until is not None and self._clock.now() < until:
            raise TemporaryError(f"only at {until.isoformat()} is it certain that no rollback was accepted")

    async def _nobody_else(self, looked: Looked, intention: Intention) -> None:
        """Promise 5: an act of a person since the trouble began means hands off. Stamps have no fractions, so the same second counts."""
        if intention.not_before is None:
            return
        for act in await self._reader.acts(looked):
            own_deploy = act.what != "spec_edit" and abs(act.at - intention.suspect.started_at) <= ONE_SECOND
            if act.by.kind == "user" and act.at + ONE_SECOND > intention.not_before and not own_deploy:
                raise RefusedError(f"{act.by.name} is acting on it: {act.says}, at {act.at.isoformat()}")

    async def _window_is_open(self, looked: Looked) -> None:
        window = await self._reader.window_open(looked.ref)
        _refuse(not window.open, f"{window.says}: a rollback would hang and fire when it opens")

    # --- stop auto-sync ---

    async def _stop(self, intent: Intent, guard: Guard) -> None:
        looked = await self._get(intent)
        seen = self._stop_seen(looked.app, intent)
        if seen.seen in {Seen.DONE, Seen.RUNNING}:
            return
        _refuse(seen.seen is not Seen.NOT_SEEN, seen.says)

        def stop(app: reading.Body) -> Sequence[Mapping[str, Json]]:
            _refuse(not _same_automated(reading.automated_of(app), intent["remembered"]["automated"]), "the settings of auto-sync changed meanwhile")
            return _stop_patch(app, intent)

        try:
            await self._patch(intent, stop, guard)
        except ServerRefusedError as error:
            if not _renders_not(error):
                raise RefusedError(_patch_says(error)) from error
            await self._stop_by_put(intent, guard)
        await self._read_back(intent)

    async def _stop_by_put(self, intent: Intent, guard: Guard) -> None:
        """Where nothing renders a patch is refused (400/3). The last writer wins here, so the spec is read again right before."""
        looked = await self._get(intent)
        spec = dict(reading.part(looked.app, "spec"))
        _refuse(reading.spec_digest(looked.app) != intent["spec_digest"], "somebody edited the spec meanwhile")
        remembered = intent["remembered"]["automated"]
        _refuse(not _same_automated(reading.automated_of(looked.app), remembered), "the settings of auto-sync changed meanwhile")
        spec["syncPolicy"] = {**reading.part(spec, "syncPolicy"), "automated": {**remembered, "enabled": False}}
        if intent["mark"]:
            spec["info"] = [*(i for i in reading.entries(spec.get("info")) if i.get("name") != reading.HOLD), {"name": reading.HOLD, "value": intent["marker"]}]
        await self._client.put_spec(looked.ref, spec, guard)

    async def _read_back(self, intent: Intent) -> None:
        waited = 0.0
        for second in self._settings.read_back_seconds:
            await self._clock.sleep(max(0.0, second - waited))
            waited = second
            looked = await self._get(intent)
            if not _as_written(looked.app, intent["remembered"]["automated"]):
                owner = await self._reader.owner(looked.app)
                raise RefusedError(f"the stop of auto-sync was taken back within {second:g} s: it is managed elsewhere ({owner.kind} {owner.name})".rstrip())

    async def _see_stop(self, intent: Intent) -> Observation:
        return self._stop_seen((await self._get(intent)).app, intent)

    def _stop_seen(self, app: reading.Body, intent: Intent) -> Observation:
        mine = reading.marker_of(app) == intent["marker"]
        if _as_written(app, intent["remembered"]["automated"]) and (mine or not intent["mark"]):
            settled = _at(intent) + timedelta(seconds=max(self._settings.read_back_seconds, default=0.0))
            if self._clock.now() < settled:
                return Observation(seen=Seen.RUNNING, says="auto-sync is stopped; whether it stays is seen in some seconds")
            return Observation(seen=Seen.DONE, says="auto-sync is stopped and stays so", details={"remembered": intent["remembered"]})
        if reading.auto_sync_on(app):
            if mine:
                return Observation(seen=Seen.FAILED, says="the stop of auto-sync was taken back: it is managed elsewhere")
            return self._not_seen(intent, "auto-sync is on")
        return Observation(seen=Seen.FOREIGN, says="somebody else changed auto-sync")

    # --- prove that the controller is alive ---

    async def _prove(self, intent: Intent, guard: Guard) -> None:
        looked = await self._get(intent)
        _refuse(reading.auto_sync_on(looked.app), "auto-sync is on: a refresh now could deploy a newer commit")
        seconds = self._settings.refresh_timeout_seconds
        try:
            await self._client.refresh(looked.ref, guard, seconds=seconds)
        except DeadlineError as error:
            raise RefusedError(f"the application controller did not answer a refresh within {seconds} s: a rollback now would fire later") from error

    async def _see_prove(self, intent: Intent) -> Observation:
        app = (await self._get(intent)).app
        status = reading.part(app, "status")
        if reading.part(app, "metadata", "annotations").get(reading.REFRESH):
            late = self._clock.now() > _at(intent) + timedelta(seconds=self._settings.refresh_timeout_seconds)
            says = "a refresh is asked for and not answered"
            return Observation(seen=Seen.FAILED if late else Seen.RUNNING, says=says)
        if reading.text(status.get("reconciledAt")) != intent["reconciled_at"]:
            return Observation(seen=Seen.DONE, says=f"the application controller reconciled at {reading.text(status.get('reconciledAt'))}")
        reconciled = reading.moment(status.get("reconciledAt"))
        if reconciled is not None and reconciled + ONE_SECOND > _at(intent):
            return Observation(seen=Seen.DONE, says="the application controller reconciled in the second of the request")
        return self._not_seen(intent, "the application controller has not reconciled since")

    # --- free the slot ---

    async def _clear(self, intent: Intent, guard: Guard) -> None:
        until = self._clock.now() + timedelta(seconds=self._settings.slot_timeout_seconds)
        asked = False
        while True:
            looked = await self._get(intent)
            running = reading.running_of(looked.app, looked.me, self._clock.now())
            if running is None:
                return
            if running.phase != "Terminating" and not asked:
                _refuse(not _clearable(looked.app, intent["suspect_revisions"], looked.me, self._clock.now()), _slot_says(looked.app, looked.me))
                asked = await self._terminate(looked, guard)
            if self._clock.now() >= until:
                raise RefusedError(f"the operation of {running.by.name} does not end ({running.phase} {running.says})".rstrip())
            await self._clock.sleep(POLL)

    async def _terminate(self, looked: Looked, guard: Guard) -> bool:
        """Whether the server took the request; it refuses while the controller has not picked the operation up, or when it just ended."""
        try:
            await self._client.terminate(looked.ref, guard)
        except ServerRefusedError as error:
            if NO_OPERATION in error.words:
                return False
            raise
        return True

    async def _see_clear(self, intent: Intent) -> Observation:
        looked = await self._get(intent)
        running = reading.running_of(looked.app, looked.me, self._clock.now())
        if running is None:
            return Observation(seen=Seen.DONE, says="no operation holds the application")
        if running.phase == "Terminating":
            late = self._clock.now() > _at(intent) + SETTLED_AFTER
            return Observation(seen=Seen.STUCK if late else Seen.RUNNING, says=f"the operation is being ended: {running.says}")
        if _clearable(looked.app, intent["suspect_revisions"], looked.me, self._clock.now()):
            return self._not_seen(intent, "the operation still runs")
        return Observation(seen=Seen.FOREIGN, says=_slot_says(looked.app, looked.me))

    # --- roll back ---

    async def _roll_back(self, intent: Intent, guard: Guard) -> None:
        before = await self._see_roll_back(intent)
        if _happened(before):
            return  # it happened, whatever was done on top of it since: `observe` tells; a refusal would read as if it had not
        _refuse(before.seen is not Seen.NOT_SEEN, before.says)
        looked = await self._get(intent)
        _refuse(reading.auto_sync_on(looked.app), "auto-sync is on again")
        try:
            await self._client.roll_back(looked.ref, int(intent["goal_id"]), guard)
        except ServerRefusedError as error:
            busy = error.code == PRECONDITION and "another operation is already in progress" in error.words
            if busy and _happened(await self._see_roll_back(intent)):
                return
            raise

    async def _see_roll_back(self, intent: Intent) -> Observation:
        observation, again_in = self._rollback_seen(await self._get(intent), intent, certain=False)
        if again_in:
            await self._clock.sleep(again_in)
            observation, _ = self._rollback_seen(await self._get(intent), intent, certain=True)
        return observation

    def _rollback_seen(self, looked: Looked, intent: Intent, *, certain: bool) -> tuple[Observation, float]:
        """What is seen (contract 4.6), and after how many seconds to look again because one look cannot tell. `certain`: this is that second look."""
        app = looked.app
        state = reading.part(app, "status", "operationState")
        new_entries = _new_entries(app, intent)
        own = _own_entry(app, intent)
        details = _details(state, own)
        ours = f"release {_id(own)} is our rollback; then " if own is not None else ""
        if operation := reading.part(app, "operation"):
            if not _is_own_operation(operation, intent):
                return Observation(seen=Seen.FOREIGN, says=ours + _slot_says(app, looked.me), details=details), 0.0
            return self._running_seen(state, intent, details, certain=certain)
        foreign = next((entry for entry in new_entries if not _is_own_entry(entry, intent)), None)
        if foreign is not None:
            by = reading.actor(reading.part(foreign, "initiatedBy"), looked.me).name
            return Observation(seen=Seen.FOREIGN, says=f"{ours}{by} deployed release {_id(foreign)} meanwhile", details=details), 0.0
        is_new = bool(state) and _operation_print(app) != intent["before"]
        if is_new and _is_own_operation(reading.part(state, "operation"), intent):
            return _ended_seen(app, state, details, certain=certain)
        if is_new:
            by = reading.actor(reading.part(state, "operation", "initiatedBy"), looked.me).name
            told = f"{ours}{by} ran another operation meanwhile ({reading.text(state.get('phase'))})"
            return Observation(seen=Seen.FOREIGN, says=told, details=details), 0.0
        if own is not None:
            return Observation(seen=Seen.DONE, says=f"release {_id(own)} is deployed", details=details), 0.0
        return self._not_seen(intent, "no rollback of ours is seen"), 0.0

    def _running_seen(self, state: reading.Body, intent: Intent, details: Mapping[str, Json], *, certain: bool) -> tuple[Observation, float]:
        phase, says = reading.text(state.get("phase")), reading.said(state.get("message"))
        if not phase:
            late = self._clock.now() > _at(intent) + SETTLED_AFTER
            told = "the rollback is accepted and nobody picks it up: it cannot be ended and would fire later" if late else "the rollback is accepted"
            return Observation(seen=Seen.STUCK if late else Seen.RUNNING, says=told, details=details), 0.0
        if reading.BLOCKED in says:
            told = f"{says}: it cannot be ended and fires when the window opens"
            return Observation(seen=Seen.STUCK if certain else Seen.RUNNING, says=told, details=details), 0.0 if certain else BLOCKED_LOOK
        return Observation(seen=Seen.RUNNING, says=f"the rollback is {phase}: {says}" if says else f"the rollback is {phase}", details=details), 0.0

    # --- the mark of a hold ---

    async def _mark(self, intent: Intent, guard: Guard) -> None:
        if _carries_our_mark(reading.marker_of((await self._get(intent)).app), intent):
            return

        def mark(app: reading.Body) -> Sequence[Mapping[str, Json]]:
            _refuse(bool(reading.marker_of(app)), "the application carries another hold mark")
            return [_uid_test(app), *_mark_patch(app, intent["marker"])]

        await self._patch_or_refuse(intent, mark, guard)

    async def _see_mark(self, intent: Intent) -> Observation:
        marker = reading.marker_of((await self._get(intent)).app)
        if _carries_our_mark(marker, intent):
            return Observation(seen=Seen.DONE, says="the application carries the hold mark")
        return Observation(seen=Seen.FOREIGN, says="it carries another hold mark") if marker else self._not_seen(intent, "there is no hold mark")

    async def _unmark(self, intent: Intent, guard: Guard) -> None:
        if reading.marker_of((await self._get(intent)).app) in {"", intent["own_marker"]}:
            return

        def unmark(app: reading.Body) -> Sequence[Mapping[str, Json]]:
            _refuse(reading.marker_of(app) != intent["marker"], "the application carries another hold mark")
            return [_uid_test(app), *_unmark_patch(app, intent["marker"])]

        await self._patch_or_refuse(intent, unmark, guard)

    async def _see_unmark(self, intent: Intent) -> Observation:
        marker = reading.marker_of((await self._get(intent)).app)
        if not marker:
            return Observation(seen=Seen.DONE, says="the hold mark is gone")
        if marker == intent["own_marker"]:
            return Observation(seen=Seen.DONE, says="the mark of the earlier hold stays")
        if marker != intent["marker"]:
            return Observation(seen=Seen.FOREIGN, says="it carries another hold mark")
        return self._not_seen(intent, "the hold mark is still there")

    # --- give auto-sync back ---

    async def _restore(self, intent: Intent, guard: Guard) -> None:
        remembered = intent["remembered"]["automated"]
        if _same_automated(reading.automated_of((await self._get(intent)).app), remembered):
            return

        def restore(app: reading.Body) -> Sequence[Mapping[str, Json]]:
            _refuse(not _as_written(app, remembered), "auto-sync is not as Backout left it: it stays as it is")
            _refuse(reading.marker_of(app) not in {"", intent["marker"], intent["own_marker"]}, "the application carries another hold mark")
            return [
                _uid_test(app),
                {"op": "test", "path": ways.AUTOMATED, "value": reading.automated_of(app)},
                {"op": "replace", "path": ways.AUTOMATED, "value": remembered},
                *_unmark_patch(app, intent["marker"]),
            ]

        try:
            await self._patch(intent, restore, guard)
        except ServerRefusedError as error:
            if not _renders_not(error):
                raise RefusedError(_patch_says(error)) from error
            await self._restore_by_put(intent, guard)

    async def _restore_by_put(self, intent: Intent, guard: Guard) -> None:
        looked = await self._get(intent)
        remembered = intent["remembered"]["automated"]
        _refuse(reading.spec_digest(looked.app) != intent["spec_digest"], "somebody edited the spec meanwhile")
        _refuse(not _as_written(looked.app, remembered), "auto-sync is not as Backout left it: it stays as it is")
        spec = dict(reading.part(looked.app, "spec"))
        spec["syncPolicy"] = {**reading.part(spec, "syncPolicy"), "automated": remembered}
        kept = [i for i in reading.entries(spec.get("info")) if (i.get("name"), i.get("value")) != (reading.HOLD, intent["marker"])]
        spec = {**{k: v for k, v in spec.items() if k != "info"}, **({"info": kept} if kept else {})}
        await self._client.put_spec(looked.ref, spec, guard)

    async def _see_restore(self, intent: Intent) -> Observation:
        app = (await self._get(intent)).app
        remembered = intent["remembered"]["automated"]
        if _same_automated(reading.automated_of(app), remembered):
            left = "; the hold mark is still there, for nothing renders" if reading.marker_of(app) == intent["marker"] else ""
            return Observation(seen=Seen.DONE, says=f"auto-sync is as it was{left}")
        if _as_written(app, remembered):
            return self._not_seen(intent, "auto-sync is still stopped")
        return Observation(seen=Seen.FOREIGN, says="somebody else changed auto-sync")

    # --- small things ---

    async def _get(self, intent: Intent) -> Looked:
        looked = await self._reader.get(TargetId.parse(str(intent["target"])), project=str(intent["project"]))
        _same_application(looked.app, str(intent["uid"]), str(intent["target"]))
        return looked

    async def _patch(self, intent: Intent, operations: Callable[[reading.Body], Sequence[Mapping[str, Json]]], guard: Guard) -> None:
        """Read, judge, patch. Where the patch had to test the resource version, any status write in between fails it: then all of it again."""
        for last in (*[False] * (PATCH_TRIES - 1), True):
            looked = await self._get(intent)
            try:
                await self._client.patch(looked.ref, operations(looked.app), guard)
            except ServerRefusedError as error:
                if last or RESOURCE_VERSION not in error.words:
                    raise
            else:
                return

    async def _patch_or_refuse(self, intent: Intent, operations: Callable[[reading.Body], Sequence[Mapping[str, Json]]], guard: Guard) -> None:
        try:
            await self._patch(intent, operations, guard)
        except ServerRefusedError as error:
            raise RefusedError(_patch_says(error)) from error

    def _not_seen(self, intent: Intent, says: str) -> Observation:
        return Observation(seen=Seen.NOT_SEEN, says=says, not_seen_until=datetime.fromisoformat(str(intent["certain_at"])))


# --- judging one read ----------------------------------------------------------------------------------------------------


def _of(table: Mapping[str, T], name: str) -> T:
    if name not in table:
        raise PermanentError(f"Argo CD knows no step {name!r}")
    return table[name]


def _refuse(when: bool, says: str) -> None:
    if when:
        raise RefusedError(says)


def _same_application(app: reading.Body, uid: str, name: str) -> None:
    metadata = reading.part(app, "metadata")
    if metadata.get("uid") != uid:
        raise OtherApplicationError(f"{name} is another application of the same name now")
    if metadata.get("deletionTimestamp"):
        raise OtherApplicationError(f"{name} is being deleted")


def _id(entry: reading.Body) -> int:
    return int(entry.get("id", 0))


def _at(intent: Intent) -> datetime:
    return datetime.fromisoformat(str(intent["at"]))


def _unedited(step: Step, intention: Intention, app: reading.Body) -> None:
    """The spec is as when the plan was made and as at our earlier steps; what we wrote ourselves is not in the digest."""
    expected = {str(step.parameters["spec_digest"])} if "spec_digest" in step.parameters else set()
    expected |= {str(marker["spec_digest"]) for marker in intention.ours if "spec_digest" in marker}
    _refuse(bool(expected - {reading.spec_digest(app)}), "somebody edited the spec since the plan was made")


def _suspect_is_live(app: reading.Body, intention: Intention) -> None:
    history = reading.history_of(app)
    _refuse(not history, "Argo CD remembers no release of it any more")
    last = reading.release_of(history[-1], intention.target, "")
    suspect = intention.suspect
    if (last.handle, last.key) != (suspect.handle, suspect.key):
        raise RefusedError(f"release {last.title} was deployed by {last.by.name} since: it is no longer release {suspect.title} that is live")


def _goal_is_there(app: reading.Body, goal: Release) -> None:
    entry = next((e for e in reading.history_of(app) if str(_id(e)) == goal.handle), None)
    if entry is None:
        raise RefusedError(f"release {goal.title} was trimmed from the history")
    _refuse(release_key(reading.sources_of(entry)) != goal.key, f"history id {goal.handle} names other sources than release {goal.title}")


def _not_marked_by_another(app: reading.Body, intention: Intention) -> None:
    marker = reading.marker_of(app)
    _refuse(marker not in {"", intention.marker, _earlier_mark(intention)}, f"it is held already ({marker})")


def _held_by_nobody_else(app: reading.Body, *ours: str) -> None:
    marker = reading.marker_of(app)
    _refuse(marker not in {"", *ours}, f"it is held by another ({marker})")


def _earlier_mark(intention: Intention) -> str:
    """The mark of a hold of ours that is open already, "" when there is none. A text that Backout does not write is nobody of ours, whoever says so."""
    return intention.own_marker if reading.MARK.fullmatch(intention.own_marker) else ""


def _carries_our_mark(marker: str, intent: Intent) -> bool:
    """Whether the mark is this intent's, or that of the open hold, which is enough: one mark says that the target is held."""
    return bool(marker) and marker in {intent["marker"], intent["own_marker"]}


def _own_marker(intention: Intention, step: str) -> str:
    """The text that we marked the application with: as the earlier intent has it, for who ends a hold does not carry it."""
    return next((str(earlier["marker"]) for earlier in reversed(intention.ours) if earlier.get("step") == step), intention.marker)


def _clearable(app: reading.Body, suspect_revisions: Sequence[str], me: str, now: datetime) -> bool:
    """Whether nothing holds the slot, or only what may be ended: automated or stuck, and on the bad release (promise 5)."""
    running = reading.running_of(app, me, now)
    return running is None or ((running.automated or running.stuck) and running.revision == reading.joined(suspect_revisions))


def _slot_is_clearable(app: reading.Body, intention: Intention, me: str, now: datetime) -> None:
    _refuse(not _clearable(app, [s.revision for s in intention.suspect.sources], me, now), _slot_says(app, me))


def _slot_says(app: reading.Body, me: str) -> str:
    operation = reading.part(app, "operation")
    by = reading.actor(reading.part(operation, "initiatedBy"), me)
    revision = reading.joined(reading.revisions_of(reading.part(operation, "sync"))) or "the target revision"
    return f"an operation of {by.name} to {revision} holds the application: hands off"


def _same_automated(one: Json, other: Json) -> bool:
    """Equal but for fields that are false, which Argo CD leaves out; `enabled` counts in both spellings of on."""

    def plain(value: Json) -> Json:
        if not isinstance(value, Mapping):
            return None
        return {"enabled": value.get("enabled") is not False, **{k: v for k, v in value.items() if v and k != "enabled"}}

    return bool(plain(one) == plain(other))


def _as_written(app: reading.Body, remembered: Mapping[str, Json]) -> bool:
    """Whether auto-sync is what it was, but stopped."""
    return _same_automated(reading.automated_of(app), {**remembered, "enabled": False})


def _operation_print(app: reading.Body) -> Json:
    """What tells one operation's state from the next; None when there is none."""
    state = reading.part(app, "status", "operationState")
    if not state:
        return None
    operation = reading.part(state, "operation")
    return [
        reading.text(state.get("startedAt")),
        reading.text(state.get("finishedAt")),
        reading.text(state.get("phase")),
        reading.text(reading.part(operation, "initiatedBy").get("username")),
        list(reading.revisions_of(reading.part(operation, "sync"))),
    ]


def _is_own_operation(operation: reading.Body, intent: Intent) -> bool:
    sync, by = reading.part(operation, "sync"), reading.part(operation, "initiatedBy")
    strategy = sync.get("syncStrategy")
    by_us = by.get("username") == intent["username"] and not by.get("automated")
    return by_us and isinstance(strategy, Mapping) and "apply" in strategy and release_key(reading.sources_of(sync)) == intent["goal_key"]


def _new_entries(app: reading.Body, intent: Intent) -> Sequence[reading.Body]:
    """What was deployed since the intent. By ids alone: a stamp would hide our own effect where Argo CD's clock is behind ours."""
    return [entry for entry in reading.history_of(app) if _id(entry) > int(intent["history_id"])]


def _own_entry(app: reading.Body, intent: Intent) -> reading.Body | None:
    return next((entry for entry in _new_entries(app, intent) if _is_own_entry(entry, intent)), None)


def _happened(seen: Observation) -> bool:
    """Whether our rollback was taken: as it shows itself, or by its history entry, whatever somebody did on top of it since."""
    return seen.seen in {Seen.DONE, Seen.RUNNING, Seen.STUCK} or bool(seen.details.get("handle"))


def _is_own_entry(entry: reading.Body, intent: Intent) -> bool:
    by = reading.part(entry, "initiatedBy")
    return by.get("username") == intent["username"] and not by.get("automated") and release_key(reading.sources_of(entry)) == intent["goal_key"]


def _ended_seen(app: reading.Body, state: reading.Body, details: Mapping[str, Json], *, certain: bool) -> tuple[Observation, float]:
    phase, says = reading.text(state.get("phase")), reading.said(state.get("message"))
    if phase in {"Failed", "Error"}:
        return Observation(seen=Seen.FAILED, says=f"Argo CD ended the rollback as {phase}: {says}", details=details), 0.0
    if phase != "Succeeded":
        told = f"the rollback was taken away from outside; Argo CD still shows it as {phase} ({says})"
        return Observation(seen=Seen.FAILED, says=told, details=details), 0.0
    finished, reconciled = reading.moment(state.get("finishedAt")), reading.moment(reading.part(app, "status").get("reconciledAt"))
    if finished is None or reconciled is None or reconciled < finished:
        return Observation(seen=Seen.RUNNING, says="the rollback succeeded; Argo CD has not looked at the result yet", details=details), 0.0
    if reconciled == finished and not certain:  # may be a reconcile from just before the end, with the old health standing (contract 4.3)
        return Observation(seen=Seen.RUNNING, says="the rollback succeeded in this very second", details=details), SECOND_LOOK
    return Observation(seen=Seen.DONE, says=f"Argo CD rolled back: {says}", details=details), 0.0


def _details(state: reading.Body, own: reading.Body | None) -> Mapping[str, Json]:
    resources = reading.entries(reading.part(state, "syncResult").get("resources"))
    shown = [" ".join(x for x in (reading.text(r.get("kind")), reading.text(r.get("name")), reading.text(r.get("status"))) if x) for r in resources]
    return {
        "handle": str(_id(own)) if own is not None else "",
        "phase": reading.text(state.get("phase")),
        "message": reading.said(state.get("message")),
        "resources": shown,
    }


# --- patches -------------------------------------------------------------------------------------------------------------


def _uid_test(app: reading.Body) -> Mapping[str, Json]:
    return {"op": "test", "path": "/metadata/uid", "value": reading.part(app, "metadata").get("uid")}


def _stop_patch(app: reading.Body, intent: Intent) -> Sequence[Mapping[str, Json]]:
    """One atomic change: nothing is written when the settings of auto-sync are not the ones that were read (decision 8)."""
    stop = [
        _uid_test(app),
        {"op": "test", "path": ways.AUTOMATED, "value": reading.automated_of(app)},
        {"op": "add", "path": f"{ways.AUTOMATED}/enabled", "value": False},
    ]
    return [*stop, *(_mark_patch(app, intent["marker"]) if intent["mark"] else ())]


def _mark_patch(app: reading.Body, marker: str) -> Sequence[Mapping[str, Json]]:
    metadata = reading.part(app, "metadata")
    if metadata.get("annotations"):
        return [{"op": "add", "path": ways.POINTER, "value": marker}]
    # Creating the map would wipe annotations that somebody added in between, so the whole object must still be the one that was read.
    return [
        {"op": "test", "path": RESOURCE_VERSION, "value": metadata.get("resourceVersion")},
        {"op": "add", "path": "/metadata/annotations", "value": {reading.HOLD: marker}},
    ]


def _unmark_patch(app: reading.Body, marker: str) -> Sequence[Mapping[str, Json]]:
    found: list[Mapping[str, Json]] = []
    if reading.part(app, "metadata", "annotations").get(reading.HOLD) == marker:
        found += [{"op": "test", "path": ways.POINTER, "value": marker}, {"op": "remove", "path": ways.POINTER}]
    infos = reading.entries(reading.part(app, "spec").get("info"))
    for i, info in enumerate(infos):
        if info.get("name") == reading.HOLD and info.get("value") == marker:
            found += [{"op": "test", "path": f"/spec/info/{i}", "value": dict(info)}, {"op": "remove", "path": f"/spec/info/{i}"}]
            break
    return found


def _renders_not(error: ServerRefusedError) -> bool:
    return error.status == 400 and error.code == INVALID and "is invalid" in error.words  # noqa: PLR2004  the HTTP status of an invalid spec


def _patch_says(error: ServerRefusedError) -> str:
    return f"the application changed in the same moment; nothing was written ({error.words})" if "test failed" in error.words else str(error)
