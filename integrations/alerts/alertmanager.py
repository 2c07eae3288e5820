"""Parses Alertmanager's webhook, version 4, into alert notices. Pure: who may send, what is kept and what an alert means are left to others.

Lenient towards what newer versions add and older ones leave out; strict about what an episode's identity needs (labels and start). An error text is one
line, for Alertmanager writes it into its own log. https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.domain.model import AlertNotice
from service.domain.ports import Clock

VERSION = "4"

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))")
_ZERO = datetime.min.replace(tzinfo=UTC)
_OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
_FNV_OFFSET, _FNV_PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, 0xFFFFFFFFFFFFFFFF


class Settings(BaseModel):
    """How alerts of this sender are named."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(
        default="alertmanager",
        min_length=1,
        description="Name of the source within an episode's identity; peers of one Alertmanager cluster share it. Default: alertmanager.",
    )


class AlertmanagerWebhook:
    """An `AlertSource`. `parse` raises ValueError with one line when the body is no webhook of version 4."""

    def __init__(self, settings: Settings) -> None:
        self._source = settings.source

    @property
    def source(self) -> str:
        """The name within an episode's identity."""
        return self._source

    def parse(self, body: bytes) -> tuple[Sequence[AlertNotice], str, int]:
        """The notices in the sender's order, the group key ("" if it sent none), and how many alerts `max_alerts` cut off."""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ValueError("the body is not JSON; expected an Alertmanager webhook of version 4 (no `payload:` template in webhook_configs)") from error
        if not isinstance(document, dict):
            raise ValueError("the body is no JSON object; expected an Alertmanager webhook of version 4 (no `payload:` template in webhook_configs)")  # noqa: TRY004  one kind
        _check_version(document)
        alerts = document.get("alerts")
        if not isinstance(alerts, list):
            raise ValueError("the body has no list `alerts`; expected an Alertmanager webhook of version 4 (remove the `payload:` template)")  # noqa: TRY004  one kind
        truncated, group_key = document.get("truncatedAlerts") or 0, document.get("groupKey") or ""
        if isinstance(truncated, bool) or not isinstance(truncated, int) or truncated < 0 or not isinstance(group_key, str):
            raise ValueError("`truncatedAlerts` must be a number and `groupKey` a text, as in an Alertmanager webhook of version 4")
        return tuple(_notice(alert, number) for number, alert in enumerate(alerts, start=1)), group_key, truncated


def _check_version(document: Mapping[str, Any]) -> None:
    version = document.get("version")
    if version == VERSION:
        return
    if "orgId" in document:
        raise ValueError("this looks like Grafana's webhook, not Alertmanager's; send it to the intake for Grafana, or point an Alertmanager here")
    if version is None:
        raise ValueError("the body has no `version`; expected an Alertmanager webhook of version 4: remove the `payload:` template of this receiver")
    raise ValueError(f"the webhook's version is {str(version)[:20]!r}; expected '4', which every Alertmanager since 0.15 sends")


def _notice(alert: Any, number: int) -> AlertNotice:
    if not isinstance(alert, dict):
        raise ValueError(f"alert {number} is no object; expected an Alertmanager webhook of version 4")  # noqa: TRY004  callers know one kind of error
    labels, annotations = _texts(alert.get("labels"), f"labels of alert {number}"), _texts(alert.get("annotations"), f"annotations of alert {number}")
    starts_at = rfc3339(alert.get("startsAt"), f"startsAt of alert {number}")
    if starts_at == _ZERO:
        raise ValueError(f"startsAt of alert {number} is the zero time; an alert without a start has no identity")
    if starts_at < _OLDEST:  # nothing fires that long: a template or a clock is wrong, and times before it cannot be reckoned with
        raise ValueError(f"startsAt of alert {number} ({labels.get('alertname', '')[:200]!r}) is before the year 2000")
    ends_at = _ZERO if alert.get("endsAt") is None else rfc3339(alert["endsAt"], f"endsAt of alert {number}")
    # A zero end is Go's way to say "not ended", whatever the status says; a firing alert's end, if any, is only the sender's timeout.
    firing = ends_at == _ZERO or alert.get("status") == "firing"
    fingerprint, generator_url = alert.get("fingerprint") or fingerprint_of(labels), alert.get("generatorURL") or ""
    if not isinstance(fingerprint, str) or not isinstance(generator_url, str):
        raise ValueError(f"fingerprint and generatorURL of alert {number} must be texts")  # noqa: TRY004  callers know one kind of error
    return AlertNotice(
        fingerprint=fingerprint,
        firing=firing,
        starts_at=starts_at,
        ends_at=None if firing else ends_at,
        labels=labels,
        annotations=annotations,
        generator_url=generator_url,
    )


def _texts(value: Any, what: str) -> Mapping[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError(f"the {what} must be a map of texts")
    try:
        "".join(text for pair in value.items() for text in pair).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the {what} hold text that is no Unicode (a lone surrogate)") from error
    return value


def rfc3339(value: Any, what: str) -> datetime:
    """The time in UTC, cut to microseconds, from RFC 3339 with up to nine fractional digits; ValueError names `what`."""
    found = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{what} is no RFC 3339 time")
    date, time, fraction, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1) if sign else timedelta(0)
    try:
        moment = datetime.fromisoformat(f"{date}T{time}").replace(microsecond=int((fraction or "0").ljust(6, "0")[:6]), tzinfo=timezone(offset))
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{what} is no time that exists") from error


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """Alertmanager's own fingerprint of a label set: FNV-1a-64 over the sorted names and values, each followed by 0xff; 16 hex digits."""
    total = _FNV_OFFSET
    for name in sorted(labels, key=lambda text: text.encode()):
        for byte in b"".join(text.encode() + b"\xff" for text in (name, labels[name])):
            total = ((total ^ byte) * _FNV_PRIME) & _MASK
    return f"{total:016x}"


def build(settings: Settings, clock: Clock) -> AlertmanagerWebhook:  # noqa: ARG001  every integration is built with a clock; parsing needs none
    """The alert source."""
    return AlertmanagerWebhook(settings)
