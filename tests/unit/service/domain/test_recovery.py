import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain import keys
from service.domain.facts import Absent
from service.domain.keys import AlertNow, Pod, Series
from service.domain.model import Image, ObjectRef
from service.domain.policy import RecoveredWhen
from service.domain.recovery import (
    Bound,
    Check,
    Look,
    Progress,
    advance,
    breached,
    check_alert,
    check_alerts,
    check_live,
    check_rolled_out,
    check_sli,
    give_up_at,
    longest_range,
)
from tests.unit.service.domain import made

SIDECAR = Image(reference="registry.example/mesh/proxy:1", digest="sha256:" + "9" * 64, proof="pods")
WORKER = Image(reference="registry.example/shop/web:worker", digest="sha256:" + "7" * 64, proof="pods")
BOUND = Bound(rung="declared", promql="errors", comparison=">", threshold=0.01)
POLICY = RecoveredWhen(bake=timedelta(seconds=60), scrape_interval=timedelta(seconds=10), passes=3)
START = made.NOW


def pod(name: str, *images: Image, ready: bool = True) -> Pod:
    return Pod(name=name, images=images or (made.OLD_IMAGE,), ready=ready)


def series(*numbers: float) -> Series:
    return Series(values={(("zone", str(place)),): number for place, number in enumerate(numbers)}, at=made.NOW)


# --- live --------------------------------------------------------------------------------------------------------------


def live(*pods: Pod, wanted: tuple[Image, ...] = (made.OLD_IMAGE,)) -> Check:
    return check_live(made.known(pods), wanted)


def test_ready_pods_with_the_goals_digests_are_good() -> None:
    check = live(pod("a"), pod("b", made.OLD_IMAGE, SIDECAR))
    assert (check.look, check.says) == (Look.GOOD, "2 of 2 pods run the goal release's images and are ready")


def test_a_pod_with_another_digest_is_bad() -> None:
    check = live(pod("a"), pod("b", made.NEW_IMAGE))
    assert (check.look, check.says) == (Look.BAD, "1 of 2 pods do not run the goal release's images")


def test_pods_that_serve_nobody_any_more_do_not_count() -> None:
    retiring = replace(pod("b", made.NEW_IMAGE), retiring=True)
    assert live(pod("a"), retiring).says == "1 of 1 pods run the goal release's images and are ready"
    assert (live(retiring).look, live(retiring).says) == (Look.BAD, "no pod runs")


GOOD_LOOK = Check(name="live", look=Look.GOOD, says="2 of 2 pods run the goal release's images and are ready")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"step": 1, "steps": 2, "waiting": True}, "Rollout checkout waits at step 1 of 2"),
        ({"step": 1, "steps": 2}, "Rollout checkout is on its way at step 1 of 2"),
        ({"aborted": True}, "Rollout checkout was aborted"),
    ],
)
def test_promise_8_a_rollout_that_has_not_ended_makes_good_pods_bad(changes: dict[str, Any], says: str) -> None:
    check = check_rolled_out(GOOD_LOOK, made.known((made.rollout(stable="bad", current="good", **changes),)))
    assert (check.look, check.says) == (Look.BAD, says)


def test_rollouts_that_have_ended_change_nothing() -> None:
    assert check_rolled_out(GOOD_LOOK, made.known((made.rollout(),))) == GOOD_LOOK
    assert check_rolled_out(GOOD_LOOK, made.known(())) == GOOD_LOOK


def test_bad_pods_and_a_waiting_rollout_are_both_told() -> None:
    bad = Check(name="live", look=Look.BAD, says="1 of 2 pods do not run the goal release's images")
    check = check_rolled_out(bad, made.known((made.rollout(stable="bad", current="good", waiting=True),)))
    assert check.says == "1 of 2 pods do not run the goal release's images; Rollout checkout waits"


def test_promise_1_a_rollout_that_cannot_be_read_is_unknown_unless_the_pods_are_bad_already() -> None:
    bad = Check(name="live", look=Look.BAD, says="no pod runs")
    assert check_rolled_out(bad, made.ABSENT) == bad
    unknown = check_rolled_out(GOOD_LOOK, made.ABSENT)
    assert (unknown.look, unknown.says) == (Look.UNKNOWN, "how far the roll-out is, is unknown: the connection was refused")


def test_pods_of_what_stays_behind_do_not_count_and_are_told() -> None:
    left = ObjectRef(group="apps", kind="Deployment", namespace="shop", name="consumer")
    both: tuple[Pod, ...] = (pod("a"), replace(pod("b", made.NEW_IMAGE, ready=False), object=left))
    pods = made.known(both)
    assert check_live(pods, (made.OLD_IMAGE,)).look is Look.BAD
    check = check_live(pods, (made.OLD_IMAGE,), left=[left])
    assert (check.look, check.says) == (Look.GOOD, "1 of 1 pods run the goal release's images and are ready, beside 1 of what stays behind")


def test_what_stays_behind_alone_is_no_recovery() -> None:
    left = ObjectRef(group="apps", kind="Deployment", namespace="shop", name="consumer")
    check = check_live(made.known((replace(pod("b"), object=left),)), (made.OLD_IMAGE,), left=[left])
    assert (check.look, check.says) == (Look.BAD, "no pod runs")


def test_a_pod_that_belongs_to_nothing_known_counts() -> None:
    assert check_live(made.known((pod("a"), pod("b", made.NEW_IMAGE))), (made.OLD_IMAGE,), left=[made.CONFIG_MAP]).look is Look.BAD


def test_the_same_tag_with_another_digest_is_bad() -> None:
    assert live(pod("a", replace(made.OLD_IMAGE, digest=made.NEW_DIGEST))).look is Look.BAD


def test_a_pod_that_runs_none_of_the_goals_images_is_bad() -> None:
    assert live(pod("a"), pod("b", SIDECAR)).look is Look.BAD


def test_two_images_of_one_repository_are_both_the_goals() -> None:
    both = (made.OLD_IMAGE, WORKER)
    assert live(pod("a"), pod("b", WORKER), wanted=both).look is Look.GOOD


def test_a_pod_that_is_not_ready_is_bad() -> None:
    check = live(pod("a"), pod("b", ready=False))
    assert (check.look, check.says) == (Look.BAD, "1 of 2 pods are not ready")


def test_no_pod_at_all_is_bad() -> None:
    assert live().look is Look.BAD


def test_a_ready_pod_whose_digest_nobody_knows_is_unknown() -> None:
    assert live(pod("a"), pod("b", replace(made.OLD_IMAGE, digest=None))).look is Look.UNKNOWN


def test_a_pod_that_cannot_pull_its_image_is_bad_and_not_merely_unknown() -> None:
    assert live(pod("a", replace(made.OLD_IMAGE, digest=None), ready=False)).look is Look.BAD


@pytest.mark.parametrize(
    "wanted", [(), (replace(made.OLD_IMAGE, digest=None),), (made.OLD_IMAGE, replace(WORKER, digest=None))], ids=["none", "no digest", "one without"]
)
def test_a_goal_without_digests_proves_nothing(wanted: tuple[Image, ...]) -> None:
    assert live(pod("a"), wanted=wanted).look is Look.UNKNOWN


def test_pods_that_nobody_could_read_are_unknown() -> None:
    assert check_live(made.ABSENT, (made.OLD_IMAGE,)) == Check(name="live", look=Look.UNKNOWN, says="what runs is unknown: the connection was refused")


# --- sli ---------------------------------------------------------------------------------------------------------------


def sli(*numbers: float, traffic: tuple[float, ...] | None = None, before: float | None = None, bound: Bound = BOUND) -> Check:
    return check_sli(bound, made.known(series(*numbers)), traffic=None if traffic is None else made.known(series(*traffic)), traffic_before=before)


def test_every_series_inside_its_bound_is_good() -> None:
    check = sli(0.001, 0.002)
    assert (check.look, check.value, check.says) == (Look.GOOD, 0.002, "the SLI is 0.002, inside its bound (bad is > 0.01, declared)")


def test_one_series_outside_its_bound_is_bad_and_shown() -> None:
    check = sli(0.001, 0.31)
    assert (check.look, check.value) == (Look.BAD, 0.31)


@pytest.mark.parametrize("numbers", [(), (math.nan,), (0.001, math.nan)], ids=["no series", "not a number", "one not a number"])
def test_no_data_is_not_health(numbers: tuple[float, ...]) -> None:
    assert sli(*numbers).look is Look.UNKNOWN


def test_without_an_sli_nothing_is_measured() -> None:
    assert sli(0.0, bound=Bound(rung="")).look is Look.UNKNOWN


def test_an_sli_that_nobody_could_read_is_unknown() -> None:
    assert check_sli(BOUND, made.ABSENT, traffic=None, traffic_before=None).look is Look.UNKNOWN


@pytest.mark.parametrize(("flow", "look"), [(20.0, Look.GOOD), (19.9, Look.UNKNOWN), (0.0, Look.UNKNOWN)])
def test_good_numbers_with_less_than_a_fifth_of_the_traffic_prove_nothing(flow: float, look: Look) -> None:
    assert sli(0.0, traffic=(flow,), before=100.0).look is look


def test_traffic_is_the_sum_over_its_series_and_what_is_no_number_is_no_traffic() -> None:
    assert sli(0.0, traffic=(10.0, 10.0, math.nan), before=100.0).look is Look.GOOD


@pytest.mark.parametrize("before", [None, 0.0], ids=["not known", "none"])
def test_traffic_that_cannot_be_compared_is_unknown(before: float | None) -> None:
    assert sli(0.0, traffic=(0.0,), before=before).look is Look.UNKNOWN


def test_traffic_that_nobody_could_read_is_unknown() -> None:
    assert check_sli(BOUND, made.known(series(0.0)), traffic=Absent("timeout"), traffic_before=100.0).look is Look.UNKNOWN


def test_bad_numbers_are_bad_whatever_the_traffic() -> None:
    assert sli(0.5, traffic=(0.0,), before=100.0).look is Look.BAD


@pytest.mark.parametrize(
    ("comparison", "outside", "inside"),
    [
        (">", (1.1,), (1.0, 0.9)),
        (">=", (1.0, 1.1), (0.9,)),
        ("<", (0.9,), (1.0, 1.1)),
        ("<=", (1.0, 0.9), (1.1,)),
        ("==", (1.0,), (0.9, 1.1)),
        ("!=", (0.9, 1.1), (1.0,)),
    ],
)
def test_the_firing_region_follows_the_comparison(comparison: str, outside: tuple[float, ...], inside: tuple[float, ...]) -> None:
    bound = Bound(rung="rule", comparison=comparison, threshold=1.0)
    assert all(breached(number, bound) for number in outside)
    assert not any(breached(number, bound) for number in inside)


def test_a_comparison_that_is_not_understood_is_never_inside() -> None:
    assert breached(0.0, Bound(rung="rule", comparison="=~", threshold=1.0))


# --- alert -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "look"),
    [("inactive", Look.GOOD), ("firing", Look.BAD), ("pending", Look.BAD), ("", Look.BAD)],
    ids=["inactive", "firing", "pending", "unheard of"],
)
def test_only_an_inactive_alert_is_quiet(state: str, look: Look) -> None:
    assert check_alert(made.known(AlertNow(state=state))).look is look


def test_an_alert_that_nobody_could_ask_for_is_unknown() -> None:
    assert check_alert(made.ABSENT).look is Look.UNKNOWN


def test_a_rollback_that_no_alert_started_has_no_alert_to_wait_for() -> None:
    assert check_alert(None).look is Look.GOOD


# --- looks add up ------------------------------------------------------------------------------------------------------

GOOD, BAD, UNKNOWN = (Check(name="sli", look=look, says=look.value) for look in (Look.GOOD, Look.BAD, Look.UNKNOWN))


def progress() -> Progress:
    return Progress(started_at=START, give_up_at=START + timedelta(minutes=15))


def look(so_far: Progress, seconds: float, *checks: Check, sampled: float | None = -1) -> Progress:
    sampled_at = None if sampled is None else START + timedelta(seconds=seconds if sampled < 0 else sampled)
    return advance(so_far, checks or (GOOD,), now=START + timedelta(seconds=seconds), sampled_at=sampled_at, policy=POLICY)


def test_good_looks_with_fresh_samples_for_the_whole_bake_time_are_recovery() -> None:
    end = look(look(look(progress(), 0), 30), 60)
    assert (end.ended, end.passes, end.says) == ("recovered", 3, "recovered: good, for 60 s in 3 looks")


def test_the_bake_time_has_to_be_over() -> None:
    early = look(look(look(look(progress(), 0), 10), 20), 59)
    assert (early.ended, early.passes) == ("", 4)


def test_the_number_of_looks_has_to_be_reached() -> None:
    assert look(look(progress(), 0), 120).ended == ""


def test_the_bake_time_is_at_least_two_scrape_intervals() -> None:
    slow = replace(POLICY, scrape_interval=timedelta(seconds=60))
    so_far = look(look(progress(), 0), 30)
    assert advance(so_far, (GOOD,), now=START + timedelta(seconds=60), sampled_at=START + timedelta(seconds=60), policy=slow).ended == ""
    assert advance(so_far, (GOOD,), now=START + timedelta(seconds=120), sampled_at=START + timedelta(seconds=120), policy=slow).ended == "recovered"


def test_the_same_sample_seen_again_proves_nothing_new() -> None:
    so_far = look(look(look(progress(), 0, sampled=0), 30, sampled=0), 90, sampled=0)
    assert (so_far.passes, so_far.ended) == (1, "")


@pytest.mark.parametrize("sampled", [None, -30.0], ids=["no sample", "from before"])
def test_a_sample_from_before_the_verification_is_not_fresh(sampled: float | None) -> None:
    before = None if sampled is None else START + timedelta(seconds=sampled)
    assert advance(progress(), (GOOD,), now=START, sampled_at=before, policy=POLICY).passes == 0


@pytest.mark.parametrize("check", [BAD, UNKNOWN], ids=["bad", "unknown"])
def test_a_look_that_is_not_good_starts_the_count_again(check: Check) -> None:
    broken = look(look(look(progress(), 0), 30), 50, check)
    assert (broken.passes, broken.good_since, broken.ended) == (0, None, "")
    assert look(look(look(broken, 70), 90), 129).ended == ""
    assert look(look(look(broken, 70), 90), 130).ended == "recovered"


def test_one_bad_check_makes_the_look_bad_and_one_unknown_makes_it_unknown() -> None:
    late = 15 * 60
    assert look(progress(), late, GOOD, UNKNOWN, BAD).ended == "not_recovered"
    assert look(progress(), late, GOOD, UNKNOWN).ended == "inconclusive"


def test_at_the_end_good_but_too_short_is_inconclusive() -> None:
    end = look(progress(), 15 * 60)
    assert (end.ended, end.says) == ("inconclusive", "inconclusive: good")


def test_a_look_without_checks_is_no_good_look() -> None:
    empty = advance(progress(), (), now=START, sampled_at=START, policy=POLICY)
    assert (empty.passes, empty.good_since) == (0, None)


def test_before_the_end_a_bad_look_ends_nothing() -> None:
    assert look(progress(), 15 * 60 - 1, BAD).ended == ""


@pytest.mark.parametrize(
    ("at_least", "range_of_sli", "keep_firing", "interval", "bake", "minutes"),
    [(15, 5, 0, 1, 3, 15), (15, 10, 5, 1, 3, 17), (15, 1, 0, 1, 10, 20), (15, 0, 0, 0, 0, 15), (1, 5, 0, 1, 3, 7), (1, 0, 0, 0, 3, 6)],
    ids=["at least 15", "long range", "long bake", "nothing", "shorter than the range", "shorter than two bakes"],
)
def test_giving_up_leaves_time_for_the_range_and_for_two_bakes(
    at_least: int, range_of_sli: int, keep_firing: int, interval: int, bake: int, minutes: int
) -> None:
    times = [timedelta(minutes=value) for value in (at_least, range_of_sli, keep_firing, interval, bake)]
    end = give_up_at(START, at_least=times[0], range_of_sli=times[1], keep_firing=times[2], interval=times[3], bake=times[4])
    assert end - START == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("promql", "seconds"),
    [("rate(x[5m]) / rate(y[1h])", 3600), ("up == 0", 300), ("max_over_time(x[90s:15s])", 90), ("rate(x[ 2d ])", 172800), ("", 300), ("rate(x[1h30m])", 5400)],
)
def test_the_longest_range_is_how_long_an_expression_remembers(promql: str, seconds: int) -> None:
    assert longest_range(promql) == timedelta(seconds=seconds)


def test_without_anything_to_measure_by_the_end_is_inconclusive_after_the_bake_time_and_never_recovered() -> None:
    nothing = check_sli(Bound(rung=""), Absent("no SLI"), traffic=None, traffic_before=None)
    good = Check(name="live", look=Look.GOOD, says="2 of 2 pods run it")
    progress = Progress(started_at=made.NOW, give_up_at=made.NOW + timedelta(minutes=15))
    for seconds in range(0, 60, 10):
        progress = advance(progress, (good, nothing), now=made.NOW + timedelta(seconds=seconds), sampled_at=None, policy=POLICY)
        assert progress.ended == ""
    progress = advance(progress, (good, nothing), now=made.NOW + timedelta(seconds=60), sampled_at=None, policy=POLICY)
    assert (progress.ended, progress.says) == (
        "inconclusive",
        "inconclusive: 2 of 2 pods run it; no SLI is declared and the alert's rule is no plain comparison",
    )


def test_pods_that_do_not_come_up_are_waited_for_even_without_an_sli() -> None:
    nothing = check_sli(Bound(rung=""), Absent("no SLI"), traffic=None, traffic_before=None)
    bad = Check(name="live", look=Look.BAD, says="1 of 2 pods are not ready")
    progress = Progress(started_at=made.NOW, give_up_at=made.NOW + timedelta(minutes=15))
    for seconds in range(0, 300, 60):
        progress = advance(progress, (bad, nothing), now=made.NOW + timedelta(seconds=seconds), sampled_at=None, policy=POLICY)
    assert (progress.ended, progress.good_since) == ("", None)


# --- every alert ---------------------------------------------------------------------------------------------------------


def alerts(*states: str) -> Check:
    """Each alert by name with its state; "?" is one that nobody could find out."""
    now = {f"A{place}": Absent("Prometheus is away") if state == "?" else made.known(AlertNow(state=state)) for place, state in enumerate(states, 1)}
    return check_alerts(now)


@pytest.mark.parametrize(
    ("states", "look", "says"),
    [
        ((), Look.GOOD, "no alert started this"),
        (("inactive",), Look.GOOD, "the alert no longer fires"),
        (("firing",), Look.BAD, "the alert is still firing"),
        (("?",), Look.UNKNOWN, "whether the alert fires is unknown: Prometheus is away"),
        (("inactive", "inactive", "inactive"), Look.GOOD, "none of 3 alerts fires any more"),
        (("inactive", "firing"), Look.BAD, "A2: the alert is still firing"),
        (("pending", "firing", "inactive"), Look.BAD, "A1: the alert is still pending; A2: the alert is still firing"),
        (("inactive", "?"), Look.UNKNOWN, "A2: whether the alert fires is unknown: Prometheus is away"),
        (("?", "firing", "inactive"), Look.BAD, "A2: the alert is still firing"),
        (("firing",) * 5, Look.BAD, "; ".join(f"A{n}: the alert is still firing" for n in (1, 2, 3))),
    ],
)
def test_promise_8_the_worst_of_all_alerts_decides_and_speaks(states: tuple[str, ...], look: Look, says: str) -> None:
    check = alerts(*states)
    assert (check.name, check.look, check.says) == ("alert", look, says)


def test_machines_are_told_as_instances() -> None:
    group, kind = keys.MACHINES
    fleet = ObjectRef(group=group, kind=kind, namespace="prod/us-east-1", name="web")
    assert live(replace(pod("i-1"), object=fleet)).says == "1 of 1 instances run the goal release's images and are ready"
    assert live(replace(pod("i-1"), object=fleet, retiring=True)).says == "no instance runs"
