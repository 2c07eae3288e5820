import json
import re
from pathlib import Path

import pytest

from service.domain.conditions import FIELDS
from tests.unit.service.cli.conftest import Ran, Shell

ROOT = Path(__file__).parents[5]
PAGE = (ROOT / "docs/policy.md").read_text(encoding="utf-8")
SHOWN = {found[1].split("\n", 1)[0].removeprefix("# "): found[1] for found in re.finditer(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The settings and the cases of docs/policy.md, as files."""
    for name in ("backout.yaml", "cases.yaml"):
        (tmp_path / name).write_text(SHOWN[name], encoding="utf-8")
    return tmp_path


def tried(folder: Path, *more: str) -> Ran:
    return Shell()("policy", "test", "--config", str(folder / "backout.yaml"), str(folder / "cases.yaml"), *more)


def changed(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new), encoding="utf-8")


def test_the_page_shows_what_the_command_answers_to_the_pages_own_files(folder: Path) -> None:
    ran = tried(folder)
    assert ran.code == 0
    assert f"```\n{ran.out}```" in PAGE


def test_the_page_has_every_field_that_conditions_may_ask_for() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| ([^|]+) \| (.+?)( ¹)? \|$", PAGE, re.MULTILINE)
    assert {name: (kind, says, bool(foreign)) for name, kind, says, foreign in rows if name in FIELDS} == {
        name: (one.type, one.says, one.foreign) for name, one in FIELDS.items()
    }


def test_a_case_that_comes_out_otherwise_is_shown_with_what_was_expected_and_exits_1(folder: Path) -> None:
    changed(folder, "cases.yaml", "does: act, mode: auto", "does: refuse, mode: auto")
    ran = tried(folder)
    assert ran.code == 1
    assert "NO  on a weekday it acts" in ran.out
    assert "does: expected refuse, got act" in ran.out
    assert "2 cases, 1 came out otherwise than expected." in ran.out


def test_with_json_it_is_one_document(folder: Path) -> None:
    document = tried(folder, "--json").document
    first, second = document["cases"]
    assert (document["ok"], first["ok"], first["got"]["waived"]) == (True, True, ["schema_is_compatible"])
    assert (second["policy"], second["held"], second["faults"]) == ("prod:shop-*", ["at most mode approve (nobody watches on Friday evenings)"], [])
    changed(folder, "cases.yaml", "mode: approve", "mode: auto")
    ran = tried(folder, "--json")
    assert (ran.code, ran.document["ok"]) == (1, False)


def test_promise_1_a_condition_that_cannot_be_read_stops_it_with_file_and_line(folder: Path) -> None:
    changed(folder, "backout.yaml", "goal.age <", "gaol.age <")
    ran = tried(folder)
    assert ran.code == 1
    assert "backout.yaml:12: targets[0].waivers[0].when: the condition asks for gaol.age, and there is no such field; did you mean goal.age?" in ran.err


def test_promise_1_a_condition_that_fails_in_a_case_is_named(folder: Path) -> None:
    changed(folder, "cases.yaml", "fields: {goal.age: 26h}", "fields: {suspect.age: 26h}")
    ran = tried(folder)
    assert ran.code == 1
    assert "waivers[0].when needs goal.age, which is not known here" in ran.out
    assert "verdict: expected pass, got unknown" in ran.out


@pytest.mark.parametrize(("text", "says"), [("[", "is no YAML"), ("- {name: x}", "expects nothing"), ("- {recorded: gone.json}", "gone.json cannot be read")])
def test_a_file_that_is_no_list_of_cases_is_said_with_its_name(folder: Path, text: str, says: str) -> None:
    (folder / "cases.yaml").write_text(text, encoding="utf-8")
    ran = tried(folder)
    assert ran.code == 1
    assert says in ran.err or "has no `target`" in ran.err
    assert str(folder) in ran.err


def test_a_document_of_a_check_beside_the_cases_is_found_from_anywhere(folder: Path) -> None:
    said = {"target": "prod:shop-cart", "as_of": "2026-05-06T10:00:00Z", "way": "rollback", "findings": [{"rule": "caches_stay_coherent", "answer": "block"}]}
    (folder / "check.json").write_text(json.dumps(said), encoding="utf-8")
    (folder / "cases.yaml").write_text("- {recorded: check.json, expect: {does: refuse, verdict: block}}", encoding="utf-8")
    assert tried(folder).code == 0
