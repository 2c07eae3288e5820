"""Waits until what a cancelled canary analysis left takes no traffic: nothing else cleans it up, so until then the target has not recovered (care D5).

Backout changes none of it: a person disables or removes each, with the command that stands in the plan. Source only.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from integrations.delivery.spinnaker import commands
from integrations.delivery.spinnaker.answers import GoneError
from integrations.delivery.spinnaker.looked import Looked
from integrations.delivery.spinnaker.server_groups import server_group_of
from integrations.delivery.spinnaker.steps.names import SEE_CANARY
from integrations.delivery.spinnaker.steps.step import Intent, SpinnakerStep
from integrations.json_shapes import entries, number, part, text
from service.domain.keys import CanaryPart, TargetState
from service.domain.model import Json
from service.domain.planning.plan import Step
from service.domain.ports import Guard, Intention, Observation, Seen

LEFT = "canary_left"
PERSON = "person"
WAITS = timedelta(hours=1)
"""So long it waits for a person; then the operation ends as one that did not recover."""
KUBERNETES = "kubernetes"


def plan(state: TargetState, url: str) -> tuple[Step, ...]:
    """An order for a person for each part, and the wait until all are done; () where no canary is left."""
    parts = state.running.canary if state.running is not None and state.running.automated else ()
    if not parts:
        return ()
    wait = Step(
        name=SEE_CANARY,
        says=f"Wait until {_listed(parts)} {'takes' if len(parts) == 1 else 'take'} no traffic: the cancelled run does not clean up what it measured by",
        effect=False,
        parameters={"parts": [_kept(one) for one in parts]},
        done_when="each takes no traffic, or is gone",
        fallback="one still takes traffic an hour later: the operation ends as not recovered; the bad release still serves there",
    )
    return (*(_for_a_person(one, state.project, url) for one in parts), wait)


def _for_a_person(one: CanaryPart, application: str, url: str) -> Step:
    machines = one.provider != KUBERNETES
    says = f"{'Disable' if machines else 'Scale to nothing'} {one.says}: the cancelled run does not clean it up"
    where: dict[str, Json] = {"cloudProvider": one.provider or "aws", "account": one.account}
    if machines:
        job = {"type": "disableServerGroup", "serverGroupName": one.name, "region": one.location, "credentials": one.account, **where}
    else:
        job = {"type": "scaleManifest", "manifestName": one.name, "location": one.location, "replicas": 0, **where}
    body: Json = {"application": application, "description": f"Take {one.name} out of traffic", "job": [job]}
    command = commands.post(url, "/tasks", body)
    return Step(name=LEFT, says=says, owner=PERSON, effect=False, optional=True, parameters=_kept(one), done_when="it takes no traffic", command=command)


class SeeCanary(SpinnakerStep):
    """Looks alone."""

    name = SEE_CANARY

    async def may(self, step: Step, intention: Intention, looked: Looked) -> Mapping[str, Json]:
        del intention, looked
        return {"parts": step.parameters["parts"]}

    async def act(self, intent: Intent, guard: Guard) -> None:
        del intent, guard

    async def see(self, intent: Intent) -> Observation:
        parts = tuple(_parts(intent["parts"]))
        serving = [one for one in parts if await self._takes_traffic(str(intent["application"]), one)]
        if not serving:
            return Observation(seen=Seen.DONE, says=f"{_listed(parts)} {'takes' if len(parts) == 1 else 'take'} no traffic any more")
        says = f"{_listed(serving)} may still take traffic, and nothing cleans it up: a person takes it out"
        late = self.t.clock.now() >= datetime.fromisoformat(str(intent["at"])) + WAITS
        return Observation(seen=Seen.FAILED if late else Seen.STUCK, says=says)

    async def _takes_traffic(self, application: str, one: CanaryPart) -> bool:
        """Whether it may: what does not say that it takes none, does."""
        try:
            if one.provider == KUBERNETES:
                manifest = part(part((await self.t.client.manifest(one.account, one.location, one.name)).body), "manifest")
                return number(part(manifest, "spec").get("replicas")) != 0 or bool(number(part(manifest, "status").get("replicas")))
            group = server_group_of((await self.t.client.server_group(application, one.account, one.location, one.name)).body, application)
        except GoneError:
            return False
        return group is None or group.disabled is not True


def _kept(one: CanaryPart) -> dict[str, Json]:
    return {"role": one.role, "name": one.name, "account": one.account, "location": one.location, "provider": one.provider}


def _parts(kept: Json) -> Iterator[CanaryPart]:
    for one in entries(kept):
        role, name, account, location, provider = (text(one.get(key)) for key in ("role", "name", "account", "location", "provider"))
        yield CanaryPart(role=role, name=name, account=account, location=location, provider=provider)


def _listed(parts: Iterable[CanaryPart]) -> str:
    return " and ".join(one.says for one in parts)
