"""The pipelines of docs/migrations.md, executed as a CI system would: the script of each step, by a shell, on a made repository, without a network.

`pip install` is a stand-in that keeps what it was asked for; `backout` is the one of this tree, as a process. What a page shows that nobody executes here
fails the first test.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml
from dulwich.repo import Repo

from integrations.sandbox.git import GitServer

ROOT = Path(__file__).parents[2]
START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
INSTALL = "install git+https://git.example.com/you/backout"
SECTION = (ROOT / "docs" / "migrations.md").read_text(encoding="utf-8").partition("## In a pipeline\n")[2].partition("\n## ")[0]


def blocks() -> Mapping[str, str]:
    """The name before each block of the section, and the block."""
    found = re.findall(r"^([A-Z][^\n]*?)(?: \([^\n]*\))?:\n\n```(?:yaml|groovy)\n(.*?)```", SECTION, re.DOTALL | re.MULTILINE)
    return {name.split(".")[-1].strip() if "pre-commit" in name else name: body for name, body in found}


def scripts() -> Mapping[str, str]:
    """What each system hands to a shell."""
    found: dict[str, str] = {}
    for name, body in blocks().items():
        if name == "Jenkins":
            found[name] = re.findall(r"\bsh '([^']+)'", body)[0]
        elif name == "GitLab CI":
            found[name] = yaml.safe_load(body)["rollback-check"]["script"]
        elif name in {"GitHub Actions", "CircleCI"}:
            found[name] = next(step["run"] for step in yaml.safe_load(body)["steps"] if "run" in step)
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    found["pre-commit"] = hook["entry"]
    return found


def test_every_command_that_the_page_shows_is_executed_here() -> None:
    shown = re.findall(r"\bbackout check --repo [^\n'`]+", "\n".join(blocks().values()))
    executed = [command for command in scripts().values() if INSTALL in command]
    assert sorted(shown) == sorted(command.partition("&& ")[2].partition("mkdir -p results && ")[2] or command.partition("&& ")[2] for command in executed)
    assert set(scripts()) == {"GitHub Actions", "GitLab CI", "Jenkins", "CircleCI", "pre-commit"}
    assert "[{id: backout-check}]" in SECTION


@dataclass(frozen=True, slots=True)
class Ran:
    """What a step did: its exit code, what it printed, and where it worked."""

    code: int
    out: str
    folder: Path
    pip: str


@dataclass(frozen=True, slots=True)
class Job:
    """A clone as a job has it: `origin/main` is fetched, HEAD is the change."""

    folder: Path
    base: str

    def run(self, script: str) -> Ran:
        """Run a step's script in the clone."""
        bin_folder, asked = self.folder.parent / "bin", self.folder.parent / "pip.txt"
        bin_folder.mkdir()
        (bin_folder / "pip").write_text(f'#!/bin/sh\necho "$@" > "{asked}"\n', encoding="utf-8")
        (bin_folder / "backout").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m service "$@"\n', encoding="utf-8")
        for stub in bin_folder.iterdir():
            stub.chmod(0o755)
        environment = {
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder.parent),
            "GITHUB_BASE_REF": "main",
            "GITHUB_STEP_SUMMARY": str(self.folder.parent / "summary.md"),
            "CI_MERGE_REQUEST_DIFF_BASE_SHA": self.base,
            "CHANGE_TARGET": "main",
        }
        done = subprocess.run(["/bin/sh", "-ec", script], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=240, check=False)
        assert done.stderr == ""
        return Ran(done.returncode, done.stdout, self.folder, asked.read_text(encoding="utf-8").strip() if asked.exists() else "")


def job(root: Path, sql: str) -> Job:
    """A change that adds this migration to what is deployed from `main`."""
    server = GitServer(root=root)
    folder = server.create("clone")
    base = server.commit("clone", {"src/app.py": "1", "db/migrations/V1__a.sql": "create table a (b int, c int);"}, "1", START)
    server.commit("clone", {"db/migrations/V2__b.sql": sql}, "2", START, branch="change")
    with Repo(str(folder)) as repo:
        repo.refs[b"refs/remotes/origin/main"] = repo.refs[b"refs/heads/main"]  # type: ignore[index]
        repo.refs.set_symbolic_ref(b"HEAD", b"refs/heads/change")  # type: ignore[arg-type]
    return Job(folder, base)


DROPS, ADDS = "ALTER TABLE a DROP COLUMN b;\n", "ALTER TABLE a ADD COLUMN d int;\n"
REPORTS = {"GitLab CI": "rollback.xml", "Jenkins": "rollback.xml", "CircleCI": "results/rollback.xml"}


@pytest.mark.parametrize("system", sorted(scripts()))
def test_a_change_over_which_nobody_can_go_back_fails_the_step_and_says_where(tmp_path: Path, system: str) -> None:
    ran = job(tmp_path / "work", DROPS).run(scripts()[system])
    assert ran.code == 3
    assert ran.out.startswith("No: once this is deployed, going back to ")
    assert "db/migrations/V2__b.sql" in ran.out
    assert "Drops column a.b." in ran.out
    assert ran.pip == ("" if system == "pre-commit" else INSTALL)
    if system == "GitHub Actions":
        assert re.search(r"^::error file=db/migrations/V2__b.sql,line=1,title=column_dropped::Drops column a\.b\.", ran.out, re.MULTILINE)
        assert "V2" in (ran.folder.parent / "summary.md").read_text(encoding="utf-8")
    if system in REPORTS:
        suites = ET.fromstring((ran.folder / REPORTS[system]).read_text(encoding="utf-8"))  # noqa: S314  our own report
        assert (suites.get("tests"), suites.get("failures"), suites.get("errors")) == ("1", "1", "0")


@pytest.mark.parametrize("system", sorted(scripts()))
def test_a_change_that_leaves_the_way_back_open_passes(tmp_path: Path, system: str) -> None:
    ran = job(tmp_path / "work", ADDS).run(scripts()[system])
    assert (ran.code, ran.out.partition(":")[0]) == (0, "Yes, by the text of the migrations")


def test_the_reports_of_a_pipeline_can_be_asked_for_in_each_form_at_once(tmp_path: Path) -> None:
    script = "backout check --repo . --from origin/main --to HEAD --format sarif --output rollback.sarif || [ $? -eq 3 ]"
    ran = job(tmp_path / "work", DROPS).run(script)
    (result,) = json.loads((ran.folder / "rollback.sarif").read_text(encoding="utf-8"))["runs"][0]["results"]
    assert (ran.code, result["ruleId"]) == (0, "column_dropped")
