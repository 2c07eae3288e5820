"""Compares the trees of two commits in one object store: every file that differs, the text of those that may change a schema, and what stands beside them.

Only what is needed is read: trees below a folder that did not change are skipped, texts of other files are never loaded. Nothing is checked out and nothing in
the repository is executed. Where the objects come from is its callers': `git` reads mirrors, `checkout` a folder on this machine.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from heapq import heappop, heappush
from pathlib import PurePosixPath

from dulwich.diff_tree import tree_changes
from dulwich.object_store import BaseObjectStore, iter_tree_contents
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree, TreeEntry

from service.domain.keys import FileChange
from service.domain.schema import CONFIGURATION_NAMES, Elsewhere, Place, beside, is_migration, matters, may_carry_migrations, needed, places

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"
_MOST_EARLIER = 8_000_000
"""So many bytes of earlier migrations are read for one comparison."""
MOST_FOLDERS = 5_000
"""So many folders are looked through for configuration files of migration tools."""
FOLDER, SYMLINK, SUBMODULE, KIND_OF_MODE = 0o040000, 0o120000, 0o160000, 0o170000

SOURCE_SUFFIXES = re.compile(
    r"\.(c|cc|clj|cljs|cpp|cs|dart|elm|erl|exs?|f90|fs|go|groovy|h|hpp|hs|java|jl|jsx?|kts?|mjs|mli?|mm|php|p[lm]|proto|py|r|rb|rs|scala|sql|svelte|swift"
    r"|tsx?|vb|vue|zig)",
    re.IGNORECASE,
)
SOURCE_NAMES = frozenset(
    {"Cargo.toml", "Containerfile", "Dockerfile", "Gemfile", "build.gradle", "composer.json", "go.mod", "package.json", "pom.xml", "pyproject.toml"}
)
"""A file that ends or is named so is a program's source; any other file, known or not, proves nothing about migrations."""
NOT_THE_PROGRAM = frozenset({".circleci", ".github", ".gitlab", "ci", "hack", "scripts", "tools"})
"""Folders at the top whose code deploys or checks, in configuration repositories too."""


class UnknownError(Exception):
    """Nobody could find out; carries why, and what would change it ("" when nobody knows)."""

    def __init__(self, why: str, clears: str = "") -> None:
        super().__init__(why)
        self.why, self.clears = why, clears


class Deadline:
    """Seconds left for one comparison, looked at from inside a thread, which nobody can stop from outside."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._ends = seconds, time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left, more than none; UnknownError when the time is over."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise UnknownError(f"the comparison was given up after {self._seconds:g} s", "a larger `timeout_s`")
        return left


def looks_interesting(path: str) -> bool:
    """Whether a file's text matters for the schema: a migration in one of the usual layouts, or a file that can bring migrations of others."""
    return is_migration(path) is not None or may_carry_migrations(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one comparison may cost. `interesting` says whose text is read; `migrations` are shell patterns of further paths that are migrations."""

    most_file_mb: int = 5
    most_text_mb: int = 50
    most_files: int = 50_000
    migrations: tuple[str, ...] = ()
    interesting: Callable[[str], bool] = looks_interesting


class Trees:
    """Two commits of one store, compared within a deadline and within limits. KeyError when an object is missing (a partial clone)."""

    def __init__(self, store: BaseObjectStore, old: Commit, new: Commit, limits: Limits, deadline: Deadline) -> None:
        self._store, self._old, self._new, self._limits, self._deadline = store, old, new, limits, deadline
        self._left = limits.most_text_mb * 1_000_000

    def differences(self) -> Iterator[FileChange]:
        """Every file that differs; a renamed one is a deleted and an added one, so that no text is missed."""
        for number, change in enumerate(tree_changes(self._store, self._old.tree, self._new.tree), start=1):
            self._deadline.left()
            if number > self._limits.most_files:
                raise UnknownError(f"more than {self._limits.most_files} files differ", "a larger `most_files`")
            was = change.old if change.old is not None and change.old.path is not None else None
            entry = change.new if change.new is not None and change.new.path is not None else None
            if entry is None:
                gone = shown(was.path if was is not None and was.path is not None else b"")
                before, _ = self._text_of(gone, was) if was is not None else (None, "")
                yield FileChange(path=gone, change="deleted", why_no_text="deleted", before=before, what=_what(was))
                continue
            path = shown(entry.path or b"")
            text, why = self._text_of(path, entry)
            before, _ = self._text_of(path, was) if was is not None else (None, "")
            yield FileChange(path=path, change="modified" if was is not None else "added", text=text, why_no_text=why, before=before, what=_what(entry))

    def beside(self, files: Iterable[FileChange]) -> tuple[tuple[str, str], ...]:
        """(path, text) of unchanged files that readers of the changed ones need: the tool's configuration, earlier migrations of the same application."""
        changed = {file.path for file in files}
        wanted = beside(sorted(changed), self.names_in)
        found = []
        for path in wanted:
            self._deadline.left()
            if path not in changed and (text := self.text_at(path)) is not None:
                found.append((path, text))
        return (*found, *self._earlier(files))

    def _earlier(self, files: Iterable[FileChange]) -> tuple[tuple[str, str], ...]:
        """(path, text) of the earlier migrations that say what new ones change: all of them, or none, for a part would say what is no longer so."""
        left, self._left = self._left, min(self._left, _MOST_EARLIER)
        try:
            found = []
            for path, names in needed({file.path: file.text for file in files if file.text is not None and file.change == "added"}, self.names_in):
                text = self.text_at(path)
                if text is None:
                    return ()
                if matters(text, names):
                    found.append((path, text))
            return tuple(found)
        except KeyError:  # a partial clone, which has only what it was asked for
            return ()
        finally:
            self._left = left

    def configured(self, files: Iterable[FileChange]) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
        """Patterns of what the tools' configuration above changed files says are migrations, and where it points that is not read (keys.SourceChange)."""
        texts: dict[str, str] = {}
        for folder in sorted({above for file in files for above in _above(file.path)})[:MOST_FOLDERS]:
            for name in CONFIGURATION_NAMES.intersection(self.names_in(folder)):
                if (text := self.text_at(path := f"{folder}/{name}".lstrip("/"))) is not None:
                    texts[path] = text
        found, outside = places(texts)
        patterns, elsewhere = dict[str, None](), dict[tuple[str, str], None]()
        inside = [*found]
        for one in outside:
            if (here := self._in_an_image(one)) is not None:
                inside.append(here)
            else:
                elsewhere[one.source, f"names {one.place} for migrations, which {one.why}"] = None
        for place in inside:
            if self._is_behind_link(place.folder):
                elsewhere[place.source, f"names {place.folder} for migrations, which is behind a symbolic link"] = None
            patterns.update(dict.fromkeys(place.patterns))
        return tuple(patterns), tuple(elsewhere)

    def _in_an_image(self, place: Elsewhere) -> Place | None:
        """The folder of this repository that an absolute path means: images hold the tree, or a part of it, below a folder of their own."""
        parts = [part for part in place.place.split("/") if part]
        tails = ("/".join(parts[at:]) for at in range(1, len(parts))) if place.place.startswith("/") and ".." not in parts else ()
        return next((Place(place.source, tail, place.names) for tail in tails if self._folder(self._new, tail) is not None), None)

    def _is_behind_link(self, path: str) -> bool:
        tree: ShaFile | None = self._store[self._new.tree]
        for part in path.split("/") if path else ():
            if not isinstance(tree, Tree) or part.encode() not in tree:
                return False
            mode, sha = tree[part.encode()]
            if mode & KIND_OF_MODE == SYMLINK:
                return True
            tree = self._store[sha] if mode & KIND_OF_MODE == FOLDER else None
        return False

    def names_in(self, folder: str) -> Sequence[str]:
        """The names in a folder of the newer tree, those of folders with a closing slash; none where there is no such folder. "" is the top."""
        self._deadline.left()
        tree = self._folder(self._new, folder)
        return [shown(item.path or b"") + ("/" if (item.mode or 0) & KIND_OF_MODE == FOLDER else "") for item in tree.iteritems()] if tree is not None else ()

    def text_at(self, path: str, *, old: bool = False) -> str | None:
        """The text of a file of the newer (`old`: the older) tree; None when there is none, or it cannot be read as text."""
        return self.read_at(path, old=old)[0]

    def read_at(self, path: str, *, old: bool = False) -> tuple[str | None, str]:
        """The same, and why there is none (a clause after "is")."""
        folder, _, name = path.rpartition("/")
        tree = self._folder(self._old if old else self._new, folder)
        if tree is None or name.encode() not in tree:
            return None, "not there"
        mode, sha = tree[name.encode()]
        if mode & KIND_OF_MODE in {SUBMODULE, SYMLINK, FOLDER}:
            return None, "a submodule, a link or a folder"
        return self._content(sha)

    def entries_below(self, folder: str, *, old: bool = False) -> Iterator[tuple[str, int, bytes]]:
        """(path, mode, object id) of every file below a folder of the newer (`old`: the older) tree; none where there is no such folder."""
        tree = self._folder(self._old if old else self._new, folder)
        if tree is None:
            return
        for entry in iter_tree_contents(self._store, tree.id):
            self._deadline.left()
            yield "/".join(part for part in (folder, shown(entry.path or b"")) if part), entry.mode or 0, entry.sha or b""

    def paths_below(self, folder: str, *, old: bool = False) -> Iterator[tuple[str, int]]:
        """(path, mode) of every file below a folder of the newer (`old`: the older) tree."""
        for path, mode, _ in self.entries_below(folder, old=old):
            yield path, mode

    def hold_code(self) -> bool:
        """Whether one of the two trees holds a program's source."""
        return any(_holds_code(self._store, commit.tree, self._deadline) for commit in (self._new, self._old))

    def are_backwards(self) -> bool:
        """Whether `new` is an ancestor of `old`. The usual order is asked first, for it is found near the start of the walk."""
        if self._old.id == self._new.id or (forward := _is_ancestor(self._store, self._old, self._new, self._deadline)):
            return False
        backward = _is_ancestor(self._store, self._new, self._old, self._deadline)
        if not backward and None in {forward, backward}:
            raise UnknownError("the history ends early (a shallow repository), so nobody knows which revision is older", "a repository with its whole history")
        return bool(backward)

    def have_parted(self) -> bool | None:
        """Whether `old` is no ancestor of `new`; None when the history ends before anybody knows."""
        found = self._old.id == self._new.id or _is_ancestor(self._store, self._old, self._new, self._deadline)
        return None if found is None else not found

    def _folder(self, commit: Commit, folder: str) -> Tree | None:
        tree = self._store[commit.tree]
        for part in folder.split("/") if folder else ():
            if not isinstance(tree, Tree) or part.encode() not in tree:
                return None
            mode, sha = tree[part.encode()]
            if mode & KIND_OF_MODE != FOLDER:
                return None
            tree = self._store[sha]
        return tree if isinstance(tree, Tree) else None

    def _text_of(self, path: str, entry: TreeEntry) -> tuple[str | None, str]:
        """(text, why there is none)."""
        kind = (entry.mode or 0) & KIND_OF_MODE
        if kind == SUBMODULE:
            return None, "a submodule: its content is in another repository"
        if kind == SYMLINK:
            return None, "a symbolic link"
        if not self._limits.interesting(path) and not any(fnmatchcase(path, pattern) for pattern in self._limits.migrations):
            return None, "neither a migration nor a file that brings some"
        return self._content(entry.sha or ObjectID(b""))

    def _content(self, sha: ObjectID) -> tuple[str | None, str]:
        blob = self._store[sha]
        if not isinstance(blob, Blob):
            return None, "no file"
        content = blob.as_raw_string()
        if content.startswith(LFS_POINTER):
            return None, "a Git LFS pointer: its content is kept elsewhere"
        if len(content) > self._limits.most_file_mb * 1_000_000:
            return None, f"larger than {self._limits.most_file_mb} MB"
        if len(content) > self._left:
            return None, f"all texts together are larger than {self._limits.most_text_mb} MB"
        self._left -= len(content)
        try:
            return content.decode("utf-8"), ""
        except UnicodeDecodeError:
            return None, "no UTF-8 text"


def _above(path: str) -> Iterator[str]:
    folder = path.rpartition("/")[0]
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
    yield ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What differs between two commits, with the places of migrations that the tools' configuration adds; see `keys.SourceChange`."""

    trees: Trees
    files: tuple[FileChange, ...]
    patterns: tuple[str, ...]
    elsewhere: tuple[tuple[str, str], ...]


def difference(store: BaseObjectStore, old: Commit, new: Commit, limits: Limits, deadline: Deadline) -> Difference:
    """Compare two commits. Where the configuration calls a file a migration whose text was not read, everything is read once more, with that text."""
    trees = Trees(store, old, new, limits, deadline)
    files = tuple(trees.differences())
    patterns, elsewhere = trees.configured(files)
    patterns = (*limits.migrations, *patterns)
    if any(not limits.interesting(file.path) and any(fnmatchcase(file.path, pattern) for pattern in patterns) for file in files):
        trees = Trees(store, old, new, replace(limits, migrations=patterns), deadline)
        files = tuple(trees.differences())
    return Difference(trees=trees, files=files, patterns=patterns, elsewhere=elsewhere)


def shown(path: bytes) -> str:
    """A path as text; bytes that are no UTF-8 are shown escaped, never dropped."""
    return path.decode("utf-8", "backslashreplace")


def _what(entry: TreeEntry | None) -> str:
    return {SUBMODULE: "submodule", SYMLINK: "link"}.get((entry.mode or 0) & KIND_OF_MODE, "file") if entry is not None else "file"


def _is_ancestor(store: BaseObjectStore, ancestor: Commit, of: Commit, deadline: Deadline) -> bool | None:
    """Whether the walk through all parents, youngest first, meets the ancestor; None when it does not but a parent is missing."""
    seen, waiting, complete = {of.id}, [(-of.commit_time, of.id)], True
    while waiting:
        deadline.left()
        _, sha = heappop(waiting)
        if sha == ancestor.id:
            return True
        commit = store[sha]
        for parent in commit.parents if isinstance(commit, Commit) else ():
            if parent not in seen:
                seen.add(parent)
                if parent not in store:
                    complete = False
                    continue
                found = store[parent]
                heappush(waiting, (-found.commit_time if isinstance(found, Commit) else 0, parent))
    return False if complete else None


def _holds_code(store: BaseObjectStore, tree: ObjectID, deadline: Deadline) -> bool:
    for entry in iter_tree_contents(store, tree):
        deadline.left()
        path = PurePosixPath(shown(entry.path or b""))
        if (entry.mode or 0) & KIND_OF_MODE in {SUBMODULE, SYMLINK} or path.parts[0] in NOT_THE_PROGRAM:
            continue
        if path.name in SOURCE_NAMES or SOURCE_SUFFIXES.fullmatch(path.suffix):
            return True
    return False
