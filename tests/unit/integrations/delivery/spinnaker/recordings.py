"""Exchanges of a real Gate 2026.2.3, as recorded (tests/fixtures/spinnaker/README.md)."""

import json
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parents[4] / "fixtures" / "spinnaker"


def steps(name: str) -> list[Any]:
    """The steps of a recording."""
    found: list[Any] = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))["steps"]
    return found


def answers(name: str, prefix: str, *, method: str = "GET") -> list[Any]:
    """The bodies answered to requests of that method below that path, in order."""
    return [step["response"]["body"] for step in steps(name) if step["request"]["method"] == method and step["request"]["path"].startswith(prefix)]
