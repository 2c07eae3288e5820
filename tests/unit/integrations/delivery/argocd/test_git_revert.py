import json
import shlex
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from integrations.delivery.argocd import git_revert
from service.domain.keys import Owner, TargetState
from service.domain.model import Release, Source, TargetId, release_key

NOW = datetime(2026, 5, 4, 14, 0, tzinfo=UTC)
WEB = TargetId("prod", "web")
IDENTITY = ("-c", "user.name=Dev", "-c", "user.email=dev@example.org")


def release(handle: str, *sources: Source) -> Release:
    return Release(target=WEB, key=release_key(sources), handle=handle, sources=sources, started_at=NOW)


def source(revision: str, path: str = "deploy", repository: str = "https://git.example/web", parameters: str = "") -> Source:
    return Source(repository=repository, path=path, revision=revision, parameters=parameters)


GOOD, BAD = release("0", source("a" * 40)), release("1", source("b" * 40))
STATE = TargetState(
    target=WEB,
    uid="u",
    title="web",
    project="shop",
    current=BAD,
    history=(BAD, GOOD),
    desired_revision="",
    auto_sync=True,
    remembered={},
    owner=Owner(kind="applicationset", name="all", reverts=True),
    running=None,
    health="Degraded",
    spec_digest="sha256:1",
    objects=(),
    follows=("main",),
)


def git(*words: str, at: Path) -> str:
    done = subprocess.run(["git", *IDENTITY, *words], cwd=at, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def committed(at: Path, files: dict[str, str | None], message: str) -> str:
    for name, text in files.items():
        file = at / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            file.unlink()
        else:
            file.write_text(text)
    git("add", "--all", at=at)
    git("commit", "--quiet", "--message", message, at=at)
    return git("rev-parse", "HEAD", at=at)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    folder = tmp_path / "origin of; rm -rf $HOME"
    folder.mkdir()
    git("init", "--quiet", "--initial-branch=release/1 & 2".replace(" ", "-"), at=folder)
    git("config", "receive.denyCurrentBranch", "ignore", at=folder)
    return folder


def test_the_commands_make_the_folder_what_it_was_and_touch_nothing_else(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed as they are, in a shell, with a path and a repository that would do harm if they were not quoted."""
    path = "de ploy/$(touch pwned)"
    branch = git("symbolic-ref", "--short", "HEAD", at=origin)
    good = committed(origin, {f"{path}/app.yaml": "image: 1\n", f"{path}/kept.yaml": "x\n", "other/app.yaml": "image: 1\n"}, "good")
    committed(origin, {f"{path}/app.yaml": "image: 2\n", f"{path}/new.yaml": "n\n"}, "half of it")
    bad = committed(origin, {f"{path}/app.yaml": "image: 3\n", f"{path}/kept.yaml": None, "other/app.yaml": "image: 2\n"}, "bad")
    repository = f"file://{origin}"
    before, after = (release(str(i), source(revision, path, repository)) for i, revision in enumerate((good, bad)))
    (revert, _) = git_revert.plan(replace(STATE, follows=(branch,)), after, before)
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(name, "Dev")
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "dev@example.org")
    work = tmp_path / "work"
    work.mkdir()

    subprocess.run(["bash", "-eu", "-c", revert.command], cwd=work, check=True, capture_output=True)

    made = f"backout/revert-{bad[:7]}"
    assert git("diff", "--name-only", good, made, at=origin).splitlines() == ["other/app.yaml"]
    assert git("log", "-1", "--format=%s", made, at=origin) == f"Revert web to {before.title}"
    assert git("rev-parse", branch, at=origin) == bad
    assert sorted(p.name for p in work.iterdir()) == [f"backout-revert-{bad[:7]}"]
    assert list(tmp_path.rglob("pwned")) == []


def test_the_revert_names_the_commit_the_branch_and_the_words_of_the_pull_request() -> None:
    revert, deploy = git_revert.plan(STATE, BAD, GOOD)
    assert (revert.name, revert.owner, deploy.owner) == ("revert_in_git", "person", "person")
    assert revert.says == (
        "Revert commit bbbbbbb of https://git.example/web on main: make deploy what it was at aaaaaaa, "
        "and open a pull request titled “Revert web to 0 (aaaaaaa)”"
    )
    assert {key: revert.parameters[key] for key in ("revert", "to", "path", "branch")} == {
        "revert": "b" * 40,
        "to": "a" * 40,
        "path": "deploy",
        "branch": "main",
    }
    assert revert.parameters["body"].startswith("Release 1 (bbbbbbb) of prod:web is taken back.")
    lines = revert.command.split(" &&\n")
    assert shlex.split(lines[0]) == ["git", "clone", "--branch", "main", "--", "https://git.example/web", "backout-revert-bbbbbbb"]
    assert "argocd app get web --refresh" in deploy.command


def test_the_default_branch_is_cloned_without_naming_it() -> None:
    for follows in ("", "HEAD"):
        revert, _ = git_revert.plan(replace(STATE, follows=(follows,)), BAD, GOOD)
        assert "--branch" not in revert.command


def test_only_the_sources_that_differ_are_reverted() -> None:
    same = source("c" * 40, "base")
    bad, good = release("1", same, source("b" * 40)), release("0", same, source("a" * 40))
    steps = git_revert.plan(replace(STATE, follows=("main", "stable")), bad, good)
    assert [step.name for step in steps] == ["revert_in_git", "see_it_deployed"]
    assert steps[0].parameters["branch"] == "stable"


@pytest.mark.parametrize(
    ("bad", "good", "follows"),
    [
        (source("b" * 40, parameters="sha256:2"), source("a" * 40, parameters="sha256:1"), "main"),
        (source("1.4.2", "chart"), source("1.4.1", "chart"), "1.4.2"),
        (source("b" * 40), source("a" * 40), "b" * 40),
        (source("b" * 40, "deploy"), source("a" * 40, "elsewhere"), "main"),
    ],
)
def test_what_no_commit_of_the_folder_made_is_put_back_where_the_owner_declares_it(bad: Source, good: Source, follows: str) -> None:
    declare, _ = git_revert.plan(replace(STATE, follows=(follows,)), release("1", bad), release("0", good))
    assert (declare.name, declare.owner) == ("declare_in_git", "person")
    assert "applicationset all declares web" in declare.says
    assert json.loads(declare.says.partition(": ")[2]) == [{"repoURL": good.repository, "path": good.path, "revision": good.revision}]


def test_another_number_of_sources_is_declared_as_well() -> None:
    bad = release("1", source("b" * 40), source("c" * 40))
    assert git_revert.plan(STATE, bad, GOOD)[0].name == "declare_in_git"


def test_without_auto_sync_a_person_syncs() -> None:
    steps: Any = git_revert.plan(replace(STATE, auto_sync=False), BAD, GOOD)
    assert steps[-1].command.splitlines()[0] == "argocd app sync web &&"
