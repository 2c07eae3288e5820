"""Makes what is missing: compiles the Go programs into the cache and installs the Debian packages.

Starts nothing. All that could not be had comes back as sentences that say what to do about it.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.real.lab.cache import Cache
from tests.real.lab.output import say
from tests.real.lab.programs import PACKAGED, DebianProgram, GoProgram

_POLICY = Path("/usr/sbin/policy-rc.d")
_APT = {"DEBIAN_FRONTEND": "noninteractive"}


def build(cache: Cache) -> list[str]:
    """Build and install what is missing; the answer lists what could not be had and why, empty when all is there."""
    with cache.locked():
        return [*_install_packages(), *compile_programs(cache)]


def _run(argv: Sequence[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> str | None:
    """None when the command succeeded, else the end of what it printed."""
    done = subprocess.run(
        argv, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode == 0:
        return None
    lines = [line for line in done.stdout.splitlines() if line.strip() and not line.startswith("go: downloading")]
    return f"{argv[0]} ended with {done.returncode}: " + " | ".join(lines[-6:])


# --- Debian -----------------------------------------------------------------------------------------------------------


def _missing_packages() -> list[DebianProgram]:
    return [program for program in PACKAGED if shutil.which(program.command) is None]


def _install_packages() -> list[str]:
    missing = _missing_packages()
    if not missing:
        return []
    command = f"apt-get install --no-install-recommends {' '.join(program.package for program in missing)}"
    names = ", ".join(program.command for program in missing)
    if shutil.which("apt-get") is None:
        return [f"{names}: not on PATH, and this machine has no apt-get; install them by other means"]
    if os.geteuid() != 0:
        return [f"{names}: not on PATH; as root: {command}"]
    began = time.monotonic()
    say(f"{command} ...")
    with _services_stay_down():
        # an outdated package list is worth a try: the install's own message tells more than the update's
        stale = _run(["apt-get", "-q", "update"], env=_APT)
        failure = _run(["apt-get", "-q", "install", "-y", "--no-install-recommends", *(program.package for program in missing)], env=_APT)
    say(f"Debian packages: {time.monotonic() - began:.0f} s")
    if failure is not None:
        return [f"{names}: {failure}" + (f" (before: {stale})" if stale else "")]
    return [f"{program.command}: not on PATH although {program.package} is installed" for program in _missing_packages()]


@contextmanager
def _services_stay_down() -> Iterator[None]:
    """Keep the packages from starting their servers as system services: the lab starts its own, and only those."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


# --- Go ---------------------------------------------------------------------------------------------------------------


def compile_programs(cache: Cache) -> list[str]:
    """The part of `build` that needs Go: all that is outdated, one after the other; one failure does not stop the rest."""
    outdated, without_manifests = cache.outdated(), cache.manifests_outdated()
    if not outdated and not without_manifests:
        return []
    if shutil.which("go") is None:
        wanted = [*(p.name for p in outdated), *(f"the manifests of {p.name}" for p in without_manifests)]
        return [f"{', '.join(wanted)}: go is not on PATH; Go 1.26 or newer is needed"]
    cache.binary("").mkdir(parents=True, exist_ok=True)
    problems = []
    for program in outdated:
        began = time.monotonic()
        say(f"{program.name} {program.version}: compiling ...")
        failure = _compile(program, cache)
        if failure is None:
            cache.remember(program.name, version=program.version, recipe=program.recipe)
            say(f"{program.name} {program.version}: {time.monotonic() - began:.0f} s")
        else:
            say(f"{program.name} {program.version}: failed after {time.monotonic() - began:.0f} s")
            problems.append(f"{program.name} {program.version}: {failure}")
    copies = ((program, _copy_manifests(program, cache)) for program in without_manifests)
    return [*problems, *(f"the manifests of {program.name} {program.version}: {failure}" for program, failure in copies if failure is not None)]


def _compile(program: GoProgram, cache: Cache) -> str | None:
    draft = cache.binary(f"{program.name}.new")
    # nice: the lab is built beside somebody's work. -mod=readonly: what is compiled is what go.sum in the tree says.
    go = ["nice", "-n", "10", "go", "build", "-mod=readonly", "-buildvcs=false", "-ldflags", program.linker_flags, "-o", str(draft), program.package]
    failure = _run(go, cwd=program.module, env={"CGO_ENABLED": "0", "GOWORK": "off"})
    if failure is None:
        draft.replace(cache.binary(program.name))
    return failure


def _copy_manifests(program: GoProgram, cache: Cache) -> str | None:
    # fetches the module again when Go's own cache was emptied since the binary was built
    asked = subprocess.run(
        ["go", "mod", "download", "-json", program.source],
        cwd=program.module,
        env={**os.environ, "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode != 0:
        return f"go mod download: {(asked.stderr or asked.stdout).strip()[-300:]}"
    source = Path(json.loads(asked.stdout)["Dir"]) / "manifests"
    shutil.rmtree(cache.manifests(program), ignore_errors=True)
    for part in program.manifests:
        folder = cache.manifests(program) / part
        folder.mkdir(parents=True)
        for file in (source / part).glob("*.yaml"):
            # only the text: files of the module cache are read-only, a copy of their modes could not be replaced later
            (folder / file.name).write_text(file.read_text())
    cache.remember(cache.manifests(program).name, version=program.version, recipe=program.recipe)
    return None
