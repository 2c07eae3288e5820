"""Spinnaker's executions (pipelines and tasks) as values; pure. Any field may be missing, null or of another type, stages may refer in a circle.

Shapes as recorded from Orca 2026.2.3. Decided by `status` alone: `canceled` is also set on runs that succeeded, `endTime` may be there on a run that runs
again and missing on one that has ended, and a run that has ended may be restarted.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from integrations.json_shapes import Body, entries, epoch, part, text, texts
from integrations.manifests import digest
from integrations.pods import image_digest
from service.domain.model import Actor, Image, Json

DECK = "deck"
"""What `origin` says of a run that a person started in Spinnaker's own user interface."""
ONE_START = frozenset({"correlationId", "eventId", "executionId", "user", "notifications", "parentExecution", "parentPipelineId", "parentPipelineStageId"})
"""What of a trigger tells one start from another, or says nothing of what is started."""
BY_HAND = "manual"
"""Trigger type of a run that was asked for, by a person or by a program that said nothing else."""


class Status(StrEnum):
    """Orca's statuses; `OTHER` is one that this code does not know: taken for one that has not ended."""

    NOT_STARTED = "NOT_STARTED"
    BUFFERED = "BUFFERED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    SUSPENDED = "SUSPENDED"
    REDIRECT = "REDIRECT"
    SUCCEEDED = "SUCCEEDED"
    FAILED_CONTINUE = "FAILED_CONTINUE"
    SKIPPED = "SKIPPED"
    TERMINAL = "TERMINAL"
    CANCELED = "CANCELED"
    STOPPED = "STOPPED"
    OTHER = "OTHER"

    @classmethod
    def of(cls, value: Json) -> "Status":
        """The status of that word."""
        return cls(value) if isinstance(value, str) and value in cls.__members__ else cls.OTHER

    @property
    def ended(self) -> bool:
        """Whether nothing more happens by itself. Not for ever: a restart turns it back."""
        return self in _ENDED

    @property
    def waiting(self) -> bool:
        """Whether it has not begun: stored, queued behind another run, or held back by Orca."""
        return self in {Status.NOT_STARTED, Status.BUFFERED}

    @property
    def well(self) -> bool:
        """Whether it did what it was for. A run may be SUCCEEDED although one of its stages is not."""
        return self is Status.SUCCEEDED


_ENDED = frozenset({Status.SUCCEEDED, Status.FAILED_CONTINUE, Status.SKIPPED, Status.TERMINAL, Status.CANCELED, Status.STOPPED})

DEPLOYING = frozenset({"deploy", "cloneServerGroup", "createServerGroup", "deployManifest", "patchManifest", "monitoredDeploy", "rollingPush"})
"""Stage types that bring a version to life."""
GOING_BACK = frozenset({"rollbackServerGroup", "rollbackCluster", "undoRolloutManifest"})
"""Stage types that bring an earlier version back."""


WATCHES = "monitor"
"""How the names of the tasks begin that wait until a cloud operation has ended: monitorDeploy, monitorServerGroup (recordings 11, 12)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage. `ref` is the key that others require, `parent` the id of the stage that made this one ("" for one of the pipeline's own)."""

    id: str
    ref: str
    kind: str
    name: str
    status: Status
    requires: tuple[str, ...] = ()
    parent: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    context: Body = field(default_factory=dict)
    outputs: Body = field(default_factory=dict)
    tasks: tuple[tuple[str, Status], ...] = ()
    moved_at: datetime | None = None
    """When the newest of its tasks that have ended did so."""

    @property
    def failure(self) -> str:
        """The most exact words there are about why it failed, word for word; "" when it says nothing (a stopped judgment says nothing).

        In the order of section 6.2: the exception's errors, the cloud operation's own exception (a refused undo has only that), messages.
        """
        exception = part(self.context, "exception")
        details = part(exception, "details")
        if errors := texts(details.get("errors")):
            return "; ".join(errors)
        if error := text(details.get("error")):
            return error
        for operation in reversed(entries(self.context.get("kato.tasks"))):
            if message := text(part(operation, "exception").get("message")):
                return message
        for key in ("failureMessages", "messages"):
            if said := texts(self.context.get(key)):
                return "; ".join(said)
        return text(self.context.get("canaryScoreMessage"))

    @property
    def made_at(self) -> datetime | None:
        """When at the latest what it asked the cloud for was there: not before a task that watches the operation has ended well, and never too early."""
        return self.moved_at if any(name.startswith(WATCHES) and status.well for name, status in self.tasks) else None

    @property
    def posted(self) -> bool:
        """Whether a cloud operation of it was sent: it goes on even when the run is cancelled."""
        return bool(part(self.context, "kato.last.task.id")) or bool(entries(self.context.get("kato.tasks")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What one stage of a run really made: `manifests` of a Kubernetes account, or `groups` (region -> names) of another."""

    account: str
    stage: Stage
    manifests: tuple[Body, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    images: tuple[Image, ...] = ()

    @property
    def well(self) -> bool:
        """Whether the stage that made it succeeded; the run's own status does not tell."""
        return self.stage.status.well


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run of a pipeline, or an ad-hoc task. `marker` is the correlation id that it was started with, `by` who started it.

    `says` is why it was cancelled or refused, "" when it was not. `started_with` is a digest of its trigger without what tells one start from another: equal
    for two runs that the same event, build or image started. `commits` are those of the CI builds that it names: of its trigger, of the run that started it,
    and of its own stages. `parameters` may hold secrets: they are for comparing, never for showing.
    """

    id: str
    is_task: bool
    application: str
    name: str
    config: str
    status: Status
    built_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    by: Actor
    trigger: str
    origin: str
    marker: str = ""
    event: str = ""
    says: str = ""
    parameters: Mapping[str, Json] = field(default_factory=dict)
    artifacts: tuple[Body, ...] = ()
    started_with: str = ""
    commits: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = ()

    @property
    def automated(self) -> bool:
        """Whether nobody asked for this one run: only such a run may be cancelled or judged without a person (not by hand, and not from Deck)."""
        return self.trigger not in {"", BY_HAND} and self.origin != DECK

    @property
    def top(self) -> tuple[Stage, ...]:
        """The pipeline's own stages, in the order in which they run; those of a circle come last."""
        return tuple(_ordered([stage for stage in self.stages if not stage.parent]))

    def below(self, stage: Stage) -> tuple[Stage, ...]:
        """Every stage that this one made, and that those made; never the same one twice."""
        found: dict[str, Stage] = {}
        parents = {stage.id}
        while parents:
            made = [one for one in self.stages if one.parent in parents and one.id not in found and one.id != stage.id]
            found |= {one.id: one for one in made}
            parents = {one.id for one in made}
        return tuple(found.values())

    @property
    def failure(self) -> str:
        """Why it failed, in Spinnaker's own words with the stage's name; "" when nothing failed or nothing is said."""
        for stage in (*self.top, *(one for one in self.stages if one.parent)):
            if stage.status in {Status.TERMINAL, Status.STOPPED, Status.FAILED_CONTINUE} and stage.failure:
                return f"{stage.name}: {stage.failure}"
        return self.says

    @property
    def judgments(self) -> tuple[Stage, ...]:
        """Manual judgments that wait for a person now."""
        return tuple(stage for stage in self.stages if stage.kind == "manualJudgment" and stage.status is Status.RUNNING)

    @property
    def goes_back(self) -> bool:
        """Whether it brings an earlier version back: then what it made live is no new release."""
        return any(stage.kind in GOING_BACK for stage in self.stages)

    @property
    def deployed(self) -> tuple[Deployed, ...]:
        """What it really made, stage by stage as far as it came; what was asked for is not in it."""
        return tuple(made for stage in self.stages if stage.kind in DEPLOYING for made in _made(stage))

    @property
    def has_posted(self) -> bool:
        """Whether any of its stages has sent a cloud operation."""
        return any(stage.posted for stage in self.stages)


def execution_of(body: Json) -> Execution | None:
    """An execution as `GET /pipelines/{id}` and the lists give it; None when it has no id: an empty 200 is no answer, and what it was is not known."""
    whole = body if isinstance(body, Mapping) else {}
    if not text(whole.get("id")):
        return None
    trigger = part(whole, "trigger")
    stages = tuple(_stage(stage) for stage in entries(whole.get("stages")))
    is_task = text(whole.get("type")) == "ORCHESTRATION"
    return Execution(
        id=text(whole.get("id")),
        is_task=is_task,
        application=text(whole.get("application")),
        name=text(whole.get("description")) if is_task else text(whole.get("name")),
        config=text(whole.get("pipelineConfigId")),
        status=Status.of(whole.get("status")),
        built_at=epoch(whole.get("buildTime")),
        started_at=epoch(whole.get("startTime")),
        ended_at=epoch(whole.get("endTime")),
        by=_by(whole, trigger),
        trigger=text(trigger.get("type")),
        origin=text(whole.get("origin")),
        marker=text(trigger.get("correlationId")),
        event=text(trigger.get("eventId")),
        says=text(whole.get("cancellationReason")),
        parameters=part(trigger, "parameters"),
        artifacts=_artifacts(trigger),
        started_with=digest({key: value for key, value in trigger.items() if key not in ONE_START}),
        commits=tuple(_commits(trigger, stages)),
        stages=stages,
    )


def task_of(body: Json) -> Execution | None:
    """A task as `GET /tasks/{id}` and the list of tasks give it: the execution is inside."""
    return execution_of(part(body, "execution"))


def executions_of(body: Json) -> tuple[Execution, ...]:
    """The executions of a list, each id once: a Redis-backed search may repeat one as often as was asked for."""
    found = {one.id: one for item in entries(body) if (one := task_of(item) or execution_of(item)) is not None}
    return tuple(found.values())


def ref_of(body: Json) -> str:
    """The id that a start answers (`{"ref": "/pipelines/<id>"}`); "" when there is none, and then nobody knows what was started."""
    return text(body.get("ref")).rpartition("/")[2] if isinstance(body, Mapping) else ""


def images_in(template: Body) -> tuple[Image, ...]:
    """The images of a pod template, init containers too, in the order of the manifest."""
    spec = part(template, "spec")
    names = (text(one.get("image")) for key in ("initContainers", "containers") for one in entries(spec.get(key)))
    return tuple(_image(name) for name in dict.fromkeys(names) if name)


def _image(reference: str) -> Image:
    digest = image_digest(reference)
    return Image(reference=reference, digest=digest, proof="reference" if digest else "")


def _by(whole: Body, trigger: Body) -> Actor:
    """Who: of a run by hand the user that Gate authenticated before the one that the caller wrote into the trigger, which may be anybody."""
    kind = text(trigger.get("type"))
    user = text(part(whole, "authentication").get("user"))
    user = user if user and user != "anonymous" else text(trigger.get("user")) or user
    if kind in {"", BY_HAND}:
        return Actor(kind="user", name=user or "somebody")
    return Actor(kind="automation", name=f"{kind} trigger" + (f" as {user}" if user else ""))


def _artifacts(trigger: Body) -> tuple[Body, ...]:
    bound = [part(one, "boundArtifact") for one in entries(trigger.get("resolvedExpectedArtifacts"))]
    return tuple(one for one in (*bound, *entries(trigger.get("artifacts"))) if one)


def _commits(trigger: Body, stages: Sequence[Stage]) -> Iterable[str]:
    """`buildInfo.scm[].sha1`, each once: a build may have several, of shared libraries too. Orca keeps no repository's address with them (source only)."""
    builds = [part(trigger, "buildInfo"), part(trigger, "parentExecution", "trigger", "buildInfo"), *(part(stage.context, "buildInfo") for stage in stages)]
    return dict.fromkeys(found for build in builds for one in entries(build.get("scm")) if (found := text(one.get("sha1"))))


def _stage(body: Body) -> Stage:
    return Stage(
        id=text(body.get("id")),
        ref=text(body.get("refId")),
        kind=text(body.get("type")),
        name=text(body.get("name")) or text(body.get("type")),
        status=Status.of(body.get("status")),
        requires=texts(body.get("requisiteStageRefIds")),
        parent=text(body.get("parentStageId")),
        started_at=epoch(body.get("startTime")),
        ended_at=epoch(body.get("endTime")),
        context=part(body, "context"),
        outputs=part(body, "outputs"),
        tasks=tuple((text(task.get("name")), Status.of(task.get("status"))) for task in entries(body.get("tasks"))),
        moved_at=max((ended for task in entries(body.get("tasks")) if (ended := epoch(task.get("endTime"))) is not None), default=None),
    )


def _ordered(stages: Sequence[Stage]) -> Iterator[Stage]:
    """Each after those that it requires; the array's own order is not the order of execution."""
    waiting, done = list(stages), set[str]()
    known = {stage.ref for stage in stages}
    while waiting:
        ready = [stage for stage in waiting if not (set(stage.requires) & known) - done]
        yield from (ready or waiting)
        if not ready:
            return
        done |= {stage.ref for stage in ready}
        waiting = [stage for stage in waiting if stage not in ready]


def _made(stage: Stage) -> Iterator[Deployed]:
    account = next((found for key in ("deploy.account.name", "account", "credentials") if (found := text(stage.context.get(key)))), "")
    manifests = tuple(entries(stage.context.get("outputs.manifests")) or entries(stage.outputs.get("outputs.manifests")))
    groups = {region: texts(names) for region, names in part(stage.context, "deploy.server.groups").items() if texts(names)}
    if manifests:
        images = tuple(image for manifest in manifests for image in images_in(part(manifest, "spec", "template")))
        yield Deployed(account=account, stage=stage, manifests=manifests, images=images)
    if groups:
        yield Deployed(account=account, stage=stage, groups=groups)
