"""The delivery system would run an operation of ours now and until it is done (safety R30).

Behind a closed window it would hang, could not be ended, and would fire later.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from service.domain import keys
from service.domain.derived import doubt, live_already, live_keys, moment
from service.domain.facts import Absent, Key, Known
from service.domain.keys import Window
from service.domain.rule import Case, Rule
from service.domain.verdict import Finding, blocks, passes, unknown

RUNS_FOR = timedelta(minutes=2)
"""A rollback may take so long from its first write to its end (recorded: seconds; auto-sync is watched for five before, and a slot may have to be freed)."""


def needs(case: Case) -> Iterable[Key[Any]]:
    """The windows over the target now."""
    yield from live_keys(case)
    if case.deploys:
        yield keys.window(case.target)


def ask(case: Case) -> Finding:
    """Open for long enough passes; closed is a no that says until when, and so is one that closes before the operation is done."""
    if case.goal is not None and not case.deploys:
        return live_already(case, case.goal)
    window = case.facts.read(keys.window(case.target))
    if isinstance(window, Absent):
        return doubt("Whether a sync window is in the way is unknown", window, clears="Make the delivery system's windows readable.")
    return _open(case, window) if window.value.open else _closed(case, window)


def _open(case: Case, window: Known[Window]) -> Finding:
    says, until = window.value.says.rstrip("."), window.value.until
    if window.value.unsure:
        return unknown(
            f"The sync windows are open now ({says}), and when they close is unknown: {window.value.unsure.rstrip('.')}.",
            window.evidence,
            clears="Let Backout's account read the project (Argo CD: projects, get), or see to it that the windows stay open.",
        )
    if until is not None and until - case.facts.now < case.policy.act_within + RUNS_FOR:
        at = moment(until, case.facts.now)
        return blocks(
            f"A sync window closes at {at}, before a rollback begun now is sure to be done: {says}.",
            window.evidence,
            clears="Wait until the windows open again, or ask an approver to override the window.",
        )
    open_until = f", until {moment(until, case.facts.now)}" if until is not None else ""
    return passes(f"No sync window is in the way{open_until}{': ' + says if says else ''}.", window.evidence)


def _closed(case: Case, window: Known[Window]) -> Finding:
    says, now = window.value.says.rstrip("."), case.facts.now
    until = f" until {moment(window.value.until, now)}" if window.value.until else ""
    wait = f"Wait{until}" if until else "Wait until the window opens"
    when = f" (when it opens is unknown: {window.value.unsure.rstrip('.')})" if window.value.unsure else ""
    return blocks(
        f"A sync window is closed{until}{': ' + says if says else ''}{when}.", window.evidence, clears=f"{wait}, or ask an approver to override the window."
    )


RULE = Rule(name="no_sync_window_is_in_the_way", question="Would the delivery system run our operation now?", ask=ask, needs=needs)
