from pathlib import Path

import pytest

from integrations.sandbox.gate.access import User
from integrations.sandbox.gate.server import SandboxGate
from integrations.sandbox.gate.settings import Outage, Profile
from service.domain.ports import Checked
from tests.fakes.clock import FakeClock
from tests.unit.integrations.delivery.spinnaker.stage import HoldingClock, Stage


async def lines(stage: Stage, **settings: object) -> dict[str, Checked]:
    return {one.what.removeprefix("spinnaker spin").strip(): one for one in await stage.adapter(**settings).check()}


async def test_a_good_gate_says_what_it_is_and_which_way_back_there_is(stage: Stage) -> None:
    found = await lines(stage)
    assert {what: one.well for what, one in found.items()} == {
        "version": "ok",
        "clock": "warn",  # the sandbox tells the real time, and the test's stands still
        "account": "warn",  # nobody is asked who they are
        "application": "ok",
        "rights": "ok",
        "ways": "ok",
    }
    assert "everybody" in found["account"].says
    assert "undo" in found["ways"].says
    assert all(one.fix for one in found.values() if one.well != "ok")


async def test_another_version_is_unproven() -> None:
    gate = SandboxGate(clock=FakeClock(), profile=Profile(version="2025.1.0"))
    gate.add_application("shop")
    await gate.start()
    stage = Stage(gate, FakeClock(), HoldingClock(FakeClock()))
    found = await lines(stage)
    await stage.close()
    await gate.stop()
    assert (found["version"].well, "unproven" in found["version"].says) == ("warn", True)


async def test_an_application_without_a_deployment_and_one_that_is_not_there_are_told(stage: Stage) -> None:
    stage.gate.add_application("empty")
    found = [one for one in await stage.adapter(applications=("shop", "empty", "nobody")).check() if "application" in one.what]
    assert [one.well for one in found] == ["ok", "warn", "no"]
    assert "nobody" in found[2].says


@pytest.mark.parametrize(("accounts", "well"), [({"k8s"}, "ok"), ({"other"}, "no")])
async def test_rights_are_told_by_application_and_account(tmp_path: Path, accounts: set[str], well: str) -> None:
    clock = FakeClock()
    gate = SandboxGate(clock=clock, profile=Profile(auth="basic", fiat=True))
    gate.add_application("shop", permissions={"READ": ["ops"], "EXECUTE": ["ops"], "WRITE": ["ops"]})
    gate.add_account("k8s")
    rights = {right: {"shop"} for right in ("READ", "EXECUTE", "WRITE")}
    gate.add_user(User(name="bot", password="p", roles=["ops"], rights=rights, accounts=accounts))
    gate.kubernetes.runs("shop", account="k8s", namespace="shop", name="web", image="r/web:1")
    await gate.start()
    file = tmp_path / "basic"
    file.write_text("bot:p", encoding="utf-8")
    try:
        made = Stage(gate, clock, HoldingClock(clock))
        found = await lines(made, auth="basic", token_file=file)
        await made.close()
    finally:
        await gate.stop()
    assert found["account"].well == "ok"
    assert "bot by basic" in found["account"].says
    assert found["rights"].well == well
    assert bool(found["rights"].fix) is (well == "no")


async def test_a_gate_that_is_away_or_turns_us_away_is_one_line(stage: Stage) -> None:
    stage.gate.faults.clouddriver = Outage(status=500)
    (one,) = await stage.adapter().check()
    assert (one.well, bool(one.fix)) == ("no", True)
    await stage.gate.go_down()
    (one,) = await stage.adapter().check()
    assert "could not be reached" in one.says
