"""Lists of runs and the search: which runs, in which order, and what each of the two stores gets wrong (contract 5.1, 5.2)."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from integrations.sandbox.gate.executions import ORCHESTRATION, PIPELINE, Run, collapsed, task_view
from integrations.sandbox.gate.refusals import BackendError
from integrations.sandbox.gate.settings import Json
from integrations.sandbox.gate.statuses import STATUSES
from integrations.sandbox.gate.tools import Tools

_DAYS: Final = 14
_OLD_ONES: Final = 2
FOREVER: Final = 2**63 - 1
_ENUM: Final = "No enum constant com.netflix.spinnaker.orca.api.pipeline.models.ExecutionStatus."


class Queries:
    """Reads the runs of one Orca. BackendError with what Orca says of a bad question."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def of_application(self, application: str, *, limit: int, statuses: str, expand: bool, name_filter: str) -> list[Json]:
        """`/v2/applications/{app}/pipelines`: so many per saved pipeline, of the last fourteen days if there are any; started ones last."""
        wanted = _statuses(statuses)
        found: list[Json] = []
        since = self._tools.timeline.millis - _DAYS * 86_400_000
        for config in self._tools.front50.pipelines(application):
            if name_filter.lower() not in config["name"].lower():
                continue
            runs = [one for one in self._newest_first(PIPELINE) if one.execution.get("pipelineConfigId") == config["id"]]
            recent = [one for one in runs if _began(one) >= since or not one.complete]
            chosen = recent or runs[:_OLD_ONES]
            found += [one.execution for one in [one for one in chosen if not wanted or one.status in wanted][:limit]]
        ordered = sorted(found, key=lambda one: (one.get("startTime", 0), one["id"]))
        return ordered if expand else [collapsed(one) for one in ordered]

    def tasks(self, application: str, *, page: int, limit: int, statuses: str) -> list[Json]:
        """`/applications/{app}/tasks`: newest first, of the last fourteen days."""
        wanted = _statuses(statuses)
        since = self._tools.timeline.millis - _DAYS * 86_400_000
        runs = [
            one
            for one in self._newest_first(ORCHESTRATION)
            if one.execution["application"] == application and (_began(one) >= since or not one.complete) and (not wanted or one.status in wanted)
        ]
        return [task_view(one) for one in runs[(page - 1) * limit : page * limit]]

    def by_ids(self, ids: list[str], *, expand: bool) -> list[Json]:
        """`/pipelines?executionIds`: one unknown id fails them all (trap 9)."""
        runs = [self._tools.executions.get(PIPELINE, one) for one in ids]
        if None in runs:
            raise BackendError(500, "The iterator returned a null value")
        found = [one.execution for one in runs if one is not None]
        return found if expand else [collapsed(one) for one in found]

    def by_configs(self, configs: list[str], *, limit: int, statuses: str, expand: bool) -> list[Json]:
        """`/pipelines?pipelineConfigIds`: so many per configuration, newest first."""
        wanted = _statuses(statuses)
        found = []
        for config in configs:
            runs = [one for one in self._newest_first(PIPELINE) if one.execution.get("pipelineConfigId") == config and (not wanted or one.status in wanted)]
            found += [one.execution for one in runs[:limit]]
        ordered = sorted(found, key=lambda one: str(one["id"]), reverse=True)
        return ordered if expand else [collapsed(one) for one in ordered]

    def search(self, application: str, query: Mapping[str, str]) -> list[Json] | None:
        """`/applications/{app}/pipelines/search`: newest first; bounds are exclusive, paging loses results, Redis repeats a lonely match.

        None where Orca never answers: on Redis, where nothing matches and the window holds twice the size.
        """
        start, end = int(query.get("triggerTimeStartBoundary", "0")), int(query.get("triggerTimeEndBoundary", str(FOREVER)))
        size, skip = int(query.get("size", "10")), int(query.get("startIndex", "0"))
        if start < 0:
            raise BackendError(400, f"triggerTimeStartBoundary must be >= 0: triggerTimeStartBoundary={start}")
        if end < 0:
            raise BackendError(400, f"triggerTimeEndBoundary must be >= 0: triggerTimeEndBoundary={end}")
        if start > end:
            words = "triggerTimeStartBoundary must be <= triggerTimeEndBoundary"
            raise BackendError(400, f"{words}: triggerTimeStartBoundary={start}, triggerTimeEndBoundary={end}")
        if skip < 0:
            raise BackendError(400, f"startIndex must be >= 0: startIndex={skip}")
        if size <= 0:
            raise BackendError(400, f"size must be > 0: size={size}")
        wanted = _statuses(query.get("statuses", ""))
        matcher = _trigger(query.get("trigger", ""))
        types = [one for one in query.get("triggerTypes", "").split(",") if one]
        name = query.get("pipelineName", "") if application != "*" else ""
        saved = {one["id"] for one in self._tools.front50.pipelines(None if application == "*" else application) if not name or one["name"] == name}
        window = [one for one in self._newest_first(PIPELINE) if one.execution.get("pipelineConfigId") in saved and start < one.execution["buildTime"] < end]
        if query.get("reverse") == "true":
            window.reverse()
        collected: list[Run] = []
        at, batch = 0, 2 * size
        while len(collected) < size:  # batch by batch, until there are enough or no more: what a later page would show is never collected
            read = window[at : at + batch]
            fits = [one for one in read if self._fits(one, wanted, matcher, types, query.get("eventId", ""))]
            collected += fits
            if len(read) < batch:
                break
            if self._tools.profile.sql:
                at += batch
            elif not fits:
                return None  # Redis reads the same batch again and again (recording 08b)
        page = [one.execution for one in collected[skip : skip + size]]
        return page if query.get("expand") == "true" else [collapsed(one) for one in page]

    def _fits(self, run: Run, statuses: set[str], matcher: Json | None, types: list[str], event: str) -> bool:
        trigger = run.execution["trigger"]
        if (statuses and run.status not in statuses) or (types and trigger.get("type") not in types):
            return False
        return (not event or trigger.get("eventId") == event) and (matcher is None or _matches(matcher, trigger))

    def _newest_first(self, kind: str) -> list[Run]:
        return sorted((one for one in self._tools.executions if one.kind == kind), key=lambda one: (int(one.execution["buildTime"]), one.id), reverse=True)


def _began(run: Run) -> int:
    return int(run.execution.get("startTime") or run.execution["buildTime"])


def _statuses(text: str) -> set[str]:
    names = [one for one in text.split(",") if one]
    for name in names:
        if name not in STATUSES:
            raise BackendError(400, f"{_ENUM}{name}")
    return set(names)


def _trigger(text: str) -> Json | None:
    if not text:
        return None
    try:
        decoded = json.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise BackendError(500, "Failed to parse encoded trigger") from error
    if not isinstance(decoded, dict):
        raise BackendError(500, "Failed to parse encoded trigger")
    return decoded


def _matches(wanted: Any, given: Any) -> bool:
    """Orca's subset match: strings without regard to case or as a full regular expression, maps by their keys, lists as a part."""
    if isinstance(wanted, dict):
        return isinstance(given, dict) and all(name in given and _matches(value, given[name]) for name, value in wanted.items())
    if isinstance(wanted, list):
        left = list(given) if isinstance(given, list) else []
        for item in wanted:
            fit = next((one for one in left if _matches(item, one)), None)
            if fit is None:
                return False
            left.remove(fit)
        return isinstance(given, list)
    if isinstance(wanted, str) and isinstance(given, str):
        return wanted.lower() == given.lower() or _full_match(wanted, given)
    return bool(wanted == given)


def _full_match(pattern: str, text: str) -> bool:
    try:
        return re.fullmatch(pattern, text) is not None
    except re.error:
        return False
