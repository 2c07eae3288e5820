import ast
import warnings

import pytest

from service.domain.schema.readers.python import UNKNOWN, Module, UnreadableError, arguments, parse

SOURCE = """
import sqlalchemy as sa
import os.path
from django.db import models as m
from .helpers import thing

ONCE = "a"
TWICE = 1
TWICE = 2
MANY = ["a", {"b": (1, 2)}]
COMPUTED = os.getcwd()
"""


def value(expression: str) -> object:
    module = Module(SOURCE + f"\nx = {expression}\n")
    statement = module.tree.body[-1]
    assert isinstance(statement, ast.Assign)
    return module.value(statement.value)


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("1", 1),
        ("-1.5", -1.5),
        ("None", None),
        ("'a' 'b'", "ab"),
        ("'a' + ONCE", "aa"),
        ("[1, (2, 3), ONCE]", [1, [2, 3], "a"]),
        ("{'a': ONCE}", {"a": "a"}),
        ("f'plain'", "plain"),
        ("MANY", ["a", {"b": (1, 2)}]),
        ("' x '.strip()", "x"),
    ],
)
def test_what_stands_in_the_text_is_a_value(expression: str, wanted: object) -> None:
    assert value(expression) == wanted


@pytest.mark.parametrize(
    "expression", ["f'{ONCE}'", "TWICE", "COMPUTED", "missing", "[1, missing]", "{**a}", "a if b else c", "'%s' % 1", "b'x'", "1 + 1", "'x'.join([])", "..."]
)
def test_everything_else_is_unknown_and_is_neither_true_nor_false(expression: str) -> None:
    found = value(expression)
    assert found is UNKNOWN
    with pytest.raises(TypeError):
        bool(found)


def test_names_are_told_by_the_imports() -> None:
    module = Module(SOURCE + "\n[sa.types.Text, m.CharField, thing, os.path.join, other.x, f().x]\n")
    expression = module.tree.body[-1]
    assert isinstance(expression, ast.Expr)
    assert isinstance(expression.value, ast.List)
    assert [module.dotted(one) for one in expression.value.elts] == [
        "sqlalchemy.types.Text",
        "django.db.models.CharField",
        ".helpers.thing",
        "os.path.join",
        "other.x",
        "",
    ]


def test_stars_make_arguments_unknown() -> None:
    def call(text: str) -> ast.Call:
        expression = parse(text).body[0]
        assert isinstance(expression, ast.Expr)
        assert isinstance(expression.value, ast.Call)
        return expression.value

    assert arguments(call("f(*a)")) is arguments(call("f(**a)")) is None
    found = arguments(call("f(1, a=2)"))
    assert found is not None
    assert (len(found[0]), list(found[1])) == (1, ["a"])


@pytest.mark.parametrize("text", ["def f(:", "\0", "(" * 10_000, "x = " + "-" * 100_000 + "1", "a." * 50_000 + "b", "#" * 300_001])
def test_source_that_attacks_the_parser_is_unreadable(text: str) -> None:
    with pytest.raises(UnreadableError):
        Module(text)


def test_the_parser_warns_nobody_of_what_strangers_wrote() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        parse(r"x = '\d'")
    assert not told
