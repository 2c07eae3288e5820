"""The world around Backout: shops, what metrics, registry and Git say of them, and people who do things. It keeps a diary.

What deploys the shops is a sandbox of its own kind: `argocd_world.py`, `spinnaker_world.py`.

Everything that the checker compares Backout's word with is written down here, from the world's side: what ran when, who deployed what, what arrived.
"""

import asyncio
import math
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import yaml

from integrations.sandbox.git import GitServer
from service.domain import keys
from service.domain.errors import RefusedError, TemporaryError
from service.domain.facts import Absent, Evidence, Fact, Key, Known
from service.domain.model import TargetId
from service.domain.ports import Clock, Delivery
from service.settings import Configured
from tests.chaos.fate import Fate, Trouble
from tests.chaos.virtual import BEGINS
from tests.chaos.wire import Sent, Server, Wire

if TYPE_CHECKING:
    from tests.chaos.schedule import Shop

Json = Any

INSTANCE = "prod"
ALERT = "HighErrorRate"
LIMIT = 0.01
HOLDS_FOR = timedelta(seconds=30)
"""How long the condition holds before the alert fires (the rule's `for`)."""
BRANCH = "main"
SECRET = "hunter2-correct-horse"
"""Planted in what senders and servers say; it must come out nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ship:
    """One version of a shop: its image, the configuration commit that deploys it, and how it fares. `errors` is the failing share; None = pods never ready."""

    app: str
    version: str
    digest: str
    config: str
    source: str
    errors: float | None


VERSIONS: Mapping[str, float | None] = {"1.0.0": 0.002, "1.1.0": 0.002, "2.0.0": 0.31, "2.1.0": None, "2.2.0": 0.4, "3.0.0": 0.002}
"""Of every shop: two good ones, a bad one, one that does not start, another bad one, and the fix."""

READ_ME = "+docs"
"""After a version: a later commit of the configuration that deploys the very same thing."""

NOBODY, SET, REVISION_FREE = "", "an ApplicationSet", "an ApplicationSet that leaves the revision alone"
APPLIER, QUIET_APPLIER = "Flux, which declares enabled", "Flux, which leaves enabled out"
"""Who may own an application."""
APPLIES: Mapping[str, Json] = {APPLIER: {"enabled": True}, QUIET_APPLIER: {}}
"""Who applies its spec again and again on the server's side, and what of auto-sync beside the usual; only the fields that Kubernetes records tell of it."""
APPLIED_EVERY = 20.0
FLUX = "kustomize-controller"

APPS = ("cart", "checkout", "search", "billing", "mail")


def _digest(app: str, version: str) -> str:
    import hashlib  # noqa: PLC0415  only here

    return "sha256:" + hashlib.sha256(f"{app} {version}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Fleet:
    """One Git repository with every version of every shop, made once: each schedule points its own branch of a shop at them."""

    git: GitServer
    ships: Mapping[tuple[str, str], Ship]

    def point(self, app: str, version: str) -> None:
        """The shop's configuration branch names that version. Written as Git writes it, but for the wait until the disk has it."""
        ref = Path(self.git.file_url("config").removeprefix("file://")) / "refs" / "heads" / app
        ref.write_text(f"{self.ships[app, version].config}\n", encoding="ascii")


@cache
def fleet() -> Fleet:
    """Made once a process."""
    git = GitServer(root=Path(tempfile.mkdtemp(prefix="backout-chaos-")))
    git.create("config")
    ships: dict[tuple[str, str], Ship] = {}
    for app in APPS:
        for number, (version, errors) in enumerate([*VERSIONS.items(), *((f"{version}{READ_ME}", errors) for version, errors in VERSIONS.items())]):
            digest = _digest(app, version.removesuffix(READ_ME))
            manifest = {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": app},
                "spec": {
                    "replicas": 2,
                    "selector": {"matchLabels": {"app": app}},
                    "template": {"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "main", "image": f"registry.example/{app}@{digest}"}]}},
                },
            }
            files = {f"{app}/app.yaml": yaml.safe_dump(manifest), "README.md": f"{app} {version}"}
            config = git.commit("config", files, f"{app} {version}", BEGINS - timedelta(days=20 - number))
            source = _digest("source of " + app, version.removesuffix(READ_ME)).removeprefix("sha256:")[:40]
            ships[app, version] = Ship(app=app, version=version, digest=digest, config=config, source=source, errors=errors)
    return Fleet(git, ships)


@dataclass(frozen=True, slots=True)
class Entry:
    """One history entry of an application: who deployed what, seen at which second of the world. `by` is "" for auto-sync.

    `number` is what the delivery system calls it: a number, or the name of a server group; "" where none takes traffic.
    """

    at: float
    app: str
    number: int | str
    version: str
    by: str


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that a person did to a target on purpose."""

    at: float
    app: str
    by: str
    what: str


@dataclass(slots=True)
class Diary:
    """What happened, in the world's seconds."""

    lines: list[tuple[float, str]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)
    auto_sync: dict[str, list[tuple[float, bool]]] = field(default_factory=dict)
    burning: dict[str, list[tuple[float, bool]]] = field(default_factory=dict)
    running: dict[str, list[tuple[float, frozenset[str]]]] = field(default_factory=dict)
    desired: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    flags: dict[str, list[tuple[float, bool]]] = field(default_factory=dict)

    def note(self, says: str) -> None:
        """A line of the time line."""
        self.lines.append((asyncio.get_running_loop().time(), says))

    def flag(self, name: str, value: bool) -> None:
        """A state of the world that is on or off."""
        self.flags.setdefault(name, [(0.0, False)]).append((asyncio.get_running_loop().time(), value))
        self.note(f"{name}: {'begins' if value else 'ends'}")


def at(line: Sequence[tuple[float, Any]], when: float, default: Any = None) -> Any:
    """What a line of (second, value) says at that second."""
    value = default
    for second, one in line:
        if second > when:
            break
        value = one
    return value


def since(line: Sequence[tuple[float, Any]], when: float, value: Any) -> float:
    """For how many seconds up to `when` the line has said `value` without a break; 0 if it does not say it then."""
    began: float | None = None
    for second, one in line:
        if second > when:
            break
        began = (second if began is None else began) if one == value else None
    return 0.0 if began is None else when - began


class World(ABC):
    """See the module. All clocks here are right; Backout's own may be wrong. `server` is the delivery system, without a socket.

    `label` is what alerts name their shop by. Shops in `gone` do not exist any more under the name that Backout knows.
    """

    kind: ClassVar[str]
    label: ClassVar[str]
    server: Server

    def __init__(self, fate: Fate, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.fate = fate
        self.fleet = fleet()
        self.diary = Diary()
        self._by_digest = {ship.digest: ship for ship in self.fleet.ships.values() if not ship.version.endswith(READ_ME)}
        self.apps: tuple[str, ...] = ()
        self.gone: set[str] = set()
        self.other_cause: dict[str, bool] = {}
        self.traffic: dict[str, float] = {}
        self.since: dict[str, float | None] = {}

    def now(self) -> datetime:
        """True time."""
        return BEGINS + timedelta(seconds=self._loop.time())

    # --- the delivery system, as Backout meets it ------------------------------------------------------------------------------

    @abstractmethod
    def target(self, app: str) -> TargetId:
        """What Backout calls that shop."""

    @abstractmethod
    def app_of(self, target: TargetId) -> str:
        """The shop of a target; "" for none of ours."""

    @abstractmethod
    def connection(self, folder: Path, *, watch: bool) -> Configured:
        """What the operator settled about it."""

    @abstractmethod
    def delivery(self, connection: Configured, http: Wire, clock: Clock, traceparent: Callable[[], str]) -> Delivery:
        """The real adapter, over that network."""

    @abstractmethod
    def credential(self) -> Mapping[str, str]:
        """Headers that the network itself adds, where the adapter's own file is not there."""

    @abstractmethod
    def told(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[str, str]:
        """See `wire.Told`."""

    # --- people, pipelines and what breaks ---------------------------------------------------------------------------------------

    @abstractmethod
    async def open_shop(self, shop: "Shop") -> None:
        """A shop with two good releases in its history, the second one live."""

    @abstractmethod
    async def release(self, app: str, version: str, how: str = "") -> None:
        """The next version goes out; `how` is who or what deploys it, where that makes a difference."""

    @abstractmethod
    async def person(self, app: str, what: str) -> None:
        """Alice does something to the target by hand."""

    @abstractmethod
    def outage(self, name: str, *, begins: bool) -> None:
        """Something of the delivery system stops to work, or works again."""

    @abstractmethod
    async def background(self) -> None:
        """What goes on all the time beside everything."""

    # --- what is ---------------------------------------------------------------------------------------------------------------

    @abstractmethod
    def version_of(self, app: str, revision: str) -> str:
        """The version that a release's revision deploys; "?" when it is none of ours."""

    @abstractmethod
    def pods(self, app: str) -> list[tuple[Ship | None, bool]]:
        """Each pod's version and whether it is ready."""

    def held(self, app: str) -> bool:
        """Whether Backout's mark is on it."""
        del app
        return False

    def follows(self, app: str) -> str:
        """What its source follows, where the delivery system keeps one."""
        del app
        return ""

    def automated(self, app: str) -> bool:
        """Whether something deploys what is desired by itself."""
        del app
        return False

    def share(self, app: str) -> float:
        """The failing share of its requests; NaN without any ready pod."""
        serving = [ship for ship, ready in self.pods(app) if ready and ship is not None]
        if not serving:
            return math.nan
        own = sum(ship.errors or 0.0 for ship in serving) / len(serving)
        return max(own, 0.2) if self.other_cause.get(app) else own

    def condition(self, app: str) -> bool:
        """Whether the alert's condition holds: too many errors, or nobody serves."""
        share = self.share(app)
        return math.isnan(share) or share > LIMIT or self._half_up(app)

    def _half_up(self, app: str) -> bool:
        return any(ship is not None and ship.errors is None for ship, _ in self.pods(app))

    def alert(self, app: str) -> str:
        """State of the alert by the metrics system."""
        began = self.since.get(app)
        if began is None:
            return "inactive"
        return "firing" if self._loop.time() - began >= HOLDS_FOR.total_seconds() else "pending"

    def began(self, app: str) -> datetime | None:
        """When its condition began."""
        began = self.since.get(app)
        return None if began is None else BEGINS + timedelta(seconds=began)

    def trouble(self, app: str, *, begins: bool) -> None:
        """Another cause than the release makes requests fail."""
        self.other_cause[app] = begins
        self.diary.note(f"{app}: another cause of errors {'begins' if begins else 'ends'}")
        self._looked(app)

    def _looked(self, app: str) -> None:
        if app not in self.apps:
            return
        now, burns = self._loop.time(), self.condition(app)
        line = self.diary.burning.setdefault(app, [(0.0, False)])
        if line[-1][1] != burns:
            line.append((now, burns))
            self.since[app] = now if burns else None
            self.diary.note(f"{app} {'burns' if burns else 'is well again'}")
        runs = frozenset(ship.version if ship else "?" for ship, _ in self.pods(app))
        lived = self.diary.running.setdefault(app, [])
        if not lived or lived[-1][1] != runs:
            lived.append((now, runs))

    @abstractmethod
    async def end(self) -> None:
        """Stop the sandbox."""


class Sources:
    """A `FactSource`: metrics, registry and Git of the world, through their troubles."""

    kinds = frozenset({"alert rule", "alert state", "series", "image manifest", "image labels", "source change"})

    def __init__(self, world: World, fate: Fate, now: Any, point: Any) -> None:
        self._world = world
        self._fate = fate
        self._now = now
        self._point = point

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """The fact, stamped by Backout's clock."""
        await self._point(f"the {key.kind} is read", share=0.1)
        await asyncio.sleep(self._fate.between(0.001, 0.05))
        flags = self._world.diary.flags
        if at(flags.get("metrics away", ()), asyncio.get_running_loop().time(), default=False) and key.kind in {"alert rule", "alert state", "series"}:
            return Absent("the metrics system does not answer")
        if self._fate.strikes(Trouble.FACT_ABSENT):
            return Absent(f"the connection was refused (password={SECRET})")
        if self._fate.strikes(Trouble.FACT_HANGS):
            await asyncio.Event().wait()
        if self._fate.strikes(Trouble.FACT_BROKEN):
            raise self._fate.chance.choice((TemporaryError("timeout"), RefusedError("403"), ValueError(f"token={SECRET}")))
        read_at = self._now()
        if self._fate.strikes(Trouble.FACT_STALE):
            read_at -= timedelta(minutes=10)
        value = self._value(key)
        if isinstance(value, Absent):
            return value
        return Known(value=value, evidence=Evidence(source="world", what=str(key), read_at=read_at), good_for=timedelta(seconds=60))

    def _value(self, key: Key[Any]) -> Any:
        world, subject = self._world, cast("Any", key.subject)
        match key.kind:
            case "alert state":
                name, labels = subject
                app = dict(labels).get(world.label, "")
                if name != ALERT or app not in world.apps:
                    return keys.AlertNow(state="inactive")
                return keys.AlertNow(state=world.alert(app), active_at=world.began(app))
            case "alert rule":
                name, _ = subject
                if name != ALERT:
                    return Absent(f"there is no rule {name}")
                return keys.AlertRule(
                    name=ALERT, query="errors > 0.01", hold=HOLDS_FOR, keep_firing=timedelta(0), expression="errors", comparison=">", threshold=LIMIT
                )
            case "series":
                promql, _ = subject
                return self._series(promql)
            case "image manifest":
                digest = str(subject).rpartition("@")[2]
                return keys.Manifest(digest=digest if digest in world._by_digest else None)  # noqa: SLF001  one module
            case "image labels":
                ship = world._by_digest.get(str(subject).rpartition("@")[2])  # noqa: SLF001  one module
                if ship is None:
                    return Absent("no such image")
                return keys.ImageConfig(labels={}, revision=ship.source, repository=f"git.example/{ship.app}", version=ship.version)
            case "source change":
                repository, old, new = subject
                change = keys.FileChange(path="src/app.py", change="modified")
                return keys.SourceChange(repository=repository, old=old, new=new, files=(change,), has_code=True)
            case _:
                return Absent(f"nobody tells the {key.kind}")

    def _series(self, promql: str) -> Any:
        world, (what, app) = self._world, promql.split(" ")
        sampled = self._now()
        if what == "versions":
            shares: dict[str, list[float]] = {}
            for ship, ready in world.pods(app):
                if ship is not None and (ready or ship.errors is None):
                    own = 1.0 if ship.errors is None else ship.errors
                    shares.setdefault(ship.version, []).append(max(own, 0.2) if world.other_cause.get(app) else own)
            values: dict[tuple[tuple[str, str], ...], float] = {(("version", version),): sum(many) / len(many) for version, many in shares.items()}
            return keys.Series(values=values, at=sampled)
        share = world.share(app)
        if what == "traffic":
            flow = 0.0 if math.isnan(share) else 140.0 * world.traffic.get(app, 1.0)
            return keys.Series(values={(("app", app),): flow}, at=sampled)
        return keys.Series(values={} if math.isnan(share) else {(("app", app),): share}, at=sampled)


class Receiver:
    """A `Sender` of the outbox: collector or notifier. Keeps what it got, in order, also what it took without its answer arriving."""

    def __init__(self, channel: str, name: str, world: World, fate: Fate) -> None:
        self._channel = channel
        self._name = name
        self._world = world
        self._fate = fate
        self.got: list[bytes] = []

    @property
    def channel(self) -> str:
        """The kind."""
        return self._channel

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Take them."""
        await asyncio.sleep(self._fate.between(0.001, 0.05))
        away = at(self._world.diary.flags.get(f"{self._name} away", ()), asyncio.get_running_loop().time(), default=False)
        if away or self._fate.strikes(Trouble.RECEIVER_AWAY):
            raise TemporaryError(f"{self._name} refuses connections")
        self.got += bodies
        if self._fate.strikes(Trouble.RECEIPT_LOST):
            raise TemporaryError(f"{self._name} did not answer")


class Knocking:
    """One process' way to a receiver: dies with the process."""

    def __init__(self, receiver: Receiver, point: Any) -> None:
        self._receiver = receiver
        self._point = point

    @property
    def channel(self) -> str:
        """The kind."""
        return self._receiver.channel

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Send; what left arrives, whatever becomes of the process."""
        await self._point("messages are about to leave")
        await asyncio.shield(asyncio.get_running_loop().create_task(self._receiver.send(bodies), context=Context()))
        await self._point("messages were taken")
