import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations.delivery.argocd import reading
from service.domain.errors import PermanentError
from service.domain.keys import Owner
from service.domain.model import Actor, Image, ObjectRef, TargetId, release_key
from tests.unit.integrations.delivery.argocd.recordings import body

WEB = TargetId("prod", "web")
NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)

DIGEST = "sha256:" + "a" * 64


def audited() -> Any:
    """An application with four releases, after our rollback and our later sync."""
    return body("32-audit", 7)


def state(app: Any, me: str = "rollback-bot") -> Any:
    return reading.state_of(app, WEB, me=me, owner=Owner(kind="nobody"), now=NOW, url="https://argocd.example/", can_stop=True)


# --- releases ---


def test_history_comes_newest_first_with_ids_as_handles() -> None:
    history = state(audited()).history
    assert [release.handle for release in history] == ["3", "2", "1", "0"]
    assert history[1].key == history[3].key
    assert history[0].key != history[1].key
    assert history[3].revision == "912673076e1ee6da501d3d8ed1e5fc7ab3783b31"
    assert history[3].started_at == datetime(2026, 11, 23, 4, 42, 51, tzinfo=UTC)
    assert history[3].deployed_at == datetime(2026, 11, 23, 4, 42, 52, tzinfo=UTC)


def test_who_deployed_is_ours_a_persons_or_automation() -> None:
    assert [str(r.by) for r in state(audited()).history] == ["service:rollback-bot", "service:rollback-bot", "user:admin", "user:admin"]
    assert reading.actor({"automated": True}, "me") == Actor(kind="automation", name="argocd")
    assert reading.actor({"automated": True, "username": "me"}, "me").kind == "automation"
    assert reading.actor({}, "me") == Actor(kind="user", name="somebody")
    assert reading.actor({}, "") == Actor(kind="user", name="somebody")


def test_the_branch_that_a_release_was_made_from_is_not_its_identity() -> None:
    entry = copy.deepcopy(audited()["status"]["history"][0])
    before = reading.release_of(entry, WEB, "").key
    entry["source"]["targetRevision"] = "another-branch"
    entry["id"] = 77
    assert reading.release_of(entry, WEB, "").key == before
    entry["source"]["helm"] = {"parameters": [{"name": "image.tag", "value": "2.0"}]}
    assert reading.release_of(entry, WEB, "").key != before


def test_empty_parameters_and_nulls_are_no_parameters() -> None:
    plain: dict[str, Any] = {"repoURL": "r", "path": "p"}
    zero = plain | {"helm": {"values": "", "parameters": None, "valuesObject": {}}, "kustomize": None, "directory": {"jsonnet": {}}}
    one, other = ({"source": source, "revision": "a"} for source in (plain, zero))
    assert reading.sources_of(one) == reading.sources_of(other)
    assert reading.sources_of(one)[0].parameters == ""


def test_parameters_are_canonical() -> None:
    def parameters(helm: Any) -> str:
        return reading.sources_of({"source": {"repoURL": "r", "chart": "c", "helm": helm}, "revision": "1"})[0].parameters

    assert parameters({"releaseName": "x", "values": "a: 1"}) == parameters({"values": "a: 1", "releaseName": "x", "parameters": None})
    assert parameters({"releaseName": "x", "values": "a: 1"}) != parameters({"releaseName": "x", "values": "a: 2"})
    assert parameters({"values": "a: 1"}).startswith("sha256:")


def test_a_charts_version_is_the_releases_version() -> None:
    entry = {"id": 4, "source": {"repoURL": "https://charts.example", "chart": "web"}, "revision": "1.4.2", "deployedAt": "2026-01-02T10:05:00Z"}
    release = reading.release_of(entry, WEB, "")
    assert (release.version, release.sources[0].path, release.started_at) == ("1.4.2", "web", datetime(2026, 1, 2, 10, 5, tzinfo=UTC))


def test_recorded_multi_source_releases_have_a_revision_for_each_source() -> None:
    app = body("38-historic-source", 4)
    newest = state(app).history[0]
    assert len(newest.sources) == 2
    assert all(len(source.revision) == 40 for source in newest.sources)
    assert {source.repository for source in newest.sources} == {"file://<lab>/git/e38", "file://<lab>/git/e38x"}
    assert state(app).desired_revision.count(",") == 1


def test_a_history_entry_without_a_time_is_an_error_and_no_guess() -> None:
    with pytest.raises(PermanentError, match="carries no time"):
        reading.release_of({"id": 1, "source": {"repoURL": "r"}, "revision": "a"}, WEB, "")
    with pytest.raises(PermanentError, match="for a time"):
        reading.moment("yesterday")
    with pytest.raises(PermanentError, match="without a zone"):
        reading.moment("2026-01-02T10:05:00")
    assert reading.moment(None) is None


def test_the_current_source_is_compared_without_its_revision() -> None:
    app = body("38-historic-source", 0)
    history = reading.history_of(app)
    assert not reading.same_but_revision(history[0], app["spec"])
    assert reading.same_but_revision(history[-1], app["spec"])


# --- state ---


def test_a_recorded_application_becomes_a_state() -> None:
    found = state(audited())
    assert (found.uid, found.project, found.health, found.auto_sync, found.prune) == (
        "990548a7-a18b-4d99-9071-73c8fb4c1608",
        "default",
        "Degraded",
        False,
        False,
    )
    assert found.desired_revision == "1265cfd92f4ca3955d663c2bf3c8fe53e666ad52"
    assert found.objects == (ObjectRef(group="", kind="ConfigMap", namespace="e32", name="e32"),)
    assert found.running is None
    assert found.remembered == {}
    assert found.link == "https://argocd.example/applications/argocd/e32"


def test_an_application_of_zero_structs_is_read_and_has_nothing() -> None:
    app = {
        "metadata": {"name": "web", "namespace": "argocd", "uid": "u"},
        "spec": {"project": "default", "source": {"repoURL": ""}, "syncPolicy": None},
        "status": {"sync": {"status": "", "comparedTo": {"source": {"repoURL": ""}}}, "health": {}, "history": None, "resources": None, "operationState": None},
        "operation": None,
    }
    found = state(app)
    assert (found.current, found.history, found.health, found.desired_revision) == (None, (), "Unknown", "")


@pytest.mark.parametrize(
    ("automated", "on"),
    [(None, False), ({}, True), ({"prune": True}, True), ({"enabled": True}, True), ({"enabled": False}, False), ({"enabled": None}, True)],
)
def test_auto_sync_is_on_unless_it_says_false(automated: Any, on: bool) -> None:
    app = {"spec": {"syncPolicy": {"automated": automated}}}
    assert reading.auto_sync_on(app) is on


def test_what_auto_sync_was_is_remembered_raw() -> None:
    app = copy.deepcopy(audited())
    app["spec"]["syncPolicy"]["automated"] = {"prune": True, "enabled": True}
    assert state(app).remembered == {"automated": {"prune": True, "enabled": True}}


def digest(**changes: Any) -> str:
    app = copy.deepcopy(audited())
    for path, value in changes.items():
        *way, last = path.split("__")
        place = app
        for name in way:
            place = place.setdefault(name, {})
        place[last] = value
    return reading.spec_digest(app)


def test_what_we_write_ourselves_is_not_in_the_digest() -> None:
    before = digest()
    assert digest(spec__syncPolicy__automated__enabled=True) == before
    assert digest(metadata__annotations={reading.HOLD: "held"}) == before
    assert digest(spec__info=[{"name": "x", "value": "y"}, {"name": reading.HOLD, "value": "held"}]) == before
    assert digest(metadata__annotations={reading.REFRESH: "normal"}, metadata__resourceVersion="9", metadata__generation=99) == before
    assert digest(status__reconciledAt="2027-01-01T00:00:00Z") == before


def test_what_a_person_edits_is_in_the_digest() -> None:
    edits = [
        digest(),
        digest(spec__source__targetRevision="hotfix"),
        digest(spec__source__helm={"parameters": [{"name": "a", "value": "1"}]}),
        digest(spec__syncPolicy__automated=None),
        digest(spec__syncPolicy__automated={}),
        digest(spec__syncPolicy__automated__selfHeal=False),
        digest(spec__syncPolicy__syncOptions=["Replace=true"]),
        digest(spec__info=[{"name": "x", "value": "other"}]),
        digest(spec__project="other"),
        digest(spec__destination__namespace="other"),
        digest(metadata__annotations={"argocd.argoproj.io/sync-options": "Prune=false"}),
    ]
    assert len(set(edits)) == len(edits)


def test_zero_structs_that_come_and_go_do_not_change_the_digest() -> None:
    assert digest(spec__ignoreDifferences=None, spec__sources=[], spec__source__helm={}) == digest()


def test_the_mark_is_found_in_both_places() -> None:
    assert reading.marker_of({"metadata": {"annotations": {reading.HOLD: "a"}}, "spec": {"info": [{"name": reading.HOLD, "value": "b"}]}}) == "a"
    assert reading.marker_of({"spec": {"info": [{"name": "x", "value": "y"}, {"name": reading.HOLD, "value": "b"}]}}) == "b"
    assert reading.marker_of(audited()) == ""


# --- what is not in the history ---


def test_promise_5_a_recorded_failed_sync_is_told_for_part_of_it_may_be_live() -> None:
    found = state(body("18-failed-sync", 5))
    assert found.current is not None
    assert found.current.revision.startswith("bc0b87b")
    assert found.failed_newer == (
        "a deploy of 75da3ebe9a68076feeaa338a8e4f95b26f11f89f by argocd ended Failed at 2026-11-23T04:46:58Z: Operation terminated (retried 1 times)."
    )
    assert not found.settled


def test_a_recorded_rollback_that_failed_before_it_applied_anything_changed_nothing() -> None:
    found = state(body("39-backends-down", 9))
    assert (found.failed_newer, found.attempted) == ("", None)


def test_promise_5_the_release_of_a_recorded_failed_sync_is_told_with_all_that_identifies_it() -> None:
    found = state(body("18-failed-sync", 5)).attempted
    assert found is not None
    assert (found.handle, found.revision, found.by.kind) == ("", "75da3ebe9a68076feeaa338a8e4f95b26f11f89f", "automation")
    assert found.key == release_key(found.sources)
    assert found.started_at == datetime(2026, 11, 23, 4, 46, 56, tzinfo=UTC)


def test_promise_5_a_recorded_sync_that_retries_is_told_while_it_holds_the_slot() -> None:
    found = state(body("18-failed-sync", 1))
    assert found.running is not None
    assert (found.running.stuck, found.failed_newer) == (True, "")
    assert found.attempted is not None
    assert found.attempted.revision == found.running.revision == "75da3ebe9a68076feeaa338a8e4f95b26f11f89f"


APPLIED = {"version": "v1", "kind": "ConfigMap", "namespace": "web", "name": "web", "status": "Synced", "message": "configmap/web configured"}
REJECTED = {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "web", "name": "web", "status": "SyncFailed", "message": "no"}
HOOK = {"group": "batch", "kind": "Job", "name": "migrate", "status": "SyncFailed", "hookType": "PreSync", "hookPhase": "Failed"}


def result(*rows: Any, entry: int = 0, **changes: Any) -> Any:
    """An operation that failed on another release than the newest, with these lines of its result."""
    app = ended("Failed", entry=entry)
    app["status"]["operationState"]["syncResult"]["resources"] = list(rows)
    app["status"]["operationState"].update(changes)
    return app


@pytest.mark.parametrize("rows", [(), (REJECTED,), ({**APPLIED, "status": "PruneSkipped"}, REJECTED)], ids=["nothing", "rejected", "not pruned"])
def test_a_deploy_that_failed_before_it_changed_anything_leaves_the_newest_release_live(rows: Any) -> None:
    found = state(result(*rows))
    assert (found.failed_newer, found.attempted, found.settled) == ("", None, True)


@pytest.mark.parametrize("rows", [(APPLIED, REJECTED), ({**APPLIED, "status": "Pruned"},), (HOOK,)], ids=["applied", "pruned", "a hook ran"])
def test_promise_5_a_deploy_that_changed_something_before_it_failed_is_part_of_what_is_live(rows: Any) -> None:
    found = state(result(*rows))
    assert found.failed_newer
    assert not found.settled
    assert found.attempted is not None
    assert found.attempted.handle == ""


@pytest.mark.parametrize(
    "changes",
    [{"retryCount": 1}, {"syncResult": None}, {"phase": "Running", "finishedAt": None}],
    ids=["it was tried before", "it tells nothing", "taken away"],
)
def test_promise_1_only_a_first_try_that_tells_its_result_is_known_to_have_changed_nothing(changes: Any) -> None:
    assert state(result(**changes)).failed_newer


def test_promise_1_a_deploy_of_a_branch_is_no_exact_release() -> None:
    named = result(APPLIED)
    named["status"]["operationState"]["syncResult"]["revision"] = "main"
    named["status"]["operationState"]["operation"]["sync"]["revision"] = "main"
    found = state(named)
    assert found.failed_newer
    assert found.attempted is None


def test_a_sync_of_some_objects_only_is_in_no_history_though_it_succeeded() -> None:
    partial = ended(entry=0)
    partial["status"]["operationState"]["operation"]["sync"]["resources"] = [{"kind": "ConfigMap", "name": "web"}]
    found = state(partial)
    assert found.failed_newer == ""
    assert found.attempted is not None
    assert found.attempted.key == found.history[-1].key


def test_a_running_deploy_is_no_part_of_what_is_live_until_it_changed_something() -> None:
    running = ended("Running", entry=0, finishedAt=None)
    running["operation"] = running["status"]["operationState"]["operation"]
    assert state(running).attempted is not None
    running["status"]["operationState"]["syncResult"]["resources"] = []
    assert state(running).attempted is None


def test_without_a_history_the_last_deploy_that_succeeded_is_what_is_live() -> None:
    kept = state(ended())
    bare = ended()
    bare["status"]["history"] = None
    bare["spec"]["revisionHistoryLimit"] = 0
    found = state(bare)
    assert kept.current is not None
    assert found.current is not None
    assert (found.current.key, found.current.handle, found.history, found.history_limit) == (kept.current.key, "", (), 0)
    assert (found.settled, kept.history_limit) == (True, 10)
    failed = ended("Failed")
    failed["status"]["history"] = None
    assert state(failed).current is None


def without_history(**sync: Any) -> Any:
    """No history, and the last operation was on some objects only."""
    app = ended()
    app["status"]["history"] = None
    app["status"]["operationState"]["operation"]["sync"] |= {"resources": [{"kind": "ConfigMap", "name": "web"}], **sync}
    return app


def test_without_a_history_what_argo_cd_healed_is_still_live() -> None:
    """Argo CD heals some objects right after a sync now and then, although nobody touched them: that must not hide what is live for ever."""
    app = without_history(autoHealAttemptsCount=1)
    app["status"]["operationState"]["operation"]["initiatedBy"] = {"automated": True}
    kept, found = state(ended()), state(app)
    assert kept.current is not None
    assert found.current is not None
    assert (found.current.key, found.settled, found.attempted, found.failed_newer) == (kept.current.key, True, None, "")


def test_promise_1_without_a_history_a_sync_of_some_objects_by_anybody_else_tells_nothing_of_the_others() -> None:
    automated, person = {"automated": True}, {"username": "ann"}
    for by, sync in ((person, {}), (automated, {}), (person, {"autoHealAttemptsCount": 1})):
        app = without_history(**sync)
        app["status"]["operationState"]["operation"]["initiatedBy"] = by
        assert state(app).current is None


def drifting(**row: Any) -> Any:
    app = ended()
    newest = app["status"]["history"][-1]
    app["status"]["sync"] = {"status": "OutOfSync", "revision": newest["revision"], "comparedTo": {"source": newest["source"]}}
    app["status"]["resources"] = [{"kind": "ConfigMap", "namespace": "web", "name": "web", "status": "OutOfSync", **row}]
    return app


def test_an_object_that_differs_from_the_newest_release_was_changed_by_hand() -> None:
    assert [str(one) for one in state(drifting()).drifted] == ["ConfigMap web/web"]
    for row in ({"status": "Synced"}, {"requiresPruning": True}, {"hook": True}):
        assert state(drifting(**row)).drifted == ()


def test_differences_say_nothing_of_hands_while_another_release_is_wanted_or_one_is_deployed() -> None:
    other = drifting()
    other["status"]["sync"]["revision"] = "f" * 40
    assert state(other).drifted == ()
    running = drifting()
    running["operation"] = running["status"]["operationState"]["operation"]
    assert state(running).drifted == ()


def ended(phase: str = "Succeeded", *, entry: int = -1, reconciled: str = "2026-11-23T05:00:11Z", **state_changes: Any) -> Any:
    """The audited application, whose last operation deployed a history entry's sources and ended so at :10, looked at again when said."""
    app = copy.deepcopy(audited())
    status = app["status"]
    sources = {name: status["history"][entry][name] for name in ("revision", "source")}
    operation = {"sync": {**sources, "syncStrategy": {"apply": {}}}, "initiatedBy": {"username": "rollback-bot"}}
    stamps = {"startedAt": "2026-11-23T05:00:05Z", "finishedAt": "2026-11-23T05:00:10Z"}
    status["operationState"] = {
        "operation": operation,
        "phase": phase,
        "message": "words",
        "syncResult": {**sources, "resources": [APPLIED]},
        **stamps,
        **state_changes,
    }
    status["reconciledAt"] = reconciled
    return app


@pytest.mark.parametrize("phase", ["Failed", "Error"])
def test_promise_5_a_failed_rollback_of_ours_does_not_count_when_its_goal_is_what_is_live(phase: str) -> None:
    assert state(ended(phase)).failed_newer == ""
    assert state(ended(phase)).settled
    assert state(ended(phase, entry=0)).failed_newer


def test_promise_5_other_parameters_at_the_same_revision_are_another_deploy() -> None:
    app = ended("Failed")
    app["status"]["operationState"]["syncResult"]["source"] = {
        **app["status"]["operationState"]["syncResult"]["source"],
        "helm": {"parameters": [{"name": "image.tag", "value": "3.0"}]},
    }
    assert state(app).failed_newer


def test_promise_5_a_deploy_taken_away_in_the_middle_is_told_and_a_dry_run_is_none() -> None:
    assert "by rollback-bot was taken away while Running at 2026-11-23T05:00:05Z" in state(ended("Running", entry=0, finishedAt=None)).failed_newer
    dry = ended("Failed", entry=0)
    dry["status"]["operationState"]["operation"]["sync"]["dryRun"] = True
    assert state(dry).failed_newer == ""


def test_promise_5_a_failed_deploy_that_says_nothing_of_itself_is_told_too() -> None:
    unnamed = ended("Error", syncResult=None, operation={"initiatedBy": {"username": "alice"}})
    assert state(unnamed).failed_newer == "a deploy of an unknown revision by alice ended Error at 2026-11-23T05:00:10Z: words"
    named = ended("Error", syncResult=None, operation={"sync": {"revision": audited()["status"]["history"][-1]["revision"]}, "initiatedBy": {}})
    assert state(named).failed_newer == ""


def test_promise_5_what_ended_before_the_newest_release_began_is_history() -> None:
    assert state(ended("Failed", entry=0, startedAt="2026-11-23T04:00:00Z", finishedAt="2026-11-23T04:00:01Z")).failed_newer == ""


def test_promise_5_a_success_is_settled_only_after_a_later_look() -> None:
    assert state(ended()).settled
    assert not state(ended(reconciled="2026-11-23T05:00:10Z")).settled
    assert not state(ended(reconciled="2026-11-23T05:00:09Z")).settled
    assert not state(ended(reconciled="")).settled
    assert state(ended()).failed_newer == ""


@pytest.mark.parametrize(("seconds", "settled"), [(0, False), (1.9, False), (2, True)])
def test_promise_5_a_look_in_the_second_of_the_end_counts_only_once_that_second_is_long_over(seconds: float, settled: bool) -> None:
    now = datetime(2026, 11, 23, 5, 0, 10, tzinfo=UTC) + timedelta(seconds=seconds)
    for reconciled, expected in (("2026-11-23T05:00:10Z", settled), ("2026-11-23T05:00:09Z", False)):
        app = ended(reconciled=reconciled)
        found = reading.state_of(app, WEB, me="rollback-bot", owner=Owner(kind="nobody"), now=now, url="https://argocd.example/", can_stop=True)
        assert found.settled is expected


def test_promise_5_nothing_is_settled_while_an_operation_runs_or_after_one_on_another_release() -> None:
    running = ended()
    running["operation"] = running["status"]["operationState"]["operation"]
    assert not state(running).settled
    assert not state(ended(entry=0)).settled
    assert state(ended(entry=0)).failed_newer == ""
    bare = ended("Failed")
    bare["status"]["history"] = None
    assert not state(bare).settled


# --- revisions and secrets ---


@pytest.mark.parametrize(("name", "number"), [("38-historic-source", 4), ("32-audit", 7), ("18-failed-sync", 5)])
def test_promise_7_the_desired_revision_of_a_release_is_its_sources_revisions_joined(name: str, number: int) -> None:
    app = copy.deepcopy(body(name, number))
    for entry in reading.history_of(body(name, number)):
        app["status"]["sync"] = {key: entry[key] for key in ("revision", "revisions") if key in entry}
        release = reading.release_of(entry, WEB, "")
        assert state(app).desired_revision == ",".join(source.revision for source in release.sources) == reading.joined(reading.revisions_of(entry)) != ""


def secret(repository: str = "https://bot:hunter2@git.example/shop/deploy", value: str = "s3cret", **more: Any) -> Any:
    source = {"repoURL": repository, "path": "c", "helm": {"parameters": [{"name": "db.password", "value": value}]}, "kustomize": {"namePrefix": value}}
    return {"id": 1, "revision": "a" * 40, "deployedAt": "2026-05-04T14:00:00Z", "source": source, **more}


def test_promise_12_no_password_and_no_parameter_is_in_a_release() -> None:
    shown = repr(reading.release_of(secret(), WEB, "me"))
    assert not [word for word in ("bot", "hunter2", "s3cret", "db.password") if word in shown]
    assert "https://git.example/shop/deploy" in shown


def test_promise_12_a_release_without_its_secrets_is_still_told_from_another() -> None:
    key = reading.release_of(secret(), WEB, "me").key
    assert reading.release_of(secret(value="other"), WEB, "me").key != key
    assert reading.release_of(secret("https://bot:rotated@git.example/shop/deploy"), WEB, "me").key == key
    assert reading.release_of(secret("https://git.example/shop/other"), WEB, "me").key != key
    assert reading.same_but_revision(secret(), {"source": secret()["source"]})
    assert not reading.same_but_revision(secret(), {"source": secret(value="other")["source"]})


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://token@git.example/x", "https://git.example/x"),
        ("ssh://git:pw@git.example:22/x", "ssh://git.example:22/x"),
        ("https://u:p@ss@git.example/x", "https://git.example/x"),
        ("git@git.example:x/y.git", "git@git.example:x/y.git"),
        ("https://git.example/x@v1", "https://git.example/x@v1"),
        ("registry.example/charts", "registry.example/charts"),
    ],
)
def test_promise_12_repositories_are_shown_without_who_reads_them(address: str, shown: str) -> None:
    assert reading.sources_of({"source": {"repoURL": address}, "revision": "a"})[0].repository == shown


def test_promise_12_argo_cds_own_words_are_shown_without_passwords() -> None:
    words = "failed to list refs of https://bot:hunter2@git.example/x: authentication required"
    app = ended("Failed", entry=0, message=words)
    app["status"]["conditions"] = [{"type": "ComparisonError", "message": words}]
    found = state(app)
    running = copy.deepcopy(app)
    running["operation"] = app["status"]["operationState"]["operation"]
    holds = state(running).running
    assert "hunter2" not in repr(found) + repr(holds)
    assert "https://git.example/x: authentication required" in found.failed_newer
    assert "hunter2" not in repr(reading.acts_of(app, {"items": [event(f"alice {words}", "argocd-server")]}, "me"))


# --- who holds the slot ---


def test_a_recorded_failing_auto_sync_holds_the_slot_and_is_stuck() -> None:
    app = body("18-failed-sync", 1)
    running = reading.running_of(app, "rollback-bot", NOW)
    assert running is not None
    assert (running.automated, running.ours, running.stuck, running.phase) == (True, False, True, "Running")
    assert "Retrying attempt #1" in running.says
    assert running.revision == app["operation"]["sync"]["revision"]


def test_an_operation_not_picked_up_is_pending() -> None:
    running = reading.running_of(body("32-audit", 2), "rollback-bot", NOW)
    assert running is not None
    assert (running.phase, running.ours, running.stuck, running.since) == ("Pending", True, False, None)


def test_waiting_long_is_stuck_and_waiting_short_is_not() -> None:
    app = {
        "operation": {"sync": {"revision": "a"}, "initiatedBy": {"username": "alice"}},
        "status": {"operationState": {"phase": "Running", "message": "waiting for healthy state of apps/Deployment/web", "startedAt": "2026-11-23T04:50:01Z"}},
    }
    found = [reading.running_of(app, "me", NOW + wait) for wait in (timedelta(0), timedelta(minutes=1))]
    assert [running is not None and running.stuck for running in found] == [False, True]


def test_a_running_phase_without_an_operation_is_a_leftover() -> None:
    app = copy.deepcopy(audited())
    app["status"]["operationState"]["phase"] = "Running"
    found = state(app)
    assert found.running is None
    assert any("a leftover" in warning for warning in found.warnings)


def test_conditions_deletion_and_an_old_server_are_warnings() -> None:
    app = copy.deepcopy(audited())
    app["status"]["conditions"] = [{"type": "SharedResourceWarning", "message": "ConfigMap/x is part of applications argocd/a and argocd/b"}]
    app["metadata"] |= {"deletionTimestamp": "2026-11-23T04:43:00Z", "annotations": {"argocd.argoproj.io/skip-reconcile": "true"}}
    app["spec"]["syncPolicy"]["automated"] = {}
    warnings = reading.warnings_of(app, can_stop=False)
    assert [w.split(":")[0] for w in warnings[:1]] == ["SharedResourceWarning"]
    assert "the application is being deleted" in warnings
    assert reading.TOO_OLD in warnings
    assert reading.TOO_OLD not in reading.warnings_of(app, can_stop=True)
    assert any("skip this application" in warning for warning in warnings)


@pytest.mark.parametrize(("version", "parsed"), [("v3.2.11+abc", (3, 2)), ("v99.99.99+unknown", (99, 99)), ("2.14.1", (2, 14))])
def test_versions_are_parsed(version: str, parsed: tuple[int, int]) -> None:
    assert reading.parse_version(version) == parsed


def test_a_version_that_is_none_is_an_error() -> None:
    with pytest.raises(PermanentError, match="as its version"):
        reading.parse_version("latest")


# --- acts ---


def test_recorded_events_become_acts_of_people_and_of_ourselves() -> None:
    acts = reading.acts_of(audited(), body("32-audit", 5), "rollback-bot")
    edits = [act for act in acts if act.what == "spec_edit"]
    assert [(str(act.by), act.ours) for act in edits] == [("service:rollback-bot", True)] * 2
    started = [act.says for act in acts if act.what == "operation" and " initiated " in act.says]
    assert "rollback-bot initiated rollback to 0" in started
    assert sum(says.startswith("admin initiated sync") for says in started) == 2
    assert [act.at for act in acts] == sorted(act.at for act in acts)
    assert len([act for act in acts if act.what == "history"]) == 4


def test_seen_by_another_account_the_same_events_are_a_persons() -> None:
    acts = reading.acts_of(audited(), body("32-audit", 5), "somebody-else")
    assert not any(act.ours for act in acts)
    assert {act.by.name for act in acts if act.what == "spec_edit"} == {"rollback-bot"}


def event(message: str, component: str, **more: Any) -> Any:
    return {"items": [{"message": message, "source": {"component": component}, "lastTimestamp": "2026-11-23T04:43:00Z", **more}]}


@pytest.mark.parametrize(
    ("message", "what", "by"),
    [
        ("alice updated application spec", "spec_edit", "user:alice"),
        ("alice updated application spec (Caused by rollout)", "spec_edit", "user:alice"),
        ("alice updated application", "spec_edit", "user:alice"),
        ("Unknown user terminated running operation", "operation", "user:Unknown"),
        ("alice ran action restart on resource apps/Deployment/web", "operation", "user:alice"),
    ],
)
def test_whatever_the_api_server_logs_is_somebodys_act(message: str, what: str, by: str) -> None:
    (act,) = reading.acts_of({}, event(message, "argocd-server"), "me")
    assert (act.what, str(act.by), act.ours) == (what, by, False)


def test_the_controllers_own_syncs_are_acts_of_automation_and_its_reports_are_none() -> None:
    (act,) = reading.acts_of({}, event("Initiated automated sync to 'abc'", "argocd-application-controller"), "me")
    assert str(act.by) == "automation:argocd"
    assert reading.acts_of({}, event("Updated health status: A -> B", "argocd-application-controller"), "me") == ()
    assert reading.acts_of({}, {"items": None}, "me") == ()


def test_the_user_annotation_wins_over_the_message() -> None:
    (act,) = reading.acts_of({}, event("odd words", "argocd-server", metadata={"annotations": {"user": "bob smith"}}), "me")
    assert act.by.name == "bob smith"


# --- pods, images ---


def test_only_pods_below_the_applications_own_objects_count() -> None:
    tree = body("23-git-down", 0)
    own = [ObjectRef(group="apps", kind="Deployment", namespace="e23", name="e23")]
    assert [node["name"] for node in reading.pods_of_tree(tree, own)] == ["e23-5bc6769df6-pnpkk"]
    assert [reading.object_over(tree, node, own) for node in reading.pods_of_tree(tree, own)] == own
    assert reading.pods_of_tree(tree, [ObjectRef(group="", kind="ConfigMap", namespace="e23", name="e23")]) == []
    loop = {"nodes": [{"kind": "Pod", "uid": "a", "parentRefs": [{"uid": "a"}]}]}
    assert reading.pods_of_tree(loop, own) == []


def test_recorded_manifests_name_images_without_digests() -> None:
    manifests = reading.manifests_of(body("23-git-down", 5))
    assert reading.images_of(manifests) == (Image(reference="registry.example/e23:1.0"),)


def test_images_of_cron_jobs_init_containers_and_pinned_digests() -> None:
    template = {"spec": {"initContainers": [{"image": "a:1"}], "containers": [{"image": f"b@{DIGEST}"}, {"image": "a:1"}]}}
    manifests = [{"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": template}}}}, {"kind": "ConfigMap", "data": {"containers": []}}]
    assert reading.images_of(manifests) == (Image(reference="a:1"), Image(reference=f"b@{DIGEST}", digest=DIGEST, proof="reference"))


def test_manifests_that_are_no_objects_are_errors() -> None:
    for raw in (["nope"], ["[1]"], [7]):
        with pytest.raises(PermanentError):
            reading.manifests_of({"manifests": raw})
    assert reading.manifests_of({"manifests": None}) == []


def test_leftovers_are_the_objects_that_the_manifests_do_not_have() -> None:
    manifests = reading.manifests_of(body("23-git-down", 5))
    own = [
        ObjectRef(group="", kind="ConfigMap", namespace="e23", name="e23"),
        ObjectRef(group="apps", kind="Deployment", namespace="e23", name="e23"),
        ObjectRef(group="batch", kind="CronJob", namespace="e23", name="cleanup"),
        ObjectRef(group="", kind="ConfigMap", namespace="elsewhere", name="e23"),
    ]
    assert reading.missing_in(manifests, own, "e23") == tuple(own[2:])
    cluster_wide = [{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"}}]
    assert reading.missing_in(cluster_wide, [ObjectRef(group="rbac.authorization.k8s.io", kind="ClusterRole", namespace="", name="r")], "e23") == ()


# --- names ---


def test_applications_outside_the_control_plane_carry_their_namespace() -> None:
    assert reading.target_of("prod", "argocd", {"name": "web", "namespace": "argocd"}) == WEB
    other = reading.target_of("prod", "argocd", {"name": "web", "namespace": "team-a"})
    assert other == TargetId("prod", "team-a/web")
    ref = reading.app_ref(other, "shop")
    assert (ref.name, ref.namespace, ref.object, ref.scope) == ("web", "team-a", "shop/team-a/web", {"appNamespace": "team-a", "project": "shop"})


def test_the_stamp_of_a_listed_target_changes_with_anything_that_is_projected() -> None:
    item = {k: copy.deepcopy(audited())[k] for k in ("metadata", "spec", "status")}

    def stamp(app: Any) -> str:
        return reading.listed_of(app, instance="prod", control_plane="argocd", project="").stamp

    before = stamp(item)
    assert stamp(copy.deepcopy(item)) == before
    item["status"]["health"]["status"] = "Healthy"
    assert stamp(item) != before


def test_what_the_owners_declare_on_the_application_is_read_as_data_and_nothing_else_of_ours() -> None:
    app = copy.deepcopy(audited())
    app["metadata"]["annotations"] = {
        "backout.dev/never-rollback": "x" * 1000,
        "backout.dev/phase": 7,
        "backout.dev/hold": "operation=op_1 suspect=a goal=b",
        "backout.dev/schema-version": "1",
        "other.example/phase": "contract",
    }
    assert state(app).declares == {"backout.dev/never-rollback": "x" * 200, "backout.dev/phase": ""}
    assert state(audited()).declares == {}
