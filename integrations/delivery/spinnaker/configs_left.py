"""What an undo leaves as it is: ConfigMaps and Secrets that the old pod template names and that Spinnaker does not version; pure.

Each is held against what the deploy of the old release put there. What a Secret holds is never looked at, not even as a digest: whether Gate hands it on
as it is or hidden is not known, and two that are hidden look alike. Times prove a change and never that there was none: kubectl hides `managedFields`
since 1.21, and a key that is patched out leaves no time behind there.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from integrations.delivery.spinnaker import runs
from integrations.delivery.spinnaker.executions import Deployed, Execution
from integrations.delivery.spinnaker.kubernetes_history import Config, ManifestAddress, Revision, moment_of
from integrations.delivery.spinnaker.runs import LONG_AGO, Touch
from integrations.json_shapes import Body, entries, part, text
from integrations.manifests import digest
from service.domain.errors import BackoutError
from service.domain.keys import ConfigLeft

WHOLE = "deployManifest"
"""The stage type that applies a manifest as it stands; what a patch names is a part of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Put:
    """A stage that applied the object."""

    run: Execution
    made: Deployed
    manifest: Body

    @property
    def at(self) -> datetime:
        return self.made.stage.started_at or self.run.started_at or LONG_AGO

    @property
    def namespace(self) -> str:
        return text(part(self.manifest, "metadata").get("namespace"))

    @property
    def by(self) -> str:
        return f"{'task' if self.run.is_task else 'pipeline'} {self.run.name or self.run.id} ({self.run.id})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Then:
    """The release to go back to: its revision, the others that the controller has, and what Spinnaker ran."""

    address: ManifestAddress
    goal: Revision
    revisions: Sequence[Revision]
    touches: Sequence[Touch]
    runs: Sequence[Execution]

    def deploys(self) -> Iterator[Touch]:
        """The stages that deployed the goal and succeeded. One that may just as well have deployed another revision proves nothing."""
        others = [one for one in self.revisions if one.digest != self.goal.digest]
        for touch in self.touches:
            if touch.stage.kind == WHOLE and touch.stage.status.well and runs.around(touch, self.goal) and not any(runs.around(touch, one) for one in others):
                yield touch


def left_as_it_is(config: Config, live: Body | BackoutError | None, then: Then) -> ConfigLeft:
    """What is known of it; `live` is the object, None where the cluster has none, or why it could not be read."""
    if isinstance(live, BackoutError):
        return ConfigLeft(kind=config.kind, name=config.name, there=None, changed=None, says=f"it could not be read: {live}")
    puts = tuple(_puts(then.runs, then.address, config))
    with_goal = _with_goal(puts, then)
    if live is None:
        changed = None if config.optional and with_goal is None else True
        return ConfigLeft(kind=config.kind, name=config.name, there=False, changed=changed, optional=config.optional, says="it is not there any more")
    changed, says = _changed(config, live, with_goal, then.goal.created_at)
    if changed is not False and (later := _later(puts, with_goal, then.goal)) is not None:
        says = f"{says}; {later.by} put it there since"
    return ConfigLeft(kind=config.kind, name=config.name, there=True, changed=changed, optional=config.optional, lacks=_lacks(config, live), says=says)


def _changed(config: Config, live: Body, with_goal: _Put | None, goal_made: datetime | None) -> tuple[bool | None, str]:
    if with_goal is not None and config.kind == "ConfigMap":
        same = _content(live) == _content(with_goal.manifest)
        return (not same), f"it {'is' if same else 'is not'} what {with_goal.by} put there with that release"
    created, touched = moment_of(part(live, "metadata").get("creationTimestamp")), _touched(live)
    if goal_made is not None and created is not None and created > goal_made:
        return True, f"it was made anew at {_spoken(created)}"
    if goal_made is not None and touched is not None and touched > goal_made:
        return True, f"it was last changed at {_spoken(touched)}"
    if with_goal is not None and with_goal.manifest.get("immutable") is True and created is not None and goal_made is not None:
        return False, f"{with_goal.by} made it immutable with that release, and it was not made anew since"
    return None, "nothing tells what it held then" if config.kind == "ConfigMap" else "what it held then is not looked at, and nothing else tells"


def _puts(ran: Iterable[Execution], address: ManifestAddress, config: Config) -> Iterator[_Put]:
    for run in ran:
        for made in run.deployed:
            if made.account not in {"", address.account} or made.stage.started_at is None:
                continue
            for manifest in made.manifests:
                metadata = part(manifest, "metadata")
                named = (text(manifest.get("kind")), text(metadata.get("name")))
                if named == (config.kind, config.name) and text(metadata.get("namespace")) in {"", address.location}:
                    yield _Put(run=run, made=made, manifest=manifest)


def _with_goal(puts: Iterable[_Put], then: Then) -> _Put | None:
    """The last that the goal's own run applied by the time the goal was deployed; a later stage of it may have changed it for another release."""
    until = {touch.run.id: touch.stage.ended_at for touch in then.deploys()}
    exact = [put for put in puts if put.made.stage.kind == WHOLE and put.made.well and put.namespace == then.address.location]
    fit = [put for put in exact if (end := until.get(put.run.id)) is not None and put.at <= end]
    return max(fit, key=lambda put: put.at, default=None)


def _later(puts: Iterable[_Put], with_goal: _Put | None, goal: Revision) -> _Put | None:
    """The newest that applied it after the goal was made."""
    since = goal.created_at or datetime.max.replace(tzinfo=UTC)
    fit = [put for put in puts if put.at > since and (with_goal is None or put.made.stage.id != with_goal.made.stage.id)]
    return max(fit, key=lambda put: put.at, default=None)


def _content(manifest: Body) -> str:
    """Digest of what a ConfigMap holds; an empty part is as none."""
    return digest({key: part(manifest, key) for key in ("data", "binaryData") if part(manifest, key)})


def _lacks(config: Config, live: Body) -> tuple[str, ...]:
    """Keys that the old template names one by one and that are not there. A Secret that shows no key at all is one whose keys are hidden."""
    held = {*part(live, "data"), *part(live, "binaryData"), *part(live, "stringData")}
    return tuple(key for key in config.keys if key not in held) if held or config.kind == "ConfigMap" else ()


def _touched(live: Body) -> datetime | None:
    """The newest time at which Kubernetes saw a field of it written; None where Gate shows none."""
    found = [at for one in entries(part(live, "metadata").get("managedFields")) if (at := moment_of(one.get("time"))) is not None]
    return max(found, default=None)


def _spoken(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
