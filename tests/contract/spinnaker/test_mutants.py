"""Each trap is held by a test: a sandbox without it is found."""

import inspect

import pytest

from tests.contract.spinnaker.driver import sandboxed
from tests.contract.spinnaker.mutants import MUTANTS, Mutant


def test_every_trap_of_the_contract_has_a_mutant() -> None:
    assert {str(number) for number in range(1, 12)} <= {one.trap for one in MUTANTS}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: f"{one.trap}: {one.says}")
async def test_a_sandbox_without_a_trap_fails_the_suite(mutant: Mutant) -> None:
    with mutant.built(), pytest.raises(AssertionError):  # noqa: PT012  the sandbox is built inside the mutation
        if not inspect.signature(mutant.caught_by).parameters:
            await mutant.caught_by()
        else:
            async with sandboxed() as one:
                await mutant.caught_by(one)
