from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations.delivery.spinnaker import runs
from integrations.delivery.spinnaker.executions import Execution, execution_of
from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress, Revision
from integrations.delivery.spinnaker.runs import acting_on, made, touches_of
from integrations.delivery.spinnaker.server_groups import ClusterAddress
from service.domain.model import Image

WEB = ManifestAddress("k8s", "ns", "deployment", "web")
BEGAN = 1_800_000_000_000
AT = datetime.fromtimestamp(BEGAN / 1000, UTC)


def manifest(name: str = "web", image: str = "r/web:1", kind: str = "Deployment", namespace: str | None = "ns") -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"kind": kind, "metadata": metadata, "spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}


def stage(kind: str, status: str = "SUCCEEDED", *, began: int | None = BEGAN, lasted: int | None = 5000, **context: Any) -> dict[str, Any]:
    times = {} if began is None else {"startTime": began, **({} if lasted is None else {"endTime": began + lasted})}
    return {"id": f"S{kind}", "refId": "1", "type": kind, "status": status, "context": context, **times}


def deploy(*manifests: Any, account: str = "k8s", status: str = "SUCCEEDED", began: int | None = BEGAN) -> dict[str, Any]:
    outputs: dict[str, Any] = {"outputs.manifests": list(manifests)}
    return stage("deployManifest", status, began=began, account=account, **outputs)


def run(*stages: Any, status: str = "SUCCEEDED", identity: str = "01A", built: int = BEGAN, kind: str = "PIPELINE") -> Execution:
    found = execution_of({"id": identity, "type": kind, "status": status, "buildTime": built, "startTime": built, "stages": list(stages), "trigger": {}})
    assert found is not None
    return found


def revision(image: str = "r/web:1", *, created: datetime | None = AT, earlier: tuple[int, ...] = (), number: int = 3) -> Revision:
    return Revision(number=number, name="web-1", digest="d", images=(Image(reference=image),), created_at=created, earlier=earlier)


UNDO: dict[str, Any] = {"account": "k8s", "location": "ns", "manifestName": "deployment web", "revision": 2}


def test_a_deploy_touches_what_it_really_deployed() -> None:
    (touch,) = touches_of([run(deploy(manifest("other", "r/other:1"), manifest()))], WEB)
    assert [image.reference for image in touch.images] == ["r/web:1"]
    assert touch.at == AT


@pytest.mark.parametrize(
    "other",
    [
        deploy(manifest("other")),
        deploy(manifest(kind="StatefulSet")),
        deploy(manifest(namespace="elsewhere")),
        deploy(manifest(), account="other"),
        deploy(manifest(), began=None),
        stage("undoRolloutManifest", **(UNDO | {"manifestName": "deployment other"})),
        stage("undoRolloutManifest", **(UNDO | {"location": "elsewhere"})),
        stage("wait"),
        stage("deployManifest", account="k8s"),
        stage("scaleManifest", account="k8s", location="ns", mode="dynamic"),
    ],
    ids=lambda one: f"{one['type']} {one['context']}"[:60],
)
def test_what_is_about_something_else_or_has_not_begun_touches_nothing(other: Any) -> None:
    assert touches_of([run(other)], WEB) == ()


def test_an_undo_and_a_scaling_touch_it_and_the_newest_comes_first() -> None:
    found = touches_of([run(stage("undoRolloutManifest", **UNDO)), run(stage("scaleManifest", began=BEGAN + 9000, **UNDO), identity="01B")], WEB)
    assert [(touch.stage.kind, touch.revision) for touch in found] == [("scaleManifest", ""), ("undoRolloutManifest", "2")]


@pytest.mark.parametrize(
    ("one", "acts"),
    [
        (stage("deployManifest", "RUNNING", account="k8s", manifests=[manifest()]), True),
        (stage("deployManifest", "NOT_STARTED", began=None, account="k8s"), True),
        (stage("deployManifest", "NOT_STARTED", began=None), True),
        (stage("deployManifest", "NOT_STARTED", began=None, account="k8s", manifests=[manifest("${ parameters.name }")]), True),
        (stage("deployManifest", "NOT_STARTED", began=None, account="k8s", manifests=[manifest(kind="${ parameters.kind }")]), True),
        (stage("deployManifest", "NOT_STARTED", began=None, account="${ parameters.account }", manifests=[manifest()]), True),
        (stage("deployManifest", "NOT_STARTED", began=None, account="k8s", manifests=[manifest("${ parameters.name }", kind="Service")]), False),
        (stage("deployManifest", "NOT_STARTED", began=None, credentials="k8s"), True),
        (stage("deployManifest", "NOT_STARTED", began=None, credentials="other"), False),
        (stage("deployManifest", "NOT_STARTED", began=None, account="other"), False),
        (stage("deployManifest", "NOT_STARTED", began=None, account="k8s", manifests=[manifest("other")]), False),
        (stage("undoRolloutManifest", "RUNNING", **UNDO), True),
        (stage("scaleManifest", "NOT_STARTED", began=None, account="k8s", location="ns", mode="dynamic"), True),
        (stage("scaleManifest", "NOT_STARTED", began=None, manifestName="deployment web"), True),
        (stage("scaleManifest", "NOT_STARTED", began=None, **(UNDO | {"manifestName": "deployment ${ parameters.name }"})), True),
        (stage("undoRolloutManifest", "NOT_STARTED", began=None, **(UNDO | {"location": "${ parameters.namespace }"})), True),
        (stage("undoRolloutManifest", "NOT_STARTED", began=None, **(UNDO | {"account": "${ parameters.account }"})), True),
        (stage("undoRolloutManifest", "NOT_STARTED", began=None, **(UNDO | {"account": "other"})), False),
        (stage("undoRolloutManifest", "RUNNING", **(UNDO | {"manifestName": "deployment other"})), False),
        (stage("manualJudgment", "RUNNING"), False),
        (deploy(manifest()), False),
    ],
    ids=lambda one: f"{one['type']} {one['status']} {one['context']}"[:70] if isinstance(one, dict) else str(one),
)
def test_promise_5_what_is_alive_and_may_still_change_it_is_acting_on_it(one: Any, acts: bool) -> None:
    for status in ("RUNNING", "PAUSED", "NOT_STARTED", "BUFFERED", "SUSPENDED", "SOMETHING_NEW"):
        assert (acting_on([run(one, status=status)], WEB) is not None) is acts
    for status in ("SUCCEEDED", "TERMINAL", "CANCELED"):
        assert acting_on([run(one, status=status)], WEB) is None


def test_promise_5_what_was_typed_into_a_stage_says_nothing_of_the_artifact_that_it_deploys() -> None:
    typed = stage("deployManifest", "RUNNING", account="k8s", source="artifact", manifests=[manifest("other")])
    for tasks, acts in (((), True), (("RUNNING",), True), (("SUCCEEDED",), False)):
        fetching = typed | {"tasks": [{"name": "resolveDeploySourceManifest", "status": status} for status in tasks]}
        assert (acting_on([run(fetching, status="RUNNING")], WEB) is not None) is acts
    assert acting_on([run(typed | {"context": typed["context"] | {"source": "text"}}, status="RUNNING")], WEB) is None
    assert acting_on([run(typed | {"context": typed["context"] | {"account": "other"}}, status="RUNNING")], WEB) is None


def test_of_several_that_are_alive_the_oldest_is_told() -> None:
    still = stage("undoRolloutManifest", "RUNNING", **UNDO)
    young, old = run(still, status="RUNNING", identity="01A", built=BEGAN + 1), run(still, status="RUNNING", identity="01B")
    found = acting_on([young, old], WEB)
    assert found is not None
    assert found.id == "01B"


def test_each_of_several_deploys_of_a_run_is_told_by_what_it_made_itself() -> None:
    canary, rest = deploy(manifest(image="r/web:2", namespace=None)), deploy(manifest(image="r/web:3"), began=BEGAN + 9000) | {"id": "S2", "refId": "2"}
    found = touches_of([run(canary, rest)], WEB)
    assert [[image.reference for image in touch.images] for touch in found] == [["r/web:3"], ["r/web:2"]]


def test_a_revision_was_made_by_the_deploy_of_its_images_around_the_time_of_its_creation() -> None:
    touches = touches_of([run(deploy(manifest()))], WEB)
    for apart in (-50, 2, 50):  # two clocks
        assert made(touches, revision(created=AT + timedelta(seconds=apart))) is touches[0]
    for other in (revision("r/web:2"), revision(created=AT + timedelta(minutes=5)), revision(created=AT - timedelta(minutes=5)), revision(created=None)):
        assert made(touches, other) is None


def test_one_that_came_back_was_made_by_the_undo_to_its_old_number_or_by_the_newest_deploy_of_its_images() -> None:
    back = touches_of([run(deploy(manifest())), run(stage("undoRolloutManifest", began=BEGAN + 60_000, **UNDO), identity="01B")], WEB)
    found = made(back, revision(earlier=(2,)))
    assert found is not None
    assert found.revision == "2"
    again = touches_of([run(deploy(manifest())), run(deploy(manifest(), began=BEGAN + 900_000), identity="01B")], WEB)
    found = made(again, revision(earlier=(1,)))
    assert found is not None
    assert found.at == AT + timedelta(seconds=900)


def test_an_undo_to_another_number_made_nothing_of_it() -> None:
    back = touches_of([run(stage("undoRolloutManifest", **(UNDO | {"revision": 7})))], WEB)
    assert made(back, revision(earlier=(2,))) is None
    assert made(back, revision()) is None


def test_an_image_that_is_not_told_fits_no_revision() -> None:
    bare = manifest()
    bare["spec"] = {}
    assert made(touches_of([run(deploy(bare))], WEB), Revision(number=1, name="x", digest="d", images=(), created_at=AT)) is None


def test_our_marker_begins_as_orca_can_search_for_it() -> None:
    assert runs.OURS.replace("-", "").isalnum()


# --- server groups ---

MAIN = ClusterAddress(application="web", account="prod", cluster="web-main", region="us-east-1")
WHERE: dict[str, Any] = {"credentials": "prod", "region": "us-east-1", "cloudProvider": "aws"}


def makes(*names: str, region: str = "us-east-1", account: str = "prod", status: str = "SUCCEEDED") -> dict[str, Any]:
    groups: dict[str, Any] = {"deploy.server.groups": {region: list(names)}}
    return stage("createServerGroup", status, account=account, **groups)


def test_a_deploy_touches_a_cluster_by_the_groups_that_it_made_there() -> None:
    (touch,) = touches_of([run(makes("web-main-v003", "web-other-v001"))], MAIN)
    assert touch.groups == ("web-main-v003",)
    for other in (makes("web-other-v001"), makes("web-main-v003", region="eu-west-1"), makes("web-main-v003", account="test"), stage("createServerGroup")):
        assert touches_of([run(other)], MAIN) == ()


@pytest.mark.parametrize("kind", ["rollbackServerGroup", "enableServerGroup", "disableServerGroup", "resizeServerGroup", "destroyServerGroup"])
def test_what_names_one_of_its_groups_touches_a_cluster(kind: str) -> None:
    assert len(touches_of([run(stage(kind, **WHERE, serverGroupName="web-main-v003"))], MAIN)) == 1
    assert touches_of([run(stage(kind, **WHERE, serverGroupName="web-other-v003"))], MAIN) == ()
    assert touches_of([run(stage(kind, **WHERE, serverGroupName="${which}"))], MAIN) == ()


def test_what_may_yet_change_a_cluster_is_every_stage_that_does_not_mean_another_one() -> None:
    alive = {
        "names it": stage("deploy", "RUNNING", clusters=[{**WHERE, "application": "web", "stack": "main"}]),
        "says nothing": stage("cloneServerGroup", "NOT_STARTED", began=None),
        "an expression": stage("disableServerGroup", "RUNNING", **WHERE, serverGroupName="${which}"),
    }
    for why, one in alive.items():
        assert acting_on([run(one, status="RUNNING")], MAIN) is not None, why
    others = {
        "another cluster": stage("deploy", "RUNNING", clusters=[{**WHERE, "application": "web", "stack": "other"}]),
        "a manifest": stage("deployManifest", "RUNNING", cloudProvider="kubernetes", account="prod"),
        "has ended": stage("deploy", "SUCCEEDED", clusters=[{**WHERE, "application": "web", "stack": "main"}]),
        "a judgment": stage("manualJudgment", "RUNNING"),
    }
    for why, one in others.items():
        assert acting_on([run(one, status="RUNNING")], MAIN) is None, why


def test_a_deploy_of_machines_is_none_of_a_manifest() -> None:
    machines = stage("deploy", "RUNNING", clusters=[{"provider": "aws", "account": "prod"}])
    assert acting_on([run(machines, status="RUNNING")], WEB) is None
    assert acting_on([run(stage("deploy", "RUNNING", cloudProvider="kubernetes"), status="RUNNING")], WEB) is not None
    assert acting_on([run(stage("deploy", "RUNNING"), status="RUNNING")], WEB) is not None
