"""What a release that was live is made of, field by field as digests: kept while the delivery system may render it no more.

Argo CD renders a past revision with today's parameters only, so a release with others can be compared with nothing once it has been left (promise 7).
Of each target little is kept: what is live, and what lies before it with other parameters.
"""

import zlib
from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncConnection

from service.domain.difference import Content
from service.domain.model import TargetId
from service.store import tables as t

_CONTENT = TypeAdapter(Content)
KEPT = 3
"""So many releases of one target, the newest: the one to go back to is hardly further away, and a large one takes some kilobytes."""


async def keep(connection: AsyncConnection, target: TargetId, key: str, content: Content, *, replaces: Collection[str], at: datetime) -> None:
    """Keep it in the place of what was kept under that key and of what it `replaces`, for those can be rendered as long as it can."""
    c = t.release_content.c
    await connection.execute(t.release_content.delete().where(c.target == str(target), c.key.in_([key, *replaces])))
    body = zlib.compress(_CONTENT.dump_json(content))
    await connection.execute(t.release_content.insert().values(target=str(target), key=key, at=at, body=body))
    newest = sa.select(c.key).where(c.target == str(target)).order_by(c.at.desc(), c.key).limit(KEPT)
    left = (await connection.execute(newest)).scalars().all()
    await connection.execute(t.release_content.delete().where(c.target == str(target), c.key.not_in(left)))


async def find(connection: AsyncConnection, target: TargetId, key: str) -> Content | None:
    """What is kept of the release, if anything is."""
    c = t.release_content.c
    body = (await connection.execute(sa.select(c.body).where(c.target == str(target), c.key == key))).scalar_one_or_none()
    return None if body is None else _CONTENT.validate_json(zlib.decompress(body))
