"""Who wrote which field of an Application: `metadata.managedFields` as Kubernetes keeps it. Pure.

Each manager has an entry for its updates and one for what it applies on the server's side. A write takes the fields that it adds or changes over from
everybody else; what it removes belongs to nobody. An apply holds exactly the fields that it named, beside others that say the same. The CRD of
Applications has no list types, so a list is one field; and no status subresource, so the controller's entry is an ordinary one.
"""

import json
from typing import Any, Final

from integrations.sandbox.argocd.status import Json

SERVER: Final = "argocd-server"
CONTROLLER: Final = "argocd-application-controller"
SET_CONTROLLER: Final = "argocd-applicationset-controller"
SYNC: Final = "argocd-controller"
"""Field managers of Argo CD's programs; the last is that of objects which an application deploys, Applications among them."""

UPDATE: Final = "Update"
APPLY: Final = "Apply"
Tree = dict[str, "Tree"]
"""`fieldsV1`: a field that is held is an empty mapping; a mapping that its manager made holds `.` beside its fields."""


def after_update(entries: list[Json], old: Json | None, new: Json, *, manager: str, now: str) -> list[Json]:
    """The entries after `manager` made `new` of `old` (None: it did not exist)."""
    touched, gone = _difference(_told(old) if old else {}, _told(new))
    if not touched and not gone:
        return entries
    kept = []
    own: Tree = {}
    for entry in entries:
        if (entry["manager"], entry["operation"]) == (manager, UPDATE):
            own = entry["fieldsV1"]
        elif left := _without(_without(entry["fieldsV1"], gone), touched):
            kept.append({**entry, "fieldsV1": left})
    own = _with(_without(own, gone), touched)
    return _sorted([*kept, *([_entry(manager, UPDATE, own, now)] if own else [])])


def after_apply(entries: list[Json], old: Json, new: Json, body: Json, *, manager: str, now: str) -> list[Json]:
    """The entries after `manager` applied `body` by force, which made `new` of `old`."""
    touched, gone = _difference(_told(old), _told(new))
    mine, held = (manager, APPLY), _leaves(_fields(_told(body)))
    if not touched and not gone and any((entry["manager"], entry["operation"], entry["fieldsV1"]) == (*mine, held) for entry in entries):
        return entries
    others = [entry for entry in entries if (entry["manager"], entry["operation"]) != mine]
    kept = [{**entry, "fieldsV1": left} for entry in others if (left := _without(_without(entry["fieldsV1"], gone), touched))]
    return _sorted([*kept, _entry(manager, APPLY, held, now)])


def applied(entries: list[Json], app: Json, body: Json, *, manager: str) -> Json:
    """`app` with `body` applied: what it names is set, what the manager named before, names no more and nobody else holds is removed."""
    before: Tree = next((entry["fieldsV1"] for entry in entries if (entry["manager"], entry["operation"]) == (manager, APPLY)), {})
    others = [entry["fieldsV1"] for entry in entries if (entry["manager"], entry["operation"]) != (manager, APPLY)]
    dropped = _without(before, _leaves(_fields(_told(body))))
    for tree in others:
        dropped = _without(dropped, tree)
    new = {**app, **{part: _set(app.get(part, {}), body.get(part, {})) for part in ("metadata", "spec")}}
    _drop(new, dropped)
    return new


def _entry(manager: str, operation: str, fields: Tree, now: str) -> Json:
    about = {"manager": manager, "operation": operation, "apiVersion": "argoproj.io/v1alpha1", "time": now}
    return {**about, "fieldsType": "FieldsV1", "fieldsV1": fields}


def _sorted(entries: list[Json]) -> list[Json]:
    return sorted(entries, key=lambda entry: (entry["operation"] != APPLY, entry["time"], entry["manager"]))


def _told(app: Json) -> Json:
    """What managers are recorded for; of metadata only what they set, lists of it by their members."""
    metadata = app.get("metadata", {})
    about: Json = {part: metadata[part] for part in ("labels", "annotations") if metadata.get(part)}
    if metadata.get("finalizers"):
        about["finalizers"] = {f"v:{json.dumps(name)}": None for name in metadata["finalizers"]}
    if metadata.get("ownerReferences"):
        about["ownerReferences"] = {f'k:{{"uid":{json.dumps(ref["uid"])}}}': None for ref in metadata["ownerReferences"]}
    return ({"metadata": about} if about else {}) | {part: app[part] for part in ("spec", "operation", "status") if part in app}


def _name(key: str) -> str:
    return key if key[:2] in {"v:", "k:"} else f"f:{key}"


def _fields(value: Any) -> Tree:
    """Every field of a value, with a `.` for each mapping that is not empty."""
    if not isinstance(value, dict) or not value:
        return {}
    return {".": {}} | {_name(key): _fields(below) for key, below in value.items()}


def _leaves(tree: Tree) -> Tree:
    return {name: _leaves(below) for name, below in tree.items() if name != "."}


def _difference(old: Json, new: Json) -> tuple[Tree, Tree]:
    """The fields that were added or changed, and those that are gone. The object itself and its metadata are nobody's."""
    touched: Tree = {}
    gone: Tree = {}
    for key, value in new.items():
        before = old.get(key)
        if key not in old:
            found = _fields(value)
            touched[_name(key)] = {name: below for name, below in found.items() if name != "."} if key == "metadata" else found
        elif isinstance(before, dict) and isinstance(value, dict) and value:
            below, lost = _difference(before, value)
            touched |= {_name(key): below} if below else {}
            gone |= {_name(key): lost} if lost else {}
        elif before != value:
            touched[_name(key)] = _fields(value)
    return touched, gone | {_name(key): {} for key in old if key not in new}


def _without(tree: Tree, other: Tree) -> Tree:
    """`tree` less the fields of `other`, and less whatever is below one of them; a mapping of which nothing is left goes too."""
    left: Tree = {}
    for name, below in tree.items():
        if name not in other or (not below and other[name] and "." not in other[name]):
            left[name] = below
        elif below and other[name] and (kept := _without(below, other[name])):
            left[name] = kept
    return left


def _with(tree: Tree, other: Tree) -> Tree:
    return {**tree, **{name: _with(tree.get(name, {}), below) for name, below in other.items()}}


def _set(value: Json, change: Json) -> Json:
    set_: Json = dict(value)
    for key, below in change.items():
        set_[key] = _set(set_[key], below) if isinstance(below, dict) and isinstance(set_.get(key), dict) else below
    return set_


def _drop(value: Json, tree: Tree) -> None:
    for name, below in tree.items():
        key = name.removeprefix("f:")
        if key in value and below and isinstance(value[key], dict):
            value[key] = dict(value[key])
            _drop(value[key], below)
        else:
            value.pop(key, None)
