"""A Git server on loopback: real bare repositories on disk, read as `file://` or over smart HTTP as `http://…/NAME.git`.

Commits are made in Python with `commit`; pushing over HTTP is refused, nothing here needs it.
"""

import asyncio
import base64
import hmac
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from dulwich.errors import GitProtocolError, NotGitRepository
from dulwich.object_store import commit_tree_changes
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.protocol import pkt_line
from dulwich.refs import Ref
from dulwich.repo import Repo
from dulwich.server import Backend, UploadPackHandler
from dulwich.web import HTTPGitApplication

from integrations.sandbox.http import LoopbackServer
from integrations.sandbox.ports import HOST

AUTHOR = b"Sandbox <sandbox@example.invalid>"
FILE_MODE = 0o100644
BRANCH = "main"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


class GitServer(LoopbackServer):
    """Repositories below `root`. With `credential` (user, password) reading over HTTP asks for it by Basic authentication, as a private forge does."""

    def __init__(self, *, root: Path, credential: tuple[str, str] | None = None, port: int = 0) -> None:
        super().__init__(port=port)
        self._root = root
        self._credential = credential

    def create(self, name: str) -> Path:
        """Make an empty bare repository `name` (may hold slashes) and answer its folder.

        ValueError for a name that could leave the root, FileExistsError when it is taken.
        """
        path = self._path(name)
        path.mkdir(parents=True)
        with Repo.init_bare(path, default_branch=BRANCH.encode()) as repo:
            config = repo.get_config()
            config.set((b"uploadpack",), b"allowAnySHA1InWant", b"true")  # the same over file:// as over HTTP
            config.write_to_path()
        return path

    def file_url(self, name: str) -> str:
        """`file://…` of a repository."""
        return self._path(name).as_uri()

    def http_url(self, name: str) -> str:
        """`http://127.0.0.1:PORT/NAME.git`, known once started."""
        return f"{self.url}/{name}.git"

    def commit(self, name: str, files: Mapping[str, str | None], message: str, at: datetime, *, branch: str = BRANCH) -> str:
        """Commit on the branch: text = the file's new content, None = delete it. Answers the commit's sha. KeyError when a file to delete is not there.

        A branch that does not exist yet starts at the head of `main`, or empty in an empty repository.
        """
        if at.tzinfo is None:
            raise ValueError("a commit's time needs a time zone")
        with Repo(str(self._path(name))) as repo:
            ref = Ref(f"refs/heads/{branch}".encode())
            start = ref if ref in repo.refs else Ref(f"refs/heads/{BRANCH}".encode())
            parent = repo.refs[start] if start in repo.refs else None  # noqa: SIM401  Dulwich's container of refs has no get()
            tree = _tree_of(repo, parent)
            changes: list[tuple[bytes, int | None, ObjectID | None]] = []
            for path, text in files.items():
                if text is None:
                    if not _holds(repo, tree, path):
                        raise KeyError(f"{name} has no file {path} to delete")
                    changes.append((path.encode(), None, None))
                else:
                    blob = Blob.from_string(text.encode())
                    repo.object_store.add_object(blob)
                    changes.append((path.encode(), FILE_MODE, blob.id))
            commit = Commit()
            commit.tree = commit_tree_changes(repo.object_store, tree, changes)
            commit.parents = [parent] if parent is not None else []
            commit.author = commit.committer = AUTHOR
            commit.author_time = commit.commit_time = int(at.timestamp())
            commit.author_timezone = commit.commit_timezone = 0
            commit.encoding = b"UTF-8"
            commit.message = message.encode() if message.endswith("\n") else f"{message}\n".encode()
            repo.object_store.add_object(commit)
            repo.refs[ref] = commit.id
            return commit.id.decode("ascii")

    def tag(self, name: str, tag: str, sha: str) -> None:
        """Point a lightweight tag at a commit; it moves if it was taken."""
        with Repo(str(self._path(name))) as repo:
            repo.refs[Ref(f"refs/tags/{tag}".encode())] = ObjectID(sha.encode("ascii"))

    def head(self, name: str, *, branch: str = BRANCH) -> str:
        """The sha a branch points to; KeyError when there is no such branch."""
        with Repo(str(self._path(name))) as repo:
            return repo.refs[Ref(f"refs/heads/{branch}".encode())].decode("ascii")

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """Everything goes to Dulwich's Git application, which speaks the smart protocol."""
        return (web.route("*", "/{path:.*}", self._serve),)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a repository name: {name!r}")
        return self._root / f"{name}.git"

    async def _serve(self, request: web.Request) -> web.Response:
        if self._credential is not None and not _presents(request, self._credential):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="sandbox-git"'}, text="authentication required\n")
        call = _Call(
            root=self._root,
            method=request.method,
            path=request.path,
            query=request.query_string,
            headers=dict(request.headers),
            body=await request.read(),
        )
        # Dulwich reads files and packs objects while it answers: off the loop.
        answer = await asyncio.to_thread(call.run)
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


def _tree_of(repo: Repo, commit: ObjectID | None) -> Tree:
    if commit is None:
        return Tree()
    found = repo[commit]
    if not isinstance(found, Commit):
        raise TypeError(f"{commit!r} is not a commit")
    tree = repo[found.tree]
    if not isinstance(tree, Tree):
        raise TypeError(f"{found.tree!r} is not a tree")
    return tree


def _holds(repo: Repo, tree: Tree, path: str) -> bool:
    try:
        tree.lookup_path(repo.object_store.__getitem__, path.encode())
    except KeyError:
        return False
    return True


def _presents(request: web.Request, credential: tuple[str, str]) -> bool:
    expected = "Basic " + base64.b64encode(":".join(credential).encode()).decode()
    return hmac.compare_digest(request.headers.get("Authorization", "").encode(), expected.encode())


class _UploadPack(UploadPackHandler):
    """Upload-pack that says what the forges say: any commit may be asked for by its sha, not only the tips."""

    def capabilities(self) -> list[bytes]:
        return [*super().capabilities(), b"allow-tip-sha1-in-want", b"allow-reachable-sha1-in-want", b"allow-any-sha1-in-want"]


class _AnyCommit(Repo):
    """A repository whose every commit counts as a head, used while a client says what it wants (never while heads are shown to it)."""

    def find_missing_objects(
        self, determine_wants: Callable[[Mapping[Ref, ObjectID], int | None], list[ObjectID]], graph_walker: Any, progress: Any, **rest: Any
    ) -> Any:
        store = self.object_store
        commits = {Ref(b"refs/any/" + sha): sha for sha in store if isinstance(store[sha], Commit)}

        def wants(heads: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
            try:
                return determine_wants({**commits, **heads}, depth)
            except GitProtocolError as refused:
                asked = re.search("[0-9a-f]{40}", str(refused))
                raise GitProtocolError(f"upload-pack: not our ref {asked[0]}" if asked else str(refused)) from refused

        return super().find_missing_objects(wants, graph_walker, progress, **rest)


class _Repositories(Backend):
    """Opens repositories below the root and closes them when the call is over."""

    def __init__(self, root: Path, kind: type[Repo]) -> None:
        self._root = root
        self._kind = kind
        self._open: list[Repo] = []

    def open_repository(self, path: str | bytes) -> Repo:
        text = path.decode() if isinstance(path, bytes) else path
        name = text.strip("/").removesuffix(".git")
        if not _NAME.fullmatch(name):
            raise NotGitRepository(f"No git repository was found at {text}")
        repo = self._kind(str(self._root / f"{name}.git"))
        self._open.append(repo)
        return repo

    def close(self) -> None:
        for repo in self._open:
            repo.close()


@dataclass(slots=True, kw_only=True)
class _Answer:
    status: int = 500
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(slots=True, kw_only=True)
class _Call:
    """One HTTP request as a WSGI call."""

    root: Path
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def run(self) -> _Answer:
        """Let Dulwich answer. A refused want is said the way Git says it: 200 and a line that begins with ERR."""
        answer, written = _Answer(headers=[], body=b""), io.BytesIO()

        def start_response(status: str, headers: list[tuple[str, str]], _failure: object = None) -> Callable[[bytes], object]:
            answer.status, answer.headers = int(status.split(" ", 1)[0]), headers
            return written.write

        backend = _Repositories(self.root, Repo if self.path.endswith("/info/refs") else _AnyCommit)
        application = HTTPGitApplication(backend)
        application.handlers = {b"git-upload-pack": _UploadPack}  # and no other: git-receive-pack is answered 403
        try:
            parts: Iterable[bytes] = application(self._environ(), start_response)
            for part in parts:
                written.write(part)
        except GitProtocolError as refused:
            written.write(pkt_line(f"ERR {refused}".encode()))
        finally:
            backend.close()
        answer.body = written.getvalue()
        return answer

    def _environ(self) -> dict[str, Any]:
        names = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self.headers.items()}
        # The body is already read and, where it came compressed, unpacked by aiohttp.
        for gone in ("HTTP_CONTENT_ENCODING", "HTTP_TRANSFER_ENCODING"):
            names.pop(gone, None)
        return {
            **names,
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": self.path,
            "QUERY_STRING": self.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(self.body)),
            "SERVER_NAME": HOST,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.input": io.BytesIO(self.body),
            "wsgi.url_scheme": "http",
        }
