import os
from io import BytesIO
from pathlib import Path

import pytest

from service.cli import migrations
from service.cli.failure import CommandFailed
from service.cli.migrations import STDIN_PATH, read_paths


def texts(*paths: Path, stdin: bytes = b"") -> dict[str, str | None]:
    return {Path(one.path).name: one.text for one in read_paths([str(path) for path in paths], BytesIO(stdin))}


def test_a_folder_gives_every_sql_file_and_what_a_tool_would_know(tmp_path: Path) -> None:
    (tmp_path / "migrations" / "deep").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    for name in ("migrations/0001_a.py", "migrations/deep/0002_b.SQL", "notes.txt", "setup.py", ".git/x.sql"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    assert set(texts(tmp_path)) == {"0001_a.py", "0002_b.SQL"}


def test_stdin_is_one_file() -> None:
    assert texts(Path("-"), stdin=b"DROP TABLE a") == {STDIN_PATH: "DROP TABLE a"}


def test_what_cannot_be_read_is_kept_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "_MAX_BYTES", 200)
    folder = tmp_path / "migrations"
    folder.mkdir()
    (tmp_path / "outside").mkdir()
    (folder / "1_big.sql").write_bytes(b"-" * 201)
    (folder / "2_latin.sql").write_bytes("-- caf\u00e9".encode("latin-1"))
    (folder / "3_lfs.sql").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    (folder / "4_link.sql").symlink_to("/etc/hostname")
    (folder / "5_folder").symlink_to(tmp_path / "outside", target_is_directory=True)
    files = read_paths([str(folder)], BytesIO())
    assert [one.text for one in files] == [None] * 5
    assert [one.why_no_text for one in files] == [
        "it has 201 bytes, more than are read",
        "it is not UTF-8",
        "it is a pointer to Git LFS, whose content is not here",
        "it is a symbolic link",
        "it is a symbolic link",
    ]


def test_a_file_that_grows_without_end_is_read_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "_MAX_BYTES", 200)
    (endless,) = read_paths(["/dev/zero"], BytesIO())
    assert (endless.text, endless.why_no_text) == (None, "it has more than 200 bytes")
    (stdin,) = read_paths(["-"], BytesIO(b"-" * 500))
    assert stdin.text is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything; runs as any other user")
def test_a_file_without_the_right_to_read_is_kept_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "1_a.sql").touch(mode=0o000)
    assert read_paths([str(tmp_path)], BytesIO())[0].why_no_text == "permission denied"


def test_a_link_that_a_person_named_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1", encoding="utf-8")
    (tmp_path / "b.sql").symlink_to("a.sql")
    assert texts(tmp_path / "b.sql") == {"b.sql": "SELECT 1"}


def test_no_migration_at_all_is_no_good_answer(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as nothing:
        read_paths([str(tmp_path)], BytesIO())
    with pytest.raises(CommandFailed) as missing:
        read_paths([str(tmp_path / "none")], BytesIO())
    assert (nothing.value.code, missing.value.code) == (5, 2)


def test_the_number_of_files_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "MAX_FILES", 2)
    for number in range(3):
        (tmp_path / f"{number}_a.sql").touch()
    with pytest.raises(CommandFailed, match="more than 2"):
        read_paths([str(tmp_path)], BytesIO())
