"""`python -m tests.chaos`: plays schedules, on every core, and tells of each that breaks a promise how to play it again."""

import argparse
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from tests.chaos import fate
from tests.chaos.play import Story
from tests.chaos.schedule import ARGOCD, DRAWS, SPINNAKER, Schedule, draw_spinnaker, quiet_day
from tests.chaos.stores import POSTGRESQL, SQLITE, judged, opened, told

ENOUGH = 500
"""So many schedules play everything at least once."""

COLLECTED_AFTER = 50_000
"""Objects made between two looks for garbage: what is imported is never garbage, and a play soon over."""

WRITES = {ARGOCD: ("rollback", "sync", "patch"), SPINNAKER: ("undo", "switch", "own pipeline", "cancel pipeline", "judge", "shut triggers", "open triggers")}
TROUBLES = {ARGOCD: fate.OF_ARGO_CD, SPINNAKER: fate.OF_SPINNAKER}
"""What must have come in enough schedules."""

TOGETHER = 25
"""Schedules that a process plays before it tells."""


@dataclass(slots=True)
class Seen:
    """What was played. A run in which nothing happens breaks no promise and proves nothing: so it is counted, and what never came is told."""

    schedules: int = 0
    broken: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)

    def add(self, story: Story) -> None:
        """Count one."""
        self.schedules += 1
        self.outcomes.update(f"{row['kind']} {row['outcome']}" for row in story.rows["operation"])
        self.writes.update(one.what for one in story.world.diary.sent if one.taken)
        self.troubles.update({str(trouble): times for trouble, times in story.world.fate.dealt.items()})

    def join(self, other: "Seen") -> None:
        """Count what another process played."""
        self.schedules += other.schedules
        self.broken += other.broken
        for mine, theirs in ((self.outcomes, other.outcomes), (self.writes, other.writes), (self.troubles, other.troubles)):
            mine.update(theirs)

    def missing(self, delivery: str) -> list[str]:
        """What ought to have come and did not."""
        ends = ("recovered", "not_recovered", "inconclusive", "refused", "expired", "failed", "cancelled", "rejected", "suggested", "observed")
        wanted = [f"rollback {end}" for end in ends] + ["forward recovered"]
        found = [one for one in wanted if not self.outcomes[one]]
        found += [one for one in WRITES[delivery] if not self.writes[one]]
        return found + [str(one) for one in TROUBLES[delivery] if not self.troubles[str(one)]]


def killed_there(delivery: str, machines: bool, number: int) -> Schedule:
    """One rollback on a quiet day, whose process is killed at that place of the operation's way."""
    return replace(quiet_day(delivery, machines=machines), kill_at=number)


def played(store: str, schedule: Callable[[int], Schedule], numbers: Sequence[int], tell: bool) -> Seen:
    """Play the schedules of these seeds, or places."""
    seen = Seen()
    gc.freeze()
    gc.set_threshold(COLLECTED_AFTER)
    with opened(store) as stores:
        for number in numbers:
            story, violations = judged(schedule(number), stores)
            seen.add(story)
            if violations:
                seen.broken.append(number)
            if violations or tell:
                seen.texts.append(told(story, violations, stores.name))
    return seen


def places(store: str, delivery: str, *, machines: bool) -> int:
    """How many places there are on the way of one rollback."""
    with opened(store) as stores:
        return judged(quiet_day(delivery, machines=machines), stores)[0].places


def main() -> int:
    """Answers the exit code: 0 when every promise was kept in every schedule."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first schedule's seed; the next one's is one more")
    parser.add_argument("--schedules", type=int, default=1000, help="how many")
    parser.add_argument("--store", choices=(SQLITE, POSTGRESQL), default=SQLITE)
    parser.add_argument("--delivery", choices=(ARGOCD, SPINNAKER), default=ARGOCD, help="what deploys the shops")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes; default: one a core")
    parser.add_argument("--tell", action="store_true", help="tell the whole story of each, also when all is well")
    parser.add_argument("--places", type=int, metavar="STEP", help="instead: kill one rollback at each STEPth place of its way, from place `--seed` on")
    parser.add_argument("--machines", action="store_true", help="with Spinnaker: every shop is a cluster of machines")
    given = parser.parse_args()
    if given.machines and given.delivery != SPINNAKER:
        parser.error("--machines goes with --delivery spinnaker")
    seen, began = Seen(), time.perf_counter()
    schedule: Callable[[int], Schedule] = partial(draw_spinnaker, machines=1.0) if given.machines else DRAWS[given.delivery]
    numbers, what = range(given.seed, given.seed + given.schedules), f"schedules from seed {given.seed}"
    if given.places:
        schedule, what = partial(killed_there, given.delivery, given.machines), "places to be killed at"
        numbers = range(given.seed, places(given.store, given.delivery, machines=given.machines) + 1, given.places)[: given.schedules]
    starts = range(0, len(numbers), TOGETHER)
    with ProcessPoolExecutor(max_workers=max(1, min(given.jobs, len(starts)))) as pool:
        shares = [pool.submit(played, given.store, schedule, numbers[first : first + TOGETHER], given.tell) for first in starts]
        for share in shares:
            one = share.result()
            seen.join(one)
            sys.stdout.writelines(f"{text}\n" for text in one.texts)
            sys.stdout.write(f"{seen.schedules} schedules, {time.perf_counter() - began:.0f} s, {len(seen.broken)} broken\n")
            sys.stdout.flush()
    sys.stdout.write(
        f"{len(numbers)} {what} of {given.delivery} on {given.store} in {time.perf_counter() - began:.0f} s\n"
        f"operations: {_counts(seen.outcomes)}\n"
        f"writes that arrived: {_counts(seen.writes)}\n"
        f"dealt by chance: {_counts(seen.troubles)}\n"
        f"broken: {', '.join(map(str, seen.broken)) or 'none'}\n"
    )
    missing = seen.missing(given.delivery) if not given.places and len(numbers) >= ENOUGH else []
    if missing:
        sys.stdout.write(f"never played, so nothing is proven about it: {', '.join(missing)}\n")
    return 1 if seen.broken or missing else 0


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{word} ({times})" for word, times in counter.most_common())


if __name__ == "__main__":
    sys.exit(main())
