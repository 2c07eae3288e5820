"""Figures: what was asked, what was measured, and whether it holds; as a table for a terminal and for `docs/benchmarks.md`."""

import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table. `holds` is None for what is reported without a bound."""

    what: str
    asked: str
    measured: str
    holds: bool | None = None

    @property
    def verdict(self) -> str:
        """In a word."""
        return {True: "yes", False: "NO", None: "reported"}[self.holds]


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed; ValueError without values."""
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def busy_within(spans: Sequence[tuple[float, float]], begin: float, end: float) -> float:
    """Seconds between `begin` and `end` in which at least one of these spans was under way."""
    total, reached = 0.0, begin
    for came, went in sorted(spans):
        start, stop = max(came, reached), min(went, end)
        if stop > start:
            total += stop - start
            reached = stop
    return total


def table(figures: Sequence[Figure]) -> str:
    """As Markdown."""
    rows = ["| what | asked | measured | holds |", "|--|--|--|--|"]
    rows += [f"| {one.what} | {one.asked} | {one.measured} | {one.verdict} |" for one in figures]
    return "\n".join(rows)


def machine() -> str:
    """What it was measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    cores = sum(1 for line in lines if line.startswith("processor")) or 1
    return f"{cores} cores ({model}), {platform.system()} {platform.release()}, Python {platform.python_version()}"
