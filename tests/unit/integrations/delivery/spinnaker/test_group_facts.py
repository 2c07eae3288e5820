from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from integrations.delivery.spinnaker.answers import GoneError
from integrations.delivery.spinnaker.group_facts import CACHE_LAGS, health_of, object_of, releases_of, unseen_of
from integrations.delivery.spinnaker.server_groups import ClusterAddress
from integrations.sandbox.gate.settings import Outage
from service.domain import keys
from service.domain.correlation import MONIKER
from service.domain.errors import TemporaryError
from service.domain.facts import Absent, Key, Known
from service.domain.model import ObjectRef, TargetId
from tests.unit.integrations.delivery.spinnaker.machines import BAD, MAIN, OLD, Machines, machines

ENABLE: dict[str, Any] = {"type": "enableServerGroup", "cloudProvider": "aws", "credentials": "prod", "region": "us-east-1"}


@pytest.fixture
async def stage() -> AsyncIterator[Machines]:
    async with machines() as made:
        yield made


async def known(stage: Machines, key: Key[Any]) -> Any:
    fact = await stage.spinnaker.read(key)
    assert isinstance(fact, Known), fact
    return fact.value


async def test_the_list_has_each_cluster_in_each_region_with_its_names(stage: Machines) -> None:
    stage.group(OLD, region="eu-west-1")
    stage.pass_(minutes=1)
    listing = await stage.spinnaker.targets()
    assert [str(one.target) for one in listing.targets] == ["spin:prod/eu-west-1/web-main", "spin:prod/us-east-1/web-main"]
    listed = listing.targets[1]
    assert (listed.project, listed.namespace, listed.cluster, listed.health, listed.images) == ("web", "us-east-1", "prod", "Healthy", (BAD,))
    names = {(one.kind, one.name) for one in listed.objects if one.group == MONIKER}
    assert names == {("application", "web"), ("account", "prod"), ("cluster", "web-main"), ("region", "us-east-1")}
    assert object_of(ClusterAddress("web", "prod", "web-main", "us-east-1")) in listed.objects


async def test_what_the_image_of_a_release_says_of_its_source_is_read_with_its_group(stage: Machines) -> None:
    stage.gate.groups.tags[BAD] = {"appversion": f"web-2.0-h7.{'a' * 40}/WEB/7", "org.opencontainers.image.source": "https://git.example/web"}
    stage.pass_(minutes=1)
    bad, good = (await stage.state()).history
    found = await known(stage, keys.machine_image(MAIN, bad.key, bad.handle))
    assert (found.revision, found.repository, found.derived) == ("a" * 40, "https://git.example/web", True)
    assert (await known(stage, keys.machine_image(MAIN, good.key, good.handle))).revision == ""
    stage.gate.groups.tags[OLD] = {"org.opencontainers.image.revision": "b" * 40, "appversion": f"web-1.0-h6.{'c' * 40}"}
    stage.pass_(minutes=1)
    absent = await stage.spinnaker.read(keys.machine_image(MAIN, good.key, good.handle))
    assert isinstance(absent, Absent)
    assert absent.why.startswith("it was built from bbbbbbbbbbbb by its tag org.opencontainers.image.revision, and from cccccccccccc")


async def test_the_stamp_changes_with_a_group_its_traffic_and_its_size(stage: Machines) -> None:
    async def stamp() -> str:
        stage.pass_(minutes=1)
        return (await stage.spinnaker.targets()).targets[0].stamp

    seen = [await stamp(), await stamp()]
    assert seen[0] == seen[1]
    stage.gate.groups.resize(stage.bad.name, "prod", "us-east-1", {"max": 9})
    seen.append(await stamp())
    stage.old.disabled = False
    seen.append(await stamp())
    stage.group("ami-3")
    seen.append(await stamp())
    assert len(set(seen)) == 4


async def test_where_all_accounts_are_of_kubernetes_no_server_groups_are_asked_for(stage: Machines) -> None:
    stage.gate.clouddriver.accounts["prod"] = "kubernetes"
    assert (await stage.spinnaker.targets()).targets == ()
    stage.gate.clouddriver.accounts.clear()  # a Gate that lists none proves nothing
    assert len((await stage.spinnaker.targets()).targets) == 1


async def test_workloads_of_kubernetes_are_no_cluster_of_machines(stage: Machines) -> None:
    stage.gate.add_account("k8s")
    stage.gate.kubernetes.runs("web", account="k8s", namespace="shop", name="web", image="r/web:1")
    stage.pass_(minutes=1)
    assert [one.target.name for one in (await stage.spinnaker.targets()).targets] == ["k8s/shop/deployment/web", "prod/us-east-1/web-main"]


async def test_the_state_is_the_groups_as_releases_with_what_serves_first(stage: Machines) -> None:
    state = await stage.state()
    assert [(one.handle, one.version) for one in state.history] == [("web-main-v001", "build 2"), ("web-main-v000", "build 1")]
    assert state.current == state.history[0]
    assert (state.title, state.health, state.settled, state.running, state.warnings) == ("cluster web-main in us-east-1", "Healthy", True, None, ())
    assert state.objects == (ObjectRef(group="spinnaker.io", kind="cluster", namespace="prod/us-east-1", name="web-main"),)
    assert keys.machines(state.objects) == state.objects
    assert state.history[0].started_at - state.history[1].started_at >= timedelta(minutes=59)
    assert all(len(one.revision) == 64 for one in state.history)


async def test_a_group_that_got_its_traffic_back_is_what_is_live_since_then(stage: Machines) -> None:
    began = stage.clock.now()
    await stage.by_hand({**ENABLE, "serverGroupName": "web-main-v000"}, {**ENABLE, "type": "disableServerGroup", "serverGroupName": "web-main-v001"})
    state = await stage.state()
    assert [one.handle for one in state.history] == ["web-main-v000", "web-main-v001"]
    assert state.history[0].started_at >= began
    assert (state.history[0].by.kind, state.history[0].by.name) == ("user", "alice")


async def test_a_disabled_group_that_came_after_what_serves_is_nothing_to_go_back_to(stage: Machines) -> None:
    stage.group("ami-3", disabled=True)
    stage.pass_(minutes=1)
    assert [one.handle for one in (await stage.state()).history] == ["web-main-v001", "web-main-v000"]


async def test_two_that_serve_are_told_and_the_newer_one_is_what_was_deployed(stage: Machines) -> None:
    stage.old.disabled = False
    stage.pass_(minutes=1)
    state = await stage.state()
    assert state.current is not None
    assert (state.current.handle, state.settled) == ("web-main-v001", False)
    assert state.warnings == ("web-main-v001, web-main-v000 take traffic side by side: a switch is under way or was broken off",)


async def test_numbers_that_begin_again_do_not_make_an_old_group_new(stage: Machines) -> None:
    for number in (999, 0):
        stage.gate.groups.is_destroyed(stage.gate.groups.all[0])
        stage.group(f"ami-{number}", sequence=number)
        stage.pass_(minutes=1)
    stage.gate.groups.all[0].disabled = True
    stage.pass_(minutes=1)
    assert [one.handle for one in (await stage.state()).history] == ["web-main-v000", "web-main-v999"]


async def test_a_group_that_is_gone_for_good_is_waited_for_no_longer_than_the_cache_may_lag(stage: Machines) -> None:
    await stage.by_hand({**ENABLE, "serverGroupName": "web-main-v000"})
    gone = next(one for one in stage.gate.groups.all if one.name == "web-main-v000")
    stage.gate.groups.is_destroyed(gone)
    look = await stage.cluster()
    looked = replace(look, cluster=replace(look.cluster, groups=tuple(one for one in look.cluster.groups if one.name != "web-main-v000")))
    ended = next(touch.stage.ended_at for touch in looked.touches() if touch.enabled)
    assert ended is not None
    assert unseen_of(looked, ended + CACHE_LAGS) == "web-main-v000"
    assert unseen_of(looked, ended + CACHE_LAGS + timedelta(seconds=1)) == ""
    assert unseen_of(look, ended) == "", "it is shown"


async def test_a_group_that_was_destroyed_while_its_deploy_waits_for_it_is_waited_for_no_longer(stage: Machines) -> None:
    stage.gate.groups.instances_never_come_up("ami-3")
    await stage.deploy("ami-3")
    stage.pass_(minutes=1)
    made = next(one for one in stage.gate.groups.all if one.image == "ami-3")
    stage.gate.groups.is_destroyed(made)
    stage.pass_(seconds=40)
    with pytest.raises(TemporaryError, match=f"server group {made.name}, made a moment ago"):
        await stage.state()
    stage.pass_(minutes=2)
    state = await stage.state()
    assert state.running is not None, "Orca waits for it for hours"
    assert state.current is not None
    assert state.current.handle == "web-main-v001"


async def test_who_made_a_group_is_told_by_its_run(stage: Machines) -> None:
    await stage.deploy("ami-3")
    stage.pass_(seconds=10)
    with pytest.raises(TemporaryError, match=r"server group web-main-v002, made a moment ago, is not in Spinnaker's cache"):
        await stage.state()  # else the group before it would look as if it were live
    for _ in range(30):
        stage.pass_(seconds=10)
    state = await stage.state()
    assert [one.handle for one in state.history] == ["web-main-v002", "web-main-v001", "web-main-v000"]
    assert (state.history[0].by.name, state.running) == ("docker trigger as ci", None)
    assert stage.operations() == ["createServerGroup", "disableServerGroup"]
    acts = await known(stage, keys.acts(MAIN))
    assert [act.says for act in acts] == ["createServerGroup by pipeline deploy"], "what red/black does to the old group is part of the deploy"
    await stage.by_hand({**ENABLE, "serverGroupName": "web-main-v001"})
    by_hand = {(act.says, act.by.name) for act in (await known(stage, keys.acts(MAIN)))[1:]}
    assert by_hand == {("enableServerGroup by task by hand", "alice")}


async def test_machines_are_told_as_what_runs_and_those_of_a_disabled_group_serve_nobody(stage: Machines) -> None:
    pods = await known(stage, keys.pods(MAIN))
    assert [(pod.ready, pod.retiring, pod.images[0].exact) for pod in pods] == [(True, False, f"{BAD}@{BAD}")] * 3 + [(False, True, f"{OLD}@{OLD}")] * 3
    assert {pod.object for pod in pods} == set((await stage.state()).objects)


async def test_a_machine_that_its_load_balancer_does_not_take_is_not_ready(stage: Machines) -> None:
    stage.gate.groups.instances_never_come_up(BAD)
    stage.pass_(minutes=1)
    assert not any(pod.ready for pod in await known(stage, keys.pods(MAIN)))
    assert (await stage.state()).health in {"Degraded", "Progressing"}


async def test_a_release_is_its_image_and_what_its_machines_are_launched_with(stage: Machines) -> None:
    new, old = (await stage.state()).history
    assert [one.reference for one in await known(stage, keys.images(MAIN, new.key, new.handle))] == [BAD]
    (rendered,) = await known(stage, keys.manifests(MAIN, old.key, old.handle))
    assert rendered.object.kind == "cluster"
    gone = await stage.spinnaker.read(keys.images(MAIN, "nobody", "web-main-v777"))
    assert isinstance(gone, Absent)
    assert "has no server group web-main-v777 any more" in gone.why


async def test_the_groups_are_a_fact_with_sizes_and_guard() -> None:
    guards = [{"account": "prod", "location": "us-east-1", "stack": "main", "detail": "*", "enabled": True}]
    async with machines(trafficGuards=guards) as stage:
        found = await known(stage, keys.server_groups(MAIN))
        assert found.guarded is True
        assert [(one.name, one.takes_traffic, one.running, one.desired, one.launchable) for one in found.groups] == [
            ("web-main-v001", True, 3, 3, True),
            ("web-main-v000", False, 3, 3, True),
        ]
        assert found.cloud == "aws"
        state = await stage.state()
        assert found.of_release(state.history[1].key) == found.groups[1]


async def test_a_manifest_has_no_server_groups(stage: Machines) -> None:
    stage.gate.add_account("k8s")
    stage.gate.kubernetes.runs("web", account="k8s", namespace="shop", name="web", image="r/web:1")
    fact = await stage.spinnaker.read(keys.server_groups(TargetId("spin", "k8s/shop/deployment/web")))
    assert isinstance(fact, Absent)
    assert "is no cluster of server groups" in fact.why


async def test_an_emptied_cluster_is_gone_only_where_its_account_can_be_read(stage: Machines) -> None:
    stage.gate.groups.all.clear()
    stage.pass_(minutes=1)
    with pytest.raises(GoneError, match="has no server group in the applications"):
        await stage.state()
    stage.gate.clouddriver.accounts.clear()
    with pytest.raises(TemporaryError, match="may not be read"):
        await stage.state()


async def test_a_cluster_of_another_application_is_not_looked_after(stage: Machines) -> None:
    stage.gate.add_application("other")
    stage.gate.groups.runs("other", cluster="other", image=OLD)
    stage.pass_(minutes=1)
    with pytest.raises(GoneError, match=r"in the applications that Backout looks after \(web\)"):
        await stage.spinnaker.look(TargetId("spin", "prod/us-east-1/other"))
    found = await stage.adapter(applications=("web", "other")).look(TargetId("spin", "prod/us-east-1/other"))
    assert found.project == "other"


async def test_while_clouddriver_is_away_every_fact_is_absent_in_its_words(stage: Machines) -> None:
    stage.gate.faults.clouddriver = Outage(status=503, message="clouddriver is away")
    for key in (keys.state(MAIN), keys.pods(MAIN), keys.server_groups(MAIN), keys.acts(MAIN)):
        fact = await stage.spinnaker.read(key)
        assert isinstance(fact, Absent)
        assert "clouddriver is away" in fact.why


async def test_health_is_that_of_what_takes_traffic(stage: Machines) -> None:
    found = (await stage.cluster()).cluster
    new, old = found.groups

    def of(**more: Any) -> str:
        return health_of(replace(found, groups=(replace(new, **more), old)))

    assert of() == "Healthy"
    assert of(up=None) == of(desired=None) == of(disabled=None) == "Unknown"
    assert of(total=0) == of(disabled=True) == "Missing"
    assert of(down=1) == of(up=2) == "Degraded"
    assert of(up=2, starting=1) == "Progressing"


async def test_times_of_groups_that_do_not_tell_theirs_run_by_number(stage: Machines) -> None:
    looked = await stage.cluster()
    nameless = tuple(replace(one, created_at=None) for one in looked.cluster.groups)
    assert [one.handle for one in releases_of(replace(looked, cluster=replace(looked.cluster, groups=nameless)))] == ["web-main-v001", "web-main-v000"]
