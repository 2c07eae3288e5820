"""The part of Helm that the sandbox plays."""

from collections.abc import Mapping
from typing import Any

import pytest

from integrations.sandbox.argocd.charts import ChartError, inside, is_chart, render, values_of

CHART = {"Chart.yaml": b"name: shop\nversion: 1.2.3\n", "values.yaml": b"image: {tag: '1', pull: Always}\nenabled: false\n"}


def filled(template: str, **helm: Any) -> str:
    (found,) = render(CHART | {"templates/x.yaml": template.encode()}, helm, release="web", namespace="team", read=no_files)
    assert found[0] == "templates/x.yaml"
    return found[1]


def no_files(name: str) -> str:
    raise ChartError(name)


def test_a_folder_is_a_chart_by_its_own_file() -> None:
    assert is_chart(CHART)
    assert not is_chart({"deploy/Chart.yaml": b""})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("a: {{ .Values.image.tag | quote }}", 'a: "1"'),
        ("{{.Release.Name}}/{{ .Release.Namespace }}", "web/team"),
        ("{{ .Chart.Name }}-{{ .Chart.Version }}", "shop-1.2.3"),
        ("on: {{ .Values.enabled }}, none: {{ .Values.nobody }}.", "on: false, none: ."),
        ("a\n{{- if .Values.enabled }}\nb\n{{- end }}\nc", "a\nc"),
        ("a\n{{- if .Values.image }}\nb\n{{- end }}\nc", "a\nb\nc"),
        ("{{ if .Values.enabled }}{{ .Values.nobody.below }}{{ end }}x", "x"),
        ("a {{- .Chart.Name -}} b", "ashopb"),
    ],
)
def test_look_ups_and_conditions_are_filled_in(template: str, text: str) -> None:
    assert filled(template) == text


def test_the_name_of_the_release_can_be_another_than_the_applications() -> None:
    assert filled("{{ .Release.Name }}", releaseName="other") == "other"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ('{{ include "x" . }}', 'not {{ include "x" . }} in templates/x.yaml'),
        ("{{ end }}", "not {{ end }}"),
        ("{{ if .Values.enabled }}", "unexpected EOF"),
        ("{{ .Values.nobody.below }}", "nil pointer evaluating interface {}.below"),
        ("{{ .Values.enabled | upper }}", "not {{ .Values.enabled | upper }}"),
    ],
)
def test_what_it_does_not_know_is_refused_and_never_left_out(template: str, words: str) -> None:
    with pytest.raises(ChartError) as caught:
        filled(template)
    assert words in str(caught.value)


def values(helm: Mapping[str, Any], files: Mapping[str, str] | None = None) -> Any:
    return values_of(CHART, dict(helm), (files or {}).__getitem__)


def test_each_way_to_set_a_value_wins_over_the_one_before() -> None:
    helm: dict[str, Any] = {}
    assert values(helm)["image"] == {"tag": "1", "pull": "Always"}
    helm["valueFiles"] = ["a.yaml", "b.yaml"]
    assert values(helm, FILES)["image"] == {"tag": "b", "pull": "Always"}
    helm["values"] = "image: {tag: c}"
    assert values(helm, FILES)["image"]["tag"] == "c"
    helm["valuesObject"] = {"image": {"tag": "d"}}
    assert values(helm, FILES)["image"]["tag"] == "d"
    helm["parameters"] = [{"name": "image.tag", "value": "e"}]
    assert values(helm, FILES)["image"] == {"tag": "e", "pull": "Always"}


FILES = {"a.yaml": "image: {tag: a}", "b.yaml": "image: {tag: b}"}


@pytest.mark.parametrize(
    ("parameter", "path", "value"),
    [
        ({"name": "n", "value": "12"}, "n", 12),
        ({"name": "n", "value": "012"}, "n", "012"),
        ({"name": "n", "value": "1.10"}, "n", "1.10"),
        ({"name": "n", "value": "true"}, "n", True),
        ({"name": "n", "value": "null"}, "n", None),
        ({"name": "n", "value": "true", "forceString": True}, "n", "true"),
        ({"name": "n"}, "n", ""),
        ({"name": r"a\.b/c", "value": "x"}, "a.b/c", "x"),
    ],
)
def test_a_parameter_is_read_as_set_reads_it(parameter: dict[str, Any], path: str, value: Any) -> None:
    assert values({"parameters": [parameter]})[path] == value


def test_a_values_file_lies_beside_the_chart_or_below_the_root() -> None:
    files = {"charts/shop/prod.yaml": b"beside", "charts/prod.yaml": b"above", "prod.yaml": b"root"}
    assert inside(files, "charts/shop", "prod.yaml") == "beside"
    assert inside(files, "charts/shop", "../prod.yaml") == "above"
    assert inside(files, "charts/shop", "/prod.yaml") == "root"
    with pytest.raises(ChartError, match=r"prod2\.yaml: no such file"):
        inside(files, "charts/shop", "prod2.yaml")
