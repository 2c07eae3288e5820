"""openapi.yaml as a judge: every answer that a test gets is held against it, and a field it does not know is a failure."""

import copy
import re
from functools import cache
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.unit.service.api.world import ROOT


@cache
def document() -> Any:
    return yaml.safe_load((ROOT / "openapi.yaml").read_text())


@cache
def registry() -> Registry[Any]:
    strict = copy.deepcopy(document())
    _close(strict)
    resource: Resource[Any] = DRAFT202012.create_resource(strict)
    empty: Registry[Any] = Registry()
    full: Registry[Any] = empty.with_resource("urn:openapi", resource)
    return full


def _close(node: Any) -> None:
    """Objects with named properties take no others; the published document stays open, so that fields can be added."""
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict) and "type" in node:
            node.setdefault("additionalProperties", False)
        for child in node.values():
            _close(child)
    elif isinstance(node, list):
        for child in node:
            _close(child)


def describes(method: str, path: str) -> bool:
    """Whether there is such a method at such an address."""
    return any(re.fullmatch(_pattern(one), path) and method.lower() in item for one, item in document()["paths"].items())


def _pattern(template: str) -> str:
    return re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))


def template_of(path: str) -> str:
    """The path template that an address belongs to."""
    for template in document()["paths"]:
        if re.fullmatch(_pattern(template), path):
            return str(template)
    raise AssertionError(f"openapi.yaml does not know {path}")


def judge(method: str, path: str, status: int, media_type: str, body: Any) -> None:
    """Raises AssertionError when the answer is not as described."""
    template = template_of(path)
    operation = document()["paths"][template][method.lower()]
    responses = operation["responses"]
    code = str(status) if str(status) in responses else "default"
    assert code in responses, f"{method} {template} does not describe {status}"
    response = responses[code]
    where = ["paths", template, method.lower(), "responses", code]
    if "$ref" in response:
        where = response["$ref"].removeprefix("#/").split("/")
        response = document()["components"]["responses"][where[-1]]
    content = response.get("content", {})
    if not content:
        assert not body
        return
    assert media_type in content, f"{method} {template} {status} does not describe {media_type}"
    pointer = "/".join(part.replace("~", "~0").replace("/", "~1") for part in [*where, "content", media_type, "schema"])
    validator = Draft202012Validator({"$ref": f"urn:openapi#/{pointer}"}, registry=registry())
    errors = [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in validator.iter_errors(body)]
    assert not errors, f"{method} {template} {status}: {errors}"
