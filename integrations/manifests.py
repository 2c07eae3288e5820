"""Kubernetes manifests as others hand them on: told by digests field by field, or shown for the record without what looks like a secret; pure."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping

from integrations.json_shapes import Body, part, text
from service.domain.model import Json
from service.domain.secrets import REMOVED, clear, without_secrets

TEXT = 256 * 1024
"""Characters of one text that are kept."""
NOISE = frozenset({"managedFields"})
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_WORDS = r"(?:password|passwd|passphrase|pwd|(?<![a-z])pass|secret|token|credential|(?:api|secret|access|private|encryption|signing|master|account)[-_.]?key)s?"
SECRET_NAME = re.compile(f"{_WORDS}$", re.IGNORECASE)
TOLD = re.compile(rf"""({_WORDS}["']?\s{{0,4}}[:=]\s{{0,4}})(?:"[^"\n]+"|'[^'\n]+'|[^\s"',;&}}\]]{{3,}})""", re.IGNORECASE)
"""A value under such a name inside of a text: the configuration file in a ConfigMap, a line of a log."""


def digest(value: Json) -> str:
    """The same for equal values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def fields_of(value: Json, path: str = "") -> Iterator[tuple[str, str]]:
    """Path and digest of each value; lists of named things (containers, variables, ports) by name, so that an insertion moves nothing."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from fields_of(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and value and all(isinstance(inner, Mapping) for inner in value):
        called = [text(inner.get("name")) for inner in value]
        named = all(called) and len(set(called)) == len(called)
        pods = path.endswith((".containers", ".initContainers"))
        for place, inner in enumerate(value):
            kept = {k: v for k, v in inner.items() if not (pods and k == "image")}  # images are compared by what they are, not by how they are named
            yield from fields_of(kept, f"{path}[{called[place] if named else place}]")
    else:
        yield path, digest(value)[:16]


def shown(manifest: Body) -> str:
    """The manifest for people to read: without what only machines read, and without the values of what is named like a secret."""
    return json.dumps(without_secrets(_unnamed(_plain(manifest))), indent=1, sort_keys=True)[:TEXT]


def untold(words: str) -> str:
    """A text without the values that stand behind a name like password."""
    return TOLD.sub(rf"\1{REMOVED}", words)


def shown_text(words: str) -> str:
    """A log or a list of events for people to read; of a longer one the end is kept."""
    return untold(clear(words)[0])[-TEXT:]


def _plain(manifest: Body) -> Body:
    """What only machines read would drown every difference."""
    metadata = {key: value for key, value in part(manifest, "metadata").items() if key not in NOISE}
    annotations = {key: value for key, value in part(metadata, "annotations").items() if key != LAST_APPLIED}
    return {**manifest, "metadata": {**metadata, **({"annotations": annotations} if "annotations" in metadata else {})}}


def _unnamed(value: Json) -> Json:
    """Without the values of what is named like a secret: an environment variable, a key of a ConfigMap, a line in one. References to Secrets are no values."""
    match value:
        case {"name": str() as name, "value": str()} if SECRET_NAME.search(name):
            return {**value, "value": REMOVED}
        case Mapping():
            return {name: REMOVED if isinstance(inner, str) and SECRET_NAME.search(name) else _unnamed(inner) for name, inner in value.items()}
        case list():
            return [_unnamed(inner) for inner in value]
        case str():
            return untold(value)
        case _:
            return value
