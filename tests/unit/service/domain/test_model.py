from dataclasses import FrozenInstanceError, replace

import pytest

from service.domain.model import Actor, AlertNotice, Image, Mode, ObjectRef, Source, TargetId, release_key
from tests.unit.service.domain import made


@pytest.mark.parametrize("text", ["prod:checkout", "prod:team-a/checkout", "spin:shop/prod-k8s/checkout-main/eu-west-1", "prod:a:b"])
def test_a_target_id_reads_back_as_it_was_written(text: str) -> None:
    assert str(TargetId.parse(text)) == text
    assert TargetId.parse(text) is TargetId.parse("".join(text))  # the one that is known already


@pytest.mark.parametrize("text", ["", "checkout", "prod:", ":checkout", ":"])
def test_what_is_no_target_says_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match="expected <instance>:<name>"):
        TargetId.parse(text)


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("prod:*", True),
        ("*", True),
        ("prod:team-a/*", True),
        ("prod:team-?/checkout", True),
        ("prod", False),
        ("PROD:*", False),
        ("stage:*", False),
        ("prod:checkout", False),
    ],
)
def test_a_pattern_matches_the_whole_id_and_case(pattern: str, fits: bool) -> None:
    assert TargetId("prod", "team-a/checkout").matches(pattern) is fits


def test_modes_are_ordered_from_least_to_most() -> None:
    assert [mode.word for mode in sorted(Mode)] == ["observe", "suggest", "approve", "auto"]
    assert [Mode.of(mode.word) for mode in Mode] == list(Mode)


def test_a_wrong_mode_lists_the_right_ones() -> None:
    with pytest.raises(ValueError, match="'automatic' is no mode: expected observe, suggest, approve, auto"):
        Mode.of("automatic")


@pytest.mark.parametrize(
    ("reference", "repository"),
    [
        ("nginx", "nginx"),
        ("nginx:1.2", "nginx"),
        ("registry.example/shop/web:2.5.0", "registry.example/shop/web"),
        ("registry.example:5000/shop/web", "registry.example:5000/shop/web"),
        ("registry.example:5000/shop/web:2.5.0", "registry.example:5000/shop/web"),
        ("registry.example:5000/shop/web@sha256:" + "a" * 64, "registry.example:5000/shop/web"),
        ("localhost:5000/web:2.5.0@sha256:" + "a" * 64, "localhost:5000/web"),
    ],
)
def test_an_images_repository_is_its_reference_without_tag_and_digest(reference: str, repository: str) -> None:
    assert Image(reference=reference).repository == repository


def test_an_image_is_exact_only_with_a_digest() -> None:
    assert Image(reference="nginx:1.2").exact is None
    assert Image(reference="nginx:1.2", digest="sha256:ab", proof="pods").exact == "nginx@sha256:ab"


def test_a_release_is_titled_for_people() -> None:
    assert made.SUSPECT.title == "42 (v2.5.0 · c0ffee0)"
    assert replace(made.SUSPECT, version="").title == "42 (c0ffee0)"
    assert replace(made.SUSPECT, version="", sources=()).title == "42"


SOURCE = Source(repository="git.example/deploy", path="checkout", revision="a" * 40)


def test_the_same_sources_are_the_same_release_whatever_its_history_id() -> None:
    assert release_key([SOURCE]) == release_key([replace(SOURCE)])
    assert len(release_key([SOURCE])) == 24


@pytest.mark.parametrize(
    "other",
    [
        [replace(SOURCE, repository="git.example/other")],
        [replace(SOURCE, path="cart")],
        [replace(SOURCE, revision="b" * 40)],
        [replace(SOURCE, parameters='{"image":"x"}')],
        [SOURCE, SOURCE],
        [],
    ],
    ids=["repository", "path", "revision", "parameters", "number of sources", "none"],
)
def test_a_release_with_other_sources_is_another_release(other: list[Source]) -> None:
    assert release_key(other) != release_key([SOURCE])


def test_sources_cannot_be_shifted_into_one_another() -> None:
    one = Source(repository="a", path="bc", revision="d")
    other = Source(repository="ab", path="c", revision="d")
    assert release_key([one]) != release_key([other])


def test_an_object_reads_with_group_and_namespace_where_it_has_them() -> None:
    assert str(ObjectRef(group="apps", kind="Deployment", namespace="shop", name="web")) == "apps/Deployment shop/web"
    assert str(ObjectRef(group="", kind="Namespace", namespace="", name="shop")) == "Namespace shop"


def test_an_alert_without_a_name_is_called_by_its_fingerprint() -> None:
    notice = AlertNotice(fingerprint="f00d", firing=True, starts_at=made.NOW, ends_at=None, labels={}, annotations={})
    assert notice.name == "f00d"
    assert replace(notice, labels={"alertname": "HighErrorRate"}).name == "HighErrorRate"
    assert made.episode({}).name == "f00d"


def test_an_episode_fires_until_an_end_was_told() -> None:
    assert made.episode({}).firing
    assert not made.episode({}, ends_at=made.NOW).firing


def test_an_actor_reads_as_kind_and_name() -> None:
    assert str(Actor(kind="user", name="jane")) == "user:jane"


def test_values_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        made.SUSPECT.handle = "43"  # type: ignore[misc]  # that is the point


def test_an_image_of_machines_is_its_own_digest() -> None:
    assert Image(reference="ami-7", digest="ami-7", proof="reference").of_machines
    assert not Image(reference="registry.example/web@sha256:1", digest="sha256:1", proof="reference").of_machines
    assert not Image(reference="ami-7").of_machines
