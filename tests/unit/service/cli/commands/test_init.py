import json
import stat
from pathlib import Path

import pytest

from service.cli import kit
from service.settings import load
from service.wiring.parts import kinds
from tests.unit.service.cli.conftest import Ran, Shell

FILES = {"backout.yaml", "alertmanager.yaml", "argocd-account.yaml", "argocd-rbac.yaml"}
SECRET = {"keys.json", "alert-token"}


@pytest.fixture
def shell() -> Shell:
    return Shell()


def init(shell: Shell, folder: Path, *more: str, typed: str | None = None) -> Ran:
    return shell("init", "--dir", str(folder), *more, typed=typed)


def begun(shell: Shell, folder: Path, *more: str) -> Ran:
    return init(shell, folder, "--argocd-url", "https://argocd.example.com", "--project", "shop,billing", *more)


def test_options_alone_write_everything_and_say_what_to_do_now(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "backout"
    ran = begun(shell, folder, "--rollouts")
    assert (ran.code, ran.err) == (0, "")
    assert {one.name for one in folder.iterdir()} == FILES | SECRET
    assert "kubectl -n argocd patch configmap argocd-rbac-cm --type merge" in ran.out
    assert "action/argoproj.io/Rollout/abort, billing/*, allow" in (folder / "argocd-rbac.yaml").read_text(encoding="utf-8")
    assert load(folder / "backout.yaml", kinds()).delivery[0].name == "prod"


def test_secrets_are_for_their_owner_alone_and_of_use(shell: Shell, tmp_path: Path) -> None:
    begun(shell, tmp_path)
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in SECRET} == {0o600}
    assert len((tmp_path / "alert-token").read_text(encoding="utf-8").strip()) >= 40
    made = shell(
        "token", "create", "--config", str(tmp_path / "backout.yaml"), "--subject", "a", "--scope", "targets:read", "--targets", "*", "--expires", "1h"
    )
    assert made.code == 0


def test_no_secret_is_printed_or_stands_in_another_file(shell: Shell, tmp_path: Path) -> None:
    ran = begun(shell, tmp_path)
    held = [
        (tmp_path / "alert-token").read_text(encoding="utf-8").strip(),
        json.loads((tmp_path / "keys.json").read_text(encoding="utf-8"))["keys"][0]["private"],
    ]
    shown = ran.out + ran.err + "".join((tmp_path / name).read_text(encoding="utf-8") for name in FILES)
    assert not any(secret in shown for secret in held)


def test_what_is_there_is_not_written_over_without_force_and_then_nothing_is_written(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "alertmanager.yaml").write_text("mine", encoding="utf-8")
    ran = begun(shell, tmp_path)
    assert ran.code == 1
    assert "has alertmanager.yaml already; nothing was written" in ran.err
    assert [one.name for one in tmp_path.iterdir()] == ["alertmanager.yaml"]


def test_force_writes_over_the_files_and_keeps_keys_and_tokens(shell: Shell, tmp_path: Path) -> None:
    begun(shell, tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in SECRET}
    ran = begun(shell, tmp_path, "--instance", "eu", "--force")
    assert ran.code == 0
    assert "kept as they were: keys.json, alert-token" in ran.out
    assert {name: (tmp_path / name).read_bytes() for name in SECRET} == before
    assert load(tmp_path / "backout.yaml", kinds()).delivery[0].name == "eu"


def test_force_does_not_write_through_a_link(shell: Shell, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("theirs", encoding="utf-8")
    folder = tmp_path / "backout"
    folder.mkdir()
    (folder / "backout.yaml").symlink_to(elsewhere)
    ran = begun(shell, folder, "--force")
    assert ran.code == 1
    assert "is a link" in ran.err
    assert elsewhere.read_text(encoding="utf-8") == "theirs"


def test_a_person_is_asked_for_what_is_missing(shell: Shell, tmp_path: Path) -> None:
    answers = ["https://argocd.example.com", "shop, billing", "eu", "perhaps", "no", "", "", "http://prom:9090", "", "https://backout.example.com"]
    ran = init(shell, tmp_path, typed="\n".join(answers) + "\n")
    assert ran.code == 0
    assert "targets are called NAME:application [prod]: " in ran.err
    made = load(tmp_path / "backout.yaml", kinds())
    assert (made.delivery[0].name, made.delivery[0].settings.projects, made.public_url) == ("eu", ("shop", "billing"), "https://backout.example.com")
    assert set(made.evidence) == {"prometheus"}
    assert "update" not in (tmp_path / "argocd-rbac.yaml").read_text(encoding="utf-8")


def test_a_person_with_spinnaker_alone_is_asked_nothing_about_argo_cd(shell: Shell, tmp_path: Path) -> None:
    answers = ["", "https://gate.example.com", "shop, billing", "", "yes", "http://prom:9090", "", "https://backout.example.com"]
    ran = init(shell, tmp_path, typed="\n".join(answers) + "\n")
    assert ran.code == 0
    assert "auto-sync" not in ran.err + ran.out
    assert {one.name for one in tmp_path.iterdir()} == {"backout.yaml", "alertmanager.yaml", "spinnaker-rights.yaml", "spinnaker-echo.yaml"} | SECRET
    (delivery,) = load(tmp_path / "backout.yaml", kinds()).delivery
    assert (delivery.kind, delivery.name, delivery.settings.applications, delivery.settings.shut_triggers) == ("spinnaker", "spin", ("shop", "billing"), True)
    assert "auth/apiTokens" in ran.out
    assert "argocd" not in ran.out


def test_options_alone_write_for_both_delivery_systems(shell: Shell, tmp_path: Path) -> None:
    ran = begun(shell, tmp_path, "--gate-url", "https://gate.example.com", "--application", "shop", "--gate-auth", "header")
    assert (ran.code, ran.err) == (0, "")
    assert {one.name for one in tmp_path.iterdir()} == FILES | SECRET | {"spinnaker-rights.yaml", "spinnaker-echo.yaml"}
    made = load(tmp_path / "backout.yaml", kinds())
    assert [(one.kind, one.name) for one in made.delivery] == [("argocd", "prod"), ("spinnaker", "spin")]
    assert "group_by: [alertname, namespace, argocd_app, spinnaker_app]" in (tmp_path / "alertmanager.yaml").read_text(encoding="utf-8")
    assert "--targets 'prod:*,spin:*'" in ran.out


def test_what_was_given_as_an_option_is_not_asked(shell: Shell, tmp_path: Path) -> None:
    ran = init(shell, tmp_path, "--argocd-url", "https://argocd.example.com", "--project", "shop", typed="")
    assert ran.code == 0
    assert ran.err == ""


def test_without_a_terminal_nothing_is_asked_and_what_is_missing_is_named(shell: Shell, tmp_path: Path) -> None:
    ran = init(shell, tmp_path / "x")
    assert ran.code == 2
    assert "name at least one Argo CD project" in ran.err
    assert "is no address of Argo CD" in ran.err
    assert not (tmp_path / "x").exists()


def test_settings_that_would_not_start_are_not_written(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "settings", lambda _: "listen: nowhere\n")
    ran = begun(shell, tmp_path / "x")
    assert ran.code == 1
    assert "backout.yaml:1: listen" in ran.err
    assert not (tmp_path / "x").exists()


def test_a_folder_that_cannot_be_written_is_named(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    ran = begun(shell, tmp_path / "file" / "x")
    assert ran.code == 1
    assert "cannot be written" in ran.err


def test_json_tells_what_was_written_and_the_next_steps(shell: Shell, tmp_path: Path) -> None:
    document = begun(shell, tmp_path, "--json").document
    assert set(document["written"]) == FILES | SECRET
    assert document["next"][0]["commands"][0].startswith("kubectl -n argocd patch")
