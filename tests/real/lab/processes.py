"""Starts servers, watches them, and ends exactly those: each is a session of its own that dies with the lab."""

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp

from tests.real.lab.api import ApiError
from tests.real.lab.output import say, tail

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_GRACE_S = 3.0

Check = Callable[[], Awaitable[object]]


class StartError(Exception):
    """A server ended or did not answer in time; the text names it and holds the end of its log."""


def die_with_the_parent() -> None:
    """In the child, before exec: be killed when the parent is, even by SIGKILL, so that no server outlives its lab."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Processes:
    """The servers of one lab, by name; logs are `LOGS/NAME.log`."""

    def __init__(self, *, logs: Path, work: Path) -> None:
        self._logs, self._work = logs, work
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._commands: dict[str, tuple[Sequence[str | Path], Mapping[str, str]]] = {}

    @property
    def pids(self) -> dict[str, int]:
        """Name -> process id."""
        return {name: process.pid for name, process in self._running.items()}

    def log(self, name: str) -> Path:
        """Where the output of a server goes."""
        return self._logs / f"{name}.log"

    async def start(self, name: str, argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        """Start a server; `env` is added to the lab's own environment."""
        self._commands[name] = (argv, env or {})
        with _appending(self.log(name)) as log:
            self._running[name] = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._work,
                env={**os.environ, **(env or {})},
                start_new_session=True,  # Ctrl-C at the terminal is the lab's to handle, not theirs
                preexec_fn=die_with_the_parent,
            )

    async def start_again(self, name: str) -> None:
        """Start a server that has ended, as it was started before."""
        _signal_group(self._running[name].pid, signal.SIGKILL)  # what is left of its children
        await self.start(name, *self._commands[name])

    def ended(self) -> list[str]:
        """The servers that are not running any more although nobody stopped them."""
        return [name for name, process in self._running.items() if process.returncode is not None]

    async def until_ready(self, name: str, check: Check, seconds: float = 300) -> None:
        """Ask again and again until `check` answers something true; StartError when it does not, or any server ended."""
        end = time.monotonic() + seconds
        answer: object = "nothing yet"
        while True:
            for dead in self.ended():
                raise StartError(f"{dead} ended with {self._running[dead].returncode}; the end of {self.log(dead)}:\n{tail(self.log(dead))}")
            try:
                answer = await check()
            except (OSError, aiohttp.ClientError, ApiError, TimeoutError, LookupError) as error:
                answer = repr(error)  # not up yet: connection refused, half an answer, a Secret that is still to come
            else:
                if answer:
                    return
            if time.monotonic() >= end:  # however slow it is here, it was asked once
                break
            await asyncio.sleep(0.1)
        raise StartError(f"{name} is not ready after {seconds:.0f} s (last: {str(answer)[:300]}); the end of {self.log(name)}:\n{tail(self.log(name))}")

    async def watch(self) -> None:
        """Runs until cancelled and reports, once each, servers that end by themselves."""
        reported: set[tuple[str, int]] = set()
        while True:
            for name in self.ended():
                if (name, self._running[name].pid) in reported:
                    continue
                reported.add((name, self._running[name].pid))
                say(f"{name} ended with {self._running[name].returncode}; the end of {self.log(name)}:\n{tail(self.log(name))}")
            await asyncio.sleep(0.5)

    async def stop(self) -> None:
        """End all: asked first, killed after three seconds. Their data is thrown away, so nothing is lost by that."""
        alive = [process for process in self._running.values() if process.returncode is None]
        for process in alive:
            for number in (signal.SIGCONT, signal.SIGTERM):  # a test may have stopped it with SIGSTOP
                _signal_group(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(process.wait() for process in alive)), _GRACE_S)
        for process in self._running.values():
            _signal_group(process.pid, signal.SIGKILL)  # also what is left of the groups of servers that have ended
        await asyncio.gather(*(process.wait() for process in alive))


def _appending(log: Path) -> BinaryIO:
    return log.open("ab")


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


async def run_command(argv: Sequence[str], *, env: Mapping[str, str], interrupted: asyncio.Future[signal.Signals]) -> int:
    """Run the command the lab is for; answers its exit code, 128 + n when a signal ended it, 127 when it cannot be started.

    A signal that comes through `interrupted` is passed on to the command's whole group; 15 s later it is killed.
    """
    try:
        process = await asyncio.create_subprocess_exec(*argv, env={**os.environ, **env}, start_new_session=True, preexec_fn=die_with_the_parent)
    except OSError as error:
        say(f"cannot run {argv[0]}: {error}")
        return 127
    ending = asyncio.ensure_future(process.wait())
    try:
        both: set[asyncio.Future[Any]] = {ending, interrupted}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            _signal_group(process.pid, interrupted.result())
            await asyncio.wait({ending}, timeout=15)
    finally:
        _signal_group(process.pid, signal.SIGKILL)  # also what the command left behind in its group
    code = await ending
    return 128 - code if code < 0 else code
