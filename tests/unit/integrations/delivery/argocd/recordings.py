"""Exchanges of a real Argo CD v3.2.11, as recorded."""

import json
from pathlib import Path
from typing import Any

from integrations.http import Answer

FIXTURES = Path(__file__).parents[4] / "fixtures" / "argocd"


def step(name: str, number: int) -> Any:
    """One step of a recording."""
    return json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))["steps"][number]


def body(name: str, number: int) -> Any:
    """The body that was answered."""
    return step(name, number)["response"]["body"]


def answer(name: str, number: int) -> Answer:
    """The answer as our HTTP client would give it."""
    recorded = step(name, number)["response"]
    raw = recorded["body"]
    data = raw.encode() if isinstance(raw, str) else json.dumps(raw).encode()
    headers = {key.lower(): value for key, value in recorded["headers"].items()}
    return Answer(status=recorded["status"], headers=headers, body=data, url="https://argocd.example")
