from pathlib import Path
from typing import Any

import pytest

from integrations.delivery.argocd.adapter import build
from integrations.sandbox.argocd.settings import V2_14, V3_5_1
from service.domain.ports import Checked
from tests.unit.integrations.delivery.argocd.canary import RIGHTS, Canary
from tests.unit.integrations.delivery.argocd.stage import Stage, opened


async def lines(stage: Stage) -> dict[str, list[Checked]]:
    found: dict[str, list[Checked]] = {}
    for line in await stage.argo.check():
        found.setdefault(line.what.removeprefix("argocd prod").strip(), []).append(line)
    return found


async def only(stage: Stage, what: str) -> Checked:
    (line,) = (await lines(stage))[what]
    return line


async def test_a_good_set_up_has_no_no(stage: Stage) -> None:
    await stage.application("web")
    found = await stage.argo.check()
    assert {line.well for line in found if line.what != "argocd prod clock"} == {"ok"}
    assert (await only(stage, "version")).says.startswith("v3.2.11")
    assert (await only(stage, "account")).says.startswith("backout;")
    assert "1 application in 1 project" in (await only(stage, "applications")).says


async def test_a_clock_that_is_off_is_told(stage: Stage) -> None:
    stage.tick(-1_000_000)
    line = await only(stage, "clock")
    assert line.well == "warn"
    assert line.fix


@pytest.mark.parametrize(("profile", "well"), [(V2_14, "no"), (V3_5_1, "warn")])
async def test_unproven_versions_are_named_and_too_old_ones_refused(tmp_path: Path, profile: Any, well: str) -> None:
    async with opened(tmp_path, profile=profile) as stage:
        line = await only(stage, "version")
        assert (line.well, bool(line.fix)) == (well, True)
        assert ("mode auto is refused" in line.says) is (well == "no")


async def test_the_administrators_token_is_refused(stage: Stage, tmp_path: Path) -> None:
    admin = build(stage.settings(tmp_path / "admin.token"), stage.clock)
    found = [line for line in await admin.check() if line.what.endswith("account")]
    await admin.close()
    assert [(line.well, "could not be told from a person's" in line.says) for line in found] == [("no", True)]


async def test_the_watch_is_opened_for_a_moment(stage: Stage) -> None:
    await stage.application("web")
    assert (await only(stage, "watch")).well == "ok"
    assert (await only(stage, "watch")).says.startswith("open:")


async def test_a_watch_that_says_nothing_is_a_warning(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrations.delivery.argocd.check.FIRST_WORD", 0.1)
    line = await only(stage, "watch")
    assert (line.well, "nothing came within 0.1 s" in line.says, bool(line.fix)) == ("warn", True, True)


async def test_a_watch_that_is_switched_off_is_no_trouble(stage: Stage) -> None:
    await stage.application("web")
    stage.argo = stage.adapter(watch=False)
    assert (await only(stage, "watch")).says == "switched off: a change is noticed by the next list"


async def test_a_bad_token_is_told_and_nothing_more_is_asked(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "backout.token").write_text("a.b.c")
    found = await lines(stage)
    assert found["account"][0].well == "no"
    assert any("the token is missing, expired or revoked" in line.says for line in found[""])
    assert "rights" not in found


async def test_each_missing_right_comes_with_its_line_of_policy(stage: Stage) -> None:
    await stage.application("web")
    stage.argo = stage.adapter(("get",), name="reader")
    rights = (await lines(stage))["rights"]
    assert [(line.well, line.says) for line in rights] == [
        ("ok", "may read on default/*"),
        ("no", "may not roll back on default/*"),
        ("no", "may not stop auto-sync on default/*"),
    ]
    assert rights[2].fix == "add to policy.csv:  p, reader, applications, update, default/*, allow"


async def test_rights_to_act_on_rollouts_are_looked_at_where_there_are_some(tmp_path: Path) -> None:
    async with opened(tmp_path, verbs=RIGHTS[:3]) as stage:
        await stage.application("api")
        assert "rollouts" not in await lines(stage)
        await Canary(stage).open()
        abort, promote = (await lines(stage))["rollouts"]
    assert (abort.well, promote.well) == ("warn", "ok")
    assert abort.says.startswith("may not abort Rollouts on default/* (asked for web); without it")
    assert promote.says == "may not promote Rollouts on default/* (asked for web); needed only by targets with promote_full: true"
    assert abort.fix == "add to policy.csv:  p, backout, applications, action/argoproj.io/Rollout/abort, default/*, allow"


async def test_held_rights_to_act_on_rollouts_are_well(tmp_path: Path) -> None:
    async with opened(tmp_path, verbs=RIGHTS) as stage:
        await Canary(stage).open()
        assert [(line.well, line.fix) for line in (await lines(stage))["rollouts"]] == [("ok", ""), ("ok", "")]


async def test_an_empty_list_is_never_taken_for_no_applications(stage: Stage) -> None:
    await stage.application("web")
    stage.argo = stage.adapter((), name="blind")
    line = await only(stage, "applications")
    assert line.well == "warn"
    assert "without the right to read them the list is empty too" in line.says
    assert line.fix


async def test_a_wrong_control_plane_namespace_is_told(stage: Stage) -> None:
    stage.argo = stage.adapter(name="lost", namespace="gitops")
    line = await only(stage, "namespace")
    assert (line.well, line.fix) == ("no", "namespace: argocd")


async def test_applications_of_an_application_set_are_counted(stage: Stage) -> None:
    stage.git.create("web")
    stage.commit("web", "registry.example/web:1.0")
    template = {"metadata": {"name": "web"}, "spec": stage.spec("web", automated={})}
    spec = {"generators": [{"list": {"elements": [{"app": "web"}]}}], "template": template}
    await stage.person("POST", "/applicationsets", {"metadata": {"name": "all"}, "spec": spec})
    await stage.deployed("web", 1)
    line = await only(stage, "owners")
    assert (line.well, line.says) == (
        "warn",
        "1 application (web): ApplicationSet all owns the spec and takes back a stopped auto-sync within a tenth of a second",
    )
    assert line.fix.endswith("add ignoreApplicationDifferences for /spec/syncPolicy/automated/enabled to ApplicationSet all.")


async def test_applications_whose_owner_leaves_us_alone_are_no_line_and_those_of_a_promoter_are(stage: Stage) -> None:
    await stage.application("web", automated={})
    assert [line for line in await stage.argo.check() if line.what.endswith("owners")] == []
    for name in ("one", "two"):
        await stage.application(name, automated={}, annotations={"kargo.akuity.io/authorized-stage": "shop:prod"})
    line = await only(stage, "owners")
    assert (line.well, line.says.partition(":")[0]) == ("warn", "2 applications (one, two)")
    assert "auto-promotion of stage shop:prod" in line.fix


async def test_a_server_that_is_away_is_one_line(stage: Stage) -> None:
    await stage.sandbox.refuse()
    (line,) = await stage.argo.check()
    assert (line.what, line.well) == ("argocd prod", "no")
    assert "could not be reached" in line.says
