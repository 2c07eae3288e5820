import pytest

from integrations.evidence.databases.engine import MOST_COLUMNS, bounded
from integrations.evidence.databases.settings import Database
from service.domain.errors import PermanentError

ORDERS = Database(name="orders", url="postgresql://role@host/db")


def test_promise_1_a_catalogue_that_was_cut_off_is_no_catalogue() -> None:
    bounded([()] * MOST_COLUMNS, ORDERS)
    with pytest.raises(PermanentError, match="the catalogue of database orders has more than 50000 columns"):
        bounded([()] * (MOST_COLUMNS + 1), ORDERS)
