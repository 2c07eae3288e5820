import pytest

from service.domain.schema import Dialect, read_sql
from service.domain.schema.reading import SchemaVerdict

P, M, S = Dialect.POSTGRES, Dialect.MYSQL, Dialect.SQLITE
ALL = (P, M, S)
SAFE, WARN, BREAKS, UNKNOWN = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN


@pytest.mark.parametrize(
    ("sql", "dialects"),
    [
        ("CREATE TABLE invoices (id int PRIMARY KEY, total int NOT NULL)", ALL),
        ("CREATE TABLE IF NOT EXISTS invoices (id int)", ALL),
        ("CREATE TEMPORARY TABLE invoices (id int)", ALL),
        ("CREATE TABLE invoices AS SELECT id FROM orders", ALL),
        ("CREATE TABLE invoices (id int) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4", (M,)),
        ("CREATE TABLE invoices LIKE orders", (M,)),
        ("CREATE TABLE invoices (id integer primary key autoincrement) WITHOUT ROWID", (S,)),
        ("CREATE TABLE orders_2026 PARTITION OF orders FOR VALUES FROM (1) TO (2)", (P,)),
        ("CREATE INDEX by_state ON orders (state)", ALL),
        ("CREATE INDEX CONCURRENTLY IF NOT EXISTS by_state ON orders USING gin (state) WHERE open", (P,)),
        ("CREATE VIEW open_orders AS SELECT id FROM orders", ALL),
        ("CREATE TYPE state AS ENUM ('open', 'done')", (P,)),
        ("CREATE EXTENSION IF NOT EXISTS pgcrypto", (P,)),
        ("CREATE SEQUENCE order_numbers START 10", (P,)),
        ("CREATE SCHEMA billing", (P, M)),
        ("ALTER TABLE orders ADD COLUMN note text", ALL),
        ("ALTER TABLE orders ADD COLUMN note text NOT NULL DEFAULT 'x'", ALL),
        ("ALTER TABLE orders ADD COLUMN IF NOT EXISTS note text", (P,)),
        ("ALTER TABLE orders ADD COLUMN number int GENERATED ALWAYS AS IDENTITY (START 5 INCREMENT 2) NOT NULL", (P,)),
        ("ALTER TABLE orders ADD COLUMN number int NOT NULL AUTO_INCREMENT", (M,)),
        ("ALTER TABLE orders ADD COLUMN owner int REFERENCES users (id) ON DELETE SET NULL", (P,)),
        ("ALTER TABLE orders ALTER COLUMN state SET DEFAULT 'open'", (P, M)),
        ("ALTER TABLE orders ALTER COLUMN a TYPE uuid", (P,)),
        ("ALTER SEQUENCE order_numbers AS bigint", (P,)),
        ("DROP INDEX by_state", (P, S)),
        ("DROP INDEX by_state ON orders", (M,)),
        ("/*!40101 SET NAMES utf8 */; CREATE TABLE invoices (id int) /*!50100 ENGINE=InnoDB */", (M,)),
        ("ALTER TABLE orders RENAME CONSTRAINT a TO b", (P,)),
        ("ALTER TABLE orders RENAME INDEX a TO b", (M,)),
        ("ALTER INDEX a RENAME TO b", (P,)),
        ("ALTER TABLE orders VALIDATE CONSTRAINT positive", (P,)),
        ("ALTER TABLE orders OWNER TO shop", (P,)),
        ("ALTER TABLE orders SET (fillfactor = 70)", (P,)),
        ("ALTER TABLE orders ALTER COLUMN state SET STATISTICS 500", (P,)),
        ("ALTER TABLE orders ATTACH PARTITION orders_2026 FOR VALUES IN (1)", (P,)),
        ("ALTER TABLE orders AUTO_INCREMENT = 100, ALGORITHM=INPLACE, LOCK=NONE", (M,)),
        ("ALTER TABLE orders ADD KEY by_state (state)", (M,)),
        ("ALTER SEQUENCE order_numbers OWNED BY orders.number", (P,)),
        ("COMMENT ON COLUMN orders.state IS 'where it is'", (P,)),
        ("GRANT SELECT, INSERT ON orders TO shop", (P, M)),
        ("SET lock_timeout = '2s'", (P,)),
        ("SET FOREIGN_KEY_CHECKS = 0", (M,)),
        ("PRAGMA foreign_keys = off", (S,)),
        ("BEGIN; COMMIT", ALL),
        ("START TRANSACTION READ WRITE", (P, M)),
        ("ANALYZE orders", ALL),
        ("COMMENT ON VIEW v IS 'one' \n 'text'", (P,)),
        ("CREATE USER IF NOT EXISTS 'shop'@'%'", (M,)),
        ("CREATE ROLE shop LOGIN", (P,)),
        ("SELECT nextval('order_numbers')", (P,)),
        ("ALTER DOMAIN state SET DEFAULT 'open'", (P,)),
        ("ALTER DOMAIN state VALIDATE CONSTRAINT c", (P,)),
        ("REFRESH MATERIALIZED VIEW totals", (P,)),
        ("LOCK TABLE orders IN EXCLUSIVE MODE", (P,)),
        ("SELECT setval('order_numbers', (SELECT max(number) FROM orders))", (P,)),
        ("SELECT pg_catalog.set_config('search_path', '', false)", (P,)),
    ],
)
def test_compatible_statements_are_safe(sql: str, dialects: tuple[Dialect, ...]) -> None:
    for dialect in dialects:
        reading = read_sql(sql, dialect)
        assert reading.statements
        assert (reading.verdict, dialect) == (SAFE, dialect), reading.statements


@pytest.mark.parametrize(
    ("sql", "dialects", "rule"),
    [
        ("CREATE UNIQUE INDEX u ON orders (number)", ALL, "unique_added"),
        ("ALTER TABLE orders ADD CONSTRAINT u UNIQUE (number)", (P, M), "unique_added"),
        ("ALTER TABLE orders ADD UNIQUE KEY u (number)", (M,), "unique_added"),
        ("ALTER TABLE orders ADD CONSTRAINT u UNIQUE USING INDEX i", (P,), "unique_added"),
        ("ALTER TABLE orders ADD PRIMARY KEY (number)", (P, M), "unique_added"),
        ("ALTER TABLE orders ADD CONSTRAINT e EXCLUDE USING gist (span WITH &&)", (P,), "unique_added"),
        ("ALTER TABLE orders ADD COLUMN code int UNIQUE DEFAULT 1", (P, M), "unique_added"),
        ("DROP INDEX orders_state_key", (P, S), "unique_index_dropped"),
        ("DROP INDEX uq_state ON orders", (M,), "unique_index_dropped"),
        ("ALTER TABLE orders DROP CONSTRAINT u", (P, M), "constraint_dropped"),
        ("ALTER TABLE orders DROP PRIMARY KEY", (M,), "constraint_dropped"),
        ("ALTER TABLE orders ALTER COLUMN state DROP DEFAULT", (P, M), "default_dropped"),
        ("ALTER TABLE orders ALTER COLUMN state SET DEFAULT NULL", (P, M), "default_dropped"),
        ("ALTER TABLE orders ALTER COLUMN state SET NOT NULL", (P,), "not_null_set"),
        ("ALTER TABLE orders ALTER COLUMN state DROP NOT NULL", (P,), "not_null_dropped"),
        ("ALTER TABLE orders ADD CONSTRAINT n CHECK (state IS NOT NULL) NOT VALID", (P,), "check_added"),
        ("ALTER TABLE orders ADD CHECK (total > 0)", (P, M), "check_added"),
        ("ALTER TABLE orders ADD FOREIGN KEY (owner) REFERENCES users (id)", (P, M), "foreign_key_added"),
        ("ALTER TABLE orders ADD COLUMN owner int REFERENCES users (id)", (P,), "foreign_key_added"),
        ("ALTER TABLE orders ADD COLUMN a int CHECK (a > total)", (P,), "check_added"),
        ("ALTER TABLE orders ALTER COLUMN total TYPE bigint", (P,), "type_widened"),
        ('ALTER TABLE "orders" ALTER COLUMN "total" TYPE bigint USING "total"::bigint', (P,), "type_widened"),
        ("ALTER TABLE orders ALTER COLUMN note TYPE text", (P,), "type_widened"),
        ("ALTER TABLE orders ALTER COLUMN note TYPE varchar", (P,), "type_widened"),
        ("ALTER TABLE orders MODIFY COLUMN note longtext", (M,), "type_widened"),
        ("ALTER TYPE state ADD VALUE IF NOT EXISTS 'late' AFTER 'open'", (P,), "enum_value_added"),
        ("ALTER TABLE orders ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY", (P,), "identity_changed"),
        ("CREATE OR REPLACE VIEW open_orders AS SELECT id FROM orders", (P,), "view_replaced"),
        ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'", (P,), "routine_changed"),
        ("CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN DELETE FROM orders; RETURN NEW; END $$ LANGUAGE plpgsql", (P,), "routine_changed"),
        ("CREATE TRIGGER r BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f()", (P,), "trigger_created"),
        ("CREATE DEFINER=`a`@`b` TRIGGER r BEFORE INSERT ON orders FOR EACH ROW SET NEW.a = 1", (M,), "trigger_created"),
        ("DROP TRIGGER r ON orders", (P,), "trigger_dropped"),
        ("ALTER TABLE orders DISABLE TRIGGER r", (P,), "trigger_switched"),
        ("ALTER TABLE orders CONVERT TO CHARACTER SET utf8mb4", (M,), "charset_changed"),
        ("ALTER TABLE orders ALTER COLUMN a TYPE varchar(40)", (P,), "type_size_changed"),
        ("ALTER TABLE orders ALTER COLUMN a TYPE int", (P,), "type_size_changed"),
        ("ALTER TABLE orders ALTER COLUMN a TYPE double precision", (P,), "type_widened"),
        ("ALTER TABLE orders ALTER COLUMN a TYPE jsonb", (P,), "type_widened"),
        ("ALTER TABLE orders MODIFY a varchar(40)", (M,), "type_size_changed"),
        ("ALTER TABLE orders MODIFY a datetime NOT NULL", (M,), "column_redefined"),
        ("ALTER TABLE orders MODIFY a ENUM('x', 'y')", (M,), "type_size_changed"),
        ("ALTER TABLE orders ENGINE=MyISAM", (M,), "engine_changed"),
        ("ALTER DOMAIN state ADD CONSTRAINT c CHECK (VALUE <> '')", (P,), "check_added"),
        ("ALTER DOMAIN state ADD CHECK (VALUE <> '')", (P,), "check_added"),
        ("ALTER DOMAIN state DROP CONSTRAINT IF EXISTS c", (P,), "constraint_dropped"),
        ("ALTER DOMAIN state SET NOT NULL", (P,), "not_null_set"),
        ("ALTER DOMAIN state DROP NOT NULL", (P,), "not_null_dropped"),
        ("ALTER DOMAIN state DROP DEFAULT", (P,), "default_dropped"),
        ("INSERT INTO orders (id) VALUES (1)", ALL, "rows_added"),
        ("INSERT INTO orders (id) VALUES (1) ON CONFLICT DO NOTHING", (P, S), "rows_added"),
        ("INSERT IGNORE INTO orders (id) VALUES (1)", (M,), "rows_added"),
    ],
)
def test_statements_that_depend_on_rows_or_on_old_code_warn(sql: str, dialects: tuple[Dialect, ...], rule: str) -> None:
    for dialect in dialects:
        (statement,) = read_sql(sql, dialect).statements
        assert (statement.verdict, statement.rule, dialect) == (WARN, rule, dialect)
        assert statement.clears


@pytest.mark.parametrize(
    ("sql", "dialects", "says"),
    [
        ("DROP TABLE orders", ALL, "drops table orders"),
        ("DROP TABLE IF EXISTS billing.orders CASCADE", (P,), "drops table billing.orders"),
        ("DROP TABLE public.orders", (P,), "drops table orders"),
        ("DROP VIEW open_orders", ALL, "drops view open_orders"),
        ("DROP MATERIALIZED VIEW totals", (P,), "drops materialized view totals"),
        ("DROP TYPE state", (P,), "drops type state"),
        ("DROP FUNCTION f(int)", (P,), "drops function f"),
        ("DROP SEQUENCE order_numbers", (P,), "drops sequence order_numbers"),
        ("DROP SCHEMA billing CASCADE", (P,), "drops schema billing"),
        ("ALTER TABLE orders DROP COLUMN legacy_status", ALL, "drops column orders.legacy_status"),
        ("ALTER TABLE orders DROP legacy_status", ALL, "drops column orders.legacy_status"),
        ("ALTER TABLE ONLY orders DROP COLUMN IF EXISTS legacy_status CASCADE", (P,), "drops column orders.legacy_status"),
        ("alter table orders drop key", (P,), "drops column orders.key"),
        ("ALTER TABLE orders RENAME COLUMN a TO b", ALL, "renames column orders.a to b"),
        ("ALTER TABLE orders RENAME a TO b", (P, S), "renames column orders.a to b"),
        ("ALTER TABLE orders RENAME key TO b", (P,), "renames column orders.key to b"),
        ("ALTER TABLE orders RENAME TO purchases", ALL, "renames table orders to purchases"),
        ("ALTER TABLE orders RENAME AS purchases", (M,), "renames table orders to purchases"),
        ("RENAME TABLE orders TO purchases", (M,), "renames table orders to purchases"),
        ("ALTER TABLE orders RENAME shop.purchases", (M,), "renames table orders to shop.purchases"),
        ("DROP USER 'shop'@'%'", (M,), "drops database role shop@%"),
        ("ALTER TABLE orders SET SCHEMA archive", (P,), "renames table orders to archive.orders"),
        ("ALTER TABLE orders ADD COLUMN a int NOT NULL", ALL, "adds column orders.a NOT NULL without a default"),
        ("ALTER TABLE orders ADD COLUMN a int NOT NULL DEFAULT NULL", ALL, "adds column orders.a NOT NULL without a default"),
        ("ALTER TABLE orders ADD COLUMN a int CHECK (a IS NOT NULL)", (P,), "adds column orders.a NOT NULL without a default"),
        ("ALTER TABLE orders ADD partition int NOT NULL", (P,), "adds column orders.partition NOT NULL without a default"),
        ("ALTER TABLE orders ALTER COLUMN a TYPE smallint", (P,), "changes the type of orders.a to smallint"),
        ("ALTER TABLE orders ALTER COLUMN a TYPE timestamp with time zone", (P,), "changes the type of orders.a to timestamptz"),
        ("ALTER TABLE orders ALTER COLUMN a TYPE jsonb USING a::jsonb", (P,), "changes the type of orders.a to jsonb"),
        ("ALTER TABLE orders ALTER COLUMN a TYPE bigint USING length(a)", (P,), "changes the type of orders.a to bigint and computes its values anew"),
        ("ALTER TYPE state RENAME VALUE 'open' TO 'started'", (P,), "renames a value of enum state"),
        ("/*! ALTER TABLE orders DROP a */", (M,), "drops column orders.a"),
        ("ALTER TYPE state RENAME TO states", (P,), "renames type state to states"),
        ("ALTER VIEW open_orders RENAME TO started", (P,), "renames view open_orders to started"),
        ("ALTER SCHEMA billing RENAME TO money", (P,), "renames schema billing to money"),
        ("REVOKE ALL ON orders FROM shop", (P, M), "revokes rights"),
        ("ALTER TABLE orders ENABLE ROW LEVEL SECURITY", (P,), "enables row level security on table orders"),
        ("ALTER TABLE orders FORCE ROW LEVEL SECURITY", (P,), "enables row level security on table orders"),
        ("ALTER ROLE shop NOLOGIN", (P,), "changes a database role"),
        ("ALTER TABLE orders DETACH PARTITION orders_2020", (P,), "detaches a partition of table orders, which hides its rows"),
        ("ALTER TABLE orders DROP PARTITION p1", (M,), "deletes a partition of table orders with its rows"),
        ("TRUNCATE orders", (P, M), "deletes all rows of table orders"),
        ("DELETE FROM orders", ALL, "deletes all rows of table orders"),
    ],
)
def test_statements_that_take_something_from_old_break(sql: str, dialects: tuple[Dialect, ...], says: str) -> None:
    for dialect in dialects:
        (statement,) = read_sql(sql, dialect).statements
        assert (statement.verdict, statement.says, dialect) == (BREAKS, says, dialect)
        assert statement.clears


@pytest.mark.parametrize(
    ("sql", "dialects"),
    [
        ("DO $$ BEGIN PERFORM clean(); END $$", (P,)),
        ("DO LANGUAGE plpython3u $$ x $$", (P,)),
        ("EXECUTE p", (P, M)),
        ("PREPARE p FROM 'SELECT 1'", (M,)),
        ("CALL clean()", (P, M)),
        ("COPY orders FROM stdin", (P,)),
        ("LOAD DATA INFILE 'x' INTO TABLE orders", (M,)),
        ("\\i other.sql", (P,)),
        ("SELECT clean()", (P,)),
        ("SELECT 1 INTO orders_2", (P,)),
        ("SELECT set_config('search_path', 'a', false)", (P,)),
        ("ROLLBACK", ALL),
        ("EXPLAIN ANALYZE DELETE FROM orders", (P,)),
        ("CREATE RULE r AS ON INSERT TO orders DO INSTEAD NOTHING", (P,)),
        ("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM orders", (M,)),
        ("DROP OWNED BY shop", (P,)),
        ("SET GLOBAL sql_mode = ''", (M,)),
        ("SET @@GLOBAL.sql_mode = ''", (M,)),
        ("PRAGMA writable_schema = on", (S,)),
        ("ALTER TABLE orders INHERIT all_orders", (P,)),
        ("ALTER TABLE orders FROBNICATE", ALL),
        ("ALTER TABLE orders ADD COLUMN", ALL),
        ("ALTER TABLE orders ADD COLUMN a int DROP TABLE users", (P,)),
        ("ALTER TABLE orders OWNER TO shop DROP TABLE users", (P,)),
        ("CREATE TABLE a (b int) DROP TABLE users", (P, M)),
        ("SET a = 1 DROP TABLE users", (P,)),
        ("ANALYZE orders DROP TABLE users", (P,)),
        ("COMMENT ON TABLE orders IS 'x' DROP TABLE users", (P,)),
        ("CREATE OR REPLACE VIEW v AS SELECT 1", (M,)),
        ("UPDATE orders SET state = 'done'", ALL),
        ("UPDATE orders, users SET orders.state = users.state", (M,)),
        ("DELETE FROM orders WHERE state = 'done'", ALL),
        ("DELETE o FROM orders o JOIN users u ON u.id = o.owner", (M,)),
        ("INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2", (P, S)),
        ("INSERT INTO orders (id) VALUES (1) ON DUPLICATE KEY UPDATE id = 2", (M,)),
        ("REPLACE INTO orders VALUES (1)", (M, S)),
        ("INSERT OR REPLACE INTO orders VALUES (1)", (S,)),
        ("MERGE INTO orders USING users ON true WHEN MATCHED THEN DELETE", (P,)),
        ("ALTER TABLE ${schema}.orders ADD a int", ALL),
        ("/*!80000 ALTER TABLE orders DROP a */", (M,)),
        ("/*M!100100 ALTER TABLE orders DROP a */", (M,)),
        ("NONSENSE", ALL),
        (";;; (", ALL),
    ],
)
def test_what_is_not_understood_or_dynamic_is_unknown(sql: str, dialects: tuple[Dialect, ...]) -> None:
    for dialect in dialects:
        assert (read_sql(sql, dialect).verdict, dialect) == (UNKNOWN, dialect)


def test_each_action_of_one_alter_table_is_read_for_itself() -> None:
    reading = read_sql("ALTER TABLE orders ADD COLUMN a int, DROP COLUMN b, FROBNICATE c, ALTER d SET NOT NULL", P)
    assert [one.verdict for one in reading.statements] == [SAFE, BREAKS, UNKNOWN, WARN]


def test_several_targets_of_one_statement_are_each_named() -> None:
    assert [one.says for one in read_sql("DROP TABLE a, b", P).statements] == ["drops table a", "drops table b"]
    assert [one.says for one in read_sql("TRUNCATE a, ONLY b RESTART IDENTITY CASCADE", P).statements] == [
        "deletes all rows of table a",
        "deletes all rows of table b",
    ]
    assert [one.says for one in read_sql("RENAME TABLE a TO b, c TO d", M).statements] == ["renames table a to b", "renames table c to d"]
    columns = read_sql("ALTER TABLE t ADD COLUMN (a int, b int NOT NULL)", M).statements
    assert [one.verdict for one in columns] == [SAFE, BREAKS]


@pytest.mark.parametrize(
    "sql",
    [
        "WITH gone AS (DELETE FROM orders RETURNING *) SELECT count(*) FROM gone",
        "WITH gone AS (DELETE FROM orders RETURNING *) INSERT INTO archive SELECT * FROM gone",
        "CREATE TABLE archive AS WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone",
        "INSERT INTO archive WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone",
    ],
)
def test_a_write_inside_a_common_table_expression_is_found(sql: str) -> None:
    assert "rows_deleted" in [one.rule for one in read_sql(sql, P).statements]


def test_change_renames_and_redefines() -> None:
    reading = read_sql("ALTER TABLE orders CHANGE COLUMN a b bigint NOT NULL", M)
    assert [one.rule for one in reading.statements] == ["column_renamed", "type_widened"]
    assert [one.rule for one in read_sql("ALTER TABLE orders CHANGE a a text", M).statements] == ["type_widened"]


def test_the_objects_touched_are_named() -> None:
    (statement,) = read_sql('ALTER TABLE "Shop"."Orders" DROP COLUMN "Legacy"', P).statements
    assert statement.objects == ("Shop.Orders", "Shop.Orders.Legacy")
    (unique,) = read_sql("ALTER TABLE orders ADD CONSTRAINT u UNIQUE (a, b)", P).statements
    assert {"orders", "orders.a", "orders.b"} <= set(unique.objects)


@pytest.mark.parametrize("depth", [10, 50, 5_000])
def test_deep_nesting_is_bounded_and_never_safe_when_too_deep(depth: int) -> None:
    reading = read_sql("ALTER TABLE t ADD a int DEFAULT " + "array[" * depth + "1" + "]" * depth, P)
    assert reading.verdict is UNKNOWN


def test_a_huge_number_of_actions_is_unknown() -> None:
    assert read_sql("ALTER TABLE t " + ", ".join(f"ADD a{number} int" for number in range(300)), P).verdict is UNKNOWN
