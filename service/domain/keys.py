"""Every kind of fact there is, by name: what it is about and the shape of its value. Sources answer keys; rules name the keys they need.

A new fact is one constructor here, one source that reads it. Values are plain and frozen; "could not be read" is never a value but `Absent`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from service.domain.catalog import Catalog
from service.domain.difference import Content, Rendered
from service.domain.facts import Key
from service.domain.holding import HeldRelease
from service.domain.model import Actor, Image, Json, ObjectRef, Release, ReleaseRecord, Source, TargetId, Way, release_key
from service.domain.own_statements import Counted, OwnStatements, Texts
from service.domain.relaxed import Looked, Relaxed

# --- delivery system (volatile) ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who else writes the target's spec, and what it does about a change of ours. `kind` is nobody, applicationset, parent, or the name of a tool.

    `reverts`: it would undo a rollback (a stopped auto-sync); `reverts_pin`: it would undo a pinned source. `later`: it leaves a change alone now, and
    may undo it at an act of its own that nobody here can foresee (a promotion, an upgrade). `says` tells what it will do, `fix` what would let us act.
    `others` write beside it; the first is the one that harms most.
    """

    kind: str
    name: str = ""
    reverts: bool = False
    reverts_pin: bool = False
    later: bool = False
    says: str = ""
    fix: str = ""
    others: tuple["Owner", ...] = ()

    @property
    def all(self) -> tuple["Owner", ...]:
        """This one and those beside it."""
        return (self, *self.others)

    def undoing(self, way: Way) -> "Owner | None":
        """The first of all that would undo that way; nobody undoes what is changed in Git, for owners deploy from there."""
        if way in {Way.GIT_REVERT, Way.HOTFIX}:
            return None
        return next((one for one in self.all if (one.reverts_pin if way is Way.PIN else one.reverts)), None)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class CanaryPart:
    """What an operation made to measure a release by, beside the target. `role` is baseline or canary; `name` as the delivery system speaks of it."""

    role: str
    name: str
    account: str
    location: str
    provider: str = ""

    @property
    def says(self) -> str:
        """`server group web-canary-v000 (canary, us-east-1)`."""
        kind = "" if " " in self.name else "server group "
        return f"{kind}{self.name} ({self.role}, {self.location})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The operation that holds the target's slot now. `stuck` when it retries or waits without progress; `revision` is what it deploys.

    `measures`: a canary analysis of it has not ended; ending the operation leaves `canary` as it is, for the clean-up is skipped.
    """

    by: Actor
    ours: bool
    automated: bool
    phase: str
    says: str
    since: datetime | None
    revision: str
    stuck: bool = False
    measures: bool = False
    canary: tuple[CanaryPart, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """A target as its delivery system describes it, read live.

    `history` is newest first and holds completed deploys; `current` is what the system holds for live. `auto_sync` is True when the system deploys by
    itself; `remembered` is the raw setting to give back later. `spec_digest` covers what a person could have edited. `prune` is whether a rollback
    deletes what the goal release does not have. `marker` is the text of our own hold marker on the target, "" when there is none.
    `failed_newer` is the sentence of a deploy that failed after the newest history entry: part of it may be live, which the history does not tell.
    `attempted` is the release of that deploy, or of one that still runs and has changed something: in no history, so without a handle; None also when
    it cannot be told. `drifted` are objects that are not as `current` made them although nothing else is wanted: somebody changed them by hand.
    `history_limit` is how many releases the system remembers, None when it does not say.
    `settled`: what runs now belongs to `current`, and is not on its way to or from something else. `desired` are the sources that the system would
    deploy if it were let, resolved; () when it does not say. `unmark` is a command by which a person takes the marker off.
    `follows`: what each source of the spec follows (a branch, a tag, a fixed revision), "" for the system's default. `declares` are the declarations that
    its owners wrote on the target itself, by their names (see `declared`): data, which can only make a verdict stricter. `keeps_desired` is False for a
    system that holds no target to anything: a release goes live there only by somebody's deploy.
    """

    target: TargetId
    uid: str
    title: str
    project: str
    current: Release | None
    history: tuple[Release, ...]
    desired_revision: str
    auto_sync: bool
    remembered: Mapping[str, Json]
    owner: Owner
    running: Running | None
    health: str
    spec_digest: str
    objects: tuple[ObjectRef, ...]
    prune: bool = False
    marker: str = ""
    warnings: tuple[str, ...] = ()
    link: str = ""
    failed_newer: str = ""
    settled: bool = True
    attempted: Release | None = None
    drifted: tuple[ObjectRef, ...] = ()
    history_limit: int | None = None
    desired: tuple[Source, ...] = ()
    unmark: str = ""
    follows: tuple[str, ...] = ()
    declares: Mapping[str, str] = field(default_factory=dict)
    keeps_desired: bool = True

    @property
    def desired_key(self) -> str:
        """Identity of the release that is desired, "" when it is not known."""
        return release_key(self.desired) if self.desired else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Whether the system would run an operation of ours now; `says` names the window.

    `until` is when that changes (a closed one opens, an open one closes), None when it does not within sight; `unsure` is why nobody knows when.
    `automated` and `automated_until` say the same of an operation that the system starts by itself, which windows may treat otherwise.
    """

    open: bool
    says: str
    until: datetime | None = None
    unsure: str = ""
    automated: bool = True
    automated_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that somebody did to the target. `what` is spec_edit, operation, history, action; `ours` when Backout's own account did it."""

    what: str
    by: Actor
    at: datetime
    says: str
    ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One running pod: its images with the digests that really run, and whether it is ready.

    `waits` is why a container of it does not run (CrashLoopBackOff, ImagePullBackOff …), `ending` whether it was told to end: then it is not ready
    because of that. `retiring`: it serves nobody any more and is only kept for a while (the old half of a blue-green release). `object` is the target's
    own object that it belongs to; None when that is not told.
    """

    name: str
    images: tuple[Image, ...]
    ready: bool
    started_at: datetime | None = None
    restarts: int = 0
    waits: str = ""
    ending: bool = False
    retiring: bool = False
    object: ObjectRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadRevision:
    """One revision of a workload as its controller keeps it: `name` is the hash that its pods carry, `images` are the references of its template.

    `created_at` is when it came to be first: before a release that brought it back.
    """

    name: str
    created_at: datetime
    images: tuple[str, ...]
    pods: tuple[Pod, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A Deployment, StatefulSet, DaemonSet or Rollout with its revisions that still exist, newest first."""

    object: ObjectRef
    revisions: tuple[WorkloadRevision, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A workload that a controller rolls out in steps (Argo Rollouts), as it stands now.

    `strategy` is canary or blue_green, `phase` the controller's own word for how it goes. `stable` and `current` name pod templates by hash: what serves
    when all goes wrong, and what is being rolled out; equal once that is fully promoted. `step` of `steps` are done. `waiting`: it stands until a person
    or a timer lets it go on. `aborted`: the stable one serves alone; `aborting` while it is told so and its controller has not done it. `promoting`: it
    was told to skip what is left. `analyses` have not ended.
    """

    object: ObjectRef
    uid: str
    strategy: str
    phase: str
    says: str
    stable: str
    current: str
    step: int = 0
    steps: int = 0
    waiting: bool = False
    aborted: bool = False
    aborting: bool = False
    promoting: bool = False
    analyses: tuple[str, ...] = ()

    @property
    def promoted(self) -> bool:
        """Whether nothing is left to roll out."""
        return self.stable == self.current

    @property
    def under_way(self) -> bool:
        """Whether a release is on its way that can still be aborted."""
        return not self.promoted and not self.aborted


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutBack:
    """What a Rollout does when it is given a past release again, beginning from what is stable now.

    `skips` says why no step runs: `stable` (that release is the stable one), `window` (it lies within the rollback window), `none` (there are no steps);
    "" when they run. Then `steps` run, their pauses take `waits` together, and `open_ended` names each whose end nobody knows beforehand.
    """

    object: ObjectRef
    skips: str = ""
    steps: int = 0
    waits: timedelta = timedelta(0)
    open_ended: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """What our own credential may do on the target: permission -> yes or no; `fix` is the line an operator would add for each no.

    `spoken` is permission -> how it is said, where the delivery system has no such word.
    """

    allowed: Mapping[str, bool]
    fix: Mapping[str, str]
    spoken: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPipeline:
    """The team's own rollback pipeline, read before it is started for one release.

    `values` are the parameters that it would be given. `blocked` are reasons why it cannot be started at all, `missing` what it lacks, and `to_person` why
    nobody but a person may start it; all () when it may be started by itself.
    """

    id: str
    name: str
    values: Mapping[str, str]
    blocked: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    to_person: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigLeft:
    """A ConfigMap or Secret that a past release reads, and that going back leaves as it is now.

    `there`: whether it still exists. `changed`: whether it is another than that release was deployed with. Both None where nobody can say. `lacks` are keys
    that it has no more and without which that release does not start. `says` is what that rests on; what the object holds is in none of this.
    """

    kind: str
    name: str
    there: bool | None
    changed: bool | None
    says: str
    optional: bool = False
    lacks: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """`ConfigMap web`."""
        return f"{self.kind} {self.name}"

    @property
    def stops_it(self) -> bool:
        """Whether the release does not start with it as it is now."""
        return bool(self.lacks) or (self.there is False and not self.optional)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerGroup:
    """One server group of a cluster of machines, as it stands now.

    `takes_traffic` is None where nobody can say. `running` of its instances run well, with traffic or without, None where that is not told; `desired` is
    how many there should be, between `minimum` and `maximum`. `launchable`: whether its launch configuration and image are still there, None where that
    is not told. `suspended` are processes that would change its size, and that somebody switched off. `strategy` is how the deploy that made it treats those
    before it, in the delivery system's own word; "" where that is not told.
    """

    name: str
    release: str
    takes_traffic: bool | None
    running: int | None
    desired: int | None
    minimum: int | None
    maximum: int | None
    launchable: bool | None
    suspended: tuple[str, ...] = ()
    strategy: str = ""

    def what_became_of(self, name: str) -> str:
        """Why a server group before it is not there any more, as far as the strategy of its deploy tells."""
        if not self.strategy:
            return f"server group {name} is not there any more"
        destroys = ", which destroys the groups before it" if self.strategy == "highlander" else ""
        return f"server group {name} is not there any more; {self.name} was deployed with strategy {self.strategy}{destroys}"

    def has_to_grow(self, bad: "ServerGroup") -> bool | None:
        """Whether it has to be scaled before the bad one's traffic comes to it, for it is smaller or does not run at its size; None where that is not told."""
        if self.running is None or self.desired is None or bad.desired is None:
            return None
        return self.desired < bad.desired or self.running < self.desired or not self.running


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerGroups:
    """The server groups of one cluster, newest first. `cloud` is what the delivery system calls that which runs them.

    `guarded`: Spinnaker refuses what would leave the cluster without traffic; None where nobody can say.
    """

    cloud: str
    groups: tuple[ServerGroup, ...]
    guarded: bool | None

    def of_release(self, key: str) -> ServerGroup | None:
        """The group that is that release."""
        return next((one for one in self.groups if one.release == key), None)


MACHINES = ("spinnaker.io", "cluster")
"""Group and kind of a cluster of server groups: machines outside Kubernetes."""


def machines(objects: Iterable[ObjectRef]) -> tuple[ObjectRef, ...]:
    """Those of the objects that are clusters of machines."""
    return tuple(one for one in objects if (one.group, one.kind) == MACHINES)


STEP_WISE = ("argoproj.io", "Rollout")
"""Group and kind of the workloads that roll out in steps of their own."""


def step_wise(objects: Iterable[ObjectRef]) -> tuple[ObjectRef, ...]:
    """Those of the objects that roll out in steps of their own."""
    return tuple(one for one in objects if (one.group, one.kind) == STEP_WISE)


def state(target: TargetId) -> Key[TargetState]:
    """The target now."""
    return Key("state", target)


def window(target: TargetId) -> Key[Window]:
    """The sync windows over the target now."""
    return Key("sync window", target)


def acts(target: TargetId) -> Key[tuple[Act, ...]]:
    """What was done to the target as far back as the system remembers (Argo CD: about an hour of events), oldest first."""
    return Key("acts", target)


def pods(target: TargetId) -> Key[tuple[Pod, ...]]:
    """The target's pods now."""
    return Key("pods", target)


def workloads(target: TargetId) -> Key[tuple[Workload, ...]]:
    """The target's workloads now, with the pods of each revision, read from the cluster itself."""
    return Key("workloads", target)


def workloads_in(instance: str, cluster: str, objects: tuple[ObjectRef, ...]) -> Key[tuple[Workload, ...]]:
    """These workloads of the cluster that the delivery instance calls so; one that is not there (any more) is left out."""
    return Key("workloads of a cluster", (instance, cluster, objects))


def rollouts(target: TargetId) -> Key[tuple[Rollout, ...]]:
    """How far the target's step-wise workloads are; none is an answer."""
    return Key("rollouts", target)


def rollouts_back(target: TargetId, release: str, handle: str) -> Key[tuple[RolloutBack, ...]]:
    """What the target's step-wise workloads would do if that past release were deployed now."""
    return Key("rollouts back", (target, release, handle))


def own_pipeline(target: TargetId, release: str, handle: str) -> Key[OwnPipeline | None]:
    """The team's own rollback pipeline, read for going back to that release; None where none is set up for the target."""
    return Key("own pipeline", (target, release, handle))


def configs_left(target: TargetId, release: str, handle: str) -> Key[tuple[ConfigLeft, ...]]:
    """The ConfigMaps and Secrets that the past release reads, and that stay as they are when its workload goes back; none is an answer."""
    return Key("configs left", (target, release, handle))


def server_groups(target: TargetId) -> Key[ServerGroups]:
    """The target's server groups now, if it is made of such."""
    return Key("server groups", target)


def permissions(target: TargetId) -> Key[Permissions]:
    """What our credential may do on the target."""
    return Key("permissions", target)


def images(target: TargetId, release: str, handle: str) -> Key[tuple[Image, ...]]:
    """Images of a past release as the delivery system renders it today; references only carry digests that they name."""
    return Key("rendered images", (target, release, handle))


def desired_images(target: TargetId) -> Key[tuple[Image, ...]]:
    """Images that the delivery system would deploy if it were let, as it renders them today; references only carry digests that they name."""
    return Key("desired images", target)


def manifests(target: TargetId, release: str, handle: str) -> Key[tuple[Rendered, ...]]:
    """A past release's objects as the delivery system renders them today, told by digests; `handle` is "" for one that is in no history."""
    return Key("rendered manifests", (target, release, handle))


def desired_manifests(target: TargetId) -> Key[tuple[Rendered, ...]]:
    """The objects that the delivery system would deploy if it were let, as it renders them today, told by digests."""
    return Key("desired manifests", target)


def leftovers(target: TargetId, handle: str) -> Key[tuple[ObjectRef, ...]]:
    """Objects of the live release that the release `handle` does not have: what a rollback with prune would delete."""
    return Key("leftovers", (target, handle))


def confirmations(target: TargetId, objects: tuple[ObjectRef, ...]) -> Key[tuple[ObjectRef, ...]]:
    """Those of the objects for which the delivery system waits until a person confirms, where a release does not have them, whether it prunes or not."""
    return Key("prune confirmations", (target, objects))


# --- our own records ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Backout's own acts around a target. `wide_outage` is the sentence when too many targets have incidents at once, else "".

    `failed_forwards`: automatic operations that went forward `within` the window and did not end well.
    """

    automatic_rollbacks: int
    within: timedelta
    held: tuple[str, ...]
    made_by_backout: tuple[str, ...]
    alive: tuple[str, ...]
    wide_outage: str
    disarmed: str
    failed_forwards: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """Objects that more than one target has in its tree: object -> the other targets; and how many targets were compared."""

    shared: Mapping[ObjectRef, tuple[TargetId, ...]]
    compared: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionBeside:
    """The same cluster in another region, with the operation of Backout's that comes first there: it acts already, or it began before the one that asks."""

    target: TargetId
    operation: str
    acts: bool


def regions_beside(target: TargetId) -> Key[tuple[RegionBeside, ...]]:
    """The other regions of the target's cluster in which an operation comes first; none is an answer."""
    return Key("regions beside", target)


def record(target: TargetId, release: str) -> Key[ReleaseRecord]:
    """What Backout saw of the release while it lived."""
    return Key("record", (target, release))


def kept_content(target: TargetId, release: str) -> Key[Content]:
    """What Backout kept of how the release rendered while it lived: where its parameters are not today's nobody else can tell."""
    return Key("kept content", (target, release))


def baseline(target: TargetId, before: datetime | None = None) -> Key[str]:
    """The spec digest last read before that time (the onset); without a time nobody can say which, and the fact is absent."""
    return Key("spec baseline", (target, before))


def limits(target: TargetId) -> Key[Limits]:
    """Backout's own acts and holds around the target."""
    return Key("limits", target)


def held(target: TargetId) -> Key[tuple[HeldRelease, ...]]:
    """The releases that the target's open hold keeps away; () when there is no open hold."""
    return Key("held releases", target)


def sharing(target: TargetId) -> Key[Sharing]:
    """Objects shared with other targets, from the index over all targets of all instances."""
    return Key("sharing", target)


# --- registry, Git -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the registry says of an image: `digest` is None when it says there is no such image."""

    digest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """What an image says of itself: labels from the configuration blob of exactly that digest, or the tags of an image of machines.

    `revision` and `repository` name the source commit, "" when the image does not say. `derived`: a tool worked the revision out of several things that it
    saw, instead of the build writing it down, so it counts only where that repository is seen to have it.
    """

    labels: Mapping[str, str]
    revision: str
    repository: str
    version: str = ""
    derived: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """One file that differs between two revisions. `change` is added, modified, deleted or renamed; `text` is the new text, None with `why_no_text`.

    `before` is the old text, None when there was none or it is not read; `what` is file, link (symbolic) or submodule.
    """

    path: str
    change: str
    text: str | None = None
    why_no_text: str = ""
    before: str | None = None
    what: str = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceChange:
    """Everything that differs between two source revisions of one repository; complete, or it would be Absent. Texts only of migration files.

    `has_code` is False when the repository at both revisions holds nothing but deployment configuration: then it proves nothing about migrations.
    `dialect` is the SQL dialect that the operator declared for the repository (postgres, mysql, sqlite), "" when none was.
    `beside` are (path, text) of unchanged files that readers of the changed ones need, such as a migration tool's configuration.
    `patterns` are shell patterns of paths that the operator, the repository or a migration tool's configuration declared to be migrations, beside the usual
    layouts. `elsewhere` are (path of a configuration file, clause) of places for migrations that it names and where nobody looked.
    `declarations` is the text of `.backout.yaml` at the older revision (see `waivers`), None when there is none.
    """

    repository: str
    old: str
    new: str
    files: tuple[FileChange, ...]
    has_code: bool
    backwards: bool = False
    dialect: str = ""
    beside: tuple[tuple[str, str], ...] = ()
    patterns: tuple[str, ...] = ()
    declarations: str | None = None
    elsewhere: tuple[tuple[str, str], ...] = ()


def manifest(image: str) -> Key[Manifest]:
    """Whether `repository@digest` can still be pulled."""
    return Key("image manifest", image)


def image_config(image: str) -> Key[ImageConfig]:
    """The labels of `repository@digest`."""
    return Key("image labels", image)


def machine_image(target: TargetId, release: str, handle: str) -> Key[ImageConfig]:
    """What the image that the release's machines are made from says of itself: it is in no registry, so the delivery system is asked."""
    return Key("machine image", (target, release, handle))


def catalog(database: str) -> Key[Catalog]:
    """The schema of a database of the settings as it is now, by the database itself."""
    return Key("database catalog", database)


def catalog_then(target: TargetId, release: str, database: str) -> Key[Catalog]:
    """The schema of that database as it was while the release lived alone, before anything newer was deployed."""
    return Key("database catalog then", (target, release, database))


def statements(database: str) -> Key[tuple[Counted, ...]]:
    """What the program's role ran in that database, as the database counts it, without any value."""
    return Key("database statements", database)


def statements_then(target: TargetId, release: str, database: str) -> Key[OwnStatements]:
    """The statements that the release was seen to run in that database while it lived alone."""
    return Key("database statements then", (target, release, database))


def prepared(database: str, schema: str, texts: Texts) -> Key[tuple[str, ...]]:
    """What preparing each of these statements says: "" or the SQLSTATE. It holds as long as the schema, whose digest is asked along."""
    return Key("database prepared", (database, schema, texts))


def left_rows(database: str, questions: tuple[Relaxed, ...]) -> Key[tuple[Looked, ...]]:
    """Whether that database holds a row beyond any of these limits, which are looser than they were."""
    return Key("database rows", (database, questions))


def source_change(repository: str, old: str, new: str) -> Key[SourceChange]:
    """What differs between two source revisions."""
    return Key("source change", (repository, old, new))


# --- metrics -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """The rule behind an alert as the metrics system holds it. `hold` is its `for`; `expression` and `threshold` only if it is a plain comparison.

    `comparison` is one of > >= < <= == != or "" when the rule is no plain `expression comparison number`: then it is no SLI.
    """

    name: str
    query: str
    hold: timedelta
    keep_firing: timedelta
    expression: str = ""
    comparison: str = ""
    threshold: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertNow:
    """The alert by our own query: `state` is firing, pending or inactive; `active_at` is when its condition began, if the system says so."""

    state: str
    active_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Samples of one expression: label set -> value, and the time of the samples. An empty mapping means no series, which is not zero."""

    values: Mapping[tuple[tuple[str, str], ...], float]
    at: datetime


def alert_rule(name: str, labels: tuple[tuple[str, str], ...]) -> Key[AlertRule]:
    """The alerting rule by name and static labels; more than one match is Absent."""
    return Key("alert rule", (name, labels))


def alert_now(name: str, labels: tuple[tuple[str, str], ...]) -> Key[AlertNow]:
    """Whether the alert fires now, by our own query."""
    return Key("alert state", (name, labels))


def series(expression: str, labels: tuple[tuple[str, str], ...] = ()) -> Key[Series]:
    """The expression's value now, fresh, reduced to series that carry these labels."""
    return Key("series", (expression, labels))
