"""openapi.yaml as a judge: whether a request and an answer have the shapes that it promises. The fake service lets it look at everything it says and hears."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

OPENAPI = Path(__file__).parents[4] / "openapi.yaml"
_URI = "urn:openapi"


@cache
def openapi() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(OPENAPI.read_text(encoding="utf-8"))
    return document


@cache
def _registry() -> Registry[Any]:
    registry: Registry[Any] = Registry().with_resource(_URI, DRAFT202012.create_resource(openapi()))
    return registry


def check_shape(document: Any, *pointer: str) -> None:
    """Raises AssertionError that says where the document differs from the schema at the pointer."""
    ref = _URI + "#/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in pointer)
    validator = Draft202012Validator({"$ref": ref}, registry=_registry())
    wrong = [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(document)]
    assert not wrong, f"{pointer[-1]}: {wrong}"


def check_component(document: Any, name: str) -> None:
    check_shape(document, "components", "schemas", name)


def _resolved(pointer: tuple[str, ...]) -> tuple[tuple[str, ...], Any]:
    found: Any = openapi()
    for part in pointer:
        found = found[part]
    if isinstance(found, dict) and "$ref" in found:
        return _resolved(tuple(part.replace("~1", "/").replace("~0", "~") for part in found["$ref"].removeprefix("#/").split("/")))
    return pointer, found


def template_of(raw_path: str) -> str:
    """The path of openapi.yaml that a request's raw path (percent-encoded) belongs to."""
    for template in openapi()["paths"]:
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), raw_path):
            return str(template)
    raise AssertionError(f"openapi.yaml has no path for {raw_path}")


def check_request(method: str, raw_path: str, query: Mapping[str, str], body: Any) -> None:
    template = template_of(raw_path)
    item = openapi()["paths"][template]
    assert method in item, f"openapi.yaml has no {method} {template}"
    at = ("paths", template, method)
    known = {}
    for place in (("paths", template), at):
        for number, _ in enumerate(_resolved(place)[1].get("parameters", [])):
            pointer = (*place, "parameters")
            listed = _resolved(pointer)[1][number]
            spec = _resolved(tuple(listed["$ref"].removeprefix("#/").split("/")))[1] if "$ref" in listed else listed
            if spec["in"] == "query":
                known[spec["name"]] = spec["schema"]
    for name, value in query.items():
        assert name in known, f"{method} {template} knows no query parameter {name}"
        schema = known[name]
        given: Any = int(value) if schema.get("type") == "integer" else value
        wrong = (
            [error.message for error in Draft202012Validator({**schema, "$id": _URI}, registry=_registry()).iter_errors(given)] if "$ref" not in schema else []
        )
        assert not wrong, f"{name}={value}: {wrong}"
    if body is None:
        return
    pointer, _ = _resolved((*at, "requestBody"))
    check_shape(body, *pointer, "content", "application/json", "schema")


def check_answer(method: str, raw_path: str, status: int, document: Any) -> None:
    at = ("paths", template_of(raw_path), method, "responses")
    responses = _resolved(at)[1]
    chosen = str(status) if str(status) in responses else "default"
    pointer, response = _resolved((*at, chosen))
    kind = next(one for one in response["content"] if one.endswith("json"))
    check_shape(document, *pointer, "content", kind, "schema")
