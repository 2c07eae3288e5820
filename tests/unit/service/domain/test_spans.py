import hashlib

from service.domain import spans
from service.domain.spans import _nonzero


def test_ids_are_the_documented_hashes() -> None:
    assert spans.trace_id("op1") == hashlib.sha256(b"trace\0op1").hexdigest()[:32]
    assert spans.span_id("op1", ("verdict#1", "sli")) == hashlib.sha256(b"span\0op1\0verdict#1/sli").hexdigest()[:16]
    assert spans.span_id("op1", spans.ROOT) == hashlib.sha256(b"span\0op1\0").hexdigest()[:16]


def test_ids_written_down_once_stay_as_they_are() -> None:
    assert spans.trace_id("op1") == "ec3e11e70a673dd27d8e86e1617dab24"
    assert spans.span_id("op1", ("verdict#1",)) == "241e2473320a09b8"


def test_an_empty_first_part_is_the_root() -> None:
    assert spans.place(("",)) == spans.place(()) == spans.ROOT
    assert spans.span_id("op1", ("",)) == spans.span_id("op1", ())
    assert spans.span_id("op1", ("", "hold")) == spans.span_id("op1", ("hold",))


def test_a_slash_inside_a_part_makes_no_other_place() -> None:
    paths = [("a", "b"), ("a/b",), ("a%2Fb",), ("a%252Fb",)]
    assert len({spans.span_id("op1", path) for path in paths}) == len(paths)


def test_ids_of_two_operations_differ_at_the_same_place() -> None:
    assert spans.trace_id("op1") != spans.trace_id("op2")
    assert spans.span_id("op1", ("hold",)) != spans.span_id("op2", ("hold",))


def test_an_id_with_half_a_surrogate_pair_is_still_an_id() -> None:
    assert len(spans.trace_id("op\ud800")) == 32


def test_an_id_is_never_all_zero() -> None:
    assert _nonzero(bytes(8)) == bytes(7) + b"\1"
    assert _nonzero(b"\0\2") == b"\0\2"


def test_a_traceparent_names_the_span_as_sampled() -> None:
    version, trace, span, flags = spans.traceparent("op1", ("hold",)).split("-")
    assert (version, trace, span, flags) == ("00", spans.trace_id("op1"), spans.span_id("op1", ("hold",)), "01")
    assert spans.traceparent("op1") == f"00-{spans.trace_id('op1')}-{spans.span_id('op1', ())}-01"


def test_the_root_is_named_after_what_is_attempted() -> None:
    assert spans.root_name("rollback", "prod:checkout", "42", "41") == "rollback prod:checkout 42→41"
    assert spans.root_name("rollback", "prod:checkout", "42") == "rollback prod:checkout 42→?"
    assert spans.root_name("rollback", "prod:checkout") == "rollback prod:checkout"


def test_what_can_happen_again_has_a_number() -> None:
    assert spans.nth(spans.ACT + "roll_back", 2) == "act.roll_back#2"
