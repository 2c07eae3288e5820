"""The tables, as SQLAlchemy Core sees them; the same on SQLite and PostgreSQL. Uniqueness here is what single flight and de-duplication rest on.

`migrations/` holds how they came to be; a test compares both.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

metadata = sa.MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s"})


class Utc(sa.TypeDecorator[datetime]):
    """An aware UTC time as fixed-width text, so that it sorts and compares alike on every database, with microseconds."""

    impl = sa.String(27)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """TEXT on PostgreSQL, as all text there."""
        return dialect.type_descriptor(sa.Text() if dialect.name == "postgresql" else self.impl_instance)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Aware time to text; a naive one is a defect."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"  # strftime does not pad the year everywhere

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """Text to aware time."""
        del dialect
        return None if value is None else datetime.fromisoformat(value)


class Words(sa.TypeDecorator[str]):
    """Any text, whatever a sender wrote. Its length is for people who read the schema: SQLite keeps longer ones, so PostgreSQL gets no limit either.

    PostgreSQL cannot hold a NUL, and neither database half a surrogate pair: each becomes U+FFFD, so that no alert is lost for it.
    """

    impl = sa.String
    cache_ok = True

    def __init__(self, length: int | None) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """TEXT on PostgreSQL, and where no length is named."""
        return dialect.type_descriptor(sa.Text() if dialect.name == "postgresql" or not self.length else sa.String(self.length))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Text that every database can hold."""
        del dialect
        if value is None or value.isascii():
            return value if value is None else value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _id() -> sa.Column[str]:
    return sa.Column("id", sa.String(64), primary_key=True)


blob = sa.Table("blob", metadata, sa.Column("digest", sa.String(80), primary_key=True), sa.Column("body", sa.LargeBinary, nullable=False))

delivery = sa.Table(
    "delivery",
    metadata,
    _id(),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("sender", sa.String(200), nullable=False),
    sa.Column("received_at", Utc, nullable=False),
    sa.Column("body_digest", sa.String(80), nullable=False),
    sa.Column("group_key", sa.Text, nullable=False),
    sa.Column("alerts", sa.Integer, nullable=False),
    sa.Column("truncated", sa.Integer, nullable=False),
)

episode = sa.Table(
    "episode",
    metadata,
    _id(),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("sender", sa.String(200), nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("starts_at", Utc, nullable=False),
    sa.Column("ends_at", Utc),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("annotations", sa.JSON, nullable=False),
    sa.Column("generator_url", sa.Text, nullable=False),
    sa.Column("received_at", Utc, nullable=False),
    sa.Column("last_seen_at", Utc, nullable=False),
    sa.Column("times_seen", sa.Integer, nullable=False),
    sa.Column("link", sa.String(64), nullable=False),
    sa.Column("delivery_id", sa.String(64), nullable=False),
    sa.Column("disposition", sa.String(32), nullable=False),
    sa.Column("disposition_says", sa.Text, nullable=False),
    sa.Column("target", sa.String(400)),
    sa.Column("rung", sa.String(32), nullable=False),
    sa.Column("incident_id", sa.String(64), index=True),
    sa.Column("covered_by", sa.String(64)),
    sa.UniqueConstraint("source", "fingerprint", "starts_at"),
)
sa.Index("ix_episode_starts_at_id", episode.c.starts_at, episode.c.id)
sa.Index("ix_episode_target", episode.c.target, episode.c.starts_at)
sa.Index("ix_episode_undecided", episode.c.delivery_id, sqlite_where=episode.c.disposition == "", postgresql_where=episode.c.disposition == "")

incident = sa.Table(
    "incident",
    metadata,
    _id(),
    sa.Column("target", sa.String(400), nullable=False),
    sa.Column("opened_at", Utc, nullable=False, index=True),
    sa.Column("began_at", Utc, nullable=False),
    sa.Column("closed_at", Utc),
    sa.Column("outcome", sa.String(32), nullable=False),
    sa.Column("group_id", sa.String(64), nullable=False, index=True),
    sa.Column("suspect", sa.JSON(none_as_null=True), nullable=True),
)
sa.Index("incident_open_target", incident.c.target, unique=True, sqlite_where=incident.c.closed_at.is_(None), postgresql_where=incident.c.closed_at.is_(None))

operation = sa.Table(
    "operation",
    metadata,
    _id(),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("target", sa.String(400), nullable=False),
    sa.Column("incident_id", sa.String(64), index=True),
    sa.Column("requested_by_kind", sa.String(32), nullable=False),
    sa.Column("requested_by_name", sa.String(200), nullable=False),
    sa.Column("automatic", sa.Boolean, nullable=False),
    sa.Column("mode", sa.String(16), nullable=False),
    sa.Column("phase", sa.String(48), nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("rev", sa.Integer, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Column("trace_id", sa.String(32), nullable=False),
    sa.Column("created_at", Utc, nullable=False, index=True),
    sa.Column("updated_at", Utc, nullable=False),
    sa.Column("suspect_key", sa.String(64)),
    sa.Column("goal_key", sa.String(64)),
    sa.Column("cancel_requested", sa.Text, nullable=False),
    sa.Column("first_effect_at", Utc),
    sa.Column("act_before", Utc),
    sa.Column("done_at", Utc),
    sa.Column("outcome", sa.String(32)),
    sa.Column("says", sa.Text, nullable=False),
    sa.Column("wake_at", Utc),
)
sa.Index("operation_alive_target", operation.c.target, unique=True, sqlite_where=operation.c.done_at.is_(None), postgresql_where=operation.c.done_at.is_(None))
_AUTOMATIC_EFFECT = sa.and_(operation.c.automatic == sa.true(), operation.c.first_effect_at.is_not(None))
_AUTOMATIC_ROLLBACK = sa.and_(_AUTOMATIC_EFFECT, operation.c.kind == "rollback")
_AUTOMATIC_FORWARD = sa.and_(_AUTOMATIC_EFFECT, operation.c.kind == "forward")
sa.Index(
    "operation_automatic_effect",
    operation.c.target,
    operation.c.suspect_key,
    unique=True,
    sqlite_where=_AUTOMATIC_ROLLBACK,
    postgresql_where=_AUTOMATIC_ROLLBACK,
)
sa.Index(
    "operation_automatic_forward",
    operation.c.target,
    operation.c.goal_key,
    unique=True,
    sqlite_where=_AUTOMATIC_FORWARD,
    postgresql_where=_AUTOMATIC_FORWARD,
)

event = sa.Table(
    "event",
    metadata,
    sa.Column("subject", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String(48), nullable=False),
    sa.Column("says", sa.Text, nullable=False),
    sa.Column("at", Utc, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("digest", sa.String(80), nullable=False),
)

span = sa.Table(
    "span",
    metadata,
    sa.Column("operation_id", sa.String(64), primary_key=True),
    sa.Column("span_id", sa.String(16), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("channel", sa.String(120), nullable=False),
    sa.Column("key", sa.String(200), nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("due_at", Utc, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("delivered_at", Utc),
    sa.Column("parked", sa.Text, nullable=False),
    sa.UniqueConstraint("channel", "key"),
)
sa.Index("ix_outbox_waiting", outbox.c.channel, outbox.c.due_at, sqlite_where=outbox.c.delivered_at.is_(None), postgresql_where=outbox.c.delivered_at.is_(None))

approval = sa.Table(
    "approval",
    metadata,
    sa.Column("operation_id", sa.String(64), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("actor_kind", sa.String(32), nullable=False),
    sa.Column("actor_name", sa.String(200), nullable=False),
    sa.Column("approve", sa.Boolean, nullable=False),
    sa.Column("at", Utc, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
)

target = sa.Table(
    "target",
    metadata,
    sa.Column("id", sa.String(400), primary_key=True),
    sa.Column("instance", sa.String(100), nullable=False, index=True),
    sa.Column("listed", sa.JSON, nullable=False),
    sa.Column("stamp", sa.String(80), nullable=False),
    sa.Column("seen_at", Utc, nullable=False),
    sa.Column("looked_stamp", sa.String(80), nullable=False),
)

target_object = sa.Table(
    "target_object",
    metadata,
    sa.Column("target", sa.String(400), primary_key=True),
    sa.Column("kind", sa.String(200), primary_key=True),
    sa.Column("namespace", sa.String(253), primary_key=True),
    sa.Column("name", sa.String(253), primary_key=True),
)
sa.Index("ix_target_object_name", target_object.c.kind, target_object.c.namespace, target_object.c.name)

spec_seen = sa.Table(
    "spec_seen",
    metadata,
    sa.Column("target", sa.String(400), primary_key=True),
    sa.Column("since", Utc, primary_key=True),
    sa.Column("digest", sa.String(80), nullable=False),
    sa.Column("until", Utc, nullable=False),
)

release = sa.Table(
    "release",
    metadata,
    sa.Column("target", sa.String(400), primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("handle", sa.String(100), nullable=False),
    sa.Column("version", sa.String(200), nullable=False),
    sa.Column("images", sa.JSON, nullable=True),
    sa.Column("watched_from", Utc, nullable=False),
    sa.Column("watched_until", Utc, nullable=False),
    sa.Column("healthy_seconds", sa.Float, nullable=False),
    sa.Column("last_health", sa.String(32), nullable=False),
    sa.Column("live_until", Utc),
    sa.Column("made_by_backout", sa.Boolean, nullable=False),
    sa.Column("vouched", sa.Boolean, nullable=False),
    sa.Column("sources", sa.JSON, nullable=False, server_default="[]"),
    sa.Column("objects", sa.JSON, nullable=True),
    sa.Column("moved", sa.Text, nullable=False, server_default=""),
    sa.Column("fingerprint", sa.String(80), nullable=False, server_default=""),
)

release_content = sa.Table(
    "release_content",
    metadata,
    sa.Column("target", sa.String(400), primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("at", Utc, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
"""What a release is made of, as digests, compressed; see `contents.py`."""

effect = sa.Table(
    "effect",
    metadata,
    sa.Column("operation_id", sa.String(64), primary_key=True),
    sa.Column("target", sa.String(400), primary_key=True),
    sa.Column("handle", sa.String(100), primary_key=True),
    sa.Column("at", Utc, nullable=False),
)
"""Releases that Backout itself put live, by the delivery system's handle."""

hold = sa.Table(
    "hold",
    metadata,
    _id(),
    sa.Column("target", sa.String(400), nullable=False),
    sa.Column("operation_id", sa.String(64), nullable=False),
    sa.Column("opened_at", Utc, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("review_at", Utc, nullable=False),
    sa.Column("owner", sa.String(200), nullable=False),
    sa.Column("remembered", sa.JSON, nullable=False),
    sa.Column("closed_at", Utc),
    sa.Column("ended_by", sa.String(200), nullable=False),
    sa.Column("ended_because", sa.Text, nullable=False),
)
sa.Index("hold_open_target", hold.c.target, unique=True, sqlite_where=hold.c.closed_at.is_(None), postgresql_where=hold.c.closed_at.is_(None))

held_release = sa.Table(
    "held_release",
    metadata,
    sa.Column("hold_id", sa.String(64), primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("since", Utc, nullable=False),
)

held_content = sa.Table(
    "held_content",
    metadata,
    sa.Column("hold_id", sa.String(64), primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("operation_id", sa.String(64), nullable=False),
    sa.Column("release", sa.JSON),
    sa.Column("against", sa.JSON),
    sa.Column("bad", sa.JSON),
)
"""Each held release in full, the release it was left for, and what only the held one has (null until both could be compared)."""

hold_watch = sa.Table(
    "hold_watch",
    metadata,
    sa.Column("hold_id", sa.String(64), primary_key=True),
    sa.Column("rev", sa.Integer, nullable=False),
    sa.Column("reviews", sa.Integer, nullable=False),
    sa.Column("watch", sa.JSON),
)
"""What was last seen of a hold; `rev` fences writers in several replicas."""

target_mark = sa.Table(
    "target_mark",
    metadata,
    sa.Column("target", sa.String(400), primary_key=True),
    sa.Column("marker", sa.Text, nullable=False),
    sa.Column("unmark", sa.Text, nullable=False),
    sa.Column("since", Utc, nullable=False),
)
"""Hold markers as they were last seen on targets, with the command that takes each off."""

plan = sa.Table(
    "plan",
    metadata,
    _id(),
    sa.Column("target", sa.String(400), nullable=False, index=True),
    sa.Column("digest", sa.String(80), nullable=False),
    sa.Column("made_at", Utc, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
)

idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("caller", sa.String(255), primary_key=True),
    sa.Column("request_digest", sa.String(80), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("headers", sa.JSON, nullable=False),
    sa.Column("body", sa.JSON, nullable=True),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("executor", sa.String(100), nullable=False, server_default=""),
)

executor = sa.Table(
    "executor",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("started_at", Utc, nullable=False),
    sa.Column("beats", sa.Integer, nullable=False),
    sa.Column("retired", sa.Boolean, nullable=False),
    sa.UniqueConstraint("name"),
)
"""Processes that share the store (PostgreSQL), in the order in which they began."""

stop = sa.Table(
    "stop",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("by", sa.String(200), nullable=False),
    sa.Column("at", Utc, nullable=False),
)

capture = sa.Table(
    "capture",
    metadata,
    sa.Column("operation_id", sa.String(64), primary_key=True),
    sa.Column("moment", sa.String(16), primary_key=True),
    sa.Column("at", Utc, nullable=False),
    sa.Column("says", sa.Text, nullable=False),
    sa.Column("items", sa.JSON, nullable=False),
    sa.Column("missing", sa.JSON, nullable=False),
)
"""What a target looked like around an operation's effect; `items` are kind, name, digest and characters of texts in `blob`."""

readiness = sa.Table(
    "readiness",
    metadata,
    sa.Column("target", sa.String(400), primary_key=True),
    sa.Column("answer", sa.Integer, nullable=False),
    sa.Column("as_of", Utc, nullable=False),
    sa.Column("good_for_s", sa.Integer, nullable=False),
    sa.Column("policy", sa.String(64), nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
)
"""The standing verdict of each target; `body` is all of it, the other columns are what is looked at over all targets."""

readiness_turn = sa.Table(
    "readiness_turn",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("target", sa.String(400), nullable=False),
    sa.Column("at", Utc, nullable=False),
    sa.Column("was", sa.Integer),
    sa.Column("answer", sa.Integer, nullable=False),
    sa.Column("says", sa.Text, nullable=False),
    sa.Column("release", sa.Text, nullable=False),
    sa.Column("rules", sa.JSON, nullable=False),
)
sa.Index("ix_readiness_turn_target_id", readiness_turn.c.target, readiness_turn.c.id)

release_catalog = sa.Table(
    "release_catalog",
    metadata,
    sa.Column("target", sa.String(400), primary_key=True),
    sa.Column("release_key", sa.String(64), primary_key=True),
    sa.Column("database", sa.String(200), primary_key=True),
    sa.Column("at", Utc, nullable=False),
    sa.Column("digest", sa.String(80), nullable=False),
)
"""The schema of a database as it was while a release lived alone; the catalogue itself is a text in `blob`."""

release_statements = sa.Table(
    "release_statements",
    metadata,
    sa.Column("target", sa.String(400), primary_key=True),
    sa.Column("release_key", sa.String(64), primary_key=True),
    sa.Column("database", sa.String(200), primary_key=True),
    sa.Column("at", Utc, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
"""The statements that a release was seen to run in a database. A set that grows: the row is written anew at each reading."""

image_labels = sa.Table(
    "image_labels",
    metadata,
    sa.Column("image", sa.String(700), primary_key=True),
    sa.Column("platform", sa.String(100), primary_key=True),
    sa.Column("at", Utc, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
"""The labels of an image, by `repository@digest`, with their evidence. `platform` is the one that is picked of an image for several."""

for _table in metadata.tables.values():  # here and once, so that no column can be forgotten
    for _column in _table.columns:
        if isinstance(_column.type, sa.String) and type(_column.type) in {sa.String, sa.Text}:
            _column.type = Words(_column.type.length)
