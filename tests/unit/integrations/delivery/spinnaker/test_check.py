from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from integrations.delivery.spinnaker.answers import Reply
from integrations.delivery.spinnaker.check import check
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.facts import Reader
from integrations.delivery.spinnaker.settings import Settings
from integrations.sandbox.gate.access import User
from integrations.sandbox.gate.server import SandboxGate
from integrations.sandbox.gate.settings import Outage, Profile
from service.domain.errors import TemporaryError
from service.domain.ports import Checked, Clock
from tests.fakes.clock import FakeClock
from tests.unit.integrations.delivery.spinnaker.stage import HoldingClock, Stage


class Tells(Client):
    """A Gate whose words a test chooses; what it is not told to say, Gate says itself."""

    def __init__(self, settings: Settings, clock: Clock, *, shown: Mapping[str, Any] | None = None, off: float | None = 0, **bodies: Any) -> None:
        super().__init__(settings, clock, traceparent=str)
        self._shown = {"version": "2026.2.3"} if shown is None else shown
        self._told = None if off is None else clock.now() + timedelta(seconds=off)
        self._bodies = bodies

    async def version(self) -> Reply:
        return replace(await super().version(), body=self._shown, server_time=self._told)

    async def user(self) -> Reply:
        reply = await super().user()
        return replace(reply, body=self._bodies.get("user", reply.body))

    async def managers(self, application: str) -> Reply:
        if application == self._bodies.get("away"):
            raise TemporaryError(f"the Deployments of {application} could not be read")
        return await super().managers(application)

    async def accounts(self) -> Reply:
        reply = await super().accounts()
        return replace(reply, body=self._bodies.get("accounts", reply.body))


async def told(stage: Stage, *, auth: Literal["none", "header"] = "header", applications: tuple[str, ...] = ("shop",), **words: Any) -> dict[str, Checked]:
    """The lines of a Gate with those words."""
    settings = Settings(name="spin", url=stage.gate.url, auth=auth, user="bot" if auth == "header" else "", applications=applications)
    client = Tells(settings, stage.clock, **words)
    stage.opened.append(client)
    found = await check(settings, client, Reader(settings, client, stage.clock), stage.clock)
    return {one.what.removeprefix("spinnaker spin").strip(): one for one in found}


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


@pytest.mark.parametrize(
    ("off", "well", "says"),
    [(5, "ok", "+5.0 s"), (-5, "ok", "-5.0 s"), (6, "warn", "+6.0 s"), (-6, "warn", "-6.0 s"), (None, "warn", "does not tell its time")],
)
async def test_a_clock_that_is_off_in_either_direction_or_not_told_is_a_warning(stage: Stage, off: float | None, well: str, says: str) -> None:
    line = (await told(stage, off=off))["clock"]
    assert (line.well, says in line.says, bool(line.fix)) == (well, True, well == "warn")


@pytest.mark.parametrize("shown", [{"version": "2026.3.0"}, {"version": "12026.2.3"}, {"version": "1.2026.2.0"}, {"version": "Unknown"}, {}])
async def test_only_the_release_that_was_recorded_is_proven(stage: Stage, shown: dict[str, str]) -> None:
    line = (await told(stage, shown=shown))["version"]
    assert (line.well, "unproven" in line.says) == ("warn", True)


BOT = {"username": "bot", "roles": ["ops"], "allowedAccounts": ["k8s"]}


async def test_a_gate_that_takes_everybody_for_somebody_is_a_warning(stage: Stage) -> None:
    assert (await told(stage, user=BOT))["account"].well == "ok"
    for line in [(await told(stage, user=user))["account"] for user in (BOT | {"username": "anonymous"}, None, {})] + [
        (await told(stage, auth="none", user=BOT))["account"]
    ]:
        assert (line.well, "everybody" in line.says) == ("warn", True)


async def test_rights_that_gate_does_not_tell_are_not_taken_for_granted(stage: Stage) -> None:
    assert (await told(stage, user=BOT))["rights"].well == "ok"
    line = (await told(stage, user=None))["rights"]
    assert (line.well, "Gate does not tell" in line.says) == ("no", True)


async def test_an_account_that_is_not_listed_any_more_is_told_unless_nothing_is_listed(stage: Stage) -> None:
    for accounts, gone in (([{"name": "k8s"}], False), ([{"name": "other"}], True), ([], False)):
        line = (await told(stage, user=BOT, accounts=accounts))["rights"]
        assert ("does not list that account any more" in line.says) is gone


async def test_an_inventory_that_could_only_be_read_in_part_is_told(stage: Stage) -> None:
    stage.gate.add_application("half")
    both = ("shop", "half")
    assert "targets" not in await told(stage, applications=both)
    line = (await told(stage, applications=both, away="half"))["targets"]
    assert (line.well, "half" in line.says, bool(line.fix)) == ("warn", True, True)


@pytest.mark.parametrize(("capacity", "well"), [(60, "ok"), (12, "warn")])
async def test_a_rate_limiter_is_told_with_how_long_a_round_of_looks_takes(stage: Stage, capacity: int, well: str) -> None:
    gate = SandboxGate(clock=stage.clock, profile=Profile(capacity=capacity))
    gate.add_application("shop")
    gate.add_account("k8s")
    for number in range(100):
        gate.kubernetes.runs("shop", account="k8s", namespace="shop", name=f"web-{number}", image="web:1")
    await gate.start()
    try:
        (line,) = [one for one in await stage.adapter(url=gate.url).check() if one.what == "spinnaker spin limit"]
    finally:
        await gate.stop()
    assert line.well == well
    assert f"Gate takes {capacity} requests of ours in 10 s: a look at all 100 targets takes" in line.says
    assert not [one for one in await stage.spinnaker.check() if one.what == "spinnaker spin limit"]


async def test_what_spinnaker_deploys_and_nobody_here_can_take_back_is_named(stage: Stage) -> None:
    assert "left out" not in await lines(stage)
    template = {"spec": {"containers": [{"name": "db", "image": "registry.example/db:1"}]}}
    database = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "shop"}, "spec": {"replicas": 1, "template": template}}
    await stage.deploys("registry.example/web:2.0", about={"manifests": [database]})
    line = (await lines(stage))["left out"]
    assert (line.well, line.says) == ("warn", "shop: StatefulSet db is no target: Gate does not tell the history of that kind")
    assert "your own pipeline" in line.fix
