"""Earlier migrations say what a later one changes; what they say makes an answer stricter and never milder."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.schema import Change, Dialect, MigrationFile, SchemaVerdict, needed, read_each, read_range
from service.domain.schema.earlier import MAX_CHARACTERS, MAX_FILES, Earlier, matters, order

P, M, L = Dialect.POSTGRES, Dialect.MYSQL, Dialect.SQLITE
S, W, B, U = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN
MAKES = {
    P: "CREATE TABLE o (id bigserial PRIMARY KEY, n int, s varchar(20)); CREATE UNIQUE INDEX plain ON o (n); CREATE INDEX looks_uniq ON o (s);",
    M: "CREATE TABLE o (id int NOT NULL AUTO_INCREMENT, n int NOT NULL, s varchar(20), e ENUM('a', 'b'), PRIMARY KEY (id), UNIQUE KEY by_n (n));",
    L: "CREATE TABLE o (id integer PRIMARY KEY, s text);",
}


def added(path: str, text: str) -> MigrationFile:
    return MigrationFile(path=path, change=Change.ADDED, text=text)


def verdict(later: str, dialect: Dialect, *earlier: str) -> SchemaVerdict:
    beside = {f"db/migrations/V{number}__a.sql": text for number, text in enumerate(earlier, start=2)}
    return read_range([added("db/migrations/V10__b.sql", later)], dialect, beside=beside).verdict


@pytest.mark.parametrize(
    ("later", "dialect", "alone", "after"),
    [
        ("ALTER TABLE o MODIFY s varchar(10)", M, W, B),
        ("ALTER TABLE o MODIFY s varchar(20)", M, W, W),
        ("ALTER TABLE o MODIFY s varchar(40)", M, W, W),
        ("ALTER TABLE o CHANGE COLUMN s s varchar(10)", M, W, B),
        ("ALTER TABLE o MODIFY n tinyint NOT NULL", M, W, B),
        ("ALTER TABLE o MODIFY n bigint NOT NULL", M, W, W),
        ("ALTER TABLE o MODIFY n decimal(20, 2) NOT NULL", M, W, W),
        ("ALTER TABLE o MODIFY n decimal(6, 2) NOT NULL", M, W, B),
        ("ALTER TABLE o MODIFY e ENUM('a')", M, W, B),
        ("ALTER TABLE o ALTER s TYPE varchar(10)", P, W, B),
        ("ALTER TABLE o ALTER s TYPE varchar(30)", P, W, W),
        ("ALTER TABLE o ALTER n TYPE text", P, W, B),
        ("ALTER TABLE o ALTER n TYPE numeric", P, W, W),
        ("DROP INDEX plain", P, S, W),
        ("ALTER TABLE o DROP INDEX by_n", M, S, W),
        ("DROP INDEX looks_uniq", P, W, W),
        ("ALTER TABLE o ALTER n DROP NOT NULL", P, W, W),
        ("DROP TABLE IF EXISTS o; CREATE TABLE o (id int)", P, W, B),
        ("DROP TABLE IF EXISTS o; CREATE TABLE o (id int)", M, W, B),
        ("DROP TABLE IF EXISTS o; CREATE TABLE o (id int)", L, W, B),
        ("DROP TABLE IF EXISTS other; CREATE TABLE other (id int)", P, W, W),
        ("ALTER TABLE o DROP COLUMN IF EXISTS nothing", P, B, B),
        ("ALTER TABLE o ADD COLUMN IF NOT EXISTS n int", P, S, S),
        ("ALTER TABLE o ADD COLUMN IF NOT EXISTS c int; ALTER TABLE o DROP COLUMN c", P, B, B),
        ("ALTER TABLE nowhere ALTER x TYPE varchar(10)", P, W, W),
    ],
)
def test_the_migration_that_made_a_column_decides_what_is_left_open(later: str, dialect: Dialect, alone: SchemaVerdict, after: SchemaVerdict) -> None:
    assert verdict(later, dialect) is alone
    assert verdict(later, dialect, MAKES[dialect]) is after
    files = [added("db/migrations/V1__a.sql", MAKES[dialect]), added("db/migrations/V2__b.sql", later)]
    assert max((one.verdict for one in read_each(files, dialect).statements if "V2" in one.path), key=lambda one: one.severity) is after


REBUILDS = {
    "made, copied, dropped, renamed": "CREATE TABLE n ({0}); INSERT INTO n (id) SELECT id FROM o; DROP TABLE o; ALTER TABLE n RENAME TO o",
    "renamed, made, copied, dropped": "ALTER TABLE o RENAME TO old; CREATE TABLE o ({0}); INSERT INTO o (id) SELECT id FROM old; DROP TABLE old",
}


@pytest.mark.parametrize("text", REBUILDS.values(), ids=REBUILDS)
def test_a_table_that_sqlite_builds_anew_without_a_column_has_lost_it(text: str) -> None:
    lost, kept = text.format("id integer PRIMARY KEY"), text.format("id integer PRIMARY KEY, s text")
    assert verdict(lost, L) is U
    assert verdict(lost, L, MAKES[L]) is B
    assert verdict(kept, L, MAKES[L]) is U
    assert verdict(lost, L, MAKES[L], "ALTER TABLE o DROP COLUMN s") is U
    reading = read_range([added("db/migrations/V10__b.sql", lost)], L, beside={"db/migrations/V2__a.sql": MAKES[L]})
    assert any(one.rule == "column_dropped" and "without column o.s" in one.says for one in reading.statements)
    (path,) = [one.path for one in needed({"db/migrations/V2__b.sql": lost}, names_in)]
    assert path == "db/migrations/V1__a.sql"


def test_what_was_between_counts_and_what_comes_later_does_not() -> None:
    widened = "ALTER TABLE o MODIFY s varchar(40)"
    assert verdict("ALTER TABLE o MODIFY s varchar(30)", M, MAKES[M]) is W
    assert verdict("ALTER TABLE o MODIFY s varchar(30)", M, MAKES[M], widened) is B
    files = [added(f"db/migrations/V{number}__a.sql", text) for number, text in enumerate([MAKES[M], "ALTER TABLE o MODIFY s varchar(30)", widened], start=1)]
    assert read_each(files, M).verdict is W


def test_a_later_file_of_the_folder_is_no_earlier_one() -> None:
    beside = {"db/migrations/V11__a.sql": MAKES[M], "other/migrations/V1__a.sql": MAKES[M], "db/migrations/U2__a.sql": MAKES[M]}
    assert read_range([added("db/migrations/V10__b.sql", "ALTER TABLE o MODIFY s varchar(10)")], M, beside=beside).verdict is W


def test_what_was_not_understood_may_have_done_anything_to_what_it_names() -> None:
    later = "ALTER TABLE o MODIFY s varchar(10)"
    assert verdict(later, M, MAKES[M], "ALTER TABLE o FROBNICATE s") is W
    assert verdict(later, M, MAKES[M], "ALTER TABLE other FROBNICATE s") is B
    perhaps = "DO $$ BEGIN IF now() > '2020-01-01' THEN ALTER TABLE o ALTER s TYPE varchar(5); END IF; END $$"
    assert verdict("ALTER TABLE o ALTER s TYPE varchar(10)", P, MAKES[P], perhaps) is not S


def test_a_dump_that_somebody_gave_comes_before_what_was_learned() -> None:
    from service.domain.schema import read_dump  # noqa: PLC0415  only here

    beside = {"db/migrations/V1__a.sql": MAKES[M]}
    shape = read_dump("schema.sql", "CREATE TABLE o (id int, s varchar(5));", M)
    assert read_range([added("db/migrations/V10__b.sql", "ALTER TABLE o MODIFY s varchar(10)")], M, beside=beside, shape=shape).verdict is W


def test_files_of_another_database_in_the_same_folder_say_nothing() -> None:
    earlier = Earlier(M)
    earlier.learn("db/migrations/1_a.postgres.up.sql", "CREATE TABLE o (s text);")
    assert earlier.before("ALTER TABLE o MODIFY s varchar(10)") is None
    earlier.learn("db/migrations/1_a.mysql.up.sql", "CREATE TABLE o (s text);")
    assert earlier.before("ALTER TABLE o MODIFY s varchar(10)") is not None


def test_a_table_that_was_renamed_is_known_by_its_new_name() -> None:
    assert verdict("ALTER TABLE p MODIFY s varchar(10)", M, MAKES[M], "ALTER TABLE o RENAME TO p") is B
    assert verdict("ALTER TABLE o MODIFY s varchar(10)", M, MAKES[M], "ALTER TABLE o RENAME TO p") is W


def test_many_tables_and_many_statements_that_are_not_understood_are_read_in_turn() -> None:
    earlier = Earlier(P)
    earlier.learn("m/1.up.sql", ";".join(f"CREATE TABLE t{number} (s text)" for number in range(2_000)))
    earlier.learn("m/2.up.sql", ";".join(f"FROBNICATE t{number}" for number in range(1_999)))
    known = earlier.before(" ".join(f"t{number}" for number in range(2_000)))
    assert known is not None
    assert list(known.tables) == ["t1999"]


def test_what_was_said_of_a_moment_stays_as_it_was() -> None:
    earlier = Earlier(M)
    earlier.learn("m/1.up.sql", "CREATE TABLE o (s varchar(20));")
    then = earlier.before("o")
    earlier.learn("m/2.up.sql", "ALTER TABLE o MODIFY s varchar(5);")
    assert then is not None
    column = then.column("o", "s")
    assert column is not None
    assert column.type.length == 20


def test_more_text_than_is_read_says_nothing_at_all() -> None:
    earlier = Earlier(M)
    earlier.learn("m/1.up.sql", "CREATE TABLE o (s varchar(20));")
    earlier.learn("m/2.up.sql", "-" * MAX_CHARACTERS)
    assert earlier.before("o") is None


TREE = {
    "db/migrations": ["V1__a.sql", "V2__b.sql", "V10__c.sql", "V11__d.sql", "U1__a.sql", "README.md"],
    "migrations": ["1_a/", "2_b/", "3_c/"],
    "migrations/1_a": ["up.sql", "down.sql"],
    "migrations/2_b": ["up.sql", "down.sql"],
    "migrations/3_c": ["up.sql", "down.sql"],
}


def names_in(folder: str) -> Sequence[str]:
    return TREE.get(folder, ())


@pytest.mark.parametrize(
    ("changed", "paths"),
    [
        ({"db/migrations/V10__c.sql": "ALTER TABLE app.`o` MODIFY s text"}, ["db/migrations/V1__a.sql", "db/migrations/V2__b.sql"]),
        ({"db/migrations/V2__b.sql": "ALTER TABLE o MODIFY s text", "db/migrations/V10__c.sql": "SELECT 1"}, ["db/migrations/V1__a.sql"]),
        ({"db/migrations/V10__c.sql": "ALTER TABLE o ADD s text"}, []),
        ({"db/migrations/U1__a.sql": "ALTER TABLE o MODIFY s text"}, []),
        ({"migrations/3_c/up.sql": "DROP INDEX IF EXISTS a"}, ["migrations/1_a/up.sql", "migrations/2_b/up.sql"]),
        ({"shop/migrations/0002_more.py": "ALTER TABLE o MODIFY s text"}, []),
    ],
)
def test_only_earlier_forward_files_of_the_folder_are_asked_for_and_only_where_something_is_open(changed: dict[str, str], paths: list[str]) -> None:
    assert [one.path for one in needed(changed, names_in)] == paths


def test_a_text_matters_only_if_it_names_what_changes() -> None:
    (one,) = needed({"db/migrations/V2__b.sql": 'ALTER TABLE public."Order" ALTER s TYPE text; DROP INDEX CONCURRENTLY IF EXISTS by_s'}, names_in)
    assert one.names == {"order", "by_s"}
    assert matters('create table "ORDER" (s int)', one.names)
    assert not matters("create table orders (s int)", one.names)


def test_a_folder_of_more_files_than_are_read_asks_for_none() -> None:
    many = [f"V{number}__a.sql" for number in range(MAX_FILES + 2)]
    changed = {f"db/migrations/V{MAX_FILES + 5}__b.sql": "ALTER TABLE o MODIFY s text"}
    assert needed(changed, lambda folder: many if folder == "db/migrations" else ()) == ()


def test_numbers_order_as_numbers_and_no_length_of_digits_ends_the_work() -> None:
    assert sorted(["m/10.sql", "m/9.sql"], key=lambda one: order("m", one)) == ["m/9.sql", "m/10.sql"]
    assert order("m", f"m/{'9' * 5_000}.sql")


_STATEMENTS = st.sampled_from(
    [
        "CREATE TABLE o (id int, n int NOT NULL, s varchar(20), d int DEFAULT 1)",
        "CREATE TABLE q (LIKE o)",
        "CREATE UNIQUE INDEX i ON o (n)",
        "ALTER TABLE o ADD COLUMN c int NOT NULL",
        "ALTER TABLE o DROP COLUMN IF EXISTS c",
        "ALTER TABLE o ALTER s TYPE varchar(10)",
        "ALTER TABLE o ALTER n DROP NOT NULL",
        "ALTER TABLE o ALTER d DROP DEFAULT",
        "ALTER TABLE o RENAME COLUMN s TO t",
        "ALTER TABLE o RENAME TO p",
        "DROP TABLE IF EXISTS o",
        "DROP INDEX IF EXISTS i",
        "CREATE TABLE IF NOT EXISTS o (id int)",
        "ALTER TABLE o ADD COLUMN IF NOT EXISTS s text",
        "DO $$ BEGIN DROP TABLE o; END $$",
        "FROBNICATE o",
    ]
)


@given(earlier=st.lists(_STATEMENTS, max_size=6), later=st.lists(_STATEMENTS, min_size=1, max_size=4), dialect=st.sampled_from([P, M, L]))
def test_promise_1_no_statement_is_milder_for_what_was_learned(earlier: list[str], later: list[str], dialect: Dialect) -> None:
    files = [added("db/migrations/V10__b.sql", ";\n".join(later))]
    alone = read_range(files, dialect)
    learned = read_range(files, dialect, beside={"db/migrations/V1__a.sql": ";\n".join(earlier)})
    assert len(alone.statements) == len(learned.statements)
    for one, other in zip(alone.statements, learned.statements, strict=True):
        assert other.verdict.severity >= one.verdict.severity, (one, other)
