"""What a live release is made of, for the time when the delivery system renders it no more."""

import sqlalchemy as sa
from alembic import op

from service.store.tables import Utc

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One table; what is live already is kept from its next deploy on."""
    op.create_table(
        "release_content",
        sa.Column("target", sa.String(400), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("at", Utc, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """An older version refuses the store instead."""
    raise RuntimeError("there is no way down")
