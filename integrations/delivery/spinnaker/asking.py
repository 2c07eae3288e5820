"""What readers of every kind of target ask Gate for: many things at once but not all, and what is told of a whole application, once for all its targets."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from integrations.delivery.looks import Looks
from integrations.delivery.spinnaker.answers import GoneError
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.executions import Execution, executions_of
from integrations.delivery.spinnaker.managed import Managed, managed_of
from integrations.delivery.spinnaker.pipelines import Pipeline, pipeline_of
from integrations.json_shapes import entries
from integrations.moment import Moment
from service.domain.errors import BackoutError
from service.domain.model import Json
from service.domain.ports import Clock

T = TypeVar("T")
AT_ONCE = 8
"""Requests for one question at the same time."""
RUNS_SHOWN = 5
"""Runs of each pipeline that are read to learn who deployed what."""

WITHOUT_KEEL = timedelta(minutes=5)
"""So long it is believed that Gate has no managed delivery: to get it, Gate is started anew."""
FOLLOWED_EVERY = timedelta(seconds=3)
"""So old may be what is said of a task that runs; Orca itself looks at what it waits for every five seconds (contract 4.1)."""

Asked = tuple[str, str]
"""What is asked for, and the application."""


class Applications:
    """Gate's lists of whole applications, each read once for all targets that ask for it in the same turn, or while it waits for room (care D17).

    Who is about to act reads `anew`: an act rests on a look of its own (decision 0035).
    """

    def __init__(self, client: Client, clock: Clock) -> None:
        self._clock = clock
        self._without_keel_until = clock.now()
        self._just = Moment(clock, lasts=FOLLOWED_EVERY)
        client.sending.append(self._just.sending)
        self._looks = Looks[Asked, Any](self._read, room=client.room)
        self._reads: Mapping[str, Callable[[str], Awaitable[Any]]] = {
            "runs": lambda application: _runs(client, application),
            "tasks": lambda application: _tasks(client, application),
            "configs": lambda application: _configs(client, application),
            "managers": lambda application: _body(client.managers(application)),
            "groups": lambda application: _body(client.server_groups(application)),
            "managed": lambda application: _body(client.managed(application)),
        }

    async def ran_in(self, application: str, *, anew: bool = False) -> tuple[tuple[Execution, ...], tuple[Pipeline, ...]]:
        """What Spinnaker ran there as far as it shows (the newest runs of the application's pipelines, and its tasks), and the pipelines that are saved."""
        runs, tasks, saved = await asyncio.gather(*(self._once((what, application), anew=anew) for what in ("runs", "tasks", "configs")))
        return (*runs, *tasks), saved

    async def configs(self, application: str) -> tuple[Pipeline, ...]:
        """Its saved pipelines."""
        found: tuple[Pipeline, ...] = await self._once(("configs", application))
        return found

    async def running_tasks(self, application: str, *, anew: bool = False) -> tuple[Execution, ...]:
        """Its tasks, for all who follow one of them: what was just read serves too (`FOLLOWED_EVERY`), unless we have sent something since."""
        asked, seen = ("tasks", application), None if anew else self._just.recall(application)
        if seen is None:
            begun = self._just.begin()
            seen = await self._once(asked, anew=anew)
            self._just.keep(application, seen, begun)
        found: tuple[Execution, ...] = seen
        return found

    async def managed(self, application: str, *, anew: bool = False) -> Managed:
        """What managed delivery manages of it. Trouble with that alone is no trouble with the target: it is told as not known."""
        if self._clock.now() < self._without_keel_until:
            return Managed(application=application)
        try:
            return managed_of(application, await self._once(("managed", application), anew=anew))
        except GoneError:
            self._without_keel_until = self._clock.now() + WITHOUT_KEEL
            return Managed(application=application)
        except BackoutError as error:
            return Managed(application=application, unknown=str(error))

    async def managers(self, application: str) -> Json:
        """Its Deployments and their like, from the cache."""
        return await self._once(("managers", application))

    async def server_groups(self, application: str) -> Json:
        """Its server groups, from the cache."""
        return await self._once(("groups", application))

    async def _once(self, asked: Asked, *, anew: bool = False) -> Any:
        return await (self._read if anew else self._looks.look)(asked)

    async def _read(self, asked: Asked) -> Any:
        what, application = asked
        return await self._reads[what](application)


async def _runs(client: Client, application: str) -> tuple[Execution, ...]:
    return executions_of((await client.pipeline_runs(application, limit=RUNS_SHOWN, expand=True)).body)


async def _tasks(client: Client, application: str) -> tuple[Execution, ...]:
    return executions_of((await client.tasks(application)).body)


async def _configs(client: Client, application: str) -> tuple[Pipeline, ...]:
    saved = await client.pipeline_configs(application)
    return tuple(one for config in entries(saved.body) if (one := pipeline_of(config)) is not None)


async def _body(reply: Awaitable[Any]) -> Json:
    body: Json = (await reply).body
    return body


async def gathered(asks: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """The answers in order, some at a time; the first error is raised."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(ask: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            return await ask()

    return list(await asyncio.gather(*(one(ask) for ask in asks)))
