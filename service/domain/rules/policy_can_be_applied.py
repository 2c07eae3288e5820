"""The conditions of the operator's policy can be evaluated, so that it is known what the policy allows now.

Asked only where the target's policy has conditions, and after all other rules, for conditions are about their answers.

Problem: A condition asks for something that is not there (a label that this alert lacks), or fails, and nobody knows whether the operator wanted this to go on.

Read: The conditions in the target's policy and what came of each.

Decides: Each could be evaluated: pass, and it says which hold. One could not: unknown, so nobody acts without a person. No waiver and no condition covers
that, and what the failed condition would have let pass does not pass.

Fix: Mend the condition in the settings, and try it on recorded cases with `backout policy test`.

Declare: `targets: conditions` and `waivers: when`.

Elsewhere: Decided everywhere: it reads the settings.
"""

from service.domain.facts import Evidence
from service.domain.rule import Case, Rule
from service.domain.verdict import Finding, passes, unknown


def ask(case: Case) -> Finding:
    """What came of the conditions."""
    evidence = Evidence(source=f"settings, targets: {case.policy.match}", what="conditions", read_at=case.facts.now, digest=case.policy.version)
    mend = "Mend the condition in the settings and try it: backout policy test."
    settled = case.settled
    if settled is None:
        return unknown("The conditions of the policy were not evaluated.", clears=mend)
    if settled.faults:
        more = f" (and {len(settled.faults) - 1} more)" if len(settled.faults) > 1 else ""
        return unknown(f"The policy cannot be applied: {settled.faults[0]}{more}.", evidence, clears=mend)
    if settled.held:
        hold = "holds" if len(settled.held) == 1 else "hold"
        return passes(f"Of {settled.asked} conditions of the policy {len(settled.held)} {hold} now: {', '.join(settled.held)}.", evidence)
    return passes(f"No condition of the policy holds now ({settled.asked} asked).", evidence)


RULE = Rule(name="policy_can_be_applied", question="Can the operator's policy be applied?", ask=ask, of_policy=True)
