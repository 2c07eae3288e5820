"""Takes down, while a release lives alone, what cannot be had later: the schema of the databases that it uses. Reads only, at the pace of whoever asks."""

from collections.abc import Sequence

from service.domain import keys
from service.domain.facts import Absent
from service.domain.keys import TargetState
from service.domain.ports import Catalogs, Clock
from service.workflow.gather import Gatherer

HEALTHY = "Healthy"


class Snapshots:
    """`take` is called after a target was looked at."""

    def __init__(self, *, catalogs: Catalogs, gatherer: Gatherer, clock: Clock) -> None:
        self._catalogs = catalogs
        self._gatherer = gatherer
        self._clock = clock

    async def take(self, state: TargetState, databases: Sequence[str]) -> None:
        """Keep the catalogue of each database for the live release, once; only while nothing newer can have migrated it yet.

        A hook of the next release may migrate before anything of it is live, so a release that is no longer wanted, or an operation that runs, is too late.
        """
        live = state.current
        if live is None or not databases or not _alone(state):
            return
        missing = [name for name in databases if name not in await self._catalogs.has(state.target, live.key, databases)]
        facts = await self._gatherer.facts(state.target, [keys.catalog(name) for name in missing])
        for name in missing:
            fact = facts.read(keys.catalog(name))
            if not isinstance(fact, Absent) and not fact.value.busy:
                await self._catalogs.keep(state.target, live.key, name, fact.value, fact.evidence.read_at)


def _alone(state: TargetState) -> bool:
    """Whether what is live is what is wanted, is well, and nothing is under way."""
    if state.current is None or not state.settled or state.running is not None or state.attempted is not None or state.failed_newer:
        return False
    return state.health == HEALTHY and state.desired_key in {"", state.current.key} and bool(state.desired)
