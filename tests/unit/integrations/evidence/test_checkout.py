import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dulwich.objects import Blob, Commit, ObjectID
from dulwich.repo import Repo

from integrations.evidence.checkout import Checkout, read
from integrations.sandbox.git import GitServer
from service.domain.errors import BackoutError
from service.domain.pull_request import MissingHistoryError, NoRepositoryError
from service.domain.schema import Dialect
from service.domain.schema_change import schema_change
from service.domain.waivers import FILE

START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
PATH = "db/migrations/V2__drop.sql"


class Clone:
    """A repository on disk, as a pipeline finds it."""

    def __init__(self, root: Path) -> None:
        self._server = GitServer(root=root)
        self.folder = self._server.create("shop")
        self.commits = 0

    def commit(self, files: Mapping[str, str | None], branch: str = "main") -> str:
        self.commits += 1
        return self._server.commit("shop", files, f"change {self.commits}", START + timedelta(minutes=self.commits), branch=branch)

    def read(self, old: str, new: str, dialect: Dialect = Dialect.UNKNOWN) -> Checkout:
        return read(self.folder, old, new, dialect=dialect)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    clone = Clone(tmp_path / "root")
    clone.commit({"src/app.py": "1", "db/migrations/V1__a.sql": "create table a (b int);"})
    return clone


def paths(found: Checkout) -> dict[str, str]:
    return {file.path: file.change for file in found.change.files}


def test_two_revisions_are_compared_however_git_names_them(clone: Clone) -> None:
    clone.commit({"src/app.py": "2"})
    new = clone.commit({PATH: "alter table a drop column b;"}, branch="feature")
    with Repo(str(clone.folder)) as repo:
        repo.refs[b"refs/tags/v1"] = repo.refs[b"refs/heads/main"]  # type: ignore[index]
        repo.refs[b"refs/remotes/origin/only-there"] = repo.refs[b"refs/heads/main"]  # type: ignore[index]
    for old, to in (("main", "feature"), ("v1", new), (new[:9] + "~1", new[:9]), ("feature^", "refs/heads/feature"), ("only-there", "feature^0")):
        assert paths(clone.read(old, to)) == {PATH: "added"}, old
    assert set(paths(clone.read("feature~2", "feature"))) == {PATH, "src/app.py"}


def test_a_folder_inside_a_clone_will_do(tmp_path: Path) -> None:
    with Repo.init(str(tmp_path / "work"), mkdir=True) as repo:
        for number, content in enumerate((b"1", b"2")):
            (tmp_path / "work" / "app.py").write_bytes(content)
            repo.get_worktree().stage(["app.py"])
            repo.get_worktree().commit(message=b"x", committer=b"a <a@example.invalid>", author=b"a <a@example.invalid>", commit_timestamp=number)
    (tmp_path / "work" / "deep").mkdir()
    assert paths(read(tmp_path / "work" / "deep", "HEAD~1", "HEAD", dialect=Dialect.UNKNOWN)) == {"app.py": "modified"}


def test_declarations_are_those_of_the_older_revision(clone: Clone) -> None:
    clone.commit({FILE: "schema: {dialect: mysql, migrations: ['steps/*.sql']}"})
    clone.commit({FILE: "waivers: [{rule: column_dropped, path: '*', reason: mine}]", "steps/1.sql": "alter table a drop column b;"}, branch="feature")
    found = clone.read("main", "feature")
    assert found.declarations is not None
    assert "waivers" not in found.declarations
    assert (found.change.dialect, found.change.patterns) == ("mysql", ("steps/*.sql",))
    assert [one.rule for one in schema_change(found.change).reading.statements] == ["column_dropped"]
    assert clone.read("main", "feature", Dialect.SQLITE).change.dialect == "sqlite"


def test_wrong_declarations_stop_the_check(clone: Clone) -> None:
    clone.commit({FILE: "waivres: []"})
    clone.commit({"src/app.py": "2"}, branch="feature")
    with pytest.raises(BackoutError, match="waivres"):
        clone.read("main", "feature")


def test_revisions_that_parted_are_told(clone: Clone) -> None:
    clone.commit({"src/app.py": "2"}, branch="feature")
    assert clone.read("main", "feature").parted is False
    clone.commit({"src/other.py": "3"})
    assert clone.read("main", "feature").parted is True


# --- what is missing --------------------------------------------------------------------------------------------------------


def cut_history(folder: Path, keep: str) -> None:
    """What a shallow clone looks like: the parents of `keep` are not there."""
    with Repo(str(folder)) as repo:
        commit = repo[ObjectID(keep.encode())]
        assert isinstance(commit, Commit)
        for sha in commit.parents:
            (folder / "objects" / sha[:2].decode() / sha[2:].decode()).unlink()
    (folder / "shallow").write_text(f"{keep}\n", encoding="ascii")


def test_a_shallow_clone_names_the_depth_to_fetch(clone: Clone) -> None:
    old = clone.commit({"src/app.py": "2"})
    new = clone.commit({"src/app.py": "3"})
    with Repo(str(clone.folder)) as repo:
        del repo.refs[b"refs/heads/main"]  # type: ignore[arg-type]
        repo.refs[b"refs/heads/feature"] = new.encode()  # type: ignore[index, assignment]
    cut_history(clone.folder, new)
    for name in ("main", old, "feature~1"):
        with pytest.raises(MissingHistoryError) as raised:
            clone.read(name, "feature")
        assert "fetch-depth: 0" in raised.value.clears
        assert "GIT_DEPTH: 0" in raised.value.clears


def test_a_shallow_clone_that_has_both_ends_is_enough(clone: Clone) -> None:
    new = clone.commit({PATH: "alter table a drop column b;"}, branch="feature")
    old = clone.commit({"src/app.py": "2"})
    cut_history(clone.folder, old)
    found = clone.read("main", new)
    assert found.parted is None
    assert PATH in paths(found)


def test_a_partial_clone_that_lacks_a_text_is_missing_history_not_an_empty_file(clone: Clone) -> None:
    new = clone.commit({PATH: "alter table a drop column b;"}, branch="feature")
    sha = Blob.from_string(b"alter table a drop column b;").id
    (clone.folder / "objects" / sha[:2].decode() / sha[2:].decode()).unlink()
    with pytest.raises(MissingHistoryError, match="partial"):
        clone.read("main", new)


def test_a_wrong_name_says_what_a_pipeline_often_lacks(clone: Clone) -> None:
    with pytest.raises(MissingHistoryError, match="not known") as raised:
        clone.read("mian", "main")
    assert "git fetch origin mian" in raised.value.clears


@pytest.mark.parametrize("name", ["", "-x y", "main:db", "HEAD@{1}", "a..b", "main~x", "^main", "main\n", "HEAD~99999999999"])
def test_a_name_that_is_none_is_refused(clone: Clone, name: str) -> None:
    with pytest.raises(BackoutError):
        clone.read(name, "main")


def test_the_beginning_of_the_history_is_no_missing_history(clone: Clone) -> None:
    with pytest.raises(BackoutError, match="before the beginning") as raised:
        clone.read("main~5", "main")
    assert not isinstance(raised.value, MissingHistoryError)


def test_no_repository_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoRepositoryError):
        read(tmp_path / "empty", "a", "b", dialect=Dialect.UNKNOWN)
    with pytest.raises(NoRepositoryError):
        read(tmp_path / "nowhere", "a", "b", dialect=Dialect.UNKNOWN)


def test_broken_objects_are_unknown_not_a_crash(clone: Clone) -> None:
    new = clone.commit({PATH: "alter table a drop column b;"}, branch="feature")
    file = clone.folder / "objects" / new[:2] / new[2:]
    file.chmod(0o644)
    file.write_bytes(os.urandom(64))
    with pytest.raises(BackoutError):
        clone.read("main", new)


def test_nothing_of_the_clones_configuration_is_run(clone: Clone, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    with Repo(str(clone.folder)) as repo:
        config = repo.get_config()
        for section, name in (((b"core",), b"fsmonitor"), ((b"core",), b"sshCommand"), ((b"diff", b"x"), b"command"), ((b"filter", b"x"), b"smudge")):
            config.set(section, name, f"touch {mark}".encode())
        config.write_to_path()
    clone.commit({PATH: "select 1;", ".gitattributes": "* filter=x diff=x"}, branch="feature")
    assert PATH in paths(clone.read("main", "feature"))
    assert not mark.exists()
