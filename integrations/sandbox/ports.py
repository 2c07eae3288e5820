"""Loopback ports for servers that must be able to come back to the same address."""

import random
import socket
from pathlib import Path

HOST = "127.0.0.1"
LOWEST = 10_000
_EPHEMERAL = 32_768
_TRIES = 200


def spare_port() -> int:
    """A port of loopback that nothing listens on, and that no outgoing connection is given meanwhile.

    A port that the system hands out by itself (bind to port 0) lies in the range its outgoing connections come from: once it is let go, the next
    connection of anybody on the machine may hold it, and the server that was to listen there, or to come back there, cannot. So one below that range is
    taken; by chance, since several test runs ask at the same time. OSError where none is found.
    """
    upper = max(lowest_ephemeral(), LOWEST + 1)
    for _ in range(_TRIES):
        port = random.randrange(LOWEST, upper)  # noqa: S311 (nothing secret depends on it)
        if is_free(port):
            return port
    raise OSError(f"no free port was found on {HOST} between {LOWEST} and {upper} in {_TRIES} tries")


def is_free(port: int) -> bool:
    """Whether nothing listens on this port of loopback."""
    with socket.socket() as one:
        # As asyncio binds: a port whose last connections are only waiting to be forgotten counts as free.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((HOST, port))
        except OSError:
            return False
        return True


def lowest_ephemeral(told: Path = Path("/proc/sys/net/ipv4/ip_local_port_range")) -> int:
    """Where the range of outgoing connections begins: what Linux says, its default elsewhere; its default too where everything is in the range."""
    try:
        lowest = int(told.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return _EPHEMERAL
    return lowest if lowest > LOWEST + _TRIES else _EPHEMERAL
