from dataclasses import replace

import pytest

from service.domain import keys
from service.domain.model import Image, Way
from service.domain.rules.goal_images_exist import RULE
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made
from tests.unit.service.domain.made import World, world

WORKER_DIGEST = "sha256:" + "5" * 64
WORKER = Image(reference="registry.example/shop/worker:2.4.6", digest=WORKER_DIGEST, proof="pods")
WORKER_MANIFEST = keys.manifest(f"registry.example/shop/worker@{WORKER_DIGEST}")


def ask(of: World) -> Finding:
    return RULE.ask(of.gathered_case(RULE))


def two_images() -> World:
    both = replace(made.record(made.GOAL, None), images=(made.OLD_IMAGE, WORKER))
    return world().tell(made.RECORD_OLD, both).tell(WORKER_MANIFEST, keys.Manifest(digest=WORKER_DIGEST))


def test_an_image_that_is_still_there_passes() -> None:
    finding = ask(world())
    assert finding.answer is Answer.PASS
    assert finding.says == f"The one image of release 41 is still in the registry, by digest: registry.example/shop/web@{made.OLD_DIGEST}."
    assert {one.what for one in finding.evidence} == {str(made.RECORD_OLD), str(made.MANIFEST)}


def test_all_images_have_to_be_there() -> None:
    finding = ask(two_images())
    assert finding.answer is Answer.PASS
    assert finding.says.startswith("All 2 images of release 41 are still in the registry")


def test_one_image_that_is_gone_is_a_no() -> None:
    finding = ask(two_images().tell(WORKER_MANIFEST, keys.Manifest(digest=None)))
    assert (finding.answer, finding.instead) == (Answer.BLOCK, Way.HOTFIX)
    assert finding.says == f"The image registry.example/shop/worker@{WORKER_DIGEST} is no longer in the registry: its pods could not start."


def test_one_image_that_nobody_could_ask_for_is_unknown() -> None:
    finding = ask(two_images().hide(WORKER_MANIFEST))
    assert finding.answer is Answer.UNKNOWN
    assert finding.says == f"Whether registry.example/shop/worker@{WORKER_DIGEST} can still be pulled is unknown: the connection was refused."


def test_an_image_that_is_gone_speaks_before_one_that_is_not_known() -> None:
    finding = ask(two_images().hide(WORKER_MANIFEST).tell(made.MANIFEST, keys.Manifest(digest=None)))
    assert finding.answer is Answer.BLOCK
    assert "shop/web@" in finding.says
    assert "shop/worker@" not in finding.says


def test_a_registry_that_answers_with_another_digest_is_not_understood() -> None:
    assert ask(world().tell(made.MANIFEST, keys.Manifest(digest=made.NEW_DIGEST))).answer is Answer.UNKNOWN


def test_manifests_that_name_digests_stand_in_for_a_record_without_images() -> None:
    rendered = replace(made.OLD_IMAGE, proof="reference")
    finding = ask(world().tell(made.RECORD_OLD, made.record(made.GOAL, None)).tell(made.RENDERED_OLD, (rendered,)))
    assert finding.answer is Answer.PASS
    assert str(made.RENDERED_OLD) in {one.what for one in finding.evidence}


TAG_ONLY = Image(reference="registry.example/shop/web:2.4.6")
LOOKED_UP = Image(reference="registry.example/shop/web:2.4.6", digest=made.OLD_DIGEST, proof="")


@pytest.mark.parametrize(
    "broken",
    [
        world().hide(made.RECORD_OLD).hide(made.RENDERED_OLD),
        world().tell(made.RECORD_OLD, made.record(made.GOAL, None)).hide(made.RENDERED_OLD),
        world().tell(made.RECORD_OLD, made.record(made.GOAL, None)).tell(made.RENDERED_OLD, ()),
        world().tell(made.RECORD_OLD, made.record(made.GOAL, None)).tell(made.RENDERED_OLD, (TAG_ONLY,)),
        world().tell(made.RECORD_OLD, made.record(made.GOAL, LOOKED_UP)).tell(made.RENDERED_OLD, (TAG_ONLY,)),
        world().tell(made.RECORD_OLD, made.record(made.GOAL, TAG_ONLY)).tell(made.RENDERED_OLD, (LOOKED_UP,)),
        world().age(made.RECORD_OLD),
        world().age(made.MANIFEST),
        world(goal=None),
    ],
    ids=["nothing", "no manifests", "no image", "only a tag", "tag looked up today", "tag looked up in manifests", "old record", "old manifest", "no goal"],
)
def test_digests_that_are_not_proven_are_unknown(broken: World) -> None:
    finding = ask(broken)
    assert finding.answer is Answer.UNKNOWN
    assert finding.clears


def test_every_image_without_a_digest_is_named() -> None:
    finding = ask(world().tell(made.RECORD_OLD, made.record(made.GOAL, TAG_ONLY)).tell(made.RENDERED_OLD, (TAG_ONLY,)))
    assert finding.says == "Which images release 41 ran is unknown: the digest of registry.example/shop/web:2.4.6 is not known."


def test_the_manifests_are_rendered_only_when_the_record_does_not_tell() -> None:
    assert made.RENDERED_OLD not in world().gathered(RULE)
    assert made.RENDERED_OLD in world().hide(made.RECORD_OLD).gathered(RULE)


def test_the_same_image_twice_is_asked_for_once() -> None:
    twice = replace(made.record(made.GOAL, None), images=(made.OLD_IMAGE, replace(made.OLD_IMAGE, reference="registry.example/shop/web:again")))
    assert [key for key in world().tell(made.RECORD_OLD, twice).gathered(RULE) if key.kind == "image manifest"] == [made.MANIFEST]


EXAMPLES: made.Examples = {
    "the image is there": world(),
    "the image was deleted": world().tell(made.MANIFEST, keys.Manifest(digest=None)),
    "the registry does not answer": world().hide(made.MANIFEST),
}


AMI = Image(reference="ami-41", digest="ami-41", proof="reference")


def machines(**good: object) -> World:
    return made.on_machines(good=good).tell(made.RECORD_OLD, replace(made.record(made.GOAL, None), images=(AMI,)))


def test_a_machine_image_is_asked_for_where_the_server_group_is_and_not_in_a_registry() -> None:
    world_ = machines()
    finding = ask(world_)
    assert (finding.answer, finding.says) == (Answer.PASS, "The image that web-main-v041 launches its machines from is still there.")
    assert keys.manifest(str(AMI.exact)) not in world_.gathered(RULE)


def test_a_machine_image_that_is_gone_lets_the_machines_go_on_and_is_a_warning() -> None:
    finding = ask(machines(launchable=False))
    assert finding.answer is Answer.WARN
    assert finding.says == "The image that web-main-v041 launches its machines from is gone: those that run go on, and no other can be started."


def test_what_is_not_told_of_a_machine_image_is_unknown_and_a_group_that_is_gone_is_a_no() -> None:
    assert ask(machines(launchable=None)).answer is Answer.UNKNOWN
    assert ask(machines().hide(made.GROUPS)).answer is Answer.UNKNOWN
    gone = machines().tell(made.GROUPS, keys.ServerGroups(cloud="aws", groups=(made.server_group(made.SUSPECT),), guarded=False))
    assert ask(gone).answer is Answer.BLOCK


def test_a_container_beside_a_machine_image_is_asked_for_too() -> None:
    both = machines().tell(made.RECORD_OLD, replace(made.record(made.GOAL, None), images=(AMI, WORKER)))
    assert ask(both.tell(WORKER_MANIFEST, keys.Manifest(digest=WORKER_DIGEST))).answer is Answer.PASS
    assert ask(both.tell(WORKER_MANIFEST, keys.Manifest(digest=None))).answer is Answer.BLOCK
