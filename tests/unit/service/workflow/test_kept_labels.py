from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain import keys
from service.domain.errors import UnavailableError
from service.domain.facts import Absent, Facts, Known
from service.domain.keys import ImageConfig
from service.store.database import Database
from service.store.labels import LabelStore
from service.workflow.kept_labels import KeptLabels
from tests.fakes.clock import FakeClock
from tests.fakes.facts import FakeFacts
from tests.unit.service.workflow.stage import Stage

IMAGE = "registry.example/shop@sha256:" + "a" * 64
KEY = keys.image_config(IMAGE)
SAYS = ImageConfig(labels={}, revision="c" * 40, repository="https://git.example/shop", version="v2")


class Away:
    """A store that cannot be had."""

    async def of(self, image: str, platform: str) -> Known[ImageConfig] | None:
        """Nobody answers."""
        raise UnavailableError(f"the store is away, and so are {image} and {platform}")

    async def keep(self, image: str, platform: str, labels: Known[ImageConfig]) -> None:
        """Nobody takes it."""
        raise UnavailableError(f"the store is away: {image}, {platform} and {labels} are lost")


@pytest.fixture
def clock(stage: Stage) -> FakeClock:
    return stage.clock


@pytest.fixture
def database(stage: Stage) -> Database:
    return stage.database


@pytest.fixture
def registry(clock: FakeClock) -> FakeFacts:
    found = FakeFacts(clock, "image labels")
    found.tell(KEY, SAYS)
    return found


async def test_a_registry_is_asked_once_for_an_image_also_after_a_restart_and_when_it_has_forgotten_it(
    clock: FakeClock, registry: FakeFacts, database: Database
) -> None:
    first = await KeptLabels(source=registry, kept=LabelStore(database), platform="linux/amd64", clock=clock).read(KEY)
    assert isinstance(first, Known)
    registry.tell(KEY, Absent("the registry has no such image"))
    clock.pass_(days=40)
    after = KeptLabels(source=registry, kept=LabelStore(database), platform="linux/amd64", clock=clock)
    again = await after.read(KEY)
    assert isinstance(again, Known)
    assert (again.value, again.evidence) == (SAYS, first.evidence)
    assert Facts({KEY: again}, clock.now() + first.good_for).read(KEY) == again
    assert isinstance(Facts({KEY: again}, clock.now() + first.good_for + timedelta(seconds=1)).read(KEY), Absent)
    assert registry.asked == [KEY]


async def test_another_platform_is_another_image(clock: FakeClock, registry: FakeFacts, database: Database) -> None:
    await KeptLabels(source=registry, kept=LabelStore(database), platform="linux/amd64", clock=clock).read(KEY)
    other = replace(SAYS, revision="d" * 40)
    registry.tell(KEY, other)
    read = await KeptLabels(source=registry, kept=LabelStore(database), platform="linux/arm64", clock=clock).read(KEY)
    assert isinstance(read, Known)
    assert read.value == other


async def test_what_could_not_be_read_is_not_kept(clock: FakeClock, registry: FakeFacts, database: Database) -> None:
    labels = KeptLabels(source=registry, kept=LabelStore(database), platform="linux/amd64", clock=clock)
    registry.tell(KEY, Absent("the registry is away"))
    assert await labels.read(KEY) == Absent("the registry is away")
    registry.tell(KEY, SAYS)
    assert isinstance(await labels.read(KEY), Known)


async def test_a_store_that_is_away_keeps_nobody_from_asking_the_registry(clock: FakeClock, registry: FakeFacts) -> None:
    labels = KeptLabels(source=registry, kept=Away(), platform="linux/amd64", clock=clock)
    assert isinstance(await labels.read(KEY), Known)
    assert isinstance(await labels.read(KEY), Known)
    assert registry.asked == [KEY, KEY]
