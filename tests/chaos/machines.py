"""Shops on machines, in the world of a sandbox Spinnaker: clusters of server groups, their deploys, what people do to them, and who changed what of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrations.delivery.spinnaker.server_groups import identity_of, server_group_of
from integrations.sandbox.gate.server_groups import ServerGroup
from tests.chaos.world import READ_ME, Ship

if TYPE_CHECKING:
    from tests.chaos.spinnaker_world import SpinnakerWorld

Json = Any

ACCOUNT, MOVED, REGION, STACK = "machines", "machines-eu", "us-east-1", "main"
SIZE = {"min": 2, "max": 4, "desired": 3}
ON_GROUPS = frozenset({"enableServerGroup", "disableServerGroup", "resizeServerGroup", "destroyServerGroup"})
"""Cloud operations that name the group that they change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dark:
    """A moment from which on no group of a shop had a machine in traffic, because one was disabled: which one, and who had asked for that."""

    at: float
    app: str
    group: str
    by: str


class Machines:
    """The clusters. Every state that they pass is seen, also those between two looks. `touched`: when somebody changed one past Spinnaker."""

    def __init__(self, world: "SpinnakerWorld") -> None:
        self._world = world
        self._groups = world.gate.groups
        self.ships = {image_of(ship): ship for ship in world.fleet.ships.values() if not ship.version.endswith(READ_ME)}
        self.apps: set[str] = set()
        self.dark: list[Dark] = []
        self.touched: list[tuple[float, str]] = []
        self._identities: dict[str, Ship] = {}
        self._before: dict[str, frozenset[str]] = {}
        self._groups.changed.append(self.look)  # called before each change, so it sees what the change before has made

    # --- what is done to them ----------------------------------------------------------------------------------------------------

    def open(self, ship: Ship) -> None:
        """The next version takes over, as long ago as its machines need to be up."""
        before = self.of(ship.app)
        self._groups.runs(ship.app, cluster=cluster_of(ship.app), account=ACCOUNT, image=image_of(ship), capacity=(2, 4, 3))
        for one in before:
            self._groups.disable(one.name, one.account, one.region)

    def deploy(self, ship: Ship) -> Json:
        """The stage that deploys it, by red/black."""
        cluster = {
            "application": ship.app,
            "stack": STACK,
            "account": ACCOUNT,
            "provider": "aws",
            "availabilityZones": {REGION: []},
            "strategy": "redblack",
            "imageId": image_of(ship),
            "capacity": SIZE,
        }
        return {"type": "deploy", "name": "deploy", "refId": "1", "requisiteStageRefIds": [], "clusters": [cluster]}

    def job(self, app: str, what: str) -> Json | None:
        """The task of a person who does that by hand; None where there is nothing to do it to."""
        groups, chance = self.of(app), self._world.fate.chance
        if not groups:
            return None
        where = {"cloudProvider": "aws", "credentials": ACCOUNT, "region": REGION, "moniker": {"app": app, "cluster": cluster_of(app)}}
        one = chance.choice(groups)
        named = {**where, "serverGroupName": one.name, "asgName": one.name}
        match what:
            case "enables" | "disables" | "destroys":
                return {**named, "type": f"{what.removesuffix('s')}ServerGroup"}
            case "resizes":
                size = chance.choice((1, 2, 5))
                return {**named, "type": "resizeServerGroup", "action": "scale_exact", "capacity": {"min": size, "max": size, "desired": size}}
            case "switches":
                other = chance.choice(groups)
                return {**where, "type": "rollbackServerGroup", "rollbackType": "EXPLICIT", "rollbackContext": _switch(one, other)}
            case _:
                raise AssertionError(what)

    def past(self, app: str, what: str) -> str:
        """Somebody changes a group in the cloud, of which Spinnaker has no task; says which."""
        groups, chance = self.of(app), self._world.fate.chance
        if not groups:
            return ""
        one = chance.choice(groups)
        self.touched.append((self._world.seconds(), app))
        if what == "destroys past Spinnaker":
            self._groups.is_destroyed(one)
        else:
            size = chance.choice((1, 2, 5))
            self._groups.resize(one.name, one.account, one.region, {"min": size, "max": size, "desired": size})
        return one.name

    def lose(self, app: str, how: str) -> None:
        """The cluster is emptied, or its account renamed."""
        for one in self.of(app):
            if how == "renamed":
                self._world.gate.add_account(MOVED, "aws")
                self._groups.is_destroyed(one)
                one.account = MOVED
                self._groups.all.append(one)
            else:
                self._groups.is_destroyed(one)

    # --- what is -----------------------------------------------------------------------------------------------------------------

    def of(self, app: str) -> list[ServerGroup]:
        """The groups under the name that Backout knows, oldest first."""
        return self._groups.of(cluster_of(app), ACCOUNT, REGION)

    def live(self, app: str) -> ServerGroup | None:
        """The newest that takes traffic."""
        return next((one for one in reversed(self.of(app)) if not one.disabled), None)

    def pods(self, app: str) -> Iterator[tuple[Ship | None, bool]]:
        """Each machine in traffic: its version and whether it is up."""
        for group in self._groups.all:
            if group.application == app and not group.disabled:
                up = self._groups.up(group)
                for number in range(group.desired):
                    yield self.ships.get(group.image), number < up

    def ship_of(self, group: ServerGroup) -> Ship | None:
        """What it runs; its identity is remembered for `version`."""
        ship = self.ships.get(group.image)
        read = server_group_of(self._groups.view(group), group.application)
        if ship is not None and read is not None:
            self._identities[identity_of(read)] = ship
        return ship

    def version(self, app: str, revision: str) -> str:
        """Of a release's revision; "" where it is none of these."""
        ship = self._identities.get(revision)
        return ship.version if ship is not None and ship.app == app else ""

    def asked(self, group: str, *names: str) -> str:
        """Who asked Clouddriver last to change that group so."""
        found = [one for one in self._world.gate.clouddriver.posted if one["taken"] and one["name"] in names and one["body"].get("serverGroupName") == group]
        return str(found[-1]["user"]) if found else "somebody"

    def took_over(self, group: ServerGroup) -> str:
        """Who brought it about that this is the newest in traffic: by making or enabling it, or by taking out what was newer."""
        changes = {"createServerGroup", "enableServerGroup", "disableServerGroup", "destroyServerGroup"}
        names = {group.name, *(one.name for one in self.of(group.application) if one.created > group.created)}
        for one in reversed(self._world.gate.clouddriver.posted):
            body = one["body"]
            made = one["name"] == "createServerGroup" and body.get("cluster") == group.cluster
            if one["taken"] and one["name"] in changes and (made or body.get("serverGroupName") in names):
                return str(one["user"])
        return "somebody"

    def operations(self, operation: str) -> list[tuple[str, str]]:
        """(name, server group) of what Clouddriver took for that operation of ours."""
        return [
            (str(one["name"]), str(one["body"].get("serverGroupName")))
            for one in self._world.gate.clouddriver.posted
            if one["taken"] and one["name"] in ON_GROUPS and operation in str(one["body"].get("reason"))
        ]

    def look(self) -> None:
        """Note where the traffic of a shop went out, and who had asked for what put it out."""
        for app in self.apps:
            groups = self.of(app)
            serving = frozenset(one.name for one in groups if not one.disabled and self._groups.up(one))
            before, self._before[app] = self._before.get(app, frozenset()), serving
            for one in groups if before and not serving else ():
                if one.name in before and one.disabled:
                    self.dark.append(Dark(at=self._world.seconds(), app=app, group=one.name, by=self.asked(one.name, "disableServerGroup")))


def cluster_of(app: str) -> str:
    """The name of a shop's cluster."""
    return f"{app}-{STACK}"


def image_of(ship: Ship) -> str:
    """The machine image of a version."""
    return f"ami-{ship.app}-{ship.version}"


def _switch(bad: ServerGroup, good: ServerGroup) -> Json:
    return {"rollbackServerGroupName": bad.name, "restoreServerGroupName": good.name, "targetHealthyRollbackPercentage": 100, "delayBeforeDisableSeconds": 0}
