import pytest

from service.domain.schema.readers.reader import Root, not_literal, not_understood
from service.domain.schema.reading import Dialect, SchemaVerdict


@pytest.mark.parametrize(
    ("dialect", "table", "column"),
    [(Dialect.POSTGRES, "Shop_Order", "Shop_Order"), (Dialect.MYSQL, "Shop_Order", "shop_order"), (Dialect.SQLITE, "shop_order", "shop_order")],
)
def test_names_that_a_tool_quotes_compare_as_the_database_compares_them(dialect: Dialect, table: str, column: str) -> None:
    root = Root(folder="a", dialect=dialect, files={})
    assert (root.name("Shop_Order", of_table=True), root.name("Shop_Order")) == (table, column)


def test_what_a_reader_does_not_know_is_unknown_with_its_reason() -> None:
    for step in (not_literal(3, "x", "it runs in a loop"), not_understood(3, "x", "a loop")):
        assert (step.line, step.operation.verdict) == (3, SchemaVerdict.UNKNOWN)
        assert "loop" in step.operation.says
        assert step.operation.clears
