"""Runs the missing migrations in one transaction: all of them or none. On PostgreSQL one process does it, and the others find it done."""

from alembic import context

from service.store.database import engine_to_migrate
from service.store.migrating import prepare, without_limits
from service.store.tables import metadata

engine = engine_to_migrate(context.config.attributes["url"])
with engine.begin() as connection:
    prepare(connection)
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
    without_limits(connection)
engine.dispose()
