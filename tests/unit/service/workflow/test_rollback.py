"""The story over a real store with the real rules; only the outside and the engine are fake. Each test changes one thing and looks at what follows."""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MethodType
from typing import Any

import pytest

from service.domain import keys, spans
from service.domain.chain import verify
from service.domain.errors import ConflictError, PermanentError, RefusedError, StaleLookError, TemporaryError, UnavailableError
from service.domain.facts import Absent
from service.domain.keys import Act, Owner
from service.domain.model import Actor, Json, Mode, ObjectRef, Operation, Outcome, TargetId, Way
from service.domain.planning.plan import Offer, Step
from service.domain.ports import Around, Clock, Guard, Intention, Observation, Placement, Seen, Transition
from service.domain.rule import Case
from service.store.holds import HoldStore
from service.workflow import record
from service.workflow.messages import Told
from service.workflow.rollback import MAX_VERDICTS, STUCK_AFTER
from tests.fakes.delivery import BACK, CLEAR, MARK, OPEN, PROVE, RESTORE, SETTLED, SHUT, STOP, Application, FakeDelivery
from tests.fakes.facts import HANGING
from tests.fakes.store import delivery as delivery_of
from tests.fakes.store import notice
from tests.unit.service.domain import made
from tests.unit.service.workflow.stage import OTHER, POLICY, PROMISED_BY_THE_STORE, QUICK, SLI, TARGET, TRAFFIC, Stage, attribute, named, orphans, roots

ON_BOTH = PROMISED_BY_THE_STORE

JANE = Actor(kind="user", name="jane")
BREAKS = Transition(phase="begin", data={}, done=Outcome.FAILED)
WARNING = "caches_stay_coherent"


def data(row: Operation) -> record.Attempt:
    return record.load(row)


async def approve(stage: Stage, *names: str, approved: bool = True, reason: str = "") -> bool:
    row = await stage.row()
    plan = data(row).plan
    assert plan is not None
    body = {"digest": plan.digest, "names": list(names), "reason": reason}
    return await stage.operations.decide("op_1", seq=row.seq, actor=JANE, approve=approved, at=stage.clock.now(), body=body)


async def cancel(stage: Stage) -> None:
    assert await stage.operations.request_cancel("op_1", actor=JANE, reason="wrong one", at=stage.clock.now())


def a_person_acts(stage: Stage) -> None:
    stage.delivery.acts.append(Act(what="spec_edit", by=JANE, at=stage.clock.now(), says="jane updated the spec", ours=False))


# --- the happy path --------------------------------------------------------------------------------------------------------------


async def test_promise_9_transitions_that_share_commits_leave_every_row_and_span_in_its_order(stage: Stage) -> None:
    stage.played.together = True
    assert (await stage.recovered()).outcome is Outcome.RECOVERED
    steps = (STOP, PROVE, CLEAR, BACK)
    kinds = await stage.kinds()
    assert kinds[: 3 + 3 * len(steps)] == ["suspect", "verdict", "decision", *["intent", "sent", "step_done"] * len(steps)]
    acts = [span.name for span in await stage.trace() if span.name.startswith(spans.ACT)]
    assert acts == [f"{spans.ACT}{step}" for step in steps]


async def test_promise_3_an_intent_is_committed_before_its_step_is_sent_and_nothing_is_sent_with_it(stage: Stage) -> None:
    stage.played.together = True
    await stage.begin()
    for count, step in enumerate((STOP, PROVE, CLEAR, BACK)):
        row = await stage.drive(until="act_send")
        assert (row.phase, row.rev) == ("act_send", count + 1)  # what the step before it came to is committed with it
        assert len(stage.delivery.sent) == count
        assert (await stage.events())[-1].body["step"] == step
        await stage.step()
        assert stage.delivery.sent[-1] == step


async def test_an_alert_takes_the_bad_release_back_and_proves_it(stage: Stage) -> None:
    row = await stage.recovered()
    assert row.outcome is Outcome.RECOVERED
    assert stage.delivery.sent == [STOP, PROVE, CLEAR, BACK]
    assert (stage.app.live.key, stage.app.auto_sync) == (made.GOAL.key, False)
    assert (row.suspect_key, row.goal_key) == (made.SUSPECT.key, made.GOAL.key)
    assert row.says.startswith("recovered: 2 of 2 pods run the goal release's images and are ready; the SLI is 0.001, inside its bound")
    assert await stage.targets.handles_made_by_backout(TARGET) == ("43",)


async def test_the_steps_come_in_their_order_each_with_its_intent_before_it(stage: Stage) -> None:
    await stage.recovered()
    told = [(one.kind, one.body["step"]) for one in await stage.events() if one.kind in {"intent", "sent", "step_done"}]
    assert told == [(kind, step) for step in (STOP, PROVE, CLEAR, BACK) for kind in ("intent", "sent", "step_done")]


async def test_promise_7_the_bad_release_is_held_with_what_auto_sync_was(stage: Stage) -> None:
    await stage.recovered()
    hold = await stage.hold()
    assert hold is not None
    assert (hold.held, hold.operation_id, hold.owner) == ((made.SUSPECT.key,), "op_1", "alert:HighErrorRate")
    assert hold.remembered["auto_sync"] == {"automated": {"prune": True, "selfHeal": True}}
    assert (hold.remembered["stopped"], hold.remembered["uid"], hold.remembered["revisions"]) == (True, "uid-1", [made.SUSPECT.revision])
    assert hold.review_at - hold.opened_at == timedelta(days=7)


async def test_promise_7_the_hold_stands_before_the_first_write(stage: Stage) -> None:
    seen: list[str] = []
    stage.delivery.before_send = seen.append
    await stage.begin()
    await stage.drive(until="act_send")
    assert (seen, await stage.hold() is not None) == ([], True)
    assert (await stage.row()).first_effect_at is not None


async def test_promise_13_the_person_on_call_is_told_the_end_once(stage: Stage) -> None:
    await stage.recovered()
    (told,) = await stage.messages()
    assert (told["event"], told["title"], told["outcome"]) == ("recovered", "prod:checkout rolled back, recovered", "recovered")
    assert told["links"]["operation"] == "https://backout.example/v1/operations/op_1"
    assert "15 of 15 questions: yes" in told["text"]
    hold = await stage.hold()
    assert hold is not None
    assert f"backout holds end {hold.id}" in told["text"]


async def test_promise_9_there_is_one_trace_with_one_root_that_ends_last(stage: Stage) -> None:
    await stage.recovered()
    trace = await stage.trace()
    (root,) = roots(trace)
    assert (root.name, trace[-1].span_id) == ("rollback prod:checkout 42→41", root.span_id)
    assert orphans(trace) == []
    assert len({span.span_id for span in trace}) == len(trace)
    assert attribute(root, spans.OUTCOME) == "recovered"
    assert [attribute(span, spans.STEP) for span in trace if span.name.startswith(spans.ACT)] == [STOP, PROVE, CLEAR, BACK]
    assert verify(await stage.operations.chain("op_1")) is None


async def test_promise_9_every_finding_of_the_verdict_is_a_span_with_its_sentence(stage: Stage) -> None:
    await stage.recovered()
    trace = await stage.trace()
    event = next(one for one in await stage.events() if one.kind == "verdict")
    findings = {one["rule"]: one["says"] for one in event.body["findings"]}
    told = {attribute(span, spans.RULE): attribute(span, spans.SAYS) for span in trace if attribute(span, spans.RULE)}
    assert told == findings
    assert len(findings) == 15


async def test_promise_6_one_sentence_is_row_event_span_and_message(stage: Stage) -> None:
    stage.facts.tell(made.DIFFERENCE, Absent("the repository cannot be reached"))
    await stage.begin(mode=Mode.APPROVE)
    row = await stage.drive()
    event = next(one for one in await stage.events() if one.kind == "verdict")
    finding = next(one for one in event.body["findings"] if one["rule"] == "schema_is_compatible")
    assert any("the repository cannot be reached" in line["says"] for line in finding["lines"])
    (message,) = await stage.messages()
    assert finding["says"] in message["text"]
    assert finding["clears"] in message["text"]
    assert all(line["says"] in message["text"] for line in finding["lines"])
    (span,) = named(await stage.trace(), "schema_is_compatible")
    assert (attribute(span, spans.SAYS), attribute(span, spans.CLEARS)) == (finding["says"], finding["clears"])
    assert all(line["says"].rstrip(".") in attribute(span, spans.LINES) for line in finding["lines"])
    assert row.says == "a person decides, naming schema_is_compatible"


async def test_the_operation_is_not_in_its_own_way(stage: Stage) -> None:
    await stage.begin()
    await stage.step()
    event = next(one for one in await stage.events() if one.kind == "verdict")
    assert {one["rule"]: one["answer"] for one in event.body["findings"]}["limits_allow_acting"] == "pass"


async def test_an_application_without_auto_sync_is_rolled_back_and_marked(stage: Stage) -> None:
    stage.app.auto_sync = False
    row = await stage.recovered()
    assert (row.outcome, stage.delivery.sent, stage.app.marker) == (
        Outcome.RECOVERED,
        [PROVE, BACK, MARK],
        "operation=op_1 suspect=c0ffee011111 goal=beef00022222",
    )
    hold = await stage.hold()
    assert hold is not None
    assert (hold.remembered["stopped"], hold.remembered["auto_sync"]) == (False, {})


async def test_a_mark_that_is_refused_does_not_stop_the_rollback(stage: Stage) -> None:
    stage.app.auto_sync = False
    stage.delivery.fares[MARK] = ["refused"]
    row = await stage.recovered()
    assert row.outcome is Outcome.RECOVERED
    assert "step_skipped" in await stage.kinds()


# --- modes --------------------------------------------------------------------------------------------------------------------------


async def test_observe_records_what_would_have_been_done_and_tells_nobody(stage: Stage) -> None:
    await stage.begin(mode=Mode.OBSERVE)
    row = await stage.drive()
    assert (row.outcome, stage.delivery.sent, stage.delivery.intended) == (Outcome.OBSERVED, [], [])
    assert row.says == "in mode auto Backout would act: mode auto: every question has a yes"
    assert await stage.messages() == []
    assert len(roots(await stage.trace())) == 1


async def test_suggest_sends_the_plan_and_acts_not(stage: Stage) -> None:
    await stage.begin(mode=Mode.SUGGEST)
    row = await stage.drive()
    assert (row.outcome, stage.delivery.intended) == (Outcome.SUGGESTED, [])
    (told,) = await stage.messages()
    assert (told["event"], told["from"], told["to"]) == ("suggested", "42 (v2.5.0 · c0ffee0)", "41 (v2.4.6 · beef000)")


async def test_a_block_is_refused_with_its_reason_and_nothing_is_touched(stage: Stage) -> None:
    stage.app.owner = Owner(kind="applicationset", name="shop", reverts=True)
    row = await stage.recovered()
    assert (row.outcome, stage.delivery.intended, await stage.hold()) == (Outcome.REFUSED, [], None)
    (told,) = await stage.messages()
    assert told["event"] == "refused"
    assert "The ApplicationSet shop owns the spec of prod:checkout and would undo a rollback." in told["text"]
    assert "Instead: git revert" in told["text"]
    assert "Nothing was touched." in told["text"]


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.APPROVE, Mode.SUGGEST])
async def test_a_way_that_the_delivery_system_cannot_go_is_refused_and_nobody_is_asked_to_approve_it(stage: Stage, mode: Mode) -> None:
    stage.delivery.impossible = "this Argo CD is too old to stop auto-sync"
    await stage.begin(mode=mode)
    row = await stage.drive()
    assert row.outcome is Outcome.REFUSED
    assert "this Argo CD is too old to stop auto-sync" in (await stage.messages())[0]["text"]


class ByHand(FakeDelivery):
    """Offers a rollback that its owner would undo, and a revert in Git that only a person can make."""

    def offers(self, case: Case) -> tuple[Offer, ...]:
        (back,) = super().offers(case)
        revert = Step(name="revert_in_git", says="Revert c0ffee0", owner="person", command="git clone -- https://git.example/shop x &&\ncd x")
        why = "the ApplicationSet would undo it"
        return (replace(back, steps=(), impossible=why), Offer(way=Way.GIT_REVERT, steps=(revert,), because=f"no rollback ({why}); a person reverts"))


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.APPROVE, Mode.SUGGEST])
async def test_a_plan_of_a_persons_steps_is_told_whole_in_every_mode_and_nobody_acts_on_it(stage: Stage, mode: Mode) -> None:
    stage.app.owner = Owner(kind="applicationset", name="shop", reverts=True)
    stage.deliveries["prod"] = delivery = ByHand(stage.clock, TARGET, stage.app)
    await stage.begin(mode=mode)
    row = await stage.drive()
    assert (row.outcome, row.first_effect_at, await stage.hold()) == (Outcome.SUGGESTED, None, None)
    assert (delivery.intended, delivery.sent) == ([], [])
    assert row.says == "a person goes back by git revert: no rollback (the ApplicationSet would undo it); a person reverts"
    (told,) = await stage.messages()
    assert told["event"] == "suggested"
    assert "1. Revert c0ffee0" in told["text"]
    assert "git clone -- https://git.example/shop x &&\ncd x" in told["text"]
    assert "Nothing was touched." in told["text"]


async def test_a_plan_of_a_persons_steps_in_observe_is_only_recorded(stage: Stage) -> None:
    stage.app.owner = Owner(kind="applicationset", name="shop", reverts=True)
    stage.deliveries["prod"] = ByHand(stage.clock, TARGET, stage.app)
    await stage.begin(mode=Mode.OBSERVE)
    assert (await stage.drive()).outcome is Outcome.OBSERVED
    assert await stage.messages() == []


class Pinned(FakeDelivery):
    """Offers a pin alone: auto-sync stays on, and the goal goes live by itself."""

    def offers(self, case: Case) -> tuple[Offer, ...]:
        (back,) = super().offers(case)
        return (replace(back, way=Way.PIN, steps=(replace(back.steps[-1], undo=Step(name=RESTORE, says="follow the branch again")),)),)


async def test_under_a_pin_auto_sync_stays_on_and_that_is_no_revert(stage: Stage) -> None:
    stage.deliveries["prod"] = Pinned(stage.clock, TARGET, stage.app)
    row = await stage.recovered()
    assert (row.outcome, stage.app.auto_sync) == (Outcome.RECOVERED, True)
    hold = await stage.hold()
    assert hold is not None
    assert (hold.remembered["pinned"], hold.stopped_auto_sync) == (True, False)


async def test_a_pinned_release_that_fails_to_go_live_stays_pinned_and_is_not_told_as_without_auto_sync(stage: Stage) -> None:
    class Failing(Pinned):
        def offers(self, case: Case) -> tuple[Offer, ...]:
            (pin,) = super().offers(case)
            return (replace(pin, steps=(replace(pin.steps[0], undo=None),)),)  # as Argo CD's last step: what it took up is not taken back

    stage.deliveries["prod"] = delivery = Failing(stage.clock, TARGET, stage.app)
    delivery.fares[BACK] = ["failed"]
    row = await stage.recovered()
    assert row.outcome is Outcome.FAILED
    assert row.says.endswith("the pinned release may be under way or live: the hold and the pin stay, and auto-sync is on")


async def test_promise_7_a_pin_that_is_taken_back_ends_the_operation_and_is_not_tried_again(stage: Stage) -> None:
    stage.deliveries["prod"] = delivery = Pinned(stage.clock, TARGET, stage.app)
    await stage.begin()
    await stage.drive(until="verify")
    stage.app.desired_revision = made.SUSPECT.revision
    row = await stage.drive()
    assert (row.outcome, row.says) == (Outcome.NOT_RECOVERED, "somebody took the pin back; Backout does not fight: look who writes the spec")
    assert delivery.sent == [BACK]


async def test_no_earlier_release_to_go_back_to_is_refused(stage: Stage) -> None:
    stage.app.history.pop()
    row = await stage.recovered()
    assert row.outcome is Outcome.REFUSED
    assert len(roots(await stage.trace())) == 1


@pytest.mark.parametrize("hide", ["alert", "rule", "registry", "git", "split", "source of the goal", "source of the suspect", "hanging"])
async def test_promise_1_what_nobody_could_find_out_never_acts_without_a_person(stage: Stage, hide: str) -> None:
    gone = Absent("the connection was refused")
    tell = stage.facts.tell
    what: dict[str, Callable[[], None]] = {
        "alert": lambda: tell(keys.alert_now("HighErrorRate", stage.labels), gone),
        "rule": lambda: tell(keys.alert_rule("HighErrorRate", stage.labels), RuntimeError("a defect in the reader")),
        "registry": lambda: tell(made.MANIFEST, RuntimeError("a defect in the reader")),
        "git": lambda: tell(made.DIFFERENCE, TemporaryError("timeout")),
        "split": lambda: tell(made.SERIES, gone),
        "source of the goal": lambda: tell(made.LABELS_OLD, gone),
        "source of the suspect": lambda: tell(made.LABELS_NEW, gone),
        "hanging": lambda: tell(made.MANIFEST, HANGING),
    }
    if hide == "rule":  # then the onset is the told start less an unknown `for`
        tell(keys.alert_now("HighErrorRate", stage.labels), keys.AlertNow(state="firing"))
    what[hide]()
    if hide == "hanging":
        stage.gatherer._read_seconds = 0.05  # noqa: SLF001  a hang that a test can wait out
    row = await stage.recovered()
    assert row.phase == "awaiting_approval"
    assert stage.delivery.intended == []


async def test_promise_1_a_delivery_system_that_does_not_answer_is_unknown_and_refused(stage: Stage) -> None:
    stage.delivery.trouble["read"] = TemporaryError("503")
    row = await stage.recovered()
    assert (row.outcome, stage.delivery.intended) == (Outcome.REFUSED, [])


async def test_a_warning_that_the_policy_lets_pass_does_not_stop_auto(stage: Stage) -> None:
    stage.change(declares=replace(made.POLICY.declares, cache="none"), version_split=None)
    await stage.begin()
    assert (await stage.drive()).phase == "awaiting_approval"
    await cancel(stage)
    assert (await stage.step()).outcome is Outcome.CANCELLED
    stage.change(lets_pass=("deploy_caused_the_alert",))
    await stage.begin(identity="op_2")
    assert (await stage.drive(identity="op_2")).outcome is Outcome.RECOVERED


# --- approval ---------------------------------------------------------------------------------------------------------------------------


async def waiting(stage: Stage) -> Operation:
    await stage.begin(mode=Mode.APPROVE)
    row = await stage.drive()
    assert row.phase == "awaiting_approval"
    return row


async def test_an_approval_is_asked_for_with_its_end_and_how_to_give_it(stage: Stage) -> None:
    row = await waiting(stage)
    (told,) = await stage.messages()
    plan = data(row).plan
    assert plan is not None
    assert (told["event"], told["plan_digest"]) == ("approval_wanted", plan.digest)
    assert "backout approve op_1" in told["text"]
    assert "The offer ends at 14:33:00 UTC; silence is not consent." in told["text"]
    assert stage.delivery.intended == []
    assert stage.engine.delayed[-1][1] == timedelta(minutes=30)


async def test_an_approved_plan_is_judged_again_and_carried_out(stage: Stage) -> None:
    await waiting(stage)
    stage.clock.pass_(minutes=3)
    assert await approve(stage, reason="looks right")
    row = await stage.drive()
    assert (row.outcome, data(row).verdicts) == (Outcome.RECOVERED, 2)
    (span,) = named(await stage.trace(), spans.APPROVAL)
    assert (attribute(span, spans.APPROVAL_ANSWER), attribute(span, spans.APPROVAL_BY)) == ("approved", "user:jane")
    assert span.end_time_unix_nano - span.start_time_unix_nano == 180 * 10**9
    assert len(named(await stage.trace(), spans.VERDICT)) == 2
    assert orphans(await stage.trace()) == []


async def test_an_approval_gives_time_to_act_until_the_offer_ends(stage: Stage) -> None:
    waits = await waiting(stage)
    stage.clock.pass_(minutes=10)
    await approve(stage)
    row = await stage.drive(until="act")
    assert row.act_before == waits.act_before


async def test_promise_12_an_approval_is_void_when_the_world_changed_meanwhile(stage: Stage) -> None:
    await waiting(stage)
    fixed = made.release("43", version="v2.5.1", revision="d00d" + "0" * 36, started_at=stage.clock.now())
    stage.app.images[fixed.key] = made.NEW_IMAGE
    stage.app.history.insert(0, fixed)
    stage.clock.pass_(minutes=1)
    await approve(stage)
    row = await stage.drive()
    assert (row.outcome, stage.delivery.intended) == (Outcome.REFUSED, [])
    assert row.says.startswith("the approval no longer holds: ")
    assert "approval_void" in await stage.kinds()


async def test_promise_12_an_approval_is_void_when_an_answer_became_worse(stage: Stage) -> None:
    await waiting(stage)
    stage.facts.tell(made.MANIFEST, keys.Manifest(digest=None))
    stage.clock.pass_(minutes=2)  # what was read before no longer holds
    await approve(stage)
    row = await stage.drive()
    assert (row.outcome, stage.delivery.intended) == (Outcome.REFUSED, [])
    assert "goal_images_exist is now block" in row.says


async def test_promise_12_an_approval_is_void_when_the_policy_changed(stage: Stage) -> None:
    await waiting(stage)
    stage.change(version="2")
    await approve(stage)
    assert (await stage.drive()).says == "the approval no longer holds: the target, the steps or the policy changed; nothing was done"


async def test_promise_12_an_approval_names_what_it_accepts(stage: Stage) -> None:
    stage.change(declares=replace(made.POLICY.declares, cache=None))
    await waiting(stage)
    assert f"--accept {WARNING}" in (await stage.messages())[0]["text"]
    await approve(stage)
    row = await stage.drive()
    assert (row.outcome, row.says) == (Outcome.REFUSED, f"the approval does not name {WARNING}")
    assert stage.delivery.intended == []


async def test_an_approval_that_names_the_unknown_is_carried_out(stage: Stage) -> None:
    stage.change(declares=replace(made.POLICY.declares, cache=None))
    await waiting(stage)
    await approve(stage, WARNING)
    assert (await stage.drive()).outcome is Outcome.RECOVERED


async def test_a_rejection_ends_it_with_nothing_done(stage: Stage) -> None:
    await waiting(stage)
    await approve(stage, approved=False, reason="not now")
    row = await stage.drive()
    assert (row.outcome, row.says) == (Outcome.REJECTED, "rejected by user:jane; nothing was done")
    assert stage.delivery.intended == []
    (span,) = named(await stage.trace(), spans.APPROVAL)
    assert attribute(span, spans.SAYS) == "rejected by user:jane: not now"


async def test_promise_4_silence_is_not_consent(stage: Stage) -> None:
    waits = await waiting(stage)
    row = await stage.drive(patient=True)
    assert (row.outcome, row.says) == (Outcome.EXPIRED, "nobody decided in time; nothing was done")
    assert waits.act_before is not None
    assert row.done_at is not None
    assert row.done_at >= waits.act_before
    assert stage.delivery.intended == []
    assert [one["event"] for one in await stage.messages()] == ["approval_wanted", "expired"]


async def test_a_wait_that_is_woken_early_goes_on_waiting(stage: Stage) -> None:
    waits = await waiting(stage)
    stage.clock.pass_(seconds=30)
    after = await stage.step()
    assert (after.phase, after.act_before) == ("awaiting_approval", waits.act_before)


async def test_promise_10_an_approval_given_while_everything_is_stopped_does_nothing(stage: Stage) -> None:
    await waiting(stage)
    await stage.switch.stop(by="user:joe", reason="freeze", at=stage.clock.now())
    await approve(stage)
    row = await stage.drive()
    assert (row.outcome, stage.delivery.intended) == (Outcome.REFUSED, [])
    assert row.says == "everything is stopped: stopped by user:joe: freeze"


# --- a person's own rollback ------------------------------------------------------------------------------------------------------------


async def by_person(stage: Stage, *names: str, digest: str = "") -> Operation:
    found = await stage.desk.check(TARGET)
    assert found.plan is not None
    confirmed = record.Confirmed(digest=digest or found.plan.digest, names=names)
    await stage.begin(mode=Mode.APPROVE, automatic=False, confirmed=confirmed)
    return await stage.drive()


async def test_a_person_who_confirms_the_shown_digest_needs_no_further_approval(stage: Stage) -> None:
    row = await by_person(stage)
    assert (row.outcome, stage.delivery.sent[-1]) == (Outcome.RECOVERED, BACK)
    assert named(await stage.trace(), spans.APPROVAL) == []


async def test_promise_12_another_digest_than_the_shown_one_is_refused(stage: Stage) -> None:
    row = await by_person(stage, digest="sha256:0")
    assert (row.outcome, row.says) == (Outcome.REFUSED, "the plan changed since it was shown: look at the new one and confirm that")
    assert stage.delivery.intended == []


async def test_promise_12_a_warning_that_the_confirmation_does_not_name_is_refused(stage: Stage) -> None:
    stage.change(declares=replace(made.POLICY.declares, cache=None))
    row = await by_person(stage)
    assert (row.outcome, row.says) == (Outcome.REFUSED, f"the confirmation does not name {WARNING}")


async def test_a_person_is_not_asked_what_only_automation_is_asked(stage: Stage) -> None:
    await by_person(stage)
    event = next(one for one in await stage.events() if one.kind == "verdict")
    assert {"alert_is_firing", "automation_has_room", "deploy_caused_the_alert"}.isdisjoint(one["rule"] for one in event.body["findings"])


# --- the stop switch ----------------------------------------------------------------------------------------------------------------------


async def test_promise_10_a_stop_before_anything_was_written_ends_it_with_nothing_changed(stage: Stage) -> None:
    await stage.switch.stop(by="user:joe", reason="freeze", at=stage.clock.now())
    row = await stage.recovered()
    assert (row.outcome, stage.delivery.intended) == (Outcome.REFUSED, [])


async def test_promise_10_the_switch_is_looked_at_between_verdict_and_first_intent(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act")
    await stage.switch.stop(by="user:joe", reason="freeze", at=stage.clock.now())
    row = await stage.drive()
    assert (row.outcome, stage.delivery.intended, await stage.hold()) == (Outcome.FAILED, [], None)
    assert row.says == "everything is stopped: stopped by user:joe: freeze; nothing was changed"


async def test_promise_10_the_switch_is_looked_at_right_before_the_write(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act_send")
    await stage.switch.stop(by="user:joe", reason="freeze", at=stage.clock.now())
    row = await stage.drive()
    assert (row.outcome, stage.delivery.sent, await stage.hold()) == (Outcome.FAILED, [], None)
    assert stage.app.auto_sync


async def test_promise_10_a_stop_in_the_middle_takes_back_what_was_written_which_the_switch_does_not_bar(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act_watch")
    await stage.switch.stop(by="user:joe", reason="freeze", at=stage.clock.now())
    row = await stage.drive()
    assert (row.outcome, stage.delivery.sent) == (Outcome.FAILED, [STOP, RESTORE])
    assert stage.app.auto_sync
    assert await stage.hold() is None
    assert row.says.endswith("what was changed was taken back")


async def test_a_stop_after_the_rollback_leaves_the_mark_out_and_measures(stage: Stage) -> None:
    stage.app.auto_sync = False

    def stop_after(step: str) -> None:
        if step == BACK:
            stage.stop_file.write_text("freeze", encoding="utf-8")

    stage.delivery.before_send = stop_after
    row = await stage.recovered()
    assert (row.outcome, stage.delivery.sent) == (Outcome.RECOVERED, [PROVE, BACK])
    assert "step_skipped" in await stage.kinds()


# --- never late -------------------------------------------------------------------------------------------------------------------------------


async def test_promise_4_a_deadline_that_passed_before_the_first_write_means_a_new_verdict(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act")
    stage.clock.pass_(seconds=61)
    again = await stage.step()
    assert (again.phase, stage.delivery.intended) == ("begin", [])
    row = await stage.drive()
    assert (row.outcome, data(row).verdicts) == (Outcome.RECOVERED, 2)
    assert "late" in await stage.kinds()


async def test_promise_4_it_is_judged_anew_three_times_at_most(stage: Stage) -> None:
    await stage.begin()
    for _ in range(MAX_VERDICTS):
        await stage.drive(until="act")
        stage.clock.pass_(seconds=61)
        await stage.step()
    row = await stage.drive()
    assert (row.outcome, data(row).verdicts, stage.delivery.intended) == (Outcome.FAILED, MAX_VERDICTS, [])
    assert row.says == "act_before passed; nothing more was written; nothing was changed"


async def test_promise_4_a_lost_request_that_is_certain_only_after_the_deadline_is_taken_back_and_said(stage: Stage) -> None:
    stage.delivery.fares[BACK] = ["dropped"]
    await stage.begin()
    while "answer_lost" not in await stage.kinds():
        await stage.step()
    stage.clock.pass_(seconds=61)
    row = await stage.drive()
    assert (row.outcome, stage.delivery.sent.count(BACK)) == (Outcome.FAILED, 0)
    lost = f"{BACK} never reached the target (nothing of ours is seen), and when that was certain act_before had passed; nothing more was written"
    assert row.says.startswith(lost)


async def test_promise_4_the_new_verdict_is_a_verdict_and_may_say_no(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act")
    stage.clock.pass_(seconds=61)
    a_person_acts(stage)
    row = await stage.drive()
    assert (row.outcome, stage.delivery.intended) == (Outcome.REFUSED, [])


async def test_promise_9_the_steps_of_a_plan_that_was_given_up_stay_in_the_trace(stage: Stage) -> None:
    """Without auto-sync the first step writes nothing: it is done in the first plan and again in the second, and both are told."""
    stage.app.auto_sync = False
    await stage.begin()
    await stage.drive(until="act_watch")
    await stage.step()
    stage.clock.pass_(seconds=61)
    row = await stage.drive()
    assert row.outcome is Outcome.RECOVERED
    assert len(named(await stage.trace(), spans.ACT + PROVE)) == 2


async def test_promise_4_a_deadline_that_passes_right_before_the_write_sends_nothing(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act_send")
    stage.clock.pass_(seconds=61)
    row = await stage.drive()
    assert (row.outcome, stage.delivery.sent, await stage.hold()) == (Outcome.FAILED, [], None)


async def test_promise_4_a_deadline_that_passes_after_the_first_write_takes_it_back(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act_watch")
    stage.clock.pass_(seconds=61)
    row = await stage.drive()
    assert (row.outcome, stage.delivery.sent, stage.app.auto_sync) == (Outcome.FAILED, [STOP, RESTORE], True)
    assert await stage.hold() is None


async def test_a_rollback_that_takes_longer_than_the_deadline_is_not_taken_back_for_the_sake_of_its_mark(stage: Stage) -> None:
    stage.app.auto_sync = False
    stage.delivery.fares[BACK] = ["running"]
    await stage.begin()
    await _until_sent(stage, BACK)
    stage.clock.pass_(seconds=90)
    stage.delivery.finish(BACK)
    row = await stage.drive()
    assert (row.outcome, stage.delivery.sent) == (Outcome.RECOVERED, [PROVE, BACK])
    skipped = next(one for one in await stage.events() if one.kind == "step_skipped")
    assert skipped.says == "left out: mark as held — act_before passed"


async def test_a_look_that_has_to_be_made_after_the_rollback_is_made_past_the_deadline_too(stage: Stage) -> None:
    """What is late is not written; a look writes nothing, and without it nobody would know that part of the bad release still serves."""
    stage.app.auto_sync = False
    stage.delivery.last = Step(name="see_it_gone", says="see that nothing of it serves", effect=False)
    stage.delivery.fares[BACK] = ["running"]
    await stage.begin()
    await _until_sent(stage, BACK)
    stage.clock.pass_(seconds=90)
    stage.delivery.finish(BACK)
    row = await stage.drive()
    assert (row.outcome, stage.delivery.sent) == (Outcome.RECOVERED, [PROVE, BACK, "see_it_gone"])


async def _until_sent(stage: Stage, step: str) -> None:
    for _ in range(60):
        if step in stage.delivery.sent:
            return
        await stage.step()
    raise AssertionError(f"{step} was never sent")


# --- at most once ---------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [STOP, PROVE, CLEAR, BACK])
async def test_promise_3_a_lost_answer_is_looked_for_and_not_sent_again(stage: Stage, step: str) -> None:
    stage.delivery.fares[step] = ["lost"]
    row = await stage.recovered()
    assert (row.outcome, stage.delivery.sent) == (Outcome.RECOVERED, [STOP, PROVE, CLEAR, BACK])
    assert "answer_lost" in await stage.kinds()


@pytest.mark.parametrize("phase", ["act_send", "act_watch"])
@pytest.mark.parametrize("step", [STOP, BACK])
async def test_promise_3_a_crash_between_the_act_and_its_record_does_not_act_twice(stage: Stage, step: str, phase: str) -> None:
    """The transition is worked out, and its commit never comes: the next process finds the same row."""
    await stage.begin()
    row = await stage.row()
    for _ in range(60):
        row = await stage.row()
        if row.phase == phase and data(row).plan is not None and data(row).tried[-1].intent["step"] == step:
            break
        await stage.step()
    for _ in range(3):
        await stage.story.advance(row)
    after = await stage.drive()
    assert (after.outcome, stage.delivery.sent) == (Outcome.RECOVERED, [STOP, PROVE, CLEAR, BACK])


async def test_promise_3_a_crash_at_every_single_step_ends_in_one_rollback(stage: Stage) -> None:
    await stage.begin()
    for _ in range(200):
        row = await stage.row()
        if row.done_at is not None:
            break
        await stage.story.advance(row)  # died before the commit
        await stage.step()
    assert ((await stage.row()).outcome, stage.delivery.sent) == (Outcome.RECOVERED, [STOP, PROVE, CLEAR, BACK])
    assert len(roots(await stage.trace())) == 1
    assert len(await stage.messages()) == 1


async def test_promise_3_a_request_that_never_arrived_is_sent_again_within_the_deadline(stage: Stage) -> None:
    stage.delivery.fares[BACK] = ["dropped"]
    row = await stage.recovered()
    assert (row.outcome, stage.delivery.sent.count(BACK), stage.delivery.intended.count(BACK)) == (Outcome.RECOVERED, 1, 2)
    attempts = [attribute(span, spans.ATTEMPT) for span in named(await stage.trace(), spans.ACT + BACK)]
    assert attempts == [1, 2]


async def test_promise_4_a_request_that_never_arrives_is_not_sent_after_the_deadline(stage: Stage) -> None:
    stage.delivery.fares[BACK] = ["dropped"] * 99
    stage.change(act_within=3 * SETTLED)
    row = await stage.recovered()
    assert (row.outcome, stage.delivery.sent) == (Outcome.FAILED, [STOP, PROVE, CLEAR, RESTORE])
    assert stage.delivery.intended.count(BACK) == 3
    assert (stage.app.auto_sync, await stage.hold()) == (True, None)


async def test_promise_3_the_store_bars_a_second_automatic_effect_on_the_same_suspect(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act_watch")
    await stage.operations.commit(await stage.row(), replace(BREAKS, phase="ended"), stage.clock.now())
    stage.change(rollbacks=5)
    stage.app.auto_sync, stage.app.marker = True, ""
    hold = await stage.hold()
    assert hold is not None
    await stage.holds.end(hold.id, by="user:jane", because="test", at=stage.clock.now())
    stage.delivery.sent.clear()
    await stage.begin(identity="op_2")
    row = await stage.drive(identity="op_2")
    assert (row.outcome, stage.delivery.sent, await stage.hold()) == (Outcome.REFUSED, [], None)
    assert row.says == "another automatic operation already acted on this release of the target; nothing was changed"


# --- never against a person -----------------------------------------------------------------------------------------------------------------------


async def test_promise_5_a_person_who_acts_between_two_steps_means_hands_off_and_what_we_wrote_is_undone(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act_watch")
    a_person_acts(stage)
    row = await stage.drive()
    assert (row.outcome, stage.delivery.sent, stage.app.auto_sync) == (Outcome.FAILED, [STOP, RESTORE], True)
    assert "jane is acting on it" in row.says


@pytest.mark.parametrize("fare", ["foreign", "failed", "refused", "permanent"])
@pytest.mark.parametrize("step", [PROVE, CLEAR])
async def test_promise_5_a_step_that_did_not_work_before_the_rollback_gives_auto_sync_back(stage: Stage, step: str, fare: str) -> None:
    stage.delivery.fares[step] = [fare]
    row = await stage.recovered()
    assert (row.outcome, stage.delivery.sent[-1], stage.app.auto_sync) == (Outcome.FAILED, RESTORE, True)
    assert await stage.hold() is None
    assert row.says.endswith("what was changed was taken back")
    assert len(roots(await stage.trace())) == 1


async def test_auto_sync_is_given_back_when_the_rollback_was_refused(stage: Stage) -> None:
    stage.delivery.fares[BACK] = ["refused"]
    row = await stage.recovered()
    assert (row.outcome, stage.delivery.sent, stage.app.auto_sync) == (Outcome.FAILED, [STOP, PROVE, CLEAR, RESTORE], True)
    assert (await stage.hold(), row.says) == (None, "roll_back: the server said no; what was changed was taken back")


async def test_promise_13_what_stays_of_a_step_when_the_rest_is_taken_back_is_said(stage: Stage) -> None:
    stage.delivery.stands = "Rollout web stays aborted"
    stage.delivery.fares[BACK] = ["refused"]
    row = await stage.recovered()
    assert row.says == "roll_back: the server said no; what was changed was taken back; Rollout web stays aborted"
    assert "Rollout web stays aborted" in (await stage.messages())[-1]["text"]


async def test_a_step_that_never_reached_the_target_leaves_nothing_standing(stage: Stage) -> None:
    stage.delivery.stands = "Rollout web stays aborted"
    stage.delivery.fares[CLEAR] = ["refused"]
    assert (await stage.recovered()).says == "clear_slot: the server said no; what was changed was taken back"


@pytest.mark.parametrize("fare", ["failed", "foreign", "permanent"])
async def test_auto_sync_stays_off_when_a_rollback_may_have_been_accepted(stage: Stage, fare: str) -> None:
    stage.delivery.fares[BACK] = [fare]
    row = await stage.recovered()
    assert (row.outcome, stage.app.auto_sync, RESTORE in stage.delivery.sent) == (Outcome.FAILED, False, False)
    assert await stage.hold() is not None
    assert row.says.endswith("a rollback may be under way or live: the hold stays, auto-sync stays off")
    assert (await stage.messages())[-1]["event"] == "failed"


async def test_what_cannot_be_taken_back_is_told_and_the_hold_stays(stage: Stage) -> None:
    stage.delivery.fares[CLEAR] = ["refused"]
    stage.delivery.refuses[RESTORE] = [RefusedError("auto-sync is not as Backout left it: somebody decided otherwise")]
    row = await stage.recovered()
    assert (row.outcome, stage.app.auto_sync, await stage.hold() is not None) == (Outcome.FAILED, False, True)
    assert "could not be taken back: auto-sync is not as Backout left it" in row.says
    assert "not_taken_back" in await stage.kinds()


@pytest.mark.parametrize(("fare", "back"), [("lost", True), ("refused", False), ("failed", False), ("dropped", False), ("foreign", False)])
async def test_taking_back_is_tried_once_and_its_fate_is_told(stage: Stage, fare: str, back: bool) -> None:
    stage.delivery.fares |= {CLEAR: ["refused"], RESTORE: [fare]}
    row = await stage.recovered()
    assert (row.outcome, stage.app.auto_sync) == (Outcome.FAILED, back)
    assert (await stage.hold() is None) == back
    assert stage.delivery.intended.count(RESTORE) == 1
    assert orphans(await stage.trace()) == []


async def test_taking_back_waits_for_an_outside_that_does_not_answer(stage: Stage) -> None:
    stage.delivery.fares[CLEAR] = ["refused"]
    stage.delivery.refuses[RESTORE] = [TemporaryError("503")] * 3
    row = await stage.recovered()
    assert (row.outcome, stage.app.auto_sync) == (Outcome.FAILED, True)


async def test_promise_5_an_application_replaced_by_another_of_its_name_is_not_touched(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act")
    stage.app.uid = "uid-2"
    row = await stage.drive()
    assert (row.outcome, stage.delivery.sent) == (Outcome.FAILED, [])


async def test_an_intent_that_finds_no_answer_is_tried_again_until_the_deadline(stage: Stage) -> None:
    stage.delivery.refuses[STOP] = [TemporaryError("503")] * 5
    row = await stage.recovered()
    assert (row.outcome, stage.delivery.sent) == (Outcome.RECOVERED, [STOP, PROVE, CLEAR, BACK])


@pytest.mark.parametrize("error", [RefusedError("a sync window is closed"), PermanentError("401")])
async def test_an_intent_that_is_refused_before_anything_was_written_ends_with_nothing_changed(stage: Stage, error: Exception) -> None:
    stage.delivery.refuses[STOP] = [error]
    row = await stage.recovered()
    assert (row.outcome, row.says) == (Outcome.FAILED, f"stop_auto_sync: {error}; nothing was changed")
    assert await stage.hold() is None


# --- what a person is told of an end that came early --------------------------------------------------------------------------------------------------


LOOK = "What is live, and what stands in the way now: backout check prod:checkout"
NOT_BACK = ("Release 42 (v2.5.0 · c0ffee0) was not taken back.", LOOK, "To go back: backout rollback prod:checkout")


async def lines_of_the_end(stage: Stage) -> tuple[str, ...]:
    """The lines after the title and the sentence."""
    _title, says, *lines = (await stage.messages())[-1]["text"].splitlines()
    assert says == f"{(await stage.row()).says}."
    return tuple(lines)


async def test_promise_13_nothing_changed_says_that_the_release_was_not_taken_back_and_what_to_type(stage: Stage) -> None:
    stage.delivery.refuses[STOP] = [RefusedError("a sync window is closed")]
    await stage.recovered()
    assert await lines_of_the_end(stage) == NOT_BACK


async def test_promise_13_so_does_what_was_taken_back(stage: Stage) -> None:
    stage.delivery.fares[BACK] = ["refused"]
    await stage.recovered()
    assert await lines_of_the_end(stage) == NOT_BACK


async def test_promise_13_a_rollback_that_may_be_live_needs_a_person_and_names_its_hold(stage: Stage) -> None:
    stage.delivery.fares[BACK] = ["failed"]
    await stage.recovered()
    hold = await stage.hold()
    assert hold is not None
    needed = "A person is needed: whether the rollback helped was not measured."
    assert await lines_of_the_end(stage) == (needed, LOOK, f"What is held away: backout holds show {hold.id}")


async def test_promise_13_what_could_not_be_taken_back_needs_a_person_and_names_its_hold(stage: Stage) -> None:
    stage.delivery.fares[CLEAR] = ["refused"]
    stage.delivery.refuses[RESTORE] = [RefusedError("auto-sync is not as Backout left it")]
    await stage.recovered()
    hold = await stage.hold()
    assert hold is not None
    assert await lines_of_the_end(stage) == ("A person is needed: what Backout changed still stands.", LOOK, f"Its hold: backout holds show {hold.id}")


# --- a step that may fail, and that the verdict rests on -----------------------------------------------------------------------------------------


STAYS = "rollback_will_stay"
RESTS = f"{STAYS} passed only because of this step, so Backout goes no further by itself"


def with_a_door(stage: Stage) -> None:
    stage.app.auto_sync, stage.delivery.shuts = False, STAYS


async def test_promise_1_a_pass_that_rests_on_a_step_which_is_refused_lets_nothing_happen_by_itself(stage: Stage) -> None:
    with_a_door(stage)
    stage.delivery.refuses[SHUT] = [RefusedError("none of the triggers is on any more")]
    row = await stage.recovered()
    assert (row.outcome, stage.delivery.sent, await stage.hold()) == (Outcome.FAILED, [], None)
    assert row.says == f"shut_triggers: none of the triggers is on any more; {RESTS}; nothing was changed"
    assert "step_skipped" not in await stage.kinds()


@pytest.mark.parametrize(("fare", "sent"), [("refused", []), ("permanent", [OPEN]), ("failed", [SHUT, OPEN]), ("foreign", [SHUT, OPEN])])
async def test_promise_1_one_that_fails_ends_it_too_and_what_may_be_off_is_switched_on_again(stage: Stage, fare: str, sent: list[str]) -> None:
    with_a_door(stage)
    stage.delivery.fares[SHUT] = [fare]
    row = await stage.recovered()
    assert (row.outcome, stage.delivery.sent, await stage.hold()) == (Outcome.FAILED, sent, None)
    assert RESTS in row.says


async def test_once_it_is_done_the_rollback_goes_on(stage: Stage) -> None:
    with_a_door(stage)
    assert ((await stage.recovered()).outcome, stage.delivery.sent) == (Outcome.RECOVERED, [SHUT, PROVE, BACK])


async def test_while_everything_is_stopped_it_is_not_left_out(stage: Stage) -> None:
    with_a_door(stage)
    await stage.begin()
    await stage.drive(until="act")
    await stage.switch.stop(by="user:joe", reason="freeze", at=stage.clock.now())
    row = await stage.drive()
    assert (row.outcome, stage.delivery.intended, row.says) == (Outcome.FAILED, [], "everything is stopped: stopped by user:joe: freeze; nothing was changed")
    assert "step_skipped" not in await stage.kinds()


async def test_a_person_who_asked_goes_on_without_it_and_is_told_what_was_left_out(stage: Stage) -> None:
    with_a_door(stage)
    stage.delivery.fares[SHUT] = ["refused"]
    row = await by_person(stage)
    assert (row.outcome, stage.delivery.sent) == (Outcome.RECOVERED, [PROVE, BACK])
    assert "Left out: switch off the trigger: the server said no." in (await stage.messages())[-1]["text"]


async def test_so_does_a_person_who_approved(stage: Stage) -> None:
    with_a_door(stage)
    stage.delivery.fares[SHUT] = ["refused"]
    await waiting(stage)
    await approve(stage)
    row = await stage.drive()
    assert (row.outcome, stage.delivery.sent, data(row).approved_by) == (Outcome.RECOVERED, [PROVE, BACK], "user:jane")


async def test_an_approval_ends_with_the_plan_that_was_approved(stage: Stage) -> None:
    with_a_door(stage)
    await waiting(stage)
    await approve(stage)
    await stage.drive(until="act")
    stage.clock.pass_(hours=1)
    again = await stage.drive(until="awaiting_approval")
    assert (again.phase, data(again).approved_by, data(again).omitted) == ("awaiting_approval", "", ())


async def test_where_the_policy_accepts_that_it_may_come_back_the_step_is_left_out(stage: Stage) -> None:
    with_a_door(stage)
    stage.app.owner = Owner(kind="pipeline", name="nightly", later=True)
    stage.change(lets_pass=(STAYS,))
    stage.delivery.fares[SHUT] = ["refused"]
    row = await stage.recovered()
    assert (row.outcome, stage.delivery.sent) == (Outcome.RECOVERED, [PROVE, BACK])


# --- cancel ------------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["begin", "act"])
async def test_a_cancel_before_anything_was_written_ends_it(stage: Stage, phase: str) -> None:
    await stage.begin()
    await stage.drive(until=phase)
    await cancel(stage)
    row = await stage.drive()
    assert (row.outcome, row.says) == (Outcome.CANCELLED, "cancelled by user:jane: wrong one; nothing was changed")
    assert stage.delivery.intended == []


async def test_a_cancel_while_a_person_is_waited_for_ends_it_at_once(stage: Stage) -> None:
    await waiting(stage)
    await cancel(stage)
    row = await stage.step()
    assert row.outcome is Outcome.CANCELLED


async def test_a_cancel_after_the_first_write_takes_it_back(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act_watch")
    await cancel(stage)
    row = await stage.drive()
    assert (row.outcome, stage.delivery.sent, stage.app.auto_sync) == (Outcome.CANCELLED, [STOP, RESTORE], True)
    assert (await stage.hold(), row.says) == (None, "cancelled by user:jane: wrong one; what was changed was taken back")


async def test_promise_3_a_cancel_between_intent_and_write_sends_nothing_and_makes_sure_that_nothing_was_sent(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act_send")
    await cancel(stage)
    row = await stage.drive()
    assert (row.outcome, stage.delivery.sent, await stage.hold()) == (Outcome.CANCELLED, [], None)
    assert row.done_at is not None
    assert row.first_effect_at is not None
    assert row.done_at - row.first_effect_at >= SETTLED  # until then it could still arrive


async def test_a_cancel_while_the_rollback_runs_waits_for_its_end_and_keeps_it(stage: Stage) -> None:
    stage.delivery.fares[BACK] = ["running"]
    await stage.begin()
    await _until_sent(stage, BACK)
    await cancel(stage)
    for _ in range(3):
        assert (await stage.step()).phase == "act_watch"
    stage.delivery.finish(BACK)
    row = await stage.drive()
    assert (row.outcome, stage.app.live.key, stage.app.auto_sync) == (Outcome.CANCELLED, made.GOAL.key, False)
    assert await stage.hold() is not None
    assert "the rollback stays in place" in row.says


async def test_a_cancel_after_the_rollback_does_not_take_it_back_for_the_sake_of_its_mark(stage: Stage) -> None:
    stage.app.auto_sync = False
    await stage.begin()
    for _ in range(60):
        row = await stage.step()
        if row.phase == "act" and data(row).cursor == 2:
            break
    await cancel(stage)
    row = await stage.drive()
    assert (row.outcome, stage.app.live.key, await stage.hold() is not None) == (Outcome.CANCELLED, made.GOAL.key, True)


async def test_a_cancel_while_taking_back_changes_nothing_of_it(stage: Stage) -> None:
    stage.delivery.fares[CLEAR] = ["refused"]
    await stage.begin()
    await stage.drive(until="take_back")
    await cancel(stage)
    row = await stage.drive()
    assert (row.outcome, stage.app.auto_sync) == (Outcome.FAILED, True)


# --- stuck --------------------------------------------------------------------------------------------------------------------------------------------


async def test_a_stuck_rollback_keeps_the_target_and_tells_a_person_once(stage: Stage) -> None:
    stage.delivery.fares[BACK] = ["stuck"]
    await stage.begin()
    row = await stage.drive(until="stuck")
    for _ in range(5):
        row = await _wait_once(stage)
    assert (row.phase, row.done_at) == ("stuck", None)
    assert [one["event"] for one in await stage.messages()] == ["stuck"]
    assert (await stage.kinds()).count("stuck") == 1
    with pytest.raises(ConflictError, match="op_1"):
        await stage.begin(identity="op_2")


async def _wait_once(stage: Stage) -> Operation:
    stage.clock.pass_(seconds=16)
    return await stage.step()


async def test_a_stuck_rollback_that_comes_loose_goes_on_to_be_measured(stage: Stage) -> None:
    stage.delivery.fares[BACK] = ["stuck"]
    await stage.begin()
    await stage.drive(until="stuck")
    stage.delivery.finish(BACK)
    assert (await stage.drive()).outcome is Outcome.RECOVERED


async def test_promise_4_what_would_fire_later_is_told_and_withdrawn_whatever_the_deadline_and_the_stop_switch_say(stage: Stage) -> None:
    stage.delivery.fares[BACK] = ["stuck"]
    stage.delivery.withdrawable = True
    await stage.begin()
    row = await stage.drive(until="stuck")
    (told,) = await stage.messages()
    assert (told["event"], "roll_back is stuck; it is withdrawn" in told["text"], row.says) == ("stuck", True, "stuck: roll_back is stuck; it is withdrawn")
    stage.clock.at += timedelta(hours=1)
    await stage.switch.stop(by="user:joe", reason="freeze", at=stage.clock.now())
    row = await stage.step()
    assert (row.phase, row.done_at, stage.delivery.sent[-2:]) == ("stuck", None, [BACK, f"withdraw {BACK}"])
    assert (await stage.kinds())[-2:] == ["stuck", "withdrawn"]
    stage.delivery.fail(BACK)
    row = await stage.drive()
    assert (row.outcome, stage.app.live.key, stage.app.auto_sync, stage.delivery.sent.count(f"withdraw {BACK}")) == (Outcome.FAILED, made.SUSPECT.key, False, 1)
    assert await stage.hold() is not None


@pytest.mark.parametrize("fare", ["running", "stuck"])
async def test_promise_4_what_has_asked_for_nothing_when_act_before_passes_is_withdrawn(stage: Stage, fare: str) -> None:
    stage.delivery.fares[BACK] = [fare]
    stage.delivery.nothing_yet = True
    await stage.begin()
    await _until_sent(stage, BACK)
    row = await stage.step()
    assert stage.delivery.sent[-1] == BACK, "in time nothing is withdrawn"
    assert row.act_before is not None
    stage.clock.at = row.act_before
    await stage.step()
    row = await stage.step()
    assert (row.phase, row.done_at, stage.delivery.sent[-1]) == ("stuck", None, f"withdraw {BACK}")
    assert [one["event"] for one in await stage.messages()] == ["stuck"]
    stage.delivery.fail(BACK)
    row = await stage.drive()
    assert (row.outcome, stage.app.live.key) == (Outcome.FAILED, made.SUSPECT.key)


@pytest.mark.parametrize("fare", ["running", "stuck"])
async def test_promise_7_a_rollback_that_somebody_took_away_before_it_ran_is_not_sent_again(stage: Stage, fare: str) -> None:
    stage.delivery.fares[BACK] = [fare]
    await stage.begin()
    await _until_sent(stage, BACK)
    await stage.step()
    stage.delivery.fates = {mark: fate for mark, fate in stage.delivery.fates.items() if fate is Seen.DONE}
    row = await stage.drive()
    assert (row.outcome, stage.delivery.sent.count(BACK), stage.app.auto_sync, await stage.hold()) == (Outcome.FAILED, 1, True, None)
    assert row.says.startswith(f"{BACK} was accepted, and somebody took it away before it ran: nothing of ours is seen; it is not sent again")
    assert "taken_away" in await stage.kinds()


async def test_promise_4_a_withdrawal_that_fails_is_tried_again(stage: Stage) -> None:
    stage.delivery.fares[BACK] = ["stuck"]
    stage.delivery.withdrawable = True
    stage.delivery.trouble["withdraw"] = TemporaryError("503")
    await stage.begin()
    await stage.drive(until="stuck")
    row = await stage.step()
    assert (row.phase, row.says) == ("stuck", "stuck: roll_back is stuck; it could not be withdrawn: 503; trying again")
    del stage.delivery.trouble["withdraw"]
    stage.clock.pass_(seconds=6)
    await stage.step()
    assert stage.delivery.sent[-1] == f"withdraw {BACK}"
    assert [one["event"] for one in await stage.messages()] == ["stuck"]


async def test_a_rollback_that_runs_for_ever_or_cannot_be_seen_is_stuck_in_the_end(stage: Stage) -> None:
    stage.delivery.fares[BACK] = ["running"]
    await stage.begin()
    await _until_sent(stage, BACK)
    stage.clock.at += STUCK_AFTER + timedelta(seconds=1)
    stage.delivery.trouble["observe"] = TemporaryError("503")
    row = await stage.step()
    assert (row.phase, row.says) == ("stuck", "stuck: roll_back: 503; looking again")
    del stage.delivery.trouble["observe"]
    stage.delivery.finish(BACK)
    assert (await stage.drive()).outcome is Outcome.RECOVERED


# --- recovered means measured -----------------------------------------------------------------------------------------------------------------------------


async def verifying(stage: Stage) -> Operation:
    await stage.begin()
    row = await stage.drive(until="verify")
    assert row.phase == "verify"
    return row


async def test_promise_8_it_is_not_recovered_before_it_was_good_for_the_whole_bake_time(stage: Stage) -> None:
    stage.change(recovered_when=replace(QUICK, bake=timedelta(seconds=6)))
    start = (await verifying(stage)).updated_at
    row = await stage.drive()
    assert row.done_at is not None
    assert (row.outcome, row.done_at - start) == (Outcome.RECOVERED, timedelta(seconds=6))


async def test_promise_8_samples_that_do_not_move_prove_nothing(stage: Stage) -> None:
    await verifying(stage)
    old = stage.clock.now()
    stage.facts.tell(keys.series(SLI), keys.Series(values={(): 0.001}, at=old))
    row = await stage.drive()
    assert (row.outcome, data(row).progress is not None) == (Outcome.INCONCLUSIVE, True)


async def test_promise_8_a_bad_look_starts_the_count_again(stage: Stage) -> None:
    stage.change(recovered_when=replace(QUICK, bake=timedelta(seconds=6)))
    start = (await verifying(stage)).updated_at
    for _ in range(4):
        await stage.step()
    stage.app.pods_ready = False
    await stage.step()
    stage.app.pods_ready = True
    again = stage.clock.now()
    row = await stage.drive()
    assert row.outcome is Outcome.RECOVERED
    assert row.done_at is not None
    assert row.done_at - again >= timedelta(seconds=6)
    assert row.done_at - start >= timedelta(seconds=11)


async def test_promise_8_an_sli_that_stays_bad_is_not_recovered_and_stays_back(stage: Stage) -> None:
    await verifying(stage)
    stage.tell_series(SLI, 0.4)
    row = await stage.drive(limit=2000)
    assert (row.outcome, stage.app.live.key, stage.app.auto_sync) == (Outcome.NOT_RECOVERED, made.GOAL.key, False)
    assert await stage.hold() is not None
    told = (await stage.messages())[-1]
    assert told["event"] == "not_recovered"
    assert "The rollback stays in place. A person is needed now. Look for another cause: going back did not help." in told["text"]


async def test_promise_8_an_alert_that_still_fires_by_our_own_query_is_not_recovered(stage: Stage) -> None:
    stage.facts.tell(keys.alert_now("HighErrorRate", stage.labels), keys.AlertNow(state="firing", active_at=made.ONSET))
    row = await stage.recovered()
    assert row.outcome is Outcome.NOT_RECOVERED


@pytest.mark.parametrize("what", ["sli", "no series", "not a number", "alert", "pods"])
async def test_promise_8_what_cannot_be_measured_is_inconclusive(stage: Stage, what: str) -> None:
    await verifying(stage)
    match what:
        case "sli":
            stage.facts.tell(keys.series(SLI), Absent("Prometheus is away"))
        case "no series":
            stage.facts.tell(keys.series(SLI), lambda: keys.Series(values={}, at=stage.clock.now()))
        case "not a number":
            stage.tell_series(SLI, math.nan)
        case "alert":
            stage.facts.tell(keys.alert_now("HighErrorRate", stage.labels), Absent("Prometheus is away"))
        case _:
            stage.delivery.trouble["read"] = TemporaryError("503")
    row = await stage.drive(limit=2000)
    assert (row.outcome, await stage.hold() is not None) == (Outcome.INCONCLUSIVE, True)


async def test_promise_8_pods_of_another_image_than_the_goals_are_not_recovered(stage: Stage) -> None:
    await verifying(stage)
    stage.app.images[made.GOAL.key] = made.NEW_IMAGE  # desired is 41, what runs is still 42's image
    assert (await stage.drive(limit=2000)).outcome is Outcome.NOT_RECOVERED


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"step": 1, "steps": 2, "waiting": True}, "Rollout checkout waits at step 1 of 2"),
        ({"aborted": True}, "Rollout checkout was aborted"),
    ],
)
async def test_promise_8_a_rollout_that_has_not_ended_is_not_recovered_whatever_its_pods_run(stage: Stage, changes: dict[str, Any], says: str) -> None:
    stage.app.objects = (made.step_wise(),)
    stage.app.rollouts, stage.app.rollouts_back = (made.rollout(),), (made.rollout_back(skips="stable"),)
    await verifying(stage)
    stage.app.rollouts = (made.rollout(stable="bad", current="good", **changes),)
    row = await stage.drive(limit=2000)
    assert (row.outcome, says in row.says) == (Outcome.NOT_RECOVERED, True)


async def test_promise_8_a_rollout_that_cannot_be_read_is_inconclusive(stage: Stage) -> None:
    stage.app.objects = (made.step_wise(),)
    stage.app.rollouts, stage.app.rollouts_back = (made.rollout(),), (made.rollout_back(skips="stable"),)
    await verifying(stage)
    silent = FakeDelivery.read

    async def read(self: FakeDelivery, key: Any) -> Any:
        return Absent("its controller is away") if key.kind == "rollouts" else await silent(self, key)

    stage.delivery.read = MethodType(read, stage.delivery)  # type: ignore[method-assign]
    row = await stage.drive(limit=2000)
    assert (row.outcome, "its controller is away" in row.says) == (Outcome.INCONCLUSIVE, True)


async def test_a_promoted_rollout_recovers_like_any_other_workload(stage: Stage) -> None:
    stage.app.objects = (made.step_wise(),)
    stage.app.rollouts, stage.app.rollouts_back = (made.rollout(),), (made.rollout_back(skips="stable"),)
    assert (await stage.recovered()).outcome is Outcome.RECOVERED


async def test_promise_8_no_sli_at_all_is_inconclusive(stage: Stage) -> None:
    stage.change(recovered_when=replace(QUICK, promql="", below=None))
    assert (await stage.recovered()).outcome is Outcome.INCONCLUSIVE


async def test_promise_8_the_alerts_own_rule_is_the_second_rung(stage: Stage) -> None:
    stage.change(recovered_when=replace(QUICK, promql="", below=None))
    rule = keys.AlertRule(name="HighErrorRate", query="e", hold=made.FOR, keep_firing=timedelta(0), expression="ratio", comparison=">", threshold=0.05)
    stage.facts.tell(keys.alert_rule("HighErrorRate", stage.labels), rule)
    stage.facts.tell(keys.series("ratio", stage.labels), lambda: keys.Series(values={(): 0.02}, at=stage.clock.now()))
    row = await stage.recovered()
    assert (row.outcome, "bad is > 0.05, rule" in row.says) == (Outcome.RECOVERED, True)


async def test_promise_8_traffic_must_be_a_fifth_of_before(stage: Stage) -> None:
    stage.change(recovered_when=replace(QUICK, traffic=TRAFFIC))
    stage.tell_series(TRAFFIC, lambda: 100.0 if stage.bad() else 19.0)
    row = await stage.recovered()
    assert row.outcome is Outcome.INCONCLUSIVE
    assert "less than a fifth of 100 before" in row.says


async def test_promise_8_traffic_that_was_not_a_number_before_is_nothing_to_compare_with(stage: Stage) -> None:
    stage.change(recovered_when=replace(QUICK, traffic=TRAFFIC))
    stage.tell_series(TRAFFIC, lambda: math.nan if stage.bad() else 0.001)
    row = await stage.recovered()
    assert (row.outcome, "traffic before the act was not known" in row.says) == (Outcome.INCONCLUSIVE, True)


async def test_enough_traffic_with_good_numbers_is_recovered(stage: Stage) -> None:
    stage.change(recovered_when=replace(QUICK, traffic=TRAFFIC))
    stage.tell_series(TRAFFIC, lambda: 100.0 if stage.bad() else 21.0)
    assert (await stage.recovered()).outcome is Outcome.RECOVERED


async def test_the_end_of_a_verification_waits_for_what_keeps_the_alert_firing(stage: Stage) -> None:
    rule = keys.AlertRule(name="HighErrorRate", query="e", hold=made.FOR, keep_firing=timedelta(minutes=40))
    stage.facts.tell(keys.alert_rule("HighErrorRate", stage.labels), rule)
    row = await verifying(stage)
    progress = data(row).progress
    assert progress is not None
    assert progress.give_up_at - progress.started_at >= timedelta(minutes=40)


async def test_the_end_of_a_verification_waits_for_the_range_of_the_sli(stage: Stage) -> None:
    long = "sum(rate(errors[1h])) / sum(rate(requests[1h]))"
    stage.change(recovered_when=replace(QUICK, promql=long))
    stage.tell_series(long, lambda: 0.31 if stage.bad() else 0.001)
    progress = data(await verifying(stage)).progress
    assert progress is not None
    assert progress.give_up_at - progress.started_at >= timedelta(hours=1)


@pytest.mark.parametrize("how", ["auto-sync on", "deployed over"])
async def test_promise_7_one_observed_revert_of_our_change_means_stop_and_not_retry(stage: Stage, how: str) -> None:
    await verifying(stage)
    sent = list(stage.delivery.sent)
    if how == "auto-sync on":
        stage.app.auto_sync = True
    else:
        again = replace(made.SUSPECT, handle="44", started_at=stage.clock.now())
        stage.app.history.insert(0, again)
    row = await stage.drive()
    assert (row.outcome, stage.delivery.sent) == (Outcome.NOT_RECOVERED, sent)
    assert "Backout does not fight" in row.says
    assert await stage.hold() is not None


async def test_checks_and_the_hold_stand_in_the_trace(stage: Stage) -> None:
    await stage.recovered()
    trace = await stage.trace()
    checks = {attribute(span, spans.CHECK): attribute(span, spans.LOOK) for span in trace if attribute(span, spans.CHECK)}
    assert checks == {"live": "good", "sli": "good", "alert": "good"}
    (hold,) = named(trace, spans.HOLD)
    assert attribute(hold, spans.HOLD_HELD) == made.SUSPECT.key


# --- odds and ends -------------------------------------------------------------------------------------------------------------------------------------


async def test_a_record_of_a_newer_version_is_not_guessed_at(stage: Stage) -> None:
    row = await stage.begin()
    with pytest.raises(PermanentError, match="newer version"):
        await stage.story.advance(replace(row, data={**row.data, "schema": 99}))


def test_the_story_knows_its_phases(stage: Stage) -> None:
    assert {"begin", "awaiting_approval", "decided", "act", "act_send", "act_watch", "stuck", "verify", "take_back"} <= stage.story.phases
    assert "ended" not in stage.story.phases


async def test_nothing_is_remembered_between_two_steps_but_the_row(stage: Stage) -> None:
    """Each step by a story that has just been made, as after a restart."""
    await stage.begin()
    for _ in range(100):
        if (await stage.row()).done_at is not None:
            break
        stage.use(stage.policies.of(TARGET))
        await stage.step()
    assert (await stage.row()).outcome is Outcome.RECOVERED


async def test_without_links_configured_a_message_has_none(stage: Stage) -> None:
    stage.told = Told(channels=("notify:on-call",))
    stage.use(stage.policies.of(TARGET))
    await stage.recovered()
    assert (await stage.messages())[0]["links"] == {}


async def test_promise_10_a_second_automatic_rollback_in_the_window_is_disarmed(stage: Stage) -> None:
    await stage.recovered()
    stage.clock.pass_(minutes=20)
    next_one = made.release("44", version="v2.5.1", revision="d00d" + "0" * 36, started_at=made.STARTED)
    stage.app.history.insert(0, next_one)
    stage.app.images[next_one.key] = made.NEW_IMAGE
    await stage.begin(identity="op_2")
    row = await stage.drive(identity="op_2")
    assert row.outcome is Outcome.REFUSED
    event = next(one for one in await stage.events("op_2") if one.kind == "verdict")
    says = {one["rule"]: one["says"] for one in event.body["findings"]}
    assert "disarmed" in says["automation_has_room"]


async def test_promise_13_an_operation_that_backout_cannot_go_on_with_ends_with_its_trace_and_its_message(stage: Stage) -> None:
    row = await stage.begin()
    end = await stage.story.failed(row, "Backout stumbled 5 times in phase begin (KeyError); a person is needed")
    assert await stage.operations.commit(row, end, stage.clock.now())
    ended = await stage.row()
    assert (ended.outcome, ended.says) == (Outcome.FAILED, "Backout stumbled 5 times in phase begin (KeyError); a person is needed; nothing was changed")
    assert len(roots(await stage.trace())) == 1
    assert [one["event"] for one in await stage.messages()] == ["failed"]


# --- a deploy that failed after the newest entry of the history ------------------------------------------------------------------------


class HalfDeployed(FakeDelivery):
    """A deploy that is in no history failed after the newest entry: part of it may be live."""

    async def look(self, target: TargetId) -> keys.TargetState:
        return replace(await super().look(target), failed_newer="a deploy of d00d by jane ended Failed at 14:02")


def played_by(stage: Stage, kind: type[FakeDelivery]) -> FakeDelivery:
    """The stage with another kind of delivery system."""
    stage.delivery = stage.deliveries["prod"] = kind(stage.clock, TARGET, stage.app)
    return stage.delivery


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.APPROVE, Mode.SUGGEST])
async def test_promise_1_after_a_deploy_that_failed_nothing_is_done_or_offered_and_a_person_is_told_why(stage: Stage, mode: Mode) -> None:
    delivery = played_by(stage, HalfDeployed)
    await stage.begin(mode=mode)
    row = await stage.drive()
    assert (row.outcome, delivery.intended, await stage.hold()) == (Outcome.REFUSED, [], None)
    (told,) = await stage.messages()
    assert "deploy of d00d by jane ended Failed at 14:02; part of it may be live" in told["text"]


# --- every alert of the target ---------------------------------------------------------------------------------------------------------


async def fires(
    stage: Stage,
    name: str,
    state: str | Absent | Callable[[], str],
    *,
    target: TargetId = TARGET,
    ended: bool = False,
    began: datetime = made.BEGAN,
    **labels: str,
) -> None:
    """A sender says that this alert fires on the target; our own query answers `state`."""
    at = stage.clock.now()
    told = replace(notice(f"{name}{labels}", starts_at=began, ends_at=at if ended else None), labels={"alertname": name, "namespace": "shop", **labels})
    (episode,) = await stage.alerts.undecided(await stage.alerts.accept(delivery_of(replace(told, firing=True, ends_at=None), at=at)))
    await stage.alerts.place((Placement(episode=episode, disposition="placed", says="", target=target, rung="label"),), at)
    if ended:
        await stage.alerts.accept(delivery_of(told, at=at))
    key = keys.alert_now(name, tuple(sorted({"namespace": "shop", **labels}.items())))

    def answer() -> keys.AlertNow:
        return keys.AlertNow(state=state() if callable(state) else str(state))

    stage.facts.tell(key, state if isinstance(state, Absent) else answer)


async def test_promise_8_recovered_means_that_every_alert_of_the_target_is_quiet(stage: Stage) -> None:
    quiet_at = stage.clock.now() + timedelta(seconds=8)
    await fires(stage, "SlowCheckout", lambda: "firing" if stage.clock.now() < quiet_at else "inactive")
    row = await stage.recovered()
    assert row.outcome is Outcome.RECOVERED
    assert row.done_at is not None
    assert row.done_at - quiet_at >= QUICK.bake
    assert "none of 2 alerts fires any more" in row.says


@pytest.mark.parametrize("state", ["firing", "pending"])
async def test_promise_8_a_joined_alert_that_still_fires_is_not_recovered_at_the_give_up_time(stage: Stage, state: str) -> None:
    await fires(stage, "SlowCheckout", state)
    row = await verifying(stage)
    progress = data(row).progress
    assert progress is not None
    row = await stage.drive(limit=2000)
    assert (row.outcome, stage.app.live.key) == (Outcome.NOT_RECOVERED, made.GOAL.key)
    assert row.done_at is not None
    assert row.done_at >= progress.give_up_at
    assert f"SlowCheckout: the alert is still {state}" in row.says
    assert (await stage.messages())[-1]["event"] == "not_recovered"


async def test_promise_8_an_alert_that_joins_while_it_is_measured_counts(stage: Stage) -> None:
    await verifying(stage)
    await fires(stage, "SlowCheckout", "firing")
    assert (await stage.drive(limit=2000)).outcome is Outcome.NOT_RECOVERED


async def test_promise_8_two_alerts_of_one_name_are_two_questions(stage: Stage) -> None:
    await fires(stage, "SlowCheckout", "inactive", zone="a")
    await fires(stage, "SlowCheckout", "firing", zone="b", began=made.BEGAN + timedelta(seconds=1))
    await verifying(stage)
    assert (await stage.drive(limit=2000)).outcome is Outcome.NOT_RECOVERED


async def test_promise_8_a_joined_alert_that_cannot_be_asked_is_inconclusive(stage: Stage) -> None:
    await fires(stage, "SlowCheckout", Absent("Prometheus is away"))
    await verifying(stage)
    row = await stage.drive(limit=2000)
    assert (row.outcome, await stage.hold() is not None) == (Outcome.INCONCLUSIVE, True)
    assert "SlowCheckout: whether the alert fires is unknown: Prometheus is away" in row.says


@pytest.mark.parametrize("how", ["of another target", "over by its sender's word"])
async def test_an_alert_that_does_not_fire_on_the_target_is_not_asked(stage: Stage, how: str) -> None:
    await fires(stage, "SlowCheckout", "firing", target=OTHER if how == "of another target" else TARGET, ended=how != "of another target")
    assert (await stage.recovered()).outcome is Outcome.RECOVERED


@pytest.mark.parametrize(("state", "outcome"), [("firing", Outcome.NOT_RECOVERED), ("inactive", Outcome.RECOVERED)])
async def test_promise_8_a_persons_rollback_asks_the_alerts_of_the_open_incident_too(stage: Stage, state: str, outcome: Outcome) -> None:
    await fires(stage, "SlowCheckout", state)
    row = await by_person(stage)
    assert (row.automatic, row.outcome) == (False, outcome)


# --- late offers -----------------------------------------------------------------------------------------------------------------------


async def test_promise_4_an_approval_late_in_the_offer_gives_no_time_beyond_its_end(stage: Stage) -> None:
    waits = await waiting(stage)
    stage.clock.pass_(minutes=29, seconds=50)
    await approve(stage)
    row = await stage.drive(until="act")
    assert row.act_before == waits.act_before
    stage.clock.pass_(seconds=10)
    row = await stage.drive()
    assert (row.phase, row.first_effect_at, stage.delivery.intended) == ("awaiting_approval", None, [])


async def test_promise_4_a_second_look_that_outlasts_the_offer_gives_no_time_beyond_its_end(stage: Stage) -> None:
    waits = await waiting(stage)

    def slow() -> keys.Manifest:
        stage.clock.pass_(seconds=20)
        return keys.Manifest(digest=made.OLD_DIGEST)

    stage.clock.pass_(minutes=29, seconds=50)
    stage.facts.tell(made.MANIFEST, slow)
    await approve(stage)
    row = await stage.drive(until="act")
    assert (row.phase, row.act_before) == ("act", waits.act_before)
    await stage.step()
    assert stage.delivery.intended == []


async def test_promise_4_an_offer_that_ends_right_before_the_approved_write_sends_nothing(stage: Stage) -> None:
    await waiting(stage)
    stage.clock.pass_(minutes=29, seconds=50)
    await approve(stage)
    await stage.drive(until="act_send")
    stage.clock.pass_(seconds=10)
    row = await stage.drive()
    assert (row.outcome, stage.delivery.sent, await stage.hold()) == (Outcome.FAILED, [], None)


async def test_promise_13_a_second_offer_of_the_same_operation_is_told_as_well(stage: Stage) -> None:
    first = await waiting(stage)
    stage.clock.pass_(minutes=29, seconds=50)
    await approve(stage)
    await stage.drive(until="act")
    stage.clock.pass_(seconds=10)
    second = await stage.drive()
    told = await stage.messages()
    assert [one["event"] for one in told] == ["approval_wanted", "approval_wanted"]
    assert first.act_before is not None
    assert second.act_before is not None
    for row, one in zip((first, second), told, strict=True):
        assert f"The offer ends at {row.act_before:%H:%M:%S} UTC" in one["text"]
    assert second.act_before - first.act_before == timedelta(minutes=30)
    await approve(stage)
    assert (await stage.drive()).outcome is Outcome.RECOVERED


# --- the world between verdict and first effect ------------------------------------------------------------------------------------------


async def wide_outage(stage: Stage) -> None:
    for n in range(4):
        await fires(stage, "HighErrorRate", "firing", target=TargetId("prod", f"t{n}"), app=f"t{n}")


@pytest.mark.parametrize("auto_sync", [True, False])
async def test_promise_10_a_wide_outage_that_appears_after_the_verdict_stops_before_the_first_effect(stage: Stage, *, auto_sync: bool) -> None:
    stage.app.auto_sync = auto_sync
    await stage.begin()
    await stage.drive(until="act")
    await wide_outage(stage)
    row = await stage.drive()
    assert (row.outcome, row.first_effect_at, await stage.hold()) == (Outcome.FAILED, None, None)
    assert {STOP, CLEAR, BACK}.isdisjoint(stage.delivery.intended)
    assert row.says.startswith("hands off: 4 of ")
    assert row.says.endswith("nothing was changed")


class Dark(HoldStore):
    """Holds that can be read, and counts that cannot."""

    async def around(self, target: TargetId, *, since: datetime, burning_since: datetime) -> Around:
        del target, since, burning_since
        raise UnavailableError("the store is away")


async def test_promise_1_limits_that_cannot_be_read_any_more_stop_before_the_first_effect(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act")
    stage.holds = Dark(stage.database)
    stage.use(stage.policies.of(TARGET))
    row = await stage.drive()
    assert (row.outcome, row.says, stage.delivery.intended) == (Outcome.FAILED, "hands off: the store is away; nothing was changed", [])


async def test_a_wide_outage_that_appears_after_the_first_effect_does_not_leave_it_half_done(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act_watch")
    await wide_outage(stage)
    assert (await stage.drive()).outcome is Outcome.RECOVERED


async def test_a_wide_outage_does_not_stop_what_a_person_confirmed(stage: Stage) -> None:
    plan = (await stage.desk.check(TARGET)).plan
    assert plan is not None
    await stage.begin(mode=Mode.APPROVE, automatic=False, confirmed=record.Confirmed(digest=plan.digest))
    await stage.drive(until="act")
    await wide_outage(stage)
    assert (await stage.drive()).outcome is Outcome.RECOVERED


# --- a look that fails before anything was sent -----------------------------------------------------------------------------------------------


class Dim(FakeDelivery):
    """Cannot look, as often as `blind` says, when it is about to go back."""

    blind = 0

    async def act(self, step: Step, intent: Mapping[str, Json], guard: Guard) -> None:
        if step.name == BACK and self.blind:
            self.blind -= 1
            raise TemporaryError("200 without a body")
        await super().act(step, intent, guard)


async def test_a_look_that_fails_before_anything_was_sent_is_made_again_and_nothing_is_waited_for(stage: Stage) -> None:
    delivery = played_by(stage, Dim)
    assert isinstance(delivery, Dim)
    delivery.blind = 3
    row = await stage.recovered()
    assert (row.outcome, delivery.sent.count(BACK)) == (Outcome.RECOVERED, 1)
    assert not {"answer_lost", "not_seen"} & set(await stage.kinds())


async def test_promise_4_looks_that_go_on_failing_are_not_made_for_ever(stage: Stage) -> None:
    delivery = played_by(stage, Dim)
    assert isinstance(delivery, Dim)
    delivery.blind = 10_000
    await stage.begin()
    await stage.drive(until="act_send")
    began = stage.clock.now()
    while "answer_lost" not in await stage.kinds():
        stage.clock.pass_(seconds=1)
        row = await stage.step()
        assert stage.clock.now() - began < timedelta(minutes=5), row.says
    assert BACK not in delivery.sent
    assert (await stage.drive()).done_at is not None


# --- refusals that come too late, and deploys over ours ----------------------------------------------------------------------------------


class Gruff(FakeDelivery):
    """Does a step, and refuses it: an earlier try had arrived, and its answer was lost."""

    step = BACK

    async def act(self, step: Step, intent: Mapping[str, Json], guard: Guard) -> None:
        await super().act(step, intent, guard)
        if step.name == self.step:
            raise RefusedError("another operation is already in progress")


@pytest.mark.parametrize("fare", ["done", "running"])
@pytest.mark.parametrize("step", [STOP, BACK])
async def test_promise_3_a_refusal_of_what_did_arrive_is_not_the_end(stage: Stage, step: str, fare: str) -> None:
    delivery = played_by(stage, Gruff)
    assert isinstance(delivery, Gruff)
    delivery.step, delivery.fares[step] = step, [fare]
    await stage.begin()
    await _until_sent(stage, step)
    assert (await stage.row()).phase == "act_watch"
    delivery.finish(step)
    row = await stage.drive()
    assert (row.outcome, stage.app.live.key, RESTORE in delivery.sent) == (Outcome.RECOVERED, made.GOAL.key, False)
    (late,) = [one.says for one in await stage.events() if one.kind == "refused_late"]
    assert late.startswith(f"{step} was refused (another operation is already in progress), but the target shows it")


async def test_promise_3_a_refusal_whose_truth_cannot_be_seen_may_have_been_an_effect(stage: Stage) -> None:
    delivery = played_by(stage, Gruff)
    delivery.fares[BACK] = ["running"]

    def look_away(step: str) -> None:
        if step == BACK:
            delivery.trouble["observe"] = TemporaryError("503")

    delivery.before_send = look_away
    await stage.begin()
    await _until_sent(stage, BACK)
    row = await stage.drive()
    assert (row.outcome, await stage.hold() is not None, RESTORE in delivery.sent) == (Outcome.FAILED, True, False)
    assert row.says.endswith("the hold stays, auto-sync stays off")


class DeployedOver(FakeDelivery):
    """Somebody deploys over our release as soon as it is live; `refuses_too`: and the server refuses ours as late."""

    refuses_too = False

    async def act(self, step: Step, intent: Mapping[str, Json], guard: Guard) -> None:
        await super().act(step, intent, guard)
        if step.name == BACK:
            self.app.history.insert(0, replace(made.SUSPECT, handle="44", started_at=self._clock.now()))
            if self.refuses_too:
                raise RefusedError("another operation is already in progress")

    async def observe(self, step: Step, intent: Mapping[str, Json]) -> Observation:
        seen = await super().observe(step, intent)
        return replace(seen, seen=Seen.FOREIGN, says="release 44 was deployed over it", details={"handle": "43"}) if step.name == BACK else seen


@pytest.mark.parametrize("refused", [False, True], ids=["seen", "refused and seen"])
async def test_promise_10_our_release_is_noted_as_ours_also_when_somebody_deployed_over_it(stage: Stage, *, refused: bool) -> None:
    delivery = played_by(stage, DeployedOver)
    assert isinstance(delivery, DeployedOver)
    delivery.refuses_too = refused
    row = await stage.recovered()
    assert row.outcome is Outcome.FAILED
    assert await stage.targets.handles_made_by_backout(TARGET) == ("43",)
    hold = await stage.hold()
    assert hold is not None
    assert (hold.held, stage.app.auto_sync) == ((made.SUSPECT.key,), False)
    assert row.says.endswith("a rollback may be under way or live: the hold stays, auto-sync stays off")


# --- an instance that is configured no more ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "outcome"),
    [
        ("begin", Outcome.REFUSED),
        ("act", Outcome.FAILED),
        ("act_send", Outcome.FAILED),
        ("verify", Outcome.INCONCLUSIVE),
        ("take_back", Outcome.FAILED),
        ("take_back_send", Outcome.FAILED),
        ("take_back_watch", Outcome.FAILED),
    ],
)
async def test_promise_13_an_operation_whose_instance_is_configured_no_more_ends_and_is_told(stage: Stage, phase: str, outcome: Outcome) -> None:
    if phase.startswith("take_back"):
        stage.delivery.fares[CLEAR] = ["refused"]
    await stage.begin()
    await stage.drive(until=phase)
    stage.deliveries.clear()
    if phase == "take_back_watch":  # looked for every half second until it counts as stuck
        await stage.step()
        stage.clock.at += STUCK_AFTER
    row = await stage.drive()
    assert (row.outcome, "stumbled" in await stage.kinds()) == (outcome, False)
    assert [one["event"] for one in await stage.messages()] == [outcome.value]
    assert "configured" in row.says
    assert (await stage.hold() is not None) == (row.first_effect_at is not None)


async def test_promise_13_an_effect_on_an_instance_that_is_configured_no_more_is_kept_told_and_found_when_it_is_back(stage: Stage) -> None:
    stage.delivery.fares[BACK] = ["running"]
    await stage.begin()
    await _until_sent(stage, BACK)
    stage.deliveries.clear()
    assert (await stage.step()).phase == "act_watch"
    stage.clock.at += STUCK_AFTER
    row = await stage.drive(until="stuck")
    assert "is not configured any more; configure it again" in row.says
    (told,) = await stage.messages()
    assert (told["event"], "is not configured any more" in told["text"]) == ("stuck", True)
    stage.deliveries["prod"] = stage.delivery
    stage.delivery.finish(BACK)
    assert (await stage.drive()).outcome is Outcome.RECOVERED


# --- taking back while the delivery system is away -----------------------------------------------------------------------------------------


class Away(FakeDelivery):
    """Does not answer when it is asked to give auto-sync back."""

    async def intend(self, step: Step, intention: Intention) -> Mapping[str, Json]:
        if step.name == RESTORE and "intend" in self.trouble:
            raise self.trouble["intend"]
        return await super().intend(step, intention)


async def test_promise_13_a_delivery_system_that_stays_away_while_we_take_back_is_told_once_and_tried_on(stage: Stage) -> None:
    delivery = played_by(stage, Away)
    delivery.trouble["intend"] = TemporaryError("503")
    delivery.fares[CLEAR] = ["refused"]
    await stage.begin()
    row = await stage.drive(until="take_back")
    began = stage.clock.now()
    while (passed := stage.clock.now() - began) < timedelta(minutes=20):
        row = await stage.step()
        stage.clock.pass_(seconds=20)
        assert (row.phase, row.done_at, stage.app.auto_sync) == ("take_back", None, False)
        assert len(await stage.messages()) == (0 if passed < timedelta(minutes=5) else 1)
    (told,) = await stage.messages()
    assert (told["event"], told["title"]) == ("stuck", "prod:checkout: what was changed cannot be taken back yet")
    assert "give auto-sync back: 503" in told["text"]
    assert "Why it is taken back: clear_slot: the server said no" in told["text"]
    del delivery.trouble["intend"]
    row = await stage.drive()
    assert (row.outcome, stage.app.auto_sync, await stage.hold()) == (Outcome.FAILED, True, None)
    assert [one["event"] for one in await stage.messages()] == ["stuck", "failed"]


async def test_a_short_silence_while_we_take_back_is_nobodys_business(stage: Stage) -> None:
    stage.delivery.fares[CLEAR] = ["refused"]
    stage.delivery.refuses[RESTORE] = [TemporaryError("503")] * 50
    row = await stage.recovered()
    assert (row.outcome, stage.app.auto_sync) == (Outcome.FAILED, True)
    assert [one["event"] for one in await stage.messages()] == ["failed"]


# --- the marker of a hold that is open already ---------------------------------------------------------------------------------------------


class Listening(FakeDelivery):
    """Remembers what each intention says of a marker of ours that is on the target already."""

    def __init__(self, clock: Clock, target: TargetId, application: Application) -> None:
        super().__init__(clock, target, application)
        self.markers: list[tuple[str, str]] = []

    async def intend(self, step: Step, intention: Intention) -> Mapping[str, Json]:
        self.markers.append((step.name, intention.own_marker))
        return await super().intend(step, intention)


@pytest.mark.parametrize(("whose", "told"), [("operation=op_1 suspect=c0ffee goal=beef", True), ("operation=op_99 suspect=c0ffee goal=beef", False)])
async def test_promise_5_only_the_mark_of_our_own_open_hold_is_told_as_ours(stage: Stage, whose: str, *, told: bool) -> None:
    await stage.recovered()
    newer = made.release("44", version="v2.5.1", revision="d00d" + "0" * 36, started_at=stage.clock.now())
    stage.app.history.insert(0, newer)
    stage.app.images[newer.key] = made.NEW_IMAGE
    stage.app.marker = whose
    delivery = played_by(stage, Listening)
    assert isinstance(delivery, Listening)
    found = await stage.desk.check(TARGET)
    assert found.plan is not None
    names = tuple(f.rule for f in found.plan.verdict.findings if f.answer and not f.waived)
    await stage.begin(mode=Mode.APPROVE, automatic=False, identity="op_2", confirmed=record.Confirmed(digest=found.plan.digest, names=names))
    await stage.drive(identity="op_2")
    assert [marker for step, marker in delivery.markers if step == BACK] == [whose if told else ""]


async def once_more(stage: Stage, handle: str, identity: str, *, auto_sync: bool) -> None:
    """Under the open hold a newer release turned out to be bad too, and a person went back from it."""
    stage.clock.pass_(minutes=30)
    newer = made.release(handle, version=f"v2.5.{handle}", revision=f"d{handle}" + "0" * 37, started_at=stage.clock.now())
    stage.app.history.insert(0, newer)
    stage.app.images[newer.key] = made.NEW_IMAGE
    stage.app.auto_sync, stage.app.desired_revision = auto_sync, newer.revision
    await stage.watcher.look(TARGET)
    found = await stage.desk.check(TARGET)
    assert found.plan is not None
    names = tuple(f.rule for f in found.plan.verdict.findings if f.answer and not f.waived)
    await stage.begin(mode=Mode.APPROVE, automatic=False, identity=identity, confirmed=record.Confirmed(digest=found.plan.digest, names=names))
    assert (await stage.drive(identity=identity)).outcome is Outcome.RECOVERED


async def test_promise_7_the_mark_of_whichever_operation_opened_or_joined_the_hold_is_ours(stage: Stage) -> None:
    stage.app.auto_sync = False
    await stage.recovered()
    await once_more(stage, "44", "op_2", auto_sync=True)  # a person turned auto-sync on; this one stopped it, so the hold is its own now
    hold, mark = await stage.hold(), stage.app.marker
    assert hold is not None
    assert (hold.operation_id, mark.split()[0]) == ("op_2", "operation=op_1")
    delivery = played_by(stage, Listening)
    assert isinstance(delivery, Listening)
    await once_more(stage, "46", "op_3", auto_sync=False)
    assert [told for step, told in delivery.markers if step == BACK] == [mark]


BURNED = replace(made.release("41", version="v2.4.7", revision="d" * 40, started_at=made.STARTED - timedelta(minutes=20)), key="key-burned")


async def test_promise_7_every_bad_release_in_a_row_is_held_and_told(stage: Stage) -> None:
    stage.app.history.insert(1, BURNED)
    stage.app.images[BURNED.key] = made.NEW_IMAGE
    await stage.targets.remember_state_record(replace(made.record(BURNED, None, last_health="Degraded"), key=BURNED.key))
    row = await stage.recovered()
    hold = await stage.hold()
    assert (row.outcome, stage.app.live.key, hold is not None) == (Outcome.RECOVERED, made.GOAL.key, True)
    assert hold is not None
    assert set(hold.held) == {made.SUSPECT.key, BURNED.key}
    assert hold.remembered["revisions"] == [made.SUSPECT.revision, BURNED.revision]
    told = (await stage.messages())[-1]["text"]
    assert "42 (v2.5.0 · c0ffee0) and 41 (v2.4.7 · ddddddd) are held away." in told


async def test_a_deploy_that_failed_half_way_is_taken_back_to_the_newest_entry_and_held(stage: Stage) -> None:
    failed = replace(stage.app.history.pop(0), handle="")
    stage.app.attempted, stage.app.failed_newer = failed, "a deploy of c0ffee0 by argocd ended Failed at 14:02"
    row = await stage.recovered()
    hold = await stage.hold()
    assert (row.outcome, stage.delivery.sent) == (Outcome.RECOVERED, [STOP, PROVE, CLEAR, BACK])
    assert hold is not None
    assert hold.held == (made.SUSPECT.key,)
    (root,) = roots(await stage.trace())
    assert root.name == "rollback prod:checkout v2.5.0→41"


# --- another process may have taken the work over ----------------------------------------------------------------------------------------


async def test_promise_3_an_act_waits_while_another_process_may_have_taken_the_work_over(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act")
    stage.may_act.clear()
    going = asyncio.ensure_future(stage.drive())
    await stage.at_fence.wait()
    await asyncio.sleep(0.05)
    assert stage.delivery.sent == []
    stage.may_act.set()
    assert (await going).outcome is Outcome.RECOVERED


async def test_promise_3_a_process_that_was_frozen_in_its_last_look_waits_at_the_fence_when_it_wakes(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.begin()
    await stage.drive(until="act_send")
    reason = stage.switch.reason

    async def frozen() -> str:
        stage.may_act.clear()  # it wakes when another process may have taken over
        stage.at_fence.clear()
        return await reason()

    monkeypatch.setattr(stage.switch, "reason", frozen)
    going = asyncio.ensure_future(stage.step())
    await stage.at_fence.wait()
    for _ in range(100):
        await asyncio.sleep(0)
    assert (going.done(), stage.delivery.sent) == (False, [])
    monkeypatch.setattr(stage.switch, "reason", reason)
    stage.may_act.set()
    await going
    assert len(stage.delivery.sent) == 1


@pytest.mark.parametrize("seconds", [25, -25], ids=["frozen", "the clock was set back"])
async def test_promise_5_what_was_seen_before_a_look_that_took_long_is_seen_anew_before_anything_is_sent(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    await stage.begin()
    await stage.drive(until="act_send")
    reason = stage.switch.reason

    async def frozen() -> str:
        stage.clock.pass_(seconds=seconds)
        return await reason()

    monkeypatch.setattr(stage.switch, "reason", frozen)
    with pytest.raises(StaleLookError, match="the target may be another one by now"):
        await stage.step()
    assert stage.delivery.sent == []
    monkeypatch.setattr(stage.switch, "reason", reason)
    await stage.step()
    assert len(stage.delivery.sent) == 1


async def test_promise_4_an_act_that_had_to_wait_longer_than_its_time_is_not_sent(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act")
    stage.may_act.clear()
    going = asyncio.ensure_future(stage.drive())
    await stage.at_fence.wait()
    stage.clock.pass_(days=1)
    stage.may_act.set()
    assert (await going).outcome is not Outcome.RECOVERED
    assert BACK not in stage.delivery.sent


async def test_promise_3_taking_back_is_fenced_as_well(stage: Stage) -> None:
    stage.delivery.refuses[BACK] = [RefusedError("no")]
    row = await stage.recovered()
    assert row.outcome is Outcome.FAILED
    assert RESTORE in stage.delivery.sent
    assert stage.fenced >= len(stage.delivery.sent)


# --- what stays behind -----------------------------------------------------------------------------------------------------------------

CRON = ObjectRef(group="batch", kind="CronJob", namespace="shop", name="sweep")


def leaves(stage: Stage, *objects: ObjectRef) -> FakeDelivery:
    """Release 41 does not have these objects; the delivery system offers a step about each to a person."""

    class Leaving(FakeDelivery):
        def offers(self, case: Case) -> tuple[Offer, ...]:
            more = tuple(Step(name="left_behind", says=f"Suspend {one}", effect=False, optional=True, owner="person", command="kubectl …") for one in objects)
            return tuple(replace(offer, steps=(*offer.steps, *more)) for offer in super().offers(case))

    stage.app.left_over = {made.GOAL.handle: objects, "43": objects}
    return played_by(stage, Leaving)


async def test_a_step_of_a_persons_is_told_and_left_to_them(stage: Stage) -> None:
    delivery = leaves(stage, CRON)
    stage.use(replace(POLICY, lets_pass=("prune_deletes_no_data",)))
    row = await stage.recovered()
    assert row.outcome is Outcome.RECOVERED
    assert (delivery.sent, [one for one in delivery.intended if one == "left_behind"]) == ([STOP, PROVE, CLEAR, BACK], [])
    told = [event for event in await stage.events() if event.kind == "for_a_person"]
    assert [(event.says, event.body["command"]) for event in told] == [(f"for a person: Suspend {CRON}", "kubectl …")]


async def test_promise_8_pods_of_what_stays_behind_are_no_pods_of_the_goal_and_hold_its_recovery_up_not(stage: Stage) -> None:
    consumer = ObjectRef(group="apps", kind="Deployment", namespace="shop", name="consumer")

    class Works(FakeDelivery):
        def pods(self) -> tuple[keys.Pod, ...]:
            return (*super().pods(), keys.Pod(name="consumer-1", images=(made.NEW_IMAGE,), ready=True, object=consumer))

    played_by(stage, Works)
    stage.app.left_over = {made.GOAL.handle: (consumer,), "43": (consumer,)}
    stage.use(replace(POLICY, lets_pass=("prune_deletes_no_data",)))
    row = await stage.recovered()
    assert row.outcome is Outcome.RECOVERED, row.says
    assert "2 of 2 pods run the goal release's images and are ready, beside 1 of what stays behind" in row.says


async def test_what_is_still_there_at_the_end_is_told_in_the_message_and_in_the_record(stage: Stage) -> None:
    leaves(stage, CRON, made.CONFIG_MAP)
    stage.use(replace(POLICY, lets_pass=("prune_deletes_no_data",)))
    row = await stage.recovered()
    says = f"Still there, though 41 (v2.4.6 · beef000) does not have them: {CRON}, {made.CONFIG_MAP}. What to do stands in the plan."
    assert data(row).left_behind == (str(CRON), str(made.CONFIG_MAP))
    assert says in (await stage.messages())[-1]["text"]
    (event,) = [event for event in await stage.events() if event.kind == "left_behind"]
    assert (event.says, event.body["objects"]) == (says, [str(CRON), str(made.CONFIG_MAP)])


async def test_what_a_person_took_away_meanwhile_is_not_told_at_the_end(stage: Stage) -> None:
    leaves(stage, CRON)
    stage.use(replace(POLICY, lets_pass=("prune_deletes_no_data",)))
    stage.delivery.before_send = lambda _step: stage.app.left_over.clear()
    row = await stage.recovered()
    assert data(row).left_behind == ()
    assert [event for event in await stage.events() if event.kind == "left_behind"] == []
    assert "Still there" not in (await stage.messages())[-1]["text"]


# --- a clock that steps ------------------------------------------------------------------------------------------------------------------


async def test_promise_10_a_clock_that_was_set_back_makes_no_act_late_it_is_judged_anew(stage: Stage) -> None:
    """By the new time there would be an hour more; how much of it has passed nobody knows."""
    await stage.begin()
    await stage.drive(until="act")
    stage.clock.pass_(hours=-1)
    row = await stage.step()
    assert (row.phase, stage.delivery.sent) == ("begin", [])
    assert [one.says for one in await stage.events() if one.kind == "late"] == ["act_before passed before anything was written: judged anew"]


async def test_promise_10_a_clock_that_is_set_back_right_before_the_request_lets_nothing_out(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act_send")
    stage.clock.pass_(hours=-1)
    await stage.step()
    assert stage.delivery.sent == []


async def test_promise_10_a_clock_that_steps_forward_over_the_deadline_lets_nothing_out(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act_send")
    stage.clock.pass_(hours=3)
    await stage.step()
    assert stage.delivery.sent == []


async def test_promise_3_clocks_of_two_processes_may_differ_a_little(stage: Stage) -> None:
    await stage.begin()
    await stage.drive(until="act_send")
    stage.clock.pass_(seconds=-30)
    assert (await stage.drive()).outcome is Outcome.RECOVERED
    assert stage.delivery.sent.count(BACK) == 1


@pytest.mark.parametrize("hours", [-2, 2])
async def test_promise_3_a_clock_that_steps_after_the_rollback_was_sent_makes_no_second_one(stage: Stage, hours: int) -> None:
    await stage.begin()
    await _until_sent(stage, BACK)
    stage.clock.pass_(hours=hours)
    row = await stage.drive()
    assert row.done_at is not None
    assert stage.delivery.sent.count(BACK) == 1
