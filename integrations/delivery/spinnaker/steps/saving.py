"""Changes saved pipelines, each read right before and saved only if nobody saved it since: what a person saves meanwhile is read anew, never overwritten."""

from collections.abc import Callable

from integrations.delivery.spinnaker.answers import ServerRefusedError
from integrations.delivery.spinnaker.pipelines import Pipeline
from integrations.delivery.spinnaker.steps.step import Intent, Tools
from integrations.json_shapes import Body
from service.domain.errors import RefusedError
from service.domain.ports import Guard

STALE = "pipeline is stale"
"""Front50's words when somebody saved it since it was read (source only; Gate hands them on with status 400)."""
TRIES = 3

Change = Callable[[Pipeline], Body]
"""A pipeline -> its whole text as it is to be; the text as it is where nothing is to change."""


async def save_each(tools: Tools, intent: Intent, guard: Guard, change: Change) -> None:
    """Save every pipeline that the change changes. RefusedError names each that could not be, after the others were.

    TemporaryError: nobody knows, and it is looked at.
    """
    refused: dict[str, str] = {}
    for _ in range(TRIES):
        refused = {}
        stale = False
        for pipeline in (await tools.get(intent)).pipelines:
            body = change(pipeline)
            if body == pipeline.raw:
                continue
            try:
                await tools.client.save_pipeline(body, guard, was=pipeline.raw)
            except ServerRefusedError as error:
                refused[pipeline.name] = error.words or str(error)
                stale = stale or STALE in error.words
        if not stale:
            break
    if refused:
        raise RefusedError("; ".join(f"pipeline {name} could not be saved: {why}" for name, why in refused.items()))
