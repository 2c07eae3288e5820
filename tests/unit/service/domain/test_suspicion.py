from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.domain.model import Actor, Release, Source
from service.domain.suspicion import Deployed, Memory, Suspicion, Trouble, find_suspect, seen_since
from tests.unit.service.domain import made

WINDOW = timedelta(hours=2)

THIRD = made.release("40", version="v2.4.5", revision="e" * 40, started_at=made.STARTED - timedelta(days=2))
HISTORY = (made.SUSPECT, made.GOAL, THIRD)
GOOD = {made.GOAL.key: made.record(made.GOAL, made.OLD_IMAGE), THIRD.key: made.record(THIRD, made.OLD_IMAGE)}


def suspicion(history: Sequence[Release] = HISTORY, *, began: datetime | None = made.ONSET, **changes: Any) -> Suspicion:
    """`changes` are fields of `Deployed` and of `Memory`."""
    deployed = {name: changes.pop(name) for name in ("attempted", "attempted_says", "live") if name in changes}
    return find_suspect(Deployed(history=history, **deployed), Memory(**({"records": GOOD} | changes)), began=began, window=WINDOW)


def test_the_live_release_of_the_window_is_blamed_and_the_last_good_one_is_the_goal() -> None:
    found = suspicion()
    assert (found.suspect, found.goal, found.suspects) == (made.SUSPECT, made.GOAL, (made.SUSPECT,))
    assert found.says == "release 42 (v2.5.0 · c0ffee0) is under suspicion; back to release 41 (v2.4.6 · beef000)"


def test_every_deploy_in_the_window_is_listed_newest_first() -> None:
    close = replace(made.GOAL, started_at=made.STARTED - timedelta(minutes=30))
    assert suspicion((made.SUSPECT, close, THIRD)).suspects == (made.SUSPECT, close)


@pytest.mark.parametrize(("before", "blamed"), [(WINDOW, True), (WINDOW + timedelta(seconds=1), False)])
def test_a_deploy_long_before_the_trouble_is_hardly_the_cause(before: timedelta, blamed: bool) -> None:
    found = suspicion((replace(made.SUSPECT, started_at=made.ONSET - before), THIRD))
    assert (found.suspect is not None) is blamed
    assert blamed or found.says == "no deploy within 2 h before the trouble began: a deploy is hardly the cause"


def test_a_deploy_after_the_trouble_began_is_not_the_cause() -> None:
    found = suspicion(began=made.STARTED - timedelta(seconds=1))
    assert (found.suspect, found.goal) == (None, None)
    assert found.says.endswith("went live after the trouble began: it is not the cause")


def test_a_deploy_in_the_very_moment_of_the_trouble_may_be_the_cause() -> None:
    assert suspicion(began=made.STARTED).suspect == made.SUSPECT


def test_a_release_that_was_never_seen_healthy_is_skipped() -> None:
    records = GOOD | {made.GOAL.key: made.record(made.GOAL, None, healthy_for=timedelta(0))}
    assert suspicion(records=records).goal == THIRD


def test_a_release_that_backout_made_is_never_suspect() -> None:
    found = suspicion(made_by_backout=["42"])
    assert (found.suspect, found.goal) == (None, None)
    assert "was put there by Backout" in found.says


def test_a_held_release_is_never_a_goal() -> None:
    assert suspicion(held=[made.GOAL.key]).goal == THIRD
    assert suspicion(held=[made.GOAL.key, THIRD.key]).goal is None


def test_the_same_release_deployed_twice_is_no_goal_for_itself() -> None:
    again = replace(made.SUSPECT, handle="41")
    assert suspicion((made.SUSPECT, again, THIRD)).goal == THIRD


@pytest.mark.parametrize("health", ["Degraded", "Missing"])
def test_a_release_that_was_seen_unhealthy_is_skipped(health: str) -> None:
    records = GOOD | {made.GOAL.key: made.record(made.GOAL, None, last_health=health)}
    assert suspicion(records=records).goal == THIRD


def test_a_release_seen_good_comes_before_a_newer_one_never_seen() -> None:
    assert suspicion(records={THIRD.key: GOOD[THIRD.key]}).goal == THIRD


def test_without_any_record_the_release_before_is_the_goal() -> None:
    assert suspicion(records={}).goal == made.GOAL


def test_without_an_earlier_release_the_suspect_stands_alone() -> None:
    found = suspicion((made.SUSPECT,))
    assert (found.suspect, found.goal) == (made.SUSPECT, None)
    assert "no earlier release is known to go back to" in found.says


def test_a_person_who_asks_without_an_incident_leaves_what_is_live() -> None:
    found = suspicion((replace(made.SUSPECT, started_at=made.NOW - timedelta(days=90)), made.GOAL), began=None)
    assert found.suspect is not None
    assert found.goal == made.GOAL
    assert found.says == "release 42 (v2.5.0 · c0ffee0) is what runs; back to release 41 (v2.4.6 · beef000)"


def test_an_empty_history_blames_nobody() -> None:
    assert suspicion(()).says == "the delivery system remembers no release of this target"


# --- a deploy that is in no history ------------------------------------------------------------------------------------

FAILED = replace(made.SUSPECT, handle="", key="key-failed")
BEFORE = (made.GOAL, THIRD)
SAYS = "a deploy of c0ffee0 by argocd ended Failed at 14:02"


def test_a_deploy_that_failed_half_way_is_blamed_and_the_newest_entry_is_where_to_go_back_to() -> None:
    found = suspicion(BEFORE, attempted=FAILED, attempted_says=SAYS)
    assert (found.suspect, found.goal, found.suspects, found.passed_over) == (FAILED, made.GOAL, (FAILED,), ())
    assert found.says == (
        f"release v2.5.0 · c0ffee0 is under suspicion, though it is in no history: {SAYS}, and part of it is live; back to release 41 (v2.4.6 · beef000)"
    )


def test_a_person_leaves_a_deploy_that_failed_half_way_too() -> None:
    found = suspicion(BEFORE, attempted=FAILED, attempted_says=SAYS, began=None)
    assert (found.suspect, found.goal) == (FAILED, made.GOAL)


def test_promise_1_a_deploy_that_failed_after_the_trouble_began_leaves_open_what_runs() -> None:
    found = suspicion(BEFORE, attempted=FAILED, attempted_says=SAYS, began=made.STARTED - timedelta(seconds=1))
    assert (found.suspect, found.goal) == (None, None)
    assert found.says == f"{SAYS}; it began after the trouble did, and part of it may be live: a person has to say what runs"


def test_a_deploy_that_failed_long_before_the_trouble_is_named_and_not_blamed() -> None:
    found = suspicion(BEFORE, attempted=FAILED, attempted_says=SAYS, began=made.STARTED + WINDOW + timedelta(seconds=1))
    assert found.suspect is None
    assert found.says == f"no deploy within 2 h before the trouble began: a deploy is hardly the cause ({SAYS}; part of it may be live)"


def test_promise_10_a_rollback_of_backout_that_failed_half_way_is_never_suspect() -> None:
    ours = replace(FAILED, by=Actor(kind="service", name="backout"))
    found = suspicion(BEFORE, attempted=ours, attempted_says=SAYS)
    assert (found.suspect, "was put there by Backout" in found.says) == (None, True)


HALF_DONE = replace(THIRD, handle="", by=Actor(kind="service", name="backout"))


def test_a_person_may_ask_again_for_a_rollback_of_backout_that_ended_half_done() -> None:
    found = suspicion(BEFORE, attempted=HALF_DONE, attempted_says=SAYS, began=None)
    assert (found.suspect, found.goal) == (made.GOAL, THIRD)
    assert found.says == (
        f"release {made.GOAL.title} was to be left for release {HALF_DONE.title}, which is live in part: {SAYS}; back to release {THIRD.title}"
    )


def test_promise_10_over_a_rollback_of_backout_that_ended_half_done_nothing_is_blamed_by_an_alert() -> None:
    found = suspicion(BEFORE, attempted=HALF_DONE, attempted_says=SAYS)
    assert (found.suspect, found.goal, "was put there by Backout" in found.says) == (None, None, True)


@pytest.mark.parametrize(("history", "made_by_backout"), [(BEFORE, ["41"]), ((), [])], ids=["over-an-earlier-one", "over-nothing"])
def test_promise_10_what_ended_half_done_over_a_release_of_backout_is_for_a_person(history: Sequence[Release], made_by_backout: list[str]) -> None:
    found = suspicion(history, attempted=HALF_DONE, attempted_says=SAYS, began=None, made_by_backout=made_by_backout)
    assert (found.suspect, found.goal, "was put there by Backout" in found.says) == (None, None, True)


def test_the_same_release_tried_again_is_no_goal_for_itself() -> None:
    assert suspicion((replace(made.GOAL, key="key-failed"), THIRD), attempted=FAILED, attempted_says=SAYS).goal == THIRD


# --- several bad releases in a row -------------------------------------------------------------------------------------

EARLIER_BAD = made.release("41", version="v2.4.7", revision="d" * 40, started_at=made.STARTED - timedelta(minutes=20))
IN_A_ROW = (made.SUSPECT, EARLIER_BAD, THIRD)


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ({"last_health": "Degraded"}, "it was Degraded when Backout last saw it live"),
        ({"healthy_for": timedelta(seconds=33)}, "it was healthy for 33 s only before the next one came"),
        ({"healthy_for": timedelta(0)}, "it was healthy for 0 s only before the next one came"),
    ],
)
def test_a_release_in_the_window_that_was_never_good_is_passed_over_and_told(seen: dict[str, Any], why: str) -> None:
    records = GOOD | {EARLIER_BAD.key: made.record(EARLIER_BAD, None, **seen)}
    found = suspicion(IN_A_ROW, records=records, least=timedelta(minutes=5))
    assert (found.suspect, found.goal, found.passed_over) == (made.SUSPECT, THIRD, (EARLIER_BAD,))
    assert found.says.endswith(f"back to release 40 (v2.4.5 · eeeeeee); release 41 (v2.4.7 · ddddddd) is passed over: {why}")


def trouble(since: timedelta, until: timedelta | None) -> Trouble:
    """Counted from the earlier bad release's start."""
    begun = EARLIER_BAD.started_at
    return Trouble(since=begun + since, until=None if until is None else begun + until)


WELL = GOOD | {EARLIER_BAD.key: made.record(EARLIER_BAD, None, healthy_for=timedelta(minutes=19))}


@pytest.mark.parametrize("until", [None, timedelta(minutes=21)], ids=["still fires", "ended under the next one"])
def test_a_release_that_burned_until_it_was_replaced_was_not_good_however_healthy_it_looked(until: timedelta | None) -> None:
    found = suspicion(IN_A_ROW, records=WELL, troubles=[trouble(timedelta(minutes=2), until)], began=None)
    assert (found.goal, found.passed_over) == (THIRD, (EARLIER_BAD,))
    assert "an alert began while it was live, at 13:44:07, and still fired when it was replaced" in found.says


@pytest.mark.parametrize(
    "told", [trouble(timedelta(minutes=2), timedelta(minutes=9)), trouble(timedelta(minutes=-2), None), trouble(timedelta(minutes=20), None)]
)
def test_trouble_that_ended_in_a_releases_life_or_began_outside_of_it_is_not_its_own(told: Trouble) -> None:
    found = suspicion(IN_A_ROW, records=WELL, troubles=[told], least=timedelta(minutes=5))
    assert (found.goal, found.passed_over) == (EARLIER_BAD, ())


def test_a_release_that_was_healthy_for_long_enough_comes_before_a_newer_one_that_was_not() -> None:
    short = GOOD | {made.GOAL.key: made.record(made.GOAL, None, healthy_for=timedelta(minutes=1))}
    assert suspicion(records=short, least=timedelta(minutes=5)).goal == THIRD
    assert suspicion((made.SUSPECT, made.GOAL), records=short, least=timedelta(minutes=5)).goal == made.GOAL


def test_what_backout_never_saw_is_passed_over_for_what_it_saw_good_but_is_not_called_bad() -> None:
    found = suspicion(IN_A_ROW, records={THIRD.key: GOOD[THIRD.key]})
    assert (found.goal, found.passed_over) == (THIRD, ())
    assert found.says.endswith("release 41 (v2.4.7 · ddddddd) is passed over: Backout never saw it healthy")


def test_a_release_that_was_deployed_twice_is_passed_over_once() -> None:
    again = replace(EARLIER_BAD, handle="39", started_at=EARLIER_BAD.started_at - timedelta(minutes=5))
    records = GOOD | {EARLIER_BAD.key: made.record(EARLIER_BAD, None, last_health="Degraded")}
    assert len(suspicion((made.SUSPECT, EARLIER_BAD, again, THIRD), records=records).passed_over) == 1


# --- a history that was trimmed ----------------------------------------------------------------------------------------

SOURCES = (Source(repository="git.example/shop/deploy", path="checkout", revision="a" * 40),)


def test_a_good_release_that_is_no_longer_in_the_history_is_named_from_our_own_record() -> None:
    records = {key: replace(record, sources=SOURCES) for key, record in GOOD.items()}
    found = suspicion((made.SUSPECT,), records=records)
    assert found.goal is not None
    assert (found.goal.handle, found.goal.key, found.goal.sources, found.goal.version) == ("", made.GOAL.key, SOURCES, "v2.4.6")
    assert found.says.endswith("back to release v2.4.6 · aaaaaaa, which is no longer in the history")


@pytest.mark.parametrize(
    "seen", [{"last_health": "Degraded"}, {"healthy_for": timedelta(0)}, {"sources": ()}], ids=["unhealthy", "never healthy", "of nothing that is known"]
)
def test_what_was_not_good_or_is_not_known_is_not_named_from_our_record(seen: dict[str, Any]) -> None:
    records = {made.GOAL.key: replace(GOOD[made.GOAL.key], **({"sources": SOURCES} | seen))}
    assert suspicion((made.SUSPECT,), records=records).goal is None


def test_a_held_release_is_not_named_from_our_record_either() -> None:
    records = {made.GOAL.key: replace(GOOD[made.GOAL.key], sources=SOURCES)}
    assert suspicion((made.SUSPECT,), records=records, held=[made.GOAL.key]).goal is None


def test_without_any_history_what_is_live_is_blamed_all_the_same() -> None:
    live = replace(made.SUSPECT, handle="")
    records = {made.GOAL.key: replace(GOOD[made.GOAL.key], sources=SOURCES)}
    found = suspicion((), live=live, records=records)
    assert found.suspect == live
    assert found.goal is not None
    assert found.goal.handle == ""


def test_without_any_history_a_release_is_as_old_as_backout_saw_it_live_though_it_was_healed_since() -> None:
    healed = replace(made.SUSPECT, handle="", started_at=made.STARTED + timedelta(hours=3))
    seen = replace(made.record(healed, made.OLD_IMAGE), watched_from=made.STARTED)
    before = replace(made.record(made.GOAL, made.OLD_IMAGE), live_until=made.STARTED - timedelta(seconds=1))
    assert seen_since(healed, {seen.key: seen, before.key: before}) == replace(healed, started_at=made.STARTED)
    assert seen_since(healed, {before.key: before}) == healed


def test_without_any_history_a_release_that_came_again_is_no_older_than_the_end_of_the_one_between() -> None:
    again = replace(made.SUSPECT, handle="", started_at=made.STARTED + timedelta(hours=3))
    seen = replace(made.record(again, made.OLD_IMAGE), watched_from=made.STARTED)
    between = replace(made.record(made.GOAL, made.OLD_IMAGE), live_until=made.STARTED + timedelta(hours=3, seconds=1))
    assert seen_since(again, {seen.key: seen, between.key: between}) == again
