import pytest

from integrations.sandbox.gate.expressions import EvaluationError, evaluate, look_up

ROOTS = {"parameters": {"revision": "2", "list": [{"name": "a"}]}, "trigger": {"user": "bot"}}

VALUES = [
    ("${ parameters.revision }", "2"),
    ("${parameters['revision']}", "2"),
    ('${parameters["list"][0].name}', "a"),
    ("${ false }", False),
    ("${ 41 }", 41),
    ("${ 'text' }", "text"),
    ("by ${trigger.user} at ${parameters.revision}", "by bot at 2"),
    ("${ nobody.knows }", "${ nobody.knows }"),
    ("${ T(java.lang.Runtime).getRuntime() }", "${ T(java.lang.Runtime).getRuntime() }"),
    ("no expression", "no expression"),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_paths_and_literals_are_evaluated_and_what_fails_stays(text: str, value: object) -> None:
    assert evaluate({"a": [text]}, ROOTS) == {"a": [value]}


def test_a_step_into_nothing_says_so_in_springs_words() -> None:
    with pytest.raises(EvaluationError, match="EL1007E: Property or field 'x' cannot be found on null"):
        look_up("nope.x", ROOTS)
