"""What a release is made of, beside what was seen of it; and alerts of a target by time, to tell which release burned until it was replaced."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, each with a value for the rows that are there, and the index."""
    op.add_column("release", sa.Column("sources", sa.JSON, nullable=False, server_default="[]"))
    op.add_column("release", sa.Column("objects", sa.JSON, nullable=True))
    op.add_column("release", sa.Column("moved", sa.Text, nullable=False, server_default=""))
    op.add_column("release", sa.Column("fingerprint", sa.String(80), nullable=False, server_default=""))
    op.create_index("ix_episode_target", "episode", ["target", "starts_at"])


def downgrade() -> None:
    """An older version refuses the store instead."""
    raise RuntimeError("a store is not taken back to an older schema")
