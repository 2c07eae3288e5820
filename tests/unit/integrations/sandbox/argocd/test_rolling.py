"""What a set in rolling order does next. What the real controller does is held by tests/contract/argocd/test_owners.py."""

import pytest

from integrations.sandbox.argocd import rolling
from integrations.sandbox.argocd.status import Json

NOW = "2026-01-02T10:00:00Z"


def owner(*steps: Json, rows: list[Json] | None = None) -> Json:
    strategy = {"type": "RollingSync", "rollingSync": {"steps": list(steps)}}
    return {"metadata": {"name": "set"}, "spec": {"strategy": strategy}, "status": {"applicationStatus": rows or []}}


def step(*envs: str, operator: str = "In", at_most: int | str | None = None) -> Json:
    rules = [{"key": "env", "operator": operator, "values": list(envs)}]
    return {"matchExpressions": rules} | ({} if at_most is None else {"maxUpdate": at_most})


def app(name: str, *, sync: str = "OutOfSync", health: str = "Healthy", phase: str = "Succeeded", revision: str = "aaaa") -> Json:
    status = {"sync": {"status": sync, "revision": revision}, "health": {"status": health}, "operationState": {"phase": phase}}
    return {"metadata": {"name": name}, "spec": {}, "status": status}


def wanted(**envs: str) -> dict[str, Json]:
    return {name: {"metadata": {"name": name, "labels": {"env": env}}, "spec": {}} for name, env in envs.items()}


def told(owner_: Json, wanted_: dict[str, Json], *apps: Json) -> dict[str, str]:
    rows = rolling.advanced(owner_, wanted_, {one["metadata"]["name"]: one for one in apps}, NOW)
    return {row["application"]: row["status"] for row in rows}


@pytest.mark.parametrize(
    ("strategy", "yes"),
    [({}, False), ({"type": "RollingSync"}, False), ({"type": "RollingSync", "rollingSync": {"steps": []}}, False), ({"type": "AllAtOnce"}, False)],
)
def test_a_set_without_steps_is_not_in_rolling_order(strategy: Json, yes: bool) -> None:
    assert rolling.is_rolling({"spec": {"strategy": strategy}}) is yes
    assert rolling.is_rolling(owner(step("dev")))


def test_the_first_step_that_selects_the_labels_counts_and_no_step_is_minus_one() -> None:
    steps = owner(step("dev"), step("prod", operator="NotIn"), step("prod"))

    assert [rolling.step_of(steps, {"env": env}) for env in ("dev", "test", "prod")] == [1, 2, 3]
    assert rolling.step_of(steps, {}) == 2
    assert rolling.step_of(owner(step("dev")), {}) == -1


def test_a_later_step_waits_until_the_steps_before_it_are_well() -> None:
    steps, both = owner(step("dev"), step("prod")), wanted(a="dev", b="prod")

    assert told(steps, both, app("a"), app("b")) == {"a": "Pending", "b": "Waiting"}
    assert told(steps, both, app("a", sync="Synced"), app("b")) == {"a": "Healthy", "b": "Pending"}
    assert told(steps, both, app("a", sync="Synced", health="Degraded"), app("b")) == {"a": "Pending", "b": "Waiting"}
    assert told(steps, both, app("b")) == {"b": "Waiting"}  # the first is not made yet


@pytest.mark.parametrize(("at_most", "pending"), [(None, 3), (1, 1), ("50%", 1), ("1%", 1), ("0%", 0)])
def test_no_more_than_max_update_go_at_the_same_time(at_most: int | str | None, pending: int) -> None:
    one_step = owner(step("dev", at_most=at_most))

    found = told(one_step, wanted(a="dev", b="dev", c="dev"), app("a"), app("b"), app("c"))

    assert sorted(found.values()) == ["Pending"] * pending + ["Waiting"] * (3 - pending)


def test_what_is_pending_goes_by_its_operation_to_healthy_and_waits_again_once_out_of_sync() -> None:
    row = {"application": "a", "status": "Pending", "step": "1", "targetRevisions": ["aaaa"], "lastTransitionTime": NOW, "message": ""}

    def next_of(status: str, now: Json) -> str:
        return told(owner(step("dev"), rows=[{**row, "status": status}]), wanted(a="dev"), now)["a"]

    assert next_of("Pending", app("a", phase="Running")) == "Progressing"
    assert next_of("Progressing", app("a", sync="Synced", health="Progressing")) == "Progressing"
    assert next_of("Pending", app("a", sync="Synced")) == "Healthy"
    assert next_of("Healthy", app("a")) == "Pending"  # rolled back by somebody
    assert next_of("Healthy", app("a", sync="Synced", health="Degraded")) == "Healthy"


def test_only_what_is_pending_and_out_of_sync_is_synced() -> None:
    steps, both = owner(step("dev")), wanted(a="dev", b="test")
    live = {"a": app("a"), "b": app("b")}

    rows = rolling.advanced(steps, both, live, NOW)

    assert rolling.to_sync(steps, rows, live) == {"a"}
    assert rolling.to_sync(steps, rows, {"a": app("a", sync="Synced"), "b": app("b")}) == set()


def test_auto_sync_is_taken_out_of_the_spec_and_its_pruning_kept_for_the_syncs() -> None:
    spec = {"syncPolicy": {"automated": {"prune": True}, "syncOptions": ["CreateNamespace=true"], "retry": {"limit": 2}}}
    off = {"syncPolicy": {"automated": {"prune": True, "enabled": False}}}

    left, prune = rolling.without_auto_sync(spec)
    asked = rolling.operation(left, prune=prune)

    assert (left["syncPolicy"].keys(), prune) == ({"syncOptions", "retry"}, True)
    assert rolling.without_auto_sync(off) == (off, False)
    assert (asked["sync"], asked["retry"]) == ({"prune": True, "syncOptions": ["CreateNamespace=true"]}, {"limit": 2})
    assert asked["initiatedBy"] == {"username": "applicationset-controller", "automated": True}
