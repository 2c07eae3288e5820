from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain import keys
from service.domain.derived import built_from, content_keys, content_of, doubt, listed, moment, span, together
from service.domain.difference import Content, Rendered
from service.domain.facts import Absent, Key
from service.domain.model import Image, Source, Way
from service.domain.verdict import Answer, blocks, passes, unknown, warns
from tests.unit.service.domain import made

A, B = made.known(1, what="a").evidence, made.known(2, what="b").evidence


def test_together_the_worst_answer_speaks_and_all_evidence_is_kept() -> None:
    joined = together((passes("Yes.", A), blocks("No.", B, clears="Ask.", instead=Way.HOTFIX), warns("Perhaps.", A, clears="Look.", adds=("Do it.",))))
    assert (joined.answer, joined.says, joined.clears, joined.instead) == (Answer.BLOCK, "No.", "Ask.", Way.HOTFIX)
    assert (joined.evidence, joined.adds) == ((A, B), ("Do it.",))


def test_together_equals_are_said_once_and_silence_is_not_said() -> None:
    joined = together((unknown("Who knows.", clears="Ask."), unknown("Who knows.", clears="Ask."), unknown("Nobody.", clears="Look."), passes("")))
    assert (joined.says, joined.clears) == ("Who knows. Nobody.", "Ask. Look.")


def test_together_blocks_can_be_overridden_only_if_each_of_them_can() -> None:
    risky, never = blocks("It may break.", clears="a", overridable=True), blocks("No.", clears="b")
    assert together((risky, passes(""))).overridable
    assert together((risky, risky)).overridable
    assert not together((risky, never)).overridable
    assert not together((passes(""), passes(""))).overridable


def test_together_nothing_is_unknown() -> None:
    assert together(()).answer is Answer.UNKNOWN


def test_a_doubt_gives_the_facts_reason_and_prefers_its_way_out() -> None:
    assert doubt("It is unknown", Absent("the server said 403"), clears="Ask.") == unknown("It is unknown: the server said 403.", clears="Ask.")
    assert doubt("It is unknown", Absent("the server said 403", clears="Grant it."), A, clears="Ask.").clears == "Grant it."


@pytest.mark.parametrize(("count", "says"), [(0, ""), (1, "0"), (5, "0, 1, 2, 3, 4"), (7, "0, 1, 2, 3, 4 and 2 more")])
def test_a_list_is_cut_and_counted(count: int, says: str) -> None:
    assert listed(range(count)) == says


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(0, "0 s"), (6, "6 s"), (-6, "6 s"), (60, "1 min"), (330, "5 min 30 s"), (11520, "3 h 12 min"), (187200, "2 d 4 h"), (90061, "1 d 1 h")],
)
def test_a_length_of_time_is_said_in_its_two_largest_units(seconds: int, says: str) -> None:
    assert span(timedelta(seconds=seconds)) == says


def test_a_time_of_another_day_comes_with_its_date() -> None:
    assert moment(made.ONSET, made.NOW) == "14:02:13"
    assert moment(made.ONSET - timedelta(days=1), made.NOW) == "2026-05-03 14:02:13"


# --- what a release is made of -----------------------------------------------------------------------------------------

GOAL = made.GOAL
TODAY = (keys.images(made.TARGET, GOAL.key, GOAL.handle), keys.manifests(made.TARGET, GOAL.key, GOAL.handle))
KEPT = keys.kept_content(made.TARGET, GOAL.key)
BY_TAG = replace(made.OLD_IMAGE, digest=None, proof="")
THEN = Content(images=(BY_TAG,), rendered=(Rendered(object=made.CONFIG_MAP, digest="then"),))


def content(of: made.World) -> Content:
    return content_of(of.case().facts, made.TARGET, GOAL)


def test_what_renders_today_comes_before_what_was_kept() -> None:
    of = made.World().tell(TODAY[0], (made.OLD_IMAGE,)).tell(TODAY[1], ()).tell(KEPT, THEN)
    assert content(of) == Content(images=(made.OLD_IMAGE,), rendered=())


@pytest.mark.parametrize("hidden", [TODAY[:1], TODAY[1:], TODAY])
def test_what_renders_no_more_is_what_it_rendered_to_while_it_lived_with_the_digests_that_ran(hidden: tuple[Key[Any], ...]) -> None:
    of = made.World().tell(TODAY[0], (made.NEW_IMAGE,)).tell(TODAY[1], ()).tell(KEPT, THEN)
    of.tell(made.RECORD_OLD, made.record(GOAL, made.OLD_IMAGE))
    for key in hidden:
        of.hide(key)
    assert content(of) == replace(THEN, images=(made.OLD_IMAGE,))


def test_promise_1_nothing_kept_and_what_moved_since_are_unknown() -> None:
    of = made.World().hide(TODAY[0]).hide(TODAY[1]).hide(KEPT)
    assert content(of) == Content(images=None, rendered=None)
    of.tell(KEPT, THEN).tell(made.RECORD_OLD, replace(made.record(GOAL, None), moved="its tag was moved"))
    assert content(of) == Content(images=None, rendered=None)


def test_what_was_kept_is_asked_for_only_where_nothing_renders_today() -> None:
    rendered, hidden = made.World().tell(TODAY[0], ()).tell(TODAY[1], ()), made.World().hide(TODAY[0])
    assert [KEPT in content_keys(made.TARGET, GOAL, of.case().facts) for of in (rendered, hidden, made.World())] == [False, True, False]
    assert KEPT in content_keys(made.TARGET, GOAL)


CODE = Source(repository=made.REPOSITORY, path="", revision=made.NEW_REVISION)
WEB = Source(repository="registry.example/shop/web", path="", revision=made.NEW_DIGEST)
SIDECAR = Image(reference="registry.example/mesh/proxy:1", digest="sha256:" + "9" * 64, proof="pods")


def test_a_release_comes_from_the_source_that_its_own_images_name_and_from_those_images() -> None:
    assert built_from(made.world().case()) == (CODE, WEB)


def test_an_image_that_says_no_source_still_is_what_the_release_comes_from() -> None:
    silent = keys.ImageConfig(labels={}, revision="", repository="")
    assert built_from(made.world().tell(made.LABELS_NEW, silent).case()) == built_from(made.world().hide(made.LABELS_NEW).case()) == (WEB,)


def test_an_image_that_the_goal_runs_too_tells_nothing_of_where_the_release_comes_from() -> None:
    world = made.world()
    world.tell(keys.image_config(str(SIDECAR.exact)), keys.ImageConfig(labels={}, revision="5" * 40, repository="git.example/mesh"))
    for key, release, image in ((made.RECORD_NEW, made.SUSPECT, made.NEW_IMAGE), (made.RECORD_OLD, made.GOAL, made.OLD_IMAGE)):
        world.tell(key, replace(made.record(release, image), images=(image, SIDECAR)))
    assert built_from(world.case()) == (CODE, WEB)


def test_promise_1_without_both_releases_and_their_exact_images_nobody_says_where_the_release_comes_from() -> None:
    assert built_from(made.world(suspect=None).case()) == built_from(made.world(goal=None).case()) == ()
    assert built_from(made.world().hide(made.RECORD_NEW).hide(made.RENDERED_NEW).case()) == ()
    assert built_from(made.world().hide(made.RECORD_OLD).case()) == ()
