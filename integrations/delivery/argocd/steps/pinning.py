"""What the steps of a pin share: where the spec names the revision of each source, and what the spec is without our pin. Pure.

A pin writes revisions and nothing else, so nothing that could be a secret (parameters, addresses) has to be remembered to take it back.
"""

from collections.abc import Mapping, Sequence

from integrations.delivery.argocd import reading
from service.domain.model import Json

Intent = Mapping[str, Json]


def paths(app: reading.Body) -> tuple[str, ...]:
    """JSON pointers to what each source follows."""
    several = reading.entries(reading.part(app, "spec").get("sources"))
    return tuple(f"/spec/sources/{i}/targetRevision" for i in range(len(several))) or ("/spec/source/targetRevision",)


def shape(sources: int) -> reading.Body:
    """An application with so many sources, for the patch of a plan."""
    return {"spec": {"sources": [{} for _ in range(sources)]} if sources > 1 else {"source": {}}}


def is_pinned(app: reading.Body, pinned: Sequence[str]) -> bool:
    """Whether every source follows just these revisions."""
    return reading.follows_of(app) == tuple(pinned)


def with_revisions(app: reading.Body, follows: Sequence[str]) -> reading.Body:
    """The application as if its sources followed these; "" is left out, as Argo CD does."""
    spec = dict(reading.part(app, "spec"))

    def told(source: reading.Body, revision: str) -> reading.Body:
        rest = {name: value for name, value in source.items() if name != "targetRevision"}
        return {**rest, "targetRevision": revision} if revision else rest

    several = reading.entries(spec.get("sources"))
    if several:
        spec["sources"] = [told(source, revision) for source, revision in zip(several, follows, strict=True)]
    else:
        spec["source"] = told(reading.part(spec, "source"), follows[0] if follows else "")
    return {**app, "spec": spec}


def digest_without(app: reading.Body, intent: Intent) -> str:
    """Digest of the spec as it was before our pin: whoever edited anything else shows in it."""
    return reading.spec_digest(with_revisions(app, tuple(intent["remembered"]["follows"])) if is_pinned(app, intent["pinned"]) else app)


def write(app: reading.Body, before: Sequence[str], after: Sequence[str]) -> Sequence[Mapping[str, Json]]:
    """The patch from one set of revisions to the other; each is tested to be the one that is replaced."""
    found: list[Mapping[str, Json]] = []
    for path, old, new in zip(paths(app), before, after, strict=True):
        if old == new:
            continue
        found += [{"op": "test", "path": path, "value": old}] if old else []
        found.append({"op": "add", "path": path, "value": new} if new else {"op": "remove", "path": path})
    return found
