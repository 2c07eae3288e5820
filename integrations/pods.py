"""Pods as Kubernetes writes them, read the same way whether Argo CD hands them on or the cluster was asked itself; pure.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from integrations.json_shapes import Body, entries, part, text
from service.domain.errors import PermanentError
from service.domain.keys import Pod
from service.domain.model import Image, Json

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ENDED = frozenset({"Succeeded", "Failed"})


def pod_of(manifest: Body) -> Pod | None:
    """One pod, or None when it ended (a completed job). PermanentError when a running container does not say which image it runs."""
    metadata, status = part(manifest, "metadata"), part(manifest, "status")
    if text(status.get("phase")) in _ENDED:
        return None
    name = text(metadata.get("name"))
    told = {text(s.get("name")): s for s in entries(status.get("containerStatuses"))}
    images = []
    for container in entries(part(manifest, "spec").get("containers")):
        own = told.get(text(container.get("name")), {})
        digest = image_digest(text(own.get("imageID")))
        if digest is None and (own.get("ready") or "running" in part(own, "state")):
            raise PermanentError(f"pod {name} does not say which image its container {text(container.get('name'))} runs")
        images.append(Image(reference=text(container.get("image")), digest=digest, proof="pods" if digest else ""))
    if not images:
        raise PermanentError(f"pod {name} shows no containers")
    ready = next((text(c.get("status")) for c in entries(status.get("conditions")) if c.get("type") == "Ready"), "")
    return Pod(
        name=name,
        images=tuple(images),
        ready=ready == "True",
        started_at=_moment(status.get("startTime")),
        restarts=sum(int(one.get("restartCount") or 0) for one in told.values()),
        waits=next((reason for one in told.values() if (reason := text(part(one, "state", "waiting").get("reason")))), ""),
        ending=bool(metadata.get("deletionTimestamp")),
    )


def image_digest(image_id: str) -> str | None:
    """The digest in `docker-pullable://repo@sha256:…`, `repo@sha256:…` or `sha256:…`; `docker://sha256:…` names no registry digest."""
    if image_id.startswith("docker://"):
        return None
    found = _DIGEST.search(image_id)
    return found[0] if found else None


def images_of(manifests: Sequence[Body]) -> tuple[Image, ...]:
    """Images that the manifests' pod templates name, each once, in order; a digest only where the reference has one."""
    found: dict[str, Image] = {}

    def walk(value: Json) -> None:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                if name in {"containers", "initContainers"}:
                    for container in entries(inner):
                        if reference := text(container.get("image")):
                            digest = image_digest(reference.partition("@")[2])
                            found.setdefault(reference, Image(reference=reference, digest=digest, proof="reference" if digest else ""))
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    for manifest in manifests:
        walk(manifest.get("spec"))
    return tuple(found.values())


def _moment(value: Json) -> datetime | None:
    if not text(value):
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        raise PermanentError(f"Kubernetes gave {value!r} for a time") from error
