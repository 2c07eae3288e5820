from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from integrations.delivery.spinnaker.settings import NEEDS
from service.cli import kit
from service.cli.kit_spinnaker import AUTHS, SpinnakerWishes
from service.settings import load
from service.wiring.parts import kinds

WISHES = SpinnakerWishes(gate_url="https://gate.example.com/api", applications=("shop", "billing.eu"))


@pytest.mark.parametrize("auth", sorted(AUTHS))
@pytest.mark.parametrize("shuts", [False, True])
def test_the_settings_load_whatever_way_gate_lets_in(auth: str, shuts: bool, tmp_path: Path) -> None:
    wishes = kit.Wishes(spinnaker=replace(WISHES, auth=auth, may_shut_triggers=shuts), mode="suggest")
    assert wishes.faults() == []
    (tmp_path / "backout.yaml").write_text(kit.settings(wishes), encoding="utf-8")
    made = load(tmp_path / "backout.yaml", kinds())
    (delivery,) = made.delivery
    assert (delivery.kind, delivery.name, delivery.settings.auth, delivery.settings.shut_triggers) == ("spinnaker", "spin", auth, shuts)
    assert (str(delivery.settings.url).rstrip("/"), delivery.settings.applications) == ("https://gate.example.com/api", ("shop", "billing.eu"))
    assert (made.targets[0].match, made.targets[0].mode, made.alerts.alertmanager[0].targets) == ("spin:*", "suggest", "spin:*")


def test_every_way_in_that_the_settings_know_can_be_wished_for() -> None:
    assert set(AUTHS) == set(NEEDS)


def test_with_both_systems_the_sender_speaks_for_all_and_each_has_its_policy(tmp_path: Path) -> None:
    wishes = kit.Wishes(argocd_url="https://argocd.example.com", projects=("shop",), spinnaker=WISHES)
    assert wishes.faults() == []
    (tmp_path / "backout.yaml").write_text(kit.settings(wishes), encoding="utf-8")
    made = load(tmp_path / "backout.yaml", kinds())
    assert [one.match for one in made.targets] == ["prod:*", "spin:*"]
    assert made.alerts.alertmanager[0].targets == "*"


def test_without_triggers_to_shut_no_right_to_write_is_asked_for_on_any_application() -> None:
    least, more = (yaml.safe_load(replace(WISHES, may_shut_triggers=shuts).rights()) for shuts in (False, True))
    assert least["applications"] == {one: {"READ": ["backout"], "EXECUTE": ["backout"]} for one in ("shop", "billing.eu")}
    assert all(one["WRITE"] == ["backout"] for one in more["applications"].values())
    assert least["accounts"] == {"permissions": {"READ": ["backout"], "WRITE": ["backout"]}}


def test_echo_sends_to_the_intake_of_events_and_its_credential_stands_in_a_file() -> None:
    text = WISHES.echo("https://backout.example.com/base/")
    (endpoint,) = yaml.safe_load(text)["rest"]["endpoints"]
    assert endpoint["url"] == "https://backout.example.com/base/v1/events/spinnaker"
    assert "headers" not in endpoint
    assert endpoint["headersFile"].startswith("/")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gate_url": ""}, "'' is no address of Gate"),
        ({"gate_url": "https://gate\nevil: true"}, "is no address of Gate"),
        ({"applications": ()}, "name at least one Spinnaker application"),
        ({"applications": ("shop*",)}, "'shop*' is no application"),
        ({"applications": ('shop"]',)}, "is no application"),
        ({"instance": "Spin"}, "is no name for an instance"),
        ({"role": "a, b"}, "is no name for a role"),
        ({"auth": "saml"}, "is no way to log in"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(changes: dict[str, Any], says: str) -> None:
    assert any(says in one for one in kit.Wishes(spinnaker=replace(WISHES, **changes)).faults())


def test_two_instances_of_one_name_are_refused() -> None:
    wishes = kit.Wishes(argocd_url="https://argocd.example.com", projects=("shop",), spinnaker=replace(WISHES, instance="prod"))
    assert wishes.faults() == ["two instances cannot both be called prod"]


@pytest.mark.parametrize(("auth", "names"), [("api_token", "gate-token"), ("bearer", "gate-token"), ("basic", "gate-token"), ("x509", "gate.key")])
def test_the_next_steps_name_the_file_of_the_credential(auth: str, names: str) -> None:
    steps = replace(WISHES, auth=auth).next_steps("there")
    assert any(f"there/{names}" in says for says, _ in steps)
    assert "there/spinnaker-rights.yaml" in steps[0][0]


def test_no_file_holds_a_secret_or_a_credential() -> None:
    for text in WISHES.files("https://backout.example.com").values():
        assert "spk_" not in text
