"""Judges two revisions of a Git repository on this machine, without service, settings or network: `backout check --repo`."""

from datetime import date
from pathlib import Path

from integrations.evidence.checkout import read
from service.domain.pull_request import Judged, declared, judge
from service.domain.rules import RULES, schema_is_compatible
from service.domain.schema import Dialect


def judge_repository(folder: Path, old: str, new: str, *, dialect: str, today: date) -> Judged:
    """Whether `old` could run again once `new` was deployed. Errors are `BackoutError`s; MissingHistoryError when this clone lacks history."""
    found = read(folder, old, new, dialect=Dialect(dialect))
    said = declared(found.declarations)
    remarks = []
    if found.change.old == found.change.new:
        remarks.append(f"{old} and {new} are the same commit.")
    elif found.parted:
        remarks.append(
            f"{old} is no ancestor of {new}: what only {old} has counts as deleted. In a merge request, compare with the merge base, or with what runs."
        )
    elif found.parted is None:
        remarks.append(f"This clone's history ends before anybody can say whether {old} is an ancestor of {new}.")
    return judge(found.change, old=old, new=new, waivers=said.waivers, today=today, remarks=remarks)


def not_decided() -> tuple[str, ...]:
    """The rules that need a running system, in reading order."""
    return tuple(rule.name for rule in RULES if rule.name != schema_is_compatible.RULE.name)
