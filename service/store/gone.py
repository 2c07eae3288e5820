"""Which rows about targets may go: those of targets that are listed no more, and of which nothing was seen for a while."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from service.store import tables as t


def gone(target: sa.ColumnElement[Any], before: datetime) -> sa.ColumnElement[bool]:
    """Whether the target in that column is listed no more and was last watched before then. One that comes back within the time finds all of it."""
    watched = sa.select(t.release.c.target).where(t.release.c.watched_until >= before)
    return sa.and_(target.not_in(sa.select(t.target.c.id)), target.not_in(watched))
