"""What any test may ask for."""

from collections.abc import Iterator

import pytest

from tests import postgres as server


@pytest.fixture(scope="session")
def postgres() -> Iterator[server.Postgres]:
    """The session's PostgreSQL server, started for the first test that asks; without one on this machine the test is skipped."""
    if server.binaries() is None:
        pytest.skip(server.MISSING)
    with server.Postgres() as one:
        yield one
