from dataclasses import replace

import pytest

from service.domain.difference import Content, Likeness, Own, Rendered, changed, digests, fingerprint, leftovers, own, recognise
from service.domain.model import Image, ObjectRef

WEB = ObjectRef(group="apps", kind="Deployment", namespace="shop", name="web")
FLAGS = ObjectRef(group="", kind="ConfigMap", namespace="shop", name="flags")
CRON = ObjectRef(group="batch", kind="CronJob", namespace="shop", name="sweep")
SECRET = ObjectRef(group="", kind="Secret", namespace="shop", name="key")


def image(digit: str, *, tag: str = "1.0", known: bool = True) -> Image:
    return Image(reference=f"registry.example/web:{tag}", digest="sha256:" + digit * 64 if known else None, proof="pods" if known else "")


def rendered(ref: ObjectRef, *, hidden: bool = False, **fields: str) -> Rendered:
    return Rendered(object=ref, digest=str(sorted(fields.items())), fields=fields, hidden=hidden)


def content(*images: Image, **objects: Rendered) -> Content:
    return Content(images=images, rendered=tuple(objects.values()))


GOOD = content(image("3"), web=rendered(WEB, replicas="2", debug="off"), flags=rendered(FLAGS, colour="blue"))
BAD = content(image("4"), web=rendered(WEB, replicas="2", debug="on"), flags=rendered(FLAGS, colour="blue"), cron=rendered(CRON, schedule="hourly"))
BAD_OWN = own(BAD, GOOD)


def words(of: Own) -> set[str]:
    return {str(one) for one in of.traits}


def test_what_a_release_has_that_another_has_not_is_images_fields_and_objects() -> None:
    assert words(BAD_OWN) == {
        f"registry.example/web@{image('4').digest}",
        "apps/Deployment shop/web debug",
        "batch/CronJob shop/sweep",
        "batch/CronJob shop/sweep schedule",
    }
    assert BAD_OWN.doubts == ()
    assert BAD_OWN.says.startswith("registry.example/web@sha256:4444")


def test_what_a_release_lacks_counts_as_its_own_too() -> None:
    assert words(own(GOOD, BAD)) >= {"batch/CronJob shop/sweep (left out)", "apps/Deployment shop/web debug"}


def test_two_releases_of_equal_content_differ_in_nothing() -> None:
    same = own(BAD, BAD)
    assert (same.traits, same.doubts, same.says) == (frozenset(), (), "nothing differs")


def test_promise_7_a_commit_that_changes_nothing_else_is_still_the_bad_release() -> None:
    found = recognise(BAD, BAD_OWN)
    assert (found.likeness, found.shed) == (Likeness.SAME, ())
    assert "still has all that was bad" in found.says


def test_promise_7_another_tag_of_the_same_image_is_still_the_bad_image() -> None:
    only_image = own(replace(GOOD, images=(image("4"),)), GOOD)
    assert recognise(replace(GOOD, images=(image("4", tag="1.0.1-fix"),)), only_image).likeness is Likeness.SAME


def test_a_fix_differs_where_the_bad_release_differed() -> None:
    fix = content(image("5"), web=rendered(WEB, replicas="3", debug="off"), flags=rendered(FLAGS, colour="red"))
    found = recognise(fix, BAD_OWN)
    assert (found.likeness, found.kept) == (Likeness.NONE, ())
    assert "differs where the bad release differed" in found.says


def test_a_candidate_with_a_new_image_that_keeps_the_rest_is_told_apart() -> None:
    found = recognise(replace(BAD, images=(image("5"),)), BAD_OWN)
    assert found.likeness is Likeness.PARTLY
    assert {str(one) for one in found.shed} == {f"registry.example/web@{image('4').digest}"}
    assert "apps/Deployment shop/web debug" in {str(one) for one in found.kept}


def test_a_field_that_the_bad_release_left_out_is_back_in_a_fix() -> None:
    bad = content(image("3"), web=rendered(WEB, replicas="2"), flags=rendered(FLAGS, colour="blue"))
    found = own(bad, GOOD)
    assert words(found) == {"apps/Deployment shop/web debug (left out)"}
    assert recognise(GOOD, found).likeness is Likeness.NONE
    assert recognise(bad, found).likeness is Likeness.SAME


@pytest.mark.parametrize(
    "candidate",
    [
        Content(images=None, rendered=GOOD.rendered),
        Content(images=(image("5"),), rendered=None),
        replace(GOOD, images=(image("5", known=False),)),
    ],
    ids=["no images", "no manifests", "a tag that nobody resolved"],
)
def test_promise_1_a_candidate_that_cannot_be_seen_whole_is_unknown(candidate: Content) -> None:
    assert recognise(candidate, BAD_OWN).likeness is Likeness.UNKNOWN


def test_what_was_found_kept_is_kept_whatever_else_cannot_be_seen() -> None:
    assert recognise(Content(images=None, rendered=BAD.rendered), BAD_OWN).likeness is Likeness.SAME
    assert recognise(Content(images=(image("4"),), rendered=None), BAD_OWN).likeness is Likeness.SAME


def test_promise_1_a_bad_image_without_a_digest_is_not_told_from_another_tag() -> None:
    tagged = own(replace(GOOD, images=(image("4", tag="1.1", known=False),)), GOOD)
    assert recognise(replace(GOOD, images=(image("5", tag="1.2"),)), tagged).likeness is Likeness.UNKNOWN
    assert recognise(replace(GOOD, images=(image("4", tag="1.1", known=False),)), tagged).likeness is Likeness.SAME
    elsewhere = Image(reference="registry.example/other:1", digest="sha256:" + "5" * 64, proof="pods")
    assert recognise(replace(GOOD, images=(elsewhere,)), tagged).likeness is Likeness.NONE


@pytest.mark.parametrize("part", ["images", "rendered"])
def test_promise_1_without_a_part_of_the_bad_release_nothing_is_free_of_it(part: str) -> None:
    half = own(replace(BAD, **{part: None}), GOOD)
    assert half.doubts
    assert recognise(GOOD, half).likeness is Likeness.UNKNOWN


def test_promise_1_a_bad_release_that_differs_in_nothing_visible_is_recognised_in_nothing() -> None:
    secret = rendered(SECRET, hidden=True, data="masked")
    whole = own(content(image("3"), key=secret), content(image("3"), key=secret))
    found = recognise(GOOD, whole)
    assert found.likeness is Likeness.UNKNOWN
    assert f"values of {SECRET} are masked" in found.says
    assert "values of Secret shop/key are masked" in whole.says


def test_leftovers_are_the_objects_that_only_the_suspect_renders() -> None:
    assert leftovers(BAD, GOOD) == (CRON,)
    assert leftovers(GOOD, BAD) == ()
    assert leftovers(replace(BAD, rendered=None), GOOD) is None
    assert leftovers(BAD, replace(GOOD, rendered=None)) is None


OBJECTS = digests(GOOD.rendered or ())


def test_a_fingerprint_is_of_content_and_not_of_names() -> None:
    assert fingerprint(GOOD.images, OBJECTS).startswith("sha256:")
    assert fingerprint((image("3", tag="2.0"),), OBJECTS) == fingerprint(GOOD.images, OBJECTS)
    assert fingerprint((image("4"),), OBJECTS) != fingerprint(GOOD.images, OBJECTS)
    assert fingerprint(GOOD.images, digests(BAD.rendered or ())) != fingerprint(GOOD.images, OBJECTS)
    assert fingerprint(GOOD.images, OBJECTS[::-1]) == fingerprint(GOOD.images, OBJECTS)


@pytest.mark.parametrize("images", [None, (image("3", known=False),)])
def test_promise_1_there_is_no_fingerprint_of_what_is_not_known(images: tuple[Image, ...] | None) -> None:
    assert fingerprint(images, OBJECTS) == ""
    assert fingerprint(GOOD.images, None) == ""


def test_the_same_release_rendered_twice_shows_what_changed_under_it() -> None:
    before, now = OBJECTS, digests(BAD.rendered or ())
    assert changed(before, before) == ()
    assert changed(before, now) == (WEB, CRON)
    assert changed(now, before) == (WEB, CRON)
