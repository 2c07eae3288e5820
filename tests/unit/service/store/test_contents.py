"""What is kept of how a release rendered, for the time when nobody renders it any more."""

from datetime import timedelta

from service.domain.difference import Content, Rendered
from service.domain.model import Image, ObjectRef, TargetId
from service.domain.ports import Listing
from service.store.contents import KEPT
from service.store.database import Database
from service.store.targets import TargetStore
from tests.fakes.clock import START
from tests.fakes.store import TARGET
from tests.unit.service.store.test_targets import listed

CART = TargetId("prod", "cart")
WEB = ObjectRef(group="apps", kind="Deployment", namespace="shop", name="web")


def content(digest: str) -> Content:
    image = Image(reference=f"r/web@sha256:{digest * 64}", digest=f"sha256:{digest * 64}", proof="reference")
    return Content(images=(image,), rendered=(Rendered(object=WEB, digest=digest, fields={"spec.replicas": digest}, hidden=True),))


async def keep(targets: TargetStore, key: str, digest: str, *replaces: str, minutes: int = 0, target: TargetId = TARGET) -> None:
    await targets.keep_content(target, key, content(digest), replaces=replaces, at=START + timedelta(minutes=minutes))


async def test_what_is_kept_comes_back_as_it_was_and_the_last_word_counts(database: Database) -> None:
    targets = TargetStore(database)
    await keep(targets, "a", "1")
    await keep(targets, "a", "2", target=CART)
    await keep(targets, "a", "3", minutes=1)
    assert (await targets.content(TARGET, "a"), await targets.content(CART, "a")) == (content("3"), content("2"))
    assert await targets.content(TARGET, "b") is None


async def test_what_can_be_rendered_as_long_as_the_new_one_is_kept_no_longer(database: Database) -> None:
    targets = TargetStore(database)
    await keep(targets, "a", "1")
    await keep(targets, "b", "2")
    await keep(targets, "c", "3", "a", minutes=1)
    assert [await targets.content(TARGET, key) is not None for key in "abc"] == [False, True, True]


async def test_only_the_newest_are_kept(database: Database) -> None:
    targets = TargetStore(database)
    keys = [f"k{number}" for number in range(KEPT + 2)]
    for number, key in enumerate(keys):
        await keep(targets, key, "1", minutes=number)
    assert [key for key in keys if await targets.content(TARGET, key)] == keys[-KEPT:]


async def test_with_its_target_goes_what_was_kept_of_it(database: Database) -> None:
    targets = TargetStore(database)
    await targets.remember(Listing(targets=(listed(),), complete=True), "prod", START)
    await keep(targets, "a", "1")
    await targets.remember(Listing(targets=(), complete=True), "prod", START + timedelta(minutes=1))
    assert await targets.content(TARGET, "a") is None
