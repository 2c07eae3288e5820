"""Everything the edge is made of, as one value that wiring fills in."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.api.auth import Verifier
from service.api.live import Live
from service.api.metrics import ApiMetrics
from service.api.reads import (
    AlertRecords,
    AnswerShelf,
    CaptureReads,
    EventReads,
    HoldReads,
    OperationReads,
    PlanShelf,
    ReadinessCheck,
    ReadinessReads,
    StopSwitch,
    TargetReads,
    UseCases,
)
from service.api.senders import Senders
from service.domain.model import Json
from service.domain.policy import Policies
from service.domain.ports import AlertSource, Clock, Starter
from service.workflow.keeper import Orphan
from service.workflow.watch import Freshness


class Drain:
    """Whether the service is going down: /readyz then says 503 first, and long polls and streams end at once."""

    def __init__(self) -> None:
        self.begun = False
        self._told: list[Callable[[], None]] = []

    def tell(self, one: Callable[[], None]) -> None:
        """Call this when it begins."""
        self._told.append(one)

    def begin(self) -> None:
        """Tell everybody; there is no way back."""
        self.begun = True
        for one in self._told:
            one()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What `make_app` needs.

    `orphans` lists hold marks that no open hold explains.

    `alert_sources` maps the last segment of an intake's address to its parser. `freshness` is the watcher's own mapping, read at each request. `trees`
    and `tree_text` turn an operation's stored spans into one JSON tree a trace, and into text. `trace_link` may hold `{trace_id}`; `public_url` is ""
    when links are to be relative. `hints` maps the last segment of an address for events to what has the instances concerned listed again, and names them.
    `intake_limit` is how many deliveries may be in flight before the intake answers 503.
    """

    desk: UseCases
    targets: TargetReads
    standings: ReadinessReads
    operations: OperationReads
    events: EventReads
    captures: CaptureReads
    live: Live
    alerts: AlertRecords
    holds: HoldReads
    orphans: Callable[[], Awaitable[Sequence[Orphan]]]
    plans: PlanShelf
    answers: AnswerShelf
    stop: StopSwitch
    starter: Starter
    clock: Clock
    verifier: Verifier
    senders: Senders
    alert_sources: Mapping[str, AlertSource]
    policies: Policies
    freshness: Mapping[str, Freshness]
    trees: Callable[[Sequence[bytes]], Sequence[Mapping[str, Json]]]
    tree_text: Callable[[Sequence[bytes]], str]
    readiness: Sequence[ReadinessCheck]
    metrics: ApiMetrics
    openapi: Path
    version: str
    trace_link: str = ""
    public_url: str = ""
    hints: Mapping[str, Callable[[], Sequence[str]]] = field(default_factory=dict)
    intake_limit: int = 32
    drain: Drain = field(default_factory=Drain)
