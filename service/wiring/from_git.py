"""Judges two revisions of a Git repository on this machine, without service, settings or network: `backout check --repo`."""

from datetime import date
from pathlib import Path

from integrations.evidence.checkout import read
from service.domain.manifest_review import ASKED, Reviewed, review
from service.domain.pull_request import FILE, Judged, declared, judge
from service.domain.rules import RULES, schema_is_compatible
from service.domain.schema import Dialect


def judge_repository(folder: Path, old: str, new: str, *, dialect: str, today: date, manifests: str | None = None) -> Judged:
    """Whether `old` could run again once `new` was deployed; with `manifests` by the Kubernetes manifests of that folder too.

    Errors are `BackoutError`s; MissingHistoryError when this clone lacks history, NoFolderError when that folder holds no manifests.
    """
    found = read(folder, old, new, dialect=Dialect(dialect), manifests=manifests)
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
    seen = Reviewed()
    if found.manifests is not None:
        revisions = (found.change.old, found.change.new)
        seen = review(found.manifests, old=old, new=new, revisions=revisions, prunes=said.prunes, today=today)
        remarks += seen.remarks
    # What differs outside of that folder may deploy something too, so the same images prove nothing then.
    all_seen = found.manifests is not None and all(_inside(one.path, found.manifests.folder) or _says_nothing(one.path) for one in found.change.files)
    return judge(
        found.change,
        old=old,
        new=new,
        waivers=said.waivers,
        today=today,
        remarks=remarks,
        beside=seen.found,
        same_images=seen.same_images and all_seen,
    )


def _inside(path: str, folder: str) -> bool:
    return folder == "." or path.startswith(f"{folder}/")


def _says_nothing(path: str) -> bool:
    return path.endswith((".md", ".rst", ".txt")) or path == FILE


def not_decided(*, manifests: bool = False) -> tuple[str, ...]:
    """The rules that need a running system, in reading order."""
    decided = {schema_is_compatible.RULE.name, *(rule.name for rule in ASKED if manifests)}
    return tuple(rule.name for rule in RULES if rule.name not in decided)
