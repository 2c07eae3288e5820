"""The little of Spring's expression language that a sandbox needs: literals and paths inside `${…}`. Nothing is ever executed."""

import re
from typing import Any, Final

from integrations.sandbox.gate.settings import Json

_WHOLE: Final = re.compile(r"\$\{([^{}]*)\}")
_STEP: Final = re.compile(r"\.?([A-Za-z_][A-Za-z0-9_]*)|\[\s*(?:'([^']*)'|\"([^\"]*)\"|(\d+))\s*\]")
_LITERALS: Final[Json] = {"true": True, "false": False, "null": None}


class EvaluationError(Exception):
    """The expression cannot be evaluated; the words are Spring's."""


def evaluate(value: Any, roots: Json) -> Any:
    """`value` with every expression in its strings evaluated; one that fails stays as it was written. A string that is one expression becomes its value."""
    if isinstance(value, dict):
        return {name: evaluate(item, roots) for name, item in value.items()}
    if isinstance(value, list):
        return [evaluate(item, roots) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    try:
        whole = _WHOLE.fullmatch(value)
        return look_up(whole[1], roots) if whole else _WHOLE.sub(lambda found: str(look_up(found[1], roots)), value)
    except EvaluationError:
        return value


def look_up(expression: str, roots: Json) -> Any:
    """The value of what stands between the braces. EvaluationError where a step leads nowhere."""
    text = expression.strip()
    if text in _LITERALS:
        return _LITERALS[text]
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    quoted = re.fullmatch(r"'([^']*)'|\"([^\"]*)\"", text)
    if quoted:
        return quoted[1] if quoted[1] is not None else quoted[2]
    value: Any = roots
    at = 0
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            raise EvaluationError(f"EL1041E: After parsing a valid expression, there is still more data in the expression: '{text[at:]}'")
        name: str | int = int(step[4]) if step[4] else next(part for part in step.groups() if part is not None)
        value = _inside(value, name)
        at = step.end()
    return value


def _inside(value: Any, name: str | int) -> Any:
    if value is None:
        raise EvaluationError(f"EL1007E: Property or field '{name}' cannot be found on null")
    if isinstance(value, dict):
        return value.get(str(name))
    if isinstance(value, list) and isinstance(name, int) and name < len(value):
        return value[name]
    raise EvaluationError(f"EL1008E: Property or field '{name}' cannot be found on object of type '{type(value).__name__}' - maybe not public or not valid?")
