"""`python -m tests.chaos`: plays schedules one after another, and tells of each that breaks a promise how to play it again."""

import argparse
import sys
import time
from collections import Counter

from tests.chaos.schedule import draw
from tests.chaos.stores import POSTGRESQL, SQLITE, judged, opened, told


def main() -> int:
    """Answers the exit code: 0 when every promise was kept in every schedule."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first schedule's seed; the next one's is one more")
    parser.add_argument("--schedules", type=int, default=1000, help="how many")
    parser.add_argument("--store", choices=(SQLITE, POSTGRESQL), default=SQLITE)
    parser.add_argument("--tell", action="store_true", help="tell the whole story of each, also when all is well")
    given = parser.parse_args()
    broken: list[int] = []
    outcomes: Counter[str] = Counter()
    troubles: Counter[str] = Counter()
    began = time.perf_counter()
    with opened(given.store) as stores:
        for seed in range(given.seed, given.seed + given.schedules):
            story, violations = judged(draw(seed), stores)
            outcomes.update(str(row["outcome"]) for row in story.rows["operation"])
            troubles.update({str(trouble): times for trouble, times in story.world.fate.dealt.items()})
            if violations:
                broken.append(seed)
            if violations or given.tell:
                sys.stdout.write(told(story, violations, stores.name) + "\n")
            if (seed - given.seed + 1) % 100 == 0:
                sys.stdout.write(f"{seed - given.seed + 1} schedules, {time.perf_counter() - began:.0f} s, {len(broken)} broken\n")
                sys.stdout.flush()
    sys.stdout.write(
        f"{given.schedules} schedules from seed {given.seed} on {given.store} in {time.perf_counter() - began:.0f} s\n"
        f"operations: {', '.join(f'{word} {times}' for word, times in outcomes.most_common())}\n"
        f"dealt by chance: {', '.join(f'{word} ({times})' for word, times in troubles.most_common())}\n"
        f"broken: {', '.join(map(str, broken)) or 'none'}\n"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
