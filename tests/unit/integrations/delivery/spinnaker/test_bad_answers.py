"""Whatever of Gate's answers is missing, null or of another type: no reader raises anything but what it says, and none calls good what nobody said is good.

Every field of every recorded body is taken away and replaced in turn, and several at once by chance; then the same with all that one look at a target reads.
"""

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrations.delivery.spinnaker.answers import Reply
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.doors import doors_to
from integrations.delivery.spinnaker.executions import Execution, Status, execution_of, executions_of, ref_of, task_of
from integrations.delivery.spinnaker.facts import Reader
from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress, replica_sets_of
from integrations.delivery.spinnaker.pipelines import pipeline_of
from integrations.delivery.spinnaker.runs import acting_on, touches_of
from integrations.delivery.spinnaker.settings import Settings
from service.domain import keys
from service.domain.errors import BackoutError
from service.domain.facts import Absent, Key, Known
from tests.unit.integrations.delivery.spinnaker.recordings import FIXTURES, steps
from tests.unit.integrations.delivery.spinnaker.stage import NEW, WEB, Stage, deploy_stage, deployed_by_a_pipeline

GONE = object()
ODD: tuple[Any, ...] = (GONE, None, True, -1, 10**30, 1.5, "", "x", '\ud800 ${1+1} / " \u202e', [], [None, 7, "x", []], {}, {"x": None})
"""What may stand where something else should; a lone surrogate, an expression and a mark that turns the line around among them."""
ADDRESS = ManifestAddress("k8s", "ns", "deployment", "web")
Path = tuple[str | int, ...]


def places(body: Any, at: Path = ()) -> Iterator[Path]:
    """Every place in it, the whole of it first; of a list only the first and the last."""
    yield at
    if isinstance(body, Mapping):
        for name, value in body.items():
            yield from places(value, (*at, name))
    elif isinstance(body, list) and body:
        for number in sorted({0, len(body) - 1}):
            yield from places(body[number], (*at, number))


def put(body: Any, at: Path, value: Any) -> Any:
    """A copy with that in that place; the copy itself where the place is not there any more."""
    if not at:
        return None if value is GONE else copy.deepcopy(value)
    whole = copy.deepcopy(body)
    holder = whole
    for step in at[:-1]:
        try:
            holder = holder[step]
        except (KeyError, IndexError, TypeError):
            return whole
    try:
        if value is GONE:
            del holder[at[-1]]
        else:
            holder[at[-1]] = copy.deepcopy(value)
    except (KeyError, IndexError, TypeError):
        return whole
    return whole


Shape = tuple[str, ...]


def shape(at: Path) -> Shape:
    """The place, whichever item of a list it is in."""
    return tuple("*" if isinstance(one, int) else one for one in at)


def recorded() -> list[tuple[Any, list[Path]]]:
    """Every body that was recorded and has a place that none before it had, with those places."""
    found: list[tuple[Any, list[Path]]] = []
    known: set[Shape] = set()
    for file in sorted(FIXTURES.glob("*.json")):
        for step in steps(file.stem):
            body = step["response"]["body"]
            new = {shape(at): at for at in places(body) if shape(at) not in known} if isinstance(body, dict | list) else {}
            known |= set(new)
            if new:
                found.append((body, list(new.values())))
    return found


BODIES = recorded()


def use(body: Any) -> list[Execution]:
    """All that our code asks of such a body, as whatever it may be."""
    runs = [one for one in (execution_of(body), task_of(body), *executions_of(body)) if one is not None]
    ref_of(body)
    replica_sets_of(body, ADDRESS)
    pipelines = [one for item in (body if isinstance(body, list) else [body]) if (one := pipeline_of(item)) is not None]
    doors_to(ADDRESS, pipelines)
    for pipeline in pipelines:
        pipeline.missing({})
        pipeline.wrong({"image": "x"})
    touches_of(runs, ADDRESS)
    acting_on(runs, ADDRESS)
    for run in runs:
        assert isinstance(run.failure, str)
        assert {stage.id for stage in run.top} <= {stage.id for stage in run.stages}
        for stage in run.stages:
            run.below(stage)
        _ = (run.deployed, run.judgments, run.goes_back, run.automated, run.has_posted)
        assert [made for made in run.deployed if made.well and made.stage.status is not Status.SUCCEEDED] == []
    return runs


def test_there_is_something_to_break() -> None:
    assert sum(len(new) for _, new in BODIES) > 500
    assert sum(1 for body, _ in BODIES for _ in use(body)) > 30


def test_a_field_that_is_missing_null_or_of_another_type_is_never_an_error_and_never_good() -> None:
    for body, new in BODIES:
        before = {run.id: run.status for run in use(body)}
        for at in new:
            for value in ODD:
                for run in use(put(body, at, value)):
                    told = before.get(run.id)
                    assert not run.status.well or told is None or told.well, f"{at} = {value!r} made a run that was {told} a good one"


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_a_status_that_is_none_is_neither_an_end_nor_good(value: Any) -> None:
    run = execution_of(put({"id": "01", "status": "SUCCEEDED", "stages": []}, ("status",), value))
    assert run is not None
    assert (run.status, run.status.ended, run.status.well) == (Status.OTHER, False, False)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_several_at_once_neither(data: st.DataObject) -> None:
    body, _ = data.draw(st.sampled_from(BODIES))
    for _ in range(data.draw(st.integers(2, 6))):
        body = put(body, data.draw(st.sampled_from(list(places(body)))), data.draw(st.sampled_from(ODD)))
    use(body)


def test_stages_that_require_or_made_each_other_in_a_circle_come_to_an_end() -> None:
    stages = [
        {"id": "a", "refId": "1", "type": "no such type", "requisiteStageRefIds": ["2"], "parentStageId": "b", "status": "RUNNING"},
        {"id": "b", "refId": "2", "type": "deployManifest", "requisiteStageRefIds": ["1"], "parentStageId": "a", "status": "RUNNING"},
        {"id": "c", "refId": "3", "type": "wait", "requisiteStageRefIds": ["3"], "parentStageId": "c", "status": "RUNNING"},
    ]
    run = execution_of({"id": "01", "status": "RUNNING", "stages": stages})
    assert run is not None
    assert [len(run.below(stage)) for stage in run.stages] == [1, 1, 0]
    assert run.top == ()
    tops = execution_of({"id": "01", "status": "RUNNING", "stages": [{**one, "parentStageId": None} for one in stages]})
    assert tops is not None
    assert [stage.id for stage in tops.top] == ["a", "b", "c"]


# --- all that one look reads ------------------------------------------------------------------------------------------------


class Kept(Client):
    """Answers what it was told to, by path; what it does not know it asks Gate for, and keeps."""

    answers: dict[str, Any]

    async def _get(self, path: str, query: Mapping[str, str] | None = None, *, may_be_empty: bool = False) -> Reply:
        if path not in self.answers:
            self.answers[path] = (await super()._get(path, query, may_be_empty=may_be_empty)).body
        return Reply(body=copy.deepcopy(self.answers[path]), what=f"GET {path}", digest="sha256:0", server_time=None)


ASKED: tuple[Callable[[Any], Key[Any]], ...] = (keys.state, keys.acts, keys.pods, keys.permissions)


def _says_it_is_well(body: Any) -> bool:
    """What has to be told for health: read by other code than the product's."""
    flags = body["status"] if isinstance(body, dict) and isinstance(body.get("status"), dict) else {}
    return flags.get("stable") == {"state": True, "message": None} or (isinstance(flags.get("stable"), dict) and flags["stable"].get("state") is True)


async def test_whatever_one_answer_lacks_each_fact_is_known_or_absent_and_no_health_is_made_up(stage: Stage) -> None:
    await deployed_by_a_pipeline(stage, NEW)
    stage.gate.save_pipeline(
        {"application": "shop", "name": 'deploy "now" / ü', "stages": [deploy_stage(NEW)], "triggers": [{"type": "cron", "enabled": True}]}
    )
    stage.pass_(minutes=1)
    client = Kept(Settings(name="spin", url=stage.gate.url, auth="none", applications=("shop",)), stage.clock, traceparent=str)
    stage.opened.append(client)
    client.answers = {}
    reader = Reader(Settings(name="spin", url=stage.gate.url, auth="none", applications=("shop",)), client, stage.clock)
    facts = [await reader.read(ask(WEB)) for ask in ASKED]
    assert all(isinstance(one, Known) for one in facts), facts
    whole, manifest = dict(client.answers), f"/manifests/k8s/shop/deployment%20{WEB.name.rpartition('/')[2]}"
    true = facts[0]
    assert isinstance(true, Known)
    for path, body in whole.items():
        for number, at in enumerate(places(body)):
            value = ODD[number % len(ODD)]
            client.answers = {**whole, path: put(body, at, value)}
            for ask in ASKED:
                try:
                    fact = await reader.read(ask(WEB))
                except BackoutError as error:  # pragma: no cover  it is what must not be
                    pytest.fail(f"{path} {at} = {value!r}: {error}")
                assert isinstance(fact, Known | Absent)
                if ask is keys.state and isinstance(fact, Known) and path == manifest:
                    assert fact.value.health != "Healthy" or _says_it_is_well(client.answers[path]), (at, value)
                if ask is keys.state and isinstance(fact, Known) and "template" not in at and fact.value.current is not None:
                    assert fact.value.current.key == true.value.current.key or path != manifest, (at, value)


@pytest.mark.parametrize("name", ["a/b", 'say "now"', "ünïcode \u202e", "%2F..", "x" * 2000, "", "\n", "${1+1}"])
async def test_a_pipeline_may_have_any_name(stage: Stage, name: str) -> None:
    stage.gate.save_pipeline({"application": "shop", "name": name, "stages": [deploy_stage(NEW)], "triggers": [{"type": "cron", "enabled": True}]})
    state = await stage.state()
    assert state.owner.kind == "pipeline"
    assert state.owner.name == name


async def test_a_list_that_is_too_large_is_not_read_to_its_end_and_what_it_would_have_told_is_unknown(stage: Stage) -> None:
    one = json.dumps({"id": "01K00000000000000000000000", "status": "RUNNING", "stages": [{"context": {"x": "y" * 1000}}]})
    body = f"[{','.join([one] * 50_000)}]".encode()
    assert len(body) > 50 * 1000 * 1000
    stage.gate.fail_with(200, times=None, body=body, content_type="application/json")
    client = Client(Settings(name="spin", url=stage.gate.url, auth="none", applications=("shop",)), stage.clock, traceparent=str)
    stage.opened.append(client)
    with pytest.raises(BackoutError, match=r"/applications/shop/pipelines answered more than \d+ bytes"):
        await client.pipeline_runs("shop", limit=5, expand=True)
    fact = await stage.spinnaker.read(keys.state(WEB))
    assert isinstance(fact, Absent)
    assert "answered more than" in fact.why
