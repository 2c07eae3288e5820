"""Every story on real servers, and the contract suites against them, in two labs side by side: `python -m tests.real [ARGUMENTS OF PYTEST]`.

Stories wait more than they compute, so two labs take little more than half the time of one, on two cores too. Which file runs where is fixed (`share`), so
that a run is like the run before. The first lab's output is shown as it comes, that of the others whole once all have ended. A few tests that fail run once
more, alone in a lab of their own (`again.py`).
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.real import again, outcomes
from tests.real.lab import network
from tests.real.lab.build import build
from tests.real.lab.cache import Cache, cache_folder
from tests.real.lab.output import say
from tests.real.lab.processes import die_with_the_parent

LABS = 2
IN_A_LAB = (sys.executable, "-m", "tests.real.lab", "run", "--")
FOLDERS = ("tests/real", "tests/contract")
NOTHING_TO_RUN = 5
"""Pytest's exit code where it found no test that was asked for."""

SECONDS: Mapping[str, int] = {
    "tests/contract/argocd/test_auto_sync.py": 68,
    "tests/contract/argocd/test_outages.py": 67,
    "tests/contract/argocd/test_releases.py": 39,
    "tests/contract/argocd/test_rollback.py": 80,
    "tests/contract/argocd/test_rollouts.py": 130,
    "tests/contract/argocd/test_windows.py": 80,
    "tests/real/test_charts.py": 97,
    "tests/real/test_cluster.py": 110,
    "tests/real/test_declared.py": 90,
    "tests/real/test_holds.py": 414,
    "tests/real/test_init.py": 64,
    "tests/real/test_lab_smoke.py": 48,
    "tests/real/test_meanwhile.py": 75,
    "tests/real/test_outages.py": 438,
    "tests/real/test_owners.py": 375,
    "tests/real/test_releases.py": 292,
    "tests/real/test_rollouts.py": 425,
    "tests/real/test_stories.py": 426,
    "tests/real/test_stuck.py": 139,
    "tests/real/test_tools.py": 202,
    "tests/real/test_windows.py": 230,
}
"""What a file took when it was last measured, on a busy machine (`ARGS=--durations=0`). Only the balance between the labs depends on it."""
USUAL = 15
AGAIN_S = 900
"""What the second try of a few tests may take, so that CI has a verdict in time."""


def share(files: Iterable[str], labs: int) -> list[list[str]]:
    """Which files run in which lab: the longest first, each where least is to do by then; within a lab by name."""
    found: list[list[str]] = [[] for _ in range(labs)]
    busy = [0] * labs
    for file in sorted(files, key=lambda file: (-SECONDS.get(file, USUAL), file)):
        lab = busy.index(min(busy))
        found[lab].append(file)
        busy[lab] += SECONDS.get(file, USUAL)
    return [sorted(one) for one in found]


def verdict(codes: Sequence[int]) -> int:
    """One exit code of several: any failure is one; that there was nothing to run is one where it is so in all labs."""
    return next((code for code in codes if code not in {0, NOTHING_TO_RUN}), min(codes))


def files() -> list[str]:
    """Every file of tests."""
    return sorted(str(file) for folder in FOLDERS for file in Path(folder).rglob("test_*.py"))


class Labs:
    """The labs of one run, each with an exit code and what its pytest wrote down. A signal ends all of them, and none is started after it."""

    def __init__(self, folder: Path, arguments: Sequence[str]) -> None:
        self._folder, self._arguments = folder, arguments
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._began = time.monotonic()
        self._stopped = False
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(one, self._pass_on, one)

    async def play(self, name: str, part: Sequence[str], output: IO[bytes] | None, *, seconds: float | None = None) -> int:
        """A lab runs these files or tests and ends, after so many seconds at the latest; `output` takes all that is printed, None shows it."""
        if self._stopped:
            return -signal.SIGTERM
        lab = self._running[name] = await asyncio.create_subprocess_exec(
            *IN_A_LAB,
            *(sys.executable, "-m", "pytest", "-m", "real", "-o", f"cache_dir=.pytest_cache/{name.replace(' ', '-')}"),
            *part,
            *self._arguments,
            *outcomes.arguments(self._file(name)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            start_new_session=True,  # Ctrl-C at the terminal is passed on, once
            preexec_fn=die_with_the_parent,
        )
        try:
            code = await asyncio.wait_for(lab.wait(), seconds)
        except TimeoutError:
            say(f"{name} is told to end: it has taken {seconds:.0f} s")
            lab.send_signal(signal.SIGTERM)
            code = await lab.wait()
        say(f"{name} ended with {code} after {time.monotonic() - self._began:.0f} s")
        return code

    def outcome(self, name: str) -> outcomes.Session | None:
        """What its pytest wrote down."""
        return outcomes.read(self._file(name))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.outcomes"

    def _pass_on(self, received: signal.Signals) -> None:
        self._stopped = True
        for lab in self._running.values():
            if lab.returncode is None:
                lab.send_signal(received)


async def run(shares: Sequence[Sequence[str]], arguments: Sequence[str]) -> int:
    """All shares side by side, then a few that failed once more, alone; answers the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        labs = Labs(Path(folder), arguments)
        names = [f"lab {number} of {len(shares)}" for number in range(1, len(shares) + 1)]
        outputs = [None, *(_opened(Path(folder) / name) for name in names[1:])]
        codes = await asyncio.gather(*(labs.play(name, part, output) for name, part, output in zip(names, shares, outputs, strict=True)))
        for name, output in zip(names, outputs, strict=True):
            if output is not None:
                say(f"the output of {name}:")
                output.seek(0)
                shutil.copyfileobj(output, sys.stdout.buffer)
                sys.stdout.flush()
                output.close()
        code, unsteady = await _second_try(labs, codes, [labs.outcome(name) for name in names])
    sys.stdout.write(again.told(unsteady))
    sys.stdout.flush()
    say(again.closing(code, unsteady))
    return code


async def _second_try(labs: Labs, codes: Sequence[int], sessions: Sequence[outcomes.Session | None]) -> tuple[int, Sequence[outcomes.Failure]]:
    """The exit code of all, and the tests that failed and passed then; where there is none, it is said why."""
    tried, why_not = again.once_more(codes, sessions)
    if why_not:
        say(f"no second try: {why_not}")
    if not tried:
        return verdict(codes), ()
    name = "the lab of the second try"
    say(f"once more, alone in a lab of its own: {' '.join(one.test for one in tried)}")
    code = await labs.play(name, [one.test for one in tried], None, seconds=AGAIN_S)
    unsteady = again.unsteady(tried, code, labs.outcome(name))
    return 0 if len(unsteady) == len(tried) else verdict(codes), unsteady


def _opened(path: Path) -> IO[bytes]:
    return path.open("w+b")


def main(arguments: Sequence[str]) -> int:
    """The exit code; 1 when something could not be built. Without namespaces there is one network, and so one lab."""
    if problems := build(Cache(cache_folder(os.environ))):
        for problem in problems:
            say(f"not available: {problem}")
        return 1
    return asyncio.run(run(share(files(), LABS if network.private() else 1), arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
