"""Orca's doors: starting a pipeline or a task, with what it checks and what it does not (contract 3, 9).

A correlation id is looked up first and stored a moment later, so parallel starts with one id all run, as recorded.
"""

import copy
from typing import Any, Final

from integrations.sandbox.gate.artifacts import resolve
from integrations.sandbox.gate.clouddriver import answer_of
from integrations.sandbox.gate.engine import Engine
from integrations.sandbox.gate.executions import ORCHESTRATION, PIPELINE, Run, stage_of, trigger_of
from integrations.sandbox.gate.expressions import evaluate
from integrations.sandbox.gate.refusals import NETWORK, BackendError, nested
from integrations.sandbox.gate.settings import FRONT50, ORCA, Json
from integrations.sandbox.gate.tools import Tools

_NULL_GET: Final = 'Cannot invoke "Object.toString()" because the return value of "java.util.Map.get(Object)" is null'
_NULL_REMOVE: Final = 'Cannot invoke "Object.toString()" because the return value of "java.util.Map.remove(Object)" is null'
_NO_REF: Final = "No such property: refId for class: java.util.LinkedHashMap$Entry"
_BETWEEN: Final = 0.02  # seconds between looking a correlation id up and storing it


class Orca:
    """Starts runs on an engine."""

    def __init__(self, tools: Tools, engine: Engine) -> None:
        self._tools = tools
        self._engine = engine
        tools.start_pipeline = self.start_now

    def check(self) -> None:
        """BackendError where Orca is away or has no wish to answer."""
        if self._engine.dead:
            raise BackendError(500, f"java.net.ConnectException: Failed to connect to /{ORCA.partition('//')[2]}", kind=NETWORK)
        answer_of(self._tools.faults.orca)

    async def orchestrate(self, pipeline: Json, user: str, origin: str) -> Json:
        """`POST /orchestrate` with a whole pipeline map: a ref, or for `plan: true` the resolved map. BackendError with what Orca says."""
        self.check()
        trigger = {**pipeline.get("trigger", {})}
        trigger.setdefault("parameters", {})
        if pipeline.get("plan"):
            return {**copy.deepcopy(pipeline), "trigger": trigger}
        self._check_enabled(pipeline)
        same = self._tools.executions.correlated(PIPELINE, trigger.get("correlationId"))
        if same is not None:
            return {"ref": f"/pipelines/{same.id}"}
        await self._tools.timeline.wait(_BETWEEN)
        return {"ref": f"/pipelines/{self._start(pipeline, trigger, user, origin).id}"}

    def start_now(self, config: Json, trigger: Json, user: str, *, execution_id: str | None = None, origin: str = "unknown") -> Run:
        """Start a saved configuration as Echo or a stage does, correlation ids honoured. BackendError with what Orca says."""
        if config.get("disabled"):
            raise BackendError(400, "Pipeline is disabled and cannot be started.")
        same = self._tools.executions.correlated(PIPELINE, trigger.get("correlationId"))
        if same is not None:
            return same
        given = {**trigger, "parameters": with_defaults(config, trigger.get("parameters") or {})}
        return self._start({**config, **({"executionId": execution_id} if execution_id else {})}, given, user, origin)

    def _check_enabled(self, pipeline: Json) -> None:
        if pipeline.get("initialConfig", {}).get("enabled") is True:
            return
        if not pipeline.get("id"):
            raise BackendError(400, "Path parameter \"pipelineId\" value must not be null. (parameter 'pipelineId')\n    for method Front50Service.getPipeline")
        try:
            answer_of(self._tools.faults.front50)
        except BackendError as error:
            raise nested(error, "GET", f"{FRONT50}/pipelines/{pipeline['id']}/get") from error
        saved = self._tools.front50.pipeline(str(pipeline["id"]))
        if pipeline.get("disabled") or (saved is not None and saved.get("disabled")):
            raise BackendError(400, "Pipeline is disabled and cannot be started.")

    def _start(self, pipeline: Json, trigger: Json, user: str, origin: str) -> Run:
        config_id = str(pipeline.get("id") or self._tools.ids.uuid())
        given = trigger_of({name: value for name, value in trigger.items() if name != "executionId" or "eventId" in trigger}, user)
        run = self._made(PIPELINE, str(pipeline.get("executionId") or self._ulid()), str(pipeline.get("application")), user, origin, given)
        execution = run.execution
        execution |= {"name": pipeline.get("name", ""), "pipelineConfigId": config_id}
        execution |= {"limitConcurrent": bool(pipeline.get("limitConcurrent")), "keepWaitingPipelines": bool(pipeline.get("keepWaitingPipelines"))}
        execution |= {"maxConcurrentExecutions": int(pipeline.get("maxConcurrentExecutions") or 0), "notifications": pipeline.get("notifications") or []}
        if pipeline.get("startTimeExpiry"):
            execution["startTimeExpiry"] = int(pipeline["startTimeExpiry"])
        stages = [one for one in pipeline.get("stages", []) if isinstance(one, dict)]
        execution["stages"] = [
            stage_of({"type": "", **one}, self._ulid(), str(one.get("refId", at)), list(map(str, one.get("requisiteStageRefIds") or [])))
            for at, one in enumerate(stages)
        ]
        given["parameters"] = evaluate(given["parameters"], {"trigger": given, "execution": execution})
        roots = {"trigger": given, "parameters": given["parameters"], "execution": execution}
        for stage in execution["stages"]:
            stage["context"] = evaluate(stage["context"], roots)
        try:
            execution["trigger"] = resolve(pipeline, given, self._prior(config_id))
        except BackendError as error:
            execution |= {"status": "TERMINAL", "canceled": True, "canceledBy": "system", "cancellationReason": f"Failed on startup: {error.message}"}
            self._tools.executions.put(run)
            raise
        self._put(run)
        return run

    def _prior(self, config_id: str) -> list[Json]:
        runs = [one.execution for one in self._tools.executions if one.execution.get("pipelineConfigId") == config_id]
        newest = max(runs, key=lambda one: int(one["buildTime"]), default=None)
        return list(newest["trigger"].get("artifacts", [])) if newest else []

    def _put(self, run: Run) -> None:
        before = self._tools.executions.get(run.kind, run.id)
        if before is not None:
            run.epoch = before.epoch
            if not self._tools.profile.sql:
                run.execution |= {name: before.execution[name] for name in ("startTime", "endTime") if name in before.execution}
        self._tools.executions.put(run)
        if before is not None and not before.complete:
            self._engine.wreck(run)
        elif before is not None and before.wrecked and self._tools.profile.sql:
            self._engine.disturb(run)
        else:
            self._engine.start(run)

    async def ops(self, body: Json, user: str, origin: str) -> Json:
        """`POST /ops`: an ad-hoc task. BackendError 500 with the words of what Groovy threw."""
        self.check()
        if body.get("application") is None or body.get("description") is None:
            raise BackendError(500, _NULL_GET)
        jobs = body.get("job") or []
        if isinstance(jobs, dict):
            raise BackendError(500, _NO_REF)
        if any(not isinstance(one, dict) or one.get("type") is None for one in jobs):
            raise BackendError(500, _NULL_REMOVE)
        trigger = dict(body.get("trigger") or {})
        same = self._tools.executions.correlated(ORCHESTRATION, trigger.get("correlationId"))
        if same is not None:
            return {"ref": f"/tasks/{same.id}"}
        await self._tools.timeline.wait(_BETWEEN)
        given = {**trigger_of({**trigger, "type": "manual"}, user), "expectedArtifacts": []}
        run = self._made(ORCHESTRATION, self._ulid(), str(body["application"]), user, origin, given)
        run.execution |= {"description": str(body["description"]), "notifications": []}
        run.execution["stages"] = [
            stage_of(
                {name: value for name, value in one.items() if name != "user"},
                self._ulid(),
                str(one.get("refId", at)),
                list(map(str, one["requisiteStageRefIds"] or []))
                if "refId" in one and "requisiteStageRefIds" in one
                else [str(at - 1)]
                if at and "refId" not in one
                else [],
            )
            for at, one in enumerate(jobs)
        ]
        if not self._tools.profile.ad_hoc and jobs:
            why = f"Failed on startup: ad-hoc execution of type: {jobs[0]['type']} has been explicitly disabled"
            run.execution |= {"status": "TERMINAL", "canceled": True, "canceledBy": "system", "cancellationReason": why}
            self._tools.executions.put(run)
        else:
            self._put(run)
        return {"ref": f"/tasks/{run.id}"}

    def _ulid(self) -> str:
        return self._tools.ids.ulid(self._tools.timeline.millis)

    def _made(self, kind: str, execution_id: str, application: str, user: str, origin: str, trigger: Json) -> Run:
        allowed = [name for name in self._tools.clouddriver.accounts if self._tools.clouddriver.may_write(user, name)] if self._tools.profile.fiat else []
        execution: dict[str, Any] = {
            "additionalHeaders": {},
            "application": application,
            "authentication": {"allowedAccounts": allowed, "user": user},
            "buildTime": self._tools.timeline.millis,
            "canceled": False,
            "id": execution_id,
            "initialConfig": {},
            "keepWaitingPipelines": False,
            "limitConcurrent": False,
            "maxConcurrentExecutions": 0,
            "origin": origin,
            "status": "NOT_STARTED",
            "systemNotifications": [],
            "trigger": trigger,
            "type": kind,
        }
        if self._tools.profile.sql and kind == PIPELINE:
            execution |= {"rootId": execution_id, "templateVariables": {}}
        return Run(execution=execution)


def with_defaults(config: Json, parameters: Json) -> Json:
    """Parameters with the defaults of the configuration where none was given; undeclared ones are kept."""
    defaults = {one["name"]: one["default"] for one in config.get("parameterConfig", []) if one.get("default") is not None}
    return {**defaults, **parameters}
