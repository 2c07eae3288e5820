from typing import Any

import pytest

from service.domain.schema.readers.csharp import Computed, calls_of, cut, tokens_of, value_of


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('"a\\n\\"b\\""', 'a\n"b"'),
        ('@"a\\b ""c"""', 'a\\b "c"'),
        ('"""a "b" c"""', 'a "b" c'),
        ('"a" + "b" + @"c"', "abc"),
        ("12", 12),
        ("true", True),
        ("null", None),
        ('new[] { "a", "b" }', ("a", "b")),
        ("new string[] { null, 1 }", (None, 1)),
        ('["a", "b"]', ("a", "b")),
        ("new object[] { }", ()),
    ],
)
def test_a_literal_has_its_value(written: str, value: Any) -> None:
    assert value_of(tokens_of(written)) == value


@pytest.mark.parametrize("written", ['$"a{b}"', "a", "A.B", "f()", '"a" + b', "1.5m", "new X(1)", "new X { A = 1 }", "x => x", "9" * 5000, "'a'", "-1"])
def test_whatever_is_no_literal_is_computed(written: str) -> None:
    assert isinstance(value_of(tokens_of(written)), Computed)


def test_a_chain_of_calls_is_read_whole_or_not_at_all() -> None:
    found = calls_of(tokens_of('b.Add<Dictionary<string, int>>("a", n: 1, f: x => new { A = x.B(1), C = 2 }).Note("c")'), "b")
    assert found is not None
    first, second = found
    assert (first.name, first.type_argument, first.positional, first.named["n"]) == ("Add", "Dictionary<string,int>", ("a",), 1)
    assert isinstance(first.named["f"], Computed)
    assert (second.name, second.positional) == ("Note", ("c",))
    for other in ("b", "b.Add", "c.Add()", "b.Add() + 1", "b.Add(", "b.Add().x", "b?.Add()", ""):
        assert calls_of(tokens_of(other), "b") is None, other


def test_cutting_knows_brackets_and_texts() -> None:
    assert [len(part) for part in cut(tokens_of('a(1; 2); "x;y" ; { b; }; ; c // ; d'), ";")] == [6, 1, 4, 1]
