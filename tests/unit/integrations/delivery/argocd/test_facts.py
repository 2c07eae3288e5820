import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from integrations.delivery.argocd.client import Client, DeniedError, Reply, ServerRefusedError
from integrations.delivery.argocd.facts import ACTIONS, Reader
from integrations.moment import MOMENT, Moment
from integrations.pacing import PACE, Pace
from service.domain import keys
from service.domain.errors import BackoutError, TemporaryError
from service.domain.facts import Absent, Fact, Key, Known
from service.domain.model import Image, ObjectRef, TargetId
from tests.unit.integrations.delivery.argocd.canary import BY_HAND, HALF_THEN_STOP, RIGHTS, ROLLOUT, Canary
from tests.unit.integrations.delivery.argocd.stage import START, Stage, opened

AUTO = {"prune": True}


@pytest.fixture
async def plain(stage: Stage) -> Stage:
    await stage.two_releases("web")
    return stage


async def value(stage: Stage, key: Key[Any]) -> Any:
    fact: Fact[Any] = await stage.argo.read(key)
    assert isinstance(fact, Known), fact
    assert fact.evidence.source == "argocd:prod"
    assert fact.evidence.digest.startswith("sha256:")
    assert timedelta(0) < fact.good_for <= timedelta(minutes=10)
    return fact.value


async def absent(stage: Stage, key: Key[Any]) -> str:
    fact = await stage.argo.read(key)
    assert isinstance(fact, Absent), fact
    return fact.why


# --- inventory ---


def asked(stage: Stage, path: str) -> int:
    """How often the sandbox was asked for that path."""
    return sum(1 for call in stage.sandbox.served if call.method == "GET" and call.path == path)


async def test_facts_that_are_asked_for_together_share_one_look_and_later_ones_make_their_own(plain: Stage) -> None:
    target = TargetId("prod", "web")
    wanted: tuple[Key[Any], ...] = (keys.state(target), keys.acts(target), keys.window(target), keys.permissions(target))
    before = asked(plain, "/api/v1/applications/web")
    first = await asyncio.gather(*(plain.argo.read(key) for key in wanted))
    assert asked(plain, "/api/v1/applications/web") == before + 1
    assert all(isinstance(fact, Known) for fact in first)
    await plain.person("PUT", "/applications/web/spec", plain.spec("web", automated={}))
    assert (await value(plain, keys.state(target))).auto_sync
    assert asked(plain, "/api/v1/applications/web") == before + 2


async def test_promise_1_what_an_earlier_read_of_the_same_moment_tells_is_as_old_as_that_read(plain: Stage) -> None:
    target = TargetId("prod", "web")

    async def in_one_moment() -> tuple[Fact[Any], Fact[Any]]:
        MOMENT.set(Moment(plain.clock, lasts=timedelta(seconds=10)))
        first = await plain.argo.read(keys.state(target))
        await asyncio.sleep(5)
        return first, await plain.argo.read(keys.acts(target))

    before, began = asked(plain, "/api/v1/applications/web"), plain.clock.now()
    first, second = await asyncio.ensure_future(in_one_moment())
    assert isinstance(first, Known)
    assert isinstance(second, Known)
    assert asked(plain, "/api/v1/applications/web") == before + 1
    assert plain.clock.now() - began >= timedelta(seconds=5)
    assert first.evidence.read_at == second.evidence.read_at < plain.clock.now() - timedelta(seconds=4)


async def test_promise_1_facts_that_share_a_look_which_fails_are_all_unknown(plain: Stage) -> None:
    target = TargetId("prod", "nothing")
    facts = await asyncio.gather(*(plain.argo.read(key) for key in (keys.state(target), keys.acts(target))))
    assert [isinstance(fact, Absent) for fact in facts] == [True, True]


async def test_one_that_is_not_waited_for_any_more_ends_no_other(plain: Stage) -> None:
    target = TargetId("prod", "web")
    first = asyncio.ensure_future(plain.argo.read(keys.state(target)))
    second, third = (asyncio.ensure_future(plain.argo.read(keys.acts(target))) for _ in range(2))
    await asyncio.sleep(0)
    second.cancel()
    assert isinstance(await third, Known)
    assert isinstance(await first, Known)
    first, second = asyncio.ensure_future(plain.argo.read(keys.state(target))), asyncio.ensure_future(plain.argo.read(keys.acts(target)))
    await asyncio.sleep(0)
    first.cancel()  # the one that reads for both: the other is told, and nobody waits for ever
    assert isinstance(await second, Absent)
    assert isinstance(await plain.argo.read(keys.state(target)), Known)


async def test_promise_5_our_account_is_asked_for_once_a_token(plain: Stage) -> None:
    target, path = TargetId("prod", "web"), "/api/v1/session/userinfo"
    await value(plain, keys.state(target))
    before = asked(plain, path)
    await value(plain, keys.state(target))
    assert asked(plain, path) == before
    (plain.root / "backout.token").write_text(plain.sandbox.add_account("renamed", ["p, renamed, applications, get, */*, allow"]), encoding="utf-8")
    await value(plain, keys.state(target))
    assert asked(plain, path) == before + 1
    (plain.root / "backout.token").write_text("nobody's", encoding="utf-8")
    assert "token" in await absent(plain, keys.state(target))


async def test_the_list_names_what_the_alert_index_needs(plain: Stage) -> None:
    await plain.until("web", lambda app: app["status"]["summary"].get("images") == ["registry.example/web:2.0"], "the end of the roll-out")
    listing = await plain.argo.targets()
    (listed,) = listing.targets
    assert listing.complete
    assert (str(listed.target), listed.project, listed.namespace) == ("prod:web", "default", "web")
    assert ObjectRef(group="apps", kind="Deployment", namespace="web", name="web") in listed.objects
    assert listed.images == ("registry.example/web:2.0",)
    # a real v3.2.11 does not tell the revision in a list
    assert listed.desired_revision in {"", (await plain.argo.look(listed.target)).desired_revision}


async def test_an_application_that_moved_since_the_list_before_is_understood_anew(plain: Stage) -> None:
    (before,) = (await plain.argo.targets()).targets
    plain.sandbox.write_by_kubernetes("web", lambda app: app["spec"]["destination"].update(namespace="elsewhere"))
    (after,) = (await plain.argo.targets()).targets
    assert (before.namespace, after.namespace, before.stamp == after.stamp) == ("web", "elsewhere", False)


async def test_the_stamp_stays_while_nothing_happens_and_moves_with_a_deploy(plain: Stage) -> None:
    await plain.until("web", lambda app: app["status"]["health"]["status"] == "Healthy", "health")
    before = (await plain.argo.targets()).targets[0].stamp
    assert (await plain.argo.targets()).targets[0].stamp == before
    await plain.deploy("web", "registry.example/web:3.0")
    assert (await plain.argo.targets()).targets[0].stamp != before


async def hints(stage: Stage, act: Callable[[], Awaitable[object]], until: TargetId | None) -> list[TargetId | None]:
    """What the watch hints at after its beginning while `act` is done, up to the one that ends it."""
    changes = stage.argo.changes()
    assert changes is not None
    found: list[TargetId | None] = []
    async with contextlib.aclosing(changes) as told, asyncio.timeout(20):  # type: ignore[type-var]  # it is a generator
        assert await anext(told) is None
        await act()
        while not found or found[-1] != until:
            found.append(await anext(told))
    return found


async def test_a_change_hints_at_the_application_that_changed(plain: Stage) -> None:
    await plain.application("other")
    found = await hints(plain, lambda: plain.deploy("web", "registry.example/web:3.0"), plain.target("web"))
    assert set(found) <= {None, plain.target("web")}  # None: the other application's first word


async def test_an_application_that_comes_hints_at_the_list(plain: Stage) -> None:
    found = await hints(plain, lambda: plain.application("fresh"), None)
    assert found[-1] is None


async def test_what_changes_by_itself_hints_at_nothing(plain: Stage) -> None:
    """A refresh that finds nothing new writes reconciledAt; the server has nothing to say of the fields that are watched."""

    async def act() -> None:
        await plain.until("web", lambda app: app["status"]["health"]["status"] == "Healthy", "health")
        await plain.settle(0.1)
        found.clear()
        for _ in range(5):
            plain.tick()
            await plain.person("GET", "/applications/web?refresh=normal")
        quiet.extend(found)
        await plain.deploy("web", "registry.example/web:3.0")

    found: list[TargetId | None] = []
    quiet: list[TargetId | None] = []
    changes = plain.argo.changes()
    assert changes is not None

    async def listen() -> None:
        async for hint in changes:
            found.append(hint)  # noqa: PERF401  read by others meanwhile

    listening = asyncio.ensure_future(listen())
    await act()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert (quiet, plain.target("web") in found) == ([], True)


async def test_a_watch_that_is_switched_off_is_none(plain: Stage) -> None:
    assert plain.adapter(watch=False).changes() is None


async def test_an_empty_list_without_the_right_to_read_is_not_no_applications(plain: Stage) -> None:
    plain.argo = plain.adapter((), name="blind")
    listing = await plain.argo.targets()
    assert (listing.targets, listing.complete) == ((), False)
    assert "may exist all the same" in listing.says


async def test_an_empty_list_with_the_right_to_read_is_complete(stage: Stage) -> None:
    listing = await stage.argo.targets()
    assert (listing.targets, listing.complete, listing.says) == ((), True, "")


async def test_rights_on_one_project_make_the_list_of_all_incomplete_and_of_that_one_complete(plain: Stage) -> None:
    plain.sandbox.projects.put("shop")
    await plain.application("cart", project="shop")
    everything = await plain.adapter(project="shop", name="shopper").targets()
    assert ([str(listed.target) for listed in everything.targets], everything.complete) == (["prod:cart"], False)
    own = await plain.adapter(project="shop", name="shopper2", projects=["shop"]).targets()
    assert ([str(listed.target) for listed in own.targets], own.complete) == (["prod:cart"], True)
    both = await plain.adapter(project="shop", name="shopper3", projects=["shop", "default"]).targets()
    assert (len(both.targets), both.complete) == (1, False)
    assert "default/*" in both.says


# --- volatile facts ---


async def test_the_state_is_read_live_with_its_evidence(plain: Stage) -> None:
    fact = await plain.argo.read(keys.state(plain.target("web")))
    assert isinstance(fact, Known)
    assert fact.evidence.what == "GET /api/v1/applications/web"
    assert [release.handle for release in fact.value.history] == ["1", "0"]
    assert fact.value.owner.kind == "nobody"


async def test_a_forbidden_application_is_absent_and_both_possibilities_are_told(plain: Stage) -> None:
    plain.argo = plain.adapter((), name="blind")
    for key in (keys.state(plain.target("web")), keys.window(plain.target("web")), keys.acts(plain.target("web")), keys.pods(plain.target("web"))):
        why = await absent(plain, key)
        assert "the token lacks the right, or there is no such application, or Argo CD cannot reach Kubernetes" in why


async def test_an_application_that_is_gone_is_told_from_a_forbidden_one_once_its_project_is_known(plain: Stage) -> None:
    await value(plain, keys.state(plain.target("web")))
    await plain.person("DELETE", "/applications/web?cascade=false")
    assert 'applications.argoproj.io "web" not found' in await absent(plain, keys.state(plain.target("web")))


async def test_an_application_that_moved_to_another_project_is_found_there(plain: Stage) -> None:
    await value(plain, keys.state(plain.target("web")))
    plain.sandbox.projects.put("shop")
    plain.sandbox.write_by_kubernetes("web", lambda app: app["spec"].update(project="shop"))
    assert (await value(plain, keys.state(plain.target("web")))).project == "shop"


async def test_an_unanswered_question_is_absent(plain: Stage) -> None:
    await plain.sandbox.refuse()
    assert "could not be reached" in await absent(plain, keys.state(plain.target("web")))
    assert "knows nothing of the record" in await absent(plain, keys.record(plain.target("web"), "key"))


async def test_windows_are_open_or_closed_and_named(plain: Stage) -> None:
    assert (await value(plain, keys.window(plain.target("web")))).open
    plain.sandbox.projects.set_windows("default", [{"kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["*"]}])
    closed = await value(plain, keys.window(plain.target("web")))
    assert (closed.open, closed.says) == (False, "a sync window is in the way: deny at '* * * * *' for 1h")
    assert (closed.until, closed.unsure) == (None, "")


async def test_a_window_says_until_when_by_the_projects_time_zone(plain: Stage) -> None:
    schedule, zone = "0 19 * * *", "Asia/Kolkata"  # 13:30 UTC; it is 14:00
    plain.sandbox.projects.set_windows("default", [{"kind": "allow", "schedule": schedule, "duration": "1h", "applications": ["*"], "timeZone": zone}])
    opened = await value(plain, keys.window(plain.target("web")))
    assert (opened.open, opened.until, opened.unsure) == (True, START + timedelta(minutes=30), "")


async def test_without_the_right_to_read_the_project_nobody_knows_when_a_window_closes(plain: Stage) -> None:
    plain.sandbox.projects.set_windows("default", [{"kind": "allow", "schedule": "* * * * *", "duration": "1h", "applications": ["*"]}])
    blind = plain.adapter(name="blind", extra=())
    window = await blind.read(keys.window(plain.target("web")))
    assert isinstance(window, Known)
    assert (window.value.open, window.value.until) == (True, None)
    assert "permission denied" in window.value.unsure


async def test_acts_hold_who_did_what(plain: Stage) -> None:
    acts = await value(plain, keys.acts(plain.target("web")))
    assert {(act.what, str(act.by)) for act in acts} >= {("history", "user:admin"), ("operation", "user:admin")}
    step, intention = await plain.ready("web", "roll_back")
    intent = await plain.argo.intend(step, intention)
    await plain.argo.act(step, intent, _free)
    await plain.deployed("web", 3)
    acts = await value(plain, keys.acts(plain.target("web")))
    assert ("history", True) in {(act.what, act.ours) for act in acts}
    assert any(act.says == "backout initiated rollback to 0" and act.ours for act in acts)


async def _free() -> None:
    """Lets every send pass."""


# --- pods ---


async def test_pods_tell_the_digests_that_run_and_whether_they_are_ready(plain: Stage) -> None:
    await plain.until("web", lambda app: app["status"]["health"]["status"] == "Healthy", "health")
    pods = await value(plain, keys.pods(plain.target("web")))
    assert len(pods) == 2
    assert all(pod.ready for pod in pods)
    (image,) = {image for pod in pods for image in pod.images}
    assert (image.reference, image.proof) == ("registry.example/web:2.0", "pods")
    assert image.digest is not None
    assert image.digest.startswith("sha256:")


async def test_pods_of_a_bad_release_are_not_ready(plain: Stage) -> None:
    await plain.deploy("web", "registry.example/web:bad")
    await plain.settle(0.2)
    pods = await value(plain, keys.pods(plain.target("web")))
    assert any(not pod.ready for pod in pods)


async def test_one_unreadable_pod_makes_the_whole_fact_absent(plain: Stage) -> None:
    await plain.until("web", lambda app: app["status"]["health"]["status"] == "Healthy", "health")
    key = next(key for key in plain.sandbox.cluster.tracked_by("web") if key[1] == "Deployment")
    deployment = plain.sandbox.cluster.get(key)
    assert deployment is not None
    sets = plain.sandbox.cluster.owned_by(deployment["metadata"]["uid"])
    pods = [pod for owner in sets.values() for pod in plain.sandbox.cluster.owned_by(owner["metadata"]["uid"]).items()]
    name, pod = pods[0]
    silent = json.loads(json.dumps(pod))
    for status in silent["status"]["containerStatuses"]:
        status["imageID"] = ""
    plain.sandbox.cluster.put(name, silent, quiet=True)
    assert "does not say which image" in await absent(plain, keys.pods(plain.target("web")))


# --- permissions, what a past release was ---


async def test_missing_rights_come_with_the_line_that_gives_them(plain: Stage) -> None:
    assert (await value(plain, keys.permissions(plain.target("web")))).allowed == {"get": True, "sync": True, "update": True}
    assert asked(plain, "/api/v1/account/can-i/applications/sync/default/web") == 1
    assert asked(plain, "/api/v1/account/can-i/applications/get/default/web") == 0  # it was just read
    plain.argo = plain.adapter(("get",), name="reader")
    found = await value(plain, keys.permissions(plain.target("web")))
    assert found.allowed == {"get": True, "sync": False, "update": False}
    assert found.fix == {
        "sync": "p, reader, applications, sync, default/*, allow",
        "update": "p, reader, applications, update, default/*, allow",
    }


async def test_images_of_a_past_release_are_rendered_while_only_the_revision_differs(plain: Stage) -> None:
    state = await plain.argo.look(plain.target("web"))
    past = state.history[1]
    assert await value(plain, keys.images(state.target, past.key, past.handle)) == (Image(reference="registry.example/web:1.0"),)


async def test_images_of_a_release_with_other_parameters_are_absent(plain: Stage) -> None:
    state = await plain.argo.look(plain.target("web"))
    past = state.history[1]
    plain.sandbox.write_by_kubernetes("web", lambda app: app["spec"]["source"].update(path="elsewhere"))
    assert "had other sources or parameters than today" in await absent(plain, keys.images(state.target, past.key, past.handle))
    assert "no entry 77" in await absent(plain, keys.images(state.target, past.key, "77"))


async def test_a_handle_that_became_another_release_is_absent(plain: Stage) -> None:
    state = await plain.argo.look(plain.target("web"))
    assert "is another release now" in await absent(plain, keys.images(state.target, "other-key", "0"))


async def test_nothing_that_renders_is_absent_in_the_servers_words(plain: Stage) -> None:
    state = await plain.argo.look(plain.target("web"))
    past = state.history[1]
    plain.sandbox.faults.repo_server_down = True
    assert "503" in await absent(plain, keys.images(state.target, past.key, past.handle))


async def test_the_desired_images_are_those_of_the_revision_that_git_has_now(plain: Stage) -> None:
    plain.commit("web", "registry.example/web:3.0")
    await plain.person("GET", "/applications/web?refresh=normal")
    assert await value(plain, keys.desired_images(plain.target("web"))) == (Image(reference="registry.example/web:3.0"),)


async def test_the_desired_images_are_absent_when_nothing_renders_or_no_revision_is_wanted(plain: Stage) -> None:
    plain.sandbox.faults.repo_server_down = True
    assert "503" in await absent(plain, keys.desired_images(plain.target("web")))
    plain.sandbox.faults.repo_server_down = False
    plain.sandbox.faults.controller_down = True  # else it would write its own answer back at any moment
    plain.sandbox.write_by_kubernetes("web", lambda app: app["status"].update(sync={"status": "Unknown"}))
    assert "does not say which revision" in await absent(plain, keys.desired_images(plain.target("web")))


async def test_manifests_of_a_past_release_and_of_the_desired_one_are_told_by_digests(plain: Stage) -> None:
    state = await plain.argo.look(plain.target("web"))
    live, past = state.history
    now = await value(plain, keys.manifests(state.target, live.key, live.handle))
    before = await value(plain, keys.manifests(state.target, past.key, past.handle))
    assert [str(one.object) for one in now] == ["apps/Deployment web/web"]
    assert now[0].digest != before[0].digest
    assert now[0].fields == before[0].fields
    assert await value(plain, keys.desired_manifests(state.target)) == now
    assert "is another release now" in await absent(plain, keys.manifests(state.target, "other-key", "0"))
    plain.sandbox.faults.repo_server_down = True
    assert "503" in await absent(plain, keys.desired_manifests(state.target))


async def test_promise_12_a_secret_in_the_manifests_leaves_no_trace_of_its_values(plain: Stage) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"token": "hunter2"}}
    plain.commit("web", "registry.example/web:3.0", {"deploy/key.json": json.dumps(secret)})
    await plain.person("GET", "/applications/web?refresh=normal")
    found = await value(plain, keys.desired_manifests(plain.target("web")))
    (hidden,) = [one for one in found if one.hidden]
    secret["stringData"] = {"token": "hunter3"}
    plain.commit("web", "registry.example/web:3.0", {"deploy/key.json": json.dumps(secret)})
    await plain.person("GET", "/applications/web?refresh=normal")
    assert "hunter" not in repr(found)
    assert [one for one in await value(plain, keys.desired_manifests(plain.target("web"))) if one.hidden] == [hidden]


async def test_leftovers_are_what_the_past_release_does_not_have(plain: Stage) -> None:
    cleanup = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "added"}, "data": {}}
    plain.commit("web", "registry.example/web:3.0", {"deploy/added.json": json.dumps(cleanup)})
    await plain.person("POST", "/applications/web/sync", {})
    await plain.deployed("web", 3)
    await plain.until("web", lambda app: len(app["status"]["resources"]) == 2, "two resources")
    target = plain.target("web")
    assert await value(plain, keys.leftovers(target, "0")) == (ObjectRef(group="", kind="ConfigMap", namespace="web", name="added"),)
    assert await value(plain, keys.leftovers(target, "2")) == ()


# --- owners ---


def generated(stage: Stage, name: str, **more: Any) -> dict[str, Any]:
    spec = stage.spec(name, automated=AUTO)
    generators = [{"list": {"elements": [{"app": name}]}}]
    return {"metadata": {"name": "all"}, "spec": {"generators": generators, "template": {"metadata": {"name": name}, "spec": spec}, **more}}


async def test_an_application_set_that_would_undo_us_is_known_and_makes_the_offer_impossible(stage: Stage) -> None:
    stage.git.create("web")
    stage.commit("web", "registry.example/web:1.0")
    await stage.person("POST", "/applicationsets", generated(stage, "web"))
    await stage.deployed("web", 1)
    stage.tick()
    await stage.deploy("web", "registry.example/web:2.0")
    offer, state = await stage.offer("web")
    assert (state.owner.kind, state.owner.name, state.owner.reverts) == ("applicationset", "all", True)
    assert offer.impossible.endswith("takes back a stopped auto-sync within a tenth of a second")
    assert offer.steps == ()


async def test_an_application_set_that_ignores_auto_sync_lets_us_stop_it_without_a_mark(stage: Stage) -> None:
    stage.git.create("web")
    stage.commit("web", "registry.example/web:1.0")
    ignoring = {"ignoreApplicationDifferences": [{"jsonPointers": ["/spec/syncPolicy/automated/enabled"]}]}
    await stage.person("POST", "/applicationsets", generated(stage, "web", **ignoring))
    await stage.deployed("web", 1)
    stage.tick()
    await stage.deploy("web", "registry.example/web:2.0")
    step, intention = await stage.ready("web", "stop_auto_sync")
    intent = await stage.argo.intend(step, intention)
    await stage.argo.act(step, intent, _free)
    assert (await stage.argo.observe(step, intent)).seen == "done"
    app = await stage.raw("web")
    assert app["spec"]["syncPolicy"]["automated"]["enabled"] is False
    assert not app["metadata"].get("annotations")


class Away:
    """A client of an Argo CD that answers everything but the ApplicationSet."""

    def __init__(self, error: BackoutError) -> None:
        self._error = error

    async def application_set(self, *_: str) -> Reply:
        raise self._error

    async def settings(self) -> Reply:
        return Reply(body={"trackingMethod": "annotation"}, what="settings", digest="", server_time=None)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (TemporaryError("no answer"), True),
        (DeniedError("permission denied", status=403, code=7, words="permission denied"), True),
        (ServerRefusedError("permission denied: applicationsets, get", status=403, code=7, words="permission denied: applicationsets, get"), False),
    ],
)
async def test_an_owner_that_cannot_be_read_midway_is_asked_again_where_one_answer_proves_nothing(stage: Stage, error: BackoutError, *, again: bool) -> None:
    """Giving auto-sync back for one 403, which a Kubernetes API that is away gives too, would leave the bad release live."""
    reader = Reader(stage.settings(stage.root / "no.token"), cast("Client", Away(error)), stage.clock)
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "name": "all", "controller": True}
    app = {"metadata": {"name": "web", "namespace": "argocd", "ownerReferences": [owner]}, "spec": stage.spec("web")}
    assert (await reader.owner(app)).reverts
    if again:
        with pytest.raises(TemporaryError, match="whether an owner would undo it is not known now"):
            await reader.owner(app, midway=True)
    else:
        assert (await reader.owner(app, midway=True)).reverts


async def test_an_application_set_that_cannot_be_read_counts_as_one_that_reverts(stage: Stage) -> None:
    await stage.two_releases("web", automated=AUTO)
    gone = [{"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "name": "gone", "uid": "u"}]
    stage.sandbox.write_by_kubernetes("web", lambda app: app["metadata"].update(ownerReferences=gone))
    state = await stage.argo.look(stage.target("web"))
    assert state.owner.reverts
    assert "could not be read" in state.owner.says


@pytest.mark.parametrize(("in_git", "reverts"), [({"prune": True}, False), ({"prune": True, "enabled": True}, True)])
async def test_a_parents_git_decides_whether_it_undoes_us(stage: Stage, in_git: dict[str, Any], reverts: bool) -> None:
    stage.git.create("web")
    stage.commit("web", "registry.example/web:1.0")
    child = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "web", "namespace": "argocd"}}
    child["spec"] = stage.spec("web", automated=in_git)
    stage.git.create("root")
    stage.git.commit("root", {"deploy/web.json": json.dumps(child)}, "child", stage.clock.now())
    spec = stage.spec("root", automated={"selfHeal": True})
    spec["destination"]["namespace"] = "argocd"
    await stage.create("root", spec)
    await stage.until("root", lambda app: app["status"].get("history"), "a sync of the parent")
    await stage.deployed("web", 1)
    await stage.settle(0.1)
    owner = (await stage.argo.look(stage.target("web"))).owner
    assert (owner.kind, owner.name, owner.reverts) == ("parent", "root", reverts), owner.says


async def test_a_parent_that_cannot_be_read_counts_as_one_that_reverts(stage: Stage) -> None:
    await stage.two_releases("web", automated=AUTO, annotations={"argocd.argoproj.io/tracking-id": "hidden:argoproj.io/Application:argocd/web"})
    owner = (await stage.argo.look(stage.target("web"))).owner
    assert (owner.kind, owner.reverts) == ("parent", True)
    assert "could not be read" in owner.says


async def test_a_look_at_what_is_not_there_is_raised(stage: Stage) -> None:
    with pytest.raises(Exception, match="permission denied"):
        await stage.argo.look(TargetId("prod", "nosuch"))


# --- Argo Rollouts ---


async def canary(tmp_path: Path, verbs: tuple[str, ...] = RIGHTS, strategy: Any = HALF_THEN_STOP) -> AsyncIterator[Canary]:
    async with opened(tmp_path, verbs=verbs) as stage:
        made = Canary(stage)
        await made.open(strategy)
        yield made


@pytest.fixture
async def halfway(tmp_path: Path) -> AsyncIterator[Canary]:
    async for made in canary(tmp_path):
        await made.release("2.0")
        yield made


async def test_a_rollout_halfway_is_told_with_what_it_would_do(halfway: Canary) -> None:
    stage, target = halfway.stage, halfway.stage.target("web")
    (now,) = await value(stage, keys.rollouts(target))
    goal = (await stage.argo.look(target)).history[1]
    (back,) = await value(stage, keys.rollouts_back(target, goal.key, goal.handle))
    assert (now.object, now.step, now.steps, now.waiting, now.under_way) == (ROLLOUT, 1, 2, True, True)
    assert now.current != now.stable
    assert (back.object, back.skips) == (ROLLOUT, "stable")


async def test_an_application_without_rollouts_has_none(plain: Stage) -> None:
    target = plain.target("web")
    goal = (await plain.argo.look(target)).history[1]
    assert await value(plain, keys.rollouts(target)) == ()
    assert await value(plain, keys.rollouts_back(target, goal.key, goal.handle)) == ()


async def test_promise_1_before_its_controller_looked_a_rollout_is_absent(halfway: Canary) -> None:
    halfway.told(observedGeneration="0")
    assert "has not looked at the newest spec" in await absent(halfway.stage, keys.rollouts(halfway.stage.target("web")))


async def test_promise_1_what_another_release_would_do_is_not_told_of_this_one(halfway: Canary) -> None:
    assert "another release now" in await absent(halfway.stage, keys.rollouts_back(halfway.stage.target("web"), "some-key", "0"))


async def test_a_promoted_release_is_told_with_the_steps_of_the_way_back(halfway: Canary) -> None:
    stage, target = halfway.stage, halfway.stage.target("web")
    await halfway.act("promote-full")
    await halfway.until(lambda status: status["stableRS"] == status["currentPodHash"], "promotion")
    goal = (await stage.argo.look(target)).history[1]
    (now,) = await value(stage, keys.rollouts(target))
    (back,) = await value(stage, keys.rollouts_back(target, goal.key, goal.handle))
    assert now.promoted
    assert (back.skips, back.steps, back.open_ended) == ("", 2, ("step 2 of 2 pauses until a person goes on",))


async def test_pods_of_a_set_that_serves_nobody_any_more_are_marked(tmp_path: Path) -> None:
    async for made in canary(tmp_path, strategy=BY_HAND):
        await made.release("2.0", BY_HAND)
        await made.act("promote-full")
        await made.until(
            lambda status: status["stableRS"] == status["currentPodHash"] and status["blueGreen"]["activeSelector"] == status["stableRS"], "switch"
        )
        pods = await value(made.stage, keys.pods(made.stage.target("web")))
        assert {(pod.images[0].reference, pod.retiring) for pod in pods} == {("registry.example/web:1.0", True), ("registry.example/web:2.0", False)}


@pytest.mark.parametrize(
    ("verbs", "abort", "promote"),
    [(RIGHTS, True, True), (RIGHTS[:4], True, False), (("get", "sync", "update"), False, False)],
)
async def test_rights_to_act_on_rollouts_come_with_their_lines(tmp_path: Path, verbs: tuple[str, ...], abort: bool, promote: bool) -> None:
    async for made in canary(tmp_path, verbs):
        found = await value(made.stage, keys.permissions(made.stage.target("web")))
        assert (found.allowed["abort"], found.allowed["promote"]) == (abort, promote)
        lines = {word: f"p, backout, applications, action/argoproj.io/Rollout/{action}, default/*, allow" for word, action in ACTIONS.items()}
        assert found.fix == {word: line for word, line in lines.items() if not found.allowed[word]}
        events = (await made.stage.person("GET", "/applications/web/events"))["items"]
        assert [event for event in events if "ran action" in event["message"]] == []


async def test_promise_5_an_action_that_a_person_ran_is_their_act_and_ours_is_ours(halfway: Canary) -> None:
    await halfway.act("pause")
    acts = await value(halfway.stage, keys.acts(halfway.stage.target("web")))
    ran = [act for act in acts if act.what == "action"]
    assert [(act.by.kind, act.by.name, act.says, act.ours) for act in ran] == [
        ("user", "admin", "admin ran action pause on resource argoproj.io/Rollout/web", False)
    ]


async def test_objects_that_ask_before_they_are_pruned_are_named_with_the_release_that_lacks_them(plain: Stage) -> None:
    extra = {}
    for name, option in (("asks", "Prune=confirm"), ("keeps", "Prune=false"), ("plain", "")):
        about = {"name": name, "annotations": {"argocd.argoproj.io/sync-options": option}}
        extra[f"deploy/{name}.json"] = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": about})
    plain.commit("web", "registry.example/web:3.0", extra)
    await plain.person("POST", "/applications/web/sync", {})
    await plain.deployed("web", 3)
    await plain.until("web", lambda app: len(app["status"]["resources"]) == 4, "four resources")
    target = plain.target("web")
    objects = tuple(ObjectRef(group="", kind="ConfigMap", namespace="web", name=name) for name in ("asks", "keeps", "plain"))
    assert await value(plain, keys.confirmations(target, objects)) == objects[:1]
    assert await value(plain, keys.confirmations(target, objects[1:])) == ()


class StandsStill(Pace):
    """Nobody's turn ever comes."""

    async def turn(self, system: str, requests: int = 1) -> None:
        del system, requests
        await asyncio.Event().wait()


async def test_who_is_in_a_hurry_waits_for_no_look_of_one_that_waits_for_its_turn(plain: Stage) -> None:
    async def unhurried() -> None:
        PACE.set(StandsStill(1, plain.clock))
        await plain.argo.read(keys.state(plain.target("web")))

    waiting = asyncio.ensure_future(unhurried())
    read = asyncio.ensure_future(plain.argo.read(keys.state(plain.target("web"))))  # in the same turn of the loop
    async with asyncio.timeout(60):
        assert isinstance(await read, Known)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
