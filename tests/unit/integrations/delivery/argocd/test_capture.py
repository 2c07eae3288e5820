import json
from collections.abc import Mapping
from typing import Any, cast

import pytest

from integrations import manifests
from integrations.delivery.argocd import capture, reading
from integrations.delivery.argocd.client import AppRef, Client, Reply
from integrations.delivery.argocd.facts import Looked, Reader
from service.domain.errors import RefusedError
from service.domain.model import TargetId
from service.domain.ports import Basket
from tests.fakes.clock import START
from tests.unit.integrations.delivery.argocd.stage import Stage

WEB = TargetId("prod", "web")
DEPLOYMENT = {"group": "apps", "kind": "Deployment", "namespace": "web", "name": "web"}


def live(image: str) -> str:
    metadata = {
        "name": "web",
        "managedFields": [{"manager": "argocd"}],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "shop"},
    }
    return json.dumps(
        {
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {"image": image, "args": "--db=password=hunter22", "env": [{"name": "DB_PASSWORD", "value": "s3cret-value"}]},
            "data": {"apiToken": "t0ken-value"},
        }
    )


class Server:
    """The client's reads of one application; `broken` answers no."""

    def __init__(self, *, pods: int = 1, broken: frozenset[str] = frozenset()) -> None:
        self.pods, self.broken = pods, broken
        self.logs_of: list[str] = []

    def _reply(self, what: str, body: Mapping[str, Any]) -> Reply:
        if what in self.broken:
            raise RefusedError(f"{what}: permission denied")
        return Reply(body=body, what=what, digest="", server_time=None)

    async def managed_resources(self, app: AppRef) -> Reply:
        del app
        gone = {"kind": "ConfigMap", "namespace": "web", "name": "gone", "liveState": "null"}
        return self._reply("managed-resources", {"items": [{**DEPLOYMENT, "liveState": live("web:2")}, gone]})

    async def events(self, app: AppRef, *, about: Mapping[str, Any] | None = None) -> Reply:
        del app
        name = str(about["name"]) if about else "web"
        event = {"lastTimestamp": "2026-05-04T14:00:00Z", "count": 3, "type": "Warning", "reason": "BackOff", "message": f"restarting {name}"}
        return self._reply("events", {"items": [event]})

    async def resource_tree(self, app: AppRef) -> Reply:
        del app
        owner = {**DEPLOYMENT, "uid": "d"}
        pods = [
            {"kind": "Pod", "namespace": "web", "name": f"web-{n}", "uid": f"p{n}", "parentRefs": [owner], "health": {"status": "Healthy" if n else "Degraded"}}
            for n in range(self.pods)
        ]
        return self._reply("tree", {"nodes": [owner, *pods]})

    async def logs(self, app: AppRef, pod: str, namespace: str, *, lines: int) -> str:
        del app, namespace, lines
        self._reply("logs", {})
        self.logs_of.append(pod)
        rows = [
            {"result": {"content": "starting, token=abcdef123", "timeStamp": "2026-05-04T14:00:00Z", "timeStampStr": "2026-05-04T14:00:00Z", "podName": pod}},
            {"result": {"content": "boom", "timeStamp": "2026-05-04T14:00:01Z", "timeStampStr": "2026-05-04T14:00:01Z", "podName": pod}},
            {"result": {"last": True, "podName": pod}},
        ]
        return "\n".join([*map(json.dumps, rows), "a line that is no message"])


class Looking:
    async def get(self, target: TargetId) -> Looked:
        app = {"status": {"resources": [{**DEPLOYMENT, "version": "v1"}]}}
        return Looked(app=app, ref=AppRef(name=target.name), me="backout", reply=Reply(body=app, what="", digest="", server_time=None), at=START)


async def taken(server: Server) -> Basket:
    basket = Basket()
    await capture.capture(cast("Client", server), cast("Reader", Looking()), WEB, basket)
    return basket


async def test_manifests_events_and_logs_are_captured() -> None:
    basket = await taken(Server())
    assert sorted((one.kind, one.name) for one in basket.items) == [
        ("events", "application"),
        ("events", "pod web-0"),
        ("log", "pod web-0"),
        ("manifest", "apps/Deployment web/web"),
    ]
    assert basket.missing == []
    texts = {(one.kind, one.name): one.text for one in basket.items}
    assert texts["events", "pod web-0"] == "2026-05-04T14:00:00Z 3 times Warning BackOff: restarting web-0"
    assert texts["log", "pod web-0"].splitlines()[1:] == ["2026-05-04T14:00:01Z boom", "a line that is no message"]


async def test_what_only_machines_read_is_left_out_of_manifests() -> None:
    (manifest,) = [one for one in (await taken(Server())).items if one.kind == "manifest"]
    assert json.loads(manifest.text)["metadata"] == {"name": "web", "annotations": {"team": "shop"}}


async def test_promise_12_what_looks_like_a_secret_is_taken_out() -> None:
    everything = "".join(one.text for one in (await taken(Server())).items)
    assert not [secret for secret in ("hunter22", "s3cret-value", "t0ken-value", "abcdef123") if secret in everything]
    assert "web:2" in everything
    assert "[removed]" in everything


FILE = "db:\n  password: hunter-33\n  pool: 5\nsecretKey: 'two words'\n"
LOG = 'connecting {"apiKey": "k3y-in-json", "retry": 3} pass=pa55'


async def test_promise_12_secrets_inside_of_configuration_files_logs_and_under_names_of_keys_are_taken_out() -> None:
    class Configured(Server):
        async def managed_resources(self, app: AppRef) -> Reply:
            del app
            env = [{"name": name, "value": "v4lue-of-a-key"} for name in ("AWS_SECRET_ACCESS_KEY", "PRIVATE_KEY", "DB_PASS", "signing.key")]
            shown = {"kind": "ConfigMap", "data": {"application.yml": FILE}, "env": [*env, {"name": "BYPASS", "value": "kept"}]}
            return self._reply("managed-resources", {"items": [{**DEPLOYMENT, "liveState": json.dumps(shown)}]})

        async def logs(self, app: AppRef, pod: str, namespace: str, *, lines: int) -> str:
            del app, pod, namespace, lines
            return LOG

    texts = {one.kind: one.text for one in (await taken(Configured())).items}
    everything = "".join(texts.values())
    assert not [one for one in ("hunter-33", "two words", "v4lue-of-a-key", "k3y-in-json", "pa55") if one in everything]
    manifest = json.loads(texts["manifest"])
    assert manifest["data"]["application.yml"] == "db:\n  password: [removed]\n  pool: 5\nsecretKey: [removed]\n"
    assert manifest["env"][-1]["value"] == "kept"
    assert texts["log"] == 'connecting {"apiKey": [removed], "retry": 3} pass=[removed]'


async def test_what_cannot_be_had_is_named_and_keeps_nothing_else_back() -> None:
    basket = await taken(Server(broken=frozenset({"logs", "managed-resources"})))
    assert sorted(basket.missing) == ["log of pod web-0: logs: permission denied", "manifests: managed-resources: permission denied"]
    assert {one.kind for one in basket.items} == {"events"}


NO_ADDRESS = {"result": {"content": "no preferred addresses found", "timeStamp": None, "last": False, "timeStampStr": "0001-01-01T00:00:00Z", "podName": ""}}
LINE = {"result": {"content": "boom", "timeStamp": "2026-05-04T14:00:01Z", "timeStampStr": "2026-05-04T14:00:01.5Z", "podName": "web-0"}}
LAST = {"result": {"content": "", "timeStamp": "2026-05-04T14:00:02Z", "last": True, "timeStampStr": "2026-05-04T14:00:02Z", "podName": ""}}
CUT = "it ended without its last message, so there is no such pod any more, or it was cut off"


@pytest.mark.parametrize(
    ("messages", "log", "why"),
    [
        ([LAST], "", None),
        ([LINE, LAST], "2026-05-04T14:00:01.5Z boom", None),
        ([NO_ADDRESS, LAST], None, "Argo CD could not read it: no preferred addresses found"),
        ([LINE, NO_ADDRESS, LAST], "2026-05-04T14:00:01.5Z boom", "Argo CD could not read it: no preferred addresses found"),
        ([], None, CUT),
        ([LINE], "2026-05-04T14:00:01.5Z boom", CUT),
        ([LINE, {"error": {"grpc_code": 14, "message": "token=abcdef123 expired"}}], "2026-05-04T14:00:01.5Z boom", "[removed] expired"),
    ],
    ids=["a silent pod", "a line", "no kubelet", "one container of two", "no such pod", "cut off", "an error in the middle"],
)
async def test_a_log_that_is_not_whole_says_why_and_is_never_passed_off_as_a_quiet_pod(messages: list[Any], log: str | None, why: str | None) -> None:
    class Said(Server):
        async def logs(self, app: AppRef, pod: str, namespace: str, *, lines: int) -> str:
            del app, pod, namespace, lines
            return "\n".join(map(json.dumps, messages))

    basket = await taken(Said())
    assert [one.text for one in basket.items if one.kind == "log"] == ([] if log is None else [log])
    assert basket.missing == ([] if why is None else [f"log of pod web-0: {why}"])


async def test_of_many_pods_those_that_are_not_healthy_come_first_and_the_rest_is_named() -> None:
    server = Server(pods=capture.PODS + 2)
    basket = await taken(server)
    assert "web-0" in server.logs_of
    assert len(server.logs_of) == capture.PODS
    assert len(basket.missing) == 2


async def test_a_long_log_keeps_its_end() -> None:
    class Talkative(Server):
        async def logs(self, app: AppRef, pod: str, namespace: str, *, lines: int) -> str:
            return "x" * manifests.TEXT + await super().logs(app, pod, namespace, lines=lines)

    (log,) = [one for one in (await taken(Talkative())).items if one.kind == "log"]
    assert len(log.text) == manifests.TEXT
    assert log.text.endswith("a line that is no message")


async def test_the_sandboxs_application_is_captured_but_for_its_logs(stage: Stage) -> None:
    await stage.two_releases("web")
    basket = Basket()
    await stage.argo.capture(WEB, basket)
    assert any(one.kind == "manifest" and reading.text(one.name).startswith("apps/Deployment") for one in basket.items)
    assert any(one.kind == "events" for one in basket.items)
    assert all(missing.startswith("log of pod") for missing in basket.missing)
