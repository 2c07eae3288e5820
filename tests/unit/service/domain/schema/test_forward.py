import pytest

from service.domain.schema import Dialect, SchemaVerdict, read_sql
from service.domain.schema.forward import forward_part
from service.domain.schema.layouts import recognise

UP, DOWN = "alter table o rename to p;", "alter table p rename to o;"
BOTH = {
    "goose": f"-- +goose Up\n{UP}\n-- +goose Down\n{DOWN}\n",
    "dbmate": f"-- migrate:up\n{UP}\n-- migrate:down\n{DOWN}\n",
    "sql-migrate": f"-- +migrate Up\n{UP}\n-- +migrate Down\n{DOWN}\n",
    "mybatis": f"\n-- // CB-1 rename\n{UP}\n -- //@UNDO\n{DOWN}\n",
}


@pytest.mark.parametrize("text", BOTH.values(), ids=BOTH)
def test_promise_1_a_rename_that_only_the_way_back_takes_back_breaks(text: str) -> None:
    forward = forward_part(text, None)
    assert UP in forward
    assert DOWN not in forward
    assert forward.count("\n") == text.count("\n")
    assert read_sql(text, Dialect.POSTGRES).verdict is SchemaVerdict.BREAKS


@pytest.mark.parametrize("text", [f"-- +goose Down\n{DOWN}", f"{UP}\n-- //@UNDO\n{DOWN}", f"-- a comment\n-- // x\n{UP}\n-- //@UNDO\n{DOWN}"])
def test_without_the_forward_mark_nothing_is_taken_for_a_way_back(text: str) -> None:
    assert forward_part(text, None) == text


def test_a_tool_that_has_a_file_for_each_way_runs_the_whole_file() -> None:
    assert forward_part(BOTH["goose"], recognise("db/migrations/0001_a.up.sql")) == BOTH["goose"]
