"""JSON patches of an application, each with the tests that make it one atomic change: nothing is written when what was read is no longer so."""

from collections.abc import Mapping, Sequence

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.client import INVALID, ServerRefusedError
from service.domain.model import Json

POINTER = "/metadata/annotations/backout.dev~1hold"
AUTOMATED = "/spec/syncPolicy/automated"
RESOURCE_VERSION = "/metadata/resourceVersion"


def uid_test(app: reading.Body) -> Mapping[str, Json]:
    """Fails the patch when the application was replaced by one of the same name."""
    return {"op": "test", "path": "/metadata/uid", "value": reading.part(app, "metadata").get("uid")}


def remove_mark(app: reading.Body, marker: str) -> Sequence[Mapping[str, Json]]:
    """Take that mark away wherever it stands, the annotation or `spec.info`; nothing when it stands nowhere."""
    found: list[Mapping[str, Json]] = []
    if reading.part(app, "metadata", "annotations").get(reading.HOLD) == marker:
        found += [{"op": "test", "path": POINTER, "value": marker}, {"op": "remove", "path": POINTER}]
    infos = reading.entries(reading.part(app, "spec").get("info"))
    for i, info in enumerate(infos):
        if info.get("name") == reading.HOLD and info.get("value") == marker:
            found += [{"op": "test", "path": f"/spec/info/{i}", "value": dict(info)}, {"op": "remove", "path": f"/spec/info/{i}"}]
            break
    return found


def add_mark(app: reading.Body, marker: str) -> Sequence[Mapping[str, Json]]:
    """Annotate with the mark of a hold."""
    metadata = reading.part(app, "metadata")
    if metadata.get("annotations"):
        return [{"op": "add", "path": POINTER, "value": marker}]
    # Creating the map would wipe annotations that somebody added in between, so the whole object must still be the one that was read.
    return [
        {"op": "test", "path": RESOURCE_VERSION, "value": metadata.get("resourceVersion")},
        {"op": "add", "path": "/metadata/annotations", "value": {reading.HOLD: marker}},
    ]


def renders_not(error: ServerRefusedError) -> bool:
    """Whether a patch was refused because the target revision renders to nothing valid (contract 3.7)."""
    return error.status == 400 and error.code == INVALID and "is invalid" in error.words  # noqa: PLR2004  the HTTP status of an invalid spec


def refusal_of(error: ServerRefusedError) -> str:
    """The sentence for a refused patch."""
    return f"the application changed in the same moment; nothing was written ({error.words})" if "test failed" in error.words else str(error)
