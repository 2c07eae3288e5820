"""Habits of the tree that no linter knows: tests beside sources, no leftovers, nothing of this machine, names that say what is in a file, promises kept."""

import ast
import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]

SMALL = 15
"""Lines up to which a source file needs no test file of its own."""

WITHOUT_TEST_FILE: Mapping[str, str] = {
    "service/domain/ports.py": "protocols and their values, without a decision; each is tested where it is kept",
    "service/api/reads.py": "protocols of what the edge reads, and one value; each is kept by a store, which is tested where it is",
    "service/domain/errors.py": "exceptions without behaviour",
    "service/workflow/chapters/": "parts of stories that make no sense apart: driven from row to row by tests/unit/service/workflow/test_rollback.py",
    "integrations/sandbox/argocd/": "one stand-in in many files, held by the contract suite that runs against the real Argo CD as well",
    "integrations/sandbox/gate/": "one stand-in in many files, held by recordings of a real Gate, and by a contract suite that a real Gate can be asked too",
}
"""Files, or whole folders ending in a slash. May only get shorter: an entry that has its test files, or whose source is gone, has to leave."""

PRODUCT = ("service/", "integrations/")

GENERATED = ("service/store/migrations/",)
"""Written by a tool's template and run by the store's tests on every database they open."""

PROMISES_HELD = frozenset(range(1, 14))
"""Promises of docs/architecture.md section 4 that a test is named after. May only grow."""

LEFTOVER = re.compile(r"\b(?:TO[D]O|FIX[M]E|NotImplemented[E]rror)\b")
MACHINE = re.compile(
    r"""(?<![\w.~-])/(?:[w]ork|[r]oot|[h]ome/[\w.-]+|[U]sers/[\w.-]+)/   # a path that only one machine has
    | (?<![\w-])--(?:extra-)?[i]ndex-url | (?<![\w-])--[t]rusted-host    # an index that only one network has
    | \bPIP_(?:EXTRA_)?[I]NDEX_URL=? | \bG[O]PROXY=["']?https?://
    | \bhttps?://[^\s/"']*(?:[a]rtifactory|[n]exus)""",
    re.VERBOSE,
)
LET_GO = re.compile(r"\.bind\(\s*\(\s*[^,()]+,\s*[0]\s*\)")
"""Asking the system for a port to be listened on later: an outgoing connection may hold it by then. `spare_port` gives one that none can."""
VAGUE = frozenset({"util", "utils", "helper", "helpers", "common", "manager", "managers"})
PROMISE = re.compile(r"^\s*(?:async )?def test_promise_(\d+)_\w+\(", re.MULTILINE)


@cache
def tree() -> tuple[str, ...]:
    """Every file that is in git or about to be, as paths from the root."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True)
    return tuple(sorted(path for path in set(listed.stdout.split("\0")) if path and (ROOT / path).is_file()))


def texts(*endings: str) -> Iterator[tuple[str, str]]:
    """Path and text of each file with one of these endings (of all when none is given); what is no text is left out."""
    for path in tree():
        if path.endswith(endings or ("",)):
            try:
                yield path, (ROOT / path).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def found(pattern: re.Pattern[str], *endings: str) -> list[str]:
    return [f"{path}:{text.count(chr(10), 0, hit.start()) + 1}: {hit[0]}" for path, text in texts(*endings) for hit in pattern.finditer(text)]


def sources() -> list[str]:
    """Source files that need a test file of their own."""
    return [
        path
        for path, text in texts(".py")
        if path.startswith(("service/", "integrations/")) and not path.startswith(GENERATED) and len(text.splitlines()) > SMALL
    ]


def test_files_of(source: str) -> tuple[str, ...]:
    """Where a source's test file may stand; a package's own code is tested under the package's name, inside or beside its folder."""
    path = PurePosixPath("tests/unit", source)
    if path.name == "__init__.py":
        return (str(path.parent / f"test_{path.parent.name}.py"), str(path.parent.parent / f"test_{path.parent.name}.py"))
    return (str(path.with_name(f"test_{path.name}")),)


test_files_of.__test__ = False  # type: ignore[attr-defined]  # a function that says where tests are, and no test


def untested() -> list[str]:
    return [source for source in sources() if not set(test_files_of(source)) & set(tree())]


def excepted(source: str) -> list[str]:
    """The entries of the list of exceptions that this source needs."""
    return [entry for entry in WITHOUT_TEST_FILE if source == entry or (entry.endswith("/") and source.startswith(entry))]


def test_every_source_file_has_a_test_file_of_its_name() -> None:
    assert not [source for source in untested() if not excepted(source)], "\n".join(["no test file:", *(s for s in untested() if not excepted(s))])


def test_the_exceptions_only_get_fewer() -> None:
    needed = {entry for source in untested() for entry in excepted(source)}
    assert not set(WITHOUT_TEST_FILE) - needed, "take these out of WITHOUT_TEST_FILE"


def test_nothing_is_left_for_later() -> None:
    assert not found(LEFTOVER, ".py", ".md", ".yaml", ".yml", ".sh", "Dockerfile", "Makefile")


def test_nothing_in_the_tree_is_of_one_machine_or_network() -> None:
    assert not found(MACHINE)


def test_no_port_is_taken_from_those_of_outgoing_connections_to_be_listened_on_later() -> None:
    assert LET_GO.search(f'one.bind(("127.0.0.1", {0}))')
    assert not found(LET_GO, ".py"), "take integrations.sandbox.ports.spare_port"


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    assert not [path for path in tree() if VAGUE & {word for part in PurePosixPath(path).parts for word in re.split(r"[_.\-]", part.lower())}]


def promises() -> set[int]:
    return {int(number) for path, text in texts(".py") if path.startswith("tests/") for number in PROMISE.findall(text)}


def test_no_promise_loses_its_test() -> None:
    assert not PROMISES_HELD - promises()


def test_tests_are_named_after_promises_that_exist() -> None:
    assert promises() <= set(range(1, 14))


@pytest.mark.parametrize(
    "line",
    [
        "cd /wor" + "k/x",
        "HOME=/roo" + "t/.cache",
        "see /hom" + "e/alice/notes",
        "pip install --inde" + "x-url x",
        "PIP_INDE" + "X_URL=x",
        "GOPROX" + "Y=https://x",
    ],
)
def test_what_is_of_one_machine_is_recognised(line: str) -> None:
    assert MACHINE.search(line)


@pytest.mark.parametrize(
    "line", ["--no-emit-index-url", "tests/wor" + "k/x", "/var/lib/backout", "GOPROXY=off", "https://prometheus.example/roo" + "t/", "~/wor" + "k/x"]
)
def test_what_is_of_any_machine_is_let_be(line: str) -> None:
    assert not MACHINE.search(line)


def test_leftovers_are_recognised() -> None:
    assert LEFTOVER.search("# TO" + "DO: later")
    assert not LEFTOVER.search("todos = 1")


def test_a_package_is_tested_inside_or_beside_its_folder() -> None:
    assert test_files_of("service/domain/rules/__init__.py") == ("tests/unit/service/domain/rules/test_rules.py", "tests/unit/service/domain/test_rules.py")
    assert test_files_of("integrations/http.py") == ("tests/unit/integrations/test_http.py",)


def imports() -> Mapping[str, set[str]]:
    """Module -> the modules of ours that it imports, those included that only its types need."""
    modules = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): text for path, text in texts(".py") if path.startswith(PRODUCT)}
    found: dict[str, set[str]] = {name: set() for name in modules}
    for name, text in modules.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module:
                found[name] |= {whole if (whole := f"{node.module}.{one.name}") in modules else node.module for one in node.names}
        found[name] = found[name] & set(modules) - {name}
    return found


def test_no_module_needs_itself_around_a_corner() -> None:
    graph = imports()
    assert len(graph) > 400
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
