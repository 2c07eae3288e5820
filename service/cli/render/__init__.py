"""JSON documents as a person reads them: pure functions from the shapes of openapi.yaml to rich renderables. No I/O, no clock: `now` is passed in.

A file a subject. All text of the documents is data: it is made harmless (`terminal.clean`) and never read as markup. Colour only repeats what the words say.
"""

from service.cli.render.answers import findings
from service.cli.render.before_after import captures
from service.cli.render.burning import alerts, incident, incidents
from service.cli.render.checks import check
from service.cli.render.holding import hold, hold_ended, holds
from service.cli.render.inventory import targets
from service.cli.render.operating import ended, event, operation_head, operations, override_asked, request_taken, state, under_way, waiting
from service.cli.render.plans import next_of, plan
from service.cli.render.readiness import standings
from service.cli.render.setting_up import doctor, init
from service.cli.render.switch import stop, stop_history
from service.cli.render.traces import trace
from service.cli.render.words import ago, badness_of_verdict, clock, command, moment, short, span_of, text, word

__all__ = [
    "ago",
    "alerts",
    "badness_of_verdict",
    "captures",
    "check",
    "clock",
    "command",
    "doctor",
    "ended",
    "event",
    "findings",
    "hold",
    "hold_ended",
    "holds",
    "incident",
    "incidents",
    "init",
    "moment",
    "next_of",
    "operation_head",
    "operations",
    "override_asked",
    "plan",
    "request_taken",
    "short",
    "span_of",
    "standings",
    "state",
    "stop",
    "stop_history",
    "targets",
    "text",
    "trace",
    "under_way",
    "waiting",
    "word",
]
