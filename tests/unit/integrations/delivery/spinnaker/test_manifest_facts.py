import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from integrations.delivery.spinnaker.manifest_facts import releases_of, spec_digest
from service.domain import keys
from service.domain.correlation import MONIKER
from service.domain.errors import PermanentError, RefusedError, TemporaryError
from service.domain.facts import Absent, Key
from service.domain.model import ObjectRef, TargetId
from tests.unit.integrations.delivery.spinnaker.stage import NEW, OLD, WEB, Stage, deployed_by_a_pipeline, known, looked_by, reader_of


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


def test_the_digest_of_the_spec_covers_what_a_person_edits_and_not_what_a_release_or_a_scaler_does() -> None:
    spec = {"replicas": 2, "paused": False, "strategy": {"type": "RollingUpdate"}, "template": {"spec": {}}}
    assert spec_digest({"spec": spec}) == spec_digest({"spec": spec | {"replicas": 5, "template": {"spec": {"x": 1}}}})
    assert spec_digest({"spec": spec}) != spec_digest({"spec": spec | {"strategy": {"type": "Recreate"}}})


async def test_times_never_run_against_the_order_of_the_revisions(stage: Stage) -> None:
    looked = await stage.looked()
    newest, older = looked.history.revisions
    assert newest.created_at is not None
    assert older.created_at is not None
    back = replace(newest, created_at=older.created_at - timedelta(days=1), earlier=(1,))  # an old ReplicaSet that was brought back
    first, second = releases_of(replace(looked, history=replace(looked.history, revisions=(back, older))))
    assert first.started_at >= second.started_at


async def test_what_its_controller_has_not_looked_at_yet_is_not_settled(stage: Stage) -> None:
    looked = await stage.looked()
    assert looked.state().settled
    late = {**looked.manifest, "status": {**looked.manifest["status"], "observedGeneration": 1}}
    assert not replace(looked, body={**looked.body, "manifest": late}).state().settled


async def test_a_cache_that_does_not_have_the_manifest_makes_its_history_incomplete(stage: Stage) -> None:
    reader = reader_of(stage, managers_of=lambda _application, _body: [])
    looked = await looked_by(reader)
    assert ([one.number for one in looked.history.revisions], looked.history.complete) == ([2], False)
    assert any("not all revisions" in words for words in looked.state().warnings)
    whole = await looked_by(reader_of(stage))
    assert whole.history.complete
    assert not any("not all revisions" in words for words in whole.state().warnings)


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
