"""The lab's command line: build, run, start, stop. Run it from the repository root: `python -m tests.real.lab`."""

import argparse
import asyncio
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tests.real.lab import network
from tests.real.lab.build import build
from tests.real.lab.cache import Cache, cache_folder
from tests.real.lab.output import say
from tests.real.lab.processes import StartError, run_command
from tests.real.lab.serve import serve

_USAGE = """\
  build            compile and install what is missing (minutes, once)
  run -- COMMAND   start everything, run COMMAND beside it with BACKOUT_LAB=lab.json, stop everything
  start            start everything and stay; says how to enter
  stop             end the lab that `start` keeps
Programs are cached in $BACKOUT_LAB_CACHE, else $XDG_CACHE_HOME/backout-lab, else ~/.cache/backout-lab."""

Interrupt = asyncio.Future[signal.Signals]


def main(arguments: Sequence[str]) -> int:
    """The exit code: that of COMMAND for `run`; 1 when something could not be built, started or stopped."""
    parser = argparse.ArgumentParser(prog="python -m tests.real.lab", description=_USAGE, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="do", required=True, metavar="build | run | start | stop")
    for name in ("build", "start", "stop"):
        commands.add_parser(name)
    commands.add_parser("run").add_argument("command", nargs="+", metavar="-- COMMAND")
    asked = parser.parse_args(arguments)

    cache = Cache(cache_folder(os.environ))
    if asked.do == "stop":
        return _stop(cache)
    if not network.inside():
        if problems := build(cache):
            for problem in problems:
                say(f"not available: {problem}")
            return 1
        if asked.do == "build":
            say(f"everything is there: compiled programs in {cache.root / 'bin'}, the others on PATH")
            return 0
        network.enter(arguments)
    network.loopback_up()
    return _run(cache, asked.command) if asked.do == "run" else _start(cache)


def _run(cache: Cache, command: Sequence[str]) -> int:
    work = Path(tempfile.mkdtemp(prefix="backout-lab-"))

    async def use(lab_json: Path, interrupt: Interrupt) -> int:
        return await run_command(command, env={"BACKOUT_LAB": str(lab_json)}, interrupted=interrupt)

    code = _serve(cache, work, use)
    if code == 0:
        shutil.rmtree(work, ignore_errors=True)
    else:
        _keep_logs(work)
        say(f"the servers' logs are kept in {work / 'log'}")
    return code


def _start(cache: Cache) -> int:
    work = cache.started
    if (pid := _lab_in(work)) is not None:
        say(f"a lab runs already (process {pid}); stop it with: python -m tests.real.lab stop")
        return 1
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    (work / "pid").write_text(str(os.getpid()))

    async def use(lab_json: Path, interrupt: Interrupt) -> int:
        say(f"enter it with: {network.how_to_enter(os.getpid())}env BACKOUT_LAB={shlex.quote(str(lab_json))} COMMAND")
        say("end it with Ctrl-C, or from elsewhere: python -m tests.real.lab stop")
        await interrupt
        return 0

    code = _serve(cache, work, use)
    _keep_logs(work)
    return code


def _stop(cache: Cache) -> int:
    pid = _lab_in(cache.started)
    if pid is None:
        say("no lab that `start` keeps is running")
        return 0
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 30
    while _lab_in(cache.started) == pid:
        if time.monotonic() > end:
            say(f"process {pid} does not end")
            return 1
        time.sleep(0.1)
    say("stopped")
    return 0


def _lab_in(work: Path) -> int | None:
    """The process id of the lab that works in this folder; a number that belongs to another program by now is none."""
    try:
        pid = int((work / "pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return pid if b"tests.real.lab" in command else None


def _keep_logs(work: Path) -> None:
    for entry in work.iterdir():
        if entry.is_dir() and entry.name != "log":
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.is_file():
            entry.unlink()


def _serve(cache: Cache, work: Path, use: Callable[[Path, Interrupt], Awaitable[int]]) -> int:
    """Serve until `use` is done. The first signal ends a lab that is still starting, and is `use`'s own matter afterwards."""

    async def session() -> int:
        loop = asyncio.get_running_loop()
        interrupt: Interrupt = loop.create_future()
        up = False

        async def use_it(lab_json: Path) -> int:
            nonlocal up
            up = True
            return await use(lab_json, interrupt)

        serving = asyncio.ensure_future(serve(cache, work, use_it))

        def on_signal(number: signal.Signals) -> None:
            if interrupt.done():
                return  # one is enough: stopping is under way, and a second one must not leave it half done
            interrupt.set_result(number)
            if not up:
                serving.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, on_signal, number)
        try:
            return await serving
        except asyncio.CancelledError:
            return 128 + interrupt.result()
        except StartError as error:
            say(str(error))
            return 1

    return asyncio.run(session())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
