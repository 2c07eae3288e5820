import json
import math
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from integrations.evidence.prometheus import Prometheus, Settings, build, plain
from integrations.sandbox.prometheus import CannotEvaluate, SandboxPrometheus
from service.domain import keys
from service.domain.facts import Absent, Fact, Key, Known

START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
RATIO = "job:errors:ratio"
LABELS = (("alertname", "HighErrors"), ("cluster", "eu"), ("job", "checkout"), ("severity", "page"))


class HandClock:
    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Lab:
    """A sandbox Prometheus with one ratio and one rule over it, and the source that reads it."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.server = SandboxPrometheus(clock=self.clock, by_itself=False, external_labels={"cluster": "eu"})
        self.values: dict[str, float] = {"checkout": 0.01, "search": 0.02}
        self.broken = False
        self.server.register(RATIO, self.samples)
        self.server.register(f"time() - timestamp({RATIO})", self.server.age_of(RATIO), recording="asked")
        self.source: Prometheus

    def samples(self, _at: datetime) -> list[tuple[Mapping[str, str], float]]:
        if self.broken:
            raise CannotEvaluate("many-to-many matching not allowed")
        return [({"__name__": RATIO, "job": job}, value) for job, value in self.values.items()]

    def rule(self, name: str = "HighErrors", threshold: float = 0.05, **more: Any) -> None:
        self.server.add_rule(name, RATIO, ">", threshold, **{"labels": {"severity": "page"}, "for_": timedelta(seconds=60), **more})

    def tick(self, seconds: float = 1.0, times: int = 1) -> None:
        for _ in range(times):
            self.clock.time += timedelta(seconds=seconds)
            self.server.tick()

    async def known(self, key: Key[Any]) -> Any:
        fact: Fact[Any] = await self.source.read(key)
        assert isinstance(fact, Known), fact
        return fact.value

    async def absent(self, key: Key[Any]) -> str:
        fact: Fact[Any] = await self.source.read(key)
        assert isinstance(fact, Absent), fact
        assert "\n" not in fact.why
        return fact.why


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    lab = Lab()
    url = await lab.server.start()
    lab.source = build(Settings(url=url, timeout_s=2.0), lab.clock)
    yield lab
    await lab.source.close()
    await lab.server.stop()


RULE = keys.alert_rule("HighErrors", LABELS)
STATE = keys.alert_now("HighErrors", LABELS)
SERIES = keys.series(RATIO, LABELS)


# --- the rule ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("job:errors:ratio > 0.05", ("job:errors:ratio", ">", 0.05)),
        ("sum(rate(e[5m])) by (job) / sum(rate(r[5m])) by (job) >= 1e-3", ("sum(rate(e[5m])) by (job) / sum(rate(r[5m])) by (job)", ">=", 0.001)),
        ("(up == 0)", ("up", "==", 0.0)),
        ("a < (-2)", ("a", "<", -2.0)),
        ('a{x=">"} != 3 # > 4', ('a{x=">"}', "!=", 3.0)),
        ("a > b > 1", ("a > b", ">", 1.0)),
    ],
)
def test_a_plain_comparison_is_taken_apart(query: str, expected: tuple[str, str, float]) -> None:
    assert plain(query) == expected


@pytest.mark.parametrize(
    "query",
    [
        "a > bool 1",
        "a > on(job) b",
        "a > b",
        "a > 1 and b",
        "a > 1 or b > 2",
        "5 < a",
        "a > NaN",
        "a > Inf",
        "a > 2 * 3",
        "a + 1",
        "vector(1)",
        "a >",
        "",
        "5 > bool 3",
    ],
)
def test_any_other_rule_is_no_sli(query: str) -> None:
    assert plain(query) == ("", "", 0.0)


async def test_the_rule_is_found_by_name_and_static_labels(lab: Lab) -> None:
    lab.rule(keep_firing_for=timedelta(seconds=30))
    lab.rule(labels={"severity": "ticket"}, threshold=0.01)
    lab.tick()
    rule = await lab.known(RULE)
    assert rule == keys.AlertRule(
        name="HighErrors",
        query=f"{RATIO} > 0.05",
        hold=timedelta(seconds=60),
        keep_firing=timedelta(seconds=30),
        expression=RATIO,
        comparison=">",
        threshold=0.05,
    )


async def test_two_different_rules_that_fit_are_unknown(lab: Lab) -> None:
    lab.rule()
    lab.rule(threshold=0.10)
    lab.tick()
    assert "2 different rules" in await lab.absent(RULE)


async def test_the_same_rule_in_two_groups_is_one_rule(lab: Lab) -> None:
    lab.rule()
    lab.rule(group="again")
    lab.tick()
    assert (await lab.known(RULE)).threshold == 0.05


async def test_a_templated_label_does_not_hide_its_rule(lab: Lab) -> None:
    lab.rule(labels={"severity": "page", "cluster": "{{ $labels.job }}"})
    lab.tick()
    assert (await lab.known(RULE)).name == "HighErrors"


async def test_a_rule_that_is_not_there_is_unknown(lab: Lab) -> None:
    lab.rule(name="Other")
    lab.tick()
    assert "no alerting rule HighErrors" in await lab.absent(RULE)


async def test_a_rule_that_fails_to_evaluate_is_unknown(lab: Lab) -> None:
    lab.rule()
    lab.broken = True
    lab.server.register(RATIO, lab.samples, recording="asked")
    lab.tick()
    assert "many-to-many" in await lab.absent(RULE)


# --- the alert --------------------------------------------------------------------------------------------------------------


async def test_an_alert_goes_from_inactive_through_pending_to_firing(lab: Lab) -> None:
    lab.rule()
    lab.tick()
    assert await lab.known(STATE) == keys.AlertNow(state="inactive")
    lab.values["checkout"] = 0.5
    lab.tick()
    began = lab.clock.time
    assert await lab.known(STATE) == keys.AlertNow(state="pending", active_at=began)
    lab.tick(times=61)
    assert await lab.known(STATE) == keys.AlertNow(state="firing", active_at=began)


async def test_the_alert_of_another_series_is_not_ours(lab: Lab) -> None:
    lab.rule()
    lab.values["search"] = 0.5
    lab.tick(times=70)
    assert (await lab.known(STATE)).state == "inactive"


async def test_an_alert_with_a_label_the_episode_lacks_is_unknown(lab: Lab) -> None:
    lab.rule()
    lab.values["checkout"] = 0.5
    lab.tick(times=70)
    without_job = tuple((name, value) for name, value in LABELS if name != "job")
    assert "label job" in await lab.absent(keys.alert_now("HighErrors", without_job))


async def fires(lab: Lab, claims: Mapping[str, str], **more: Any) -> Fact[Any]:
    """The state of an alert that fires for job=checkout, asked for by an episode that claims these labels too."""
    lab.rule(for_=timedelta(0), **more)
    lab.values["checkout"] = 0.5
    lab.tick(times=2)
    return await lab.source.read(keys.alert_now("HighErrors", tuple(sorted({**dict(LABELS), **claims}.items()))))


@pytest.mark.parametrize(
    "place",
    [
        *("namespace", "argocd_app", "argocd_app_namespace", "argocd_instance", "backout_target", "deployment", "statefulset", "daemonset", "service"),
        *("rollout", "cronjob", "job_name", "horizontalpodautoscaler", "spinnaker_app", "spinnaker_account", "spinnaker_cluster", "spinnaker_region"),
    ],
)
async def test_promise_11_an_alert_proves_no_place_that_only_the_notification_names(lab: Lab, place: str) -> None:
    fact = await fires(lab, {place: "shop"})
    assert isinstance(fact, Absent)
    assert fact.why == f"the alert HighErrors is firing, but Prometheus does not say of it {place}=shop, as the notification does"
    assert place in fact.clears


async def test_promise_11_an_alert_that_names_the_place_itself_proves_it(lab: Lab) -> None:
    fact = await fires(lab, {"namespace": "shop", "argocd_app": "checkout"}, labels={"severity": "page", "namespace": "shop", "argocd_app": "checkout"})
    assert isinstance(fact, Known)
    assert fact.value.state == "firing"


async def test_promise_11_one_of_two_places_is_not_enough(lab: Lab) -> None:
    fact = await fires(lab, {"namespace": "shop", "argocd_app": "checkout\nx"}, labels={"severity": "page", "namespace": "shop"})
    assert isinstance(fact, Absent)
    assert "does not say of it argocd_app=checkout, as" in fact.why


async def test_promise_11_an_alert_of_another_place_is_not_the_episodes(lab: Lab) -> None:
    fact = await fires(lab, {"namespace": "shop"}, labels={"severity": "page", "namespace": "blog"})
    assert not (isinstance(fact, Known) and fact.value.state == "firing")


async def test_promise_11_external_labels_may_be_missing(lab: Lab) -> None:
    fact = await fires(lab, {"cluster": "eu", "replica": "a", "prometheus": "monitoring/k8s", "namespace": ""})
    assert isinstance(fact, Known)
    assert fact.value.state == "firing"


async def test_two_alerts_that_fit_the_episode_are_unknown(lab: Lab) -> None:
    lab.rule()
    lab.rule(labels={"severity": "page", "cluster": "eu"})
    lab.values["checkout"] = 0.5
    lab.tick(times=70)
    assert "2 active alerts" in await lab.absent(STATE)


async def test_an_alert_without_its_rule_is_not_inactive(lab: Lab) -> None:
    lab.tick()
    assert "absence proves nothing" in await lab.absent(STATE)


async def test_an_alert_of_a_failing_rule_is_not_inactive(lab: Lab) -> None:
    lab.rule()
    lab.broken = True
    lab.server.register(RATIO, lab.samples, recording="asked")
    lab.tick()
    assert "health of its rule is err" in await lab.absent(STATE)


async def test_an_alert_of_a_rule_that_was_never_evaluated_is_not_inactive(lab: Lab) -> None:
    lab.rule()
    assert "health of its rule is unknown" in await lab.absent(STATE)


async def test_an_alert_of_a_rule_evaluated_long_ago_is_not_inactive(lab: Lab) -> None:
    lab.rule()
    lab.tick()
    lab.clock.time += timedelta(seconds=61)
    assert "evaluated 61 s ago" in await lab.absent(STATE)


async def test_a_rule_evaluated_in_the_future_proves_nothing(lab: Lab) -> None:
    lab.rule()
    lab.tick()
    lab.clock.time -= timedelta(seconds=90)
    assert "clocks" in await lab.absent(STATE)


# --- series -----------------------------------------------------------------------------------------------------------------


async def test_a_series_is_picked_by_the_labels_it_shares_with_the_episode(lab: Lab) -> None:
    lab.tick()
    series = await lab.known(SERIES)
    assert series.values == {(("__name__", RATIO), ("job", "checkout")): 0.01}
    assert series.at == lab.clock.time


async def test_no_series_that_fits_is_an_empty_value_not_a_zero(lab: Lab) -> None:
    lab.tick()
    series = await lab.known(keys.series(RATIO, (("job", "payment"),)))
    assert series.values == {}


async def test_not_a_number_and_infinity_are_values(lab: Lab) -> None:
    lab.values |= {"checkout": math.nan, "search": math.inf}
    lab.tick()
    values = {dict(labels)["job"]: value for labels, value in (await lab.known(keys.series(RATIO))).values.items()}
    assert math.isnan(values["checkout"])
    assert values["search"] == math.inf


async def test_a_scalar_is_one_value_without_labels(lab: Lab) -> None:
    lab.server.register_scalar("time()", lambda at: at.timestamp())
    assert (await lab.known(keys.series("time()"))).values == {(): START.timestamp()}


async def test_the_time_of_a_series_is_that_of_its_samples(lab: Lab) -> None:
    lab.tick()
    sampled = lab.clock.time
    lab.clock.time += timedelta(seconds=59)
    assert (await lab.known(SERIES)).at == sampled


async def test_samples_older_than_a_minute_are_unknown(lab: Lab) -> None:
    lab.tick()
    lab.server.stop_scraping()
    lab.tick(seconds=61)
    assert "61 s old" in await lab.absent(SERIES)


async def test_a_value_without_a_recent_sample_behind_it_is_unknown(lab: Lab) -> None:
    rate = "sum(rate(errors[1h]))"
    lab.server.register(rate, lambda _at: [({}, 0.0)], recording="asked")
    lab.server.register("time() - timestamp(errors)", lambda _at: [], recording="asked")
    assert "no sample behind it is recent" in await lab.absent(keys.series(rate))


async def test_each_selector_of_an_expression_must_be_fresh(lab: Lab) -> None:
    ratio = "sum(rate(errors[5m])) / sum(rate(requests[5m]))"
    lab.server.register(ratio, lambda _at: [({}, 0.0)], recording="asked")
    lab.server.register("time() - timestamp(requests)", lambda _at: [({"pod": "a"}, 500.0), ({"pod": "b"}, 3.0)], recording="asked")
    lab.server.register("time() - timestamp(errors)", lambda _at: [({"pod": "a"}, 200.0)], recording="asked")
    assert "200 s old" in await lab.absent(keys.series(ratio))


async def test_an_age_that_cannot_be_asked_for_is_unknown(lab: Lab) -> None:
    lab.server.register("other", lambda _at: [({}, 1.0)], recording="asked")
    assert "time() - timestamp(other)" in await lab.absent(keys.series("other"))


async def test_what_looks_back_on_purpose_needs_no_fresh_samples(lab: Lab) -> None:
    lab.server.register("other offset 1d", lambda _at: [({}, 1.0)], recording="asked")
    assert (await lab.known(keys.series("other offset 1d"))).values == {(): 1.0}


async def test_an_expression_nobody_knows_is_unknown_and_says_why(lab: Lab) -> None:
    lab.tick()
    assert "registered" in await lab.absent(keys.series("never:heard:of"))
    assert "not understood" in await lab.absent(keys.series("sum("))


async def test_more_series_than_allowed_are_unknown(lab: Lab) -> None:
    lab.values = {f"job-{number}": 0.0 for number in range(1001)}
    lab.tick()
    assert "1001 series" in await lab.absent(SERIES)


# --- what can go wrong ------------------------------------------------------------------------------------------------------


def answered(data: object, **more: object) -> bytes:
    return json.dumps({"status": "success", "data": data, **more}).encode()


VECTOR = {"resultType": "vector", "result": []}


@pytest.mark.parametrize("key", [RULE, STATE, SERIES])
@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, b"", "refuses our credential"),
        (403, b"", "refuses our credential"),
        (302, b"", "answered 302"),
        (404, b"404 page not found\nsecond line", "404 page not found"),
        (422, b'{"status":"error","errorType":"execution","error":"too many samples"}', "too many samples"),
        (503, b"", "no reason given"),
        (200, b"<html>login</html>", "instead of JSON"),
        (200, b'{"status":"success","data":[]}', "unknown shape"),
        (200, b"[]", "unknown shape"),
        (200, b'{"status":"error","data":{"groups":[],"alerts":[],"resultType":"vector","result":[]}}', "answered error"),
    ],
)
async def test_every_failure_outside_is_absent(lab: Lab, key: Key[Any], status: int, body: bytes, expected: str) -> None:
    lab.server.fail_with(status, body=body)
    assert expected in await lab.absent(key)


@pytest.mark.parametrize("key", [RULE, STATE, SERIES])
async def test_a_server_that_is_away_is_absent(lab: Lab, key: Key[Any]) -> None:
    await lab.server.go_down()
    assert "could not be reached" in await lab.absent(key)


async def test_a_partial_answer_is_absent(lab: Lab) -> None:
    lab.server.fail_with(200, body=answered(VECTOR, warnings=["store a is away"]), content_type="application/json")
    assert "store a is away" in await lab.absent(SERIES)
    lab.server.fail_with(200, body=answered({"groups": [], "alerts": []}, warnings=["ruler b is away"]), content_type="application/json")
    assert "ruler b is away" in await lab.absent(RULE)
    assert "ruler b is away" in await lab.absent(STATE)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"resultType": "matrix", "result": []}, "a matrix"),
        ({"resultType": "vector", "result": [{"metric": {}, "histogram": [1, {}]}]}, "histograms"),
        ({"resultType": "vector", "result": [{"metric": {}, "value": [START.timestamp(), "much"]}]}, "no number"),
        ({"resultType": "vector", "result": [{"metric": {}, "value": [START.timestamp() - 300, "1"]}]}, "clocks"),
    ],
)
async def test_an_answer_that_is_no_number_for_now_is_absent(lab: Lab, result: dict[str, Any], expected: str) -> None:
    lab.server.fail_with(200, body=answered(result), content_type="application/json")
    assert expected in await lab.absent(keys.series("1" if expected == "clocks" else "vector(1)"))


async def test_an_alert_in_an_unknown_state_is_absent(lab: Lab) -> None:
    alert = {"labels": {"alertname": "HighErrors"}, "state": "sleeping", "activeAt": "2026-11-23T00:35:58.710769182Z"}
    lab.server.fail_with(200, body=answered({"alerts": [alert]}), content_type="application/json")
    assert "sleeping" in await lab.absent(STATE)


def rules_page(name: str, token: str) -> bytes:
    rule = {"type": "alerting", "name": name, "query": "a > 1", "health": "ok", "lastEvaluation": "2026-11-23T00:35:58.710769182Z", "labels": None}
    return answered({"groups": [{"rules": [rule], "interval": 30}], **({"groupNextToken": token} if token else {})})


async def test_pages_of_rules_are_read_to_the_end(lab: Lab) -> None:
    lab.server.fail_with(200, times=1, body=rules_page("Other", "next"), content_type="application/json")
    lab.rule()
    lab.tick()
    assert (await lab.known(RULE)).query == f"{RATIO} > 0.05"
    assert [("group_next_token=next" in seen.query) for seen in lab.server.seen] == [False, True]


async def test_pages_that_go_in_circles_are_absent(lab: Lab) -> None:
    lab.server.fail_with(200, body=rules_page("Other", "again"), content_type="application/json")
    assert "does not come to an end" in await lab.absent(RULE)
    assert len(lab.server.seen) == 2


async def test_the_recorded_answers_of_a_real_prometheus_are_understood(lab: Lab) -> None:
    alert = {
        "labels": {"alertname": "Watchdog", "severity": "none"},
        "annotations": {},
        "state": "firing",
        "activeAt": "2026-11-23T00:35:58.710769182Z",
        "value": "1e+00",
    }
    lab.server.fail_with(200, body=answered({"alerts": [alert]}), content_type="application/json")
    now = await lab.known(keys.alert_now("Watchdog", (("alertname", "Watchdog"), ("cluster", "eu"), ("severity", "none"))))
    assert now == keys.AlertNow(state="firing", active_at=datetime(2026, 11, 23, 0, 35, 58, 710769, UTC))
    sample = {"metric": {"__name__": RATIO, "job": "checkout"}, "value": [START.timestamp() + 0.989, "0"]}
    lab.server.fail_with(200, body=answered({"resultType": "vector", "result": [sample]}), content_type="application/json")
    assert (await lab.known(keys.series("vector(1)"))).values == {(("__name__", RATIO), ("job", "checkout")): 0.0}


async def test_queries_are_posted_as_forms_and_rules_are_asked_for_by_name(lab: Lab) -> None:
    lab.rule()
    lab.tick()
    await lab.known(SERIES)
    await lab.known(RULE)
    assert [(seen.method, seen.path) for seen in lab.server.seen][:2] == [("POST", "/api/v1/query")] * 2
    assert "type=alert" in lab.server.seen[-1].query
    assert "HighErrors" in lab.server.seen[-1].query


async def test_the_credential_is_read_again_for_each_request_and_not_shown(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first-secret\n")
    source = build(Settings(url=lab.server.url, token_file=file), lab.clock)
    lab.server.fail_with(403, body=b"")
    refused = await source.read(RULE)
    assert lab.server.seen[-1].authorized
    file.unlink()
    missing = await source.read(RULE)
    await source.close()
    assert isinstance(missing, Absent)
    assert "token" in missing.why
    assert "first-secret" not in f"{refused}{missing}"


async def test_evidence_says_where_and_when(lab: Lab) -> None:
    lab.tick()
    fact = await lab.source.read(SERIES)
    assert isinstance(fact, Known)
    assert fact.evidence.source.startswith("prometheus 127.0.0.1:")
    assert RATIO in fact.evidence.what
    assert fact.evidence.read_at == lab.clock.time
    assert len(fact.evidence.digest) == 64
    assert fact.good_for == timedelta(seconds=30)


async def test_a_key_of_another_kind_is_absent(lab: Lab) -> None:
    assert "cannot answer" in await lab.absent(Key("image labels", "x"))
    assert lab.source.kinds == {"alert rule", "alert state", "series"}


# --- doctor -----------------------------------------------------------------------------------------------------------------


async def test_doctor_sees_the_version_and_the_age_of_the_samples(lab: Lab) -> None:
    lab.server.register("up", lambda _at: [({"job": "checkout"}, 1.0)])
    lab.server.register("time() - timestamp(up)", lab.server.age_of("up"), recording="asked")
    lab.tick()
    lab.clock.time += timedelta(seconds=7)
    answers, samples = await lab.source.check()
    assert (answers.well, samples.well) == ("ok", "ok")
    assert "2.42.0" in answers.says
    assert "7 s old" in samples.says
    lab.clock.time += timedelta(seconds=60)
    _, samples = await lab.source.check()
    assert samples.well == "warn"


async def test_doctor_warns_when_the_age_cannot_be_told(lab: Lab) -> None:
    answers, samples = await lab.source.check()
    assert (answers.well, samples.well) == ("ok", "warn")


async def test_doctor_says_no_when_nobody_answers(lab: Lab) -> None:
    await lab.server.go_down()
    (answers,) = await lab.source.check()
    assert answers.well == "no"
    assert answers.fix


@pytest.mark.parametrize("url", ["prometheus:9090", "http://user:hunter2@prometheus:9090", "ftp://prometheus"])
def test_a_wrong_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="address") as raised:
        Settings(url=url)
    assert "hunter2" not in str(raised.value)
