import json
from pathlib import Path

import pytest

from tests.unit.service.cli import documents
from tests.unit.service.cli.conftest import Shell
from tests.unit.service.cli.fake_service import FakeService, Heard, Said, refusal


def test_targets_prints_one_line_each_worst_first(shell: Shell) -> None:
    ran = shell("targets")
    assert (ran.code, ran.err) == (0, "")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["target", "prod:orders", "prod:checkout", "prod:mail", "prod:basket"]


@pytest.mark.parametrize(
    ("arguments", "document"),
    [
        (("targets",), documents.targets()),
        (("check", documents.TARGET), documents.check()),
        (("plan", documents.TARGET), documents.plan()),
        (("operations",), {"operations": [documents.ended(), documents.waiting(id="op_" + "a" * 32)], "next_cursor": None}),
        (("incidents",), {"incidents": [documents.incident()], "next_cursor": None}),
        (("alerts",), {"alerts": [documents.episode()], "next_cursor": None}),
        (("holds",), {"holds": [documents.hold()], "orphans": [], "next_cursor": None}),
        (("holds", "show", documents.HOLD[:10]), documents.full_hold()),
        (("audit", documents.OPERATION), documents.trace()),
        (("captures", documents.OPERATION), documents.captures()),
    ],
)
def test_json_is_the_services_document_and_nothing_else(shell: Shell, arguments: tuple[str, ...], document: object) -> None:
    ran = shell(*arguments, "--json")
    assert ran.document == document
    assert ran.err == ""


@pytest.mark.parametrize(
    ("changed", "options", "code"),
    [
        (documents.passing(), (), 0),
        (documents.check(verdict="warn"), (), 0),
        (documents.check(verdict="warn"), ("--strict",), 3),
        (documents.check(verdict="unknown"), (), 5),
        (documents.check(), (), 3),
        (documents.passing(plan_digest=None), (), 3),
    ],
)
def test_check_ends_with_the_code_of_its_verdict(service: FakeService, shell: Shell, changed: documents.Doc, options: tuple[str, ...], code: int) -> None:
    service.check = changed
    assert shell("check", documents.TARGET, *options).code == code
    assert shell("check", documents.TARGET, "--json", *options).code == code


@pytest.mark.parametrize(
    ("changed", "options", "code"),
    [
        ([documents.target("basket")], (), 0),
        ([documents.target("basket", readiness=documents.readiness("warn"))], (), 0),
        ([documents.target("basket", readiness=documents.readiness("warn"))], ("--strict",), 3),
        ([documents.target("basket"), documents.target("mail", readiness=None)], (), 5),
        ([documents.target("basket", readiness=documents.readiness("block")), documents.target("mail", readiness=None)], (), 3),
        ([], (), 5),
    ],
)
def test_check_of_all_targets_ends_with_the_code_of_the_worst(
    service: FakeService, shell: Shell, changed: list[documents.Doc], options: tuple[str, ...], code: int
) -> None:
    service.targets = documents.targets(targets=changed)
    assert shell("check", *options).code == code
    assert shell("check", "--json", *options).code == code


def test_promise_1_check_of_a_list_that_may_lack_targets_is_not_known(service: FakeService, shell: Shell) -> None:
    service.targets = documents.targets(targets=[documents.target("basket")], complete=False)
    assert shell("check").code == 5


def test_check_shows_the_passes_only_when_asked(shell: Shell) -> None:
    assert "goal_images_exist" not in shell("check", documents.TARGET).out
    assert "goal_images_exist" in shell("check", documents.TARGET, "--all").out


@pytest.mark.parametrize("command", ["check", "plan", "rollback"])
def test_what_is_no_target_is_a_usage_error_before_anybody_is_asked(service: FakeService, shell: Shell, command: str) -> None:
    ran = shell(command, "orders", typed="")
    assert ran.code == 2
    assert "expected <instance>:<name>, for example prod:checkout" in ran.err
    assert service.heard == []


@pytest.mark.parametrize(
    ("status", "code", "exit_code"), [(401, "invalid_token", 1), (403, "missing_scope", 1), (404, "not_found", 1), (409, "no_way_back", 3)]
)
def test_a_problem_is_two_lines_on_stderr(service: FakeService, shell: Shell, status: int, code: str, exit_code: int) -> None:
    service.on("POST", "/v1/plans", lambda _: refusal(status, code, "the sentence of the service"))
    ran = shell("plan", documents.TARGET)
    assert (ran.code, ran.out) == (exit_code, "")
    cause, next_step = ran.err.splitlines()
    assert cause == "backout: the sentence of the service"
    assert next_step.startswith("  next: ")


def test_a_problem_with_json_is_still_one_document(service: FakeService, shell: Shell) -> None:
    service.on("GET", "/v1/targets", lambda _: refusal(403, "missing_scope", "the token has no scope targets:read"))
    ran = shell("targets", "--json")
    assert ran.code == 1
    assert ran.document["error"]["cause"] == "the token has no scope targets:read"


def test_no_service_is_said_with_the_way_to_start_one() -> None:
    ran = Shell(environment={"BACKOUT_SERVER": "http://127.0.0.1:1"})("targets")
    assert ran.code == 1
    assert (
        ran.err
        == "backout: no service at http://127.0.0.1:1 (connection refused)\n  next: start it with `backout serve --config backout.yaml`, or set --server\n"
    )


def test_the_server_on_the_command_line_wins_over_the_environment(service: FakeService) -> None:
    assert Shell(environment={"BACKOUT_SERVER": "http://127.0.0.1:1"})("targets", "--server", service.url).code == 0


def test_the_token_of_the_environment_is_sent_and_never_shown(service: FakeService) -> None:
    service.token = "right"
    assert Shell(environment={"BACKOUT_SERVER": service.url, "BACKOUT_TOKEN": "right"})("targets").code == 0
    ran = Shell(environment={"BACKOUT_SERVER": service.url, "BACKOUT_TOKEN": "wrong-SECRET"})("targets", "--json")
    assert ran.code == 1
    assert "backout token create" in ran.err
    assert "SECRET" not in ran.out + ran.err


def test_an_answer_of_another_shape_is_a_failure_and_no_crash(service: FakeService, shell: Shell) -> None:
    service.on("GET", "/v1/targets", lambda _: Said(document=[1], outside_contract=True))
    ran = shell("targets")
    assert ran.code == 1
    assert "is no JSON object" in ran.err


# --- plan ----------------------------------------------------------------------------------------------------------------


def test_plan_as_markdown_is_the_services_checklist(shell: Shell) -> None:
    assert shell("plan", documents.TARGET, "--markdown").out == "# rollback-2026-05-04\n- [ ] Stop auto-sync\n"


def test_plan_writes_markdown_to_a_file_or_json_with_json(shell: Shell, tmp_path: Path) -> None:
    checklist, document = tmp_path / "plan.md", tmp_path / "plan.json"
    assert shell("plan", documents.TARGET, "-o", str(checklist)).out.split() == ["written", "to", str(checklist)]
    assert checklist.read_text(encoding="utf-8").startswith("# rollback")
    ran = shell("plan", documents.TARGET, "--json", "--output", str(document))
    assert json.loads(document.read_text(encoding="utf-8")) == ran.document == documents.plan()


def test_a_plan_file_that_cannot_be_written_is_an_error(shell: Shell, tmp_path: Path) -> None:
    ran = shell("plan", documents.TARGET, "--output", str(tmp_path / "none" / "plan.md"))
    assert ran.code == 1
    assert "cannot be written" in ran.err


def test_markdown_and_json_together_are_a_usage_error(shell: Shell) -> None:
    assert shell("plan", documents.TARGET, "--markdown", "--json").code == 2


@pytest.mark.parametrize(("changed", "code"), [(documents.plan(), 0), (documents.blocked_plan(), 3), (documents.plan(steps=[]), 3)])
def test_plan_ends_with_the_code_of_its_verdict(service: FakeService, shell: Shell, changed: documents.Doc, code: int) -> None:
    service.plan = changed
    assert shell("plan", documents.TARGET).code == code


# --- lists and audit -----------------------------------------------------------------------------------------------------


def test_lists_pass_on_only_the_filters_that_were_given(service: FakeService, shell: Shell) -> None:
    shell("operations", "--target", documents.TARGET, "--state", "alive", "--limit", "5")
    shell("incidents")
    shell("holds", "--all", "--target", documents.TARGET)
    shell("alerts", "--unplaced")
    assert [dict(one.query) for one in service.heard] == [
        {"target": documents.TARGET, "state": "alive", "limit": "5"},
        {"limit": "20"},
        {"state": "all", "target": documents.TARGET, "limit": "500"},
        {"disposition": "no_target", "limit": "20"},
    ]


def test_one_incident_is_named_by_its_beginning_and_told_with_its_story(shell: Shell) -> None:
    ran = shell("incidents", documents.INCIDENT[:10])
    assert ran.code == 0
    assert "closed: recovered" in ran.out
    assert "backout audit op_3f2a9c1b" in ran.out
    whole = shell("incidents", documents.INCIDENT, "--json").document
    assert (whole["id"], whole["events"]) == (documents.INCIDENT, documents.incident_events()["events"])
    assert "there is no incident inc_ffffff" in shell("incidents", "inc_ffffff").err


def many(service: FakeService, count: int) -> list[documents.Doc]:
    """So many operations, of which a page holds at most two, whatever is asked for."""
    every = [documents.ended(id=f"op_{number:032x}") for number in range(count)]

    def answer(heard: Heard) -> Said:
        at = int(heard.query.get("cursor", "0"))
        size = min(int(heard.query["limit"]), 2)
        following = str(at + size) if at + size < count else None
        return Said(document={"operations": every[at : at + size], "next_cursor": following})

    service.on("GET", "/v1/operations", answer)
    return every


def test_all_of_a_list_is_fetched_page_by_page(service: FakeService, shell: Shell) -> None:
    every = many(service, 5)
    ran = shell("operations", "--all", "--json")
    assert ran.document == {"operations": every, "next_cursor": None}
    assert [one.query.get("cursor") for one in service.heard] == [None, "2", "4"]


def test_a_limit_beyond_a_page_takes_as_many_pages_as_it_needs_and_says_that_there_is_more(service: FakeService, shell: Shell) -> None:
    every = many(service, 9)
    ran = shell("operations", "--limit", "3", "--json")
    assert ran.document["operations"] == every[:3]
    assert [one.query["limit"] for one in service.heard] == ["3", "1"]
    assert "the newest 3; there are more: --all, or a larger --limit" in shell("operations", "--limit", "3").out
    assert "there are more" not in shell("operations", "--all").out


def test_a_cursor_that_leads_round_in_a_circle_ends_the_list(service: FakeService, shell: Shell) -> None:
    service.on("GET", "/v1/operations", lambda _: Said(document={"operations": [documents.ended()], "next_cursor": "again"}))
    assert len(shell("operations", "--all", "--json").document["operations"]) == 2


def test_a_limit_below_one_is_a_usage_error(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell("operations", "--limit", "0").code == 2
    assert "--limit" in capsys.readouterr().err


def test_audit_draws_the_tree_of_a_trace_named_by_its_beginning(service: FakeService, shell: Shell) -> None:
    service.operations = [documents.ended()]
    ran = shell("audit", documents.TRACE[:8])
    assert ran.code == 0
    assert "├ alert.accept" in ran.out
    assert service.heard[0].query == {"prefix": documents.TRACE[:8]}


def test_audit_of_a_trace_that_does_not_fit_together_is_an_error(service: FakeService, shell: Shell) -> None:
    service.trace = documents.trace(faults=["the root span is lost"])
    ran = shell("audit", documents.OPERATION)
    assert ran.code == 1
    assert "! the root span is lost" in ran.out


def test_audit_of_a_store_that_is_not_there_says_so_without_a_service(tmp_path: Path) -> None:
    ran = Shell(environment={"BACKOUT_SERVER": "http://127.0.0.1:1"})("audit", "op_123456", "--store", f"sqlite:///{tmp_path}/none.db")
    assert ran.code == 1
    assert "there is no store none.db" in ran.err
    assert not (tmp_path / "none.db").exists()


def test_an_id_that_is_too_short_unknown_or_not_clear_is_said(service: FakeService, shell: Shell) -> None:
    assert (shell("audit", "3f2a").code, len(service.heard)) == (2, 0)
    unknown = shell("audit", "op_ffffff")
    assert (unknown.code, unknown.err.splitlines()[0]) == (1, "backout: there is no operation op_ffffff")
    several = shell("audit", documents.TRACE[:8])
    assert several.code == 2
    assert "2 operations begin with 8f3c9a10: op_3f2a9c1b, op_aaaaaaaa" in several.err


def test_captures_show_what_is_there_what_is_missing_and_how_it_differs(shell: Shell) -> None:
    ran = shell("captures", documents.OPERATION)
    assert ran.code == 0
    for line in ("apps/Deployment shop/checkout differs", "-image: a", "+image: b", "missing   log of pod checkout-2: permission denied", "pod checkout-1"):
        assert line in ran.out
    assert "--- before" not in ran.out


def test_an_operation_of_which_nothing_was_captured_says_so(service: FakeService, shell: Shell) -> None:
    service.captures = documents.captures(captures=[], differences=[])
    assert "nothing was captured" in shell("captures", documents.OPERATION).out
