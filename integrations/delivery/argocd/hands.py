"""Acts on an application, one step at a time: `intend` reads the world again, `act` looks and then sends once, `observe` says what became of it.

An effect is recognised by values, not by a mark that it carries: a rollback takes no text of ours. So an intent remembers what the
application looked like before, and ours is what is new since, by our account, to the goal's sources and revisions. What each step does stands in
`steps/`.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from integrations.delivery.argocd import reading, ways
from integrations.delivery.argocd.client import Client, GoneError
from integrations.delivery.argocd.facts import Reader
from integrations.delivery.argocd.settings import Settings
from integrations.delivery.argocd.steps import judging
from integrations.delivery.argocd.steps.step import SETTLED_AFTER, ArgoStep, Tools
from integrations.delivery.argocd.steps.table import STEPS
from service.domain.errors import PermanentError, RefusedError, TemporaryError
from service.domain.model import Json
from service.domain.planning.plan import Offer, Step
from service.domain.ports import Clock, Guard, Intention, Observation, Seen
from service.domain.rule import Case

LATE_START = timedelta(seconds=10)
"""So much later than its intent an act may begin (a commit and a look lie between); past that, and past the time for repeated tries, nothing is sent."""


class ArgoHands:
    """The `Hands` of one Argo CD. Only `act` is patient with a server that is away: who intends or observes is asked again by the story anyway."""

    def __init__(self, settings: Settings, client: Client, reader: Reader, clock: Clock) -> None:
        self._settings = settings
        self._reader = reader
        self._clock = clock
        patient = client.patiently()
        tools, acting = Tools(settings, client, reader, clock), Tools(settings, patient, Reader(settings, patient, clock), clock, acting=True)
        self._kinds = {name: kind(tools) for name, kind in STEPS.items()}
        self._acting = {name: kind(acting) for name, kind in STEPS.items()}

    def offers(self, case: Case) -> tuple[Offer, ...]:
        """The ways back, pure over the facts."""
        return ways.offers(case)

    async def intend(self, step: Step, intention: Intention) -> Mapping[str, Json]:
        """Read the world again; RefusedError in one sentence when it is not as the plan assumed. The answer is all that `observe` needs."""
        kind = self._kind(step)
        try:
            looked = await self._reader.get(intention.target)
        except GoneError as error:
            raise RefusedError(f"{intention.target} is gone") from error
        judging.same_application(looked.app, intention.uid, str(intention.target))
        more = await kind.may(step, intention, looked)
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
            "own_marker": judging.earlier_mark(intention),
            "history_id": judging.entry_id(history[-1]) if history else -1,
            "suspect_key": intention.suspect.key,
            "suspect_revisions": [source.revision for source in intention.suspect.sources],
            "goal_id": int(intention.goal.handle) if intention.goal.handle else -1,
            "goal_key": intention.goal.key,
            "goal_revisions": [source.revision for source in intention.goal.sources],
            "spec_digest": reading.spec_digest(looked.app),
            "reconciled_at": reading.text(reading.part(looked.app, "status").get("reconciledAt")),
            "before": judging.operation_print(looked.app),
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

        self._kind(step)
        await self._acting[step.name].act(intent, in_time)

    async def observe(self, step: Step, intent: Mapping[str, Json]) -> Observation:
        """What became of the step, as seen from the application."""
        try:
            return await self._kind(step).see(intent)
        except (GoneError, judging.OtherApplicationError) as error:
            return Observation(seen=Seen.FAILED, says=str(error))

    async def withdraw(self, step: Step, intent: Mapping[str, Json], guard: Guard) -> None:
        """End our operation that a closed window holds up, so that it does not fire when the window opens."""
        await self._kind(step).withdraw(intent, guard)

    def _limits(self, at: datetime) -> Mapping[str, Json]:
        """Until when a request of this intent may be sent, and from when on it is certain that none is under way (promise 3).

        Kept in the intent, for a restart may bring other settings.
        """
        send_until = at + timedelta(seconds=self._settings.denied_for_seconds) + LATE_START
        certain_at = send_until + timedelta(seconds=self._settings.timeout_seconds) + SETTLED_AFTER
        return {"send_until": send_until.isoformat(), "certain_at": certain_at.isoformat()}

    def _kind(self, step: Step) -> ArgoStep:
        if step.name not in self._kinds:
            raise PermanentError(f"Argo CD knows no step {step.name!r}")
        return self._kinds[step.name]
