"""Reading request bodies the way Argo CD's gateway does: Go's encoding/json, then proto2's required fields.

Keys match in any case, unknown keys are ignored, numbers must be numbers. Says nothing about what a message means.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from integrations.sandbox.argocd.status import INTERNAL, INVALID, Json, RefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A request message: Go `package.Type`, fields with their Go type, and required fields (highest field number first)."""

    package: str
    name: str
    fields: Mapping[str, str]
    required: tuple[str, ...] = ()


_BY_NAME: Final = {"name": "string", "appNamespace": "string", "project": "string"}
ROLLBACK: Final = Message(
    package="application", name="ApplicationRollbackRequest", fields={**_BY_NAME, "id": "int64", "dryRun": "bool", "prune": "bool"}, required=("id",)
)
SYNC: Final = Message(
    package="application",
    name="ApplicationSyncRequest",
    fields={
        **_BY_NAME,
        "revision": "string",
        "dryRun": "bool",
        "prune": "bool",
        "strategy": "object",
        "resources": "list",
        "manifests": "list",
        "infos": "list",
        "retryStrategy": "object",
        "syncOptions": "object",
        "sourcePositions": "[]int64",
        "revisions": "list",
    },
)
PATCH: Final = Message(
    package="application", name="ApplicationPatchRequest", fields={**_BY_NAME, "patch": "string", "patchType": "string"}, required=("patchType", "patch")
)
ACTION: Final = Message(
    package="application",
    name="ResourceActionRunRequestV2",
    fields={
        **_BY_NAME,
        "namespace": "string",
        "resourceName": "string",
        "version": "string",
        "group": "string",
        "kind": "string",
        "action": "string",
        "resourceActionParameters": "list",
    },
    required=("action", "kind", "version", "resourceName"),
)
TEXT: Final = Message(package="application", name="ResourceActionRunRequest", fields={"text": "string"})
"""A body that is one JSON string; read as `{"text": …}`."""
LIVE_PATCH: Final = Message(package="application", name="ApplicationResourcePatchRequest", fields={"text": "string"})
"""Such a body too: the patch of a live object."""
ANY: Final = Message(package="v1alpha1", name="Application", fields={})
SESSION: Final = Message(package="session", name="SessionCreateRequest", fields={"username": "string", "password": "string", "token": "string"})
TOKEN: Final = Message(package="account", name="CreateTokenRequest", fields={"name": "string", "expiresIn": "int64", "id": "string", "description": "string"})

_GO_NAME: Final[list[tuple[type, str]]] = [(bool, "bool"), (str, "string"), (int, "number"), (float, "number"), (list, "array"), (dict, "object")]
_PYTHON: Final[dict[str, tuple[type, ...]]] = {"string": (str,), "bool": (bool,), "int64": (int,), "object": (dict,), "list": (list,), "[]int64": (list,)}


def go_json_error(text: str, error: json.JSONDecodeError) -> str:
    """Go's words for what Python's parser found wrong."""
    if error.pos >= len(text):
        return "unexpected end of JSON input"
    where = {
        "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
        "Expecting value": "looking for beginning of value",
        "Expecting ',' delimiter": "after object key:value pair",
        "Expecting ':' delimiter": "after object key",
        "Extra data": "after top-level value",
    }
    return f"invalid character '{text[error.pos]}' {where.get(error.msg, 'in string literal')}"


def decode(raw: bytes) -> Any:
    """Any JSON value of a body; an empty body is `{}`."""
    text = raw.decode("utf-8", "replace").strip()
    if not text:
        return {}
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        words = go_json_error(text, error)
        raise RefusedError(INVALID, "unexpected EOF" if words == "unexpected end of JSON input" else words) from error


def read(raw: bytes, message: Message) -> Json:
    """Body of a call as a checked mapping with the message's own spelling of keys; for `ANY` as it came."""
    value = decode(raw)
    if (message is TEXT or message is LIVE_PATCH) and isinstance(value, str):
        return {"text": value}
    if not isinstance(value, dict):
        raise RefusedError(INVALID, f"json: cannot unmarshal {_go_name(value)} into Go value of type {message.package}.{message.name}")
    if not message.fields:
        return value
    spelling = {name.lower(): name for name in message.fields}
    found = {spelling[key.lower()]: item for key, item in value.items() if key.lower() in spelling and item is not None}
    for name, item in found.items():
        _check(message, name, item)
    for name in message.required:
        if name not in found:
            raise RefusedError(INTERNAL, f'grpc: error while marshaling: proto: required field "{name}" not set')
    return found


def _check(message: Message, name: str, item: Any) -> None:
    wanted = message.fields[name]
    shown = wanted.removeprefix("[]")
    bad = item if not isinstance(item, _PYTHON[wanted]) or (wanted == "int64" and isinstance(item, bool)) else None
    if wanted == "[]int64" and bad is None:
        bad = next((entry for entry in item if not isinstance(entry, int) or isinstance(entry, bool)), None)
    if bad is not None:
        words = f"number {bad}" if isinstance(bad, float) else _go_name(bad)
        raise RefusedError(INVALID, f"json: cannot unmarshal {words} into Go struct field {message.name}.{name} of type {shown}")


def _go_name(value: Any) -> str:
    return next((name for kind, name in _GO_NAME if isinstance(value, kind)), "null")
