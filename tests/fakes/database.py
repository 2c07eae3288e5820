"""A database system in memory that keeps the contract of `Engine`: it tells what it was given, or fails as it was told."""

from collections.abc import Sequence

from integrations.evidence.databases.settings import Database
from service.domain.catalog import Catalog
from service.domain.errors import BackoutError
from service.domain.own_statements import Counted
from service.domain.relaxed import Relaxed


class FakeEngine:
    """Answers `told` for every database; a `BackoutError` there is raised."""

    def __init__(self, told: Catalog | BackoutError, *, powers: Sequence[str] = ()) -> None:
        self.told = told
        self.may = powers
        self.rows: dict[Relaxed, bool | BackoutError] = {}
        self.ran: Sequence[Counted] | BackoutError = ()
        self.codes: dict[str, str] | BackoutError = {}
        self.asked: list[str] = []
        self.closed = False

    async def catalog(self, database: Database) -> Catalog:
        """What was given."""
        self.asked.append(database.name)
        if isinstance(self.told, BackoutError):
            raise self.told
        return self.told

    async def beyond(self, database: Database, limit: Relaxed) -> bool:
        """What was given for that limit; a `BackoutError` there is raised."""
        self.asked.append(f"{database.name}: {limit}")
        told = self.rows[limit]
        if isinstance(told, BackoutError):
            raise told
        return told

    async def statements(self, database: Database) -> Sequence[Counted]:
        """What was given as `ran`; a `BackoutError` there is raised."""
        self.asked.append(f"{database.name}: statements")
        if isinstance(self.ran, BackoutError):
            raise self.ran
        return self.ran

    async def prepared(self, database: Database, texts: Sequence[str]) -> Sequence[str]:
        """The given codes; what has none can be prepared."""
        self.asked.append(f"{database.name}: {len(texts)} prepared")
        if isinstance(self.codes, BackoutError):
            raise self.codes
        return [self.codes.get(text, "") for text in texts]

    async def powers(self, database: Database) -> Sequence[str]:
        """What was given."""
        self.asked.append(database.name)
        return self.may

    async def close(self) -> None:
        """Remembered."""
        self.closed = True
