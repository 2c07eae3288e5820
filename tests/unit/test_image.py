"""The Dockerfile against the tree. No container engine is needed, and none is there: what it copies, installs, runs and asks is held to what it comes from."""

import json
import re
import subprocess
import sys
import threading
import tomllib
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LINES = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text(encoding="utf-8")).splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def said(word: str) -> list[str]:
    """What stands behind a word of the Dockerfile, each time."""
    return [line.removeprefix(word).strip() for line in LINES if line.startswith(f"{word} ")]


def copied() -> set[str]:
    """What of the tree is copied into the first stage."""
    return {source.rstrip("/") for line in said("COPY") if not line.startswith("--from") for source in line.split()[:-1]}


def test_both_stages_stand_on_one_base_that_names_a_python_the_project_runs_on() -> None:
    bases = {line.split()[0] for line in said("FROM")}
    assert len(bases) == 1
    found = re.fullmatch(r"python:3\.(\d+)-slim", bases.pop())
    assert found
    assert int(found[1]) >= int(re.findall(r"3\.(\d+)", PROJECT["project"]["requires-python"])[0])


def test_everything_that_the_package_is_built_from_is_copied_and_reaches_the_builder() -> None:
    project = PROJECT["project"]
    needed = {
        "pyproject.toml",
        "requirements.txt",
        "requirements-dev.txt",
        "service",
        "integrations",
        "openapi.yaml",
        project["readme"],
        *project["license-files"],
    }
    assert copied() == needed
    assert not [one for one in needed if not (ROOT / one).exists()]
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")}
    assert let_through == needed


def test_the_contract_is_shipped_inside_the_package() -> None:
    assert "openapi.yaml" in PROJECT["tool"]["setuptools"]["package-data"]["service"]
    assert yaml.safe_load((ROOT / "service/openapi.yaml").read_text(encoding="utf-8"))["openapi"]


def test_the_build_backend_comes_by_its_hash_and_nothing_else_with_it() -> None:
    (command,) = (line for line in said("RUN") if line.startswith("sed "))
    found = re.match(r"sed -n '([^']+)' requirements-dev\.txt > requirements-build\.txt ", command)
    assert found
    taken = subprocess.run(["sed", "-n", found[1], str(ROOT / "requirements-dev.txt")], capture_output=True, text=True, check=True).stdout
    names = re.findall(r"^(\S+?)==", taken, re.MULTILINE)
    assert names == [re.split(r"[<>=~!]", one)[0] for one in PROJECT["build-system"]["requires"]]
    assert "--hash=sha256:" in taken
    assert all("--require-hashes --only-binary=:all:" in one for one in re.findall(r"pip install [^&]*-r \S+", " ".join(said("RUN"))))


def test_it_runs_as_nobody_in_particular_and_through_no_shell() -> None:
    (user,) = said("USER")
    assert re.fullmatch(r"[1-9]\d{4}:[1-9]\d{4}", user)
    ((program,), arguments) = (json.loads(said(word)[-1]) for word in ("ENTRYPOINT", "CMD"))
    assert program in PROJECT["project"]["scripts"]
    assert arguments[0] == "serve"
    assert (said("STOPSIGNAL"), said("ARG")[0]) == (["SIGTERM"], f"VERSION={PROJECT['project']['version']}")


@pytest.mark.parametrize(("status", "code"), [(HTTPStatus.OK, 0), (HTTPStatus.SERVICE_UNAVAILABLE, 1), (None, 1)])
def test_the_health_check_is_well_only_when_the_process_says_so(status: HTTPStatus | None, code: int) -> None:
    asked: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status or HTTPStatus.OK)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name in the standard library
            pass

    program, _, text = json.loads(said("HEALTHCHECK")[0].partition(" CMD ")[2])
    (port,) = said("EXPOSE")
    assert (program, text.count(port)) == ("python", 1)
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = str(server.server_port)
        try:
            ran = subprocess.run([sys.executable, "-c", text.replace(port, here if status else "1")], capture_output=True, check=False, timeout=60)
        finally:
            server.shutdown()
    assert ran.returncode == code
    assert asked == (["/livez"] if status else [])
