from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.domain import spans
from service.domain.errors import ConflictError
from service.domain.model import AlertNotice, Episode, Incident, Mode, ObjectRef, Operation, Outcome, TargetId
from service.domain.policy import AlertMapping, TargetPolicy
from service.domain.ports import ListedTarget, Listing, Placement, Transition, Work
from service.store import tables as t
from service.store.alerts import AlertStore, _episode
from service.workflow import record
from service.workflow.correlate import AGAIN_AFTER, BEGIN_AFTER, permitted
from service.workflow.messages import Told
from tests.fakes.store import delivery, notice
from tests.unit.service.domain import made
from tests.unit.service.workflow.stage import OTHER, POLICY, PROMISED_BY_THE_STORE, TARGET, Stage, attribute, named

ON_BOTH = PROMISED_BY_THE_STORE

WEB = ObjectRef(group="apps", kind="Deployment", namespace="shop", name="web")
SCOPES = {"main": "prod:*"}
TOLD = Told(channels=("notify:on-call",))


def _notice(fingerprint: str, labels: Mapping[str, str]) -> AlertNotice:
    plain = notice(fingerprint, starts_at=made.BEGAN)
    return replace(plain, labels={**plain.labels, **labels})


class KilledError(Exception):
    """The process ends here."""


class Dying(AlertStore):
    """A store whose process is killed before a disposition is written."""

    async def place(self, placements: Sequence[Placement], at: datetime) -> Sequence[Incident]:
        raise KilledError(placements, at)


async def told(stage: Stage, fingerprint: str = "f00d", *, sender: str = "main", **labels: str) -> Episode:
    """One alert comes in and is placed; what is answered is its episode as it then stands."""
    post = replace(delivery(_notice(fingerprint, labels), at=stage.clock.now()), sender=sender)
    identity = await stage.alerts.accept(post)
    (episode,) = await stage.alerts.undecided(identity)
    await stage.correlator.place(identity)
    return await stored(stage, episode.id)


async def stored(stage: Stage, episode: str) -> Episode:
    """The episode as it stands in the store."""
    async with stage.database.read() as connection:
        row = (await connection.execute(t.episode.select().where(t.episode.c.id == episode))).mappings().one()
        return _episode(row)


async def listed(stage: Stage, target: TargetId, *objects: ObjectRef) -> None:
    """One more target of the instance."""
    one = ListedTarget(target=target, project="shop", namespace="shop", health="Healthy", desired_revision="a", stamp=f"{target}", objects=objects)
    first = (await stage.delivery.targets()).targets[0]
    known = [row for row, _ in await stage.targets.listing() if row.target not in {target, TARGET}]
    await stage.targets.remember(Listing(targets=(first, *known, one), complete=True), "prod", stage.clock.now())


async def operations(stage: Stage) -> list[Operation]:
    return list(await stage.operations.find(limit=10))


# --- which target ------------------------------------------------------------------------------------------------------------


async def test_an_explicit_label_names_the_target(stage: Stage) -> None:
    episode = await told(stage, argocd_app="checkout")
    assert (episode.disposition, episode.target, episode.rung) == ("placed", TARGET, "label")
    (operation,) = await operations(stage)
    assert (operation.target, operation.incident_id, operation.automatic) == (TARGET, episode.incident_id, True)
    assert stage.engine.started == [Work(kind="operation", id=operation.id, seq=0)]


async def test_the_operators_mapping_leads_to_the_target(stage: Stage) -> None:
    stage.mapping = (AlertMapping(labels={"app": "*"}, target="prod:{app}"),)
    stage.use(POLICY)
    episode = await told(stage, app="checkout")
    assert (episode.target, episode.rung) == (TARGET, "mapping")


async def test_an_object_that_one_target_holds_leads_to_it(stage: Stage) -> None:
    await listed(stage, OTHER, WEB)
    episode = await told(stage, deployment="web")
    assert (episode.target, episode.rung) == (OTHER, "resources")


async def test_a_label_wins_over_the_mapping_and_the_mapping_over_objects(stage: Stage) -> None:
    await listed(stage, OTHER, WEB)
    stage.mapping = (AlertMapping(labels={"app": "cart"}, target="prod:cart"),)
    stage.use(POLICY)
    assert (await told(stage, "1", backout_target="prod:checkout", app="cart", deployment="web")).target == TARGET
    assert (await told(stage, "2", app="cart", deployment="web")).rung == "mapping"


async def test_promise_1_ambiguity_is_told_and_never_guessed_away(stage: Stage) -> None:
    await listed(stage, OTHER, WEB)
    await listed(stage, TargetId("prod", "shop"), WEB)
    episode = await told(stage, deployment="web")
    assert (episode.disposition, episode.target, episode.incident_id) == ("ambiguous", None, None)
    assert "fit 2 targets: prod:cart, prod:shop" in episode.disposition_says
    assert await operations(stage) == []
    (message,) = await stage.messages()
    assert (message["event"], message["candidates"]) == ("unplaced", ["prod:cart", "prod:shop"])


async def test_promise_13_an_alert_that_leads_nowhere_is_told(stage: Stage) -> None:
    episode = await told(stage)
    assert (episode.disposition, episode.rung) == ("no_target", "")
    (message,) = await stage.messages()
    assert message["title"] == "HighErrorRate: no target"
    assert "backout_target" in message["text"]


async def test_promise_13_who_could_not_be_told_is_told_after_a_crash_and_once(stage: Stage) -> None:
    """The message is put before the disposition: died in between, the alert is still undecided and the same key is put again."""
    identity = await stage.alerts.accept(delivery(notice(starts_at=made.BEGAN)))
    stage.alerts = Dying(stage.database)
    stage.use(POLICY)
    with pytest.raises(KilledError):
        await stage.correlator.place(identity)
    assert len(await stage.messages()) == 1
    stage.alerts = AlertStore(stage.database)
    stage.use(POLICY)
    await stage.correlator.place(identity)
    assert len(await stage.messages()) == 1
    assert await stage.alerts.deliveries_undecided(stage.clock.now() + timedelta(days=1)) == ()


@pytest.mark.parametrize(
    "labels", [{"alertname": "Watchdog"}, {"alertname": "InfoInhibitor"}, {"severity": "info"}, {"severity": "none"}, {"backout": "never"}]
)
async def test_what_is_no_fault_is_ignored_even_with_a_target(stage: Stage, labels: dict[str, str]) -> None:
    episode = await told(stage, **{"argocd_app": "checkout", **labels})
    assert (episode.disposition, episode.incident_id, await stage.messages()) == ("ignored", None, [])
    assert episode.disposition_says


async def test_promise_11_a_sender_speaks_only_for_its_targets(stage: Stage) -> None:
    stage.scopes["team"] = "prod:team-*"
    episode = await told(stage, sender="team", argocd_app="checkout")
    assert (episode.disposition, episode.incident_id) == ("out_of_scope", None)
    assert episode.disposition_says == "the sender team does not speak for prod:checkout"
    assert await operations(stage) == []
    assert (await told(stage, "2", sender="nobody", argocd_app="checkout")).disposition == "out_of_scope"


# --- incidents and operations -------------------------------------------------------------------------------------------------


async def test_placing_a_delivery_twice_begins_one_operation(stage: Stage) -> None:
    identity = await stage.alerts.accept(delivery(notice(starts_at=made.BEGAN, argocd_app="checkout")))
    await stage.correlator.place(identity)
    await stage.correlator.place(identity)
    assert len(await operations(stage)) == 1


async def test_a_further_alert_joins_the_operation_that_is_alive(stage: Stage) -> None:
    first = await told(stage, "1", argocd_app="checkout")
    second = await told(stage, "2", argocd_app="checkout", alertname="SlowCheckout")
    assert second.incident_id == first.incident_id
    (operation,) = await operations(stage)
    joined = next(one for one in await stage.events(operation.id) if one.kind == "joined")
    assert joined.says == "SlowCheckout: 31 % fail — joined"
    assert len(named(await stage.trace(operation.id), spans.ALERT)) == 2


async def test_an_alert_soon_after_the_end_waits_and_gets_its_operation_when_it_is_time(stage: Stage) -> None:
    """The ended operation may have been refused for a reason that this alert does not share: it must not be silently counted to it."""
    await told(stage, "1", argocd_app="checkout")
    (operation,) = await operations(stage)
    await stage.operations.commit(operation, Transition(phase="ended", data=operation.data, done=Outcome.SUGGESTED), stage.clock.now())
    stage.clock.at += AGAIN_AFTER - timedelta(seconds=30)
    late = await told(stage, "2", argocd_app="checkout")
    await stage.correlator.sweep()
    assert len(await operations(stage)) == 1
    stage.clock.pass_(seconds=31)
    await stage.correlator.sweep()
    newest = next(one for one in await operations(stage) if one.id != operation.id)
    assert record.load(newest).episodes == (late.id,)


async def ended(stage: Stage, operation: Operation, outcome: Outcome) -> None:
    """The operation ends now."""
    row = await stage.row(operation.id)
    assert await stage.operations.commit(row, Transition(phase="ended", data=row.data, done=outcome), stage.clock.now())


async def test_promise_13_a_quiet_alert_that_was_refused_does_not_swallow_the_one_that_burns(stage: Stage) -> None:
    await told(stage, "1", argocd_app="checkout")
    (first,) = await operations(stage)
    await ended(stage, first, Outcome.REFUSED)
    stage.clock.pass_(minutes=1)
    late = await told(stage, "2", argocd_app="checkout", alertname="SlowCheckout")
    await stage.alerts.accept(delivery(replace(_notice("1", {}), firing=False, ends_at=stage.clock.now()), at=stage.clock.now()))
    for _ in range(10):
        stage.clock.pass_(minutes=2)
        await stage.correlator.sweep()
    second, _ = await operations(stage)
    data = record.load(second)
    assert (data.episodes, data.trigger and data.trigger.alert) == ((late.id,), "SlowCheckout")
    assert len(await stage.alerts.open_incidents()) == 1


async def test_promise_13_a_lowered_alert_that_was_answered_silences_no_other_one(stage: Stage) -> None:
    """B may only be watched; its silent operation has ended when A, which may do more, begins to fire."""
    await told(stage, "b", argocd_app="checkout", backout="observe")
    (silent,) = await operations(stage)
    assert (await stage.drive(identity=silent.id)).outcome is Outcome.OBSERVED
    stage.clock.pass_(minutes=1)
    await told(stage, "a", argocd_app="checkout")
    stage.clock.at += AGAIN_AFTER
    await stage.correlator.sweep()
    assert [one.mode for one in await operations(stage)] == [Mode.AUTO, Mode.OBSERVE]


async def test_promise_2_an_alert_whose_beginning_was_lost_is_found_beside_an_older_operation(stage: Stage) -> None:
    """kill -9 between placing and beginning, in an incident that had its operation long ago: nobody would look at the episode again."""
    await told(stage, "1", argocd_app="checkout")
    (first,) = await operations(stage)
    await ended(stage, first, Outcome.REFUSED)
    stage.clock.at += 2 * AGAIN_AFTER
    identity = await stage.alerts.accept(delivery(_notice("2", {"argocd_app": "checkout"}), at=stage.clock.now()))
    (episode,) = await stage.alerts.undecided(identity)
    await stage.alerts.place((Placement(episode=episode, disposition="placed", says="", target=TARGET, rung="label"),), stage.clock.now())
    await stage.correlator.place(identity)
    await stage.correlator.sweep()
    assert len(await operations(stage)) == 1  # whoever placed it may be about to begin
    stage.clock.at += BEGIN_AFTER
    await stage.correlator.sweep()
    assert record.load((await operations(stage))[0]).episodes == (episode.id,)


async def test_promise_2_an_alert_that_met_a_persons_operation_after_an_older_one_is_not_lost(stage: Stage) -> None:
    await told(stage, "1", argocd_app="checkout")
    (first,) = await operations(stage)
    await ended(stage, first, Outcome.REFUSED)
    stage.clock.at += 2 * AGAIN_AFTER
    theirs = await stage.begin(automatic=False, mode=Mode.APPROVE, identity="op_theirs")
    late = await told(stage, "2", argocd_app="checkout")
    stage.clock.at += BEGIN_AFTER
    await stage.correlator.sweep()
    assert len(await operations(stage)) == 2
    await ended(stage, theirs, Outcome.REJECTED)
    await stage.correlator.sweep()
    assert record.load((await operations(stage))[0]).episodes == (late.id,)


async def test_promise_2_what_joined_an_operation_that_ended_without_it_gets_its_own(stage: Stage) -> None:
    """The operation was refused because its own alert was quiet; the one that joined it burns."""
    await told(stage, "1", argocd_app="checkout")
    joined = await told(stage, "2", argocd_app="checkout")
    (first,) = await operations(stage)
    assert joined.covered_by == first.id
    await ended(stage, first, Outcome.REFUSED)
    stage.clock.at += AGAIN_AFTER
    await stage.correlator.sweep()
    second, _ = await operations(stage)
    assert record.load(second).episodes == (joined.id,)
    await ended(stage, second, Outcome.REFUSED)
    stage.clock.at += 9 * AGAIN_AFTER
    await stage.correlator.sweep()
    assert len(await operations(stage)) == 2  # both alerts fire still, and both were answered


@pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.REJECTED])
async def test_promise_5_what_joined_an_operation_that_a_person_ended_begins_no_other(stage: Stage, outcome: Outcome) -> None:
    await told(stage, "1", argocd_app="checkout")
    await told(stage, "2", argocd_app="checkout")
    (first,) = await operations(stage)
    await ended(stage, first, outcome)
    stage.clock.at += 9 * AGAIN_AFTER
    await stage.correlator.sweep()
    assert len(await operations(stage)) == 1


async def test_promise_13_the_trigger_is_the_newest_alert_that_fires(stage: Stage) -> None:
    """An unrelated alert that fires since yesterday must not make every later one look older than the deploy."""
    old = replace(_notice("old", {"argocd_app": "checkout", "alertname": "DiskFills"}), starts_at=made.BEGAN - timedelta(days=1))
    over = replace(_notice("over", {"argocd_app": "checkout", "alertname": "Gone"}), starts_at=made.NOW)
    new = _notice("new", {"argocd_app": "checkout"})
    identity = await stage.alerts.accept(delivery(new, old, over, at=stage.clock.now()))
    await stage.alerts.accept(delivery(replace(over, firing=False, ends_at=made.NOW), at=stage.clock.now()))
    await stage.correlator.place(identity)
    (operation,) = await operations(stage)
    data = record.load(operation)
    assert data.trigger is not None
    assert (data.trigger.alert, data.trigger.began_at, operation.requested_by.name) == ("HighErrorRate", made.BEGAN, "HighErrorRate")
    assert set(data.fingerprints[1:]) == {"old", "over"}
    assert data.fingerprints[0] == "new"


@pytest.mark.parametrize("lowered", ["1", "2"])
@pytest.mark.parametrize("older", ["1", "2"])
async def test_promise_11_a_lowering_alert_counts_wherever_it_stands_in_its_delivery(stage: Stage, lowered: str, older: str) -> None:
    notices = [
        replace(
            _notice(n, {"argocd_app": "checkout", **({"backout": "observe"} if n == lowered else {})}), starts_at=made.BEGAN - timedelta(seconds=n == older)
        )
        for n in ("1", "2")
    ]
    await stage.correlator.place(await stage.alerts.accept(delivery(*notices, at=stage.clock.now())))
    (operation,) = await operations(stage)
    assert (operation.mode, len(record.load(operation).episodes)) == (Mode.OBSERVE, 2)


async def test_promise_13_an_alert_heard_first_from_a_narrow_sender_is_heard_from_the_right_one(stage: Stage) -> None:
    stage.scopes["team"] = "prod:team-*"
    assert (await told(stage, sender="team", argocd_app="checkout")).disposition == "out_of_scope"
    episode = await told(stage, sender="main", argocd_app="checkout")
    assert (episode.disposition, episode.sender) == ("placed", "main")
    (operation,) = await operations(stage)
    assert operation.mode is Mode.AUTO


async def test_promise_13_an_alert_that_fires_again_after_its_incident_was_closed_opens_another(stage: Stage) -> None:
    first = await told(stage, argocd_app="checkout")
    (operation,) = await operations(stage)
    await ended(stage, operation, Outcome.REFUSED)
    over = replace(_notice("f00d", {"argocd_app": "checkout"}), firing=False, ends_at=stage.clock.now())
    await stage.alerts.accept(delivery(over, at=stage.clock.now()))
    await stage.correlator.sweep()
    assert await stage.alerts.open_incidents() == ()
    stage.clock.at += AGAIN_AFTER
    again = await told(stage, argocd_app="checkout")
    assert (again.id, again.firing, again.incident_id == first.incident_id) == (first.id, True, False)
    assert len(await operations(stage)) == 2


async def test_promise_13_a_start_in_the_future_is_placed_and_said_and_not_taken_for_the_newest(stage: Stage) -> None:
    ahead = replace(_notice("1", {"argocd_app": "checkout", "alertname": "Ahead"}), starts_at=stage.clock.now() + timedelta(hours=5))
    identity = await stage.alerts.accept(delivery(ahead, _notice("2", {"argocd_app": "checkout"}), at=stage.clock.now()))
    placed = await stage.alerts.undecided(identity)
    await stage.correlator.place(identity)
    episode = await stored(stage, placed[1].id)
    assert (episode.disposition, episode.fingerprint) == ("placed", "1")
    assert episode.disposition_says.endswith("; by its own word it begins 300 minutes after it was received: the sender's clock is ahead")
    assert [one.requested_by.name for one in await operations(stage)] == ["HighErrorRate"]


async def test_promise_3_two_workers_that_answer_the_same_alert_begin_once(stage: Stage) -> None:
    """The second one looked before the first one began, and writes after that operation has ended already."""
    episode = await told(stage, argocd_app="checkout")
    (operation,) = await operations(stage)
    await ended(stage, operation, Outcome.REFUSED)
    stale = replace(episode, covered_by=None)
    with pytest.raises(ConflictError, match="taken up by another operation"):
        await stage.operations.begin(replace(operation, id="op_twice", done_at=None, outcome=None), (), (), (stale,))
    assert len(await operations(stage)) == 1


async def test_promise_2_nothing_joins_an_operation_that_has_ended_meanwhile(stage: Stage) -> None:
    episode = await told(stage, argocd_app="checkout")
    (operation,) = await operations(stage)
    await ended(stage, operation, Outcome.REFUSED)
    with pytest.raises(ConflictError, match="has ended"):
        await stage.operations.append(operation.id, (), (), (), stage.clock.now(), (episode,))


async def test_the_operation_knows_its_alert_and_the_trace_begins_with_it(stage: Stage) -> None:
    await told(stage, argocd_app="checkout")
    (operation,) = await operations(stage)
    data = record.load(operation)
    assert data.trigger is not None
    assert (data.trigger.alert, data.trigger.began_at, data.trigger.received_at) == ("HighErrorRate", made.BEGAN, made.NOW)
    assert (data.fingerprints, data.why_mode) == (("f00d",), "mode auto")
    trace = await stage.trace(operation.id)
    assert [span.name for span in trace] == [spans.ACCEPTED, spans.ALERT, spans.CORRELATE]
    assert attribute(trace[0], spans.ALERT_FINGERPRINT) == "f00d"
    assert attribute(trace[2], spans.CORRELATION_RUNG) == "label"


async def test_promise_2_an_incident_whose_operation_never_began_gets_it_from_the_sweep(stage: Stage) -> None:
    """Died between placing the episode and beginning the operation: the episode has its disposition, so nobody else would look."""
    identity = await stage.alerts.accept(delivery(notice(starts_at=made.BEGAN, argocd_app="checkout")))
    (episode,) = await stage.alerts.undecided(identity)
    await stage.alerts.place((Placement(episode=episode, disposition="placed", says="", target=TARGET, rung="label"),), stage.clock.now())
    await stage.correlator.sweep()
    assert await operations(stage) == []  # whoever placed it may be about to begin
    stage.clock.at += BEGIN_AFTER
    await stage.correlator.sweep()
    await stage.correlator.sweep()
    (operation,) = await operations(stage)
    assert record.load(operation).episodes == (episode.id,)


async def test_promise_9_an_incident_that_met_a_persons_operation_gets_its_own_when_that_has_ended(stage: Stage) -> None:
    theirs = await stage.begin(automatic=False, mode=Mode.APPROVE)
    episode = await told(stage, argocd_app="checkout")
    assert (episode.disposition, len(await operations(stage))) == ("placed", 1)
    stage.clock.at += BEGIN_AFTER
    await stage.correlator.sweep()
    assert len(await operations(stage)) == 1
    await stage.operations.commit(theirs, Transition(phase="ended", data=theirs.data, done=Outcome.REJECTED), stage.clock.now())
    await stage.correlator.sweep()
    latest = await stage.operations.latest(episode.incident_id or "")
    assert latest is not None
    assert latest.automatic


async def incident(stage: Stage) -> Incident:
    episode = await told(stage, argocd_app="checkout")
    found = await stage.alerts.incident(episode.incident_id or "")
    assert found is not None
    return found


async def test_the_sweep_closes_an_incident_when_its_alerts_ended_and_nothing_works_on_it(stage: Stage) -> None:
    opened = await incident(stage)
    (operation,) = await operations(stage)
    await stage.correlator.sweep()
    await stage.alerts.accept(delivery(notice(starts_at=made.BEGAN, ends_at=made.NOW)))
    await stage.correlator.sweep()
    assert [one.id for one in await stage.alerts.open_incidents()] == [opened.id]  # the operation is alive
    await stage.operations.commit(operation, Transition(phase="ended", data=operation.data, done=Outcome.SUGGESTED), stage.clock.now())
    await stage.correlator.sweep()
    closed = await stage.alerts.incident(opened.id)
    assert closed is not None
    assert (closed.outcome, closed.closed_at) == ("resolved", stage.clock.now())


async def test_the_sweep_leaves_an_incident_open_while_an_alert_fires(stage: Stage) -> None:
    opened = await incident(stage)
    (operation,) = await operations(stage)
    await stage.operations.commit(operation, Transition(phase="ended", data=operation.data, done=Outcome.NOT_RECOVERED), stage.clock.now())
    await stage.correlator.sweep()
    assert [one.id for one in await stage.alerts.open_incidents()] == [opened.id]


# --- an alert cannot raise its own rights ------------------------------------------------------------------------------------------


def episode(**labels: str) -> Episode:
    return made.episode({"alertname": "HighErrorRate", "namespace": "shop", **labels})


def mode(
    *episodes: Episode, policy: TargetPolicy = POLICY, scopes: dict[str, str] | None = None, namespaces: Any = ("shop",), told: Told = TOLD
) -> tuple[Mode, str]:
    return permitted(policy, episodes or (episode(),), SCOPES if scopes is None else scopes, target=TARGET, namespaces=namespaces, told=told)


def test_an_alert_that_qualifies_has_the_policys_mode() -> None:
    assert mode() == (Mode.AUTO, "mode auto")
    for one in Mode:
        assert mode(policy=replace(POLICY, mode=one))[0] is one


@pytest.mark.parametrize("word", ["observe", "suggest", "approve"])
def test_promise_11_a_label_lowers_the_mode(word: str) -> None:
    assert mode(episode(backout=word)) == (Mode.of(word), f"mode {word}: the alert's label lowers it")
    assert mode(episode(), episode(backout=word))[0] is Mode.of(word)


def test_promise_11_a_label_never_raises_the_mode() -> None:
    for one in Mode:
        assert mode(episode(backout="auto"), policy=replace(POLICY, mode=one))[0] is one
    assert mode(episode(backout="everything"))[0] is Mode.AUTO  # a word that means nothing changes nothing


def test_promise_11_an_annotation_never_raises_the_mode() -> None:
    one = replace(episode(), annotations={"backout": "auto"})
    assert mode(one, policy=replace(POLICY, mode=Mode.SUGGEST))[0] is Mode.SUGGEST


def test_promise_11_auto_needs_the_operators_list_of_alerts() -> None:
    assert mode(episode(alertname="Other")) == (
        Mode.APPROVE,
        "mode approve instead of auto: Other is not in the operator's list of alerts for this target",
    )
    assert mode(policy=replace(POLICY, alerts=()))[0] is Mode.APPROVE
    assert mode(episode(), episode(alertname="Other"))[0] is Mode.APPROVE


def test_promise_11_auto_needs_a_sender_scoped_to_the_target() -> None:
    assert mode(scopes={"main": "prod:cart"}) == (Mode.APPROVE, "mode approve instead of auto: the sender main does not speak for this target")
    assert mode(scopes={})[0] is Mode.APPROVE


@pytest.mark.parametrize("namespaces", [("cart",), (), ("",)])
def test_promise_11_auto_needs_the_alerts_namespace_to_be_the_targets(namespaces: tuple[str, ...]) -> None:
    assert mode(namespaces=namespaces) == (Mode.APPROVE, "mode approve instead of auto: the alert's namespace shop does not belong to the target")


def test_promise_11_an_alert_without_a_namespace_belongs_to_no_target() -> None:
    bare = made.episode({"alertname": "HighErrorRate"})
    for namespaces in (("shop",), ("",), ()):
        assert mode(bare, namespaces=namespaces) == (Mode.APPROVE, "mode approve instead of auto: the alert's namespace (none) does not belong to the target")


def test_promise_13_without_anybody_to_tell_no_target_leaves_observe() -> None:
    for one in Mode:
        assert mode(policy=replace(POLICY, mode=one), told=Told())[0] is Mode.OBSERVE
    assert mode(told=Told())[1] == "mode observe: nobody is configured to be told (notify:), so nothing leaves observe"


async def test_the_mode_is_that_of_the_incidents_alerts_and_its_reason_is_recorded(stage: Stage) -> None:
    await told(stage, argocd_app="checkout", backout="suggest")
    (operation,) = await operations(stage)
    assert operation.mode is Mode.SUGGEST
    accepted = (await stage.events(operation.id))[0]
    assert accepted.says == "HighErrorRate: 31 % fail — mode suggest: the alert's label lowers it"


def test_promise_11_an_alert_about_machines_belongs_to_their_region_and_a_namespace_comes_before_it() -> None:
    machines = {"spinnaker_app": "web", "spinnaker_region": "us-east-1"}
    assert mode(made.episode({"alertname": "HighErrorRate", **machines}), namespaces=("us-east-1",))[0] is Mode.AUTO
    for labels in ({**machines, "spinnaker_region": "eu-west-1"}, {"spinnaker_region": "us-east-1"}, {**machines, "namespace": "cart"}):
        assert mode(made.episode({"alertname": "HighErrorRate", **labels}), namespaces=("us-east-1",))[0] is Mode.APPROVE


async def test_without_namespaces_in_the_policy_the_listed_one_counts(stage: Stage) -> None:
    stage.change(namespaces=())
    await told(stage, argocd_app="checkout")
    assert (await operations(stage))[0].mode is Mode.AUTO


async def test_an_alert_from_a_foreign_namespace_asks_a_person(stage: Stage) -> None:
    await told(stage, argocd_app="checkout", namespace="other")
    (operation,) = await operations(stage)
    assert operation.mode is Mode.APPROVE


async def test_the_whole_way_from_a_post_to_recovered(stage: Stage) -> None:
    labels = dict(made.LABELS)
    await told(stage, argocd_app="checkout", **labels)
    (operation,) = await operations(stage)
    trigger = record.load(operation).trigger
    assert trigger is not None
    stage.retell(trigger.series_labels)
    row = await stage.drive(identity=operation.id)
    assert row.outcome is Outcome.RECOVERED
    closed = await stage.alerts.incident(operation.incident_id or "")
    assert closed is not None
    assert closed.outcome == "recovered"


async def test_promise_13_a_storm_without_a_target_is_one_message_that_counts_it(stage: Stage) -> None:
    notices = [replace(_notice(str(number), {"namespace": "nowhere"})) for number in range(12)]
    await stage.correlator.place(await stage.alerts.accept(delivery(*notices, at=stage.clock.now())))
    (message,) = await stage.messages()
    assert "12 alerts without a target" in str(message)
    assert "And 7 more." in str(message)


async def test_many_alerts_of_one_target_open_one_incident_with_all_of_them(stage: Stage) -> None:
    notices = [_notice(str(number), {"argocd_app": "checkout"}) for number in range(40)]
    identity = await stage.alerts.accept(delivery(*notices, at=stage.clock.now()))
    await stage.correlator.place(identity)
    (incident,) = await stage.alerts.open_incidents()
    assert len(incident.episodes) == 40
    assert len(await operations(stage)) == 1
