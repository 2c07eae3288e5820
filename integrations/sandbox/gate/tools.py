"""What every part of Orca works with: the other servers and the time line."""

from collections.abc import Callable
from dataclasses import dataclass, field

from integrations.sandbox.gate.clouddriver import Clouddriver
from integrations.sandbox.gate.executions import Executions, Run
from integrations.sandbox.gate.front50 import Front50
from integrations.sandbox.gate.ids import Ids
from integrations.sandbox.gate.kayenta import Kayenta
from integrations.sandbox.gate.settings import Faults, Json, Profile, Timings
from integrations.sandbox.gate.timeline import Timeline

Rights = Callable[[str], list[str]]


@dataclass(slots=True, kw_only=True)
class Tools:
    """What Orca works with. `start_pipeline` starts a saved configuration and `roles` tells those of a user; the server fills both in."""

    timeline: Timeline
    ids: Ids
    timings: Timings
    profile: Profile
    faults: Faults
    executions: Executions
    front50: Front50
    clouddriver: Clouddriver
    kayenta: Kayenta
    managed: dict[str, list[Json]] | None = None  # application -> what keel manages of it; None: there is no keel
    start_pipeline: Callable[[Json, Json, str], Run] = field(default=lambda _config, _trigger, _user: _nobody())
    roles: Rights = field(default=lambda _user: [])


def _nobody() -> Run:
    raise RuntimeError("nobody starts pipelines yet")
