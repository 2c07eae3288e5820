"""Gate's calls about applications, saved pipelines, manifests, server groups and clusters (contract 5.2, 5.4)."""

from typing import Any
from urllib.parse import quote, urlencode

from integrations.sandbox.gate.access import Access
from integrations.sandbox.gate.clouddriver import answer_of
from integrations.sandbox.gate.echo import Echo
from integrations.sandbox.gate.edge import Call, Reply, Route
from integrations.sandbox.gate.refusals import DENIED, NOT_FOUND, BackendError, RefusedError, heard
from integrations.sandbox.gate.run_calls import not_configured
from integrations.sandbox.gate.settings import CLOUDDRIVER, FRONT50, Json
from integrations.sandbox.gate.tools import Tools

_NO_MANIFEST = "com.netflix.spinnaker.gate.services.ManifestService$ManifestNotFound"
_STALE = "The submitted pipeline is stale.  submitted updateTs {} does not match stored updateTs {}"


class CloudCalls:
    """Handlers; `routes` lists them."""

    def __init__(self, *, tools: Tools, echo: Echo, access: Access) -> None:
        self._tools = tools
        self._echo = echo
        self._access = access

    def routes(self) -> list[Route]:
        """Order matters: the first that fits serves."""
        cluster = "/applications/{app}/clusters/{account}/{cluster}"
        return [
            Route(method="GET", path="/applications", handle=self._applications),
            Route(method="GET", path="/applications/{app}", handle=self._application),
            Route(method="GET", path="/credentials", handle=self._credentials),
            Route(method="GET", path="/applications/{app}/pipelineConfigs", handle=self._configs),
            Route(method="GET", path="/applications/{app}/pipelineConfigs/{name}", handle=self._config),
            Route(method="GET", path="/pipelineConfigs/{id}/history", handle=self._history),
            Route(method="POST", path="/pipelines", handle=self._save, needs_body=True),
            Route(method="PUT", path="/pipelines/{id}", handle=self._update, needs_body=True),
            Route(method="DELETE", path="/pipelines/{app}/{name}", handle=self._delete),
            Route(method="GET", path="/manifests/{account}/{location}/{name}", handle=self._manifest),
            Route(method="GET", path="/applications/{app}/serverGroupManagers", handle=self._managers),
            Route(method="GET", path="/applications/{app}/serverGroups", handle=self._groups),
            Route(method="GET", path="/applications/{app}/serverGroups/{account}/{region}/{name}", handle=self._group),
            Route(method="GET", path="/applications/{app}/clusters", handle=self._clusters),
            Route(method="GET", path="/applications/{app}/clusters/{account}", handle=self._clusters_of),
            Route(method="GET", path=cluster, handle=self._cluster),
            Route(method="GET", path=f"{cluster}/serverGroups", handle=self._cluster_groups),
            Route(method="GET", path=f"{cluster}/{{provider}}/{{region}}/serverGroups/target/{{target}}", handle=self._target),
        ]

    # --- applications and pipelines ----------------------------------------------------------------------------------------

    async def _applications(self, _call: Call) -> Reply:
        if not self._tools.profile.caches:
            return Reply(body=[])
        return Reply(body=[self._tools.front50.applications[name] for name in sorted(self._tools.front50.applications)])

    async def _application(self, call: Call) -> Reply:
        name = call.parts["app"]
        known = self._tools.front50.applications.get(name)
        if known is None or (not self._tools.profile.caches and self._tools.faults.front50 is not None):
            if self._tools.profile.caches:
                raise RefusedError(404, f"Application not found (id: {name})", NOT_FOUND)
            known = {"name": name}
        return Reply(body={"attributes": known, "clusters": {}, "name": name})

    async def _credentials(self, _call: Call) -> Reply:
        accounts = self._tools.clouddriver.accounts if self._tools.profile.caches else {}
        plain: Json = {"authorized": True, "permissions": {}, "requiredGroupMembership": []}
        return Reply(body=[{**plain, "name": name, "type": kind} for name, kind in accounts.items()])

    def _front50(self, path: str) -> None:
        with heard("GET", f"{FRONT50}{path}"):
            answer_of(self._tools.faults.front50)

    async def _configs(self, call: Call) -> Reply:
        app = call.parts["app"]
        self._front50(f"/pipelines/{quote(app)}?refresh=true")
        self._may_read(call.user, app, f"{FRONT50}/pipelines/{quote(app)}?refresh=true")
        wanted = call.query.get("pipelineNameFilter", "").lower()
        return Reply(body=[one for one in self._tools.front50.pipelines(app) if wanted in one["name"].lower()])

    def _may_read(self, user: str, app: str, url: str) -> None:
        with heard("GET", url):
            self._access.demand(user, "READ", app)

    async def _config(self, call: Call) -> Reply:
        app, name = call.parts["app"], call.parts["name"]
        url = f"/pipelines/{quote(app)}/name/{quote(name)}?refresh=true"
        self._front50(url)
        self._may_read(call.user, app, f"{FRONT50}{url}")
        found = self._tools.front50.named(app, name)
        if found is None:
            raise not_configured(app, name)
        return Reply(body=found)

    async def _history(self, call: Call) -> Reply:
        self._front50(f"/pipelines/{call.parts['id']}/history")
        return Reply(body=self._tools.front50.history(call.parts["id"], int(call.query.get("limit") or 20)))

    def _save_now(self, call: Call, config: Json) -> None:
        """What the task that Gate starts and waits for does (read from the source; no recording)."""
        app = str(config.get("application"))
        if not self._access.may(call.user, "WRITE", app):
            raise RefusedError(403, "Access is denied", DENIED)
        self._front50("/pipelines")
        stored = self._tools.front50.pipeline(str(config.get("id")))
        if call.query.get("staleCheck") == "true" and stored is not None and stored["updateTs"] != config.get("updateTs"):
            raise RefusedError(
                400, _STALE.format(config.get("updateTs"), stored["updateTs"]), "com.netflix.spinnaker.gate.controllers.PipelineController$PipelineException"
            )
        self._echo.configs_change()
        try:
            answer_of(self._tools.faults.saves)
            self._tools.front50.save(config, call.user)
        except BackendError as error:
            raise RefusedError(400, error.message, "com.netflix.spinnaker.gate.controllers.PipelineController$PipelineException") from error

    async def _save(self, call: Call) -> Reply:
        self._save_now(call, dict(call.body))
        return Reply()

    async def _update(self, call: Call) -> Reply:
        self._save_now(call, {**call.body, "id": call.parts["id"]})
        return Reply(body=self._tools.front50.pipeline(call.parts["id"]))

    async def _delete(self, call: Call) -> Reply:
        found = next((one for one in self._tools.front50.pipelines(call.parts["app"]) if one["name"] == call.parts["name"]), None)
        if not self._access.may(call.user, "WRITE", call.parts["app"]):
            raise RefusedError(403, "Access is denied", DENIED)
        if found is not None:
            self._echo.configs_change()
            self._tools.front50.delete(found["id"])
        return Reply()

    # --- manifests and groups ----------------------------------------------------------------------------------------------

    def _asked(self, path: str, query: Any = None) -> None:
        with heard("GET", f"{CLOUDDRIVER}{path}" + (f"?{urlencode(query)}" if query else "")):
            self._tools.clouddriver.check()

    async def _manifest(self, call: Call) -> Reply:
        account, place, name = call.parts["account"], call.parts["location"], call.parts["name"]
        path = f"/manifests/{account}/{place}/{quote(name)}" + (f"?{urlencode(call.query)}" if call.query else "")
        with heard("GET", f"{CLOUDDRIVER}{path}"):
            found = self._tools.clouddriver.manifest(account, place, name)
        if found is None:
            raise RefusedError(404, f"Unable to find {name} in {account}/{place}", _NO_MANIFEST)
        app = str(found["moniker"].get("app") or "")
        if app:
            self._may_read(call.user, app, f"{CLOUDDRIVER}/manifests/{account}/{place}/{quote(name)}")
        return Reply(body=found)

    def _of(self, call: Call, path: str) -> list[Json]:
        app = call.parts["app"]
        self._asked(path)
        self._may_read(call.user, app, f"{CLOUDDRIVER}{path}")
        return self._tools.clouddriver.cached("managers" if path.endswith("Managers") else "groups", app)

    async def _managers(self, call: Call) -> Reply:
        return Reply(body=self._of(call, f"/applications/{quote(call.parts['app'])}/serverGroupManagers"))

    async def _groups(self, call: Call) -> Reply:
        found = self._of(call, f"/applications/{quote(call.parts['app'])}/serverGroups")
        clusters = [one.partition(":") for one in call.query.get("clusters", "").split(",") if one]
        provider = call.query.get("cloudProvider")
        kept = [one for one in found if not clusters or (one["account"], ":", one["cluster"]) in clusters]
        return Reply(body=[one for one in kept if provider in {None, "", one["cloudProvider"]}])

    async def _group(self, call: Call) -> Reply:
        app, account, region, name = (call.parts[key] for key in ("app", "account", "region", "name"))
        found = self._of(call, f"/applications/{quote(app)}/serverGroups/{account}/{region}/{quote(name)}")
        chosen = next((one for one in found if (one["account"], one["region"], one["name"]) == (account, region, name)), None)
        if chosen is None:
            raise RefusedError(404, f"Server group not found (id: {name})", NOT_FOUND)
        return Reply(body=chosen)

    async def _clusters(self, call: Call) -> Reply:
        found: dict[str, list[str]] = {}
        for one in self._of(call, f"/applications/{quote(call.parts['app'])}/clusters"):
            names = found.setdefault(one["account"], [])
            if one["cluster"] not in names:
                names.append(one["cluster"])
        return Reply(body=found)

    def _in(self, call: Call) -> list[Json]:
        path = f"/applications/{quote(call.parts['app'])}/clusters/{call.parts['account']}"
        return [one for one in self._of(call, path) if one["account"] == call.parts["account"]]

    async def _clusters_of(self, call: Call) -> Reply:
        groups = self._in(call)
        names = dict.fromkeys(one["cluster"] for one in groups)
        return Reply(body=[_cluster(name, [one for one in groups if one["cluster"] == name]) for name in names])

    async def _cluster(self, call: Call) -> Reply:
        groups = [one for one in self._in(call) if one["cluster"] == call.parts["cluster"]]
        return Reply(body=[_cluster(call.parts["cluster"], groups)] if groups else {})

    async def _cluster_groups(self, call: Call) -> Reply:
        return Reply(body=[one for one in self._in(call) if one["cluster"] == call.parts["cluster"]])

    async def _target(self, call: Call) -> Reply:
        groups = [one for one in self._in(call) if one["cluster"] == call.parts["cluster"] and one["region"] == call.parts["region"]]
        if call.query.get("onlyEnabled") == "true":
            groups = [one for one in groups if not one["disabled"]]
        newest = sorted(groups, key=lambda one: int(one["createdTime"]), reverse=True)
        target = call.parts["target"].lower().removesuffix("_asg_dynamic")
        at = {"current": 0, "newest": 0, "previous": 1, "ancestor": 1, "oldest": len(newest) - 1}.get(target, 0)
        if target == "largest":
            newest.sort(key=lambda one: int(one["instanceCounts"]["total"]), reverse=True)
        if not 0 <= at < len(newest) or (target == "fail" and len(newest) != 1):
            raise RefusedError(404, f"unable to find {call.parts['target']} in {call.parts['cluster']}", NOT_FOUND)
        return Reply(body=newest[at])


def _cluster(name: str, groups: list[Json]) -> Json:
    first = groups[0]
    return {"accountName": first["account"], "loadBalancers": [], "name": name, "serverGroups": groups, "type": first["type"]}
