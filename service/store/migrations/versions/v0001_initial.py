"""The first schema: deliveries, episodes, incidents, operations, audit rows, spans, outbox, holds, targets, releases."""

from alembic import op

from service.store.tables import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table. Until the first release this follows `tables.py`; from then on it is frozen and changes come as files of their own."""
    metadata.create_all(op.get_bind())


def downgrade() -> None:
    """Going back would lose accepted alerts: an older version refuses the store instead."""
    raise RuntimeError("the first schema has nothing before it")
