"""Reads two revisions of a Git repository in a folder on this machine, for `backout check --repo`: no service, no settings, no network, nothing executed.

A clone that lacks the history is told from a wrong name, for a person can mend the one by fetching more. Not even Git's own configuration decides anything:
no hook, filter, alias or external diff is known here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dulwich.errors import NotGitRepository
from dulwich.objects import Commit, ObjectID, ShaFile, Tag
from dulwich.objectspec import parse_commit
from dulwich.repo import Repo

from integrations.evidence.manifest_files import read_manifests
from integrations.evidence.trees import Deadline, Limits, Trees, UnknownError, difference
from service.domain.documents import DocumentError
from service.domain.errors import BackoutError
from service.domain.keys import SourceChange
from service.domain.manifest_change import Manifests
from service.domain.pull_request import MissingHistoryError, NoFolderError, NoRepositoryError
from service.domain.schema import Dialect
from service.domain.waivers import FILE, declared

_STEPS = re.compile(r"([~^])(\d*)")
_NAME = re.compile(r"[^\s~^:?*\[\\\x00-\x1f\x7f]+")
_MOST_STEPS = 10_000
_COMMIT = re.compile(r"[0-9a-f]{40}")
FETCH_ALL = (
    "fetch the whole history: `fetch-depth: 0` for actions/checkout, `GIT_DEPTH: 0` for GitLab CI, a clone without `shallow` for Jenkins, "
    "`git fetch --unshallow` elsewhere"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """What was read: the difference, the declarations of the older revision (see `pull_request.declared`), and whether the two revisions parted.

    `manifests` are those of the folder that was named; None when none was.
    """

    change: SourceChange
    declarations: str | None
    parted: bool | None
    manifests: Manifests | None = None


def read(folder: Path, old: str, new: str, *, dialect: Dialect, manifests: str | None = None, seconds: float = 600.0, limits: Limits | None = None) -> Checkout:
    """Compare two revisions, named as Git names them (branch, tag, commit, `HEAD~2`); `manifests` names a folder of Kubernetes manifests in them.

    MissingHistoryError when this clone lacks one or a part of it, NoRepositoryError, NoFolderError, BackoutError for anything else that cannot be read.
    """
    try:
        repo = Repo.discover(str(folder))
    except (NotGitRepository, OSError) as error:
        raise NoRepositoryError(f"{folder} is no Git repository") from error
    # Dulwich reads foreign bytes and raises what parsing them raises, down to AssertionError and zlib.error.
    except Exception as error:
        raise NoRepositoryError(f"the Git repository in {folder} cannot be opened ({type(error).__name__})") from error
    with repo:
        shallow = _is_shallow(repo)
        try:
            return _compare(repo, folder, old, new, dialect, manifests, seconds, limits or Limits(), shallow=shallow)
        except BackoutError:
            raise
        except UnknownError as error:
            raise BackoutError(error.why) from error
        except KeyError as error:
            raise MissingHistoryError("objects are missing in this clone (it is shallow or partial)", FETCH_ALL + ", and without `--filter`") from error
        except MemoryError as error:
            raise BackoutError("a file is larger than the memory of this machine") from error
        except Exception as error:  # the same as above
            raise BackoutError(f"the Git repository in {folder} cannot be read ({type(error).__name__})") from error


def known_here(folder: Path, revisions: Sequence[str]) -> tuple[str, ...]:
    """Those of the commits that this clone has, each once. NoRepositoryError when the folder is no clone."""
    try:
        repo = Repo.discover(str(folder))
    except (NotGitRepository, OSError) as error:
        raise NoRepositoryError(f"{folder} is no Git repository") from error
    with repo:
        return tuple(one for one in dict.fromkeys(revisions) if _COMMIT.fullmatch(one) and ObjectID(one.encode()) in repo.object_store)


def _compare(
    repo: Repo, folder: Path, old: str, new: str, dialect: Dialect, manifests: str | None, seconds: float, limits: Limits, *, shallow: bool
) -> Checkout:
    deadline = Deadline(seconds)
    ends = [_resolve(repo, name, shallow=shallow) for name in (old, new)]
    trees = Trees(repo.object_store, ends[0], ends[1], limits, deadline)
    declarations = trees.text_at(FILE, old=True)
    try:
        said = declared(declarations)
    except DocumentError as error:
        raise BackoutError(f"{FILE} of {old} {error}") from error
    limits = Limits(
        most_file_mb=limits.most_file_mb,
        most_text_mb=limits.most_text_mb,
        most_files=limits.most_files,
        migrations=(*limits.migrations, *said.migrations),
        interesting=limits.interesting,
    )
    compared = difference(repo.object_store, ends[0], ends[1], limits, deadline)
    trees, files = compared.trees, compared.files
    change = SourceChange(
        repository=str(folder),
        old=ends[0].id.decode(),
        new=ends[1].id.decode(),
        files=files,
        beside=trees.beside(files),
        patterns=compared.patterns,
        elsewhere=compared.elsewhere,
        has_code=trees.hold_code(),
        dialect=(dialect if dialect is not Dialect.UNKNOWN else said.dialect).value,
    )
    found = None
    if manifests is not None:
        found = read_manifests(trees, manifests)
        if not (found.old or found.new or found.unread or found.alike):
            raise NoFolderError(f"neither {old} nor {new} has a Kubernetes manifest in {manifests}")
    return Checkout(change=change, declarations=declarations, parted=trees.have_parted(), manifests=found)


def _is_shallow(repo: Repo) -> bool:
    try:
        return bool(repo.get_shallow())
    except OSError:
        return False


def _resolve(repo: Repo, name: str, *, shallow: bool) -> Commit:
    """The commit that a name means. Steps (`~2`, `^`) are walked here, one parent after the other."""
    base, steps = name, ""
    if found := re.search(r"[~^]", name):
        base, steps = name[: found.start()], name[found.start() :]
    if not _NAME.fullmatch(base) or (steps and _STEPS.sub("", steps)) or "@{" in base:
        raise BackoutError(f"{name!r} is no name of a revision: expected a branch, a tag, a commit, or HEAD~2")
    commit = _named(repo, base, shallow=shallow)
    walked = 0
    for sign, number in _STEPS.findall(steps):
        count = int(number[:9] or "1")
        walked += count
        if walked > _MOST_STEPS:
            raise BackoutError(f"{name!r} is more than {_MOST_STEPS} steps away")
        for which in [0] * count if sign == "~" else ([count - 1] if count else []):
            if which >= len(commit.parents):
                raise BackoutError(f"{name!r} is before the beginning of the history")
            parent = commit.parents[which]
            if parent not in repo.object_store:
                raise MissingHistoryError(f"{name} is not in this clone, whose history ends at {commit.id.decode()[:8]}", FETCH_ALL)
            found_parent = repo.object_store[parent]
            if not isinstance(found_parent, Commit):
                raise BackoutError(f"the parent of {commit.id.decode()[:8]} is no commit")
            commit = found_parent
    return commit


def _named(repo: Repo, name: str, *, shallow: bool) -> Commit:
    tried: ShaFile | None = None
    for spelling in (name, f"refs/remotes/{name}", f"refs/remotes/origin/{name}"):
        try:
            tried = parse_commit(repo, spelling)
            break
        except (KeyError, ValueError):
            continue
    if isinstance(tried, Tag) or tried is None:
        why = "whose history is shallow" if shallow else "by any branch, tag or commit id"
        fix = FETCH_ALL if shallow else f"is the name right? A CI job often fetches its own branch only: `git fetch origin {name}`, or {FETCH_ALL}"
        raise MissingHistoryError(f"{name} is not known in this clone, {why}" if shallow else f"{name} is not known in this clone {why}", fix)
    if not isinstance(tried, Commit):
        raise BackoutError(f"{name} is no commit")
    return tried
