"""Renders Helm charts, as far as tests need it: values from a file up to single parameters, and templates of plain look-ups.

A template may hold `{{ .Values.a.b }}`, `.Release.Name`, `.Release.Namespace`, `.Chart.Name`, `.Chart.Version`, each with `| quote`, and `{{ if VALUE }} …
{{ end }}`. Anything else is refused in a sentence, for a chart that is rendered half would prove nothing. Hooks of Helm's own, subcharts, helpers and
`lookup` are not there. What wins over what is Argo CD's order: the chart's values, value files, `values`, `valuesObject`, parameters.
"""

import copy
import json
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import yaml

from integrations.sandbox.argocd.status import Json

Read = Callable[[str], str]
"""The text of a values file by its name in `valueFiles`; ChartError when it is not there."""

_ACTION: Final = re.compile(r"\{\{(-?)\s*(.*?)\s*(-?)\}\}", re.DOTALL)
_IF: Final = re.compile(r"if\s+(\S+)")
_LOOK_UP: Final = re.compile(r"(\.\S+)(\s*\|\s*quote)?")


class ChartError(Exception):
    """Why the chart renders to nothing, in Helm's words where they are known."""


def is_chart(files: Mapping[str, bytes]) -> bool:
    """Whether a folder is a chart."""
    return "Chart.yaml" in files


def render(files: Mapping[str, bytes], helm: Json, *, release: str, namespace: str, read: Read) -> Iterator[tuple[str, str]]:
    """Each template's path and text. `files` are the chart's own, by their path in it; `helm` is the source's section of that name."""
    chart = yaml.safe_load(files["Chart.yaml"].decode()) or {}
    known = {
        "Values": values_of(files, helm, read),
        "Release": {"Name": helm.get("releaseName") or release, "Namespace": namespace},
        "Chart": {"Name": chart.get("name", ""), "Version": chart.get("version", "")},
    }
    for name in sorted(files):
        if name.startswith("templates/") and name.endswith((".yaml", ".yml", ".json")):
            yield name, _fill(name, files[name].decode(), known)


def values_of(files: Mapping[str, bytes], helm: Json, read: Read) -> Json:
    """All values of the source laid over each other."""
    found: Json = yaml.safe_load(files.get("values.yaml", b"").decode()) or {}
    for name in helm.get("valueFiles") or ():
        found = _over(found, yaml.safe_load(read(name)) or {})
    found = _over(found, yaml.safe_load(helm.get("values") or "") or {})
    found = _over(found, helm.get("valuesObject") or {})
    for parameter in helm.get("parameters") or ():
        text = parameter.get("value", "")
        _set(found, re.split(r"(?<!\\)\.", parameter["name"]), text if parameter.get("forceString") else _typed(text))
    return found


def inside(files: Mapping[str, bytes], path: str, name: str) -> str:
    """A values file of the chart's own repository: beside the chart, or from the root with a leading slash."""
    where = posixpath.normpath(name.lstrip("/") if name.startswith("/") else posixpath.join(path, name))
    if where not in files:
        raise ChartError(f"Error: open <path to cached source>/{where}: no such file or directory")
    return files[where].decode()


def _over(below: Json, above: Json) -> Json:
    found = copy.deepcopy(below)
    for name, value in above.items():
        mine = found.get(name)
        found[name] = _over(mine, value) if isinstance(mine, dict) and isinstance(value, dict) else copy.deepcopy(value)
    return found


def _set(values: Json, path: list[str], value: Any) -> None:
    for part in path[:-1]:
        values = values.setdefault(part.replace("\\.", "."), {})
    values[path[-1].replace("\\.", ".")] = value


def _typed(text: str) -> Any:
    """As `--set` reads it: whole numbers, booleans and null, else a text."""
    if re.fullmatch(r"-?(0|[1-9]\d*)", text):
        return int(text)
    return {"true": True, "false": False, "null": None}.get(text, text)


def _fill(name: str, text: str, known: Json) -> str:
    out: list[str] = []
    shown = [True]
    at, trim = 0, False
    for action in _ACTION.finditer(text):
        plain = text[at : action.start()]
        plain = plain.lstrip() if trim else plain
        plain = plain.rstrip() if action[1] else plain
        at, trim, words = action.end(), bool(action[3]), action[2]
        out += [plain] if all(shown) else []
        if condition := _IF.fullmatch(words):
            shown.append(bool(_look_up(name, condition[1], known)))
        elif words == "end" and len(shown) > 1:
            shown.pop()
        elif looked := _LOOK_UP.fullmatch(words):
            if all(shown):
                out.append(_written(_look_up(name, looked[1], known), quoted=bool(looked[2])))
        else:
            raise ChartError(f"the sandbox's charts know look-ups, `| quote` and `if`, not {{{{ {words} }}}} in {name}")
    if len(shown) > 1:
        raise ChartError(f"Error: parse error at ({name}): unexpected EOF")
    return "".join([*out, text[at:].lstrip() if trim else text[at:]])


def _look_up(name: str, path: str, known: Json) -> Any:
    found: Any = known
    for part in path.lstrip(".").split("."):
        if not isinstance(found, dict):
            raise ChartError(f"Error: template: {name}: executing at <{path}>: nil pointer evaluating interface {{}}.{part}")
        found = found.get(part)
    return found


def _written(value: Any, *, quoted: bool) -> str:
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return json.dumps(text) if quoted else text
