import shlex

import pytest

from integrations.delivery.argocd import left_behind
from service.domain.model import ObjectRef
from service.domain.planning.plan import Step
from tests.unit.service.domain import made


def one(group: str, kind: str, *, name: str = "it", namespace: str = "shop") -> ObjectRef:
    return ObjectRef(group=group, kind=kind, namespace=namespace, name=name)


def step(of: ObjectRef) -> Step:
    (found,) = left_behind.plan([of], made.SUSPECT)
    return found


@pytest.mark.parametrize(
    ("of", "command"),
    [
        (one("batch", "CronJob"), """kubectl --namespace shop patch cronjob.batch/it --type merge --patch '{"spec": {"suspend": true}}'"""),
        (one("batch", "Job"), """kubectl --namespace shop patch job.batch/it --type merge --patch '{"spec": {"suspend": true}}'"""),
        (one("apps", "Deployment"), "kubectl --namespace shop scale deployment.apps/it --replicas=0"),
        (one("apps", "StatefulSet"), "kubectl --namespace shop scale statefulset.apps/it --replicas=0"),
        (one("argoproj.io", "Rollout"), """kubectl --namespace shop patch rollout.argoproj.io/it --type merge --patch '{"spec": {"replicas": 0}}'"""),
        (one("apps", "DaemonSet"), "kubectl --namespace shop delete daemonset.apps/it"),
        (one("autoscaling", "HorizontalPodAutoscaler"), "kubectl --namespace shop delete horizontalpodautoscaler.autoscaling/it"),
        (one("", "Service"), "kubectl --namespace shop delete service/it"),
        (one("rbac.authorization.k8s.io", "ClusterRole", namespace=""), "kubectl delete clusterrole.rbac.authorization.k8s.io/it"),
    ],
)
def test_each_object_comes_with_the_command_that_lets_it_rest_and_belongs_to_a_person(of: ObjectRef, command: str) -> None:
    found = step(of)
    assert (found.command, found.owner, found.effect, found.optional) == (command, "person", False, True)
    assert str(of) in found.says
    assert "only release 42 (v2.5.0 · c0ffee0) has it" in found.says


@pytest.mark.parametrize(
    "of",
    [
        one("", "PersistentVolumeClaim"),
        one("apiextensions.k8s.io", "CustomResourceDefinition", namespace=""),
        one("", "Secret"),
        one("acid.zalan.do", "postgresql"),
    ],
)
def test_what_may_hold_data_is_never_proposed_for_deletion_without_a_warning(of: ObjectRef) -> None:
    found = step(of)
    assert found.says.startswith(f"Keep {of}, for it may hold data that release 42 (v2.5.0 · c0ffee0) wrote; warning: deleting it may lose that data for ever")
    assert " get " in found.command
    assert "delete" not in found.command


def test_a_kind_that_nobody_knows_is_only_looked_at() -> None:
    found = step(one("example.com", "Widget"))
    assert found.says.startswith("Look whether example.com/Widget shop/it goes on working or holds data")
    assert "delete" not in found.command


def test_what_works_on_comes_first_and_what_is_idle_last() -> None:
    objects = [one("", "ConfigMap"), one("example.com", "Widget"), one("", "PersistentVolumeClaim"), one("batch", "CronJob")]
    assert [found.parameters["object"] for found in left_behind.plan(objects, made.SUSPECT)] == [str(each) for each in objects[::-1]]


def test_a_name_that_is_no_word_is_quoted_for_the_shell() -> None:
    assert shlex.split(step(one("", "ConfigMap", name="a; rm -rf b")).command)[-1] == "configmap/a; rm -rf b"
