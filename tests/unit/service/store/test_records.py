import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from service.domain.chain import verify
from service.domain.errors import ConflictError, UnavailableError
from service.store.database import Database
from service.store.events import STOP, EventStore
from service.store.executors import ExecutorStore
from service.store.records import KEEP_ANSWERS, AnswerStore, PlanStore, StopStore
from tests.fakes.clock import START

# --- plans and answers -----------------------------------------------------------------------------------------------------


async def test_a_plan_is_read_as_it_was_shown(database: Database) -> None:
    plans = PlanStore(database)
    await plans.keep("pln_1", target="prod:checkout", digest="sha256:1", made_at=START, body={"steps": [{"name": "roll_back"}], "ü": None})
    assert await plans.load("pln_1") == {"steps": [{"name": "roll_back"}], "ü": None}
    assert await plans.load("pln_0") is None


async def test_the_first_request_goes_on_and_its_repeats_get_its_answer(database: Database) -> None:
    answers = AnswerStore(database)
    assert await answers.claim("key", "user:jane", "sha256:1", START) is None
    assert await answers.claim("key", "user:jane", "sha256:1", START) == (0, {}, None)
    await answers.answer("key", "user:jane", 202, {"Location": "/v1/operations/op_1"}, {"id": "op_1"})
    assert await answers.claim("key", "user:jane", "sha256:1", START) == (202, {"Location": "/v1/operations/op_1"}, {"id": "op_1"})


async def test_a_key_belongs_to_its_caller_and_its_request(database: Database) -> None:
    answers = AnswerStore(database)
    await answers.claim("key", "user:jane", "sha256:1", START)
    assert await answers.claim("key", "user:joe", "sha256:2", START) is None
    with pytest.raises(ConflictError, match="another request"):
        await answers.claim("key", "user:jane", "sha256:2", START)


async def test_a_request_that_failed_may_be_repeated_one_that_was_answered_is_not(database: Database) -> None:
    answers = AnswerStore(database)
    await answers.claim("key", "user:jane", "sha256:1", START)
    await answers.give_up("key", "user:jane")
    assert await answers.claim("key", "user:jane", "sha256:1", START) is None
    await answers.answer("key", "user:jane", 409, {}, {"detail": "alive"})
    await answers.give_up("key", "user:jane")
    assert await answers.claim("key", "user:jane", "sha256:1", START) == (409, {}, {"detail": "alive"})


async def test_answers_are_forgotten_after_their_time(database: Database) -> None:
    answers = AnswerStore(database)
    await answers.claim("key", "user:jane", "sha256:1", START)
    assert await answers.claim("key", "user:jane", "sha256:2", START + KEEP_ANSWERS + timedelta(seconds=1)) is None


# --- the stop switch ---------------------------------------------------------------------------------------------------------


async def test_promise_10_the_row_stops_until_it_is_taken_back(database: Database) -> None:
    switch = StopStore(database, None)
    assert await switch.reason() == ""
    await switch.stop(by="user:jane", reason="freeze", at=START)
    await switch.stop(by="user:joe", reason="still", at=START)
    assert await switch.reason() == "stopped by user:joe: still"
    await switch.resume(by="user:joe", at=START)
    assert await switch.reason() == ""


async def test_promise_10_the_file_stops_by_being_there(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "STOP"
    switch = StopStore(database, file)
    assert await switch.reason() == ""
    file.write_bytes(b"")
    assert await switch.reason() == "the stop file is there: no reason given"
    file.write_bytes(b" all hands \xff\n")
    assert await switch.reason() == "the stop file is there: all hands �"
    await switch.resume(by="user:joe", at=START)
    assert await switch.reason() == ""
    assert not file.exists()


async def test_who_turned_the_switch_when_and_why_stays(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "STOP"
    switch, events = StopStore(database, file), EventStore(database)
    await switch.stop(by="user:jane", reason="freeze", at=START)
    file.write_text("all hands", encoding="utf-8")
    await switch.resume(by="user:joe", at=START + timedelta(hours=1))
    await switch.resume(by="user:joe", at=START + timedelta(hours=2))
    told = [(one.kind, one.says, one.at) for one in await events.of(STOP)]
    assert told == [
        ("stopped", "stopped by user:jane: freeze", START),
        ("resumed", "resumed by user:joe; it was the stop file is there: all hands", START + timedelta(hours=1)),
        ("resumed", "resumed by user:joe; it was not stopped", START + timedelta(hours=2)),
    ]
    assert verify(await events.chain(STOP)) is None


async def test_promise_10_a_file_that_cannot_be_removed_resumes_nothing_and_is_not_recorded_as_resumed(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "STOP"
    folder.mkdir()  # no file that could be unlinked
    switch, events = StopStore(database, folder), EventStore(database)
    await switch.stop(by="user:jane", reason="freeze", at=START)
    with pytest.raises(OSError):  # noqa: PT011  whichever of them the system raises
        await switch.resume(by="user:joe", at=START)
    assert await StopStore(database, None).reason() == "stopped by user:jane: freeze"
    assert [one.kind for one in await events.of(STOP)] == ["stopped"]


async def test_promise_10_a_stop_file_that_cannot_be_read_stops(database: Database, tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "file").write_text("", encoding="utf-8")
    for file in (loop, folder, tmp_path / "file" / "STOP"):
        assert "cannot be read" in await StopStore(database, file).reason()


async def test_promise_10_a_stop_file_whose_folder_is_not_there_stops(database: Database, tmp_path: Path) -> None:
    """A volume that is not mounted hides the file that somebody put there."""
    assert await StopStore(database, tmp_path / "unmounted" / "STOP").reason() == "the folder of the stop file STOP is not there, so nothing is done"


async def test_promise_10_while_the_store_cannot_be_read_nobody_is_told_to_go_on_and_the_file_still_tells(real: Database, tmp_path: Path) -> None:
    with sqlite3.connect(real.path) as other:
        other.execute("DROP TABLE stop")
    other.close()
    file = tmp_path / "STOP"
    with pytest.raises(UnavailableError):
        await StopStore(real, file).reason()
    file.write_text("store is down", encoding="utf-8")
    assert await StopStore(real, file).reason() == "the stop file is there: store is down"


async def test_open_claims_of_processes_that_are_gone_are_given_up_and_those_of_the_living_are_not(postgres_url: str) -> None:
    database = Database(postgres_url)
    executors = ExecutorStore(database)
    for name in ("gone", "here"):
        await executors.enter(name, START)
        assert await AnswerStore(database, executor=name).claim(f"of {name}", "alice", "digest", START) is None
    await executors.retire("gone")
    answers = AnswerStore(database, executor="here")
    await answers.give_up_all()
    assert await answers.claim("of gone", "alice", "digest", START) is None
    assert await answers.claim("of here", "alice", "digest", START) is not None
    await executors.close()
    await database.close()
