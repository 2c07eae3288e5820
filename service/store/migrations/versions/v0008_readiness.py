"""The standing verdict of each target, and the turns it took."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two tables; both may be emptied at any time, they are read anew."""
    op.create_table(
        "readiness",
        sa.Column("target", sa.String(400), primary_key=True),
        sa.Column("answer", sa.Integer, nullable=False),
        sa.Column("as_of", sa.String(27), nullable=False),
        sa.Column("good_for_s", sa.Integer, nullable=False),
        sa.Column("policy", sa.String(64), nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
    )
    op.create_table(
        "readiness_turn",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("target", sa.String(400), nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("was", sa.Integer),
        sa.Column("answer", sa.Integer, nullable=False),
        sa.Column("says", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("rules", sa.JSON, nullable=False),
    )
    op.create_index("ix_readiness_turn_target_id", "readiness_turn", ["target", "id"])


def downgrade() -> None:
    """An older version refuses the store instead."""
    raise RuntimeError("there is no way down")
