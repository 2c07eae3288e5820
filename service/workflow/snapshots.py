"""Takes down, while a release lives alone, what cannot be had later: the schema of the databases that it uses, and the statements that it runs there.

Reads only, at the pace of whoever asks.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from service.domain import keys
from service.domain.facts import Absent
from service.domain.keys import TargetState
from service.domain.model import Release, TargetId
from service.domain.own_statements import Texts, fresh, observed
from service.domain.ports import Catalogs, Clock, StatementsKept
from service.workflow.gather import Gatherer

HEALTHY = "Healthy"
COUNTED_EVERY = timedelta(minutes=10)
"""Between two readings of what a release ran: each makes the database look through all that it has counted."""


class Snapshots:
    """`take` is called after a target was looked at."""

    def __init__(self, *, catalogs: Catalogs, statements: StatementsKept, gatherer: Gatherer, clock: Clock) -> None:
        self._catalogs = catalogs
        self._statements = statements
        self._gatherer = gatherer
        self._clock = clock
        self._counted: dict[tuple[TargetId, str], tuple[Release, datetime]] = {}

    async def take(self, state: TargetState, databases: Sequence[str]) -> None:
        """Keep the catalogue of each database for the live release, once, and its statements again and again; only while nothing newer can be at work yet.

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
        for name in databases:
            if self._due(state.target, name, live):
                await self._count(state.target, name, live)

    def _due(self, target: TargetId, database: str, live: Release) -> bool:
        now = self._clock.now()
        release, at = self._counted.get((target, database), (None, now))
        if release == live and timedelta(0) <= now - at < COUNTED_EVERY:
            return False
        self._counted[target, database] = (live, now)
        return True

    async def _count(self, target: TargetId, database: str, live: Release) -> None:
        """Read what ran, prepare what is new, keep both. Where either cannot be had now, the next reading sees it all the same: counts only rise."""
        read = (await self._gatherer.facts(target, [keys.statements(database)])).read(keys.statements(database))
        if isinstance(read, Absent):
            return
        kept = await self._statements.of(target, live.key, database)
        new = fresh(kept, read.value, live.handle)
        codes = await self._prepared(target, database, new) if new.texts else ()
        if codes is None:
            return
        after = observed(kept, read.value, live.handle, read.evidence.read_at, dict(zip(new.texts, codes, strict=True)))
        await self._statements.keep(target, live.key, database, after)

    async def _prepared(self, target: TargetId, database: str, texts: Texts) -> Sequence[str] | None:
        now = (await self._gatherer.facts(target, [keys.catalog(database)])).read(keys.catalog(database))
        if isinstance(now, Absent) or now.value.busy:
            return None
        key = keys.prepared(database, now.value.digest, texts)
        fact = (await self._gatherer.facts(target, [key])).read(key)
        return None if isinstance(fact, Absent) else fact.value


def _alone(state: TargetState) -> bool:
    """Whether what is live is what is wanted, is well, and nothing is under way."""
    if state.current is None or not state.settled or state.running is not None or state.attempted is not None or state.failed_newer:
        return False
    return state.health == HEALTHY and state.desired_key in {"", state.current.key} and bool(state.desired)
