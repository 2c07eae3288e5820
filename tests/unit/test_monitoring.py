"""The dashboard and the alert rules that are shipped ask for metrics and labels that exist, and say what a person does next."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.domain.verdict import Answer

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "charts" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "readiness-dashboard.json").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "readiness-alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
METRIC = re.compile(r"\bbackout_[a-z_]+\b")
DESCRIBED = re.compile(r"^\| `(backout_[a-z_]+)` \| ([^|]*)\|", re.MULTILINE)


def described() -> dict[str, set[str]]:
    """Metrics and their labels, by the guide; a test of its own compares the guide with what is exported."""
    rows = DESCRIBED.findall((ROOT / "docs" / "operations.md").read_text(encoding="utf-8"))
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def expressions() -> Iterator[str]:
    yield from (target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])
    yield from (rule["expr"] for rule in RULES)


@pytest.mark.parametrize("expression", list(expressions()))
def test_what_is_asked_for_exists(expression: str) -> None:
    names = METRIC.findall(expression)
    assert names
    assert set(names) <= described().keys()
    labels = set(re.findall(r"(\w+)=~?\"", expression)) | set(re.findall(r"by \((\w+)\)", expression))
    assert labels <= set().union(*(described()[name] for name in names))


def test_the_numbers_of_the_verdicts_are_those_of_the_metric() -> None:
    written = json.dumps(DASHBOARD)
    for answer in Answer:
        assert f'"{int(answer)}": {{"text": "{answer.word}"' in written
    by_name = {rule["alert"]: rule["expr"] for rule in RULES}
    assert by_name["BackoutTargetCannotGoBack"].endswith(f"== {int(Answer.BLOCK)}")
    assert by_name["BackoutReadinessUnknown"].endswith(f"== {int(Answer.UNKNOWN)}")


def test_panels_do_not_overlap_and_have_numbers_of_their_own() -> None:
    taken: dict[tuple[int, int], int] = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        for place in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            assert taken.setdefault(place, panel["id"]) == panel["id"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_waits_is_no_page_and_says_what_it_means(rule: dict[str, Any]) -> None:
    assert rule["for"]
    assert rule["labels"]["severity"] == "ticket"
    assert set(rule["annotations"]) == {"summary", "description"}


def test_no_rule_about_readiness_can_start_a_rollback() -> None:
    assert all("target" not in rule["labels"] and "backout_target" not in rule["labels"] for rule in RULES)
