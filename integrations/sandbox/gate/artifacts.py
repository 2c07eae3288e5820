"""How Orca binds the artifacts that a pipeline expects: given ones, those of the newest run, defaults (contract 3.6). The words are Orca's."""

from typing import Any, Final

from integrations.sandbox.gate.refusals import BackendError
from integrations.sandbox.gate.settings import Json

_FIELDS: Final = ("type", "customKind", "name", "version", "location", "reference", "metadata", "artifactAccount", "provenance", "uuid")


def whole(given: Json) -> Json:
    """An artifact as Orca stores it."""
    return {"customKind": False, "metadata": {}, **{name: value for name, value in given.items() if value is not None}}


def resolve(config: Json, trigger: Json, prior: list[Json]) -> Json:
    """The trigger with its artifacts bound. BackendError 400 where one is expected and missing, or fits twice; `prior` are those of the newest run."""
    received = [whole(one) for one in trigger.get("artifacts", [])]
    listed = set(trigger.get("expectedArtifactIds") or [])
    bound: list[Json] = []
    for expected in config.get("expectedArtifacts", []):
        if expected.get("id") not in listed and not expected.get("useDefaultArtifact") and not expected.get("usePriorArtifact"):
            continue
        fits = [one for one in received if _fits(expected.get("matchArtifact", {}), one)]
        if not fits and expected.get("usePriorArtifact"):
            fits = [one for one in prior if _fits(expected.get("matchArtifact", {}), one)][:1]
        if not fits and expected.get("useDefaultArtifact"):
            fits = [whole(expected.get("defaultArtifact") or {})]
        if not fits:
            raise BackendError(400, f"Unmatched expected artifact {_expected(expected)} could not be resolved.")
        if len(fits) > 1:
            raise BackendError(400, f"Expected artifact {_expected(expected)} matches multiple artifacts [{', '.join(map(_artifact, fits))}]")
        match = whole({name: value for name, value in expected.get("matchArtifact", {}).items() if name != "id"})
        flags = {name: bool(expected.get(name)) for name in ("useDefaultArtifact", "usePriorArtifact")}
        bound.append({"boundArtifact": fits[0], "id": expected.get("id"), "matchArtifact": match, **flags})
    known = received + [one["boundArtifact"] for one in bound if one["boundArtifact"] not in received]
    return {**trigger, "artifacts": known, "expectedArtifacts": bound, "resolvedExpectedArtifacts": bound}


def _fits(match: Json, one: Json) -> bool:
    wanted = {name: match[name] for name in ("type", "name", "artifactAccount", "location", "version") if match.get(name)}
    return all(one.get(name) == value for name, value in wanted.items())


def _artifact(one: Json) -> str:
    return f"Artifact({', '.join(f'{name}={_java(one, name)}' for name in _FIELDS)})"


def _java(one: Json, name: str) -> Any:
    if name == "customKind":
        return str(bool(one.get(name))).lower()
    if name == "metadata":
        return "{}"
    return one.get(name) or "null"


def _expected(expected: Json) -> str:
    default = expected.get("defaultArtifact")
    flags = ", ".join(f"{name}={str(bool(expected.get(name))).lower()}" for name in ("usePriorArtifact", "useDefaultArtifact"))
    shown = _artifact(default) if default else "null"
    return (
        f"ExpectedArtifact(matchArtifact={_artifact(expected.get('matchArtifact', {}))}, {flags}, defaultArtifact={shown},"
        f" id={expected.get('id')}, boundArtifact=null)"
    )
