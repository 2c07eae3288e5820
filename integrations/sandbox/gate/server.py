"""Puts the parts of the sandbox together and serves them on loopback.

The only module that knows every other; behaviour is in them.
"""

from collections.abc import Sequence

from aiohttp import web

from integrations.sandbox.gate.access import Access, User
from integrations.sandbox.gate.canary_stages import CANARY
from integrations.sandbox.gate.cloud_calls import CloudCalls
from integrations.sandbox.gate.clouddriver import Clouddriver
from integrations.sandbox.gate.echo import Echo
from integrations.sandbox.gate.edge import Edge, Served
from integrations.sandbox.gate.engine import Engine
from integrations.sandbox.gate.executions import ORCHESTRATION, PIPELINE, Executions, Run
from integrations.sandbox.gate.front50 import Front50
from integrations.sandbox.gate.group_stages import GROUPS
from integrations.sandbox.gate.ids import Ids
from integrations.sandbox.gate.kayenta import Kayenta
from integrations.sandbox.gate.kubernetes import Kubernetes
from integrations.sandbox.gate.manifest_stages import MANIFEST
from integrations.sandbox.gate.orca import Orca
from integrations.sandbox.gate.other_calls import OtherCalls
from integrations.sandbox.gate.plain_stages import PLAIN
from integrations.sandbox.gate.run_calls import RunCalls
from integrations.sandbox.gate.server_groups import ServerGroups
from integrations.sandbox.gate.settings import Faults, Json, Profile, Timings
from integrations.sandbox.gate.timeline import Timeline
from integrations.sandbox.gate.tools import Tools
from integrations.sandbox.http import LoopbackServer
from service.domain.ports import Clock


class SandboxGate(LoopbackServer):
    """A Spinnaker of one's own; see the package's docstring. What people and machines do to it are the methods below `--- what happens`."""

    def __init__(self, *, clock: Clock, profile: Profile | None = None, timings: Timings | None = None, seed: int | None = None, port: int = 0) -> None:
        super().__init__(port=port)
        self.profile = profile or Profile()
        self.faults = Faults()
        self.timings = timings = timings or Timings()
        self.timeline = Timeline(clock, timings.pace)
        ids = Ids(seed)
        self.clouddriver = Clouddriver(self.timeline, ids, timings, self.faults)
        self.front50 = Front50(self.timeline, ids)
        self.executions = Executions()
        self.kayenta = Kayenta(timeline=self.timeline, ids=ids)
        self.access = Access(self.profile, self.timeline, ids)
        self._tools = Tools(
            timeline=self.timeline,
            ids=ids,
            timings=timings,
            profile=self.profile,
            faults=self.faults,
            executions=self.executions,
            front50=self.front50,
            clouddriver=self.clouddriver,
            kayenta=self.kayenta,
            roles=self.access.roles,
        )
        self.clouddriver.may_write = self.access.may_write
        self._engine = Engine(self._tools, {**PLAIN, **MANIFEST, **GROUPS, **CANARY})
        orca = Orca(self._tools, self._engine)
        self.echo = Echo(self._tools, orca, self.access.may)
        self._engine.ended.append(self.echo.run_ended)
        runs = RunCalls(tools=self._tools, engine=self._engine, orca=orca, echo=self.echo, access=self.access)
        clouds = CloudCalls(tools=self._tools, echo=self.echo, access=self.access)
        others = OtherCalls(tools=self._tools, engine=self._engine, access=self.access)
        routes = [*others.routes(), *runs.routes(), *clouds.routes()]
        self._edge = Edge(access=self.access, faults=self.faults, profile=self.profile, timeline=self.timeline, ids=ids, routes=routes)

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """Everything goes to Gate's edge, which knows the paths."""
        return [web.route("*", "/{path:.*}", self._edge.serve)]

    async def start(self) -> str:
        """Listen and answer the url; from now on caches and Echo lag behind, as they do."""
        self.clouddriver.caching = True
        self.echo.live = True
        return await super().start()

    @property
    def served(self) -> Sequence[Served]:
        """The requests that were answered, oldest first."""
        return tuple(self._edge.served)

    @property
    def kubernetes(self) -> Kubernetes:
        """The clusters: what runs there and what somebody does to it past Spinnaker."""
        self.timeline.catch_up()
        return self.clouddriver.kubernetes

    @property
    def groups(self) -> ServerGroups:
        """The server groups, likewise."""
        self.timeline.catch_up()
        return self.clouddriver.groups

    # --- what happens ------------------------------------------------------------------------------------------------------

    def add_application(self, name: str, *, email: str = "team@example.org", **attributes: object) -> None:
        """An application exists; `permissions` and other attributes as Front50 keeps them."""
        self.front50.add_application(name, {"email": email, **attributes})

    def add_account(self, name: str, kind: str = "kubernetes") -> None:
        """A provider account exists."""
        self.clouddriver.accounts[name] = kind

    def add_user(self, user: User) -> None:
        """Gate knows somebody."""
        self.access.add(user)

    def keel_manages(self, application: str, *resources: Json) -> None:
        """There is a keel, and it manages these of the application."""
        self._tools.managed = {**(self._tools.managed or {}), application: list(resources)}

    def save_pipeline(self, config: Json, by: str = "alice") -> Json:
        """Somebody saves a pipeline; Echo knows it at its next poll."""
        self.timeline.catch_up()
        self.echo.configs_change()
        return self.front50.save(config, by)

    def run_of(self, execution_id: str) -> Json:
        """The map of a pipeline's run or a task's, as it is now. KeyError for an unknown id."""
        return self._run(execution_id).execution

    def _run(self, execution_id: str) -> Run:
        self.timeline.catch_up()
        found = self.executions.get(PIPELINE, execution_id) or self.executions.get(ORCHESTRATION, execution_id)
        if found is None:
            raise KeyError(execution_id)
        return found

    def somebody_cancels(self, execution_id: str, *, by: str = "alice", reason: str = "by hand") -> None:
        """A person cancels a run."""
        self._engine.cancel(self._run(execution_id), by, reason)

    def somebody_restarts(self, execution_id: str, stage_id: str, *, by: str = "alice") -> None:
        """A person restarts a stage of a run."""
        self._engine.restart(self._run(execution_id), stage_id, by)

    def an_image_is_pushed(self, repository: str, tag: str, digest: str | None = None) -> None:
        """A registry has a new tag."""
        self.timeline.catch_up()
        self.echo.image(repository, tag, digest)

    def a_commit_is_pushed(self, project: str, slug: str, branch: str, commit: str) -> None:
        """A Git host tells of a push."""
        self.timeline.catch_up()
        self.echo.commit(project, slug, branch, commit)

    def a_message_is_published(self, subscription: str, payload: Json) -> None:
        """A pub/sub system delivers a message."""
        self.timeline.catch_up()
        self.echo.message(subscription, payload)

    def the_hour_of_cron_comes(self, config_id: str) -> None:
        """A pipeline's cron trigger fires."""
        self.timeline.catch_up()
        self.echo.cron(config_id)

    def orca_is_killed(self) -> None:
        """SIGKILL of Orca: Gate cannot reach it, and runs stand still."""
        self.timeline.catch_up()
        self._engine.die()

    def orca_is_started_again(self) -> None:
        """Orca answers at once; what was in flight goes on after ten minutes."""
        self.timeline.catch_up()
        self._engine.live_again()
