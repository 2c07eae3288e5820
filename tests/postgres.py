"""A throw-away PostgreSQL server for tests, from the system's own package, reached on loopback alone; a database of its own for each who asks.

The server refuses to run as root: there it runs as the user `postgres` (or `nobody`). It ends with the thread that started it, even if that one is killed.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql

from integrations.sandbox.ports import spare_port

PACKAGE = "postgresql"
MISSING = f"needs a PostgreSQL server on this machine: apt-get install {PACKAGE}"

TEMPLATE = "template1"
START_SECONDS = 30
STOP_SECONDS = 30

_SPEEDY = {"fsync": "off", "full_page_writes": "off"}
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "autovacuum": "off",
    "max_wal_size": "128MB",
    "log_min_messages": "warning",
    "logging_collector": "off",
}


def binaries() -> Path | None:
    """The folder with `initdb` and `postgres` of the newest installed version; None when there is none. They are not on PATH on Debian."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda one: int(one.parts[-3]) if one.parts[-3].isdigit() else 0)
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path else None


class Postgres:
    """One server. `durable` writes to disk as in production; without it a crash of the machine (not of the server) may lose commits, and all is quicker.

    `settings` are added to its own.

    `start` after `stop` or `kill` goes on with the same data on the same port.
    """

    def __init__(self, *, durable: bool = False, settings: Mapping[str, str] | None = None) -> None:
        found = binaries()
        if found is None:
            raise FileNotFoundError(MISSING)
        self._binaries = found
        self._user = unprivileged()
        self._settings = {**_SETTINGS, **({} if durable else _SPEEDY), **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        self.folder = Path(tempfile.mkdtemp(prefix="backout-postgres-"))
        self.port = spare_port()
        self._log = self.folder / "server.log"
        self._passfile = self.folder / "passfile"
        self._data = self.folder / "data"
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._initialise()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        program = [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self.port), *settings]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([*self._as_user("--pdeathsig", "QUIT"), *program], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL did not start: {self._log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it as an administrator would in a hurry: connections are cut, the data is left in order."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Stop it without any farewell; the next start recovers from its log."""
        self._end(signal.SIGQUIT)

    def freeze(self) -> None:
        """All its processes stand still: connections stay open, and nothing is answered. Ended by `thaw`."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on where they stood."""
        self._signal_all(signal.SIGCONT)

    def remove(self) -> None:
        """Stop it for good and take its data away."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """The address of one of its databases, as `store:` takes it: the password is in a file."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}?passfile={self._passfile}"

    def create(self, template: str = TEMPLATE) -> str:
        """The address of a new database, a copy of `template` (to which nobody may be connected)."""
        self._made += 1
        name = f"test_{self._made}"
        with self._administrator() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def drop(self, url: str) -> None:
        """Take a database away, whoever is connected."""
        with self._administrator() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name_of(url))))

    def _administrator(self) -> psycopg.Connection:
        return psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=60)

    def _answers(self) -> bool:
        try:
            self._administrator().close()
        except psycopg.OperationalError:
            return False
        return True

    def _initialise(self) -> None:
        password, secret = uuid.uuid4().hex, self.folder / "password"
        secret.write_text(password, encoding="utf-8")
        self._passfile.touch(mode=0o600)
        self._passfile.write_text(f"127.0.0.1:{self.port}:*:postgres:{password}\n", encoding="utf-8")
        options = ["--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync"]
        secret.chmod(0o644)  # its folder is closed
        made = subprocess.run([*self._as_user(), str(self._binaries / "initdb"), "-D", str(self._data), *options], capture_output=True, text=True, check=False)
        secret.unlink()
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr[-2000:]}")

    def _as_user(self, *options: str) -> list[str]:
        """`setpriv` from util-linux changes the user and has the kernel end the program with its parent."""
        who = [] if self._user is None else [f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}", "--clear-groups"]
        return ["setpriv", *who, *options] if who or options else []

    def _signal_all(self, sig: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError("the server does not run")
        for pid in (self._process.pid, *_children(self._process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sig)

    def _end(self, sig: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(sig)
        process.wait(STOP_SECONDS)


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def name_of(url: str) -> str:
    """The database that an address names."""
    return url.partition("?")[0].rpartition("/")[2]


def unprivileged(own: str = "postgres") -> pwd.struct_passwd | None:
    """Whom a server runs as: its own user, else nobody; None for ourselves."""
    if os.geteuid() != 0:
        return None
    for name in (own, "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError(f"the server does not run as root, and there is neither a user {own} nor a user nobody")
