"""JSON merge patch and JSON patch with `test`, with the error words of Argo CD's patch library (recording 34)."""

import copy
import json
from typing import Any

from integrations.sandbox.argocd.messages import go_json_error
from integrations.sandbox.argocd.status import INVALID, UNKNOWN, Json, RefusedError


def patch(document: Json, text: str, kind: str) -> Json:
    """A patched copy of `document`. `kind` is `merge`, `json` or empty (= json)."""
    if kind not in {"", "json", "merge"}:
        raise RefusedError(INVALID, f"Patch type '{kind}' is not supported")
    try:
        change = json.loads(text)
    except json.JSONDecodeError as error:
        raise RefusedError(UNKNOWN, f"error unmarshaling patch: {go_json_error(text, error)}") from error
    if kind == "merge":
        if not isinstance(change, dict):
            raise RefusedError(UNKNOWN, "error calculating merge patch: Invalid JSON Patch")
        return merge(document, change)
    if not isinstance(change, list):
        raise RefusedError(UNKNOWN, "error decoding json patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    patched = copy.deepcopy(document)
    for step in change:
        _step(patched, step)
    return patched


def merge(document: Json, change: Json) -> Json:
    """RFC 7386 on mappings: null removes, mappings merge, anything else replaces."""
    merged = copy.deepcopy(document)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = merged.get(key)
            merged[key] = merge(below if isinstance(below, dict) else {}, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def _failed(words: str) -> RefusedError:
    return RefusedError(UNKNOWN, f"error applying patch: {words}")


def _step(document: Json, step: Json) -> None:
    operation, path = step.get("op"), str(step.get("path", ""))
    if operation in {"move", "copy"}:
        source = str(step.get("from", ""))
        value = copy.deepcopy(_value(document, source, f"error in {operation} for path: '{source}'"))
        if operation == "move":
            _step(document, {"op": "remove", "path": source})
        _step(document, {"op": "add", "path": path, "value": value})
        return
    if operation not in {"add", "remove", "replace", "test"}:
        raise _failed(f"Unexpected kind: {operation}")
    parent, key = _parent(document, path, f"{operation}")
    if operation == "test":
        _test(parent, key, path, step.get("value"))
    elif isinstance(parent, list):
        _in_list(parent, key, operation, step, path)
    else:
        if operation == "remove" and key not in parent:
            raise _failed(f"error in remove for path: '{path}': Unable to remove nonexistent key: {key}: missing value")
        if operation == "replace" and key not in parent:
            raise _failed(f"replace operation does not apply: doc is missing key: {path}: missing value")
        if operation == "remove":
            del parent[key]
        else:
            parent[key] = copy.deepcopy(step.get("value"))


def _test(parent: Any, key: str, path: str, wanted: Any) -> None:
    found = dict(enumerate(parent)).get(int(key) if key.isdecimal() else -1) if isinstance(parent, list) else parent.get(key)
    if found != wanted:
        raise _failed(f"testing value {path} failed: test failed")


def _in_list(parent: list[Any], key: str, operation: str, step: Json, path: str) -> None:
    index = len(parent) if key == "-" else int(key) if key.isdecimal() else -1
    if index < 0 or index > len(parent) or (operation != "add" and index == len(parent)):
        raise _failed(f"error in {operation} for path: '{path}': Unable to access invalid index: {key}: invalid index referenced")
    if operation == "remove":
        del parent[index]
    elif operation == "replace":
        parent[index] = copy.deepcopy(step.get("value"))
    else:
        parent.insert(index, copy.deepcopy(step.get("value")))


def _value(document: Json, path: str, words: str) -> Any:
    parent, key = _parent(document, path, "copy")
    try:
        return parent[int(key)] if isinstance(parent, list) else parent[key]
    except (KeyError, IndexError, ValueError) as error:
        raise _failed(f"{words}: missing value") from error


def _parent(document: Json, path: str, operation: str) -> tuple[Any, str]:
    parts = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
    if not parts:
        raise _failed(f"{operation} operation does not apply: doc is missing path: {path!r}: missing value")
    at: Any = document
    for part in parts[:-1]:
        below = at[int(part)] if isinstance(at, list) and part.isdecimal() and int(part) < len(at) else at.get(part) if isinstance(at, dict) else None
        if not isinstance(below, dict | list):
            raise _failed(f'{operation} operation does not apply: doc is missing path: "{path}": missing value')
        at = below
    return at, parts[-1]
