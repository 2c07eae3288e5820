from service.domain.schema.operations import Kind, Operation, unknown
from service.domain.schema.reading import SchemaVerdict


def test_an_operation_that_nobody_decided_about_is_unknown() -> None:
    assert Operation(kind=Kind.NOTE).verdict is SchemaVerdict.UNKNOWN


def test_what_is_not_understood_keeps_its_sentence_and_what_clears_it() -> None:
    operation = unknown("dynamic_sql", "runs a DO block", "a person reads it")
    assert (operation.kind, operation.verdict, operation.rule) == (Kind.NOTE, SchemaVerdict.UNKNOWN, "dynamic_sql")
    assert (operation.says, operation.clears) == ("runs a DO block", "a person reads it")
