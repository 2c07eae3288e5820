"""Reads alerting rules, alerts and series from Prometheus, or from what speaks its HTTP API under a prefix (Thanos, Mimir).

It says what is so, and how fresh; whether that is well is decided in the domain. An empty answer is a value only where it is proven to be one: the rule
exists and was evaluated just now, or the samples behind an expression are young. https://prometheus.io/docs/prometheus/latest/querying/api/
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlsplit

import promql_parser
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from integrations.http import Address, Http
from service.domain.correlation import LABELS_THAT_LEAD
from service.domain.errors import BackoutError
from service.domain.facts import Absent, Evidence, Fact, Key, Known
from service.domain.keys import AlertNow, AlertRule, Series
from service.domain.ports import Checked, Clock

COMPARISONS = frozenset({">", ">=", "<", "<=", "==", "!="})
GROUPS_PER_PAGE = 500
MOST_PAGES = 100
MOST_SELECTORS = 16
Labels = Mapping[str, str]
LabelSet = tuple[tuple[str, str], ...]
T = TypeVar("T")


class Settings(BaseModel):
    """One Prometheus."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    url: Address = Field(description="Address without /api/v1, e.g. http://prometheus:9090; a path prefix is kept. No default.")
    token_file: Path | None = Field(default=None, description="File with a bearer token, read again for each request. Default: none.")
    ca_file: Path | None = Field(default=None, description="PEM file of the authority that signed the server's certificate. Default: the system's.")
    tenant: str = Field(default="", description="Value of X-Scope-OrgID for servers with tenants (Mimir). Default: the header is not sent.")
    timeout_s: float = Field(default=10.0, gt=0, le=120, description="Seconds until one request counts as not answered. Default: 10.")
    fresh_s: float = Field(
        default=60.0, gt=0, description="Seconds: the newest sample behind a series may be this old; at least two scrape intervals. Default: 60."
    )
    evaluated_s: float = Field(
        default=60.0, gt=0, description="Seconds: a rule without alerts counts as inactive if it was evaluated this lately, or within three of its intervals."
    )
    most_series: int = Field(default=1000, gt=0, description="Series: a query that answers more is refused as too broad. Default: 1000.")
    good_for_s: float = Field(default=30.0, gt=0, description="Seconds for which an alert's state or a series may be believed. Default: 30.")
    rule_good_for_s: float = Field(default=300.0, gt=0, description="Seconds for which a rule's definition may be believed. Default: 300.")


# --- what Prometheus answers --------------------------------------------------------------------------------------------------


def _go_time(value: Any) -> Any:
    """Go writes nanoseconds, which Python's reader cuts to microseconds but pydantic's refuses."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


_Time = Annotated[AwareDatetime, BeforeValidator(_go_time)]


class _Answered(BaseModel, Generic[T]):
    status: str
    data: T
    warnings: list[str] | None = None


class _Failed(BaseModel):
    error: str = ""


class _Alert(BaseModel):
    labels: dict[str, str]
    state: str
    active_at: _Time | None = Field(default=None, alias="activeAt")


class _Alerts(BaseModel):
    alerts: list[_Alert]


class _Rule(BaseModel):
    type: str
    name: str
    query: str
    duration: float = 0
    keep_firing_for: float = Field(default=0, alias="keepFiringFor")
    labels: dict[str, str] | None = None
    alerts: list[_Alert] | None = None
    health: str
    last_error: str = Field(default="", alias="lastError")
    last_evaluation: _Time | None = Field(default=None, alias="lastEvaluation")
    interval: float = 0  # of its group, filled in after reading

    @property
    def definition(self) -> tuple[object, ...]:
        return self.query, self.duration, self.keep_firing_for, tuple(sorted((self.labels or {}).items()))


class _Group(BaseModel):
    rules: list[_Rule]
    interval: float = 0


class _Groups(BaseModel):
    groups: list[_Group]
    next_token: str = Field(default="", alias="groupNextToken")


class _Sample(BaseModel):
    metric: dict[str, str]
    value: tuple[float, str] | None = None  # None: a native histogram


class _Result(BaseModel):
    kind: str = Field(alias="resultType")
    result: list[Any]


class _Build(BaseModel):
    version: str


class _Samples(BaseModel):
    samples: list[_Sample]


_ALERTS, _GROUPS, _RESULT, _BUILD = _Answered[_Alerts], _Answered[_Groups], _Answered[_Result], _Answered[_Build]
"""Made once: Pydantic forgets a shape that nobody keeps, and makes a class anew for each answer then."""


class _UnknownError(Exception):
    """Nobody could find out; carries the two texts of an Absent."""

    def __init__(self, why: str, clears: str = "") -> None:
        super().__init__(why)
        self.why, self.clears = why, clears


class Prometheus:
    """A `FactSource` for alert rules, alert states and series."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        headers = {"X-Scope-OrgID": settings.tenant} if settings.tenant else {}
        self._http = Http(base_url=settings.url, token_file=settings.token_file, ca_file=settings.ca_file, timeout=settings.timeout_s, headers=headers)
        self._name = f"prometheus {urlsplit(settings.url).netloc}"

    @property
    def kinds(self) -> frozenset[str]:
        """Alert rules, alert states, series."""
        return frozenset({"alert rule", "alert state", "series"})

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """The fact; Absent for whatever went wrong outside."""
        try:
            match key:
                case Key(kind="alert rule", subject=(str(name), tuple(labels))):
                    return await self._read_rule(name, dict(labels))
                case Key(kind="alert state", subject=(str(name), tuple(labels))):
                    return await self._read_state(name, dict(labels))
                case Key(kind="series", subject=(str(expression), tuple(labels))):
                    return await self._read_series(expression, dict(labels))
                case _:
                    return Absent(f"Prometheus cannot answer the {key.kind}")
        except _UnknownError as unknown:
            return Absent(unknown.why, unknown.clears)
        except BackoutError as error:
            return Absent(str(error), "Prometheus answering at the `url` of its settings")

    async def check(self) -> Sequence[Checked]:
        """Two lines: whether it answers and as which version; how old the newest sample of its scrapes is. The second may be refused, which is a warning."""
        try:
            version = (await self._ask("GET", "/api/v1/status/buildinfo", _BUILD)).version
        except (_UnknownError, BackoutError) as error:
            return (Checked(what=self._name, well="no", says=str(error), fix="set `url`, `token_file` and `ca_file` so that /api/v1 can be read"),)
        answers = Checked(what=self._name, well="ok", says=f"Prometheus {version} answers")
        samples = f"{self._name}, samples"
        try:
            age = await self._newest_age("up", {})
        except (_UnknownError, BackoutError) as error:
            return answers, Checked(what=samples, well="warn", says=f"their age is not known: {error}", fix="the right to query `time() - timestamp(up)`")
        if age is None or age > self._settings.fresh_s:
            says = "there is no sample of `up`" if age is None else f"the newest sample of `up` is {age:.0f} s old"
            return answers, Checked(what=samples, well="warn", says=says, fix="look at /targets: is anything scraped? else raise `fresh_s`")
        return answers, Checked(what=samples, well="ok", says=f"the newest sample of `up` is {age:.0f} s old")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    # -- rules and alerts

    async def _read_rule(self, name: str, labels: Labels) -> Known[AlertRule]:
        at = self._clock.now()
        fitting = _fitting(await self._rules(name), labels)
        if not fitting:
            raise _UnknownError(f"Prometheus has no alerting rule {name} with the alert's labels", "the Prometheus that evaluates this rule, in `url`")
        if len({rule.definition for rule in fitting}) > 1:
            raise _UnknownError(f"Prometheus has {len(fitting)} different rules {name} that fit the alert", "a label that tells the rules apart")
        for rule in fitting:
            if rule.health == "err":
                raise _UnknownError(f"the rule {name} fails to evaluate: {_line(rule.last_error)}", "a rule that evaluates")
        rule = fitting[0]
        expression, comparison, threshold = plain(rule.query)
        value = AlertRule(
            name=name,
            query=rule.query,
            hold=timedelta(seconds=rule.duration),
            keep_firing=timedelta(seconds=rule.keep_firing_for),
            expression=expression,
            comparison=comparison,
            threshold=threshold,
        )
        return self._known(value, f"the rule {name} in /api/v1/rules", at, self._settings.rule_good_for_s)

    async def _read_state(self, name: str, labels: Labels) -> Known[AlertNow]:
        at = self._clock.now()
        what = f"the alert {name} in /api/v1/alerts and its rule in /api/v1/rules"
        alerts = (await self._ask("GET", "/api/v1/alerts", _ALERTS)).alerts
        now = _state(name, labels, alerts)
        if now is None:
            fitting = _fitting(await self._rules(name), labels)
            self._prove_evaluated(name, fitting, at)
            # The rule's own list is younger than the first answer: an alert that began in between is seen here.
            now = _state(name, labels, [alert for rule in fitting for alert in rule.alerts or ()]) or AlertNow(state="inactive")
        return self._known(now, what, at, self._settings.good_for_s)

    def _prove_evaluated(self, name: str, fitting: Sequence[_Rule], at: datetime) -> None:
        """An alert that is not there is inactive only if its rule exists, works and ran just now."""
        if not fitting:
            why = f"no alert {name} is active, and no rule of that name fits the alert, so its absence proves nothing"
            raise _UnknownError(why, "the Prometheus that evaluates this rule, in `url`")
        for rule in fitting:
            if rule.health != "ok":
                why = f"no alert {name} is active, but the health of its rule is {rule.health}: {_line(rule.last_error) or 'no error given'}"
                raise _UnknownError(why, "a rule that evaluates")
            age = math.inf if rule.last_evaluation is None else (at - rule.last_evaluation).total_seconds()
            allowed = max(self._settings.evaluated_s, 3 * rule.interval)
            if age > allowed:
                said = f"{age:.0f} s ago" if age < timedelta(days=365).total_seconds() else "never"
                raise _UnknownError(f"no alert {name} is active, but its rule was last evaluated {said}", "rule evaluation that keeps up")
            if age < -allowed:
                raise _UnknownError(f"the rule {name} was evaluated {-age:.0f} s in the future: the clocks differ", "clocks that agree")

    async def _rules(self, name: str) -> list[_Rule]:
        """All alerting rules of that name, with their group's interval, from as many pages as there are."""
        found: list[_Rule] = []
        token, seen = "", set[str]()
        for _ in range(MOST_PAGES):
            params = {"type": "alert", "rule_name[]": name, "group_limit": str(GROUPS_PER_PAGE), **({"group_next_token": token} if token else {})}
            page = await self._ask("GET", "/api/v1/rules", _GROUPS, params=params)
            for group in page.groups:
                # Servers before 2.45 ignore the name and answer every rule.
                found += [rule.model_copy(update={"interval": group.interval}) for rule in group.rules if rule.name == name and rule.type == "alerting"]
            if not page.next_token:
                return found
            if page.next_token in seen:
                break
            seen.add(token := page.next_token)
        raise _UnknownError("/api/v1/rules does not come to an end", "a Prometheus with fewer rule groups, or one that answers them in one page")

    # -- series

    async def _read_series(self, expression: str, labels: Labels) -> Known[Series]:
        at = self._clock.now()
        selectors = _selectors(expression)
        evaluated, samples = await self._query(expression)
        ages = [await self._newest_age(selector, labels, matters=True) for selector in selectors]
        if len(samples) > self._settings.most_series:
            raise _UnknownError(f"the expression answers {len(samples)} series, more than {self._settings.most_series}", "an expression that aggregates")
        values = {tuple(sorted(sample.metric.items())): _number(sample) for sample in samples if _agree(sample.metric, labels)}
        known = [age for age in ages if age is not None]
        if abs((at - evaluated).total_seconds()) > self._settings.fresh_s:
            raise _UnknownError(f"the expression was evaluated for {evaluated.isoformat()}, not for now: the clocks differ", "clocks that agree")
        if known and max(known) > self._settings.fresh_s:
            raise _UnknownError(f"the newest sample behind the expression is {max(known):.0f} s old", "fresh samples: is the target scraped?")
        if values and selectors and not known:
            raise _UnknownError("the expression has a value, but no sample behind it is recent", "fresh samples: is the target scraped?")
        value = Series(values=values, at=evaluated - timedelta(seconds=max(known, default=0)))
        return self._known(value, f"instant query: {expression}", at, self._settings.good_for_s)

    async def _newest_age(self, selector: str, labels: Labels, *, matters: bool = False) -> float | None:
        """Seconds since the newest sample of the series that the selector and the labels pick; None when there is no such series."""
        question = f"time() - timestamp({selector})"
        try:
            _, samples = await self._query(question)
        except _UnknownError as unknown:
            if not matters:
                raise
            raise _UnknownError(f"the age of the samples cannot be told ({question}): {unknown.why}", unknown.clears) from unknown
        return min((_number(sample) for sample in samples if _agree(sample.metric, labels)), default=None)

    async def _query(self, expression: str) -> tuple[datetime, list[_Sample]]:
        """An instant query: (time of evaluation, samples); a scalar is one sample without labels."""
        asked = self._clock.now()
        result = await self._ask("POST", "/api/v1/query", _RESULT, data={"query": expression, "timeout": f"{self._settings.timeout_s:g}s"})
        match result.kind:
            case "vector":
                samples = _shaped(_Samples, {"samples": result.result}).samples
            case "scalar":
                samples = _shaped(_Samples, {"samples": [{"metric": {}, "value": result.result}]}).samples
            case other:
                raise _UnknownError(f"the expression answers a {other}, not numbers", "an expression that gives an instant vector")
        if any(sample.value is None for sample in samples):
            raise _UnknownError("the expression answers native histograms, not numbers", "an expression that gives numbers")
        times = [datetime.fromtimestamp(sample.value[0], tz=UTC) for sample in samples if sample.value is not None]
        return min(times, default=asked), samples

    # -- one exchange

    async def _ask(self, method: str, path: str, shape: type[_Answered[T]], **sent: Any) -> T:
        answer = await self._http.request(method, path, **sent)
        if answer.status in {401, 403}:
            raise _UnknownError(f"Prometheus refuses our credential at {path} ({answer.status})", "a `token_file` that may read /api/v1")
        if answer.status != 200:  # noqa: PLR2004  the one status that carries data
            says = _error_text(answer.body) or answer.first_line() or "no reason given"
            raise _UnknownError(f"Prometheus answered {answer.status} at {path}: {says}", "a Prometheus that can answer this at the `url` of its settings")
        read = _shaped(shape, answer.json())
        if read.status != "success":
            raise _UnknownError(f"Prometheus answered {read.status} at {path}")
        if read.warnings:
            raise _UnknownError(f"Prometheus answered {path} only in part: {_line(read.warnings[0])}", "all its stores and ingesters answering")
        return read.data

    def _known(self, value: T, what: str, at: datetime, good_for: float) -> Known[T]:
        digest = hashlib.sha256(repr(value).encode()).hexdigest()
        return Known(value=value, evidence=Evidence(source=self._name, what=what, read_at=at, digest=digest), good_for=timedelta(seconds=good_for))


_Shape = TypeVar("_Shape", bound=BaseModel)


def _shaped(shape: type[_Shape], document: Any) -> _Shape:
    try:
        return shape.model_validate(document)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise _UnknownError(f"Prometheus answered in an unknown shape (at {where or 'the top'})", "a server that speaks Prometheus's HTTP API") from error


def _error_text(body: bytes) -> str:
    try:
        return _line(_Failed.model_validate_json(body).error)
    except ValidationError:
        return ""


def _line(text: str) -> str:
    """The first line, short enough for a sentence."""
    return text.strip().splitlines()[0][:200] if text.strip() else ""


def _number(sample: _Sample) -> float:
    text = sample.value[1] if sample.value is not None else ""
    try:
        return float(text)
    except ValueError as error:
        raise _UnknownError(f"Prometheus answered the value {text[:20]!r}, which is no number") from error


def _agree(one: Labels, other: Labels) -> bool:
    """Whether every label that both have is equal."""
    return all(other.get(name, value) == value for name, value in one.items())


def _fitting(rules: Iterable[_Rule], labels: Labels) -> list[_Rule]:
    """The rules whose static labels agree with the alert's; a templated label says nothing before it is filled in."""
    return [rule for rule in rules if _agree({name: text for name, text in (rule.labels or {}).items() if "{{" not in text}, labels)]


def _state(name: str, labels: Labels, alerts: Iterable[_Alert]) -> AlertNow | None:
    """The one alert that is the episode's; None when there is none. The episode has more labels (external ones), never fewer.

    Labels that say what the alert is about are no external ones: an alert without them proves nothing about the place that the episode claims (promise 11).
    """
    episode = {**labels, "alertname": name}
    agreeing = [alert for alert in alerts if alert.labels.get("alertname") == name and _agree(alert.labels, episode)]
    exact = [alert for alert in agreeing if alert.labels.keys() <= episode.keys()]
    if not exact:
        if agreeing:
            more = ", ".join(sorted(agreeing[0].labels.keys() - episode.keys()))
            raise _UnknownError(
                f"an alert {name} is {agreeing[0].state} that also has the label {more}: is it the same?", "alerts whose labels reach Alertmanager"
            )
        return None
    if len({tuple(sorted(alert.labels.items())) for alert in exact}) > 1:
        raise _UnknownError(f"{len(exact)} active alerts {name} fit the episode's labels", "labels that tell the alerts apart")
    unproven = [place for place in LABELS_THAT_LEAD if episode.get(place) and place not in exact[0].labels]
    if unproven:
        claims = ", ".join(f"{place}={_line(episode[place])}" for place in unproven)
        raise _UnknownError(
            f"the alert {name} is {exact[0].state}, but Prometheus does not say of it {claims}, as the notification does",
            f"a rule whose alerts carry the label {', '.join(unproven)} in Prometheus itself",
        )
    for state in ("firing", "pending"):
        for alert in exact:
            if alert.state == state:
                return AlertNow(state=state, active_at=alert.active_at)
    raise _UnknownError(f"the alert {name} is in a state that is not known: {exact[0].state[:20]}")


# --- PromQL -----------------------------------------------------------------------------------------------------------------


def plain(query: str) -> tuple[str, str, float]:
    """(expression, comparison, threshold) of a top-level `expression comparison number`; ("", "", 0.0) for any other rule, which is no SLI.

    The expression keeps the rule's own spelling where that can be shown to mean the same.
    """
    nothing = "", "", 0.0
    try:
        parsed = _bare(promql_parser.parse(query))
    except ValueError:
        return nothing
    if not isinstance(parsed, promql_parser.BinaryExpr) or str(parsed.op) not in COMPARISONS or parsed.modifier is not None:
        return nothing
    bound = _bare(parsed.rhs)
    if not isinstance(bound, promql_parser.NumberLiteral) or not math.isfinite(bound.val) or isinstance(_bare(parsed.lhs), promql_parser.NumberLiteral):
        return nothing
    expression = _spelled(query, str(parsed.op), parsed.lhs)
    return (expression, str(parsed.op), float(bound.val)) if expression else nothing


def _bare(expression: Any) -> Any:
    """Without the brackets around all of it."""
    while isinstance(expression, promql_parser.ParenExpr):
        expression = expression.expr
    return expression


def _spelled(query: str, comparison: str, side: Any) -> str:
    """The text of a parsed side: a piece of the query, else printed anew; either only if it parses to the same."""
    cut = query.rfind(comparison)
    for text in ([query[:cut].strip()] if cut > 0 else []) + [side.prettify()]:
        try:
            if repr(promql_parser.parse(text)) == repr(side):
                return str(text)
        except ValueError:
            continue
    return ""


def _selectors(expression: str) -> list[str]:
    """Each selector that the expression reads now, once, in order; one that looks back on purpose (offset, @) needs no fresh samples."""
    try:
        waiting, found = [promql_parser.parse(expression)], dict[str, None]()
    except ValueError as error:
        raise _UnknownError(f"the expression is not understood: {_line(str(error))}", "an expression in PromQL") from error
    while waiting:
        match waiting.pop(0):
            case promql_parser.VectorSelector() as selector:
                if selector.offset is None and selector.at is None:
                    found[selector.prettify()] = None
            case promql_parser.MatrixSelector() as matrix:
                waiting.append(matrix.vector_selector)
            case promql_parser.SubqueryExpr() as subquery:
                waiting += [subquery.expr] if subquery.offset is None and subquery.at is None else []
            case promql_parser.BinaryExpr() as binary:
                waiting += [binary.lhs, binary.rhs]
            case promql_parser.AggregateExpr() as aggregate:
                waiting += [aggregate.expr, *([aggregate.param] if aggregate.param is not None else [])]
            case promql_parser.Call() as call:
                waiting += call.args
            case promql_parser.ParenExpr() | promql_parser.UnaryExpr() as wrapped:
                waiting.append(wrapped.expr)
            case _:  # numbers and texts read nothing
                continue
    if len(found) > MOST_SELECTORS:
        raise _UnknownError(f"the expression reads {len(found)} selectors, more than {MOST_SELECTORS}", "a recording rule for the expression")
    return list(found)


def build(settings: Settings, clock: Clock) -> Prometheus:
    """The fact source."""
    return Prometheus(settings, clock)
