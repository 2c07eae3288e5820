"""The release under suspicion in an incident, by which incidents of one cause are joined."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One column, and an index to find a group by."""
    op.add_column("incident", sa.Column("suspect", sa.JSON, nullable=True))
    op.create_index("ix_incident_group_id", "incident", ["group_id"])


def downgrade() -> None:
    """An older version refuses the store instead."""
    raise RuntimeError("there is no way down")
