"""Servers that a test has killed and wants back: only the lab can start one again so that it ends with the lab.

Asked for by an empty file in the lab's work folder, answered by another one that holds the new process id.
"""

import asyncio
from pathlib import Path

from tests.real.lab.output import say
from tests.real.lab.processes import Processes

_LOOK_S = 0.1


def wanted_back(work: Path, server: str) -> Path:
    """Whoever makes this file gets the server started again once it has ended."""
    return work / f"{server}.wanted"


def process_id(work: Path, server: str) -> Path:
    """There once the server was started again; holds its process id."""
    return work / f"{server}.pid"


async def start_again_when_asked(processes: Processes, work: Path) -> None:
    """Runs until cancelled."""
    while True:
        for server in processes.ended():
            asked = wanted_back(work, server)
            if await asyncio.to_thread(asked.exists):
                await asyncio.to_thread(asked.unlink)
                await processes.start_again(server)
                say(f"{server} was started again")
                draft = process_id(work, server).with_suffix(".new")
                await asyncio.to_thread(draft.write_text, str(processes.pids[server]))
                await asyncio.to_thread(draft.replace, process_id(work, server))
        await asyncio.sleep(_LOOK_S)
