from typing import Any

import pytest

from integrations.delivery.spinnaker.managed import Managed, managed_of
from integrations.sandbox.gate.settings import Outage
from service.domain.errors import RefusedError
from tests.unit.integrations.delivery.spinnaker.stage import WEB, Stage

WEB_BY_KEEL: dict[str, Any] = {"id": "k8s:deployment:web", "kind": "k8s/deployment@v1", "locations": {"account": "k8s"}}


def owner(body: Any, account: str = "k8s") -> str | None:
    found = managed_of("shop", body).owner_in(account)
    return None if found is None else found.says


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"hasManagedResources": True, "resources": [WEB_BY_KEEL]}, "manages k8s:deployment:web of application shop"),
        ({"resources": [WEB_BY_KEEL, {"id": "another"}]}, "manages k8s:deployment:web and 1 more of application shop"),
        ({"hasManagedResources": True}, "manages what it does not name of application shop"),
        ({"hasManagedResources": False, "resources": []}, None),
        ({"applicationPaused": True, "resources": [WEB_BY_KEEL]}, None),
        ({"resources": [{**WEB_BY_KEEL, "isPaused": True}]}, None),
        ({"resources": [{**WEB_BY_KEEL, "locations": {"account": "other"}}]}, None),
        ({}, None),
    ],
)
def test_it_owns_what_it_manages_in_the_account_and_is_not_paused(body: Any, says: str | None) -> None:
    told = owner(body)
    assert told is None if says is None else says in (told or "")


def test_what_is_not_known_of_it_is_said_and_is_nobody_by_name() -> None:
    found = Managed(application="shop", unknown="Gate answered 500").owner_in("k8s")
    assert found is not None
    assert (found.kind, found.reverts, "is unknown: Gate answered 500" in found.says) == ("", False, True)


def by_keel(stage: Stage, *resources: dict[str, Any]) -> None:
    stage.gate.keel_manages("shop", *resources)
    stage.spinnaker = stage.adapter()


async def test_what_keel_manages_is_refused_by_the_verdict_and_by_the_step(stage: Stage) -> None:
    by_keel(stage, WEB_BY_KEEL)
    state = await stage.state()
    assert (state.owner.kind, state.owner.reverts, state.owner.name) == ("keel", True, "shop")
    step, intention = await stage.ready()
    with pytest.raises(RefusedError, match="takes back whatever it did not do itself"):
        await stage.spinnaker.intend(step, intention)


async def test_where_keel_manages_nothing_or_is_not_there_nobody_owns_it(stage: Stage) -> None:
    assert (await stage.state()).owner.kind == "nobody"
    by_keel(stage)
    assert (await stage.state()).owner.kind == "nobody"


async def test_a_gate_without_keel_is_asked_once_in_five_minutes(stage: Stage) -> None:
    def asked() -> int:
        return sum(one.path == "/managed/application/shop" for one in stage.gate.served)

    for _ in range(3):
        await stage.state()
    assert asked() == 1
    stage.pass_(minutes=6)
    await stage.state()
    assert asked() == 2


async def test_trouble_with_keel_alone_leaves_the_target_readable_and_its_owner_unknown(stage: Stage) -> None:
    by_keel(stage, WEB_BY_KEEL)
    stage.gate.faults.keel = Outage(status=503, message="keel is away")
    state = await stage.spinnaker.look(WEB)
    assert (state.owner.kind, "keel is away" in state.owner.says) == ("", True)
