from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from service.domain.chain import verify
from service.domain.model import Incident, Outcome
from service.domain.ports import AuditEvent, Placement, Transition
from service.store.alerts import AlertStore
from service.store.database import Database
from service.store.events import EventStore
from service.store.operations import OperationStore
from tests.fakes.clock import START
from tests.fakes.store import TARGET, delivery, notice, operation

LATER = START + timedelta(minutes=1)


async def placed(alerts: AlertStore, fingerprint: str = "f00d") -> Incident:
    (one,) = await alerts.undecided(await alerts.accept(delivery(notice(fingerprint))))
    (found,) = await alerts.place((Placement(episode=one, disposition="placed", says="its label names the target", target=TARGET, rung="label"),), START)
    return found


async def story(database: Database, identity: str) -> Sequence[AuditEvent]:
    assert verify(await EventStore(database).chain(identity)) is None
    return await EventStore(database).of(identity)


async def test_an_incident_tells_who_opened_it_and_who_joined(database: Database) -> None:
    alerts = AlertStore(database)
    first, second = await placed(alerts), await placed(alerts, "beef")
    assert first.id == second.id
    rows = await story(database, first.id)
    assert [one.kind for one in rows] == ["opened", "episode_joined", "episode_joined"]
    assert rows[0].says == "opened for prod:checkout by HighErrorRate"
    assert rows[1].says == "HighErrorRate belongs to it: its label names the target"
    assert {one.body["episode"] for one in rows[1:]} == {one.id for one in second.episodes}
    assert (rows[2].body["alert"], rows[2].body["sender"], rows[2].body["rung"]) == ("HighErrorRate", "main", "label")


async def test_an_incident_tells_the_beginning_and_the_end_of_its_operations_and_its_own_end(database: Database, operations: OperationStore) -> None:
    incident = await placed(AlertStore(database))
    row = await operations.begin(operation(incident_id=incident.id), (AuditEvent(kind="accepted", says="HighErrorRate", at=START),), (), incident.episodes)
    end = Transition(phase="ended", data=row.data, says="live is v2.4.6", done=Outcome.RECOVERED, incident_outcome="recovered")
    assert await operations.commit(row, end, LATER)
    told = [(one.kind, one.says, one.at) for one in (await story(database, incident.id))[2:]]
    assert told == [
        ("operation_begun", "rollback began: HighErrorRate", START),
        ("operation_ended", "rollback ended: recovered: live is v2.4.6", LATER),
        ("closed", "closed: recovered", LATER),
    ]


async def test_an_operation_that_ends_otherwise_leaves_the_incident_open(database: Database, operations: OperationStore) -> None:
    incident = await placed(AlertStore(database))
    row = await operations.begin(operation(incident_id=incident.id), (), ())
    assert await operations.commit(row, Transition(phase="ended", data=row.data, says="no way", done=Outcome.REFUSED), LATER)
    assert [one.kind for one in await story(database, incident.id)][2:] == ["operation_begun", "operation_ended"]


async def test_closing_twice_is_told_once(database: Database) -> None:
    alerts = AlertStore(database)
    incident = await placed(alerts)
    for _ in range(2):
        await alerts.close_incident(incident.id, outcome="resolved", at=LATER)
    assert [one.says for one in await story(database, incident.id) if one.kind == "closed"] == ["closed: resolved"]


async def test_an_operation_without_an_incident_tells_none(database: Database, operations: OperationStore) -> None:
    row = await operations.begin(operation(automatic=False), (AuditEvent(kind="accepted", says="asked for", at=START),), ())
    assert await operations.commit(row, Transition(phase="ended", data=row.data, says="x", done=Outcome.REFUSED), LATER)
    assert set(await EventStore(database).newer({"op_1": 0, "": 0, "None": 0})) == {"op_1"}


async def test_promise_2_an_alert_that_came_while_its_incident_was_being_closed_keeps_it_open(database: Database) -> None:
    alerts = AlertStore(database)
    incident = await placed(alerts)
    await alerts.close_incident(incident.id, outcome="resolved", at=LATER, quiet_only=True)
    assert [one.id for one in await alerts.open_incidents()] == [incident.id]
    await alerts.accept(delivery(replace(notice("f00d"), firing=False, ends_at=LATER), at=LATER))
    await alerts.close_incident(incident.id, outcome="resolved", at=LATER, quiet_only=True)
    assert await alerts.open_incidents() == ()


async def test_promise_2_an_alert_that_nobody_took_up_keeps_its_incident_open_past_an_operation(database: Database, operations: OperationStore) -> None:
    incident = await placed(AlertStore(database))
    row = await operations.begin(operation(incident_id=incident.id), (), (), incident.episodes)
    late = await placed(AlertStore(database), "beef")
    end = Transition(phase="ended", data=row.data, says="live is v2.4.6", done=Outcome.RECOVERED, incident_outcome="recovered")
    assert await operations.commit(row, end, LATER)
    assert [one.id for one in await AlertStore(database).open_incidents()] == [late.id]
