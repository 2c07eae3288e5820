"""What any test may ask for."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import mariadb as other_server
from tests import postgres as server
from tests.fakes import store

DATABASES = ["sqlite", "postgresql"]

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # both measure the machine
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def postgres() -> Iterator[server.Postgres]:
    """The session's PostgreSQL server, started for the first test that asks; without one on this machine the test is skipped."""
    if server.binaries() is None:
        pytest.skip(server.MISSING)
    with server.Postgres() as one:
        yield one


@pytest.fixture(scope="session")
def mariadb() -> Iterator[other_server.MariaDB]:
    """The session's MariaDB server, started for the first test that asks; without one on this machine the test is skipped."""
    if other_server.binaries() is None:
        pytest.skip(other_server.MISSING)
    with other_server.MariaDB() as one:
        yield one


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the newest schema, to be copied."""
    return store.migrated(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def postgres_stores(postgres: server.Postgres) -> store.Recycled:
    """Stores of the newest schema on it."""
    return store.Recycled(postgres)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with a store runs on both databases, but for what its module sets apart by `ON_BOTH`, a pattern of test names."""
    if "store_url" in metafunc.fixturenames:
        both = getattr(metafunc.module, "ON_BOTH", "")
        kinds = DATABASES if re.match(both, metafunc.function.__name__) else DATABASES[:1]
        metafunc.parametrize("store_url", kinds, indirect=True)


@pytest.fixture
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a fresh store of the newest schema: each test that asks runs on both databases."""
    if request.param == "sqlite":
        path = tmp_path / "store.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    yield request.getfixturevalue("postgres_url")


@pytest.fixture
def postgres_url(postgres_stores: store.Recycled) -> Iterator[str]:
    """The address of a fresh store on PostgreSQL, for what has no meaning on SQLite."""
    url = postgres_stores.take()
    yield url
    postgres_stores.give_back(url)
