"""Puts the parts of the sandbox together and serves them on loopback.

The only module that knows every other; behaviour is in them.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aiohttp import web

from integrations.sandbox.argocd.access import Access
from integrations.sandbox.argocd.actions import Actions
from integrations.sandbox.argocd.application_calls import ApplicationCalls
from integrations.sandbox.argocd.background import Background
from integrations.sandbox.argocd.cluster import Cluster
from integrations.sandbox.argocd.controller import Controller
from integrations.sandbox.argocd.edge import Edge, Served
from integrations.sandbox.argocd.lookup import Lookup
from integrations.sandbox.argocd.messages import ACTION, LIVE_PATCH, PATCH, ROLLBACK, SESSION, SYNC, TEXT, TOKEN
from integrations.sandbox.argocd.operations import Machinery
from integrations.sandbox.argocd.other_calls import OtherCalls
from integrations.sandbox.argocd.owners import ApplicationSetController
from integrations.sandbox.argocd.read_calls import ReadCalls
from integrations.sandbox.argocd.repositories import Repositories
from integrations.sandbox.argocd.settings import V3_2_11, Clock, Faults, ImageDigest, Profile, Readiness, Timings, ready_by_tag
from integrations.sandbox.argocd.state import Applications, ApplicationSets, Events, Projects, Versions
from integrations.sandbox.argocd.status import Json
from integrations.sandbox.argocd.streams import Streams
from integrations.sandbox.argocd.workloads import Workloads
from integrations.sandbox.ports import HOST, spare_port


def _no_registry(_image: str) -> str | None:
    return None


class SandboxArgoCD:
    """An Argo CD of one's own; see the package's docstring. `start` before anything else, `stop` at the end, both on the same event loop."""

    def __init__(
        self,
        *,
        clock: Clock,
        timings: Timings | None = None,
        images: ImageDigest = _no_registry,
        readiness: Readiness = ready_by_tag,
        profile: Profile = V3_2_11,
        admin_password: str | None = None,
    ) -> None:
        self.faults = Faults()
        timings = self._timings = timings or Timings()
        versions = Versions()
        self.projects = Projects(versions, clock)
        self._background = Background()
        self._sets = ApplicationSets(versions, clock)
        applications = Applications(versions, clock, profile)
        self.cluster = Cluster(versions=versions, clock=clock, faults=self.faults, applications=applications, profile=profile)
        self._workloads = Workloads(self.cluster, clock=clock, timings=timings, images=images, readiness=readiness)
        self.repositories = Repositories(self.faults)
        tools = Machinery(
            applications=applications,
            projects=self.projects,
            events=Events(versions, clock),
            cluster=self.cluster,
            repositories=self.repositories,
            clock=clock,
            timings=timings,
            faults=self.faults,
            profile=profile,
        )
        self._access = Access(self.projects, clock, admin_password)
        controller = Controller(tools, self._background)
        owners = ApplicationSetController(
            applications=applications, sets=self._sets, clock=clock, timings=timings, faults=self.faults, profile=profile, background=self._background
        )
        lookup = Lookup(tools, self._access)
        self._calls = ApplicationCalls(tools, self._access, lookup)
        reads = self._reads = ReadCalls(tools, self._access, lookup, controller, versions)
        self._edge = edge = Edge(self._access, self.faults)
        self._streams = Streams(edge, tools, reads)
        others = OtherCalls(tools, self._access, self._sets, owners)
        self._app = _routes(edge, self._calls, reads, Actions(tools, lookup), others, self._streams)
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Base URL, once started."""
        return f"http://{HOST}:{self._port}"

    @property
    def served(self) -> Sequence[Served]:
        """The newest requests that ended, oldest first, faults included."""
        return tuple(self._edge.served)

    @property
    def watched_by_nobody(self) -> asyncio.Event:
        """Set while no watch is open."""
        return self._streams.none_open

    async def start(self, port: int = 0) -> str:
        """Listen on loopback; port 0 takes a free one. Returns the base URL."""
        self._runner = web.AppRunner(self._app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        self._port = port or spare_port()
        await self.listen()
        return self.url

    async def listen(self) -> None:
        """Accept connections (again), on the same port as before."""
        if self._runner is None:
            raise RuntimeError("start the sandbox first")
        self._site = web.TCPSite(self._runner, HOST, self._port)
        await self._site.start()

    async def refuse(self) -> None:
        """Refuse new connections, as argocd-server does while it restarts itself: idle ones are closed, calls under way and watches go on (recording 02)."""
        if self._site is not None:
            await self._site.stop()
            self._site = None
        self._close_idle()

    def _close_idle(self) -> None:
        if self._runner is None or self._runner.server is None:
            return
        for connection in list(self._runner.server.connections):
            if connection.transport is not None and connection.transport not in self._edge.busy:
                connection.transport.close()
            else:
                connection.close()

    def change_settings(self) -> asyncio.Task[None]:
        """A change of url, dex or webhook secrets: it restarts itself, which takes as long as a watch is open, `Timings.restart` at most (recording 02)."""
        return self._background.start(self._restart())

    async def _restart(self) -> None:
        if self._streams.none_open.is_set():  # a gap too short for anybody to see
            self._close_idle()
            return
        await self.refuse()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timings.restart * self._timings.pace):
                await self._streams.none_open.wait()
        await self.listen()

    async def kill(self) -> None:
        """SIGKILL of argocd-server: every connection breaks, calls under way and watches too, new ones are refused until `listen`. Nothing else stops."""
        await self.refuse()
        if self._runner is not None and self._runner.server is not None:
            for connection in list(self._runner.server.connections):
                if connection.transport is not None:
                    connection.transport.abort()

    def lose_redis(self) -> None:
        """Redis was started again with nothing in it: nobody tells an application's tree until the tree changes."""
        self._reads.lose_redis()

    def containers_wrote(self, lines: Sequence[str] | None) -> None:
        """From now on every container's log is these lines (a time in RFC 3339, a space, a text); None: no log can be read, as at first."""
        self._reads.containers_wrote(lines)

    async def stop(self) -> None:
        """End watches, listener and controllers. Raises what a controller's task died of."""
        self._streams.stop()
        self._workloads.stop()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._background.stop()

    def add_account(self, name: str, policies: Iterable[str] = (), password: str | None = None) -> str:
        """Add an account with RBAC lines (`p, NAME, applications, get, */*, allow`; `g, NAME, role:readonly`). Returns an API token."""
        self._access.add_account(name, policies, password)
        return self._access.account_token(name)

    def admin_token(self) -> str:
        """An API token of the built-in administrator."""
        return self._access.account_token("admin")

    def write_by_kubernetes(self, name: str, change: Callable[[Json], Any], *, by: str = "kubectl-edit") -> Json:
        """Change an Application past the API, as somebody with Kubernetes rights can: set or remove `operation`, edit anything. `by`: the field manager."""
        return self._calls.write_by_kubernetes(name, change, by=by)

    def apply_by_kubernetes(self, name: str, body: Json, *, by: str) -> Json:
        """Apply part of an Application on the server's side, by force, as the field manager `by` that puts it back whenever it applies again."""
        return self._calls.apply_by_kubernetes(name, body, by=by)


def _routes(edge: Edge, calls: ApplicationCalls, reads: ReadCalls, actions: Actions, others: OtherCalls, streams: Streams) -> web.Application:
    app = web.Application(middlewares=[edge.note, edge.guard], client_max_size=16 * 1024 * 1024)
    v1, one = "/api/v1", "/api/v1/applications/{name}"
    project, unary = f"{v1}/projects/{{name}}", edge.unary
    app.router.add_routes(
        [
            web.post(f"{v1}/session", unary(others.login, message=SESSION, anonymous=True, cookie=True)),
            web.get(f"{v1}/session/userinfo", unary(others.user_info, anonymous=True)),
            web.post(f"{v1}/account/{{name}}/token", unary(others.account_token, message=TOKEN)),
            web.delete(f"{v1}/account/{{name}}/token/{{id}}", unary(others.revoke_account_token)),
            web.get(f"{v1}/account/can-i/{{resource}}/{{action}}/{{item:.*}}", unary(others.can_i)),
            web.get("/api/version", unary(others.version, anonymous=True), allow_head=False),
            web.get(f"{v1}/settings", unary(others.settings, anonymous=True)),
            web.get(f"{v1}/clusters", unary(others.clusters)),
            web.get("/healthz", _healthz),
            web.get(f"{v1}/stream/applications", streams.applications, allow_head=False),
            web.get(f"{v1}/applications", unary(reads.list_all), allow_head=False),
            web.post(f"{v1}/applications", unary(calls.create)),
            web.get(one, unary(reads.get), allow_head=False),
            web.put(one, unary(calls.put)),
            web.patch(one, unary(calls.patch, message=PATCH)),
            web.delete(one, unary(calls.delete)),
            web.put(f"{one}/spec", unary(calls.put_spec)),
            web.post(f"{one}/sync", unary(calls.sync, message=SYNC)),
            web.post(f"{one}/rollback", unary(calls.rollback, message=ROLLBACK)),
            web.delete(f"{one}/operation", unary(calls.terminate)),
            web.get(f"{one}/syncwindows", unary(reads.sync_windows)),
            web.get(f"{one}/manifests", unary(reads.manifests)),
            web.get(f"{one}/managed-resources", unary(reads.managed_resources)),
            web.get(f"{one}/resource-tree", unary(reads.tree)),
            web.get(f"{one}/resource", unary(reads.resource)),
            web.post(f"{one}/resource", unary(actions.edit, message=LIVE_PATCH)),
            web.get(f"{one}/resource/actions", unary(actions.offered)),
            web.post(f"{one}/resource/actions", unary(actions.run_v1, message=TEXT)),
            *([web.post(f"{one}/resource/actions/v2", unary(actions.run, message=ACTION))] if actions.has_v2 else []),
            web.get(f"{one}/events", unary(reads.events)),
            web.get(f"{one}/pods/{{pod}}/logs", streams.logs),
            web.get(f"{one}/revisions/{{revision}}/metadata", unary(reads.revision_metadata)),
            web.get(f"{v1}/projects", unary(others.projects)),
            web.post(f"{v1}/projects", unary(others.create_project)),
            web.get(project, unary(others.project)),
            web.put(project, unary(others.update_project)),
            web.delete(project, unary(others.delete_project)),
            web.get(f"{project}/syncwindows", unary(others.project_windows)),
            web.post(f"{project}/roles/{{role}}/token", unary(others.project_token, message=TOKEN)),
            web.delete(f"{project}/roles/{{role}}/token/{{iat}}", unary(others.revoke_project_token)),
            web.get(f"{v1}/applicationsets", unary(others.application_sets)),
            web.post(f"{v1}/applicationsets", unary(others.create_application_set)),
            web.get(f"{v1}/applicationsets/{{name}}", unary(others.application_set)),
            web.delete(f"{v1}/applicationsets/{{name}}", unary(others.delete_application_set)),
        ]
    )
    return app


async def _healthz(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")
