"""What callers may send: one model a request body of openapi.yaml (a test compares them), strict, and deaf to nothing it does not know."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from service.domain.model import TargetId

Text = Annotated[str, StringConstraints(max_length=2000)]
Needed = Annotated[str, StringConstraints(max_length=2000, min_length=1, strip_whitespace=True)]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
RuleName = Annotated[str, StringConstraints(max_length=100)]
TargetText = Annotated[str, StringConstraints(pattern=r"^[^:]+:.+$", max_length=400)]

KEY = r"^[\x21-\x7e]+$"


class Body(BaseModel):
    """Every body."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Keyed(Body):
    """A body of a request that may be repeated; the key may stand in the header as well."""

    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=KEY)] | None = None


class MakePlan(Keyed):
    """`POST /v1/plans`."""

    target: TargetText

    @property
    def target_id(self) -> TargetId:
        """The target that is meant."""
        return TargetId.parse(self.target)


class StartRollback(MakePlan):
    """`POST /v1/operations`; without a digest the operation waits for an approval."""

    plan_digest: Digest | None = None
    accept: list[RuleName] = []
    override: list[RuleName] = []
    reason: Text = ""


class Override(Keyed):
    """`POST /v1/operations/{id}/override`: a second person's word for each block that the plan is carried out against."""

    plan_digest: Digest
    override: list[RuleName]
    accept: list[RuleName] = []
    reason: Needed


class Approve(Keyed):
    """`POST /v1/operations/{id}/approve`."""

    plan_digest: Digest
    accept: list[RuleName] = []
    reason: Text = ""


class WithReason(Keyed):
    """Rejecting and cancelling."""

    reason: Text = ""


class EndHold(Keyed):
    """`POST /v1/holds/{id}/end`."""

    reason: Needed
    leave_auto_sync_off: bool = False
    accept_bad: bool = False


class Stop(Body):
    """`PUT /v1/stop`."""

    reason: Needed
