"""Saved pipelines as values: their stages, parameters and triggers; pure.

Shapes as Deck writes them: source only, for front50 was played when Gate was recorded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from integrations.json_shapes import Body, entries, items, part, text, texts
from integrations.manifests import digest
from service.domain.model import Json

VOLATILE = frozenset({"updateTs", "lastModifiedBy", "lastModified", "createTs", "index"})
"""What saving changes by itself."""
MARK = "backoutHold"
"""The key of a trigger under which Backout's marks stand, by target. Source only: Front50 keeps a trigger's keys that it does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter. `required` without a `default` must be given; `choices` is what it may be, () for anything."""

    name: str
    required: bool
    default: Json = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One trigger, by its place in the list. `says` names what starts it, without its secrets; `upstream` is the pipeline that it follows, if any.

    `digest` tells it from others and from itself after somebody changed it, whether it is on or off. `marks` are Backout's: target -> whose hold keeps it off.
    """

    place: int
    kind: str
    enabled: bool
    says: str
    upstream: str = ""
    upstream_statuses: tuple[str, ...] = ()
    digest: str = ""
    marks: Mapping[str, str] = field(default_factory=dict)

    @property
    def kept_off(self) -> bool:
        """Whether Backout keeps it off. One that somebody switched on again is on, whatever it carries."""
        return not self.enabled and bool(self.marks)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedStage:
    """A stage as saved, with everything that was written into it."""

    ref: str
    kind: str
    name: str
    requires: tuple[str, ...]
    body: Body = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A saved pipeline. `written_elsewhere` is why a person's tool owns its text ("" for nobody): such a one is changed there, not here.

    `digest` tells one text from another, without what saving changes by itself. `raw` is the whole text as read: who saves, saves all of it.
    """

    id: str
    application: str
    name: str
    disabled: bool
    limit_concurrent: bool
    keep_waiting: bool
    run_as: tuple[str, ...]
    stages: tuple[SavedStage, ...]
    triggers: tuple[Trigger, ...]
    parameters: tuple[Parameter, ...]
    expected_artifacts: tuple[Body, ...]
    written_elsewhere: str
    digest: str
    raw: Body = field(default_factory=dict)

    def missing(self, given: Mapping[str, Json]) -> tuple[str, ...]:
        """Names of the required parameters that would be empty. Spinnaker itself starts with an empty value where the default is "" (recorded)."""
        return tuple(one.name for one in self.parameters if one.required and given.get(one.name, one.default) in (None, ""))

    def wrong(self, given: Mapping[str, Json]) -> tuple[str, ...]:
        """Names of given parameters that the pipeline does not declare, or whose value is none of the choices."""
        known = {one.name: one for one in self.parameters}
        return tuple(name for name, value in given.items() if name not in known or (known[name].choices and str(value) not in known[name].choices))


def pipeline_of(body: Json) -> Pipeline | None:
    """A saved pipeline as `/applications/{app}/pipelineConfigs` gives it; None when it has no id."""
    whole: Body = body if isinstance(body, Mapping) else {}
    if not text(whole.get("id")):
        return None
    triggers = [_trigger(place, one) for place, one in enumerate(items(whole.get("triggers"))) if isinstance(one, Mapping)]
    return Pipeline(
        id=text(whole.get("id")),
        application=text(whole.get("application")),
        name=text(whole.get("name")),
        disabled=whole.get("disabled") is True,
        limit_concurrent=whole.get("limitConcurrent") is True,
        keep_waiting=whole.get("keepWaitingPipelines") is True,
        run_as=tuple(dict.fromkeys(user for one in entries(whole.get("triggers")) if (user := text(one.get("runAsUser"))))),
        stages=tuple(_stage(one) for one in entries(whole.get("stages"))),
        triggers=tuple(triggers),
        parameters=tuple(_parameter(one) for one in entries(whole.get("parameterConfig"))),
        expected_artifacts=tuple(entries(whole.get("expectedArtifacts"))),
        written_elsewhere=_written_elsewhere(whole),
        digest=digest_of(whole),
        raw=whole,
    )


def digest_of(body: Body) -> str:
    """The text's digest, without what saving changes by itself."""
    return digest({key: value for key, value in body.items() if key not in VOLATILE})


def _written_elsewhere(whole: Body) -> str:
    if text(whole.get("type")) == "templatedPipeline" or part(whole, "template") or text(whole.get("schema")) in {"v1", "v2"}:
        return "it is made from a template"
    lock = part(whole, "locked")
    if lock:
        said = text(lock.get("description"))
        return "its editor is locked" + (f": {said}" if said else "")
    return ""


def _parameter(body: Body) -> Parameter:
    choices = [text(one.get("value")) for one in entries(body.get("options"))] if body.get("hasOptions") is True else []
    return Parameter(
        name=text(body.get("name")), required=body.get("required") is True, default=body.get("default"), choices=tuple(one for one in choices if one)
    )


def _stage(body: Body) -> SavedStage:
    kind = text(body.get("type"))
    return SavedStage(ref=text(body.get("refId")), kind=kind, name=text(body.get("name")) or kind, requires=texts(body.get("requisiteStageRefIds")), body=body)


_NAMED: Mapping[str, tuple[str, ...]] = {
    "cron": ("cronExpression",),
    "git": ("source", "project", "slug", "branch"),
    "docker": ("registry", "repository", "tag"),
    "jenkins": ("master", "job"),
    "travis": ("master", "job"),
    "concourse": ("team", "project", "job"),
    "pubsub": ("pubsubSystem", "subscriptionName"),
    "webhook": ("source",),
    "helm": ("account", "chart", "version"),
    "artifactory": ("artifactorySearchName",),
    "nexus": ("nexusSearchName",),
    "pipeline": ("application", "pipeline"),
    "plugin": ("pluginId",),
}
"""What tells a trigger of that type from others. Constraints are left out: the secrets of webhooks stand in them."""


def _trigger(place: int, body: Body) -> Trigger:
    kind = text(body.get("type"))
    words = [text(body.get(key)) for key in _NAMED.get(kind, ())]
    return Trigger(
        place=place,
        kind=kind,
        enabled=body.get("enabled") is True,
        says=" ".join(word for word in (kind or "a trigger without a type", *words) if word),
        upstream=text(body.get("pipeline")) if kind == "pipeline" else "",
        upstream_statuses=texts(body.get("status")),
        digest=digest({key: value for key, value in body.items() if key not in {MARK, "enabled"}}),
        marks={target: mark for target, mark in part(body, MARK).items() if isinstance(mark, str) and mark},
    )
