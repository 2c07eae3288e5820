"""Where built programs stay between runs: a folder outside the tree, with a record of how each binary was made."""

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.real.lab.programs import COMPILED, GoProgram


def cache_folder(environ: Mapping[str, str]) -> Path:
    """`$BACKOUT_LAB_CACHE`, else `$XDG_CACHE_HOME/backout-lab`, else `~/.cache/backout-lab`."""
    if named := environ.get("BACKOUT_LAB_CACHE"):
        return Path(named).expanduser().resolve()
    if caches := environ.get("XDG_CACHE_HOME"):
        return Path(caches).expanduser().resolve() / "backout-lab"
    return Path.home() / ".cache" / "backout-lab"


@dataclass(frozen=True, slots=True)
class Cache:
    """The folder and what is in it: `bin/NAME`, `NAME-manifests/FOLDER`, `manifest.json`."""

    root: Path

    def binary(self, name: str) -> Path:
        """The path of a compiled program, whether it is there or not."""
        return self.root / "bin" / name

    def manifests(self, program: GoProgram) -> Path:
        """The manifests of the compiled version of a program, whether they are there or not."""
        return self.root / f"{program.name}-manifests"

    @property
    def started(self) -> Path:
        """The work folder of a lab that `start` keeps in the foreground; `stop` looks here."""
        return self.root / "started"

    def record(self) -> dict[str, dict[str, str]]:
        """Program name -> `{"version", "recipe"}`; empty when there is no readable record, so that all is built again."""
        try:
            record = json.loads((self.root / "manifest.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def remember(self, name: str, *, version: str, recipe: str) -> None:
        """Write down how a program was made, after it was made."""
        record = self.record() | {name: {"version": version, "recipe": recipe}}
        draft = self.root / "manifest.json.new"
        draft.write_text(json.dumps(record, indent=1, sort_keys=True))
        draft.replace(self.root / "manifest.json")

    def outdated(self) -> list[GoProgram]:
        """The programs that are missing here, or were made from other sources than the tree names now."""
        record = self.record()
        return [p for p in COMPILED if not self.binary(p.name).is_file() or record.get(p.name, {}).get("recipe") != p.recipe]

    def manifests_outdated(self) -> list[GoProgram]:
        """The programs whose manifests are missing or those of another version."""
        record = self.record()
        wanted = [program for program in COMPILED if program.manifests]
        return [p for p in wanted if not self.manifests(p).is_dir() or record.get(self.manifests(p).name, {}).get("version") != p.version]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the cache against a second build at the same time; waits until the other one is done."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
