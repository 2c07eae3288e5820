import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from integrations.sandbox.world import SENDERS
from service.cli.demo import storm
from service.cli.demo.storm import CONNECTIONS, POSTS, Seen, check
from service.wiring.parts import SystemClock
from service.wiring.playground import Playground
from tests.unit.service.cli.demo.told import Told

GOOD = {"rollbacks": 1, "calls": 1, "operations": 1, "acknowledged": POSTS, "kept": POSTS + 1}


def test_a_storm_that_went_well_is_seen_so() -> None:
    story = Told()
    check(story, Seen(**GOOD), "Spinnaker")
    assert story.ok
    assert "Spinnaker was asked for it once, in spite of the crash" in story.checks


@pytest.mark.parametrize("wrong", [{"rollbacks": 2}, {"rollbacks": 0}, {"calls": 2}, {"operations": 2}, {"kept": POSTS - 1}, {"acknowledged": POSTS - 1}])
def test_whatever_went_wrong_is_seen(wrong: dict[str, int]) -> None:
    story = Told()
    check(story, Seen(**{**GOOD, **wrong}), "Spinnaker")
    assert (story.ok, story.exit_code) == (False, 1)
    assert sum(1 for held in story.checks.values() if not held) == 1


class World:
    senders = SENDERS


class Hurried(SystemClock):
    """A retry takes no real seconds."""

    async def sleep(self, seconds: float) -> None:
        del seconds
        await asyncio.sleep(0)


class Ground:
    """A playground of which only the intake is there: it is away for the first posts, as while it is killed."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url, self.world = folder, url, World()
        for number, sender in enumerate(SENDERS):
            (folder / sender.token_file).write_text(f"token-{number}\n", encoding="utf-8")


async def test_promise_2_a_post_that_was_not_taken_is_sent_again_and_counted_once(tmp_path: Path, aiohttp_server: Any) -> None:
    tokens: list[str] = []

    async def intake(request: web.Request) -> web.Response:
        tokens.append(request.headers["Authorization"])
        return web.Response(status=503 if len(tokens) <= 2 else 202)

    app = web.Application()
    app.router.add_post("/v1/alerts/alertmanager", intake)
    server = await aiohttp_server(app)
    ground = cast("Playground", Ground(tmp_path, str(server.make_url("")).rstrip("/")))
    story = Told(clock=Hurried())
    taken = [await storm.send(story, ground, b"{}", number) for number in (0, 1)]
    assert taken == [POSTS // CONNECTIONS] * 2
    assert len(tokens) == 2 * POSTS // CONNECTIONS + 2
    assert set(tokens) == {"Bearer token-0", "Bearer token-1"}
