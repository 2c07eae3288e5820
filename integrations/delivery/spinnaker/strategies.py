"""What each deploy strategy leaves behind, and so which way back there is; pure. Source only: no cloud provider was there when Gate was recorded."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.model import Way


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a strategy leaves: `way` is the best way back, `says` why in one sentence; `fast`: what was there before may still run."""

    way: Way
    says: str
    fast: bool = False


STRATEGIES: Mapping[str, Left] = {
    "redblack": Left(
        way=Way.ENABLE_PREVIOUS, fast=True, says="red/black leaves the group before disabled: enabling it again is the fastest way back, if it still runs"
    ),
    "bluegreen": Left(
        way=Way.ENABLE_PREVIOUS, fast=True, says="blue/green leaves the ReplicaSet before without traffic, or deletes it if it never became stable"
    ),
    "rollingredblack": Left(
        way=Way.ENABLE_PREVIOUS, says="rolling red/black that failed leaves both half enabled: an explicit rollback is repeated until one serves"
    ),
    "monitored": Left(way=Way.NONE, says="a monitored deploy rolls back to the original group by itself: it is followed, nothing is done beside it"),
    "highlander": Left(way=Way.ROLLBACK, says="highlander destroys what was before: only deploying the old version again brings it back"),
    "none": Left(way=Way.ENABLE_PREVIOUS, says="without a strategy all groups stay enabled: the bad one is disabled, the one before serves"),
    "rollingpush": Left(way=Way.ROLLBACK, says="a rolling push replaces the instances in place: only deploying the old version again brings it back"),
    "custom": Left(way=Way.NONE, says="a custom strategy is a pipeline of the team's: what it leaves is for a person to say"),
}
"""By the name that Spinnaker writes, in lower case."""

PLAIN_MANIFEST = Left(
    way=Way.UNDO,
    says="a Deployment, StatefulSet or DaemonSet keeps its revisions: the roll-out is undone to one of them, which restores the pod template alone",
)


def left_by(strategy: str) -> Left:
    """What that strategy leaves; one that is not known leaves nothing that may be relied on."""
    named = strategy.lower() or "none"
    return STRATEGIES.get(named, Left(way=Way.NONE, says=f"what the strategy {strategy} leaves behind is not known"))
