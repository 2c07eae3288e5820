import json

import pytest
import yaml

from service.domain.schema import Change, Dialect, MigrationFile, SchemaReading, SchemaVerdict, read_range, read_sql

SAFE, WARN, BREAKS, UNKNOWN = SchemaVerdict.SAFE, SchemaVerdict.WARN, SchemaVerdict.BREAKS, SchemaVerdict.UNKNOWN
PATH = "db/changelog/0002-orders.xml"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<databaseChangeLog xmlns="http://www.liquibase.org/xml/ns/dbchangelog">\n'


def xml(*changes: str, attributes: str = "") -> str:
    sets = "".join(f'<changeSet id="{number}" author="a" {attributes}>\n{change}\n</changeSet>\n' for number, change in enumerate(changes, start=1))
    return f"{HEAD}{sets}</databaseChangeLog>\n"


def understood(*changes: str, dialect: Dialect = Dialect.POSTGRES, attributes: str = "") -> SchemaReading:
    return read_range([MigrationFile(path=PATH, change=Change.ADDED, text=xml(*changes, attributes=attributes))], dialect)


def told(reading: SchemaReading) -> list[tuple[str, SchemaVerdict]]:
    return sorted((one.rule, one.verdict) for one in reading.statements if one.verdict is not SAFE)


PLAIN = '<addColumn tableName="orders"><column name="channel" type="varchar(8)"/></addColumn>'
STRICT = PLAIN.replace('(8)"/>', '(8)"><constraints nullable="false"/></column>')
SAME = {
    PLAIN: "ALTER TABLE orders ADD channel varchar(8)",
    STRICT: "ALTER TABLE orders ADD channel varchar(8) NOT NULL",
    '<addColumn tableName="orders"><column name="n" type="int" defaultValueNumeric="0"><constraints nullable="false"/></column></addColumn>': (
        "ALTER TABLE orders ADD n int DEFAULT 0 NOT NULL"
    ),
    '<dropColumn tableName="orders" columnName="status"/>': "ALTER TABLE orders DROP COLUMN status",
    '<dropColumn tableName="orders"><column name="a"/><column name="b"/></dropColumn>': "ALTER TABLE orders DROP COLUMN a, DROP COLUMN b",
    '<renameColumn tableName="orders" oldColumnName="a" newColumnName="b"/>': "ALTER TABLE orders RENAME COLUMN a TO b",
    '<renameTable oldTableName="orders" newTableName="purchases"/>': "ALTER TABLE orders RENAME TO purchases",
    '<dropTable tableName="ORDERS" cascadeConstraints="true"/>': "DROP TABLE orders",
    '<createTable tableName="items"><column name="id" type="bigint" autoIncrement="true"/></createTable><dropTable tableName="items"/>': "SELECT 1",
    '<addNotNullConstraint tableName="orders" columnName="a"/>': "ALTER TABLE orders ALTER COLUMN a SET NOT NULL",
    '<dropNotNullConstraint tableName="orders" columnName="a"/>': "ALTER TABLE orders ALTER COLUMN a DROP NOT NULL",
    '<addDefaultValue tableName="orders" columnName="a" defaultValue="x"/>': "ALTER TABLE orders ALTER COLUMN a SET DEFAULT 'x'",
    '<dropDefaultValue tableName="orders" columnName="a"/>': "ALTER TABLE orders ALTER COLUMN a DROP DEFAULT",
    '<modifyDataType tableName="orders" columnName="a" newDataType="clob"/>': "ALTER TABLE orders ALTER COLUMN a TYPE text",
    '<createIndex tableName="orders" indexName="ix"><column name="a"/></createIndex>': "CREATE INDEX ix ON orders (a)",
    '<createIndex tableName="orders" indexName="ix" unique="true"><column name="a"/></createIndex>': "CREATE UNIQUE INDEX ix ON orders (a)",
    '<dropIndex tableName="orders" indexName="ix"/>': "DROP INDEX ix",
    '<addUniqueConstraint tableName="orders" columnNames="a, b" constraintName="uq"/>': "ALTER TABLE orders ADD CONSTRAINT uq UNIQUE (a, b)",
    '<addForeignKeyConstraint constraintName="fk" baseTableName="orders" baseColumnNames="a" referencedTableName="u" referencedColumnNames="id"/>': (
        "ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES u (id)"
    ),
    '<dropForeignKeyConstraint baseTableName="orders" constraintName="fk"/>': "ALTER TABLE orders DROP CONSTRAINT fk",
    '<dropView viewName="v"/>': "DROP VIEW v",
    '<insert tableName="orders"><column name="a" value="1"/></insert>': "INSERT INTO orders (a) VALUES (1)",
    '<update tableName="orders"><column name="a" value="1"/><where>b = 2</where></update>': "UPDATE orders SET a = 1 WHERE b = 2",
    '<delete tableName="orders"/>': "DELETE FROM orders",
    "<sql>ALTER TABLE orders DROP COLUMN status; DROP VIEW v</sql>": "ALTER TABLE orders DROP COLUMN status; DROP VIEW v",
    '<setTableRemarks tableName="orders" remarks="x"/><rollback><dropTable tableName="orders"/></rollback>': "SELECT 1",
}


@pytest.mark.parametrize("body", SAME)
def test_the_reader_understands_what_liquibase_writes(body: str) -> None:
    ours, real = understood(body), read_sql(SAME[body], Dialect.POSTGRES)
    assert (ours.verdict, told(ours)) == (real.verdict, told(real)), (ours.statements, real.statements)


CHANGE_SET = {
    "id": 7,
    "author": "a",
    "changes": [{"addColumn": {"tableName": "orders", "columns": [{"column": {"name": "n", "type": "int", "constraints": {"nullable": False}}}]}}],
}


@pytest.mark.parametrize("ending", ["yaml", "json"])
def test_the_three_spellings_say_the_same(ending: str) -> None:
    document = {"databaseChangeLog": [{"changeSet": CHANGE_SET}, {"changeSet": {"id": 8, "author": "a", "changes": [{"sql": {"sql": "DROP VIEW v"}}]}}]}
    text = json.dumps(document, indent=1) if ending == "json" else yaml.safe_dump(document, sort_keys=False)
    reading = read_range([MigrationFile(path=f"db/changelog/x.{ending}", change=Change.ADDED, text=text)], Dialect.POSTGRES)
    assert told(reading) == [("not_null_without_default", BREAKS), ("view_dropped", BREAKS)]
    assert all(one.line for one in reading.statements)


@pytest.mark.parametrize(
    "body",
    [
        '<customChange class="x.Y"/>',
        '<sqlFile path="x.sql"/>',
        '<dropTable tableName="${name}"/>',
        "<sql>DROP TABLE ${name}</sql>",
        '<sql endDelimiter="/">DROP TABLE a</sql>',
        '<addColumn tableName="orders"/>',
        '<addColumn tableName="orders"><column name="a" type="${t}"/></addColumn>',
        "<mergeColumns/>",
        "<dropTable/>",
    ],
)
def test_what_is_computed_or_not_known_is_unknown_never_safe(body: str) -> None:
    assert understood(body).verdict is UNKNOWN


@pytest.mark.parametrize(
    "text",
    [
        "<project/>",
        '<!DOCTYPE a [<!ENTITY b "c">]><databaseChangeLog/>',
        HEAD + '<includeAll path="x"/></databaseChangeLog>',
        HEAD + '<include file="elsewhere.xml"/></databaseChangeLog>',
    ],
)
def test_a_file_that_is_no_plain_changelog_is_unknown(text: str) -> None:
    assert read_range([MigrationFile(path=PATH, change=Change.ADDED, text=text)], Dialect.POSTGRES).verdict is UNKNOWN


def test_a_changeset_of_another_database_does_not_count() -> None:
    drop = '<dropTable tableName="orders"/>'
    for dbms, verdict in (("mysql", SAFE), ("postgresql,h2", BREAKS), ("!postgresql", SAFE), ("!mysql", BREAKS), ("all", BREAKS)):
        assert understood(drop, attributes=f'dbms="{dbms}"').verdict is verdict, dbms
    assert understood(drop, attributes='ignore="true"').verdict is SAFE


@pytest.mark.parametrize("condition", ['context="test"', 'labels="x"', 'failOnError="false"'])
def test_what_may_not_have_run_proves_nothing_new(condition: str) -> None:
    create, drop = '<createTable tableName="items"><column name="id" type="int"/></createTable>', '<dropTable tableName="items"/>'
    assert understood(create, drop).verdict is SAFE
    assert understood(create, drop, attributes=condition).verdict is BREAKS
    assert understood(create, attributes=condition).verdict is SAFE
    assert understood('<addDefaultValue tableName="a" columnName="b" defaultValue="x"/>', attributes=condition).verdict is UNKNOWN


def test_a_precondition_is_a_condition() -> None:
    create = '<preConditions onFail="MARK_RAN"><tableExists tableName="x"/></preConditions><createTable tableName="items"/>'
    assert understood(create, '<dropTable tableName="items"/>').verdict is BREAKS


# --- a changelog that grows -------------------------------------------------------------------------------------------------


def grown(before: str, after: str, *others: MigrationFile) -> SchemaReading:
    file = MigrationFile(path=PATH, change=Change.MODIFIED, text=after)
    return read_range([file, *others], Dialect.POSTGRES, before={PATH: before})


def test_only_what_is_new_in_a_changelog_counts() -> None:
    old = '<dropTable tableName="gone_long_ago"/>'
    reading = grown(xml(old), xml(old, '<addColumn tableName="orders"><column name="a" type="int"/></addColumn>'))
    assert [one.rule for one in reading.statements] == ["column_added"]
    assert grown(xml(old), xml(old, '<dropTable tableName="orders"/>')).verdict is BREAKS


def test_white_space_is_no_change_and_a_changed_changeset_is_unknown() -> None:
    old = '<dropTable tableName="a"/>'
    assert grown(xml(old), xml(f"\n\n   {old}\n")).verdict is SAFE
    for new in (xml('<dropTable tableName="b"/>'), xml(), xml(old, attributes='context="x"')):
        assert grown(xml(old), new).statements[0].rule == "migration_rewritten"


def test_a_changed_changelog_whose_older_text_is_not_known_is_unknown() -> None:
    file = MigrationFile(path=PATH, change=Change.MODIFIED, text=xml())
    assert [one.rule for one in read_range([file], Dialect.POSTGRES).statements] == ["migration_rewritten"]


def test_a_master_that_includes_a_new_changelog_is_as_good_as_that_one() -> None:
    before, after = f"{HEAD}</databaseChangeLog>", f'{HEAD}<include file="changelog/0003-new.xml"/></databaseChangeLog>'
    added = MigrationFile(path="db/changelog/0003-new.xml", change=Change.ADDED, text=xml('<createTable tableName="n"/>'))
    assert grown(before, after, added).verdict is SAFE
    assert grown(before, after).verdict is UNKNOWN
