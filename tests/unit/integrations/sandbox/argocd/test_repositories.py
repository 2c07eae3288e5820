from pathlib import Path
from typing import Any

import pytest
from dulwich.refs import Ref
from dulwich.repo import Repo

from integrations.sandbox.argocd.objects import TRACKING
from integrations.sandbox.argocd.repositories import RenderError, Repositories
from integrations.sandbox.argocd.settings import Faults
from integrations.sandbox.argocd.status import RefusedError
from tests.contract.argocd.server import GitRepository, config_map


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def repositories(faults: Faults) -> Repositories:
    return Repositories(faults)


@pytest.fixture
def git(tmp_path: Path) -> GitRepository:
    return GitRepository(tmp_path / "r.git")


def source(git: GitRepository, **more: Any) -> dict[str, Any]:
    return {"repoURL": git.url, "path": "deploy", "targetRevision": "main", **more}


def test_branches_tags_head_and_hashes_resolve(repositories: Repositories, git: GitRepository) -> None:
    sha = git.commit({"deploy/cm.json": config_map("web", "1")}, "one")
    with Repo(str(git.path)) as repository:
        repository.refs[Ref(b"refs/tags/v1")] = repository.refs[Ref(b"refs/heads/main")]

    for name in ("main", "HEAD", "refs/heads/main", "v1", sha, sha[:8]):
        assert repositories.resolve(source(git), name) == sha
    assert repositories.resolve({"repoURL": git.url}) == sha
    with pytest.raises(RenderError, match="unable to resolve 'nosuch' to a commit SHA"):
        repositories.resolve(source(git), "nosuch")
    assert repositories.metadata(git.url, sha)["tags"] == ["v1"]


def test_a_directory_renders_json_and_yaml_in_file_order_with_tracking(repositories: Repositories, git: GitRepository) -> None:
    several = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\n---\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, namespace: own}\n"
    listed = {"apiVersion": "v1", "kind": "List", "items": [config_map("in-list", "1")]}
    files: dict[str, Any] = {
        "deploy/b.yaml": several,
        "deploy/a.json": config_map("a", "1"),
        "deploy/c.yml": "",
        "deploy/l.json": listed,
        "deploy/readme.md": "x",
    }
    sha = git.commit({**files, "deploy/below/z.json": config_map("z", "1"), "other/o.json": config_map("o", "1")}, "one")

    found = repositories.render(source(git), sha, "app", "ns")
    deep = repositories.render(source(git, directory={"recurse": True}), sha, "app", "ns")

    assert [item["metadata"]["name"] for item in found] == ["a", "y", "d", "in-list"]
    assert [item["metadata"]["annotations"][TRACKING] for item in found[:3]] == ["app:/ConfigMap:ns/a", "app:/ConfigMap:ns/y", "app:apps/Deployment:own/d"]
    assert "z" in [item["metadata"]["name"] for item in deep]


BROKEN = [
    ({"deploy/cm.json": '{"a": 1, nonsense'}, "Failed to unmarshal \"cm.json\": invalid character 'n' looking for beginning of object key string", 9),
    ({"deploy/cm.yaml": "a: [1"}, 'Failed to unmarshal "cm.yaml"', 9),
    ({"deploy/cm.json": "{}"}, "Object 'Kind' is missing", 9),
    ({"elsewhere/cm.json": "{}"}, "deploy: app path does not exist", 2),
    ({"deploy/kustomization.yaml": "resources: []"}, "plain directories and simple charts, not Kustomize", 2),
    ({"deploy/Chart.yaml": "name: x", "deploy/templates/x.yaml": "{{ include x }}"}, "know look-ups, `| quote` and `if`, not {{ include x }}", 2),
]


@pytest.mark.parametrize(("files", "words", "code"), BROKEN)
def test_what_does_not_render_is_an_error(repositories: Repositories, git: GitRepository, files: dict[str, Any], words: str, code: int) -> None:
    sha = git.commit(files, "broken")

    with pytest.raises(RenderError) as caught:
        repositories.render(source(git), sha, "app", "ns")
    assert words in caught.value.message
    assert caught.value.code == code


def test_with_git_away_the_caches_still_answer_until_both_are_gone(repositories: Repositories, git: GitRepository) -> None:
    sha = git.commit({"deploy/cm.json": config_map("web", "1")}, "one")
    rendered = repositories.render(source(git), sha, "app", "ns")
    repositories.resolve(source(git))
    git.take_away()

    assert repositories.render(source(git), sha, "app", "ns") == rendered
    assert repositories.resolve(source(git), remembered=True) == sha
    with pytest.raises(RenderError, match="failed to list refs: repository not found"):
        repositories.resolve(source(git))
    with pytest.raises(RenderError, match="repository not found"):
        repositories.check_access(source(git))

    repositories.flush_manifests()
    assert repositories.render(source(git), sha, "app", "ns") == rendered

    repositories.flush_manifests()
    repositories.drop_clones()
    with pytest.raises(RenderError, match=r"Failed to fetch default: .* does not appear to be a git repository"):
        repositories.render(source(git), sha, "app", "ns")
    with pytest.raises(RefusedError, match="error acquiring repo lock: failed to initialize"):
        repositories.metadata(git.url, sha)


def test_a_commit_that_the_branch_left_behind_still_renders_from_the_clone(repositories: Repositories, git: GitRepository, faults: Faults) -> None:
    sha = git.commit({"deploy/cm.json": config_map("web", "1")}, "one")
    repositories.resolve(source(git))
    faults.git_down = True

    assert len(repositories.render(source(git), sha, "app", "ns")) == 1


def test_a_dead_repo_server_answers_nothing(repositories: Repositories, git: GitRepository, faults: Faults) -> None:
    sha = git.commit({"deploy/cm.json": config_map("web", "1")}, "one")
    faults.repo_server_down = True

    with pytest.raises(RenderError) as caught:
        repositories.render(source(git), sha, "app", "ns")
    assert caught.value.rpc.startswith("rpc error: code = Unavailable desc = connection error")
    assert caught.value.refusal().http_status == 503


def test_only_local_repositories_are_read(repositories: Repositories) -> None:
    with pytest.raises(RenderError, match="repository not found"):
        repositories.resolve({"repoURL": "https://git.example/app.git"})


def test_rendered_manifests_are_the_callers_own(repositories: Repositories, git: GitRepository) -> None:
    sha = git.commit({"deploy/cm.json": config_map("web", "1")}, "one")
    repositories.render(source(git), sha, "app", "ns")[0]["data"]["v"] = "spoiled"

    assert repositories.render(source(git), sha, "app", "ns")[0]["data"] == {"v": "1"}
