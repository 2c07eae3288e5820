"""The settings: one object, read once from a YAML file and `BACKOUT_…` variables. A wrong, unknown or missing one stops the start, naming file and line.

Each integration owns its own settings model; the composition root hands those in as `Kinds`. Secrets never stand here, only the files that hold them.
"""

import difflib
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import parse_qs, urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as VariableError

from service.domain.conditions import Condition, ConditionError, Sort
from service.domain.errors import SettingsError
from service.domain.model import Mode
from service.domain.policy import AlertMapping, Declarations, Policies, RecoveredWhen, TargetPolicy, Tightening, VersionSplit, Waiver
from service.domain.verdict import Answer

OF_POLICY = "policy_can_be_applied"
"""The rule that tells whether the policy could be applied; no policy speaks about it."""
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):  # a bare number has no unit, and YAML reads 1:30 as ninety
        raise ValueError("expected a duration such as 30s, 3m, 2h or 7d")  # noqa: TRY004  pydantic makes a fault of ValueError only
    plain = value.replace(" ", "")
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", plain)
    if not parts or "".join(number + unit for number, unit in parts) != plain:
        raise ValueError("expected a duration such as 30s, 3m, 2h or 7d")
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("expected a duration above zero")
    return value


def _utc(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)


Duration = Annotated[timedelta, BeforeValidator(_duration), AfterValidator(_positive)]
Expiry = Annotated[datetime, AfterValidator(_utc)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class AuthSettings(_Model):
    """Who may call the API."""

    keys_file: Path = Field(description="JSON file with the Ed25519 keys that tokens are checked with; `backout token key` makes one. No default.")


class SenderSettings(_Model):
    """One sender of alerts and what it speaks for."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$", description="Name of the sender in records and logs.")
    token_file: Path = Field(description="File with the sender's bearer token, one a line, two while it is rotated; read again when it changes.")
    targets: str = Field(description='Pattern of the targets this sender speaks for, e.g. "prod:*". No default: a sender without a scope says nothing.')


class MappingSettings(_Model):
    """Alerts with these labels mean this target."""

    labels: dict[str, str] = Field(min_length=1, description='Label values that must all be there; "*" = any value.')
    target: str = Field(description="The target; {label} is filled with the alert's value, e.g. prod:{app}.")


class AlertsSettings(_Model):
    """Where alerts come from."""

    alertmanager: tuple[SenderSettings, ...] = Field(default=(), description="Senders that post Alertmanager webhooks to /v1/alerts/alertmanager.")
    mapping: tuple[MappingSettings, ...] = Field(
        default=(), description="Rules from labels to targets, first hit counts; for alerts whose labels name no target."
    )


class AuditSettings(_Model):
    """Where the traces go."""

    otlp: str = Field(default="", description="OTLP/HTTP address without /v1/traces, e.g. http://jaeger:4318. Default: traces stay in the store.")
    query: str = Field(default="", description="Jaeger's query address, for `backout doctor` to read a trace back. Default: not read back.")
    token_file: Path | None = Field(default=None, description="File with a bearer token for the collector. Default: none.")
    ca_file: Path | None = Field(default=None, description="CA that signed the collector's certificate. Default: the system's.")
    trace_link: str = Field(default="", description="Address of a trace for people, with {trace_id}. Default: no links.")
    environment: str = Field(default="", description="deployment.environment.name in every trace, e.g. production. Default: not told.")


class WatchSettings(_Model):
    """How closely targets are watched."""

    every: Duration = Field(
        default=timedelta(seconds=10), description="Between two lists of an instance; three times as long while it streams changes. Default: 10s."
    )
    beat: Duration = Field(default=timedelta(seconds=15), description="How often `healthy while Backout watched` is written down. Default: 15s.")


class ReadinessSettings(_Model):
    """The standing verdict of every target, kept before any alert."""

    max_age: Duration = Field(
        default=timedelta(hours=1),
        ge=timedelta(minutes=1),
        description="How long a standing verdict may be believed; renewed after ¾ of it. Default: 1h.",
    )
    per_second: float = Field(
        default=10.0, gt=0, le=1000, description="Requests a second to each outside system, at most, that keeping it may cause. Default: 10."
    )
    messages: int = Field(
        default=10, ge=0, le=1000, description="Messages an hour, at most, of targets that could go back and no longer can; 0 sends none. Default: 10."
    )


class RecoveredSettings(_Model):
    """The declared SLI: when a target counts as recovered."""

    promql: str = Field(default="", description="The SLI. Default: the firing alert's own expression, if it is a plain comparison.")
    below: float | None = Field(default=None, description="Good is below this.")
    above: float | None = Field(default=None, description="Good is above this.")
    traffic: str = Field(default="", description="Query for the traffic, which must be at least a fifth of before. Default: traffic is not looked at.")
    bake: Duration = Field(default=timedelta(minutes=3), alias="for", description="How long it must be good. Default: 3m, at least two scrape intervals.")
    scrape_interval: Duration = Field(default=timedelta(seconds=30), description="Prometheus' scrape interval for it. Default: 30s.")
    passes: int = Field(default=3, ge=1, le=100, description="Good looks with fresh samples that are needed at least. Default: 3.")
    give_up_after: Duration = Field(
        default=timedelta(minutes=15), description="Not recovered within this = a person is told; longer where the SLI's range needs it. Default: 15m."
    )

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if bool(self.promql) != ((self.below is None) is not (self.above is None)) or (not self.promql and self.below is not None):
            raise ValueError("expected promql with one bound, either below or above")
        return self


class SplitSettings(_Model):
    """The failing share by version."""

    promql: str = Field(description="Query whose series carry the version as a label.")
    label: str = Field(description="That label.")
    above: float = Field(description="Failing is above this.")


class DeclaresSettings(_Model):
    """What you state about a target; nothing stated is unknown, and unknown is never safe."""

    shared_services: tuple[str, ...] | None = Field(
        default=None, description="Services, databases, queues that others use too; [] = none. Default: not stated."
    )
    cache: str | None = Field(default=None, pattern=r"^(none|versioned|compatible|incompatible)$", description="none, versioned, compatible or incompatible.")
    databases: tuple[str, ...] = Field(
        default=(), description="Databases of evidence.databases whose schema it uses, all of them. Default: none is asked, so a migration is never a pass."
    )
    migrates_at_start: bool | None = Field(
        default=None, description="Whether its pods migrate when they start (an init container, an entry point). Default: not stated."
    )


class WaiverSettings(_Model):
    """Lets one rule's warn or unknown pass, for a reason, until a day."""

    rule: str = Field(description="The rule's name.")
    reason: str = Field(min_length=8, description="Why; shown wherever the waiver counts.")
    expires: Expiry = Field(description="When it ends, e.g. 2027-01-31T00:00:00Z.")
    when: str | None = Field(default=None, description="A CEL condition (docs/policy.md); it counts only while that holds. Default: none, it always counts.")

    @property
    def condition(self) -> Condition | None:
        """What `when` says."""
        return None if self.when is None else Condition(self.when, Sort.LETS_PASS)


class ConditionSettings(_Model):
    """Makes things stricter while a condition holds; never the other way round."""

    when: str = Field(description="A CEL condition (docs/policy.md).")
    reason: str = Field(min_length=8, description="Why; shown wherever it counts.")
    at_most: str | None = Field(
        default=None,
        pattern=r"^(observe|suggest|approve)$",
        description="While it holds, nothing that begins by itself has a higher mode: observe, suggest or approve. People are not held.",
    )
    rule: str | None = Field(default=None, description="While it holds, this rule's answer counts as `answer` where it would be better.")
    answer: str | None = Field(default=None, pattern=r"^(warn|unknown|block)$", description="warn, unknown or block.")

    @model_validator(mode="after")
    def _one_effect(self) -> Self:
        if (self.rule is None) != (self.answer is None) or (self.rule is None) == (self.at_most is None):
            raise ValueError("expected either at_most, or rule and answer together")
        return self

    @property
    def condition(self) -> Condition:
        """What `when` says."""
        return Condition(self.when, about_rule=self.rule is not None)

    def tightening(self) -> Tightening:
        """As the domain knows it."""
        return Tightening(
            when=self.condition,
            reason=self.reason,
            at_most=None if self.at_most is None else Mode.of(self.at_most),
            rule=self.rule or "",
            answer=None if self.answer is None else Answer[self.answer.upper()],
        )


class TargetSettings(_Model):
    """What may happen to the targets that match; the first match counts."""

    match: str = Field(description="Pattern of target ids, e.g. prod:shop-*.")
    mode: str = Field(default="suggest", pattern=r"^(observe|suggest|approve|auto)$", description="observe, suggest, approve or auto. Default: suggest.")
    alerts: tuple[str, ...] = Field(default=(), description="Only these alerts may act without a person (mode auto). Default: none.")
    namespaces: tuple[str, ...] = Field(default=(), description="Namespaces whose alerts may speak for the target. Default: the target's own.")
    lets_pass: tuple[str, ...] = Field(default=(), description="Rules whose warning does not stop auto. Default: none.")
    waivers: tuple[WaiverSettings, ...] = Field(default=(), description="Waivers. Default: none.")
    conditions: tuple[ConditionSettings, ...] = Field(default=(), max_length=50, description="What makes it stricter, and when. Default: none.")
    recovered_when: RecoveredSettings = Field(default_factory=RecoveredSettings, description="When it counts as recovered.")
    version_split: SplitSettings | None = Field(default=None, description="Shows that errors are only on the new version's pods.")
    declares: DeclaresSettings = Field(default_factory=DeclaresSettings, description="What you state about the target.")
    immutable_tags: bool = Field(default=False, description="You state that image tags of its repositories are never moved. Default: false.")
    deploy_window: Duration = Field(default=timedelta(hours=2), description="How long before the onset a deploy may lie to be suspect. Default: 2h.")
    late_alert: Duration = Field(default=timedelta(minutes=10), description="Older alerts never act without a person. Default: 10m.")
    minimum_healthy: Duration = Field(default=timedelta(minutes=5), description="How long the goal must have been seen healthy. Default: 5m.")
    act_within: Duration = Field(default=timedelta(seconds=60), description="How old a verdict may be when it is acted on (auto). Default: 60s.")
    approve_within: Duration = Field(default=timedelta(minutes=30), description="How long an offer waits for a person. Default: 30m.")
    rollbacks: int = Field(default=1, ge=1, le=10, description="Automatic rollbacks in the window before it disarms. Default: 1.")
    rollback_window: Duration = Field(default=timedelta(hours=6), description="That window. Default: 6h.")
    hold_review: Duration = Field(default=timedelta(days=7), description="When a person should look at a hold. Default: 7d.")
    promote_full: bool = Field(default=False, description="A Rollout that goes back skips its steps, pauses and analyses. Default: false.")

    def policy(self) -> TargetPolicy:
        """As the domain knows it; its version is a digest of what stands here."""
        when = self.recovered_when
        text = self.model_dump_json()
        return TargetPolicy(
            match=self.match,
            version="sha256:" + hashlib.sha256(text.encode()).hexdigest()[:16],
            mode=Mode.of(self.mode),
            alerts=self.alerts,
            lets_pass=self.lets_pass,
            waivers=tuple(Waiver(rule=w.rule, reason=w.reason, expires=w.expires, when=w.condition) for w in self.waivers),
            conditions=tuple(one.tightening() for one in self.conditions),
            recovered_when=RecoveredWhen(
                promql=when.promql,
                below=when.below,
                above=when.above,
                traffic=when.traffic,
                bake=when.bake,
                scrape_interval=when.scrape_interval,
                passes=when.passes,
                give_up_after=when.give_up_after,
            ),
            version_split=None
            if self.version_split is None
            else VersionSplit(promql=self.version_split.promql, label=self.version_split.label, above=self.version_split.above),
            declares=Declarations(
                shared_services=self.declares.shared_services,
                cache=self.declares.cache,
                databases=self.declares.databases,
                migrates_at_start=self.declares.migrates_at_start,
                says=f"settings, targets: {self.match}",
            ),
            immutable_tags=self.immutable_tags,
            namespaces=self.namespaces,
            deploy_window=self.deploy_window,
            late_alert=self.late_alert,
            minimum_healthy=self.minimum_healthy,
            act_within=self.act_within,
            approve_within=self.approve_within,
            rollbacks=self.rollbacks,
            rollback_window=self.rollback_window,
            hold_review=self.hold_review,
            promote_full=self.promote_full,
        )


class Settings(BaseSettings):
    """Everything. `delivery`, `notify` and `evidence` hold the integrations' own models after loading."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix="BACKOUT_", env_nested_delimiter="__", hide_input_in_errors=True)

    listen: str = Field(default="127.0.0.1:8080", pattern=r"^[^\s:]+:\d{1,5}$", description="host:port of the API. Default: 127.0.0.1:8080.")
    store: str = Field(description="sqlite:////absolute/path.db, or postgresql://… for more than one replica. No default.")
    takeover_after: Duration = Field(
        default=timedelta(seconds=15),
        ge=timedelta(seconds=3),
        le=timedelta(minutes=5),
        description="PostgreSQL: a process that was not heard of for so long is declared dead, and the others go on with its work. Default: 15s.",
    )
    stop_file: Path | None = Field(default=None, description="A file whose presence stops everything, also while the store is down. Default: none.")
    public_url: str = Field(default="", description="Address under which people reach this service, for links. Default: no links.")
    auth: AuthSettings = Field(description="Who may call the API.")
    alerts: AlertsSettings = Field(default_factory=AlertsSettings, description="Where alerts come from.")
    notify: tuple[Any, ...] = Field(default=(), description="Who is told; without anybody nothing leaves mode observe.")
    delivery: tuple[Any, ...] = Field(default=(), description="Delivery systems, each with a kind and a name.")
    evidence: dict[str, Any] = Field(default_factory=dict, description="Where facts come from: prometheus, registry, git, kubernetes.")
    audit: AuditSettings = Field(default_factory=AuditSettings, description="Where the traces go.")
    watch: WatchSettings = Field(default_factory=WatchSettings, description="How closely targets are watched.")
    readiness: ReadinessSettings = Field(default_factory=ReadinessSettings, description="The standing verdict of every target, kept before any alert.")
    targets: tuple[TargetSettings, ...] = Field(default=(), description="What may happen to which targets; nothing matches: mode suggest.")

    @field_validator("store")
    @classmethod
    def _no_secret(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            secret = parts.password or "password" in parse_qs(parts.query)
        except ValueError:  # no address at all: the store says so
            return value
        if secret:
            raise ValueError("an address without the password; put that into a file in libpq's format and name it with ?passfile=/absolute/file")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """A variable wins over the file; nothing else is looked at."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings

    @property
    def policies(self) -> Policies:
        """The targets' policies in the file's order."""
        return Policies(tuple(one.policy() for one in self.targets))

    @property
    def mapping(self) -> tuple[AlertMapping, ...]:
        """The operator's rules from labels to targets."""
        return tuple(AlertMapping(labels=m.labels, target=m.target) for m in self.alerts.mapping)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.listen.rpartition(":")
        return host, int(port)


@dataclass(frozen=True, slots=True)
class Kinds:
    """The settings models of the integrations, by section and kind; `rules` are the names that waivers and `lets_pass` may name."""

    delivery: Mapping[str, type[BaseModel]]
    notify: Mapping[str, type[BaseModel]]
    evidence: Mapping[str, type[BaseModel]]
    rules: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """One delivery system or notifier as the settings name it, with the integration's own settings."""

    kind: str
    name: str
    settings: BaseModel


Path_ = tuple[str | int, ...]


def load(file: Path, kinds: Kinds) -> Settings:
    """Read the file. Raises SettingsError with one line a fault: `file:line: setting: what was expected`."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise SettingsError(f"{file}: cannot be read ({why}); name a settings file with --config") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise SettingsError(f"{file}:{mark.line + 1 if mark else 1}: this is no YAML: {getattr(error, 'problem', error)}") from error
    if not isinstance(raw, dict):
        raise SettingsError(f"{file}:1: expected settings such as `store: sqlite:////var/lib/backout/backout.db`")
    lines: dict[Path_, int] = {}
    faults: list[str] = []
    _lines(node, (), lines, file, faults)
    raw = _absolute(raw, file.resolve().parent)
    settings = _validate(Settings, raw, (), file, lines, faults)
    if isinstance(settings, Settings):  # with what variables say of them
        raw |= {"delivery": list(settings.delivery), "notify": list(settings.notify), "evidence": settings.evidence}
    delivery = _kinds("delivery", raw.get("delivery"), kinds.delivery, file, lines, faults)
    notify = _kinds("notify", raw.get("notify"), kinds.notify, file, lines, faults)
    evidence = _evidence(raw.get("evidence"), kinds.evidence, file, lines, faults)
    if isinstance(settings, Settings):
        _rules(settings, kinds.rules, file, lines, faults)
        _once("delivery", delivery, file, lines, faults)
        _once("notify", notify, file, lines, faults)
    if faults or not isinstance(settings, Settings):
        raise SettingsError("\n".join(faults))
    return settings.model_copy(update={"delivery": tuple(delivery), "notify": tuple(notify), "evidence": evidence})


def _lines(node: Any, path: Path_, found: dict[Path_, int], file: Path, faults: list[str]) -> None:
    """Where each setting stands. One that stands twice is a fault: YAML would silently take the last."""
    if node is None:
        return
    found.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here, line = (*path, key.value), key.start_mark.line + 1
            if here in found and key.value != "<<":
                faults.append(f"{file.name}:{line}: {_shown(here)}: stands here and in line {found[here]}; once is expected")
                continue
            found[here] = line
            _lines(value, here, found, file, faults)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            _lines(value, (*path, number), found, file, faults)


def _absolute(value: Any, base: Path, name: str = "") -> Any:
    """Relative files and folders are meant beside the settings file, wherever the service is started."""
    if isinstance(value, dict):
        return {k: _absolute(v, base, str(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [_absolute(v, base, name) for v in value]
    if isinstance(value, str) and (name.endswith(("_file", "_dir"))) and not Path(value).is_absolute():
        return str(base / value)
    if isinstance(value, str) and name == "store" and re.match(r"sqlite:///[^/]", value):
        return f"sqlite:///{base / value.removeprefix('sqlite:///')}"
    return value


def _validate(model: type[BaseModel], raw: Any, path: Path_, file: Path, lines: Mapping[Path_, int], faults: list[str]) -> BaseModel | None:
    try:
        return model(**raw) if issubclass(model, BaseSettings) else model.model_validate(raw)
    except VariableError as error:  # a variable that should hold JSON and does not; the text must not show it
        faults.append(f"environment: {str(error).partition(' from source')[0]}: expected JSON")
        return None
    except ValidationError as error:
        faults += [_fault(model, one, path, file, lines) for one in error.errors(include_url=False, include_input=False)]
        return None


def _fault(model: type[BaseModel], error: Any, path: Path_, file: Path, lines: Mapping[Path_, int]) -> str:
    where: Path_ = (*path, *error["loc"])
    variable = _variable(model, where)
    line = next((lines[where[:n]] for n in range(len(where), -1, -1) if where[:n] in lines), 1)
    place = f"environment: {variable}" if variable else f"{file.name}:{line}"
    match error["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(str(where[-1]), _fields(model, error["loc"][:-1]), n=1, cutoff=0.6)
            says = "unknown setting." + (f" Did you mean {near[0]}?" if near else "")
        case "missing":
            says = "missing. " + _description(model, error["loc"])
        case _:
            says = str(error["msg"]).removeprefix("Value error, ")
            described = _description(model, error["loc"])
            says = f"{says[0].lower()}{says[1:]}." + (f" {described}" if described else "")
    return f"{place}: {_shown(where)}: {says}".rstrip()


def _shown(where: Path_) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).removeprefix(".")


def _variable(model: type[BaseModel], where: Path_) -> str:
    """The environment variable that the value came from, or "": a variable wins over the file."""
    if not issubclass(model, BaseSettings):
        return ""
    given = {name.upper(): name for name in os.environ}
    words = [str(part).upper() for part in where]
    return next((given[name] for n in range(len(words), 0, -1) if (name := "BACKOUT_" + "__".join(words[:n])) in given), "")


def _model_at(model: type[BaseModel], loc: Sequence[str | int]) -> type[BaseModel] | None:
    for part in loc:
        if isinstance(part, int):
            continue
        fields = {(f.alias or name): f for name, f in model.model_fields.items()}
        inner = _inner(fields[part].annotation) if part in fields else None
        if inner is None:
            return None
        model = inner
    return model


def _inner(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_inner, getattr(annotation, "__args__", ())) if found), None)


def _fields(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    at = _model_at(model, loc)
    return [f.alias or name for name, f in at.model_fields.items()] if at else []


def _description(model: type[BaseModel], loc: Sequence[str | int]) -> str:
    names = [part for part in loc if isinstance(part, str)]
    at = _model_at(model, names[:-1]) if names else None
    if at is None:
        return ""
    field = next((f for name, f in at.model_fields.items() if names[-1] in {name, f.alias}), None)
    return (field.description or "") if field else ""


def _kinds(section: str, raw: Any, models: Mapping[str, type[BaseModel]], file: Path, lines: Mapping[Path_, int], faults: list[str]) -> list[Configured]:
    found: list[Configured] = []
    for number, one in enumerate(raw if isinstance(raw, list) else ()):
        path: Path_ = (section, number)
        kind = str(one.get("kind")) if isinstance(one, dict) else ""
        if kind not in models:
            faults.append(f"{file.name}:{lines.get(path, 1)}: {section}[{number}].kind: expected one of {', '.join(sorted(models))}")
            continue
        name = str(one.get("name", ""))
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", name):
            faults.append(f"{file.name}:{lines.get((*path, 'name'), lines.get(path, 1))}: {section}[{number}].name: expected a name of a-z, 0-9 and -")
            continue
        model = models[kind]
        given = {k: v for k, v in one.items() if k in model.model_fields or k not in {"kind", "name"}}
        valid = _validate(model, given, path, file, lines, faults)
        if valid is not None:
            found.append(Configured(kind=kind, name=name, settings=valid))
    return found


def _evidence(raw: Any, models: Mapping[str, type[BaseModel]], file: Path, lines: Mapping[Path_, int], faults: list[str]) -> dict[str, BaseModel]:
    found: dict[str, BaseModel] = {}
    for name, one in (raw if isinstance(raw, dict) else {}).items():
        if name not in models:
            near = difflib.get_close_matches(str(name), list(models), n=1)
            meant = f" Did you mean {near[0]}?" if near else ""
            faults.append(f"{file.name}:{lines.get(('evidence', name), 1)}: evidence.{name}: unknown setting.{meant}")
            continue
        valid = _validate(models[name], one or {}, ("evidence", name), file, lines, faults)
        if valid is not None:
            found[name] = valid
    return found


def _rules(settings: Settings, rules: Sequence[str], file: Path, lines: Mapping[Path_, int], faults: list[str]) -> None:
    for number, one in enumerate(settings.targets):
        target: Path_ = ("targets", number)
        named: list[tuple[Path_, str]] = [((*target, "lets_pass", i), rule) for i, rule in enumerate(one.lets_pass)]
        named += [((*target, "waivers", i, "rule"), waiver.rule) for i, waiver in enumerate(one.waivers)]
        named += [((*target, "conditions", i, "rule"), condition.rule) for i, condition in enumerate(one.conditions) if condition.rule is not None]
        for path, rule in named:
            says = ""
            if rules and rule not in rules:
                near = difflib.get_close_matches(rule, rules, n=1)
                meant = f" Did you mean {near[0]}?" if near else f" Expected one of {', '.join(rules)}"
                says = f"there is no rule {rule}.{meant}"
            elif rule == OF_POLICY:
                says = f"{rule} is about the policy itself, which cannot answer it"
            if says:
                faults.append(f"{file.name}:{_line(path, lines)}: targets[{number}].{path[2]}: {says}")
        conditions: list[tuple[Path_, Condition]] = [((*target, "conditions", i, "when"), entry.condition) for i, entry in enumerate(one.conditions)]
        conditions += [((*target, "waivers", i, "when"), waiver.condition) for i, waiver in enumerate(one.waivers) if waiver.condition is not None]
        for path, condition in conditions:
            try:
                condition.check(rules)
            except ConditionError as error:
                faults.append(f"{file.name}:{_line(path, lines)}: {_shown(path)}: the condition {error}")


def _line(path: Path_, lines: Mapping[Path_, int]) -> int:
    """Where a setting stands, or the nearest that holds it."""
    return next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), 1)


def _once(section: str, models: Sequence[Configured], file: Path, lines: Mapping[Path_, int], faults: list[str]) -> None:
    seen: set[str] = set()
    for number, one in enumerate(models):
        name = one.name
        if name in seen:
            faults.append(f"{file.name}:{lines.get((section, number), 1)}: {section}[{number}].name: {name} is used twice")
        seen.add(name)


def explain(kinds: Kinds, path: str) -> str:
    """The settings at a path such as `delivery.argocd` as text, "" = all sections. SettingsError for what is none."""
    parts = [part for part in path.split(".") if part]
    groups: Mapping[str, Mapping[str, type[BaseModel]]] = {"delivery": kinds.delivery, "notify": kinds.notify, "evidence": kinds.evidence}
    if len(parts) == 1 and parts[0] in groups:
        return "\n".join(f"{parts[0]}.{kind}" for kind in sorted(groups[parts[0]]))
    model: type[BaseModel] | None = Settings
    names = _fields(Settings, ())
    if len(parts) >= 2 and parts[0] in groups:  # noqa: PLR2004  section and kind
        model, names = groups[parts[0]].get(parts[1]), list(groups[parts[0]])
        parts = parts[2:] if model else parts[1:]
    if found := _model_at(model, parts) if model else None:
        return "\n".join(_explained(field.alias or name, field) for name, field in found.model_fields.items())
    if above := _model_at(model, parts[:-1]) if model else None:
        names = _fields(above, ())
        if one := next((field for name, field in above.model_fields.items() if parts[-1] in {name, field.alias}), None):
            return _explained(parts[-1], one)
    near = difflib.get_close_matches(parts[-1], names, n=1) if above or not model else []
    raise SettingsError(f"there are no settings {path}." + (f" Did you mean {path.removesuffix(parts[-1])}{near[0]}?" if near else ""))


def _explained(name: str, field: FieldInfo) -> str:
    """A setting's name, whether it must be set, and what it is."""
    says = " ".join((field.description or "").split()) or (f"Always {field.default}." if name == "kind" else "see its section")
    return f"{name}{'  (must be set)' if field.is_required() else ''}\n    {says}"
