"""Argo CD's HTTP API, one method per endpoint, and its errors mapped once. What answers mean for a rollback is decided elsewhere.

Wire rules kept here (contract sections 1 and 2): exactly `application/json` on everything but GET, `project` in the query except for
POST and PATCH where it belongs in the body, a bare 403 that may be a dead Kubernetes API, answers that are no JSON.
"""

import contextlib
import copy
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from integrations import moment
from integrations.delivery.argocd.settings import Settings
from integrations.http import Answer, Http, Stream, UnreachedError
from service.domain.errors import PermanentError, RefusedError, TemporaryError
from service.domain.model import Json
from service.domain.ports import Clock, Guard

INVALID, DENIED, PRECONDITION = 3, 7, 9
"""gRPC codes that the gateway puts into error bodies."""
BARE_DENIED = "permission denied"
BARE_DENIED_MEANS = "the token lacks the right, or there is no such application, or Argo CD cannot reach Kubernetes"
DENIED_PAUSE = 3.0
"""Seconds between two tries of a write that was answered by a bare 403."""
AWAY_PAUSE = 1.0
"""Seconds between two tries of what nobody answered."""
SILENCE = 50.0
"""Seconds without a byte after which a watch counts as dead: three of its keep-alives (15 s, recording 03) and a margin."""
WORDS_KEPT = 500
_USER = re.compile(r"(?<=://)[^/\s\"'<>]*@")
LIST_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.labels",
    "metadata.annotations",
    "metadata.deletionTimestamp",
    "spec",
    "status.summary",
    "status.sync.status",
    "status.sync.revision",
    "status.health",
    "status.resources",
    "status.operationState.startedAt",
    "status.operationState.finishedAt",
    "status.operationState.phase",
)
"""From the list's fixed catalogue (contract 3.1); others vanish silently. `spec` as a whole, for `spec.project` alone is dropped on v3.2.

`status.sync.revision` is dropped by a real v3.2.11 too, whatever its catalogue says: then a listed target's desired revision is "".
"""
WATCH_FIELDS = (
    "result.type",
    *(
        f"result.application.{field}"
        for field in (
            "metadata.name",
            "metadata.namespace",
            "metadata.deletionTimestamp",
            "spec.source.targetRevision",
            "spec.sources",
            "spec.syncPolicy.automated",
            "operation.sync.revision",
            "status.sync.status",
            "status.sync.revision",
            "status.sync.revisions",
            "status.health.status",
            "status.summary.images",
            "status.operationState.phase",
            "status.operationState.startedAt",
            "status.operationState.finishedAt",
        )
    ),
)
"""What is worth a closer look. Nothing that changes by itself (reconciledAt, resourceVersion): the server sends no message that these fields do not change."""


def without_user(text: str) -> str:
    """The text with user names and passwords taken out of the addresses in it (promise 12): people write them into repository addresses."""
    return _USER.sub("", text)


class ServerRefusedError(RefusedError):
    """Argo CD's own no: `status` and `code` as it gave them; the text holds its words."""

    def __init__(self, text: str, *, status: int, code: int, words: str) -> None:
        super().__init__(text)
        self.status, self.code, self.words = status, code, words


class DeniedError(ServerRefusedError):
    """A bare 403: no right, no such application, or Kubernetes is away; one such answer proves nothing."""


class GoneError(ServerRefusedError):
    """404 from a caller who named a project it may use: there is no such application."""


class DeadlineError(TemporaryError):
    """The server gave up at the deadline that it was told (504)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRef:
    """How an application is addressed: `namespace` "" inside the control plane's, `project` "" while nobody knows it."""

    name: str
    namespace: str = ""
    project: str = ""

    @property
    def path(self) -> str:
        """Path of the application's endpoints."""
        return f"/api/v1/applications/{quote(self.name, safe='')}"

    @property
    def scope(self) -> dict[str, str]:
        """What goes beside the name: into the query, or into the body of POST and PATCH."""
        return {k: v for k, v in (("appNamespace", self.namespace), ("project", self.project)) if v}

    @property
    def object(self) -> str:
        """Name in RBAC policies: `project/app`, or `project/namespace/app`."""
        return "/".join(part for part in (self.project, self.namespace, self.name) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionKind:
    """A kind of objects that have actions."""

    group: str
    version: str
    kind: str


ROLLOUT = ActionKind(group="argoproj.io", version="v1alpha1", kind="Rollout")
NOBODY = "Nobody_Has_This_Name"
"""A name that Kubernetes gives to no object: it has capitals and underscores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A good answer: the body, what was asked, a digest of the body, and the server's clock (UTC) if it told."""

    body: Mapping[str, Json]
    what: str
    digest: str
    server_time: datetime | None


class Client:
    """One Argo CD. Reads raise TemporaryError, PermanentError or RefusedError; so do writes.

    A write is sent again only when it is certain that nothing happened: no connection was made, or it was answered by a bare 403.
    """

    def __init__(self, settings: Settings, clock: Clock, *, traceparent: Callable[[], str]) -> None:
        self._http = Http(base_url=settings.url, token_file=settings.token_file, ca_file=settings.ca_file, timeout=settings.timeout_seconds)
        self._clock = clock
        self._denied_for = timedelta(seconds=settings.denied_for_seconds)
        self._timeout = settings.timeout_seconds
        self._traceparent = traceparent
        self._patient = False
        self._watches: set[Stream] = set()

    def patiently(self) -> "Client":
        """The same client for acting: a read that nobody answers is tried again as long as a write is, for an act must not fail of a restart."""
        other = copy.copy(self)
        other._patient = True  # noqa: SLF001  our own copy
        return other

    # --- reads ---

    async def version(self) -> Reply:
        """`{"Version": "v3.2.11+…"}`."""
        return await self._get("/api/version")

    async def settings(self) -> Reply:
        """trackingMethod, controllerNamespace, url …; anonymous callers see a part."""
        return await self._get("/api/v1/settings")

    def mark_of_token(self) -> str:
        """What changes when the token does."""
        return self._http.mark_of_credential()

    async def user_info(self) -> Reply:
        """`{"loggedIn", "username", "iss"}`; never 401."""
        return await self._get("/api/v1/session/userinfo")

    async def can_i(self, action: str, thing: str) -> bool:
        """Whether the token holds a bare verb on an application object or pattern such as `shop/*`."""
        reply = await self._get(f"/api/v1/account/can-i/applications/{action}/{quote(thing, safe='/*')}")
        value = reply.body.get("value")
        if value not in {"yes", "no"}:
            raise PermanentError(f"{reply.what} answered neither yes nor no")
        return bool(value == "yes")

    async def applications(self, project: str = "", *, name: str = "") -> Reply:
        """The projected list; short without the right, never 403."""
        query = [("fields", ",".join(["metadata.resourceVersion", *(f"items.{field}" for field in LIST_FIELDS)]))]
        query += [(key, value) for key, value in (("projects", project), ("name", name)) if value]
        return await self._get("/api/v1/applications", query)

    async def whole_applications(self, project: str) -> Reply:
        """The list with whole objects, owners included; some 2 kB an application."""
        return await self._get("/api/v1/applications", [("projects", project)])

    async def application(self, app: AppRef) -> Reply:
        """The application, read live from Kubernetes."""
        return await self._get(app.path, list(app.scope.items()))

    async def events(self, app: AppRef, *, about: Mapping[str, Json] | None = None) -> Reply:
        """Kubernetes events of the application, or of one node of its tree; about an hour of them."""
        names = (("resourceUID", "uid"), ("resourceName", "name"), ("resourceNamespace", "namespace"))
        query = [(key, str(about.get(field, ""))) for key, field in names] if about else []
        return await self._get(f"{app.path}/events", [*query, *app.scope.items()])

    async def managed_resources(self, app: AppRef) -> Reply:
        """Every object that the application declares, with `liveState` and `targetState` as strings of JSON; the values of Secrets are masked."""
        return await self._get(f"{app.path}/managed-resources", list(app.scope.items()))

    async def logs(self, app: AppRef, pod: str, namespace: str, *, lines: int) -> str:
        """The last lines of a pod's containers, as the stream's lines `{"result": {"content", "timeStampStr", "podName", "last"}}`."""
        query = [("namespace", namespace), ("tailLines", str(lines)), ("follow", "false"), *app.scope.items()]
        path = f"{app.path}/pods/{quote(pod, safe='')}/logs"
        answer = await self._request("GET", path, params=query, headers=self._headers())
        if answer.status != HTTPStatus.OK:
            judge(answer, f"GET {path}")
        return answer.body.decode("utf-8", "replace")

    async def sync_windows(self, app: AppRef) -> Reply:
        """`activeWindows`, `assignedWindows`, `canSync` by the rules for manual operations."""
        return await self._get(f"{app.path}/syncwindows", list(app.scope.items()))

    async def project(self, name: str) -> Reply:
        """An AppProject, with its sync windows in full. Needs the right `projects, get` (a project's own role has it)."""
        return await self._get(f"/api/v1/projects/{quote(name, safe='')}")

    async def resource_tree(self, app: AppRef) -> Reply:
        """`nodes` with their owners."""
        return await self._get(f"{app.path}/resource-tree", list(app.scope.items()))

    async def resource(self, app: AppRef, node: Mapping[str, Json]) -> Reply:
        """One live object of the tree as `{"manifest": "<json>"}`."""
        query = [("resourceName", str(node.get("name", ""))), *((key, str(node.get(key, ""))) for key in ("kind", "version", "group", "namespace"))]
        return await self._get(f"{app.path}/resource", [*query, *app.scope.items()])

    async def manifests(self, app: AppRef, revisions: Sequence[str], *, multi: bool, anew: bool = False) -> Reply:
        """What the *current* sources render to at other revisions. `anew`: a branch is resolved now; else an answer of the last minutes will do."""
        query = [("revision", revisions[0])] if not multi else []
        if multi:
            query = [("sourcePositions", str(i)) for i in range(1, len(revisions) + 1)] + [("revisions", revision) for revision in revisions]
        query += [("noCache", "true")] if anew else []
        return await self._get(f"{app.path}/manifests", [*query, *app.scope.items()])

    async def managed_application(self, parent: AppRef, name: str, namespace: str) -> Reply:
        """How a parent application's Git declares a child Application (`targetState`)."""
        query = [("group", "argoproj.io"), ("kind", "Application"), ("name", name), ("namespace", namespace)]
        return await self._get(f"{parent.path}/managed-resources", [*query, *parent.scope.items()])

    async def application_set(self, name: str, namespace: str) -> Reply:
        """An ApplicationSet."""
        return await self._get(f"/api/v1/applicationsets/{quote(name, safe='')}", [("appsetNamespace", namespace)])

    async def watch(self, projects: Sequence[str]) -> AsyncIterator[tuple[str, Mapping[str, Json]]]:
        """(type, application with `WATCH_FIELDS`) of every change, as long as the connection lasts; at first each application that is there, as ADDED.

        Ends, or raises as reads do, when the connection ends. Close the iterator, or the connection stays. One at a time: a second is a PermanentError.
        """
        path = "/api/v1/stream/applications"
        if self._watches:
            raise PermanentError("this Argo CD is watched already")
        query = [("fields", ",".join(WATCH_FIELDS)), *(("projects", project) for project in projects)]
        stream = self._http.stream(path, params=query, headers={"Accept": "text/event-stream"})
        self._watches.add(stream)
        try:
            async with stream:
                if not stream.ok or stream.media_type != "text/event-stream":
                    judge(await stream.answer(within=self._timeout), f"GET {path}")
                    raise PermanentError(f"GET {path} answered no stream of events")
                async with contextlib.aclosing(stream.lines(silence=SILENCE)) as lines:  # type: ignore[type-var]  # it is a generator
                    async for line in lines:
                        if line.startswith(b"data:"):
                            yield _change(line[5:])
        finally:
            self._watches.discard(stream)

    async def may_run(self, app: AppRef, kind: ActionKind, action: str, *, old_form: bool) -> bool:
        """Whether the token may run an action on objects of that kind in the application. Changes nothing.

        `can-i` says no to everybody here (contract 1.2), so the action is asked for on a name that no Kubernetes object can have: RBAC comes first
        (403), then the object is looked for and not found (400). Proven by tests/contract/argocd/test_rollouts.py.
        """
        path, query, body = _action(app, {"group": kind.group, "version": kind.version, "kind": kind.kind, "name": NOBODY}, action, old_form=old_form)
        headers = self._headers() | {"Content-Type": "application/json"}
        answer = await self._http.request("POST", path, params=query or None, data=json.dumps(body).encode(), headers=headers)
        try:
            judge(answer, f"POST {path}")
        except DeniedError:
            return False
        except ServerRefusedError as error:
            if error.code == INVALID and "not found as part of application" in error.words:
                return True
            raise
        raise PermanentError(f"POST {path} ran {action} on an object that cannot be there")

    # --- writes ---

    async def refresh(self, app: AppRef, guard: Guard, *, seconds: int) -> Reply:
        """Wait until the controller answered a refresh. Counts as a write: it leaves an annotation, and under auto-sync it may deploy.

        DeadlineError when the controller did not answer within that time.
        """
        query = [("refresh", "normal"), *app.scope.items()]

        async def send() -> Answer:
            return await self._request("GET", app.path, params=query, headers=self._headers() | {"Grpc-Timeout": f"{seconds}S"}, timeout=seconds + 2.0)

        return await self._write(f"GET {app.path}?refresh=normal", send, guard)

    async def patch(self, app: AppRef, operations: Sequence[Mapping[str, Json]], guard: Guard) -> Reply:
        """Apply a JSON patch, atomically; the server renders the application and refuses (400/3) when that fails."""
        return await self._send("PATCH", app.path, guard, body={"patch": json.dumps(list(operations)), "patchType": "json", **app.scope})

    async def put_spec(self, app: AppRef, spec: Mapping[str, Json], guard: Guard) -> Reply:
        """Replace the whole spec without rendering it: the last writer wins, so send back what was just read, changed minimally."""
        return await self._send("PUT", f"{app.path}/spec", guard, query=[("validate", "false"), *app.scope.items()], body=spec)

    async def roll_back(self, app: AppRef, history_id: int, guard: Guard) -> Reply:
        """Start a rollback, without pruning; 200 means accepted, not done."""
        return await self._send("POST", f"{app.path}/rollback", guard, body={"id": history_id, "dryRun": False, "prune": False, **app.scope})

    async def sync(self, app: AppRef, revisions: Sequence[str], info: tuple[str, str], guard: Guard, *, multi: bool) -> Reply:
        """Deploy what the current sources are at these revisions, hooks included, without pruning and without retries; 200 means accepted, not done.

        `info` stays readable in the operation and its last state (contract 3.4). Refused while auto-sync is on and the revision is another one.
        """
        body: dict[str, Json] = {"dryRun": False, "prune": False, "retryStrategy": {"limit": 0}, "infos": [{"name": info[0], "value": info[1]}], **app.scope}
        body |= {"sourcePositions": list(range(1, len(revisions) + 1)), "revisions": list(revisions)} if multi else {"revision": revisions[0]}
        return await self._send("POST", f"{app.path}/sync", guard, body=body)

    async def terminate(self, app: AppRef, guard: Guard) -> Reply:
        """Ask the running operation to end; it ends later."""
        return await self._send("DELETE", f"{app.path}/operation", guard, query=list(app.scope.items()))

    async def run_action(self, app: AppRef, node: Mapping[str, Json], action: str, guard: Guard, *, old_form: bool) -> None:
        """Run a resource action: done when it is answered, without an operation. `old_form`: servers below v3.1 know no other."""
        path, query, body = _action(app, node, action, old_form=old_form)
        await self._send("POST", path, guard, query=query, body=body)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    # --- one exchange ---

    def _headers(self) -> dict[str, str]:
        traceparent = self._traceparent()
        return {"traceparent": traceparent} if traceparent else {}

    async def _request(self, method: str, path: str, **more: Any) -> Answer:
        """One exchange. A server that refuses connections may be waiting, up to 20 s, for our own watch to end (contract 2.4): then it ends."""
        try:
            return await self._http.request(method, path, **more)
        except UnreachedError:
            for stream in self._watches:
                stream.close("argocd-server refuses connections, and does so as long as a watch is open if it is restarting itself")
            raise

    async def _get(self, path: str, query: list[tuple[str, str]] | None = None) -> Reply:
        until = self._clock.now() + self._denied_for
        while True:
            try:
                return judge(await self._request("GET", path, params=query or None, headers=self._headers()), f"GET {path}")
            except DeniedError as error:
                if not self._patient or self._clock.now() >= until:
                    raise TemporaryError(str(error)) from error
            except TemporaryError:
                if not self._patient or self._clock.now() >= until:
                    raise
            await self._clock.sleep(AWAY_PAUSE)

    async def _send(self, method: str, path: str, guard: Guard, *, query: list[tuple[str, str]] | None = None, body: Json = None) -> Reply:
        # The header stands here for the DELETE without a body too: without it the answer is 415.
        headers = self._headers() | {"Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None

        async def send() -> Answer:
            return await self._request(method, path, params=query or None, data=data, headers=headers)

        return await self._write(f"{method} {path}", send, guard)

    async def _write(self, what: str, send: Callable[[], Awaitable[Answer]], guard: Guard) -> Reply:
        until = self._clock.now() + self._denied_for
        while True:
            await guard()
            moment.sending()
            try:
                return judge(await send(), what)
            except UnreachedError:
                if self._clock.now() >= until:
                    raise
                pause = AWAY_PAUSE
            except DeniedError as error:
                if self._clock.now() >= until:
                    raise RefusedError(f"{error}; asked again for {int(self._denied_for.total_seconds())} s") from error
                pause = DENIED_PAUSE
            finally:
                moment.sending()
            await self._clock.sleep(pause)


def _change(raw: bytes) -> tuple[str, Mapping[str, Json]]:
    """One message of a watch. The error object at the end of a stream is reduced by our field filter too, down to `{}` (contract 2.4)."""
    try:
        message = json.loads(raw)
    except ValueError as error:
        raise TemporaryError("Argo CD sent a message of the watch that is no JSON") from error
    result = message.get("result") if isinstance(message, dict) else None
    app = result.get("application") if isinstance(result, dict) else None
    if not isinstance(result, dict) or not isinstance(app, dict):
        inner = message.get("error") if isinstance(message, dict) else None
        words = without_user(str(inner.get("message", "")))[:WORDS_KEPT] if isinstance(inner, dict) else ""
        raise TemporaryError(f"Argo CD ended the watch{f': {words}' if words else ' with an error'}")
    return str(result.get("type", "")), app


def _action(app: AppRef, node: Mapping[str, Json], action: str, *, old_form: bool) -> tuple[str, list[tuple[str, str]], Json]:
    """Path, query and body of the call that runs an action: what it is about stands in the body, in the old form in the query."""
    about = {"resourceName": str(node.get("name", "")), **{key: str(node.get(key, "")) for key in ("namespace", "version", "group", "kind")}}
    path = f"{app.path}/resource/actions"
    if old_form:
        return path, [*about.items(), *app.scope.items()], action
    return f"{path}/v2", [], {**about, "action": action, **app.scope}


def judge(answer: Answer, what: str) -> Reply:
    """The answer as a Reply, or the error it stands for (contract section 10), in the server's own words."""
    is_json = answer.headers.get("content-type", "").partition(";")[0].strip() == "application/json"
    if 200 <= answer.status < 300 and is_json:  # noqa: PLR2004  the range of success
        body = answer.json()
        if body is not None and not isinstance(body, dict):
            raise PermanentError(f"{what} answered something that is no object; is this Argo CD?")
        return Reply(body=body or {}, what=what, digest="sha256:" + hashlib.sha256(answer.body).hexdigest(), server_time=_server_time(answer))
    if not is_json:
        raise _not_argo(answer, what)
    words, code = _words(answer)
    says = f"{what}: Argo CD answered {answer.status}: {words}"
    match answer.status:
        case 401:
            raise PermanentError(f"{says}; the token is missing, expired or revoked")
        case 403 if words == BARE_DENIED:
            raise DeniedError(f"{says} ({BARE_DENIED_MEANS})", status=403, code=code, words=words)
        case 404:
            raise GoneError(says, status=404, code=code, words=words)
        case 400 | 403:
            raise ServerRefusedError(says, status=answer.status, code=code, words=words)
        case 500 if "error applying patch" in words:
            raise ServerRefusedError(says, status=500, code=code, words=words)
        case 500 if "required field" in words:
            raise PermanentError(says)
        case 504:
            raise DeadlineError(says)
        case _:
            raise TemporaryError(says)


def _words(answer: Answer) -> tuple[str, int]:
    body = answer.json()
    if not isinstance(body, dict):
        return "an error in no known shape", 0
    inner = body.get("error")
    if isinstance(inner, dict):  # the streams' shape, which proxies have been seen to give for unary calls
        return without_user(str(inner.get("message", "")))[:WORDS_KEPT], int(inner.get("grpc_code", 0))
    return without_user(str(body.get("message") or inner or "no words"))[:WORDS_KEPT], int(body.get("code") or 0)


def _not_argo(answer: Answer, what: str) -> TemporaryError | PermanentError:
    kind = answer.headers.get("content-type", "no content type")
    if answer.status in {429, 502, 503, 504}:
        return TemporaryError(f"{what}: a proxy before Argo CD answered {answer.status}")
    if 300 <= answer.status < 400:  # noqa: PLR2004  redirections
        return PermanentError(f"{what} was redirected ({answer.status}); set the address that is redirected to (https?)")
    return PermanentError(f"{what} answered {answer.status} with {kind}; the address or its root path is not that of Argo CD's API")


def _server_time(answer: Answer) -> datetime | None:
    try:
        return parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return None
