"""What a target looked like before an operation's effect and after its end: manifests, events and logs, and how the manifests differ."""

import difflib
from collections.abc import Mapping, Sequence

from service.api import views
from service.api.edge import Answer, Call, Route
from service.api.problems import ProblemError
from service.domain.model import Operation

MANIFEST = "manifest"


async def list_captures(call: Call) -> Answer:
    """Both moments, as far as they were captured, with the texts if asked for, and one unified diff for each manifest that differs."""
    operation = call.about(await _load(call))
    found = await call.parts.captures.of(operation.id)
    texts = {item.digest: await _text(call, operation, item.digest) for one in found for item in one.items}
    moments = {one.moment: {item.name: item.digest for item in one.items if item.kind == MANIFEST} for one in found}
    shown = texts if call.word("texts", "true", "false") == "true" else {}
    return Answer(body=views.captures(operation, found, shown, _differences(moments, texts), call.addresses))


async def _load(call: Call) -> Operation:
    found = await call.parts.operations.load(call.id)
    if found is None:
        raise ProblemError("not_found", f"there is no operation {call.id} that this token may see")
    return found


async def _text(call: Call, operation: Operation, digest: str) -> str:
    return await call.parts.captures.text(operation.id, digest) or ""


def _differences(moments: Mapping[str, Mapping[str, str]], texts: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """(object, unified diff) of each manifest that changed, came or went; nothing while only one moment was captured."""
    if len(moments) < 2:  # noqa: PLR2004  before and after
        return ()
    before, after = moments["before"], moments["after"]
    changed = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    return [(name, _diff(name, texts.get(before.get(name, ""), ""), texts.get(after.get(name, ""), ""))) for name in changed]


def _diff(name: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), f"before/{name}", f"after/{name}", lineterm="")
    return "\n".join(lines)


ROUTES = (Route(method="GET", path="/v1/operations/{id}/captures", handler=list_captures, scope="operations:read", query=("texts",)),)
