"""Fresh stores for plays: a file of SQLite without its driver's thread, or a database of a throw-away PostgreSQL server."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from service.store.database import Database
from tests import postgres as server
from tests.chaos.checks import Violation, check
from tests.chaos.play import Story, play
from tests.chaos.schedule import Schedule
from tests.fakes import inline_sqlite, shared_postgres, store

SQLITE, POSTGRESQL = "sqlite", "postgresql"


class Stores(Protocol):
    """Where plays get their stores from."""

    @property
    def name(self) -> str: ...
    def fresh(self, folder: Path) -> str: ...
    def connect(self, database: Database) -> None: ...
    def gone(self, url: str) -> None: ...


class SqliteStores:
    """A copied file for each; nothing of it waits for a thread."""

    name = SQLITE

    def __init__(self, template: Path) -> None:
        self._template = template

    def fresh(self, folder: Path) -> str:
        """The address of an empty store."""
        path = folder / "store.db"
        shutil.copyfile(self._template, path)
        return f"sqlite:///{path}"

    def connect(self, database: Database) -> None:
        """Give it the quick driver."""
        database.engine = inline_sqlite.engine(database.path)

    def gone(self, url: str) -> None:
        """The folder goes with the play."""


class PostgresStores:
    """Databases of one server, emptied and lent again."""

    name = POSTGRESQL

    def __init__(self, lender: store.Recycled) -> None:
        self._lender = lender

    def fresh(self, folder: Path) -> str:
        """The address of an empty store."""
        del folder
        return self._lender.take()

    def connect(self, database: Database) -> None:
        """Give it the engine that knows its statements by heart."""
        database.engine = shared_postgres.engine(database.url)

    def gone(self, url: str) -> None:
        """Give it back."""
        self._lender.give_back(url)


@contextmanager
def opened(name: str) -> Iterator[Stores]:
    """Stores of that kind. FileNotFoundError with a sentence where this machine has no PostgreSQL."""
    if name == POSTGRESQL:
        with server.Postgres() as one:
            yield PostgresStores(store.Recycled(one))
        return
    with tempfile.TemporaryDirectory(prefix="backout-chaos-") as folder:
        yield SqliteStores(store.migrated(Path(folder)))


def judged(schedule: Schedule, stores: Stores) -> tuple[Story, list[Violation]]:
    """Play a schedule on a fresh store and look at what came of it."""
    with tempfile.TemporaryDirectory(prefix="backout-chaos-") as folder:
        url = stores.fresh(Path(folder))
        try:
            story = play(schedule, url=url, folder=Path(folder), connect=stores.connect)
        finally:
            stores.gone(url)
    return story, check(story)


def told(story: Story, violations: list[Violation], store_name: str) -> str:
    """A failure for people: what was broken, how to see it again, what was planned and what happened."""
    schedule = story.schedule
    which = f"--places 1 --seed {schedule.kill_at} --schedules 1" if schedule.kill_at else f"--seed {schedule.seed} --schedules 1"
    machines = " --machines" if all(shop.machines for shop in schedule.shops) else ""
    lines = [
        f"seed {schedule.seed} on {store_name} breaks:",
        *(f"  {one}" for one in violations),
        f"play it again: python -m tests.chaos {which} --store {store_name} --delivery {schedule.delivery}{machines} --tell",
        "the schedule (seconds after the shops opened):",
        *(f"  {line}" for line in schedule.words()),
        "what happened (world's seconds):",
    ]
    diary = [*story.world.diary.lines, *((one.at, str(one)) for one in story.world.diary.sent)]
    lines += [f"  {when:8.1f}  {says}" for when, says in sorted(diary, key=lambda line: line[0])]
    lines.append("operations:")
    for row in sorted(story.rows.get("operation", ()), key=lambda r: str(r["created_at"])):
        lines.append(f"  {row['id']} {row['target']} {row['mode']}: {row['outcome'] or row['phase']}: {row['says']}")
    return "\n".join(lines)
