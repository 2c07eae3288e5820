import math
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.domain import keys
from service.domain.model import Image, ObjectRef, Way
from service.domain.rules.deploy_caused_the_alert import RULE, names
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, world

UNASKED = replace(made.POLICY, version_split=None)


def ask(of: World) -> Finding:
    return RULE.ask(of.gathered_case(RULE))


def test_errors_after_the_deploy_and_only_on_its_version_pass() -> None:
    finding = ask(world())
    assert finding.answer is Answer.PASS
    assert finding.says == "The trouble began at 14:02:13, 6 s after release 42 started to go live, and only its version fails: v2.5.0 0.31 (bound 0.01)."
    assert [one.what for one in finding.evidence] == [str(made.ALERT_NOW), str(made.SERIES)]


def test_trouble_before_the_deploy_is_not_caused_by_it() -> None:
    early = made.STARTED - timedelta(seconds=57)
    finding = ask(world().tell(made.ALERT_NOW, keys.AlertNow(state="firing", active_at=early)))
    assert (finding.answer, finding.instead) == (Answer.BLOCK, Way.NONE)
    assert finding.says == "The trouble began at 14:01:10, 57 s before release 42 started to go live at 14:02:07: not caused by this deploy."


def test_trouble_in_the_very_second_of_the_deploy_is_not_before_it() -> None:
    assert ask(world().tell(made.ALERT_NOW, keys.AlertNow(state="firing", active_at=made.STARTED))).answer is Answer.PASS


def test_the_onset_is_the_told_start_less_the_rules_for_when_the_system_does_not_say() -> None:
    finding = ask(world().tell(made.ALERT_NOW, keys.AlertNow(state="firing")))
    assert finding.says.startswith("The trouble began at 14:02:13, 6 s after")
    assert str(made.ALERT_RULE) in {one.what for one in finding.evidence}


def test_a_for_that_reaches_before_the_deploy_clears_the_deploy() -> None:
    rule = keys.AlertRule(name="HighErrorRate", query="q", hold=timedelta(minutes=5), keep_firing=timedelta(0))
    finding = ask(world().tell(made.ALERT_NOW, keys.AlertNow(state="firing")).tell(made.ALERT_RULE, rule))
    assert (finding.answer, finding.instead) == (Answer.BLOCK, Way.NONE)


def test_a_condition_start_later_than_the_told_start_is_not_believed() -> None:
    later = made.BEGAN + timedelta(seconds=5)
    assert "14:02:13" in ask(world().tell(made.ALERT_NOW, keys.AlertNow(state="firing", active_at=later))).says


def test_without_a_suspect_the_reason_is_the_sentence() -> None:
    finding = ask(world(suspect=None, why_none="no deploy within 2 h before the trouble began"))
    assert (finding.answer, finding.instead, finding.says) == (Answer.BLOCK, Way.NONE, "No deploy within 2 h before the trouble began.")


def test_without_a_suspect_and_without_a_reason_it_is_still_a_no() -> None:
    assert ask(world(suspect=None)).says == "No release is under suspicion."


def test_a_record_without_images_names_no_label_value() -> None:
    told = world().tell(made.SERIES, made.shares({made.NEW_DIGEST: 0.3})).tell(made.RECORD_NEW, made.record(made.SUSPECT, None))
    assert ask(told).answer is Answer.UNKNOWN


def test_an_image_whose_digest_nobody_knows_is_named_by_its_tag_only() -> None:
    tagged = [Image(reference="registry.example/shop/web:rc1")]
    assert names("rc1", made.SUSPECT, tagged)
    assert not names("4" * 64, made.SUSPECT, tagged)


def test_without_a_declared_split_and_without_a_look_at_the_pods_only_the_time_fits() -> None:
    finding = ask(world(policy=UNASKED).hide(keys.workloads(made.TARGET)))
    assert finding.answer is Answer.WARN
    assert finding.says.endswith("whether only its pods fail is not known (the connection was refused), so only the time fits.")
    assert "version_split" in finding.clears


# --- pods, as the cluster shows them ---

NEW, OLD = "59fb4b7b9f", "7568b47f57"
AFTER = made.STARTED + timedelta(seconds=2)
BEFORE = made.STARTED - timedelta(days=3)


def pods(count: int, *, ready: bool = True, at: datetime = AFTER, **more: Any) -> tuple[keys.Pod, ...]:
    return tuple(keys.Pod(name=f"web-{n}", images=(), ready=ready, started_at=at, **more) for n in range(count))


def workload(new: tuple[keys.Pod, ...], old: tuple[keys.Pod, ...], *, came: datetime = AFTER) -> tuple[keys.Workload, ...]:
    """A Deployment with the revision that came with release 42, and the one before."""
    deployment = ObjectRef(group="apps", kind="Deployment", namespace="shop", name="web")
    revisions = (
        keys.WorkloadRevision(name=NEW, created_at=came, images=("web:2.5.0",), pods=new),
        keys.WorkloadRevision(name=OLD, created_at=BEFORE, images=("web:2.4.6",), pods=old),
    )
    return (keys.Workload(object=deployment, revisions=revisions),)


def ask_pods(told: tuple[keys.Workload, ...]) -> Finding:
    return ask(world(policy=UNASKED).tell(keys.workloads(made.TARGET), told))


def test_only_its_pods_failing_beside_older_ones_that_are_ready_is_proof_without_a_query() -> None:
    finding = ask_pods(workload(pods(2, ready=False, waits="CrashLoopBackOff", restarts=3), pods(4, at=BEFORE)))
    assert finding.answer is Answer.PASS
    assert finding.says == (
        "The trouble began at 14:02:13, 6 s after release 42 started to go live and 4 s after its first pod (59fb4b7b9f) did, and only its pods fail: "
        "2 of 2 of its pods are not ready or were started again (CrashLoopBackOff); the 4 other pods of the target are ready."
    )
    assert str(keys.workloads(made.TARGET)) in {one.what for one in finding.evidence}


def test_a_pod_of_its_own_that_was_started_again_fails_though_it_is_ready_now() -> None:
    assert ask_pods(workload(pods(1, restarts=2) + pods(1), pods(1, at=BEFORE))).answer is Answer.PASS


def test_promise_1_without_another_pod_to_compare_with_only_the_time_fits() -> None:
    finding = ask_pods(workload(pods(2, ready=False), ()))
    assert finding.answer is Answer.WARN
    assert finding.says.endswith(
        "2 of 2 of its pods are not ready or were started again, and no other pod of the target runs to compare with, so only the time fits."
    )


def test_promise_1_pods_of_older_revisions_that_are_not_ready_either_are_a_warning() -> None:
    finding = ask_pods(workload(pods(1, ready=False), pods(1, at=BEFORE) + pods(2, at=BEFORE, ready=False)))
    assert finding.answer is Answer.WARN
    assert "but 2 of 3 other pods of the target are not ready either" in finding.says


def test_promise_1_ready_pods_may_fail_all_the_same() -> None:
    finding = ask_pods(workload(pods(2), pods(1, at=BEFORE)))
    assert (finding.answer, "its pods are ready, and whether they fail all the same was not asked" in finding.says) == (Answer.WARN, True)
    assert "version_split" in finding.clears


def test_pods_that_are_told_to_end_count_on_neither_side() -> None:
    ending = pods(3, ready=False, ending=True)
    assert ask_pods(workload(pods(1, ready=False), pods(1, at=BEFORE) + ending)).answer is Answer.PASS
    assert "its pods are ready" in ask_pods(workload(pods(1) + ending, pods(1, at=BEFORE))).says


def test_a_release_that_brought_an_earlier_template_back_is_not_told_by_pods() -> None:
    finding = ask_pods(workload(pods(2, ready=False), pods(1, at=BEFORE), came=BEFORE))
    assert (finding.answer, finding.says.endswith("no pod runs a revision that came with it, so only the time fits.")) == (Answer.WARN, True)


def test_a_revision_that_runs_nothing_any_more_is_not_its_first_pod() -> None:
    assert "first pod" not in ask_pods(workload((), pods(2, at=BEFORE))).says


def test_a_revision_of_the_very_second_of_the_deploy_came_with_it() -> None:
    assert ask_pods(workload(pods(1, ready=False), pods(1, at=BEFORE), came=made.STARTED - timedelta(seconds=1))).answer is Answer.PASS


def test_trouble_before_the_first_pod_says_so() -> None:
    late = made.STARTED + timedelta(seconds=36)
    assert "6 s after release 42 started to go live and 30 s before its first pod (59fb4b7b9f) did" in ask_pods(workload(pods(1, at=late), (), came=late)).says


def test_pods_are_asked_for_where_no_split_is_declared() -> None:
    assert keys.workloads(made.TARGET) in set(RULE.needs(world(policy=UNASKED).gathered_case(RULE)))
    assert keys.workloads(made.TARGET) not in set(RULE.needs(world().gathered_case(RULE)))


def test_the_only_version_with_traffic_may_be_the_suspect() -> None:
    finding = ask(world().tell(made.SERIES, made.shares({"v2.5.0": 0.5})))
    assert finding.answer is Answer.PASS
    assert "no other version has traffic" in finding.says


def test_a_goal_release_that_fails_as_well_means_going_back_will_not_help() -> None:
    finding = ask(world().tell(made.SERIES, made.shares({"v2.5.0": 0.31, "v2.4.6": 0.2})))
    assert (finding.answer, finding.instead) == (Answer.BLOCK, Way.NONE)
    assert "release 41 fails as well: v2.5.0 0.31, v2.4.6 0.2 (bound 0.01). Going back will not help." in finding.says


def test_a_goal_release_is_recognised_by_what_its_pods_ran() -> None:
    split = world().tell(made.SERIES, made.shares({"2.5.0": 0.31, "3" * 64: 0.2}))
    finding = ask(split)
    assert finding.answer is Answer.BLOCK
    assert str(made.RECORD_OLD) in {one.what for one in finding.evidence}


def test_another_version_that_fails_as_well_is_a_warning() -> None:
    finding = ask(world().tell(made.SERIES, made.shares({"v2.5.0": 0.31, "v1.0.0": 0.2})))
    assert finding.answer is Answer.WARN
    assert "other versions fail as well" in finding.says


def test_only_another_version_failing_is_not_caused_by_this_deploy() -> None:
    finding = ask(world().tell(made.SERIES, made.shares({"v2.5.0": 0.0, "v1.0.0": 0.2})))
    assert (finding.answer, finding.instead) == (Answer.BLOCK, Way.NONE)
    assert finding.says.endswith("but it does not fail: v1.0.0 0.2 does (bound 0.01). Not caused by this deploy.")


def test_no_version_failing_now_leaves_only_the_time() -> None:
    assert ask(world().tell(made.SERIES, made.shares({"v2.5.0": 0.005, "v2.4.6": 0.0}))).answer is Answer.WARN


def test_a_share_exactly_at_the_bound_does_not_fail() -> None:
    assert ask(world().tell(made.SERIES, made.shares({"v2.5.0": 0.01, "v2.4.6": 0.0}))).answer is Answer.WARN


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (world().hide(made.ALERT_NOW), "When the trouble began is unknown: the connection was refused."),
        (world().tell(made.ALERT_NOW, keys.AlertNow(state="firing")).hide(made.ALERT_RULE), "When the trouble began is unknown: the connection was refused."),
        (world().hide(made.SERIES), "which versions fail is unknown: the connection was refused."),
        (world().tell(made.SERIES, keys.Series(values={}, at=made.NOW)), "no series, which is not health."),
        (world().tell(made.SERIES, made.shares({"v2.5.0": 0.3}, label="app")), "carries no label version."),
        (world().tell(made.SERIES, made.shares({"canary": 0.3, "stable": 0.0})), "no series names release 42, only canary, stable."),
        (world().tell(made.SERIES, made.shares({made.NEW_DIGEST: 0.3})).hide(made.RECORD_NEW), "no series names release 42"),
        (world().tell(made.SERIES, made.shares({"v2.5.0": math.nan, "v2.4.6": 0.0})), "is not a number (no traffic?)."),
        (world(goal=replace(made.GOAL, version="v2.5.0")), "names both releases, so nobody can tell which one fails."),
    ],
    ids=["alert", "alert rule", "split", "no series", "no label", "no match", "no record", "not a number", "same version"],
)
def test_every_doubt_is_unknown_with_its_reason_and_way_out(broken: World, says: str) -> None:
    finding = ask(broken)
    assert finding.answer is Answer.UNKNOWN
    assert finding.says.endswith(says) or says in finding.says
    assert finding.clears


TAGGED = Image(reference="registry.example:5000/shop/web:2.5.0-rc1@" + made.NEW_DIGEST, digest=made.NEW_DIGEST, proof="reference")


@pytest.mark.parametrize(
    "value",
    [
        "v2.5.0",
        "2.5.0",
        made.SUSPECT.revision,
        made.SUSPECT.revision[:7],
        "2.5.0-rc1",
        made.NEW_DIGEST,
        "4" * 64,
        "4" * 12,
        f"registry.example:5000/shop/web@{made.NEW_DIGEST}",
        TAGGED.reference,
    ],
)
def test_a_label_value_names_a_release_by_version_revision_tag_or_digest(value: str) -> None:
    assert names(value, made.SUSPECT, [TAGGED])


@pytest.mark.parametrize("value", ["", "v2.5", "2.5.0.1", made.SUSPECT.revision[:6], "4" * 11, "c0ffeeg", "latest", "5000/shop/web", made.OLD_DIGEST])
def test_a_label_value_that_only_looks_alike_names_nothing(value: str) -> None:
    assert not names(value, made.SUSPECT, [TAGGED])


def test_a_release_without_a_version_is_not_named_by_an_empty_value() -> None:
    assert not names("", replace(made.SUSPECT, version=""), [])


def test_the_record_is_asked_for_only_when_version_and_revision_do_not_tell() -> None:
    assert made.RECORD_NEW not in world().gathered(RULE)
    assert made.RECORD_NEW in world().tell(made.SERIES, made.shares({made.NEW_DIGEST: 0.3})).gathered(RULE)


def test_it_is_about_incidents_only() -> None:
    assert RULE.needs_incident


EXAMPLES: made.Examples = {
    "only the suspect's version fails": world(),
    "the trouble is older than the deploy": world().tell(made.ALERT_NOW, keys.AlertNow(state="firing", active_at=made.STARTED - timedelta(minutes=5))),
    "the goal release fails as well": world().tell(made.SERIES, made.shares({"v2.5.0": 0.31, "v2.4.6": 0.29})),
    "no version fails any more": world().tell(made.SERIES, made.shares({"v2.5.0": 0.001, "v2.4.6": 0.001})),
    "the query by version cannot be asked": world().hide(made.SERIES),
}
