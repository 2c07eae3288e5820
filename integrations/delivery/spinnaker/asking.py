"""What readers of every kind of target ask Gate for: many things at once but not all, and what is told of a whole application, once for all its targets."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from integrations.delivery.looks import Looks
from integrations.delivery.spinnaker.answers import GoneError
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.executions import Execution, execution_of, executions_of
from integrations.delivery.spinnaker.managed import Managed, managed_of
from integrations.delivery.spinnaker.pipelines import Pipeline, pipeline_of
from integrations.http import TooLongError
from integrations.json_shapes import entries
from integrations.moment import Moment
from service.domain.errors import BackoutError, TemporaryError
from service.domain.model import Json
from service.domain.ports import Clock

T = TypeVar("T")
AT_ONCE = 8
"""Requests for one question at the same time."""
LONG_AT_ONCE = 2
"""Of those that may be as long as an answer gets: so many are in memory together."""
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
        self._client = client
        self._clock = clock
        self._too_long = set[str]()
        self._without_keel_until = clock.now()
        self._just = Moment(clock, lasts=FOLLOWED_EVERY)
        client.sending.append(self._just.sending)
        self._looks = Looks[Asked, Any](self._read, room=client.room)
        self._reads: Mapping[str, Callable[[str], Awaitable[Any]]] = {
            "runs": self._runs,
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

    async def _runs(self, application: str) -> tuple[Execution, ...]:
        """In one list; where that is longer than anybody reads (runs carry the whole run that started them), each by its id, a few at a time.

        Such an application is read so from then on: to find out anew each time would cost the long answer as well.
        """
        if application not in self._too_long:
            try:
                return executions_of((await self._client.pipeline_runs(application, limit=RUNS_SHOWN, expand=True)).body)
            except TooLongError:
                self._too_long.add(application)
        listed = executions_of((await self._client.pipeline_runs(application, limit=RUNS_SHOWN, expand=False)).body)
        found = await gathered((functools.partial(self._run, one.id) for one in listed), at_once=LONG_AT_ONCE)
        return tuple(one for one in found if one is not None)

    async def _run(self, identity: str) -> Execution | None:
        """One run; None for one that is gone since it was listed. One that cannot be read makes the whole unknown, for it may be the one that matters."""
        try:
            run = execution_of((await self._client.pipeline_run(identity)).body)
        except GoneError:
            return None
        if run is None:
            raise TemporaryError(f"run {identity} could not be read")
        return run


async def _tasks(client: Client, application: str) -> tuple[Execution, ...]:
    return executions_of((await client.tasks(application)).body)


async def _configs(client: Client, application: str) -> tuple[Pipeline, ...]:
    saved = await client.pipeline_configs(application)
    return tuple(one for config in entries(saved.body) if (one := pipeline_of(config)) is not None)


async def _body(reply: Awaitable[Any]) -> Json:
    body: Json = (await reply).body
    return body


async def gathered(asks: Iterable[Callable[[], Awaitable[T]]], *, at_once: int = AT_ONCE) -> list[T]:
    """The answers in order, some at a time; the first error is raised."""
    gate = asyncio.Semaphore(at_once)

    async def one(ask: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            return await ask()

    return list(await asyncio.gather(*(one(ask) for ask in asks)))
