import pytest

from service.domain.schema.readers.ruby import COMPUTED, UnreadableError, arguments, statements_of, tokens_of, value


def parsed(text: str) -> object:
    return value([token for token in tokens_of(text) if token.kind != "newline"])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (":a", "a"),
        ('"a\\nb"', "a\nb"),
        ("'it\\'s'", "it's"),
        ("true", True),
        ("nil", None),
        ("1_000", "1_000"),
        ("-1", "-1"),
        ("[:a, 'b']", ["a", "b"]),
        ("%w[a b]", ["a", "b"]),
        ("%i[a b]", ["a", "b"]),
        ("{ a: 1, :b => true }", {"a": "1", "b": True}),
        ("<<~SQL\n  one\n  two\nSQL\n", "  one\n  two\n"),
        ("<<-'SQL'\n #{x}\n  SQL\n", " #{x}\n"),
        ("<<~SQL.squish\n  one\nSQL\n", "  one\n"),
    ],
)
def test_what_stands_in_the_text_is_a_value(text: str, wanted: object) -> None:
    assert parsed(text) == wanted


@pytest.mark.parametrize("text", ['"a #{b}"', "<<~SQL\n #{x}\nSQL\n", "foo", "foo(1)", "a + b", "[a]", "`date`", "{ a: 1, **b }", ":a if b"])
def test_everything_else_is_computed(text: str) -> None:
    assert parsed(text) is COMPUTED


def test_statements_go_on_where_ruby_does_and_blocks_nest() -> None:
    found = statements_of("a :x,\n  b: 1\nc do |t|\n  t.d\n  e { f }\nend\ng\n  .h\n# no\ni; j")
    assert [(one.line, one.tokens[0].text, one.block is not None) for one in found] == [
        (1, "a", False),
        (3, "c", True),
        (7, "g", False),
        (10, "i", False),
        (10, "j", False),
    ]
    assert found[1].parameter == "t"
    assert [inner.tokens[0].text for inner in found[1].block or ()] == ["t", "e"]


def test_named_and_positional_arguments_are_told_apart_and_stars_are_not_guessed() -> None:
    assert arguments(tokens_of("(:a, b: [1, 2], 'c' => nil)")) == (["a"], {"b": ["1", "2"], "c": None})
    assert arguments(tokens_of("*a")) is None


@pytest.mark.parametrize("text", ["end", "}", "a do", "class A", "x = 'a", "<<~SQL\nabc", "(" * 3, "a do\n" * 100, "__END__\nx", "€", "%w[a", "#" * 300_001])
def test_text_that_does_not_nest_gives_up(text: str) -> None:
    try:
        found = statements_of(text)
    except UnreadableError:
        return
    assert all(value(one.tokens) is COMPUTED for one in found)
