"""What is kept of a target around a rollback, as real servers tell it: manifests, events, logs, and what could not be had."""

import json
from pathlib import Path
from typing import Any

import pytest

from integrations.delivery.argocd.adapter import build
from integrations.delivery.argocd.settings import Settings
from service.domain.model import TargetId
from service.domain.ports import Basket
from service.wiring.parts import SystemClock
from tests.real.backout import INSTANCE, OpenShop, Serve
from tests.real.lab.client import Lab, LabClient, until
from tests.real.lab.logs import served

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


LINES = ["2026-05-04T14:00:00.1Z starting", "2026-05-04T14:00:01.2Z connecting with password=hunter2-of-the-log", "2026-05-04T14:00:02.3Z out of memory"]


async def test_what_containers_wrote_is_kept_before_and_after_a_rollback_and_told_without_what_is_secret(
    client: LabClient, open_shop: OpenShop, serve: Serve, tmp_path: Path
) -> None:
    shop = await open_shop(auto_sync=False)
    backout = await serve(shop, declared_sli=True, account="admin")  # who may read logs
    bad = await shop.release("1.1")
    await backout.until_watched(shop, "1.1")
    pods = {pod["metadata"]["name"] for pod in await client.pods(shop.name)}

    async def captured() -> Any:
        found = await backout.api.must("GET", f"/v1/operations/{operation['id']}/captures?texts=true")
        return found["captures"] if len(found["captures"]) == 2 else None

    async with served(client, LINES, tmp_path) as read:
        _, asked = await backout.ask(shop, "1.1 is broken")
        operation = await backout.until_done(asked)
        before, after = await until(captured, what="both captures")

    assert operation["outcome"] == "recovered", operation["says"]
    logs = {(one["moment"], item["name"]): item["text"] for one in (before, after) for item in one["items"] if item["kind"] == "log"}
    assert {name for moment, name in logs if moment == "before"} == {f"pod {pod}" for pod in pods}
    assert bad.image in "".join(item["text"] for item in before["items"] if item["kind"] == "manifest")
    assert {moment for moment, _ in logs} == {"before", "after"}
    told = "\n".join((LINES[0], "2026-05-04T14:00:01.2Z connecting with [removed]", LINES[2]))
    assert set(logs.values()) == {told}
    assert "hunter2" not in json.dumps((before, after))
    assert {path.split("/")[2] for path in read} == {shop.name}
    assert not [why for why in before["missing"] if why.startswith("log")]


async def test_manifests_and_events_are_kept_before_and_after_a_rollback_and_logs_that_could_not_be_had_are_named(
    lab: Lab, open_shop: OpenShop, serve: Serve, tmp_path: Path
) -> None:
    shop = await open_shop(auto_sync=False)
    backout = await serve(shop, declared_sli=True)
    first = (await shop.application())["status"]["summary"]["images"]
    bad = await shop.release("1.1")
    await backout.until_watched(shop, "1.1")

    operation = await backout.until_done((await backout.ask(shop, "1.1 is broken"))[1])

    async def captured() -> Any:
        found = await backout.api.must("GET", f"/v1/operations/{operation['id']}/captures?texts=true")
        return found if len(found["captures"]) == 2 else None

    found = await until(captured, what="both captures")
    before, after = found["captures"]
    workload = f"apps/Deployment {shop.name}/{shop.name}"
    assert operation["outcome"] == "recovered", operation["says"]
    assert (before["moment"], after["moment"]) == ("before", "after")
    assert before["at"] < operation["first_effect_at"] < after["at"]
    for one in (before, after):
        names = [(item["kind"], item["name"]) for item in one["items"]]
        pods = [name for kind, name in names if kind == "events" and name != "application"]
        assert sorted(names) == sorted([("manifest", workload), ("events", "application"), *(("events", pod) for pod in pods)])
        assert len(pods) >= 2
        assert sorted(why.partition(": permission denied: logs, get, default/")[0].split(": ")[0] for why in one["missing"]) == sorted(
            f"log of {pod}" for pod in pods
        )
        assert all("403: permission denied: logs, get, " in why for why in one["missing"])
        assert f"captured {one['moment']} the act: 1 manifest, " in one["says"]
    texts = {(one["moment"], item["name"]): item["text"] for one in (before, after) for item in one["items"]}
    assert bad.image in texts["before", workload]
    assert first[0] in texts["after", workload]
    assert "managedFields" not in texts["before", workload]
    assert "backout initiated rollback to 0" in texts["after", "application"]
    (difference,) = found["differences"]
    removed, added = ([line for line in difference["diff"].splitlines() if line.startswith(sign) and '"image":' in line] for sign in "-+")
    assert (difference["name"], bad.image in "".join(removed), first[0] in "".join(added)) == (workload, True, True)

    token = tmp_path / "human.token"
    token.write_text(lab.tokens["human"])
    allowed = build(Settings(name=INSTANCE, url=lab.argocd_url, token_file=token), SystemClock())
    basket = Basket()
    await allowed.capture(TargetId(INSTANCE, shop.name), basket)
    await allowed.close()
    assert {item.kind for item in basket.items} == {"manifest", "events"}
    assert basket.missing
    assert all(": Argo CD could not read it: no preferred addresses found" in why for why in basket.missing)  # the lab's node has no kubelet
