"""Echo: events that start pipelines - by hand through v2, webhooks, images, commits, messages, cron, other pipelines (contract 3.2, 3.5).

It matches against the pipelines as it saw them at its last poll, and reads a matched one again before it starts it.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from integrations.sandbox.gate.executions import PIPELINE, Run
from integrations.sandbox.gate.orca import Orca, with_defaults
from integrations.sandbox.gate.refusals import NETWORK, BackendError
from integrations.sandbox.gate.settings import ECHO, Json
from integrations.sandbox.gate.tools import Tools

KEPT: Final = frozenset(
    {
        "type", "user", "parameters", "artifacts", "expectedArtifactIds", "notifications", "correlationId", "executionId", "eventId", "dryRun", "rebake",
        "payload", "description", "link", "linkText", "buildNumber", "master", "job", "tag", "account", "repository", "registry", "branch", "hash", "project",
        "slug", "source", "secret", "payloadConstraints", "id", "cronExpression", "parentExecution", "parentPipelineId", "runAsUser", "strategy", "digest",
    }
)  # fmt: skip
"""The keys that Echo's own trigger type has; it drops all others."""
_RESULT: Final = {"SUCCEEDED": "successful", "TERMINAL": "failed", "CANCELED": "canceled", "STOPPED": "failed"}


class Echo:
    """The events of one Spinnaker."""

    def __init__(self, tools: Tools, orca: Orca, may: Callable[[str, str, str], bool]) -> None:
        self._tools = tools
        self._orca = orca
        self._may = may
        self._seen: list[Json] | None = None
        self._polling = False
        self.live = False  # from the start of the server on it polls; before, it knows what is saved at once
        self.started: list[tuple[str, str]] = []
        """(type of the trigger, id of the run) of all that events started, oldest first."""

    def check(self) -> None:
        """BackendError where Echo is away."""
        if self._tools.faults.echo_down:
            raise BackendError(500, f"java.net.ConnectException: Failed to connect to /{ECHO.partition('//')[2]}", kind=NETWORK)

    def configs_change(self) -> None:
        """A pipeline is about to be saved or deleted: Echo knows at its next poll."""
        if self.live and not self._polling:
            self._polling = True
            self._seen = self._tools.front50.pipelines()
            self._tools.timeline.after(self._tools.timings.echo_poll, self._poll)

    def _poll(self) -> None:
        self._polling = False
        self._seen = None

    def _known(self) -> list[Json]:
        return self._tools.front50.pipelines() if self._seen is None else self._seen

    # --- events ------------------------------------------------------------------------------------------------------------

    def by_hand(self, application: str, name_or_id: str, trigger: Json, user: str) -> None:
        """The event of `POST /pipelines/v2`: matched once, against what Echo knows."""
        self.check()
        if self._swallowed(application, name_or_id, trigger, user):
            return
        for config in self._known():
            if config["application"] == application and name_or_id in {config["name"], config["id"]} and not config.get("disabled"):
                self._start_soon(config, _own(trigger), user, str(trigger["executionId"]))

    def _swallowed(self, application: str, name_or_id: str, trigger: Json, user: str) -> bool:
        faults = self._tools.faults
        if faults.lose_triggers > 0:
            faults.lose_triggers -= 1
            return True
        if faults.start_elsewhere > 0:
            faults.start_elsewhere -= 1
            config = self._tools.front50.named(application, name_or_id)
            if config is not None:
                other = {name: value for name, value in trigger.items() if name != "executionId"}
                failed = {**config, "stages": [], "expectedArtifacts": []}
                self._tools.timeline.after(self._tools.timings.echo, lambda: self._start(failed, _own(other), user, None))
            return True
        return False

    def webhook(self, source: str, payload: Json, event_id: str) -> None:
        """A webhook came: it starts every enabled trigger of that source whose constraints hold. Nobody is told whether one did."""
        self.check()
        for config, trigger in self._triggers("webhook"):
            constraints = trigger.get("payloadConstraints") or {}
            fits = all(re.fullmatch(str(wanted), str(payload.get(name, ""))) and name in payload for name, wanted in constraints.items())
            if trigger.get("source") == source and fits:
                found = {**trigger, "payload": payload, "eventId": event_id, "parameters": dict(payload.get("parameters") or {})}
                self._start_soon(config, {**found, "artifacts": payload.get("artifacts") or []}, _as(trigger))

    def image(self, repository: str, tag: str, digest: str | None = None) -> None:
        """A registry has a new tag: docker triggers of that repository whose tag pattern fits."""
        for config, trigger in self._triggers("docker"):
            if trigger.get("repository") == repository and re.fullmatch(str(trigger.get("tag") or ".+"), tag):
                made = {
                    "type": "docker/image",
                    "name": repository,
                    "version": tag,
                    "reference": f"{repository}:{tag}",
                    "artifactAccount": trigger.get("account"),
                }
                self._start_soon(config, {**trigger, "tag": tag, "digest": digest, "artifacts": [made]}, _as(trigger))

    def commit(self, project: str, slug: str, branch: str, commit: str) -> None:
        """Somebody pushed: git triggers of that repository whose branch pattern fits."""
        for config, trigger in self._triggers("git"):
            if (trigger.get("project"), trigger.get("slug")) == (project, slug) and re.fullmatch(str(trigger.get("branch") or ".*"), branch):
                self._start_soon(config, {**trigger, "hash": commit, "branch": branch}, _as(trigger))

    def message(self, subscription: str, payload: Json) -> None:
        """A message of a subscription came."""
        for config, trigger in self._triggers("pubsub"):
            if trigger.get("subscriptionName") == subscription:
                self._start_soon(config, {**trigger, "payload": payload}, _as(trigger))

    def cron(self, config_id: str) -> None:
        """The hour of a pipeline's cron trigger came."""
        for config, trigger in self._triggers("cron"):
            if config["id"] == config_id:
                self._start_soon(config, trigger, _as(trigger))

    def run_ended(self, run: Run) -> None:
        """Pipelines that another one's end starts."""
        if run.kind != PIPELINE:
            return
        execution = run.execution
        parent = {name: execution[name] for name in ("application", "id", "name", "pipelineConfigId", "stages", "status", "trigger", "type")}
        for config, trigger in self._triggers("pipeline"):
            if trigger.get("pipeline") == execution.get("pipelineConfigId") and _RESULT.get(run.status) in (trigger.get("status") or []):
                self._start_soon(config, {**trigger, "parentExecution": parent, "parentPipelineId": run.id}, _as(trigger))

    def _triggers(self, kind: str) -> list[tuple[Json, Json]]:
        if self._tools.faults.echo_down:
            return []
        enabled = [config for config in self._known() if not config.get("disabled")]
        return [(config, one) for config in enabled for one in config.get("triggers", []) if one.get("type") == kind and one.get("enabled")]

    # --- starting ----------------------------------------------------------------------------------------------------------

    def _start_soon(self, config: Json, trigger: Json, user: str, execution_id: str | None = None) -> None:
        self._tools.timeline.after(self._tools.timings.echo, lambda: self._start(config, trigger, user, execution_id))

    def _start(self, config: Json, trigger: Json, user: str, execution_id: str | None) -> None:
        now = self._tools.front50.pipeline(str(config["id"])) if config.get("stages") else config
        if now is None or not self._may(user, "EXECUTE", str(config["application"])):
            return
        try:
            self._orca.check()
            parameters = with_defaults(now, trigger.get("parameters") or {})
            run = self._orca.start_now(now, {**_own(trigger), "parameters": parameters}, user, execution_id=execution_id, origin="api")
        except BackendError:
            return
        self.started.append((str(trigger.get("type")), run.id))


def _as(trigger: Json) -> str:
    return str(trigger.get("runAsUser") or "anonymous")


def _own(trigger: Json) -> dict[str, Any]:
    """What Echo keeps of a trigger, and what it adds."""
    return {**{name: value for name, value in trigger.items() if name in KEPT and value is not None}, "enabled": False, "preferred": False}
