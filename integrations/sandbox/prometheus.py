"""A Prometheus on loopback that knows only what it was told: it answers the expressions registered with it, and every other with an error, never with nothing.

It samples its sources by an injected clock, keeps what it sampled, and runs alerting rules over it as Prometheus does. PromQL itself is left to the
real one: an expression here is a name for a source of values. What happens to the alerts is left to `integrations/sandbox/alertmanager.py`.
"""

import bisect
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal
from urllib.parse import quote_plus

import promql_parser
from aiohttp import web

from integrations.sandbox.alertmanager import Matcher, PostableAlert
from integrations.sandbox.http import Background, LoopbackServer, rfc3339
from service.domain.ports import Clock

Labels = Mapping[str, str]
Sample = tuple[Labels, float]
Source = Callable[[datetime], Sequence[Sample]]
Op = Literal[">", ">=", "<", "<=", "==", "!="]
Recording = Literal["scraped", "asked"]

LOOKBACK = timedelta(minutes=5)
RESEND_DELAY = timedelta(minutes=1)
RESOLVED_KEPT = timedelta(minutes=15)
MOST_POINTS = 11_000
RING = 8192
VERSION = "2.42.0"

_LAST_SECOND = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
_SERIES_OF_RULES = ("ALERTS", "ALERTS_FOR_STATE")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?(?:ms|[smhdwy]))+")
_TEMPLATE = re.compile(r"\{\{\s*(?:\$labels\.(?P<label>[a-zA-Z_][a-zA-Z0-9_]*)|(?P<value>\$value))\s*(?:\|\s*(?P<filter>[a-zA-Z]+)\s*)?\}\}")
_COMPARE: Mapping[Op, Callable[[float, float], bool]] = {
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    "==": lambda value, bound: value == bound,
    "!=": lambda value, bound: value != bound,
}


class CannotEvaluate(Exception):  # noqa: N818  a source says it, it is not a defect
    """Raised by a source that cannot answer; a query is then 422 `execution`, and a rule over it has health `err`."""


class _BadData(Exception):  # noqa: N818  named after Prometheus's own errorType
    """A request that Prometheus answers with 400 `bad_data`."""


# --- numbers and times as Prometheus writes them ------------------------------------------------------------------------------


def sample_value(value: float) -> str:
    """A sample value on the wire: shortest decimal digits, never an exponent; `NaN`, `+Inf`, `-Inf`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = format(Decimal(repr(float(value))), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def alert_value(value: float) -> str:
    """The value of an alert in `/api/v1/alerts`: always with an exponent, `1e+00`."""
    if not math.isfinite(value):
        return sample_value(value)
    if value == 0:
        return "0e+00"
    sign, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    shown = "".join(map(str, digits))
    power = int(exponent) + len(shown) - 1
    return f"{'-' if sign else ''}{shown[0]}{'.' + shown[1:] if len(shown) > 1 else ''}e{'-' if power < 0 else '+'}{abs(power):02d}"


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _stamp(millis: int) -> int | float:
    return millis // 1000 if millis % 1000 == 0 else millis / 1000


def _seconds(duration: timedelta) -> int | float:
    seconds = duration.total_seconds()
    return int(seconds) if seconds.is_integer() else seconds


def _time(name: str, text: str) -> datetime:
    try:
        seconds = round(float(text) * 1000) / 1000
    except (ValueError, OverflowError):
        pass  # not a number, or not a finite one: RFC 3339, or nothing
    else:
        # Prometheus takes years that a datetime cannot hold; the last one it can hold is late enough to be refused for the same reason.
        return datetime.fromtimestamp(min(max(seconds, 0.0), _LAST_SECOND), tz=UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _BadData(f'invalid parameter "{name}": cannot parse "{text}" to a valid timestamp')
    return moment


def _duration(name: str, text: str) -> timedelta:
    try:
        return timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        pass  # not a number of seconds: Prometheus's own notation, or nothing
    if not _DURATION.fullmatch(text):
        raise _BadData(f'invalid parameter "{name}": cannot parse "{text}" to a valid duration')
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|[smhdwy])", text)))


def canonical(expression: str) -> str:
    """The expression in one spelling (spaces, order of matchers, outer brackets), so that the same question is recognised. ValueError: not PromQL."""
    parsed = promql_parser.parse(expression)
    while isinstance(parsed, promql_parser.ParenExpr):
        parsed = parsed.expr
    return str(parsed.prettify())


# --- what was sampled ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Ring:
    """The samples of one series, oldest first; None marks where the series ended (a staleness marker)."""

    labels: Labels
    times: list[int] = field(default_factory=list)
    values: list[float | None] = field(default_factory=list)

    def add(self, at: int, value: float | None) -> None:
        if self.times and at < self.times[-1]:
            return  # a sample out of order is dropped, as Prometheus does
        if self.times and at == self.times[-1]:
            self.values[-1] = value  # two ticks while an injected clock stands still: the later one counts
            return
        self.times.append(at)
        self.values.append(value)
        if len(self.times) > 2 * RING:
            del self.times[:-RING], self.values[:-RING]

    def last(self, at: int, lookback_ms: int) -> tuple[int, float] | None:
        """The newest sample not after `at` and younger than the lookback, unless the series had ended by then."""
        found = bisect.bisect_right(self.times, at) - 1
        if found < 0 or self.times[found] <= at - lookback_ms:
            return None
        value = self.values[found]
        return None if value is None else (self.times[found], value)


class _Vector:
    """All series of one expression over time."""

    def __init__(self) -> None:
        self._series: dict[tuple[tuple[str, str], ...], _Ring] = {}

    def record(self, at: int, samples: Sequence[Sample]) -> None:
        """Store one evaluation; a series that was there and now is not has ended."""
        present = set()
        for labels, value in samples:
            key = tuple(sorted(labels.items()))
            if key in present:
                raise ValueError(f"vector cannot contain metrics with the same labelset: {dict(labels)}")
            present.add(key)
            self._series.setdefault(key, _Ring(dict(key))).add(at, float(value))
        for key, ring in self._series.items():
            if key not in present and ring.values[-1] is not None:
                ring.add(at, None)

    def at(self, at: int, lookback_ms: int) -> list[tuple[Labels, int, float]]:
        """The instant vector then, as (labels, time of the sample, value), in the order of the labels."""
        found = ((self._series[key].labels, self._series[key].last(at, lookback_ms)) for key in sorted(self._series))
        return [(labels, *sample) for labels, sample in found if sample is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Registered:
    source: Source
    recording: Recording
    scalar: bool
    history: _Vector


# --- rules --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An alerting rule `expr op threshold`; durations as in a rule file's `for` and `keep_firing_for`."""

    name: str
    expr: str
    op: Op
    threshold: float
    for_: timedelta
    keep_firing_for: timedelta
    labels: Labels
    annotations: Labels
    group: str

    @property
    def query(self) -> str:
        """The rule's expression as `/api/v1/rules` shows it."""
        bound = sample_value(self.threshold)
        plain = promql_parser.parse(f"{self.expr} {self.op} {bound}")
        whole = isinstance(plain, promql_parser.BinaryExpr) and plain.lhs.prettify() == promql_parser.parse(self.expr).prettify()
        return f"{self.expr} {self.op} {bound}" if whole else f"({self.expr}) {self.op} {bound}"


@dataclass(slots=True, kw_only=True)
class _Active:
    """One alert of a rule, from pending to resolved."""

    labels: Labels
    annotations: Labels
    value: float
    active_at: datetime
    state: Literal["pending", "firing", "inactive"] = "pending"
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    keep_firing_since: datetime | None = None


@dataclass(slots=True, kw_only=True)
class _RuleState:
    rule: Rule
    active: dict[tuple[tuple[str, str], ...], _Active] = field(default_factory=dict)
    health: Literal["unknown", "ok", "err"] = "unknown"
    last_error: str = ""
    last_evaluation: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    job: str
    labels: Labels
    health: str
    last_error: str


def _filled(template: str, labels: Labels, value: float) -> str:
    """The few template forms that are supported: `$labels.x`, `$value`, `| humanizePercentage`. `add_rule` refuses the others."""

    def one(found: re.Match[str]) -> str:
        if found["label"] is not None:
            return labels.get(found["label"], "")
        return f"{value * 100:.4g}%" if found["filter"] else sample_value(value)

    return _TEMPLATE.sub(one, template)


def _refuse_unknown_templates(texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        for found in _TEMPLATE.finditer(text):
            if found["filter"] is not None and (found["filter"] != "humanizePercentage" or found["value"] is None):
                raise ValueError(f"{name}: the sandbox does not know the template {found[0]}")
        if "{{" in _TEMPLATE.sub("", text):
            raise ValueError(f"{name}: the sandbox does not know a template in {text!r}")


class SandboxPrometheus(LoopbackServer):
    """The Prometheus. With `by_itself` it samples and evaluates every `interval` while started; else each `tick()` does it once, for tests."""

    def __init__(
        self,
        *,
        clock: Clock,
        interval: timedelta = timedelta(seconds=1),
        lookback: timedelta = LOOKBACK,
        external_labels: Labels | None = None,
        external_url: str = "http://prometheus.example:9090",
        by_itself: bool = True,
        port: int = 0,
    ) -> None:
        super().__init__(port=port)
        self._clock = clock
        self._interval = interval
        self._lookback = lookback
        self._external_labels = dict(external_labels or {})
        self._external_url = external_url
        self._by_itself = by_itself
        self._ticking: Background | None = None
        self._registered: dict[str, _Registered] = {}
        self._rules: list[_RuleState] = []
        self._rule_series = {name: _Vector() for name in _SERIES_OF_RULES}
        self._targets: list[_Target] = []
        self._scraping = True
        self._nan: frozenset[str] | None = frozenset()
        self._last_tick: datetime | None = None

    # -- life

    async def start(self) -> str:
        """Listen, and with `by_itself` begin to sample."""
        url = await super().start()
        if self._by_itself:
            self._ticking = Background(self._tick_forever(), name="sandbox-prometheus")
        return url

    async def stop(self) -> None:
        """Stop sampling and listening."""
        ticking, self._ticking = self._ticking, None
        try:
            if ticking is not None:
                await ticking.stop()
        finally:
            await super().stop()

    async def _tick_forever(self) -> None:
        while True:
            self.tick()
            await self._clock.sleep(self._interval.total_seconds())

    # -- what it knows

    def register(self, expression: str, source: Source, *, recording: Recording = "scraped") -> None:
        """Answer this expression from now on by the source: (at) -> the samples then, as (labels, value).

        `scraped`: sampled at each tick and answered from what was sampled, so a past time gets what was so then. `asked`: computed when asked, for the time
        asked; for what Prometheus would compute over stored samples, such as an age. Registering again replaces the source and keeps the history.
        ValueError when the expression is not PromQL.
        """
        self._register(expression, source, recording, scalar=False)

    def register_scalar(self, expression: str, source: Callable[[datetime], float]) -> None:
        """Answer this expression with a scalar computed when asked, as for `time()` or `0/0`."""
        self._register(expression, lambda at: [({}, source(at))], "asked", scalar=True)

    def _register(self, expression: str, source: Source, recording: Recording, *, scalar: bool) -> None:
        key = canonical(expression)
        old = self._registered.get(key)
        self._registered[key] = _Registered(source=source, recording=recording, scalar=scalar, history=old.history if old else _Vector())

    def backfill(self, expression: str, since: datetime) -> None:
        """Sample a registered expression for every interval from `since` until now, so that it has a past. Only on a series that has none yet."""
        found = self._registered[canonical(expression)]
        at, now = since, self._clock.now()
        while at < now:
            found.history.record(_millis(at), list(found.source(at)))
            at += self._interval

    def age_of(self, expression: str) -> Source:
        """A source for `time() - timestamp(EXPRESSION)`: per series the seconds since its newest sample. Register it with `recording="asked"`."""
        key = canonical(expression)

        def ages(at: datetime) -> list[Sample]:
            moment = _millis(at)
            found = self._registered[key].history.at(moment, self._lookback_ms)
            return [({name: value for name, value in labels.items() if name != "__name__"}, (moment - then) / 1000) for labels, then, _ in found]

        return ages

    def add_rule(
        self,
        name: str,
        expr: str,
        op: Op,
        threshold: float,
        *,
        for_: timedelta = timedelta(0),
        keep_firing_for: timedelta = timedelta(0),
        labels: Labels | None = None,
        annotations: Labels | None = None,
        group: str = "sandbox",
    ) -> Rule:
        """Alert when a series of the registered expression compares so with the threshold for that long. KeyError when `expr` is not registered.

        Labels and annotations may use `{{ $labels.x }}`, `{{ $value }}` and `{{ $value | humanizePercentage }}`; other templates are a ValueError.
        """
        if canonical(expr) not in self._registered:
            raise KeyError(f"register the expression before the rule over it: {expr}")
        rule = Rule(
            name=name,
            expr=expr,
            op=op,
            threshold=threshold,
            for_=for_,
            keep_firing_for=keep_firing_for,
            labels=dict(labels or {}),
            annotations=dict(annotations or {}),
            group=group,
        )
        _refuse_unknown_templates({**rule.labels, **rule.annotations})
        self._rules.append(_RuleState(rule=rule))
        # The whole comparison may be asked for too; it filters as the rule does.
        self.register(rule.query, lambda at: self._over_threshold(rule, at), recording="asked")
        return rule

    def add_target(self, job: str, labels: Labels | None = None, *, health: Literal["up", "down", "unknown"] = "up", last_error: str = "") -> None:
        """Show a scrape target in `/api/v1/targets`; `labels` without job. It feeds no series."""
        self._targets.append(_Target(job=job, labels=dict(labels or {}), health=health, last_error=last_error))

    # -- faults

    def stop_scraping(self) -> None:
        """Fault: no new samples. What was sampled is answered until it is older than the lookback, then it vanishes. Rules go on over that."""
        self._scraping = False

    def resume_scraping(self) -> None:
        """End of `stop_scraping`."""
        self._scraping = True

    def answer_nan(self, *expressions: str) -> None:
        """Fault: the values of these expressions (none named: of all) are NaN from the next sample on, until `answer_numbers`."""
        self._nan = frozenset(map(canonical, expressions)) if expressions else None

    def answer_numbers(self) -> None:
        """End of `answer_nan`."""
        self._nan = frozenset()

    # -- evaluation

    @property
    def _lookback_ms(self) -> int:
        return round(self._lookback.total_seconds() * 1000)

    def tick(self) -> None:
        """Sample every source and evaluate every rule, once, at the clock's time."""
        now = self._clock.now()
        if self._scraping:
            self._last_tick = now
            for key, registered in self._registered.items():
                if registered.recording == "scraped":
                    try:
                        samples = self._sampled(key, registered, now)
                    except CannotEvaluate:
                        samples = []  # a failed scrape ends the series, as a staleness marker does
                    registered.history.record(_millis(now), samples)
        alerts: list[Sample] = []
        for_state: list[Sample] = []
        for state in self._rules:
            self._evaluate_rule(state, now)
            for alert in state.active.values():
                if alert.state != "inactive":
                    alerts.append(({"__name__": "ALERTS", "alertstate": alert.state, **alert.labels}, 1.0))
                    for_state.append(({"__name__": "ALERTS_FOR_STATE", **alert.labels}, float(int(alert.active_at.timestamp()))))
        self._rule_series["ALERTS"].record(_millis(now), alerts)
        self._rule_series["ALERTS_FOR_STATE"].record(_millis(now), for_state)

    def _sampled(self, key: str, registered: _Registered, at: datetime) -> list[Sample]:
        samples = list(registered.source(at))
        return [(labels, math.nan) for labels, _ in samples] if self._nan is None or key in self._nan else samples

    def _vector(self, key: str, at: datetime, lookback: timedelta | None = None) -> list[Sample]:
        """The value of a registered expression at a time; KeyError when it is not registered."""
        registered = self._registered[key]
        if registered.recording == "asked":
            return self._sampled(key, registered, at)
        lookback_ms = self._lookback_ms if lookback is None else round(lookback.total_seconds() * 1000)
        return [(labels, value) for labels, _, value in registered.history.at(_millis(at), lookback_ms)]

    def _over_threshold(self, rule: Rule, at: datetime) -> list[Sample]:
        return [(labels, value) for labels, value in self._vector(canonical(rule.expr), at) if _COMPARE[rule.op](value, rule.threshold)]

    def _evaluate_rule(self, state: _RuleState, now: datetime) -> None:
        """Prometheus's own steps: pending -> firing after `for`, held by `keep_firing_for`, resolved ones kept 15 minutes for re-sending."""
        rule, state.last_evaluation = state.rule, now
        try:
            results = self._over_threshold(rule, now)
        except CannotEvaluate as failure:
            state.health, state.last_error = "err", str(failure)
            return
        state.health, state.last_error = "ok", ""
        present = set()
        for found, value in results:
            own = {name: _filled(text, found, value) for name, text in rule.labels.items()}
            labels = {**{name: text for name, text in found.items() if name != "__name__"}, **own, "alertname": rule.name}
            annotations = {name: _filled(text, found, value) for name, text in rule.annotations.items()}
            key = tuple(sorted(labels.items()))
            present.add(key)
            known = state.active.get(key)
            if known is not None and known.state != "inactive":
                known.value, known.annotations = value, annotations
            else:
                state.active[key] = _Active(labels=dict(key), annotations=annotations, value=value, active_at=now)
        for key, alert in list(state.active.items()):
            if key not in present:
                self._went_away(state, key, alert, now)
            else:
                alert.keep_firing_since = None
            if alert.state == "pending" and key in present and now - alert.active_at >= rule.for_:
                alert.state, alert.fired_at = "firing", now

    def _went_away(self, state: _RuleState, key: tuple[tuple[str, str], ...], alert: _Active, now: datetime) -> None:
        if alert.state == "firing" and state.rule.keep_firing_for:
            alert.keep_firing_since = alert.keep_firing_since or now
            if now - alert.keep_firing_since < state.rule.keep_firing_for:
                return
        if alert.state == "pending" or (alert.resolved_at is not None and now - alert.resolved_at > RESOLVED_KEPT):
            del state.active[key]
        elif alert.state == "firing":
            alert.state, alert.resolved_at = "inactive", now

    def outgoing_alerts(self) -> Sequence[PostableAlert]:
        """What is to be posted to Alertmanager now, with the external labels: what fires, ending by itself after four periods, and what has resolved."""
        ends_later = 4 * max(self._interval, RESEND_DELAY)
        return tuple(
            PostableAlert(
                labels={**self._external_labels, **alert.labels},
                annotations=alert.annotations,
                starts_at=alert.fired_at,
                ends_at=alert.resolved_at or (state.last_evaluation or alert.fired_at) + ends_later,
                generator_url=f"{self._external_url}/graph?g0.expr={quote_plus(state.rule.query)}&g0.tab=1",
            )
            for state in self._rules
            for alert in state.active.values()
            if alert.fired_at is not None
        )

    # -- HTTP

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """The recorded part of the HTTP API."""
        return (
            web.get("/-/ready", self._ready),
            web.get("/-/healthy", self._healthy),
            web.get("/api/v1/query", self._query),
            web.post("/api/v1/query", self._query),
            web.get("/api/v1/query_range", self._query_range),
            web.post("/api/v1/query_range", self._query_range),
            web.get("/api/v1/rules", self._show_rules),
            web.get("/api/v1/alerts", self._show_alerts),
            web.get("/api/v1/targets", self._show_targets),
            web.get("/api/v1/status/buildinfo", self._buildinfo),
        )

    async def _ready(self, _request: web.Request) -> web.Response:
        return web.Response(text="Prometheus Server is Ready.\n")

    async def _healthy(self, _request: web.Request) -> web.Response:
        return web.Response(text="Prometheus Server is Healthy.\n")

    async def _buildinfo(self, _request: web.Request) -> web.Response:
        return _success({"version": VERSION, "revision": "sandbox", "branch": "", "buildUser": "", "buildDate": "", "goVersion": ""})

    async def _query(self, request: web.Request) -> web.Response:
        try:
            asked = await _parameters(request)
            if "timeout" in asked:
                _duration("timeout", asked["timeout"])
            at = _time("time", asked["time"]) if "time" in asked else self._clock.now()
            lookback = _duration("lookback_delta", asked["lookback_delta"]) if "lookback_delta" in asked else None
            limit = _limit(asked)
            answer, scalar = self._question(asked.get("query", ""))
            samples = answer(at, lookback)
        except _BadData as bad:
            return _error(400, "bad_data", str(bad))
        except CannotEvaluate as failure:
            return _error(422, "execution", str(failure))
        stamp = _stamp(_millis(at))
        if scalar:
            return _success({"resultType": "scalar", "result": [stamp, sample_value(samples[0][1])]})
        shown = [{"metric": _ordered(labels), "value": [stamp, sample_value(value)]} for labels, value in samples[: limit or None]]
        return _success({"resultType": "vector", "result": shown}, truncated=len(shown) < len(samples))

    async def _query_range(self, request: web.Request) -> web.Response:
        try:
            asked = await _parameters(request)
            start, end = _time("start", asked.get("start", "")), _time("end", asked.get("end", ""))
            if end < start:
                raise _BadData('invalid parameter "end": end timestamp must not be before start time')  # noqa: TRY301  one answer for all of them
            step = _duration("step", asked.get("step", ""))
            if step <= timedelta(0):
                raise _BadData('invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer')  # noqa: TRY301
            if (end - start) / step > MOST_POINTS:
                text = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"
                raise _BadData(text)  # noqa: TRY301
            limit = _limit(asked)
            series: dict[tuple[tuple[str, str], ...], list[list[int | float | str]]] = {}
            answer, _ = self._question(asked.get("query", ""))
            for moment in _steps(start, end, step):
                for labels, value in answer(moment, None):
                    series.setdefault(tuple(sorted(labels.items())), []).append([_stamp(_millis(moment)), sample_value(value)])
        except _BadData as bad:
            return _error(400, "bad_data", str(bad))
        except CannotEvaluate as failure:
            return _error(422, "execution", str(failure))
        shown = [{"metric": dict(key), "values": series[key]} for key in sorted(series)]
        return _success({"resultType": "matrix", "result": shown[: limit or None]}, truncated=bool(limit) and limit < len(shown))

    def _question(self, query: str) -> tuple[Callable[[datetime, timedelta | None], list[Sample]], bool]:
        """(how to answer it at a time with a lookback, whether it is a scalar). What nobody registered is an error: nothing would mean "there is none"."""
        try:
            parsed, key = promql_parser.parse(query), canonical(query)
        except ValueError as bad:
            raise _BadData(f'invalid parameter "query": parse error: {bad}') from bad
        if key in self._registered:
            return (lambda at, lookback: self._vector(key, at, lookback)), self._registered[key].scalar
        if isinstance(parsed, promql_parser.VectorSelector) and parsed.name in self._rule_series and _plain(parsed):
            series = self._rule_series[parsed.name]
            matchers = [Matcher(name=matcher.name, op=_OPERATORS[str(matcher.op)], value=matcher.value) for matcher in parsed.matchers.matchers]

            def select(at: datetime, lookback: timedelta | None) -> list[Sample]:
                found = series.at(_millis(at), self._lookback_ms if lookback is None else round(lookback.total_seconds() * 1000))
                return [(labels, value) for labels, _, value in found if all(matcher.matches(labels) for matcher in matchers)]

            return select, False
        known = ", ".join(sorted(self._registered)) or "none"
        raise _BadData(
            f'invalid parameter "query": the sandbox answers only expressions registered with it, and this is none of them: {key} (registered: {known})'
        )

    async def _show_rules(self, request: web.Request) -> web.Response:
        kind = request.query.get("type", "")
        if kind not in {"", "alert", "record"}:
            return _error(400, "bad_data", f'invalid parameter "type": not supported value "{kind}"')
        names, groups = request.query.getall("rule_name[]", []), request.query.getall("rule_group[]", [])
        shown: dict[str, list[_RuleState]] = {}
        for state in self._rules:
            if kind != "record" and (not names or state.rule.name in names) and (not groups or state.rule.group in groups):
                shown.setdefault(state.rule.group, []).append(state)
        return _success(
            {
                "groups": [
                    {
                        "name": group,
                        "file": "sandbox/rules.yml",
                        "rules": [_rule_json(state) for state in states],
                        "interval": _seconds(self._interval),
                        "limit": 0,
                        "evaluationTime": 0.0001,
                        "lastEvaluation": _last(state.last_evaluation for state in states),
                    }
                    for group, states in shown.items()
                ]
            }
        )

    async def _show_alerts(self, _request: web.Request) -> web.Response:
        return _success({"alerts": [alert for state in self._rules for alert in _alerts_json(state)]})

    async def _show_targets(self, request: web.Request) -> web.Response:
        wanted = request.query.get("state", "any")
        active = [
            {
                "discoveredLabels": {
                    "__address__": "127.0.0.1:9100",
                    "__metrics_path__": "/metrics",
                    "__scheme__": "http",
                    "__scrape_interval__": f"{_seconds(self._interval)}s",
                    "__scrape_timeout__": f"{_seconds(self._interval)}s",
                    "job": target.job,
                },
                "labels": _ordered({"instance": "127.0.0.1:9100", **target.labels, "job": target.job}),
                "scrapePool": target.job,
                "scrapeUrl": "http://127.0.0.1:9100/metrics",
                "globalUrl": "http://127.0.0.1:9100/metrics",
                "lastError": target.last_error,
                "lastScrape": _last([self._last_tick]),
                "lastScrapeDuration": 0.001,
                "health": target.health,
                "scrapeInterval": f"{_seconds(self._interval)}s",
                "scrapeTimeout": f"{_seconds(self._interval)}s",
            }
            for target in self._targets
        ]
        return _success({"activeTargets": active if wanted in {"any", "active"} else [], "droppedTargets": []})


def _plain(selector: promql_parser.VectorSelector) -> bool:
    """Whether the selector is only a name and matchers that all must hold."""
    return selector.offset is None and selector.at is None and not selector.matchers.or_matchers


_OPERATORS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}


def _steps(start: datetime, end: datetime, step: timedelta) -> Iterator[datetime]:
    count = 0
    while (moment := start + count * step) <= end:
        yield moment
        count += 1


async def _parameters(request: web.Request) -> Mapping[str, str]:
    """The parameters of the query string and, for a POST, of the form, whose values win."""
    form = await request.post() if request.method == "POST" else {}
    return {**request.query, **{name: value for name, value in form.items() if isinstance(value, str)}}


def _limit(asked: Mapping[str, str]) -> int:
    text = asked.get("limit", "0")
    if not text.isascii() or not text.isdigit():
        raise _BadData(f'invalid parameter "limit": cannot parse "{text}" to a valid limit')
    return int(text)


def _success(data: Mapping[str, object], *, truncated: bool = False) -> web.Response:
    warnings = {"warnings": ["results truncated due to limit"]} if truncated else {}
    return web.json_response({"status": "success", "data": data, **warnings})


def _error(status: int, kind: str, text: str) -> web.Response:
    return web.json_response({"status": "error", "errorType": kind, "error": text}, status=status)


def _ordered(labels: Labels) -> dict[str, str]:
    return {name: labels[name] for name in sorted(labels)}


def _last(moments: Iterator[datetime | None] | Sequence[datetime | None]) -> str:
    known = [moment for moment in moments if moment is not None]
    return rfc3339(max(known)) if known else "0001-01-01T00:00:00Z"


def _rule_json(state: _RuleState) -> dict[str, object]:
    states = {alert.state for alert in state.active.values()}
    rule = state.rule
    return {
        "state": "firing" if "firing" in states else "pending" if "pending" in states else "inactive",
        "name": rule.name,
        "query": rule.query,
        "duration": _seconds(rule.for_),
        "keepFiringFor": _seconds(rule.keep_firing_for),
        "labels": _ordered(rule.labels),
        "annotations": _ordered(rule.annotations),
        "alerts": _alerts_json(state),
        "health": state.health,
        **({"lastError": state.last_error} if state.last_error else {}),
        "evaluationTime": 0.0001,
        "lastEvaluation": _last([state.last_evaluation]),
        "type": "alerting",
    }


def _alerts_json(state: _RuleState) -> list[dict[str, object]]:
    return [
        {
            "labels": _ordered(alert.labels),
            "annotations": _ordered(alert.annotations),
            "state": alert.state,
            "activeAt": rfc3339(alert.active_at),
            **({"keepFiringSince": rfc3339(alert.keep_firing_since)} if alert.keep_firing_since is not None else {}),
            "value": alert_value(alert.value),
        }
        for alert in state.active.values()
        if alert.state != "inactive"
    ]
