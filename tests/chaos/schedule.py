"""What is going to happen in one schedule, drawn from its seed: shops, releases, people, outages, and how often chance strikes.

Times are seconds of the world. Chance during the play (which request is lost) comes from the same seed, so that a seed is the whole story.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tests.chaos import fate
from tests.chaos.fate import Trouble, rates
from tests.chaos.world import APPLIER, APPS, NOBODY, QUIET_APPLIER, READ_ME, REVISION_FREE, SET

WARM = 60.0
"""Until then all is well and Backout watches: it must have seen the good releases live."""
ENDS = 480.0
"""At the latest then nothing goes wrong any more; what is under way comes to its end."""

ARGOCD, SPINNAKER = "argocd", "spinnaker"
"""What deploys the shops."""

MODES = ("auto", "auto", "auto", "auto", "auto", "auto", "approve", "approve", "suggest", "observe")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """One target and what the operator settled for it. `auto_sync`: what is desired is deployed by itself, on Spinnaker by a trigger.

    `machines`: it is a cluster of server groups, not a Deployment. `own`: the team has a rollback pipeline of its own on Spinnaker, which names its revision
    (`EXACT`) or asks a person first (`JUDGED`). `keel`: managed delivery manages it.
    """

    app: str
    mode: str
    auto_sync: bool
    self_heal: bool
    owner: str = NOBODY
    machines: bool = False
    own: str = ""
    keel: bool = False

    def __str__(self) -> str:
        by_itself = f"deployed by itself: {'yes' if self.auto_sync else 'no'}"
        more = [*([f"of {self.owner}"] if self.owner else []), *(["on machines"] if self.machines else [])]
        more += [*([f"with a rollback pipeline: {self.own}"] if self.own else []), *(["managed by keel"] if self.keel else [])]
        return ", ".join([f"{self.app} ({self.mode}", by_itself, *more]) + ")"


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """Something that happens at a time whatever Backout does: a method of `Play` and what it is given."""

    at: float
    do: str
    given: tuple[object, ...] = ()

    def __str__(self) -> str:
        return f"{self.do}({', '.join(map(str, self.given))})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One seed's story."""

    seed: int
    shops: tuple[Shop, ...]
    rates: Mapping[Trouble, float]
    events: tuple[Event, ...]
    secret: bool
    replicas: int = 1
    watch: bool = False
    kill_at: int = 0
    delivery: str = ARGOCD

    @property
    def ends(self) -> float:
        """From then on nothing goes wrong any more: the last event had some time to bring trouble."""
        return min(ENDS, max((one.at for one in self.events), default=WARM) + 100.0)

    def words(self) -> list[str]:
        """For people."""
        lines = [
            f"replicas: {self.replicas} (on SQLite 1); {self.delivery} is {'watched' if self.watch else 'polled'}",
            "shops: " + ", ".join(map(str, self.shops)),
        ]
        lines += [f"by chance: {trouble} ({rate:.1%} of the occasions)" for trouble, rate in self.rates.items()]
        return lines + [f"{one.at:7.1f}  {one}" for one in self.events]


def draw(seed: int) -> Schedule:
    """The schedule of a seed; the same for ever, as long as nobody changes this file."""
    chance = random.Random(seed)  # noqa: S311  the point is to draw the same again
    wide = chance.random() < 0.08
    count = len(APPS) if wide else chance.choice((1, 1, 2, 2, 3))
    shops = tuple(Shop(app=app, mode=chance.choice(MODES), auto_sync=chance.random() < 0.75, self_heal=chance.random() < 0.7) for app in APPS[:count])
    events = [*_events(chance, shops, wide=wide)]
    troubles, secret = rates(chance), chance.random() < 0.3
    replicas = chance.choice((1, 2, 2, 3))
    events += _standing_still(chance, replicas)
    watch = chance.random() < 0.5
    shops = tuple(replace(shop, auto_sync=True, owner=chance.choice((SET, REVISION_FREE))) if chance.random() < 0.15 else shop for shop in shops)
    shops = tuple(_applied(chance, shop) for shop in shops)
    return Schedule(seed=seed, shops=shops, rates=troubles, events=tuple(sorted(events)), secret=secret, replicas=replicas, watch=watch)


def draw_spinnaker(seed: int, machines: float = 0.3) -> Schedule:
    """The same for a Spinnaker: what is done to it, and what breaks of it, is another list. `machines` is the share of shops that run on machines."""
    chance = random.Random(f"spinnaker {seed}")  # noqa: S311  the point is to draw the same again
    wide = chance.random() < 0.08
    count = len(APPS) if wide else chance.choice((1, 1, 2, 2, 3))
    shops = tuple(Shop(app=app, mode=chance.choice(MODES), auto_sync=chance.random() < 0.4, self_heal=False) for app in APPS[:count])
    events: list[Event] = []
    for shop in shops:
        events += [replace(one, given=(*one.given, chance.choice(HOW))) if one.do == "release" else one for one in _releases(chance, shop.app, at_once=wide)]
        events += _people(chance, shop.app, BY_HAND_ON_SPINNAKER)
        if chance.random() < 0.06:
            events.append(Event(chance.uniform(WARM + 20.0, 420.0), "lose", (shop.app, chance.choice(("renamed", "emptied")))))
    events += [*_outages(chance, OF_SPINNAKER), *_around(chance)]
    troubles, secret, replicas = rates(chance, fate.OF_SPINNAKER), chance.random() < 0.3, chance.choice((1, 2, 2, 3))
    events += _standing_still(chance, replicas)
    schedule = Schedule(seed=seed, shops=shops, rates=troubles, events=tuple(sorted(events)), secret=secret, replicas=replicas, delivery=SPINNAKER)
    return _with_pipelines(_on_machines(schedule, machines))


def _on_machines(schedule: Schedule, share: float) -> Schedule:
    """Some shops run on machines: what people do to them is another list, and somebody mostly approves, for no source knows the labels of their images."""
    chance = random.Random(f"machines {schedule.seed}")  # noqa: S311  the point is to draw the same again
    shops = tuple(replace(shop, machines=chance.random() < share) for shop in schedule.shops)
    apps = {shop.app for shop in shops if shop.machines}
    events = [
        replace(one, given=(one.given[0], chance.choice(BY_HAND_ON_MACHINES))) if one.do == "person" and one.given[0] in apps else one
        for one in schedule.events
    ]
    for app in sorted(apps):
        if chance.random() < 0.5:
            events.append(Event(WARM, "meanwhile", (app, chance.uniform(0.0, 9.0), *chance.choice(MEANWHILE))))
        if chance.random() < 0.8:
            events += approvals(app)
    return replace(schedule, shops=shops, events=tuple(sorted(events)))


def _with_pipelines(schedule: Schedule) -> Schedule:
    """Some teams have more in their pipelines than one deploy, a rollback pipeline of their own, or keel; people pause runs, and answer judgments."""
    chance = random.Random(f"pipelines {schedule.seed}")  # noqa: S311  the point is to draw the same again
    shops, events = [], list(schedule.events)
    for shop in schedule.shops:
        own = chance.choice((EXACT, EXACT, JUDGED)) if chance.random() < 0.25 and not shop.machines else ""
        shops.append(replace(shop, own=own, keel=chance.random() < 0.08))
        events = [
            replace(one, given=(*one.given[:2], chance.choice(MORE_HOW))) if _is_release(one, shop.app) and chance.random() < 0.4 else one for one in events
        ]
        if own == JUDGED:
            events += [*approvals(shop.app), *(Event(when, "with_pipelines", (shop.app, "judges")) for when in range(150, 450, 50))]
        if chance.random() < 0.2:
            begins = chance.uniform(WARM + 20.0, 300.0)
            events += [Event(begins, "with_pipelines", (shop.app, "pauses the run"))]
            events += [Event(begins + chance.uniform(10.0, 200.0), "with_pipelines", (shop.app, "resumes the run"))] if chance.random() < 0.5 else []
    return replace(schedule, shops=tuple(shops), events=tuple(sorted(events)))


def _is_release(event: Event, app: str) -> bool:
    return event.do == "release" and event.given[0] == app


def approvals(app: str) -> list[Event]:
    """A person who answers soon whatever waits."""
    return [Event(when, "decide", (app, "approve")) for when in range(120, 400, 20)]


HOW = ("trigger", "trigger", "trigger", "trigger and more", "by hand", "by hand and more")
"""Who or what starts a deploy pipeline on Spinnaker, and whether it has more to do once it has deployed."""
EXACT, JUDGED, QUEUES, SOON = "exact", "a judgment", "a second one behind", "soon once more"
MORE_HOW = (f"trigger and {JUDGED}", f"trigger and {JUDGED}", f"by hand and {JUDGED}", f"trigger and {QUEUES}", f"trigger and {QUEUES}", f"trigger and {SOON}")
"""It asks a person before it goes on; or it runs one at a time and was started twice by the same event, so that the second run waits; or it deploys again
after a minute."""


def _applied(chance: random.Random, shop: Shop) -> Shop:
    """Some shops that are nobody's belong to somebody who applies them on the server's side."""
    owner = chance.choice((APPLIER, QUIET_APPLIER))
    return replace(shop, auto_sync=True, owner=owner) if chance.random() < 0.12 and shop.owner == NOBODY else shop


def quiet_day(delivery: str = ARGOCD, *, machines: bool = False) -> Schedule:
    """One shop, one bad release, and nothing else goes wrong. On machines somebody has to approve."""
    (app, *_) = APPS
    shops = (Shop(app=app, mode="auto", auto_sync=True, self_heal=True, machines=machines),)
    given = (app, "2.0.0") if delivery == ARGOCD else (app, "2.0.0", "trigger")
    return Schedule(
        seed=1, shops=shops, rates={}, events=(Event(WARM + 10.0, "release", given), *(approvals(app) if machines else ())), secret=True, delivery=delivery
    )


DRAWS = {ARGOCD: draw, SPINNAKER: draw_spinnaker}


def _standing_still(chance: random.Random, replicas: int) -> Iterator[Event]:
    """Processes that are frozen and go on, or lose the store while others have it."""
    for _ in range(chance.choice((0, 1, 1, 2)) if replicas > 1 else chance.choice((0, 0, 0, 0, 1))):
        yield Event(chance.uniform(WARM + 20.0, 350.0), "freeze", (chance.choice((2.0, 8.0, 15.0, 25.0, 60.0, 120.0)),))
    if replicas > 1 and chance.random() < 0.5:
        yield Event(chance.uniform(WARM + 20.0, 350.0), "cut_off", (chance.choice((3.0, 10.0, 20.0, 40.0, 120.0)),))


def _events(chance: random.Random, shops: tuple[Shop, ...], *, wide: bool) -> Iterator[Event]:
    for shop in shops:
        yield from _releases(chance, shop.app, at_once=wide)
        yield from _people(chance, shop.app, BY_HAND_ON_ARGO_CD)
    yield from _outages(chance, OF_ARGO_CD)
    yield from _around(chance)


BY_HAND_ON_ARGO_CD = ("syncs", "rolls back", "edits the spec", "turns auto-sync on", "turns auto-sync off")
BY_HAND_ON_MACHINES = ("enables", "disables", "resizes", "destroys", "switches", "resizes past Spinnaker", "destroys past Spinnaker", "pushes an image")
MEANWHILE = (
    *(("person", what) for what in BY_HAND_ON_MACHINES[:-1]),
    *(("begins", what) for what in ("Orca down", "Clouddriver away", "operations refused", "rights lost", "API down")),
    *[("release", "3.0.0", "trigger"), ("release", "2.2.0", "by hand"), ("lose", "emptied"), ("kill",)],
)
"""What happens while Orca switches two server groups."""
BY_HAND_ON_SPINNAKER = ("undoes", "restarts", "pauses", "resumes", "applies past Spinnaker", "pushes an image", "pushes an image")


def _people(chance: random.Random, app: str, what_they_do: Sequence[str]) -> Iterator[Event]:
    """What people do to one shop, and say to Backout about it, some of it wrong."""
    if chance.random() < 0.25:
        for _ in range(chance.randint(1, 2)):
            what = chance.choice(what_they_do)
            yield Event(chance.uniform(WARM, 420.0), "person", (app, what))
    for _ in range(chance.choice((0, 1, 2, 4))):
        decision = chance.choice(("approve", "approve", "approve", "approve", "wrong digest", "names nothing", "reject", "twice"))
        yield Event(chance.uniform(WARM + 60.0, ENDS), "decide", (app, decision))
    if chance.random() < 0.12:
        yield Event(chance.uniform(WARM + 40.0, 420.0), "cancel", (app,))
    if chance.random() < 0.15:
        yield Event(chance.uniform(WARM + 40.0, 500.0), "ask", (app, chance.random() < 0.5))
    if chance.random() < 0.15:
        yield Event(chance.uniform(250.0, ENDS), "end_hold", (app, chance.choice(("plain", "leave off", "accept bad"))))
    if chance.random() < 0.2:
        kind = chance.choice(("raises", "foreign namespace", "unlisted", "late", "ahead", "other sender", "quiet", "resolved only", "no target"))
        yield Event(chance.uniform(WARM, 420.0), "forge", (app, kind))


Outages = Sequence[tuple[str, float, float]]
"""Name of an outage, the share of schedules that have it, and how long it lasts at most."""

OF_ARGO_CD: Outages = (("sync window closed", 0.12, 200.0), ("controller down", 0.12, 180.0), ("repo-server down", 0.06, 200.0), ("API down", 0.1, 200.0))
OF_SPINNAKER: Outages = (
    ("Orca down", 0.15, 120.0),
    ("Clouddriver away", 0.12, 120.0),
    ("operations refused", 0.08, 200.0),
    ("API down", 0.1, 200.0),
    ("rights lost", 0.12, 300.0),
)
OF_OTHERS: Outages = (("metrics away", 0.12, 200.0), ("notifier away", 0.12, 300.0), ("collector away", 0.15, 300.0))
OF_THE_STORE: Outages = (("store", 0.1, 90.0), ("disk", 0.1, 120.0), ("stop", 0.12, 200.0))


def _outages(chance: random.Random, those: Outages) -> Iterator[Event]:
    for name, share, longest in (*those, *OF_OTHERS, *OF_THE_STORE):
        if chance.random() < share:
            begins = chance.uniform(WARM + 20.0, 350.0)
            given: tuple[object, ...] = (chance.random() < 0.5,) if name == "stop" else () if name in {"store", "disk"} else (name,)
            yield Event(begins, f"{name}_away" if name in {"store", "disk", "stop"} else "begins", given)
            yield Event(begins + chance.uniform(3.0, longest), f"{name}_back" if name in {"store", "disk", "stop"} else "ends", given)


def _around(chance: random.Random) -> Iterator[Event]:
    """Kills, clocks and repeated alerts."""
    for _ in range(chance.choice((0, 0, 0, 1, 2, 3))):
        yield Event(chance.uniform(WARM + 20.0, 420.0), chance.choice(("kill", "kill", "terminate")))
    if chance.random() < 0.08:
        yield Event(chance.uniform(WARM, 420.0), "step_clock", (chance.choice((-90.0, -20.0, -3.0, 3.0, 20.0, 90.0)),))
    for _ in range(chance.choice((0, 0, 1, 2))):
        yield Event(chance.uniform(WARM + 20.0, 420.0), "repeat_post", (chance.randint(1, 20),))


def _releases(chance: random.Random, app: str, *, at_once: bool) -> Iterator[Event]:
    when = chance.uniform(WARM + 5.0, WARM + 30.0 if at_once else 140.0)
    bad = chance.choice(("2.0.0", "2.0.0", "2.0.0", "2.1.0", "2.2.0"))
    if chance.random() < 0.93:
        yield Event(when, "release", (app, bad))
    if chance.random() < 0.12:
        yield Event(when + chance.uniform(0.0, 60.0), "trouble", (app, True))
        yield Event(when + chance.uniform(61.0, 600.0), "trouble", (app, False))
    if chance.random() < 0.4:
        yield Event(when + chance.uniform(30.0, 300.0), "release", (app, "3.0.0"))
    if chance.random() < 0.15:
        yield Event(when + chance.uniform(60.0, 200.0), "release", (app, f"{bad}{READ_ME}"))
    if chance.random() < 0.25:
        yield Event(when + chance.uniform(100.0, 420.0), "release", (app, "2.2.0" if bad != "2.2.0" else "2.0.0"))
