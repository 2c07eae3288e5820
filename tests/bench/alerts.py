"""Alertmanager's webhook bodies for the load: alerts that lead to no target, each with an identity of its own."""

import json
from datetime import UTC, datetime

BEGAN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def webhook(group: int, size: int) -> tuple[bytes, tuple[str, ...]]:
    """A group of so many firing alerts, and their fingerprints."""
    names = tuple(f"{group:08x}{number:08x}" for number in range(size))
    alerts = [
        {
            "status": "firing",
            "labels": {"alertname": "Load", "namespace": "bench", "instance": name},
            "annotations": {"summary": "load"},
            "startsAt": BEGAN.isoformat(),
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "",
            "fingerprint": name,
        }
        for name in names
    ]
    body = {
        "version": "4",
        "groupKey": f'{{}}:{{group="{group}"}}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "backout",
        "groupLabels": {"group": str(group)},
        "commonLabels": {"alertname": "Load"},
        "commonAnnotations": {},
        "externalURL": "",
        "alerts": alerts,
    }
    return json.dumps(body).encode(), names
