from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from integrations.delivery.spinnaker.settings import Settings

GIVEN = {"name": "spin", "url": "https://gate.example", "auth": "api_token", "token_file": "/etc/backout/spin-token", "applications": ["shop"]}


def test_five_lines_are_enough() -> None:
    settings = Settings.model_validate(GIVEN)
    assert settings.kind == "spinnaker"
    assert settings.token_file == Path("/etc/backout/spin-token")
    assert (settings.applications, settings.timeout_seconds, settings.write_timeout_seconds) == (("shop",), 30.0, 20.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "argocd"},
        {"name": "Spin:1"},
        {"url": "gate.example"},
        {"url": "https://me:secret@gate.example"},
        {"auth": "saml"},
        {"auth": "basic", "token_file": None},
        {"auth": "header", "token_file": None},
        {"auth": "x509", "token_file": None, "certificate_file": "/c"},
        {"auth": "none"},
        {"user": "bot"},
        {"auth": "header", "token_file": None, "user": "bot\r\nX-Admin: 1"},
        {"applications": []},
        {"applications": ["a/b"]},
        {"timeout_seconds": 0},
        {"token": "secret"},
    ],
    ids=str,
)
def test_unknown_missing_and_useless_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate(GIVEN | wrong)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "login",
    [
        {"auth": "none", "token_file": None},
        {"auth": "bearer"},
        {"auth": "basic"},
        {"auth": "x509", "token_file": None, "certificate_file": "/c", "key_file": "/k"},
        {"auth": "header", "token_file": None, "user": "bot@example.org"},
    ],
    ids=lambda login: login["auth"],
)
def test_every_way_in_for_a_machine_can_be_set(login: dict[str, Any]) -> None:
    assert Settings.model_validate(GIVEN | login).auth == login["auth"]
