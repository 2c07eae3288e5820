from datetime import date
from typing import Any

from service.domain.manifest_change import Manifests, Placed, Unread
from service.domain.manifest_review import Reviewed, review
from service.domain.pull_request import Found
from service.domain.verdict import Answer
from tests.unit.service.domain.test_manifest_change import made, pods, side

CLAIM = made("v1", "PersistentVolumeClaim", "cache")


def reviewed(old: tuple[Placed, ...], new: tuple[Placed, ...], *, unread: tuple[Unread, ...] = (), prunes: bool | None = None) -> Reviewed:
    manifests = Manifests(folder="deploy", old=old, new=new, unread=unread)
    return review(manifests, old="main", new="feature", revisions=("a" * 40, "b" * 40), prunes=prunes, today=date(2026, 11, 27))


def only(found: Reviewed) -> Found:
    (one,) = found.found
    return one


def test_a_new_claim_is_a_no_where_deploys_prune_by_the_rule_of_the_live_verdict() -> None:
    one = only(reviewed(side(pods()), side(pods(), CLAIM), prunes=True))
    assert (one.rule, one.answer, one.path) == ("prune_deletes_no_data", Answer.BLOCK, "deploy/a.yaml")
    assert one.says == "Going back to main would delete PersistentVolumeClaim shop/cache, which may hold data."


def test_where_nobody_says_whether_deploys_prune_both_answers_are_told_and_it_is_unknown() -> None:
    one = only(reviewed(side(pods()), side(pods(), CLAIM)))
    assert one.answer is Answer.UNKNOWN
    assert one.says.startswith("If deploys prune: going back to main would delete")
    assert one.why.startswith("Without pruning: nothing is deleted")
    assert "manifests: {prune: false}" in one.do


def test_a_new_claim_stays_where_deploys_do_not_prune_or_it_is_kept() -> None:
    assert reviewed(side(pods()), side(pods(), CLAIM), prunes=False).found == ()
    kept = made("v1", "PersistentVolumeClaim", "cache", annotations={"argocd.argoproj.io/sync-options": "Prune=false"})
    assert reviewed(side(pods()), side(pods(), kept), prunes=True).found == ()


def test_a_new_workload_works_on_beside_the_earlier_code() -> None:
    worker = made("batch/v1", "CronJob", "bill")
    one = only(reviewed(side(pods()), side(pods(), worker)))
    assert (one.answer, "works on beside main" in one.says) == (Answer.WARN, True)


def test_an_object_that_waits_for_a_confirmation_would_stand_in_the_way() -> None:
    asking = made("v1", "ConfigMap", "cache", annotations={"argocd.argoproj.io/sync-options": "Prune=confirm"})
    one = only(reviewed(side(pods()), side(pods(), asking), prunes=True))
    assert (one.answer, "would stand still" in one.says) == (Answer.BLOCK, True)


def test_what_was_not_read_is_unknown_with_its_place() -> None:
    one = only(reviewed(side(pods()), side(pods()), unread=(Unread("deploy/base", "kustomize renders this folder", "Render it."),)))
    assert (one.rule, one.answer, one.path, one.says) == ("manifests_not_read", Answer.UNKNOWN, "deploy/base", "Not read: kustomize renders this folder.")


def test_the_same_object_twice_is_unknown_where_the_two_differ() -> None:
    two = side(pods(), pods(replicas="2"))
    assert {one.rule for one in reviewed(two, two).found} == {"manifests_not_read"}
    assert reviewed(side(pods(), pods()), side(pods(), pods())).found == ()


def test_the_same_images_are_proven_only_where_all_was_read() -> None:
    def same(old: dict[str, Any], new: dict[str, Any], *unread: Unread) -> bool:
        return reviewed(side(old), side(new), unread=unread).same_images

    assert same(pods(), pods(replicas="2"))
    assert not same(pods("web:1"), pods("web:2"))
    assert not same(pods(), pods(), Unread("a", "b", "c"))
    assert not reviewed(side(CLAIM), side(CLAIM)).same_images


def test_what_changed_in_the_images_is_said_in_one_line() -> None:
    assert reviewed(side(pods("web:1")), side(pods("web:2"))).remarks[0].startswith("deploy: 1 object in main, 1 in feature; images changed: web:1 → web:2.")
    assert reviewed(side(pods()), side(pods(), CLAIM)).remarks == ("deploy: 1 object in main, 2 in feature; the images are the same.",)
