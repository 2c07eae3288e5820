"""Captures a target for the record: live manifests of a workload, its ReplicaSets and pods with their events, or the server groups of a cluster."""

import asyncio
from collections.abc import Awaitable, Callable

from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.facts import Reader
from integrations.delivery.spinnaker.group_facts import LookedCluster, a_cluster
from integrations.delivery.spinnaker.manifest_facts import LookedManifest, pod_names
from integrations.json_shapes import Body, entries, number, part, text
from integrations.manifests import shown, shown_text
from service.domain.errors import BackoutError
from service.domain.model import Json, TargetId
from service.domain.ports import Basket, Captured

PODS = 6
"""So many pods at most."""
NO_LOGS = "logs: Backout reads none through Gate"


async def capture(client: Client, reader: Reader, target: TargetId, into: Basket) -> None:
    """Add what can be had, each part by itself: one that fails is named as missing and keeps no other one back."""
    looked = await reader.get(target)
    into.missing.append(NO_LOGS)
    if not isinstance(looked, LookedManifest):
        await _groups(client, a_cluster(looked), into)
        return
    _add(into, looked.address.spoken, looked.body)
    live = looked.live_revision
    names = [f"replicaSet {live.name}"] if live is not None and live.name else []
    await asyncio.gather(_part(into, "pods", lambda: _pods(client, reader, looked, into)), *(_object(client, looked, name, into) for name in names))


async def _groups(client: Client, looked: LookedCluster, into: Basket) -> None:
    """Each server group with its machines, as Spinnaker shows it."""

    async def one(name: str) -> None:
        async def take() -> None:
            address = looked.address
            body = (await client.server_group(looked.application, address.account, address.region, name)).body
            into.items.append(Captured(kind="manifest", name=f"server group {name}", text=shown(part(body))))

        await _part(into, f"server group {name}", take)

    await asyncio.gather(*(one(group.name) for group in looked.cluster.groups))


async def _pods(client: Client, reader: Reader, looked: LookedManifest, into: Basket) -> None:
    names = pod_names(await reader.manifests.groups(looked))
    if len(names) > PODS:
        into.missing.append(f"{len(names) - PODS} pods: only {PODS} are looked at")
    await asyncio.gather(*(_object(client, looked, f"pod {name}", into) for name in names[:PODS]))


async def _object(client: Client, looked: LookedManifest, name: str, into: Basket) -> None:
    async def take() -> None:
        _add(into, name, (await client.manifest(looked.address.account, looked.address.location, name)).body)

    await _part(into, name, take)


async def _part(into: Basket, what: str, take: Callable[[], Awaitable[None]]) -> None:
    try:
        await take()
    except BackoutError as error:
        into.missing.append(f"{what}: {error}")


def _add(into: Basket, name: str, body: Json) -> None:
    manifest = part(body, "manifest")
    if not manifest:
        into.missing.append(f"{name}: Gate shows no manifest")
        return
    into.items.append(Captured(kind="manifest", name=name, text=shown(manifest)))
    if lines := [_line(event) for event in entries(body.get("events"))]:
        into.items.append(Captured(kind="events", name=name, text=shown_text("\n".join(sorted(lines)))))


def _line(event: Body) -> str:
    """When, how often, type, reason, message."""
    at = text(event.get("lastTimestamp")) or text(event.get("eventTime")) or text(event.get("firstTimestamp"))
    return f"{at} {number(event.get('count')) or 1} times {text(event.get('type'))} {text(event.get('reason'))}: {text(event.get('message'))}"
