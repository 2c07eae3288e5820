"""`python -m tests.chaos`: plays schedules, on every core, and tells of each that breaks a promise how to play it again."""

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.chaos.fate import Trouble
from tests.chaos.play import Story
from tests.chaos.schedule import draw
from tests.chaos.stores import POSTGRESQL, SQLITE, judged, opened, told

ENOUGH = 500
"""So many schedules play everything at least once."""

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

    def missing(self) -> list[str]:
        """What ought to have come and did not."""
        ends = ("recovered", "not_recovered", "inconclusive", "refused", "expired", "failed", "cancelled", "rejected", "suggested", "observed")
        wanted = [f"rollback {end}" for end in ends] + ["forward recovered"]
        found = [one for one in wanted if not self.outcomes[one]]
        found += [one for one in ("rollback", "sync", "patch") if not self.writes[one]]
        return found + [str(one) for one in Trouble if not self.troubles[str(one)]]


def played(store: str, first: int, count: int, tell: bool) -> Seen:
    """Play so many from a seed on."""
    seen = Seen()
    with opened(store) as stores:
        for seed in range(first, first + count):
            story, violations = judged(draw(seed), stores)
            seen.add(story)
            if violations:
                seen.broken.append(seed)
            if violations or tell:
                seen.texts.append(told(story, violations, stores.name))
    return seen


def main() -> int:
    """Answers the exit code: 0 when every promise was kept in every schedule."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first schedule's seed; the next one's is one more")
    parser.add_argument("--schedules", type=int, default=1000, help="how many")
    parser.add_argument("--store", choices=(SQLITE, POSTGRESQL), default=SQLITE)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes; default: one a core")
    parser.add_argument("--tell", action="store_true", help="tell the whole story of each, also when all is well")
    given = parser.parse_args()
    seen, began = Seen(), time.perf_counter()
    starts = range(given.seed, given.seed + given.schedules, TOGETHER)
    with ProcessPoolExecutor(max_workers=max(1, min(given.jobs, len(starts)))) as pool:
        shares = [pool.submit(played, given.store, first, min(TOGETHER, given.seed + given.schedules - first), given.tell) for first in starts]
        for share in shares:
            one = share.result()
            seen.join(one)
            sys.stdout.writelines(f"{text}\n" for text in one.texts)
            sys.stdout.write(f"{seen.schedules} schedules, {time.perf_counter() - began:.0f} s, {len(seen.broken)} broken\n")
            sys.stdout.flush()
    sys.stdout.write(
        f"{given.schedules} schedules from seed {given.seed} on {given.store} in {time.perf_counter() - began:.0f} s\n"
        f"operations: {_counts(seen.outcomes)}\n"
        f"writes that arrived: {_counts(seen.writes)}\n"
        f"dealt by chance: {_counts(seen.troubles)}\n"
        f"broken: {', '.join(map(str, seen.broken)) or 'none'}\n"
    )
    missing = seen.missing() if given.schedules >= ENOUGH else []
    if missing:
        sys.stdout.write(f"never played, so nothing is proven about it: {', '.join(missing)}\n")
    return 1 if seen.broken or missing else 0


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{word} ({times})" for word, times in counter.most_common())


if __name__ == "__main__":
    sys.exit(main())
