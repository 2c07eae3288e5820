"""The checker sees: of every promise there is a broken build here that it finds out, within a few schedules; and the same schedules break nothing unbroken."""

from dataclasses import replace

import pytest

from tests.chaos import spinnaker_mutants
from tests.chaos.mutants import MUTANTS, Mutant
from tests.chaos.schedule import DRAWS, SPINNAKER, Schedule, quiet_day
from tests.chaos.spinnaker_world import SpinnakerWorld
from tests.chaos.stores import PostgresStores, SqliteStores, Stores, judged, told
from tests.chaos.world import APPLIER, LIMIT, QUIET_APPLIER, REVISION_FREE
from tests.fakes import store

PROMISES = range(14)
"""The thirteen, and 0 for what all of them rest on: everything comes to its end."""


ALONE = [one for one in (*MUTANTS, *spinnaker_mutants.MUTANTS) if one.replicas == 1]
AMONG_OTHERS = [one for one in MUTANTS if one.replicas > 1]


def name(mutant: Mutant) -> str:
    return f"{mutant.promise}: {mutant.name}" + (f" ({mutant.delivery})" if mutant.delivery == SPINNAKER else "")


@pytest.mark.parametrize("mutant", ALONE, ids=name)
def test_a_broken_build_is_found_out(mutant: Mutant, sqlite: SqliteStores) -> None:
    is_found_out(mutant, sqlite)


@pytest.mark.parametrize("mutant", AMONG_OTHERS, ids=name)
def test_a_broken_build_of_several_replicas_is_found_out(mutant: Mutant, postgres_stores: store.Recycled) -> None:
    is_found_out(mutant, PostgresStores(postgres_stores))


def is_found_out(mutant: Mutant, stores: Stores) -> None:
    for seed in range(1, mutant.within + 1):
        with mutant.built():
            _, violations = judged(mutant.focus(DRAWS[mutant.delivery](seed)), stores)
        if any(one.promise == mutant.promise for one in violations):
            return
    pytest.fail(f"{mutant.says}, and {mutant.within} schedules did not show that promise {mutant.promise} is broken")


@pytest.mark.parametrize("mutant", ALONE, ids=name)
def test_what_finds_a_broken_build_out_finds_nothing_in_the_real_one(mutant: Mutant, sqlite: SqliteStores) -> None:
    story, violations = judged(mutant.focus(DRAWS[mutant.delivery](1)), sqlite)
    assert not violations, told(story, violations, sqlite.name)


@pytest.mark.parametrize("mutant", AMONG_OTHERS, ids=name)
def test_what_finds_a_broken_build_of_several_replicas_out_finds_nothing_in_the_real_one(mutant: Mutant, postgres_stores: store.Recycled) -> None:
    stores = PostgresStores(postgres_stores)
    story, violations = judged(mutant.focus(DRAWS[mutant.delivery](1)), stores)
    assert not violations, told(story, violations, stores.name)


def test_there_is_a_broken_build_of_every_promise() -> None:
    assert {mutant.promise for mutant in MUTANTS} == set(PROMISES)


def test_a_quiet_day_with_a_pin_ends_in_a_recovery_under_auto_sync(sqlite: SqliteStores) -> None:
    quiet = quiet_day()
    story, violations = judged(replace(quiet, shops=tuple(replace(shop, owner=REVISION_FREE) for shop in quiet.shops)), sqlite)
    assert not violations
    assert [row["outcome"] for row in story.rows["operation"]] == ["recovered"]
    (pin,) = story.world.diary.sent
    assert (pin.what, story.world.follows(pin.application), story.world.automated(pin.application)) == ("patch", pin.pins, True)


@pytest.mark.parametrize(("owner", "outcome", "sent"), [(APPLIER, "suggested", []), (QUIET_APPLIER, "recovered", ["patch", "rollback"])])
def test_on_a_quiet_day_it_is_known_what_who_applies_the_spec_puts_back(owner: str, outcome: str, sent: list[str], sqlite: SqliteStores) -> None:
    quiet = quiet_day()
    story, violations = judged(replace(quiet, shops=tuple(replace(shop, owner=owner) for shop in quiet.shops)), sqlite)
    assert not violations, told(story, violations, sqlite.name)
    assert [row["outcome"] for row in story.rows["operation"]] == [outcome]
    assert [one.what for one in story.world.diary.sent] == sent
    assert [story.world.automated(app) for app in story.world.apps] == [outcome == "suggested"]


@pytest.mark.parametrize("day", [*map(quiet_day, DRAWS), quiet_day(SPINNAKER, machines=True)], ids=[*DRAWS, "machines"])
def test_wherever_an_operation_is_killed_it_comes_to_its_end(day: Schedule, sqlite: SqliteStores) -> None:
    """A few of the places here, every one of them with `make chaos`."""
    whole, violations = judged(day, sqlite)
    assert not violations
    assert whole.places > 100
    for place in range(5, whole.places, whole.places // 8):
        story, violations = judged(replace(day, kill_at=place), sqlite)
        assert not violations, told(story, violations, sqlite.name)
        assert [says for _, says in story.world.diary.lines if "is killed while" in says]


def test_a_quiet_day_ends_in_a_recovery(sqlite: SqliteStores) -> None:
    story, violations = judged(quiet_day(), sqlite)
    assert not violations
    assert [row["outcome"] for row in story.rows["operation"]] == ["recovered"]
    assert [sent.what for sent in story.world.diary.sent] == ["patch", "rollback"]


def test_a_quiet_day_on_spinnaker_is_one_undo_that_spinnaker_heard_once(sqlite: SqliteStores) -> None:
    story, violations = judged(quiet_day(SPINNAKER), sqlite)
    assert not violations
    (operation,) = story.rows["operation"]
    assert operation["outcome"] == "recovered"
    assert [sent.what for sent in story.world.diary.sent] == ["shut triggers", "undo"]
    assert [(one.version, one.by) for one in story.world.diary.entries[-2:]] == [("2.0.0", "alice"), ("1.1.0", "backout")]


def test_a_quiet_day_on_machines_is_one_switch_and_never_a_moment_without_traffic(sqlite: SqliteStores) -> None:
    story, violations = judged(quiet_day(SPINNAKER, machines=True), sqlite)
    assert not violations
    (operation,) = story.rows["operation"]
    assert operation["outcome"] == "recovered"
    assert [sent.what for sent in story.world.diary.sent] == ["shut triggers", "switch"]
    assert [(one.version, one.by) for one in story.world.diary.entries[-2:]] == [("2.0.0", "alice"), ("1.1.0", "backout")]
    assert isinstance(story.world, SpinnakerWorld)
    (app,) = story.world.machines.apps
    assert [name for name, _ in story.world.machines.operations(operation["id"])] == ["enableServerGroup", "disableServerGroup"]
    assert story.world.machines.dark == []
    assert story.world.share(app) < LIMIT
