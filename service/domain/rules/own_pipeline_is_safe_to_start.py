"""The team's own rollback pipeline goes back to exactly what it is told, has all that it needs, and asks nobody anything on its way.

Problem: A rollback pipeline is started twice a year, in the middle of the night. A stage that counts revisions back goes forward to the bad version when it
runs twice; a parameter without a value is accepted and empty; a judgment or an execution window holds it for hours.

Read: The saved pipeline: its stages, parameters, expected artifacts, whether it is on and whether its runs wait for each other.

Decides: Every stage names what it goes back to or changes nothing, and nothing is missing: pass. A stage that may do anything, that chooses by itself, or that
waits for somebody: warn, so that a person starts it. Something is missing, or it cannot be started: no, with what to give. It cannot be read: unknown.

Fix: Give it what it names in `rollback_pipelines`, or let its stages name the release by its parameters.

Declare: `rollback_pipelines` in the settings of the instance: which pipeline, for which targets, with which parameters.

Elsewhere: Spinnaker only.
"""

from collections.abc import Iterable
from typing import Any

from service.domain import keys
from service.domain.derived import doubt, listed
from service.domain.facts import Absent, Key
from service.domain.model import Way
from service.domain.rule import Case, Direction, Rule
from service.domain.verdict import Finding, blocks, passes, unknown, warns


def needs(case: Case) -> Iterable[Key[Any]]:
    """The pipeline as it would be started for the release to go back to."""
    if case.goal is not None:
        yield keys.own_pipeline(case.target, case.goal.key, case.goal.handle)


def ask(case: Case) -> Finding:
    """What is missing blocks, what a person has to see warns."""
    if case.goal is None:
        return unknown("No release to go back to is known.", clears="Known once there is one.")
    fact = case.facts.read(keys.own_pipeline(case.target, case.goal.key, case.goal.handle))
    if isinstance(fact, Absent):
        return doubt("Whether the team's rollback pipeline is safe to start is unknown", fact, clears="Let its saved text be read.")
    found = fact.value
    if found is None:
        return unknown(f"No rollback pipeline is set up for {case.target}.", fact.evidence, clears="Name one in rollback_pipelines.")
    if stops := (*found.blocked, *found.missing):
        return blocks(f"Pipeline {found.name} cannot be started: {listed(stops)}.", fact.evidence, clears="Give it what it names in rollback_pipelines.")
    if found.to_person:
        return warns(
            f"Pipeline {found.name} is a person's to start: {listed(found.to_person)}.",
            fact.evidence,
            clears="Let its stages name the release by parameters, and ask nobody.",
        )
    return passes(f"Pipeline {found.name} goes back to exactly what it is told, and has all that it needs.", fact.evidence)


RULE = Rule(
    name="own_pipeline_is_safe_to_start",
    question="Is the team's own rollback pipeline safe to start?",
    ask=ask,
    needs=needs,
    directions=frozenset({Direction.BACK}),
    ways=frozenset({Way.OWN_PIPELINE}),
)
