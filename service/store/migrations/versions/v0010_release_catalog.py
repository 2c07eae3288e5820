"""The schema of databases as it was while a release lived alone."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One table; the texts stand in `blob`."""
    op.create_table(
        "release_catalog",
        sa.Column("target", sa.String(400), primary_key=True),
        sa.Column("release_key", sa.String(64), primary_key=True),
        sa.Column("database", sa.String(200), primary_key=True),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("digest", sa.String(80), nullable=False),
    )


def downgrade() -> None:
    """An older version refuses the store instead."""
    raise RuntimeError("there is no way down")
