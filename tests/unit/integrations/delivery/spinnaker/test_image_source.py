"""Shapes as the source of Clouddriver, Rosco, Orca and Igor 2026.2.3 has them; no recording shows an image's tags."""

from collections.abc import Mapping
from typing import Any

import pytest

from integrations.delivery.spinnaker.executions import Execution, execution_of
from integrations.delivery.spinnaker.image_source import REPOSITORY, REVISION, TAG_IT, source_of
from integrations.delivery.spinnaker.server_groups import VERSION, ServerGroup, server_group_of
from integrations.sandbox.gate.server_groups import built_of
from service.domain.facts import Absent
from service.domain.keys import ImageConfig

SHA, OTHER = "4ad5f8c" + "0" * 33, "9c1e2ab" + "1" * 33
SHOP = "https://git.example/shop/web"
PACKAGES = {"web": SHOP}


def group(image: str = "ami-2", **tags: str) -> ServerGroup:
    """A server group of an image with these tags; `appversion` becomes `buildInfo` as Clouddriver makes it."""
    named = {name.replace("__", "."): value for name, value in tags.items()}
    about: dict[str, Any] = {"imageId": image, "tags": [{"key": name, "value": value} for name, value in named.items()]}
    body = {"name": "web-main-v001", "account": "prod", "region": "us-east-1", "image": about, "launchConfig": {"imageId": image}, "buildInfo": built_of(named)}
    found = server_group_of(body, "web")
    assert found is not None
    return found


def tagged(revision: str = SHA, repository: str = SHOP, **more: str) -> ServerGroup:
    return group(**{REVISION.replace(".", "__"): revision, REPOSITORY.replace(".", "__"): repository}, **more)


def versioned(commit: str = SHA, **more: str) -> ServerGroup:
    return group(appversion=f"web-2.0.0-h42.{commit}/SHOP-web/42", **more)


def baked(*shas: str, commit: str = SHA, image: str = "ami-2", package: str = "web", status: str = "SUCCEEDED", **within: Any) -> Execution:
    """A run that baked an image; `within` is what its trigger has beside the build."""
    context = {"ami": image, "imageId": image, "region": "us-east-1", "package": package, **({"commitHash": commit} if commit else {})}
    stage = {"id": "B", "type": "bake", "status": status, "parentStageId": "P", "context": context}
    build = {"name": "web", "number": 42, "scm": [{"branch": "main", "name": "refs/remotes/origin/main", "sha1": sha} for sha in shas]}
    found = execution_of({"id": "R1", "type": "PIPELINE", "trigger": {"type": "jenkins", "buildInfo": build, **within}, "stages": [stage]})
    assert found is not None
    return found


def source(of: ServerGroup, *runs: Execution, packages: Mapping[str, str] = PACKAGES) -> ImageConfig:
    found = source_of(of, runs, packages)
    assert isinstance(found, ImageConfig), found
    return found


def doubt(of: ServerGroup, *runs: Execution) -> str:
    found = source_of(of, runs, PACKAGES)
    assert isinstance(found, Absent), found
    assert found.clears == TAG_IT
    return found.why


def test_tags_say_it_as_the_labels_of_a_container_image_do() -> None:
    found = source(tagged(**{VERSION.replace(".", "__"): "2.0.0", "backout__dev/never-rollback": "true"}), packages={})
    assert (found.revision, found.repository, found.version, found.derived) == (SHA, SHOP, "2.0.0", False)
    assert found.labels["backout.dev/never-rollback"] == "true"


def test_what_a_tag_says_of_user_and_password_is_not_kept() -> None:
    assert source(tagged(repository="https://bot:s3cret@git.example/shop/web")).repository == SHOP


def test_the_commit_of_appversion_is_derived_and_the_operator_says_of_which_repository() -> None:
    found = source(versioned())
    assert (found.revision, found.repository, found.derived) == (SHA, SHOP, True)
    assert source(versioned(), packages={"other": SHOP}).repository == ""
    assert source(versioned(**{REPOSITORY.replace(".", "__"): "https://git.example/fork"})).repository == "https://git.example/fork"


def test_without_a_commit_anywhere_none_is_said() -> None:
    for silent in (group(), group(appversion="web-2.0.0-h42"), group(appversion="web-2.0.0-h42.586499"), group(appversion="nonsense")):
        assert source(silent).revision == ""


def test_a_shortened_commit_is_completed_by_the_run_that_baked_it_and_else_stays_short() -> None:
    assert source(versioned("4ad5f8c"), baked(SHA)).revision == SHA
    assert source(versioned("4ad5f8c")).revision == "4ad5f8c"
    assert source(tagged("4AD5F8C", appversion=f"web-2.0.0-h42.{SHA}")).revision == SHA


def test_the_run_that_baked_it_says_it_where_the_image_has_no_tag() -> None:
    found = source(group(), baked(SHA))
    assert (found.revision, found.derived) == (SHA, True)
    assert source(group(), baked(SHA, commit="")).revision == SHA


@pytest.mark.parametrize("run", [baked(SHA, image="ami-1"), baked(SHA, status="TERMINAL"), baked(SHA, status="RUNNING")], ids=["another", "failed", "runs"])
def test_a_bake_of_another_image_or_one_that_is_not_done_says_nothing(run: Execution) -> None:
    assert source(group(), run).revision == ""


@pytest.mark.parametrize(
    ("of", "run", "says"),
    [
        (tagged(OTHER, appversion=f"web-2.0.0-h42.{SHA}"), None, "by its tag appversion"),
        (versioned(OTHER), baked(SHA), "by the bake of run R1"),
        (tagged(OTHER), baked(SHA, commit=""), "by the build of run R1"),
    ],
    ids=["two tags", "tag and bake", "tag and build"],
)
def test_promise_1_what_contradicts_is_unknown(of: ServerGroup, run: Execution | None, says: str) -> None:
    why = doubt(of, *([run] if run else []))
    assert why.startswith("it was built from ")
    assert says in why
    assert OTHER[:12] in why
    assert SHA[:12] in why


def test_promise_1_a_build_of_several_commits_is_a_choice_that_nobody_here_makes() -> None:
    assert doubt(versioned(), baked(SHA, OTHER)) == "the build that it was baked from has 2 commits, and which is its own is not told"
    assert source(tagged(), baked(SHA, OTHER)).revision == SHA  # the build itself says which
    assert source(versioned(), baked(SHA, SHA)).revision == SHA


def test_promise_1_a_commit_that_the_build_does_not_have_is_unknown() -> None:
    third = "7" * 40
    assert doubt(tagged(), baked(OTHER, third, commit="")) == f"it names {SHA[:12]}, which is no commit of the build that run R1 baked it from"


def test_promise_1_several_packages_in_one_image_are_more_than_one_source() -> None:
    assert doubt(versioned(), baked(SHA, package="web agent")) == "several packages were baked into it (web, agent), and the source of one alone is told"
    assert source(tagged(), baked(SHA, package="web agent")).revision == SHA


def test_the_build_of_the_run_that_started_it_counts() -> None:
    parent: dict[str, Any] = {"type": "pipeline", "buildInfo": None, "parentExecution": {"trigger": {"buildInfo": {"scm": [{"sha1": OTHER}]}}}}
    assert "by the build of run R1" in doubt(versioned(), baked(commit="", **parent))


@pytest.mark.parametrize(
    "tags", [None, "x", 7, [None, 7, {"key": 1, "value": 2}], {"a": None}, [{"key": REVISION, "value": SHA}, {"key": REVISION, "value": OTHER}]]
)
def test_tags_of_any_other_shape_or_told_twice_say_nothing(tags: Any) -> None:
    body = {"name": "web-main-v001", "account": "prod", "region": "us-east-1", "image": {"imageId": "ami-2", "tags": tags}, "buildInfo": "x"}
    found = server_group_of(body, "web")
    assert found is not None
    assert source(found).revision == ""


def test_tags_as_an_object_are_read_too() -> None:
    body = {"name": "web-main-v001", "account": "prod", "region": "us-east-1", "image": {"imageId": "ami-2", "tags": {REVISION: SHA}}}
    found = server_group_of(body, "web")
    assert found is not None
    assert source(found).revision == SHA
