"""The words of the product as values: targets, releases, alerts, modes, ways, operations. See docs/architecture.md for each word's meaning.

Values only. What is decided from them lives beside this file, what is read into them in `integrations`.
"""

import fnmatch
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any

Json = Any
"""A value that JSON can hold."""


KNOWN_IDS = 32_768
"""Ids whose objects are kept: ten thousand are read from the store several times a minute, and to find one object in a table is quicker than an equal one."""


@dataclass(frozen=True, slots=True, order=True)
class TargetId:
    """`<instance>:<name>`: one deployable unit in one delivery system, e.g. `prod:checkout` or `prod:team-a/checkout`."""

    instance: str
    name: str

    def __str__(self) -> str:
        return f"{self.instance}:{self.name}"

    @staticmethod
    @functools.lru_cache(maxsize=KNOWN_IDS)
    def parse(text: str) -> "TargetId":
        """Read `<instance>:<name>`; raises ValueError that says what was expected. The same text gives the same object: see `KNOWN_IDS`."""
        instance, colon, name = text.partition(":")
        if not (instance and colon and name):
            raise ValueError(f"{text!r} is no target: expected <instance>:<name>, for example prod:checkout")
        return TargetId(instance, name)

    def matches(self, pattern: str) -> bool:
        """Whether the whole id matches a shell-style pattern such as `prod:shop-*`; `*` also matches `/`."""
        return fnmatch.fnmatchcase(str(self), pattern)


class Mode(IntEnum):
    """What may happen without a person, from least to most."""

    OBSERVE = 0
    SUGGEST = 1
    APPROVE = 2
    AUTO = 3

    @property
    def word(self) -> str:
        """The word used in settings, API and logs."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> "Mode":
        """The mode of that word; raises ValueError that lists the words."""
        try:
            return cls[word.upper()]
        except KeyError:
            raise ValueError(f"{word!r} is no mode: expected {', '.join(m.word for m in cls)}") from None


class Way(StrEnum):
    """Each possible way back or forward. A verdict is always for a release and a way."""

    ROLLBACK = "rollback"
    PIN = "pin"
    GIT_REVERT = "git_revert"
    ABORT = "abort"
    UNDO = "undo"
    ENABLE_PREVIOUS = "enable_previous"
    OWN_PIPELINE = "own_pipeline"
    FLAG_OFF = "flag_off"
    CONFIG_CHANGE = "config_change"
    SELECTIVE_ROLLBACK = "selective_rollback"
    FORWARD = "forward"
    HOTFIX = "hotfix"
    NONE = "none"


class OperationKind(StrEnum):
    """What an operation attempts; the engine is the same for all."""

    ROLLBACK = "rollback"
    FORWARD = "forward"


class Outcome(StrEnum):
    """How an operation ended."""

    RECOVERED = "recovered"
    NOT_RECOVERED = "not_recovered"
    INCONCLUSIVE = "inconclusive"
    REFUSED = "refused"
    OBSERVED = "observed"
    SUGGESTED = "suggested"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who did something: `kind` is alert, user, service or automation; `name` as the system knows them."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One source of a release's configuration: repository, path or chart, resolved revision, a digest of its parameters ("" when none)."""

    repository: str
    path: str
    revision: str
    parameters: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One container image of a release. `digest` is None when nobody knows what really ran; `proof` says how it is known.

    `proof` is `reference` (the manifest names the digest), `pods` (image ids recorded while it was live), `immutable` (the operator declares the
    repository's tags immutable), or "" with no digest. A tag looked up today is no proof for yesterday.
    """

    reference: str
    digest: str | None = None
    proof: str = ""

    @property
    def repository(self) -> str:
        """The reference without tag and digest, e.g. `registry.example/shop/web`."""
        name = self.reference.partition("@")[0]
        head, slash, tail = name.rpartition("/")
        return f"{head}{slash}{tail.partition(':')[0]}"

    @property
    def of_machines(self) -> bool:
        """Whether it is an image of machines: named by an id that never means another one, and in no registry."""
        return self.digest is not None and self.digest == self.reference

    @property
    def exact(self) -> str | None:
        """`repository@sha256:…`, or None while the digest is not known."""
        return f"{self.repository}@{self.digest}" if self.digest else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version of a target that was live.

    `key` is its identity. `handle` is the delivery system's own name for it *now* (Argo CD: the history id) and identifies nothing by
    itself, for ids restart and are trimmed; "" for a release that is in no history: its deploy failed, still runs, or was trimmed. `version` is for
    people. Times are UTC; `deployed_at` is None while a deploy is under way. `built_from` is what its own images come from, where somebody looked: it
    tells what the release has in common with one of another delivery system, and is no part of its identity.
    """

    target: TargetId
    key: str
    handle: str
    sources: tuple[Source, ...]
    version: str = ""
    started_at: datetime
    deployed_at: datetime | None = None
    by: Actor = field(default_factory=lambda: Actor(kind="automation", name=""))
    built_from: tuple[Source, ...] = field(default=(), compare=False)

    @property
    def revision(self) -> str:
        """The configuration revision (of the first source)."""
        return self.sources[0].revision if self.sources else ""

    @property
    def name(self) -> str:
        """What a person calls it: the delivery system's name, else its version, else its revision."""
        return self.handle or self.version or self.revision[:7] or "without a name"

    @property
    def title(self) -> str:
        """What a person reads: `42 (v2.5.0 · 9c1e2ab)`; `v2.5.0 · 9c1e2ab` for one that is in no history."""
        inside = " · ".join(part for part in (self.version, self.revision[:7]) if part)
        return f"{self.handle} ({inside})" if inside and self.handle else inside or self.name


def release_key(sources: Sequence[Source]) -> str:
    """Identity of a release: a hash of repository, path, resolved revision and parameters of all its sources."""
    body = json.dumps([[s.repository, s.path, s.revision, s.parameters] for s in sources], separators=(",", ":"))
    return hashlib.sha256(body.encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRecord:
    """What Backout itself saw of a release while it lived. `healthy_for` counts only time between two looks that both saw it healthy.

    `images` are the images with the digests that ran; None when Backout never saw its pods. `live_until` is None while it is live.
    `vouched`: the last look was sure that what it saw was this release; time next to one that was not does not count.
    `sources` are what it was made of, for the day on which the delivery system remembers it no more. `objects` are its objects, each with a digest of
    its manifest as it was rendered while it lived; None when nobody could read them. `moved` says what changed under the same release (a moved tag,
    a mutable chart version), "" when nothing did: what moved once is never exact. `fingerprint` is a digest of its content, "" while that is not known.
    """

    target: TargetId
    key: str
    handle: str
    version: str
    images: tuple[Image, ...] | None
    watched_from: datetime
    watched_until: datetime
    healthy_for: timedelta
    last_health: str
    live_until: datetime | None = None
    made_by_backout: bool = False
    vouched: bool = True
    sources: tuple[Source, ...] = ()
    objects: tuple[tuple["ObjectRef", str], ...] | None = None
    moved: str = ""
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRef:
    """One Kubernetes object; `group` is "" for core kinds."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        kind = f"{self.group}/{self.kind}" if self.group else self.kind
        return f"{kind} {self.namespace}/{self.name}" if self.namespace else f"{kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertNotice:
    """One alert as a sender told it. `fingerprint` is the sender's identity of the label set; `ends_at` is None while firing."""

    fingerprint: str
    firing: bool
    starts_at: datetime
    ends_at: datetime | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    generator_url: str = ""

    @property
    def name(self) -> str:
        """The alert's name, or its fingerprint when it has none."""
        return self.labels.get("alertname", self.fingerprint)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawDelivery:
    """One POST of a sender, kept as it came. `link` is the sender's W3C traceparent, if it sent one."""

    source: str
    sender: str
    received_at: datetime
    body: bytes
    group_key: str = ""
    truncated: int = 0
    link: str = ""
    notices: tuple[AlertNotice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One firing of one alert: identity is (source, fingerprint, starts_at). `sender` is the credential it came with (promise 11).

    `covered_by` is the operation that began with it, or that it joined while that was alive; an operation that has ended answers only what it began with.
    """

    id: str
    source: str
    sender: str
    fingerprint: str
    starts_at: datetime
    ends_at: datetime | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    generator_url: str
    received_at: datetime
    last_seen_at: datetime
    times_seen: int
    link: str = ""
    disposition: str = ""
    disposition_says: str = ""
    target: TargetId | None = None
    rung: str = ""
    incident_id: str | None = None
    covered_by: str | None = None

    @property
    def firing(self) -> bool:
        """Whether no end was told."""
        return self.ends_at is None

    @property
    def name(self) -> str:
        """The alert's name, or its fingerprint when it has none."""
        return self.labels.get("alertname", self.fingerprint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """Another incident of the same cause."""

    id: str
    target: TargetId
    is_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """The open episodes of one target plus the release under suspicion, None until an operation found one.

    `began_at` is the earliest start told by an episode, the rule's `for` not yet taken off. Incidents of one cause have one `group_id`, which is the id
    of the oldest of them; `same_cause` are the others of the group, oldest first.
    """

    id: str
    target: TargetId
    opened_at: datetime
    began_at: datetime
    closed_at: datetime | None = None
    outcome: str = ""
    group_id: str = ""
    episodes: tuple[Episode, ...] = ()
    suspect: Release | None = None
    same_cause: tuple[Related, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What was last seen of a held target, and what the hold waits for.

    `standing` is a word of `service.domain.holding.Standing` about what is desired, `says` its sentence; `desired` the desired revision, `live` and
    `candidate` release keys. `verified` is the key of a release that is live and was measured as good. `operation_id` is the last operation that was
    begun for `candidate`, `tries` how often, `again_at` when the next may begin. `troubles` are things that a person was told of and that still are so.
    """

    at: datetime
    standing: str = ""
    says: str = ""
    desired: str = ""
    live: str = ""
    candidate: str = ""
    title: str = ""
    verified: str = ""
    operation_id: str = ""
    tries: int = 0
    again_at: datetime | None = None
    auto_sync: bool | None = None
    marker: str = ""
    troubles: Mapping[str, str] = field(default_factory=dict)


AUTO_SYNC = "auto-sync"
"""What is stopped under a hold, where the delivery system says nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Stay rolled back: what keeps the held releases away from a target, why, until which event, and when a person should look at it.

    `reviews` counts the reviews that came and went; `watch` is what was last seen of it, None before the first look; `watch_rev` fences its writers.
    """

    id: str
    target: TargetId
    operation_id: str
    opened_at: datetime
    reason: str
    review_at: datetime
    owner: str
    held: tuple[str, ...]
    remembered: Mapping[str, Json]
    closed_at: datetime | None = None
    ended_by: str = ""
    ended_because: str = ""
    reviews: int = 0
    watch: Watch | None = None
    watch_rev: int = 0

    @property
    def stopped_auto_sync(self) -> bool:
        """Whether auto-sync was stopped for it, and is to be given back. Under a pin it stays on."""
        return bool(self.remembered.get("stopped")) and not self.remembered.get("pinned")

    @property
    def what(self) -> str:
        """What was stopped for it, in the words of its delivery system, for sentences: "… stays off"."""
        return str(self.remembered.get("what") or AUTO_SYNC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One attempt to answer an incident or a person's request; the durable row. `data` is the story's own record and carries a schema number.

    `seq` fences segments, `rev` fences writers; `mode` is what the policy allowed when it began. At most one is alive per target.
    """

    id: str
    kind: OperationKind
    target: TargetId
    incident_id: str | None
    requested_by: Actor
    automatic: bool
    mode: Mode
    phase: str
    seq: int
    rev: int
    data: Mapping[str, Json]
    trace_id: str
    created_at: datetime
    updated_at: datetime
    suspect_key: str | None = None
    goal_key: str | None = None
    cancel_requested: str = ""
    first_effect_at: datetime | None = None
    act_before: datetime | None = None
    done_at: datetime | None = None
    outcome: Outcome | None = None
    says: str = ""
