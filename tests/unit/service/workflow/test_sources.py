from dataclasses import replace
from typing import Any

from service.domain import keys
from service.domain.facts import Absent, Key, Known
from service.workflow.gather import Gatherer
from service.workflow.sources import LiveSources, live_sources
from tests.fakes.clock import FakeClock
from tests.fakes.facts import FakeFacts
from tests.unit.service.domain import made

LABELS = keys.image_config(str(made.NEW_IMAGE.exact))


async def asked(changed: dict[Key[Any], Any] | None = None) -> LiveSources:
    """The good world's answers with some changed, where 42 is live."""
    clock = FakeClock(made.NOW)
    facts = FakeFacts(clock)
    for key, fact in {**made.world().answers, **(changed or {})}.items():
        facts.tell(key, fact.value if isinstance(fact, Known) else fact)
    return await live_sources(Gatherer(deliveries={}, sources=(facts,), clock=clock), made.TARGET)


def value(key: Key[Any]) -> Any:
    """What the good world answers."""
    fact = made.world().answers[key]
    assert isinstance(fact, Known)
    return fact.value


async def test_each_image_of_what_is_live_is_told_with_its_commit() -> None:
    found = await asked()
    assert (found.release, found.why) == (made.SUSPECT, "")
    assert [(one.image.exact, one.revision, one.why) for one in found.images] == [(made.NEW_IMAGE.exact, made.NEW_REVISION, "")]
    assert found.images[0].repository


async def test_promise_1_what_the_registry_or_the_labels_do_not_say_is_not_known() -> None:
    (hidden,) = (await asked({LABELS: Absent("the registry refused")})).images
    assert (hidden.revision, hidden.why) == ("", "the registry refused")
    (silent,) = (await asked({LABELS: replace(value(made.LABELS_NEW), revision="")})).images
    assert (silent.revision, silent.why) == ("", "the image does not say which source revision it was built from")


async def test_promise_1_while_it_is_not_settled_what_lives_nothing_is_told() -> None:
    found = await asked({made.STATE: replace(value(made.STATE), settled=False)})
    assert (found.images, found.why) == ((), "which release is live is not settled")
    assert (await asked({made.STATE: Absent("away")})).why == "what is live is not known: away"


async def test_without_digests_that_count_no_image_is_named() -> None:
    found = await asked({made.RECORD_NEW: Absent("never seen"), made.RENDERED_NEW: Absent("cannot be rendered")})
    assert found.images == ()
    assert "cannot be rendered" in found.why
