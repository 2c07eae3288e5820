import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from integrations.sandbox.alertmanager import AlertSender, Matcher, PostableAlert, Route, Wire, fingerprint, go_json, go_quote, webhook_body
from integrations.sandbox.http import LoopbackServer

RECORDINGS = Path(__file__).parents[3] / "fixtures" / "alertmanager"
RECORDED = ("grouped-lifecycle", "from-prometheus-kube-rules", "refire", "unicode-and-quoting", "truncated-max-alerts", "silenced", "nested-routes-continue")
T0 = datetime(2026, 11, 23, 0, 31, 7, 507_000, tzinfo=UTC)
LABELS = {"alertname": "HighErrorRate", "namespace": "shop", "severity": "critical"}


class HandClock:
    """Moves only when somebody sleeps or moves it; who sleeps lets the others go on for as long."""

    def __init__(self) -> None:
        self.at = T0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(seconds)

    def pass_time(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


class Receiver(LoopbackServer):
    def __init__(self) -> None:
        super().__init__()
        self.got: list[Post] = []
        self.answers: list[int] = []
        self.meanwhile: list[Callable[[], object]] = []  # what happens while a POST is being answered

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return (web.route("*", "/{path:.*}", self._take),)

    async def _take(self, request: web.Request) -> web.Response:
        self.got.append(Post(method=request.method, path=request.path, headers=dict(request.headers), raw=await request.read()))
        if self.meanwhile:
            self.meanwhile.pop(0)()
        status = self.answers.pop(0) if self.answers else 200
        return web.Response(status=status, text=f"answer {status}", headers={"Location": f"{self.url}/moved"} if 300 <= status < 400 else {})


class Alerts:
    """A Prometheus that says what it is told to say."""

    def __init__(self) -> None:
        self.now: list[PostableAlert] = []

    def outgoing_alerts(self) -> Sequence[PostableAlert]:
        return tuple(self.now)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    await receiver.start()
    yield receiver
    await receiver.stop()


ROUTE = Route(group_wait=timedelta(seconds=1), group_interval=timedelta(seconds=10), repeat_interval=timedelta(seconds=25))


@pytest.fixture
async def sender(receiver: Receiver, clock: HandClock) -> AsyncIterator[AlertSender]:
    sender = AlertSender(f"{receiver.url}/v1/alerts/alertmanager", clock=clock, route=ROUTE, spread=random.Random(1))  # noqa: S311  spreads retries
    await sender.start()
    yield sender
    await sender.stop()


def recording(name: str) -> Any:
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))


def alert_of(recorded: Mapping[str, Any]) -> PostableAlert:
    return PostableAlert(
        labels=recorded["labels"],
        annotations=recorded["annotations"],
        starts_at=datetime.fromisoformat(recorded["startsAt"]),
        ends_at=None if recorded["status"] == "firing" else datetime.fromisoformat(recorded["endsAt"]),
        generator_url=recorded["generatorURL"],
    )


def pod(name: str, **more: str) -> dict[str, str]:
    return {**LABELS, "pod": name, **more}


def shown(post: Post) -> list[tuple[str, str]]:
    return [(alert["labels"]["pod"], alert["status"]) for alert in post.body["alerts"]]


# --- the bytes


@pytest.mark.parametrize("name", [*RECORDED, "synthetic-0.34-shape"])
def test_every_recorded_fingerprint_is_recomputed(name: str) -> None:
    document = recording(name)
    alerts = [alert for request in document.get("requests", [document]) for alert in request["body"]["alerts"]]
    assert alerts
    for alert in alerts:
        assert fingerprint(alert["labels"]) == alert["fingerprint"]


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_body_is_written_byte_for_byte(name: str) -> None:
    for request in recording(name)["requests"]:
        body = request["body"]
        own = body["groupKey"].split("}:{", 1)[0].removeprefix("{}/{").removeprefix("{}")
        alerts = [alert_of(alert) for alert in body["alerts"]]
        # What max_alerts cut off sorts behind what is shown; its labels are not known, so ones that do stand in for it.
        hidden = [replace(alerts[-1], labels={**alerts[-1].labels, "pod": f"zz{number}"}) for number in range(body["truncatedAlerts"])]
        route = Route(
            receiver=body["receiver"],
            matchers=(own,) if own else (),
            group_by=tuple(body["groupLabels"]),
            max_alerts=len(alerts) if hidden else 0,
            external_url=body["externalURL"],
        )
        written = webhook_body(route, body["groupLabels"], [*hidden, *reversed(alerts)], datetime.fromisoformat(request["wall"]))
        assert written.decode() == request["body_raw"]


def test_the_newer_wire_has_the_newer_fields_at_their_places() -> None:
    body = recording("synthetic-0.34-shape")["body"]
    route = Route(receiver="grouped", matchers=('scenario="grouped"',), wire=Wire.V0_34)
    alerts = [alert_of(alert) for alert in body["alerts"]]
    written = webhook_body(route, body["groupLabels"], alerts, T0, reason="first notification")
    assert written == go_json(body)
    assert list(json.loads(written)) == list(body)


def test_quoting_is_gos() -> None:
    assert go_quote('a"b\\c\nd\te') == r'"a\"b\\c\nd\te"'
    assert go_quote("Größe 日本") == '"Größe 日本"'
    assert go_quote("\x00\x7f\u200b\U000e0001") == r'"\x00\x7f\u200b\U000e0001"'
    assert go_json({"a": "<b>&\u2028"}) == b'{"a":"\\u003cb\\u003e\\u0026\\u2028"}\n'


def test_alerts_are_listed_by_job_then_instance_then_labels_and_not_by_severity() -> None:
    route = Route()
    alerts = [
        PostableAlert(labels=labels, starts_at=T0)
        for labels in (
            {"alertname": "A", "n": "no job", "severity": "critical"},
            {"alertname": "A", "job": "b", "n": "3", "severity": "info"},
            {"alertname": "A", "job": "a", "instance": "2", "n": "2"},
            {"alertname": "A", "job": "a", "instance": "1", "n": "1"},
            {"alertname": "A", "job": "b", "n": "3"},
            {"alertname": "A", "job": "b", "z": "3"},
        )
    ]
    listed = [alert["labels"] for alert in json.loads(webhook_body(route, {}, alerts, T0))["alerts"]]
    assert [(labels.get("job"), labels.get("instance"), labels.get("n"), len(labels)) for labels in listed] == [
        ("a", "1", "1", 4),
        ("a", "2", "2", 4),
        ("b", None, None, 3),
        ("b", None, "3", 3),
        ("b", None, "3", 4),
        (None, None, "no job", 3),
    ]


def test_a_truncated_group_says_resolved_while_a_hidden_alert_still_fires() -> None:
    alerts = [PostableAlert(labels=pod("a"), starts_at=T0, ends_at=T0), PostableAlert(labels=pod("b"), starts_at=T0)]
    body = json.loads(webhook_body(Route(max_alerts=1), {}, alerts, T0))
    assert (body["status"], body["truncatedAlerts"], len(body["alerts"])) == ("resolved", 1, 1)


# --- one request


async def test_a_request_looks_like_the_recorded_one(sender: AlertSender, receiver: Receiver) -> None:
    await sender.fire(LABELS)
    (post,) = receiver.got
    recorded = dict(recording("refire")["requests"][0]["headers"])
    assert (post.method, post.path) == ("POST", "/v1/alerts/alertmanager")
    assert set(post.headers) == set(recorded)
    assert (post.headers["User-Agent"], post.headers["Content-Type"]) == (recorded["User-Agent"], "application/json")
    assert post.headers["Content-Length"] == str(len(post.raw))
    assert post.raw.endswith(b"\n")


async def test_the_token_file_is_read_again_for_every_request(receiver: Receiver, clock: HandClock, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    sender = AlertSender(receiver.url, token, clock=clock, route=ROUTE)
    await sender.start()
    await sender.fire(LABELS)
    token.write_text("second")
    await sender.repeat()
    assert [post.headers["Authorization"] for post in receiver.got] == ["Bearer first", "Bearer second"]
    token.unlink()
    (failed,) = await sender.repeat()
    assert (failed.delivered, failed.status) == (False, None)
    assert failed.answer.startswith("unable to read authorization credentials file")
    assert len(receiver.got) == 2
    assert "second" not in repr(sender.deliveries)
    await sender.stop()


async def test_a_group_of_megabytes_is_sent_whole(sender: AlertSender, receiver: Receiver, clock: HandClock) -> None:
    sender.put(PostableAlert(labels=pod(f"checkout-{number:04}"), annotations={"text": "x" * 1000}, starts_at=T0) for number in range(1500))
    clock.pass_time(1)
    (delivery,) = await sender.flush_due()
    assert delivery.delivered
    assert len(receiver.got[0].raw) > 1_500_000
    assert len(receiver.got[0].body["alerts"]) == 1500


async def test_it_must_be_started_before_it_sends(clock: HandClock) -> None:
    sender = AlertSender("http://127.0.0.1:9/", clock=clock)
    with pytest.raises(RuntimeError, match="start"):
        await sender.fire(LABELS)


# --- retries


async def test_a_5xx_is_retried_with_growing_pauses_until_it_is_taken(sender: AlertSender, receiver: Receiver, clock: HandClock) -> None:
    receiver.answers = [503, 500, 502]
    delivery = await sender.fire(LABELS)
    assert delivery is not None
    assert (delivery.delivered, delivery.status, delivery.attempts) == (True, 200, 4)
    assert len({post.raw for post in receiver.got}) == 1
    for pause, base in zip(clock.slept, (0.5, 0.75, 1.125), strict=True):
        assert base * 0.5 <= pause <= base * 1.5


async def test_retries_end_at_the_deadline_of_the_flush_and_the_next_flush_tries_again(sender: AlertSender, receiver: Receiver, clock: HandClock) -> None:
    receiver.answers = [503] * 100
    delivery = await sender.fire(LABELS)
    assert delivery is not None
    assert (delivery.delivered, delivery.status) == (False, 503)
    assert 4 <= delivery.attempts <= 12
    assert T0 < clock.at < T0 + timedelta(seconds=10)
    receiver.answers = []
    clock.at = T0 + timedelta(seconds=10)
    (delivery,) = await sender.flush_due()
    assert (delivery.delivered, delivery.attempts) == (True, 1)


@pytest.mark.parametrize("status", [400, 401, 408, 413, 429])
async def test_a_4xx_is_one_attempt_and_comes_again_a_group_interval_later(sender: AlertSender, receiver: Receiver, clock: HandClock, status: int) -> None:
    receiver.answers = [status]
    delivery = await sender.fire(LABELS)
    assert delivery is not None
    assert (delivery.delivered, delivery.status, delivery.attempts, delivery.answer) == (False, status, 1, f"answer {status}")
    clock.pass_time(9)
    assert await sender.flush_due() == []
    clock.pass_time(1)
    (again,) = await sender.flush_due()
    assert again.delivered
    assert clock.slept == []


async def test_a_refused_connection_is_retried(sender: AlertSender, receiver: Receiver) -> None:
    await receiver.go_down()
    delivery = await sender.fire(LABELS)
    assert delivery is not None
    assert (delivery.delivered, delivery.status) == (False, None)
    assert delivery.attempts > 3


@pytest.mark.parametrize(("status", "method", "length"), [(301, "GET", 0), (302, "GET", 0), (307, "POST", 1), (308, "POST", 1)])
async def test_a_redirect_loses_the_alert_or_keeps_it(sender: AlertSender, receiver: Receiver, status: int, method: str, length: int) -> None:
    receiver.answers = [status]
    delivery = await sender.fire(LABELS)
    assert delivery is not None
    assert delivery.delivered, "a lost alert counts as delivered: that is the trap"
    assert (receiver.got[-1].path, receiver.got[-1].method, min(len(receiver.got[-1].raw), 1)) == ("/moved", method, length)


async def test_a_redirect_that_is_not_followed_is_a_visible_failure(receiver: Receiver, clock: HandClock) -> None:
    receiver.answers = [302]
    sender = AlertSender(receiver.url, clock=clock, route=replace(ROUTE, follow_redirects=False))
    await sender.start()
    delivery = await sender.fire(LABELS)
    assert delivery is not None
    assert (delivery.delivered, delivery.status, delivery.attempts) == (False, 302, 1)
    await sender.stop()


# --- what is sent when


async def test_the_life_of_a_group(sender: AlertSender, receiver: Receiver, clock: HandClock) -> None:
    """As in grouped-lifecycle.json: three fire, a fourth joins, one resolves and is listed once, repeat, all resolve."""
    for name in "abc":
        await sender.fire(pod(name), at_once=False)
    assert await sender.flush_due() == [], "group_wait"
    clock.pass_time(1)
    await sender.flush_due()
    assert shown(receiver.got[0]) == [("a", "firing"), ("b", "firing"), ("c", "firing")]

    await sender.fire(pod("d"), at_once=False)
    clock.pass_time(5)
    assert await sender.flush_due() == [], "group_interval"
    clock.pass_time(5)
    await sender.flush_due()
    assert shown(receiver.got[1]) == [("a", "firing"), ("b", "firing"), ("c", "firing"), ("d", "firing")]

    await sender.resolve(pod("b"), at_once=False)
    clock.pass_time(10)
    await sender.flush_due()
    assert shown(receiver.got[2]) == [("a", "firing"), ("b", "resolved"), ("c", "firing"), ("d", "firing")]
    assert receiver.got[2].body["status"] == "firing"

    for _ in range(2):
        clock.pass_time(10)
        assert await sender.flush_due() == [], "nothing changed and repeat_interval has not passed"
    clock.pass_time(10)
    await sender.flush_due()
    assert shown(receiver.got[3]) == [("a", "firing"), ("c", "firing"), ("d", "firing")]

    for name in "acd":
        await sender.resolve(pod(name), at_once=False)
    clock.pass_time(10)
    await sender.flush_due()
    assert shown(receiver.got[4]) == [("a", "resolved"), ("c", "resolved"), ("d", "resolved")]
    assert receiver.got[4].body["status"] == "resolved"
    clock.pass_time(1000)
    assert await sender.flush_due() == []
    assert len(receiver.got) == 5


async def test_a_repeat_is_the_same_bytes(sender: AlertSender, receiver: Receiver, clock: HandClock) -> None:
    await sender.fire(LABELS, {"summary": "5xx ratio above 5%"})
    clock.pass_time(3)
    await sender.repeat()
    assert receiver.got[0].raw == receiver.got[1].raw


async def test_a_firing_alert_keeps_its_start_and_a_new_firing_has_a_new_one(sender: AlertSender, receiver: Receiver, clock: HandClock) -> None:
    await sender.fire(LABELS, at_once=False)
    clock.pass_time(5)
    await sender.fire(LABELS)
    await sender.resolve(LABELS)
    clock.pass_time(5)
    await sender.fire(LABELS)
    starts = [post.body["alerts"][0]["startsAt"] for post in receiver.got]
    assert starts == ["2026-11-23T00:31:07.507Z", "2026-11-23T00:31:07.507Z", "2026-11-23T00:31:17.507Z"]
    assert [post.body["alerts"][0]["endsAt"] for post in receiver.got][1:] == ["2026-11-23T00:31:12.507Z", "0001-01-01T00:00:00Z"]


async def test_a_flap_inside_a_group_interval_is_invisible_and_its_end_names_a_start_never_announced(
    sender: AlertSender, receiver: Receiver, clock: HandClock
) -> None:
    await sender.fire(LABELS)
    clock.pass_time(2)
    await sender.resolve(LABELS, at_once=False)
    clock.pass_time(2)
    await sender.fire(LABELS, at_once=False)
    clock.pass_time(6)
    assert await sender.flush_due() == []
    await sender.resolve(LABELS)
    assert [(post.body["status"], post.body["alerts"][0]["startsAt"]) for post in receiver.got] == [
        ("firing", "2026-11-23T00:31:07.507Z"),
        ("resolved", "2026-11-23T00:31:11.507Z"),
    ]


async def test_an_alert_that_is_not_sent_again_resolves_by_itself(sender: AlertSender, receiver: Receiver, clock: HandClock) -> None:
    sender.put([PostableAlert(labels=LABELS, starts_at=T0, ends_at=T0 + timedelta(seconds=60))])
    clock.pass_time(1)
    await sender.flush_due()
    clock.pass_time(59)
    await sender.flush_due()
    assert [(post.body["status"], post.body["alerts"][0]["endsAt"]) for post in receiver.got] == [
        ("firing", "0001-01-01T00:00:00Z"),
        ("resolved", "2026-11-23T00:32:07.507Z"),
    ]


async def test_what_resolved_before_it_was_told_is_never_told(sender: AlertSender, receiver: Receiver, clock: HandClock) -> None:
    await sender.fire(LABELS, at_once=False)
    await sender.resolve(LABELS, at_once=False)
    clock.pass_time(1)
    assert await sender.flush_due() == []
    assert receiver.got == []
    with pytest.raises(KeyError):
        await sender.resolve(LABELS)


async def test_an_alert_that_began_long_ago_does_not_wait_for_its_group(sender: AlertSender, receiver: Receiver) -> None:
    await sender.fire(LABELS, starts_at=T0 - timedelta(minutes=5), at_once=False)
    await sender.flush_due()
    assert len(receiver.got) == 1


async def test_different_groups_are_different_posts(sender: AlertSender, receiver: Receiver, clock: HandClock) -> None:
    await sender.fire(pod("a"), at_once=False)
    await sender.fire(pod("a", namespace="orders"), at_once=False)
    clock.pass_time(1)
    await sender.flush_due()
    assert [post.body["groupKey"] for post in receiver.got] == [
        '{}:{alertname="HighErrorRate", namespace="shop"}',
        '{}:{alertname="HighErrorRate", namespace="orders"}',
    ]


async def test_grouping_by_all_labels_gives_each_alert_its_own_post(receiver: Receiver, clock: HandClock) -> None:
    sender = AlertSender(receiver.url, clock=clock, route=replace(ROUTE, group_by=None))
    await sender.start()
    for name in "ab":
        await sender.fire(pod(name))
    assert [post.body["groupLabels"] for post in receiver.got] == [pod("a"), pod("b")]
    await sender.stop()


async def test_hidden_alerts_that_resolve_send_the_same_shown_ones_again(receiver: Receiver, clock: HandClock) -> None:
    sender = AlertSender(receiver.url, clock=clock, route=replace(ROUTE, max_alerts=2))
    await sender.start()
    for name in "abcd":
        await sender.fire(pod(name), at_once=False)
    clock.pass_time(1)
    await sender.flush_due()
    await sender.resolve(pod("d"))
    assert [(shown(post), post.body["truncatedAlerts"]) for post in receiver.got] == [([("a", "firing"), ("b", "firing")], 2)] * 2
    await sender.stop()


async def test_without_send_resolved_the_end_is_never_told(receiver: Receiver, clock: HandClock) -> None:
    sender = AlertSender(receiver.url, clock=clock, route=replace(ROUTE, send_resolved=False))
    await sender.start()
    await sender.fire(LABELS)
    assert await sender.resolve(LABELS) is None
    await sender.fire(LABELS)
    assert [post.body["status"] for post in receiver.got] == ["firing", "firing"]
    await sender.stop()


async def test_a_resolved_alert_stays_until_somebody_took_it(sender: AlertSender, receiver: Receiver, clock: HandClock) -> None:
    await sender.fire(LABELS)
    receiver.answers = [400]
    await sender.resolve(LABELS)
    clock.pass_time(10)
    (delivery,) = await sender.flush_due()
    assert (delivery.delivered, receiver.got[-1].body["status"]) == (True, "resolved")


async def test_the_end_of_a_silenced_alert_is_never_told(sender: AlertSender, receiver: Receiver, clock: HandClock) -> None:
    await sender.fire(pod("x"))
    sender.silence('namespace="shop"', 'pod=~"x|y"')
    await sender.resolve(pod("x"))
    clock.pass_time(100)
    await sender.flush_due()
    assert [post.body["status"] for post in receiver.got] == ["firing"]


async def test_a_silenced_alert_is_told_once_the_silence_is_over(sender: AlertSender, receiver: Receiver, clock: HandClock) -> None:
    silence = sender.silence('pod="y"')
    await sender.fire(pod("y"))
    assert receiver.got == []
    sender.unsilence(silence)
    clock.pass_time(10)
    await sender.flush_due()
    assert [shown(post) for post in receiver.got] == [[("y", "firing")]]
    with pytest.raises(KeyError):
        sender.unsilence("unknown")


async def test_a_silence_that_comes_and_goes_over_a_firing_alert_is_not_a_new_alert(sender: AlertSender, receiver: Receiver, clock: HandClock) -> None:
    await sender.fire(LABELS)
    silence = sender.silence('namespace="shop"')
    clock.pass_time(10)
    await sender.flush_due()
    sender.unsilence(silence)
    clock.pass_time(10)
    assert await sender.flush_due() == []
    assert len(receiver.got) == 1


async def test_an_alert_that_fires_again_while_its_end_is_being_sent_is_not_lost(sender: AlertSender, receiver: Receiver, clock: HandClock) -> None:
    await sender.fire(LABELS)
    clock.pass_time(5)
    again = PostableAlert(labels=LABELS, starts_at=clock.at + timedelta(seconds=1))
    receiver.meanwhile = [lambda: sender.put([again])]
    await sender.resolve(LABELS)
    clock.pass_time(10)
    await sender.flush_due()
    assert [post.body["status"] for post in receiver.got] == ["firing", "resolved", "firing"]


async def test_the_reason_is_said_on_the_newer_wire(receiver: Receiver, clock: HandClock) -> None:
    sender = AlertSender(receiver.url, clock=clock, route=replace(ROUTE, wire=Wire.V0_34))
    await sender.start()
    await sender.fire(pod("a"))
    await sender.fire(pod("b"))
    await sender.repeat()
    await sender.resolve(pod("a"))
    await sender.resolve(pod("b"))
    assert [post.body["notification_reason"] for post in receiver.got] == [
        "first notification",
        "new alerts added",
        "repeat interval elapsed",
        "some alerts resolved",
        "all alerts resolved",
    ]
    await sender.stop()


# --- following


async def test_following_a_source_sends_what_it_says(sender: AlertSender, receiver: Receiver, clock: HandClock) -> None:
    source = Alerts()
    source.now = [PostableAlert(labels=LABELS, starts_at=T0, ends_at=T0 + timedelta(days=1))]
    sender.follow(source, every=timedelta(milliseconds=200))
    await _until(lambda: bool(receiver.got))
    source.now = [replace(source.now[0], ends_at=clock.at)]
    await _until(lambda: len(receiver.got) > 1 and receiver.got[-1].body["status"] == "resolved")
    with pytest.raises(RuntimeError, match="already following"):
        sender.follow(source)


async def test_a_group_that_is_being_retried_does_not_hold_up_another(sender: AlertSender, receiver: Receiver) -> None:
    receiver.answers = [503]
    source = Alerts()
    source.now = [PostableAlert(labels=pod("a", namespace=name), starts_at=T0) for name in ("one", "two")]
    sender.follow(source, every=timedelta(milliseconds=200))
    await _until(lambda: len(receiver.got) >= 3)
    first = [post.body["groupLabels"]["namespace"] for post in receiver.got[:3]]
    assert sorted(first[:2]) == ["one", "two"]


async def _until(met: Any) -> None:
    async with asyncio.timeout(60):
        while not met():  # noqa: ASYNC110  what is awaited happens in the servers' own tasks
            await asyncio.sleep(0.002)


# --- API v2, against the recorded calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    url: str
    http: aiohttp.ClientSession = field(repr=False)

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        async with self.http.request(method, f"{self.url}{path}", json=body) as response:
            text = await response.text()
            return response.status, json.loads(text) if text and response.content_type == "application/json" else text


@pytest.fixture
async def api(sender: AlertSender) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as http:
        yield Api(url=sender.url, http=http)


SILENCE = {
    "matchers": [{"name": "namespace", "value": "shop", "isRegex": False, "isEqual": True}],
    "startsAt": "2026-11-23T00:31:00Z",
    "endsAt": "2026-11-23T00:41:00Z",
    "createdBy": "backout",
    "comment": "op-1",
}


async def test_a_silence_lives_as_recorded(api: Api, sender: AlertSender, receiver: Receiver) -> None:
    status, first = await api.call("POST", "/api/v2/silences", SILENCE)
    assert status == 200
    _, second = await api.call("POST", "/api/v2/silences", SILENCE)
    assert first["silenceID"] != second["silenceID"], "no dedupe"
    _, extended = await api.call("POST", "/api/v2/silences", {**SILENCE, "id": first["silenceID"], "endsAt": "2026-11-23T00:51:00Z"})
    assert extended == first
    other = [{"name": "namespace", "value": "orders", "isRegex": False, "isEqual": True}]
    _, changed = await api.call("POST", "/api/v2/silences", {**SILENCE, "id": first["silenceID"], "matchers": other})
    assert changed != first
    _, listed = await api.call("GET", "/api/v2/silences?filter=namespace%3D%22shop%22")
    assert [(item["id"], item["status"]["state"]) for item in listed] == [(second["silenceID"], "active"), (first["silenceID"], "expired")]
    await sender.fire(LABELS)
    assert receiver.got == []
    for _ in range(2):
        assert await api.call("DELETE", f"/api/v2/silence/{second['silenceID']}") == (200, "")
    _, found = await api.call("GET", f"/api/v2/silence/{second['silenceID']}")
    assert (found["status"]["state"], found["comment"], found["matchers"]) == ("expired", "op-1", SILENCE["matchers"])


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"id": "00000000-0000-0000-0000-000000000000"}, 404, "silence not found"),
        ({"matchers": []}, 422, {"code": 612, "message": "matchers in body should have at least 1 items"}),
        (
            {"matchers": [{"name": "a", "value": "", "isRegex": False, "isEqual": True}]},
            400,
            "silence invalid: at least one matcher must not match the empty string",
        ),
        ({"endsAt": "2026-11-23T00:31:01Z"}, 400, "Failed to create silence: end time can't be in the past"),
    ],
)
async def test_a_bad_silence_is_refused_in_alertmanagers_words(api: Api, change: dict[str, object], status: int, says: object) -> None:
    assert await api.call("POST", "/api/v2/silences", {**SILENCE, **change}) == (status, says)


@pytest.mark.parametrize("change", [{"endsAt": "soon"}, {"startsAt": "2026-11-23T00:31:00"}, {"matchers": [{"name": "a"}]}, {"matchers": 7}])
async def test_a_silence_that_cannot_be_read_is_a_400(api: Api, change: dict[str, object]) -> None:
    status, _ = await api.call("POST", "/api/v2/silences", {**SILENCE, **change})
    assert status == 400


async def test_unknown_and_malformed_silences(api: Api) -> None:
    for method in ("GET", "DELETE"):
        assert await api.call(method, "/api/v2/silence/00000000-0000-0000-0000-000000000000") == (404, "")
        status, body = await api.call(method, "/api/v2/silence/xyz")
        assert (status, body["code"]) == (422, 601)


async def test_alerts_are_posted_listed_and_filtered(api: Api, sender: AlertSender) -> None:
    assert await api.call("POST", "/api/v2/alerts", [{"labels": {"foo": "bar", "empty": ""}}]) == (200, "")
    _, listed = await api.call("GET", "/api/v2/alerts?active=true&silenced=false&inhibited=false")
    assert listed == [
        {
            "annotations": {},
            "endsAt": "2026-11-23T00:36:07.507Z",
            "fingerprint": "3fff2c2d7595e046",  # as in the recorded call
            "receivers": [{"name": "backout"}],
            "startsAt": "2026-11-23T00:31:07.507Z",
            "status": {"inhibitedBy": [], "silencedBy": [], "state": "active"},
            "updatedAt": "2026-11-23T00:31:07.507Z",
            "labels": {"foo": "bar"},
        }
    ]
    silence = sender.silence('foo="bar"')
    _, listed = await api.call("GET", "/api/v2/alerts?filter=foo%3D%22bar%22")
    assert listed[0]["status"] == {"inhibitedBy": [], "silencedBy": [silence], "state": "suppressed"}
    assert await api.call("GET", "/api/v2/alerts?silenced=false") == (200, [])
    assert await api.call("GET", "/api/v2/alerts?filter=foo%21%3D%22bar%22") == (200, [])


async def test_bad_alert_calls_are_refused_as_recorded(api: Api) -> None:
    assert await api.call("POST", "/api/v2/alerts", [{"labels": {}}]) == (400, "at least one label pair required")
    assert await api.call("GET", "/api/v2/alerts?filter=%7Bx") == (400, "bad matcher format: {x")
    bodies: list[object] = [{"labels": {}}, [{"labels": 1}], [7]]
    for body in bodies:
        status, _ = await api.call("POST", "/api/v2/alerts", body)
        assert status == 400


async def test_an_alert_posted_over_http_reaches_the_receiver(api: Api, sender: AlertSender, receiver: Receiver, clock: HandClock) -> None:
    posted = {
        "labels": LABELS,
        "annotations": {"summary": "s"},
        "startsAt": "2026-11-23T00:31:00Z",
        "endsAt": "2026-11-23T00:40:00Z",
        "generatorURL": "http://p",
    }
    await api.call("POST", "/api/v2/alerts", [posted])
    clock.pass_time(1)
    await sender.flush_due()
    (alert,) = receiver.got[0].body["alerts"]
    assert (alert["startsAt"], alert["generatorURL"], alert["annotations"]) == ("2026-11-23T00:31:00Z", "http://p", {"summary": "s"})


async def test_the_small_calls_answer_as_recorded(api: Api) -> None:
    assert await api.call("GET", "/-/ready") == (200, "OK")
    assert await api.call("GET", "/-/healthy") == (200, "OK")
    assert await api.call("GET", "/api/v2/receivers") == (200, [{"name": "backout"}])
    _, status = await api.call("GET", "/api/v2/status")
    assert (status["versionInfo"]["version"], status["cluster"]["status"], status["uptime"]) == ("0.25.0", "disabled", "2026-11-23T00:31:07.507Z")


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ('a="1"', {"a": "1"}, True),
        ('a="1"', {}, False),
        ('a!="1"', {}, True),
        ('a=~"1|2"', {"a": "2"}, True),
        ('a=~"1"', {"a": "11"}, False),
        ('a!~"1.*"', {"a": "12"}, False),
        ("a=1", {"a": "1"}, True),
        (r'a="x\"y\n"', {"a": 'x"y\n'}, True),
        ('a=""', {}, True),
    ],
)
def test_a_matcher_matches_as_alertmanagers_do(text: str, labels: dict[str, str], matches: bool) -> None:
    assert Matcher.parse(text).matches(labels) is matches
