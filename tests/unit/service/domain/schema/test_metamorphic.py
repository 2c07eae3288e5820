"""Another way of writing the same thing never turns breaks into safe: every breaking row of the statement table, written anew by hypothesis."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.schema import Change, Dialect, MigrationFile, SchemaVerdict, read_range, read_sql
from service.domain.schema.scanning import split
from tests.unit.service.domain.schema.test_statement_table import TABLE

P, M, L = Dialect.POSTGRES, Dialect.MYSQL, Dialect.SQLITE
SAFE, WARN, BREAKS, UNKNOWN = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN
BREAKING = [(sql, dialect) for _, verdict, dialects, texts in TABLE if verdict is BREAKS for sql in texts for dialect in dialects]
EVERY = [(sql, dialect, verdict) for _, verdict, dialects, texts in TABLE for sql in texts for dialect in dialects]
INDEPENDENT = ["CREATE TABLE fresh (x int)", "CREATE INDEX some_index ON elsewhere (x)", "ALTER TABLE elsewhere ADD COLUMN y int", "DROP INDEX elsewhere_x"]
QUOTES = {P: '"', M: "`", L: '"'}
GAPS = {
    P: ["  ", "\n", "\t\r\n ", " /* drop /* nested */ table */ ", " -- ; 'it'\n"],
    M: ["  ", "\n", " /* drop table */ ", " -- ; 'it'\n", " # `it`\n"],
    L: ["  ", "\n", " /* drop */ ", " -- ; [it\n"],
}


def written_anew(data: st.DataObject, sql: str, dialect: Dialect) -> str:
    """The same statements with other gaps, another case of their keywords, and small names quoted."""
    pieces = []
    for statement in split(sql, dialect):
        tokens = []
        for token in statement.tokens:
            text = token.text
            if token.kind == "word" and text.isupper() and len(text) > 1:
                text = data.draw(st.sampled_from([text, text.lower(), text.title()]))
            elif token.kind == "word" and text in {"o", "a", "b"} and data.draw(st.booleans()):
                text = f"{QUOTES[dialect]}{text}{QUOTES[dialect]}"
            joined = text in {".", "(", ")", ",", "@", "=", "::"} or token.kind == "mark"
            tokens.append(text if joined else data.draw(st.sampled_from([" ", " ", *GAPS[dialect]])) + text)
        pieces.append("".join(tokens))
    return ";\n".join(pieces)


@given(st.sampled_from(EVERY), st.data())
@settings(max_examples=300, deadline=None)
def test_spelling_changes_no_verdict(row: tuple[str, Dialect, SchemaVerdict], data: st.DataObject) -> None:
    sql, dialect, verdict = row
    text = written_anew(data, sql, dialect)
    assert read_sql(text, dialect).verdict is verdict, text


@given(st.sampled_from(BREAKING), st.data())
@settings(max_examples=200, deadline=None)
def test_splitting_squashing_and_independent_neighbours_hide_no_break(row: tuple[str, Dialect], data: st.DataObject) -> None:
    sql, dialect = row
    statements = [one.text for one in split(sql, dialect)]
    for extra in data.draw(st.lists(st.sampled_from(INDEPENDENT), max_size=3, unique=True)):
        statements.insert(data.draw(st.integers(0, len(statements))), extra)
    squashed = read_sql(";\n".join(statements), dialect)
    files = [MigrationFile(path=f"migrations/{number}_x.up.sql", change=Change.ADDED, text=text) for number, text in enumerate(statements, start=8)]
    apart = read_range(data.draw(st.permutations(files)), dialect)
    assert (squashed.verdict, apart.verdict) == (BREAKS, BREAKS), statements


@pytest.mark.parametrize("sql", [sql for sql, dialect in BREAKING if dialect is P])
@pytest.mark.parametrize(
    "wrapper",
    [
        "BEGIN; {}; COMMIT",
        "DO $w$ BEGIN {}; END $w$",
        "DO $w$ BEGIN IF true THEN {}; END IF; EXCEPTION WHEN others THEN RAISE; END $w$ LANGUAGE plpgsql",
        "CREATE TABLE fresh (x int); DO $w$ DECLARE n int; BEGIN n := 1; {}; END $w$",
        "{0}; {0}",
    ],
)
def test_wrapping_hides_no_break(sql: str, wrapper: str) -> None:
    assert read_sql(wrapper.format(sql), P).verdict is BREAKS


@pytest.mark.parametrize("sql", [sql for sql, dialect in BREAKING if dialect is M and ";" not in sql])
def test_a_text_that_is_prepared_hides_no_break(sql: str) -> None:
    text = sql.replace("'", "''")
    kept = "SET @s = IF(1, '{}', 'SELECT 1'); PREPARE p FROM @s; EXECUTE p; DEALLOCATE PREPARE p"
    assert read_sql(kept.format(text), M).verdict in {BREAKS, UNKNOWN}
    assert read_sql(f"PREPARE p FROM '{text}'; EXECUTE p", M).verdict in {BREAKS, UNKNOWN}
    procedure = f"DELIMITER //\nCREATE PROCEDURE w() BEGIN IF 1 THEN {sql}; END IF; END//\nDELIMITER ;\nCALL w(); DROP PROCEDURE w"
    assert read_sql(procedure, M).verdict in {BREAKS, UNKNOWN}


@pytest.mark.parametrize("sql", [sql for sql, _ in BREAKING])
def test_no_dialect_reads_a_break_of_another_as_safe_when_none_is_named(sql: str) -> None:
    assert read_sql(sql, Dialect.UNKNOWN).verdict in {BREAKS, UNKNOWN, WARN}


@pytest.mark.parametrize(
    ("one", "other", "dialect"),
    [
        ("ALTER TABLE o ADD a int NOT NULL", "ALTER TABLE o ADD COLUMN a int4 CONSTRAINT n NOT NULL", P),
        ("ALTER TABLE o ADD a int NOT NULL", "ALTER TABLE o ADD a int; ALTER TABLE o ALTER a SET NOT NULL", P),
        ("ALTER TABLE o ADD a int NOT NULL", "ALTER TABLE o ADD a int CHECK (a IS NOT NULL)", P),
        ("ALTER TABLE o ADD a int NOT NULL", "ALTER TABLE o ADD a int DEFAULT 1 NOT NULL, ALTER a DROP DEFAULT", P),
        ("ALTER TABLE o ADD a int NOT NULL", "ALTER TABLE o ADD a int; ALTER TABLE o MODIFY a int NOT NULL", M),
        ("ALTER TABLE o ADD a int NOT NULL", "ALTER TABLE o ADD COLUMN (a int NOT NULL)", M),
        ("ALTER TABLE o RENAME COLUMN a TO b", "ALTER TABLE o CHANGE a b int", M),
        ("ALTER TABLE o RENAME TO p", "RENAME TABLE o TO p", M),
        ("ALTER TABLE o DROP COLUMN a", "ALTER TABLE ONLY public.o DROP IF EXISTS a CASCADE", P),
        ("ALTER TABLE o DROP COLUMN a, DROP COLUMN b", "ALTER TABLE o DROP COLUMN a; ALTER TABLE o DROP COLUMN b", P),
        ("ALTER TABLE o ALTER a TYPE varchar(9)", "ALTER TABLE o ALTER COLUMN a SET DATA TYPE character varying(9)", P),
        ("ALTER TABLE o ALTER a TYPE jsonb USING a::jsonb", "ALTER TABLE o ALTER a TYPE jsonb USING CAST(a AS jsonb)", P),
        ("DROP TABLE a, b", "DROP TABLE a; DROP TABLE b", P),
        ("ALTER TABLE o DROP COLUMN a", 'ALTER TABLE "main"."o" DROP [a]', L),
        ("ALTER TABLE o RENAME COLUMN a TO b", "ALTER TABLE main.o RENAME a TO `b`", L),
        ("ALTER TABLE o ADD COLUMN a int NOT NULL", "ALTER TABLE o ADD a int CONSTRAINT n NOT NULL ON CONFLICT ABORT", L),
        ("DROP TABLE o", "DROP TABLE IF EXISTS main.o", L),
        ("DROP TABLE o; CREATE TABLE o (a int)", "CREATE TABLE n (a int); DROP TABLE o; ALTER TABLE n RENAME TO o", L),
        ("DROP TABLE o; CREATE TABLE o (a int)", "CREATE TABLE n (a int); DROP TABLE o; ALTER TABLE n RENAME TO o", P),
    ],
)
def test_equivalent_spellings_get_the_same_verdict(one: str, other: str, dialect: Dialect) -> None:
    assert read_sql(one, dialect).verdict is read_sql(other, dialect).verdict
