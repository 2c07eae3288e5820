"""One engine for PostgreSQL and the whole session: it knows its statements by heart, and a new one would have to compile them all for each test."""

from functools import cache
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.store.database import postgres_arguments


class Address:
    """The database that is open now."""

    def __init__(self) -> None:
        self.url = ""

    async def connect(self) -> Any:
        """A connection as the store's own engine makes it."""
        return await psycopg.AsyncConnection.connect(self.url, **postgres_arguments(sa.make_url(self.url)))


@cache
def _engine() -> tuple[AsyncEngine, Address]:
    address = Address()
    return create_async_engine("postgresql+psycopg://", async_creator=address.connect, pool_size=8, max_overflow=0), address


def engine(url: str) -> AsyncEngine:
    """The engine, on this database until another one is asked for: one store at a time, closed before the next."""
    made, address = _engine()
    address.url = url
    return made
