"""The stories of Backout on real servers: Argo CD on a real Kubernetes API, Prometheus, Alertmanager, Jaeger, a registry, Git.

Each test has a shop and a Backout of its own. People act through Git, Argo CD's API and Backout's API; what is asserted is read from the real servers.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest

from tests.real.backout import INSTANCE, Backout, OpenShop, Serve, error_share, finding
from tests.real.lab.client import LabClient, until
from tests.real.shop import Shop

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

HOLD = "backout.dev/hold"
AUTOMATED = {"prune": True, "selfHeal": True}
MIGRATION = "db/migrations/0042_drop_legacy.sql"
QUICK = {"read_back_seconds": [0, 1]}
"""Whether somebody takes our stop of auto-sync back is looked at sooner than by default: nobody does in these tests."""


def automated(app: Mapping[str, Any]) -> Any:
    return app["spec"].get("syncPolicy", {}).get("automated")


def marker(app: Mapping[str, Any]) -> str:
    return str(app["metadata"].get("annotations", {}).get(HOLD, ""))


async def footprint(shop: Shop) -> Mapping[str, Any]:
    """Everything of the Application that an act would change, but for what the controller itself writes while it looks."""
    app = await shop.application()
    return {
        "spec": app["spec"],
        "annotations": app["metadata"].get("annotations"),
        "history": await shop.history(),
        "operation": app.get("operation"),
        "last": app["status"]["operationState"]["startedAt"],
        "by Backout": await shop.told_by("backout"),
        "images": await shop.running(),
    }


async def auto_sync_stopped(shop: Shop) -> None:
    """Wait for Backout's first write."""

    async def stopped() -> bool:
        return bool(automated(await shop.application()) != AUTOMATED)

    await until(stopped, what="auto-sync to be stopped", every=0.05)


async def told(backout: Backout, shop: Shop, event: str) -> Mapping[str, Any]:
    """The message of that kind, once it arrived."""

    async def arrived() -> Mapping[str, Any] | None:
        return next((body for body in backout.told.about(shop) if body["event"] == event), None)

    message = await until(arrived, what=f"the message {event}")
    assert message is not None
    return message


async def trace_of(client: LabClient, trace_id: str) -> list[tuple[str, Mapping[str, Any]]]:
    """(service, span) of a trace in Jaeger."""
    answer = await client.jaeger.call("GET", f"/api/v3/traces/{trace_id}")
    if not answer.good:
        return []
    groups = answer.body["result"]["resourceSpans"]
    return [(attributes(group["resource"])["service.name"], span) for group in groups for scope in group["scopeSpans"] for span in scope["spans"]]


def attributes(thing: Mapping[str, Any]) -> Mapping[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in thing.get("attributes", [])}


async def test_a_plain_application_goes_back_by_the_plan_that_a_person_confirmed(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop(auto_sync=False)
    backout = await serve(shop, declared_sli=True)
    good = await shop.running()
    bad = await shop.release("1.1", errors=0.31)
    await backout.until_watched(shop, "1.1")
    before = await shop.history()

    plan, asked = await backout.ask(shop, "errors since 1.1")
    operation = await backout.until_done(asked)

    assert [step["name"] for step in plan["steps"]] == ["prove_controller", "roll_back", "mark_hold"]
    assert operation["outcome"] == "recovered", operation["says"]
    assert await shop.running() == good
    history = await shop.history()
    assert history[:-1] == before
    assert history[-1][1:] == (before[0][1], "backout")
    app = await shop.application()
    assert automated(app) is None
    assert operation["id"] in marker(app)
    assert [hold["operation"] for hold in await backout.holds(shop)] == [operation["id"]]
    assert bad.config == before[-1][1]
    assert "1.0" in (await told(backout, shop, "recovered"))["to"]


async def test_a_real_alert_takes_an_auto_synced_application_back_and_it_stays_back(client: LabClient, open_shop: OpenShop, serve: Serve) -> None:
    await with_traces_again(client)
    shop = await open_shop()
    backout = await serve(shop, "auto")
    good, before = await shop.running(), await shop.history()
    bad = await shop.release("1.1", errors=0.31)

    operation = await backout.until_ended(shop)

    assert operation["outcome"] == "recovered", operation["says"]
    assert (operation["mode"], operation["automatic"], operation["trigger"]["alert"]) == ("auto", True, "HighErrorRate")
    assert await shop.running() == good
    app = await shop.application()
    assert automated(app) == {**AUTOMATED, "enabled": False}
    assert operation["id"] in marker(app)
    assert [(revision, who) for _, revision, who in await shop.history()] == [(before[0][1], ""), (bad.config, ""), (before[0][1], "backout")]
    (share,) = await until(lambda: client.query(error_share(shop.name)), what="samples of the last five seconds")
    assert float(share["value"][1]) < 0.01
    assert [alert for alert in await client.alerts() if alert["labels"].get("app") == shop.name] == []
    assert (await told(backout, shop, "recovered"))["operation"] == operation["id"]
    assert await shop.told_by("backout") == ["backout updated application spec", "backout initiated rollback to 0"]
    await stays_back(shop, good)
    await read_back_as_one_trace(client, shop, operation)


async def stays_back(shop: Shop, good: set[str]) -> None:
    """For fifteen seconds, through a hard refresh and a README commit on top of the bad release, nothing comes forward."""
    await shop.application(refresh="hard")
    readme = await shop.config.commit({"README.md": "How we deploy.\n"}, "describe")
    assert (await shop.application(refresh="normal"))["status"]["sync"]["revision"] == readme
    until_then = time.monotonic() + 15
    while time.monotonic() < until_then:
        app = await shop.application()
        assert (app["status"]["sync"]["status"], app.get("operation")) == ("OutOfSync", None)
        assert await shop.running() == good
        await asyncio.sleep(0.5)


async def with_traces_again(client: LabClient) -> None:
    """A fresh argocd-server: one that was reconfigured once (another test did that) exports no span any more ("the client is shutdown" in its log)."""
    client.kill("argocd-server")
    await client.start_again("argocd-server")


async def read_back_as_one_trace(client: LabClient, shop: Shop, operation: Mapping[str, Any]) -> None:
    """Found in Jaeger by its target; one root; every parent is there, also those of Argo CD's own spans."""
    target = f"{INSTANCE}:{shop.name}"

    async def found() -> set[str]:
        wanted = quote(json.dumps({"backout.target": target, "backout.outcome": "recovered"}))
        traces = (await client.jaeger.must("GET", f"/api/traces?service=backout&tags={wanted}&lookback=1h"))["data"]
        return {trace["traceID"] for trace in traces}

    assert await until(found, what="the trace in Jaeger's search") == {operation["trace_id"]}

    async def whole() -> list[tuple[str, Mapping[str, Any]]]:
        spans = await trace_of(client, operation["trace_id"])
        there = {span["spanId"] for _, span in spans}
        complete = all(span.get("parentSpanId", "") in {"", *there} for _, span in spans)
        return spans if complete and {service for service, _ in spans} >= {"backout", "argocd-server"} else []

    spans = await until(whole, what="every parent in the trace, with Argo CD's spans")
    roots = [span for _, span in spans if not span.get("parentSpanId")]
    assert [root["name"] for root in roots] == [f"rollback {target} 1→0"]
    ours = {span["name"] for service, span in spans if service == "backout"}
    assert {"operation.accepted", "alert.accept", "correlate", "verdict", "decide", "act.stop_auto_sync", "act.roll_back", "verify", "hold"} <= ours
    assert {attributes(span)["backout.target"] for service, span in spans if service == "backout"} == {target}
    asked = [span["name"].rpartition("/")[2] for service, span in spans if service == "argocd-server" and span.get("parentSpanId") == roots[0]["spanId"]]
    assert (asked.count("Patch"), asked.count("Rollback")) == (1, 1)


async def test_a_release_that_dropped_a_column_is_not_rolled_back_and_not_touched(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop()
    backout = await serve(shop, "auto")
    drop = "-- 1.1 reads status from order_state\nALTER TABLE orders\n  DROP COLUMN legacy_status;\n"
    await shop.release("1.1", errors=0.31, files={MIGRATION: drop})
    before = await footprint(shop)

    operation = await backout.until_ended(shop)

    assert operation["outcome"] == "refused", operation["says"]
    schema = finding(operation["plan"], "schema_is_compatible")
    assert (schema["answer"], "legacy_status" in schema["says"]) == ("block", True)
    assert any(f"{MIGRATION}:" in one["what"] for one in schema["evidence"])
    assert operation["plan"]["verdict"]["recommended"]["way"] == "hotfix"
    assert "legacy_status" in (await told(backout, shop, "refused"))["text"]
    assert operation["first_effect_at"] is None
    assert await footprint(shop) == before
    assert before["by Backout"] == []


async def test_an_offer_made_for_an_alert_is_carried_out_when_a_person_approves_it(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop()
    backout = await serve(shop, "approve", delivery=QUICK)
    good = await shop.running()
    await shop.release("1.1", errors=0.31)
    offer = await backout.until_waiting(shop)
    before = await footprint(shop)
    assert (before["by Backout"], automated(await shop.application())) == ([], AUTOMATED)

    answer = await backout.approve(offer, reason="go")
    operation = await backout.until_ended(shop)

    assert answer.status == 202
    assert operation["outcome"] == "recovered", operation["says"]
    assert (operation["approval"]["by"]["name"], operation["approval"]["approve"]) == ("alice", True)
    assert await shop.running() == good
    assert (await told(backout, shop, "approval_wanted"))["plan_digest"] == offer["plan_digest"]


async def sync_again(shop: Shop) -> None:
    """A person deploys the live revision once more."""
    answer = await shop.client.sync(shop.name)
    assert answer.good, answer
    await shop.client.until_application(shop.name)


async def edit_the_spec(shop: Shop) -> None:
    """A person changes how many releases are remembered."""
    await shop.edit({"op": "add", "path": "/spec/revisionHistoryLimit", "value": 7})


@pytest.mark.parametrize("meanwhile", [sync_again, edit_the_spec], ids=["synced", "edited"])
async def test_an_approval_is_void_when_a_person_acted_since_the_offer_was_made(open_shop: OpenShop, serve: Serve, meanwhile: Any) -> None:
    shop = await open_shop(auto_sync=False)
    backout = await serve(shop, declared_sli=True)
    await shop.release("1.1", errors=0.31)
    await backout.until_watched(shop, "1.1")
    offer = await backout.ask_for_offer(shop, "errors since 1.1")
    await meanwhile(shop)
    before = await footprint(shop)

    answer = await backout.approve(offer)
    operation = await backout.until_done(offer)  # the alert may have begun one of its own by then

    assert answer.status == 202
    assert operation["outcome"] == "refused"
    assert "the approval no longer holds" in operation["says"]
    assert operation["first_effect_at"] is None
    assert await footprint(shop) == before
    assert (before["by Backout"], await backout.holds(shop)) == ([], [])


async def test_a_token_that_may_only_read_is_refused_before_the_first_write_with_the_missing_policy_line(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop(auto_sync=False)
    backout = await serve(shop, declared_sli=True, account="reader")
    await shop.release("1.1", errors=0.31)
    await backout.until_watched(shop, "1.1")
    before = await footprint(shop)

    check = await backout.check(shop)
    code, lines = await backout.doctor()
    operation = await backout.until_done((await backout.ask(shop))[1])

    missing = finding(check, "permissions_suffice")
    assert (missing["answer"], missing["clears"]) == ("block", "Add: p, reader, applications, sync, default/*, allow")
    assert (operation["outcome"], operation["first_effect_at"]) == ("refused", None)
    assert "p, reader, applications, sync, default/*, allow" in (await told(backout, shop, "refused"))["text"]
    assert (await footprint(shop), await shop.told_by("reader")) == (before, [])
    assert code == 1
    assert [line["fix"] for line in lines if line["well"] == "no"] == [
        "add to policy.csv:  p, reader, applications, sync, default/*, allow",
        "add to policy.csv:  p, reader, applications, update, default/*, allow",
    ]


async def test_a_rollback_that_does_not_help_stays_back_and_calls_a_person(client: LabClient, open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop()
    backout = await serve(shop, "auto", delivery=QUICK, give_up_after="12s")
    good = await shop.running()
    async with stands_before_the_rollback(client, backout, shop):
        await burn(client, shop)
    operation = await backout.until_ended(shop)

    assert operation["outcome"] == "not_recovered", operation["says"]
    assert "outside its bound" in operation["says"]
    message = await told(backout, shop, "not_recovered")
    assert "A person is needed now." in message["text"]
    assert [hold["operation"] for hold in await backout.holds(shop)] == [operation["id"]]
    history = await shop.history()
    await asyncio.sleep(6)  # longer than Alertmanager waits before it tells what is new in a group
    assert await shop.history() == history
    assert history[-1][2] == "backout"
    assert good <= await shop.running()
    assert automated(await shop.application()) == {**AUTOMATED, "enabled": False}
    assert [one["id"] for one in await backout.operations(shop)] == [operation["id"]]


@asynccontextmanager
async def stands_before_the_rollback(client: LabClient, backout: Backout, shop: Shop) -> AsyncIterator[None]:
    """A bad release goes live; the block runs once Backout has stopped auto-sync for it, and nothing is rolled back before the block ends.

    Before it rolls back Backout asks the controller for an answer, and that is paused.
    """
    controller = "argocd-application-controller"
    async with client.silenced(shop.name):
        await shop.release("1.1", errors=0.31)
        await backout.until_watched(shop, "1.1")
        client.pause(controller)
    try:
        await auto_sync_stopped(shop)
        yield
    finally:
        client.resume(controller)


async def burn(client: LabClient, shop: Shop) -> None:
    """From now on release 1.0 fails as well: something that both releases need is broken. A pod that no Deployment owns answers a third of the requests."""
    repository = f"team/{shop.name}-without-its-database"
    digest = await client.push_image(repository, version="1.0", errors=0.9)
    pod = {
        "metadata": {"name": "without-its-database", "labels": {"app": shop.name}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": client.image(repository, digest)}]},
    }
    await client.kube.must("POST", f"/api/v1/namespaces/{shop.name}/pods", pod)

    async def burns() -> bool:
        shares = await client.query(error_share(shop.name, by="version"))
        return any(one["metric"].get("version") == "1.0" and float(one["value"][1]) > 0.1 for one in shares)

    await until(burns, what="release 1.0 to be seen to fail")


async def test_doctor_finds_the_lab_well_and_each_other_line_says_what_to_do(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop()
    backout = await serve(shop)

    code, lines = await backout.doctor()

    assert (code, [line for line in lines if line["well"] == "no"]) == (0, [])
    assert [line["what"] for line in lines if line["well"] != "ok" and not line["fix"]] == []
    assert next(line for line in lines if line["what"] == "argocd lab version")["well"] == "ok"


async def test_a_person_ends_the_hold_once_a_fix_is_there_and_auto_sync_is_as_it_was(open_shop: OpenShop, serve: Serve) -> None:
    shop = await open_shop()
    backout = await serve(shop, declared_sli=True, delivery=QUICK)
    await shop.release("1.1", errors=0.31)
    await backout.until_watched(shop, "1.1")
    operation = await backout.until_done((await backout.ask(shop))[1])
    assert operation["outcome"] == "recovered", operation["says"]
    (hold,) = await backout.holds(shop)

    early = await backout.end_hold(hold, "all fine")
    await shop.config.commit({"README.md": "How we deploy.\n"}, "describe")
    await shop.application(refresh="normal")
    described = await backout.end_hold(hold, "there is a newer commit")

    assert [(answer.status, answer.body.get("code")) for answer in (early, described)] == [(409, "refused"), (409, "refused")]
    assert automated(await shop.application()) == {**AUTOMATED, "enabled": False}
    fix = await shop.ship("1.2")
    ended = await backout.end_hold(hold, "1.2 fixes it")
    assert (ended.status, ended.body.get("state")) == (200, "ended"), ended.body
    app = await shop.application()
    assert (automated(app), marker(app)) == (AUTOMATED, "")
    await shop.until_running(fix)
    assert (await shop.until_recorded(fix))[2] == ""


async def test_a_service_killed_between_stopping_auto_sync_and_rolling_back_does_it_once_and_ends_the_story(
    client: LabClient, open_shop: OpenShop, serve: Serve
) -> None:
    shop = await open_shop()
    backout = await serve(shop, "auto", delivery=QUICK)
    good = await shop.running()

    async def recorded() -> bool:
        operation = await backout.operation(shop)
        return any(one["kind"] == "step_done" and one["body"]["step"] == "stop_auto_sync" for one in await backout.events(operation))

    async with stands_before_the_rollback(client, backout, shop):
        await until(recorded, what="the stop to be recorded", every=0.05)
        await backout.kill()
    assert [who for _, _, who in await shop.history()] == ["", ""]
    await backout.start()
    operation = await backout.until_ended(shop)

    assert operation["outcome"] == "recovered", operation["says"]
    assert [who for _, _, who in await shop.history()] == ["", "", "backout"]
    assert await shop.running() == good
    assert automated(await shop.application()) == {**AUTOMATED, "enabled": False}
    assert [one["id"] for one in await backout.operations(shop)] == [operation["id"]]
