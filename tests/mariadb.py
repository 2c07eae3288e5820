"""A throw-away MariaDB server for tests, from the system's own packages, reached on loopback alone; a database of its own for each who asks.

It stands in for MySQL too, which no Debian package has: what rests on MySQL alone is not tested here. It ends with the thread that started it.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pymysql

from integrations.sandbox.ports import spare_port
from tests.postgres import unprivileged

PACKAGES = "mariadb-server-core mariadb-client-core"
MISSING = f"needs a MariaDB server on this machine: apt-get install {PACKAGES}"

START_SECONDS = 120
STOP_SECONDS = 60

_SETTINGS = {
    "bind-address": "127.0.0.1",
    "innodb-buffer-pool-size": "32M",
    "innodb-log-file-size": "8M",
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-doublewrite": "0",
    "sync-frm": "0",
    "performance-schema": "OFF",
}


def binaries() -> tuple[Path, Path] | None:
    """`mariadb-install-db` and `mariadbd`; None when one of them is missing. The second is not on everybody's PATH on Debian."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin"
    found = [shutil.which(name, path=path) for name in ("mariadb-install-db", "mariadbd", "my_print_defaults")]
    return (Path(found[0]), Path(found[1])) if found[0] and found[1] and found[2] else None


class MariaDB:
    """One server, without any safety of its data."""

    def __init__(self) -> None:
        found = binaries()
        if found is None:
            raise FileNotFoundError(MISSING)
        self._install, self._server = found
        self._user = unprivileged("mysql")
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        self.folder = Path(tempfile.mkdtemp(prefix="backout-mariadb-"))
        self.port = spare_port()
        self.password = uuid.uuid4().hex
        self._log = self.folder / "server.log"
        self._data = self.folder / "data"
        self._first = self.folder / "first.sql"
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
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        place = [f"--datadir={self._data}", f"--port={self.port}", f"--socket={self.folder / 's'}", f"--pid-file={self.folder / 'pid'}"]
        flags = ["--skip-name-resolve", "--skip-log-bin", f"--init-file={self._first}"]
        program = [str(self._server), "--no-defaults", *place, *settings, *flags]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([*self._as_user("--pdeathsig", "KILL"), *program], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"MariaDB did not start: {self._log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
            time.sleep(0.05)

    def freeze(self) -> None:
        """It stands still: connections stay open, and nothing is answered. Ended by `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on where it stood."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Stop it for good and take its data away."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.kill()
            process.wait(STOP_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self) -> str:
        """The name of a new, empty database."""
        self._made += 1
        name = f"test_{self._made}"
        self.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return name

    def drop(self, name: str) -> None:
        """Take a database away."""
        self.run(f"DROP DATABASE IF EXISTS {name}")

    def run(self, *statements: str, database: str | None = None) -> None:
        """Execute as the administrator, over one connection, and return when the server has put it away.

        A statement is answered a moment before the process list forgets it, and until then it reads as a change of the schema that is under way.
        """
        with self.connected(database) as connection, connection.cursor() as cursor:
            mine = connection.thread_id()
            for statement in statements:
                cursor.execute(statement)
        with self.connected() as watching, watching.cursor() as cursor:
            while cursor.execute("SELECT 1 FROM information_schema.processlist WHERE id = %s", (mine,)):
                time.sleep(0.01)

    @contextlib.contextmanager
    def connected(self, database: str | None = None) -> Iterator[Any]:
        """A connection of the administrator."""
        connection = pymysql.connect(
            host="127.0.0.1", port=self.port, user="admin", password=self.password, database=database, autocommit=True, connect_timeout=60, ssl_disabled=True
        )
        try:
            yield connection
        finally:
            connection.close()

    def _answers(self) -> bool:
        try:
            with self.connected():
                return True
        except (pymysql.MySQLError, OSError):
            return False

    def _initialise(self) -> None:
        command = [str(self._install), "--no-defaults", f"--datadir={self._data}", "--auth-root-authentication-method=normal", "--skip-test-db"]
        made = subprocess.run([*self._as_user(), *command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if made.returncode:
            raise RuntimeError(f"mariadb-install-db failed: {(made.stdout + made.stderr)[-2000:]}")
        statements = (
            "DELETE FROM mysql.global_priv WHERE User IN ('root', '')",  # nobody gets in without a password
            "FLUSH PRIVILEGES",
            f"CREATE OR REPLACE USER admin@'127.0.0.1' IDENTIFIED BY '{self.password}'",
            "GRANT ALL PRIVILEGES ON *.* TO admin@'127.0.0.1' WITH GRANT OPTION",
        )
        self._first.write_text("".join(f"{one};\n" for one in statements), encoding="utf-8")
        if self._user is not None:
            os.chown(self._first, self._user.pw_uid, self._user.pw_gid)
        self._first.chmod(0o600)

    def _as_user(self, *options: str) -> list[str]:
        who = [] if self._user is None else [f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}", "--clear-groups"]
        return ["setpriv", *who, *options] if who or options else []

    def _signal(self, sig: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError("the server does not run")
        self._process.send_signal(sig)
