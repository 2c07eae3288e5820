from typing import Any

from integrations import rendering
from integrations.rendering import rendered_of
from service.domain.difference import Rendered
from service.domain.model import ObjectRef

SHA, OTHER = "c0ffee0" + "1" * 33, "beef000" + "2" * 33


def manifest(kind: str = "ConfigMap", name: str = "flags", *, api: str = "v1", metadata: dict[str, Any] | None = None, **body: Any) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, **(metadata or {})}, **body}


def pods(image: str, *containers: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    every = [{"name": "main", "image": image}, *containers]
    return manifest("Deployment", "web", api="apps/v1", spec={"template": {"metadata": metadata, "spec": {"containers": every}}})


def one(body: dict[str, Any], *, revisions: tuple[str, ...] = (SHA,), own: tuple[ObjectRef, ...] = ()) -> Rendered:
    (found,) = rendered_of([body], own=own, destination="shop", revisions=revisions)
    return found


def test_an_object_is_named_with_the_namespace_that_it_lives_in() -> None:
    assert str(one(manifest()).object) == "ConfigMap shop/flags"
    assert str(one(manifest(metadata={"namespace": "far"})).object) == "ConfigMap far/flags"
    role = ObjectRef(group="rbac.authorization.k8s.io", kind="ClusterRole", namespace="", name="r")
    assert one(manifest("ClusterRole", "r", api="rbac.authorization.k8s.io/v1"), own=(role,)).object == role


def test_no_value_is_kept_and_each_field_has_a_digest_of_its_own() -> None:
    before, now = one(manifest(data={"password": "hunter2", "colour": "blue"})), one(manifest(data={"password": "hunter3", "colour": "blue"}))
    assert "hunter" not in repr((before, now))
    assert before.digest != now.digest
    assert {path for path in before.fields if before.fields[path] != now.fields[path]} == {"data.password"}


def test_of_a_secret_not_even_digests_of_values_are_made() -> None:
    before, now = (one(manifest("Secret", "key", data={"token": value}, stringData={"more": value})) for value in ("aaa", "bbb"))
    assert before == now
    assert before.hidden
    assert "data.token" in before.fields
    assert not one(manifest()).hidden


def test_what_argo_cd_adds_is_no_difference() -> None:
    marks = {"argocd.argoproj.io/tracking-id": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    assert one(manifest(metadata={"annotations": marks, "creationTimestamp": None}, status={"x": 1})) == one(manifest())
    assert one(manifest(metadata={"annotations": {"team": "a"}})) != one(manifest())


def test_a_manifest_that_names_its_own_revision_is_the_same_in_the_next_commit() -> None:
    for length in (40, 12, 8, 7):
        before = one(manifest(metadata={"annotations": {"commit": SHA[:length]}}), revisions=(SHA,))
        now = one(manifest(metadata={"annotations": {"commit": OTHER[:length]}}), revisions=(OTHER,))
        assert before == now
    assert one(manifest(metadata={"annotations": {"commit": SHA}}), revisions=("1.2.3",)) != one(manifest(metadata={"annotations": {"commit": OTHER}}))


def test_the_image_of_a_container_counts_in_the_whole_and_not_as_a_field() -> None:
    before, now = one(pods("web:1")), one(pods("web:2"))
    assert before.digest != now.digest
    assert before.fields == now.fields
    assert "spec.template.spec.containers[main].name" in before.fields


def test_a_container_that_is_put_in_front_moves_no_other() -> None:
    more = pods("web:1")
    more["spec"]["template"]["spec"]["containers"].insert(0, {"name": "proxy", "image": "proxy:1", "env": [{"name": "PORT", "value": "1"}]})
    added = one(more).fields.keys() - one(pods("web:1")).fields.keys()
    assert added == {"spec.template.spec.containers[proxy].name", "spec.template.spec.containers[proxy].env[PORT].name"} | {
        "spec.template.spec.containers[proxy].env[PORT].value"
    }
    assert one(more).fields.items() >= one(pods("web:1")).fields.items()


def test_lists_of_nameless_things_go_by_place_and_lists_of_words_as_a_whole() -> None:
    fields = one(manifest(spec={"rules": [{"host": "a"}, {"host": "b"}], "args": ["x", "y"], "empty": {}})).fields
    assert {"spec.rules[0].host", "spec.rules[1].host", "spec.args", "spec.empty"} <= fields.keys()


def test_a_huge_object_is_one_field() -> None:
    big = manifest("CustomResourceDefinition", data={str(n): n for n in range(rendering.FIELDS_KEPT + 1)})
    other = manifest("CustomResourceDefinition", data={str(n): n + 1 for n in range(rendering.FIELDS_KEPT + 1)})
    assert one(big).fields.keys() == {"(all)"}
    assert one(big).fields != one(other).fields


def test_a_manifest_tells_names_versions_and_sizes_and_no_value() -> None:
    body = pods("web:1", {"name": "two", "image": "two:1", "envFrom": [{"secretRef": {"name": "pay"}}, {"configMapRef": {"name": "a", "optional": True}}]})
    found = one(body).facets
    assert found is not None
    assert (found.images, found.refers, found.hook, found.kept) == (("web:1", "two:1"), (("Secret", "pay"),), False, False)
    secret = one(manifest("Secret", "key", immutable=True, data={"token": "hunter2"}, metadata={"annotations": {"helm.sh/resource-policy": "keep"}})).facets
    assert secret is not None
    assert (secret.frozen, secret.kept, "hunter2" in repr(secret)) == (True, True, False)


def test_a_size_is_read_in_bytes_or_not_at_all() -> None:
    def size(text: Any) -> int | None:
        facets = one(manifest("PersistentVolumeClaim", "a", spec={"resources": {"requests": {"storage": text}}})).facets
        return facets.asks if facets else None

    assert [size(text) for text in ("10Gi", "1k", "5", 5, "1.5Gi", "", None, "1Zi")] == [10 * 2**30, 1000, 5, 5, None, None, None, None]
