from dataclasses import replace
from typing import Any

import pytest

from service.domain import keys
from service.domain.facts import Key
from service.domain.model import ObjectRef, Way
from service.domain.rules.prune_deletes_no_data import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, world


def ask(of: World) -> Finding:
    return RULE.ask(of.gathered_case(RULE))


def left(*objects: ObjectRef, prune: bool) -> World:
    return world().tell(made.LEFTOVERS, objects).tell(made.STATE, made.state(prune=prune)).tell(keys.confirmations(made.TARGET, objects), ())


def one(kind: str, group: str = "") -> ObjectRef:
    return ObjectRef(group=group, kind=kind, namespace="shop", name="it")


@pytest.mark.parametrize("prune", [True, False])
def test_nothing_left_over_passes(prune: bool) -> None:
    finding = ask(left(prune=prune))
    assert (finding.answer, finding.says) == (Answer.PASS, "Release 41 has every object that runs now: nothing is deleted, nothing stays behind.")


@pytest.mark.parametrize(
    ("kind", "group"),
    [
        ("PersistentVolumeClaim", ""),
        ("PersistentVolume", ""),
        ("Namespace", ""),
        ("Secret", ""),
        ("StatefulSet", "apps"),
        ("CustomResourceDefinition", "apiextensions.k8s.io"),
        ("SealedSecret", "bitnami.com"),
        ("ExternalSecret", "external-secrets.io"),
        ("Certificate", "cert-manager.io"),
        ("VolumeSnapshot", "snapshot.storage.k8s.io"),
        ("Cluster", "postgresql.cnpg.io"),
        ("postgresql", "acid.zalan.do"),
        ("Kafka", "kafka.strimzi.io"),
    ],
)
def test_pruning_what_may_hold_data_is_a_no(kind: str, group: str) -> None:
    finding = ask(left(made.CONFIG_MAP, one(kind, group), prune=True))
    assert finding.answer is Answer.BLOCK
    assert finding.says == f"Going back to release 41 would delete {one(kind, group)}, which may hold data."


@pytest.mark.parametrize(("kind", "group"), [("Widget", "example.com"), ("StatefulSet", "apps.kruise.io"), ("ConfigMap", "example.com")])
def test_pruning_a_kind_that_nobody_knows_is_unknown(kind: str, group: str) -> None:
    finding = ask(left(one(kind, group), prune=True))
    assert finding.answer is Answer.UNKNOWN
    assert "whether that holds data is unknown" in finding.says


def test_pruning_a_job_may_interrupt_it() -> None:
    assert ask(left(one("Job", "batch"), prune=True)).answer is Answer.WARN


def test_pruning_what_holds_no_data_passes_and_is_listed() -> None:
    finding = ask(left(made.CONFIG_MAP, one("Deployment", "apps"), prune=True))
    assert finding.answer is Answer.PASS
    assert finding.says == "Going back to release 41 deletes ConfigMap shop/flags, apps/Deployment shop/it; none of it holds data."


@pytest.mark.parametrize("kind", ["PersistentVolumeClaim", "Secret", "Namespace", "ConfigMap"])
def test_without_pruning_idle_objects_just_stay_behind(kind: str) -> None:
    finding = ask(left(one(kind), prune=False))
    assert (finding.answer, finding.says) == (Answer.PASS, f"Nothing is deleted; {kind} shop/it stays behind, idle.")


@pytest.mark.parametrize(
    ("kind", "group"), [("CronJob", "batch"), ("Job", "batch"), ("Deployment", "apps"), ("StatefulSet", "apps"), ("Rollout", "argoproj.io")]
)
def test_without_pruning_what_works_on_beside_the_old_release_is_a_warning(kind: str, group: str) -> None:
    finding = ask(left(made.CONFIG_MAP, one(kind, group), prune=False))
    assert finding.answer is Answer.WARN
    assert finding.says == f"Nothing is deleted, but {group}/{kind} shop/it stays behind and works on beside release 41."
    assert finding.adds == (f"Decide whether {group}/{kind} shop/it may go on working beside release 41.",)


def test_several_that_work_on_are_named_together() -> None:
    finding = ask(left(one("CronJob", "batch"), one("Deployment", "apps"), prune=False))
    assert "batch/CronJob shop/it, apps/Deployment shop/it stay behind and work on" in finding.says


@pytest.mark.parametrize("prune", [True, False])
@pytest.mark.parametrize("key", [made.STATE, made.LEFTOVERS], ids=["state", "leftovers"])
def test_what_nobody_could_read_is_unknown(key: Key[object], prune: bool) -> None:
    assert ask(left(prune=prune).hide(key)).answer is Answer.UNKNOWN


def test_without_a_goal_nobody_knows_what_it_does_not_have() -> None:
    assert ask(world(goal=None)).answer is Answer.UNKNOWN


def test_many_leftovers_are_counted_and_not_all_listed() -> None:
    many = tuple(ObjectRef(group="", kind="ConfigMap", namespace="shop", name=f"c{number}") for number in range(9))
    assert "ConfigMap shop/c4 and 4 more" in ask(left(*many, prune=True)).says


@pytest.mark.parametrize(("way", "answer"), [(Way.ROLLBACK, Answer.PASS), (Way.PIN, Answer.BLOCK), (Way.GIT_REVERT, Answer.BLOCK)])
def test_what_auto_sync_deploys_by_itself_is_pruned_where_its_setting_says_so(way: Way, answer: Answer) -> None:
    claim = left(one("PersistentVolumeClaim"), prune=False)
    claim.way = way
    assert ask(claim).answer is answer
    unpruned = claim.tell(made.STATE, made.state(remembered={"automated": {"selfHeal": True}}))
    assert ask(unpruned).answer is Answer.PASS
    by_hand = claim.tell(made.STATE, made.state(auto_sync=False))
    assert ask(by_hand).answer is Answer.PASS


def recorded(*objects: ObjectRef, live: tuple[ObjectRef, ...], **changes: Any) -> World:
    """Argo CD renders the goal release no more (other parameters), and our own record has its objects."""
    values: dict[str, Any] = {"objects": tuple((each, "digest") for each in objects)} | changes
    record = replace(made.record(made.GOAL, made.OLD_IMAGE), **values)
    told = world().hide(made.LEFTOVERS).tell(made.RECORD_OLD, record).tell(made.STATE, made.state(objects=live))
    return told.tell(keys.confirmations(made.TARGET, tuple(each for each in live if each not in objects)), ())


def test_what_stays_behind_is_known_from_our_own_record_where_nothing_renders() -> None:
    live = (made.CONFIG_MAP, one("CronJob", "batch"))
    finding = ask(recorded(made.CONFIG_MAP, live=live))
    assert finding.answer is Answer.WARN
    assert "batch/CronJob shop/it stays behind and works on" in finding.says
    assert {each.what for each in finding.evidence} >= {str(made.STATE), str(made.RECORD_OLD)}
    assert ask(recorded(*live, live=live)).answer is Answer.PASS


@pytest.mark.parametrize("changes", [{"objects": None}, {"moved": "it was rendered in two ways"}], ids=["nobody read them", "another time others"])
def test_promise_1_without_a_rendering_and_without_a_record_what_stays_behind_is_unknown(changes: Any) -> None:
    assert ask(recorded(made.CONFIG_MAP, live=(made.CONFIG_MAP,), **changes)).answer is Answer.UNKNOWN
    assert ask(recorded(live=()).hide(made.RECORD_OLD)).answer is Answer.UNKNOWN


@pytest.mark.parametrize(
    ("kind", "group"), [("HorizontalPodAutoscaler", "autoscaling"), ("ScaledObject", "keda.sh"), ("Workflow", "argoproj.io"), ("ReplicaSet", "apps")]
)
def test_what_scales_or_runs_the_older_releases_pods_works_on_too(kind: str, group: str) -> None:
    assert ask(left(one(kind, group), prune=False)).answer is Answer.WARN


def test_promise_1_a_kind_that_nobody_knows_is_not_called_idle() -> None:
    finding = ask(left(made.CONFIG_MAP, one("KafkaConnector", "example.com"), prune=False))
    assert finding.answer is Answer.WARN
    assert finding.says == (
        "Nothing is deleted, but example.com/KafkaConnector shop/it stays behind; whether that goes on working beside release 41 is unknown."
    )


def test_promise_1_of_a_release_that_no_history_names_only_our_own_record_tells_what_it_had() -> None:
    """Without a handle the delivery system would render what runs now, and nothing would seem to stay behind."""
    live = (made.CONFIG_MAP, one("CronJob", "batch"))
    gone = recorded(made.CONFIG_MAP, live=live)
    gone.goal = replace(made.GOAL, handle="")
    gone.tell(keys.leftovers(made.TARGET, ""), ())
    assert ask(gone).answer is Answer.WARN
    gone.hide(made.RECORD_OLD)
    assert ask(gone).answer is Answer.UNKNOWN


@pytest.mark.parametrize("prune", [True, False])
def test_a_way_back_that_would_wait_for_a_persons_confirmation_is_a_no_whether_it_prunes_or_not(prune: bool) -> None:
    finding = ask(left(made.CONFIG_MAP, prune=prune).tell(made.CONFIRMATIONS, (made.CONFIG_MAP,)))
    assert (finding.answer, finding.says) == (
        Answer.BLOCK,
        "Going back to release 41 would stand still: ConfigMap shop/flags asks for a person's confirmation first (Prune=confirm).",
    )
    assert str(made.CONFIRMATIONS) in {one.what for one in finding.evidence}


def test_promise_1_what_cannot_be_asked_for_its_confirmations_is_unknown() -> None:
    assert ask(left(made.CONFIG_MAP, prune=False).hide(made.CONFIRMATIONS)).answer is Answer.UNKNOWN


@pytest.mark.parametrize("remembered", [None, {"triggers": [{"says": "cron"}]}, {"automated": {"prune": False, "selfHeal": True}}])
def test_what_is_live_already_deletes_nothing_where_nothing_that_prunes_is_given_back(remembered: object) -> None:
    of = made.live_world().hide(keys.desired_manifests(made.TARGET))
    of.context = {**of.context, "remembered": remembered}
    assert ask(of).says == "Release 44 is live already, and nothing is given back that deletes objects."


def test_promise_1_auto_sync_that_prunes_is_not_given_back_unless_what_is_desired_is_known() -> None:
    of = made.live_world().hide(keys.desired_manifests(made.TARGET))
    of.context = {**of.context, "remembered": {"automated": {"prune": True}}}
    assert ask(of).answer is Answer.UNKNOWN


EXAMPLES: made.Examples = {
    "nothing is left over": world(),
    "a volume would be deleted": left(one("PersistentVolumeClaim"), prune=True),
    "a CronJob stays behind and works on": left(one("CronJob", "batch"), prune=False),
    "a kind that nobody knows would be deleted": left(one("Widget", "example.com"), prune=True),
}
