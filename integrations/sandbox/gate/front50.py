"""Front50: applications and saved pipelines, with their history (contract 5.2). What starts them is Echo's part."""

import copy
from typing import Any

from integrations.sandbox.gate.ids import Ids
from integrations.sandbox.gate.refusals import BackendError
from integrations.sandbox.gate.settings import Json
from integrations.sandbox.gate.timeline import Timeline

_CONFIG = {"expectedArtifacts": [], "index": 0, "keepWaitingPipelines": False, "limitConcurrent": False, "parameterConfig": [], "schema": "1", "triggers": []}


class Front50:
    """What is saved."""

    def __init__(self, timeline: Timeline, ids: Ids) -> None:
        self._timeline = timeline
        self._ids = ids
        self.applications: dict[str, Json] = {}
        self._pipelines: dict[str, Json] = {}
        self._history: dict[str, list[Json]] = {}

    def add_application(self, name: str, attributes: Json) -> None:
        """An application with these attributes."""
        self.applications[name] = {"name": name, **attributes}

    def save(self, config: Json, by: str = "anonymous") -> Json:
        """Save a pipeline; without an id it gets one. The one before goes into its history. BackendError 400 for a second one of that name."""
        same = next((one for one in self._pipelines.values() if _key(one) == _key(config) and one["id"] != config.get("id")), None)
        if same is not None:
            raise BackendError(400, f"A pipeline with name {config['name']} already exists in application {config['application']}")
        saved = {**copy.deepcopy(_CONFIG), **copy.deepcopy(config)}
        saved.setdefault("id", self._ids.uuid())
        saved |= {"lastModifiedBy": by, "updateTs": str(self._timeline.millis)}
        if saved["id"] in self._pipelines:
            self._history.setdefault(saved["id"], []).insert(0, self._pipelines[saved["id"]])
        self._pipelines[saved["id"]] = saved
        return copy.deepcopy(saved)

    def delete(self, config_id: str) -> None:
        """Forget a pipeline."""
        self._pipelines.pop(config_id, None)

    def pipeline(self, config_id: str) -> Json | None:
        """The saved pipeline of that id."""
        found = self._pipelines.get(config_id)
        return copy.deepcopy(found) if found else None

    def pipelines(self, application: str | None = None) -> list[Json]:
        """All saved pipelines, or those of one application."""
        return [copy.deepcopy(one) for one in self._pipelines.values() if application in {None, one["application"]}]

    def named(self, application: str, name_or_id: str) -> Json | None:
        """By name in the application; by id in any, as Gate looks it up."""
        by_name = next((one for one in self.pipelines(application) if one["name"] == name_or_id), None)
        return by_name or self.pipeline(name_or_id)

    def history(self, config_id: str, limit: int) -> list[Json]:
        """Versions, newest first."""
        now = self.pipeline(config_id)
        return copy.deepcopy(([now] if now else []) + self._history.get(config_id, []))[:limit]


def _key(config: Json) -> tuple[Any, Any]:
    return config.get("application"), config.get("name")
