from datetime import UTC, datetime
from pathlib import Path

import pytest
from dulwich.object_store import commit_tree_changes
from dulwich.objects import Blob, Commit, ObjectID
from dulwich.repo import Repo

from integrations.evidence.trees import Deadline, Difference, Limits, Trees, UnknownError, difference
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


def compared(folder: Path, old: str, new: str) -> Difference:
    with Repo(str(folder / "shop.git")) as repo:
        found = [repo.object_store[ObjectID(sha.encode())] for sha in (old, new)]
    assert isinstance(found[0], Commit)
    assert isinstance(found[1], Commit)
    return difference(repo.object_store, found[0], found[1], Limits(), Deadline(60))


def test_a_file_in_a_folder_that_the_configuration_names_is_read_as_a_migration(tmp_path: Path, server: GitServer) -> None:
    old = server.commit("shop", {"svc/diesel.toml": '[migrations_directory]\ndir = "changes"\n', "svc/changes/1/a.sql": "SELECT 1"}, "1", START)
    new = server.commit("shop", {"svc/changes/2/b.sql": "DROP TABLE o", "other/changes/c.sql": "DROP TABLE p"}, "2", START)
    found = compared(tmp_path, old, new)
    assert (found.patterns, found.elsewhere) == (("svc/changes/*.sql",), ())
    assert {file.path: file.text for file in found.files} == {"svc/changes/2/b.sql": "DROP TABLE o", "other/changes/c.sql": None}


def test_what_the_configuration_names_outside_of_the_repository_is_said(tmp_path: Path, server: GitServer) -> None:
    settings = "[alembic]\nscript_location = {}\n"
    old = server.commit(
        "shop", {"a/alembic.ini": settings.format("../../x"), "b/alembic.ini": settings.format("/srv/x"), "a/x.py": "", "b/x.py": ""}, "1", START
    )
    new = server.commit("shop", {"a/x.py": "1", "b/x.py": "1"}, "2", START)
    assert compared(tmp_path, old, new).elsewhere == (
        ("a/alembic.ini", "names ../../x/versions for migrations, which leads out of the repository"),
        ("b/alembic.ini", "names /srv/x/versions for migrations, which is an absolute path"),
    )


def test_the_folder_of_an_image_is_the_one_of_the_repository_that_its_end_names(tmp_path: Path, server: GitServer) -> None:
    files = {"alembic.ini": "[alembic]\nscript_location = /app/store/changes\n", "store/changes/versions/one.py": "1"}
    old = server.commit("shop", files, "1", START)
    new = server.commit("shop", {"store/changes/versions/two.py": "2"}, "2", START)
    found = compared(tmp_path, old, new)
    assert (found.elsewhere, found.files[0].text) == ((), "2")


def test_a_folder_behind_a_symbolic_link_is_said(tmp_path: Path, server: GitServer) -> None:
    old = server.commit("shop", {"diesel.toml": '[migrations_directory]\ndir = "store/changes"\n', "x": "1"}, "1", START)
    new = server.commit("shop", {"x": "2"}, "2", START)
    with Repo(str(tmp_path / "shop.git")) as repo:
        commit, link = repo.object_store[ObjectID(new.encode())], Blob.from_string(b"../elsewhere")
        assert isinstance(commit, Commit)
        repo.object_store.add_object(link)
        commit.tree = commit_tree_changes(repo.object_store, ObjectID(commit.tree), [(b"store", 0o120000, link.id)])
        repo.object_store.add_object(commit)
        new = commit.id.decode()
    assert compared(tmp_path, old, new).elsewhere == (("diesel.toml", "names store/changes for migrations, which is behind a symbolic link"),)


NARROWS = {"db/migrations/V3__c.sql": "ALTER TABLE orders MODIFY note varchar(10);"}
MADE = {"db/migrations/V1__a.sql": "CREATE TABLE orders (note varchar(20));", "db/migrations/V2__b.sql": "CREATE TABLE other (id int);"}


def test_the_earlier_migrations_that_name_what_a_new_one_changes_are_read(tmp_path: Path, server: GitServer) -> None:
    old = server.commit("shop", {**MADE, "db/migrations/V9__z.sql": "ALTER TABLE orders MODIFY note text;"}, "1", START)
    new = server.commit("shop", NARROWS, "2", START)
    read = trees(tmp_path, old, new)
    assert [path for path, _ in read.beside(tuple(read.differences()))] == ["db/migrations/V1__a.sql"]


def test_one_earlier_migration_that_cannot_be_read_leaves_all_of_them_away(tmp_path: Path, server: GitServer) -> None:
    unread = {"db/migrations/V2__b.sql": "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"}
    old = server.commit("shop", {**MADE, **unread}, "1", START)
    new = server.commit("shop", NARROWS, "2", START)
    read = trees(tmp_path, old, new)
    assert read.beside(tuple(read.differences())) == ()


def test_a_clone_without_the_earlier_texts_is_compared_as_before(tmp_path: Path, server: GitServer) -> None:
    old = server.commit("shop", MADE, "1", START)
    new = server.commit("shop", NARROWS, "2", START)
    missing = Blob.from_string(MADE["db/migrations/V1__a.sql"].encode()).id.decode()
    (tmp_path / "shop.git" / "objects" / missing[:2] / missing[2:]).unlink()
    read = trees(tmp_path, old, new)
    files = tuple(read.differences())
    assert [file.path for file in files] == ["db/migrations/V3__c.sql"]
    assert read.beside(files) == ()
