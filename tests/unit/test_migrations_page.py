"""docs/migrations.md: its table is made from the advice, its pipelines are whole, its declarations load.

BACKOUT_WRITE_DOCS=1 writes the table, and fails: look at it.
"""

import os
import re
from pathlib import Path

import yaml

from service.domain.manifest_review import ASKED
from service.domain.schema import ADVICE, SchemaVerdict
from service.domain.waivers import declared

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "migrations.md"
MARK = "<!-- table: compared with service/domain/schema/advice.py by tests/unit/test_migrations_page.py -->\n"
WORDS = {SchemaVerdict.BREAKS: "no", SchemaVerdict.UNKNOWN: "unknown", SchemaVerdict.WARN: "a person decides", SchemaVerdict.SAFE: "yes"}


def table() -> str:
    rows = ["| a migration that | can you go back over it? | why | what to do |", "|--|--|--|--|"]
    for rule, advice in sorted(ADVICE.items(), key=lambda pair: (-pair[1].verdict.severity, pair[0])):
        does = " ".join((advice.do, *(text for _, text in sorted(advice.tools.items())))).strip()
        rows.append(f"| {advice.what} (`{rule}`) | {WORDS[advice.verdict]} | {advice.why} | {does} |")
    return "\n".join(row.replace("| |", "||") if row.endswith("|  |") else row for row in rows) + "\n"


def test_the_table_is_the_one_in_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, _, after = page.partition(MARK)
    if os.environ.get("BACKOUT_WRITE_DOCS"):
        PAGE.write_text(before + MARK + "\n" + table(), encoding="utf-8")
    assert after.strip() == table().strip()


def test_each_finding_about_manifests_is_explained_and_no_other() -> None:
    sources = [(ROOT / "service" / "domain" / f"manifest_{name}.py").read_text(encoding="utf-8") for name in ("change", "review")]
    named = {*re.findall(r'rule="(\w+)"', "".join(sources)), *(rule.name for rule in ASKED)}
    section = PAGE.read_text(encoding="utf-8").partition("## Manifests too")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == named


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_declarations_shown_are_good_ones() -> None:
    found = declared(next(block for block in blocks("yaml") if block.startswith("schema:")))
    assert (found.dialect.value, found.migrations, found.waivers[0].object, found.prunes) == ("postgres", ("deployment/*.sql",), "shop_order.status", False)


def test_every_pipeline_fetches_the_whole_history_and_asks_both_revisions() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for wanted in ("fetch-depth: 0", "GIT_DEPTH: 0", "method: full", "clone is not shallow"):
        assert wanted in text
    commands = re.findall(r"backout check [^\n']+", "\n".join([*blocks("yaml"), *blocks("groovy")]))
    assert len(commands) == 4
    assert all("--from" in command and "--to HEAD" in command for command in commands)
    for block in blocks("yaml"):
        assert yaml.safe_load(block)


def test_the_pre_commit_hook_is_there() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert hook["id"] == "backout-check"
    assert hook["entry"] == "backout check --repo . --from origin/main --to HEAD"
    assert hook["pass_filenames"] is False
