"""Plays Alertmanager: takes alerts, groups them, and posts webhook v4 bodies byte for byte as Alertmanager 0.25 was recorded to do.

It has one route and one webhook receiver. Inhibition, clustering and the user interface are left out; when an alert fires is left to
`integrations/sandbox/prometheus.py`, whose rules it can follow.
"""

import asyncio
import enum
import functools
import io
import json
import random
import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid4

import aiohttp
from aiohttp import web

from integrations.sandbox.http import Background, LoopbackServer, rfc3339
from service.domain.ports import Clock

STILL_FIRING = "0001-01-01T00:00:00Z"
RESOLVE_TIMEOUT = timedelta(minutes=5)
FIRST_RETRY_S, RETRY_GROWTH, RETRY_SPREAD, LONGEST_RETRY_S = 0.5, 1.5, 0.5, 60.0
SHORTEST_DEADLINE = timedelta(seconds=10)
DELIVERIES_KEPT = 4096
ANSWER_KEPT_BYTES = 4096
LARGE_BODY_BYTES = 1024 * 1024

_FNV_OFFSET, _FNV_PRIME, _64_BITS = 0xCBF29CE484222325, 0x100000001B3, 0xFFFFFFFFFFFFFFFF
_MATCHER = re.compile(r'\s*(?P<name>[a-zA-Z_][a-zA-Z0-9_:]*)\s*(?P<op>=~|!~|!=|=)\s*(?P<value>"(?:[^"\\]|\\.)*"|[^"{}]*?)\s*', re.DOTALL)
_GO_SHORT = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"'}

Labels = Mapping[str, str]
_Json = None | bool | int | str | list["_Json"] | dict[str, "_Json"]


class Wire(enum.Enum):
    """Whose webhook bodies: as recorded, or with the fields that newer versions add (built from source, not recorded)."""

    V0_25 = "0.25.0"
    V0_34 = "0.34.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """`name op value` with op one of =, !=, =~, !~; regular expressions are anchored; a missing label counts as empty."""

    name: str
    op: str
    value: str

    def matches(self, labels: Labels) -> bool:
        """Whether the labels satisfy it."""
        found = labels.get(self.name, "")
        hit = found == self.value if self.op in {"=", "!="} else re.fullmatch(self.value, found) is not None
        return hit is not self.op.startswith("!")

    @classmethod
    def parse(cls, text: str) -> "Matcher":
        """Read `name="value"`; ValueError in Alertmanager's words when it is none."""
        found = _MATCHER.fullmatch(text)
        if found is None:
            raise ValueError(f"bad matcher format: {text}")
        value = found["value"]
        if value.startswith('"'):
            value = re.sub(r"\\(.)", lambda escape: {"n": "\n", "t": "\t"}.get(escape[1], escape[1]), value[1:-1])
        return cls(name=found["name"], op=found["op"], value=value)

    def __str__(self) -> str:
        return f"{self.name}{self.op}{go_quote(self.value)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostableAlert:
    """An alert as it is handed to Alertmanager. `ends_at` in the future or None: firing (None: until told otherwise); in the past: resolved."""

    labels: Labels
    annotations: Labels = field(default_factory=dict)
    starts_at: datetime
    ends_at: datetime | None = None
    generator_url: str = ""

    def resolved(self, at: datetime) -> bool:
        """Whether it has ended by then."""
        return self.ends_at is not None and self.ends_at <= at


class AlertSource(Protocol):
    """What a Prometheus would post to its Alertmanager now: everything firing, and for a while what has resolved."""

    def outgoing_alerts(self) -> Sequence[PostableAlert]:
        """The alerts to post now; an empty answer resolves nothing by itself."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How alerts are grouped and when a group is sent. `group_by` None groups by all labels; `matchers` only show in the groupKey, nothing is filtered."""

    receiver: str = "backout"
    matchers: tuple[str, ...] = ()
    group_by: tuple[str, ...] | None = ("alertname", "namespace")
    group_wait: timedelta = timedelta(seconds=30)
    group_interval: timedelta = timedelta(minutes=5)
    repeat_interval: timedelta = timedelta(hours=4)
    send_resolved: bool = True
    max_alerts: int = 0
    follow_redirects: bool = True
    external_url: str = "http://alertmanager.example:9093"
    wire: Wire = Wire.V0_25

    @property
    def key(self) -> str:
        """The route's part of the groupKey, e.g. `{}/{scenario="grouped"}`; `{}` for the root route."""
        return "{}/{" + ",".join(self.matchers) + "}" if self.matchers else "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of one notification: `status` of the last answer (None: no answer came), its text shortened, how many times it was posted."""

    group_key: str
    body: bytes
    delivered: bool
    status: int | None
    answer: str
    attempts: int
    at: datetime


# --- the bytes ---------------------------------------------------------------------------------------------------------------


def fingerprint(labels: Labels) -> str:
    """FNV-1a-64 over the sorted labels, each name and value followed by 0xff, as 16 hex digits."""
    state = _FNV_OFFSET
    for name in sorted(labels):
        for part in (name, labels[name]):
            for byte in (*part.encode(), 0xFF):
                state = ((state ^ byte) * _FNV_PRIME) & _64_BITS
    return f"{state:016x}"


def go_quote(text: str) -> str:
    """The text as Go's %q prints it."""

    def one(character: str) -> str:
        if (short := _GO_SHORT.get(character)) is not None:
            return short
        if character.isprintable():
            return character
        code = ord(character)
        return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

    return '"' + "".join(map(one, text)) + '"'


def go_json(document: object) -> bytes:
    """The document as Go's encoder writes it: no spaces, letters as they are, `<`, `>`, `&` and the two line separators escaped, a newline at the end."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode() + b"\n"


def group_key(route: Route, group_labels: Labels) -> str:
    """`<route>:{a="x", b="y"}` with the group labels sorted and quoted as Go does."""
    return route.key + ":{" + ", ".join(f"{name}={go_quote(group_labels[name])}" for name in sorted(group_labels)) + "}"


def in_order(alerts: Iterable[PostableAlert]) -> list[PostableAlert]:
    """As Alertmanager lists a group: by job, then instance (those without come last), then by the label set. Severity plays no part."""

    def compare(one: PostableAlert, other: PostableAlert) -> int:
        for name in ("job", "instance"):
            mine, theirs = one.labels.get(name), other.labels.get(name)
            if mine == theirs:
                continue
            if mine is None or theirs is None:
                return 1 if mine is None else -1
            return -1 if mine < theirs else 1
        if len(one.labels) != len(other.labels):
            return -1 if len(one.labels) < len(other.labels) else 1
        for name in sorted({*one.labels, *other.labels}):
            mine, theirs = one.labels.get(name), other.labels.get(name)
            if mine is None or theirs is None:
                return -1 if mine is None else 1
            if mine != theirs:
                return -1 if mine < theirs else 1
        return 0

    return sorted(alerts, key=functools.cmp_to_key(compare))


def webhook_body(route: Route, group_labels: Labels, alerts: Sequence[PostableAlert], at: datetime, *, reason: str = "unknown") -> bytes:
    """The webhook v4 body for the alerts of one group at a moment. `reason` only shows on the newer wire."""
    shown = in_order(alerts)
    truncated = max(0, len(shown) - route.max_alerts) if route.max_alerts else 0
    shown = shown[: len(shown) - truncated]
    firing = any(not alert.resolved(at) for alert in shown)  # over what is listed: a truncated group can say "resolved" while a hidden alert fires
    listed: list[_Json] = []
    for alert in shown:
        ended = alert.resolved(at) and alert.ends_at is not None
        listed.append(
            {
                "status": "resolved" if ended else "firing",
                "labels": _sorted(alert.labels),
                "annotations": _sorted(alert.annotations),
                "startsAt": rfc3339(alert.starts_at),
                "endsAt": rfc3339(alert.ends_at) if ended and alert.ends_at is not None else STILL_FIRING,
                "generatorURL": alert.generator_url,
                "fingerprint": fingerprint(alert.labels),
            }
        )
    newer = route.wire is Wire.V0_34
    document: dict[str, _Json] = {"receiver": route.receiver, "status": "firing" if firing else "resolved", "alerts": listed}
    if newer:
        document["notification_reason"] = reason
    document["groupLabels"] = _sorted(group_labels)
    document["commonLabels"] = _sorted(_common([alert.labels for alert in shown]))
    document["commonAnnotations"] = _sorted(_common([alert.annotations for alert in shown]))
    if newer:
        document["routeLabels"] = {}
    document["externalURL"] = route.external_url
    document["version"] = "4"
    document["groupKey"] = group_key(route, group_labels)
    document["truncatedAlerts"] = truncated
    return go_json(document)


def _sorted(labels: Labels) -> dict[str, _Json]:
    return {name: labels[name] for name in sorted(labels)}


def _common(sets: Sequence[Labels]) -> dict[str, str]:
    if not sets:
        return {}
    return {name: value for name, value in sets[0].items() if all(other.get(name) == value for other in sets[1:])}


# --- grouping ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Logged:
    """What the last successful notification of a group held, by fingerprint."""

    firing: frozenset[str]
    resolved: frozenset[str]
    at: datetime


@dataclass(slots=True, kw_only=True)
class _Group:
    labels: Labels
    next_flush: datetime
    alerts: dict[str, PostableAlert] = field(default_factory=dict)
    flushed: bool = False
    sending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A silence as the API shows it."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    updated_at: datetime
    created_by: str
    comment: str

    def state(self, at: datetime) -> str:
        """`pending`, `active` or `expired`."""
        return "expired" if self.ends_at <= at else "pending" if at < self.starts_at else "active"


class AlertSender(LoopbackServer):
    """Alertmanager with one receiver. `start()` opens its API v2; `follow` makes it work by itself, `fire`/`resolve`/`repeat` send at once, for tests.

    `token_file` is read again for every request, and its content is sent as a bearer token; without it no Authorization is sent.
    """

    def __init__(
        self, webhook_url: str, token_file: Path | None = None, *, clock: Clock, route: Route | None = None, spread: random.Random | None = None, port: int = 0
    ) -> None:
        super().__init__(port=port)
        self._webhook_url = webhook_url
        self._token_file = token_file
        self._clock = clock
        self._route = route or Route()
        self._spread = spread or random.Random()  # noqa: S311  spreads retries, guards nothing
        self._groups: dict[str, _Group] = {}
        self._log: dict[str, _Logged] = {}  # by group key; outlives the group, as the notification log does
        self._silences: dict[str, Silence] = {}
        self._updated_at: dict[str, datetime] = {}
        self._session: aiohttp.ClientSession | None = None
        self._following: Background | None = None
        self._started_at = clock.now()
        self.deliveries: deque[Delivery] = deque(maxlen=DELIVERIES_KEPT)

    # -- life

    async def start(self) -> str:
        """Open the API and the connection pool for deliveries."""
        # Alertmanager keeps no cookies and was recorded to send neither Accept nor Accept-Encoding.
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), skip_auto_headers=("Accept", "Accept-Encoding"))
        self._started_at = self._clock.now()
        return await super().start()

    async def stop(self) -> None:
        """Stop following, drop what is being sent, close the API."""
        following, self._following = self._following, None
        try:
            if following is not None:
                await following.stop()
        finally:
            if self._session is not None:
                await self._session.close()
                self._session = None
            await super().stop()

    def follow(self, source: AlertSource, *, every: timedelta = timedelta(milliseconds=200)) -> None:
        """From now on take the source's alerts every so often and send each group when it is due. Ends with `stop`."""
        if self._following is not None:
            raise RuntimeError("already following a Prometheus")
        self._following = Background(self._follow(source, every.total_seconds()), name="sandbox-alertmanager")

    async def _follow(self, source: AlertSource, every_s: float) -> None:
        async with asyncio.TaskGroup() as sending:
            while True:
                self.put(source.outgoing_alerts())
                # A group that is being retried must not hold up the others: one task each.
                for group in self._due():
                    group.sending = True
                    sending.create_task(self._flush(group))
                await self._clock.sleep(every_s)

    # -- alerts in

    def put(self, alerts: Iterable[PostableAlert]) -> None:
        """Take alerts as `POST /api/v2/alerts` does: the same labels are the same alert, and an overlapping one keeps its earlier start."""
        now = self._clock.now()
        for alert in alerts:
            if not alert.labels:
                raise ValueError("at least one label pair required")
            group_labels = self._group_labels(alert)
            key = group_key(self._route, group_labels)
            identity = fingerprint(alert.labels)
            group = self._groups.get(key)
            if group is None:
                if alert.resolved(now):
                    continue  # Prometheus repeats a resolved alert for 15 minutes; one that is not known any more makes no group
                group = self._groups[key] = _Group(labels=group_labels, next_flush=now + self._route.group_wait)
            old = group.alerts.get(identity)
            if old is None and alert.resolved(now):
                continue
            if old is not None and not old.resolved(now) and alert.starts_at > old.starts_at and (old.ends_at is None or alert.starts_at < old.ends_at):
                alert = replace(alert, starts_at=old.starts_at)  # noqa: PLW2901  the merged alert takes its place
            group.alerts[identity] = alert
            self._updated_at[identity] = now
            if not group.flushed and alert.starts_at + self._route.group_wait < now:
                group.next_flush = now

    def _group_labels(self, alert: PostableAlert) -> Labels:
        names = alert.labels if self._route.group_by is None else [name for name in self._route.group_by if name in alert.labels]
        return {name: alert.labels[name] for name in names}

    # -- notifications out

    async def fire(
        self, labels: Labels, annotations: Labels | None = None, *, starts_at: datetime | None = None, generator_url: str = "", at_once: bool = True
    ) -> Delivery | None:
        """Put a firing alert and, unless `at_once` is False, send its group without waiting for group_wait. None: nothing had to be sent."""
        alert = PostableAlert(labels=labels, annotations=annotations or {}, starts_at=starts_at or self._clock.now(), generator_url=generator_url)
        self.put([alert])
        return await self._flush(self._group_of(alert)) if at_once else None

    async def resolve(self, labels: Labels, *, ends_at: datetime | None = None, at_once: bool = True) -> Delivery | None:
        """End a known alert (KeyError otherwise) and send its group. None: nothing had to be sent."""
        identity = fingerprint(labels)
        group = next((group for group in self._groups.values() if identity in group.alerts), None)
        if group is None:
            raise KeyError(f"no alert with the labels {dict(labels)}")
        group.alerts[identity] = replace(group.alerts[identity], ends_at=ends_at or self._clock.now())
        self._updated_at[identity] = self._clock.now()
        return await self._flush(group) if at_once else None

    async def repeat(self) -> Sequence[Delivery]:
        """Send every group once more as if repeat_interval had passed: the same body if nothing changed."""
        answers = [await self._flush(group, repeat=True) for group in list(self._groups.values())]
        return [answer for answer in answers if answer is not None]

    async def flush_due(self) -> Sequence[Delivery]:
        """Send what is due now and wait for the outcome; what a running Alertmanager does by its timers."""
        answers = [await self._flush(group) for group in self._due()]
        return [answer for answer in answers if answer is not None]

    def _group_of(self, alert: PostableAlert) -> _Group:
        return self._groups[group_key(self._route, self._group_labels(alert))]

    def _due(self) -> list[_Group]:
        now = self._clock.now()
        self._groups = {key: group for key, group in self._groups.items() if group.alerts or group.sending}
        return [group for group in self._groups.values() if group.next_flush <= now and not group.sending]

    async def _flush(self, group: _Group, *, repeat: bool = False) -> Delivery | None:
        now = self._clock.now()
        group.sending = group.flushed = True
        group.next_flush = now + self._route.group_interval
        try:
            return await self._notify(group, now, repeat=repeat)
        finally:
            group.sending = False

    async def _notify(self, group: _Group, now: datetime, *, repeat: bool) -> Delivery | None:
        key, held = group_key(self._route, group.labels), dict(group.alerts)
        audible = {identity: alert for identity, alert in held.items() if not self._silenced_by(alert, now)}
        firing = frozenset(identity for identity, alert in audible.items() if not alert.resolved(now))
        resolved = frozenset(audible) - firing
        # A group that is silenced as a whole is neither sent nor logged: its end is never told.
        reason = self._reason(self._log.get(key), firing, resolved, now, repeat=repeat) if audible else None
        delivery = None
        if reason is not None:
            sent = [alert for identity, alert in audible.items() if self._route.send_resolved or identity in firing]
            if sent:
                delivery = await self._deliver(key, webhook_body(self._route, group.labels, sent, now, reason=reason), now)
                if not delivery.delivered:
                    return delivery  # resolved alerts stay in the group and go out with a later flush
            self._log[key] = _Logged(firing=firing, resolved=resolved, at=now)
        for identity, alert in held.items():
            if alert.resolved(now) and group.alerts.get(identity) is alert:
                del group.alerts[identity]
        return delivery

    def _reason(self, logged: _Logged | None, firing: frozenset[str], resolved: frozenset[str], now: datetime, *, repeat: bool) -> str | None:
        """Why this group is to be sent, or None: the rules of Alertmanager's notification log."""
        if logged is None:
            return "first notification" if firing else None
        if not firing <= logged.firing:
            return "new alerts added"
        if not firing:
            return "all alerts resolved" if logged.firing else None
        if self._route.send_resolved and not resolved <= logged.resolved:
            return "some alerts resolved"
        if repeat or logged.at <= now - self._route.repeat_interval:
            return "repeat interval elapsed"
        return None

    async def _deliver(self, key: str, body: bytes, now: datetime) -> Delivery:
        """Post until it is answered with anything but 5xx, or the deadline of this flush has passed."""
        deadline = now + max(self._route.group_interval, SHORTEST_DEADLINE)
        pause_s, attempts = FIRST_RETRY_S, 0
        while True:
            attempts += 1
            status, answer = await self._post(body, (deadline - self._clock.now()).total_seconds())
            wait_s = pause_s * self._spread.uniform(1 - RETRY_SPREAD, 1 + RETRY_SPREAD)
            again = status is None or status >= 500
            if not again or self._clock.now() + timedelta(seconds=wait_s) >= deadline:
                break
            await self._clock.sleep(wait_s)
            pause_s = min(pause_s * RETRY_GROWTH, LONGEST_RETRY_S)
        delivered = status is not None and 200 <= status < 300
        delivery = Delivery(group_key=key, body=body, delivered=delivered, status=status, answer=answer, attempts=attempts, at=self._clock.now())
        self.deliveries.append(delivery)
        return delivery

    async def _post(self, body: bytes, seconds: float) -> tuple[int | None, str]:
        """One attempt: (status, the answer's text), or (None, why none came)."""
        if self._session is None:
            raise RuntimeError("start the sandbox Alertmanager before it is to send")
        headers = {"User-Agent": f"Alertmanager/{self._route.wire.value}", "Content-Type": "application/json"}
        if self._token_file is not None:
            try:
                token = self._token_file.read_text(encoding="utf-8").strip()
            except OSError as unreadable:
                return None, f"unable to read authorization credentials file: {unreadable.strerror}"
            headers["Authorization"] = f"Bearer {token}"
        try:
            async with self._session.post(
                self._webhook_url,
                data=body if len(body) < LARGE_BODY_BYTES else io.BytesIO(body),  # aiohttp warns about large bytes: they would hold the loop
                headers=headers,
                # 301 and 302 turn the POST into a GET without a body, whose 200 counts as delivered: so does Alertmanager.
                allow_redirects=self._route.follow_redirects,
                timeout=aiohttp.ClientTimeout(total=max(seconds, 0.001)),
            ) as response:
                text = await response.content.read(ANSWER_KEPT_BYTES)
                return response.status, text.decode("utf-8", "replace")
        except TimeoutError:
            return None, "context deadline exceeded"
        except aiohttp.ClientError as failure:
            return None, f"{type(failure).__name__}: {failure}"

    # -- silences

    def silence(self, *matchers: str, lasts: timedelta = timedelta(hours=1), created_by: str = "sandbox", comment: str = "") -> str:
        """Silence what matches all of `name="value"` and answer the silence's id."""
        now = self._clock.now()
        made = Silence(
            id=str(uuid4()),
            matchers=tuple(map(Matcher.parse, matchers)),
            starts_at=now,
            ends_at=now + lasts,
            updated_at=now,
            created_by=created_by,
            comment=comment,
        )
        self._silences[made.id] = made
        return made.id

    def unsilence(self, silence_id: str) -> None:
        """Expire a silence; KeyError when it is unknown."""
        now = self._clock.now()
        found = self._silences[silence_id]
        if found.state(now) != "expired":
            self._silences[silence_id] = replace(found, ends_at=now, updated_at=now)

    def _silenced_by(self, alert: PostableAlert, at: datetime) -> list[str]:
        return sorted(
            silence.id
            for silence in self._silences.values()
            if silence.state(at) == "active" and all(matcher.matches(alert.labels) for matcher in silence.matchers)
        )

    # -- API v2

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """The part of API v2 that was recorded."""
        return (
            web.get("/-/ready", self._ok),
            web.get("/-/healthy", self._ok),
            web.get("/api/v2/status", self._status),
            web.get("/api/v2/receivers", self._receivers),
            web.get("/api/v2/alerts", self._alerts),
            web.post("/api/v2/alerts", self._post_alerts),
            web.get("/api/v2/silences", self._list_silences),
            web.post("/api/v2/silences", self._post_silence),
            web.get("/api/v2/silence/{id}", self._get_silence),
            web.delete("/api/v2/silence/{id}", self._delete_silence),
        )

    async def _ok(self, _request: web.Request) -> web.Response:
        return web.Response(text="OK")

    async def _status(self, _request: web.Request) -> web.Response:
        version = {"version": self._route.wire.value, "revision": "sandbox", "branch": "", "buildUser": "", "buildDate": "", "goVersion": ""}
        return web.json_response(
            {"cluster": {"peers": [], "status": "disabled"}, "config": {"original": ""}, "uptime": rfc3339(self._started_at), "versionInfo": version}
        )

    async def _receivers(self, _request: web.Request) -> web.Response:
        return web.json_response([{"name": self._route.receiver}])

    async def _alerts(self, request: web.Request) -> web.Response:
        try:
            matchers = [Matcher.parse(text) for text in request.query.getall("filter", [])]
        except ValueError as bad:
            return web.json_response(str(bad), status=400)
        wanted = {name: request.query.get(name, "true") == "true" for name in ("active", "silenced")}
        now, shown = self._clock.now(), []
        for group in self._groups.values():
            for identity, alert in group.alerts.items():
                silenced_by = self._silenced_by(alert, now)
                if alert.resolved(now) or not wanted["silenced" if silenced_by else "active"] or not all(matcher.matches(alert.labels) for matcher in matchers):
                    continue
                shown.append(
                    {
                        "annotations": _sorted(alert.annotations),
                        "endsAt": rfc3339(alert.ends_at if alert.ends_at is not None else now + RESOLVE_TIMEOUT),
                        "fingerprint": identity,
                        "receivers": [{"name": self._route.receiver}],
                        "startsAt": rfc3339(alert.starts_at),
                        "status": {"inhibitedBy": [], "silencedBy": silenced_by, "state": "suppressed" if silenced_by else "active"},
                        "updatedAt": rfc3339(self._updated_at[identity]),
                        **({"generatorURL": alert.generator_url} if alert.generator_url else {}),
                        "labels": _sorted(alert.labels),
                    }
                )
        return web.json_response(sorted(shown, key=lambda alert: str(alert["fingerprint"])))

    async def _post_alerts(self, request: web.Request) -> web.Response:
        now = self._clock.now()
        try:
            posted = [_postable(item, now) for item in json.loads(await request.read())]
            self.put(posted)
        except (ValueError, TypeError, AttributeError) as bad:
            return web.json_response(str(bad), status=400)
        return web.Response()

    async def _list_silences(self, request: web.Request) -> web.Response:
        try:
            matchers = [Matcher.parse(text) for text in request.query.getall("filter", [])]
        except ValueError as bad:
            return web.json_response(str(bad), status=400)
        now = self._clock.now()
        fitting = [one for one in self._silences.values() if all(any(own == asked for own in one.matchers) for asked in matchers)]
        order = {"active": 0, "pending": 1, "expired": 2}
        return web.json_response([_silence_json(one, now) for one in sorted(fitting, key=lambda one: (order[one.state(now)], one.ends_at))])

    async def _post_silence(self, request: web.Request) -> web.Response:
        now = self._clock.now()
        try:
            body = json.loads(await request.read())
            matchers = tuple(Matcher(name=m["name"], op=_op(m["isEqual"], m["isRegex"]), value=m["value"]) for m in body["matchers"])
            starts_at, ends_at = datetime.fromisoformat(body["startsAt"]), datetime.fromisoformat(body["endsAt"])
            if starts_at.tzinfo is None or ends_at.tzinfo is None:
                raise ValueError("times need a zone")  # noqa: TRY301  one answer for every kind of bad body
            created_by, comment, wanted_id = str(body["createdBy"]), str(body["comment"]), body.get("id")
        except (ValueError, TypeError, KeyError) as bad:
            return web.json_response({"code": 400, "message": f"parsing silence body failed: {bad}"}, status=400)
        if not matchers:
            return web.json_response({"code": 612, "message": "matchers in body should have at least 1 items"}, status=422)
        if all(matcher.matches({}) for matcher in matchers):
            return web.json_response("silence invalid: at least one matcher must not match the empty string", status=400)
        if ends_at < now:
            return web.json_response("Failed to create silence: end time can't be in the past", status=400)
        old = self._silences.get(wanted_id) if wanted_id else None
        if wanted_id and old is None:
            return web.json_response("silence not found", status=404)
        starts_at = max(starts_at, now)
        if old is not None and old.matchers == matchers and old.state(now) == "active":
            kept = replace(old, ends_at=ends_at, updated_at=now, created_by=created_by, comment=comment)
        else:
            if old is not None:
                self.unsilence(old.id)
            kept = Silence(id=str(uuid4()), matchers=matchers, starts_at=starts_at, ends_at=ends_at, updated_at=now, created_by=created_by, comment=comment)
        self._silences[kept.id] = kept
        return web.json_response({"silenceID": kept.id})

    async def _get_silence(self, request: web.Request) -> web.Response:
        if (malformed := _malformed(request.match_info["id"])) is not None:
            return malformed
        found = self._silences.get(request.match_info["id"])
        return web.Response(status=404) if found is None else web.json_response(_silence_json(found, self._clock.now()))

    async def _delete_silence(self, request: web.Request) -> web.Response:
        if (malformed := _malformed(request.match_info["id"])) is not None:
            return malformed
        if request.match_info["id"] not in self._silences:
            return web.Response(status=404)
        self.unsilence(request.match_info["id"])
        return web.Response()


def _op(equal: bool, regex: bool) -> str:
    return {(True, False): "=", (False, False): "!=", (True, True): "=~", (False, True): "!~"}[equal, regex]


def _malformed(silence_id: str) -> web.Response | None:
    try:
        UUID(silence_id)
    except ValueError:
        return web.json_response({"code": 601, "message": f'silenceID in path must be of type uuid: "{silence_id}"'}, status=422)
    return None


def _silence_json(silence: Silence, now: datetime) -> dict[str, object]:
    return {
        "id": silence.id,
        "status": {"state": silence.state(now)},
        "updatedAt": rfc3339(silence.updated_at),
        "comment": silence.comment,
        "createdBy": silence.created_by,
        "endsAt": rfc3339(silence.ends_at),
        "matchers": [
            {"isEqual": not matcher.op.startswith("!"), "isRegex": matcher.op.endswith("~"), "name": matcher.name, "value": matcher.value}
            for matcher in silence.matchers
        ],
        "startsAt": rfc3339(silence.starts_at),
    }


def _postable(item: Mapping[str, object], now: datetime) -> PostableAlert:
    """An alert of `POST /api/v2/alerts`; without times it starts now and ends by itself after the resolve timeout."""
    labels, annotations = item.get("labels"), item.get("annotations") or {}
    if not isinstance(labels, dict) or not isinstance(annotations, dict):
        raise TypeError("labels and annotations must be objects")
    starts, ends = item.get("startsAt"), item.get("endsAt")
    starts_at = datetime.fromisoformat(starts) if isinstance(starts, str) and starts != STILL_FIRING else now
    ends_at = datetime.fromisoformat(ends) if isinstance(ends, str) and ends != STILL_FIRING else now + RESOLVE_TIMEOUT
    return PostableAlert(
        # Alertmanager drops labels with an empty value: they are the same as no label.
        labels={str(name): str(value) for name, value in labels.items() if value != ""},
        annotations={str(name): str(value) for name, value in annotations.items()},
        starts_at=starts_at,
        ends_at=ends_at,
        generator_url=str(item.get("generatorURL") or ""),
    )
