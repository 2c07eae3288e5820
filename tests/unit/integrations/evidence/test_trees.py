from datetime import UTC, datetime
from pathlib import Path

import pytest
from dulwich.objects import Commit, ObjectID
from dulwich.repo import Repo

from integrations.evidence.trees import Deadline, Limits, Trees, UnknownError
from integrations.sandbox.git import GitServer

START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
DJANGO = {"manage.py": "x", "web/settings.py": "DATABASES = {}", "shop/migrations/0001_initial.py": "first", "shop/models.py": "models"}


def trees(folder: Path, old: str, new: str, limits: Limits | None = None, *, seconds: float = 60) -> Trees:
    with Repo(str(folder / "shop.git")) as repo:
        found = [repo.object_store[ObjectID(sha.encode())] for sha in (old, new)]
    assert isinstance(found[0], Commit)
    assert isinstance(found[1], Commit)
    return Trees(repo.object_store, found[0], found[1], limits or Limits(), Deadline(seconds))


@pytest.fixture
def server(tmp_path: Path) -> GitServer:
    server = GitServer(root=tmp_path)
    server.create("shop")
    return server


def test_what_readers_need_beside_the_changed_files_is_read_from_the_newer_tree(tmp_path: Path, server: GitServer) -> None:
    old = server.commit("shop", DJANGO, "1", START)
    new = server.commit("shop", {"shop/migrations/0002_more.py": "second", "shop/models.py": "other"}, "2", START)
    read = trees(tmp_path, old, new)
    files = tuple(read.differences())
    assert dict(read.beside(files)) == {"shop/migrations/0001_initial.py": "first", "web/settings.py": "DATABASES = {}"}


def test_a_changed_file_has_its_older_text_too(tmp_path: Path, server: GitServer) -> None:
    old = server.commit("shop", {"go.mod": "a 1\n", "x.go": "package x"}, "1", START)
    new = server.commit("shop", {"go.mod": "a 2\n", "x.go": "package y"}, "2", START)
    found = {file.path: (file.before, file.text) for file in trees(tmp_path, old, new).differences()}
    assert found == {"go.mod": ("a 1\n", "a 2\n"), "x.go": (None, None)}


def test_a_path_that_leads_out_of_the_tree_names_nothing(tmp_path: Path, server: GitServer) -> None:
    old = server.commit("shop", {"a/b.txt": "x"}, "1", START)
    read = trees(tmp_path, old, old)
    assert read.text_at("a/b.txt") == "x"
    for path in ("../a/b.txt", "/etc/passwd", "a/../a/b.txt", "a", "a/b.txt/c", ""):
        assert read.text_at(path) is None
    assert read.names_in("a") == ["b.txt"]
    assert list(read.names_in("..")) == list(read.names_in("nowhere")) == []
    assert [path for path, _ in read.paths_below("a")] == ["a/b.txt"]


def test_all_texts_together_are_bounded(tmp_path: Path, server: GitServer) -> None:
    old = server.commit("shop", {"README": "x"}, "1", START)
    new = server.commit("shop", {f"db/migrations/V{number}__x.sql": "-" * 600_000 for number in range(4)}, "2", START)
    files = list(trees(tmp_path, old, new, Limits(most_text_mb=1)).differences())
    assert [file.text is not None for file in files] == [True, False, False, False]
    assert "larger than 1 MB" in files[-1].why_no_text


def test_time_that_is_over_ends_the_work(tmp_path: Path, server: GitServer) -> None:
    sha = server.commit("shop", {"a": "x"}, "1", START)
    other = server.commit("shop", {"a": "y"}, "2", START)
    read = trees(tmp_path, sha, other, seconds=0)
    with pytest.raises(UnknownError, match="given up"):
        list(read.differences())
