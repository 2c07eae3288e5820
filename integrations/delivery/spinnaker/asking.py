"""What readers of every kind of target ask Gate for: many things at once but not all, and what Spinnaker ran and would run in an application."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.executions import Execution, executions_of
from integrations.delivery.spinnaker.pipelines import Pipeline, pipeline_of
from integrations.json_shapes import entries

T = TypeVar("T")
AT_ONCE = 8
"""Requests for one question at the same time."""
RUNS_SHOWN = 5
"""Runs of each pipeline that are read to learn who deployed what."""


async def ran_in(client: Client, application: str) -> tuple[tuple[Execution, ...], tuple[Pipeline, ...]]:
    """What Spinnaker ran there as far as it shows (the newest runs of the application's pipelines, and its tasks), and the pipelines that are saved."""
    pipelines, tasks, configs = await asyncio.gather(
        client.pipeline_runs(application, limit=RUNS_SHOWN, expand=True), client.tasks(application), configs_of(client, application)
    )
    return (*executions_of(pipelines.body), *executions_of(tasks.body)), configs


async def configs_of(client: Client, application: str) -> tuple[Pipeline, ...]:
    """The application's saved pipelines."""
    return tuple(one for config in entries((await client.pipeline_configs(application)).body) if (one := pipeline_of(config)) is not None)


async def gathered(asked: Iterable[Awaitable[T]]) -> list[T]:
    """The answers in order, some at a time; the first error is raised."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(ask: Awaitable[T]) -> T:
        async with gate:
            return await ask

    return list(await asyncio.gather(*(one(ask) for ask in asked)))
