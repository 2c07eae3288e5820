"""What is written for people is so: links lead somewhere, settings, commands, metrics, rules and tests that are named exist, examples load."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import typer
import yaml

from service.cli.app import make_app
from service.domain.rules import RULES
from service.settings import explain, load
from service.wiring.parts import kinds

ROOT = Path(__file__).parents[2]
SETTINGS = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("charts/**/*.md")])

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
ROW = re.compile(r"^\| `([\w-]+)` \| ([^|]*) \|", re.MULTILINE)
METRIC = re.compile(r"\bbackout_[a-z_]+\b")


def relative(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(prose(page)))
    return {heading.replace(" ", "-") for heading in plain}


def blocks(page: Path, *languages: str) -> list[str]:
    return [body for language, body in BLOCK.findall(page.read_text(encoding="utf-8")) if language in languages]


def broken(page: Path) -> Iterator[str]:
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists():
            yield f"{link}: no such file"
        elif anchor and anchor not in anchors(there):
            yield f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    assert list(broken(page)) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One `two.three`\n[a](none.md) [b](#one-twothree) [c](#four) [d](https://example.com/none.md)\n```\n[e](none.md)\n```\n", encoding="utf-8"
    )
    assert list(broken(page)) == ["none.md: no such file", "#four: no such heading"]


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_yaml_can_be_read(page: Path) -> None:
    for body in blocks(page, "yaml"):
        yaml.safe_load(body)


# --- settings ---


def examples() -> list[tuple[str, str]]:
    """Page and text of each whole settings file that is shown."""
    return [(relative(page), body) for page in PAGES for body in blocks(page, "yaml") if body.startswith("# backout.yaml\n")]


@pytest.mark.parametrize(("page", "body"), examples(), ids=[f"{page}-{number}" for number, (page, _) in enumerate(examples())])
def test_a_settings_file_that_is_shown_would_start(page: str, body: str, tmp_path: Path) -> None:
    file = tmp_path / Path(page).with_suffix(".yaml").name
    file.write_text(body, encoding="utf-8")
    assert load(file, kinds()).store.startswith("sqlite:///")


def fields(path: str) -> Mapping[str, bool]:
    """The settings at a path as `backout help settings` tells them, and whether each must be set."""
    lines = [line for line in explain(kinds(), path).splitlines() if not line.startswith(" ")]
    return {line.partition(" ")[0]: "(must be set)" in line for line in lines}


def sections() -> Mapping[str, str]:
    """The reference's tables by the path of their settings, "" for the top."""
    parts = re.split(r"^### (.+)$", SETTINGS.partition("\n## Reference\n")[2], flags=re.MULTILINE)
    return {"" if title == "Top level" else title.strip("`"): body for title, body in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.mark.parametrize("path", sections(), ids=lambda path: path or "top")
def test_the_reference_names_the_settings_that_exist_and_no_others(path: str) -> None:
    rows = ROW.findall(sections()[path])
    assert {name: default.strip() == "required" for name, default in rows} == fields(path)
    assert len(rows) == len(fields(path)), "a setting stands there twice"


@pytest.mark.parametrize("path", sections(), ids=lambda path: path or "top")
def test_the_program_explains_each_setting_where_one_asks_for_it(path: str) -> None:
    assert "see its section" not in explain(kinds(), path)
    for name in fields(path):
        at = f"{path}.{name}".removeprefix(".")
        if path and at not in sections():
            title, says = explain(kinds(), at).splitlines()
            assert title.split()[0] == name
            assert f"{title}\n{says}" in explain(kinds(), path)


def named(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """(section, setting) of everything in an example; instances stand under their kind, list items under their list."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield path, key
        for one in inner if isinstance(inner, list) else [inner]:
            kind = f".{one['kind']}" if isinstance(one, dict) and "kind" in one else ""
            yield from named(one, f"{path}.{key}{kind}".removeprefix("."))


def test_the_reference_has_every_section() -> None:
    grouped = {f"{group}.{kind}" for group in ("delivery", "notify", "evidence") for kind in explain(kinds(), group).replace(f"{group}.", "").split()}
    assert grouped <= set(sections())
    nested = {section for body in map(yaml.safe_load, (body for _, body in examples())) for section, _ in named(body)}
    # What stands in these is called as the operator likes.
    own_names = {"alerts.mapping.labels", "delivery.spinnaker.packages", "delivery.spinnaker.rollback_pipelines.parameters"}
    assert {section for section in nested if section not in {"evidence"} | own_names} <= set(sections())


def test_the_complete_example_has_every_setting() -> None:
    body = max((body for page, body in examples() if page == "docs/settings.md"), key=len)
    shown = set(named(yaml.safe_load(body)))
    missing = {(path, name) for path in sections() for name in fields(path)} - shown
    assert missing == set()


# --- names of other things ---


def tree() -> Mapping[str, set[str]]:
    """Every command as a person types it, with its options; typer brings its own copy of click, so nothing of that is named here."""
    found: dict[str, set[str]] = {}
    for name, command in vars(typer.main.get_command(make_app()))["commands"].items():
        for path, one in ((name, command), *((f"{name} {sub}", below) for sub, below in getattr(command, "commands", {}).items())):
            found[path] = {option for parameter in one.params for option in parameter.opts} | {"-h", "--help"}
    return found


def calls(page: Path) -> Iterator[list[str]]:
    """Each call of `backout` in a page's shell blocks, as words."""
    for body in blocks(page, "sh"):
        for call in re.findall(r"(?:^|\$\(|&& )(?:\.venv/bin/)?backout (.*?)(?=\)$|$)", body, re.MULTILINE):
            yield shlex.split(call, comments=True)


def unknown(words: list[str]) -> str:
    """What of a call does not exist, or ""."""
    there = tree()
    path = next((path for path in (" ".join(words[:2]), words[0]) if path in there), "")
    if not path:
        return f"no such command: {' '.join(words)}"
    wrong = [word for word in words if word.startswith("-") and word not in there[path]]
    return f"no such option: {', '.join(wrong)}" if wrong else ""


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_commands_that_are_shown_exist(page: Path) -> None:
    assert [found for words in calls(page) if (found := unknown(words))] == []


def test_a_command_that_does_not_exist_is_found() -> None:
    assert unknown(["holds", "end", "hld_1", "--reason", "x"]) == ""
    assert unknown(["doctr", "--config", "x"]) == "no such command: doctr --config x"
    assert unknown(["check", "prod:x", "--al"]) == "no such option: --al"


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_files_that_are_named_exist(page: Path) -> None:
    named_files = re.findall(r"`((?:service|integrations|tests|docs|charts)/[\w/.-]+\.(?:py|md|go|yaml))`", page.read_text(encoding="utf-8"))
    assert [name for name in named_files if not (ROOT / name).exists()] == []


def test_the_readme_asks_the_questions_of_the_rules_in_their_order() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(rule.name, rule.question) for rule in RULES]


def test_operations_names_the_metrics_that_are_exported_and_no_others() -> None:
    sources = [*ROOT.glob("service/wiring/*.py"), ROOT / "service/api/metrics.py"]
    exported = {name for file in sources for name in re.findall(r'"(backout_[a-z_]+)"', file.read_text(encoding="utf-8"))} - {"backout_trace"}
    told = set(METRIC.findall((ROOT / "docs/operations.md").read_text(encoding="utf-8")))
    assert told == exported


def test_every_promise_names_tests_that_exist() -> None:
    there = {name for file in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)\(", file.read_text(encoding="utf-8"))}
    rows = re.findall(r"^\| (\d+) \| .+? \| (.+) \|$", (ROOT / "docs/architecture.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 14))
    for number, held_by in rows:
        names = re.findall(r"`(test_\w+)`", held_by)
        assert names, number
        assert set(names) <= there, (number, set(names) - there)


def test_every_decision_is_in_the_index_with_its_title() -> None:
    folder = ROOT / "docs/decisions"
    titles = {file.name: file.read_text(encoding="utf-8").splitlines()[0].removeprefix(f"# {file.name[:4]} ") for file in folder.glob("0*.md")}
    rows = re.findall(r"^\| \[\d{4}\]\((.+?)\) \| (.+?) \|$", (folder / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(rows) == titles
    assert [file for file, _ in rows] == sorted(titles)
    assert [file[:4] for file, _ in rows] == [f"{number:04}" for number in range(1, len(rows) + 1)]
    for file in folder.glob("0*.md"):
        assert HEADING.findall(file.read_text(encoding="utf-8"))[1:] == ["Context", "Decision", "Consequences"], file.name


def test_a_decision_that_was_replaced_says_by_which_and_the_other_way_round() -> None:
    folder = ROOT / "docs/decisions"
    status = {file.name: file.read_text(encoding="utf-8").splitlines()[2] for file in folder.glob("0*.md")}
    replaced = {(name, later) for name, line in status.items() for later in re.findall(r"replaced by \[\d{4}\]\((.+?)\)", line)}
    replaces = {(earlier, name) for name, line in status.items() for earlier in re.findall(r"Replaces:\*\* .*?\[\d{4}\]\((.+?)\)", line)}
    assert replaced == replaces


def test_the_documentation_lists_every_page() -> None:
    listed = {link.partition("#")[0] for link in LINK.findall((ROOT / "docs/README.md").read_text(encoding="utf-8"))}
    assert {page.name for page in ROOT.glob("docs/*.md")} - {"README.md"} <= listed


def test_the_changes_of_a_version_stand_under_one_heading_of_a_kind() -> None:
    versions = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    for version in versions:
        headings = re.findall(r"^### (.+)$", version, re.MULTILINE)
        assert headings == sorted(set(headings), key=["Added", "Changed", "Fixed", "Known limits"].index), version.splitlines()[0]
