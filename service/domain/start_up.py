"""Whether an older release that migrates when it starts is stopped by migrations that it does not know. Pure.

Alembic and Django are tried in the tests; of the others the documentation says so, and no version of theirs was run here. Who migrates by a hook of the
delivery system is not meant: a rollback there runs no hooks.
"""

from collections.abc import Collection, Iterable
from typing import Final

from service.domain.applied import NUMBERED
from service.domain.derived import listed
from service.domain.facts import Evidence
from service.domain.keys import FileChange
from service.domain.model import Release, Way
from service.domain.schema import recognise
from service.domain.verdict import Finding, blocks, warns

STOPS: Final = frozenset({"Alembic", "golang-migrate", "sqitch"})
"""Tools that end with an error where the database is further than their own files."""
GOES_ON: Final = frozenset({"Django"})
"""Tools that let be what they do not know. Of any other nobody knows for sure."""


def tools_of(files: Iterable[FileChange]) -> frozenset[str]:
    """The tools of these migrations by their paths alone; plain numbered SQL belongs to one of many, and names none."""
    found = (recognise(file.path) for file in files)
    return frozenset(str(one.tool) for one in found if one is not None and one.tool not in NUMBERED)


def start_up(tools: Collection[str], migrates: bool | None, newer: Release, older: Release, proof: Iterable[Evidence]) -> Finding | None:
    """The finding about starting the older release, by the tools whose migrations it does not know.

    `migrates`: whether it migrates when it starts (in an init container or its entry point), as the operator declares; None where nobody says.
    """
    stops, others = sorted(STOPS & set(tools)), sorted(set(tools) - STOPS - GOES_ON)
    if migrates is False or not (stops or (others and migrates)):
        return None
    clears = f"Start release {older.name} without that step. Else ship a hotfix on {newer.name}."
    if not stops:
        says = f"Release {older.name} migrates when it starts; whether {listed(others)} stops at migrations of release {newer.name} was never tried."
        return warns(says, *proof, clears=clears)
    does = f"{listed(stops)} stop{'s' if len(stops) == 1 else ''} at migrations of release {newer.name}, which it does not know"
    if migrates:
        says = f"Release {older.name} migrates when it starts, and {does}."
        return blocks(says, *proof, clears=clears, instead=Way.HOTFIX, overridable=True)
    return warns(f"If release {older.name} migrates when it starts, {does}.", *proof, clears="Say in declares.migrates_at_start whether it does.")
