import json

import pytest

from service.domain.packages import changed_packages

TOML = '[[package]]\nname = "a"\nversion = "{}"\n\n[[package]]\nname = "b"\nversion = "1"\n'
NPM = {"packages": {"": {"version": "9"}, "node_modules/a": {"version": "1"}, "node_modules/x/node_modules/@s/b": {"version": "1"}}}


@pytest.mark.parametrize(
    ("path", "before", "after", "wanted"),
    [
        ("requirements.txt", "a==1\nb[x]>=2 \\\n  --hash=sha256:0\n", "a==2\nb[x]>=2\nc~=1\n# d==1\n", ("a", "c")),
        ("svc/requirements-dev.in", None, "django==5.2 ; python_version > '3'\n", ("django",)),
        ("Gemfile.lock", "GEM\n  specs:\n    rails (8.0)\n      x (= 1)\n", "GEM\n  specs:\n    rails (8.1)\n      x (= 2)\n", ("rails",)),
        ("go.mod", "require (\n\tgithub.com/a/b v1.0.0\n)\n", "require (\n\tgithub.com/a/b v1.1.0\n)\n", ("github.com/a/b",)),
        ("uv.lock", TOML.format(1), TOML.format(2), ("a",)),
        ("Cargo.lock", TOML.format(1), TOML.format(1), ()),
        ("package-lock.json", json.dumps(NPM), json.dumps(NPM).replace('"1"', '"2"'), ("@s/b", "a")),
    ],
)
def test_packages_that_move_or_come_are_named(path: str, before: str | None, after: str, wanted: tuple[str, ...]) -> None:
    assert changed_packages(path, before, after) == wanted


@pytest.mark.parametrize(
    ("path", "after"),
    [
        ("Dockerfile", "FROM a"),
        ("uv.lock", "[[["),
        ("uv.lock", None),
        ("package-lock.json", "["),
        ("package-lock.json", "[1]"),
        ("uv.lock", "package = 1"),
        ("go.mod", "x" * 1_000_001),
    ],
)
def test_what_is_not_told_apart_names_nothing(path: str, after: str | None) -> None:
    assert changed_packages(path, None, after) == ()
