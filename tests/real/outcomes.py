"""Which tests passed and failed in a lab, in pytest's own words: a plugin that writes it down (`-p tests.real.outcomes --outcomes FILE`), and its reader."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A test that failed first, and how: `test` is its node id, `says` the line that pytest would put in its summary."""

    test: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """How a session of pytest ended. `whole`: every test that was found has run to its end. `passed`: node ids."""

    code: int
    whole: bool
    passed: frozenset[str]
    failures: tuple[Failure, ...]


def read(file: Path) -> Session | None:
    """None where the session never ended by itself: the lab did not come up, or went down with it."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    failures = tuple(Failure(**one) for one in found["failures"])
    return Session(code=found["code"], whole=found["whole"], passed=frozenset(found["passed"]), failures=failures)


def arguments(file: Path) -> Sequence[str]:
    """What pytest is given to write that file."""
    return ("-p", __name__, "--outcomes", str(file))


def pytest_addoption(parser: pytest.Parser) -> None:
    """See `arguments`."""
    parser.addoption("--outcomes", type=Path, metavar="FILE", help="write down which tests passed and failed, once the session has ended")


def pytest_configure(config: pytest.Config) -> None:
    """Without the option nothing is written."""
    if file := config.getoption("outcomes"):
        config.pluginmanager.register(_Writer(file))


class _Writer:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._passed: set[str] = set()
        self._failures: dict[str, Failure] = {}
        self._ended = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Set-up, the test itself, and taking down: the first of them that fails counts."""
        if report.failed:
            self._failures.setdefault(report.nodeid, Failure(test=report.nodeid, says=_says(report)))
        elif report.passed and report.when == "call":
            self._passed.add(report.nodeid)

    def pytest_runtest_logfinish(self) -> None:
        self._ended += 1

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Written in one go, so that half a file is none."""
        found = {
            "code": int(exitstatus),
            "whole": self._ended == session.testscollected,
            "passed": sorted(self._passed - self._failures.keys()),
            "failures": [asdict(one) for one in self._failures.values()],
        }
        draft = self._file.with_suffix(".new")
        draft.write_text(json.dumps(found), encoding="utf-8")
        draft.replace(self._file)


def _says(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = (crash.message if crash is not None else report.longreprtext).strip().splitlines()
    return str(lines[0 if crash is not None else -1]) if lines else "no word"
