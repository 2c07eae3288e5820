"""An index for the list of alerts, which stands newest first."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create it."""
    op.create_index("ix_episode_starts_at_id", "episode", ["starts_at", "id"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_episode_starts_at_id", "episode")
