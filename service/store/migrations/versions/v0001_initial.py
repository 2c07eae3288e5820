"""The first schema, that of 0.1.0: deliveries, episodes, incidents, operations, audit rows, spans, outbox, holds, targets, releases.

Frozen: what changes since then is in files of their own. So the tables stand here a second time, as they were.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

metadata = sa.MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s"})


def _time(name: str, *, nullable: bool = True, index: bool = False, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(27), nullable=nullable, index=index, primary_key=primary_key)


def _id() -> sa.Column[str]:
    return sa.Column("id", sa.String(64), primary_key=True)


blob = sa.Table("blob", metadata, sa.Column("digest", sa.String(80), primary_key=True), sa.Column("body", sa.LargeBinary, nullable=False))

delivery = sa.Table(
    "delivery",
    metadata,
    _id(),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("sender", sa.String(200), nullable=False),
    _time("received_at", nullable=False),
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
    _time("starts_at", nullable=False),
    _time("ends_at"),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("annotations", sa.JSON, nullable=False),
    sa.Column("generator_url", sa.Text, nullable=False),
    _time("received_at", nullable=False),
    _time("last_seen_at", nullable=False),
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
sa.Index("ix_episode_undecided", episode.c.delivery_id, sqlite_where=episode.c.disposition == "", postgresql_where=episode.c.disposition == "")

incident = sa.Table(
    "incident",
    metadata,
    _id(),
    sa.Column("target", sa.String(400), nullable=False),
    _time("opened_at", nullable=False, index=True),
    _time("began_at", nullable=False),
    _time("closed_at"),
    sa.Column("outcome", sa.String(32), nullable=False),
    sa.Column("group_id", sa.String(64), nullable=False),
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
    _time("created_at", nullable=False, index=True),
    _time("updated_at", nullable=False),
    sa.Column("suspect_key", sa.String(64)),
    sa.Column("goal_key", sa.String(64)),
    sa.Column("cancel_requested", sa.Text, nullable=False),
    _time("first_effect_at"),
    _time("act_before"),
    _time("done_at"),
    sa.Column("outcome", sa.String(32)),
    sa.Column("says", sa.Text, nullable=False),
    _time("wake_at"),
)
sa.Index("operation_alive_target", operation.c.target, unique=True, sqlite_where=operation.c.done_at.is_(None), postgresql_where=operation.c.done_at.is_(None))
_AUTOMATIC_EFFECT = sa.and_(operation.c.automatic == sa.true(), operation.c.first_effect_at.is_not(None))
sa.Index(
    "operation_automatic_effect",
    operation.c.target,
    operation.c.suspect_key,
    unique=True,
    sqlite_where=_AUTOMATIC_EFFECT,
    postgresql_where=_AUTOMATIC_EFFECT,
)

event = sa.Table(
    "event",
    metadata,
    sa.Column("subject", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String(48), nullable=False),
    sa.Column("says", sa.Text, nullable=False),
    _time("at", nullable=False),
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
    _time("created_at", nullable=False),
    _time("due_at", nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    _time("delivered_at"),
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
    _time("at", nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
)

target = sa.Table(
    "target",
    metadata,
    sa.Column("id", sa.String(400), primary_key=True),
    sa.Column("instance", sa.String(100), nullable=False, index=True),
    sa.Column("listed", sa.JSON, nullable=False),
    sa.Column("stamp", sa.String(80), nullable=False),
    _time("seen_at", nullable=False),
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
    _time("since", primary_key=True, nullable=False),
    sa.Column("digest", sa.String(80), nullable=False),
    _time("until", nullable=False),
)

release = sa.Table(
    "release",
    metadata,
    sa.Column("target", sa.String(400), primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("handle", sa.String(100), nullable=False),
    sa.Column("version", sa.String(200), nullable=False),
    sa.Column("images", sa.JSON, nullable=True),
    _time("watched_from", nullable=False),
    _time("watched_until", nullable=False),
    sa.Column("healthy_seconds", sa.Float, nullable=False),
    sa.Column("last_health", sa.String(32), nullable=False),
    _time("live_until"),
    sa.Column("made_by_backout", sa.Boolean, nullable=False),
    sa.Column("vouched", sa.Boolean, nullable=False),
)

effect = sa.Table(
    "effect",
    metadata,
    sa.Column("operation_id", sa.String(64), primary_key=True),
    sa.Column("target", sa.String(400), primary_key=True),
    sa.Column("handle", sa.String(100), primary_key=True),
    _time("at", nullable=False),
)

hold = sa.Table(
    "hold",
    metadata,
    _id(),
    sa.Column("target", sa.String(400), nullable=False),
    sa.Column("operation_id", sa.String(64), nullable=False),
    _time("opened_at", nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    _time("review_at", nullable=False),
    sa.Column("owner", sa.String(200), nullable=False),
    sa.Column("remembered", sa.JSON, nullable=False),
    _time("closed_at"),
    sa.Column("ended_by", sa.String(200), nullable=False),
    sa.Column("ended_because", sa.Text, nullable=False),
)
sa.Index("hold_open_target", hold.c.target, unique=True, sqlite_where=hold.c.closed_at.is_(None), postgresql_where=hold.c.closed_at.is_(None))

held_release = sa.Table(
    "held_release",
    metadata,
    sa.Column("hold_id", sa.String(64), primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),
    _time("since", nullable=False),
)

plan = sa.Table(
    "plan",
    metadata,
    _id(),
    sa.Column("target", sa.String(400), nullable=False, index=True),
    sa.Column("digest", sa.String(80), nullable=False),
    _time("made_at", nullable=False),
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
    _time("created_at", nullable=False),
)

stop = sa.Table(
    "stop",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("by", sa.String(200), nullable=False),
    _time("at", nullable=False),
)


def upgrade() -> None:
    """Create every table that is not there: on databases without transactional DDL a start may have died half-way."""
    metadata.create_all(op.get_bind())


def downgrade() -> None:
    """Going back would lose accepted alerts: an older version refuses the store instead."""
    raise RuntimeError("the first schema has nothing before it")
