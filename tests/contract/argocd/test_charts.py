"""Helm charts: what a source's parameters and values make of one commit, what the history keeps of them, and what a rollback brings back."""

import json
from pathlib import Path
from typing import Any

from tests.contract.argocd.charts import serving
from tests.contract.argocd.server import ArgoCDServer, GitRepository, Json

CHART = "apiVersion: v2\nname: shop\nversion: 1.0.0\n"
VALUES = "version: '1'\nlevel: chart\nsweep: false\n"
MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
  v: {{ .Values.version | quote }}
  level: {{ .Values.level | quote }}
  chart: {{ .Chart.Version | quote }}
"""
SWEEP = """\
{{- if .Values.sweep }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-sweep
  namespace: {{ .Release.Namespace }}
data:
  v: {{ .Values.version | quote }}
{{- end }}
"""
FILES = {"deploy/Chart.yaml": CHART, "deploy/values.yaml": VALUES, "deploy/templates/map.yaml": MAP, "deploy/templates/sweep.yaml": SWEEP}


def source_of(repository: GitRepository, **helm: Any) -> Json:
    return {"repoURL": repository.url, "path": "deploy", "targetRevision": "main"} | ({"helm": helm} if helm else {})


def parameter(name: str, value: str) -> Json:
    return {"name": name, "value": value}


async def follow(server: ArgoCDServer, name: str, **spec: Any) -> Json:
    """Give the application another source, or other sources, and sync it."""
    before = (await server.app(name))["spec"]
    await server.must("PUT", f"/api/v1/applications/{name}/spec", before | spec)
    await server.app(name, "?refresh=normal")
    return await server.sync(name)


async def live(server: ArgoCDServer, name: str) -> dict[str, Json]:
    """What the application's live ConfigMaps hold, by name."""
    items = (await server.must("GET", f"/api/v1/applications/{name}/managed-resources"))["items"]
    return {item["name"]: json.loads(item["liveState"])["data"] for item in items if item["liveState"] != "null"}


async def rendered(server: ArgoCDServer, name: str, query: str) -> dict[str, Json]:
    answer = await server.must("GET", f"/api/v1/applications/{name}/manifests?{query}", by="backout")
    return {body["metadata"]["name"]: body["data"] for body in map(json.loads, answer["manifests"])}


async def test_a_rollback_brings_the_parameters_of_its_time_back_and_leaves_those_of_the_spec(server: ArgoCDServer) -> None:
    name = server.unique("params")
    repository = server.create_repository(name)
    only = repository.commit(FILES, "the only commit")
    old = source_of(repository, parameters=[parameter("version", "1.0"), parameter("level", "calm")])
    new = source_of(repository, parameters=[parameter("version", "1.1"), parameter("sweep", "true")])
    await server.create_app(name, source=old)
    await server.sync(name)
    before = await follow(server, name, source=new)
    data = await live(server, name)

    await server.rollback(name, id=0)
    app = await server.settled(name)

    assert before["status"]["sourceType"] == "Helm"
    assert [(entry["revision"], entry["source"]) for entry in before["status"]["history"]] == [(only, old), (only, new)]
    assert data == {name: {"v": "1.1", "level": "chart", "chart": "1.0.0"}, f"{name}-sweep": {"v": "1.1"}}
    assert (app["spec"]["source"], app["status"]["history"][-1]["source"], app["status"]["history"][-1]["revision"]) == (new, old, only)
    assert (await live(server, name))[name] == {"v": "1.0", "level": "calm", "chart": "1.0.0"}
    assert (app["status"]["sync"]["status"], app["status"]["sync"]["comparedTo"]["source"]) == ("OutOfSync", new)


async def test_a_past_revision_is_rendered_with_todays_parameters(server: ArgoCDServer) -> None:
    name = server.unique("today")
    repository = server.create_repository(name)
    first = repository.commit(FILES, "first")
    await server.create_app(name, source=source_of(repository, parameters=[parameter("version", "1.0")]))
    await server.sync(name)
    repository.commit(FILES | {"deploy/values.yaml": VALUES.replace("chart", "later")}, "second")
    await follow(server, name, source=source_of(repository, parameters=[parameter("version", "1.1")]))

    assert await rendered(server, name, f"revision={first}") == {name: {"v": "1.1", "level": "chart", "chart": "1.0.0"}}


async def test_parameters_win_over_values_and_those_over_files_and_those_over_the_chart(server: ArgoCDServer) -> None:
    name = server.unique("order")
    repository = server.create_repository(name)
    more = {"deploy/more.yaml": "version: file\nlevel: file\nsweep: true\n", "deploy/nested.yaml": "sweep: false\n"}
    repository.commit(FILES | more, "first")
    helm = {"valueFiles": ["more.yaml", "nested.yaml"], "values": "version: values\nlevel: values\n", "parameters": [parameter("version", "parameter")]}

    await server.create_app(name, source=source_of(repository, **helm))

    assert await rendered(server, name, "") == {name: {"v": "parameter", "level": "values", "chart": "1.0.0"}}


async def test_a_values_file_of_a_second_source_belongs_to_the_release_like_the_chart(server: ArgoCDServer) -> None:
    name = server.unique("two")
    charts, values = server.create_repository("charts"), server.create_repository("values")
    chart = charts.commit(FILES, "the chart")
    good = values.commit({"prod.yaml": "version: '1.0'\n"}, "good")
    parts = [source_of(charts, valueFiles=["$config/prod.yaml"]), {"repoURL": values.url, "targetRevision": "main", "ref": "config"}]
    await server.create_app(name, sources=parts)
    await server.sync(name)
    bad = values.commit({"prod.yaml": "version: '1.1'\n"}, "bad")
    await server.app(name, "?refresh=normal")
    before = await server.sync(name)

    await server.rollback(name, id=0)
    app = await server.settled(name)

    assert [entry["revisions"] for entry in app["status"]["history"]] == [[chart, good], [chart, bad], [chart, good]]
    assert [entry["sources"] for entry in app["status"]["history"]] == [parts] * 3
    assert before["status"]["sync"]["revisions"] == [chart, bad]
    assert (await live(server, name))[name]["v"] == "1.0"
    query = f"revisions={chart}&revisions={good}&sourcePositions=1&sourcePositions=2"
    assert (await rendered(server, name, query))[name]["v"] == "1.0"
    assert app["status"]["sourceTypes"][0] == "Helm"


async def test_a_chart_that_does_not_render_is_a_comparison_error(server: ArgoCDServer) -> None:
    name = server.unique("torn")
    repository = server.create_repository(name)
    repository.commit(FILES, "good")
    await server.create_app(name, source=source_of(repository))
    await server.sync(name)
    repository.commit(FILES | {"deploy/templates/map.yaml": MAP + "{{ if .Values.sweep }}\n"}, "torn")

    app = await server.app(name, "?refresh=normal")

    assert app["status"]["sync"]["status"] == "Unknown"
    (condition,) = [one for one in app["status"]["conditions"] if one["type"] == "ComparisonError"]
    assert "failed to generate manifest for source 1 of 1" in condition["message"]
    assert "unexpected EOF" in condition["message"]


def packed(version: str) -> dict[str, str]:
    """Files of a chart in a Helm repository."""
    return {"values.yaml": f"version: {version}\nlevel: chart\n", "templates/map.yaml": MAP}


async def test_a_chart_version_that_is_published_again_is_the_same_revision_with_other_content(server: ArgoCDServer, tmp_path: Path) -> None:
    with serving(tmp_path / "charts") as charts:
        name = server.unique("again")
        charts.publish("shop", "1.0.0", packed("first"))
        source = {"repoURL": charts.url, "chart": "shop", "targetRevision": "1.x.x"}
        await server.create_app(name, source=source)
        deployed = await server.sync(name)
        first = await live(server, name)

        charts.publish("shop", "1.0.0", packed("second"))
        kept = await server.app(name, "?refresh=normal")
        remembered, anew = await rendered(server, name, "revision=1.0.0"), await rendered(server, name, "revision=1.0.0&noCache=true")
        hard = await server.app(name, "?refresh=hard")  # whoever asks for it, makes Argo CD forget what it has rendered of this version
        charts.publish("shop", "1.1.0", packed("bad"))
        await server.app(name, "?refresh=normal")
        await server.sync(name)
        await server.rollback(name, id=0)
        app = await server.settled(name)

        assert (deployed["status"]["sourceType"], deployed["status"]["history"][0]["source"]) == ("Helm", source)
        assert first[name] == {"v": "first", "level": "chart", "chart": "1.0.0"}
        assert (kept["status"]["sync"]["status"], kept["status"]["sync"]["revision"]) == ("Synced", "1.0.0")
        assert (remembered[name]["v"], anew[name]["v"]) == ("first", "second")
        assert (hard["status"]["sync"]["status"], hard["status"]["sync"]["revision"]) == ("OutOfSync", "1.0.0")
        assert [entry["revision"] for entry in app["status"]["history"]] == ["1.0.0", "1.1.0", "1.0.0"]
        assert (await live(server, name))[name]["v"] == "second"  # not what ran as 1.0.0
        assert app["status"]["sync"]["revision"] == "1.1.0"


async def test_a_charts_version_is_no_commit_with_an_author(server: ArgoCDServer, tmp_path: Path) -> None:
    with serving(tmp_path / "charts") as charts:
        name = server.unique("author")
        charts.publish("shop", "1.0.0", packed("first"))
        await server.create_app(name, source={"repoURL": charts.url, "chart": "shop", "targetRevision": "1.0.0"})

        answer = await server.call("GET", f"/api/v1/applications/{name}/revisions/1.0.0/metadata")

    assert answer.error == (500, 2, "revision 1.0.0 must be resolved")
