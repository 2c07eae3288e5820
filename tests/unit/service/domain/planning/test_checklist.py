import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain.facts import Evidence
from service.domain.model import Mode, OperationKind, Way
from service.domain.planning.checklist import FLAG_RULES, block, code, escape, to_markdown
from service.domain.planning.plan import Plan, Step
from service.domain.rules import RULES
from service.domain.verdict import Finding, Verdict, blocks, passes, unknown, warns
from tests.unit.service.domain import made

EVIDENCE = Evidence(source="git:shop/checkout", what="db/migrations/0042_drop_legacy.sql:3", read_at=made.NOW, digest="sha256:abc")
STEPS = (
    Step(name="stop_auto_sync", says="Stop auto-sync of prod:checkout", undo=Step(name="start", says="Give auto-sync back"), command="argocd app set checkout"),
    Step(
        name="rollback",
        says="Roll back to history id 41",
        done_when="The operation Succeeded",
        fallback="Read the operation",
        command="argocd app rollback checkout 41",
    ),
    Step(name="mark_hold", says="Write the hold's marker", optional=True),
    Step(name="tell_team", says="Tell the team", owner="person"),
)


def named(rule: str, finding: Finding, *, waived: str = "") -> Finding:
    return replace(finding, rule=rule, gate=True, waived=waived)


ALL_PASS = tuple(named(rule.name, passes(f"{rule.question} Yes.", EVIDENCE)) for rule in RULES)


def plan(*findings: Finding, **changes: Any) -> Plan:
    verdict = Verdict(way=Way.ROLLBACK, findings=findings or ALL_PASS, recommended=Way.HOTFIX, because="Release 42 dropped a column.", as_of=made.NOW)
    values: dict[str, Any] = {
        "id": "plan-1",
        "kind": OperationKind.ROLLBACK,
        "target": made.TARGET,
        "uid": "uid-1",
        "title": "rollback-2026-05-04 · prod:checkout · v2.5.0 → v2.4.6",
        "method": "code",
        "scope": "full",
        "way": Way.ROLLBACK,
        "because": "It is the shortest way.",
        "suspect": made.SUSPECT,
        "goal": made.GOAL,
        "steps": STEPS,
        "verdict": verdict,
        "mode": Mode.APPROVE,
        "policy_version": "default@3",
        "made_at": made.NOW,
        "act_before": made.NOW + timedelta(minutes=1),
        "tags": ("rollback-2026-05-04",),
    }
    return Plan(**(values | changes))


def section(text: str, name: str) -> str:
    return text.split(f" {name}\n", 1)[1].split("\n## ", 1)[0]


def test_the_checklist_has_its_head_and_six_sections_in_order() -> None:
    text = to_markdown(plan())
    assert text.startswith("# rollback-2026-05-04 · prod:checkout · v2.5.0 → v2.4.6\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["1 Prepare", "2 Validate", "3 Execute", "4 Verify", "5 Hold", "6 Document"]
    for part in ("**Do this:** rollback of the whole target from release 42", "**Expected:**", "**Stops if:**", "**This plan is wrong if** "):
        assert part in text
    assert text.endswith("\n")


def test_the_same_plan_gives_the_same_text() -> None:
    assert to_markdown(plan()) == to_markdown(plan())


def test_every_section_has_something_to_tick() -> None:
    text = to_markdown(plan())
    for name in ("Prepare", "Validate", "Execute", "Verify", "Hold", "Document"):
        assert re.search(r"^- \[[ x]\] ", section(text, name), re.MULTILINE), name


def test_every_step_stands_once_in_the_section_where_it_belongs() -> None:
    text = to_markdown(plan())
    for says, name in (
        ("Stop auto-sync of prod:checkout", "Prepare"),
        ("Roll back to history id 41", "Execute"),
        ("Tell the team", "Execute"),
        ("Write the hold's marker", "Hold"),
    ):
        assert text.count(f"- [ ] {says}") == 1
        assert says in section(text, name)


def test_what_stays_of_a_step_is_said_beside_it() -> None:
    steps = (Step(name="abort", says="Abort Rollout web", stands="Rollout web stays aborted"),)
    assert "- [ ] Abort Rollout web — *backout*\n  - cannot be undone: Rollout web stays aborted" in to_markdown(plan(steps=steps))


def test_a_step_comes_with_owner_proof_fallback_undo_and_command() -> None:
    text = to_markdown(plan())
    assert "- [ ] Tell the team — *person*" in text
    assert "- [ ] Write the hold's marker — *backout; optional*" in text
    assert "  - done when: The operation Succeeded\n  - if it fails: Read the operation\n" in text
    assert "  - undo: Give auto-sync back" in text
    assert "\n  ```sh\n  argocd app rollback checkout 41\n  ```\n" in text


def test_a_way_without_a_step_of_its_name_is_executed_from_the_first_step_on() -> None:
    text = to_markdown(plan(way=Way.GIT_REVERT))
    assert "Stop auto-sync" in section(text, "Execute")
    assert "Stop auto-sync" not in section(text, "Prepare")


def test_a_plan_without_steps_says_so() -> None:
    assert "No step is known for this way." in section(to_markdown(plan(steps=())), "Execute")


def test_findings_are_ticked_when_they_pass_and_show_their_evidence() -> None:
    text = section(to_markdown(plan()), "Validate")
    assert text.count("- [x] ") == len(RULES)
    assert "  - seen in git:shop/checkout: db/migrations/0042\\_drop\\_legacy.sql:3, read 2026-05-04 14:03:00 UTC, `sha256:abc`" in text


def test_a_doubt_is_not_ticked_and_says_what_would_clear_it() -> None:
    text = section(to_markdown(plan(*ALL_PASS, named("x", warns("It may go wrong.", clears="Look at it.")))), "Validate")
    assert "- [ ] `x` **warn** It may go wrong.\n  - clears: Look at it." in text


def test_a_waiver_is_shown_where_it_counts() -> None:
    text = section(to_markdown(plan(named("x", unknown("Nobody knows.", clears="Ask."), waived="waived until 2026-06-01: known"))), "Validate")
    assert "- [ ] `x` **unknown** Nobody knows.\n  - waived until 2026-06-01: known" in text


def test_steps_that_findings_add_are_prepared_with_the_rule_that_wants_them() -> None:
    text = to_markdown(plan(named("x", warns("It may go wrong.", clears="-", adds=("Suspend the job.",)))))
    assert "- [ ] Suspend the job. — *`x`*" in section(text, "Prepare")


def test_without_doubts_there_are_no_flags_and_the_backup_line_is_honest() -> None:
    text = to_markdown(plan())
    assert "> Flags: none for shared services, data or caches.\n> Backup: this plan takes none and has looked at none." in text
    assert "**Flag**" not in text


@pytest.mark.parametrize("rule", FLAG_RULES)
def test_a_doubt_about_state_is_flagged_at_the_head(rule: str) -> None:
    doubtful = [finding if finding.rule != rule else named(rule, warns("Orders are shared.", clears="Ask.")) for finding in ALL_PASS]
    text = to_markdown(plan(*doubtful))
    assert "> **Flag** warn · Orders are shared." in text
    assert "Flags: none" not in text


def test_a_doubt_about_something_else_is_open_and_no_flag() -> None:
    text = to_markdown(plan(*ALL_PASS, named("x", warns("It may go wrong.", clears="-"))))
    assert "> **Open** warn · It may go wrong." in text
    assert "**Flag**" not in text


def test_no_flags_is_said_when_exactly_the_questions_about_state_were_asked() -> None:
    assert "> Flags: none" in to_markdown(plan(*(finding for finding in ALL_PASS if finding.rule in FLAG_RULES)))


def test_no_flags_is_never_said_when_nobody_asked() -> None:
    assert "> Flags: whether shared services, data or caches are touched was not asked completely." in to_markdown(plan(named("x", passes("Yes."))))


def test_the_rules_that_raise_flags_exist() -> None:
    assert set(FLAG_RULES) <= {rule.name for rule in RULES}


@pytest.mark.parametrize("finding", [blocks("No.", clears="-"), unknown("Who knows.", clears="-")], ids=["block", "unknown"])
def test_a_way_that_the_verdict_does_not_let_through_shows_no_command(finding: Finding) -> None:
    text = to_markdown(plan(*ALL_PASS, named("x", finding)))
    assert "argocd app" not in text
    assert "```sh\n  backout holds" in text


def test_a_way_with_a_warning_shows_its_commands_for_a_person_ticks_it() -> None:
    assert "argocd app rollback checkout 41" in to_markdown(plan(*ALL_PASS, named("x", warns("It may go wrong.", clears="-"))))


def test_a_yes_needs_nothing_that_clears_it() -> None:
    assert "clears:" not in to_markdown(plan(named("x", replace(passes("Yes."), clears="nothing"))))


def test_the_goal_is_shown_with_the_end_of_its_deploy_or_else_its_start() -> None:
    assert "deployed 2026-05-03 14:02:20 UTC" in to_markdown(plan())
    assert "deployed 2026-05-03 14:02:07 UTC" in to_markdown(plan(goal=replace(made.GOAL, deployed_at=None)))


def test_a_blocked_way_says_not_to_go_it_and_what_instead() -> None:
    text = to_markdown(plan(named("x", blocks("No.", clears="-"))))
    assert "**Do this:** do not go this way: Release 42 dropped a column. Instead: hotfix." in text


def test_an_unknown_way_says_that_nothing_is_to_be_done_yet() -> None:
    assert "**Do this:** nothing yet, something is not known:" in to_markdown(plan(named("x", unknown("Who knows.", clears="-"))))


def test_a_verdict_without_findings_lets_nothing_through() -> None:
    nobody = replace(plan().verdict, findings=())
    text = to_markdown(plan(verdict=nobody))
    assert "Nobody was asked whether this is safe." in text
    assert "argocd app" not in text


def test_the_document_binds_plan_digest_policy_and_tags() -> None:
    one = plan()
    text = section(to_markdown(one), "Document")
    for value in (one.id, one.digest, "default@3", "approve", "rollback-2026-05-04"):
        assert f"`{value}`" in text


def test_the_deadline_is_in_the_stop_line() -> None:
    assert "nothing was written by 2026-05-04 14:04:00 UTC" in to_markdown(plan())


HOSTILE = "x\n\n# Owned\n- [x] safe `rm -rf /` <script>alert(1)</script> [click](http://evil.example) **bold** | a | \u202eevil\u2066 www.evil.example"


@pytest.mark.parametrize(
    "hostile",
    [
        plan(title=HOSTILE),
        plan(because=HOSTILE, scope=HOSTILE, method=HOSTILE, id=HOSTILE, policy_version=HOSTILE, tags=(HOSTILE,)),
        plan(suspect=replace(made.SUSPECT, version=HOSTILE), goal=replace(made.GOAL, version=HOSTILE)),
        plan(steps=(Step(name=HOSTILE, says=HOSTILE, owner=HOSTILE, done_when=HOSTILE, fallback=HOSTILE, undo=Step(name="x", says=HOSTILE), stands=HOSTILE),)),
        plan(named(HOSTILE, warns(HOSTILE, Evidence(source=HOSTILE, what=HOSTILE, read_at=made.NOW, digest=HOSTILE), clears=HOSTILE, adds=(HOSTILE,)))),
        plan(named("x", warns("-", clears="-"), waived=HOSTILE)),
    ],
    ids=["title", "words", "releases", "step", "finding", "waiver"],
)
def test_nothing_from_outside_changes_the_shape_of_the_document(hostile: Plan) -> None:
    text = to_markdown(hostile)
    assert re.findall(r"^## ", text, re.MULTILINE) == ["## "] * 6
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    assert not re.search(r"^\s*(# Owned|- \[x\] safe)", text, re.MULTILINE)
    plain = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", re.sub(r"\\.", "", text))
    assert "<script" not in plain
    assert "](" not in plain
    assert "http://" not in plain
    assert "www.evil" not in plain
    assert "\u202e" not in text
    assert "\u2066" not in text


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        ("plain text, 4.2 % at 14:02", "plain text, 4.2 % at 14:02"),
        ("a_b*c", "a\\_b\\*c"),
        ("one\r\ntwo\tthree", "one two three"),
        ("1. item", "1\\. item"),
        ("- item", "\\- item"),
        ("# head", "\\# head"),
        ("back\\slash", "back\\\\slash"),
        ("https://x.example", "https:\\//x.example"),
        ("a@b.example", "a\\@b.example"),
        ("&lt;", "\\&lt;"),
        ("\x00\x1b[31mred\u200b", "\\[31mred"),
        ("", ""),
    ],
)
def test_escaping_keeps_the_words_and_takes_the_markup(raw: str, safe: str) -> None:
    assert escape(raw) == safe


@pytest.mark.parametrize(("raw", "span"), [("a", "`a`"), ("a`b", "``a`b``"), ("`a", "`` `a ``"), ("a`", "`` a` ``"), ("a\nb", "`a b`"), ("", "")])
def test_a_code_span_cannot_be_closed_from_inside(raw: str, span: str) -> None:
    assert code(raw) == span


def test_a_command_cannot_close_its_block_and_keeps_its_lines() -> None:
    assert block("echo a\n```\n## 7 Owned\n") == ["  ````sh", "  echo a", "  ```", "  ## 7 Owned", "  ````"]


def test_a_command_carries_no_hidden_characters() -> None:
    assert block("echo\u202e a\x1b") == ["  ```sh", "  echo a", "  ```"]
