import asyncio
import gzip
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from dulwich.client import HttpGitClient, LocalGitClient
from dulwich.errors import GitProtocolError
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.repo import MemoryRepo, Repo

from integrations.sandbox.git import GitServer

AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[GitServer]:
    server = GitServer(root=tmp_path / "served")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Repo]:
    with Repo.init_bare(tmp_path / "target", mkdir=True) as repo:
        yield repo


def _files(repo: Repo | MemoryRepo, sha: str) -> dict[str, str]:
    commit = repo[ObjectID(sha.encode())]
    assert isinstance(commit, Commit)

    def walk(tree: ObjectID, prefix: str) -> Iterator[tuple[str, str]]:
        found = repo[tree]
        assert isinstance(found, Tree)
        for entry in found.items():
            assert entry.sha is not None
            assert entry.path is not None
            inner = repo[entry.sha]
            name = prefix + entry.path.decode()
            if isinstance(inner, Blob):
                yield name, inner.data.decode()
            else:
                yield from walk(entry.sha, f"{name}/")

    return dict(walk(commit.tree, ""))


def _fetch(server: GitServer, name: str, target: Repo, *shas: str, depth: int | None = None) -> dict[bytes, str]:
    client = HttpGitClient(server.url)
    wanted = [ObjectID(sha.encode()) for sha in shas]
    answer = client.fetch(f"/{name}.git", target, determine_wants=lambda refs, depth=None: wanted or list(set(refs.values())), depth=depth)  # noqa: ARG005
    return {bytes(ref): sha.decode() for ref, sha in answer.refs.items() if sha is not None}


def test_commits_add_change_and_delete_files(tmp_path: Path) -> None:
    server = GitServer(root=tmp_path)
    path = server.create("shop/checkout")
    first = server.commit("shop/checkout", {"a.txt": "1\n", "db/migrations/0001.sql": "create table t (id int);\n"}, "first", AT)
    second = server.commit("shop/checkout", {"a.txt": "2\n", "db/migrations/0001.sql": None, "b/c/d.txt": "new\n"}, "second", AT + timedelta(hours=1))
    with Repo(str(path)) as repo:
        assert _files(repo, first) == {"a.txt": "1\n", "db/migrations/0001.sql": "create table t (id int);\n"}
        assert _files(repo, second) == {"a.txt": "2\n", "b/c/d.txt": "new\n"}
        commit = repo[ObjectID(second.encode())]
        assert isinstance(commit, Commit)
        assert commit.parents == [first.encode()]
        assert (commit.commit_time, commit.author_timezone, commit.message) == (int((AT + timedelta(hours=1)).timestamp()), 0, b"second\n")
    assert server.head("shop/checkout") == second


def test_the_same_commit_at_the_same_time_has_the_same_sha(tmp_path: Path) -> None:
    server = GitServer(root=tmp_path)
    shas = []
    for name in ("one", "two"):
        server.create(name)
        shas.append(server.commit(name, {"a": "1"}, "first", AT))
    assert shas[0] == shas[1]


def test_a_new_branch_starts_at_main_and_leaves_it_alone(tmp_path: Path) -> None:
    server = GitServer(root=tmp_path)
    path = server.create("app")
    main = server.commit("app", {"a": "1"}, "first", AT)
    branch = server.commit("app", {"b": "2"}, "on the branch", AT, branch="fix")
    assert (server.head("app"), server.head("app", branch="fix")) == (main, branch)
    with Repo(str(path)) as repo:
        assert _files(repo, branch) == {"a": "1", "b": "2"}


def test_deleting_what_is_not_there_is_refused(tmp_path: Path) -> None:
    server = GitServer(root=tmp_path)
    server.create("app")
    server.commit("app", {"a": "1"}, "first", AT)
    with pytest.raises(KeyError, match="no file b"):
        server.commit("app", {"b": None}, "nothing", AT)


@pytest.mark.parametrize("name", ["../out", "/abs", "", "a//b", ".hidden", "a b"])
def test_a_name_that_could_leave_the_root_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a repository name"):
        GitServer(root=tmp_path).create(name)


def test_a_time_without_a_zone_and_a_taken_name_are_refused(tmp_path: Path) -> None:
    server = GitServer(root=tmp_path)
    server.create("app")
    with pytest.raises(FileExistsError):
        server.create("app")
    with pytest.raises(ValueError, match="time zone"):
        server.commit("app", {"a": "1"}, "first", datetime(2026, 5, 4))  # noqa: DTZ001  the mistake under test


async def test_everything_can_be_fetched_over_http(server: GitServer, target: Repo) -> None:
    server.create("shop/checkout")
    first = server.commit("shop/checkout", {"a": "1"}, "first", AT)
    second = server.commit("shop/checkout", {"a": "2"}, "second", AT)
    server.tag("shop/checkout", "v1", first)
    refs = await asyncio.to_thread(_fetch, server, "shop/checkout", target)
    assert refs == {b"HEAD": second, b"refs/heads/main": second, b"refs/tags/v1": first}
    assert (_files(target, first), _files(target, second)) == ({"a": "1"}, {"a": "2"})


async def test_a_commit_that_no_ref_points_to_can_be_fetched_by_its_sha(server: GitServer, target: Repo) -> None:
    server.create("app")
    first = server.commit("app", {"a": "1"}, "first", AT)
    second = server.commit("app", {"a": "2"}, "second", AT)
    await asyncio.to_thread(_fetch, server, "app", target, first)
    assert _files(target, first) == {"a": "1"}
    assert ObjectID(second.encode()) not in target.object_store


async def test_a_shallow_fetch_stops_at_its_depth(server: GitServer, target: Repo) -> None:
    server.create("app")
    first = server.commit("app", {"a": "1"}, "first", AT)
    second = server.commit("app", {"a": "2"}, "second", AT)
    await asyncio.to_thread(_fetch, server, "app", target, second, depth=1)
    assert _files(target, second) == {"a": "2"}
    assert ObjectID(first.encode()) not in target.object_store


async def test_a_sha_that_does_not_exist_is_refused_in_gits_words(server: GitServer, target: Repo) -> None:
    server.create("app")
    server.commit("app", {"a": "1"}, "first", AT)
    missing = "0123456789" * 4
    with pytest.raises(GitProtocolError):
        await asyncio.to_thread(_fetch, server, "app", target, missing)
    want = f"want {missing} ofs-delta side-band-64k thin-pack\n"
    body, headers = f"{len(want) + 4:04x}{want}00000009done\n", {"Content-Type": "application/x-git-upload-pack-request"}
    async with aiohttp.ClientSession() as http, http.post(f"{server.http_url('app')}/git-upload-pack", data=body, headers=headers) as response:
        assert await response.text() == f"0049ERR upload-pack: not our ref {missing}"


def test_a_repository_can_be_read_as_a_file(tmp_path: Path, target: Repo) -> None:
    server = GitServer(root=tmp_path / "served")
    path = server.create("app")
    first = server.commit("app", {"a": "1"}, "first", AT)
    assert server.file_url("app") == path.as_uri()
    LocalGitClient().fetch(str(path), target)
    assert _files(target, first) == {"a": "1"}


async def test_an_unknown_repository_and_pushing_are_refused(server: GitServer) -> None:
    server.create("app")
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{server.url}/nobody.git/info/refs?service=git-upload-pack") as response:
            assert response.status == 404
        async with http.get(f"{server.url}/..%2fapp.git/info/refs?service=git-upload-pack") as response:
            assert response.status == 404
        async with http.get(f"{server.http_url('app')}/info/refs?service=git-receive-pack") as response:
            assert response.status == 403
        async with http.post(f"{server.http_url('app')}/git-receive-pack", headers={"Content-Type": "application/x-git-receive-pack-request"}) as response:
            assert response.status == 403


async def test_a_private_server_asks_for_the_credential(tmp_path: Path) -> None:
    server = GitServer(root=tmp_path, credential=("backout", "made-up"))
    await server.start()
    server.create("app")
    server.commit("app", {"a": "1"}, "first", AT)
    url = f"{server.http_url('app')}/info/refs?service=git-upload-pack"
    async with aiohttp.ClientSession() as http:
        async with http.get(url) as response:
            assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Basic realm="sandbox-git"')
        async with http.get(url, headers={"Authorization": aiohttp.encode_basic_auth("backout", "wrong")}) as response:
            assert response.status == 401
        async with http.get(url, headers={"Authorization": aiohttp.encode_basic_auth("backout", "made-up")}) as response:
            assert response.status == 200
            assert b"allow-any-sha1-in-want" in await response.read()
    await server.stop()


async def test_a_compressed_request_is_understood(server: GitServer) -> None:
    server.create("app")
    sha = server.commit("app", {"a": "1"}, "first", AT)
    want = f"want {sha} ofs-delta side-band-64k thin-pack\n"
    body = gzip.compress(f"{len(want) + 4:04x}{want}00000009done\n".encode())
    headers = {"Content-Type": "application/x-git-upload-pack-request", "Content-Encoding": "gzip"}
    async with aiohttp.ClientSession() as http, http.post(f"{server.http_url('app')}/git-upload-pack", data=body, headers=headers) as response:
        assert response.status == 200
        assert b"PACK" in await response.read()


async def test_a_server_that_is_down_refuses_and_comes_back_with_its_repositories(server: GitServer, target: Repo) -> None:
    server.create("app")
    sha = server.commit("app", {"a": "1"}, "first", AT)
    await server.go_down()
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get(f"{server.http_url('app')}/info/refs?service=git-upload-pack")
    await server.come_back()
    assert (await asyncio.to_thread(_fetch, server, "app", target))[b"HEAD"] == sha


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize("over", ["http", "file"])
async def test_the_real_git_clones_and_fetches_by_sha(server: GitServer, tmp_path: Path, over: str) -> None:
    server.create("app")
    first = server.commit("app", {"a": "1"}, "first", AT)
    second = server.commit("app", {"a": "2", "d/e": "3"}, "second", AT)
    url = server.http_url("app") if over == "http" else server.file_url("app")

    def git(*arguments: str) -> str:
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
        return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=30).stdout

    await asyncio.to_thread(git, "clone", "-q", url, "clone")
    assert (tmp_path / "clone" / "d" / "e").read_text() == "3"
    assert (await asyncio.to_thread(git, "-C", "clone", "fsck", "--strict")).strip() == ""
    assert (await asyncio.to_thread(git, "ls-remote", url, "refs/heads/main")).split() == [second, "refs/heads/main"]
    await asyncio.to_thread(git, "init", "-q", "--bare", "by-sha.git")
    await asyncio.to_thread(git, "-C", "by-sha.git", "fetch", "-q", "--depth=1", url, first)
    assert (await asyncio.to_thread(git, "-C", "by-sha.git", "show", f"{first}:a")) == "1"
