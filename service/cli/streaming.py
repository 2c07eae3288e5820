"""Listens to a stream of server-sent events: what came, or that nothing came for a moment, so that somebody who watches sees the time pass.

Reading blocks, and a socket that ran into its time-out cannot be read on: so a thread reads, and the command waits for it in small steps.
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from queue import Empty, SimpleQueue
from typing import Any, Final

SILENCE: Final = 45.0
"""Seconds without a byte after which a stream counts as lost: the service says every 15 that it lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One event; `kind` is `message` where the stream names none. `kind` "" means that nothing came for a moment."""

    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)


NOTHING: Final = Told(kind="")


class Lost(Exception):  # noqa: N818  said as a person would say it
    """The stream broke off, or held what is no event."""


def listen(response: HTTPResponse, *, moment: float = 1.0) -> Iterator[Told]:
    """The stream's events, and `NOTHING` after each `moment` (seconds) without one. Ends when the service closes the stream; raises Lost."""
    queue: SimpleQueue[Told | Exception | None] = SimpleQueue()
    threading.Thread(target=_read, args=(response, queue), daemon=True).start()
    while True:
        try:
            found = queue.get(timeout=moment)
        except Empty:
            yield NOTHING
            continue
        if found is None:
            return
        if isinstance(found, Exception):
            raise Lost(str(found) or type(found).__name__) from found
        yield found


def _read(response: HTTPResponse, queue: "SimpleQueue[Told | Exception | None]") -> None:
    fields: dict[str, list[str]] = {}
    try:
        while raw := response.readline():
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            name, _, value = line.partition(":")
            if line:
                fields.setdefault(name, []).append(value.removeprefix(" "))  # a comment has no name, and nobody asks for it
                continue
            if "data" in fields:
                data = json.loads("\n".join(fields["data"]))
                if isinstance(data, dict):
                    queue.put(Told(kind=fields.get("event", ["message"])[-1], data=data))
            fields = {}
    except (OSError, HTTPException, ValueError, AttributeError) as error:  # the last from a response that was closed under us
        queue.put(error)
    else:
        queue.put(None)
    finally:
        with suppress(OSError):
            response.close()
