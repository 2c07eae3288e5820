import asyncio
from typing import Any

import pytest

from integrations.delivery.spinnaker.facts import permissions_of
from integrations.sandbox.gate.settings import Outage
from service.domain import keys
from service.domain.errors import TemporaryError
from service.domain.facts import Absent
from tests.unit.integrations.delivery.spinnaker.stage import WEB, Stage, known, reader_of

LIMITED = {"name": "shop", "attributes": {"permissions": {"READ": ["all"], "EXECUTE": ["ops"], "WRITE": ["ops"]}}}


async def test_an_application_that_cannot_be_read_makes_the_list_short_and_all_of_them_make_it_fail(stage: Stage) -> None:
    spinnaker = stage.adapter(applications=("shop", "a.b"))
    stage.gate.faults.clouddriver = Outage(status=500)
    with pytest.raises(TemporaryError, match="broke"):
        await spinnaker.targets()


async def test_there_is_no_window_and_nothing_is_desired(stage: Stage) -> None:
    assert (await known(stage, keys.window(WEB))).open
    assert keys.desired_images(WEB).kind not in stage.spinnaker.kinds


@pytest.mark.parametrize("fault", ["orca", "clouddriver"])
async def test_while_a_backend_is_away_every_fact_is_absent_in_its_words(stage: Stage, fault: str) -> None:
    setattr(stage.gate.faults, fault, Outage(status=503))
    for key in (keys.state(WEB), keys.acts(WEB), keys.pods(WEB), keys.permissions(WEB)):
        fact = await stage.spinnaker.read(key)
        assert isinstance(fact, Absent)
        assert "503" in fact.why


async def test_several_questions_at_once_are_one_look(stage: Stage) -> None:
    await stage.spinnaker.read(keys.state(WEB))  # from here on it is known that this Gate has no keel
    before = len(stage.gate.served)
    await asyncio.gather(*(stage.spinnaker.read(key) for key in (keys.state(WEB), keys.window(WEB), keys.acts(WEB))))
    together = len(stage.gate.served) - before
    await stage.spinnaker.read(keys.state(WEB))
    assert len(stage.gate.served) - before == 2 * together


@pytest.mark.parametrize(
    ("application", "user", "may"),
    [
        ({"name": "shop"}, {"username": "bot", "roles": [], "allowedAccounts": []}, True),
        ({"name": "shop"}, {"username": "bot", "roles": [], "allowedAccounts": ["k8s"]}, True),
        ({"name": "shop"}, {"username": "bot", "roles": [], "allowedAccounts": ["other"]}, False),
        (LIMITED, {"username": "bot", "roles": ["ops"], "allowedAccounts": ["k8s"]}, True),
        (LIMITED, {"username": "bot", "roles": ["dev"], "allowedAccounts": ["k8s"]}, False),
        (LIMITED, {"username": "bot", "roles": ["ops"], "allowedAccounts": []}, False),
        (LIMITED, {"username": "root", "isAdmin": True, "allowedAccounts": ["k8s"]}, True),
        ({"attributes": {"permissions": {"READ": ["dev"]}}}, {"roles": ["dev"], "allowedAccounts": ["k8s"]}, True),
        ({"name": "shop"}, None, None),
        (LIMITED, {"roles": "ops", "allowedAccounts": "k8s"}, False),
    ],
)
def test_rights_are_worked_out_from_roles_and_accounts_and_unknown_where_nobody_is_named(application: Any, user: Any, may: bool | None) -> None:
    found = permissions_of(application, user, "k8s")
    assert found.allowed.get("sync") is may
    assert bool(found.fix.get("sync")) is (may is False)


async def test_without_fiat_nothing_is_restricted(stage: Stage) -> None:
    assert (await known(stage, keys.permissions(WEB))).allowed == {"get": True, "sync": True, "update": True}


@pytest.mark.parametrize(
    ("permissions", "roles", "may"),
    [({}, [], True), ({"WRITE": ["ops"]}, ["ops"], True), ({"WRITE": ["ops"]}, ["dev"], False), ({"READ": ["ops"]}, ["ops"], False)],
)
def test_a_pipeline_may_be_saved_by_who_may_write_the_application(permissions: Any, roles: list[str], may: bool) -> None:
    application = {"name": "shop", "attributes": {"permissions": permissions}}
    found = permissions_of(application, {"username": "bot", "roles": roles, "allowedAccounts": ["k8s"]}, "k8s")
    assert (found.allowed["update"], bool(found.fix.get("update"))) == (may, not may)


async def test_a_list_of_which_one_application_is_missing_is_short(stage: Stage) -> None:
    def away(application: str, body: Any) -> Any:
        if application == "half":
            raise TemporaryError("Gate answered 503")
        return body

    stage.gate.add_application("half")
    listing = await reader_of(stage, "half", managers_of=away).targets()
    assert [one.target for one in listing.targets] == [WEB]
    assert (listing.complete, "half: Gate answered 503" in listing.says) == (False, True)
