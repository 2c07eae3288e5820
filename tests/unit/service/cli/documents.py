"""Documents of the service as openapi.yaml shapes them, made to be changed by a test: `made(check(), verdict="pass")`."""

from datetime import UTC, datetime
from typing import Any

Doc = dict[str, Any]

NOW = datetime(2026, 5, 4, 12, 1, 11, tzinfo=UTC)
DIGEST = "sha256:" + "a1b2c3d4" * 8
OPERATION = "op_" + "3f2a9c1b" * 4
HOLD = "hld_" + "5f21aa07" * 4
INCIDENT = "inc_" + "77aa12bc" * 4
TRACE = "8f3c9a10" * 4
TARGET = "prod:team-a/orders"


def made(document: Doc, **changed: Any) -> Doc:
    return {**document, **changed}


def release(number: str = "57", version: str = "v3.1.0", revision: str = "9c1e2abf0") -> Doc:
    return {
        "release": number,
        "key": f"key{number}",
        "version": version,
        "revision": revision,
        "title": f"{number} ({version} · {revision[:7]})",
        "sources": [{"repository": "https://git.example.com/shop/config", "path": "orders", "revision": revision, "parameters": ""}],
        "started_at": "2026-05-04T11:58:00Z",
        "deployed_at": "2026-05-04T11:58:20Z",
        "by": {"kind": "automation", "name": "argocd"},
    }


def evidence(what: str = "db/migrations/0042_drop_legacy.sql:3, applied at 11:58:20", source: str = "git:shop/orders") -> Doc:
    return {"source": source, "what": what, "read_at": "2026-05-04T12:01:07Z", "digest": "sha256:00"}


def finding(rule: str, answer: str, says: str, **more: Any) -> Doc:
    return {
        "rule": rule,
        "answer": answer,
        "gate": True,
        "says": says,
        "lines": [],
        "clears": "",
        "waived": "",
        "evidence": [],
        "adds": [],
        "instead": None,
        "overridable": False,
        **more,
    }


BLOCK = finding(
    "schema_is_compatible",
    "block",
    "Release 57 dropped column orders.legacy_status, which release 56 still reads.",
    lines=[
        {"source": "text", "answer": "block", "says": "db/migrations/0042.sql:2 drops column orders.legacy_status, which release 56 may still read."},
        {"source": "database", "answer": "block", "says": "In database orders column public.orders.legacy_status is gone: release 56 was made for it."},
        {"source": "declared", "answer": "unknown", "says": "The images declare nothing about going back."},
    ],
    clears="Add the column back, or ship a hotfix on 57.",
    evidence=[evidence(), evidence("2 of release 56's statements can no longer be prepared", "catalog")],
    instead="hotfix",
)
WARN = finding(
    "caches_stay_coherent",
    "warn",
    "Release 57 writes orders:{id} as JSON with a new field; release 56 ignores unknown fields.",
    adds=["Clear orders:* after the rollback."],
)
UNKNOWN = finding(
    "shared_services_are_untouched",
    "unknown",
    "Nobody could be asked which message types wait in orders.events (broker not configured).",
    clears="Configure the broker, or declare the consumers.",
)
WAIVED = finding("prune_deletes_no_data", "warn", "Pruning would delete a claim that is bound.", waived="waived until 2026-06-01: the claim is empty")
PASSES = [
    finding(
        "goal_release_is_exact_and_was_healthy", "pass", "Release 56 was healthy for 3 d while Backout watched it.", evidence=[evidence("3 d", "own record")]
    ),
    finding("goal_images_exist", "pass", "Both images of release 56 are in the registry."),
    finding("nobody_else_is_acting", "pass", "Nobody touched the application since the alert began.", gate=False),
]


def readiness(verdict: str = "pass", says: str = "Every question has a yes.", **changed: Any) -> Doc:
    short: Doc = {"verdict": verdict, "says": says, "rules": [], "as_of": "2026-05-04T11:51:11Z", "age_s": 600.0, "good_for_s": 3600.0, "stale": False}
    return {**short, "since": "2026-05-01T12:00:00Z", **changed}


def check(**changed: Any) -> Doc:
    return {
        "target": TARGET,
        "as_of": "2026-05-04T12:01:07Z",
        "verdict": "block",
        "way": "rollback",
        "from": release(),
        "to": release("56", "v3.0.4", "77d0f1c00"),
        "recommended": {"way": "hotfix", "because": "Release 57 dropped a column that release 56 still reads."},
        "says": "release 57 went live 3 min before the onset",
        "findings": [*PASSES, WARN, BLOCK, UNKNOWN, WAIVED],
        "plan_digest": DIGEST,
        "must_name": ["caches_stay_coherent", "shared_services_are_untouched"],
        "must_override": [],
        "mode": "approve",
        "disarmed_until": None,
        "readiness": None,
        "operation": None,
        "hold": None,
        "allowed_actions": ["plan"],
        "links": {"self": "/v1/targets/prod:team-a%2Forders/rollback-check"},
        "etag": 'W/"1"',
        **changed,
    }


def passing(**changed: Any) -> Doc:
    recommended = {"way": "rollback", "because": "every question has a yes"}
    return check(verdict="pass", findings=PASSES, recommended=recommended, must_name=[], **changed)


def step(name: str, says: str, **more: Any) -> Doc:
    about = {
        "effect": True,
        "optional": False,
        "needed_for": "",
        "owner": "backout",
        "parameters": {},
        "done_when": "",
        "fallback": "",
        "command": "",
        "undo": None,
        "stands": "",
    }
    return {"name": name, "says": says, **about, **more}


def plan(**changed: Any) -> Doc:
    verdict = {
        "verdict": "warn",
        "way": "rollback",
        "recommended": {"way": "rollback", "because": "one warning, no block"},
        "as_of": "2026-05-04T12:01:07Z",
        "findings": [*PASSES, WARN],
    }
    back = step("give_back_auto_sync", "Put auto-sync back as it was: automated, prune, self-heal")
    return {
        "id": "pln_" + "0" * 32,
        "kind": "rollback",
        "target": TARGET,
        "uid": "uid-1",
        "title": "rollback-2026-05-04",
        "method": "code",
        "scope": "full",
        "way": "rollback",
        "because": "auto-synced and owned by nobody: stop auto-sync, roll back, hold",
        "suspect": release(),
        "goal": release("56", "v3.0.4", "77d0f1c00"),
        "passed_over": [],
        "steps": [
            step("stop_auto_sync", "Stop auto-sync of prod:team-a/orders; was: automated, prune, self-heal", undo=back),
            step("roll_back", "Roll back to history id 56", done_when="4 of 4 pods run release 56", command="argocd app rollback team-a/orders 56"),
            step("look_at_cache", "Clear orders:* in the cache", owner="person", optional=True, fallback="wait until it expires", effect=False),
        ],
        "verdict": verdict,
        "must_name": ["caches_stay_coherent"],
        "must_override": [],
        "overrides": [],
        "mode": "approve",
        "policy_version": "default@3",
        "made_at": "2026-05-04T12:01:07Z",
        "act_before": "2026-05-04T12:31:07Z",
        "tags": [],
        "requested_by": {"kind": "user", "name": "alice"},
        "digest": DIGEST,
        **changed,
    }


def blocked_plan() -> Doc:
    verdict = {**plan()["verdict"], "verdict": "block", "findings": [BLOCK], "recommended": {"way": "hotfix", "because": "a column was dropped"}}
    return plan(verdict=verdict, steps=[], must_name=[])


def overridable_plan() -> Doc:
    block = {**BLOCK, "overridable": True}
    verdict = {**plan()["verdict"], "verdict": "block", "findings": [block], "recommended": {"way": "hotfix", "because": "a column was dropped"}}
    return plan(verdict=verdict, must_name=[], must_override=["schema_is_compatible"])


def operation(**changed: Any) -> Doc:
    return {
        "id": OPERATION,
        "kind": "rollback",
        "target": TARGET,
        "incident": None,
        "requested_by": {"kind": "user", "name": "alice"},
        "automatic": False,
        "mode": "approve",
        "why_mode": "asked for by user:alice",
        "phase": "act",
        "state": "alive",
        "rev": 3,
        "outcome": None,
        "says": "rolling back",
        "suspect": "57 (v3.1.0 · 9c1e2ab)",
        "goal": "56 (v3.0.4 · 77d0f1c)",
        "plan_digest": DIGEST,
        "must_name": [],
        "override": None,
        "hold": None,
        "cancel_requested": "",
        "trace_id": TRACE,
        "created_at": "2026-05-04T12:00:00Z",
        "updated_at": "2026-05-04T12:00:05Z",
        "first_effect_at": "2026-05-04T12:00:04Z",
        "act_before": None,
        "done_at": None,
        "allowed_actions": ["cancel"],
        "links": {"self": f"/v1/operations/{OPERATION}"},
        **changed,
    }


def ended(outcome: str = "recovered", **changed: Any) -> Doc:
    done: Doc = {"phase": "end", "state": "ended", "outcome": outcome, "rev": 9, "done_at": "2026-05-04T12:00:14.200Z", "hold": HOLD}
    return operation(**{**done, "says": "live is v3.0.4 · 0.2 % errors at 140 req/s for 10 s", **changed})


def waiting(**changed: Any) -> Doc:
    names = ["caches_stay_coherent"]
    away: Doc = {"phase": "awaiting_approval", "rev": 4, "must_name": names, "act_before": "2026-05-04T12:31:11Z", "first_effect_at": None, "plan": plan()}
    return operation(**{**away, "says": "a person decides, naming caches_stay_coherent", **changed})


def waiting_for_another(**changed: Any) -> Doc:
    override = {
        "rules": ["schema_is_compatible"],
        "asked_by": {"kind": "user", "name": "bob"},
        "reason": "nobody reads that column",
        "confirmed_by": None,
        "confirmed_because": "",
    }
    overriding = {**overridable_plan(), "overrides": ["schema_is_compatible"]}
    says = "a second person decides on overriding schema_is_compatible"
    return waiting(**{"must_name": [], "override": override, "plan": overriding, "says": says, **changed})


def event(number: int, kind: str, says: str) -> Doc:
    return {"number": number, "kind": kind, "says": says, "at": f"2026-05-04T12:00:{number:02}Z", "body": {}}


EVENTS = [
    event(1, "accepted", "asked for by user:alice"),
    event(2, "verdict", "pass: every question has a yes"),
    event(3, "intent", "about to: Roll back to history id 56"),
    event(4, "stuck", "Argo CD does not say whether the operation ended; looking again in 15 s, and nothing else is started for this target meanwhile"),
    event(5, "step_done", "done: Roll back to history id 56 — Argo CD operation Succeeded"),
    event(6, "ended", "recovered: said by the last event"),
]


BLOCKED = readiness("block", BLOCK["says"], rules=["schema_is_compatible"], since="2026-05-04T11:58:20Z")


def target(name: str, **changed: Any) -> Doc:
    return {
        "id": f"prod:{name}",
        "instance": "prod",
        "name": name,
        "project": "shop",
        "namespace": "argocd",
        "mode": "suggest",
        "disarmed_until": None,
        "health": "Healthy",
        "images": [f"registry.example.com/shop/{name}:v2.4.6"],
        "desired_revision": "77d0f1cabc",
        "live": {"release": "56", "version": "v2.4.6", "since": "2026-05-01T12:01:07Z"},
        "readiness": readiness(),
        "hold": None,
        "incident": None,
        "operation": None,
        "listed_at": "2026-05-04T12:01:07Z",
        "age_s": 4.0,
        "allowed_actions": ["check"],
        "links": {},
        **changed,
    }


def targets(**changed: Any) -> Doc:
    return {
        "as_of": "2026-05-04T12:01:11Z",
        "complete": True,
        "instances": [
            {
                "instance": "prod",
                "listed_at": "2026-05-04T12:01:07Z",
                "age_s": 4.0,
                "complete": True,
                "trouble": "",
                "stream": "up",
                "stream_since": "2026-05-04T12:00:00Z",
                "stream_trouble": "",
            }
        ],
        "targets": [
            target("basket"),
            target("checkout", hold=HOLD, mode="auto"),
            target("mail", health="Degraded", images=["registry.example.com:5000/mail@sha256:0123456789abcdef"], live=None, readiness=None),
            target("orders", readiness=BLOCKED, incident=INCIDENT, operation=OPERATION, health="Progressing", mode="auto"),
        ],
        "next_cursor": None,
        **changed,
    }


def episode(**changed: Any) -> Doc:
    return {
        "id": "epi_" + "1" * 32,
        "alert": "HighErrorRate",
        "source": "alertmanager",
        "sender": "main",
        "fingerprint": "f1",
        "firing": True,
        "starts_at": "2026-05-04T11:58:26Z",
        "ends_at": None,
        "labels": {},
        "annotations": {},
        "generator_url": "",
        "received_at": "2026-05-04T11:58:30Z",
        "last_seen_at": "2026-05-04T11:58:30Z",
        "times_seen": 1,
        "disposition": "placed",
        "says": "the labels name it",
        "rung": "labels",
        "target": TARGET,
        "incident": INCIDENT,
        "operation": OPERATION,
    } | changed


def incident(**changed: Any) -> Doc:
    return {
        "id": INCIDENT,
        "target": TARGET,
        "state": "open",
        "opened_at": "2026-05-04T11:58:30Z",
        "began_at": "2026-05-04T11:58:26Z",
        "closed_at": None,
        "outcome": "",
        "group": INCIDENT,
        "same_cause": [],
        "suspect": None,
        "episodes": [episode(), {**episode(), "id": "epi_" + "2" * 32}, {**episode(), "alert": "HighLatency"}],
        "links": {},
        **changed,
    }


def full_hold(**changed: Any) -> Doc:
    """As the single resource shows it."""
    release = {"key": "key57", "title": "57 (v3.1.0)", "since": "2026-05-04T12:00:14Z", "operation": OPERATION, "bad": "registry.example/shop/web@sha256:4"}
    watch = {
        "at": "2026-05-04T12:05:14Z",
        "standing": "still_bad",
        "says": "release a1b2c3d is desired now: compared with release 57, it still has all that was bad",
        "desired": "a1b2c3d4e5f60718",
        "candidate": "",
        "title": "",
        "operation": OPERATION,
        "again_at": None,
        "troubles": ["the hold mark was taken off the target"],
    }
    return hold(releases=[release], watch=watch, reviews=2, **changed)


def orphan() -> Doc:
    return {
        "target": TARGET,
        "marker": "operation=op_gone",
        "says": f"{TARGET} carries a hold mark that this Backout does not know",
        "since": "2026-05-04T12:00:14Z",
        "clears": "argocd app patch orders",
    }


def hold(**changed: Any) -> Doc:
    return {
        "id": HOLD,
        "target": TARGET,
        "operation": OPERATION,
        "state": "open",
        "opened_at": "2026-05-04T12:00:14Z",
        "reason": "v3.1.0 stays away: its errors began with it",
        "review_at": "2026-05-11T12:00:14Z",
        "review_due": False,
        "reviews": 0,
        "owner": "user:alice",
        "watch": None,
        "held": ["key57"],
        "remembered": {"automated": {"prune": True}},
        "closed_at": None,
        "ended_by": "",
        "ended_because": "",
        "allowed_actions": ["end"],
        "links": {},
        **changed,
    }


def ended_hold(**changed: Any) -> Doc:
    return hold(state="ended", closed_at="2026-05-04T12:05:00Z", ended_by="user:alice", ended_because="v3.1.1 is live", **changed)


def switch(reason: str = "") -> Doc:
    return {"stopped": bool(reason), "reason": reason, "allowed_actions": ["stop"], "links": {}}


def incident_events() -> Doc:
    told = [
        ("opened", f"opened for {TARGET} by HighErrorRate"),
        ("episode_joined", "HighErrorRate belongs to it: the labels name it"),
        ("operation_begun", "rollback began: HighErrorRate"),
        ("operation_ended", "rollback ended: recovered: live is v3.0.4"),
        ("closed", "closed: recovered"),
    ]
    return {"incident": INCIDENT, "state": "closed", "events": [event(number, kind, says) for number, (kind, says) in enumerate(told, start=1)]}


def stop_events() -> Doc:
    told = [("stopped", "stopped by user:alice: storm"), ("resumed", "resumed by user:bob; it was stopped by user:alice: storm")]
    return {"events": [event(number, kind, says) for number, (kind, says) in enumerate(told, start=1)]}


def span(name: str, says: str = "", **more: Any) -> Doc:
    about: Doc = {"span_id": "00", "answer": "", "failed": False, "started_ns": "1", "ended_ns": "2", "seconds": 0.0, "attributes": {}, "links": []}
    return {"name": name, "says": says, "children": [], **about, **more}


def trace(**changed: Any) -> Doc:
    waived = {"backout.waived": "waived until 2026-06-01: harmless"}
    findings = [
        span("schema_is_compatible", "no migration between 77d0f1c and 9c1e2ab", answer="pass"),
        span("caches_stay_coherent", "release 57 writes a field that release 56 ignores, which nobody has to mind", answer="warn", attributes=waived),
    ]
    spans = [
        span("operation.accepted", "for searching only"),
        span("alert.accept", "HighErrorRate, 1 of 1 firing · 結帳", seconds=0.0041),
        span("verdict", "pass, 2 findings, and a sentence about them that is so long that it does not fit into its line", seconds=0.041, children=findings),
        span("act.roll_back", "another operation is already in progress", failed=True, seconds=1.0),
        span("act.roll_back", "Argo CD operation Succeeded, 4 resources", seconds=3.9),
    ]
    root = {key: value for key, value in span("rollback prod:team-a/orders 57→56", seconds=14.2).items() if key != "children"}
    one = {"trace_id": TRACE, "name": root["name"], "outcome": "recovered", "running": False, "root": root, "spans": spans, "orphans": [], "faults": []}
    return {"operation": OPERATION, "trace_id": TRACE, "traces": [{**one, **changed}], "links": {"trace_view": "https://jaeger.example.com/trace/8f"}}


def problem(status: int, code: str, detail: str, **more: Any) -> Doc:
    return {"type": f"/problems/{code}", "title": code, "status": status, "code": code, "detail": detail, "instance": "/v1/…", **more}


def captures(**changed: Any) -> Doc:
    item = {"kind": "manifest", "name": "apps/Deployment shop/checkout", "digest": "sha256:" + "a" * 64, "size": 12}
    log = {"kind": "log", "name": "pod checkout-1", "digest": "sha256:" + "b" * 64, "size": 9}
    before = {"moment": "before", "at": "2026-05-04T14:02:07Z", "says": "captured before the act: 1 manifests, 0 lists of events, 1 logs, in 0.4 s"}
    after = {"moment": "after", "at": "2026-05-04T14:02:30Z", "says": "captured after the act: 1 manifests, 0 lists of events, 0 logs, in 0.2 s"}
    diff = "--- before/x\n+++ after/x\n@@ -1 +1 @@\n-image: a\n+image: b"
    return {
        "operation": OPERATION,
        "captures": [{**before, "missing": [], "items": [item, log]}, {**after, "missing": ["log of pod checkout-2: permission denied"], "items": [item]}],
        "differences": [{"name": item["name"], "diff": diff}],
        "links": {},
        **changed,
    }
