"""From which source revision the image of a server group's machines was built; pure. All of it is read from the source of Spinnaker 2026.2.3 only.

Who tells it, and how much that is worth:

- The image's tags `org.opencontainers.image.revision` and `.source`, which the build writes as it would the labels of a container image.
- `buildInfo.commit`: Clouddriver reads it out of the image's tag `appversion`, `package-version-hN.commit/job/N`, which Rosco writes at the bake. Orca gives
  Rosco one commit of the CI build: the first that is on neither master nor develop, else the first. Where a build has several, it may be a library's.
- The runs whose stage `bake` made this image: `commitHash` of that stage is the same choice, `buildInfo.scm` what it was chosen from.

What contradicts is unknown, and so is a choice out of several. A revision that was chosen is `derived`: the rules want to see it in its repository.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from integrations.delivery.spinnaker.executions import Execution, Stage
from integrations.delivery.spinnaker.server_groups import VERSION, ServerGroup
from integrations.json_shapes import text
from service.domain.facts import Absent
from service.domain.keys import ImageConfig

REVISION, REPOSITORY = "org.opencontainers.image.revision", "org.opencontainers.image.source"
TAG_IT = f"Tag machine images with {REVISION} and {REPOSITORY} where they are built."
COMMIT = re.compile(r"[0-9a-f]{7,64}")
SHOWN = 12
"""Digits of a commit that a sentence shows."""


def source_of(group: ServerGroup, runs: Iterable[Execution], packages: Mapping[str, str]) -> ImageConfig | Absent:
    """What the image says of itself, as the labels of a container image would; Absent where those who tell of it disagree, or chose.

    `packages` is package -> repository, by the operator. A revision is "" where nobody tells one, and may be shortened where nobody tells all of it.
    """
    image = next((one.reference for one in group.images), "its image")
    baked = [(run, stage) for run in runs for stage in run.stages if _made(stage, image)]
    told = list(_told(group, baked))
    who_says, longest = max(told, key=lambda one: len(one[1]), default=("", ""))
    for who, commit in told:
        if not _agree(commit, longest):
            return Absent(f"it was built from {longest[:SHOWN]} by {who_says}, and from {commit[:SHOWN]} by {who}", TAG_IT)
    tagged = group.tags.get(REVISION, "")
    for run, stage in baked:
        commits, names = {one.lower() for one in run.commits}, text(stage.context.get("package")).split()
        if len(commits) > 1 and not tagged:
            return Absent(f"the build that it was baked from has {len(commits)} commits, and which is its own is not told", TAG_IT)
        if commits and longest and not any(_agree(one, longest) for one in commits):
            return Absent(f"it names {longest[:SHOWN]}, which is no commit of the build that run {run.id} baked it from", TAG_IT)
        if len(names) > 1 and not tagged:
            return Absent(f"several packages were baked into it ({', '.join(names)}), and the source of one alone is told", TAG_IT)
    return ImageConfig(
        labels=group.tags,
        revision=longest if longest.startswith(tagged.lower()) else tagged,
        repository=group.tags.get(REPOSITORY, "") or packages.get(group.package, ""),
        version=group.tags.get(VERSION, ""),
        derived=not tagged,
    )


def _agree(one: str, other: str) -> bool:
    """Whether both may name one commit: a shortened id is the beginning of the whole one."""
    return one.startswith(other) or other.startswith(one)


def _told(group: ServerGroup, baked: Iterable[tuple[Execution, Stage]]) -> Iterator[tuple[str, str]]:
    """Who names a commit, and which. What is none (a number of another version control system) is left out."""
    said = [(f"its tag {REVISION}", group.tags.get(REVISION, "")), ("its tag appversion", group.commit)]
    for run, stage in baked:
        said.append((f"the bake of run {run.id}", text(stage.context.get("commitHash"))))
        if len(set(run.commits)) == 1:
            said.append((f"the build of run {run.id}", run.commits[0]))
    return ((who, commit.lower()) for who, commit in said if COMMIT.fullmatch(commit.lower()))


def _made(stage: Stage, image: str) -> bool:
    """Whether this stage baked the image: `ami` and `imageId` of its context, once it is done."""
    return stage.kind == "bake" and stage.status.well and image in {text(stage.context.get("ami")), text(stage.context.get("imageId"))}
