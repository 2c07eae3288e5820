from datetime import timedelta

import pytest

from service.domain.errors import UnavailableError
from service.domain.ports import Work
from service.engine.segments import Engine, _plain, _workflow_id

WORK = Work(kind="operation", id="op_1", seq=3)


def test_a_segment_is_named_by_its_row_and_seq() -> None:
    assert _workflow_id(WORK) == "operation:op_1:3"
    assert _workflow_id(WORK) != _workflow_id(Work(kind="delivery", id="op_1", seq=3))


def test_the_engine_opens_the_stores_address_with_its_own_driver() -> None:
    assert _plain("sqlite+aiosqlite:////tmp/x.db") == "sqlite:////tmp/x.db"
    assert _plain("postgresql+psycopg://u:p%40ss@db/x") == "postgresql://u:p%40ss@db/x"


async def test_an_engine_that_does_not_run_hands_nothing_over_and_says_so() -> None:
    """The store's transaction fails with it: a wait that nobody would end is not committed."""
    engine = Engine(url="sqlite:////tmp/none.db")
    with pytest.raises(UnavailableError, match="not running"):
        await engine.later(None, WORK, timedelta(0))
    with pytest.raises(UnavailableError, match="nothing to run"):
        _ = engine.runner


async def test_starting_work_on_an_engine_that_does_not_run_is_left_to_the_reconciler() -> None:
    await Engine(url="sqlite:////tmp/none.db").start(WORK)
