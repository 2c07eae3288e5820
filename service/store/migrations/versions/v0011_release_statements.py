"""The statements that a release was seen to run in its databases."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One table, one row for each release and database."""
    op.create_table(
        "release_statements",
        sa.Column("target", sa.String(400), primary_key=True),
        sa.Column("release_key", sa.String(64), primary_key=True),
        sa.Column("database", sa.String(200), primary_key=True),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """An older version refuses the store instead."""
    raise RuntimeError("there is no way down")
