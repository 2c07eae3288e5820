"""The package's doors: each does what its module does, and costs no more than it needs."""

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from service import wiring
from service.domain.errors import NotFoundError, SettingsError


def test_the_version_is_that_of_the_distribution() -> None:
    assert wiring.version() == version("backout")


def test_the_stop_file_is_the_one_that_the_settings_name(alone: Callable[..., Path], tmp_path: Path) -> None:
    assert wiring.stop_file(alone()) is None
    assert wiring.stop_file(alone(stop_file="STOP")) == tmp_path / "STOP"
    assert wiring.stop_file(alone(stop_file="/run/backout/STOP")) == Path("/run/backout/STOP")


def test_help_knows_the_settings_of_every_integration() -> None:
    assert "token_file" in wiring.settings_help("delivery.argocd")
    kinds = ("databases", "git", "kubernetes", "prometheus", "registry")
    assert wiring.settings_help("evidence").splitlines() == [f"evidence.{kind}" for kind in kinds]
    with pytest.raises(SettingsError, match="there are no settings weather"):
        wiring.settings_help("weather")


async def test_doctor_answers_lines_in_which_the_settings_come_first(alone: Callable[..., Path]) -> None:
    lines = await wiring.doctor(alone())
    assert (lines[0].what, lines[0].well) == ("settings", "ok")


async def test_an_audit_from_no_store_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no store none\.db"):
        await wiring.audit_from_store(f"sqlite:///{tmp_path / 'none.db'}", "op_123456")


def test_serving_with_wrong_settings_starts_nothing(alone: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"backout\.yaml:\d+: listen:"):
        wiring.serve(alone(listen="nowhere"))
    assert not (tmp_path / "backout.db").exists()


def test_what_does_not_serve_loads_no_engine_and_no_telemetry(alone: Callable[..., Path]) -> None:
    program = (
        "import sys; from pathlib import Path; from service import wiring; "
        f"wiring.version(); wiring.settings_help(''); wiring.stop_file(Path({str(alone())!r})); "
        "print([name for name in ('dbos', 'opentelemetry.sdk', 'alembic') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "[]"
