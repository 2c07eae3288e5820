"""Alembic migrations of the store, one file each."""
