from typing import Any

import pytest

from integrations.delivery.spinnaker.expressions import refuse, strings_of
from service.domain.errors import RefusedError

HIDDEN: list[Any] = ["${1+1}", "x ${a} y", {"a": "${b}"}, {"${a}": 1}, {"a": [{"b": ["${c}"]}]}, ["ok", "${"], ("${x}",)]


@pytest.mark.parametrize("value", HIDDEN, ids=str)
def test_an_expression_is_refused_wherever_it_hides_and_is_not_repeated(value: Any) -> None:
    with pytest.raises(RefusedError) as refused:
        refuse(value, "POST /tasks")
    assert "POST /tasks" in str(refused.value)
    assert "1+1" not in str(refused.value)


@pytest.mark.parametrize("value", [None, 3, True, "", "$5", "{x}", "#{x}", "$ {x}", {"a": [1, {"b": "$"}]}], ids=str)
def test_what_spinnaker_does_not_evaluate_may_be_sent(value: Any) -> None:
    refuse(value, "POST /tasks")


def test_spinnakers_own_expressions_may_go_back_and_no_other() -> None:
    config = {"stages": [{"revision": "${ parameters.revision }"}]}
    refuse(config | {"disabled": True}, "PUT", was_there=config)
    with pytest.raises(RefusedError):
        refuse({"stages": [{"revision": "${ parameters.other }"}]}, "PUT", was_there=config)


def test_keys_and_values_are_looked_at() -> None:
    assert list(strings_of({"a": ["b", {"c": "d"}], "e": 1})) == ["a", "b", "c", "d", "e"]
