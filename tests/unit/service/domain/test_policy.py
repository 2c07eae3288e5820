from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain.model import Actor, Mode, TargetId, Way
from service.domain.policy import Do, Policies, TargetPolicy, Waiver, another_person, can_override, decide, waive
from service.domain.verdict import Answer, Finding, Verdict, blocks, passes, unknown, warns
from tests.unit.service.domain import made

PASS, WARN, UNKNOWN, BLOCK = (
    replace(finding, gate=True, rule=rule)
    for rule, finding in (
        ("fine", passes("Yes.")),
        ("shaky", warns("Perhaps.", clears="a")),
        ("dark", unknown("Who knows.", clears="b")),
        ("closed", blocks("No.", clears="c")),
    )
)
WAIVER = Waiver(rule="shaky", reason="known", expires=made.NOW + timedelta(days=1))


def verdict(*findings: Finding) -> Verdict:
    return Verdict(way=Way.ROLLBACK, findings=findings, recommended=Way.ROLLBACK, because="", as_of=made.NOW)


TABLE = [
    (Mode.OBSERVE, PASS, Do.RECORD),
    (Mode.OBSERVE, WARN, Do.RECORD),
    (Mode.OBSERVE, UNKNOWN, Do.RECORD),
    (Mode.OBSERVE, BLOCK, Do.RECORD),
    (Mode.SUGGEST, PASS, Do.NOTIFY),
    (Mode.SUGGEST, WARN, Do.NOTIFY),
    (Mode.SUGGEST, UNKNOWN, Do.NOTIFY),
    (Mode.SUGGEST, BLOCK, Do.REFUSE),
    (Mode.APPROVE, PASS, Do.WAIT),
    (Mode.APPROVE, WARN, Do.WAIT),
    (Mode.APPROVE, UNKNOWN, Do.WAIT),
    (Mode.APPROVE, BLOCK, Do.REFUSE),
    (Mode.AUTO, PASS, Do.ACT),
    (Mode.AUTO, WARN, Do.WAIT),
    (Mode.AUTO, UNKNOWN, Do.WAIT),
    (Mode.AUTO, BLOCK, Do.REFUSE),
]


@pytest.mark.parametrize(("mode", "finding", "do"), TABLE, ids=lambda value: getattr(value, "word", None) or getattr(value, "rule", None) or str(value))
def test_what_findings_lead_to_is_the_table_and_no_other(mode: Mode, finding: Finding, do: Do) -> None:
    assert decide(mode, verdict(PASS, finding), TargetPolicy()).do is do


@pytest.mark.parametrize(
    ("mode", "says"),
    [(Mode.AUTO, "mode auto: every question has a yes"), (Mode.APPROVE, "mode approve: every question has a yes; a person decides")],
    ids=["auto", "approve"],
)
def test_every_yes_is_said_as_such(mode: Mode, says: str) -> None:
    assert decide(mode, verdict(PASS), TargetPolicy()).says == says


def test_a_verdict_that_nobody_gave_has_no_rule_to_name() -> None:
    decision = decide(Mode.APPROVE, verdict(), TargetPolicy())
    assert (decision.must_name, decision.says) == ((), "a person decides, naming the missing answers")


def test_only_auto_with_every_yes_acts_without_a_person() -> None:
    acting = {(mode, answer.answer) for mode, answer, _ in TABLE if decide(mode, verdict(answer), TargetPolicy()).do is Do.ACT}
    assert acting == {(Mode.AUTO, Answer.PASS)}


@pytest.mark.parametrize("mode", Mode)
def test_a_verdict_without_findings_never_acts(mode: Mode) -> None:
    assert decide(mode, verdict(), TargetPolicy(lets_pass=("shaky", "dark"))).do is not Do.ACT


def test_an_approval_has_to_name_every_doubt() -> None:
    decision = decide(Mode.APPROVE, verdict(PASS, WARN, UNKNOWN), TargetPolicy())
    assert decision.must_name == ("dark", "shaky")
    assert decision.says == "a person decides, naming dark, shaky"


def test_a_refusal_says_the_blocking_sentence() -> None:
    assert decide(Mode.AUTO, verdict(WARN, BLOCK), TargetPolicy()).says == "No."


def test_the_policy_lets_a_named_rules_warning_pass_in_auto_only() -> None:
    policy = TargetPolicy(lets_pass=("shaky",))
    decision = decide(Mode.AUTO, verdict(PASS, WARN), policy)
    assert (decision.do, decision.says) == (Do.ACT, "mode auto: the policy lets the warning of shaky pass")
    assert decide(Mode.APPROVE, verdict(PASS, WARN), policy).do is Do.WAIT


def test_letting_one_rules_warning_pass_says_nothing_about_another() -> None:
    other = replace(WARN, rule="other")
    assert decide(Mode.AUTO, verdict(WARN, other), TargetPolicy(lets_pass=("shaky",))).do is Do.WAIT


@pytest.mark.parametrize("gate", [True, False])
def test_no_policy_lets_an_unknown_pass_as_if_it_were_a_warning(gate: bool) -> None:
    assert decide(Mode.AUTO, verdict(replace(UNKNOWN, gate=gate)), TargetPolicy(lets_pass=("dark",))).do is Do.WAIT


def test_no_policy_lets_a_block_pass() -> None:
    assert decide(Mode.AUTO, verdict(BLOCK), TargetPolicy(lets_pass=("closed",))).do is Do.REFUSE


def test_a_waived_doubt_does_not_stop_auto_and_need_not_be_named() -> None:
    decision = decide(Mode.AUTO, verdict(PASS, replace(UNKNOWN, waived="waived")), TargetPolicy())
    assert (decision.do, decision.must_name) == (Do.ACT, ())


@pytest.mark.parametrize("finding", [WARN, replace(UNKNOWN, rule="shaky")], ids=["warn", "unknown"])
def test_a_waiver_names_its_expiry_and_reason(finding: Finding) -> None:
    assert waive(finding, TargetPolicy(waivers=(WAIVER,)), made.NOW) == "waived until 2026-05-05: known"


def test_a_waiver_ends_in_the_moment_it_expires() -> None:
    assert waive(WARN, TargetPolicy(waivers=(WAIVER,)), WAIVER.expires) == ""


@pytest.mark.parametrize(
    "finding", [replace(BLOCK, rule="shaky"), replace(PASS, rule="shaky"), replace(WARN, rule="other")], ids=["block", "pass", "other rule"]
)
def test_a_waiver_covers_only_the_doubts_of_its_rule(finding: Finding) -> None:
    assert waive(finding, TargetPolicy(waivers=(WAIVER,)), made.NOW) == ""


def test_the_waiver_that_has_not_expired_counts_when_there_are_two() -> None:
    old = replace(WAIVER, reason="old", expires=made.NOW - timedelta(days=1))
    assert "known" in waive(WARN, TargetPolicy(waivers=(old, WAIVER)), made.NOW)


def test_the_first_policy_that_matches_wins_and_nothing_matching_is_mode_suggest() -> None:
    policies = Policies((TargetPolicy(match="prod:shop-*", mode=Mode.AUTO), TargetPolicy(match="prod:*", mode=Mode.APPROVE)))
    modes = [policies.of(TargetId.parse(text)).mode for text in ("prod:shop-cart", "prod:billing", "stage:shop-cart")]
    assert modes == [Mode.AUTO, Mode.APPROVE, Mode.SUGGEST]


def test_without_a_policy_nothing_acts_and_nothing_is_declared() -> None:
    default = TargetPolicy()
    assert (default.mode, default.alerts, default.lets_pass, default.waivers) == (Mode.SUGGEST, (), (), ())
    assert (default.declares.shared_services, default.declares.cache, default.version_split) == (None, None, None)


# --- overriding a block --------------------------------------------------------------------------------------------------

RISKY = replace(blocks("It may break.", clears="d", overridable=True), gate=True, rule="risky")


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("finding", [PASS, WARN, UNKNOWN, BLOCK], ids=lambda finding: finding.rule)
def test_naming_rules_to_override_opens_nothing_that_was_closed(mode: Mode, finding: Finding) -> None:
    plain, overriding = (decide(mode, verdict(PASS, finding), TargetPolicy(), override=names) for names in ((), ("closed", "risky")))
    assert overriding.do in {plain.do, Do.REFUSE}
    assert overriding.must_override == ()


def test_a_block_that_can_be_overridden_waits_for_a_second_person_in_mode_approve_alone() -> None:
    found = verdict(PASS, WARN, UNKNOWN, RISKY)
    decision = decide(Mode.APPROVE, found, TargetPolicy(), override=("risky",))
    assert (decision.do, decision.must_override, decision.must_name) == (Do.WAIT, ("risky",), ("dark", "shaky"))
    assert decision.says == "a second person decides on overriding risky, naming dark, shaky"
    assert {mode: decide(mode, found, TargetPolicy(), override=("risky",)).do for mode in Mode if mode is not Mode.APPROVE} == {
        Mode.OBSERVE: Do.RECORD,
        Mode.SUGGEST: Do.REFUSE,
        Mode.AUTO: Do.REFUSE,
    }
    assert decide(Mode.APPROVE, found, TargetPolicy()).do is Do.REFUSE


@pytest.mark.parametrize(
    ("findings", "override", "says"),
    [
        ((RISKY, BLOCK), ("risky", "closed"), "closed can never be overridden: No."),
        ((RISKY, replace(RISKY, rule="riskier")), ("risky",), "the override does not name riskier: It may break."),
        ((RISKY,), ("risky", "fine"), "fine does not block (any more): look at the plan again"),
        ((PASS,), ("risky",), "risky does not block (any more): look at the plan again"),
    ],
    ids=["never", "unnamed", "foreign", "gone"],
)
def test_an_override_names_exactly_the_blocks_there_are(findings: tuple[Finding, ...], override: tuple[str, ...], says: str) -> None:
    decision = decide(Mode.APPROVE, verdict(*findings), TargetPolicy(), override=override)
    assert (decision.do, decision.says) == (Do.REFUSE, says)


def test_what_can_be_overridden_is_all_of_it_or_nothing() -> None:
    assert can_override(verdict(PASS, RISKY)) == ("risky",)
    assert can_override(verdict(RISKY, BLOCK)) == ()
    assert can_override(verdict(PASS, WARN)) == ()


@pytest.mark.parametrize(
    ("first", "second", "two"),
    [
        ("alice", "bob", True),
        ("alice", "alice", False),
        ("alice", "ALICE ", False),
        ("straße", "STRASSE", False),
        ("alice", "\uff41lice", False),
    ],
)
def test_two_persons_are_two_names_that_no_eye_takes_for_one(first: str, second: str, *, two: bool) -> None:
    assert another_person(Actor(kind="user", name=first), Actor(kind="user", name=second)) is two
    assert not another_person(Actor(kind="user", name=first), Actor(kind="service", name=second))
    assert not another_person(Actor(kind="alert", name=first), Actor(kind="user", name=second))


def test_promise_10_automation_is_disarmed_until_the_window_has_passed_over_its_own_rollbacks() -> None:
    now, hour = made.NOW, timedelta(hours=1)
    one, two = replace(made.POLICY, rollbacks=1), replace(made.POLICY, rollbacks=2)
    assert one.armed_again((), now) is None
    assert one.armed_again((now - hour,), now) == now + 5 * hour
    assert one.armed_again((now - 6 * hour - timedelta(seconds=1),), now) is None
    assert two.armed_again((now - hour,), now) is None
    assert two.armed_again((now - hour, now - 3 * hour, now - 5 * hour), now) == now + 3 * hour  # one of the two newest has to leave the window


def test_a_policy_that_allows_no_automatic_rollback_is_never_armed_again() -> None:
    assert replace(made.POLICY, rollbacks=0).armed_again((made.NOW,), made.NOW) is None
