"""Reads a stream of server-sent events as a browser does, and holds what comes against openapi.yaml."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientResponse
from jsonschema import Draft202012Validator

from tests.unit.service.api import described
from tests.unit.service.api.conftest import Api


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One event; `kind` is `message` where none is named, and `comment` for a line that is none."""

    kind: str
    data: Any
    identity: str = ""


class Listener:
    """An open stream. Every data is judged by the schema of its kind."""

    def __init__(self, answer: ClientResponse, schema: str) -> None:
        self.answer = answer
        self._schemas = {"message": "Event", "state": schema, "end": schema}

    async def next(self) -> Heard | None:
        """The next event, None when the stream is over."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(60):
            while line := (await self.answer.content.readline()).decode():
                name, colon, value = line.rstrip("\n").partition(":")
                if not line.strip():
                    if "data" in fields:
                        return self._heard(fields)
                    continue
                if colon and not name:
                    return Heard(kind="comment", data=value.strip())
                fields[name] = value.removeprefix(" ")
        return None

    def _heard(self, fields: dict[str, str]) -> Heard:
        heard = Heard(kind=fields.get("event", "message"), data=json.loads(fields["data"]), identity=fields.get("id", ""))
        schema = {"$ref": f"urn:openapi#/components/schemas/{self._schemas[heard.kind]}"}
        wrong = [error.message for error in Draft202012Validator(schema, registry=described.registry()).iter_errors(heard.data)]
        assert not wrong, (heard.kind, wrong)
        return heard

    async def rest(self) -> list[Heard]:
        """Everything until the end."""
        found = []
        while (one := await self.next()) is not None:
            found.append(one)
        return found


@asynccontextmanager
async def listening(api: Api, path: str, schema: str, *, token: str = "", last: str = "") -> AsyncIterator[Listener]:
    """An open stream at an address."""
    headers = {"Authorization": f"Bearer {token or api.token}", "Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
    async with api.client.get(path, headers=headers) as answer:
        yield Listener(answer, schema)
