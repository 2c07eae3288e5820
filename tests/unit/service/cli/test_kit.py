import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.cli import kit
from service.domain.model import Mode
from service.settings import Settings, load
from service.wiring.parts import kinds

WISHES = kit.Wishes(argocd_url="https://argocd.example.com", projects=("shop", "billing"))
FULL = replace(
    WISHES,
    instance="eu",
    account="rescue",
    namespace="gitops",
    rollouts=True,
    promote_full=True,
    prometheus_url="http://prometheus:9090",
    notify_url="https://chat.example.com/hook?a=b#c",
    public_url="https://backout.example.com/base/",
    mode="auto",
)


def loaded(wishes: kit.Wishes, folder: Path) -> Settings:
    file = folder / "backout.yaml"
    file.write_text(kit.settings(wishes), encoding="utf-8")
    return load(file, kinds())


@pytest.mark.parametrize("wishes", [WISHES, FULL, replace(WISHES, may_stop_auto_sync=False)], ids=["least", "full", "reading"])
def test_the_settings_load_as_the_person_wished(wishes: kit.Wishes, tmp_path: Path) -> None:
    assert wishes.faults() == []
    made = loaded(wishes, tmp_path)
    (delivery,) = made.delivery
    assert (delivery.name, str(delivery.settings.url), delivery.settings.projects) == (wishes.instance, wishes.argocd_url, wishes.projects)
    assert delivery.settings.namespace == wishes.namespace
    assert [one.settings.url for one in made.notify] == ([wishes.notify_url] if wishes.notify_url else [])
    assert set(made.evidence) == ({"prometheus"} if wishes.prometheus_url else set())
    assert made.targets[0].mode == wishes.mode
    assert made.alerts.alertmanager[0].targets == f"{wishes.instance}:*"
    assert made.public_url == wishes.public_url


def test_every_line_of_the_settings_that_is_a_comment_becomes_a_setting_that_loads(tmp_path: Path) -> None:
    text = re.sub(r"^# (evidence:|notify:|  )", r"\1", kit.settings(WISHES), flags=re.MULTILINE)
    (tmp_path / "backout.yaml").write_text(text, encoding="utf-8")
    made = load(tmp_path / "backout.yaml", kinds())
    assert (set(made.evidence), len(made.notify)) == ({"prometheus", "registry", "git"}, 1)


def test_modes_are_those_of_the_service() -> None:
    assert tuple(mode.word for mode in Mode) == kit.MODES


@pytest.mark.parametrize(
    ("changes", "rights"),
    [
        ({}, {"get", "sync", "update"}),
        ({"may_stop_auto_sync": False}, {"get", "sync"}),
        ({"rollouts": True}, {"get", "sync", "update", "action/argoproj.io/Rollout/abort"}),
        ({"promote_full": True}, {"get", "sync", "update", "action/argoproj.io/Rollout/abort", "action/argoproj.io/Rollout/promote-full"}),
    ],
    ids=["usual", "reading", "rollouts", "promoting"],
)
def test_the_policy_grants_each_right_that_is_needed_on_each_project_and_nothing_more(changes: dict[str, Any], rights: set[str]) -> None:
    lines = kit.policy(replace(WISHES, **changes))
    wanted = {f"p, role:backout, applications, {right}, {project}/*, allow" for right in rights for project in ("shop", "billing")}
    wanted |= {f"p, role:backout, applicationsets, get, {project}/*, allow" for project in ("shop", "billing")}
    wanted |= {f"p, role:backout, projects, get, {project}, allow" for project in ("shop", "billing")}
    assert set(lines) == wanted | {"g, backout, role:backout"}
    assert len(lines) == len(set(lines))


def test_the_patches_add_keys_of_their_own_and_touch_no_other_policy() -> None:
    account, rbac = (yaml.safe_load(kit.files(FULL)[name]) for name in ("argocd-account.yaml", "argocd-rbac.yaml"))
    assert account == {"data": {"accounts.rescue": "apiKey"}}
    assert list(rbac) == ["data"]
    assert list(rbac["data"]) == ["policy.rescue.csv"]
    assert rbac["data"]["policy.rescue.csv"].splitlines() == kit.policy(FULL)


def test_the_route_leads_to_the_service_and_leaves_people_paged() -> None:
    route = yaml.safe_load(kit.alertmanager(FULL))
    (ours,) = route["route"]["routes"]
    assert (ours["receiver"], ours["continue"]) == ("backout", True)
    (hook,) = next(one for one in route["receivers"] if one["name"] == "backout")["webhook_configs"]
    assert hook["url"] == "https://backout.example.com/base/v1/alerts/alertmanager"
    assert (hook["max_alerts"], hook["http_config"]["follow_redirects"]) == (0, False)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"argocd_url": ""}, "'' is no address of Argo CD"),
        ({"argocd_url": "argocd.example.com"}, "is no address of Argo CD"),
        ({"argocd_url": "ftp://argocd"}, "is no address of Argo CD"),
        ({"argocd_url": "https://a\nevil: true"}, "is no address of Argo CD"),
        ({"argocd_url": "https://[::1"}, "is no address of Argo CD"),
        ({"public_url": ""}, "is no address of Backout"),
        ({"prometheus_url": "prometheus"}, "is no address of Prometheus"),
        ({"notify_url": "chat"}, "is no address of the receiver of messages"),
        ({"projects": ()}, "name at least one Argo CD project"),
        ({"projects": ("*",)}, "'*' is no project"),
        ({"projects": ("shop/*, allow\np, role:backout, *",)}, "is no project"),
        ({"projects": ("shop", "team*")}, "'team*' is no project"),
        ({"account": "admin"}, "must not be admin"),
        ({"account": "a, b"}, "is no name for an account"),
        ({"instance": "Prod"}, "is no name for an instance"),
        ({"namespace": "a b"}, "is no namespace"),
        ({"mode": "manual"}, "is no mode"),
        ({"mode": "auto", "may_stop_auto_sync": False}, "needs the right to stop auto-sync"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(changes: dict[str, Any], says: str) -> None:
    assert any(says in one for one in replace(WISHES, **changes).faults())


def test_the_next_steps_name_the_files_and_the_account() -> None:
    steps = kit.next_steps(FULL, "there/")
    commands = [command for _, commands in steps for command in commands]
    assert "kubectl -n gitops patch configmap argocd-cm --type merge --patch-file there/argocd-account.yaml" in commands
    assert any("--account rescue > there/argocd-token" in command for command in commands)
    assert "backout doctor --config there/backout.yaml" in commands
