"""What targets looked like around an operation's effect."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One table."""
    op.create_table(
        "capture",
        sa.Column("operation_id", sa.String(64), primary_key=True),
        sa.Column("moment", sa.String(16), primary_key=True),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("says", sa.Text, nullable=False),
        sa.Column("items", sa.JSON, nullable=False),
        sa.Column("missing", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    """An older version refuses the store instead."""
    raise RuntimeError("there is no way down")
