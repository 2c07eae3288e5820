"""The ConfigMaps and Secrets that the old pod template names are still what they were while the old release was live.

Problem: Going back brings the pod template and nothing else. The old code then starts on the bad release's configuration: a mixture that nobody has ever run.

Read: Which ConfigMaps and Secrets the old pod template names (environment, volumes), each of them as it is now, and what the deploy of the old release put
there. What a Secret holds is never looked at.

Decides: None is named without a version of its own, or each is what the old release was deployed with: pass. One was changed since: warn. One that the old
release needs is gone, or lacks a key that it names: no. Nothing tells whether it changed: unknown.

Fix: Put the old configuration back first; let the delivery system version it, so that each release names its own.

Declare: Nothing; `lets_pass` names this rule where changed configuration is all right without a person.

Elsewhere: Spinnaker's way `undo` alone: where the delivery system brings all of a release back, configuration goes back with it.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from service.domain import keys
from service.domain.derived import doubt, listed
from service.domain.facts import Absent, Evidence, Key
from service.domain.keys import ConfigLeft
from service.domain.model import Way
from service.domain.rule import Case, Direction, Rule
from service.domain.verdict import Finding, blocks, passes, unknown, warns


def needs(case: Case) -> Iterable[Key[Any]]:
    """What going back to the goal leaves as it is."""
    if case.goal is not None:
        yield keys.configs_left(case.target, case.goal.key, case.goal.handle)


def ask(case: Case) -> Finding:
    """There, whole, and the same."""
    if case.goal is None:
        return unknown("No release to go back to is known.", clears="Known once there is one.")
    found = case.facts.read(keys.configs_left(case.target, case.goal.key, case.goal.handle))
    if isinstance(found, Absent):
        return doubt("What going back leaves of the configuration is unknown", found, clears="Let the delivery system be read.")
    return _judged(found.value, case.goal.name, found.evidence)


def _judged(configs: Sequence[ConfigLeft], goal: str, proof: Evidence) -> Finding:
    if not configs:
        return passes(f"Release {goal} names no ConfigMap or Secret that going back would leave as it is.", proof)
    if stops := [one for one in configs if one.stops_it]:
        return blocks(f"Release {goal} would not start: {_told(stops)}.", proof, clears="Put it back as it was, then ask again.")
    if changed := [one for one in configs if one.changed]:
        says = f"Release {goal} would run with configuration that it did not have, for going back leaves it as it is: {_told(changed)}."
        return warns(says, proof, clears="Put the old content back first, or tick it if the old release can run with it.")
    if unclear := [one for one in configs if one.changed is None]:
        says = f"Whether what release {goal} reads has changed since is unknown, and going back leaves it as it is: {_told(unclear)}."
        return unknown(says, proof, clears="Compare it with what the old release had, and go back by hand if it is the same.")
    return passes(f"Going back leaves {listed(one.title for one in configs)} as it is, which is what release {goal} was deployed with.", proof)


def _told(configs: Sequence[ConfigLeft]) -> str:
    return listed((f"{one.title}: {f'it lacks {listed(one.lacks)}' if one.lacks else one.says}" for one in configs), limit=3)


RULE = Rule(
    name="configuration_is_as_it_was",
    question="Is the configuration that the goal release reads as it was?",
    ask=ask,
    needs=needs,
    directions=frozenset({Direction.BACK}),
    ways=frozenset({Way.UNDO}),
)
