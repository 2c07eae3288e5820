"""The checker sees: of every promise there is a broken build here that it finds out, within a few schedules; and the same schedules break nothing unbroken."""

import pytest

from tests.chaos.mutants import MUTANTS, Mutant
from tests.chaos.schedule import draw
from tests.chaos.stores import SqliteStores, judged, told

PROMISES = range(14)
"""The thirteen, and 0 for what all of them rest on: everything comes to its end."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: f"{one.promise}: {one.name}")
def test_a_broken_build_is_found_out(mutant: Mutant, sqlite: SqliteStores) -> None:
    for seed in range(1, mutant.within + 1):
        with mutant.built():
            _, violations = judged(mutant.focus(draw(seed)), sqlite)
        if any(one.promise == mutant.promise for one in violations):
            return
    pytest.fail(f"{mutant.says}, and {mutant.within} schedules did not show that promise {mutant.promise} is broken")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: f"{one.promise}: {one.name}")
def test_what_finds_a_broken_build_out_finds_nothing_in_the_real_one(mutant: Mutant, sqlite: SqliteStores) -> None:
    story, violations = judged(mutant.focus(draw(1)), sqlite)
    assert not violations, told(story, violations, sqlite.name)


def test_there_is_a_broken_build_of_every_promise() -> None:
    assert {mutant.promise for mutant in MUTANTS} == set(PROMISES)


def test_a_quiet_day_ends_in_a_recovery(sqlite: SqliteStores) -> None:
    quiet = next(mutant for mutant in MUTANTS if mutant.name == "holds nothing")
    story, violations = judged(quiet.focus(draw(1)), sqlite)
    assert not violations
    assert [row["outcome"] for row in story.rows["operation"]] == ["recovered"]
    assert [sent.what for sent in story.world.diary.sent] == ["patch", "rollback"]
