"""The trace as people read it: stored spans (OTLP bytes) back to a tree, as text and as JSON, from the store alone.

What is wrong with a trace (a missing root, a span without its parent, one outside its parent's time) is shown, never hidden. Colour is the CLI's.
"""

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from service.audit.encoding import OtlpEncoder
from service.domain import spans
from service.domain.model import Json, Operation
from service.domain.ports import SpanDraft

WIDTH: Final = 118

MARKS: Final[Mapping[str, str]] = {"pass": "✓", "good": "✓", "warn": "!", "unknown": "?", "block": "✗", "bad": "✗"}
"""One sign for each answer of a finding and each look of a check."""

_KEYS_ONLY = frozenset({spans.ACCEPTED, spans.COMPLETED})
"""Spans that exist to be searched by; what they say stands in the head of the tree."""

Value = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One span. Times are nanoseconds since the epoch; `answer` is a finding's answer or a check's look, "" for any other span."""

    span_id: str
    parent_id: str
    name: str
    says: str
    started_ns: int
    ended_ns: int
    failed: bool
    client: bool
    attributes: Mapping[str, Value]
    links: tuple[str, ...] = ()
    children: tuple["Node", ...] = ()

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.ended_ns - self.started_ns) / 1e9

    @property
    def answer(self) -> str:
        """The answer or look, "" where the span is no finding and no check."""
        key = spans.ANSWER if spans.RULE in self.attributes else spans.LOOK if spans.CHECK in self.attributes else ""
        return str(self.attributes.get(key, ""))

    @property
    def mark(self) -> str:
        """The answer as one sign, or ""."""
        return MARKS.get(self.answer, "")

    def walk(self) -> Iterator["Node"]:
        """This span and all below it, in reading order."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One trace. `root` is None while the operation runs (`running`) or when its span is lost; `top` are the root's children either way.

    `orphans` have a parent that is not here. `faults` are sentences about what does not fit together; empty for a whole trace.
    """

    trace_id: str
    name: str
    outcome: str
    running: bool
    root: Node | None
    top: tuple[Node, ...]
    orphans: tuple[Node, ...]
    faults: tuple[str, ...]

    def nodes(self) -> Iterator[Node]:
        """All spans: the root's tree, or what there is without it, then the orphans."""
        for node in (*((self.root,) if self.root else self.top), *self.orphans):
            yield from node.walk()


def grow(stored: Iterable[bytes]) -> Tree:
    """The tree of the stored spans of one trace, in any order. Repeats of the same bytes count once; what cannot be read is a fault.

    Raises ValueError when the spans are of more than one trace; `grow_each` takes those.
    """
    found, faults = _read(stored)
    traces = sorted({span.trace_id.hex() for span in found})
    if len(traces) > 1:
        raise ValueError(f"these spans are of {len(traces)} traces: {', '.join(traces)}")
    return _tree(found, faults)


def grow_each(stored: Iterable[bytes]) -> tuple[Tree, ...]:
    """One tree a trace, in the order of their first spans: an operation's own, then those of its holds' ends. What cannot be read is the first one's fault."""
    found, faults = _read(stored)
    by_trace: dict[bytes, list[Span]] = {}
    for span in found:
        by_trace.setdefault(span.trace_id, []).append(span)
    return tuple(_tree(of_one, faults if first else []) for first, of_one in zip((True, *(False for _ in by_trace)), by_trace.values() or ([],), strict=False))


def _read(stored: Iterable[bytes]) -> tuple[list[Span], list[str]]:
    read: dict[bytes, None] = {}
    faults: list[str] = []
    for number, body in enumerate(stored, start=1):
        try:
            read |= dict.fromkeys(span.SerializeToString(deterministic=True) for span in _spans(body))
        except DecodeError as bad:
            faults.append(f"stored span {number} cannot be read: {bad}")
    return [Span.FromString(raw) for raw in read], faults


def _tree(found: Sequence[Span], unread: Sequence[str]) -> Tree:
    faults = list(unread)
    nodes = [_node(span) for span in found]
    for span_id, times in Counter(node.span_id for node in nodes).items():
        if times > 1:
            faults.append(f"span id {span_id} is there {times} times with different content")
    roots = [node for node in nodes if not node.parent_id]
    if len(roots) > 1:
        faults.append(f"{len(roots)} spans have no parent: {', '.join(node.name for node in roots)}")
    by_parent: dict[str, list[Node]] = {}
    for node in nodes:
        if node.parent_id:
            by_parent.setdefault(node.parent_id, []).append(node)
    present = {node.span_id for node in nodes}
    root_id = roots[0].span_id if roots else _root_id(nodes)
    whole = [_with_children(root, by_parent) for root in roots]
    top = whole[0].children if whole else _below(root_id, by_parent)
    lost = (node for parent, children in by_parent.items() if parent not in present and parent != root_id for node in children)
    orphans = (*whole[1:], *(_with_children(node, by_parent) for node in _in_order(lost)))
    faults.extend(f"span {node.name!r} has no parent here: {node.parent_id} is not in the trace" for node in orphans if node.parent_id)
    reached = {node.span_id for start in (*whole[:1], *top, *orphans) for node in start.walk()}
    circle = tuple(_in_order(node for node in nodes if node.span_id not in reached))
    faults.extend(f"span {node.name!r} is its own ancestor" for node in circle)
    root = whole[0] if whole else None
    completed = any(node.name == spans.COMPLETED for node in nodes)
    if nodes and root is None and completed:
        faults.append("the operation has ended, but the root span is not here")
    tree = Tree(
        trace_id=found[0].trace_id.hex() if found else "",
        name=root.name if root else _name(nodes),
        outcome=_first(nodes, spans.OUTCOME),
        running=bool(nodes) and root is None and not completed,
        root=root,
        top=top,
        orphans=(*orphans, *circle),
        faults=(),
    )
    return replace(tree, faults=(*faults, *_outside(tree)))


def grow_from_drafts(operation: Operation, drafts: Iterable[SpanDraft]) -> Tree:
    """The tree that these drafts will be once they are stored: the same way, through the same bytes."""
    encoder = OtlpEncoder(version="")
    return grow(encoder.encode(operation, draft)[1] for draft in drafts)


def render_text(tree: Tree, width: int = WIDTH) -> str:
    """The tree as plain text, at most about `width` columns wide: a head line, a line a span, then what is wrong. Durations are seconds."""
    if not tree.trace_id:
        return "\n".join(("no spans yet", *(f"! {fault}" for fault in tree.faults)))
    state = "running" if tree.running else tree.outcome.replace("_", " ") or "ended"
    seconds = f"{_duration(tree.root.seconds)} s" if tree.root and tree.root.seconds else ""
    lines = [f"{tree.name:<51}  {state:<20}  {seconds}".rstrip()]
    lines += _rows([node for node in tree.top if node.name not in _KEYS_ONLY], "", width)
    if tree.orphans:
        lines += ["without their parent:", *_rows(tree.orphans, "", width)]
    lines += [f"! {fault}" for fault in tree.faults]
    about = {"asked for by": spans.ACTOR, "mode": spans.MODE}
    lines.append(" · ".join((f"trace {tree.trace_id}", *(f"{word} {value}" for word, key in about.items() if (value := _first(tree.nodes(), key))))))
    return "\n".join(lines)


def to_json(tree: Tree) -> Mapping[str, Json]:
    """The tree as JSON values; ids are hex, times nanoseconds since the epoch as text (they do not fit into a JavaScript number)."""
    return {
        "trace_id": tree.trace_id,
        "name": tree.name,
        "outcome": tree.outcome,
        "running": tree.running,
        "root": _json(tree.root, deep=False) if tree.root else None,
        "spans": [_json(node) for node in tree.top],
        "orphans": [_json(node) for node in tree.orphans],
        "faults": list(tree.faults),
    }


# --- bytes to nodes ------------------------------------------------------------------------------------------------------


def _spans(body: bytes) -> Iterator[Span]:
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope_spans in resource_spans.scope_spans:
            yield from scope_spans.spans


def _node(span: Span) -> Node:
    attributes = {pair.key: _value(pair.value) for pair in span.attributes}
    failed = span.status.code == Status.STATUS_CODE_ERROR
    return Node(
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        says=str(attributes.get(spans.SAYS, span.status.message)),
        started_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        failed=failed,
        client=span.kind == Span.SPAN_KIND_CLIENT,
        attributes=attributes,
        links=tuple(f"{link.trace_id.hex()}-{link.span_id.hex()}" for link in span.links),
    )


def _value(value: AnyValue) -> Value:
    match value.WhichOneof("value"):
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "string_value":
            return value.string_value
        case _:
            return str(value)


# --- nodes to a tree -----------------------------------------------------------------------------------------------------


def _in_order(nodes: Iterable[Node]) -> list[Node]:
    """By start, then by reading order; what starts together and says no order stays as it came."""

    def key(node: Node) -> tuple[int, float]:
        position = node.attributes.get(spans.POSITION, 0)
        return node.started_ns, 0.0 if isinstance(position, str) else float(position)

    return sorted(nodes, key=key)


def _below(parent: str, by_parent: Mapping[str, Sequence[Node]]) -> tuple[Node, ...]:
    return tuple(_with_children(node, by_parent) for node in _in_order(by_parent.get(parent, ())))


def _with_children(node: Node, by_parent: Mapping[str, Sequence[Node]]) -> Node:
    return replace(node, children=_below(node.span_id, by_parent))


def _first(nodes: Iterable[Node], key: str) -> str:
    return next((str(node.attributes[key]) for node in nodes if key in node.attributes), "")


def _root_id(nodes: Sequence[Node]) -> str:
    operation = _first(nodes, spans.OPERATION_ID)
    return spans.span_id(operation, spans.ROOT) if operation else ""


def _name(nodes: Sequence[Node]) -> str:
    """What the root will be called, from the keys on the accepted span."""
    kind, target, suspect, goal = (_first(nodes, key) for key in (spans.OPERATION_KIND, spans.TARGET, spans.SUSPECT_RELEASE, spans.GOAL_RELEASE))
    return spans.root_name(kind or "operation", target, suspect, goal) if target else "operation"


def _outside(tree: Tree) -> Iterator[str]:
    for parent in tree.nodes():
        for child in parent.children:
            if child.started_ns < parent.started_ns or child.ended_ns > parent.ended_ns:
                yield f"span {child.name!r} lies outside the time of {parent.name!r}"


# --- the text ------------------------------------------------------------------------------------------------------------


def _rows(nodes: Sequence[Node], bars: str, width: int) -> list[str]:
    """The lines of siblings and all below them; `bars` are the box characters of their ancestors."""
    names = max((len(node.name) for node in nodes), default=0)
    column = max(len(bars) + 2 + names + 2, 20 if not bars else 0)
    answers = max((len(node.answer) for node in nodes), default=0)
    room = max(width - 8 - column - (answers + 2 if answers else 0), 24)
    lines: list[str] = []
    for node in nodes:
        last = node is nodes[-1]
        text, *more = textwrap.wrap(_text(node), room) or [""]
        name = f"{bars}{'└' if last else '├'} {node.name}"
        answer = f"{node.answer:<{answers + 2}}" if answers else ""
        took = "" if node.answer else _duration(node.seconds)
        lines.append(f"{name:<{column}}{answer}{text:<{room}}{took:>8}".rstrip())
        below = bars + ("  " if last else "│ ")
        inner = below + ("│" if node.children else "")
        lines += [f"{inner:<{column}}{'':<{len(answer)}}{line}" for line in more]
        lines += _rows(node.children, below, width)
    return lines


def _text(node: Node) -> str:
    waived = node.attributes.get(spans.WAIVED)
    return " ".join(part for part in ("failed:" if node.failed and not node.answer else "", node.says, f"({waived})" if waived else "") if part)


def _duration(seconds: float) -> str:
    """Three places below a second, one above; nothing for a moment."""
    if seconds <= 0:
        return ""
    return f"{seconds:.3f}" if seconds < 1 else f"{seconds:.1f}"


def _json(node: Node, *, deep: bool = True) -> Mapping[str, Json]:
    body: dict[str, Json] = {
        "span_id": node.span_id,
        "name": node.name,
        "says": node.says,
        "answer": node.answer,
        "failed": node.failed,
        "started_ns": str(node.started_ns),
        "ended_ns": str(node.ended_ns),
        "seconds": node.seconds,
        "attributes": {key: str(value) if isinstance(value, float) and not math.isfinite(value) else value for key, value in node.attributes.items()},
        "links": list(node.links),
    }
    return body | {"children": [_json(child) for child in node.children]} if deep else body
