import json
from dataclasses import fields, replace
from datetime import timedelta

import pytest

from service.domain.errors import PermanentError
from service.domain.recovery import Bound, Check, Look, Progress
from service.workflow.record import SCHEMA, Attempt, Confirmed, Rollback, Tried, dump, load
from tests.fakes.clock import START
from tests.fakes.store import operation
from tests.unit.service.domain import made
from tests.unit.service.workflow.stage import PROMISED_BY_THE_STORE, TARGET, Stage

ON_BOTH = PROMISED_BY_THE_STORE


def again(record: Rollback) -> Attempt:
    """As after a restart: through JSON text."""
    return load(operation(data=json.loads(json.dumps(dump(record)))))


async def test_a_full_record_comes_back_as_it_was(stage: Stage) -> None:
    plan = (await stage.desk.check(TARGET)).plan
    record = Rollback(
        trigger=stage.trigger(),
        episodes=("epi_1",),
        fingerprints=("f00d",),
        confirmed=Confirmed(digest="sha256:1", names=("a",), reason="r"),
        why_mode="mode auto",
        plan=plan,
        onset=made.ONSET,
        cursor=2,
        tried=(Tried(step=0, undo=True, attempt=2, intent={"nested": {"list": [1, None, "ü"]}}, at=START, ended="done", says="s"),),
        why_compensate="late",
        ending="failed",
        hold_id="hld_1",
        wanted=(made.OLD_IMAGE,),
        bound=Bound(rung="rule", promql="e", labels=(("a", "b"),), comparison=">", threshold=0.5),
        traffic_before=12.5,
        progress=Progress(started_at=START, give_up_at=START, passes=2, checks=(Check(name="sli", look=Look.GOOD, says="", value=0.1),)),
        verdicts=2,
        acting_since=START,
        waiting_since=START,
        stumbles=1,
        attempts=3,
        keep_firing=timedelta(minutes=5),
        joins_hold=True,
        held_before=True,
        own_marker="operation=op_1",
        back_since=START,
        verified=True,
        left_out="why",
        omitted=("mark it: why",),
        approved_by="user:jane",
        left_behind=("ConfigMap shop/flags",),
        left_says="nothing renders",
        second="user:bob",
        second_reason="seen",
    )
    assert again(record) == record
    assert plan is not None
    restored = again(record).plan
    assert restored is not None
    assert restored.digest == plan.digest
    untouched = [one.name for one in fields(Rollback) if getattr(record, one.name) == getattr(Rollback(), one.name) and one.name != "schema"]
    assert untouched == []


def test_promise_3_a_record_that_lacks_later_fields_is_read_with_their_defaults() -> None:
    """An operation that an earlier version began goes on under this one."""
    assert load(operation(data={})) == Rollback()
    assert load(operation(data={"schema": 1, "cursor": 3})) == replace(Rollback(), cursor=3)


def test_a_record_that_a_newer_version_wrote_is_refused() -> None:
    with pytest.raises(PermanentError, match="newer version"):
        load(operation(data={"schema": SCHEMA + 1}))
