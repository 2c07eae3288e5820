from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from integrations.delivery.argocd.settings import Settings

GIVEN = {"kind": "argocd", "name": "prod", "url": "https://argocd.example", "token_file": "/etc/backout/token"}


def test_four_lines_are_enough() -> None:
    settings = Settings.model_validate(GIVEN)
    assert settings.token_file == Path("/etc/backout/token")
    assert (settings.projects, settings.namespace, settings.read_back_seconds) == ((), "argocd", (0.0, 2.0, 5.0))


@pytest.mark.parametrize(
    "wrong",
    [{"token_fil": "x"}, {"kind": "spinnaker"}, {"name": "Prod:1"}, {"timeout_seconds": 0}, {"refresh_timeout_seconds": 600}, {"token": "secret"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_unknown_and_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(GIVEN | wrong)


@pytest.mark.parametrize("missing", ["name", "url", "token_file"])
def test_missing_settings_are_refused(missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        Settings.model_validate({k: v for k, v in GIVEN.items() if k != missing})
