"""Every image of the goal release can still be pulled, by the exact digest that ran.

What the digests are comes from our own record or the rendered manifests; a tag looked up today is no evidence for yesterday.

Problem: Registries are moved and cleaned up. A rollback to an image that is gone leaves pods that cannot start, after the old ones were ended.

Read: The digests that ran, from Backout's own record or from manifests that name them; then one question for each to the registry. Of machines: what
Spinnaker shows of the server group's launch configuration.

Decides: All there under the digest asked for: pass. One that the registry does not have: no. A registry that does not answer, refuses, or answers with
another digest, or a tag without a digest: unknown.

Fix: Push the image again by its digest, or go back to a release whose images exist; keep images for as long as the history keeps releases.

Declare: Nothing; `immutable_tags` states that the tags of this target are never moved.

Elsewhere: Decided for everything that comes from a registry, and for machine images of server groups; functions are unknown.
"""

from collections.abc import Iterable
from typing import Any

from service.domain import keys
from service.domain.derived import Derived, doubt, exact_images, image_keys, listed, live_already, live_keys, together
from service.domain.facts import Absent, Key
from service.domain.model import Image, Release, Way
from service.domain.rule import Case, Rule
from service.domain.verdict import Finding, blocks, passes, unknown, warns


def needs(case: Case) -> Iterable[Key[Any]]:
    """The goal release's images, then one manifest an image."""
    if case.goal is None:
        return
    if not case.deploys:
        yield from live_keys(case)
        return
    yield from image_keys(case, case.goal)
    images = exact_images(case, case.goal)
    if isinstance(images, Derived):
        yield from (keys.manifest(exact) for exact in _exact(images.value))
        if any(image.of_machines for image in images.value):
            yield keys.server_groups(case.target)


def ask(case: Case) -> Finding:
    """All there passes; one gone is a no; one that nobody could ask for is unknown."""
    goal = case.goal
    if goal is None:
        return unknown("No release to go back to is known, so none of its images could be looked for.", clears="Known once there is a release to go back to.")
    if not case.deploys:
        return live_already(case, goal)
    images = exact_images(case, goal)
    if isinstance(images, Absent):
        return doubt(f"Which images release {goal.name} ran is unknown", images, clears="Let Backout watch the next release while it is live.")
    exact = _exact(images.value)
    parts = [_exists(case, image) for image in exact]
    if any(image.of_machines for image in images.value):
        return together([*parts, _launchable(case, goal), passes("", *images.evidence)])
    if all(part.answer == 0 for part in parts):
        count = len(exact)
        what = "The one image" if count == 1 else f"All {count} images"
        verb = "is" if count == 1 else "are"
        proof = (*images.evidence, *(one for part in parts for one in part.evidence))
        return passes(f"{what} of release {goal.name} {verb} still in the registry, by digest: {listed(exact, limit=3)}.", *proof)
    return together([*parts, passes("", *images.evidence)])


def _exact(images: Iterable[Image]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(image.exact for image in images if image.exact and not image.of_machines))


def _exists(case: Case, exact: str) -> Finding:
    manifest = case.facts.read(keys.manifest(exact))
    if isinstance(manifest, Absent):
        return doubt(f"Whether {exact} can still be pulled is unknown", manifest, clears="Give Backout read access to that registry.")
    if manifest.value.digest is None:
        return blocks(
            f"The image {exact} is no longer in the registry: its pods could not start.",
            manifest.evidence,
            clears="Push the image again, or go back to a release whose images exist.",
            instead=Way.HOTFIX,
        )
    if manifest.value.digest != exact.partition("@")[2]:
        return unknown(
            f"The registry answered with another digest for {exact}: {manifest.value.digest}.",
            manifest.evidence,
            clears="Look at the registry or the proxy before it.",
        )
    return passes(f"{exact} exists.", manifest.evidence)


def _launchable(case: Case, goal: Release) -> Finding:
    """Whether what launches the machines of the old server group is there: those that run need it only when one of them dies."""
    groups = case.facts.read(keys.server_groups(case.target))
    if isinstance(groups, Absent):
        return doubt("Whether the machine image of the server group still exists is unknown", groups, clears="Let Spinnaker show the server group.")
    found = groups.value.of_release(goal.key)
    if found is None:
        return blocks(f"Server group {goal.name} is not there any more.", groups.evidence, clears="Deploy the old version again with your own pipeline.")
    if found.launchable is None:
        return unknown(f"Whether the image of {found.name} still exists is not told.", groups.evidence, clears="Look for it at the cloud.")
    if not found.launchable:
        says = f"The image that {found.name} launches its machines from is gone: those that run go on, and no other can be started."
        return warns(says, groups.evidence, clears="Bake the image again, or go on without a way to replace a machine.")
    return passes(f"The image that {found.name} launches its machines from is still there.", groups.evidence)


RULE = Rule(name="goal_images_exist", question="Can every image of the goal release still be pulled?", ask=ask, needs=needs)
