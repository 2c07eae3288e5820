"""Runs the migrations in one transaction on the store's address, given by `service.store.migrating`."""

import sqlalchemy as sa
from alembic import context
from sqlalchemy.engine import make_url

from service.store.tables import metadata

url = make_url(context.config.attributes["url"])
driver = "postgresql+psycopg" if url.get_backend_name() == "postgresql" else "sqlite"
engine = sa.create_engine(url.set(drivername=driver))
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
engine.dispose()
