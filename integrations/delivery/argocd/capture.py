"""Captures an application for the record: its live manifests, the events around it, and the last lines that its containers wrote.

Logs need the right `logs, get`, which Argo CD asks for since 3.0; without it they are missing, and the record says so. What a log looks like that Argo CD
could not read (200 all the same) was seen on 3.2.11: the kubelet's error stands where a line would, without a time, and of a pod that is not there comes
nothing at all, not even the last message (tests/contract/argocd/test_logs.py).
"""

import asyncio
import json
from collections.abc import Awaitable, Callable

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.client import Client
from integrations.delivery.argocd.facts import Looked, Reader
from integrations.manifests import shown, shown_text
from service.domain.errors import BackoutError
from service.domain.model import TargetId
from service.domain.ports import Basket, Captured

PODS = 6
"""So many pods' logs and events at most, those that are not ready first: they are the ones that tell."""
LINES = 200


async def capture(client: Client, reader: Reader, target: TargetId, into: Basket) -> None:
    """Add what can be had, each part by itself: one that fails is named as missing and keeps no other one back."""
    looked = await reader.get(target)
    await asyncio.gather(
        _part(into, "manifests", lambda: _manifests(client, looked, into)),
        _part(into, "events of the application", lambda: _events(client, looked, into)),
        _part(into, "pods", lambda: _pods(client, looked, into)),
    )


async def _part(into: Basket, what: str, take: Callable[[], Awaitable[None]]) -> None:
    try:
        await take()
    except BackoutError as error:
        into.missing.append(f"{what}: {error}")


async def _manifests(client: Client, looked: Looked, into: Basket) -> None:
    for item in reading.entries((await client.managed_resources(looked.ref)).body.get("items")):
        live = _object(item.get("liveState"))
        if live:
            into.items.append(Captured(kind="manifest", name=str(reading.object_ref(item)), text=shown(live)))


async def _events(client: Client, looked: Looked, into: Basket) -> None:
    into.items.append(_captured("events", "application", _event_lines((await client.events(looked.ref)).body)))


async def _pods(client: Client, looked: Looked, into: Basket) -> None:
    tree = (await client.resource_tree(looked.ref)).body
    pods = sorted(reading.pods_of_tree(tree, reading.objects_of(looked.app)), key=_healthy)
    for pod in pods[PODS:]:
        into.missing.append(f"logs of pod {reading.text(pod.get('name'))}: only {PODS} pods are looked at, those that are not healthy first")
    await asyncio.gather(*(_pod(client, looked, pod, into) for pod in pods[:PODS]))


async def _pod(client: Client, looked: Looked, pod: reading.Body, into: Basket) -> None:
    name, namespace = reading.text(pod.get("name")), reading.text(pod.get("namespace"))

    async def events() -> None:
        into.items.append(_captured("events", f"pod {name}", _event_lines((await client.events(looked.ref, about=pod)).body)))

    async def log() -> None:
        text, why = _log(await client.logs(looked.ref, name, namespace, lines=LINES))
        if text or not why:
            into.items.append(_captured("log", f"pod {name}", text))
        if why:
            into.missing.append(f"log of pod {name}: {shown_text(why)}")

    await asyncio.gather(_part(into, f"events of pod {name}", events), _part(into, f"log of pod {name}", log))


def _healthy(pod: reading.Body) -> tuple[bool, str]:
    return reading.text(reading.part(pod, "health").get("status")) == "Healthy", reading.text(pod.get("name"))


def _captured(kind: str, name: str, body: str) -> Captured:
    return Captured(kind=kind, name=name, text=shown_text(body))


def _event_lines(body: reading.Body) -> str:
    """One line an event, oldest first: when, how often, type, reason, message."""
    rows = []
    for event in reading.entries(body.get("items")):
        at = reading.text(event.get("lastTimestamp")) or reading.text(event.get("eventTime")) or reading.text(event.get("firstTimestamp"))
        count = event.get("count") or 1
        rows.append(f"{at} {count} times {reading.text(event.get('type'))} {reading.text(event.get('reason'))}: {reading.said(event.get('message'))}")
    return "\n".join(sorted(rows))


def _log(raw: str) -> tuple[str, str]:
    """The lines of the stream's messages, and why they are not all; what is no message (a broken line) is kept as it came.

    A line of a container has its time. One without is Argo CD's own: what the kubelet answered instead of a log.
    """
    told, whys, ended = [], [], False
    for line in (one for one in raw.splitlines() if one.strip()):
        whole = _object(line)
        message, error = reading.part(whole, "result"), reading.part(whole, "error")
        if error:
            whys.append(reading.text(error.get("message")) or "Argo CD ended it with an error")
        elif not message:
            told.append(line)
        elif message.get("last"):
            ended = True
        elif message.get("timeStamp"):
            told.append(f"{reading.text(message.get('timeStampStr'))} {reading.text(message.get('content'))}".strip())
        else:
            whys.append(f"Argo CD could not read it: {reading.text(message.get('content'))}")
    if not whys and not ended:
        whys.append("it ended without its last message, so there is no such pod any more, or it was cut off")
    return "\n".join(told), "; ".join(whys)


def _object(raw: object) -> reading.Body:
    try:
        value = json.loads(raw) if isinstance(raw, str) else None
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
