"""What can be turned on a sandbox Gate: how it lets people in, its speed, the failures it plays.

Plain values; the modules that read them say what each does.
"""

from dataclasses import dataclass, field
from typing import Any, Final

Json = dict[str, Any]

GATE: Final = "http://gate:8084"
ORCA: Final = "http://orca:8083"
FRONT50: Final = "http://front50:8080"
CLOUDDRIVER: Final = "http://clouddriver:7002"
ECHO: Final = "http://echo:8089"
KEEL: Final = "http://keel:7010"
"""How the servers name each other in their messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How this Spinnaker is set up."""

    version: str = "2026.2.3"
    auth: str = "none"  # none, basic, header, x509, oauth2; API tokens and Fiat beside any of them
    api_tokens: bool = False
    fiat: bool = False  # permissions are checked
    caches: bool = True  # Gate's own caches of applications and accounts; off where the deck proxy is off
    sql: bool = False  # Orca keeps executions in SQL: exact search, `rootId`, parents before children; off: Redis
    capacity: int | None = None  # requests per principal and window; None: no rate limiter
    window: float = 10.0  # seconds
    failed_stages: bool = False  # `tasks.controller.failedStages` is configured
    dry_run: bool = False  # Orca honours `trigger.dryRun`
    ad_hoc: bool = True  # off: `executions.block-orchestration-executions`


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds, as recorded; every one is multiplied by `pace`, so that a demo may run the same order of events faster."""

    pace: float = 1.0
    start: float = 0.03  # stored -> RUNNING
    plan: float = 0.05  # a stage may start -> its tasks stand there
    task: float = 0.05  # one task -> the next
    first: float = 0.02  # a task is RUNNING -> it is asked
    finish: float = 0.05  # last stage ended -> the run ended
    cancel: float = 0.25  # told -> the stage ended
    operation: float = 2.0  # Clouddriver took an operation -> done
    monitor: float = 5.0  # between two looks at an operation, or at a manifest
    instances: float = 10.0  # between two looks at instances
    retry: float = 1.0  # Gate's and Orca's tries of one call are so far apart
    echo: float = 0.1  # an event -> the run that it starts
    echo_poll: float = 30.0  # Echo reads the pipelines again
    cache: float = 30.0  # Clouddriver's caching agents
    ready: float = 3.0  # a pod or an instance starts -> it is up
    queue: float = 600.0  # a message that nobody acknowledged is delivered again
    backend: float = 120.0  # Gate waits so long for a backend


@dataclass(slots=True, kw_only=True)
class Outage:
    """What a backend answers instead of working: a status with a JSON message, an HTML page, or a body that is no JSON."""

    status: int
    message: str = "broke"
    body: str = "json"  # json, html, broken, empty


@dataclass(slots=True, kw_only=True)
class Faults:
    """Failures to play; change the fields at any time. Counters count down by themselves."""

    lose_answers: int = 0  # so many writing calls act and then close the connection without an answer
    drop_requests: int = 0  # so many calls close the connection without acting
    answer_with_nothing: int = 0  # so many reads of a pipeline's run are 200 with an empty body
    lose_triggers: int = 0  # so many events are acknowledged by Echo and start nothing
    start_elsewhere: int = 0  # so many events start a run that failed under another id
    orca: Outage | None = None
    front50: Outage | None = None
    clouddriver: Outage | None = None  # all of it; the two below are parts
    operations: Outage | None = None  # operations are refused, reads work
    keel: Outage | None = None
    manifests: Outage | None = None  # no manifest can be read, all else works
    echo_down: bool = False
    saves: Outage | None = None  # no pipeline can be saved, all else works
    front50_hangs: bool = False  # slower than Gate waits
    low_priority_refused: bool = False  # request shedding
    refuse_operations: dict[str, str] = field(default_factory=dict)  # name of an operation -> why Clouddriver's task fails
    without_results: set[str] = field(default_factory=set)  # names of operations that Clouddriver ends without a result object
    lookups_are_slow: bool = False  # Clouddriver takes longer than the five seconds of a rollback's look-up
