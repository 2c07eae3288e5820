from pathlib import Path

import pytest

from tests.unit.service.cli import documents
from tests.unit.service.cli.conftest import Shell
from tests.unit.service.cli.documents import DIGEST, HOLD, OPERATION, TARGET
from tests.unit.service.cli.fake_service import FakeService, Said, refusal

YES = f"caches_stay_coherent\n{DIGEST[7:13]}\n"


# --- rollback ------------------------------------------------------------------------------------------------------------


def test_rollback_shows_the_plan_asks_for_warning_and_digest_and_follows(service: FakeService, shell: Shell) -> None:
    ran = shell("rollback", TARGET, "--reason", "it burns", typed=YES)
    assert ran.code == 0
    assert "1  Stop auto-sync of prod:team-a/orders" in ran.out
    assert DIGEST in ran.out
    assert "caches_stay_coherent has no yes (see above)" in ran.err
    assert "type a1b2c3" in ran.err
    assert "recovered after 14.2 s" in ran.out
    started = service.asked("POST", "/v1/operations")[0].body
    assert started == {"target": TARGET, "plan_digest": DIGEST, "accept": ["caches_stay_coherent"], "reason": "it burns"}


@pytest.mark.parametrize("typed", [YES.replace("a1b2c3", DIGEST), YES.replace("a1b2c3", "A1B2C3D4"), YES.replace("a1b2c3", DIGEST[7:])])
def test_more_of_the_digest_confirms_too(service: FakeService, shell: Shell, typed: str) -> None:
    assert shell("rollback", TARGET, typed=typed).code == 0
    assert len(service.asked("POST", "/v1/operations")) == 1


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "\n",
        "yes\n",
        "caches_stay_coherent\n",
        "caches_stay_coherent\n\n",
        "caches_stay_coherent\nyes\n",
        "caches_stay_coherent\na1b2c\n",
        "caches_stay_coherent\nffffff\n",
        "caches_stay_coherent\nsha256:\n",
        f"{DIGEST[7:13]}\n",
    ],
)
def test_anything_but_a_clear_yes_starts_nothing(service: FakeService, shell: Shell, typed: str) -> None:
    ran = shell("rollback", TARGET, typed=typed)
    assert ran.code == 7
    assert "nothing was touched" in ran.err
    assert service.asked("POST", "/v1/operations") == []


def test_a_rule_that_was_named_on_the_command_line_is_not_asked_for(service: FakeService, shell: Shell) -> None:
    ran = shell("rollback", TARGET, "--accept", "caches_stay_coherent, other", typed="a1b2c3\n")
    assert ran.code == 0
    assert "has no yes" not in ran.err
    assert service.asked("POST", "/v1/operations")[0].body["accept"] == ["caches_stay_coherent", "other"]


def test_rules_named_once_do_not_stay_for_the_next_command(service: FakeService, shell: Shell) -> None:
    shell("rollback", TARGET, typed=YES)
    shell("rollback", TARGET, typed="\n")
    assert len(service.asked("POST", "/v1/operations")) == 1


def test_a_blocked_plan_is_shown_and_nothing_is_asked_or_started(service: FakeService, shell: Shell) -> None:
    service.plan = documents.blocked_plan()
    ran = shell("rollback", TARGET, typed=YES)
    assert ran.code == 3
    assert "This plan is not carried out. Instead: hotfix" in ran.out
    assert "nothing was touched" in ran.out
    assert ran.err == ""
    assert service.asked("POST", "/v1/operations") == []


RULE = "schema_is_compatible"
REASON = ("--reason", "nobody reads that column")


def test_a_block_that_can_be_overridden_tells_how_two_persons_do_that(service: FakeService, shell: Shell) -> None:
    service.plan = documents.overridable_plan()
    ran = shell("rollback", TARGET, typed=YES)
    assert ran.code == 3
    assert f"backout rollback {TARGET} --override {RULE} --reason …" in ran.out
    assert service.asked("POST", "/v1/operations") == []


def test_asking_for_an_override_names_the_block_and_the_digest_and_then_waits_for_another_person(service: FakeService, shell: Shell) -> None:
    service.plan = documents.overridable_plan()
    service.stages = [documents.operation(), documents.waiting_for_another()]
    ran = shell("rollback", TARGET, "--override", RULE, *REASON, typed=f"{RULE}\na1b2c3\n")
    assert ran.code == 6
    assert f"{RULE} says NO (see above). Type its name to override that" in ran.err
    body = {"target": TARGET, "plan_digest": DIGEST, "accept": [], "override": [RULE], "reason": REASON[1]}
    assert service.asked("POST", "/v1/operations")[0].body == body
    assert "waits for a second person" in ran.out
    assert "confirm, as somebody else: backout override op_3f2a9c1b --reason" in ran.out


@pytest.mark.parametrize("typed", ["\n", "yes\n", f"{RULE}\n\n"])
def test_an_override_that_is_not_typed_out_asks_for_nothing(service: FakeService, shell: Shell, typed: str) -> None:
    service.plan = documents.overridable_plan()
    assert shell("rollback", TARGET, "--override", RULE, *REASON, typed=typed).code == 7
    assert service.asked("POST", "/v1/operations") == []


@pytest.mark.parametrize(
    ("plan", "options", "code", "says"),
    [
        (documents.overridable_plan(), (RULE,), 2, "an override needs a reason"),
        (documents.overridable_plan(), ("prune_deletes_no_data", *REASON), 2, f"--override does not name {RULE}"),
        (documents.overridable_plan(), (f"{RULE},other", *REASON), 2, "other does not block"),
        (documents.blocked_plan(), (RULE, *REASON), 3, "can never be overridden"),
        (documents.plan(), (RULE, *REASON), 2, "nothing blocks"),
    ],
)
def test_an_override_that_does_not_fit_the_plan_asks_for_nothing(
    service: FakeService, shell: Shell, plan: documents.Doc, options: tuple[str, ...], code: int, says: str
) -> None:
    service.plan = plan
    ran = shell("rollback", TARGET, "--override", *options, typed=f"{RULE}\na1b2c3\n")
    assert ran.code == code
    assert says in ran.err
    assert service.asked("POST", "/v1/operations") == []


def test_a_second_person_sees_who_asks_and_why_and_confirms_by_rule_and_digest(service: FakeService, shell: Shell) -> None:
    service.stages = [documents.waiting_for_another(), documents.ended()]
    ran = shell("override", documents.OPERATION, "--reason", "I looked", typed=f"{RULE}\na1b2c3\n")
    assert ran.code == 0
    assert f"user:bob asks to override {RULE}: nobody reads that column" in ran.out
    assert f"This plan is carried out against {RULE}." in ran.out
    body = {"plan_digest": DIGEST, "override": [RULE], "accept": [], "reason": "I looked"}
    assert service.asked("POST", f"/v1/operations/{documents.OPERATION}/override")[0].body == body


def test_a_confirmation_without_a_terminal_says_it_all(service: FakeService, shell: Shell) -> None:
    service.stages = [documents.waiting_for_another(), documents.ended()]
    ran = shell("override", documents.OPERATION, "--yes", "--digest", DIGEST, "--rule", RULE, "--reason", "I looked")
    assert ran.code == 0
    assert service.asked("POST", f"/v1/operations/{documents.OPERATION}/override")[0].body["override"] == [RULE]
    assert shell("override", documents.OPERATION, "--reason", "x").code == 2


def test_approving_what_needs_an_override_leads_to_the_other_command(service: FakeService, shell: Shell) -> None:
    service.stages = [documents.waiting_for_another()]
    ran = shell("approve", documents.OPERATION, typed="a1b2c3\n")
    assert ran.code == 1
    assert "backout override op_3f2a9c1b" in ran.err
    service.stages = [documents.waiting()]
    assert "asks for no override" in shell("override", documents.OPERATION, "--reason", "x", typed="a1b2c3\n").err
    assert [one.method for one in service.heard if one.method == "POST"] == []


def test_a_plan_that_changed_since_the_digest_was_taken_starts_nothing(service: FakeService, shell: Shell) -> None:
    ran = shell("rollback", TARGET, "--digest", "sha256:" + "0" * 64, typed=YES)
    assert ran.code == 1
    assert "another one than --digest names" in ran.err
    assert service.asked("POST", "/v1/operations") == []


def test_without_a_terminal_yes_and_digest_are_needed(service: FakeService, shell: Shell) -> None:
    for arguments in ((), ("--yes",), ("--digest", DIGEST), ("--json",)):
        ran = shell("rollback", TARGET, *arguments, typed="" if arguments == ("--json",) else None)
        assert ran.code == 2
        assert "--digest" in ran.err
    assert service.heard == []


def test_yes_with_digest_asks_nothing_and_sends_just_that(service: FakeService, shell: Shell) -> None:
    ran = shell("rollback", TARGET, "--yes", "--digest", DIGEST, "--accept", "caches_stay_coherent", "--json")
    assert ran.code == 0
    assert ran.document == documents.ended()
    assert service.asked("POST", "/v1/plans") == []
    assert service.heard[0].body == {"target": TARGET, "plan_digest": DIGEST, "accept": ["caches_stay_coherent"], "reason": ""}


def test_a_rollback_that_comes_to_wait_for_a_person_says_how_to_approve(service: FakeService, shell: Shell) -> None:
    service.stages = [documents.operation(), documents.waiting()]
    ran = shell("rollback", TARGET, "--yes", "--digest", DIGEST)
    assert ran.code == 6
    assert "backout approve op_3f2a9c1b --accept caches_stay_coherent" in ran.out


def test_no_follow_comes_back_at_once(service: FakeService, shell: Shell) -> None:
    ran = shell("rollback", TARGET, "--yes", "--digest", DIGEST, "--no-follow")
    assert ran.code == 0
    assert "backout watch op_3f2a9c1b" in ran.out
    assert len(service.heard) == 1


@pytest.mark.parametrize(
    ("outcome", "code"), [("recovered", 0), ("failed", 1), ("refused", 3), ("not_recovered", 4), ("inconclusive", 5), ("cancelled", 7), ("expired", 7)]
)
def test_rollback_ends_with_the_code_of_the_outcome(service: FakeService, shell: Shell, outcome: str, code: int) -> None:
    service.stages = [documents.operation(), documents.ended(outcome)]
    assert shell("rollback", TARGET, "--yes", "--digest", DIGEST).code == code


def test_a_busy_target_says_which_operation_to_follow(service: FakeService, shell: Shell) -> None:
    service.on("POST", "/v1/operations", lambda _: refusal(409, "target_busy", "an operation is alive", operation_url=f"/v1/operations/{OPERATION}"))
    ran = shell("rollback", TARGET, "--yes", "--digest", DIGEST)
    assert ran.code == 1
    assert f"backout watch {OPERATION}" in ran.err


# --- approve, reject, cancel ---------------------------------------------------------------------------------------------


def test_approve_shows_the_waiting_plan_and_asks_as_rollback_does(service: FakeService, shell: Shell) -> None:
    service.stages = [documents.waiting(), documents.ended()]
    ran = shell("approve", OPERATION, typed=YES)
    assert ran.code == 0
    assert "Roll back to history id 56" in ran.out
    sent = service.asked("POST", f"/v1/operations/{OPERATION}/approve")[0].body
    assert sent == {"plan_digest": DIGEST, "accept": ["caches_stay_coherent"], "reason": ""}


def test_approve_names_each_rule_that_the_operation_wants_named(service: FakeService, shell: Shell) -> None:
    service.stages = [documents.waiting(must_name=["caches_stay_coherent", "schema_is_compatible"])]
    ran = shell("approve", OPERATION, typed="caches_stay_coherent\n\n")
    assert ran.code == 7
    assert "schema_is_compatible was not accepted; nothing was touched" in ran.err


def test_approve_of_what_waits_for_nobody_is_an_error(service: FakeService, shell: Shell) -> None:
    service.stages = [documents.ended()]
    ran = shell("approve", OPERATION, typed=YES)
    assert ran.code == 1
    assert "waits for nobody (recovered)" in ran.err


def test_approve_without_a_terminal_needs_yes_and_digest(service: FakeService, shell: Shell) -> None:
    assert shell("approve", OPERATION).code == 2
    assert shell("approve", OPERATION, "--yes", "--digest", DIGEST, "--accept", "caches_stay_coherent", "--no-follow").code == 0
    assert [one.method for one in service.heard] == ["POST"]


def test_an_approval_that_comes_too_late_says_so(service: FakeService, shell: Shell) -> None:
    service.on("POST", f"/v1/operations/{OPERATION}/approve", lambda _: refusal(409, "conflict", "the offer has ended"))
    ran = shell("approve", OPERATION, "--yes", "--digest", DIGEST)
    assert (ran.code, ran.err.splitlines()[0]) == (1, "backout: the offer has ended")


@pytest.mark.parametrize(("verb", "said"), [("reject", "rejected"), ("cancel", "asked to stop")])
def test_reject_and_cancel_send_the_reason_and_say_what_happened(service: FakeService, shell: Shell, verb: str, said: str) -> None:
    ran = shell(verb, OPERATION, "--reason", "wrong release")
    assert ran.code == 0
    assert ran.out.startswith(f"{said} · {TARGET} · act")
    assert service.asked("POST", f"/v1/operations/{OPERATION}/{verb}")[0].body == {"reason": "wrong release"}
    assert shell(verb, OPERATION, "--json").document == documents.operation()


# --- holds ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("option", "field"), [("--leave-auto-sync-off", "leave_auto_sync_off"), ("--accept-bad", "accept_bad"), ("", "")])
def test_a_hold_is_ended_by_the_beginning_of_its_id(service: FakeService, shell: Shell, option: str, field: str) -> None:
    ran = shell("holds", "end", HOLD[:12], "--reason", "v3.1.1 is live", *([option] if option else []))
    assert ran.code == 0
    assert "ended by user:alice: v3.1.1 is live" in ran.out
    sent = service.asked("POST", f"/v1/holds/{HOLD}/end")[0].body
    assert sent == {"reason": "v3.1.1 is live", "leave_auto_sync_off": False, "accept_bad": False} | ({field: True} if field else {})


def test_a_hold_that_may_not_end_is_blocked_with_the_services_sentence(service: FakeService, shell: Shell) -> None:
    says = "the desired revision is still the one that was rolled back: release a fix first, or use --leave-auto-sync-off"
    service.on("POST", f"/v1/holds/{HOLD}/end", lambda _: refusal(409, "refused", says))
    ran = shell("holds", "end", HOLD, "--reason", "tired")
    assert (ran.code, ran.err.splitlines()[0]) == (3, f"backout: {says}")


def test_ending_a_hold_needs_a_reason_and_one_meaning(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell("holds", "end", HOLD).code == 2
    assert "--reason" in capsys.readouterr().err
    assert shell("holds", "end", HOLD, "--reason", "x", "--accept-bad", "--leave-auto-sync-off").code == 2


def test_a_hold_that_is_not_open_is_not_found(shell: Shell) -> None:
    ran = shell("holds", "end", "hld_ffff", "--reason", "x")
    assert (ran.code, ran.err.splitlines()[0]) == (1, "backout: there is no open hold hld_ffff")


# --- stop and resume -----------------------------------------------------------------------------------------------------


def test_stop_sends_the_reason_and_resume_takes_it_back(service: FakeService, shell: Shell) -> None:
    ran = shell("stop", "--reason", "storm")
    assert ran.code == 0
    assert ran.out.startswith("stopped by user:alice: storm")
    assert service.reason == "storm"
    assert shell("resume").out.startswith("not stopped")
    assert service.reason == ""


def test_the_history_of_the_switch_turns_nothing(service: FakeService, shell: Shell) -> None:
    ran = shell("stop", "--history")
    assert "resumed by user:bob; it was stopped by user:alice: storm" in ran.out
    assert ran.out.rstrip().endswith("now: not stopped")
    assert shell("stop", "--history", "--json").document["events"] == documents.stop_events()["events"]
    assert {one.method for one in service.heard} == {"GET"}


def test_stop_needs_no_reason_for_it_must_always_work(service: FakeService, shell: Shell) -> None:
    assert shell("stop", "--json").document == {**documents.switch("stopped by user:alice: no reason given"), "by": "service"}
    assert service.reason == "no reason given"


def test_a_resume_that_leaves_it_stopped_is_an_error(service: FakeService, shell: Shell) -> None:
    service.on("DELETE", "/v1/stop", lambda _: Said(document=documents.switch("the stop file is there: storm")))
    ran = shell("resume")
    assert ran.code == 1
    assert ran.out.startswith("stopped: the stop file is there: storm")


def test_a_stop_that_did_not_arrive_says_that_it_is_not_stopped() -> None:
    ran = Shell(environment={"BACKOUT_SERVER": "http://127.0.0.1:1"})("stop", "--reason", "storm")
    assert ran.code == 1
    assert ran.err.startswith("backout: NOT stopped: no service at http://127.0.0.1:1")
    assert "backout stop --config FILE" in ran.err


def test_a_stop_whose_answer_is_lost_does_not_claim_to_know(service: FakeService, shell: Shell) -> None:
    service.on("PUT", "/v1/stop", lambda _: Said(drop=True))
    assert "it is NOT KNOWN whether it stopped" in shell("stop").err


def test_a_stop_without_the_right_is_not_stopped_and_writes_no_file(service: FakeService, shell: Shell, settings: Path) -> None:
    service.on("PUT", "/v1/stop", lambda _: refusal(403, "missing_scope", "the token has no scope stop:write"))
    ran = shell("stop", "--config", str(settings))
    assert ran.code == 1
    assert ran.err.startswith("backout: NOT stopped: the token has no scope stop:write")
    assert not settings.with_name("STOP").exists()


def test_stop_writes_the_stop_file_of_local_settings_when_the_service_is_away(settings: Path) -> None:
    ran = Shell(environment={"BACKOUT_SERVER": "http://127.0.0.1:1"})("stop", "--reason", "storm\n2", "--config", str(settings))
    assert ran.code == 0, ran.err
    assert "so the stop file was written" in ran.out
    assert settings.with_name("STOP").read_text(encoding="utf-8") == "storm 2\n"


def test_stop_writes_the_stop_file_when_the_service_cannot_keep_it(service: FakeService, settings: Path) -> None:
    service.on("PUT", "/v1/stop", lambda _: refusal(503, "store_unavailable", "the store is away"))
    shell = Shell(environment={"BACKOUT_SERVER": service.url, "BACKOUT_CONFIG": str(settings)})
    ran = shell("stop", "--json")
    assert ran.document == {"stopped": True, "reason": "no reason given", "by": "file", "file": str(settings.with_name("STOP"))}


def test_stop_with_settings_that_name_no_stop_file_is_not_stopped(settings: Path) -> None:
    settings.write_text("\n".join(line for line in settings.read_text(encoding="utf-8").splitlines() if not line.startswith("stop_file")), encoding="utf-8")
    ran = Shell(environment={"BACKOUT_SERVER": "http://127.0.0.1:1"})("stop", "--config", str(settings))
    assert ran.code == 1
    assert "NOT stopped" in ran.err
    assert "names no stop_file" in ran.err


def test_stop_with_a_stop_file_that_cannot_be_written_is_not_stopped(settings: Path) -> None:
    settings.with_name("STOP").mkdir()
    ran = Shell(environment={"BACKOUT_SERVER": "http://127.0.0.1:1"})("stop", "--config", str(settings))
    assert ran.code == 1
    assert ran.err.startswith("backout: NOT stopped: ")
