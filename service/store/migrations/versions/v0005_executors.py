"""Processes that share one PostgreSQL, and which of them answers a request with an Idempotency-Key."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One table, one column."""
    op.create_table(
        "executor",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("started_at", sa.String(27), nullable=False),
        sa.Column("beats", sa.Integer, nullable=False),
        sa.Column("retired", sa.Boolean, nullable=False),
        sa.UniqueConstraint("name", name="uq_executor_name"),
    )
    op.add_column("idempotency", sa.Column("executor", sa.String(100), nullable=False, server_default=""))


def downgrade() -> None:
    """An older version refuses the store instead."""
    raise RuntimeError("there is no way down")
