from integrations.delivery.spinnaker.door_marks import shut_trigger
from integrations.delivery.spinnaker.executions import executions_of
from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress
from integrations.delivery.spinnaker.owner import doors_of, mark_of, owner_of, remembered_of
from integrations.delivery.spinnaker.pipelines import Pipeline
from integrations.delivery.spinnaker.runs import touches_of
from service.domain.model import Json, TargetId
from tests.unit.integrations.delivery.spinnaker.saved import deploy_manifest, pipeline, trigger

WEB = TargetId("spin", "k8s/ns/deployment/web")
ADDRESS = ManifestAddress(account="k8s", location="ns", kind="deployment", name="web")
SURE = pipeline(deploy_manifest(), triggers=[trigger("cron")])
UNSURE = pipeline({"type": "jenkins", "refId": "1"}, id="p2", triggers=[trigger("git")])
LOCKED = pipeline(deploy_manifest(), id="p3", triggers=[trigger("docker")], locked={"ui": True})


def deployed(config: str) -> Json:
    manifest = {"kind": "Deployment", "metadata": {"name": "web", "namespace": "ns"}, "spec": {"template": {"spec": {"containers": [{"image": "a:1"}]}}}}
    stage = {"type": "deployManifest", "startTime": 1, "context": {"account": "k8s", "outputs.manifests": [manifest]}}
    return [{"id": "e1", "type": "PIPELINE", "pipelineConfigId": config, "stages": [stage]}]


def test_nobody_owns_what_no_trigger_deploys() -> None:
    doors = doors_of(WEB, ADDRESS, [pipeline(deploy_manifest("other"), triggers=[trigger()])], [])
    assert (owner_of(doors, may_shut=True).kind, remembered_of(doors, may_shut=True)) == ("nobody", {})


def test_what_the_plan_switches_off_is_no_later_owner_and_what_stays_on_comes_first() -> None:
    doors = doors_of(WEB, ADDRESS, [SURE, UNSURE, LOCKED], [])
    owner = owner_of(doors, may_shut=True)
    assert [(one.name, one.later) for one in owner.all] == [("pipeline p3", True), ("pipeline p1", False)]
    assert "its editor is locked" in owner.says
    assert "and 1 more trigger" in owner.says
    assert "the plan switches it off" in owner.others[0].says
    remembered = remembered_of(doors, may_shut=True)
    assert remembered["triggers"] == [dict(shut_trigger(SURE, SURE.triggers[0]).remembered)]
    assert [(one["pipeline"], one["why"]) for one in remembered["by_hand"]] == [("p3", "its editor is locked")]


def test_where_the_settings_say_no_every_sure_one_is_a_persons() -> None:
    doors = doors_of(WEB, ADDRESS, [SURE, UNSURE], [])
    owner = owner_of(doors, may_shut=False)
    assert (owner.later, owner.others) == (True, ())
    (by_hand,) = remembered_of(doors, may_shut=False)["by_hand"]
    assert (by_hand["pipeline"], "shut_triggers" in by_hand["why"]) == ("p1", True)


def test_a_pipeline_whose_run_deployed_it_is_a_sure_door() -> None:
    assert [door.sure for door in doors_of(WEB, ADDRESS, [UNSURE], touches_of(executions_of(deployed("p2")), ADDRESS))] == [True]
    assert [door.sure for door in doors_of(WEB, ADDRESS, [UNSURE], touches_of(executions_of(deployed("p9")), ADDRESS))] == [False]


def test_a_trigger_that_is_kept_off_for_the_target_is_shut_and_for_another_it_is_open() -> None:
    def kept_off(target: str) -> Pipeline:
        return pipeline(deploy_manifest(), triggers=[trigger(enabled=False, backoutHold={target: "operation=op_1 x"})])

    mine, other = kept_off(str(WEB)), kept_off("spin:k8s/ns/deployment/api")
    assert doors_of(WEB, ADDRESS, [mine], []) == ()
    assert len(doors_of(WEB, ADDRESS, [other], [])) == 1
    assert (mark_of(WEB, [mine]), mark_of(WEB, [other])) == ("operation=op_1 x", "")
