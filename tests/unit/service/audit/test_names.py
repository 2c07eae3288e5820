import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.semconv.attributes import deployment_attributes, error_attributes, service_attributes
from opentelemetry.semconv.schemas import Schemas

from service.audit import names
from service.audit.names import _table
from service.audit.tree import grow_from_drafts
from service.domain import spans
from service.domain.model import Mode, Operation, OperationKind, Outcome
from service.domain.policy import Do
from service.domain.ports import Seen, SpanDraft
from service.domain.recovery import Look
from service.domain.verdict import Answer

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "trace.md"
WRITTEN = {name: value for name, value in vars(spans).items() if name.isupper() and isinstance(value, str)}


def attribute(name: str) -> names.Attribute:
    return next(a for a in names.ATTRIBUTES if a.name == name)


def test_the_page_shows_the_names_of_the_code() -> None:
    """When this fails, put the output of `python -c "from service.audit import names; print(names.tables())"` under the page's heading Names."""
    _, _, shown = PAGE.read_text(encoding="utf-8").partition("## Names\n\n")
    assert shown == names.tables() + "\n"


def test_every_name_that_the_page_speaks_of_exists() -> None:
    known = {a.name for a in (*names.ATTRIBUTES, *names.RESOURCE)}
    text, _, _ = PAGE.read_text(encoding="utf-8").partition("## Names\n\n")
    assert set(re.findall(r"`(backout\.[a-z_.]+)`", text)) <= known


def test_the_page_says_how_ids_follow() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert 'sha256("trace\\0" + operation id)' in page
    assert 'sha256("span\\0" + operation id + "\\0" + path)' in page
    for key in names.SEARCH_KEYS:
        assert f"`{key}`" in page.partition("## Searching")[2].partition("## Values")[0]


def test_every_name_that_the_workflow_can_write_is_in_the_registry() -> None:
    known = {a.name for a in names.ATTRIBUTES}
    span_names = {n for n, value in WRITTEN.items() if not value.startswith(names.PREFIX) and value != spans.ERROR_TYPE}
    assert {value for name, value in WRITTEN.items() if name not in span_names} <= known
    for name in span_names:
        assert names.undocumented(WRITTEN[name] + ("roll_back" if WRITTEN[name].endswith(".") else ""), ()) == ()


def test_what_nothing_writes_is_called_reserved(operation: Operation) -> None:
    """A contract of names that never come would be a lie. Write one: take it out of RESERVED. Stop writing one: put it in."""
    sources = [path for part in ("workflow", "store", "engine", "api") for path in (ROOT / "service" / part).rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    used = {value for name, value in WRITTEN.items() if re.search(rf'\bspans\.{name}\b|"{re.escape(value)}', text)}
    row = replace(operation, outcome=Outcome.RECOVERED)
    root = SpanDraft(path=(), name="root", started_at=row.created_at, ended_at=row.created_at, says="x")
    by_encoder = set(grow_from_drafts(row, [root]).root.attributes)  # type: ignore[union-attr]  # the draft is the root
    assert set(WRITTEN.values()) - used - by_encoder == names.RESERVED


def test_no_name_stands_there_twice() -> None:
    listed = [a.name for a in (*names.ATTRIBUTES, *names.RESOURCE)]
    assert len(listed) == len(set(listed))
    assert len(set(WRITTEN.values())) == len(WRITTEN)


def test_own_names_have_the_prefix_and_all_others_are_stable_in_opentelemetry() -> None:
    others = {a.name for a in (*names.ATTRIBUTES, *names.RESOURCE) if not a.name.startswith(names.PREFIX)}
    assert others == {
        error_attributes.ERROR_TYPE,
        service_attributes.SERVICE_NAME,
        service_attributes.SERVICE_VERSION,
        deployment_attributes.DEPLOYMENT_ENVIRONMENT_NAME,
    }
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", a.name) for a in names.ATTRIBUTES)


def test_the_schema_is_one_that_opentelemetry_has() -> None:
    assert names.SCHEMA_URL in {schema.value for schema in Schemas}


def test_each_example_is_of_the_attributes_type() -> None:
    for a in names.ATTRIBUTES:
        assert a.kind in {"text", "int", "float", "bool"}, a.name
        if a.kind in {"int", "float"}:
            float(a.example)
            assert (a.kind == "int") == a.example.lstrip("-").isdigit(), a.name
        assert a.kind != "bool" or a.example in {"true", "false"}


def test_each_span_example_is_covered_by_its_own_row() -> None:
    for span in names.SPANS:
        assert span.covers(span.example), span.pattern


@pytest.mark.parametrize(
    "name", ["rollback prod:team-a/checkout 42→?", "rollback prod:checkout", "act.roll_back", "act.undo.stop_auto_sync", "sync_policy_lets_it_stay"]
)
def test_the_names_of_a_story_are_covered(name: str) -> None:
    assert names.undocumented(name, [spans.TARGET]) == ()


@pytest.mark.parametrize("name", ["Rollback prod:checkout", "act.", "act.Roll back", "verdict.extra", "rollback checkout", ""])
def test_a_name_that_nobody_documented_is_found(name: str) -> None:
    assert names.undocumented(name, []) == (name,)


def test_an_attribute_that_nobody_documented_is_found() -> None:
    assert names.undocumented("verify", [spans.TARGET, "backout.made_up"]) == ("backout.made_up",)


def test_the_story_uses_documented_names_only(operation: Operation, story: Sequence[SpanDraft]) -> None:
    assert operation.id
    for draft in story:
        assert names.undocumented(draft.name, draft.attributes) == (), draft.name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (spans.MODE, [mode.word for mode in Mode]),
        (spans.OUTCOME, list(Outcome)),
        (spans.ANSWER, [answer.word for answer in Answer]),
        (spans.DECISION, list(Do)),
        (spans.SEEN, list(Seen)),
        (spans.LOOK, list(Look)),
    ],
)
def test_the_words_that_an_attribute_can_have_are_those_of_the_domain(name: str, words: Sequence[str]) -> None:
    told = set(re.findall(r"[a-z_]+", attribute(name).means))
    assert {str(word) for word in words} <= told


def test_what_is_attempted_is_covered_for_every_kind() -> None:
    for kind in OperationKind:
        assert names.undocumented(spans.root_name(kind, "prod:checkout", "42", "41"), ()) == ()


def test_a_bar_in_a_cell_does_not_break_the_table() -> None:
    assert _table(("a",), [("x|y",)]) == "| a |\n| -- |\n| x\\|y |"
