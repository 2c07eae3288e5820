import json

import pytest

from integrations import manifests
from integrations.manifests import digest, fields_of, shown, shown_text, untold
from service.domain.model import Json


def test_equal_values_have_equal_digests_in_any_order() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": "1"})


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        ({"a": {"b": 1}, "c": []}, {"a.b", "c"}),
        (
            {"ports": [{"name": "http", "port": 1}, {"name": "admin", "port": 2}]},
            {"ports[http].name", "ports[http].port", "ports[admin].name", "ports[admin].port"},
        ),
        ({"rules": [{"host": "a"}, {"host": "b"}]}, {"rules[0].host", "rules[1].host"}),
        ({"spec": {"containers": [{"name": "c", "image": "x", "args": ["a"]}]}}, {"spec.containers[c].name", "spec.containers[c].args"}),
    ],
)
def test_each_value_has_its_path_and_images_of_containers_have_none(value: Json, paths: set[str]) -> None:
    assert {path for path, _ in fields_of(value)} == paths


def test_what_is_named_like_a_secret_is_not_shown_wherever_it_stands() -> None:
    env = [{"name": "API_KEY", "value": "hunter2"}, {"name": "MODE", "value": "fast"}]
    config = {
        "metadata": {"managedFields": [1], "annotations": {manifests.LAST_APPLIED: "x"}},
        "data": {"password": "hunter2", "app.ini": "token = hunter2"},
        "env": env,
    }
    text = shown(config)
    assert "hunter2" not in text
    assert {"managedFields", manifests.LAST_APPLIED}.isdisjoint(json.loads(text)["metadata"] | json.loads(text)["metadata"]["annotations"])
    assert "fast" in text


def test_a_log_keeps_its_end_and_loses_its_secrets() -> None:
    assert untold("user=me password: hunter2 ok") == "user=me password: [removed] ok"
    long = shown_text("x" * manifests.TEXT + " the end")
    assert (len(long), long.endswith("the end")) == (manifests.TEXT, True)
