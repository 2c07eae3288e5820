"""A made-up world for the tests of the domain: checkout's release 42 is burning, 41 was good, every fact is there and every rule says yes.

Tests change one thing and look at what follows. Facts are kept as the gatherer would hand them over.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar

from service.domain import keys
from service.domain.conditions import Condition
from service.domain.difference import Content, Rendered, own
from service.domain.facts import Absent, Evidence, Fact, Facts, Key, Known
from service.domain.holding import HeldRelease
from service.domain.model import Actor, Episode, Image, Mode, ObjectRef, Release, ReleaseRecord, Source, TargetId, Way, release_key
from service.domain.policy import Declarations, Settled, TargetPolicy, Tightening, VersionSplit
from service.domain.rule import Case, Rule, Trigger

T = TypeVar("T")

NOW = datetime(2026, 5, 4, 14, 3, 0, tzinfo=UTC)
STARTED = datetime(2026, 5, 4, 14, 2, 7, tzinfo=UTC)
ONSET = datetime(2026, 5, 4, 14, 2, 13, tzinfo=UTC)
BEGAN = datetime(2026, 5, 4, 14, 2, 43, tzinfo=UTC)
FOR = timedelta(seconds=30)
TARGET = TargetId("prod", "checkout")
REPOSITORY = "git.example/shop/checkout"
CONFIG = "git.example/shop/deploy"
NEW_REVISION = "9c1e2ab" + "0" * 33
OLD_REVISION = "77d0f1c" + "0" * 33
NEW_DIGEST = "sha256:" + "4" * 64
OLD_DIGEST = "sha256:" + "3" * 64
NEW_IMAGE = Image(reference="registry.example/shop/web:2.5.0", digest=NEW_DIGEST, proof="pods")
OLD_IMAGE = Image(reference="registry.example/shop/web:2.4.6", digest=OLD_DIGEST, proof="pods")
SPLIT = VersionSplit(promql="failing by (version)", label="version", above=0.01)
LABELS = (("job", "checkout"), ("severity", "page"))
ABSENT = Absent("the connection was refused", clears="Try again.")
JANE = Actor(kind="user", name="jane")
ROBOT = Actor(kind="automation", name="argocd")


def source(revision: str, path: str = "checkout") -> Source:
    return Source(repository=CONFIG, path=path, revision=revision)


def release(handle: str, *, version: str, revision: str, started_at: datetime) -> Release:
    return Release(
        target=TARGET,
        key=f"key-{handle}",
        handle=handle,
        sources=(source(revision),),
        version=version,
        started_at=started_at,
        deployed_at=started_at + timedelta(seconds=13),
    )


SUSPECT = release("42", version="v2.5.0", revision="c0ffee0" + "1" * 33, started_at=STARTED)
GOAL = release("41", version="v2.4.6", revision="beef000" + "2" * 33, started_at=STARTED - timedelta(days=1))
TRIGGER = Trigger(incident_id="inc-1", alert="HighErrorRate", labels={"alertname": "HighErrorRate", **dict(LABELS)}, began_at=BEGAN, received_at=NOW)
LATE = Tightening(when=Condition("now.getHours() >= 22", about_rule=False), reason="nobody watches at night", at_most=Mode.APPROVE)
POLICY = TargetPolicy(version_split=SPLIT, declares=Declarations(shared_services=(), cache="versioned"))
CONDITIONAL = replace(POLICY, conditions=(LATE,))
CONFIG_MAP = ObjectRef(group="", kind="ConfigMap", namespace="shop", name="flags")


def record(of: Release, image: Image | None, *, healthy_for: timedelta = timedelta(hours=23), last_health: str = "Healthy") -> ReleaseRecord:
    return ReleaseRecord(
        target=TARGET,
        key=of.key,
        handle=of.handle,
        version=of.version,
        images=(image,) if image else None,
        watched_from=of.started_at,
        watched_until=STARTED,
        healthy_for=healthy_for,
        last_health=last_health,
    )


def state(**changes: Any) -> keys.TargetState:
    values: dict[str, Any] = {
        "target": TARGET,
        "uid": "uid-1",
        "title": "checkout",
        "project": "shop",
        "current": SUSPECT,
        "history": (SUSPECT, GOAL),
        "desired_revision": SUSPECT.revision,
        "auto_sync": True,
        "remembered": {"automated": {"prune": True, "selfHeal": True}},
        "owner": keys.Owner(kind="nobody"),
        "running": None,
        "health": "Degraded",
        "spec_digest": "sha256:spec",
        "objects": (),
    }
    return keys.TargetState(**(values | changes))


def limits(**changes: Any) -> keys.Limits:
    values: dict[str, Any] = {
        "automatic_rollbacks": 0,
        "within": timedelta(hours=6),
        "held": (),
        "made_by_backout": (),
        "alive": (),
        "wide_outage": "",
        "disarmed": "",
    }
    return keys.Limits(**(values | changes))


def difference(*files: keys.FileChange, **changes: Any) -> keys.SourceChange:
    values: dict[str, Any] = {
        "repository": REPOSITORY,
        "old": OLD_REVISION,
        "new": NEW_REVISION,
        "files": files or (keys.FileChange(path="shop/cart.py", change="modified"),),
        "has_code": True,
    }
    return keys.SourceChange(**(values | changes))


def shares(values: Mapping[str, float], label: str = "version") -> keys.Series:
    return keys.Series(values={((label, name),): number for name, number in values.items()}, at=NOW)


def known(value: T, *, what: str = "", read_at: datetime = NOW, good_for: timedelta = timedelta(minutes=1), by: str = "sandbox") -> Known[T]:
    return Known(value=value, evidence=Evidence(source=by, what=what, read_at=read_at), good_for=good_for)


ALERT_NOW = keys.alert_now("HighErrorRate", LABELS)
ALERT_RULE = keys.alert_rule("HighErrorRate", LABELS)
SERIES = keys.series(SPLIT.promql)
STATE = keys.state(TARGET)
LIMITS = keys.limits(TARGET)
RECORD_NEW = keys.record(TARGET, SUSPECT.key)
RECORD_OLD = keys.record(TARGET, GOAL.key)
RENDERED_NEW = keys.images(TARGET, SUSPECT.key, SUSPECT.handle)
RENDERED_OLD = keys.images(TARGET, GOAL.key, GOAL.handle)
MANIFEST = keys.manifest(f"registry.example/shop/web@{OLD_DIGEST}")
LABELS_NEW = keys.image_config(f"registry.example/shop/web@{NEW_DIGEST}")
LABELS_OLD = keys.image_config(f"registry.example/shop/web@{OLD_DIGEST}")
DIFFERENCE = keys.source_change(REPOSITORY, OLD_REVISION, NEW_REVISION)
ACTS = keys.acts(TARGET)
BASELINE = keys.baseline(TARGET, ONSET)
WINDOW = keys.window(TARGET)
PERMISSIONS = keys.permissions(TARGET)
LEFTOVERS = keys.leftovers(TARGET, GOAL.handle)
CONFIRMATIONS = keys.confirmations(TARGET, (CONFIG_MAP,))
SHARING = keys.sharing(TARGET)
ROLLOUTS = keys.rollouts(TARGET)
ROLLOUTS_BACK = keys.rollouts_back(TARGET, GOAL.key, GOAL.handle)


@dataclass
class World:
    """A case in the making: everything that sources would answer, and what the policy says."""

    answers: dict[Key[Any], Fact[Any]] = field(default_factory=dict)
    policy: TargetPolicy = POLICY
    suspect: Release | None = SUSPECT
    goal: Release | None = GOAL
    trigger: Trigger | None = TRIGGER
    way: Way = Way.ROLLBACK
    why_none: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)
    settled: Settled | None = None

    def tell(self, key: Key[T], value: T) -> Self:
        self.answers[key] = known(value, what=str(key))
        return self

    def hide(self, key: Key[Any]) -> Self:
        self.answers[key] = ABSENT
        return self

    def age(self, key: Key[Any]) -> Self:
        old = self.answers[key]
        assert isinstance(old, Known)
        self.answers[key] = replace(old, evidence=replace(old.evidence, read_at=NOW - timedelta(hours=1)))
        return self

    def forget(self, key: Key[Any]) -> Self:
        self.answers.pop(key)
        return self

    def case(self, answers: Mapping[Key[Any], Fact[Any]] | None = None) -> Case:
        facts = Facts(self.answers if answers is None else answers, NOW)
        return Case(
            target=TARGET,
            policy=self.policy,
            suspect=self.suspect,
            goal=self.goal,
            way=self.way,
            facts=facts,
            trigger=self.trigger,
            why_none=self.why_none,
            context=self.context,
            settled=self.settled or (Settled(asked=len(self.policy.conditions)) if self.policy.conditional else None),
        )

    def gathered(self, rule: Rule) -> dict[Key[Any], Fact[Any]]:
        """What the gatherer would read for this rule: its needs, asked again until it names nothing new. A source that is not there is absent."""
        answers: dict[Key[Any], Fact[Any]] = {}
        while new := set(rule.needs(self.case(answers))) - answers.keys():
            answers |= {key: self.answers.get(key, Absent(f"no source answers the {key}")) for key in new}
        return answers

    def gathered_case(self, rule: Rule) -> Case:
        return self.case(self.gathered(rule))


Examples = Mapping[str, World]
"""What a rule's page in docs/rules shows: a situation in words, and the world in which the rule is asked. Each rule's test file has an `EXAMPLES`."""


class Recorded(Mapping[Key[Any], Fact[Any]]):
    """Answers that remember which keys were asked for."""

    def __init__(self, answers: Mapping[Key[Any], Fact[Any]]) -> None:
        self.answers = answers
        self.asked: set[Key[Any]] = set()

    def __getitem__(self, key: Key[Any]) -> Fact[Any]:
        self.asked.add(key)
        return self.answers[key]

    def __iter__(self) -> Iterator[Key[Any]]:
        return iter(self.answers)

    def __len__(self) -> int:
        return len(self.answers)

    def __contains__(self, key: object) -> bool:
        return key in self.answers


def world(**changes: Any) -> World:
    """Every fact is there, and every rule passes."""
    made = World(**changes)
    made.tell(ALERT_NOW, keys.AlertNow(state="firing", active_at=ONSET))
    made.tell(ALERT_RULE, keys.AlertRule(name="HighErrorRate", query="errors > 0.01", hold=FOR, keep_firing=timedelta(0)))
    made.tell(SERIES, shares({"v2.5.0": 0.31, "v2.4.6": 0.001}))
    made.tell(STATE, state())
    made.tell(keys.own_pipeline(TARGET, GOAL.key, GOAL.handle), keys.OwnPipeline(id="p1", name="Rollback", values={}))
    made.tell(keys.configs_left(TARGET, GOAL.key, GOAL.handle), ())
    made.tell(LIMITS, limits())
    made.tell(RECORD_NEW, record(SUSPECT, NEW_IMAGE))
    made.tell(RECORD_OLD, record(GOAL, OLD_IMAGE))
    made.tell(RENDERED_NEW, (Image(reference=NEW_IMAGE.reference),))
    made.tell(MANIFEST, keys.Manifest(digest=OLD_DIGEST))
    made.tell(LABELS_NEW, keys.ImageConfig(labels={}, revision=NEW_REVISION, repository=REPOSITORY))
    made.tell(LABELS_OLD, keys.ImageConfig(labels={}, revision=OLD_REVISION, repository=REPOSITORY))
    made.tell(DIFFERENCE, difference())
    made.tell(ACTS, ())
    made.tell(BASELINE, "sha256:spec")
    made.tell(WINDOW, keys.Window(open=True, says="no window is defined"))
    made.tell(PERMISSIONS, keys.Permissions(allowed={"get": True, "sync": True, "update": True}, fix={}))
    made.tell(LEFTOVERS, ())
    made.tell(CONFIRMATIONS, ())
    made.tell(SHARING, keys.Sharing(shared={}, compared=12))
    return made


# --- the same target under a hold: 42 was rolled back to 41 (now entry 43), and a fix is desired ----------------------------

FIX_REVISION = "f1f1f1f" + "3" * 33
FIX_SOURCE_REVISION = "5afe5af" + "0" * 33
FIX_DIGEST = "sha256:" + "5" * 64
FIX_IMAGE = Image(reference=f"registry.example/shop/web@{FIX_DIGEST}", digest=FIX_DIGEST, proof="reference")
DEPLOYMENT = ObjectRef(group="apps", kind="Deployment", namespace="shop", name="web")
LIVE = replace(GOAL, handle="43", started_at=NOW - timedelta(seconds=40), deployed_at=NOW - timedelta(seconds=30), by=Actor(kind="service", name="backout"))
FIX = Release(target=TARGET, key=release_key((source(FIX_REVISION),)), handle="", sources=(source(FIX_REVISION),), version="v2.5.1", started_at=NOW)
FIX_LIVE = replace(FIX, handle="44", deployed_at=NOW, by=JANE)
HELD = keys.held(TARGET)
DESIRED_IMAGES = keys.desired_images(TARGET)
DESIRED_MANIFESTS = keys.desired_manifests(TARGET)


def rendered(*, replicas: str = "2") -> Rendered:
    """The Deployment, told by digests."""
    return Rendered(object=DEPLOYMENT, digest=f"sha256:{replicas}", fields={"spec.replicas": replicas})


def content(image: Image, *, replicas: str = "2") -> Content:
    return Content(images=(image,), rendered=(rendered(replicas=replicas),))


def held_release(**changes: Any) -> HeldRelease:
    """Release 42, held away: its image and its number of replicas are its own."""
    values: dict[str, Any] = {
        "key": SUSPECT.key,
        "since": NOW,
        "operation_id": "op_1",
        "release": SUSPECT,
        "against": GOAL,
        "bad": own(content(NEW_IMAGE, replicas="3"), content(OLD_IMAGE)),
    }
    return HeldRelease(**(values | changes))


def held_state(**changes: Any) -> keys.TargetState:
    """Rolled back, auto-sync stopped, and a fix is desired."""
    values: dict[str, Any] = {
        "current": LIVE,
        "history": (LIVE, SUSPECT, GOAL),
        "desired_revision": FIX_REVISION,
        "desired": FIX.sources,
        "auto_sync": False,
        "remembered": {},
        "health": "Healthy",
        "objects": (DEPLOYMENT,),
        "marker": "operation=op_1 suspect=c0ffee0 goal=beef000",
    }
    return state(**(values | changes))


def forward_world(**changes: Any) -> World:
    """A fix is desired under a hold, every fact is there, and every rule that is asked passes."""
    values: dict[str, Any] = {
        "suspect": LIVE,
        "goal": FIX,
        "trigger": None,
        "way": Way.FORWARD,
        "context": {"alert": "HighErrorRate", "labels": LABELS},
    }
    made = World(**(values | changes))
    made.tell(ALERT_RULE, keys.AlertRule(name="HighErrorRate", query="e > 1", hold=FOR, keep_firing=timedelta(0), expression="e", comparison=">", threshold=1))
    made.tell(STATE, held_state())
    made.tell(LIMITS, limits(held=(SUSPECT.key,), made_by_backout=("43",), automatic_rollbacks=1, disarmed="1 automatic rollback within 6 h"))
    made.tell(HELD, (held_release(),))
    made.tell(DESIRED_IMAGES, (FIX_IMAGE,))
    made.tell(DESIRED_MANIFESTS, (rendered(),))
    made.tell(RECORD_OLD, record(GOAL, OLD_IMAGE))
    made.tell(keys.manifest(str(FIX_IMAGE.exact)), keys.Manifest(digest=FIX_DIGEST))
    made.tell(keys.image_config(str(FIX_IMAGE.exact)), keys.ImageConfig(labels={}, revision=FIX_SOURCE_REVISION, repository=REPOSITORY))
    made.tell(LABELS_OLD, keys.ImageConfig(labels={}, revision=OLD_REVISION, repository=REPOSITORY))
    made.tell(keys.source_change(REPOSITORY, OLD_REVISION, FIX_SOURCE_REVISION), difference(new=FIX_SOURCE_REVISION))
    made.tell(WINDOW, keys.Window(open=True, says="no window is defined"))
    made.tell(PERMISSIONS, keys.Permissions(allowed={"get": True, "sync": True, "update": True}, fix={}))
    made.tell(SHARING, keys.Sharing(shared={}, compared=12))
    return made


def live_world(**changes: Any) -> World:
    """A person's own fix is live already; only the hold is to be ended."""
    context = {"alert": "HighErrorRate", "labels": LABELS, "live_already": True}
    made = forward_world(**({"suspect": SUSPECT, "goal": FIX_LIVE, "context": context} | changes))
    made.tell(STATE, held_state(current=FIX_LIVE, history=(FIX_LIVE, LIVE, SUSPECT, GOAL)))
    made.tell(keys.record(TARGET, FIX.key), record(FIX_LIVE, FIX_IMAGE))
    made.tell(keys.images(TARGET, FIX.key, "44"), (FIX_IMAGE,))
    made.tell(keys.manifests(TARGET, FIX.key, "44"), (rendered(),))
    return made


def step_wise(name: str = "checkout") -> ObjectRef:
    return ObjectRef(group="argoproj.io", kind="Rollout", namespace="shop", name=name)


def rollout(*, name: str = "checkout", **changes: Any) -> keys.Rollout:
    """Promoted in full, unless said otherwise."""
    values: dict[str, Any] = {
        "object": step_wise(name),
        "uid": "uid-rollout",
        "strategy": "canary",
        "phase": "Healthy",
        "says": "",
        "stable": "bad",
        "current": "bad",
    }
    return keys.Rollout(**(values | changes))


def rollout_back(*, name: str = "checkout", **changes: Any) -> keys.RolloutBack:
    return keys.RolloutBack(object=step_wise(name), **changes)


def rolled_out(of: World, now: Mapping[str, Any], back: Mapping[str, Any], *, promote_full: bool = False) -> World:
    """The world in which checkout is a Rollout that stands so and would go back so."""
    of.policy = replace(of.policy, promote_full=promote_full)
    return of.tell(STATE, state(objects=(step_wise(),))).tell(ROLLOUTS, (rollout(**now),)).tell(ROLLOUTS_BACK, (rollout_back(**back),))


CLUSTER = ObjectRef(group="spinnaker.io", kind="cluster", namespace="prod/us-east-1", name="web-main")
GROUPS = keys.server_groups(TARGET)


def server_group(of: Release, **changes: Any) -> keys.ServerGroup:
    """The server group that is that release, three of three running: the suspect's takes the traffic."""
    values: dict[str, Any] = {
        "name": f"web-main-v0{of.handle}",
        "release": of.key,
        "takes_traffic": of.key == SUSPECT.key,
        "running": 3,
        "desired": 3,
        "minimum": 2,
        "maximum": 4,
        "launchable": True,
    }
    return keys.ServerGroup(**(values | changes))


def on_machines(*, bad: Mapping[str, Any] | None = None, good: Mapping[str, Any] | None = None, **changes: Any) -> World:
    """The world in which checkout is a cluster of machines, of which the old server group still runs."""
    groups = (server_group(SUSPECT, **(bad or {})), server_group(GOAL, **(good or {})))
    told: dict[str, Any] = {"cloud": "aws", "groups": groups, "guarded": False}
    return world(way=Way.ENABLE_PREVIOUS).tell(STATE, state(objects=(CLUSTER,))).tell(GROUPS, keys.ServerGroups(**(told | changes)))


def episode(labels: Mapping[str, str], **changes: Any) -> Episode:
    values: dict[str, Any] = {
        "id": "epi-1",
        "source": "alertmanager",
        "sender": "main",
        "fingerprint": "f00d",
        "starts_at": BEGAN,
        "ends_at": None,
        "labels": labels,
        "annotations": {},
        "generator_url": "",
        "received_at": NOW,
        "last_seen_at": NOW,
        "times_seen": 1,
    }
    return Episode(**(values | changes))
