import asyncio
import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from integrations.sandbox.alertmanager import AlertSender, Route
from integrations.sandbox.notifications import NotificationSink
from integrations.sandbox.prometheus import CannotEvaluate, Sample, SandboxPrometheus, alert_value, canonical, sample_value

RECORDINGS = Path(__file__).parents[3] / "fixtures" / "alertmanager"
T0 = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
RATIO = 'sum by (namespace, job) (rate(http_requests_total{code=~"5.."}[5m]))'
SHOP = {"job": "checkout", "namespace": "shop"}
STEP = timedelta(seconds=5)


class HandClock:
    """Moves only when somebody sleeps or passes time, and lets the loop turn meanwhile."""

    def __init__(self) -> None:
        self.at = T0

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0.001)


class Series:
    """A source whose samples a test sets."""

    def __init__(self, *samples: Sample) -> None:
        self.samples: list[Sample] = list(samples)
        self.asked: list[datetime] = []
        self.broken = False

    def __call__(self, at: datetime) -> Sequence[Sample]:
        self.asked.append(at)
        if self.broken:
            raise CannotEvaluate("many-to-many matching not allowed")
        return list(self.samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    prometheus: SandboxPrometheus
    clock: HandClock
    http: aiohttp.ClientSession = field(repr=False)

    def tick(self, times: int = 1) -> None:
        """Let one interval pass and sample, so many times."""
        for _ in range(times):
            self.clock.at += STEP
            self.prometheus.tick()

    async def get(self, path: str, **parameters: str) -> tuple[int, Any]:
        async with self.http.get(f"{self.prometheus.url}{path}", params=parameters) as response:
            return response.status, await response.json()

    async def vector(self, query: str, **parameters: str) -> list[tuple[Mapping[str, str], str]]:
        status, document = await self.get("/api/v1/query", query=query, **parameters)
        assert (status, document["status"], document["data"]["resultType"]) == (200, "success", "vector"), document
        return [(item["metric"], item["value"][1]) for item in document["data"]["result"]]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    clock = HandClock()
    prometheus = SandboxPrometheus(clock=clock, interval=STEP, by_itself=False, external_labels={"cluster": "prod-eu1"})
    await prometheus.start()
    async with aiohttp.ClientSession() as http:
        yield Bench(prometheus=prometheus, clock=clock, http=http)
    await prometheus.stop()


def at(moment: datetime) -> str:
    return str(moment.timestamp())


# --- queries


async def test_an_expression_nobody_registered_is_an_error_and_never_empty(bench: Bench) -> None:
    bench.prometheus.register("up", Series(({"__name__": "up"}, 1)))
    for path in ("/api/v1/query", "/api/v1/query_range"):
        status, document = await bench.get(path, query='up{job="x"}', start="1", end="2", step="1")
        assert (status, document["status"], document["errorType"]) == (400, "error", "bad_data")
        assert "only expressions registered with it" in document["error"]
        assert "registered: up" in document["error"]


async def test_a_registered_expression_answers_in_the_recorded_shape(bench: Bench) -> None:
    bench.prometheus.register(RATIO, Series((SHOP, 0.09528377518046133)))
    bench.clock.at = T0 + timedelta(milliseconds=989)
    bench.prometheus.tick()
    status, document = await bench.get("/api/v1/query", query=RATIO)
    assert status == 200
    assert document == {
        "status": "success",
        "data": {"resultType": "vector", "result": [{"metric": SHOP, "value": [T0.timestamp() + 0.989, "0.09528377518046133"]}]},
    }


async def test_post_as_a_form_is_answered_as_get(bench: Bench) -> None:
    bench.prometheus.register(RATIO, Series((SHOP, 1)))
    bench.tick()
    async with bench.http.post(f"{bench.prometheus.url}/api/v1/query", data={"query": RATIO}) as response:
        assert (await response.json())["data"]["result"][0]["value"][1] == "1"
    form = {"query": RATIO, "start": at(T0), "end": at(T0 + STEP), "step": "5s"}
    async with bench.http.post(f"{bench.prometheus.url}/api/v1/query_range", data=form) as response:
        assert (await response.json())["data"]["result"] == [{"metric": SHOP, "values": [[T0.timestamp() + 5, "1"]]}]


@pytest.mark.parametrize(
    "spelling",
    [
        'sum by(namespace,job)(rate(http_requests_total{code=~"5.."}[5m]))',
        f"({RATIO})",
        'sum  by (namespace, job) ( rate(http_requests_total{code=~"5.."}[300s]) )',
    ],
)
async def test_the_same_question_in_another_spelling_is_recognised(bench: Bench, spelling: str) -> None:
    bench.prometheus.register(RATIO, Series((SHOP, 1)))
    bench.tick()
    assert await bench.vector(spelling) == [(SHOP, "1")]


def test_matchers_in_another_order_are_the_same_question_and_other_values_are_not() -> None:
    assert canonical('up{a="1",b="2"}') == canonical('up{b="2", a="1"}')
    assert canonical('up{a="1"}') != canonical('up{a="2"}')


async def test_what_is_not_promql_is_bad_data_when_asked_and_an_error_when_registered(bench: Bench) -> None:
    status, document = await bench.get("/api/v1/query", query="sum(")
    assert (status, document["errorType"]) == (400, "bad_data")
    assert document["error"].startswith('invalid parameter "query": ')
    assert "unclosed left parenthesis" in document["error"]
    assert (await bench.get("/api/v1/query"))[0] == 400
    with pytest.raises(ValueError, match="unclosed"):
        bench.prometheus.register("sum(", Series())


async def test_a_past_time_gets_what_was_so_then(bench: Bench) -> None:
    series = Series((SHOP, 1))
    bench.prometheus.register(RATIO, series)
    bench.tick()
    first = bench.clock.at
    series.samples = [(SHOP, 2)]
    bench.tick()
    assert await bench.vector(RATIO) == [(SHOP, "2")]
    assert await bench.vector(RATIO, time=at(first)) == [(SHOP, "1")]
    assert await bench.vector(RATIO, time=first.isoformat().replace("+00:00", "Z")) == [(SHOP, "1")]
    assert await bench.vector(RATIO, time=at(first - timedelta(seconds=1))) == []
    assert series.asked == [first, first + STEP], "a query samples nothing"


async def test_a_range_gives_each_step_its_value_of_then(bench: Bench) -> None:
    series = Series((SHOP, 0))
    bench.prometheus.register(RATIO, series)
    for value in (1, 2, 3):
        series.samples = [(SHOP, value)]
        bench.tick()
    start = T0 - STEP
    status, document = await bench.get("/api/v1/query_range", query=RATIO, start=at(start), end=at(bench.clock.at), step="5")
    assert (status, document["data"]["resultType"]) == (200, "matrix")
    (shown,) = document["data"]["result"]
    assert shown["values"] == [[int(T0.timestamp()) + 5 * n, str(n)] for n in (1, 2, 3)]


async def test_a_series_that_ends_vanishes_at_once_and_its_past_stays(bench: Bench) -> None:
    series = Series((SHOP, 1))
    bench.prometheus.register(RATIO, series)
    bench.tick()
    then = bench.clock.at
    series.samples = []
    bench.tick()
    assert await bench.vector(RATIO) == []
    assert await bench.vector(RATIO, time=at(then)) == [(SHOP, "1")]


async def test_when_scraping_stops_values_stay_until_the_lookback_and_then_vanish(bench: Bench) -> None:
    bench.prometheus.register(RATIO, Series((SHOP, 1)))
    bench.tick()
    bench.prometheus.stop_scraping()
    bench.tick(59)
    assert await bench.vector(RATIO) == [(SHOP, "1")]
    assert await bench.vector(RATIO, lookback_delta="1m") == []
    bench.tick()
    assert await bench.vector(RATIO) == []
    bench.prometheus.resume_scraping()
    bench.tick()
    assert await bench.vector(RATIO) == [(SHOP, "1")]


async def test_the_age_of_a_series_grows_while_scraping_has_stopped(bench: Bench) -> None:
    age = f"time() - timestamp({RATIO})"
    bench.prometheus.register(RATIO, Series((SHOP, 1)))
    bench.prometheus.register(age, bench.prometheus.age_of(RATIO), recording="asked")
    bench.tick()
    assert await bench.vector(age) == [(SHOP, "0")]
    bench.prometheus.stop_scraping()
    bench.tick(3)
    assert await bench.vector(age) == [(SHOP, "15")]


async def test_nan_is_an_answer_of_its_own(bench: Bench) -> None:
    bench.prometheus.register(RATIO, Series((SHOP, 1)))
    bench.prometheus.register("other", Series(({}, 2)))
    bench.prometheus.answer_nan(RATIO)
    bench.tick()
    assert (await bench.vector(RATIO), await bench.vector("other")) == ([(SHOP, "NaN")], [({}, "2")])
    bench.prometheus.answer_nan()
    bench.tick()
    assert await bench.vector("other") == [({}, "NaN")]
    bench.prometheus.answer_numbers()
    bench.tick()
    assert (await bench.vector(RATIO), await bench.vector("other")) == ([(SHOP, "1")], [({}, "2")])


async def test_a_scalar_has_its_own_shape(bench: Bench) -> None:
    bench.prometheus.register_scalar("0/0", lambda _: math.nan)
    bench.prometheus.register_scalar("time()", lambda moment: moment.timestamp())
    _, document = await bench.get("/api/v1/query", query="0/0")
    assert document["data"] == {"resultType": "scalar", "result": [int(T0.timestamp()), "NaN"]}
    _, document = await bench.get("/api/v1/query", query="time()", time="1700000000.5")
    assert document["data"]["result"] == [1700000000.5, "1700000000.5"]


async def test_a_backfilled_series_has_a_past(bench: Bench) -> None:
    series = Series((SHOP, 7))
    bench.prometheus.register(RATIO, series)
    bench.prometheus.backfill(RATIO, T0 - timedelta(minutes=10))
    assert await bench.vector(RATIO, time=at(T0 - timedelta(minutes=9))) == [(SHOP, "7")]
    assert (series.asked[0], len(series.asked)) == (T0 - timedelta(minutes=10), 120)


async def test_registering_again_changes_the_source_and_keeps_the_past(bench: Bench) -> None:
    bench.prometheus.register(RATIO, Series((SHOP, 1)))
    bench.tick()
    bench.prometheus.register(RATIO, Series((SHOP, 2)))
    assert await bench.vector(RATIO) == [(SHOP, "1")]
    bench.tick()
    assert await bench.vector(RATIO) == [(SHOP, "2")]


async def test_a_source_that_cannot_answer_is_an_execution_error(bench: Bench) -> None:
    series = Series((SHOP, 1))
    series.broken = True
    bench.prometheus.register(RATIO, series, recording="asked")
    for path in ("/api/v1/query", "/api/v1/query_range"):
        status, document = await bench.get(path, query=RATIO, start="1", end="2", step="1")
        assert (status, document["errorType"], document["error"]) == (422, "execution", "many-to-many matching not allowed")


async def test_a_scrape_that_fails_ends_the_series(bench: Bench) -> None:
    series = Series((SHOP, 1))
    bench.prometheus.register(RATIO, series)
    bench.tick()
    series.broken = True
    bench.tick()
    assert await bench.vector(RATIO) == []


async def test_a_limit_cuts_and_says_so(bench: Bench) -> None:
    bench.prometheus.register("up", Series(({"pod": "a"}, 1), ({"pod": "b"}, 1)))
    bench.tick()
    _, document = await bench.get("/api/v1/query", query="up", limit="1")
    assert (len(document["data"]["result"]), document["warnings"]) == (1, ["results truncated due to limit"])
    _, document = await bench.get("/api/v1/query", query="up", limit="2")
    assert "warnings" not in document
    _, document = await bench.get("/api/v1/query_range", query="up", start=at(T0), end=at(bench.clock.at), step="5", limit="1")
    assert (len(document["data"]["result"]), document["warnings"]) == (1, ["results truncated due to limit"])


@pytest.mark.parametrize(
    ("path", "parameters", "says"),
    [
        ("query", {"timeout": "1ns"}, 'invalid parameter "timeout": cannot parse "1ns" to a valid duration'),
        ("query", {"time": "yesterday"}, 'invalid parameter "time": cannot parse "yesterday" to a valid timestamp'),
        ("query", {"time": "2026-05-04T12:00:00"}, 'invalid parameter "time": cannot parse "2026-05-04T12:00:00" to a valid timestamp'),
        ("query", {"time": "NaN"}, 'invalid parameter "time": cannot parse "NaN" to a valid timestamp'),
        ("query", {"limit": "-1"}, 'invalid parameter "limit": cannot parse "-1" to a valid limit'),
        (
            "query_range",
            {"start": "0", "end": "1e12", "step": "1s"},
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ),
        ("query_range", {"start": "2", "end": "1", "step": "1s"}, 'invalid parameter "end": end timestamp must not be before start time'),
        (
            "query_range",
            {"start": "1", "end": "2", "step": "0"},
            'invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer',
        ),
        ("query_range", {"end": "2", "step": "1"}, 'invalid parameter "start": cannot parse "" to a valid timestamp'),
    ],
)
async def test_a_bad_parameter_is_refused_in_prometheus_words(bench: Bench, path: str, parameters: dict[str, str], says: str) -> None:
    bench.prometheus.register("up", Series(({}, 1)))
    status, document = await bench.get(f"/api/v1/{path}", query="up", **parameters)
    assert (status, document["errorType"], document["error"]) == (400, "bad_data", says)


def test_two_samples_with_the_same_labels_are_a_mistake_of_the_source(bench: Bench) -> None:
    bench.prometheus.register("up", Series(({"a": "1"}, 1), ({"a": "1"}, 2)))
    with pytest.raises(ValueError, match="same labelset"):
        bench.prometheus.tick()


@pytest.mark.parametrize(
    ("value", "wire", "alert"),
    [
        (0.0, "0", "0e+00"),
        (1.0, "1", "1e+00"),
        (0.19165790962735435, "0.19165790962735435", "1.9165790962735435e-01"),
        (1e21, "1000000000000000000000", "1e+21"),
        (1.5e-7, "0.00000015", "1.5e-07"),
        (-20.0, "-20", "-2e+01"),
        (math.inf, "+Inf", "+Inf"),
        (-math.inf, "-Inf", "-Inf"),
        (math.nan, "NaN", "NaN"),
    ],
)
def test_numbers_are_written_as_prometheus_writes_them(value: float, wire: str, alert: str) -> None:
    assert (sample_value(value), alert_value(value)) == (wire, alert)


# --- rules


def add_rule(bench: Bench, series: Series, **more: Any) -> None:
    bench.prometheus.register(RATIO, series)
    bench.prometheus.add_rule(
        "HighErrorRate",
        RATIO,
        ">",
        0.05,
        labels={"severity": "critical", "argocd_app": "{{ $labels.job }}-prod"},
        annotations={"summary": "Error ratio of {{ $labels.job }} is {{ $value | humanizePercentage }}", "value": "{{ $value }}"},
        **{"for_": timedelta(seconds=10), **more},
    )


async def rule_state(bench: Bench) -> tuple[str, list[str]]:
    _, document = await bench.get("/api/v1/rules")
    (rule,) = document["data"]["groups"][0]["rules"]
    return rule["state"], [alert["state"] for alert in rule["alerts"]]


async def test_a_rule_is_pending_for_its_time_then_fires_and_ends(bench: Bench) -> None:
    series = Series((SHOP, 0.01))
    add_rule(bench, series)
    bench.tick()
    assert await rule_state(bench) == ("inactive", [])
    series.samples = [(SHOP, 0.31)]
    bench.tick()
    active_at = bench.clock.at
    assert await rule_state(bench) == ("pending", ["pending"])
    bench.tick()
    assert await rule_state(bench) == ("pending", ["pending"])
    bench.tick()
    assert await rule_state(bench) == ("firing", ["firing"])
    _, document = await bench.get("/api/v1/alerts")
    assert document["data"]["alerts"] == [
        {
            "labels": {"alertname": "HighErrorRate", "argocd_app": "checkout-prod", "job": "checkout", "namespace": "shop", "severity": "critical"},
            "annotations": {"summary": "Error ratio of checkout is 31%", "value": "0.31"},
            "state": "firing",
            "activeAt": active_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "value": "3.1e-01",
        }
    ]
    series.samples = [(SHOP, 0.05)]
    bench.tick()
    assert await rule_state(bench) == ("inactive", [])


async def test_a_short_excess_never_fires(bench: Bench) -> None:
    series = Series((SHOP, 0.31))
    add_rule(bench, series)
    bench.tick(2)
    series.samples = [(SHOP, 0)]
    bench.tick()
    series.samples = [(SHOP, 0.31)]
    bench.tick(2)
    assert await rule_state(bench) == ("pending", ["pending"])
    assert bench.prometheus.outgoing_alerts() == ()


async def test_keep_firing_for_holds_an_alert_and_starts_again_with_each_excess(bench: Bench) -> None:
    series = Series((SHOP, 0.31))
    add_rule(bench, series, for_=timedelta(0), keep_firing_for=timedelta(seconds=10))
    bench.tick()
    assert await rule_state(bench) == ("firing", ["firing"])
    series.samples = [(SHOP, 0)]
    bench.tick(2)
    assert await rule_state(bench) == ("firing", ["firing"])
    _, document = await bench.get("/api/v1/alerts")
    assert document["data"]["alerts"][0]["keepFiringSince"] == "2026-05-04T12:00:10Z"
    series.samples = [(SHOP, 0.31)]
    bench.tick()
    series.samples = [(SHOP, 0)]
    bench.tick(2)
    assert await rule_state(bench) == ("firing", ["firing"])
    bench.tick()
    assert await rule_state(bench) == ("inactive", [])


async def test_each_series_is_an_alert_of_its_own(bench: Bench) -> None:
    add_rule(bench, Series((SHOP, 0.31), ({**SHOP, "job": "orders"}, 0.9), ({**SHOP, "job": "fine"}, 0.0)), for_=timedelta(0))
    bench.tick()
    _, document = await bench.get("/api/v1/alerts")
    assert sorted(alert["labels"]["job"] for alert in document["data"]["alerts"]) == ["checkout", "orders"]


async def test_the_series_of_alerts_can_be_asked_with_matchers_and_for_the_past(bench: Bench) -> None:
    series = Series((SHOP, 0.31))
    add_rule(bench, series)
    bench.tick()
    pending_at = bench.clock.at
    bench.tick(2)
    labels = {"alertname": "HighErrorRate", "argocd_app": "checkout-prod", "severity": "critical", **SHOP}
    assert await bench.vector('ALERTS{alertname="HighErrorRate"}') == [({"__name__": "ALERTS", "alertstate": "firing", **labels}, "1")]
    assert await bench.vector('ALERTS{alertname="HighErrorRate",alertstate="firing",namespace=~"shop|orders"}') != []
    assert await bench.vector('ALERTS{alertname="HighErrorRate",namespace!="shop"}') == []
    assert [metric["alertstate"] for metric, _ in await bench.vector("ALERTS", time=at(pending_at))] == ["pending"]
    started = str(int(pending_at.timestamp()))
    assert await bench.vector("ALERTS_FOR_STATE") == [({"__name__": "ALERTS_FOR_STATE", **labels}, started)]
    series.samples = []
    bench.tick()
    assert await bench.vector("ALERTS") == []
    _, document = await bench.get("/api/v1/query_range", query="ALERTS", start=at(T0), end=at(bench.clock.at), step="5")
    assert [(item["metric"]["alertstate"], len(item["values"])) for item in document["data"]["result"]] == [("firing", 1), ("pending", 2)]


@pytest.mark.parametrize("query", ["ALERTS offset 5m", 'ALERTS{a="1" or b="2"}', "ALERTS[5m]", "count(ALERTS)", "ALERTS @ 5"])
async def test_more_than_a_selector_over_alerts_is_an_error(bench: Bench, query: str) -> None:
    status, document = await bench.get("/api/v1/query", query=query)
    assert (status, document["errorType"]) == (400, "bad_data")


async def test_rules_are_shown_in_the_recorded_shape(bench: Bench) -> None:
    add_rule(bench, Series((SHOP, 0)), keep_firing_for=timedelta(seconds=6))
    _, document = await bench.get("/api/v1/rules", type="alert")
    assert document["data"]["groups"][0]["rules"][0]["health"] == "unknown"
    bench.tick()
    _, document = await bench.get("/api/v1/rules", type="alert")
    (group,) = document["data"]["groups"]
    assert set(group) == {"name", "file", "rules", "interval", "limit", "evaluationTime", "lastEvaluation"}
    rule = group["rules"][0]
    del rule["evaluationTime"]
    assert rule == {
        "state": "inactive",
        "name": "HighErrorRate",
        "query": f"{RATIO} > 0.05",
        "duration": 10,
        "keepFiringFor": 6,
        "labels": {"argocd_app": "{{ $labels.job }}-prod", "severity": "critical"},
        "annotations": {"summary": "Error ratio of {{ $labels.job }} is {{ $value | humanizePercentage }}", "value": "{{ $value }}"},
        "alerts": [],
        "health": "ok",
        "lastEvaluation": "2026-05-04T12:00:05Z",
        "type": "alerting",
    }


async def test_rules_are_filtered_by_type_name_and_group(bench: Bench) -> None:
    bench.prometheus.register("up", Series())
    for name, group in (("A", "one"), ("B", "one"), ("C", "two")):
        bench.prometheus.add_rule(name, "up", "==", 0, group=group)

    async def names(**parameters: str) -> list[str]:
        _, document = await bench.get("/api/v1/rules", **parameters)
        return [rule["name"] for group in document["data"]["groups"] for rule in group["rules"]]

    assert await names() == ["A", "B", "C"]
    assert await names(**{"rule_name[]": "B"}) == ["B"]
    assert await names(**{"rule_group[]": "two"}) == ["C"]
    assert await names(type="record") == []
    assert (await bench.get("/api/v1/rules", type="other"))[0] == 400


async def test_a_rule_whose_source_fails_says_so_and_leaves_its_alerts(bench: Bench) -> None:
    series = Series((SHOP, 0.31))
    bench.prometheus.register(RATIO, series, recording="asked")
    bench.prometheus.add_rule("HighErrorRate", RATIO, ">", 0.05)
    bench.tick()
    series.broken = True
    bench.tick()
    _, document = await bench.get("/api/v1/rules")
    rule = document["data"]["groups"][0]["rules"][0]
    assert (rule["health"], rule["lastError"], rule["state"]) == ("err", "many-to-many matching not allowed", "firing")


async def test_the_rules_own_comparison_can_be_asked_and_filters(bench: Bench) -> None:
    add_rule(bench, Series((SHOP, 0.31), ({**SHOP, "job": "fine"}, 0.0)))
    bench.tick()
    assert await bench.vector(f"{RATIO} > 0.05") == [(SHOP, "0.31")]


def test_an_expression_that_binds_weaker_than_the_comparison_is_put_in_brackets(bench: Bench) -> None:
    bench.prometheus.register("a or b", Series())
    assert bench.prometheus.add_rule("A", "a or b", ">=", 1).query == "(a or b) >= 1"


@pytest.mark.parametrize(("op", "fires"), [(">", {"3"}), (">=", {"2", "3"}), ("<", {"1"}), ("<=", {"1", "2"}), ("==", {"2"}), ("!=", {"1", "3"})])
async def test_every_comparison_compares(bench: Bench, op: Any, fires: set[str]) -> None:
    bench.prometheus.register("x", Series(*(({"n": str(n)}, float(n)) for n in (1, 2, 3))))
    bench.prometheus.add_rule("A", "x", op, 2)
    bench.tick()
    assert {alert.labels["n"] for alert in bench.prometheus.outgoing_alerts()} == fires


async def test_nan_fires_nothing(bench: Bench) -> None:
    add_rule(bench, Series((SHOP, math.nan)), for_=timedelta(0))
    bench.tick()
    assert await rule_state(bench) == ("inactive", [])


@pytest.mark.parametrize("template", ["{{ $labels.a | toUpper }}", "{{ query `up` }}", "{{ if $value }}x{{ end }}", "{{ $value | humanize }}"])
def test_a_template_that_is_not_known_is_refused_when_the_rule_is_added(bench: Bench, template: str) -> None:
    bench.prometheus.register("up", Series())
    with pytest.raises(ValueError, match="does not know"):
        bench.prometheus.add_rule("A", "up", "==", 0, annotations={"summary": template})
    with pytest.raises(KeyError, match="register the expression"):
        bench.prometheus.add_rule("A", "down", "==", 0)


async def test_what_is_posted_to_alertmanager(bench: Bench) -> None:
    series = Series((SHOP, 0.31))
    add_rule(bench, series)
    bench.tick(3)
    fired_at = bench.clock.at
    (alert,) = bench.prometheus.outgoing_alerts()
    assert alert.labels["cluster"] == "prod-eu1", "external labels are added on the way out only"
    assert (alert.starts_at, alert.ends_at) == (fired_at, fired_at + timedelta(minutes=4))
    assert alert.generator_url.startswith("http://prometheus.example:9090/graph?g0.expr=sum+by+%28namespace%2C+job%29+%28rate")
    assert alert.generator_url.endswith("+%3E+0.05&g0.tab=1")
    series.samples = []
    bench.tick()
    (alert,) = bench.prometheus.outgoing_alerts()
    assert (alert.starts_at, alert.ends_at) == (fired_at, bench.clock.at)
    bench.tick(12 * 15 + 1)
    assert bench.prometheus.outgoing_alerts() == (), "a resolved alert is re-sent for 15 minutes"


async def test_an_alert_that_fires_again_starts_anew(bench: Bench) -> None:
    series = Series((SHOP, 0.31))
    add_rule(bench, series, for_=timedelta(0))
    bench.tick()
    first = bench.prometheus.outgoing_alerts()[0].starts_at
    series.samples = []
    bench.tick()
    series.samples = [(SHOP, 0.31)]
    bench.tick()
    (again,) = bench.prometheus.outgoing_alerts()
    assert again.starts_at == first + 2 * STEP


def test_generator_urls_are_as_recorded() -> None:
    document = json.loads((RECORDINGS / "from-prometheus-kube-rules.json").read_text(encoding="utf-8"))
    recorded = {alert["labels"]["alertname"]: alert for request in document["requests"] for alert in request["body"]["alerts"]}
    prometheus = SandboxPrometheus(clock=HandClock(), by_itself=False)
    prometheus.register("job:http_requests_error_ratio:rate10s", Series((SHOP, 0.19165790962735435)))
    prometheus.add_rule(
        "CheckoutHighErrorRate",
        "job:http_requests_error_ratio:rate10s",
        ">",
        0.05,
        annotations={"summary": "Error ratio of {{ $labels.job }} is {{ $value | humanizePercentage }}", "value": "{{ $value }}"},
    )
    prometheus.tick()
    (alert,) = prometheus.outgoing_alerts()
    first = next(a for request in document["requests"] for a in request["body"]["alerts"] if a["labels"]["alertname"] == "CheckoutHighErrorRate")
    assert alert.generator_url == recorded["CheckoutHighErrorRate"]["generatorURL"]
    assert {name: first["annotations"][name] for name in ("summary", "value")} == dict(alert.annotations)


# --- the small answers and faults


async def test_targets_are_shown_with_their_health(bench: Bench) -> None:
    bench.prometheus.add_target("checkout", {"namespace": "shop"})
    bench.prometheus.add_target("orders", health="down", last_error="connection refused")
    bench.tick()
    _, document = await bench.get("/api/v1/targets", state="active")
    shown = [(target["labels"]["job"], target["health"], target["lastError"], target["lastScrape"]) for target in document["data"]["activeTargets"]]
    assert shown == [("checkout", "up", "", "2026-05-04T12:00:05Z"), ("orders", "down", "connection refused", "2026-05-04T12:00:05Z")]
    _, document = await bench.get("/api/v1/targets", state="dropped")
    assert document["data"] == {"activeTargets": [], "droppedTargets": []}


async def test_readiness_and_build_information(bench: Bench) -> None:
    for path, text in (("/-/ready", "Prometheus Server is Ready.\n"), ("/-/healthy", "Prometheus Server is Healthy.\n")):
        async with bench.http.get(f"{bench.prometheus.url}{path}") as response:
            assert (response.status, await response.text()) == (200, text)
    _, document = await bench.get("/api/v1/status/buildinfo")
    assert document["data"]["version"] == "2.42.0"


async def test_an_outage_refuses_connections_while_rules_go_on(bench: Bench) -> None:
    add_rule(bench, Series((SHOP, 0.31)))
    await bench.prometheus.go_down()
    with pytest.raises(aiohttp.ClientConnectionError):
        await bench.get("/api/v1/query", query=RATIO)
    bench.tick(3)
    await bench.prometheus.come_back()
    assert await rule_state(bench) == ("firing", ["firing"])
    bench.prometheus.fail_with(503, times=1)
    async with bench.http.get(f"{bench.prometheus.url}/-/ready") as response:
        assert response.status == 503


async def test_by_itself_it_samples_while_started_and_no_longer() -> None:
    clock, series = HandClock(), Series((SHOP, 1))
    prometheus = SandboxPrometheus(clock=clock, interval=STEP)
    prometheus.register(RATIO, series)
    await prometheus.start()
    async with asyncio.timeout(5):
        while len(series.asked) < 3:  # noqa: ASYNC110  the sampling happens in a task of its own
            await asyncio.sleep(0.001)
    await prometheus.stop()
    asked = list(series.asked)
    assert asked[:3] == [T0, T0 + STEP, T0 + 2 * STEP]
    await asyncio.sleep(0.01)
    assert series.asked == asked


async def test_a_source_that_breaks_the_sampling_is_not_silent() -> None:
    prometheus = SandboxPrometheus(clock=HandClock(), interval=STEP)
    prometheus.register("up", Series(({"a": "1"}, 1), ({"a": "1"}, 2)))
    await prometheus.start()
    await asyncio.sleep(0.01)
    with pytest.raises(ValueError, match="same labelset"):
        await prometheus.stop()
    assert not prometheus.listening


async def test_the_whole_chain_from_a_series_to_the_webhook_and_back() -> None:
    clock, series = HandClock(), Series((SHOP, 0.31))
    prometheus = SandboxPrometheus(clock=clock, interval=timedelta(seconds=1), external_labels={"cluster": "prod-eu1"})
    prometheus.register(RATIO, series)
    prometheus.add_rule("HighErrorRate", RATIO, ">", 0.05, for_=timedelta(seconds=3), labels={"severity": "critical"})
    sink = NotificationSink(clock=clock)
    await prometheus.start()
    await sink.start()
    sender = AlertSender(sink.url, clock=clock, route=Route(group_wait=timedelta(seconds=1), group_interval=timedelta(seconds=5)))
    await sender.start()
    sender.follow(prometheus)
    (firing,) = await sink.wait_for(1)
    series.samples = [(SHOP, 0.002)]
    _, resolved = await sink.wait_for(2)
    for server in (sender, sink, prometheus):
        await server.stop()
    assert isinstance(firing.body, dict)
    assert isinstance(resolved.body, dict)
    assert (firing.body["status"], resolved.body["status"]) == ("firing", "resolved")
    assert firing.body["commonLabels"] == {"alertname": "HighErrorRate", "cluster": "prod-eu1", "severity": "critical", **SHOP}
