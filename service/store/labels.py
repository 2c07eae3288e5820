"""The labels of images, by the image's digest: they cannot change, so they are read once. What nobody read for long goes and may be read again."""

from datetime import datetime

import sqlalchemy as sa
from pydantic import TypeAdapter

from service.domain.facts import Known
from service.domain.keys import ImageConfig
from service.domain.secrets import without_secrets
from service.store import tables as t
from service.store.database import Database

_LABELS = TypeAdapter(Known[ImageConfig])
_OF = sa.select(t.image_labels.c.body).where(t.image_labels.c.image == sa.bindparam("which"), t.image_labels.c.platform == sa.bindparam("for"))

LONGEST = 200_000
"""Bytes of labels that are kept; a registry is asked again for more."""


class LabelStore:
    """Implements `Labels` of `service.domain.ports`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, image: str, platform: str) -> Known[ImageConfig] | None:
        """What was read of `repository@digest`, if it is kept."""
        async with self._database.read(few=True) as connection:
            body = (await connection.execute(_OF, {"which": image, "for": platform})).scalar()
        return None if body is None else _LABELS.validate_json(bytes(body))

    async def keep(self, image: str, platform: str, labels: Known[ImageConfig]) -> None:
        """Keep it, in the place of what is kept. Not what looks like a secret: it would be wrong with a part taken out, and is nothing to be kept as it is."""
        body = _LABELS.dump_json(labels)
        if len(body) > LONGEST or without_secrets(labels.value.labels) != labels.value.labels:
            return
        here = (t.image_labels.c.image == image, t.image_labels.c.platform == platform)
        async with self._database.write(few=True) as connection:
            await connection.execute(t.image_labels.delete().where(*here))
            await connection.execute(t.image_labels.insert().values(image=image, platform=platform, at=labels.evidence.read_at, body=body))

    async def forget(self, before: datetime) -> None:
        """Drop what was read before that; what is still of use is read again."""
        async with self._database.write() as connection:
            await connection.execute(t.image_labels.delete().where(t.image_labels.c.at < before))
