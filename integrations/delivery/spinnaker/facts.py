"""Reads facts about targets, live: what Gate says of them now, and what Spinnaker ran. An outside failure is an Absent with Gate's words.

Nothing here writes. What a look at each kind of target finds stands in `manifest_facts.py` and `group_facts.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from integrations.delivery.answering import PODS_HOLD, SLOW, VOLATILE, Answer, Answering
from integrations.delivery.looks import Looks
from integrations.delivery.spinnaker.asking import Applications
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.group_facts import Clusters, a_cluster
from integrations.delivery.spinnaker.image_source import source_of
from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress
from integrations.delivery.spinnaker.looked import Looked, acts_of
from integrations.delivery.spinnaker.manifest_facts import LookedManifest, Manifests, a_manifest
from integrations.delivery.spinnaker.names import address_of
from integrations.delivery.spinnaker.own_pipeline import chosen, own_pipeline_of
from integrations.delivery.spinnaker.settings import Settings
from integrations.json_shapes import Body, part, text
from integrations.moment import read_once
from service.domain.difference import Rendered
from service.domain.errors import RefusedError, TemporaryError
from service.domain.facts import Absent, Evidence, Fact, Key, Known
from service.domain.keys import Act, ConfigLeft, ImageConfig, OwnPipeline, Permissions, Pod, Rollout, RolloutBack, ServerGroups, TargetState, Window
from service.domain.model import Image, Json, ObjectRef, TargetId
from service.domain.ports import Clock, ListedTarget, Listing

FREE = "Spinnaker has no windows over what is asked of it ad hoc; execution windows hold stages of pipelines alone"


class Reader:
    """Inventory, looks and facts of one Gate. Remembers nothing between two looks."""

    def __init__(self, settings: Settings, client: Client, clock: Clock) -> None:
        self._settings = settings
        self._client = client
        self._clock = clock
        self.applications = Applications(client, clock)
        self.manifests = Manifests(settings, client, self.applications)
        self.clusters = Clusters(settings, client, self.applications, clock)
        self._looks = Looks[TargetId, Looked](self.get)
        answers: Mapping[str, Answer] = {
            "state": self._state,
            "sync window": self._window,
            "acts": self._acts,
            "own pipeline": self._own_pipeline,
            "pods": self._pods,
            "permissions": self._permissions,
            "rendered images": self._images,
            "rendered manifests": self._rendered,
            "leftovers": self._leftovers,
            "prune confirmations": self._confirmations,
            "rollouts": self._rollouts,
            "rollouts back": self._rollouts_back,
            "server groups": self._groups,
            "machine image": self._machine_image,
            "configs left": self._configs_left,
        }
        fix = "a Gate that answers, and the rights to read; `backout doctor` looks at both"
        self._answering = Answering(answers, system="Spinnaker", source=f"spinnaker:{settings.name}", fix=fix, clock=clock)

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of facts answered."""
        return self._answering.kinds

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """The fact, or Absent with what Gate said."""
        return await self._answering.read(key)

    # --- inventory ---

    async def targets(self) -> Listing:
        """Every target of the configured applications. Complete only if each of them could be read."""
        found: list[ListedTarget] = []
        short: list[str] = []
        for application in self._settings.applications:
            try:
                found += await self.manifests.listed(application)
                found += await self.clusters.listed(application)
            except (RefusedError, TemporaryError) as error:
                short.append(f"{application}: {error}")
        if short and len(short) == len(self._settings.applications):
            raise TemporaryError("; ".join(short))
        return Listing(targets=tuple(found), complete=not short, says=f"not all applications could be read: {'; '.join(short)}" if short else "")

    def changes(self) -> AsyncIterator[TargetId | None] | None:
        """None: Gate tells nothing by itself, so it is polled."""
        return None

    # --- one target ---

    async def look(self, target: TargetId) -> TargetState:
        """The target now. Raises what reading raises; RefusedError when it is gone, or not ours to look after."""
        return (await self.get(target)).state()

    async def get(self, target: TargetId, *, anew: bool = False) -> Looked:
        """One live read with everything that may matter for an act.

        Within one moment (`integrations.moment`) the read before serves as well, unless it has to be `anew`.
        """
        return await read_once(target, lambda: self._get(target, anew=anew), anew=anew)

    async def _get(self, target: TargetId, *, anew: bool) -> Looked:
        address = address_of(target)
        if isinstance(address, ManifestAddress):
            return await self.manifests.get(target, address, anew=anew)
        return await self.clusters.get(target, address, anew=anew)

    # --- facts ---

    async def _state(self, target: TargetId) -> Known[TargetState]:
        looked = await self._looks.look(target)
        return self._answering.known(looked.state(), looked.reply, VOLATILE)

    async def _window(self, target: TargetId) -> Known[Window]:
        looked = await self._looks.look(target)
        return self._answering.known(Window(open=True, says=FREE), looked.reply, VOLATILE)

    async def _acts(self, target: TargetId) -> Known[tuple[Act, ...]]:
        looked = await self._looks.look(target)
        return self._answering.known(acts_of(looked), looked.reply, VOLATILE, what=f"runs and tasks of {looked.application}")

    async def _pods(self, target: TargetId) -> Known[tuple[Pod, ...]]:
        looked = await self._looks.look(target)
        return self._answering.known(await self._pods_of(looked), looked.reply, PODS_HOLD, what=f"pods of {looked.spoken}")

    async def _pods_of(self, looked: Looked) -> tuple[Pod, ...]:
        if isinstance(looked, LookedManifest):
            return await self.manifests.pods(looked)
        return a_cluster(looked).pods()

    async def _groups(self, target: TargetId) -> Known[ServerGroups]:
        looked = a_cluster(await self._looks.look(target))
        return self._answering.known(looked.facts(), looked.reply, VOLATILE, what=f"server groups of {looked.spoken}")

    async def _machine_image(self, subject: tuple[TargetId, str, str]) -> Fact[ImageConfig]:
        looked = a_cluster(await self._looks.look(subject[0]))
        found = source_of(looked.group_of(subject[1], subject[2]), looked.runs, self._settings.packages)
        if isinstance(found, Absent):
            return found
        return self._answering.known(found, looked.reply, VOLATILE, what=f"image of server group {subject[2]}, and the runs that baked it")

    async def _configs_left(self, subject: tuple[TargetId, str, str]) -> Known[tuple[ConfigLeft, ...]]:
        looked = a_manifest(await self._looks.look(subject[0]))
        found = await self.manifests.configs_left(looked, subject[1], subject[2])
        return self._answering.known(found, looked.reply, VOLATILE, what=f"ConfigMaps and Secrets that {looked.spoken} named, and the runs of its deploys")

    async def _permissions(self, target: TargetId) -> Known[Permissions]:
        looked = await self._looks.look(target)
        application, user = await asyncio.gather(self._client.application(looked.application), self._client.user())
        found = permissions_of(part(application.body), user.body, looked.address.account)
        return self._answering.known(found, application, SLOW, what=f"/auth/user and the permissions of {looked.application}")

    async def _images(self, subject: tuple[TargetId, str, str]) -> Known[tuple[Image, ...]]:
        looked = await self._looks.look(subject[0])
        return self._answering.known(looked.images_of(subject[1], subject[2]), looked.reply, SLOW)

    async def _rendered(self, subject: tuple[TargetId, str, str]) -> Known[tuple[Rendered, ...]]:
        looked = await self._looks.look(subject[0])
        return self._answering.known(looked.rendered(subject[1], subject[2]), looked.reply, SLOW)

    async def _own_pipeline(self, subject: tuple[TargetId, str, str]) -> Known[OwnPipeline | None]:
        if chosen(self._settings, subject[0]) is None:
            evidence = Evidence(source=f"spinnaker:{self._settings.name}", what="rollback_pipelines in the settings", read_at=self._clock.now())
            return Known(value=None, evidence=evidence, good_for=SLOW)
        looked = await self._looks.look(subject[0])
        return self._answering.known(own_pipeline_of(self._settings, looked, subject[1]), looked.reply, VOLATILE, what=f"pipelines of {looked.application}")

    async def _leftovers(self, subject: tuple[TargetId, str]) -> Known[tuple[ObjectRef, ...]]:
        looked = await self._looks.look(subject[0])
        return self._answering.known((), looked.reply, SLOW, what=looked.deletes)

    async def _confirmations(self, subject: tuple[TargetId, tuple[ObjectRef, ...]]) -> Known[tuple[ObjectRef, ...]]:
        looked = await self._looks.look(subject[0])
        return self._answering.known((), looked.reply, SLOW, what=looked.deletes)

    async def _rollouts(self, target: TargetId) -> Known[tuple[Rollout, ...]]:
        looked = await self._looks.look(target)
        return self._answering.known((), looked.reply, SLOW, what=looked.steps)

    async def _rollouts_back(self, subject: tuple[TargetId, str, str]) -> Known[tuple[RolloutBack, ...]]:
        looked = await self._looks.look(subject[0])
        return self._answering.known((), looked.reply, SLOW, what=looked.steps)


SPOKEN = {"get": "read", "sync": "act on", "update": "change the pipelines of"}
"""Permission -> how it is said: what Gate checks is READ, EXECUTE and WRITE of an application and of an account, and nothing there is synced."""


def permissions_of(application: Body, user: Json, account: str) -> Permissions:
    """What our account may do, as far as Gate tells; what it does not tell is left out and so unknown.

    No endpoint answers it (contract section 8): roles are compared with the application's permissions, which are absent where nothing is restricted. Source
    only: that `allowedAccounts` holds the accounts that may be written to. Without Fiat it is empty, and so it is for one who may write to none.
    """
    me: Body = user if isinstance(user, Mapping) else {}
    roles = {one for one in me.get("roles", []) if isinstance(one, str)} if isinstance(me.get("roles"), list) else set()
    wanted = part(application, "attributes", "permissions")
    allowed: dict[str, bool] = {"get": True}
    fix: dict[str, str] = {}
    accounts = me.get("allowedAccounts")
    listed = [one for one in accounts if isinstance(one, str)] if isinstance(accounts, list) else []
    name = text(application.get("name"))
    if listed or wanted:
        executes = wanted.get("EXECUTE", wanted.get("READ", []))  # Fiat falls back to READ where EXECUTE is not set, if it is set up so
        may = me.get("isAdmin") is True or not wanted or bool(roles & {one for one in executes if isinstance(one, str)})
        allowed["sync"] = may and account in listed
        if not allowed["sync"]:
            fix["sync"] = f"permissions of application {name}: EXECUTE, and of account {account}: WRITE, for a role of {text(me.get('username')) or 'Backout'}"
        allowed["update"] = me.get("isAdmin") is True or not wanted or bool(roles & {one for one in wanted.get("WRITE", []) if isinstance(one, str)})
        if not allowed["update"]:
            fix["update"] = f"permissions of application {name}: WRITE, for a role of {text(me.get('username')) or 'Backout'}"
    elif me:
        allowed |= {"sync": True, "update": True}
    return Permissions(allowed=allowed, fix=fix, spoken=SPOKEN)
