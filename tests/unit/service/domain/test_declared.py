import pytest

from service.domain.declared import declared
from service.domain.facts import Known
from service.domain.keys import ImageConfig
from service.domain.model import Way
from service.domain.verdict import Answer, Finding
from tests.unit.service.domain import made


def image(repository: str = made.REPOSITORY, **labels: str) -> Known[ImageConfig]:
    named = {f"backout.dev/{name.replace('_', '-')}": value for name, value in labels.items()}
    return made.known(ImageConfig(labels=named, revision="r", repository=repository), what=f"labels {sorted(named)}")


def told(new: Known[ImageConfig], *old: Known[ImageConfig]) -> tuple[Finding, ...]:
    return declared([new], old, made.SUSPECT, made.GOAL)


def only(new: Known[ImageConfig], *old: Known[ImageConfig]) -> tuple[Answer, str]:
    (finding,) = told(new, *old)
    assert finding.evidence[0] in {new.evidence, *(one.evidence for one in old)}
    assert finding.clears or finding.answer is Answer.PASS
    assert (finding.instead is Way.HOTFIX, finding.overridable) == ((True, True) if finding.answer is Answer.BLOCK else (False, False))
    return finding.answer, finding.says


def test_nothing_declared_says_nothing() -> None:
    assert told(image()) == ()
    assert told(image(schema_version="84"), image(phase="contract", never_rollback="x")) == ()
    assert declared([], [], made.SUSPECT, made.GOAL) == ()


@pytest.mark.parametrize(
    ("label", "value", "answer"),
    [
        ("phase", "none", Answer.PASS),
        ("phase", " expand ", Answer.PASS),
        ("phase", "migrate", Answer.WARN),
        ("phase", "contract", Answer.BLOCK),
        ("phase", "Contract", Answer.UNKNOWN),
        ("phase", "", Answer.UNKNOWN),
        ("data_change", "none", Answer.PASS),
        ("data_change", "append", Answer.PASS),
        ("data_change", "rewrite", Answer.BLOCK),
        ("data_change", "yes", Answer.UNKNOWN),
        ("never_rollback", "the key was rotated.", Answer.BLOCK),
        ("min_compatible_schema", "soon", Answer.UNKNOWN),
        ("min_compatible_schema", "84", Answer.UNKNOWN),
    ],
)
def test_each_label_is_heard_and_what_is_not_understood_is_unknown(label: str, value: str, answer: Answer) -> None:
    assert only(image(**{label: value}))[0] is answer


@pytest.mark.parametrize(
    ("floor", "version", "answer"),
    [
        ("84", "83", Answer.BLOCK),
        ("84", "84", Answer.PASS),
        ("84", "100", Answer.PASS),
        ("1.12", "1.9", Answer.BLOCK),
        ("1.0", "1", Answer.PASS),
        ("1.0.1", "1", Answer.BLOCK),
        ("84", "v84", Answer.UNKNOWN),
        ("84", "", Answer.UNKNOWN),
        ("84", "8\u0664", Answer.UNKNOWN),
        ("9" * 100, "84", Answer.UNKNOWN),
    ],
)
def test_a_floor_is_compared_as_numbers(floor: str, version: str, answer: Answer) -> None:
    assert only(image(min_compatible_schema=floor), image(schema_version=version))[0] is answer


def test_a_floor_speaks_of_images_of_its_own_source_alone() -> None:
    answer, says = only(image(min_compatible_schema="84"), image(repository="git.example/other", schema_version="99"))
    assert (answer, says.endswith("release 41 does not say its schema.")) == (Answer.UNKNOWN, True)


def test_the_sentences_name_both_releases() -> None:
    assert only(image(min_compatible_schema="84"), image(schema_version="83"))[1] == (
        "Release 42 declares that code older than schema 84 may not run any more, and release 41 was made for 83."
    )


def test_every_declaration_of_every_image_is_heard() -> None:
    both = [image(phase="contract", data_change="rewrite"), image(never_rollback="keys")]
    assert [one.answer for one in declared(both, [], made.SUSPECT, made.GOAL)] == [Answer.BLOCK] * 3


def test_promise_12_a_label_is_repeated_without_secrets_and_without_what_a_terminal_obeys() -> None:
    says = only(image(never_rollback="\x1b[2J see https://ann:hunter2@wiki.example " + "x" * 500))[1]
    assert "hunter2" not in says
    assert "\x1b" not in says
    assert len(says) < 300
