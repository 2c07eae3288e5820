"""Judges two revisions of a Git repository on this machine, without service, settings or network: `backout check --repo`."""

from datetime import date
from pathlib import Path

from integrations.evidence.checkout import FETCH_ALL, known_here, read
from service.domain.manifest_review import ASKED, Reviewed, review
from service.domain.pull_request import Deployed, Found, Judged, NotDeployedFromHereError, judge
from service.domain.rules import RULES, schema_is_compatible
from service.domain.schema import Dialect
from service.domain.verdict import Answer
from service.domain.waivers import FILE, declared

SHORT = 8


def judge_repository(folder: Path, old: str, new: str, *, dialect: str, today: date, manifests: str | None = None, deployed: Deployed | None = None) -> Judged:
    """Whether `old` could run again once `new` was deployed; with `manifests` by the Kubernetes manifests of that folder too.

    With `deployed` it is what that target runs that is compared with, and `old` is only how a person named it.

    Errors are `BackoutError`s; MissingHistoryError when this clone lacks history, NoFolderError when that folder holds no manifests.
    """
    revision = deployed_here(folder, deployed) if deployed is not None else old
    found = read(folder, revision, new, dialect=Dialect(dialect), manifests=manifests)
    said = declared(found.declarations)
    remarks = [f"{deployed.target} runs {deployed.title}, built from {revision}."] if deployed is not None else []
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
        beside=(*seen.found, *(unclear_sources(deployed) if deployed is not None else ())),
        same_images=seen.same_images and all_seen,
    )


def deployed_here(folder: Path, deployed: Deployed) -> str:
    """The one commit of this clone that what runs was built from; NotDeployedFromHereError when none is here, or several are."""
    here = known_here(folder, [revision for _, revision in deployed.revisions])
    if len(here) == 1:
        return here[0]
    if here:
        named = ", ".join(one[:SHORT] for one in here)
        raise NotDeployedFromHereError(
            f"images of {deployed.target} were built from several commits of this repository: {named}", f"name the oldest of them: --from {here[0]}"
        )
    if not deployed.revisions:
        why = f": {deployed.unclear[0][0]}: {deployed.unclear[0][1]}" if deployed.unclear else ""
        raise NotDeployedFromHereError(
            f"from which commit {deployed.target} was built is not known{why}",
            "build images with the labels org.opencontainers.image.revision and .source, or name the commit that runs: --from COMMIT",
        )
    named = ", ".join(f"{revision[:SHORT]} of {repository}" for repository, revision in deployed.revisions[:3])
    raise NotDeployedFromHereError(
        f"this clone has no commit that {deployed.target} was built from ({named})", f"is it that repository, with its whole history? {FETCH_ALL}"
    )


def unclear_sources(deployed: Deployed) -> tuple[Found, ...]:
    """The images of what runs whose source nobody knows: they may come from this repository too, at another commit."""
    return tuple(
        Found(
            rule="source_not_known",
            answer=Answer.UNKNOWN,
            path="",
            line=0,
            says=f"From which source the image {image} of {deployed.target} was built is not known: {why}.",
            why="If it is built from this repository too, its migrations were not compared.",
            do="Build it with the labels org.opencontainers.image.revision and .source. Of a foreign image, a waiver says that it does not count.",
            objects=(image,),
        )
        for image, why in deployed.unclear
    )


def _inside(path: str, folder: str) -> bool:
    return folder == "." or path.startswith(f"{folder}/")


def _says_nothing(path: str) -> bool:
    return path.endswith((".md", ".rst", ".txt")) or path == FILE


def not_decided(*, manifests: bool = False) -> tuple[str, ...]:
    """The rules that need a running system, in reading order."""
    decided = {schema_is_compatible.RULE.name, *(rule.name for rule in ASKED if manifests)}
    return tuple(rule.name for rule in RULES if rule.name not in decided)
