import pytest

from service.domain.left_behind import DATABASE_GROUPS, HARMLESS, HOLDS_DATA, WORKS_ON, Nature, holds_data, nature
from service.domain.model import ObjectRef


def one(group: str, kind: str) -> ObjectRef:
    return ObjectRef(group=group, kind=kind, namespace="shop", name="it")


@pytest.mark.parametrize(
    ("group", "kind", "expected"),
    [
        ("batch", "CronJob", Nature.WORKS),
        ("autoscaling", "HorizontalPodAutoscaler", Nature.WORKS),
        ("apps", "StatefulSet", Nature.WORKS),
        ("", "PersistentVolumeClaim", Nature.DATA),
        ("apiextensions.k8s.io", "CustomResourceDefinition", Nature.DATA),
        ("postgresql.cnpg.io", "Cluster", Nature.DATA),
        ("", "ConfigMap", Nature.IDLE),
        ("", "Service", Nature.IDLE),
        ("example.com", "ConfigMap", Nature.STRANGE),
        ("", "Widget", Nature.STRANGE),
    ],
)
def test_what_it_means_that_an_object_stays_follows_from_its_kind(group: str, kind: str, expected: Nature) -> None:
    assert nature(one(group, kind)) is expected


def test_no_kind_is_harmless_and_holds_data() -> None:
    assert set() == HARMLESS & HOLDS_DATA
    assert {group for group, _ in HARMLESS | WORKS_ON} & DATABASE_GROUPS == set()


def test_what_works_and_holds_data_is_still_known_to_hold_data() -> None:
    assert holds_data(one("apps", "StatefulSet"))
    assert not holds_data(one("apps", "Deployment"))
