"""The Spinnaker that was recorded, built anew on the sandbox: its pipelines by their ids, its Deployment, its server groups, its users."""

from typing import Any

from integrations.sandbox.gate.access import User
from integrations.sandbox.gate.server import SandboxGate
from integrations.sandbox.gate.settings import Profile, Timings
from tests.fakes.clock import LoopClock

Json = dict[str, Any]
APP = "lab"


def wait(seconds: int, ref: str = "1", after: list[str] | None = None, name: str = "wait") -> Json:
    return {"type": "wait", "name": name, "refId": ref, "requisiteStageRefIds": after or [], "waitTime": seconds}


def judge(**more: Any) -> Json:
    return {"type": "manualJudgment", "name": "Judge", "refId": "1", "requisiteStageRefIds": [], "notifications": [], "judgmentInputs": [], **more}


def config(number: int, name: str, stages: list[Json], **more: Any) -> Json:
    return {"application": APP, "id": f"00000000-0000-4000-8000-{number:012d}", "name": name, "stages": stages, **more}


ARTIFACT = {
    "id": "aaaaaaaa-0000-4000-8000-000000000001",
    "matchArtifact": {"type": "docker/image", "name": "registry/app", "artifactAccount": "docker-registry"},
    "useDefaultArtifact": False,
    "usePriorArtifact": False,
}
REVISION = {"name": "revision", "required": True}
HOOK = {"type": "webhook", "enabled": True, "source": "rollback", "payloadConstraints": {"secret": "s3"}, "id": "dddddddd-0000-4000-8000-000000000001"}
CHECK = {"type": "expression", "failPipeline": True, "context": {"expression": "${ false }", "failureMessage": "nope"}}
UNDO = {
    "type": "undoRolloutManifest",
    "name": "Undo",
    "refId": "1",
    "requisiteStageRefIds": [],
    "account": "k8s",
    "cloudProvider": "kubernetes",
    "location": "ns",
    "manifestName": "deployment web",
    "mode": "static",
    "revision": "${ parameters.revision }",
}
PIPELINES = [
    config(1, "wait-pipeline", [wait(3)]),
    config(2, "needs-param", [wait(1)], parameterConfig=[{**REVISION, "default": ""}]),
    config(3, "disabled-pipeline", [wait(1)], disabled=True),
    config(4, "needs-artifact", [wait(1)], expectedArtifacts=[ARTIFACT]),
    config(5, "long-wait", [wait(600)]),
    config(6, "judge", [judge(failPipeline=True, instructions="ok?", judgmentInputs=[{"value": "yes"}]), wait(1, "2", ["1"], "after")]),
    config(7, "judge-soft", [judge(failPipeline=False, continuePipeline=False), wait(1, "2", ["1"], "after")]),
    config(8, "judge-cont", [judge(failPipeline=False, continuePipeline=True), wait(1, "2", ["1"], "after")]),
    config(
        9,
        "fails",
        [
            {"type": "checkPreconditions", "name": "Check", "refId": "1", "requisiteStageRefIds": [], "preconditions": [CHECK]},
            wait(1, "2", ["1"], "after"),
        ],
    ),
    config(10, "limited", [wait(8)], limitConcurrent=True),
    config(11, "limited-keep", [wait(6)], limitConcurrent=True, keepWaitingPipelines=True),
    config(12, "rollback-web", [UNDO], parameterConfig=[REVISION]),
    config(16, "needs-param-nodefault", [wait(1)], parameterConfig=[REVISION]),
    config(17, "needs-param-nulldefault", [wait(1)], parameterConfig=[{**REVISION, "default": None}]),
    config(50, "hooked", [wait(3)], triggers=[HOOK]),
]
FRESH = config(51, "fresh", [wait(3)])


def build(profile: Profile | None = None, timings: Timings | None = None) -> SandboxGate:
    """The lab before its first request: three revisions of one Deployment, v006 disabled behind v007, one lonely group in another region."""
    gate = SandboxGate(clock=LoopClock(), profile=profile, timings=timings or Timings(start=0.08, cache=0.0, ready=0.0))
    gate.add_application(APP, email="a@b.c")
    gate.add_application("web", email="a@b.c")
    gate.add_account("k8s")
    gate.add_account("prod", "aws")
    for one in PIPELINES:
        gate.save_pipeline(one)
    for tag in (1, 2, 3):
        gate.kubernetes.runs(APP, account="k8s", namespace="ns", name="web", image=f"registry/app:{tag}")
    gate.groups.runs("web", cluster="web-main", image="ami-6", capacity=(1, 3, 1), disabled=True, sequence=6)
    gate.groups.runs("web", cluster="web-main", image="ami-7", capacity=(3, 5, 3), sequence=7)
    gate.groups.runs("web", cluster="web-main", image="ami-7", region="us-west-2", sequence=3)
    every = {"READ": {APP}, "WRITE": {APP}, "EXECUTE": {APP}}
    gate.add_user(User(name="u", password="p", roles=["USER"]))
    gate.add_user(User(name="full", roles=["minters"], rights=every, accounts={"k8s"}, mints=True))
    gate.add_user(User(name="noexec", rights={"READ": {APP}, "WRITE": {APP}}, accounts={"k8s"}))
    gate.add_user(User(name="noread", accounts={"k8s"}))
    return gate
