from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from dulwich.objects import Blob, Commit, ObjectID
from dulwich.repo import Repo

from integrations.evidence.checkout import read
from integrations.sandbox.git import GitServer
from service.domain.errors import BackoutError
from service.domain.manifest_change import Manifests
from service.domain.pull_request import NoFolderError
from service.domain.schema import Dialect
from service.wiring.from_git import judge_repository

START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: a, image: 'web:%s'}]}}}\n"


def manifests(root: Path, old: Mapping[str, str | None], new: Mapping[str, str | None], folder: str = "deploy") -> Manifests:
    server = GitServer(root=root)
    clone = server.create("shop")
    server.commit("shop", {"README.md": "1", **old}, "1", START)
    server.commit("shop", {"README.md": "2", **new}, "2", START, branch="feature")
    found = read(clone, "main", "feature", dialect=Dialect.UNKNOWN, manifests=folder).manifests
    assert found is not None
    return found


def unread(found: Manifests) -> dict[str, str]:
    return {one.path: one.why for one in found.unread}


def test_both_sides_are_read_with_file_and_line_of_each_object(tmp_path: Path) -> None:
    old = {"deploy/web.yaml": DEPLOYMENT % 1, "deploy/values.yaml": "a: 1", "other/a.yaml": DEPLOYMENT % 9}
    new = {"deploy/web.yaml": f"# a comment\n{DEPLOYMENT % 2}---\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: flags}}\n"}
    found = manifests(tmp_path, old, new)
    assert [(str(one.rendered.object), one.path, one.line) for one in found.old] == [("apps/Deployment web", "deploy/web.yaml", 1)]
    assert [(str(one.rendered.object), one.line) for one in found.new] == [("apps/Deployment web", 2), ("ConfigMap flags", 8)]
    assert found.new[0].facets.images == ("web:2",)
    assert found.unread == ()


@pytest.mark.parametrize("folder", ["deploy", "./deploy/", "deploy/", ".", ""])
def test_a_folder_may_be_written_in_any_usual_way(tmp_path: Path, folder: str) -> None:
    assert len(manifests(tmp_path, {"deploy/web.yaml": DEPLOYMENT % 1}, {}, folder).new) == 1


def test_lists_and_json_are_read(tmp_path: Path) -> None:
    body = '{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}]}'
    assert [str(one.rendered.object) for one in manifests(tmp_path, {}, {"deploy/all.json": body}).new] == ["Service a"]


@pytest.mark.parametrize(("name", "tool"), [("kustomization.yaml", "kustomize"), ("Chart.yaml", "Helm"), ("Kustomization", "kustomize")])
def test_a_folder_that_a_tool_renders_is_not_read_where_it_differs_and_no_tool_is_run(tmp_path: Path, name: str, tool: str) -> None:
    old = {f"deploy/base/{name}": "resources: [web.yaml]", "deploy/base/web.yaml": DEPLOYMENT % 1, "deploy/plain.yaml": DEPLOYMENT % 1}
    found = manifests(tmp_path, old, {"deploy/base/web.yaml": DEPLOYMENT % 2})
    assert unread(found) == {"deploy/base": f"{tool} renders this folder, which differs, and no tool is run here"}
    assert [one.path for one in found.new] == ["deploy/plain.yaml"]


def test_a_rendered_folder_that_does_not_differ_is_no_doubt(tmp_path: Path) -> None:
    base = {"deploy/base/kustomization.yaml": "resources: [web.yaml]", "deploy/base/web.yaml": DEPLOYMENT % 1}
    found = manifests(tmp_path, base, {"deploy/plain.yaml": DEPLOYMENT % 1})
    assert (unread(found), found.alike) == ({}, ("deploy/base",))


@pytest.mark.parametrize("base", ["https://example.com/base?ref=main", "github.com/a/b//base"])
def test_a_base_from_elsewhere_may_have_moved_without_a_change_here(tmp_path: Path, base: str) -> None:
    found = manifests(tmp_path, {"deploy/kustomization.yaml": f"resources: ['{base}']"}, {})
    assert unread(found) == {"deploy": "it takes a base from elsewhere, which may have moved"}


def test_a_base_outside_of_the_named_folder_is_not_seen_and_said(tmp_path: Path) -> None:
    files = {"deploy/prod/kustomization.yaml": "resources: [../base, ../../shared]", "deploy/base/kustomization.yaml": "resources: []"}
    assert unread(manifests(tmp_path / "a", files, {})) == {"deploy/prod": "it takes files from outside of the folder that was named"}
    assert unread(manifests(tmp_path / "b", files, {}, ".")) == {}


@pytest.mark.parametrize(
    ("file", "body", "why"),
    [
        ("a.yaml", "kind: {{ .Values.kind }}", "it is no YAML"),
        ("a.yaml", "kind: Service\nmetadata: {name: a}", "it has a kind and no apiVersion"),
        ("a.yaml", "apiVersion: v1\nkind: Service\nmetadata: {}", "it has an object without a name"),
        ("a.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: &a b, labels: {c: *a}}", "it uses YAML aliases"),
        ("a.yaml", "version https://git-lfs.github.com/spec/v1\noid x", "it is a Git LFS pointer"),
        ("a.yaml", "a: " + "[" * 80 + "]" * 80, "it is nested too deeply"),
        ("a.jsonnet", "{}", ".jsonnet is a template"),
    ],
)
def test_what_is_not_understood_is_told_with_its_reason_where_it_changed(tmp_path: Path, file: str, body: str, why: str) -> None:
    found = manifests(tmp_path / "a", {"deploy/plain.yaml": DEPLOYMENT % 1}, {f"deploy/{file}": body})
    assert unread(found)[f"deploy/{file}"].startswith(why)
    assert unread(manifests(tmp_path / "b", {"deploy/plain.yaml": DEPLOYMENT % 1, f"deploy/{file}": body}, {})) == {}


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    server = GitServer(root=tmp_path)
    clone = server.create("shop")
    server.commit("shop", {"deploy/a.yaml": DEPLOYMENT % 1}, "1", START)
    with Repo(str(clone)) as repo:
        head = repo[repo.refs[b"refs/heads/main"]]  # type: ignore[index]
        assert isinstance(head, Commit)
        link = Blob.from_string(b"../../../etc/passwd")
        deploy = repo[repo[head.tree][b"deploy"][1]]  # type: ignore[index]
        deploy.add(b"b.yaml", 0o120000, link.id)  # type: ignore[attr-defined]
        tree = repo[head.tree]
        tree.add(b"deploy", 0o040000, deploy.id)  # type: ignore[attr-defined]
        commit = head.copy()
        assert isinstance(commit, Commit)
        commit.tree, commit.parents = ObjectID(tree.id), [head.id]
        for one in (link, deploy, tree, commit):
            repo.object_store.add_object(one)
        repo.refs[b"refs/heads/feature"] = commit.id  # type: ignore[index]
    found = read(clone, "main", "feature", dialect=Dialect.UNKNOWN, manifests="deploy").manifests
    assert found is not None
    assert unread(found) == {"deploy/b.yaml": "it is a symbolic link or a submodule"}


def test_a_folder_without_manifests_is_a_mistake_and_no_yes(tmp_path: Path) -> None:
    with pytest.raises(NoFolderError, match="neither main nor feature has a Kubernetes manifest in deploi"):
        manifests(tmp_path / "a", {"deploy/web.yaml": DEPLOYMENT % 1}, {}, "deploi")
    with pytest.raises(BackoutError):
        manifests(tmp_path / "b", {"deploy/web.yaml": DEPLOYMENT % 1}, {}, "../deploy")


def test_a_repository_of_configuration_is_a_yes_only_where_the_images_are_seen_to_be_the_same(tmp_path: Path) -> None:
    def asked(name: str, new: Mapping[str, str | None], folder: str | None = "deploy") -> str:
        server = GitServer(root=tmp_path / name)
        clone = server.create("shop")
        server.commit("shop", {"deploy/web.yaml": DEPLOYMENT % 1}, "1", START)
        server.commit("shop", new, "2", START, branch="feature")
        return judge_repository(clone, "main", "feature", dialect="unknown", today=date(2026, 11, 27), manifests=folder).answer.word

    replicas = {"deploy/web.yaml": (DEPLOYMENT % 1).replace("spec: {t", "spec: {replicas: 2, t", 1)}
    assert asked("a", replicas) == "pass"
    assert asked("b", replicas, None) == "unknown"
    assert asked("c", {"deploy/web.yaml": DEPLOYMENT % 2}) == "unknown"
    assert asked("d", {**replicas, "elsewhere/web.yaml": DEPLOYMENT % 2}) == "unknown"
    assert asked("e", {**replicas, "README.md": "more"}) == "pass"
