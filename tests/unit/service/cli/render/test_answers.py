from typing import Any

from service.cli import render
from tests.unit.service.cli import documents
from tests.unit.service.cli.documents import NOW
from tests.unit.service.cli.render.printing import printed


def test_only_the_first_pieces_of_evidence_are_shown_unless_everything_is_wanted() -> None:
    pieces = [{"what": f"file {number}", "source": "git", "read_at": "2026-05-04T12:01:07Z", "digest": ""} for number in range(5)]
    check = documents.check(findings=[documents.finding("schema_is_compatible", "block", "It breaks.", evidence=pieces)])
    brief, whole = printed(render.check(check, NOW)), printed(render.check(check, NOW, everything=True))
    assert ("file 2" in brief, "file 3" in brief, "and 2 more" in brief) == (True, False, True)
    assert ("file 4" in whole, "more" in whole) == (True, False)


def without_a_goal(*found: Any) -> Any:
    return documents.check(to=None, plan_digest=None, findings=[*found, *documents.PASSES])


def test_what_is_unknown_only_because_there_is_no_goal_is_counted_below_the_block_that_says_so() -> None:
    block = documents.finding("goal_release_is_exact_and_was_healthy", "block", "Release 2 was put there by Backout.")
    follow = [documents.finding(rule, "unknown", f"{rule} needs a goal.") for rule in ("goal_images_exist", "prune_deletes_no_data")]
    shown = printed(render.check(without_a_goal(block, *follow), NOW))
    assert "Release 2 was put there by Backout." in shown
    (counted,) = (line for line in shown.splitlines() if line.startswith("unknown"))
    assert counted.endswith("2  without a release to go back to; `--all` shows them")
    assert "needs a goal" not in shown
    assert printed(render.check(without_a_goal(block, *follow), NOW, everything=True)).count("needs a goal") == 2


def test_an_unknown_is_shown_wherever_it_may_be_the_reason() -> None:
    unknown = documents.finding("goal_images_exist", "unknown", "The registry did not answer.")
    block = documents.finding("schema_is_compatible", "block", "A column is gone.")
    assert "The registry did not answer." in printed(render.check(without_a_goal(unknown), NOW))
    assert "The registry did not answer." in printed(render.check(documents.check(findings=[block, unknown]), NOW))
