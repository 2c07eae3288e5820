"""The delivery system would run an operation of ours now and until it is done.

Behind a closed window it would hang, could not be ended, and would fire later, whoever asked for it; so nobody overrides it
(docs/decisions/0022-override.md).

Problem: Argo CD accepts a rollback in a closed window. It hangs, cannot be ended, and fires hours later, when nobody looks.

Read: The windows over the target, when the open one closes and the closed one opens.

Decides: Open until the operation is surely done: pass. Closed, or closing before that: no, with the time at which it opens. When it closes cannot be read:
unknown. A change in Git behind a closed window waits there: warn.

Fix: Wait until it opens, or open the window in the AppProject.

Declare: Nothing; `act_within` is part of how long it has to stay open.

Elsewhere: Argo CD's sync windows are decided. Spinnaker's execution windows hold stages of pipelines, and Backout's undo runs in none.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from service.domain import keys
from service.domain.derived import doubt, live_already, live_keys, moment
from service.domain.facts import Absent, Key, Known
from service.domain.keys import Window
from service.domain.model import Way
from service.domain.rule import Case, Rule
from service.domain.verdict import Finding, blocks, passes, unknown, warns

RUNS_FOR = timedelta(minutes=2)
"""A rollback may take so long from its first write to its end (recorded: seconds; auto-sync is watched for five before, and a slot may have to be freed)."""

DEPLOYED_BY_ITSELF = frozenset({Way.PIN, Way.GIT_REVERT, Way.HOTFIX})
CHANGES_GIT = frozenset({Way.GIT_REVERT, Way.HOTFIX})


def needs(case: Case) -> Iterable[Key[Any]]:
    """The windows over the target now."""
    yield from live_keys(case)
    if case.deploys:
        yield keys.window(case.target)


def ask(case: Case) -> Finding:
    """Open for long enough passes; closed is a no that says until when, and so is one that closes before the operation is done."""
    if case.goal is not None and not case.deploys:
        return live_already(case, case.goal)
    fact = case.facts.read(keys.window(case.target))
    if isinstance(fact, Absent):
        return doubt("Whether a sync window is in the way is unknown", fact, clears="Make the delivery system's windows readable.")
    window = fact.value
    is_open, until = (window.automated, window.automated_until) if case.way in DEPLOYED_BY_ITSELF else (window.open, window.until)
    if case.way in CHANGES_GIT:
        return _in_git(case, fact, is_open=is_open, until=until)
    return _open(case, fact, until) if is_open else _closed(case, fact, until)


def _open(case: Case, fact: Known[Window], until: datetime | None) -> Finding:
    says = fact.value.says.rstrip(".")
    if fact.value.unsure:
        return unknown(
            f"The sync windows are open now ({says}), and when they close is unknown: {fact.value.unsure.rstrip('.')}.",
            fact.evidence,
            clears="Let Backout's account read the project (Argo CD: projects, get), or see to it that the windows stay open.",
        )
    if until is not None and until - case.facts.now < case.policy.act_within + RUNS_FOR:
        at = moment(until, case.facts.now)
        return blocks(
            f"A sync window closes at {at}, before an operation begun now is sure to be done: {says}.",
            fact.evidence,
            clears="Wait until the windows open again, or keep them open in the AppProject.",
        )
    open_until = f", until {moment(until, case.facts.now)}" if until is not None else ""
    return passes(f"No sync window is in the way{open_until}{': ' + says if says else ''}.", fact.evidence)


def _closed(case: Case, fact: Known[Window], until: datetime | None) -> Finding:
    says, now = fact.value.says.rstrip("."), case.facts.now
    ends = f" until {moment(until, now)}" if until else ""
    wait = f"Wait{ends}" if ends else "Wait until the window opens"
    when = f" (when it opens is unknown: {fact.value.unsure.rstrip('.')})" if fact.value.unsure else ""
    return blocks(f"A sync window is closed{ends}{': ' + says if says else ''}{when}.", fact.evidence, clears=f"{wait}, or open the window in the AppProject.")


def _in_git(case: Case, fact: Known[Window], *, is_open: bool, until: datetime | None) -> Finding:
    """What is changed in Git is safe behind a closed window: it is deployed when the window opens."""
    if is_open:
        return passes("No sync window is in the way of what is deployed from Git.", fact.evidence)
    opens = f" at {moment(until, case.facts.now)}" if until else ""
    return warns(
        f"What is changed in Git is deployed only when the sync window opens{opens}: {fact.value.says.rstrip('.')}.",
        fact.evidence,
        clears="Wait until it opens, or sync by hand if the window allows that.",
    )


RULE = Rule(name="no_sync_window_is_in_the_way", question="Would the delivery system run our operation now?", ask=ask, needs=needs, momentary=True)
