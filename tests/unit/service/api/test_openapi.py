"""openapi.yaml is written by hand and comes first; these tests hold the code to it."""

import re
from typing import Any

import pytest
import yaml
from openapi_spec_validator import validate
from pydantic import BaseModel

from service.api.app import Parts, routes
from service.api.auth import SCOPES
from service.api.edge import Route
from service.domain.model import Mode, Outcome, Way
from service.domain.verdict import Answer
from tests.unit.service.api import described
from tests.unit.service.api.world import ROOT, World

SPEC = described.document()
SCHEMAS = SPEC["components"]["schemas"]


def resolved(node: Any) -> Any:
    while isinstance(node, dict) and "$ref" in node:
        found: Any = SPEC
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def every_route(parts: Parts) -> dict[tuple[str, str], Route]:
    return {(route.path, route.method.lower()): route for route in routes(parts)}


def every_operation() -> dict[tuple[str, str], Any]:
    return {(path, method): item[method] for path, item in SPEC["paths"].items() for method in item if method != "parameters"}


def test_the_document_is_valid_openapi_3_1() -> None:
    validate(SPEC)


def test_no_name_stands_twice_in_one_place() -> None:
    """YAML takes the last of two silently, and so does the check above."""
    twice: list[str] = []

    def look(node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode):
            names = [key.value for key, _ in node.value]
            twice.extend(f"line {key.start_mark.line + 1}: {key.value}" for key, _ in node.value if names.count(key.value) > 1)
        for inner in node.value if isinstance(node.value, list) else ():
            for one in inner if isinstance(inner, tuple) else (inner,):
                look(one)

    whole = yaml.compose((ROOT / "openapi.yaml").read_text())
    assert whole is not None
    look(whole)
    assert twice == []
    assert SPEC["openapi"].startswith("3.1")


def test_nothing_in_it_was_swallowed_by_a_comma() -> None:
    def empty(node: Any) -> bool:
        if isinstance(node, dict):
            return any(value is None or empty(value) for value in node.values())
        return isinstance(node, list) and any(map(empty, node))

    assert not empty(SPEC)


async def test_every_route_is_described_and_everything_described_is_there(world: World) -> None:
    assert set(every_route(world.parts)) == set(every_operation())


async def test_scopes_and_query_parameters_are_as_described(world: World) -> None:
    operations = every_operation()
    for where, route in every_route(world.parts).items():
        described_scope = operations[where].get("security")
        match route.scope:
            case None:
                assert described_scope in ([], [{"sender": []}]), where
            case scope:
                assert described_scope == [{"token": [scope]}], where
                assert scope in SCOPES
        parameters = [resolved(one) for one in (*SPEC["paths"][where[0]].get("parameters", ()), *operations[where].get("parameters", ()))]
        assert {one["name"] for one in parameters if one["in"] == "query"} == set(route.query), where
        assert {one["name"] for one in parameters if one["in"] == "path"} == set(re.findall(r"{(\w+)}", where[0])), where
        assert any(one["name"] == "Idempotency-Key" for one in parameters) == route.once, where


async def test_bodies_are_as_described(world: World) -> None:
    for where, operation in every_operation().items():
        model = every_route(world.parts)[where].body
        if "requestBody" not in operation or model is None:
            assert model is None
            assert where[0].startswith(("/v1/alerts/", "/v1/events/")) or "requestBody" not in operation
            continue
        told = resolved(operation["requestBody"])["content"]["application/json"]["schema"]
        assert set(told["properties"]) == set(model.model_fields), where
        assert set(told.get("required", ())) == {name for name, field in model.model_fields.items() if field.is_required()}, where
        assert told["additionalProperties"] is False
        for name, schema in told["properties"].items():
            assert limits(resolved(schema)) == limits(of_model(model, name)), (where, name)


def limits(schema: Any) -> dict[str, Any]:
    return {name: schema[name] for name in ("type", "minLength", "maxLength", "pattern") if name in schema}


def of_model(model: type[BaseModel], name: str) -> Any:
    schema = model.model_json_schema()["properties"][name]
    return next((one for one in schema["anyOf"] if one.get("type") != "null"), schema) if "anyOf" in schema else schema


def test_closed_lists_are_the_domains() -> None:
    assert SCHEMAS["Way"]["enum"] == [way.value for way in Way]
    assert SCHEMAS["Outcome"]["enum"] == [outcome.value for outcome in Outcome]
    assert SCHEMAS["Mode"]["enum"] == [mode.word for mode in Mode]
    assert SCHEMAS["Answer"]["enum"] == [Answer.PASS.word, Answer.WARN.word, Answer.UNKNOWN.word, Answer.BLOCK.word]


def test_every_scope_is_told() -> None:
    told = SPEC["components"]["securitySchemes"]["token"]["description"]
    assert all(scope in told for scope in SCOPES)


def test_actions_are_the_described_ones() -> None:
    source = (ROOT / "service" / "api" / "allowed.py").read_text()
    assert set(re.findall(r'\("(\w+)", "[a-z:]+"', source)) == set(SCHEMAS["AllowedActions"]["items"]["enum"])


@pytest.mark.parametrize("path", ["docs/api.md", "docs/problems.md"])
def test_the_pages_name_only_addresses_that_exist(path: str) -> None:
    text = (ROOT / path).read_text()
    found = set(re.findall(r"(/v1/[\w:/%${}.-]+|/(?:livez|readyz|metrics|openapi\.(?:json|yaml)))", text))
    assert found
    for one in found:
        described.template_of(re.sub(r"\$\{?\w+\}?|\{\w+\}", "x", one).rstrip("/."))
