"""The past of a manifest: a release is its pod template, and a revision's number is only today's name for it."""

from typing import Any

import pytest

from integrations.delivery.spinnaker.kubernetes_history import (
    Config,
    ManifestAddress,
    configs_in,
    health_of,
    history_of,
    release_of,
    replica_sets_of,
    template_digest,
    warnings_of,
)
from service.domain.model import ObjectRef, TargetId
from tests.unit.integrations.delivery.spinnaker.recordings import answers

WEB = ManifestAddress("k8s", "ns", "deployment", "web")
TARGET = TargetId("spin", "k8s/ns/deployment/web")


def template(image: str, *, hashed: str = "", **spec: Any) -> dict[str, Any]:
    labels = {"app": "web"} | ({"pod-template-hash": hashed} if hashed else {})
    return {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": image}], **spec}}


def replica_set(number: int | None, image: str, *, owner: str = "u1", earlier: str = "", ready: int = 0, **spec: Any) -> dict[str, Any]:
    annotations = ({"deployment.kubernetes.io/revision": str(number)} if number is not None else {}) | (
        {"deployment.kubernetes.io/revision-history": earlier} if earlier else {}
    )
    return {
        "metadata": {
            "name": f"web-{image[-1]}",
            "annotations": annotations,
            "creationTimestamp": f"2027-01-0{number or 9}T10:00:00Z",
            "ownerReferences": [{"uid": owner, "controller": True}],
        },
        "spec": {"template": template(image, hashed=f"h{image[-1]}", **spec)},
        "status": {"readyReplicas": ready},
    }


def deployment(image: str, *, number: int = 3, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"uid": "u1", "annotations": {"deployment.kubernetes.io/revision": str(number)}},
        "spec": {"template": template(image), **spec},
    }


def test_a_deployment_and_the_replica_set_it_made_have_one_template() -> None:
    assert template_digest(template("shop/web:2")) == template_digest(template("shop/web:2", hashed="abc"))
    assert template_digest(template("shop/web:2")) == template_digest(template("shop/web:2", volumes=[], affinity={}))
    assert template_digest(template("shop/web:2")) != template_digest(template("shop/web:3"))


def test_an_undo_gives_the_same_release_another_number() -> None:
    before = history_of(deployment("shop/web:3"), [replica_set(1, "shop/web:1"), replica_set(2, "shop/web:2"), replica_set(3, "shop/web:3")])
    restored = replica_set(4, "shop/web:2", earlier="2")
    after = history_of(deployment("shop/web:2", number=4), [replica_set(1, "shop/web:1"), restored, replica_set(3, "shop/web:3")])
    old = before.of_template(template_digest(template("shop/web:2")))
    new = after.of_template(after.live)
    assert old is not None
    assert new is not None
    assert (old.number, new.number, new.earlier) == (2, 4, (2,))
    assert release_of(TARGET, WEB, old).key == release_of(TARGET, WEB, new).key
    assert [one.number for one in after.revisions] == [4, 3, 1]


def test_a_release_says_its_number_its_version_and_when_it_came_to_be() -> None:
    revision = history_of(deployment("shop/web:3"), [replica_set(3, "shop/web:3", ready=2)]).revisions[0]
    release = release_of(TARGET, WEB, revision)
    assert release.handle == "3"
    assert release.version == "3"
    assert release.deployed_at is not None
    assert release.deployed_at.isoformat() == "2027-01-03T10:00:00+00:00"
    assert release.revision == revision.digest
    assert revision.ready == 2


def test_a_replica_set_of_another_deployment_is_not_of_this_history() -> None:
    found = history_of(deployment("shop/web:3"), [replica_set(3, "shop/web:3"), replica_set(2, "shop/web:2", owner="u2")])
    assert [one.number for one in found.revisions] == [3]
    assert found.complete


@pytest.mark.parametrize("unread", [None, replica_set(None, "shop/web:2"), {"metadata": {"annotations": {"deployment.kubernetes.io/revision": "2"}}}])
def test_a_history_with_a_revision_that_cannot_be_read_is_not_complete(unread: Any) -> None:
    found = history_of(deployment("shop/web:3"), [replica_set(3, "shop/web:3"), unread])
    assert not found.complete
    assert [one.number for one in found.revisions] == [3]


def test_a_paused_roll_out_and_the_limit_are_told() -> None:
    assert history_of(deployment("shop/web:3", paused=True), []).paused
    assert not history_of(deployment("shop/web:3"), []).paused
    assert history_of(deployment("shop/web:3", revisionHistoryLimit=0), []).limit == 0
    assert history_of(deployment("shop/web:3"), []).limit == 10


def test_a_manifest_with_nothing_in_it_is_no_error() -> None:
    found = history_of({}, [{}, None])
    assert (found.live, found.number, found.revisions, found.complete) == ("", None, (), False)


def test_every_config_that_a_pod_needs_is_found_and_an_unversioned_one_is_known_as_such() -> None:
    spec = {
        "volumes": [
            {"configMap": {"name": "web-config-v003"}},
            {"secret": {"secretName": "tls", "optional": True}},
            {"projected": {"sources": [{"configMap": {"name": "features"}}, {"secret": {"name": "token-v001"}}]}},
            None,
        ],
        "initContainers": [{"envFrom": [{"secretRef": {"name": "tls"}}]}],
        "containers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "features", "optional": True}}}, {"value": "x"}]}],
        "imagePullSecrets": [{"name": "pull"}],
    }
    found = {(one.kind, one.name): one for one in configs_in({"spec": spec})}
    assert set(found) == {("ConfigMap", "web-config-v003"), ("Secret", "tls"), ("ConfigMap", "features"), ("Secret", "token-v001"), ("Secret", "pull")}
    assert {one.name for one in found.values() if one.versioned} == {"web-config-v003", "token-v001"}
    assert found["Secret", "tls"] == Config(kind="Secret", name="tls"), "an init container needs it strictly"
    assert not found["ConfigMap", "features"].optional
    assert {one.name for one in found.values() if not one.read} == {"pull"}
    assert found["Secret", "tls"].spoken == "secret tls"


def test_the_keys_without_which_a_pod_does_not_start_are_those_that_are_named_one_by_one_and_not_optional() -> None:
    def key(name: str, key: str, **more: Any) -> dict[str, Any]:
        return {"name": key, "valueFrom": {"configMapKeyRef": {"name": name, "key": key, **more}}}

    volumes = [
        {"configMap": {"name": "settings", "items": [{"key": "app.ini", "path": "x"}, None]}},
        {"secret": {"secretName": "tls", "items": [{"key": "crt"}]}},
    ]
    env = [key("settings", "TIMEOUT"), key("settings", "MAYBE", optional=True), {"valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]
    spec = {"volumes": volumes, "containers": [{"env": env, "envFrom": [{"configMapRef": {"name": "all"}}]}], "imagePullSecrets": [{"name": "tls"}]}
    found = {one.name: one for one in configs_in({"spec": spec})}
    assert {name: one.keys for name, one in found.items()} == {"settings": ("app.ini", "TIMEOUT"), "tls": ("crt",), "db": ("password",), "all": ()}
    assert found["tls"].read, "one that also pulls images is read all the same"


def test_an_address_is_exactly_two_words() -> None:
    assert ManifestAddress.spoken_in("k8s", "ns", "deployment web") == WEB
    assert ManifestAddress.spoken_in("k8s", "ns", "deployment") is None
    assert ManifestAddress.spoken_in("k8s", "ns", "deployment web 2") is None
    assert ManifestAddress.spoken_in("", "ns", "deployment web") is None
    assert WEB.object == ObjectRef(group="apps", kind="Deployment", namespace="ns", name="web")
    assert ManifestAddress("k8s", "ns", "statefulSet", "db").can_undo
    assert not ManifestAddress("k8s", "ns", "configMap", "web").can_undo


def test_the_cached_list_names_the_replica_sets_and_its_silence_proves_nothing() -> None:
    recorded = next(body for body in answers("08a-search-redis", "/applications/") if body and isinstance(body, list) and "serverGroups" in body[0])
    assert replica_sets_of(recorded, WEB) == ("web-1", "web-3", "web-4")
    assert replica_sets_of(recorded, ManifestAddress("k8s", "other", "deployment", "web")) is None
    assert replica_sets_of(recorded, ManifestAddress("prod", "ns", "deployment", "web")) is None
    assert replica_sets_of(None, WEB) is None


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ({"stable": True, "available": True}, "Healthy"),
        ({"stable": True}, "Healthy"),
        ({"stable": True, "available": False}, "Degraded"),
        ({"stable": False}, "Progressing"),
        ({"stable": False, "failed": True}, "Degraded"),
        ({"stable": True, "paused": True}, "Suspended"),
        ({}, "Unknown"),
        ({"stable": "yes"}, "Unknown"),
    ],
)
def test_the_flags_of_a_manifest_are_one_word(flags: dict[str, Any], word: str) -> None:
    assert health_of({name: {"state": state, "message": None} for name, state in flags.items()}) == word


def test_the_recorded_manifest_is_healthy_and_at_revision_four() -> None:
    body = answers("11a-undo-success", "/manifests/")[0]
    found = history_of(body["manifest"], [])
    assert health_of(body["status"]) == "Healthy"
    assert found.number == 4
    assert warnings_of(body) == ()
