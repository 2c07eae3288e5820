"""Speaks to one Gate: who we are, one exchange at a time, and which answers can be believed. What an answer means stands in `answers.py`.

Credentials are sent with every request and no cookie is kept. Reads may be repeated, so they are, a little. A write is sent once; it is sent again only when
it is certain that nothing heard of it: nobody listened, or Gate's own filter turned it away. After any other answer the caller looks what became of it.

Two calls of Gate are not here for a reason: the start by v2, whose answer names a run that may never come to be (contract 3.2), and the list of runs by ids,
which fails as a whole for one that is unknown (recording 08a).
"""

import base64
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from urllib.parse import quote, urlencode

from integrations import moment
from integrations.delivery.spinnaker import expressions
from integrations.delivery.spinnaker.answers import EmptyError, Reply, TurnedAwayError, judge, window_ends
from integrations.delivery.spinnaker.budget import Budget
from integrations.delivery.spinnaker.settings import Settings
from integrations.http import Answer, Certificate, Http, UnreachedError, credential
from service.domain.errors import PermanentError, TemporaryError
from service.domain.model import Json
from service.domain.ports import Clock, Guard

ME = "backout"
"""The name that Gate's rate limiter and its logs know us by."""
EXECUTION_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}|[0-9a-fA-F-]{36}")
"""A ULID, or a UUID of old."""
PAUSES = (0.2, 1.0)
"""Seconds before a read is asked again: an empty 200 and a 500 are often gone by then."""
AWAY_PAUSE = 1.0
MOST = 24 * 1024 * 1024
"""Bytes of an answer. Runs carry the whole run that started them, so a list may be huge; read as values it takes some ten times its size in memory."""
GATE_WAITS = timedelta(seconds=125)
"""Gate gives its backends 120 s (recording 09c): so long after a write was sent it may still happen."""
TASKS_SHOWN = 200
"""Tasks of an application that are looked through for one of ours; the list is newest first."""


class Client:
    """One Gate. `traceparent` is asked before each request: its trace id becomes Spinnaker's request id, which every backend logs.

    Reads answer `Reply`; GoneError when there is no such thing, TemporaryError when nobody knows, ServerRefusedError and PermanentError as their names say.
    """

    def __init__(self, settings: Settings, clock: Clock, *, traceparent: Callable[[], str]) -> None:
        certificate = None
        if settings.certificate_file is not None and settings.key_file is not None:
            certificate = Certificate(settings.certificate_file, settings.key_file)
        self._http = Http(base_url=settings.url, ca_file=settings.ca_file, timeout=settings.timeout_seconds, certificate=certificate, most=MOST)
        self._settings = settings
        self._clock = clock
        self._traceparent = traceparent
        self._quiet_until = clock.now()
        self.budget = Budget(clock)
        self.sending: list[Callable[[], None]] = [moment.sending]
        """Called around each write: what was read before it counts no more."""

    async def room(self) -> None:
        """Wait until Gate's rate limiter has room for one more read."""
        await self.budget.room()

    # --- who and what ---

    async def user(self) -> Reply:
        """Whom Gate takes us for; 200 without a body when nobody, so None."""
        return await self._get("/auth/user", may_be_empty=True)

    async def version(self) -> Reply:
        """`{"version": …}`; protected, so it proves that the credential works. `Unknown` where Gate was built without a manifest."""
        return await self._get("/version")

    async def accounts(self) -> Reply:
        """The accounts that Spinnaker deploys with; `[]` for ever where Gate's scheduled jobs do not run (contract 2.6(11))."""
        return await self._get("/credentials")

    async def application(self, name: str) -> Reply:
        """An application with its `attributes.permissions`. Served from Gate's cache while front50 is down."""
        return await self._get(f"/applications/{segment(name)}")

    # --- what was run ---

    async def pipeline_runs(self, application: str, *, statuses: Sequence[str] = (), limit: int, expand: bool) -> Reply:
        """Runs of the application's saved pipelines, `limit` of each: those of the last 14 days, or the last 2 of one that had none (contract 5.2)."""
        query = {"limit": str(limit), "expand": "true" if expand else "false", **({"statuses": ",".join(statuses)} if statuses else {})}
        return await self._get(f"/applications/{segment(application)}/pipelines", query)

    async def pipeline_run(self, identity: str) -> Reply:
        """One run of a pipeline. EmptyError: nobody knows, or we may not read it; it is not gone."""
        return await self._get(f"/pipelines/{execution_id(identity)}")

    async def tasks(self, application: str) -> Reply:
        """The newest tasks of the application, at most 14 days old."""
        return await self._get(f"/applications/{segment(application)}/tasks", {"limit": str(TASKS_SHOWN)})

    async def task(self, identity: str) -> Reply:
        """One task."""
        return await self._get(f"/tasks/{execution_id(identity)}")

    async def pipeline_configs(self, application: str) -> Reply:
        """The saved pipelines of the application, whole."""
        return await self._get(f"/applications/{segment(application)}/pipelineConfigs")

    async def managed(self, application: str) -> Reply:
        """What managed delivery (keel) manages of the application; GoneError where Gate has no keel. Source only."""
        return await self._get(f"/managed/application/{segment(application)}", {"includeDetails": "false", "entities": "resources"})

    # --- what there is ---

    async def manifest(self, account: str, location: str, name: str) -> Reply:
        """One live object, read from the cluster now; `name` is `<kind> <name>`, location `_` for what has no namespace."""
        return await self._get(f"/manifests/{segment(account)}/{segment(location)}/{segment(name)}")

    async def managers(self, application: str) -> Reply:
        """The application's Deployments and their like with their ReplicaSets, from a cache that may be half a minute old."""
        return await self._get(f"/applications/{segment(application)}/serverGroupManagers")

    async def server_groups(self, application: str) -> Reply:
        """All server groups of the application with their instance counts, from the same cache."""
        return await self._get(f"/applications/{segment(application)}/serverGroups", {"expand": "true"})

    async def server_group(self, application: str, account: str, region: str, name: str) -> Reply:
        """One server group with its instances, from the same cache."""
        return await self._get(f"/applications/{segment(application)}/serverGroups/{segment(account)}/{segment(region)}/{segment(name)}")

    # --- writes ---

    async def post_task(self, application: str, description: str, jobs: Sequence[Mapping[str, Json]], marker: str, guard: Guard) -> Reply:
        """Start an ad-hoc task; its id is the answer's `ref`. `marker` finds it again, and keeps a second one from starting while the first one runs.

        All three of application, description and the jobs are needed: without them Orca answers 500, or 200 and fails (recording 11h).
        """
        body = {"application": application, "description": description, "job": list(jobs), "trigger": {"type": "manual", "correlationId": marker}}
        return await self._send("POST", "/tasks", guard, body=body)

    async def start(self, application: str, pipeline: str, parameters: Mapping[str, Json], marker: str, guard: Guard) -> Reply:
        """Start a saved pipeline by its id (a name may hold a slash); the run's id is the answer's `ref`, and the run is there when it comes (recording 01a).

        That it was accepted proves no right (recording 21), and a required parameter whose default is "" may be empty (02): the caller checks both.
        """
        trigger = {"type": "manual", "parameters": dict(parameters), "correlationId": marker}
        return await self._send("POST", f"/pipelines/{segment(application)}/{segment(pipeline)}", guard, body=trigger)

    async def plan(self, config: Mapping[str, Json], parameters: Mapping[str, Json], marker: str, guard: Guard) -> Reply:
        """Whether Orca can parse a saved pipeline with these parameters: its whole text, resolved; nothing is stored or run (recording 01b).

        It carries the marker, so that a run would be found if a server did start it: then the answer has a `ref`.
        """
        trigger = {"type": "manual", "parameters": dict(parameters), "correlationId": marker}
        return await self._send("POST", "/pipelines/start", guard, body={**config, "trigger": trigger, "plan": True}, was_there=config)

    async def cancel_task(self, identity: str, guard: Guard) -> None:
        """Ask that a task ends. 200 says nothing: what was posted to the cloud goes on; read it again (contract 2.6(2))."""
        await self._send("PUT", f"/tasks/{execution_id(identity)}/cancel", guard, may_be_empty=True)

    async def cancel_run(self, identity: str, reason: str, guard: Guard) -> None:
        """Ask that a run of a pipeline ends. 200 says nothing; and a run that has ended already is marked as cancelled all the same (recording 03a)."""
        await self._send("PUT", f"/pipelines/{execution_id(identity)}/cancel", guard, query={"reason": reason, "force": "false"}, may_be_empty=True)

    async def save_pipeline(self, body: Mapping[str, Json], guard: Guard, *, was: Mapping[str, Json]) -> None:
        """Save a pipeline whole, only if nobody saved it since it was read (`updateTs` is compared). An empty 200 says that the task which saves it succeeded.

        Source only. `was` is what was read: its expressions are the team's own, and Gate wraps the text, so nothing evaluates them on the way. Without the
        comparison whoever saves overwrites what a person saved meanwhile.
        """
        if not body.get("id") or not body.get("updateTs"):
            raise PermanentError("a pipeline without id and updateTs cannot be compared with what is saved, so it is not saved")
        await self._send("POST", "/pipelines", guard, query={"staleCheck": "true"}, body=dict(body), may_be_empty=True, was_there=was)

    async def reject(self, identity: str, stage: str, reason: str, guard: Guard) -> None:
        """Answer a judgment with stop. 200 says nothing: a finished stage is changed too, and without the role that it asks for it waits on (recording 04a)."""
        body = {"judgmentStatus": "stop", "judgmentInput": reason}
        await self._send("PATCH", f"/pipelines/{execution_id(identity)}/stages/{execution_id(stage)}", guard, body=body)

    async def pause_run(self, identity: str, guard: Guard) -> None:
        """Ask that a run pauses. 200 says nothing: it does so only while it is RUNNING, and what it asked the cloud for goes on (contract 5.1)."""
        await self._send("PUT", f"/pipelines/{execution_id(identity)}/pause", guard, may_be_empty=True)

    async def resume_run(self, identity: str, guard: Guard) -> None:
        """Ask that a paused run goes on. 200 says nothing."""
        await self._send("PUT", f"/pipelines/{execution_id(identity)}/resume", guard, may_be_empty=True)

    async def restart_stage(self, identity: str, stage: str, guard: Guard) -> None:
        """Ask that a stage, and all that follow it, run again. 200 says nothing, and a run that had ended is RUNNING again (recording 20c)."""
        await self._send("PUT", f"/pipelines/{execution_id(identity)}/stages/{execution_id(stage)}/restart", guard, body={})

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    # --- one exchange ---

    def headers(self) -> dict[str, str]:
        """Who we are and for which trace, read now: credentials rotate without a restart."""
        found = {"Accept": "application/json", "X-RateLimit-App": ME, "X-Spinnaker-Priority": "critical", **self._login()}
        parts = self._traceparent().split("-")
        if len(parts) == 4:  # noqa: PLR2004  a W3C traceparent: version, trace, span, flags
            found["X-SPINNAKER-REQUEST-ID"] = parts[1]
        return found

    def _login(self) -> dict[str, str]:
        file = self._settings.token_file
        match self._settings.auth:
            case "api_token" if file is not None:
                return {"X-Spinnaker-Token": credential(file)}
            case "bearer" if file is not None:
                return {"Authorization": f"Bearer {credential(file)}"}
            case "basic" if file is not None:
                if ":" not in (pair := credential(file)):
                    raise PermanentError(f"the credential file {file.name} must hold user:password for basic")
                return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
            case "header":
                return {"X-SPINNAKER-USER": self._settings.user}
            case _:
                return {}

    async def _exchange(self, method: str, path: str, *, query: Mapping[str, str] | None, body: Json = None, seconds: float) -> Answer:
        """One request. A pause that Gate asked for is waited out first."""
        wait = (self._quiet_until - self._clock.now()).total_seconds()
        if wait > 0:
            await self._clock.sleep(wait)
        await self.budget.spend(writes=method != "GET")
        # The query is encoded here in full: Gate's Tomcat refuses brackets, and a plus sign means a blank to it.
        whole = f"{path}?{urlencode(query, quote_via=quote, safe='')}" if query else path
        answer = await self._http.request(method, whole, json=body, headers=self.headers(), timeout=seconds)
        self.budget.told(answer.headers, ends=window_ends(answer, self._clock.now()))
        return answer

    async def _get(self, path: str, query: Mapping[str, str] | None = None, *, may_be_empty: bool = False) -> Reply:
        what = f"GET {path}"
        for pause in (*PAUSES, None):
            try:
                answer = await self._exchange("GET", path, query=query, seconds=self._settings.timeout_seconds)
                return await judge(answer, what, now=self._clock.now(), may_be_empty=may_be_empty)
            except TurnedAwayError as error:
                self._be_quiet(error)
                if pause is None:
                    raise
            except (EmptyError, TemporaryError):
                if pause is None:
                    raise
                await self._clock.sleep(pause)
        raise AssertionError("the last try raises or returns")

    async def _send(
        self,
        method: str,
        path: str,
        guard: Guard,
        *,
        query: Mapping[str, str] | None = None,
        body: Json = None,
        may_be_empty: bool = False,
        was_there: Json = None,
    ) -> Reply:
        what = f"{method} {path}"
        expressions.refuse({"query": dict(query or {}), "body": body}, what, was_there=was_there)

        async def once() -> Reply:
            try:
                self._is_sending()
                answer = await self._exchange(method, path, query=query, body=body, seconds=self._settings.write_timeout_seconds)
            finally:
                self._is_sending()  # a read that began meanwhile may have seen neither before nor after
            return await judge(answer, what, now=self._clock.now(), may_be_empty=may_be_empty)

        return await self._once_heard(once, guard)

    async def _once_heard(self, once: Callable[[], Awaitable[Reply]], guard: Guard) -> Reply:
        """Send until somebody hears it, and never again after that."""
        until = self._clock.now() + timedelta(seconds=self._settings.retry_seconds)
        while True:
            await guard()
            try:
                return await once()
            except TurnedAwayError as error:
                self._be_quiet(error)
                if self._clock.now() >= until:
                    raise
            except UnreachedError:
                if self._clock.now() >= until:
                    raise
                await self._clock.sleep(AWAY_PAUSE)

    def _is_sending(self) -> None:
        for tell in self.sending:
            tell()

    def _be_quiet(self, error: TurnedAwayError) -> None:
        self._quiet_until = max(self._quiet_until, self._clock.now() + error.pause)


def segment(text: str) -> str:
    """One part of a path. Gate refuses a slash in it however it is encoded (recording 02), so nothing is sent: PermanentError."""
    if not text or "/" in text or "\\" in text or text in {".", ".."} or not text.isprintable():
        raise PermanentError(f"{text!r} cannot be named in an address of Gate")
    return quote(text, safe="")


def execution_id(text: str) -> str:
    """The id of a run or task, if it has the form of one; PermanentError otherwise, for whatever else was read there must not become a path."""
    if not EXECUTION_ID.fullmatch(text):
        raise PermanentError(f"{text[:40]!r} is not the id of a run")
    return text
