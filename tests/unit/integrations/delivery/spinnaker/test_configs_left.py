import copy
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.configs_left import Then, left_as_it_is
from integrations.delivery.spinnaker.executions import execution_of
from integrations.delivery.spinnaker.kubernetes_history import Config, ManifestAddress, Revision
from integrations.delivery.spinnaker.runs import touches_of
from integrations.sandbox.gate.settings import Outage
from service.domain import keys
from service.domain.errors import TemporaryError
from service.domain.evaluation import evaluate
from service.domain.facts import Absent, Facts
from service.domain.keys import ConfigLeft
from service.domain.model import Image, TargetId
from service.domain.rules.configuration_is_as_it_was import RULE
from service.domain.verdict import Answer
from tests.unit.integrations.delivery.spinnaker.stage import WEB, Stage, deploy_stage, known

V1, V2 = "registry.example/web:3.0", "registry.example/web:4.0"
HIDDEN = "aHVudGVyMg=="
MAP, SECRET = Config(kind="ConfigMap", name="settings"), Config(kind="Secret", name="keys")


def deployment(image: str, *sources: dict[str, Any]) -> dict[str, Any]:
    container = {"name": "web", "image": image, "envFrom": list(sources)}
    named: dict[str, Any] = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}}
    return {**named, "spec": {"replicas": 2, "template": {"spec": {"containers": [container]}}}}


def config_map(name: str = "settings", **data: str) -> dict[str, Any]:
    annotations = {"strategy.spinnaker.io/versioned": "false"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop", "annotations": annotations}, "data": data}


def secret(**more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "shop"}, "data": {"password": HIDDEN}, **more}


NAMES_MAP = {"configMapRef": {"name": "settings"}}
NAMES_SECRET = {"secretRef": {"name": "keys"}}


async def deploys(stage: Stage, *manifests: dict[str, Any], more: Sequence[dict[str, Any]] = (), minutes: float = 15) -> None:
    """A pipeline of the team's applies these; a quarter of an hour passes, so that two deploys are not taken for each other."""
    name = f"deploy {len(list(stage.gate.executions))}"
    first = deploy_stage("", manifests=[copy.deepcopy(one) for one in manifests])
    stage.gate.save_pipeline({"application": "shop", "name": name, "stages": [first, *more], "triggers": []})
    await stage.starts(name)
    stage.pass_(minutes=minutes)


async def left(stage: Stage) -> tuple[ConfigLeft, ...]:
    goal = (await stage.state()).history[1]
    found: tuple[ConfigLeft, ...] = await known(stage, keys.configs_left(WEB, goal.key, goal.handle))
    return found


async def only(stage: Stage) -> ConfigLeft:
    (found,) = await left(stage)
    return found


async def verdict(stage: Stage) -> Answer:
    """What the rule makes of it, as a whole verdict on the undo."""
    case = await stage.case()
    assert case.goal is not None
    key = keys.configs_left(WEB, case.goal.key, case.goal.handle)
    facts = Facts(known={**case.facts.known, key: await stage.spinnaker.read(key)}, now=stage.clock.now())
    (finding,) = evaluate(replace(case, facts=facts), [RULE], automatic=True).findings
    return finding.answer


async def test_where_nothing_unversioned_is_named_there_is_nothing_to_leave(stage: Stage) -> None:
    named = ({"configMapRef": {"name": "settings-v003"}}, {"secretRef": {"name": "keys-v001"}})
    await deploys(stage, deployment(V1, *named))
    await deploys(stage, deployment(V2, *named))
    assert await left(stage) == ()
    assert await verdict(stage) is Answer.PASS


async def test_a_secret_that_only_pulls_images_is_no_configuration(stage: Stage) -> None:
    body = deployment(V1)
    body["spec"]["template"]["spec"]["imagePullSecrets"] = [{"name": "pull"}]
    await deploys(stage, body)
    await deploys(stage, deployment(V2))
    assert await left(stage) == ()


async def test_a_config_map_that_is_what_the_goal_was_deployed_with_passes(stage: Stage) -> None:
    await deploys(stage, config_map(TIMEOUT="5"), deployment(V1, NAMES_MAP))
    await deploys(stage, config_map(TIMEOUT="5"), deployment(V2, NAMES_MAP))
    found = await only(stage)
    assert (found.title, found.there, found.changed) == ("ConfigMap settings", True, False)
    assert "is what pipeline deploy" in found.says
    assert await verdict(stage) is Answer.PASS


async def test_one_that_the_bad_release_changed_is_told_with_the_run_that_did(stage: Stage) -> None:
    await deploys(stage, config_map(TIMEOUT="5"), deployment(V1, NAMES_MAP))
    await deploys(stage, config_map(TIMEOUT="0"), deployment(V2, NAMES_MAP))
    found = await only(stage)
    assert found.changed
    assert "is not what pipeline deploy" in found.says
    assert found.says.endswith("put it there since")
    assert await verdict(stage) is Answer.WARN


async def test_one_that_somebody_changed_by_hand_since_is_told(stage: Stage) -> None:
    await deploys(stage, config_map(TIMEOUT="5"), deployment(V1, NAMES_MAP))
    await deploys(stage, deployment(V2, NAMES_MAP))
    assert await verdict(stage) is Answer.PASS
    stage.gate.kubernetes.has("k8s", "shop", "configMap", "settings", config_map(TIMEOUT="0"))
    assert (await only(stage)).says.endswith("put there with that release"), "no run did"
    assert await verdict(stage) is Answer.WARN


async def test_one_of_which_no_deploy_of_the_goal_tells_is_unknown_though_the_bad_release_put_it_there(stage: Stage) -> None:
    stage.gate.kubernetes.has("k8s", "shop", "configMap", "settings", config_map(TIMEOUT="5"))
    await deploys(stage, deployment(V1, NAMES_MAP))
    await deploys(stage, deployment(V2, NAMES_MAP))
    assert (await only(stage)).says == "nothing tells what it held then"
    await deploys(stage, config_map(TIMEOUT="0"), deployment("registry.example/web:5.0", NAMES_MAP))
    found = await only(stage)
    assert found.changed is None
    assert "put it there since" in found.says
    assert await verdict(stage) is Answer.UNKNOWN


async def test_a_run_that_deployed_two_releases_tells_what_the_first_of_them_had(stage: Stage) -> None:
    """What its later stage put there is not what the goal ran with."""
    later = deploy_stage("", refId="2", requisiteStageRefIds=["wait"], name="then", manifests=[config_map(TIMEOUT="0"), deployment(V2, NAMES_MAP)])
    wait = {"refId": "wait", "requisiteStageRefIds": ["1"], "type": "wait", "waitTime": 600}
    await deploys(stage, config_map(TIMEOUT="5"), deployment(V1, NAMES_MAP), more=[wait, later])
    for _ in range(8):
        stage.pass_(minutes=5)
    assert [one.version for one in (await stage.state()).history[:2]] == ["4.0", "3.0"]
    assert (await only(stage)).changed is True


async def test_two_deploys_of_the_same_image_that_cannot_be_told_apart_prove_nothing(stage: Stage) -> None:
    await deploys(stage, config_map(TIMEOUT="5"), deployment(V1, NAMES_MAP), minutes=0)
    await deploys(stage, config_map(TIMEOUT="0"), deployment(V1, NAMES_MAP, {"configMapRef": {"name": "more", "optional": True}}), minutes=0)
    looked = await stage.looked()
    assert len({one.created_at for one in looked.history.revisions[:2]}) == 2
    found = await only(stage)
    assert found.changed is None, "the newer deploy may be the one that made the older revision, and what it put there is what is there now"


async def test_what_is_gone_blocks_unless_the_pod_starts_without_it(stage: Stage) -> None:
    await deploys(stage, config_map(TIMEOUT="5"), deployment(V1, NAMES_MAP))
    await deploys(stage, deployment(V2))
    stage.gate.kubernetes.delete("k8s", "shop", "configMap settings")
    found = await only(stage)
    assert (found.there, found.changed, found.stops_it) == (False, True, True)
    assert await verdict(stage) is Answer.BLOCK


async def test_an_optional_one_that_is_gone_changed_only_if_it_is_known_to_have_been_there(stage: Stage) -> None:
    maybe = {"configMapRef": {"name": "settings", "optional": True}}
    await deploys(stage, deployment(V1, maybe))
    await deploys(stage, deployment(V2, maybe))
    assert ((await only(stage)).changed, (await only(stage)).stops_it) == (None, False)
    await deploys(stage, config_map(TIMEOUT="5"), deployment("registry.example/web:5.0", maybe))
    await deploys(stage, deployment("registry.example/web:6.0"))
    stage.gate.kubernetes.delete("k8s", "shop", "configMap settings")
    assert ((await only(stage)).changed, (await only(stage)).stops_it) == (True, False)


async def test_a_secret_is_judged_without_looking_into_it(stage: Stage) -> None:
    await deploys(stage, secret(), deployment(V1, NAMES_SECRET))
    await deploys(stage, secret(), deployment(V2, NAMES_SECRET))
    found = await only(stage)
    assert (found.there, found.changed) == (True, None), "two that Gate hides look alike"
    assert HIDDEN not in repr(found)
    assert await verdict(stage) is Answer.UNKNOWN


async def test_a_secret_that_the_goal_s_deploy_made_immutable_cannot_have_changed_unless_it_was_made_anew(stage: Stage) -> None:
    await deploys(stage, secret(immutable=True), deployment(V1, NAMES_SECRET))
    await deploys(stage, deployment(V2, NAMES_SECRET))
    assert (await only(stage)).changed is False
    made_anew = secret(immutable=True)
    made_anew["metadata"]["creationTimestamp"] = stage.clock.now().isoformat()
    stage.gate.kubernetes.has("k8s", "shop", "secret", "keys", made_anew)
    found = await only(stage)
    assert found.changed is True
    assert found.says.startswith("it was made anew at ")


@pytest.mark.parametrize(("minutes", "changed"), [(+1, True), (-1, None)])
async def test_a_time_of_its_fields_proves_a_change_and_never_that_there_was_none(stage: Stage, minutes: int, changed: bool | None) -> None:
    looked = await stage.looked()
    goal = looked.history.revisions[1]
    assert goal.created_at is not None
    at = goal.created_at + timedelta(minutes=minutes)
    then = Then(address=looked.address, goal=goal, revisions=looked.history.revisions, touches=(), runs=())
    live = secret()
    live["metadata"] |= {"creationTimestamp": "2020-01-01T00:00:00Z", "managedFields": [{"time": "2020-01-01T00:00:00Z"}, {"time": at.isoformat()}, {}]}
    found = left_as_it_is(SECRET, live, then)
    assert found.changed is changed
    assert ("last changed at" in found.says) is bool(changed)


async def test_keys_that_the_old_template_names_one_by_one_have_to_be_there(stage: Stage) -> None:
    looked = await stage.looked()
    then = Then(address=looked.address, goal=looked.history.revisions[1], revisions=looked.history.revisions, touches=(), runs=())
    for config, live, lacks in (
        (replace(MAP, keys=("A", "B")), config_map(A="1"), ("B",)),
        (replace(MAP, keys=("A", "B")), config_map(A="1") | {"binaryData": {"B": ""}}, ()),
        (replace(MAP, keys=("A",)), {"kind": "ConfigMap"}, ("A",)),
        (replace(SECRET, keys=("user",)), secret(), ("user",)),
        (replace(SECRET, keys=("user",)), secret(data=None), ()),
    ):
        found = left_as_it_is(config, live, then)
        assert (found.lacks, found.stops_it) == (lacks, bool(lacks))


async def test_one_that_cannot_be_read_is_unknown_and_the_others_are_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await deploys(stage, config_map(TIMEOUT="5"), deployment(V1, NAMES_MAP, NAMES_SECRET))
    await deploys(stage, deployment(V2))
    read = Client.manifest

    async def without_secrets(client: Client, account: str, location: str, name: str) -> Any:
        if name.startswith("secret "):
            raise TemporaryError("Failed to read manifest: secrets is forbidden")
        return await read(client, account, location, name)

    monkeypatch.setattr(Client, "manifest", without_secrets)
    settings, keys_ = await left(stage)
    assert (settings.changed, keys_.changed, keys_.there) == (False, None, None)
    assert "secrets is forbidden" in keys_.says
    assert await verdict(stage) is Answer.UNKNOWN


async def test_while_gate_does_not_answer_all_of_it_is_absent(stage: Stage) -> None:
    goal = (await stage.state()).history[1]
    stage.gate.faults.clouddriver = Outage(status=503)
    assert isinstance(await stage.spinnaker.read(keys.configs_left(WEB, goal.key, goal.handle)), Absent)


async def test_a_cluster_of_machines_has_no_such_thing(stage: Stage) -> None:
    assert isinstance(await stage.spinnaker.read(keys.configs_left(TargetId("spin", "aws/eu-west-1/web-main"), "k", "1")), Absent)


# --- what counts as the deploy of the old release, on runs as Gate tells them ---

BEGAN = 1_800_000_000_000
"""Milliseconds, as Orca writes moments; the goal's ReplicaSet was made three seconds later."""
GOAL_MADE = datetime.fromtimestamp(BEGAN / 1000 + 3, UTC)
PLACE = ManifestAddress("k8s", "shop", "deployment", "web")
HELD = config_map(TIMEOUT="5")


def applied(*manifests: dict[str, Any], kind: str = "deployManifest", status: str = "SUCCEEDED", after: int = 0, account: str = "k8s") -> dict[str, Any]:
    began = BEGAN + after * 1000
    times = {"startTime": began, "endTime": began + 5000}
    return {"id": f"S{kind}{after}", "type": kind, "status": status, "context": {"account": account, "outputs.manifests": list(manifests)}, **times}


def judged(*stages: dict[str, Any], live: dict[str, Any] = HELD, config: Config = MAP) -> ConfigLeft:
    """What is made of the object that is there now, where one run had these stages."""
    run = execution_of({"id": "01A", "name": "deploy", "status": "SUCCEEDED", "buildTime": BEGAN, "startTime": BEGAN, "stages": list(stages), "trigger": {}})
    assert run is not None
    goal = Revision(number=1, name="web-1", digest="old", images=(Image(reference=V1),), created_at=GOAL_MADE)
    then = Then(address=PLACE, goal=goal, revisions=(goal,), touches=touches_of([run], PLACE), runs=[run])
    return left_as_it_is(config, live, then)


def test_what_the_goal_s_own_stage_put_there_is_what_it_had() -> None:
    assert judged(applied(HELD, deployment(V1))).changed is False
    assert judged(applied(HELD), applied(deployment(V1), after=1)).changed is False, "one stage for each is as good"
    assert judged(applied(config_map(TIMEOUT="5"), deployment(V1)), live=config_map(TIMEOUT="6")).changed is True
    assert judged(applied(config_map(TIMEOUT="9")), applied(HELD, deployment(V1), after=2)).changed is False, "the last before it counts"


@pytest.mark.parametrize(
    "stages",
    [
        pytest.param([applied(HELD, deployment(V1), status="TERMINAL")], id="the stage failed"),
        pytest.param([applied(HELD), applied(deployment(V1), status="TERMINAL", after=1)], id="the goal's stage failed"),
        pytest.param([applied(HELD, status="TERMINAL"), applied(deployment(V1), after=1)], id="the stage of the ConfigMap failed"),
        pytest.param([applied(HELD, kind="patchManifest"), applied(deployment(V1), after=1)], id="a patch names a part"),
        pytest.param([applied(HELD, deployment(V1), kind="patchManifest")], id="the goal came of a patch"),
        pytest.param([applied({**HELD, "metadata": {"name": "settings"}}, deployment(V1))], id="no namespace is said"),
        pytest.param([applied({**HELD, "metadata": {"name": "settings", "namespace": "other"}}, deployment(V1))], id="another namespace"),
        pytest.param([applied(HELD, account="other"), applied(deployment(V1), after=1)], id="another account"),
        pytest.param([applied(HELD | {"kind": "Secret"}, deployment(V1))], id="another kind"),
        pytest.param([applied(deployment(V1)), applied(HELD, after=9)], id="put there after the goal was deployed"),
    ],
)
def test_what_may_not_be_what_the_goal_had_proves_nothing(stages: list[dict[str, Any]]) -> None:
    assert judged(*stages, live={**HELD, "metadata": {"name": "settings"}}).changed is None


def test_binary_data_counts_and_an_empty_part_is_as_none() -> None:
    binary = HELD | {"binaryData": {"cert": "AAAA"}}
    assert judged(applied(binary, deployment(V1)), live=HELD).changed is True
    assert judged(applied(binary, deployment(V1)), live=copy.deepcopy(binary)).changed is False
    assert judged(applied(HELD, deployment(V1)), live=HELD | {"binaryData": {}}).changed is False


@pytest.mark.parametrize(("namespace", "named"), [("shop", True), ("other", False)])
def test_a_run_is_named_as_the_one_since_only_for_this_object(namespace: str, named: bool) -> None:
    elsewhere = {**HELD, "metadata": {"name": "settings", "namespace": namespace}}
    assert judged(applied(deployment(V1)), applied(elsewhere, after=9)).says.endswith("pipeline deploy (01A) put it there since") is named
