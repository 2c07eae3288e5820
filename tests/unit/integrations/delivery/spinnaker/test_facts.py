import asyncio
import copy
import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from integrations.delivery.spinnaker.answers import Reply
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.executions import executions_of
from integrations.delivery.spinnaker.facts import Reader, acts_of, permissions_of, releases_of, running_of, spec_digest
from integrations.delivery.spinnaker.settings import Settings
from integrations.sandbox.gate.settings import Outage
from service.domain import keys
from service.domain.correlation import MONIKER
from service.domain.errors import PermanentError, RefusedError, TemporaryError
from service.domain.facts import Absent, Key, Known
from service.domain.model import ObjectRef, TargetId
from tests.unit.integrations.delivery.spinnaker.stage import NEW, OLD, WEB, Stage


class Rewritten(Client):
    """A Gate whose answers a test rewrites: of a Deployment's manifest, and of the cached list of an application."""

    manifest_of: Callable[[Any], Any] = staticmethod(lambda body: body)
    managers_of: Callable[[str, Any], Any] = staticmethod(lambda _application, body: body)

    async def manifest(self, account: str, location: str, name: str) -> Reply:
        reply = await super().manifest(account, location, name)
        return replace(reply, body=self.manifest_of(copy.deepcopy(reply.body))) if name.startswith("deployment ") else reply

    async def managers(self, application: str) -> Reply:
        reply = await super().managers(application)
        return replace(reply, body=self.managers_of(application, copy.deepcopy(reply.body)))


def reader_of(stage: Stage, *applications: str, **rewritten: Any) -> Reader:
    """A reader of a Gate whose answers are rewritten so."""
    settings = Settings(name="spin", url=stage.gate.url, auth="none", applications=("shop", *applications))
    client = Rewritten(settings, stage.clock, traceparent=str)
    for name, change in rewritten.items():
        setattr(client, name, change)
    stage.opened.append(client)
    return Reader(settings, client, stage.clock)


async def known(stage: Stage, key: Key[Any]) -> Any:
    fact = await stage.spinnaker.read(key)
    assert isinstance(fact, Known), fact
    return fact.value


async def deployed_by_a_pipeline(stage: Stage, image: str, trigger: dict[str, Any] | None = None) -> str:
    """A pipeline deploys the image; answers the run's id."""
    stage.gate.save_pipeline({"application": "shop", "name": "deploy", "stages": [deploy_stage(image)], "triggers": []})
    async with stage.gate_session() as session, session.post("/pipelines/shop/deploy", json=trigger or {"type": "manual", "user": "alice"}) as answer:
        ref: str = (await answer.json())["ref"]
    for _ in range(10):
        stage.pass_(seconds=5)
    return ref.rpartition("/")[2]


def deploy_stage(image: str, **more: Any) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "web", "image": image}]}}
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"template": template}}
    about = {"account": "k8s", "cloudProvider": "kubernetes", "source": "text", "moniker": {"app": "shop"}, "manifests": [manifest]}
    return {"refId": "1", "requisiteStageRefIds": [], "type": "deployManifest", "name": "deploy", **about, **more}


async def test_the_list_has_the_deployments_with_their_objects_and_names(stage: Stage) -> None:
    listing = await stage.spinnaker.targets()
    assert listing.complete
    (listed,) = listing.targets
    assert (listed.target, listed.project, listed.namespace, listed.health, listed.cluster) == (WEB, "shop", "shop", "Healthy", "k8s")
    assert listed.images == (NEW,)
    assert ObjectRef(group="apps", kind="Deployment", namespace="shop", name="web") in listed.objects
    assert {one.kind for one in listed.objects if one.group == MONIKER} == {"application", "account", "cluster", "region"}


async def test_the_stamp_changes_with_what_is_deployed_and_with_its_health(stage: Stage) -> None:
    async def stamp() -> str:
        return (await stage.spinnaker.targets()).targets[0].stamp

    before = await stamp()
    stage.pass_(minutes=5)
    assert await stamp() == before
    stage.gate.kubernetes.never_becomes_ready("registry.example/web:3.0")
    stage.runs("registry.example/web:3.0", at_once=False)
    after = await stamp()
    assert after != before
    stage.gate.kubernetes.becomes_well("registry.example/web:3.0")
    stage.pass_(minutes=1)
    assert await stamp() not in {before, after}


async def test_an_application_that_cannot_be_read_makes_the_list_short_and_all_of_them_make_it_fail(stage: Stage) -> None:
    spinnaker = stage.adapter(applications=("shop", "a.b"))
    stage.gate.faults.clouddriver = Outage(status=500)
    with pytest.raises(TemporaryError, match="broke"):
        await spinnaker.targets()


async def test_a_target_of_another_application_or_of_none_is_not_looked_after(stage: Stage) -> None:
    stage.gate.kubernetes.runs("other", account="k8s", namespace="shop", name="pay", image=OLD)
    with pytest.raises(RefusedError, match="belongs to application other"):
        await stage.spinnaker.look(TargetId("spin", "k8s/shop/deployment/pay"))
    with pytest.raises(RefusedError, match="404"):
        await stage.spinnaker.look(TargetId("spin", "k8s/shop/deployment/nobody"))


async def test_the_state_tells_the_revisions_newest_first(stage: Stage) -> None:
    state = await stage.state()
    assert [(one.handle, one.version) for one in state.history] == [("2", "2.0"), ("1", "1.0")]
    assert state.current == state.history[0]
    assert (state.health, state.settled, state.auto_sync, state.running, state.history_limit) == ("Healthy", True, False, None, 10)
    assert state.desired == ()
    assert state.history[0].started_at - state.history[1].started_at >= timedelta(minutes=55)
    assert len({one.key for one in state.history}) == 2


async def test_the_newest_revision_is_seen_though_the_cache_does_not_have_it(stage: Stage) -> None:
    stage.runs("registry.example/web:3.0")
    managers = await stage.get("/applications/shop/serverGroupManagers")
    assert len(managers[0]["serverGroups"]) == 2
    state = await stage.state()
    assert [one.version for one in state.history] == ["3.0", "2.0", "1.0"]


async def test_a_replica_set_that_only_the_cache_still_has_is_left_out(stage: Stage) -> None:
    kubernetes = stage.gate.kubernetes
    kubernetes.forgets_revisions(kubernetes.workloads[0], keep=1)
    managers = await stage.get("/applications/shop/serverGroupManagers")
    assert len(managers[0]["serverGroups"]) == 2
    assert [one.version for one in (await stage.state()).history] == ["2.0"]


async def test_a_release_is_known_again_under_its_new_number_and_its_time_is_that_of_the_undo(stage: Stage) -> None:
    before = (await stage.state()).history
    undo = {"type": "undoRolloutManifest", "cloudProvider": "kubernetes", "account": "k8s", "location": "shop", "manifestName": "deployment web", "revision": 1}
    async with stage.gate_session() as session:
        await session.post("/tasks", json={"application": "shop", "description": "by hand", "job": [undo], "trigger": {"type": "manual", "user": "alice"}})
    began = stage.clock.now()
    for _ in range(10):
        stage.pass_(seconds=5)
    state = await stage.state()
    assert state.current is not None
    assert (state.current.key, state.current.handle, state.current.by.kind) == (before[1].key, "3", "user")
    assert timedelta(0) <= state.current.started_at - began < timedelta(seconds=5)
    assert [one.handle for one in state.history] == ["3", "2"]
    (act,) = await known(stage, keys.acts(WEB))
    assert (act.what, act.ours, act.at) == ("operation", False, state.current.started_at)


async def test_who_deployed_a_release_and_when_is_told_by_its_run(stage: Stage) -> None:
    began = stage.clock.now()
    await deployed_by_a_pipeline(stage, "registry.example/web:3.0")
    state = await stage.state()
    assert state.current is not None
    assert (state.current.version, state.current.by.kind, state.running) == ("3.0", "user", None)
    assert timedelta(0) <= state.current.started_at - began < timedelta(seconds=10)


async def test_promise_5_a_run_that_may_still_deploy_is_told_as_running(stage: Stage) -> None:
    config = {"application": "shop", "name": "slow", "stages": [{"refId": "0", "requisiteStageRefIds": [], "type": "wait", "waitTime": 600}]}
    config["stages"].append(deploy_stage("registry.example/web:3.0", requisiteStageRefIds=["0"]))  # type: ignore[attr-defined]
    stage.gate.save_pipeline(config)
    async with stage.gate_session() as session:
        await session.post("/pipelines/shop/slow", json={"type": "manual", "user": "alice"})
    stage.pass_(seconds=5)
    running = (await stage.state()).running
    assert running is not None
    assert (running.ours, running.automated, running.revision, running.phase) == (False, False, "", "RUNNING")
    assert "pipeline slow" in running.says


async def test_the_pods_are_those_that_run_with_the_digests_that_they_run(stage: Stage) -> None:
    pods = await known(stage, keys.pods(WEB))
    assert len(pods) == 2
    assert all(pod.ready and pod.object == ObjectRef(group="apps", kind="Deployment", namespace="shop", name="web") for pod in pods)
    assert {image.digest for pod in pods for image in pod.images} == {"sha256:" + hashlib.sha256(NEW.encode()).hexdigest()}


async def test_pods_that_the_cache_does_not_have_yet_make_the_fact_absent_until_it_has(stage: Stage) -> None:
    stage.runs("registry.example/web:3.0")
    stage.pass_(seconds=1)
    fact = await stage.spinnaker.read(keys.pods(WEB))
    assert isinstance(fact, Absent)
    assert "cache" in fact.why
    stage.pass_(seconds=40)
    assert len(await known(stage, keys.pods(WEB))) == 2


async def test_a_release_is_its_template_in_images_and_in_fields(stage: Stage) -> None:
    suspect, goal = (await stage.state()).history
    for release, image in ((suspect, NEW), (goal, OLD)):
        for handle in (release.handle, "7"):  # it is the same one under any number
            assert [one.reference for one in await known(stage, keys.images(WEB, release.key, handle))] == [image]
        (rendered,) = await known(stage, keys.manifests(WEB, release.key, release.handle))
        assert rendered.object.name == "web"
        assert all("image" not in path for path in rendered.fields)
    gone = await stage.spinnaker.read(keys.images(WEB, "another", "7"))
    assert isinstance(gone, Absent)
    assert "no revision 7 any more" in gone.why


@pytest.mark.parametrize(
    "key",
    [keys.leftovers(WEB, "1"), keys.confirmations(WEB, ()), keys.rollouts(WEB), keys.rollouts_back(WEB, "k", "1")],
    ids=lambda key: key.kind,
)
async def test_what_an_undo_cannot_do_is_known(stage: Stage, key: Key[Any]) -> None:
    assert await known(stage, key) == ()


async def test_there_is_no_window_and_nothing_is_desired(stage: Stage) -> None:
    assert (await known(stage, keys.window(WEB))).open
    assert keys.desired_images(WEB).kind not in stage.spinnaker.kinds


@pytest.mark.parametrize("fault", ["orca", "clouddriver"])
async def test_while_a_backend_is_away_every_fact_is_absent_in_its_words(stage: Stage, fault: str) -> None:
    setattr(stage.gate.faults, fault, Outage(status=503))
    for key in (keys.state(WEB), keys.acts(WEB), keys.pods(WEB), keys.permissions(WEB)):
        fact = await stage.spinnaker.read(key)
        assert isinstance(fact, Absent)
        assert "503" in fact.why


async def test_several_questions_at_once_are_one_look(stage: Stage) -> None:
    before = len(stage.gate.served)
    await asyncio.gather(*(stage.spinnaker.read(key) for key in (keys.state(WEB), keys.window(WEB), keys.acts(WEB))))
    together = len(stage.gate.served) - before
    await stage.spinnaker.read(keys.state(WEB))
    assert len(stage.gate.served) - before == 2 * together


async def test_a_paused_roll_out_is_a_warning_and_is_suspended(stage: Stage) -> None:
    kubernetes = stage.gate.kubernetes
    kubernetes.is_paused(kubernetes.workloads[0])
    state = await stage.state()
    assert state.health == "Suspended"
    assert any("is paused" in words for words in state.warnings)


async def test_one_that_cannot_get_ready_is_degraded_and_settled(stage: Stage) -> None:
    stage.gate.kubernetes.exceeds_its_deadline("registry.example/web:3.0")
    stage.runs("registry.example/web:3.0")
    state = await stage.state()
    assert (state.health, state.settled) == ("Degraded", True)
    assert state.current is not None
    assert state.current.version == "3.0"


async def test_a_trigger_that_would_deploy_again_is_an_owner_that_may_undo_it_later(stage: Stage) -> None:
    trigger = {"type": "docker", "enabled": True, "account": "registry", "repository": "web", "registry": "registry.example"}
    stage.gate.save_pipeline({"application": "shop", "name": "deploy", "stages": [deploy_stage(NEW)], "triggers": [trigger]})
    owner = (await stage.state()).owner
    assert (owner.kind, owner.name, owner.later, owner.reverts) == ("pipeline", "deploy", True, False)
    assert "deploys the target when started by" in owner.says
    assert "not the pipeline" in owner.fix
    stage.gate.save_pipeline({"application": "shop", "name": "again", "stages": [deploy_stage(NEW)], "triggers": [trigger, trigger]})
    assert "and 2 more triggers" in (await stage.state()).owner.says


async def test_without_an_enabled_trigger_nobody_else_writes_it(stage: Stage) -> None:
    trigger = {"type": "docker", "enabled": False, "repository": "web"}
    stage.gate.save_pipeline({"application": "shop", "name": "deploy", "stages": [deploy_stage(NEW)], "triggers": [trigger]})
    assert (await stage.state()).owner.kind == "nobody"


def test_the_digest_of_the_spec_covers_what_a_person_edits_and_not_what_a_release_or_a_scaler_does() -> None:
    spec = {"replicas": 2, "paused": False, "strategy": {"type": "RollingUpdate"}, "template": {"spec": {}}}
    assert spec_digest({"spec": spec}) == spec_digest({"spec": spec | {"replicas": 5, "template": {"spec": {"x": 1}}}})
    assert spec_digest({"spec": spec}) != spec_digest({"spec": spec | {"strategy": {"type": "Recreate"}}})


LIMITED = {"name": "shop", "attributes": {"permissions": {"READ": ["all"], "EXECUTE": ["ops"], "WRITE": ["ops"]}}}


@pytest.mark.parametrize(
    ("application", "user", "may"),
    [
        ({"name": "shop"}, {"username": "bot", "roles": [], "allowedAccounts": []}, True),
        ({"name": "shop"}, {"username": "bot", "roles": [], "allowedAccounts": ["k8s"]}, True),
        ({"name": "shop"}, {"username": "bot", "roles": [], "allowedAccounts": ["other"]}, False),
        (LIMITED, {"username": "bot", "roles": ["ops"], "allowedAccounts": ["k8s"]}, True),
        (LIMITED, {"username": "bot", "roles": ["dev"], "allowedAccounts": ["k8s"]}, False),
        (LIMITED, {"username": "bot", "roles": ["ops"], "allowedAccounts": []}, False),
        (LIMITED, {"username": "root", "isAdmin": True, "allowedAccounts": ["k8s"]}, True),
        ({"attributes": {"permissions": {"READ": ["dev"]}}}, {"roles": ["dev"], "allowedAccounts": ["k8s"]}, True),
        ({"name": "shop"}, None, None),
        (LIMITED, {"roles": "ops", "allowedAccounts": "k8s"}, False),
    ],
)
def test_rights_are_worked_out_from_roles_and_accounts_and_unknown_where_nobody_is_named(application: Any, user: Any, may: bool | None) -> None:
    found = permissions_of(application, user, "k8s")
    assert found.allowed.get("sync") is may
    assert bool(found.fix.get("sync")) is (may is False)


async def test_without_fiat_nothing_is_restricted(stage: Stage) -> None:
    assert (await known(stage, keys.permissions(WEB))).allowed == {"get": True, "sync": True}


async def test_times_never_run_against_the_order_of_the_revisions(stage: Stage) -> None:
    looked = await stage.reader().get(WEB)
    newest, older = looked.history.revisions
    assert newest.created_at is not None
    assert older.created_at is not None
    back = replace(newest, created_at=older.created_at - timedelta(days=1), earlier=(1,))  # an old ReplicaSet that was brought back
    first, second = releases_of(replace(looked, history=replace(looked.history, revisions=(back, older))))
    assert first.started_at >= second.started_at


async def test_what_its_controller_has_not_looked_at_yet_is_not_settled(stage: Stage) -> None:
    reader = stage.reader()
    looked = await reader.get(WEB)
    assert reader.state(looked).settled
    late = {**looked.manifest, "status": {**looked.manifest["status"], "observedGeneration": 1}}
    assert not reader.state(replace(looked, body={**looked.body, "manifest": late})).settled


async def test_a_cache_that_does_not_have_the_manifest_makes_its_history_incomplete(stage: Stage) -> None:
    reader = reader_of(stage, managers_of=lambda _application, _body: [])
    looked = await reader.get(WEB)
    assert ([one.number for one in looked.history.revisions], looked.history.complete) == ([2], False)
    assert any("not all revisions" in words for words in reader.state(looked).warnings)
    whole = reader_of(stage)
    assert (await whole.get(WEB)).history.complete
    assert not any("not all revisions" in words for words in whole.state(await whole.get(WEB)).warnings)


async def test_while_no_replica_set_is_that_of_what_is_rolled_out_nobody_knows(stage: Stage) -> None:
    def ahead(body: Any) -> Any:
        body["manifest"]["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/web:9.0"
        return body

    with pytest.raises(TemporaryError, match="not known yet"):
        await reader_of(stage, manifest_of=ahead).get(WEB)


async def test_an_object_without_an_identity_is_none(stage: Stage) -> None:
    def without_uid(body: Any) -> Any:
        del body["manifest"]["metadata"]["uid"]
        return body

    for rewritten in (without_uid, lambda body: body | {"manifest": {"metadata": body["manifest"]["metadata"] | {"uid": 7}}}):
        with pytest.raises(PermanentError, match="no object of Kubernetes"):
            await reader_of(stage, manifest_of=rewritten).get(WEB)


async def test_what_carries_the_name_of_another_application_is_not_listed_under_this_one(stage: Stage) -> None:
    def of(application: str) -> Callable[[Any], Any]:
        def rewritten(body: Any) -> Any:
            body["manifest"]["metadata"].setdefault("annotations", {})["moniker.spinnaker.io/application"] = application
            return body

        return rewritten

    assert [one.target for one in (await reader_of(stage, manifest_of=of("shop")).targets()).targets] == [WEB]
    listing = await reader_of(stage, manifest_of=of("other")).targets()
    assert (listing.targets, listing.complete) == ((), True)
    with pytest.raises(RefusedError, match="belongs to application other"):
        await reader_of(stage, manifest_of=of("other")).get(WEB)


async def test_a_list_of_which_one_application_is_missing_is_short(stage: Stage) -> None:
    def away(application: str, body: Any) -> Any:
        if application == "half":
            raise TemporaryError("Gate answered 503")
        return body

    stage.gate.add_application("half")
    listing = await reader_of(stage, "half", managers_of=away).targets()
    assert [one.target for one in listing.targets] == [WEB]
    assert (listing.complete, "half: Gate answered 503" in listing.says) == (False, True)


@pytest.mark.parametrize(("marker", "ours"), [("backout-op-1-undo-0", True), ("pipeline-of-alice", False), ("not-backout-", False), ("", False)])
async def test_promise_5_what_runs_and_what_was_done_is_ours_only_by_our_marker(stage: Stage, marker: str, ours: bool) -> None:
    looked = await stage.reader().get(WEB)
    about = {"account": "k8s", "location": "shop", "manifestName": "deployment web", "revision": 1}
    job = {"id": "S", "refId": "1", "type": "undoRolloutManifest", "status": "RUNNING", "startTime": 1_800_000_000_000, "context": about}
    run = {"id": "01A", "type": "ORCHESTRATION", "status": "RUNNING", "trigger": {"type": "manual", "user": "alice", "correlationId": marker}, "stages": [job]}
    looked = replace(looked, runs=executions_of([run]))
    running = running_of(looked)
    assert running is not None
    assert (running.ours, running.automated, running.revision) == (ours, False, "")
    assert [(act.ours, act.by.name) for act in acts_of(looked)] == [(ours, "alice")]
