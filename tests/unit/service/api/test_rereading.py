from pathlib import Path

import pytest

from service.api.rereading import LIMIT, Rereading


def test_a_change_is_seen_at_the_next_question_and_parsed_once(tmp_path: Path) -> None:
    file, parsed = tmp_path / "f", list[str]()

    def parse(text: str) -> str:
        parsed.append(text)
        return text.upper()

    file.write_text("a")
    rereading = Rereading(file, parse)
    assert [rereading.now(), rereading.now()] == ["A", "A"]
    file.write_text("b")  # the same size, and perhaps the same tick of the file system's clock
    assert [rereading.now(), rereading.now()] == ["B", "B"]
    assert parsed == ["a", "b"]


def test_a_file_behind_a_moved_link_is_the_new_file(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).write_text(name)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "old")
    rereading = Rereading(link, str)
    assert rereading.now() == "old"
    (tmp_path / "next").symlink_to(tmp_path / "new")
    (tmp_path / "next").replace(link)
    assert rereading.now() == "new"


def test_what_cannot_be_read_or_parsed_is_an_error_and_not_the_old_content(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("1")
    rereading = Rereading(file, int)
    assert rereading.now() == 1
    for raw in (b"x", b"\xff\xfe", b"1" * (LIMIT + 1)):
        file.write_bytes(raw)
        with pytest.raises(ValueError, match=r"."):
            rereading.now()
    file.unlink()
    with pytest.raises(FileNotFoundError):
        rereading.now()
    file.write_text("2")
    assert rereading.now() == 2
