from pathlib import Path

import pytest

from service.domain.errors import SettingsError
from service.wiring.rehearsing import rehearse_files

SETTINGS = "store: sqlite:////x/b.db\nauth: {keys_file: /x/keys.json}\ntargets: [{match: 'prod:*', mode: auto}]\n"
CASE = "- {target: 'prod:a', now: 2026-05-06T10:00:00Z, expect: {does: act}}\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "backout.yaml"
    file.write_text(SETTINGS, encoding="utf-8")
    return file


def test_the_cases_of_all_files_come_in_order_with_the_policy_of_the_settings(config: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(CASE, encoding="utf-8")
    second.write_text(CASE + CASE.replace("prod:a", "stage:a"), encoding="utf-8")
    done = rehearse_files(config, [first, second])
    assert not isinstance(done, str)
    assert [(Path(file).name, one.match, one.got["does"]) for file, one in done] == [
        ("a.yaml", "prod:*", "act"),
        ("b.yaml", "prod:*", "act"),
        ("b.yaml", "*", "notify"),
    ]


@pytest.mark.parametrize(("body", "says"), [(None, "cannot be read: no such file or directory"), (b"\xff", "is no UTF-8"), (b"{}", "is no list of cases")])
def test_a_file_that_cannot_be_taken_is_named_with_the_reason(config: Path, tmp_path: Path, body: bytes | None, says: str) -> None:
    file = tmp_path / "cases.yaml"
    if body is not None:
        file.write_bytes(body)
    assert rehearse_files(config, [file]) == f"{file} {says}"


def test_wrong_settings_are_told_as_everywhere(config: Path) -> None:
    config.write_text(SETTINGS + "x: 1\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="unknown setting"):
        rehearse_files(config, [])
