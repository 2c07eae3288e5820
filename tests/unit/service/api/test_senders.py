from pathlib import Path

import pytest
import structlog

from service.api.senders import SenderFiles, read_tokens
from service.domain.errors import SettingsError


def files(folder: Path, **texts: str) -> dict[str, Path]:
    for name, text in texts.items():
        (folder / name).write_text(text)
    return {name: folder / name for name in texts}


def test_a_token_belongs_to_the_sender_whose_file_holds_it(tmp_path: Path) -> None:
    senders = SenderFiles(files(tmp_path, main="one\n", second="two\r\nthree\n"))
    assert [senders.who(token) for token in ("one", "two", "three", "four", "", "one\n")] == ["main", "second", "second", None, None, None]


def test_two_tokens_are_valid_at_once_and_a_third_is_not_taken(tmp_path: Path) -> None:
    assert len(read_tokens("old\nnew\n")) == 2
    with pytest.raises(SettingsError, match="alert sender main: expected one or two tokens, one a line, and found 3"):
        SenderFiles(files(tmp_path, main="a\nb\nc\n"))


def test_an_empty_file_lets_nobody_in_and_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="found 0"):
        SenderFiles(files(tmp_path, main=" \n\n"))
    with pytest.raises(SettingsError, match="No such file"):
        SenderFiles({"main": tmp_path / "none"})


def test_senders_that_share_a_token_stop_the_start_and_later_it_belongs_to_nobody(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="main and second share a token"):
        SenderFiles(files(tmp_path, main="same", second="same"))
    senders = SenderFiles(files(tmp_path, main="one", second="two"))
    (tmp_path / "second").write_text("one")
    assert senders.who("one") is None


def test_a_file_that_went_away_lets_nobody_in_is_logged_once_and_may_come_back(tmp_path: Path) -> None:
    senders = SenderFiles(files(tmp_path, main="one", second="two"))
    (tmp_path / "main").unlink()
    with structlog.testing.capture_logs() as logs:
        assert [senders.who("one"), senders.who("one"), senders.who("two")] == [None, None, "second"]
    assert [(entry["sender"], entry["reason"]) for entry in logs] == [("main", "No such file or directory")]
    (tmp_path / "main").write_text("new")
    assert (senders.who("new"), senders.who("one")) == ("main", None)


def test_a_file_that_is_spoilt_while_running_lets_nobody_in_without_showing_what_it_holds(tmp_path: Path) -> None:
    senders = SenderFiles(files(tmp_path, main="one"))
    (tmp_path / "main").write_text("secret-a\nsecret-b\nsecret-c")
    with structlog.testing.capture_logs() as logs:
        assert senders.who("secret-a") is None
    assert "secret" not in str(logs)


def test_a_token_that_is_no_unicode_is_nobodys(tmp_path: Path) -> None:
    assert SenderFiles(files(tmp_path, main="one")).who("\udcff\udcfe") is None
