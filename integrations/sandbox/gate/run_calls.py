"""Gate's calls about pipelines, executions and tasks (contract 3, 5.1 to 5.3), with the failures that nobody is told of (2.6)."""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote, urlencode

from integrations.sandbox.gate.access import Access
from integrations.sandbox.gate.clouddriver import answer_of
from integrations.sandbox.gate.echo import Echo
from integrations.sandbox.gate.edge import Call, Reply, Route
from integrations.sandbox.gate.engine import Engine
from integrations.sandbox.gate.executions import ORCHESTRATION, PIPELINE, Run, task_view
from integrations.sandbox.gate.expressions import EvaluationError, look_up
from integrations.sandbox.gate.orca import Orca, with_defaults
from integrations.sandbox.gate.queries import FOREVER, Queries
from integrations.sandbox.gate.refusals import (
    CONVERSION,
    DENIED,
    EMPTY_BODY,
    HTTP,
    NETWORK,
    NOT_A_LIST,
    NOT_FOUND,
    BackendError,
    RefusedError,
    heard,
    nested,
    passed_on,
)
from integrations.sandbox.gate.settings import FRONT50, ORCA, Json
from integrations.sandbox.gate.tools import Tools

_TRIES: Final = 5
_PATCH_FAILS_AFTER: Final = 2.0


class RunCalls:
    """Handlers; `routes` lists them."""

    def __init__(self, *, tools: Tools, engine: Engine, orca: Orca, echo: Echo, access: Access) -> None:
        self._tools = tools
        self._engine = engine
        self._orca = orca
        self._echo = echo
        self._access = access
        self._queries = Queries(tools)

    def routes(self) -> list[Route]:
        """Order matters: the first that fits serves."""
        return [
            Route(method="POST", path="/pipelines/start", handle=self._start_map, needs_body=True),
            Route(method="POST", path="/pipelines/v2/{app}/{pipeline}", handle=self._start_v2),
            Route(method="POST", path="/pipelines/{app}/{pipeline}", handle=self._start_v1),
            Route(method="GET", path="/pipelines/{id}", handle=self._get),
            Route(method="DELETE", path="/pipelines/{id}", handle=self._delete),
            Route(method="PUT", path="/pipelines/{id}/cancel", handle=self._cancel),
            Route(method="PUT", path="/pipelines/{id}/pause", handle=self._pause),
            Route(method="PUT", path="/pipelines/{id}/resume", handle=self._resume),
            Route(method="PATCH", path="/pipelines/{id}/stages/{stage}", handle=self._patch, needs_body=True),
            Route(method="PUT", path="/pipelines/{id}/stages/{stage}/restart", handle=self._restart, needs_body=True),
            Route(method="GET", path="/pipelines/{id}/evaluateExpression", handle=self._evaluate),
            Route(method="GET", path="/executions/failedStages", handle=self._failed_stages),
            Route(method="GET", path="/executions", handle=self._executions),
            Route(method="GET", path="/applications/{app}/pipelines", handle=self._of_application),
            Route(method="GET", path="/applications/{app}/executions/search", handle=self._search),
            Route(method="GET", path="/applications/{app}/tasks", handle=self._tasks_of),
            Route(method="POST", path="/tasks", handle=self._post_task, needs_body=True),
            Route(method="PUT", path="/tasks/cancel", handle=self._cancel_tasks),
            Route(method="GET", path="/tasks/{id}", handle=self._get_task),
            Route(method="DELETE", path="/tasks/{id}", handle=self._delete_task),
            Route(method="PUT", path="/tasks/{id}/cancel", handle=self._cancel_task),
            Route(method="GET", path="/tasks/{id}/details/{kato}", handle=self._details),
            Route(method="PUT", path="/admin/executions/forceCancel", handle=self._force_cancel),
            Route(method="POST", path="/webhooks/{type}/{source}", handle=self._webhook),
        ]

    # --- starting ----------------------------------------------------------------------------------------------------------

    async def _start_v1(self, call: Call) -> Reply:
        app, name = call.parts["app"], call.parts["pipeline"]
        before = f"Unable to trigger pipeline (application: {app}, pipelineNameOrId: {name}). Error: "
        config = await self._config(app, name, before)
        given = dict(call.body)
        parameters = with_defaults(config, given.get("parameters") or {})
        for one in config.get("parameterConfig", []):
            if one.get("required") and parameters.get(one["name"]) is None:
                raise RefusedError(400, f"Required parameter {one['name']} is missing", "java.lang.IllegalArgumentException")
        trigger = {"type": "manual", "user": call.user, **given, "parameters": parameters}
        trigger["notifications"] = [*config.get("notifications", []), *(given.get("notifications") or [])]
        with heard("POST", f"{ORCA}/orchestrate?user={quote(call.user)}", before):
            body = await self._orca.orchestrate({**config, "trigger": trigger}, call.user, call.origin)
        return Reply(status=202, body=body)

    async def _config(self, app: str, name: str, before: str) -> Json:
        if self._tools.faults.front50_hangs:
            await self._tools.timeline.wait(self._tools.timings.backend)
            raise RefusedError(500, f"{before}java.net.SocketTimeoutException: timeout", NETWORK)
        with heard("GET", f"{FRONT50}/pipelines/{quote(app)}/name/{quote(name)}?refresh=true", before):
            answer_of(self._tools.faults.front50)
        config = self._tools.front50.named(app, name)
        if config is None:
            raise not_configured(app, name, before)
        return config

    async def _start_map(self, call: Call) -> Reply:
        with heard("POST", f"{ORCA}/orchestrate?user={quote(call.user)}"):
            body = await self._orca.orchestrate(dict(call.body), call.user, call.origin)
        return Reply(body=body)

    async def _start_v2(self, call: Call) -> Reply:
        app, name = call.parts["app"], call.parts["pipeline"]
        if not self._access.may(call.user, "EXECUTE", app):
            raise RefusedError(403, "Access is denied", DENIED)
        event, execution = self._tools.ids.uuid(), self._tools.ids.ulid(self._tools.timeline.millis)
        trigger = {"type": "manual", "user": call.user, **call.body, "eventId": event, "executionId": execution}
        with heard("POST", "echo"):
            self._echo.by_hand(app, name, trigger, call.user)
        return Reply(status=202, body={"eventId": event, "ref": f"/pipelines/{execution}"})

    async def _webhook(self, call: Call) -> Reply:
        event = self._tools.ids.uuid()
        with heard("POST", "echo"):
            self._echo.webhook(call.parts["source"], dict(call.body), event)
        return Reply(body={"eventId": event, "eventProcessed": True})

    async def _post_task(self, call: Call) -> Reply:
        with heard("POST", f"{ORCA}/ops"):
            return Reply(body=await self._orca.ops(dict(call.body), call.user, call.origin))

    # --- pipelines ---------------------------------------------------------------------------------------------------------

    def _read(self, call: Call) -> Run:
        """The run, as Orca lets the caller read it. BackendError: no such one, no right, Orca away."""
        self._orca.check()
        run = self._tools.executions.get(PIPELINE, call.parts["id"])
        if run is None:
            raise BackendError(404, f"No pipeline found for {call.parts['id']}")
        self._access.demand(call.user, "READ", str(run.execution["application"]))
        return run

    def _swallowing(self, call: Call) -> Run | None:
        """Read a run as Gate does for GET: None where it answers 200 with nothing (trap 1)."""
        faults = self._tools.faults
        if faults.answer_with_nothing > 0:
            faults.answer_with_nothing -= 1
            return None
        try:
            return self._read(call)
        except BackendError as error:
            if error.status == 404 and error.kind == HTTP:
                raise RefusedError(404, f"Pipeline not found (id: {call.parts['id']})", NOT_FOUND) from error
            if error.kind == HTTP:
                return None
            raise passed_on(error, "GET", f"{ORCA}/pipelines/{call.parts['id']}") from error

    async def _get(self, call: Call) -> Reply:
        run = self._swallowing(call)
        return Reply(body=None if run is None else run.execution)

    async def _evaluate(self, call: Call) -> Reply:
        run = self._swallowing(call)
        if run is None:
            return Reply()
        expression = call.query.get("expression", "")
        inner = expression[2:-1] if expression.startswith("${") and expression.endswith("}") else None
        if inner is None:
            return Reply(body={"result": expression})
        trigger = run.execution["trigger"]
        try:
            return Reply(body={"result": look_up(inner, {"execution": run.execution, "trigger": trigger, "parameters": trigger.get("parameters", {})})})
        except EvaluationError as error:
            detail = {
                "description": f"Failed to evaluate [expression] {error}",
                "exceptionType": "org.springframework.expression.spel.SpelEvaluationException",
                "level": "ERROR",
                "timestamp": self._tools.timeline.millis,
            }
            return Reply(body={"detail": {inner: [detail]}, "result": expression})

    async def _prepared(self, call: Call, right: str) -> Run:
        """What Gate and Orca do before each control call: Gate reads the run, five times where that fails, then Orca checks the right."""
        try:
            run = self._read(call)
        except BackendError as error:
            if error.status == 404 and error.kind == HTTP:
                raise
            if error.kind != CONVERSION:
                await self._tools.timeline.wait((_TRIES - 1) * self._tools.timings.retry)
            found = self._tools.executions.get(PIPELINE, call.parts["id"])
            if error.kind == HTTP and error.status == 403 and found is not None and self._tools.faults.orca is None:
                raise BackendError(403, f"Access denied to application {found.execution['application']} - required authorization: {right}") from error
            raise
        self._access.demand(call.user, right, str(run.execution["application"]))
        return run

    async def _control(self, call: Call, verb: str, act: Callable[[Run], None]) -> Reply:
        try:
            run = await self._prepared(call, "EXECUTE")
        except BackendError as error:
            if error.kind == CONVERSION:
                return Reply()  # nobody reads the body of this answer
            raise passed_on(error, "PUT", f"{ORCA}/pipelines/{call.parts['id']}/{verb}") from error
        act(run)
        return Reply()

    async def _cancel(self, call: Call) -> Reply:
        reason = f"reason={quote(call.query['reason'])}&" if call.query.get("reason") else ""
        verb = f"cancel?{reason}force={call.query.get('force', 'false')}"
        return await self._control(call, verb, lambda run: self._engine.cancel(run, call.user, call.query.get("reason")))

    async def _pause(self, call: Call) -> Reply:
        return await self._control(call, "pause", lambda run: self._engine.pause(run, call.user))

    async def _resume(self, call: Call) -> Reply:
        return await self._control(call, "resume", lambda run: self._engine.resume(run, call.user))

    async def _patch(self, call: Call) -> Reply:
        stage_id = call.parts["stage"]
        with heard("PATCH", f"{ORCA}/pipelines/{call.parts['id']}/stages/{stage_id}"):
            run = await self._prepared(call, "EXECUTE")
        stage = run.stage(stage_id)
        if stage is None:
            await self._tools.timeline.wait(_PATCH_FAILS_AFTER)
            raise RefusedError(500, EMPTY_BODY, CONVERSION)
        stage["context"] |= {**call.body, "lastModifiedBy": call.user}
        stage["lastModified"] = {"allowedAccounts": run.execution["authentication"]["allowedAccounts"], "lastModifiedTime": self._tools.timeline.millis}
        stage["lastModified"]["user"] = call.user
        self._engine.hurry(run, stage)
        return Reply(body=run.execution)

    async def _restart(self, call: Call) -> Reply:
        run = self._swallowing(call)
        if run is None:
            raise RefusedError(500, 'Cannot invoke "java.util.Map.get(Object)" because "pipelineMap" is null', "java.lang.NullPointerException")
        with heard("PUT", f"{ORCA}/pipelines/{call.parts['id']}/stages/{call.parts['stage']}/restart"):
            self._access.demand(call.user, "EXECUTE", str(run.execution["application"]))
        self._refresh_preconditions(run)
        self._engine.restart(run, call.parts["stage"], call.user)
        return Reply(body=run.execution)

    def _refresh_preconditions(self, run: Run) -> None:
        config = self._tools.front50.pipeline(str(run.execution.get("pipelineConfigId"))) or {}
        saved = {str(one.get("refId")): one for one in config.get("stages", [])}
        for stage in run.stages:
            fresh = saved.get(stage["refId"])
            if stage["type"] == "checkPreconditions" and fresh is not None and "preconditions" in fresh:
                stage["context"]["preconditions"] = fresh["preconditions"]

    async def _delete(self, call: Call) -> Reply:
        with heard("DELETE", f"{ORCA}/pipelines/{call.parts['id']}"):
            run = await self._prepared(call, "WRITE")
            if not run.complete:
                raise BackendError(409, "Cannot delete a running pipeline, please cancel it first.")
        self._tools.executions.delete(run)
        return Reply()

    async def _force_cancel(self, call: Call) -> Reply:
        kind = call.query.get("executionType", PIPELINE)
        self._orca_checked("PUT", "/admin/forceCancelExecution")
        run = self._tools.executions.get(kind, call.query.get("executionId", ""))
        if run is None:
            raise RefusedError(404, f"Status: 404, Method: PUT, URL: {ORCA}/admin/forceCancelExecution, Message: No {kind.lower()} found")
        self._engine.cancel(run, call.user, "Force canceled by admin")
        return Reply()

    # --- lists -------------------------------------------------------------------------------------------------------------

    def _orca_checked(self, method: str, path: str) -> None:
        with heard(method, f"{ORCA}{path}"):
            self._orca.check()

    async def _of_application(self, call: Call) -> Reply:
        app, query = call.parts["app"], call.query
        limit = int(query.get("limit", "10") or "10") or 10
        given = {name: query[name] for name in ("statuses", "expand", "pipelineNameFilter", "pipelineLimit") if name in query}
        url = f"{ORCA}/v2/applications/{quote(app)}/pipelines?{urlencode({'limit': limit, **given})}"
        with heard("GET", url):
            self._orca.check()
            self._access.demand(call.user, "READ", app)
            self._front50_listed(app)
            expand = query.get("expand", "true") != "false"
            found = self._queries.of_application(
                app, limit=limit, statuses=query.get("statuses", ""), expand=expand, name_filter=query.get("pipelineNameFilter", "")
            )
        return Reply(body=found)

    def _front50_listed(self, app: str) -> None:
        outage = self._tools.faults.front50
        try:
            answer_of(outage)
        except BackendError as error:
            if error.kind == CONVERSION and outage is not None and outage.body == "broken":
                raise BackendError(500, NOT_A_LIST) from error
            raise nested(error, "GET", f"{FRONT50}/pipelines/{quote(app)}?refresh=false") from error

    async def _search(self, call: Call) -> Reply:
        app, query = call.parts["app"], call.query
        order = ("triggerTypes", "pipelineName", "eventId", "trigger")
        told: dict[str, Any] = {name: query[name] for name in order if query.get(name)}
        told["triggerTimeStartBoundary"] = query.get("triggerTimeStartBoundary", "0")
        told["triggerTimeEndBoundary"] = query.get("triggerTimeEndBoundary", str(FOREVER))
        told |= {"statuses": query["statuses"]} if query.get("statuses") else {}
        told |= {name: query.get(name, default) for name, default in (("startIndex", "0"), ("size", "10"), ("reverse", "false"), ("expand", "false"))}
        url = f"{ORCA}/applications/{quote(app, safe='*')}/pipelines/search?{urlencode(told)}"
        with heard("GET", url):
            self._orca.check()
            if app != "*":
                self._access.demand(call.user, "READ", app)
            found = self._queries.search(app, query)
        if found is None:
            await self._tools.timeline.wait(self._tools.timings.backend)
            raise RefusedError(500, "java.net.SocketTimeoutException: timeout", NETWORK)
        return Reply(body=found)

    async def _executions(self, call: Call) -> Reply:
        query = call.query
        ids = [one for one in query.get("executionIds", "").split(",") if one]
        configs = [one for one in query.get("pipelineConfigIds", "").split(",") if one]
        if not ids and not configs:
            return Reply(body=[])
        told = {name: query[name] for name in ("pipelineConfigIds", "executionIds", "limit", "statuses") if query.get(name)}
        url = f"{ORCA}/pipelines?{urlencode({**told, 'expand': query.get('expand', 'true')})}"
        with heard("GET", url):
            self._orca.check()
            if ids and configs:
                raise BackendError(400, "Only pipelineConfigIds OR executionIds can be specified")
            expand = query.get("expand", "true") != "false"
            if ids:
                found = self._queries.by_ids(ids, expand=expand)
            else:
                found = self._queries.by_configs(configs, limit=int(query.get("limit") or 1), statuses=query.get("statuses", ""), expand=expand)
        return Reply(body=[one for one in found if self._access.may(call.user, "READ", str(one["application"]))])

    async def _failed_stages(self, call: Call) -> Reply:
        told = urlencode({"executionId": call.query.get("executionId", ""), "limit": call.query.get("limit", "1")})
        self._orca_checked("GET", f"/pipelines/failedStages?{told}")
        run = self._tools.executions.get(PIPELINE, call.query.get("executionId", ""))
        if run is not None and run.stages and not self._tools.profile.failed_stages:
            words = "Cannot get property 'onlyIncludeStagesThatFailPipelines' on null object"
            raise passed_on(BackendError(500, words), "GET", f"{ORCA}/pipelines/failedStages?{told}")
        failed = [one for one in (run.stages if run else []) if one["status"] == "TERMINAL"]
        names = {"stageId": "id", "stageName": "name", "stageType": "type", "stageStatus": "status"}
        return Reply(body=[{"pipelineExecutionId": call.query.get("executionId"), **{key: one[name] for key, name in names.items()}} for one in failed])

    # --- tasks -------------------------------------------------------------------------------------------------------------

    def _task(self, call: Call, method: str, path: str) -> Run:
        with heard(method, f"{ORCA}{path}"):
            self._orca.check()
            run = self._tools.executions.get(ORCHESTRATION, call.parts["id"])
            if run is None:
                raise BackendError(404, f"No orchestration found for {call.parts['id']}")
        return run

    async def _get_task(self, call: Call) -> Reply:
        return Reply(body=task_view(self._task(call, "GET", f"/tasks/{call.parts['id']}")))

    async def _cancel_task(self, call: Call) -> Reply:
        path = f"/tasks/{call.parts['id']}/cancel"
        run = self._task(call, "PUT", path)
        self._demanded(call, run, "EXECUTE", "PUT", path)
        self._engine.cancel(run, call.user, None)
        return Reply()

    def _demanded(self, call: Call, run: Run, right: str, method: str, path: str) -> None:
        with heard(method, f"{ORCA}{path}"):
            self._access.demand(call.user, right, str(run.execution["application"]))

    async def _cancel_tasks(self, call: Call) -> Reply:
        self._orca_checked("PUT", "/tasks/cancel")
        for one in call.query.get("ids", "").split(","):
            run = self._tools.executions.get(ORCHESTRATION, one)
            if run is not None:
                self._demanded(call, run, "EXECUTE", "PUT", "/tasks/cancel")
                self._engine.cancel(run, call.user, None)
        return Reply()

    async def _delete_task(self, call: Call) -> Reply:
        path = f"/tasks/{call.parts['id']}"
        run = self._task(call, "DELETE", path)
        self._demanded(call, run, "WRITE", "DELETE", path)
        if not run.complete:
            raise passed_on(BackendError(409, "Cannot delete a running orchestration, please cancel it first."), "DELETE", f"{ORCA}{path}")
        self._tools.executions.delete(run)
        return Reply()

    async def _details(self, call: Call) -> Reply:
        with heard("GET", f"http://clouddriver:7002/task/{call.parts['kato']}"):
            return Reply(body=self._tools.clouddriver.task(call.parts["kato"]))

    async def _tasks_of(self, call: Call) -> Reply:
        app, query = call.parts["app"], call.query
        told = {name: query[name] for name in ("page", "limit", "statuses") if name in query}
        url = f"{ORCA}/applications/{quote(app)}/tasks" + (f"?{urlencode(told)}" if told else "")
        with heard("GET", url):
            self._orca.check()
            self._access.demand(call.user, "READ", app)
            found = self._queries.tasks(app, page=int(query.get("page") or 1), limit=int(query.get("limit") or 3500), statuses=query.get("statuses", ""))
        return Reply(body=found)


def not_configured(app: str, name: str, before: str = "") -> RefusedError:
    """Gate's 404 for a pipeline that is not saved."""
    url = f"{FRONT50}/pipelines/{quote(name)}/get"
    words = f"{before}Pipeline configuration not found (nameOrId: {name} in application {app}): Status: 404, Method: GET, URL: {url}"
    return RefusedError(404, f"{words}, Message: Object not found (key: {name})")
