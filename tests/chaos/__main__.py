"""`python -m tests.chaos`: plays schedules one after another, and tells of each that breaks a promise how to play it again."""

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.fate import Trouble
from tests.chaos.play import Story
from tests.chaos.schedule import draw
from tests.chaos.stores import POSTGRESQL, SQLITE, judged, opened, told

ENOUGH = 500
"""So many schedules play everything at least once."""


def main() -> int:
    """Answers the exit code: 0 when every promise was kept in every schedule."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first schedule's seed; the next one's is one more")
    parser.add_argument("--schedules", type=int, default=1000, help="how many")
    parser.add_argument("--store", choices=(SQLITE, POSTGRESQL), default=SQLITE)
    parser.add_argument("--tell", action="store_true", help="tell the whole story of each, also when all is well")
    given = parser.parse_args()
    broken: list[int] = []
    seen = Seen()
    began = time.perf_counter()
    with opened(given.store) as stores:
        for seed in range(given.seed, given.seed + given.schedules):
            story, violations = judged(draw(seed), stores)
            seen.add(story)
            if violations:
                broken.append(seed)
            if violations or given.tell:
                sys.stdout.write(told(story, violations, stores.name) + "\n")
            if (seed - given.seed + 1) % 100 == 0:
                sys.stdout.write(f"{seed - given.seed + 1} schedules, {time.perf_counter() - began:.0f} s, {len(broken)} broken\n")
                sys.stdout.flush()
    sys.stdout.write(
        f"{given.schedules} schedules from seed {given.seed} on {given.store} in {time.perf_counter() - began:.0f} s\n"
        f"operations: {_counts(seen.outcomes)}\n"
        f"writes that arrived: {_counts(seen.writes)}\n"
        f"dealt by chance: {_counts(seen.troubles)}\n"
        f"broken: {', '.join(map(str, broken)) or 'none'}\n"
    )
    missing = seen.missing() if given.schedules >= ENOUGH else []
    if missing:
        sys.stdout.write(f"never played, so nothing is proven about it: {', '.join(missing)}\n")
    return 1 if broken or missing else 0


@dataclass(slots=True)
class Seen:
    """What was played. A run in which nothing happens breaks no promise and proves nothing: so it is counted, and what never came is told."""

    outcomes: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)

    def add(self, story: Story) -> None:
        """Count one."""
        self.outcomes.update(f"{row['kind']} {row['outcome']}" for row in story.rows["operation"])
        self.writes.update(one.what for one in story.world.diary.sent if one.taken)
        self.troubles.update({str(trouble): times for trouble, times in story.world.fate.dealt.items()})

    def missing(self) -> list[str]:
        """What ought to have come and did not."""
        ends = ("recovered", "not_recovered", "inconclusive", "refused", "expired", "failed", "cancelled", "rejected", "suggested", "observed")
        wanted = [f"rollback {end}" for end in ends] + ["forward recovered"]
        found = [one for one in wanted if not self.outcomes[one]]
        found += [one for one in ("rollback", "sync", "patch") if not self.writes[one]]
        return found + [str(one) for one in Trouble if not self.troubles[str(one)]]


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{word} ({times})" for word, times in counter.most_common())


if __name__ == "__main__":
    sys.exit(main())
