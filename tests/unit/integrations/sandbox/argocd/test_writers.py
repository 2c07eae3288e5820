"""Who wrote which field: `managedFields` as Kubernetes keeps it. What the real server does is held by tests/contract/argocd/test_writers.py."""

from integrations.sandbox.argocd.status import Json
from integrations.sandbox.argocd.writers import after_apply, after_update, applied

T0, T1 = "2026-01-02T10:00:00Z", "2026-01-02T10:00:01Z"
OLD: Json = {"metadata": {"name": "web"}, "spec": {"project": "default", "source": {"path": "deploy", "targetRevision": "main"}, "info": [1]}, "status": {}}


def by(entries: list[Json], manager: str) -> Json:
    return next((dict(entry["fieldsV1"]) for entry in entries if entry["manager"] == manager), {})


def made() -> list[Json]:
    return after_update([], None, OLD, manager="maker", now=T0)


def edited(**spec: object) -> Json:
    return {**OLD, "spec": {**OLD["spec"], **spec}}


def test_who_makes_an_object_holds_every_field_and_every_mapping_of_it() -> None:
    spec: Json = {".": {}, "f:project": {}, "f:source": {".": {}, "f:path": {}, "f:targetRevision": {}}, "f:info": {}}

    assert by(made(), "maker") == {"f:spec": spec, "f:status": {}}


def test_a_change_is_taken_over_and_a_removal_is_nobodys() -> None:
    new = edited(source={"path": "deploy", "targetRevision": "v2"})
    del new["spec"]["info"]

    entries = after_update(made(), OLD, new, manager="other", now=T1)

    assert by(entries, "other") == {"f:spec": {"f:source": {"f:targetRevision": {}}}}
    assert by(entries, "maker")["f:spec"] == {".": {}, "f:project": {}, "f:source": {".": {}, "f:path": {}}}
    assert [(entry["manager"], entry["time"]) for entry in entries] == [("maker", T0), ("other", T1)]


def test_a_write_that_changes_nothing_leaves_every_entry_as_it_is() -> None:
    entries = made()

    assert after_update(entries, OLD, edited(), manager="other", now=T1) is entries


def test_an_entry_of_which_nothing_is_left_goes() -> None:
    entries = after_update(made(), OLD, edited(info=[2]), manager="other", now=T1)

    assert by(after_update(entries, edited(info=[2]), edited(info=[3]), manager="third", now=T1), "other") == {}


def test_a_list_is_one_field_but_for_finalizers_and_owners() -> None:
    new = {**OLD, "metadata": {"finalizers": ["a/b"], "ownerReferences": [{"uid": "u-1", "kind": "ApplicationSet"}], "labels": {"l": "1"}}}

    assert by(after_update(made(), OLD, new, manager="other", now=T1), "other") == {
        "f:metadata": {
            "f:finalizers": {".": {}, 'v:"a/b"': {}},
            "f:ownerReferences": {".": {}, 'k:{"uid":"u-1"}': {}},
            "f:labels": {".": {}, "f:l": {}},
        }
    }


def test_who_applies_holds_what_it_named_and_comes_first() -> None:
    body = {"spec": {"source": {"targetRevision": "v2"}, "syncPolicy": {"automated": {}}}}

    new = applied(made(), OLD, body, manager="applier")
    entries = after_apply(made(), OLD, new, body, manager="applier", now=T1)

    assert new["spec"] == {**OLD["spec"], "source": {"path": "deploy", "targetRevision": "v2"}, "syncPolicy": {"automated": {}}}
    held: Json = {"f:spec": {"f:source": {"f:targetRevision": {}}, "f:syncPolicy": {"f:automated": {}}}}
    assert [(entry["manager"], entry["operation"]) for entry in entries] == [("applier", "Apply"), ("maker", "Update")]
    assert by(entries, "applier") == held
    assert "f:targetRevision" not in by(entries, "maker")["f:spec"]["f:source"]
    assert after_apply(entries, new, new, body, manager="applier", now="later") is entries


def test_a_mapping_that_was_applied_empty_stays_its_appliers_when_somebody_adds_to_it() -> None:
    body: Json = {"spec": {"syncPolicy": {"automated": {}}}}
    new = applied(made(), OLD, body, manager="applier")
    entries = after_apply(made(), OLD, new, body, manager="applier", now=T0)
    stopped = {**new, "spec": {**new["spec"], "syncPolicy": {"automated": {"enabled": False}}}}

    assert by(after_update(entries, new, stopped, manager="other", now=T1), "applier") == {"f:spec": {"f:syncPolicy": {"f:automated": {}}}}


def test_what_an_applier_names_no_more_goes_unless_somebody_else_holds_it() -> None:
    first = {"metadata": {"labels": {"l": "1"}}, "spec": {"source": {"targetRevision": "main"}}}
    new = applied(made(), OLD, first, manager="applier")
    entries = after_apply(made(), OLD, new, first, manager="applier", now=T0)

    left = applied(entries, new, {"spec": {"project": "default"}}, manager="applier")

    assert left["metadata"] == {"name": "web", "labels": {}}
    assert left["spec"] == OLD["spec"]  # its maker holds the revision too
