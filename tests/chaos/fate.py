"""What goes wrong, and when: one seeded source of chance for a whole schedule, and the kinds of trouble that it deals out.

A schedule suffers a few kinds of trouble often rather than all of them a little: what only shows where two meet shows sooner that way.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Trouble(StrEnum):
    """One kind of trouble that comes by chance, at each occasion anew."""

    CRASH = "the process is killed"
    FREEZE = "the process stands still in the middle of an operation"
    FREEZE_IN_LOOK = "the process stands still in its last look before an act"
    CRASH_AFTER_WRITE = "the process is killed between an effect and its record"
    ANSWER_LOST = "the delivery system's answer is lost after it acted"
    REQUEST_LOST = "a request to the delivery system is lost"
    REQUEST_LATE = "a request to the delivery system arrives after its sender gave up"
    SLOW = "the delivery system answers slowly"
    DENIED = "the delivery system says permission denied for a moment"
    UNAVAILABLE = "a proxy answers 502, 503 or 429 instead of the delivery system"
    STREAM_CUT = "the watch of the delivery system is cut"
    STREAM_SILENT = "the watch of the delivery system says nothing any more"
    HINT_LOST = "a message of the watch is lost"
    NO_BEGIN = "the store takes no transaction"
    NO_COMMIT = "a commit fails"
    COMMIT_ANSWER_LOST = "a commit is done and its answer lost"
    FACT_ABSENT = "a source of evidence does not answer"
    FACT_HANGS = "a source of evidence hangs"
    FACT_BROKEN = "a source of evidence answers nonsense"
    FACT_STALE = "a source of evidence answers from long ago"
    RECEIVER_AWAY = "the collector or the notifier fails"
    RECEIPT_LOST = "the collector or the notifier took it and its answer is lost"
    EMPTY = "the delivery system answers 200 with nothing"
    DOUBLED = "a request to the delivery system arrives twice"
    NEVER_BEGINS = "the delivery system takes an order that never comes to be"


RATES: Mapping[Trouble, float] = {
    Trouble.CRASH: 0.006,
    Trouble.FREEZE: 0.01,
    Trouble.FREEZE_IN_LOOK: 0.2,
    Trouble.CRASH_AFTER_WRITE: 0.1,
    Trouble.ANSWER_LOST: 0.08,
    Trouble.REQUEST_LOST: 0.06,
    Trouble.REQUEST_LATE: 0.08,
    Trouble.SLOW: 0.08,
    Trouble.DENIED: 0.05,
    Trouble.UNAVAILABLE: 0.06,
    Trouble.STREAM_CUT: 0.02,
    Trouble.STREAM_SILENT: 0.01,
    Trouble.HINT_LOST: 0.2,
    Trouble.NO_BEGIN: 0.02,
    Trouble.NO_COMMIT: 0.04,
    Trouble.COMMIT_ANSWER_LOST: 0.04,
    Trouble.FACT_ABSENT: 0.12,
    Trouble.FACT_HANGS: 0.03,
    Trouble.FACT_BROKEN: 0.08,
    Trouble.FACT_STALE: 0.08,
    Trouble.RECEIVER_AWAY: 0.3,
    Trouble.RECEIPT_LOST: 0.2,
    Trouble.EMPTY: 0.05,
    Trouble.DOUBLED: 0.3,
    Trouble.NEVER_BEGINS: 0.15,
}
"""How likely each is at one occasion, where a schedule has it at all."""


@dataclass(slots=True)
class Fate:
    """Deals trouble by chance while `on`. `dealt` counts what came, `places` where an operation passed a point to be killed at; it is at `kill_at`."""

    chance: random.Random
    rates: Mapping[Trouble, float]
    on: bool = False
    dealt: dict[Trouble, int] = field(default_factory=dict)
    kill_at: int = 0
    places: int = 0

    def strikes(self, trouble: Trouble, share: float = 1.0) -> bool:
        """Whether this trouble comes now; `share` makes it rarer."""
        rate = self.rates.get(trouble, 0.0) * share if self.on else 0.0
        if not rate or self.chance.random() >= rate:
            return False
        self.dealt[trouble] = self.dealt.get(trouble, 0) + 1
        return True

    def is_the_place(self) -> bool:
        """Whether an operation's process is to be killed just here."""
        self.places += 1
        return self.places == self.kill_at

    def between(self, low: float, high: float) -> float:
        """A number of seconds, more often a small one."""
        return low + (high - low) * self.chance.random() ** 2


SPINNAKER_ALONE = frozenset({Trouble.EMPTY, Trouble.DOUBLED, Trouble.NEVER_BEGINS})
"""What Gate does (contract 2.6, 9) and Argo CD was never seen to do."""
WATCHED = frozenset({Trouble.STREAM_CUT, Trouble.STREAM_SILENT, Trouble.HINT_LOST})
"""What happens to a watch, which Gate does not have."""
OF_ARGO_CD = tuple(one for one in Trouble if one not in SPINNAKER_ALONE)
OF_SPINNAKER = tuple(one for one in Trouble if one not in WATCHED)


def rates(chance: random.Random, among: Sequence[Trouble] = OF_ARGO_CD) -> dict[Trouble, float]:
    """The kinds of trouble of one schedule: some of them, each more or less often. One schedule in ten has none."""
    if chance.random() < 0.1:
        return {}
    some = chance.sample(among, chance.randint(1, 6))
    return {one: RATES[one] * chance.choice((0.3, 1.0, 2.0)) for one in some}
