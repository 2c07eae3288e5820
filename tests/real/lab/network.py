"""A network of the lab's own: a fresh namespace with nothing in it but loopback.

Two reasons: some servers bind their metrics to all addresses and no flag changes that, and two labs side by side need
the same ports. Where the kernel permits no namespace the lab falls back to the host's loopback and says so.
"""

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence

from tests.real.lab.addresses import taken
from tests.real.lab.output import say

_MARK = "BACKOUT_LAB_NETWORK"
_SIOCSIFFLAGS = 0x8914
_IFF_UP_AND_RUNNING = 0x1 | 0x40
_HOST = "host"
# In the order of preference: root makes a network namespace at once, others need a user namespace around it.
_UNSHARE = {"private": ["unshare", "--net"], "private-user": ["unshare", "--map-root-user", "--net"]}
_NSENTER = {
    "private": "nsenter --net=/proc/{pid}/ns/net ",
    "private-user": "nsenter --user=/proc/{pid}/ns/user --preserve-credentials --net=/proc/{pid}/ns/net ",
    _HOST: "",
}


def inside() -> bool:
    """Whether this process was started again by `enter`, in the namespace or on the host as far as permitted."""
    return _MARK in os.environ


def private() -> bool:
    """Whether a lab gets a network of its own here, so that several can run side by side."""
    return any(_permitted(unshare) for unshare in _UNSHARE.values())


def enter(arguments: Sequence[str]) -> None:
    """Replace this process by the same command in a namespace of its own; does not return.

    `arguments`: what follows `python -m tests.real.lab`. SystemExit(1) when the host's loopback must serve and is taken.
    """
    again = [sys.executable, "-m", "tests.real.lab", *arguments]
    for kind, unshare in _UNSHARE.items():
        if _permitted(unshare):
            os.environ[_MARK] = kind
            os.execvp(unshare[0], [*unshare, *again])  # noqa: S606  no shell is the point
    say("network namespaces are not permitted here: the servers run on the host's loopback; Argo CD's metrics port is open to the network")
    if occupied := taken():
        say(f"cannot start, ports in use: {', '.join(f'{port.value} ({port.name.lower()})' for port in occupied)}")
        raise SystemExit(1)
    os.environ[_MARK] = _HOST
    os.execv(sys.executable, again)  # noqa: S606  no shell is the point


def _permitted(unshare: Sequence[str]) -> bool:
    return shutil.which(unshare[0]) is not None and subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode == 0


def loopback_up() -> None:
    """Switch `lo` on in a fresh namespace, where it is down and 127.0.0.1 answers to nobody; nothing to do on the host."""
    if os.environ[_MARK] == _HOST:
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        fcntl.ioctl(anything, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP_AND_RUNNING))


def how_to_enter(pid: int) -> str:
    """The words to put before a command that shall run in the network of the lab process `pid`; empty on the host."""
    return _NSENTER[os.environ[_MARK]].format(pid=pid)
