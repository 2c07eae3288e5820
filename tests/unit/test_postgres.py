"""The helper that other tests lean on: a server that is really there, reached on loopback alone, and gone afterwards."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests.postgres import Postgres, name_of

HANG = 60
"""Seconds after which a server that should have ended is given up; nothing is measured by it."""

ROOT = Path(__file__).parents[2]


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, connect_timeout=60) as connection:
        return connection.execute(query.encode()).fetchall()


def test_each_database_is_a_copy_of_its_template_and_knows_nothing_of_the_others(postgres: Postgres) -> None:
    first = postgres.create()
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE here (x int)")
    second = postgres.create(template=name_of(first))
    third = postgres.create()
    assert rows(second, "SELECT to_regclass('here') IS NOT NULL") == [(True,)]
    assert rows(third, "SELECT to_regclass('here') IS NOT NULL") == [(False,)]
    for url in (first, second, third):
        postgres.drop(url)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        rows(first, "SELECT 1")


def test_nobody_gets_in_without_the_password_and_it_listens_on_loopback_alone(postgres: Postgres) -> None:
    assert rows(postgres.url("postgres"), "SHOW listen_addresses") == [("127.0.0.1",)]
    assert rows(postgres.url("postgres"), "SHOW unix_socket_directories") == [("",)]
    with pytest.raises(psycopg.OperationalError, match="password"):
        rows(f"postgresql://postgres:wrong@127.0.0.1:{postgres.port}/postgres", "SELECT 1")


def test_a_server_that_was_killed_goes_on_with_what_was_committed() -> None:
    with Postgres(durable=True) as server:
        url = server.create()
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS x")
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            rows(url, "SELECT 1")
        server.start()
        assert rows(url, "SELECT x FROM kept") == [(1,)]
        folder = server.folder
    assert not folder.exists()


def test_it_ends_with_a_test_run_that_is_killed() -> None:
    program = "from tests.postgres import Postgres\ns = Postgres(); s.start(); print(s.url('postgres'), s.folder, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        url, folder = run.stdout.readline().split()
        assert rows(url, "SELECT 1") == [(1,)]
        run.kill()
    pid = Path(folder) / "data" / "postmaster.pid"
    end = time.monotonic() + HANG
    while pid.exists() and time.monotonic() < end:
        time.sleep(0.05)
    with pytest.raises(psycopg.OperationalError):
        rows(url, "SELECT 1")
    shutil.rmtree(folder)
