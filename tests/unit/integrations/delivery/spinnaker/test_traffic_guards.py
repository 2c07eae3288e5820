from typing import Any

import pytest

from integrations.delivery.spinnaker.server_groups import ClusterAddress
from integrations.delivery.spinnaker.traffic_guards import is_guarded

MAIN = ClusterAddress(application="web", account="prod", cluster="web-main", region="us-east-1")
GUARD = {"account": "prod", "location": "us-east-1", "stack": "main", "detail": "", "enabled": True}


def application(*guards: Any) -> dict[str, Any]:
    return {"name": "web", "attributes": {"name": "web", "email": "a@example.org", "trafficGuards": list(guards)}}


@pytest.mark.parametrize(
    ("change", "guarded"),
    [
        ({}, True),
        ({"enabled": False}, False),
        ({"account": "*", "location": "*", "stack": "*", "detail": "*"}, True),
        ({"account": "test"}, False),
        ({"location": "eu-west-1"}, False),
        ({"stack": "other"}, False),
        ({"stack": ""}, False),
        ({"detail": "canary"}, False),
        ({"stack": None}, False),
    ],
)
def test_a_guard_means_a_cluster_by_account_location_stack_and_detail(change: dict[str, Any], guarded: bool) -> None:
    assert is_guarded(application(GUARD | change), MAIN) is guarded


@pytest.mark.parametrize(
    ("cluster", "stack", "detail"),
    [("web", "", ""), ("web-main", "main", ""), ("web-main-blue-2", "main", "blue-2"), ("web--blue", "", "blue")],
)
def test_stack_and_detail_are_read_from_the_name(cluster: str, stack: str, detail: str) -> None:
    address = ClusterAddress(application="web", account="prod", cluster=cluster, region="us-east-1")
    assert is_guarded(application(GUARD | {"stack": stack, "detail": detail}), address) is True
    assert is_guarded(application(GUARD | {"stack": stack, "detail": f"{detail}x"}), address) is False


def test_one_guard_of_several_is_enough_and_one_switched_on_without_saying_so_counts() -> None:
    silent = {key: value for key, value in GUARD.items() if key != "enabled"}
    assert is_guarded(application(GUARD | {"enabled": False}, silent), MAIN) is True


@pytest.mark.parametrize("body", [{}, {"name": "web"}, {"attributes": {"name": "web"}}, {"attributes": None}])
def test_an_application_that_tells_nothing_of_itself_leaves_it_unknown(body: Any) -> None:
    assert is_guarded(body, MAIN) is None


def test_without_guards_nothing_is_guarded() -> None:
    assert is_guarded({"attributes": {"email": "a@example.org"}}, MAIN) is False
    assert is_guarded({"attributes": {"email": "a@example.org", "trafficGuards": "web"}}, MAIN) is False
