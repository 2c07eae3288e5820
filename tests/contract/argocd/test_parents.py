"""Applications that a parent application declares: which of them take a stopped auto-sync back, and when."""

import json
from typing import Any

import pytest

from tests.contract.argocd.server import CLUSTER, ArgoCDServer, GitRepository, Json, config_map

HEALS: Json = {"prune": True, "selfHeal": True}
SYNCS: Json = {"prune": True}
STOPPED = {**HEALS, "enabled": False}
IGNORES: Json = {
    "ignoreDifferences": [{"group": "argoproj.io", "kind": "Application", "jsonPointers": ["/spec/syncPolicy/automated/enabled"]}],
    "syncPolicy": {"automated": HEALS, "syncOptions": ["CreateNamespace=true", "RespectIgnoreDifferences=true"]},
}


class Family:
    """A parent and its child; the child's declaration lies in `repository`, and changes with `declare`."""

    def __init__(self, server: ArgoCDServer, child: str, parent: str, repository: GitRepository, automated: Json) -> None:
        self.server, self.child, self.parent = server, child, parent
        self._repository, self._automated = repository, automated

    def declare(self, note: str, *, options: str = "") -> str:
        """Commit the child's manifest; `note` makes it differ from the one before."""
        about = {"note": note} | ({"argocd.argoproj.io/sync-options": options} if options else {})
        spec = {
            "project": "default",
            "source": {"repoURL": self._repository.url, "path": "shop", "targetRevision": "main"},
            "destination": {"server": CLUSTER, "namespace": self.child},
            "syncPolicy": {"automated": self._automated, "syncOptions": ["CreateNamespace=true"]},
        }
        metadata = {"name": self.child, "namespace": "argocd", "annotations": about}
        child = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": metadata, "spec": spec}
        files = {"deploy/child.json": child, "shop/cm.json": config_map(self.child, "1")}
        return self._repository.commit(files, f"declare {note}")

    async def until_declared(self, note: str) -> Json:
        """The child once its parent has synced that declaration, and looked at the result."""
        await self.server.app(self.parent, "?refresh=normal")

        async def there() -> Json | None:
            answer = await self.server.call("GET", f"/api/v1/applications/{self.child}", by="admin")
            found = answer.status == 200 and answer.body["metadata"].get("annotations", {}).get("note") == note
            return answer.body if found else None

        await self.server.until(there, f"the declaration {note}")
        await self.server.settled(self.parent)
        return await self.server.app(self.child)

    async def automated(self) -> Json:
        """The child's auto-sync."""
        found: Json = (await self.server.app(self.child))["spec"]["syncPolicy"]["automated"]
        return found


async def family(server: ArgoCDServer, automated: Json, *, options: str = "", **parent: Any) -> Family:
    """A parent that syncs by itself, and its child, deployed, with auto-sync stopped by hand."""
    child = server.unique("child")
    repository = server.create_repository(child)
    found = Family(server, child, server.unique("parent"), repository, automated)
    found.declare("first", options=options)
    server.apps.append(child)  # first taken away last: a parent would make it anew
    spec: Json = {"syncPolicy": {"automated": HEALS}} | parent
    await server.create_app(found.parent, repository, destination={"server": CLUSTER, "namespace": "argocd"}, **spec)
    await found.until_declared("first")

    async def deployed() -> bool:
        app = await server.app(child)
        return bool(app["status"].get("history")) and "operation" not in app

    await server.until(deployed, "the child to be deployed")
    server.apps.reverse()
    return found


async def stop(found: Family) -> Json:
    """Stop the child's auto-sync, as Backout does."""
    patch = json.dumps({"spec": {"syncPolicy": {"automated": {"enabled": False}}}})
    done: Json = await found.server.must("PATCH", f"/api/v1/applications/{found.child}", {"patch": patch, "patchType": "merge"}, by="backout")
    return done


KEEPS = [
    pytest.param(HEALS, {}, id="git-leaves-enabled-out"),
    pytest.param({**HEALS, "enabled": True}, IGNORES, id="ignored-and-respected"),
]


@pytest.mark.parametrize(("declared", "parent"), KEEPS)
async def test_a_stopped_auto_sync_stays_through_a_parents_syncs(server: ArgoCDServer, declared: Json, parent: Json) -> None:
    found = await family(server, declared, **parent)

    await stop(found)
    found.declare("second")
    app = await found.until_declared("second")

    async def in_sync() -> bool:
        return bool((await server.app(found.parent, "?refresh=normal"))["status"]["sync"]["status"] == "Synced")

    await server.until(in_sync, "the parent to see no difference")
    assert app["spec"]["syncPolicy"]["automated"] == STOPPED


async def test_a_parent_that_heals_itself_takes_it_back_at_once_where_its_git_says_enabled(server: ArgoCDServer) -> None:
    found = await family(server, {**HEALS, "enabled": True})

    stopped = await stop(found)

    async def back() -> bool:
        return await found.automated() == {**HEALS, "enabled": True}

    await server.until(back, "the parent to heal its child")
    assert stopped["spec"]["syncPolicy"]["automated"] == STOPPED


@pytest.mark.parametrize(
    ("declared", "options", "left"),
    [
        pytest.param({**HEALS, "enabled": True}, "", {**HEALS, "enabled": True}, id="git-says-enabled"),
        pytest.param(HEALS, "Replace=true", HEALS, id="replace"),
    ],
)
async def test_a_parent_that_only_syncs_takes_it_back_at_its_next_sync(server: ArgoCDServer, declared: Json, options: str, left: Json) -> None:
    found = await family(server, declared, options=options, syncPolicy={"automated": SYNCS})

    await stop(found)
    await server.app(found.parent, "?refresh=hard")
    before = await found.automated()
    found.declare("second", options=options)
    app = await found.until_declared("second")

    assert (before, app["spec"]["syncPolicy"]["automated"]) == (STOPPED, left)
