"""From which source the live release of a target was built, read now: what a pull request has to be compared with. Reads only."""

from dataclasses import dataclass
from datetime import datetime

from service.domain import keys
from service.domain.derived import exact_images, image_keys, labels_key
from service.domain.facts import Absent
from service.domain.model import Image, Release, TargetId, Way
from service.domain.policy import TargetPolicy
from service.domain.rule import Case
from service.workflow.gather import Gatherer


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltFrom:
    """One image of the release, with the repository and commit that its labels name; both "" with `why` where nobody could find out."""

    image: Image
    repository: str = ""
    revision: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSources:
    """The live release and its images. Without a release, or without its images, `why` says so and nothing is listed."""

    target: TargetId
    as_of: datetime
    release: Release | None
    images: tuple[BuiltFrom, ...] = ()
    why: str = ""


async def live_sources(gatherer: Gatherer, target: TargetId) -> LiveSources:
    """Ask the delivery system what is live, and the registry what each of its images was built from."""
    facts = await gatherer.facts(target, [keys.state(target)])
    state = facts.read(keys.state(target))
    if isinstance(state, Absent):
        return LiveSources(target=target, as_of=facts.now, release=None, why=f"what is live is not known: {state.why}")
    live = state.value.current
    if live is None or not state.value.settled:
        return LiveSources(target=target, as_of=facts.now, release=live, why="which release is live is not settled")
    case = Case(target=target, policy=TargetPolicy(), suspect=live, goal=None, way=Way.NONE, facts=facts)
    for _ in range(2):  # the record names the images, or tells that manifests have to
        facts = await gatherer.facts(target, list(image_keys(case, live)), facts)
        case = Case(target=target, policy=TargetPolicy(), suspect=live, goal=None, way=Way.NONE, facts=facts)
    found = exact_images(case, live)
    if isinstance(found, Absent):
        return LiveSources(target=target, as_of=facts.now, release=live, why=found.why)
    facts = await gatherer.facts(target, [labels_key(live, image) for image in found.value], facts)
    built = []
    for image in found.value:
        config = facts.read(labels_key(live, image))
        if isinstance(config, Absent):
            built.append(BuiltFrom(image=image, why=config.why))
        elif not (config.value.revision and config.value.repository):
            built.append(BuiltFrom(image=image, why="the image does not say which source revision it was built from"))
        else:
            built.append(BuiltFrom(image=image, repository=config.value.repository, revision=config.value.revision))
    return LiveSources(target=target, as_of=facts.now, release=live, images=tuple(built))
