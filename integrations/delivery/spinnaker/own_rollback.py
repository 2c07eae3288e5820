"""The team's own rollback pipeline, read before it is started: what in it is not safe to start without a person, and what is missing; pure.

`plan: true` proves parsing only and an accepted start proves no right (safety/care D3), so what can be known beforehand is judged here. Source only: shapes of
saved stages were not recorded.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from integrations.delivery.spinnaker.pipelines import Pipeline, SavedStage
from integrations.json_shapes import part, text
from service.domain.model import Json

HARMLESS = frozenset(
    {"wait", "evaluateVariables", "checkPreconditions", "findArtifactsFromResource", "findArtifactFromExecution", "findImage", "findImageFromTags", "noop"}
)
"""Stages that change nothing outside Spinnaker. Any other type that is not known to go back may do anything (safety/care D9)."""
EXACT = frozenset(
    {
        "undoRolloutManifest",
        "rollbackServerGroup",
        "enableServerGroup",
        "disableServerGroup",
        "resizeServerGroup",
        "scaleManifest",
        "enableManifest",
        "disableManifest",
    }
)
"""Stages that go back to what they name."""
MARK = "${"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRollback:
    """What is known of it before a start. `to_person` are the reasons why it runs only in a plan that a person approved, `missing` what no start may lack.

    `blocked` are reasons why it cannot be started at all.
    """

    pipeline: Pipeline
    to_person: tuple[str, ...]
    missing: tuple[str, ...]
    blocked: tuple[str, ...]

    @property
    def automatic(self) -> bool:
        """Whether it may be started without a person."""
        return not (self.to_person or self.missing or self.blocked)


def read_own_rollback(pipeline: Pipeline, given: Mapping[str, Json], *, deploy_is_running: bool | None) -> OwnRollback:
    """Judge it with the parameters that would be given. `deploy_is_running`: of this very pipeline's configuration, None when that is not known."""
    blocked = []
    if pipeline.disabled:
        blocked.append("it is disabled: Spinnaker refuses to start it")
    if not pipeline.stages:
        blocked.append("it has no stages that can be read" + (f" ({pipeline.written_elsewhere})" if pipeline.written_elsewhere else ""))
    blocked += [f"the value of {name} holds {MARK}, which Spinnaker would evaluate" for name, value in given.items() if MARK in str(value)]
    blocked += [f"{name} is no parameter of it, or not one of its choices" for name in pipeline.wrong(given)]
    missing = [f"parameter {name} is required and has no value" for name in pipeline.missing(given)]
    missing += [f"expected artifact {_artifact(one)} has nothing to fall back on" for one in pipeline.expected_artifacts if _unbound(one)]
    to_person = [reason for stage in pipeline.stages for reason in _reasons(stage)]
    to_person += [
        f"expected artifact {_artifact(one)} falls back on the most recent run, whatever became of it: that may be the bad one"
        for one in pipeline.expected_artifacts
        if one.get("usePriorArtifact") is True
    ]
    if pipeline.limit_concurrent and deploy_is_running is not False:
        to_person.append(
            "it runs one at a time, and " + ("one is running: it would wait behind it" if deploy_is_running else "whether one is running is not known")
        )
    return OwnRollback(pipeline=pipeline, to_person=tuple(dict.fromkeys(to_person)), missing=tuple(missing), blocked=tuple(blocked))


def covers_only_known(stages: Iterable[SavedStage]) -> tuple[str, ...]:
    """Sentences about the stages that may do anything: a run of the deploy pipeline with the old version runs these too."""
    return tuple(f"stage {stage.name} ({stage.kind or 'no type'}) may do anything" for stage in stages if stage.kind not in HARMLESS | EXACT)


def _reasons(stage: SavedStage) -> Iterable[str]:
    name, kind, body = stage.name, stage.kind, stage.body
    if kind == "rollbackCluster":
        yield f"stage {name} is a rollbackCluster: it chooses by itself, and a second run goes forward to the bad version"
    elif kind == "rollbackServerGroup" and text(body.get("rollbackType")) != "EXPLICIT":
        yield f"stage {name} rolls back by {text(body.get('rollbackType')) or 'a type that is not said'}, which makes something new each time"
    elif kind == "rollbackServerGroup" and not all(
        text(part(body, "rollbackContext").get(key)) for key in ("rollbackServerGroupName", "restoreServerGroupName")
    ):
        yield f"stage {name} does not name both server groups"
    elif kind == "undoRolloutManifest" and (body.get("numRevisionsBack") is not None or body.get("revision") in (None, "")):
        yield f"stage {name} counts revisions back from whatever is live then"
    elif kind == "manualJudgment":
        yield f"stage {name} waits for a judgment"
    elif kind not in HARMLESS | EXACT:
        yield f"stage {name} ({kind or 'no type'}) may do anything"
    if body.get("restrictExecutionDuringTimeWindow") is True:
        yield f"stage {name} runs only within its execution window and may wait for hours"


def _unbound(artifact: Mapping[str, Json]) -> bool:
    return artifact.get("usePriorArtifact") is not True and artifact.get("useDefaultArtifact") is not True


def _artifact(artifact: Mapping[str, Json]) -> str:
    match = part(artifact, "matchArtifact")
    return text(artifact.get("displayName")) or text(match.get("name")) or text(artifact.get("id")) or "without a name"
