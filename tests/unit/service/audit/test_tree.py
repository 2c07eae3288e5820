import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from service.audit.encoding import OtlpEncoder
from service.audit.tree import MARKS, Node, Tree, grow, grow_each, grow_from_drafts, render_text, to_json
from service.domain import spans
from service.domain.model import Operation
from service.domain.ports import SpanDraft
from service.domain.recovery import Look
from service.domain.verdict import Answer

GOLDEN = Path(__file__).with_name("story.txt")
ENCODER = OtlpEncoder(version="0.1.0")


def stored(operation: Operation, drafts: Sequence[SpanDraft]) -> list[bytes]:
    return [ENCODER.encode(operation, draft)[1] for draft in drafts]


def named(tree: Tree, name: str) -> Node:
    return next(node for node in tree.nodes() if node.name == name)


def test_promise_9_a_whole_story_is_one_trace_with_every_span_in_its_place(operation: Operation, story: Sequence[SpanDraft]) -> None:
    """Jaeger's rules: one root, unique ids, parents present, children inside their parent's time."""
    tree = grow(stored(operation, story))
    nodes = list(tree.nodes())
    assert tree.faults == ()
    assert tree.root is not None
    assert tree.orphans == ()
    assert not tree.running
    assert len(nodes) == len({node.span_id for node in nodes}) == len(story)
    assert [node.span_id for node in nodes if not node.parent_id] == [tree.root.span_id]
    present = {node.span_id for node in nodes}
    assert all(node.parent_id in present for node in nodes if node is not tree.root)
    assert all(parent.started_ns <= child.started_ns <= child.ended_ns <= parent.ended_ns for parent in nodes for child in parent.children)


def test_the_text_is_the_golden_one(operation: Operation, story: Sequence[SpanDraft]) -> None:
    assert render_text(grow(stored(operation, story))) + "\n" == GOLDEN.read_text(encoding="utf-8")


def test_the_order_in_which_spans_are_read_changes_nothing(operation: Operation, story: Sequence[SpanDraft]) -> None:
    bodies = stored(operation, story)
    shuffled = stored(operation, story)
    Random(7).shuffle(shuffled)  # noqa: S311  a fixed order, nothing secret
    assert shuffled != bodies
    assert sorted(render_text(grow(shuffled)).splitlines()) == sorted(render_text(grow(bodies)).splitlines())


def test_drafts_give_the_same_tree_as_their_stored_spans(operation: Operation, story: Sequence[SpanDraft]) -> None:
    assert grow_from_drafts(operation, story) == grow(stored(operation, story))


def test_one_body_with_all_spans_is_read_like_one_body_a_span(operation: Operation, story: Sequence[SpanDraft]) -> None:
    bodies = stored(operation, story)
    merged = ExportTraceServiceRequest()
    for body in bodies:
        merged.MergeFromString(body)
    assert grow([merged.SerializeToString(), b"".join(bodies)]) == grow(bodies)


def test_findings_stand_in_reading_order_with_their_answers(operation: Operation, story: Sequence[SpanDraft]) -> None:
    verdict = named(grow(reversed(stored(operation, story))), spans.VERDICT)
    assert [(node.name, node.answer, node.mark) for node in verdict.children] == [
        ("schema_is_compatible", "pass", "✓"),
        ("cache_is_coherent", "warn", "!"),
        ("images_exist", "pass", "✓"),
    ]
    assert (verdict.answer, verdict.mark) == ("", ""), "only findings and checks have an answer of their own"


def test_a_node_tells_what_its_span_said(operation: Operation, story: Sequence[SpanDraft]) -> None:
    failed, again = (node for node in grow(stored(operation, story)).nodes() if node.name == "act.roll_back")
    assert (failed.failed, failed.client, failed.says, failed.seconds) == (True, True, "another operation is already in progress", 1.0)
    assert failed.attributes[spans.ERROR_TYPE] == "TemporaryError"
    assert again.links == (f"{spans.trace_id('op1')}-{failed.span_id}",)
    assert again.attributes[spans.ATTEMPT] == 2


def test_every_answer_and_look_has_a_sign() -> None:
    assert set(MARKS) == {answer.word for answer in Answer} | set(Look)


def test_a_running_operation_is_shown_without_its_root(operation: Operation, story: Sequence[SpanDraft]) -> None:
    tree = grow(stored(operation, story[:9]))
    assert tree.running
    assert (tree.root, tree.orphans, tree.faults, tree.outcome) == (None, (), (), "")
    head, *rows, last = render_text(tree).splitlines()
    assert head.split("  ")[0] == "rollback prod:checkout 42→41"
    assert head.endswith(" running")
    assert [row.split()[1] for row in rows if row[0] in "├└"] == ["alert.accept", "correlate", "verdict", "decide", "act.stop_auto_sync"]
    assert last == f"trace {spans.trace_id('op1')} · asked for by alert:main · mode auto"


def test_a_long_name_is_still_apart_from_the_outcome(operation: Operation, story: Sequence[SpanDraft]) -> None:
    tree = replace(grow(stored(operation, story[:9])), name="rollback spin:prod-k8s/checkout/deployment/checkout 2→1")
    assert render_text(tree).splitlines()[0] == "rollback spin:prod-k8s/checkout/deployment/checkout 2→1  running"


def test_the_accepted_span_alone_shows_a_running_operation(operation: Operation, story: Sequence[SpanDraft]) -> None:
    assert render_text(grow(stored(operation, story[:1]))).splitlines()[0].split("  ")[0] == "rollback prod:checkout 42→41"


def test_an_ended_operation_whose_root_is_lost_does_not_look_like_a_running_one(operation: Operation, story: Sequence[SpanDraft]) -> None:
    tree = grow(stored(operation, story[:-1]))
    assert (tree.running, tree.outcome) == (False, "recovered")
    assert tree.faults == ("the operation has ended, but the root span is not here",)
    assert "! the operation has ended, but the root span is not here" in render_text(tree)


def test_a_span_without_its_parent_is_shown_as_such(operation: Operation, story: Sequence[SpanDraft]) -> None:
    tree = grow(stored(operation, [draft for draft in story if draft.name != spans.VERDICT]))
    assert [node.name for node in tree.orphans] == ["schema_is_compatible", "cache_is_coherent", "images_exist"]
    assert len(tree.faults) == 3
    assert spans.span_id("op1", ("verdict#1",)) in tree.faults[0]
    _, _, below = render_text(tree).partition("without their parent:\n")
    assert below.startswith("├ schema_is_compatible")


@pytest.mark.parametrize("change", [{"ended_at": timedelta(hours=1)}, {"started_at": timedelta(milliseconds=-100)}], ids=["late", "early"])
def test_a_child_outside_its_parents_time_is_a_fault(operation: Operation, story: Sequence[SpanDraft], change: dict[str, timedelta]) -> None:
    moved: dict[str, Any] = {field: getattr(story[4], field) + by for field, by in change.items()}
    tree = grow(stored(operation, [*story[:4], replace(story[4], **moved), *story[5:]]))
    assert tree.faults == ("span 'schema_is_compatible' lies outside the time of 'verdict'",)


def test_a_repeat_counts_once_and_another_content_is_a_fault(operation: Operation, story: Sequence[SpanDraft]) -> None:
    bodies = stored(operation, story)
    assert grow([*bodies, *bodies]) == grow(bodies)
    tree = grow([*bodies, *stored(operation, [replace(story[2], says="release 43")])])
    assert tree.faults == (f"span id {spans.span_id('op1', (spans.CORRELATE,))} is there 2 times with different content",)


def test_a_second_root_is_a_fault_and_shown(operation: Operation, story: Sequence[SpanDraft]) -> None:
    other = ExportTraceServiceRequest.FromString(ENCODER.encode(operation, replace(story[-1], name="another"))[1])
    span = other.resource_spans[0].scope_spans[0].spans[0]
    span.span_id = b"\x01" * 8
    tree = grow([*stored(operation, story), other.SerializeToString()])
    assert tree.faults == ("2 spans have no parent: rollback prod:checkout 42→41, another",)
    assert [node.name for node in tree.orphans] == ["another"]


def test_spans_that_are_their_own_ancestors_are_shown(operation: Operation, story: Sequence[SpanDraft]) -> None:
    request = ExportTraceServiceRequest.FromString(stored(operation, [story[2]])[0])
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.parent_span_id = span.span_id
    tree = grow([request.SerializeToString()])
    assert [node.name for node in tree.nodes()] == ["correlate"]
    assert tree.faults == ("span 'correlate' is its own ancestor",)


def test_a_stored_span_that_cannot_be_read_is_a_fault_and_hides_nothing(operation: Operation, story: Sequence[SpanDraft]) -> None:
    tree = grow([*stored(operation, story), b"\xff\xff\xff"])
    assert len(list(tree.nodes())) == len(story)
    assert len(tree.faults) == 1
    assert tree.faults[0].startswith(f"stored span {len(story) + 1} cannot be read: ")


def test_spans_of_two_traces_are_no_tree(operation: Operation, story: Sequence[SpanDraft]) -> None:
    with pytest.raises(ValueError, match="these spans are of 2 traces"):
        grow([*stored(operation, story), *stored(replace(operation, id="op2"), story)])


def test_no_spans_are_no_running_operation() -> None:
    tree = grow([])
    assert not tree.running
    assert render_text(tree) == "no spans yet"


def test_the_end_of_a_hold_is_a_tree_of_its_own_after_the_operations(operation: Operation, story: Sequence[SpanDraft]) -> None:
    at = story[0].started_at + timedelta(days=7)
    ended = SpanDraft(path=(), name=spans.HOLD_END, started_at=at, ended_at=at, says="v2.5.1 is verified", attributes={spans.HOLD_ID: "hold1"})
    first, second = grow_each([*stored(operation, [*story, ended]), b"\xff\xff\xff"])
    assert replace(first, faults=()) == grow(stored(operation, story))
    assert (len(first.faults), second.faults) == (1, ())
    assert second.name == spans.HOLD_END
    assert second.root is not None
    assert second.root.links == (spans.traceparent("op1")[3:-3],)
    assert render_text(second).splitlines()[0].split() == ["hold.end", "ended"]


def test_no_spans_are_one_empty_tree() -> None:
    assert grow_each([]) == (grow([]),)


def test_a_block_is_said_once_and_not_as_a_failure(operation: Operation, story: Sequence[SpanDraft]) -> None:
    block = replace(story[4], failed=True, says="release 57 dropped a column", attributes={**story[4].attributes, spans.ANSWER: "block"})
    text = render_text(grow(stored(operation, [*story[:4], block, *story[5:]])))
    assert "block  release 57 dropped a column" in text


def test_long_sentences_go_on_below_and_every_line_keeps_within_the_width(operation: Operation, story: Sequence[SpanDraft]) -> None:
    long = " ".join(f"word{number}" for number in range(60))
    text = render_text(grow(stored(operation, [replace(draft, says=long) if draft.name != spans.ACCEPTED else draft for draft in story])), width=100)
    assert max(len(line) for line in text.splitlines()) <= 100
    assert text.count("word59") == len(story) - 3, "every sentence but those of the root, accepted and completed, which are in the head"


def test_what_failed_and_what_was_waived_is_said(operation: Operation, story: Sequence[SpanDraft]) -> None:
    text = render_text(grow(stored(operation, story)))
    assert "failed: another operation is already in progress" in text
    assert "(waived until 2026-06-01: harmless)" in " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize(("seconds", "shown"), [(0.004, "0.004"), (0.12, "0.120"), (3.9, "3.9"), (10, "10.0"), (4000, "4000.0"), (0, "")])
def test_durations_are_seconds(operation: Operation, story: Sequence[SpanDraft], seconds: float, shown: str) -> None:
    one = replace(story[2], says="", ended_at=story[2].started_at + timedelta(seconds=seconds))
    row = render_text(grow(stored(operation, [story[0], one]))).splitlines()[1]
    assert row.split()[2:] == ([shown] if shown else [])


def test_the_json_form_holds_the_same_tree(operation: Operation, story: Sequence[SpanDraft]) -> None:
    tree = grow(stored(operation, story))
    body: Any = json.loads(json.dumps(to_json(tree), allow_nan=False))
    assert (body["trace_id"], body["name"], body["outcome"], body["running"], body["faults"]) == (tree.trace_id, tree.name, "recovered", False, [])
    assert [span["name"] for span in body["spans"]] == [node.name for node in tree.top]
    verdict = next(span for span in body["spans"] if span["name"] == "verdict")
    assert [(child["name"], child["answer"]) for child in verdict["children"]][1] == ("cache_is_coherent", "warn")
    assert body["root"]["attributes"][spans.OUTCOME] == "recovered"
    assert body["root"]["ended_ns"] == "1777903379000000000"
    assert "children" not in body["root"]


def test_a_number_that_json_has_no_word_for_is_text(operation: Operation, story: Sequence[SpanDraft]) -> None:
    body: Any = to_json(grow(stored(operation, [replace(story[2], attributes={spans.CHECK_VALUE: float("nan")})])))
    assert body["spans"][0]["attributes"][spans.CHECK_VALUE] == "nan"
    assert body["root"] is None
