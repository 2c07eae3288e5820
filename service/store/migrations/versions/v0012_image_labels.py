"""The labels of images, by digest."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One table, one row for each image and platform."""
    op.create_table(
        "image_labels",
        sa.Column("image", sa.String(700), primary_key=True),
        sa.Column("platform", sa.String(100), primary_key=True),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """An older version refuses the store instead."""
    raise RuntimeError("there is no way down")
