import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dulwich.object_store import commit_tree_changes
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

from integrations.evidence.git import GitEvidence, Repository, Settings, build, normalised
from integrations.sandbox.git import GitServer
from service.domain import keys
from service.domain.facts import Absent, Key, Known
from service.domain.keys import FileChange, SourceChange
from service.domain.schema import Dialect

START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
NAME = "https://git.example/shop/web"
MIGRATION = "db/migrations/V2__drop.sql"
APP = {"app/main.py": "print('1')\n", "README.md": "web\n", "db/migrations/V1__start.sql": "create table a (b int);\n"}


class HandClock:
    def now(self) -> datetime:
        return START

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nothing waits {seconds} s here")


class Lab:
    """A Git server with one repository, and sources that read it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = GitServer(root=folder / "served")
        self.server.create("shop/web")
        self.commits = 0
        self._sources: list[GitEvidence] = []

    def commit(self, files: Mapping[str, str | None], *, branch: str = "main", name: str = "shop/web") -> str:
        self.commits += 1
        return self.server.commit(name, files, f"change {self.commits}", START + timedelta(minutes=self.commits), branch=branch)

    def add(self, sha: str, entries: Mapping[str, tuple[int, bytes]], *, name: str = "shop/web") -> str:
        """A commit on top of another with entries of any mode; a submodule's content is the sha it points to. No branch names it."""
        self.commits += 1
        with Repo(str(self.folder / "served" / f"{name}.git")) as repo:
            parent = repo[ObjectID(sha.encode())]
            assert isinstance(parent, Commit)
            tree = repo[parent.tree]
            assert isinstance(tree, Tree)
            changes: list[tuple[bytes, int | None, ObjectID | None]] = []
            for path, (mode, content) in entries.items():
                blob = Blob.from_string(content)
                if mode != 0o160000:
                    repo.object_store.add_object(blob)
                changes.append((path.encode(), mode, ObjectID(content) if mode == 0o160000 else blob.id))
            commit = Commit()
            commit.tree = commit_tree_changes(repo.object_store, tree, changes)
            commit.parents = [parent.id]
            commit.author = commit.committer = b"Test <test@example.invalid>"
            commit.author_time = commit.commit_time = int(START.timestamp()) + 60 * self.commits
            commit.author_timezone = commit.commit_timezone = 0
            commit.message = b"entries\n"
            repo.object_store.add_object(commit)
            return commit.id.decode()

    def source(self, *, settings: Mapping[str, Any] | None = None, **repository: Any) -> GitEvidence:
        where: dict[str, Any] = {} if {"url", "path"} & repository.keys() else {"url": self.server.file_url("shop/web")}
        configured = Repository(**{"repository": NAME, **where, **repository})
        source = build(Settings(**{"repositories": (configured,), "cache_dir": self.folder / "cache", "timeout_s": 10.0, **(settings or {})}), HandClock())
        self._sources.append(source)
        return source

    async def stop(self) -> None:
        for source in self._sources:
            await source.close()
        await self.server.stop()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    await lab.stop()


async def change(source: GitEvidence, old: str, new: str, repository: str = NAME) -> SourceChange:
    fact = await source.read(keys.source_change(repository, old, new))
    assert isinstance(fact, Known), fact
    assert isinstance(fact.value, SourceChange)
    return fact.value


async def absent(source: GitEvidence, old: str, new: str, repository: str = NAME) -> Absent:
    fact = await source.read(keys.source_change(repository, old, new))
    assert isinstance(fact, Absent), fact
    assert "\n" not in fact.why
    return fact


def by_path(found: SourceChange) -> dict[str, FileChange]:
    assert len({file.path for file in found.files}) == len(found.files)
    return {file.path: file for file in found.files}


NOWHERE = "f" * 40


# --- what differs -----------------------------------------------------------------------------------------------------------


async def test_every_file_that_differs_is_named_and_migrations_have_their_text(lab: Lab) -> None:
    old = lab.commit({**APP, "gone.py": "x"})
    new = lab.commit({"app/main.py": "print('2')\n", MIGRATION: "alter table a drop column b;\n", "requirements.txt": "django==6\n", "gone.py": None})
    found = await change(lab.source(), old, new)
    assert (found.repository, found.old, found.new, found.has_code, found.backwards) == (NAME, old, new, True, False)
    files = by_path(found)
    assert {path: (file.change, file.text) for path, file in files.items()} == {
        "app/main.py": ("modified", None),
        MIGRATION: ("added", "alter table a drop column b;\n"),
        "requirements.txt": ("added", "django==6\n"),
        "gone.py": ("deleted", None),
    }
    assert all(file.why_no_text for file in files.values() if file.text is None)


async def test_changes_in_between_that_were_taken_back_do_not_differ(lab: Lab) -> None:
    old = lab.commit(APP)
    lab.commit({MIGRATION: "drop table a;"})
    new = lab.commit({MIGRATION: None, "README.md": "more\n"})
    assert set(by_path(await change(lab.source(), old, new))) == {"README.md"}


async def test_the_same_revision_differs_in_nothing(lab: Lab) -> None:
    old = lab.commit(APP)
    found = await change(lab.source(), old, old)
    assert (found.files, found.backwards, found.has_code) == ((), False, True)


async def test_a_renamed_migration_is_one_deleted_and_one_added(lab: Lab) -> None:
    old = lab.commit(APP)
    new = lab.commit({"db/migrations/V1__start.sql": None, "db/migrations/V1_1__start.sql": APP["db/migrations/V1__start.sql"]})
    files = by_path(await change(lab.source(), old, new))
    assert files["db/migrations/V1__start.sql"].change == "deleted"
    assert files["db/migrations/V1_1__start.sql"].text == APP["db/migrations/V1__start.sql"]


async def test_going_to_an_ancestor_is_backwards(lab: Lab) -> None:
    first, second = lab.commit(APP), lab.commit({"a.py": "1"})
    third = lab.commit({"b.py": "1"})
    aside = lab.commit({"c.py": "1"}, branch="aside")
    source = lab.source()
    assert [(await change(source, old, new)).backwards for old, new in ((third, first), (first, third), (second, third), (second, aside))] == [
        True,
        False,
        False,
        False,
    ]


async def test_submodules_links_and_lfs_pointers_are_named_without_text(lab: Lab) -> None:
    old = lab.commit(APP)
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"
    entries = {
        "vendor/migrations": (0o160000, NOWHERE.encode()),
        "db/migrations/V3__a.sql": (0o120000, b"../elsewhere.sql"),
        "db/migrations/V4__b.sql": (0o100644, pointer),
        "db/migrations/V5__c.sql": (0o100644, b"\xff\xfe"),
    }
    files = by_path(await change(lab.source(), old, lab.add(old, entries)))
    assert {path: file.text for path, file in files.items()} == dict.fromkeys(entries)
    whys = [files[path].why_no_text for path in entries]
    assert [word in why for word, why in zip(("submodule", "symbolic link", "LFS", "UTF-8"), whys, strict=True)] == [True] * 4


async def test_a_file_that_becomes_a_link_is_not_lost(lab: Lab) -> None:
    old = lab.commit(APP)
    found = await change(lab.source(), old, lab.add(old, {"db/migrations/V1__start.sql": (0o120000, b"x")}))
    assert sorted((file.path, file.change) for file in found.files) == [("db/migrations/V1__start.sql", "added"), ("db/migrations/V1__start.sql", "deleted")]


async def test_text_beyond_the_limits_is_named_without_text(lab: Lab) -> None:
    old = lab.commit(APP)
    sizes = {"db/migrations/V2__a.sql": 1_000_001, "db/migrations/V3__b.sql": 600_000, "db/migrations/V4__c.sql": 600_000}
    new = lab.commit({path: "-" * size for path, size in sizes.items()})
    files = by_path(await change(lab.source(settings={"most_file_mb": 1, "most_text_mb": 1}), old, new))
    assert [files[path].text is None for path in sizes] == [True, False, True]
    assert "larger than 1 MB" in files["db/migrations/V2__a.sql"].why_no_text
    assert "together" in files["db/migrations/V4__c.sql"].why_no_text


async def test_more_files_than_allowed_are_unknown(lab: Lab) -> None:
    old = lab.commit(APP)
    new = lab.commit({f"{number}.md": "x" for number in range(4)})
    assert "most_files" in (await absent(lab.source(settings={"most_files": 3}), old, new)).clears


async def test_the_operator_names_more_migrations(lab: Lab) -> None:
    old = lab.commit(APP)
    new = lab.commit({"weird/place/change.txt": "drop table a;"})
    assert by_path(await change(lab.source(), old, new))["weird/place/change.txt"].text is None
    assert by_path(await change(lab.source(migrations=("weird/*.txt",)), old, new))["weird/place/change.txt"].text == "drop table a;"


async def test_the_composer_says_what_is_interesting(lab: Lab, tmp_path: Path) -> None:
    old = lab.commit(APP)
    new = lab.commit({"a.abc": "yes", MIGRATION: "no"})
    settings = Settings(repositories=(Repository(repository=NAME, url=lab.server.file_url("shop/web")),), cache_dir=tmp_path / "other")
    source = build(settings, HandClock(), lambda path: path.endswith(".abc"))
    files = by_path(await change(source, old, new))
    await source.close()
    assert (files["a.abc"].text, files[MIGRATION].text) == ("yes", None)


# --- configuration or code --------------------------------------------------------------------------------------------------

CONFIGURATION = {
    "Chart.yaml": "a: b\n",
    "values.json": "{}",
    "README.md": "x",
    "templates/_helpers.tpl": "x",
    "templates/NOTES.txt": "x",
    "Makefile": "all:\n",
    "LICENSE": "x",
}


async def test_a_configuration_repository_has_no_code(lab: Lab) -> None:
    old = lab.commit({**CONFIGURATION, "scripts/render.py": "x", ".github/check.js": "x"})
    new = lab.commit({"Chart.yaml": "a: c\n"})
    assert not (await change(lab.source(), old, new)).has_code


async def test_code_at_one_of_the_revisions_is_code(lab: Lab) -> None:
    old = lab.commit(CONFIGURATION)
    new = lab.commit({"src/Main.java": "x"})
    source = lab.source()
    assert (await change(source, old, new)).has_code
    assert (await change(source, new, old)).has_code


@pytest.mark.parametrize("name", ["Dockerfile", "go.mod", "lib/a.RB", "deep/er/index.ts"])
async def test_what_builds_a_program_is_code(lab: Lab, name: str) -> None:
    revision = lab.commit({**CONFIGURATION, name: "x"})
    assert (await change(lab.source(), revision, revision)).has_code


async def test_the_operators_word_on_code_counts(lab: Lab) -> None:
    program, configuration = lab.commit(APP), lab.commit({**dict.fromkeys(APP), **CONFIGURATION})
    assert not (await change(lab.source(code=False), program, program)).has_code
    assert (await change(lab.source(code=True), configuration, configuration)).has_code


# --- which repository, which revision ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling",
    [
        "https://git.example/shop/web",
        "https://GIT.example:443/shop/web.git/",
        "http://git.example/shop/web",
        "git@git.example:shop/web.git",
        "ssh://git@git.example:22/shop/web",
        "https://u:hunter2@git.example/shop/web",
    ],
)
async def test_a_repository_is_known_in_every_spelling(lab: Lab, spelling: str) -> None:
    revision = lab.commit(APP)
    found = await change(lab.source(), revision, revision, spelling)
    assert found.repository == spelling


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://git.example:8443/a/b.git", "git.example:8443/a/b"),
        ("https://git.example/A/b", "git.example/A/b"),
        ("user@host.example:a/b.git", "host.example/a/b"),
        ("host.example:a/b", "host.example/a/b"),
        ("/srv/git/a.git", "/srv/git/a"),
        ("file:///srv/git/a.git", "/srv/git/a"),
        ("https://u:hunter2@host.example/a?x=1", "host.example/a"),
        ("", ""),
    ],
)
def test_addresses_are_compared_in_one_spelling(text: str, expected: str) -> None:
    assert normalised(text) == expected


async def test_an_alias_is_the_same_repository(lab: Lab) -> None:
    revision = lab.commit(APP)
    source = lab.source(aliases=("https://mirror.example/web",), dialect="postgres")
    await change(source, revision, revision, "https://mirror.example/web.git")
    assert source.dialect_of("git@mirror.example:web") is Dialect.POSTGRES
    assert source.dialect_of("https://git.example/other") is None


@pytest.mark.parametrize("repository", ["https://git.example/shop/other", "https://git.example/Shop/web", ""])
async def test_a_repository_that_is_not_configured_names_the_setting(lab: Lab, repository: str) -> None:
    revision = lab.commit(APP)
    assert "under `repositories`" in (await absent(lab.source(), revision, revision, repository)).clears


async def test_an_unknown_address_with_a_password_is_shown_without(lab: Lab) -> None:
    fact = await absent(lab.source(), NOWHERE, NOWHERE, "https://u:hunter2@git.example/secret")
    assert "git.example/secret" in fact.why
    assert "hunter2" not in f"{fact}"


@pytest.mark.parametrize("revision", ["main", "v2.5.0", "abc1234", "", "F" * 40, "a" * 64])
async def test_what_is_no_full_commit_id_is_unknown(lab: Lab, revision: str) -> None:
    full = lab.commit(APP)
    source = lab.source()
    assert "full commit id" in (await absent(source, full, revision)).why
    assert "full commit id" in (await absent(source, revision, full)).why


async def test_a_revision_that_is_no_commit_is_unknown(lab: Lab) -> None:
    revision = lab.commit(APP)
    with Repo(str(lab.folder / "served" / "shop/web.git")) as repo:
        commit = repo[ObjectID(revision.encode())]
        assert isinstance(commit, Commit)
        tree = commit.tree.decode()
    assert "no commit" in (await absent(lab.source(), revision, tree)).why


# --- fetching ---------------------------------------------------------------------------------------------------------------


async def test_it_is_fetched_over_http_once_and_again_only_for_a_missing_revision(lab: Lab) -> None:
    await lab.server.start()
    first, second = lab.commit(APP), lab.commit({"a.py": "1"})
    source = lab.source(url=lab.server.http_url("shop/web"))
    await asyncio.gather(*(change(source, first, second) for _ in range(4)))
    fetched = len(lab.server.seen)
    await change(source, second, first)
    assert len(lab.server.seen) == fetched
    third = lab.commit({MIGRATION: "drop table a;"})
    assert set(by_path(await change(source, second, third))) == {MIGRATION}
    assert len(lab.server.seen) > fetched


async def test_a_commit_that_no_branch_holds_any_more_is_fetched_by_name(lab: Lab) -> None:
    await lab.server.start()
    first = lab.commit(APP)
    orphan = lab.add(first, {"db/migrations/V9__x.sql": (0o100644, b"drop table a;")})
    for url in (lab.server.http_url("shop/web"), lab.server.file_url("shop/web")):
        assert set(by_path(await change(lab.source(url=url), first, orphan))) == {"db/migrations/V9__x.sql"}


@pytest.mark.parametrize("http", [True, False])
async def test_a_commit_that_is_nowhere_is_unknown(lab: Lab, http: bool) -> None:
    await lab.server.start()
    revision = lab.commit(APP)
    source = lab.source(url=lab.server.http_url("shop/web") if http else lab.server.file_url("shop/web"))
    assert f"no commit {NOWHERE}" in (await absent(source, revision, NOWHERE)).why
    await change(source, revision, revision)


async def test_a_folder_can_be_fetched_from(lab: Lab) -> None:
    revision = lab.commit(APP)
    assert (await change(lab.source(path=lab.folder / "served" / "shop/web.git"), revision, revision)).has_code


async def test_a_private_repository_needs_its_token(lab: Lab, tmp_path: Path) -> None:
    server = GitServer(root=tmp_path / "private", credential=("reader", "hunter2"))
    server.create("web")
    revision = server.commit("web", APP, "first", START)
    await server.start()
    token = tmp_path / "token"
    token.write_text("hunter2\n")
    wrong = tmp_path / "wrong"
    wrong.write_text("hunter3")
    url = server.http_url("web")
    try:
        assert "refuses our credential" in (await absent(lab.source(url=url), revision, revision)).why
        fact = await absent(lab.source(url=url, username="reader", token_file=wrong), revision, revision)
        assert "hunter3" not in f"{fact}"
        assert "token_file" in fact.clears
        missing = await absent(lab.source(url=url, token_file=tmp_path / "none"), revision, revision)
        assert "cannot be read" in missing.why
        await change(lab.source(url=url, username="reader", token_file=token), revision, revision)
    finally:
        await server.stop()


@pytest.mark.parametrize(("status", "expected"), [(404, "no Git repository"), (500, "500"), (403, "403"), (301, "301"), (200, "smart protocol")])
async def test_a_server_that_answers_something_else_is_unknown(lab: Lab, status: int, expected: str) -> None:
    await lab.server.start()
    revision = lab.commit(APP)
    lab.server.fail_with(status, body=b"<html>sorry</html>")
    assert expected in (await absent(lab.source(url=lab.server.http_url("shop/web")), revision, revision)).why


async def test_a_redirect_is_not_followed(lab: Lab, tmp_path: Path) -> None:
    elsewhere = GitServer(root=tmp_path / "served")
    await elsewhere.start()
    await lab.server.start()
    revision = lab.commit(APP)
    lab.server.fail_with(302, headers={"Location": f"{elsewhere.http_url('shop/web')}/info/refs?service=git-upload-pack"})
    fact = await absent(lab.source(url=lab.server.http_url("shop/web")), revision, revision)
    await elsewhere.stop()
    assert "302" in fact.why
    assert not elsewhere.seen


async def test_a_server_that_is_away_is_unknown(lab: Lab) -> None:
    await lab.server.start()
    revision = lab.commit(APP)
    url = lab.server.http_url("shop/web")
    await lab.server.go_down()
    assert "could not be read" in (await absent(lab.source(url=url), revision, revision)).why


async def test_a_server_that_is_slow_is_given_up(lab: Lab) -> None:
    await lab.server.start()
    revision = lab.commit(APP)
    lab.server.slow_down(30)
    source = lab.source(url=lab.server.http_url("shop/web"), settings={"timeout_s": 0.2})
    fact = await absent(source, revision, revision)
    lab.server.heal()
    assert "0.2 s" in fact.why or "timed out" in fact.why.lower() or "timeout" in fact.why.lower()


async def test_a_folder_without_a_repository_is_unknown(lab: Lab) -> None:
    assert "no Git repository" in (await absent(lab.source(path=lab.folder), NOWHERE, NOWHERE)).why


async def test_a_fetch_larger_than_allowed_is_given_up(lab: Lab) -> None:
    noise = b"".join(hashlib.sha512(number.to_bytes(4)).digest() for number in range(20_000))
    large = lab.add(lab.commit(APP), {"noise.bin": (0o100644, noise)})
    source = lab.source(settings={"most_fetch_mb": 1})
    assert "most_fetch_mb" in (await absent(source, large, large)).clears


async def test_a_shallow_history_is_enough_until_the_order_is_asked_for(lab: Lab) -> None:
    lab.commit(APP)
    second = lab.commit({"a.py": "1"})
    aside, third = lab.commit({"c.py": "1"}, branch="aside"), lab.commit({"b.py": "1"})
    source = lab.source()
    await change(source, aside, third)
    (mirror,) = (lab.folder / "cache").iterdir()
    with Repo(str(mirror)) as repo, Repo.init_bare(lab.folder / "shallow.git", mkdir=True) as shallow:
        for sha in repo.object_store:
            found = repo.object_store[sha]
            if not (isinstance(found, Commit) and not found.parents):
                shallow.object_store.add_object(found)
        shallow.refs[Ref(b"refs/heads/main")] = ObjectID(third.encode())
    shutil.rmtree(mirror)
    (lab.folder / "shallow.git").rename(mirror)
    assert set(by_path(await change(lab.source(), second, third))) == {"b.py"}
    assert (await change(lab.source(), third, second)).backwards
    assert "shallow" in (await absent(lab.source(), aside, third)).why


async def test_a_shallow_source_is_unknown(lab: Lab) -> None:
    first = lab.commit(APP)
    second = lab.commit({"a.py": "1"})
    with Repo(str(lab.folder / "served" / "shop/web.git")) as repo, Repo.init_bare(lab.folder / "shallow.git", mkdir=True) as shallow:
        for sha in repo.object_store:
            if sha != ObjectID(first.encode()):
                shallow.object_store.add_object(repo.object_store[sha])
        shallow.refs[Ref(b"refs/heads/main")] = ObjectID(second.encode())
    assert "shallow" in (await absent(lab.source(path=lab.folder / "shallow.git"), second, second)).why


async def test_a_damaged_mirror_is_unknown(lab: Lab) -> None:
    revision = lab.commit(APP)
    source = lab.source()
    await change(source, revision, revision)
    (mirror,) = (lab.folder / "cache").iterdir()
    for pack in mirror.glob("objects/pack/*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(b"PACK damaged")
    await absent(lab.source(), revision, revision)


# --- doctor, evidence, settings ---------------------------------------------------------------------------------------------


async def test_evidence_names_the_repository_and_both_revisions(lab: Lab) -> None:
    old, new = lab.commit(APP), lab.commit({"a.py": "1"})
    fact = await lab.source().read(keys.source_change(NAME, old, new))
    assert isinstance(fact, Known)
    assert fact.evidence.source == "git git.example/shop/web"
    assert old in fact.evidence.what
    assert new in fact.evidence.what
    assert fact.evidence.read_at == START


async def test_doctor_lists_the_branches_of_each_repository(lab: Lab) -> None:
    lab.commit(APP)
    (alone,) = await lab.source().check()
    assert alone.says == "1 branch or tag can be read"
    lab.commit({"a.py": "1"}, branch="aside")
    (well,) = await lab.source(aliases=("https://mirror.example/web",)).check()
    assert (well.well, well.says) == ("ok", "2 branches and tags can be read")
    (wrong,) = await lab.source(path=lab.folder / "nothing").check()
    assert wrong.well == "no"
    assert wrong.fix


async def test_a_key_of_another_kind_is_absent(lab: Lab) -> None:
    source = lab.source()
    assert isinstance(await source.read(Key("series", "x")), Absent)
    assert source.kinds == {"source change"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"repository": "git@git.example:shop/web"},
        {"repository": NAME, "url": "ssh://git@git.example/shop/web"},
        {"repository": NAME, "url": "https://u:hunter2@git.example/shop/web"},
        {"repository": "https://u:hunter2@git.example/shop/web"},
        {"repository": NAME, "url": "https://a.example/b", "path": "c"},
        {"repository": NAME, "aliases": ["git@git.example:other"], "dialect": "oracle"},
        {"repository": NAME, "branch": "main"},
    ],
)
def test_a_wrong_setting_is_refused_without_repeating_secrets(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="repositories") as raised:
        Settings.model_validate({"repositories": [wrong]})
    assert "hunter2" not in str(raised.value)


def test_a_repository_is_configured_once() -> None:
    with pytest.raises(ValueError, match="more than once"):
        Settings.model_validate({"repositories": [{"repository": NAME}, {"repository": "https://x.example/y", "aliases": [f"{NAME}.git"]}]})


async def test_the_declarations_of_the_older_revision_come_along_and_not_those_of_the_change(lab: Lab) -> None:
    first = lab.commit(APP)
    old = lab.commit({".backout.yaml": "waivers: []"})
    new = lab.commit({".backout.yaml": "waivers: [{rule: column_dropped, path: '*', reason: mine}]"})
    assert (await change(lab.source(), old, new)).declarations == "waivers: []"
    assert (await change(lab.source(), first, old)).declarations is None
