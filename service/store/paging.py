"""Pages of lists that stand newest first: the rows behind a position, so that what is added meanwhile moves nothing."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

Position = tuple[datetime, str]
"""Time and id of the last row that was seen."""


def newest_first(query: sa.Select[Any], at: sa.Column[datetime], identity: sa.Column[str], behind: Position | None, limit: int) -> sa.Select[Any]:
    """The query in its order (the newest first, ids decide between equal times), behind a position if one is given."""
    if behind is not None:
        query = query.where(sa.or_(at < behind[0], sa.and_(at == behind[0], identity > behind[1])))
    return query.order_by(at.desc(), identity).limit(limit)
