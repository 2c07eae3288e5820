from collections.abc import Callable
from typing import Any

import pytest
from rich.console import RenderableType

from service.cli import render
from tests.unit.service.cli import documents
from tests.unit.service.cli.contract import check_component
from tests.unit.service.cli.documents import NOW
from tests.unit.service.cli.render.printing import printed


@pytest.mark.parametrize(
    ("document", "schema"),
    [
        (documents.check(), "RollbackCheck"),
        (documents.passing(), "RollbackCheck"),
        (documents.plan(), "Plan"),
        (documents.blocked_plan(), "Plan"),
        (documents.operation(), "Operation"),
        (documents.waiting(), "Operation"),
        (documents.ended("failed"), "Operation"),
        (documents.targets(), "TargetList"),
        (documents.incident(), "Incident"),
        (documents.ended_hold(), "Hold"),
        (documents.trace(), "TraceList"),
        (documents.switch("x"), "Stop"),
    ],
)
def test_the_documents_of_these_tests_have_the_shapes_of_openapi(document: Any, schema: str) -> None:
    check_component(document, schema)


@pytest.mark.parametrize(
    "shown",
    [
        lambda evil: render.check(
            documents.check(says=evil, findings=[documents.finding("[red]r[/]", "block", evil, clears=evil, evidence=[documents.evidence(evil, evil)])]), NOW
        ),
        lambda evil: render.plan(documents.plan(because=evil, steps=[documents.step("a", evil, command=evil)]), NOW),
        lambda evil: render.targets(documents.targets(targets=[documents.target(evil, images=[evil], mode=evil)]), NOW),
        lambda evil: render.operations({"operations": [documents.operation(says=evil, target=evil)]}, NOW),
        lambda evil: render.event(documents.event(1, evil, evil)),
        lambda evil: render.ended(documents.ended(evil, says=evil)),
        lambda evil: render.holds({"holds": [documents.hold(reason=evil)]}, NOW),
        lambda evil: render.incidents({"incidents": [documents.incident(target=evil)]}, NOW),
        lambda evil: render.stop(documents.switch(evil)),
        lambda evil: render.trace(documents.trace(name=evil, spans=[documents.span(evil, evil)], faults=[evil])),
        lambda evil: render.doctor([{"what": evil, "well": "no", "says": evil, "fix": evil}]),
    ],
)
def test_text_of_the_service_is_never_markup_and_cannot_steer_the_terminal(shown: Callable[[str], RenderableType]) -> None:
    out = printed(shown("[bold]x[/bold] :boom: \x1b[2J\x9b31m\u202e"))
    assert "[bold]x[/bold]" in "".join(out.split())
    assert ":boom:" in out
    assert "\x1b" not in out
    assert "\x9b" not in out
    assert "\u202e" not in out


@pytest.mark.parametrize("empty", [render.operations, render.incidents, render.holds, render.targets])
def test_an_empty_list_says_so_in_words(empty: Callable[..., RenderableType]) -> None:
    assert printed(empty({"complete": True}, NOW)).startswith("no ")


def test_a_document_without_its_fields_does_not_crash() -> None:
    for part in (
        render.check({}, NOW),
        render.plan({}, NOW),
        render.ended({}),
        render.waiting({}, NOW),
        render.trace({}),
        render.event({}),
        render.operation_head({}),
    ):
        assert printed(part) is not None
    assert "not known" in printed(render.check({}, NOW))
