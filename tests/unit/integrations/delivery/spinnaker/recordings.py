"""Exchanges of a real Gate 2026.2.3, as recorded (tests/fixtures/spinnaker/README.md)."""

import json
from pathlib import Path
from typing import Any

from integrations.http import Answer

FIXTURES = Path(__file__).parents[4] / "fixtures" / "spinnaker"


def steps(name: str) -> list[Any]:
    """The steps of a recording."""
    found: list[Any] = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))["steps"]
    return found


def answers(name: str, prefix: str, *, method: str = "GET") -> list[Any]:
    """The bodies answered to requests of that method below that path, in order."""
    return [step["response"]["body"] for step in steps(name) if step["request"]["method"] == method and step["request"]["path"].startswith(prefix)]


def answer(step: Any) -> Answer:
    """A step's answer as our HTTP client would give it; a summary of several exchanges has no headers."""
    recorded = step["response"]
    raw = recorded["body"]
    data = b"" if raw is None else raw.encode() if isinstance(raw, str) else json.dumps(raw).encode()
    headers = {key.lower(): value for key, value in recorded.get("headers", {"Content-Type": "application/json"}).items()}
    return Answer(status=recorded["status"], headers=headers, body=data, url="https://gate.example")
