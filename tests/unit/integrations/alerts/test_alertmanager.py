import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from integrations.alerts.alertmanager import AlertmanagerWebhook, Settings, build, fingerprint_of, rfc3339
from service.domain.model import AlertNotice

FIXTURES = Path(__file__).parents[3] / "fixtures" / "alertmanager"
RECORDED = ("grouped-lifecycle", "from-prometheus-kube-rules", "refire", "unicode-and-quoting", "truncated-max-alerts")


class StillClock:
    def now(self) -> datetime:
        raise AssertionError("parsing needs no time")

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"parsing waits for nothing, not for {seconds} s")


def source() -> AlertmanagerWebhook:
    return build(Settings(), StillClock())


def bodies(name: str) -> list[bytes]:
    document = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))
    return [request["body_raw"].encode() for request in document["requests"]]


def deliveries(name: str) -> list[tuple[Sequence[AlertNotice], str, int]]:
    return [source().parse(body) for body in bodies(name)]


def webhook(**changes: Any) -> dict[str, Any]:
    alert = {"status": "firing", "labels": {"alertname": "A"}, "annotations": {}, "startsAt": "2026-11-23T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z"}
    return {"version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing", "alerts": [alert], **changes}


def with_alert(**changes: Any) -> bytes:
    document = webhook()
    document["alerts"][0].update(changes)
    return json.dumps(document).encode()


def one(**changes: Any) -> AlertNotice:
    notices, _, _ = source().parse(with_alert(**changes))
    return notices[0]


def refusal(body: bytes) -> str:
    with pytest.raises(ValueError, match=r".") as raised:
        source().parse(body)
    text = str(raised.value)
    assert "\n" not in text
    assert len(text) < 200
    return text


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_alert_is_read_with_the_fingerprint_alertmanager_gave_it(name: str) -> None:
    for body, (notices, group_key, _) in zip(bodies(name), deliveries(name), strict=True):
        told = json.loads(body)
        assert group_key == told["groupKey"]
        assert [notice.fingerprint for notice in notices] == [alert["fingerprint"] for alert in told["alerts"]]
        assert [fingerprint_of(notice.labels) for notice in notices] == [alert["fingerprint"] for alert in told["alerts"]]
        assert [notice.firing for notice in notices] == [alert["status"] == "firing" for alert in told["alerts"]]
        assert all((notice.ends_at is None) == notice.firing for notice in notices)


def test_one_alert_of_a_group_resolves_while_the_group_still_fires() -> None:
    lifecycle = [[notice.firing for notice in notices] for notices, _, _ in deliveries("grouped-lifecycle")]
    assert [len(firing) for firing in lifecycle] == [3, 4, 4, 3, 3]
    assert [firing.count(False) for firing in lifecycle] == [0, 0, 1, 0, 3]


def test_a_refire_has_the_same_fingerprint_and_a_newer_start() -> None:
    notices = [notice for delivered, _, _ in deliveries("refire") for notice in delivered]
    assert len({notice.fingerprint for notice in notices}) == 1
    starts = [notice.starts_at for notice in notices if notice.firing]
    assert starts == sorted(set(starts))
    assert len(starts) > 1


def test_what_max_alerts_cut_off_is_counted() -> None:
    assert next(truncated for _, _, truncated in deliveries("truncated-max-alerts")) == 3


def test_quotes_newlines_and_escapes_arrive_as_they_were_written() -> None:
    (notices, _, _) = deliveries("unicode-and-quoting")[0]
    assert notices[0].labels["alertname"] == 'Größe "quoted" \\ back'
    assert notices[0].labels["service"] == 'check{out},a="b"\nline2'
    assert "<b>&amp;" in notices[0].annotations["summary"]
    assert notices[0].generator_url == ""


def test_external_labels_of_a_real_prometheus_are_part_of_the_labels() -> None:
    notices = [notice for delivered, _, _ in deliveries("from-prometheus-kube-rules") for notice in delivered]
    crash = next(notice for notice in notices if notice.name == "KubePodCrashLooping")
    assert crash.labels["job"] == "kube-state-metrics"
    assert "cluster" in crash.labels


def test_fields_of_newer_versions_are_passed_over() -> None:
    document = json.loads((FIXTURES / "synthetic-0.34-shape.json").read_text(encoding="utf-8"))["body"]
    notices, group_key, truncated = source().parse(json.dumps(document).encode())
    assert len(notices) == 3
    assert group_key == document["groupKey"]
    assert truncated == 0
    assert notices[0].starts_at == datetime(2026, 11, 23, 0, 31, 7, 507000, UTC)


def test_null_maps_and_missing_fields_have_defaults() -> None:
    notice = one(labels=None, annotations=None, fingerprint=None, generatorURL=None, endsAt=None)
    assert (notice.labels, notice.annotations, notice.generator_url, notice.ends_at) == ({}, {}, "", None)
    assert notice.fingerprint == "cbf29ce484222325"
    bare = {"version": "4", "alerts": []}
    assert source().parse(json.dumps(bare).encode()) == ((), "", 0)


def test_a_zero_end_means_firing_whatever_the_status_says() -> None:
    assert one(status="resolved").firing
    assert one(status=None).firing


def test_a_resolved_alert_has_its_end() -> None:
    notice = one(status="resolved", endsAt="2026-11-23T00:05:00.25Z")
    assert not notice.firing
    assert notice.ends_at == datetime(2026, 11, 23, 0, 5, 0, 250000, UTC)


def test_the_timeout_of_a_firing_alert_is_not_its_end() -> None:
    notice = one(endsAt="2026-11-23T00:05:00Z")
    assert notice.firing
    assert notice.ends_at is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T00:35:58.710769182Z", datetime(2026, 11, 23, 0, 35, 58, 710769, UTC)),
        ("2026-11-23T00:35:58.7Z", datetime(2026, 11, 23, 0, 35, 58, 700000, UTC)),
        ("2026-11-23T02:35:58+02:00", datetime(2026, 11, 23, 0, 35, 58, 0, UTC)),
        ("2026-11-22t19:05:58.000001-05:30", datetime(2026, 11, 23, 0, 35, 58, 1, UTC)),
    ],
)
def test_times_are_read_in_every_zone_and_precision(text: str, expected: datetime) -> None:
    assert rfc3339(text, "startsAt") == expected


@pytest.mark.parametrize(
    "text", ["", "20261123T003558Z", "2026-11-23T00:35:58", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "2026-11-23T00:00:00.1234567890Z", 5, None]
)
def test_what_is_no_time_is_refused_by_name(text: Any) -> None:
    with pytest.raises(ValueError, match="startsAt of alert 7"):
        rfc3339(text, "startsAt of alert 7")


def test_another_version_is_refused_with_the_version_it_had() -> None:
    assert "'3'" in refusal(json.dumps(webhook(version="3")).encode())
    assert "'4'" in refusal(json.dumps(webhook(version=4)).encode())


def test_a_templated_payload_is_told_which_setting_to_remove() -> None:
    assert "payload" in refusal(b'{"text": "something burns"}')
    assert "payload" in refusal(b'{"version": "4", "text": "something burns"}')
    assert "payload" in refusal(b'["something burns"]')
    assert "payload" in refusal(b"something burns")
    assert "payload" in refusal(b"\xff\xfe")
    assert "payload" in refusal(b"[" * 200_000)


def test_grafana_is_recognised() -> None:
    assert "Grafana" in refusal(json.dumps(webhook(version="1", orgId=1)).encode())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"startsAt": None}, "startsAt of alert 1"),
        ({"startsAt": "0001-01-01T00:00:00Z"}, "startsAt of alert 1"),
        ({"endsAt": "soon"}, "endsAt of alert 1"),
        ({"labels": {"a": 1}}, "labels of alert 1"),
        ({"labels": ["a"]}, "labels of alert 1"),
        ({"labels": {"a": "\ud800"}}, "labels of alert 1"),
        ({"annotations": "none"}, "annotations of alert 1"),
        ({"fingerprint": 7}, "fingerprint"),
    ],
)
def test_an_alert_without_an_identity_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    assert named in refusal(with_alert(**changes))


@pytest.mark.parametrize("changes", [{"truncatedAlerts": "many"}, {"truncatedAlerts": -1}, {"truncatedAlerts": True}, {"groupKey": 4}, {"alerts": [1]}])
def test_a_wrong_frame_is_refused(changes: dict[str, Any]) -> None:
    assert "version 4" in refusal(json.dumps(webhook(**changes)).encode())


def test_the_name_of_the_source_is_a_setting() -> None:
    assert source().source == "alertmanager"
    assert build(Settings(source="eu"), StillClock()).source == "eu"


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="extra_forbidden"):
        Settings.model_validate({"name": "x"})


@pytest.mark.parametrize("start", ["0001-01-01T00:00:10Z", "1999-12-31T23:59:59Z"])
def test_promise_13_a_start_that_cannot_be_reckoned_with_is_refused_by_name(start: str) -> None:
    with pytest.raises(ValueError, match=r"^startsAt of alert 1 \('Disk\\nFull'\) is before the year 2000$"):
        source().parse(with_alert(startsAt=start, labels={"alertname": "Disk\nFull"}))


def test_the_first_second_of_the_year_2000_is_a_start() -> None:
    assert source().parse(with_alert(startsAt="2000-01-01T00:00:00Z"))[0][0].starts_at.year == 2000
