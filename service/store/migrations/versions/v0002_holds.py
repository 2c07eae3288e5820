"""What a hold keeps away in full, what was last seen of it, marks on targets; and going forward, which acts once for each release it goes to."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Three tables; and the index that lets automation act once for each release under suspicion counts rollbacks only."""
    op.create_table(
        "held_content",
        sa.Column("hold_id", sa.String(64), primary_key=True, nullable=False),
        sa.Column("key", sa.String(64), primary_key=True, nullable=False),
        sa.Column("operation_id", sa.String(64), nullable=False),
        sa.Column("release", sa.JSON),
        sa.Column("against", sa.JSON),
        sa.Column("bad", sa.JSON),
    )
    op.create_table(
        "hold_watch",
        sa.Column("hold_id", sa.String(64), primary_key=True, nullable=False),
        sa.Column("rev", sa.Integer, nullable=False),
        sa.Column("reviews", sa.Integer, nullable=False),
        sa.Column("watch", sa.JSON),
    )
    op.create_table(
        "target_mark",
        sa.Column("target", sa.String(400), primary_key=True, nullable=False),
        sa.Column("marker", sa.Text, nullable=False),
        sa.Column("unmark", sa.Text, nullable=False),
        sa.Column("since", sa.String(27), nullable=False),
    )
    op.drop_index("operation_automatic_effect", table_name="operation")
    for name, column, kind in (("effect", "suspect_key", "rollback"), ("forward", "goal_key", "forward")):
        where = sa.text(f"automatic = {_true()} AND first_effect_at IS NOT NULL AND kind = '{kind}'")
        op.create_index(f"operation_automatic_{name}", "operation", ["target", column], unique=True, sqlite_where=where, postgresql_where=where)


def _true() -> str:
    return "1" if op.get_bind().dialect.name == "sqlite" else "true"


def downgrade() -> None:
    """Going back would forget what is held away: an older version refuses the store instead."""
    raise RuntimeError("an older version does not know what a hold keeps away")
