"""That the adapter joins its parts; what each part does is tested beside its file, and all of it together by the port's contract suite."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from aiohttp import web

from integrations.delivery.argocd.adapter import build
from integrations.delivery.argocd.settings import Settings
from integrations.sandbox.http import LoopbackServer
from service.domain import keys, ports
from service.domain.errors import BackoutError
from service.domain.facts import Absent, Key, Known
from service.domain.model import TargetId
from tests.unit.integrations.delivery.argocd.stage import CountingGuard, Stage, StageClock

WEB = TargetId("prod", "web")
TRACES = ("00-" + "a" * 32 + "-" + "b" * 16 + "-01", "00-" + "c" * 32 + "-" + "d" * 16 + "-01")


class Listening(LoopbackServer):
    """Notes the headers of each request and answers an empty object."""

    def __init__(self) -> None:
        super().__init__()
        self.traces: list[str | None] = []

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return [web.route("*", "/{tail:.*}", self._note)]

    async def _note(self, request: web.Request) -> web.Response:
        self.traces.append(request.headers.get("traceparent"))
        return web.json_response({})


@pytest.fixture
async def server() -> AsyncIterator[Listening]:
    made = Listening()
    await made.start()
    yield made
    await made.stop()


def adapter(server: Listening, folder: Path, **more: Callable[[], str]) -> ports.Delivery:
    (folder / "token").write_text("t", encoding="utf-8")
    return build(Settings.model_validate({"name": "prod", "url": server.url, "token_file": folder / "token"}), StageClock(), **more)


async def test_the_instance_is_the_first_half_of_every_targets_id(stage: Stage) -> None:
    await stage.application("web")
    listing = await stage.argo.targets()
    assert stage.argo.instance == "prod"
    assert [str(one.target) for one in listing.targets] == ["prod:web"]
    assert listing.complete


async def test_a_look_and_the_fact_about_the_state_are_the_same_reading(stage: Stage) -> None:
    await stage.two_releases("web")
    fact = await stage.argo.read(keys.state(WEB))
    assert isinstance(fact, Known)
    looked = await stage.argo.look(WEB)  # a moment later, so health may have moved on
    assert (fact.value.uid, fact.value.history, fact.value.spec_digest) == (looked.uid, looked.history, looked.spec_digest)
    assert "prod" in fact.evidence.source


async def test_a_look_at_what_is_not_there_raises_and_the_fact_is_absent(stage: Stage) -> None:
    await stage.application("web")
    await stage.argo.targets()
    gone = TargetId("prod", "gone")
    assert isinstance(await stage.argo.read(keys.state(gone)), Absent)
    with pytest.raises(BackoutError, match="gone"):
        await stage.argo.look(gone)


async def test_every_kind_of_fact_that_is_named_is_answered(stage: Stage) -> None:
    await stage.two_releases("web")
    state = await stage.argo.look(WEB)
    goal = state.history[1]
    release = (WEB, goal.key, goal.handle)
    subjects = {
        "rendered images": release,
        "rendered manifests": release,
        "rollouts back": release,
        "leftovers": (WEB, goal.handle),
        "prune confirmations": (WEB, ()),
    }
    facts = {kind: await stage.argo.read(Key(kind, subjects.get(kind, WEB))) for kind in stage.argo.kinds}
    assert [kind for kind, fact in facts.items() if not isinstance(fact, Known)] == []
    assert isinstance(await stage.argo.read(keys.manifest("a@b")), Absent)


async def test_an_offer_is_carried_out_and_seen_through_one_door(stage: Stage) -> None:
    await stage.two_releases("web")
    step, intention = await stage.ready("web", "roll_back")
    intent = await stage.argo.intend(step, intention)
    assert (await stage.argo.observe(step, intent)).seen is ports.Seen.NOT_SEEN
    guard = CountingGuard()
    await stage.argo.act(step, intent, guard)
    assert guard.asked >= 1
    await stage.deployed("web", 3)
    assert (await stage.argo.observe(step, intent)).seen is ports.Seen.DONE


async def test_the_doctors_lines_are_about_this_instance(stage: Stage) -> None:
    lines = await stage.argo.check()
    assert lines
    assert all(line.what.startswith("argocd prod") for line in lines)


async def test_the_trace_at_work_is_asked_for_before_each_request(server: Listening, tmp_path: Path) -> None:
    at_work = iter(TRACES)
    argo = adapter(server, tmp_path, traceparent=lambda: next(at_work, ""))
    for _ in range(3):
        await argo.read(keys.state(WEB))
    await argo.close()
    assert server.traces[:2] == list(TRACES)
    assert set(server.traces[2:]) == {None}


async def test_without_a_trace_no_header_is_made_up(server: Listening, tmp_path: Path) -> None:
    argo = adapter(server, tmp_path)
    await argo.read(keys.state(WEB))
    await argo.close()
    assert set(server.traces) == {None}


async def test_nothing_is_asked_before_somebody_wants_to_know(server: Listening, tmp_path: Path) -> None:
    await adapter(server, tmp_path).close()
    assert server.traces == []
