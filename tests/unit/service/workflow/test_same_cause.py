"""Incidents of one cause, from the operation that finds its suspect to the message and the incident's story."""

from dataclasses import replace
from datetime import timedelta

import pytest

from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress, Revision, release_of
from service.domain import keys
from service.domain.errors import UnavailableError
from service.domain.grouping import Burning
from service.domain.model import Incident, Mode, Outcome, Release, TargetId
from service.domain.policy import AlertMapping
from service.domain.ports import Placement, Transition
from service.store.alerts import AlertStore
from tests.fakes.delivery import Application, FakeDelivery
from tests.fakes.store import delivery, notice
from tests.fakes.store import operation as made_operation
from tests.unit.service.domain import made
from tests.unit.service.workflow.stage import OTHER, POLICY, SLI, TARGET, Stage

WEB = TargetId("prod", "web")
TOLD = "1 other target burns for the same cause (their suspect releases come from one revision, c0ffee0): prod:cart."


async def burns(stage: Stage, target: TargetId, *, suspect: Release | None = made.SUSPECT) -> str:
    """An incident of another target, with an operation that found its suspect; answers the incident's id."""
    delivered = await stage.alerts.accept(delivery(notice(str(target), starts_at=made.BEGAN), at=stage.clock.now()))
    (episode,) = await stage.alerts.undecided(delivered)
    (incident,) = await stage.alerts.place([Placement(episode=episode, disposition="placed", says="", target=target, rung="label")], stage.clock.now())
    now = stage.clock.now()
    operation = made_operation(f"op_{target}", target=target, incident_id=incident.id, created_at=now, updated_at=now)
    await stage.operations.begin(operation, (), ())
    assert await stage.operations.commit(operation, Transition(phase="act", data=operation.data, suspect=suspect), now)
    await stage.clock.sleep(1)
    return incident.id


async def checkout(stage: Stage) -> str:
    """The incident of the stage's own target, with its operation begun."""
    stage.mapping = (AlertMapping(labels={"namespace": "shop"}, target=str(TARGET)),)
    stage.use(stage.policies.of(TARGET))
    delivered = await stage.alerts.accept(delivery(replace(notice(starts_at=made.BEGAN), labels=stage.trigger().labels)))
    await stage.correlator.place(delivered)
    (operation,) = await stage.operations.find(target=str(TARGET))
    assert operation.incident_id is not None
    return operation.incident_id


async def incident(stage: Stage, identity: str) -> Incident:
    found = await stage.alerts.incident(identity)
    assert found is not None
    return found


async def kinds(stage: Stage, identity: str) -> list[str]:
    return [one.kind for one in await stage.operations.events(identity)]


async def test_the_incident_knows_its_suspect_as_soon_as_the_operation_does(stage: Stage) -> None:
    mine = await checkout(stage)
    assert (await incident(stage, mine)).suspect is None
    (operation,) = await stage.operations.find(target=str(TARGET))
    await stage.step(operation.id)
    assert (await incident(stage, mine)).suspect == made.SUSPECT


async def test_going_forward_under_the_hold_changes_nothing_about_whom_the_incident_blames(stage: Stage) -> None:
    mine = await checkout(stage)
    (operation,) = await stage.operations.find(target=str(TARGET))
    stage.tell_series(SLI, 0.31)  # the rollback does not help, so the incident stays open
    assert (await stage.drive(identity=operation.id)).outcome is Outcome.NOT_RECOVERED
    stage.push()
    began = await stage.keep()
    assert began is not None
    assert began.incident_id == mine
    await stage.step(began.id)
    assert (await incident(stage, mine)).suspect == made.SUSPECT


async def test_incidents_of_one_cause_are_one_group_named_by_the_oldest(stage: Stage) -> None:
    first, second, third = await burns(stage, OTHER), await burns(stage, WEB), await burns(stage, TargetId("eu", "web"))
    for one in (first, second, third):
        found = await incident(stage, one)
        assert found.group_id == first
        assert {other.id for other in found.same_cause} == {first, second, third} - {one}
    (row,) = [one for one in await stage.operations.events(second) if one.kind == "grouped"][:1]
    assert row.says == f"the same cause as incident {first} of prod:cart: their suspect releases come from one revision, c0ffee0"


async def test_two_groups_become_one_when_an_incident_belongs_to_both(stage: Stage) -> None:
    far = replace(made.SUSPECT, key="far", sources=(replace(made.SUSPECT.sources[0], revision="f" * 40),), started_at=made.STARTED + timedelta(hours=1))
    first, second = await burns(stage, OTHER), await burns(stage, WEB, suspect=far)
    assert (await incident(stage, second)).group_id == second
    both = replace(made.SUSPECT, key="both", sources=(*made.SUSPECT.sources, *far.sources))
    third = await burns(stage, TargetId("prod", "mail"), suspect=both)
    assert {(await incident(stage, one)).group_id for one in (first, second, third)} == {first}


SPIN = TargetId("spin", "prod/shop/deployment/web")


def on_spinnaker(release: Release, template: str) -> Release:
    """A release of the same images as Spinnaker has it: its source is a pod template, which no other delivery system knows."""
    address = ManifestAddress(account="prod", location="shop", kind="deployment", name="web")
    revision = Revision(number=int(release.handle), name=f"web-{template}", digest=template * 64, images=(), created_at=release.started_at)
    return release_of(SPIN, address, revision)


@pytest.mark.parametrize("built", [True, False], ids=["by its source", "by its image"])
async def test_one_cause_over_an_argo_cd_application_and_a_spinnaker_deployment_is_one_group_of_two_incidents(stage: Stage, built: bool) -> None:
    bad, good = on_spinnaker(made.SUSPECT, "b"), on_spinnaker(made.GOAL, "a")
    rebuilt = replace(made.NEW_IMAGE, digest="sha256:" + "5" * 64)
    image = rebuilt if built else made.NEW_IMAGE  # by its source: the same commit, built again for the other cluster
    stage.facts.tell(keys.image_config(str(rebuilt.exact)), keys.ImageConfig(labels={}, revision=made.NEW_REVISION, repository=made.REPOSITORY))
    if not built:
        stage.facts.tell(made.LABELS_NEW, keys.ImageConfig(labels={}, revision="", repository=""))
    application = Application(history=[bad, good], images={bad.key: image, good.key: made.OLD_IMAGE}, auto_sync=False)
    spinnaker = FakeDelivery(stage.clock, SPIN, application)
    stage.deliveries["spin"] = spinnaker
    stage.scopes = {"main": "*"}
    stage.mapping = (AlertMapping(labels={"namespace": "shop"}, target=str(TARGET)),)
    stage.use(replace(POLICY, match="*", mode=Mode.SUGGEST))
    await stage.targets.remember(await spinnaker.targets(), "spin", made.NOW)
    records = [replace(made.record(one, application.images[one.key]), target=SPIN) for one in (good, bad)]
    await stage.targets.remember_state(await spinnaker.look(SPIN), records, made.ONSET - timedelta(minutes=1))
    labels = (stage.trigger().labels, {"alertname": "HighErrorRate", "namespace": "shop", "backout_target": str(SPIN)})
    notices = [replace(notice(name, starts_at=made.BEGAN), labels=told) for name, told in zip(("argo", "spin"), labels, strict=True)]
    await stage.correlator.place(await stage.alerts.accept(delivery(*notices)))
    begun = {str(one.target): one for one in await stage.operations.find()}
    assert set(begun) == {str(TARGET), str(SPIN)}
    for one in begun.values():
        await stage.step(one.id)
    mine, other = [await incident(stage, str(begun[str(one)].incident_id)) for one in (TARGET, SPIN)]
    assert (mine.suspect, other.suspect) == (made.SUSPECT, bad)
    assert mine.id != other.id
    assert mine.group_id == other.group_id
    assert [one.target for one in mine.same_cause] == [SPIN]
    (row,) = [one for one in await stage.operations.events(other.id) if one.kind == "grouped"]
    why = "come from one revision, 9c1e2ab" if built else "have one image, registry.example/shop/web@sha256:4444444"
    assert row.says == f"the same cause as incident {mine.id} of {TARGET}: their suspect releases {why}"


async def test_an_incident_with_nothing_in_common_or_none_under_suspicion_stays_alone(stage: Stage) -> None:
    first, alone = await burns(stage, OTHER), await burns(stage, WEB, suspect=None)
    assert (await incident(stage, alone)).same_cause == (await incident(stage, first)).same_cause == ()
    assert "grouped" not in await kinds(stage, first)


async def test_an_incident_that_is_over_takes_in_nobody(stage: Stage) -> None:
    over = await burns(stage, OTHER)
    await stage.alerts.close_incident(over, outcome="resolved", at=stage.clock.now())
    later = await burns(stage, WEB)
    assert (await incident(stage, later)).group_id == later


@pytest.mark.parametrize("mode", [Mode.APPROVE, Mode.AUTO])
async def test_promise_13_who_is_told_is_told_what_else_burns_for_the_same_cause(stage: Stage, mode: Mode) -> None:
    await stage.prepare()
    stage.use(replace(POLICY, mode=mode))
    await burns(stage, OTHER)
    mine = await checkout(stage)
    (operation,) = await stage.operations.find(target=str(TARGET))
    await stage.drive(identity=operation.id)
    (message, *_) = await stage.messages()
    assert message["event"] == ("approval_wanted" if mode is Mode.APPROVE else "recovered")
    assert message["text"].endswith(f"\n{TOLD}")
    assert message["same_cause"] == ["prod:cart"]
    assert (await incident(stage, mine)).group_id != mine


async def test_a_message_about_a_target_that_burns_alone_says_nothing_of_others(stage: Stage) -> None:
    await stage.prepare()
    await checkout(stage)
    (operation,) = await stage.operations.find(target=str(TARGET))
    assert (await stage.drive(identity=operation.id)).outcome is Outcome.RECOVERED
    (message,) = await stage.messages()
    assert "same cause" not in message["text"]
    assert "same_cause" not in message


class Away(AlertStore):
    """A store that is away when it is asked for what burns."""

    async def burning(self) -> tuple[Burning, ...]:
        raise UnavailableError("the store is away")


async def test_what_was_done_is_written_down_though_the_others_cannot_be_read(stage: Stage) -> None:
    stage.alerts = Away(stage.database)
    stage.use(POLICY)
    await stage.prepare()
    await burns(stage, OTHER)
    await checkout(stage)
    (operation,) = await stage.operations.find(target=str(TARGET))
    assert (await stage.drive(identity=operation.id)).outcome is Outcome.RECOVERED
    (message,) = await stage.messages()
    assert "same_cause" not in message
