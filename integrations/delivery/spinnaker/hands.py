"""Acts on a target of Spinnaker, one step at a time: `intend` reads the world again, `act` looks and then sends once, `observe` says what became of it.

What we start carries a marker, which is a marker and no lock: Spinnaker itself starts the same one twice where two ask at once (recording 07), and forgets
it when the run ends. Single flight is Backout's own. What each step does stands in `steps/`.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from integrations.delivery.spinnaker import ways
from integrations.delivery.spinnaker.answers import GoneError
from integrations.delivery.spinnaker.client import GATE_WAITS, Client
from integrations.delivery.spinnaker.facts import Reader
from integrations.delivery.spinnaker.settings import Settings
from integrations.delivery.spinnaker.steps.step import OtherObjectError, SpinnakerStep, Tools, marker_of, same_object
from integrations.delivery.spinnaker.steps.table import STEPS
from service.domain.errors import PermanentError, RefusedError, TemporaryError
from service.domain.model import Json
from service.domain.planning.plan import Offer, Step
from service.domain.ports import Clock, Guard, Intention, Observation, Seen
from service.domain.rule import Case

LATE_START = timedelta(seconds=10)
"""So much later than its intent an act may begin (a commit and a look lie between); past that, and past the time for repeated tries, nothing is sent."""


class SpinnakerHands:
    """The `Hands` of one Gate."""

    def __init__(self, settings: Settings, client: Client, reader: Reader, clock: Clock) -> None:
        self._settings = settings
        self._reader = reader
        self._clock = clock
        tools, acting = Tools(settings, client, reader, clock), Tools(settings, client, reader, clock, acting=True)
        self._kinds = {name: kind(tools) for name, kind in STEPS.items()}
        self._acting = {name: kind(acting) for name, kind in STEPS.items()}

    def offers(self, case: Case) -> tuple[Offer, ...]:
        """The ways back, pure over the facts."""
        return ways.offers(case, self._settings.url)

    async def intend(self, step: Step, intention: Intention) -> Mapping[str, Json]:
        """Read the world again; RefusedError in one sentence when it is not as the plan assumed. The answer is all that `observe` needs."""
        kind = self._kind(step)
        try:
            looked = await self._reader.get(intention.target)
        except GoneError as error:
            raise RefusedError(f"{intention.target} is gone") from error
        same_object(looked, intention.uid)
        more = await kind.may(step, intention, looked)
        intent = {
            "step": step.name,
            "target": str(intention.target),
            "application": looked.application,
            "uid": looked.uid,
            "at": intention.at.isoformat(),
            **self._limits(intention.at),
            "operation_id": intention.operation_id,
            "marker": marker_of(intention, step.name),
            "suspect_key": intention.suspect.key,
            "goal_key": intention.goal.key,
            "spec_digest": looked.spec_digest,
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
        """What became of the step, as seen from the target."""
        try:
            return await self._kind(step).see(intent)
        except (GoneError, OtherObjectError) as error:
            return Observation(seen=Seen.FAILED, says=str(error))

    async def withdraw(self, step: Step, intent: Mapping[str, Json], guard: Guard) -> None:
        """Cancel what we started and what has not asked for anything yet."""
        self._kind(step)
        await self._acting[step.name].withdraw(intent, guard)

    def _limits(self, at: datetime) -> Mapping[str, Json]:
        """Until when a request of this intent may be sent, and from when on it is certain that none is under way (promise 3).

        Kept in the intent, for a restart may bring other settings. Gate goes on long after we have hung up.
        """
        send_until = at + timedelta(seconds=self._settings.retry_seconds) + LATE_START
        write = timedelta(seconds=self._settings.write_timeout_seconds)
        return {"send_until": send_until.isoformat(), "certain_at": (send_until + max(write, GATE_WAITS)).isoformat()}

    def _kind(self, step: Step) -> SpinnakerStep:
        if step.name not in self._kinds:
            raise PermanentError(f"Spinnaker knows no step {step.name!r}")
        return self._kinds[step.name]
