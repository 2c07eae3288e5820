"""Server groups: what serves, what still runs, and what nobody may guess."""

from typing import Any

import pytest

from integrations.delivery.spinnaker.server_groups import (
    Cluster,
    ClusterAddress,
    cluster_of,
    clusters_of,
    healthy_percentage,
    release_of,
    server_group_of,
)
from service.domain.model import TargetId
from tests.unit.integrations.delivery.spinnaker.recordings import answers

TARGET = TargetId("spin", "prod/us-east-1/web-main")


def body(number: int, *, disabled: Any = False, up: int | None = 3, desired: int | None = 3, **more: Any) -> dict[str, Any]:
    return {
        "name": f"web-main-v{number:03}",
        "account": "prod",
        "region": "us-east-1",
        "cloudProvider": "aws",
        "disabled": disabled,
        "createdTime": 1_700_000_000_000 + number * 1000,
        "instanceCounts": {"up": up, "total": up},
        "capacity": {"min": 1, "desired": desired, "max": 5},
        "launchConfig": {"imageId": f"ami-{number}"},
        **more,
    }


def cluster(*bodies: dict[str, Any]) -> Cluster:
    (found,) = clusters_of(list(bodies), "web")
    return found


def test_the_recorded_server_group_can_be_read() -> None:
    recorded = next(one for one in answers("08a-search-redis", "/applications/lab/serverGroups/prod") if "name" in one)
    found = server_group_of(recorded, "lab")
    assert found is not None
    assert found.address == ClusterAddress("web", "prod", "web-main", "us-east-1", "aws")
    assert (found.sequence, found.up, found.desired, found.disabled) == (7, 3, 3, False)
    assert [image.reference for image in found.images] == ["ami-7"]
    assert found.build == "build 7"
    assert found.serves
    assert found.still_runs


def test_the_one_that_serves_is_the_current_one() -> None:
    found = cluster(body(6, disabled=True), body(7))
    assert [group.name for group in found.groups] == ["web-main-v007", "web-main-v006"]
    assert found.current is found.groups[0]
    assert not found.half_done


@pytest.mark.parametrize("other", [body(6), body(6, up=0), body(6, disabled=None)])
def test_two_that_may_serve_are_a_switch_half_done_and_nobody_guesses(other: dict[str, Any]) -> None:
    found = cluster(other, body(7))
    assert found.half_done
    assert found.current is None


def test_nothing_that_serves_is_no_current_one() -> None:
    assert cluster(body(6, disabled=True), body(7, up=0)).current is None
    assert cluster(body(6, disabled=True), body(7, up=None)).current is None


@pytest.mark.parametrize(("up", "desired", "runs"), [(3, 3, True), (4, 3, True), (2, 3, False), (0, 0, False), (None, 3, False), (3, None, False)])
def test_a_disabled_group_still_runs_only_if_the_instance_counts_say_so(up: int | None, desired: int | None, runs: bool) -> None:
    assert cluster(body(6, disabled=True, up=up, desired=desired)).groups[0].still_runs is runs


def test_a_number_that_began_again_is_another_release() -> None:
    first, again = cluster(body(1)).groups[0], cluster(body(1, createdTime=1_800_000_000_000)).groups[0]
    assert first.name == again.name
    assert release_of(TARGET, first).key != release_of(TARGET, again).key
    assert release_of(TARGET, first).handle == "web-main-v001"


def test_the_newest_is_the_one_created_last_and_not_the_highest_number() -> None:
    found = cluster(body(999), body(0, createdTime=1_800_000_000_000))
    assert [group.name for group in found.groups] == ["web-main-v000", "web-main-v999"]


def test_a_group_that_cannot_be_read_is_told_of_and_not_forgotten() -> None:
    found = cluster(body(7), {"name": "web-main-v006", "account": "prod"})
    assert found.unread == ("a server group without region was left out",)
    assert server_group_of(None, "web") is server_group_of([], "web") is server_group_of({}, "web") is None


def test_each_region_is_a_cluster_of_its_own() -> None:
    found = clusters_of([body(7), body(7, region="us-west-2"), None], "web")
    assert [one.address.region for one in found] == ["us-east-1", "us-west-2"]


@pytest.mark.parametrize(
    ("name", "found"),
    [("web-main-v007", ("web-main", 7)), ("web-v1234", ("web", 1234)), ("web", ("web", None)), ("w-v1", ("w-v1", None)), ("", ("", None))],
)
def test_a_name_is_its_cluster_and_a_number(name: str, found: tuple[str, int | None]) -> None:
    assert cluster_of(name) == found


def test_container_images_come_before_those_of_machines() -> None:
    group = server_group_of(body(7, buildInfo={"images": ["shop/web:2"], "package_name": "web", "version": "2.1"}), "web")
    assert group is not None
    assert [image.reference for image in group.images] == ["shop/web:2"]
    assert group.version == "web build 2.1"


@pytest.mark.parametrize(("desired", "percent"), [(None, 100), (1, 100), (9, 100), (10, 90), (19, 90), (20, 95)])
def test_how_much_must_be_healthy_is_what_deck_asks_for(desired: int | None, percent: int) -> None:
    assert healthy_percentage(desired) == percent
