from dataclasses import replace

import pytest

from service.domain import keys
from service.domain.difference import own
from service.domain.rules.release_differs_where_the_bad_one_did import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, forward_world, live_world


def ask(world: World) -> Finding:
    return RULE.ask(world.gathered_case(RULE))


@pytest.mark.parametrize("make", [forward_world, live_world])
def test_a_release_without_anything_that_only_the_held_one_has_passes(make: object) -> None:
    finding = ask(make())  # type: ignore[operator]
    assert finding.answer is Answer.PASS
    assert "compared with release 42 (v2.5.0 · c0ffee0), it differs where the bad release differed" in finding.says


def test_promise_7_a_readme_commit_on_top_of_the_bad_release_is_still_bad() -> None:
    bad = replace(made.NEW_IMAGE, reference=str(made.NEW_IMAGE.exact), proof="reference")
    readme = forward_world().tell(made.DESIRED_IMAGES, (bad,)).tell(made.DESIRED_MANIFESTS, (made.rendered(replicas="3"),))
    finding = ask(readme)
    assert finding.answer is Answer.BLOCK
    assert "it still has all that was bad" in finding.says


def test_promise_7_one_part_of_what_was_bad_is_enough() -> None:
    finding = ask(forward_world().tell(made.DESIRED_MANIFESTS, (made.rendered(replicas="3"),)))
    assert finding.answer is Answer.BLOCK
    assert "it still has apps/Deployment shop/web spec.replicas" in finding.says


def test_promise_7_every_held_release_counts() -> None:
    second = made.held_release(
        key="key-50", release=replace(made.SUSPECT, handle="50", key="key-50"), bad=own(made.content(made.FIX_IMAGE), made.content(made.OLD_IMAGE))
    )
    finding = ask(forward_world().tell(made.HELD, (made.held_release(), second)))
    assert finding.answer is Answer.BLOCK
    assert "compared with release 50" in finding.says


def test_the_held_release_itself_is_a_no_even_where_nothing_can_be_compared() -> None:
    finding = ask(forward_world(goal=replace(made.FIX, key=made.SUSPECT.key)).tell(made.HELD, (made.held_release(bad=None),)))
    assert (finding.answer, "itself is held away" in finding.says) == (Answer.BLOCK, True)


def test_promise_1_a_difference_that_was_never_told_is_unknown() -> None:
    finding = ask(forward_world().tell(made.HELD, (made.held_release(bad=None),)))
    assert finding.answer is Answer.UNKNOWN
    assert "what only release 42 (v2.5.0 · c0ffee0) has is not known yet" in finding.says


def test_promise_1_an_image_by_tag_alone_is_unknown() -> None:
    finding = ask(forward_world().tell(made.DESIRED_IMAGES, (replace(made.FIX_IMAGE, reference="registry.example/shop/web:2.5.1", digest=None, proof=""),)))
    assert finding.answer is Answer.UNKNOWN
    assert "the digest of its image registry.example/shop/web is not known" in finding.says


def test_promise_1_pods_alone_do_not_tell_what_a_live_release_is_made_of() -> None:
    assert ask(live_world().hide(keys.images(made.TARGET, made.FIX.key, "44"))).answer is Answer.UNKNOWN


def test_without_a_release_to_go_to_nothing_is_compared() -> None:
    assert ask(forward_world(goal=None)).answer is Answer.UNKNOWN


EXAMPLES: made.Examples = {
    "the fix has another image": forward_world(),
    "a README commit on top of the bad release": forward_world()
    .tell(made.DESIRED_IMAGES, (replace(made.NEW_IMAGE, reference=str(made.NEW_IMAGE.exact), proof="reference"),))
    .tell(made.DESIRED_MANIFESTS, (made.rendered(replicas="3"),)),
    "its image is named by a tag alone": forward_world().tell(
        made.DESIRED_IMAGES, (replace(made.FIX_IMAGE, reference="registry.example/shop/web:2.5.1", digest=None, proof=""),)
    ),
}
