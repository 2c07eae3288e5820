"""`docs/spinnaker.md` can be followed: each command and body on it is carried out on a sandbox Gate, in the order of the page, and carries its mark."""

import asyncio
import json
import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from integrations.sandbox.gate.access import User
from integrations.sandbox.gate.server import SandboxGate
from integrations.sandbox.gate.settings import Profile
from service.api.tokens import new_key
from service.cli import kit
from service.cli.kit_spinnaker import SpinnakerWishes
from service.wiring.parts import SystemClock
from tests.fakes.clock import FakeClock

PAGE = Path(__file__).parents[2] / "docs/spinnaker.md"
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"\(recorded\)|source only")
OLD, NEW = "registry.example/shop/checkout:1", "registry.example/shop/checkout:2"
WITHOUT_VALUE = frozenset({"-sS", "--fail"})


def blocks(language: str) -> list[tuple[str, str]]:
    """(line right before it, body) of each block of that language, as the page has them."""
    text = PAGE.read_text(encoding="utf-8")
    return [(text[: one.start()].rstrip().rpartition("\n")[2], one["body"]) for one in BLOCK.finditer(text) if one["language"] == language]


def lines() -> list[str]:
    """Each command of the page as one logical line; one that a quote keeps open goes on."""
    found: list[str] = []
    for _, body in blocks("sh"):
        open_ = ""
        for line in body.splitlines():
            open_ = f"{open_}\n{line}" if open_ else line
            try:
                shlex.split(open_, comments=True)
            except ValueError:
                continue
            found += [open_] if open_.strip() else []
            open_ = ""
        assert not open_, f"a quote is left open: {open_}"
    return found


CURLS = [one for one in lines() if one.startswith("curl ")]
OTHERS = [one for one in lines() if not one.startswith("curl ")]


class Person:
    """Somebody who types the page's commands; `known` are the variables that the page tells them to set."""

    def __init__(self, session: aiohttp.ClientSession, **known: str) -> None:
        self._session = session
        self.known = known

    async def types(self, line: str) -> str:
        """One `curl` as it stands on the page, and the `grep` behind it; what was answered."""
        words = shlex.split(re.sub(r"\$(\w+)", lambda name: self.known[name[1]], line))
        command, _, check = words, "", []
        if "|" in words:
            command, check = words[: words.index("|")], words[words.index("|") + 1 :]
        address, method, body, headers = self._of(command[1:])
        async with self._session.request(method, address, data=body, headers=headers, allow_redirects=False) as answer:
            assert answer.status < 300, (line, answer.status, await answer.text())
            told = await answer.text()
        if check:
            assert check[0] == "grep"
            assert await _code(check, told) == 0, (line, told)
        return told

    @staticmethod
    def _of(words: list[str]) -> tuple[str, str, str | None, dict[str, str]]:
        address, method, body, headers = "", "", None, {}
        rest = iter(words)
        for word in rest:
            if word in WITHOUT_VALUE:
                continue
            if word == "-H":
                name, _, value = next(rest).partition(": ")
                headers[name] = value
            elif word == "-d":
                body = next(rest)
            elif word == "-X":
                method = next(rest)
            elif word == "--max-redirs":
                assert next(rest) == "0"
            else:
                assert not word.startswith("-"), f"the page uses {word}, which this test does not know"
                assert not address
                address = word
        return address, method or ("POST" if body else "GET"), body, headers


@asynccontextmanager
async def gate(clock: Any) -> AsyncIterator[tuple[SandboxGate, str]]:
    """A Gate as the page sets it up, with revision 2 of `checkout` live, and Backout's token."""
    made = SandboxGate(clock=clock, profile=Profile(auth="header", api_tokens=True, fiat=True))
    made.add_application("shop")
    made.add_account("prod-k8s")
    made.add_user(User(name="backout", rights={"READ": {"shop"}, "EXECUTE": {"shop"}}, accounts={"prod-k8s"}))
    for image in (OLD, NEW):
        made.kubernetes.runs("shop", account="prod-k8s", namespace="shop", name="checkout", image=image)
    await made.start()
    try:
        yield made, made.access.token_for("backout")
    finally:
        await made.stop()


def test_each_block_of_commands_says_what_it_rests_on() -> None:
    of_gate = [(before, body) for before, body in blocks("sh") if "$GATE" in body]
    assert len(of_gate) >= 5
    assert [before for before, _ in of_gate if not MARK.search(before)] == []


def test_each_row_of_a_table_says_what_it_rests_on() -> None:
    text = PAGE.read_text(encoding="utf-8")
    tables = re.findall(r"^\|[^\n]*\| mark \|\n\|--[^\n]*\n((?:\|[^\n]*\n)+)", text, re.MULTILINE)
    rows = [line.rstrip("|").rpartition("|")[2].strip() for table in tables for line in table.splitlines()]
    assert len(rows) > 15
    assert [one for one in rows if not re.search(r"recorded|source only|as on Argo CD|Backout's own", one)] == []


async def test_the_commands_by_hand_take_a_bad_release_back() -> None:
    clock = FakeClock()
    async with gate(clock) as (spinnaker, token), aiohttp.ClientSession() as session:
        wait = {"type": "wait", "waitTime": 3600, "refId": "1", "requisiteStageRefIds": []}
        spinnaker.save_pipeline({"application": "shop", "name": "deploy", "stages": [wait]})
        async with session.post(f"{spinnaker.url}/pipelines/shop/deploy", json={"type": "manual"}, headers={"X-SPINNAKER-USER": "backout"}) as answer:
            run = (await answer.json())["ref"].rpartition("/")[2]
        clock.pass_(seconds=60)
        person = Person(session, GATE=spinnaker.url, GATE_AUTH=f"X-Spinnaker-Token: {token}", RUN=run)
        for line in CURLS:
            told = await person.types(line)
            clock.pass_(seconds=60)
            if '"ref"' in line:
                person.known["TASK"] = json.loads(told)["ref"].rpartition("/")[2]
        assert spinnaker.run_of(run)["status"] == "CANCELED"
        assert spinnaker.run_of(person.known["TASK"])["status"] == "SUCCEEDED"
        (workload,) = spinnaker.kubernetes.workloads
        assert [image for image, _ in spinnaker.kubernetes.serving(workload)] == [OLD]


async def test_a_person_without_a_credential_gets_nowhere() -> None:
    async with gate(FakeClock()) as (spinnaker, _), aiohttp.ClientSession() as session:
        person = Person(session, GATE=spinnaker.url, GATE_AUTH="X-Spinnaker-Token: spk_none")
        with pytest.raises(AssertionError, match="401"):
            await person.types(CURLS[0])


async def test_the_settings_of_the_page_and_its_doctor_work(tmp_path: Path) -> None:
    """As they stand there, but for the addresses of files and of Gate."""
    (text,) = [body for _, body in blocks("yaml") if "kind: spinnaker" in body and "delivery:" in body]
    settings = yaml.safe_load(text)
    async with gate(SystemClock()) as (spinnaker, token):
        (tmp_path / "token").write_text(token, encoding="utf-8")
        (tmp_path / "keys.json").write_text(json.dumps({"keys": [new_key()]}), encoding="utf-8")
        settings |= {"store": f"sqlite:///{tmp_path / 'backout.db'}", "auth": {"keys_file": str(tmp_path / "keys.json")}}
        settings["delivery"][0] |= {"url": spinnaker.url, "token_file": str(tmp_path / "token")}
        (tmp_path / "backout.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        (line,) = [one for one in OTHERS if "doctor" in one]
        ran = await _in_process_of_its_own(shlex.split(line), tmp_path)
        told = json.loads(ran)["checks"]
    assert {one["what"] for one in told} >= {"spinnaker spin version", "spinnaker spin account", "spinnaker spin rights", "spinnaker spin ways"}
    assert [one for one in told if one["what"].startswith("spinnaker") and one["well"] == "no"] == []


async def test_the_rights_that_init_asks_for_are_enough_for_doctor(tmp_path: Path) -> None:
    """What stands in its files is what the sandbox's Fiat grants, and nothing more."""
    wishes = SpinnakerWishes(gate_url="https://gate.example.com", applications=("shop",), may_shut_triggers=True)
    rights = yaml.safe_load(wishes.rights())
    async with gate(SystemClock()) as (spinnaker, _):
        granted = {right: {app for app, one in rights["applications"].items() if "backout" in one.get(right, [])} for right in ("READ", "WRITE", "EXECUTE")}
        spinnaker.add_user(User(name="backout", roles=["backout"], rights=granted, accounts={"prod-k8s"}))
        spinnaker.add_application("shop", permissions=rights["applications"]["shop"])
        (tmp_path / "gate-token").write_text(spinnaker.access.token_for("backout"), encoding="utf-8")
        (tmp_path / "keys.json").write_text(json.dumps({"keys": [new_key()]}), encoding="utf-8")
        (tmp_path / "alert-token").write_text("x" * 43, encoding="utf-8")
        text = kit.settings(kit.Wishes(spinnaker=replace(wishes, gate_url=spinnaker.url)))
        (tmp_path / "backout.yaml").write_text(text, encoding="utf-8")
        told = json.loads(await _in_process_of_its_own(["backout", "doctor", "--config", "backout.yaml"], tmp_path))["checks"]
    mine = [one for one in told if one["what"].startswith("spinnaker")]
    assert {one["what"] for one in mine} >= {"spinnaker spin rights", "spinnaker spin account"}
    assert [one for one in mine if one["well"] == "no"] == []


async def _code(command: list[str], given: str) -> int:
    """How a program ends that is given a text."""
    made = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL)
    await made.communicate(given.encode())
    return made.returncode or 0


async def _in_process_of_its_own(words: list[str], folder: Path) -> str:
    assert words[0] == "backout"
    made = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", *words[1:], "--json"), cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await made.communicate()
    return out.decode()
