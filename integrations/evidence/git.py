"""Compares two source revisions in Git: every file that differs, and the text of those that may change a schema. Nobody's code is executed to read it.

Only repositories that the operator configured are fetched, into bare mirrors below a cache folder; an image's label only picks one of them. What the texts
mean for the schema is decided in the domain. Dulwich blocks, so it works in threads of its own.

Addresses are compared without scheme, user, port of the scheme, `.git` and closing slash, hosts in lower case, `git@host:path` as `host/path`; the case of a
path counts.
"""

import asyncio
import hashlib
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import urllib3
from dulwich.client import GitClient, HTTPProxyUnauthorized, HTTPUnauthorized, LocalGitClient, Urllib3HttpGitClient
from dulwich.errors import GitProtocolError, NotGitRepository
from dulwich.object_store import BaseObjectStore
from dulwich.objects import Commit, ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from integrations import pacing
from integrations.evidence.trees import Deadline, Limits, UnknownError, difference, looks_interesting
from integrations.http import credential
from service.domain.errors import BackoutError
from service.domain.facts import Absent, Evidence, Fact, Key, Known
from service.domain.keys import SourceChange
from service.domain.ports import Checked, Clock
from service.domain.schema import Dialect
from service.domain.waivers import FILE

_FULL_SHA = re.compile(r"[0-9a-f]{40}")
_SCP = re.compile(r"(?:[^@/\s]+@)?([^:/\s]+):(?!//)(.+)")
_DEFAULT_PORTS = {"http": 80, "https": 443, "ssh": 22, "git": 9418}


def normalised(repository: str) -> str:
    """The address in the one spelling that is compared; it holds no user and no password."""
    text = repository.strip()
    if "://" not in text and (found := _SCP.fullmatch(text)) and not text.startswith(("/", ".")):
        host, path = found.groups()
        return _host_and_path(host, path)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return text
    if not parts.hostname:
        return _host_and_path("", parts.path if parts.scheme else text)
    shown = parts.hostname if port in {None, _DEFAULT_PORTS.get(parts.scheme)} else f"{parts.hostname}:{port}"
    return _host_and_path(shown, parts.path)


def _host_and_path(host: str, path: str) -> str:
    trimmed = path.rstrip("/").removesuffix(".git").rstrip("/")
    return f"{host.lower()}/{trimmed.lstrip('/')}" if host else trimmed


class Repository(BaseModel):
    """One repository that may be read."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    repository: str = Field(min_length=1, description="Address as image labels or Argo CD name it; spelling does not matter (see the guide).")
    aliases: tuple[str, ...] = Field(default=(), description="Other addresses of the same repository, e.g. of a mirror. Default: none.")
    url: str = Field(default="", description="http(s):// or file:// address to fetch from. Default: `repository`, if it is one.")
    path: Path | None = Field(default=None, description="Folder of a local repository to fetch from, instead of `url`.")
    username: str = Field(default="backout", description="User name sent with token_file; most forges ignore it. Default: backout.")
    token_file: Path | None = Field(default=None, description="File with the password or read token, read again for each fetch. Default: anonymous.")
    ca_file: Path | None = Field(default=None, description="PEM file of the authority that signed the server's certificate. Default: the system's.")
    migrations: tuple[str, ...] = Field(
        default=(), description="Shell patterns of paths that are migrations too, e.g. `db/changes/*.sql`; `*` also matches `/`. Default: the usual layouts."
    )
    code: bool | None = Field(
        default=None, description="Whether it holds the program's source (true) or only configuration (false). Default: judged by its files."
    )
    dialect: Dialect | None = Field(default=None, description="SQL dialect of its migrations. Default: not declared.")

    @field_validator("url")
    @classmethod
    def _without_secrets(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
        except ValueError as error:
            raise ValueError("url cannot be read; expected https://host/path") from error
        if parts.username or parts.password:
            raise ValueError("url must not hold a user name or password; use token_file")
        return value

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.path is not None and self.url:
            raise ValueError("set url or path, not both")
        if self.path is None and urlsplit(self.url or self.repository).scheme not in {"http", "https", "file"}:
            raise ValueError("set url to an http(s):// or file:// address (ssh is not spoken), or path to a folder")
        if not self.url and "@" in urlsplit(self.repository).netloc and self.path is None:
            raise ValueError("repository must not hold a user name or password when it is fetched from; use token_file")
        return self

    @property
    def names(self) -> frozenset[str]:
        """All its addresses in the one spelling that is compared."""
        return frozenset(normalised(name) for name in (self.repository, *self.aliases))


class Settings(BaseModel):
    """The repositories that may be read, and limits on reading them."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    repositories: tuple[Repository, ...] = Field(default=(), description="The repositories; changes in any other are unknown. Default: none.")
    cache_dir: Path = Field(default=Path(".backout/git"), description="Folder for mirrors; may be deleted at any time. Default: .backout/git.")
    timeout_s: float = Field(default=60.0, gt=0, le=3600, description="Seconds until one comparison, fetch included, is given up. Default: 60.")
    most_fetch_mb: int = Field(default=1024, gt=0, description="Megabytes that one fetch may bring. Default: 1024.")
    most_file_mb: int = Field(default=5, gt=0, description="Megabytes of one file whose text is read; a larger one is named without text. Default: 5.")
    most_text_mb: int = Field(default=50, gt=0, description="Megabytes of text of one comparison; further files are named without text. Default: 50.")
    most_files: int = Field(default=50_000, gt=0, description="Files: a difference with more is unknown. Default: 50000.")

    @field_validator("repositories")
    @classmethod
    def _names_once(cls, value: tuple[Repository, ...]) -> tuple[Repository, ...]:
        names = [name for repository in value for name in repository.names]
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"configured more than once: {', '.join(twice)}")
        return value


class GitEvidence:
    """A `FactSource` for source changes. One repository is fetched once at a time, and only when it lacks a revision."""

    def __init__(self, settings: Settings, clock: Clock, is_interesting: Callable[[str], bool]) -> None:
        self._settings = settings
        self._clock = clock
        self._is_interesting = is_interesting
        self._mirrors = {name: mirror for repository in settings.repositories for mirror in [_Mirror(repository, settings)] for name in repository.names}
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="git")

    @property
    def kinds(self) -> frozenset[str]:
        """Source changes."""
        return frozenset({"source change"})

    def dialect_of(self, repository: str) -> Dialect | None:
        """The SQL dialect that the operator declared for a repository, None when none was."""
        mirror = self._mirrors.get(normalised(repository))
        return mirror.repository.dialect if mirror else None

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """The fact; Absent for whatever went wrong outside."""
        match key:
            case Key(kind="source change", subject=(str(repository), str(old), str(new))):
                return await self._read(repository, old, new)
            case _:
                return Absent(f"Git cannot answer the {key.kind}")

    async def check(self) -> Sequence[Checked]:
        """One line for each repository: whether its branches can be listed."""
        mirrors = dict.fromkeys(self._mirrors.values())
        return tuple([await self._check(mirror) for mirror in mirrors])

    async def close(self) -> None:
        """Take no more work; what is running ends at its deadline."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _read(self, repository: str, old: str, new: str) -> Fact[Any]:
        at, name = self._clock.now(), normalised(repository)
        mirror = self._mirrors.get(name)
        if not name or mirror is None:
            shown = name or "an image that names none"
            return Absent(f"the repository {shown} is not configured", f"an entry with repository: {name or '<address>'} under `repositories`")
        for revision in (old, new):
            if not _FULL_SHA.fullmatch(revision):
                says = f"{revision[:80]!r} is no full commit id of 40 hex digits"
                return Absent(f"{says}, and a branch, a tag or a short one may name something else tomorrow", "images labelled with the full commit id")
        found = await self._in_thread(mirror, lambda deadline: self._compare(mirror, repository, old, new, deadline))
        if isinstance(found, Absent):
            return found
        digest = hashlib.sha256(repr(found).encode()).hexdigest()
        evidence = Evidence(source=f"git {mirror.shown}", what=f"difference of the trees of {old} and {new}", read_at=at, digest=digest)
        return Known(value=found, evidence=evidence, good_for=timedelta(days=1))  # both ends are named by their hash; a day only bounds what is kept

    async def _check(self, mirror: "_Mirror") -> Checked:
        found = await self._in_thread(mirror, mirror.count_refs)
        if isinstance(found, Absent):
            return Checked(
                what=f"git {mirror.shown}", well="no", says=found.why, fix=found.clears or "set url or path, token_file and ca_file of it under `repositories`"
            )
        return Checked(what=f"git {mirror.shown}", well="ok", says="1 branch or tag can be read" if found == 1 else f"{found} branches and tags can be read")

    async def _in_thread(self, mirror: "_Mirror", work: Callable[[Deadline], Any]) -> Any:
        """What the work answers, or Absent. A thread that does not end in time is left to its own deadline."""
        await pacing.turn(mirror.server, EXCHANGES)
        deadline = Deadline(self._settings.timeout_s)
        try:
            async with asyncio.timeout(self._settings.timeout_s + 1):
                return await asyncio.get_running_loop().run_in_executor(self._pool, mirror.guarded, work, deadline)
        except TimeoutError:
            return Absent(f"{mirror.shown} did not answer within {self._settings.timeout_s:g} s", "the Git server answering, or a larger `timeout_s`")

    def _compare(self, mirror: "_Mirror", repository: str, old: str, new: str, deadline: Deadline) -> SourceChange:
        settings = self._settings
        limits = Limits(
            most_file_mb=settings.most_file_mb,
            most_text_mb=settings.most_text_mb,
            most_files=settings.most_files,
            migrations=mirror.repository.migrations,
            interesting=self._is_interesting,
        )
        with mirror.holding((old, new), deadline) as repo:
            store = repo.object_store
            found = difference(store, _commit(store, old, mirror.shown), _commit(store, new, mirror.shown), limits, deadline)
            trees, files = found.trees, found.files
            beside = trees.beside(files)
            has_code = mirror.repository.code if mirror.repository.code is not None else trees.hold_code()
            backwards = trees.are_backwards()
            declarations = trees.text_at(FILE, old=True)
        declared = self.dialect_of(repository)
        return SourceChange(
            repository=repository,
            old=old,
            new=new,
            files=files,
            beside=beside,
            patterns=found.patterns,
            elsewhere=found.elsewhere,
            has_code=has_code,
            backwards=backwards,
            dialect=declared.value if declared else "",
            declarations=declarations,
        )


EXCHANGES = 4
"""Requests to the server that one look may cause: its refs and the pack, and both once more where it gives no commit by name."""


class _Mirror:
    """One repository's bare copy: fetched into, read from."""

    def __init__(self, repository: Repository, settings: Settings) -> None:
        self.repository = repository
        self._settings = settings
        self._lock = threading.Lock()
        self.shown = normalised(repository.repository)
        self._where = repository.path or repository.url or repository.repository
        self.server = str(self._where).partition("://")[2].partition("/")[0].rpartition("@")[2] or self.shown
        self._folder = settings.cache_dir / f"{hashlib.sha256(str(self._where).encode()).hexdigest()[:24]}.git"

    def guarded(self, work: Callable[[Deadline], Any], deadline: Deadline) -> Any:
        """Run work in this thread; Absent for everything that goes wrong in it."""
        try:
            return work(deadline)
        except UnknownError as unknown:
            return Absent(unknown.why, unknown.clears)
        except (HTTPUnauthorized, HTTPProxyUnauthorized):
            return Absent(f"{self.shown} refuses our credential", f"a `token_file` for {self.shown} that may read it")
        except NotGitRepository:
            return Absent(f"there is no Git repository {self.shown}, or our credential may not see it", f"`url` or `path` and `token_file` of {self.shown}")
        except KeyError:
            return Absent(f"objects are missing in {self.shown} (a shallow or partial repository?)", "a repository with its whole history")
        except GitProtocolError as error:
            says = str(error).strip().partition("\n")[0][:160]
            return Absent(f"{self.shown} could not be read ({says or type(error).__name__})", f"{self.shown} answering as a Git server")
        except BackoutError as error:
            return Absent(str(error), f"the credential of {self.shown}")
        # The top of a thread's work: Dulwich reads foreign bytes and raises what parsing them raises, down to AssertionError and zlib.error.
        except Exception as error:  # noqa: BLE001
            return Absent(
                f"{self.shown} could not be read ({type(error).__name__})", f"{self.shown} answering as a Git server; else delete the mirror in `cache_dir`"
            )

    def count_refs(self, deadline: Deadline) -> int:
        """How many branches and tags there are."""
        with self._client(deadline) as (client, path):
            return len([ref for ref in client.get_refs(path.encode()).refs if _is_kept(ref)])

    def holding(self, revisions: Sequence[str], deadline: Deadline) -> Repo:
        """The mirror with these revisions in it, to be closed by the caller; fetched first if one is missing."""
        if not self._lock.acquire(timeout=deadline.left()):
            raise UnknownError(f"another fetch of {self.shown} has not ended", "a larger `timeout_s`")
        try:
            repo = self._open()
            try:
                missing = _missing(repo, revisions)
                if missing:
                    self._fetch(repo, missing, deadline)
            except BaseException:
                repo.close()
                raise
        finally:
            self._lock.release()
        return repo

    def _open(self) -> Repo:
        if not self._folder.exists():
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            # Made aside and moved, so that a crash in between leaves no half of a repository.
            aside = Path(tempfile.mkdtemp(prefix="new-", dir=self._folder.parent))
            Repo.init_bare(aside).close()
            aside.rename(self._folder)
        return Repo(str(self._folder))

    def _fetch(self, repo: Repo, missing: Sequence[ObjectID], deadline: Deadline) -> None:
        """Bring the missing revisions: by name where the server allows it, else with all branches and tags."""
        refused: Exception | None = None
        try:
            self._bring(repo, lambda _refs: list(missing), deadline)
        except (GitProtocolError, KeyError, AssertionError) as error:
            # Not among the tips, and the server gives only tips; or it does not have it.
            refused = error
        if _missing(repo, [sha.decode() for sha in missing]):
            self._bring(repo, lambda refs: [sha for ref, sha in refs.items() if _is_kept(ref) and sha not in repo.object_store], deadline)
        if still := _missing(repo, [sha.decode() for sha in missing]):
            why = f"{self.shown} has no commit {still[0].decode()} in any branch or tag"
            raise UnknownError(why, f"the commit being pushed to {self.shown}, or the right `url` of it") from refused
        for sha in missing:
            repo.refs[Ref(b"refs/heads/backout/" + sha)] = sha  # keeps it, and is offered as known at the next fetch

    def _bring(self, repo: Repo, wants: Callable[[Mapping[Ref, ObjectID]], list[ObjectID]], deadline: Deadline) -> None:
        most, brought = self._settings.most_fetch_mb * 1_000_000, 0

        def take(data: bytes) -> int:
            nonlocal brought
            deadline.left()
            brought += len(data)
            if brought > most:
                raise UnknownError(f"{self.shown} sends more than {self._settings.most_fetch_mb} MB", "a larger `most_fetch_mb`")
            return pack.write(data)

        def wanted(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:  # noqa: ARG001  Dulwich's signature
            return wants(refs)

        def in_time(_progress: bytes) -> None:
            deadline.left()

        with tempfile.TemporaryFile(dir=self._folder.parent) as pack:
            with self._client(deadline) as (client, path):
                client.fetch_pack(path, wanted, repo.get_graph_walker(), take, progress=in_time)
            if brought:
                pack.seek(0)
                repo.object_store.add_thin_pack(pack.read, None)

    @contextmanager
    def _client(self, deadline: Deadline) -> Iterator[tuple[GitClient, str]]:
        """A client and the path for it. Built directly, so that no git configuration of the machine is read."""
        parts = urlsplit(str(self._where))
        if isinstance(self._where, Path) or parts.scheme == "file":
            yield LocalGitClient(), str(self._where) if isinstance(self._where, Path) else unquote(parts.path)
            return
        password = credential(self.repository.token_file) if self.repository.token_file is not None else None
        pool = _Pool(self.repository.ca_file)
        try:
            yield (
                Urllib3HttpGitClient(
                    f"{parts.scheme}://{parts.netloc}",
                    pool_manager=pool,
                    username=self.repository.username if password is not None else None,
                    password=password,
                    timeout=min(deadline.left(), 30.0),
                    quiet=True,
                ),
                parts.path,
            )
        finally:
            pool.close()


class _Pool(urllib3.PoolManager):
    """Connections of one fetch. Follows no redirect, speaks only Git's smart protocol, and closes what Dulwich leaves open when it raises."""

    def __init__(self, ca_file: Path | None) -> None:
        super().__init__(
            headers={"User-Agent": "git/backout"},  # some forges answer Git only to agents that begin so
            cert_reqs="CERT_REQUIRED",
            ca_certs=str(ca_file) if ca_file is not None else None,
            retries=urllib3.Retry(total=0, raise_on_redirect=False),
        )
        self._answers: list[urllib3.BaseHTTPResponse] = []

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> urllib3.BaseHTTPResponse:
        answer = super().request(method, url, *args, **{**kwargs, "redirect": False})
        self._answers.append(answer)
        if answer.status == 200 and not answer.headers.get("Content-Type", "").startswith("application/x-git-"):  # noqa: PLR2004  the one status Dulwich reads
            raise GitProtocolError("it answers with something that is not Git's smart protocol")
        return answer

    def close(self) -> None:
        for answer in self._answers:
            answer.close()
        self.clear()


def _is_kept(ref: bytes) -> bool:
    return ref.startswith((b"refs/heads/", b"refs/tags/")) and not ref.endswith(b"^{}")


def _missing(repo: Repo, revisions: Sequence[str]) -> list[ObjectID]:
    shas = dict.fromkeys(ObjectID(revision.encode()) for revision in revisions)
    return [sha for sha in shas if sha not in repo.object_store]


def _commit(store: BaseObjectStore, revision: str, shown: str) -> Commit:
    found = store[ObjectID(revision.encode())]
    if not isinstance(found, Commit):
        raise UnknownError(f"{revision} in {shown} is no commit", "images labelled with the commit id")
    return found


def build(settings: Settings, clock: Clock, is_interesting: Callable[[str], bool] = looks_interesting) -> GitEvidence:
    """The fact source; `is_interesting` says of which paths the text is read, beside the patterns in the settings."""
    return GitEvidence(settings, clock, is_interesting)
