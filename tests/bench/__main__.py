"""`python -m tests.bench [--only NAME] [--write FILE]`: runs the benchmarks one after the other and prints their table; exits 1 when a bound does not hold."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from service.wiring.parts import SystemClock
from tests.bench import crash, crowd_size, intake, reaction, restart, schema, spinnaker, standing, verdict
from tests.bench.figures import Figure, machine, table

BENCHMARKS = {
    "reaction": reaction.measure,
    "intake": intake.measure,
    "crash": crash.measure,
    "crowd": crowd_size.measure,
    "restart": restart.measure,
    "verdict": verdict.measure,
    "standing": standing.measure,
    "schema": schema.measure,
    "spinnaker": spinnaker.measure,
}

BEGIN, END = "<!-- measured: `make bench ARGS='--write docs/benchmarks.md'` writes what stands between -->", "<!-- until here -->"

MEASURED = """
Made by `make bench` on {when:%Y-%m-%d}: {machine}, in {minutes:.0f} minutes. Everything ran on this one machine, the stand-ins and the load beside the
service. Bounds are ratios within one run, or counts; seconds alone say little about another machine.

{table}
"""


def kept(page: str, measured: str) -> str:
    """The page with what was measured in place of what stood there; everything else of it stays."""
    before, found, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"the page has no place for the table: it stands between {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{measured}\n{END}{after}"


async def run(names: Sequence[str]) -> Sequence[Figure]:
    """The figures of these benchmarks."""
    figures: list[Figure] = []
    for name in names:
        sys.stderr.write(f"{name} ...\n")
        with tempfile.TemporaryDirectory(prefix="backout-bench-") as folder:
            found = await BENCHMARKS[name](Path(folder))
        figures += found
        sys.stderr.write(table(found) + "\n")
    return figures


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--only", action="append", choices=sorted(BENCHMARKS), help="run only this one (may be given several times)")
    parser.add_argument("--write", type=Path, help="write the page here, if all of them ran")
    chosen = parser.parse_args()
    began = time.perf_counter()
    if chosen.write:
        kept(chosen.write.read_text(encoding="utf-8"), "")  # a page without a place for the table is told now, not after minutes
    figures = asyncio.run(run(chosen.only or list(BENCHMARKS)))
    sys.stdout.write(f"{machine()}\n\n{table(figures)}\n")
    if chosen.write and not chosen.only:
        minutes = (time.perf_counter() - began) / 60
        measured = MEASURED.format(when=SystemClock().now(), machine=machine(), minutes=minutes, table=table(figures))
        chosen.write.write_text(kept(chosen.write.read_text(encoding="utf-8"), measured), encoding="utf-8")
    return 0 if all(one.holds is not False for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
