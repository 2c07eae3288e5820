from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain.facts import Evidence, Known
from service.domain.keys import ImageConfig
from service.store.database import Database
from service.store.labels import LONGEST, LabelStore
from tests.unit.service.domain import made

IMAGE, PLATFORM = "registry.example/shop@sha256:" + "a" * 64, "linux/amd64"
LABELS = Known(
    value=ImageConfig(labels={"org.example.team": "Käse"}, revision="c" * 40, repository="https://git.example/shop", version="v2"),
    evidence=Evidence(source="registry registry.example", what="configuration aaaa of shop", read_at=made.NOW, digest="sha256:" + "b" * 64),
    good_for=timedelta(days=1),
)


@pytest.fixture
def labels(database: Database) -> LabelStore:
    return LabelStore(database)


async def test_labels_come_back_with_their_evidence_for_that_image_and_platform_alone(labels: LabelStore) -> None:
    assert await labels.of(IMAGE, PLATFORM) is None
    await labels.keep(IMAGE, PLATFORM, LABELS)
    assert await labels.of(IMAGE, PLATFORM) == LABELS
    assert await labels.of(IMAGE, "linux/arm64") is None
    assert await labels.of(IMAGE.replace("a" * 64, "d" * 64), PLATFORM) is None
    again = replace(LABELS, evidence=replace(LABELS.evidence, read_at=made.NOW + timedelta(hours=1)))
    await labels.keep(IMAGE, PLATFORM, again)
    assert await labels.of(IMAGE, PLATFORM) == again


@pytest.mark.parametrize("told", ["postgres://shop:hunter2@db.example/shop", "x" * LONGEST])
async def test_what_looks_like_a_secret_and_what_is_too_long_is_not_kept(labels: LabelStore, told: str) -> None:
    await labels.keep(IMAGE, PLATFORM, replace(LABELS, value=replace(LABELS.value, labels={"org.example.about": told})))
    assert await labels.of(IMAGE, PLATFORM) is None


async def test_what_was_read_long_ago_goes(labels: LabelStore) -> None:
    other = IMAGE.replace("a" * 64, "d" * 64)
    await labels.keep(IMAGE, PLATFORM, LABELS)
    await labels.keep(other, PLATFORM, replace(LABELS, evidence=replace(LABELS.evidence, read_at=made.NOW + timedelta(days=1))))
    await labels.forget(made.NOW + timedelta(days=1))
    assert await labels.of(IMAGE, PLATFORM) is None
    assert await labels.of(other, PLATFORM) is not None
