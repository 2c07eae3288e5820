from typing import Any

import pytest

from integrations.rendering import rendered_of
from service.domain.manifest_change import Manifests, Objection, Placed, images_of, objections
from service.domain.verdict import Answer

PASSES = ""


def made(api: str, kind: str, name: str = "one", *, annotations: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "shop", "annotations": annotations or {}}, **body}


def pods(image: str = "web:1", kind: str = "Deployment", **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": image, **spec.pop("container", {})}
    return made("apps/v1", kind, spec={"selector": {"app": "a"}, "template": {"spec": {"containers": [container]}}, **spec})


def side(*bodies: dict[str, Any]) -> tuple[Placed, ...]:
    return tuple(Placed(rendered=one, path="deploy/a.yaml", line=1) for one in rendered_of(bodies, own=(), destination="", revisions=()))


def found(old: list[dict[str, Any]], new: list[dict[str, Any]], *, prunes: bool | None = None) -> list[Objection]:
    return list(objections(Manifests(folder="deploy", old=side(*old), new=side(*new)), "main", "feature", prunes=prunes))


def answers(old: list[dict[str, Any]], new: list[dict[str, Any]], *, prunes: bool | None = None) -> dict[str, Answer]:
    return {one.rule: one.answer for one in found(old, new, prunes=prunes)}


def test_manifests_that_differ_in_what_kubernetes_lets_change_are_no_objection() -> None:
    assert answers([pods(replicas="1")], [pods("web:2", replicas="2")]) == {}
    assert answers([made("v1", "ConfigMap", data={"a": "1"})], [made("v1", "ConfigMap", data={"a": "2"})]) == {}
    assert answers([pods(kind="StatefulSet", serviceName="a")], [pods("web:2", "StatefulSet", serviceName="a", replicas="3")]) == {}


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (pods(), pods(selector={"app": "b"}), "spec.selector"),
        (pods(kind="DaemonSet"), pods(kind="DaemonSet", selector={"app": "b"}), "spec.selector"),
        (pods(kind="StatefulSet", serviceName="a"), pods(kind="StatefulSet", serviceName="b"), "spec.serviceName"),
        (
            pods(kind="StatefulSet", volumeClaimTemplates=[{"metadata": {"name": "d"}, "spec": {"size": "1"}}]),
            pods(kind="StatefulSet", volumeClaimTemplates=[{"metadata": {"name": "d"}, "spec": {"size": "2"}}]),
            "spec.volumeClaimTemplates",
        ),
        (made("batch/v1", "Job", spec={"template": {"a": "1"}}), made("batch/v1", "Job", spec={"template": {"a": "2"}}), "spec.template"),
        (
            made("v1", "PersistentVolumeClaim", spec={"storageClassName": "a"}),
            made("v1", "PersistentVolumeClaim", spec={"storageClassName": "b"}),
            "spec.storageClassName",
        ),
        (made("v1", "ConfigMap", immutable=True, data={"a": "1"}), made("v1", "ConfigMap", immutable=True, data={"a": "2"}), "data.a"),
        (
            made("rbac.authorization.k8s.io/v1", "RoleBinding", roleRef={"name": "a"}),
            made("rbac.authorization.k8s.io/v1", "RoleBinding", roleRef={"name": "b"}),
            "roleRef.name",
        ),
    ],
)
def test_a_field_that_kubernetes_never_lets_change_is_a_no_both_ways(old: dict[str, Any], new: dict[str, Any], field: str) -> None:
    one = next(one for one in found([old], [new]) if one.rule == "immutable_field_changed")
    assert (one.answer, f"Changes {field} of " in one.says) == (Answer.BLOCK, True)
    assert "immutable_field_changed" in answers([new], [old])


def test_the_image_of_a_job_is_part_of_its_template() -> None:
    def job(image: str) -> dict[str, Any]:
        return made("batch/v1", "Job", spec={"template": {"spec": {"containers": [{"name": "m", "image": image}]}}})

    assert answers([job("migrate:1")], [job("migrate:2")]) == {"immutable_field_changed": Answer.BLOCK}


def test_what_is_made_anew_by_the_deploy_may_change_everything() -> None:
    options = {"argocd.argoproj.io/sync-options": "Replace=true, Force=true"}
    hook = {"argocd.argoproj.io/hook": "PreSync"}
    for annotations in (options, hook):
        old, new = (made("batch/v1", "Job", annotations=annotations, spec={"template": {"a": value}}) for value in "12")
        assert "immutable_field_changed" not in answers([old], [new])


def test_a_claim_that_changes_its_size_is_for_a_person() -> None:
    def claim(size: str) -> dict[str, Any]:
        return made("v1", "PersistentVolumeClaim", spec={"resources": {"requests": {"storage": size}}})

    assert answers([claim("10Gi")], [claim("20Gi")]) == {"claim_resized": Answer.WARN}
    assert answers([claim("20Gi")], [claim("10Gi")]) == {"claim_resized": Answer.WARN}
    assert answers([claim("1Gi")], [claim("1Gi")]) == {}
    assert answers([claim("1024Mi")], [claim("1Gi")]) == {}


def definition(*versions: str, stores: str) -> dict[str, Any]:
    listed = [{"name": one, "served": True, "storage": one == stores} for one in versions]
    return made("apiextensions.k8s.io/v1", "CustomResourceDefinition", spec={"group": "a", "versions": listed})


def test_a_definition_that_stores_a_version_which_the_earlier_one_lacks_is_a_no() -> None:
    assert answers([definition("v1", stores="v1")], [definition("v1", "v2", stores="v2")]) == {"stored_version_unknown_to_old": Answer.BLOCK}
    assert answers([definition("v1", "v2", stores="v1")], [definition("v1", "v2", stores="v2")]) == {}
    assert answers([definition("v1", stores="v1")], [definition("v1", "v2", stores="v1")]) == {}


@pytest.mark.parametrize(("prunes", "answer"), [(True, Answer.BLOCK), (None, Answer.UNKNOWN), (False, PASSES)])
def test_a_removed_object_with_data_comes_back_empty_where_deploys_prune(prunes: bool | None, answer: Answer | str) -> None:
    for body in (made("v1", "PersistentVolumeClaim"), made("postgresql.cnpg.io/v1", "Cluster"), definition("v1", stores="v1")):
        assert answers([pods(), body], [pods()], prunes=prunes) == ({"data_object_removed": answer} if answer else {})


def test_a_removed_object_that_is_kept_or_comes_back_whole_is_no_objection() -> None:
    for annotations in ({"argocd.argoproj.io/sync-options": "Prune=false"}, {"helm.sh/resource-policy": "keep"}):
        assert answers([made("v1", "PersistentVolumeClaim", annotations=annotations)], [], prunes=True) == {}
    assert answers([made("v1", "ConfigMap"), made("v1", "Service")], [], prunes=True) == {}


def test_a_job_that_is_new_or_changed_runs_and_is_not_undone() -> None:
    def job(argument: str, **annotations: str) -> dict[str, Any]:
        return made("batch/v1", "Job", annotations=annotations, spec={"template": {"args": [argument]}})

    assert answers([], [job("a")]) == {"job_runs": Answer.WARN}
    assert answers([job("a")], [job("a")]) == {}
    hooks = {"argocd.argoproj.io/hook": "PreSync"}
    assert answers([job("a", **hooks)], [job("b", **hooks)]) == {"job_runs": Answer.WARN}
    assert "hook" in found([], [made("v1", "Pod", annotations={"helm.sh/hook": "pre-upgrade"})])[0].says


@pytest.mark.parametrize(
    ("container", "need"),
    [
        ({"envFrom": [{"secretRef": {"name": "pay"}}]}, "Secret pay"),
        ({"envFrom": [{"configMapRef": {"name": "pay"}}]}, "ConfigMap pay"),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "pay", "key": "k"}}}]}, "Secret pay"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "pay"}}]}, "Secret pay"),
        ({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "pay"}}]}, "PersistentVolumeClaim pay"),
    ],
)
def test_what_only_the_earlier_pods_need_has_to_be_kept_by_somebody(container: dict[str, Any], need: str) -> None:
    (one,) = found([pods(container=container)], [pods()])
    assert (one.rule, one.answer, need in one.says) == ("reference_left", Answer.WARN, True)
    assert found([pods(container=container)], [pods("web:2", container=container)]) == []


def test_what_the_earlier_manifests_make_themselves_or_do_not_insist_on_is_no_objection() -> None:
    secret = {"envFrom": [{"secretRef": {"name": "pay"}}]}
    assert found([pods(container=secret), made("v1", "Secret", "pay")], [pods()]) == []
    assert found([pods(container={"envFrom": [{"secretRef": {"name": "pay", "optional": True}}]})], [pods()]) == []


def test_an_image_without_a_version_is_not_what_ran() -> None:
    for moving in ("web", "web:latest", "registry.example:5000/web"):
        assert answers([pods(moving)], [pods("web:2")])["image_moves"] is Answer.WARN
    assert answers([pods("web:1.2")], [pods("web:1.3")]) == {}
    assert answers([pods("web@sha256:" + "a" * 64)], [pods("web:2")]) == {}


def test_images_that_moved_to_another_registry_have_to_be_kept_in_the_old_one() -> None:
    (one,) = found([pods("old.example/shop/web:1")], [pods("new.example/team/web:2")])
    assert (one.rule, one.says) == ("image_repository_moved", "Takes web from new.example/team/web instead of old.example/shop/web.")


@pytest.mark.parametrize(
    ("old", "new", "answer"),
    [
        ("postgres:14.2", "postgres:15.1", Answer.BLOCK),
        ("postgres:14.2", "postgres:14.9-alpine", PASSES),
        ("postgres:9.5", "postgres:9.6", Answer.UNKNOWN),
        ("mariadb:10.5", "mariadb:10.6", Answer.UNKNOWN),
        ("mysql:8.0.31", "mysql:8.0.33", PASSES),
        ("bitnami/redis:6.2", "bitnami/redis:7.0", Answer.BLOCK),
        ("redis:alpine", "redis:bookworm", Answer.UNKNOWN),
        ("web:1", "web:2", PASSES),
    ],
)
def test_data_that_a_newer_store_has_opened_may_not_open_again(old: str, new: str, answer: Answer | str) -> None:
    told = answers([pods(old)], [pods(new)])
    assert told.get("engine_version_changed", PASSES) == answer


def test_an_object_that_only_points_at_what_is_deployed_is_unknown_where_it_changed() -> None:
    def application(revision: str) -> dict[str, Any]:
        return made("argoproj.io/v1alpha1", "Application", spec={"source": {"targetRevision": revision}})

    assert answers([application("a")], [application("b")]) == {"deployed_from_elsewhere": Answer.UNKNOWN}
    assert answers([], [application("b")]) == {"deployed_from_elsewhere": Answer.UNKNOWN}
    assert answers([application("a")], [application("a")]) == {}


def test_every_objection_says_what_why_and_what_to_do_in_sentences() -> None:
    old = [pods("db/postgres:14", container={"envFrom": [{"secretRef": {"name": "pay"}}]}), made("v1", "PersistentVolumeClaim", "gone")]
    new = [pods("new/postgres:latest", selector={"app": "b"}), made("batch/v1", "Job", "two")]
    every = found(old, new) + found(new, old)
    assert len({one.rule for one in every}) > 5
    for one in every:
        assert all(sentence.endswith((".", "?")) for sentence in (one.says, one.why, one.do)), one
        assert len(one.says) <= 140


def test_the_images_of_a_side_are_told_once_each() -> None:
    assert images_of(side(pods("b:1"), pods("a:1"), pods("b:1"))) == ("a:1", "b:1")
