"""The delivery system would run an operation of ours now: behind a closed window it would hang, could not be ended, and would fire later (safety R30)."""

from collections.abc import Iterable
from typing import Any

from service.domain import keys
from service.domain.derived import doubt, moment
from service.domain.facts import Absent, Key
from service.domain.rule import Case, Rule
from service.domain.verdict import Finding, blocks, passes


def needs(case: Case) -> Iterable[Key[Any]]:
    """The windows over the target now."""
    yield keys.window(case.target)


def ask(case: Case) -> Finding:
    """Open passes, closed is a no that says until when."""
    window = case.facts.read(keys.window(case.target))
    if isinstance(window, Absent):
        return doubt("Whether a sync window is in the way is unknown", window, clears="Make the delivery system's windows readable.")
    says = window.value.says.rstrip(".")
    if window.value.open:
        return passes(f"No sync window is in the way{': ' + says if says else ''}.", window.evidence)
    until = f" until {moment(window.value.until, case.facts.now)}" if window.value.until else ""
    wait = f"Wait{until}" if until else "Wait until the window opens"
    return blocks(
        f"A sync window is closed{until}{': ' + says if says else ''}.", window.evidence, clears=f"{wait}, or ask an approver to override the window."
    )


RULE = Rule(name="no_sync_window_is_in_the_way", question="Would the delivery system run our operation now?", ask=ask, needs=needs)
