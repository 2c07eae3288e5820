from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain import grouping
from service.domain.grouping import BEGAN_TOGETHER, LIVE_TOGETHER, Burning, one_cause, same_cause
from service.domain.model import Release, Source, TargetId
from tests.unit.service.domain import made

SECOND = timedelta(seconds=1)
CART = TargetId("prod", "cart")
ELSEWHERE = TargetId("eu", "cart")


def burning(target: TargetId = made.TARGET, suspect: Release = made.SUSPECT, **changes: object) -> Burning:
    one = Burning(incident_id=f"inc_{target}", group_id=f"inc_{target}", target=target, opened_at=made.NOW, began_at=made.BEGAN, suspect=suspect)
    return replace(one, **changes)  # type: ignore[arg-type]


def other_release(*, after: timedelta = timedelta(0), revision: str = "f" * 40) -> Release:
    """A release of another commit, gone live so long after the suspect of checkout."""
    sources = tuple(replace(one, revision=revision) for one in made.SUSPECT.sources)
    return replace(made.SUSPECT, key="other", sources=sources, started_at=made.SUSPECT.started_at + after)


HOURS_LATER = timedelta(hours=3)


def test_one_revision_of_one_repository_is_one_cause_wherever_and_whenever_it_went_live() -> None:
    later = replace(made.SUSPECT, started_at=made.SUSPECT.started_at + HOURS_LATER)
    assert one_cause(burning(), burning(ELSEWHERE, later)) == "their suspect releases come from one revision, c0ffee0"


def test_the_same_revision_of_another_repository_is_none() -> None:
    sources = tuple(replace(one, repository="https://git.example/other") for one in made.SUSPECT.sources)
    assert one_cause(burning(), burning(ELSEWHERE, replace(made.SUSPECT, sources=sources))) == ""


def test_promise_1_two_revisions_that_nobody_knows_are_not_the_same() -> None:
    unknown = replace(made.SUSPECT, sources=(Source(repository="https://git.example/shop", path="", revision=""),))
    assert one_cause(burning(suspect=unknown), burning(ELSEWHERE, unknown)) == ""


SPIN = TargetId("spin", "prod/shop/deployment/web")
CODE = Source(repository="git.example/shop/web", path="", revision="9c1e2ab" + "0" * 33)
IMAGE = Source(repository="registry.example/shop/web", path="", revision="sha256:" + "4" * 64)


@pytest.mark.parametrize(
    ("shared", "why"),
    [
        (CODE, "their suspect releases come from one revision, 9c1e2ab"),
        (IMAGE, "their suspect releases have one image, registry.example/shop/web@sha256:4444444"),
    ],
)
def test_what_their_images_were_built_from_joins_releases_of_two_delivery_systems(shared: Source, why: str) -> None:
    template = (Source(repository="spinnaker:prod", path="shop/deployment web", revision="7" * 64),)
    deployment = replace(made.SUSPECT, target=SPIN, key="template", sources=template, started_at=made.STARTED + HOURS_LATER)
    application = replace(made.SUSPECT, built_from=(shared,))
    assert one_cause(burning(suspect=application), burning(SPIN, deployment)) == ""
    assert one_cause(burning(suspect=application), burning(SPIN, replace(deployment, built_from=(shared,)))) == why


def test_an_application_of_the_repository_itself_has_the_cause_of_an_image_that_was_built_from_it() -> None:
    application = replace(made.SUSPECT, sources=(replace(CODE, path="deploy"),))
    deployment = replace(made.SUSPECT, target=SPIN, sources=(), built_from=(CODE,), started_at=made.STARTED + HOURS_LATER)
    assert one_cause(burning(suspect=application), burning(SPIN, deployment)) == one_cause(burning(SPIN, deployment), burning(suspect=application)) != ""


@pytest.mark.parametrize(("after", "joined"), [(LIVE_TOGETHER, True), (-LIVE_TOGETHER, True), (LIVE_TOGETHER + SECOND, False)])
def test_releases_that_went_live_together_in_one_instance_are_one_cause(after: timedelta, joined: bool) -> None:
    assert bool(one_cause(burning(), burning(CART, other_release(after=after)))) is joined


def test_it_says_how_far_apart_they_went_live() -> None:
    assert one_cause(burning(), burning(CART, other_release(after=40 * SECOND))) == "their suspect releases went live 40 s apart in prod"


def test_releases_that_went_live_together_in_two_instances_are_not() -> None:
    assert one_cause(burning(), burning(ELSEWHERE, other_release())) == ""


@pytest.mark.parametrize(("later", "joined"), [(BEGAN_TOGETHER, True), (BEGAN_TOGETHER + SECOND, False)])
def test_alerts_that_began_far_apart_have_two_causes(later: timedelta, joined: bool) -> None:
    assert bool(one_cause(burning(), burning(CART, began_at=made.BEGAN + later))) is joined
    assert bool(one_cause(burning(CART, began_at=made.BEGAN + later), burning())) is joined


def test_an_incident_is_not_its_own_company() -> None:
    assert same_cause(burning(), [burning()]) == ()


def test_what_was_joined_stays_joined_when_its_suspect_changes() -> None:
    moved = burning(CART, other_release(after=HOURS_LATER), group_id="inc_prod:checkout")
    assert same_cause(burning(), [burning(), moved]) == ((moved, "they were joined before"),)


def test_the_sentence_counts_and_names_the_others() -> None:
    some = [burning(TargetId("prod", f"web{number}")) for number in range(7)]
    why = "their suspect releases come from one revision, c0ffee0"
    assert grouping.says(same_cause(burning(), some[:1])) == f"1 other target burns for the same cause ({why}): prod:web0."
    assert grouping.says(same_cause(burning(), some[:2])) == f"2 other targets burn for the same cause ({why}): prod:web0, prod:web1."
    assert grouping.says(same_cause(burning(), some)).endswith("prod:web4 and 2 more.")
    assert grouping.says(()) == ""
