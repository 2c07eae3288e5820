"""On a real MariaDB, as a role that can read no row."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pymysql
import pytest

from integrations.evidence.databases import Database, Databases, Settings, build
from integrations.evidence.databases.mysql import MySQL
from service.domain import keys
from service.domain.catalog import CHANGES, FUNCTIONS, TRIGGERS, Catalog, Harm, missed
from service.domain.facts import Absent, Known
from service.domain.own_statements import Texts
from service.domain.relaxed import Kind, relaxed
from tests.fakes.clock import FakeClock
from tests.mariadb import MariaDB
from tests.unhurried import follow_the_wall

SCHEMA = (
    "CREATE TABLE customer (id bigint AUTO_INCREMENT PRIMARY KEY, email varchar(190) NOT NULL UNIQUE)",
    """CREATE TABLE orders (id bigint AUTO_INCREMENT PRIMARY KEY, customer bigint NOT NULL, status enum('new','paid') NOT NULL DEFAULT 'new', code varchar(20),
    cents int unsigned NOT NULL CHECK (cents < 1000000), euros decimal(10,2) AS (cents / 100) STORED, made datetime NOT NULL DEFAULT current_timestamp(),
    CONSTRAINT of FOREIGN KEY (customer) REFERENCES customer (id) ON DELETE CASCADE, UNIQUE KEY by_code (code(10), cents), KEY plain (cents))""",
    "CREATE VIEW open_orders AS SELECT id, code FROM orders WHERE status = 'new'",
    "CREATE FUNCTION tax(cents int) RETURNS int DETERMINISTIC RETURN cents / 5",
    "CREATE PROCEDURE tell(IN what int, OUT word text) SET word = 'x'",
    "CREATE TRIGGER touch BEFORE INSERT ON orders FOR EACH ROW SET NEW.code = 'x'",
)
PASSWORD = "only:for\\this-test"
LEAST = ("GRANT PROCESS ON *.* TO {role}", "GRANT REFERENCES, TRIGGER, EXECUTE ON {database}.* TO {role}")
UTF8 = "collate utf8mb4_general_ci"


class Shop:
    """A database with a schema, and a source that reads it as a role without any right on its rows."""

    def __init__(self, server: MariaDB, folder: Path) -> None:
        self.server = server
        self.database = server.create()
        self.run(*SCHEMA)
        self.name = f"reader_{self.database}"
        self.role = f"{self.name}@'127.0.0.1'"
        with server.connected() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE USER {self.role} IDENTIFIED BY %s", (PASSWORD,))
        self.grant(*LEAST)
        self.file = folder / "passfile"
        self.file.touch(mode=0o600)
        escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
        self.file.write_text(f"# for Backout\nother:*:*:*:wrong\n127.0.0.1:{server.port}:*:{self.name}:{escaped}\n", encoding="utf-8")
        self.url = f"mysql://{self.name}@127.0.0.1:{server.port}/{self.database}?passfile={self.file}&sslmode=disable"
        self.source = self.reading()

    def reading(self, **changes: object) -> Databases:
        one = Database(**({"name": "orders", "url": self.url} | changes))  # type: ignore[arg-type]
        return build(Settings(databases=(one,), timeout_s=30), FakeClock())

    def run(self, *statements: str) -> None:
        self.server.run(*statements, database=self.database)

    def grant(self, *statements: str) -> None:
        self.run(*(one.format(role=self.role, database=self.database) for one in statements))

    def named(self, table: str) -> str:
        return f"{self.database}.{table}"

    async def catalog(self) -> Catalog:
        fact = await self.source.read(keys.catalog("orders"))
        assert isinstance(fact, Known), fact
        found: Catalog = fact.value
        return found

    async def why(self, **changes: object) -> str:
        fact = await self.reading(**changes).read(keys.catalog("orders"))
        assert isinstance(fact, Absent), fact
        return fact.why


@pytest.fixture
async def shop(mariadb: MariaDB, tmp_path: Path) -> AsyncIterator[Shop]:
    follow_the_wall()  # the server is a process of its own
    made = Shop(mariadb, tmp_path)
    yield made
    await made.source.close()
    mariadb.drop(made.database)


async def test_a_role_that_can_read_no_row_reads_the_whole_schema(shop: Shop) -> None:
    with pytest.raises(pymysql.err.OperationalError, match="SELECT command denied"):
        as_reader(shop, f"SELECT * FROM {shop.named('orders')}")  # noqa: S608  a name of ours
    found = await shop.catalog()
    assert {name.partition(".")[2] for name in found.tables} == {"customer", "orders", "open_orders"}
    orders = found.tables[shop.named("orders")]
    told = {name: (one.type, one.required, one.given, one.generated) for name, one in orders.columns.items()}
    assert told == {
        "id": ("bigint", True, True, False),
        "customer": ("bigint", True, False, False),
        "status": (f"enum('new','paid') {UTF8}", True, True, False),
        "code": (f"varchar(20) {UTF8}", False, False, False),
        "cents": ("int unsigned", True, False, False),
        "euros": ("decimal(10,2)", False, True, True),
        "made": ("datetime", True, True, False),
    }
    assert orders.unique == {"PRIMARY KEY (id)", "UNIQUE (code(10), cents)"}
    assert orders.rules == {
        "CHECK (`cents` < 1000000)",
        f"FOREIGN KEY (customer) REFERENCES {shop.named('customer')} (id) ON UPDATE RESTRICT ON DELETE CASCADE",
    }
    assert orders.triggers == {"BEFORE INSERT (1) SET NEW.code = 'x'"}
    assert found.tables[shop.named("open_orders")].view
    assert found.functions == {f"{shop.named('tax')}(int)", f"{shop.named('tell')}(int, OUT text)"}
    assert (found.busy, found.unseen) == ("", ())


def as_reader(shop: Shop, *statements: str) -> None:
    address = {"host": "127.0.0.1", "port": shop.server.port, "user": shop.name, "password": PASSWORD, "ssl_disabled": True}
    with pymysql.connect(**address) as connection, connection.cursor() as cursor:  # type: ignore[call-overload]  # the stubs want each by name
        for statement in statements:
            cursor.execute(statement)


@pytest.mark.parametrize(
    ("statement", "harm", "what"),
    [
        ("ALTER TABLE orders DROP COLUMN made", Harm.DOES, "orders.made is gone"),
        ("ALTER TABLE orders CHANGE made born datetime", Harm.DOES, "orders.made is gone"),
        ("DROP TABLE orders", Harm.DOES, "orders is gone"),
        ("DROP VIEW open_orders", Harm.DOES, "open_orders is gone"),
        ("ALTER TABLE customer MODIFY email varchar(250) NOT NULL", Harm.MAY, f"customer.email was varchar(190) {UTF8} and is varchar(250) {UTF8}"),
        ("ALTER TABLE customer MODIFY email varchar(90) NOT NULL", Harm.DOES, f"customer.email was varchar(190) {UTF8} and is varchar(90) {UTF8}"),
        ("ALTER TABLE customer MODIFY email varchar(190) COLLATE utf8mb4_bin NOT NULL", Harm.DOES, "and is varchar(190) collate utf8mb4_bin"),
        ("ALTER TABLE orders MODIFY cents bigint unsigned NOT NULL", Harm.MAY, "orders.cents was int unsigned and is bigint unsigned"),
        ("ALTER TABLE orders MODIFY status enum('new','paid','void') NOT NULL DEFAULT 'new'", Harm.MAY, "and is enum('new','paid','void')"),
        ("ALTER TABLE orders MODIFY status enum('paid','new') NOT NULL DEFAULT 'new'", Harm.DOES, "and is enum('paid','new')"),
        ("ALTER TABLE orders MODIFY made datetime NOT NULL", Harm.DOES, "orders.made has no default any more"),
        ("ALTER TABLE orders ADD COLUMN region varchar(9) NOT NULL", Harm.DOES, "orders.region is new and must have a value"),
        ("ALTER TABLE customer DROP INDEX email", Harm.MAY, "is no longer UNIQUE (email)"),
        ("ALTER TABLE orders ADD UNIQUE (made)", Harm.MAY, "is UNIQUE (made) now"),
        ("ALTER TABLE orders ADD CHECK (cents > 1)", Harm.MAY, "has a new rule: CHECK (`cents` > 1)"),
        ("DROP FUNCTION tax", Harm.DOES, "tax(int) is gone"),
        ("DROP TRIGGER touch", Harm.MAY, "lost a trigger"),
    ],
)
async def test_what_a_migration_took_away_shows_however_it_was_written(shop: Shop, statement: str, harm: Harm, what: str) -> None:
    before = await shop.catalog()
    shop.run(statement)
    found = missed(before, await shop.catalog())
    assert any(one.harm is harm and what in one.what for one in found), found


async def test_what_a_migration_added_is_nothing_that_is_missed(shop: Shop) -> None:
    before = await shop.catalog()
    shop.run("ALTER TABLE orders ADD COLUMN note text", "CREATE TABLE fresh (id int NOT NULL)", "ALTER TABLE orders ADD COLUMN n int NOT NULL DEFAULT 0")
    shop.run("ALTER TABLE orders ADD KEY (made)", "CREATE FUNCTION more() RETURNS int DETERMINISTIC RETURN 1")
    assert missed(before, await shop.catalog()) == ()


async def test_promise_1_what_the_role_may_not_see_is_unseen_and_never_gone(shop: Shop) -> None:
    before = await shop.catalog()
    shop.grant("REVOKE TRIGGER, EXECUTE ON {database}.* FROM {role}", "REVOKE PROCESS ON *.* FROM {role}")
    after = await shop.catalog()
    assert after.unseen == (CHANGES, TRIGGERS, FUNCTIONS)
    assert missed(before, after) == ()
    (told,) = await shop.source.check()
    assert (told.well, "3 tables" in told.says or "2 tables" in told.says, TRIGGERS in told.says) == ("warn", True, True)


async def test_promise_1_a_role_that_sees_some_tables_alone_is_no_evidence(shop: Shop) -> None:
    shop.grant("REVOKE REFERENCES, TRIGGER, EXECUTE ON {database}.* FROM {role}", "GRANT REFERENCES ON {database}.orders TO {role}")
    assert await shop.why() == f"the role has no right on the whole of schema {shop.database} of database orders, so tables may be hidden from it"


async def test_a_right_on_a_pattern_of_schemas_counts_for_those_that_match_it(shop: Shop) -> None:
    shop.grant("REVOKE REFERENCES, TRIGGER, EXECUTE ON {database}.* FROM {role}")
    shop.grant("GRANT REFERENCES, TRIGGER, EXECUTE ON `test\\_%`.* TO {role}")
    assert len((await shop.catalog()).tables) == 3
    shop.grant("REVOKE REFERENCES, TRIGGER, EXECUTE ON `test\\_%`.* FROM {role}", "GRANT REFERENCES ON `prod\\_%`.* TO {role}")
    assert "orders" in await shop.why()


async def test_a_migration_that_waits_for_a_table_is_seen_before_it_has_begun(shop: Shop) -> None:
    with shop.server.connected(shop.database) as reading, reading.cursor() as holds:
        holds.execute("START TRANSACTION")
        holds.execute("SELECT * FROM customer")
        holds.fetchall()
        waiting = threading.Thread(target=shop.run, args=("/* deploy */ ALTER TABLE customer ADD COLUMN secret_word int",))
        waiting.start()
        try:
            until_it_waits(shop)
            assert await shop.catalog() == Catalog(tables={}, busy=f"somebody changes {shop.database}")
        finally:
            holds.execute("ROLLBACK")
            waiting.join()
    assert (await shop.catalog()).busy == ""


def until_it_waits(shop: Shop) -> None:
    with shop.server.connected() as watching, watching.cursor() as cursor:
        while not cursor.execute("SELECT 1 FROM information_schema.processlist WHERE state LIKE 'Waiting for table metadata lock%'"):
            time.sleep(0.01)


@pytest.mark.parametrize("table", ["_orders_gho", "_orders_new", "_vt_HOLD_6ace8bcef73211ea87e9f875a4d24e90_20200915120410"])
async def test_a_table_that_waits_to_take_anothers_place_is_a_change_under_way(shop: Shop, table: str) -> None:
    shop.run(f"CREATE TABLE {table} LIKE orders")
    assert (await shop.catalog()).busy == f"{shop.named(table)} waits to take a table's place"


async def test_version_tables_are_read_where_the_role_may_and_told_as_unread_where_not(shop: Shop) -> None:
    shop.run("CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL)", "INSERT INTO schema_migrations VALUES (42, true)")
    shop.run("CREATE TABLE DATABASECHANGELOGLOCK (ID int, LOCKED bit(1))", "INSERT INTO DATABASECHANGELOGLOCK VALUES (1, b'1')")
    closed = (await shop.catalog()).applied
    assert [(one.tool, one.unread) for one in closed] == [("Liquibase", "Backout's role may not read it"), ("golang-migrate", "Backout's role may not read it")]
    shop.grant("GRANT SELECT ON {database}.schema_migrations TO {role}")
    lock, read = (await shop.catalog()).applied
    assert (set(read.names), read.wrong, lock.unread) == ({"42"}, ("version 42 is dirty",), "Backout's role may not read it")
    shop.grant("GRANT SELECT ON {database}.* TO {role}")
    lock, _ = (await shop.catalog()).applied
    assert lock.locked
    shop.run("UPDATE DATABASECHANGELOGLOCK SET LOCKED = b'0'")
    lock, _ = (await shop.catalog()).applied
    assert not lock.locked


async def test_rows_beyond_a_limit_are_found_where_that_one_column_may_be_read(shop: Shop) -> None:
    before = await shop.catalog()
    shop.run("DROP TRIGGER touch", "INSERT INTO customer (email) VALUES ('a')")
    shop.run("INSERT INTO orders (customer, code, cents, status) VALUES (1, repeat('x', 20), 1, 'paid')")
    shop.run("ALTER TABLE orders DROP COLUMN euros, MODIFY cents bigint unsigned NOT NULL, MODIFY code varchar(40), MODIFY made datetime NULL")
    shop.run("ALTER TABLE orders MODIFY status enum('new','paid','void') NOT NULL DEFAULT 'new'")
    loose = relaxed(before, await shop.catalog())
    assert [one.kind for one in loose] == [Kind.BEYOND, Kind.LONGER, Kind.NULL, Kind.LABEL]
    closed = await shop.source.read(keys.left_rows("orders", loose))
    assert isinstance(closed, Known)
    assert [(one.found, one.why) for one in closed.value] == [(None, "database orders refused to be read (1142)")] * 4
    shop.grant("GRANT SELECT (cents, code, made, status) ON {database}.orders TO {role}")
    nothing = await shop.source.read(keys.left_rows("orders", loose))
    assert isinstance(nothing, Known)
    assert [one.found for one in nothing.value] == [False] * 4
    shop.run("INSERT INTO orders (customer, code, cents, status, made) VALUES (1, repeat('y', 21), 4294967296, 'void', NULL)")
    broken = await shop.source.read(keys.left_rows("orders", loose))
    assert isinstance(broken, Known)
    assert [one.found for one in broken.value] == [True] * 4


async def test_promise_1_a_replica_is_no_evidence(shop: Shop) -> None:
    shop.run("SET GLOBAL read_only = 1")
    try:
        assert await shop.why() == "database orders takes no writes: it is a replica, and what that shows may be of yesterday"
    finally:
        shop.run("SET GLOBAL read_only = 0")


async def test_nothing_can_be_written_over_its_connection(shop: Shop) -> None:
    shop.grant("GRANT ALL ON {database}.* TO {role}")
    engine = MySQL(30)
    for statement in ("CREATE TABLE mine (id int)", "INSERT INTO customer (email) VALUES ('x')", "DROP TABLE orders"):
        with pytest.raises(Exception, match="1792"):
            await engine._ask(Database(name="orders", url=shop.url), [(statement, ())])  # noqa: SLF001  what no reader asks
    await engine.close()


async def test_the_server_itself_ends_a_statement_and_a_wait_for_a_lock(shop: Shop) -> None:
    engine = MySQL(30)
    limits = "SELECT @@session.max_statement_time, @@session.lock_wait_timeout, @@session.tx_read_only"
    assert await engine._ask(Database(name="orders", url=shop.url), [(limits, ())]) == [[(30.0, 1, 1)]]  # noqa: SLF001  what no reader asks
    await engine.close()


async def test_promise_12_a_database_that_refuses_says_so_without_address_role_or_password(shop: Shop, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text("*:*:*:*:secret-word\n", encoding="utf-8")
    for url in (shop.url.replace(str(shop.file), str(wrong)), "mysql://somebody@127.0.0.1:1/shop?sslmode=disable", shop.url.replace("sslmode=disable", "")):
        why = await shop.why(url=url)
        assert why.startswith("database orders ")
        assert not any(word in why for word in ("secret-word", "127.0.0.1", "somebody", "reader_", str(shop.server.port)))


async def test_a_server_without_tls_is_not_spoken_to_in_the_clear_unless_the_settings_say_so(shop: Shop) -> None:
    """The test's server has none, and `verify-full` is what holds where nothing is said."""
    assert await shop.why(url=shop.url.replace("&sslmode=disable", "")) == "database orders cannot be read (2026)"


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("*:*:*:*:x", 0o644, "the password file passfile may be read by others; take that away (chmod 600)"),
        ("other:*:*:*:x", 0o600, "the password file passfile has no line for that database"),
        ("*:*:*:x", 0o600, "the password file passfile has no line for that database"),
        (None, 0o600, "the password file passfile cannot be read (FileNotFoundError)"),
    ],
)
async def test_a_password_file_that_does_not_fit_is_said(shop: Shop, text: str | None, mode: int, why: str) -> None:
    if text is None:
        shop.file.unlink()
    else:
        shop.file.write_text(text, encoding="utf-8")
        shop.file.chmod(mode)
    assert await shop.why() == why


async def test_an_empty_schema_is_unknown_and_not_empty(shop: Shop) -> None:
    empty = shop.server.create()
    shop.grant(f"GRANT REFERENCES, TRIGGER, EXECUTE ON {empty}.* TO {{role}}")
    assert await shop.why(schemas=(empty,)) == f"database orders has no table in schema {empty}"
    shop.server.drop(empty)


async def test_doctor_warns_of_a_role_that_may_do_more_than_look(shop: Shop) -> None:
    (well,) = await shop.source.check()
    assert (well.well, well.says) == ("ok", "the schema of 2 tables can be read")
    shop.grant("GRANT INSERT ON {database}.* TO {role}")
    (writing,) = await shop.source.check()
    assert (writing.well, writing.says) == ("warn", "2 tables can be read, but the role may INSERT")
    (gone,) = await shop.reading(url="mysql://somebody@127.0.0.1:1/shop?sslmode=disable").check()
    assert gone.well == "no"


@pytest.fixture
def liar() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield one


GREETING = b"\x0a10.11.0-MariaDB\x00\x01\x00\x00\x0012345678\x00"


@pytest.mark.parametrize(
    "says",
    [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x01", struct.pack("<I", 0xFFFFFF)[:3] + b"\x00", struct.pack("<I", len(GREETING))[:3] + b"\x00" + GREETING],
    ids=["nothing", "another protocol", "half a header", "a large packet that never comes", "a greeting cut short"],
)
async def test_a_server_that_lies_or_hangs_is_unknown_within_the_time_that_it_has(liar: socket.socket, says: bytes) -> None:
    follow_the_wall()
    ended = threading.Event()

    def answer() -> None:
        caller, _ = liar.accept()
        with caller, contextlib.suppress(OSError):  # who gave up is gone
            caller.sendall(says)
            ended.wait(120)

    server = threading.Thread(target=answer, daemon=True)
    server.start()
    one = Database(name="orders", url=f"mysql://role@127.0.0.1:{liar.getsockname()[1]}/shop?sslmode=disable")
    source = build(Settings(databases=(one,), timeout_s=1), FakeClock())
    fact = await source.read(keys.catalog("orders"))
    ended.set()
    server.join()
    assert isinstance(fact, Absent)
    assert fact.why.startswith(("database orders cannot be read (", "database orders did not answer in time"))
    await source.close()


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("SELECT `id` FROM `orders` WHERE `id` = ?", "SELECT command denied"),
        ("UPDATE `orders` SET `code` = ? WHERE `id` = ?", "UPDATE command denied"),
        ("INSERT INTO `orders` ( `id` , `code` ) VALUES (...) /* , ... */", "SQL syntax"),
        ("SELECT `id` FROM `orders` WHERE `id` IN (...)", "SQL syntax"),
    ],
)
async def test_why_no_statement_is_prepared_here(shop: Shop, statement: str, why: str) -> None:
    """Texts as `performance_schema` counts them, read on MariaDB 10.11: they need the rights to run them, or are no statements any more."""
    with pytest.raises(pymysql.err.MySQLError, match=why):
        as_reader(shop, f"PREPARE one FROM '{statement.replace('`orders`', shop.named('orders'))}'")
    absent = await shop.source.read(keys.prepared("orders", "sha256:1", Texts((statement,))))
    assert isinstance(absent, Absent)
    assert absent.why == "in database orders no statement is prepared: it would need the rights to run it"
