"""Gathers facts: asks every rule what it needs, reads that from the sources side by side, and asks again until nothing new is needed.

A source that fails, hangs or does not exist makes the fact absent; it never makes a verdict fail.
"""

import asyncio
import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from service.domain.errors import BackoutError
from service.domain.evaluation import needed
from service.domain.facts import Absent, Fact, Facts, Key, Known
from service.domain.model import TargetId
from service.domain.ports import Clock, Delivery, FactSource
from service.domain.rule import Case, Rule
from service.domain.secrets import clear

ROUNDS = 6
"""How often rules may name further facts after seeing the first ones (release -> image -> label -> source change)."""

READ_SECONDS = 15.0

STABLE = frozenset({"image labels", "source change", "image manifest", "rendered images", "rendered manifests", "database prepared"})
"""Kinds that are kept between verdicts while they hold; everything else is read again for each."""


ROOM, MOST = 20_000, 200_000
"""Facts that are kept before those that hold no more are dropped; and at most: more than 10,000 targets with some releases each have."""


class Gatherer:
    """Reads facts from the delivery instance that owns the target, and from all other sources by kind."""

    def __init__(self, *, deliveries: Mapping[str, Delivery], sources: Sequence[FactSource], clock: Clock, read_seconds: float = READ_SECONDS) -> None:
        self._deliveries = deliveries
        self._by_kind = {kind: source for source in sources for kind in source.kinds}
        self._clock = clock
        self._read_seconds = read_seconds
        self._kept: dict[Key[Any], Known[Any]] = {}
        self._room = ROOM

    def patient(self, read_seconds: float) -> "Gatherer":
        """One that waits longer for each source, and shares what is kept: what it reads ahead of time need not be read again at night."""
        other = copy.copy(self)
        other._read_seconds = read_seconds  # noqa: SLF001  it is one of us
        return other

    async def facts(self, target: TargetId, keys: Iterable[Key[Any]], before: Facts | None = None) -> Facts:
        """Read these keys, side by side, on top of what is known already."""
        wanted = [key for key in dict.fromkeys(keys) if before is None or key not in before.known]
        read = await asyncio.gather(*(self._read(target, key) for key in wanted))
        known = {**(before.known if before else {}), **dict(zip(wanted, read, strict=True))}
        return Facts(known, self._clock.now())

    async def complete(self, case: Case, rules: Sequence[Rule]) -> Case:
        """The case with every fact that these rules need."""
        for _ in range(ROUNDS):
            missing = needed(case, rules)
            if not missing:
                break
            case = replace(case, facts=await self.facts(case.target, sorted(missing, key=str), case.facts))
        now = self._clock.now()
        old = [key for key, fact in case.facts.known.items() if isinstance(fact, Known) and now - fact.evidence.read_at > fact.good_for]
        again = (await self.facts(case.target, old)).known if old else {}  # a slow source must not make what was read before it stale
        return replace(case, facts=Facts({**case.facts.known, **again}, self._clock.now()))

    async def _read(self, target: TargetId, key: Key[Any]) -> Fact[Any]:
        kept = self._kept.get(key)
        if kept is not None and self._clock.now() - kept.evidence.read_at <= kept.good_for:
            return kept
        fact = await self._ask(target, key)
        if key.kind in STABLE and isinstance(fact, Known):
            self._kept[key] = fact
            if len(self._kept) > self._room:
                self._drop()
        return fact

    def _drop(self) -> None:
        """What holds no more, first of all; what is kept belongs to the patient one too, so it stays the same dictionary."""
        now = self._clock.now()
        for key in [key for key, fact in self._kept.items() if not timedelta(0) <= now - fact.evidence.read_at <= fact.good_for]:
            del self._kept[key]
        if len(self._kept) > MOST:
            self._kept.clear()
        self._room = max(ROOM, 2 * len(self._kept))  # looked through again only when there is twice as much

    async def _ask(self, target: TargetId, key: Key[Any]) -> Fact[Any]:
        """From the delivery instance first; what it cannot tell is asked of another source that can."""
        delivery, other = self._deliveries.get(target.instance), self._by_kind.get(key.kind)
        sources = [source for source in (delivery, other) if source is not None and key.kind in source.kinds]
        absent: list[Absent] = []
        for source in sources:
            fact = await self._from(source, key)
            if not isinstance(fact, Absent):
                return fact
            absent.append(fact)
        if not absent:
            return Absent(f"no source is configured that could read the {key.kind}", clears="Configure one in the settings (evidence: or delivery:).")
        return Absent("; ".join(one.why for one in absent), clears=next((one.clears for one in absent if one.clears), ""))

    async def _from(self, source: FactSource, key: Key[Any]) -> Fact[Any]:
        try:
            async with asyncio.timeout(self._read_seconds):
                fact = await source.read(key)
        except TimeoutError:
            return Absent(f"the {key} could not be read within {self._read_seconds:g} s", clears="Look at the source; try again.")
        except BackoutError as error:
            fact = Absent(str(error), clears="Look at the source; try again.")
        except Exception as defect:  # noqa: BLE001  a defect in one reader must not stop the verdict: the fact is absent, and its rule says unknown
            return Absent(f"reading the {key} failed: {type(defect).__name__}", clears="Report this; it is a defect of Backout.")
        # A source's own words go into findings, plans and messages: they must not carry a credential along.
        return replace(fact, why=clear(fact.why)[0]) if isinstance(fact, Absent) else fact
