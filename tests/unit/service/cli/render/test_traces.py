from service.cli import render
from tests.unit.service.cli import documents
from tests.unit.service.cli.render.printing import Golden, printed


def test_a_trace_is_a_tree_with_answers_and_durations(golden: Golden) -> None:
    golden("trace", render.trace(documents.trace()))


def test_a_trace_is_as_wide_as_it_may_be_and_loses_nothing() -> None:
    narrow, wide = (printed(render.trace(documents.trace(), width)) for width in (70, 140))
    assert max(map(len, narrow.splitlines())) <= 70
    assert "that is so long that it does not fit into its line" in wide
    assert "a sentence about them that is so long that it does not fit into its line" in " ".join(narrow.replace("│", "").replace("0.041", "").split())


def test_what_is_wrong_with_a_trace_is_shown() -> None:
    faults = ["the operation has ended, but the root span is not here"]
    shown = printed(render.trace(documents.trace(root=None, orphans=[documents.span("verify", "lost")], faults=faults, outcome="")))
    assert "without their parent:" in shown
    assert "└ verify" in shown
    assert f"! {faults[0]}" in shown


def test_a_trace_that_runs_says_so() -> None:
    assert "57→56    running" in printed(render.trace(documents.trace(running=True, root=None)))


def test_several_traces_follow_each_other() -> None:
    both = documents.trace()
    both["traces"] = [*both["traces"], {**both["traces"][0], "name": "hold.end prod:team-a/orders"}]
    assert printed(render.trace(both)).count(f"trace {documents.TRACE}") == 2


def test_in_a_narrow_window_a_sentence_stands_below_its_name_and_no_word_of_it_is_broken() -> None:
    image = "registry.example.com/shop/orders@sha256:656a36ae0f43"  # never broken, though it is longer than the column beside the name
    rules = [
        documents.span("goal_release_is_exact_and_was_healthy", f"The image {image} is there.", answer="pass"),
        documents.span("alert_is_firing", "It fires.", answer="block"),
    ]
    trace = documents.trace(spans=[documents.span("verdict", "block", children=rules), documents.span("hold", "It stays away.")])
    lines = printed(render.trace(trace, 70)).splitlines()
    assert "│ ├ goal_release_is_exact_and_was_healthy  pass" in lines
    at = lines.index("│ ├ goal_release_is_exact_and_was_healthy  pass")
    assert lines[at + 1 : at + 3] == [f"│ │     The image {image}", "│ │     is there."]
    assert "│ └ alert_is_firing                        block" in lines
    assert "│       It fires." in lines
    assert max(map(len, lines)) <= 70
