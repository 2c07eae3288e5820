"""Facts from Backout's own records: releases as they lived, the spec before the onset, limits, and objects shared between targets."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from service.domain.correlation import MONIKER, same_cluster
from service.domain.errors import UnavailableError
from service.domain.facts import Absent, Evidence, Fact, Key, Known
from service.domain.keys import Limits, RegionBeside, Sharing
from service.domain.model import OperationKind, TargetId
from service.domain.policy import Policies
from service.domain.ports import Catalogs, Clock, Holds, Journal, StatementsKept, Targets
from service.workflow.chapters.chapter import WAITING
from service.workflow.watch import Freshness

OUTAGE_WINDOW = timedelta(minutes=10)
OUTAGE_FLOOR = 3
OUTAGE_SHARE = 0.1
HOLDS_FOR = timedelta(seconds=15)
LIST_HOLDS_FOR = timedelta(minutes=5)


class OwnFacts:
    """A `FactSource` over the store. "spec baseline" keys carry (target, time): the digest last seen before that time."""

    kinds = frozenset(
        {"record", "spec baseline", "limits", "sharing", "held releases", "kept content", "regions beside", "database catalog then", "database statements then"}
    )

    def __init__(
        self,
        *,
        targets: Targets,
        holds: Holds,
        policies: Policies,
        freshness: Mapping[str, Freshness],
        clock: Clock,
        catalogs: Catalogs | None = None,
        statements: StatementsKept | None = None,
        operations: Journal | None = None,
    ) -> None:
        self._operations = operations
        self._catalogs = catalogs
        self._statements = statements
        self._freshness = freshness
        self._targets = targets
        self._holds = holds
        self._policies = policies
        self._clock = clock

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """One fact, or why there is none."""
        try:
            match key.kind:
                case "record":
                    return await self._record(*_parts(key))
                case "kept content":
                    return await self._content(*_parts(key))
                case "spec baseline":
                    return await self._baseline(key)
                case "limits":
                    return await self._limits(_target(key))
                case "database catalog then":
                    return await self._catalog_then(key)
                case "database statements then":
                    return await self._statements_then(key)
                case "held releases":
                    return await self._held(_target(key))
                case "sharing":
                    return await self._sharing(_target(key))
                case "regions beside":
                    return await self._regions_beside(_target(key))
                case _:
                    return Absent(f"nobody keeps the {key.kind}")
        except UnavailableError as error:
            return Absent(str(error), clears="Bring the store back.")

    def _known(self, value: Any, what: str, good_for: timedelta = HOLDS_FOR) -> Known[Any]:
        return Known(value=value, evidence=Evidence(source="backout store", what=what, read_at=self._clock.now()), good_for=good_for)

    async def _record(self, target: TargetId, release: str) -> Fact[Any]:
        record = (await self._targets.records(target)).get(release)
        if record is None:
            return Absent("Backout never saw that release live", clears="It is known from the next release on; an older goal needs a person.")
        return self._known(record, f"record of release {record.handle} of {target}")

    async def _content(self, target: TargetId, release: str) -> Fact[Any]:
        content = await self._targets.content(target, release)
        if content is None:
            return Absent("Backout did not keep what that release rendered to", clears="It is kept from the next deploy on.")
        return self._known(content, f"what release {release} of {target} rendered to while it lived")

    async def _catalog_then(self, key: Key[Any]) -> Fact[Any]:
        subject: Any = key.subject
        target, release, database = subject
        kept = await self._catalogs.of(target, release, database) if self._catalogs is not None else None
        if kept is None:
            return Absent(
                f"the schema of database {database} was not read while that release lived",
                clears="It is read for every release that goes live from now on; for this one a person decides.",
            )
        what = f"catalogue of {database}, read {kept.at:%Y-%m-%dT%H:%M:%SZ} while the release lived"
        evidence = Evidence(source="backout store", what=what, read_at=self._clock.now(), digest=kept.digest)
        return Known(value=kept.catalog, evidence=evidence, good_for=HOLDS_FOR)

    async def _statements_then(self, key: Key[Any]) -> Fact[Any]:
        subject: Any = key.subject
        target, release, database = subject
        kept = await self._statements.of(target, release, database) if self._statements is not None else None
        if kept is None or not (kept.statements or kept.left_out):
            return Absent(
                f"no statement of database {database} was counted while that release lived",
                clears="They are counted for releases that go live from now on, where evidence.databases names the program's role (statements_of).",
            )
        what = f"{kept.texts} of database {database}, seen {kept.since:%Y-%m-%dT%H:%M:%SZ} to {kept.at:%Y-%m-%dT%H:%M:%SZ} while the release lived"
        evidence = Evidence(source="backout store", what=what, read_at=self._clock.now(), digest=kept.digest)
        return Known(value=kept, evidence=evidence, good_for=HOLDS_FOR)

    async def _baseline(self, key: Key[Any]) -> Fact[Any]:
        target, before = _parts(key)
        if before is None:
            return Absent("nobody said before which time", clears="Ask again with an incident.")
        seen = await self._targets.spec_before(target, before)
        if seen is None:
            return Absent("Backout had not read the target's spec before that time", clears="It is known for every incident that begins from now on.")
        return self._known(seen[0], f"spec digest of {target}, last seen {seen[1]:%Y-%m-%dT%H:%M:%SZ}")

    async def _limits(self, target: TargetId) -> Fact[Any]:
        now, policy = self._clock.now(), self._policies.of(target)
        around = await self._holds.around(target, since=now - policy.rollback_window, burning_since=now - OUTAGE_WINDOW)
        burning, total = around.burning, around.targets
        limit = max(OUTAGE_FLOOR, int(total * OUTAGE_SHARE))
        outage = f"{burning} of {total} targets had incidents within 10 minutes (limit {limit}): this is wider than one release" if burning > limit else ""
        within = policy.rollback_window.total_seconds() / 3600
        disarmed = f"{around.rollbacks} automatic rollback within {within:g} h" if around.rollbacks >= policy.rollbacks else ""
        limits = Limits(
            automatic_rollbacks=around.rollbacks,
            within=policy.rollback_window,
            held=around.held,
            made_by_backout=around.made,
            alive=(around.alive,) if around.alive else (),
            wide_outage=outage,
            disarmed=disarmed,
            failed_forwards=around.failed_forwards,
        )
        return self._known(limits, f"operations, holds and incidents around {target}", timedelta(seconds=5))

    async def _held(self, target: TargetId) -> Fact[Any]:
        hold = await self._holds.open_for(target)
        found = tuple(await self._holds.releases(hold.id)) if hold else ()
        return self._known(found, f"what {hold.id if hold else 'no hold'} keeps away from {target}", timedelta(seconds=5))

    async def _regions_beside(self, target: TargetId) -> Fact[Any]:
        """Of two regions that begin at once the older operation comes first, so that one of them goes on; one that waits for a person holds nobody up."""
        if self._operations is None:
            return Absent("nobody keeps the operations")
        shared, _ = await self._targets.shared(target)
        regions = same_cluster(shared)
        back = [one for one in await self._operations.alive() if one.kind is OperationKind.ROLLBACK]
        alive = [one for one in back if one.target in regions or one.target == target]
        mine = next((one for one in alive if one.target == target), None)
        found: list[RegionBeside] = []
        for one in alive:
            older = mine is not None and (one.created_at, one.id) < (mine.created_at, mine.id)
            acts = one.first_effect_at is not None
            if one.target in regions and (acts or (older and one.phase != WAITING)):
                found.append(RegionBeside(target=one.target, operation=one.id, acts=acts))
        return self._known(tuple(found), f"operations on {len(regions)} other regions of {target}", timedelta(seconds=5))

    async def _sharing(self, target: TargetId) -> Fact[Any]:
        if await self._targets.listed(target) is None:
            return Absent("the target is not in the index yet", clears="Wait for the first list of its delivery instance.")
        now = self._clock.now()
        for instance, fresh in self._freshness.items():
            if fresh.listed_at is None or not fresh.complete or now - fresh.listed_at > LIST_HOLDS_FOR:
                why = fresh.trouble or "it was not listed in full lately"
                return Absent(f"other targets may share objects: {instance} is not known in full ({why})", clears="Make every instance list all its targets.")
        shared, compared = await self._targets.shared(target)
        shared = {one: others for one, others in shared.items() if one.group != MONIKER}
        listed_at = min((fresh.listed_at for fresh in self._freshness.values() if fresh.listed_at), default=now)
        evidence = Evidence(source="backout store", what=f"objects of {compared} targets", read_at=listed_at)
        return Known(value=Sharing(shared=shared, compared=compared), evidence=evidence, good_for=LIST_HOLDS_FOR)


def _parts(key: Key[Any]) -> tuple[Any, Any]:
    subject: Any = key.subject
    return subject[0], subject[1]


def _target(key: Key[Any]) -> TargetId:
    subject: Any = key.subject
    return TargetId(subject.instance, subject.name)
