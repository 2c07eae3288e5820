import re
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from rich.console import Console, RenderableType

from service.cli import render
from service.cli.terminal import Terminal
from tests.unit.service.cli import documents
from tests.unit.service.cli.contract import check_component
from tests.unit.service.cli.documents import NOW

Golden = Callable[..., None]


def printed(*parts: RenderableType, color: bool = False) -> str:
    class Screen(StringIO):
        def isatty(self) -> bool:
            return True

    stdout = Screen() if color else StringIO()
    Terminal(stdout=stdout, environment={"TERM": "xterm-256color", "COLUMNS": "100"} if color else {}).show(*parts)
    return stdout.getvalue()


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


def test_a_check_that_blocks_reads_worst_first(golden: Golden) -> None:
    golden("check-block", render.check(documents.check(), NOW))


def test_the_standing_verdicts_read_worst_first_and_count_those_that_could_go_back(golden: Golden) -> None:
    golden("standings", render.standings(documents.targets(), NOW))


def test_every_standing_verdict_is_shown_when_asked() -> None:
    shown = printed(render.standings(documents.targets(), NOW, everything=True))
    lines = [line.split()[0] for line in shown.splitlines() if line.startswith("prod:")]
    assert lines == ["prod:orders", "prod:mail", "prod:basket", "prod:checkout"]


def test_one_that_nobody_looked_at_is_unknown_and_a_list_that_may_lack_some_says_so_first() -> None:
    shown = printed(render.standings(documents.targets(targets=[documents.target("mail", readiness=None)], complete=False), NOW))
    assert shown.splitlines()[0].startswith("! not every instance could be listed")
    assert "unknown" in shown
    assert "nobody has looked yet" in shown
    assert "0 of 1 target could go back now" in shown


def test_a_check_that_differs_from_what_stood_says_so() -> None:
    shown = printed(render.check(documents.check(readiness=documents.readiness()), NOW))
    assert "it stood at pass when it was looked at 10 min ago" in shown
    assert "it stood at" not in printed(render.check(documents.passing(readiness=documents.readiness()), NOW))


def test_a_check_shows_the_passes_with_their_evidence_when_asked(golden: Golden) -> None:
    golden("check-pass-all", render.check(documents.passing(hold=documents.HOLD, operation=documents.OPERATION), NOW, everything=True))


def test_a_check_with_a_warning_names_what_an_approval_has_to_name(golden: Golden) -> None:
    golden("check-warn", render.check(documents.check(verdict="warn", findings=[*documents.PASSES, documents.WARN], must_name=["caches_stay_coherent"]), NOW))


@pytest.mark.parametrize("way", ["rollback", "abort"])
def test_a_check_with_an_unknown_says_how_to_decide_by_whichever_way_leads_back(way: str) -> None:
    document = documents.check(verdict="unknown", recommended={"way": way, "because": "Nobody knows."}, findings=documents.PASSES)
    assert "Find out what is missing above, or decide, naming each unknown: backout rollback" in printed(render.check(document, NOW))


def test_a_check_without_a_goal_says_that_there_is_none() -> None:
    shown = printed(
        render.check(documents.check(verdict="unknown", to=None, plan_digest=None, findings=[], recommended={"way": "none", "because": "nobody knows"}), NOW)
    )
    assert "57 (v3.1.0 · 9c1e2ab) → nothing to go back to" in shown
    assert "not known whether it can go back" in shown
    assert "nobody was asked" in shown
    assert "Why: nobody knows" in shown


@pytest.mark.parametrize("verdict", ["pass", "warn"])
def test_a_good_verdict_without_a_plan_is_not_shown_as_a_way_back(verdict: str) -> None:
    shown = printed(render.check(documents.passing(plan_digest=None) | {"verdict": verdict}, NOW))
    assert "there is no way back to offer" in shown
    assert "can go back" not in shown
    assert "To go back" not in shown


def test_an_unknown_verdict_says_how_a_person_may_decide() -> None:
    shown = printed(render.check(documents.check(verdict="unknown", findings=[documents.UNKNOWN], recommended={"way": "rollback", "because": ""}), NOW))
    assert "naming each unknown: backout rollback prod:team-a/orders" in " ".join(shown.split())


def test_a_verdict_in_a_word_of_the_future_is_not_known() -> None:
    assert "not known (perhaps)" in printed(render.check(documents.check(verdict="perhaps"), NOW))


def test_a_plan_shows_steps_findings_and_digest(golden: Golden) -> None:
    golden("plan", render.plan(documents.plan(), NOW))


def test_a_blocked_plan_says_that_it_is_not_carried_out_and_what_instead(golden: Golden) -> None:
    golden("plan-block", render.plan(documents.blocked_plan(), NOW))


def test_targets_are_listed_worst_first(golden: Golden) -> None:
    golden("targets", render.targets(documents.targets(), NOW))


def test_an_incomplete_list_of_targets_says_so_before_anything_else() -> None:
    trouble = {**documents.targets()["instances"][0], "complete": False, "trouble": "the token may not list applications"}
    shown = printed(render.targets(documents.targets(complete=False, instances=[trouble], targets=[]), NOW))
    assert shown.startswith("! prod: the token may not list applications; a target that is missing below may exist all the same")
    assert "no targets that this token may see" in shown


def test_an_instance_that_does_not_tell_its_changes_is_named_with_the_reason() -> None:
    down = {**documents.targets()["instances"][0], "stream": "down", "stream_trouble": "the proxy cut it off"}
    shown = printed(render.targets(documents.targets(instances=[down]), NOW))
    assert shown.startswith("! prod does not tell its changes, so they are noticed by the next list only: the proxy cut it off")


def test_a_list_that_is_incomplete_for_no_named_reason_says_so_too() -> None:
    assert printed(render.targets(documents.targets(complete=False), NOW)).startswith("! not every instance could be listed")


def test_what_runs_is_the_version_that_was_seen_live_else_tags_or_the_beginning_of_a_digest() -> None:
    many = [f"r.example.com:5000/a:{tag}" for tag in ("v1", "v2", "v1", "v3")]
    seen = documents.target("seen", images=["b:v9"])
    others = [documents.target(name, images=images, live=None) for name, images in (("a", many), ("b", ["b"]), ("c", []))]
    shown = printed(render.targets(documents.targets(targets=[seen, *others]), NOW))
    assert "v2.4.6  3 d" in re.sub(" +", "  ", shown).replace("3  d", "3 d")
    assert "v1, v2 +1" in shown
    assert "v9" not in shown


def test_operations_are_one_line_each(golden: Golden) -> None:
    listed = {"operations": [documents.waiting(), documents.ended(), documents.ended("not_recovered", mode="auto")]}
    golden("operations", render.operations(listed, NOW))


LONG = "spinnaker:prod-k8s/checkout/deployment/checkout-api"


def test_a_long_target_leaves_room_for_what_is_said_of_it() -> None:
    rows = {"operations": [documents.operation(target=LONG, says="mode approve: every question has a yes; a person decides")]}
    fires = {"incidents": [documents.incident(target=LONG, same_cause=[{"id": "inc_2", "target": "prod:checkout", "state": "open"}])]}
    for shown, said in ((render.operations(rows, NOW), "question"), (render.incidents(fires, NOW), "prod:checkout")):
        text = printed(shown)
        assert said in text
        assert len(text.splitlines()) <= 6


def test_events_are_one_live_line_each(golden: Golden) -> None:
    golden("events", render.operation_head(documents.operation()), *(render.event(one) for one in documents.EVENTS[:5]))


def test_the_end_says_outcome_time_hold_and_where_the_story_is(golden: Golden) -> None:
    golden("ended", render.ended(documents.ended()), "", render.ended(documents.ended("refused", first_effect_at=None, hold=None, says="a column was dropped")))


def test_waiting_gives_the_commands_with_the_rules_to_name(golden: Golden) -> None:
    golden("waiting", render.waiting(documents.waiting(), NOW))


def test_incidents_name_each_alert_once(golden: Golden) -> None:
    golden("incidents", render.incidents({"incidents": [documents.incident(), documents.incident(state="closed", outcome="recovered")]}, NOW))


def text_of(rendered: object) -> str:
    console = Console(width=200, record=True, file=StringIO())
    console.print(rendered)
    return str(console.export_text())


def test_a_hold_says_what_it_keeps_away_what_it_waits_for_and_what_changed() -> None:
    shown = text_of(render.hold(documents.full_hold(), NOW))
    for part in (
        "57 (v3.1.0): only it has registry.example/shop/web@sha256:4",
        "desired a1b2c3d4e5f6: release a1b2c3d is desired now",
        "2 reviews came and went",
    ):
        assert part in shown
    assert "changed the hold mark was taken off the target" in shown
    ended = text_of(render.hold(documents.ended_hold(), NOW))
    assert "ended by user:alice: v3.1.1 is live" in ended
    assert "backout holds end" not in ended
    assert "it was not looked at yet" in text_of(render.hold(documents.hold(), NOW))


def test_a_hold_says_what_a_person_can_do_next() -> None:
    full = documents.full_hold()
    shown = text_of(render.hold({**full, "reviews": 1, "watch": {**full["watch"], "operation": documents.OPERATION}}, NOW))
    assert f"last tried: backout audit {render.short(documents.OPERATION)}" in shown
    assert f"To end it by hand: backout holds end {render.short(full['id'])} --reason …" in shown
    assert "1 review came and went" in shown


def test_orphaned_marks_stand_below_the_holds_with_what_takes_them_off() -> None:
    for holds in ([], [documents.hold()]):
        shown = text_of(render.holds({"holds": holds, "orphans": [documents.orphan()]}, NOW))
        assert f"orphaned: {documents.TARGET} carries a hold mark" in shown
        assert "argocd app patch orders" in shown


def test_holds_say_when_they_are_looked_at_and_how_they_ended(golden: Golden) -> None:
    golden("holds", render.holds({"holds": [documents.hold(), documents.ended_hold()]}, NOW), render.hold_ended(documents.ended_hold()))


def test_an_override_is_shown_with_who_asks_and_how_to_confirm_it(golden: Golden) -> None:
    given = {**documents.waiting_for_another()["override"], "confirmed_by": "user:carol", "confirmed_because": "I looked"}
    golden(
        "override",
        render.plan(documents.overridable_plan(), NOW),
        "",
        render.waiting(documents.waiting_for_another(), NOW),
        "",
        render.ended(documents.ended(override=given)),
    )


def test_an_incident_tells_its_story(golden: Golden) -> None:
    golden("incident", render.incident(documents.incident(outcome="recovered", operations=[documents.ended()]), documents.incident_events(), NOW))


def test_alerts_say_where_they_went(golden: Golden) -> None:
    lost = documents.episode(alert="Watchdog", target=None, disposition="no_target", says="no label names a target", firing=False, times_seen=7)
    golden("alerts", render.alerts({"alerts": [documents.episode(), lost, documents.episode(target=None, disposition="")], "next_cursor": "x"}, NOW))


def test_the_stop_switch_says_how_to_go_on(golden: Golden) -> None:
    golden("stop", render.stop(documents.switch("stopped by user:alice: storm")), render.stop(documents.switch()))


def test_the_history_of_the_stop_switch_ends_with_how_it_stands(golden: Golden) -> None:
    golden(
        "stop-history",
        render.stop_history(documents.switch("stopped by user:alice: storm"), documents.stop_events()),
        render.stop_history(documents.switch(), {"events": []}),
    )


def test_a_trace_is_a_tree_with_answers_and_durations(golden: Golden) -> None:
    golden("trace", render.trace(documents.trace()))


def test_a_trace_is_as_wide_as_it_may_be_and_loses_nothing() -> None:
    narrow, wide = (printed(render.trace(documents.trace(), width)) for width in (70, 140))
    assert max(map(len, narrow.splitlines())) <= 70
    assert "that is so long that it does not fit into its line" in wide
    assert "a sentence about them that is so long that it does not fit into its line" in " ".join(narrow.replace("│", "").replace("0.041", "").split())


def test_an_operation_in_its_own_mode_says_the_mode_once() -> None:
    assert printed(render.operation_head(documents.operation(mode="auto", why_mode="mode auto"))).count("mode auto") == 1


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


def test_doctor_puts_the_fix_under_what_is_not_well(golden: Golden) -> None:
    lines = [
        {"what": "store", "well": "ok", "says": "sqlite, WAL, fsync 0.9 ms", "fix": ""},
        {"what": "argocd prod", "well": "ok", "says": "v3.2.11, clock +0.1 s, 214 applications", "fix": ""},
        {
            "what": "argocd prod",
            "well": "no",
            "says": "may stop auto-sync on billing/*",
            "fix": "add to policy.csv:  p, role:backout, applications, update, billing/*, allow",
        },
        {"what": "notify", "well": "warn", "says": "nothing was ever sent", "fix": "send a test message"},
    ]
    golden("doctor", render.doctor(lines))


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


def test_a_command_to_copy_is_never_broken() -> None:
    line = "backout approve op_3f2a9c1b --accept " + ",".join(["schema_is_compatible"] * 9)
    assert printed(render.command(line)) == line + "\n"
    assert line in printed(render.command(line), color=True)


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


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172_799, "47 h"), (172_800, "2 d"), (-300, "5 min")]
)
def test_a_length_of_time_has_one_unit(seconds: float, said: str) -> None:
    assert render.span_of(seconds) == said


def test_what_is_no_time_is_shown_as_it_came() -> None:
    assert render.ago("soon", NOW) == "soon"
    assert render.clock(None) == ""
    assert render.clock("2026-05-04T12:00:00") == "2026-05-04T12:00:00"
    assert render.ago("2026-05-05T12:01:11Z", NOW) == "in 24 h"


def test_only_the_first_pieces_of_evidence_are_shown_unless_everything_is_wanted() -> None:
    pieces = [{"what": f"file {number}", "source": "git", "read_at": "2026-05-04T12:01:07Z", "digest": ""} for number in range(5)]
    check = documents.check(findings=[documents.finding("schema_is_compatible", "block", "It breaks.", evidence=pieces)])
    brief, whole = printed(render.check(check, NOW)), printed(render.check(check, NOW, everything=True))
    assert ("file 2" in brief, "file 3" in brief, "and 2 more" in brief) == (True, False, True)
    assert ("file 4" in whole, "more" in whole) == (True, False)


def test_what_is_due_is_rounded_and_what_is_over_counts_whole_units_only() -> None:
    assert render.ago("2026-05-11T12:01:00Z", NOW) == "in 7 d"
    assert render.ago("2026-04-27T12:01:12Z", NOW) == "6 d ago"


def test_colour_comes_only_on_a_terminal() -> None:
    assert "\x1b[" in printed(render.word("block"), color=True)
    assert printed(render.word("block")) == "block\n"


def test_incidents_of_one_cause_are_named_in_the_list_and_in_the_incident() -> None:
    others = [{"id": "inc_2", "target": "prod:cart", "state": "open"}, {"id": "inc_3", "target": "prod:mail", "state": "closed"}]
    one = documents.incident(same_cause=others, suspect={"key": "k", "title": "42 (v2.5.0 · c0ffee0)", "started_at": "2026-05-04T11:58:00Z"})
    listed = printed(render.incidents({"incidents": [one, documents.incident()]}, NOW))
    assert "same cause" in listed
    assert "prod:cart" in listed
    assert "(prod:mail)" in listed
    story = printed(render.incident(one, documents.incident_events(), NOW))
    assert "suspect: 42 (v2.5.0 · c0ffee0)" in story
    assert "for the same cause: prod:cart, (prod:mail)" in story


def test_promise_13_a_target_that_is_disarmed_says_until_when() -> None:
    until = "2026-05-04T17:03:00Z"
    calm = printed(render.targets({"targets": [documents.target("cart", disarmed_until=until)], "complete": True}, NOW))
    assert "disarmed until 17:03 UTC" in calm
    assert "no incident" not in calm
    burning = printed(render.targets({"targets": [documents.target("cart", disarmed_until=until, incident="inc_" + "1" * 32)], "complete": True}, NOW))
    assert "incident inc_11111111" in burning
    assert "disarmed until" in burning
    check = printed(render.check(documents.check(disarmed_until=until), NOW))
    assert "disarmed until 17:03 UTC: Backout rolled it back by itself; until then a person decides" in check
