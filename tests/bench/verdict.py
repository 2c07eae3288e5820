"""A verdict from warm facts: every fact and record at hand, every rule asked, for each way, with the offer and the plan. What is measured is an examination.

Run as a process of its own, for the service runs in it: `python -m tests.bench.verdict FOLDER` prints the seconds of each as JSON.
"""

import asyncio
import copy
import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from service.domain.facts import Fact, Key
from service.domain.model import Actor, Mode, ReleaseRecord, TargetId
from service.domain.ports import Targets
from service.domain.rule import Trigger
from service.domain.rules import RULES
from service.domain.suspicion import Trouble
from service.settings import load
from service.wiring.parts import SystemClock, kinds
from service.wiring.service import Service, running
from service.workflow.examine import Examination, Examiner
from service.workflow.gather import Gatherer
from tests.bench.figures import Figure, quantile
from tests.bench.ground import bad_release, ground

WARMED, ROUNDS, EACH = 3, 20, 10
"""Examinations before any is counted; so often all facts are read anew, for some hold for seconds only; examinations of each round."""

SHOP = TargetId("sandbox", "judged")


class Warm:
    """A gatherer and a memory of releases that read each thing once, and have it at hand from then on."""

    def __init__(self, service: Service) -> None:
        self._facts: dict[Key[Any], Fact[Any]] = {}
        self._targets = service.targets
        self._records: dict[TargetId, Mapping[str, ReleaseRecord]] = {}
        self._troubles: dict[TargetId, Sequence[Trouble]] = {}
        self.gatherer = copy.copy(service.gatherer)
        self._read = service.gatherer._read  # noqa: SLF001  what it asks the sources with
        self.gatherer._read = self._at_hand  # type: ignore[method-assign]  # noqa: SLF001  as above

    async def _at_hand(self, target: TargetId, key: Key[Any]) -> Fact[Any]:
        if key not in self._facts:
            self._facts[key] = await self._read(target, key)
        return self._facts[key]

    async def records(self, target: TargetId) -> Mapping[str, ReleaseRecord]:
        """See `Targets`."""
        if target not in self._records:
            self._records[target] = await self._targets.records(target)
        return self._records[target]

    async def troubles(self, target: TargetId) -> Sequence[Trouble]:
        """See `Targets`."""
        if target not in self._troubles:
            self._troubles[target] = await self._targets.troubles(target)
        return self._troubles[target]

    def forget(self) -> None:
        """Read everything anew."""
        for kept in (self._facts, self._records, self._troubles):
            kept.clear()


async def measure(folder: Path) -> Sequence[Figure]:
    """The figure of this file."""
    folder.mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.verdict", str(folder), stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("the verdicts could not be measured")
    found: Mapping[str, Any] = json.loads(told.splitlines()[-1])
    p50 = quantile(found["seconds"], 0.5)
    return (
        Figure(
            what=f"verdict from warm facts ({found['rules']} rules, {found['facts']} facts; offer and plan too): p50",
            asked="≤ 2 ms",
            measured=f"{p50 * 1000:.2f} ms ({quantile(found['cpu'], 0.5) * 1000:.2f} ms of CPU)",
            holds=p50 <= 0.002,
        ),
    )


async def timed(folder: Path) -> Mapping[str, Any]:
    """Seconds of each examination, of wall-clock and of CPU time, and how much was asked."""
    async with ground(folder, shops=(SHOP.name,), crowd=0) as made:
        await made.process.stop()
        body = await bad_release(made, SHOP.name)
        labels = json.loads(body)["alerts"][0]
        began = datetime.fromisoformat(labels["startsAt"])
        trigger = Trigger(incident_id="inc_1", alert=labels["labels"]["alertname"], labels=labels["labels"], began_at=began, received_at=SystemClock().now())
        clock = SystemClock()
        async with running(load(made.process.config, kinds()), clock) as service:
            warm = Warm(service)
            return await _examinations(service, warm, trigger)


async def _examinations(service: Service, warm: Warm, trigger: Trigger) -> Mapping[str, Any]:
    targets: Targets = warm  # type: ignore[assignment]  # as much of it as an examination asks
    gatherer: Gatherer = warm.gatherer
    examiner = Examiner(gatherer=gatherer, deliveries=service.outside.deliveries, targets=targets, rules=RULES, policies=service.policies, clock=service.clock)

    async def once() -> Examination:
        return await examiner.examine(
            SHOP,
            trigger=trigger,
            automatic=True,
            mode=Mode.AUTO,
            requested_by=Actor(kind="alert", name=trigger.alert),
            plan_id="pln_1",
            deadline=timedelta(minutes=2),
        )

    seconds, cpu, found = list[float](), list[float](), await once()
    for _ in range(ROUNDS):
        warm.forget()
        for _ in range(WARMED):
            found = await once()
        if found.plan is None:
            raise RuntimeError(f"there is no plan: {found.says}")
        for _ in range(EACH):
            began, used = time.perf_counter(), time.process_time()
            await once()
            seconds.append(time.perf_counter() - began)
            cpu.append(time.process_time() - used)
    return {"seconds": seconds, "cpu": cpu, "rules": len(found.verdict.findings), "facts": len(found.case.facts.known)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(timed(Path(sys.argv[1])))) + "\n")
